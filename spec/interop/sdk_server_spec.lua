-- sdk_server_spec.lua - a worker in Lua on the server that the published SDK brings with it (sdk_server.mjs).
--
-- Of all makes it is the one that times out only what has a target, and that dispatches nobody who registers for what
-- has been settled.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local cases = require("spec.support.wire_cases")
local http = require("spec.support.http")
local interop = require("spec.support.interop")
local program = require("spec.support.program")

print("sdk_server_spec: " .. interop.versions())

describe("a worker of the published SDK's own server", function()
  local place

  before_each(function() place = program.place(true) end)
  after_each(function() place:remove() end)

  for _, warm in ipairs { { "kept in memory" }, { "evicted at every await", "--warm", "0" } } do
    it("comes to the same results, " .. warm[1], function()
      local server = interop.node("sdk_server", {})
      local address = "127.0.0.1:" .. math.tointeger(server:said("port").port)
      local worker = program.spawn({ "worker", uv.cwd() .. "/spec/net/wire/programs.lua", "--server", "http://" .. address,
        "--lease", "2s", table.unpack(warm, 2) }, { cwd = place.dir })
      worker:wait_for(" serves ")
      local connection = http.connect(address)
      local function ask(kind, data) return connection:call(kind, data) end
      local list = cases.list { ids = "colon" }
      for _, case in ipairs(list) do cases.start(ask, case) end
      local left
      program.turn_until(function() return table.concat(left, ", ") .. "\n" .. worker.err end, function()
        left = {}
        for _, case in ipairs(list) do
          if not case.promise then
            cases.act(ask, case)
            case.promise = cases.result(ask, case)
          end
          if not case.promise then left[#left + 1] = case.name end
        end
        return #left == 0
      end)
      local wanted, came = {}, {}
      for _, case in ipairs(list) do wanted[case.name], came[case.name] = cases.outcome(case, case.promise) end
      assert.same(wanted, came)
      worker:signal_with("sigterm"):wait()
      assert.equal(0, worker.code, worker.err)
      server:kill()
    end)
  end
end)
