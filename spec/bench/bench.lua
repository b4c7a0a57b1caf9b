-- bench.lua - the workflows that da_bench measures.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

local function nothing() return 1 end

function async.steps(n)
  for _ = 1, n do await(step("s", nothing)) end
  return n
end

function async.steps_then_wait(n)
  for _ = 1, n do await(step("s", nothing)) end
  return await(da.promise "gate")
end

function async.gates(n, tail)
  for _ = 1, n do await(step("s", nothing)) end
  await(da.promise "gate")
  await(step("s", nothing))
  await(da.promise "gate")
  for _ = 1, tail do await(step("s", nothing)) end
  for _ = 1, 2 do
    await(da.promise "gate")
    await(step("s", nothing))
  end
  await(da.promise "gate")
  return await(step("s", nothing))
end

function async.generations(left)
  for _ = 1, 3 do await(step("s", nothing)) end
  if left > 1 then return da.again(left - 1) end
  return await(da.promise "gate")
end

function async.sleeper()
  await(da.sleep "2d")
  return true
end

function step.leaf() return 1 end

function async.one_named() return await(step.leaf()) end
