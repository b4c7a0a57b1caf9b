-- native.lua - plugins for specs: C sources compiled against bindings/dahost.h alone, once for each run of a spec file.
--
-- Here:    plugin(source[, flags]) -> path of the shared object; compile(words) -> what the compiler says, and whether it
--          was content; HEADER, the folder of dahost.h.
-- May:     use no header of dahost but that one.
--
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local uv = require("luv")

local M = {}

M.HEADER = uv.cwd() .. "/bindings"
local WARNINGS = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"

function M.compile(words)
  local pipe = assert(io.popen(("LD_PRELOAD= %s 2>&1; echo \"exit $?\""):format(words)))
  local text = pipe:read("a")
  pipe:close()
  return text, text:match("exit (%d+)\n$") == "0"
end

local places = {}

function M.plugin(source, flags)
  local place = harness.place()
  places[#places + 1] = place
  local path = place.dir .. "/lib" .. source:match("([%w_]+)%.c$") .. ".so"
  local text, well = M.compile(("cc -std=c11 -D_GNU_SOURCE %s -g -shared -fPIC -I%s %s -o %s %s"):format(WARNINGS, M.HEADER,
    flags or "", path, source))
  assert(well, text)
  return path
end

function M.remove()
  for _, place in ipairs(places) do harness.remove(place) end
  places = {}
end

return M
