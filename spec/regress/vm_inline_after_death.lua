-- vm_inline_after_death.lua - the workflow of vm_inline_after_death_spec.lua: an inline step that sees a local which is
-- assigned behind its call.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

function async.main()
  await(da.sleep(0.001))
  local n = 1
  local seen = step("seen", function() return n end)
  n = 2
  return { await(seen), n }
end
