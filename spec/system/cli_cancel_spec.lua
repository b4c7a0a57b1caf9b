-- cli_cancel_spec.lua - cancel, cancel --hard, continue, ps --parked: ends that somebody asks for, and stops.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")

local run, holder, rows_of, row_of = cli.run, cli.holder, cli.rows_of, cli.row_of

describe("the command line", function()
  local place, script, parks

  before_each(function()
    place, script = cli.begin()
    parks = place:write("parks.lua", cli.PARKS)
  end)
  after_each(cli.finish)

  local function promises(id)
    local states = {}
    for _, row in ipairs(rows_of(run("tree", id, "--json").out)) do
      if row.kind ~= "mark" then states[row.id] = row.promise end
    end
    return states
  end

  describe("what is parked", function()
    it("exits with 3 and the command that mends it, also when a child is parked", function()
      for _, name in ipairs({ "greedy", "outer" }) do
        local got = run("run", parks, name, "--id", name)
        assert.are.equal(3, got.code)
        local who = name == "greedy" and "greedy" or "outer:greedy.1"
        assert.matches("dahost migrate '" .. who .. "' FILE", got.err, 1, true)
        local again = run("run", parks, name, "--id", name)
        assert.are.equal(3, again.code)
        assert.matches("dahost migrate '" .. who .. "' FILE", again.err, 1, true)
      end
      local parked = rows_of(run("ps", "--parked", "--json").out)
      assert.are.same({ "greedy", "outer:greedy.1" }, { parked[1].id, parked[2].id })
      assert.are.equal("string", type(parked[1].parked.code))
      assert.matches("dahost migrate 'greedy' FILE", parked[1].parked.text, 1, true)
      local shown = run("ps", "--parked").out
      assert.matches("\ngreedy +greedy +parked +[%d.]+ m?s +[^\n]*Mend the script, then: dahost migrate 'greedy' FILE\n", shown)
      assert.matches("\nouter:greedy.1 ", shown, 1, true)
      assert.are.equal("", run("ps", "--parked", "--state", "all").out:match("\nouter +outer") or "")
    end)

    it("continues, once; what is not parked is told so, with the state it is in", function()
      run("run", parks, "greedy", "--id", "g")
      assert.are.equal(0, run("continue", "g").code)
      local got = run("continue", "g")
      assert.are.equal(1, got.code)
      assert.matches("'g' is not parked: it runs, or rests until a process drives it", got.err, 1, true)
      assert.are.equal(3, run("resume", "g").code)
      run("run", script, "nothing", "--id", "n")
      assert.matches("'n' is not parked: it has ended", run("continue", "n").err, 1, true)
      local process = holder("w")
      assert.matches("'w' is not parked: it waits for others", run("continue", "w").err, 1, true)
      cli.release(process, "w")
    end)

    it("is not cancelled: it could undo nothing; --hard cuts it", function()
      run("run", parks, "outer", "--id", "o")
      local got = run("cancel", "o:greedy.1")
      assert.are.same({ 1, "" }, { got.code, got.out })
      assert.matches("'o:greedy.1' is parked and can undo nothing", got.err, 1, true)
      assert.matches("dahost ps --parked tells what mends it", got.err, 1, true)
      assert.matches("dahost cancel --hard 'o:greedy.1'", got.err, 1, true)
      assert.are.equal("pending", promises("o")["o:greedy.1"])

      got = run("cancel", "o:greedy.1", "no use", "--hard", "--json")
      assert.are.same({ 0, true, "canceled" }, { got.code, row_of(got.out).cut, row_of(got.out).promise })
      assert.are.same({ "canceled", "no use" }, { row_of(got.out).value.name, row_of(got.out).value.message })
      got = run("resume", "o") -- its parent hears of it
      assert.are.equal(1, got.code)
      assert.matches("[canceled] no use", got.err, 1, true)
      assert.are.equal("", run("ps", "--parked", "--json").out)
    end)
  end)

  describe("cancel --hard", function()
    it("settles what is pending below, and nothing that has ended", function()
      local tree = place:write("tree.lua", [[
        local da = require "da"
        local async, await, step = da.async, da.await, da.step
        function step.one() return 1 end
        function async.leaf() await(step.one()) await(da.promise("never")) end
        function async.main()
          await(async.leaf2())
          local list = {}
          for i = 1, 3 do list[i] = async.leaf() end
          da.promise("aside")
          print "all are there"
          await(da.all(list))
        end
        function async.leaf2() return await(step.one()) end]])
      local process = place:spawn("run", tree, "main", "--id", "t")
      process:wait_for("all are there")
      local function there()
        local states = promises("t")
        for i = 1, 3 do
          if not states["t:leaf." .. i .. ".never.1"] then return false end
        end
        return true
      end
      while not there() do assert.is_nil(process.ended) end
      process:signal_with("sigkill"):wait()
      assert.are.equal(0, run("cancel", "t", "--hard").code)
      local states = promises("t")
      assert.are.same({ "canceled", "canceled", "canceled", "canceled", "canceled", "canceled" }, { states.t,
        states["t:leaf.1"], states["t:leaf.2"], states["t:leaf.3"], states["t:leaf.2.never.1"], states["t:aside.1"] })
      assert.are.same({ "resolved", "resolved", "resolved" },
        { states["t:leaf2.1"], states["t:leaf2.1.one.1"], states["t:leaf.3.one.1"] })
      local got = run("run", tree, "main", "--id", "t")
      assert.are.equal(4, got.code)
      assert.matches("[canceled] canceled", got.err, 1, true)
      assert.are.equal(0, run("verify").code)
    end)

    it("ends what another process runs, and that process with it", function()
      local process = holder("w")
      local got = run("cancel", "w", "enough", "--hard")
      assert.are.equal(0, got.code)
      assert.matches("w was cut off, with all that was pending below it", got.err, 1, true)
      assert.are.equal(4, process:wait().code)
      assert.matches("[canceled] enough", process.err, 1, true)
      assert.are.equal("canceled", promises("w")["w:p.1"])
    end)

    it("changes nothing that has ended: 0 if it ended so, 1 if otherwise", function()
      run("start", script, "waits", "--id", "w")
      assert.are.equal(0, run("cancel", "w", "--hard").code)
      local got = run("cancel", "w", "--hard")
      assert.are.equal(0, got.code)
      assert.matches("w was canceled before, ", got.err, 1, true)
      assert.are.equal(1, run("cancel", "w", "for another reason", "--hard").code)
      run("run", script, "works", "1", "--id", "d")
      assert.are.equal(1, run("cancel", "d", "--hard").code)
      assert.are.equal("[2,4]\n", run("resume", "d").out)
      run("promise", "create", "p")
      assert.are.equal(1, run("cancel", "p", "--hard").code)
      assert.are.equal("pending", row_of(run("get", "p", "--json").out).promise)
    end)
  end)

  it("exits with 4 for what is cancelled or timed out", function()
    local process = holder("w")
    assert.are.equal(0, run("cancel", "w", "not wanted").code)
    process:wait()
    assert.are.equal(4, process.code)
    assert.matches("[canceled] not wanted", process.err, 1, true)
    process = holder("cut")
    assert.are.equal(0, run("promise", "cancel", "cut").code)
    assert.are.equal(4, process:wait().code)
  end)
end)
