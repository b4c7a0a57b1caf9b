-- execution.lua - how a workflow, a branch and an inline step begin and end inside an isolate.
--
-- Lifetimes are structured: a scope (the workflow, or a branch) ends when its steps, workflows and branches have ended. If its
-- function fails, what still runs of it is cancelled first; a child that failed and that nobody awaited fails its scope.
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...

local pack, unpack, xpcall, select = table.pack, table.unpack, xpcall, select

-- Ends a scope: ... is what xpcall of its function returned.
local function conclude(ok, ...)
  if not ok then
    core.abandon()
    core.join()
    return ok, ...
  end
  if select("#", ...) == 1 and core.is_promise((...)) then return conclude(core.pawait((...))) end
  core.join()
  local failed = core.failure()
  if failed then return core.pawait(failed) end
  return ok, ...
end

local function arguments(param)
  local call = core.decode(param)
  local args = call.args
  local n = #args
  for i = 1, n do
    if args[i] == da.null then args[i] = nil end
  end
  return call.func, args, n
end

-- The workflow: called with its function's name ("" when the record does not tell) and the record's parameters.
function core.main(name, param)
  local recorded, args, n = arguments(param)
  if name == "" then name = recorded end
  local fn = core.functions[name]
  if not fn then return core.finish(false, core.error_new("unknown_function", "async." .. name .. " is not defined in this bundle")) end
  core.finish(conclude(xpcall(fn, core.trace, unpack(args, 1, n))))
end

function core.branch_main(_, fn)
  core.branch_done(conclude(xpcall(fn, core.trace)))
end

function core.start_branch(label, options, fn)
  return core.branch(label, options, core.branch_main, fn)
end

-- A fiber without a record: the combinators run on it.
local function fiber_main(promise, fn, ...)
  core.fiber_done(promise, xpcall(fn, core.trace, ...))
end

function core.go(joined, fn, ...)
  return core.fiber(joined, fiber_main, fn, ...)
end

function core.inline_main(fn)
  return core.outcome(xpcall(fn, core.trace))
end

core.pack = pack
