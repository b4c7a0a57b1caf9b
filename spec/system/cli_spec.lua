-- cli_spec.lua - the command line as a person and a script meet it: words in, streams and exit codes out.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local program = require("spec.support.program")

local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.double(n) return 2 * n end
function step.talk(text) io.write(text, "\n") return text end

function async.echo(...) return ... end
function async.three() return 1, "two", { 3 } end
function async.nothing() end
function async.fails(n) error { code = "no_stock", message = "none left", n = n } end
function async.waits(name)
  local p = da.promise(name or "p")
  print("waiting for " .. p.id)
  return await(p)
end
function async.sleeps(d) await(da.sleep(d)) return "slept" end
function async.works(n) return await(step.double(n)), await(step.double(n + 1)) end
function async.talks() print "from the workflow" await(step.talk "from the step") return "the result" end
function async.forgets() local q = step.double(1) return await(da.promise("gone", { timeout = "10ms" })), q end
function async.parent() return await(async.waits("inner")) end
]]

local CHANGED = SCRIPT:gsub('"slept"', '"slept well"')

-- A function that parks: its code asks for more memory than an execution has.
local PARKS = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.one() return 1 end
function async.greedy() await(step.one()) local s = "x" while true do s = s .. s end end
function async.outer() return await(async.greedy()) end
]]

