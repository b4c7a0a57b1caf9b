-- client_wire_spec.lua - the verbs with --server: what exactly each sends, and what it makes of each answer.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local by_hand = require("spec.support.by_hand")
local fake = require("spec.support.http_fake")
local program = require("spec.support.program")

local NEVER = "9007199254740991"

describe("a verb with --server", function()
  local server, place, answer

  before_each(function()
    place = program.place()
    answer = function(request) return fake.envelope(request, 200, "{}") end
    server = fake.start(function(...) return answer(...) end)
  end)
  after_each(function()
    server:stop()
    place:remove()
  end)

  local function with(env, ...)
    return program.run({ ... }, { cwd = place.dir, data = place.data, env = env })
  end

  local function run(...)
    local words = { ... }
    words[#words + 1] = "--server"
    words[#words + 1] = server.url
    return with({}, table.unpack(words))
  end

  local function now_ms()
    local seconds, micros = uv.gettimeofday()
    return seconds * 1000 + micros // 1000
  end

  -- The text of `data` as it was sent.
  local function sent_data()
    return server.requests[#server.requests].body:match('^{"kind":"[%w._]+","head":{[^{}]*},"data":(.*)}$')
  end

  -- expected is the text, in which @+N stands for the instant of the command and N ms.
  local function check_data(expected, before)
    local after, got = now_ms(), sent_data()
    local pattern = expected:gsub("%p", "%%%0"):gsub("%%@%%%+(%d+)", "(%%d+)")
    local found = { got:match("^" .. pattern .. "$") }
    assert(found[1], "sent " .. got .. "\nnot  " .. expected)
    local i = 0
    for ms in expected:gmatch("@%+(%d+)") do
      i = i + 1
      local at = tonumber(found[i]) - tonumber(ms)
      assert(at >= before and at <= after, ("%s is not within %d and %d"):format(found[i], before, after))
    end
  end

  -- { words of the command line, kind, data }. A word may hold spaces in a table.
  local ROWS = {
    { "promise get p", "promise.get", '{"id":"p"}' },
    { "promises get p", "promise.get", '{"id":"p"}' },
    { { "promise", "get", 'ä "b"\\' }, "promise.get", '{"id":"ä \\"b\\"\\\\"}' },
    { "promise create p --timeout 1h30m", "promise.create", '{"id":"p","timeoutAt":@+5400000}' },
    { "promise create p -t 250ms", "promise.create", '{"id":"p","timeoutAt":@+250}' },
    { "promise create p -t3d", "promise.create", '{"id":"p","timeoutAt":@+259200000}' },
    { "promise create p --timeout 0", "promise.create", '{"id":"p","timeoutAt":@+0}' },
    { "promise create p", "promise.create", '{"id":"p","timeoutAt":' .. NEVER .. "}" },
    { { "promise", "create", "p", "--param", '{"data":"hi","headers":{"a":"b"}}', "--tags", ' { "k" : "v w" } ' },
      "promise.create", '{"id":"p","timeoutAt":' .. NEVER ..
      ',"param":{"data":"aGk=","headers":{"a":"b"}},"tags":{"k":"v w"}}' },
    -- What is no string is sent as the text that it is: no digit is lost.
    { { "promise", "create", "p", "--param", '{"data": { "n": 9223372036854775807, "f": 1.0 }}' }, "promise.create",
      '{"id":"p","timeoutAt":' .. NEVER .. ',"param":{"data":"eyJuIjo5MjIzMzcyMDM2ODU0Nzc1ODA3LCJmIjoxLjB9"}}' },
    { { "promise", "create", "p", "--param", '{"data":null}' }, "promise.create",
      '{"id":"p","timeoutAt":' .. NEVER .. ',"param":{}}' },
    { { "promise", "create", "p", "--param", '{"data":"\\u0000\\u00e9"}' }, "promise.create",
      '{"id":"p","timeoutAt":' .. NEVER .. ',"param":{"data":"AMOp"}}' },
    { "promise resolve p", "promise.settle", '{"id":"p","state":"resolved"}' },
    { { "promise", "resolve", "p", "--value", '{"data":[1, 2]}' }, "promise.settle",
      '{"id":"p","state":"resolved","value":{"data":"WzEsMl0="}}' },
    { "promise resolve p 42", "promise.settle", '{"id":"p","state":"resolved","value":{"data":"NDI="}}' },
    { "promise resolve p 42 --str", "promise.settle", '{"id":"p","state":"resolved","value":{"data":"IjQyIg=="}}' },
    { "promise resolve p word", "promise.settle", '{"id":"p","state":"resolved","value":{"data":"IndvcmQi"}}' },
    { { "promise", "reject", "p", "--value", '{"data":"no"}' }, "promise.settle",
      '{"id":"p","state":"rejected","value":{"data":"bm8="}}' },
    { "promise reject p", "promise.settle", '{"id":"p","state":"rejected"}' },
    { "promise cancel p", "promise.settle", '{"id":"p","state":"rejected_canceled"}' },
    { "promise search", "promise.search", '{"limit":100}' },
    { { "promise", "search", "--state", "pending", "--tags", '{"a":"b"}', "--limit", "7", "--cursor", "x y" },
      "promise.search", '{"state":"pending","tags":{"a":"b"},"limit":7,"cursor":"x y"}' },
    { "promise search --state timedout --tag a=b --tag c=d=e", "promise.search",
      '{"state":"rejected_timedout","tags":{"a":"b","c":"d=e"},"limit":100}' },
    { "promise search --limit 0", "promise.search", '{"limit":0}' },
    { "promise register-callback a b", "promise.register_callback", '{"awaited":"a","awaiter":"b"}' },
    { "promise register-listener a poll://uni@g/1", "promise.register_listener",
      '{"awaited":"a","address":"poll://uni@g/1"}' },
    { "task get t", "task.get", '{"id":"t"}' },
    { { "tasks", "create", "t", "--pid", "p1", "--ttl", "1m", "--timeout", "2m", "--param", '{"data":"raw"}', "--tags",
      '{"resonate:target":"poll://any@g"}' }, "task.create", '{"pid":"p1","ttl":60000,"action":{"kind":"promise.create",' ..
      '"head":{"corrId":"cli","version":"2026-04-01"},"data":{"id":"t","timeoutAt":@+120000,"param":{"data":"raw"},' ..
      '"tags":{"resonate:target":"poll://any@g"}}}}' },
    { "task claim t --pid p1 --version 9223372036854775807 --ttl 5s", "task.acquire",
      '{"id":"t","version":9223372036854775807,"pid":"p1","ttl":5000}' },
    { { "task", "fence", "t", "--version", "1", "--action", '{ "kind": "promise.settle", "data": {"n": 1e400} }' },
      "task.fence", '{"id":"t","version":1,"action":{"kind":"promise.settle","data":{"n":1e400}}}' },
    { { "task", "heartbeat", "--pid", "p1", "--tasks", '[{"id":"t","version":1}]' }, "task.heartbeat",
      '{"pid":"p1","tasks":[{"id":"t","version":1}]}' },
    { { "task", "suspend", "t", "--version", "1", "--actions", "[ ]" }, "task.suspend",
      '{"id":"t","version":1,"actions":[]}' },
    { { "task", "complete", "t", "--version", "1", "--action", '{"kind":"promise.settle"}' }, "task.fulfill",
      '{"id":"t","version":1,"action":{"kind":"promise.settle"}}' },
    { "task release t --version -1", "task.release", '{"id":"t","version":-1}' },
    { "task halt t", "task.halt", '{"id":"t"}' },
    { "task continue t", "task.continue", '{"id":"t"}' },
    { "task search", "task.search", '{"limit":100}' },
    { "task search --state acquired --limit 3 --cursor c", "task.search", '{"state":"acquired","limit":3,"cursor":"c"}' },
    { "schedule get s", "schedule.get", '{"id":"s"}' },
    { { "schedules", "create", "s", "--cron", "* * * * *", "--promise-id", "{{.id}}.{{.timestamp}}", "--promise-timeout",
      "1h", "--promise-param", '{"data":{}}', "--promise-tags", '{"resonate:target":"poll://any@g"}' }, "schedule.create",
      '{"id":"s","cron":"* * * * *","promiseId":"{{.id}}.{{.timestamp}}","promiseTimeout":3600000,' ..
      '"promiseParam":{"data":"e30="},"promiseTags":{"resonate:target":"poll://any@g"}}' },
    { "schedule delete s", "schedule.delete", '{"id":"s"}' },
    { "schedule search", "schedule.search", '{"limit":10}' },
    { { "schedule", "search", "--tags", '{"a":"b"}', "--cursor", "c", "--limit", "2" }, "schedule.search",
      '{"tags":{"a":"b"},"limit":2,"cursor":"c"}' },
    { "invoke i --func f", "promise.create", '{"id":"i","timeoutAt":@+3600000,"param":{"data":' ..
      '"eyJmdW5jIjoiZiIsImFyZ3MiOltdLCJ2ZXJzaW9uIjoxfQ=="},"tags":{"resonate:target":"poll://any@default"}}' },
    -- {"func":"f","args":[1,"a b",{"k":[12345678901234567890]},"07"],"version":3}
    { { "invoke", "i", "-f", "f", "--arg", "1", "--arg", "a b", "--arg", '{"k": [12345678901234567890]}', "--arg", "07",
      "--version", "3", "-t", "10s", "--target", "poll://any@gpu", "--delay", "5s" }, "promise.create",
      '{"id":"i","timeoutAt":@+15000,"param":{"data":"eyJmdW5jIjoiZiIsImFyZ3MiOlsxLCJhIGIiLHsiayI6WzEyMzQ1Njc4OTAx' ..
      'MjM0NTY3ODkwXX0sIjA3Il0sInZlcnNpb24iOjN9"},"tags":{"resonate:target":"poll://any@gpu","resonate:delay":"@+5000"}}' },
    { { "invoke", "i", "-f", "f", "--json-args", "[ 1 ]" }, "promise.create", '{"id":"i","timeoutAt":@+3600000,"param":' ..
      '{"data":"eyJmdW5jIjoiZiIsImFyZ3MiOlsxXSwidmVyc2lvbiI6MX0="},"tags":{"resonate:target":"poll://any@default"}}' },
  }

  for _, row in ipairs(ROWS) do
    local words = row[1]
    if type(words) == "string" then
      local list = {}
      for word in words:gmatch("%S+") do list[#list + 1] = word end
      words = list
    end
    it("sends " .. row[2] .. " for: " .. table.concat(words, " "), function()
      local before = now_ms()
      local got = run(table.unpack(words))
      assert.are.same({ 0, "{}\n", "" }, { got.code, got.out, got.err })
      assert.are.equal(1, #server.requests)
      local request, asked = server.requests[1], server:asked()
      assert.are.same({ "POST", "/", row[2] }, { request.method, request.path, asked.kind })
      assert.are.equal("2026-04-01", asked.head.version)
      assert.matches("^cli%-%d+%-1$", asked.head.corrId)
      assert.are.equal("application/json", request.fields["content-type"])
      assert.is_nil(request.fields.authorization)
      assert.is_nil(asked.head.auth)
      check_data(row[3], before)
    end)
  end

  it("sends errors as a workflow would give them", function()
    local function sent(...)
      run(...)
      local data = server:asked().data.value.data
      return by_hand.decode(data)
    end
    assert.are.equal("no stock", json.decode(sent("promise", "reject", "p", "no stock")).message)
    assert.are.equal("lost", json.decode(sent("promise", "reject", "p", '{"code":"lost"}')).name)
    local cancel = json.decode(sent("promise", "cancel", "p", "42"))
    assert.are.same({ "canceled", "42" }, { cancel.name, cancel.message })
  end)

  describe("refuses before it asks", function()
    for words, said in pairs({
      ["promise create p --timeout soon"] = "--timeout wants a duration (90, 250ms, 1h30m, 3d), not 'soon'",
      ["promise create p --param 1"] = "--param wants a JSON object",
      ["promise create p --param {"] = "--param wants a JSON object: not JSON: no member name at byte 2",
      ['promise create p --param {"data":1,"date":2}'] = "it has data and headers, no other member",
      ['promise create p --param {"headers":{"a":1}}'] = "its headers are an object of strings",
      ['promise create p --tags {"a":1}'] = "--tags wants a JSON object whose values are strings",
      ["promise create p --tags []"] = "--tags wants a JSON object",
      ["promise create p q"] = "'q' is one operand too many; usage: dahost promise create ID --server URL",
      ["promise resolve p 1 --value {}"] = "give a value as a word or as --value, not both",
      ["promise search --state suspended"] = "no state 'suspended'; there are pending, resolved, rejected, rejected_",
      ["promise search --state resolvd"] = "(did you mean 'resolved'?)",
      ["promise search --limit many"] = "--limit wants an integer, not 'many'",
      ["promise search --tag a"] = "--tag wants KEY=VALUE, not 'a'",
      ["promise search --tag a=b --tags {}"] = "not both",
      ["promise search pre"] = "'pre' is one operand too many; usage: dahost promise search --server URL",
      ["promise register-callback a"] = "an operand is missing; usage: dahost promise register-callback AWAITED AWAITER",
      ["task create t --pid p"] = "task create wants --ttl D",
      ["task claim t --pid p --ttl 1s"] = "task claim wants --version N",
      ["task claim t --pid p --ttl 1s --version 1.5"] = "--version wants an integer, not '1.5'",
      ['task create t --pid p --ttl 1s --param {"data":[]}'] = "its data must be a string",
      ["task fence t --version 1"] = "task fence wants --action JSON",
      ["task fence t --version 1 --action []"] = "--action wants a JSON object",
      ["task suspend t --version 1 --actions {}"] = "--actions wants a JSON array",
      ["task heartbeat --tasks []"] = "task heartbeat wants --pid ID",
      ["task search --state running"] = "there are pending, acquired, suspended, halted, fulfilled",
      ["schedule create s --promise-id x --promise-timeout 1h"] = "schedule create wants --cron CRON",
      ["schedule create s @daily f"] = "'@daily' is one operand too many; usage: dahost schedule create ID --cron CRON",
      ["invoke i"] = "invoke wants --func NAME",
      ["invoke i -f f --arg 1 --json-args []"] = "not both",
      ["invoke i -f f --delay now"] = "--delay wants a duration",
      ["promise get p --request-timeout 0"] = "--request-timeout wants a duration",
      ["promise get p --token a\rb"] = "--token holds white space, or what is not ASCII, at its byte 2",
      ["promise get p --data x"] = "--server and --data name two places",
      ["schedule create s --tz UTC"] = "--tz is for stores, and a server is asked",
      ["tree a --limit 1"] = "--limit is for stores, and a server is asked",
      ["ps"] = "ps asks a store (--data DIR) alone; with a server: dahost promise search --server URL",
    }) do
      it(words:gsub("\r", "\\r"), function()
        local list = {}
        for word in words:gmatch("[^ ]+") do list[#list + 1] = word end
        local got = run(table.unpack(list))
        assert.are.same({ 2, "" }, { got.code, got.out })
        assert.matches("dahost: ", got.err, 1, true)
        assert.matches(said, got.err, 1, true)
        assert.are.equal(0, #server.requests)
      end)
    end

    it("an id that is not UTF-8", function()
      assert.matches("ID is not UTF-8: 'a?'", run("promise", "get", "a\xff").err, 1, true)
      assert.matches("--pid is not UTF-8", run("task", "claim", "t", "--pid", "\xc0", "--ttl", "1s", "--version", "1").err, 1,
        true)
      assert.are.equal(0, #server.requests)
    end)
  end)

  describe("finds the server", function()
    it("by the flag, in each of its forms and places", function()
      for _, words in ipairs({ { "-S", server.url, "promise", "get", "p" }, { "promise", "get", "p", "-S" .. server.url },
        { "--server=" .. server.url .. "/", "promise", "get", "p" }, { "promise", "get", "-S=" .. server.url, "p" } }) do
        assert.are.same({ 0, "{}\n", "" }, { with({}, table.unpack(words)).code, "{}\n", "" })
        assert.are.equal("/", server.requests[#server.requests].path)
      end
      assert.are.equal(4, #server.requests)
    end)

    it("below a path", function()
      assert.are.equal(0, with({}, "promise", "get", "p", "--server", server.url .. "/a/b").code)
      assert.are.equal("/a/b/", server.requests[1].path)
    end)

    it("by its own variable, silently, and by that of other tools, which it says", function()
      local got = with({ DAHOST_SERVER = server.url }, "promise", "get", "p")
      assert.are.same({ 0, "{}\n", "" }, { got.code, got.out, got.err })
      got = with({ RESONATE_URL = server.url }, "promise", "get", "p")
      assert.are.same({ 0, "{}\n", ("asking %s (RESONATE_URL; --data DIR asks a store)\n"):format(server.url) },
        { got.code, got.out, got.err })
      assert.are.equal("", with({ RESONATE_URL = server.url }, "promise", "get", "p", "--quiet").err)
      got = with({ RESONATE_URL = "http://127.0.0.1:1", DAHOST_SERVER = server.url }, "promise", "get", "p")
      assert.are.same({ 0, "" }, { got.code, got.err })
      got = with({ RESONATE_URL = "http://127.0.0.1:1" }, "promise", "get", "p", "--server", server.url)
      assert.are.same({ 0, "" }, { got.code, got.err })
      assert.are.equal(5, #server.requests)
    end)

    it("never for what --data names, nor for verbs of a store", function()
      local env = { RESONATE_URL = server.url, DAHOST_SERVER = server.url }
      local got = with(env, "promise", "create", "p", "--data", place.data)
      assert.are.equal(0, got.code, got.err)
      assert.are.equal(0, with(env, "ps").code)
      assert.are.equal(0, with(env, "get", "p").code)
      assert.matches("asks a store (--data DIR) alone", with(env, "ps", "--server", server.url).err, 1, true)
      assert.are.equal(0, with({ RESONATE_URL = "" }, "promise", "get", "p").code)
      assert.are.equal(0, #server.requests)
    end)

    it("with a token, in the head of the request and of HTTP", function()
      for _, env in ipairs({ { DAHOST_TOKEN = "t.o.k" }, { RESONATE_TOKEN = "t.o.k" } }) do
        env.DAHOST_SERVER = server.url
        assert.are.equal(0, with(env, "promise", "get", "p").code)
      end
      run("promise", "get", "p", "--token", "t.o.k")
      run("promise", "get", "p", "-T", "t.o.k")
      for i = 1, 4 do
        assert.are.equal("Bearer t.o.k", server.requests[i].fields.authorization)
        assert.are.equal("t.o.k", json.decode(server.requests[i].body).head.auth)
      end
      assert.matches("--token is for servers, and a store is asked",
        with({}, "task", "get", "t", "--token", "x", "--data", place.data).err, 1, true)
    end)
  end)

  describe("shows an answer", function()
    it("as it came, laid out, and on one line with --json", function()
      local data = '{"b":{},"a":[],"n":[9223372036854775807,1.0,-0,1e400],"s":"\\u0000\\"}{ é",\n"t":{"u":null}}'
      answer = function(request) return fake.envelope(request, 200, data) end
      assert.are.equal([[
{
  "b": {},
  "a": [],
  "n": [
    9223372036854775807,
    1.0,
    -0,
    1e400
  ],
  "s": "\u0000\"}{ é",
  "t": {
    "u": null
  }
}
]], run("promise", "get", "p").out)
      assert.are.equal('{"b":{},"a":[],"n":[9223372036854775807,1.0,-0,1e400],"s":"\\u0000\\"}{ é","t":{"u":null}}\n',
        run("promise", "get", "p", "--json").out)
    end)

    -- JSON text with white space in odd places, and the same without.
    local function random_json(depth)
      local function space() return ({ "", "", " ", "\n", "\t\r\n  " })[math.random(5)] end
      local kind = math.random(depth > 0 and 6 or 4)
      if kind == 1 then
        local text = ({ "0", "-0", "1.50", "123456789012345678901234567890", "1E-400", "true", "null" })[math.random(7)]
        return text, text
      elseif kind <= 4 then
        local text = ({ '""', '"\\""', '"{[,:]}"', '"\\\\"', '" é日\\ud83d\\ude00 "', '"\\u0000"' })[math.random(6)]
        return text, text
      end
      local loose, tight = {}, {}
      for i = 1, math.random(0, 4) do
        local a, b = random_json(depth - 1)
        local name = kind == 5 and ('"k%d\\n"'):format(i)
        loose[i] = space() .. (name and name .. space() .. ":" .. space() or "") .. a .. space()
        tight[i] = (name and name .. ":" or "") .. b
      end
      local open, close = table.unpack(kind == 5 and { "{", "}" } or { "[", "]" })
      return open .. (#loose == 0 and space() or table.concat(loose, ",")) .. close, open .. table.concat(tight, ",") .. close
    end

    it("whatever it holds: what is laid out is what came", function()
      local seed = require("spec.support.harness").seed
      math.randomseed(seed)
      local loose, tight = {}, {}
      for i = 1, 500 do loose[i], tight[i] = random_json(5) end
      answer = function(request) return fake.envelope(request, 200, "[" .. table.concat(loose, ",") .. "]") end
      local flat = run("promise", "get", "p", "--json")
      assert.are.equal("[" .. table.concat(tight, ",") .. "]\n", flat.out, "seed " .. seed)
      -- Laid out, each bracket stands on the indentation of its depth.
      local laid, depth = run("promise", "get", "p").out, 0
      for line in laid:gmatch("[^\n]+") do
        local indent, rest = line:match("^( *)(.*)$")
        if rest:find("^[%]}]") then depth = depth - 1 end
        assert.are.equal(2 * depth, #indent, "seed " .. seed .. ": " .. line)
        if rest:find("[%[{]$") then depth = depth + 1 end
      end
      assert.are.equal(0, depth)
    end)

    it("without what would steer a terminal", function()
      answer = function(request) return fake.envelope(request, 200, '{"s":"a\x7fb\xc2\x9b31mc\xc2\xa0"}') end
      assert.are.equal('{"s":"a\\u007fb\\u009b31mc\xc2\xa0"}\n', run("promise", "get", "p", "--json").out)
    end)

    it("that says no as an error with its data", function()
      for status, data in pairs({ [404] = '"Promise not found"', [409] = '"Version mismatch"', [422] = '"x"',
        [300] = '{"preload":[]}', [500] = '"Internal error: x"', [501] = '"no"' }) do
        answer = function(request) return fake.envelope(request, status, data) end
        local got = run("promise", "get", "p")
        assert.are.same({ 1, "", "Error: " .. data .. "\n" }, { got.code, got.out, got.err })
      end
    end)

    it("by the status of the protocol, whatever that of HTTP is", function()
      answer = function(request) return fake.envelope(request, 404, '"gone"', 200) end
      assert.are.same({ 1, 'Error: "gone"\n' }, { run("promise", "get", "p").code, run("promise", "get", "p").err })
    end)

    it("that wants a token, or another version, with what to do", function()
      for _, status in ipairs({ 401, 403 }) do
        answer = function(request) return fake.envelope(request, status, '"Unauthorized"') end
        local got = run("promise", "get", "p")
        assert.are.equal(1, got.code)
        assert.matches('Error: "Unauthorized"\n', got.err, 1, true)
        assert.matches("wants --token JWT, or RESONATE_TOKEN", got.err, 1, true)
        assert.are.equal('Error: "Unauthorized"\n', run("promise", "get", "p", "-q").err)
      end
      answer = function(request) return fake.envelope(request, 400, '"Unsupported protocol version \'x\'"') end
      assert.matches("this program speaks version 2026-04-01 of the protocol", run("promise", "get", "p").err, 1, true)
    end)

    it("from before its kind and corrId could be read", function()
      answer = function()
        return fake.page(400, "application/json",
          '{"kind":"unknown","head":{"corrId":"0","status":400,"version":"2026-04-01"},"data":"bad"}')
      end
      assert.are.equal('Error: "bad"\n', run("promise", "get", "p").err)
    end)

    it("in pieces, chunked, and behind an interim answer", function()
      answer = function(request, connection)
        local whole = fake.envelope(request, 200, '{"a":"' .. ("x"):rep(5000) .. '"}'):match("\r\n\r\n(.*)$")
        connection:write("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" ..
          "transfer-encoding: chunked\r\n\r\n")
        for i = 1, #whole, 700 do
          local piece = whole:sub(i, i + 699)
          connection:write(("%x;ext=1\r\n%s\r\n"):format(#piece, piece))
        end
        connection:write("0\r\ntrailer: x\r\n\r\n")
      end
      assert.are.equal('{"a":"' .. ("x"):rep(5000) .. '"}\n', run("promise", "get", "p", "--json").out)
    end)

    it("of megabytes", function()
      local value = ("x"):rep(5 << 20)
      answer = function(request) return fake.envelope(request, 200, '{"a":"' .. value .. '"}') end
      local got = run("promise", "get", "p", "--json")
      assert.are.equal(0, got.code, got.err)
      assert.are.equal(#value + 9, #got.out)
    end)
  end)

  describe("says what came instead of an answer", function()
    local function says(...)
      local got = run("promise", "get", "p", "--request-timeout", "5s")
      assert.are.same({ 74, "" }, { got.code, got.out }, got.err)
      for _, words in ipairs({ ... }) do assert.matches(words, got.err, 1, true) end
      return got
    end

    it("nobody listens", function()
      server:stop()
      says("no answer from " .. server.url, "connection refused", "--server URL names another")
      server = fake.start(answer)
    end)

    it("a name that nobody has", function()
      local got = with({}, "promise", "get", "p", "--server", "http://no.such.name.invalid:1")
      assert.are.equal(74, got.code)
      assert.matches("no.such.name.invalid", got.err, 1, true)
    end)

    it("what is no URL", function()
      for url, said in pairs({ ["localhost:8001"] = "is http://localhost:8001 meant?", ["ftp://x/"] = "http://",
        ["http://"] = "--server: ", ["http://x/?a=b"] = "without '?' and '#'", [""] = "--server wants a URL, not nothing" }) do
        local got = with({}, "promise", "get", "p", "--server", url)
        assert.are.equal(2, got.code)
        assert.matches(said, got.err, 1, true)
      end
    end)

    it("a web page", function()
      answer = function() return fake.page(200, "text/html", "<html>hello</html>") end
      says("is no Resonate server", "not JSON: no value at byte 1 (HTTP 200, text/html)")
      answer = function() return fake.page(404, "text/plain; charset=utf-8", "404 page not found\nx") end
      says("is no Resonate server", "(HTTP 404, text/plain; charset=utf-8: 404 page not found)")
      answer = function() return fake.page(404, "text/html", "") end
      says("is no Resonate server")
    end)

    it("other JSON", function()
      for body, fault in pairs({ ["[]"] = "JSON, but no object", ["{}"] = "JSON without a kind",
        ['{"kind":"x"}'] = "without a head that has a status",
        [("["):rep(300)] = "nested too deep",
        ['{"kind":"promise.get","head":{"corrId":"x","status":"200"},"data":{}}'] = "without a head that has a status",
        ['{"kind":"promise.get","head":{"corrId":"x","status":200}}'] = "JSON without data",
        ['{"kind":"promise.get","head":{"corrId":"x","status":200},"data":{}}'] = "the answer to another request",
        ['{"error":"This endpoint is no longer supported."}'] = "JSON without a kind" }) do
        answer = function() return fake.page(200, "application/json", body) end
        says("is no Resonate server", fault)
      end
    end)

    it("a proxy", function()
      answer = function() return fake.page(401, "text/plain", "who are you?") end
      says("lets us not in (HTTP 401, text/plain: who are you?); --token JWT")
      answer = function() return fake.page(301, "text/plain", "", "location: https://elsewhere.example/\r\n") end
      says("is elsewhere (HTTP 301): --server https://elsewhere.example/")
      answer = function() return fake.page(503, "text/plain", "Poll\27[31m registration") end
      says("cannot answer now (HTTP 503, text/plain: Poll?[31m registration)")
      answer = function() return fake.page(413, "text/plain", "length limit exceeded") end
      says("the request is too large for")
    end)

    it("bytes that are no HTTP", function()
      answer = function() return "SSH-2.0-OpenSSH\r\n\r\n" end
      says("no answer from " .. server.url)
    end)

    it("an end in the middle", function()
      answer = function(request, connection)
        connection:write(fake.envelope(request, 200, "{}"):sub(1, -2))
        connection:close()
      end
      says("no answer from " .. server.url)
      answer = function(_, connection) connection:reset() end
      says("no answer from " .. server.url)
      assert.are.equal(2, #server.requests) -- what may have been done is not asked twice
    end)

    it("nothing for as long as --request-timeout allows", function()
      answer = function() end
      local got = run("promise", "get", "p", "--request-timeout", "150ms")
      assert.are.equal(74, got.code)
      assert.matches("no answer within 150 ms", got.err, 1, true)
      -- One that dribbles has no more time than one that is silent.
      answer = function(_, connection)
        local timer = uv.new_timer()
        connection:write("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        timer:start(10, 10, function()
          if connection.socket:is_closing() then timer:close() else connection:write("x") end
        end)
      end
      assert.matches("150 ms", run("promise", "get", "p", "--request-timeout", "150ms").err, 1, true)
    end)
  end)
end)
