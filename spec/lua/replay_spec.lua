-- replay_spec.lua - what a replay keeps silent, what it checks, and how a divergence parks the execution.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
]]

describe("a replay", function()
  it("prints nothing a second time", function()
    local result = script.cold { script = HEAD .. [[
      function async.main()
        for i = 1, 5 do print("line " .. i); await(da.sleep(0.005)) end
        print "end"
        return 1
      end]] }
    assert.are.equal("1\n", result.out, result.err)
    for _, line in ipairs { "line 1", "line 2", "line 5", "end" } do
      local _, n = result.err:gsub(line .. "\n", "")
      assert.are.equal(1, n, line .. " in " .. result.err)
    end
  end)

  it("runs the body of a branch again and calls no recorded step", function()
    local place = harness.place()
    local ledger = place.dir .. "/ledger"
    local result = script.cold { place = place, keep = true, args = { ledger }, script = HEAD .. [[
      function step.mark(path, n) local f = io.open(path, "a"); f:write(n, "\n"); f:close(); return n end
      function async.main(path)
        local sum = 0
        local b = async("b", function() for i = 1, 3 do sum = sum + await(step.mark(path, i)); await(da.sleep(0.005)) end end)
        await(b)
        return sum
      end]] }
    assert.are.equal("6\n", result.out, result.err)
    local file = assert(io.open(ledger))
    assert.are.equal("1\n2\n3\n", file:read "a")
    file:close()
    harness.remove(place)
  end)

  it("parks an execution whose code takes another path, naming both sides and the mend", function()
    local result = script.cold { keep = true, script = HEAD .. [[
      function step.f(x) return x end
      function async.main()
        local t = { n = 0 }
        await(step("count", function() t.n = t.n + 1 end)) -- skipped on replay: t.n stays 0
        await(step.f(t.n))
        await(da.sleep(0.3)) -- long enough that the task is suspended before it is over
        return t.n
      end]] }
    assert.are.equal(3, result.code, result.err)
    assert.are.equal("", result.out)
    assert.is_truthy(result.err:find("wants step 'f' args#", 1, true), result.err)
    assert.is_truthy(result.err:find("record 'x:f.1' holds step 'f' args#", 1, true), result.err)
    assert.is_truthy(result.err:find("s.lua:7", 1, true), result.err)
    assert.is_truthy(result.err:find("Mend the script, then: dahost migrate 'x' FILE", 1, true), result.err)
    local ps = harness.dahost { "ps", "--parked", "--data", result.place.data }
    assert.is_truthy(ps.out:find("parked", 1, true), ps.out)
    assert.is_truthy(ps.out:find("wants step 'f'", 1, true), ps.out)
    local verify = harness.dahost { "verify", "--data", result.place.data }
    assert.are.equal(0, verify.code, verify.out)
    harness.remove(result.place)
  end)

  it("parks an execution that ends without a call it made before", function()
    local result = script.cold { script = HEAD .. [[
      function step.f(x) return x end
      function async.main()
        local t = {}
        await(step("first", function() t.again = true end))
        if t.again then await(step.f(1)) end
        await(da.sleep(0.3))
        return 1
      end]] }
    assert.are.equal(3, result.code, result.err .. result.out)
    assert.is_truthy(result.err:find("x:f.1", 1, true), result.err)
  end)
end)

describe("a bundle", function()
  it("stays pinned when its file is changed under way", function()
    local place = harness.place()
    local first = script.run { place = place, keep = true, env = { DAHOST_KILL = "commit.after:3" }, script = HEAD .. [[
      function async.main() await(da.sleep(0.01)); await(da.sleep(0.01)); await(da.sleep(0.01)); return "old" end]] }
    assert.are.equal(9, first.signal)
    local second = script.run { place = place, keep = true, script = HEAD .. [[
      function async.main() return "new" end]] }
    assert.are.equal('"old"\n', second.out, second.err)
    harness.remove(place)
  end)

  it("is found in the store when its file is gone", function()
    local place = harness.place()
    local first = script.run { place = place, keep = true, env = { DAHOST_KILL = "commit.after:3" }, script = HEAD .. [[
      function async.main() await(da.sleep(0.01)); await(da.sleep(0.01)); return "done" end]] }
    assert.are.equal(9, first.signal)
    os.remove(place.dir .. "/s.lua")
    local resumed = harness.dahost { "resume", "x", "--data", place.data, "--quiet" }
    assert.are.equal('"done"\n', resumed.out, resumed.err)
    assert.are.equal(0, resumed.code)
    harness.remove(place)
  end)
end)

describe("a printed line", function()
  it("is never lost, wherever the process dies", function()
    local text = HEAD .. [[
      function async.main()
        for i = 1, 6 do
          step("s", function() return i end)
          for _ = 1, 4e5 do end -- the step is recorded meanwhile
          print("did " .. i)
          if i % 2 == 0 then await(da.sleep(0.001)) end
        end
        return "done"
      end]]
    local killed = 0
    for n = 1, 8 do
      for _, point in ipairs { "commit.before", "commit.after" } do
        local place = harness.place()
        local first = script.run { place = place, keep = true, script = text, env = { DAHOST_KILL = point .. ":" .. n } }
        local second = script.run { place = place, keep = true, script = text }
        assert.are.equal('"done"\n', second.out, second.err)
        if first.signal == 9 then killed = killed + 1 end
        for i = 1, 6 do
          local line = "did " .. i .. "\n"
          assert.is_truthy((first.err .. second.err):find(line, 1, true), line .. "is missing\n" .. first.err .. "--\n" .. second.err)
        end
        harness.remove(place)
      end
    end
    assert.is_true(killed > 8)
  end)
end)
