-- envelope_client_spec.lua - the protocol's JSON seen from a client: what it writes is read by a server as what was
-- meant, what a server answers is read as the reply that the engine gave, and an answer that is none is refused.
-- SPDX-License-Identifier: Apache-2.0
local gen = require("spec.support.gen")
local json = require("dkjson")
local lockstep = require("spec.support.lockstep")
local meaning = require("spec.support.wire_meaning")
local oracle = require("spec.support.oracle")
local probe = require("da_probe")

local OPS = tonumber(os.getenv("DA_OPS")) or (os.getenv("DA_LONG") == "1" and 300000 or 6000)
local IN_PROCESS = { ["task.step"] = true, ["task.spawn"] = true, ["task.again"] = true, sweep = true }

---------------------------------------------------------------------------------------------------- requests

local VALUE = { data = "e30=", headers = { a = "1", ["\u{e9}\""] = "\n" } }
local CREATE = { id = "r:1", timeoutAt = math.maxinteger, param = VALUE, tags = { ["resonate:scope"] = "global" } }
local SETTLE = { id = "r:1", state = "rejected_canceled", value = { data = "no base64" } }

-- Of each kind, and of each form of it that there is.
local REQUESTS = {
  { "promise.get", { id = "a\0\"\\\u{1f600}" } },
  { "promise.create", CREATE },
  { "promise.create", { id = "a", timeoutAt = 0, param = {}, tags = {} } },
  { "promise.settle", SETTLE },
  { "promise.settle", { id = "a", state = "resolved", value = { data = "" } } },
  { "promise.register_callback", { awaited = "a", awaiter = "b" } },
  { "promise.register_listener", { awaited = "a", address = "poll://any@g/1" } },
  { "promise.search", {} },
  { "promise.search", { state = "rejected_timedout", tags = { a = "b" }, limit = 7, cursor = "c" } },
  { "task.get", { id = "a" } },
  { "task.create", { pid = "p", ttl = 5, action = { kind = "promise.create", data = CREATE } } },
  { "task.acquire", { id = "a", version = math.maxinteger, pid = "p", ttl = 60000 } },
  { "task.release", { id = "a", version = 3 } },
  { "task.fulfill", { id = "r:1", version = 1, action = { kind = "promise.settle", data = SETTLE } } },
  { "task.suspend", { id = "a", version = 1, actions = {
    { kind = "promise.register_callback", data = { awaited = "b", awaiter = "a" } },
    { kind = "promise.register_callback", data = { awaited = "c", awaiter = "a" } },
  } } },
  { "task.suspend", { id = "a", version = 1, actions = {} } },
  { "task.fence", { id = "a", version = 1, action = { kind = "promise.create", data = CREATE } } },
  { "task.fence", { id = "a", version = 1, action = { kind = "promise.settle", data = SETTLE } } },
  { "task.heartbeat", { pid = "p", tasks = { { id = "a", version = 1 }, { id = "b", version = 0 } } } },
  { "task.heartbeat", { pid = "", tasks = {} } },
  { "task.halt", { id = "a" } },
  { "task.continue", { id = "a" } },
  { "task.search", { state = "halted", limit = 1, cursor = "c" } },
  { "schedule.get", { id = "a" } },
  { "schedule.create", { id = "s", cron = "* * * * *", promiseId = "s.{{.timestamp}}", promiseTimeout = 1000,
    promiseParam = VALUE, promiseTags = { a = "b" } } },
  { "schedule.delete", { id = "a" } },
  { "schedule.search", { tags = { a = "b" }, limit = 10, cursor = "c" } },
}

-- As meaning.of(), which knows no schedules.
local function meant(request)
  if request.kind ~= "schedule.create" then return meaning.of(request) end
  local data = {}
  for name, each in pairs(request.data) do data[name] = each end
  data.promiseParam = { json = "{}", headers = data.promiseParam.headers }
  return data
end

