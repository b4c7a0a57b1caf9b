-- oracle_spec.lua - the oracle against the text of the Resonate protocol.
-- SPDX-License-Identifier: Apache-2.0
--
-- Here: every row of the two state machines, the edge cases, the twelve questions, every switch,
--       and a long random run under all invariants. A wrong oracle would make a wrong engine.

local oracle = require("spec.support.oracle")
local gen = require("spec.support.gen")
local rows = require("spec.support.rows")

local R = oracle.profile.retry_timeout_ms
local TARGET = "poll://any@default/w1"

-- A world: an oracle, a clock, and verbs that keep an eye on the invariants -----------------------

local World = {}
World.__index = World

local function world(profile)
  return setmetatable({ o = oracle.new({ profile = profile }), now = 1000 }, World)
end

local function tags_of(options)
  local tags = {}
  for key, value in pairs(options.tags or {}) do
    tags[key] = value
  end
  tags["resonate:target"] = options.target and TARGET or tags["resonate:target"]
  tags["resonate:timer"] = options.timer and "true" or tags["resonate:timer"]
  tags["resonate:delay"] = options.delay and tostring(options.delay) or tags["resonate:delay"]
  tags["resonate:branch"] = options.branch or tags["resonate:branch"]
  return tags
end

local function promise_of(id, options)
  options = options or {}
  return {
    id = id,
    timeoutAt = options.timeout or 1000000,
    param = options.param,
    tags = tags_of(options),
  }
end

function World:ask(kind, data)
  local before = self.o:snapshot()
  local request = { kind = kind, data = data }
  local reply, messages = self.o:apply(request, self.now)
  self.reply, self.messages = reply, messages
  local step = { request = request, reply = reply, messages = messages }
  assert.is_nil(self.o:invariants(self.now, before, step))
  return reply
end

function World:create(id, options)
  return self:ask("promise.create", promise_of(id, options))
end

function World:get(id)
  return self:ask("promise.get", { id = id })
end

function World:settle(id, state, value)
  return self:ask("promise.settle", { id = id, state = state or "resolved", value = value })
end

function World:callback(awaited, awaiter)
  return self:ask("promise.register_callback", { awaited = awaited, awaiter = awaiter })
end

function World:listen(awaited, address)
  return self:ask("promise.register_listener", { awaited = awaited, address = address or TARGET })
end

function World:task_create(id, options)
  options = options or {}
  options.target = true
  local action = { kind = "promise.create", head = {}, data = promise_of(id, options) }
  local pid, ttl = options.pid or "p", options.ttl or 50000
  return self:ask("task.create", { pid = pid, ttl = ttl, action = action })
end

function World:acquire(id, version, pid, ttl)
  local data = { id = id, version = version, pid = pid or "p", ttl = ttl or 50000 }
  return self:ask("task.acquire", data)
end

function World:release(id, version)
  return self:ask("task.release", { id = id, version = version })
end

local function settle_action(id, state, value)
  local data = { id = id, state = state or "resolved", value = value }
  return { kind = "promise.settle", head = {}, data = data }
end

function World:fulfill(id, version, state, value)
  local action = settle_action(id, state, value)
  return self:ask("task.fulfill", { id = id, version = version, action = action })
end

function World:suspend(id, version, awaited)
  local actions = {}
  for i, other in ipairs(awaited) do
    local data = { awaited = other, awaiter = id }
    actions[i] = { kind = "promise.register_callback", head = {}, data = data }
  end
  return self:ask("task.suspend", { id = id, version = version, actions = actions })
end

function World:fence_create(id, version, child, options)
  local action = { kind = "promise.create", data = promise_of(child, options) }
  return self:ask("task.fence", { id = id, version = version, action = action })
end

function World:fence_settle(id, version, child, state)
  local action = settle_action(child, state)
  return self:ask("task.fence", { id = id, version = version, action = action })
end

function World:heartbeat(pid, ...)
  return self:ask("task.heartbeat", { pid = pid, tasks = { ... } })
end

function World:halt(id)
  return self:ask("task.halt", { id = id })
end

function World:continue(id)
  return self:ask("task.continue", { id = id })
end

function World:step(id, version, child, options)
  return self:ask("task.step", {
    id = id,
    version = version,
    promise = promise_of(child, options),
    state = options.state or "resolved",
    value = options.value,
    createdAt = options.created or self.now,
  })
end

function World:again(id, version, generation)
  local promise = promise_of(id .. ":~" .. generation, {})
  promise.timeoutAt = (1 << 53) - 1
  local data = { id = id, version = version, promise = promise, createdAt = self.now, generation = generation }
  return self:ask("task.again", data)
end

function World:spawn(id, version, child, options)
  local data = { id = id, version = version, pid = options.pid or "q", ttl = options.ttl or 700 }
  data.promise = promise_of(child, options)
  return self:ask("task.spawn", data)
end

function World:sweep(at)
  self.now = at or self.now
  return self:ask("sweep", {})
end

-- Stored state, as a snapshot shows it.
function World:look()
  return oracle.index(self.o:snapshot())
end

function World:promise(id)
  return self:look().promises[id]
end

function World:task(id)
  return self:look().tasks[id]
end

-- "retry 31000", "lease 1050", or nil.
function World:timer(id)
  local timer = self:look().timers[id]
  return timer and (timer.type == oracle.RETRY and "retry " or "lease ") .. timer.timeout
end

-- The messages of the last request in one line, sorted.
function World:sent()
  local words = {}
  for i, m in ipairs(self.messages) do
    words[i] = m.kind .. " " .. m.id .. (m.version and " " .. m.version or " " .. m.address)
  end
  table.sort(words)
  return table.concat(words, ", ")
end

local function status(reply, code, text)
  assert.equal(code, reply.status, tostring(reply.data))
  if text then
    assert.equal(text, reply.data)
  end
end

-- The rows ----------------------------------------------------------------------------------------

-- Brings task T into a state at 1000, beside: A (alive), S (settled), D (dies at 1500, untargeted),
-- H (a holder, version 1), and K on which T waits when it waits.
local function reach(state, options)
  local w = world()
  w:create("A", { timeout = 900000 })
  w:create("K", { timeout = 900000 })
  w:create("S")
  w:settle("S")
  w:task_create("H", { ttl = 800000 })
  if state == "absent" then
    return w
  elseif state == "untargeted" then
    w:create("T")
    return w
  end
  w:create("T", options or { target = true, timeout = 500000 })
  if state ~= "pending" then
    w:acquire("T", 0, "p", 50000)
  end
  if state == "suspended" then
    w:suspend("T", 1, { "K" })
  elseif state == "halted" then
    w:callback("K", "T")
    w:halt("T")
  elseif state == "fulfilled" then
    w:fulfill("T", 1)
  elseif state == "pending" or state == "acquired" then
    w:callback("K", "T")
  end
  return w
end

local function version_of(w)
  local t = w:task("T")
  return t and t.version or 0
end

-- What makes each event happen to T.
local events = {}

events["promise.create alive"] = function(w)
  w:create("T", { target = true })
end
events["promise.create delayed"] = function(w)
  w:create("T", { target = true, delay = 4000 })
end
events["promise.create dead"] = function(w)
  w:create("T", { target = true, timeout = 1000 })
end
events["task.create"] = function(w)
  w:task_create("T", { ttl = 70 })
end
events["task.create alive"] = events["task.create"]
events["task.create dead"] = function(w)
  w:task_create("T", { timeout = 999 })
end
events["task.spawn alive"] = function(w)
  w:spawn("H", 1, "T", { target = true })
end
events["task.spawn dead"] = function(w)
  w:spawn("H", 1, "T", { target = true, timeout = 1 })
end
events["task.get"] = function(w)
  w:ask("task.get", { id = "T" })
end
events["task.acquire"] = function(w)
  w:acquire("T", version_of(w), "q", 60)
end
events["task.acquire stale"] = function(w)
  w:acquire("T", version_of(w) + 1)
end
events["task.release"] = function(w)
  w:release("T", version_of(w))
end
events["task.release stale"] = function(w)
  w:release("T", version_of(w) - 1)
