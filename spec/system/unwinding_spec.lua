-- unwinding_spec.lua - what was done is undone whatever dies when: the workflows of unwinding.lua, killed at every
-- durable write, once and twice, while they are cancelled, time out, join, detach and lose.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local harness = require("spec.support.harness")

-- The same file runs evicted and with a sanitizer as well: there a sample must do.
local few = harness.sanitized or harness.mode ~= nil
local SECOND_DEATHS = harness.long and 1000 or few and 3 or 10 -- per workflow
local EVERY = few and not harness.long and 3 or 1 -- write at which it is killed once

-- The names behind `do` and `undo` in the ledger.
local function notes(place)
  local names = { ["do"] = {}, undo = {} }
  for what, name in io.open(place.ledger):read("a"):gmatch("[^\n ]+ (%l+) ([^\n]+)\n") do names[what][name] = true end
  return names
end

local function check(out, place)
  local result = json.decode(out, 1, nil)
  if type(result) ~= "table" or result.good ~= true then return "it ended otherwise: " .. out end
  local seen = notes(place)
  for _, name in ipairs(result.kept) do seen.undo[name] = true end
  for name in pairs(seen["do"]) do
    if not seen.undo[name] then return ("%s was done and not undone"):format(name) end
  end
end

local function case(func)
  return { name = func, script = "spec/system/unwinding.lua", id = "x", args = { func }, check = check }
end

describe("unwinding", function()
  print("seed " .. harness.seed .. " (DA_SEED repeats it)")
  math.randomseed(harness.seed)

  for _, func in ipairs { "cancel_in_undo", "cancel_in_join", "cancels_steps", "deadline", "detaches", "loses" } do
    it("undoes all of " .. func .. ", killed at every write, and again in the recovery", function()
      local one, writes = case(func), 0
      harness.play(one, {})
      for n = math.random(EVERY), 1000, EVERY do
        if harness.play(one, { { point = n % 4 == 0 and "commit.after" or "commit.before", n = n } }).kills == 0 then break end
        writes = n
      end
      assert.is_true(writes > 5, "hardly a write: " .. writes)
      local kills = 0
      for _ = 1, SECOND_DEATHS do
        local plan = { { point = "commit.before", n = math.random(writes) }, { point = "commit.after", n = math.random(writes // 2) } }
        kills = kills + harness.play(one, plan).kills
      end
      print(("%-16s %3d writes, %3d kills in plans of two"):format(func, writes, kills))
    end)
  end
end)
