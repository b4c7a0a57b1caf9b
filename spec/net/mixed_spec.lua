-- mixed_spec.lua - executions, workers on event streams and clients that only ask, all on one store at the same time.
--
-- Watched: debug.snap while all of it goes on, held against the protocol's invariants (support/invariants.lua); at the end
-- as many promises and tasks as the calls of the script come to, no more; no task version that two got.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local crowd = require("spec.support.crowd")
local http = require("spec.support.http")
local linear = require("spec.support.linear")
local lockstep = require("spec.support.lockstep")
local oracle = require("spec.support.oracle")
local probe = require("da_probe")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

-- Each execution: itself, step.double.1, leaf.1 with a step of its own, a sleep, far.square.1 and far.square.2.
local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
local far = da.service "far"
function step.double(n) return 2 * n end
function async.leaf(n) return await(step.double(n)) end
function async.tree(n)
  local a, b = await(step.double(n)), await(async.leaf(n))
  local one, two = far.square(n), far.square(n + 1)
  await(da.sleep "5ms")
  return a + b + await(one) + await(two)
end
]]
local PROMISES, TASKS = 7, 4 -- of each execution; tasks: itself, leaf.1, two squares

local SANITIZED = (os.getenv("DA_PRESET") or ""):find("san") ~= nil
local LONG = os.getenv("DA_LONG") == "1"
local EXECUTIONS = LONG and 300 or SANITIZED and 8 or 25
local CALLS = 12 * EXECUTIONS
local EMPTY = setmetatable({}, { __jsontype = "object" })
local LEASE_MS = 1000 -- what a worker has that nobody told of its task, before another is sent for it
local CLIENT = "poll://uni@client/c1"

