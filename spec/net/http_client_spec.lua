-- http_client_spec.lua - the HTTP client (host/net/http_client.h) against servers of this process.
--
-- The client runs as a program (http_client_probe.c), which also tells that no handle of it is left at the end.
--
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")
local uv = require("luv")
local web = require("spec.support.web")

local PROBE = os.getenv("DAHOST_BIN"):match("^(.*)/") .. "/spec/http_client_probe"
local SERVER = os.getenv("DAHOST_BIN"):match("^(.*)/") .. "/spec/http_echo"

local servers = {}

local function serve(answer, host)
  servers[#servers + 1] = web.serve(answer, host)
  return servers[#servers]
end

-- The lines it printed, without "closed", which must be the last one.
local function ask_in(env, ...)
  local ended = program.run({ ... }, { command = PROBE, env = env })
  assert.equal("", ended.err)
  assert.equal(0, ended.code, ended.out)
  local lines = {}
  for line in ended.out:gmatch("(.-)\n") do lines[#lines + 1] = line end
  assert.equal("closed", table.remove(lines))
  return lines
end

local function ask(...)
  return ask_in({}, ...)
end

local function hello()
  return web.answer("hello")
end

describe("the HTTP client", function()
  after_each(function()
    for _, server in ipairs(servers) do server:close() end
    servers = {}
  end)

  it("asks again on the connection it has", function()
    local server = serve(hello)
    assert.same({ "1 200 hello", "2 200 hello", "3 200 hello" },
      ask("serial", "times=3", "GET", server.url .. "/a?b=c"))
    assert.equal(1, #server.sockets)
    assert.equal("/a?b=c", server.requests[1].target)
    assert.equal("127.0.0.1:" .. server.port, server.requests[1].fields.host)
    assert.equal("text/plain", server.requests[1].fields["content-type"])
    assert.is_nil(server.requests[1].fields["content-length"])
  end)

  it("sends a body with its length", function()
    local server = serve(function(request) return web.answer(request.method .. " " .. request.body) end)
    assert.same({ "1 200 POST some text", "2 200 POST " },
      ask("serial", "POST", server.url, "body=some text", "POST", server.url))
    assert.equal("/", server.requests[1].target)
    assert.equal("9", server.requests[1].fields["content-length"])
    assert.equal("0", server.requests[2].fields["content-length"])
  end)

  it("makes another connection when its peer says that it closes", function()
    local server = serve(function() return web.answer("hello", nil, "connection: close\r\n") end)
    assert.same({ "1 200 hello", "2 200 hello" }, ask("serial", "times=2", "GET", server.url))
    assert.equal(2, #server.sockets)
  end)

  it("opens as many connections as it may, and no more", function()
    local open = {}
    local server = serve(function(request, socket)
      open[#open + 1] = { request, socket }
      if #open < 3 then return nil end
      for _, each in ipairs(open) do each[2]:write(web.answer("three")) end
      open = {}
      return nil
    end)
    local lines = ask("connections_max=3", "times=9", "GET", server.url)
    assert.equal(9, #lines)
    assert.equal(3, #server.sockets)
  end)

  describe("reads", function()
    local function reads(name, bytes, expected, method)
      it(name, function()
        local server = serve(function(request, socket)
          if request.number > 1 or request.connection > 1 then return hello() end
          for i = 1, #bytes do socket:write(bytes:sub(i, i)) end
          return nil
        end)
        assert.same({ expected, "2 200 hello" }, ask("serial", method or "GET", server.url, "GET", server.url))
        return server
      end)
    end

    reads("an answer that comes byte by byte", web.answer("hello there", "201 Created"), "1 201 hello there")
    reads("chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "1 200 abcde")
    reads("an answer without a body", "HTTP/1.1 204 No Content\r\n\r\n", "1 204 ")
    reads("an answer to HEAD, whatever length it tells", "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n", "1 200 ", "HEAD")
    reads("past an interim answer", "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" .. web.answer("then"), "1 200 then")
    reads("300 as an answer like any other, and asks nobody else",
      web.answer("{}", "300 Multiple Choices", "location: http://127.0.0.1:1/\r\n"), "1 300 {}")
    reads("302 as well", web.answer("", "302 Found", "location: http://127.0.0.1:1/\r\n"), "1 302 ")

    it("what ends with the connection", function()
      local server = serve(function(_, socket)
        socket:write("HTTP/1.1 200 OK\r\n\r\nall of it", function() socket:close() end)
      end)
      assert.same({ "1 200 all of it" }, ask("GET", server.url))
    end)
  end)

  describe("when a kept connection has ended", function()
    it("sends once more, on a new one", function()
      local server = serve(function(request, socket)
        if request.connection == 1 and request.number == 2 then socket:close() else return hello() end
      end)
      assert.same({ "1 200 hello", "2 200 hello" }, ask("serial", "POST", server.url, "body=1", "POST", server.url, "body=2"))
      assert.equal(3, #server.requests)
      assert.equal("2", server.requests[3].body)
    end)

    it("does not send a third time", function()
      local server = serve(function(request, socket)
        if #servers[1].requests > 1 then socket:close() else return hello() end
        return request and nil
      end)
      assert.same({ "1 200 hello", ("2 error 127.0.0.1:%d: the connection ended without an answer"):format(server.port) },
        ask("serial", "times=2", "GET", server.url))
      assert.equal(3, #server.requests)
    end)

    it("does not send again what was answered in part", function()
      local server = serve(function(request, socket)
        if request.number == 1 then return hello() end
        socket:write("HTTP/1.1 200 OK\r\n", function() socket:close() end)
      end)
      assert.same({ "1 200 hello", ("2 error 127.0.0.1:%d: the connection ended within the answer"):format(server.port) },
        ask("serial", "times=2", "GET", server.url))
      assert.equal(2, #server.requests)
    end)

    it("notices it before it asks", function()
      local server = serve(function(_, socket)
        socket:write(hello(), function() socket:close() end)
      end)
      local other = serve(function(_, socket)
        local timer = uv.new_timer() -- the first one's end is seen meanwhile
        timer:start(50, 0, function()
          timer:close()
          socket:write(hello())
        end)
      end)
      assert.same({ "1 200 hello", "2 200 hello", "3 200 hello" },
        ask("serial", "GET", server.url, "GET", other.url, "GET", server.url))
      assert.equal(2, #server.requests)
    end)
  end)

  it("does not send again on a connection that is new", function()
    local server = serve(function(_, socket) socket:close() end)
    assert.same({ ("1 error 127.0.0.1:%d: the connection ended without an answer"):format(server.port) },
      ask("GET", server.url))
    assert.equal(1, #server.requests)
  end)

  describe("says", function()
    it("which name it cannot resolve", function()
      assert.matches("^1 error cannot resolve 'no%-such%-host%.invalid': ", ask("GET", "http://no-such-host.invalid/")[1])
    end)

    it("that a connection is refused", function()
      local server = web.serve(hello)
      server:close()
      assert.same({ ("1 error 127.0.0.1:%d: connection refused"):format(server.port) }, ask("GET", server.url))
    end)

    it("that nobody takes the connection", function()
      local server = web.deaf()
      servers[1] = server
      assert.same({ ("1 error 127.0.0.1:%d: no connection within 150 ms"):format(server.port) },
        ask("connect_ms=150", "GET", server.url))
    end)

    it("that no answer comes, or not all of it in time", function()
      local server = serve(function() return "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell" end)
      assert.same({ ("1 error 127.0.0.1:%d: no answer within 150 ms"):format(server.port) },
        ask("request_ms=150", "GET", server.url))
    end)

    it("that an answer is too long, before it has all come", function()
      for _, head in ipairs({ "content-length: 1000000", "transfer-encoding: chunked" }) do
        local server = serve(function() return ("HTTP/1.1 200 OK\r\n%s\r\n\r\nff\r\n%s\r\n"):format(head, ("x"):rep(255)) end)
        assert.same({ ("1 error 127.0.0.1:%d: its answer is longer than 100 bytes"):format(server.port) },
          ask("answer_max=100", "GET", server.url))
      end
    end)

    it("that an answer is no HTTP", function()
      local server = serve(function() return "SSH-2.0-OpenSSH_9.2\r\n" end)
      assert.matches("^1 error 127%.0%.0%.1:%d+: its answer is no HTTP/1%.1: ", ask("GET", server.url)[1])
    end)

    for url, why in pairs({
      ["ftp://x/"] = "is no URL that begins with http:// or https://",
      ["x"] = "is no URL that begins with http:// or https://",
      ["http://"] = "it has no host",
      ["http://a b/"] = "a host is letters, digits, '-', '_' and '.'",
      ["http://a@b/"] = "a user in a URL is not supported",
      ["http://a\r\nx: y/"] = "a host is letters, digits, '-', '_' and '.'",
      ["http://a:b/"] = "a port is a number",
      ["http://a:0/"] = "port 0 cannot be connected to",
      ["http://a:65536/"] = "a port is at most 65535",
      ["http://[::1/"] = "'[' without ']'",
      ["http://[12]/"] = "no IPv6 address stands in its brackets",
      ["http://[::1]x/"] = "something else than a port stands behind the host",
    }) do
      it("what is wrong with " .. url:gsub("%c", "."), function()
        local lines = table.concat(ask("GET", url), "\n")
        assert.truthy(lines:find("1 error ", 1, true), lines)
        assert.truthy(lines:find(why, 1, true), lines)
      end)
    end
  end)

  it("sends nothing of a URL as a line of its own", function()
    local server = serve(hello)
    ask("GET", server.url .. "/a b\r\nevil: yes\r\n\r\nGET /second HTTP/1.1#frag")
    assert.equal(1, #server.requests)
    assert.equal("/a%20b%0D%0Aevil:%20yes%0D%0A%0D%0AGET%20/second%20HTTP/1.1", server.requests[1].target)
  end)

  it("goes to a name's second address when the first refuses", function()
    local server = serve(hello) -- "localhost" is ::1 as well, on most machines
    assert.same({ "1 200 hello" }, ask("GET", ("http://localhost:%d/"):format(server.port)))
    assert.equal("localhost:" .. server.port, server.requests[1].fields.host)
  end)

  it("speaks to an IPv6 address", function()
    local works, server = pcall(serve, hello, "::1")
    if not works then return pending("no IPv6 here") end
    assert.same({ "1 200 hello" }, ask("GET", server.url))
    assert.equal(("[::1]:%d"):format(server.port), server.requests[1].fields.host)
  end)

  describe("is fair:", function()
    it("one that never answers does not keep others waiting", function()
      local silent = serve(function() end)
      local server = serve(hello)
      local calls = { "connections_max=4", "origin_max=2", "request_ms=400" }
      for _ = 1, 8 do
        calls[#calls + 1] = "GET"
        calls[#calls + 1] = silent.url
      end
      for _ = 1, 8 do
        calls[#calls + 1] = "GET"
        calls[#calls + 1] = server.url
      end
      local lines = ask(table.unpack(calls))
      for i = 1, 8 do assert.matches("^%d+ 200 hello$", lines[i]) end
      for i = 9, 16 do assert.matches("^%d error .*no answer within 400 ms$", lines[i]) end
    end)

    it("one that failed has one connection until it answers", function()
      local most, open, healthy = 0, 0, false
      local server = serve(function(_, socket)
        open = open + 1
        most = math.max(most, open)
        if healthy then
          open = open - 1
          return hello()
        end
        local timer = uv.new_timer()
        timer:start(20, 0, function()
          timer:close()
          open = open - 1
          if not socket:is_closing() then socket:close() end
          if #servers[1].requests >= 8 then healthy = true end
        end)
      end)
      local lines = ask("connections_max=4", "times=20", "GET", server.url)
      assert.equal(20, #lines)
      assert.equal(4, most) -- of the first round
      assert.is_true(#server.requests >= 20)
      local failed = 0
      for _, line in ipairs(lines) do failed = failed + (line:find("error") and 1 or 0) end
      assert.is_true(failed >= 8 and failed < 20, table.concat(lines, "\n"))
    end)
  end)

  describe("speaks TLS:", function()
    local place, server, port

    setup(function()
      place = program.place()
      local made = program.run({ "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
        place.dir .. "/key.pem", "-out", place.dir .. "/cert.pem" }, { command = "openssl" })
      assert.equal(0, made.code, made.err)
      server = program.spawn({ "certificate=" .. place.dir .. "/cert.pem", "key=" .. place.dir .. "/key.pem",
        "0.0.0.0:0" }, { command = SERVER })
      server:wait_for("listening ", "out")
      server:wait_for("\n", "out")
      port = server.out:match("listening [^\n]*:(%d+)\n")
    end)

    teardown(function() place:remove() end)

    it("with a server whose certificate it trusts, by name and by address, on one connection each", function()
      local env = { SSL_CERT_FILE = place.dir .. "/cert.pem" }
      local name, address = "https://localhost:" .. port, "https://127.0.0.1:" .. port
      local lines = ask_in(env, "serial", "GET", name .. "/big?3", "GET", address .. "/big?200000", "GET", name .. "/big?5")
      assert.matches("^1 200 ...$", lines[1])
      assert.equal(#"2 200 " + 200000, #lines[2])
      assert.matches("^3 200 .....$", lines[3])
    end)

    it("sends a long body through", function()
      local body = ("0123456789"):rep(10000)
      local lines = ask_in({ SSL_CERT_FILE = place.dir .. "/cert.pem" }, "POST", ("https://localhost:%s/echo"):format(port),
        "body=" .. body)
      assert.equal(body, lines[#lines]:sub(-#body))
    end)

    it("with nobody else", function()
      assert.same({ ("1 error localhost:%s: the server's certificate is not accepted: self-signed certificate"):format(port) },
        ask("GET", ("https://localhost:%s/big?1"):format(port)))
      assert.matches("^1 error 127%.0%.0%.2:%d+: the server's certificate is not accepted: IP address mismatch$",
        ask_in({ SSL_CERT_FILE = place.dir .. "/cert.pem" }, "GET", ("https://127.0.0.2:%s/big?1"):format(port))[1])
    end)

    it("and says so when the other side does not", function()
      local plain = serve(hello)
      assert.same({ ("1 error 127.0.0.1:%d: no TLS handshake within 200 ms"):format(plain.port) },
        ask("connect_ms=200", "GET", (plain.url:gsub("^http", "https"))))
    end)
  end)

  it("tells every call when it is deleted, and leaves no handle", function()
    local server = serve(function(request) return request.connection == 1 and hello() or nil end)
    local lines = ask("connections_max=3", "delete=1", "times=10", "GET", server.url)
    assert.equal(10, #lines)
    assert.matches("^%d+ 200 hello$", lines[1])
    for i = 2, 10 do assert.matches("^%d+ error the client was closed$", lines[i]) end
  end)
end)
