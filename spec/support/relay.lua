-- relay.lua - a way to a server that breaks when it is told to: a TCP relay between a client and what it speaks to.
--
-- Here:    start(target): listens at .address (a port of 127.0.0.1 that stays its own) and passes bytes on, both ways;
--            cut()            resets all connections and refuses new ones
--            snap()           resets all connections; new ones are welcome
--            freeze()         takes new ones, passes nothing, of old ones neither
--            half(direction)  passes bytes in that direction alone: "up" is to the server, "down" is to the client
--            delay(ms)        passes each byte so much later, in order
--            snip(direction, bytes)  once so many more bytes have passed in that direction, resets their connection
--            heal()           all is well from now on; what was held back is passed on
--            stop()           closes everything
--          What is held back is not read, so that its sender sees no room, as behind a link that is down.
-- Alone:   `lua5.4 spec/support/relay.lua TARGET` is a process of the same: "ready ADDRESS" on stdout, then each line on
--          stdin is a word of above with its arguments, answered by "ok WORD". It ends with its stdin.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")

local M = {}

local HELD_MAX = 1 << 20 -- bytes that wait to be passed on in one direction; then no more are read
local PORTS = { 10240, 32000 } -- below those that the system gives to others while ours is closed
local BACKLOG = 128

---------------------------------------------------------------------------------------------------- one direction

local Flow = {}
Flow.__index = Flow

local function is_open(socket)
  return socket and not socket:is_closing()
end

local function blocked(flow)
  local relay = flow.pair.relay
  return relay.frozen or relay.only and relay.only ~= flow.name
end

