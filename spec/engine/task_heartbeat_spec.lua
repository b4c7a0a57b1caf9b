-- task_heartbeat_spec.lua - task.heartbeat.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("task.heartbeat", function()
  it("moves the leases of the tasks the process holds, each by its own ttl", function()
    run([[
      taskcreate P1 target=w1 pid=x ttl=10
      taskcreate P2 target=w1 pid=x ttl=50
      at 9
      heartbeat x P1@1 P2@1  -> 200, task P1 acquired v1 lease=19, task P2 acquired v1 lease=59
    ]])
  end)

  it("passes over what it does not hold, without a word", function()
    run([[
      create A
      create P1 target=w1
      taskcreate P2 target=w1 pid=x ttl=10
      taskcreate P3 target=w1 pid=y ttl=10
      taskcreate P4 target=w1 pid=x ttl=10
      suspend P4 1 A
      at 9
      heartbeat x P1@0 P2@0 P2@2 P3@1 P4@1 A@0 X@0  -> 200, task P1 pending v0 retry=100, task P2 lease=10,
                                                       task P3 lease=10, task P4 suspended untimed
    ]])
  end)

  it("is ignored once the lease was lost", function()
    run([[
      taskcreate P1 target=w1 pid=x ttl=10
      tick 10           -> task P1 pending v1, execute P1 v1
      heartbeat x P1@1  -> 200, task P1 pending v1 retry=110
      acquire P1 1 pid=y ttl=10
      heartbeat x P1@1  -> 200
      heartbeat x P1@2  -> 200, task P1 acquired v2 pid=y lease=20
    ]])
  end)

  it("refuses what is wrong in itself", function()
    run([[
      heartbeat x         -> 400 "Tasks array must not be empty"
      heartbeat x P1@-1   -> 400 "Version must be a non-negative integer"
      heartbeat x P1@0    -> 200
    ]])
    local world = require("spec.support.engine").world()
    local status, message = world:ask("task.heartbeat", { pid = "", tasks = { { id = "a", version = 0 } } })
    assert.same({ 400, "Process ID is required" }, { status, message })
    status, message = world:ask("task.heartbeat", { pid = "x", tasks = { { id = "", version = 0 } } })
    assert.same({ 400, "Task ID is required" }, { status, message })
    assert.equal(400, (world:ask("task.heartbeat", { pid = "x", tasks = { { id = ("a"):rep(3000), version = 0 } } })))
  end)

  it("takes tasks of several origins, or refuses them under heartbeat_mixed=reject", function()
    run("heartbeat x a:1@0 b:1@0 -> 200")
    run([[
      heartbeat x a:1@0 b:1@0      -> 400 "All tasks must belong to the same origin"
      heartbeat x a:1@0 a@0 a:2@0  -> 200
    ]], { profile = { heartbeat_mixed = "reject" } })
  end)
end)
