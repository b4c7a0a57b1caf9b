-- cli_run_spec.lua - run FILE: which function, which arguments, its result and its exit code.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local program = require("spec.support.program")

local run = cli.run

describe("the command line", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

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
        ["-9223372036854775808"] = '{"__da":"i64","v":"-9223372036854775808"}',
        ["9223372036854775807"] = '{"__da":"i64","v":"9223372036854775807"}', ["9223372036854775808"] = '"9223372036854775808"',
        ["9007199254740992"] = "9007199254740992", ["1e308"] = '"1e308"', ["1e400"] = '"1e400"', ["0.1"] = "0.1",
        ["inf"] = '"inf"', ["nan"] = '"nan"', ["Infinity"] = '"Infinity"', ["nil"] = '"nil"', ["false"] = "false",
        ["TRUE"] = '"TRUE"', ['"null"'] = '"null"', ['"007"'] = '"007"', ["[007]"] = '"[007]"', ["'x'"] = '"\'x\'"',
        ["[[1],{}]"] = "[[1],{}]", ["a\nb"] = '"a\\nb"', ["\u{1F600}"] = '"\u{1F600}"', ["{}"] = "{}", ["[]"] = "[]",
        [""] = '""', ["ä"] = '"ä"', ["\xff"] = '"\u{fffd}"',
      }) do
        local got = run("run", script, "echo", word, "-q")
        assert.are.same({ word, 0, value .. "\n" }, { word, got.code, got.out })
      end
    end)

    it("takes all as strings with --str, and a whole array with --args", function()
      assert.are.equal('["1","true","[]"]\n', run("run", script, "echo", "1", "true", "[]", "--str").out)
      assert.are.equal('["","{\\"a\\":1,\\"a\\":2}","null"]\n',
        run("run", script, "echo", "", '{"a":1,"a":2}', "null", "--str").out)
      assert.are.equal('[1,{"a":2.0}]\n', run("run", script, "echo", "--args", '[1, {"a": 2.0}]').out)
      for _, args in ipairs({ "5", "{}", "[1", "" }) do
        local got = run("run", script, "echo", "--args=" .. args)
        assert.are.equal(2, got.code)
        assert.matches("--args wants a JSON array", got.err, 1, true)
      end
      assert.matches("not in both ('1')", run("run", script, "echo", "1", "--args", "[]").err, 1, true)
    end)

    it("refuses JSON that a value cannot hold, and says what would be taken", function()
      for word, said in pairs({
        ['{"a":1,"a":2}'] = 'argument 2, {"a":1,"a":2}: byte 7: duplicate key "a" (--str takes what is typed as text)',
        [("["):rep(200) .. ("]"):rep(200)] = "nested deeper than 200 levels",
      }) do
        local got = run("run", script, "echo", "1", word)
        assert.are.same({ 2, "" }, { got.code, got.out })
        assert.matches(said, got.err, 1, true)
      end
      -- deeper than JSON is read at all: text, as everything that is none
      local deep = ("["):rep(5000)
      assert.are.equal('"' .. deep .. '"\n', run("run", script, "echo", deep).out)
    end)

    it("gives the script the very types", function()
      local types = place:write("types.lua", [=[
        local da = require "da"
        function da.async.main(...)
          local list = {}
          for i = 1, select("#", ...) do local v = select(i, ...) list[i] = math.type(v) or type(v) end
          return table.concat(list, " ")
        end]=])
      assert.are.equal('"integer float integer string boolean nil string table"\n',
        run("run", types, "1", "1.0", "9007199254740993", "1e3", "true", "null", "nan", "[]").out)
    end)

    it("tells a long error whole", function()
      local long = place:write("long.lua",
        'local da = require "da"\nfunction da.async.main() error(("x"):rep(100000) .. "THE END", 0) end\n')
      local got = run("run", long)
      assert.are.equal(1, got.code)
      assert.matches(("x"):rep(100000) .. "THE END\nstack traceback:", got.err, 1, true)
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
      assert.are.equal('["only","two words"]\n', run("run", one, "two words").out)
      assert.are.equal('["only","word"]\n', run("run", one, "only", "word").out)
      local got = run("run", one, "word")
      assert.are.same({ 2, "" }, { got.code, got.out })
      assert.matches("one.lua defines no workflow 'word'; it defines only (as its argument: only word)", got.err, 1, true)
      assert.matches("did you mean 'only'? It defines only", run("run", one, "onyl").err, 1, true)
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

    it("says the id first, also when the script prints while it loads", function()
      local loud = place:write("loud.lua",
        'print "loading"\nlocal da = require "da"\nfunction da.async.main() print "running" end\n')
      assert.matches("^id a [^\n]*\nloading\na started\nrunning\n", run("run", loud, "--id", "a").err)
      assert.matches("^loading\ndahost: loud.lua defines no workflow 'x'", run("run", loud, "x").err)
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

  describe("the exit code", function()
    it("is 1 for a rejection, with code, message and traceback on stderr", function()
      local got = run("run", script, "fails", "3")
      assert.are.equal(1, got.code)
      assert.are.equal("", got.out)
      assert.matches("\n[no_stock] none left\n", got.err, 1, true)
      assert.matches("wf.lua:10", got.err, 1, true)
    end)

  end)
end)
