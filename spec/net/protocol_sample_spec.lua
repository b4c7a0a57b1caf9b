-- protocol_sample_spec.lua - a workflow as a worker of the protocol runs it: every request, answer and message of it.
--
-- wf("root-1") makes a local step, a remote call and a sleep. The worker is written out: it sends what a client sends, and
-- what comes over its event stream is compared whole. The clock is the machine's, but for the sweep that ends the sleep.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local http = require("spec.support.http")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local PID = "w1"
local ANY, OWN = "poll://any@default", "poll://any@default/w1"
local TIMEOUT = 9007199254740991
local WF = "eyJmdW5jIjoid2YiLCJhcmdzIjpbMV0sInZlcnNpb24iOjF9"
local LEAF = "eyJmdW5jIjoibGVhZiIsInZlcnNpb24iOjJ9"
local EMPTY = setmetatable({}, { __jsontype = "object" })

local function value(data) return { headers = EMPTY, data = data } end

-- The tags of a call: `branch` is its own id where somebody else runs it.
local function tags(scope, branch, parent, target)
  return { ["resonate:scope"] = scope, ["resonate:branch"] = branch, ["resonate:parent"] = parent,
    ["resonate:origin"] = "root-1", ["resonate:target"] = target }
end

describe("the sample workflow", function()
  local place, process, connection, stream

  before_each(function()
    place = program.place()
    process = serve.start(place, { "--debug" })
    connection = http.connect(process.address)
    stream = http.stream(process.address, "/poll/default/" .. PID)
  end)
  after_each(function()
    stream:close()
    connection:close()
    serve.stop(process)
    assert.equal(0, place:run("verify").code)
    place:remove()
  end)

  -- Sends it with the hint of the root, as clients do, and demands the status.
  local function ask(wanted, kind, data)
    local status, answer = connection:call(kind, data, { ["resonate:origin"] = "root-1" })
    assert.equal(wanted, status, tostring(answer))
    return answer
  end

  local function action(kind, data)
    return { kind = kind, head = { corrId = "a", version = http.VERSION }, data = data }
  end

  local function fence(version, kind, data)
    local answer = ask(200, "task.fence", { id = "root-1", version = version, action = action(kind, data) })
    assert.are.same({ kind, 200, http.VERSION }, { answer.action.kind, answer.action.head.status, answer.action.head.version })
    return answer.action.data.promise, answer.preload
  end

  local function suspend(wanted, version, awaited)
    return ask(wanted, "task.suspend", { id = "root-1", version = version,
      actions = { action("promise.register_callback", { awaiter = "root-1", awaited = awaited }) } })
  end

  local function acquire(id, version)
    return ask(200, "task.acquire", { id = id, version = version, pid = PID, ttl = 60000 })
  end

  local function fulfill(id, version, data)
    return ask(200, "task.fulfill", { id = id, version = version,
      action = action("promise.settle", { id = id, state = "resolved", value = value(data) }) }).promise
  end

  -- The next message must be this execute, whole: where to call back is in its head.
  local function hear_execute(id, version)
    local message = stream:message()
    assert.is_string(message.head.serverUrl)
    assert.are.same({ kind = "execute", head = { serverUrl = message.head.serverUrl },
      data = { task = { id = id, version = version } } }, message)
  end

  local function plain(text) -- as the stream is decoded: without types of empty tables
    return (json.decode(json.encode(text), 1, nil, nil))
  end

  it("is run, suspended twice, resumed twice and ended, with these messages and no other", function()
    local root_tags = tags("global", "root-1", "root-1", OWN)
    local made = ask(200, "task.create", { pid = PID, ttl = 60000, action = action("promise.create",
      { id = "root-1", timeoutAt = TIMEOUT, param = value(WF), tags = root_tags }) })
    assert.are.same({ id = "root-1", state = "acquired", version = 1, resumes = 0, pid = PID, ttl = 60000 }, made.task)
    assert.are.same({ "pending", root_tags, {} }, { made.promise.state, made.promise.tags, plain(made.preload) })
    local listened = ask(200, "promise.register_listener", { awaited = "root-1", address = "poll://uni@default/w1" })
    assert.are.same(made.promise, listened.promise)

    -- The local step, made and settled.
    local step = { id = "root-1:0", timeoutAt = TIMEOUT, param = value(LEAF), tags = tags("local", "root-1", "root-1") }
    local promise, preload = fence(1, "promise.create", step)
    assert.are.same({ "pending", { promise } }, { promise.state, preload })
    promise = fence(1, "promise.settle", { id = "root-1:0", state = "resolved", value = value("Mg==") })
    assert.are.same({ "resolved", "Mg==" }, { promise.state, promise.value.data })

    -- The remote call, which goes to whoever listens, here to the same worker.
    local remote = { id = "root-1:2", timeoutAt = TIMEOUT, param = value(LEAF), tags = tags("global", "root-1:2", "root-1", ANY) }
    promise, preload = fence(1, "promise.create", remote)
    assert.are.same({ "pending", 1 }, { promise.state, #preload }) -- a branch of its own
    hear_execute("root-1:2", 0)
    assert.are.same({}, plain(suspend(200, 1, "root-1:2")))
    local leaf = acquire("root-1:2", 0)
    assert.are.same({ 1, {} }, { leaf.task.version, plain(leaf.preload) })
    assert.equal("resolved", fulfill("root-1:2", 1, "Mw==").state)

    -- Resumed: replay from the preload and by asking again.
    hear_execute("root-1", 1)
    local again = acquire("root-1", 1)
    assert.are.same({ 2, 0, 1 }, { again.task.version, again.task.resumes, #again.preload })
    assert.are.same({ "root-1:0", "resolved", "Mg==" },
      { again.preload[1].id, again.preload[1].state, again.preload[1].value.data })
    promise = fence(2, "promise.create", remote)
    assert.are.same({ "resolved", "Mw==" }, { promise.state, promise.value.data })

    -- The sleep: a timer that has a target; its worker acquires it and does nothing.
    local sleep = { id = "root-1:3", timeoutAt = os.time() * 1000 + 20000, param = value("IiI="),
      tags = tags("global", "root-1:3", "root-1", ANY) }
    sleep.tags["resonate:timer"] = "true"
    assert.equal("pending", fence(2, "promise.create", sleep).state)
    hear_execute("root-1:3", 0)
    assert.equal("acquired", acquire("root-1:3", 0).task.state)
    assert.are.same({}, plain(suspend(200, 2, "root-1:3")))
    ask(200, "debug.tick", { time = sleep.timeoutAt })
    hear_execute("root-1", 2)
    local woken = ask(200, "promise.get", { id = "root-1:3" }).promise
    assert.are.same({ "resolved", {}, sleep.timeoutAt }, { woken.state, plain(woken.value), woken.settledAt })
    local idle = ask(200, "task.get", { id = "root-1:3" }).task
    assert.are.same({ id = "root-1:3", state = "fulfilled", version = 1, resumes = 0 }, idle)

    -- Resumed once more; what has settled by now is answered with 300, and the task stays.
    assert.equal(3, acquire("root-1", 2).task.version)
    local left = suspend(300, 3, "root-1:3").preload
    assert.are.same({ 1, "root-1:0", "resolved" }, { #left, left[1].id, left[1].state })
    local ended = fulfill("root-1", 3, "NQ==")
    assert.are.same({ "resolved", "NQ==" }, { ended.state, ended.value.data })
    local message = stream:message()
    assert.are.same(plain({ kind = "unblock", head = {}, data = { promise = ended } }), message)
    for id, version in pairs { ["root-1"] = 3, ["root-1:2"] = 1, ["root-1:3"] = 1 } do
      local task = ask(200, "task.get", { id = id }).task
      assert.are.same({ "fulfilled", version }, { task.state, task.version })
    end
    assert.is_nil(stream:take())
  end)
end)
