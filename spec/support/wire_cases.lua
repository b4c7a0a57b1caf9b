-- wire_cases.lua - the executions of net/wire/programs.lua: how each is called, what others do meanwhile, what it comes to.
--
-- Here:    list(profile): cases, in order and by name: {name, func, id, args, before, acts, state, value}. Asked for by a
--          client: start(ask, case), act(ask, case) until it returns true, result(ask, case).
-- Acts:    each is {kind, data} of a request, done once what it needs is there; `awaits` an id that must be pending first.
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local probe = require("da_probe")
local tape = require("spec.support.wire_tape")
local uv = require("luv")

local M = {}

local EMPTY = setmetatable({}, { __jsontype = "object" })
local HOUR_MS = 3600000

local function now_ms()
  local seconds, us = uv.gettimeofday()
  return seconds * 1000 + us // 1000
end

local function value_of(data)
  return { headers = EMPTY, data = probe.base64(tape.encode(data)) }
end

local function array(...)
  return setmetatable({ ... }, { __jsontype = "array" })
end

---------------------------------------------------------------------------------------------------- the cases

local function settle(id, state, data)
  return { kind = "promise.settle", awaits = id, data = { id = id, state = state, value = value_of(data) } }
end

local function outside_promise(id)
  return { kind = "promise.create", data = { id = id, timeoutAt = now_ms() + HOUR_MS, param = EMPTY,
    tags = { ["resonate:origin"] = id, ["resonate:branch"] = id, ["resonate:parent"] = id, ["resonate:scope"] = "global" } } }
end

-- As `dahost cancel` asks for an end: a promise that the execution is made to wait for, and its settlement.
local function cancel(id, separator, awaits)
  local mark = id .. separator .. "~cancel"
  local create = outside_promise(mark)
  create.data.tags["resonate:origin"], create.data.tags["resonate:branch"] = id, id
  create.data.tags["resonate:parent"], create.awaits = id, awaits
  return create, { kind = "promise.register_callback", data = { awaited = mark, awaiter = id } },
    settle(mark, "resolved", "changed my mind")
end

--- What a worker of that profile's server runs, in the ids of its dialect.
---@param profile table
function M.list(profile)
  local separator = profile.ids == "dot" and "." or ":"
  local root = profile.ids == "dot" and "wire:" or "wire." -- the other dialect's separator may be part of a root
  local function below(name, rest) return root .. name .. separator .. rest end
  local abroad = root .. "abroad"
  local list = {
    { name = "steps", args = { 3 }, state = "resolved",
      value = { total = 6, word = "SEA", attempts = 3, bytes = 3, big = { __da = "i64", v = "1152921504606846976" }, keyed = 9 } },
    { name = "children", args = { 1 }, state = "resolved",
      value = { first = 20, second = 210, id = "child.1" } },
    { name = "fan_out", args = { 12 }, state = "resolved",
      value = { sum = 24, results = { 20, 30, 40 }, branch = 60 } },
    { name = "sleeps", args = { "700ms" }, state = "resolved", value = 2 },
    { name = "asks", args = {}, state = "resolved",
      value = { yes = { sure = true }, ok = false, code = "refused_there", message = "not now" },
      acts = { settle(below("asks", "yes.1"), "resolved", { sure = true }),
        settle(below("asks", "no.1"), "rejected", { __type = "error", name = "refused_there", code = "refused_there",
          message = "not now" }) } },
    { name = "rejects", args = {}, state = "rejected", code = "given_up", message = "false first false refused_here" },
    { name = "times_out", args = {}, state = "resolved",
      value = { ok = false, code = "timedout", within = false, why = "timedout" } },
    { name = "is_canceled", args = {}, state = "rejected_canceled", code = "canceled", message = "changed my mind",
      acts = { cancel(root .. "is_canceled", separator, below("is_canceled", "waits.1.never.1")) } },
    { name = "again", args = { 1 }, state = "resolved", value = { total = 6, generation = 3 } },
    { name = "looks_abroad", args = { abroad }, state = "resolved", value = { found = "far", ok = false, code = "not_found" },
      before = { outside_promise(abroad) }, acts = { settle(abroad, "resolved", "far") } },
    { name = "detaches", args = { 2 }, state = "resolved", value = { result = 30, below = true } },
  }
  for _, case in ipairs(list) do
    case.func, case.id = case.name, root .. case.name
    case.acts = case.acts or {}
    list[case.name] = case
  end
  return list
end

---------------------------------------------------------------------------------------------------- what others do

local function demand(ask, request)
  local status, data = ask(request.kind, request.data)
  assert(status == 200, ("%s: %s %s"):format(tape.encode(request.data), status, tape.encode(data)))
  return data
end

--- Calls it, as a client does. ask(kind, data) -> status, data.
---@param ask function
---@param case table
function M.start(ask, case)
  for _, request in ipairs(case.before or {}) do demand(ask, request) end
  local call = { func = case.func, args = array(table.unpack(case.args)), version = 1 }
  demand(ask, { kind = "promise.create", data = { id = case.id, timeoutAt = now_ms() + HOUR_MS, param = value_of(call),
    tags = { ["resonate:origin"] = case.id, ["resonate:branch"] = case.id, ["resonate:parent"] = case.id,
      ["resonate:scope"] = "global", ["resonate:target"] = "poll://any@default" } } })
  case.done = 0
end

--- Does what is to be done next, if its time has come; true if nothing is left. done(request) is told of each.
---@param ask function
---@param case table
---@param done? function
function M.act(ask, case, done)
  local act = case.acts[case.done + 1]
  if not act then return true end
  if act.awaits and ask("promise.get", { id = act.awaits }) ~= 200 then return false end
  demand(ask, act)
  case.done = case.done + 1
  if done then done(act) end
  return case.done == #case.acts
end

--- The promise of the execution once it is settled, else nil.
---@param ask function
---@param case table
function M.result(ask, case)
  local promise = demand(ask, { kind = "promise.get", data = { id = case.id } }).promise
  return promise.state ~= "pending" and promise or nil
end

--- What an outcome is to be, and what it is: two texts.
---@param case table
---@param promise table
function M.outcome(case, promise)
  local text = promise.value.data and probe.base64_read(promise.value.data) or ""
  local value = text ~= "" and json.decode(text, 1, json.null)
  if case.state == "resolved" then
    return case.state .. " " .. tape.encode(case.value), promise.state .. " " .. tape.encode(value)
  end
  value = type(value) == "table" and value or {}
  return ("%s %s: %s"):format(case.state, case.code, case.message),
    ("%s %s: %s"):format(promise.state, value.code or value.name, value.message)
end

return M
