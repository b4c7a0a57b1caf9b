-- wire_tape.lua - what went over a wire between a worker and a server: kept in a file, compared with what goes now.
--
-- Here:    read(path) and write(path, cases); encode(value) for JSON whose text depends on its content alone;
--          differences(recorded, came, bases) of two requests, one line each, with paths; shift(value, ms) of instants.
-- File:    JSON, an entry a line, cases one behind the other:
--            {"case": NAME, "began": INSTANT, ...}               what follows is of this case
--            {"ask": REQUEST, "answer": {"status", "data"}}      in the order in which the server took them
--            {"look": REQUEST, "answer": ...}                    one that is repeated for as long as its answer may change
--            {"message": MESSAGE}                                told on the event stream, when all before it was answered
--            {"outside": WORDS}                                  done by somebody else; for readers
--          Of a record that was there before in its case only the number is kept: {"same": N}.
--          A REQUEST is {kind, head, data} without what is new each time: correlation ids; the process id reads "<pid>".
-- Values:  base64 of JSON is compared decoded. Instants (by their names) are compared by how far they lie behind the
--          beginning of their case, to a minute, since machines are slow.
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local probe = require("da_probe")

local M = {}

M.PID = "<pid>"
M.CORR_ID = "<corr>" -- in an answer within an answer
M.TIME_MAX = (1 << 53) - 1
local NEAR_MS = 60000

---------------------------------------------------------------------------------------------------- JSON

local function is_array(value)
  local meta = getmetatable(value)
  return #value > 0 or meta and meta.__jsontype == "array"
end

local function sorted_keys(value)
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

-- Members in the order of their names; of an entry of a file what tells what it is comes first.
local FIRST = { case = 1, ask = 1, look = 1, message = 1, outside = 1, kind = 1 }

