-- wire_spec.lua - promises that clients of the protocol make are executed by the worker of this process, and what they
-- settle reaches workflows: payloads, values, errors, ids, replays.
--
-- Clients speak through the envelope over the store itself (da_probe), while no process holds it.
--
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local guard = require("spec.support.guard")
local json = require("dkjson")
local probe = require("da_probe")

local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
local far = da.service "far"

function step.double(n) return 2 * n end
function async.order(n, item) return await(step.double(n)) + item.x, item, n end
function async.nothing() end
function async.null() return nil end
function async.one(v) return v end
function async.count(...) return select("#", ...), ... end
function async.kinds(v)
  return { int = math.type(v.int), big = math.type(v.big), float = math.type(v.float), inf = v.inf == math.huge,
    err = v.err.message, code = v.err.code, list = #v.list, text = v.text }
end
function async.fails(n) error { code = "no_stock", message = "none left", n = n } end
function async.raises() error("plain words") end
function async.asks(name, id)
  local p = da.promise(name, { id = id })
  local ok, a, b = da.pawait(p)
  if ok then return "resolved", a, b end
  return a.code, a.message, a.value, a.stack
end
function async.calls(n) return await(far.elsewhere(n, { b = 1.5 })) end
function async.id() return da.id(), await(step.double(21)) end
]]

local EMPTY = setmetatable({}, { __jsontype = "object" })
local DAY = 24 * 3600 * 1000

