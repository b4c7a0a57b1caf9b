-- steps_spec.lua - da.progress, and steps under way as ps, tree, get and the view of run show them.
--
-- A step of these scripts runs until the spec removes the file `hold`; so there is no time to be met.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local program = require("spec.support.program")

local rows_of, row_of = cli.rows_of, cli.row_of

local SCRIPT = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step

local function hold(file)
  while io.open(file) do os.execute "sleep 0.02" end
end
function step.copy(file)
  da.progress(3, 10, "copying")
  print "copies"
  hold(file)
  return "copied"
end
function step.waits(file) print "waits" hold(file) return "waited" end
function step.fails() error "no route to host" end
function step.quick() return "quick" end
function step.says(...) da.progress(...) return "said" end
function step.twice(file)
  if da.attempt() == 1 then da.progress(9) error "once" end
  print "once more"
  hold(file)
end
function step.counts(n) for i = 1, n do da.progress(i, n, "counting") end return n end

function async.one(file) return await(step.copy(file)) end
function async.many(file)
  local late = step.waits:with { timeout = "50ms" }(file)
  pawait(late)
  local copy, quick = step.copy(file), step.quick()
  local fails = step.fails:with { retry = { first = 600, cap = 600, max = 3 } }()
  await(copy, quick)
  fails:ignore():cancel("enough")
  return "done"
end
function async.tells(...) return await(step.says:with { retry = false }(...)) end
function async.repeats(file) return await(step.twice:with { retry = { first = 0.01 } }(file)) end
function async.adds(n) return await(step.counts(n)) end
]]

