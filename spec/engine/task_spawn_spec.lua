-- task_spawn_spec.lua - task.spawn: a fenced create of a promise with a target, acquired at once.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local run = engine.run

describe("task.spawn", function()
  it("makes the child and holds its task, telling nobody", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      at 9
      spawn P1 1 P1:c target=w1 pid=x ttl=20 timeout=90 param=p
        -> 200 pending acquired v1 pid=x ttl=20 param=p createdAt=9, task P1:c acquired v1 lease=29,
           deadline P1:c 90, task P1 acquired v1 lease=50
    ]])
  end)

  it("leaves what a fenced create and an acquire leave, but for the message", function()
    local function snapshot(text)
      local s = engine.world():run("taskcreate P1 target=w1 ttl=50\n" .. text).probe:snapshot()
      s.messages = nil
      return s
    end
    assert.same(
      snapshot("fence P1 1 create P1:c target=w1 timeout=90\nacquire P1:c 0 pid=x ttl=20"),
      snapshot("spawn P1 1 P1:c target=w1 timeout=90 pid=x ttl=20")
    )
  end)

  it("changes nothing about a child that is there", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      create P1:c target=w2
      create P1:d param=d
      spawn P1 1 P1:c target=w1  -> 200 pending v0, task P1:c pending v0 retry=100
      spawn P1 1 P1:d target=w1  -> 200 pending param=d
      settle P1:c resolved
      spawn P1 1 P1:c target=w1  -> 200 resolved fulfilled v0
    ]])
  end)

  it("stores a dead child with a fulfilled task", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      at 9
      spawn P1 1 P1:c target=w1 timeout=9  -> 200 timedout fulfilled v0 createdAt=9 at=9
    ]])
  end)

  it("is the holder's alone", function()
    run([[
      spawn P1 0 P1:c target=w1  -> 404 "Task not found"
      create P1 target=w1
      spawn P1 0 P1:c target=w1  -> 409 "Version mismatch", no P1:c
    ]])
  end)

  it("refuses what is wrong in itself", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      spawn P1 1 P1 target=w1            -> 400 "Action ID must not equal the task ID"
      spawn P1 1 P1:c                    -> 400 "Action must have a resonate:target tag"
      spawn P1 1 P1:c target=w1 delay=5  -> 400 "Action must not have a resonate:delay tag"
      spawn P1 1 P1:c target=            -> 400 "Invalid resonate:target address"
      spawn P1 1 P1:c target=w1 ttl=0    -> 400 "TTL must be a positive integer"
      spawn P1 1 P1:c target=w1 pid=     -> 400 "Process ID is required", no P1:c
    ]])
  end)
end)
