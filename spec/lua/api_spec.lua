-- api_spec.lua - every form of the library, as a script sees it, warm and evicted at every await.
-- SPDX-License-Identifier: Apache-2.0
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
]]

-- One row: what it shows, the script's text, the result on stdout (nil: an error, whose text must hold `err`).
local rows = {
  { "a step returns several values", [[
    function step.two() return 1, "b" end
    function async.main() local a, b = await(step.two()); return b .. a end]], '"b1"' },
  { "several results of a workflow become an array", [[
    function async.main() return 1, nil, "c" end]], '[1,null,"c"]' },
  { "a workflow without a result prints null", [[
    function async.main() end]], "null" },
  { "await of several promises gives the first value of each", [[
    function step.f(x) return x, "more" end
    function async.main() local a, b = await(step.f(1), step.f(2)); return a + b end]], "3" },
  { "a workflow called by a workflow is an execution of its own", [[
    function async.kid(x) await(da.sleep(0.01)); return x .. " of " .. da.id() end
    function async.main() return await(async.kid "kid") end]], '"kid of x:kid.1"' },
  { "pawait returns the error in place of raising it", [[
    function step.bad() da.error("limit", "too much", { fatal = true, amount = 7 }) end
    function async.main()
      local ok, err = pawait(step.bad())
      return { ok, err.code, err.message, err.amount, err.promise }
    end]], '[false,"limit","too much",7,"x:bad.1"]' },
  { "pcall of await catches as well, and the error prints with its code", [[
    function step.bad() error { code = "limit", message = "no", fatal = true } end
    function async.main() local ok, err = pcall(await, step.bad()); return tostring(err) end]], '"[limit] no (promise x:bad.1)"' },
  { "an error crosses two promises with its fields intact", [[
    function step.bad() da.error("limit", "no", { fatal = true, deep = { 1, { a = 2 } } }) end
    function async.kid() await(step.bad()) end
    function async.main() local _, err = pawait(async.kid()); return { err.code, err.deep } end]], '["limit",[1,{"a":2}]]' },
  { "a failing step is tried again, and knows how often", [[
    function step.third() if da.attempt() < 3 then error "again" end; return da.attempt() end
    function async.main() return await(step.third:with { retry = { first = "1ms" } }()) end]], "3" },
  { "retry=false tries once", [[
    function step.never() error("attempt " .. da.attempt()) end
    function async.main()
      local _, e = pawait(step.never:with { retry = false }())
      return e.message:match "attempt %d"
    end]], '"attempt 1"' },
  { "fatal=true stops the retries", [[
    function step.never() da.error("stop", "attempt " .. da.attempt(), { fatal = true }) end
    function async.main() local _, e = pawait(step.never()); return e.message end]], '"attempt 1"' },
  { "defaults hold for every call", [[
    function step.never() error("attempt " .. da.attempt()) end
    step.never:defaults { retry = { max = 2, first = "1ms" } }
    function async.main() local _, e = pawait(step.never()); return e.message:match "attempt %d" end]], '"attempt 2"' },
  { "a step past its timeout fails with timedout", [[
    function step.slow() os.execute "sleep 1" end
    function async.main() local _, e = pawait(step.slow:with { timeout = "50ms" }()); return { e.code, e.promise } end]],
    '["timedout","x:slow.1"]' },
  { "an attempt past its attempt_timeout is repeated", [[
    function step.slow() if da.attempt() == 1 then os.execute "sleep 1" end; return da.attempt() end
    function async.main() return await(step.slow:with { attempt_timeout = "60ms", retry = { first = "1ms" } }()) end]], "2" },
  { "a key takes the place of the count", [[
    function step.f() return da.id() end
    function async.main() return await(step.f:with { key = "item.3" }()) end]], '"x:f=item%2E3"' },
  { "the same key twice is the same promise", [[
    function step.f(x) return x end
    function async.main()
      local p, q = step.f:with { key = "a" }(1), step.f:with { key = "a" }(1)
      return { p.id == q.id, await(q) }
    end]], "[true,1]" },
  { "the same key for another call is an error", [[
    function step.f(x) return x end
    function async.main() step.f:with { key = "a" }(1); step.f:with { key = "a" }(2) end]], nil,
    "'x:f=a' was called before with another function or other arguments" },
  { "an inline step sees what surrounds it and is recorded", [[
    function async.main()
      local n = 20
      return await(step("twice", function() return n * 2 end))
    end]], "40" },
  { "a branch runs beside its maker, with ids of its own", [[
    function step.who() return da.id() end
    function async.main()
      local p = async("side", function() return await(step.who()) end)
      local mine = await(step.who())
      return { mine, await(p), p.id }
    end]], '["x:who.1","x:side.1.who.1","x:side.1"]' },
  { "all keeps the order of the list", [[
    function async.kid(n) await(da.sleep(0.01 * (4 - n))); return n end
    function async.main() return await(da.all { async.kid(1), async.kid(2), async.kid(3) }) end]], "[1,2,3]" },
  { "all of nothing is an empty list", [[
    function async.main() return await(da.all {}) end]], "[]" },
  { "all fails with the first failure", [[
    function step.bad(c) da.error(c, c, { fatal = true }) end
    function async.main()
      local slow = async("slow", function() await(da.sleep(0.05)); await(step.bad "late") end)
      local _, e = pawait(da.all { slow, step.bad "early" })
      pawait(slow)
      return e.code
    end]], '"early"' },
  { "outcomes never fails", [[
    function step.f(x) if x == 2 then da.error("two", "no", { fatal = true }) end; return x end
    function async.main()
      local out = {}
      for i, r in ipairs(await(da.outcomes { step.f(1), step.f(2), step.f(3) })) do out[i] = r.ok and r.value or r.error.code end
      return out
    end]], '[1,"two",3]' },
  { "any gives the first success and its index", [[
    function step.bad() da.error("bad", "bad", { fatal = true }) end
    function step.good() return "good" end
    function async.main() local v, i = await(da.any { da.sleep(30), step.bad(), step.good() }); return { v, i } end]], '["good",3]' },
  { "any of failures only fails with all of them", [[
    function step.bad(c) da.error(c, c, { fatal = true }) end
    function async.main()
      local _, e = pawait(da.any { step.bad "a", step.bad "b" })
      return { e.code, e.errors[1].code, e.errors[2].code }
    end]], '["all_failed","a","b"]' },
  { "race gives the first one settled, also a failure", [[
    function step.bad() da.error("bad", "bad", { fatal = true }) end
    function async.main() local _, e = pawait(da.race { da.sleep(30), step.bad() }); return e.code end]], '"bad"' },
  { "map takes a durable function and keeps to its limit", [[
    function async.kid(n) await(da.sleep(0.005)); return n * n end
    function async.main() return await(da.map({ 1, 2, 3, 4, 5 }, async.kid, { limit = 2 })) end]], "[1,4,9,16,25]" },
  { "map takes a closure", [[
    function step.f(n) return n + 1 end
    function async.main() return await(da.map({ 1, 2, 3 }, function(n) return await(step.f(n)) * 10 end)) end]], "[20,30,40]" },
  { "within passes results on", [[
    function step.f() return "in time" end
    function async.main() return await(da.within("10s", step.f())) end]], '"in time"' },
  { "within raises timedout, and the loser is cancelled", [[
    function async.main()
      local p = da.promise "never"
      local _, e = pawait(da.within("30ms", p))
      local _, c = pawait(p)
      return { e.code, c.code }
    end]], '["timedout","canceled"]' },
  { "a promise times out on its own", [[
    function async.main() local _, e = pawait(da.promise("p", { timeout = "30ms" })); return { e.code, e.promise } end]],
    '["timedout","x:p.1"]' },
  { "a step settles a promise of its workflow", [[
    function step.answer(id) return da.resolve(id, { yes = true }) end
    function step.refuse(id) return da.reject(id, "no_way", "never") end
    function async.main()
      local p, q = da.promise "p", da.promise "q"
      await(step.answer(p.id)); await(step.refuse(q.id))
      local _, e = pawait(q)
      return { await(p), e.code, e.message }
    end]], '[{"yes":true},"no_way","never"]' },
  { "the first settlement stays", [[
    function step.twice(id) return da.resolve(id, 1), da.resolve(id, 2) end
    function async.main() local p = da.promise "p"; await(step.twice(p.id)); return await(p) end]], "1" },
  { "a step starts an execution, once per id, and others await it", [[
    function async.other(x) await(da.sleep(0.01)); return "other " .. x end
    function step.launch() return da.start("other-1", async.other, 7), da.start("other-1", async.other, 7) end
    function async.main() local id = await(step.launch()); return await(da.get(id)) end]], '"other 7"' },
  { "with{id=} names a promise across executions", [[
    function async.kid(x) return x end
    function async.main() return await(async.kid:with { id = "global-1" } "a"), await(da.get "global-1") end]], '["a","a"]' },
  { "sleep_until a moment that has passed is over at once", [[
    function async.main() await(da.sleep_until(da.now() - 100)); return "awake" end]], '"awake"' },
  { "the clock moves with what was awaited", [[
    function async.main()
      local a = da.now(); local b = da.now()
      await(da.sleep(0.05))
      return { a == b, da.now() - a > 0.049, math.type(os.time()) }
    end]], '[true,true,"integer"]' },
  { "a promise returned is awaited", [[
    function step.f() return "value" end
    function async.main() return step.f() end]], '"value"' },
  { "a workflow ends when its children have ended", [[
    function step.mark(id) da.resolve(id, "marked") end
    function async.kid(id) await(da.sleep(0.03)); await(step.mark(id)) end
    function async.outer(id) async.kid(id) end
    function async.main() local p = da.promise "p"; await(async.outer(p.id)); return await(da.within(0.001, p)) end]], '"marked"' },
  { "a failed child nobody awaited fails its parent", [[
    function step.bad() da.error("quiet", "nobody looked", { fatal = true }) end
    function async.main() step.bad(); return "fine" end]], nil, "[quiet] nobody looked" },
  { "unless it is ignored", [[
    function step.bad() da.error("quiet", "nobody looked", { fatal = true }) end
    function async.main() step.bad():ignore(); return "fine" end]], '"fine"' },
  { "a failing workflow cancels what it started, and waits for it", [[
    function async.kid() await(da.sleep(30)) end
    function async.bad() async.kid(); await(da.sleep(0.02)); da.error("bad", "bad") end
    function async.main()
      local _, e = pawait(async.bad())
      local _, c = pawait(da.get "x:bad.1.kid.1")
      return { e.code, c.code }
    end]], '["bad","canceled"]' },
  { "a cancelled child unwinds and reports the reason", [[
    function async.kid() local ok, e = pawait(da.sleep(30)); error(e) end
    function async.main()
      local p = async.kid(); await(da.sleep(0.02)); p:cancel "enough"
      local _, e = pawait(p)
      return { e.code, e.message }
    end]], '["canceled","enough"]' },
  { "chance is the execution's own", [[
    function async.main() return { math.random(1000), da.random(1000), #da.uuid() } end]], nil, nil, true },
  { "nested coroutines await through", [[
    function step.f(x) return x end
    function async.main()
      local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(await(step.f(i))) end end)
      return { co(), co(), co() }
    end]], "[1,2,3]" },
  { "pairs is sorted", [[
    function async.main()
      local t, out = { z = 1, a = 2, m = 3, [3] = 4, [1] = 5 }, {}
      for k in pairs(t) do out[#out + 1] = tostring(k) end
      return table.concat(out, " ")
    end]], '"1 3 a m z"' },
  { "integers and floats stay apart, and large integers exact", [[
    function step.f(...) return ... end
    function async.main()
      local a, b, c = await(step.f(1, 1.0, math.maxinteger))
      return { math.type(a), math.type(b), c == math.maxinteger }
    end]], '["integer","float",true]', nil },
  { "any bytes cross", [[
    function step.f(x) return #x end
    function async.main() return await(step.f "\0\255\128") end]], "3" },
  { "a module beside the script is part of the bundle", nil, '"from lib 5"', nil, nil, {
    ["s.lua"] = HEAD .. [[
      local lib = require "lib"
      function step.f(x) return lib.say(x) end
      function async.main() return await(step.f(lib.five)) end]],
    ["lib.lua"] = [[return { five = 5, say = function(x) return "from lib " .. x end }]] } },
}

describe("the library da", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local spec = { files = row[6] or { ["s.lua"] = HEAD .. row[2] } }
      local result = script.both(spec)
      if row[3] then
        assert.are.equal(row[3] .. "\n", result.out, result.err)
        assert.are.equal(0, result.code)
      elseif row[4] then
        assert.are.equal(1, result.code)
        assert.is_truthy(result.err:find(row[4], 1, true), result.err)
      else
        assert.are.equal(0, result.code)
      end
    end)
  end
end)

-- What raises, and the words: the mend must be in them.
local misuse = {
  { "await of a table", "await {}", "for a list of promises use da.all" },
  { "await of a number", "await(5)", "await needs a promise, got number" },
  { "await of nothing", "await()", "await needs a promise, got nothing" },
  { "an option that does not exist", "step.f:with { timout = 1 }", "did you mean 'timeout'?" },
  { "a step that does not exist", "step.ff()", "step.ff is not defined (did you mean 'f'?)" },
  { "a forgotten await in arithmetic", "return 1 + step.f()", "did you forget await(...)?" },
  { "a forgotten await in a concatenation", "return 'a' .. step.f()", "attempt to concatenate promise 'x:f.1'" },
  { "a forgotten await in an index", "return step.f().name", "attempt to index promise 'x:f.1'" },
  { "a forgotten await in a comparison", "return step.f() < step.f()", "attempt to compare" },
  { "a function among the arguments", "step.f({ on = { cb = print } })", "f[1].on.cb: a function cannot cross a durable boundary" },
  { "io in a workflow", "io.open 'x'", "io.open is for steps" },
  { "os.getenv in a workflow", "os.getenv 'x'", "os.getenv is for steps" },
  { "da.resolve in a workflow", "da.resolve('x', 1)", "da.resolve is for steps" },
  { "retry on a workflow", "async.main:with { retry = false }", "retry is for steps" },
  { "a bad duration", "da.sleep 'soon'", "must be seconds as a number, or text like" },
  { "a step inside an inline step", "await(step('s', { retry = false }, function() step.f() end))", "inside an inline step" },
  { "a global assigned after the load", "x = 1", "use a local" },
}

describe("misuse of the library da", function()
  for _, row in ipairs(misuse) do
    it("names the mend for " .. row[1], function()
      local result = script.run { script = HEAD .. "function step.f(x) return x end\nfunction async.main() " .. row[2] .. " end" }
      assert.are.equal(1, result.code, result.err .. result.out)
      assert.is_truthy(result.err:find(row[3], 1, true), result.err)
    end)
  end

  for _, kind in ipairs { "async", "step" } do
    it("is told with a traceback of the script's own lines, in a " .. kind, function()
      local result = script.run { script = HEAD .. ([[
        local function deep() local x; return x.y end
        function step.f() return deep() end
        function async.step() return await(step.f:with { retry = false }()) end
        function async.async() return (deep()) end]]), func = kind }
      assert.are.equal(1, result.code)
      assert.is_truthy(result.err:find("s.lua:3: in ", 1, true), result.err)
      assert.is_nil(result.err:find("xpcall", 1, true), result.err)
      assert.is_nil(result.err:find("da/", 1, true), result.err)
    end)
  end

  it("refuses a durable call while the script loads", function()
    local result = script.run { script = HEAD .. "function step.f() end\nfunction async.main() end\nstep.f()" }
    assert.are.equal(2, result.code)
    assert.is_truthy(result.err:find("while the script loads", 1, true), result.err)
  end)

  it("refuses the same name twice, naming the first place", function()
    local result = script.run { script = HEAD .. "function step.f() end\nfunction async.f() end\nfunction async.main() end" }
    assert.are.equal(2, result.code)
    assert.is_truthy(result.err:find("'f' is defined twice; the first time at s.lua:3", 1, true), result.err)
  end)
end)
