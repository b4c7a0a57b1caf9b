-- queue_spec.lua - messages from outside; queues of executions that are killed at every write, and at any instant.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local harness = require("spec.support.harness")
local model = require("spec.support.queue_model")
local probe = require("da_probe")

local SCRIPT = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step

local function note(words)
  local file = assert(io.open(os.getenv "LEDGER", "a"))
  file:write(words, "\n")
  file:close()
end

function step.note(words) note(words) return words end
function step.tell(name, from) da.send(name, from) da.send(name, from + 1) note(da.id()) return from end

function async.echo(n)
  local inbox, list = da.inbox "orders", {}
  print "ready"
  for i = 1, n do list[i] = await(inbox:recv()) end
  return list
end

-- Every form once, with losers, withdrawals and permits.
function async.all_of_it()
  local ch, gone = da.channel "c", da.channel "never"
  local got = {}
  for i = 1, 3 do ch:send(i) end
  await(step.tell("c", 4))
  local _, late = pawait(da.within("5ms", da.all { ch:recv(), gone:recv() }))
  got[1] = late.code
  got[2] = await(da.any { gone:recv(), ch:recv() })
  local sem = da.semaphore("s", 1)
  do
    local permit <close> = await(sem:acquire())
    got[3] = select(2, pawait(da.within("5ms", sem:acquire()))).code
    got[4] = await(ch:recv())
  end
  local second = await(sem:acquire())
  local lim = da.limiter("l", { rate = 2, per = "10ms" })
  for i = 5, 7 do
    await(lim:take())
    got[i] = await(ch:recv())
  end
  second:release()
  return got
end

-- Shares two permits and a rate with its likes.
function async.guest(rounds)
  local sem, lim = da.semaphore("room", 2), da.limiter("door", { rate = 3, per = "40ms" })
  for _ = 1, rounds do
    await(lim:take())
    local permit <close> = await(sem:acquire())
    await(step.note("in " .. da.id()))
    await(da.sleep "4ms")
    await(step.note("out " .. da.id()))
  end
  await(da.channel "guests":send(da.id()))
  return rounds
end
]]

local place

local function dahost(...)
  return harness.dahost({ ... }, { env = { DAHOST_DATA = place.data, LEDGER = place.ledger } })
end

local function script()
  return place.dir .. "/s.lua"
end

before_each(function()
  place = harness.place(true)
  local file = assert(io.open(script(), "w"))
  file:write(SCRIPT)
  file:close()
end)
after_each(function() harness.remove(place) end)

local function spawn(args, extra)
  local env = { DAHOST_DATA = place.data, LEDGER = place.ledger }
  for k, v in pairs(extra or {}) do env[k] = v end
  return harness.spawn(args, { env = env })
end

-- An execution of echo that waits, in a process that holds the store.
local function waiting(id, n)
  local process = spawn { "run", script(), "echo", tostring(n), "--id", id }
  while not process.err:find("waits for " .. id .. ":~recv-orders.1", 1, true) do
    assert(not process.ended, process.err)
    uv.run("once")
  end
  return process
end