end
events["task.fulfill"] = function(w)
  w:fulfill("T", version_of(w))
end
events["task.fulfill stale"] = function(w)
  w:fulfill("T", version_of(w) + 1)
end
events["task.suspend"] = function(w)
  w:suspend("T", version_of(w), { "A" })
end
events["task.suspend stale"] = function(w)
  w:suspend("T", version_of(w) + 1, { "A" })
end
events["task.suspend pending"] = events["task.suspend"]
events["task.suspend settled"] = function(w)
  w:suspend("T", version_of(w), { "A", "S" })
end
events["task.suspend missing"] = function(w)
  w:suspend("T", version_of(w), { "S", "none" })
end
events["task.fence"] = function(w)
  w:fence_create("T", version_of(w), "T:0")
end
events["task.fence stale"] = function(w)
  w:fence_create("T", version_of(w) + 1, "T:0")
end
events["task.step"] = function(w)
  w:step("T", version_of(w), "T:0", {})
end
events["task.step stale"] = function(w)
  w:step("T", version_of(w) + 1, "T:0", {})
end
events["task.again"] = function(w)
  w:again("T", version_of(w), 2)
end
events["task.again stale"] = function(w)
  w:again("T", version_of(w) + 1, 2)
end
events["task.spawn"] = function(w)
  w:spawn("T", version_of(w), "T:0", { target = true })
end
events["task.spawn stale"] = function(w)
  w:spawn("T", version_of(w) + 1, "T:0", { target = true })
end
events["task.halt"] = function(w)
  w:halt("T")
end
events["task.continue"] = function(w)
  w:continue("T")
end
events["task.heartbeat"] = function(w)
  w.now = 1010
  w:heartbeat("p", { id = "T", version = version_of(w) })
end
events["heartbeat not matching"] = function(w)
  w:heartbeat("someone", { id = "T", version = 1 })
end
events["retry timer"] = function(w)
  w:sweep(1000 + R)
end
events["lease timer"] = function(w)
  w:sweep(51000)
end
events["callback fires"] = function(w)
  w:settle("K")
end
events["own promise settles"] = function(w)
  w:settle("T", "rejected")
end
events["own promise expires"] = function(w)
  w:sweep(500000)
end
events["register_callback on settled"] = function(w)
  w:callback("S", "T")
end
events["callback after its deadline"] = function(w)
  w.now = 500000
  w:settle("K")
end

-- What makes each event happen to promise T; `absent`, `pending` and `terminal` come ready made.
local promise_events = {}

promise_events["create"] = function(w)
  w:create("T", { param = { data = "x" } })
end
promise_events["create alive"] = promise_events["create"]
promise_events["create dead"] = function(w)
  w:create("T", { timeout = 0 })
end
promise_events["create dead timer"] = function(w)
  w:create("T", { timeout = 1000, timer = true })
end
for _, state in ipairs({ "resolved", "rejected", "rejected_canceled" }) do
  promise_events["settle " .. state] = function(w)
    w:settle("T", state, { data = "v" })
  end
  promise_events["fulfill " .. state] = function(w)
    w:acquire("T", 0)
    w:fulfill("T", 1, state, { data = "v" })
  end
end
promise_events["settle"] = function(w)
  w:settle("T", "rejected")
end
promise_events["get"] = function(w)
  w:get("T")
end
promise_events["register_callback"] = function(w)
  w:callback("T", "H")
end
promise_events["register_listener"] = function(w)
  w:listen("T")
end
promise_events["step"] = function(w)
  w:step("H", 1, "T", {})
end
for _, name in ipairs({ "deadline", "deadline timer" }) do
  promise_events[name .. " touched"] = function(w)
    w.now = 500000
    w:get("T")
  end
  promise_events[name .. " swept"] = function(w)
    w:sweep(500001)
  end
end

-- Runs the event, and takes the last request as the one that the row speaks of.
local function take(row)
  local w, event
  if row.of == "promise" then
    local options = { timeout = 500000, target = true, timer = row.event:find("timer") ~= nil }
    w = reach(row.state == "absent" and "absent" or "pending", options)
    event = promise_events[row.event]
    if row.state == "terminal" then
      w:settle("T", "resolved", { data = "first" })
    end
  else
    w, event = reach(row.state == "any" and "acquired" or row.state), events[row.event]
  end
  assert.is_function(event, row.name)
  local before, request, at
  local apply = w.o.apply
  w.o.apply = function(o, asked, now)
    before, request, at = o:snapshot(), asked, now
    return apply(o, asked, now)
  end
  event(w)
  local after = w.o:snapshot()
  local names, ids = rows.classify(before, request, w.reply, at)
  local step = { request = request, reply = w.reply, messages = w.messages }
  local found
  for i, name in ipairs(names) do
    found = found or (name == row.name and ids[i] == "T")
  end
  assert.is_true(found, table.concat(names, ", "))
  assert.is_nil(rows.fault(before, after, names, ids, step, at, R))
  if row.status then
    status(w.reply, row.status)
  end
  return w
end

describe("rows of the state machines", function()
  for _, row in ipairs(rows.list) do
    it(row.name, function()
      take(row)
    end)
  end
end)

-- The edge cases ----------------------------------------------------------------------------------

