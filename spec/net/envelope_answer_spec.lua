-- envelope_answer_spec.lua - answers, records and messages to JSON, byte for byte; and what the guard of answers sees.
-- SPDX-License-Identifier: Apache-2.0
local guard = require("spec.support.guard")
local json = require("dkjson")
local probe = require("da_probe")

local HEAD = '{"corrId":"c\\u0000","version":"2026-04-01"}'

describe("an answer", function()
  local world, now

  before_each(function()
    world, now = probe.new { kind = "memory" }, 1000
  end)

  after_each(function()
    world:close()
  end)

  -- The answer's status and the text of its data.
  local function ask(kind, data)
    local text = assert(world:serve(('{"kind":"%s","head":%s,"data":%s}'):format(kind, HEAD, data), now))
    guard.check({ kind = kind, head = { corrId = "c\0" } }, json.decode(text, 1, json.null))
    local status, rest = text:match('^{"kind":"' .. kind:gsub("%.", "%%.") ..
      '","head":{"corrId":"c\\u0000","status":(%d+),"version":"2026%-04%-01"},"data":(.*)}$')
    assert(status, text)
    return tonumber(status), rest
  end

  local A = '{"createdAt":1000,"id":"a","param":{"data":"e30=","headers":{"a":"2","z":"1"}},"state":"pending","tags":{' ..
    '"b":"\u{e9}\\n","resonate:target":"poll://any@g"},"timeoutAt":9223372036854775807,"value":{}}'

  local function create()
    return ask("promise.create", '{"timeoutAt":9223372036854775807,"id":"a","tags":{"resonate:target":"poll://any@g","b":' ..
      '"\\u00e9\\n"},"param":{"headers":{"z":"1","a":"2"},"data":"e30="}}')
  end

  it("tells a promise with its members in order and none that is absent", function()
    local status, data = create()
    assert.equal(200, status)
    assert.equal('{"promise":' .. A .. "}", data)
    status, data = ask("promise.get", '{"id":"a"}')
    assert.equal(200, status)
    assert.equal('{"promise":' .. A .. "}", data)
    now = 2000
    status, data = ask("promise.settle", '{"id":"a","state":"rejected_canceled","value":{"headers":{}}}')
    assert.equal(200, status)
    assert.equal('{"promise":' .. A:gsub('"state":"pending"', '"settledAt":2000,"state":"rejected_canceled"'):gsub(
      '"value":{}', '"value":{"headers":{}}') .. "}", data)
  end)

  it("tells a task, with pid and ttl while it is held", function()
    create()
    local _, data = ask("task.get", '{"id":"a"}')
    assert.equal('{"task":{"id":"a","resumes":0,"state":"pending","version":0}}', data)
    _, data = ask("task.acquire", '{"id":"a","version":0,"pid":"p\\"","ttl":5}')
    assert.equal('{"preload":[],"promise":' .. A ..
      ',"task":{"id":"a","pid":"p\\"","resumes":0,"state":"acquired","ttl":5,"version":1}}', data)
    for _, kind in ipairs { "task.heartbeat", "task.release", "task.halt", "task.continue" } do
      _, data = ask(kind, '{"id":"a","version":1,"pid":"p","tasks":[{"id":"a","version":1}]}')
      assert.equal("{}", data)
    end
  end)

  it("tells of a fence what its action was answered, in an envelope of its own", function()
    create()
    ask("task.acquire", '{"id":"a","version":0,"pid":"p","ttl":5}')
    local fence = '{"id":"a","version":1,"action":{"kind":"%s","data":%s}}'
    local head = ',"head":{"corrId":"c\\u0000","status":%d,"version":"2026-04-01"},"kind":"%s"},"preload":[]}'
    local status, data = ask("task.fence", fence:format("promise.create", '{"id":"a:1","timeoutAt":3000}'))
    assert.equal(200, status)
    assert.equal('{"action":{"data":{"promise":{"createdAt":1000,"id":"a:1","param":{},"state":"pending","tags":{},' ..
      '"timeoutAt":3000,"value":{}}}' .. head:format(200, "promise.create"), data)
    status, data = ask("task.fence", fence:format("promise.settle", '{"id":"a:2","state":"resolved"}'))
    assert.equal(200, status)
    assert.equal('{"action":{"data":"Promise not found"' .. head:format(404, "promise.settle"), data)
    status, data = ask("task.fence", fence:format("promise.get", "{}"))
    assert.equal(400, status)
    assert.equal('"Invalid fence action kind"', data)
  end)

  it("tells of a suspend the preload if it may go on, else nothing", function()
    create()
    ask("task.acquire", '{"id":"a","version":0,"pid":"p","ttl":5}')
    ask("promise.create", '{"id":"b","timeoutAt":9000}')
    local suspend = '{"id":"a","version":1,"actions":[{"data":{"awaited":"b","awaiter":"a"}}]}'
    ask("promise.settle", '{"id":"b","state":"resolved"}')
    local status, data = ask("task.suspend", suspend)
    assert.equal(300, status)
    assert.equal('{"preload":[]}', data)
    ask("promise.create", '{"id":"c","timeoutAt":9000}')
    status, data = ask("task.suspend", suspend:gsub('"b"', '"c"'))
    assert.equal(200, status)
    assert.equal("{}", data)
  end)

  it("has what was recorded for the branch as preload", function()
    ask("promise.create", '{"id":"a","timeoutAt":9000,"tags":{"resonate:target":"poll://any@g","resonate:branch":"a"}}')
    ask("promise.create", '{"id":"a:2","timeoutAt":9000,"tags":{"resonate:branch":"a"}}')
    ask("promise.create", '{"id":"a:1","timeoutAt":9000,"tags":{"resonate:branch":"a"}}')
    local _, data = ask("task.acquire", '{"id":"a","version":0,"pid":"p","ttl":5}')
    local preload = json.decode(data).preload
    assert.same({ "a:1", "a:2" }, { preload[1].id, preload[2].id })
    assert.equal(2, #preload)
  end)

  it("tells a schedule, and of a search where it goes on", function()
    local s = '{"createdAt":1000,"cron":"* * * * *","id":"%s","nextRunAt":60000,"promiseId":"{{.id}}","promiseParam":' ..
      '{"data":"x"},"promiseTags":{"resonate:target":"http://w"},"promiseTimeout":7}'
    for _, id in ipairs { "s1", "s2", "s3" } do
      local status, data = ask("schedule.create", ('{"id":"%s","cron":"* * * * *","promiseId":"{{.id}}",' ..
        '"promiseTimeout":7,"promiseParam":{"data":"x"},"promiseTags":{"resonate:target":"http://w"}}'):format(id))
      assert.equal(200, status)
      assert.equal('{"schedule":' .. s:format(id) .. "}", data)
    end
    local _, data = ask("schedule.search", '{"limit":2}')
    assert.equal('{"cursor":"s2","schedules":[' .. s:format("s1") .. "," .. s:format("s2") .. "]}", data)
    _, data = ask("schedule.search", '{"limit":2,"cursor":"s2"}')
    assert.equal('{"schedules":[' .. s:format("s3") .. "]}", data)
    _, data = ask("schedule.search", '{"tags":{"a":"b"}}')
    assert.equal('{"schedules":[]}', data)
    _, data = ask("schedule.delete", '{"id":"s1"}')
    assert.equal("{}", data)
    local status
    status, data = ask("schedule.get", '{"id":"s1"}')
    assert.equal(404, status)
    assert.equal('"Schedule not found"', data)
  end)

  it("refuses in words", function()
    local status, data = ask("promise.get", '{"id":"none"}')
    assert.equal(404, status)
    assert.equal('"Promise not found"', data)
    status, data = ask("promise.get", '{"id":""}')
    assert.equal(400, status)
    assert.equal('"Promise ID is required"', data)
    status, data = ask("promise.get", '{"id":"a\\u0000b"}')
    assert.equal(400, status)
    assert.equal('"Promise ID must not contain null bytes"', data)
    status, data = ask("task.acquire", '{"id":"","version":-1,"pid":"","ttl":0}')
    assert.equal(400, status)
    assert.equal('"Task ID is required; Version must be a non-negative integer; Process ID is required; ' ..
      'TTL must be a positive integer"', data)
    status, data = ask("no such", "{}")
    assert.equal(400, status)
    assert.equal('"Unknown operation: no such"', data)
  end)
end)

describe("a record of this process", function()
  local record = { id = "a\xff:b", state = "resolved", timeoutAt = 9007199254740991, createdAt = 1, settledAt = 2,
    value = { data = '{"a":"\u{e9}"}', encoding = "json", headers = { ["da-rest"] = '["x"]' } },
    param = { data = "\xf0\x28", headers = { ["\xc0"] = "\xed\xa0\x80" } }, tags = { z = "1", a = "2" } }

  it("is JSON whatever bytes are in it, and its values are base64 of what was written", function()
    local text = probe.envelope_promise(record)
    assert.equal('{"createdAt":1,"id":"a\u{fffd}:b","param":{"data":"\u{fffd}(","headers":{"\u{fffd}":' ..
      '"\u{fffd}\u{fffd}\u{fffd}"}},"settledAt":2,"state":"resolved","tags":{"a":"2","z":"1"},' ..
      '"timeoutAt":9007199254740991,"value":{"data":"eyJhIjoiw6kifQ==","headers":{"da-rest":"[\\"x\\"]"}}}', text)
    guard.promise(json.decode(text, 1, json.null))
  end)

  it("without a result has the text of no bytes for data, and no headers", function()
    local text = probe.envelope_promise { id = "a", state = "resolved", timeoutAt = 2, createdAt = 1, settledAt = 2,
      value = { data = "", encoding = "json" } }
    assert.truthy(text:find('"value":{"data":""}}', 1, true))
  end)
end)

describe("a message", function()
  it("asks to execute, and tells by which address the server is reached", function()
    local text = probe.envelope_message(nil, "a\n", 3, "http://h:8001")
    assert.equal('{"data":{"task":{"id":"a\\n","version":3}},"head":{"serverUrl":"http://h:8001"},"kind":"execute"}', text)
    guard.message(json.decode(text, 1, json.null))
    text = probe.envelope_message(nil, "a", 0, "")
    assert.equal('{"data":{"task":{"id":"a","version":0}},"head":{},"kind":"execute"}', text)
    guard.message(json.decode(text, 1, json.null))
  end)

  it("tells of an end", function()
    local text = probe.envelope_message { id = "a", state = "rejected", timeoutAt = 2, createdAt = 1, settledAt = 2,
      tags = { ["\r"] = "\n\u{2028}" } }
    assert.equal('{"data":{"promise":{"createdAt":1,"id":"a","param":{},"settledAt":2,"state":"rejected","tags":' ..
      '{"\\r":"\\n\u{2028}"},"timeoutAt":2,"value":{}}},"head":{},"kind":"unblock"}', text)
    guard.message(json.decode(text, 1, json.null))
  end)
end)

describe("the guard of answers", function()
  local function promise(change)
    local record = { id = "a", state = "pending", param = {}, value = {}, tags = {}, timeoutAt = 2, createdAt = 1 }
    for name, value in pairs(change or {}) do record[name] = value end
    return record
  end

  local function answer(kind, data, status)
    local text = json.encode { kind = kind, head = { corrId = "c", status = status or 200, version = "2026-04-01" },
      data = data }
    -- dkjson writes an empty table as an array: objects they are
    return json.decode((text:gsub("%[%]", "{}")), 1, json.null)
  end

  it("lets pass what is right", function()
    guard.check({ kind = "promise.get", head = { corrId = "c" } }, answer("promise.get", { promise = promise() }))
    guard.check(nil, answer("promise.get", "words", 404))
    guard.check(nil, answer("task.release", {}))
  end)

  local wrong = {
    { "promise.get", { promise = promise { settledAt = 5 } }, "answer.data.promise.settledAt is number \"5\" while" },
    { "promise.get", { promise = promise { state = "resolved" } }, "answer.data.promise.settledAt is absent while" },
    { "promise.get", { promise = promise { state = "done" } }, "answer.data.promise.state is none of its names" },
    { "promise.get", { promise = promise { settledAt = json.null } }, "answer.data.promise.settledAt is no integer: null" },
    { "promise.get", { promise = promise { value = { data = json.null } } }, "answer.data.promise.value.data is no string" },
    { "promise.get", { promise = promise { tags = { a = 5 } } }, "answer.data.promise.tags.a is no string" },
    { "promise.get", { promise = promise { timeoutAt = 1.5 } }, "answer.data.promise.timeoutAt is no integer" },
    { "promise.get", { promise = promise { more = 1 } }, "answer.data.promise.more is not known" },
    { "promise.get", {}, "answer.data.promise is absent" },
    { "promise.get", { promise = promise() }, "answer.data is no string", 404 },
    { "promise.get", { promise = promise() }, "answer.head.status is 300", 300 },
    { "promise.other", {}, "answer.kind has no answer" },
    { "task.acquire", { promise = promise(), preload = { promise() } }, "answer.data.task is absent" },
    { "task.get", { task = { id = "a", state = "acquired", version = 1, resumes = 0, ttl = 5 } },
      "answer.data.task.pid is absent while" },
    { "task.get", { task = { id = "a", state = "pending", version = 1, resumes = 0, pid = "p" } },
      'answer.data.task.pid is string "p" while' },
    { "task.get", { task = { id = "a", state = "pending", version = 1, resumes = { "x" } } },
      "answer.data.task.resumes is no integer" },
    { "task.release", { task = 1 }, "answer.data.task is not known" },
    { "promise.search", { promises = promise() }, "answer.data.promises is no array" },
  }
  for _, row in ipairs(wrong) do
    it("sees: " .. row[3], function()
      local ok, why = pcall(guard.check, nil, answer(row[1], row[2], row[4]))
      assert.is_false(ok)
      assert.truthy(why:find("guard: " .. row[3], 1, true), why)
    end)
  end

  it("sees an answer to another request", function()
    local got = answer("task.release", {})
    assert.has_error(function() guard.check({ kind = "task.halt", head = { corrId = "c" } }, got) end)
    assert.has_error(function() guard.check({ kind = "task.release", head = { corrId = "d" } }, got) end)
  end)
end)
