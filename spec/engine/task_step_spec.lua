-- task_step_spec.lua - task.step: a fenced create and a fenced settle in one.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local run = engine.run

describe("task.step", function()
  it("records a call that is over already", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      at 9
      step P1 1 P1:s resolved created=4 timeout=90 param=p value=v
        -> 200 resolved param=p value=v createdAt=4 at=9 timeoutAt=90,
           deadline P1:s none, task P1 acquired v1 lease=50
    ]])
  end)

  it("leaves what a fenced create and a fenced settle leave", function()
    local function snapshot(text)
      local world = engine.world():run([[
        taskcreate P1 target=w1 ttl=50
        at 4
      ]] .. text)
      return world.probe:snapshot()
    end
    assert.same(
      snapshot([[
        fence P1 1 create P1:s timeout=90 param=p scope=global
        at 9
        fence P1 1 settle P1:s rejected value=v
      ]]),
      snapshot([[
        at 9
        step P1 1 P1:s rejected created=4 timeout=90 param=p value=v scope=global
      ]])
    )
  end)

  it("answers with the stored record, and settles a pending one", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      create P1:a param=a timeout=30
      create P1:b
      listen P1:b to=u1
      settle P1:a rejected value=1
      at 9
      step P1 1 P1:a resolved value=2  -> 200 rejected value=1 param=a at=0
      step P1 1 P1:b resolved value=2  -> 200 resolved value=2 at=9, unblock P1:b to=u1
      step P1 1 P1:b rejected          -> 200 resolved value=2
    ]])
  end)

  it("gives the deadline's verdict when the deadline has passed", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      at 9
      step P1 1 P1:a resolved created=3 timeout=9 value=v  -> 200 timedout createdAt=3 at=9 value=none
      step P1 1 P1:b timedout created=8 timeout=5          -> 200 timedout createdAt=5 at=5 value=none
      step P1 1 P1:c timedout created=8 timeout=10         -> 400, no P1:c
      create P1:d timeout=9
      at 10
      step P1 1 P1:d resolved value=v                      -> 200 timedout at=9
      create P1:e timeout=99
      step P1 1 P1:e timedout timeout=10                   -> 400, P1:e pending
    ]])
  end)

  it("never dates a call ahead of now", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      at 9
      step P1 1 P1:a resolved created=12  -> 200 resolved createdAt=9 at=9
    ]])
  end)

  it("is the holder's alone", function()
    run([[
      step P1 0 P1:a resolved  -> 404 "Task not found"
      create P1 target=w1 timeout=20
      step P1 0 P1:a resolved  -> 409 "Version mismatch"
      acquire P1 0 ttl=50
      step P1 2 P1:a resolved  -> 409 "Version mismatch"
      at 20
      step P1 1 P1:a resolved  -> 409 "Version mismatch", no P1:a, P1 timedout
    ]])
  end)

  it("refuses what is wrong in itself", function()
    run([[
      taskcreate P1 target=w1 ttl=50
      step P1 1 P1 resolved               -> 400 "Action ID must not equal the task ID"
      step P1 1 P1:a pending              -> 400
      step P1 1 P1:a resolved target=w1   -> 400
      step P1 1 P1:a resolved timer=true  -> 400
      step P1 1 P1:a resolved origin=x    -> 400 "Promise ID must be prefixed by resonate:origin"
      step P1 1 P1:a resolved created=-1  -> 400, no P1:a
    ]])
  end)
end)
