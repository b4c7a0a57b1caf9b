-- forgotten_spec.lua - promises that nobody awaited: a warning for each place, once, and no failure lost.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.f(x) return x end
function async.kid(x) await(da.sleep(0.001)); return x end
]]

local function count(text, part)
  local n, at = 0, 1
  while true do
    local from, to = text:find(part, at, true)
    if not from then return n end
    n, at = n + 1, to + 1
  end
end

-- One row: what is forgotten, script below HEAD (which has 4 lines), the warning.
local told = {
  { "a step", [[
    function async.main()
      step.f(1)
    end]], "s.lua:6: the result of step 'f' was never awaited; write await(...) around the call, or :ignore() behind it" },
  { "a workflow", [[
    function async.main() async.kid(1) end]], "s.lua:5: the result of workflow 'kid' was never awaited" },
  { "an inline step", [[
    function async.main() step("note", function() end) end]], "s.lua:5: the result of inline step 'note' was never awaited" },
  { "a timer", [[
    function async.main() da.sleep(60) end]], "s.lua:5: da.sleep was never awaited, so nothing waited for it" },
  { "a combinator", [[
    function async.main() da.all { step.f(1), step.f(2) } end]], "s.lua:5: the result of da.all was never awaited" },
  { "a map", [[
    function async.main()
      da.map({ 1, 2 }, step.f)
    end]], "s.lua:6: the result of da.map was never awaited" },
  { "a branch with a result", [[
    function async.main() async("b", function() return 5 end) end]], "s.lua:5: the result of branch 'b' was never awaited" },
  { "a step in a branch", [[
    function async.main()
      await(async("b", function() step.f(1) end))
    end]], "s.lua:6: the result of step 'f' was never awaited" },
  { "a step that takes the place of a truth", [[
    function async.main()
      if step.f(false) then return end
    end]], "s.lua:6: the result of step 'f' was never awaited" },
  { "a step in a loop, many times", [[
    function async.main()
      for i = 1, 20 do step.f(i) end
    end]], "s.lua:6: the result of step 'f' was never awaited" },
  { "an inline step with ever new labels", [[
    function async.main()
      for i = 1, 5 do step("note " .. i, function() end) end
    end]], "s.lua:6: the result of inline step 'note 1' was never awaited" },
  { "a step in several executions", [[
    function async.one() step.f(1) end
    function async.main() await(da.map({ 1, 2, 3 }, async.one)) end]], "s.lua:5: the result of step 'f' was never awaited" },
  { "a step that fails", [[
    function step.bad() da.error("bad", "no luck", { fatal = true }) end
    function async.main()
      step.bad()
    end]], "s.lua:7: the result of step 'bad' was never awaited" },
}

-- One row: what it is, script.
local silent = {
  { "awaited", "function async.main() local p = step.f(1); await(da.sleep(0.001)); await(p) end" },
  { "awaited by pawait, or by its method", "function async.main() da.pawait(step.f(1)); step.f(2):await() end" },
  { "a member of a combinator", "function async.main() await(da.any { step.f(1), da.sleep(60), async.kid(2) }) end" },
  { "the result itself", "function async.main() return step.f(1) end" },
  { "part of the result", "function async.main() return { p = async.kid(1) } end" },
  { "given to another function", [[
    function async.waits(p) return await(p) end
    function async.main() return await(async.waits(async.kid(1))) end]] },
  { "ignored", "function async.main() step.f(1):ignore() end" },
  { "cancelled", "function async.main() local p = da.sleep(60); await(step.f(1)); p:cancel() end" },
  { "a branch without a result", "function async.main() async('b', function() await(step.f(1)) end) end" },
  { "a promise for somebody outside", "function async.main() da.promise 'approval' end" },
  { "mapped by a closure", "function async.main() await(da.map({ 1, 2 }, function(n) return step.f(n) end)) end" },
  { "cut short by an error", "function async.main() local p = async.kid(1); pcall(error, 'x'); if p then error { code = 'x' } end end", 1 },
}

