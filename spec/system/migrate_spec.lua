-- migrate_spec.lua - `dahost migrate ID FILE`: an unfinished execution goes on with other code, over its own records.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.f(x) return x end
]]

-- Parks: what the inline step changes is not there on replay.
local BROKEN = HEAD .. [[
function async.main()
  local t = { n = 0 }
  await(step("count", function() t.n = t.n + 1 end))
  await(step.f(t.n))
  await(da.sleep(0.3))
  return "never"
end]]

local MENDED = HEAD .. [[
function async.main()
  await(step("count", function() end))
  await(step.f(1))
  await(da.sleep(0.3))
  return "mended"
end]]

local function write(place, name, text)
  local file = assert(io.open(place.dir .. "/" .. name, "w"))
  file:write(text)
  file:close()
  return place.dir .. "/" .. name
end

local function dahost(place, ...)
  local args = { ... }
  args[#args + 1], args[#args + 2] = "--data", place.data
  return harness.dahost(args)
end

describe("dahost migrate", function()
  local place
  before_each(function() place = harness.place() end)
  after_each(function() harness.remove(place) end)

  it("lets a parked execution go on with mended code, and runs no recorded step again", function()
    local parked = script.cold { place = place, keep = true, script = BROKEN }
    assert.are.equal(3, parked.code, parked.err)
    local migrated = dahost(place, "migrate", "x", write(place, "mended.lua", MENDED))
    assert.are.equal(0, migrated.code, migrated.err)
    local resumed = dahost(place, "resume", "x", "--quiet")
    assert.are.equal('"mended"\n', resumed.out, resumed.err)
    assert.are.equal(0, dahost(place, "verify").code)
  end)

  it("parks it again when the new code does not fit its records either", function()
    script.cold { place = place, keep = true, script = BROKEN }
    dahost(place, "migrate", "x", write(place, "worse.lua", HEAD .. "function async.main() return await(step.f(7)) end"))
    local resumed = dahost(place, "resume", "x", "--quiet")
    assert.are.equal(3, resumed.code, resumed.err)
    assert.is_truthy(resumed.err:find("wants step 'f' args#", 1, true), resumed.err)
  end)

  it("refuses code that does not define the function", function()
    script.cold { place = place, keep = true, script = BROKEN }
    local refused = dahost(place, "migrate", "x", write(place, "other.lua", HEAD .. "function async.other() end"))
    assert.are.equal(2, refused.code)
    assert.is_truthy(refused.err:find("other.lua defines no workflow 'main', which 'x' runs", 1, true), refused.err)
  end)

  it("refuses code that does not load, with file and line", function()
    script.cold { place = place, keep = true, script = BROKEN }
    local refused = dahost(place, "migrate", "x", write(place, "bad.lua", "local x = = 1"))
    assert.are.equal(2, refused.code)
    assert.is_truthy(refused.err:find("bad.lua:1:", 1, true), refused.err)
  end)

  it("refuses an execution that has ended, and one that does not exist", function()
    script.run { place = place, keep = true, script = HEAD .. "function async.main() return 1 end" }
    local file = write(place, "mended.lua", MENDED)
    local ended = dahost(place, "migrate", "x", file)
    assert.are.equal(1, ended.code)
    assert.is_truthy(ended.err:find("'x' has ended", 1, true), ended.err)
    assert.is_truthy(dahost(place, "migrate", "y", file).err:find("no execution 'y'", 1, true))
  end)
end)
