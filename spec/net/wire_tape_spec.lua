-- wire_tape_spec.lua - recordings of a wire: what is kept of it, that a worker can be answered from it, and that a worker
-- which asks something else is found out.
-- SPDX-License-Identifier: Apache-2.0
local far_worker = require("spec.support.far_worker")
local http = require("spec.support.http")
local json = require("dkjson")
local probe = require("da_probe")
local profiles = require("spec.support.wire_profiles")
local program = require("spec.support.program")
local relay = require("spec.support.wire_relay")
local serve = require("spec.support.serve")
local tape = require("spec.support.wire_tape")
local wire_server = require("spec.support.wire_server")

local QUIET_MS = 200

-- The worker of far_worker.lua, whose address is that of a relay or of a recording.
local function new_worker(url)
  local world = far_worker.world {
    address = function() return url, 1 end,
    lost = function(why) error(why, 0) end,
    ttl = 60000,
  }
  local worker = world:worker("default", "worker-1")
  worker:listen()
  return worker
end

local function turn(worker, until_what, done)
  program.turn_until(function() return until_what end, function()
    worker:turn()
    return done()
  end)
end

-- Runs root and child on a server of that profile, one message at a time; the case that came of it.
local function record(place, profile)
  local process = serve.start(place, profile.serve)
  local way = relay.start(process.address, profile)
  way:hold()
  local case = { name = "root", began = far_worker.now_ms(), entries = {} }
  local worker = new_worker(way.url)
  way:record(case)
  local target = { ["resonate:target"] = "poll://any@default" }
  assert.equal(200, (http.call(process.address, "promise.create", far_worker.promise("root", "root", target,
    { func = "root", args = { 300 } }))))
  local settled, result
  turn(worker, "the end of root", function()
    if not way:release() and way:quiet_ms() > QUIET_MS and not settled then
      settled = true
      http.call(process.address, "promise.settle", { id = "root:3", state = "resolved",
        value = { data = probe.base64('"yes"') } })
    end
    result = settled and select(2, http.call(process.address, "promise.get", { id = "root" })).promise
    return result and result.state ~= "pending"
  end)
  worker.stream:close()
  way:stop()
  serve.stop(process)
  return case, json.decode(probe.base64_read(result.value.data))
end

-- Has the worker meet what was recorded; the server that played it, or an error.
local function replay(case, profile, changed)
  local server = wire_server.start { profile = profile }
  local worker = new_worker(server.url)
  server:play(case)
  local ended, fault = pcall(turn, worker, "the end of the recording", function()
    if changed then changed(worker) end
    if server.fault then error(server.fault, 0) end
    for _, entry in ipairs(case.entries) do
      if entry.ask and not entry.done then return false end
    end
    return true
  end)
  worker.stream:close()
  server:stop()
  return ended, server.fault or fault, worker
end

describe("a recording of a wire", function()
  local place, case, result

  lazy_setup(function()
    place = program.place(true)
    case, result = record(place, profiles.newer)
  end)
  lazy_teardown(function() place:remove() end)

  it("holds what was asked, answered and told, in order", function()
    assert.same({ 1, 7, "yes", 2 }, result)
    local kinds = {}
    for _, entry in ipairs(case.entries) do
      kinds[#kinds + 1] = entry.ask and entry.ask.kind:match("%a+$") or entry.message.kind
    end
    assert.same({ "execute", "acquire", "fence", "fence", "fence", "fence", "fence", "suspend" }, { table.unpack(kinds, 1, 8) })
    assert.equal("fulfill", kinds[#kinds])
    local text = tape.encode(case.entries)
    assert.is_nil(text:find("worker-1", 1, true))
    assert.is_nil(text:find('"corrId":"[^<]'))
  end)

  it("answers a worker as the server did", function()
    local path = place.dir .. "/root.jsonl"
    tape.write(path, { case })
    local cases = tape.read(path)
    assert.same(tape.encode(case.entries), tape.encode(cases.root.entries))
    local ended, fault, worker = replay(cases.root, profiles.newer)
    assert.is_true(ended, fault)
    assert.equal('resolved [1,7,"yes",2]', worker.world.values.root)
  end)

  it("shows instants as if it were made now", function()
    local promise = { id = "x", createdAt = 1700000000000, timeoutAt = tape.TIME_MAX, tags = { ["resonate:delay"] = "1700000000500" } }
    assert.same({ id = "x", createdAt = 1700000001000, timeoutAt = tape.TIME_MAX, tags = { ["resonate:delay"] = "1700000001500" } },
      tape.shift(promise, 1000))
  end)

  it("finds out who asks something else, and says what differs", function()
    local changed = tape.decode(tape.encode(case))
    changed.name = "root"
    for _, entry in ipairs(changed.entries) do
      if entry.ask and entry.ask.kind == "task.fulfill" then
        entry.ask.data.action.data.value.data = probe.base64("[1,8]")
        break
      end
    end
    local ended, fault = replay(changed, profiles.newer)
    assert.is_false(ended)
    assert.is_truthy(fault:find("data.action.data.value.data.base64.2: recorded 8", 1, true)
      or fault:find("data.action.data.value.data.base64", 1, true), fault)
  end)

  it("finds out who asks too early, and who asks what nobody recorded", function()
    local changed = tape.decode(tape.encode(case))
    changed.name = "root"
    local first, second
    for i, entry in ipairs(changed.entries) do
      if entry.ask and entry.ask.kind == "task.fence" then
        if not first then first = i elseif not second then second = i end
      end
    end
    local entries = changed.entries
    entries[first], entries[second] = entries[second], entries[first]
    local ended, fault = replay(changed, profiles.newer)
    assert.is_false(ended)
    assert.is_truthy(fault:find("which differs in:\n", 1, true), fault)
    ended, fault = replay(tape.decode(tape.encode(case)), profiles.newer, function(worker)
      if not worker.done then worker.world:call("promise.get", { id = "nothing" }) end
      worker.done = true
    end)
    assert.is_false(ended)
    assert.is_truthy(fault:find('nothing recorded is like what came:\n  {"kind":"promise.get"', 1, true), fault)
  end)

  it("compares instants by where they lie behind its beginning, and values by what they hold", function()
    local bases = { recorded = 1700000000000, came = 1800000000000 }
    local function request(timeout, data)
      return { kind = "promise.create", data = { id = "x", timeoutAt = timeout, param = { data = data } } }
    end
    assert.same({}, tape.differences(request(1700000005000, probe.base64 '{"a":1,"b":2}'),
      request(1800000006000, probe.base64 '{"b":2,"a":1}'), bases))
    assert.same({ "data.timeoutAt: 3595000 ms apart" }, tape.differences(request(1700000005000), request(1800003600000), bases))
    assert.same({ "data.timeoutAt: recorded 1700000005000, came 9007199254740991" },
      tape.differences(request(1700000005000), request(tape.TIME_MAX), bases))
    assert.same({ "data.param.data.base64.a: recorded 1, came 2" },
      tape.differences(request(5, probe.base64 '{"a":1}'), request(5, probe.base64 '{"a":2}'), bases))
  end)
end)
