-- vm_cancel_branch.lua - branches and combinators that are cancelled: by a race, a time-out, a failing scope.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.id(n) return n end

local function endless(trail, name)
  return async(name, function()
    local ok, err = da.pawait(da.sleep(600))
    trail[#trail + 1] = name .. ":" .. (ok and "slept" or err.code)
    await(step.id(1))
  end)
end

function async.sleeper()
  await(da.sleep(600))
end

function async.main()
  local trail = {}
  await(da.any { step.id(1), endless(trail, "loser") })
  local _, err = da.pawait(da.within(0.01, endless(trail, "late")))
  trail[#trail + 1] = err.code
  _, err = da.pawait(da.within(0.01, da.all { async.sleeper(), da.map({ 1, 2 }, function() return da.sleep(600) end) }))
  trail[#trail + 1] = err.code
  local ok
  ok, err = pcall(await, async("scope", function()
    endless(trail, "inner")
    await(step.id(2))
    error { code = "broken" }
  end))
  trail[#trail + 1] = tostring(ok) .. ":" .. err.code
  return table.concat(trail, " ")
end
