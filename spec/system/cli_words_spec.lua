-- cli_words_spec.lua - verbs, flags, operands, help: what is typed, before anything is done.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local program = require("spec.support.program")

local run, row_of = cli.run, cli.row_of

describe("the command line", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

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

    it("takes a negative number as an operand, and anything behind --", function()
      assert.are.equal("[-5,-0.5]\n", run("run", script, "echo", "-5", "-0.5").out)
      assert.are.equal('["-x","--id","--",-1]\n', run("run", script, "echo", "--", "-x", "--id", "--", "-1").out)
      assert.are.equal('"-"\n', run("run", script, "echo", "-").out)
      local got = run("run", script, "echo", "-inf")
      assert.are.equal(2, got.code)
      assert.matches("no flag '-inf'; flags are long words (--help lists them), and behind -- all are operands", got.err, 1,
        true)
    end)

    it("names the nearest of everything that has a name", function()
      run("run", script, "waits", "--id", "order-7", "--args", "[]", "--warm", "x") -- refused: makes nothing
      run("start", script, "parent", "--id", "order-7")
      run("promise", "create", "order-7:approval.1")
      for said, words in pairs({
        ["no execution 'ordr-7' in " .. place.data .. "; did you mean 'order-7'?"] = { "resume", "ordr-7" },
        ["no execution 'order-8'"] = { "cancel", "order-8" },
        ["did you mean 'order-7'?"] = { "continue", "order7" },
        ["did you mean 'order-7:approval.1'?"] = { "promise", "resolve", "order-7:aproval.1", "1" },
        ["no execution or promise 'order-7:approval.2'"] = { "get", "order-7:approval.2" },
        ["no execution or promise 'orde-7'"] = { "tree", "orde-7" },
        ["no execution 'order-77'"] = { "migrate", "order-77", script },
        ["no execution 'order-77' in"] = { "migrate", "order-77", script, "--dry-run" },
        ["(dahost ps --state all lists what there is)"] = { "get", "something-else" },
      }) do
        local got = run(table.unpack(words))
        assert.are.same({ 1, "" }, { got.code, got.out }, said)
        assert.matches(said, got.err, 1, true)
        if words[2] ~= "something-else" then assert.matches("did you mean 'order-7", got.err, 1, true) end
      end
      assert.matches("did you mean 'works'", run("run", script, "wroks", "1").err, 1, true)
      assert.matches("did you mean --dry-run?", run("migrate", "x", script, "--dryrun").err, 1, true)
    end)

    it("states the exit codes in the overview and in the help of run", function()
      for _, text in ipairs({ run("help").out, run("run", "--help").out }) do
        for _, code in ipairs({ "0 ", "1 rejected", "2 usage", "3 ", "4 timed out or", "74 the store", "130 interrupted" }) do
          assert.is_truthy(text:gsub("\n", " "):find(code, 1, true), code)
        end
      end
    end)

    it("explains every verb on stdout and exits with 0", function()
      local overview = run("help")
      assert.are.equal(0, overview.code)
      local count = 0
      for line in overview.out:gmatch("\n  (%l[^\n]*)") do
        local words = {}
        for word in line:gmatch("%S+") do
          local family = words[1] == "promise" or words[1] == "schedule" or words[1] == "task"
          if not word:find("^[%l-]+$") or (#words == 1 and not family) or #words == 2 then break end
          words[#words + 1] = word
        end
        words[#words + 1] = "--help"
        local got = run(table.unpack(words))
        assert.are.same({ 0, "" }, { got.code, got.err })
        for part in got.out:gmatch("[^\n]+") do assert.is_true(utf8.len(part) <= 80, part) end
        assert.are.equal(1, got.out:find("usage: dahost " .. table.concat(words, " ", 1, #words - 1), 1, true))
        count = count + 1
      end
      assert.is_true(count >= 15)
      assert.matches("\n\nrun = one execution, here, until it ends%.\n", run("run", "--help").out)
    end)

    it("refuses what is missing or too much", function()
      assert.matches("an operand is missing; usage: dahost run FILE", run("run").err, 1, true)
      assert.matches("'b' is one operand too many", run("tree", "a", "b").err, 1, true)
      assert.matches("--id needs a value", run("run", script, "--id").err, 1, true)
      assert.matches("--id wants an id, not nothing", run("run", script, "nothing", "--id", "").err, 1, true)
      assert.matches("--data wants a directory, not nothing", run("ps", "--data=").err, 1, true)
      local many = { "run", script, "echo" }
      for i = 1, 300 do many[#many + 1] = tostring(i) end
      assert.matches("more than 256 operands; as many arguments as you like go into --args", run(table.unpack(many)).err, 1,
        true)
      assert.matches("one operand too many; usage: dahost ps\n", run("ps", "a").err, 1, true)
      assert.matches("--quiet takes no value", run("ps", "--quiet=1").err, 1, true)
      assert.matches("--warm wants a number of bytes", run("run", script, "nothing", "--warm", "much").err, 1, true)
      local listed = run("help", "promise")
      assert.are.equal(0, listed.code)
      assert.matches("dahost promise resolve ID [JSON]", listed.out, 1, true)
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
end)
