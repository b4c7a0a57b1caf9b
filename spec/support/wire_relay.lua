-- wire_relay.lua - a way between workers and a server that sees all that goes over it, and can make the server look like
-- another one.
--
-- Here:    start(address, profile): a listener at .url. One request at a time goes on to the server, in the order in which
--          they come; what members only dahost knows stays here, and the profile dresses the answers.
-- Holding: with hold() messages of event streams wait until release() lets the next one through: so a worker meets one
--          thing at a time, and does the same each time.
-- Keeping: with record(case) everything is put into the entries of the case (wire_tape.lua).
--
-- SPDX-License-Identifier: Apache-2.0
local fake = require("spec.support.http_fake")
local tape = require("spec.support.wire_tape")
local uv = require("luv")

local M = {}

local Relay = {}
Relay.__index = Relay

local TURN_MS = 20
local OURS = "^dahost:" -- members of heads

---------------------------------------------------------------------------------------------------- to the server

local function connect(address, on_data, on_end)
  local host, port = address:match("([%d.]+):(%d+)$")
  local socket = uv.new_tcp()
  local ended
  local function over()
    if not socket:is_closing() then socket:close() end
    if not ended then on_end() end
    ended = true
  end
  socket:connect(host, math.tointeger(tonumber(port)), function(fault)
    if fault then return over() end
    socket:read_start(function(err, data)
      if err or not data then over() else on_data(data) end
    end)
  end)
  return socket
end

local function post(text)
  return ("POST / HTTP/1.1\r\nhost: server\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"):format(#text, text)
end

local function without_ours(head)
  for name in pairs(head) do
    if name:find(OURS) then head[name] = nil end
  end
end

local go_on

-- The answer to the oldest request under way, once it is whole.
local function on_answer(self, data)
  self.buffer = self.buffer .. data
  while true do
    local head, rest = self.buffer:match("^(.-\r\n)\r\n(.*)$")
    local len = head and math.tointeger(tonumber(head:lower():match("\r\ncontent%-length: *(%d+)") or 0))
    if not head or #rest < len then return end
    self.buffer = rest:sub(len + 1)
    local job = table.remove(self.jobs, 1)
    self.busy = false
    self:answered(job, tape.decode(rest:sub(1, len)))
    go_on(self)
  end
end

-- Everybody who waits hears that the server has gone, as they would without us.
local function on_end(self)
  self.upstream, self.busy, self.buffer = nil, false, ""
  for _, job in ipairs(self.jobs) do job.connection:close() end
  self.jobs = {}
end

function go_on(self)
  local job = self.jobs[1]
  if not job or self.busy then return end
  self.busy = true
  self.upstream = self.upstream or connect(self.address, function(data) on_answer(self, data) end, function() on_end(self) end)
  self.upstream:write(post(tape.encode(job.forward)))
end

function Relay:answered(job, envelope)
  if self.profile.name ~= "dahost" then without_ours(envelope.head) end
  if self.profile.dress then self.profile.dress(envelope) end
  self.last = uv.now()
  if self.case then self:keep(job.envelope, envelope) end
  job.connection:write(fake.page(self.profile.http_status or envelope.head.status, "application/json", tape.encode(envelope)))
end

---------------------------------------------------------------------------------------------------- messages

local function tell(self, message)
  self.last = uv.now()
  if self.case then
    local entry = { message = tape.decode(self:impersonal(message.text)), group = message.group }
    entry.message.head.serverUrl = nil
    table.insert(self.case.entries, entry)
  end
  message.connection:write(message.chunk)
end

local function on_event(self, group, connection, chunk)
  local text = chunk:match("data: ([^\n]*)")
  local message = { group = group, connection = connection, text = text,
    chunk = ("%x\r\n%s\r\n"):format(#chunk, chunk) }
  if not text or not self.holding then
    if text then tell(self, message) else connection:write(message.chunk) end
  else
    table.insert(self.inbox, message)
  end
end

-- The chunks of a stream; each is passed on as one.
local function stream(self, group, request, connection)
  local buffer, headed = "", false
  connection.upstream = connect(self.address, function(data)
    buffer = buffer .. data
    if not headed then
      local head, rest = buffer:match("^(.-\r\n\r\n)(.*)$")
      if not head then return end
      headed, buffer = true, rest
      connection:write(head)
    end
    while true do
      local size, rest = buffer:match("^(%x+)\r\n(.*)$")
      local len = size and tonumber(size, 16)
      if not size or #rest < len + 2 then return end
      buffer = rest:sub(len + 3)
      for event in rest:sub(1, len):gmatch("(.-\n\n)") do on_event(self, group, connection, event) end
    end
  end, function() connection:close() end)
  connection.upstream:write(request.text .. "\r\n")
end

---------------------------------------------------------------------------------------------------- keeping

-- The text without who it is that asks.
function Relay:impersonal(text)
  return self.pid and tape.put(text, self.pid, tape.PID) or text
end

-- What is asked again and again is kept where its answer changes.
local function is_look(request)
  return request.kind == "promise.get" and request.data.id:find("~cancel$")
end

function Relay:keep(envelope, answer)
  if envelope.kind == "task.heartbeat" then return end
  local request = tape.request_of(tape.decode(self:impersonal(tape.encode(envelope))))
  local kept = tape.decode(self:impersonal(tape.encode(answer)))
  local inner = type(kept.data) == "table" and kept.data.action
  if inner then inner.head.corrId = tape.CORR_ID end
  local entry = { answer = { status = kept.head.status, data = kept.data } }
  if not is_look(request) then
    entry.ask = request
  else
    local told = tape.encode(request) .. tape.encode(entry.answer)
    if self.looked == told then return end
    self.looked, entry.look = told, request
  end
  table.insert(self.case.entries, entry)
end

---------------------------------------------------------------------------------------------------- for specs

local function serve(self, request, connection)
  self.last = uv.now()
  local group, pid = request.path:match("^/poll/([^/]+)/([^/]+)$")
  if group then
    self.pid = pid
    stream(self, group, request, connection)
    return
  end
  local envelope = tape.decode(request.body)
  local forward = tape.copy(envelope)
  if self.profile.name ~= "dahost" then without_ours(forward.head) end
  table.insert(self.jobs, { connection = connection, envelope = envelope, forward = forward })
  go_on(self)
end

--- address: of the server, "127.0.0.1:PORT".
---@param address string
---@param profile table
function M.start(address, profile)
  local self = setmetatable({ address = address, profile = profile, jobs = {}, inbox = {}, buffer = "", last = 0 }, Relay)
  self.http = fake.start(function(request, connection) serve(self, request, connection) end)
  self.http.closed = function(connection)
    if connection.upstream and not connection.upstream:is_closing() then connection.upstream:close() end
  end
  self.url = self.http.url
  return self
end

function Relay:hold()
  self.holding = true
  self.clock = uv.new_timer() -- who waits for quiet hears nothing else
  self.clock:start(TURN_MS, TURN_MS, function() end)
end

function Relay:record(case)
  self.case, self.looked = case, nil
end

-- Lets the oldest message through; false if there is none.
function Relay:release()
  local message = table.remove(self.inbox, 1)
  if message then tell(self, message) end
  return message ~= nil
end

-- How long nothing has come or gone, in ms; 0 as long as something is under way.
function Relay:quiet_ms()
  uv.update_time()
  return #self.jobs == 0 and uv.now() - self.last or 0
end

function Relay:stop()
  if self.clock then self.clock:close() end
  self.http:stop()
  if self.upstream and not self.upstream:is_closing() then self.upstream:close() end
end

return M
