-- da_schedule_spec.lua - da.schedule as scripts see it: where it may stand, what it takes, how misuse is told.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.leaf() return 1 end
function async.job(...) return ... end
]]

describe("da.schedule", function()
  local place
  before_each(function() place = cli.begin() end)
  after_each(cli.finish)

  local function load(tail)
    return cli.run("run", place:write("s.lua", HEAD .. tail .. "\n"), "job", "1")
  end

  it("takes an expression or a table, a workflow, and arguments", function()
    local got = load([[
da.schedule("plain", "30 6 * * *", async.job)
da.schedule("args", "@every 10m", async.job, 1, nil, { list = { 1 }, text = "x\0y" }, false)
da.schedule("table", { cron = "0 6 * * mon-fri", tz = "Europe/Vienna", catch_up = "last" }, async.job)
da.schedule("far", "@daily", async.job:at "gpu", 1)
da.schedule("utc", { cron = "@hourly", tz = "UTC" }, async.job)]])
    assert.are.same({ 0, "1\n" }, { got.code, got.out })
    assert.matches("s.lua declares schedule plain and 4 more, which fire only under dahost serve", got.err, 1, true)
  end)

  it("keeps arguments, group and version in what it makes", function()
    place:write("s.lua", HEAD .. [[
da.schedule("args", "@every 10m", async.job, 1, nil, { 2.5, "x" })
da.schedule("far", "@daily", async.job:at "gpu", 1)
]])
    local process = place:spawn("serve", place.dir .. "/s.lua"):wait_for("schedule far (@daily) runs next")
    local args = cli.row_of(cli.run("schedule", "get", "args", "--json").out)
    local far = cli.row_of(cli.run("schedule", "get", "far", "--json").out)
    process:signal_with("sigterm"):wait()
    assert.are.equal("poll://any@default", args.tags["resonate:target"])
    assert.are.same({ 1, [3] = { 2.5, "x" } }, { args.args[1], [3] = args.args[3] })
    assert.are.equal("poll://any@gpu", far.tags["resonate:target"])
  end)

  local refused = {
    { 'da.schedule()', "s.lua:5: da.schedule(id, cron, async.NAME, ...) needs an id that is a string, got" },
    { 'da.schedule("", "@daily", async.job)', "s.lua:5: the id of a schedule must not be empty" },
    { 'da.schedule("a:b", "@daily", async.job)', "s.lua:5: the id of a schedule must not hold ':'" },
    { 'da.schedule(("x"):rep(201), "@daily", async.job)', "s.lua:5: the id of a schedule must not be longer than 200 bytes" },
    { 'da.schedule("x")', "s.lua:5: da.schedule 'x' needs a cron expression or {cron=, tz=, catch_up=}, got" },
    { 'da.schedule("x", 5, async.job)', "s.lua:5: da.schedule 'x' needs a cron expression or {cron=, tz=, catch_up=}, got" },
    { 'da.schedule("x", "61 * * * *", async.job)',
      "s.lua:5: da.schedule 'x': cron expression '61 * * * *', column 1: 61 is no minute; it goes from 0 to 59" },
    { 'da.schedule("x", "0 0 31 2 *", async.job)', "s.lua:5: da.schedule 'x': cron expression '0 0 31 2 *' never comes" },
    { 'da.schedule("x", {}, async.job)', "s.lua:5: da.schedule 'x' has no cron expression" },
    { 'da.schedule("x", { cron = "@daily", zone = "UTC" }, async.job)', "s.lua:5: unknown option 'zone' of da.schedule" },
    { 'da.schedule("x", { cron = "@daily", catchup = "all" }, async.job)', "did you mean 'catch_up'?" },
    { 'da.schedule("x", { cron = "@daily", catch_up = "some" }, async.job)',
      "s.lua:5: da.schedule 'x': catch_up is \"all\", \"last\" or \"none\", not 'some'" },
    { 'da.schedule("x", { cron = "@daily", tz = "Europe/Wien" }, async.job)',
      "s.lua:5: da.schedule 'x': there is no zone 'Europe/Wien' in" },
    { 'da.schedule("x", "@daily", function() end)',
      "s.lua:5: da.schedule 'x' needs a workflow: da.schedule(id, cron, async.NAME, ...), got" },
    { 'da.schedule("x", "@daily", step.leaf)', "s.lua:5: da.schedule 'x' starts a workflow; step.leaf is a step: await it in one" },
    { 'da.schedule("x", "@daily", async.job:with { timeout = 5 })',
      "s.lua:5: da.schedule 'x' takes group, address and version of f:with{...}, nothing else" },
    { 'da.schedule("x", "@daily", async.job, print)', "s.lua:5: da.schedule 'x': job[1]: a function cannot cross" },
    { 'da.schedule("x", "@daily", async.job)\nda.schedule("x", "@hourly", async.job)',
      "s.lua:6: schedule 'x' is declared twice; the first time at s.lua:5" },
    { 'local function declare(id) da.schedule(id, "x", async.job) end\ndeclare "y"', "s.lua:5: da.schedule 'y': cron expression 'x'" },
  }
  for _, row in ipairs(refused) do
    it("refuses " .. row[1], function()
      local got = load(row[1])
      assert.are.equal(2, got.code, got.err)
      assert.matches(row[2], got.err, 1, true)
    end)
  end

  it("belongs into the file, not into functions", function()
    local got = load('function async.late() da.schedule("x", "@daily", async.job) end\n'
      .. 'function step.late_step() da.schedule("x", "@daily", async.job) end\n'
      .. 'function async.step_late() return da.pawait(step.late_step:with { retry = false }()) end')
    assert.are.equal(0, got.code, got.err)
    local script = place.dir .. "/s.lua"
    got = cli.run("run", script, "late")
    assert.are.equal(1, got.code)
    assert.matches("s.lua:5: da.schedule is declared while the script loads: write it in the file, outside of functions",
      got.err, 1, true)
    got = cli.run("run", script, "step_late")
    assert.are.equal(0, got.code, got.err)
    assert.matches("s.lua:6: da.schedule in a step: it is declared while the script loads", got.out, 1, true)
  end)
end)
