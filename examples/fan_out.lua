local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- fan_out.lua - many things at once: every call starts its work, the await comes later.
--
--   dahost run examples/fan_out.lua weather oslo lima kyoto
--
-- SPDX-License-Identifier: Apache-2.0

-- Stands for a call over the network; the number is made from the name, so that every run agrees.
function step.measure(city)
  ledger.note("measure", city)
  if city == "atlantis" then da.error("no_such_city", city .. " sank", { fatal = true }) end
  return #city * 3 + city:byte() % 7
end

function step.spell(city)
  ledger.note("spell", city)
  return city:sub(1, 1):upper() .. city:sub(2)
end

function async.weather(...)
  local stations = {}
  for i, city in ipairs { ... } do stations[i] = step.measure(city) end -- all under way from here

  -- outcomes waits for each and raises nothing; all would fail on the first failure.
  local warmest, unheard
  for i, outcome in ipairs(await(da.outcomes(stations))) do
    local city = select(i, ...)
    if not outcome.ok then
      unheard = city
    elseif not warmest or outcome.value > warmest.degrees then
      warmest = { city = city, degrees = outcome.value }
    end
  end

  -- The short form for a list, here two at a time; the results come in the order of the list.
  local names = await(da.map({ ... }, step.spell, { limit = 2 }))

  return { warmest = warmest, unheard = unheard, names = names }
end
