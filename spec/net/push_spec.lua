-- push_spec.lua - messages to http:// addresses, from the real program to servers of this process.
--
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local http = require("spec.support.http")
local json = require("dkjson")
local program = require("spec.support.program")
local serve = require("spec.support.serve")
local web = require("spec.support.web")

local FAR = 9007199254740991
local EMPTY = setmetatable({}, { __jsontype = "object" })

describe("push", function()
  local place, server, connection
  local sites = {}

  local function start(...)
    server = serve.start(place, { ... }, { env = { DAHOST_LOG = "warn" } })
    connection = http.connect(server.address)
  end

  local function site(answer)
    sites[#sites + 1] = web.serve(answer or function() return web.answer("") end)
    return sites[#sites]
  end

  before_each(function() place = cli.begin() end)

  after_each(function()
    http.close_all()
    serve.stop(server)
    for _, each in ipairs(sites) do each:close() end
    sites = {}
    cli.finish()
  end)

  local function call(kind, data)
    local status, answer = connection:call(kind, data)
    assert(status == 200, json.encode(answer))
  end

  local function create(id, target)
    call("promise.create", { id = id, timeoutAt = FAR, param = EMPTY, tags = { ["resonate:target"] = target } })
  end

  local function unblock(id, address)
    call("promise.create", { id = id, timeoutAt = FAR, param = EMPTY, tags = EMPTY })
    call("promise.register_listener", { awaited = id, address = address })
    call("promise.settle", { id = id, state = "resolved", value = EMPTY })
  end

  local function wait_requests(of, count)
    program.turn_until(function() return ("%d requests (%d came)"):format(count, #of.requests) end,
      function() return #of.requests >= count end)
  end

  it("posts a message as JSON to the whole address", function()
    start()
    local there = site()
    create("a", there.url .. "/work?x=1")
    unblock("b", there.url .. "/done")
    wait_requests(there, 2)
    local first, second = there.requests[1], there.requests[2]
    assert.same({ "POST", "/work?x=1", "application/json" }, { first.method, first.target, first.fields["content-type"] })
    assert.is_nil(first.fields.authorization)
    assert.same({ kind = "execute", head = { serverUrl = "http://" .. server.address },
      data = { task = { id = "a", version = 0 } } }, json.decode(first.body))
    assert.equal("/done", second.target)
    assert.equal("resolved", json.decode(second.body).data.promise.state)
  end)

  it("sends a bearer token where it is told one", function()
    start("--push-auth", "bearer", "--push-token", "abc", "--push-header", "x-token")
    local there = site()
    create("a", there.url)
    wait_requests(there, 1)
    assert.equal("Bearer abc", there.requests[1].fields["x-token"])
  end)

  it("sends again, after a pause, what a place was too busy for, and gives up what it refuses", function()
    start()
    local there = site(function(request)
      if request.target == "/no" then return web.answer("", "404 Not Found") end
      return web.answer("", #sites[1].requests < 4 and "503 Service Unavailable" or "204 No Content")
    end)
    unblock("a", there.url .. "/no")
    unblock("b", there.url .. "/busy")
    server:wait_for('it answered 404" kept=0')
    server:wait_for('it answered 503" kept=1')
    wait_requests(there, 4) -- 1 s and 2 s later
    local seen = {}
    for i, request in ipairs(there.requests) do seen[i] = request.target end
    table.sort(seen)
    assert.same({ "/busy", "/busy", "/busy", "/no" }, seen)
  end)

  it("delivers to others at once while an endpoint is dead", function()
    start("--push-concurrency", "8")
    local dead, silent, there = web.deaf(), site(function() end), site()
    sites[#sites + 1] = dead
    for i = 1, 20 do
      create("dead" .. i, dead.url)
      create("silent" .. i, silent.url)
    end
    for i = 1, 10 do create("a" .. i, there.url) end
    wait_requests(there, 10)
    assert.is_true(#silent.requests <= 2)
  end)

  it("is not sent where it is switched off", function()
    start("--push=false")
    local there = site()
    create("a", there.url)
    local stream = assert(http.stream(server.address, "/poll/g/1"))
    create("b", "poll://any@g")
    assert.equal("b", stream:message().data.task.id)
    assert.equal(0, #there.requests)
  end)
end)