describe("promise edge cases", function()
  it("takes timeoutAt 0 and timeoutAt now as born dead, and instants beyond 2^53", function()
    local w = world()
    for id, timeout in pairs({ a = 0, b = 1000 }) do
      local p = w:create(id, { timeout = timeout }).data.promise
      assert.equal("rejected_timedout", p.state)
      assert.equal(timeout, p.createdAt)
      assert.equal(timeout, p.settledAt)
      assert.same({}, p.value)
    end
    assert.equal("resolved", w:create("c", { timeout = 0, timer = true }).data.promise.state)
    assert.equal("pending", w:create("d", { timeout = math.maxinteger }).data.promise.state)
  end)

  it("answers a repeated create with the original", function()
    local w = world()
    local first = w:create("a", { param = { data = "1" }, tags = { x = "y" } }).data.promise
    w.now = 1005
    local again = w:create("a", { param = { data = "2" }, target = true, timeout = 5 })
    status(again, 200)
    assert.same(first, again.data.promise)
    assert.equal("", w:sent())
  end)

  it("answers a settle after the deadline with the verdict", function()
    local w = world()
    w:create("a", { timeout = 1500 })
    w:create("t", { timeout = 1500, timer = true })
    w.now = 1600
    local p = w:settle("a", "resolved", { data = "late" }).data.promise
    assert.equal("rejected_timedout", p.state)
    assert.equal(1500, p.settledAt)
    assert.same({}, p.value)
    assert.equal("resolved", w:settle("t", "rejected").data.promise.state)
  end)

  it("refuses to settle or fulfill with the server's own verdict", function()
    local w = reach("acquired")
    status(w:settle("A", "rejected_timedout"), 400)
    status(w:settle("A", "pending"), 400)
    status(w:fulfill("T", 1, "rejected_timedout"), 400)
    assert.equal("acquired", w:task("T").state)
  end)

  it("keeps absent members absent and empty ones empty", function()
    local w = world()
    assert.same({}, w:create("a", {}).data.promise.param)
    local given = { headers = {}, data = "" }
    assert.same(given, w:create("b", { param = given }).data.promise.param)
    local null = { headers = oracle.null, data = oracle.null }
    assert.same({}, w:create("c", { param = null }).data.promise.param)
    assert.is_nil(w:get("a").data.promise.settledAt)
  end)

  it("takes unicode, slashes and spaces in ids, but neither nothing nor NUL", function()
    local w = world()
    status(w:create("caf\u{e9}/b c"), 200)
    status(w:create(""), 400, "Promise ID is required")
    status(w:create("a\0b"), 400, "Promise ID must not contain null bytes")
    status(w:get("a\0b"), 404, "Promise not found")
  end)

  it("bounds the root and what follows it", function()
    local w = world()
    local root, rest = ("r"):rep(255), ":" .. ("x"):rep(999)
    status(w:create(root .. rest), 200)
    status(w:create(root .. "r"), 400)
    status(w:create(root .. rest .. "x"), 400)
    status(w:get(root .. "r"), 400)
    status(w:suspend("a", 1, { "b", root .. "r" }), 400)
    status(w:callback("a", root .. "r"), 400)
    status(w:fence_settle("a", 1, root .. "r"), 400)
    status(w:release(root .. "r", 1), 400)
    status(w:create(("a."):rep(127)), 200)
    status(w:create(("a."):rep(128)), 400)
  end)

  it("refuses values and tags that are not strings", function()
    local w = world()
    local function create(changes)
      local data = promise_of("a")
      for key, value in pairs(changes) do
        data[key] = value
      end
      status(w:ask("promise.create", data), 400)
    end
    create({ tags = { x = 1 } })
    create({ tags = oracle.null })
    create({ tags = { "x" } })
    create({ param = oracle.null })
    create({ param = { data = 1 } })
    create({ param = { headers = { a = true } } })
    create({ timeoutAt = 1.0 })
    create({ timeoutAt = "1000" })
    create({ timeoutAt = -1 })
    create({ id = 7 })
    assert.is_nil(w:promise("a"))
  end)

  it("refuses addresses without a scheme or a host", function()
    local w = world()
    for _, target in ipairs({ "", "nowhere", "http://", "https://:80", "://x", "1a:b" }) do
      local refused = w:create("a", { tags = { ["resonate:target"] = target } })
      status(refused, 400, "Invalid resonate:target address")
    end
    for i, target in ipairs({ "poll://any@g", "http://h:1/x", "bash://", "any.new+scheme:x" }) do
      status(w:create("a" .. i, { tags = { ["resonate:target"] = target } }), 200)
    end
    status(w:listen("none", "nowhere"), 400, "Invalid listener address")
    status(w:listen("none", ""), 400, "Address is required")
  end)

  it("dispatches a delayed task at its instant, and a past delay at once", function()
    local w = world()
    w:create("a", { target = true, delay = 1500 })
    assert.equal("", w:sent())
    assert.equal("retry 1500", w:timer("a"))
    w:sweep(1499)
    assert.equal("", w:sent())
    w:sweep(1500)
    assert.equal("execute a 0", w:sent())
    assert.equal("retry " .. 1500 + R, w:timer("a"))
    w:create("b", { target = true, delay = 1500 })
    assert.equal("execute b 0", w:sent())
  end)

  it("lets a timer have a target", function()
    local w = world()
    w:create("a", { target = true, timer = true, timeout = 2000 })
    assert.equal("execute a 0", w:sent())
    w:acquire("a", 0)
    w:sweep(2000)
    assert.equal("resolved", w:promise("a").state)
    assert.equal("fulfilled", w:task("a").state)
  end)

  it("answers a settled promise to a listener and sends nothing", function()
    local w = world()
    w:create("a")
    w:settle("a")
    assert.equal("resolved", w:listen("a").data.promise.state)
    assert.equal("", w:sent())
    status(w:listen("none"), 404, "Awaited promise not found")
  end)

  it("unblocks each address once", function()
    local w = world()
    w:create("a")
    w:listen("a", "poll://any@x")
    w:listen("a", "poll://any@x")
    w:listen("a", "poll://any@y")
    w:settle("a")
    assert.equal("unblock a poll://any@x, unblock a poll://any@y", w:sent())
  end)

  it("answers a callback in the order of its table", function()
    local w = reach("acquired")
    status(w:callback("A", "A"), 400, "Awaited and awaiter must be different promises")
    status(w:callback("none", "nor this"), 404, "Awaited promise not found")
    status(w:callback("A", "none"), 422, "Awaiter promise not found")
    status(w:callback("A", "K"), 422, "Awaiter promise has no resonate:target tag")
    assert.equal("pending", w:callback("A", "T").data.promise.state)
    w:callback("A", "T")
    assert.same({ "T" }, w:look().awaiters.A)
  end)
end)

