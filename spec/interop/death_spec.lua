-- death_spec.lua - workers of the published SDK, the server and both are killed in the middle of workflows: all of these
-- come to their end, and no step that was recorded runs again.
--
-- The witness is the ledger, a file to which steps write their begin and end. A death is held to be in the middle only if
-- some steps had been recorded and some had not.
--
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local interop = require("spec.support.interop")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local RETRY = "2s" -- when what was sent to one who died is sent again; 30 s by default
local TTL = 3000 -- of leases; a heartbeat comes at its half, so a busy machine has the other half to spare
local WORKFLOWS, ROUNDS, STEP_MS = 6, 4, 40
local STEPS = 2 * ROUNDS + 2 -- of each workflow
local ARGUMENTS = ("[%d,%d]"):format(ROUNDS, STEP_MS)

local place, server

local function start(address)
  server = serve.start(place, { "--listen", address or "127.0.0.1:0", "--retry-timeout", RETRY })
end

local function kill_server()
  server:signal_with("sigkill"):wait()
end

local function workers()
  return interop.worker(server.address, "jobs", "w1", { place = place, ttl = TTL }),
    interop.worker(server.address, "jobs", "w2", { place = place, ttl = TTL })
end

local function call()
  local client = interop.node("call", { "http://" .. server.address, "jobs", "job.workflow", "j*" .. WORKFLOWS, ARGUMENTS })
  client:said("called")
  return client
end

-- Waits until the workers have come some way, `pid` being within a step.
local function wait_for_the_middle(pid)
  interop.wait_ledger(place, function(lines)
    local ended, within = 0, {}
    for _, line in ipairs(lines) do
      if line.what == "end" then ended = ended + 1 end
      if line.pid == pid then within[line.id] = line.what == "begin" or nil end
    end
    return ended >= WORKFLOWS * STEPS / 3 and next(within)
  end)
end

-- Which steps the server holds as settled.
local function recorded()
  local ids, count = {}, 0
  local status, data = http.call(server.address, "promise.search", { state = "resolved", limit = 1000 })
  assert.are.equal(200, status)
  for _, promise in ipairs(data.promises) do
    if promise.id:find(":") then ids[promise.id], count = true, count + 1 end
  end
  assert.is_true(count > 0 and count < WORKFLOWS * STEPS, count .. " records: not in the middle")
  return ids
end

local function check_results(client)
  local got = interop.results(client, WORKFLOWS)
  for n = 1, WORKFLOWS do assert.are.equal(STEPS, got["j" .. n], "j" .. n) end
end

-- Every step ran; what ran twice had no record at the death, and may_repeat(id).
local function check_steps(records, may_repeat)
  local steps, repeated = 0, {}
  for id, count in pairs(interop.begun(place)) do
    steps = steps + 1
    if count > 1 then
      repeated[#repeated + 1] = id
      assert.is_nil(records[id], id .. " was recorded, and ran again")
      assert.is_true(may_repeat(id), id .. " ran twice")
    end
  end
  assert.are.equal(WORKFLOWS * STEPS, steps)
  return #repeated
end

-- Workflows whose steps ran in both processes.
local function moved()
  local first, count = {}, 0
  for id in pairs(interop.begun(place, "w1")) do first[id:match("^[^:]+")] = true end
  for id in pairs(interop.begun(place, "w2")) do
    local root = id:match("^[^:]+")
    if first[root] then first[root], count = nil, count + 1 end
  end
  return count
end

local function tell(what, records, repeated)
  local count = 0
  for _ in pairs(records) do count = count + 1 end
  print(("%s: %d of %d steps recorded at the death, %d ran again, %d workflows in both workers"):format(what, count,
    WORKFLOWS * STEPS, repeated, moved()))
end

describe("workflows of the SDK come to their end", function()
  before_each(function()
    place = program.place()
    start()
  end)
  after_each(function() place:remove() end)

  it("when a worker is killed", function()
    local w1 = workers()
    local client = call()
    wait_for_the_middle("w1")
    w1:kill()
    local own = interop.begun(place, "w1")
    local records = recorded()
    check_results(client)
    tell("worker killed", records, check_steps(records, function(id) return own[id] ~= nil end))
    assert.is_true(moved() > 0)
    serve.stop(server)
  end)

  it("when the server is killed", function()
    workers()
    local client = call()
    wait_for_the_middle("w1")
    kill_server()
    start(server.address)
    local records = recorded()
    check_results(client)
    tell("server killed", records, check_steps(records, function() return true end))
    serve.stop(server)
  end)

  it("when both are killed", function()
    local w1 = workers()
    local client = call()
    wait_for_the_middle("w1")
    kill_server()
    w1:kill()
    start(server.address)
    local records = recorded()
    check_results(client)
    tell("both killed", records, check_steps(records, function() return true end))
    serve.stop(server)
  end)

  it("when the server is killed while nothing is to be done", function()
    local worker = interop.worker(server.address, "jobs", "w1", { place = place })
    kill_server()
    start(server.address)
    worker:said("reconnected")
    local client = interop.node("call", { "http://" .. server.address, "jobs", "job.same", "s1,s2", "[5]" })
    assert.are.same({ s1 = 5, s2 = 5 }, interop.results(client, 2))
    serve.stop(server)
  end)
end)
