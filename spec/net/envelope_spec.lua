-- envelope_spec.lua - JSON to requests: the order of faults, each kind's data, valid and invalid rows.
--
-- A row of VALID is what is sent as data and what is read; nil says that all of it is read as it is. A row of INVALID is
-- what is sent and what is answered. Faults that every member can have are made from MEMBERS for each kind.
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local probe = require("da_probe")

local HEAD = '{"corrId":"c","version":"2026-04-01"}'

local function envelope(kind, data, head)
  return ('{"kind":%s,"head":%s,"data":%s}'):format(json.encode(kind), head or HEAD, data)
end

local function read(kind, data)
  return probe.envelope(envelope(kind, data))
end

local function refused(text, message, kind, corr_id)
  local got = probe.envelope(text)
  assert.equal(message, got.message)
  assert.equal(400, got.status)
  assert.equal(kind, got.kind)
  assert.equal(corr_id, got.corrId)
end

---------------------------------------------------------------------------------------------------- the envelope

describe("an envelope", function()
  local rows = {
    -- text, what is wrong, the kind and the corrId that could be saved
    { "", "not JSON: no value at byte 1", "unknown", "0" },
    { "  ", "not JSON: no value at byte 3", "unknown", "0" },
    { "{", "not JSON: no member name at byte 2", "unknown", "0" },
    { '{"kind":"promise.get","head":' .. HEAD .. ',"data":{}} x', "not JSON: more text behind the value at byte 79",
      "unknown", "0" },
    { '{"kind":"promise.get","head":' .. HEAD .. ',"data":{"id":01}}', "not JSON: a number with a leading zero at byte 83",
      "unknown", "0" },
    { '{"kind":"\xff"}', "not JSON: bytes that are not UTF-8 at byte 10", "unknown", "0" },
    { '{"kind":"\\ud800"}', "not JSON: half a surrogate pair at byte 16", "unknown", "0" },
    { '"x"', 'invalid type: string "x", expected an object', "unknown", "0" },
    { "[]", "invalid type: array, expected an object", "unknown", "0" },
    { "null", "invalid type: null, expected an object", "unknown", "0" },
    { "7", "invalid type: integer `7`, expected an object", "unknown", "0" },
    { "7.5", "invalid type: floating point `7.5`, expected an object", "unknown", "0" },
    { "true", "invalid type: boolean `true`, expected an object", "unknown", "0" },
    { "{}", "missing field `kind`", "unknown", "0" },
    { '{"kind":"promise.get"}', "missing field `head`", "promise.get", "0" },
    { '{"kind":"promise.get","head":' .. HEAD .. "}", "missing field `data`", "promise.get", "c" },
    { '{"head":' .. HEAD .. ',"data":{}}', "missing field `kind`", "unknown", "c" },
    { '{"kind":"k","head":{},"data":{}}', "missing field `corrId`", "k", "0" },
    { '{"kind":"k","head":{"corrId":"c"},"data":{}}', "missing field `version`", "k", "c" },
    { '{"kind":"k","head":{"version":"2026-04-01"},"data":{}}', "missing field `corrId`", "k", "0" },
    { '{"kind":"k","head":[],"data":{}}', "invalid type: array, expected an object at `head`", "k", "0" },
    { '{"kind":"k","head":null,"data":{}}', "invalid type: null, expected an object at `head`", "k", "0" },
    { '{"kind":null,"head":' .. HEAD .. ',"data":{}}', "invalid type: null, expected a string at `kind`", "unknown", "c" },
    { '{"kind":5,"head":' .. HEAD .. ',"data":{}}', "invalid type: integer `5`, expected a string at `kind`", "unknown",
      "c" },
    { '{"kind":"k","head":{"corrId":5,"version":"2026-04-01"},"data":{}}',
      "invalid type: integer `5`, expected a string at `corrId`", "k", "0" },
    { '{"kind":"k","head":{"corrId":null,"version":"2026-04-01"},"data":{}}',
      "invalid type: null, expected a string at `corrId`", "k", "0" },
    { '{"kind":"k","head":{"corrId":"c","version":null},"data":{}}',
      "invalid type: null, expected a string at `version`", "k", "c" },
    { '{"kind":"k","head":{"corrId":"c","version":"2026-04-01","auth":5},"data":{}}',
      "invalid type: integer `5`, expected a string at `auth`", "k", "c" },
    { '{"kind":"k","head":{"corrId":"c","version":"2026-04-01","resonate:debug_time":"5"},"data":{}}',
      'invalid type: string "5", expected i64 at `resonate:debug_time`', "k", "c" },
    { '{"kind":"k","head":{"corrId":"c","version":"2026-04-01","resonate:debug_time":1.0},"data":{}}',
      "invalid type: floating point `1.0`, expected i64 at `resonate:debug_time`", "k", "c" },
    { '{"kind":"k","kind":"k","head":' .. HEAD .. ',"data":{}}', "duplicate field `kind`", "k", "c" },
    { '{"kind":"k","head":' .. HEAD .. ',"head":' .. HEAD .. ',"data":{}}', "duplicate field `head`", "k", "c" },
    { '{"kind":"k","head":' .. HEAD .. ',"data":{},"data":{}}', "duplicate field `data`", "k", "c" },
    { '{"kind":"k","head":{"corrId":"c","corrId":"d","version":"2026-04-01"},"data":{}}', "duplicate field `corrId`",
      "k", "c" },
  }
  for _, row in ipairs(rows) do
    it(("is refused: %s: %s"):format(row[2], row[1]:sub(1, 40)), function()
      refused(row[1], "Invalid request envelope: " .. row[2], row[3], row[4])
    end)
  end

  it("is refused when it is nested too deep, whoever may have sent it", function()
    local deep = ("["):rep(201) .. ("]"):rep(201)
    refused(envelope("promise.get", deep), "Invalid request envelope: not JSON: nested too deep at byte 274", "unknown", "0")
    assert.is_nil(read("promise.get", '{"id":"a","x":' .. ("["):rep(198) .. ("]"):rep(198) .. "}").status)
  end)

  it("tells an empty kind, data that is no object and a foreign version, in this order", function()
    local kind = "Missing or invalid 'kind' field \u{2014} must be a non-empty string"
    local data = "Invalid 'data' field \u{2014} must be an object"
    local old = '{"corrId":"c","version":"2025-01-01"}'
    refused(envelope("", "[]", old), kind, "", "c")
    refused(envelope("", "{}"), kind, "", "c")
    for _, other in ipairs { "[]", "null", '"x"', "1", "true" } do
      refused(envelope("promise.get", other, old), data, "promise.get", "c")
      refused(envelope("promise.get", other), data, "promise.get", "c")
    end
    refused(envelope("nothing", "{}", old),
      "Unsupported protocol version '2025-01-01', supported versions: [\"2026-04-01\"]", "nothing", "c")
    refused(envelope("nothing", "{}", '{"corrId":"","version":""}'),
      "Unsupported protocol version '', supported versions: [\"2026-04-01\"]", "nothing", "")
  end)

  it("may hold anything beside what is known", function()
    local got = probe.envelope('{"x":1,"x":2,"head":{"corrId":"","version":"2026-04-01","resonate:origin":7,"y":null},\n' ..
      ' "data" : { "z" : [ { } ] , "id" : "a" , "w": "\\u0000" } , "kind":"promise.get" }\r\n')
    assert.is_nil(got.status)
    assert.same({ id = "a" }, got.data)
    assert.equal("", got.corrId)
    assert.is_nil(got.auth)
  end)

  it("takes names and texts with escapes for what they spell", function()
    local got = probe.envelope('{"\\u006bind":"promise.\\u0067et","head":{"corrId":"\\"\\\\\\/\\b\\f\\n\\r\\t",' ..
      '"version":"2026-04-01","auth":"\\u00e9\\ud83d\\ude00\\u0000"},"data":{"id":"\u{e9}\\u0000b"}}')
    assert.equal("promise.get", got.kind)
    assert.equal('"\\/\b\f\n\r\t', got.corrId)
    assert.equal("\u{e9}\u{1f600}\0", got.auth)
    assert.equal("\u{e9}\0b", got.data.id)
  end)

  it("has a token and an instant only where there are some", function()
    local head = '{"corrId":"c","version":"2026-04-01","auth":%s,"resonate:debug_time":%s}'
    local got = probe.envelope(envelope("promise.get", '{"id":"a"}', head:format("null", "null")))
    assert.is_nil(got.auth)
    assert.is_nil(got.debugTime)
    got = probe.envelope(envelope("promise.get", '{"id":"a"}', head:format('""', "-9223372036854775808")))
    assert.equal("", got.auth)
    assert.equal(math.mininteger, got.debugTime)
  end)

  it("of an unknown kind is told so, those of this process to itself among them", function()
    for _, kind in ipairs { "promise", "promise.delete", "PROMISE.GET", "promise.get ", "task.step", "task.spawn",
      "task.again", "queue.wait", "queue.put", "queue.back", "sweep", "recover", "claim", "schedule.declare",
      "debug.other", "ui.list", "\u{e9}" } do
      refused(envelope(kind, "{}"), "Unknown operation: " .. kind, kind, "c")
    end
  end)
end)

