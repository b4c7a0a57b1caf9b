-- far_worker.lua - a worker of another process, in Lua: streams, tasks and a small program, over the wire alone.
--
-- Here:    world(options): what all of a run share: how the server is reached, and what it has acknowledged;
--          world:worker(group, name): one that takes executes from its stream and runs them as the protocol's workers do:
--          acquire, fence, suspend, fulfil, heartbeat.
-- Program: a root makes two steps of its own, a call to another worker, a timer, a promise that somebody settles; it
--          suspends on what is pending and begins again with what is recorded.
-- Demands: what the server has acknowledged stays so; versions of a task only grow; nobody else holds what is held.
-- Rule:    a request whose answer is lost with the server is sent again to the next one; a worker that is told 409 lets go.
--
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local json = require("dkjson")
local probe = require("da_probe")
local uv = require("luv")

local M = {}

local EMPTY = setmetatable({}, { __jsontype = "object" })

-- A request may be on its way to a server that has just died.
local pipe = uv.new_signal()
pipe:start("sigpipe")
pipe:unref()

function M.now_ms()
  local seconds, us = uv.gettimeofday()
  return seconds * 1000 + us // 1000
end

local function encode(value)
  return { headers = EMPTY, data = probe.base64(json.encode(value)) }
end

local function value_of(promise)
  return promise.value.data and json.decode(probe.base64_read(promise.value.data))
end

---------------------------------------------------------------------------------------------------- the world

local World = {}
World.__index = World

-- options: address() of the server that is there now, started anew if it has died, and the number of its life; lost(why):
-- a connection to that life failed; ttl of leases in ms.
function M.world(options)
  return setmetatable({ options = options, values = {}, versions = {}, runs = {}, asked = {}, workers = {}, number = 0, conflicts = 0 },
    World)
end

-- Only of a server that has died may an answer be missing.
function World:call(kind, data)
  while true do
    local address, life = self.options.address()
    if self.connection and self.life ~= life then
      self.connection:close()
      self.connection = nil
    end
    self.life = life
    local sent, status, answer = pcall(function()
      self.connection = self.connection or http.connect(address)
      return self.connection:call(kind, data)
    end)
    if sent then return status, answer end
    if self.connection then self.connection:close() end
    self.connection = nil
    self.options.lost(status)
  end
end

-- What a promise is known to have come to stays.
function World:note(promise)
  if promise.state == "pending" then
    assert(self.values[promise.id] == nil, promise.id .. " was settled and is pending")
    return promise
  end
  local value = promise.state .. " " .. json.encode(value_of(promise) or json.null)
  local known = self.values[promise.id]
  assert(known == nil or known == value, ("%s was %s and is %s"):format(promise.id, known, value))
  self.values[promise.id] = value
  return promise
end

function World:demand(kind, data)
  local status, answer = self:call(kind, data)
  assert(status == 200, ("%s: %s %s"):format(kind, status, json.encode(answer)))
  return answer
end

-- What promise.create is asked for. call: {func=, args=}.
function M.promise(id, root, tags, call, timeout_ms)
  local all = { ["resonate:origin"] = root, ["resonate:branch"] = id, ["resonate:parent"] = root, ["resonate:scope"] = "global" }
  for name, value in pairs(tags or {}) do all[name] = value end
  return { id = id, timeoutAt = M.now_ms() + (timeout_ms or 600000), param = call and encode(call) or EMPTY, tags = all }
end

---------------------------------------------------------------------------------------------------- one worker

local Worker = {}
Worker.__index = Worker

