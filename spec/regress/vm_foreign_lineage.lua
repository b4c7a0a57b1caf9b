-- vm_foreign_lineage.lua - children with an id of their own: another lineage, which only the awaiting lets in.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.double(n) return 2 * n end

function async.guest(n)
  await(da.sleep(0.005))
  local sum = 0
  for i = 1, 3 do sum = sum + await(step.double(n + i)) end
  return sum
end

function async.host(n)
  return await(async.guest:with { id = "guest-" .. n }(n))
end

function async.main()
  local a, b = async.host(1), async.guest:with { id = "guest-2" }(2)
  await(da.sleep(0.03)) -- all of it is suspended by now, or cold
  return await(a) + await(b) + await(da.get "guest-1")
end
