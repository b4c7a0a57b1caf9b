-- config_spec.lua - settings of a server: where each comes from, which source is the stronger one, the file, what is
-- refused and in which words, --print-config, and that README.md tells the same.
--
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")

local place

setup(function() place = program.place() end)
teardown(function() place:remove() end)

-- Every setting, in order: key, flag, type, shared with the Resonate server or not; of a word all there are.
local SETTINGS = {
  { "data", "data", "text" },
  { "level", "log", "word", true, { "debug", "info", "warn", "error" } },
  { "debug", "debug", "switch", true },
  { "log_format", "log-format", "word", false, { "text", "json" } },
  { "server.listen", "listen", "list" },
  { "server.bind", "bind", "text", true },
  { "server.port", "port", "number", true },
  { "server.url", "url", "text", true },
  { "server.shutdown_timeout", "shutdown-timeout", "duration", true },
  { "server.body_limit", "body-limit", "bytes" },
  { "server.max_connections", "max-connections", "number" },
  { "server.access_log", "access-log", "switch" },
  { "server.cors.allow_origins", "cors", "list", true },
  { "server.tls.certificate", "tls-cert", "text" },
  { "server.tls.key", "tls-key", "text" },
  { "auth.publickey", "auth-publickey", "text", true },
  { "auth.secret_file", "auth-secret-file", "text" },
  { "auth.iss", "auth-iss", "text", true },
  { "auth.aud", "auth-aud", "text", true },
  { "transports.http_push.enabled", "push", "switch", true },
  { "transports.http_push.concurrency", "push-concurrency", "number", true },
  { "transports.http_push.connect_timeout", "push-connect-timeout", "duration", true },
  { "transports.http_push.request_timeout", "push-request-timeout", "duration", true },
  { "transports.http_push.auth.mode", "push-auth", "word", true, { "none", "bearer" } },
  { "transports.http_push.auth.token", "push-token", "secret", true },
  { "transports.http_push.auth.header", "push-header", "text", true },
  { "transports.http_poll.max_connections", "poll-connections", "number", true },
  { "transports.http_poll.buffer_size", "poll-buffer", "number", true },
  { "transports.http_poll.keepalive_interval", "poll-keepalive", "duration" },
  { "tasks.retry_timeout", "retry-timeout", "duration", true },
  { "observability.metrics", "metrics", "text" },
  { "observability.metrics_port", "metrics-port", "number", true },
  { "protocol.id_dialect", "id-dialect", "word", false, { "any", "colon", "dot", "off" } },
  { "protocol.arm", "arm", "word", false, { "external", "target", "all" } },
  { "protocol.await_internal", "await-internal", "word", false, { "allow", "reject" } },
  { "protocol.await_cross_origin", "await-cross-origin", "word", false, { "allow", "reject" } },
  { "protocol.listener_external_only", "listener-external-only", "word", false, { "follows", "true", "false" } },
  { "protocol.timer_target", "timer-target", "word", false, { "allow", "reject" } },
  { "protocol.suspend_dups", "suspend-dups", "word", false, { "dedupe", "reject" } },
  { "protocol.heartbeat_mixed", "heartbeat-mixed", "word", false, { "allow", "reject" } },
  { "protocol.preload_limit", "preload-limit", "number" },
  { "protocol.search", "search", "word", false, { "on", "501" } },
  { "protocol.cron_dow", "cron-dow", "word", false, { "quartz", "unix" } },
  { "protocol.cron_never", "cron-never", "word", false, { "minute", "reject" } },
  { "worker.warm", "warm", "bytes" },
  { "worker.images", "images", "switch" },
  { "worker.image_after", "image-after", "number" },
  { "worker.image_every", "image-every", "number" },
  { "worker.step_threads", "step-threads", "number" },
  { "worker.span_limit", "span-limit", "duration" },
  { "worker.deaths", "deaths", "number" },
  { "worker.plugins", "plugin", "list" },
}
-- Another way to say listen, or metrics; they have specs of their own.
local SETTLED = { ["server.bind"] = true, ["server.port"] = true, ["observability.metrics_port"] = true }

local function own_variable(flag) return "DAHOST_" .. flag:upper():gsub("%-", "_") end
local function shared_variable(key) return "RESONATE_" .. key:upper():gsub("%.", "__") end

