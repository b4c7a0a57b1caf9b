-- stress_spec.lua - natives of all kinds by the thousand, with cancellations, on hosts that are closed in the middle.
--
-- DA_LONG=1: 100,000 of each kind, as it was run with build/dev and build/asan-ubsan; with build/tsan it was 12 times the
-- short run, since that sanitizer does not unwind over Lua's longjmp and has room for so many only.
--
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local native = require("spec.support.native")
local program = require("spec.support.program")

local EXECUTIONS, CALLS = harness.long and 520 or 40, 600

describe("natives by the thousand", function()
  it("come to what they should, and none is completed twice or after its host", function()
    local place = harness.place(true)
    local binary = native.program("spec/native/stress.c", place)
    local got = program.run({ place.dir .. "/store", "spec/native/storm.lua", EXECUTIONS, CALLS }, { command = binary })
    assert.are.equal(0, got.code, got.out .. got.err)
    print((got.out:gsub("\n$", "")))
    local sync, pool, async, pure, late, closings = got.out:match(
      "(%d+) sync, (%d+) pool, (%d+) async, (%d+) pure; %d+ told to cancel, (%d+) too late, (%d+) closings")
    local least = EXECUTIONS * CALLS // 3
    for _, count in ipairs { sync, async, pure } do assert.is_true(tonumber(count) >= least, got.out) end
    assert.is_true(tonumber(pool) > least * 0.9, got.out) -- one that is cancelled in the queue is never begun
    assert.is_true(tonumber(late) > 0 and tonumber(closings) > 0, got.out)
    harness.remove(place)
  end)
end)