-- Reads as long as there is room and the way is open.
function Flow:read()
  local connected = self.name == "up" or self.pair.up.ready
  local wanted = connected and not self.ended and not blocked(self) and self.held < HELD_MAX and is_open(self.from)
  if wanted == self.reading then return end
  self.reading = wanted
  if not wanted then
    if is_open(self.from) then self.from:read_stop() end
    return
  end
  self.from:read_start(function(fault, data)
    if fault then return self.pair:reset() end
    self.ended = self.ended or data == nil
    self.held = self.held + #(data or "")
    self.chunks[#self.chunks + 1] = { data = data, due = uv.now() + self.pair.relay.delay_ms }
    self:pass()
  end)
end

-- At the byte where the connection is to break, it breaks behind it.
local function write(flow, data)
  local relay = flow.pair.relay
  local left = relay.snips[flow.name]
  local breaks = left and left <= #data
  if left then relay.snips[flow.name] = left - #data end
  if breaks then
    relay.snips[flow.name] = nil
    relay.snipped = relay.snipped + 1
    data = data:sub(1, left)
  end
  relay.passed[flow.name] = relay.passed[flow.name] + #data
  flow.to:write(data, function()
    flow.held = flow.held - #data
    if breaks then flow.pair:reset() else flow:read() end
  end)
  return breaks
end

-- Passes on what may go now.
function Flow:pass()
  while self.chunks[1] and self.ready and not blocked(self) and is_open(self.to) do
    local wait = self.chunks[1].due - uv.now()
    if wait > 0 then
      self.timer:start(wait, 0, function() self:pass() end)
      break
    end
    local chunk = table.remove(self.chunks, 1)
    if not chunk.data then
      self.over = true
      self.to:shutdown()
      self.pair:settle()
    elseif write(self, chunk.data) then
      break
    end
  end
  self:read()
end

local function flow_of(pair, name, from, to, ready)
  return setmetatable({ pair = pair, name = name, from = from, to = to, ready = ready, chunks = {}, held = 0, reading = false,
    timer = uv.new_timer() }, Flow)
end

---------------------------------------------------------------------------------------------------- one connection

local Pair = {}
Pair.__index = Pair

local function drop(pair, how)
  if pair.closed then return end
  pair.closed = true
  pair.relay.pairs[pair] = nil
  for _, flow in ipairs { pair.up, pair.down } do flow.timer:close() end
  for _, socket in ipairs { pair.client, pair.server } do
    -- A socket whose end was sent cannot be reset.
    if is_open(socket) and not (how == "reset" and socket:close_reset()) and is_open(socket) then socket:close() end
  end
end

function Pair:reset()
  drop(self, "reset")
end

-- Both sides have said that they are done.
function Pair:settle()
  if self.up.over and self.down.over then drop(self, "close") end
end

function Pair:turn()
  if self.closed then return end
  self.up:pass()
  if not self.closed then self.down:pass() end
end

local function connect(relay, pair)
  pair.server:connect(relay.host, relay.port, function(fault)
    if pair.closed then return end
    if fault then return pair:reset() end
    pair.up.ready = true
    pair:turn()
  end)
end

local function accept(relay)
  local pair = setmetatable({ relay = relay, client = uv.new_tcp(), server = uv.new_tcp() }, Pair)
  if not relay.listener:accept(pair.client) then
    pair.client:close()
    pair.server:close()
    return
  end
  relay.accepted = relay.accepted + 1
  pair.client:nodelay(true)
  pair.server:nodelay(true)
  pair.up = flow_of(pair, "up", pair.client, pair.server, false)
  pair.down = flow_of(pair, "down", pair.server, pair.client, true)
  relay.pairs[pair] = true
  if relay.frozen then
    relay.waiting[#relay.waiting + 1] = pair
  else
    connect(relay, pair)
    pair:turn()
  end
end

---------------------------------------------------------------------------------------------------- the relay

local Relay = {}
Relay.__index = Relay

local function listen(relay, port)
  relay.listener = uv.new_tcp()
  relay.listener:bind("127.0.0.1", port)
  local listens, fault = relay.listener:listen(BACKLOG, function() accept(relay) end)
  if listens then return true end
  relay.listener:close()
  relay.listener = nil
  return false, fault
end

-- Listens at a port that nobody is given by the system. By the clock, not by the generator of the spec, whose seed tells
-- what it does.
local function listen_somewhere(relay)
  for _ = 1, 1000 do
    local port = PORTS[1] + math.floor(uv.hrtime() // 100 * 7919 + uv.os_getpid()) % (PORTS[2] - PORTS[1])
    if listen(relay, port) then return port end
  end
  error("no port is free", 0)
end

-- Such a port for a server that is to have it in all of its lives.
function M.port()
  local relay = {}
  local port = listen_somewhere(relay)
  relay.listener:close()
  return port
end

local function all_turn(relay)
  local list = {}
  for pair in pairs(relay.pairs) do list[#list + 1] = pair end
  for _, pair in ipairs(list) do pair:turn() end
end

local function reset_all(relay)
  local list = {}
  for pair in pairs(relay.pairs) do list[#list + 1] = pair end
  for _, pair in ipairs(list) do pair:reset() end
  relay.waiting = {}
end

function Relay:cut()
  if self.listener then self.listener:close() end
  self.listener = nil
  reset_all(self)
end

function Relay:snap()
  reset_all(self)
end

function Relay:freeze()
  self.frozen = true
  all_turn(self)
end

function Relay:half(direction)
  assert(direction == "up" or direction == "down", "a direction is up or down")
  self.only = direction
  all_turn(self)
end

function Relay:delay(ms)
  self.delay_ms = ms
end

function Relay:snip(direction, bytes)
  assert(self.passed[direction], "a direction is up or down")
  self.snips[direction] = bytes
end

function Relay:heal()
  self.frozen, self.only, self.delay_ms, self.snips = false, nil, 0, {}
  if not self.listener and not self.stopped then assert(listen(self, self.own_port)) end
  for _, pair in ipairs(self.waiting) do
    if not pair.closed then connect(self, pair) end
  end
  self.waiting = {}
  all_turn(self)
end

function Relay:stop()
  self.stopped = true
  self:cut()
end

function Relay:connections()
  local count = 0
  for _ in pairs(self.pairs) do count = count + 1 end
  return count
end

-- target: "127.0.0.1:8001"; it need not be there yet.
function M.start(target)
  local host, port = target:gsub("^http://", ""):match("^([^:]+):(%d+)$")
  assert(host, "no address: " .. target)
  local self = setmetatable({ host = host, port = math.tointeger(tonumber(port)), pairs = {}, waiting = {}, snips = {},
    delay_ms = 0, accepted = 0, snipped = 0, passed = { up = 0, down = 0 } }, Relay)
  self.own_port = listen_somewhere(self)
  self.address = "127.0.0.1:" .. self.own_port
  return self
end

---------------------------------------------------------------------------------------------------- a process of its own

local function main(target)
  local relay = M.start(target)
  local rest, input = "", uv.new_pipe(false)
  input:open(0)
  input:read_start(function(_, data)
    if not data then os.exit(0) end
    rest = (rest .. data):gsub("([^\n]*)\n", function(line)
      local words = {}
      for word in line:gmatch("%S+") do words[#words + 1] = math.tointeger(tonumber(word)) or word end
      relay[words[1]](relay, table.unpack(words, 2))
      io.write("ok ", words[1], "\n"):flush()
      return ""
    end)
  end)
  io.write("ready ", relay.address, "\n"):flush()
  uv.run()
end

if ... ~= "spec.support.relay" and arg and arg[0]:match("[^/]+$") == "relay.lua" then main(assert(..., "which target?")) end

return M
