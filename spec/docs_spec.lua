-- docs_spec.lua - what README.md and lua/README.md say is so: their scripts run, their verbs and functions exist.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

local function blocks(text)
  local list = {}
  for block in text:gmatch("\n```lua\n(.-)\n```") do list[#list + 1] = block end
  return list
end

local function run(block, func, args)
  return script.run { script = block, func = func, args = args }
end

describe("README.md", function()
  local text = read("README.md")

  it("begins with the two commands", function()
    assert.is_truthy(text:find("\n    sh examples/run ", 1, true))
    assert.is_truthy(text:find("\n    sh spec/run ", 1, true))
    assert.is_true(text:find("sh examples/run", 1, true) < text:find("\n## ", 1, true))
  end)

  it("shows a first workflow that prints what it says", function()
    local result = run(blocks(text)[1], "foo", { "world" })
    local shown = text:match("%$ dahost run hello.lua foo world\n(.-)\n\n")
    local lines = {}
    for line in shown:gmatch("[^\n]+") do lines[#lines + 1] = line:match("^%s*(.*)$") end
    assert.are.equal(4, #lines)
    assert.are.equal(lines[4] .. "\n", result.out)
    assert.is_truthy(result.err:find(lines[2] .. "\n", 1, true), result.err)
    assert.is_truthy(result.err:find(lines[3] .. "\n", 1, true), result.err)
  end)

  it("holds Lua that compiles", function()
    for i, block in ipairs(blocks(text)) do assert(load("local da, step, async, await\n" .. block, "README block " .. i)) end
  end)

  it("names verbs that exist", function()
    local seen = 0
    for verb in text:gmatch("`dahost ([a-z]+)") do
      local result = harness.dahost { verb, "--help" }
      assert.are.equal(0, result.code, verb .. ": " .. result.err)
      seen = seen + 1
    end
    assert.is_true(seen >= 12)
  end)
end)

describe("host/ARCHITECTURE.md", function()
  local text = read("host/ARCHITECTURE.md")

  local function sources()
    local pipe = io.popen("cat host/*/*.[ch] bindings/*.[ch] lua/da/*.lua")
    local all = pipe:read("a")
    pipe:close()
    return all
  end

  it("names functions that exist", function()
    local all, seen = sources(), 0
    for name in text:gmatch("`([%a_]+)%(%)`") do
      assert.is_truthy(all:find("%f[%w_]" .. name .. "%("), name .. "() is described but does not exist")
      seen = seen + 1
    end
    assert.is_true(seen >= 20)
  end)

  it("names files that exist", function()
    for name in text:gmatch("`([%w_/]+%.[chlua]+)`") do
      local pipe = io.popen("find . -path ./build -prune -o -path '*/" .. name .. "' -print")
      local found = pipe:read("a")
      pipe:close()
      assert.is_true(found ~= "", name .. " is described but does not exist")
    end
  end)
end)

describe("lua/README.md", function()
  local text = read("lua/README.md")

  it("begins with a script that runs", function()
    local result = run(blocks(text)[1], "bill", { '["tea","cake"]' })
    assert.are.equal("8\n", result.out, result.err)
  end)

  it("names functions of da that exist, and leaves none out", function()
    local code = [[
      local da = require "da"
      function da.step.names() local list = {} for k in pairs(da) do list[#list + 1] = k end return list end
      function da.async.main()
        local all = {}
        for k in pairs(da) do all[k] = true end
        for _, k in ipairs(da.await(da.step.names())) do all[k] = true end
        local list = {}
        for k in pairs(all) do list[#list + 1] = k end
        return table.concat(list, " ")
      end]]
    local result = script.run { script = code }
    assert.are.equal(0, result.code, result.err)
    local exists, named = {}, {}
    for name in result.out:gmatch("[%a_]+") do exists[name] = true end
    for name in text:gmatch("da%.([%a_]+)") do named[name] = true end
    for _, name in ipairs { "async", "await", "step", "pawait" } do named[name] = true end
    named.Error = nil
    for name in pairs(named) do assert.is_true(exists[name], "da." .. name .. " is described but does not exist") end
    for name in pairs(exists) do
      if name ~= "_VERSION" then assert.is_true(named[name], "da." .. name .. " is not described") end
    end
  end)
end)
