-- queue_lockstep.lua - the engine and the model of queues, side by side through the same random requests.
--
-- After each request they must agree on the answer, on every promise that waited, and on what is in the queues; what
-- must hold over all that ever happened is asked of the model; now and then every row is verified. As in lockstep.lua the
-- engine is whatever probe module the caller loads.
--
-- SPDX-License-Identifier: Apache-2.0
local model = require("spec.support.queue_model")

local M = {}

local KIND = { channel = 1, semaphore = 2, limiter = 3 }
local NAMES = { channel = { "c1", "c2", "x1/in" }, semaphore = { "s1" }, limiter = { "l1" } }
local MAX = 9007199254740991
local PERMITS, RATE, PER = 2, 3, 50
local WORLD_OPS = 300 -- requests to one world

local Run = {}
Run.__index = Run

function Run.int(_, low, high) return math.random(low, high) end
function Run.pick(_, list) return list[math.random(#list)] end
function Run:hit(what) self.hits[what] = (self.hits[what] or 0) + 1 end

function Run:ask(kind, data)
  local reply, name, words = self.world:apply({ kind = kind, data = data }, self.now)
  if not reply then error(("%s: %s: %s"):format(kind, name, words), 0) end
  return reply
end

function Run:begin_world()
  if self.world then self.world:close() end
  self.world, self.now = assert(self.probe.new({ kind = "memory" })), 1000
  self.model, self.known, self.count, self.generations = model.new(), {}, 0, {}
  for i = 1, 4 do
    local id, timeout = "x" .. i, i == 4 and 3000 or MAX
    self:ask("task.create", { pid = "local/1", ttl = MAX, action = { kind = "promise.create", data = {
      id = id, timeoutAt = timeout, param = {}, tags = { ["resonate:target"] = "poll://any@default" } } } })
    self.model:start(id, timeout)
  end
end

local function expect(want, got, what)
  if want ~= got then error(("%s: %s, not %s"):format(what, tostring(got), tostring(want)), 0) end
end

-- Mostly one that is alive.
function Run:execution()
  local id = self:pick { "x1", "x2", "x3", "x4" }
  return (self.model:alive(id, self.now) or self:int(1, 20) == 1) and id or "x1"
end

---------------------------------------------------------------------------------------------------- requests

function Run:wait()
  local owner, kind = self:execution(), self:pick { "channel", "channel", "semaphore", "limiter" }
  local name = self:int(1, 40) == 1 and "c1" or self:pick(NAMES[kind])
  self.count = self.count + 1
  local id = self:int(1, 10) == 1 and #self.known > 0 and self:pick(self.known) or owner .. ":p" .. self.count
  owner = id:match "^x%d"
  self.known[#self.known + 1] = id
  local limit = kind == "semaphore" and PERMITS or kind == "limiter" and RATE or 0
  local reply = self:ask("queue.wait", { id = owner, version = 1, promiseId = id, timeoutAt = MAX, tags = {}, name = name,
    queueKind = KIND[kind], limit = limit, per = kind == "limiter" and PER or 0 })
  if not self.model:alive(owner, self.now) then return expect(409, reply.status, "wait of one that is over") end
  local want = self.model:wait(name, kind, limit, PER, id, owner, self.now)
  if math.type(want) then self:hit "refused" end
  expect(want, reply.status == 200 and reply.data.promise.state or reply.status, "wait " .. id)
end

function Run:send()
  local name = self:int(1, 30) == 1 and "s1" or self:pick(NAMES.channel)
  local mark = self:int(1, 3) == 1 and "m" .. self:int(1, self.count + 1) or nil
  self.count = self.count + 1
  local text = tostring(self.count)
  local reply, want
  if mark then
    local owner = self:execution()
    reply = self:ask("queue.put", { id = owner, promiseId = owner .. ":s/" .. mark, name = name, value = { data = text } })
    local key = owner .. "/" .. (self.generations[owner] or 1) .. "/" .. mark
    want = self.model:alive(owner, self.now) and self.model:send(name, text, key, self.now) or 410
  else
    local message = self:int(1, 2) == 1 and "o" .. self.count // 6 or nil -- some come twice, as if an answer was lost
    reply = self:ask("queue.put", { name = name, value = { data = text }, message = message })
    want = self.model:send(name, text, nil, self.now, message)
  end
  local refused = want == 410 or want == 422
  if refused then self:hit "refused" end
  expect(refused and want or 200, reply.status, "put to " .. name)
end

function Run:back()
  if #self.known == 0 then return end
  local id = self:pick(self.known)
  local owner = id:match "^x%d"
  local reply = self:ask("queue.back", { id = owner, version = 1, promiseId = id })
  expect(self.model:alive(owner, self.now), reply.status == 200, "back " .. id)
  if reply.status ~= 200 then return end
  local p = self.model.promises[id]
  if p and not p.given_back then self:hit(p.state == "pending" and "passed over" or "given back") end
  self.model:back(id, self.now)
end

-- Somebody outside settles a promise that waits, or waited.
function Run:settle()
  if #self.known == 0 then return end
  local id = self:pick(self.known)
  local p = self.model.promises[id]
  local reply = self:ask("promise.settle", { id = id, state = "rejected_canceled", value = {} })
  expect(p and 200 or 404, reply.status, "settle " .. id)
  if p and p.state == "pending" then
    p.state = "rejected_canceled"
    self:hit "passed over"
  end
  self.model:serve(self.now)
end

function Run:finish()
  local owner = self:execution()
  if not self.model:alive(owner, self.now) then return end
  self:ask("task.fulfill", { id = owner, version = 1, action = { kind = "promise.settle", data = {
    id = owner, state = "resolved", value = {} } } })
  self.model:finish(owner, self.now)
end

function Run:again()
  local owner = self:execution()
  if not self.model:alive(owner, self.now) then return end
  local generation = (self.generations[owner] or 1) + 1
  local reply = self:ask("task.again", { id = owner, version = 1, generation = generation, createdAt = self.now, promise = {
    id = owner .. ":~" .. generation, timeoutAt = MAX, param = {}, tags = {} } })
  expect(200, reply.status, "again: " .. tostring(reply.data))
  self.generations[owner] = generation
  self.model:finish(owner, self.now, true)
  self:hit "again"
end

---------------------------------------------------------------------------------------------------- comparing

function Run:compare_queue(name)
  local q, mine = self.world:queue(name), self.model.queues[name]
  if not mine or not q then
    if q and not mine then error(name .. " should be gone", 0) end
    return expect(0, mine and #mine.tokens + #mine.waiting or 0, "what is in " .. name)
  end
  if mine.kind == "channel" then
    local want, got = {}, {}
    for i, token in ipairs(mine.tokens) do want[i] = token.value end
    for i, token in ipairs(q.tokens) do got[i] = token.data end
    expect(table.concat(want, " "), table.concat(got, " "), "messages of " .. name)
  elseif mine.kind == "semaphore" then
    expect(model.held_count(mine), q.held, "permits of " .. name)
    if q.held > PERMITS then error("more permits than there are", 0) end
  else
    local instants = {}
    for _, grant in ipairs(mine.grants) do
      if not grant.back then instants[#instants + 1] = grant.at end
    end
    local at = model.exceeded(instants, RATE, PER)
    if at then error(("%s exceeds its rate at %d"):format(name, at), 0) end
  end
end

function Run:compare()
  for _, names in pairs(NAMES) do
    for _, name in ipairs(names) do self:compare_queue(name) end
  end
  for id, p in pairs(self.model.promises) do
    local stored = self.world:promise(id)
    expect(p.state, stored and stored.state, id)
    if p.state == "resolved" and p.queue.kind == "channel" then expect(p.token.value, stored.value.data, "value of " .. id) end
  end
  local broken = self.model:broken()
  if broken then error(broken, 0) end
  if self.ops % 10 > 0 then return end
  local fault = self.world:check(self.now)[1]
  if fault then error(("%s of %s: %s"):format(fault.property, fault.id, fault.words), 0) end
  fault = self.world:verify()[1]
  if fault then error(("%s of %s: %s"):format(fault.what, fault.id, fault.words), 0) end
end

function Run:step()
  self.now = self.now + self:int(0, 9)
  repeat
    local reply, name, words = self.world:sweep(self.now)
    if not reply then error(("sweep: %s: %s"):format(name, words), 0) end
  until not reply.data.more
  self.model:pass(self.now)
  self.model:serve(self.now)
  local roll = self:int(1, 100)
  if roll <= 45 then
    self:wait()
  elseif roll <= 75 then
    self:send()
  elseif roll <= 92 then
    self:back()
  elseif roll <= 96 then
    self:settle()
  elseif roll <= 98 then
    self:again()
  elseif self:int(1, 2) == 1 then
    self:finish()
  end
  self:compare()
end

--- Runs `ops` requests. Gives what was found: {ops, hits = {what = count}, difference?}.
---@param options { probe: table, seed: integer, ops: integer }
function M.run(options)
  math.randomseed(options.seed)
  local self = setmetatable({ probe = options.probe, hits = {}, ops = 0 }, Run)
  while self.ops < options.ops do
    if self.ops % WORLD_OPS == 0 then self:begin_world() end
    self.ops = self.ops + 1
    local ok, words = pcall(self.step, self)
    if not ok then
      self.difference = tostring(words)
      break
    end
  end
  for _, p in pairs(self.model.promises) do
    if p.state == "resolved" then self:hit "granted" end
  end
  self.world:close()
  return self
end

return M
