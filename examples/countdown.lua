local da = require "da"
local async, await = da.async, da.await

-- countdown.lua - time that survives: a sleep is a record, not a thread that waits.
--
--   dahost run examples/countdown.lua 3
--
-- Stop it (Ctrl-C, kill -9, the power switch) and run the same line again with the id it printed: it goes on at the
-- number it had reached, and a pause that ran out in the meantime is over at once.
--
-- SPDX-License-Identifier: Apache-2.0

function async.countdown(from, pause)
  for n = from, 1, -1 do
    print(n)
    await(da.sleep(pause or "1s"))
  end
  return "lift-off"
end
