-- execution.lua - how a workflow, a branch and an inline step begin and end inside an isolate.
--
-- Lifetimes are structured: a scope (the workflow, or a branch) ends when its steps, workflows and branches have ended. If its
-- function fails, what still runs of it is cancelled first; a child that failed and that nobody awaited fails its scope.
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...

local pack, unpack, xpcall, select = table.pack, table.unpack, xpcall, select

-- A scope ends with one failure. Those beside it, which nobody awaited either, are told, so that none is lost.
local function tell_failures()
  for promise, err in core.failure do
    core.output(("warning: %s failed, and nobody awaited it: %s"):format(tostring(promise), tostring(err)))
  end
end

-- Ends a scope: ... is what xpcall of its function returned.
local function conclude(ok, ...)
  if not ok then
    core.abandon()
    core.join()
    tell_failures()
    return ok, ...
  end
  if select("#", ...) == 1 and core.is_promise((...)) then return conclude(core.pawait((...))) end
  local canceled = core.join(...)
  if canceled then
    tell_failures()
    return false, canceled
  end
  local failed = core.failure()
  if failed then
    tell_failures()
    return core.pawait(failed)
  end
  return ok, ...
end

-- The function's name, its version and its arguments, from the parameters of the record; those of strangers may hold anything.
local function arguments(param)
  local call = param ~= "" and core.decode(param) or {}
  local args = type(call) == "table" and call.args or {}
  if type(args) ~= "table" then args = { args } end
  local n = #args
  for i = 1, n do
    if args[i] == da.null then args[i] = nil end
  end
  if type(call) ~= "table" then call = {} end
  return call.func or "", args, n, call.version
end

-- The workflow: called with its function's name ("" when the record does not tell) and the record's parameters.
function core.main(name, param)
  local ok, recorded, args, n, version = xpcall(arguments, core.trace, param)
  if not ok then return core.finish(false, recorded) end
  if name == "" then name = tostring(recorded) end
  local fn, lack = core.body(true, name, version)
  if not fn then return core.finish(false, core.error_new("unknown_function", lack)) end
  core.finish(conclude(core.close_sagas(xpcall(fn, core.trace, unpack(args, 1, n)))))
end

function core.branch_main(_, fn)
  core.branch_done(conclude(core.close_sagas(xpcall(fn, core.trace))))
end

function core.start_branch(label, options, fn)
  return core.branch(label, options, core.branch_main, fn)
end

local function end_fiber(promise, members, ok, ...)
  if not ok and members and core.canceled_here() then
    for i = 1, #members do
      core.cancel(members[i], "what it is part of was cancelled")
    end
  end
  core.fiber_done(promise, ok, ...)
end

-- A fiber without a record: the combinators run on it. members: promises that are cancelled if it is.
local function fiber_main(promise, members, fn)
  end_fiber(promise, members, core.close_sagas(xpcall(fn, core.trace)))
end

-- what: its name, for messages.
function core.go(what, joined, members, fn)
  return core.fiber(what, joined, fiber_main, members, fn)
end

function core.inline_main(fn)
  return core.outcome(xpcall(fn, core.trace))
end

core.pack = pack
