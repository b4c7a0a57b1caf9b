-- vm_keyed_by_tables.lua - tables of the script that are keyed by tables and functions, made while it loads.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await = da.async, da.await

local list, number_of = {}, {}
for i = 1, 40 do
  local object = { call = function() return i end }
  list[i] = object
  number_of[object] = i
  number_of[object.call] = -i
end

function async.look(n)
  for i, object in ipairs(list) do
    if number_of[object] ~= i or number_of[object.call] ~= -i then error("lost object " .. i) end
  end
  return n
end

function async.main(count)
  local all = {}
  for i = 1, count do all[i] = async.look(i) end
  local sum = 0
  for _, n in ipairs(await(da.all(all))) do sum = sum + n end
  return sum
end
