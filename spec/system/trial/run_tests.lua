-- run_tests.lua - t.run: mocks, virtual time, promises; run by `dahost test` (spec/system/test_run_spec.lua).
-- SPDX-License-Identifier: Apache-2.0
local t = require "da.test"
local da = require "da"
local wf = t.script "wf.lua"

-- What is raised by f(...), as text.
local function words(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return tostring(err)
end

describe("t.run", function()
  it("gives results, printed lines, steps and time", function()
    local r = t.run(wf.bill, { { "tea", "cake" } })
    assert.is_true(r.ok)
    assert.equal("resolved", r.state)
    assert.same({ 8, "charged 8", n = 2 }, r.results)
    assert.equal(8, r.value)
    assert.same({ "total\t8" }, r.lines)
    assert.equal(3, #r.steps)
    local last = r.steps[3]
    assert.equal("charge", last.name)
    assert.equal("bill-1:charge.1", last.id)
    assert.same({ 8, n = 1 }, last.args)
    assert.equal(1, last.attempts)
    assert.is_false(last.mocked)
    assert.is_true(last.ok)
    assert.equal("charged 8", last.value)
    assert.equal(0, r.elapsed)
    assert.is_true(r.writes >= 5)
  end)

  it("calls mocks with copies and takes their results as a step's", function()
    local seen
    local r = t.run(wf.pair, {}, { mock = { ["step.two"] = function(...)
      seen = select("#", ...)
      return da.array {}, 9007199254740993, "\xff"
    end } })
    assert.equal(0, seen)
    assert.same({ {}, 9007199254740993, "\xff", n = 3 }, r.results)
    assert.is_true(r.steps[1].mocked)
    assert.equal(7, t.run(wf.pair, {}, { mock = { ["step.two"] = 7 } }).value)
    local items = { "tea" }
    t.run(wf.bill, { items }, { mock = { ["step.price"] = function(item) items[1] = "changed" return #item end } })
    assert.equal("changed", items[1])
  end)

  it("refuses from a mock what no step could return", function()
    local r = t.run(wf.pair, {}, { mock = { ["step.two"] = function() return print end } })
    assert.is_false(r.ok)
    assert.equal("unserializable", r.error.code)
  end)

  it("repeats a mock that raises, in virtual time", function()
    local attempts = {}
    local began = os.time()
    local r = t.run(wf.double, { 4 }, { mock = { ["step.charge"] = function(n)
      attempts[#attempts + 1] = { da.id(), da.attempt() }
      if #attempts < 4 then error "busy" end
      return n
    end } })
    assert.equal(8, r.value)
    assert.equal(4, r.steps[1].attempts)
    assert.same({ "double-1:charge.1", 4 }, attempts[4])
    assert.is_true(r.elapsed > 5 and r.elapsed < 9, r.elapsed) -- 1 + 2 + 4 s, each within a fifth
    assert.is_true(os.time() - began < 5)
  end)

  it("tells how a step failed for good", function()
    local r = t.run(wf.double, { 4 }, { mock = { ["step.charge"] = function() da.error("broke", "no money", { fatal = true }) end } })
    assert.equal("rejected", r.state)
    assert.equal("broke", r.error.code)
    assert.equal("no money", r.error.message)
    assert.equal(1, r.steps[1].attempts)
    assert.equal("broke", r.steps[1].error.code)
    r = t.run(wf.fails, { 3 })
    assert.equal("no_stock", r.error.code)
    assert.equal(3, r.error.n)
  end)

  it("sleeps a year in no time", function()
    local began = os.clock()
    local r = t.run(wf.year)
    assert.equal(365 * 86400, r.elapsed)
    assert.equal(1735689600 + 365 * 86400, r.value)
    assert.is_true(os.clock() - began < 5) -- with a sanitizer; else a twentieth of that
  end)

  it("begins time where it is told", function()
    assert.equal(86400, t.run(wf.chance, {}, { now = 86400 }).results[2])
  end)

  it("is the same each time: chance, time, ids", function()
    local a, b = t.run(wf.chance), t.run(wf.chance)
    assert.same(a.results, b.results)
    assert.equal("chance-1", a.results[3])
    local c = t.run(wf.chance, {}, { id = "other" })
    assert.equal("other", c.results[3])
    assert.are_not.equal(a.value, c.value)
  end)

  it("lets a mock take virtual time", function()
    local r = t.run(wf.double, { 1 }, { mock = { ["step.charge"] = function(n) return t.takes("2h", n) end } })
    assert.equal(7200, r.elapsed)
    assert.equal(2, r.value)
    r = t.run(wf.impatient, {}, { mock = { ["step.charge"] = function() return t.takes("6s", 1) end } })
    assert.equal("timedout", r.error.code)
    assert.equal(2, r.steps[1].attempts)
    r = t.run(wf.within, {}, { mock = { ["step.charge"] = function() return t.takes("15s", 1) end } })
    assert.same({ false, 12 }, { r.value, r.elapsed })
    assert.equal("timedout", r.results[2].code)
  end)

  it("lets a deadline come", function()
    local r = t.run(wf.approval)
    assert.equal("timedout", r.value)
    assert.equal(3 * 86400, r.elapsed)
  end)

  it("settles promises as soon as they are there", function()
    for _, key in ipairs { "approval-1:approval.1", "approval.1", "approval" } do
      local r = t.run(wf.approval, {}, { resolve = { [key] = "yes" } })
      assert.equal("yes", r.value)
      assert.is_true(r.elapsed < 1)
    end
    assert.equal("approval-1:approval.1", t.run(wf.approval, {}, { resolve = { approval = function(id) return id end } }).value)
    assert.equal("rejected", t.run(wf.approval, {}, { reject = { approval = "no" } }).value)
    assert.same({ "never", "not now", n = 2 },
      t.run(wf.approval, {}, { reject = { approval = { code = "never", message = "not now" } } }).results)
  end)

  it("acts at a time", function()
    local told = {}
    local r = t.run(wf.approval, {}, { at = {
      { "2h", function(h) told[#told + 1] = { h:elapsed(), h:get("approval.1").state } h:resolve("approval.1", "late") end },
      { "1h", function(h) told[#told + 1] = { h:elapsed(), h:get("approval-1:approval.1").state, h:get "nix" } end },
    } })
    assert.same({ { 3600, "pending" }, { 7200, "pending" } }, told)
    assert.equal("late", r.value)
    assert.equal(7200, r.elapsed)
    r = t.run(wf.approval, {}, { at = { { 1, function(h) h:reject("approval.1", "refused", "so") end } } })
    assert.same({ "refused", "so", n = 2 }, r.results)
  end)

  it("cancels at a time, and the workflow tidies up", function()
    local r = t.run(wf.tidy, {}, { at = { { "1h", function(h) h:cancel "enough" end } } })
    assert.equal(3600, r.elapsed)
    assert.equal("canceled", r.state)
    assert.equal("canceled", r.error.code)
    assert.equal("enough", r.error.message)
  end)

  it("lets real steps speak to the runtime", function()
    assert.same({ 1, "told by a step", n = 2 }, t.run(wf.hears).results)
  end)

  it("answers for groups that are not there, or serves them", function()
    local front, gpu = t.script "../../../examples/render.lua", t.script "../../../examples/render_gpu.lua"
    local r = t.run(front.film, { "m", 2 }, { groups = { gpu = gpu } })
    assert.is_true(r.ok, tostring(r.error))
    assert.is_true(#r.steps > 3)
    r = t.run(front.film, { "m", 2 }, { groups = { gpu = gpu }, mock = { ["step.trace"] = "traced" } })
    assert.equal("traced", r.steps[2].value)
    r = t.run(front.film, { "m", 2 }, { resolve = { shade = function(id) return id end, encode = "reel" } })
    assert.equal("reel", r.value)
    assert.equal(1, #r.steps)
    t.everywhere(front.film, { "m", 2 }, { groups = { gpu = gpu } })
  end)

  it("leaves detached workflows, or sees them to their end #many", function()
    local mock = { ["step.charge"] = function(n) return n end }
    local r = t.run(wf.detaches, {}, { mock = mock })
    assert.is_nil(r.steps[2])
    r = t.run(wf.detaches, {}, { mock = mock, detached = true })
    assert.equal("detaches-1~double.1:charge.1", r.steps[1].id)
    assert.same({ true, 9 }, { r.steps[1].ok, r.steps[1].value })
    assert.same({ true, 10 }, { r.steps[2].ok, r.steps[2].value })
    assert.equal("begun", r.value)
    assert.equal(0, r.elapsed)
    assert.is_true(t.everywhere(wf.detaches, {}, { mock = mock, detached = true, twice = true }).kills > 50)
  end)

  it("hears what steps print", function()
    assert.same({ "from the workflow", "from the step" }, t.run(wf.speaks).lines)
  end)

  it("runs workflows that call workflows", function()
    local r = t.run(wf.parent, { 1 }, { mock = { ["step.charge"] = function(n) return n end } })
    assert.equal(6, r.value)
    assert.same({ "parent-1:double.1.charge.1", "parent-1:double.2.charge.1" }, { r.steps[1].id, r.steps[2].id })
  end)

  it("passes on what a test raises in at, as it was", function()
    local object = {}
    local ok, err = pcall(t.run, wf.approval, {}, { at = { { 1, function() error(object) end } } })
    assert.is_false(ok)
    assert.equal(object, err)
    assert.is_true(t.run(wf.pair).ok) -- nothing of it is left
  end)
end)

describe("messages", function()
  it("go into inboxes and channels", function()
    local r = t.run(wf.cart, {}, { send = { ["/orders"] = { "tea", { sku = "pot" }, "pay" } } })
    assert.same({ "sold", { "tea", { sku = "pot" } }, n = 2 }, r.results)
    assert.equal(0, r.elapsed)
    assert.same({ "abandoned", { 1 }, n = 2 }, t.run(wf.cart, {}, { send = { ["cart-1/orders"] = { 1 } } }).results)
    assert.equal(7, t.run(wf.job, {}, { send = { jobs = { 7, 8 } } }).value)
    assert.equal(9, t.run(wf.job, {}, { at = { { "1h", function(h) h:send("jobs", 9) end } } }).value)
  end)

  it("are put once, wherever the process dies #many", function()
    local r = t.everywhere(wf.cart, {}, { send = { ["/orders"] = { 1, 2 } }, at = { { "10m", function(h)
      h:send("/orders", 3)
      h:send("/orders", 4)
      h:send("/orders", "pay")
    end } }, twice = true })
    assert.same({ 1, 2, 3, 4 }, r.results[2])
    assert.equal(600, r.elapsed)
  end)

  it("that cannot be sent are told, and those that are missing", function()
    local text = words(t.run, wf.job, {}, { send = { ["nix/a"] = { 1 } } })
    assert.matches("cannot be sent to 'nix/a': there is no execution 'nix'", text, 1, true)
    assert.matches("a list of messages for 'jobs'", words(t.run, wf.job, {}, { send = { jobs = 1 } }), 1, true)
    assert.matches("give send = {[\"jobs\"] = {message}}", words(t.run, wf.job), 1, true)
  end)

  it("are not the only ones that wait in queues", function()
    local r = t.everywhere(wf.permit)
    assert.same({ true, 10 }, { r.value, r.elapsed })
  end)
end)

describe("t.schedules", function()
  it("lists what a script's schedules start", function()
    local runs = t.schedules(wf, "25h", { mock = { ["step.charge"] = "!" } })
    local ids = {}
    for i, run in ipairs(runs) do ids[i] = run.id end
    assert.same({ "north.1735709400000", "bad.1735725600000", "bad.1735761600000" }, ids)
    assert.same({ "report", 1735709400, true, "north!" }, { runs[1].name, runs[1].at, runs[1].ok, runs[1].value })
    assert.same({ false, "rejected" }, { runs[2].ok, runs[2].state })
    assert.matches("no such region", runs[2].error.message, 1, true)
    assert.equal(27 + 90, #t.schedules(wf, "900h", { mock = { ["step.charge"] = "!" }, now = 1735689600 + 86400 * 365 }))
    assert.matches("script is what t.script() gave", words(t.schedules, 1, "1d"), 1, true)
    assert.matches("t.schedules has no option 'id'", words(t.schedules, wf, "1d", { id = "x" }), 1, true)
  end)
end)

describe("a run without an end", function()
  it("says what it waits for, and how to settle that", function()
    local text = words(t.run, wf.waits)
    assert.matches("waits-1 waits for waits-1:never.1, and nobody settles it; give resolve = {[\"never.1\"] = value}", text, 1, true)
  end)

  it("says that virtual time ran out", function()
    assert.matches("lives-1 has not ended after 864000 s of virtual time", words(t.run, wf.lives, {}, { horizon = "10d" }), 1, true)
  end)

  it("says that it writes for ever", function()
    local text = words(t.run, wf.spins, {}, { writes = 50 })
    assert.matches("spins-1 made more than 50 writes", text, 1, true)
    assert.matches("last call: spins-1:s.", text, 1, true)
  end)

  it("names the step that takes for ever", function()
    local text = words(t.run, wf.hangs, {}, { real = "100ms" })
    assert.matches("hangs-1 has not ended after 0.1 s of real time (last step begun: hangs-1:slow.1)", text, 1, true)
  end)

  it("says why it would be parked", function()
    local text = words(t.run, wf.counts)
    assert.matches("counts-1 would be parked: inline step 'up'", text, 1, true)
    assert.is_nil(text:find("dahost continue", 1, true))
  end)
end)

describe("a table that an inline step changes", function()
  local ways = { field = "order", deep = "order.lines[2]", new = "order.lines", gone = "order.lines", sorted = "order.lines",
    helper = "seen.list[1]", raise = "order" }
  for how, way in pairs(ways) do
    it("is named: " .. how, function()
      local text = words(t.run, wf.fills, { how })
      assert.matches("inline step 'fill' (wf.lua:81) changed the table '" .. way .. "', which lies outside", text, 1, true)
    end)
  end

  it("is let be when it is as before, or on demand", function()
    assert.equal(7, t.run(wf.fills, { "loop" }).value)
    assert.equal(7, t.run(wf.fills, { "not at all" }).value)
    assert.equal(8, t.run(wf.fills, { "field" }, { tables = false }).value)
    assert.matches("straight on resolved with 8", words(t.everywhere, wf.fills, { "field" }, { tables = false }), 1, true)
  end)
end)

describe("misuse", function()
  local function refuses(expected, ...)
    local text = words(...)
    assert.matches(expected, text, 1, true)
  end

  it("of scripts is told at the test's own line", function()
    refuses("no_such.lua", t.script, "no_such.lua")
    refuses("defines no workflow 'bil' (did you mean 'bill'?)", function() return wf.bil end)
    refuses("step.price of", function() return wf.price end)
    refuses("t.run(f, {arguments}, options)", function() wf.bill {} end)
    refuses("run_tests.lua:", function() return wf.nix end)
    refuses("t.script needs the path", t.script)
  end)

  it("of options is told with the nearest", function()
    refuses("t.run has no option 'mocks' (did you mean 'mock'?)", t.run, wf.pair, {}, { mocks = {} })
    refuses("defines no step 'tow' (did you mean 'two'?)", t.run, wf.pair, {}, { mock = { ["step.tow"] = 1 } })
    refuses("'two' names no step", t.run, wf.pair, {}, { mock = { two = 1 } })
    refuses("at[1] is no {duration, function}", t.run, wf.pair, {}, { at = { {} } })
    refuses("at[1][1]", t.run, wf.pair, {}, { at = { { "soon", print } } })
    refuses("groups: 'a b' is no name", t.run, wf.pair, {}, { groups = { ["a b"] = wf } })
    refuses("groups: gpu is no script", t.run, wf.pair, {}, { groups = { gpu = 1 } })
    refuses("writes is a whole number", t.run, wf.pair, {}, { writes = 0 })
    refuses("resolve is a table", t.run, wf.pair, {}, { resolve = 1 })
    refuses("f is a workflow of t.script()", t.run, "pair")
    refuses("arguments are a list", t.run, wf.pair, 1)
    refuses("cannot cross", t.run, wf.pair, { print })
    refuses("da.sleep is for scripts", function() return da.sleep end)
    refuses("no mock runs here", da.id)
  end)

  it("of handles names the promise", function()
    refuses("'nix' cannot be settled", t.run, wf.approval, {}, { at = { { 1, function(h) h:resolve("nix", 1) end } } })
  end)

  it("of runs within runs is refused", function()
    local r = t.run(wf.pair, {}, { mock = { ["step.two"] = function() return select(2, pcall(t.run, wf.pair)) end } })
    assert.matches("a trial runs already", r.value, 1, true)
  end)
end)
