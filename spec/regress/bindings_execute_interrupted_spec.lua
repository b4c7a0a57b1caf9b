-- bindings_execute_interrupted_spec.lua - while a step waited for os.execute, the process was deaf to Ctrl-C: system(3) has
-- the whole process ignore SIGINT meanwhile.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")

local run = cli.run

-- A step that says when it runs, and lasts until the file is there.
local SLOW = [[
local da = require "da"
function da.step.lasts(file)
  print "in the step"
  local first = os.execute("exec >/dev/null 2>&1; while [ ! -e '" .. file .. "' ]; do sleep 0.02; done")
  return first, da.attempt()
end
function da.step.spins(file)
  print "in the step"
  repeat local f = io.open(file) until f
  return true
end
function da.async.execute(file) return da.await(da.step.lasts(file)) end
function da.async.spin(file) return da.await(da.step.spins(file)) end
]]

describe("a signal to stop", function()
  local place

  before_each(function() place = cli.begin() end)
  after_each(cli.finish)

  it("does not wait for a step, whatever it does; the step runs again", function()
    local slow = place:write("slow.lua", SLOW)
    for _, name in ipairs({ "execute", "spin" }) do
      for _, signal in ipairs({ "sigint", "sigterm" }) do
        local id = name .. "-" .. signal
        local file = place.dir .. "/" .. id
        local process = place:spawn("run", slow, name, file, "--id", id):wait_for("in the step")
        process:signal_with(signal):wait()
        assert.are.same({ 130, "" }, { process.code, process.out })
        place:write(id, "go")
        local again = run("resume", id)
        assert.are.same({ 0, name == "spin" and "true\n" or "[true,1]\n" }, { again.code, again.out })
      end
    end
  end)
end)
