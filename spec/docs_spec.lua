-- docs_spec.lua - what README.md and lua/README.md say is so: their scripts run, their verbs and functions exist.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local program = require("spec.support.program")
local script = require("spec.support.script")
local serve = require("spec.support.serve")

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

local function blocks(text)
  local list = {}
  for block in text:gmatch("\n```lua\n(.-)\n```") do list[#list + 1] = block end
  return list
end

-- Runs every block of a text by `dahost test`: each is a script, with stand-ins for what it leaves out, and what the
-- test says of it holds. entries: { words that only this block has, stand-ins, test, more files, wrap = }; with wrap the
-- block is the body of `async.main`; with as_test it is the test file itself, and the stand-ins are `wf.lua`.
local function run_blocks(text, entries)
  local place = harness.place(true)
  local function write(name, code)
    local file = assert(io.open(place.dir .. "/" .. name, "w"))
    file:write(code)
    file:close()
  end
  local words = { "test" }
  for i, block in ipairs(blocks(text)) do
    local found
    for _, entry in ipairs(entries) do
      if block:find(entry[1], 1, true) then
        assert(not found, "two entries are of block " .. i .. ": " .. entry[1])
        found = entry
      end
    end
    assert(found, "no entry runs block " .. i .. ":\n" .. block)
    found.seen = true
    local head = 'local da = require "da"\nlocal async, await, step, pawait = da.async, da.await, da.step, da.pawait\n'
    if block:find('require "da"', 1, true) then head = "" end
    if found.wrap then block = "function async.main(" .. found.wrap .. ")\n" .. block .. "\nend" end
    for name, code in pairs(found[4] or {}) do write(name, head .. code) end
    words[#words + 1] = ("%s/block_%d_spec.lua"):format(place.dir, i)
    if found.as_test then
      write(("block_%d_spec.lua"):format(i), block)
    else
      write(("wf%d.lua"):format(i), head .. found[2] .. "\n" .. block .. "\n")
      write(("block_%d_spec.lua"):format(i), ('local t = require "da.test"\nlocal wf = t.script "wf%d.lua"\n' ..
        'it("is so: block %d", function()\n%s\nend)\n'):format(i, i, found[3]))
    end
  end
  for _, entry in ipairs(entries) do assert(entry.seen, "no block has " .. entry[1]) end
  local count = #words - 1
  for _, word in ipairs { "--", "-o", "plainTerminal" } do words[#words + 1] = word end
  local got = harness.dahost(words)
  harness.remove(place)
  assert.are.equal(0, got.code, got.out .. got.err)
  assert.is_truthy(got.out:find("%f[%d]" .. count .. " successes"), got.out)
end

local function run(block, func, args)
  return script.run { script = block, func = func, args = args }
end

describe("README.md", function()
  local text = read("README.md")

  it("begins with the two commands", function()
    assert.is_truthy(text:find("\n    sh examples/run ", 1, true))
    assert.is_truthy(text:find("\n    sh spec/run ", 1, true))
    assert.is_true(text:find("sh examples/run", 1, true) < text:find("\n## ", 1, true))
  end)

  it("shows a first workflow that prints what it says", function()
    local result = run(blocks(text)[1], "foo", { "world" })
    local shown = text:match("%$ dahost run hello.lua foo world\n(.-)\n\n")
    local lines = {}
    for line in shown:gmatch("[^\n]+") do lines[#lines + 1] = line:match("^%s*(.*)$") end
    assert.are.equal(4, #lines)
    assert.are.equal(lines[4] .. "\n", result.out)
    assert.is_truthy(result.err:find(lines[2] .. "\n", 1, true), result.err)
    assert.is_truthy(result.err:find(lines[3] .. "\n", 1, true), result.err)
  end)

  it("holds scripts that do what it says", function()
    run_blocks(text, {
      { "function async.foo", "", 'assert.equal("hello, world", t.run(wf.foo, { "world" }).value)' },
      { "da.promise(\"approval\"", "", 'assert.is_true(t.run(wf.main, {}, { resolve = { approval = { ok = true } } }).ok)',
        wrap = "" },
      { "bank.charge", [[
        local bank = { charge = function(_, _, key) return key end }
        function async.main() return await(step.charge("visa", 7)) end]],
        'assert.equal("main-1:charge.1", t.run(wf.main, {}).value)' },
      { "da.map(urls, step.fetch", "function step.reserve() end function step.quote() end function step.fetch() end",
        'assert.equal(5, #t.run(wf.main, { { "u" } }).steps)', wrap = "urls" },
      { "saga:on_fail", "function step.refund() end function step.charge() end function step.ship() end", [[
        local r = t.run(wf.main, { 1 }, { mock = { ["step.ship"] = function() error { code = "lost", fatal = true } end } })
        assert.same({ "lost", "refund" }, { r.error.code, r.steps[3].name })]], wrap = "order" },
      { "t.everywhere", "", "", { ["order.lua"] = [[
        function step.pack(what) return what end
        function async.order(what) if await(da.promise "approval").ok then return await(step.pack(what)) end end]] },
        as_test = true },
    })
  end)

  it("shows a server that answers", function()
    local section = text:match("\n## A server\n(.-)\n## ")
    local words = section:match("%$ dahost (serve[^\n]*)\n")
    local request, answer = section:match("%$ (curl .-'.-')\n    ([^\n]*)%.%.%.\n")
    local place = harness.place()
    local process
    process = harness.spawn({ words }, { env = { DAHOST_DATA = place.data }, on_line = function(said)
      if not said:find("^serving ") then return end
      local address = process.err:match("listening on (http://[%d.:]+)\n")
      local pipe = assert(io.popen((request:gsub("http://127%.0%.0%.1:8001", address))))
      process.answered = pipe:read("a")
      pipe:close()
      require("luv").kill(process.pid, "sigterm")
    end })
    harness.wait(process)
    harness.remove(place)
    assert.are.equal(answer, process.answered:sub(1, #answer))
  end)

  it("shows a workflow that curl calls, with the script it begins with", function()
    local section = text:match("\n### A workflow, called from curl\n(.-)\n### ")
    local place = program.place()
    place:write("hello.lua", blocks(text)[1])
    local server = serve.start(place, { section:match("%$ dahost serve ([^\n]*)\n") })
    local function typed(command)
      return program.run({}, { sh = command:gsub("127%.0%.0%.1:8001", server.address) }).out
    end
    local create, get, value = section:match("%$ (curl .-)\n    %$ (curl .-)\n    (\"[^\n]*)\n")
    assert.is_truthy(typed(create):find('"id":"foo-7"', 1, true))
    server:wait_for("foo-7 resolved")
    assert.equal(value, typed(get))
    serve.stop(server)
    place:remove()
  end)

  it("shows how a server gets tokens and TLS, in commands that work", function()
    local section = text:match("\n### In operation\n(.-)\n## ")
    local lines = {}
    for line in section:gmatch("\n    ([^\n]+)") do lines[#lines + 1] = line end
    local whole = table.concat(lines, "\n")
    local before, flags, after = whole:match("^(.-)\ndahost serve ([^\n]*)\n(.*)$")
    local place = program.place()
    local function typed(commands)
      local got = program.run({}, { cwd = place.dir, sh = "set -e\ndahost() { \"$0\" \"$@\"; }\n" .. commands })
      assert.equal(0, got.code, got.err)
      return got.out
    end
    typed(before .. "\n" .. section:match("`(openssl req [^`]*)`"))
    local words = {}
    for word in flags:gmatch("%S+") do words[#words + 1] = word end
    local server = serve.start(place, words)
    assert.is_truthy(server.err:find("demanding tokens signed for Ed25519", 1, true))
    after = after:gsub("localhost:8001", "localhost:" .. server.address:match("%d+$"))
    assert.is_truthy(typed(after):find('"promises": []', 1, true))
    local got = program.run({}, { cwd = place.dir, sh = 'dahost() { "$0" "$@"; }\n' .. after:gsub(" %-%-token.*", "") })
    assert.are.same({ 1, true }, { got.code, got.err:find("Unauthorized", 1, true) ~= nil })
    serve.stop(server)
    place:remove()
  end)

  it("shows a unit of systemd whose command is one", function()
    local words = { "serve" }
    local line = text:match("\nExecStart=%S+/dahost serve ([^\n]*)\n")
    local place = program.place()
    for word in line:gmatch("%S+") do words[#words + 1] = (word:gsub("%${STATE_DIRECTORY}", place.dir .. "/state")) end
    words[#words + 1] = "--print-config"
    local got = program.run(words, { cwd = place.dir })
    assert.equal(0, got.code, got.err)
    assert.is_truthy(got.out:find('data = "' .. place.dir .. '/state"', 1, true), got.out)
    place:remove()
  end)

  -- What each command of the table does when it is typed, at a place where `wf.lua` and an execution `order-7` are that
  -- waits for order-7:approval.1. The words behind `dahost`, and what must come of them.
  local TYPED = {
    ["run FILE [FUNCTION] [ARGS...]"] = { "run wf.lua double 4 --id d", "8\n" },
    ["serve [[GROUP=]FILE...]"] = { "serve wf.lua", "" },
    ["worker [GROUP=]FILE..."] = { "worker wf.lua --server http://127.0.0.1:1", "" }, -- nobody is there, and it stays up
    ["start FILE [FUNCTION] [ARGS...]"] = { "start wf.lua double 4 --id s", "s\n" },
    ["resume [ID...\\|--all]"] = { "resume d", "8\n" },
    ["ps"] = { "ps --json", '"id":"order-7"' },
    ["tree ID"] = { "tree order-7", "approval.1  pending" },
    ["get ID"] = { "get d", "value     8\n" },
    ["promise create\\|get\\|resolve\\|reject\\|cancel ID"] = {
      "promise create p", "pending", "promise get p", "pending", "promise resolve p 1", "resolved",
      "promise create q", "pending", "promise reject q no", "rejected", "promise create r", "pending",
      "promise cancel r", "canceled",
    },
    ["promise register-callback AWAITED AWAITER"] = { "promise register-callback order-7:approval.1 order-7",
      '"id": "order-7:approval.1"' },
    ["promise register-listener AWAITED ADDRESS"] = {
      "promise register-listener order-7:approval.1 poll://uni@g/1", '"state": "pending"' },
    ["invoke ID --func NAME [--arg X]..."] = { "invoke i --func double --arg 4 --target poll://any@gpu", '"id": "i"' },
    ["task get\\|create\\|claim\\|fence\\|heartbeat\\|suspend\\|complete\\|release\\|halt\\|continue\\|search"] = {
      "task get i", '"state": "pending"', "task claim i --pid p --ttl 1m --version 0", '"version": 1',
      'task fence i --version 1 --action {"kind":"promise.create","head":{},"data":{"id":"i:0","timeoutAt":9000000000000000}}',
      '"id": "i:0"',
      'task heartbeat --pid p --tasks [{"id":"i","version":1}]', "{}",
      'task suspend i --version 1 --actions [{"kind":"promise.register_callback","head":{},"data":' ..
        '{"awaiter":"i","awaited":"i:0"}}]', "{}",
      "promise resolve i:0 1", "resolved",
      "task claim i --pid p --ttl 1m --version 1", '"version": 2', "task release i --version 2", "{}",
      "task halt i", "{}", "task continue i", "{}", "task search --state pending", '"id": "i"',
      "task claim i --pid p --ttl 1m --version 2", '"version": 3',
      'task complete i --version 3 --action {"kind":"promise.settle","head":{},"data":{"id":"i","state":"resolved"}}',
      '"state": "resolved"',
      'task create t --pid p --ttl 1m --tags {"resonate:target":"poll://any@gpu"}', '"state": "acquired"' },
    ["promise search [PREFIX]"] = { "promise search order- --tag phase=waiting", "order-7  pending    workflow order" },
    ["schedule create\\|get\\|delete\\|search\\|next"] = {
      "schedule create n @daily double 4", "function  double", "schedule get n", "catch up  all", "schedule search",
      "@daily",
      "schedule delete n", "args      [4]", "schedule next @daily --limit 1", " 00:00:00+00:00 ",
    },
    ["migrate ID FILE"] = { "migrate order-7 new.lua --dry-run", "would wait, waiting for order-7:approval.1",
      "migrate order-7 new.lua", "kind      workflow" },
    ["send CHANNEL JSON"] = { "send order-7/in 1 --json", '"messages":1' },
    ["queue [NAME]"] = { "queue", "order-7/in  channel    1 message", "queue order-7/in", "message  1" },
    ["cancel ID [WHY]"] = { "cancel order-7 enough", "order-7", "cancel order-7 --hard", "completed, canceled" },
    ["continue ID"] = { "continue parks", "running", "resume parks", "" },
    ["repl [FILE]"] = { "repl wf.lua", "" },
    ["check FILE..."] = { "check fine.lua", "" },
    ["stubs [GROUP=]FILE..."] = { "stubs wf.lua", "---@field double da.Function|fun(n: any)" },
    ["test FILE..."] = { "test t.lua -- -o plainTerminal", "1 success " },
    ["get ID --history"] = { "get order-7 --history", '{"dahost_history":1,"id":"order-7",' },
    ["replay HISTORY FILE"] = { "replay h.json new.lua", "order-7  order  fits: 1 recorded call" },
    ["verify"] = { "verify", "" },
    ["version"] = { "version", "dahost " },
    ["help"] = { "help", "usage: dahost VERB" },
  }
  local ORDER = { "run FILE [FUNCTION] [ARGS...]", "serve [[GROUP=]FILE...]", "worker [GROUP=]FILE...", "start FILE [FUNCTION] [ARGS...]",
    "resume [ID...\\|--all]", "ps",
    "tree ID", "get ID", "promise register-callback AWAITED AWAITER", "promise register-listener AWAITED ADDRESS",
    "invoke ID --func NAME [--arg X]...",
    "task get\\|create\\|claim\\|fence\\|heartbeat\\|suspend\\|complete\\|release\\|halt\\|continue\\|search",
    "promise create\\|get\\|resolve\\|reject\\|cancel ID", "promise search [PREFIX]",
    "schedule create\\|get\\|delete\\|search\\|next",
    "migrate ID FILE", "send CHANNEL JSON", "queue [NAME]", "cancel ID [WHY]",
    "continue ID", "repl [FILE]", "check FILE...", "stubs [GROUP=]FILE...", "verify", "version", "help",
    "test FILE...", "get ID --history", "replay HISTORY FILE" }

  it("lists commands that do what they say", function()
    local section = text:match("\n## Command line\n(.-)\n## ")
    local named = {}
    for command in section:gmatch("`dahost ([^`]+)`") do named[command] = true end
    for command in pairs(named) do assert.is_truthy(TYPED[command], "no spec types `dahost " .. command .. "`") end
    local place = harness.place()
    local wf = [=[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function async.double(n) return 2 * n end
function async.order() da.publish("phase", "waiting") return await(da.promise("approval")) end
function step.f(n) return n end
function async.parks()
  local n = 0
  await(step("count", function() n = n + 1 end))
  await(step.f(n))
  await(da.sleep(0.3))
  return n
end]=]
    local function write(name, code)
      local file = assert(io.open(place.dir .. "/" .. name, "w"))
      file:write(code)
      file:close()
    end
    for name, code in pairs { ["wf.lua"] = wf, ["new.lua"] = wf .. "\n-- the same, but for this line\n",
      ["fine.lua"] = wf:gsub("n = n %+ 1", "return n + 1") } do
      write(name, code)
    end
    write("t.lua", 'local t = require "da.test" it("doubles", function() ' ..
      'assert.equal(8, t.run(t.script("wf.lua").double, { 4 }).value) end)')
    local function typed(line)
      local words = {}
      for word in line:gmatch("%S+") do words[#words + 1] = word:find("%.%l+$") and place.dir .. "/" .. word or word end
      local env = { DAHOST_DATA = place.data, DAHOST_WARM = "0" }
      local process
      process = harness.spawn(words, { env = env, on_line = function(said)
        if said:find("^serving ") or said:find("cannot be reached", 1, true) then require("luv").kill(process.pid, "sigterm") end
      end })
      return harness.wait(process)
    end
    assert.are.equal(3, typed("run wf.lua parks --id parks").code)
    local order = harness.spawn({ "run", place.dir .. "/wf.lua", "order", "--id", "order-7", "--data", place.data })
    while typed("get order-7:approval.1").code ~= 0 do assert.is_nil(order.ended) end
    require("luv").kill(order.pid, "sigkill")
    harness.wait(order)
    write("h.json", typed("get order-7 --history").out)
    for _, command in ipairs(ORDER) do
      assert.is_true(named[command], "`dahost " .. command .. "` is not in the table")
      local steps = TYPED[command]
      for i = 1, #steps, 2 do
        local got = typed(steps[i])
        assert.are.equal(steps[i] == "resume parks" and 3 or 0, got.code, steps[i] .. ": " .. got.err)
        assert.is_truthy(got.out:find(steps[i + 1], 1, true), steps[i] .. ": " .. got.out)
      end
    end
    harness.remove(place)
  end)

  it("names flags and exit codes that exist", function()
    local section = text:match("\n## Command line\n(.-)\n## ")
    local help = harness.dahost({ "help" }).out
    for verb, second in help:gmatch("\n  (%l+) ([%l-]*)") do
      local family = verb == "promise" or verb == "task" or verb == "schedule"
      help = help .. harness.dahost(family and { verb, second, "--help" } or { verb, "--help" }).out
    end
    for flag in section:gmatch("%-%-%l[%l-]+") do
      assert.is_truthy(help:find(flag, 1, true), flag .. " is described but does not exist")
    end
    local codes = harness.dahost({ "run", "--help" }).out:match("Exit code: (.-)\n\n")
    for code in section:match("Exit codes of `run`: (.-)%(Ctrl"):gmatch("%d+") do
      assert.is_truthy(codes:find("%f[%d]" .. code .. "%f[%D]"), "exit code " .. code .. " is not in the help")
    end
  end)

  it("runs a worker of a server elsewhere", function()
    local section = text:match("\n### Workers on other machines\n(.-)\n### ")
    local place = program.place()
    place:write("hello.lua", read("examples/hello.lua"))
    local server = serve.start(place, { "--listen", "127.0.0.1:0" })
    local lines = {}
    for line in section:gmatch("\n    %$ dahost ([^\n]+)") do
      local words = {}
      for word in line:gmatch("%S+") do words[#words + 1] = (word:gsub("127%.0%.0%.1:8001", server.address)) end
      lines[#lines + 1] = words
    end
    assert.same({ "serve" }, lines[1])
    local worker = program.spawn(lines[2], { cwd = place.dir })
    worker:wait_for("serves default for http://" .. server.address .. ": bar, foo (hello.lua)")
    assert.is_truthy(section:find("serves default for http://127.0.0.1:8001: bar, foo (hello.lua)", 1, true))
    local got = program.run(lines[3], { cwd = place.dir })
    assert.are.equal(0, got.code, got.err)
    worker:wait_for("foo-8 resolved")
    worker:signal_with("sigterm"):wait()
    assert.are.equal(0, worker.code, worker.err)
    serve.stop(server)
    place:remove()
  end)

  it("asks a server with commands that it takes", function()
    local section = text:match("\n### Asking a server\n(.-)\n## ")
    local place = program.place()
    place:write("wf.lua", 'local da = require "da"\nfunction da.async.order(what, n) return n .. " " .. what end\n')
    local server = serve.start(place, { "wf.lua", "--listen", "127.0.0.1:0" })
    local count = 0
    for line in section:gmatch("\n    dahost ([^\n]+)") do
      local words = {}
      for word in line:gmatch("%S+") do
        words[#words + 1] = word == "http://localhost:8001" and "http://" .. server.address or word
      end
      local got = program.run(words, { cwd = place.dir })
      assert.are.equal(0, got.code, line .. ": " .. got.err)
      count = count + 1
      assert.is_truthy(got.out:find(words[1] == "stubs" and "\n---@field order da.Function" or "order-7", 1, true), got.out)
    end
    assert.are.equal(4, count)
    serve.stop(server)
    place:remove()
  end)

  it("names verbs that exist", function()
    local seen = 0
    for verb in text:gmatch("`dahost ([a-z]+)") do
      local result = harness.dahost { verb, "--help" }
      assert.are.equal(0, result.code, verb .. ": " .. result.err)
      seen = seen + 1
    end
    assert.is_true(seen >= 12)
  end)
end)

describe("host/ARCHITECTURE.md", function()
  local text = read("host/ARCHITECTURE.md")

  local function sources()
    local pipe = io.popen("cat host/*/*.[ch] bindings/*.[ch] lua/da/*.lua")
    local all = pipe:read("a")
    pipe:close()
    return all
  end

  it("names functions that exist", function()
    local all, seen = sources(), 0
    for name in text:gmatch("`([%a_]+)%(%)`") do
      assert.is_truthy(all:find("%f[%w_]" .. name .. "%("), name .. "() is described but does not exist")
      seen = seen + 1
    end
    assert.is_true(seen >= 20)
  end)

  it("names files that exist", function()
    for name in text:gmatch("`([%w_/]+%.[chlua]+)`") do
      local pipe = io.popen("find . -path ./build -prune -o -path '*/" .. name .. "' -print")
      local found = pipe:read("a")
      pipe:close()
      assert.is_true(found ~= "", name .. " is described but does not exist")
    end
  end)
end)

describe("lua/README.md", function()
  local text = read("lua/README.md")

  it("begins with a script that runs", function()
    local result = run(blocks(text)[1], "bill", { '["tea","cake"]' })
    assert.are.equal("8\n", result.out, result.err)
  end)

  it("holds scripts that do what it says", function()
    run_blocks(text, {
      { "function async.bill", "", 'assert.equal(8, t.run(wf.bill, { { "tea", "cake" } }).value)' },
      { "Takes money.", "", 'assert.equal("visa paid 7 with key pay-1:charge.1", t.run(wf.pay, { "visa", 7 }).value)' },
      { "function async.offers", "function step.quote(item, place) return place .. #item end", [[
        local r = t.run(wf.offers, { { "tea", "milk" } }).value
        assert.same({ "south3", "north3", 2, "timedout" }, { r.first, r.north, r.n, r.approved })
        assert.equal(({ "east3", "west3" })[r.index], r.best)]] },
      { "function async.book", "function step.reserve() end function step.release() end", [[
        assert.equal("booked", t.run(wf.book, { 1 }, { resolve = { payment = true } }).value)
        local r = t.run(wf.book, { 1 }, { at = { { "1h", function(h) h:cancel "no" end } } })
        assert.same({ "canceled", "release" }, { r.state, r.steps[2].name })]] },
      { "async.receipt:detach(id)", [[
        function step.pack() end
        function step.print() end
        function async.receipt() await(da.sleep "3d") await(step.print()) end]], [[
        local r = t.run(wf.order, { 1 }, { detached = true })
        assert.same({ 0, 2, "print" }, { r.elapsed, #r.steps, r.steps[2].name })]] },
      { "function async.expense", "function step.mail(to, text) return to .. text end", [[
        local r = t.run(wf.expense, { { boss = "bo" } }, { resolve = { approval = true } })
        assert.same({ "paid", "bodahost promise resolve expense-1:approval.1 true" }, { r.value, r.steps[1].value })
        assert.equal("escalated", t.run(wf.expense, { { boss = "bo" } }).value)]] },
      { "function async.ids", "", 'assert.same({ "ids-1", "ids-1:child.2", n = 2 }, t.run(wf.ids, {}).results)' },
      { "function async.keep_warm", "", [[
        local heat, opened = { 18.5, 22 }, 0
        local function read() return table.remove(heat, 1) or error { code = "no_answer", message = "dead", fatal = true } end
        local mock = { ["native.sensor.read"] = read,
          ["native.valve.open"] = function() opened = opened + 1 end, ["native.valve.close"] = 1 }
        assert.same({ "18.5 open", "22.0 close", "no_answer" }, t.run(wf.keep_warm, { 20, 3 }, { mock = mock }).value)
        assert.equal(1, opened)]] },
      { "function async.publish(folder)", "", [[
        local written
        local mock = { ["native.exec.run"] = { code = 0, out = "made", err = "" }, ["native.fs.read"] = function(path) return path end,
          ["native.fs.list"] = function() return { { name = "a", kind = "file" }, { name = "b", kind = "file" } } end,
          ["native.fs.write"] = function(path, text) written = { path, text } end }
        assert.same({ 2, "made", n = 2 }, t.run(wf.publish, { "site" }, { mock = mock }).results)
        assert.equal("site/index.json", written[1])
        assert.equal(64, #written[2]:match '^%[\n  {\n    "name": "a",\n    "sha256": "(%x+)"\n  },')]] },
      { "da.progress(0, 1,", "", [[
        assert.same({ "paid 7", 1, "receipt of 7", n = 3 }, t.run(wf.pay, { "visa", 7 }).results)
        assert.equal("no_card", t.run(wf.pay, { "", 7 }).error.code)]] },
      { "function async.values", "function step.echo(...) return ... end",
        'assert.same({ "integer", "float", 0, true, n = 4 }, t.run(wf.values, {}).results)' },
      { "function async.report(url)", 'function step.fetch(url) return assert(url ~= "bad" and url) end', [[
        assert.equal("fine", t.run(wf.report, { "fine" }).value)
        local e = t.run(wf.report, { "bad" }).error
        assert.same({ "no_report", "bad", 5 }, { e.code, e.url, e.cause.attempts })]] },
      { "function async.stamp", "", [[
        local r = t.run(wf.stamp, {}).results
        assert.equal("00:00:00", r[1])
        assert.is_true(r[2] > 0.0499 and r[2] < 0.0501 and r[3] <= 6)]] },
      { "function async.transfer", "function step.post() end function step.reverse() end", [[
        local r = t.run(wf.transfer, { "a", "b", 7 }, { mock = { ["step.post"] = function(account)
          if account == "b" then error { code = "closed", fatal = true } end
        end } })
        assert.same({ "closed", "reverse", "reverse" }, { r.error.code, r.steps[3].name, r.steps[4].name })
        assert.equal("transfer-1/in", r.steps[3].args[1])]] },
      { "function async.cart", "function step.charge(order) return order.sku end", [[
        assert.equal("tea", t.run(wf.cart, {}, { send = { ["/orders"] = { { sku = "tea" } } } }).value)
        assert.equal("abandoned", t.run(wf.cart, {}).value)]] },
      { "function async.render", "", [[
        assert.equal("<m1><m2>", t.run(wf.render, { "m" }, { groups = { gpu = t.script "gpu.lua" } }).value)]],
        { ["gpu.lua"] = [[
          function async.split(movie) return { movie .. 1, movie .. 2 } end
          function async.shade(scene) return "<" .. scene .. ">" end
          function async.encode(frames) return table.concat(frames) end]] } },
      { "cart.currency", "function step.charge(...) return ... end", [[
        assert.same({ 7, "eur", n = 2 }, t.run(wf.order, { { total = 7, currency = "eur" } }).results)]] },
      { "da.schedule(\"report-north\"", "", [[
        local names = {}
        for _, one in ipairs(t.schedules(wf, "1d", {})) do names[one.id:match "^[^.]+"] = one.value end
        assert.same({ ["report-north"] = "report of north", heartbeat = "report of all" }, names)]] },
      { "function async.meter", "function step.reading() return 1 end", [[
        local n = 0
        local r = t.run(wf.meter, {}, { mock = { ["step.reading"] = function()
          n = n + 1
          if n > 250 then error { code = "stop", fatal = true } end
          return 1
        end } })
        assert.same({ "stop", "meter-1:~3.reading.51" }, { r.error.code, r.error.promise })]] },
      { "function async.ship", "function step.pack() end function step.hand_over(order) return #order.items end", [[
        assert.equal(2, t.run(wf.ship, { { items = { "a", "b" } } }).value)]] },
      { "address check", "function step.check() end function step.old_check() end",
        'assert.equal("check", t.run(wf.order, { 1 }).steps[1].name)' },
      { "asks the bank again", "", "", { ["shop.lua"] = [[
        function step.charge() end
        function async.order(_, n)
          if await(da.promise "approval").ok then return await(step.charge(n * 250)) end
        end]] }, as_test = true },
    })
  end)

  it("begins with its contents", function()
    local contents = text:match("\n%*%*Contents%*%*\n\n(.-)\n\n## ")
    local listed, there = {}, {}
    for name, anchor in contents:gmatch("%[([^%]]+)%]%(#([^)]+)%)") do
      assert.are.equal(name:lower():gsub("[^%w %-]", ""):gsub(" ", "-"), anchor)
      listed[#listed + 1] = name
    end
    for name in text:gmatch("\n###? ([^\n]+)") do there[#there + 1] = name end
    assert.are.same(there, listed)
  end)

  it("names functions of da that exist, and leaves none out", function()
    local code = [[
      local da = require "da"
      function da.step.names() local list = {} for k in pairs(da) do list[#list + 1] = k end return list end
      function da.async.main()
        local all = {}
        for k in pairs(da) do all[k] = true end
        for _, k in ipairs(da.await(da.step.names())) do all[k] = true end
        local list = {}
        for k in pairs(all) do list[#list + 1] = k end
        return table.concat(list, " ")
      end]]
    local result = script.run { script = code }
    assert.are.equal(0, result.code, result.err)
    local exists, named = {}, {}
    for name in result.out:gmatch("[%a_]+") do exists[name] = true end
    for name in text:gmatch("da%.([%a_]+)") do named[name] = true end
    for _, name in ipairs { "async", "await", "step", "pawait" } do named[name] = true end
    named.Error, named.test = nil, nil -- a metatable, a module
    for name in pairs(named) do assert.is_true(exists[name], "da." .. name .. " is described but does not exist") end
    for name in pairs(exists) do
      if name ~= "_VERSION" then assert.is_true(named[name], "da." .. name .. " is not described") end
    end
  end)
end)
