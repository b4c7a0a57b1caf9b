-- rows.lua - the rows of the promise and task state machines of the Resonate protocol, as data.
-- SPDX-License-Identifier: Apache-2.0
--
-- Here: one entry for every (state, event) of the two tables, the row or rows that a request (or a
--       sweep) is about to take from a given snapshot, and what each row promises about the next.
-- A line of the tables that lists several events becomes one row per event, so that counting hits
-- per row is at least as strict as counting per line; `line` leads back. Rows without a line are
-- answers that the tables leave to the text of the requests, and the two in-process requests.

local oracle = require("spec.support.oracle")

local M = {}

-- A row: name, of ('promise' or 'task'), line, state, event, and the effect: next state, version
-- ('=', '+1' or a number), resumes (the same, or '+?': stays or grows by one), timer ('=', 'retry',
-- 'lease', 'delay' or nil for none), message ('execute' or nil), status of the answer (nil when the
-- event is no request).
M.list = {}
M.by_name = {}

local function add(of, line, state, event, effect)
  local row = { of = of, line = line, state = state, event = event }
  row.name = (of == "promise" and "promise " or "") .. state .. "/" .. event
  for key, value in pairs(effect) do
    row[key] = value
  end
  assert(not M.by_name[row.name], row.name)
  M.list[#M.list + 1] = row
  M.by_name[row.name] = row
end

local function promise(line, state, event, next_state, status)
  add("promise", line, state, event, { next = next_state, status = status })
end

local function task(line, state, event, effect)
  add("task", line, state, event, effect)
end

-- Events that find the task in a state where they do nothing.
local function refused(line, state, status, ...)
  local version, resumes, timer = "=", "=", "="
  for _, event in ipairs({ ... }) do
    local effect = { next = state, version = version, resumes = resumes, timer = timer }
    effect.status = status
    task(line, state, event, effect)
  end
end

local function fulfilled(line, state)
  local effect = { next = "fulfilled", version = "=", resumes = 0 }
  task(line, state, "own promise settles", effect)
  task(line, state, "own promise expires", effect)
end

-- The promise state machine.
promise(1, "absent", "create alive", "pending", 200)
promise(2, "absent", "create dead timer", "resolved", 200)
promise(3, "absent", "create dead", "rejected_timedout", 200)
promise(4, "pending", "create", "pending", 200)
promise(5, "pending", "settle resolved", "resolved", 200)
promise(5, "pending", "settle rejected", "rejected", 200)
promise(5, "pending", "settle rejected_canceled", "rejected_canceled", 200)
promise(5, "pending", "fulfill resolved", "resolved", 200)
promise(5, "pending", "fulfill rejected", "rejected", 200)
promise(5, "pending", "fulfill rejected_canceled", "rejected_canceled", 200)
promise(6, "pending", "deadline timer touched", "resolved")
promise(6, "pending", "deadline timer swept", "resolved")
promise(7, "pending", "deadline touched", "rejected_timedout")
promise(7, "pending", "deadline swept", "rejected_timedout")
promise(8, "terminal", "create", "terminal", 200)
promise(8, "terminal", "settle", "terminal", 200)
promise(8, "terminal", "get", "terminal", 200)
promise(8, "terminal", "register_callback", "terminal", 200)
promise(8, "terminal", "register_listener", "terminal", 200)
promise(nil, "pending", "get", "pending", 200)
promise(nil, "pending", "register_callback", "pending", 200)
promise(nil, "pending", "register_listener", "pending", 200)
promise(nil, "absent", "get", "absent", 404)
promise(nil, "absent", "settle", "absent", 404)
promise(nil, "absent", "register_callback", "absent", 404)
promise(nil, "absent", "register_listener", "absent", 404)
promise(nil, "absent", "step", "terminal", 200)

-- The task state machine.
local born = { next = "pending", version = 0, resumes = 0, timer = "retry", message = "execute" }
born.status = 200
local delayed = { next = "pending", version = 0, resumes = 0, timer = "delay", status = 200 }
local dead = { next = "fulfilled", version = 0, resumes = 0, status = 200 }
local held = { next = "acquired", version = 1, resumes = 0, timer = "lease", status = 200 }
task(1, "absent", "promise.create alive", born)
task(1, "absent", "promise.create delayed", delayed)
task(2, "absent", "promise.create dead", dead)
task(3, "absent", "task.create alive", held)
task(4, "absent", "task.create dead", dead)
refused(5, "absent", 404, "task.get", "task.acquire", "task.release", "task.fulfill")
refused(5, "absent", 404, "task.suspend", "task.fence", "task.halt", "task.continue")

local acquire = { next = "acquired", version = "+1", resumes = 0, timer = "lease", status = 200 }
local redo = { next = "pending", version = "=", resumes = "=", timer = "retry" }
redo.message = "execute"
local redo_asked = { next = "pending", version = "=", resumes = "=", timer = "retry" }
redo_asked.message, redo_asked.status = "execute", 200
local halt = { next = "halted", version = "=", resumes = "=", status = 200 }
task(6, "pending", "task.acquire", acquire)
task(6, "pending", "task.create", acquire)
refused(6, "pending", 409, "task.acquire stale")
task(7, "pending", "retry timer", redo)
task(8, "pending", "callback fires", {
  next = "pending",
  version = "=",
  resumes = "+1",
  timer = "=",
})
task(9, "pending", "task.halt", halt)
fulfilled(10, "pending")
refused(11, "pending", 409, "task.release", "task.fulfill", "task.suspend", "task.fence")

task(12, "acquired", "task.heartbeat", {
  next = "acquired",
  version = "=",
  resumes = "=",
  timer = "lease",
  status = 200,
})
refused(13, "acquired", 200, "task.fence")
refused(13, "acquired", 409, "task.fence stale")
task(14, "acquired", "task.suspend pending", {
  next = "suspended",
  version = "=",
  resumes = 0,
  status = 200,
})
task(15, "acquired", "task.suspend settled", {
  next = "acquired",
  version = "=",
  resumes = 0,
  timer = "=",
  status = 300,
})
task(16, "acquired", "task.release", redo_asked)
task(17, "acquired", "lease timer", redo)
task(18, "acquired", "task.fulfill", {
  next = "fulfilled",
  version = "=",
  resumes = 0,
  status = 200,
})
task(19, "acquired", "callback fires", {
  next = "acquired",
  version = "=",
  resumes = "+1",
  timer = "=",
})
refused(20, "acquired", 409, "task.acquire", "task.create", "task.continue")
task(21, "acquired", "task.halt", halt)
fulfilled(22, "acquired")

local woken = { next = "pending", version = "=", resumes = 1, timer = "retry" }
woken.message = "execute"
local woken_asked = { next = "pending", version = "=", resumes = 1, timer = "retry" }
woken_asked.message, woken_asked.status = "execute", 200
task(23, "suspended", "callback fires", woken)
task(23, "suspended", "register_callback on settled", woken_asked)
task(24, "suspended", "task.halt", halt)
fulfilled(25, "suspended")
refused(26, "suspended", 409, "task.acquire", "task.release", "task.fulfill", "task.suspend")
refused(26, "suspended", 409, "task.fence", "task.continue", "task.create")

task(27, "halted", "task.continue", redo_asked)
task(28, "halted", "callback fires", { next = "halted", version = "=", resumes = "+1" })
refused(29, "halted", 200, "task.halt")
fulfilled(30, "halted")
refused(31, "halted", 409, "task.acquire", "task.release", "task.fulfill", "task.suspend")
refused(31, "halted", 409, "task.fence", "task.create")

refused(32, "fulfilled", 200, "task.create")
refused(33, "fulfilled", 409, "task.halt", "task.continue", "task.acquire", "task.release")
refused(33, "fulfilled", 409, "task.fulfill", "task.suspend", "task.fence")
refused(34, "any", 200, "heartbeat not matching")

-- Beside the tables.
refused(nil, "pending", 409, "task.continue")
refused(nil, "acquired", 409, "task.release stale", "task.fulfill stale", "task.suspend stale")
refused(nil, "acquired", 422, "task.suspend missing")
refused(nil, "untargeted", 422, "task.create")
refused(nil, "halted", 200, "register_callback on settled")
refused(nil, "suspended", nil, "callback after its deadline")
for _, state in ipairs({ "pending", "acquired" }) do
  -- The promise may have been recorded before, so the count may stay.
  task(nil, state, "register_callback on settled", {
    next = state,
    version = "=",
    resumes = "+?",
    timer = "=",
    status = 200,
  })
end
for _, state in ipairs({ "pending", "acquired", "suspended", "halted", "fulfilled" }) do
  refused(nil, state, 200, "task.get")
end

-- The requests of the worker in the same process: fenced like task.fence.
refused(nil, "acquired", 200, "task.step", "task.spawn")
refused(nil, "acquired", 409, "task.step stale", "task.spawn stale", "task.again stale")
refused(nil, "absent", 404, "task.step", "task.spawn", "task.again")
for _, state in ipairs({ "pending", "suspended", "halted", "fulfilled" }) do
  refused(nil, state, 409, "task.step", "task.spawn", "task.again")
end
task(nil, "acquired", "task.again", { next = "acquired", version = "=", resumes = 0, timer = "=", status = 200 })
task(nil, "absent", "task.spawn alive", held)
task(nil, "absent", "task.spawn dead", dead)

-- Classifying -------------------------------------------------------------------------------------

-- A scratch view of the snapshot that moves along while one request is taken apart: settled[id] and
-- state[id] (of tasks) hold only what has changed since.
local Walk = {}
Walk.__index = Walk

function Walk:hit(name, id)
  assert(M.by_name[name], name)
  self.names[#self.names + 1] = name
  self.hit_ids[#self.hit_ids + 1] = id
end

function Walk:promise_state(id)
  local p = self.index.promises[id]
  if not p then
    return "absent"
  end
  return (self.settled[id] or p.state ~= "pending") and "terminal" or "pending"
end

function Walk:task_state(id)
  local t = self.index.tasks[id]
  return self.state[id] or (t and t.state) or "absent"
end

-- Is the promise pending in truth, not only in its row?
function Walk:alive(id)
  return self:promise_state(id) == "pending" and self.index.promises[id].timeoutAt > self.now
end

-- ids settle together; `how` is the event on the promise, `own` the event on its task.
function Walk:settle(ids, how, own)
  for _, id in ipairs(ids) do
    local state = self:task_state(id)
    self:hit("promise pending/" .. how(id), id)
    if state ~= "absent" and state ~= "fulfilled" then
      self:hit(state .. "/" .. own, id)
      self.state[id] = "fulfilled"
    end
    self.settled[id] = true
  end
  for _, id in ipairs(ids) do
    for _, awaiter in ipairs(self.index.awaiters[id] or {}) do
      local state = self:task_state(awaiter)
      if self:alive(awaiter) then
        self:hit(state .. "/callback fires", awaiter)
        self.state[awaiter] = state == "suspended" and "pending" or state
      elseif state == "suspended" then
        self:hit("suspended/callback after its deadline", awaiter)
      end
    end
  end
end

function Walk:expire(ids, manner)
  local due = {}
  for _, id in ipairs(ids) do
    local p = self.index.promises[id]
    if p and self:promise_state(id) == "pending" and not self:alive(id) and not due[id] then
      due[id] = true
      due[#due + 1] = id
    end
  end
  self:settle(due, function(id)
    local timer = oracle.is_timer(self.index.promises[id].tags)
    return "deadline " .. (timer and "timer " or "") .. manner
  end, "own promise expires")
end

function Walk:create(d, creator)
  local id, tags = d.id, d.tags or {}
  local state = self:promise_state(id)
  if state ~= "absent" then
    self:hit("promise " .. state .. "/create", id)
    return
  end
  local alive = self.now < d.timeoutAt
  if not alive and oracle.is_timer(tags) then -- behind the deadlines that passed before its own
    local earlier = {}
    for _, deadline in ipairs(self.before.promiseTimeouts) do
      if self.index.promises[deadline.id].timeoutAt <= d.timeoutAt then earlier[#earlier + 1] = deadline.id end
    end
    self:expire(earlier, "swept")
  end
  local dead_kind = oracle.is_timer(tags) and "create dead timer" or "create dead"
  self:hit("promise absent/" .. (alive and "create alive" or dead_kind), id)
  if tags["resonate:target"] then
    local delay = math.tointeger(tonumber(tags["resonate:delay"] or 0))
    local manner = alive and (delay > self.now and " delayed" or " alive") or " dead"
    self:hit("absent/" .. creator .. manner, id)
  end
end

function Walk:settle_by_client(d)
  local state = self:promise_state(d.id)
  if state == "pending" then
    self:settle({ d.id }, function()
      return "settle " .. d.state
    end, "own promise settles")
  else
    self:hit("promise " .. state .. "/settle", d.id)
  end
end

-- The rows of requests that only the holder of a task may make. Returns true for the holder.
function Walk:held(kind, d)
  local state, t = self:task_state(d.id), self.index.tasks[d.id]
  if state == "acquired" and t.version ~= d.version then
    self:hit(state .. "/" .. kind .. " stale", d.id)
  elseif state == "acquired" then
    return true
  else
    self:hit(state .. "/" .. kind, d.id)
  end
end

local classify = {}

classify["promise.get"] = function(walk, d)
  walk:expire({ d.id }, "touched")
  walk:hit("promise " .. walk:promise_state(d.id) .. "/get", d.id)
end

classify["promise.create"] = function(walk, d)
  walk:expire({ d.id }, "touched")
  walk:create(d, "promise.create")
end

classify["promise.settle"] = function(walk, d)
  walk:expire({ d.id }, "touched")
  walk:settle_by_client(d)
end

classify["promise.register_callback"] = function(walk, d, reply)
  walk:expire({ d.awaited, d.awaiter }, "touched")
  local state = walk:promise_state(d.awaited)
  if reply.status == 422 then
    return
  end
  walk:hit("promise " .. state .. "/register_callback", d.awaited)
  if state == "terminal" and walk:promise_state(d.awaiter) == "pending" then
    walk:hit(walk:task_state(d.awaiter) .. "/register_callback on settled", d.awaiter)
  end
end

classify["promise.register_listener"] = function(walk, d, reply)
  walk:expire({ d.awaited }, "touched")
  if reply.status ~= 422 then
    walk:hit("promise " .. walk:promise_state(d.awaited) .. "/register_listener", d.awaited)
  end
end

classify["task.create"] = function(walk, d)
  local id = d.action.data.id
  walk:expire({ id }, "touched")
  local state = walk:task_state(id)
  if walk:promise_state(id) == "absent" then
    walk:create(d.action.data, "task.create")
  elseif state == "absent" then
    walk:hit("untargeted/task.create", id)
  else
    walk:hit(state .. "/task.create", id)
  end
end

classify["task.acquire"] = function(walk, d)
  walk:expire({ d.id }, "touched")
  local state, t = walk:task_state(d.id), walk.index.tasks[d.id]
  local stale = state == "pending" and t.version ~= d.version
  walk:hit(state .. "/task.acquire" .. (stale and " stale" or ""), d.id)
end

classify["task.release"] = function(walk, d)
  walk:expire({ d.id }, "touched")
  if walk:held("task.release", d) then
    walk:hit("acquired/task.release", d.id)
  end
end

classify["task.fulfill"] = function(walk, d)
  walk:expire({ d.id }, "touched")
  if walk:held("task.fulfill", d) then
    walk:settle({ d.id }, function()
      return "fulfill " .. d.action.data.state
    end, "task.fulfill")
  end
end

classify["task.suspend"] = function(walk, d, reply)
  local named = { d.id }
  for _, action in ipairs(d.actions) do
    named[#named + 1] = action.data.awaited
  end
  walk:expire(named, "touched")
  if not walk:held("task.suspend", d) then
    return
  elseif reply.status == 422 then
    walk:hit("acquired/task.suspend missing", d.id)
    return
  end
  local settled = false
  for i = 2, #named do
    settled = settled or walk:promise_state(named[i]) ~= "pending"
  end
  walk:hit("acquired/task.suspend " .. (settled and "settled" or "pending"), d.id)
end

classify["task.fence"] = function(walk, d)
  local inner = d.action.data
  walk:expire({ d.id, inner.id }, "touched")
  if not walk:held("task.fence", d) then
    return
  end
  walk:hit("acquired/task.fence", d.id)
  if d.action.kind == "promise.create" then
    walk:create(inner, "promise.create")
  else
    walk:settle_by_client(inner)
  end
end

classify["task.heartbeat"] = function(walk, d)
  for _, entry in ipairs(d.tasks) do
    local t = walk.index.tasks[entry.id]
    local holder = t and t.state == "acquired" and t.pid == d.pid and t.version == entry.version
    if holder and walk:alive(entry.id) then
      walk:hit("acquired/task.heartbeat", entry.id)
    else
      walk:hit("any/heartbeat not matching", entry.id)
    end
  end
end

for _, kind in ipairs({ "task.get", "task.halt", "task.continue" }) do
  classify[kind] = function(walk, d)
    walk:expire({ d.id }, "touched")
    walk:hit(walk:task_state(d.id) .. "/" .. kind, d.id)
  end
end

classify["task.step"] = function(walk, d)
  local id = d.promise.id
  walk:expire({ d.id, id }, "touched")
  if walk:held("task.step", d) then
    walk:hit("acquired/task.step", d.id)
    if walk:promise_state(id) == "absent" then
      walk:hit("promise absent/step", id)
    else
      walk:settle_by_client({ id = id, state = d.state })
    end
  end
end

-- One out of turn is refused, which is no row.
classify["task.again"] = function(walk, d, reply)
  walk:expire({ d.id, d.promise.id }, "touched")
  if not walk:held("task.again", d) then
    return
  elseif reply.status == 200 then
    walk:hit("acquired/task.again", d.id)
    walk:hit("promise absent/step", d.promise.id)
  end
end

classify["task.spawn"] = function(walk, d)
  walk:expire({ d.id, d.promise.id }, "touched")
  if walk:held("task.spawn", d) then
    walk:hit("acquired/task.spawn", d.id)
    walk:create(d.promise, "task.spawn")
  end
end

-- Searches change nothing.
classify["promise.search"] = function() end
classify["task.search"] = function() end

classify.sweep = function(walk)
  local due, expired = { [oracle.RETRY] = {}, [oracle.LEASE] = {} }, {}
  for _, deadline in ipairs(walk.before.promiseTimeouts) do
    expired[#expired + 1] = deadline.id
  end
  walk:expire(expired, "swept")
  for _, timer in ipairs(walk.before.taskTimeouts) do
    -- What was woken a moment ago has a new timer.
    if timer.timeout <= walk.now and walk:alive(timer.id) then
      table.insert(due[timer.type], timer.id)
    end
  end
  for _, id in ipairs(due[oracle.RETRY]) do
    walk:hit("pending/retry timer", id)
  end
  for _, id in ipairs(due[oracle.LEASE]) do
    walk:hit("acquired/lease timer", id)
  end
end

--- The rows that `request` takes at `now` from the snapshot (or the oracle) `before`, given the
--- answer to it. A malformed request takes none.
---@return string[] names
---@return string[] ids  of the promise or task that takes the row, in parallel
function M.classify(before, request, reply, now)
  before = before.snapshot and before:snapshot() or before
  local walk = setmetatable({
    before = before,
    index = oracle.index(before),
    now = now,
    settled = {},
    state = {},
    names = {},
    hit_ids = {},
  }, Walk)
  if reply.status ~= 400 then
    classify[request.kind](walk, request.data, reply)
  end
  return walk.names, walk.hit_ids
end

-- Effects -----------------------------------------------------------------------------------------

local function expected_timer(row, was, t, p, now, retry_timeout_ms)
  if row.timer == "=" then
    return was and was.timeout
  elseif row.timer == "retry" then
    return now + retry_timeout_ms
  elseif row.timer == "lease" then
    return now + t.ttl
  elseif row.timer == "delay" then
    return math.tointeger(tonumber(p.tags["resonate:delay"]))
  end
end

local function moved(rule, old, new)
  if rule == "=" then
    return new == old
  elseif rule == "+1" then
    return new == old + 1
  elseif rule == "+?" then
    return new == old or new == old + 1
  end
  return new == rule
end

local function task_fault(row, id, was, is_now, executes, now, retry_timeout_ms)
  local old, t = was.tasks[id], is_now.tasks[id]
  local state = row.next == "any" and (old and old.state) or row.next
  if state == "absent" or state == "untargeted" or row.state == "any" and not old then
    return t and "a task appeared"
  end
  if t.state ~= state then
    return "the task is " .. t.state
  elseif not moved(row.version, old and old.version, t.version) then
    return "the version is " .. t.version
  elseif not moved(row.resumes, old and old.resumes, t.resumes) then
    return "resumes are " .. t.resumes
  end
  local due = is_now.timers[id] and is_now.timers[id].timeout
  local p = is_now.promises[id]
  if due ~= expected_timer(row, was.timers[id], t, p, now, retry_timeout_ms) then
    return "the timer is at " .. tostring(due)
  elseif (executes[id] or 0) ~= (row.message and 1 or 0) then
    return "executes sent: " .. tostring(executes[id])
  end
end

local function promise_fault(row, id, is_now)
  local p = is_now.promises[id]
  if row.next == "absent" then
    return p and "a promise appeared"
  elseif row.next == "terminal" then
    return p.state == "pending" and "the promise is pending"
  end
  return p.state ~= row.next and "the promise is " .. p.state
end

--- Did the step do what its rows promise? Looks at every promise and task that took exactly one
--- row; where several met in one step, the invariants have to do.
---@return nil|string
function M.fault(before, after, names, ids, step, now, retry_timeout_ms)
  local was, is_now = oracle.index(before), oracle.index(after)
  local taken, executes = {}, {}
  for _, m in ipairs(step.messages) do
    if m.kind == "execute" then
      executes[m.id] = (executes[m.id] or 0) + 1
    end
  end
  for i, name in ipairs(names) do
    local key = M.by_name[name].of .. ids[i]
    taken[key] = (taken[key] or 0) + 1
  end
  for i, name in ipairs(names) do
    local row, fault = M.by_name[name], nil
    local alone = taken[row.of .. ids[i]] == 1
    if alone and row.of == "promise" then
      fault = promise_fault(row, ids[i], is_now)
    elseif alone then
      fault = task_fault(row, ids[i], was, is_now, executes, now, retry_timeout_ms)
    end
    -- Only what the request asked for is answered; what it set off is not.
    local asked = row.status and i == #names
    if not fault and asked and #names == 1 and step.reply.status ~= row.status then
      fault = "the answer is " .. step.reply.status
    end
    if fault then
      return ("%s (%s): %s"):format(name, ids[i], fault)
    end
  end
end

return M
