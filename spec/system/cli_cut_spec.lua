-- cli_cut_spec.lua - `dahost ps --cut`: executions that were ended from outside with calls still to be undone.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local harness = require("spec.support.harness")

local SCRIPT = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.act(x) return x end
function step.undo(x) return x end
local function grow() local t = "x" while true do t = t .. t end end
function async.fine() local s <close> = da.saga() s:on_fail(step.undo, 1) await(step.act(1)) end
function async.bad() local s <close> = da.saga() s:on_fail(step.undo, 1) await(step.act(1)) error "x" end
function async.none() await(step.act(1)) grow() end
function async.parks()
  local s <close> = da.saga()
  for i = 1, 2 do s:on_fail(step.undo, i, { n = i }); await(step.act(i)) end
  s:on_fail(grow)
  do local inner <close> = da.saga() inner:on_fail(step.undo, "ended well") end
  await(step.act(3))
  grow()
end
function async.midst()
  local s <close> = da.saga()
  s:on_fail(step.undo, "first")
  s:on_fail(function() await(step.undo "second") grow() end)
  s:on_fail(step.undo, "third")
  error "x"
end
function async.late()
  local s <close> = da.saga()
  s:on_fail(step.undo, "late")
  await(step.act(1))
  da.shield(function() await(da.promise "never") end)
end
function async.elsewhere()
  local s <close> = da.saga()
  local p = da.promise("x", { id = "shared", timeout = "1ms" })
  pawait(p)
  s:on_fail(step.undo, "behind")
  await(step.act(1))
  grow()
end
function async.kid() local s <close> = da.saga() s:on_fail(step.undo, "kid") await(step.act(1)) grow() end
function async.parent() local s <close> = da.saga() s:on_fail(step.undo, "parent") await(async.kid()) end
]]

describe("ps --cut", function()
  local place, path
  before_each(function()
    place = harness.place(true)
    path = place.dir .. "/wf.lua"
    local file = assert(io.open(path, "w"))
    file:write(SCRIPT)
    file:close()
  end)
  after_each(function() harness.remove(place) end)

  local function dahost(...) return harness.dahost({ ... }, { env = { DAHOST_DATA = place.data } }) end
  -- Runs it, and cuts it where it is parked.
  local function cut(func)
    dahost("run", path, func, "--id", func, "--quiet")
    local got = dahost("cancel", func, "--hard")
    assert.are.equal(0, got.code, got.err)
  end

  it("lists calls that were not undone, newest first, with arguments and places", function()
    cut "parks"
    local got = dahost("ps", "--cut")
    assert.are.equal(0, got.code, got.err)
    local head, rest = got.out:match("^([^\n]+)\n(.*)$")
    assert.truthy(head:find("^parks  parks  canceled .* ago, not undone:$"), head)
    assert.are.equal('  function()  wf.lua:12\n  step.undo(2,{"n":2})  wf.lua:11\n  step.undo(1,{"n":1})  wf.lua:11\n', rest)
    local row = cli.row_of(dahost("ps", "--cut", "--json").out)
    assert.are.equal("parks", row.id)
    assert.are.equal("canceled", row.promise)
    assert.are.same({ ["function"] = "step.undo", at = "wf.lua:11", args = { 2, { n = 2 } } }, row.undos[2])
    assert.are.equal(3, #row.undos)
  end)

  it("leaves out those that were undone before the cut, and keeps the one under way", function()
    cut "midst"
    local got = dahost("ps", "--cut")
    assert.are.equal("  function()  wf.lua:20\n  step.undo(\"first\")  wf.lua:19\n", got.out:match("\n(.*)$"), got.err)
  end)

  it("says nothing of what ended by itself or had nothing to undo", function()
    dahost("run", path, "fine", "--id", "fine")
    dahost("run", path, "bad", "--id", "bad")
    cut "none"
    local got = dahost("ps", "--cut")
    assert.are.equal("", got.out)
    assert.are.equal(0, got.code)
    assert.truthy(got.err:find("nothing was cut that had calls to undo", 1, true), got.err)
  end)

  it("finds what the end of the grace cut, swept or not", function()
    -- The deadline must leave a loaded machine the time to make the first call; the grace is a second.
    local env = { DAHOST_DATA = place.data, DAHOST_TIME_FACTOR = "60" }
    local got = harness.dahost({ "run", path, "late", "--id", "late", "--timeout", "30s" }, { env = env })
    assert.are.equal(4, got.code, got.err)
    got = harness.dahost({ "ps", "--cut" }, { env = env })
    assert.truthy(got.out:find('^late  late  timed out .* ago, not undone:\n  step.undo%("late"%)  wf.lua:26\n$'), got.out .. got.err)
  end)

  it("follows promises of other lineages as far as they were known", function()
    cut "elsewhere"
    local got = dahost("ps", "--cut")
    assert.truthy(got.out:find('step.undo("behind")', 1, true), got.out .. got.err)
  end)

  it("looks at children that were cut with their parent, each for itself", function()
    cut "parent"
    local rows = cli.rows_of(dahost("ps", "--cut", "--json").out)
    assert.are.equal(2, #rows)
    assert.are.same({ "parent", "parent:kid.1" }, { rows[1].id, rows[2].id })
    assert.are.same({ "parent", "kid" }, { rows[1].undos[1].args[1], rows[2].undos[1].args[1] })
    assert.are.equal(1, #cli.rows_of(dahost("ps", "--cut", "--json", "--limit", "1").out))
  end)

  it("changes nothing", function()
    cut "parent"
    local before = dahost("tree", "parent", "--json").out
    dahost("ps", "--cut")
    assert.are.equal(before, dahost("tree", "parent", "--json").out)
    assert.are.equal(0, dahost("verify").code)
  end)

  it("refuses what does not go with it, and says when there is no store", function()
    cut "none"
    local got = dahost("ps", "--cut", "--parked")
    assert.are.equal(2, got.code)
    assert.truthy(got.err:find("--cut stands without --state, --parked, --steps and --where", 1, true), got.err)
    got = dahost("ps", "--cut", "--limit", "none")
    assert.are.equal(2, got.code)
    got = dahost("ps", "--cut", "--data", place.dir .. "/nowhere")
    assert.are.equal(2, got.code)
    assert.truthy(got.err:find("there is no store at", 1, true), got.err)
  end)
end)
