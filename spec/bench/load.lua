-- load.lua - the server under load, from processes of their own: `name=value` lines, as da_bench prints them.
--
--   DAHOST_BIN=build/release/dahost lua5.4 spec/bench/load.lua DIRECTORY SECONDS         (see rows.lua)
--
-- wrk(1) asks for create + settle over 64 connections, one request at a time and 16 pipelined; then this process asks at half
-- of the rate just seen, on a schedule that does not wait for answers, and tells how late they came; then wrk again
-- beside 2,000 connections that send a byte a second. Client and server share the machine.
--
-- SPDX-License-Identifier: Apache-2.0
package.path = "./?.lua;" .. package.path
local uv = require("luv")
local program = require("spec.support.program")

local CONNECTIONS, PIPELINED, LORIS = 64, 16, 2000
local directory, seconds = arg[1], tonumber(arg[2])
os.execute("mkdir -p '" .. directory .. "'")

local server = program.spawn({ "serve", "--listen", "127.0.0.1:0", "--max-connections", "4000" },
  { data = directory .. "/load", cwd = "." })
server:wait_for("serving ")
local address = server.err:match("listening on http://([^,\n]+)")

-- A promise is settled when some 8,000 requests lie behind its creation, so that the answer to that is back.
local SCRIPT = [[
local depth, run, n, behind = %d, "%s", 0, 4096
local function body(kind, data)
  return wrk.format("POST", "/", nil,
    '{"kind":"promise.' .. kind .. '","head":{"corrId":"1","version":"2026-04-01"},"data":{' .. data .. "}}")
end
local function one()
  n = n + 1
  local create = n %% 2 == 1 or n < 2 * behind + 2 * depth + 2 -- wrk throws the first call away
  local id = create and n or n - 2 * behind - 1
  id = ('"id":"%%s-%%d"'):format(run, id)
  if create then return body("create", id .. ',"timeoutAt":9007199254740991,"param":{"data":"eyJhbW91bnQiOjIwfQ=="},"tags":{}') end
  return body("settle", id .. ',"state":"resolved","value":{"data":"eyJhbW91bnQiOjIwfQ=="}')
end
function request()
  if depth == 1 then return one() end
  local list = {}
  for i = 1, depth do list[i] = one() end
  return table.concat(list)
end
]]

local runs = 0
local function wrk(depth)
  runs = runs + 1
  local path = directory .. "/load.lua"
  local file = assert(io.open(path, "w"))
  file:write(SCRIPT:format(depth, "r" .. runs))
  file:close()
  local got = program.run({ "-t1", "-c" .. CONNECTIONS, "-d" .. seconds, "--latency", "-s", path, "http://" .. address .. "/" },
    { command = "wrk" })
  assert(got.code == 0, got.err)
  assert(not got.out:find("Non-2xx", 1, true) and not got.out:find("Socket errors", 1, true), got.out)
  local number, unit = got.out:match("99%%%s+([%d.]+)(%l+)")
  return tonumber(got.out:match("Requests/sec:%s+([%d.]+)")), number * ({ us = 0.001, ms = 1, s = 1000 })[unit]
end

local host, port = address:match("^(.*):(%d+)$")
local function connect(on_data)
  local socket = uv.new_tcp()
  local open = false
  socket:connect(host, tonumber(port), function(err)
    assert(not err, err)
    open = true
    socket:read_start(function(_, data) if data then on_data(data) end end)
  end)
  program.turn_until(function() return "a connection" end, function() return open end)
  return socket
end

-- Asks at the rate, whatever is answered. Times in ms from the instant at which a request was due.
local function paced(rate)
  local late, sockets, total, sent, answered = {}, {}, math.floor(rate * seconds), 0, 0
  for i = 1, CONNECTIONS do
    local due, rest = {}, ""
    sockets[i] = { due = due }
    sockets[i].socket = connect(function(data)
      data = rest .. data
      local at = 1
      while true do
        local head, stop = data:find("\r\n\r\n", at, true)
        local length = head and tonumber(data:sub(at, head):lower():match("content%-length: (%d+)"))
        if not length or #data < stop + length then break end
        assert(data:find("^HTTP/1.1 200", at), data)
        at = stop + length + 1
        answered = answered + 1
        late[answered] = uv.hrtime() / 1e6 - table.remove(due, 1)
      end
      rest = data:sub(at)
    end)
  end
  local begin = uv.hrtime() / 1e6
  local timer = uv.new_timer()
  timer:start(0, 1, function()
    local now = uv.hrtime() / 1e6
    while sent < total and begin + sent * 1000 / rate <= now do
      local to = sockets[sent % CONNECTIONS + 1]
      to.due[#to.due + 1] = begin + sent * 1000 / rate
      local text = ('{"kind":"promise.create","head":{"corrId":"1","version":"2026-04-01"},"data":{"id":"p-%d","timeoutAt":' ..
        '9007199254740991,"param":{"data":"eyJhbW91bnQiOjIwfQ=="},"tags":{}}}'):format(sent)
      to.socket:write(("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"):format(#text, text))
      sent = sent + 1
    end
  end)
  program.turn_until(function() return answered .. " answers" end, function() return answered == total end)
  timer:close()
  for _, s in ipairs(sockets) do s.socket:close() end
  table.sort(late)
  return late[math.ceil(total * 0.5)], late[math.ceil(total * 0.99)]
end

-- They never come to the end of a head, and are told 408 in time: each begins again then.
local function crawl()
  local sockets = {}
  for i = 1, LORIS do
    sockets[i] = connect(function() end)
    sockets[i]:write("GET /health HTTP/1.1\r\nx")
  end
  local timer = uv.new_timer()
  timer:start(1000, 1000, function()
    for _, s in ipairs(sockets) do if not s:is_closing() then s:try_write("x") end end
  end)
  return function()
    timer:close()
    for _, s in ipairs(sockets) do s:close() end
  end
end

local function say(name, value) print(("%s=%.6g"):format(name, value)) end
local rate, p99 = wrk(1)
say("requests_s", rate)
say("full_p99_ms", p99)
say("pipelined_s", (wrk(PIPELINED)))
local half, half_p99 = paced(rate / 2)
say("half_p50_ms", half)
say("half_p99_ms", half_p99)
local stop = crawl()
local crawled, crawled_p99 = wrk(1)
stop()
say("crawled_s", crawled)
say("crawled_p99_ms", crawled_p99)
server:signal_with("sigterm"):wait()
os.exit(true) -- luv does not outlive an ordinary end with handles that are still closing
