-- native_spec.lua - functions in C, of a plugin (probe.c), called by workflows and steps.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local by_hand = require("spec.support.by_hand")
local native = require("spec.support.native")
local program = require("spec.support.program")
local script = require("spec.support.script")
local serve = require("spec.support.serve")

local HEAD = [[
local da = require "da"
local async, await, pawait, step, p = da.async, da.await, da.pawait, da.step, da.native.probe
]]

local rows = {
  { "is called, and returns, whatever its kind", [[
    function async.main()
      return { await(p.add(1, 2)), await(p.add_pool(3, 4)), p.add_pure(5, 6), await(p.later(5, 42)), await(p.at_once()) }
    end]], '[3,7,11,42,"now"]' },
  { "is given and gives values of every type, unchanged", [[
    function async.main()
      local all = { 1, -2, 1.5, "text", "a\0b\255", true, false, { 1, 2, { deep = { "x" } } }, { [1.5] = "y", [true] = 3 } }
      local back, straight = { await(p.echo(table.unpack(all))) }, { p.echo_pure(table.unpack(all)) }
      local function same(a, b)
        if type(a) ~= "table" then return math.type(a) == math.type(b) and a == b end
        for k, v in pairs(a) do if not same(v, b[k]) then return false end end
        for k in pairs(b) do if a[k] == nil then return false end end
        return true
      end
      return { same(all, back), same(all, straight), select("#", await(p.echo(nil, nil))),
        (p.echo_pure(math.mininteger)) == math.mininteger }
    end]], '[true,true,2,true]' },
  { "builds lists and tables, also more than fit at a time", [[
    function async.main()
      local small, large = await(p.build(3)), await(p.build(300000))
      return { small, #large.items, large.items[300000], p.sum(large.items) }
    end]], '[{"items":[1,2,3],"name":"built","none":[]},300000,300000,45000150000]' },
  { "reads tables by place and by name", [[
    function async.main() return { p.sum { 1, 2, 3, name = "three" } } end]], '[6,"three"]' },
  { "reads tables by any key, and knows lists from others", [[
    function async.main()
      local out = {}
      for i, each in ipairs { { { "a", "b" }, 2 }, { { [1.5] = "x" }, 1.5 }, { { [true] = "t" }, true }, { { ["k\0"] = "z" }, "k\0" },
          { { "a", n = 1 }, "n" }, { da.array {}, 1 }, { {}, "none" }, { { { "in" } }, 1 } } do
        out[i] = { p.get(table.unpack(each)) }
        out[i][1] = out[i][1] == nil and "nothing" or out[i][1]
      end
      return out
    end]], '[["b",true],["x",false],["t",false],["z",false],[1,false],["nothing",true],["nothing",false],[["in"],true]]' },
  { "sees null within a table, and gives it", [[
    function async.main()
      local back = p.echo_pure { gone = da.null, list = { da.null, 1 } }
      return { back.gone == da.null, back.list[1] == da.null, (p.get({ k = da.null }, "k")) == nil, back.none == nil }
    end]], "[true,true,true,true]" },
  { "sees all bytes of a string, and refuses those with a zero where it wants a text", [[
    function async.main()
      local ok, e = pcall(p.text_length, "a\0b")
      return { p.length("a\0b"), p.text_length("abc"), ok, e.code, e.message }
    end]], '[3,3,false,"bad_argument","argument 1 of probe.text_length must be a string without a zero byte, got a string"]' },
  { "names a wrong argument, and is not tried again", [[
    function async.main()
      local _, a = pawait(p.add("x", 2))
      local _, b = pawait(p.add_pool(1))
      local _, c = pcall(p.add_pure, 1, 2.5)
      return { a.code, a.message, a.attempts, b.message, c.message, p.add_pure(1, 2.0) }
    end]], '["bad_argument","argument 1 of probe.add must be an integer, got a string",1,' ..
      '"argument 2 of probe.add_pool must be an integer, got nothing",' ..
      '"argument 2 of probe.add_pure must be an integer, got a number",3]' },
  { "is tried again when it fails, with its own error at the end", [[
    function async.main()
      local quick = { retry = { max = 3, first = 0.001 } }
      local third, at_once = await(p.fails:with(quick)(3)), await(p.fails_sync:with(quick)(2))
      local _, e = pawait(p.fails:with(quick)(9))
      return { third, at_once, e.code, e.message, e.wanted, e.attempts }
    end]], '[3,2,"not_yet","attempt 3",9,3]' },
  { "is not tried again when it says that nothing will help", [[
    function async.main()
      local _, e = pawait(p.refuses())
      return { e.code, e.message, e.attempts }
    end]], '["refused","not this one",1]' },
  { "may fail when it ends later", [[
    function async.main()
      local _, e = pawait(p.later:with { retry = { max = 2, first = 0.001 } }(1, -5))
      return { e.code, e.message, e.attempts }
    end]], '["negative","-5",2]' },
  { "of several runs at the same time", [[
    function async.main()
      local list = {}
      for i = 1, 200 do list[i] = i % 2 == 0 and p.later(i % 7, i) or p.add_pool(i, 0) end
      local sum = 0
      for _, n in ipairs(await(da.all(list))) do sum = sum + n end
      return sum
    end]], "20100" },
  { "has keys, deadlines and options as a step has", [[
    function async.main()
      local keyed = await(p.add:with { key = "k" }(1, 1))
      local _, e = pawait(p.never:with { timeout = "30ms" }(true))
      local _, f = pawait(p.later:with { attempt_timeout = "10ms", retry = { max = 2, first = 0.001 } }(60000, 1))
      return { keyed, e.code, f.code }
    end]], '[2,"timedout","timedout"]' },
  { "is told that nobody waits for it, and may answer that", [[
    function async.main()
      local _, e = pawait(da.within("20ms", p.never(true)))
      local _, f = pawait(da.within("20ms", p.dozes(60000)))
      return { e.code, f.code }
    end]], '["timedout","timedout"]' },
  { "cannot defer what is not of the kind ASYNC", [[
    function async.main()
      local _, e = pawait(p.misuse())
      return { e.code, e.message }
    end]], '["misuse","probe.misuse is not ASYNC: only such a call can be deferred"]' },
  { "knows the call by its id", [[
    function async.main()
      local id, attempt, forever = await(p.identify())
      return { id, attempt, forever, (await(p.identify:with { key = "k" }())) }
    end]], '["x:probe-identify.1",1,true,"x:probe-identify=k"]' },
  { "of the kinds POOL and PURE is run by a step where it stands, and the others say why not", [[
    function step.sums()
      local ok, e = pcall(p.add, 1, 2)
      return p.add_pure(1, 2) + p.add_pool(3, 4), ok, e.message, (p.identify())
    end
    function async.main() return { await(step.sums()) } end]],
    '[10,false,"the native \'probe.add\' runs on the loop thread: call it in the workflow","x:sums.1"]' },
  { "of the kind PURE is called in inline steps, too", [[
    function async.main() return await(step("inline", function() return p.add_pure(20, 22) end)) end]], "42" },
  { "is no value, and takes no other names", [[
    function async.main()
      local ok, e = pcall(p.echo_pure, p.add)
      local set = pcall(function() da.native.probe.mine = print end)
      return { ok, e.message, set, tostring(p.add) }
    end]], '[false,"a native cannot cross as a value; pass its name, and call da.native there (probe.add)",' ..
      'false,"native.probe.add"]' },
}

describe("a native", function()
  local plugin

  setup(function() plugin = native.plugin "spec/native/probe.c" end)
  teardown(native.remove)

  for _, row in ipairs(rows) do
    it(row[1], function()
      local result = script.both { script = HEAD .. row[2], func = "main", env = { DAHOST_PLUGIN = plugin } }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  local function counts(text)
    local count = {}
    for word, id in (text or ""):gmatch("(%a+) (%S+) %d+\n") do count[word .. " " .. id] = (count[word .. " " .. id] or 0) + 1 end
    return count
  end

  it("that is recorded is not called again after a crash, and what was under way is", function()
    local place = harness.place()
    local journal = place.dir .. "/journal"
    local life = { place = place, keep = true, func = "main", env = { DAHOST_PLUGIN = plugin, NATIVE_JOURNAL = journal },
      script = HEAD .. [[
        function step.dies(path, journal)
          if io.open(path) then return end
          repeat until io.open(journal):read("a"):find "dozes"
          io.open(path, "w"):close()
          os.execute "kill -9 $PPID"
          os.execute "sleep 5"
        end
        function async.main(path, journal)
          local a, b, c = await(p.add(1, 2)), await(p.add_pool(3, 4)), await(p.later(1, 5))
          local open = p.dozes(300)
          await(step.dies(path, journal))
          return a + b + c + await(open)
        end]], args = { place.dir .. "/killed", journal } }
    assert.are.equal(9, script.run(life).signal)
    local result = script.run(life)
    assert.are.equal("315\n", result.out, result.err)
    local count = counts(assert(io.open(journal)):read("a"))
    assert.are.same({ 1, 1, 1, 2, 1 }, { count["add x:probe-add.1"], count["add x:probe-add_pool.1"],
      count["later x:probe-later.1"], count["dozes x:probe-dozes.1"], count["dozed x:probe-dozes.1"] })
    harness.remove(place)
  end)

  it("that is not in the process parks its execution, which goes on where it is", function()
    local place = harness.place()
    local life = { place = place, keep = true, func = "main", script = HEAD .. [[
      function async.main() return await(p.add(40, 2)) end]] }
    local without = script.run(life)
    assert.are_not.equal(0, without.code)
    assert.is_truthy(without.err:find("the native 'probe.add' is not in this process: there are none: --plugin FILE brings some", 1,
      true), without.err)
    local gone_on = harness.dahost({ "continue", "x", "--data", place.data })
    assert.are.equal(0, gone_on.code, gone_on.err)
    life.env = { DAHOST_PLUGIN = plugin }
    local with = script.run(life)
    assert.are.equal("42\n", with.out, with.err)
    harness.remove(place)
  end)

  it("that kills the process again and again parks its execution", function()
    local place = harness.place()
    local life = { place = place, keep = true, func = "main", env = { DAHOST_PLUGIN = plugin, DAHOST_DEATHS = "2" },
      script = HEAD .. "function async.main() return await(p.crash()) end" }
    for _ = 1, 3 do
      local result = script.run(life)
      if result.signal == 0 then
        assert.is_truthy(result.err:find("after 'x:probe-crash.1' (s.lua:3) had begun", 1, true), result.err)
        harness.remove(place)
        return
      end
    end
    error "it was run a fourth time"
  end)
end)

describe("natives", function()
  local plugin, place

  setup(function() plugin = native.plugin "spec/native/probe.c" end)
  teardown(native.remove)
  before_each(function()
    place = harness.place()
    local file = assert(io.open(place.dir .. "/s.lua", "w"))
    file:write(HEAD, [[
      function async.main(a) return await(p.add_pool(a, p.add_pure(1, 1))) + await(p.later(1, 100)) end]])
    file:close()
  end)
  after_each(function() harness.remove(place) end)

  local function dahost(...) return harness.dahost({ ... }, { env = { DAHOST_DATA = place.data } }) end

  it("are recorded in histories, which are replayed with the plugin", function()
    local path = place.dir .. "/s.lua"
    assert.are.equal("142\n", dahost("run", path, "main", "40", "--id", "x", "--plugin", plugin, "--quiet").out)
    local file = assert(io.open(place.dir .. "/history", "w"))
    file:write(dahost("get", "x", "--history").out)
    file:close()
    local with = dahost("replay", place.dir .. "/history", path, "--plugin", plugin)
    assert.are.equal(0, with.code, with.out .. with.err)
    local without = dahost("replay", place.dir .. "/history", path)
    assert.are.equal(3, without.code)
    assert.is_truthy(without.out:find("the native 'probe.add_pool' is not in this process", 1, true)
      or without.out:find("the native 'probe.add_pure' is not in this process", 1, true), without.out)
  end)

  it("are called by executions of a server, and of a worker elsewhere", function()
    local site = program.place(true)
    local path = place.dir .. "/s.lua"
    local server = serve.start(site, { "near=" .. path, "--plugin", plugin, "--listen", "127.0.0.1:0" })
    local url = "http://" .. server.address
    local worker = program.spawn({ "worker", "far=" .. path, "--plugin", plugin, "--server", url }, { cwd = site.dir })
    worker:wait_for(" serves ")
    local function ask(...) return program.run({ ... }, { cwd = site.dir, env = { DAHOST_SERVER = url } }) end
    for _, group in ipairs { "near", "far" } do
      local called = ask("invoke", group, "--func", "main", "--arg", "40", "--target", "poll://any@" .. group)
      assert.are.equal(0, called.code, called.err)
      local promise
      program.turn_until(function() return group .. "\n" .. worker.err end, function()
        promise = by_hand.data_of(ask("promise", "get", group)).promise
        return promise.state ~= "pending"
      end)
      assert.are.same({ "resolved", "142" }, { promise.state, by_hand.decode(promise.value.data) })
    end
    worker:signal_with("sigterm"):wait()
    serve.stop(server)
    site:remove()
  end)
end)

describe("a plugin", function()
  local place

  before_each(function() place = harness.place() end)
  after_each(function() harness.remove(place) end)
  teardown(native.remove)

  local function source(text)
    local file = assert(io.open(place.dir .. "/other.c", "w"))
    file:write(text)
    file:close()
    return native.plugin(place.dir .. "/other.c")
  end

  local function refused_with(words, path, env)
    env = env or {}
    env.DAHOST_PLUGIN = path
    local result = script.run { script = "function require('da').async.main() end", func = "main", env = env }
    assert.are.equal(2, result.code, result.err)
    assert.is_truthy(result.err:find(words, 1, true), result.err)
  end

  it("that is not there is refused by its name", function()
    refused_with("plugin /nowhere/lib.so: ", "/nowhere/lib.so")
  end)

  it("that is no plugin is told how to become one", function()
    refused_with('it exports no `dahost_plugin`, so it is no plugin of dahost; write DAHOST_PLUGIN("name", open, close) in it',
      source "int nothing; ")
  end)

  it("of another version of the interface is refused with both numbers", function()
    refused_with("built for version 99 of dahost.h, and this dahost has version 1; build it again with its header", source [[
      #include "dahost.h"
      static int open(dahost_library *l, void **u, char *w, size_t s) { (void)l; (void)u; (void)w; (void)s; return 0; }
      extern const dahost_library_info dahost_plugin;
      const dahost_library_info dahost_plugin = {99, sizeof(dahost_library_info), "other", open, NULL};]])
  end)

  it("says itself what is missing", function()
    refused_with("library 'probe' cannot be used: the bus is not there", native.plugin "spec/native/probe.c", { NATIVE_REFUSES = "1" })
  end)

  it("that adds what cannot be is refused", function()
    local function adds(line)
      return source([[
        #include "dahost.h"
        static void fn(dahost_call *c, void *u) { (void)c; (void)u; }
        static int open(dahost_library *l, void **u, char *w, size_t s)
        { (void)u; (void)w; (void)s; (void)fn; ]] .. line .. [[ return 0; }
        DAHOST_PLUGIN("other", open, NULL)]])
    end
    refused_with("library 'other' cannot be used: 'a b' cannot be the name of a native: letters, digits and '_'",
      adds 'dahost_add(l, "a b", DAHOST_SYNC, fn, NULL);')
    refused_with("library 'other' cannot be used: 'a' is added twice",
      adds 'dahost_add(l, "a", DAHOST_SYNC, fn, NULL); dahost_add(l, "a", DAHOST_POOL, fn, NULL);')
    refused_with("library 'other' cannot be used: 'a' needs a function and one of the four kinds",
      adds 'dahost_add(l, "a", DAHOST_SYNC, NULL, NULL);')
  end)
end)

describe("bindings/README.md", function()
  local text = assert(io.open("bindings/README.md")):read("a")
  local place

  before_each(function() place = harness.place() end)
  after_each(function() harness.remove(place) end)
  teardown(native.remove)

  local function block(language, n)
    local found
    for each in text:gmatch("\n```" .. language .. "\n(.-)\n```") do
      n = n - 1
      found = n == 0 and each or found
    end
    return assert(found)
  end

  it("begins with a native in under 30 lines that does what it says", function()
    local source = block("c", 1)
    assert.is_true(select(2, source:gsub("\n", "")) + 1 < 30)
    local file = assert(io.open(place.dir .. "/thermal.c", "w"))
    file:write(source, "\n")
    file:close()
    local env = { DAHOST_PLUGIN = native.plugin(place.dir .. "/thermal.c") }
    local result = script.run { script = block("lua", 1), func = "main", args = { "9999" }, env = env }
    assert.are.equal('"no_zone"\n', result.out, result.err)
  end)

  it("shows a program that embeds a host, in under 30 lines", function()
    local build = assert(os.getenv("DAHOST_BIN")):match("^(.*)/[^/]*$")
    local source = block("c", 3)
    assert.is_true(select(2, source:gsub("\n", "")) + 1 < 30)
    for name, code in pairs { ["hello.c"] = source, ["hello.lua"] = [[
      local da = require "da"
      function da.async.foo(who) return "hello, " .. who end]] } do
      local file = assert(io.open(place.dir .. "/" .. name, "w"))
      file:write(code, "\n")
      file:close()
    end
    if harness.sanitized then return pending "the program would have to be linked to the sanitizer, too" end
    local words = ("cmake --install %s --prefix %s/opt; cd %s; "):format(build, place.dir, place.dir)
    for line in text:match("\n    (%$ export.-)\n\n"):gmatch("%$ ([^\n]+)") do
      words = words .. line:gsub("/opt/dahost", place.dir .. "/opt") .. "; "
    end
    local said, well = native.compile(words .. "LD_LIBRARY_PATH=opt/lib ./hello && LD_LIBRARY_PATH=opt/lib ./hello")
    assert(well, said)
    assert.is_truthy(said:find('"hello, world"\n"hello, world"\n', 1, true), said)
  end)

  it("shows calls that end later as they compile", function()
    local file = assert(io.open(place.dir .. "/later.c", "w"))
    file:write('#include "dahost.h"\nstruct job { dahost_token token; };\nstruct job *job_new(dahost_token);\n' ..
      "void job_stop(void *);\nvoid driver_submit(void *, struct job *);\n", block("c", 2),
      "\nvoid use(void);\nvoid use(void) { (void)begin; (void)driver_done; }\n")
    file:close()
    local said, well = native.compile(("cc -std=c11 -Wall -Wextra -Werror -I%s -fsyntax-only %s/later.c"):format(native.HEADER,
      place.dir))
    assert(well, said)
  end)

  it("names functions of dahost.h that exist, and leaves no kind out", function()
    local header = assert(io.open("bindings/dahost.h")):read("a")
    for name in text:gmatch("(dahost_[%w_]+)%(") do
      assert.is_truthy(header:find(name .. "(", 1, true), name .. " is not in dahost.h")
    end
    for kind in header:match("typedef enum dahost_kind {(.-)}"):gmatch("DAHOST_%u+") do
      assert.is_truthy(text:find(kind, 1, true), kind .. " is not described")
    end
  end)
end)

describe("the example of a device", function()
  for _, document in ipairs { "README.md", "examples/README.md" } do
    it("runs as " .. document .. " says", function()
      local place = harness.place()
      local text = assert(io.open(document)):read("a")
      local function line(words)
        local found = assert(text:match("\n    %$ (" .. words .. "[^\n]*)"), words)
        return (found:gsub("[./tmp]*libdevice%.so", place.dir .. "/libdevice.so"):gsub("^dahost", os.getenv("DAHOST_BIN")))
      end
      local said, well = native.compile(line "cc %-std=c11")
      assert(well, said)
      local got = native.compile(line "dahost run examples/device" .. " --quiet --data " .. place.data)
      assert.is_truthy(got:find('["18.5: 30 %","21.5: 0 %","sensor_broken","27.5: 0 %"]', 1, true), got)
      harness.remove(place)
    end)
  end
end)

describe("dahost.h", function()
  for _, words in ipairs { "cc -std=c11 -x c", "cc -std=c17 -x c", "c++ -std=c++17 -x c++" } do
    it("is clean as " .. words:match "%-std=(%S+)", function()
      local text, well = native.compile(("echo '#include \"dahost.h\"' | %s -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I%s "
        .. "-fsyntax-only -"):format(words, native.HEADER))
      assert(well, text)
    end)
  end
end)