describe("a promise from the wire", function()
  local place, file, now

  before_each(function()
    place = cli.begin()
    file = place:write("wf.lua", SCRIPT)
    now = os.time() * 1000 - 40000 -- its retry timer is due when the server begins
  end)
  after_each(cli.finish)

  -- Requests of the protocol, each {kind, data}; their answers' data.
  local function ask(...)
    local world = assert(probe.new { kind = "lmdb", path = place.data })
    local answers = {}
    for i, each in ipairs { ... } do
      local request = { kind = each[1], head = { corrId = "c", version = "2026-04-01" }, data = each[2] }
      local text = assert(world:serve(json.encode(request), now))
      local answer = json.decode(text, 1, json.null)
      guard.check(request, answer)
      assert(answer.head.status == 200, text)
      answers[i] = answer.data
    end
    world:close()
    return table.unpack(answers)
  end

  local function create(id, payload, tags)
    local whole = { ["resonate:target"] = "poll://any@default", ["resonate:origin"] = id, ["resonate:branch"] = id,
      ["resonate:parent"] = id, ["resonate:scope"] = "global" }
    for name, value in pairs(tags or {}) do whole[name] = value end
    local param = { headers = EMPTY }
    if payload then param.data = probe.base64(payload) end
    return { "promise.create", { id = id, timeoutAt = now + DAY, param = param, tags = whole } }
  end

  local function promise(id)
    return ask({ "promise.get", { id = id } }).promise
  end

  -- Its value as the SDK would decode it: data as JSON text, the headers.
  local function decode(text)
    return (json.decode(text, 1, json.null))
  end

  local function value(id)
    local p = promise(id)
    return p.state, p.value.data and probe.base64_read(p.value.data), p.value.headers
  end

  local function serve(...)
    local process = place:spawn("serve", file):wait_for("serving ")
    for _, text in ipairs { ... } do
      process.seen.err = 1 -- in any order
      process:wait_for(text)
    end
    return process
  end

  local function stop(process)
    assert.are.equal(0, process:signal_with("sigterm"):wait().code)
  end

  -- Until the execution is so, asked again and again: what is suspended tells nobody.
  local function wait_until(id, state)
    local got
    for _ = 1, 200 do
      got = place:run("get", id, "--json")
      if got.code == 0 and cli.row_of(got.out).state == state then return end
    end
    error(("%s is not %s: %s%s"):format(id, state, got.out, got.err))
  end

  local function run_to(...)
    stop(serve(...))
  end

  it("runs the function that its parameters name", function()
    ask(create("a", '{"func":"order","args":[1,{"x":2}],"version":1}'),
      create("b", '{"version":1,"retry":{"type":"never","data":{}},"args":[],"func":"nothing"}'),
      create("c", '{"func":"null","args":[]}'),
      create("d", '{"func":"count","args":[null,1,null],"version":0}'),
      create("e", '{"func":"one","args":["\\u0000\\u00e9 \\ud83d\\ude00"]}'))
    run_to("a resolved", "b resolved", "c resolved", "d resolved", "e resolved")
    local state, data, headers = value("a")
    assert.are.same({ "resolved", "4", '[{"x":2},1]' }, { state, data, headers["da-rest"] })
    assert.are.same({ "resolved", "" }, { value("b") })
    assert.are.same({ "resolved", "null" }, { value("c") })
    state, data, headers = value("d")
    assert.are.same({ "resolved", "3", "[null,1,null]" }, { state, data, headers["da-rest"] })
    assert.are.same({ "resolved", '"\\u0000\u{e9} \u{1f600}"' }, { value("e") })
    assert.are.equal("resolved", promise("a:double.1").state)
    assert.are.equal("a", promise("a:double.1").tags["resonate:branch"])
  end)

  it("has its arguments as the SDK writes them", function()
    ask(create("k", '{"func":"kinds","args":[{"int":2,"big":100000000000000000000,"float":1.5,"inf":"__INF__","list":[],'
      .. '"err":{"__type":"error","message":"m","name":"TypeError","stack":"s"},"text":"t"}]}'))
    run_to("k resolved")
    local state, data = value("k")
    assert.are.same({ "resolved", { int = "integer", big = "float", float = "float", inf = true, err = "m",
      code = "TypeError", list = 0, text = "t" } }, { state, decode(data) })
  end)

  it("is rejected with an error that the SDK reads, its fields beside it", function()
    ask(create("f", '{"func":"fails","args":[7],"version":1}'), create("r", '{"func":"raises","args":[]}'))
    run_to("f rejected", "r rejected")
    local state, data = value("f")
    local err = decode(data)
    assert.are.same({ "rejected", "error", "none left", "no_stock", 7 }, { state, err.__type, err.message, err.name, err.n })
    assert.matches("wf.lua", err.stack)
    err = decode(select(2, value("r")))
    assert.are.same({ "error", "error" }, { err.__type, err.name })
    assert.matches("plain words", err.message)
  end)

  local function rejects_what_is_no_call(env)
    local rows = {
      { "none", nil, "there are none" },
      { "text", '"order"', "they are no object" },
      { "list", '["order",[]]', "they are no object" },
      { "null", "null", "they are no object" },
      { "nofunc", '{"args":[]}', "`func` is not the name of a function" },
      { "badfunc", '{"func":7,"args":[]}', "`func` is not the name of a function" },
      { "empty", '{"func":"","args":[]}', "`func` is not the name of a function" },
      { "noargs", '{"func":"order"}', "`args` is no array" },
      { "badargs", '{"func":"order","args":{"0":1}}', "`args` is no array" },
      { "badversion", '{"func":"order","args":[],"version":"1"}', "`version` is no whole number from 0 on" },
      { "halfversion", '{"func":"order","args":[],"version":1.5}', "`version` is no whole number from 0 on" },
      { "negative", '{"func":"order","args":[],"version":-1}', "`version` is no whole number from 0 on" },
      { "badretry", '{"func":"order","args":[],"retry":5}', "`retry` is no object" },
      { "nojson", "order", "they are no object" }, -- text that is no JSON is a string to a script
    }
    local requests, words = {}, {}
    for i, row in ipairs(rows) do
      requests[i], words[i] = create(row[1], row[2]), row[1] .. " rejected"
    end
    ask(table.unpack(requests))
    place.env = env
    run_to(table.unpack(words))
    place.env = nil
    for _, row in ipairs(rows) do
      local state, data = value(row[1])
      local err = decode(data)
      assert.are.same({ "rejected", "invalid_call", ("the parameters of '%s' are no call: %s; "
        .. 'they are to be {"func": NAME, "args": [...]}'):format(row[1], row[3]) }, { state, err.name, err.message })
    end
  end

  it("that is no call is rejected at once, in words, where nobody else may read it", function()
    rejects_what_is_no_call { DAHOST_LISTEN = "none" }
  end)

  it("that is no call is rejected elsewhere once nobody has come for a while", function()
    rejects_what_is_no_call { DAHOST_TIME_FACTOR = "300" }
  end)

  it("may have any id, and its calls have theirs below it", function()
    local ids = { "sp ace/\u{e9}", "with.dots.0", "wf:0", "wf:0.2", "order%7=x", "tab\there", ("x"):rep(255) }
    local requests = {}
    for i, id in ipairs(ids) do
      requests[i] = create(id, '{"func":"id","args":[]}', { ["resonate:origin"] = id:match("^[^:]*") })
    end
    ask(table.unpack(requests))
    local process = serve()
    for _, id in ipairs(ids) do wait_until(id, "completed") end
    stop(process)
    for _, id in ipairs(ids) do
      local state, data, headers = value(id)
      assert.are.same({ "resolved", id, "[42]" }, { state, decode(data), headers["da-rest"] })
      assert.are.equal("resolved", promise(id .. (id:find(":") and "." or ":") .. "double.1").state)
    end
  end)

  it("keeps to the code of its first run", function()
    ask(create("a", '{"func":"asks","args":["p","ext"]}'))
    local process = serve()
    wait_until("a", "suspended")
    stop(process)
    place:write("wf.lua", (SCRIPT:gsub('return "resolved", a, b', 'return "other"')))
    ask({ "promise.settle", { id = "ext", state = "resolved", value = { data = probe.base64("1") } } })
    run_to("a resolved")
    assert.are.equal('"resolved"', (select(2, value("a"))))
  end)

  it("of a timer with a target is left to its deadline", function()
    ask(create("t", '""', { ["resonate:timer"] = "true" }), create("u", '{"func":"nothing","args":[]}'))
    run_to("u resolved")
    assert.are.equal("pending", promise("t").state)
    assert.are.equal("acquired", ask({ "task.get", { id = "t" } }).task.state)
    now = now + 2 * DAY
    assert.are.equal("resolved", promise("t").state)
  end)

  describe("that a workflow awaits", function()
    -- Lets `asks` wait for a promise, settles that as a client would, and gives what the workflow had of it.
    local function told(state, settled)
      ask(create("a", '{"func":"asks","args":["p","ext"]}'))
      local process = serve()
      wait_until("a", "suspended")
      stop(process)
      ask({ "promise.settle", { id = "ext", state = state, value = settled } })
      run_to("a resolved")
      local _, data, headers = value("a")
      return decode(data), decode(headers and headers["da-rest"] or "[]")
    end

    it("gives its value", function()
      local first, rest = told("resolved", { headers = { ["da-rest"] = "[true]" }, data = probe.base64 '{"a":[1,2]}' })
      assert.are.same({ "resolved", { { a = { 1, 2 } }, true } }, { first, rest })
    end)

    it("gives nothing where there is nothing", function()
      local first, rest = told("resolved", { data = "" })
      assert.are.same({ "resolved", { json.null, json.null } }, { first, rest }) -- pawait
    end)

    it("gives text that is no JSON as it came", function()
      assert.are.same({ "resolved", { "approved by \u{e9}\n", json.null } },
        { told("resolved", { data = "approved by \u{e9}\n" }) })
    end)

    it("raises an error of the SDK as da.Error", function()
      local code, rest = told("rejected",
        { data = probe.base64 '{"__type":"error","message":"boom","stack":"Error: boom\\n at x","name":"TypeError"}' })
      assert.are.same({ "TypeError", "boom" }, { code, rest[1] })
    end)

    it("raises any other value as `rejected`, with the value", function()
      local code, rest = told("rejected", { data = probe.base64 "[1]" })
      assert.are.same({ "rejected", { 1 } }, { code, rest[2] })
    end)

    it("raises `rejected` where there is no value", function()
      local code, rest = told("rejected", EMPTY)
      assert.are.same({ "rejected", "rejected" }, { code, rest[1] })
    end)

    it("raises `canceled`", function()
      assert.are.equal("canceled", (told("rejected_canceled", { data = probe.base64 '"no more"' })))
    end)
  end)

  it("of a group that is elsewhere has parameters that the SDK reads, and its value comes back", function()
    ask(create("a", '{"func":"calls","args":[5]}'))
    local process = serve()
    wait_until("a", "suspended")
    stop(process)
    local p = promise("a:elsewhere.1")
    assert.are.equal("poll://any@far", p.tags["resonate:target"])
    assert.are.same({ func = "elsewhere", args = { 5, { b = 1.5 } }, version = 0 },
      decode(probe.base64_read(p.param.data)))
    local lease = ask({ "task.acquire", { id = p.id, version = 0, pid = "sdk", ttl = 60000 } })
    assert.are.equal(p.id, lease.task.id)
    ask({ "task.fulfill", { id = p.id, version = 1, action = { kind = "promise.settle", head = EMPTY,
      data = { id = p.id, state = "resolved", value = { headers = EMPTY, data = probe.base64 '"from afar"' } } } } })
    run_to("a resolved")
    assert.are.same({ "resolved", '"from afar"' }, { value("a") })
  end)
end)
