-- cli.lua - what the specs of the command line share: a place with a script in it, and a process that holds its store.
--
-- Here:    begin() and finish() around each spec; run(), with() and spawn() at the place; holder() and release().
-- Rule:    one place at a time; a spec file is a process of its own.
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local program = require("spec.support.program")

local M = {}

M.SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.double(n) return 2 * n end
function step.talk(text) io.write(text, "\n") return text end

function async.echo(...) return ... end
function async.three() return 1, "two", { 3 } end
function async.nothing() end
function async.fails(n) error { code = "no_stock", message = "none left", n = n } end
function async.waits(name)
  local p = da.promise(name or "p")
  print("waiting for " .. p.id)
  return await(p)
end
function async.sleeps(d) await(da.sleep(d)) return "slept" end
function async.works(n) return await(step.double(n)), await(step.double(n + 1)) end
function async.talks() print "from the workflow" await(step.talk "from the step") return "the result" end
function async.forgets() local q = step.double(1) return await(da.promise("gone", { timeout = "10ms" })), q end
function async.parent() return await(async.waits("inner")) end
]]

-- Functions that park: their code asks for more memory than an execution has.
M.PARKS = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.one() return 1 end
function async.greedy() await(step.one()) local s = "x" while true do s = s .. s end end
function async.outer() return await(async.greedy()) end
]]

-- Lines of JSON, decoded.
function M.rows_of(text)
  local rows = {}
  for line in text:gmatch("[^\n]+") do rows[#rows + 1] = assert(json.decode(line, 1, nil)) end
  return rows
end

function M.row_of(text)
  local rows = M.rows_of(text)
  assert(#rows == 1, #rows .. " rows, not one: " .. text)
  return rows[1]
end

local place, script

-- A fresh place, and the path of SCRIPT in it.
function M.begin(in_memory)
  place = program.place(in_memory)
  script = place:write("wf.lua", M.SCRIPT)
  return place, script
end

function M.finish()
  place:remove()
end

-- Runs the program there with its standard streams put elsewhere, in words of the shell: "2>&-", "| cat".
function M.with(streams, ...)
  return program.run({ ... }, { data = place.data, cwd = place.dir, streams = streams })
end

function M.run(...) return place:run(...) end

-- A run in another process that waits for `<id>:p.1`: it holds the store. What the view tells may not be flushed yet;
-- an answer that comes from behind it in the same queue says that it is.
function M.holder(id)
  local process = place:spawn("run", script, "waits", "--id", id):wait_for(id .. " waits for " .. id .. ":p.1")
  assert(place:run("get", id .. ":p.1").code == 0)
  return process
end

function M.release(process, id)
  local got = place:run("promise", "resolve", id .. ":p.1", '"released"')
  assert(got.code == 0, got.err)
  return process:wait()
end

return M
