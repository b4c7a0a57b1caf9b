-- protocol_request_spec.lua - requests of the protocol over HTTP: what each answers, member by member; what is refused, in
-- which words and in which order; searches and their pages; the debug doors; a workflow as it goes over the wire.
--
-- What requests do to what is stored is in protocol_state_spec.lua and protocol_engine_spec.lua.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local http = require("spec.support.http")
local program = require("spec.support.program")
local serve = require("spec.support.serve")
local wire = require("spec.support.wire")

local place, process, world

setup(function()
  place = program.place(true)
  process = serve.start(place, { "--debug", "--push=false", "--retry-timeout", "100ms" })
  world = wire.world(process)
end)
teardown(function()
  http.close_all()
  serve.stop(process)
  assert.equal(0, place:run("verify").code)
  place:remove()
end)
before_each(function() world:reset() end)

local HEAD = '{"corrId":"c","version":"2026-04-01","resonate:debug_time":' .. wire.START + 10 .. "}"

-- A body as it is. Gives the status, the data and the envelope.
local function post(body)
  local answer = world.connection:ask { method = "POST", body = body }
  local envelope = http.check(nil, answer)
  return answer.status, envelope.data, envelope
end

local function post_kind(kind, data, head)
  return post(('{"kind":%s,"head":%s,"data":%s}'):format(json.encode(kind), head or HEAD, data))
end

---------------------------------------------------------------------------------------------------- refused

local VARIANTS = "expected one of `resolved`, `rejected`, `rejected_canceled`"

