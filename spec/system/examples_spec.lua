-- examples_spec.lua - every example runs as its README says, and says the same when asked again.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local cases = require("spec.support.cases")
local harness = require("spec.support.harness")

describe("examples", function()
  for _, case in ipairs(cases) do
    it("plays " .. case.name, function()
      assert.equal(case.result, harness.play(case, {}).result)
    end)
  end

  it("leaves no example out", function()
    local played = { ["examples/ledger.lua"] = true } -- the module the others use
    for _, case in ipairs(cases) do
      played[case.script] = true
      for _, operand in ipairs(case.serve or {}) do played[operand:match("[^=]+$")] = true end
    end
    local scan = assert(uv.fs_scandir("examples"))
    assert.is_true(played["examples/device/keep_warm.lua"])
    for name in function() return uv.fs_scandir_next(scan) end do
      local path = "examples/" .. name
      if name:find("%.lua$") and not name:find("_spec%.lua$") then assert.is_true(played[path], path .. " is in no case") end
    end
  end)

  it("begins every example with the require of the seed", function()
    for _, case in ipairs(cases) do
      assert.equal('local da = require "da"', io.lines(case.script)())
    end
  end)

  it("tells a finished execution's result again without running a step", function()
    local place = harness.place()
    local env = { DAHOST_DATA = place.data, LEDGER = place.ledger }
    local args = { "run", "examples/fan_out.lua", "weather", "oslo", "--id", "weather-9" }
    local first = harness.dahost(args, { env = env })
    assert.equal(0, first.code, first.err)
    local ran = harness.ledger(place)
    assert.is_not_nil(next(ran))
    local second = harness.dahost(args, { env = env })
    assert.equal(first.out, second.out)
    assert.same(ran, harness.ledger(place))
    harness.remove(place)
  end)

  it("kills and finishes the order in the one command of the examples", function()
    local pipe = assert(io.popen("sh examples/run 2>&1"))
    local told = pipe:read("a")
    local ok, _, code = pipe:close()
    assert.is_true(ok, ("exit code %s\n%s"):format(code, told))
    assert.matches("none twice", told, 1, true)
    assert.matches("%$ kill %-9 %d+", told)
  end)

  it("has tests of the order that pass", function()
    local got = harness.dahost({ "test", "examples/order_spec.lua", "--", "-o", "plainTerminal" })
    assert.equal(0, got.code, got.out .. got.err)
    assert.matches("5 successes / 0 failures / 0 errors / 0 pending", got.out, 1, true)
  end)

  it("shows the spans of hello in order", function()
    local place = harness.place()
    local got = harness.dahost({ "run", "examples/hello.lua", "foo", "world" }, { env = { DAHOST_DATA = place.data } })
    assert.equal('"hello, world"\n', got.out)
    assert.matches("span 1\n.*span 2\n", got.err)
    harness.remove(place)
  end)
end)