describe("steps under way", function()
  local place, script, hold

  before_each(function()
    place = program.place()
    script, hold = place:write("wf.lua", SCRIPT), place:write("hold", "")
  end)
  after_each(function()
    os.remove(hold)
    place:remove()
  end)

  local function release(process)
    os.remove(hold)
    return process:wait()
  end

  local function row(rows, id)
    for _, r in ipairs(rows) do
      if r.id == id then return r end
    end
  end

  -- Asks until the answer is as wanted: what a step says comes when it comes.
  local function asked(test, ...)
    for _ = 1, 200 do
      local got = place:run(...)
      if test(got.out) then return got.out end
    end
    error("never came: " .. place:run(...).out)
  end

  it("are shown with what they say of their progress", function()
    local process = place:spawn("run", script, "one", hold, "--id", "x"):wait_for("copies")
    local tree = asked(function(text) return text:find("copying", 1, true) end, "tree", "x")
    assert.matches("^x  one  running .-\n  copy%.1  running [%d.]+ m?s  3/10 copying\n$", tree)
    assert.matches("\nx +one +running +.- +copy%.1 [%d.]+ m?s  3/10 copying\n", place:run("ps").out)
    assert.matches("\nsteps     copy%.1 [%d.]+ m?s  3/10 copying\n", place:run("get", "x").out)
    assert.matches("\nstate     running, .-\nprogress  3/10 copying\n", place:run("get", "x:copy.1").out)
    local r = row_of(place:run("ps", "--steps", "--json").out)
    assert.same({ "x:copy.1", "x", "copy", "running", 1, { done = 3, total = 10, note = "copying" } },
      { r.id, r.execution, r["function"], r.state, r.attempt, r.progress })
    assert.is_true(r.begunAt > 1600000000000)
    assert.matches("^STEP +STATE +SINCE +ATTEMPT +PROGRESS\nx:copy%.1 +running +[%d.]+ m?s +1 +3/10 copying\n$",
      place:run("ps", "--steps").out)
    assert.same({ 0, '"copied"\n' }, { release(process).code, process.out })
    assert.matches("no step is under way here", place:run("ps", "--steps").err)
    assert.equal("", place:run("ps", "--steps", "--json").out)
  end)

  it("are told from those that are abandoned, queued and waiting for another attempt", function()
    local process = place:spawn("run", script, "many", hold, "--id", "x", "--step-threads", "1"):wait_for("copies")
    local rows = rows_of(place:run("ps", "--steps", "--json").out)
    assert.equal(4, #rows)
    assert.equal("abandoned", row(rows, "x:waits.1").state)
    assert.equal("running", row(rows, "x:copy.1").state)
    assert.equal("queued", row(rows, "x:quick.1").state)
    assert.is_nil(row(rows, "x:quick.1").begunAt)
    assert.equal("queued", row(rows, "x:fails.1").state)
    process:signal_with("sigkill"):wait()
    process = place:spawn("resume", "x", "--step-threads", "3"):wait_for("copies")
    local text = asked(function(text) return text:find("retrying", 1, true) end, "ps", "--steps", "--json")
    local fails = row(rows_of(text), "x:fails.1")
    assert.same({ "retrying", 2 }, { fails.state, fails.attempt })
    assert.matches("no route to host", fails.note)
    assert.is_true(fails.retryAt > 1600000000000)
    local human = place:run("ps", "--steps").out
    assert.matches("\nx:fails%.1 +retrying +in %d+ min.- +2 +%[error%] wf.lua:%d+: no route to host\n", human)
    assert.equal(1, #rows_of(place:run("ps", "--steps", "--json", "--limit", "1").out))
    assert.same({ 0, '"done"\n' }, { release(process).code, process.out })
  end)

  it("forget what an attempt said when the next one begins", function()
    local process = place:spawn("run", script, "repeats", hold, "--id", "x"):wait_for("once more")
    assert.matches("\n  twice%.1  running [%d.]+ m?s  attempt 1 failed: ", place:run("tree", "x").out)
    local r = row_of(place:run("ps", "--steps", "--json").out)
    assert.same({ 2 }, { r.attempt, r.progress })
    assert.equal(0, release(process).code)
  end)

  it("say as much as they like and wait for nobody", function()
    local process = place:run("run", script, "adds", "200000", "--id", "x")
    assert.same({ 0, "200000\n" }, { process.code, process.out })
    local got = row_of(place:run("get", "x:counts.1", "--json").out)
    assert.is_true(got.settledAt - got.createdAt < 5000, got.settledAt - got.createdAt .. " ms")
  end)

  it("show in the view of a terminal, however narrow, and nowhere else", function()
    local wide = program.spawn({ "run", script, "one", hold, "--id", "x" },
      { data = place.data, cwd = place.dir, pty = { columns = 80, rows = 24 } })
    wide:wait_for("3/10 copying", "out"):signal_with("sigkill"):wait()
    local narrow = program.spawn({ "run", script, "one", hold, "--id", "x" },
      { data = place.data, cwd = place.dir, pty = { columns = 30, rows = 24 } })
    narrow:wait_for("3/", "out"):signal_with("sigkill"):wait()
    local plain = place:spawn("run", script, "one", hold, "--id", "x"):wait_for("copies")
    assert.matches("copying", asked(function(text) return text:find("copying", 1, true) end, "tree", "x"))
    release(plain)
    assert.is_nil(plain.err:find("3/10", 1, true))
  end)

  it("refuse what is no progress, at the script's own line", function()
    for args, words in pairs {
      ['["half"]'] = "wf.lua:%d+: da.progress%(done, total, note%): done must be a number from 0 on, not string",
      ['[-1]'] = "done must be a number from 0 on",
      ['[1,"two"]'] = "total must be a number from 0 on, or nil if it is not known",
      ['[1,2,{}]'] = "the note must be a string, not a table",
    } do
      local run = place:run("run", script, "tells", "--args", args)
      assert.equal(1, run.code)
      assert.matches(words, run.err)
    end
    for _, args in ipairs { "[0]", "[1,null,\"a\"]", ('[1,2,"%s"]'):format(("é"):rep(80)) } do
      assert.equal(0, place:run("run", script, "tells", "--args", args).code, args)
    end
  end)
end)
