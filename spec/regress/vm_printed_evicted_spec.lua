-- vm_printed_evicted_spec.lua - an execution evicted at every await lost lines (a completion that was recorded and not
-- yet delivered counted as a replay) and printed others again (a call with an id of its own has no record below it).
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")

describe("what a script prints", function()
  for _, warm in ipairs { "64M", "0" } do
    it("is told once and all of it, with --warm " .. warm, function()
      local place = harness.place()
      local args = { "run", "spec/regress/vm_printed_evicted.lua", "main", "--id", "x", "--quiet", "--data", place.data }
      local done = harness.dahost(args, { env = { DAHOST_WARM = warm } })
      assert.equal('"done"\n', done.out)
      assert.equal("first\nsecond\tfailed\nthird\nfourth\town id\n", done.err)
      harness.remove(place)
    end)
  end
end)
