-- poll_spec.lua - messages to workers that hold a stream: who gets what, what is kept, and that a process with scripts
-- shares its groups with them.
--
-- The real program; connections are real sockets. What a stream must not get is shown by what it gets next.
--
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local http = require("spec.support.http")
local json = require("dkjson")
local probe = require("da_probe")
local serve = require("spec.support.serve")

local FAR = 9007199254740991

describe("poll", function()
  local place, server, connection
  local told = {}

  local function start(words, options)
    server = serve.start(place, words, options)
    connection = http.connect(server.address)
  end

  before_each(function()
    place = cli.begin()
    told = {}
  end)

  after_each(function()
    http.close_all()
    if server then serve.stop(server) end
    server = nil
    cli.finish()
  end)

  local function join(group, id)
    return assert(http.stream(server.address, ("/poll/%s/%s"):format(group, id)))
  end

  local function call(kind, data)
    local status, answer = connection:call(kind, data)
    assert(status == 200, json.encode(answer))
    return answer
  end

  local function create(id, target, func, tags)
    local all = { ["resonate:target"] = target }
    for name, value in pairs(tags or {}) do all[name] = value end
    local param = func and { headers = setmetatable({}, { __jsontype = "object" }),
      data = probe.base64(json.encode { func = func, args = { 1 } }) } or setmetatable({}, { __jsontype = "object" })
    return call("promise.create", { id = id, timeoutAt = FAR, param = param, tags = setmetatable(all, { __jsontype = "object" }) })
  end

  -- Settles a promise that `address` listens to.
  local function unblock(id, address)
    call("promise.create", { id = id, timeoutAt = FAR, param = setmetatable({}, { __jsontype = "object" }),
      tags = setmetatable({}, { __jsontype = "object" }) })
    call("promise.register_listener", { awaited = id, address = address })
    call("promise.settle", { id = id, state = "resolved", value = setmetatable({}, { __jsontype = "object" }) })
  end

  -- What the next message of a stream is about: "execute a v0", "unblock b". What was told before is passed over: delivery
  -- is at least once, and a stream that ends in the very moment may have had its last message.
  local function next_of(stream)
    local words, message
    repeat
      message = stream:message()
      if not message then return nil end
      words = message.kind == "execute" and ("execute %s v%d"):format(message.data.task.id, message.data.task.version)
        or "unblock " .. message.data.promise.id
    until not told[words]
    told[words] = true
    return words, message
  end

  it("sends one event of one line, as the protocol's clients read it", function()
    start()
    local stream = join("g", "1")
    assert.equal("text/event-stream", stream.answer.headers["content-type"])
    assert.equal("no-cache", stream.answer.headers["cache-control"])
    create("a", "poll://any@g")
    local frame = stream:frame()
    local message = json.decode(frame:match("^data: (.*)$"))
    assert.same({ kind = "execute", head = { serverUrl = "http://" .. server.address },
      data = { task = { id = "a", version = 0 } } }, message)
    unblock("b", "poll://uni@g/1")
    local _, settled = next_of(stream)
    assert.same({}, settled.head)
    assert.equal("resolved", settled.data.promise.state)
  end)

  describe("routes", function()
    -- Connections in order of registration, "group/id" each; an address; the connections that get one of two messages
    -- each, or "kept".
    local rows = {
      { { "g/1" }, "poll://any@g", "g/1" },
      { { "g/1" }, "poll://uni@g/1", "g/1" },
      { { "g/1" }, "poll://any@g/1", "g/1" },
      { { "g/1" }, "poll://any@g/2", "g/1" }, -- preferred, and not there
      { { "g/1", "g/2" }, "poll://any@g/2", "g/2" },
      { { "g/1", "g/2" }, "poll://uni@g/2", "g/2" },
      { { "h/1" }, "poll://any@g", "kept" },
      { { "h/1" }, "poll://any@g/1", "kept" },
      { { "g/2" }, "poll://uni@g/1", "kept" },
      { { "gg/1", "g/11" }, "poll://uni@g/1", "kept" },
      { { "gg/1" }, "poll://any@g", "kept" },
      { { "g%2Fx/1" }, "poll://any@g/x", "kept" }, -- segments are decoded, addresses are not
      { { "g/a%20b" }, "poll://uni@g/a%20b", "kept" },
      { { "g/a%2Fb" }, "poll://uni@g/a/b", "g/a%2Fb" },
    }
    for _, row in ipairs(rows) do
      local connections, address, expected = table.unpack(row)
      it(("%s with %s: %s"):format(address, table.concat(connections, ", "), expected), function()
        start()
        local streams = {}
        for _, name in ipairs(connections) do streams[name] = join(name:match("^(.*)/(.*)$")) end
        unblock("a", address)
        if expected ~= "kept" then
          assert.equal("unblock a", next_of(streams[expected]))
        end
        -- Each gets a message of its own next, and nothing before it.
        for i, name in ipairs(connections) do
          if not name:find("%%") then
            unblock("own" .. i, "poll://uni@" .. name)
            assert.equal("unblock own" .. i, next_of(streams[name]))
          end
        end
      end)
    end

    it("to the first registered one of an id, and to the next when that has gone", function()
      start()
      local first, second = join("g", "1"), join("g", "1")
      unblock("a", "poll://uni@g/1")
      assert.equal("unblock a", next_of(first))
      first.connection:close()
      unblock("b", "poll://uni@g/1")
      unblock("c", "poll://uni@g/1")
      assert.equal("unblock b", next_of(second))
      assert.equal("unblock c", next_of(second))
    end)

    it("in turn among equals", function()
      start()
      local streams = { join("g", "1"), join("g", "2"), join("g", "3") }
      for round = 1, 2 do
        local seen = {}
        for i = 1, 3 do create(("t%d.%d"):format(round, i), "poll://any@g") end
        for i, stream in ipairs(streams) do seen[i] = next_of(stream) end
        table.sort(seen)
        assert.same({ ("execute t%d.1 v0"):format(round), ("execute t%d.2 v0"):format(round),
          ("execute t%d.3 v0"):format(round) }, seen)
      end
    end)
  end)

  it("keeps what nobody is there for, until somebody comes, through an end of the process", function()
    start()
    create("a", "poll://any@g")
    create("b", "poll://any@g/9")
    unblock("c", "poll://uni@g/1")
    unblock("d", "poll://uni@g/2")
    http.close_all()
    serve.stop(server)
    start()
    local stream = join("g", "1")
    local seen = {}
    for i = 1, 3 do seen[i] = next_of(stream) end
    table.sort(seen)
    assert.same({ "execute a v0", "execute b v0", "unblock c" }, seen)
    assert.equal("unblock d", next_of(join("g", "2")))
  end)

  it("gives a client that comes back within a moment what was settled meanwhile", function()
    start()
    for i = 1, 10 do
      local stream = join("g", "1")
      stream.connection:reset()
      unblock("p" .. i, "poll://uni@g/1")
      local again = join("g", "1")
      assert.equal("unblock p" .. i, next_of(again))
      again.connection:close()
    end
  end)

  it("has room for so many connections, and says so", function()
    start({ "--poll-connections", "2" })
    local first = join("g", "1")
    join("h", "1")
    local none, answer = http.stream(server.address, "/poll/g/2")
    assert.is_nil(none)
    assert.same({ 503, "Poll registration at capacity" }, { answer.status, answer.body })
    first.connection:close()
    local third
    repeat third = http.stream(server.address, "/poll/g/3") until third
    create("a", "poll://any@g")
    assert.equal("execute a v0", next_of(third))
  end)

  it("keeps streams alive with comments", function()
    start({ "--poll-keepalive", "50ms" })
    local streams = { join("g", "1"), join("h", "1") }
    for _ = 1, 2 do
      for _, stream in ipairs(streams) do assert.equal(":", stream:frame()) end
    end
  end)

  it("ends its streams when it is told to end", function()
    start()
    local stream = join("g", "1")
    server:signal_with("sigterm")
    assert.is_true(stream:wait_end())
    assert.equal(0, server:wait().code)
    server = nil
  end)

  it("loses nothing to a reader that takes nothing for a while", function()
    start({ "--poll-buffer", "5" })
    local slow = join("g", "1")
    slow.connection.socket:read_stop()
    local big = ("x"):rep(100000)
    for i = 1, 80 do
      local id = ("p%02d"):format(i)
      call("promise.create", { id = id, timeoutAt = FAR, param = setmetatable({}, { __jsontype = "object" }),
        tags = setmetatable({}, { __jsontype = "object" }) })
      call("promise.register_listener", { awaited = id, address = "poll://uni@g/1" })
      call("promise.settle", { id = id, state = "resolved",
        value = { headers = setmetatable({}, { __jsontype = "object" }), data = big } })
    end
    local self = slow.connection
    self.socket:read_start(function(err, data)
      if data then self.buffer = self.buffer .. data else self.ended, self.fault = true, err end
    end)
    local seen = {}
    for _ = 1, 80 do seen[assert(next_of(slow))] = true end
    for i = 1, 80 do assert.is_true(seen[("unblock p%02d"):format(i)], i) end
  end)

  it("agrees with a model, whatever comes and goes", function()
    local seed = tonumber(os.getenv("DA_SEED")) or os.time()
    math.randomseed(seed)
    start()
    local live = {} -- { group, id, stream }, in order of registration
    local number = 0
    local function one_of(list) return list[math.random(#list)] end
    local function leave(i)
      local gone = table.remove(live, i)
      gone.stream.connection:close()
      -- Its end is known once a request behind it is answered, or a moment later: what it would have got is kept then.
    end
    for _ = 1, 300 do
      local roll = math.random(10)
      if roll <= 3 or #live == 0 then
        local group, id = one_of { "g", "h" }, one_of { "1", "2", "3" }
        live[#live + 1] = { group = group, id = id, stream = join(group, id) }
      elseif roll == 4 then
        leave(math.random(#live))
        -- The server hears of it before it is asked again: a stream of another group tells.
        local behind = join("probe", "p")
        number = number + 1
        unblock("q" .. number, "poll://uni@probe/p")
        next_of(behind)
        behind.connection:close()
      else
        number = number + 1
        local group, id = one_of { "g", "h" }, one_of { "1", "2", "3" }
        local uni = math.random(2) == 1
        local address = ("poll://%s@%s/%s"):format(uni and "uni" or "any", group, id)
        local named, any = nil, 0
        for _, each in ipairs(live) do
          if each.group == group then
            any = any + 1
            if each.id == id then named = named or each end
          end
        end
        if named then
          unblock("n" .. number, address)
          assert.equal("unblock n" .. number, next_of(named.stream), "seed " .. seed)
        elseif any == 1 and not uni then
          unblock("n" .. number, address)
          for _, each in ipairs(live) do
            if each.group == group then assert.equal("unblock n" .. number, next_of(each.stream), "seed " .. seed) end
          end
        end
      end
    end
  end)

  describe("beside scripts", function()
    local SCRIPT = [[
local da = require "da"
local da_async = da.async
function da_async.here(n) return n + 1 end
function da_async.calls() return da.await(da.service("default").elsewhere(5)) end
]]

    local function wait_resolved(id)
      local listener = join("listener", id)
      call("promise.register_listener", { awaited = id, address = "poll://uni@listener/" .. id })
      local promise = call("promise.get", { id = id }).promise
      if promise.state == "pending" then
        promise = listener:message().data.promise
      end
      listener.connection:close()
      return promise
    end

    local function fulfil(id, version, value)
      local task = call("task.acquire", { id = id, version = version, pid = "w", ttl = 60000 }).task
      call("task.fulfill", { id = id, version = task.version, action = { kind = "promise.settle",
        head = { corrId = "x", version = http.VERSION },
        data = { id = id, state = "resolved", value = { headers = setmetatable({}, { __jsontype = "object" }),
          data = probe.base64(json.encode(value)) } } } })
    end

    it("runs what they define, and hands on what they do not", function()
      start({ place:write("wf.lua", SCRIPT) })
      local worker = join("default", "w")
      create("a", "poll://any@default", "here")
      create("b", "poll://any@default", "elsewhere")
      assert.equal("execute b v0", next_of(worker))
      local a = wait_resolved("a")
      assert.same({ "resolved", "2" }, { a.state, probe.base64_read(a.value.data) })
      fulfil("b", 0, 7)
      create("c", "poll://any@default", "elsewhere")
      assert.equal("execute c v0", next_of(worker)) -- and nothing of a
    end)

    it("keeps what came over the wire until a worker comes", function()
      start({ place:write("wf.lua", SCRIPT) })
      create("b", "poll://any@default", "elsewhere")
      server:wait_for("b: no file that serves group 'default' defines a workflow 'elsewhere', but calls, here; "
        .. "it waits for a worker that does")
      assert.equal("execute b v0", next_of(join("default", "w")))
    end)

    it("gives a worker what it prefers, though a script defines it", function()
      start({ place:write("wf.lua", SCRIPT) })
      local other, worker = join("default", "v"), join("default", "w")
      create("a", "poll://any@default/w", "here")
      assert.equal("execute a v0", next_of(worker))
      create("b", "poll://any@default/x", "here")
      assert.equal("resolved", wait_resolved("b").state)
      other.connection:close()
    end)

    it("lets a script's call be answered by a worker, also one that comes later", function()
      local file = place:write("wf.lua", SCRIPT)
      start({ file })
      create("a", "poll://any@default", "calls")
      server:wait_for("a:elsewhere.1: no file that serves group 'default' defines a workflow 'elsewhere'")
      local worker = join("default", "w")
      local _, message = next_of(worker)
      assert.equal("a:elsewhere.1", message.data.task.id)
      fulfil("a:elsewhere.1", message.data.task.version, "from afar")
      local a = wait_resolved("a")
      assert.same({ "resolved", '"from afar"' }, { a.state, probe.base64_read(a.value.data) })
    end)

    it("serves no group without files, but goes on with what it has begun", function()
      start()
      local worker = join("default", "w")
      create("a", "poll://any@default", "here")
      assert.equal("execute a v0", next_of(worker))
      local file = place:write("wf.lua", SCRIPT)
      assert.equal("3\n", place:run("run", file, "here", "2").out)
      create("b", "poll://any@default", "here")
      assert.equal("execute b v0", next_of(worker))
    end)

    it("hears an unblock at an address of a group that is served here", function()
      start({ place:write("wf.lua", SCRIPT) })
      local worker = join("default", "w")
      unblock("p", "poll://any@default/w")
      assert.equal("unblock p", next_of(worker))
    end)
  end)
end)