---------------------------------------------------------------------------------------------------- data

-- Of each kind: data that is right, with every member there may be; the members, with their types. An upper case type is
-- required; `?` may be null. A path leads into nested objects.
local KINDS = {
  ["promise.get"] = { '{"id":"a"}', { id = "STRING" } },
  ["promise.create"] = { '{"id":"a","timeoutAt":5,"param":{},"tags":{}}',
    { id = "STRING", timeoutAt = "INT", param = "value", tags = "map" } },
  ["promise.settle"] = { '{"id":"a","state":"resolved","value":{}}', { id = "STRING", state = "STATE", value = "value" } },
  ["promise.register_callback"] = { '{"awaited":"a","awaiter":"b"}', { awaited = "STRING", awaiter = "STRING" } },
  ["promise.register_listener"] = { '{"awaited":"a","address":"b"}', { awaited = "STRING", address = "STRING" } },
  ["promise.search"] = { '{"state":"pending","tags":{},"limit":5,"cursor":"c"}',
    { state = "?promise_state", tags = "?map", limit = "?int", cursor = "?string" } },
  ["task.search"] = { '{"state":"acquired","limit":5,"cursor":"c"}',
    { state = "?task_state", limit = "?int", cursor = "?string" } },
  ["task.get"] = { '{"id":"a"}', { id = "STRING" } },
  ["task.create"] = {
    '{"pid":"p","ttl":5,"action":{"kind":"promise.create","head":{},"data":{"id":"a","timeoutAt":5,"param":{},"tags":{}}}}',
    { pid = "STRING", ttl = "INT", action = "OBJECT", ["action.kind"] = "string", ["action.data"] = "OBJECT",
      ["action.data.id"] = "STRING", ["action.data.timeoutAt"] = "INT", ["action.data.param"] = "value",
      ["action.data.tags"] = "map" } },
  ["task.acquire"] = { '{"id":"a","version":1,"pid":"p","ttl":5}',
    { id = "STRING", version = "INT", pid = "STRING", ttl = "INT" } },
  ["task.release"] = { '{"id":"a","version":1}', { id = "STRING", version = "INT" } },
  ["task.fulfill"] = {
    '{"id":"a","version":1,"action":{"kind":"promise.settle","head":{},"data":{"id":"a","state":"rejected","value":{}}}}',
    { id = "STRING", version = "INT", action = "OBJECT", ["action.kind"] = "string", ["action.data"] = "OBJECT",
      ["action.data.id"] = "STRING", ["action.data.state"] = "STATE", ["action.data.value"] = "value" } },
  ["task.suspend"] = {
    '{"id":"a","version":1,"actions":[{"kind":"x","head":{},"data":{"awaited":"b","awaiter":"a"}}]}',
    { id = "STRING", version = "INT", actions = "LIST", ["actions.1"] = "ELEMENT", ["actions.1.kind"] = "string",
      ["actions.1.data"] = "OBJECT", ["actions.1.data.awaited"] = "STRING", ["actions.1.data.awaiter"] = "STRING" } },
  ["task.fence"] = {
    '{"id":"a","version":1,"action":{"kind":"promise.create","head":{},"data":{"id":"b","timeoutAt":5,"param":{},"tags":{}}}}',
    { id = "STRING", version = "INT", action = "OBJECT", ["action.kind"] = "STRING", ["action.data"] = "OBJECT",
      ["action.data.id"] = "STRING", ["action.data.timeoutAt"] = "INT", ["action.data.param"] = "value",
      ["action.data.tags"] = "map" } },
  ["task.heartbeat"] = { '{"pid":"p","tasks":[{"id":"a","version":1}]}',
    { pid = "STRING", tasks = "LIST", ["tasks.1"] = "ELEMENT", ["tasks.1.id"] = "STRING", ["tasks.1.version"] = "INT" } },
  ["task.halt"] = { '{"id":"a"}', { id = "STRING" } },
  ["task.continue"] = { '{"id":"a"}', { id = "STRING" } },
  ["schedule.get"] = { '{"id":"a"}', { id = "STRING" } },
  ["schedule.create"] = {
    '{"id":"a","cron":"* * * * *","promiseId":"b","promiseTimeout":5,"promiseParam":{},"promiseTags":{}}',
    { id = "STRING", cron = "STRING", promiseId = "STRING", promiseTimeout = "INT", promiseParam = "value",
      promiseTags = "map" } },
  ["schedule.delete"] = { '{"id":"a"}', { id = "STRING" } },
  ["schedule.search"] = { '{"tags":{},"limit":5,"cursor":"c"}', { tags = "?map", limit = "?int", cursor = "?string" } },
}

