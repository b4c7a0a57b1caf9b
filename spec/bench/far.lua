-- far.lua - workers of a server elsewhere: three processes on one machine, `name=value` lines as da_bench prints them.
--
--   DAHOST_BIN=build/release/dahost lua5.4 spec/bench/far.lua DIRECTORY TRIPS EXECUTIONS STEPS       (see rows.lua)
--
-- A server, a worker of group `front`, one of group `back` (far_front.lua, far_back.lua), all of them programs of their
-- own, the client this process. Measured: a round trip of `await(back.echo(i))`; steps of many executions in the worker,
-- and of the same script in the server's own process; requests on the wire for one workflow, and for the same one in
-- the published TypeScript SDK (0 if spec/interop/install has not been run).
--
-- SPDX-License-Identifier: Apache-2.0
package.path = "./?.lua;" .. package.path
local uv = require("luv")
local json = require("dkjson")
local program = require("spec.support.program")
local serve = require("spec.support.serve")
local http = require("spec.support.http")

local directory, trips, executions, steps = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
os.execute("mkdir -p '" .. directory .. "'")
local NEVER = 9007199254740991

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local function base64(text)
  local out = text:gsub("..?.?", function(part)
    local a, b, c = part:byte(1, 3)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    local four = ""
    for shift = 18, 0, -6 do
      local at = (bits >> shift & 63) + 1
      four = four .. ALPHABET:sub(at, at)
    end
    return four:sub(1, #part + 1) .. ("="):rep(3 - #part)
  end)
  return out
end

local function now_ms() return uv.hrtime() / 1e6 end
local function say(name, value) print(("%s=%.6g"):format(name, value)) end

local place = { data = directory .. "/far", dir = "." }
local server = serve.start(place, { "default=spec/bench/far_front.lua", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0" })
local url = "http://" .. server.address
local function worker(group)
  local process = program.spawn({ "worker", ("spec/bench/far_%s.lua"):format(group), "--group", group, "--server", url, "--pid", group },
    { cwd = "." })
  process:wait_for("serves " .. group)
  return process
end
local workers = { worker("front"), worker("back") }
local connection = http.connect(server.address)

local function call(kind, data)
  local status, answer = connection:call(kind, data)
  assert(status == 200, answer)
  return answer
end

local function create(id, group, func, ...)
  local param = json.encode({ func = func, args = setmetatable({ ... }, { __jsontype = "array" }), version = 1 })
  call("promise.create", { id = id, timeoutAt = NEVER, param = { data = base64(param) }, tags = {
    ["resonate:target"] = "poll://any@" .. group, ["resonate:origin"] = id, ["resonate:branch"] = id,
    ["resonate:parent"] = id, ["resonate:scope"] = "global" } })
end

local function settled(id)
  local promise = call("promise.get", { id = id }).promise
  if promise.state == "pending" then return false end
  assert(promise.state == "resolved", json.encode(promise))
  return promise
end

local function wait(ids)
  for _, id in ipairs(ids) do
    while not settled(id) do uv.sleep(2) end
  end
end

local function requests()
  local sum = 0
  for name, value in pairs(serve.read_metrics(server)) do
    if name:find("^resonate_request_total") and not name:find("heartbeat", 1, true) then sum = sum + value end
  end
  return sum
end

-- What the client itself asks is not the workflow's.
local asked = 0
local function counted(body)
  local before = requests()
  asked = 0
  body()
  uv.sleep(300) -- what comes behind the end: a release, a suspension
  return requests() - before - asked
end
local plain_call = call
call = function(kind, data)
  asked = asked + 1
  return plain_call(kind, data)
end

create("warm", "front", "trips", 5)
wait { "warm" }
local begin = now_ms()
create("trips", "front", "trips", trips)
wait { "trips" }
say("trip_ms", (now_ms() - begin) / trips)

local function rate(group, name)
  local ids = {}
  local at = now_ms()
  for i = 1, executions do
    ids[i] = name .. i
    create(ids[i], group, "steps", steps)
  end
  wait(ids)
  return executions * steps / ((now_ms() - at) / 1000)
end
say("near_s", rate("default", "near"))
say("far_s", rate("front", "far"))

say("requests_mixed", counted(function()
  create("mixed", "front", "mixed")
  wait { "mixed" }
end) + 1) -- the creation of the root is the workflow's

local node = io.open("build/interop/installed")
local sdk = 0
if node then
  node:close()
  os.execute("cp spec/bench/far.mjs build/interop/far-bench.mjs && sed -i 's|./kit.mjs|./programs/kit.mjs|' build/interop/far-bench.mjs")
  sdk = counted(function()
    local got = program.run({ "--preserve-symlinks", "--preserve-symlinks-main", uv.cwd() .. "/build/interop/far-bench.mjs", url, "sdk" },
      { command = uv.cwd() .. "/build/interop/node", cwd = ".", env = { RESONATE_URL = "" } })
    assert(got.code == 0 and got.out:find("^70"), got.out .. got.err)
  end)
end
say("requests_sdk", sdk)

for _, process in ipairs(workers) do process:signal_with("sigterm"):wait() end
server:signal_with("sigterm"):wait()
os.exit(true) -- luv does not outlive an ordinary end with handles that are still closing