describe("task edge cases", function()
  it("acquires version 0 after creation, once", function()
    local w = world()
    w:create("a", { target = true })
    status(w:acquire("a", 1), 409, "Version mismatch")
    local got = w:acquire("a", 0, "p", 70).data
    local held = { id = "a", state = "acquired", version = 1, resumes = 0, pid = "p", ttl = 70 }
    assert.same(held, got.task)
    assert.same({}, got.preload)
    assert.equal("a", got.promise.id)
    assert.equal("lease 1070", w:timer("a"))
    status(w:acquire("a", 1), 409, "Task is not pending")
    status(w:acquire("none", 0), 404, "Task not found")
  end)

  it("does not acquire the task of an expired promise", function()
    local w = world()
    w:create("a", { target = true, timeout = 1500 })
    w.now = 1500
    status(w:acquire("a", 0), 409, "Task is not pending")
    assert.equal("fulfilled", w:task("a").state)
  end)

  it("fulfills once, though settling twice is fine", function()
    local w = reach("acquired")
    assert.equal("rejected", w:fulfill("T", 1, "rejected").data.promise.state)
    status(w:fulfill("T", 1), 409, "Task version mismatch or invalid state")
    assert.equal("rejected", w:settle("T", "resolved").data.promise.state)
  end)

  it("disarms the old holder when the lease ends", function()
    local w = world()
    w:create("a", { target = true })
    w:create("b")
    w:acquire("a", 0, "p", 50)
    w:sweep(1050)
    assert.equal("execute a 1", w:sent())
    assert.equal(1, w:task("a").version)
    status(w:fence_create("a", 1, "a:1"), 409, "Version mismatch")
    status(w:fulfill("a", 1), 409)
    status(w:suspend("a", 1, { "b" }), 409, "Task is not acquired or version mismatch")
    status(w:release("a", 1), 409, "Task version mismatch or invalid state")
    status(w:heartbeat("p", { id = "a", version = 1 }), 200)
    assert.equal("retry " .. 1050 + R, w:timer("a"))
    assert.equal(2, w:acquire("a", 1).data.task.version)
  end)

  it("lets missing outweigh settled in a suspend, and registers nothing then", function()
    local w = reach("acquired")
    status(w:suspend("T", 1, { "S", "none" }), 422, "Awaited promise not found")
    status(w:suspend("T", 1, { "A", "S" }), 300)
    assert.same({}, w.reply.data.preload)
    assert.is_nil(w:look().awaiters.A)
    assert.equal("lease 51000", w:timer("T"))
  end)

  it("counts in resumes what settles while the awaiter is acquired", function()
    local w = reach("acquired")
    w:callback("A", "T")
    w:settle("A")
    w:settle("K")
    assert.equal(2, w:task("T").resumes)
    assert.equal("", w:sent())
    w:release("T", 1)
    assert.equal(2, w:task("T").resumes)
    assert.equal(0, w:acquire("T", 1).data.task.resumes)
  end)

  it("counts a promise in resumes once", function()
    local w = reach("acquired")
    w:callback("S", "T")
    w:callback("S", "T")
    assert.equal(1, w:task("T").resumes)
  end)

  it("holds a lease that ends after the last instant until the last instant", function()
    local w = world()
    w:task_create("a", { ttl = math.maxinteger })
    assert.equal("lease " .. math.maxinteger, w:timer("a"))
  end)

  it("wakes once for two promises that settle together", function()
    local w = world()
    w:create("a", { timeout = 1500 })
    w:create("b", { timeout = 1500 })
    w:task_create("t")
    w:suspend("t", 1, { "a", "b", "a" })
    w:sweep(1500)
    assert.equal("execute t 1", w:sent())
    assert.equal(2, w:task("t").resumes)
  end)

  it("fulfills a halted task whose promise is settled from outside", function()
    local w = reach("halted")
    w:settle("T")
    status(w:continue("T"), 409, "Task is not halted")
    status(w:halt("T"), 409, "Task is fulfilled")
  end)

  it("does not lose what settled while a task was halted", function()
    local w = reach("suspended")
    w:halt("T")
    w:settle("K")
    assert.equal("", w:sent())
    assert.equal(1, w:task("T").resumes)
    w:continue("T")
    assert.equal("execute T 1", w:sent())
  end)

  it("ignores heartbeats that do not match and refuses empty ones", function()
    local w = reach("acquired")
    w.now = 1100
    w:heartbeat("q", { id = "T", version = 1 })
    w:heartbeat("p", { id = "T", version = 0 }, { id = "none", version = 1 })
    assert.equal("lease 51000", w:timer("T"))
    w:heartbeat("p", { id = "none", version = 1 }, { id = "T", version = 1 })
    assert.equal("lease 51100", w:timer("T"))
    status(w:ask("task.heartbeat", { pid = "p", tasks = {} }), 400, "Tasks array must not be empty")
    status(w:heartbeat("p", { id = "", version = 1 }), 400, "Task ID is required")
    local negative = { id = "T", version = -1 }
    status(w:heartbeat("p", negative), 400, "Version must be a non-negative integer")
    status(w:heartbeat("p", { id = ("x"):rep(256), version = 1 }), 400)
  end)

  it("wants a target and no delay in task.create", function()
    local w = world()
    local action = { data = promise_of("a") }
    local data = { pid = "p", ttl = 5, action = action }
    status(w:ask("task.create", data), 400, "Action must have a resonate:target tag")
    action.data = promise_of("a", { target = true, delay = 1 })
    status(w:ask("task.create", data), 400, "Action must not have a resonate:delay tag")
    action.data = promise_of("a", { target = true })
    data.ttl = 0
    status(w:ask("task.create", data), 400, "TTL must be a positive integer")
    data.pid = ""
    status(w:ask("task.create", data), 400)
    assert.is_true(w.reply.unordered)
  end)

  it("answers task.create with what is there", function()
    local w = world()
    w:create("plain")
    local refused = w:task_create("plain")
    status(refused, 422, "The promise does not have a resonate:target tag")
    assert.equal(1, w:task_create("a").data.task.version)
    status(w:task_create("a"), 409, "Already exists")
    w:create("b", { target = true })
    assert.equal(1, w:task_create("b", { pid = "z" }).data.task.version)
    w:fulfill("b", 1)
    local done = w:task_create("b").data
    assert.equal("fulfilled", done.task.state)
    assert.equal("resolved", done.promise.state)
  end)

  it("performs what a fence encloses, and answers 200 around an inner 404", function()
    local w = reach("acquired")
    local made = w:fence_create("T", 1, "T:0", { target = true, timeout = 5000 }).data
    assert.equal("promise.create", made.action.kind)
    assert.equal(200, made.action.head.status)
    assert.equal("pending", made.action.data.promise.state)
    assert.equal("execute T:0 0", w:sent())
    assert.equal("resolved", w:fence_settle("T", 1, "T:0").data.action.data.promise.state)
    local missing = w:fence_settle("T", 1, "T:9")
    status(missing, 200)
    assert.equal(404, missing.data.action.head.status)
    assert.equal("Promise not found", missing.data.action.data)
    status(w:fence_settle("T", 1, "T"), 400, "Action ID must not equal the task ID")
    local action = { kind = "promise.get", data = { id = "A" } }
    w:ask("task.fence", { id = "T", version = 1, action = action })
    status(w.reply, 400, "Invalid fence action kind")
  end)

  it("validates before it looks for the task", function()
    local w = world()
    local action = { kind = "promise.create", data = promise_of("x", { timeout = -1 }) }
    status(w:ask("task.fence", { id = "none", version = 1, action = action }), 400)
    status(w:fulfill("none", 1, "rejected_timedout"), 400)
    status(w:suspend("none", 1, {}), 400, "Actions array cannot be empty")
    status(w:fulfill("none", 1), 404, "Task not found")
  end)

  it("wants the ids of actions to agree with the task", function()
    local w = reach("acquired")
    local action = settle_action("A")
    w:ask("task.fulfill", { id = "T", version = 1, action = action })
    status(w.reply, 400, "Action ID must match the task ID")
    local foreign = { { data = { awaited = "A", awaiter = "H" } } }
    w:ask("task.suspend", { id = "T", version = 1, actions = foreign })
    status(w.reply, 400, "All action awaiter IDs must match the task ID")
    status(w:suspend("T", 1, { "T" }), 400)
    assert.is_true(w.reply.loose)
    status(w:suspend("T", 1, { "" }), 400, "Awaited promise ID is required")
    w:ask("task.suspend", { id = "", version = 1, actions = foreign })
    status(w.reply, 400)
    foreign[1].data.awaiter = ""
    w:ask("task.suspend", { id = "T", version = 1, actions = foreign })
    assert.truthy(w.reply.data:find("Awaiter promise ID is required", 1, true))
  end)

  it("preloads the branch, sorted, without the task's own promise", function()
    local w = world()
    w:task_create("r", { branch = "r" })
    for _, id in ipairs({ "r:2", "r:10", "r:1" }) do
      w:create(id, { branch = "r", timeout = 1500 })
    end
    w:create("r:3", { branch = "r:3" })
    w:settle("r:2")
    w.now = 1500
    local states = {}
    for i, p in ipairs(w:fence_create("r", 1, "r:4").data.preload) do
      states[i] = p.id .. " " .. p.state
    end
    -- r:1 and r:10 are past their deadline: answers show that, though nothing is stored.
    local wanted = { "r:1 rejected_timedout", "r:10 rejected_timedout", "r:2 resolved" }
    assert.same(wanted, states)
    assert.equal("pending", w:promise("r:1").state)
  end)
end)

describe("the sweep", function()
  it("settles first, so that nothing dead is dispatched", function()
    local w = world()
    w:create("a", { target = true, timeout = 1000 + R })
    w:task_create("b", { timeout = 1100, ttl = 100 })
    w:sweep(1100)
    assert.equal("", w:sent())
    assert.equal("fulfilled", w:task("b").state)
    w:sweep(1000 + R)
    assert.equal("", w:sent())
  end)

  it("settles all, then fires callbacks, then listeners", function()
    local w = world()
    w:task_create("x", { timeout = 1500 })
    w:task_create("y", { timeout = 1500 })
    w:create("z", { timeout = 1500, target = true })
    w:suspend("x", 1, { "y" })
    w:suspend("y", 1, { "z" })
    w:listen("x")
    w:sweep(1500)
    assert.equal("unblock x " .. TARGET, w:sent())
    assert.same({}, w.o:snapshot().callbacks)
  end)

  it("moves on from task to task only with time", function()
    local w = world()
    w:create("a", { target = true })
    w:acquire("a", 0, "p", 10)
    w:sweep(1010)
    w:sweep(1010)
    assert.equal("", w:sent())
    w:sweep(1010 + R)
    assert.equal("execute a 1", w:sent())
  end)
end)

-- The twelve questions ----------------------------------------------------------------------------

