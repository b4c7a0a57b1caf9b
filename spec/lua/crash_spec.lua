-- crash_spec.lua - a step that takes the process with it is not tried for ever.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local harness = require("spec.support.harness")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.first() return 1 end
function step.kills() os.execute "kill -9 $PPID"; os.execute "sleep 1" end
function async.main(n)
  local sum = await(step.first())
  for _ = 1, n do sum = sum + await(step.kills()) end
  return sum
end
]]

local function write(place, text)
  local file = assert(io.open(place.dir .. "/s.lua", "w"))
  file:write(text)
  file:close()
end

local function run(place, ...)
  return harness.dahost { "run", place.dir .. "/s.lua", "main", "1", "--data", place.data, "--id", "x", ... }
end

local function shown(place, ...)
  local args = { ... }
  args[#args + 1] = "--data"
  args[#args + 1] = place.data
  return harness.dahost(args).out
end

local place
before_each(function() place = harness.place() end)
after_each(function() harness.remove(place) end)

describe("a step that kills the process", function()
  it("parks its execution at the death that was said, and goes on once it is mended", function()
    write(place, HEAD)
    for death = 1, 4 do
      assert.are.equal(9, run(place, "--deaths", "4").signal, "death " .. death)
    end
    local parked = run(place, "--deaths", "4")
    assert.are.equal(3, parked.code, parked.err)
    assert.is_truthy(parked.err:find("the process died 4 times after 'x:kills.1' (s.lua:7) had begun", 1, true), parked.err)
    assert.is_truthy(shown(place, "ps", "--parked"):find("x:kills.1", 1, true))
    local mended = HEAD:gsub("os.execute \"kill[^\n]* end", "return 41 end")
    write(place, mended)
    local again = harness.dahost { "continue", "x", "--data", place.data }
    assert.are.equal(0, again.code, again.err)
    local result = run(place)
    assert.are.equal("42\n", result.out, result.err)
    assert.are.equal(0, harness.dahost({ "verify", "--data", place.data }).code)
  end)

  it("counts ten by itself", function()
    write(place, HEAD)
    for death = 1, 10 do assert.are.equal(9, run(place).signal, "death " .. death) end
    local parked = run(place)
    assert.are.equal(3, parked.code, parked.err)
    assert.is_truthy(parked.err:find("the process died 10 times", 1, true), parked.err)
  end)
end)

describe("an end in peace", function()
  it("is no death, however often it cuts a step off", function()
    write(place, (HEAD:gsub("kill %-9 %$PPID", "touch " .. place.dir .. "/begun")))
    for _ = 1, 3 do
      os.remove(place.dir .. "/begun")
      local life = harness.spawn { "run", place.dir .. "/s.lua", "main", "1", "--data", place.data, "--id", "x", "--deaths", "2" }
      while not life.ended and not uv.fs_stat(place.dir .. "/begun") do
        uv.run("nowait")
        uv.sleep(1)
      end
      uv.kill(life.pid, "sigterm")
      harness.wait(life)
      assert.are.equal(130, life.code, life.err)
    end
    assert.is_falsy(shown(place, "ps", "--parked", "--json"):find("main", 1, true))
  end)
end)

describe("a death that a tool sees first", function()
  it("is not forgotten", function()
    write(place, HEAD)
    assert.are.equal(9, run(place, "--deaths", "2").signal)
    assert.is_truthy(shown(place, "ps"):find("x", 1, true))
    assert.are.equal(9, run(place, "--deaths", "2").signal)
    local parked = run(place, "--deaths", "2")
    assert.are.equal(3, parked.code, parked.err)
    assert.is_truthy(parked.err:find("died 2 times", 1, true), parked.err)
  end)
end)
