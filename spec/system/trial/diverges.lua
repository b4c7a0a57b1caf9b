-- diverges.lua - a workflow whose path depends on what no replay can know; wrong on purpose.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.a() return 1 end
function step.b() return 2 end

function async.main()
  local again = da.replaying()
  await(da.sleep "1s")
  local got = await(again and step.b() or step.a())
  await(da.sleep "1s")
  return got
end

function async.later()
  await(da.sleep "1s")
  local again = da.replaying()
  local got = await(again and step.b() or step.a())
  await(da.sleep "1s")
  return got
end
