-- auth_server_spec.lua - what a token with a prefix may ask a server for: every id that a request names is looked at, and
-- a program that keeps to the protocol does not notice. Keys come from a file of settings, and are read again.
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local program = require("spec.support.program")
local serve = require("spec.support.serve")
local token = require("spec.support.token")

local LATER = 9007199254740991
local SOON = os.time() + 3600

local function object(members)
  return setmetatable(members or {}, { __jsontype = "object" })
end

local function promise(id, tags)
  return { id = id, timeoutAt = LATER, param = object(), tags = object(tags) }
end

local function action(kind, data)
  return { kind = kind, head = { corrId = "1", version = "2026-04-01" }, data = data }
end

local function await(awaited, awaiter)
  return action("promise.register_callback", { awaited = awaited, awaiter = awaiter })
end

local function settle(id)
  return { id = id, state = "resolved", value = object() }
end

local function schedule(id, promise_id)
  return { id = id, cron = "0 0 1 1 *", promiseId = promise_id, promiseTimeout = 1000, promiseParam = object(),
    promiseTags = { ["resonate:target"] = "poll://any@g" } }
end

local TARGET = { ["resonate:target"] = "poll://any@g" }

-- A request that names only what begins with a-, and the same with each of its ids replaced in turn.
local REQUESTS = {
  { "promise.get", function(x) return { id = x[1] } end, 1 },
  { "promise.create", function(x) return promise(x[1]) end, 1 },
  { "promise.settle", function(x) return settle(x[1]) end, 1 },
  { "promise.register_callback", function(x) return { awaited = x[1], awaiter = x[2] } end, 2 },
  { "promise.register_listener", function(x) return { awaited = x[1], address = "poll://any@g" } end, 1 },
  { "task.get", function(x) return { id = x[1] } end, 1 },
  { "task.create", function(x)
    return { pid = "p", ttl = 1000, action = action("promise.create", promise(x[1], TARGET)) }
  end, 1 },
  { "task.acquire", function(x) return { id = x[1], version = 1, pid = "p", ttl = 1000 } end, 1 },
  { "task.release", function(x) return { id = x[1], version = 1 } end, 1 },
  { "task.fulfill", function(x)
    return { id = x[1], version = 1, action = action("promise.settle", settle(x[1])) }
  end, 1 },
  { "task.suspend", function(x) return { id = x[1], version = 1, actions = { await(x[2], x[1]), await(x[3], x[1]) } } end, 3 },
  { "task.fence", function(x) return { id = x[1], version = 1, action = action("promise.create", promise(x[2])) } end, 2 },
  { "task.fence", function(x) return { id = x[1], version = 1, action = action("promise.settle", settle(x[2])) } end, 2 },
  { "task.heartbeat", function(x)
    return { pid = "p", tasks = { { id = x[1], version = 1 }, { id = x[2], version = 1 } } }
  end, 2 },
  { "task.halt", function(x) return { id = x[1] } end, 1 },
  { "task.continue", function(x) return { id = x[1] } end, 1 },
  { "schedule.get", function(x) return { id = x[1] } end, 1 },
  { "schedule.create", function(x) return schedule(x[1], x[2] .. ".{{.timestamp}}") end, 2 },
  { "schedule.delete", function(x) return { id = x[1] } end, 1 },
}

