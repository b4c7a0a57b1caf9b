local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- booking.lua - a deadline that undoes: a seat is held until it is paid, or until the time is up.
--
--   dahost run examples/booking.lua book 12A '"1m"' --id booking-1
--   dahost promise resolve booking-1:sell.1.payment.1 '{"cents":4200}'        (in another terminal)
--
-- A workflow called with a timeout is not cut off when that has passed: `timedout` is raised at its await, so that it can
-- undo what it did. In da.shield it may await once more.
--
-- SPDX-License-Identifier: Apache-2.0

function step.hold(seat) ledger.note("hold", seat) end
function step.release(seat) ledger.note("release", seat) end

function step.ticket(seat, cents)
  ledger.note("ticket", seat)
  return ("%s for %d cents"):format(seat, cents)
end

function async.sell(seat)
  local paid, answer = pcall(function()
    await(step.hold(seat))
    local payment = da.promise("payment")
    print(("waiting for payment: dahost promise resolve %s '{\"cents\":4200}'"):format(payment.id))
    return await(payment)
  end)
  if paid then return await(step.ticket(seat, answer.cents)) end
  da.shield(function() await(step.release(seat)) end)
  error(answer, 0)
end

function async.book(seat, patience)
  local sold, result = da.pawait(async.sell:with { timeout = patience or "10m" }(seat))
  if sold then return { ticket = result } end
  return { released = seat, why = result.code }
end
