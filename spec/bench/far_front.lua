-- far_front.lua - what far.lua measures, as the workers of one group serve it.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step
local back = da.service "back"

-- n round trips to the other group, one after the other.
function async.trips(n)
  for i = 1, n do assert(await(back.echo(i)) == i) end
  return n
end

-- n steps of this execution.
function async.steps(n)
  local sum = 0
  for i = 1, n do sum = await(step("add", function() return sum + i end)) end
  return sum
end

-- Ten steps, two calls of the other group between them, and a sleep.
function async.mixed()
  local sum = 0
  for i = 1, 10 do
    sum = await(step("add", function() return sum + i end))
    if i % 5 == 0 then sum = sum + await(back.echo(i)) end
  end
  await(da.sleep(0.3))
  return sum
end
