-- bad_input_call_spec.lua - arguments that are not what they seem: each is refused at the script's own line, with words
-- that name the mend; the process exits with 1, and the execution beside it finishes.
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")

-- One case a line: `name`, a body, and what the error says behind "s.lua:<line>: " (or "[code] " for errors of a code).
local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.ok(n) return n end
function async.good() return await(step.ok(7)) end
]]

-- The body in a step of its own.
local function in_step(body)
  return ("await(step.ok(1)) end function step.sNAME() %s end function async.wNAME() await(step.sNAME:with{ retry = false }())")
    :format(body)
end

local cases = {
  -- sleep
  { 'await(da.sleep("x"))', [[da.sleep's argument must be seconds as a number, or text like "250ms", "1h30m", "3d"]] },
  { "await(da.sleep(-1))", "da.sleep's argument must be seconds" },
  { "await(da.sleep(0/0))", "da.sleep's argument must be seconds" },
  { "await(da.sleep())", "da.sleep's argument must be seconds" },
  { "await(da.sleep({}))", "da.sleep's argument must be seconds" },
  { "await(da.sleep(step.ok(1)))", "da.sleep's argument must be seconds" },
  { 'await(da.sleep_until("tomorrow"))', "da.sleep_until takes Unix seconds as a number, got string" },
  { "await(da.sleep_until(1/0))", "da.sleep_until takes Unix seconds as a number, got inf" },
  { "await(da.sleep_until(-1))", "da.sleep_until takes Unix seconds as a number, got -1" },
  -- await
  { "await(5)", "await needs a promise, got number" },
  { "await()", "await needs a promise, got nothing" },
  { "await{ step.ok(1) }", "await needs a promise, got a table; for a list of promises use da.all" },
  { "await(step.ok)", "await needs a promise, got a durable function that was not called" },
  { 'da.pawait("x")', "pawait needs a promise, got string" },
  { "return 1 + step.ok(1)", "attempt to do arithmetic on promise '", "did you forget await(...)?" },
  { "return #step.ok(1)", "attempt to take the length of promise '" },
  { "return step.ok(1).value", "attempt to index promise '" },
  -- all, outcomes, any, race
  { "await(da.all(5))", "da.all needs a list of promises, got number" },
  { "await(da.all(step.ok(1)))", "da.all needs a list of promises, got a promise" },
  { "await(da.all{ step.ok })", "da.all needs a list of promises; element 1 is a durable function that was not called" },
  { "await(da.all{ step.ok(1), nil, step.ok(3) })", "da.all needs a list of promises; element 2 is nothing" },
  { "local l = {}; l[2] = step.ok(1); await(da.all(l))",
    "da.all needs a list of promises without gaps; element 1 is missing, element 2 is there" },
  { "await(da.all{ a = step.ok(1) })", "da.all needs a list of promises (keys 1, 2, 3...); this table has other keys" },
  { "await(da.all(table.pack(step.ok(1), nil)))", "da.all needs a list of promises; element 2 is nothing" },
  { 'await(da.outcomes("x"))', "da.outcomes needs a list of promises, got string" },
  { "await(da.any{})", "da.any needs at least one promise" },
  { "await(da.race{})", "da.race needs at least one promise" },
  { 'await(da.any({ step.ok(1) }, { loser = "keep" }))', "unknown option 'loser' of da.any; did you mean 'losers'?" },
  { 'await(da.any({ step.ok(1) }, { losers = "x" }))', 'da.any: losers must be "cancel" or "keep"' },
  { 'await(da.race({ step.ok(1) }, "keep"))', "da.race's options must be a table" },
  -- map
  { 'await(da.map("abc", step.ok))', "da.map needs a list, got string" },
  { "await(da.map({ a = 1 }, step.ok))", "da.map needs a list (keys 1, 2, 3...); this table has other keys" },
  { "local l = {}; l[2] = 1; await(da.map(l, step.ok))", "da.map needs a list without gaps; element 1 is missing" },
  { "await(da.map({ 1 }))", "da.map needs a function, durable or plain, as its second argument, got nothing" },
  { "await(da.map({ 1 }, 5))", "da.map needs a function, durable or plain, as its second argument, got number" },
  { "await(da.map({ 1 }, step.ok(1)))", "as its second argument, got a promise" },
  { "await(da.map({ 1 }, step.ok, 5))", "da.map's options must be a table, got number" },
  { "await(da.map({ 1 }, step.ok, { limt = 1 }))", "unknown option 'limt' of da.map; did you mean 'limit'?" },
  { "await(da.map({ 1 }, step.ok, { limit = -1 }))", "da.map: limit must be a whole number, at least 1" },
  { "await(da.map({ 1 }, step.ok, { limit = 0/0 }))", "da.map: limit must be a whole number, at least 1" },
  { "await(da.map({ 1 }, step.ok, { limit = 1.5 }))", "da.map: limit must be a whole number, at least 1" },
  -- within
  { "await(da.within(-1, step.ok(1)))", "da.within's duration must be seconds" },
  { 'await(da.within("x", step.ok(1)))', "da.within's duration must be seconds" },
  { "await(da.within(1, 5))", "da.within needs a promise, got number" },
  { "await(da.within(1))", "da.within needs a promise, got nothing" },
  { "await(da.within(step.ok(1), 1))", "da.within's duration must be seconds" },
  -- promise, get
  { "await(da.promise())", "da.promise needs a name" },
  { 'await(da.promise(""))', "the name of a promise must not be empty" },
  { 'await(da.promise("~p"))', "the name of a promise must not begin with '~'" },
  { 'await(da.promise("p", 5))', "da.promise's options must be a table, got number" },
  { 'await(da.promise("p", { timout = 1 }))', "unknown option 'timout' of da.promise; it takes timeout, data, key, id, tags" },
  { 'await(da.promise("p", { timeout = -1 }))', "timeout must be seconds" },
  { 'await(da.promise("p", { key = {} }))', "key must be a string" },
  { 'await(da.promise("p", { id = "" }))', "id must not be empty" },
  { 'await(da.promise("p", { id = "a\\0b" }))', "cannot be an id: the id holds a NUL byte" },
  { 'await(da.promise("p", { id = ("x"):rep(300) }))', ("'%s...' cannot be an id: the root of the id is longer than 255 bytes")
    :format(("x"):rep(60)) },
  { 'await(da.promise("p", { id = "other:~cancel" }))', "a part that begins with '~' is the runtime's own" },
  { 'await(da.promise(("x"):rep(2000)))', "...' cannot be an id: the id is longer than 1000 bytes behind its root" },
  { 'await(da.get(""))', "da.get: this cannot be the id of a promise: the id is empty" },
  { 'await(da.get("a\\0b"))', "da.get: this cannot be the id of a promise: the id holds a NUL byte" },
  { "await(da.get{})", "da.get needs the id of a promise, got a table" },
  { "await(da.get(step.ok(1)))", "da.get needs the id of a promise, got a promise" },
  { "await(da.get(da.id()))", "da.get: an execution cannot wait for itself" },
  { 'await(da.get("nobody"))', "[not_found] no promise has this id" },
  -- with, defaults
  { "await(step.ok:with{ timeut = 1 }(1))", "unknown option 'timeut' of a durable call; did you mean 'timeout'?" },
  { "await(step.ok:with(5)(1))", "write f:with{...}, with a colon and a table of options; got number" },
  { "await(step.ok.with{ timeout = 1 }(1))", "write f:with{...}, with a colon and a table of options; got a table" },
  { 'await(step.ok:with{ retry = "x" }(1))', 'retry must be false, "forever" or a table' },
  { "await(step.ok:with{ retry = { max = -1 } }(1))", "retry.max must be a number, not less than 0" },
  { "await(step.ok:with{ retry = { max = 0 } }(1))", "retry.max must be at least 1: it counts all attempts" },
  { "await(step.ok:with{ retry = { max = 0/0 } }(1))", "retry.max must be a number, not less than 0" },
  { "await(step.ok:with{ timeout = -1 }(1))", "timeout must be seconds" },
  { 'await(step.ok:with{ key = "" }(1))', "key must not be empty" },
  { 'await(step.ok:with{ key = ("k"):rep(2000) }(1))', "...' cannot be an id: the id is longer than 1000 bytes" },
  { 'await(step.ok:with{ id = "x" }(1))', "id is for workflows and promises; give a step a key" },
  { "await(async.good:with{ retry = false }())", "retry is for steps; a workflow is not repeated, its steps are" },
  { "step.ok:defaults{ timeout = 1 }", "defaults are set while the script loads; use :with{...} for one call" },
  { "function async.late() end", "'late' is defined too late: define it while the script loads" },
  { 'local a = step.ok:with{ key = "k" }(1); await(step.ok:with{ key = "k" }(2))',
    "was called before with another function or other arguments (s.lua:" },
  -- inline steps, branches
  { 'await(step("", function() end))', "the label of step(...) must not be empty" },
  { 'await(async("", function() end))', "the label of async(...) must not be empty" },
  { 'await(step("~parked", function() end))', "the label of step(...) must not begin with '~'" },
  { 'await(step("l", 5))', "step(...) takes a label, options if wanted, and a function; got number for the function" },
  { 'await(step("l", step.ok))', "got a durable function that was not called for the function" },
  { 'await(async("l", 5))', "async(...) takes a label, options if wanted, and a function; got number for the function" },
  { 'await(step("l", 5, function() end))', "the options of step(...) must be a table, got number" },
  { 'await(step("l", { foo = 1 }, function() end))', "unknown option 'foo' of step(...); did you mean 'key'?" },
  { 'await(async("l", { timeout = 1 }, function() end))', "a branch takes key only; wrap it in da.within(...)" },
  { "await(step(function() end))", "step(...) takes a label and a closure, inside an execution; define with function step.NAME" },
  { 'await(step("l", function() return step.ok(1) end))', "a durable call inside an inline step; a step is a leaf" },
  { 'await(step("l", { retry = false }, function() local _ = da.sleep(1) end))', "da.sleep inside an inline step" },
  -- names
  { "await(step.okk(1))", "step.okk is not defined (did you mean 'ok'?)" },
  { "await(async.godo())", "async.godo is not defined (did you mean 'good'?)" },
  { "await(step.something_else(1))", "step.something_else is not defined\n" },
  -- errors, log, chance
  { "da.error()", "da.error needs a code that is a string, got nil" },
  { 'da.error("")', "da.error needs a code that is a string" },
  { 'da.error("x", {})', "da.error takes code, message, fields; got table for the message" },
  { 'da.error("x", "m", 5)', "da.error takes code, message, fields; got number for the fields" },
  { 'da.log.info("x", 5)', "da.log.info takes a message and a table of fields, got number" },
  { "da.random(5, 1)", "bad argument #2 to 'random' (interval is empty)" },
  { "da.array(5)", "bad argument #1 to 'array' (table expected, got number)" },
  { "step.ok(1):cancel({})", "the reason to cancel must be a string, got a table" },
  { "step.ok(1):cancle()", "attempt to index promise '" },
  -- for steps only, for workflows only
  { 'da.resolve("x")', "da.resolve is for steps: it acts on the world" },
  { 'da.start("x", async.good)', "da.start is for steps" },
  { "da.attempt()", "da.attempt is for steps" },
  { in_step [[da.sleep(1)]], "da.sleep is for workflows; a step is a leaf" },
  { in_step [[step.ok(1)]], "step.ok called inside a step; a step is a leaf" },
  { in_step [[step("x", print)]], "step(...) called while the script loads or in a step" },
  { in_step [[da.start("x", 5)]], "da.start needs a workflow: da.start(id, async.NAME, ...)" },
  { in_step [[da.start("a:b", async.good)]], "the id of a new execution holds no ':'" },
  { in_step [[da.start("", async.good)]], "da.start: this cannot be the id of a promise: the id is empty" },
  { in_step [[da.start(nil, async.good)]], "da.start needs the id of a promise, got nothing" },
  { in_step [[da.start("x", async.good, print)]], "[unserializable] good[1]: a function cannot cross" },
  { in_step [[da.resolve({}, 1)]], "da.resolve needs the id of a promise, got a table" },
  { in_step [[da.resolve("nobody", 1)]], "[not_found] nobody: Promise not found" },
  { in_step [[da.resolve("x", print)]], "[unserializable] da.resolve[1]: a function cannot cross" },
  { in_step [[da.reject("nobody", {})]], "da.reject takes id, code, message; got table for the code" },
  { in_step [[da.get()]], "da.get needs the id of a promise, got nothing" },
}

-- Where an await cannot be: the C-call boundary.
local boundary = {
  { "return table.concat(setmetatable({}, { __len = function() return 2 end, __index = function() return await(step.ok(1)) end }))",
    "'concat'" },
  { "table.insert(setmetatable({}, { __len = function() return 2 end, __newindex = function() await(step.ok(1)) end }), 5)", "'insert'" },
  { "return table.unpack(setmetatable({}, { __index = function() return await(step.ok(1)) end }), 1, 2)", "'unpack'" },
  { "for _ in ipairs(setmetatable({}, { __index = function() return await(step.ok(1)) end })) do end", "'for iterator'" },
  { "return tostring(setmetatable({}, { __tostring = function() return await(step.ok(1)) end }))", "'tostring'" },
  { "print(setmetatable({}, { __tostring = function() return await(step.ok(1)) end }))", "'print'" },
  { 'return ("%s"):format(setmetatable({}, { __tostring = function() return await(step.ok(1)) end }))', "'format'" },
}

local here = {
  { "local t = { 3, 1, 2 }; table.sort(t, function(a, b) return await(step.ok(a)) < await(step.ok(b)) end); return t[1]", "1" },
  { 'return (("abc"):gsub(".", function(c) return await(step.ok(c .. "x")) end))', '"axbxcx"' },
  { "return setmetatable({}, { __index = function() return await(step.ok(4)) end }).x", "4" },
  { "return setmetatable({}, { __add = function() return await(step.ok(5)) end }) + 1", "5" },
  { "return pcall(function() return await(step.ok(7)) end)", "[true,7]" },
  { "return coroutine.wrap(function() return await(step.ok(8)) end)()", "8" },
}

-- A script with one workflow per case, f1, f2, ...; each body on a line of its own.
local function script_of(list)
  local lines = { HEAD }
  for i, case in ipairs(list) do
    local name = "f" .. i
    if case[1]:find("NAME", 1, true) then name = "unused" .. i end
    lines[#lines + 1] = ("function async.%s() %s end"):format(name, (case[1]:gsub("async.wNAME", "async.f" .. i):gsub("NAME", i)))
  end
  return table.concat(lines, "\n"), select(2, HEAD:gsub("\n", "")) + 1
end

local function has(text, words)
  assert.is_truthy(text:find(words, 1, true), ("%q is not in %q"):format(words, text))
end

describe("a call that is not one", function()
  local place, first

  setup(function()
    place = program.place()
    local text
    text, first = script_of(cases)
    place:write("s.lua", text)
  end)

  teardown(function() place:remove() end)

  for i, case in ipairs(cases) do
    it("is refused: " .. case[1], function()
      local got = place:run("run", "s.lua", "f" .. i, "--id", "f" .. i, "--quiet")
      assert.are.same({ 1, "" }, { got.code, got.out }, got.err)
      for n = 2, #case do has(got.err .. "\n", case[n]) end
      -- At the script's own line: in the words, or, where they have a code of their own or came from a step, below.
      if not got.err:find("[error] s.lua:" .. first + i .. ": ", 1, true) then has(got.err, "s.lua:" .. first + i) end
      assert.is_nil(got.err:find("da/%l+%.lua"), got.err)
    end)
  end

  it("leaves the store whole and its neighbours at work", function()
    local got = place:run("run", "s.lua", "good", "--id", "good", "--quiet")
    assert.are.same({ 0, "7\n" }, { got.code, got.out })
    assert.are.equal(0, place:run("verify").code)
  end)
end)

describe("an await where Lua cannot suspend", function()
  local place

  setup(function() place = program.place() end)
  teardown(function() place:remove() end)

  it("is refused with the line and the function in between", function()
    local text, first = script_of(boundary)
    place:write("s.lua", text)
    for i, case in ipairs(boundary) do
      local got = place:run("run", "s.lua", "f" .. i, "--id", "f" .. i, "--quiet")
      assert.are.equal(1, got.code, got.err)
      has(got.err, ("[error] s.lua:%d: await: cannot suspend inside a callback of %s (Lua cannot yield across it); "
        .. "await before or after that call"):format(first + i, case[2]))
    end
  end)

  it("works in sort, gsub, metamethods, pcall, coroutines", function()
    place:write("s.lua", (script_of(here)))
    for i, case in ipairs(here) do
      local got = place:run("run", "s.lua", "f" .. i, "--id", "h" .. i, "--quiet")
      assert.are.same({ 0, case[2] .. "\n" }, { got.code, got.out }, got.err)
    end
  end)
end)

describe("ids", function()
  local place

  before_each(function()
    place = program.place()
    place:write("s.lua", HEAD .. [[
      function async.key(key) return step.ok:with{ key = key }(1).id end
      function async.label(label) return step(label, function() return 1 end).id end
      function async.name(name) local p = da.promise(name) return p.id end
    ]])
  end)
  after_each(function() place:remove() end)

  it("of the command line are refused with the flag, the id and the mend", function()
    for id, words in pairs({
      ["a:b"] = "--id 'a:b': the id of a new execution holds no ':'",
      [":b"] = "--id ':b': the id of a new execution holds no ':'",
      [("x"):rep(300)] = "--id '" .. ("x"):rep(60) .. "...': the root of the id is longer than 255 bytes",
    }) do
      local got = place:run("run", "s.lua", "good", "--id", id)
      assert.are.same({ 2, "" }, { got.code, got.out })
      has(got.err, words)
    end
    assert.are.equal(0, place:run("run", "s.lua", "good", "--id", ("x"):rep(255)).code)
    assert.are.equal(0, place:run("run", "s.lua", "good", "--id", "tab\tnewline\nq'\u{e4}").code)
    assert.are.equal(0, place:run("verify").code)
  end)

  it("take separators, control characters and bytes of keys, labels and names apart from their own", function()
    local escaped = "a%3Ab%2Ec%3Dd%25%0A%7F"
    for func, form in pairs({ key = "ok=%s", label = "%s.1", name = "%s.1" }) do
      local got = place:run("run", "s.lua", func, "--args", '["a:b.c=d%\\n\\u007f"]', "--id", func, "-q")
      assert.are.same({ 0, ('"%s:%s"\n'):format(func, form:format(escaped)) }, { got.code, got.out }, got.err)
      assert.are.equal(0, place:run("get", (func .. ":" .. form:format(escaped))).code)
    end
    assert.are.equal(0, place:run("verify").code)
  end)
end)
