-- closure_spec.lua - an inline step that assigned a local outside of itself parks its execution, and nothing catches that.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
]]

-- One row: how the assignment is made, the script below HEAD. The inline step is called 's' and lies in line 5, the
-- local is `n`. What must not be reached prints "BEYOND".
local parks = {
  { "by the closure itself", [[
    function async.main()
      local n = 0
      await(step("s", function() n = n + 1 end))
      print "BEYOND"
    end]] },
  { "by a function within it", [[
    function async.main()
      local n = 0
      await(step("s", function() for _ = 1, 2 do (function() n = "x" end)() end end))
      print "BEYOND"
    end]] },
  { "by a function that it calls", [[
    local n = 0; local function bump() n = n + 1 end; local function twice() bump(); bump() end
    function async.main()
      await(step("s", function() twice() end))
      print "BEYOND"
    end]] },
  { "of a table in place of another", [[
    function async.main()
      local n = {}
      await(step("s", function() n = {} end))
      print "BEYOND"
    end]] },
  { "of a float in place of an integer", [[
    function async.main()
      local n = 1
      await(step("s", function() n = 1.0 end))
      print "BEYOND"
    end]] },
  { "before an error", [[
    function async.main()
      local n = 0
      await(step("s", { retry = false }, function() n = 1; error "broken" end))
      print "BEYOND"
    end]] },
  { "in a later attempt", [[
    function async.main()
      local n, t = 0, {}
      await(step("s", { retry = { first = "1ms" } }, function() if t[1] then n = 1 end; t[1] = 1; error "x" end))
      print "BEYOND"
    end]] },
  { "without an await", [[
    function async.main()
      local n = 0
      step("s", function() n = n + 1 end)
      print "BEYOND"
    end]] },
  { "in a branch", [[
    function async.main()
      await(async("b", function() local n
        await(step("s", function() n = 1 end))
        print "BEYOND"
      end))
      print "BEYOND"
    end]] },
  { "within pcall", [[
    function async.main()
      local n = 0
      pcall(function() await(step("s", function() n = n + 1 end)); print "BEYOND" end)
      print "BEYOND"
    end]] },
  { "within xpcall", [[
    function async.main() local n
      local function caught() print "BEYOND" end
      xpcall(function() await(step("s", function() n = 1 end)); print "BEYOND" end, caught)
      print "BEYOND"
    end]] },
  { "within pcall in a coroutine", [[
    function async.main()
      local n = 0
      local co = coroutine.create(function() pcall(function() step("s", function() n = 1 end) end); print "BEYOND" end)
      coroutine.resume(co); print "BEYOND"; coroutine.resume(co)
      pcall(coroutine.wrap(function() print "BEYOND" end)); print "BEYOND"
    end]] },
  { "within a scope that is to be closed", [[
    function async.main() local n = 0
      local undo <close> = setmetatable({}, { __close = function() print "BEYOND" end })
      step("s", function() n = n + 1 end)
      print "BEYOND"
    end]] },
  { "within a function that closes", [[
    function async.main() local n = 0
      do local c <close> = setmetatable({}, { __close = function()
        pcall(step, "s", function() n = n + 1 end)
        print "BEYOND" end }) end
      print "BEYOND"
    end]] },
  { "within a callback of gsub", [[
    function async.main() local n = 0
      pcall(string.gsub, "aa", "a", function()
        pcall(step, "s", function() n = n + 1 end)
        print "BEYOND" end)
      print "BEYOND"
    end]] },
  { "within a callback that nothing can yield across", [[
    function async.main() local n = 0
      local t = setmetatable({}, { __index = function() pcall(function()
        step("s", function() n = n + 1 end) end); print "BEYOND"; return "x" end })
      pcall(table.concat, t, ",", 1, 3)
      print "BEYOND"
    end]] },
}

