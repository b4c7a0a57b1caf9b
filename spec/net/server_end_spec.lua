-- server_end_spec.lua - the server's life: where it listens, who it warns, what a service manager hears, how it ends.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local http = require("spec.support.http")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local LATER = 9007199254740991

local function promise(id)
  local empty = setmetatable({}, { __jsontype = "object" })
  return { id = id, timeoutAt = LATER, param = empty, tags = empty }
end

describe("the server's", function()
  local place, process

  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  local function start(...)
    process = serve.start(place, { ... })
    return process
  end

  -- A request under way: its head and half of its body. Returns the connection, and what is missing.
  local function begin_request(id)
    local connection = http.connect(process.address)
    local envelope = http.envelope("promise.create", promise(id))
    local text = http.request_text { method = "POST", body = json.encode(envelope) }
    connection.owed[1] = "POST"
    connection:write(text:sub(1, -20))
    connection:wait_for("an answer to another connection", function()
      return http.ask(process.address, { path = "/health" }).status == 200 -- the half has been read before
    end)
    return connection, text:sub(-19), envelope
  end

  describe("end", function()
    it("comes to streams first, then to requests under way, then to the store", function()
      start()
      local stream = http.stream(process.address, "/poll/g/i")
      local idle = http.connect(process.address)
      assert.equal(200, idle:ask { path = "/health" }.status)
      local connection, rest, envelope = begin_request("late")
      process:signal_with("sigterm")
      assert.is_true(stream:wait_end()) -- in order, though a request is under way
      idle:wait_end()
      assert.is_nil(process.code)
      connection:wait_for("the end of the listener", function() return not pcall(http.connect, process.address) end)
      connection:write(rest)
      local answer = connection:receive()
      http.check(envelope, answer)
      assert.are.same({ 503, "close" }, { answer.status, answer.headers.connection })
      connection:wait_end()
      process:wait()
      assert.equal(0, process.code)
      assert.matches("stopped; what is not finished goes on with the next dahost serve\n$", process.err)
      assert.equal(0, place:run("verify").code)
    end)

    it("waits no longer than it is told to", function()
      start("--shutdown-timeout", "100ms")
      local connection = begin_request("never")
      process:signal_with("sigterm"):wait()
      assert.equal(0, process.code)
      assert.matches("stopped;", process.err)
      connection:wait_end()
    end)

    it("comes at once with a second signal", function()
      start("--shutdown-timeout", "1h")
      local connection = begin_request("never")
      process:signal_with("sigterm")
      connection:wait_for("the end of the listener", function() return not pcall(http.connect, process.address) end)
      process:signal_with("sigint"):wait()
      assert.equal(0, process.code)
      connection:wait_end()
      serve.stop(start())
      assert.equal(0, place:run("verify").code)
    end)

    it("comes though a script keeps the loop", function()
      local script = place:write("busy.lua", [[
local da = require "da"
function da.async.busy() print "busy" return ("a"):rep(40):find(("a*"):rep(20) .. "b") end
]])
      start(script)
      local asker = place:spawn("run", script, "busy", "--id", "b")
      process:wait_for("busy\n")
      process:signal_with("sigterm"):wait()
      assert.equal(0, process.code)
      asker:signal_with("sigkill"):wait()
    end)

    it("loses nothing that was acknowledged, under load", function()
      start()
      local connections, acknowledged = {}, {}
      for i = 1, 8 do
        connections[i] = http.connect(process.address)
        for k = 1, 100 do connections[i]:send_call("promise.create", promise(("p-%d-%d"):format(i, k))) end
      end
      process:signal_with("sigterm")
      for _, connection in ipairs(connections) do
        pcall(function()
          for _ = 1, 100 do
            local status, data = connection:receive_call()
            if status == 200 then acknowledged[#acknowledged + 1] = data.promise.id end
          end
        end)
      end
      process:wait()
      assert.equal(0, process.code)
      start()
      local connection = http.connect(process.address)
      for _, id in ipairs(acknowledged) do
        connection:send_call("promise.get", { id = id })
      end
      for _, id in ipairs(acknowledged) do assert.equal(200, (connection:receive_call()), id) end
      connection:close()
      serve.stop(process)
    end)

    it("of a kill leaves all that was acknowledged, and not half of anything else", function()
      start()
      local connection = http.connect(process.address)
      local sent, acknowledged = 400, 0
      for k = 1, sent do connection:send_call("promise.create", promise("p-" .. k)) end
      pcall(function()
        for k = 1, sent do
          if k == 50 then process:signal_with("sigkill") end
          if connection:receive_call() == 200 then acknowledged = k end
        end
      end)
      process:wait()
      assert(acknowledged >= 49)
      assert.equal(0, place:run("verify").code)
      start()
      connection = http.connect(process.address)
      for k = 1, acknowledged do assert.equal(200, (connection:call("promise.get", { id = "p-" .. k }))) end
      connection:close()
      serve.stop(process)
    end)
  end)

  describe("place", function()
    it("can be taken already, which is said with the flag that mends it", function()
      start()
      local other = { data = place.dir .. "/other", cwd = place.dir }
      local got = program.run({ "serve", "--listen", process.address }, other)
      assert.are.same({ 74, "" }, { got.code, got.out })
      assert.matches("cannot listen on " .. process.address .. ": another process does", got.err, 1, true)
      assert.matches("; --listen ADDR names another place (127.0.0.1:0: any free port; none: no server)\n", got.err, 1, true)
      got = program.run({ "serve", "--listen", "nowhere" }, other)
      assert.equal(74, got.code)
      assert.matches("nowhere", got.err, 1, true)
      assert.equal(200, http.ask(process.address, { path = "/health" }).status)
      serve.stop(process)
    end)

    it("is said aloud where others may reach it", function()
      process = program.spawn({ "serve", "--listen", "0.0.0.0:0", "--quiet" }, { data = place.data, cwd = place.dir })
      process:wait_for("dahost: warning: whoever reaches 0.0.0.0:"):wait_for("no token is asked for")
      process:wait_for("dahost: warning: what is sent to 0.0.0.0:"):wait_for("--tls-")
      process:signal_with("sigterm"):wait()
      start()
      assert.not_matches("warning", process.err)
      serve.stop(process)
    end)

    it("may be a socket that a service manager has opened", function()
      local socket = uv.new_tcp()
      assert(socket:bind("127.0.0.1", 0))
      assert(socket:listen(16, function() end))
      local address = "127.0.0.1:" .. socket:getsockname().port
      process = program.spawn({}, { data = place.data, cwd = place.dir, descriptor = socket:fileno(),
        sh = 'unset DAHOST_LISTEN; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve' })
      socket:close()
      process:wait_for("listening on http://" .. address .. "\n"):wait_for("serving")
      process.address = address
      assert.equal(200, http.ask(address, { path = "/ready" }).status)
      serve.stop(process)
    end)

    it("is its own when the sockets are another's", function()
      process = program.spawn({}, { data = place.data, cwd = place.dir,
        sh = 'LISTEN_PID=1 LISTEN_FDS=1 exec "$0" serve' }):wait_for("listening on http://127.0.0.1:"):wait_for("serving")
      serve.stop(process)
    end)
  end)

  it("manager hears when it is ready, reads its files again and ends", function()
    local path = place.dir .. "/notify"
    local listener = serve.notified(path)
    process = serve.start(place, {}, { env = { NOTIFY_SOCKET = path } })
    listener:wait_for("READY=1\n", "out")
    process:signal_with("sighup")
    listener:wait_for("RELOADING=1\nMONOTONIC_USEC=", "out"):wait_for("READY=1\n", "out")
    serve.stop(process)
    listener:wait_for("STOPPING=1\n", "out"):wait()
    assert.equal(0, listener.code)
  end)
end)
