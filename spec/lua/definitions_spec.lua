-- definitions_spec.lua - what lua/library tells editors and luacheck is the API as it is: nothing missing, nothing else.
--
-- The definitions are read as text: classes with their fields, functions with the annotations above them. The API is
-- asked at run time (names of `da` in a workflow, a step, a test; globals), and read from the lists in the sources by which
-- options are refused.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local program = require("spec.support.program")

local FOLDER = "lua/library/"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

-- { classes = name -> { field -> true }, functions = "da.all" -> lines above it }. `---@class` binds the local below it.
local function parse(path)
  local classes, functions, class, above, owner = {}, {}, nil, {}, {}
  for line in read(path):gmatch("[^\n]*") do
    local name, parent = line:match("^%-%-%-@class ([%w._]+)[<%w>]*:? ?([%w._]*)")
    local field = line:match("^%-%-%-@field ([%w_]+)%??%s")
    local object, method = line:match("^function (%w+)[.:]([%w_]+)%(")
    local variable = line:match("^local (%w+) = {}")
    if name then
      class = name
      classes[name] = {}
      for each in pairs(classes[parent] or {}) do classes[name][each] = true end
    end
    if field then classes[class][field] = true end
    if variable then owner[variable] = class end
    if object then
      local of = assert(owner[object], path .. ": whose is " .. line)
      classes[of][method] = true
      functions[of .. "." .. method] = table.concat(above, "\n")
    end
    if line:find("^%-%-%-") then above[#above + 1] = line else above = {} end
  end
  return { classes = classes, functions = functions }
end

local function set_of(names)
  local set = {}
  for name in names:gmatch("[%w_]+") do set[name] = true end
  return set
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, " ")
end

-- The names in a C array of strings, NULL at its end.
local function c_names(path, array)
  local set = {}
  for name in assert(read(path):match(array .. "%[%] = {(.-)}"), array):gmatch('"([%w_]+)"') do set[name] = true end
  return set
end

-- The keys of a Lua table of `name = true`.
local function lua_names(path, variable)
  local set = {}
  for name in assert(read(path):match(variable .. " = {(.-)}"), variable):gmatch("([%w_]+) = true") do set[name] = true end
  return set
end

