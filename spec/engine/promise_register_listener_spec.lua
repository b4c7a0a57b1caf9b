-- promise_register_listener_spec.lua - promise.register_listener.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("promise.register_listener", function()
  it("adds the address while the promise is pending, as a set", function()
    run([[
      create A param=x
      listen A to=u1     -> 200 pending param=x, listeners A u1
      listen A to=u1     -> 200 pending, listeners A u1
      listen A to=u2     -> 200 pending, listeners A u1 u2
      settle A resolved  -> 200 resolved, unblock A to=u1, unblock A to=u2, listeners A none
    ]])
  end)

  it("stores and sends nothing for a settled promise: the answer tells", function()
    run([[
      create A timeout=20
      create B
      settle B rejected value=b
      listen B to=u1  -> 200 rejected value=b, listeners B none
      at 20
      listen A to=u1  -> 200 timedout, listeners A none
    ]])
  end)

  it("looks at the address before the promise", function()
    run([[
      listen A           -> 400 "Address is required"
      listen A to=:x     -> 400 "Invalid listener address"
      listen A to=u1     -> 404 "Awaited promise not found"
    ]])
  end)

  it("refuses an internal promise under await_internal=reject", function()
    run([[
      create A
      create E timer=true
      listen A to=u1  -> 422 "Awaited promise is not awaitable", listeners A none, deadline A none
      listen E to=u1  -> 200 pending, listeners E u1
    ]], { profile = { await_internal = "reject" } })
  end)
end)
