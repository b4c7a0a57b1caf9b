local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- thermostat.lua - a device that is watched round by round: a sensor that may hang or fail, a valve that is opened.
--
--   dahost run examples/thermostat.lua keep_warm 20 4
--
-- SPDX-License-Identifier: Apache-2.0

-- Stands for a driver that blocks its thread, which is what step threads are for. The third reading fails for good.
function step.read_sensor(round)
  ledger.note("read", round)
  if round == 3 then da.error("sensor_broken", "no answer on the bus", { fatal = true }) end
  return 15.5 + 3 * round
end

function step.set_valve(percent)
  ledger.note("valve", percent)
  return percent
end

function async.keep_warm(target, rounds, pause)
  local log = {}
  for round = 1, rounds do
    local read, celsius = da.pawait(da.within("5s", step.read_sensor(round)))
    if not read then
      log[round] = celsius.code -- "timedout", or the driver's own
    else
      local open = await(step.set_valve:with { retry = { max = 3, first = 0.5 } }(celsius < target and 40 or 0))
      log[round] = ("%.1f: %d %%"):format(celsius, open)
    end
    await(da.sleep(pause or "30s"))
  end
  return log
end
