-- kit.lua - what the store's specs share: stores that go away after each test, of both kinds.
-- SPDX-License-Identifier: Apache-2.0
local probe = require("da_probe")
local busted = require("busted")
local uv = require("luv")

local M = { probe = probe }

local worlds, folders = {}, {}

--- A new folder that is removed by clean().
function M.folder()
  local path = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/da-store-XXXXXX"))
  folders[#folders + 1] = path
  return path
end

--- A store of a kind ("memory", "lmdb"), closed by clean(). Options as for probe.new.
function M.open(kind, options)
  local all = { kind = kind }
  for key, value in pairs(options or {}) do all[key] = value end
  if kind == "lmdb" and not all.path then all.path = M.folder() end
  local world = assert(probe.new(all))
  worlds[#worlds + 1] = world
  return world, all.path
end

function M.clean()
  for _, world in ipairs(worlds) do world:close() end
  for _, path in ipairs(folders) do
    for name in (function(scan) return function() return scan and uv.fs_scandir_next(scan) end end)(uv.fs_scandir(path)) do
      uv.fs_unlink(path .. "/" .. name)
    end
    uv.fs_rmdir(path)
  end
  worlds, folders = {}, {}
end

-- The sanitizer's run-time library, if this interpreter runs with one: a child that loads the probe needs it too.
local function sanitizer()
  for line in io.lines("/proc/self/maps") do
    local path = line:match("(/%S*/lib[at]san%.so%S*)")
    if path then return path end
  end
end

--- Starts another interpreter on `code`, which has `probe` and `path`: {pid, line() waits for a line of its output,
--- send(text) to its input, kill()}.
function M.child(code, path)
  local prelude = ("package.cpath = %q local probe, path = require('da_probe'), %q io.stdout:setvbuf('line') ")
    :format(package.cpath, path)
  local output, input = uv.new_pipe(), uv.new_pipe()
  local env = { "PATH=" .. os.getenv("PATH"), "LD_PRELOAD=" .. (sanitizer() or ""), "ASAN_OPTIONS=detect_leaks=0" }
  local gone = false
  local process, pid = assert(uv.spawn("lua5.4", { args = { "-e", prelude .. code }, stdio = { input, output, 2 },
    env = env }, function() gone = true end))
  local text, ended = "", false
  output:read_start(function(_, more)
    text = text .. (more or "")
    ended = more == nil
  end)
  local function line()
    while not ended and not text:find("\n", 1, true) do uv.run("once") end
    local first, rest = text:match("^(.-)\n(.*)$")
    text = rest or ""
    return first
  end
  local function kill(signal)
    if not gone then process:kill(signal or "sigkill") end
    while not gone do uv.run("once") end
    for _, handle in ipairs({ process, output, input }) do
      if not handle:is_closing() then handle:close() end
    end
    uv.run("nowait")
  end
  return { pid = pid, line = line, kill = kill, send = function(words) input:write(words .. "\n") end }
end

--- Fails unless text holds each of the words.
function M.says(text, ...)
  for _, words in ipairs({ ... }) do
    if not tostring(text):find(words, 1, true) then error(("%q is not in %q"):format(words, tostring(text)), 2) end
  end
end

--- Describes the same thing of both kinds. `body` is given a function that opens an empty store.
function M.both(name, body)
  for _, kind in ipairs({ "memory", "lmdb" }) do
    busted.describe(name .. " (" .. kind .. ")", function()
      busted.after_each(M.clean)
      body(function(options) return M.open(kind, options) end, kind)
    end)
  end
end

--- A pending promise that a store takes as it is; `more` overrides.
function M.promise(id, more)
  local p = { id = id, state = "pending", param = {}, value = {}, tags = {}, timeoutAt = 2000, createdAt = 1000 }
  for key, value in pairs(more or {}) do p[key] = value end
  return p
end

--- Writes promises of these ids.
function M.fill(world, ids)
  assert(world:begin())
  for _, id in ipairs(ids) do assert(world:write_promise(M.promise(id))) end
  assert(world:commit())
end

function M.sorted(list)
  local copy = table.move(list, 1, #list, 1, {})
  table.sort(copy)
  return copy
end

-- A small generator of its own, so that a seed gives the same run everywhere.
function M.random(seed)
  local state = seed * 2654435761 + 88172645463325252
  return function(n)
    state = state ~ (state << 13)
    state = state ~ (state >> 7)
    state = state ~ (state << 17)
    return (state >> 11) % n + 1
  end
end

--- DA_SEED, or one of the clock; printed, so that a failure can be repeated.
function M.seed()
  local seed = math.tointeger(tonumber(os.getenv("DA_SEED") or "")) or math.tointeger(uv.hrtime() % 1000000007)
  print("seed " .. seed)
  return seed
end

function M.bytes(random, len)
  local list = {}
  for i = 1, len do list[i] = string.char(random(256) - 1) end
  return table.concat(list)
end

return M
