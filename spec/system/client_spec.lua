-- client_spec.lua - the verbs with --server against a real `dahost serve`: what the two of them make of each request.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local by_hand = require("spec.support.by_hand")
local certificates = require("spec.support.certificates")
local cli = require("spec.support.cli")
local program = require("spec.support.program")
local serve = require("spec.support.serve")
local token = require("spec.support.token")

local data_of, refuses = by_hand.data_of, by_hand.refuses

local NEVER = 9007199254740991

describe("a server, asked from the command line,", function()
  local place, server

  setup(function()
    place = program.place()
    place:write("wf.lua", cli.SCRIPT)
    server = serve.start(place, { "wf.lua", "--listen", "127.0.0.1:0" })
  end)
  teardown(function()
    serve.stop(server)
    place:remove()
  end)

  local function ask(...)
    return program.run({ ... }, { cwd = place.dir, env = { DAHOST_SERVER = "http://" .. server.address } })
  end

  -- Once what runs there has ended.
  local function ended(id)
    while true do
      local promise = data_of(ask("promise", "get", id)).promise
      if promise.state ~= "pending" then return promise end
    end
  end

  it("is asked by its socket as well as by its address", function()
    local near = serve.start({ data = place.dir .. "/near", dir = place.dir }, { "--listen", "unix:near.sock" })
    local function by(path, ...)
      return program.run({ "-S", "unix:" .. path, ... }, { cwd = place.dir })
    end
    for _, path in ipairs { "near.sock", place.dir .. "/near.sock" } do
      assert.equal("p1", data_of(by(path, "promise", "create", "p1")).promise.id)
    end
    assert.equal("p1 🟡\n", by("near.sock", "tree", "p1").out)
    serve.stop(near)
    for _, case in ipairs {
      { "near.sock", 74, "no answer from unix:near.sock: near.sock: no such file or directory" },
      { "", 2, "--server: the path of a socket has 1 to 107 bytes" },
      { ("x"):rep(108), 2, "--server: the path of a socket has 1 to 107 bytes" },
    } do
      local got = by(case[1], "promise", "get", "p1")
      assert.equal(case[2], got.code)
      assert.matches(case[3], got.err, 1, true)
    end
  end)

  it("is not asked by verbs of stores, which say what stands for them", function()
    for _, case in ipairs {
      { "dahost promise get ID --server URL", "get", "p1" }, { "dahost promise search --server", "ps" },
      { "dahost promise cancel ID", "cancel", "p1" }, { "dahost invoke ID --func NAME", "start", "wf.lua" },
      { "there are promise, task, schedule, invoke and tree", "send", "c", "1" },
      { "there are promise, task, schedule, invoke and tree", "queue" },
    } do
      for _, flag in ipairs { "--server=", "-S" } do
        local got = program.run({ case[2], flag .. "http://" .. server.address, table.unpack(case, 3) }, { cwd = place.dir })
        assert.equal(2, got.code)
        assert.matches(case[1], got.err, 1, true)
      end
    end
    local got = ask("promise", "search", "p")
    assert.equal(2, got.code)
    assert.matches("a prefix is for stores", got.err, 1, true)
  end)

  it("creates, shows and settles promises", function()
    local made = data_of(ask("promise", "create", "p1", "--param", '{"data":{"a":1},"headers":{"h":"v"}}', "--tags",
      '{"k":"v"}')).promise
    assert.are.same({ "p1", "pending", NEVER, { data = "eyJhIjoxfQ==", headers = { h = "v" } }, {}, { k = "v" } },
      { made.id, made.state, made.timeoutAt, made.param, made.value, made.tags })
    assert.are.same(made, data_of(ask("promise", "create", "p1", "--timeout", "1h")).promise)
    assert.are.same(made, data_of(ask("promise", "get", "p1")).promise)
    local done = data_of(ask("promise", "resolve", "p1", "--value", '{"data":"hi"}')).promise
    assert.are.same({ "resolved", "aGk=" }, { done.state, done.value.data })
    assert.are.same(done, data_of(ask("promise", "reject", "p1", "no")).promise)
    for verb, state in pairs({ reject = "rejected", cancel = "rejected_canceled", resolve = "resolved" }) do
      data_of(ask("promise", "create", "p-" .. verb))
      assert.are.equal(state, data_of(ask("promise", verb, "p-" .. verb)).promise.state)
    end
    assert.are.equal("rejected_timedout", data_of(ask("promise", "create", "p-dead", "--timeout", "0")).promise.state)
  end)

  it("keeps what people write", function()
    for _, id in ipairs({ "ü ñ/日本", 'a"b\\c', ("x"):rep(200) }) do
      assert.are.equal(id, data_of(ask("promise", "create", id)).promise.id)
      assert.are.equal(id, data_of(ask("promise", "get", id)).promise.id)
    end
    data_of(ask("promise", "create", "big"))
    local big = ("x"):rep(1 << 16)
    local path = place:write("big.json", '{"data":"' .. big .. '"}')
    local got = program.run({}, { cwd = place.dir, env = { DAHOST_SERVER = "http://" .. server.address },
      sh = ('"$0" promise resolve big --value "$(cat %s)"'):format(path) })
    assert.are.equal(0, got.code, got.err)
    assert.are.equal(87384, #data_of(ask("promise", "get", "big")).promise.value.data)
  end)

  it("refuses in its words", function()
    refuses(ask("promise", "get", "nobody"), 'Error: "Promise not found"')
    refuses(ask("promise", "resolve", "nobody"), 'Error: "Promise not found"')
    refuses(ask("promise", "create", ""), "an operand is empty", 2)
    refuses(ask("promise", "create", "t", "--tags", '{"resonate:target":"nowhere"}'), "Invalid resonate:target address")
    refuses(ask("promise", "create", "t", "--tags", '{"resonate:origin":"other"}'), "must be prefixed by resonate:origin")
    refuses(ask("promise", "create", ("x"):rep(2000)), "Error: ")
    refuses(ask("invoke", "t", "-f", "f", "--target", "nowhere"), "Invalid resonate:target address")
  end)

  it("searches promises page by page", function()
    for i = 1, 5 do data_of(ask("promise", "create", "s" .. i, "--tags", '{"set":"s"}')) end
    data_of(ask("promise", "resolve", "s2"))
    local function ids(...)
      local data, list = data_of(ask("promise", "search", ...)), {}
      for _, p in ipairs(data.promises) do list[#list + 1] = p.id end
      return table.concat(list, " "), data.cursor
    end
    assert.are.same({ "s1 s2 s3 s4 s5" }, { ids("--tag", "set=s") })
    assert.are.same({ "s1 s2", "s2" }, { ids("--tags", '{"set":"s"}', "--limit", "2") })
    assert.are.same({ "s3 s4", "s4" }, { ids("--tag", "set=s", "--limit", "2", "--cursor", "s2") })
    assert.are.same({ "s5" }, { ids("--tag", "set=s", "--limit", "2", "--cursor", "s4") })
    assert.are.same({ "s2" }, { ids("--tag", "set=s", "--state", "resolved") })
    assert.are.same({ "" }, { ids("--tag", "set=nothing") })
    refuses(ask("promise", "search", "--limit", "0"), 'Error: "Limit must be a positive integer"')
    refuses(ask("promise", "search", "--limit", "1001"), "must be between 1 and 1000")
  end)

  it("lets a worker be played by hand", function()
    by_hand.play(ask, "task-1")
    by_hand.register(ask)
    local tasks = data_of(ask("task", "search", "--state", "fulfilled")).tasks
    local found = false
    for _, task in ipairs(tasks) do found = found or task.id == "task-1" end
    assert.is_true(found)
    assert.are.equal(1, #data_of(ask("task", "search", "--limit", "1")).tasks)
    refuses(ask("task", "search", "--limit", "-1"), "Limit must be a positive integer")
  end)

  it("keeps schedules", function()
    local function create(id, ...)
      return ask("schedule", "create", id, "--cron", "0 12 * * *", "--promise-id", "{{.id}}.{{.timestamp}}",
        "--promise-timeout", "1h", ...)
    end
    local made = data_of(create("n1", "--promise-tags", '{"resonate:target":"poll://any@g","a":"b"}', "--promise-param",
      '{"data":[1]}')).schedule
    assert.are.same({ "n1", "0 12 * * *", "{{.id}}.{{.timestamp}}", 3600000, "WzFd" },
      { made.id, made.cron, made.promiseId, made.promiseTimeout, made.promiseParam.data })
    assert.are.same(made, data_of(ask("schedule", "get", "n1")).schedule)
    assert.are.same(made, data_of(ask("schedule", "create", "n1", "--cron", "* * * * *", "--promise-id", "x",
      "--promise-timeout", "1s", "--promise-tags", '{"resonate:target":"poll://any@g"}')).schedule)
    data_of(create("n2", "--promise-tags", '{"resonate:target":"poll://any@g"}'))
    local found = data_of(ask("schedule", "search", "--limit", "1"))
    assert.are.same({ 1, "n1" }, { #found.schedules, found.cursor })
    assert.are.equal("n2", data_of(ask("schedule", "search", "--cursor", "n1")).schedules[1].id)
    assert.are.equal(1, #data_of(ask("schedule", "search", "--tags", '{"a":"b"}')).schedules)
    refuses(create("n3"), "resonate:target")
    refuses(ask("schedule", "create", "n3", "--cron", "soon", "--promise-id", "x", "--promise-timeout", "1s",
      "--promise-tags", '{"resonate:target":"poll://any@g"}'), "Invalid cron expression")
    for _, id in ipairs({ "n1", "n2" }) do assert.are.same({}, data_of(ask("schedule", "delete", id))) end
    refuses(ask("schedule", "get", "n1"), 'Error: "Schedule not found"')
    refuses(ask("schedule", "delete", "n1"), 'Error: "Schedule not found"')
  end)

  it("runs what is invoked, and shows what came of it", function()
    data_of(ask("invoke", "call-1", "--func", "echo", "--arg", '{"deep":[1,2]}'))
    local promise = ended("call-1")
    assert.are.same({ "resolved", "eyJkZWVwIjpbMSwyXX0=" }, { promise.state, promise.value.data })
    data_of(ask("invoke", "call-2", "--func", "works", "--json-args", "[20]"))
    assert.are.equal("NDA=", ended("call-2").value.data)
    data_of(ask("invoke", "call-3", "--func", "fails", "--arg", "1"))
    assert.are.equal("rejected", ended("call-3").state)
    assert.are.equal("pending", data_of(ask("invoke", "call-4", "--func", "echo", "--delay", "1h")).promise.state)
    assert.are.equal("pending", data_of(ask("promise", "get", "call-4")).promise.state)
  end)

  it("settles what a workflow waits for", function()
    data_of(ask("invoke", "asks", "--func", "waits"))
    server:wait_for("waiting for asks:p.1")
    while ask("promise", "get", "asks:p.1").code ~= 0 do end -- it says so before the record is flushed
    data_of(ask("promise", "resolve", "asks:p.1", '{"ok":true}'))
    assert.are.equal('{"ok":true}', by_hand.decode(ended("asks").value.data))
    data_of(ask("invoke", "asks-2", "--func", "waits"))
    server:wait_for("waiting for asks-2:p.1")
    while ask("promise", "get", "asks-2:p.1").code ~= 0 do end
    data_of(ask("promise", "reject", "asks-2:p.1", '{"code":"refused","message":"not now"}'))
    assert.matches('"refused"', by_hand.decode(ended("asks-2").value.data), 1, true)
  end)

  it("draws the tree of what was called", function()
    data_of(ask("invoke", "call-5", "--func", "works", "--arg", "1"))
    ended("call-5")
    local got = ask("tree", "call-5")
    assert.are.same({ 0, "" }, { got.code, got.err })
    assert.matches("^call%-5 🟢 %(rpc works%)\n", got.out)
    assert.are.equal(2, select(2, got.out:gsub("── call%-5:double%.%d 🟢", "")))
    refuses(ask("tree", "nobody"), 'Error: "Promise not found"')
  end)

  it("answers the store's verbs and those of a server alike", function()
    data_of(ask("promise", "create", "both"))
    assert.are.equal(0, place:run("promise", "resolve", "both", '{"x":9007199254740993}').code)
    assert.matches("9007199254740993", place:run("get", "both").out, 1, true)
    assert.are.equal("resolved", data_of(ask("promise", "get", "both")).promise.state)
  end)
end)

describe("a server that lets not everybody in", function()
  local place

  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  it("wants a token, and what a token covers is what it answers", function()
    local key = token.secret(place.dir, "a secret of the spec, long enough for all")
    local server = serve.start(place, { "--listen", "127.0.0.1:0", "--auth-secret-file", key.path })
    local later = os.time() + 600
    local function ask(claims, ...)
      local env = { DAHOST_SERVER = "http://" .. server.address }
      if claims then env.RESONATE_TOKEN = token.sign(key, "HS256", claims) end
      return program.run({ ... }, { cwd = place.dir, env = env })
    end
    refuses(ask(nil, "promise", "get", "p"), 'Error: "Unauthorized"\n')
    refuses(ask(nil, "promise", "get", "p"), "--token JWT, or RESONATE_TOKEN")
    refuses(ask({ exp = later - 6000, role = "admin" }, "promise", "get", "p"), 'Error: "Unauthorized"\n')
    refuses(ask({ exp = later, role = "admin" }, "promise", "get", "p"), 'Error: "Promise not found"\n')
    local mine = { exp = later, prefix = "mine-" }
    data_of(ask(mine, "promise", "create", "mine-1"))
    data_of(ask(mine, "invoke", "mine-2", "-f", "f", "--target", "poll://any@gpu"))
    data_of(ask(mine, "task", "claim", "mine-2", "--pid", "w", "--version", "0", "--ttl", "1m"))
    refuses(ask(mine, "promise", "create", "other"), 'Error: "Forbidden"\n')
    refuses(ask(mine, "task", "get", "other"), 'Error: "Forbidden"\n')
    refuses(ask(mine, "promise", "search"), 'Error: "Forbidden"\n')
    refuses(ask(mine, "tree", "mine-1"), 'Error: "Forbidden"\n') -- it searches
    serve.stop(server)
  end)

  it("is asked over TLS by who trusts its certificate", function()
    certificates.authority(place)
    local chain, key = certificates.signed(place, "server", "IP:127.0.0.1")
    local server = serve.start(place, { "--listen", "127.0.0.1:0", "--tls-cert", chain, "--tls-key", key })
    local url = "https://" .. server.address
    local function ask(env) return program.run({ "promise", "create", "p", "-S", url }, { cwd = place.dir, env = env }) end
    assert.are.equal("p", data_of(ask({ SSL_CERT_FILE = place.dir .. "/ca.pem" })).promise.id)
    local got = ask({})
    assert.are.same({ 74, "" }, { got.code, got.out })
    assert.matches("no answer from " .. url, got.err, 1, true)
    got = program.run({ "promise", "get", "p", "-S", "http://" .. server.address }, { cwd = place.dir })
    assert.are.equal(74, got.code)
    serve.stop(server)
  end)
end)

describe("a server that fails", function()
  local place

  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  it("while it is asked, is told so, and has not done half of it", function()
    for n = 1, 20 do
      local server = serve.start(place, { "--listen", "127.0.0.1:0" }, { env = { DAHOST_KILL = "answer.before:" .. n } })
      local got = place:run("promise", "create", "p" .. n, "--server", "http://" .. server.address, "--data", "x")
      assert.are.equal(2, got.code) -- not both
      got = program.run({ "promise", "create", "p" .. n, "--server", "http://" .. server.address }, { cwd = place.dir })
      local dead = got.code ~= 0
      if not dead then server:signal_with("sigkill") end
      server:wait()
      if dead then
        assert.are.same({ 74, "" }, { got.code, got.out })
        assert.matches("no answer from http://" .. server.address, got.err, 1, true)
        assert.are.equal(0, place:run("get", "p" .. n).code) -- it was flushed
        return
      end
    end
    error("no request met a death")
  end)

  it("to answer in time, is not waited for any longer", function()
    local server = serve.start(place, { "--listen", "127.0.0.1:0" })
    uv.kill(server.pid, "sigstop")
    local url = "http://" .. server.address
    local got = program.run({ "promise", "get", "p", "-S", url, "--request-timeout", "100ms" }, { cwd = place.dir })
    assert.are.equal(74, got.code)
    assert.matches("no answer within 100 ms", got.err, 1, true)
    local waiting = program.spawn({ "promise", "get", "p", "-S", url, "--request-timeout", "50s" }, { cwd = place.dir })
    uv.kill(server.pid, "sigkill")
    waiting:wait()
    server:wait()
    assert.are.equal(74, waiting.code)
    assert.matches("no answer from " .. url, waiting.err, 1, true)
  end)
end)
