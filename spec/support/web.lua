-- web.lua - an HTTP/1.1 server in the spec's own process, for what dahost asks of others (pushes, its HTTP client).
--
-- Here:    serve(answer): a server on a port of the system's choice. `answer(request, socket)` is called for each whole
--          request; it returns the bytes of the answer, or nil if it writes to the socket itself, now or later.
-- request: method, target, head (text), fields (by lower-case name), body, connection (number), number (on it).
-- Rule:    the server moves while the spec turns the loop, as program.lua does in every wait.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")

local M = {}

local Web = {}
Web.__index = Web

-- The first whole request in the text and what is behind it, or nil.
local function read_request(text)
  local head, rest = text:match("^(.-\r\n)\r\n(.*)$")
  if not head then return nil end
  local request = { head = head, fields = {} }
  request.method, request.target = head:match("^(%S+) (%S+) HTTP/1%.1\r\n")
  for name, value in head:gmatch("\r\n([^:\r\n]+):%s*([^\r\n]*)") do request.fields[name:lower()] = value end
  local length = math.tointeger(tonumber(request.fields["content-length"] or "0"))
  if #rest < length then return nil end
  request.body = rest:sub(1, length)
  return request, rest:sub(length + 1)
end

function Web:accept(answer)
  local socket = uv.new_tcp()
  self.listener:accept(socket)
  self.sockets[#self.sockets + 1] = socket
  local connection, number, buffer = #self.sockets, 0, ""
  socket:read_start(function(_, data)
    if not data then
      if not socket:is_closing() then socket:close() end
      return
    end
    buffer = buffer .. data
    while true do
      local request, rest = read_request(buffer)
      if not request then return end
      buffer, number = rest, number + 1
      request.connection, request.number = connection, number
      self.requests[#self.requests + 1] = request
      local bytes = answer(request, socket)
      if bytes then socket:write(bytes) end
    end
  end)
end

-- .port, .url, .requests (all that came), .sockets
function M.serve(answer, host)
  host = host or "127.0.0.1"
  local self = setmetatable({ requests = {}, sockets = {} }, Web)
  self.listener = uv.new_tcp()
  assert(self.listener:bind(host, 0))
  self.port = self.listener:getsockname().port
  self.url = ("http://%s:%d"):format(host:find(":") and "[" .. host .. "]" or host, self.port)
  assert(self.listener:listen(128, function() self:accept(answer) end))
  return self
end

function Web:close()
  for _, socket in ipairs(self.sockets) do
    if not socket:is_closing() then socket:close() end
  end
  if not self.listener:is_closing() then self.listener:close() end
  uv.run("nowait")
end

-- An answer with a body and its length. fields: more lines, each with its end.
function M.answer(body, status, fields)
  return ("HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s"):format(status or "200 OK", fields or "", #body, body)
end

-- A port on which a connection is never made: nobody accepts, and the queue is full.
function M.deaf()
  local self = setmetatable({ requests = {}, sockets = {} }, Web)
  self.listener = uv.new_tcp()
  assert(self.listener:bind("127.0.0.1", 0))
  self.port = self.listener:getsockname().port
  self.url = "http://127.0.0.1:" .. self.port
  assert(self.listener:listen(1, function() end))
  for i = 1, 8 do
    self.sockets[i] = uv.new_tcp()
    self.sockets[i]:connect("127.0.0.1", self.port, function() end)
    uv.run("nowait")
  end
  return self
end

return M
