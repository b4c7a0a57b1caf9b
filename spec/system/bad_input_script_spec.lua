-- bad_input_script_spec.lua - scripts that do not load, functions that do not exist, scripts that change, go away or
-- turn into something else while an execution is under way.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local program = require("spec.support.program")

local GOOD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
local lib = require "lib"
function step.one() return lib.one end
function async.main() return await(step.one()) + await(da.promise "p") end
function async.quick() return await(step.one()) end
]]

local function has(text, words)
  assert.is_truthy(text:find(words, 1, true), ("%q is not in %q"):format(words, text))
end

describe("a script", function()
  local place

  before_each(function()
    place = program.place()
    place:write("lib.lua", "return { one = 1 }\n")
    place:write("s.lua", GOOD)
  end)
  after_each(function() place:remove() end)

  local function run(...) return place:run("run", ...) end

  -- An execution of s.lua that waits for `<id>:p.1` in a process of its own; what it told is flushed.
  local function waiting(id)
    local process = place:spawn("run", "s.lua", "main", "--id", id):wait_for(id .. " waits for " .. id .. ":p.1")
    assert.are.equal(0, place:run("get", id .. ":p.1").code)
    return process
  end

  local function killed(id)
    waiting(id):signal_with("sigkill"):wait()
  end

  local function finishes(process, id, value)
    assert.are.equal(0, place:run("promise", "resolve", id .. ":p.1", "5").code)
    assert.are.same({ 0, value .. "\n" }, { process:wait().code, process.out }, process.err)
  end

  describe("that does not load", function()
    local faults = {
      { "s.lua", "local x = 1\nlocal y = = 2", "s.lua:2: unexpected symbol near '='" },
      { "s.lua", "\27Lua", "s.lua is compiled Lua; name the source text" },
      { "s.lua", "\nerror 'at load'", "s.lua:2: at load" },
      { "s.lua", "error { code = 'boom', message = 'no way' }", "s.lua: loading raised [boom] no way" },
      { "s.lua", "error()", "s.lua: loading raised [error] nil" },
      { "s.lua", "local t = nil\nreturn t.x", "s.lua:2: attempt to index a nil value (local 't')" },
      { "s.lua", 'local da = require "da"\nda.await(da.sleep(1))', "s.lua:2: da.sleep while the script loads; only an execution "
        .. "can do that: call it inside function async.NAME(...)" },
      { "s.lua", 'local da = require "da"\nfunction da.async.a() end\nfunction da.async.a() end',
        "s.lua:3: 'a' is defined twice; the first time at s.lua:2" },
      { "s.lua", 'local da = require "da"\nda.async.x = 5', "s.lua:2: async.x must be a function, got number" },
      { "s.lua", 'local da = require "da"\nda.async[""] = print', "s.lua:2: async functions have a name that is a string" },
      { "s.lua", 'local da = require "da"\nda.async["a\\0b"] = function() end',
        "s.lua:2: the name of a durable function must not hold a NUL byte" },
      { "s.lua", 'local da = require "da"\nda.step["~x"] = function() end',
        "s.lua:2: the name of a durable function must not begin with '~'" },
      { "s.lua", 'local da = require "da"\nda.async[("x"):rep(300)] = function() end',
        "s.lua:2: the name of a durable function is 300 bytes long; 200 are the most" },
      { "s.lua", 'local da = require "da"\nda.step(function() end)', "s.lua:2: step(...) takes a label and a closure" },
      { "s.lua", 'local da = require "da"\nda.step("l", function() end)',
        "s.lua:2: step(...) while the script loads; only an execution can do that" },
      { "s.lua", "local s = 'x' while true do s = s .. s end", "loading needs more than" },
      { "lib.lua", "return {\n  x = = 1\n}", "lib.lua:2: unexpected symbol near '='" },
      { "lib.lua", "local t = nil\nreturn t.x", "lib.lua:2: attempt to index a nil value (local 't')" },
      { "lib.lua", "error { code = 'boom', message = 'in lib' }", "s.lua: loading raised [boom] in lib" },
      { "lib.lua", 'require "lib"', "lib.lua:1: module 'lib' is required while it loads: a circle of requires" },
    }
    for _, fault in ipairs(faults) do
      it("is refused before anything is stored: " .. fault[2]:gsub("%c", " "):sub(1, 60) .. " in " .. fault[1], function()
        place:write(fault[1], fault[2])
        local got = run("s.lua", "--id", "x")
        assert.are.same({ 2, "" }, { got.code, got.out })
        has(got.err, "dahost: ")
        has(got.err, fault[3])
        assert.are_not.equal(0, place:run("get", "x").code)
        place:write("s.lua", GOOD)
        place:write("lib.lua", "return { one = 1 }\n")
        assert.are.equal("1\n", run("s.lua", "quick", "--id", "x").out)
      end)
    end

    it("is refused by the process that holds the store, which goes on", function()
      local process = waiting("w")
      place:write("bad.lua", "local x = 1\nlocal y = = 2")
      for _, verb in ipairs { "run", "start" } do
        local got = place:run(verb, "bad.lua", "--id", "x")
        assert.are.same({ 2, "" }, { got.code, got.out })
        has(got.err, "bad.lua:2: unexpected symbol near '='")
      end
      assert.are.equal("1\n", run("s.lua", "quick", "--id", "y", "-q").out)
      finishes(process, "w", 6)
    end)
  end)

  describe("that cannot be read", function()
    it("is named with the reason", function()
      for path, words in pairs {
        ["gone.lua"] = "cannot read gone.lua: No such file or directory",
        ["s.lua/x.lua"] = "cannot read s.lua/x.lua: Not a directory",
        ["."] = "cannot read .: it is a directory; name a Lua file",
      } do
        local got = run(path, "--id", "x")
        assert.are.same({ 2, "" }, { got.code, got.out })
        has(got.err, words)
      end
      assert.is_nil(uv.fs_stat(place.data))
    end)

    it("or whose module cannot, is not run without it", function()
      if uv.getuid() == 0 and os.execute("command -v setpriv > /dev/null") == nil then return pending("root reads all") end
      uv.fs_chmod(place.dir, tonumber("755", 8))
      uv.fs_chmod(place.dir .. "/lib.lua", 0)
      local words = { os.getenv("DAHOST_BIN"), "run", "s.lua", "--data", place.data }
      if uv.getuid() == 0 then
        table.move({ "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups" }, 1, 6, 1, words)
        table.move({ os.getenv("DAHOST_BIN"), "run", "s.lua", "--data", place.data }, 1, 5, 7, words)
      end
      local pipe = io.popen(("cd '%s' && %s 2>&1; echo exit $?"):format(place.dir, table.concat(words, " ")))
      local text = pipe:read("a")
      pipe:close()
      has(text, "dahost: cannot read ./lib.lua: Permission denied")
      has(text, "exit 2")
    end)
  end)

  describe("without the function", function()
    it("is told with the nearest name", function()
      local got = run("s.lua", "qick", "--id", "x")
      assert.are.equal(2, got.code)
      has(got.err, "s.lua defines no workflow 'qick'; did you mean 'quick'?")
      place:write("t.lua", GOOD .. "function async.calls() return await(step.oen()) end\n"
        .. "function async.other() return await(async.quikc()) end\n")
      got = run("t.lua", "calls", "--id", "x", "-q")
      assert.are.equal(1, got.code)
      has(got.err, "[error] t.lua:7: step.oen is not defined (did you mean 'one'?)")
      got = run("t.lua", "other", "--id", "y", "-q")
      assert.are.equal(1, got.code)
      has(got.err, "[error] t.lua:8: async.quikc is not defined (did you mean 'quick'?)")
      assert.are.equal("1\n", run("t.lua", "quick", "--id", "z", "-q").out)
    end)
  end)

  describe("that changes while an execution is under way", function()
    it("in a way that fits: the execution keeps its code, and says so", function()
      killed("w")
      place:write("s.lua", (GOOD:gsub("%+ await", "* 100 + await")))
      local process = place:spawn("run", "s.lua", "main", "--id", "w"):wait_for("w keeps the code it started with; s.lua has changed")
      process:wait_for("w waits for")
      finishes(process, "w", 6)
    end)

    it("in a way that does not fit: parked once it is moved, and goes on when moved back", function()
      killed("w")
      place:write("changed.lua", (GOOD:gsub("step%.one", "step.two")))
      assert.are.equal(0, place:run("migrate", "w", "changed.lua", "--force").code)
      assert.are.equal(0, place:run("promise", "resolve", "w:p.1", "5").code)
      local got = place:run("resume", "w")
      assert.are.same({ 3, "" }, { got.code, got.out })
      has(got.err, "w parked: replay of 'w' wants step 'two'")
      has(got.err, "(changed.lua:5) as 'w:two.1', but record 'w:one.1' holds step 'one'")
      has(got.err, "Mend the script, then: dahost migrate 'w' FILE")
      assert.are.equal("1\n", run("s.lua", "quick", "--id", "y", "-q").out)
      assert.are.equal(0, place:run("migrate", "w", "s.lua").code)
      got = place:run("resume", "w")
      assert.are.same({ 0, "6\n" }, { got.code, got.out }, got.err)
    end)

    for what, change in pairs {
      ["is deleted"] = function(path) assert(uv.fs_unlink(path)) end,
      ["becomes a directory"] = function(path)
        assert(uv.fs_unlink(path))
        assert(uv.fs_mkdir(path, 448))
      end,
      ["loses its syntax"] = function(path) assert(io.open(path, "a")):write("\nx = = "):close() end,
    } do
      it(what .. ": the running one and a resumed one finish", function()
        local process = waiting("a")
        change(place.dir .. "/s.lua")
        change(place.dir .. "/lib.lua")
        local got = run("s.lua", "main", "--id", "a")
        assert.are.same({ 2, "" }, { got.code, got.out })
        has(got.err, "s.lua")
        finishes(process, "a", 6)
        uv.fs_rmdir(place.dir .. "/s.lua")
        uv.fs_rmdir(place.dir .. "/lib.lua")
        place:write("lib.lua", "return { one = 1 }\n")
        place:write("s.lua", GOOD)
        killed("b")
        change(place.dir .. "/s.lua")
        change(place.dir .. "/lib.lua")
        local resumed = place:spawn("resume", "b"):wait_for("b waits for b:p.1")
        finishes(resumed, "b", 6)
        assert.are.equal(0, place:run("verify").code)
      end)
    end
  end)
end)
