-- deadline_spec.lua - a workflow's timeout is raised in it, as a request to cancel is, so that it can undo what it did.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.undo(what) return "undid " .. what end
]]

local rows = {
  { "is raised at the await under way, and the caller sees its code", [[
    function async.kid() await(da.sleep(60)) end
    function async.main()
      local _, e = pawait(async.kid:with { timeout = "30ms" }())
      return { e.code, e.message, e.promise }
    end]], '["timedout","the deadline passed","x:kid.1"]' },
  { "can be caught, and steps still run afterwards in da.shield", [[
    function async.kid()
      local ok, e = pcall(function() await(da.sleep(60)) end)
      return { ok, e.code, da.shield(function() return await(step.undo "all") end) }
    end
    function async.main() return await(async.kid:with { timeout = "30ms" }()) end]], '[false,"timedout","undid all"]' },
  { "is raised again at each later await", [[
    function async.kid()
      local codes = {}
      for i = 1, 3 do
        local _, e = pawait(da.sleep(60))
        codes[i] = e.code
      end
      return codes
    end
    function async.main() return await(async.kid:with { timeout = "30ms" }()) end]], '["timedout","timedout","timedout"]' },
  { "closes what is open, and that can await", [[
    function async.kid(log)
      local guard <close> = setmetatable({}, { __close = function(_, e)
        da.shield(function() await(step.undo(e.code)) end)
      end })
      await(da.sleep(60))
    end
    function async.main()
      local _, e = pawait(async.kid:with { timeout = "30ms" }())
      return { e.code, await(da.get "x:kid.1.undo.1") }
    end]], '["timedout","undid timedout"]' },
  { "reaches the branches of the workflow and its child workflows", [[
    function async.grandkid() await(da.sleep(60)) end
    function async.kid()
      local b = async("b", function() await(da.sleep(60)) end)
      local g = async.grandkid()
      local _, e = pawait(b)
      local ok, f = pcall(function() return da.shield(function() return await(g) end) end)
      return { e.code, ok, f.code }
    end
    function async.main() return await(async.kid:with { timeout = "30ms" }()) end]], '["timedout",false,"timedout"]' },
  { "that was caught is no failure of the children that it ended as well", [[
    function step.slow() os.execute "sleep 0.2" end
    function async.leaf() await(da.sleep(60)) end
    function async.kid(kind)
      local p
      if kind == "branch" then p = async("side", function() await(da.sleep(60)) end)
      elseif kind == "step" then p = step.slow()
      else p = async.leaf() end
      local _, e = pcall(await, da.promise "never")
      return e.code .. ", " .. p:state()
    end
    function async.main()
      local kid, results = async.kid:with { timeout = "30ms" }, {}
      for i, kind in ipairs { "branch", "step", "leaf" } do results[i] = await(kid(kind)) end
      return results
    end]], '["timedout, pending","timedout, pending","timedout, pending"]' },
  { "that was caught keeps no failure of a child from the parent", [[
    function step.fails() da.error("broken", "no", { fatal = true }) end
    function async.kid()
      local p = step.fails()
      pcall(await, da.promise "never")
      return p.id
    end
    function async.main()
      local ok, e = pawait(async.kid:with { timeout = "30ms" }())
      return { ok, e.code }
    end]], '[false,"timedout"]' },
  { "is clamped to that of the parent", [[
    function async.grandkid() await(da.sleep(60)) end
    function async.kid()
      local p = async.grandkid:with { timeout = "1h" }()
      local _, e = pcall(da.shield, function() await(p) end)
      return e.code
    end
    function async.main() return await(async.kid:with { timeout = "30ms" }()) end]], '"timedout"' },
  { "leaves no trace when it is not reached", [[
    function async.kid() await(da.sleep(0.005)); return "in time" end
    function async.main() return await(async.kid:with { timeout = "1h" }()) end]], '"in time"' },
  { "of zero is raised at the first await", [[
    function async.kid() await(da.sleep(0)); return "too late" end
    function async.main() local _, e = pawait(async.kid:with { timeout = 0 }()); return e.code end]], '"timedout"' },
  { "ends what would never end", [[
    function async.kid() await(da.promise "never") end
    function async.main() local _, e = pawait(async.kid:with { timeout = "30ms" }()); return e.code end]], '"timedout"' },
  { "of da.within is the same to the caller, and the workflow is asked to cancel", [[
    function async.kid()
      local _, e = pcall(function() await(da.sleep(60)) end)
      da.shield(function() await(step.undo(e.code)) end)
      error(e, 0)
    end
    function async.main()
      local k = async.kid()
      local _, e = pawait(da.within("30ms", k))
      local _, f = pawait(k)
      return { e.code, f.code }
    end]], '["timedout","canceled"]' },
}

describe("a workflow's timeout", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local result = script.both { script = HEAD .. row[2], func = "main" }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  it("that passed while no process ran is raised at once, after what was recorded before", function()
    local place = harness.place()
    local text = HEAD .. [[
      function step.mark() return "marked" end
      function step.kill_once(path)
        if not io.open(path) then io.open(path, "w"):close(); os.execute "kill -9 $PPID" end
        os.execute "sleep 0.1"
      end
      function async.kid(path)
        local seen = { await(step.mark()) }
        local ok, e = pcall(function() await(step.kill_once(path)); await(da.sleep(60)) end)
        seen[2] = e.code
        return seen
      end
      function async.main(path) return await(async.kid:with { timeout = "400ms" }(path)) end]]
    local life = { place = place, keep = true, script = text, func = "main", args = { place.dir .. "/killed" } }
    assert.are.equal(9, script.run(life).signal)
    os.execute "sleep 0.5"
    local result = script.run(life)
    assert.are.equal('["marked","timedout"]\n', result.out, result.err)
    assert.are.equal(0, harness.dahost({ "verify", "--data", place.data }).code)
    harness.remove(place)
  end)
end)
