-- schedule_spec.lua - schedules with the real program: declared by scripts, made by hand, fired, killed, changed, deleted.
--
-- DAHOST_TIME_FACTOR lets seconds pass in hundredths; the clock of a next life begins where the last one's ended.
--
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local harness = require("spec.support.harness")
local program = require("spec.support.program")

local run, rows_of, row_of = cli.run, cli.rows_of, cli.row_of

local TICK = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.note(what) return what .. "!" end
function async.tick(what, options) return await(step.note(what)), options end
function async.other() return "other" end
da.schedule("stars", "* * * * * *", async.tick, "a", { list = { 1, 2 }, deep = { flag = true } })
]]

describe("a schedule", function()
  local place, script

  before_each(function()
    place = cli.begin()
    script = place:write("tick.lua", TICK)
  end)
  after_each(cli.finish)

  local function spawn(env, ...)
    return program.spawn({ ... }, { data = place.data, cwd = place.dir, env = env })
  end

  local function serve(env, ...) return spawn(env, "serve", ...):wait_for("serving " .. place.data) end

  local function stop(process)
    process:signal_with("sigterm"):wait()
    assert.are.equal(0, process.code)
    assert.are.equal(0, run("verify").code)
  end

  -- The instants at which executions of the schedule were made, in order; each must be resolved if `resolved` is set.
  local function fired(id, resolved)
    local list = {}
    for _, row in ipairs(rows_of(run("ps", "--state", "all", "--json").out)) do
      local at = row.id:match("^" .. id:gsub("%p", "%%%0") .. "%.(%d+)$")
      if at then
        list[#list + 1] = math.tointeger(at)
        if resolved then assert.are.equal("resolved", row.promise, row.id) end
      end
    end
    table.sort(list)
    return list
  end

  local function without_gap(list, step_ms)
    for i = 2, #list do assert.are.equal(list[i - 1] + step_ms, list[i]) end
  end

  -- Lets the store's clock pass that time without a process that serves.
  local function outage(seconds)
    local sleeper = place:write("sleeper.lua", [[
local da = require "da"
function da.async.sleeps(d) da.await(da.sleep(d)) end]])
    local env = { DAHOST_TIME_FACTOR = "200" }
    local got = spawn(env, "run", sleeper, "sleeps", tostring(seconds)):wait()
    assert.are.equal(0, got.code, got.err)
  end

  it("is declared where it is served, and each firing is an execution of its own", function()
    local process = serve({ DAHOST_TIME_FACTOR = "20" }, script)
    process:wait_for("schedule stars (* * * * * *) runs next at ")
    for _ = 1, 3 do process:wait_for(" resolved\n") end
    stop(process)
    local list = fired("stars")
    assert.is_true(#list >= 3)
    without_gap(list, 1000)
    local row = row_of(run("get", "stars." .. list[1], "--json").out)
    assert.are.same({ "resolved", "tick", { { "a", { list = { 1, 2 }, deep = { flag = true } } } } },
      { row.promise, row["function"], { row.args } })
    assert.are.equal(list[1], row.createdAt)
    local schedule = row_of(run("schedule", "get", "stars", "--json").out)
    assert.are.same({ list[#list], list[#list] + 1000, "all", "tick" },
      { schedule.lastRunAt, schedule.nextRunAt, schedule.catchUp, schedule["function"] })
  end)

  it("rests while nothing serves; then what was missed runs, in order, none of it twice", function()
    stop(serve({}, script):wait_for("schedule stars"))
    local before = #fired("stars")
    outage(20)
    assert.are.equal(before, #fired("stars"))
    local process = serve({}, script)
    for _ = 1, 20 do process:wait_for(" resolved\n") end
    stop(process)
    local list = fired("stars")
    assert.is_true(#list >= before + 20)
    without_gap(list, 1000)
  end)

  it("survives kills at its writes without a gap and without a double", function()
    local step, last = 2, 12
    if os.getenv("DA_LONG") == "1" then step, last = 1, 60 end
    for n = 2, last, step do
      local env = { DAHOST_TIME_FACTOR = "20", DAHOST_KILL = (n // step % 2 == 0 and "commit.before:" or "commit.after:") .. n }
      local process = spawn(env, "serve", script):wait()
      assert.are.equal(9, process.signal, process.err)
    end
    local process = serve({}, script)
    process:wait_for(" resolved\n")
    run("schedule", "delete", "stars")
    for _, row in ipairs(rows_of(run("ps", "--json").out)) do process:wait_for(row.id .. " resolved\n") end
    stop(process)
    local list = fired("stars", true)
    assert.is_true(#list > 3)
    without_gap(list, 1000)
  end)

  it("fires no more once it is deleted", function()
    local process = serve({ DAHOST_TIME_FACTOR = "20" }, script)
    process:wait_for(" resolved\n")
    local got = run("schedule", "delete", "stars")
    assert.are.equal(0, got.code)
    assert.matches("stars was deleted; what it started goes on\n$", got.err)
    local count = #fired("stars")
    outage(5)
    assert.are.equal(count, #fired("stars"))
    stop(process)
  end)

  it("keeps its next run while it is declared unchanged, and begins anew when it is not", function()
    local function declared(cron)
      local text = TICK:gsub('"%* %* %* %* %* %*"', cron)
      local process = serve({}, place:write("tick.lua", text))
      repeat local got = cli.run("schedule", "get", "stars") until got.code == 0
      stop(process)
      return process.err:find("schedule stars", 1, true) ~= nil, row_of(run("schedule", "get", "stars", "--json").out)
    end
    local changed, first = declared('"@every 5h"')
    assert.is_true(changed)
    local again, same = declared('"@every 5h"')
    assert.is_false(again)
    assert.are.same(first, same)
    local _, other = declared('{ cron = "@every 5h", catch_up = "last" }')
    assert.are.equal("last", other.catchUp)
    assert.is_true(other.createdAt > first.createdAt)
  end)

  it("is taken over from a file that is loaded again", function()
    local process = serve({}, script)
    place:write("tick.lua", (TICK:gsub('"stars", "%* %* %* %* %* %*"', '"stars", "@daily"')))
    process:signal_with("sighup"):wait_for("schedule stars (@daily) runs next at ")
    place:write("tick.lua", TICK .. "\nda.schedule('bad', 'x', async.tick)")
    process:signal_with("sighup"):wait_for("tick.lua stays as it was: ")
    assert.are.equal("@daily", row_of(run("schedule", "get", "stars", "--json").out).cron)
    stop(process)
  end)

  it("that two files declare is refused, naming both", function()
    local other = place:write("other.lua", (TICK:gsub("async.tick", "async.tock"):gsub("async.other", "async.another")))
    local process = spawn({}, "serve", script, other):wait()
    assert.are.equal(2, process.code)
    assert.matches("tick.lua and " .. other .. ":6 both declare schedule 'stars'; give one another id", process.err, 1, true)
  end)

  it("fires once when the machine's clock is set forth, and goes on when it is set back", function()
    local shim = place.dir .. "/shim.so"
    assert(os.execute(("cc -shared -fPIC -O1 -o %s spec/system/clock_shim.c"):format(shim)))
    local env = { LD_PRELOAD = shim, CLOCK_SHIM = place.dir .. "/offset" }
    if harness.sanitized then env.ASAN_OPTIONS = "verify_asan_link_order=0:" .. (os.getenv("ASAN_OPTIONS") or "") end
    local function set(ms)
      place:write("offset.new", tostring(ms))
      assert(os.rename(place.dir .. "/offset.new", place.dir .. "/offset"))
    end
    set(0)
    place:write("tick.lua", (TICK:gsub('"%* %* %* %* %* %*"', '{ cron = "* * * * * *", catch_up = "last" }')))
    local process = serve(env, script)
    process:wait_for(" resolved\n")
    set(3600000)
    for _ = 1, 2 do process:wait_for(" resolved\n") end
    set(0)
    for _ = 1, 2 do process:wait_for(" resolved\n") end
    process:signal_with("sigterm"):wait()
    local list, jumps = fired("stars"), 0
    for i = 2, #list do
      local passed = list[i] - list[i - 1] -- a busy machine may miss some of them
      if passed >= 3500000 then jumps = jumps + 1 else assert.is_true(passed >= 1000 and passed < 60000, passed) end
    end
    assert.are.equal(1, jumps)
    assert.are.equal(0, spawn(env, "verify"):wait().code)
  end)

  it("whose function nobody defines is told of once, and stops nothing else", function()
    assert.are.equal(0, run("schedule", "create", "gone", "* * * * * *", "nope").code)
    local process = serve({ DAHOST_TIME_FACTOR = "20" }, script)
    for _ = 1, 4 do process:wait_for(" resolved\n") end
    stop(process)
    local _, count = process.err:gsub("no file that serves group 'default' defines a workflow 'nope', but other, tick", "")
    assert.are.equal(1, count, process.err)
    assert.is_true(#fired("gone") >= 3)
  end)

  it("is not fired by run, which says so", function()
    local got = run("run", script, "other")
    assert.are.same({ 0, '"other"\n' }, { got.code, got.out })
    assert.matches("tick.lua declares schedule stars, which fires only under dahost serve\n", got.err, 1, true)
    assert.are.equal("", run("schedule", "search").out)
    got = run("run", script, "other", "-q")
    assert.not_matches("schedule", got.err, 1, true)
  end)
end)

describe("dahost schedule", function()
  before_each(function() cli.begin() end)
  after_each(cli.finish)

  it("next tells when an expression comes, as the zone's clock shows it", function()
    local got = run("schedule", "next", "30 2 29 3 *", "--tz", "Europe/Vienna", "--limit", "1")
    assert.are.equal(0, got.code)
    assert.matches("^20%d%d%-03%-29 0[23]:[03]0:00%+02:00 %u%l%l\n$", got.out)
    got = run("schedule", "next", "0 0 1 1 *", "--json", "--limit", "2")
    local rows = rows_of(got.out)
    assert.are.equal(2, #rows)
    assert.matches("^20%d%d%-01%-01 00:00:00%+00:00 ", rows[1]["local"])
    assert.is_true(rows[2].at > rows[1].at)
    assert.are.equal(10, select(2, run("schedule", "next", "@hourly").out:gsub("\n", "")))
  end)

  it("refuses what cannot be, and says what could", function()
    local rows = {
      { 2, "cron expression '61 * * * *', column 1: 61 is no minute; it goes from 0 to 59", "next", "61 * * * *" },
      { 1, "'0 0 31 2 *' never comes: no month has such a day", "next", "0 0 31 2 *" },
      { 2, "there is no zone 'Europe/Wien' in", "next", "@daily", "--tz", "Europe/Wien" },
      { 2, "'../x' is not the name of a zone", "next", "@daily", "--tz", "../x" },
      { 2, "--limit wants a number from 1 to 100000, not '0'", "next", "@daily", "--limit", "0" },
      { 2, "Invalid cron expression: column 1: 3 fields", "create", "z", "* * *", "f" },
      { 2, "Invalid cron expression: it never comes", "create", "z", "0 0 31 2 *", "f" },
      { 2, "Schedule ID must not contain ':'", "create", "z:1", "* * * * *", "f" },
      { 2, "there is no zone 'X'", "create", "z", "* * * * *", "f", "--tz", "X" },
      { 2, "--catch-up is all, last or none, not 'some'", "create", "z", "* * * * *", "f", "--catch-up", "some" },
      { 2, "give arguments as words or as --args, not both", "create", "z", "* * * * *", "f", "1", "--args", "[]" },
      { 1, "no schedule 'z' in", "get", "z" },
      { 1, "no schedule 'z' in", "delete", "z" },
    }
    run("schedule", "create", "there", "@daily", "f", "-q")
    for _, row in ipairs(rows) do
      local got = run("schedule", table.unpack(row, 3))
      assert.are.equal(row[1], got.code, got.err)
      assert.matches(row[2], got.err, 1, true)
      assert.are.equal("", got.out)
    end
  end)

  it("creates, shows, lists and deletes, with or without a holder", function()
    local function round()
      local got = run("schedule", "create", "r", "30 6 * * mon-fri", "report", '"eu"', "5", "--tz", "Europe/Vienna",
        "--catch-up", "none", "--json")
      local made = row_of(got.out)
      assert.are.same({ "r", "30 6 * * mon-fri", "Europe/Vienna", "none", "report", { "eu", 5 }, true },
        { made.id, made.cron, made.tz, made.catchUp, made["function"], made.args, made.created })
      got = run("schedule", "create", "r", "@daily", "report")
      assert.are.equal(0, got.code)
      assert.matches("r was there already; nothing changed", got.err, 1, true)
      assert.matches("\ncron      30 6 * * mon-fri\ntz        Europe/Vienna\ncatch up  none\nfunction  report\nargs      [\"eu\",5]\n",
        run("schedule", "get", "r").out, 1, true)
      run("schedule", "create", "a", "@every 10m", "report", "-q")
      local lines = {}
      for line in run("schedule", "search").out:gmatch("[^\n]+") do lines[#lines + 1] = line:gsub("%d+%-%d+%-%d+ [%d:+-]+", "T") end
      assert.are.same({
        "ID  CRON              ZONE           FUNCTION  NEXT                       LAST",
        "a   @every 10m        UTC            report    T  not yet",
        "r   30 6 * * mon-fri  Europe/Vienna  report    T  not yet",
      }, lines)
      assert.are.equal(1, #rows_of(run("schedule", "search", "--json", "--limit", "1", "-q").out))
      for _, id in ipairs { "a", "r" } do assert.are.equal(0, run("schedule", "delete", id).code) end
      assert.matches("no schedule here", run("schedule", "search").err, 1, true)
    end
    run("schedule", "create", "first", "@daily", "f", "-q")
    run("schedule", "delete", "first")
    round()
    local place, script = cli.begin()
    local holder = place:spawn("serve", script):wait_for("serving")
    round()
    holder:signal_with("sigterm"):wait()
    place:remove()
  end)
end)
