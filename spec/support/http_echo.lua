-- http_echo.lua - starts the server of spec/net/http_echo.c, and asks it for its counters.
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local program = require("spec.support.program")

local M = {}

M.binary = os.getenv("DAHOST_BIN"):gsub("[^/]*$", "spec/http_echo")

local Echo = {}
Echo.__index = Echo

-- Words as http_echo takes them; without an address it listens on a port that the system chooses.
function M.start(...)
  local words = { ... }
  if not words[#words] or words[#words]:find("=") then words[#words + 1] = "127.0.0.1:0" end
  local self = setmetatable({ process = program.spawn(words, { command = M.binary }) }, Echo)
  self.process:wait_for("listening ", "out")
  program.turn_until(function() return "an address" end, function() return self.process.out:find("\n") end)
  self.address = self.process.out:match("listening (%S+)")
  return self
end

-- Starts one that cannot: its words on stderr.
function M.fails(...)
  local process = program.spawn({ ... }, { command = M.binary }):wait()
  assert(process.code == 2, process.err)
  return process.err
end

function Echo:connect()
  return http.connect(self.address)
end

function Echo:ask(path)
  return http.ask(self.address, { path = path }).body
end

function Echo:stats()
  local found = {}
  for name, value in self:ask("/stats"):gmatch("(%w+)=(%d+)") do found[name] = tonumber(value) end
  return found
end

-- Asks until the counters are as they should be; what leads there is under way in the server.
function Echo:wait_stats(what, holds)
  program.turn_until(function() return what end, function() return holds(self:stats()) end)
end

-- Bytes of memory it has resident.
function Echo:resident()
  local file = assert(io.open(("/proc/%d/status"):format(self.process.pid)))
  local text = file:read("a")
  file:close()
  return tonumber(text:match("VmRSS:%s*(%d+)")) * 1024
end

-- Milliseconds of processor time it has used.
function Echo:used()
  local file = assert(io.open(("/proc/%d/stat"):format(self.process.pid)))
  local text = file:read("a")
  file:close()
  local fields = {}
  for field in text:match("%) (.*)"):gmatch("%S+") do fields[#fields + 1] = field end
  return (tonumber(fields[12]) + tonumber(fields[13])) * 10
end

return M
