-- order_spec.lua - tests of order.lua: dahost test examples/order_spec.lua
-- SPDX-License-Identifier: Apache-2.0
local t = require "da.test"
local shop = t.script "order.lua"

local ORDER = { customer = "ada", lines = { { sku = "tea", count = 2 }, { sku = "pot", count = 1 } } }

describe("an order", function()
  it("is shipped when a human says yes", function()
    local r = t.run(shop.order, { ORDER }, { resolve = { approval = { ok = true } } })
    assert.same({ state = "shipped", parcel = "parcel/order-1:ship.1", cents = 840 }, r.value)
  end)

  it("is withdrawn after two hours of silence, without waiting for them", function()
    local r = t.run(shop.order, { ORDER })
    assert.same({ state = "withdrawn", why = "timedout" }, r.value)
    assert.equal(2 * 3600, r.elapsed)
    local names = {}
    for i, step in ipairs(r.steps) do names[i] = step.name end
    assert.same({ "reserve", "reserve", "charge", "refund", "release", "release" }, names)
  end)

  it("is shipped by an answer that comes after an hour", function()
    local r = t.run(shop.order, { ORDER }, { at = { { "1h", function(h) h:resolve("approval.1", { ok = true }) end } } })
    assert.equal("shipped", r.value.state)
    assert.equal(3600, r.elapsed)
  end)

  it("asks a bank that is down again, and with the same key", function()
    local keys = {}
    local da = require "da"
    local r = t.run(shop.order, { ORDER }, {
      resolve = { approval = { ok = true } },
      mock = { ["step.charge"] = function(customer, cents)
        keys[#keys + 1] = da.id()
        if #keys < 3 then error "the bank is down" end
        return customer .. " paid " .. cents
      end },
    })
    assert.is_true(r.ok)
    assert.same({ "order-1:charge.1", "order-1:charge.1", "order-1:charge.1" }, keys)
    assert.same({ "ada", 840, n = 2 }, r.steps[3].args)
    assert.equal(3, r.steps[3].attempts)
  end)

  it("comes to the same wherever the process dies", function()
    local r = t.everywhere(shop.order, { ORDER }, { resolve = { approval = { ok = false, why = "too much tea" } } })
    assert.equal("too much tea", r.value.why)
  end)
end)
