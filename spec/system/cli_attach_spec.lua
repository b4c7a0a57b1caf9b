-- cli_attach_spec.lua - an id that exists, and a store that another process holds.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")

local run, holder, release, rows_of = cli.run, cli.holder, cli.release, cli.rows_of
local CHANGED = cli.SCRIPT:gsub('"slept"', '"slept well"')

describe("the command line", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

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

    it("is named to all who attach; they follow, and see the same end", function()
      local first = holder("w")
      local others = {}
      for i = 1, 4 do
        others[i] = place:spawn("run", script, "waits", "--id", "w")
        others[i]:wait_for("process " .. first.pid .. " holds the store; following it there"):wait_for("w waits for w:p.1")
        assert.matches("^id w %(store [^\n]+%)\nprocess ", others[i].err)
      end
      others[5] = place:spawn("resume", "w"):wait_for("process " .. first.pid .. " holds the store")
      release(first, "w")
      for _, process in ipairs(others) do
        process:wait()
        assert.are.same({ 0, '"released"\n' }, { process.code, process.out })
        assert.matches("w resolved ", process.err, 1, true)
      end
    end)

    it("shows a follower the progress, step by step", function()
      local steps = place:write("steps.lua", [=[
        local da = require "da"
        function da.step.s(n) return n end
        function da.async.main()
          for i = 1, 3 do
            da.await(da.promise("go"))
            da.await(da.step.s(i))
          end
          return "done"
        end]=])
      local first = place:spawn("run", steps, "--id", "w"):wait_for("w waits for w:go.1")
      assert.are.equal(0, run("get", "w:go.1").code)
      local second = place:spawn("run", steps, "--id", "w"):wait_for("w waits for w:go.1")
      for i = 1, 3 do
        assert.are.equal(0, run("promise", "resolve", "w:go." .. i, "1").code)
        for _, process in ipairs({ first, second }) do process:wait_for("w step s." .. i .. " resolved") end
        if i < 3 then
          for _, process in ipairs({ first, second }) do process:wait_for("w waits for w:go." .. i + 1) end
          assert.are.equal(0, run("get", "w:go." .. i + 1).code)
        end
      end
      assert.are.same({ '"done"\n', '"done"\n' }, { first:wait().out, second:wait().out })
    end)

    it("gives all who attach the failure and its exit code", function()
      local fails = place:write("fails.lua", [=[
        local da = require "da"
        function da.async.main() da.await(da.promise("p")) error { code = "late", message = "too late" } end]=])
      local first = place:spawn("run", fails, "--id", "w"):wait_for("w waits for w:p.1")
      assert.are.equal(0, run("get", "w:p.1").code)
      local second = place:spawn("run", fails, "--id", "w"):wait_for("w waits for w:p.1")
      assert.are.equal(0, run("promise", "resolve", "w:p.1").code)
      for _, process in ipairs({ first, second }) do
        process:wait()
        assert.are.same({ 1, "" }, { process.code, process.out })
        assert.matches("[late] too late", process.err, 1, true)
      end
      local again = run("run", fails, "--id", "w")
      assert.are.same({ 1, "" }, { again.code, again.out })
    end)

    it("answers what it was asked before it leaves", function()
      for i = 1, 5 do
        local id = "w" .. i
        local process = holder(id)
        local got = run("cancel", id, "--hard", "--json") -- ends the run, and with it the holder
        assert.are.same({ 0, true }, { got.code, cli.row_of(got.out).cut })
        assert.are.equal("", got.err:match("is gone") or "")
        assert.are.equal(4, process:wait().code)
      end
    end)

    it("is taken over when its holder is killed, or ends", function()
      local first = holder("w")
      local second = place:spawn("run", script, "waits", "--id", "w"):wait_for("w waits for w:p.1")
      local third = place:spawn("run", script, "waits", "inner", "--id", "v"):wait_for("waiting for v:inner.1")
      first:signal_with("sigkill"):wait()
      second:wait_for("process " .. first.pid .. ", which held the store, is gone")
      third:wait_for("process " .. first.pid .. ", which held the store, is gone")
      release(second, "w")
      assert.matches("w restarted: 1 save point replayed", second.err .. third.err, 1, true)
      third:wait_for("v waits for v:inner.1")
      assert.are.equal(0, run("promise", "resolve", "v:inner.1", "5").code)
      third:wait()
      assert.are.same({ 0, '"released"\n', 0, "5\n" }, { second.code, second.out, third.code, third.out })
    end)

    it("is read by verify beside it", function()
      local process = holder("w")
      local got = run("verify")
      assert.are.equal(0, got.code)
      assert.matches("in use by process " .. process.pid, got.err, 1, true)
      release(process, "w")
    end)
  end)
end)
