-- http.lua - an HTTP/1.1 client for specs: connections kept alive, pipelining, server-sent events, protocol envelopes.
--
-- Here:    connect(address) and what a connection can do; ask() for one request on a connection of its own; call() for one
--          request of the protocol, whose answer is checked for all that every answer must be; stream() for events.
-- Address: "127.0.0.1:8001", "[::1]:8001", "http://host:port" or "unix:/path".
-- Rule:    a spec waits for an answer or an event, never for a time; every wait has a limit that is a failure.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local program = require("spec.support.program")
local answers = require("spec.support.answers")
local guard = require("spec.support.guard")

local M = {}

M.VERSION = "2026-04-01"

---------------------------------------------------------------------------------------------------- connections

local Connection = {}
Connection.__index = Connection

local open = {} -- connections, as keys

-- Opens the socket; the bytes that come are kept in .buffer, .ended is true once the peer has closed, .fault an error.
function M.connect(address)
  address = address:gsub("^http://", ""):gsub("/$", "")
  local self = setmetatable({ address = address, buffer = "", owed = {} }, Connection)
  local connected, fault
  local function on_connect(err) connected, fault = true, err end
  local path = address:match("^unix:(.+)$")
  if path then
    self.socket = uv.new_pipe(false)
    self.socket:connect(path, on_connect)
  else
    local host, port = address:match("^%[?(.-)%]?:(%d+)$")
    assert(host, "no address: " .. address)
    self.socket = uv.new_tcp()
    assert(self.socket:connect(host == "localhost" and "127.0.0.1" or host, math.tointeger(tonumber(port)), on_connect))
    self.socket:nodelay(true)
  end
  open[self] = true
  program.turn_until(function() return "a connection to " .. address end, function() return connected end)
  if fault then
    self:close()
    error("cannot connect to " .. address .. ": " .. fault, 0)
  end
  self.socket:read_start(function(err, data)
    if data then self.buffer = self.buffer .. data else self.ended, self.fault = true, err end
  end)
  return self
end

-- A handle that is still open when Lua ends would crash it, so this waits until it is gone.
local function close_with(self, how)
  local closed
  if not open[self] then return end
  open[self] = nil
  how(self.socket, function() closed = true end)
  program.turn_until(function() return "the end of a socket" end, function() return closed end)
end

function Connection:close()
  close_with(self, self.socket.close)
end

-- As a process that is killed: no farewell, what is unread is lost. Of TCP only.
function Connection:reset()
  close_with(self, self.socket.close_reset)
end

function M.close_all()
  for connection in pairs(open) do connection:close() end
end

program.at_removal(M.close_all)

function Connection:write(bytes)
  self.socket:write(bytes)
  return self
end

-- No more is sent, answers may still come.
function Connection:finish()
  self.socket:shutdown()
  return self
end

function Connection:wait_for(what, done)
  program.turn_until(function()
    return ("%s from %s (so far: %q)"):format(what, self.address, self.buffer:sub(1, 400))
  end, done)
end

-- Waits until the peer closes.
function Connection:wait_end()
  self:wait_for("the end", function() return self.ended end)
  return self
end

-- The next `count` bytes, or, without, those before `mark`, which is taken as well.
local function take(self, count, mark)
  local from, to
  self:wait_for(mark and ("%q"):format(mark) or count .. " bytes", function()
    if count then
      from, to = count + 1, count
      if #self.buffer >= count then return true end
    else
      from, to = self.buffer:find(mark, 1, true)
      if from then return true end
    end
    if self.ended then error(("%s closed within an answer: %q"):format(self.address, self.buffer:sub(1, 400)), 0) end
  end)
  local taken = self.buffer:sub(1, from - 1)
  self.buffer = self.buffer:sub(to + 1)
  return taken
end

---------------------------------------------------------------------------------------------------- messages