function M.encode(value)
  if value == json.null then return "null" end
  if type(value) ~= "table" then return json.encode(value) end
  local parts = {}
  if is_array(value) then
    for i, each in ipairs(value) do parts[i] = M.encode(each) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local keys = sorted_keys(value)
  table.sort(keys, function(a, b)
    if (FIRST[a] or 2) ~= (FIRST[b] or 2) then return (FIRST[a] or 2) < (FIRST[b] or 2) end
    return a < b
  end)
  for i, key in ipairs(keys) do parts[i] = json.encode(key) .. ":" .. M.encode(value[key]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

function M.decode(text)
  local value, _, fault = json.decode(text, 1, json.null)
  if fault then error(fault .. ": " .. text:sub(1, 200), 0) end
  return value
end

function M.copy(value)
  if type(value) ~= "table" or value == json.null then return value end
  local copy = {}
  for key, each in pairs(value) do copy[key] = M.copy(each) end
  return setmetatable(copy, getmetatable(value))
end

--- The text with `by` in every place of `words`.
---@param text string
---@param words string
---@param by string
function M.put(text, words, by)
  return (text:gsub(words:gsub("%p", "%%%0"), function() return by end))
end

---------------------------------------------------------------------------------------------------- instants

local INSTANTS = { createdAt = true, settledAt = true, timeoutAt = true, nextRunAt = true, lastRunAt = true }
local INSTANT_TEXTS = { ["resonate:delay"] = true, ["dahost:deadline"] = true }

-- The instant that a member holds, if it is one that is near to now.
local function instant_of(key, value)
  local number = INSTANTS[key] and value or INSTANT_TEXTS[key] and tonumber(value)
  if math.type(number) == "integer" and number < M.TIME_MAX // 2 and number > 1 << 40 then return number end
end

--- A copy whose instants lie `ms` later.
---@param value any
---@param ms integer
function M.shift(value, ms)
  if type(value) ~= "table" or value == json.null then return value end
  local copy = {}
  for key, each in pairs(value) do
    local instant = instant_of(key, each)
    if instant then
      copy[key] = INSTANT_TEXTS[key] and tostring(instant + ms) or instant + ms
    else
      copy[key] = M.shift(each, ms)
    end
  end
  return setmetatable(copy, getmetatable(value))
end

---------------------------------------------------------------------------------------------------- requests

--- What is kept of a request: nothing that is new each time. Raises what no client may leave out.
---@param envelope table
function M.request_of(envelope)
  local head = M.copy(envelope.head)
  assert(type(head.corrId) == "string" and #head.corrId > 0, "a request without a correlation id")
  assert(head.version == "2026-04-01", "a request of another version")
  head.corrId, head.version = nil, nil
  local data = M.copy(envelope.data)
  local actions = data.actions or { data.action }
  for _, action in ipairs(actions) do
    local inner = assert(action.head, "an action without a head, which some servers demand")
    inner.corrId, inner.version = nil, nil
    if not next(inner) then action.head = nil end
  end
  return { kind = envelope.kind, head = next(head) and head or nil, data = data }
end

-- The JSON that a value carries, as a table of its own; else as it is.
local function opened(key, value)
  if key ~= "data" or type(value) ~= "string" then return value end
  local text = value:find("^[%w+/]+=*$") and #value % 4 == 0 and probe.base64_read(value)
  if not text then return value end
  local decoded, behind = json.decode(text, 1, json.null)
  if decoded == nil or behind <= #text then return value end
  return { base64 = decoded }
end

local function shown(value)
  if value == nil then return "nothing" end
  return M.encode(value)
end

local function compare(out, path, key, recorded, came, bases)
  recorded, came = opened(key, recorded), opened(key, came)
  local one, other = instant_of(key, recorded), instant_of(key, came)
  if one and other then
    local apart = math.abs((one - bases.recorded) - (other - bases.came))
    if apart > NEAR_MS then out[#out + 1] = ("%s: %d ms apart"):format(path, apart) end
    return
  end
  local tables = type(recorded) == "table" and type(came) == "table" and recorded ~= json.null and came ~= json.null
  if not tables then
    if recorded ~= came then out[#out + 1] = ("%s: recorded %s, came %s"):format(path, shown(recorded), shown(came)) end
    return
  end
  local keys = {}
  for name in pairs(recorded) do keys[name] = true end
  for name in pairs(came) do keys[name] = true end
  local names = {}
  for name in pairs(keys) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    compare(out, path == "" and tostring(name) or path .. "." .. name, name, recorded[name], came[name], bases)
  end
end

--- How two requests differ: a list of lines, empty if they do not. bases: when either case began, {recorded, came}.
---@param recorded table
---@param came table
---@param bases table
function M.differences(recorded, came, bases)
  local out = {}
  compare(out, "", "", recorded, came, bases)
  return out
end

---------------------------------------------------------------------------------------------------- files

-- A record that was there before, word for word, is {"same": N}: the Nth one of its case.
local function is_record(value)
  return value.id ~= nil and value.state ~= nil and value.createdAt ~= nil
end

local function packed(value, seen)
  if type(value) ~= "table" or value == json.null then return value end
  local text = is_record(value) and M.encode(value)
  if text and seen[text] then return { same = seen[text] } end
  if text then
    seen.count = seen.count + 1
    seen[text] = seen.count
  end
  local copy = {}
  for _, key in ipairs(is_array(value) and {} or sorted_keys(value)) do copy[key] = packed(value[key], seen) end
  for i, each in ipairs(value) do copy[i] = packed(each, seen) end
  return setmetatable(copy, getmetatable(value))
end

local function unpacked(value, seen)
  if type(value) ~= "table" or value == json.null then return value end
  if value.same then return seen[value.same] end
  if is_record(value) then seen[#seen + 1] = value end
  for _, key in ipairs(is_array(value) and {} or sorted_keys(value)) do value[key] = unpacked(value[key], seen) end
  for i, each in ipairs(value) do value[i] = unpacked(each, seen) end
  return value
end

--- The cases of a file: {name =, began =, entries =, [members of the line]}, in order and by name.
---@param path string
function M.read(path)
  local cases, seen = {}, {}
  for line in io.lines(path) do
    local entry = M.decode(line)
    if entry.case then
      seen = {}
      entry.name, entry.entries = entry.case, {}
      cases[#cases + 1] = entry
      cases[entry.name] = entry
    else
      table.insert(cases[#cases].entries, unpacked(entry, seen))
    end
  end
  return cases
end

function M.write(path, cases)
  local file = assert(io.open(path, "wb"))
  for _, case in ipairs(cases) do
    local seen = { count = 0 }
    file:write(M.encode { case = case.name, began = case.began, func = case.func }, "\n")
    for _, entry in ipairs(case.entries) do file:write(M.encode(packed(entry, seen)), "\n") end
  end
  file:close()
end

return M