-- Lines of JSON, decoded.
local function rows_of(text)
  local rows = {}
  for line in text:gmatch("[^\n]+") do rows[#rows + 1] = assert(json.decode(line, 1, nil)) end
  return rows
end

local function row_of(text)
  local rows = rows_of(text)
  assert.are.equal(1, #rows)
  return rows[1]
end

describe("the command line", function()
  local place, script

  before_each(function()
    place = program.place()
    script = place:write("wf.lua", SCRIPT)
  end)

  after_each(function() place:remove() end)

  local function run(...) return place:run(...) end

  -- A run in another process that waits for `<id>:p.1`: it holds the store. What the view tells may not be flushed yet;
  -- an answer that comes from behind it in the same queue says that it is.
  local function holder(id)
    local process = place:spawn("run", script, "waits", "--id", id):wait_for(id .. " waits for " .. id .. ":p.1")
    assert.are.equal(0, run("get", id .. ":p.1").code)
    return process
  end

  local function release(process, id)
    assert.are.equal(0, run("promise", "resolve", id .. ":p.1", '"released"').code)
    return process:wait()
  end

  ------------------------------------------------------------------------------------------------ words

  describe("verbs and flags", function()
    it("names the nearest verb", function()
      for typed, meant in pairs({ rnu = "run", resum = "resume", verfy = "verify", resolve = "promise resolve" }) do
        local got = run(typed)
        assert.are.equal(2, got.code)
        assert.are.equal("", got.out)
        assert.matches("did you mean '" .. meant .. "'?", got.err, 1, true)
      end
      assert.matches("no verb 'xyzzy'; dahost help", run("xyzzy").err, 1, true)
      assert.matches("did you mean 'promise reject'", run("promise", "rject", "x").err, 1, true)
    end)

    it("names the nearest flag, and only flags of that verb", function()
      local got = run("ps", "--sate", "all")
      assert.are.equal(2, got.code)
      assert.matches("ps has no flag --sate; did you mean --state?", got.err, 1, true)
      assert.matches("ps has no flag --args", run("ps", "--args", "[]").err, 1, true)
      assert.matches("did you mean 'suspended'", run("ps", "--state", "suspendd").err, 1, true)
    end)

    it("takes flags before, between and after operands, with = or a space", function()
      for _, words in ipairs({
        { "--data", place.data, "run", "--id=a", script, "echo", "1" },
        { "run", script, "--id", "a", "echo", "--data=" .. place.data, "1" },
        { "run", script, "echo", "1", "--data", place.data, "--id", "a" },
        { "run", script, "--data", place.data, "--id", "a", "--", "echo", "1" },
      }) do
        local got = program.run(words, { cwd = place.dir })
        assert.are.same({ 0, "1\n" }, { got.code, got.out })
      end
    end)

    it("takes each flag from its environment variable, and the word before the variable", function()
      local function with(env, ...)
        env.DAHOST_DATA = place.data
        return program.run({ ... }, { env = env })
      end
      assert.are.equal('"1"\n', with({ DAHOST_STR = "1" }, "run", script, "echo", "1").out)
      assert.are.equal("1\n", with({ DAHOST_STR = "0" }, "run", script, "echo", "1").out)
      assert.matches("id from%-env ", with({ DAHOST_ID = "from-env" }, "run", script, "echo", "1").err)
      assert.matches("id word ", with({ DAHOST_ID = "from-env" }, "run", script, "echo", "1", "--id", "word").err)
      assert.are.equal("[7]\n", with({ DAHOST_ARGS = "[[7]]", DAHOST_QUIET = "yes" }, "run", script, "echo").out)
    end)

    it("takes a negative number as an operand", function()
      assert.are.equal("[-5,-0.5]\n", run("run", script, "echo", "-5", "-0.5").out)
    end)

    it("explains every verb on stdout and exits with 0", function()
      local overview = run("help")
      assert.are.equal(0, overview.code)
      local count = 0
      for line in overview.out:gmatch("\n  (%l[^\n]*)") do
        local words = {}
        for word in line:gmatch("%S+") do
          if not word:find("^%l+$") or (#words == 1 and words[1] ~= "promise") or #words == 2 then break end
          words[#words + 1] = word
        end
        words[#words + 1] = "--help"
        local got = run(table.unpack(words))
        assert.are.same({ 0, "" }, { got.code, got.err })
        assert.matches("^usage: dahost " .. table.concat(words, " ", 1, #words - 1), got.out)
        count = count + 1
      end
      assert.is_true(count >= 15)
      assert.matches("\n\nrun = one execution, here, until it ends%.\n", run("run", "--help").out)
    end)

    it("refuses what is missing or too much", function()
      assert.matches("an operand is missing; usage: dahost run FILE", run("run").err, 1, true)
      assert.matches("'b' is one operand too many", run("tree", "a", "b").err, 1, true)
      assert.matches("--id needs a value", run("run", script, "--id").err, 1, true)
      assert.matches("--quiet takes no value", run("ps", "--quiet=1").err, 1, true)
      assert.matches("--warm wants a number of bytes", run("run", script, "nothing", "--warm", "much").err, 1, true)
      local got = run("promise")
      assert.are.equal(2, got.code)
      assert.matches("dahost promise resolve ID [JSON]", got.err, 1, true)
    end)

    it("tells its version", function()
      assert.matches("^dahost %d+%.%d+%.%d+ %(Lua 5%.4%.", run("version").out)
      assert.are.equal("string", type(row_of(run("version", "--json").out).lua))
    end)

    it("makes no store but for run, start and promise create", function()
      for _, words in ipairs({ { "ps" }, { "tree", "a" }, { "get", "a" }, { "cancel", "a" }, { "continue", "a" },
        { "verify" }, { "resume", "a" }, { "promise", "resolve", "a" } }) do
        local got = run(table.unpack(words))
        assert.are.equal(2, got.code)
        assert.matches("there is no store at " .. place.data, got.err, 1, true)
      end
      assert.is_nil(require("luv").fs_stat(place.data))
    end)
  end)

  ------------------------------------------------------------------------------------------------ functions, arguments

  describe("run FILE [FUNCTION] [ARG...]", function()
    it("types arguments: JSON if it is JSON, a number only in its plain form, else a string", function()
      for word, value in pairs({
        ["1"] = "1", ["-1"] = "-1", ["1.5"] = "1.5", ["1.0"] = "1.0", ["0"] = "0",
        ["9007199254740993"] = '{"__da":"i64","v":"9007199254740993"}',
        ["007"] = '"007"', ["123e4567"] = '"123e4567"', ["1e3"] = '"1e3"', ["1.50"] = '"1.50"', ["+1"] = '"+1"',
        ["-0"] = '"-0"', ["12345678901234567890"] = '"12345678901234567890"', ["1."] = '"1."', [".5"] = '".5"',
        ["0x10"] = '"0x10"', ["NaN"] = '"NaN"', [" 1"] = '" 1"',
        ["true"] = "true", ["null"] = "null", ['"q"'] = '"q"', ["[1, 2]"] = "[1,2]",
        ['{"b":1,"a":[]}'] = '{"a":[],"b":1}', ["[1,]"] = '"[1,]"', ["{a:1}"] = '"{a:1}"', ["x y"] = '"x y"',
        [""] = '""', ["ä"] = '"ä"', ["\xff"] = '"\u{fffd}"',
      }) do
        local got = run("run", script, "echo", word, "-q")
        assert.are.same({ word, 0, value .. "\n" }, { word, got.code, got.out })
      end
    end)

    it("takes all as strings with --str, and a whole array with --args", function()
      assert.are.equal('["1","true","[]"]\n', run("run", script, "echo", "1", "true", "[]", "--str").out)
      assert.are.equal('[1,{"a":2.0}]\n', run("run", script, "echo", "--args", '[1, {"a": 2.0}]').out)
      for _, args in ipairs({ "5", "{}", "[1", "" }) do
        local got = run("run", script, "echo", "--args=" .. args)
        assert.are.equal(2, got.code)
        assert.matches("--args wants a JSON array", got.err, 1, true)
      end
      assert.matches("not in both ('1')", run("run", script, "echo", "1", "--args", "[]").err, 1, true)
    end)

    it("prints one line: a value, several as an array, none as null", function()
      assert.are.equal('"x"\n', run("run", script, "echo", "x").out)
      assert.are.equal('[1,"two",[3]]\n', run("run", script, "three").out)
      assert.are.equal("null\n", run("run", script, "nothing").out)
    end)

    it("keeps stdout for the result alone", function()
      local got = run("run", script, "talks")
      assert.are.equal('"the result"\n', got.out)
      assert.matches("from the workflow\n", got.err, 1, true)
      assert.matches("from the step\n", got.err, 1, true)
      got = run("run", script, "talks", "--quiet")
      assert.are.equal('"the result"\n', got.out)
      assert.are.equal("from the workflow\nfrom the step\n", got.err)
    end)

    it("finds the function that is not named: the only one, or main", function()
      local one = place:write("one.lua", 'local da = require "da"\nfunction da.async.only(...) return "only", ... end\n')
      assert.are.equal('["only",1]\n', run("run", one, "1").out)
      assert.are.equal('["only","word"]\n', run("run", one, "word").out)
      assert.are.equal('["only",1]\n', run("run", one, "only", "1").out)
      local main = place:write("main.lua",
        'local da = require "da"\nfunction da.async.main(n) return "main", n end\nfunction da.async.other() end\n')
      assert.are.equal('["main",1]\n', run("run", main, "1").out)
      assert.matches("did you mean 'other'", run("run", main, "othr").err, 1, true)
    end)

    it("names the nearest function, and what there is", function()
      local got = run("run", script, "fials")
      assert.are.equal(2, got.code)
      assert.matches("wf.lua defines no workflow 'fials'; did you mean 'fails'?", got.err, 1, true)
      assert.matches("'double' is a step", run("run", script, "double", "1").err, 1, true)
      assert.matches("defines several workflows, name one: echo, fails", run("run", script).err, 1, true)
      local empty = place:write("empty.lua", "return 1\n")
      assert.matches("empty.lua defines no workflow", run("run", empty).err, 1, true)
    end)

    it("exits with 2 on a script that is not there, does not compile or raises", function()
      local got = run("run", "nowhere.lua")
      assert.are.equal(2, got.code)
      assert.matches("nowhere.lua", got.err, 1, true)
      got = run("run", place:write("bad.lua", "local x =\n\nfunction ("))
      assert.are.equal(2, got.code)
      assert.matches("bad.lua:3:", got.err, 1, true)
      got = run("run", place:write("raises.lua", "\nerror 'at load'"))
      assert.are.equal(2, got.code)
      assert.matches("raises.lua:2: at load", got.err, 1, true)
    end)

    it("says the id before anything runs, and makes one from the function's name", function()
      local got = run("run", script, "talks")
      assert.matches("^id talks%-[0-9a-z][0-9a-z][0-9a-z][0-9a-z] %(store " .. place.data:gsub("%p", "%%%0") .. "%)\n",
        got.err)
      local ids = {}
      for _ = 1, 5 do ids[run("run", script, "nothing").err:match("^id (%S+)")] = true end
      local count = 0
      for _ in pairs(ids) do count = count + 1 end
      assert.is_true(count > 1)
      assert.matches("holds no ':'", run("run", script, "nothing", "--id", "a:b").err, 1, true)
    end)

    it("keeps its store in ./.dahost unless told otherwise", function()
      local got = program.run({ "run", script, "nothing" }, { cwd = place.dir })
      assert.are.equal(0, got.code)
      assert.matches("(store " .. place.dir .. "/.dahost)", got.err, 1, true)
    end)
  end)

  ------------------------------------------------------------------------------------------------ ends

  describe("the exit code", function()
    it("is 1 for a rejection, with code, message and traceback on stderr", function()
      local got = run("run", script, "fails", "3")
      assert.are.equal(1, got.code)
      assert.are.equal("", got.out)
      assert.matches("\n[no_stock] none left\n", got.err, 1, true)
      assert.matches("wf.lua:10", got.err, 1, true)
    end)

    it("is 3 for what is parked, with the command that mends it; also when a child is", function()
      local parks = place:write("parks.lua", PARKS)
      for _, name in ipairs({ "greedy", "outer" }) do
        local got = run("run", parks, name, "--id", name)
        assert.are.equal(3, got.code)
        local who = name == "greedy" and "greedy" or "outer:greedy.1"
        assert.matches("dahost continue '" .. who .. "'", got.err, 1, true)
        local again = run("run", parks, name, "--id", name)
        assert.are.equal(3, again.code)
        assert.matches("dahost continue '" .. who .. "'", again.err, 1, true)
      end
      local parked = rows_of(run("ps", "--parked", "--json").out)
      assert.are.same({ "greedy", "outer:greedy.1" }, { parked[1].id, parked[2].id })
      assert.are.equal("string", type(parked[1].parked.code))
      assert.matches("dahost continue 'greedy'", parked[1].parked.text, 1, true)
      assert.are.equal(0, run("continue", "greedy").code)
      assert.matches("'greedy' is not parked", run("continue", "greedy").err, 1, true)
      assert.are.equal(3, run("resume", "greedy").code)
    end)

    it("is 4 for what is cancelled or timed out", function()
      local process = holder("w")
      assert.are.equal(0, run("cancel", "w", "not wanted").code)
      process:wait()
      assert.are.equal(4, process.code)
      assert.matches("[canceled] not wanted", process.err, 1, true)
      process = holder("cut")
      assert.are.equal(0, run("promise", "cancel", "cut").code)
      assert.are.equal(4, process:wait().code)
    end)

    it("is 130 after SIGINT and SIGTERM, and the line it prints goes on", function()
      for _, signal in ipairs({ "sigint", "sigterm" }) do
        local process = holder(signal):signal_with(signal):wait()
        assert.are.same({ 130, "" }, { process.code, process.out })
        local line = process.err:match("dahost (resume %S+ %-%-data %S+)\n$")
        assert.are.equal("resume " .. signal .. " --data " .. place.data, line)
        local words = {}
        for word in line:gmatch("%S+") do words[#words + 1] = word end
        local resumed = program.spawn(words, { cwd = place.dir }):wait_for("waits for " .. signal .. ":p.1")
        release(resumed, signal)
        assert.are.same({ 0, '"released"\n' }, { resumed.code, resumed.out })
      end
    end)
  end)

  ------------------------------------------------------------------------------------------------ attaching

  describe("an id that exists", function()
    it("gives the result again, and says how long ago it ended", function()
      run("run", script, "works", "4", "--id", "w")
      local got = run("run", script, "works", "4", "--id", "w")
      assert.are.same({ 0, "[8,10]\n" }, { got.code, got.out })
      assert.matches("w finished [%d.]+ m?s ago\n", got.err)
      run("run", script, "fails", "1", "--id", "f")
      got = run("run", script, "fails", "1", "--id", "f")
      assert.are.same({ 1, "" }, { got.code, got.out })
      assert.matches("[no_stock] none left", got.err, 1, true)
    end)

    it("refuses another function and other arguments, naming both", function()
      run("run", script, "works", "4", "--id", "w")
      local got = run("run", script, "works", "5", "--id", "w")
      assert.are.same({ 2, "" }, { got.code, got.out })
      assert.matches("'w' is works[4], not works[5]", got.err, 1, true)
      got = run("run", script, "echo", "4", "--id", "w")
      assert.are.equal(2, got.code)
      assert.matches("'w' is works[4], not echo[4]", got.err, 1, true)
      assert.are.equal(0, run("promise", "create", "p").code)
      got = run("run", script, "echo", "4", "--id", "p")
      assert.are.equal(2, got.code)
      assert.matches("'p' is a promise, not an execution", got.err, 1, true)
    end)

    it("takes arguments that only look different as the same", function()
      assert.are.equal(0, run("run", script, "echo", '{"b":1,"a":[ ]}', "--id", "w").code)
      assert.are.equal(0, run("run", script, "echo", '{"a":[],"b":1}', "--id", "w").code)
      assert.are.equal(2, run("run", script, "echo", '{"a":[],"b":1.0}', "--id", "w").code)
    end)

    it("goes on after a kill, tells what is replayed, and that its code is the old one", function()
      local process = holder("w")
      process:signal_with("sigkill"):wait()
      place:write("wf.lua", CHANGED)
      process = place:spawn("run", script, "waits", "--id", "w")
      process:wait_for("w keeps the code it started with; wf.lua has changed since")
      process:wait_for("w waits for w:p.1")
      release(process, "w")
      assert.are.same({ 0, '"released"\n' }, { process.code, process.out })
      assert.matches("w restarted: 1 save point replayed", process.err, 1, true)
    end)

    it("names in one line what else rests", function()
      for i = 1, 6 do run("start", script, "waits", "--id", "rests-" .. i) end
      local got = run("run", script, "nothing")
      assert.matches("resting here: rests-1, rests-2, rests-3, rests-4 and more (dahost resume ID)\n", got.err, 1, true)
      assert.are.equal(0, got.code)
      for _, row in ipairs(rows_of(run("ps", "--json").out)) do assert.are.equal("pending", row.task.state) end
    end)
  end)

  ------------------------------------------------------------------------------------------------ two processes

  describe("a store that another process holds", function()
    it("gets a second run's script, starts it there, and both see the result", function()
      local process = holder("w")
      local other = place:write("other.lua", 'local da = require "da"\nlocal help = require "helper"\n'
        .. "function da.async.late(n) print('here ' .. n) return help(n) end\n")
      place:write("helper.lua", "return function(n) return { n = n } end\n")
      local got = run("run", other, "late", "7", "--id", "l")
      assert.are.same({ 0, '{"n":7}\n' }, { got.code, got.out })
      assert.matches("id l (store", got.err, 1, true)
      assert.matches("l started\n", got.err, 1, true)
      assert.matches("here 7\n", got.err, 1, true)
      local second = place:spawn("run", script, "waits", "--id", "w"):wait_for("w waits for w:p.1")
      release(process, "w")
      assert.are.same({ 0, '"released"\n' }, { process.code, process.out })
      second:wait()
      assert.are.same({ 0, '"released"\n' }, { second.code, second.out })
      assert.is_nil(process.err:find("here 7", 1, true))
    end)

    it("refuses there as here", function()
      local process = holder("w")
      local got = run("run", script, "waits", "q", "--id", "w")
      assert.are.equal(2, got.code)
      assert.matches("'w' is waits[], not waits[\"q\"]", got.err, 1, true)
      assert.matches("did you mean 'fails'?", run("run", script, "fials").err, 1, true)
      assert.are.equal(1, run("run", script, "fails", "1").code)
      assert.are.equal(2, run("run", place:write("bad.lua", "x =")).code)
      release(process, "w")
      assert.are.equal(0, process.code)
    end)

    it("is taken over when its holder is killed, or ends", function()
      local first = holder("w")
      local second = place:spawn("run", script, "waits", "--id", "w"):wait_for("w waits for w:p.1")
      local third = place:spawn("run", script, "waits", "inner", "--id", "v"):wait_for("waiting for v:inner.1")
      first:signal_with("sigkill"):wait()
      second:wait_for("process " .. first.pid .. ", which held the store, is gone")
      third:wait_for("process " .. first.pid .. ", which held the store, is gone")
      release(second, "w")
      third:wait_for("v waits for v:inner.1")
      assert.are.equal(0, run("promise", "resolve", "v:inner.1", "5").code)
      third:wait()
      assert.are.same({ 0, '"released"\n', 0, "5\n" }, { second.code, second.out, third.code, third.out })
    end)

    it("goes on without a follower that is interrupted", function()
      local process = holder("w")
      local second = place:spawn("run", script, "waits", "--id", "w"):wait_for("w waits for w:p.1")
      second:signal_with("sigint"):wait()
      assert.are.equal(130, second.code)
      release(process, "w")
      assert.are.equal(0, process.code)
    end)

    it("is read by verify beside it", function()
      local process = holder("w")
      local got = run("verify")
      assert.are.equal(0, got.code)
      assert.matches("in use by process " .. process.pid, got.err, 1, true)
      release(process, "w")
    end)
  end)

  ------------------------------------------------------------------------------------------------ start, resume

  describe("start and resume", function()
    it("submits, prints the id, and runs nothing", function()
      local got = run("start", script, "works", "2", "--id", "w")
      assert.are.same({ 0, "w\n" }, { got.code, got.out })
      assert.are.same({ id = "w", created = false }, row_of(run("start", script, "works", "2", "--id", "w", "--json").out))
      assert.are.equal(2, run("start", script, "works", "3", "--id", "w").code)
      assert.are.equal(1, #rows_of(run("tree", "w", "--json").out))
      got = run("resume", "w")
      assert.are.same({ 0, "[4,6]\n" }, { got.code, got.out })
    end)

    it("starts at once where a process holds the store", function()
      local process = holder("w")
      assert.are.equal("s\n", run("start", script, "works", "2", "--id", "s").out)
      local got = run("resume", "s")
      assert.are.same({ 0, "[4,6]\n" }, { got.code, got.out })
      release(process, "w")
    end)

    it("resumes without the script's file", function()
      holder("w"):signal_with("sigkill"):wait()
      require("luv").fs_unlink(script)
      local process = place:spawn("resume", "w"):wait_for("w waits for w:p.1")
      release(process, "w")
      assert.are.same({ 0, '"released"\n' }, { process.code, process.out })
    end)

    it("resumes several, one line each, and exits with the worst", function()
      run("start", script, "works", "1", "--id", "a")
      run("start", script, "fails", "1", "--id", "b")
      local got = run("resume", "--all")
      assert.are.equal(1, got.code)
      local rows = rows_of(got.out)
      table.sort(rows, function(x, y) return x.id < y.id end)
      assert.are.same({ id = "a", state = "resolved", value = { 2, 4 } }, rows[1])
      assert.are.same({ "b", "rejected", "no_stock" }, { rows[2].id, rows[2].state, rows[2].value.name })
      assert.are.same({ 0, "" }, { run("resume", "--all").code, run("resume", "--all").out })
      assert.are.equal('{"id":"a","state":"resolved","value":[2,4]}\n', run("resume", "a", "a").out:match("^[^\n]*\n"))
    end)

    it("says what could be resumed", function()
      run("start", script, "waits", "--id", "w")
      local got = run("resume")
      assert.are.equal(2, got.code)
      assert.matches("resume wants an ID or --all; not finished here: w", got.err, 1, true)
      got = run("resume", "nobody")
      assert.are.equal(1, got.code)
      assert.matches("no execution 'nobody' in", got.err, 1, true)
    end)
  end)

  ------------------------------------------------------------------------------------------------ looking

  -- The same questions to a process that holds the store, and to nobody.
  for _, held in ipairs({ true, false }) do
    describe(held and "asking the holder" or "asking the store itself", function()
      local process

      before_each(function()
        run("run", script, "works", "4", "--id", "done")
        process = place:spawn("run", script, "parent", "--id", "w"):wait_for("waiting for w:waits.1.inner.1")
        process:wait_for("w:waits.1 waits for")
        assert.are.equal(0, run("get", "w:waits.1.inner.1").code)
        if not held then process:signal_with("sigkill"):wait() end
      end)

      after_each(function()
        if held then
          process:signal_with("sigkill"):wait()
        end
      end)

      it("lists executions", function()
        local rows = rows_of(run("ps", "--json").out)
        assert.are.equal(1, #rows)
        local row = rows[1]
        assert.are.same({ "w", "parent", "suspended", "pending", "w:waits.1" },
          { row.id, row["function"], row.state, row.promise, row.awaits[1] })
        assert.are.equal("number", type(row.createdAt))
        rows = rows_of(run("ps", "--json", "--state", "all").out)
        assert.are.same({ "done", "completed", "resolved" }, { rows[1].id, rows[1].state, rows[1].promise })
        assert.are.equal(2, #rows)
        assert.are.equal("done", row_of(run("ps", "--json", "--state", "completed").out).id)
        assert.are.equal("", run("ps", "--json", "--state", "running").out)
        local human = run("ps")
        assert.matches("ID%s+FUNCTION%s+STATE%s+AGE%s+WAITS FOR\nw%s+parent%s+suspended%s+[%d.]+ m?s%s+→ w:waits%.1\n",
          human.out)
      end)

      it("shows a tree: calls by indentation, waiting by an arrow", function()
        local human = run("tree", "w").out
        assert.matches("^w  parent  suspended [%d.]+ m?s  → w:waits%.1\n"
          .. "  waits%.1  suspended [%d.]+ m?s  → w:waits%.1%.inner%.1\n    inner%.1  pending [%d.]+ m?s\n$", human)
        local rows = rows_of(run("tree", "w", "--json").out)
        assert.are.same({ "w", "w:waits.1", "w:waits.1.inner.1" }, { rows[1].id, rows[2].id, rows[3].id })
        assert.are.same({ "workflow", "workflow", "promise" }, { rows[1].kind, rows[2].kind, rows[3].kind })
        assert.matches("^done  works  completed %(resolved%) .*\n  double%.1  resolved .*\n  double%.2  resolved ",
          run("tree", "done").out)
        local got = run("tree", "nobody")
        assert.are.equal(1, got.code)
        assert.matches("no execution or promise 'nobody' in", got.err, 1, true)
      end)

      it("shows one record whole", function()
        local row = row_of(run("get", "done", "--json").out)
        assert.are.same({ { 4 }, { 8, 10 }, "resolved", "fulfilled" }, { row.args, row.value, row.promise, row.task.state })
        assert.is_true(row.settledAt >= row.createdAt)
        assert.are.equal("poll://any@default", row.tags["resonate:target"])
        row = row_of(run("promise", "get", "done:double.1", "--json").out)
        assert.are.same({ "step", 8, "resolved" }, { row.kind, row.value, row.promise })
        assert.matches("\nstate     completed, resolved, .*\nargs      %[4%]\nvalue     %[8,10%]\ncreated   %d%d%d%d%-",
          run("get", "done").out)
        assert.are.equal(1, run("get", "nobody").code)
      end)

      it("makes and settles promises", function()
        local row = row_of(run("promise", "create", "p", "--timeout", "1h", "--param", '{"b":1,"a":2}', "--tags",
          '{"k":"v"}', "--json").out)
        assert.are.same({ "pending", true, { a = 2, b = 1 }, "v" }, { row.promise, row.created, row.param, row.tags.k })
        assert.is_true(math.abs(row.timeoutAt - row.createdAt - 3600000) < 1000)
        assert.is_false(row_of(run("promise", "create", "p", "--json").out).created)

        local got = run("promise", "resolve", "p", '{"ok":true}', "--json")
        assert.are.equal(0, got.code)
        assert.are.same({ "resolved", { ok = true } }, { row_of(got.out).promise, row_of(got.out).value })
        got = run("promise", "resolve", "p", '{"ok":true}')
        assert.are.equal(0, got.code)
        assert.matches("p was resolved before", got.err, 1, true)
        assert.are.equal(1, run("promise", "resolve", "p", '{"ok":false}').code)
        assert.are.equal(1, run("promise", "reject", "p", "no").code)
        assert.are.same({ ok = true }, row_of(run("get", "p", "--json").out).value)

        for id, settled in pairs({
          r1 = { "why not", { __type = "error", name = "error", message = "why not" } },
          r2 = { '{"code":"late","message":"too late"}', { __type = "error", name = "late", message = "too late" } },
          r3 = { "5", { __type = "error", name = "error", message = "5" } },
        }) do
          run("promise", "create", id)
          row = row_of(run("promise", "reject", id, settled[1], "--json").out)
          assert.are.equal("rejected", row.promise)
          for name, value in pairs(settled[2]) do assert.are.equal(value, row.value[name]) end
        end

        run("promise", "create", "c")
        row = row_of(run("promise", "cancel", "c", "changed my mind", "--json").out)
        assert.are.same({ "canceled", "canceled", "changed my mind" }, { row.promise, row.value.name, row.value.message })
        assert.are.equal(1, run("promise", "resolve", "nobody", "1").code)
      end)

      it("refuses what cannot be a promise", function()
        for words, said in pairs({
          ["--timeout soon"] = "--timeout wants a duration",
          ["--param {"] = "--param wants JSON",
          ["--tags []"] = "--tags wants a JSON object",
          ["--tags {\"a\":1}"] = "--tags wants a JSON object",
        }) do
          local flag, value = words:match("^(%S+) (.*)$")
          local got = run("promise", "create", "p", flag, value)
          assert.are.equal(2, got.code)
          assert.matches(said, got.err, 1, true)
        end
        assert.are.equal(2, run("promise", "create", ("x"):rep(300)).code)
      end)

      it("lets a waiting workflow see what it is told", function()
        assert.are.equal(0, run("promise", "reject", "w:waits.1.inner.1", '{"code":"nope","message":"not now"}').code)
        if not held then process = place:spawn("resume", "w") end
        process:wait()
        assert.are.equal(1, process.code)
        assert.matches("[nope] not now", process.err, 1, true)
      end)

      it("asks an execution to end, and only an execution", function()
        local got = run("cancel", "w", "enough", "--json")
        assert.are.same({ 0, true }, { got.code, row_of(got.out).asked })
        assert.are.equal(held, row_of(got.out).driven)
        if not held then process = place:spawn("resume", "w") end
        process:wait()
        assert.are.equal(4, process.code)
        assert.matches("[canceled] enough", process.err, 1, true)
        assert.are.equal(1, run("cancel", "w").code)
        got = run("cancel", "w:waits.1.inner.1")
        assert.are.equal(1, got.code)
        assert.matches("no execution 'w:waits.1.inner.1'", got.err, 1, true)
        assert.are.equal(1, run("continue", "nobody").code)
      end)
    end)
  end

  it("shows a deadline that has passed as passed, swept or not", function()
    run("promise", "create", "p", "--timeout", "1ms")
    local row
    repeat row = row_of(run("get", "p", "--json").out) until row.promise ~= "pending"
    assert.are.same({ "timedout", "timedout", row.timeoutAt }, { row.state, row.promise, row.settledAt })
  end)

  it("finds a store whole, and a damaged one not", function()
    run("run", script, "works", "4", "--id", "w")
    local got = run("verify")
    assert.are.same({ 0, "" }, { got.code, got.out })
    assert.matches("is whole", got.err, 1, true)
    local text = place:read("store/data.mdb")
    local at = assert(text:find("double", 1, true))
    local damaged = text:gsub("double%.1", function() return "double.\0" end)
    assert.is_true(at > 0 and damaged ~= text)
    place:write("store/data.mdb", damaged)
    assert.are_not.equal(0, run("verify").code)
  end)

  it("runs each of several in a store of its own without disturbing the others", function()
    local first = place:spawn("run", script, "works", "1", "--id", "a")
    local others = {}
    for i = 1, 4 do others[i] = place:spawn("run", script, "works", tostring(i), "--id", "x" .. i) end
    assert.are.same({ 0, "[2,4]\n" }, { first:wait().code, first.out })
    for i, process in ipairs(others) do
      process:wait()
      assert.are.same({ 0, ("[%d,%d]\n"):format(2 * i, 2 * i + 2) }, { process.code, process.out })
    end
    assert.are.equal(0, run("verify").code)
  end)

  ------------------------------------------------------------------------------------------------ a terminal

  describe("on a terminal", function()
    -- What stands on the screen after the bytes: rows of text; of the escape codes the view uses, those that move.
    local function screen(bytes, columns)
      local rows, row, column = { "" }, 1, 0
      local at = 1
      while at <= #bytes do
        local first, last, n, code = bytes:find("^\27%[(%d*);?%d*(%a)", at)
        if first then
          if code == "A" then row = math.max(1, row - tonumber(n)) end
          if code == "J" then
            rows[row] = rows[row]:sub(1, column)
            for i = #rows, row + 1, -1 do rows[i] = nil end
          end
          at = last + 1
        else
          local char = bytes:match("^" .. utf8.charpattern, at)
          if char == "\n" then
            row = row + 1
            rows[row] = rows[row] or ""
          elseif char == "\r" then
            column = 0
          else
            if column == columns then
              row, column = row + 1, 0
              rows[row] = rows[row] or ""
            end
            if column == 0 then rows[row] = "" end
            rows[row] = rows[row] .. char
            column = column + 1
          end
          if char == "\n" then column = 0 end
          at = at + #char
        end
      end
      return rows
    end

    local function on_terminal(words, pty, env)
      return program.spawn(words, { data = place.data, cwd = place.dir, pty = pty, env = env })
    end

    local function count(text, what)
      return select(2, text:gsub(what, ""))
    end

    it("draws a tree that ends as it ended, below what was printed", function()
      local process = on_terminal({ "run", script, "talks", "--id", "t" }, { columns = 60, rows = 20 }):wait()
      assert.are.equal(0, process.code)
      local text = table.concat(screen(process.out, 60), "\n")
      assert.matches("^id t %(store [^\n]+%)\n", text)
      assert.are.same({ 1, 1 }, { count(text, "from the workflow"), count(text, "from the step") })
      assert.matches("\nt  talks  resolved [%d.]+ m?s\n  talk%.1  resolved [%d.]+ m?s\n\"the result\"\n$", text)
      assert.is_nil(text:find("started", 1, true))
    end)

    it("shows what is waited for, fits the screen, and leaves it clean when interrupted", function()
      local many = place:write("many.lua", 'local da = require "da"\nlocal async, await, step = da.async, da.await, da.step\n'
        .. "function step.one(n) return n end\nfunction async.many()\n"
        .. "for i = 1, 100 do await(step.one(i)) end\n"
        .. "local list = {} for i = 1, 30 do list[i] = da.promise('a-promise-with-a-long-name-' .. i) end\n"
        .. "return await(da.all(list)) end\n")
      local process = on_terminal({ "run", many, "--id", "m" }, { columns = 40, rows = 12 })
      process:wait_for("suspended", "out"):wait_for("(", "out")
      process:type("\3"):wait()
      assert.are.equal(130, process.code)
      local rows = screen(process.out, 40)
      local tree = 1
      while not rows[tree]:find("^m  many") do tree = tree + 1 end
      for i = tree, tree + 10 do assert.is_true(utf8.len(rows[i]) < 40) end
      assert.is_true(#rows - tree >= 10 and #rows - tree <= 13)
      assert.matches("^interrupted; to go on: dahost resume m", rows[#rows - 2] .. rows[#rows - 1])
      assert.matches("^m  many  suspended .* → m:a%-", rows[tree])
      assert.is_nil(process.out:find("\27%[%?")) -- no mode of the terminal was changed
    end)

    it("honours NO_COLOR, TERM=dumb and --quiet", function()
      local words = { "run", script, "talks", "--id", "t" }
      local size = { columns = 60, rows = 20 }
      assert.matches("\27[32mresolved", on_terminal(words, size):wait().out, 1, true)
      words[5] = "u"
      local plain = on_terminal(words, size, { NO_COLOR = "1" }):wait().out
      assert.is_nil(plain:find("\27%[[%d]*m"))
      assert.matches("\27[J", plain, 1, true)
      words[5] = "v"
      local dumb = on_terminal(words, { columns = 60, rows = 20, term = "dumb" }):wait().out
      assert.is_nil(dumb:find("\27", 1, true))
      assert.matches("v started\r\n", dumb, 1, true)
      words[5], words[6] = "x", "--quiet"
      assert.are.equal('from the workflow\r\nfrom the step\r\n"the result"\r\n', on_terminal(words, size):wait().out)
    end)
  end)
end)
