-- vm_printed_evicted.lua - the workflow of vm_printed_evicted_spec.lua: lines printed while a record waits that nobody
-- awaits, and before a call that leaves no record below its caller.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step

function step.quick() return "quick" end
function async.sleeper() await(da.sleep(3600)) end
function async.fails() da.error("failed", "on purpose") end

function async.slow(value)
  await(da.sleep(0.01))
  return value
end

function async.main()
  print "first"
  -- The loser ends, cancelled, at about the time when `fails` does.
  await(da.race { step.quick(), async.sleeper() })
  local _, err = pawait(async.fails())
  print("second", err.code)
  local p = async.slow:with { id = "elsewhere" }("own id")
  print "third"
  print("fourth", await(p))
  return "done"
end
