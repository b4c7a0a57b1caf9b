-- park_spec.lua - memory past the quota, calls without an end and another path than the recorded one park the execution: no
-- code of it runs any more, be it to catch or to close; nothing else is touched; once the code is mended it goes on.
-- (Loops without an end: slice_spec.lua.)
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
]]

local causes = {
  memory = {
    words = "outgrew its memory quota",
    ["of a table"] = "local t = {}; for i = 1, 1e9 do t[i] = i end",
    ["of texts"] = 'local t = {}; for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end',
    ["of one text"] = 'local s = ("x"):rep(1e9)',
    ["of a buffer"] = 'local t = {}; for i = 1, 1000 do t[i] = ("x"):rep(30000) end; for _ = 1, 9 do t[#t + 1] = table.concat(t) end',
  },
  stack = {
    words = "nested too deep",
    ["of plain calls"] = "local function f(n) return 1 + f(n) end; f(1)",
    ["of large frames"] = "local function f(n) local " .. ("a, "):rep(150) .. "b = n; return 1 + f(n) end; f(1)",
    ["of metamethods"] = "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }); local _ = t[1]",
    ["of callbacks"] = 'local function f(s) return (s:gsub(".", f)) end; f "a"',
    ["of protected calls"] = "local function f() return pcall(f) end; f()",
    ["of coroutines"] = "local function f() return coroutine.resume(coroutine.create(f)) end; f()",
    ["of wrapped coroutines"] = "local function f() return coroutine.wrap(f)() end; f()",
    ["of sorting"] = "local function f() table.sort({ 2, 1 }, function() return f() end) end; f()",
  },
}

-- What a script may try in order to go on; BODY stands for the fault.
local ways = {
  plainly = "BODY",
  ["below pcall"] = 'pcall(function() BODY end); print "caught"',
  ["below xpcall"] = 'xpcall(function() BODY end, function() print "caught"; return 1 end); print "caught"',
  ["below coroutines and variables to close"] = [[
    local t <close> = setmetatable({}, { __close = function() print "caught" end })
    coroutine.resume(coroutine.create(function()
      local u <close> = setmetatable({}, { __close = function() print "caught" end })
      BODY
    end))
    print "caught"]],
  ["in an inline step"] = 'pawait(step("x", function() pcall(function() BODY end); BODY end)); print "caught"',
}

local function parked(text, words)
  local result = script.run { script = text, func = "main" }
  assert.are.equal(3, result.code, result.err .. result.out)
  assert.are.equal("", result.out)
  assert.is_truthy(result.err:find(words, 1, true), result.err)
  assert.is_nil(result.err:find("caught", 1, true), result.err)
end

for cause, forms in pairs(causes) do
  describe(cause, function()
    for form, body in pairs(forms) do
      if form ~= "words" then
        it(form .. " parks the execution, below pcall as well", function()
          local way = ways["below pcall"]:gsub("BODY", (body:gsub("%%", "%%%%")))
          parked(HEAD .. "function async.main() " .. way .. " end", forms.words)
        end)
      end
    end
    for name, way in pairs(ways) do
      it("cannot be caught " .. name, function()
        local body = cause == "memory" and causes.memory["of a table"] or causes.stack["of plain calls"]
        parked(HEAD .. "function async.main() " .. way:gsub("BODY", body) .. " end", forms.words)
      end)
    end
  end)
end

describe("another path than the recorded one", function()
  for name, way in pairs(ways) do
    if name ~= "in an inline step" then
      it("cannot be caught " .. name, function()
        local result = script.cold { func = "main", script = HEAD .. [[
          function step.a() end
          function step.b() end
          function async.main()
            ]] .. way:gsub("BODY", "local f = da.replaying() and step.a or step.b; await(f()); await(da.sleep(0.05))") .. [[

            return "done"
          end]] }
        assert.are.equal(3, result.code, result.err .. result.out)
        assert.is_truthy(result.err:find("wants step 'a' args#", 1, true), result.err)
        assert.is_truthy(result.err:find("holds step 'b' args#", 1, true), result.err)
        assert.is_nil(result.err:find("caught", 1, true), result.err)
      end)
    end
  end
end)

describe("an error that says 'stack overflow'", function()
  it("is an error like others, and so is that of a step", function()
    local result = script.both { func = "main", script = HEAD .. [[
      function step.deep() local function f() return 1 + f() end; return f() end
      function async.main()
        local _, own = pcall(error, "a stack overflow")
        local _, of_step = pawait(step.deep:with { retry = false }())
        local _, again = pcall(error, of_step)
        local _, of_handler = xpcall(error, function(m) error(m) end, "x")
        return { own, of_step.code, again == of_step, type(of_handler) }
      end]] }
    assert.are.equal('["a stack overflow","error",true,"string"]\n', result.out, result.err)
  end)
end)

describe("a parked execution", function()
  it("ends its run at once, whatever timers it has set", function()
    local result = script.run { func = "main", script = HEAD .. [[
      function async.main()
        local hour = da.sleep "1h"
        await(step("recorded", function() return 1 end))
        local function f(n) return 1 + f(n) end
        await(hour, f(1))
      end]] }
    assert.are.equal(3, result.code, result.err)
  end)

  it("goes on behind what it had done once its code is mended", function()
    local text = HEAD .. [[
      function step.first() return "first" end
      function async.main()
        local a = await(step.first())
        local function f(n) if n == STOP then return 0 end; return 1 + f(n + 1) end
        return a .. f(0)
      end]]
    local result = script.run { keep = true, script = text, func = "main" }
    assert.are.equal(3, result.code, result.err)
    local place = result.place
    local path = place.dir .. "/s.lua"
    local file = assert(io.open(path, "w"))
    file:write((text:gsub("STOP", "100")))
    file:close()
    local migrated = harness.dahost { "migrate", "x", path, "--data", place.data }
    assert.are.equal(0, migrated.code, migrated.err)
    local resumed = harness.dahost { "resume", "x", "--data", place.data, "--quiet" }
    assert.are.equal('"first100"\n', resumed.out, resumed.err)
    harness.remove(place)
  end)
end)
