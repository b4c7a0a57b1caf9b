-- queue_model.lua - queues as a plain Lua model: a second opinion on host/engine/queue.c, written from the rules.
--
-- A queue is a list of tokens and a list of those who wait. The rules: first come, first served; who was settled, or
-- whose execution is over, takes nothing; a token that was given back goes to the head; permits go with their execution;
-- a limiter grants at most `limit` in any half-open window of `per` ms.
-- Where the engine counts and keeps only what it needs, the model keeps everything that ever happened.
-- SPDX-License-Identifier: Apache-2.0
local M = {}
M.__index = M

function M.new()
  return setmetatable({ queues = {}, promises = {}, executions = {}, sent = {}, seq = 0 }, M)
end

function M:start(id, timeout)
  self.executions[id] = { live = true, timeout = timeout }
end

local function queue_of(self, name, kind)
  local q = self.queues[name]
  if not q then
    q = { kind = kind, name = name, tokens = {}, waiting = {}, held = {}, grants = {}, recent = {}, put = 0, taken = 0 }
    self.queues[name] = q
  end
  return q
end

function M:alive(execution, now)
  local e = self.executions[execution]
  return e ~= nil and e.live and now < e.timeout
end

local function waits(self, p, now)
  return p.state == "pending" and now < p.timeout and self:alive(p.owner, now)
end

local function held_count(q)
  local n = 0
  for _ in pairs(q.held) do n = n + 1 end
  return n
end

-- May a limiter grant at `now`? Every window that would hold this grant and `limit` others is looked at.
local function allows(q, now)
  local inside = 0
  for _, grant in ipairs(q.grants) do
    if not grant.back and grant.at > now - q.per then inside = inside + 1 end
  end
  return inside < q.limit
end

local function token_there(q, now)
  if q.kind == "channel" then return #q.tokens > 0 end
  if q.kind == "semaphore" then return held_count(q) < q.limit end
  return allows(q, now)
end

local function grant(q, p, now)
  p.state, p.queue = "resolved", q
  if q.kind == "channel" then
    p.token = table.remove(q.tokens, 1)
    q.taken = q.taken + 1
  elseif q.kind == "semaphore" then
    q.held[p.id] = true
  else
    p.token = { at = now }
    q.grants[#q.grants + 1] = p.token
  end
end

-- Everybody who can be served now is.
function M:serve(now)
  for _, q in pairs(self.queues) do
    while #q.waiting > 0 do
      local p = q.waiting[1]
      if waits(self, p, now) then
        if not token_there(q, now) then break end
        grant(q, p, now)
      end
      table.remove(q.waiting, 1)
    end
  end
end

-- What falls due by itself: executions that are past their deadline.
function M:pass(now)
  for id, e in pairs(self.executions) do
    if e.live and now >= e.timeout then self:finish(id, now) end
  end
end

function M:wait(name, kind, limit, per, id, owner, now)
  if self.promises[id] then return self.promises[id].state end
  local inbox = name:match "^(.+)/[^/]*$"
  if inbox and not self:alive(inbox, now) then return 410 end
  if inbox and inbox ~= owner then return 422 end
  if self.queues[name] and self.queues[name].kind ~= kind then return 422 end
  local q = queue_of(self, name, kind)
  if kind ~= "channel" then q.limit, q.per = limit, per end
  q.owner = inbox
  self:serve(now)
  local p = { id = id, owner = owner, state = "pending", timeout = self.executions[owner].timeout }
  self.promises[id] = p
  q.waiting[#q.waiting + 1] = p
  p.queue = q
  self:serve(now)
  return p.state
end

-- One that was among the last eight which came to the queue from outside.
local function came_before(q, message)
  for i = #q.recent, math.max(1, #q.recent - 7), -1 do
    if q.recent[i] == message then return true end
  end
  q.recent[#q.recent + 1] = message
end

function M:send(name, value, mark, now, message)
  local inbox = name:match "^(.+)/[^/]*$"
  if inbox and not self:alive(inbox, now) then return 410 end
  if self.queues[name] and self.queues[name].kind ~= "channel" then return 422 end
  local q = queue_of(self, name, "channel")
  q.owner = inbox
  if mark then
    if self.sent[mark] then return #q.tokens end
    self.sent[mark] = true
  end
  if message and came_before(q, message) then return #q.tokens end
  self.seq = self.seq + 1
  q.tokens[#q.tokens + 1] = { value = value, seq = self.seq }
  q.put = q.put + 1
  self:serve(now)
  return #q.tokens
end

-- A message that is given back goes before all that were put after it.
local function return_message(q, token)
  local at = 1
  while q.tokens[at] and q.tokens[at].seq < token.seq do at = at + 1 end
  table.insert(q.tokens, at, token)
  q.taken = q.taken - 1
end

function M:back(id, now)
  local p = self.promises[id]
  if not p or p.given_back then return end
  p.given_back = true
  local q = p.queue
  if p.state == "pending" then
    p.state = "rejected_canceled"
  elseif p.state == "resolved" and self.queues[q.name] == q then
    if q.kind == "channel" then return_message(q, p.token) end
    if q.kind == "semaphore" then q.held[id] = nil end
    if q.kind == "limiter" then p.token.back = true end
  end
  self:serve(now)
end

-- `again`: it begins anew, and keeps its inboxes.
function M:finish(owner, now, again)
  local e = self.executions[owner]
  if not e or not e.live then return end
  e.live = again or false
  for id, p in pairs(self.promises) do
    if p.owner == owner then
      if p.state == "pending" then p.state = now < p.timeout and "rejected_canceled" or "rejected_timedout" end
      if p.queue.kind == "semaphore" then p.queue.held[id] = nil end
      p.given_back = true
    end
  end
  for name, q in pairs(self.queues) do
    if q.owner == owner and not again then self.queues[name] = nil end
  end
  self:serve(now)
end

-- The rules as predicates over all that ever happened. Nil, or words.
function M:broken()
  for name, q in pairs(self.queues) do
    if q.kind == "channel" and q.put ~= q.taken + #q.tokens then
      return ("%s: %d put, %d taken, %d there"):format(name, q.put, q.taken, #q.tokens)
    end
  end
end

-- Were there ever more than `limit` grants in a half-open window of `per`? Only for a limiter that was never changed.
function M.exceeded(instants, limit, per)
  table.sort(instants)
  for i = 1, #instants - limit do
    if instants[i + limit] - instants[i] < per then return instants[i] end
  end
end

M.held_count = held_count

return M
