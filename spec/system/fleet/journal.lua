-- journal.lua - what steps of the fleet's scripts write down outside of every store, and what workflows make of it.
--
-- Steps:     journal.work(value, work): two lines in the file that FLEET_JOURNAL names, "begin" and "end", each with the
--            instant in ms, the step's id, its attempt, a token that no other attempt has, and the process. Between them it
--            takes FLEET_STEP_MS, and what the function `work` takes, if there is one. Returns the value and the token, so
--            that the record tells which attempt it is of.
-- Workflows: notes(): of(promise) awaits a step and notes its token, merge(result) takes the notes of a child's result
--            over, with(value) is what to return.
--
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"

local M = {}

local function line(word, ...)
  local file = assert(io.open(os.getenv("FLEET_JOURNAL"), "ab"))
  file:setvbuf("full") -- a line is one write, and whole among those of other processes
  file:write(table.concat({ word, math.floor(da.now() * 1000), ... }, " "), "\n")
  file:close()
end

local function process()
  local file = assert(io.open("/proc/self/stat"))
  local pid = file:read("n")
  file:close()
  return tostring(math.tointeger(pid))
end

function M.work(value, work)
  local token, pid = da.uuid(), process()
  line("begin", da.id(), da.attempt(), token, pid)
  local ms = tonumber(os.getenv("FLEET_STEP_MS") or 0)
  if ms > 0 then require("luv").sleep(ms) end
  if work then work() end
  line("end", da.id(), da.attempt(), token, pid)
  return value, token
end

function M.notes()
  local notes, seen = {}, {}
  function notes.of(promise)
    local value, token = da.await(promise)
    seen[promise.id] = token
    return value
  end
  function notes.merge(result)
    for id, token in pairs(result.seen) do seen[id] = token end
    return result.value
  end
  function notes.with(value)
    return { value = value, seen = da.object(seen) }
  end
  return notes
end

return M
