-- beta.lua - workflows of the group beta, called by alpha and calling it. What each comes to: fleet/straight.lua.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local journal = require "journal"
local async, await, step = da.async, da.await, da.step
local alpha = da.service "alpha"

function step.twice(n) return journal.work(2 * n) end
function step.times(n) return journal.work(n * n) end
function step.undo(name) return journal.work("undone " .. name) end

function async.double(n)
  local notes = journal.notes()
  local v = notes.of(step.twice(n))
  return notes.with(v + notes.merge(await(alpha.inc(n))))
end

function async.square(n)
  local notes = journal.notes()
  return notes.with(notes.of(step.times(n)))
end

function async.refuse(n)
  await(step.times(n))
  da.error("no_stock", "none left", { n = n })
end

function async.open(box)
  local v = await(box)
  local notes = journal.notes()
  return notes.with(notes.of(step.twice(v)))
end

-- Ends only by its deadline, or because it is told to, and undoes then what it did.
function async.stuck(n)
  local ok, err = pcall(function()
    await(step.twice(n))
    await(da.promise("never"))
  end)
  assert(not ok)
  da.shield(function() await(step.undo("stuck " .. n)) end)
  error(err, 0)
end

-- A root of its own whose tree begins here.
function async.cross(n)
  local notes = journal.notes()
  local v = notes.of(step.times(n))
  local results = await(da.all { alpha.chain(n), alpha.fan(n), alpha.braid(n) })
  for _, result in ipairs(results) do v = v + notes.merge(result) end
  return notes.with(v)
end