describe("the twelve questions", function()
  local external = {
    { target = true },
    { timer = true },
    { tags = { ["resonate:external"] = "true" } },
    { tags = { ["resonate:scope"] = "global" } },
  }

  it("C1 arms external promises, others from their first waiter on, nothing more", function()
    local w = world()
    for i, options in ipairs(external) do
      w:create("e" .. i, options)
      assert.equal(1000000, w:look().deadlines["e" .. i].timeout)
    end
    w:create("i", { tags = { ["resonate:scope"] = "local", ["resonate:external"] = "no" } })
    assert.is_nil(w:look().deadlines.i)
    w:settle("e2")
    assert.is_nil(w:look().deadlines.e2)
    w:listen("e2")
    assert.is_nil(w:look().deadlines.e2)
  end)

  it("C2, C3 arms an internal promise at its first callback or listener", function()
    local w = reach("acquired")
    assert.is_nil(w:look().deadlines.A)
    w:listen("A")
    assert.equal(900000, w:look().deadlines.A.timeout)
    assert.equal(900000, w:look().deadlines.K.timeout)
    -- The waiter goes, the deadline stays.
    w:create("i")
    w:callback("i", "T")
    w:settle("T")
    assert.is_nil(w:look().awaiters.i)
    assert.is_table(w:look().deadlines.i)
  end)

  it("C2, C3 refuses an internal promise under the switch", function()
    local w = world({ await_internal = "reject" })
    w:create("i")
    w:task_create("t")
    status(w:callback("i", "t"), 422, "Awaited promise is not awaitable")
    status(w:listen("i"), 422)
    status(w:suspend("t", 1, { "i" }), 422, "Awaited promise is not awaitable")
    w:create("e", external[4])
    status(w:callback("e", "t"), 200)
    status(w:listen("e"), 200)
    status(w:suspend("t", 1, { "e" }), 200)
  end)

  it("C4 decides create, halt and continue on the projected state", function()
    for _, state in ipairs({ "pending", "acquired", "suspended", "halted" }) do
      for _, kind in ipairs({ "task.halt", "task.continue" }) do
        local w = reach(state)
        w.now = 500000
        status(w:ask(kind, { id = "T" }), 409)
        assert.equal("fulfilled", w:task("T").state)
      end
      local w = reach(state)
      w.now = 500000
      status(w:task_create("T"), 200)
      assert.equal("fulfilled", w.reply.data.task.state)
      assert.equal("rejected_timedout", w.reply.data.promise.state)
    end
  end)

  it("C5 neither redispatches nor ends the lease of a dead task", function()
    local w = world()
    w:create("r", { target = true, timeout = 1000 + R })
    w:task_create("l", { timeout = 1500, ttl = 500 })
    w:sweep(1500)
    assert.equal("", w:sent())
    w:sweep(1000 + R)
    assert.equal("", w:sent())
  end)

  it("C6 does not wake an awaiter that is past its own deadline", function()
    local w = reach("suspended")
    w.now = 500000
    w:settle("K")
    assert.equal("", w:sent())
    assert.equal("suspended", w:task("T").state)
    assert.equal("pending", w:promise("T").state)
    assert.is_nil(w:look().awaiters.K)
    w:sweep()
    assert.equal("fulfilled", w:task("T").state)
  end)

  it("C7 gives a dead task no more time", function()
    local w = world()
    w:task_create("a", { timeout = 1100, ttl = 5000, pid = "p" })
    w.now = 1100
    status(w:heartbeat("p", { id = "a", version = 1 }), 200)
    assert.equal("lease 6000", w:timer("a"))
    assert.equal("pending", w:promise("a").state)
  end)

  it("C8 shows the projected record in every answer", function()
    for _, kind in ipairs({
      "promise.get",
      "promise.create",
      "promise.settle",
      "promise.register_callback",
      "promise.register_listener",
      "task.create",
    }) do
      local w = world()
      w:create("a", { target = true, timeout = 1500, timer = true })
      w:task_create("t")
      w.now = 1500
      local data = promise_of("a", { target = true })
      data.state, data.awaited, data.awaiter, data.address = "rejected", "a", "t", TARGET
      if kind == "task.create" then
        data = { pid = "p", ttl = 1, action = { data = data } }
      end
      local p = w:ask(kind, data).data.promise
      assert.equal("resolved", p.state, kind)
      assert.equal(1500, p.settledAt)
    end
  end)

  it("C9 never dispatches a version not yet issued", function()
    local w = world()
    w:create("a", { target = true })
    assert.equal("execute a 0", w:sent())
    w:acquire("a", 0)
    w:release("a", 1)
    assert.equal("execute a 1", w:sent())
  end)

  it("C10 never lets two workers hold one task", function()
    local w = world()
    w:create("a", { target = true })
    w:acquire("a", 0, "p")
    status(w:acquire("a", 0, "q"), 409)
    status(w:acquire("a", 1, "q"), 409)
    status(w:task_create("a"), 409)
    w:release("a", 1)
    w:acquire("a", 1, "q")
    status(w:fence_create("a", 1, "a:0"), 409)
    status(w:fence_create("a", 2, "a:0"), 200)
  end)

  it("C11 never lets a settled promise take a callback or a listener", function()
    local w = reach("acquired")
    w:callback("S", "T")
    w:listen("S")
    assert.is_nil(w:look().awaiters.S)
    assert.is_nil(w:look().listeners.S)
    w:create("d", { timeout = 1500 })
    w.now = 1500
    w:callback("d", "T")
    w:listen("d")
    assert.is_nil(w:look().awaiters.d)
    assert.equal(2, w:task("T").resumes)
  end)

  it("C12 knows no debug requests", function()
    status(world():ask("debug.tick", { time = 5 }), 400, "Unknown operation: debug.tick")
  end)
end)

-- Expiry of all that is named ---------------------------------------------------------------------

describe("several named promises", function()
  it("all expire before anything is decided", function()
    local w = world()
    w:task_create("x", { timeout = 1500 })
    w:create("y", { timeout = 1500 })
    w:suspend("x", 1, { "y" })
    w.now = 1500
    status(w:callback("y", "x"), 200)
    assert.equal("", w:sent())
    assert.equal("fulfilled", w:task("x").state)
    assert.equal("rejected_timedout", w:promise("x").state)
  end)

  it("expire even when the request is refused, but not when it is malformed", function()
    local w = world()
    w:create("a", { target = true, timeout = 1500 })
    w:create("b", { timeout = 1500 })
    w:listen("b")
    w.now = 1500
    status(w:suspend("a", 1, {}), 400)
    assert.equal("pending", w:promise("a").state)
    status(w:suspend("a", 1, { "b", "none" }), 409)
    assert.equal("unblock b " .. TARGET, w:sent())
    assert.equal("rejected_timedout", w:promise("a").state)
  end)
end)

-- The requests of the worker in the same process --------------------------------------------------

-- Two worlds must end alike.
local function alike(a, b)
  local same, where = oracle.same(a.o:snapshot(), b.o:snapshot())
  assert.is_true(same, where)
end

describe("task.step", function()
  it("leaves what a fenced create and a fenced settle leave", function()
    local one, two = reach("acquired"), reach("acquired")
    one.now, two.now = 1020, 1005
    local options = { created = 1005, state = "rejected", value = { data = "v" } }
    local reply = one:step("T", 1, "T:0", options)
    two:fence_create("T", 1, "T:0")
    two.now = 1020
    local action = settle_action("T:0", "rejected", { data = "v" })
    local settled = two:ask("task.fence", { id = "T", version = 1, action = action })
    alike(one, two)
    assert.same(settled.data.action.data, reply.data)
  end)

  it("is fenced", function()
    local w = reach("acquired")
    status(w:step("T", 2, "T:0", {}), 409, "Version mismatch")
    status(w:step("none", 1, "T:0", {}), 404, "Task not found")
    status(w:step("T", 1, "T", {}), 400, "Action ID must not equal the task ID")
    assert.is_nil(w:promise("T:0"))
  end)

  it("answers with what is settled and settles what is pending", function()
    local w = reach("acquired")
    assert.equal("resolved", w:step("T", 1, "S", { state = "rejected" }).data.promise.state)
    assert.equal("rejected", w:step("T", 1, "K", { state = "rejected" }).data.promise.state)
    assert.equal(1, w:task("T").resumes)
  end)

  it("leaves the deadline verdict to the clock", function()
    local w = reach("acquired")
    status(w:step("T", 1, "T:0", { state = "rejected_timedout" }), 400)
    w.now = 1600
    local late = { timeout = 1500, created = 1400, value = { data = "v" } }
    local p = w:step("T", 1, "T:1", late).data.promise
    assert.equal("rejected_timedout", p.state)
    assert.equal(1500, p.settledAt)
    assert.equal(1400, p.createdAt)
    assert.same({}, p.value)
    late.state = "rejected_timedout"
    status(w:step("T", 1, "T:2", late), 200)
    late.timeout = 1600
    status(w:step("T", 1, "T:4", late), 200)
    late.timeout, late.created = 1500, 1550
    assert.equal(1500, w:step("T", 1, "T:3", late).data.promise.createdAt)
    -- The stored deadline counts for what is there.
    status(w:step("T", 1, "K", late), 400)
  end)

  it("was never created in the future", function()
    local w = reach("acquired")
    assert.equal(1000, w:step("T", 1, "T:0", { created = 2000 }).data.promise.createdAt)
  end)

  it("is checked as a creation is", function()
    local w = reach("acquired")
    local reply = w:step("T", 1, "T:0", { tags = { ["resonate:origin"] = "U" } })
    status(reply, 400, "Promise ID must be prefixed by resonate:origin")
  end)

  it("has neither target nor timer", function()
    local w = reach("acquired")
    status(w:step("T", 1, "T:0", { target = true }), 400)
    status(w:step("T", 1, "T:0", { timer = true }), 400)
  end)
end)

