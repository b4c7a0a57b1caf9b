-- worker_wire_spec.lua - what a worker says to servers of several makes, request by request, as it was recorded.
--
-- The recordings (wire/*.jsonl) were made with `dahost serve` in the place of each (support/wire_profiles.lua), one message
-- at a time, and read against the protocol. To make them anew after what a worker says has changed on purpose, or
-- wire/programs.lua has:
--
--     DA_WIRE_RECORD=all lua5.4 /usr/bin/busted spec/net/worker_wire_spec.lua       or names: older,newer
--
-- then read the difference before it is kept.
--
-- SPDX-License-Identifier: Apache-2.0
local cases = require("spec.support.wire_cases")
local http = require("spec.support.http")
local profiles = require("spec.support.wire_profiles")
local program = require("spec.support.program")
local relay = require("spec.support.wire_relay")
local serve = require("spec.support.serve")
local tape = require("spec.support.wire_tape")
local uv = require("luv")
local wire_server = require("spec.support.wire_server")

local PROGRAMS = uv.cwd() .. "/spec/net/wire/programs.lua"
local QUIET_MS = 300 -- far longer than an execution rests before it is suspended
local recorded = os.getenv("DA_WIRE_RECORD")

local function start_worker(place, profile, url)
  local words = { "worker", PROGRAMS, "--server", url, "--warm", "0", "--step-threads", "1", table.unpack(profile.worker) }
  return program.spawn(words, { data = place.data, cwd = place.dir })
end

local function stop_worker(worker)
  worker:signal_with("sigterm"):wait()
  assert(worker.code == 0, worker.err)
end

local function path_of(profile)
  return uv.cwd() .. "/spec/net/wire/" .. profile.name .. ".jsonl"
end

---------------------------------------------------------------------------------------------------- recording

local function now_ms()
  local seconds, us = uv.gettimeofday()
  return seconds * 1000 + us // 1000
end

-- One thing at a time: a message, what others do, or the end.
local function conduct(way, case, ask)
  local kept = { name = case.name, func = case.func, began = now_ms(), entries = {} }
  way:record(kept)
  cases.start(ask, case)
  local promise
  program.turn_until(function() return "the end of " .. case.name .. "\n" .. tape.encode(kept.entries) end, function()
    if way:quiet_ms() < QUIET_MS or way:release() then return false end
    local over = cases.act(ask, case, function(act)
      table.insert(kept.entries, { outside = act.kind .. " " .. act.data[act.data.id and "id" or "awaited"] })
    end)
    promise = over and cases.result(ask, case)
    return promise ~= nil and promise ~= false
  end)
  program.turn_until(function() return "quiet" end, function() return way:quiet_ms() > QUIET_MS and not way:release() end)
  way:record(nil)
  local wanted, came = cases.outcome(case, promise)
  assert(wanted == came, ("%s: wanted %s, came %s"):format(case.name, wanted, came))
  return kept
end

local function record(profile)
  local place = program.place(true)
  local process = serve.start(place, profile.serve)
  local connection = http.connect(process.address)
  local function ask(kind, data) return connection:call(kind, data) end
  local list = {}
  for i, case in ipairs(cases.list(profile)) do
    local way = relay.start(process.address, profile)
    way:hold()
    local worker = start_worker(place, profile, way.url)
    program.turn_until(function() return "a stream of the worker:\n" .. worker.err end, function() return way.pid end)
    list[i] = conduct(way, case, ask)
    stop_worker(worker)
    way:stop()
  end
  place:remove()
  tape.write(path_of(profile), list)
end

---------------------------------------------------------------------------------------------------- comparing

for _, name in ipairs { "older", "newer", "first", "ported" } do -- of dahost there are its heads, which no file keeps
  local profile = profiles[name]
  describe(("a worker of a server like %s"):format(name), function()
    local again = recorded and (recorded == "all" or ("," .. recorded .. ","):find("," .. name .. ",", 1, true))
    if again then it("is recorded anew", function() record(profile) end) end
    if again then return end

    local place, server, worker
    before_each(function()
      place = program.place(true)
      server = wire_server.start { profile = profile }
      worker = start_worker(place, profile, server.url)
      server:wait_worker()
    end)
    after_each(function()
      server:stop()
      place:remove()
    end)

    for _, case in ipairs(tape.read(path_of(profile))) do
      it("says what was recorded of " .. case.name, function()
        server:play(case)
        server:wait(worker)
        stop_worker(worker)
        assert.is_nil(server.fault)
      end)
    end
  end)
end