-- kind, data, the message. None of the ids is known, so that a 404 would be next.
local REFUSED = {
  { "promise.get", "{}", "Invalid request: missing field `id`" },
  { "promise.get", '{"id":null}', "Invalid request: invalid type: null, expected a string at `id`" },
  { "promise.get", '{"id":5}', "Invalid request: invalid type: integer `5`, expected a string at `id`" },
  { "promise.get", '{"id":""}', "Promise ID is required" },
  { "promise.create", '{"id":"X"}', "Invalid request: missing field `timeoutAt`" },
  { "promise.create", '{"id":"X","timeoutAt":1.5}', "Invalid request: invalid type: floating point `1.5`, expected i64 at `timeoutAt`" },
  { "promise.create", '{"id":"X","timeoutAt":1e3}', "Invalid request: invalid type: floating point `1e3`, expected i64 at `timeoutAt`" },
  { "promise.create", '{"id":"X","timeoutAt":-1}', "TimeoutAt must be a non-negative integer" },
  { "promise.create", '{"id":"","timeoutAt":-1}', "Promise ID is required; TimeoutAt must be a non-negative integer" },
  { "promise.create", '{"id":"X","timeoutAt":1,"param":null}', "Invalid request: invalid type: null, expected an object at `param`" },
  { "promise.create", '{"id":"X","timeoutAt":1,"param":{"data":5}}',
    "Invalid request: invalid type: integer `5`, expected a string at `data`" },
  { "promise.create", '{"id":"X","timeoutAt":1,"param":{"headers":{"a":5}}}',
    "Invalid request: invalid type: integer `5`, expected a string at `headers`" },
  { "promise.create", '{"id":"X","timeoutAt":1,"tags":null}',
    "Invalid request: invalid type: null, expected an object of strings at `tags`" },
  { "promise.create", '{"id":"X","timeoutAt":1,"tags":{"a":5}}',
    "Invalid request: invalid type: integer `5`, expected a string at `tags`" },
  { "promise.create", '{"id":"X\\u0000","timeoutAt":1}', "Promise ID must not contain null bytes" },
  { "promise.create", '{"id":"X","timeoutAt":1,"tags":{"resonate:origin":"Y"}}', "Promise ID must be prefixed by resonate:origin" },
  { "promise.create", '{"id":"X:1","timeoutAt":1,"tags":{"resonate:origin":"X","resonate:branch":"Y"}}',
    "Promise ID must be prefixed by resonate:branch" },
  { "promise.create", '{"id":"X:1","timeoutAt":1,"tags":{"resonate:origin":"X","resonate:branch":"X","resonate:parent":"Y"}}',
    "Promise ID must be prefixed by resonate:parent" },
  { "promise.create", '{"id":"X","timeoutAt":1,"tags":{"resonate:prefix":"a.b"}}', "resonate:prefix must not contain '.'" },
  { "promise.create", '{"id":"X","timeoutAt":9,"tags":{"resonate:delay":"soon"}}', "resonate:delay must be a non-negative integer" },
  { "promise.create", '{"id":"X","timeoutAt":9,"tags":{"resonate:delay":"9"}}', "resonate:delay must be less than timeoutAt" },
  { "promise.create", '{"id":"X","timeoutAt":9,"tags":{"resonate:delay":"1"}}', "resonate:delay requires a resonate:target tag" },
  { "promise.create", '{"id":"X","timeoutAt":9,"tags":{"resonate:target":""}}', "Invalid resonate:target address" },
  { "promise.create", '{"id":"X","timeoutAt":9,"tags":{"resonate:target":"worker"}}', "Invalid resonate:target address" },
  { "promise.settle", '{"id":"X"}', "Invalid request: missing field `state`" },
  { "promise.settle", '{"id":"X","state":"pending"}', "Invalid request: unknown variant `pending`, " .. VARIANTS .. " at `state`" },
  { "promise.settle", '{"id":"X","state":"rejected_timedout"}',
    "Invalid request: unknown variant `rejected_timedout`, " .. VARIANTS .. " at `state`" },
  { "promise.settle", '{"id":"","state":"resolved"}', "Promise ID is required" },
  { "promise.register_callback", '{"awaited":"","awaiter":"X"}', "Awaited promise ID is required" },
  { "promise.register_callback", '{"awaited":"X","awaiter":""}', "Awaiter promise ID is required" },
  { "promise.register_callback", '{"awaited":"X","awaiter":"X"}', "Awaited and awaiter must be different promises" },
  { "promise.register_listener", '{"awaited":"X"}', "Invalid request: missing field `address`" },
  { "promise.register_listener", '{"awaited":"X","address":""}', "Address is required" },
  { "promise.register_listener", '{"awaited":"X","address":"me"}', "Invalid listener address" },
  { "promise.search", '{"state":"acquired"}', "Invalid request: unknown variant `acquired`, expected one of `pending`, `resolved`, " ..
    "`rejected`, `rejected_canceled`, `rejected_timedout` at `state`" },
  { "promise.search", '{"limit":"5"}', 'Invalid request: invalid type: string "5", expected i64 at `limit`' },
  { "task.get", '{"id":""}', "Task ID is required" },
  { "task.create", '{"pid":"p","ttl":1}', "Invalid request: missing field `action`" },
  { "task.create", '{"pid":"p","ttl":1,"action":{"kind":"promise.create","head":{},"data":{"id":"X","timeoutAt":9}}}',
    "Action must have a resonate:target tag" },
  { "task.create", '{"pid":"p","ttl":1,"action":{"kind":"promise.create","head":{},"data":{"id":"X","timeoutAt":9,' ..
    '"tags":{"resonate:target":"http://w","resonate:delay":"1"}}}}', "Action must not have a resonate:delay tag" },
  { "task.create", '{"pid":"","ttl":0,"action":{"kind":"promise.create","head":{},"data":{"id":"X","timeoutAt":9,' ..
    '"tags":{"resonate:target":"http://w"}}}}', "Process ID is required; TTL must be a positive integer" },
  { "task.create", '{"pid":"p","ttl":1,"action":{"kind":"promise.create","head":{},"data":{"id":"X","timeoutAt":9,' ..
    '"tags":{"resonate:target":"w"}}}}', "Invalid resonate:target address" },
  { "task.acquire", '{"id":"X","version":0,"pid":"p"}', "Invalid request: missing field `ttl`" },
  { "task.acquire", '{"id":"","version":-1,"pid":"","ttl":0}', "Task ID is required; Version must be a non-negative integer; " ..
    "Process ID is required; TTL must be a positive integer" },
  { "task.release", '{"id":"X","version":-1}', "Version must be a non-negative integer" },
  { "task.fulfill", '{"id":"X","version":1,"action":{"kind":"promise.settle","head":{},"data":{"id":"Y","state":"resolved"}}}',
    "Action ID must match the task ID" },
  { "task.fulfill", '{"id":"X","version":1,"action":{"kind":"promise.settle","head":{},"data":{"id":"X","state":"rejected_timedout"}}}',
    "Invalid request: unknown variant `rejected_timedout`, " .. VARIANTS .. " at `state`" },
  { "task.suspend", '{"id":"X","version":1,"actions":{}}', "Invalid request: invalid type: object, expected an array at `actions`" },
  { "task.suspend", '{"id":"X","version":1,"actions":[]}', "Actions array cannot be empty" },
  { "task.suspend", '{"id":"X","version":1,"actions":[{"kind":"k","head":{},"data":{"awaited":"Y","awaiter":"Z"}}]}',
    "All action awaiter IDs must match the task ID" },
  { "task.suspend", '{"id":"X","version":1,"actions":[{"kind":"k","head":{},"data":{"awaited":"X","awaiter":"X"}}]}',
    "Action awaited promise must not equal the task ID" },
  { "task.fence", '{"id":"X","version":1,"action":{"kind":"promise.get","head":{},"data":{"id":"Y"}}}', "Invalid fence action kind" },
  { "task.fence", '{"id":"X","version":1,"action":{"kind":"promise.create","head":{},"data":{"id":"Y"}}}',
    "Invalid action data: missing field `timeoutAt`" },
  { "task.fence", '{"id":"X","version":1,"action":{"kind":"promise.settle","head":{},"data":{"id":"Y","state":"no"}}}',
    "Invalid action data: unknown variant `no`, " .. VARIANTS .. " at `state`" },
  { "task.fence", '{"id":"X","version":1,"action":{"kind":"promise.create","head":{},"data":{"id":"X","timeoutAt":9}}}',
    "Action ID must not equal the task ID" },
  { "task.fence", '{"id":"X","version":1,"action":{"kind":"promise.create","head":{},"data":{"id":"Y","timeoutAt":9,' ..
    '"tags":{"resonate:target":"w"}}}}', "Invalid resonate:target address" },
  { "task.heartbeat", '{"pid":"p","tasks":[]}', "Tasks array must not be empty" },
  { "task.heartbeat", '{"pid":"","tasks":[{"id":"","version":-1}]}',
    "Process ID is required; Task ID is required; Version must be a non-negative integer" },
  { "task.halt", '{"id":""}', "Task ID is required" },
  { "task.continue", '{"id":""}', "Task ID is required" },
  { "task.search", '{"state":"resolved"}', "Invalid request: unknown variant `resolved`, expected one of `pending`, `acquired`, " ..
    "`suspended`, `halted`, `fulfilled` at `state`" },
  { "schedule.get", "{}", "Invalid request: missing field `id`" },
  { "schedule.get", '{"id":""}', "Schedule ID is required" },
  { "schedule.delete", '{"id":""}', "Schedule ID is required" },
  { "schedule.create", '{"id":"","cron":"","promiseId":"","promiseTimeout":-1}', "Schedule ID is required; " ..
    "Cron expression is required; Promise ID template is required; Promise timeout must be a non-negative integer" },
  { "schedule.create", '{"id":"a:b","cron":"?","promiseId":"x","promiseTimeout":1}', "Schedule ID must not contain ':'" },
  { "schedule.create", '{"id":"s","cron":"?","promiseId":"x","promiseTimeout":1}', "promiseTags must include a resonate:target tag" },
  { "debug.tick", "{}", "Missing or invalid 'time' field" },
  { "debug.tick", '{"time":"5"}', "Missing or invalid 'time' field" },
  { "debug.tick", '{"time":5}', "resonate:debug_time must equal data.time" },
  { "debug.none", "{}", "Unknown operation: debug.none" },
  { "promise.delete", '{"id":5}', "Unknown operation: promise.delete" },
}
for _, kind in ipairs { "promise.search", "task.search", "schedule.search" } do
  for _, limit in ipairs { 0, -1 } do
    REFUSED[#REFUSED + 1] = { kind, ('{"limit":%d}'):format(limit), "Limit must be a positive integer" }
  end
  REFUSED[#REFUSED + 1] = { kind, '{"limit":1001}', "Invalid 'limit' \u{2014} must be between 1 and 1000" }
end

describe("a request is refused with 400:", function()
  for _, row in ipairs(REFUSED) do
    it(row[1] .. " " .. row[2], function()
      local status, message, envelope = post_kind(row[1], row[2])
      assert.are.same({ 400, row[3], row[1], "c" }, { status, message, envelope.kind, envelope.head.corrId })
      local snap = world:snap()
      assert.are.same({ 0, 0 }, { #snap.promises, #snap.schedules })
    end)
  end

  it("an invalid cron expression of a schedule that is there already", function()
    local data = { id = "s", cron = "* * * * *", promiseId = "x", promiseTimeout = 1, promiseTags = { ["resonate:target"] = "http://w" } }
    world:demand("schedule.create", data)
    data.cron = "61 * * * *"
    local status, message = world:ask("schedule.create", data)
    assert.equal(400, status)
    assert.matches("^Invalid cron expression", message)
  end)
end)

describe("of several faults the first is told:", function()
  local OLD = '{"corrId":"c","version":"1"}'
  local ROWS = {
    { "what is no envelope before an empty kind", '{"kind":"","head":{"corrId":"c"},"data":[]}',
      "Invalid request envelope: missing field `version`" },
    { "an empty kind before data that is no object", '{"kind":"","head":' .. OLD .. ',"data":[]}',
      "Missing or invalid 'kind' field \u{2014} must be a non-empty string" },
    { "data that is no object before the version", '{"kind":"nothing","head":' .. OLD .. ',"data":[]}',
      "Invalid 'data' field \u{2014} must be an object" },
    { "the version before the kind", '{"kind":"nothing","head":' .. OLD .. ',"data":{}}',
      "Unsupported protocol version '1', supported versions: [\"2026-04-01\"]" },
    { "the kind before the members", '{"kind":"nothing","head":' .. HEAD .. ',"data":{"id":5}}', "Unknown operation: nothing" },
    { "types before what they hold", '{"kind":"task.acquire","head":' .. HEAD .. ',"data":{"id":"","version":"0","pid":"","ttl":0}}',
      'Invalid request: invalid type: string "0", expected i64 at `version`' },
    { "members before lineage", '{"kind":"promise.create","head":' .. HEAD ..
      ',"data":{"id":"X","timeoutAt":-1,"tags":{"resonate:origin":"Y"}}}', "TimeoutAt must be a non-negative integer" },
    { "lineage before the address", '{"kind":"promise.create","head":' .. HEAD ..
      ',"data":{"id":"X","timeoutAt":1,"tags":{"resonate:origin":"Y","resonate:target":""}}}',
      "Promise ID must be prefixed by resonate:origin" },
    { "the address before what is not there", '{"kind":"promise.register_listener","head":' .. HEAD ..
      ',"data":{"awaited":"none","address":"me"}}', "Invalid listener address" },
    { "the action of a fence before its task", '{"kind":"task.fence","head":' .. HEAD ..
      ',"data":{"id":"none","version":1,"action":{"kind":"no","head":{},"data":{}}}}', "Invalid fence action kind" },
  }
  for _, row in ipairs(ROWS) do
    it(row[1], function()
      local status, message = post(row[2])
      assert.are.same({ 400, row[3] }, { status, message })
    end)
  end

  it("what is not there before states, versions and what is referred to", function()
    local function answers(line, wanted, message)
      local status, data = world:command(line)
      assert.are.same({ wanted, message }, { status, data })
    end
    answers("callback none none2", 404, "Awaited promise not found")
    answers("suspend none 7 none2", 404, "Task not found")
    answers("fence none 7 settle none2 resolved", 404, "Task not found")
    world:commands("create A; create I; create P target=w; taskcreate Q target=w")
    answers("callback A none", 422, "Awaiter promise not found")
    answers("callback A I", 422, "Awaiter promise has no resonate:target tag")
    answers("taskcreate I target=w", 422, "The promise does not have a resonate:target tag")
    answers("acquire Q 7", 409, "Task is not pending") -- before the version
    answers("suspend Q 7 none", 409, "Task is not acquired or version mismatch") -- before what is awaited
    answers("suspend Q 1 none", 422, "Awaited promise not found")
  end)
end)

---------------------------------------------------------------------------------------------------- answers

-- A record as it is answered: a promise with its members, which not named ones are not in.
local function promise(id, more)
  local record = { id = id, state = "pending", param = {}, value = {}, tags = {}, timeoutAt = 1000, createdAt = 0 }
  for name, value in pairs(more or {}) do record[name] = value end
  return record
end

local function task(id, state, version, more)
  local record = { id = id, state = state, version = version, resumes = 0 }
  for name, value in pairs(more or {}) do record[name] = value end
  return record
end

local W = { ["resonate:target"] = "http://w" }
local P = promise("P", { tags = W })
local LOCAL = { ["resonate:branch"] = "r" }
local ROOT = { ["resonate:target"] = "http://w", ["resonate:branch"] = "r" }
local R = promise("r", { tags = ROOT })
local STEPS = { promise("r:1", { tags = LOCAL }),
  promise("r:2", { tags = LOCAL, state = "resolved", settledAt = 0, value = { data = "x" } }) }
local ROOT_MADE = "create r target=w branch=r; create r:2 branch=r; settle r:2 resolved value=x; create r:1 branch=r; " ..
  "create r:3 target=w branch=r:3"

local function inner(status, kind, data)
  return { kind = kind, head = { corrId = true, status = status, version = http.VERSION }, data = data }
end

-- made, request at 10, status, the whole of data
local ANSWERS = {
  { "create A", "get A", 200, { promise = promise("A") } },
  { "", "create A", 200, { promise = promise("A", { createdAt = 10 }) } },
  { "", "create A param=p tag.k=v", 200, { promise = promise("A", { createdAt = 10, param = { data = "p" }, tags = { k = "v" } }) } },
  { "", "create A param=", 200, { promise = promise("A", { createdAt = 10, param = { data = "" } }) } },
  { "", "create A timeout=0", 200,
    { promise = promise("A", { createdAt = 0, timeoutAt = 0, settledAt = 0, state = "rejected_timedout" }) } },
  { "create A", "settle A resolved value=x", 200,
    { promise = promise("A", { state = "resolved", value = { data = "x" }, settledAt = 10 }) } },
  { "create A; settle A rejected value=x", "settle A resolved value=y", 200,
    { promise = promise("A", { state = "rejected", value = { data = "x" }, settledAt = 0 }) } },
  { "create A; create P target=w", "callback A P", 200, { promise = promise("A") } },
  { "create A", "listen A to=u", 200, { promise = promise("A") } },
  { "create A timeout=5", "listen A to=u", 200,
    { promise = promise("A", { timeoutAt = 5, settledAt = 5, state = "rejected_timedout" }) } },
  { "create P target=w", "task P", 200, { task = task("P", "pending", 0) } },
  { "taskcreate P target=w pid=p ttl=50", "task P", 200, { task = task("P", "acquired", 1, { pid = "p", ttl = 50 }) } },
  { "taskcreate P target=w; fulfill P 1 resolved", "task P", 200, { task = task("P", "fulfilled", 1) } },
  { "", "taskcreate P target=w pid=p ttl=50", 200, { task = task("P", "acquired", 1, { pid = "p", ttl = 50 }),
    promise = promise("P", { tags = W, createdAt = 10 }), preload = {} } },
  { "", "taskcreate P target=w timeout=10", 200, { task = task("P", "fulfilled", 0), preload = {},
    promise = promise("P", { tags = W, timeoutAt = 10, createdAt = 10, settledAt = 10, state = "rejected_timedout" }) } },
  { "create P target=w", "taskcreate P target=v pid=p ttl=50 param=q timeout=77", 200,
    { task = task("P", "acquired", 1, { pid = "p", ttl = 50 }), promise = P, preload = {} } },
  { "taskcreate P target=w; fulfill P 1 resolved value=x", "taskcreate P target=w", 200, { task = task("P", "fulfilled", 1),
    promise = promise("P", { tags = W, state = "resolved", settledAt = 0, value = { data = "x" } }), preload = {} } },
  { "create P target=w", "acquire P 0 pid=p ttl=50", 200,
    { task = task("P", "acquired", 1, { pid = "p", ttl = 50 }), promise = P, preload = {} } },
  { ROOT_MADE, "acquire r 0 pid=p ttl=50", 200,
    { task = task("r", "acquired", 1, { pid = "p", ttl = 50 }), promise = R, preload = STEPS } },
  { ROOT_MADE .. "; acquire r 0 ttl=50", "suspend r 1 r:1 r:2", 300, { preload = STEPS } },
  { ROOT_MADE .. "; acquire r 0 ttl=50", "suspend r 1 r:1 r:3", 200, {} },
  { "taskcreate P target=w ttl=50", "release P 1", 200, {} },
  { "taskcreate P target=w ttl=50", "heartbeat w P@1 none@3", 200, {} },
  { "taskcreate P target=w ttl=50", "halt P", 200, {} },
  { "taskcreate P target=w ttl=50; halt P", "continue P", 200, {} },
  { "taskcreate P target=w ttl=50", "fulfill P 1 canceled value=x", 200,
    { promise = promise("P", { tags = W, state = "rejected_canceled", settledAt = 10, value = { data = "x" } }) } },
  { ROOT_MADE .. "; acquire r 0 ttl=50", "fence r 1 settle r:1 rejected value=z", 200, {
    action = inner(200, "promise.settle",
      { promise = promise("r:1", { tags = LOCAL, state = "rejected", settledAt = 10, value = { data = "z" } }) }),
    preload = { promise("r:1", { tags = LOCAL, state = "rejected", settledAt = 10, value = { data = "z" } }), STEPS[2] } } },
  { "taskcreate P target=w ttl=50", "fence P 1 create X", 200,
    { action = inner(200, "promise.create", { promise = promise("X", { createdAt = 10 }) }), preload = {} } },
  { "taskcreate P target=w ttl=50", "fence P 1 settle X resolved", 200,
    { action = inner(404, "promise.settle", "Promise not found"), preload = {} } },
}

describe("the answer to", function()
  for _, row in ipairs(ANSWERS) do
    it(("%s after [%s] is exactly what the protocol says"):format(row[2], row[1]), function()
      world:commands(row[1]):command("at 10")
      local status, data, envelope = world:command(row[2])
      if data.action then -- the inner corrId is the outer one
        assert.equal(envelope.head.corrId, data.action.head.corrId)
        data.action.head.corrId = true
      end
      assert.are.same({ row[3], row[4] }, { status, data })
    end)
  end

  it("schedule.* is exactly what the protocol says", function()
    local data = { id = "s", cron = "* * * * *", promiseId = "{{.id}}/{{.timestamp}}", promiseTimeout = 7,
      promiseParam = { headers = { a = "b" } }, promiseTags = { ["resonate:target"] = "http://w" } }
    local record = { createdAt = 0, nextRunAt = 60000 }
    for name, value in pairs(data) do record[name] = value end
    assert.are.same({ schedule = record }, world:demand("schedule.create", data))
    assert.are.same({ schedule = record }, world:demand("schedule.get", { id = "s" }))
    assert.are.same({ schedules = { record } }, world:demand("schedule.search"))
    world:command("tick 60000")
    record.lastRunAt, record.nextRunAt = 60000, 120000
    assert.are.same({ schedule = record }, world:demand("schedule.get", { id = "s" }))
    assert.are.same({}, world:demand("schedule.delete", { id = "s" }))
    for _, kind in ipairs { "schedule.get", "schedule.delete" } do
      local status, message = world:ask(kind, { id = "s" })
      assert.are.same({ 404, "Schedule not found" }, { status, message })
    end
  end)

  it("an action without a kind or a head is as with them", function()
    local status = post_kind("task.create", '{"pid":"p","ttl":9,"action":{"data":{"id":"X","timeoutAt":9007199254740991,' ..
      '"tags":{"resonate:target":"http://w"}}}}')
    assert.equal(200, status)
    status = post_kind("task.create", '{"pid":"p","ttl":9,"action":{"kind":"any","head":null,"data":{"id":"Y",' ..
      '"timeoutAt":9007199254740991,"tags":{"resonate:target":"http://w"}}}}')
    assert.equal(200, status)
  end)

  it("a member that the protocol does not know is as without it", function()
    local status, data = post_kind("promise.create", '{"id":"X","timeoutAt":9007199254740991,"strict":true,"param":{"more":[]}}')
    assert.are.same({ 200, {} }, { status, next(data.promise.param) and data.promise.param or {} })
  end)
end)

---------------------------------------------------------------------------------------------------- searches

describe("a search", function()
  local function ids(list)
    local found = {}
    for i, each in ipairs(list) do found[i] = each.id end
    return table.concat(found, " ")
  end

  before_each(function()
    world:commands([[
      create b target=w tag.k=1; create a-1 tag.k=1 tag.l=2; create a:x tag.k=2; create a.1; create A
      settle A resolved; create d timeout=5 tag.k=1; taskcreate c target=w; create e target=w; halt e
    ]]):command("at 10")
  end)

  -- kind, data, ids, cursor
  local ROWS = {
    { "promise.search", {}, "A a-1 a.1 a:x b c d e" },
    { "promise.search", { limit = 1000 }, "A a-1 a.1 a:x b c d e" },
    { "promise.search", { limit = 8 }, "A a-1 a.1 a:x b c d e" },
    { "promise.search", { limit = 3 }, "A a-1 a.1", "a.1" },
    { "promise.search", { limit = 3, cursor = "a.1" }, "a:x b c", "c" },
    { "promise.search", { limit = 3, cursor = "c" }, "d e" },
    { "promise.search", { cursor = "a/ no id" }, "a:x b c d e" },
    { "promise.search", { cursor = "z" }, "" },
    { "promise.search", { state = json.null, tags = json.null, limit = json.null, cursor = json.null }, "A a-1 a.1 a:x b c d e" },
    { "promise.search", { state = "pending" }, "a-1 a.1 a:x b c e" },
    { "promise.search", { state = "resolved" }, "A" },
    { "promise.search", { state = "rejected" }, "" },
    { "promise.search", { state = "rejected_timedout" }, "d" }, -- found by what it is now, though nothing has touched it
    { "promise.search", { tags = { k = "1" } }, "a-1 b d" },
    { "promise.search", { tags = { k = "1", l = "2" } }, "a-1" },
    { "promise.search", { tags = { k = "1" }, state = "pending", limit = 1 }, "a-1", "a-1" },
    { "promise.search", { tags = { k = "1" }, state = "pending", limit = 1, cursor = "a-1" }, "b" },
    { "task.search", {}, "b c e" },
    { "task.search", { state = "pending" }, "b" },
    { "task.search", { state = "acquired" }, "c" },
    { "task.search", { state = "halted" }, "e" },
    { "task.search", { state = "suspended" }, "" },
    { "task.search", { limit = 2 }, "b c", "c" },
    { "task.search", { limit = 2, cursor = "c" }, "e" },
  }
  for _, row in ipairs(ROWS) do
    it(("%s %s"):format(row[1], json.encode(row[2])), function()
      local data = world:demand(row[1], row[2])
      assert.are.same({ row[3], row[4] }, { ids(data.promises or data.tasks), data.cursor })
    end)
  end

  it("without a limit has pages of 100 promises, 100 tasks, 10 schedules", function()
    for i = 100, 200 do world:commands(("create n%d target=w"):format(i)) end
    for i = 10, 20 do
      world:demand("schedule.create", { id = "s" .. i, cron = "* * * * *", promiseId = "x", promiseTimeout = 1,
        promiseTags = { ["resonate:target"] = "http://w", k = i % 2 == 0 and "even" or "odd" } })
    end
    local promises, tasks, schedules = world:demand("promise.search"), world:demand("task.search"), world:demand("schedule.search")
    assert.are.same({ 100, 100, 10, promises.promises[100].id, tasks.tasks[100].id, "s19" },
      { #promises.promises, #tasks.tasks, #schedules.schedules, promises.cursor, tasks.cursor, schedules.cursor })
    assert.equal("s20", ids(world:demand("schedule.search", { cursor = "s19" }).schedules))
    assert.equal("s11 s13 s15 s17 s19", ids(world:demand("schedule.search", { tags = { k = "odd" } }).schedules))
  end)
end)

---------------------------------------------------------------------------------------------------- debug

describe("C12: the debug doors", function()
  it("are shut by default, to all but envelopes that are refused before", function()
    local other = serve.start(place, {}, { data = place.dir .. "/shut" })
    for _, kind in ipairs { "start", "stop", "reset", "tick", "snap" } do
      local status, words = http.call(other.address, "debug." .. kind, {})
      assert.are.same({ 403, "Debug operations are disabled" }, { status, words })
      status = http.call(other.address, "debug." .. kind, {}, { version = "1" })
      assert.equal(400, status)
    end
    serve.stop(other)
  end)

  it("answer objects, and a tick a list", function()
    for kind, body in pairs { start = "{}", stop = "{}", reset = "{}" } do
      local answer = world.connection:ask { method = "POST", body = json.encode(http.envelope("debug." .. kind)) }
      assert.matches('"data":' .. body .. "}$", answer.body)
    end
    local answer = world.connection:ask { method = "POST", body = json.encode(http.envelope("debug.tick", { time = 5 })) }
    assert.matches('"data":%[%]}$', answer.body)
    world:demand("debug.start")
  end)

  it("show lists in order, and those alone that the protocol names, beside schedules", function()
    world:commands("create b target=w; create a target=w; taskcreate c target=w; create d; listen d to=z; listen d to=y; callback d c")
    local snap = world:snap()
    local names = {}
    for name in pairs(snap) do names[#names + 1] = name end
    table.sort(names)
    assert.equal("callbacks listeners messages promiseTimeouts promises schedules taskTimeouts tasks", table.concat(names, " "))
    assert.are.same({ { awaited = "d", awaiter = "c" } }, snap.callbacks)
    assert.are.same({ { id = "d", address = "http://y" }, { id = "d", address = "http://z" } }, snap.listeners)
    assert.are.same({ { id = "a", timeout = 100, type = 0 }, { id = "b", timeout = 100, type = 0 },
      { id = "c", timeout = 10, type = 1 } }, snap.taskTimeouts)
    world:commands("settle d resolved")
    local function execute(id)
      return { address = "http://w", message = { kind = "execute", head = {}, data = { task = { id = id, version = 0 } } } }
    end
    local d = wire.of(world:snap().promises, "d")
    local function unblock(to) return { address = to, message = { kind = "unblock", head = {}, data = { promise = d } } } end
    assert.are.same({ execute "a", execute "b", unblock "http://y", unblock "http://z" }, world:snap().messages)
  end)
end)