describe("a request of a client", function()
  it("is read as it was meant, of each kind", function()
    for _, row in ipairs(REQUESTS) do
      local request = { kind = row[1], data = row[2] }
      local text = assert(probe.client_request(request, { corrId = "c\0" }))
      local read = probe.envelope(text)
      assert.equal(row[1], read.kind, text)
      assert.equal("c\0", read.corrId, text)
      assert.is_nil(read.auth)
      local want = meant(request)
      if row[1] == "schedule.search" then want.tags = want.tags or {} end
      assert.same(want, read.data, text)
    end
  end)

  it("has in its head what is there, and nothing else", function()
    local get = { kind = "promise.get", data = { id = "a" } }
    assert.equal('{"kind":"promise.get","head":{"corrId":"1","version":"2026-04-01"},"data":{"id":"a"}}',
      probe.client_request(get, { corrId = "1" }))
    local text = probe.client_request(get, { corrId = "1", auth = "t\"", origin = "o", preload = "none" })
    assert.same({ corrId = "1", version = "2026-04-01", auth = "t\"", ["resonate:origin"] = "o",
      ["dahost:preload"] = "none" }, meaning.plain(json.decode(text).head))
    assert.equal("t\"", probe.envelope(text).auth)
  end)

  it("gives each action within a head of the same corrId", function()
    for _, row in ipairs(REQUESTS) do
      local data = json.decode(assert(probe.client_request({ kind = row[1], data = row[2] }, { corrId = "7", auth = "t" }))).data
      local actions = data.actions or { data.action }
      for i, action in ipairs(actions) do
        assert.same({ corrId = "7", version = "2026-04-01" }, meaning.plain(action.head), row[1])
        assert.equal((row[2].actions or { row[2].action })[i].kind, action.kind)
      end
    end
  end)
end)

---------------------------------------------------------------------------------------------------- answers

local function answer(status, data, head)
  return ('{"kind":"x","head":{"corrId":"1","status":%d,"version":"2026-04-01"%s},"data":%s}'):format(status, head or "",
    data)
end

local PROMISE = '{"id":"a","state":"pending","timeoutAt":5,"createdAt":1,"param":{},"value":{},"tags":{}}'
local TASK = '{"id":"a","state":"acquired","version":1,"resumes":0,"ttl":5,"pid":"p"}'
local SCHEDULE = '{"id":"s","cron":"* * * * *","promiseId":"p","promiseTimeout":5,"promiseParam":{},"promiseTags":{},' ..
  '"createdAt":1,"nextRunAt":2}'
local LEASE = '{"promise":' .. PROMISE .. ',"task":' .. TASK .. ',"preload":[' .. PROMISE .. "]}"
local FENCE = '{"action":' .. answer(200, '{"promise":' .. PROMISE .. "}") .. ',"preload":[]}'

-- An answer that is right, of each shape.
local ANSWERS = {
  { "promise.get", answer(200, '{"promise":' .. PROMISE .. "}") },
  { "task.get", answer(200, '{"task":' .. TASK .. "}") },
  { "task.acquire", answer(200, LEASE) },
  { "task.create", answer(200, LEASE) },
  { "task.fence", answer(200, FENCE) },
  { "task.suspend", answer(300, '{"preload":[' .. PROMISE .. "]}") },
  { "task.heartbeat", answer(200, "{}") },
  { "schedule.get", answer(200, '{"schedule":' .. SCHEDULE .. "}") },
  { "promise.search", answer(200, '{"promises":[' .. PROMISE .. '],"cursor":"a"}') },
  { "task.search", answer(200, '{"tasks":[' .. TASK .. "]}") },
  { "schedule.search", answer(200, '{"schedules":[' .. SCHEDULE .. '],"cursor":"s"}') },
  { "promise.get", answer(404, '"Promise not found"') },
}

local function read(kind, text)
  local reply, corr_id, whole = probe.client_answer(text, kind)
  assert(reply, corr_id)
  return reply, whole
end

