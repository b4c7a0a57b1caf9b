-- native.lua - plugins and programs for specs: C sources compiled against bindings/dahost.h alone.
--
-- Here:    plugin(source) -> path of the shared object; kept_plugin(source), for specs that share one; program(source,
--          place[, more sources]) -> path of a program with hosts in it; compile(words) -> what the compiler says, and whether it was
--          content; HEADER, the folder of dahost.h.
-- May:     use no header of dahost but that one.
--
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local uv = require("luv")

local M = {}

M.HEADER = uv.cwd() .. "/bindings"
local SANITIZERS = { ["asan-ubsan"] = "-fsanitize=address,undefined -fno-sanitize-recover=undefined", tsan = "-fsanitize=thread" }
local WARNINGS = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"

function M.compile(words)
  local pipe = assert(io.popen(("LD_PRELOAD= %s 2>&1; echo \"exit $?\""):format(words)))
  local text = pipe:read("a")
  pipe:close()
  return text, text:match("exit (%d+)\n$") == "0"
end

local places = {}

local function build(source, path)
  local text, well = M.compile(("cc -std=c11 %s -g -pthread -shared -fPIC -I%s -o %s %s"):format(WARNINGS, M.HEADER, path,
    source))
  assert(well, text)
  return path
end

local function name_of(source) return "lib" .. source:match("([%w_]+)%.c$") .. ".so" end

function M.plugin(source)
  local place = harness.place()
  places[#places + 1] = place
  return build(source, place.dir .. "/" .. name_of(source))
end

local kept = {}

-- The same beside the program, where it stays; another spec may do so at the same time.
function M.kept_plugin(source)
  if not kept[source] then
    local path = assert(os.getenv("DAHOST_BIN")):match("^(.*)/[^/]*$") .. "/spec/" .. name_of(source)
    local fresh = ("%s.%d"):format(path, uv.os_getpid())
    assert(os.rename(build(source, fresh), path))
    kept[source] = path
  end
  return kept[source]
end

-- A program that embeds hosts, linked to the library beside the program that is looked at, as that is.
function M.program(source, place, more)
  local directory = assert(os.getenv("DAHOST_BIN")):match("^(.*)/[^/]*$")
  local path = place.dir .. "/" .. source:match("([%w_]+)%.c$")
  local lua = io.popen("pkg-config --variable=libdir lua5.4"):read("l")
  local text, well = M.compile(("cc -std=c11 %s -g %s -I%s -no-pie -Wl,--build-id -pthread -o %s %s " ..
    "-Wl,--wrap=luaS_hash -Wl,--start-group %s/libdahost.a %s/liblua5.4.a -Wl,--end-group " ..
    "-llmdb -luv -lcjson -lxxhash -llz4 -lm -ldl"):format(WARNINGS, SANITIZERS[os.getenv("DA_PRESET")] or "", M.HEADER, path,
    source .. " " .. (more or ""), directory, lua))
  assert(well, text)
  return path
end

function M.remove()
  for _, place in ipairs(places) do harness.remove(place) end
  places = {}
end

return M
