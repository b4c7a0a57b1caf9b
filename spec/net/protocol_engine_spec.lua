-- protocol_engine_spec.lua - the engine's tables once more, told to a server over HTTP.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local program = require("spec.support.program")
local wire = require("spec.support.engine_http")

local FILES = { "edge", "promise_create", "promise_get", "promise_register_callback", "promise_register_listener",
  "promise_settle", "questions", "sweep", "task_acquire", "task_continue", "task_create", "task_fence", "task_fulfill",
  "task_get", "task_halt", "task_heartbeat", "task_release", "task_suspend" }

describe("over HTTP:", function()
  local place, wires, open

  setup(function()
    place, open = program.place(true), engine.open
    wires = wire.new(place)
    engine.open = function(options) return wires:open(options) end
  end)
  teardown(function()
    engine.open = open
    wires:stop()
    place:remove()
  end)

  engine.over_http = true
  for _, name in ipairs(FILES) do
    assert(loadfile("spec/engine/" .. name .. "_spec.lua", "t", _ENV))()
  end
end)
