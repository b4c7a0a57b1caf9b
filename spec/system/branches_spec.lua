-- branches_spec.lua - concurrent branches with shared upvalues, sleeps and chance replay to the same values.
--
-- The values differ from run to run, since they depend on which branch was first; so a run is held against itself: what
-- the workflow saw when it sealed its values in a record, against what the last life's replay computed from the top.
-- The ledger and the marks are checked by the harness as for every case.
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local harness = require("spec.support.harness")

local BRANCHES, ROUNDS = 4, 3

local function check(out)
  local result = json.decode(out, 1, nil)
  if type(result) ~= "table" then return "no result: " .. out end
  local seen, sealed = result.seen, result.sealed
  if #seen.trail ~= 2 * BRANCHES * ROUNDS then return "the trail has " .. #seen.trail .. " entries" end
  for _, field in ipairs({ "total", "dice", "clock" }) do
    if seen[field] ~= sealed[field] then
      return ("%s was %s when it was recorded and is %s after the replay"):format(field, sealed[field], seen[field])
    end
  end
  for _, field in ipairs({ "trail", "ends" }) do
    for i, value in ipairs(sealed[field]) do
      if seen[field][i] ~= value then
        return ("%s[%d] was %s when it was recorded and is %s after the replay"):format(field, i, value, seen[field][i])
      end
    end
  end
end

local case = {
  name = "branches",
  script = "spec/system/branches.lua",
  id = "weave-1",
  args = { "weave", tostring(BRANCHES), tostring(ROUNDS) },
  check = check,
}

describe("concurrent branches", function()
  it("see the same as their record without a kill", function()
    harness.play(case, {})
  end)

  it("interleave, so that the test can fail", function()
    local trail = json.decode(harness.play(case, {}).result, 1, nil).seen.trail
    local turns = 0
    for i = 2, #trail do
      if trail[i]:match("^%d+") ~= trail[i - 1]:match("^%d+") then turns = turns + 1 end
    end
    assert.is_true(turns > BRANCHES, "only " .. turns .. " changes of branch in " .. table.concat(trail, " "))
  end)

  for _, point in ipairs(harness.POINTS) do
    it("replay to the same values after a death at each " .. point, function()
      local n, kills = 1, 0
      while true do
        local run = harness.play(case, { { point = point, n = n } })
        if run.kills == 0 then break end
        kills, n = kills + run.kills, n + 1
        assert(n < 1000, "the run does not get anywhere")
      end
      print(("%-20s %-14s %3d kills"):format(case.name, point, kills))
      if point:find("^commit") then assert.is_true(kills > BRANCHES * ROUNDS) end
    end)
  end

  it("replay to the same values after a death in every life", function()
    -- One process after the other dies at its third flush: many replays, each a little longer than the one before.
    local plan = {}
    for i = 1, 12 do plan[i] = { point = i % 2 == 0 and "commit.after" or "commit.before", n = 3 } end
    local run = harness.play(case, plan)
    print(("%-20s %-14s %3d kills"):format(case.name, "every life", run.kills))
    assert.is_true(run.kills >= 4)
  end)
end)
