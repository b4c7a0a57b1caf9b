-- tree_spec.lua - dahost tree: who called whom by indentation, who waits for whom by an arrow, elsewhere too.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local program = require("spec.support.program")
local screen = require("spec.support.screen")

local SCRIPT = [[
local da = require "da"
local async, await, step, pawait = da.async, da.await, da.step, da.pawait
function step.one(n) return n end
function async.kid(n) da.publish("phase", "kid " .. n) return await(da.promise("k")) end
function async.shared() return await(da.promise("s")) end
function async.never() await(da.sleep "1h") end
function async.main()
  await(step.one(1))
  local all = da.all { async.kid(1), async.kid(2) }
  local race = da.race({ da.sleep("1h"), da.promise("quick") })
  local shared = async.shared:with { id = "shared" }()
  local branch = async("branch", function() return await(async.kid(3)) end)
  local never = async.never()
  never:cancel("not needed")
  never:ignore()
  pawait(never)
  async.never:detach()
  local within = da.within("2h", da.promise("within", { timeout = "1d" }))
  return await(all, race, shared, da.get "elsewhere", branch, within)
end
function async.second() return await(async.shared:with { id = "shared" }()) end
function async.rounds(n)
  await(step.one(n))
  if n < 3 then return da.again(n + 1) end
  return await(da.promise("end"))
end
function step.holds(file) while io.open(file) do os.execute "sleep 0.02" end return "held" end
function async.saves(file) for i = 1, 12 do await(step.one(i)) end return await(step.holds(file)) end
]]

describe("dahost tree", function()
  local place, script

  before_each(function()
    place = program.place()
    script = place:write("wf.lua", SCRIPT)
  end)
  after_each(function() place:remove() end)

  -- Lines without times.
  local function tree(id)
    local got = place:run("tree", id)
    assert.equal(0, got.code, got.err)
    local text = got.out:gsub(" [%d.]+ m?s%f[%s]", ""):gsub(" %d+ min %d+ s", ""):gsub("until %d%d%d%d%-%d%d%-%d%d %S+", "until T")
    return text
  end

  -- What both edges are, whatever holds the store.
  local WHOLE = [[
m  main  suspended  → elsewhere, shared, m:branch.1.kid.1, m:kid.1, m:kid.2, m:quick.1, m:within.1, m:~sleep.1, m:~sleep.2
  one.1  resolved
  kid.1  suspended  → m:kid.1.k.1  phase=kid 1
    k.1  pending
  kid.2  suspended  → m:kid.2.k.1  phase=kid 2
    k.1  pending
  ~sleep.1  pending  until T
  quick.1  pending
  → shared  shared  suspended  → shared:s.1
  never.1  completed (canceled)
    ~sleep.1  canceled
  m~never.2  suspended  detached  → m~never.2:~sleep.1
    ~sleep.1  pending  until T
  within.1  pending
  ~sleep.2  pending  until T
  → elsewhere  pending
]]

  local function lines(text)
    local list = {}
    for line in text:gmatch("[^\n]+") do list[#list + 1] = line end
    table.sort(list)
    return list
  end

  it("shows combinators, timers, promises, branches, shared ids, cancelled, detached and awaited ones", function()
    assert.equal(0, place:run("promise", "create", "elsewhere").code)
    local process = place:spawn("run", script, "main", "--id", "m"):wait_for("m sleeps until")
    assert.equal(0, place:run("get", "m").code)
    local branch = "  branch.1  running\n    kid.1  suspended  → m:branch.1.kid.1.k.1  phase=kid 3\n      k.1  pending\n"
    assert.same(lines(WHOLE .. branch), lines(tree("m")))
    process:signal_with("sigkill"):wait()
    local flat = "  branch.1.kid.1  suspended  → m:branch.1.kid.1.k.1  phase=kid 3\n    k.1  pending\n"
    assert.same(lines(WHOLE .. flat), lines(tree("m")))
  end)

  it("shows what is shared where it is awaited, and whole in its own tree", function()
    local process = place:spawn("run", script, "second", "--id", "b"):wait_for("b waits for")
    process:wait_for("shared waits for")
    assert.equal(0, place:run("get", "b").code)
    assert.equal("b  second  suspended  → shared\n  → shared  shared  suspended  → shared:s.1\n", tree("b"))
    assert.equal("shared  shared  suspended  → shared:s.1\n  s.1  pending\n", tree("shared"))
    local rows = cli.rows_of(place:run("tree", "b", "--json").out)
    assert.same({ "shared", "b" }, { rows[2].id, rows[2].under })
    process:signal_with("sigkill"):wait()
  end)

  it("tells a recovery in plain lines and above the tree of a terminal, once", function()
    local hold = place:write("hold", "")
    local process = place:spawn("run", script, "saves", hold, "--id", "order-7"):wait_for("one.12 resolved")
    assert.equal(0, place:run("get", "order-7:one.12").code)
    process:signal_with("sigkill"):wait()
    process = place:spawn("resume", "order-7"):wait_for("order-7 restarted: 12 save points replayed\n")
    process:signal_with("sigkill"):wait()
    local terminal = program.spawn({ "resume", "order-7" }, { data = place.data, cwd = place.dir,
      pty = { columns = 80, rows = 24 } })
    terminal:wait_for("restarted: 12 save points replayed", "out")
    os.remove(hold)
    terminal:wait()
    local shown = screen(terminal.out, 80, 24)
    local text = {}
    for i = 1, #shown.lines do text[i] = shown:line(i) end
    text = table.concat(text, "\n")
    assert.equal(1, select(2, text:gsub("order%-7 restarted: 12 save points replayed", "")), text)
  end)
end)
