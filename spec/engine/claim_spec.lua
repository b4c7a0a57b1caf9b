-- claim_spec.lua - the outbox: what is kept for delivery, and its claim.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local run = engine.run

describe("claim", function()
  it("takes messages out of the outbox, executes before unblocks", function()
    run([[
      create A
      listen A to=u1
      settle A resolved
      create P1 target=w1
      claim  -> 200 count=2, execute P1 v0 to=w1, unblock A to=u1
      claim  -> 200 count=0
    ]])
  end)

  it("takes no more than it is told to, and says whether there is more", function()
    run([[
      create P1 target=w1
      create P2 target=w1
      create P3 target=w1
      claim limit=2  -> 200 count=2, more, execute P1 v0, execute P2 v0
      claim limit=2  -> 200 count=1, execute P3 v0
    ]])
  end)

  it("keeps one execute per task, the newest", function()
    run([[
      create P1 target=w1
      acquire P1 0
      release P1 1
      tick 200
      claim  -> 200 count=1, execute P1 v1
    ]])
  end)

  it("never sees what is for the worker in this process", function()
    run([[
      create P1 target=poll://any@here
      create P2 target=poll://any@here/x
      create P3 target=poll://any@hereafter
      create A
      listen A to=poll://any@here/y
      settle A resolved
      claim  -> 200 count=1, execute P3 v0
    ]], { local_target = "poll://any@here" })
  end)
end)
