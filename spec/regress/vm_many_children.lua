-- vm_many_children.lua - fan-outs of thousands, of steps, workflows and timers.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.id(n) return n end
function async.same(n) return n end

local function sum_of(list)
  local sum = 0
  for _, n in ipairs(list) do sum = sum + n end
  return sum
end

function async.main(count)
  local steps, children, sleeps, items = {}, {}, {}, {}
  for i = 1, count do
    steps[i], children[i], items[i] = step.id(i), async.same(i), i
    sleeps[i] = da.sleep(i % 50 / 1000)
  end
  local sum = sum_of(await(da.all(steps))) + sum_of(await(da.all(children)))
  await(da.all(sleeps))
  local failed = 0
  for _, r in ipairs(await(da.outcomes(steps))) do failed = failed + (r.ok and 0 or 1) end
  sum = sum + sum_of(await(da.map(items, step.id)))
  for i = 1, count do step.id(i) end -- joined at the end
  return sum / (count * (count + 1) / 2), failed
end
