-- random_spec.lua - a hundred thousand random requests: the engine against the oracle.
--
-- DA_SEED repeats a run; DA_OPS asks for more of them.
--
-- SPDX-License-Identifier: Apache-2.0
local lockstep = require("spec.support.lockstep")
local probe = require("da_probe")
local rows = require("spec.support.rows")

local OPS = tonumber(os.getenv("DA_OPS")) or (os.getenv("DA_LONG") == "1" and 1000000 or 120000)
local SUCCESS_MIN = 0.30
local HITS_MIN = 100

describe("random requests", function()
  local seed = lockstep.seed()
  local run

  setup(function()
    run = lockstep.run({ probe = probe, seed = seed, ops = OPS })
  end)

  it("find the engine and the oracle of one mind", function()
    local words = ("seed %d, request %d at %s: %s\n  %s"):format(
      seed, run.ops, run.now, run.difference or "", lockstep.show(run.request))
    assert.is_nil(run.difference, words)
    assert.equal(OPS, run.ops)
  end)

  it("succeed often enough to mean something", function()
    assert.is_true(run.succeeded >= SUCCESS_MIN * run.ops, ("%d of %d"):format(run.succeeded, run.ops))
  end)

  it("take every row of the state tables many times", function()
    local rare, least = {}, math.huge
    for _, row in ipairs(rows.list) do
      local hits = run.hits[row.name] or 0
      least = math.min(least, hits)
      if hits < HITS_MIN then rare[#rare + 1] = ("%s: %d"):format(row.name, hits) end
    end
    print(("seed %d: %d requests, %d succeeded, %d rows, the rarest taken %d times"):format(
      seed, run.ops, run.succeeded, #rows.list, least))
    assert.same({}, rare)
  end)
end)
