-- seeds.lua - lua5.4 spec/fuzz/seeds.lua TARGET FOLDER: writes what the target begins with as files, one each.
-- SPDX-License-Identifier: Apache-2.0
local target, folder = arg[1], arg[2]
package.path = "./?.lua;" .. package.path

local found, seeds = pcall(require, "spec.fuzz." .. target .. "_seeds")
assert(found or seeds:find("module 'spec.fuzz." .. target .. "_seeds' not found", 1, true), seeds)

for i, bytes in ipairs(found and seeds or {}) do
  local file = assert(io.open(("%s/seed-%04d"):format(folder, i), "wb"))
  file:write(bytes)
  file:close()
end
