-- questions_spec.lua - twelve questions with one right answer each, on which servers of the protocol have differed.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local run = engine.run

describe("the twelve questions", function()
  it("C1: external promises get a deadline row, any other with its first callback or listener, nothing else", function()
    run([[
      create X1 timeout=20 target=w1      -> 200, deadline X1 20, execute X1 v0
      create X2 timeout=20 timer=true     -> 200, deadline X2 20
      create X3 timeout=20 external=true  -> 200, deadline X3 20
      create X4 timeout=20 scope=global   -> 200, deadline X4 20
      create I1 timeout=20                -> 200, deadline I1 none
      create I2 timeout=20 scope=local    -> 200, deadline I2 none
      create I3 timeout=20 timer=yes      -> 200, deadline I3 none
      create I4 timeout=20 external=TRUE  -> 200, deadline I4 none
      get I1                              -> 200, deadline I1 none
      callback I1 X1                      -> 200, deadline I1 20
      listen I2 to=u1                     -> 200, deadline I2 20
      acquire X1 0
      suspend X1 1 I3                     -> 200, deadline I3 20
    ]])
    local three = [[
      create P1 timeout=20 target=w1
      create T1 timeout=20 timer=true
      create I1 timeout=20
    ]]
    run(three .. "listen T1 to=u1 -> 200, deadline P1 20, deadline T1 none, deadline I1 none",
      { profile = { arm = "target" } })
    run(three .. "get I1 -> 200, deadline P1 20, deadline T1 20, deadline I1 20", { profile = { arm = "all" } })
  end)

  it("C2: a callback on an internal promise is never without a deadline", function()
    run([[
      create I timeout=20
      taskcreate P1 target=w1 ttl=500
      suspend P1 1 I  -> 200, deadline I 20
      tick 20         -> I timedout, task P1 pending v1 resumes=1, execute P1 v1
    ]])
    run([[
      create I timeout=20
      taskcreate P1 target=w1 ttl=500
      callback I P1   -> 422, deadline I none, awaits P1 none
      suspend P1 1 I  -> 422, deadline I none, awaits P1 none
    ]], { profile = { await_internal = "reject" } })
  end)

  it("C3: a listener on an internal promise is never without a deadline", function()
    run([[
      create I timeout=20
      listen I to=u1  -> 200, deadline I 20
      tick 20         -> I timedout, unblock I to=u1
    ]])
    run([[
      create I timeout=20
      listen I to=u1  -> 422, deadline I none, listeners I none
    ]], { profile = { await_internal = "reject" } })
  end)

  it("C4: task.create, halt and continue are decided on the projected state", function()
    run([[
      create P1 target=w1 timeout=20
      create P2 target=w1 timeout=20
      create P3 target=w1 timeout=20
      halt P3
      at 20
      taskcreate P1 target=w1  -> 200 timedout fulfilled v0, task P1 fulfilled v0
      halt P2                  -> 409 "Task is fulfilled", task P2 fulfilled v0
      continue P3              -> 409 "Task is not halted", task P3 fulfilled v0
    ]])
  end)

  it("C5: a task whose promise is past its deadline is not dispatched again", function()
    run([[
      taskcreate P1 target=w1 timeout=20 ttl=20
      create P2 target=w1 timeout=100
      tick 20   -> P1 timedout, task P1 fulfilled v1 untimed
      tick 100  -> P2 timedout, task P2 fulfilled v0 untimed
    ]])
  end)

  it("C6: an awaiter that is itself past its deadline is not woken", function()
    run([[
      create A timeout=900
      taskcreate P1 target=w1 timeout=20 ttl=500
      suspend P1 1 A
      at 20
      settle A resolved  -> 200 resolved, P1 pending, task P1 suspended v1 resumes=0, awaits P1 none
      tick 21            -> P1 timedout at=20, task P1 fulfilled v1
    ]])
  end)

  it("C7: a heartbeat for a promise past its deadline has no effect", function()
    run([[
      taskcreate P1 target=w1 timeout=20 ttl=15 pid=x
      at 10
      heartbeat x P1@1  -> 200, task P1 acquired lease=25
      at 20
      heartbeat x P1@1  -> 200, task P1 acquired lease=25, P1 pending
    ]])
  end)

  it("C8: every answer shows the projected record, and none goes back", function()
    run([[
      create r target=w1 branch=r timeout=900
      create r:a branch=r timeout=20
      create r:t branch=r timeout=20 timer=true
      at 20
      acquire r 0       -> 200, preload r:a r:t, preloaded r:a timedout at=20, preloaded r:t resolved at=20,
                           r:a pending
      get r:a           -> 200 timedout at=20, r:a timedout at=20
      settle r:a resolved value=late  -> 200 timedout value=none
      create r:a timeout=99           -> 200 timedout timeoutAt=20
      listen r:t to=u1                -> 200 resolved at=20
    ]])
  end)

  if not engine.over_http then
    it("C9: no execute names a version that has not been issued", function()
      run([[
        create P1 target=w1     -> 200, execute P1 v0
        tick 100                -> execute P1 v0
        acquire P1 0 ttl=10     -> 200
        tick 110                -> task P1 pending v1, execute P1 v1
        claim                   -> 200, execute P1 v1
        acquire P1 1 ttl=10
        release P1 2            -> 200, execute P1 v2
        halt P1
        continue P1             -> 200, execute P1 v2
        claim                   -> 200, execute P1 v2
      ]])
    end)
  end

  it("C10: no two workers hold a valid claim on one task", function()
    run([[
      create P1 target=w1
      acquire P1 0 pid=x ttl=10
      acquire P1 0 pid=y     -> 409
      acquire P1 1 pid=y     -> 409
      taskcreate P1 target=w1 pid=y  -> 409
      tick 10                -> execute P1 v1
      fence P1 1 create X    -> 409
      heartbeat x P1@1       -> 200, task P1 pending
      acquire P1 1 pid=y     -> 200 acquired v2
      fence P1 1 create X    -> 409
      fulfill P1 1 resolved  -> 409
      suspend P1 1 X         -> 409
      release P1 1           -> 409
      heartbeat x P1@1       -> 200, task P1 acquired v2 pid=y lease=20
      heartbeat x P1@2       -> 200, task P1 lease=20
      fence P1 2 create X    -> 200, inner 200 pending
    ]])
  end)

  it("C11: a settled promise takes no new callback and no new listener", function()
    run([[
      create A timeout=20
      create P1 target=w1
      taskcreate P2 target=w1
      at 20
      callback A P1   -> 200 timedout, awaits P1 none
      listen A to=u1  -> 200 timedout, listeners A none
      suspend P2 1 A  -> 300, awaits P2 none
    ]])
  end)

  if not engine.over_http then
    it("C12: there is no request that resets, dumps or moves the clock", function()
      local world = require("spec.support.engine").world()
      for _, kind in ipairs({ "debug.start", "debug.stop", "debug.reset", "debug.tick", "debug.snap" }) do
        local status, message = world:ask(kind, { time = 1 })
        assert.same({ 400, "Unknown operation: " .. kind }, { status, message })
      end
    end)
  end
end)
