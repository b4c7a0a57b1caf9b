local da = require "da"
local async, await, step = da.async, da.await, da.step

-- front.lua - a film: its frames come from the Lua workers of group `gpu`, its title from a TypeScript worker of group
-- `studio`, which has a poster rendered in turn; put together here. README.md says how to run it.
--
-- SPDX-License-Identifier: Apache-2.0

local gpu, studio = da.service "gpu", da.service "studio"

function step.cut(frames) return table.concat(frames, " ") end

function async.film(name, count)
  local numbers = {}
  for i = 1, count do numbers[i] = i end
  local frames = await(da.map(numbers, function(i) return await(gpu.render(name, i)) end, { limit = 3 }))
  local title = await(studio.title(name, #frames))
  return title .. ": " .. await(step.cut(frames))
end
