-- http_server_limits_spec.lua - the HTTP server against those who are slow, many, or gone; where it listens; its end; TLS.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local certificates = require("spec.support.certificates")
local http = require("spec.support.http")
local http_echo = require("spec.support.http_echo")
local program = require("spec.support.program")

local GET = "GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
local sanitized = (os.getenv("DA_PRESET") or ""):find("san") ~= nil

describe("the HTTP server", function()
  local place

  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  -- Runs the loop so long; only to be slow on purpose, never to be right.
  local function pass(ms)
    local over
    local timer = uv.new_timer()
    timer:start(ms, 0, function() over = true end)
    program.turn_until(function() return "time" end, function() return over end)
    timer:close()
  end

  describe("drops a reader", function()
    it("that has stopped reading a long answer", function()
      local echo = http_echo.start("body_ms=200")
      local c = echo:connect()
      c.socket:read_stop()
      c:write(GET:format("/big?50000000"))
      echo:wait_stats("the drop", function(s) return s.dropped == 1 and s.connections == 1 end)
      assert.matches("http.dropped", echo.process.err)
    end)

    it("not because an answer is long, and a slow one gets all of it", function()
      local echo = http_echo.start("body_ms=1000", "stream_bytes_max=1000")
      local c = echo:connect()
      c:write(GET:format("/big?20000000"))
      local count = 0
      local function on_data(_, data)
        if data then count = count + #data else c.ended = true end
      end
      for _ = 1, 6 do
        c.socket:read_stop()
        pass(100)
        c.socket:read_start(on_data)
        local before = count
        c:wait_for("some of it", function() return count > before + 300000 end)
      end
      c:wait_for("all of it", function() return count > 20000000 end)
      assert.equal(0, echo:stats().dropped)
    end)

    it("of a stream, which is told that there is no room", function()
      local echo = http_echo.start("body_ms=400", "stream_bytes_max=100000")
      local c = echo:connect()
      c:send { path = "/stream" }
      c:wait_for("its beginning", function() return c.buffer:find("begun", 1, true) end)
      c.socket:read_stop()
      local text = ("x"):rep(7000)
      local told = 0
      while echo:ask("/tell?" .. text) == "1" do told = told + 1 end
      assert(told >= 100000 // 7000, told)
      echo:wait_stats("the drop", function(s) return s.dropped == 1 and s.ended == 1 and s.streams == 0 end)
    end)

    it("not because many long answers come at once", function()
      local echo = http_echo.start("stream_bytes_max=100000")
      local c = echo:connect()
      c:write(GET:format("/holdbig?1000000"):rep(20))
      echo:wait_stats("all of them", function(s) return s.requests >= 21 end)
      local count = 0
      c.socket:read_stop()
      c.socket:read_start(function(_, data) count = count + (data and #data or 0) end)
      assert.equal("20", echo:ask("/release"))
      c:wait_for("all of it", function() return count > 20 * 1000000 end)
      assert.equal(0, echo:stats().dropped)
    end)

    it("and reads no further requests of one that does not take its answers", function()
      local echo = http_echo.start("body_ms=60000")
      local c = echo:connect()
      c.socket:read_stop()
      c:write(GET:format("/big?1000000"):rep(60))
      local last = -1
      echo:wait_stats("a standstill", function(s)
        local same = s.requests - 1 == last
        last = s.requests
        return same and last > 2
      end)
      assert(echo:stats().requests < 40)
      local count = 0
      c.socket:read_start(function(_, data) count = count + (data and #data or 0) end)
      c:wait_for("all of it", function() return count > 60 * 1000000 end)
    end)
  end)

  describe("has time", function()
    it("for a head until its deadline, however its bytes drip", function()
      local echo = http_echo.start("header_ms=300")
      local c = echo:connect()
      local bytes = ("GET / HTTP/1.1\r\nHost: h\r\nX: " .. ("x"):rep(1000))
      local at = 0
      local timer = uv.new_timer()
      timer:start(0, 20, function()
        at = at + 1
        if not c.ended then c.socket:write(bytes:sub(at, at)) end
      end)
      local answer = c:receive()
      timer:close()
      assert.equal(408, answer.status)
      assert.equal("the head took too long\n", answer.body)
      c:wait_end()
    end)

    it("for who says nothing at all, or no more, and then closes without a word", function()
      local echo = http_echo.start("header_ms=100", "idle_ms=100")
      local c = echo:connect():wait_end()
      assert.equal("", c.buffer)
      c = echo:connect()
      assert.equal(200, c:ask({ path = "/echo" }).status)
      c:wait_end()
      assert.equal("", c.buffer)
    end)

    it("for a body as long as it comes", function()
      local echo = http_echo.start("body_ms=300")
      local c = echo:connect()
      c:write("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n123")
      local answer = c:receive()
      assert.equal(408, answer.status)
      assert.equal("the body took too long\n", answer.body)
      -- Dripping is not coming.
      c = echo:connect()
      c:write("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
      local timer = uv.new_timer()
      timer:start(0, 50, function() if not c.ended then c.socket:write("x") end end)
      assert.equal(408, c:receive().status)
      timer:close()
      -- At a fair pace it is.
      c = echo:connect()
      c:write("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n")
      for _ = 1, 10 do
        c:write(("x"):rep(1000))
        pass(50)
      end
      c.owed = { "POST" }
      assert.equal(200, c:receive().status)
    end)

    it("without end for its own handler", function()
      local echo = http_echo.start("header_ms=100", "idle_ms=100", "body_ms=100")
      local c = echo:connect()
      c:send { path = "/hold?x" }
      pass(500)
      assert.equal("1", echo:ask("/release"))
      assert.equal("x", c:receive().body)
    end)
  end)

  describe("has room", function()
    it("for so many connections, and tells the next ones", function()
      local echo = http_echo.start("connections_max=3")
      local held = { echo:connect(), echo:connect(), echo:connect() }
      for i = 1, 3 do assert.equal(200, held[i]:ask({ path = "/echo" }).status) end
      local c = echo:connect()
      local answer = c:receive()
      assert.equal(503, answer.status)
      assert.equal("too many connections\n", answer.body)
      c:wait_end()
      held[1]:close()
      program.turn_until(function() return "room" end, function()
        local again = echo:connect()
        again:write(GET:format("/echo"))
        local status = again:receive().status
        again:close()
        return status == 200
      end)
      assert.matches("http.full", echo.process.err)
    end)

    it("without descriptors for nobody else, says so, and does not spin", function()
      local echo = http_echo.start("files=30")
      local open = {}
      for i = 1, 60 do open[i] = echo:connect() end
      local refused = 0
      for i = 1, 60 do
        open[i]:write(GET:format("/echo"))
        open[i]:wait_for("an answer", function() return open[i].buffer ~= "" or open[i].ended end)
        if not open[i].buffer:find("^HTTP/1.1 200") then refused = refused + 1 end
      end
      assert(refused > 20 and refused < 60, refused)
      assert.matches("no descriptor is left", echo.process.err)
      local used = echo:used()
      pass(300)
      assert(echo:used() - used < 150, "it spins")
      for i = 1, 60 do open[i]:close() end
      program.turn_until(function() return "room" end, function()
        local c = echo:connect()
        c:write(GET:format("/echo"))
        c:wait_for("an answer", function() return c.buffer ~= "" or c.ended end)
        local served = c.buffer:find("^HTTP/1.1 200")
        c:close()
        return served
      end)
    end)

    it("for others beside 2,000 who send a byte now and then", function()
      local count = sanitized and 300 or 2000
      local echo = http_echo.start("header_ms=1000")
      local slow = {}
      for i = 1, count do
        slow[i] = echo:connect()
        slow[i]:write("G")
      end
      local c = echo:connect()
      local begin = uv.hrtime()
      for _ = 1, 100 do assert.equal(200, c:ask({ path = "/echo" }).status) end
      assert((uv.hrtime() - begin) / 1e6 < 2000)
      for i = 1, count do slow[i]:wait_end() end
      assert.equal(200, c:ask({ path = "/echo" }).status)
    end)

    it("for so many bytes of requests, of all connections", function()
      local echo = http_echo.start("held_max=1000000")
      local body = ("x"):rep(100000)
      local open = {}
      for i = 1, 12 do
        open[i] = echo:connect()
        open[i]:write("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n" .. body)
      end
      echo:wait_stats("a refusal", function(s) return s.refused > 0 end)
      local full, served = 0, 0
      for i = 1, 12 do
        open[i]:write("x")
        open[i].owed = { "POST" }
        local answer = open[i]:receive()
        if answer.status == 200 then
          served = served + 1
        else
          full = full + 1
          assert.equal(503, answer.status)
          assert.equal("too many requests at a time\n", answer.body)
        end
      end
      assert(served >= 8 and full > 0, served .. " " .. full)
      -- What was answered is not counted any more, though its connection is still there.
      for i = 1, 30 do
        local c = echo:connect()
        assert.equal(200, c:ask({ method = "POST", path = "/echo", body = body .. i }).status)
      end
    end)

    it("for many streams in little memory", function()
      if sanitized then return pending("a sanitizer's memory is another") end
      local echo = http_echo.start()
      local before = echo:resident()
      local streams = {}
      for i = 1, 1000 do
        streams[i] = echo:connect()
        streams[i]:write(GET:format("/stream"))
      end
      echo:wait_stats("all of them", function(s) return s.streams == 1000 end)
      assert.equal("1000", echo:ask("/tell?hello"))
      local each = (echo:resident() - before) / 1000
      assert(each < 2500, each .. " bytes each")
    end)
  end)

  describe("drains", function()
    it("by answering what is under way, and closing what is idle", function()
      local echo = http_echo.start()
      local idle, held, half, stream = echo:connect(), echo:connect(), echo:connect(), echo:connect()
      assert.equal(200, idle:ask({ path = "/echo" }).status)
      held:send { path = "/hold?last" }
      half:write("GET /release HTTP/1.1\r\n")
      stream:send { path = "/stream" }
      stream:wait_for("its beginning", function() return stream.buffer:find("begun", 1, true) end)
      echo:wait_stats("all of them", function(s) return s.requests >= 4 and s.streams == 1 end)
      assert.equal("draining", echo:ask("/drain?20000"))
      idle:wait_end()
      assert.equal("begun", stream:receive().body)
      stream:wait_end()
      assert.is_false((pcall(http.connect, echo.address)))
      half:write("Host: h\r\n\r\n")
      half.owed = { "GET" }
      local answer = half:receive()
      assert.equal("1", answer.body)
      assert.equal("close", answer.headers.connection)
      answer = held:receive()
      assert.equal("last", answer.body)
      assert.equal("close", answer.headers.connection)
      http.close_all()
      echo.process:wait()
      assert.matches("drained\nclosed\n$", echo.process.out)
      assert.equal(0, echo.process.code)
    end)

    it("until its limit, and cuts the rest", function()
      local echo = http_echo.start()
      local held = echo:connect()
      held:send { path = "/hold" }
      echo:wait_stats("it", function(s) return s.requests >= 2 end)
      echo:ask("/drain?100")
      held:wait_end()
      echo.process:wait()
      assert.matches("drained\nclosed\n$", echo.process.out)
      assert.equal(0, echo.process.code)
    end)
  end)

  describe("listens", function()
    it("on a path, which it takes from a dead process and from no living one, and takes away", function()
      local path = place.dir .. "/sock"
      local echo = http_echo.start("unix:" .. path)
      assert.equal("unix:" .. path, echo.address)
      assert.equal("GET|/echo||unix||", echo:ask("/echo"))
      assert.matches("cannot listen on unix:.*/sock: something is there already", http_echo.fails("unix:" .. path))
      echo.process:signal_with("sigkill"):wait()
      assert.is_truthy(uv.fs_stat(path))
      echo = http_echo.start("unix:" .. path)
      echo:connect():send { path = "/exit" }
      echo.process:wait()
      assert.is_nil(uv.fs_stat(path))
      place:write("file", "")
      assert.matches("something is there already", http_echo.fails("unix:" .. place.dir .. "/file"))
      assert.is_truthy(uv.fs_stat(place.dir .. "/file"))
      assert.matches("1 to 107 bytes", http_echo.fails("unix:/" .. ("x"):rep(200)))
    end)

    it("on names, on addresses in brackets, and on several at a time", function()
      local echo = http_echo.start("localhost:0", "[::1]:0")
      local port = echo.process.out:match("^listening %S-:(%d+)\n")
      assert.equal(200, http.ask("127.0.0.1:" .. port, { path = "/echo" }).status)
      echo.process:wait_for("listening [::1]:", "out")
      local six = echo.process.out:match("(%[::1%]:%d+)\n$")
      assert.matches("|%[::1%]:%d+|", http.ask(six, { path = "/echo" }).body)
    end)

    it("nowhere else, and says why", function()
      local echo = http_echo.start()
      assert.matches("cannot listen on " .. echo.address .. ": another process does", http_echo.fails(echo.address))
      for _, address in ipairs { "here", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "h:70000", "[::1]", "[::1]8001" } do
        assert.is_truthy(http_echo.fails(address):find(address .. " is no address to listen on", 1, true), address)
      end
      assert.matches("stands in brackets", http_echo.fails("::1:80"))
      assert.matches("cannot listen on nobody.invalid:80", http_echo.fails("nobody.invalid:80"))
      assert.matches("inherited descriptor 99 is no socket", http_echo.fails("99"))
      assert.matches("inherited descriptor 1 is no", http_echo.fails("1"))
    end)

    it("on a socket that it inherits", function()
      local listener = uv.new_tcp()
      assert(listener:bind("127.0.0.1", 0))
      assert(listener:listen(10, function() end))
      local name = listener:getsockname()
      local ended
      local handle = assert(uv.spawn(http_echo.binary, { args = { "3" }, stdio = { nil, nil, nil, listener:fileno() } },
        function(code) ended = code end))
      listener:close()
      local address = "127.0.0.1:" .. name.port
      assert.equal(200, http.ask(address, { path = "/echo" }).status)
      http.connect(address):send { path = "/exit" }
      program.turn_until(function() return "its end" end, function() return ended end)
      handle:close()
      assert.equal(0, ended)
    end)
  end)

  describe("over TLS", function()
    local certificate, key

    before_each(function()
      certificates.authority(place)
      certificate, key = certificates.signed(place, "server", "DNS:localhost,IP:127.0.0.1")
    end)

    local function start(...)
      return http_echo.start("certificate=" .. certificate, "key=" .. key, ...)
    end

    -- What openssl(1) gets for these bytes; options go before. Standard input stays open until the server closes.
    local function client(echo, bytes, options)
      place:write("request", bytes)
      local command = ("(cat request; sleep 60) | timeout 50 openssl s_client -connect %s -CAfile ca.pem %s 2>&1"):format(
        echo.address, options or "-quiet -verify_return_error -verify_hostname localhost -servername localhost")
      local process = program.spawn({}, { sh = command, cwd = place.dir })
      return process
    end

    it("answers as it does without", function()
      local echo = start()
      local both = GET:format("/echo?1") .. "GET /big?200000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
      for _, version in ipairs { "-tls1_2", "-tls1_3" } do
        local c = client(echo, both, "-quiet -verify_return_error -verify_hostname localhost " .. version)
        program.turn_until(function() return "both answers" .. c.out:sub(1, 500) end, function()
          return c.out:find("|/echo|1|127", 1, true) and c.out:find(("x"):rep(200000), 1, true)
        end)
        c:signal_with("sigkill")
      end
    end)

    it("speaks nothing older than 1.2, and does not renegotiate", function()
      local echo = start()
      local c = client(echo, GET:format("/echo"), "-tls1_1 -cipher DEFAULT@SECLEVEL=0")
      c:wait_for("alert", "out")
      c = client(echo, "R\n" .. GET:format("/echo"), "-tls1_2")
      c:wait_for("no renegotiation", "out")
    end)

    it("keeps its deadlines during the handshake", function()
      local echo = start("header_ms=200")
      echo:connect():wait_end()
      local c = echo:connect()
      c:write("\x16\x03\x01\x02\x00\x01\x00")
      c:wait_end()
    end)

    it("closes on who speaks without", function()
      local echo = start()
      local c = echo:connect()
      c:write(GET:format("/echo"))
      c:wait_end()
      assert.is_nil(c.buffer:find("HTTP/1.1 200", 1, true))
    end)

    it("does not begin with a key that is another's", function()
      local _, other = certificates.signed(place, "other", "DNS:localhost")
      assert.matches("is not that of the certificate", http_echo.fails("certificate=" .. certificate, "key=" .. other, "127.0.0.1:0"))
    end)
  end)
end)
