-- claim_spec.lua - the outbox: what is kept for delivery, what of it is told, what leaves it.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local run = engine.run

local DAY = 24 * 3600 * 1000

describe("claim and sent", function()
  it("tell what is to be sent, executes before unblocks, until it was", function()
    run([[
      create A
      listen A to=u1
      settle A resolved
      create P1 target=w1
      claim          -> 200, execute P1 v0 to=w1, unblock A to=u1
      claim          -> 200, execute P1 v0 to=w1, unblock A to=u1
      sent P1@0      -> 200 count=1
      claim          -> 200, unblock A to=u1
      sent A>u1      -> 200 count=1
      claim          -> 200
      sent A>u1 P1@0 -> 200 count=0
    ]])
  end)

  it("tell no more than they are asked for, and whether there is more", function()
    run([[
      create P1 target=w1
      create P2 target=w1
      create P3 target=w1
      claim limit=2             -> 200, more, execute P1 v0, execute P2 v0
      claim limit=2 after=P2@0  -> 200, execute P3 v0
      claim limit=2 after=P3@0  -> 200
    ]])
  end)

  it("tell those alone whose address begins so", function()
    run([[
      create P1 target=http://w1
      create P2 target=http://w2
      create A
      listen A to=http://w2/u
      settle A resolved
      claim begins=http://w2  -> 200, execute P2 v0, unblock A to=http://w2/u
      claim begins=poll       -> 200
    ]])
  end)

  it("keep one execute per task, the newest; an older one that was sent does not take it away", function()
    run([[
      create P1 target=w1
      acquire P1 0
      release P1 1
      tick 200
      sent P1@0  -> 200 count=0
      claim      -> 200, execute P1 v1
      sent P1@1  -> 200 count=1
      claim      -> 200
    ]])
  end)

  it("drop an execute whose task has somebody, or needs nobody", function()
    run([[
      create P1 target=w1
      create P2 target=w1
      create P3 target=w1
      create P4 target=w1
      acquire P1 0
      settle P2 resolved
      halt P3
      claim     -> 200, execute P4 v0
      release P1 1  -> 200, execute P1 v1
      claim     -> 200, execute P1 v1, execute P4 v0
    ]])
  end)

  it("drop an unblock that nobody fetched for a day", function()
    run(([[
      create A timeout=%d
      create B timeout=%d
      listen A to=u1
      listen B to=u1
      settle A resolved
      at 5
      settle B resolved  -> 200, unblock B to=u1
      at %d
      claim  -> 200 count=0, unblock A to=u1, unblock B to=u1
      at %d
      claim  -> 200 count=1, unblock B to=u1
      claim  -> 200 count=0, unblock B to=u1
    ]]):format(9 * DAY, 9 * DAY, DAY, DAY + 1))
  end)

  it("know nothing of executes for the worker in this process; it listens to nothing", function()
    run([[
      create P1 target=poll://any@here
      create P2 target=poll://any@here/x
      create P3 target=poll://any@hereafter
      create A
      listen A to=poll://any@here/y
      settle A resolved
      claim  -> 200, execute P3 v0, unblock A to=poll://any@here/y
    ]], { local_target = "poll://any@here" })
  end)
end)
