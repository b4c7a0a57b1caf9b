-- cli_careless_spec.lua - what a careless hand gives: control characters, empty words, words without an end, tags that are
-- none, names that lack a part; and that many can be migrated where another process holds them.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local program = require("spec.support.program")
local screen = require("spec.support.screen")

local run = cli.run

describe("the command line, carelessly used,", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

  local function refused(words, ...)
    local got = run(...)
    assert.are.same({ 2, "" }, { got.code, got.out })
    assert.matches(words, got.err, 1, true)
  end

  it("keeps its columns where a name holds control characters", function()
    for _, name in ipairs { "plain", "a\27[31mb\7", "日本" } do
      assert.are.equal(0, run("start", script, "waits", "--id", name).code)
      assert.are.equal(0, run("schedule", "create", name, "@daily", "echo").code)
    end
    local function column(word, ...)
      local shown = screen(run(...).out:gsub("\n", "\r\n"), 200)
      local found = {}
      for i = 1, #shown.lines do
        local text = shown:line(i)
        local at = text:find(word, 1, true)
        if at then found[#found + 1] = utf8.len(text, 1, at) + (text:find("日", 1, true) and 2 or 0) end
      end
      assert.are.equal(3, #found)
      assert.are.same({ found[1], found[1] }, { found[2], found[3] })
    end
    column("waits", "ps")
    column("@daily", "schedule", "search")
    column("pending", "promise", "search")
  end)

  it("makes one row of what has line ends in its name", function()
    assert.are.equal(0, run("start", script, "waits", "--id", "a\nb  waits\tc").code)
    assert.are.equal(0, run("schedule", "create", "s\nt", "@daily", "echo").code)
    for words, head in pairs { ["ps"] = 1, ["promise search"] = 0, ["schedule search"] = 1, ["cancel --where func=waits --dry-run"] = 0 } do
      local list = {}
      for word in words:gmatch("%S+") do list[#list + 1] = word end
      local got = run(table.unpack(list))
      assert.are.equal(0, got.code, got.err)
      assert.are.equal(head + 1, select(2, got.out:gsub("\n", "")), got.out)
    end
    assert.are.equal(1, select(2, run("tree", "a\nb  waits\tc").out:gsub("\n", "")))
  end)

  it("says no more of an operand without an end than a screen holds", function()
    local long = ("x"):rep(100000)
    for _, words in ipairs { { "ps", "--state", long }, { "schedule", "next", long }, { long }, { "run", long }, { "tree", long } } do
      local got = program.run(words, { data = place.data, cwd = place.dir })
      assert.are_not.equal(0, got.code)
      assert.is_true(#got.err < 17000, #got.err)
      assert.are.equal("\n", got.err:sub(-1))
    end
    local got = run("ps", "--state", long)
    assert.matches("^dahost: no state 'xxx.* %[%.%.%.%] x+'; there are running, suspended, completed, parked, all\n$", got.err)
  end)

  it("refuses tags that f:with{tags=} would refuse, and shows those there are", function()
    local many, long = {}, ("v"):rep(257)
    for i = 1, 17 do many[i] = ('"k%d":"v"'):format(i) end
    for _, verb in ipairs { "run", "start" } do
      refused("--tags: names that begin with 'resonate:' or 'dahost:' are the runtime's own", verb, script, "echo",
        "--tags", '{"dahost:detached":"other"}')
      refused("--tags: a name has 1 to 256 bytes", verb, script, "echo", "--tags", '{"":"v"}')
      refused("--tags: a name has 1 to 256 bytes", verb, script, "echo", "--tags", '{"k":"' .. long .. '"}')
      refused("--tags: 16 tags are the most", verb, script, "echo", "--tags", "{" .. table.concat(many, ",") .. "}")
    end
    assert.are.equal(0, run("run", script, "echo", "--id", "x", "--tags", '{"customer":"ada","kind":"a,b"}').code)
    assert.matches("\ntags +customer = ada\n +kind = a,b\n", run("get", "x").out)
    assert.are.equal(0, run("run", script, "echo", "--id", "y").code)
    assert.not_matches("tags", run("get", "y").out)
  end)

  it("names the part that is empty", function()
    assert.are.equal(0, run("start", script, "waits", "--id", "x").code)
    refused("'/orders' names no channel: a name has 1 to 200 bytes and no control characters", "send", "/orders", "1")
    refused("'x/' names no channel", "send", "x/", "1")
    refused("'x?[31m' names no channel: a name has 1 to 200 bytes and no control characters", "send", "x\27[31m", "1")
    for usage, words in pairs {
      ["schedule create ID CRON F [ARG...]"] = { "schedule", "create", "", "@daily", "echo" }, ["continue ID"] = { "continue", "" },
      ["run FILE [FUNCTION] [ARG...]"] = { "run", "" }, ["serve [[GROUP=]FILE...]"] = { "serve", "" }, ["get ID"] = { "get", "" },
    } do
      refused("an operand is empty; usage: dahost " .. usage, table.unpack(words))
    end
    assert.are.equal(0, run("promise", "search", "").code)
    assert.are.equal('""\n', run("run", script, "echo", "").out)
    refused("CRON is empty; usage: dahost schedule create ID CRON F", "schedule", "create", "s", "", "echo")
    refused("F is empty", "schedule", "create", "s", "@daily", "")
    assert.matches("no schedule here", run("schedule", "search").err, 1, true)
    refused("'published.' wants a key: published.KEY=VALUE", "ps", "--where", "published.=x")
  end)

  it("tells the deadline that was given, and that a promise whose own has passed is settled", function()
    assert.are.equal(0, run("start", script, "waits", "--id", "x", "--timeout", "1h").code)
    local row = cli.row_of(run("get", "x", "--json").out)
    local soft = math.tointeger(tonumber(row.tags["dahost:deadline"]))
    assert.are.equal(60000, row.timeoutAt - soft)
    local shown = run("get", "x").out
    assert.matches("\ndeadline +[%d-]+ " .. os.date("%H:%M:%S", soft // 1000), shown)
    assert.matches("\ncut off +[%d-]+ " .. os.date("%H:%M:%S", row.timeoutAt // 1000), shown)
    assert.are.equal(0, run("promise", "create", "p", "--timeout", "0").code)
    local got = run("promise", "resolve", "p", "1")
    assert.are.equal(1, got.code)
    assert.matches("p was timedout before, %d+ m?s ago; nothing changed", got.err)
    assert.not_matches("cut off", got.out)
  end)

  it("tells that what tests told was not written", function()
    local spec = place:write("good_spec.lua", 'it("passes", function() end)')
    local got = cli.with(">/dev/full", "test", spec)
    assert.are.equal(74, got.code)
    assert.matches("cannot write to stdout what the tests told", got.err, 1, true)
    assert.are.equal(0, cli.with(">/dev/null", "test", spec).code)
  end)

  it("migrates many that another process holds: those that wait there go on with the new code", function()
    local OLD = "local da = require 'da'\nfunction da.async.one(n)\n  local v = da.await(da.promise 'go')\n  return 'old ' .. v\nend\n"
    local old, new = place:write("old.lua", OLD), place:write("new.lua", (OLD:gsub("'old '", "'new '")))
    local worse = place:write("worse.lua", (OLD:gsub("'go'", "'come'")))
    local process = place:spawn("serve", old):wait_for("serving")
    for i = 1, 3 do
      assert.are.equal(0, run("start", old, "one", "--id", "m" .. i).code)
      while not run("ps", "--json", "--where", "id=m" .. i).out:find('"suspended"', 1, true) do end
    end
    local got = run("migrate", "--where", "func=one", worse)
    assert.are.equal(3, got.code, got.out .. got.err)
    assert.matches("3 executions, of which 3 refused", got.err, 1, true)
    got = run("migrate", "m1", worse, "--dry-run")
    assert.are.equal(3, got.code)
    assert.matches("nothing was changed; without --dry-run it is refused, unless --force is given", got.err, 1, true)
    got = run("migrate", "--where", "func=one,id!=m3", new, "--dry-run")
    assert.are.equal(0, got.code, got.err)
    assert.matches("2 executions; nothing was changed", got.err, 1, true)
    got = run("migrate", "--where", "func=one,id!=m3", new)
    assert.are.equal(0, got.code, got.err)
    assert.are.equal("m1  runs the new code from now on\nm2  runs the new code from now on\n", got.out)
    for id, wanted in pairs { m1 = '"new x"\n', m2 = '"new x"\n', m3 = '"old x"\n' } do
      assert.are.equal(0, run("promise", "resolve", id .. ":go.1", '"x"').code)
      assert.are.equal(wanted, run("resume", id).out)
    end
    process:signal_with("sigterm"):wait()
    assert.are.equal(0, process.code)
    assert.are.equal(0, run("verify").code)
  end)

  it("tells whom it waits for, when the holder of the store does not answer", function()
    local process = place:spawn("serve", script):wait_for("serving")
    assert.are.equal(0, run("start", script, "waits", "--id", "x").code)
    process:signal_with("sigstop")
    local asking = place:spawn("ps"):wait_for(("waiting for process %d, which holds the store"):format(process.pid))
    process:signal_with("sigcont")
    asking:wait()
    assert.are.equal(0, asking.code)
    assert.matches("\nx +waits ", asking.out)
    process:signal_with("sigterm"):wait()
  end)

  it("tells that a list of queues was cut short", function()
    assert.are.equal(0, run("start", script, "waits", "--id", "x").code)
    for i = 1, 3 do assert.are.equal(0, run("send", "c" .. i, "1").code) end
    local got = run("queue", "--limit", "2")
    assert.are.same({ 0, 2 }, { got.code, select(2, got.out:gsub("\n", "")) })
    assert.matches("there may be more: --limit N", got.err, 1, true)
    assert.are.equal("", run("queue").err)
  end)

  it("finds every verb of the overview in README's table", function()
    local file = assert(io.open("README.md"))
    local readme = file:read("a")
    file:close()
    for line in run("help").out:gmatch("\n  (%l[^\n]*)") do
      local verb, second = line:match("^(%l+) ([%l-]*)")
      local rows = 0
      for row in readme:gmatch("\n(| `dahost [^\n]*)") do
        if row:find("dahost " .. verb .. "%f[%A]") and (second == "" or row:find(second, 1, true)) then rows = rows + 1 end
      end
      assert.is_true(rows > 0, line)
    end
  end)
end)
