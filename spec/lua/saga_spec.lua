-- saga_spec.lua - da.saga(): what leaves its scope, what is undone then, in which order, and what may come in between.
-- SPDX-License-Identifier: Apache-2.0
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.act(what) return what end
function step.stuck(what) da.error("stuck", "cannot undo " .. tostring(what), { fatal = true }) end
function step.slow(what) os.execute "sleep 0.15"; return what end
-- Undo calls that tell: plain functions that await a step and note its result.
local function noting(log) return function(what) log[#log + 1] = await(step.act(what)) end end
]]

-- What it shows, the script, the result.
local rows = {
  { "undoes newest first when an error leaves the scope, and the error goes on as it was", [[
    function async.main()
      local log = {}
      local ok, e = pcall(function()
        local s <close> = da.saga()
        for i = 1, 3 do await(step.act(i)); s:on_fail(noting(log), i) end
        da.error("mine", "no", { amount = 7 })
      end)
      return { ok, e.code, e.amount, e.undo_errors == nil, log }
    end]], '[false,"mine",7,true,[3,2,1]]' },
  { "undoes nothing when the scope is left by return, break or goto, or at its end", [[
    function async.main()
      local log = da.array {}
      local function by_return() local s <close> = da.saga(); s:on_fail(noting(log), 1); return "r" end
      by_return()
      for _ = 1, 2 do local s <close> = da.saga(); s:on_fail(noting(log), 2); break end
      do
        local s <close> = da.saga()
        s:on_fail(noting(log), 3)
        goto out
      end
      ::out::
      do local s <close> = da.saga(); s:on_fail(noting(log), 4) end
      return log
    end]], "[]" },
  { "copies the arguments of a durable function at the call, as a call does", [[
    function async.kid()
      local s <close> = da.saga()
      local cart = { name = "tea", price = 3 }
      s:on_fail(step.act:with { key = "undo" }, cart, nil, 2)
      cart.name, cart.price = "changed", 9
      error "no"
    end
    function async.main() pawait(async.kid()); return await(da.get "x:kid.1.act=undo") end]], '{"name":"tea","price":3}' },
  { "runs a workflow as an undo call, and awaits the promise that a plain function returns", [[
    function async.restore(what) await(da.sleep(0.005)); return "restored " .. what end
    function async.kid()
      local s <close> = da.saga()
      s:on_fail(async.restore, "a")
      s:on_fail(function() return step.act "returned" end)
      error "no"
    end
    function async.main()
      pawait(async.kid())
      return { await(da.get "x:kid.1.restore.1"), await(da.get "x:kid.1.act.1") }
    end]], '["restored a","returned"]' },
  { "goes on with the other undo calls when one fails, and raises the error with undo_errors", [[
    function async.kid()
      local s <close> = da.saga()
      s:on_fail(step.act, "first")
      s:on_fail(step.stuck, 1)
      s:on_fail(function() error { code = "odd", n = 2 } end)
      s:on_fail(step.act, "last")
      da.error("mine", "no")
    end
    function async.main()
      local _, e = pawait(async.kid())
      local out = { e.code, #e.undo_errors }
      for i, u in ipairs(e.undo_errors) do out[2 + i] = { da.is_error(u), u.code, u.promise or u.n, u.func } end
      out[5], out[6] = await(da.get "x:kid.1.act.1"), await(da.get "x:kid.1.act.2")
      return out
    end]], '["mine",2,[true,"odd",2],[true,"stuck","x:kid.1.stuck.1","stuck"],"last","first"]' },
  { "makes a da.Error of another value that was raised, when an undo call failed", [[
    function async.main()
      local ok, e = pcall(function()
        local s <close> = da.saga()
        s:on_fail(step.stuck, 1)
        error("plain", 0)
      end)
      return { e.code, e.message, e.undo_errors[1].code }
    end]], '["error","plain","stuck"]' },
  { "leaves another value as it is when every undo call succeeded", [[
    function async.main()
      local _, e = pcall(function()
        local s <close> = da.saga()
        s:on_fail(step.act, 1)
        error("plain", 0)
      end)
      return e
    end]], '"plain"' },
  { "repeats a failing undo call as its step's retry says", [[
    function step.third() if da.attempt() < 3 then error "again" end; return da.attempt() end
    function async.kid()
      local s <close> = da.saga()
      s:on_fail(step.third:with { retry = { first = "1ms" } })
      error("no", 0)
    end
    function async.main()
      local _, e = pawait(async.kid())
      return { e.message, e.undo_errors == nil, await(da.get "x:kid.1.third.1") }
    end]], '["no",true,3]' },
  { "undoes the inner scope before the outer one, and gathers what failed in both", [[
    function async.main()
      local log = {}
      local _, e = pcall(function()
        local outer <close> = da.saga()
        outer:on_fail(noting(log), "outer")
        outer:on_fail(step.stuck, "outer")
        do
          local inner <close> = da.saga()
          inner:on_fail(noting(log), "inner")
          inner:on_fail(step.stuck, "inner")
          error { code = "mine" }
        end
      end)
      return { log, e.code, e.undo_errors[1].message, e.undo_errors[2].message, e.undo_errors.n }
    end]], '[["inner","outer"],"mine","cannot undo inner","cannot undo outer",2]' },
  { "ended well, an inner scope is not undone with the outer one: register it there", [[
    function async.main()
      local log = {}
      pcall(function()
        local outer <close> = da.saga()
        do local inner <close> = da.saga(); inner:on_fail(noting(log), "inner") end
        outer:on_fail(noting(log), "outer")
        error "no"
      end)
      return log
    end]], '["outer"]' },
  { "rolls back by hand and goes on, empty", [[
    function async.main()
      local log = {}
      local ok = pcall(function()
        local s <close> = da.saga()
        s:on_fail(noting(log), 1)
        s:on_fail(noting(log), 2)
        s:rollback()
        log[#log + 1] = "rolled back"
        s:on_fail(noting(log), 3)
        error "no"
      end)
      return { ok, log }
    end]], '[false,[2,1,"rolled back",3]]' },
  { "rolled back by hand, a scope may end well", [[
    function async.main()
      local log = {}
      do
        local s <close> = da.saga()
        s:on_fail(noting(log), 1)
        s:rollback()
      end
      return log
    end]], "[1]" },
  { "raises undo_failed when calls fail that were rolled back by hand, after the others ran", [[
    function async.main()
      local log = {}
      local ok, e = pcall(function()
        local s <close> = da.saga()
        s:on_fail(noting(log), 1)
        s:on_fail(step.stuck, 2)
        s:rollback()
      end)
      return { ok, e.code, e.undo_errors[1].code, log }
    end]], '[false,"undo_failed","stuck",[1]]' },
  { "undoes in a branch, by itself", [[
    function async.main()
      local log = {}
      local b = async("side", function()
        local s <close> = da.saga()
        s:on_fail(noting(log), "side")
        await(da.sleep(0.005))
        da.error("mine", "no")
      end)
      local mine = await(step.act "main")
      local _, e = pawait(b)
      return { mine, e.code, log }
    end]], '["main","mine",["side"]]' },
  { "undoes in the function of da.map, in each call for itself", [[
    function async.main()
      local log = {}
      local two = step.act(2)
      local _, e = pawait(da.map({ 2, 1 }, function(n)
        local s <close> = da.saga()
        s:on_fail(noting(log), n)
        if n == 1 then
          await(two)
          da.error("mine", "no")
        end
        return await(two)
      end))
      return { e.code, log }
    end]], '["mine",[1]]' },
  { "undoes a branch that the program cancels, shielded", [[
    function async.main()
      local log = {}
      local b = async("side", function()
        local s <close> = da.saga()
        s:on_fail(noting(log), 1)
        s:on_fail(function() await(da.sleep(0.01)); log[#log + 1] = "slept" end)
        await(da.promise "never")
      end)
      await(da.sleep(0.005))
      b:cancel "enough"
      local _, e = pawait(b)
      return { e.code, e.message, log }
    end]], '["canceled","enough",["slept",1]]' },
  { "undoes what a failed workflow still has running, and its error stays", [[
    function async.main()
      local log = {}
      local ok, e = pawait(async("outer", function()
        async("side", function()
          local s <close> = da.saga()
          s:on_fail(noting(log), "side")
          await(da.promise "never")
        end)
        await(da.sleep(0.005))
        da.error("mine", "no")
      end))
      return { ok, e.code, log }
    end]], '[false,"mine",["side"]]' },
  { "finishes the undo calls of a combinator's function though its workflow fails meanwhile", [[
    function async.kid()
      da.map({ 1 }, function()
        local s <close> = da.saga()
        s:on_fail(function() await(step.slow "a"); await(step.act "b") end)
        await(step.act "c")
        error "no"
      end)
      await(da.sleep(0.05))
      da.error("mine", "too")
    end
    function async.main()
      local _, e = pawait(async.kid())
      return { e.code, await(da.get "x:kid.1.slow.1"), await(da.get "x:kid.1.act.2") }
    end]], '["mine","a","b"]' },
  { "undoes at the deadline, and a call under way then is not cut by it", [[
    function step.slower(what) os.execute "sleep 0.35"; return what end
    function async.kid()
      local s <close> = da.saga()
      s:on_fail(step.act, "first")
      s:on_fail(step.slower, "second")
      await(step.act "done")
      error "early"
    end
    function async.late()
      local s <close> = da.saga()
      s:on_fail(step.act, "first")
      await(da.promise "never")
    end
    function async.main()
      local _, e = pawait(async.kid:with { timeout = "300ms" }())
      local _, f = pawait(async.late:with { timeout = "30ms" }())
      return { e.message:match "early", await(da.get "x:kid.1.slower.1"), await(da.get "x:kid.1.act.2"),
        f.code, await(da.get "x:late.1.act.1") }
    end]], '["early","second","first","timedout","first"]' },
  { "is not disturbed by a request to cancel that comes while it undoes", [[
    function step.tell(id) da.resolve(id) end
    function async.kid(id)
      local s <close> = da.saga()
      s:on_fail(step.act, "first")
      s:on_fail(function() await(step.tell(id)); await(step.slow "second") end)
      await(step.act "done")
      da.error("mine", "no")
    end
    function async.main()
      local undoing = da.promise "undoing"
      local k = async.kid(undoing.id)
      await(undoing)
      k:cancel "now"
      local _, e = pawait(k)
      return { e.code, await(da.get "x:kid.1.slow.1"), await(da.get "x:kid.1.act.2") }
    end]], '["mine","second","first"]' },
  { "may hold a saga of its own in an undo call", [[
    function async.main()
      local log = {}
      local _, e = pcall(function()
        local s <close> = da.saga()
        s:on_fail(function()
          local t <close> = da.saga()
          t:on_fail(noting(log), "inner")
          da.error("second", "no")
        end)
        da.error("first", "no")
      end)
      return { e.code, e.undo_errors[1].code, log }
    end]], '["first","second",["inner"]]' },
  { "raised nil counts as an error", [[
    function async.main()
      local log = {}
      local ok, e = pcall(function()
        local s <close> = da.saga()
        s:on_fail(noting(log), 1)
        error()
      end)
      return { ok, e.message, log }
    end]], '[false,"nil",[1]]' },
  { "undoes in a coroutine of the script, and not when that is closed", [[
    function async.main()
      local log = {}
      local function body(fail)
        local s <close> = da.saga()
        s:on_fail(noting(log), fail)
        coroutine.yield()
        error "no"
      end
      local failing, closed = coroutine.create(body), coroutine.create(body)
      coroutine.resume(failing, "failing"); coroutine.resume(closed, "closed")
      coroutine.resume(failing); coroutine.close(closed)
      return log
    end]], '["failing"]' },
  { "tells a saga that is not closed, and ends it with its function", [[
    function async.kid()
      local s = da.saga()
      s:on_fail(step.act, "undone")
      error "no"
    end
    function async.main() pawait(async.kid()); return await(da.get "x:kid.1.act.1") end]], '"undone"' },
}

-- What is misused, the words.
local misused = {
  { "on_fail of a promise", "s:on_fail(step.act(1))",
    "s.lua:8: s:on_fail needs a function and its arguments, got a promise; "
    .. "write s:on_fail(f, ...) in place of s:on_fail(f(...))" },
  { "on_fail of nothing", "s:on_fail()", "s:on_fail needs a function and its arguments, got nothing" },
  { "on_fail with a dot", "s.on_fail(step.act, 1)",
    "write s:on_fail(...), with a colon, on what da.saga() returned; got a durable function that was not called" },
  { "an argument that cannot cross", "s:on_fail(step.act, { f = print })",
    "act[1].f: a function cannot cross a durable boundary" },
  { "a method there is not", "s:on_failure(step.act)",
    "a saga has no 'on_failure' (did you mean 'on_fail'?); it has on_fail and rollback" },
  { "a field", "s.x = 1", "a saga holds no fields of the script; keep them in a local" },
  { "traversing it", "for _ in pairs(s) do end", "a saga cannot be traversed" },
  { "an argument to da.saga", "da.saga(step.act)", "da.saga takes no arguments: s:on_fail(f, ...) registers what undoes" },
  { "use after the end", "local t do local u <close> = da.saga(); t = u end; t:on_fail(step.act, 1)",
    "s:on_fail: the saga made at s.lua:8 has ended, with the scope of its variable" },
  { "rollback after the end", "local t do local u <close> = da.saga(); t = u end; t:rollback()",
    "s:rollback: the saga made at s.lua:8 has ended" },
  { "registering while it undoes", "s:on_fail(function() s:on_fail(step.act, 1) end); s:rollback()",
    "s:on_fail: the saga made at s.lua:7 is undoing its calls" },
  { "a saga in an inline step", 'await(step("x", { retry = false }, function() da.saga() end))', "da.saga inside an inline step" },
  { "a saga in a step", "await(step.wrong())", "da.saga is for workflows; a step is a leaf" },
}

describe("a saga", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local result = script.both { script = HEAD .. row[2], func = "main", in_memory = true }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  it("that is not closed is told once, with its place", function()
    local result = script.run { script = HEAD .. rows[#rows][2], func = "main" }
    assert.truthy(result.err:find("warning: the saga made at s.lua:9 ends with its function, since its variable is not "
      .. "closed; write local s <close> = da.saga()", 1, true), result.err)
  end)

  it("refuses misuse, with the place and the mend", function()
    for i, case in ipairs(misused) do
      local one = 'local da = require "da"\nlocal async, await, step = da.async, da.await, da.step\n'
        .. "function step.act(x) return x end\nfunction step.wrong() da.saga() end\nfunction async.main()\n\n"
        .. "local s <close> = da.saga()\n" .. case[2] .. "\nend\n"
      local result = script.run { script = one, func = "main", id = "x" .. i, in_memory = true }
      assert.are.equal(1, result.code, case[1] .. ": " .. result.err)
      assert.truthy(result.err:find(case[3], 1, true), case[1] .. ": " .. result.err)
    end
  end)

  it("undoes nothing when its execution is parked or evicted", function()
    local text = HEAD .. [[
      function async.main()
        local s <close> = da.saga()
        await(step.act "done")
        s:on_fail(step.act, "undone")
        await(da.sleep(0.005))
        local t = "x"
        while true do t = t .. t end
      end]]
    local result = script.run { script = text, func = "main", env = { DAHOST_WARM = "0" }, read = true }
    assert.are.equal(3, result.code, result.err)
    assert.is_nil(result.records["x:act.2"])
    assert.truthy(result.records["x:act.1"])
  end)
end)
