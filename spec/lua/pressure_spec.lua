-- pressure_spec.lua - a workflow that calls faster than the store records is paused: it sees no full queue, the memory
-- it takes stays small, and others get their turn.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
]]

-- The most memory a process ever had, in MB; asked for as long as it runs.
local function watch_memory(process)
  local most = 0
  local timer = uv.new_timer()
  timer:start(0, 10, function()
    local file = io.open(("/proc/%d/status"):format(process.pid))
    local text = file and file:read("a") or ""
    if file then file:close() end
    most = math.max(most, (tonumber(text:match("VmHWM:%s*(%d+)")) or 0) // 1024)
    if process.ended then timer:close() end
  end)
  harness.wait(process)
  return most
end

describe("a workflow that calls without an await", function()
  it("comes to its end in order, whether warm, evicted or sliced", function()
    local result = script.both { func = "main", script = HEAD .. [[
      function async.main()
        local order, last = {}, nil
        local b = async("b", function() for i = 1, 1500 do last = step("in_b", function() return i end) end; order[#order + 1] = "b" end)
        for i = 1, 1500 do last = step("in_main", function() return i end) end
        order[#order + 1] = "main"
        await(b)
        for i = 1, 100 do da.promise("never" .. i) end
        return { await(last), order }
      end]] }
    assert.are.equal('[1500,["main","b"]]\n', result.out, result.err)
  end)

  it("queues no more than the store can take", function()
    local place = harness.place()
    local file = assert(io.open(place.dir .. "/s.lua", "w"))
    file:write(HEAD, [[
      function async.main()
        local last
        for i = 1, 40000 do last = step("s", function() return i end) end
        return await(last)
      end]])
    file:close()
    local process = harness.spawn { "run", place.dir .. "/s.lua", "--data", place.data, "--quiet" }
    local most = watch_memory(process)
    assert.are.equal("40000\n", process.out, process.err)
    if not harness.sanitized then assert.is_true(most < 150, most .. " MB") end -- unbounded it is 380
    harness.remove(place)
  end)

  it("leaves others their turn", function()
    local result = script.run { func = "main", script = HEAD .. [[
      function async.floods()
        local last
        for i = 1, 20000 do last = step("s", function() return i end) end
        print "flooded"
        return await(last)
      end
      function async.counts()
        for _ = 1, 5 do await(da.sleep(0.001)) end
        print "counted"
      end
      function async.main() return await(da.all { async.floods(), async.counts() }) end]] }
    assert.are.equal(0, result.code, result.err)
    local counted, flooded = result.err:find("counted\n", 1, true), result.err:find("flooded\n", 1, true)
    assert(counted < flooded, result.err)
  end)
end)