-- The bytes of a request: { method=, path=, headers= { name = value }, body= }; a header that is false is left out.
function M.request_text(request)
  local method, body = request.method or (request.body and "POST" or "GET"), request.body
  local headers = { host = "localhost" }
  if body then headers["content-length"] = #body end
  for name, value in pairs(request.headers or {}) do headers[name] = value end
  local lines = { ("%s %s HTTP/1.1"):format(method, request.path or "/") }
  local names = {}
  for name in pairs(headers) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if headers[name] then lines[#lines + 1] = name .. ": " .. headers[name] end
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

-- Sends without waiting; receive() gives the answers in order.
function Connection:send(request)
  self.owed[#self.owed + 1] = request.method or "GET"
  return self:write(M.request_text(request))
end

local function take_head(self)
  local head = take(self, nil, "\r\n\r\n")
  local status, reason = head:match("^HTTP/1%.1 (%d%d%d) ?([^\r\n]*)")
  assert(status, "no answer of HTTP/1.1: " .. head:sub(1, 200))
  local answer = { status = tonumber(status), reason = reason, headers = {}, head = head }
  for name, value in head:gmatch("\r\n([^:\r\n]+):[ \t]*([^\r\n]*)") do
    name = name:lower()
    answer.headers[name] = answer.headers[name] and answer.headers[name] .. ", " .. value or value
  end
  return answer
end

local function take_chunk(self)
  local size = assert(tonumber(take(self, nil, "\r\n"):match("^%x+"), 16))
  local data = take(self, size)
  assert(take(self, 2) == "\r\n", "a chunk is longer than it says")
  return data
end

-- The next answer: { status=, reason=, headers= (names in lower case), body=, head= (its text) }.
function Connection:receive()
  local method = table.remove(self.owed, 1)
  local answer = take_head(self)
  while answer.status == 100 do answer = take_head(self) end
  local headers = answer.headers
  if method == "HEAD" or answer.status == 204 or answer.status == 304 then
    answer.body = ""
  elseif headers["transfer-encoding"] == "chunked" then
    local parts = {}
    repeat
      local part = take_chunk(self)
      parts[#parts + 1] = part
    until part == ""
    answer.body = table.concat(parts)
  elseif headers["content-length"] then
    answer.body = take(self, tonumber(headers["content-length"]))
  else
    self:wait_end()
    answer.body, self.buffer = self.buffer, ""
  end
  return answer
end

function Connection:ask(request)
  return self:send(request):receive()
end

-- One request on a connection of its own.
function M.ask(address, request)
  local connection = M.connect(address)
  local answer = connection:ask(request)
  connection:close()
  return answer
end

---------------------------------------------------------------------------------------------------- the protocol

local count = 0

-- An envelope; head may replace or add members (false leaves one out).
function M.envelope(kind, data, head)
  count = count + 1
  local whole = { corrId = "c-" .. count, version = M.VERSION }
  for name, value in pairs(head or {}) do whole[name] = value or nil end
  return { kind = kind, head = whole, data = setmetatable(data or {}, { __jsontype = "object" }) }
end

-- What holds of every answer to POST /, whatever was asked. Returns the envelope, with empty objects as empty tables.
function M.check(request, answer)
  local function demand(truth, words)
    if not truth then
      error(("%s\nrequest:  %s\nanswer:   %s %s"):format(words, request and json.encode(request) or "?", answer.head,
        answer.body), 0)
    end
  end
  demand(answer.headers["content-type"] == "application/json", "the answer is not told to be JSON")
  demand(not answer.headers.location, "an answer with a location")
  local envelope, _, fault = json.decode(answer.body, 1, json.null)
  demand(type(envelope) == "table", "the answer is no JSON: " .. tostring(fault))
  demand(envelope.head.status == answer.status, "the HTTP status is not head.status")
  demand(envelope.head.version == M.VERSION, "head.version is another")
  if request then
    demand(envelope.kind == request.kind, "kind is another")
    demand(envelope.head.corrId == request.head.corrId, "head.corrId is another")
  end
  if answer.status ~= 200 and answer.status ~= 300 then
    demand(type(envelope.data) == "string", "data of a refusal is no text")
  end
  if request then
    answers.keep(answer.body, request.kind)
    guard.check(request, envelope)
  end
  return envelope
end

-- Sends one request of the protocol without waiting; receive_call() gives its answer, in order.
function Connection:send_call(kind, data, head)
  local envelope = M.envelope(kind, data, head)
  self.calls = self.calls or {}
  self.calls[#self.calls + 1] = envelope
  return self:send { method = "POST", body = json.encode(envelope), headers = { ["content-type"] = "application/json" } }
end

function Connection:receive_call()
  local request = table.remove(self.calls, 1)
  local envelope = M.check(request, self:receive())
  return envelope.head.status, envelope.data, envelope
end

-- One request of the protocol: status, data, the whole envelope.
function Connection:call(kind, data, head)
  return self:send_call(kind, data, head):receive_call()
end

function M.call(address, kind, data, head)
  local connection = M.connect(address)
  local status, answer, envelope = connection:call(kind, data, head)
  connection:close()
  return status, answer, envelope
end

---------------------------------------------------------------------------------------------------- events

local Stream = {}
Stream.__index = Stream

-- Opens an event stream; an answer other than 200 is returned as second value, with no stream.
function M.stream(address, path, headers)
  local connection = M.connect(address)
  connection:write(M.request_text { path = path, headers = headers or { accept = "text/event-stream" } })
  local answer = take_head(connection)
  if answer.status ~= 200 then
    answer.body = take(connection, tonumber(answer.headers["content-length"]))
    connection:close()
    return nil, answer
  end
  return setmetatable({ connection = connection, answer = answer, text = "" }, Stream)
end

-- Bytes of the stream that came so far, without the frames of chunks; false at its end.
local function more(self)
  local connection = self.connection
  local size = connection.buffer:match("^(%x+)[^\r\n]*\r\n")
  if size then
    local chunk = take_chunk(connection)
    if chunk == "" then self.over = true else self.text = self.text .. chunk end
  elseif connection.ended then
    self.over, self.cut = true, true
  end
  return not self.over
end

-- The next frame, without the empty line behind it: "data: ...", ":" of a comment; nil at the end.
function Stream:frame()
  local from, to
  self.connection:wait_for("an event", function()
    while true do
      from, to = self.text:find("\n\n", 1, true)
      if from then return true end
      local before = #self.text
      if not more(self) then return true end
      if #self.text == before then return false end
    end
  end)
  if not from then return nil end
  local frame = self.text:sub(1, from - 1)
  self.text = self.text:sub(to + 1)
  return frame
end

local function decode(frame)
  local text = assert(frame:match("^data: ([^\n]*)$"), "no event of one line: " .. frame)
  answers.keep(text)
  return assert(json.decode(text)), text
end

-- The next message, decoded; comments are passed over. nil at the end.
function Stream:message()
  for frame in function() return self:frame() end do
    if frame:sub(1, 1) ~= ":" then return decode(frame) end
  end
end

-- The next message of those that have come already, or nil; .over says that the stream has ended, however it did.
function Stream:take()
  while true do
    local from, to = self.text:find("\n\n", 1, true)
    if from then
      local frame = self.text:sub(1, from - 1)
      self.text = self.text:sub(to + 1)
      if frame:sub(1, 1) ~= ":" then return decode(frame) end
    else
      local before = #self.text
      if self.over or not pcall(more, self) then
        self.over = true
        return nil
      end
      if #self.text == before then return nil end
    end
  end
end

-- Waits for the end; true if it was an orderly one.
function Stream:wait_end()
  while self:frame() do end
  return not self.cut
end

function Stream:close()
  self.connection:close()
end

return M
