-- task_release_spec.lua - task.release.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("task.release", function()
  it("gives the task back and dispatches it at once, version and resumes kept", function()
    run([[
      create A
      taskcreate P1 target=w1
      callback A P1
      settle A resolved
      at 5
      release P1 1  -> 200, task P1 pending v1 resumes=1 retry=105 pid=none ttl=none, execute P1 v1 to=w1
    ]])
  end)

  it("is the holder's alone", function()
    run([[
      release P1 0  -> 404 "Task not found"
      create A
      create P1 target=w1
      release P1 0  -> 409 "Task version mismatch or invalid state"
      acquire P1 0
      release P1 0  -> 409 "Task version mismatch or invalid state"
      release P1 2  -> 409 "Task version mismatch or invalid state"
      release P1 -1 -> 400 "Version must be a non-negative integer"
      suspend P1 1 A
      release P1 1  -> 409 "Task version mismatch or invalid state"
      halt P1
      release P1 1  -> 409 "Task version mismatch or invalid state", task P1 halted v1
      settle P1 resolved
      release P1 1  -> 409 "Task version mismatch or invalid state"
    ]])
  end)

  it("comes too late past the deadline", function()
    run([[
      taskcreate P1 target=w1 timeout=20 ttl=100
      at 20
      release P1 1  -> 409 "Task version mismatch or invalid state", task P1 fulfilled v1
    ]])
  end)
end)
