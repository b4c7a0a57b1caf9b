-- interplay_spec.lua - forms of the library in each other's way: cancelling and deadlines while something is undone,
-- received, held, mapped or begun again.
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.act(...) return ... end
function step.later() error "not yet" end
local function note(what)
  local file = assert(io.open(os.getenv "NOTES", "a"))
  file:write(what, "\n")
  file:close()
end
function step.note(what) note(what) end
function step.slow(what)
  os.execute "sleep 0.15"
  note(what)
end
function step.notes()
  local list = {}
  for line in io.lines(os.getenv "NOTES") do list[#list + 1] = line end
  os.remove(os.getenv "NOTES")
  return list
end
local function code(p)
  local ok, e = pawait(p)
  if ok then return e == nil and "ok" or e end
  return e.code
end
function async.sleeper(seconds) await(da.sleep(seconds)) return "slept" end
]]

-- {what, script, result of async.main}; open: how many records there are is; real: in real time alone.
local rows = {
  { "a step that was cancelled and that nobody awaits does not fail its workflow, on a replay either", [[
    function async.main()
      local p = step.later:with { retry = { first = 3600, cap = 7200, jitter = 0 } }()
      await(da.sleep(0.03))
      p:cancel "enough"
      await(da.sleep(0.01))
      return "fine"
    end]], '"fine"' },
  { "a permit that a branch was given and did not take is free when the branch has ended, and when it is cancelled", [[
    function async.main()
      local sem, list = da.semaphore("s", 1), {}
      for i, long in ipairs { 0.02, 60 } do
        local b = async("b", function() local p = sem:acquire() await(da.sleep(long)) return tostring(p ~= nil) end)
        await(da.sleep(0.01))
        if i == 2 then b:cancel "enough" end
        list[i] = code(b)
        await(da.within("10s", sem:acquire())):release()
      end
      return list
    end]], '["true","canceled"]' },
  { "a step under way ends before a saga undoes it: on a request to cancel, when another call fails, at the deadline", [[
    function step.fail() da.error("no", "no", { fatal = true }) end
    function async.kid(fails)
      local s <close> = da.saga()
      s:on_fail(step.note, "undone")
      await(step.slow "done", fails and step.fail() or da.sleep(60))
    end
    function async.main()
      local p = async.kid()
      await(da.sleep(0.03))
      p:cancel "enough"
      local list = { code(p), code(async.kid(true)), code(async.kid:with { timeout = "40ms" }()) }
      return { list, await(step.notes()) }
    end]], '[["canceled","no","timedout"],["done","undone","done","undone","done","undone"]]', real = true },
  { "what a saga's scope began ends before it is undone: branches, workflows, maps, with sagas of their own", [[
    function async.main()
      local log = {}
      local outside = async.sleeper(0.08)
      local ok, e = pcall(function()
        local s <close> = da.saga()
        s:on_fail(function() log[#log + 1] = "undone" end)
        local list = { async("b", function()
          local inner <close> = da.saga()
          inner:on_fail(function() await(da.sleep(0.01)) log[#log + 1] = "branch" end)
          await(da.promise "never")
        end), da.map({ 1, 2, 3 }, function(x)
          local inner <close> = da.saga()
          inner:on_fail(function() await(da.sleep(0.02 * x)) log[#log + 1] = "map " .. x end)
          await(da.promise "never")
        end, { limit = 2 }), async.sleeper(60) }
        await(da.sleep(0.01))
        error("own", 0)
      end)
      return { log, e, await(outside) }
    end]], '[["branch","map 1","map 2","undone"],"own","slept"]' },
  { "a saga in one call of a map ends nothing of the others", [[
    function async.main()
      local undone = {}
      local list = await(da.map({ 1, 2, 3 }, function(x)
        return (pcall(function()
          local s <close> = da.saga()
          s:on_fail(function() undone[#undone + 1] = x end)
          local side = async.sleeper(0.6)
          await(da.sleep(0.01 * x))
          if x == 2 then error "no" end
          return await(side)
        end))
      end))
      return { list, undone }
    end]], '[[true,false,true],[2]]' },
  { "a branch may register with the saga around it while that waits for it", [[
    function async.main()
      local log = {}
      pcall(function()
        local s <close> = da.saga()
        s:on_fail(function() log[#log + 1] = "first" end)
        async("b", function()
          da.shield(function()
            await(da.sleep(0.03))
            s:on_fail(function() log[#log + 1] = "late" end)
          end)
        end)
        await(da.sleep(0.01))
        error "no"
      end)
      return log
    end]], '["late","first"]' },
  { "what was detached in a saga's scope goes on", [[
    function async.main()
      local d
      pcall(function()
        local s <close> = da.saga()
        s:on_fail(step.act, 1)
        d = async.sleeper:detach(0.4)
        await(da.sleep(0.01))
        error "no"
      end)
      return { d:state(), await(d) }
    end]], '["pending","slept"]' },
  { "cancelled twice, and past its deadline, while it undoes, it undoes to the end and keeps its error", [[
    function async.kid()
      local s <close> = da.saga()
      s:on_fail(step.act, "first")
      s:on_fail(function() await(da.sleep(0.06)) da.publish("undo", 1) await(step.act "slow") end)
      await(step.act "done")
      error { code = "own" }
    end
    function async.main()
      local p = async.kid()
      await(da.sleep(0.03))
      p:cancel "one"
      await(da.sleep(0.01))
      p:cancel "two"
      local q = async.kid:with { timeout = "30ms" }()
      return { code(p), code(q):match "own" or code(q), await(da.get "x:kid.1.act.3"), await(da.get "x:kid.2.act.3") }
    end]], '["own","own","first","first"]' },
  { "da.again with everything open: a saga, a permit, messages, timers, branches, a deadline; nothing comes twice", [[
    function async.kid(n, log)
      local s <close> = da.saga()
      s:on_fail(step.act, "never")
      local inbox = da.inbox "in"
      inbox:send(n)
      if n == 1 then inbox:send "extra" end
      local first, second = inbox:recv(), inbox:recv()
      da.semaphore("o", 1):acquire()
      da.promise "never"
      da.sleep(100)
      async("b", function() await(da.sleep(0.01)) await(step.act "branch") end)
      if da.patched "p" then log[#log + 1] = "new" end
      log[#log + 1] = await(first)
      if n < 3 then return da.again(n + 1, log) end
      return log
    end
    function async.main()
      local log = await(async.kid:with { timeout = "1h" }(1, {}))
      await(da.within("10s", da.semaphore("o", 1):acquire()))
      return log
    end]], '["new",1,"new","extra","new",2]' },
  { "a permit is held over da.again, and free behind the last generation", [[
    function async.kid(n)
      local permit = await(da.semaphore("s", 1):acquire())
      await(da.sleep(0.01))
      if n < 3 then return da.again(n + 1) end
      return n
    end
    function async.main()
      local p = async.kid(1)
      local n = await(p)
      await(da.within("10s", da.semaphore("s", 1):acquire()))
      return n
    end]], "3" },
  { "da.again in a loop without end is ended by its deadline, and by whoever asks", [[
    function async.kid(n) await(da.sleep(0.005)) return da.again(n + 1) end
    function async.main()
      local p, q = async.kid:with { timeout = "50ms" }(1), async.kid(1)
      await(da.sleep(0.03))
      q:cancel "enough"
      return { code(p), code(q), q:state() }
    end]], '["timedout","canceled","canceled"]', open = true },
  { "the deadline, and a request to cancel, meet what waits for a permit, a message, a take, a group", [[
    function async.acquires() await(da.semaphore("s", 1):acquire()) end
    function async.receives() await(da.channel "c":recv()) end
    function async.takes() await(da.limiter("l", { rate = 1, per = "1h" }):take()) end
    function async.calls() await(async.sleeper:at "elsewhere" (1)) end
    function async.main()
      await(da.semaphore("s", 1):acquire(), da.limiter("l", { rate = 1, per = "1h" }):take())
      local list, asked = {}, {}
      for i, f in ipairs { async.acquires, async.receives, async.takes, async.calls } do
        list[i], asked[i] = f:with { timeout = "40ms" }(), f()
      end
      await(da.sleep(0.03))
      for _, p in ipairs(asked) do p:cancel() end
      for i = 1, 4 do list[i] = code(list[i]) .. " " .. code(asked[i]) end
      da.channel "c":send "kept"
      return { list, await(da.channel "c":recv()) }
    end]], '[["timedout canceled","timedout canceled","timedout canceled","timedout canceled"],"kept"]' },
}

describe("forms in each other's way", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local notes = os.tmpname()
      os.remove(notes)
      local spec = { script = HEAD .. row[2], func = "main", env = { NOTES = notes } }
      for _, run in ipairs(row.open and { script.run, script.cold, script.sliced } or { script.both }) do
        local ran = run(spec)
        assert.equal(row[3], (ran.out:gsub("\n$", "")), ran.err)
      end
    end)
  end

  it("come to the same with a death before and behind every durable write", function()
    local place = program.place()
    local tests = { 'local t = require "da.test"' }
    for i, row in ipairs(rows) do
      if not row.real and not row.open then
        place:write(i .. ".lua", HEAD .. row[2])
        tests[#tests + 1] = ("it(%q, function() t.everywhere(t.script '%d.lua'.main, {}, { id = 'x', tables = false }) end)")
          :format(row[1], i)
      end
    end
    place:write("kills.lua", table.concat(tests, "\n"))
    local got = place:run("test", place.dir .. "/kills.lua")
    assert.matches((#tests - 1) .. " successes / 0 failures / 0 errors", got.out, 1, true)
    assert.equal(0, got.code)
    place:remove()
  end)
end)
