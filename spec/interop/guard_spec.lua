-- guard_spec.lua - the structural validator of the published SDK accepts every answer and every message that any spec got
-- from the server; spec/run has this one wait for all others.
--
-- SPDX-License-Identifier: Apache-2.0
local answers = require("spec.support.answers")
local http = require("spec.support.http")
local interop = require("spec.support.interop")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local LATER = 9007199254740991

-- What the validator said of these lines: what it refuses, how many of each it accepts, how many it does not know.
local function judged(lines)
  local guard = interop.node("guard", {}, { input = lines })
  local refused = {}
  while true do
    local said = guard:said()
    assert(said, "the validator ended without its last line\n" .. guard.process.err)
    if said.accepted then return refused, said.accepted, said.unknown end
    refused[#refused + 1] = said.refused
  end
end

local function answer(kind, status, data)
  return ('answer %s\t{"kind":"%s","head":{"corrId":"c","status":%d,"version":"2026-04-01"},"data":%s}\n')
    :format(kind, kind, status, data)
end

local PROMISE = '{"id":"p","state":"%s","param":{},"value":{},"tags":{},"timeoutAt":1,"createdAt":0%s}'

---------------------------------------------------------------------------------------------------- every kind once

local function task(id)
  return { id = id, timeoutAt = LATER, tags = { ["resonate:target"] = "poll://any@g", ["resonate:origin"] = id,
    ["resonate:branch"] = id, ["resonate:parent"] = id } }
end

local function action(kind, data)
  return { kind = kind, head = { corrId = "a", version = http.VERSION }, data = data }
end

local function child(id)
  return action("promise.create", { id = id, timeoutAt = LATER, param = { data = "eA==" },
    tags = { ["resonate:branch"] = "w", ["resonate:scope"] = "global" } })
end

local function suspend(id, version, awaited)
  return { id = id, version = version, actions = { action("promise.register_callback", { awaiter = id, awaited = awaited }) } }
end

local SCHEDULE = { id = "s", cron = "0 0 1 1 *", promiseId = "{{.id}}.{{.timestamp}}", promiseTimeout = 5,
  promiseTags = { ["resonate:target"] = "poll://any@g", a = "b" } }

-- Kind, data, and the status of its answer, in this order.
local ROWS = {
  { "promise.create", { id = "p", timeoutAt = LATER, param = { data = "eA==", headers = { a = "b" } }, tags = { a = "b" } }, 200 },
  { "promise.create", { id = "dead", timeoutAt = 0 }, 200 },
  { "promise.create", { id = "", timeoutAt = 0 }, 400 },
  { "promise.create", task("w"), 200 },
  { "promise.get", { id = "p" }, 200 },
  { "promise.get", { id = "nobody" }, 404 },
  { "promise.register_listener", { awaited = "w", address = "poll://uni@g/me" }, 200 },
  { "promise.register_listener", { awaited = "nobody", address = "poll://uni@g/me" }, 404 },
  { "task.get", { id = "w" }, 200 },
  { "task.get", { id = "p" }, 404 },
  { "task.acquire", { id = "w", version = 0, pid = "x", ttl = 60000 }, 200 },
  { "task.acquire", { id = "w", version = 0, pid = "x", ttl = 60000 }, 409 },
  { "task.acquire", { id = "nobody", version = 0, pid = "x", ttl = 60000 }, 404 },
  { "task.fence", { id = "w", version = 1, action = child("w:0") }, 200 },
  { "task.fence", { id = "w", version = 1, action = child("w:1") }, 200 },
  { "task.fence", { id = "w", version = 1, action = action("promise.settle", { id = "w:0", state = "rejected",
    value = { data = "eA==" } }) }, 200 },
  { "task.fence", { id = "w", version = 1, action = action("promise.settle", { id = "w:9", state = "resolved" }) }, 200 },
  { "task.fence", { id = "w", version = 7, action = child("w:2") }, 409 },
  { "task.fence", { id = "w", version = 1, action = child("w") }, 400 },
  { "task.heartbeat", { pid = "x", tasks = { { id = "w", version = 1 } } }, 200 },
  { "task.suspend", suspend("w", 1, "w:0"), 300 },
  { "task.suspend", suspend("w", 1, "w:7"), 422 },
  { "task.suspend", suspend("w", 7, "w:1"), 409 },
  { "task.suspend", suspend("w", 1, "w:1"), 200 },
  { "promise.register_callback", { awaiter = "w", awaited = "w:1" }, 200 },
  { "promise.register_callback", { awaiter = "p", awaited = "w:1" }, 422 },
  { "promise.settle", { id = "w:1", state = "resolved", value = { data = "" } }, 200 },
  { "promise.settle", { id = "nobody", state = "resolved" }, 404 },
  { "task.halt", { id = "w" }, 200 },
  { "task.continue", { id = "w" }, 200 },
  { "task.continue", { id = "w" }, 409 },
  { "task.create", { pid = "x", ttl = 60000, action = action("promise.create", task("w")) }, 200 },
  { "task.create", { pid = "x", ttl = 60000, action = action("promise.create", task("v")) }, 200 },
  { "task.create", { pid = "x", ttl = 60000, action = action("promise.create", task("v")) }, 409 },
  { "task.create", { pid = "x", ttl = 60000, action = action("promise.create", { id = "q", timeoutAt = 1 }) }, 400 },
  { "task.release", { id = "v", version = 1 }, 200 },
  { "task.release", { id = "v", version = 1 }, 409 },
  { "task.search", {}, 200 },
  { "task.fulfill", { id = "w", version = 2, action = action("promise.settle", { id = "w", state = "resolved",
    value = { data = "eA==" } }) }, 200 },
  { "task.fulfill", { id = "w", version = 2, action = action("promise.settle", { id = "w", state = "resolved" }) }, 409 },
  { "task.create", { pid = "x", ttl = 60000, action = action("promise.create", task("w")) }, 200 },
  { "promise.search", { limit = 2 }, 200 },
  { "promise.search", { tags = { a = "b" } }, 200 },
  { "promise.search", { limit = 0 }, 400 },
  { "schedule.create", SCHEDULE, 200 },
  { "schedule.get", { id = "s" }, 200 },
  { "schedule.get", { id = "nobody" }, 404 },
  { "schedule.search", { tags = { a = "b" } }, 200 },
  { "debug.start", {}, 200 },
  { "debug.tick", { time = 4102444800000 }, 200 },
  { "debug.snap", {}, 200 },
  { "schedule.delete", { id = "s" }, 200 },
  { "schedule.delete", { id = "s" }, 404 },
  { "debug.stop", {}, 200 },
  { "debug.reset", {}, 200 },
  { "nobody.asks", {}, 400 },
}

-- Asks a server all of it, with an ear for its messages.
local function ask_all()
  local place = program.place()
  answers.folder = answers.folder or place.dir
  local server = serve.start(place, { "--listen", "127.0.0.1:0", "--debug" })
  local ear = http.stream(server.address, "/poll/g/me")
  local connection = http.connect(server.address)
  for i, row in ipairs(ROWS) do
    if row[1] == "debug.start" then -- from here on none is sent, and a reset forgets those that wait
      for _, kind in ipairs { "execute", "unblock" } do
        repeat until ear:message().kind == kind
      end
    end
    local status, data = connection:call(row[1], row[2])
    assert.are.equal(row[3], status, ("row %d, %s: %s"):format(i, row[1], tostring(data)))
  end
  ear:close()
  connection:close()
  serve.stop(server)
  return place
end

describe("the SDK's own structural validator", function()
  it("refuses what it must", function()
    local pending = PROMISE:format("pending", "")
    local refused, accepted, unknown = judged(table.concat {
      answer("promise.get", 200, '{"promise":' .. pending .. "}"),
      answer("promise.get", 200, '{"promise":' .. PROMISE:format("pending", ',"settledAt":null') .. "}"),
      answer("promise.get", 404, "{}"),
      answer("task.suspend", 300, '{"preload":{}}'),
      answer("task.suspend", 300, '{"preload":[]}'),
      answer("nobody.asks", 400, "null"),
      "answer promise.get\tno JSON\n",
      'message -\t{"kind":"unblock","head":{},"data":{}}\n',
      'message -\t{"kind":"unblock","head":{},"data":{"promise":' .. pending .. "}}\n",
    })
    assert.are.equal(5, #refused, table.concat(refused, "\n"))
    assert.are.same({ ["promise.get 200"] = 1, ["task.suspend 300"] = 1, ["message unblock"] = 1 }, accepted)
    assert.are.equal(1, unknown)
  end)

  it("accepts an answer of every kind, and every answer and message of all other specs of this run", function()
    local place = ask_all()
    local refused, accepted, unknown = judged(answers.all())
    place:remove()
    local names, sum = {}, 0
    for name, count in pairs(accepted) do
      names[#names + 1] = ("%s: %d"):format(name, count)
      sum = sum + count
    end
    table.sort(names)
    print(("%d answers and messages, %d of kinds unknown to the SDK\n%s"):format(sum, unknown, table.concat(names, ", ")))
    assert.are.equal(0, #refused, table.concat(refused, "\n"))
    for _, row in ipairs(ROWS) do
      assert.is_truthy(accepted[row[1] .. " " .. row[3]] or row[1] == "nobody.asks", row[1] .. " " .. row[3])
    end
    assert.is_true(unknown > 0)
    for _, kind in ipairs { "execute", "unblock" } do assert.is_truthy(accepted["message " .. kind], kind) end
  end)
end)
