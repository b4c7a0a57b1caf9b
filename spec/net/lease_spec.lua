-- lease_spec.lua - who holds a task, for how long, and who gets it next: workers of other processes and the clock.
--
-- Leases are short and real; what is shown is an order, never that something took so long.
--
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local far = require("spec.support.far_worker")
local http = require("spec.support.http")
local serve = require("spec.support.serve")
local uv = require("luv")

local EMPTY = setmetatable({}, { __jsontype = "object" })

describe("a lease", function()
  local place, server, connection

  local function start(...)
    server = serve.start(place, { "--listen", "127.0.0.1:0", ... })
    connection = http.connect(server.address)
  end

  before_each(function()
    place = cli.begin()
    start()
  end)
  after_each(function()
    http.close_all()
    serve.stop(server)
    cli.finish()
  end)

  local function ask(kind, data)
    return connection:call(kind, data)
  end

  local function join(name)
    return assert(http.stream(server.address, "/poll/g/" .. name))
  end

  local function create(id, address)
    assert.equal(200, (ask("promise.create", far.promise(id, id, { ["resonate:target"] = address or "poll://any@g" },
      { func = "f", args = {} }))))
  end

  local function execute(stream)
    local message = stream:message()
    assert.equal("execute", message.kind)
    return message.data.task.id, message.data.task.version
  end

  local function acquire(name, version, ttl, id)
    return (ask("task.acquire", { id = id or "a", version = version, pid = name, ttl = ttl }))
  end

  local function heartbeat(name, version)
    assert.equal(200, (ask("task.heartbeat", { pid = name, tasks = { { id = "a", version = version } } })))
  end

  local function task(id)
    return select(2, ask("task.get", { id = id or "a" })).task
  end

  local function settle(version)
    return (ask("task.fulfill", { id = "a", version = version, action = { kind = "promise.settle", head = EMPTY,
      data = { id = "a", state = "resolved", value = EMPTY } } }))
  end

  it("that ends gives the task to another, and refuses whatever its holder still does", function()
    local first = join("w1")
    create("a")
    local _, version = execute(first)
    assert.equal(200, acquire("w1", version, 60))
    first:close() -- its stream tells nothing about its tasks
    assert.equal("acquired", task().state)
    local second = join("w2")
    local id
    id, version = execute(second)
    assert.are.same({ "a", 1 }, { id, version })
    assert.equal(200, acquire("w2", version, 60000))
    heartbeat("w1", 1) -- it is told nothing, and gets nothing
    assert.equal(409, settle(1))
    assert.equal(409, (ask("task.release", { id = "a", version = 1 })))
    assert.equal(409, (ask("task.fence", { id = "a", version = 1, action = { kind = "promise.create", head = EMPTY,
      data = far.promise("a:0", "a") } })))
    assert.equal(404, (ask("promise.get", { id = "a:0" })))
    assert.equal(409, (ask("task.suspend", { id = "a", version = 1, actions = { { kind = "promise.register_callback",
      head = EMPTY, data = { awaited = "a:1", awaiter = "a" } } } })))
    assert.equal(200, settle(2))
  end)

  it("is as long from each heartbeat as it was from the beginning, and no longer", function()
    local stream = join("w1")
    create("a")
    local _, version = execute(stream)
    assert.equal(200, acquire("w1", version, 250))
    local began, last = far.now_ms(), nil
    while far.now_ms() - began < 700 do
      last = far.now_ms()
      heartbeat("w1", 1)
      local tick = uv.new_timer()
      tick:start(60, 0, function() tick:close() end)
      uv.run("once")
    end
    assert.are.same({ "acquired", 1 }, { task().state, task().version }) -- nearly three leases long
    heartbeat("w2", 1) -- neither of another process
    heartbeat("w1", 0) -- nor of another version
    execute(stream)
    local after = far.now_ms() - last
    assert.is_true(after >= 250, ("it ended %d ms behind its last heartbeat"):format(after))
    assert.equal("pending", task().state)
  end)

  it("goes over a restart of the server", function()
    local stream = join("w1")
    create("a")
    local _, version = execute(stream)
    local began = far.now_ms()
    assert.equal(200, acquire("w1", version, 400))
    http.close_all()
    serve.stop(server)
    start()
    assert.equal("acquired", task().state)
    execute(join("w2"))
    assert.is_true(far.now_ms() - began >= 400)
    assert.equal(409, settle(1))
  end)

  it("is one worker's, however many ask at a time", function()
    local people = {}
    for i = 1, 8 do people[i] = http.connect(server.address) end
    for round = 1, 30 do
      local id = "r" .. round
      create(id)
      for i, one in ipairs(people) do
        one:send_call("task.acquire", { id = id, version = 0, pid = "w" .. i, ttl = 60000 })
      end
      local got = 0
      for _, one in ipairs(people) do
        local status = one:receive_call()
        assert(status == 200 or status == 409, status)
        if status == 200 then got = got + 1 end
      end
      assert.are.same({ 1, 1 }, { got, task(id).version })
    end
  end)

  it("that is given back is offered to another at once", function()
    local streams = { join("w1"), join("w2") }
    create("a")
    local at, version
    for i, stream in ipairs(streams) do
      local turned = uv.new_timer()
      turned:start(0, 0, function() turned:close() end)
      local message = stream:take()
      if message then at, version = i, message.data.task.version end
    end
    if not at then at, version = 1, select(2, execute(streams[1])) end
    for round = 1, 4 do -- in turn
      assert.equal(200, acquire("w" .. at, version, 60000))
      assert.equal(200, (ask("task.release", { id = "a", version = round })))
      at = 3 - at
      version = select(2, execute(streams[at]))
      assert.equal(round, version)
    end
  end)

  it("is offered first to whom the address prefers, then to anybody", function()
    local other, preferred = join("w1"), join("w2")
    create("a", "poll://any@g/w2")
    local _, version = execute(preferred)
    assert.equal(200, acquire("w2", version, 100))
    preferred.connection:reset() -- as a process that is killed; its lease runs on
    assert.are.same({ "a", 1 }, { execute(other) })
    assert.equal(200, acquire("w1", 1, 60000))
    preferred = join("w2")
    assert.equal(200, (ask("task.release", { id = "a", version = 2 })))
    assert.are.same({ "a", 2 }, { execute(preferred) })
  end)
end)
