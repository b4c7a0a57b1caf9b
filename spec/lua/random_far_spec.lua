-- random_far_spec.lua - random programs in workers of a server elsewhere: straight, evicted, killed; all come to the same.
-- DA_SEED=<seed> repeats a run, DA_PROGRAM=<seed> is one program alone.
-- SPDX-License-Identifier: Apache-2.0
local far_trial = require("spec.support.far_trial")
local harness = require("spec.support.harness")
local random_program = require("spec.support.random_program")
local random_trial = require("spec.support.random_trial")

local COUNT = harness.sanitized and 15 or 40
local BATCHES = harness.long and 50 or 1

describe("random programs in workers of a server elsewhere", function()
  local deaths, promises = 0, 0

  local function check(seed, way, options)
    local one = tonumber(os.getenv("DA_PROGRAM"))
    local programs = one and { random_program.make(math.tointeger(one)) } or far_trial.programs(seed, COUNT)
    local straight, found = random_trial.straight(programs)
    local far = far_trial.run(programs, options)
    far_trial.compare(found, straight, far, programs, way)
    deaths = deaths + far.deaths
    for _ in pairs(far.records) do promises = promises + 1 end
    if #found > 0 then
      local words = {}
      for i = 1, math.min(#found, 20) do words[i] = type(found[i]) == "table" and found[i].text or found[i] end
      error(("%d differences, kept: %s %s\n%s"):format(#found, straight.place.dir, far.place.dir, table.concat(words, "\n")), 0)
    end
    straight:remove()
    far.place:remove()
  end

  for i = 1, BATCHES do
    local seed = (harness.seed % 1000003) * 1000 + 700 + i
    it(("come to the same straight, batch %d"):format(i), function() check(seed, "far", {}) end)
    it(("come to the same evicted at every await, batch %d"):format(i), function() check(seed, "far, evicted", { cold = true }) end)
    it(("come to the same while workers die, batch %d"):format(i), function()
      local chance = setmetatable({ state = seed }, random_program.G)
      check(seed, "far, killed", { disturb = 12, chance = chance })
    end)
  end

  teardown(function()
    print(("seed %d (DA_SEED repeats it): %d programs a way, %d deaths and pauses of workers, %d promises"):format(harness.seed,
      COUNT, deaths, promises))
  end)
end)