-- What each type refuses: the JSON that is sent, the words.
local NO_STRING = { { "null", "null" }, { "5", "integer `5`" }, { "5.5", "floating point `5.5`" },
  { "false", "boolean `false`" }, { "[]", "array" }, { "{}", "object" } }
local NO_INT = { { "null", "null" }, { '"5"', 'string "5"' }, { "1.0", "floating point `1.0`" },
  { "1e3", "floating point `1e3`" }, { "-0", "floating point `-0`" }, { "true", "boolean `true`" }, { "[]", "array" },
  { "{}", "object" } }
local NO_OBJECT = { { "null", "null" }, { '"5"', 'string "5"' }, { "5", "integer `5`" }, { "true", "boolean `true`" },
  { "[]", "array" } }
local NO_LIST = { { "null", "null" }, { '"5"', 'string "5"' }, { "{}", "object" } }

local function wrong(list, expected)
  local rows = {}
  for i, each in ipairs(list) do rows[i] = { each[1], ("invalid type: %s, expected %s"):format(each[2], expected) } end
  return rows
end

local FAULTS = {
  string = wrong(NO_STRING, "a string"),
  state = wrong(NO_STRING, "a string"),
  promise_state = wrong(NO_STRING, "a string"),
  task_state = wrong(NO_STRING, "a string"),
  int = wrong(NO_INT, "i64"),
  value = wrong(NO_OBJECT, "an object"),
  object = wrong(NO_OBJECT, "an object"),
  element = wrong(NO_OBJECT, "an object"),
  map = wrong(NO_OBJECT, "an object of strings"),
  list = wrong(NO_LIST, "an array"),
}
local STATES = "expected one of `resolved`, `rejected`, `rejected_canceled`"
for _, name in ipairs { "pending", "rejected_timedout", "RESOLVED", "" } do
  table.insert(FAULTS.state, { ('"%s"'):format(name), ("unknown variant `%s`, %s"):format(name, STATES) })
