-- main.lua - runs every row of the determinism tables as an execution of its own, and tells how each came out.
--
-- A row is {name=, run=}: run(at) is a workflow's body; its result is what the spec compares, a second one (raw) is what
-- depends on the clock or on chance: it is recorded among the arguments of a step, so that a replay that finds another
-- value diverges and parks. races: its records differ between processes.
-- There are two gates. at() suspends: the first time until every row has arrived there and main has opened the first
-- gate, later for a moment. When a row has recorded what it found it waits at the second gate, so that a replay from
-- there goes through all of the row. With HOLD set main opens none: whoever holds the process kills it, and opens the
-- gate from outside.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

local files = {
  require "rows_tables", require "rows_numbers", require "rows_refused", require "rows_code", require "rows_await",
  require "rows_steps",
}

function step.arrive(id) da.resolve(id) end
function step.note(result, raw) return result, raw end
function step.tick() return "tick" end
function step.open(id) if not os.getenv "HOLD" then da.resolve(id, "open") end end

-- marks, gates: ids of promises, one of each for both gates.
local function run(row, marks, gates)
  local function wait_at(n)
    await(step.arrive(marks[n]))
    await(da.get(gates[n]))
  end
  local here = false
  local function at()
    if here then return await(step.tick()) end
    here = true
    wait_at(1)
  end
  local out = table.pack(pcall(row.run, at))
  local result = { ok = out[1], value = out[2] }
  if not out[1] and da.is_error(out[2]) then result.value = { code = out[2].code, message = out[2].message } end
  if not here then at() end
  local noted = await(step.note(result, out[3]))
  wait_at(2)
  return noted
end

local rows = {}
for _, file in ipairs(files) do
  for _, row in ipairs(file(da)) do
    rows[#rows + 1] = row
    row.func = "row_" .. row.name:gsub("%W+", "_")
    async[row.func] = function(marks, gates) return run(row, marks, gates) end
  end
end

function async.main()
  local gates = { da.promise "gate", da.promise "gate" }
  local gate_ids = { gates[1].id, gates[2].id }
  local arrived, jobs = { {}, {} }, {}
  for i, row in ipairs(rows) do
    for n = 1, 2 do arrived[n][i] = da.promise("at" .. n, { key = row.func }) end
    jobs[i] = async[row.func]({ arrived[1][i].id, arrived[2][i].id }, gate_ids)
  end
  for n = 1, 2 do
    await(da.all(arrived[n]))
    print("all rows are at gate " .. n)
    await(step.open(gate_ids[n]))
  end
  local results = {}
  for i, outcome in ipairs(await(da.outcomes(jobs))) do
    results[rows[i].name] = outcome.ok and outcome.value or { broken = tostring(outcome.error) }
  end
  return results
end
