-- serve_spec.lua - the process that stays: ready, asked by others, told to load again, told to end, killed.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local cli = require("spec.support.cli")
local program = require("spec.support.program")

local run, rows_of = cli.run, cli.rows_of

local OTHER = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
print "the other one loads"
function step.hang() while true do end end
function step.flaky(n) if da.attempt() < n then error "not yet" end return n end
function async.hangs() print "about to hang" return await(step.hang()) end
function async.tries(n) return await(step.flaky:with { retry = { first = 0.01 } }(n)) end
function async.parks() local n = 0 await(step("count", function() n = n + 1 end)) return n end
]]

describe("dahost serve", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

  local function serve(...)
    return place:spawn("serve", ...):wait_for("serving " .. place.data)
  end

  local function stop(process, signal)
    process:signal_with(signal or "sigterm"):wait()
    assert.are.same({ 0, "" }, { process.code, process.out })
    assert.matches("stopped; what is not finished goes on with the next dahost serve\n$", process.err)
    assert.are.equal(0, run("verify").code)
  end

  it("says first what it serves, then what the files printed", function()
    local process = serve(script, place:write("other.lua", OTHER))
    process:wait_for("the other one loads\n")
    assert.are.equal("listening on http://" .. process.err:match("127.0.0.1:%d+") .. "\nserving " .. place.data
      .. ": step.double, echo, fails, forgets, nothing, parent, "
      .. "sleeps, step.talk, talks, three, waits, works (wf.lua); step.flaky, step.hang, hangs, parks, tries (other.lua)\n"
      .. "the other one loads\n", process.err)
    stop(process)
  end)

  it("runs what others ask of it, and tells how each ends", function()
    local process = serve(script, place:write("other.lua", OTHER))
    local got = run("run", script, "works", "4", "--id", "w")
    assert.are.same({ 0, "[8,10]\n" }, { got.code, got.out })
    assert.matches("process " .. process.pid .. " holds the store; following it there", got.err, 1, true)
    assert.not_matches("resting here", got.err)
    process:wait_for("w resolved\n")
    assert.are.equal(1, run("run", script, "fails", "1", "--id", "f").code)
    process:wait_for("f rejected\n")
    assert.are.equal("t\n", run("start", place.dir .. "/other.lua", "tries", "2", "--id", "t").out)
    process:wait_for("t:flaky.1 attempt 1 failed: [error] other.lua:5: not yet\n"):wait_for("t resolved\n")
    assert.are.equal(3, run("run", place.dir .. "/other.lua", "parks", "--id", "p").code)
    process:wait_for("dahost: p parked: inline step 'count' (other.lua:8) assigned to 'n'")
    assert.are.equal("c\n", run("start", script, "waits", "--id", "c").out)
    process:wait_for("waiting for c:p.1\n")
    assert.are.equal(0, run("cancel", "c").code)
    process:wait_for("c canceled\n")
    stop(process)
  end)

  it("does not tell one that follows what others run", function()
    local process = serve(script)
    local follower = place:spawn("run", script, "waits", "--id", "w"):wait_for("w waits for w:p.1")
    run("run", script, "talks", "--id", "other")
    assert.are.equal(0, run("promise", "resolve", "w:p.1", "1").code)
    follower:wait()
    assert.are.same({ 0, "1\n" }, { follower.code, follower.out })
    assert.not_matches("other", follower.err, 1, true)
    assert.not_matches("from the", follower.err, 1, true)
    process:wait_for("other resolved")
    stop(process)
  end)

  it("lets followers come and go", function()
    local process = serve(script)
    run("start", script, "waits", "--id", "w")
    local followers = {}
    for i = 1, 12 do followers[i] = place:spawn("resume", "w"):wait_for("w waits for w:p.1") end
    for i = 1, 12 do
      if i % 3 > 0 then followers[i]:signal_with(i % 3 == 1 and "sigkill" or "sigint"):wait() end
    end
    assert.are.equal(0, run("promise", "resolve", "w:p.1", "7").code)
    for i = 3, 12, 3 do assert.are.same({ 0, "7\n" }, { followers[i]:wait().code, followers[i].out }) end
    stop(process)
  end)

  it("takes up all that rests in the store, without a file too", function()
    for i = 1, 3 do run("start", script, "waits", "--id", "w" .. i) end
    local process = serve()
    for _ = 1, 3 do process:wait_for("waiting for w") end
    for i = 1, 3 do assert.are.equal(0, run("promise", "resolve", "w" .. i .. ":p.1", i).code) end
    for i = 1, 3 do assert.are.equal(i .. "\n", run("resume", "w" .. i).out) end
    stop(process, "sigint")
  end)

  it("ends at once when it is told to, whatever a step is at, and the next one goes on", function()
    local other = place:write("other.lua", OTHER)
    for _, signal in ipairs { "sigterm", "sigint" } do
      local process = serve(other)
      run("start", other, "hangs", "--id", signal)
      process:wait_for("about to hang")
      stop(process, signal)
    end
    local process = serve(other)
    local states = {}
    for _, row in ipairs(rows_of(run("ps", "--json").out)) do states[row.id] = row.task.state end
    assert.are.same({ sigterm = "acquired", sigint = "acquired" }, states)
    process:signal_with("sigterm"):signal_with("sigint"):wait()
    assert.are.equal(0, process.code)
  end)

  it("hands what follows it over to the followers when it is killed, and takes the rest up in its next life", function()
    local process = serve(script)
    run("start", script, "waits", "--id", "rests")
    process:wait_for("waiting for rests:p.1")
    local follower = place:spawn("run", script, "waits", "--id", "w"):wait_for("w waits for w:p.1")
    process:signal_with("sigkill"):wait()
    follower:wait_for("process " .. process.pid .. ", which held the store, is gone; going on")
    follower:wait_for("w waits for w:p.1")
    local next_one = place:spawn("serve", script):wait_for("waiting: the store " .. place.data .. " is in use by process "
      .. follower.pid)
    assert.are.equal(0, run("promise", "resolve", "w:p.1", "1").code)
    assert.are.equal("1\n", follower:wait().out)
    next_one:wait_for("serving")
    assert.are.equal(0, run("promise", "resolve", "rests:p.1", "2").code)
    next_one:wait_for("rests resolved\n")
    stop(next_one)
  end)

  it("loses nothing of many executions when it is killed in the middle, again and again", function()
    local many = place:write("many.lua", [=[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.count(n) return n + 1 end
function async.one(n)
  local sum = 0
  for i = 1, 4 do sum = sum + await(step.count(n * i)) await(da.sleep "3ms") end
  return sum
end
function step.begin(n) for i = 1, n do da.start("e-" .. i, async.one, i) end end
function async.all(n)
  await(step.begin(n))
  local sum = 0
  for i = 1, n do sum = sum + await(da.get("e-" .. i)) end
  return sum
end
]=])
    local process = serve(many)
    assert.are.equal("a\n", run("start", many, "all", "200", "--id", "a").out)
    for _ = 1, 4 do
      uv.sleep(40)
      process:signal_with("sigkill"):wait()
      assert.are.equal(0, run("verify").code)
      process = serve(many)
    end
    assert.are.equal(("%d\n"):format(10 * 200 * 201 // 2 + 4 * 200), run("resume", "a").out)
    assert.are.equal(201, #rows_of(run("ps", "--state", "completed", "--json").out))
    stop(process)
  end)

  describe("told to load again", function()
    it("starts new executions with the new code and leaves the old ones theirs", function()
      local process = serve(script)
      run("start", script, "waits", "--id", "old")
      process:wait_for("waiting for old:p.1")
      place:write("wf.lua", (cli.SCRIPT:gsub("return await%(p%)", "return { await(p) }")))
      process:signal_with("sighup"):wait_for("was loaded again: step.double, echo, ")
      run("start", script, "waits", "--id", "new")
      process:wait_for("waiting for new:p.1")
      for _, id in ipairs { "old", "new" } do assert.are.equal(0, run("promise", "resolve", id .. ":p.1", "1").code) end
      assert.are.equal("1\n", run("resume", "old").out)
      assert.are.equal("[1]\n", run("resume", "new").out)
      process:signal_with("sighup"):wait_for(script .. " has not changed")
      place:write("wf.lua", cli.SCRIPT) -- what was served before is new again
      process:signal_with("sighup"):wait_for(script .. " was loaded again")
      stop(process)
    end)

    it("runs steps from the new file, those of old executions too", function()
      local tries = OTHER:gsub("return n end", "return n end", 1)
      local other = place:write("other.lua", tries)
      local process = serve(other)
      run("start", other, "tries", "1000", "--id", "t")
      process:wait_for("t:flaky.1 attempt 1 failed")
      place:write("other.lua", (tries:gsub("if da.attempt%(%) < n then error \"not yet\" end return n", "return 'mended'")))
      process:signal_with("sighup"):wait_for("was loaded again"):wait_for("t resolved")
      assert.are.equal('"mended"\n', run("resume", "t").out)
      stop(process)
    end)

    it("lets a function move from one file to another, and tells when two have it", function()
      local a, b = place:write("a.lua", 'local da = require "da"\n'), place:write("b.lua", OTHER)
      local process = serve(a, b)
      place:write("a.lua", OTHER)
      place:write("b.lua", 'local da = require "da"\n')
      process:signal_with("sighup"):wait_for("a.lua was loaded again"):wait_for("b.lua was loaded again")
      assert.not_matches("both define", process.err)
      place:write("b.lua", 'local da = require "da"\nfunction da.async.parks() return "of b" end\n')
      process:signal_with("sighup"):wait_for("dahost: " .. a .. " and " .. b .. " both define workflow 'parks' for group "
        .. "'default'; a call by name takes the newer one")
      stop(process)
    end)

    it("refuses a file that does not load, in words, and keeps the old code", function()
      local process = serve(script)
      for _, fault in ipairs {
        { "local x = = 1", "wf.lua:1: unexpected symbol near '='" },
        { 'local da = require "da"\nerror "no"', "wf.lua:2: no" },
      } do
        place:write("wf.lua", fault[1])
        process:signal_with("sighup"):wait_for("dahost: " .. script .. " stays as it was: " .. fault[2])
      end
      os.remove(script)
      process:signal_with("sighup"):wait_for("stays as it was: cannot read " .. script .. ": No such file or directory")
      place:write("wf.lua", cli.SCRIPT)
      process:signal_with("sighup"):wait_for(script .. " has not changed")
      stop(process)
    end)
  end)

  describe("refuses", function()
    it("a file that is not there, or does not load, and holds nothing afterwards", function()
      local got = run("serve", "missing.lua")
      assert.are.same({ 2, "", "dahost: cannot read missing.lua: No such file or directory\n" },
        { got.code, got.out, got.err })
      got = run("serve", script, place:write("bad.lua", 'print "half"\nlocal da = require "da"\nda.async.x = 5\n'))
      assert.are.same({ 2, "", "half\ndahost: bad.lua:3: async.x must be a function, got number\n" },
        { got.code, got.out, got.err })
      assert.are.equal("[8,10]\n", run("run", script, "works", "4").out)
    end)

    it("flags it has not and values that are none", function()
      local got = run("serve", script, "--id", "x")
      assert.are.same({ 2, "dahost: serve has no flag --id (other verbs do); see dahost serve --help\n" },
        { got.code, got.err })
      got = run("serve", script, "--warm", "much")
      assert.are.same({ 2, "dahost: --warm wants a number of bytes (0, 500k, 64M), not 'much'\n" }, { got.code, got.err })
    end)

    it("a store that another process goes on to hold", function()
      local holder = cli.holder("w")
      local got = run("serve", script)
      assert.are.equal(74, got.code)
      assert.matches("is in use by process " .. holder.pid .. "; a store has one holder: end that process, or name another "
        .. "--data\n", got.err, 1, true)
      cli.release(holder, "w")
    end)
  end)

  it("is quiet when it is asked to be, but for what is wrong", function()
    local other = place:write("other.lua", OTHER)
    local process = program.spawn({ "serve", other, "--quiet" }, { data = place.data, cwd = place.dir })
    process:wait_for("the other one loads")
    run("run", other, "tries", "2", "--id", "t")
    run("run", other, "parks", "--id", "p")
    process:wait_for("p parked")
    process:signal_with("sigterm"):wait()
    assert.are.same({ 0, 2 }, { process.code, select(2, process.err:gsub("\n", "")) })
  end)
end)
