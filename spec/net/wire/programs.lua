-- programs.lua - what a worker of a server elsewhere runs in the specs: one subject each, with steps that depend on nothing.
--
-- A recording holds digests and line numbers of this file: who changes it records anew (net/worker_wire_spec.lua).
--
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step

function step.add(a, b) return a + b end

function step.spell(word) return word:upper(), #word end

function step.refuse(why) da.error("refused_here", why, { fatal = true }) end

function step.stumble()
  if da.attempt() < 3 then error("attempt " .. da.attempt()) end
  return da.attempt()
end

step.stumble:defaults { retry = { max = 5, first = "10ms", factor = 1, jitter = 0 } }

function step.dawdle(seconds)
  os.execute("sleep " .. seconds)
  return da.attempt()
end

-- Longer than a short lease lasts.
function async.dawdles(seconds) return await(step.dawdle(seconds)) end

-- Steps one after the other: several results, none, bytes, a repeated one, an inline one, a keyed one.
function async.steps(n)
  local total = 0
  for i = 1, n do total = await(step.add(total, i)) end
  local word, length = await(step.spell "sea")
  local attempts = await(step.stumble())
  local inline = await(step("inline", function() return { 1.5, "a\0b", big = 1 << 60 } end))
  local keyed = await(step.add:with { key = "a.b:c" }(total, length))
  return { total = total, word = word, attempts = attempts, bytes = #inline[2], big = inline.big, keyed = keyed }
end

function async.child(n)
  return await(step.add(n, 1)) * 10, da.id()
end

-- A workflow calls another one and waits for it, twice.
function async.children(n)
  local first, id = await(async.child(n))
  local second = await(async.child:with { key = "second" }(first))
  return { first = first, second = second, id = id:sub(#da.id() + 2) }
end

-- Many at once: more steps than some servers preload, and children that are waited for together.
function async.fan_out(n)
  local sums, calls = {}, {}
  for i = 1, n do sums[i] = await(step.add(i, i)) end
  for i = 1, 3 do calls[i] = async.child(i) end
  local results = await(da.all(calls))
  local branch = async("branch", function() return await(step.add(results[1], results[3])) end)
  return { sum = sums[n], results = results, branch = await(branch) }
end

function async.sleeps(duration)
  local before = await(step.add(1, 1))
  await(da.sleep(duration))
  return before, await(step.add(before, 1))
end

-- Promises that somebody else settles: one well, one not.
function async.asks()
  local yes = await(da.promise("yes", { timeout = "1h", data = { question = "go on?" } }))
  local ok, err = pawait(da.promise "no")
  return { yes = yes, ok = ok, code = err.code, message = err.message }
end

function async.fails(why)
  await(step.refuse(why))
end

-- Errors that are caught, of a step and of a child, and one that is not.
function async.rejects()
  local ok, err = pawait(step.refuse "first")
  local child_ok, child_err = pawait(async.fails "second")
  da.error("given_up", ("%s %s %s %s"):format(ok, err.message, child_ok, child_err.code), { fatal = true })
end

-- Time that runs out: of a promise, and of a wait.
function async.times_out()
  local ok, err = pawait(da.promise("late", { timeout = "400ms" }))
  local within, why = pawait(da.within("300ms", da.promise "later"))
  return { ok = ok, code = err.code, within = within, why = why.code }
end

function async.waits()
  await(da.promise "never")
end

-- Somebody asks it to end: what it did is undone, and so is what it called.
function async.is_canceled()
  local saga <close> = da.saga()
  saga:on_fail(step.add, 100, 1)
  await(step.add(1, 1))
  await(async.waits())
end

-- Three generations.
function async.again(n, total)
  total = await(step.add(total or 0, n))
  if n == 3 then return { total = total, generation = n } end
  await(da.sleep "50ms")
  return da.again(n + 1, total)
end

-- A promise of another lineage.
function async.looks_abroad(id)
  local found = await(da.get(id))
  local ok, err = pawait(da.get(id .. "-missing"))
  return { found = found, ok = ok, code = err.code }
end

-- One with a life of its own, whose end is awaited all the same.
function async.detaches(n)
  local other = async.child:detach(n)
  return { result = await(other), below = other.id:sub(1, #da.id() + 1) == da.id() .. "~" }
end
