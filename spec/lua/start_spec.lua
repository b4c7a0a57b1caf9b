-- start_spec.lua - da.start: a step starts an execution of its own, once per id.
-- SPDX-License-Identifier: Apache-2.0
local lives = require("spec.support.lives")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function async.other(n) return n and n + 1 end
function async.another(n) return n end
local function once(f) return select(2, pcall(f)) end
]]

local function run(code)
  return script.run { script = HEAD .. code, func = "main" }
end

describe("da.start", function()
  it("starts it once per id, however often it is asked, and gives the id", function()
    local result = script.both { func = "main", script = HEAD .. [[
function step.begin() return da.start("a", async.other, 1), da.start("a", async.other, 1), da.start("b", async.other) end
function async.main()
  local a, again, b = await(step.begin())
  return { a, again, b, await(da.get(a)), await(da.get(b)) }
end]] }
    assert.are.equal('["a","a","b",2]\n', result.out, result.err)
  end)

  it("of an id that has another function, other arguments, or is a promise, is an error that names both", function()
    local got = run [[
function step.begin()
  da.start("a", async.other, 1)
  return { once(function() da.start("a", async.other, 2) end).message,
    once(function() da.start("a", async.another, 1) end).message }
end
function async.main() return await(step.begin()) end]]
    local words = [["da.start: 'a' is there already, called with {"args":[1],"func":"other","version":1}, ]]
      .. [[not {"args":[2],"func":"other","version":1}; choose another id"]]
    assert.is_truthy(got.out:gsub("\\", ""):find(words, 1, true), got.out .. got.err)
    assert.is_truthy(got.out:gsub("\\", ""):find([[not {"args":[1],"func":"another","version":1}; choose another id"]], 1, true))
    got = run [[
function step.begin(id)
  local err = once(function() da.start(id, async.other, 1) end)
  return { err.code, err.fatal }
end
function async.main()
  local p = da.promise("p", { id = "free" })
  return await(step.begin(p.id))
end]]
    assert.are.equal('["refused",true]\n', got.out, got.err)
  end)

  it("takes the highest version, or the one that is asked for", function()
    local got = run [[
function async.f() return "one" end
async.f:defaults { version = 1 }
function async.f() return "two" end
async.f:defaults { version = 2 }
function step.begin() return da.start("a", async.f), da.start("b", async.f:with { version = 1 }) end
function async.main()
  local a, b = await(step.begin())
  return { await(da.get(a)), await(da.get(b)) }
end]]
    assert.are.equal('["two","one"]\n', got.out, got.err)
  end)

  it("keeps the time-out, the delay and the tags of f:with{...}", function()
    local got = run [[
function async.hangs() await(da.promise "p") end
function async.now() return da.now() end
function step.begin()
  local began = da.now()
  return da.start("a", async.hangs:with { timeout = "50ms", tags = { kind = "x" } }),
    da.start("b", async.now:with { delay = "100ms" }), began
end
function async.main()
  local a, b, began = await(step.begin())
  local _, err = da.pawait(da.get(a))
  return { err.code, await(da.get(b)) >= began + 0.1 }
end]]
    assert.are.equal('["timedout",true]\n', got.out, got.err)
  end)

  it("refuses what is no workflow, and options that say how it is to be called", function()
    local got = run [[
function step.s() end
function step.begin()
  return { tostring(once(function() da.start("a", step.s) end)), tostring(once(function() da.start("a", "other") end)),
    tostring(once(function() da.start("a", async.other:with { key = "k" }, 1) end)),
    tostring(once(function() da.start("a", async.other:with { version = 7 }, 1) end)),
    tostring(once(function() da.start("a:b", async.other, 1) end)) }
end
function async.main() return await(step.begin()) end]]
    for _, words in ipairs {
      "da.start needs a workflow: da.start(id, async.NAME, ...)",
      "da.start takes no key and no id of f:with{...}: the id stands first",
      "async.other has no version 7; it has 1",
      "da.start: the id of a new execution holds no ':', since 'a:b' would be a part of another",
    } do assert.is_truthy(got.out:find(words, 1, true), words .. "\n" .. got.out .. got.err) end
    assert.are.equal(2, select(2, got.out:gsub("needs a workflow", "")))
  end)

  it("survives kills at every write, warm and evicted", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(HEAD .. [[
function step.begin(id) return da.start(id, async.other, 1) end
function async.main() return await(da.get(await(step.begin("o")))) end]])
    file:close()
    local killed = lives.everywhere { script = path, out = "2\n" }
    os.remove(path)
    assert.is_true(killed > 8)
  end)
end)
