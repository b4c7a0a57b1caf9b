-- schedule_spec.lua - who gets the process: calls made faster than they are recorded, steps that hang, inline steps that
-- take long, suspended executions that take memory. (Code that runs long: slice_spec.lua.)
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

describe("an inline step", function()
  it("that takes long is told in the log, with its line and the mend", function()
    local result = script.run { env = { DAHOST_LOG = "warn" }, script = HEAD .. [[
      function async.main()
        return await(step("waits", function() for _ = 1, 3e7 do end; return 1 end))
      end]] }
    assert.are.equal("1\n", result.out, result.err)
    assert.is_truthy(result.err:find('inline%.slow id=x:waits%.1 ms=%d+ at=s%.lua:4 mend="make it a named step"'), result.err)
  end)
end)

describe("a step thread that hangs", function()
  it("is replaced once its step is given up, so that others go on", function()
    local place = harness.place()
    local result = script.run { place = place, keep = true, args = { place.dir .. "/end" }, env = { DAHOST_STEP_THREADS = "1" },
      script = HEAD .. [[
      function step.hangs(path) os.execute("exec >/dev/null 2>&1; while ! test -e " .. path .. "; do sleep 0.05; done") end
      function step.works() return "worked" end
      function async.main(path)
        local codes = {}
        for i = 1, 3 do
          local _, e = da.pawait(step.hangs:with { timeout = "50ms" }(path))
          codes[i] = e.code
        end
        codes[4] = await(step.works())
        return codes
      end]] }
    io.open(place.dir .. "/end", "w"):close()
    assert.are.equal('["timedout","timedout","timedout","worked"]\n', result.out, result.err)
    os.execute "sleep 0.1"
    harness.remove(place)
  end)
end)

describe("suspended executions", function()
  local function most(warm)
    local place = harness.place()
    local file = assert(io.open(place.dir .. "/s.lua", "w"))
    file:write(HEAD, [[
      function async.kid(n)
        local load = {}
        for i = 1, 20000 do load[i] = i end
        await(da.sleep(1.5))
        return #load
      end
      function async.main()
        local kids = {}
        for batch = 1, 12 do
          for i = 1, 15 do kids[#kids + 1] = async.kid(i) end
          await(da.sleep(0.1))
        end
        return #await(da.all(kids))
      end]])
    file:close()
    local process = harness.spawn({ "run", place.dir .. "/s.lua", "main", "--data", place.data, "--quiet" },
      { env = { DAHOST_WARM = warm } })
    local mb = watch_memory(process)
    assert.are.equal("180\n", process.out, process.err)
    harness.remove(place)
    return mb
  end

  it("keep no more memory than they may, and lose nothing by it", function()
    local bounded, free = most "4M", most "400M"
    if not harness.sanitized then
      assert.is_true(bounded < free * 0.6, ("%d MB with --warm 4M, %d MB with --warm 400M"):format(bounded, free))
    end
  end)
end)
