-- task_suspend_spec.lua - task.suspend.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("task.suspend", function()
  it("lets go of the task until one of the awaited settles", function()
    run([[
      create A
      create B
      create C
      taskcreate P1 target=w1
      callback C P1
      settle C resolved
      suspend P1 1 A B  -> 200, task P1 suspended v1 resumes=0 untimed pid=none ttl=none, awaits P1 A B
      tick 500          -> task P1 suspended v1
      settle B resolved -> 200, task P1 pending v1 resumes=1, execute P1 v1, awaits P1 A
    ]])
  end)

  it("answers 300 when one is settled: the task stays acquired and nothing is registered", function()
    run([[
      create A
      create B
      create C
      settle B resolved
      taskcreate P1 target=w1
      callback C P1
      settle C resolved
      at 2
      suspend P1 1 A B  -> 300, task P1 acquired v1 resumes=0 lease=10 pid=w ttl=10, awaits P1 none, preload none
      at 1000
      suspend P1 1 A    -> 409
    ]])
  end)

  it("sees the awaited past their deadlines, whose callbacks count for nothing then", function()
    run([[
      create A timeout=20
      taskcreate P1 target=w1 ttl=100
      callback A P1
      at 20
      suspend P1 1 A  -> 300, A timedout, task P1 acquired v1 resumes=0 lease=100, awaits P1 none
    ]])
  end)

  it("lets a missing promise win over a settled one", function()
    run([[
      create A
      settle A resolved
      create B
      taskcreate P1 target=w1
      suspend P1 1 A X  -> 422 "Awaited promise not found"
      suspend P1 1 B X  -> 422 "Awaited promise not found", task P1 acquired v1, awaits P1 none
    ]])
  end)

  it("is the holder's alone", function()
    run([[
      create A
      suspend P1 0 A  -> 404 "Task not found"
      suspend P1 0 X  -> 404 "Task not found"
      create P1 target=w1
      suspend P1 0 A  -> 409 "Task is not acquired or version mismatch"
      suspend P1 0 X  -> 409 "Task is not acquired or version mismatch"
      acquire P1 0
      suspend P1 0 A  -> 409 "Task is not acquired or version mismatch"
      suspend P1 1 A  -> 200
      suspend P1 1 A  -> 409 "Task is not acquired or version mismatch"
      halt P1
      suspend P1 1 A  -> 409 "Task is not acquired or version mismatch"
    ]])
  end)

  it("comes too late past the deadline", function()
    run([[
      create A
      taskcreate P1 target=w1 timeout=20 ttl=100
      at 20
      suspend P1 1 A  -> 409 "Task is not acquired or version mismatch", task P1 fulfilled, awaits P1 none
    ]])
  end)

  it("refuses what is wrong in itself", function()
    run([[
      create A
      taskcreate P1 target=w1
      suspend P1 1               -> 400 "Actions array cannot be empty"
      suspend P1 1 A awaiter=P2  -> 400 "All action awaiter IDs must match the task ID"
      suspend P1 1 A P1          -> 400 "Action awaited promise must not equal the task ID"
      suspend P1 -1 A            -> 400 "Version must be a non-negative integer", task P1 acquired v1
    ]])
  end)

  it("takes an awaited twice as once, or refuses it under suspend_dups=reject", function()
    local twice = [[
      create A
      create B
      taskcreate P1 target=w1
    ]]
    run(twice .. "suspend P1 1 A B A -> 200, awaits P1 A B")
    run(twice .. [[
      suspend P1 1 A B A -> 400 "Awaited promise IDs must be unique"
      suspend P1 1 A B   -> 200, awaits P1 A B
    ]], { profile = { suspend_dups = "reject" } })
  end)

  it("follows the switches for internal promises and other origins", function()
    run([[
      create A
      create E scope=global
      taskcreate P1 target=w1
      suspend P1 1 E A  -> 422 "Awaited promise is not awaitable", awaits P1 none
      suspend P1 1 E    -> 200, awaits P1 E
    ]], { profile = { await_internal = "reject" } })
    run([[
      create o:1
      create P1:1
      taskcreate P1 target=w1
      suspend P1 1 P1:1 o:1  -> 400 "Awaited promise must belong to the same origin as the task"
      suspend P1 1 P1:1      -> 200
    ]], { profile = { await_cross_origin = "reject" } })
  end)
end)