function World:worker(group, name)
  local worker = setmetatable({ world = self, group = group, name = name, inbox = {} }, Worker)
  self.workers[#self.workers + 1] = worker
  return worker
end

-- Takes what its stream brought, an old one to its end first, and connects anew.
function Worker:listen()
  local address = self.world.options.address()
  local stream = self.stream
  while stream do
    local message = stream:take()
    if not message then break end
    self.inbox[#self.inbox + 1] = message
  end
  if stream and stream.over then
    stream:close()
    self.stream = nil
  end
  if not self.stream then
    local connected, made = pcall(http.stream, address, ("/poll/%s/%s"):format(self.group, self.name))
    if connected then self.stream = assert(made) else self.world.options.lost(made) end
  end
end

-- A task that is held: each is an answer, or raises LET_GO.
local LET_GO = {}

local function held(task, kind, data)
  local world = task.world
  data.id, data.version = task.id, task.version
  local status, answer = world:call(kind, data)
  if status == 200 or status == 300 then return answer, status end
  assert(status == 409, ("%s: %s %s"):format(kind, status, json.encode(answer)))
  world.conflicts = world.conflicts + 1
  error(LET_GO, 0)
end

local function fence(task, kind, data)
  local answer = held(task, "task.fence", { action = { kind = kind, head = EMPTY, data = data } }).action
  assert(answer.head.status == 200, json.encode(answer))
  return task.world:note(answer.data.promise)
end

-- A step of the task itself: runs once it is known to be pending, and is what was recorded of it.
local function step(task, name)
  local id = task.id .. ":" .. name
  local promise = fence(task, "promise.create", M.promise(id, task.id, { ["resonate:scope"] = "local" }))
  if promise.state ~= "pending" then return value_of(promise) end
  local world = task.world
  world.number = world.number + 1
  world.runs[id] = (world.runs[id] or 0) + 1
  promise = fence(task, "promise.settle", { id = id, state = "resolved", value = encode(world.number) })
  return value_of(promise)
end

local programs = {}

function programs.child(_, n)
  return n + 1
end

function programs.root(task, timer_ms)
  local address = "poll://any@" .. task.group
  local first = step(task, "0")
  local id = task.id
  local calls = {
    fence(task, "promise.create", M.promise(id .. ":1", id, { ["resonate:target"] = address }, { func = "child", args = { 6 } })),
    fence(task, "promise.create", M.promise(id .. ":2", id, { ["resonate:timer"] = "true" }, nil, timer_ms)),
    fence(task, "promise.create", M.promise(id .. ":3", id)),
  }
  task.world.asked[id .. ":3"] = true
  task.world:demand("task.heartbeat", { pid = task.name, tasks = { { id = id, version = task.version } } })
  local actions = {}
  for _, call in ipairs(calls) do
    if call.state == "pending" then
      actions[#actions + 1] = { kind = "promise.register_callback", head = EMPTY, data = { awaited = call.id, awaiter = id } }
    end
  end
  if #actions > 0 then
    local _, status = held(task, "task.suspend", { actions = actions })
    if status == 300 then return programs.root(task, timer_ms) end
    return nil, true
  end
  local last = step(task, "4")
  return { first, value_of(calls[1]), value_of(calls[3]), last }
end

local function run(task, promise)
  local call = json.decode(probe.base64_read(promise.param.data))
  local result, suspended = programs[call.func](task, table.unpack(call.args))
  if suspended then return end
  task.world:note(held(task, "task.fulfill", { action = { kind = "promise.settle", head = EMPTY,
    data = { id = task.id, state = "resolved", value = encode(result) } } }).promise)
end

-- Takes the task of an execute; nil if it is somebody else's.
function Worker:acquire(id, version)
  local world = self.world
  local status, answer = world:call("task.acquire", { id = id, version = version, pid = self.name, ttl = world.options.ttl })
  if status ~= 200 then
    assert(status == 409, ("acquire %s %d: %s"):format(id, version, status))
    world.conflicts = world.conflicts + 1
    return nil
  end
  assert(answer.task.version == version + 1, "a version that is not the next")
  assert(answer.task.version > (world.versions[id] or 0), id .. " has a version again that it had")
  world.versions[id] = answer.task.version
  return { world = world, id = id, version = answer.task.version, name = self.name, group = self.group }, answer.promise
end

-- Runs what has come.
function Worker:turn()
  self:listen()
  local message = table.remove(self.inbox, 1)
  if not message or message.kind ~= "execute" then return end
  local task, promise = self:acquire(message.data.task.id, message.data.task.version)
  if not task then return end
  local done, fault = pcall(run, task, self.world:note(promise))
  if not done and fault ~= LET_GO then error(fault, 0) end
end

return M
