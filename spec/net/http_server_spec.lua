-- http_server_spec.lua - the HTTP server, over real sockets: http_echo (C) is a server of nothing but that.
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local http_echo = require("spec.support.http_echo")
local program = require("spec.support.program")
local cases = require("spec.net.http_cases")

local GET = "GET %s HTTP/1.1\r\nHost: h\r\n\r\n"

describe("the HTTP server", function()
  local place, echo, address

  local function start(...)
    echo = http_echo.start(...)
    address = echo.address
    return address
  end

  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  local function stats() return echo:stats() end
  local function wait_stats(what, holds) echo:wait_stats(what, holds) end

  describe("answers", function()
    it("with what the handler says, and keeps the connection", function()
      local c = http.connect(start())
      local answer = c:ask { path = "/echo?a=b", method = "PUT", body = "text", headers = { ["X-A"] = "y" } }
      assert.equal(200, answer.status)
      assert.equal("OK", answer.reason)
      assert.matches("^PUT|/echo|a=b|127.0.0.1:%d+|y|text$", answer.body)
      assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", answer.headers.date)
      assert.is_nil(answer.headers.connection)
      answer = c:ask { path = "/nowhere" }
      assert.equal(404, answer.status)
      assert.equal("Not Found", answer.reason)
      assert.equal("unknown path", answer.headers["x-why"])
      assert.is_nil(answer.headers["content-type"])
      assert.equal("", answer.body)
    end)

    it("HEAD with the length and without the body", function()
      local c = http.connect(start())
      local answer = c:ask { path = "/big?1000", method = "HEAD" }
      assert.equal("1000", answer.headers["content-length"])
      assert.equal(10, #c:ask { path = "/big?10" }.body)
    end)

    it("in the order of the requests, whatever order they are given in", function()
      local c = http.connect(start())
      local bytes, wanted = {}, {}
      for i = 1, 40 do
        bytes[i] = GET:format("/hold?" .. i)
        wanted[i] = tostring(i)
        c.owed[i] = "GET"
      end
      c:write(table.concat(bytes))
      local other = http.connect(address)
      program.turn_until(function() return "40 requests" end, function() return stats().requests >= 40 end)
      assert.equal("40", other:ask { path = "/release" }.body)
      local got = {}
      for i = 1, 40 do got[i] = c:receive().body end
      assert.same(wanted, got)
    end)

    it("more requests in one piece than may be under way, and large ones", function()
      local c = http.connect(start())
      local bytes = {}
      for i = 1, 500 do
        bytes[i] = http.request_text { path = "/echo", method = "POST", body = ("%04d"):format(i) .. ("x"):rep(5000) }
        c.owed[i] = "POST"
      end
      c:write(table.concat(bytes))
      for i = 1, 500 do assert.equal(("%04d"):format(i), c:receive().body:match("|(%d%d%d%d)x+$")) end
    end)

    it("what was asked before the peer ended its side", function()
      local c = http.connect(start())
      c:write(GET:format("/echo?1") .. GET:format("/big?300000")):finish()
      c.owed = { "GET", "GET" }
      assert.equal(200, c:receive().status)
      assert.equal(300000, #c:receive().body)
      c:wait_end()
    end)

    it("100 (Continue) to who waits for it, and not before the answers before it", function()
      local c = http.connect(start())
      c:write(GET:format("/hold?first") .. "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
      wait_stats("the first", function(s) return s.requests >= 2 end)
      assert.equal("", c.buffer)
      http.ask(address, { path = "/release" })
      c:wait_for("100", function() return c.buffer:find("HTTP/1.1 100 Continue\r\n\r\n", 1, true) end)
      assert.matches("^HTTP/1.1 200 OK\r\n.*first", c.buffer)
      c:write("hi")
      c:wait_for("the answer", function() return c.buffer:find("|hi$") end)
    end)

    it("HTTP/1.0, whose connection ends unless it is asked to stay", function()
      local c = http.connect(start())
      c:write("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
      c.owed = { "GET", "GET" }
      assert.equal("keep-alive", c:receive().headers.connection)
      c:write("GET /echo HTTP/1.0\r\n\r\n")
      assert.equal("close", c:receive().headers.connection)
      c:wait_end()
    end)
  end)

  describe("refuses", function()
    it("what is malformed, with words, and closes", function()
      start()
      local seen = {}
      for _, case in ipairs(cases.bad) do
        if not case.count and not seen[case.why] then
          seen[case.why] = true
          local c = http.connect(address)
          c:write(case.bytes)
          local answer = c:receive()
          assert.equal(case.status, answer.status, case.name)
          assert.equal(case.why .. "\n", answer.body)
          assert.equal("close", answer.headers.connection)
          c:wait_end()
          c:close()
        end
      end
      assert.equal(200, http.ask(address, { path = "/echo" }).status)
    end)

    it("only after it has answered what came before", function()
      local c = http.connect(start())
      c:write(GET:format("/hold?a") .. GET:format("/echo") .. "BREW / HTTP/1.1\r\nHost: h\r\n\r\n" .. GET:format("/echo"))
      c.owed = { "GET", "GET", "GET" }
      wait_stats("the refusal", function(s) return s.refused == 1 end)
      http.ask(address, { path = "/release" })
      assert.equal("a", c:receive().body)
      assert.equal(200, c:receive().status)
      assert.equal(501, c:receive().status)
      c:wait_end()
      assert.equal("", c.buffer)
    end)

    it("a body that is too long before it has come, and lets its sender see why", function()
      start("body_max=1000")
      local c = http.connect(address)
      c:write("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
      assert.equal(413, c:receive().status)
      c:wait_end()
      c = http.connect(address)
      c:write("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n" .. ("x"):rep(5000000))
      assert.equal(413, c:receive().status)
      c:wait_end()
      assert.is_nil(c.fault)
    end)

    it("with another body if the handler has one", function()
      start("body_max=1000", "json=1")
      local answer = http.ask(address, { method = "POST", path = "/echo", body = ("x"):rep(1001) })
      assert.equal(413, answer.status)
      assert.equal("application/json", answer.headers["content-type"])
      assert.equal('{"why":"the body is too long"}', answer.body)
    end)
  end)

  describe("streams", function()
    it("until they are ended, and closes", function()
      start()
      local c = http.connect(address)
      c:send { path = "/stream" }
      c:wait_for("its beginning", function() return c.buffer:find("5\r\nbegun\r\n", 1, true) end)
      assert.equal(1, stats().streams)
      assert.equal("1", http.ask(address, { path = "/tell?hello" }).body)
      c:wait_for("an event", function() return c.buffer:find("5\r\nhello\r\n", 1, true) end)
      assert.equal("1", http.ask(address, { path = "/stop" }).body)
      local answer = c:receive()
      assert.equal("begunhello", answer.body)
      assert.equal("close", answer.headers.connection)
      assert.equal("no-cache", answer.headers["cache-control"])
      c:wait_end()
      local s = stats()
      assert.equal(0, s.streams)
      assert.equal(0, s.ended)
    end)

    it("and tells when the peer has gone", function()
      start()
      local c = http.connect(address)
      c:send { path = "/stream" }
      c:wait_for("its beginning", function() return c.buffer:find("begun", 1, true) end)
      c:close()
      wait_stats("the end", function(s) return s.ended == 1 and s.streams == 0 end)
    end)

    it("to HTTP/1.0 until the end of the connection", function()
      start()
      local c = http.connect(address)
      c:write("GET /stream HTTP/1.0\r\n\r\n")
      c:wait_for("its beginning", function() return c.buffer:find("\r\n\r\nbegun", 1, true) end)
      http.ask(address, { path = "/stop" })
      assert.equal("begun", c:receive().body)
    end)
  end)

  it("tells of a request whose peer has gone before it was answered", function()
    start()
    local c = http.connect(address)
    c:send { path = "/hold" }
    wait_stats("the request", function(s) return s.requests >= 2 end)
    c:reset()
    wait_stats("that it has gone", function(s) return s.gone == 1 end)
    assert.equal("0", http.ask(address, { path = "/release" }).body)
  end)

  it("ends at once when it is told to", function()
    start()
    local stream, held = http.connect(address), http.connect(address)
    stream:send { path = "/stream" }
    held:send { path = "/hold" }
    wait_stats("both", function(s) return s.requests >= 3 and s.streams == 1 end)
    http.connect(address):send { path = "/exit" }
    echo.process:wait()
    assert.equal(0, echo.process.code)
    assert.matches("closed\n$", echo.process.out)
  end)
end)