describe("task.again", function()
  it("leaves the mark, and a task that nothing has resumed", function()
    local w = reach("acquired")
    local reply = w:again("T", 1, 2)
    status(reply, 200)
    assert.equal("resolved", reply.data.promise.state)
    assert.equal(0, w:task("T").resumes)
    status(w:again("T", 1, 2), 422)
    status(w:again("T", 1, 4), 422)
    status(w:again("T", 1, 3), 200)
    status(w:again("T", 2, 4), 409, "Version mismatch")
    status(w:again("none", 1, 2), 404, "Task not found")
  end)
end)

describe("task.spawn", function()
  it("leaves what a fenced create and an acquisition leave, and sends nothing", function()
    local one, two = reach("acquired"), reach("acquired")
    local options = { target = true, pid = "q", ttl = 700 }
    local reply = one:spawn("T", 1, "T:0", options)
    assert.equal("", one:sent())
    two:fence_create("T", 1, "T:0", options)
    local acquired = two:acquire("T:0", 0, "q", 700)
    alike(one, two)
    assert.same(acquired.data.task, reply.data.task)
    assert.same(acquired.data.promise, reply.data.promise)
  end)

  it("leaves alone what is there", function()
    local w = reach("acquired")
    w:create("T:0", { target = true })
    local before = w.o:snapshot()
    local reply = w:spawn("T", 1, "T:0", { target = true })
    status(reply, 200)
    assert.equal("pending", reply.data.task.state)
    assert.same(before, w.o:snapshot())
    assert.is_nil(w:spawn("T", 1, "A", { target = true }).data.task)
  end)

  it("is fenced, and wants a target", function()
    local w = reach("acquired")
    status(w:spawn("T", 2, "T:0", { target = true }), 409, "Version mismatch")
    status(w:spawn("none", 1, "T:0", { target = true }), 404, "Task not found")
    status(w:spawn("T", 1, "T:0", {}), 400)
    local dead = w:spawn("T", 1, "T:0", { target = true, timeout = 9 })
    assert.equal("fulfilled", dead.data.task.state)
  end)
end)

-- Lineage -----------------------------------------------------------------------------------------

describe("lineage", function()
  local origin, branch = "Promise ID must be prefixed by resonate:origin", "resonate:branch"
  local colon = "resonate:origin must not contain ':'"
  local dot = "resonate:origin must not contain '.'"
  -- dialect, id, tag, value, message (nil: accepted)
  local table_of_ids = {
    { "any", "a", "origin", "a" },
    { "any", "a:0", "origin", "a" },
    { "any", "a.0", "origin", "a" },
    { "any", "a.b:0", "origin", "a.b" },
    { "any", "a:b.0", "origin", "a:b" },
    { "any", "a:b:0", "origin", "a:b", colon },
    { "any", "ab", "origin", "a", origin },
    { "any", "a", "origin", "a:0", colon },
    { "any", "a:0.1", "branch", "a:0" },
    { "any", "a:0:1", "branch", "a:0" },
    { "any", "a:01", "branch", "a:0", "Promise ID must be prefixed by " .. branch },
    { "any", "a:0", "parent", "b", "Promise ID must be prefixed by resonate:parent" },
    { "any", "a", "prefix", "x.y", "resonate:prefix must not contain '.'" },
    { "any", "a", "prefix", "x:y" },
    { "colon", "a.0", "origin", "a", origin },
    { "colon", "a.b", "origin", "a.b" },
    { "colon", "a:b", "origin", "a:b", colon },
    { "colon", "a:0.1", "branch", "a:0" },
    { "colon", "a:0:1", "branch", "a:0", "Promise ID must be prefixed by " .. branch },
    { "colon", "a.1", "branch", "a", "Promise ID must be prefixed by " .. branch },
    { "dot", "a:0", "origin", "a", origin },
    { "dot", "a:0.1", "origin", "a:0" },
    { "dot", "a.b.0", "origin", "a.b", dot },
    { "dot", "a.0.1", "parent", "a.0" },
    { "off", "zzz", "origin", "a.b:c" },
    { "off", "zzz", "prefix", "a.b" },
    { "any", "a", "delay", "5x", "resonate:delay must be a non-negative integer" },
    { "any", "a", "delay", "-1", "resonate:delay must be a non-negative integer" },
    { "any", "a", "delay", "9223372036854775808", "resonate:delay must be a non-negative integer" },
    { "any", "a", "delay", "1000000", "resonate:delay must be less than timeoutAt" },
    { "any", "a", "delay", "5", "resonate:delay requires a resonate:target tag" },
  }
  for _, row in ipairs(table_of_ids) do
    local dialect, id, tag, value, message = table.unpack(row, 1, 5)
    local name = ("%s: id %s, %s %s"):format(dialect, id, tag, value)
    it(name .. (message and " is refused" or " is accepted"), function()
      local w = world({ id_dialect = dialect })
      local reply = w:create(id, { tags = { ["resonate:" .. tag] = value } })
      status(reply, message and 400 or 200, message)
    end)
  end
end)

-- Switches ----------------------------------------------------------------------------------------

