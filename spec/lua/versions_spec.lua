-- versions_spec.lua - several versions of one function side by side.
-- SPDX-License-Identifier: Apache-2.0
local lives = require("spec.support.lives")
local script = require("spec.support.script")

local HEAD = 'local da = require "da"\nlocal async, await, step = da.async, da.await, da.step\n'

local TWO = HEAD .. [[
function step.s(n) return "s1/" .. n end
step.s:defaults { version = 1 }
function step.s(n) return "s2/" .. n end
step.s:defaults { version = 2 }
function async.f(n) return "f1", await(step.s(n), step.s:with { version = 1 }(n)) end
async.f:defaults { version = 1 }
local early = async.f
function async.f(n) return "f2", await(step.s(n), step.s:with { version = 1 }(n)) end
async.f:defaults { version = 2 }
]]

local function run(code, options)
  local spec = { script = code, func = "main" }
  for k, v in pairs(options or {}) do spec[k] = v end
  return script.run(spec)
end

local function both(code)
  local result = script.both { script = code, func = "main" }
  assert.are.equal(0, result.code, result.err)
  return result.out
end

describe("versions", function()
  it("stand side by side; a call takes the highest, with{version=} another one", function()
    assert.are.equal('[["f2","s2/1","s1/1"],["f1","s2/2","s1/2"],["f2","s2/3","s1/3"],["f2","s2/4","s1/4"]]\n', both(TWO .. [[
function async.main()
  local function list(...) return { ... } end
  return { list(await(async.f(1))), list(await(async.f:with { version = 1 }(2))),
    list(await(async.f:with { version = 2 }(3))), list(await(early(4))) }
end]]))
  end)

  it("may be defined in any order, more than two, by any whole number", function()
    assert.are.equal('["nine","three","seven"]\n', both(HEAD .. [[
function async.f() return "three" end
async.f:defaults { version = 3 }
function async.f() return "nine" end
async.f:defaults { version = 9 }
function async.f() return "seven" end
async.f:defaults { version = 7 }
function async.main()
  return { await(async.f()), await(async.f:with { version = 3 }()), await(async.f:with { version = 7 }()) }
end]]))
  end)

  it("have defaults of their own", function()
    assert.are.equal('[1,3]\n', both(HEAD .. [[
local function fails() error { code = "no", n = da.attempt() } end
function step.s() fails() end
step.s:defaults { version = 1, retry = false }
function step.s() fails() end
step.s:defaults { version = 2, retry = { max = 3, first = 0 } }
function async.main()
  local _, one = da.pawait(step.s:with { version = 1 }())
  local _, two = da.pawait(step.s())
  return { one.n, two.n }
end]]))
  end)

  it("are kept through kills and evictions", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(TWO .. [[
function async.main()
  local a = async.f:with { version = 1 }(1)
  await(da.sleep "5ms")
  local b = async.f(2)
  local function list(...) return { ... } end
  return { list(await(a)), list(await(b)) }
end]])
    file:close()
    local killed = lives.everywhere {
      script = path,
      out = '[["f1","s2/1","s1/1"],["f2","s2/2","s1/2"]]\n',
      every = 2,
    }
    os.remove(path)
    assert.is_true(killed > 4)
  end)

  it("of a function that names none: it is version 1", function()
    assert.are.equal('"one"\n', both(HEAD .. [[
function async.f() return "one" end
function async.main() return await(async.f:with { version = 1 }()) end]]))
  end)

  it("that are not there are an error that names those that are", function()
    local got = run(TWO .. [[
function step.only() return 1 end
function async.main()
  local function words(f) return (select(2, pcall(f))) end
  return { words(function() return async.f:with { version = 3 }() end), words(function() return step.s:with { version = 4 }() end),
    words(function() return step.only:with { version = 2 }() end) }
end]])
    assert.are.equal('["s.lua:15: async.f has no version 3; it has 1, 2","s.lua:15: step.s has no version 4; it has 1, 2",'
      .. '"s.lua:16: step.only has no version 2; it has 1"]\n', got.out)
  end)

  it("that are no numbers, or given twice, or not at all, are load errors", function()
    for code, words in pairs {
      ["function async.f() end\nfunction async.f() end"] =
        "s.lua:4: 'f' is defined twice; the first time at s.lua:3. Two versions of it need numbers: :defaults{version=1}",
      ["function async.f() end\nfunction step.f() end"] = "s.lua:4: 'f' is defined twice; the first time at s.lua:3\n",
      ["function async.f() end\nasync.f:defaults { version = 1 }\nfunction step.f() end"] =
        "s.lua:5: 'f' is defined twice; the first time at s.lua:3\n",
      ["function async.f() end\nasync.f:defaults { version = 1 }\nfunction async.f() end"] =
        "s.lua:5: 'f' is defined once more and has no version of its own: async.f:defaults{version=N}",
      ["function async.f() end\nasync.f:defaults { version = 1 }\nfunction async.f() end\nasync.f:defaults { version = 1 }"] =
        "s.lua:6: version 1 of 'f' is defined twice",
      ["function async.f() end\nasync.f:defaults { version = 0 }"] = "s.lua:4: version must be a whole number, at least 1",
      ["function async.f() end\nasync.f:defaults { version = '1' }"] = "s.lua:4: version must be a whole number, at least 1",
      ["function async.f() end\nasync.f:defaults { version = 1.5 }"] = "s.lua:4: version must be a whole number, at least 1",
      ["function async.f() end\nasync.f:with { version = 1 }:defaults { version = 2 }"] =
        "s.lua:4: defaults are set where the function is defined; use :with{...} for one call",
      ["function async.f() end\nasync.f:defaults { dok = 'what it is' }"] =
        "s.lua:4: unknown option 'dok' of defaults; did you mean 'doc'?",
      ["function async.f() end\nasync.f:defaults { doc = {} }"] = "s.lua:4: doc must be a string, got a table",
      ["function async.f() end\nasync.f:defaults { group = 'g' }"] = "s.lua:4: group belongs to one call: use :with{...}",
    } do
      local got = run(HEAD .. code .. "\nfunction async.main() end\n")
      assert.are.equal(2, got.code, code)
      assert.is_truthy(got.err:find(words, 1, true), words .. "\n" .. got.err)
    end
  end)
end)
