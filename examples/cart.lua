local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- cart.lua - something that lives for weeks: one execution per cart, an inbox for what is done to it.
--
--   dahost run examples/cart.lua cart --id cart-7
--   dahost send cart-7/orders '{"op":"add","sku":"tea","n":2}'        (in another terminal)
--   dahost send cart-7/orders '{"op":"checkout"}'
--
-- Its state is an argument: after every few messages it begins again with that alone, under the same id, so that no
-- restart has more to replay than those few. The inbox stays.
--
-- SPDX-License-Identifier: Apache-2.0

local PRICES = { tea = 350, cake = 520, pot = 1400 } -- cents
local MESSAGES = 2 -- until it begins again; small, to show it

function step.charge(cents)
  ledger.note("charge", cents)
  return "receipt for " .. cents .. " cents"
end

function step.remind(count)
  ledger.note("remind", count)
  return count
end

local does = {}

function does.add(state, order)
  if not PRICES[order.sku] then return print("nobody sells " .. tostring(order.sku)) end
  state.items[order.sku] = (state.items[order.sku] or 0) + (order.n or 1)
end

function does.remove(state, order)
  state.items[order.sku] = nil
end

local function total(items)
  local cents = 0
  for sku, n in pairs(items) do cents = cents + n * PRICES[sku] end
  return cents
end

function async.cart(patience, state)
  state = state or { items = da.object {}, messages = 0 }
  local orders = da.inbox "orders"
  if state.messages == 0 then print("open: dahost send " .. da.id() .. "/orders '{\"op\":\"add\",\"sku\":\"tea\",\"n\":2}'") end
  for _ = 1, MESSAGES do
    local heard, order = da.pawait(da.within(patience or "30m", orders:recv()))
    if not heard then
      return { state = "abandoned", reminded = await(step.remind(state.messages)) }
    elseif order.op == "checkout" then
      return { state = "sold", items = state.items, receipt = await(step.charge(total(state.items))) }
    end
    if does[order.op] then does[order.op](state, order) end
    state.messages = state.messages + 1
  end
  return da.again(patience, state)
end
