-- saga.lua - da.saga(): a scope that undoes what was done in it when an error leaves it.
--
-- local s <close> = da.saga(); s:on_fail(f, ...). Undo calls run newest first, one after the other, shielded. Nothing of
-- a saga is recorded: a replay registers the same calls and meets the records of those that ran. An execution that is
-- evicted or parked closes nothing, so it undoes nothing.
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...

local pawait, xpcall, error, pack, unpack, remove = core.pawait, xpcall, error, table.pack, table.unpack, table.remove
local setmetatable, rawget, type, select = setmetatable, rawget, type, select

local STATE = {} -- the key under which a saga keeps its own
local saga = {} -- its metatable

-- Sagas that have not ended, oldest first.
local open = {}

local function forget(state)
  for i = #open, 1, -1 do
    if open[i] == state then return remove(open, i) end
  end
end

local function call_durable(entry)
  return pawait(entry.f(core.decode_array(entry.args)))
end

local function call_plain(entry)
  local result = entry.f(unpack(entry.args, 1, entry.args.n))
  if core.is_promise(result) then return pawait(result) end
  return true
end

-- Returns the error of an undo call that failed.
local function undo_one(entry)
  local ok, done, err = xpcall(entry.durable and call_durable or call_plain, core.trace, entry)
  if not ok then return done end
  if not done then return core.error_of(err) end
end

-- Runs what is registered. Returns the errors, or nil. leaving: the scope is left, so what still runs of it ends first.
local function undo(state, leaving)
  local errors
  local before = core.shield(true)
  if leaving and state.n > 0 then core.end_since(state.since, "what it belongs to is undone", before) end
  state.phase = "undoing"
  while state.n > 0 do
    local err = undo_one(state[state.n])
    if err then
      errors = errors or da.array { n = 0 }
      errors.n = errors.n + 1
      errors[errors.n] = err
    end
    state[state.n] = nil
    state.n = state.n - 1
  end
  state.phase = "open"
  core.shield(before)
  return errors
end

-- The error with what failed while it was undone. An inner saga may have added its own.
local function with_undo_errors(err, errors)
  err = core.error_of(err)
  local list = rawget(err, "undo_errors")
  if type(list) ~= "table" then
    err.undo_errors = errors
    return err
  end
  for i = 1, errors.n do list[#list + 1] = errors[i] end
  list.n = #list
  return err
end

local function close(state, err)
  if state.phase == "ended" then return end
  local errors = err ~= nil and undo(state, true)
  state.phase = "ended"
  forget(state)
  if errors then error(with_undo_errors(err, errors), 0) end
end

local function check(s, method)
  local state = type(s) == "table" and rawget(s, STATE)
  if not state then
    core.raise(("write s:%s(...), with a colon, on what da.saga() returned; got %s"):format(method, core.what(s)))
  end
  core.in_execution("a saga")
  if state.phase == "ended" then
    core.raise(("s:%s: the saga made at %s has ended, with the scope of its variable"):format(method, state.place))
  elseif state.phase == "undoing" then
    core.raise(("s:%s: the saga made at %s is undoing its calls"):format(method, state.place))
  end
  return state
end

local methods = {}

-- Registers an undo call: a durable function, whose arguments are copied now, or a plain function, which may await.
function methods.on_fail(s, f, ...)
  local state = check(s, "on_fail")
  local durable = core.is_function(f)
  if not durable and type(f) ~= "function" then
    core.raise(("s:on_fail needs a function and its arguments, got %s%s"):format(core.what(f),
      core.is_promise(f) and "; write s:on_fail(f, ...) in place of s:on_fail(f(...))" or ""))
  end
  local args
  if durable then args = core.copied_args(f, ...) else args = pack(...) end
  state.n = state.n + 1
  state[state.n] = { f = f, durable = durable, args = args, place = core.place() }
end

-- Undoes what is registered, now. The saga goes on, empty.
function methods.rollback(s)
  local errors = undo(check(s, "rollback"))
  if errors then
    local words = ("%d undo call%s failed, the first with: %s"):format(errors.n, errors.n > 1 and "s" or "", tostring(errors[1]))
    error(core.error_new("undo_failed", words, { undo_errors = errors }), 0)
  end
end

function saga.__index(_, name)
  if methods[name] then return methods[name] end
  local text = tostring(name)
  core.raise(("a saga has no '%s'%s; it has on_fail and rollback"):format(text, core.nearest(text, methods)))
end
function saga.__newindex() core.raise("a saga holds no fields of the script; keep them in a local") end
function saga.__tostring(s) return ("saga (made at %s)"):format(rawget(s, STATE).place) end
function saga.__pairs() core.raise("a saga cannot be traversed") end
function saga.__close(s, err) close(rawget(s, STATE), err) end
saga.__metatable = "saga"

-- local s <close> = da.saga()
function da.saga(...)
  core.in_execution("da.saga")
  if select("#", ...) > 0 then core.raise("da.saga takes no arguments: s:on_fail(f, ...) registers what undoes") end
  local state = { n = 0, phase = "open", place = core.place(), fiber = core.fiber_key(),
    since = core.children_made() }
  open[#open + 1] = state
  return setmetatable({ [STATE] = state }, saga)
end

local function close_left(state, err)
  if state.n > 0 then
    core.output(("warning: the saga made at %s ends with its function, since its variable is not closed; write " ..
      "local s <close> = da.saga()"):format(state.place))
  end
  close(state, err)
end

-- A saga that the running fiber made and that has not ended, the newest.
local function left_open()
  local fiber = #open > 0 and core.fiber_key()
  for i = #open, 1, -1 do
    if open[i].fiber == fiber then return open[i] end
  end
end

-- A fiber's function has ended: ... is what xpcall of it returned. Its sagas without <close> end here.
function core.close_sagas(ok, ...)
  local state = left_open()
  if not state then return ok, ... end
  local closed, err = xpcall(close_left, core.trace, state, not ok and (...) or nil)
  if not closed then return core.close_sagas(false, err) end
  return core.close_sagas(ok, ...)
end

-- What would be undone, newest first, as JSON: a list of {"args", "at", "function"}; args is null of a plain function. A
-- call that is being undone is in it until it has ended.
function core.open_undos()
  local list = {}
  for i = #open, 1, -1 do
    for k = open[i].n, 1, -1 do
      local entry = open[i][k]
      list[#list + 1] = { ["function"] = entry.durable and tostring(entry.f) or "function", at = entry.place,
        args = entry.durable and entry.args or "null" }
    end
  end
  return core.undos_json(list)
end