-- `dahost serve --print-config`, with a file if `text` is given.
local function print_config(args, env, text)
  local words = { "serve", "--print-config", table.unpack(args or {}) }
  if text then table.move({ "--config", place:write("server.toml", text) }, 1, 2, #words + 1, words) end
  local all = { DAHOST_LISTEN = "" } -- program.lua has one
  for name, value in pairs(env or {}) do all[name] = value end
  return program.run(words, { cwd = place.dir, env = all })
end

-- What was printed: by key, the value as text (nil: not set) and where it comes from. And the keys in order.
local function read_printed(text)
  local found, keys, section = {}, {}, ""
  for line in text:gmatch("[^\n]+") do
    local name = line:match("^%[(.+)%]$")
    local key, value, from = line:match("^([%w_]+) = (.-) +# (.+)$")
    local unset, without = line:match("^# ([%w_]+):? [%w -]+; (.+)$")
    if name then
      section = name .. "."
    elseif key or unset then
      keys[#keys + 1] = section .. (key or unset)
      found[keys[#keys]] = { value = value, from = ((from or without):gsub("^m?s?b?y?t?e?s?; ", "")) }
    end
  end
  return found, keys
end

local function printed(args, env, text)
  local got = print_config(args, env, text)
  assert.equal(0, got.code, got.err)
  assert.equal("", got.err)
  return read_printed(got.out)
end

local function refused(args, env, text)
  local got = print_config(args, env, text)
  assert.equal("", got.out)
  assert.equal(2, got.code)
  return (got.err:gsub("^dahost: ", ""):gsub("\n$", ""):gsub(place.dir:gsub("%p", "%%%0"), "DIR"))
end

-- The text that a source gives for the n-th of some values of a type: file, flag, RESONATE_; and what is printed.
local GIVEN = {
  text = function(n) return ('"text %d"'):format(n), "text " .. n, "text " .. n, ('"text %d"'):format(n) end,
  secret = function(n) return ('"text %d"'):format(n), "text " .. n, "text " .. n, nil end,
  number = function(n) return tostring(n + 10), tostring(n + 10), tostring(n + 10), tostring(n + 10) end,
  bytes = function(n) return tostring(n * 1024), n .. "k", n .. "k", tostring(n * 1024) end,
  duration = function(n) return tostring(n * 1000), n .. "s", tostring(n * 1000), tostring(n * 1000) end,
  switch = function(n) return tostring(n % 2 == 0), tostring(n % 2 == 0), tostring(n % 2 == 0), tostring(n % 2 == 0) end,
  list = function(n)
    return ('["a%d", "b"]'):format(n), ("a%d,b"):format(n), ("a%d,b"):format(n), ('["a%d", "b"]'):format(n)
  end,
  word = function(n, words)
    local word = words[n % #words + 1]
    return '"' .. word .. '"', word, word, '"' .. word .. '"'
  end,
}

local function file_line(key, value)
  local section, name = key:match("^(.*)%.([%w_]+)$")
  return section and ("[%s]\n%s = %s\n"):format(section, name, value) or ("%s = %s\n"):format(key, value)
end

local function flags_of(row, value)
  if row[3] ~= "list" then return { "--" .. row[2] .. "=" .. value } end
  local list = {}
  for item in value:gmatch("[^,]+") do table.move({ "--" .. row[2], item }, 1, 2, #list + 1, list) end
  return list
end

describe("a setting", function()
  it("is in this list, in this order, and there is no other", function()
    local _, keys = printed()
    local wanted = {}
    for i, row in ipairs(SETTINGS) do wanted[i] = row[1] end
    assert.same(wanted, keys)
  end)

  it("is taken from flags, else variables, else variables of the Resonate server, else the file, else built in", function()
    for _, row in ipairs(SETTINGS) do
      if not SETTLED[row[1]] then
        local given = GIVEN[row[3]]
        local in_file = file_line(row[1], (given(1, row[5])))
        local env, args = {}, {}
        local function expect(n, from)
          local got = printed(args, env, n > 0 and in_file or nil)[row[1]]
          local wanted = n > 0 and select(4, given(n, row[5])) or got.value
          assert.same({ wanted, from }, { got.value, (got.from:gsub("^.*(server.toml:%d)$", "%1")) }, row[1])
        end
        expect(0, "built in")
        expect(1, row[1]:find("%.") and "server.toml:2" or "server.toml:1")
        if row[4] then
          env[shared_variable(row[1])] = select(3, given(2, row[5]))
          expect(2, shared_variable(row[1]))
        end
        env[own_variable(row[2])] = select(2, given(3, row[5]))
        expect(3, own_variable(row[2]))
        args = flags_of(row, (select(2, given(4, row[5]))))
        expect(4, "--" .. row[2])
      end
    end
  end)

  it("that only this program has is no variable of the Resonate server", function()
    for _, row in ipairs(SETTINGS) do
      if not row[4] and row[1]:find("^server%.") then
        assert.equal(("%s is no setting of the Resonate server; here it is %s"):format(shared_variable(row[1]),
          own_variable(row[2])), refused({}, { [shared_variable(row[1])] = "1" }))
      end
    end
  end)

  it("that a weaker source gives wrongly is refused, too", function()
    assert.equal("DIR/server.toml:2: server.port wants a number from 0 to 65535, not a string",
      refused({ "--port", "1" }, {}, '[server]\nport = "1"\n'))
    assert.equal("RESONATE_SERVER__PORT wants a number from 0 to 65535, not 'x'",
      refused({ "--port", "1" }, { RESONATE_SERVER__PORT = "x" }))
  end)

  it("is not given by an empty variable", function()
    for _, row in ipairs(SETTINGS) do
      local got = printed({}, { [own_variable(row[2])] = "", [shared_variable(row[1])] = "" })
      assert.equal("built in", got[row[1]].from)
    end
  end)

  it("that is a switch has many words in variables and two in the file", function()
    for _, word in ipairs({ "true", "1", "yes", "on" }) do
      assert.equal("true", printed({}, { DAHOST_DEBUG = word }).debug.value)
      assert.equal("true", printed({}, { RESONATE_DEBUG = word }).debug.value)
    end
    for _, word in ipairs({ "false", "0", "no", "off" }) do
      assert.equal("false", printed({}, { DAHOST_PUSH = word })["transports.http_push.enabled"].value)
      assert.equal("false", printed({ "--push=" .. word })["transports.http_push.enabled"].value)
    end
    assert.equal("true", printed({ "--debug" }).debug.value)
    assert.equal("true", printed({ "--debug" }, { DAHOST_DEBUG = "0" }).debug.value)
    assert.equal("false", printed({ "--debug=false" }, { DAHOST_DEBUG = "1" }).debug.value)
  end)

  it("that is a list is given several times, or with commas, or as an array", function()
    local wanted = '["http://a", "http://b"]'
    local function origins(...) return printed(...)["server.cors.allow_origins"].value end
    assert.equal(wanted, origins({ "--cors", "http://a", "--cors", "http://b" }))
    assert.equal(wanted, origins({}, { DAHOST_CORS = "http://a,http://b" }))
    assert.equal(wanted, origins({}, { RESONATE_SERVER__CORS__ALLOW_ORIGINS = '["http://a","http://b"]' }))
    assert.equal('["*"]', origins({}, { RESONATE_SERVER__CORS__ALLOW_ORIGINS = "*" }))
    assert.equal('["a,b"]', origins({ "--cors", "a,b" }))
  end)

  it("of section worker and data holds for the other verbs as a flag and as a variable, checked alike", function()
    local script = place:write("wf.lua", "local da = require 'da'\nfunction da.async.main() return 1 end")
    local function run(flags, env)
      return program.run({ "run", script, table.unpack(flags) }, { data = place.data, env = env })
    end
    assert.equal(0, run({ "--step-threads", "2" }).code)
    assert.equal("dahost: --step-threads wants a number from 1 to 256, not '0'\n", run({ "--step-threads", "0" }).err)
    assert.equal("dahost: DAHOST_SPAN_LIMIT wants a duration (with its unit: 500ms, 30s, 5m), not '10'\n",
      run({}, { DAHOST_SPAN_LIMIT = "10" }).err)
    assert.equal(0, run({}, { RESONATE_SERVER__PORT = "x", DAHOST_PORT = "x", DAHOST_CONFIG = "/nowhere" }).code)
    assert.truthy(run({ "--port", "1" }).err:find("run has no flag --port", 1, true))
  end)
end)

describe("--bind and --port", function()
  local function listens(...)
    local got = printed(...)["server.listen"]
    return got.value .. " " .. got.from:gsub("^.*(server.toml:%d)$", "%1")
  end

  it("say where to listen, together or one alone", function()
    assert.equal('["127.0.0.1:8001"] built in', listens())
    assert.equal('["0.0.0.0:8001"] --bind', listens({ "--bind", "0.0.0.0" }))
    assert.equal('["127.0.0.1:9"] --port', listens({ "--port", "9" }))
    assert.equal('["0.0.0.0:9"] --port', listens({ "--port", "9", "--bind", "0.0.0.0" }))
    assert.equal('["[::1]:9"] --port', listens({ "--port", "9", "--bind", "::1" }))
    assert.equal('["[::]:9"] --port', listens({ "--port", "9", "--bind", "[::]" }))
    assert.equal('["0.0.0.0:9"] RESONATE_SERVER__PORT', listens({}, { RESONATE_SERVER__PORT = "9" },
      '[server]\nbind = "0.0.0.0"\n'))
  end)

  it("count if they come from a stronger source than --listen, and the other way round", function()
    local file = '[server]\nlisten = ["unix:a", "b:1"]\n'
    assert.equal('["unix:a", "b:1"] server.toml:2', listens({}, {}, file))
    assert.equal('["127.0.0.1:9"] RESONATE_SERVER__PORT', listens({}, { RESONATE_SERVER__PORT = "9" }, file))
    assert.equal('["c:1"] DAHOST_LISTEN', listens({}, { RESONATE_SERVER__PORT = "9", DAHOST_LISTEN = "c:1" }, file))
    assert.equal('["127.0.0.1:8"] --port', listens({ "--port", "8" }, { DAHOST_LISTEN = "c:1" }, file))
    assert.equal('["d:1"] --listen', listens({ "--listen", "d:1" }, { DAHOST_PORT = "9" }, file))
  end)

  it("contradict --listen of the same source", function()
    local words = "server.listen, and server.bind or server.port (flags --listen, --bind, --port), both say where to "
      .. "listen; keep one of them"
    assert.equal(words, refused({ "--listen", "a:1", "--port", "1" }))
    assert.equal(words, refused({}, { DAHOST_LISTEN = "a:1", DAHOST_BIND = "b" }))
    assert.equal(words, refused({}, {}, '[server]\nlisten = ["a:1"]\nport = 1\n'))
  end)

  it("say where --metrics-port is", function()
    local function metrics(...) return printed(...)["observability.metrics"] end
    assert.same({ from = "built in" }, metrics())
    assert.same({ value = '"127.0.0.1:9090"', from = "--metrics-port" }, metrics({ "--metrics-port", "9090" }))
    assert.same({ value = '"0.0.0.0:9090"', from = "--metrics-port" },
      metrics({ "--metrics-port", "9090" }, { DAHOST_BIND = "0.0.0.0", DAHOST_METRICS = "a:1" }))
    assert.same({ value = '"a:1"', from = "--metrics" },
      metrics({ "--metrics", "a:1" }, { RESONATE_OBSERVABILITY__METRICS_PORT = "9090" }))
    assert.same({ from = "DAHOST_METRICS_PORT" }, metrics({}, { DAHOST_METRICS_PORT = "0" },
      '[observability]\nmetrics = "a:1"\n'))
    assert.truthy(refused({ "--metrics", "a:1", "--metrics-port", "1" }):find("both say where to show metrics", 1, true))
  end)
end)

describe("what is no setting", function()
  it("is refused in the file by the nearest name", function()
    for text, words in pairs({
      ["[server]\nprot = 1"] = "DIR/server.toml:2: there is no setting server.prot; did you mean server.port?",
      ["\n\n[sever]\nport = 1"] = "DIR/server.toml:4: there is no setting sever.port; did you mean server.port?",
      ["port = 1"] = "DIR/server.toml:1: there is no setting port; did you mean server.port?",
      ["[auth]\npublic_key = 'a'"] = "DIR/server.toml:2: there is no setting auth.public_key; did you mean auth.publickey?",
      ["[worker]\nstep-threads = 1"] =
        "DIR/server.toml:2: there is no setting worker.step-threads; did you mean worker.step_threads?",
      ["zebra = 1"] = "DIR/server.toml:1: there is no setting zebra; dahost serve --print-config shows all",
    }) do
      assert.equal(words, refused({}, {}, text))
    end
  end)

  it("is refused among the variables of the Resonate server, if it is in a section of ours", function()
    assert.equal("there is no setting RESONATE_SERVER__PROT; did you mean RESONATE_SERVER__PORT?",
      refused({}, { RESONATE_SERVER__PROT = "1" }))
    assert.equal("there is no setting RESONATE_AUTH__ZEBRA", refused({}, { RESONATE_AUTH__ZEBRA = "1" }))
    for _, name in ipairs({ "RESONATE_URL", "RESONATE_TOKEN", "RESONATE_PREFIX", "RESONATE_ZEBRA__X", "RESONATE_",
      "RESONATE___", "RESONATE_PORT" }) do
      assert.equal('["127.0.0.1:8001"]', printed({}, { [name] = "x" })["server.listen"].value)
    end
  end)

  it("is refused by what to do instead, if only the Resonate server has it", function()
    for key, words in pairs({
      ["storage.type"] = "the store is a folder: data = \"DIR\", or --data",
      ["storage.sqlite.path"] = "the store is a folder: data = \"DIR\", or --data",
      ["timeouts.poll_interval"] = "nothing is polled for; leave it out",
      ["messages.batch_size"] = "nothing is polled for; leave it out",
      ["transports.gcps.enabled"] = "there is no such transport; leave it out",
      ["transports.bash_exec.enabled"] = "there is no such transport; leave it out",
      ["transports.http_poll.enabled"] = "workers can always poll; leave it out",
      ["transports.http_push.auth.audience"] = "the mode is none or bearer; leave it out",
      ["tasks.lease_timeout"] = "it belongs to a transport that there is not; leave it out",
      ["observability.otlp_endpoint"] = "traces are not sent; leave it out",
      ["server.host"] = "say server.url = \"http://HOST:PORT\"",
    }) do
      local name = shared_variable(key)
      assert.equal(name .. " means nothing here: " .. words, refused({}, { [name] = "1" }))
      assert.equal(("DIR/server.toml:2: %s is a setting of the Resonate server that means nothing here: %s"):format(key,
        words), refused({}, {}, file_line(key, "1")))
    end
  end)

  it("is refused among flags, also by the Resonate server's name of one", function()
    assert.equal("serve has no flag --prot; did you mean --port?", refused({ "--prot", "1" }))
    for _, row in ipairs(SETTINGS) do
      local name = row[1]:gsub("[._]", "-")
      if name ~= row[2] then
        assert.equal(("serve has no flag --%s; did you mean --%s?"):format(name, row[2]), refused({ "--" .. name, "1" }))
      end
    end
  end)
end)

describe("a value that does not fit", function()
  it("is refused with where it stands, what is wanted, and what it is", function()
    for _, row in ipairs({
      { { "--port", "x" }, "--port wants a number from 0 to 65535, not 'x'" },
      { { "--port", "65536" }, "--port wants a number from 0 to 65535, not '65536'" },
      { { "--port=-1" }, "--port wants a number from 0 to 65535, not '-1'" },
      { { "--port=1.0" }, "--port wants a number from 0 to 65535, not '1.0'" },
      { { "--port=+1" }, "--port wants a number from 0 to 65535, not '+1'" },
      { { "--port= 1" }, "--port wants a number from 0 to 65535, not ' 1'" },
      { { "--port=99999999999999999999" }, "--port wants a number from 0 to 65535, not '99999999999999999999'" },
      { { "--max-connections=0" }, "--max-connections wants a number from 1 to 1000000, not '0'" },
      { { "--preload-limit=-2" }, "--preload-limit wants a number from -1 to 1000000, not '-2'" },
      { { "--shutdown-timeout", "10000" },
        "--shutdown-timeout wants a duration (with its unit: 500ms, 30s, 5m), not '10000'" },
      { { "--shutdown-timeout", "soon" },
        "--shutdown-timeout wants a duration (with its unit: 500ms, 30s, 5m), not 'soon'" },
      { { "--shutdown-timeout", "-1s" },
        "--shutdown-timeout wants a duration (with its unit: 500ms, 30s, 5m), not '-1s'" },
      { { "--shutdown-timeout", "31d" }, "--shutdown-timeout wants 0 ms to 30 d, not '31d'" },
      { { "--retry-timeout", "0" }, "--retry-timeout wants 1 ms to 30 d, not '0'" },
      { { "--body-limit", "1" }, "--body-limit wants 1024 to 1073741824 bytes, not '1'" },
      { { "--body-limit", "much" }, "--body-limit wants a number of bytes (0, 500k, 64M), not 'much'" },
      { { "--id-dialect", "colons" }, "--id-dialect wants any, colon, dot or off, not 'colons'" },
      { { "--id-dialect", "colon dot" }, "--id-dialect wants any, colon, dot or off, not 'colon dot'" },
      { { "--id-dialect", "" }, "--id-dialect wants any, colon, dot or off, not ''" },
      { { "--log", "trace" }, "--log wants debug, info, warn or error, not 'trace'" },
      { { "--debug=maybe" }, "--debug wants true or false, not 'maybe'" },
      { { "--url", "" }, "--url wants a text, not nothing" },
      { { "--cors", "" }, "--cors wants texts with commas between them, not an empty one among them" },
      { {}, "DAHOST_CORS wants texts with commas between them, not an empty one among them", { DAHOST_CORS = "a,,b" } },
      { {}, "RESONATE_SERVER__CORS__ALLOW_ORIGINS wants texts with commas between them, not '[a]'",
        { RESONATE_SERVER__CORS__ALLOW_ORIGINS = "[a]" } },
      { {}, "DAHOST_PORT wants a number from 0 to 65535, not 'x'", { DAHOST_PORT = "x" } },
      { {}, "RESONATE_TASKS__RETRY_TIMEOUT wants a duration (a number of milliseconds, or 30s), not '1.5'",
        { RESONATE_TASKS__RETRY_TIMEOUT = "1.5" } },
      { {}, "RESONATE_TASKS__RETRY_TIMEOUT wants 1 ms to 30 d, not '0'", { RESONATE_TASKS__RETRY_TIMEOUT = "0" } },
      { {}, "RESONATE_LEVEL wants debug, info, warn or error, not 'trace'", { RESONATE_LEVEL = "trace" } },
    }) do
      assert.equal(row[2], refused(row[1], row[3]))
    end
  end)

  it("is refused in the file by its line and its key", function()
    local many = {}
    for i = 1, 33 do many[i] = '"a"' end
    for _, row in ipairs({
      { "server.port", '"80"', "a number from 0 to 65535, not a string" },
      { "server.port", "true", "a number from 0 to 65535, not true or false" },
      { "server.port", '["80"]', "a number from 0 to 65535, not an array" },
      { "server.port", "-1", "a number from 0 to 65535, not -1" },
      { "server.port", "70_000", "a number from 0 to 65535, not 70000" },
      { "server.shutdown_timeout", '"10"', 'a duration (a number of milliseconds, or "30s"), not \'10\'' },
      { "server.shutdown_timeout", '""', 'a duration (a number of milliseconds, or "30s"), not \'\'' },
      { "server.shutdown_timeout", "true", 'a duration (a number of milliseconds, or "30s"), not true or false' },
      { "server.shutdown_timeout", "2592000001", "0 ms to 30 d, not 2592000001" },
      { "server.body_limit", "-1", "1024 to 1073741824 bytes, not -1" },
      { "server.body_limit", '"x"', 'a number of bytes (65536, "64k"), not \'x\'' },
      { "server.url", "1", "a text, not a number" },
      { "server.url", '""', "a text, not nothing" },
      { "server.access_log", '"true"', "true or false, not a string" },
      { "server.access_log", "1", "true or false, not a number" },
      { "server.listen", '"a"', "an array of strings, not a string" },
      { "server.listen", '["a", ""]', "an array of strings, not an empty one among them" },
      { "server.listen", "[" .. table.concat(many, ",") .. "]", "an array of strings, not more than 32 of them" },
      { "protocol.arm", '"any"', "external, target or all, not 'any'" },
      { "protocol.arm", "true", "external, target or all, not true or false" },
      { "transports.http_push.auth.token", "1", "a text, not a number" },
    }) do
      assert.equal(("DIR/server.toml:2: %s wants %s"):format(row[1], row[3]), refused({}, {}, file_line(row[1], row[2])))
    end
  end)
end)

describe("settings that go together", function()
  it("are refused one without the other", function()
    local function serve(...)
      local got = program.run({ "serve", ... }, { data = place.data, cwd = place.dir })
      return got.code .. " " .. got.err
    end
    assert.equal("2 dahost: --push-auth bearer wants a token: DAHOST_PUSH_TOKEN, or transports.http_push.auth.token in the "
      .. "file\n", serve("--push-auth", "bearer"))
    assert.equal("2 dahost: --tls-cert and --tls-key go together: --tls-key is missing\n", serve("--tls-cert", "a"))
    assert.equal("2 dahost: --auth-iss means nothing without a key: --auth-publickey FILE or --auth-secret-file FILE\n",
      serve("--auth-iss", "a"))
  end)
end)

describe("the file", function()
  it("may come by its variable; it is named if it cannot be read", function()
    local path = place:write("other.toml", "[server]\nport = 7\n")
    assert.equal('["127.0.0.1:7"]', printed({}, { DAHOST_CONFIG = path })["server.listen"].value)
    assert.equal("--config DIR/none cannot be opened: No such file or directory", refused({ "--config", place.dir .. "/none" }))
    assert.equal("--config DIR cannot be read: Is a directory", refused({ "--config", place.dir }))
    assert.equal("--config wants a file, not nothing", refused({ "--config", "" }))
    assert.equal("--config DIR/server.toml is longer than 1048576 bytes", refused({}, {}, ("#"):rep(1 << 20) .. "\n"))
  end)

  it("has comments, sections, blanks, strings of both kinds, arrays over several lines", function()
    local got = printed({}, {}, table.concat({
      "# a comment with ünïcode", "", "  level   =   'info'   # behind", "\tdebug=true", "[ server ] # all of it",
      'url = "http://\\u00e9\\"\\\\\\t#" # "not" in it', "port = +9_0", "[transports.http_push]", "concurrency = 3",
      "[server.cors]\r", "allow_origins = [ # these", '  "http://a",', "", "  # and", "  'http://b', ]\r",
      "[transports.http_push.auth]", "header = 'x\\n'", "[protocol]", "preload_limit = -0", "[worker]",
      'span_limit = "1m30s"', 'warm = "1k"', "[tasks]", "retry_timeout = 0005" }, "\n"):gsub("0005", "5"))
    assert.equal('"info"', got.level.value)
    assert.equal("true", got.debug.value)
    assert.equal('"http://é\\"\\\\\\t#"', got["server.url"].value)
    assert.equal('["127.0.0.1:90"]', got["server.listen"].value)
    assert.equal("3", got["transports.http_push.concurrency"].value)
    assert.equal('["http://a", "http://b"]', got["server.cors.allow_origins"].value)
    assert.equal('"x\\\\n"', got["transports.http_push.auth.header"].value)
    assert.equal("0", got["protocol.preload_limit"].value)
    assert.equal("90000", got["worker.span_limit"].value)
    assert.equal("1024", got["worker.warm"].value)
    assert.equal("5", got["tasks.retry_timeout"].value)
    assert.truthy(printed({}, {}, ""))
    assert.truthy(printed({}, {}, "# no line end"))
    assert.truthy(printed({}, {}, "[server]"))
  end)

  it("is refused where it is not what is read here, with its line", function()
    local LINE = "a line reads KEY = VALUE or [section]"
    local SECTION = "a section reads [name] or [name.name]"
    local VALUE = "a value is a string in quotes, a whole number, true or false, or an array of strings"
    local NUMBER = 'a number is a whole, decimal one here; with a unit it is a string: "10s"'
    local BEHIND = "something stands behind what ends here; one KEY = VALUE a line"
    local ARRAY = "an array holds strings, with commas between them"
    for _, row in ipairs({
      { "debug", LINE }, { "= true", LINE }, { "debug true", LINE }, { "debug: true", LINE }, { "; debug", LINE },
      { "{", LINE }, { "debug =", VALUE }, { "debug = # no", VALUE }, { "debug = yes", VALUE }, { "debug = True", VALUE },
      { "debug = truest", VALUE }, { "level = info", VALUE }, { "level = {a = 1}", VALUE }, { "level = inf", VALUE },
      { "debug = true false", BEHIND }, { "debug = true, ", BEHIND }, { "level = 'a' 'b'", BEHIND }, { "[server] port = 1", BEHIND },
      { "[server]]", BEHIND },
      { "[", SECTION }, { "[]", SECTION }, { "[server", SECTION }, { "[.server]", SECTION }, { "[server.]", SECTION },
      { "[server..cors]", SECTION }, { "[server . cors]", SECTION }, { "[a b]", SECTION },
      { "[[server]]", "[[arrays of sections]] have no place here" },
      { '["server"]', "names stand without quotes here" }, { '"debug" = true', "names stand without quotes here" },
      { "server.port = 1", "a key with a dot; the part before it goes into a [section]" },
      { "level = 1.5", NUMBER }, { "level = 1e3", NUMBER }, { "level = 0x10", NUMBER }, { "level = 0b1", NUMBER },
      { "level = 10s", NUMBER }, { "level = 1979-05-27", NUMBER }, { "level = 7:32:00", NUMBER }, { "level = 1__0", NUMBER },
      { "level = 1_", NUMBER }, { "level = +inf", NUMBER }, { "level = -nan", NUMBER },
      { "level = 01", "a number with a leading zero" }, { "level = -", "a sign without a number" },
      { "level = +", "a sign without a number" }, { "level = 0_1", "a number with a leading zero" }, { "level = --1", NUMBER },
      { "level = 9223372036854775808", "a number beyond 64 bits" },
      { "level = " .. ("9"):rep(100), "a number beyond 64 bits" },
      { 'level = "info', "a string does not end on its line" }, { "level = 'info", "a string does not end on its line" },
      { 'level = "info\\', "a string does not end on its line" }, { "level = '", "a string does not end on its line" },
      { 'level = """info"""', "strings over several lines have no place here" },
      { "level = '''info'''", "strings over several lines have no place here" },
      { 'level = "\\q"', "an unknown escape in a string; a backslash itself is \\\\, or stands in '...'" },
      { 'level = "\\u12"', "\\u wants four hex digits of a character, \\U eight of them" },
      { 'level = "\\ud800"', "\\u wants four hex digits of a character, \\U eight of them" },
      { 'level = "\\u0000"', "\\u wants four hex digits of a character, \\U eight of them" },
      { 'level = "\\U00110000"', "\\u wants four hex digits of a character, \\U eight of them" },
      { 'level = "a\1"', "a control character in a string; write it as \\u0007" },
      { "level = 'a\127'", "a control character in a string; write it as \\u0007" },
      { 'level = "a\0b"', "a control character in a string; write it as \\u0007" },
      { "# a\1", "a control character in a comment" }, { "# a\rb", "a control character in a comment" },
      { "level = [", "an array does not end" }, { "level = ['a'", "an array does not end" },
      { "level = ['a',", "an array does not end" }, { "level = [1]", ARRAY }, { "level = [,]", ARRAY },
      { "level = ['a' 'b']", ARRAY }, { "level = ['a',,'b']", ARRAY }, { "level = [['a']]", ARRAY }, { "level = [a]", ARRAY },
      { "debug = true\ndebug = true", "debug is told twice", 2 },
      { "[auth]\n[auth]", "auth is told twice", 2 }, { "[server.cors]\n[server]\n[server.cors]", "server.cors is told twice", 3 },
      { "[server]\nport = 1\n[server.port]", "server.port is told twice", 3 },
      { "[server]\nport = 1\n[server.port.x]", "server.port is told twice", 3 },
    }) do
      assert.equal(("DIR/server.toml:%d: %s"):format(row[3] or 1, row[2]),
        refused({}, {}, row[1]), row[1])
    end
    assert.equal("DIR/server.toml: bytes that are not UTF-8", refused({}, {}, "level = '\255'\n"))
    assert.equal("DIR/server.toml: bytes that are not UTF-8", refused({}, {}, "# \192\128\n"))
  end)
end)

describe("--print-config", function()
  it("never shows a secret, nor does a fault", function()
    for _, source in ipairs({ { { "--push-token", "hush" } }, { {}, { DAHOST_PUSH_TOKEN = "hush" } },
      { {}, { RESONATE_TRANSPORTS__HTTP_PUSH__AUTH__TOKEN = "hush" } },
      { {}, {}, '[transports.http_push.auth]\ntoken = "hush"\n' } }) do
      local got = print_config(table.unpack(source))
      assert.equal(0, got.code)
      assert.is_nil(got.out:find("hush", 1, true))
      assert.truthy(got.out:find("# token is not shown; ", 1, true))
    end
    local list = print_config({}, {}, '[transports.http_push.auth]\ntoken = ["hush"]\n')
    assert.equal(2, list.code)
    assert.is_nil(list.err:find("hush", 1, true))
  end)

  it("leaves a text that is not UTF-8 out, and says so", function()
    local got = print_config({ "--data", "a\255b" })
    assert.truthy(got.out:find("# data is not UTF-8, so it cannot stand here; --data", 1, true))
  end)

  it("keeps a file's name on the line of its comment", function()
    local path = place:write("a\nport = 1\27.toml", "debug = true\n")
    local got = print_config({ "--config", path })
    assert.truthy(got.out:find("a?port = 1?.toml:1\n", 1, true), got.out)
  end)

  it("touches no store and needs no FILE that is there", function()
    assert.equal(0, print_config({ "--data", place.dir .. "/fresh", "nowhere.lua" }).code)
    assert.is_nil(place:read("fresh/data.mdb"))
  end)

  -- Texts that a file has to escape.
  local ODD = { "plain", "a b", 'say "hi"', "back\\slash", "tab\there", "line\nend", "é😀", "'", "#", "]", "\127", "\1", "[x]" }

  it("prints what gives the same when it is read back, whatever was set and how", function()
    local seed = tonumber(os.getenv("DA_SEED")) or os.time()
    math.randomseed(seed)
    local function any(list) return list[math.random(#list)] end
    for _ = 1, os.getenv("DA_LONG") and 1000 or 60 do
      local args, env, sections, top = {}, {}, {}, ""
      for _, row in ipairs(SETTINGS) do
        local listen = row[1] == "server.listen" or row[1] == "observability.metrics"
        if math.random() < 0.4 and not listen then
          local file, flag, shared = GIVEN[row[3]](math.random(1024), row[5])
          if row[3] == "text" then
            flag = any(ODD)
            shared = flag
            file = '"' .. flag:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
          end
          if row[2] == "step-threads" then file, flag = "7", "7" end
          local source = math.random(row[4] and 4 or 3)
          if source == 1 then
            local section, name = row[1]:match("^(.*)%.([%w_]+)$")
            if section then
              sections[section] = (sections[section] or ("[" .. section .. "]\n")) .. name .. " = " .. file .. "\n"
            else
              top = top .. row[1] .. " = " .. file .. "\n"
            end
          elseif source == 2 then
            table.move(flags_of(row, flag), 1, 4, #args + 1, args)
          else
            env[source == 3 and own_variable(row[2]) or shared_variable(row[1])] = source == 3 and flag or shared
          end
        end
      end
      for _, text in pairs(sections) do top = top .. text end
      local first = print_config(args, env, top)
      assert.equal(0, first.code, "seed " .. seed .. "\n" .. first.err .. "\n" .. top)
      local second = print_config({}, {}, first.out)
      assert.equal(0, second.code, "seed " .. seed .. "\n" .. second.err .. "\n" .. first.out)
      local before, keys = read_printed(first.out)
      local after = read_printed(second.out)
      for _, key in ipairs(keys) do
        assert.equal(before[key].value, after[key].value, "seed " .. seed .. ": " .. key .. "\n" .. first.out)
        local comes = before[key].value and not SETTLED[key] and key ~= "transports.http_push.auth.token"
        if comes then assert.truthy(after[key].from:find("server.toml:%d+$"), key .. ": " .. after[key].from) end
      end
    end
  end)
end)

describe("the help and README.md", function()
  it("tell the same of every setting", function()
    local help = program.run({ "serve", "--help" }).out:gsub("\n" .. (" "):rep(20) .. " +", " ") -- lines are broken to fit
    local found = printed()
    local file = assert(io.open("README.md"))
    local readme = file:read("a")
    file:close()
    local rows = {}
    for _, row in ipairs(SETTINGS) do
      local form, words = help:match("\n  (%-%-" .. row[2]:gsub("%-", "%%-") .. "[^\n]-)  +(%S[^\n]*) %["
        .. own_variable(row[2]) .. "%]")
      assert.truthy(form, row[2])
      rows[#rows + 1] = ("| `%s` | `%s` | %s |"):format(row[1], form, words)
      assert.truthy(found[row[1]])
    end
    local wanted = table.concat(rows, "\n")
    assert.truthy(readme:find(wanted, 1, true), "README.md should hold\n" .. wanted)
  end)
end)
