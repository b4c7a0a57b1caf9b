local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- render_gpu.lua - the other half of render.lua: what the group "gpu" serves. A plain call here stays in the group.
--
-- SPDX-License-Identifier: Apache-2.0

-- Stands for a minute of a graphics card.
function step.trace(shot)
  ledger.note("trace", shot.scene)
  return ("%s-%02d"):format(shot.title, shot.scene)
end

function step.mux(title, frames)
  ledger.note("mux", title)
  return { reel = title .. ".mkv", frames = table.concat(frames, " ") }
end

function async.shade(shot)
  return await(step.trace(shot))
end

function async.encode(title, frames)
  return await(step.mux(title, frames))
end
