-- schedule_random_spec.lua - random requests about schedules, and sweeps that fire them: the engine against the oracle.
--
-- DA_SEED repeats a run; DA_OPS asks for more requests.
--
-- SPDX-License-Identifier: Apache-2.0
local lockstep = require("spec.support.lockstep")
local probe = require("da_probe")
local schedules = require("spec.support.schedule_lockstep")

local OPS = tonumber(os.getenv("DA_OPS")) or (os.getenv("DA_LONG") == "1" and 100000 or 5000)

describe("random requests about schedules", function()
  local seed = lockstep.seed()
  local run

  setup(function()
    run = schedules.run({ probe = probe, seed = seed, ops = OPS })
  end)

  it("find the engine and the oracle of one mind", function()
    local words = ("seed %d, request %d at %d: %s\n  %s"):format(
      seed, run.ops, run.now, run.difference or "", lockstep.show(run.request))
    assert.is_nil(run.difference, words)
    assert.equal(OPS, run.ops)
  end)

  it("fire, succeed and fail often enough to mean something", function()
    print(("seed %d: %d requests, %d fired, %d succeeded"):format(seed, run.ops, run.fired, run.succeeded))
    assert.is_true(run.fired > OPS / 10)
    assert.is_true(run.succeeded > OPS / 4)
    assert.is_true(run.ops - run.succeeded > OPS / 20)
  end)
end)
