-- vm_cancel_in_shield_spec.lua - what the program cancels itself ends in da.shield too: a race there does not wait for
-- its losers. A shield inside of what is cancelled holds it back all the same, and a request to cancel passes over all.
-- SPDX-License-Identifier: Apache-2.0
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.one(x) return x end
function async.sleeper() await(da.sleep(3600)) end
local function ended(p) local ok, e = pawait(p) return ok and "ok" or e.code .. ": " .. e.message end
]]

-- What it shows, the body of a function that runs in da.shield, the result.
local rows = {
  { "a loser that is a branch", [[
      return await(da.race { step.one(1), async("waits", function() await(da.sleep(3600)) end) })]], "[1,1]" },
  { "a loser that is a branch with a child, a step, a branch and a combinator", [[
      local b = async("waits", function()
        local kid, inner = async.sleeper(), async("inner", function() await(da.promise "never") end)
        await(da.all { kid, inner, da.any { da.sleep(3600), da.promise "nobody" } })
      end)
      return await(da.race { step.one(2), b }), ended(b)]], '[2,"canceled: another one was first"]' },
  { "a loser that is a combinator", [[
      local all = da.all { da.sleep(3600), async("waits", function() await(da.sleep(3600)) end) }
      return await(da.race { step.one(3), all }), ended(all)]], '[3,"canceled: another one was first"]' },
  { "da.within over a branch", [[
      return ended(da.within("3ms", async("waits", function() await(da.sleep(3600)) end)))]],
    '"timedout: not settled within 3ms"' },
  { "a branch whose own shield lets it end its work", [[
      local log = {}
      local b = async("works", function()
        da.shield(function()
          await(da.all { da.sleep(0.01), async("beside", function() await(da.sleep(0.02)) log[#log + 1] = "beside" end) })
          log[#log + 1] = "done"
        end)
        await(da.sleep(3600))
      end)
      await(da.sleep(0.002))
      b:cancel "enough"
      return ended(b), log]], '["canceled: enough",["beside","done"]]' },
}

describe("cancelling in da.shield ends", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local text = HEAD .. "function async.main() return da.shield(function()\n" .. row[2] .. "\nend) end"
      local result = script.both { script = text, func = "main", in_memory = true }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  it("not by a request to cancel the execution, be it in a branch or in a combinator", function()
    local text = HEAD .. [[
      function async.kid()
        local log = {}
        da.shield(function()
          await(async("branch", function()
            await(da.all { async.slow(), async("inner", function() await(da.sleep(0.05)) log[#log + 1] = "inner" end) })
            log[#log + 1] = "branch"
          end))
        end)
        local ok, e = pcall(await, da.sleep(1))
        return ok, e.code, log
      end
      function async.slow() await(da.sleep(0.03)) end
      function async.main()
        local p = async.kid()
        await(da.sleep(0.02))
        p:cancel "enough"
        return await(p)
      end]]
    local result = script.both { script = text, func = "main", in_memory = true }
    assert.are.equal('[false,"canceled",["inner","branch"]]\n', result.out, result.err)
  end)
end)
