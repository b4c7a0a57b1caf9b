-- alpha.lua - workflows of the group alpha, whose trees cross to beta and back. What each comes to: fleet/straight.lua.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local journal = require "journal"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
local beta = da.service "beta"

function step.work(n) return journal.work(2 * n + 1) end
function step.keep(list) return journal.work(table.concat(list, " ")) end
function step.undo(name) return journal.work("undone " .. name) end
function step.fill(id, value) da.resolve(id, value) return journal.work("filled") end

function step.flaky(n)
  if da.attempt() == 1 then error "not yet" end
  return journal.work(n)
end
step.flaky:defaults { retry = { max = 5, first = "20ms" } }

-- Called by beta.
function async.inc(n)
  local notes = journal.notes()
  return notes.with(notes.of(step.work(n)) + await(step("inc", function() return 1 end)))
end

-- One after the other, here and there.
function async.chain(n)
  local notes = journal.notes()
  local v = notes.of(step.work(n))
  for _ = 1, 3 do
    v = notes.merge(await(beta.double(v)))
    v = notes.of(step.work(v % 100))
  end
  return notes.with(v)
end

-- All at once.
function async.fan(n)
  local notes, list = journal.notes(), {}
  for i = 1, 4 do list[i] = beta.square(n + i) end
  local own = step.work(n)
  local sum = notes.of(own)
  for _, result in ipairs(await(da.all(list))) do sum = sum + notes.merge(result) end
  return notes.with(sum)
end

function async.first(n)
  local notes = journal.notes()
  local result, index = await(da.any { beta.refuse(n), beta.square(n) })
  return notes.with(notes.merge(result) * 10 + index)
end

function async.map(n)
  local notes, list = journal.notes(), {}
  for i = 1, 5 do list[i] = n + i end
  local results = await(da.map(list, function(each) return await(beta.square(notes.of(step.work(each)))) end, { limit = 2 }))
  local sum = 0
  for _, result in ipairs(results) do sum = sum + notes.merge(result) end
  return notes.with(sum)
end

function async.sleepy(n)
  local notes = journal.notes()
  local nap = da.sleep "250ms"
  local v = notes.of(step.work(n))
  await(nap)
  v = v + notes.merge(await(beta.square(n)))
  await(da.sleep "50ms")
  return notes.with(v + notes.of(step.flaky(n)))
end

-- Odd numbers are refused with the fields of what went wrong below.
function async.order(n)
  local ok, err = pawait(beta.refuse(n))
  assert(not ok)
  if n % 2 == 1 then da.error("no_order", "no order of " .. n, { cause = err, n = n }) end
  return { value = ("%s %d %s"):format(err.code, err.n, err.message), seen = da.object {} }
end

function async.rounds(n, total)
  total = total or 0
  if n == 0 then return { value = total, seen = da.object {} } end
  total = total + await(step.work(n)) + await(beta.square(n)).value
  return da.again(n - 1, total)
end

function async.apart(n)
  local notes = journal.notes()
  local p = beta.square:detach(n)
  local v = notes.of(step.work(n))
  return notes.with(v + notes.merge(await(p)))
end

-- What children await is somebody else's: a promise from outside, and a step that has not ended.
function async.hand(n)
  local notes = journal.notes()
  local box, slow = da.promise("box"), step.work(n)
  local first, second = beta.open(box), beta.open(slow)
  await(step.fill(box.id, n))
  return notes.with(notes.merge(await(first)) + notes.merge(await(second)))
end

function async.late(n)
  local notes = journal.notes()
  local ok, err = pawait(beta.stuck:with { timeout = "600ms" }(n))
  assert(not ok)
  return notes.with(err.code)
end

function async.stop(n)
  local notes = journal.notes()
  local child = beta.stuck(n)
  await(da.sleep "150ms")
  child:cancel("enough")
  local ok, err = pawait(child)
  assert(not ok)
  return notes.with(err.code .. " " .. err.message)
end

function async.within(n)
  local notes = journal.notes()
  local ok, err = pawait(da.within("100ms", da.promise("never")))
  assert(not ok)
  return notes.with(err.code .. " " .. notes.merge(await(beta.square(n))))
end

-- Branches that share a list: its order is open the first time, and kept from then on.
function async.braid(n)
  local notes, order = journal.notes(), {}
  local function say(word) order[#order + 1] = word end
  local a = async("a", function()
    local v = notes.of(step.work(n))
    say "a1"
    v = v + notes.merge(await(beta.square(n)))
    say "a2"
    return v
  end)
  local b = async("b", function()
    local v = notes.merge(await(beta.double(n)))
    say "b1"
    v = v + notes.of(step.work(v))
    say "b2"
    return v
  end)
  local c = async("c", function()
    for i = 1, 3 do
      await(da.sleep "40ms")
      say("c" .. i)
      notes.of(step.work(i))
    end
    return 0
  end)
  local v, w, x = await(a, b, c)
  local kept = notes.of(step.keep(order))
  assert(kept == table.concat(order, " "), "the order is another: " .. kept)
  return notes.with(v + w + x)
end

function async.saga(n)
  local notes = journal.notes()
  local ok, err = pcall(function()
    local s <close> = da.saga()
    s:on_fail(step.undo, "a" .. n)
    notes.of(step.work(n))
    s:on_fail(step.undo, "b" .. n)
    await(beta.refuse(n))
  end)
  assert(not ok)
  return notes.with(err.code)
end
