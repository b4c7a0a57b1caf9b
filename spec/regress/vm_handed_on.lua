-- vm_handed_on.lua - promises of steps and branches that are given away before they have ended.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step

function step.slow(n)
  os.execute "sleep 0.03"
  return n
end

function step.flaky(n)
  if da.attempt() == 1 then error "not yet" end
  return n
end

function step.fails() da.error("broken", "as it is", { fatal = true }) end

function async.kid(p)
  local ok, value = pawait(p)
  return ok and value or value.code
end

function async.main()
  local slow, fails = step.slow(1), step.fails():ignore()
  local flaky = step.flaky:with { retry = { first = "10ms", jitter = 0 } }(2)
  local branch = async("side", function()
    await(da.sleep(0.02))
    return 3
  end)
  local seen = await(da.all { async.kid(slow), async.kid(flaky), async.kid(branch), async.kid(fails) })
  return seen
end
