-- pinned_spec.lua - an execution keeps the code it began with, whatever becomes of the files; its named steps do not.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local harness = require("spec.support.harness")

local MAIN = [[
local da = require "da"
local text = require "lib.text"
local async, await, step = da.async, da.await, da.step
function step.who() return "step of one" end
function async.main(n)
  await(da.promise "go")
  if n == 1 then return da.again(2) end
  return text.greet(), await(step.who())
end]]
local LIB = [[return { greet = function() return "greeting of one" end }]]
local RESULT = '["greeting of one","step of one"]\n'

describe("an execution", function()
  local place

  local function write(name, text)
    local file = assert(io.open(place.dir .. "/" .. name, "w"))
    file:write(text)
    file:close()
    return place.dir .. "/" .. name
  end

  local function dahost(...)
    local args = { ... }
    args[#args + 1], args[#args + 2] = "--data", place.data
    return harness.dahost(args)
  end

  -- Waits for `id`, kills the process, and settles it.
  local function until_it_waits_for(id, ...)
    local args = { ... }
    for _, arg in ipairs { "--id", "x", "--data", place.data } do args[#args + 1] = arg end
    local process = harness.spawn(args)
    while dahost("get", id).code ~= 0 do assert.is_nil(process.ended, process.err) end
    uv.kill(process.pid, "sigkill")
    harness.wait(process)
    assert.are.equal(0, dahost("promise", "resolve", id, "1").code)
    return process
  end

  before_each(function()
    place = harness.place(true)
    assert(uv.fs_mkdir(place.dir .. "/lib", tonumber("700", 8)))
    write("wf.lua", MAIN)
    write("lib/text.lua", LIB)
    until_it_waits_for("x:go.1", "run", place.dir .. "/wf.lua", "main", "0")
  end)
  after_each(function() harness.remove(place) end)

  it("goes on without its files, also in a store that knows nothing else of them", function()
    os.remove(place.dir .. "/wf.lua")
    os.remove(place.dir .. "/lib/text.lua")
    local resumed = dahost("resume", "x", "--quiet")
    assert.are.equal(RESULT, resumed.out, resumed.err)
  end)

  it("sees neither an edited script nor an edited module, and is told of", function()
    write("wf.lua", (MAIN:gsub("text.greet%(%)", '"no"')))
    write("lib/text.lua", (LIB:gsub("of one", "of two")))
    local run = dahost("run", place.dir .. "/wf.lua", "main", "0", "--id", "x")
    assert.are.equal(RESULT, run.out, run.err)
    assert.is_truthy(run.err:find("x keeps the code it started with", 1, true), run.err)
  end)

  it("takes its named steps from the newest state of its script that is served and defines them", function()
    local edited = write("wf.lua", (MAIN:gsub("step of one", "step of two")))
    assert.are.equal('["greeting of one","step of two"]\n', dahost("run", edited, "main", "0", "--id", "x", "--quiet").out)
  end)

  it("takes them from its own code, if the edited script has none of that name", function()
    local edited = write("wf.lua", MAIN:gsub("step.who", "step.whose"):gsub("greeting", "no"))
    assert.are.equal(RESULT, dahost("run", edited, "main", "0", "--id", "x", "--quiet").out)
  end)

  it("takes none from another script that has steps of the same name", function()
    local other = write("other.lua", (MAIN:gsub("step of one", "step of two")))
    assert.are.equal(RESULT, dahost("run", other, "main", "0", "--id", "x", "--quiet").out)
  end)

  it("keeps its code when the file was renamed and another one has its name", function()
    assert(os.rename(place.dir .. "/wf.lua", place.dir .. "/moved.lua"))
    write("wf.lua", "return error 'another script'")
    assert.are.equal(RESULT, dahost("resume", "x", "--quiet").out)
  end)
end)

describe("a new generation", function()
  it("keeps the code, until it is migrated", function()
    local place = harness.place(true)
    local function dahost(...)
      local args = { ... }
      args[#args + 1], args[#args + 2] = "--data", place.data
      return harness.dahost(args)
    end
    local function write(name, version)
      local file = assert(io.open(place.dir .. "/" .. name, "w"))
      file:write(([[
        local da = require "da"
        function da.async.main(n)
          da.await(da.promise "go")
          if n < 3 then return da.again(n + 1) end
          return %q
        end]]):format(version))
      file:close()
      return place.dir .. "/" .. name
    end
    local function until_it_waits_for(id)
      local process = harness.spawn({ "run", place.dir .. "/wf.lua", "main", "1", "--id", "x", "--data", place.data })
      while dahost("get", id).code ~= 0 do assert.is_nil(process.ended, process.err) end
      uv.kill(process.pid, "sigkill")
      harness.wait(process)
      assert.are.equal(0, dahost("promise", "resolve", id, "1").code)
    end
    write("wf.lua", "one")
    until_it_waits_for("x:go.1")
    write("wf.lua", "two")
    until_it_waits_for("x:~2.go.1")
    local dry = dahost("migrate", "x", write("three.lua", "three"), "--dry-run")
    assert.are.equal("x  main  would begin again\n  recorded calls it would meet again: 1\n    ~2.go.1  promise  resolved\n", dry.out)
    assert.are.equal(0, dahost("migrate", "x", place.dir .. "/three.lua").code)
    local process = harness.spawn({ "resume", "x", "--quiet", "--data", place.data })
    while dahost("get", "x:~3.go.1").code ~= 0 do assert.is_nil(process.ended, process.err) end
    assert.are.equal(0, dahost("promise", "resolve", "x:~3.go.1", "1").code)
    harness.wait(process)
    assert.are.equal('"three"\n', process.out, process.err)
    harness.remove(place)
  end)
end)
