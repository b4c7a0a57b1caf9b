-- slice_spec.lua - code that runs long gives way to others, wherever it is; code that runs for ever is parked.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
local function burn() local x = 0; for i = 1, 4e6 do x = (x + i * i) % 1000003 end; return x end
]]

-- Runs main, which makes one workflow that burns and one that counts by short sleeps; returns stderr.
local function race(text)
  local result = script.run { args = {}, script = HEAD .. text .. [[

    function async.counts()
      for _ = 1, 5 do await(da.sleep(0.002)) end
      print "counted"
    end
    function async.main() await(da.all { async.burns(), async.counts() }); return 1 end]], func = "main" }
  assert.are.equal(0, result.code, result.err)
  return result.err
end

-- The one that sleeps came to its end before the other, which never awaits.
local function gave_way(err)
  local counted, burned = err:find("counted\n", 1, true), err:find("burned\n", 1, true)
  assert(counted and burned and counted < burned, err)
end

describe("code that runs long", function()
  it("gives way in a function of a workflow", function()
    gave_way(race [[function async.burns() for _ = 1, 10 do burn() end; print "burned"; return 1 end]])
  end)

  it("gives way in a nested coroutine, below pcall, in a comparator of sort and in a branch", function()
    gave_way(race [[
      function async.burns()
        local inner = coroutine.wrap(function()
          for i = 1, 4 do
            assert(pcall(burn))
            coroutine.yield(i)
          end
        end)
        assert(inner() + inner() + inner() == 6)
        local list = { 3, 1, 2 }
        table.sort(list, function(a, b) burn(); return a < b end)
        await(async("b", function() burn(); burn(); burn() end))
        print "burned"
        return list[1]
      end]])
  end)

  it("is told in the log, once per span, with its line", function()
    local result = script.run { script = HEAD .. [[
      function async.main()
        for _ = 1, 6 do burn() end
        await(da.sleep(0.001))
        for _ = 1, 6 do burn() end
        return 1
      end]], env = { DAHOST_LOG = "warn" } }
    assert.are.equal("1\n", result.out, result.err)
    local _, count = result.err:gsub("span%.slow[^\n]* at=s%.lua:%d", "")
    assert.are.equal(2, count, result.err)
  end)

  it("changes nothing by being sliced: the order of prints and calls is the same", function()
    local text = HEAD .. [[
      local function say(who) for i = 1, 3 do print(who, i) end end
      function step.two(x) return x * 2 end
      function async.main()
        local a = async("a", function() say "a"; return await(step.two(1)) end)
        local b = async("b", function() say "b"; return await(step.two(a and 2)) end)
        say "main"
        local x, y = await(a), await(b)
        say "end"
        return x + y
      end]]
    local whole, sliced = script.run { script = text }, script.sliced { script = text }
    assert.are.equal("6\n", whole.out, whole.err)
    assert.are.equal(whole.out, sliced.out)
    assert.are.equal(whole.err, sliced.err)
  end)
end)

-- Each runs for ever; what comes before the loop must stay uncaught, unclosed and alone.
local loops = {
  ["in the function"] = "while true do end",
  ["below pcall"] = [[
    while true do
      local ok = pcall(function() while true do end end)
      print("caught", ok)
    end]],
  ["below xpcall, in its handler"] = [[
    xpcall(error, function() while true do end end)
    print "caught"]],
  ["in a nested coroutine with a variable to close"] = [[
    local t <close> = setmetatable({}, { __close = function() print "caught" end })
    local inner = coroutine.wrap(function()
      local u <close> = setmetatable({}, { __close = function() print "caught" end })
      while true do end
    end)
    pcall(inner)
    print "caught"]],
  ["in a metamethod called from C, where nothing can yield"] = [[
    local endless = setmetatable({}, { __index = function() while true do end end })
    pcall(table.concat, endless, "", 1, 2)
    print "caught"]],
  ["in an inline step"] = [[
    pawait(step("x", function() while true do pcall(function() while true do end end) end end))
    print "caught"]],
}

describe("a runaway loop", function()
  for where, text in pairs(loops) do
    it("parks the execution " .. where .. ", alone and uncaught", function()
      local result = script.run { keep = true, func = "main", env = { DAHOST_SPAN_LIMIT = "100ms" }, script = HEAD .. [[
        function async.bad() ]] .. text .. [[ end
        function async.good() await(da.sleep(0.01)); return "good" end
        function async.main()
          local bad = async.bad()
          print(await(async.good()))
          return await(bad)
        end]] }
      assert.are.equal(3, result.code, result.err)
      assert.is_nil(result.err:find("caught", 1, true), result.err)
      assert.is_truthy(result.err:find("good\n", 1, true), result.err)
      assert.is_truthy(result.err:find("without an await, at s.lua:", 1, true), result.err)
      local ps = harness.dahost { "ps", "--parked", "--data", result.place.data }
      assert.is_truthy(ps.out:find("x:bad.1", 1, true), ps.out .. ps.err)
      harness.remove(result.place)
    end)
  end

  it("in a script that is being loaded is refused, with its place", function()
    local result = script.run { env = { DAHOST_SPAN_LIMIT = "100ms" },
      script = "while true do pcall(function() while true do end end) end" }
    assert.are.equal(2, result.code)
    assert.is_truthy(result.err:find("s.lua:1: the script ran for", 1, true), result.err)
  end)
end)