describe("a token with a prefix", function()
  local place, process, key

  before_each(function()
    place = program.place()
    key = token.key(place.dir, "p256")
    process = serve.start(place, { "--auth-publickey", key.public })
  end)
  after_each(function() place:remove() end)

  it("covers a request if it covers every id in it", function()
    local connection = http.connect(process.address)
    local auth = token.sign(key, "ES256", { exp = SOON, prefix = "a-" })
    local admin = token.sign(key, "ES256", { exp = SOON, role = "Admin" })
    for n, row in ipairs(REQUESTS) do
      local ids = {}
      for i = 1, row[3] do ids[i] = ("a-%d.%d"):format(n, i) end
      local status = connection:call(row[1], row[2](ids), { auth = auth })
      assert.is_true(status ~= 401 and status ~= 403, row[1] .. ": " .. status)
      for i = 1, row[3] do
        local own = ids[i]
        for _, other in ipairs({ "b-" .. n, "a", "", "A-" .. n }) do
          ids[i] = other
          local words
          status, words = connection:call(row[1], row[2](ids), { auth = auth })
          assert.same({ 403, "Forbidden" }, { status, words }, row[1] .. " with id " .. i)
          status = connection:call(row[1], row[2](ids), { auth = admin })
          assert.is_true(status ~= 401 and status ~= 403, row[1] .. ": " .. status)
        end
        ids[i] = own
      end
    end
    connection:close()
  end)

  it("is enough for all that a worker does for an execution under it", function()
    local connection = http.connect(process.address)
    local auth = token.sign(key, "ES256", { exp = SOON, prefix = "a-" })
    local function ask(wanted, kind, data)
      local status, answer = connection:call(kind, data, { auth = auth })
      assert.equal(wanted, status, kind .. ": " .. tostring(answer))
      return answer
    end
    local made = ask(200, "task.create", { pid = "p", ttl = 60000, action = action("promise.create", promise("a-wf", TARGET)) })
    local version = made.task.version
    ask(200, "task.fence", { id = "a-wf", version = version, action = action("promise.create", promise("a-wf:0")) })
    ask(200, "task.heartbeat", { pid = "p", tasks = { { id = "a-wf", version = version } } })
    ask(200, "task.fence", { id = "a-wf", version = version, action = action("promise.create", promise("a-wf:1")) })
    ask(200, "task.suspend", { id = "a-wf", version = version, actions = { await("a-wf:0", "a-wf") } })
    ask(200, "promise.settle", settle("a-wf:0"))
    version = ask(200, "task.get", { id = "a-wf" }).task.version
    version = ask(200, "task.acquire", { id = "a-wf", version = version, pid = "p", ttl = 60000 }).task.version
    ask(200, "task.fence", { id = "a-wf", version = version, action = action("promise.settle", settle("a-wf:1")) })
    ask(200, "task.fulfill", { id = "a-wf", version = version, action = action("promise.settle", settle("a-wf")) })
    connection:close()
  end)
end)

describe("the key of a server", function()
  local place

  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  it("comes from the file of settings, as its issuer and audience do, and is read again on SIGHUP", function()
    local old, new = token.key(place.dir, "ed25519", "old"), token.key(place.dir, "rsa", "new")
    place:write("key.pem", place:read("old.pem"))
    local path = place:write("server.toml", ("[auth]\npublickey = '%s/key.pem'\niss = 'me'\naud = 'it'\n"):format(place.dir))
    local process = serve.start(place, { "--config", path })
    assert.truthy(process.err:find(("demanding tokens signed for Ed25519 (EdDSA) of %s/key.pem, issuer me, audience it")
      :format(place.dir), 1, true))
    local claims = { exp = SOON, role = "admin", iss = "me", aud = { "it" } }
    local by_old, by_new = token.sign(old, "EdDSA", claims), token.sign(new, "PS256", claims)
    local function status_of(auth)
      return (http.call(process.address, "promise.get", { id = "x" }, { auth = auth }))
    end
    assert.equal(404, status_of(by_old))
    assert.equal(401, status_of(by_new))
    claims.aud = "else"
    assert.equal(401, status_of(token.sign(old, "EdDSA", claims)))
    place:write("key.pem", place:read("new.pem"))
    process:signal_with("sighup")
    process:wait_for("the key of tokens was loaded again")
    assert.equal(401, status_of(by_old))
    assert.equal(404, status_of(by_new))
    place:write("key.pem", "nonsense")
    process:signal_with("sighup")
    process:wait_for("the key of tokens stays as it was")
    assert.equal(404, status_of(by_new))
  end)

  it("that cannot be read ends it before it listens, in words", function()
    local got = place:run("serve", "--auth-publickey", place.dir .. "/none.pem")
    assert.is_true(got.code ~= 0)
    assert.truthy(got.err:find("none.pem cannot be opened: No such file or directory", 1, true), got.err)
    assert.is_nil(got.err:find("listening", 1, true))
  end)

  it("none is shouted about", function()
    local process = serve.start(place, { "--auth-publickey", "none" })
    assert.truthy(process.err:find("warning: SIGNATURES OF TOKENS ARE NOT CHECKED", 1, true))
  end)
end)
