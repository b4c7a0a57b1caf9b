-- wire.lua - a server over HTTP whose clock a spec holds: commands as in engine.lua, one request each, and what is stored.
--
-- Here:    world(process): ask(kind, data), command(line), snap(), drain(), reset(). The server runs with --debug and
--          --push=false, so that messages stay until drain() has them dropped: what there is then, the next request sent.
-- Time:    instants are told from START on, which lies so far ahead that nothing falls due by the machine's clock while the
--          messages go. Every instant that is sent is moved there, every one that comes is moved back.
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local engine = require("spec.support.engine")
local http = require("spec.support.http")

local M = {}

M.START = 4070908800000 -- 2099-01-01T00:00:00Z

local World = {}
World.__index = World

local function object(members)
  return setmetatable(members, { __jsontype = "object" })
end

---------------------------------------------------------------------------------------------------- instants

local OBJECTS = { tags = true, param = true, value = true, headers = true, promiseParam = true, promiseTags = true }

-- A copy to be sent: instants moved, empty tables as what they are in the protocol.
local function moved_there(data)
  local copy = {}
  for key, each in pairs(data) do
    if key == "timeoutAt" and math.type(each) == "integer" and each > 0 and each < 1 << 42 then
      copy[key] = each + M.START
    elseif key == "resonate:delay" and tonumber(each) and tonumber(each) >= 0 then
      copy[key] = tostring(math.tointeger(tonumber(each)) + M.START)
    elseif type(each) == "table" and each ~= json.null then
      copy[key] = moved_there(each)
      if OBJECTS[key] then object(copy[key]) end
    else
      copy[key] = each
    end
  end
  return setmetatable(copy, getmetatable(data))
end

local INSTANTS = { createdAt = true, settledAt = true, timeoutAt = true, timeout = true, nextRunAt = true,
  lastRunAt = true }

local function moved_back(data)
  if type(data) ~= "table" then return data end
  for key, each in pairs(data) do
    if INSTANTS[key] and each >= M.START and each < M.START + (1 << 42) then
      data[key] = each - M.START
    else
      moved_back(each)
    end
  end
  return setmetatable(data, nil)
end

---------------------------------------------------------------------------------------------------- requests

--- Status, data and the whole envelope. `head` as for http.envelope().
---@param kind string
---@param data table
---@param head? table
function World:ask(kind, data, head)
  local whole = { ["resonate:debug_time"] = M.START + self.now }
  for name, each in pairs(head or {}) do whole[name] = each end
  local status, answer, envelope = self.connection:call(kind, moved_there(data), whole)
  return status, moved_back(answer), envelope
end

--- `at 5`, `tick 5` (which sweeps), or a command of engine.lua.
---@param line string
function World:command(line)
  local name, instant = line:match("^(%a+)%s*(%d*)$")
  if name == "at" or name == "tick" then
    self.now = math.tointeger(tonumber(instant))
    if name == "at" then return 200, {} end
    return self:ask("debug.tick", { time = M.START + self.now })
  end
  return self:ask(engine.request_of(line))
end

--- The commands of a text, parted by line ends or semicolons; each must be answered well.
---@param text string
function World:commands(text)
  for line in text:gmatch("[^;\n]+") do
    line = line:match("^%s*(.-)%s*$")
    if line ~= "" then
      local status, data = self:command(line)
      if status ~= 200 and status ~= 300 then error(("%s: %s %s"):format(line, status, tostring(data)), 2) end
    end
  end
  return self
end

function World:demand(kind, data, head)
  local status, answer = self:ask(kind, data or {}, head)
  if status ~= 200 then error(("%s: %s %s"):format(kind, status, tostring(answer)), 2) end
  return answer
end

--- All that is stored, with the lists as the server sorted them.
function World:snap()
  return self:demand("debug.snap")
end

--- One record of a list of the snapshot, by its id.
function M.of(list, id)
  for _, each in ipairs(list) do
    if each.id == id then return each end
  end
end

--- Messages of a snapshot as a sorted list of texts: `execute P v0 to http://w`, `unblock A to http://u`.
function M.messages(snap)
  local texts = {}
  for i, each in ipairs(snap.messages) do
    local task, promise = each.message.data.task, each.message.data.promise
    texts[i] = task and ("execute %s v%d to %s"):format(task.id, task.version, each.address)
      or ("unblock %s to %s"):format(promise.id, each.address)
  end
  table.sort(texts)
  return texts
end

--- Has the messages go that there are.
function World:drain()
  if #self:snap().messages == 0 then return self end
  self:demand("debug.stop")
  repeat until #self:snap().messages == 0
  self:demand("debug.start")
  return self
end

--- Nothing is stored, the clock is at 0.
function World:reset()
  self.now = 0
  self:demand("debug.reset")
  return self
end

function World:close()
  self.connection:close()
end

--- Of a server that runs with --debug and --push=false; its background stands from here on.
function M.world(process)
  local world = setmetatable({ now = 0, connection = http.connect(process.address) }, World)
  world:demand("debug.start")
  return world:reset()
end

M.object = object

return M
