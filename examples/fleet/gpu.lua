local da = require "da"
local async, await, step = da.async, da.await, da.step

-- gpu.lua - renders frames: the work is a step, so that whoever takes over after a death does not do it again if it was
-- done. README.md says how to run it.
--
-- SPDX-License-Identifier: Apache-2.0

function step.pixels(name, number)
  os.execute "sleep 0.2" -- it takes its time
  return ("%s#%d"):format(name, number)
end

function async.render(name, number) return await(step.pixels(name, number)) end
