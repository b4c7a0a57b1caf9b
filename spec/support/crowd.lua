-- crowd.lua - several clients that ask a server over HTTP at once, on few ids, and what they were answered.
--
-- Here:    new(options) and run(): one history for linear.lua. What is asked comes from gen.lua, aimed by an oracle that is
--          led along in the order of sending: an estimate of what the server holds, never a judge. One request in some
--          is sent by a rival on another connection as well, so that two want the same thing at the same time; at one in
--          some, another connection looks what came of it.
-- Options: seed; clients (how many), depth (how many requests a connection may have under way); liar (liars.lua);
--          clock: "given" (each request carries its instant, which moves when nothing is under way: a record whose end
--          lies before its beginning is nobody's wish) or "real" (and nothing falls due); start, the first instant
--          given; without (a set of kinds that are not sent).
-- Deaths:  bury() what a killed server left open, connect() to the next. `shadow` may be set to what is known then.
-- Time:    the spec's process is one thread: it counts sendings and receipts. A call that is sent after another was
--          received has a greater number; the server moves all the while.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local gen = require("spec.support.gen")
local http = require("spec.support.http")
local oracle = require("spec.support.oracle")
local program = require("spec.support.program")

local M = {}

local Crowd = {}
Crowd.__index = Crowd

local NOT_ON_THE_WIRE = { ["task.step"] = true, ["task.again"] = true, ["task.spawn"] = true }
local RIVAL_PERCENT = 25
local LOOK_PERCENT = 15
local STEP_PERCENT = 10 -- of the requests wait for a later instant, and so for quiet

local function real_ms() -- as the server's clock
  local second, microsecond = uv.gettimeofday()
  return second * 1000 + microsecond // 1000
end

---@param options table
function M.new(options)
  local self = setmetatable({
    options = options,
    history = {},
    count = 0, -- of sendings and receipts
    gen = gen.new(options.seed),
    now = options.start or 1,
    clients = {},
    lanes = 0,
    sent = 0,
    answered = 0,
    limit = 0,
    enough = math.huge,
    shadow = oracle.new(),
  }, Crowd)
  self.real = options.clock == "real"
  local step_time = self.gen.step_time
  function self.gen.step_time(g, o, now)
    return g:chance(STEP_PERCENT) and step_time(g, o, now) or now
  end
  return self
end

function Crowd:tick()
  self.count = self.count + 1
  return self.count
end

function Crowd:connect(address)
  self.address = address
  for i = 1, self.options.clients or 3 do
    self.lanes = self.lanes + 1
    self.clients[i] = { lane = self.lanes, connection = http.connect(address), waiting = {} }
  end
  self.spare = { connection = http.connect(address) } -- for what no history tells of
end

function Crowd:disconnect()
  for _, client in ipairs(self.clients) do client.connection:close() end
  self.spare.connection:close()
  self.clients = {}
end

---------------------------------------------------------------------------------------------------- what is asked

-- As it goes over the wire: null is JSON's, nothing that only the engine knows, no number that JSON readers lose.
local function wired(value)
  if value == oracle.null then return json.null end
  if math.type(value) == "integer" and value > oracle.TIME_MAX then return oracle.TIME_MAX end
  if type(value) ~= "table" then return value end
  local new = setmetatable({}, { __jsontype = #value > 0 and "array" or nil })
  for name, item in pairs(value) do new[name] = wired(item) end
  return new
end

-- Lists that may be empty; every other empty table is an object.
local function typed(data)
  for name, item in pairs(data) do
    if type(item) == "table" then
      typed(item)
      if next(item) == nil then
        setmetatable(item, { __jsontype = (name == "tasks" or name == "actions") and "array" or "object" })
      end
    end
  end
  return data
end

-- Under the real clock nothing may fall due while we look.
local function everlasting(data)
  for name, item in pairs(data) do
    if type(item) == "table" then
      everlasting(item)
    elseif name == "timeoutAt" and math.type(item) == "integer" and item > 0 then
      data[name] = oracle.TIME_MAX
    elseif name == "ttl" and math.type(item) == "integer" and item > 0 then
      data[name] = item + 1000000
    elseif name == "resonate:delay" then
      data[name] = nil
    end
  end
  return data
end

-- Something that may be sent, and its instant. Few of what is refused for its shape: that changes nothing.
function Crowd:draw()
  while true do
    local request, now = self.gen:next(self.shadow, self.now)
    request = { kind = request.kind, data = wired(request.data) }
    if type(request.data) == "table" then
      request.data.look = nil
      if self.real then everlasting(request.data) end
      typed(request.data)
    end
    if self.real then now = real_ms() end
    local fits = not NOT_ON_THE_WIRE[request.kind] and not (self.real and request.kind == "sweep")
      and not (self.options.without or {})[request.kind]
    if fits and request.kind ~= "sweep" then
      local reply = self.shadow:clone():apply(request, now)
      fits = reply.status ~= 400 or type(request.data) == "table" and self.gen:chance(10)
    end
    if fits then return request, now end
  end
end

---------------------------------------------------------------------------------------------------- sending, receiving

function Crowd:note(lane, request, now)
  local call = { lane = lane, invoked = self:tick(), returned = math.huge, request = request }
  if self.real then call.from, call.to = real_ms(), math.maxinteger else call.now = now end
  self.history[#self.history + 1] = call
  return call
end

function Crowd:head(now)
  return not self.real and { ["resonate:debug_time"] = now } or nil
end

function Crowd:send(client, request, now)
  if request.kind == "sweep" then request = { kind = "debug.tick", data = { time = now } } end
  local call = self:note(client.lane, request, now)
  self.sent = self.sent + 1
  local liar = self.options.liar
  local reply
  if request.kind == "debug.tick" then
    self.shadow:sweep(now)
    self.last_status = 200
  elseif request.kind ~= "debug.snap" then
    reply = self.shadow:apply(request, now)
    self.last_status = reply.status
  end
  if liar and liar.takes and liar:takes(self, call, reply) then return call end
  client.connection:send_call(request.kind, request.data, self:head(now))
  client.waiting[#client.waiting + 1] = call
  return call
end

function Crowd:settle(call, status, data)
  call.reply, call.returned = { status = status, data = data }, self:tick()
  self.answered = self.answered + 1
  if not call.now then call.to = real_ms() end
  local liar = self.options.liar
  if liar and liar.changes then liar:changes(self, call) end
end

-- Takes whatever has come. The end of a connection is left to whoever kills servers.
function Crowd:collect()
  for _, client in ipairs(self.clients) do
    while #client.waiting > 0 and client.connection.buffer ~= "" do
      local came, status, data = pcall(client.connection.receive_call, client.connection)
      if not came then
        if client.connection.ended and status:find("closed within an answer", 1, true) then break end
        error(status, 0)
      end
      self:settle(table.remove(client.waiting, 1), status, data)
    end
  end
end

function Crowd:waiting()
  local count = 0
  for _, client in ipairs(self.clients) do count = count + #client.waiting end
  return count
end

-- A client that may send, other than one.
function Crowd:free(other)
  local first = self.gen:int(#self.clients)
  for i = first, first + #self.clients - 1 do
    local client = self.clients[i % #self.clients + 1]
    if client ~= other and #client.waiting < (self.options.depth or 3) and not client.connection.ended then
      return client
    end
  end
end

function Crowd:look(client, request, now)
  local id = self.last_status ~= 400 and (request.data.id or request.data.awaited)
  local looker = id and self.gen:chance(LOOK_PERCENT) and self:free(client)
  if looker then
    local kind = self.gen:chance(70) and "promise.get" or "task.get"
    self:send(looker, { kind = kind, data = { id = id } }, now)
  end
end

function Crowd:burst(most)
  for _ = 1, self.gen:int(most) do
    local client = self.sent < self.limit and self:free()
    if not client then return end
    local request, now = self.later, self.later_now
    self.later = nil
    if not request then request, now = self:draw() end
    if not self.real and now > self.now and self:waiting() > 0 then
      self.later, self.later_now = request, now
      return
    end
    self.now = now
    self:send(client, request, now)
    local rival = self.gen:chance(RIVAL_PERCENT) and self:free(client)
    if rival then self:send(rival, request, now) end
    self:look(client, request, now)
  end
end

function Crowd:is_over()
  for _, client in ipairs(self.clients) do
    if client.connection.ended then return true end
  end
  return self.answered >= self.enough or self.sent >= self.limit and self:waiting() == 0
end

-- Takes what came, sends some more. True when there is nothing left to do.
function Crowd:turn()
  self:collect()
  if self:is_over() then return true end
  self:burst(2 * #self.clients)
  return false
end

-- Sends `calls` requests and takes the answers; ends early if the server does, or if there are `enough` answers: then
-- others are under way.
function Crowd:run(calls, enough)
  self.limit, self.enough = self.sent + calls, enough and self.answered + enough or math.huge
  program.turn_until(function() return "the answers to a crowd" end, function() return self:turn() end)
  self:collect()
  return self.history
end

-- The server is dead. What it answered is taken; what it did not, it did or did not do. Gives how many those are.
function Crowd:bury()
  program.turn_until(function() return "the end of the connections" end, function()
    for _, client in ipairs(self.clients) do
      if not client.connection.ended then return false end
    end
    return true
  end)
  self:collect()
  local died, lost = self:tick(), 0
  for _, client in ipairs(self.clients) do
    for _, call in ipairs(client.waiting) do
      call.returned, lost = died, lost + 1
      if not call.now then call.to = real_ms() end
    end
  end
  self:disconnect()
  self.later = nil
  return lost
end

-- One request when all is quiet.
function Crowd:ask(kind, data)
  local client = self.clients[1]
  local call = self:send(client, { kind = kind, data = data or {} }, self.now)
  self:settle(table.remove(client.waiting, 1), client.connection:receive_call())
  return call
end

M.real_ms = real_ms

return M