end
table.insert(FAULTS.promise_state, { '"acquired"',
  "unknown variant `acquired`, expected one of `pending`, `resolved`, `rejected`, `rejected_canceled`, `rejected_timedout`" })
table.insert(FAULTS.task_state, { '"resolved"',
  "unknown variant `resolved`, expected one of `pending`, `acquired`, `suspended`, `halted`, `fulfilled`" })
for _, digits in ipairs { "9223372036854775808", "-9223372036854775809", "99999999999999999999" } do
  table.insert(FAULTS.int, { digits, ("invalid value: integer `%s`, expected i64"):format(digits) })
end
table.insert(FAULTS.map, { '{"x":5}', "invalid type: integer `5`, expected a string" })
table.insert(FAULTS.map, { '{"x":null}', "invalid type: null, expected a string" })
table.insert(FAULTS.value, { '{"headers":{"x":5}}', "invalid type: integer `5`, expected a string", "headers" })
table.insert(FAULTS.value, { '{"headers":[]}', "invalid type: array, expected an object of strings", "headers" })
table.insert(FAULTS.value, { '{"data":5}', "invalid type: integer `5`, expected a string", "data" })
table.insert(FAULTS.value, { '{"data":{}}', "invalid type: object, expected a string", "data" })
table.insert(FAULTS.value, { '{"data":"x","data":"x"}', "duplicate field `data`" })
table.insert(FAULTS.value, { '{"headers":{},"headers":{}}', "duplicate field `headers`" })

