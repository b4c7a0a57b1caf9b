-- bad_input_value_spec.lua - values that cannot cross a durable boundary, and errors that are no texts: as an argument, as
-- the result of a step or a workflow, as an error. The words name the way to the value; nothing else is lost.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local program = require("spec.support.program")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
local function deep() local t = {} for _ = 1, 300 do t = { t } end return t end
local function cycle() local t = {} t.up = { t } return t end
function step.echo(...) return ... end
]]

-- The expression of a value, the way to it below what is crossed, and what is wrong with it.
local refused = {
  { "{ items = { 1, 2, { fn = print } } }", ".items[3].fn", "a function cannot cross a durable boundary" },
  { "{ c = coroutine.create(print) }", ".c", "a thread cannot cross a durable boundary" },
  { "{ m = { setmetatable({}, { __name = 'Thing' }) } }", ".m[1]",
    "a table with a metatable (Thing) cannot cross a durable boundary; copy its fields into a plain table" },
  { "cycle()", ".up[1]", "a cycle cannot cross a durable boundary (this is " },
  { "{ k = { [{}] = 1 } }", ".k", "a table as a key cannot cross a durable boundary; keys are strings, numbers, booleans" },
  { "{ ['two words'] = print }", '["two words"]', "a function cannot cross" },
  { "{ [true] = { [1.5] = print } }", "[true][1.5]", "a function cannot cross" },
  { "deep()", "[1][1]", "nested deeper than 200 levels" },
}

local function script_of()
  local lines = { HEAD }
  for i, case in ipairs(refused) do
    lines[#lines + 1] = ([[
function step.s%d() return 0, %s end
function async.argument%d() await(step.echo(0, %s)) end
function async.step%d() await(step.s%d:with{ retry = { max = 5, first = 60 } }()) end
function async.inline%d() await(step("l", function() return 0, %s end)) end
function async.result%d() return 0, %s end
function async.error%d() error { code = "mine", message = "told", field = %s } end]])
      :gsub("%%d", i):gsub("%%s", function() return case[1] end)
  end
  return table.concat(lines, "\n") .. "\n"
end

local function has(text, words)
  assert.is_truthy(text:find(words, 1, true), ("%q is not in %q"):format(words, text))
end

describe("a value that cannot cross", function()
  local place

  setup(function()
    place = program.place()
    place:write("s.lua", script_of())
  end)
  teardown(function() place:remove() end)

  local function run(name, ...)
    return place:run("run", "s.lua", name, "--id", name, "--quiet", ...)
  end

  for i, case in ipairs(refused) do
    it("is refused with its place: " .. case[1], function()
      for from, root in pairs { argument = "echo[2]", step = "result[2]", inline = "result[2]", result = "result[2]" } do
        local got = run(from .. i)
        assert.are.same({ 1, "" }, { got.code, got.out }, got.err)
        has(got.err, "[unserializable] " .. root .. case[2])
        has(got.err, case[3])
      end
    end)

    it("does not swallow the error it is a part of: " .. case[1], function()
      local got = run("error" .. i)
      assert.are.equal(1, got.code)
      has(got.err, "[mine] told")
      local row = json.decode(place:run("get", "error" .. i, "--json").out)
      local told = row.value.field or row.value.__fields
      has(json.encode(told), case[3]:sub(1, 20)) -- its place is taken by the reason
    end)
  end

  it("that is larger than 16 MiB is refused with the mend", function()
    place:write("big.lua", 'local da = require "da"\nfunction da.step.big(n) return ("x"):rep(n) end\n'
      .. "function da.async.main(n) return #da.await(da.step.big:with{ retry = false }(n)) end\n")
    local got = place:run("run", "big.lua", tostring(17 << 20), "--id", "big", "--quiet")
    assert.are.equal(1, got.code)
    has(got.err, "[unserializable] result[1]: larger than 16 MiB when encoded; keep such data elsewhere and pass its address")
    assert.are.equal("1000000\n", place:run("run", "big.lua", "1000000", "--id", "small", "--quiet").out)
  end)

  it("leaves a store that is whole", function() assert.are.equal(0, place:run("verify").code) end)
end)

