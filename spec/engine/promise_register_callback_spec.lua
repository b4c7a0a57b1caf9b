-- promise_register_callback_spec.lua - promise.register_callback.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("promise.register_callback", function()
  it("adds the callback while both are pending, as a set", function()
    run([[
      create A param=x
      create P1 target=w1
      callback A P1  -> 200 pending param=x, awaits P1 A
      callback A P1  -> 200 pending, awaits P1 A
      settle A resolved -> 200 resolved, task P1 pending resumes=1, awaits P1 none
    ]])
  end)

  it("names what is missing", function()
    run([[
      create A
      callback A A   -> 400 "Awaited and awaiter must be different promises"
      callback X A   -> 404 "Awaited promise not found"
      callback X Y   -> 404 "Awaited promise not found"
      callback A Y   -> 422 "Awaiter promise not found"
      create P1
      callback A P1  -> 422 "Awaiter promise has no resonate:target tag"
    ]])
  end)

  it("does nothing when the awaiter is settled", function()
    run([[
      create A
      create P1 target=w1 timeout=20
      settle P1 resolved
      callback A P1      -> 200 pending, awaits P1 none
      settle A rejected
      callback A P1      -> 200 rejected, task P1 fulfilled resumes=0
    ]])
  end)

  it("resumes a suspended awaiter when the awaited is settled", function()
    run([[
      create A
      create B
      settle B resolved value=b
      taskcreate P1 target=w1
      suspend P1 1 A
      at 4
      callback B P1      -> 200 resolved value=b, task P1 pending v1 resumes=1 retry=104, execute P1 v1, awaits P1 A
    ]])
  end)

  it("only counts for one that is pending or acquired, and leaves a halted one alone", function()
    run([[
      create B
      settle B resolved
      create P1 target=w1
      callback B P1  -> 200 resolved, task P1 pending v0 resumes=1 retry=100
      callback B P1  -> 200 resolved, task P1 pending v0 resumes=1
      taskcreate P2 target=w1
      callback B P2  -> 200 resolved, task P2 acquired v1 resumes=1 lease=10
      create P3 target=w1
      halt P3
      callback B P3  -> 200 resolved, task P3 halted resumes=0
    ]])
  end)

  it("sees both promises past their deadlines", function()
    run([[
      create A timeout=20
      create P1 target=w1 timeout=30
      create P2 target=w1 timeout=10
      at 20
      callback A P2  -> 200 timedout, P2 timedout, task P2 fulfilled resumes=0
      callback A P1  -> 200 timedout, task P1 pending resumes=1
    ]])
  end)

  it("refuses an internal promise under await_internal=reject", function()
    run([[
      create A
      create E external=true
      create P1 target=w1
      callback A P1  -> 422 "Awaited promise is not awaitable", awaits P1 none, deadline A none
      callback E P1  -> 200 pending, awaits P1 E
    ]], { profile = { await_internal = "reject" } })
  end)

  it("refuses another origin under await_cross_origin=reject", function()
    run([[
      create a.1
      create a:1
      create b:1
      create a target=w1
      callback b:1 a  -> 400 "Awaiter and awaited must belong to the same origin"
      callback a:1 a  -> 200 pending
      callback a.1 a  -> 200 pending
    ]], { profile = { await_cross_origin = "reject" } })
    run([[
      create b:1
      create a target=w1
      callback b:1 a  -> 200 pending
    ]])
  end)
end)
