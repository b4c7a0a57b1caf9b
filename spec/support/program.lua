-- program.lua - the real program, started and watched: its output, its exit code, its signals.
--
-- Here:    run(args, options) to the end; spawn(args, options) and wait for what it says; a fresh place for a store.
-- Needs:   lua-luv, DAHOST_BIN (helper.lua sets it).
-- Rule:    a spec waits for a line, never for a time; every wait has a limit that is a failure.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")

local modes = require("spec.support.modes")

local M = {}

local LIMIT_MS = 60000 -- whoever takes longer hangs

local binary = os.getenv("DAHOST_BIN") or uv.cwd() .. "/build/dahost"

-- The environment without what would steer the program.
local function environment(extra)
  local env = uv.os_environ()
  for name in pairs(env) do
    if name:find("^DAHOST_") or name:find("^RESONATE_") or name == "NO_COLOR" then env[name] = nil end
  end
  modes.set(env, os.getenv("DA_MODE"))
  env.DAHOST_LISTEN = "127.0.0.1:0" -- many serve at once
  for name, value in pairs(extra or {}) do env[name] = value end
  local list = {}
  for name, value in pairs(env) do list[#list + 1] = name .. "=" .. value end
  return list
end

local spawned = {} -- by the spec under way

local Process = {}
Process.__index = Process

-- Turns the loop until done() is true; raises what() when the limit passes.
function M.turn_until(what, done)
  local late = false
  local timer = uv.new_timer()
  timer:start(LIMIT_MS, 0, function() late = true end)
  while not done() and not late do uv.run("once") end
  timer:close()
  if late then error(what() .. " did not come within " .. LIMIT_MS / 1000 .. " s", 0) end
end

local function described(self)
  return ("dahost %s\nstdout:\n%s\nstderr:\n%s\n"):format(table.concat(self.args, " "), self.out, self.err)
end

-- Waits until stderr (or another stream, "out") holds the plain text, behind what an earlier wait found.
function Process:wait_for(text, stream)
  stream = stream or "err"
  local from = self.seen[stream]
  local last
  M.turn_until(function() return described(self) .. "'" .. text .. "'" end, function()
    last = select(2, self[stream]:find(text, from, true))
    if not last and self.ended then error(described(self) .. "ended without '" .. text .. "'", 0) end
    return last
  end)
  self.seen[stream] = last + 1
  return self
end

function Process:wait()
  M.turn_until(function() return described(self) .. "its end" end, function() return self.ended end)
  return self
end

function Process:signal_with(name)
  uv.kill(self.pid, name)
  return self
end

-- Types on the terminal of a process that has one.
function Process:type(text)
  self.keyboard:write(text)
  return self
end

-- options: data (the store), cwd, env; streams (redirections of a shell, ">/dev/full"); sh (a shell's
-- script instead of args; $0 is the program); pty (on a terminal of its own:
-- columns, rows, term, or line, what its shell does before: {line = "unset TERM"}); input (the text of stdin), or
-- keyboard (stdin stays open; type() writes there); command (another program); descriptor (of this process; it is number 3 there)
function M.spawn(args, options)
  options = options or {}
  local self = setmetatable({ out = "", err = "", args = args, seen = { out = 1, err = 1 } }, Process)
  local env = { DAHOST_DATA = options.data }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local command, words = options.command or binary, args
  if options.pty then
    -- script(1) makes the terminal; its size is set inside. Both streams arrive on stdout.
    local quoted = {}
    for i, word in ipairs(args) do quoted[i] = "'" .. word:gsub("'", "'\\''") .. "'" end
    local line = ("stty cols %d rows %d; %s\nexec %s %s"):format(options.pty.columns or 80, options.pty.rows or 24,
      options.pty.line or "", binary, table.concat(quoted, " "))
    command, words = "script", { "-qefc", line, "/dev/null" }
    env.TERM = options.pty.term or "xterm-256color"
  elseif options.sh then
    command, words = "sh", { "-c", options.sh, binary }
  elseif options.streams then
    command, words = "sh", { "-c", 'exec "$0" "$@" ' .. options.streams, binary, table.unpack(args) }
  end
  local open = 3
  local function part_ended()
    open = open - 1
    self.ended = open == 0
  end
  local pipes = { out = uv.new_pipe(false), err = uv.new_pipe(false) }
  if options.pty or options.input or options.keyboard then self.keyboard = uv.new_pipe(false) end
  local handle, pid
  handle, pid = uv.spawn(command, {
    args = words,
    cwd = options.cwd,
    env = environment(env),
    stdio = { self.keyboard, pipes.out, pipes.err, options.descriptor },
  }, function(code, signal)
    self.code, self.signal = code, signal
    handle:close()
    if self.keyboard and not self.keyboard:is_closing() then self.keyboard:close() end
    part_ended()
  end)
  assert(handle, pid)
  self.pid = pid
  spawned[#spawned + 1] = self
  if options.input then
    self.keyboard:write(options.input, function()
      if not self.keyboard:is_closing() then self.keyboard:close() end
    end)
  end
  for name, pipe in pairs(pipes) do
    pipe:read_start(function(_, data)
      if data then
        self[name] = self[name] .. data
      else
        pipe:close()
        part_ended()
      end
    end)
  end
  return self
end

function M.run(args, options)
  return M.spawn(args, options):wait()
end

---------------------------------------------------------------------------------------------------- places

local function remove_tree(path)
  local scan = uv.fs_scandir(path)
  while scan do
    local name, kind = uv.fs_scandir_next(scan)
    if not name then break end
    if kind == "directory" then remove_tree(path .. "/" .. name) else uv.fs_unlink(path .. "/" .. name) end
  end
  uv.fs_rmdir(path)
end

local Place = {}
Place.__index = Place

-- A fresh directory: `data` in it is a store to be, and files can be written. in_memory: on a file system that no flush
-- waits for, if there is one; a killed process leaves the same behind there.
function M.place(in_memory)
  local dir = in_memory and uv.fs_mkdtemp("/dev/shm/dahost-spec-XXXXXX")
  dir = dir or assert(uv.fs_mkdtemp((os.getenv("TMPDIR") or "/tmp") .. "/dahost-spec-XXXXXX"))
  return setmetatable({ dir = dir, data = dir .. "/store" }, Place)
end

function Place:write(name, text)
  local path = self.dir .. "/" .. name
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

function Place:read(name)
  local file = io.open(self.dir .. "/" .. name, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

function Place:run(...)
  return M.run({ ... }, { data = self.data, cwd = self.dir })
end

function Place:spawn(...)
  return M.spawn({ ... }, { data = self.data, cwd = self.dir, env = self.env })
end

local cleanups = {}

-- Has fn called whenever a place is removed, for what another module of support leaves open.
function M.at_removal(fn)
  cleanups[#cleanups + 1] = fn
end

-- A spec that failed in the middle leaves no process behind.
function Place:remove()
  for _, fn in ipairs(cleanups) do fn() end
  for _, process in ipairs(spawned) do
    if not process.code then uv.kill(process.pid, "sigkill") end
  end
  spawned = {}
  remove_tree(self.dir)
end

return M
