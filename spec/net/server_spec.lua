-- server_spec.lua - the server as a whole: its doors, one request of the protocol, bounds, who may ask, the log, metrics.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local http = require("spec.support.http")
local program = require("spec.support.program")
local serve = require("spec.support.serve")
local token = require("spec.support.token")

local LATER = 9007199254740991

local function promise(id, more)
  local data = { id = id, timeoutAt = LATER, param = setmetatable({}, { __jsontype = "object" }),
    tags = setmetatable({}, { __jsontype = "object" }) }
  for name, value in pairs(more or {}) do data[name] = value end
  return data
end

describe("the server", function()
  local place, process

  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  local function start(...)
    process = serve.start(place, { ... })
    return process
  end

  local function ask(method, path, headers)
    return http.ask(process.address, { method = method, path = path, headers = headers })
  end

  describe("has doors", function()
    local ROWS = {
      { "GET", "/health", 200, "" },
      { "HEAD", "/health", 200, "" },
      { "GET", "/ready", 200, "" },
      { "HEAD", "/ready", 200, "" },
      { "GET", "/health?x=/", 200, "" },
      { "GET", "/", 405, "", "POST" },
      { "PUT", "/", 405, "", "POST" },
      { "OPTIONS", "/", 405, "", "POST" },
      { "HEAD", "/", 405, "", "POST" },
      { "POST", "/health", 405, "", "GET, HEAD" },
      { "DELETE", "/ready", 405, "", "GET, HEAD" },
      { "POST", "/poll/g/i", 405, "", "GET" },
      { "HEAD", "/poll/g/i", 405, "", "GET" },
      { "GET", "/nowhere", 404, "" },
      { "POST", "/nowhere", 404, "" },
      { "GET", "/health/", 404, "" },
      { "GET", "/Health", 404, "" },
      { "GET", "/poll", 404, "" },
      { "GET", "/poll/g", 404, "" },
      { "GET", "/poll/g/", 404, "" },
      { "GET", "/poll//i", 404, "" },
      { "GET", "/poll/g/i/x", 404, "" },
      { "GET", "/metrics", 404, "" },
      { "GET", "/promisesX", 404, "" },
      { "GET", "/poll/g/%", 400 },
      { "GET", "/poll/g/%4", 400 },
      { "GET", "/poll/%zz/i", 400 },
      { "GET", "/poll/g/a%00b", 400 },
    }

    it("for each path and method what the protocol says", function()
      start()
      local connection = http.connect(process.address)
      for _, row in ipairs(ROWS) do
        local method, path, status, body, allow = table.unpack(row)
        local got = connection:ask { method = method, path = path, body = method == "POST" and "" or nil }
        local what = method .. " " .. path
        assert.equal(status, got.status, what)
        if body then assert.equal(body, got.body, what) end
        assert.equal(allow, got.headers.allow, what)
      end
      connection:close()
      serve.stop(process)
    end)

    it("of the interface before the protocol, which say so", function()
      start()
      for _, path in ipairs { "/promises", "/promises/x/y", "/schedules", "/schedules/", "/tasks", "/tasks/claim" } do
        for _, method in ipairs { "GET", "POST", "DELETE", "PATCH" } do
          local got = ask(method, path)
          assert.are.same({ 410, '{"error":"This endpoint is no longer supported. Please update to the latest SDK."}',
            "application/json" }, { got.status, got.body, got.headers["content-type"] })
        end
      end
    end)

    it("on a unix socket as well, and none when it is asked to have none", function()
      local path = place.dir .. "/s.sock"
      process = program.spawn({ "serve", "--listen", "unix:" .. path, "--listen", "127.0.0.1:0" },
        { data = place.data, cwd = place.dir }):wait_for("listening on unix:" .. path .. ", http://127.0.0.1:")
      process:wait_for("serving")
      assert.equal(200, http.ask("unix:" .. path, { path = "/health" }).status)
      assert.equal(200, (http.call("unix:" .. path, "promise.create", promise("p"))))
      serve.stop(process)
      start("--listen", "none")
      assert.is_nil(process.address)
      assert.not_matches("listening", process.err)
      assert.matches("pending", place:run("promise", "get", "p").out)
      serve.stop(process)
    end)
  end)

  describe("answers a request of the protocol", function()
    it("with the status in the head and of HTTP, as JSON", function()
      start()
      local connection = http.connect(process.address)
      local status, data = connection:call("promise.create", promise("p", { tags = { a = "b" } }))
      assert.are.same({ 200, "p", "pending", "b" }, { status, data.promise.id, data.promise.state, data.promise.tags.a })
      assert.equal(200, (connection:call("promise.create", promise("p", { timeoutAt = 7 })))) -- the same again
      status, data = connection:call("promise.get", { id = "q" })
      assert.equal(404, status)
      assert.is_string(data)
      assert.equal(400, (connection:call("promise.get", {})))
      assert.equal(400, (connection:call("promise.nothing", {})))
      assert.equal(400, (connection:call("promise.get", { id = "p" }, { version = "2025-01-01" })))
      status, data = connection:call("promise.settle", { id = "p", state = "resolved",
        value = { data = "InllcyI=" } })
      assert.are.same({ 200, "resolved", "InllcyI=" }, { status, data.promise.state, data.promise.value.data })
      connection:close()
      serve.stop(process)
      assert.equal(0, place:run("verify").code)
      assert.matches("resolved", place:run("promise", "get", "p").out)
    end)

    it("of 300 without a place to go to", function()
      start()
      local connection = http.connect(process.address)
      connection:call("promise.create", promise("w", { tags = { ["resonate:target"] = "poll://any@elsewhere" } }))
      connection:call("promise.create", promise("w:x.1"))
      connection:call("promise.settle", { id = "w:x.1", state = "resolved", value = promise("").param })
      local _, acquired = connection:call("task.acquire", { id = "w", version = 0, pid = "me", ttl = 60000 })
      local status, data = connection:call("task.suspend", { id = "w", version = acquired.task.version,
        actions = { { kind = "promise.register_callback", head = { corrId = "a", version = http.VERSION },
          data = { awaited = "w:x.1", awaiter = "w" } } } })
      assert.equal(300, status)
      assert.is_table(data.preload)
      connection:close()
    end)

    it("in words an envelope carries, when it cannot be read", function()
      start()
      for _, body in ipairs { "", "{", "[]", "null", '"x"', '{"kind":"promise.get"}', "\255" } do
        local answer = http.ask(process.address, { method = "POST", body = body })
        local envelope = http.check(nil, answer)
        assert.equal(400, answer.status)
        assert.equal("0", envelope.head.corrId)
      end
    end)

    it("in the order of the requests, many of them in one commit", function()
      start("--metrics", "127.0.0.1:0")
      local before = serve.read_metrics(process)
      local connection = http.connect(process.address)
      local bytes, requests = {}, {}
      for i = 1, 500 do
        requests[i] = http.envelope("promise.create", promise("p-" .. i))
        bytes[i] = http.request_text { method = "POST", body = json.encode(requests[i]) }
      end
      connection:write(table.concat(bytes))
      for i = 1, 500 do
        local envelope = http.check(requests[i], connection:receive())
        assert.equal("p-" .. i, envelope.data.promise.id)
      end
      connection:close()
      local after = serve.read_metrics(process)
      local commits = after.dahost_commits_total - before.dahost_commits_total
      assert(commits > 0 and commits <= 100, commits .. " commits for 500 requests")
      assert.equal(500, after['resonate_request_total{kind="promise.create",status="200"}'])
      serve.stop(process)
    end)

    it("to nobody when its asker has gone, and goes on", function()
      start("--metrics", "127.0.0.1:0")
      for i = 1, 20 do
        local connection = http.connect(process.address)
        for k = 1, 20 do connection:send_call("promise.create", promise(("g-%d-%d"):format(i, k))) end
        connection:reset()
      end
      assert.equal(200, (http.call(process.address, "promise.create", promise("last"))))
      assert.equal(200, ask("GET", "/ready").status)
      serve.stop(process)
      assert.equal(0, place:run("verify").code)
    end)
  end)

  describe("has bounds", function()
    it("on a body: 413 in an envelope", function()
      start("--body-limit", "2k")
      local connection = http.connect(process.address)
      local fits = promise("fits", { param = { data = ("a"):rep(1500) } })
      assert.equal(200, (connection:call("promise.create", fits)))
      connection:close()
      local answer = http.ask(process.address, { method = "POST", body = ("x"):rep(2049) })
      local envelope = http.check(nil, answer)
      assert.are.same({ 413, "unknown", "0" }, { answer.status, envelope.kind, envelope.head.corrId })
      serve.stop(process)
      start()
      local long = promise("long", { param = { data = ("a"):rep(2097152 - 400) } })
      assert.equal(200, (http.call(process.address, "promise.create", long)))
      assert.equal(413, http.ask(process.address, { method = "POST", body = ("x"):rep(2097153) }).status)
      serve.stop(process)
    end)

    it("on what its flags may say", function()
      for flags, words in pairs {
        [{ "--body-limit", "much" }] = "--body-limit wants a number of bytes",
        [{ "--shutdown-timeout", "soon" }] = "--shutdown-timeout wants a duration",
        [{ "--log-format", "xml" }] = "--log-format wants text or json, not 'xml'",
      } do
        local got = place:run("serve", table.unpack(flags))
        assert.are.same({ 2, "" }, { got.code, got.out })
        assert.matches(words, got.err, 1, true)
      end
    end)
  end)

  describe("and pages of other origins", function()
    local ORIGIN = "https://app.example"

    local function preflight(headers)
      return ask("OPTIONS", "/", { origin = ORIGIN, ["access-control-request-method"] = "POST",
        ["access-control-request-headers"] = headers })
    end

    it("says nothing to them unless it is told to", function()
      start()
      local got = ask("GET", "/health", { origin = ORIGIN })
      assert.is_nil(got.headers["access-control-allow-origin"])
      assert.equal(405, preflight("content-type").status)
    end)

    it("lets those of the list read every answer", function()
      start("--cors", "https://other.example", "--cors", ORIGIN)
      for _, got in ipairs { ask("GET", "/health", { origin = ORIGIN }), ask("GET", "/nowhere", { origin = ORIGIN }),
        ask("PUT", "/", { origin = ORIGIN }),
        http.ask(process.address, { method = "POST", body = "{", headers = { origin = ORIGIN } }) } do
        assert.equal(ORIGIN, got.headers["access-control-allow-origin"])
        assert.equal("origin", got.headers.vary)
      end
      assert.is_nil(ask("GET", "/health", { origin = "https://evil.example" }).headers["access-control-allow-origin"])
      assert.is_nil(ask("GET", "/health").headers["access-control-allow-origin"])
      local got = preflight("content-type, authorization")
      assert.are.same({ 204, "", ORIGIN, "GET, POST, PUT, PATCH, DELETE, OPTIONS",
        "origin, content-length, content-type, authorization" }, { got.status, got.body,
        got.headers["access-control-allow-origin"], got.headers["access-control-allow-methods"],
        got.headers["access-control-allow-headers"] })
    end)

    it("lets all of them with *, whatever they want to send", function()
      start("--cors", "*")
      assert.equal("*", ask("GET", "/health", { origin = ORIGIN }).headers["access-control-allow-origin"])
      local got = preflight("authorization, x-mine")
      assert.are.same({ 204, "*", "POST", "authorization, x-mine" }, { got.status,
        got.headers["access-control-allow-origin"], got.headers["access-control-allow-methods"],
        got.headers["access-control-allow-headers"] })
      local stream = http.stream(process.address, "/poll/g/i", { origin = ORIGIN })
      assert.equal("*", stream.answer.headers["access-control-allow-origin"])
      stream:close()
    end)
  end)

  describe("that demands tokens", function()
    local key, SOON = nil, os.time() + 3600

    local function signed(claims)
      claims.exp = claims.exp or SOON
      return token.sign(key, "HS256", claims)
    end

    before_each(function()
      key = token.secret(place.dir, ("s"):rep(64))
      start("--auth-secret-file", key.path, "--debug")
    end)

    it("looks at the envelope, then the token, then what it covers, then the request", function()
      local connection = http.connect(process.address)
      local mine = signed { prefix = "mine-" }
      local function status_of(kind, data, head)
        return (connection:call(kind, data, head))
      end
      assert.equal(400, http.ask(process.address, { method = "POST", body = "{}" }).status)
      assert.equal(400, status_of("promise.get", { id = "mine-1" }, { version = "1" })) -- before the token
      for _, auth in ipairs { "", "x", "a.b.c", signed { exp = os.time() - 3600 } } do
        local status, words = connection:call("nothing.known", {}, { auth = auth ~= "" and auth or nil })
        assert.are.same({ 401, "Unauthorized" }, { status, words })
      end
      local status, words = connection:call("promise.get", { id = "yours-1" }, { auth = mine })
      assert.are.same({ 403, "Forbidden" }, { status, words })
      assert.equal(403, status_of("promise.create", { id = "yours-1" }, { auth = mine })) -- before validation
      assert.equal(400, status_of("promise.create", { id = "mine-1" }, { auth = mine }))
      assert.equal(200, status_of("promise.create", promise("mine-1"), { auth = mine }))
      assert.equal(403, status_of("promise.search", {}, { auth = mine }))
      assert.equal(403, status_of("nothing.known", {}, { auth = mine }))
      assert.equal(400, status_of("nothing.known", {}, { auth = signed { role = "admin" } }))
      assert.equal(403, status_of("debug.snap", {}, { auth = mine }))
      assert.equal(401, status_of("debug.snap", {}))
      connection:close()
    end)

    it("wants them for a stream in the header, for nothing else", function()
      local good = signed { prefix = "x" }
      for _, value in ipairs { false, "Bearer ", "Bearer x.y.z", "Basic " .. good, good } do
        local stream, answer = http.stream(process.address, "/poll/g/i", { authorization = value })
        assert.is_nil(stream)
        assert.are.same({ 401, "Unauthorized" }, { answer.status, answer.body })
      end
      for _, scheme in ipairs { "Bearer ", "bearer ", "BEARER  " } do
        http.stream(process.address, "/poll/g/i", { authorization = scheme .. good }):close()
      end
      assert.equal(401, (http.call(process.address, "promise.get", { id = "x" })))
      assert.equal(200, ask("GET", "/health").status)
      assert.equal(200, ask("GET", "/ready").status)
    end)
  end)

  describe("for tests", function()
    it("keeps the debug doors shut unless it is told to open them", function()
      start()
      for _, kind in ipairs { "start", "stop", "reset", "tick", "snap" } do
        local status, words = http.call(process.address, "debug." .. kind, {})
        assert.are.same({ 403, "Debug operations are disabled" }, { status, words })
      end
      -- A time of its own is passed over.
      local _, data = http.call(process.address, "promise.create", promise("p"), { ["resonate:debug_time"] = 5 })
      assert(data.promise.createdAt > 1e12)
      serve.stop(process)
    end)

    it("lets time stand, pass and be given, shows all there is, and forgets it", function()
      start("--debug")
      local connection = http.connect(process.address)
      local function ok(kind, data, head)
        local status, answer = connection:call(kind, data, head)
        assert.equal(200, status, kind)
        return answer
      end
      local function at(ms) return { ["resonate:debug_time"] = ms } end
      ok("debug.start")
      ok("debug.reset")
      local created = ok("promise.create", promise("w", { timeoutAt = 5000,
        tags = { ["resonate:target"] = "poll://any@elsewhere" } }), at(1000)).promise
      assert.equal(1000, created.createdAt)
      ok("promise.create", promise("x", { timeoutAt = 3000 }), at(1000))
      ok("promise.register_listener", { awaited = "x", address = "poll://uni@elsewhere/me" }, at(1000))
      ok("task.create", { pid = "p", ttl = 700, action = { kind = "promise.create", head = { corrId = "a",
        version = http.VERSION }, data = promise("y", { tags = { ["resonate:target"] = "poll://any@elsewhere" } }) } },
        at(1100))
      local function ids(list)
        local found = {}
        for i, row in ipairs(list) do found[i] = row.id or row.address end
        return table.concat(found, " ")
      end
      local snap = ok("debug.snap")
      assert.are.same({ "w x y", "w x", "w y", "x", "poll://any@elsewhere" }, { ids(snap.promises),
        ids(snap.promiseTimeouts), ids(snap.tasks), ids(snap.listeners), ids(snap.messages) })
      assert.are.same({ 1000 + 30000, 0, 1100 + 700, 1 }, { snap.taskTimeouts[1].timeout, snap.taskTimeouts[1].type,
        snap.taskTimeouts[2].timeout, snap.taskTimeouts[2].type })
      ok("promise.create", promise("z", { timeoutAt = 3000 }), at(1000))
      local settled = ok("promise.settle", { id = "z", state = "resolved" }, at(500)).promise
      assert.are.same({ 1000, 1000 }, { settled.createdAt, settled.settledAt }) -- an instant before the other
      assert.are.same({}, ok("debug.tick", { time = 3000 }, at(3000)))
      snap = ok("debug.snap")
      assert.are.same({ "pending", "rejected_timedout", "pending" }, { snap.promises[1].state, snap.promises[2].state,
        snap.tasks[2].state })
      local words = select(2, connection:call("debug.tick", { time = 4000 }, at(3000)))
      assert.equal("resonate:debug_time must equal data.time", words)
      assert.equal("Missing or invalid 'time' field", (select(2, connection:call("debug.tick", {}))))
      ok("debug.reset")
      assert.equal("", ids(ok("debug.snap").promises))
      ok("debug.stop")
      ok("promise.create", promise("soon", { timeoutAt = os.time() * 1000 + 100 }))
      repeat local state = ok("promise.get", { id = "soon" }).promise.state until state == "rejected_timedout"
      connection:close()
      serve.stop(process)
      assert.equal(0, place:run("verify").code)
    end)
  end)

  describe("writes", function()
    local SECRET = "sesame.sesame.sesame"

    it("a line for each request, without secrets, whatever the request holds", function()
      start("--access-log")
      http.call(process.address, "promise.create", promise('a "b"\n status=500'), { auth = SECRET })
      http.call(process.address, "promise.get", { id = "none" })
      ask("GET", "/x%20y?token=" .. SECRET, { authorization = "Bearer " .. SECRET })
      http.stream(process.address, "/poll/g/i"):close()
      http.ask(process.address, { method = "POST", body = "{" })
      process:wait_for("kind=unknown status=400")
      local lines = {}
      for line in process.err:gmatch("info http.access ([^\n]*)\n") do
        lines[#lines + 1] = line:gsub("us=%d+ peer=127%.0%.0%.1:%d+$", "<time and peer>")
      end
      assert.are.same({
        [[method=POST path=/ kind=promise.create id="a \"b\"\n status=500" status=200 <time and peer>]],
        "method=POST path=/ kind=promise.get id=none status=404 <time and peer>",
        "method=GET path=/x%20y status=404 <time and peer>",
        "method=GET path=/poll/g/i status=200 <time and peer>",
        "method=POST path=/ kind=unknown status=400 <time and peer>",
      }, lines)
      serve.stop(process)
      assert.not_matches(SECRET, process.err, 1, true)
    end)

    it("everything as JSON, one object a line, when it is asked to", function()
      local script = place:write("wf.lua", 'local da = require "da"\nprint "loading"\nfunction da.async.f() end\n')
      process = program.spawn({ "serve", script, "--access-log", "--log-format", "json" },
        { data = place.data, cwd = place.dir }):wait_for('"text":"serving ')
      process.address = process.err:match("listening on http://([%d.:]+)")
      http.call(process.address, "promise.get", { id = "none" })
      process:wait_for('"id":"none"')
      process:signal_with("sigterm"):wait()
      local events = {}
      for line in process.err:gmatch("[^\n]+") do
        local object = assert(json.decode(line), line)
        assert.matches("^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", object.time)
        events[#events + 1] = object.level .. " " .. object.event .. " " .. tostring(object.status or object.text):match("%S+")
      end
      assert.are.same({ "info note listening", "info note serving", "info output loading", "info http.access 404",
        "info note stopped;" }, events)
    end)
  end)

  describe("counts", function()
    it("requests by kind and status, and what is under way, for a scraper on a door of its own", function()
      start("--metrics", "127.0.0.1:0")
      local connection = http.connect(process.address)
      for i = 1, 3 do connection:call("promise.create", promise("p-" .. i)) end
      connection:call("promise.get", { id = "none" })
      connection:call("bogus\"\n{kind", {})
      local stream = http.stream(process.address, "/poll/g/i")
      local samples, answer = serve.read_metrics(process)
      assert.equal("text/plain; version=0.0.4; charset=utf-8", answer.headers["content-type"])
      assert.are.same({ 3, 1, 1, 3, 3 }, { samples['resonate_request_total{kind="promise.create",status="200"}'],
        samples['resonate_request_total{kind="promise.get",status="404"}'],
        samples['resonate_request_total{kind="unknown",status="400"}'],
        samples['resonate_request_duration_seconds_count{kind="promise.create"}'],
        samples['resonate_request_duration_seconds_bucket{kind="promise.create",le="+Inf"}'] })
      assert.are.same({ 1, 0, 0 }, { samples.dahost_poll_connections, samples.dahost_requests_under_way,
        samples['resonate_messages_total{kind="execute"}'] })
      for _, name in ipairs { "resonate_deliveries_total{status=\"success\"}", "resonate_schedule_promises_total",
        "dahost_commits_total", "dahost_http_connections", "dahost_executions_started_total" } do
        assert.is_number(samples[name], name)
      end
      -- Each family has its two lines before its samples; each sample belongs to the family before it.
      local family
      for line in answer.body:gmatch("[^\n]+") do
        local begun = line:match("^# HELP (%S+) .+")
        if begun then
          family = begun
        elseif line:find("^# TYPE") then
          assert.equal(family, line:match("^# TYPE (%S+) %a+$"))
        else
          local name = assert(line:match("^([%w_]+)[{ ]"), line)
          assert(name == family or name:find("^" .. family .. "_%a+$"), line)
        end
      end
      connection:call("schedule.create", { id = "s", cron = "* * * * * *", promiseId = "{{.id}}.{{.timestamp}}",
        promiseTimeout = 1000, promiseParam = promise("").param,
        promiseTags = { ["resonate:target"] = "poll://any@elsewhere" } })
      repeat samples = serve.read_metrics(process) until samples.resonate_schedule_promises_total > 0
      assert.equal(404, http.ask(process.metrics, { path = "/" }).status)
      assert.equal(405, http.ask(process.metrics, { path = "/metrics", method = "POST", body = "" }).status)
      stream:close()
      connection:close()
      serve.stop(process)
    end)
  end)
end)
