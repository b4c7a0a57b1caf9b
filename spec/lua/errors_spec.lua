-- errors_spec.lua - da.Error on its way: through steps and workflows, into fields of others, into text.
-- SPDX-License-Identifier: Apache-2.0
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.bad(n) da.error("disk", "full", { free = 0, deep = { a = { 1, 2 } } }) end
step.bad:defaults { retry = { max = 2, first = "1ms" } }
function step.wrap(e) da.error("wrapped", "in a step", { cause = e, fatal = true }) end
function async.inner() local _, e = pawait(step.bad()); await(step.wrap(e)) end
function async.middle() await(async.inner()) end
function async.outer() local _, e = pawait(async.middle()); da.error("top", "outer failed", { cause = e }) end
local function of(e) return { e.code, e.message, e.promise, e.func or "-", e.attempts or 0, da.is_error(e) } end
]]

local rows = {
  { "through three workflows and a step an error keeps its fields, its causes, whose they were and the attempts", [[
    function async.main()
      local _, e = pawait(async.outer())
      local inner = e.cause.cause
      return { of(e), of(e.cause), of(inner), inner.free, inner.deep, inner.cause == nil }
    end]], '[["top","outer failed","x:outer.1","outer",0,true],'
      .. '["wrapped","in a step","x:outer.1.middle.1.inner.1.wrap.1","wrap",1,true],'
      .. '["disk","full","x:outer.1.middle.1.inner.1.bad.1","bad",2,true],0,{"a":[1,2]},true]' },
  { "its text names the causes", [[
    function async.main() local _, e = pawait(async.outer()); return tostring(e) end]],
    '"[top] outer failed (promise x:outer.1); caused by [wrapped] in a step (promise x:outer.1.middle.1.inner.1.wrap.1); '
      .. 'caused by [disk] full (promise x:outer.1.middle.1.inner.1.bad.1)"' },
  { "a cause may be a text, a ring of causes is cut", [[
    function async.main()
      local a = pcall(da.error, "a", "b") and 0 or select(2, pcall(da.error, "a", "b", { cause = "the wire" }))
      local ring = select(2, pcall(da.error, "r", "ring"))
      ring.cause = ring
      return { tostring(a), select(2, tostring(ring):gsub("caused by", "")) }
    end]], '["[a] b; caused by the wire",8]' },
  { "lists of errors in an error arrive as errors: those of any, those of undo calls", [[
    function async.fails() await(da.any { step.bad:with { retry = false }(), async.inner() }) end
    function async.undoes()
      local s <close> = da.saga()
      s:on_fail(step.bad:with { retry = false })
      s:on_fail(async.inner)
      da.error("mine", "no")
    end
    function async.main()
      local _, e = pawait(async.fails())
      local _, u = pawait(async.undoes())
      return { of(e.errors[1]), e.errors[2].cause.code, of(u.undo_errors[1]), u.undo_errors[1].cause.attempts, u.undo_errors[2].attempts }
    end]], '[["disk","full","x:fails.1.bad.1","bad",1,true],"disk",'
      .. '["wrapped","in a step","x:undoes.1.inner.1.wrap.1","wrap",1,true],2,1]' },
  { "an inline step counts its attempts as well", [[
    function async.main()
      local _, e = pawait(step("x", { retry = { max = 3, first = "1ms" } }, function() da.error("bad", "bad") end))
      return of(e)
    end]], '["bad","bad","x:x.1","x",3,true]' },
  { "raised again as it is, it stays the same", [[
    function async.again() local _, e = pawait(step.bad()); error(e) end
    function async.main() local _, e = pawait(async.again()); return of(e) end]],
    '["disk","full","x:again.1.bad.1","bad",2,true]' },
}

describe("an error", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local result = script.both { script = HEAD .. row[2], func = "main", in_memory = true }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  it("that ends an execution is told with its causes and with what could not be undone", function()
    local text = HEAD .. [[
      function async.main()
        local s <close> = da.saga()
        s:on_fail(step.bad)
        await(async.outer())
      end]]
    local result = script.run { script = text, func = "main", in_memory = true }
    assert.are.equal(1, result.code)
    assert.truthy(result.err:find("[top] outer failed\n"
      .. "caused by: [wrapped] in a step (promise x:outer.1.middle.1.inner.1.wrap.1)\n"
      .. "caused by: [disk] full (promise x:outer.1.middle.1.inner.1.bad.1)\n"
      .. "could not undo: [disk] full (promise x:bad.1)\n"
      .. "stack traceback:\n", 1, true), result.err)
  end)
end)
