-- lease_spec.lua - who holds a task of the published SDK, and for how long: heartbeats, their absence, workers that lack
-- the function.
--
-- SPDX-License-Identifier: Apache-2.0
local interop = require("spec.support.interop")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local place, server

local function asked(kind, status)
  return serve.read_metrics(server)[('resonate_request_total{kind="%s",status="%d"}'):format(kind, status)] or 0
end

local function result(group, name, id, arguments)
  local client = interop.node("call", { "http://" .. server.address, group, name, id, arguments })
  return interop.results(client, 1)[id]
end

describe("a task of the SDK", function()
  before_each(function()
    place = program.place()
    server = serve.start(place, { "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0" })
  end)
  after_each(function() place:remove() end)

  it("stays with its worker by heartbeats, far beyond its lease", function()
    for _, pid in ipairs { "w1", "w2" } do interop.worker(server.address, "long", pid, { place = place, ttl = 800 }) end
    local by = result("long", "job.long", "long", "[3200]")
    assert.are.same({ long = 1 }, interop.begun(place))
    assert.are.equal(by, interop.ledger(place)[1].pid)
    local beats = asked("task.heartbeat", 200)
    assert.is_true(beats >= 4, beats .. " heartbeats")
    assert.are.equal(1, asked("task.acquire", 200))
    serve.stop(server)
  end)

  it("is given to somebody else when its worker gives no sign of life, whose late result is refused", function()
    interop.worker(server.address, "busy", "w1", { place = place, ttl = 500 })
    local got = result("busy", "job.busy", "busy", "[1500]")
    assert.is_true(got >= 2)
    assert.are.equal(got, interop.begun(place).busy)
    assert.is_true(asked("task.fulfill", 409) >= 1)
    assert.are.equal(1, asked("task.fulfill", 200))
    serve.stop(server)
  end)

  it("of the group of whoever names none is left to workers, as no file is served", function()
    local client = interop.node("call", { "http://" .. server.address, "default", "job.square", "d*20", '["$n"]' })
    client:said("called")
    interop.worker(server.address, "default", "w1", { place = place })
    local got = interop.results(client, 20)
    for n = 1, 20 do assert.are.equal(n * n, got["d" .. n]) end
    serve.stop(server)
  end)

  it("waits for a worker that has its function", function()
    interop.worker(server.address, "odd", "w1", { place = place })
    local client = interop.node("call", { "http://" .. server.address, "odd", "rare.same", "odd", "[7]" })
    client:said("called")
    while asked("task.release", 200) == 0 do assert.is_nil(client.process.ended) end
    interop.worker(server.address, "odd", "w2", { place = place, prefix = "rare" })
    assert.are.same({ odd = 7 }, interop.results(client, 1))
    assert.are.same({ odd = 1 }, interop.begun(place))
    print(asked("task.release", 200) .. " releases until then")
    serve.stop(server)
  end)
end)
