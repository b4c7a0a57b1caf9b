-- clock_spec.lua - the machine's clock lies behind what a store was stamped with: nothing goes back, nothing stands still.
--
-- DAHOST_TIME_FACTOR=1000 stamps the records of a first life seconds ahead of the machine's clock; the second life begins
-- with the machine's clock behind them, as after a clock that was set back while nothing ran.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local TEXT = [[
local da = require "da"
function da.async.main()
  local last = da.now()
  for _ = 1, 5 do
    da.await(da.sleep(20))
    if da.now() - last < 19.9 then return "time went back" end
    last = da.now()
  end
  return "forward"
end]]

describe("a clock behind the store's newest stamp", function()
  for kill = 2, 8, 2 do
    it("neither goes back nor stands still after a kill at write " .. kill, function()
      local place = harness.place()
      local first = script.run { place = place, keep = true, script = TEXT,
        env = { DAHOST_TIME_FACTOR = "1000", DAHOST_KILL = "commit.after:" .. kill } }
      assert.are.equal(9, first.signal, first.err)
      local second = script.run { place = place, keep = true, script = TEXT, env = { DAHOST_TIME_FACTOR = "1000" } }
      assert.are.equal('"forward"\n', second.out, second.err)
      assert.are.equal(0, harness.dahost({ "verify", "--data", place.data }).code)
      harness.remove(place)
    end)
  end
end)
