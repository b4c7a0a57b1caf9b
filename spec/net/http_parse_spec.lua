-- http_parse_spec.lua - bytes to HTTP messages: what is taken, what is refused, and that no split changes either.
-- SPDX-License-Identifier: Apache-2.0
local probe = require("da_probe")
local cases = require("spec.net.http_cases")

local function parse(bytes, options) return probe.http_parse(bytes, options or {}) end

-- As text, so that two results can be compared and shown.
local function text_of(value)
  if type(value) ~= "table" then return tostring(value) end
  local keys, parts = {}, {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do parts[i] = ("%s=%s"):format(key, text_of(value[key])) end
  return "{" .. table.concat(parts, " ") .. "}"
end

local function with(options, more)
  local both = {}
  for key, value in pairs(options or {}) do both[key] = value end
  for key, value in pairs(more) do both[key] = value end
  return both
end

-- The same bytes, cut everywhere in two, and in pieces of one, two and three bytes.
local function in_every_split(bytes, options)
  local whole = text_of(parse(bytes, options))
  for at = 1, #bytes - 1 do
    local cut = text_of(parse(bytes, with(options, { at = at })))
    if cut ~= whole then error(("cut at %d of %q:\n%s\nwhole:\n%s"):format(at, bytes, cut, whole)) end
  end
  for step = 1, 3 do
    local cut = text_of(parse(bytes, with(options, { step = step })))
    if cut ~= whole then error(("in pieces of %d, %q:\n%s\nwhole:\n%s"):format(step, bytes, cut, whole)) end
  end
  return #bytes + 2
end

describe("a request", function()
  it("is given with its method, path, query, fields and body", function()
    local got = parse("POST /poll/a%20b/c?x=1&y HTTP/1.1\r\nHost: h:80\r\nX-A:  two words \t\r\nX-B:\r\ncontent-length: 5\r\n\r\nhello")
    assert.equal(1, #got)
    assert.equal(1, got.heads)
    local request = got[1]
    assert.equal("POST", request.method)
    assert.equal("/poll/a%20b/c?x=1&y", request.target)
    assert.equal("/poll/a%20b/c", request.path)
    assert.equal("x=1&y", request.query)
    assert.equal("hello", request.body)
    assert.is_true(request.keep_alive)
    assert.is_true(request.has_body)
    assert.same({ { "Host", "h:80" }, { "X-A", "two words" }, { "X-B", "" }, { "content-length", "5" } }, request.fields)
    assert.is_false(got.busy)
  end)

  it("may come in chunks, with fields behind them that are passed over", function()
    local got = parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n" ..
      "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert.equal(2, #got)
    assert.equal("hello world", got[1].body)
    assert.equal(2, #got[1].fields)
    assert.equal("GET", got[2].method)
  end)

  it("may name its target in absolute form, or be about the server as a whole", function()
    local function target(line)
      local got = parse(line .. " HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal(1, #got, got.why)
      return got[1].path .. "|" .. got[1].query
    end
    assert.equal("/a|b", target("GET http://h:8001/a?b"))
    assert.equal("/|", target("GET http://h"))
    assert.equal("/|b", target("GET HTTP://h?b"))
    assert.equal("/|", target("GET /?"))
    assert.equal("*|", target("OPTIONS *"))
  end)

  it("says whether another may follow", function()
    local function keeps(version, field)
      return parse(("GET / HTTP/%s\r\nHost: h\r\n%s\r\n"):format(version, field))[1].keep_alive
    end
    assert.is_true(keeps("1.1", ""))
    assert.is_false(keeps("1.1", "Connection: close\r\n"))
    assert.is_false(keeps("1.1", "Connection: keep-alive, Close\r\n"))
    assert.is_false(keeps("1.1", "Connection: x\r\nConnection: close\r\n"))
    assert.is_false(keeps("1.0", ""))
    assert.is_true(keeps("1.0", "Connection: keep-alive\r\n"))
  end)

  it("that offers to speak another protocol is a request like any other", function()
    local got = parse("POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi" ..
      "GET /next HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n" ..
      "GET /last HTTP/1.1\r\nHost: h\r\n\r\n")
    assert.equal(3, #got)
    assert.equal("hi", got[1].body)
    assert.equal("/last", got[3].path)
  end)

  it("asks whether to go on, in HTTP/1.1 only", function()
    local function expects(version)
      return parse(("POST / HTTP/%s\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx"):format(version))[1].expects_continue
    end
    assert.is_true(expects("1.1"))
    assert.is_false(expects("1.0"))
  end)

  it("is the same in every split", function()
    local pieces = 0
    for _, case in ipairs(cases.good) do
      local whole = parse(case.bytes, case.options)
      assert(whole.status == nil and #whole == case.count, ("%q: %s"):format(case.bytes, text_of(whole)))
      assert.equal(case.count, whole.heads)
      pieces = pieces + in_every_split(case.bytes, case.options)
    end
    assert(#cases.good >= 20 and pieces > 1400, pieces)
  end)

  it("that ends early is told apart from a connection that ends between two", function()
    assert.is_nil(parse("GET / HTTP/1.1\r\nHost: h\r\n\r\n", { finish = true }).status)
    assert.is_nil(parse("", { finish = true }).status)
    for _, bytes in ipairs({ "G", "GET / HTTP/1.1\r\nHost: h\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" }) do
      local got = parse(bytes, { finish = true })
      assert.equal("the connection ended inside a message", got.why)
    end
  end)
end)

describe("what is refused", function()
  for i, case in ipairs(cases.bad) do
    it(("%d: %s (%d %s)"):format(i, case.name, case.status, case.why), function()
      local got = parse(case.bytes, case.options)
      assert.equal(("%d %s"):format(case.status, case.why), ("%s %s"):format(got.status, got.why), ("%q"):format(case.bytes))
      assert.equal(case.count or 0, #got)
      in_every_split(case.bytes, case.options)
    end)
  end

  it("is more than sixty ways of saying one thing in two", function() assert(#cases.bad >= 60) end)

  it("is refused for good", function()
    local got = parse("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", { step = 1 })
    assert.equal(0, #got)
  end)
end)

describe("limits", function()
  local options = { head_max = 200, fields_max = 4, target_max = 50, body_max = 10 }
  local function status(bytes)
    in_every_split(bytes, options)
    return parse(bytes, options).status
  end
  local HEAD = "GET / HTTP/1.1\r\nHost: h\r\n"

  it("of a head hold to the byte", function()
    local fill = ("a"):rep(200 - #HEAD - #"X: \r\n\r\n")
    assert.is_nil(status(HEAD .. "X: " .. fill .. "\r\n\r\n"))
    assert.equal(431, status(HEAD .. "X: a" .. fill .. "\r\n\r\n"))
    assert.equal(431, status(("\r\n"):rep(100) .. HEAD .. "\r\n"))
  end)

  it("of fields count them", function()
    assert.is_nil(status(HEAD .. ("X: a\r\n"):rep(3) .. "\r\n"))
    assert.equal(431, status(HEAD .. ("X: a\r\n"):rep(4) .. "\r\n"))
  end)

  it("of a target hold to the byte, and where its line never ends", function()
    assert.is_nil(status("GET /" .. ("a"):rep(49) .. " HTTP/1.1\r\nHost: h\r\n\r\n"))
    assert.equal(414, status("GET /" .. ("a"):rep(50) .. " HTTP/1.1\r\nHost: h\r\n\r\n"))
    assert.equal(414, status("GET /" .. ("a"):rep(300)))
  end)

  it("of a body hold for its length, and for its chunks as soon as they say it", function()
    local CHUNKED = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert.is_nil(status("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789"))
    assert.equal(413, status("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n"))
    assert.is_nil(status(CHUNKED .. "a\r\n0123456789\r\n0\r\n\r\n"))
    assert.equal(413, status(CHUNKED .. "b\r\n"))
    assert.equal(413, status(CHUNKED .. "a\r\n0123456789\r\n1\r\n"))
  end)

  it("hold for what stands around chunks, and behind them", function()
    local CHUNKED = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert.equal(400, status(CHUNKED .. ("0"):rep(9000)))
    assert.equal(400, status(CHUNKED .. "1;" .. ("a"):rep(9000)))
    assert.equal(431, status(CHUNKED .. "0\r\n" .. ("X: y\r\n"):rep(100) .. "\r\n"))
  end)

  it("let a body come in the smallest chunks", function()
    local got = parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" .. ("1\r\nx\r\n"):rep(30000) .. "0\r\n\r\n")
    assert.is_nil(got.why)
    assert.equal(30000, #got[1].body)
  end)
end)

describe("a response", function()
  local function answer(bytes, options)
    in_every_split(bytes, with(options, { responses = true }))
    return parse(bytes, with(options, { responses = true }))
  end

  it("is given with its status, fields and body", function()
    local got = answer("HTTP/1.1 300 Multiple Choices\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi")
    assert.equal(300, got[1].status)
    assert.equal("hi", got[1].body)
    assert.is_true(got[1].keep_alive)
    assert.equal(204, answer("HTTP/1.1 204\r\n\r\n")[1].status)
  end)

  it("may come after a 100", function()
    local got = answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx")
    assert.equal(100, got[1].status)
    assert.equal("x", got[2].body)
  end)

  it("without a length lasts until the end", function()
    local bytes = "HTTP/1.1 200 OK\r\n\r\nall of it"
    local got = answer(bytes)
    assert.equal(0, #got)
    assert.is_true(got.busy)
    got = answer(bytes, { finish = true })
    assert.equal("all of it", got[1].body)
    assert.is_false(got[1].keep_alive)
  end)

  it("to HEAD has no body, whatever it says", function()
    local got = answer("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", { no_body = true })
    assert.equal("", got[1].body)
    assert.equal("x", got[2].body)
    assert.is_true(got[1].keep_alive)
  end)

  it("that is not one is refused", function()
    for bytes, why in pairs({
      ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"] = "two lengths, or a length and a transfer coding",
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"] = "a transfer coding that is not chunked",
      ["HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"] = "a change of protocols that nobody asked for",
      ["HTTP/2.0 200 OK\r\n\r\n"] = "a malformed status line",
      ["HTTP/1.1 20 OK\r\n\r\n"] = "a malformed status line",
      ["HTTP/1.1 2000\r\n\r\n"] = "a malformed status line",
      ["SSH-2.0-x\r\n"] = "a malformed status line",
      ["\r\nHTTP/1.1 200 OK\r\n\r\n"] = "a malformed status line",
      ["HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"] = "a folded line, or one that begins with a blank",
      ["HTTP/1.1 200 OK\nA: b\n\n"] = "LF without CR",
      ["HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n"] = "the body is too long",
    }) do
      assert.equal(why, answer(bytes).why, bytes)
    end
    assert.equal("the connection ended inside a message",
      answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", { finish = true }).why)
  end)
end)
