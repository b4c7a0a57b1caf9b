-- bad_input_limit_spec.lua - named steps that have no end: of memory, of calls, of time. Each is an error of that step;
-- the step's neighbours, on the same threads, and the other executions finish.
-- (Workflows and inline steps: spec/lua/park_spec.lua, spec/lua/slice_spec.lua.)
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")

local SCRIPT = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
local faults = {}
function faults.text() return #("x"):rep((1 << 30) + 1) end
function faults.calls() local function f() return 1 + f() end return f() end
function faults.callbacks() local function f(s) return (s:gsub(".", f)) end return f "a" end
function faults.huge() return ("x"):rep(1 << 40) end
function faults.loop() while true do end end
function step.fault(name) return faults[name]() end
function step.same(n) return n end
function async.good() local s = 0 for i = 1, 20 do s = s + await(step.same(i)) end return s end
function async.main(name, options)
  local good = async.good()
  local ok, err = pawait(step.fault:with(options)(name))
  return ok, err.code, err.message, await(step.same(1)), await(good)
end
]]

local REFUSED = {
  { "text", "memory", "the step needs more memory than a step may have; work on pieces" },
  { "calls", "error", "s.lua:5: stack overflow" },
  { "callbacks", "error", "C stack overflow" },
  { "huge", "error", "s.lua:7: resulting string too large" },
}

describe("a step", function()
  local place

  setup(function()
    place = program.place()
    place:write("s.lua", SCRIPT)
  end)
  teardown(function() place:remove() end)

  local function run(name, options)
    local got = place:run("run", "s.lua", "main", name, options, "--id", name, "--step-threads", "1", "-q")
    assert.are.equal(0, got.code, got.err)
    return require("dkjson").decode(got.out)
  end

  for _, case in ipairs(REFUSED) do
    local name, code, words = table.unpack(case)
    it("that asks for too much (" .. name .. ") fails with words, alone", function()
      local got = run(name, '{"retry":{"max":2,"first":0}}')
      assert.are.same({ false, code, 1, 210 }, { got[1], got[2], got[4], got[5] })
      assert.is_truthy(got[3]:find(words, 1, true), got[3])
    end)
  end

  it("that never ends is left behind at its time limit, and a new thread takes its place", function()
    local got = run("loop", '{"retry":{"max":2,"first":0},"attempt_timeout":"50ms"}')
    assert.are.same({ false, "timedout", 1, 210 }, { got[1], got[2], got[4], got[5] })
    assert.are.equal("the attempt did not end in time", got[3])
  end)

  it("leaves a store that is whole", function() assert.are.equal(0, place:run("verify").code) end)
end)
