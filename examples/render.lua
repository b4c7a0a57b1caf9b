local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"
local gpu = da.service "gpu" -- what the processes that serve the group "gpu" can do, by name

-- render.lua - a pipeline over two groups: the script is written here, frames are drawn where the graphics cards are.
--
--   dahost serve examples/render.lua gpu=examples/render_gpu.lua
--   dahost run examples/render.lua film tides 4
--
-- SPDX-License-Identifier: Apache-2.0

function step.script(title, scenes)
  ledger.note("script", title)
  local list = {}
  for i = 1, scenes do list[i] = { title = title, scene = i } end
  return list
end

function async.film(title, scenes)
  local list = await(step.script(title, scenes))

  -- A call of another group is a promise as any other. Two cards: two scenes at a time.
  local frames = await(da.map(list, gpu.shade, { limit = 2 }))

  -- Its name makes the reel's id: film-1:encode=tides.
  return await(gpu.encode:with { key = title, timeout = "1h" }(title, frames))
end
