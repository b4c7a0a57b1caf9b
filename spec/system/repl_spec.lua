-- repl_spec.lua - dahost repl: lines by pipe and on a terminal, its commands, its deaths.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local cli = require("spec.support.cli")
local program = require("spec.support.program")

-- Steps note their runs in a file, for nobody to believe that one ran twice.
local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.add(n, path)
  local file = assert(io.open(path or "ledger", "a"))
  file:write("add ", n, "\n")
  file:close()
  return n
end
function step.slow(n) os.execute("sleep 0.2") return n end
function async.foo(n)
  local v = await(step.add(n))
  await(da.sleep "1h")
  return 2 * v
end
function async.fails() da.error("no_stock", "none left", { amount = 7, list = { 1, 2 } }) end
print "loaded"
]]

-- A line that waits until the step of a child has its record. One that is in flight when a session ends may run again.
local function recorded(id)
  return ("for _ = 1, 1000 do if da.pawait(da.get(%s)) then break end await(da.sleep '10ms') end"):format(id)
end

describe("dahost repl", function()
  local place, wf

  before_each(function()
    place = cli.begin()
    wf = place:write("my.lua", SCRIPT)
  end)
  after_each(cli.finish)

  -- Feeds the lines to a session in memory, or with --data in the place's store.
  local function feed(lines, words, env)
    place:write("lines", lines)
    words = words or {}
    table.insert(words, 1, "repl")
    return program.run(words, { cwd = place.dir, streams = "<lines", env = env })
  end

  local function session(lines, ...)
    return feed(lines, { wf, "--data", place.data, "--id", "s", ... })
  end

  local function ledger()
    return select(2, (place:read("ledger") or ""):gsub("add", ""))
  end

  -- Both streams, since what they hold is for the same reader.
  local function shown(lines, ...)
    local got = feed(lines, { ... })
    assert.are.equal(0, got.code, got.err)
    return got.out
  end

  it("shows values readably, tables over lines where they are long", function()
    assert.are.equal("2\n", shown("1 + 1"))
    assert.are.equal('10\t"two\\n"\tnil\t1.0\n', shown('=10, "two\\n", nil, 1.0'))
    assert.are.equal('{ 1, 2, [2.5] = {}, a = { b = "c" }, ["d e"] = true }\n',
      shown('{ 1, 2, a = { b = "c" }, ["d e"] = true, [2.5] = {} }'))
    assert.are.equal(('{\n  "%s",\n  nested = {\n    "%s",\n    "y"\n  }\n}\n'):format(("x"):rep(60), ("x"):rep(75)),
      shown('{ ("x"):rep(60), nested = { ("x"):rep(75), "y" } }'))
    assert.matches("^{\n  1,\n.*  100,\n  %.%.%. %(20 more%)\n}\n$", shown("t = {} for i = 1, 120 do t[i] = i end\nt"))
    assert.matches("^{ me = <table: #%d+ again> }\n$", shown("t = {} t.me = t\nt"))
    assert.matches("^table: #%d+\n$", shown("{ [{}] = 1 }"))
    assert.matches("^async%.foo\tfunction: .*\n$", shown("foo, print", wf):match("\n(.*)"))
  end)

  it("keeps globals, shows locals for their line, and goes on while a line is not complete", function()
    assert.are.equal("5\nnil\ni\t1\ni\t2\n7\n3\n", shown(table.concat({ "x = 5", "local y = 3 x = x", "x", "y",
      "for i = 1, 2 do", "", '  print("i", i)', "end", "function seven()", "return 7", "end", "seven()",
      "return math.max(", "1, 3)" }, "\n")))
    assert.are.equal("1\t1\n", shown("_G.a = 1\na, _G.a"))
    assert.are.equal("4\n5\n", shown("4\n_ + 1"))
  end)

  it("shows errors with their fields, and goes on", function()
    local out = shown(table.concat({ 'error "oops"', "await(fails())", "nonsense()", "1 +* 2", 'da.error("mine", "words", { n = 1 })',
      "function f() error(\"deep\") end", "f()", "'still here'" }, "\n"), wf)
    assert.matches("\n[error] stdin:1: oops\n[no_stock] none left (promise repl:fails.1)\n  amount = 7\n  list = { 1, 2 }\n" ..
      "  at my.lua:15: in function <my.lua:15>\n[error] stdin:1: attempt to call a nil value (global 'nonsense')\n" ..
      "stdin:1: unexpected symbol near '1'\n[mine] words\n  n = 1\n[error] stdin:1: deep\n  at stdin:1: in ", out, 1, true)
    assert.matches("\n\"still here\"\n$", out)
  end)

  it("starts children, which go on beside it, and shows the tree", function()
    local got = feed("p = foo(21)\np\nq = async.foo(1)\nawait(step.add(3))\n" .. recorded "p.id .. '.add.1'" .. "\n:tree\n", { wf })
    assert.are.equal(0, got.code, got.err)
    assert.matches("^loaded\npromise 'repl:foo.1' %(made at stdin:1%)\n3\nrepl  repl%.session  ", got.out)
    assert.matches("\n  foo%.1  %l+ [^\n]*\n    add%.1  resolved [^\n]*\n    ~sleep%.1  pending [^\n]*\n  foo%.2 ", got.out)
    assert.matches("\n  add%.1  resolved [^\n]*\n$", got.out)
    assert.is_nil(got.out:find("\n  line", 1, true))
  end)

  it("dies and comes back on :crash: earlier lines are run again, no step is", function()
    local got = feed(table.concat({ "n = 1", "n = n + await(step.add(2))", "p = foo(4)", "await(step.add(5))",
      recorded "p.id .. '.add.1'", ":crash", "n",
      "n = n + await(step.add(6))", ":crash", "n, da.id()", ":tick 1h", "await(p)" }, "\n"), { wf })
    assert.are.same({ 0, "loaded\n5\n3\n9\t\"repl\"\n8\n" }, { got.code, got.out }, got.err)
    assert.are.equal(2, select(2, got.err:gsub("\nrepl restarted: %d+ save points replayed", "", 2)) +
      select(2, got.err:gsub("^repl restarted: %d+ save points replayed", "")))
    assert.are.equal(4, ledger())
  end)

  it("runs no line that it could not take whole", function()
    local got = feed(("x = 1 -- %s\nx\ny = 2 -- %s\ny\n"):format(("z"):rep(1 << 20), ("z"):rep(900000)))
    assert.are.same({ 0, "nil\n2\n" }, { got.code, got.out })
    assert.are.equal("dahost: that is longer than 1048576 bytes and was not run; put it into a file, then :load it\n", got.err)
  end)

  -- Whether the call for the next line was flushed before the death is up to chance.
  it("counts one save point as one", function()
    local err = feed("1\n:crash\n").err
    local count, noun = err:match("^repl restarted: (%d+) save (points?) replayed\n$")
    assert.is_truthy(count, err)
    assert.are.equal(count == "1" and "point" or "points", noun)
  end)

  it("moves the clock on with :tick", function()
    local out = shown(table.concat({ "t = os.time()", 'p = da.sleep "3d"', 'q = da.within("2h", da.promise "never")',
      ":tick 3d", "await(p)", "select(2, da.pawait(q)).code", "os.time() - t >= 3 * 86400", ":tick", ":tick soon" }, "\n"))
    assert.are.equal('"timedout"\ntrue\n', out)
  end)

  it("keeps a session in a store, and goes on with it by its id", function()
    local got = session("x = 41\np = foo(4)\nx = x + await(step.add(1))\n" .. recorded "p.id .. '.add.1'" .. "\n")
    assert.are.equal(0, got.code)
    assert.are.equal("the session rests; to go on: dahost repl --data " .. place.data .. " --id s\n", got.err)
    got = feed("x\nx = 0\n", { "--data", place.data, "--id", "s" })
    assert.are.same({ 0, "42\n" }, { got.code, got.out })
    assert.matches("^s restarted: %d+ save points replayed\n", got.err)
    assert.are.equal(0, program.run({ "verify" }, { data = place.data }).code)
    got = session(":crash\nx, p.id\n")
    assert.are.equal('loaded\n0\t"s:foo.1"\n', got.out)
    assert.are.equal(2, select(2, ("\n" .. got.err):gsub("\ns restarted: ", "")))
    assert.are.equal(2, ledger())
    got = feed(":tick 1h\n", { "--data", place.data })
    assert.matches(":tick is for sessions in memory", got.err, 1, true)
  end)

  -- How many lines the store has, one after the other.
  local function lines_taken()
    local count = 0
    for _, row in ipairs(cli.rows_of(program.run({ "tree", "s", "--json" }, { data = place.data }).out)) do
      local number = row.id:match("^s:line%.(%d+)$")
      if number and row.promise == "resolved" then count = math.max(count, tonumber(number)) end
    end
    return count
  end

  it("survives a kill at every write, twice", function()
    local LINES = { "n = 0", "n = n + await(step.add(1))", "c = foo(5)", "n = n + await(step.add(2)) + await(step.slow(3))", "n = 2 * n" }
    local function rest(from) return table.concat(LINES, "\n", from) .. "\nn, c.id\n" end
    local kills, done = 0, false
    for write = 1, 60 do
      place:remove()
      place = cli.begin()
      wf = place:write("my.lua", SCRIPT)
      local killed = feed(rest(1), { wf, "--data", place.data, "--id", "s" }, { DAHOST_KILL = "commit.after:" .. write })
      done = killed.signal == 0
      if done then break end
      kills = kills + 1
      local from = uv.fs_stat(place.data) and program.run({ "get", "s" }, { data = place.data }).code == 0 and lines_taken() or 0
      if write % 3 == 0 then
        feed(rest(from + 1), { wf, "--data", place.data, "--id", "s" }, { DAHOST_KILL = "commit.before:2" })
        from = lines_taken()
      end
      local got = session(rest(from + 1))
      local last = got.out:match("(12\t\"s:foo%.1\"\n)$")
      if from <= #LINES then assert.are.equal('12\t"s:foo.1"\n', last, write .. ": " .. got.out .. got.err) end
      assert.are.equal(0, program.run({ "verify" }, { data = place.data }).code)
    end
    assert.is_true(done)
    assert.is_true(kills >= 15, kills .. " kills")
  end)

  it("loads another file into a new session", function()
    local other = place:write("other.lua", 'local da = require "da"\nfunction da.async.bar(n) return n + 1 end\n')
    local broken = place:write("broken.lua", "x = = 1\n")
    local got = feed(table.concat({ "x = 1", ":load " .. broken, "x", ":load none.lua", ":load", "x", ":load " .. other, "x",
      "await(bar(1)), foo", "da.id()" }, "\n"), { wf })
    assert.are.same({ 0, 'loaded\n1\n1\nnil\n2\tnil\n"repl-2"\n' }, { got.code, got.out })
    assert.matches("broken.lua:1: unexpected symbol near '='", got.err, 1, true)
    assert.matches("cannot read none.lua", got.err, 1, true)
    assert.matches(":load wants the name of a file", got.err, 1, true)
  end)

  it("begins a new session when a line parks it", function()
    local got = feed('x = 1\nlocal s = "x" while true do s = s .. s end\nx\n"on"\n', {})
    assert.are.same({ 0, 'nil\n"on"\n' }, { got.code, got.out })
    assert.matches("repl is parked: ", got.err, 1, true)
    assert.matches("a new session begins", got.err, 1, true)
  end)

  it("takes a file whatever its workflows are called", function()
    local other = place:write("other.lua", 'local da = require "da"\nfunction da.async.session(n) return n + 1 end\n'
      .. "function da.async.await() return 7 end\n")
    local got = feed("await(session(1))\nawait(da.async.await())\n", { other })
    assert.are.same({ 0, "2\n7\n" }, { got.code, got.out }, got.err)
  end)

  it("tells what it cannot do", function()
    local got = feed(":trea\n:help\n::label:: x = 1\nx\n'\255'\n", {})
    assert.matches("no command ':trea'; did you mean :tree; :help lists them", got.err, 1, true)
    assert.matches("the line is not UTF-8", got.err, 1, true)
    assert.matches("  :tick 1h    moves the clock on", got.out, 1, true)
    assert.matches("\n1\n$", got.out)
    local function refused(code, words, ...)
      local refusal = feed("1\n", { ... })
      assert.are.equal(code, refusal.code)
      assert.matches(words, refusal.err, 1, true)
    end
    refused(2, "--id is the id of a session in a store: it wants --data DIR", "--id", "s")
    refused(2, "cannot read " .. place.dir .. "/none.lua", place.dir .. "/none.lua")
    refused(2, "broken.lua:1: unexpected symbol near '='", place:write("broken.lua", "x = = 1\n"))
    refused(2, "raises.lua:1: no", place:write("raises.lua", "error 'no'\n"))
    assert.are.equal(1, place:run("run", wf, "fails", "--id", "f").code)
    refused(2, "'f' is no session of a repl, but an execution of 'fails'", "--data", place.data, "--id", "f")
    local holder = cli.holder("h")
    refused(74, "a repl has its store for itself", "--data", place.data)
    cli.release(holder, "h")
  end)

  it("edits lines on a terminal: history, completion, Ctrl-C, Ctrl-D", function()
    local function on_terminal()
      return program.spawn({ "repl", wf }, { cwd = place.dir, pty = { columns = 80, rows = 24 },
        env = { XDG_STATE_HOME = place.dir .. "/state" } }):wait_for("> ", "out")
    end
    local function answer(process, keys, text) return process:type(keys):wait_for(text, "out"):wait_for("> ", "out") end
    local process = on_terminal()
    assert.matches("^loaded\r\ndahost [%d.]+; :help tells the commands\r\n> $", (process.out:gsub("^(dahost.-\r\n)(loaded\r\n)", "%2%1")))
    answer(process, "1 + 1\r", "2\r\n")
    answer(process, "string.fo\t(7)\r", '"7"')
    answer(process, "async.fo\t\r", "async.foo\r\n")
    answer(process, "(1 +\r", ">")
    answer(process, "2)\r", "3\r\n")
    answer(process, "not this\3", "^C\r\n")
    answer(process, '"é日"\r', '"é日"\r\n')
    answer(process, "\27[A\r", '"é日"\r\n')
    process:type("print 'go' await(da.sleep(100))\r"):wait_for("\r\ngo\r\n", "out")
    answer(process, "\3", "[canceled] interrupted")
    process:type("\4"):wait()
    assert.are.equal(0, process.code)
    process = on_terminal()
    answer(process, "\27[A\27[A\r", '"é日"\r\n')
    process:type("\4"):wait()
    assert.are.equal(384, uv.fs_stat(place.dir .. "/state/dahost/history").mode & 511)
  end)

  it("cancels what a line awaits on Ctrl-C, and ends on the second one", function()
    local process = program.spawn({ "repl", wf }, { cwd = place.dir, pty = { columns = 80, rows = 24, term = "dumb" } })
    process:wait_for("> ", "out"):type("print 'a' await(da.sleep(100))\n"):wait_for("\r\na\r\n", "out")
    process:type("\3"):wait_for("[canceled] interrupted\r\n", "out"):wait_for("> ", "out")
    process:type("print 'b' while true do end\n"):wait_for("\r\nb\r\n", "out")
    process:type("\3"):wait_for("Ctrl-C again ends the repl", "out"):type("\3"):wait()
    assert.are.equal(130, process.code)
  end)
end)
