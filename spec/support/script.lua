-- script.lua - runs a script given as text with the shipped program, in each of the ways that must come to the same.
--
-- Ways: warm (a suspended isolate stays in memory), cold (evicted at every await, so that every resume is a replay),
-- restored (the same from images), sliced (DAHOST_SLICE=3: the code gives way after every third instruction). both()
-- demands that all come to equal results and records, and returns the warm one.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local modes = require("spec.support.modes")
local records = require("spec.support.records")

local M = {}

-- spec: script (text), or files = { name = text } with main = name; func, args (list of strings), env, id; in_memory: a
-- store that no flush waits for.
-- Returns what harness.dahost() does, with .place kept if keep is set.
function M.run(spec)
  local place = spec.place or harness.place(spec.in_memory)
  local files = spec.files or { ["s.lua"] = spec.script }
  for name, text in pairs(files) do
    local file = assert(io.open(place.dir .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end
  local args = { "run", place.dir .. "/" .. (spec.main or "s.lua") }
  if spec.func then args[#args + 1] = spec.func end
  for _, arg in ipairs(spec.args or {}) do args[#args + 1] = arg end
  for _, arg in ipairs { "--data", place.data, "--id", spec.id or "x", "--quiet" } do args[#args + 1] = arg end
  local result = harness.dahost(args, { env = spec.env or {} })
  if spec.read then result.records = records.read(place) end
  if spec.keep then
    result.place = place
  else
    harness.remove(place)
  end
  return result
end

local function with(spec, env)
  local copy = { env = env, read = true }
  for k, v in pairs(spec) do
    if k ~= "env" then copy[k] = v end
  end
  for k, v in pairs(spec.env or {}) do env[k] = v end
  return M.run(copy)
end

function M.cold(spec)
  return with(spec, modes.set({}, "cold"))
end

function M.restored(spec)
  return with(spec, modes.set({}, "image"))
end

function M.sliced(spec)
  return with(spec, { DAHOST_SLICE = "3" })
end

-- A timer that nobody waits for any more may have gone off before it was withdrawn; chance inside an inline step is true.
local function open(record, field)
  if record.kind == "inline" and field == "value" then return record.value:find('^"%x+%-%x+%-4%x+%-%x+%-%x+"$') ~= nil end
  return record.kind == "sleep" and field == "state"
end

local function alike(warm, other, what)
  assert(warm.out == other.out and warm.code == other.code, ("warm and %s differ: %s (%s) %s\n--\n%s (%s) %s"):format(what,
    warm.out, warm.code, warm.err, other.out, other.code, other.err))
  local differences = records.differences(warm.records, other.records, open)
  assert(#differences == 0, ("the records of warm and %s differ:\n%s"):format(what, table.concat(differences, "\n")))
end

function M.both(spec)
  local warm = with(spec, {})
  alike(warm, M.cold(spec), "cold")
  alike(warm, M.restored(spec), "restored")
  alike(warm, M.sliced(spec), "sliced")
  return warm
end

return M
