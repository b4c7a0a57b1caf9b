-- queue_spec.lua - queues: who is served when, what is given back, and thousands of random requests against the model.
-- SPDX-License-Identifier: Apache-2.0
local lockstep = require("spec.support.lockstep")
local queue_lockstep = require("spec.support.queue_lockstep")
local probe = require("da_probe")

local KIND = { channel = 1, semaphore = 2, limiter = 3 }
local MAX = 9007199254740991

local world, now

local function ask(kind, data, at)
  local reply, words, more = world:apply({ kind = kind, data = data }, at or now)
  assert(reply, tostring(words) .. " " .. tostring(more))
  return reply
end

local function start(id, timeout)
  return ask("task.create", { pid = "local/1", ttl = MAX, action = { kind = "promise.create", data = {
    id = id, timeoutAt = timeout or MAX, param = {}, tags = { ["resonate:target"] = "poll://any@default" } } } })
end

local function wait(owner, id, name, kind, limit, per)
  return ask("queue.wait", { id = owner, version = 1, promiseId = owner .. ":" .. id, timeoutAt = MAX, tags = {},
    name = name, queueKind = KIND[kind], limit = limit or 0, per = per or 0 })
end

local function recv(owner, id, name) return wait(owner, id, name or "c", "channel") end
local function acquire(owner, id, n) return wait(owner, id, "s", "semaphore", n or 1) end
local function take(owner, id, rate, per) return wait(owner, id, "l", "limiter", rate, per) end

local function put(name, text, message) return ask("queue.put", { name = name, value = { data = text }, message = message }) end
local function back(owner, id) return ask("queue.back", { id = owner, version = 1, promiseId = owner .. ":" .. id }) end
local function finish(owner)
  return ask("task.fulfill", { id = owner, version = 1, action = { kind = "promise.settle", data = {
    id = owner, state = "resolved", value = {} } } })
end

local function state(id)
  local p = world:promise(id)
  return p and p.state
end
local function value(id) return world:promise(id).value.data end

local function sweep(at)
  now = at
  repeat
    local reply = assert(world:sweep(now))
  until not reply.data.more
end

local function whole()
  assert.same({}, world:check(now))
  assert.same({}, world:verify())
end