describe("switches", function()
  it("refuse names and values that do not exist", function()
    assert.has_error(function()
      oracle.new({ profile = { arms = "all" } })
    end)
    assert.has_error(function()
      oracle.new({ profile = { arm = "none" } })
    end)
  end)

  it("arm", function()
    local w = world({ arm = "target" })
    w:create("t", { target = true })
    w:create("e", { timer = true })
    w:listen("e")
    assert.is_table(w:look().deadlines.t)
    assert.is_nil(w:look().deadlines.e)
    w = world({ arm = "all" })
    w:create("i")
    assert.is_table(w:look().deadlines.i)
  end)

  it("await_cross_origin", function()
    for dialect, refused in pairs({ any = 400, colon = 400, dot = 400, off = 200 }) do
      local w = world({ await_cross_origin = "reject", id_dialect = dialect })
      w:create("a")
      w:task_create("b")
      status(w:callback("a", "b"), refused)
      status(w:suspend("b", 1, { "a" }), refused)
    end
    local w = world({ await_cross_origin = "reject" })
    w:create("a:0")
    w:create("c.0")
    w:task_create("a:1")
    w:task_create("c.1")
    status(w:callback("a:0", "a:1"), 200)
    status(w:callback("c.0", "c.1"), 200)
    local text = "Awaiter and awaited must belong to the same origin"
    status(w:callback("c.0", "a:1"), 400, text)
    text = "Awaited promise must belong to the same origin as the task"
    status(w:suspend("a:1", 1, { "a:0", "c.0" }), 400, text)
    status(world():callback("none", "x"), 404)
  end)

  it("timer_target", function()
    local w = world({ timer_target = "reject" })
    status(w:create("a", { target = true, timer = true }), 400)
    status(w:create("b", { target = true, tags = { ["resonate:timer"] = "no" } }), 200)
  end)

  it("suspend_dups", function()
    local w = world({ suspend_dups = "reject" })
    w:create("a")
    w:task_create("t")
    status(w:suspend("t", 1, { "a", "a" }), 400, "Awaited promise IDs must be unique")
    status(w:suspend("t", 1, { "a" }), 200)
  end)

  it("heartbeat_mixed", function()
    local w = world({ heartbeat_mixed = "reject" })
    local a, b = { id = "a:1", version = 1 }, { id = "b", version = 1 }
    status(w:heartbeat("p", a, b), 400, "All tasks must belong to the same origin")
    status(w:heartbeat("p", a, { id = "a:2", version = 1 }), 200)
  end)

  it("listener_external_only", function()
    local w = world({ listener_external_only = true })
    w:create("a")
    status(w:listen("a"), 422)
    w = world({ await_internal = "reject", listener_external_only = false })
    w:create("a")
    status(w:listen("a"), 200)
  end)

  it("preload_limit", function()
    local w = world({ preload_limit = 2 })
    for _, id in ipairs({ "r:1", "r:2", "r:3" }) do
      w:create(id, { branch = "r" })
    end
    local preload = w:task_create("r", { branch = "r" }).data.preload
    assert.equal(2, #preload)
    assert.equal("r:2", preload[2].id)
  end)

  it("retry_timeout_ms", function()
    local w = world({ retry_timeout_ms = 5000 })
    w:create("a", { target = true })
    assert.equal("retry 6000", w:timer("a"))
  end)
end)

-- The oracle's own tools --------------------------------------------------------------------------

describe("a clone", function()
  it("lives its own life", function()
    local w = reach("suspended")
    local before = w.o:snapshot()
    local twin = w.o:clone()
    assert.same(before, twin:snapshot())
    twin:apply({ kind = "promise.settle", data = { id = "K", state = "resolved" } }, 1000)
    twin:apply({ kind = "promise.create", data = promise_of("new") }, 1000)
    assert.same(before, w.o:snapshot())
    w:settle("K")
    assert.equal("pending", w:task("T").state)
  end)

  it("shares neither waiters nor branches, and keeps the profile", function()
    local w = world({ retry_timeout_ms = 5 })
    w:create("a", { branch = "a" })
    w:task_create("b")
    local twin = w.o:clone()
    local data = { awaited = "a", awaiter = "b" }
    twin:apply({ kind = "promise.register_callback", data = data }, 1000)
    twin:apply({ kind = "promise.create", data = promise_of("a:1", { branch = "a" }) }, 1000)
    assert.is_nil(w:look().awaiters.a)
    w:task_create("a:2", { branch = "a" })
    assert.equal(1, #w.reply.data.preload)
    twin:apply({ kind = "task.release", data = { id = "b", version = 1 } }, 1000)
    assert.equal(1005, oracle.index(twin:snapshot()).timers.b.timeout)
  end)
end)

describe("agrees", function()
  local want = { status = 400, data = "a; b", unordered = true }

  it("compares words where the protocol fixes them", function()
    assert.is_true(oracle.agrees(want, { status = 400, data = "b; a" }))
    assert.is_false((oracle.agrees(want, { status = 400, data = "a; c" })))
    assert.is_false((oracle.agrees(want, { status = 404, data = "a; b" })))
    local free = { status = 400, data = "x", loose = true }
    assert.is_true(oracle.agrees(free, { status = 400, data = "y" }))
  end)

  it("compares success to the last member", function()
    local one = { status = 200, data = { promise = { id = "a", value = {} } } }
    local two = { status = 200, data = { promise = { id = "a", value = { data = "" } } } }
    assert.is_false((oracle.agrees(one, two)))
    assert.is_true(oracle.agrees(one, one))
  end)
end)

-- Each invariant must be able to fail, else it says nothing. The snapshot of a world with one task
-- in each state is spoilt; the name of the invariant must be among those reported.
describe("an invariant", function()
  local function ward()
    local w = world()
    w:create("k", { timeout = 900000 })
    w:create("s")
    w:settle("s", "resolved", { data = "v" })
    w:create("timer", { timer = true, timeout = 1 })
    for _, id in ipairs({ "acquired", "fulfilled", "halted", "pending", "suspended" }) do
      w:create(id, { target = true })
      if id ~= "pending" then
        w:acquire(id, 0, "p", 500)
      end
    end
    w:fulfill("fulfilled", 1)
    w:suspend("suspended", 1, { "k" })
    w:halt("halted")
    w:listen("k")
    return w
  end

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

  local function find(list, id)
    for i, item in ipairs(list) do
      if (item.id or item.awaited) == id then
        return item, i
      end
    end
  end

  local function drop(list, id)
    local _, i = find(list, id)
    table.remove(list, i)
  end

  local static = {
    P1 = function(s)
      find(s.promises, "k").createdAt = 900000
    end,
    P2 = function(s)
      find(s.promises, "s").settledAt = nil
    end,
    P3 = function(s)
      find(s.promises, "s").settledAt = 1
    end,
    P4 = function(s)
      find(s.promises, "k").value = { data = "x" }
    end,
    P5 = function(s)
      find(s.promises, "timer").state = "rejected"
    end,
    P6 = function(s)
      find(s.promises, "timer").value = { data = "x" }
    end,
    P7 = function(s)
      find(s.promises, "s").state = "rejected_timedout"
    end,
    P8 = function(s)
      table.insert(s.listeners, deep(s.listeners[1]))
    end,
    P10 = function(s)
      table.insert(s.callbacks, { awaited = "pending", awaiter = "pending" })
    end,
    P11 = function(s)
      find(s.promises, "s").settledAt = 1001
    end,
    C1 = function(s)
      drop(s.tasks, "pending")
    end,
    C2 = function(s)
      find(s.tasks, "fulfilled").state = "halted"
    end,
    C3 = function(s)
      find(s.tasks, "halted").state = "fulfilled"
    end,
    C4 = function(s)
      s.callbacks[1].awaiter = "s"
    end,
    C5 = function(s)
      s.listeners[1].address = "nowhere"
    end,
    C11 = function(s)
      s.listeners[1].id = "s"
    end,
    arm = function(s)
      drop(s.promiseTimeouts, "k")
    end,
    inv1 = function(s)
      drop(s.promises, "pending")
    end,
    inv2 = function(s)
      drop(s.taskTimeouts, "pending")
    end,
    inv3 = function(s)
      find(s.taskTimeouts, "acquired").type = oracle.RETRY
    end,
    inv4 = function(s)
      s.callbacks = {}
    end,
    inv5 = function(s)
      find(s.promises, "k").state = "resolved"
    end,
    inv6 = function(s)
      find(s.taskTimeouts, "pending").id = "suspended"
    end,
    inv7 = function(s)
      find(s.taskTimeouts, "pending").id = "fulfilled"
    end,
    T1 = function(s)
      find(s.tasks, "acquired").pid = nil
    end,
    T2 = function(s)
      find(s.tasks, "pending").ttl = 5
    end,
    T5 = function(s)
      find(s.tasks, "fulfilled").resumes = 1
    end,
    T7 = function(s)
      find(s.taskTimeouts, "pending").id = "halted"
    end,
    T8 = function(s)
      find(s.tasks, "suspended").resumes = 1
    end,
    T10 = function(s)
      find(s.tasks, "acquired").version = 0
    end,
    T11 = function(s)
      find(s.tasks, "acquired").ttl = 0
    end,
    S3 = function(s)
      s.tasks[1], s.tasks[2] = s.tasks[2], s.tasks[1]
    end,
  }

  -- The second snapshot is the same world a moment later, spoilt.
  local steps = {
    I1 = function(s)
      find(s.promises, "k").param = { data = "x" }
    end,
    I2 = function(s)
      find(s.promises, "s").value = {}
    end,
    I3 = function(s)
      drop(s.promises, "s")
    end,
    I4 = function(s)
      find(s.promises, "s").state = "rejected"
    end,
    I6 = function(s)
      find(s.tasks, "fulfilled").version = 2
    end,
    B1 = function(s)
      local p = deep(find(s.promises, "k"))
      p.id, p.createdAt = "t1", 999
      table.insert(s.promises, p)
    end,
    B2 = function(s)
      local p, t = deep(find(s.promises, "halted")), deep(find(s.tasks, "halted"))
      local d = deep(find(s.promiseTimeouts, "halted"))
      p.id, t.id, d.id = "t1", "t1", "t1"
      table.insert(s.promises, p)
      table.insert(s.tasks, t)
      table.insert(s.promiseTimeouts, d)
    end,
    B3 = function(s)
      local p = find(s.promises, "k")
      p.state, p.settledAt = "resolved", 1000
      s.callbacks, s.listeners = {}, {}
      drop(s.promiseTimeouts, "k")
      local t = find(s.tasks, "suspended")
      t.state, t.resumes = "pending", 1
      table.insert(s.taskTimeouts, { id = "suspended", type = 0, timeout = 31005 })
    end,
    E2 = function(s)
      local t = find(s.tasks, "pending")
      t.state = "suspended"
      drop(s.taskTimeouts, "pending")
      table.insert(s.callbacks, { awaited = "k", awaiter = "pending" })
    end,
    F1 = function(s)
      find(s.tasks, "pending").version = 1
    end,
    F4 = function(s)
      find(s.tasks, "acquired").pid = "q"
    end,
    F6 = function(s)
      find(s.taskTimeouts, "acquired").timeout = 1501
    end,
    F8 = function(s)
      local t = find(s.tasks, "pending")
      t.state, t.version, t.pid, t.ttl, t.resumes = "acquired", 1, "p", 5, 1
      local timer = find(s.taskTimeouts, "pending")
      timer.type, timer.timeout = oracle.LEASE, 1010
    end,
    D3 = function(s)
      find(s.taskTimeouts, "pending").timeout = 32000
    end,
    D6 = function(s, prev)
      find(prev.tasks, "pending").resumes = 1
      return s
    end,
    O1 = function(s)
      s.listeners = {}
    end,
    O6 = function(s)
      find(s.tasks, "suspended").state = "pending"
      table.insert(s.taskTimeouts, { id = "suspended", type = 0, timeout = 31005 })
    end,
    arm = function(s)
      local p = deep(find(s.promises, "k"))
      p.id, p.createdAt = "t1", 1005
      table.insert(s.promises, p)
      table.insert(s.promiseTimeouts, { id = "t1", timeout = p.timeoutAt })
    end,
  }

  local function reports(list, name)
    for _, line in ipairs(list or {}) do
      if line:find(name .. ":", 1, true) == 1 or line:find(" " .. name .. ":", 1, true) then
        return true
      end
    end
    return false, table.concat(list or { "nothing" }, "\n")
  end

  -- Kept sorted, so that only what was meant is wrong.
  local function sort(s)
    for _, list in ipairs({ s.promises, s.promiseTimeouts, s.tasks, s.taskTimeouts }) do
      table.sort(list, function(a, b)
        return a.id < b.id
      end)
    end
  end

  for name, spoil in pairs(static) do
    it(name .. " can fail on a snapshot", function()
      local w = ward()
      local s = deep(w.o:snapshot())
      spoil(s)
      assert.is_true(reports(oracle.violations(s, w.now, nil, w.o.profile), name))
    end)
  end
  for name, spoil in pairs(steps) do
    it(name .. " can fail on a step", function()
      local w = ward()
      local prev, s = deep(w.o:snapshot()), deep(w.o:snapshot())
      spoil(s, prev)
      sort(s)
      assert.is_true(reports(oracle.violations(s, 1005, prev, w.o.profile), name))
    end)
  end

  it("speaks of messages too", function()
    local w = ward()
    local prev = w.o:snapshot()
    local function said(messages, name, kind)
      local step = { request = { kind = kind or "promise.get" }, messages = messages }
      local list = oracle.violations(w.o:snapshot(), 1005, prev, w.o.profile, step)
      assert.is_true(reports(list, name))
    end
    local execute = { kind = "execute", id = "pending", version = 0, address = TARGET }
    said({ execute, execute }, "S3")
    said({ { kind = "execute", id = "none", version = 0, address = TARGET } }, "C6")
    said({ { kind = "execute", id = "pending", version = 1, address = TARGET } }, "C7")
    said({ { kind = "execute", id = "pending", version = 0, address = "x:" } }, "C8")
    said({ { kind = "execute", id = "halted", version = 1, address = TARGET } }, "D4")
    said({ { kind = "execute", id = "fulfilled", version = 1, address = TARGET } }, "D1")
    said({ { kind = "unblock", id = "k", address = TARGET } }, "C9")
    said({ { kind = "unblock", id = "s", address = TARGET } }, "O5")
  end)
end)

-- Random runs -------------------------------------------------------------------------------------

-- Answers never go back: who was shown a settled promise is never shown it pending.
local function watch(shown, reply, now)
  local function look(p)
    local settled = p.state ~= "pending"
    assert.is_true(settled or now < p.timeoutAt, "pending past its deadline: " .. p.id)
    assert.is_true(settled or not shown[p.id], "settled, then pending: " .. p.id)
    shown[p.id] = settled or nil
  end
  local data = reply.data
  if type(data) == "table" then
    local inner = data.action and data.action.data
    if data.promise then
      look(data.promise)
    end
    if type(inner) == "table" then
      look(inner.promise)
    end
    for _, p in ipairs(data.preload or {}) do
      look(p)
    end
  end
end

local function random_run(seed, steps, profile)
  local g, now = gen.new(seed), 1000
  local hits, replies = {}, {}
  local o, before, shown
  for i = 1, steps do
    if not o or g:spent(o) then
      o, shown = oracle.new({ profile = profile }), {}
      before = o:snapshot()
    end
    local request
    request, now = g:next(o, now)
    local reply, messages = o:apply(request, now)
    local after = o:snapshot()
    local names, ids = rows.classify(before, request, reply, now)
    local step = { request = request, reply = reply, messages = messages }
    local violated = oracle.violations(after, now, before, o.profile, step)
    local fault = rows.fault(before, after, names, ids, step, now, o.profile.retry_timeout_ms)
    if violated or fault then
      local words = table.concat(violated or { fault }, "\n")
      error(("seed %d, step %d, %s: %s"):format(seed, i, request.kind, words))
    end
    watch(shown, reply, now)
    for _, name in ipairs(names) do
      hits[name] = (hits[name] or 0) + 1
    end
    g:took(names)
    local said = request.kind .. " " .. reply.status
    replies[said] = (replies[said] or 0) + 1
    replies[reply.status] = (replies[reply.status] or 0) + 1
    before = after
  end
  return hits, replies
end

describe("a random run", function()
  it("keeps every invariant and takes every row often", function()
    local seed, steps = 20260401, 20000
    local hits, replies = random_run(seed, steps)
    local lines, order = {}, {}
    for _, row in ipairs(rows.list) do
      local n = hits[row.name] or 0
      assert.is_true(n >= 20, ("%s: %d hits, seed %d"):format(row.name, n, seed))
      if row.line then
        local line = row.of .. " " .. row.line
        if not lines[line] then
          order[#order + 1] = line
        end
        lines[line] = (lines[line] or 0) + n
      end
    end
    local words = {}
    for i, line in ipairs(order) do
      words[i] = line .. ": " .. lines[line]
      assert.is_true(lines[line] >= 100, words[i])
    end
    print(("seed %d, %d steps; hits per line of the tables:"):format(seed, steps))
    for i = 1, #words, 7 do
      print("  " .. table.concat(words, ", ", i, math.min(i + 6, #words)))
    end
    assert.is_true((replies[200] or 0) + (replies[300] or 0) >= 0.3 * steps)
    assert.is_true(replies[400] >= 0.05 * steps)
    for _, row in ipairs(rows.list) do
      local kind = row.event:match("^task%.%a+")
      assert.is_true(not kind or (replies[kind .. " 200"] or 0) > 0, kind)
    end
  end)

  it("keeps every invariant under every switch", function()
    for name, values in pairs({
      id_dialect = { "colon", "dot", "off" },
      arm = { "target", "all" },
      await_internal = { "reject" },
      await_cross_origin = { "reject" },
      timer_target = { "reject" },
      suspend_dups = { "reject" },
      heartbeat_mixed = { "reject" },
      listener_external_only = { true },
      preload_limit = { 0, 1 },
      retry_timeout_ms = { 5 },
    }) do
      for i, value in ipairs(values) do
        random_run(i, 1000, { [name] = value })
      end
    end
  end)

  it("is replayed by its seed", function()
    local function digest()
      local g, o, now, words = gen.new(7), oracle.new(), 1000, {}
      for i = 1, 2000 do
        local request
        request, now = g:next(o, now)
        local reply = o:apply(request, now)
        local id = type(request.data) == "table" and request.data.id
        id = type(id) == "string" and id or ""
        words[i] = ("%s %s %s %d"):format(request.kind, id, reply.status, now)
      end
      return table.concat(words, "\n")
    end
    assert.equal(digest(), digest())
  end)
end)
