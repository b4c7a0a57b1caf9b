-- gen.lua - seeded random requests against a small world, aimed at the rarely taken rows.
-- SPDX-License-Identifier: Apache-2.0
--
-- Here: gen.new(seed), and g:next(o, now), which reads the state of an oracle and answers with the
--       next request and the instant it happens at. The same seed and the same oracle states give
--       the same requests, on every machine: the generator has its own random numbers and never
--       goes through a table in `pairs` order.
-- Time: `now` only grows: mostly by a few milliseconds, sometimes to just before, at, or just past
--       a deadline, a lease or a retry.
-- World: 2 or 3 lineages with 5 to 12 ids. When little is left to happen in it, g:spent(o) is true:
--       begin an empty store and an empty oracle then, or go on, and the next world has new ids.
-- A request of kind `sweep` stands for the background sweep.

local oracle = require("spec.support.oracle")
local rows = require("spec.support.rows")

local M = {}

local Gen = {}
Gen.__index = Gen

-- xorshift64*, seeded through a round of splitmix64: small seeds are as good as large ones.
local function seeded(seed)
  local z = seed + 0x9E3779B97F4A7C15
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  z = z ~ (z >> 31)
  return z ~= 0 and z or 1
end

---@param seed integer
function M.new(seed)
  return setmetatable({ random = seeded(seed), worlds = 0, slots = {}, tries = {} }, Gen)
end

--- A whole number from 1 to n.
function Gen:int(n)
  local x = self.random
  x = x ~ (x >> 12)
  x = x ~ (x << 25)
  x = x ~ (x >> 27)
  self.random = x
  return ((x * 0x2545F4914F6CDD1D) >> 33) % n + 1
end

--- True in `percent` of a hundred cases.
function Gen:chance(percent)
  return self:int(100) <= percent
end

