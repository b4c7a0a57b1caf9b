-- modes.lua - how a program recovers executions that are not in memory, as settings in its environment.
--
-- cold:  every await that suspends evicts, every resume is a replay from the top.
-- image: every await that suspends evicts, and an image is made at each moment of rest: every resume goes on from one.
-- tail:  as image, but an image is made after five calls only: most resumes go on from one and replay what came behind it.
-- plain: in memory as long as it lives; a new process replays.
--
-- DA_MODE names the mode of the programs that a spec starts (runner.lua runs files more than once); without, the settings
-- are those of a user who has set none.
-- SPDX-License-Identifier: Apache-2.0
local M = {
  plain = { DAHOST_IMAGES = "false" },
  cold = { DAHOST_WARM = "0", DAHOST_IMAGES = "false" },
  image = { DAHOST_WARM = "0", DAHOST_IMAGE_AFTER = "0", DAHOST_IMAGE_EVERY = "0" },
  tail = { DAHOST_WARM = "0", DAHOST_IMAGE_AFTER = "5", DAHOST_IMAGE_EVERY = "5" },
}

-- Puts a mode into an environment; nil leaves it as it is.
function M.set(env, mode)
  for name, value in pairs(mode and (M[mode] or error("no mode " .. mode)) or {}) do env[name] = value end
  return env
end

return M
