-- guard.lua - what every answer and every message of the protocol must look like, whatever was asked.
--
--   guard.check(request, answer)     both decoded envelopes; raises a sentence with the path of what is wrong
--   guard.message(message)           one event of a stream, decoded
--
-- Here: the structure alone, from the Resonate protocol: each member that must be there, of its type, no null and no
--       member that the protocol does not know. Decode with dkjson, null as dkjson.null, so that {} and [] differ.
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")

local M = {}

local VERSION = "2026-04-01"

local function fail(path, words)
  error(("guard: %s %s"):format(path, words), 0)
end

local function shown(value)
  if value == nil then return "absent" end
  if value == json.null then return "null" end
  if type(value) == "table" then return json.encode(value) end
  return ("%s %q"):format(type(value), tostring(value))
end

---------------------------------------------------------------------------------------------------- types

-- Each: check(value, path). Made checks are functions too.

local function string_of(value, path)
  if type(value) ~= "string" then fail(path, "is no string: " .. shown(value)) end
end

local function integer(value, path)
  if math.type(value) ~= "integer" then fail(path, "is no integer: " .. shown(value)) end
end

local function count(value, path)
  integer(value, path)
  if value < 0 then fail(path, "is negative: " .. shown(value)) end
end

local function is_json_type(value, name)
  if type(value) ~= "table" or value == json.null then return false end
  local meta = getmetatable(value)
  local kind = meta and meta.__jsontype
  if kind then return kind == name end
  return next(value) == nil or (name == "array") == (value[1] ~= nil)
end

local function object(value, path)
  if not is_json_type(value, "object") then fail(path, "is no object: " .. shown(value)) end
end

local function one_of(...)
  local names = { ... }
  return function(value, path)
    for _, name in ipairs(names) do
      if value == name then return end
    end
    fail(path, "is none of its names: " .. shown(value))
  end
end

local function list(check)
  return function(value, path)
    if not is_json_type(value, "array") then fail(path, "is no array: " .. shown(value)) end
    for i, element in ipairs(value) do check(element, ("%s[%d]"):format(path, i)) end
  end
end

local function strings(value, path)
  object(value, path)
  for key, each in pairs(value) do
    string_of(key, path .. " key")
    string_of(each, path .. "." .. tostring(key))
  end
end

-- An object with exactly these members; "?" before a name: it may be absent.
local function shape(members)
  local known = {}
  for name, check in pairs(members) do known[name:gsub("^%?", "")] = { check = check, optional = name:sub(1, 1) == "?" } end
  return function(value, path)
    object(value, path)
    for name, member in pairs(known) do
      if value[name] ~= nil then
        member.check(value[name], path .. "." .. name)
      elseif not member.optional then
        fail(path .. "." .. name, "is absent")
      end
    end
    for name in pairs(value) do
      if not known[name] then fail(path .. "." .. tostring(name), "is not known to the protocol") end
    end
  end
end

---------------------------------------------------------------------------------------------------- records

local value_shape = shape { ["?headers"] = strings, ["?data"] = string_of }

local promise_shape = shape {
  id = string_of,
  state = one_of("pending", "resolved", "rejected", "rejected_canceled", "rejected_timedout"),
  param = value_shape,
  value = value_shape,
  tags = strings,
  timeoutAt = count,
  createdAt = count,
  ["?settledAt"] = count,
}

function M.promise(record, path)
  path = path or "promise"
  promise_shape(record, path)
  if (record.settledAt == nil) ~= (record.state == "pending") then
    fail(path .. ".settledAt", ("is %s while the state is %s"):format(shown(record.settledAt), record.state))
  end
end

local task_shape = shape {
  id = string_of,
  state = one_of("pending", "acquired", "suspended", "halted", "fulfilled"),
  version = count,
  resumes = count,
  ["?ttl"] = count,
  ["?pid"] = string_of,
}

function M.task(record, path)
  path = path or "task"
  task_shape(record, path)
  for _, name in ipairs { "ttl", "pid" } do
    if (record[name] ~= nil) ~= (record.state == "acquired") then
      fail(path .. "." .. name, ("is %s while the state is %s"):format(shown(record[name]), record.state))
    end
  end
end

M.schedule = shape {
  id = string_of,
  cron = string_of,
  promiseId = string_of,
  promiseTimeout = count,
  promiseParam = value_shape,
  promiseTags = strings,
  createdAt = count,
  nextRunAt = count,
  ["?lastRunAt"] = count,
}

---------------------------------------------------------------------------------------------------- answers

local with_promise = shape { promise = M.promise }
local with_lease = shape { promise = M.promise, task = M.task, preload = list(M.promise) }
local with_schedule = shape { schedule = M.schedule }
local nothing = shape {}