describe("what nobody awaited is told: ", function()
  for _, row in ipairs(told) do
    it(row[1], function()
      local result = script.run { script = HEAD .. row[2] }
      assert.are.equal(1, count(result.err, "warning: " .. row[3]), result.err)
      assert.are.equal(1, count(result.err, "never awaited"), result.err)
    end)
  end

  it("before the end is waited for", function()
    local result = script.cold { script = HEAD .. [[
      function async.slow() await(da.sleep(0.2)); print "slow" end
      function async.main()
        async.slow()
      end]] }
    local warning, slow = result.err:find("workflow 'slow' was never awaited", 1, true), result.err:find("slow\n", 1, true)
    assert.is_true(warning ~= nil and slow ~= nil and warning < slow, result.err)
    assert.are.equal(1, count(result.err, "never awaited"), result.err)
  end)

  it("every failure, though only one can be the execution's", function()
    local result = script.run { script = HEAD .. [[
      function step.bad(what) da.error(what, "no luck with " .. what, { fatal = true }) end
      function async.main()
        local a, b = step.bad "a", step.bad "b"
        return a == b
      end]] }
    assert.are.equal(1, result.code, result.err)
    assert.are.equal(1, count(result.err, "[a] no luck with a"), result.err)
    assert.are.equal(1, count(result.err,
      "warning: promise 'x:bad.2' (made at s.lua:7) failed, and nobody awaited it: [b] no luck with b"), result.err)
  end)

  it("a failure beside an error of the function", function()
    local result = script.run { script = HEAD .. [[
      function async.main()
        step("bad", function() da.error("bad", "no luck", { fatal = true }) end)
        await(step.f(1))
        error { code = "own" }
      end]] }
    assert.are.equal(1, result.code, result.err)
    assert.is_truthy(result.err:find("[own]", 1, true), result.err)
    assert.are.equal(1, count(result.err, "(made at s.lua:6) failed, and nobody awaited it: [bad] no luck"), result.err)
  end)
end)

describe("nothing is told of a promise that is ", function()
  for _, row in ipairs(silent) do
    it(row[1], function()
      local result = script.run { script = HEAD .. row[2] }
      assert.are.equal(row[3] or 0, result.code, result.err)
      assert.are.equal(0, count(result.err, "warning"), result.err)
    end)
  end
end)

describe("a replay", function()
  -- The branch ends, and its warning is told, before "after" is printed: who replays that line replays the warning.
  local TEXT = HEAD .. [[
    function async.main()
      await(async("b", function() await(da.sleep(0.005)); step.f(1) end))
      print "after"
      for _ = 1, 3 do await(da.sleep(0.005)) end
      return "done"
    end]]

  it("tells nothing a second time, wherever the process was killed", function()
    local killed, replayed = 0, 0
    for n = 1, 100 do
      local place = harness.place()
      local first = script.run { place = place, keep = true, script = TEXT, env = { DAHOST_KILL = "commit.after:" .. n } }
      if first.signal ~= 9 then
        assert.are.equal('"done"\n', first.out, first.err)
        assert.are.equal(1, count(first.err, "never awaited"), first.err)
        harness.remove(place)
        break
      end
      killed = killed + 1
      local second = script.run { place = place, keep = true, script = TEXT }
      assert.are.equal('"done"\n', second.out, second.err)
      local again = count(second.err, "after\n")
      assert.is_true(count(second.err, "never awaited") <= 1, second.err)
      if again == 0 then
        replayed = replayed + 1
        assert.are.equal(0, count(second.err, "never awaited"), second.err)
        assert.are.equal(1, count(first.err, "never awaited"), first.err)
      end
      assert.is_true(count(first.err .. second.err, "never awaited") >= 1, first.err .. second.err)
      harness.remove(place)
    end
    assert.is_true(killed >= 5, killed .. " kills")
    assert.is_true(replayed >= 1, "no life replayed the line")
  end)
end)
