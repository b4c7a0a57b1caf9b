-- load_spec.lua - many workflows over several processes of the published SDK at once: all of them come back, the workers
-- share them, and the server is asked as often as the protocol says, counted by its metrics.
--
-- SPDX-License-Identifier: Apache-2.0
local interop = require("spec.support.interop")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local COUNT = 200

local function asked(metrics, kind, status)
  return metrics[('resonate_request_total{kind="%s",status="%d"}'):format(kind, status)] or 0
end

describe("two workers of the SDK in one group", function()
  local place
  setup(function() place = program.place() end)
  teardown(function() place:remove() end)

  it("share " .. COUNT .. " workflows and what these call", function()
    local server = serve.start(place, { "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0" })
    local url = "http://" .. server.address
    for _, pid in ipairs { "w1", "w2" } do interop.worker(server.address, "load", pid, { place = place }) end
    local client = interop.node("call", { url, "load", "job.square", "n*" .. COUNT, '["$n"]' })
    local got = interop.results(client, COUNT)
    for n = 1, COUNT do assert.are.equal(n * n, got["n" .. n]) end

    -- Each workflow is dispatched twice, what it calls once, each time to whoever comes up.
    local all = interop.begun(place)
    for n = 1, COUNT do assert.are.equal(1, all[("n%d:1"):format(n)], "the call of n" .. n) end
    for _, pid in ipairs { "w1", "w2" } do
      local own = 0
      for _, count in pairs(interop.begun(place, pid)) do own = own + count end
      assert.is_true(own > COUNT / 2, pid .. " began " .. own)
    end

    local metrics = serve.read_metrics(server)
    assert.are.equal(COUNT, asked(metrics, "promise.create", 200))
    assert.are.equal(2 * COUNT, asked(metrics, "task.fulfill", 200))
    local suspended, continued = asked(metrics, "task.suspend", 200), asked(metrics, "task.suspend", 300)
    assert.are.equal(COUNT, suspended + continued) -- at its call each workflow waits, or goes on as that has ended
    assert.are.equal(2 * COUNT + suspended, asked(metrics, "task.acquire", 200))
    assert.are.equal(0, asked(metrics, "task.release", 200))
    serve.stop(server)
    print(("%d suspended, %d went on at once, %d dispatches refused"):format(suspended, continued,
      asked(metrics, "task.acquire", 409)))
  end)
end)