local RAW = {} -- marks text that goes into JSON as it is

local function raw(text)
  return setmetatable({ text = text }, RAW)
end

local function is_list(value)
  return getmetatable(value).__jsontype == "array"
end

-- JSON of decoded data, in which raw() stands for its text and `twice` names a member that is written twice.
local function write(value, twice, path)
  if type(value) ~= "table" then return json.encode(value) end
  if getmetatable(value) == RAW then return value.text end
  local parts, names = {}, {}
  for name in pairs(value) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    local own = (path and path .. "." or "") .. name
    local text = write(value[name], twice, own)
    if not is_list(value) then text = ("%s:%s"):format(json.encode(name), text) end
    parts[#parts + 1] = own == twice and text .. "," .. text or text
  end
  return (is_list(value) and "[%s]" or "{%s}"):format(table.concat(parts, ","))
end

-- The object that holds the member, and the member's name.
local function holder(data, path)
  local name
  for step in path:gmatch("[^.]+") do
    if name then data = data[name] end
    name = tonumber(step) or step
  end
  return data, name
end

local count = 0

local function sorted(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

for _, kind in ipairs(sorted(KINDS)) do
  local text, members = table.unpack(KINDS[kind])
  describe(kind, function()
    local function prefix(path)
      return kind == "task.fence" and path:find("^action%.data%.") and "Invalid action data: " or "Invalid request: "
    end

    -- data with something done to it
    local function row(words, path, change, twice, message)
      count = count + 1
      it(words, function()
        local data = json.decode(text)
        change(holder(data, path))
        refused(envelope(kind, write(data, twice)), message, kind, "c")
      end)
    end

    it("reads " .. text, function()
      local got = read(kind, text)
      assert.is_nil(got.message)
      local want = json.decode(text, 1, nil, nil)
      local function strip(value) -- an action's kind and head are not kept
        for name, each in pairs(value) do
          if type(each) == "table" then strip(each) end
          if name == "head" or name == "kind" then value[name] = nil end
        end
        return value
      end
      assert.same(strip(want), got.data)
    end)

    for _, path in ipairs(sorted(members)) do
      local type_name = members[path]
      local nullable = type_name:sub(1, 1) == "?"
      local required = type_name:upper() == type_name
      local name = path:match("[^.]+$")
      local element = type_name == "ELEMENT"
      local at = element and path:match("([^.]+)%.[^.]+$") or name
      for _, fault in ipairs(FAULTS[type_name:gsub("^%?", ""):lower()]) do
        if not (nullable and fault[1] == "null") and not (kind == "task.fence" and path == "action.data") then
          local message = prefix(path) .. fault[2]
          if not fault[2]:find("^duplicate") then message = ("%s at `%s`"):format(message, fault[3] or at) end
          row(("refuses %s = %s"):format(path, fault[1]), path, function(object, key) object[key] = raw(fault[1]) end, nil,
            message)
        end
      end
      if not element then
        row("refuses two members " .. path, path, function() end, path, ("%sduplicate field `%s`"):format(prefix(path), name))
      end
      if required and not element then
        row("refuses to be without " .. path, path, function(object, key) object[key] = nil end, nil,
          ("%smissing field `%s`"):format(prefix(path), name))
      elseif not element then
        it("may be without " .. path, function()
          count = count + 1
          local data = json.decode(text)
          local object, key = holder(data, path)
          object[key] = nil
          assert.is_nil(read(kind, write(data)).message)
        end)
      end
      if nullable then
        it("takes null for an absent " .. path, function()
          local data = json.decode(text)
          local object, key = holder(data, path)
          object[key] = raw("null")
          local got = read(kind, write(data))
          object[key] = nil
          assert.same(read(kind, write(data)), got)
        end)
      end
      if type_name:lower() == "int" then
        for _, digits in ipairs { "0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808" } do
          it(("reads %s = %s to the last digit"):format(path, digits), function()
            local data = json.decode(text)
            local object, key = holder(data, path)
            object[key] = raw(digits)
            object, key = holder(read(kind, write(data)).data, path)
            assert.equal(digits, tostring(object[key]))
          end)
        end
      end
    end
  end)
end

it("has at least 250 rows of what is wrong", function()
  assert.is_true(count >= 250, count .. " rows")
end)

describe("an action", function()
  it("may be without kind and head, but for that of a fence, which needs a kind", function()
    local create = '"data":{"id":"b","timeoutAt":5}'
    local bare = read("task.create", '{"pid":"p","ttl":5,"action":{' .. create .. "}}")
    assert.equal("b", bare.data.action.data.id)
    assert.same(bare, read("task.create", '{"pid":"p","ttl":5,"action":{"kind":"any","head":null,' .. create .. "}}"))
    assert.same(bare, read("task.create", '{"pid":"p","ttl":5,"action":{"head":[7],' .. create .. "}}"))
    assert.equal("a", read("task.fulfill", '{"id":"a","version":1,"action":{"data":{"id":"a","state":"resolved"}}}')
      .data.action.data.id)
    assert.equal("b", read("task.suspend", '{"id":"a","version":1,"actions":[{"data":{"awaited":"b","awaiter":"a"}}]}')
      .data.actions[1].data.awaited)
    assert.equal("b", read("task.fence", '{"id":"a","version":1,"action":{"kind":"promise.create",' .. create .. "}}")
      .data.action.data.id)
    assert.equal("Invalid request: missing field `kind`",
      read("task.fence", '{"id":"a","version":1,"action":{' .. create .. "}}").message)
  end)

  it("of a fence is of two kinds, looked at before its data", function()
    for _, kind in ipairs { "", "promise.get", "task.create", "PROMISE.CREATE" } do
      local got = read("task.fence", ('{"id":"a","version":1,"action":{"kind":"%s","data":7}}'):format(kind))
      assert.equal("Invalid fence action kind", got.message)
    end
    local got = read("task.fence", '{"id":"a","version":1,"action":{"kind":"promise.settle","data":{"id":"b","state":"no"}}}')
    assert.equal("Invalid action data: unknown variant `no`, " .. STATES .. " at `state`", got.message)
    got = read("task.fence", '{"id":"a","version":1,"action":{"kind":"promise.settle","data":[]}}')
    assert.equal("Invalid action data: invalid type: array, expected an object", got.message)
    got = read("task.fence",
      '{"id":"a","version":1,"action":{"kind":"promise.settle","data":{"id":"b","state":"rejected_canceled"}}}')
    assert.same({ id = "b", state = "rejected_canceled", value = {} }, got.data.action.data)
  end)
end)

describe("a list", function()
  it("may be empty, and long", function()
    assert.same({}, read("task.heartbeat", '{"pid":"p","tasks":[]}').data.tasks)
    assert.same({}, read("task.suspend", '{"id":"a","version":1,"actions":[]}').data.actions)
    local tasks = {}
    for i = 1, 5000 do tasks[i] = ('{"id":"t%d","version":%d}'):format(i, i) end
    local got = read("task.heartbeat", '{"pid":"p","tasks":[' .. table.concat(tasks, " , ") .. "]}")
    assert.equal(5000, #got.data.tasks)
    assert.same({ id = "t5000", version = 5000 }, got.data.tasks[5000])
  end)

  it("tells of a fault in the midst of it", function()
    assert.equal("Invalid request: missing field `version`",
      read("task.heartbeat", '{"pid":"p","tasks":[{"id":"a","version":1},{"id":"b"}]}').message)
    assert.equal("Invalid request: duplicate field `id`",
      read("task.heartbeat", '{"pid":"p","tasks":[{"id":"a","version":1},{"id":"b","id":"b","version":1}]}').message)
  end)
end)

describe("a map", function()
  it("keeps of a key that is told twice the last value, as a map does", function()
    local got = read("promise.create", '{"id":"a","timeoutAt":5,"tags":{"b":"1","a":"2","b":"3","":"4","b":"5"}}')
    assert.same({ a = "2", b = "5", [""] = "4" }, got.data.tags)
  end)

  it("holds thousands of keys in any order", function()
    local parts, want = {}, {}
    for i = 1, 3000 do
      local key = ("k%d"):format(i * 7919 % 3001)
      parts[i] = ('"%s":"%d"'):format(key, i)
      want[key] = tostring(i)
    end
    assert.same(want, read("promise.create", ('{"id":"a","timeoutAt":5,"tags":{%s}}'):format(table.concat(parts, ","))).data.tags)
  end)
end)

describe("a value", function()
  local function param(text)
    return read("promise.create", '{"id":"a","timeoutAt":5,"param":' .. text .. "}").data.param
  end

  it("keeps what is absent absent, and null is absent", function()
    assert.same({}, param("{}"))
    assert.same({}, param('{"headers":null,"data":null}'))
    assert.same({ headers = {} }, param('{"headers":{}}'))
    assert.same({ headers = { a = "" }, data = "x" }, param('{"headers":{"a":""},"data":"x","more":[]}'))
  end)

  local JSON = { "null", "true", "1", "-1.5e300", '"x"', '"\u{e9}\\u0000"', '{"a":1}', "[1, 2]", ' {"b" : 1} ', '{"b":1,"a":2}',
    '{"a":1,"a":2}', "123456789012345678901234567890", '"__INF__"', '{"__type":"error","message":"x"}' }
  local OTHER = { "x", "nul", "{", "01", "\xff", '"\xff"', "1\n", "{\n}", "[1,\r2]", ("["):rep(201) .. ("]"):rep(201) }

  it("that is the base64 of JSON is kept decoded", function()
    for _, text in ipairs(JSON) do
      assert.same({ json = text }, param(('{"data":"%s"}'):format(probe.base64(text))))
    end
    assert.same({ json = "" }, param('{"data":""}')) -- "undefined", as a function without a result
  end)

  it("that is not, or could not be written back the same, is kept as it came", function()
    for _, text in ipairs(OTHER) do
      local data = probe.base64(text)
      assert.same({ data = data }, param(('{"data":"%s"}'):format(data)))
    end
    for _, data in ipairs { "MQ", "MQ=", "MR==", "MQ==\\n", " MQ==", "MQ===", "=", "====", "M===", "MQ=a", "e30", "e31=",
      "eyJhIjoxfQ", "bnVsbA=", "_-8=", "MQ==MQ==", "{}", "1", "null" } do
      local got = param(('{"data":"%s"}'):format(data))
      assert.same({ data = json.decode('"' .. data .. '"') }, got)
    end
  end)

  it("of any bytes goes there and back", function()
    local record = { id = "a", state = "pending", timeoutAt = 1, createdAt = 1 }
    for _, list in ipairs { JSON, OTHER } do
      for _, text in ipairs(list) do
        local data = probe.base64(text)
        local got = param(('{"data":"%s"}'):format(data))
        record.param = { data = got.json or got.data, encoding = got.json and "json" }
        local answer = json.decode(probe.envelope_promise(record))
        assert.same({ data = data }, answer.param)
      end
    end
  end)

  it("longer than a value may be is refused", function()
    local most = 16 << 20
    local got = read("promise.create", '{"id":"a","timeoutAt":5,"param":{"data":"' .. ("x"):rep(most + 1) .. '"}}')
    assert.equal("Invalid request: a value longer than 16 MiB at `data`", got.message)
    local long = probe.base64('"' .. ("x"):rep(most - 2) .. '"') -- of 16 MiB exactly
    assert.equal(most, #param('{"data":"' .. long .. '"}').json)
  end)
end)

describe("base64", function()
  it("goes there and back", function()
    local vectors = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=", foobar = "Zm9vYmFy" }
    for bytes, text in pairs(vectors) do -- of RFC 4648
      assert.equal(text, probe.base64(bytes))
      assert.equal(bytes, probe.base64_read(text))
    end
    local all = {}
    for i = 0, 255 do all[i + 1] = string.char(i) end
    local bytes = table.concat(all)
    for cut = 0, 8 do assert.equal(bytes:sub(cut), probe.base64_read(probe.base64(bytes:sub(cut)))) end
  end)

  it("refuses what is not", function()
    for _, text in ipairs { "A", "AA", "AAA", "A===", "====", "AB==", "AAB=", "AA=A", "AA-_", "AA\n=", "AAA ", "AA\0=" } do
      assert.is_nil(probe.base64_read(text), text)
    end
  end)
end)

---------------------------------------------------------------------------------------------------- scope

describe("the scope of a token", function()
  local rows = {
    { "promise.get", '{"id":"a"}', { "a" } },
    { "promise.create", '{"id":"a","timeoutAt":"no"}', { "a" } },
    { "promise.settle", '{"id":"a"}', { "a" } },
    { "promise.register_callback", '{"awaited":"a","awaiter":"b"}', { "a", "b" } },
    { "promise.register_listener", '{"awaited":"a","address":"b"}', { "a" } },
    { "task.get", '{"id":"a"}', { "a" } },
    { "task.create", '{"id":"x","pid":"p","action":{"data":{"id":"a"}}}', { "a" } },
    { "task.acquire", '{"id":"a"}', { "a" } },
    { "task.release", '{"id":"a"}', { "a" } },
    { "task.fulfill", '{"id":"a","action":{"data":{"id":"b"}}}', { "a" } },
    { "task.suspend", '{"id":"a","actions":[{"data":{"awaited":"b"}},7,{"data":{"awaited":"c"}}]}', { "a", "b", "c" } },
    { "task.fence", '{"id":"a","action":{"kind":"?","data":{"id":"b"}}}', { "a", "b" } },
    { "task.heartbeat", '{"tasks":[{"id":"a"},{"id":"b"},{"id":"c"},{"id":"d"},{"id":"e"}]}', { "a", "b", "c", "d", "e" } },
    { "task.halt", '{"id":"a"}', { "a" } },
    { "task.continue", '{"id":"a"}', { "a" } },
    { "schedule.get", '{"id":"a"}', { "a" } },
    { "schedule.create", '{"id":"x","promiseId":"a"}', { "x", "a" } },
    { "schedule.delete", '{"id":"a"}', { "a" } },
    { "promise.search", "{}", "none" },
    { "task.search", '{"id":"a"}', "none" },
    { "schedule.search", "{}", "none" },
    { "debug.start", "{}", "none" },
    { "debug.stop", "{}", "none" },
    { "debug.reset", "{}", "none" },
    { "debug.tick", "{}", "none" },
    { "debug.snap", "{}", "none" },
    { "nonsense", '{"id":"a"}', "none" },
    { "task.step", '{"id":"a"}', "none" },
    { "promise.get", "{}", {} },
    { "promise.get", '{"id":7}', {} },
    { "task.create", '{"action":[]}', {} },
    { "task.heartbeat", '{"tasks":{"id":"a"}}', {} },
    { "task.suspend", '{"actions":[{"awaited":"b"}]}', {} },
  }
  for _, row in ipairs(rows) do
    it(("of %s %s"):format(row[1], row[2]), function()
      assert.same(row[3], read(row[1], row[2]).scope)
    end)
  end
end)

describe("debug", function()
  it("needs nothing, but for the instant of a tick", function()
    for i, kind in ipairs { "debug.start", "debug.stop", "debug.reset" } do
      assert.equal(i, read(kind, "{}").debug)
      assert.equal(i, read(kind, '{"time":"x"}').debug)
    end
    assert.equal(5, read("debug.snap", "{}").debug)
    local got = read("debug.tick", '{"time":9223372036854775807}')
    assert.equal(4, got.debug)
    assert.equal(math.maxinteger, got.time)
    for _, data in ipairs { "{}", '{"time":null}', '{"time":"5"}', '{"time":1.0}', '{"time":1,"time":1}' } do
      refused(envelope("debug.tick", data), "Missing or invalid 'time' field", "debug.tick", "c")
    end
    local head = '{"corrId":"c","version":"2026-04-01","resonate:debug_time":%d}'
    refused(envelope("debug.tick", '{"time":5}', head:format(6)), "resonate:debug_time must equal data.time", "debug.tick", "c")
    assert.equal(5, probe.envelope(envelope("debug.tick", '{"time":5}', head:format(5))).time)
  end)
end)