-- The head and the data of an answer; debug mode may add the instant that was used, and who asks for a whole preload is
-- told so.
local head_shape = shape { corrId = string_of, status = integer, version = string_of, ["?resonate:debug_time"] = integer,
  ["?dahost:preload"] = one_of("whole") }

local function envelope(answer, path, kinds)
  object(answer, path)
  shape { kind = string_of, head = head_shape, data = function() end } (answer, path)
  if answer.head.version ~= VERSION then fail(path .. ".head.version", "is " .. shown(answer.head.version)) end
  local status = answer.head.status
  if status ~= 200 and status ~= 300 then return string_of(answer.data, path .. ".data") end
  local check = kinds[answer.kind]
  if not check then fail(path .. ".kind", "has no answer with success: " .. shown(answer.kind)) end
  check(answer.data, path .. ".data", status)
end

local fenced = { ["promise.create"] = with_promise, ["promise.settle"] = with_promise }

local fence_shape = shape {
  action = function(action, path) envelope(action, path, fenced) end,
  preload = list(M.promise),
}

local function suspended(data, path, status)
  if status == 300 then
    shape { preload = list(M.promise) } (data, path)
  else
    nothing(data, path)
  end
end

local function search(member, check)
  return shape { [member] = list(check), ["?cursor"] = string_of }
end

local snapshot = shape {
  promises = list(M.promise),
  promiseTimeouts = list(shape { id = string_of, timeout = count }),
  callbacks = list(shape { awaiter = string_of, awaited = string_of }),
  listeners = list(shape { id = string_of, address = string_of }),
  tasks = list(M.task),
  taskTimeouts = list(shape { id = string_of, type = one_of(0, 1), timeout = count }),
  messages = list(shape { address = string_of, message = function(message, path) M.message(message, path) end }),
  ["?schedules"] = list(M.schedule),
}

local ANSWERS = {
  ["promise.get"] = with_promise,
  ["promise.create"] = with_promise,
  ["promise.settle"] = with_promise,
  ["promise.register_callback"] = with_promise,
  ["promise.register_listener"] = with_promise,
  ["promise.search"] = search("promises", M.promise),
  ["task.get"] = shape { task = M.task },
  ["task.create"] = with_lease,
  ["task.acquire"] = with_lease,
  ["task.release"] = nothing,
  ["task.fulfill"] = with_promise,
  ["task.suspend"] = suspended,
  ["task.fence"] = fence_shape,
  ["task.heartbeat"] = nothing,
  ["task.halt"] = nothing,
  ["task.continue"] = nothing,
  ["task.search"] = search("tasks", M.task),
  ["schedule.get"] = with_schedule,
  ["schedule.create"] = with_schedule,
  ["schedule.delete"] = nothing,
  ["schedule.search"] = search("schedules", M.schedule),
  ["debug.start"] = nothing,
  ["debug.stop"] = nothing,
  ["debug.reset"] = nothing,
  ["debug.tick"] = list(object),
  ["debug.snap"] = snapshot,
}

--- Raises what is wrong with the answer to the request.
function M.check(request, answer)
  envelope(answer, "answer", ANSWERS)
  local status = answer.head.status
  if status == 300 and answer.kind ~= "task.suspend" then fail("answer.head.status", "is 300") end
  if type(request) ~= "table" or type(request.head) ~= "table" then return end
  if answer.head["dahost:preload"] and request.head["dahost:preload"] ~= "whole" then
    fail("answer.head.dahost:preload", "was not asked for")
  end
  if type(request.kind) == "string" and answer.kind ~= request.kind then
    fail("answer.kind", ("is %s, not %s"):format(shown(answer.kind), shown(request.kind)))
  end
  if type(request.head.corrId) == "string" and answer.head.corrId ~= request.head.corrId then
    fail("answer.head.corrId", ("is %s, not %s"):format(shown(answer.head.corrId), shown(request.head.corrId)))
  end
end

---------------------------------------------------------------------------------------------------- messages

local EXECUTE = shape {
  kind = one_of("execute"),
  head = shape { ["?serverUrl"] = string_of },
  data = shape { task = shape { id = string_of, version = count } },
}

local UNBLOCK = shape { kind = one_of("unblock"), head = nothing, data = with_promise }

--- Raises what is wrong with a message to a worker or a client.
function M.message(message, path)
  path = path or "message"
  object(message, path)
  local check = message.kind == "unblock" and UNBLOCK or EXECUTE
  check(message, path)
  if check == UNBLOCK and message.data.promise.state == "pending" then fail(path, "tells of a pending promise") end
end

return M
