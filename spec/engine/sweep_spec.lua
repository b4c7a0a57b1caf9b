-- sweep_spec.lua - the background sweep: deadlines, retries, leases.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local run = engine.run

describe("sweep", function()
  it("settles armed promises at their deadlines, and no other", function()
    run([[
      create A timeout=20
      create B timeout=20 timer=true
      create C timeout=20 scope=global
      create D timeout=20
      listen D to=u1
      tick 19  -> A pending, B pending
      tick 25  -> A pending, B resolved at=20, C timedout at=20, D timedout at=20, unblock D to=u1
      tick 26  -> 200 count=0
    ]])
  end)

  it("is gone before by a timer that is made too late, as far as that timer's own instant", function()
    run([[
      create A timeout=20 timer=true
      create C timeout=28 timer=true
      create D timeout=20 scope=global
      at 30
      create B timeout=25 timer=true -> A resolved at=20, B resolved at=25, C pending, D timedout at=20
      create E timeout=29            -> C pending, E timedout at=29
      tick 30                        -> C resolved at=28
    ]])
  end)

  it("sends a pending task again each time its retry timer is over", function()
    run([[
      create P1 target=w1
      tick 99   -> task P1 pending v0 retry=100
      tick 100  -> task P1 pending v0 retry=200, execute P1 v0
      tick 350  -> task P1 pending v0 retry=450, execute P1 v0
    ]])
  end)

  it("takes a task from a holder whose lease is over; the version stays until somebody acquires it", function()
    run([[
      create A
      taskcreate P1 target=w1 ttl=10
      callback A P1
      settle A resolved
      tick 9   -> task P1 acquired v1
      tick 10  -> task P1 pending v1 retry=110 resumes=1 pid=none ttl=none, execute P1 v1
      fulfill P1 1 resolved -> 409
      release P1 1          -> 409
      acquire P1 1 pid=y    -> 200 acquired v2
    ]])
  end)

  it("settles all before it wakes any", function()
    run([[
      create A timeout=20 scope=global
      taskcreate P1 target=w1 timeout=20 ttl=500
      suspend P1 1 A
      taskcreate P2 target=w1 timeout=90 ttl=500
      suspend P2 1 A P1
      tick 20  -> P1 timedout, task P1 fulfilled v1 resumes=0, task P2 pending v1 resumes=2, execute P2 v1
    ]])
  end)

  if not engine.over_http then
    it("does a bounded piece and says whether there is more", function()
      run([[
        create A timeout=20 scope=global
        create B timeout=21 scope=global
        create C timeout=22 scope=global
        create P1 target=w1
        taskcreate P2 target=w1 ttl=90
        at 150
        sweep limit=2  -> 200 count=2, more, A timedout, B timedout, C pending
        sweep limit=2  -> 200 count=2, more, C timedout, execute P1 v0, task P2 acquired
        sweep limit=2  -> 200 count=1, task P2 pending v1, execute P2 v1
        sweep limit=2  -> 200 count=0
      ]])
    end)
  end
end)