describe("the definitions for editors", function()
  local da, test = parse(FOLDER .. "da.lua"), parse(FOLDER .. "da_test.lua")
  local place

  setup(function() place = program.place() end)
  teardown(function() place:remove() end)

  it("hold every name of da in a workflow and in a step, and no other", function()
    local path = place:write("names.lua", [[
      local da = require "da"
      local function names() local t = {} for k in pairs(da) do t[#t + 1] = k end return table.concat(t, " ") end
      function da.step.names() return names() end
      function da.async.main() return names() .. " " .. da.await(da.step.names()) end]])
    local got = place:run("run", path)
    assert.are.equal(0, got.code, got.err)
    assert.are.equal(sorted(set_of(got.out)), sorted(da.classes.da))
  end)

  it("hold every name of da.test, and no other", function()
    local path = place:write("names_spec.lua", [[
      local t = require "da.test"
      it("names", function() local l = {} for k in pairs(t) do l[#l + 1] = k end print("<" .. table.concat(l, " ") .. ">") end)]])
    local got = place:run("test", path)
    assert.are.equal(0, got.code, got.out .. got.err)
    assert.are.equal(sorted(set_of(got.out:match("<(.-)>"))), sorted(test.classes["da.test"]))
  end)

  it("hold the methods of promises, functions, sagas and queues", function()
    local path = place:write("methods.lua", [[
      local da = require "da"
      function da.step.f() end
      function da.async.main(names)
        local p, s, sem = da.step.f(), da.saga(), da.semaphore("s", 1)
        local permit = da.await(sem:acquire())
        local found = {}
        for what, list in pairs(names) do
          local of = ({ ["da.Promise"] = p, ["da.Function"] = da.async.main, ["da.Saga"] = s, ["da.Channel"] = da.channel "c",
            ["da.Permit"] = permit, ["da.Semaphore"] = sem, ["da.Limiter"] = da.limiter("l", { rate = 1 }) })[what]
          for _, name in ipairs(list) do
            local ok, value = pcall(function() return of[name] end)
            if not ok or value == nil then found[#found + 1] = what .. "." .. name end
          end
        end
        da.await(p)
        return table.concat(found, " ")
      end]])
    local json = {}
    for _, class in ipairs { "da.Promise", "da.Function", "da.Saga", "da.Channel", "da.Permit", "da.Semaphore", "da.Limiter" } do
      json[#json + 1] = ('"%s":["%s"]'):format(class, sorted(da.classes[class]):gsub(" ", '","'))
    end
    local got = place:run("run", path, "{" .. table.concat(json, ",") .. "}")
    assert.are.same({ 0, '""\n' }, { got.code, got.out }, got.err)
    local source = read("bindings/bind_promise.c"):match("methods%[%] = {(.-)NULL")
    local promise = set_of("id")
    for name in source:gmatch('"([%w_]+)"') do promise[name] = true end
    assert.are.equal(sorted(promise), sorted(da.classes["da.Promise"]))
    local handle = {}
    for name in read("bindings/bind_function.c"):match("void bind_function_open.-\n}"):gmatch('setfield%(L, %-2, "(%l+)"%)') do
      handle[name] = true
    end
    assert.are.equal(sorted(handle), sorted(da.classes["da.Function"]))
    local saga = {}
    for name in read("lua/da/saga.lua"):gmatch("function methods%.([%w_]+)") do saga[name] = true end
    assert.are.equal(sorted(saga), sorted(da.classes["da.Saga"]))
    local queue = {}
    for list in read("lua/da/queue.lua"):gmatch("return handle(%b())") do
      local kind = list:match('^%("(%l+)"') or "channel"
      local methods = {}
      for name in list:gmatch("([%w_]+) = function") do methods[name] = true end
      queue[kind] = sorted(methods)
    end
    for kind, methods in pairs(queue) do
      assert.are.equal(methods, sorted(da.classes["da." .. kind:gsub("^%l", string.upper)]))
    end
  end)

  it("hold the options that are accepted, and no other", function()
    local options = "bindings/bind_options.c"
    assert.are.equal(sorted(c_names(options, "bind_call_options")), sorted(da.classes["da.CallOptions"]))
    assert.are.equal(sorted(c_names(options, "bind_inline_options")), sorted(da.classes["da.InlineOptions"]))
    assert.are.equal(sorted(c_names(options, "retry_names")), sorted(da.classes["da.Retry"]))
    assert.are.equal(sorted(lua_names("lua/da/api.lua", "promise_options")), sorted(da.classes["da.PromiseOptions"]))
    assert.are.equal(sorted(lua_names("lua/da/queue.lua", "limiter_options")), sorted(da.classes["da.LimiterOptions"]))
    local run = lua_names("lua/da/test.lua", "local RUN")
    assert.are.equal(sorted(run), sorted(test.classes["da.test.Options"]))
    for name in pairs(lua_names("lua/da/test.lua", "local EVERYWHERE")) do run[name] = true end
    assert.are.equal(sorted(run), sorted(test.classes["da.test.EverywhereOptions"]))
    assert.are.equal(sorted(c_names(options, "bind_default_options")), sorted(da.classes["da.DefaultOptions"]))
  end)

  it("mark as @async what suspends, and nothing else", function()
    local marked = {}
    for name, above in pairs(da.functions) do
      if above:find("---@async", 1, true) then marked[name] = true end
    end
    assert.are.equal("Promise await da pawait", sorted(set_of(sorted(marked))))
    assert.are.equal(4, select(2, read(FOLDER .. "da.lua"):gsub("%-%-%-@async", "")))
  end)

  it("say something of every function, name its parameters, and compile", function()
    for _, file in ipairs { "da.lua", "da_test.lua" } do
      local text = read(FOLDER .. file)
      assert.is_function(loadfile(FOLDER .. file))
      assert.is_truthy(text:find("\n%-%-%-@meta da", 1))
      for above, names in text:gmatch("(%-%-%-[^\n]*)\nfunction [%w.:]+%((.-)%)") do
        local last = names:match("([%w_.]+)$")
        assert.is_truthy(above:find("^%-%-%-"))
        if last then assert.is_truthy(text:find("---@param " .. last, 1, true), file .. ": " .. names) end
      end
    end
  end)

  it("are installed, and are found by luacheck there", function()
    local build = uv.cwd() .. "/build/" .. (os.getenv("DA_PRESET") or "dev")
    assert(os.execute(("cmake --install %s --prefix %s/root >%s/log 2>&1"):format(build, place.dir, place.dir)))
    for _, name in ipairs { "da.lua", "da_test.lua", "luacheckrc" } do
      assert.are.equal(read(FOLDER .. name), place:read("root/share/dahost/library/" .. name))
    end
  end)
end)

describe("the luacheck std", function()
  local place

  setup(function() place = program.place() end)
  teardown(function() place:remove() end)

  local function luacheck(...)
    local pipe = io.popen("luacheck --no-color --no-cache --codes --formatter plain --config " .. FOLDER .. "luacheckrc " ..
      table.concat({ ... }, " ") .. " 2>&1")
    local text = pipe:read("a")
    return pipe:close() and true or false, text
  end

  it("is silent on the examples", function()
    local ok, text = luacheck("examples")
    assert.are.equal("", text)
    assert.is_true(ok)
  end)

  it("finds planted slips", function()
    local path = place:write("slip.lua", table.concat({
      'local da = require "da"',
      "local async, await, step = da.async, da.await, da.step",
      "function step.f(n) total = n return n end",
      "function async.g(n)",
      "  print = nil",
      "  string.foo = 1",
      "  pritn(n)",
      '  return await(step.f(n)), os.getenvv "A"',
      "end" }, "\n"))
    local ok, text = luacheck(path)
    assert.is_false(ok)
    local found = {}
    for line, code in text:gmatch(":(%d+):%d+: %((%u%d+)%)") do found[#found + 1] = line .. " " .. code end
    assert.are.same({ "3 W111", "5 W121", "6 W142", "7 W113", "8 W143" }, found, text)
  end)

  it("knows the globals of workflows and steps, with their fields, and no other", function()
    local std = assert(loadfile(FOLDER .. "luacheckrc", "t", {}))().stds.da.read_globals
    local named = {}
    for name, of in pairs(std) do
      named[name] = true
      for each in pairs(of.fields or {}) do named[name .. "." .. each] = true end
    end
    local script = place:write("globals.lua", [[
      local da = require "da"
      local function names()
        local t = {}
        for k, v in pairs(_G) do
          t[#t + 1] = k
          if type(v) == "table" and k ~= "_G" and k ~= "package" then
            for each in pairs(v) do t[#t + 1] = k .. "." .. each end
          end
        end
        return table.concat(t, " ")
      end
      function da.step.names() return names() end
      function da.async.main() return names() .. " " .. da.await(da.step.names()) end]])
    local got = place:run("run", script)
    assert.are.equal(0, got.code, got.err)
    local there = {}
    for name in got.out:gmatch("[%w_.]+") do there[name] = true end
    -- What a Lua that is built to be compatible has of older ones is not for new scripts.
    for name in ("atan2 cosh frexp ldexp log10 pow sinh tanh"):gmatch("%w+") do there["math." .. name] = nil end
    assert.are.equal(sorted(there), sorted(named))
  end)
end)
