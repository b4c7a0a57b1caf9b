-- task_fence_spec.lua - task.fence.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("task.fence", function()
  it("creates and settles for the holder; the lease is not moved", function()
    run([[
      taskcreate P1 target=w1 ttl=10 branch=P1
      at 5
      fence P1 1 create P1:a branch=P1 param=p  -> 200, inner 200 pending param=p createdAt=5, preload P1:a,
                                                   task P1 acquired v1 lease=10
      fence P1 1 create P1:a                    -> 200, inner 200 pending param=p
      fence P1 1 settle P1:a resolved value=v   -> 200, inner 200 resolved value=v, preloaded P1:a resolved
      fence P1 1 settle P1:a rejected           -> 200, inner 200 resolved value=v
      fence P1 1 settle P1:x resolved           -> 200, inner 404
    ]])
  end)

  it("dispatches what it creates with a target", function()
    run([[
      taskcreate P1 target=w1
      at 5
      fence P1 1 create P1:a target=w2  -> 200, inner 200 pending, task P1:a pending v0 retry=105,
                                           execute P1:a v0 to=w2
    ]])
  end)

  it("wakes the awaiters of what it settles", function()
    run([[
      create A
      listen A to=u1
      taskcreate P1 target=w1
      taskcreate P2 target=w1
      suspend P2 1 A
      fence P1 1 settle A canceled  -> 200, inner 200 canceled, execute P2 v1, unblock A to=u1
    ]])
  end)

  it("keeps everybody else out", function()
    run([[
      fence P1 0 create X           -> 404 "Task not found", no X
      create A
      create P1 target=w1
      fence P1 0 create X           -> 409 "Version mismatch"
      acquire P1 0
      fence P1 0 create X           -> 409 "Version mismatch"
      fence P1 2 settle A resolved  -> 409 "Version mismatch", A pending
      suspend P1 1 A
      fence P1 1 create X           -> 409 "Version mismatch"
      halt P1
      fence P1 1 create X           -> 409 "Version mismatch"
      settle P1 resolved
      fence P1 1 create X           -> 409 "Version mismatch", no X
    ]])
  end)

  it("comes too late past the deadline of the task, and sees that of the promise", function()
    run([[
      create A timeout=10
      taskcreate P1 target=w1 timeout=20 ttl=100
      at 10
      fence P1 1 settle A resolved  -> 200, inner 200 timedout at=10
      at 20
      fence P1 1 create X           -> 409 "Version mismatch", no X, task P1 fulfilled
    ]])
  end)

  it("looks at the action before the task", function()
    run([[
      fence P1 0 create P1             -> 400 "Action ID must not equal the task ID"
      fence P1 0 create X timeout=-1   -> 400 "TimeoutAt must be a non-negative integer"
      fence P1 0 create X target=      -> 400 "Invalid resonate:target address"
      fence P1 0 create X delay=1      -> 400 "resonate:delay requires a resonate:target tag"
      fence P1 0 settle X timedout     -> 400
      fence P1 -1 settle X resolved    -> 400 "Version must be a non-negative integer"
    ]])
  end)
end)
