-- faults_run.lua - lua5.4 faults_run.lua PROBE SEED OPS [queue|schedule]: a random run against the probe in that file.
--
-- A process of its own, since a probe with a fault in it may do anything. Prints `same` or `different AT WHAT`.
--
-- SPDX-License-Identifier: Apache-2.0
package.path = "./?.lua;" .. package.path
local lockstep = require("spec.support." .. (arg[4] and arg[4] .. "_" or "") .. "lockstep")

local open = assert(package.loadlib(arg[1], "luaopen_da_probe"))
local run = lockstep.run({ probe = open("da_probe"), seed = tonumber(arg[2]), ops = tonumber(arg[3]) })
print(run.difference and ("different %d %s"):format(run.ops, (run.difference:gsub("%c", "|"))) or "same")
