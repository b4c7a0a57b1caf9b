-- rooms_spec.lua - who may know whom: every #include of the tree against the table of the rooms.
--
-- A room is a folder. It may include itself, the rooms in its row and the third-party headers in its row; what is not
-- listed is forbidden. The table is the rule; a new arrow is a decision, so it is written here and not found out later.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")

-- room = { rooms or single headers of a room it may include; third-party header patterns }
local RULES = {
  base = { { }, { "^cjson/", "^xxhash%.h$", "^pthread%.h$" } },
  engine = { { "base" }, { } },
  store = { { "base", "engine" }, { "^lmdb%.h$", "^pthread%.h$" } },
  sched = { { "base", "engine", "store" }, { "^uv%.h$", "^pthread%.h$" } },
  vm = { { "base", "engine/record.h", "sched", "engine/effect.h" }, { "^lua", "^lauxlib", "^pthread%.h$", "^lz4%.h$" } },
  net = { { "base", "engine/record.h", "engine/effect.h", "sched" }, { "^uv%.h$", "^llhttp%.h$", "^openssl/" } },
  bindings = { { "base", "vm", "sched", "engine/record.h" }, { "^lua", "^lauxlib", "^openssl/evp%.h$", "^openssl/opensslv%.h$",
    "^curl/curl%.h$" } },
  cli = { { "base", "engine", "store", "sched", "vm", "net", "bindings" }, { "^lua", "^lauxlib", "^uv%.h$" } },
}
local FOLDERS = { bindings = "bindings" } -- the others lie below host/

-- Three files stand outside of their room's row, and say so here: the probe shows engine, store and net to the specs, the
-- host of dahost.h opens a store and lends it a loop, and what seals images is of OpenSSL.
local EXCEPTIONS = {
  ["host/base/hmac"] = { "openssl/evp.h", "openssl/opensslv.h" },
  ["bindings/bind_probe"] = { "engine", "store", "net" },
  ["bindings/bind_host"] = { "engine", "store", "uv.h" },
}

-- Third-party headers by what they are; everything else in <...> is the C library or the kernel.
local THIRD_PARTY = {
  "^cjson/", "^xxhash", "^lmdb", "^uv", "^lua", "^lauxlib", "^llhttp", "^curl/", "^openssl/", "^lz4",
}

-- What the engine calls nowhere: it gets its time and its memory, and says what it has to say in its answer.
local FORBIDDEN_CALLS = {
  "malloc", "calloc", "realloc", "free", "da_xmalloc", "da_xrealloc", "time", "clock_gettime", "printf", "da_log",
}

local function matches(name, patterns)
  for _, pattern in ipairs(patterns) do
    if name:find(pattern) then return true end
  end
  return false
end

local function files_of(folder)
  local list = {}
  local scan = uv.fs_scandir(folder)
  if not scan then return list end
  for name in function() return uv.fs_scandir_next(scan) end do
    if name:find("%.[ch]$") then list[#list + 1] = folder .. "/" .. name end
  end
  table.sort(list)
  return list
end

-- "host/vm/worker.h" and "../sched/sched.h" give the room "sched" and the header "sched/sched.h".
local function target(path, include)
  local parts = {}
  for part in (path:match("^(.*)/") .. "/" .. include):gmatch("[^/]+") do
    if part == ".." then table.remove(parts) else parts[#parts + 1] = part end
  end
  if parts[1] == "host" then table.remove(parts, 1) end
  return parts[1], table.concat(parts, "/")
end

local function allowed(room, path, other, header)
  if other == room then return true end
  for _, each in ipairs(RULES[room][1]) do
    if each == other or each == header then return true end
  end
  for prefix, rooms in pairs(EXCEPTIONS) do
    if path:sub(1, #prefix) == prefix then
      for _, each in ipairs(rooms) do
        if each == other then return true end
      end
    end
  end
  return false
end

-- Is the header in <...> one that this file may have beside its room's?
local function excepted(path, angled)
  for prefix, names in pairs(EXCEPTIONS) do
    for _, name in ipairs(names) do
      if path:sub(1, #prefix) == prefix and name == angled then return true end
    end
  end
  return false
end

local function violations(room, path, text)
  local found = {}
  local line = 0
  for row in (text .. "\n"):gmatch("(.-)\n") do
    line = line + 1
    local quoted = row:match('^%s*#%s*include%s+"([^"]+)"')
    local angled = row:match("^%s*#%s*include%s+<([^>]+)>")
    if quoted then
      local other, header = target(path, quoted)
      if not allowed(room, path, other, header) then
        found[#found + 1] = ("%s:%d: room %s may not include %s"):format(path, line, room, header)
      end
    elseif angled and matches(angled, THIRD_PARTY) and not matches(angled, RULES[room][2])
      and not excepted(path, angled) then
      found[#found + 1] = ("%s:%d: room %s may not include <%s>"):format(path, line, room, angled)
    end
  end
  return found
end

describe("rooms", function()
  for room in pairs(RULES) do
    it("keeps " .. room .. " to the rooms it may know", function()
      local found = {}
      for _, path in ipairs(files_of(FOLDERS[room] or "host/" .. room)) do
        local file = assert(io.open(path))
        for _, each in ipairs(violations(room, path, file:read("a"))) do found[#found + 1] = each end
        file:close()
      end
      assert.equal("", table.concat(found, "\n"))
    end)
  end

  it("knows a forbidden include when it sees one", function()
    assert.equal(1, #violations("engine", "host/engine/x.c", '#include "../store/store.h"'))
    assert.equal(1, #violations("engine", "host/engine/x.c", "#include <lmdb.h>"))
    assert.equal(1, #violations("vm", "host/vm/x.c", '#include "../engine/engine.h"'))
    assert.equal(0, #violations("vm", "host/vm/x.c", '#include "../engine/record.h"\n#include <lua.h>'))
    assert.equal(0, #violations("bindings", "bindings/bind_probe.c", '#include "../host/store/store.h"'))
    assert.equal(1, #violations("bindings", "bindings/bind_log.c", '#include "../host/store/store.h"'))
  end)

  it("reads no clock, allocates nothing and keeps no state in the engine", function()
    local found = {}
    for _, path in ipairs(files_of("host/engine")) do
      local line = 0
      for row in io.lines(path) do
        line = line + 1
        local code = row:gsub("//.*", ""):gsub("/%*.*", "")
        for _, word in ipairs(FORBIDDEN_CALLS) do
          if code:find("%f[%w_]" .. word .. "%(") then found[#found + 1] = ("%s:%d: %s()"):format(path, line, word) end
        end
        -- Indented or not, a static that is no function and not const is state.
        local static = code:match("^%s*static%s+(.*)")
        if static and not static:find("const") and not static:find("%(") and static:find("[=;]") then
          found[#found + 1] = ("%s:%d: mutable static: %s"):format(path, line, row)
        end
      end
    end
    assert.equal("", table.concat(found, "\n"))
  end)
end)