describe("a queue", function()
  before_each(function()
    world, now = assert(probe.new({ kind = "memory" })), 1000
    for _, id in ipairs { "a", "b", "c" } do start(id) end
  end)
  after_each(function()
    whole()
    world:close()
  end)

  it("gives messages in the order of the sends to receivers in the order of the receives", function()
    recv("a", "r1")
    recv("b", "r1")
    for _, text in ipairs { "1", "2", "3", "4" } do put("c", text) end
    recv("b", "r2")
    assert.same({ "1", "2", "3" }, { value "a:r1", value "b:r1", value "b:r2" })
    assert.equal("4", world:queue("c").tokens[1].data)
  end)

  it("resolves at birth what finds a token and nobody before it", function()
    put("c", "1")
    assert.equal("resolved", recv("a", "r1").data.promise.state)
    assert.equal("resolved", acquire("a", "p1", 1).data.promise.state)
    assert.equal("resolved", take("a", "t1", 1, 100).data.promise.state)
    assert.equal("pending", take("b", "t1", 1, 100).data.promise.state)
  end)

  it("answers a wait that is there already, and makes no second place", function()
    recv("a", "r1")
    assert.equal("pending", recv("a", "r1").data.promise.state)
    assert.equal(1, #world:queue("c").places)
    put("c", "1")
    assert.equal("resolved", recv("a", "r1").data.promise.state)
    assert.same({}, world:queue("c").tokens)
  end)

  it("passes over who was withdrawn, or settled from outside, and takes no token for it", function()
    for i = 1, 3 do recv("a", "r" .. i) end
    back("a", "r1")
    ask("promise.settle", { id = "a:r2", state = "rejected_canceled", value = {} })
    put("c", "1")
    assert.same({ "rejected_canceled", "rejected_canceled", "resolved" }, { state "a:r1", state "a:r2", state "a:r3" })
  end)

  it("passes over whose execution is past its deadline, though no sweep has ended it yet", function()
    start("t", 1500)
    recv("t", "r1")
    recv("a", "r1")
    now = 1600
    put("c", "1")
    assert.same({ "pending", "resolved" }, { state "t:r1", state "a:r1" })
    sweep(1600)
    assert.equal("rejected_timedout", state "t")
  end)

  it("remembers the last messages from outside, also when others without a name come between", function()
    put("c", "1", "m1")
    put("c", "2")
    put("c", "1", "m1")
    assert.equal(2, #world:queue("c").tokens)
  end)

  it("lets nobody who arrives overtake those who wait, though more is free than one request gives out", function()
    for i = 1, 301 do acquire("a", "p" .. i, 1) end
    assert.equal("pending", acquire("b", "p1", 600).data.promise.state)
    assert.same({ "resolved", "pending" }, { state "a:p257", state "a:p258" })
    sweep(now + 1)
    assert.same({ "resolved", "resolved" }, { state "a:p301", state "b:p1" })
  end)

  it("gives a message that comes back to the next in line, or keeps it at its head", function()
    recv("a", "r1")
    recv("b", "r1")
    recv("c", "r1")
    put("c", "1")
    put("c", "2")
    back("a", "r1")
    assert.equal("1", value "c:r1")
    back("b", "r1")
    put("c", "3")
    assert.same({ "2", "3" }, { world:queue("c").tokens[1].data, world:queue("c").tokens[2].data })
  end)

  it("takes a token back once, however often that is asked", function()
    put("c", "1")
    recv("a", "r1")
    for _ = 1, 3 do back("a", "r1") end
    assert.equal(1, #world:queue("c").tokens)
    acquire("a", "p1", 2)
    acquire("b", "p1", 2)
    for _ = 1, 3 do back("a", "p1") end
    assert.equal(1, world:queue("s").held)
  end)

  it("keeps two messages that come back in the order of their sends", function()
    put("c", "1")
    put("c", "2")
    recv("a", "r1")
    recv("a", "r2")
    back("a", "r2")
    back("a", "r1")
    assert.same({ "1", "2" }, { world:queue("c").tokens[1].data, world:queue("c").tokens[2].data })
  end)

  it("of permits gives n, and the next when one is released or its execution ends in any way", function()
    acquire("a", "p1", 2)
    acquire("b", "p1", 2)
    start("d", 5000)
    for i = 1, 3 do acquire("c", "p" .. i, 2) end
    assert.equal("pending", state "c:p1")
    back("a", "p1")
    assert.same({ "resolved", "pending" }, { state "c:p1", state "c:p2" })
    finish "b"
    assert.same({ "resolved", "pending" }, { state "c:p2", state "c:p3" })
    ask("promise.settle", { id = "c", state = "rejected_canceled", value = {} })
    assert.equal(0, world:queue("s").held)
    assert.equal("rejected_canceled", state "c:p3")
  end)

  it("frees the permits of an execution that timed out, and gives none to another that did", function()
    start("d", 2000)
    start("e", 2000)
    acquire("d", "p1", 1)
    acquire("e", "p1", 1)
    acquire("a", "p1", 1)
    sweep(2000)
    assert.equal("resolved", state "a:p1")
    assert.is_nil(world:holds("d")[1])
    assert.is_nil(world:holds("e")[1])
  end)

  it("goes by the newest n: more are given at once, fewer as permits come back", function()
    acquire("a", "p1", 1)
    acquire("a", "p2", 1)
    acquire("b", "p1", 3)
    assert.same({ "resolved", "resolved" }, { state "a:p2", state "b:p1" })
    acquire("b", "p2", 1)
    back("a", "p1")
    back("a", "p2")
    assert.equal("pending", state "b:p2")
    back("b", "p1")
    assert.equal("resolved", state "b:p2")
  end)

  it("gives out many at once in pieces, each in a request of its own", function()
    for i = 1, 600 do acquire("a", "p" .. i, 1) end
    acquire("b", "p1", 1000)
    assert.equal(257, world:queue("s").held)
    sweep(now + 1)
    sweep(now + 1)
    sweep(now + 1)
    assert.equal(601, world:queue("s").held)
    assert.equal(0, world:queue("s").due)
  end)

  it("of a limiter grants at the first instant that keeps the rate, bursts allowed", function()
    for i = 1, 5 do take("a", "t" .. i, 2, 100) end
    assert.equal("pending", state "a:t3")
    assert.equal(1100, world:queue("l").due)
    sweep(1099)
    assert.equal("pending", state "a:t3")
    sweep(1100)
    assert.same({ "resolved", "resolved", "pending" }, { state "a:t3", state "a:t4", state "a:t5" })
    sweep(1200)
    assert.equal("resolved", state "a:t5")
    assert.equal(0, world:queue("l").due)
  end)

  it("of many limiters that fall due together gives out a bounded part in one sweep", function()
    for _, name in ipairs { "l1", "l2", "l3" } do
      for i = 1, 400 do wait("a", name .. "t" .. i, name, "limiter", 200, 100) end
    end
    local function granted()
      local count = 0
      for _, name in ipairs { "l1", "l2", "l3" } do
        for i = 201, 400 do count = count + (state("a:" .. name .. "t" .. i) == "resolved" and 1 or 0) end
      end
      return count
    end
    now = 1100
    local reply = assert(world:sweep(now))
    assert.is_true(reply.data.more)
    assert.equal(400, granted())
    sweep(1100)
    assert.equal(600, granted())
  end)

  it("of a limiter moves later ones up when one is withdrawn, granted or not", function()
    for i = 1, 4 do take("a", "t" .. i, 1, 100) end
    back("a", "t2")
    sweep(1100)
    assert.equal("resolved", state "a:t3")
    back("a", "t3")
    assert.equal("resolved", state "a:t4")
    assert.equal(1, #world:queue("l").tokens)
  end)

  it("keeps no more grants than its window holds", function()
    for i = 1, 20 do
      take("a", "t" .. i, 3, 10)
      sweep(now + 10)
    end
    assert.equal(3, #world:queue("l").tokens)
  end)

  it("has one kind", function()
    recv("a", "r1")
    local reply = wait("b", "p1", "c", "semaphore", 1)
    assert.same({ 422, "'c' is a channel; it cannot be a semaphore as well: give one of them another name" },
      { reply.status, reply.data })
    acquire("a", "p1", 1)
    assert.equal(422, put("s", "1").status)
  end)

  it("puts a message once: by the record of its call, by the count of a step, by an id from outside", function()
    local call = { id = "a", version = 1, promiseId = "a:s1", timeoutAt = MAX, tags = {}, name = "c", value = { data = "1" } }
    ask("queue.put", call)
    ask("queue.put", call)
    local step = { id = "a", promiseId = "a:step.1/~send.1", name = "c", value = { data = "2" } }
    ask("queue.put", step)
    ask("queue.put", step)
    put("c", "3", "one")
    put("c", "3", "one")
    put("c", "4", "two")
    local texts = {}
    for i, token in ipairs(world:queue("c").tokens) do texts[i] = token.data end
    assert.same({ "1", "2", "3", "4" }, texts)
    assert.equal("resolved", state "a:s1")
  end)

  it("refuses a message beyond its bound, and takes the next when one was received", function()
    for i = 1, 10000 do assert.equal(i, put("c", "1").data.count or i) end
    local reply = put("c", "1")
    assert.equal(507, reply.status)
    assert.truthy(reply.data:find("holds 10000 messages", 1, true))
    recv("a", "r1")
    assert.equal(200, put("c", "1").status)
  end)

  it("that is an inbox takes messages while its execution lives, and goes with it", function()
    put("a/in", "1")
    assert.equal(422, wait("b", "r1", "a/in", "channel").status)
    assert.equal("1", recv("a", "r1", "a/in").data.promise.value.data)
    put("a/in", "2")
    recv("a", "r2", "a/in")
    recv("a", "r3", "a/in")
    put("b/in", "1")
    finish "a"
    assert.same({ 410, "execution 'a' has ended" }, { put("a/in", "3").status, put("a/in", "3").data })
    assert.same({ 410, "there is no execution 'z'" }, { put("z/in", "3").status, put("z/in", "3").data })
    assert.same({ "b/in" }, world:queues())
  end)

  it("is left alone by who does not hold the task", function()
    acquire("a", "p1", 1)
    assert.equal(409, ask("queue.back", { id = "a", version = 2, promiseId = "a:p1" }).status)
    assert.equal(409, ask("queue.wait", { id = "a", version = 2, promiseId = "a:p2", timeoutAt = MAX, tags = {}, name = "s",
      queueKind = 2, limit = 1 }).status)
    assert.equal(1, world:queue("s").held)
  end)

  it("is refused parameters that mean nothing", function()
    assert.equal(400, acquire("a", "p1", -1).status)
    assert.equal(400, take("a", "t1", 1, 0).status)
    assert.equal(400, wait("a", "x", "", "channel").status)
  end)
end)

describe("random requests to queues", function()
  it("find the engine and the model of one mind", function()
    local seed = lockstep.seed()
    local run = queue_lockstep.run({ probe = probe, seed = seed, ops = tonumber(os.getenv("DA_OPS")) or 6000 })
    assert.is_nil(run.difference, ("seed %d, request %d: %s"):format(seed, run.ops, run.difference or ""))
    for _, what in ipairs { "granted", "given back", "passed over", "refused", "again" } do
      assert.is_true((run.hits[what] or 0) > 10, ("seed %d: %s %d times"):format(seed, what, run.hits[what] or 0))
    end
  end)
end)
