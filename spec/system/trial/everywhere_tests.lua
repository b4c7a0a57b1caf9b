-- everywhere_tests.lua - t.everywhere and t.evicted; run by `dahost test` (spec/system/test_everywhere_spec.lua).
-- SPDX-License-Identifier: Apache-2.0
local t = require "da.test"
local wf = t.script "wf.lua"

local function words(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return tostring(err)
end

describe("t.everywhere", function()
  it("kills before and behind every write", function()
    local r = t.everywhere(wf.bill, { { "tea", "cake" } })
    assert.same({ 8, "charged 8", n = 2 }, r.results)
    assert.is_true(r.kills >= 2 * r.writes - 2, r.kills)
  end)

  it("kills again during every recovery #many", function()
    local options = { twice = true, mock = { ["step.charge"] = function(n) return n end } }
    local r = t.everywhere(wf.parent, { 1 }, options)
    assert.is_nil(options.all) -- the test's own table is left alone
    assert.equal(6, r.value)
    assert.is_true(r.kills > 100, r.kills)
  end)

  it("runs what a promise, a timer and an action do again where a death undid it #many", function()
    assert.equal("yes", t.everywhere(wf.approval, {}, { resolve = { approval = "yes" }, twice = true }).value)
    assert.equal("late", t.everywhere(wf.approval, {}, { at = { { "1h", function(h) h:resolve("approval.1", "late") end } } }).value)
    assert.equal("timedout", t.everywhere(wf.approval).value)
    assert.equal("canceled", t.everywhere(wf.tidy, {}, { at = { { "1h", function(h) h:cancel() end } } }).state)
  end)

  it("goes through generations and sagas #many", function()
    local r = t.everywhere(wf.rounds, { 3 }, { twice = true, seed = 1 })
    assert.equal("rounds-1", r.value)
    assert.equal(3 * 3600, r.elapsed)
    r = t.everywhere(wf.saga, {}, { twice = true })
    assert.equal("enough", r.error.code)
    assert.same({ "do", "undo" }, { r.steps[1].args[1], r.steps[2].args[1] })
  end)

  it("takes a failure for an outcome like any other", function()
    assert.equal("no_stock", t.everywhere(wf.fails, { 1 }).error.code)
  end)

  it("runs a step again only if it was not recorded", function()
    local times = {}
    local r = t.everywhere(wf.bill, { { "tea" } }, { mock = { ["step.charge"] = function(n)
      times[#times + 1] = n
      return n
    end } })
    -- Each trial runs it once; once more where the death lies between its end and its record, or on that record.
    assert.is_true(#times >= r.kills and #times <= r.kills + 6, #times .. " of " .. r.kills)
  end)

  it("samples second deaths of a long run, by a seed #many", function()
    local r = t.everywhere(wf.long, { 14 }, { twice = true, seed = 7, mock = { ["step.charge"] = "xx" } })
    assert.equal(28, r.value)
    assert.is_true(r.writes > 12)
    assert.is_true(r.kills > 400 and r.kills < 500, r.kills)
  end)

  it("names the death, the step and what differs", function()
    local n = 0
    local text = words(t.everywhere, wf.double, { 1 }, { mock = { ["step.charge"] = function() n = n + 1 return n end } })
    assert.matches("async.double of", text, 1, true)
    assert.matches("evictions at every await is not as without", text, 1, true)
    assert.matches("step 'double-1:charge.1' (wf.lua:23) was recorded resolved with 2, straight on resolved with 1", text, 1, true)
  end)

  it("finds a program that a replay does not take the same way", function()
    local script = t.script "diverges.lua"
    local text = words(t.everywhere, script.later)
    assert.matches("would be parked: replay of 'later-1' wants step 'b'", text, 1, true)
    assert.matches("but record 'later-1:a.1' holds step 'a'", text, 1, true)
    assert.matches("diverges.lua:20", text, 1, true)
    assert.matches("would be parked", words(t.evicted, script.later), 1, true)
    assert.matches("it ended resolved with 2, straight on resolved with 1", words(t.evicted, script.main), 1, true)
    assert.equal(1, t.run(script.main).value)
  end)

  it("has options of its own, and t.run's", function()
    assert.matches("t.everywhere has no option 'twise' (did you mean 'twice'?)", words(t.everywhere, wf.pair, {}, { twise = true }),
      1, true)
    assert.matches("waits-1 waits for", words(t.everywhere, wf.waits), 1, true)
  end)
end)

describe("t.evicted", function()
  it("replays at every await #many", function()
    assert.equal(8, t.evicted(wf.bill, { { "tea", "cake" } }).value)
    assert.equal(365 * 86400, t.evicted(wf.year).elapsed)
  end)
end)
