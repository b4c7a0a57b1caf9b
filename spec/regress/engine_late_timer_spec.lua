-- engine_late_timer_spec.lua - a timer that is made after its own instant overtakes none whose instant was before.
-- SPDX-License-Identifier: Apache-2.0
local script = require("spec.support.script")

describe("a timer made too late", function()
  it("does not win a race against an earlier one that no sweep has met yet", function()
    local result = script.both { func = "main", script = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function async.main()
  local begun = da.now()
  local early = da.sleep_until(begun + 0.1)
  step("keep the loop from its timers", function()
    local over = os.clock() + 0.4
    while os.clock() < over do end
  end)
  local late = da.sleep_until(begun + 0.2)
  return select(2, await(da.race { late, early }))
end]] }
    assert.are.equal("2\n", result.out, result.err)
  end)
end)