function Gen:pick(list)
  return list[self:int(#list)]
end

-- Worlds ------------------------------------------------------------------------------------------

-- Roots sort around the separators on purpose: a store that takes root-then-children for the order
-- of ids is found out. A root may hold the separator that its own lineage does not use.
local ROOTS = {
  { "%d", ":" },
  { "w%d", ":" },
  { "w%d", "." },
  { "w%d-a", ":" },
  { "w%d a", "." },
  { "w%d!", ":" },
  { "w%d.x", ":" },
  { "w%d/\u{e9}", "." },
  { "w%d:x", "." },
}

local WORLD_STEPS_MAX = 400

function Gen:new_world()
  self.worlds, self.slots = self.worlds + 1, {}
  self.steps, self.afterlife, self.populated = 0, 0, false
  local first = self:int(#ROOTS)
  local lineages = 1 + self:int(2)
  for i = 1, lineages do
    local form = ROOTS[(first + 2 * i) % #ROOTS + 1]
    local root = form[1]:format(self.worlds)
    local family = { { id = root, root = root } }
    for _ = 1, self:int(3) + (lineages == 2 and 2 or 0) do
      local parent = self:pick(family).id
      local separator = form[2]
      if separator == ":" and parent ~= root then
        separator = "."
      end
      local id = parent .. separator .. #family
      family[#family + 1] = { id = id, root = root, parent = parent }
    end
    table.move(family, 1, #family, #self.slots + 1, self.slots)
  end
  self.absent = self.slots[1].root .. (self:chance(50) and "." or ":") .. "none"
end

-- Steps in a world where nearly everything is settled, or where what is wanted cannot be had any
-- more: a few words with the dead, who answer too.
local AFTERLIFE_STEPS = 8

-- What may still happen: promises that are pending or not there yet.
function Gen:open(o)
  local open = 0
  for _, slot in ipairs(self.slots) do
    local p = o.promises[slot.id]
    if not p or p.record.state == "pending" then
      open = open + 1
    end
  end
  return open
end

--- Is there nothing left to be learnt from this world?
function Gen:spent(o)
  local emptied = self.populated and o.ids[1] == nil
  return #self.slots == 0
    or emptied
    or self.steps >= WORLD_STEPS_MAX
    or self.afterlife >= AFTERLIFE_STEPS
end

-- Looking around ----------------------------------------------------------------------------------

-- A random slot that satisfies `wanted(id, promise, task)`, or nil.
function Gen:find(o, wanted)
  local n = #self.slots
  local first = self:int(n)
  for i = first, first + n - 1 do
    local slot = self.slots[i % n + 1]
    local p, t = o.promises[slot.id], o.tasks[slot.id]
    if wanted(slot.id, p, t) then
      return slot, p, t
    end
  end
end

local function alive(p, now)
  return p ~= nil and oracle.is_alive(p.record, now)
end

local function settled(p, now)
  return p ~= nil and not oracle.is_alive(p.record, now)
end

-- A task in that state whose promise is not past its deadline (all fulfilled ones are).
function Gen:task_in(o, now, state)
  return self:find(o, function(_, p, t)
    return t and t.state == state and (state == "fulfilled" or alive(p, now))
  end)
end

function Gen:any_slot()
  return self:pick(self.slots)
end

function Gen:any_id()
  return self:chance(4) and self.absent or self:any_slot().id
end

-- A promise other than `id` that is alive (or settled), preferably.
function Gen:other(o, now, id, test)
  local slot = self:find(o, function(other, p)
    return other ~= id and test(p, now)
  end)
  return slot and slot.id
end

local function free_slot(g, o)
  return g:find(o, function(_, p)
    return not p
  end)
end

-- Parts of requests -------------------------------------------------------------------------------

local ADDRESSES = {
  "poll://any@default/w1",
  "poll://uni@default/w2",
  "poll://any@blue",
  "http://worker.example:9000/x",
  "local://here",
}

local PIDS = { "p1", "p2", "p3" }
local TTLS = { 1, 5, 40, 400, 5000, 60000 }
local VALUES = {
  { data = "IjEi" },
  { data = "" },
  { headers = {} },
  { headers = { a = "1", b = "" }, data = "e30=" },
  { headers = { ["x-\u{e9}"] = "y" } },
}

function Gen:value()
  local n = self:int(#VALUES + 3)
  if n <= #VALUES then
    return VALUES[n]
  elseif n == #VALUES + 1 then
    return { data = "n" .. self:int(1000) }
  elseif n == #VALUES + 2 then
    return {}
  end
  return nil
end

function Gen:timeout(now)
  local n = self:int(100)
  if n <= 5 then
    return math.max(0, now - self:int(50) + 1) -- already past, or just now
  elseif n <= 7 then
    return 0
  elseif n <= 25 then
    return now + self:int(40)
  elseif n <= 50 then
    return now + 100 + self:int(2000)
  elseif n <= 75 then
    return now + 20000 + self:int(60000)
  elseif n <= 97 then
    return now + 10000000 + self:int(1000)
  elseif n == 98 then
    return math.maxinteger
  end
  return 9007199254740991
end

-- Tags of a promise; `target` true, false, or nil for as it comes.
function Gen:tags(slot, target)
  local tags = {}
  if target or target == nil and self:chance(slot.parent and 55 or 80) then
    tags["resonate:target"] = self:pick(ADDRESSES)
  end
  if self:chance(13) then
    tags["resonate:timer"] = self:chance(85) and "true" or "false"
  end
  if self:chance(10) then
    tags["resonate:external"] = self:chance(80) and "true" or "no"
  end
  if self:chance(40) then
    tags["resonate:scope"] = self:chance(40) and "global" or "local"
  end
  if self:chance(50) then
    tags["resonate:origin"] = slot.root
  end
  if self:chance(60) then
    tags["resonate:branch"] = self:pick({ slot.root, slot.parent or slot.id, slot.id })
  end
  if self:chance(30) then
    tags["resonate:parent"] = slot.parent or slot.id
  end
  if self:chance(4) then
    tags["resonate:prefix"] = "pfx"
  end
  if self:chance(10) then
    tags["free " .. self:int(3)] = tostring(self:int(9))
  end
  if next(tags) == nil and self:chance(50) then
    return nil
  end
  return tags
end

function Gen:create_data(now, slot, target)
  local data = { id = slot.id, timeoutAt = self:timeout(now), param = self:value() }
  data.tags = self:tags(slot, target)
  if data.tags and data.tags["resonate:target"] and self:chance(12) then
    local delay = now + self:int(300) - 30
    if delay >= 0 and delay < data.timeoutAt then
      data.tags["resonate:delay"] = tostring(delay)
    end
  end
  return data
end

local VERDICTS = { "resolved", "resolved", "rejected", "rejected_canceled" }

function Gen:settle_data(id)
  return { id = id, state = self:pick(VERDICTS), value = self:value() }
end

-- The version of a task, wrong now and then.
function Gen:version(t)
  if not t then
    return self:int(3) - 1
  elseif self:chance(88) then
    return t.version
  end
  return math.max(0, t.version + self:pick({ -1, 1, 2 }))
end

local function request(kind, data)
  return { kind = kind, data = data }
end

local function action(kind, data)
  return { kind = kind, head = {}, data = data }
end

-- The part of a request that names the promise it makes or settles.
local function id_holder(d)
  return d.action and d.action.data or d.promise or d
end

-- Requests, well formed and as the holder would make them -----------------------------------------

-- ask[kind](g, o, now, slot, t): slot is what the request is about, t its task, which may be nil.
local ask = {}

ask["promise.get"] = function(_, _, _, slot)
  return request("promise.get", { id = slot.id })
end

ask["promise.create"] = function(g, _, now, slot)
  return request("promise.create", g:create_data(now, slot))
end

ask["promise.settle"] = function(g, _, _, slot)
  return request("promise.settle", g:settle_data(slot.id))
end

ask["promise.register_callback"] = function(g, o, now, slot)
  local awaiter = g:find(o, function(id, p, t)
    return id ~= slot.id and t and alive(p, now)
  end)
  local id = awaiter and g:chance(90) and awaiter.id or g:any_id()
  if id == slot.id then
    id = g.absent
  end
  return request("promise.register_callback", { awaited = slot.id, awaiter = id })
end

ask["promise.register_listener"] = function(g, _, _, slot)
  return request("promise.register_listener", { awaited = slot.id, address = g:pick(ADDRESSES) })
end

ask["task.get"] = function(_, _, _, slot)
  return request("task.get", { id = slot.id })
end

ask["task.create"] = function(g, _, now, slot)
  local data = g:create_data(now, slot, true)
  data.tags["resonate:delay"] = nil
  local nested = action("promise.create", data)
  return request("task.create", { pid = g:pick(PIDS), ttl = g:pick(TTLS), action = nested })
end

ask["task.acquire"] = function(g, _, _, slot, t)
  return request("task.acquire", {
    id = slot.id,
    version = t and t.version or 0,
    pid = g:pick(PIDS),
    ttl = g:pick(TTLS),
  })
end

ask["task.release"] = function(_, _, _, slot, t)
  return request("task.release", { id = slot.id, version = t and t.version or 0 })
end

ask["task.fulfill"] = function(g, _, _, slot, t)
  local nested = action("promise.settle", g:settle_data(slot.id))
  return request("task.fulfill", { id = slot.id, version = t and t.version or 0, action = nested })
end

local function suspend(slot, t, awaited)
  local actions = {}
  for i, id in ipairs(awaited) do
    local data = { awaited = id, awaiter = slot.id }
    actions[i] = action("promise.register_callback", data)
  end
  local version = t and t.version or 0
  return request("task.suspend", { id = slot.id, version = version, actions = actions })
end

ask["task.suspend"] = function(g, o, now, slot, t)
  local awaited = {}
  for i = 1, g:int(3) do
    local id = g:chance(75) and g:other(o, now, slot.id, alive)
      or g:other(o, now, slot.id, settled)
      or g.absent
    awaited[i] = id
  end
  return suspend(slot, t, awaited)
end

ask["task.fence"] = function(g, o, now, slot, t)
  local inner = g:find(o, function(id)
    return id ~= slot.id
  end)
  local nested
  if g:chance(o.promises[inner.id] and 15 or 85) then
    nested = action("promise.create", g:create_data(now, inner))
  else
    nested = action("promise.settle", g:settle_data(inner.id))
  end
  return request("task.fence", { id = slot.id, version = t and t.version or 0, action = nested })
end

ask["task.heartbeat"] = function(g, o, _, slot, t)
  local entries, pid = { { id = slot.id, version = t and t.version or 0 } }, t and t.pid
  if g:chance(15) then
    pid = g:pick(PIDS) -- somebody else's, as often as not
  end
  for _ = 1, g:int(3) - 1 do
    local id = g:any_id()
    local other = o.tasks[id]
    entries[#entries + 1] = { id = id, version = other and g:version(other) or 0 }
  end
  return request("task.heartbeat", { pid = pid or g:pick(PIDS), tasks = entries })
end

local PROMISE_STATES = { "pending", "resolved", "rejected", "rejected_canceled", "rejected_timedout" }
local TASK_STATES = { "pending", "acquired", "suspended", "halted", "fulfilled" }

-- A page behind an id that is there or not; how many records a turn looks at is the engine's own affair.
local function search(g, kind, states, slot)
  local data = { look = g:pick({ 1, 2, 3, 500 }) }
  if g:chance(50) then
    data.state = g:chance(90) and g:pick(states) or oracle.null
  end
  if g:chance(60) then
    data.limit = g:chance(90) and g:pick({ 1, 2, 3, 1000 }) or oracle.null
  end
  if g:chance(50) then
    data.cursor = g:pick({ slot.id, slot.root, slot.id .. "\1", "", "~", oracle.null })
  end
  return request(kind, data)
end

ask["promise.search"] = function(g, o, _, slot)
  local req = search(g, "promise.search", PROMISE_STATES, slot)
  local p = o.promises[slot.id]
  if g:chance(40) then
    req.data.tags = g:pick({ {}, oracle.null, { ["resonate:scope"] = "local" }, { ["resonate:origin"] = slot.root } })
  elseif p and g:chance(30) then
    req.data.tags = p.record.tags
  end
  return req
end

ask["task.search"] = function(g, _, _, slot)
  return search(g, "task.search", TASK_STATES, slot)
end

ask["task.halt"] = function(_, _, _, slot)
  return request("task.halt", { id = slot.id })
end

ask["task.continue"] = function(_, _, _, slot)
  return request("task.continue", { id = slot.id })
end

-- A child for the holder of `slot`: preferably one that is not there yet.
local function child_of(g, o, slot)
  local child = g:chance(75) and g:find(o, function(id, p)
    return id ~= slot.id and not p
  end)
  return child or g:find(o, function(id)
    return id ~= slot.id
  end)
end

ask["task.step"] = function(g, o, now, slot, t)
  local child = child_of(g, o, slot)
  local wanted = g:create_data(now, child, false)
  if wanted.tags then
    wanted.tags["resonate:timer"] = nil
  end
  local state = g:pick(VERDICTS)
  if now >= wanted.timeoutAt and g:chance(50) then
    state = "rejected_timedout"
  end
  return request("task.step", {
    id = slot.id,
    version = t and t.version or 0,
    promise = wanted,
    state = state,
    value = g:value(),
    createdAt = math.max(0, now - g:int(60) + 10),
  })
end

ask["task.spawn"] = function(g, o, now, slot, t)
  local wanted = g:create_data(now, child_of(g, o, slot), true)
  wanted.tags["resonate:delay"] = nil
  return request("task.spawn", {
    id = slot.id,
    version = t and t.version or 0,
    pid = g:pick(PIDS),
    ttl = g:pick(TTLS),
    promise = wanted,
  })
end

ask["task.again"] = function(g, o, now, slot, t)
  local generation = g:chance(70) and (o.generations[slot.id] or 1) + 1 or g:int(4)
  local separator = slot.id:find(":", 1, true) and "." or ":"
  return request("task.again", {
    id = slot.id,
    version = t and t.version or 0,
    promise = {
      id = ("%s%s~%d"):format(slot.id, separator, generation),
      timeoutAt = g:chance(97) and (1 << 53) - 1 or now + 50,
      param = g:value(),
      tags = {},
    },
    createdAt = math.max(0, now - g:int(60) + 10),
    generation = generation,
  })
end

-- How often each kind comes, and the state in which a task has a use for it -----------------------

local WEIGHTS = {
  { "promise.get", 2 },
  { "promise.create", 14 },
  { "promise.settle", 4 },
  { "promise.register_callback", 6 },
  { "promise.register_listener", 6 },
  { "task.get", 2 },
  { "task.create", 5 },
  { "task.acquire", 10 },
  { "task.release", 3 },
  { "task.fulfill", 3 },
  { "task.suspend", 8 },
  { "task.fence", 8 },
  { "task.heartbeat", 4 },
  { "task.halt", 2 },
  { "task.continue", 3 },
  { "task.step", 4 },
  { "task.spawn", 4 },
  { "task.again", 5 },
  { "promise.search", 4 },
  { "task.search", 4 },
  { "sweep", 6 },
}

local KINDS = {}
for _, entry in ipairs(WEIGHTS) do
  for _ = 1, entry[2] do
    KINDS[#KINDS + 1] = entry[1]
  end
end

local WANTS = {
  ["task.acquire"] = "pending",
  ["task.release"] = "acquired",
  ["task.fulfill"] = "acquired",
  ["task.suspend"] = "acquired",
  ["task.fence"] = "acquired",
  ["task.heartbeat"] = "acquired",
  ["task.step"] = "acquired",
  ["task.spawn"] = "acquired",
  ["task.again"] = "acquired",
  ["task.halt"] = "suspended",
  ["task.continue"] = "halted",
}

-- Aiming at a row ---------------------------------------------------------------------------------

-- aim[event](g, o, now, state) -> request, now; nil when this world has no such situation now. A
-- third result, true, says that the request only prepares the situation.
-- Events that are plain requests need no entry: they go to a task of the row's state.
local aim = {}

local JUMP_MS_MAX = 120000 -- further would only empty the world

-- An instant at which `id` is dead, if that is not too far away.
local function past_deadline(g, p, now)
  local at = p.record.timeoutAt
  if at - now < JUMP_MS_MAX then
    return math.max(now, at + g:int(4) - 1)
  end
end

-- Any request that names the promise, or the sweep, so that expiry is found from all sides.
function Gen:touch(o, now, slot)
  if self:chance(35) then
    return request("sweep", {})
  end
  local kind = self:pick({
    "promise.get",
    "promise.settle",
    "promise.create",
    "promise.register_callback",
    "promise.register_listener",
    "task.get",
    "task.create",
    "task.acquire",
    "task.release",
    "task.fulfill",
    "task.suspend",
    "task.fence",
    "task.heartbeat",
    "task.halt",
    "task.continue",
    "task.step",
    "task.spawn",
    "task.again",
  })
  return ask[kind](self, o, now, slot, o.tasks[slot.id])
end

aim["own promise settles"] = function(g, o, now, state)
  local slot = g:task_in(o, now, state)
  if not slot then
    return nil
  end
  local holder = g:chance(40) and g:task_in(o, now, "acquired")
  if holder and holder.id ~= slot.id then
    local nested = action("promise.settle", g:settle_data(slot.id))
    local version = o.tasks[holder.id].version
    return request("task.fence", { id = holder.id, version = version, action = nested }), now
  end
  return request("promise.settle", g:settle_data(slot.id)), now
end

aim["own promise expires"] = function(g, o, now, state)
  local slot, p = g:find(o, function(_, p, t)
    return t and t.state == state and alive(p, now) and p.record.timeoutAt - now < JUMP_MS_MAX
  end)
  if slot then
    now = past_deadline(g, p, now)
    return g:touch(o, now, slot), now
  end
end

local function timer_event(timer)
  return function(g, o, now)
    local slot, p, t = g:find(o, function(_, p, t)
      return t and t.timer == timer and t.due - now < JUMP_MS_MAX and alive(p, math.max(now, t.due))
    end)
    if not slot then
      return nil
    end
    local at = math.max(now, t.due + g:int(3) - 1)
    return request("sweep", {}), alive(p, at) and at or math.max(now, t.due)
  end
end

aim["retry timer"] = timer_event(oracle.RETRY)
aim["lease timer"] = timer_event(oracle.LEASE)

-- Is there an awaiter in that state, alive (or dead) at that instant?
local function awaiter_in(g, o, p, now, state, test)
  for _, slot in ipairs(g.slots) do
    local t = o.tasks[slot.id]
    if p.callbacks[slot.id] and t.state == state and test(o.promises[slot.id], now) then
      return slot.id
    end
  end
end

-- Ends the promise: its holder, anybody, a fence, or its deadline.
local function finish(g, o, now, slot, p)
  local t = o.tasks[slot.id]
  local at = g:chance(40) and past_deadline(g, p, now)
  if at and at > now then
    return g:touch(o, at, slot), at
  elseif t and t.state == "acquired" and g:chance(60) then
    return ask["task.fulfill"](g, o, now, slot, t), now
  end
  local holder = g:chance(50) and g:task_in(o, now, "acquired")
  if holder and holder.id ~= slot.id then
    local nested = action("promise.settle", g:settle_data(slot.id))
    local version = o.tasks[holder.id].version
    return request("task.fence", { id = holder.id, version = version, action = nested }), now
  end
  return request("promise.settle", g:settle_data(slot.id)), now
end

aim["callback fires"] = function(g, o, now, state)
  local slot, p = g:find(o, function(_, p)
    return alive(p, now) and awaiter_in(g, o, p, now, state, alive)
  end)
  if slot then
    return finish(g, o, now, slot, p)
  end
  -- Nobody waits that way yet, so somebody shall.
  local awaiter = g:task_in(o, now, state)
  local awaited = awaiter and g:other(o, now, awaiter.id, alive)
  if awaited then
    local data = { awaited = awaited, awaiter = awaiter.id }
    return request("promise.register_callback", data), now, true
  end
end

-- The awaiter is past its own deadline and nobody has noticed yet.
aim["callback after its deadline"] = function(g, o, now)
  local later
  local slot, p = g:find(o, function(_, awaited)
    for _, other in ipairs(g.slots) do
      local t, mine = o.tasks[other.id], o.promises[other.id]
      if t and awaited and awaited.callbacks[other.id] and t.state == "suspended" then
        later = math.max(now, mine.record.timeoutAt)
        if later - now < JUMP_MS_MAX and alive(awaited, later) then
          return true
        end
      end
    end
  end)
  if slot then
    return finish(g, o, later, slot, p)
  end
end

aim["register_callback on settled"] = function(g, o, now, state)
  local awaiter = g:task_in(o, now, state)
  local awaited = awaiter and g:other(o, now, awaiter.id, settled)
  if awaited then
    local data = { awaited = awaited, awaiter = awaiter.id }
    return request("promise.register_callback", data), now
  end
end

local function aim_suspend(wanted)
  return function(g, o, now)
    local slot, _, t = g:task_in(o, now, "acquired")
    local first = slot and g:other(o, now, slot.id, wanted == "settled" and settled or alive)
    if not first then
      return nil
    end
    local awaited = { first }
    for _ = 1, g:int(3) - 1 do
      awaited[#awaited + 1] = g:other(o, now, slot.id, alive)
    end
    if wanted == "missing" then
      table.insert(awaited, g:int(#awaited + 1), g.absent)
    end
    return suspend(slot, t, awaited), now
  end
end

aim["task.suspend pending"] = aim_suspend("pending")
aim["task.suspend settled"] = aim_suspend("settled")
aim["task.suspend missing"] = aim_suspend("missing")

aim["heartbeat not matching"] = function(g, o, now)
  local slot, _, t = g:find(o, function(_, p, t)
    return t and (t.state ~= "acquired" or settled(p, now))
  end)
  slot = slot or g:any_slot()
  return ask["task.heartbeat"](g, o, now, slot, t), now
end

-- Births: a slot that is free, with the tags and the deadline that the row speaks of.
local function aim_birth(kind, manner)
  return function(g, o, now)
    local slot = free_slot(g, o)
    local holder, _, t = g:task_in(o, now, "acquired")
    if not slot or kind == "task.spawn" and not holder then
      return nil
    end
    local data = g:create_data(now, slot, true)
    data.tags["resonate:delay"] = nil
    if manner == "dead" then
      data.timeoutAt = math.max(0, now - g:int(30) + 1)
    else
      data.timeoutAt = math.max(data.timeoutAt, now + 200 + g:int(2000))
    end
    if manner == "delayed" then
      data.tags["resonate:delay"] = tostring(now + g:int(199))
    end
    if kind == "promise.create" then
      return request(kind, data), now
    elseif kind == "task.create" then
      local nested = action("promise.create", data)
      return request(kind, { pid = g:pick(PIDS), ttl = g:pick(TTLS), action = nested }), now
    end
    local req = ask["task.spawn"](g, o, now, holder, t)
    req.data.promise = data
    return req, now
  end
end

for _, kind in ipairs({ "promise.create", "task.create", "task.spawn" }) do
  for _, manner in ipairs({ "alive", "dead", "delayed" }) do
    aim[kind .. " " .. manner] = aim_birth(kind, manner)
  end
end

-- Rows of the promise machine.
local aim_promise = {}

local function aim_promise_birth(timeout, timer)
  return function(g, o, now)
    local slot = free_slot(g, o)
    if slot then
      local data = g:create_data(now, slot, g:chance(30))
      data.tags = data.tags or {}
      data.tags["resonate:delay"] = nil
      data.tags["resonate:timer"] = timer and "true" or nil
      data.timeoutAt = timeout == "dead" and math.max(0, now - g:int(20) + 1) or data.timeoutAt
      return request("promise.create", data), now
    end
  end
end

aim_promise["absent/create alive"] = aim_promise_birth("alive")
aim_promise["absent/create dead"] = aim_promise_birth("dead")
aim_promise["absent/create dead timer"] = aim_promise_birth("dead", true)

local function aim_deadline(timer, swept)
  return function(g, o, now)
    local slot, p = g:find(o, function(_, p)
      return p
        and p.record.state == "pending"
        and p.record.timeoutAt - now < JUMP_MS_MAX
        and oracle.is_timer(p.record.tags) == timer
        and (not swept or p.deadline)
    end)
    if slot then
      now = past_deadline(g, p, now)
      return swept and request("sweep", {}) or g:touch(o, now, slot), now
    end
  end
end

aim_promise["pending/deadline touched"] = aim_deadline(false)
aim_promise["pending/deadline swept"] = aim_deadline(false, true)
aim_promise["pending/deadline timer touched"] = aim_deadline(true)
aim_promise["pending/deadline timer swept"] = aim_deadline(true, true)

for _, verdict in ipairs({ "resolved", "rejected", "rejected_canceled" }) do
  aim_promise["pending/settle " .. verdict] = function(g, o, now)
    local slot = g:find(o, function(_, p)
      return alive(p, now)
    end)
    if slot then
      local data = { id = slot.id, state = verdict, value = g:value() }
      return request("promise.settle", data), now
    end
  end
  aim_promise["pending/fulfill " .. verdict] = function(g, o, now)
    local slot, _, t = g:task_in(o, now, "acquired")
    if slot then
      local data = { id = slot.id, state = verdict, value = g:value() }
      local nested = action("promise.settle", data)
      return request("task.fulfill", { id = slot.id, version = t.version, action = nested }), now
    end
  end
end

for _, verb in ipairs({ "get", "create", "settle", "register_callback", "register_listener" }) do
  local tests = { pending = alive, terminal = settled }
  for state, test in pairs(tests) do
    aim_promise[state .. "/" .. verb] = aim_promise[state .. "/" .. verb]
      or function(g, o, now)
        local slot = g:find(o, function(_, p)
          return test(p, now)
        end)
        if slot then
          return ask["promise." .. verb](g, o, now, slot), now
        end
      end
  end
  aim_promise["absent/" .. verb] = function(g, o, now)
    return ask["promise." .. verb](g, o, now, { id = g.absent, root = g.slots[1].root }), now
  end
end

aim_promise["absent/step"] = function(g, o, now)
  local slot, _, t = g:task_in(o, now, "acquired")
  if slot and free_slot(g, o) then
    return ask["task.step"](g, o, now, slot, t), now
  end
end

-- `aim` for a row that is a plain request to a task in that state, with the right version or not.
local function aim_request(row)
  local kind, stale = row.event:match("^(task%.%a+)( ?s?t?a?l?e?)$")
  return function(g, o, now)
    local slot, _, t
    if row.state == "absent" then
      slot = g:find(o, function(_, _, task)
        return not task
      end) or { id = g.absent, root = g.slots[1].root }
    elseif row.state == "untargeted" then
      slot = g:find(o, function(_, p, task)
        return p and not task
      end)
    else
      slot, _, t = g:task_in(o, now, row.state)
    end
    if not slot then
      return nil
    end
    local req = ask[kind](g, o, now, slot, t)
    if stale ~= "" then
      req.data.version = req.data.version + (g:chance(50) and 1 or -1)
      req.data.version = math.max(req.data.version, t.version == 0 and 1 or 0)
    end
    return req, now
  end
end

-- Situations that no single row speaks of.
local situations = {}

-- The first waiter of a promise that nobody watches.
situations["first waiter"] = function(g, o, now)
  local slot = g:find(o, function(_, p)
    return alive(p, now) and not p.deadline
  end)
  if slot then
    local verb = g:chance(50) and "register_listener" or "register_callback"
    return ask["promise." .. verb](g, o, now, slot), now
  end
  slot = free_slot(g, o)
  if slot then
    local data = g:create_data(now, slot, false)
    data.tags = { ["resonate:scope"] = "local" }
    data.timeoutAt = now + 100 + g:int(3000)
    return request("promise.create", data), now, true
  end
end

local function count(set)
  local n = 0
  for _ in pairs(set) do
    n = n + 1
  end
  return n
end

situations["crowd of callbacks"] = function(g, o, now)
  local slot, p = g:find(o, function(_, p)
    return alive(p, now) and next(p.callbacks)
  end)
  local awaiter = slot and g:find(o, function(id, q, t)
    return t and id ~= slot.id and alive(q, now) and not p.callbacks[id]
  end)
  if awaiter then
    local data = { awaited = slot.id, awaiter = awaiter.id }
    return request("promise.register_callback", data), now
  end
end

situations["crowd of listeners"] = function(g, o, now)
  local slot = g:find(o, function(_, p)
    return alive(p, now) and next(p.listeners)
  end)
  if slot then
    return ask["promise.register_listener"](g, o, now, slot), now
  end
end

situations["the end of a crowd"] = function(g, o, now)
  local slot, p = g:find(o, function(_, p)
    return alive(p, now) and count(p.callbacks) + count(p.listeners) >= 2
  end)
  if slot then
    return finish(g, o, now, slot, p)
  end
  local crowd = g:chance(50) and "crowd of callbacks" or "crowd of listeners"
  local req = situations[crowd](g, o, now)
  return req, now, true
end

-- The holder's heartbeat, right in everything but too late for its promise.
situations["heartbeat of the dead"] = function(g, o, now)
  local slot, p, t = g:find(o, function(_, p, t)
    return t and t.state == "acquired" and p.record.timeoutAt - now < JUMP_MS_MAX
  end)
  if slot then
    local entry = { id = slot.id, version = t.version }
    now = math.max(now, p.record.timeoutAt)
    return request("task.heartbeat", { pid = t.pid, tasks = { entry } }), now
  end
end

-- Several promises past their deadlines, all named by one request that finds out.
situations["joint expiry"] = function(g, o, now)
  local at, awaited = now, {}
  for _, slot in ipairs(g.slots) do
    local p = o.promises[slot.id]
    if p and p.record.state == "pending" and p.record.timeoutAt - now < JUMP_MS_MAX // 4 then
      awaited[#awaited + 1] = slot
      at = math.max(at, p.record.timeoutAt)
    end
  end
  if #awaited < 2 then
    local slot = free_slot(g, o)
    local data = slot and g:create_data(now, slot, g:chance(70))
    if data then
      data.timeoutAt = now + 50 + g:int(60)
      data.tags = data.tags or {}
      data.tags["resonate:delay"] = nil
    end
    return data and request("promise.create", data), now, true
  end
  local first = g:pick(awaited)
  local rest, other = {}, nil
  for _, slot in ipairs(awaited) do
    if slot ~= first then
      rest[#rest + 1], other = slot.id, slot.id
    end
  end
  local way = g:int(4)
  local holder, _, t = g:task_in(o, at, "acquired")
  if way == 1 then
    return request("sweep", {}), at
  elseif way == 2 then
    local data = { awaited = first.id, awaiter = other }
    return request("promise.register_callback", data), at
  elseif way == 3 and holder and g:chance(50) then
    table.insert(rest, first.id)
    return suspend(holder, t, rest), at
  end
  return suspend(first, o.tasks[first.id], rest), at
end

local per_line = {}
for _, row in ipairs(rows.list) do
  local line = row.of .. (row.line or "")
  per_line[line] = (per_line[line] or 0) + 1
end

local ROWS = {}
for _, row in ipairs(rows.list) do
  local how
  if row.of == "promise" then
    how = aim_promise[row.state .. "/" .. row.event]
  else
    how = aim[row.event] or aim_request(row)
  end
  if how then
    -- The lines of the tables go first, those with many events being hit often anyway; what is
    -- beside the tables is aimed at less often.
    local cost = not row.line and 3 or per_line[row.of .. row.line] > 2 and 1.5 or 1
    ROWS[#ROWS + 1] =
      { name = row.name, state = row.state, event = row.event, how = how, cost = cost }
  end
end

for _, name in ipairs({
  "first waiter",
  "crowd of callbacks",
  "crowd of listeners",
  "the end of a crowd",
  "heartbeat of the dead",
  "joint expiry",
}) do
  ROWS[#ROWS + 1] = { name = name, state = "pending", how = situations[name], cost = 1 }
end

-- Steps that bring some task nearer to a state, for whoever wants one there; nil when this world
-- has no more room for it.
local toward = {}

local function birth(g, o, now, kind)
  local slot = free_slot(g, o)
  if slot then
    local req = ask[kind](g, o, now, slot)
    local data = id_holder(req.data)
    if kind == "promise.create" then
      data.tags = g:tags(slot, true)
    end
    data.timeoutAt = math.max(data.timeoutAt, now + 100 + g:int(100000))
    return req
  end
end

function toward.pending(g, o, now)
  return birth(g, o, now, "promise.create")
end

function toward.acquired(g, o, now)
  local slot, _, t = g:task_in(o, now, "pending")
  if slot then
    return ask["task.acquire"](g, o, now, slot, t)
  end
  return birth(g, o, now, "task.create")
end

function toward.suspended(g, o, now)
  local slot, _, t = g:task_in(o, now, "acquired")
  local awaited = slot and g:other(o, now, slot.id, alive)
  if awaited then
    return suspend(slot, t, { awaited })
  end
  return not slot and toward.acquired(g, o, now) or toward.pending(g, o, now)
end

function toward.halted(g, o, now)
  local slot = g:task_in(o, now, g:pick({ "pending", "acquired", "suspended" }))
  if slot then
    return ask["task.halt"](g, o, now, slot)
  end
  return toward.pending(g, o, now)
end

function toward.fulfilled(g, o, now)
  local slot, _, t = g:task_in(o, now, "acquired")
  if slot then
    return ask["task.fulfill"](g, o, now, slot, t)
  end
  return toward.acquired(g, o, now)
end

-- What a row needs beside its own state.
local ALSO = { ["own promise settles"] = "acquired", ["callback fires"] = "suspended" }

local QUEST_STEPS_MAX = 8

-- Of a few rows drawn at random, the one aimed at least often is pursued for some steps.
function Gen:choose_quest()
  local best, least
  for _ = 1, 16 do
    local row = self:pick(ROWS)
    local cost = (self.tries[row.name] or 0) * row.cost
    if not best or cost < least then
      best, least = row, cost
    end
  end
  self.quest, self.quest_steps = best, 0
end

function Gen:pursue(o, now)
  local quest = self.quest
  self.quest_steps = self.quest_steps + 1
  local req, at, prepares = quest.how(self, o, now, quest.state)
  if prepares then
    return req, at
  elseif req then
    self.tries[quest.name] = (self.tries[quest.name] or 0) + 1
    self.quest = nil
    return req, at
  end
  local step = toward[quest.state] or toward[ALSO[quest.event]] or toward.pending
  return step(self, o, now), now
end

function Gen:aimed(o, now)
  for _ = 1, 3 do
    if not self.quest or self.quest_steps >= QUEST_STEPS_MAX then
      self:choose_quest()
    end
    local req, at = self:pursue(o, now)
    if req then
      return req, at
    end
    self.quest = nil
  end
  self.afterlife = self.afterlife + 1
end

-- As it comes -------------------------------------------------------------------------------------

function Gen:ordinary(o, now)
  local kind = self:pick(KINDS)
  if kind == "sweep" then
    return request("sweep", {})
  end
  local slot
  local wanted = WANTS[kind]
  if wanted and self:chance(85) then
    slot = self:task_in(o, now, wanted)
    local req = not slot and toward[wanted](self, o, now)
    if req then
      return req
    end
  elseif kind == "promise.create" or kind == "task.create" then
    slot = self:chance(80) and free_slot(self, o)
  elseif self:chance(70) then
    slot = self:find(o, function(_, p)
      return alive(p, now)
    end)
  end
  slot = slot or (self:chance(92) and self:any_slot())
  slot = slot or { id = self.absent, root = self.slots[1].root }
  local req = ask[kind](self, o, now, slot, o.tasks[slot.id])
  if req.data.version then
    req.data.version = self:version(o.tasks[slot.id])
  end
  return req
end

-- Malformed ---------------------------------------------------------------------------------------

-- `look` is no member of the protocol.
local function names_of(d)
  local names = {}
  for name in pairs(d) do
    names[#names + 1] = name ~= "look" and name or "state"
  end
  table.sort(names)
  return names
end

-- One flaw each: flaws(g, data) changes a fresh request, and returns true if it could.
local FLAWS = {
  function(g, d) -- a member is missing
    d[g:pick(names_of(d))] = nil
    return true
  end,
  function(g, d) -- a member has another type
    local name = g:pick(names_of(d))
    local wrong = type(d[name]) == "table" and { 7, "x", true } or { {}, true, 1.5, oracle.null }
    d[name] = g:pick(wrong)
    return true
  end,
  function(_, d)
    local holder = id_holder(d)
    if holder.id and holder == d then
      holder.id = ""
      return true
    end
  end,
  function(g, d)
    local holder = id_holder(d)
    if holder == d and d.id and not d.tags then
      d.id = g:pick({ ("x"):rep(256), "r:" .. ("y"):rep(1000), ("x"):rep(256) .. ":1" })
      return true
    end
  end,
  function(_, d)
    if d.version then
      d.version = -1
      return true
    end
  end,
  function(g, d)
    if d.pid then
      if g:chance(50) then
        d.pid = ""
      else
        d.ttl, d.tasks = d.ttl and 0, d.tasks and {}
      end
      return true
    end
  end,
  function(g, d)
    local holder = id_holder(d)
    if holder.timeoutAt then
      if g:chance(50) then
        holder.timeoutAt = g:pick({ -1, 1.5, "10", math.mininteger })
      else
        local wrong = { 7, "x", oracle.null, { data = 1 }, { headers = { a = 1 } }, { "x" } }
        holder.param = g:pick(wrong)
      end
      return true
    end
  end,
  function(g, d)
    local holder = id_holder(d)
    if holder.state then
      holder.state = g:pick({ "pending", "rejected_timedout", "timedout", "", 5 })
      return true
    end
  end,
  function(g, d) -- tags
    local holder = id_holder(d)
    if holder.timeoutAt then
      local id = holder.id
      local wrong = g:pick({
        { "resonate:origin", "elsewhere" },
        { "resonate:branch", id .. "x" },
        { "resonate:parent", id .. ".1" },
        { "resonate:prefix", "a.b" },
        { "resonate:delay", "-5" },
        { "resonate:delay", "soon" },
        { "resonate:delay", tostring(math.maxinteger) },
        { "resonate:delay", "9223372036854775808" },
        { "resonate:target", "" },
        { "resonate:target", "nowhere" },
        { "resonate:target", "http://" },
        { "free", 7 },
        { "free", oracle.null },
      })
      holder.tags = holder.tags or {}
      holder.tags[wrong[1]] = wrong[2]
      return true
    end
  end,
  function(_, d) -- a delay needs a target
    local holder = id_holder(d)
    if holder.timeoutAt and not d.ttl then
      holder.tags = { ["resonate:delay"] = "0" }
      return true
    end
  end,
  function(_, d)
    local holder = id_holder(d)
    if holder.timeoutAt then
      holder.id, holder.tags = holder.id .. "\0", d.ttl and holder.tags or nil
      return true
    end
  end,
  function(g, d)
    local nested = d.action or d.promise
    if nested and d.id then
      local inner = nested.data or nested
      inner.id = inner.id == d.id and d.id .. "x" or d.id
      return true
    elseif nested then
      local inner = nested.data
      if g:chance(50) then
        inner.tags["resonate:target"] = nil
      else
        inner.tags["resonate:delay"] = "0"
      end
      return true
    end
  end,
  function(g, d)
    if d.action and d.id then
      d.action.kind = g:pick({ "promise.get", "task.fence", "nothing" })
      return true
    end
  end,
  function(g, d)
    if d.actions then
      local wrong = g:int(4)
      local nested = d.actions[1].data
      if wrong == 1 then
        d.actions = {}
      elseif wrong == 2 then
        nested.awaiter = nested.awaiter .. "x"
      elseif wrong == 3 then
        nested.awaited = d.id
      else
        nested.awaited = nil
      end
      return true
    end
  end,
  function(g, d)
    if d.look then
      local name = g:pick({ "limit", "limit", "state", "cursor", "tags" })
      local wrong = {
        limit = { 0, -1, 1001, math.mininteger, 1.5, "1" },
        state = { "", "done", 7 },
        cursor = { 7, {} },
        tags = { { a = 7 }, "x", 7 },
      }
      d[name] = g:pick(wrong[name])
      return true
    end
  end,
  function(g, d)
    if d.awaited then
      if d.address then
        d.address = g:pick({ "", "nowhere", "https://", "://x", "1a:b" })
      elseif d.awaiter then
        d.awaiter = d.awaited
      end
      return true
    end
  end,
}

-- A flaw must not reach the request that it came from, nor the shared values.
local function deep(v)
  if type(v) ~= "table" then
    return v
  end
  local new = {}
  for key, item in pairs(v) do
    new[key] = deep(item)
  end
  return new
end

function Gen:malformed(o, now)
  local req = self:ordinary(o, now)
  if req.kind == "sweep" or self:chance(3) then
    return request(self:pick({ "promise.gett", "task.", "x" }), {})
  end
  req = deep(req)
  for _ = 1, 20 do
    if self:pick(FLAWS)(self, req.data) then
      return req
    end
  end
  req.data = self:pick({ "text", 7, { 1 } })
  return req
end

-- Time --------------------------------------------------------------------------------------------

-- The instants at which something in this world falls due.
function Gen:near_instants(o, now)
  local list = {}
  for _, slot in ipairs(self.slots) do
    local p, t = o.promises[slot.id], o.tasks[slot.id]
    if p and p.record.state == "pending" and p.record.timeoutAt >= now then
      list[#list + 1] = p.record.timeoutAt
    end
    if t and t.timer and t.due >= now then
      list[#list + 1] = t.due
    end
  end
  return list
end

function Gen:step_time(o, now)
  if self:chance(35) then
    return now
  elseif self:chance(92) then
    return now + self:int(6)
  end
  local list = self:near_instants(o, now)
  local at = #list > 0 and self:pick(list)
  if at and at - now < JUMP_MS_MAX // 2 then
    return math.max(now, at + self:int(3) - 2)
  end
  return now + self:int(200)
end

--- Tells the generator which rows were taken (the names from rows.classify), if the driver knows:
--- it then aims at what is rare indeed, not at what it has aimed at least.
function Gen:took(names)
  for _, name in ipairs(names) do
    self.tries[name] = (self.tries[name] or 0) + 1
  end
end

--- The next request and the instant it happens at. Reads the oracle, never changes it.
---@return table request
---@return integer now
function Gen:next(o, now)
  if self:spent(o) then
    self:new_world()
  end
  self.steps = self.steps + 1
  self.populated = o.ids[1] ~= nil
  self.afterlife = self.afterlife + (self:open(o) <= 1 and 1 or 0)
  now = self:step_time(o, now)
  if self:chance(10) then
    return self:malformed(o, now), now
  elseif self:chance(80) then
    local req, at = self:aimed(o, now)
    if req then
      return req, at
    end
  end
  return self:ordinary(o, now), now
end

return M
