-- sched.lua - the pump as a program of its own (spec/sched/sched_probe.c), for the specs of host/sched.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")
local uv = require("luv")

local M = {}

-- A command may be on its way to one that has just died.
local pipe = uv.new_signal()
pipe:start("sigpipe")
pipe:unref()

local Process = {}
Process.__index = Process

local PROBE = os.getenv("DAHOST_BIN"):match("^(.*)/") .. "/spec/sched_probe"

--- A life over the store in `folder` (a new one if nil). kill: where DAHOST_KILL ends it.
function M.start(folder, kill)
  local self = setmetatable({ folder = folder or kit.folder(), text = "", ended = false }, Process)
  self.input, self.output = uv.new_pipe(), uv.new_pipe()
  local env = { "PATH=" .. os.getenv("PATH"), kill and "DAHOST_KILL=" .. kill }
  self.process = assert(uv.spawn(PROBE,
    { args = { self.folder }, env = env, stdio = { self.input, self.output, 2 } }, function(code, signal)
      self.code, self.signal = code, signal
    end))
  self.output:read_start(function(_, more)
    self.text = self.text .. (more or "")
    self.ended = self.ended or more == nil
  end)
  return self
end

function Process:line()
  while not self.ended and not self.text:find("\n", 1, true) do uv.run("once") end
  local first, rest = self.text:match("^(.-)\n(.*)$")
  self.text = rest or ""
  return first
end

--- Sends a command; gives what came up to its answer, the answer among it, in one string each.
function Process:ask(command)
  local told = {}
  if self.code == nil and not self.ended then self.input:write(command .. "\n") end
  for line in function() return self:line() end do
    told[#told + 1] = line
    if line:sub(-1) == "." then break end
  end
  return told
end

--- What the transport was offered until nothing was on its way any more, by name.
function Process:offered(command)
  local told = {}
  for _, each in ipairs { command, "sync" } do
    for _, line in ipairs(self:ask(each)) do
      if line:sub(-1) ~= "." then told[#told + 1] = line end
    end
  end
  table.sort(told)
  return told
end

function Process:kept()
  return tonumber(self:ask("kept")[1]:match("%d+"))
end

--- Ends it in peace, or waits for its death. Gives the signal it died of, 0 if it did not.
function Process:stop()
  if not self.input:is_closing() then self.input:close() end
  while self.code == nil or not self.ended do uv.run("once") end
  for _, handle in ipairs { self.output, self.process } do
    if not handle:is_closing() then handle:close() end
  end
  uv.run("nowait")
  return self.signal, self.code
end

return M
