-- task_halt_spec.lua - task.halt.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("task.halt", function()
  it("holds back a task that is pending, acquired or suspended; version, resumes and callbacks stay", function()
    run([[
      create A
      create B
      create P1 target=w1
      callback A P1
      callback B P1
      settle B resolved
      halt P1         -> 200, task P1 halted v0 resumes=1 untimed, awaits P1 A
      taskcreate P2 target=w1
      callback A P2
      halt P2         -> 200, task P2 halted v1 untimed pid=none ttl=none, awaits P2 A
      taskcreate P3 target=w1
      suspend P3 1 A
      halt P3         -> 200, task P3 halted v1 untimed, awaits P3 A
      halt P3         -> 200, task P3 halted v1
      tick 900        -> task P1 halted, task P2 halted, task P3 halted
      settle A resolved -> 200, task P1 halted resumes=2, task P2 halted resumes=1, task P3 halted resumes=1
    ]])
  end)

  it("is refused for a fulfilled task and for none", function()
    run([[
      halt P1     -> 404 "Task not found"
      create P1 target=w1
      settle P1 resolved
      halt P1     -> 409 "Task is fulfilled"
      create A
      halt A      -> 404 "Task not found"
    ]])
  end)
end)