-- One row: what it shows, script, the result.
local goes_on = {
  { "assigns its own locals", [[
    function async.main()
      local n = 2
      return await(step("s", function() local m = n; for i = 1, 3 do m = m + i end; n = n; return m end))
    end]], "8" },
  { "returns what the workflow assigns", [[
    function async.main()
      local n = 1
      for _ = 1, 3 do n = await(step("s", function() return n * 2 end)) end
      return n
    end]], "8" },
  { "sees a nan", [[
    function async.main()
      local n = 0 / 0
      return await(step("s", function() return n ~= n end))
    end]], "true" },
  { "calls a function that others assign by", [[
    function async.main()
      local n = 0
      local function add(to) if to then n = n + to end; return n end
      add(2)
      return await(step("s", function() return add() + 1 end))
    end]], "3" },
  { "assigns variables of what it made", [[
    function async.main()
      return await(step("s", function()
        local n = 0
        local function bump() n = n + 1; return n end
        return bump() + bump()
      end))
    end]], "3" },
  { "is a function of C", [[
    function async.main() return await(step("s", da.uuid)) ~= nil, await(step("t", coroutine.wrap(function() return 1 end))) end]],
    "[true,1]" },
}

local function check_parked(result, name, line)
  assert.are.equal(3, result.code, result.err .. result.out)
  assert.are.equal("", result.out)
  assert.is_nil(result.err:find("BEYOND", 1, true), result.err)
  assert.is_truthy(result.err:find(("inline step 's' (s.lua:%d) assigned to '%s'"):format(line, name), 1, true), result.err)
  assert.is_truthy(result.err:find("Return the value from the step instead", 1, true), result.err)
  assert.is_truthy(result.err:find("dahost migrate 'x' FILE", 1, true), result.err)
end

describe("an inline step that assigns a local outside of it parks its execution: ", function()
  for _, row in ipairs(parks) do
    it(row[1], function() check_parked(script.run { script = HEAD .. row[2] }, "n", 5) end)
  end
end)

describe("an inline step does not park its execution if it ", function()
  for _, row in ipairs(goes_on) do
    it(row[1], function()
      local result = script.both { script = HEAD .. row[2] }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end
end)

describe("an execution parked by its inline step", function()
  local LATE = HEAD .. [[
    function step.f(x) return x end
    function async.main()
      local n = await(step.f(1))
      await(da.sleep(0.01))
      await(step("s", function() n = n + 1 end))
      return n
    end]]

  it("parks again, in the same words, wherever its process was killed", function()
    local killed = 0
    for n = 1, 100 do
      local place = harness.place()
      local first = script.run { place = place, keep = true, script = LATE, env = { DAHOST_KILL = "commit.before:" .. n } }
      if first.signal ~= 9 then
        check_parked(first, "n", 7)
        harness.remove(place)
        break
      end
      killed = killed + 1
      check_parked(script.run { place = place, keep = true, script = LATE }, "n", 7)
      local verify = harness.dahost { "verify", "--data", place.data }
      assert.are.equal(0, verify.code, verify.out)
      harness.remove(place)
    end
    assert.is_true(killed >= 3, killed .. " kills")
  end)

  it("is listed, and goes on with a mended script", function()
    local place = harness.place()
    check_parked(script.run { place = place, keep = true, script = LATE }, "n", 7)
    local ps = harness.dahost { "ps", "--parked", "--data", place.data }
    assert.is_truthy(ps.out:find("assigned to 'n'", 1, true), ps.out)
    local file = assert(io.open(place.dir .. "/mended.lua", "w"))
    file:write((LATE:gsub('await%(step%("s", function%(%) n = n %+ 1 end%)%)',
      'n = await(step("s", function() return n + 1 end))')))
    file:close()
    local migrated = harness.dahost { "migrate", "x", place.dir .. "/mended.lua", "--data", place.data }
    assert.are.equal(0, migrated.code, migrated.err)
    local resumed = harness.dahost { "resume", "x", "--data", place.data, "--quiet" }
    assert.are.equal("2\n", resumed.out, resumed.err)
    harness.remove(place)
  end)
end)
