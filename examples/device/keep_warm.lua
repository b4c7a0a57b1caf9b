local da = require "da"
local async, await = da.async, da.await
local device = da.native.device

-- keep_warm.lua - a sensor and a valve whose drivers are in C (device.c): natives look like steps.
--
--   dahost run examples/device/keep_warm.lua keep_warm 20 4 --plugin ./libdevice.so
--
-- SPDX-License-Identifier: Apache-2.0

function async.keep_warm(target, rounds, pause)
  local log = {}
  for round = 1, rounds do
    local read, celsius = da.pawait(da.within("5s", device.read(round))) -- blocks a step thread, not this one
    if not read then
      log[round] = celsius.code -- "timedout", or the driver's own
    else
      local percent = device.opening(celsius, target) -- PURE: the value is there at once, and nothing is recorded
      log[round] = ("%.1f: %.0f %%"):format(celsius, await(device.set:with { retry = { max = 3, first = 0.5 } }(percent)))
    end
    await(da.sleep(pause or "30s"))
  end
  return log
end
