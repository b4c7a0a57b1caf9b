-- task_continue_spec.lua - task.continue.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("task.continue", function()
  it("makes a halted task pending and dispatches it, resumes kept", function()
    run([[
      create A
      taskcreate P1 target=w1
      callback A P1
      halt P1
      settle A resolved
      at 7
      continue P1  -> 200, task P1 pending v1 resumes=1 retry=107, execute P1 v1
      acquire P1 1 -> 200 acquired v2 resumes=0
    ]])
  end)

  it("is refused in every other state", function()
    run([[
      continue P1  -> 404 "Task not found"
      create A
      create P1 target=w1
      continue P1  -> 409 "Task is not halted"
      acquire P1 0
      continue P1  -> 409 "Task is not halted"
      suspend P1 1 A
      continue P1  -> 409 "Task is not halted", task P1 suspended
      settle P1 resolved
      continue P1  -> 409 "Task is not halted"
    ]])
  end)

  it("finds a halted task over when its promise was settled from outside", function()
    run([[
      create P1 target=w1
      halt P1
      settle P1 canceled
      continue P1  -> 409 "Task is not halted", task P1 fulfilled
    ]])
  end)
end)
