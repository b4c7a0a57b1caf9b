local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- order.lua - an order on its way from the shelf to the door, with a human in the middle.
--
--   dahost run examples/order.lua --id order-7 \
--     '{"customer":"ada","lines":[{"sku":"tea","count":2},{"sku":"pot","count":1}]}'
--   dahost promise resolve order-7:approval.1 '{"ok":true}'     (in another terminal)
--
-- Kill it wherever you like: run the first line again and it goes on behind the last step that was recorded.
-- `sh examples/run` does just that, and counts.
--
-- SPDX-License-Identifier: Apache-2.0

-- The steps touch the world; here the world is a ledger. da.id() is the same for every attempt of a step, so it is the
-- key by which a real shop or bank would know that it has seen this request before.

function step.reserve(line)
  ledger.note("reserve", line.count, line.sku)
  return { sku = line.sku, count = line.count, cents = line.count * (250 + 10 * #line.sku) }
end

function step.release(line)
  ledger.note("release", line.count, line.sku)
end

function step.charge(customer, cents)
  ledger.note("charge", customer, cents)
  return "payment/" .. da.id()
end

function step.refund(payment)
  ledger.note("refund", payment)
end

function step.ship(customer, lines)
  ledger.note("ship", #lines, "lines to", customer)
  return "parcel/" .. da.id()
end

function step.notify(customer, text)
  ledger.note("notify", customer, text)
end

-- The workflow says what happens in which order, and what happens when a human says no or says nothing.

function async.order(order)
  local reserved = await(da.map(order.lines, step.reserve)) -- one step per line, all at once
  local cents = 0
  for _, line in ipairs(reserved) do cents = cents + line.cents end
  local payment = await(step.charge(order.customer, cents))

  local approval = da.promise("approval", { timeout = order.patience or "2h" })
  print(("waiting for approval: dahost promise resolve %s '{\"ok\":true}'"):format(approval.id))
  local heard, answer = da.pawait(approval)

  if not (heard and answer.ok) then
    await(step.refund(payment))
    await(da.map(reserved, step.release))
    return { state = "withdrawn", why = heard and (answer.why or "refused") or answer.code }
  end

  local parcel = await(step.ship(order.customer, reserved))
  await(step.notify(order.customer, parcel .. " is on its way"))
  return { state = "shipped", parcel = parcel, cents = cents }
end
