-- storm.lua - calls of natives of all kinds, a part of them cancelled: comes to n if each came to what it should.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, pawait, s = da.async, da.pawait, da.native.stress
local kinds = { s.sync, s.pool, s.async }
function async.storm(n)
  local open, good = {}, 0
  for i = 1, n do
    local p = kinds[i % 3 + 1](i)
    if s.pure(i) ~= i then error "pure" end
    open[#open + 1] = p
    if i % 16 == 5 then p:cancel() end
    if #open == 48 or i == n then
      for k, each in ipairs(open) do
        local ok, v = pawait(each)
        if ok and v == i - #open + k or not ok and v.code == "canceled" then good = good + 1 end
      end
      open = {}
    end
  end
  return good
end
