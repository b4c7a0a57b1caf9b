-- client_store_spec.lua - the verbs of the protocol with a store: its engine answers, with a holder and without one.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local json = require("dkjson")
local program = require("spec.support.program")

local run = cli.run

local function data_of(got)
  assert.are.same({ 0, "" }, { got.code, got.err })
  return json.decode(got.out, 1, nil)
end

local function refuses(words, code, said)
  local got = run(table.unpack(words))
  assert.are.same({ code, "" }, { got.code, got.out })
  assert.matches(said, got.err, 1, true)
end

describe("the verbs of the protocol with a store", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

  local function action(kind, data)
    return json.encode({ kind = kind, head = setmetatable({}, { __jsontype = "object" }), data = data })
  end

  -- What a worker does, from an invocation to a result.
  local function worker_by_hand(id)
    local promise = data_of(run("invoke", id, "--func", "f", "--arg", "1", "--target", "poll://any@gpu", "--timeout",
      "1m")).promise
    local left = promise.timeoutAt - promise.createdAt -- the deadline counts from the command, not from its arrival
    assert.are.same({ id, "pending", "poll://any@gpu", true },
      { promise.id, promise.state, promise.tags["resonate:target"], left > 50000 and left <= 60000 })
    assert.are.equal(0, data_of(run("task", "get", id)).task.version)
    local claimed = data_of(run("task", "claim", id, "--pid", "w", "--version", "0", "--ttl", "5m"))
    assert.are.same({ "acquired", 1, "w", 300000 },
      { claimed.task.state, claimed.task.version, claimed.task.pid, claimed.task.ttl })
    refuses({ "task", "claim", id, "--pid", "w", "--version", "0", "--ttl", "5m" }, 1, 'Error: "Task is not pending"')
    local fenced = data_of(run("task", "fence", id, "--version", "1", "--action",
      action("promise.create", { id = id .. ":0", timeoutAt = promise.timeoutAt })))
    assert.are.equal(200, fenced.action.head.status)
    refuses({ "task", "fence", id, "--version", "2", "--action",
      action("promise.create", { id = id .. ":1", timeoutAt = 1 }) }, 1, 'Error: "Version mismatch"')
    data_of(run("task", "heartbeat", "--pid", "w", "--tasks", json.encode({ { id = id, version = 1 } })))
    local wait = "[" .. action("promise.register_callback", { awaiter = id, awaited = id .. ":0" }) .. "]"
    data_of(run("task", "suspend", id, "--version", "1", "--actions", wait))
    assert.are.equal("suspended", data_of(run("task", "get", id)).task.state)
    assert.are.equal(0, run("promise", "resolve", id .. ":0", "7").code)
    assert.are.equal("pending", data_of(run("task", "get", id)).task.state)
    data_of(run("task", "claim", id, "--pid", "w", "--version", "1", "--ttl", "5m"))
    refuses({ "task", "suspend", id, "--version", "2", "--actions", wait }, 1, 'Error: {"preload":[')
    data_of(run("task", "release", id, "--version", "2"))
    data_of(run("task", "halt", id))
    refuses({ "task", "claim", id, "--pid", "w", "--version", "2", "--ttl", "5m" }, 1, "Error: ")
    data_of(run("task", "continue", id))
    data_of(run("task", "claim", id, "--pid", "w", "--version", "2", "--ttl", "5m"))
    local done = data_of(run("task", "complete", id, "--version", "3", "--action",
      action("promise.settle", { id = id, state = "resolved", value = { data = "NDI=" } })))
    assert.are.equal("resolved", done.promise.state)
    assert.matches("value     42\n", run("get", id).out, 1, true)
  end

  it("do what a worker does, in a store that nobody holds", function()
    worker_by_hand("a")
    local created = data_of(run("task", "create", "b", "--pid", "w", "--ttl", "1m", "--tags",
      '{"resonate:target":"poll://any@gpu"}'))
    assert.are.same({ "acquired", 1 }, { created.task.state, created.task.version })
    assert.are.equal(0, run("verify").code)
  end)

  it("do so in a store that another process holds", function()
    local process = cli.holder("h")
    worker_by_hand("a")
    cli.release(process, "h")
    assert.are.equal(0, run("verify").code)
  end)

  it("register who is resumed and who is told", function()
    data_of(run("invoke", "w", "-f", "f", "--target", "poll://any@gpu"))
    assert.are.equal(0, run("promise", "create", "p").code)
    assert.are.equal("p", data_of(run("promise", "register-callback", "p", "w")).promise.id)
    assert.are.equal("p", data_of(run("promise", "register-listener", "p", "poll://uni@g/1")).promise.id)
    refuses({ "promise", "register-callback", "nobody", "w" }, 1, 'Error: "Awaited promise not found"')
    refuses({ "promise", "register-callback", "p", "nobody" }, 1, 'Error: "Awaiter promise not found"')
    refuses({ "promise", "register-listener", "p", "nowhere" }, 1, 'Error: "Invalid listener address"')
  end)

  it("put a call down that a process which serves the store runs", function()
    data_of(run("invoke", "twice", "--func", "echo", "--arg", "21", "--arg", "b"))
    local process = place:spawn("serve", script):wait_for("serving ")
    process:wait_for("twice")
    process:signal_with("sigterm"):wait()
    assert.matches('"value":[21,"b"]', run("get", "twice", "--json").out, 1, true)
  end)

  -- The holder dies at its nth durable write, before it answers; which one the claim is depends on what a run writes.
  it("do not claim twice when the holder dies with the answer", function()
    for n = 1, 50 do
      local other = program.place()
      other:write("wf.lua", cli.SCRIPT)
      assert.are.equal(0, other:run("invoke", "t", "-f", "f", "--target", "poll://any@gpu").code)
      local process = program.spawn({ "run", "wf.lua", "waits", "--id", "h" },
        { data = other.data, cwd = other.dir, env = { DAHOST_KILL = "answer.before:" .. n } })
      local up = pcall(process.wait_for, process, "h waits for h:p.1")
      local got = up and other:run("task", "claim", "t", "--pid", "w", "--version", "0", "--ttl", "1m")
      local version = json.decode(other:run("task", "get", "t").out).task.version
      if up and not process.ended then process:signal_with("sigkill") end
      if up then process:wait() end
      other:remove()
      if got and got.code ~= 0 then
        assert.are.same({ 74, "", 1 }, { got.code, got.out, version })
        assert.matches("is gone; what was asked may have been done", got.err, 1, true)
        return
      end
    end
    error("no claim met a death")
  end)

  it("tell what the engine refuses as the protocol does", function()
    run("promise", "create", "p")
    refuses({ "task", "get", "nobody" }, 1, 'Error: "Task not found"')
    refuses({ "task", "claim", "p", "--pid", "", "--version", "0", "--ttl", "1s" }, 1, "Process ID is required")
    refuses({ "task", "create", "t", "--pid", "w", "--ttl", "1s" }, 1, "resonate:target")
    refuses({ "task", "fence", "p", "--version", "0", "--action", '{"kind":"promise.get"}' }, 1, "Error: ")
    refuses({ "task", "suspend", "p", "--version", "0", "--actions", "[]" }, 1, "Actions array cannot be empty")
  end)

  it("make a store only for what creates something in it", function()
    local empty = program.place()
    local got = empty:run("task", "get", "t")
    assert.are.same({ 2, "" }, { got.code, got.out })
    assert.matches("dahost run makes one", got.err, 1, true)
    assert.are.equal(0, empty:run("invoke", "i", "-f", "f").code)
    assert.are.equal(0, empty:run("task", "get", "i").code)
    empty:remove()
  end)
end)
