-- wire_meaning.lua - what a request of the protocol means: the table that the probe's envelope() makes of its JSON.
--
--   meaning.of(request)      the data of a request with kind and data, well formed
--   meaning.value(value)     a value of a promise
--   meaning.plain(value)     a decoded value without the marks of a JSON library
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local oracle = require("spec.support.oracle")
local probe = require("da_probe")

local M = {}

-- { json or data, headers }: data that is the base64 of JSON on one line is decoded.
function M.value(value)
  local meant = {}
  if value and value.headers ~= oracle.null then meant.headers = value.headers end
  local data = value and value.data
  if data == nil or data == oracle.null then return meant end
  local text = probe.base64_read(data)
  if text and (text == "" or not text:find("[\r\n]") and json.decode(text, 1, json.null) ~= nil) then
    meant.json = text
  else
    meant.data = data
  end
  return meant
end

local function inner(data, kind)
  if kind == "promise.create" then
    return { id = data.id, timeoutAt = data.timeoutAt, param = M.value(data.param), tags = data.tags or {} }
  end
  return { id = data.id, state = data.state, value = M.value(data.value) }
end

local ACTIONS = { ["task.create"] = "promise.create", ["task.fulfill"] = "promise.settle" }

function M.of(request)
  local kind, data = request.kind, request.data
  if kind == "promise.create" or kind == "promise.settle" then return inner(data, kind) end
  local want = {}
  for name, each in pairs(data) do
    if each ~= oracle.null then want[name] = each end
  end
  if kind:find("search$") then
    want.cursor, want.look = want.cursor or "", nil -- how many rows a turn looks at is not on the wire
    if kind == "promise.search" then want.tags = want.tags or {} end
  end
  if data.action then want.action = { data = inner(data.action.data, ACTIONS[kind] or data.action.kind) } end
  if data.actions then
    want.actions = {}
    for i, action in ipairs(data.actions) do want.actions[i] = { data = action.data } end
  end
  return want
end

-- As the oracle writes it: no marks of a JSON library.
function M.plain(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for name, each in pairs(value) do copy[name] = M.plain(each) end
  return copy
end

return M
