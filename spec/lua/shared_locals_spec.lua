-- shared_locals_spec.lua - a local of the file that one kind of function changes and the other reads is refused at load;
-- what each side has for itself, and what nobody changes, is not.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
]]

-- One row: what it shows, the script below HEAD (which has 2 lines), the name of the variable, the function that changes
-- it with the line, the one that reads it with the line.
local refused = {
  { "a step counts, a workflow reads", [[
    local counter = 0
    function step.bump() counter = counter + 1 end
    function async.main()
      await(step.bump())
      return counter
    end]], "counter", "step.bump", 4, "async.main", 7 },
  { "a workflow sets, a step reads", [[
    local url
    function step.fetch() return url end
    function async.main(u)
      url = u
      return await(step.fetch())
    end]], "url", "async.main", 6, "step.fetch", 4 },
  { "a field", [[
    local settings = { url = "", tries = 3 }
    function step.fetch() return settings.url end
    function async.main(u)
      settings.url = u
      return await(step.fetch())
    end]], "settings.url", "async.main", 6, "step.fetch", 4 },
  { "a field below a field", [[
    local settings = { net = {} }
    function step.fetch() return settings.net.url end
    function async.main(u) settings.net.url = u; return await(step.fetch()) end]],
    "settings.net", "async.main", 5, "step.fetch", 4 },
  { "a key that is computed", [[
    local seen = {}
    function step.mark(k) seen[k] = true end
    function async.main() await(step.mark "a"); return seen.a end]], "seen", "step.mark", 4, "async.main", 5 },
  { "an element", [[
    local last = {}
    function step.keep(v) last[1] = v end
    function async.main() await(step.keep "a"); return last[1] end]], "last", "step.keep", 4, "async.main", 5 },
  { "an element added to a list", [[
    local list = {}
    function step.add(v) list[#list + 1] = v end
    function async.main() await(step.add(1)); return #list end]], "list", "step.add", 4, "async.main", 5 },
  { "table.insert", [[
    local list = {}
    function step.add(v) table.insert(list, v) end
    function async.main() await(step.add(1)); return list end]], "list", "step.add", 4, "async.main", 5 },
  { "table.insert under another name", [[
    local list, insert = {}, table.insert
    function step.add(v) insert(list, v) end
    function async.main() await(step.add(1)); return list end]], "list", "step.add", 4, "async.main", 5 },
  { "rawset", [[
    local t = {}
    function step.set(k, v) rawset(t, k, v) end
    function async.main() await(step.set("a", 1)); return t.a end]], "t", "step.set", 4, "async.main", 5 },
  { "a table under a local name", [[
    local state = {}
    function step.set(v) local s = state; s.x = v; s.y = v end
    function async.main() await(step.set(1)); return state.y end]], "state.y", "step.set", 4, "async.main", 5 },
  { "through a helper of each side", [[
    local n = 0
    local function bump() n = n + 1 end
    local function current() return n end
    function step.f() bump() end
    function async.main() await(step.f()); return current() end]], "n", "step.f", 4, "async.main", 5 },
  { "through a helper in a table", [[
    local n, util = 0, {}
    function util.bump() n = n + 1 end
    function step.f() util.bump() end
    function async.main() await(step.f()); return n end]], "n", "step.f", 4, "async.main", 6 },
  { "through a global helper", [[
    local n = 0
    function bump() n = n + 1 end
    function step.f() bump() end
    function async.main() await(step.f()); return n end]], "n", "step.f", 4, "async.main", 6 },
  { "in a function within the function", [[
    local n = 0
    function step.f() local function deep() return function() n = 7 end end; deep()() end
    function async.main()
      await(step.f())
      return await(async("b", function() return n end))
    end]], "n", "step.f", 4, "async.main", 7 },
  { "a variable of a factory that ran at load", [[
    local function counter() local n = 0; return function() n = n + 1 end, function() return n end end
    local bump, current = counter()
    function step.f() bump() end
    function async.main() await(step.f()); return current() end]], "n", "step.f", 3, "async.main", 3 },
  { "a reader that both sides call", [[
    local mode = "quiet"
    local function say(text) return mode .. ": " .. text end
    function step.say(text) return say(text) end
    function async.main() mode = "loud"; return await(step.say "x"), say "y" end]], "mode", "async.main", 6, "step.say", 4 },
}

-- One row: what it shows, script, the result.
local allowed = {
  { "a constant", [[
    local LIMIT, NAMES = 3, { "a", "b" }
    function step.f() return LIMIT + #NAMES end
    function async.main() return await(step.f()) + LIMIT + #NAMES end]], "10" },
  { "a helper of both sides that changes nothing", [[
    local function twice(n) local m = n; m = m * 2; return m end
    function step.f(n) return twice(n) end
    function async.main() return twice(await(step.f(1))) end]], "4" },
  { "a variable of steps alone", [[
    local calls, last = 0, {}
    function step.f() calls = calls + 1; last[1] = calls; return #last end
    function async.main() return await(step.f()) end]], "1" },
  { "a variable of workflows alone", [[
    local calls = 0
    local function count() calls = calls + 1 end
    function step.f() return 1 end
    function async.main() count(); await(step.f()); count(); return calls end]], "2" },
  { "another field of a table", [[
    local state = { base = 10 }
    function step.f() state.last = 1; return state.last end
    function async.main() return await(step.f()) + state.base end]], "11" },
  { "a method of a table of which a step changes a field", [[
    local client = { base = 10 }
    function client:get(n) return self.base + n end
    function step.f() client.last = 1; return client:get(1) end
    function async.main() return await(step.f()) + client:get(2) end]], "23" },
  { "a cache in a helper of both sides", [[
    local cache
    local function parsed() if not cache then cache = { 1, 2 } end; return cache end
    function step.f() return #parsed() end
    function async.main() return await(step.f()) + #parsed() end]], "4" },
  { "what the file itself changes while it loads", [[
    local list, n = {}, 0
    local function add(v) n = n + 1; list[n] = v end
    add "a"
    add "b"
    function step.f() return #list end
    function async.main() return await(step.f()) + n end]], "4" },
  { "a local that has the same name", [[
    local n = 1
    function step.f() local n = 5; n = n + 1; return n end
    function async.main() return await(step.f()) + n end]], "7" },
  { "a table given as an argument", [[
    local defaults = { a = 1 }
    local function fill(t) t.b = 2; return t end
    function step.f() return fill({}).b end
    function async.main() return await(step.f()) + defaults.a end]], "3" },
  { "an alias that was given another table", [[
    local state = { x = 1 }
    function step.f() local s = state; s = { y = s.x }; s.x = 5; return s.y end
    function async.main() return await(step.f()) + state.x end]], "2" },
  { "functions that call each other", [[
    local odd
    local function even(n) if n == 0 then return true end; return odd(n - 1) end
    function odd(n) if n == 0 then return false end; return even(n - 1) end
    function step.f(n) return even(n) end
    function async.main() return await(step.f(4)) == even(6) end]], "true" },
}

-- Names of every length, so that none is taken with the bytes behind it.
local many = { "local NAMES = 0" }
for n = 1, 60 do many[#many + 1] = ("function step.%s() return NAMES end"):format(("n"):rep(n)) end
many[#many + 1] = "function async.main() return await(step.nnn()) end"
allowed[#allowed + 1] = { "read by many functions", table.concat(many, "\n"), "0" }

describe("a local of the file is refused if it is", function()
  for _, row in ipairs(refused) do
    it(row[1], function()
      local place = harness.place()
      local result = script.run { place = place, keep = true, script = HEAD .. row[2], args = { "x" } }
      assert.are.equal(2, result.code, result.err .. result.out)
      local change = ("s.lua:%d: %s changes '%s', a local of the file"):format(row[5], row[4], row[3])
      assert.is_truthy(result.err:find(change, 1, true), result.err)
      assert.is_truthy(result.err:find(("%s reads it (s.lua:%d)"):format(row[6], row[7]), 1, true), result.err)
      assert.is_truthy(result.err:find("Pass the value as an argument, or return it from the step", 1, true), result.err)
      harness.remove(place)
    end)
  end

  it("changed in another file, which is named", function()
    local result = script.run { main = "s.lua", files = {
      ["s.lua"] = HEAD .. [[
        local util = require "util"
        function step.f() util.bump() end
        function async.main() await(step.f()); return util.current() end]],
      ["util.lua"] = [[
        local M, n = {}, 0
        function M.bump() n = n + 1 end
        function M.current() return n end
        return M]],
    } }
    assert.are.equal(2, result.code, result.err .. result.out)
    assert.is_truthy(result.err:find("util.lua:2: step.f changes 'n'", 1, true), result.err)
    assert.is_truthy(result.err:find("async.main reads it (util.lua:3)", 1, true), result.err)
  end)

  it("part of what an execution is to migrate to", function()
    local place = harness.place()
    local first = script.run { place = place, keep = true, env = { DAHOST_KILL = "commit.after:3" }, script = HEAD .. [[
      function async.main() await(da.sleep(0.01)); await(da.sleep(0.01)); return 1 end]] }
    assert.are.equal(9, first.signal)
    local file = assert(io.open(place.dir .. "/new.lua", "w"))
    file:write(HEAD .. refused[1][2])
    file:close()
    local migrated = harness.dahost { "migrate", "x", place.dir .. "/new.lua", "--data", place.data }
    assert.are_not.equal(0, migrated.code)
    assert.is_truthy(migrated.err:find("step.bump changes 'counter'", 1, true), migrated.err)
    local resumed = harness.dahost { "resume", "x", "--data", place.data, "--quiet" }
    assert.are.equal("1\n", resumed.out, resumed.err)
    harness.remove(place)
  end)
end)

describe("a local of the file is not refused if it is", function()
  for _, row in ipairs(allowed) do
    it(row[1], function()
      local result = script.run { script = HEAD .. row[2] }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end
end)
