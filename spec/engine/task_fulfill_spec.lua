-- task_fulfill_spec.lua - task.fulfill.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("task.fulfill", function()
  it("settles the promise and with it the task", function()
    run([[
      taskcreate P1 target=w1
      taskcreate P2 target=w1
      suspend P2 1 P1
      listen P1 to=u1
      at 6
      fulfill P1 1 rejected value=v  -> 200 rejected value=v at=6, task P1 fulfilled v1 untimed,
                                        task P2 pending v1 resumes=1, execute P2 v1, unblock P1 to=u1
    ]])
  end)

  it("is done once", function()
    run([[
      taskcreate P1 target=w1
      fulfill P1 1 resolved  -> 200 resolved
      fulfill P1 1 resolved  -> 409 "Task version mismatch or invalid state"
    ]])
  end)

  it("is the holder's alone", function()
    run([[
      fulfill P1 0 resolved  -> 404 "Task not found"
      create A
      create P1 target=w1
      fulfill P1 0 resolved  -> 409 "Task version mismatch or invalid state"
      acquire P1 0
      fulfill P1 0 resolved  -> 409 "Task version mismatch or invalid state"
      suspend P1 1 A
      fulfill P1 1 resolved  -> 409 "Task version mismatch or invalid state"
      halt P1
      fulfill P1 1 resolved  -> 409 "Task version mismatch or invalid state", P1 pending
    ]])
  end)

  it("comes too late past the deadline", function()
    run([[
      taskcreate P1 target=w1 timeout=20 ttl=100
      at 20
      fulfill P1 1 resolved value=v  -> 409 "Task version mismatch or invalid state", P1 timedout at=20 value=none
    ]])
  end)

  it("refuses what is wrong in itself", function()
    run([[
      taskcreate P1 target=w1
      fulfill P1 1 timedout            -> 400
      fulfill P1 1 resolved action=P2  -> 400 "Action ID must match the task ID"
      fulfill P1 -1 resolved           -> 400 "Version must be a non-negative integer", P1 pending
    ]])
  end)
end)
