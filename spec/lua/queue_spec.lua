-- queue_spec.lua - channels, inboxes, semaphores and limiters as a script sees them, warm, evicted and sliced.
-- SPDX-License-Identifier: Apache-2.0
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
]]

local rows = {
  { "messages come in the order of the sends, and are any value", [[
    function async.main()
      local ch, list = da.channel "c", {}
      for _, v in ipairs { 1, "two", { three = { 3.5, false } } } do ch:send(v) end
      for i = 1, 3 do list[i] = await(ch:recv()) end
      return list
    end]], '[1,"two",{"three":[3.5,false]}]' },
  { "a receive waits for a message, from another workflow, a branch, a step", [[
    function step.tell(name) da.send(name, "step"); da.channel(name):send "step again" end
    function async.kid(name) await(da.send(name, "kid")) end
    function async.main()
      local inbox, list = da.inbox "in", {}
      local first = inbox:recv()
      async("b", function() inbox:send "branch" end)
      list[1] = await(first)
      await(async.kid "x/in")
      list[2] = await(inbox:recv())
      await(step.tell "x/in")
      list[3], list[4] = await(inbox:recv(), inbox:recv())
      return list
    end]], '["branch","kid","step","step again"]' },
  { "a promise crosses in a message", [[
    function step.f() return 7 end
    function async.main()
      local ch = da.channel "c"
      ch:send { p = step.f() }
      return await(await(ch:recv()).p)
    end]], "7" },
  { "the ids of waits and sends are counted by name", [[
    function async.main()
      local a, b = da.channel "a", da.inbox "b"
      return { a:send(1).id, a:recv().id, b:recv().id, a:recv().id, da.semaphore("s", 1):acquire().id,
        da.limiter("l", { rate = 9 }):take().id, da.send("x/b", 1).id }
    end]], '["x:~send-a.1","x:~recv-a.1","x:~recv-b.1","x:~recv-a.2","x:~acquire-s.1","x:~take-l.1","x:~send-b.1"]' },
  { "a receive past within takes nothing, and the next one gets the message", [[
    function async.main()
      local ch = da.channel "c"
      local _, e = pawait(da.within("20ms", ch:recv()))
      ch:send "late"
      return { e.code, await(ch:recv()) }
    end]], '["timedout","late"]' },
  { "losers of any and race take nothing", [[
    function async.main()
      local a, b = da.channel "a", da.channel "b"
      a:send(1)
      a:send(2)
      local v, i = await(da.any { b:recv(), a:recv() })
      local w, j = await(da.race { da.sleep(60), b:recv(), a:recv() })
      b:send "not taken"
      return { v, i, w, j, (await(b:recv())) }
    end]], '[1,2,2,3,"not taken"]' },
  { "what a combinator had been given goes back when it is cancelled, in its order", [[
    function async.main()
      local ch = da.channel "c"
      for i = 1, 4 do ch:send(i) end
      local gone = da.channel "never"
      local _, e = pawait(da.within("20ms", da.all { ch:recv(), ch:recv(), gone:recv() }))
      local _, f = pawait(da.within("20ms", da.outcomes { ch:recv(), ch:recv(), gone:recv() }))
      local list = {}
      for i = 1, 4 do list[i] = await(ch:recv()) end
      return { e.code, f.code, list }
    end]], '["timedout","timedout",[1,2,3,4]]' },
  { "a loser that had its message before, and that nobody awaited, gives it back", [[
    function async.main()
      local ch = da.channel "c"
      ch:send(1)
      ch:send(2)
      local p, q = ch:recv(), ch:recv()
      await(da.sleep "20ms")
      local v = await(da.any { p, q })
      local ok, e = pawait(q)
      return { v, ok, e.code, (await(ch:recv())) }
    end]], '[1,false,"canceled",2]' },
  { "what is cancelled after it came, and was never awaited, goes back", [[
    function async.main()
      local ch, sem = da.channel "c", da.semaphore("s", 1)
      ch:send(1)
      local p, permit = ch:recv(), sem:acquire()
      await(da.sleep "20ms")
      p:cancel "enough"
      permit:cancel()
      local _, e = pawait(p)
      await(da.within("10s", sem:acquire()))
      return { e.code, e.message, p:state(), (await(ch:recv())) }
    end]], '["canceled","enough","canceled",1]' },
  { "a loser that somebody awaited keeps its message", [[
    function async.main()
      local ch = da.channel "c"
      ch:send(1)
      ch:send(2)
      local p, q = ch:recv(), ch:recv()
      await(q)
      local v = await(da.any { p, q })
      local _, e = pawait(da.within("20ms", ch:recv()))
      return { v, (await(q)), e.code }
    end]], '[1,2,"timedout"]' },
  { "what nobody awaited goes back when its execution ends", [[
    function async.kid()
      local p = da.channel "c":recv()
      p:ignore()
      await(da.sleep "20ms")
    end
    function async.main()
      da.send("c", "again")
      await(async.kid())
      return await(da.channel "c":recv())
    end]], '"again"' },
  { "what is cancelled before it is told goes back to the head", [[
    function async.main()
      local ch = da.channel "c"
      await(ch:send(1))
      await(ch:send(2))
      local p = ch:recv()
      p:cancel "changed my mind"
      local ok, e = pawait(p)
      return { ok, e.code, e.message, (await(ch:recv())), (await(ch:recv())) }
    end]], '[false,"canceled","changed my mind",1,2]' },
  { "what a branch leaves waiting waits no more when it ends", [[
    function async.main()
      local ch = da.channel "c"
      await(async("b", function() ch:recv():ignore() end))
      ch:send "mine"
      return await(ch:recv())
    end]], '"mine"' },
  { "a branch that fails takes nothing", [[
    function async.main()
      local ch = da.channel "c"
      local _, e = pawait(async("b", function()
        ch:recv():ignore()
        error { code = "gone" }
      end))
      ch:send "mine"
      return { e.code, await(ch:recv()) }
    end]], '["gone","mine"]' },
  { "at most n hold a permit; the end of its scope frees it, by an error too", [[
    function async.main()
      local sem = da.semaphore("s", 1)
      local log = {}
      local function guarded(what)
        local permit <close> = await(sem:acquire())
        log[#log + 1] = what
        await(da.sleep "5ms")
        if what == "b" then error { code = "broken" } end
        log[#log + 1] = what .. " over"
      end
      local list = {}
      for i, what in ipairs { "a", "b", "c" } do list[i] = async(what, function() guarded(what) end) end
      local codes = {}
      for i, r in ipairs(await(da.outcomes(list))) do codes[i] = r.ok or r.error.code end
      return { log, codes }
    end]], '[["a","a over","b","c","c over"],[true,"broken",true]]' },
  { "in a coroutine that is closed a permit is freed as well", [[
    function async.main()
      local sem = da.semaphore("s", 1)
      local co = coroutine.create(function()
        local permit <close> = await(sem:acquire())
        coroutine.yield(tostring(permit))
      end)
      local _, text = coroutine.resume(co)
      coroutine.close(co)
      await(sem:acquire())
      return text
    end]], [["permit of semaphore 's'"]] },
  { "a permit is released once, and again without harm", [[
    function async.main()
      local sem = da.semaphore("s", 2)
      local one = await(sem:acquire())
      local two = await(sem:acquire())
      one:release()
      one:release()
      await(sem:acquire())
      local _, e = pawait(da.within("20ms", sem:acquire()))
      two:release()
      await(da.within("10s", sem:acquire()))
      return e.code
    end]], '"timedout"' },
  { "an acquire that is withdrawn frees what it was given", [[
    function async.main()
      local sem = da.semaphore("s", 1)
      local p = sem:acquire()
      p:cancel()
      local permit = await(da.within("10s", sem:acquire()))
      return tostring(permit)
    end]], [["permit of semaphore 's'"]] },
  { "permits are free when their execution has ended", [[
    function async.kid() await(da.semaphore("s", 1):acquire()) if da.id():find "2" then error { code = "no" } end end
    function async.main()
      local a, b = async.kid(), async.kid()
      await(a)
      local ok, e = pawait(b)
      await(da.semaphore("s", 1):acquire())
      return { ok, e.code }
    end]], '[false,"no"]' },
  { "permits are free when their execution timed out", [[
    function async.kid()
      await(da.semaphore("s", 1):acquire())
      await(da.sleep(60))
    end
    function async.main()
      local kid = async.kid:with { timeout = "30ms" }()
      await(da.sleep "5ms")
      await(da.semaphore("s", 1):acquire())
      return select(2, pawait(kid)).code
    end]], '"timedout"' },
  { "a new generation holds no permit, waits for nothing, and keeps its inbox", [[
    function async.main(round)
      local sem, inbox = da.semaphore("s", 1), da.inbox "in"
      if not round then
        for i = 1, 3 do inbox:send(i) end
        await(sem:acquire())
        local given = inbox:recv()
        given:ignore()
        await(da.sleep "5ms")
        await(inbox:recv())
        return da.again(2)
      end
      await(da.within("10s", sem:acquire()))
      return { round, await(inbox:recv(), inbox:recv()) }
    end]], "[2,1,3]" },
  { "n is that of the newest acquire", [[
    function async.main()
      await(da.semaphore("s", 1):acquire())
      local second = da.semaphore("s", 1):acquire()
      local third = da.semaphore("s", 3):acquire()
      await(second, third)
      return "both"
    end]], '"both"' },
  { "a limiter lets a burst through, then keeps the rate", [[
    function async.main()
      local lim = da.limiter("l", { rate = 2, per = "60ms" })
      local t = {}
      for i = 1, 5 do
        await(lim:take())
        t[i] = da.now()
      end
      return { t[3] - t[1] >= 0.06 - 0.001, t[5] - t[3] >= 0.06 - 0.001, t[5] - t[1] < 5 }
    end]], "[true,true,true]" },
  { "queues are made while the file loads, and used by workflows", [[
    local sem, lim, ch = da.semaphore("s", 1), da.limiter("l", { rate = 1 }), da.channel "c"
    local inbox = da.inbox "in"
    function async.main()
      ch:send(1)
      inbox:send(2)
      await(sem:acquire())
      await(lim:take())
      return { tostring(sem), tostring(lim), tostring(ch), tostring(inbox), await(ch:recv()), (await(inbox:recv())) }
    end]], [=[["semaphore 's'","limiter 'l'","channel 'c'","inbox 'in'",1,2]]=] },
  { "a send of which nobody awaits the outcome is not remarked, a failed one fails the workflow", [[
    function async.kid() da.send("nobody/in", 1) end
    function async.main()
      da.send("c", 1)
      local _, e = pawait(async.kid())
      return { e.code, e.message }
    end]], [=[["no_inbox","there is no execution 'nobody'"]]=] },
  { "a send to an execution that has ended is refused", [[
    function async.kid() end
    function async.main()
      await(async.kid())
      local _, e = pawait(da.send("x:kid.1/in", 1))
      return { e.code, e.message }
    end]], [=[["no_inbox","execution 'x:kid.1' has ended"]]=] },
  { "a name of two kinds is refused, both named", [[
    function async.main()
      await(da.channel "n":send(1))
      local _, e = pawait(da.semaphore("n", 1):acquire())
      return { e.code, e.message }
    end]], [=[["queue_kind","'n' is a channel; it cannot be a semaphore as well: give one of them another name"]]=] },
  { "the inbox of another execution is for sending", [[
    function async.main()
      local _, e = pawait(da.channel "y/in":recv())
      return e.code
    end]], '"no_inbox"' },
  { "a step sends each of its messages once, however often it is tried", [[
    function step.tell()
      da.send("c", "one")
      da.send("c", "two")
      if da.attempt() < 3 then error "again" end
    end
    function async.main()
      local ch = da.channel "c"
      await(step.tell:with { retry = { first = "1ms" } }())
      local one, two = await(ch:recv(), ch:recv())
      local _, e = pawait(da.within("20ms", ch:recv()))
      return { e.code, one, two }
    end]], '["timedout","one","two"]' },
  { "a step cannot wait, and is not repeated for it", [[
    local sem = da.semaphore("s", 1)
    function step.recv() da.channel "c":recv() end
    function step.acquire() sem:acquire() end
    function step.take() da.limiter("l", { rate = 1 }):take() end
    function step.inbox() da.inbox "in":send(da.attempt()) end
    function async.main()
      local list = {}
      for i, f in ipairs { step.recv, step.acquire, step.take } do list[i] = select(2, pawait(f())).message end
      await(step.inbox())
      list[4] = await(da.inbox "in":recv())
      return list
    end]], '["s.lua:4: recv waits, and a step is a leaf: await it in the workflow, before the step",' ..
      '"s.lua:5: acquire waits, and a step is a leaf: await it in the workflow, before the step",' ..
      '"s.lua:6: take waits, and a step is a leaf: await it in the workflow, before the step",1]' },
}

-- Misuse: what is said.
local misuses = {
  { "da.channel(7)", "da.channel needs a name that is a string, got number" },
  { "da.channel ''", "da.channel: a name has 1 to 200 bytes" },
  { "da.channel 'y/'", "da.channel: a name has 1 to 200 bytes" },
  { "da.inbox 'a/b'", "no '/'; <execution id>/<name> is an inbox, for da.channel" },
  { "da.inbox(('n'):rep(201))", "da.inbox: a name has 1 to 200 bytes" },
  { "da.semaphore('s')", "da.semaphore(name, n): n must be a whole number from 1 to 100000" },
  { "da.semaphore('s', 0)", "n must be a whole number" },
  { "da.limiter('l')", "da.limiter needs a table {rate=, per=}, got nil" },
  { "da.limiter('l', { rat = 1 })", "unknown option 'rat' of da.limiter (did you mean 'rate'?)" },
  { "da.limiter('l', { rate = 1.5 })", "da.limiter: rate must be a whole number" },
  { "da.limiter('l', { rate = 1, per = 'soon' })", "da.limiter: per must be seconds as a number, or text" },
  { "da.limiter('l', { rate = 1, per = 0 })", "da.limiter: per must be at least a millisecond" },
  { "da.channel 'c'.send(1)", "write channel:send(...), with a colon" },
  { "da.channel 'c':send()", "send takes one message, which may be a table; got 0" },
  { "da.channel 'c':send(1, 2)", "send takes one message, which may be a table; got 2" },
  { "da.channel 'c':send(print)", "message: a function cannot cross a durable boundary" },
  { "da.channel 'c':send(('x'):rep(1100000))", "bytes long; 1048576 are the most" },
  { "da.channel 'c':recieve()", "channel 'c' has no 'recieve'" },
  { "da.channel 'c':rcv()", "channel 'c' has no 'rcv' (did you mean 'recv'?)" },
  { "da.channel 'c'.x = 1", "channel 'c' cannot be assigned into" },
  { "da.channel 'c':send(da.channel 'd')", "cannot cross a durable boundary" },
  { "local p = await(da.semaphore('s', 100):acquire()); da.channel 'c':send(p)", "(da.permit) cannot cross a durable boundary" },
  { "local p = await(da.semaphore('s', 100):acquire()); for _ in pairs(p) do end", "attempt to traverse a permit" },
  { "local p = await(da.semaphore('s', 100):acquire()); p.x = 1", "attempt to assign into a permit" },
  { "local p = await(da.semaphore('s', 100):acquire()); p:free()", "a permit has no 'free'; it has release()" },
  { "local p = await(da.semaphore('s', 100):acquire()); p.release()", "write permit:release(), with a colon" },
  { "await(step('in', function() da.channel 'c':recv() end))", "recv inside an inline step" },
  { "await(step('in', function() da.send('c', 1) end))", "send inside an inline step" },
}

describe("queues", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local result = script.both { script = HEAD .. row[2] }
      assert.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  it("refuse misuse with its place and the mend", function()
    local text = HEAD .. "local tries = {\n"
    for _, row in ipairs(misuses) do text = text .. "function() " .. row[1] .. " end,\n" end
    text = text .. [[}
      function async.main()
        local list = {}
        for i, try in ipairs(tries) do
          local ok, e = pcall(function() try(); pawait(da.sleep(0)) end)
          list[i] = tostring(e)
        end
        return list
      end]]
    local result = script.run { script = text, env = {} }
    for i, row in ipairs(misuses) do
      assert.truthy(result.out:find(row[2], 1, true), row[1] .. "\n" .. row[2] .. "\nnot in\n" .. result.out .. result.err)
      local placed = result.out:find("s.lua:" .. i + 3 .. ":", 1, true) or row[2]:find("cannot cross", 1, true)
      assert.truthy(placed, row[1])
    end
  end)

  it("refuse to be used while the file loads", function()
    for _, line in ipairs { "da.channel 'c':send(1)", "da.inbox 'c':recv()", "da.semaphore('s', 1):acquire()" } do
      local result = script.run { script = HEAD .. line .. "\nfunction async.main() end" }
      assert.equal(2, result.code)
      assert.truthy(result.err:find("s.lua:3: ", 1, true) and result.err:find("while the script loads", 1, true), result.err)
    end
  end)
end)
