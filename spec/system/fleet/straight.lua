-- straight.lua - what the workflows of fleet/alpha.lua and fleet/beta.lua come to, computed without any of it.
--
-- Here: straight[group .. "." .. name](n) -> the value, or nil and the error {code, message, n}.
--
-- SPDX-License-Identifier: Apache-2.0
local M = {}

local function work(n) return 2 * n + 1 end
local function square(n) return n * n end
local function double(n) return 2 * n + work(n) + 1 end

M["alpha.chain"] = function(n)
  local v = work(n)
  for _ = 1, 3 do v = work(double(v) % 100) end
  return v
end

M["alpha.fan"] = function(n)
  local sum = work(n)
  for i = 1, 4 do sum = sum + square(n + i) end
  return sum
end

M["alpha.first"] = function(n) return square(n) * 10 + 2 end

M["alpha.map"] = function(n)
  local sum = 0
  for i = 1, 5 do sum = sum + square(work(n + i)) end
  return sum
end

M["alpha.sleepy"] = function(n) return work(n) + square(n) + n end

M["alpha.order"] = function(n)
  if n % 2 == 1 then return nil, { code = "no_order", message = "no order of " .. n, n = n, cause = "no_stock" } end
  return ("no_stock %d none left"):format(n)
end

M["alpha.rounds"] = function(n)
  local total = 0
  for i = 1, n do total = total + work(i) + square(i) end
  return total
end

M["alpha.apart"] = function(n) return work(n) + square(n) end
M["alpha.hand"] = function(n) return 2 * n + 2 * work(n) end
M["alpha.late"] = function() return "timedout" end
M["alpha.stop"] = function() return "canceled enough" end
M["alpha.within"] = function(n) return "timedout " .. square(n) end
M["alpha.braid"] = function(n) return work(n) + square(n) + double(n) + work(double(n)) end
M["alpha.saga"] = function() return "no_stock" end

M["beta.cross"] = function(n)
  return square(n) + M["alpha.chain"](n) + M["alpha.fan"](n) + M["alpha.braid"](n)
end

return M
