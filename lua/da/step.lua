-- step.lua - what `require "da"` gives inside a named step, on a step thread. Ordinary Lua: all libraries, blocking calls.
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...

local xpcall, tostring, select, type = xpcall, tostring, select, type

-- Memory that ran out is no error object: it cannot be made. Trying again would only run out again.
local function ended(ok, err, ...)
  if not ok and err == "not enough memory" then
    err = core.error_new("memory", "the step needs more memory than a step may have; work on pieces", { fatal = true })
  end
  if not ok and type(err) == "table" and err.attempts == nil then err.attempts = core.attempt() end
  return core.outcome(ok, err, ...)
end

-- Runs step `name` in that version; never raises.
function core.step_main(name, args, version)
  local fn, lack = core.body(false, name, version)
  if not fn then return core.outcome(false, core.error_new("unknown_function", lack, { fatal = true })) end
  return ended(xpcall(fn, core.trace, core.decode_array(args)))
end

core.inline = core.not_here "step"
core.start_branch = core.not_here "async"

rawset(os, "execute", core.execute) -- see bind_step.c

-- Takes what da.now() gives, which has fractions, as in a workflow.
local date, floor, math_type = os.date, math.floor, math.type
function os.date(format, instant)
  return date(format, math_type(instant) == "float" and floor(instant) or instant)
end

da.id = core.id
da.attempt = core.attempt
da.deadline = core.deadline
da.progress = core.progress -- how far it is, for people: `dahost ps`, `dahost tree ID`, the progress lines of `dahost run`
da.now = core.now
function da.replaying() return false end
da.random = math.random

-- Settle a promise from a step: the first settlement stays; the state it is in now is returned.
da.resolve = core.resolve
function da.reject(id, code, message)
  if code ~= nil and type(code) ~= "string" then
    error("da.reject takes id, code, message; got " .. type(code) .. " for the code", 2)
  end
  return core.reject(id, core.error_new(code or "rejected", message or code or "rejected"))
end

da.schedule = core.schedule -- the file is loaded here too; what it declares counts where it is served

-- Starts a workflow as an execution of its own, once per id.
da.start = core.start

-- What is known of a promise: nil, or {id=, state=, value=}.
function da.get(id)
  local state, data = core.get(id)
  if not state then return nil end
  return { id = id, state = state, value = data ~= "" and core.decode(data) or nil }
end


-- Output goes line by line beside the execution's own; stdout holds the result alone.
function print(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
  core.output(table.concat(parts, "\t"))
end
io.output(io.stderr)

-- A step shares its process with every other one. These are the same in every attempt, so none is repeated.
local getinfo = debug.getinfo
local function refuse(what)
  local caller = getinfo(3, "Sl")
  if caller and caller.currentline > 0 then what = ("%s:%d: %s"):format(caller.short_src, caller.currentline, what) end
  error(core.error_new("error", what, { fatal = true }), 0)
end

for _, name in ipairs { "await", "pawait", "sleep", "sleep_until", "promise", "all", "any", "race", "outcomes", "map",
  "within", "shield", "saga", "again", "patched" } do
  da[name] = function() refuse(("da.%s is for workflows; a step is a leaf, it just does its work and returns"):format(name)) end
end

function da.publish()
  refuse("da.publish is for workflows: what it shows is the workflow's state; a step reports with da.progress(done, total, note)")
end

function os.exit()
  refuse("os.exit would end the host and all it runs; return from the step, or raise an error")
end

function os.setlocale(locale)
  if locale == nil or locale == "C" or locale == "POSIX" then return "C" end
  refuse("os.setlocale would change the locale of the whole process, which stays in 'C'; format such texts yourself")
end

da._VERSION = "da 0.1"
