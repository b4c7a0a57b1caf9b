-- streams.lua - what thousands of idle event streams cost the server, and how long a message takes to reach them.
--
--   DAHOST_BIN=build/release/dahost lua5.4 spec/bench/streams.lua DIRECTORY STREAMS EXECUTES         (see rows.lua)
--
-- One process is the server, this one all of its workers: memory of the server per stream, the time from settling a
-- promise that every stream listens to until each has heard of it, and from creating a task until its worker has it. Both
-- processes share the machine, and this one is Lua, so the times are upper bounds.
--
-- SPDX-License-Identifier: Apache-2.0
package.path = "./?.lua;" .. package.path
local uv = require("luv")
local program = require("spec.support.program")
local http = require("spec.support.http")

local directory = arg[1]
local streams, executes = tonumber(arg[2]), tonumber(arg[3])
os.execute("mkdir -p '" .. directory .. "'")
local EMPTY = setmetatable({}, { __jsontype = "object" })
local FAR = 9007199254740991

local function rss_kb(pid)
  for line in io.lines("/proc/" .. pid .. "/status") do
    local kb = line:match("^VmRSS:%s+(%d+)")
    if kb then return tonumber(kb) end
  end
end

local function now_ms() return uv.hrtime() / 1e6 end

local function tell(what, list)
  table.sort(list)
  local function at(part) return list[math.max(1, math.ceil(#list * part))] end
  print(("%s_p50_ms=%.4g\n%s_p99_ms=%.4g"):format(what, at(0.5), what, at(0.99)))
end

local server = program.spawn({ "serve", "--listen", "127.0.0.1:0", "--max-connections", tostring(streams + 100),
  "--poll-connections", tostring(streams + 100), "--poll-keepalive", "0" }, { data = directory .. "/streams", cwd = "." })
server:wait_for("serving ")
local address = server.err:match("listening on https?://([^,\n]+)")
local host, port = address:match("^(.*):(%d+)$")
local connection = http.connect(address)

local function call(kind, data)
  local status, answer = connection:call(kind, data)
  assert(status == 200, answer)
end

call("promise.get", (function() -- the first requests make room that later ones use again
  call("promise.create", { id = "warm", timeoutAt = FAR, param = EMPTY, tags = EMPTY })
  return { id = "warm" }
end)())
local before = rss_kb(server.pid)

local heard = 0
local heard_at = {}
local sockets = {}
local ready = 0
local function open(i)
  local socket = uv.new_tcp()
  sockets[i] = socket
  socket:connect(host, tonumber(port), function(err)
    assert(not err, err)
    socket:write(("GET /poll/g/%d HTTP/1.1\r\nhost: x\r\n\r\n"):format(i))
    local open_already = false
    socket:read_start(function(_, data)
      if data and not open_already then
        open_already = true
        ready = ready + 1
        data = data:match("\r\n\r\n(.*)")
      end
      if data and data:find("data: ", 1, true) then
        heard = heard + 1
        heard_at[#heard_at + 1] = now_ms()
      end
    end)
  end)
end
for i = 1, streams do
  open(i)
  if i % 50 == 0 then
    program.turn_until(function() return ready .. " streams" end, function() return ready >= i end)
  end
end
program.turn_until(function() return ready .. " streams" end, function() return ready >= streams end)
local after = rss_kb(server.pid)

call("promise.create", { id = "all", timeoutAt = FAR, param = EMPTY, tags = EMPTY })
for i = 1, streams do
  connection:send_call("promise.register_listener", { awaited = "all", address = "poll://uni@g/" .. i })
  if i % 100 == 0 or i == streams then
    while connection.calls[1] do connection:receive_call() end
  end
end
local began = now_ms()
call("promise.settle", { id = "all", state = "resolved", value = EMPTY })
program.turn_until(function() return heard .. " events" end, function() return heard >= streams end)
local all = {}
for i, at in ipairs(heard_at) do all[i] = at - began end

local single = {}
for i = 1, executes do
  local want = heard + 1
  local from = now_ms()
  connection:send_call("promise.create",
    { id = "t" .. i, timeoutAt = FAR, param = EMPTY, tags = { ["resonate:target"] = "poll://any@g" } })
  program.turn_until(function() return "an execute" end, function() return heard >= want end)
  single[i] = heard_at[#heard_at] - from
  connection:receive_call()
end

print(("stream_bytes=%.0f"):format((after - before) * 1024 / streams))
tell("all", all)
tell("one", single)
for _, socket in ipairs(sockets) do socket:close() end
http.close_all()
server:signal_with("sigterm"):wait()
os.exit(true) -- luv does not outlive an ordinary end with handles that are still closing