describe("send", function()
  it("reaches the inbox of an execution that another process runs, in order", function()
    local process = waiting("cart-7", 3)
    local got = dahost("send", "cart-7/orders", '{"op":"add"}')
    assert.equal(0, got.code, got.err)
    assert.truthy(got.err:find("cart-7/orders: sent", 1, true))
    assert.equal("", got.out)
    dahost("send", "cart-7/orders", "17", "--str", "--quiet")
    assert.equal(0, dahost("send", "cart-7/orders", "tea").code)
    harness.wait(process)
    assert.equal('[{"op":"add"},"17","tea"]\n', process.out)
  end)

  it("keeps messages for an execution that nobody drives, also one that has not begun", function()
    dahost("start", script(), "echo", "2", "--id", "cart-7")
    local got = dahost("send", "cart-7/orders", "1", "--json")
    assert.equal('{"channel":"cart-7/orders","messages":1,"execution":"cart-7","driven":false}\n', got.out)
    assert.truthy(got.err:find("1 message waits there", 1, true) and got.err:find("dahost resume cart-7", 1, true), got.err)
    assert.truthy(dahost("send", "cart-7/orders", "2").err:find("2 messages wait there", 1, true))
    assert.equal("[1,2]\n", dahost("resume", "cart-7").out)
  end)

  it("refuses what nobody can receive, with the mend", function()
    assert.truthy(dahost("send", "c", "1").err:find("there is no store", 1, true))
    dahost("start", script(), "echo", "1", "--id", "cart-7")
    local got = dahost("send", "crat-7/orders", "1")
    assert.equal(1, got.code)
    assert.truthy(got.err:find("no execution 'crat-7'", 1, true) and got.err:find("did you mean 'cart-7'?", 1, true), got.err)
    dahost("send", "cart-7/orders", "1")
    dahost("resume", "cart-7")
    got = dahost("send", "cart-7/orders", "1")
    assert.equal(1, got.code)
    assert.equal("dahost: execution 'cart-7' has ended: its inbox takes no more messages\n", got.err)
  end)

  it("refuses a channel of another kind, a message too long, a name that is none", function()
    dahost("run", script(), "all_of_it", "--id", "x")
    local got = dahost("send", "s", "1")
    assert.equal(1, got.code)
    assert.truthy(got.err:find("'s' is a semaphore; it cannot be a channel as well", 1, true), got.err)
    got = dahost("send", "c", ("x"):rep(100000))
    assert.equal(0, got.code)
    assert.equal(2, dahost("send", "", "1").code)
    assert.equal(2, dahost("send", "c").code)
  end)

  it("is shown by queue: all of them, or one with what is in it", function()
    dahost("run", script(), "all_of_it", "--id", "x")
    dahost("start", script(), "echo", "1", "--id", "cart-7")
    dahost("send", "cart-7/orders", '{"sku":"tea"}')
    local lines = {}
    for line in dahost("queue").out:gmatch "[^\n]+" do lines[#lines + 1] = line end
    table.sort(lines)
    assert.same({ "c              channel    0 messages", "cart-7/orders  channel    1 message", "l              limiter    2 per 10 ms",
      "never          channel    0 messages", "s              semaphore  0 of 1 held" }, lines)
    assert.equal('cart-7/orders  channel    1 message\n  message  {"sku":"tea"}\n', dahost("queue", "cart-7/orders").out)
    assert.equal('{"name":"s","kind":"semaphore","n":1,"held":0,"waiting":0,"waits":[],"holders":[]}\n',
      dahost("queue", "s", "--json").out)
    local got = dahost("queue", "cart-7/odrers")
    assert.equal(1, got.code)
    assert.truthy(got.err:find("did you mean 'cart-7/orders'?", 1, true), got.err)
    assert.equal(2, dahost("queue", "--limit", "0").code)
  end)

  it("shows who waits, and whoever is cancelled leaves its place to the next", function()
    local first = waiting("cart-7", 1)
    dahost("cancel", "cart-7", "enough")
    harness.wait(first)
    assert.equal(4, first.code)
    local second = waiting("cart-8", 1)
    assert.equal("cart-8/orders  channel    0 messages, 1 waits\n  waits    cart-8:~recv-orders.1\n",
      dahost("queue", "cart-8/orders").out)
    dahost("send", "cart-8/orders", "1")
    harness.wait(second)
    assert.equal("[1]\n", second.out)
  end)

  it("is shown by tree, with what is awaited", function()
    local process = waiting("cart-7", 1)
    local tree = dahost("tree", "cart-7").out
    assert.truthy(tree:find("  ~recv-orders.1  recv cart-7/orders  pending", 1, true), tree)
    dahost("send", "cart-7/orders", "1")
    harness.wait(process)
  end)
end)

describe("queues", function()
  it("survive a death at every durable write, and a second one in the recovery", function()
    local want = '["timedout",1,"timedout",2,3,4,5]\n'
    local args = { "run", script(), "all_of_it", "--id", "x" }
    local function life(death)
      return harness.wait(spawn(args, { DAHOST_KILL = death }))
    end
    local step = (harness.sanitized or harness.mode) and 5 or 2
    for _, point in ipairs { "commit.before", "commit.after" } do
      for n = 1, 200 do
        place.data = place.dir .. "/" .. point .. n
        local first = life(point .. ":" .. n)
        if first.signal ~= 9 then
          assert.is_true(n > 10, first.err)
          break
        end
        if n % step == 0 then life("commit.before:" .. n % 7 + 1) end
        local last = life()
        assert.equal(want, last.out, point .. ":" .. n .. "\n" .. last.err)
        local verify = dahost("verify")
        assert.equal(0, verify.code, verify.out .. verify.err)
        local world = assert(probe.new { kind = "lmdb", path = place.data, read_only = true })
        assert.same({}, world:holds("x"))
        assert.same({}, world:queue("c").tokens)
        assert.same(0, world:queue("s").held)
        world:close()
      end
    end
  end)

  it("of many executions, killed at random: no rate exceeded, no permit too many, nobody starves", function()
    math.randomseed(harness.seed)
    local GUESTS, ROUNDS = 6, 3
    for i = 1, GUESTS do dahost("start", script(), "guest", tostring(ROUNDS), "--id", "g" .. i) end
    for _ = 1, 5 do
      local process = spawn { "resume", "--all" }
      local timer = uv.new_timer()
      timer:start(math.random(20, 90), 0, function()
        if not process.ended then uv.kill(process.pid, "sigkill") end
        timer:close()
      end)
      harness.wait(process)
      while not timer:is_closing() do uv.run("once") end
    end
    local last = dahost("resume", "--all")
    assert.equal(0, last.code, "seed " .. harness.seed .. "\n" .. last.err)
    assert.equal(0, dahost("verify").code)

    local inside, count = {}, 0
    for line in io.lines(place.ledger) do
      local what, id = line:match "^(%a+) (g%d)$"
      if what == "in" and not inside[id] then
        inside[id], count = true, count + 1
      elseif what == "out" and inside[id] then
        inside[id], count = nil, count - 1
      end
      assert.is_true(count <= 2, "seed " .. harness.seed .. ": three in a room for two")
    end
    local world = assert(probe.new { kind = "lmdb", path = place.data, read_only = true })
    local instants = {}
    for i = 1, GUESTS do
      for n = 1, ROUNDS do instants[#instants + 1] = world:promise(("g%d:~take-door.%d"):format(i, n)).settledAt end
    end
    assert.is_nil(model.exceeded(instants, 3, 40), "seed " .. harness.seed)
    local seen = {}
    for _, token in ipairs(world:queue("guests").tokens) do seen[#seen + 1] = token.data end
    table.sort(seen)
    assert.same({ '"g1"', '"g2"', '"g3"', '"g4"', '"g5"', '"g6"' }, seen)
    assert.equal(0, world:queue("room").held)
    world:close()
  end)

  it("give a message that comes in the instant in which within ends to exactly one", function()
    local text = [[
local da = require "da"
local async, await, pawait = da.async, da.await, da.pawait
function async.main(n)
  local inbox, got, late = da.inbox "in", 0, 0
  for i = 1, n do
    async("sender", function() await(da.sleep(0.01)) await(inbox:send(i)) end)
    local ok, v = pawait(da.within(0.01, inbox:recv()))
    if ok then got = got + 1 else late = late + 1 v = await(inbox:recv()) end
    assert(v == i, v)
  end
  local _, none = pawait(da.within(0.01, inbox:recv()))
  return { got + late, none.code }
end]]
    local file = assert(io.open(script(), "w"))
    file:write(text)
    file:close()
    local result = dahost("run", script(), "main", "12", "--id", "x", "--quiet")
    assert.equal('[12,"timedout"]\n', result.out, result.err)
  end)
end)
