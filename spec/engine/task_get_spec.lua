-- task_get_spec.lua - task.get.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("task.get", function()
  it("answers with the task in each state", function()
    run([[
      create A
      create P1 target=w1
      task P1              -> 200 pending v0 resumes=0 pid=none ttl=none
      acquire P1 0 pid=x ttl=9
      task P1              -> 200 acquired v1 pid=x ttl=9
      suspend P1 1 A
      task P1              -> 200 suspended v1 pid=none ttl=none
      halt P1
      task P1              -> 200 halted v1
      settle P1 resolved
      task P1              -> 200 fulfilled v1
    ]])
  end)

  it("answers 404 for a promise without a task, and for none at all", function()
    run([[
      create A
      task A  -> 404 "Task not found"
      task B  -> 404 "Task not found"
    ]])
  end)

  it("shows the task of an expired promise fulfilled", function()
    run([[
      taskcreate P1 target=w1 timeout=20 ttl=500
      at 20
      task P1  -> 200 fulfilled v1 pid=none ttl=none, P1 timedout at=20
    ]])
  end)
end)
