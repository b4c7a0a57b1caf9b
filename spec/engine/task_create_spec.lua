-- task_create_spec.lua - task.create.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local run = engine.run

describe("task.create", function()
  it("makes a promise and acquires its task, telling nobody", function()
    run([[
      at 3
      taskcreate P1 target=w1 pid=x ttl=9 param=p timeout=50
        -> 200 pending acquired v1 pid=x ttl=9 resumes=0 param=p createdAt=3,
           task P1 acquired v1 lease=12, deadline P1 50, preload none
    ]])
  end)

  it("stores a dead promise with a fulfilled task", function()
    run([[
      at 3
      taskcreate P1 target=w1 timeout=3             -> 200 timedout fulfilled v0, task P1 fulfilled v0 untimed
      taskcreate P2 target=w1 timeout=2 timer=true  -> 200 resolved fulfilled v0 at=2
    ]])
  end)

  it("acquires the pending task of an existing promise, whatever its version", function()
    run([[
      create P1 target=w1 param=p
      create A
      callback A P1
      settle A resolved
      at 5
      taskcreate P1 target=w2 param=q pid=x ttl=7  -> 200 pending acquired v1 param=p resumes=0,
                                                      task P1 acquired v1 lease=12 pid=x
      release P1 1
      taskcreate P1 target=w2 pid=y                -> 200 acquired v2, task P1 acquired v2 pid=y
    ]])
  end)

  it("answers with a fulfilled task, and refuses one that is taken", function()
    run([[
      create A
      taskcreate P1 target=w1
      taskcreate P1 target=w1  -> 409 "Already exists"
      suspend P1 1 A
      taskcreate P1 target=w1  -> 409 "Already exists"
      halt P1
      taskcreate P1 target=w1  -> 409 "Already exists"
      settle P1 resolved value=v
      taskcreate P1 target=w1  -> 200 resolved fulfilled v1 value=v
      taskcreate A target=w1   -> 422 "The promise does not have a resonate:target tag"
    ]])
  end)

  it("refuses what is wrong in itself", function()
    run([[
      taskcreate P1                             -> 400 "Action must have a resonate:target tag"
      taskcreate P1 target=w1 delay=5           -> 400 "Action must not have a resonate:delay tag"
      taskcreate P1 target=                     -> 400 "Invalid resonate:target address"
      taskcreate P1 target=w1 ttl=0             -> 400 "TTL must be a positive integer"
      taskcreate P1 target=w1 pid=              -> 400 "Process ID is required"
      taskcreate P1 target=w1 origin=x          -> 400 "Promise ID must be prefixed by resonate:origin"
      taskcreate P1 target=w1 pid= ttl=0 timeout=-1 -> 400, no P1
    ]])
  end)

  it("clamps a lease to the end of time", function()
    run([[
      at 50
      taskcreate P1 target=w1 ttl=9007199254740991     -> 200 acquired ttl=9007199254740991,
                                                          task P1 lease=9007199254740991
      taskcreate P2 target=w1 ttl=9223372036854775807  -> 200 acquired, task P2 lease=9007199254740991
    ]])
  end)
end)
