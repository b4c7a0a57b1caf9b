local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- meter.lua - a life that has no end: each day begins the workflow again, under the same id and without its history.
--
--   dahost run examples/meter.lua count 3 '"1s"'
--
-- `return da.again(...)` is a call of the workflow with what has to be kept, and all that is kept: after ten thousand
-- days a restart replays one day, and the store holds one day.
--
-- SPDX-License-Identifier: Apache-2.0

function step.read(hour)
  ledger.note("read", hour)
  return 3 + hour
end

function async.count(days, pause, total)
  total = total or 0
  for hour = 1, 2 do
    total = total + await(step.read(hour))
    await(da.sleep(pause or "12h"))
  end
  if days > 1 then return da.again(days - 1, pause, total) end -- a real meter leaves out the condition
  return total
end
