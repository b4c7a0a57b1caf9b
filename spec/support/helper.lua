-- helper.lua - loaded by busted before any spec: makes a spec run by hand see what spec/run shows it.
--
-- Here: where modules, the probe and the program are found. DA_PRESET names the build (default: dev).
-- The sanitizer's run-time library is preloaded into this interpreter only, so that it can load the probe; the programs
-- it starts bring their own or want none.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")

assert(_VERSION == "Lua 5.4", "run the specs as `lua5.4 /usr/bin/busted`, or through spec/run")

local root = uv.cwd()
local build = root .. "/build/" .. (os.getenv("DA_PRESET") or "dev")

package.path = table.concat({ root .. "/?.lua", root .. "/lua/?.lua", root .. "/lua/?/init.lua", package.path }, ";")
package.cpath = build .. "/spec/?.so;" .. package.cpath
if not os.getenv("DAHOST_BIN") then uv.os_setenv("DAHOST_BIN", build .. "/dahost") end
uv.os_unsetenv("LD_PRELOAD")

-- A peer that has gone is an error of the write, not the end of the spec. Programs that are started have the default again.
local broken = uv.new_signal()
broken:start("sigpipe", function() end)
broken:unref()
