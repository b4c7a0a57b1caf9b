-- step_chance_spec.lua - chance in a step is the system's: Lua's own seed is the clock's second and addresses, which two
-- processes may share.
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")

describe("chance in a step", function()
  it("differs between processes that begin in the same second at the same addresses", function()
    local place = program.place()
    place:write("wf.lua", [[
local da = require "da"
function da.step.draw() return os.time() .. " " .. da.uuid() .. " " .. math.random(0) end
function da.async.main() return da.await(da.step.draw()) end
]])
    local seen = {}
    for i = 1, 12 do
      local got = program.run({}, { sh = ('exec setarch -R "$0" run wf.lua --id r-%d'):format(i), data = place.data, cwd = place.dir })
      assert.equal(0, got.code, got.err)
      local second, drawn = got.out:match('"(%d+) ([^"]+)"')
      assert.is_nil(seen[drawn], "drawn twice in second " .. second)
      seen[drawn] = true
    end
    place:remove()
  end)
end)