local function refused(kind, text)
  local reply, words = probe.client_answer(text, kind)
  assert.is_nil(reply, text)
  assert(type(words) == "string" and #words > 0, text)
end

describe("an answer to a client", function()
  it("is read, of each shape", function()
    for _, row in ipairs(ANSWERS) do
      local reply, corr_id = probe.client_answer(row[2], row[1])
      assert(reply, corr_id)
      assert.equal("1", corr_id)
      assert.equal(json.decode(row[2]).head.status, reply.status)
    end
  end)

  it("says in words why it is an error", function()
    assert.same({ status = 409, data = "No\n" }, (read("task.acquire", answer(409, '"No\\n"'))))
    assert.same({ status = 500, data = '{"a":1}' }, (read("task.acquire", answer(500, '{"a":1}'))))
    assert.same({ status = 409, data = "no reason was given" }, (read("task.acquire", '{"head":{"status":409}}')))
    assert.equal("no", read("task.fence", answer(200, '{"action":' .. answer(404, '"no"') .. "}")).data.action.data)
  end)

  it("is read with null for what is absent, with members that nobody knows, and with resumes of any kind", function()
    local promise = PROMISE:gsub('"param":{}', '"param":null'):gsub('"value":{}', '"value":{"data":null,"headers":null}')
      :gsub('"tags":{}', '"tags":null,"settledAt":null,"new":[{}]')
    assert.same(read("promise.get", answer(200, '{"promise":' .. PROMISE .. "}")),
      (read("promise.get", answer(200, '{"new":1,"promise":' .. promise .. "}", ',"new":{}'))))
    for written, count in pairs { ["3"] = 3, ["[]"] = 0, ['["a","b"]'] = 2, ["true"] = 1, ["false"] = 0, ["null"] = 0 } do
      local task = TASK:gsub('"resumes":0', '"resumes":' .. written)
      assert.equal(count, read("task.get", answer(200, '{"task":' .. task .. "}")).data.task.resumes, written)
    end
  end)

  it("needs no task and no preload of a task.create", function()
    local reply = read("task.create", answer(200, '{"promise":' .. PROMISE .. "}"))
    assert.is_nil(reply.data.task)
    assert.is_nil(reply.data.preload)
    refused("task.acquire", answer(200, '{"promise":' .. PROMISE .. "}"))
  end)

  it("says whether its preload is whole", function()
    local _, whole = read("task.acquire", answer(200, LEASE))
    assert.is_false(whole)
    _, whole = read("task.acquire", answer(200, LEASE, ',"dahost:preload":"whole"'))
    assert.is_true(whole)
    _, whole = read("task.acquire", answer(200, LEASE, ',"dahost:preload":"some"'))
    assert.is_false(whole)
  end)

  it("has data decoded if it is the base64 of JSON on one line, else as it came", function()
    local function kept(value)
      return probe.client_value(answer(200, '{"promise":' .. PROMISE:gsub('"param":{}', '"param":' .. value) .. "}"))
    end
    local how, data = kept('{"data":"' .. probe.base64('{"a":1}') .. '"}')
    assert.same({ "json", '{"a":1}' }, { how, data })
    how, data = kept('{"data":"' .. probe.base64('{"a":\n1}') .. '"}')
    assert.same({ "data", probe.base64('{"a":\n1}') }, { how, data })
    how, data = kept('{"data":"' .. probe.base64("no") .. '"}')
    assert.same({ "data", probe.base64("no") }, { how, data })
    how = kept('{"headers":{}}')
    assert.equal("none", how)
    how, data = kept('{"data":"e30=","data":"x"}') -- of a member told twice the last one counts
    assert.same({ "data", "x" }, { how, data })
  end)

  it("has no cursor if there is nothing before it", function()
    assert.is_nil(read("promise.search", answer(200, '{"promises":[],"cursor":"a"}')).data.cursor)
  end)
end)

---------------------------------------------------------------------------------------------------- what is none

local function paths_of(value, path, all)
  for name, each in pairs(value) do
    local copy = { table.unpack(path) }
    copy[#copy + 1] = name
    all[#all + 1] = copy
    if type(each) == "table" then paths_of(each, copy, all) end
  end
  return all
end

-- The text with another value there; removed if it is nil.
local function with(text, path, value)
  local root = json.decode(text)
  local at = root
  for i = 1, #path - 1 do at = at[path[i]] end
  at[path[#path]] = value
  return json.encode(root)
end

describe("what is no answer", function()
  it("is refused with words", function()
    for _, text in ipairs { "", "x", "null", "[]", "{}", '"a"', "{" .. ANSWERS[1][2], ANSWERS[1][2] .. "x",
      '{"head":{"status":200}}', '{"data":{}}', '{"head":[],"data":{}}', '{"head":{},"data":{}}',
      '{"head":{"status":"200"},"data":{}}', '{"head":{"status":0},"data":{}}', '{"head":{"status":1e2},"data":{}}',
      '{"head":{"status":200,"corrId":1},"data":{}}', answer(200, "[]"), answer(200, "null"), answer(200, '"x"'),
      ("["):rep(100000), answer(200, ("["):rep(300) .. ("]"):rep(300)) } do
      refused("promise.get", text)
    end
  end)

  it("lacks what such an answer has", function()
    for _, row in ipairs(ANSWERS) do
      local status = json.decode(row[2]).head.status
      if status == 200 and row[1] ~= "task.heartbeat" then refused(row[1], answer(200, "{}")) end
    end
    for _, name in ipairs { "id", "state", "timeoutAt" } do
      refused("promise.get", with(ANSWERS[1][2], { "data", "promise", name }, nil))
    end
    for _, name in ipairs { "id", "version" } do
      refused("task.get", with(ANSWERS[2][2], { "data", "task", name }, nil))
    end
    refused("schedule.get", with(answer(200, '{"schedule":' .. SCHEDULE .. "}"), { "data", "schedule", "id" }, nil))
  end)

  it("says that one may go on where nothing was suspended", function()
    for _, row in ipairs(ANSWERS) do
      if row[1] ~= "task.suspend" then refused(row[1], answer(300, '{"preload":[]}')) end
    end
    refused("task.fence", answer(200, '{"action":' .. answer(300, "{}") .. "}"))
  end)

  it("has a fence in a fence", function()
    refused("task.fence", answer(200, '{"action":' .. answer(200, FENCE) .. "}"))
  end)

  it("has members of other types, or is cut off, or is spoiled: refused or read, never worse", function()
    local function try(kind, text)
      local reply, words = probe.client_answer(text, kind)
      assert(reply and reply.status or type(words) == "string" and #words > 0, text)
      return reply
    end
    local seed = lockstep.seed()
    local g, changed = gen.new(seed), 0
    for _, row in ipairs(ANSWERS) do
      for _, path in ipairs(paths_of(json.decode(row[2]), {}, {})) do
        for _, value in ipairs { true, 7, -1, 1.5, "x", "", { "x" }, { x = 1 }, json.null } do
          try(row[1], with(row[2], path, value))
          changed = changed + 1
        end
        try(row[1], with(row[2], path, nil))
      end
      for at = 0, #row[2] - 1 do refused(row[1], row[2]:sub(1, at)) end
      for _ = 1, 200 do
        local at = g:int(#row[2])
        try(row[1], row[2]:sub(1, at - 1) .. string.char(g:int(256) - 1) .. row[2]:sub(at + 1))
      end
    end
    assert(changed > 500)
  end)
end)

---------------------------------------------------------------------------------------------------- messages

describe("a message to a client", function()
  it("is read as it was written", function()
    assert.same({ kind = "execute", id = "a\0", version = 7 },
      probe.client_message(probe.envelope_message(nil, "a\0", 7, "http://x")))
    local record = { id = "a", state = "resolved", timeoutAt = 5, createdAt = 1, settledAt = 2, settleSeq = 1, tags = {},
      param = {}, value = { data = "x" } }
    local message = assert(probe.client_message(probe.envelope_message(record)))
    assert.same({ "unblock", "a" }, { message.kind, message.id })
    assert.same({ id = "a", state = "resolved", timeoutAt = 5, createdAt = 1, settledAt = 2, tags = {}, param = {},
      value = { data = "x" } }, message.promise)
  end)

  it("that is none is refused with words", function()
    for _, text in ipairs { "", "{}", "[]", '{"kind":1,"data":{}}', '{"kind":"x","data":{}}', '{"kind":"execute","data":[]}',
      '{"kind":"execute","data":{"task":{"id":"a"}}}', '{"kind":"execute","data":{"task":{"version":1}}}',
      '{"kind":"execute","data":{"task":7}}', '{"kind":"unblock","data":{}}',
      '{"kind":"unblock","data":{"promise":{"id":"a"}}}' } do
      local message, words = probe.client_message(text)
      assert.is_nil(message, text)
      assert(#words > 0, text)
    end
  end)
end)

---------------------------------------------------------------------------------------------------- the run

-- The reply with the values of its promises as the client has them: decoded, if they are JSON.
local function decoded(reply)
  local copy = {}
  for name, each in pairs(reply) do
    if name == "param" or name == "value" then
      local value = meaning.value(each)
      copy[name] = { data = value.json or value.data, headers = value.headers }
    else
      copy[name] = type(each) == "table" and decoded(each) or each
    end
  end
  return copy
end

-- Two stores are asked the same, one in process, one over a client's JSON.
local function step(near, far, model, request, now, run)
  if request.kind == "task.search" and type(request.data) == "table" then request.data.tags = nil end
  model:apply(request, now)
  local function in_process(world)
    local reply
    repeat reply = assert(world:apply(request, now)) until request.kind ~= "sweep" or not reply.data.more
    return reply
  end
  local want = in_process(near)
  if IN_PROCESS[request.kind] then return in_process(far) end
  run.text = probe.client_request(request, { corrId = "" })
  if not run.text then return end
  run.answer = assert(far:serve(run.text, now))
  local settles = request.kind == "task.fence" and request.data.action.kind == "promise.settle"
  local got = assert(probe.client_answer(run.answer, request.kind, settles))
  want = decoded(meaning.plain(want))
  if type(want.data) == "table" and want.data.action then want.data.action.head.corrId = "" end
  local same, where = oracle.same(want, got, "reply")
  assert(same, where)
  if want.status == 400 then return end
  same, where = oracle.same(meaning.of(request), probe.envelope(run.text).data, "request")
  assert(same, where)
  run.read[request.kind] = (run.read[request.kind] or 0) + 1
end

describe("random requests of a client", function()
  local seed = lockstep.seed()
  local run = { read = {} }

  it("are read as they were meant, and their answers as the replies they were", function()
    local g, now = gen.new(seed), 0
    local near, far, model
    for op = 1, OPS do
      if not near or g:spent(model) then
        if near then near:close() far:close() end
        near, far = probe.new { kind = "memory" }, probe.new { kind = "memory" }
        model = oracle.new { profile = {} }
      end
      local request
      request, now = g:next(model, now)
      local ok, why = pcall(step, near, far, model, request, now, run)
      assert(ok, ("seed %d, request %d: %s\n%s\n%s"):format(seed, op, why, run.text, run.answer))
    end
    near:close()
    far:close()
  end)

  it("were of every kind", function()
    local rare = {}
    for _, kind in ipairs { "promise.get", "promise.create", "promise.settle", "promise.register_callback",
      "promise.register_listener", "task.get", "task.create", "task.acquire", "task.release", "task.fulfill",
      "task.suspend", "task.fence", "task.heartbeat", "task.halt", "task.continue", "promise.search", "task.search" } do
      if (run.read[kind] or 0) < 10 then rare[#rare + 1] = ("%s: %d"):format(kind, run.read[kind] or 0) end
    end
    assert.same({}, rare)
  end)
end)
