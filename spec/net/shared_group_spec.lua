-- shared_group_spec.lua - clients and workers of other processes beside the worker of the server: who gets which task.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local http = require("spec.support.http")
local json = require("dkjson")
local probe = require("da_probe")
local serve = require("spec.support.serve")

local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
local others = da.service "default"
function step.double(n) return 2 * n end
function async.order(n, item) return await(step.double(n)) + item.x end
function async.asks(n) return "lua and " .. await(others.far(n)) end
]]

local EMPTY = setmetatable({}, { __jsontype = "object" })

describe("a group", function()
  local place, process, client

  local function begin(...)
    process = serve.start(place, { "--listen", "127.0.0.1:0", ... })
    client = http.connect(process.address)
  end

  before_each(function()
    place = cli.begin()
  end)
  after_each(function()
    client:close()
    serve.stop(process)
    cli.finish()
  end)

  local function call(kind, data)
    local status, answer = client:call(kind, data)
    assert(status == 200, json.encode(answer))
    return answer
  end

  local function wire(id, func, args, target)
    local payload = json.encode { func = func, args = setmetatable(args, { __jsontype = "array" }), version = 1 }
    return { id = id, timeoutAt = os.time() * 1000 + 600000, param = { headers = EMPTY, data = probe.base64(payload) },
      tags = { ["resonate:target"] = target or "poll://any@default", ["resonate:origin"] = id, ["resonate:branch"] = id,
        ["resonate:parent"] = id, ["resonate:scope"] = "global" } }
  end

  local function worker(name)
    return http.stream(process.address, "/poll/default/" .. name)
  end

  local function result(promise)
    return promise.state, promise.value.data and json.decode(probe.base64_read(promise.value.data))
  end

  -- Waits as a client does: by a listener, whose message comes to `stream`.
  local function await(stream, id, address)
    local promise = call("promise.register_listener", { awaited = id, address = address }).promise
    if promise.state ~= "pending" then return result(promise) end
    local message = stream:message()
    assert.are.equal("unblock", message.kind)
    assert.are.equal(id, message.data.promise.id)
    return result(message.data.promise)
  end

  local function fulfill(id, version, value)
    call("task.acquire", { id = id, version = version, pid = "w1", ttl = 60000 })
    return call("task.fulfill", { id = id, version = version + 1, action = { kind = "promise.settle", head = EMPTY,
      data = { id = id, state = "resolved", value = { headers = EMPTY, data = probe.base64(json.encode(value)) } } } })
  end

  local function execute(stream)
    local message = stream:message()
    assert.are.equal("execute", message.kind)
    return message.data.task.id, message.data.task.version
  end

  it("of the server runs what a client calls, and tells it", function()
    begin(place:write("wf.lua", SCRIPT))
    local stream = http.stream(process.address, "/poll/client/c1")
    call("promise.create", wire("a", "order", { 4, { x = 2 } }))
    assert.are.same({ "resolved", 10 }, { await(stream, "a", "poll://uni@client/c1") })
    call("promise.create", wire("b", "order", { 4 }))
    local state, err = await(stream, "b", "poll://uni@client/c1")
    assert.are.same({ "rejected", "error" }, { state, err.__type })
    stream:close()
  end)

  it("that is shared has each function run by who has it", function()
    begin(place:write("wf.lua", SCRIPT))
    local stream = worker("w1")
    call("promise.create", wire("a", "far", { 1 }))
    local id, version = execute(stream)
    assert.are.equal("a", id)
    fulfill(id, version, "from afar")
    call("promise.create", wire("b", "asks", { 1 }))
    id, version = execute(stream)
    assert.are.equal("b:far.1", id)
    fulfill(id, version, "more")
    assert.are.same({ "resolved", "lua and more" }, { await(stream, "b", "poll://any@default") })
    stream:close()
  end)

  it("that is shared leaves a task to the worker that its address names, as long as that is there", function()
    begin(place:write("wf.lua", SCRIPT))
    local stream = worker("w1")
    local made = call("task.create", { pid = "w1", ttl = 60000,
      action = { kind = "promise.create", head = EMPTY, data = wire("a", "order", { 4, { x = 2 } }, "poll://any@default/w1") } })
    call("promise.create", { id = "a:0", timeoutAt = os.time() * 1000 + 600000 })
    call("task.suspend", { id = "a", version = made.task.version, actions = { { kind = "promise.register_callback",
      head = EMPTY, data = { awaited = "a:0", awaiter = "a" } } } })
    call("promise.settle", { id = "a:0", state = "resolved" })
    local id, version = execute(stream)
    assert.are.equal("a", id)
    assert.are.equal("pending", call("promise.get", { id = "a" }).promise.state)
    fulfill(id, version, "its own")
    stream:close()
    local other = http.stream(process.address, "/poll/client/c1")
    call("promise.create", wire("b", "order", { 4, { x = 2 } }, "poll://any@default/w1")) -- it has gone: anybody's
    assert.are.same({ "resolved", 10 }, { await(other, "b", "poll://uni@client/c1") })
    other:close()
  end)

  it("that is shared keeps what nobody there has for whoever comes", function()
    begin(place:write("wf.lua", SCRIPT))
    call("promise.create", wire("a", "far", { 1 }))
    process:wait_for("it waits for a worker that does")
    local stream = worker("w1")
    assert.are.equal("a", (execute(stream)))
    stream:close()
  end)

  it("of another name leaves what is for the default one to whoever comes, also what no script could read", function()
    begin("wf=" .. place:write("wf.lua", SCRIPT))
    local unread = wire("a", "far", { 1 })
    unread.param.data = "c2VjcmV0" -- as from an encryptor
    call("promise.create", unread)
    assert.are.same({ "pending", 0 }, { call("task.get", { id = "a" }).task.state, call("task.get", { id = "a" }).task.version })
    local stream = worker("w1")
    local id, version = execute(stream)
    assert.are.same({ "a", 0 }, { id, version })
    fulfill(id, version, "decrypted")
    call("promise.create", wire("b", "order", { 4, { x = 2 } }, "poll://any@wf"))
    assert.are.same({ "resolved", 10 }, { await(stream, "b", "poll://uni@default/w1") })
    stream:close()
  end)

  it("that is shared rejects nothing for being unreadable while its workers may be on their way", function()
    begin(place:write("wf.lua", SCRIPT))
    local odd = wire("a", "order", { 1 })
    odd.param.data = probe.base64("no words of ours")
    call("promise.create", odd)
    process:wait_for("the parameters of 'a' are no call: they are no object")
    assert.are.equal("pending", call("promise.get", { id = "a" }).promise.state)
    local stream = worker("w1")
    local id, version = execute(stream)
    assert.are.equal("a", id)
    fulfill(id, version, "read by another")
    assert.are.same({ "resolved", "read by another" }, { await(stream, "a", "poll://uni@default/w1") })
    stream:close()
  end)

  it("that is shared offers at once what was on its way to a worker that has gone", function()
    begin(place:write("wf.lua", SCRIPT), "--retry-timeout", "1h")
    -- Its reader takes nothing, so what comes behind a long message is under way.
    local slow = worker("w1")
    slow.connection.socket:read_stop()
    local long = ("x"):rep(1000000)
    for i = 1, 12 do
      local id = "p" .. i
      call("promise.create", { id = id, timeoutAt = os.time() * 1000 + 600000 })
      call("promise.register_listener", { awaited = id, address = "poll://uni@default/w1" })
      call("promise.settle", { id = id, state = "resolved", value = { headers = EMPTY, data = long } })
    end
    for i = 1, 3 do call("promise.create", wire("far" .. i, "far", { i })) end
    call("promise.get", { id = "far1" })
    local other = worker("w2")
    slow.connection:reset()
    local seen = {}
    for i = 1, 3 do seen[i] = execute(other) end
    table.sort(seen)
    assert.are.same({ "far1", "far2", "far3" }, seen)
    other:close()
  end)

  it("without a file is for those who connect, however late", function()
    begin()
    call("promise.create", wire("a", "order", { 1 }))
    assert.are.same({ "pending", 0 }, { call("task.get", { id = "a" }).task.state, call("task.get", { id = "a" }).task.version })
    local stream = worker("w1")
    local id, version = execute(stream)
    assert.are.same({ "a", 0 }, { id, version }) -- nobody else has touched it
    fulfill(id, version, "done")
    assert.are.same({ "resolved", "done" }, { await(stream, "a", "poll://uni@default/w1") })
    stream:close()
  end)

  it("tells a listener by whatever address it gave", function()
    begin(place:write("wf.lua", SCRIPT))
    local stream = worker("w1")
    call("promise.create", { id = "p", timeoutAt = os.time() * 1000 + 600000 })
    call("promise.register_listener", { awaited = "p", address = "poll://any@default" })
    call("promise.settle", { id = "p", state = "resolved" })
    assert.are.equal("unblock", stream:message().kind)
    stream:close()
  end)
end)
