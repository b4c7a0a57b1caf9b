-- server_reset_spec.lua - debug.reset under a process that runs executions: they go with their store, it stays.
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.add(n) return n + 1 end

function async.order(n)
  local sum = await(step.add(n))
  print("waits with " .. sum)
  await(da.promise("go"))
  return sum
end
]]

describe("debug.reset", function()
  local place, server

  before_each(function()
    place = program.place()
    server = serve.start(place, { "--debug", "--listen", "127.0.0.1:0", place:write("wf.lua", SCRIPT) })
  end)
  after_each(function()
    http.close_all()
    serve.stop(server)
    place:remove()
  end)

  it("ends what runs, and what is started anew under the same id is another execution", function()
    assert.equal(0, place:run("start", "wf.lua", "order", "1", "--id", "order-1").code)
    server:wait_for("waits with 2")
    assert.equal(200, (http.call(server.address, "debug.reset", {})))
    local _, found = http.call(server.address, "promise.search", {})
    assert.same({}, found.promises)
    assert.equal(0, place:run("start", "wf.lua", "order", "5", "--id", "order-1").code)
    server:wait_for("waits with 6")
    assert.equal(0, place:run("promise", "resolve", "order-1:go.1").code)
    server:wait_for("order-1 resolved")
    _, found = http.call(server.address, "task.search", { state = "fulfilled" })
    assert.same({ "order-1", 1 }, { found.tasks[1].id, #found.tasks })
  end)
end)
