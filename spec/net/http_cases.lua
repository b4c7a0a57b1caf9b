-- http_cases.lua - requests that are taken, and requests that are refused with their status and reason.
--
-- The parser's spec runs them in every split, the server's spec sends some of them, and the fuzzer begins with them.
-- SPDX-License-Identifier: Apache-2.0
local M = { good = {}, bad = {} }

local GET = "GET / HTTP/1.1\r\nHost: h\r\n"
local POST = "POST / HTTP/1.1\r\nHost: h\r\n"
local CHUNKED = POST .. "Transfer-Encoding: chunked\r\n\r\n"

local function good(bytes, count, options)
  M.good[#M.good + 1] = { bytes = bytes, count = count or 1, options = options }
end

-- `count`: how many whole requests come before what is refused.
local function bad(status, why, name, bytes, count)
  M.bad[#M.bad + 1] = { status = status, why = why, name = name, bytes = bytes, count = count }
end

good(GET .. "\r\n")
good(GET .. "\r\n" .. GET .. "\r\n" .. GET .. "\r\n", 3)
good("\r\n" .. GET .. "\r\n\r\n" .. GET .. "\r\n", 2)
good(POST .. "Content-Length: 5\r\n\r\nhello")
good(POST .. "Content-Length: 0\r\n\r\n")
good(POST .. "\r\n")
good(POST .. "Content-Length: 5\r\n\r\nhello" .. GET .. "\r\n", 2)
good(POST .. "Content-Length: 2\r\n\r\n\r\n" .. GET .. "\r\n", 2)
good(CHUNKED .. "0\r\n\r\n")
good(CHUNKED .. "5\r\nhello\r\n0\r\n\r\n" .. GET .. "\r\n", 2)
good(CHUNKED .. "00005\r\nhello\r\nA\r\n0123456789\r\n000\r\nX: y\r\n\r\n" .. GET .. "\r\n", 2)
good(CHUNKED .. '1;a="b c"\r\nx\r\n0;z\r\n\r\n')
good(CHUNKED .. '5;a=b;c=d\r\nhello\r\n1; a ; b = "\\";\\\\" ;c\r\nx\r\n0;a=b;c="d"\r\nX: y\r\n\r\n' .. GET .. "\r\n", 2)
good("GET /a/b?c=d%20e HTTP/1.1\r\nHost: example.com:8001\r\nAccept: text/event-stream\r\n\r\n")
good("GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n")
good("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
good("HEAD / HTTP/1.1\r\nHost: [::1]:8001\r\n\r\n")
good("GET / HTTP/1.0\r\n\r\n")
good("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n", 2)
good(GET .. "Connection: close\r\n\r\n")
good(POST .. "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx")
good(GET .. "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" .. GET .. "\r\n", 2)
good(GET .. "X: \xc3\xa9\r\nY:\t z \t\r\nZ:\r\n\r\n")
good("PUT / HTTP/1.1\r\nhOsT:h\r\nContent-Length:3\r\n\r\nabc")
good("DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n")

local FOLD = "a folded line, or one that begins with a blank"
local LENGTHS = "two lengths, or a length and a transfer coding"
local CODING = "a transfer coding that is not chunked"
local LINE = "a malformed request line"
local VERSION = "versions 1.0 and 1.1 are spoken here"

-- Line ends.
bad(400, "LF without CR", "LF alone ends the request line", "GET / HTTP/1.1\nHost: h\n\n")
bad(400, "LF without CR", "LF alone ends a field", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n")
bad(400, "LF without CR", "LF alone is the empty line", "GET / HTTP/1.1\r\nHost: h\r\n\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "LF without CR", "LF before the request", "\n" .. GET .. "\r\n")
bad(400, "CR without LF", "CR in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 5\r\n\r\n")
bad(400, "CR without LF", "CR ends a field", "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n")
bad(400, "CR without LF", "two CRs", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n")
bad(400, "CR without LF", "CR in the target", "GET /\r HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "CR without LF", "CR before the request", "\r" .. GET .. "\r\n")
-- Folded lines.
bad(400, FOLD, "a folded value", GET .. "X: a\r\n b\r\n\r\n")
bad(400, FOLD, "a folded value, with a tab", GET .. "X: a\r\n\tb\r\n\r\n")
bad(400, FOLD, "a length in a folded line", GET .. "X: a\r\n Content-Length: 5\r\n\r\nhello")
bad(400, FOLD, "a length behind a blank, first of the fields", "GET / HTTP/1.1\r\n Content-Length: 5\r\nHost: h\r\n\r\nhello")
bad(400, FOLD, "a coding folded behind chunked", POST .. "Transfer-Encoding: chunked\r\n , identity\r\n\r\n0\r\n\r\n")
bad(400, FOLD, "a blank on the empty line", GET .. " \r\n\r\n")
-- The request line.
bad(505, "HTTP/0.9; versions 1.0 and 1.1 are spoken here", "HTTP/0.9", "GET /\r\n")
bad(505, VERSION, "HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n")
bad(505, VERSION, "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
bad(505, VERSION, "HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n")
bad(505, VERSION, "HTTP/1.9", "GET / HTTP/1.9\r\nHost: h\r\n\r\n")
bad(505, VERSION, "HTTP/0.9 in words", "GET / HTTP/0.9\r\nHost: h\r\n\r\n")
bad(505, VERSION, "HTTP/1.10", "GET / HTTP/1.10\r\nHost: h\r\n\r\n")
bad(505, VERSION, "HTTP/11", "GET / HTTP/11\r\nHost: h\r\n\r\n")
bad(400, LINE, "another protocol", "DESCRIBE * RTSP/1.0\r\nHost: h\r\n\r\n")
bad(400, LINE, "http in small letters", "GET / http/1.1\r\nHost: h\r\n\r\n")
bad(400, LINE, "two blanks before the target", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, LINE, "two blanks before the version", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, LINE, "a blank behind the version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n")
bad(400, LINE, "a blank in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, LINE, "a tab for a blank", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, LINE, "a blank before the method", " GET / HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, LINE, "one word", "HELLO\r\n")
bad(400, LINE, "a method that is no word", "G(T / HTTP/1.1\r\nHost: h\r\n\r\n")
bad(501, "an unknown method", "an unknown method", "BREW / HTTP/1.1\r\nHost: h\r\n\r\n")
bad(501, "an unknown method", "a method in small letters", "get / HTTP/1.1\r\nHost: h\r\n\r\n")
bad(501, "an unknown method", "a method that begins with one", "GETX / HTTP/1.1\r\nHost: h\r\n\r\n")
bad(501, "CONNECT is not served", "CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "a malformed target", "a target without a slash", "GET foo HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "a malformed target", "a target of another scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "a malformed target", "a target without a host", "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "a malformed target", "a fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "a malformed target", "a target beyond ASCII", "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "a malformed target", "GET of *", "GET * HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "a control character", "a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n")
bad(400, "a control character", "a greeting of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
-- Fields.
bad(400, "a malformed field", "a blank before the colon", GET .. "Content-Length : 5\r\n\r\nhello")
bad(400, "a malformed field", "a blank before the colon of any field", GET .. "X : y\r\n\r\n")
bad(400, "a malformed field", "no colon", GET .. "X\r\n\r\n")
bad(400, "a malformed field", "no name", GET .. ": y\r\n\r\n")
bad(400, "a malformed field", "a name that is no word", GET .. "X(Y): z\r\n\r\n")
bad(400, "a malformed field", "a name beyond ASCII", GET .. "X\xe9: z\r\n\r\n")
bad(400, "a control character", "a NUL in a value", GET .. "X: a\0b\r\n\r\n")
bad(400, "a control character", "a DEL in a value", GET .. "X: a\x7fb\r\n\r\n")
bad(400, "a control character", "a vertical tab before a length", POST .. "Content-Length:\x0b5\r\n\r\nhello")
-- Host.
bad(400, "no Host", "no Host", "GET / HTTP/1.1\r\n\r\n")
bad(400, "no Host", "no Host, absolute target", "GET http://h/ HTTP/1.1\r\n\r\n")
bad(400, "several Hosts", "two Hosts", GET .. "Host: g\r\n\r\n")
bad(400, "several Hosts", "the same Host twice", GET .. "hOST: h\r\n\r\n")
bad(400, "several Hosts", "two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")
bad(400, "a malformed Host", "a Host with a path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n")
bad(400, "a malformed Host", "a Host with an account", "GET / HTTP/1.1\r\nHost: a@h\r\n\r\n")
bad(400, "a malformed Host", "two Hosts in one", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n")
-- Lengths and codings.
bad(400, LENGTHS, "two lengths", POST .. "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
bad(400, LENGTHS, "the same length twice", POST .. "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello")
bad(400, LENGTHS, "a length and chunks", POST .. "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
bad(400, LENGTHS, "chunks and a length", POST .. "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")
bad(400, "a malformed length", "lengths in a list", POST .. "Content-Length: 5, 5\r\n\r\nhello")
bad(400, "a malformed length", "a length with a sign", POST .. "Content-Length: +5\r\n\r\nhello")
bad(400, "a malformed length", "a length below 0", POST .. "Content-Length: -5\r\n\r\nhello")
bad(400, "a malformed length", "a length in hexadecimals", POST .. "Content-Length: 0x5\r\n\r\nhello")
bad(400, "a malformed length", "no length", POST .. "Content-Length:\r\n\r\n")
bad(400, "a malformed length", "a length in two parts", POST .. "Content-Length: 5 5\r\n\r\nhello")
bad(400, "a malformed length", "a length past 64 bits", POST .. "Content-Length: 18446744073709551617\r\n\r\n")
bad(413, "the body is too long", "the longest length", POST .. "Content-Length: 18446744073709551615\r\n\r\n")
bad(501, CODING, "a coding before chunked", POST .. "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
bad(501, CODING, "another coding", POST .. "Transfer-Encoding: gzip\r\n\r\n")
bad(501, CODING, "identity", POST .. "Transfer-Encoding: identity\r\n\r\n")
bad(501, CODING, "a coding that begins like chunked", POST .. "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n")
bad(501, CODING, "chunked in quotes", POST .. 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n')
bad(501, CODING, "an empty coding", POST .. "Transfer-Encoding:\r\n\r\n")
bad(400, CODING, "a coding behind chunked", POST .. "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n")
bad(400, CODING, "chunked twice in one", POST .. "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")
bad(400, CODING, "chunked in two fields", POST .. "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
bad(400, "several transfer codings", "identity, then chunked",
  POST .. "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
bad(400, "a transfer coding in HTTP/1.0", "chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
-- Chunks.
bad(400, "a malformed chunk", "a chunk size with 0x", CHUNKED .. "0x5\r\nhello\r\n0\r\n\r\n")
bad(400, "a malformed chunk", "a chunk size with a sign", CHUNKED .. "+5\r\nhello\r\n0\r\n\r\n")
bad(400, "a malformed chunk", "a blank behind a chunk size", CHUNKED .. "5 \r\nhello\r\n0\r\n\r\n")
bad(400, "a malformed chunk", "no chunk size", CHUNKED .. "\r\nhello\r\n0\r\n\r\n")
bad(400, "a malformed chunk", "a chunk size past 64 bits", CHUNKED .. "10000000000000005\r\nhello\r\n0\r\n\r\n")
bad(400, "a malformed chunk", "LF alone behind a chunk size", CHUNKED .. "5\nhello\r\n0\r\n\r\n")
bad(400, "a malformed message", "no line end behind a chunk", CHUNKED .. "5\r\nhelloX\r\n0\r\n\r\n")
bad(400, "a malformed message", "LF alone behind a chunk", CHUNKED .. "5\r\nhello\n0\r\n\r\n")
bad(400, "a control character", "LF alone behind a chunk extension", CHUNKED .. "5;a=b\nhello\r\n0\r\n\r\n")
bad(400, "CR without LF", "CR alone in a chunk extension", CHUNKED .. "5;a\rb\r\nhello\r\n0\r\n\r\n")
bad(400, "a control character", "CR in quotes of a chunk extension", CHUNKED .. '5;a="\r\nhello\r\n0\r\n\r\n')
bad(400, "a control character", "a NUL in a chunk extension", CHUNKED .. "5;a=\0\r\nhello\r\n0\r\n\r\n")
bad(400, "a malformed chunk", "an extension without a size", CHUNKED .. ";a=b\r\nhello\r\n0\r\n\r\n")
bad(400, "CR without LF", "CR alone behind a chunk size", CHUNKED .. "5\rhello\r\n0\r\n\r\n")
bad(400, "CR without LF", "an extension behind CR", CHUNKED .. "5\r;a\nhello\r\n0\r\n\r\n")
bad(400, FOLD, "a folded line behind the chunks", CHUNKED .. "0\r\nX: a\r\n b\r\n\r\n")
bad(400, "LF without CR", "LF alone behind the chunks", CHUNKED .. "0\r\n\n")
bad(400, "LF without CR", "LF alone ends a field behind the chunks", CHUNKED .. "0\r\nX: y\n\r\n")
bad(400, "a control character", "a NUL behind the chunks", CHUNKED .. "0\r\nX: \0\r\n\r\n")
-- Expectations.
bad(417, "an expectation that is not 100-continue", "another expectation", POST .. "Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx")
-- What follows a good one.
bad(400, "several Hosts", "the second of two", GET .. "\r\n" .. GET .. "Host: g\r\n\r\n", 1)
bad(400, LINE, "a body longer than its length", POST .. "Content-Length: 3\r\n\r\nhello\r\n" .. GET .. "\r\n", 1)

return M