describe("a value at the edge", function()
  local place

  setup(function()
    place = program.place()
    place:write("s.lua", HEAD .. [[
function step.same(a, b) return math.type(a) == math.type(b) and (a == b or (a ~= a and b ~= b)) end
local values = {
  math.maxinteger, math.mininteger, 2^53, 2^53 | 0, -(2^53 | 0) - 1, 0.1, -0.0, 1e308, 5e-324, 1/0, -1/0, 0/0, 3, 3.0, "",
  "a\0b", "\xff\xfe", "__INF__",
}
function async.main()
  local bad = {}
  for i, v in ipairs(values) do
    local back = await(step.echo(v))
    local same = math.type(v) == math.type(back) and (v == back or v ~= v and back ~= back)
    if v == 0 and 1/v ~= 1/back then same = false end
    if not same then bad[#bad + 1] = i end
    if math.type(v) and not await(step.same(v, back)) then bad[#bad + 1] = -i end
  end
  local t = await(step.echo { 1, nil, 3, [100] = 5, x = "y", [true] = 6, [1.5] = 7, [-1] = 8 })
  if not (t[1] == 1 and t[2] == nil and t[3] == 3 and t[100] == 5 and t.x == "y" and t[true] == 6 and t[1.5] == 7 and t[-1] == 8) then
    bad[#bad + 1] = "table"
  end
  local none = table.pack(await(step.echo(nil, 1, nil)))
  if none.n ~= 3 or none[2] ~= 1 then bad[#bad + 1] = "nil" end
  return da.array(bad)
end
]])
  end)
  teardown(function() place:remove() end)

  it("comes back as it was, from a step and from its record", function()
    for _, env in ipairs { {}, { DAHOST_WARM = "0" } } do
      local got = program.run({ "run", "s.lua", "main", "--id", env.DAHOST_WARM or "w", "-q" },
        { data = place.data, cwd = place.dir, env = env })
      assert.are.same({ 0, "[]\n" }, { got.code, got.out }, got.err)
    end
  end)
end)

describe("an error that is no text", function()
  -- Body; the line on stderr; is there more to it?
  local raised = {
    { "error()", "[error] nil" },
    { "error(nil)", "[error] nil" },
    { "error(false)", "[error] false" },
    { "error(12)", "[error] 12" },
    { 'error("a\\0b\\27[31m\\xff")', "a?b?[31m" }, -- a terminal is not steered, nothing is cut off
    { 'error { code = "mine", n = 7 }', "[mine] \n", { name = "mine" } },
    { 'error { code = "mine", message = "told", n = 7 }', "[mine] told\n", { name = "mine", message = "told", n = 7 } },
    { "error { status = 404 }", '[error] {"status":404}\n', { status = 404 } },
    { 'error { "first" }', "[error] first\n" },
    { "error(setmetatable({}, { __tostring = function() return 'custom' end }))", "[error] custom\n" },
    { "error(setmetatable({}, { __tostring = function() error 'inner' end }))", "[error] (a table)\n" },
    { "error(setmetatable({}, { __tostring = function() return 5 end }))", "[error] 5\n" },
    { "error(coroutine.create(print))", "[error] (a thread)\n" },
    { "error(print)", "[error] (a function)\n" },
    { "local t = { code = 'c', message = 'm' } t.t = t error(t)", "[c] m\n" },
    { "error(('x'):rep(100000))", "[error] s.lua:" },
  }

  local place

  setup(function()
    place = program.place()
    local lines = { HEAD .. "function step.ok() return 'ok' end\nfunction async.good() return await(step.ok()) end" }
    for i, case in ipairs(raised) do
      lines[#lines + 1] = ([[
function async.workflow%d() %s end
function step.s%d() %s end
function async.step%d() await(step.s%d:with{ retry = false }()) end
function async.inline%d() await(step("l", { retry = false }, function() %s end)) end
function async.caught%d()
  local ok, e = pcall(await, step.s%d:with{ retry = false }())
  return ok, da.is_error(e), type(e.message)
end]]):gsub("%%d", i):gsub("%%s", function() return case[1] end)
    end
    place:write("s.lua", table.concat(lines, "\n") .. "\n")
  end)
  teardown(function() place:remove() end)

  for i, case in ipairs(raised) do
    it("is told in words and recorded: " .. case[1], function()
      for _, from in ipairs { "workflow", "step", "inline" } do
        local name = from .. i
        local got = place:run("run", "s.lua", name, "--id", name, "--quiet")
        assert.are.same({ 1, "" }, { got.code, got.out }, got.err)
        has(got.err, case[2])
        local row = json.decode(place:run("get", name, "--json").out)
        assert.are.same({ "rejected", "error" }, { row.promise, row.value.__type })
        for field, value in pairs(case[3] or {}) do assert.are.equal(value, row.value[field]) end
      end
      local got = place:run("run", "s.lua", "caught" .. i, "--id", "caught" .. i, "--quiet")
      assert.are.equal('[false,true,"string"]\n', got.out, got.err)
    end)
  end

  it("of a step may be a userdata", function()
    place:write("u.lua", 'local da = require "da"\nfunction da.step.s() error(io.stdout) end\n'
      .. "function da.async.main() da.await(da.step.s:with{ retry = false }()) end\n")
    local got = place:run("run", "u.lua", "--id", "u", "--quiet")
    assert.are.equal(1, got.code)
    has(got.err, "[error] file (0x")
  end)

  it("may be a promise", function()
    place:write("p.lua", 'local da = require "da"\nfunction da.step.s() end\nfunction da.async.main() error(da.step.s()) end\n')
    local got = place:run("run", "p.lua", "--id", "p", "--quiet")
    assert.are.equal(1, got.code)
    has(got.err, "[error] promise 'p:s.1' (made at p.lua:3)")
  end)

  it("leaves the others at work", function()
    assert.are.equal('"ok"\n', place:run("run", "s.lua", "good", "--id", "good", "--quiet").out)
    assert.are.equal(0, place:run("verify").code)
  end)
end)
