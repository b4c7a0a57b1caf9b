-- again_spec.lua - da.again: the same execution begins anew, with other arguments and without its history.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local probe = require("da_probe")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.note(n) return n end
function step.fail(what) da.error("broken", what, { fatal = true }) end
]]

local rows = {
  { "calls the workflow with the new arguments, under the same id", [[
    function async.main(n, ids)
      n, ids = n or 1, ids or {}
      ids[#ids + 1] = da.id()
      if n < 4 then return da.again(n + 1, ids) end
      return ids
    end]], '["x","x","x","x"]' },
  { "gives each generation ids of its own, so none comes twice", [[
    function step.who() return da.id() end
    function async.main(n, ids)
      n, ids = n or 1, ids or {}
      ids[#ids + 1] = await(step.who())
      ids[#ids + 1] = await(async("b", function() return await(step.who()) end))
      if n < 3 then return da.again(n + 1, ids) end
      return ids
    end]], '["x:who.1","x:b.1.who.1","x:~2.who.1","x:~2.b.1.who.1","x:~3.who.1","x:~3.b.1.who.1"]' },
  { "works in a child workflow, whose caller sees one call", [[
    function step.who() return da.id() end
    function async.kid(n)
      local who = await(step.who())
      if n < 3 then return da.again(n + 1) end
      return who, n
    end
    function async.main() return { await(async.kid(1)) } end]], '["x:kid.1.~3.who.1",3]' },
  { "draws other chance in each generation, and another uuid", [[
    function async.main(n, seen)
      n, seen = n or 1, seen or {}
      seen[#seen + 1] = math.random(1 << 40)
      seen[#seen + 1] = da.uuid()
      if n < 3 then return da.again(n + 1, seen) end
      local kinds, count = {}, 0
      for _, v in ipairs(seen) do if not kinds[v] then kinds[v] = true; count = count + 1 end end
      return count
    end]], "6" },
  { "starts from the script's own globals and modules, as any start does", [[
    local count = 0
    function async.main(n)
      count = count + 1
      if n ~= 3 then return da.again((n or 1) + 1) end
      return count
    end]], "1" },
  { "passes nil, false and several values on", [[
    function async.main(...)
      if select("#", ...) == 0 then return da.again(nil, false, "z", nil) end
      local a, b, c = ...
      return { a == nil, b == false, c, select("#", ...) }
    end]], '[true,true,"z",4]' },
  { "waits for open steps, workflows and branches first", [[
    function async.kid() await(da.sleep(0.01)); return 1 end
    function async.main(n)
      if not n then
        step.note(1):ignore()
        async.kid():ignore()
        async("b", function() await(da.sleep(0.01)) end)
        return da.again(2)
      end
      return "joined"
    end]], '"joined"' },
  { "withdraws timers and promises that nobody waits for", [[
    function async.main(n)
      if not n then
        da.sleep("1h"):ignore()
        return da.again(da.promise("p").id)
      end
      return n
    end]], '"x:p.1"' },
  { "runs open <close> variables, without an error", [[
    local seen = {}
    function async.main(n)
      if n then return n end
      local guard <close> = setmetatable({}, { __close = function(_, e)
        await(step.note(1))
        seen.e = tostring(e)
      end })
      return da.again("closed")
    end]], '"closed"' },
  { "fails instead when a child failed that nobody awaited", [[
    function async.main(n)
      if n then return n end
      step.fail "lost"
      return da.again "went on"
    end]], nil, "[broken] lost" },
  { "fails instead when a <close> variable raises", [[
    function async.main(n)
      if n then return n end
      local guard <close> = setmetatable({}, { __close = function() error("from close", 0) end })
      return da.again(1)
    end]], nil, "from close" },
  { "may be returned through helpers and pcall's function", [[
    local function restart(n) return da.again(n) end
    function async.main(n)
      if n == 3 then return "three" end
      if n == 2 then
        local ok, next_one = pcall(restart, 3)
        return next_one
      end
      return restart(2)
    end]], '"three"' },
  { "that was made and not returned is an error which names the line", [[
    function async.main(n)
      local _ = da.again(1)
      return "other"
    end]], nil, "s.lua:6: da.again(...) was called and is not what the workflow returns; write `return da.again(...)`" },
  { "among other results is that error too", [[
    function async.main(n) return da.again(1), 2 end]], nil, "write `return da.again(...)`" },
  { "that is not the last one made is that error too", [[
    function async.main(n)
      local first = da.again(1)
      local second = da.again(2)
      return first
    end]], nil, "s.lua:7: da.again(...) was called and is not what" },
  { "gives way to an error that is raised behind it", [[
    function async.main(n)
      local _ = da.again(1)
      error("after", 0)
    end]], nil, "after" },
  { "is refused in a branch", [[
    function async.main()
      local ok, e = pawait(async("side", function() local a = da.again(1) return a end))
      return e.message
    end]], [["s.lua:6: da.again in branch 'side': a branch cannot begin the workflow again; write `return da.again(...)`]]
      .. [[ in the workflow's own function"]] },
  { "is refused in a function of da.map", [[
    function async.main()
      local ok, e = pawait(da.map({ 1 }, function(n) local a = da.again(n) return a end))
      return e.message
    end]], [["s.lua:6: da.again in a function of da.map, which cannot begin the workflow again; write `return da.again(...)`]]
      .. [[ in the workflow's own function"]] },
  { "is refused in a coroutine", [[
    function async.main()
      local ok, e = coroutine.resume(coroutine.create(function() local a = da.again(1) return a end))
      return e
    end]], [["s.lua:6: da.again in a coroutine, which cannot begin the workflow again; write `return da.again(...)`]]
      .. [[ in the workflow's own function"]] },
  { "is refused in an inline step", [[
    function async.main()
      local ok, e = pawait(step("s", { retry = false }, function() local a = da.again(1) return a end))
      return e.message:match("^s.lua:6: da.again inside an inline step; a step is a leaf") ~= nil
    end]], "true" },
  { "is refused in a step", [[
    function step.s() local a = da.again(1) return a end
    function async.main()
      local ok, e = pawait(step.s:with { retry = false }())
      return e.message
    end]], '"s.lua:5: da.again is for workflows; a step is a leaf, it just does its work and returns"' },
  { "takes values that may cross only", [[
    function async.main()
      local ok, e = pcall(da.again, { on = print })
      return { e.code, e.message }
    end]], '["unserializable","da.again[1].on: a function cannot cross a durable boundary"]' },
  { "does not swallow a request to cancel: it is raised at the first await of the next generation", [[
    function async.kid(n, e)
      if n == 2 then
        local ok, caught = pawait(da.sleep(60))
        return { ok, caught.code, caught.message }
      end
      local ok = pawait(da.sleep(60))
      return da.again(2)
    end
    function async.main()
      local kid = async.kid(1)
      await(step.note(0))
      kid:cancel "enough"
      return await(kid)
    end]], '[false,"canceled","enough"]' },
  { "undoes nothing of a saga, which ends well with its generation", [[
    function step.undo(n) return "undone" .. n end
    function async.main(n)
      local saga <close> = da.saga()
      saga:on_fail(step.undo, 1)
      if not n then return da.again(2) end
      local ok, e = pcall(function()
        local inner <close> = da.saga()
        inner:on_fail(step.undo, 2)
        error "fails"
      end)
      return ok, await(da.get "x:~2.undo.1")
    end]], '[false,"undone2"]' },
  { "leaves detached workflows alone, each generation its own", [[
    function async.mail(n) await(da.sleep(0.01)) return n end
    function async.main(ids)
      ids = ids or {}
      ids[#ids + 1] = async.mail:detach(#ids).id
      if #ids < 3 then return da.again(ids) end
      local sum = 0
      for _, id in ipairs(ids) do sum = sum + await(da.get(id)) end
      return ids, sum
    end]], '[["x~mail.1","x~~2.mail.1","x~~3.mail.1"],3]' },
  { "lets promises of other lineages, and those with an id of their own, go on", [[
    function async.tail(id) return await(da.get(id)) end
    function async.main(n)
      if not n then
        local p = da.promise("own", { id = "shared" })
        return da.again(p.id)
      end
      local tail = async.tail(n)
      await(step.settle(n))
      return await(tail)
    end
    function step.settle(id) return da.resolve(id, "settled") end]], '"settled"' },
  { "frees the permits that were not released, and gives back messages that were not received", [[
    function step.fill(name) for i = 1, 6 do da.send(name, "m" .. i) end end
    function async.main(n, seen)
      local work, lock = da.channel "work", da.semaphore("lock", 1)
      if not n then await(step.fill "work") end
      n, seen = n or 1, seen or {}
      await(lock:acquire())
      if n < 3 then work:recv():ignore() end
      for _ = 1, 2 do seen[#seen + 1] = await(work:recv()) end
      if n < 3 then return da.again(n + 1, seen) end
      return seen
    end]], '["m2","m3","m4","m5","m1","m6"]' },
  { "leaves the inbox with what is in it", [[
    function step.fill(id) for i = 1, 5 do da.send(id .. "/orders", i) end end
    function async.main(n, sum)
      local inbox = da.inbox "orders"
      if not n then await(step.fill(da.id())) end
      sum = (sum or 0) + await(inbox:recv())
      if (n or 1) < 5 then return da.again((n or 1) + 1, sum) end
      return sum
    end]], "15" },
  { "keeps the deadline, which is that of all generations together", [[
    function async.kid(n)
      local ok, e = pawait(da.sleep(n == 1 and 0.005 or 60))
      if n == 2 then return { ok, e.code } end
      return da.again(2)
    end
    function async.main() return await(async.kid:with { timeout = "400ms" }(1)) end]], '[false,"timedout"]' },
  { "keeps a deadline that has passed", [[
    function async.kid(n)
      local ok, e = pawait(da.sleep(60))
      if n == 3 then return { ok, e.code } end
      return da.again(n + 1)
    end
    function async.main() return await(async.kid:with { timeout = "20ms" }(1)) end]], '[false,"timedout"]' },
}

describe("da.again", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local result = script.both { script = HEAD .. row[2] }
      if row[3] then
        assert.are.equal(row[3] .. "\n", result.out, result.err)
        assert.are.equal(0, result.code)
      else
        assert.are.equal(1, result.code, result.out .. result.err)
        assert.is_truthy(result.err:find(row[4], 1, true), result.err)
      end
    end)
  end
end)

describe("the clock of a generation", function()
  it("begins no earlier than that of the one before had come", function()
    for _, run in ipairs { script.run, script.cold } do
      local result = run { script = HEAD .. [[
        function async.main(n, before)
          local now = da.now()
          if n > 1 and now < before then return "back" end
          await(da.sleep(0.01))
          if n < 3 then return da.again(n + 1, da.now()) end
          return "on"
        end]], args = { "1" } }
      assert.are.equal('"on"\n', result.out, result.err)
    end
  end)
end)

local LOOP = HEAD .. [[
function async.main(n, max)
  await(step.note(n))
  await(async("b", function() return await(async.kid(n)) end))
  if n < max then return da.again(n + 1, max) end
  return n
end
function async.kid(n)
  await(step.note(n))
  if n % 2 == 0 then return da.again(n + 1) end
  return n
end
]]

local function count_records(place)
  local world = assert(probe.new { kind = "lmdb", path = place.data, read_only = true })
  local count = #world:scan_ids()
  world:close()
  return count
end

describe("the history of old generations", function()
  it("is dropped, with that of the workflows it called", function()
    local sizes = {}
    for _, max in ipairs { 3, 40 } do
      local result = script.run { script = LOOP, args = { "1", tostring(max) }, keep = true }
      assert.are.equal(max .. "\n", result.out, result.err)
      local verify = harness.dahost { "verify", "--data", result.place.data }
      assert.are.equal(0, verify.code, verify.out)
      sizes[max] = count_records(result.place)
      harness.remove(result.place)
    end
    assert.is_true(sizes[40] <= sizes[3] + 12, ("%d records after 3 generations, %d after 40"):format(sizes[3], sizes[40]))
  end)

  it("keeps what another execution asked for, and will ask for again when it is replayed", function()
    local result = script.run { keep = true, script = HEAD .. [[
      function async.cart(n)
        local got = await(step.note(n))
        await(da.promise "gate")
        if n < 2 then return da.again(n + 1) end
        return got
      end
      function async.reader()
        local early = await(da.get "x:cart.1.note.1")
        await(step.open "x:cart.1.gate.1")
        await(da.sleep(0.05)) -- the records of that generation are gone by now
        await(step.open "x:cart.1.~2.gate.1")
        return early
      end
      function step.open(id) return da.resolve(id, 1) end
      function async.main()
        local cart = async.cart(1)
        await(da.sleep(0.02))
        return { await(async.reader(), cart) }
      end]], env = { DAHOST_WARM = "0" } }
    assert.are.equal("[1,2]\n", result.out, result.err)
    local world = assert(probe.new { kind = "lmdb", path = result.place.data, read_only = true })
    assert.is_true(world:promise("x:cart.1.note.1").call.awaitedElsewhere)
    assert.is_nil(world:promise("x:cart.1.gate.1"))
    world:close()
    harness.remove(result.place)
  end)

  it("is walked once, though somebody made a promise with an id of another grammar below the mark", function()
    local place = harness.place(true)
    local file = assert(io.open(place.dir .. "/s.lua", "w"))
    file:write(HEAD, [[
      function async.main(n)
        if n < 2 then return da.again(n + 1) end
        await(da.sleep(1.6))
        return "woke"
      end]])
    file:close()
    assert.are.equal(0, harness.dahost({ "promise", "create", "x:~2:z", "--data", place.data }).code)
    local run = assert(io.popen(("ulimit -t %d; '%s' run '%s/s.lua' main 1 --data '%s' --id x --quiet"):format(
      harness.sanitized and 20 or 1, os.getenv "DAHOST_BIN", place.dir, place.data)))
    local out, ok = run:read("a"), run:close()
    harness.remove(place)
    assert.are.same({ '"woke"\n', true }, { out, ok }) -- within a second of processor time
  end)

  it("that a death left is dropped by the next process", function()
    local result = script.run { script = LOOP, args = { "1", "9" }, keep = true, env = { DAHOST_KILL = "commit.after:22" } }
    assert.are.equal(9, result.signal)
    local again = script.run { script = LOOP, args = { "1", "9" }, keep = true, place = result.place }
    assert.are.equal("9\n", again.out, again.err)
    assert.is_true(count_records(result.place) < 24, count_records(result.place))
    harness.remove(result.place)
  end)
end)

describe("an execution that begins again", function()
  it("comes to the same end wherever the process dies, also twice", function()
    local kills = 0
    for first = 2, 22, 2 do
      for _, second in ipairs { 0, 2, 3 } do
        local place = harness.place(true)
        local plan = { first, second > 0 and second or nil }
        for _, n in ipairs(plan) do
          local died = script.run { place = place, keep = true, script = LOOP, args = { "1", "3" },
            env = { DAHOST_KILL = (n % 2 == 0 and "commit.after:" or "commit.before:") .. n } }
          if died.signal == 9 then kills = kills + 1 end
        end
        local result = script.run { place = place, keep = true, script = LOOP, args = { "1", "3" } }
        assert.are.equal("3\n", result.out, ("killed at %s: %s"):format(table.concat(plan, ", "), result.err))
        local verify = harness.dahost { "verify", "--data", place.data }
        assert.are.equal(0, verify.code, verify.out)
        harness.remove(place)
      end
    end
    assert.is_true(kills > 30, kills)
  end)
end)
