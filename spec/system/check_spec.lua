-- check_spec.lua - dahost check: every planted fault is found where it is, every near miss is not, nor is anything in
-- the examples.
--
-- A row is the body of a script behind HEAD. `fault`: the one line of it that is told of ends with `--!`, `code` is the
-- kind of finding, `says` what the line holds. `fine`: a text that looks like it and is none.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local cli = require("spec.support.cli")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
local store = require "store"
local socket = require "socket.core"
local limit, prices = 10, { tea = 3 }
function step.pay(n) return n end
function async.child(n) return n end
local function use(...) return ..., await, pawait, store, socket, limit, prices end
]]

local STORE = [[
local M = { list = {} }
function M.read(path) local file = assert(io.open(path)) return file:read "a" end
function M.put(v) M.list[#M.list + 1] = v end
function M.size() return #M.list end
return M
]]

-- The body of a workflow, of a step, of an inline step.
local function workflow(text) return "function async.main(a, b)\n" .. text .. "\nend\n" end
local function in_step(text) return "function step.main(a, b)\n" .. text .. "\nend\n" end
local function inline(text) return workflow("local n, t = 0, {}\nawait(step('in', function()\n" .. text .. "\nend))\nreturn n, t") end

local function both(text, other) return workflow(text), workflow(other) end

local ROWS = {}
local function row(code, says, fault, fine)
  ROWS[#ROWS + 1] = { code = code, says = says, fault = fault, fine = fine }
end

row("global", "'pritn', which nobody sets (did you mean 'print'?)", both("pritn(a) --!", "print(a)"))
row("global", "reads the global 'jit'", both("use(jit) --!",
  "if jit then jit.off() end use(type(utf9) == 'table', table.unpack or unpack)"))
row("global", "(did you mean 'step.pay'?); write step.pay", both("await(pay(a)) --!", "await(step.pay(a))"))
row("global", "reads the global 'undefined'", "use(undefined) --!", "function defined() end use(defined)")
row("global", "assigns the global 'total', and globals are frozen", both("total = a --!",
  "local total = a use(total)"))
row("global", "of which every step thread has its own", in_step("total = a --!"),
  in_step("local total = a return total"))
row("global", "assigns the global 'later'", "local t = { function() later = 1 end } --!\nuse(t)",
  "function sooner() end\nlocal t = { function() sooner = 1 end }\nuse(t)")
row("name", "step.pya, which is not defined (did you mean 'pay'?)", both("await(step.pya(a)) --!",
  "await(step.pay(a))"))
row("name", "async.chlid", both("await(async.chlid(a)) --!", "await(async.child(a))"))
row("name", "da.slep, which is not defined (did you mean 'sleep'?)", both("await(da.slep(a)) --!",
  "await(da.sleep(a))"))

row("dropped", "drops the promise of step.pay(...)", both("step.pay(a) --!", "step.pay(a):ignore()"))
row("dropped", "drops the promise of async.child(...)", both("async.child(a) --!",
  "local p = async.child(a) return p"))
row("dropped", "drops the promise of step.pay(...)", both("step.pay:with { timeout = a and 1 or 2 }(a) --!",
  "await(step.pay:with { timeout = 1 }(a))"))
row("dropped", "drops the promise of da.sleep(...)", both("da.sleep(1) --!", "da.promise 'outside'"))
row("dropped", "drops the promise of step(", both("step('in', function() return 1 end) --!",
  "async('branch', function() return 1 end)"))
row("await", "tests (always true) the promise", both("if step.pay(a) then use(a) end --!",
  "if await(step.pay(a)) then use(a) end"))
row("await", "tests (always true) the promise", both("while not step.pay(a) do use(a) end --!",
  "local p if a then p = step.pay(a) end if p then await(p) end"))
row("await", "tests (always true) the promise", both("local x = step.pay(a) or 1 return x --!",
  "local x = a and step.pay(a) or step.pay(b) return await(x)"))
row("await", "compares the promise", both("if step.pay(a) == 1 then use(a) end --!",
  "local p, q = step.pay(a), step.pay(b) if p == q then use(await(p, q)) end"))
row("await", "compares the promise", both("use(step.pay(a) ~= b, 1) --!",
  "local p = step.pay(a) use(p == b, await(p))"))
row("await", "compares the promise", both("local p = step.pay(a) if p == 'done' then use(a) end return await(p) --!",
  "local p = step.pay(a) if p ~= nil then use(a) end p = await(p) return p == 'done', p == 1"))
row("await", "compares the promise", both("for _ = 1, 3 do local p = step.pay(a) if p == 1 then break end use(await(p)) end --!",
  "local p for _ = 1, 3 do p = await(step.pay(a)) if p == 1 then break end end"))
row("await", "compares the promise", both("if step.pay(a) < 3 then use(a) end --!",
  "if await(step.pay(a)) < 3 then use(a) end"))
row("await", "calculates with the promise", both("return 1 + step.pay(a) --!", "return 1 + await(step.pay(a))"))
row("await", "concatenates the promise", both("return 'x' .. step.pay(a) --!", "return 'x' .. tostring(step.pay(a))"))
row("await", "indexes the promise", both("return step.pay(a).price --!",
  "local p = step.pay(a) return p.id, p:await()"))
row("await", "gives ipairs the promise", both("for _, x in ipairs(da.all(a)) do use(x) end --!",
  "for _, x in ipairs(await(da.all(a))) do use(x) end"))
row("await", "takes the length of the promise", both("local p = step.pay(a) if b then use(b) end return #p --!",
  "local p = step.pay(a) if b then p = await(p) end return #p"))

row("dropped", "drops the promise of orders:recv(...)", "local orders = da.channel 'orders'\n" .. workflow("orders:recv() --!"),
  "local orders = da.channel 'orders'\n" .. workflow("orders:send(a) da.send('x', a) return await(orders:recv())"))
row("await", "compares the promise of da.limiter(...):take(...)",
  both("if da.limiter('l', { rate = 1 }):take() == a then use(a) end --!",
    "local p <close> = await(da.semaphore('s', 1):acquire()) use(p)"))
row("step-leaf", "calls da.inbox(...):recv in a step", in_step("return da.inbox 'x' :recv() --!"), in_step("da.channel 'x' :send(a)"))
row("await", "gives await the function step.pay, which was not called; write await(step.pay(...))",
  both("return await(step.pay) --!", "return await(step.pay(a)), tostring(step.pay)"))
row("await", "tests (always true) the promise of gpu.shade(...)",
  both("local gpu = da.service 'gpu' if gpu.shade(a) then use(a) end --!", "local gpu = da.service 'gpu' return await(gpu.shade(a))"))
row("dropped", "drops the promise of gpu.shade(...)", "local gpu = da.service 'gpu'\n" .. workflow("gpu.shade(a) --!"),
  "local gpu = da.service 'gpu'\n" .. workflow("gpu.shade:with { timeout = 1 }:detach(a) return await(gpu.shade(a))"))
row("dropped", "drops the promise of async.child(...)", both("async.child:at 'gpu' (a) --!", "async.child:detach(a)"))
row("saga", "makes a saga that is not closed where its scope ends", both("local s = da.saga() s:on_fail(step.pay, a) --!",
  "do local s <close> = da.saga() s:on_fail(step.pay, a) end local function begin() return da.saga() end "
    .. "local t <close> = begin() local u = { da.saga() } return #u"))
row("saga", "makes a saga that is not closed where its scope ends", both("da.saga() --!", "local x, s <close> = 1, da.saga() return x"))
row("again", "calls da.again and goes on", both("if a then da.again(b) end --!",
  "do local s <close> = da.saga() s:on_fail(step.pay, 1) return da.again(a) end"))
ROWS[#ROWS].also = in_step("local p = da.get(a) if p then return p.state end")

row("step-only", "calls io.open in a workflow", both("local f = io.open(a) return f --!",
  "local time = os.time { year = 2020, month = 1, day = 1 } return os.date('%Y', time), os.clock()"))
row("step-only", "calls os.getenv in a workflow", "local function home() return os.getenv 'HOME' end --!\n" .. workflow("return home()"),
  "local function home() return os.getenv 'HOME' end\nfunction step.home() return home() end\n" ..
  workflow("return await(step.home()), await(step('in', home))"))
row("step-only", "calls io.open in a workflow", workflow("return store.read(a)"), "function step.read(a) return store.read(a) end")
ROWS[#ROWS].file, ROWS[#ROWS].line = "store.lua", 2
row("step-only", "calls os.remove in a workflow", both("return await(da.map(a, function(x) return os.remove(x) end)) --!",
  "local remove = function(x) return os.remove(x) end return await(step('in', function() return remove(a) end))"))
row("step-only", "calls io.read in a workflow", both("local ok, line = pcall(io.read) return ok, line --!",
  "local ok, n = pcall(tonumber, 1) return ok, n"))
row("step-only", "uses io.stdout in a workflow", both("io.stdout:write 'x' --!", "print 'x'"))
row("step-only", "calls debug.getinfo in a workflow", both("return debug.getinfo(1) --!", "return debug.traceback()"))
row("step-only", "calls io.popen in an inline step", inline("return io.popen 'ls' --!"), inline("return io.open 'x'"))
row("step-only", "calls os.exit", in_step("os.exit(1) --!"), in_step("error 'no'"))
row("step-only", "calls os.setlocale", in_step("os.setlocale 'de_DE' --!"),
  in_step("return os.setlocale(), os.setlocale 'C'"))
row("step-only", "calls da.progress in a workflow", both("da.progress(1) --!", "da.publish('phase', 1)"))
ROWS[#ROWS].also = in_step("da.progress(1)")
row("step-leaf", "calls da.publish in a step", in_step("da.publish('phase', 1) --!"), in_step("da.log.info 'phase'"))
row("step-only", "calls da.resolve in a workflow", both("da.resolve(a, 1) --!", "return da.id()"))
ROWS[#ROWS].also = in_step("da.resolve(a, 1)")
row("module", "uses socket.core.tcp in a workflow", both("return socket.tcp() --!", "return tostring(socket)"))
ROWS[#ROWS].also = in_step("return socket.tcp()")
row("module", "requires 'lfs' in a workflow", both("return require 'lfs' --!",
  "return require 'store', pcall(require, 'lfs')"))
row("step-leaf", "calls await in a step", in_step("return await(a) --!"), in_step("return da.id(), da.now()"))
row("step-leaf", "calls step.pay in a step", in_step("return step.pay(1) --!"),
  in_step("local pay = step.pay return tostring(pay)"))
row("step-leaf", "calls async.child in an inline step", inline("return async.child(1) --!"), inline("return da.id()"))
row("step-leaf", "calls da.sleep in a step", in_step("da.sleep(1) --!"), in_step("return os.execute 'sleep 0'"))
row("step-leaf", "calls await in an inline step", inline("return await(a) --!"), inline("return await ~= nil"))

row("closure", "assigns the outer local 'n' in an inline step", inline("n = 1 --!"),
  inline("local n = 1 n = n + 1 return n"))
row("closure", "assigns the outer local 'limit'", "local function lift() limit = 11 end --!\n" .. inline("lift()"),
  "local function lift() local low = limit low = low + 1 return low end\n" .. inline("return lift()"))
row("closure", "assigns the outer local 'n'", inline("local function inner() n = 1 end inner() --!"),
  inline("local m = 1 local function inner() m = 2 end inner() return m"))
row("closure", "changes the table 't' of the workflow", inline("t.x = 1 --!"),
  inline("local u = { t.x } u.x = 1 return u"))
row("closure", "changes the table 't' of the workflow", inline("t.list[a] = 1 --!"), inline("return t.list[a]"))
row("closure", "changes the table 't' of the workflow", inline("table.insert(t, 1) --!"),
  inline("local u = {} table.insert(u, t) return u"))
row("closure", "changes the table 'prices' of the workflow", inline("prices.tea = 4 --!"),
  workflow("local p = {} p.tea = prices.tea return p"))
row("long", "an inline step of 45 lines", workflow("await(step('in', function() --!" .. ("\nuse(a)"):rep(43) .. "\nend))"),
  workflow("await(step('in', function()" .. ("\nuse(a)"):rep(30) .. "\nend))" .. ("\nuse(b)"):rep(50)))
row("shared", "step.count changes 'seen', a local of the file, and async.main reads it",
  "local seen = 0\nfunction step.count() seen = seen + 1 end --!\n" .. workflow("return seen"),
  "local seen = 0\nfunction step.count() seen = seen + 1 return seen end\n" .. workflow("return await(step.count())"))

describe("dahost check", function()
  local place

  before_each(function() place = cli.begin() place:write("store.lua", STORE) end)
  after_each(cli.finish)

  -- Checks many texts in one process: file name -> its findings.
  local function check(texts)
    local paths, found = {}, {}
    for name, text in pairs(texts) do
      paths[#paths + 1] = place:write(name, HEAD .. text)
      found[name] = {}
    end
    local got = cli.run("check", "--json", table.unpack(paths))
    for _, finding in ipairs(cli.rows_of(got.out)) do
      local name = finding.file:match("[^/]+$")
      found[name] = found[name] or {}
      table.insert(found[name], finding)
    end
    return found, got
  end

  local function words(finding)
    return ("%s:%d: [%s] %s; %s"):format(finding.file, finding.line, finding.code, finding.what, finding.mend)
  end

  local function all(list)
    local lines = {}
    for i, finding in ipairs(list) do lines[i] = words(finding) end
    return table.concat(lines, "\n")
  end

  local function marked_line(text)
    local n = 0
    for line in (text .. "\n"):gmatch("(.-)\n") do
      n = n + 1
      if line:find("--!", 1, true) then return n end
    end
  end

  it("finds every planted fault, once and in its line", function()
    local texts = {}
    for i, r in ipairs(ROWS) do
      texts[("fault_%02d.lua"):format(i)] = r.fault
    end
    local found, got = check(texts)
    assert.are.equal(1, got.code, got.err)
    for i, r in ipairs(ROWS) do
      local list = found[r.file or ("fault_%02d.lua"):format(i)]
      assert.are.equal(1, #list, ("row %d: %s\n%s"):format(i, r.says, all(list)))
      assert.are.equal(r.code, list[1].code, all(list))
      assert.is_truthy(words(list[1]):find(r.says, 1, true), ("row %d: %s\n%s"):format(i, r.says, all(list)))
      assert.are.equal(r.line or marked_line(HEAD .. r.fault), list[1].line, all(list))
    end
  end)

  it("tells that a test file is none to check, and checks the others", function()
    local got = cli.run("check", place:write("a_spec.lua", 'local t = require "da.test"\nit("x", function() t.run() end)\n'),
      place:write("wf.lua", 'local da = require "da"\n' .. "function da. async.main() nobody() end\n"))
    assert.are.equal(2, got.code)
    assert.matches("a_spec.lua:1: module 'da.test' is there in files that `dahost test FILE` runs, not in workflows", got.err, 1, true)
    assert.matches("reads the global 'nobody'", got.out, 1, true)
  end)

  it("lets every near miss pass", function()
    local texts = {}
    for i, r in ipairs(ROWS) do
      texts[("fine_%02d.lua"):format(i)] = r.fine
      if r.also then texts[("also_%02d.lua"):format(i)] = r.also end
    end
    local found, got = check(texts)
    for _, list in pairs(found) do assert.are.equal("", all(list)) end
    assert.are.same({ 0, "", "" }, { got.code, got.out, got.err })
  end)

  it("finds nothing in the examples", function()
    local list = {}
    for name in uv.fs_scandir_next, assert(uv.fs_scandir("examples")) do
      if name:find("%.lua$") and not name:find("_spec%.lua$") then list[#list + 1] = uv.cwd() .. "/examples/" .. name end
    end
    assert.is_true(#list >= 8)
    local got = cli.run("check", table.unpack(list))
    assert.are.same({ 0, "", "" }, { got.code, got.out, got.err })
  end)

  it("tells a finding in one line, and how many there are", function()
    local path = place:write("wf.lua", HEAD .. workflow("step.pay(1)\nreturn undefined"))
    local got = cli.run("check", path)
    assert.are.equal(1, got.code)
    assert.are.equal(path .. ":10: drops the promise of step.pay(...), so nobody sees its result; write await(...) around " ..
      "the call, or :ignore() behind it if its outcome does not matter\n" .. path ..
      ":11: reads the global 'undefined', which nobody sets; correct the name, or define it as a local above\n", got.out)
    assert.are.equal("2 findings\n", got.err)
    got = cli.run("check", "--json", "--quiet", path)
    assert.are.same({ 1, "" }, { got.code, got.err })
    assert.are.same({ file = path, line = 11, code = "global", what = "reads the global 'undefined', which nobody sets",
      mend = "correct the name, or define it as a local above" }, cli.rows_of(got.out)[2])
  end)

  it("names what it cannot read, compile or load, and checks the others", function()
    local broken = place:write("broken.lua", "local x = = 1\n")
    local raises = place:write("raises.lua", "local x = nil\nprint(x.y)\n")
    local lazy = place:write("lazy.lua", 'local da = require "da"\nfunction da.async.main() return require "bad" end\n')
    place:write("bad.lua", "return return\n")
    local fine = place:write("fine.lua", HEAD .. workflow("step.pay(1)"))
    local got = cli.run("check", broken, raises, lazy, place.dir .. "/none.lua", fine)
    assert.are.equal(2, got.code)
    assert.matches("broken.lua:1: unexpected symbol near '='", got.err, 1, true)
    assert.matches("raises.lua:2: attempt to index a nil value (local 'x')", got.err, 1, true)
    assert.matches("bad.lua:1: unexpected symbol near 'return'", got.err, 1, true)
    assert.matches("none.lua", got.err, 1, true)
    assert.matches("^[^\n]*fine.lua:10: drops the promise of step.pay%(...%)[^\n]*\n$", got.out)
    got = cli.run("check")
    assert.are.equal(2, got.code)
    assert.matches("an operand is missing; usage: dahost check FILE...", got.err, 1, true)
  end)
end)
