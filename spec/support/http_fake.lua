-- http_fake.lua - an HTTP server for specs that answers what the spec says, byte for byte, and keeps what it was asked.
--
-- Here:    start(answer): a listener at .url, a port the system chose; .requests in order, each {method, path, fields,
--          body, text}; envelope() for an answer of the protocol, page() for any other.
-- Answer:  a function of (request, connection) whose strings are written as they are; it may write and close by itself
--          (connection:write, connection:close) and return nothing.
-- Closed:  server.closed(connection), if it is set, is called when a client has hung up.
-- Rule:    not a model of a server: it shows what the wire carries, and what a client makes of odd answers.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")

local M = {}

-- A whole HTTP answer. fields: lines of its head.
function M.page(status, content_type, body, fields)
  return ("HTTP/1.1 %d X\r\ncontent-type: %s\r\ncontent-length: %d\r\n%s\r\n%s"):format(status, content_type, #body,
    fields or "", body)
end

-- An answer of the protocol to this request; data: JSON text. http: another status of HTTP.
function M.envelope(request, status, data, http)
  local asked = assert(json.decode(request.body, 1, nil))
  return M.page(http or status, "application/json", ('{"kind":%s,"head":{"corrId":%s,"status":%d,"version":"2026-04-01"},"data":%s}')
    :format(json.encode(asked.kind), json.encode(asked.head.corrId), status, data))
end

-- The first whole request of the bytes, and what is behind it.
local function parse(bytes)
  local head, rest = bytes:match("^(.-\r\n)\r\n(.*)$")
  if not head then return nil, bytes end
  local request = { fields = {}, text = head }
  request.method, request.path = head:match("^(%S+) (%S+) HTTP/1%.1\r\n")
  for name, value in head:gmatch("\r\n([^:\r\n]+): ?([^\r\n]*)") do request.fields[name:lower()] = value end
  local len = math.tointeger(tonumber(request.fields["content-length"] or 0))
  if #rest < len then return nil, bytes end
  request.body = rest:sub(1, len)
  return request, rest:sub(len + 1)
end

local Server = {}
Server.__index = Server

local function accept(server, listener)
  local socket = uv.new_tcp()
  assert(listener:accept(socket))
  server.open[socket] = true
  server.accepted = server.accepted + 1
  local connection = { socket = socket }
  function connection.write(_, bytes) if not socket:is_closing() then socket:write(bytes) end end
  function connection.close() if not socket:is_closing() then socket:close() end end
  function connection.reset() if not socket:is_closing() then socket:close_reset() end end
  local bytes = ""
  socket:read_start(function(_, data)
    if not data then
      connection:close()
      server.open[socket] = nil
      if server.closed then server.closed(connection) end
      return
    end
    bytes = bytes .. data
    while true do
      local request
      request, bytes = parse(bytes)
      if not request then return end
      server.requests[#server.requests + 1] = request
      local answer = server.answer(request, connection)
      if answer then connection:write(answer) end
    end
  end)
end

function M.start(answer)
  local self = setmetatable({ requests = {}, open = {}, accepted = 0, answer = answer }, Server)
  self.listener = uv.new_tcp()
  assert(self.listener:bind("127.0.0.1", 0))
  assert(self.listener:listen(16, function() accept(self, self.listener) end))
  self.url = "http://127.0.0.1:" .. self.listener:getsockname().port
  return self
end

-- The envelope of the last request, decoded.
function Server:asked()
  return assert(json.decode(self.requests[#self.requests].body, 1, nil))
end

function Server:stop()
  self.listener:close()
  for socket in pairs(self.open) do
    if not socket:is_closing() then socket:close() end
  end
end

return M