describe("executions, event streams and clients", function()
  local place, server, broken_pipe

  setup(function() -- as in linear_kill_spec.lua
    broken_pipe = uv.new_signal()
    broken_pipe:start("sigpipe", function() end)
    broken_pipe:unref()
  end)
  teardown(function()
    broken_pipe:close()
    uv.run("nowait")
  end)
  before_each(function() place = program.place(true) end)
  after_each(function() place:remove() end)

  local function invocation(id, n)
    local payload = json.encode { func = "tree", args = { n }, version = 1 }
    return { id = id, timeoutAt = crowd.real_ms() + 600000, param = { headers = EMPTY, data = probe.base64(payload) },
      tags = { ["resonate:target"] = "poll://any@wf", ["resonate:origin"] = id, ["resonate:branch"] = id,
        ["resonate:parent"] = id, ["resonate:scope"] = "global" } }
  end

  local function expected(n) return 2 * n + 2 * n + n * n + (n + 1) * (n + 1) end

  -------------------------------------------------------------------------------------------------- who takes part

  local World = {}
  World.__index = World

  -- A connection that is asked without waiting; then(status, data) is called with each answer.
  local function asker()
    local one = { connection = http.connect(server.address), waiting = {} }
    function one.ask(_, kind, data, then_do)
      one.connection:send_call(kind, data)
      table.insert(one.waiting, then_do or function() end)
    end
    function one.collect()
      while #one.waiting > 0 and one.connection.buffer ~= "" do
        local came, status, data = pcall(one.connection.receive_call, one.connection)
        if not came then
          assert(one.connection.ended and status:find("closed within an answer", 1, true), status)
          one.connection.buffer = ""
          return
        end
        table.remove(one.waiting, 1)(status, data)
      end
    end
    return one
  end

  -- A message if one has come; a comment is none.
  local function message_of(stream)
    if (stream.text .. stream.connection.buffer):find("data: [^\n]*\n\n") then return stream:message() end
  end

  function World:connect()
    self.people:connect(server.address)
    self.workers, self.client, self.asker, self.looker = {}, nil, nil, nil
    self.asker, self.looker = asker(), asker()
    for i = 1, 2 do
      self.workers[i] = { pid = "worker-" .. i, stream = http.stream(server.address, "/poll/far/w" .. i), asker = asker() }
    end
    self.client = http.stream(server.address, "/poll/client/c1")
    for id, n in pairs(self.open) do self:invoke(id, n) end -- again: the same promise, whoever made it
  end

  function World:invoke(id, n)
    self.open[id] = n
    self.asker:ask("promise.create", invocation(id, n), function(status) assert.equal(200, status) end)
    self.asker:ask("promise.register_listener", { awaited = id, address = CLIENT }, function(status, data)
      assert.equal(200, status)
      if data.promise.state ~= "pending" then self:ended(data.promise) end
    end)
  end

  function World:ended(promise)
    local n = self.open[promise.id]
    if not n then return end
    self.open[promise.id], self.done = nil, self.done + 1
    assert.equal("resolved", promise.state)
    assert.equal(expected(n), json.decode(probe.base64_read(promise.value.data)))
  end

  -- The worker acquires; so does its rival, who heard of it: one of them gets it.
  function World:work(worker, task)
    for _, one in ipairs(self.workers) do
      one.asker:ask("task.acquire", { id = task.id, version = task.version, pid = one.pid, ttl = LEASE_MS }, function(status, data)
        self.acquires[status] = (self.acquires[status] or 0) + 1
        if status ~= 200 then return end
        local key = task.id .. " " .. task.version
        assert.is_nil(self.holders[key], "two hold " .. key)
        self.holders[key] = one.pid
        local n = json.decode(probe.base64_read(data.promise.param.data)).args[1]
        one.asker:ask("task.fulfill", { id = task.id, version = data.task.version, action = { kind = "promise.settle",
          head = EMPTY, data = { id = task.id, state = "resolved", value = { headers = EMPTY,
            data = probe.base64(json.encode(n * n)) } } } }, function(fulfilled)
          assert.is_true(fulfilled == 200 or fulfilled == 409, fulfilled) -- 409: the lease was over
        end)
      end)
      if worker == self.workers[2] then break end -- every other time nobody else comes
    end
  end

  -- Deadlines at the end of time are not kept; the invariants know none without a row.
  local function judge(snapshot)
    for _, record in ipairs(snapshot.promises) do
      if record.timeoutAt >= oracle.TIME_MAX and record.state == "pending" then
        table.insert(snapshot.promiseTimeouts, { id = record.id, timeout = record.timeoutAt })
      end
    end
    table.sort(snapshot.promiseTimeouts, function(a, b) return a.id < b.id end)
    local broken = oracle.violations(snapshot, crowd.real_ms() + 1, nil, oracle.profile)
    assert(not broken, broken and table.concat(broken, "\n"))
    return snapshot
  end

  function World:look()
    self.looking = true
    self.looker:ask("debug.snap", {}, function(status, data)
      assert.equal(200, status)
      self.looking, self.looks = false, self.looks + 1
      judge(data)
    end)
  end

  function World:turn()
    local busy = not self.people:turn()
    for _, one in ipairs { self.asker, self.looker, self.workers[1].asker, self.workers[2].asker } do one:collect() end
    for _, worker in ipairs(self.workers) do
      local message = message_of(worker.stream)
      if message then self:work(worker, message.data.task) end
    end
    local message = message_of(self.client)
    if message then self:ended(message.data.promise) end
    if self.begun < EXECUTIONS and self.begun - self.done < 8 then
      self.begun = self.begun + 1
      self:invoke("tree-" .. self.begun, self.begun)
    end
    if not self.looking then self:look() end
    return not busy and self.done == EXECUTIONS
  end

  function World:disconnect()
    for _, one in ipairs(self.workers) do
      one.asker.connection:close()
      one.stream:close()
    end
    for _, name in ipairs { "asker", "looker" } do
      if self[name] then self[name].connection:close() end
    end
    if self.client then self.client:close() end
  end

  -- The server is dead: who asked is told by nobody.
  function World:bury()
    self.under_way = self.people:bury()
    self.looking = false
    self:disconnect()
  end

  -------------------------------------------------------------------------------------------------- what is left

  local function tally(snapshot)
    local promises, tasks = {}, {}
    local function note(list, id) -- marks of deaths (host/vm/crash.c) are no calls
      local root = id:match("^tree%-%d+")
      if root and not id:find("~death", 1, true) then list[root] = (list[root] or 0) + 1 end
    end
    for _, record in ipairs(snapshot.promises) do note(promises, record.id) end
    for _, record in ipairs(snapshot.tasks) do
      note(tasks, record.id)
      if record.id:find("^tree%-") then assert.equal("fulfilled", record.state, record.id) end
    end
    for i = 1, EXECUTIONS do
      local id = "tree-" .. i
      assert.same({ PROMISES, TASKS }, { promises[id], tasks[id] }, id)
    end
    for _, edge in ipairs(snapshot.callbacks) do assert.is_nil(edge.awaited:match("^tree%-"), edge.awaited) end
    for _, ear in ipairs(snapshot.listeners) do assert.is_nil(ear.id:match("^tree%-"), ear.id) end
  end

  local function start(kill)
    server = serve.start(place, { "--debug", "--push=false", "--poll-keepalive", "0", "--retry-timeout", "1s", "wf=" .. place.script },
      { env = { DAHOST_KILL = kill } })
  end

  local function play(kills)
    local seed = lockstep.seed() % 1000000000
    place.script = place:write("wf.lua", SCRIPT)
    local world = setmetatable({ open = {}, begun = 0, done = 0, looks = 0, acquires = {}, holders = {} }, World)
    world.people = crowd.new { seed = seed, clock = "real", clients = 3, depth = 3,
      without = { ["promise.search"] = true, ["task.search"] = true } }
    world.people.limit = CALLS
    local deaths = 0
    for life = 1, #kills + 1 do
      start(kills[life])
      local connected, fault = pcall(world.connect, world) -- it may die meanwhile
      program.turn_until(function() return ("%d of %d executions, %s"):format(world.done, EXECUTIONS, fault or "connected") end,
        function() return server.ended or connected and world:turn() end)
      if not server.ended then break end
      assert.equal(9, server.signal, server.err)
      deaths = deaths + 1
      world:bury()
    end
    -- How many commits the rest takes depends on how much goes into each.
    assert.is_true(deaths >= 1 or #kills == 0)
    program.turn_until(function() return "the last look" end, function()
      world.looker:collect()
      return not world.looking
    end)
    -- A listener's message may still be under way: the quiet moment is when none is left.
    local snapshot
    repeat
      world:look()
      program.turn_until(function() return "a look" end, function()
        world.looker:collect()
        return not world.looking
      end)
      local _, data = http.call(server.address, "debug.snap", {})
      snapshot = judge(data)
      local left = false
      for _, message in ipairs(data.messages) do
        local of = message.message.data
        left = left or (of.task or of.promise).id:find("^tree%-") ~= nil
      end
    until not left
    tally(snapshot)
    local result = linear.check(world.people.history, { timeless = true })
    assert(result.linear, not result.linear and ("DA_SEED=%d\n%s"):format(seed, linear.describe(result)))
    print(("seed %d: %d executions, %d requests of others beside them, %d snapshots, %d deaths; acquires: %d got it, %d came second")
      :format(seed, world.done, #world.people.history, world.looks, deaths, world.acquires[200] or 0, world.acquires[409] or 0))
    assert.is_true(world.looks > 5)
    assert.is_true((world.acquires[409] or 0) > 0)
    world.people:disconnect()
    world:disconnect()
    serve.stop(server)
    assert.equal(0, place:run("verify").code)
  end

  it("leave each other alone, and the store right at every moment", function() play {} end)

  it("do so through deaths of the server", function() play { "commit.after:40", "answer.before:40", "commit.before:40" } end)
end)
