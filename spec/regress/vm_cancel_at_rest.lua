-- vm_cancel_at_rest.lua - children that are asked to cancel while they begin, run or are about to be suspended.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.pause(n)
  local until_s = os.clock() + n / 10000
  while os.clock() < until_s do end
end

function async.sleeper()
  await(da.sleep(600))
end

function async.main(rounds)
  local canceled = 0
  for i = 1, rounds do
    local child = async.sleeper()
    for _ = 1, i % 4 do await(step.pause(i % 7)) end
    child:cancel("enough")
    local ok, err = da.pawait(child)
    if not ok and err.code == "canceled" and err.message == "enough" then canceled = canceled + 1 end
  end
  return canceled
end
