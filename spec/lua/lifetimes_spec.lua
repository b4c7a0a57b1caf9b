-- lifetimes_spec.lua - what ends when: cancelled promises, losers, detached workflows, states, deadlines.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.act(what) return what end
function step.nap(ms) os.execute("sleep " .. ms / 1000); return "napped" end
function async.never() await(da.promise "never") end
function async.undoes(what)
  local s <close> = da.saga()
  s:on_fail(step.act, "undid " .. tostring(what))
  await(step.act(what))
  await(da.promise "never")
end
local function ended(p)
  local ok, e = pawait(p)
  return ok or e.code .. ": " .. e.message
end
]]

local rows = {
  { "a cancelled child that nobody awaits does not fail its parent: a workflow, a step, a branch, a map, a timer", [[
    function async.main()
      local list = { async.never(), step.nap(30), async("b", function() await(da.sleep(60)) end),
        da.map({ 1 }, async.never), da.sleep(60), da.promise "p", da.all { async.never() } }
      await(da.sleep(0.01))
      for _, p in ipairs(list) do p:cancel "enough" end
      return "fine"
    end]], '"fine"' },
  { "a cancelled child that fails in undoing fails its parent all the same", [[
    function step.stuck() da.error("stuck", "cannot", { fatal = true }) end
    function async.kid()
      local s <close> = da.saga()
      s:on_fail(step.stuck)
      await(da.promise "never")
    end
    function async.parent()
      local k = async.kid()
      await(da.sleep(0.01))
      k:cancel()
    end
    function async.main()
      local _, e = pawait(async.parent())
      return { e.code, e.promise, e.undo_errors[1].code }
    end]], '["canceled","x:parent.1.kid.1","stuck"]' },
  { "whoever awaits what was cancelled gets canceled with the reason", [[
    function async.main()
      local list = { async.never(), async("b", function() await(da.sleep(60)) end), da.sleep(60), da.promise "p",
        da.all { da.promise "q" }, da.within("1h", da.promise "r") }
      await(da.sleep(0.01))
      local out = {}
      for i, p in ipairs(list) do p:cancel("no " .. i); out[i] = ended(p) end
      return out
    end]], '["canceled: no 1","canceled: no 2","canceled: no 3","canceled: no 4","canceled: no 5","canceled: no 6"]' },
  { "a step that is cancelled while it runs may end by itself, and its result stands", [[
    function async.main()
      local p = step.nap(150)
      await(da.sleep(0.05))
      p:cancel "late"
      return { ended(p), p:state() }
    end]], '[true,"resolved"]' },
  { "a step that fails after it was cancelled is canceled, and is not tried again", [[
    function step.fails() os.execute "sleep 0.1"; error("attempt " .. da.attempt()) end
    function async.main()
      local p = step.fails:with { retry = { first = "1ms" } }()
      await(da.sleep(0.03))
      p:cancel "late"
      return { ended(p), p:state() }
    end]], '["canceled: late","canceled"]' },
  { "a step that waits for its next attempt is canceled at once", [[
    function step.fails() error "always" end
    function async.main()
      local p = step.fails:with { retry = { first = "1h" } }()
      await(da.sleep(0.05))
      p:cancel "enough"
      return ended(p)
    end]], '"canceled: enough"' },
  { "cancelling what has ended does nothing", [[
    function async.main()
      local p = step.act(1)
      local v = await(p)
      p:cancel "late"
      return { v, await(p), p:state() }
    end]], '[1,1,"resolved"]' },
  { "cancelling a promise of da.get stops waiting for it, and leaves it to the others", [[
    function async.kid(id)
      local q = da.get(id)
      q:cancel "mine too"
      return ended(q)
    end
    function async.main()
      local p, q = da.promise("p", { id = "common" }), da.promise("q", { timeout = "60ms" })
      p:cancel "mine"
      return { ended(p), await(async.kid(q.id)), ended(q) }
    end]], '["canceled: mine","canceled: mine too","timedout: the deadline passed"]' },
  { "ignored failures fail nobody, whatever they are", [[
    function step.bad() da.error("bad", "bad", { fatal = true }) end
    function async.kid() await(step.bad()) end
    function async.main()
      step.bad():ignore()
      async.kid():ignore()
      async("b", function() await(step.bad()) end):ignore()
      da.all({ step.bad() }):ignore()
      return "fine"
    end]], '"fine"' },
  { "one that is cancelled while it joins ends as canceled; one that caught that and returned, with its result", [[
    function async.joins() async.never(); return "result" end
    function async.catches()
      local p = async.never()
      local _, e = pawait(p)
      return "caught " .. e.code
    end
    function async.main()
      local list = { async.joins(), async("b", function() async.never(); return 1 end), async.catches() }
      await(da.sleep(0.02))
      local out = {}
      for i, p in ipairs(list) do p:cancel "enough"; out[i] = { pawait(p) } end
      return { out[1][2].code, out[1][2].message, out[2][2].code, out[3][2], list[1]:state(), list[2]:state() }
    end]], '["canceled","enough","canceled","caught canceled","canceled","canceled"]' },
  { "one whose deadline passes while it joins ends as timedout", [[
    function async.joins() async.never(); return "result" end
    function async.main() return ended(async.joins:with { timeout = "20ms" }()) end]], '"timedout: the deadline passed"' },
  { "the state is what the execution has come to", [[
    function step.bad() da.error("bad", "bad", { fatal = true }) end
    function async.main()
      local p, q, r = step.act(1), step.bad(), da.promise("late", { timeout = "10ms" })
      local first = { p:state(), q:state(), r:state() }
      pawait(q); await(p); pawait(r)
      return { first, { p:state(), q:state(), r:state() } }
    end]], '[["pending","pending","pending"],["resolved","rejected","timedout"]]' },
  { times = true, "losers of any are cancelled and undo what they did: a workflow, a branch, a step, a timer", [[
    function step.fresh() local path = os.tmpname(); os.remove(path); return path end
    function step.create(path) io.open(path, "w"):close() end
    function step.waits_for(path)
      repeat os.execute "sleep 0.01" until os.remove(path)
      return true
    end
    function async.main()
      local path = await(step.fresh())
      local list = { async.undoes "w", async("b", function() await(async.undoes "b") end), step.waits_for(path), da.sleep(60),
        da.map({ "m" }, async.undoes), da.promise "p" }
      await(da.sleep(0.05))
      list[7] = step.act "first"
      local v, i = await(da.any(list))
      await(step.create(path))
      local out = { v, i }
      for k = 1, 6 do out[2 + k] = ended(list[k]) == true and list[k]:state() or ended(list[k]):match "^%a+" end
      for _, id in ipairs { "x:undoes.1.act.2", "x:b.1.undoes.1.act.2", "x:undoes.2.act.2" } do out[#out + 1] = await(da.get(id)) end
      return out
    end]], '["first",7,"canceled","canceled","resolved","canceled","canceled","canceled","undid w","undid b","undid m"]' },
  { "losers of race are cancelled, those that are kept go on", [[
    function async.main()
      local slow, quick = async.undoes "slow", step.act "quick"
      local v = await(da.race { slow, quick })
      local kept = async.never()
      local w = await(da.race({ kept, step.act "again" }, { losers = "keep" }))
      local state = kept:state()
      kept:cancel()
      return { v, w, ended(slow), state }
    end]], '["quick","again","canceled: another one was first","pending"]' },
  { times = true, "a deadline is told to the workflow, and to its children, who have no later one", [[
    function async.kid(of) return da.deadline() == of end
    function async.parent()
      local mine = da.deadline()
      local clamped = await(async.kid:with { timeout = "2h" }(mine))
      local earlier = await(async.kid:with { timeout = "1m" }(mine))
      return { clamped, earlier, mine - da.now() > 3590 and mine - da.now() <= 3600, (await(async.kid(mine))) }
    end
    function async.main() return { da.deadline() == nil, await(async.parent:with { timeout = "1h" }()) } end]],
    '[true,[true,false,true,true]]' },
  { "a detached workflow is awaited like any other, by who wants to", [[
    function async.kid(x) await(da.sleep(0.005)); return x .. " of " .. da.id() end
    function async.main()
      local p, q = async.kid:detach "a", async.kid:with { key = "k" }:detach "b"
      return { p.id, await(p), await(q) }
    end]], '["x~kid.1","a of x~kid.1","b of x~kid=k"]' },
  { "a detached workflow shares the counter of its name, and detaches for itself", [[
    function async.leaf() return da.id() end
    function async.kid() return await(async.leaf:detach()) end
    function async.main()
      return { await(async.leaf()), await(async.leaf:detach()), await(async.kid()), await(async.kid:detach()) }
    end]], '["x:leaf.1","x~leaf.2","x~kid.1.leaf.1","x~kid.2~leaf.1"]' },
  { "the failure of a detached workflow is not its parent's", [[
    function async.bad() error "bad" end
    function async.main() async.bad:detach(); await(da.sleep(0.01)); return "fine" end]], '"fine"' },
  { "a detached workflow keeps no deadline of its parent's", [[
    function async.kid() return da.deadline() == nil end
    function async.parent() return await(async.kid:detach()) end
    function async.main() return await(async.parent:with { timeout = "1h" }()) end]], "true" },
  { times = true, "a delayed workflow begins when its delay is over, and so does its clock", [[
    function async.kid() return da.now() end
    function async.main()
      local t = da.now()
      local p = async.kid:with { delay = "60ms" }()
      local q = async.kid:with { delay = 0.06 }:detach()
      return { await(p) - t >= 0.059, await(q) - t >= 0.059 }
    end]], "[true,true]" },
  { times = true, "a delayed workflow that is cancelled before it begins never begins", [[
    function async.kid() await(step.act "began") end
    function async.main()
      local p, q = async.kid:with { delay = "1h" }(), async.kid:with { delay = "1h" }():ignore()
      await(da.sleep(0.01))
      p:cancel "changed my mind"
      q:cancel()
      return { ended(p), (pawait(da.get "x:kid.1.act.1")) }
    end]], '["canceled: changed my mind",false]' },
  { times = true, "a delayed workflow whose parent fails never begins, and its parent does not wait for it", [[
    function async.kid() await(step.act "began") end
    function async.parent() async.kid:with { delay = "1h" }(); await(step.act(1)); da.error("mine", "no") end
    function async.main() return ended(async.parent()) end]], '"mine: no"' },
}

describe("lifetimes:", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local run = row.times and script.cold or script.both -- records that hold times or names of files differ
      local result = run { script = HEAD .. row[2], func = "main", in_memory = true }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  it("a step that never ends is left behind two seconds after it was cancelled", function()
    local text = HEAD .. [[
      function step.spins() while true do end end
      function async.main()
        local p = step.spins()
        await(da.sleep(0.02))
        p:cancel "enough"
        return ended(p)
      end]]
    local result = script.run { script = text, func = "main", env = { DAHOST_TIME_FACTOR = "10" } }
    assert.are.equal('"canceled: enough"\n', result.out, result.err)
  end)

  local detaching = HEAD .. [[
    function async.mail(to) await(da.promise "sent"); return "mailed " .. to end
    function async.main() async.mail:detach "ann"; await(step.act(1)); return "ordered" end
    function async.parks() async.mail:detach "dan"; await(step.act(1)); local s = "x" while true do s = s .. s end end
    function async.fails() async.mail:detach "bob"; await(step.act(1)); error "no" end]]

  local function dahost(place, ...)
    return harness.dahost({ ... }, { env = { DAHOST_DATA = place.data } })
  end

  it("what is detached outlives its parent: run names it, ps and the tree show it, resume ends it", function()
    local ran = script.run { script = detaching, func = "main", keep = true }
    local place = ran.place
    assert.are.equal('"ordered"\n', ran.out, ran.err)
    local loud = harness.dahost({ "run", place.dir .. "/s.lua", "main", "--id", "y" }, { env = { DAHOST_DATA = place.data } })
    assert.truthy(loud.err:find("detached, and not ended yet: y~mail.1 (dahost resume y~mail.1)", 1, true), loud.err)
    assert.is_nil(loud.err:find("resting here: [^\n]*y~mail"), loud.err)
    assert.truthy(dahost(place, "ps").out:find("\nx~mail.1 +mail "))
    assert.truthy(dahost(place, "tree", "x").out:find("\n  x~mail.1  [^\n]*  detached[^\n]*\n    sent.1  pending"))
    assert.truthy(dahost(place, "get", "x~mail.1").out:find("\ndetached  x\n", 1, true))
    assert.are.equal(0, dahost(place, "promise", "resolve", "x~mail.1:sent.1").code)
    assert.are.equal('"mailed ann"\n', dahost(place, "resume", "x~mail.1").out)
    assert.are.equal(0, dahost(place, "verify").code)
    harness.remove(place)
  end)

  it("what is detached is neither cancelled with a parent that fails nor cut with one", function()
    local ran = script.run { script = detaching, func = "fails", keep = true }
    assert.are.equal(1, ran.code, ran.err)
    assert.truthy(dahost(ran.place, "get", "x~mail.1").out:find("\nstate     %a+, %d"))
    assert.are.equal(3, script.run({ place = ran.place, keep = true, script = detaching, func = "parks", id = "y" }).code)
    assert.are.equal(0, dahost(ran.place, "cancel", "y", "--hard").code)
    assert.truthy(dahost(ran.place, "get", "y~mail.1:sent.1").out:find("pending", 1, true))
    assert.are.equal(0, dahost(ran.place, "cancel", "x~mail.1", "enough").code)
    assert.are.equal(4, dahost(ran.place, "resume", "x~mail.1").code)
    harness.remove(ran.place)
  end)

  it("a replay that detaches with other arguments parks", function()
    local text = HEAD .. [[
      function async.kid() end
      function async.main(path)
        local p = async.kid:detach(ARGUMENT)
        await(p)
        await(da.promise "go")
      end]]
    local place = harness.place()
    local function run(argument)
      return script.run { place = place, keep = true, func = "main",
        files = { ["s.lua"] = text:gsub("ARGUMENT", argument), ["t.lua"] = text:gsub("ARGUMENT", "2") },
        env = { DAHOST_KILL = "commit.before:5" } }
    end
    assert.are.equal(9, run("1").signal)
    assert.are.equal(0, dahost(place, "migrate", "x", place.dir .. "/t.lua").code)
    local result = dahost(place, "resume", "x")
    assert.are.equal(3, result.code, result.err)
    assert.truthy(result.err:find("'x' wants workflow 'kid' (t.lua:18) as 'x~kid.1', but that was detached as 'kid' or with "
      .. "other arguments", 1, true), result.err)
    harness.remove(place)
  end)

  it("a long id of a detached workflow is kept whole by a hash", function()
    local text = HEAD .. [[
      function async.leaf() return da.id() end
      function async.main() return await(async.leaf:with { key = ("k"):rep(300) }:detach()) end]]
    local result = script.both { script = text, func = "main" }
    assert.are.equal('"x~leaf=' .. ("k"):rep(193) .. "~", result.out:sub(1, 202), result.err)
    assert.are.equal(202 + 32 + 2, #result.out)
  end)

  it("a delayed workflow rests over a death, and neither resume nor a replay begins it early", function()
    local text = HEAD .. [[
      function step.kill_once(path)
        if not io.open(path) then io.open(path, "w"):close(); os.execute "kill -9 $PPID" end
      end
      function async.kid() await(step.act "began"); return "began" end
      function async.main(path)
        local t = da.now()
        local p = async.kid:with { delay = "1s" }()
        await(step.kill_once(path))
        return { await(p), da.now() - t >= 1 }
      end]]
    local place = harness.place(true)
    local first = script.run { place = place, script = text, func = "main", keep = true, args = { place.dir .. "/killed" } }
    assert.are.equal(9, first.signal, first.err)
    local result = dahost(first.place, "resume", "x")
    assert.are.equal('["began",true]\n', result.out, result.err)
    harness.remove(first.place)
  end)

  it("cancel ends a delayed execution that has not begun at once", function()
    local text = HEAD .. [[
      function async.main()
        async.never:with { delay = '1h' }()
        await(step.act(1))
        local t = "x" while true do t = t .. t end
      end]]
    local first = script.run { script = text, func = "main", keep = true, in_memory = true }
    assert.are.equal(3, first.code, first.err)
    local got = dahost(first.place, "cancel", "x:never.1", "enough")
    assert.truthy(got.out:find("completed, canceled", 1, true), got.out .. got.err)
    assert.truthy(got.out:find("[canceled] enough", 1, true), got.out)
    harness.remove(first.place)
  end)

  it("tags of workflows and promises are kept in their records, those of defaults too", function()
    local text = HEAD .. [[
      function async.kid() return da.id() end
      async.kid:defaults { tags = { team = "red" } }
      function async.main()
        await(async.kid(), async.kid:with { tags = { b = "2", a = "1" } }())
        return await(da.promise("p", { timeout = "1ms", tags = { ["a key"] = "" } }):ignore())
      end]]
    local result = script.run { script = text, func = "main", read = true, in_memory = true }
    assert.truthy(result.records["x:kid.1"].tags:find("team=red", 1, true))
    assert.truthy(result.records["x:kid.2"].tags:find("a=1 b=2", 1, true))
    assert.truthy(result.records["x:p.1"].tags:find("a key=", 1, true))
  end)

  it("run --timeout gives an execution a deadline: it undoes, and the exit code is 4", function()
    local text = HEAD .. [[
      function async.main() local t = da.deadline() - da.now(); await(async.undoes(t > 0.2 and t <= 0.3)) end]]
    local place = harness.place(true)
    local path = place.dir .. "/s.lua"
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
    local got = dahost(place, "run", path, "main", "--id", "x", "--timeout", "300ms")
    assert.are.equal(4, got.code, got.err)
    assert.truthy(got.err:find("[timedout] the deadline passed", 1, true), got.err)
    assert.truthy(dahost(place, "get", "x:undoes.1.act.2").out:find("value     undid true", 1, true)
      or dahost(place, "get", "x:undoes.1.act.2").out:find('"undid true"', 1, true))
    assert.are.equal(0, dahost(place, "start", path, "main", "--id", "y", "--timeout", "1ms").code)
    assert.are.equal(4, dahost(place, "resume", "y").code)
    local bad = dahost(place, "start", path, "main", "--timeout", "soon")
    assert.are.equal(2, bad.code)
    assert.truthy(bad.err:find("--timeout wants a duration: 90, 250ms, 1h30m, 3d; not 'soon'", 1, true), bad.err)
    harness.remove(place)
  end)

  -- What is misused, the words.
  for what, case in pairs {
    ["detaching a step"] = { "step.act:detach(1)", "s.lua:18: step.act:detach: a step lives in the execution that calls it and "
      .. "cannot outlive it; detach a workflow that calls the step" },
    ["detach with a dot"] = { "async.never.detach(1)", "write f:detach(...), with a colon; got number" },
    ["a reason that is no text"] = { "step.act(1):cancel({})", "the reason to cancel must be a string, got a table" },
    ["a delay as long as the timeout"] = { 'async.never:with { delay = "1m", timeout = 60 }()',
      "delay must be shorter than timeout, which counts from the call" },
    ["a delay of a step"] = { 'step.act:with { delay = "1m" }()', "delay is for workflows; await(da.sleep(...)) before the step" },
    ["a delay that is none"] = { 'async.never:with { delay = "soon" }()', "delay must be seconds as a number, or text like" },
    ["tags of a step"] = { "step.act:with { tags = { a = 'b' } }()", "tags are for workflows and promises" },
    ["tags that are no table"] = { "async.never:with { tags = 'red' }()", "tags must be a table of strings by name, got string" },
    ["tags that are no strings"] = { "async.never:with { tags = { a = 1 } }()", "tags must be a table of strings by name, such as "
      .. '{customer = "ada"}; one is number with a key that is string' },
    ["a list of tags"] = { "async.never:with { tags = { 'red' } }()", "one is string with a key that is number" },
    ["reserved tags"] = { "da.promise('p', { tags = { ['resonate:target'] = 'x' } })",
      "tags: the name 'resonate:target' is reserved, as are all that begin with 'resonate:'" },
    ["our own reserved tags"] = { "async.never:with { tags = { ['dahost:x'] = 'x' } }()", "the name 'dahost:x' is reserved" },
    ["a long tag"] = {
      "async.never:with { tags = { a = ('x'):rep(257) } }()", "tags: a name has 1 to 256 bytes, a value at most as many" },
    ["too many tags"] = {
      "local t = {} for i = 1, 17 do t['k' .. i] = 'v' end; async.never:with { tags = t }()", "17 tags; 16 are the most" },
    ["an option there is not"] = {
      "async.never:with { delays = 1 }()", "unknown option 'delays' of a durable call; did you mean 'delay'?" },
    ["detach in a step"] = { "await(step.inner())", "a step is a leaf" },
  } do
    it("refuses " .. what, function()
      local text = HEAD .. "function step.inner() return async.never:detach() end\nfunction async.main()\n" .. case[1] .. "\nend"
      local result = script.run { script = text, func = "main" }
      assert.are.equal(1, result.code, result.err)
      assert.truthy(result.err:find(case[2], 1, true), result.err)
    end)
  end
end)
