-- groups_spec.lua - calls of other groups: where they run, from which code, what happens when nobody serves them.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local cli = require("spec.support.cli")
local harness = require("spec.support.harness")
local program = require("spec.support.program")

local run, rows_of, row_of = cli.run, cli.rows_of, cli.row_of

local FRONT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
local gpu = da.service "gpu"
function step.spot() return "front" end
function step.begin(id, n) return da.start(id, async.where:at "gpu", n) end
function async.where(n) return "front", await(step.spot()), n end
function async.both() return { await(async.where(1)) }, { await(gpu.where(2)) }, { await(async.where:at "gpu" (3)) },
  { await(async.where:with { address = "poll://any@gpu/somebody" }(4)) } end
function async.film(name)
  local parts = await(da.map(await(gpu.split(name)), gpu.shade, { limit = 2 }))
  return await(gpu.join:with { key = name, timeout = "1h" }(parts))
end
function async.slip() return await(gpu.splt("x")) end
function async.elsewhere() return await(da.service "tpu".where(1)) end
function async.patient()
  local ok, err = da.pawait(da.within("50ms", da.service "tpu".where(1)))
  return ok, err.code
end
function async.starts(id) return await(step.begin(id, 7)) end
]]

local GPU = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.spot() return "gpu" end
function step.paint(s) return "<" .. s .. ">" end
function async.where(n) return "gpu", await(step.spot()), n, await(async.inner()) end
function async.inner() return "inner of gpu" end
function async.split(name) return { name .. 1, name .. 2, name .. 3 } end
function async.shade(s) return await(step.paint(s)) end
function async.join(list) return table.concat(list) end
function async.waits() return await(da.promise "p"), "old" end
]]

describe("a group", function()
  local place, front, gpu

  before_each(function()
    place = cli.begin()
    front, gpu = place:write("front.lua", FRONT), place:write("gpu.lua", GPU)
  end)
  after_each(cli.finish)

  local function serve(...)
    return place:spawn("serve", ...):wait_for("serving " .. place.data)
  end

  local function stop(process)
    assert.are.equal(0, process:signal_with("sigterm"):wait().code)
    assert.are.equal(0, run("verify").code)
  end

  it("runs what is called of it, from its own file, and what that calls too", function()
    local process = serve(front, "gpu=" .. gpu)
    assert.are.equal('[["front","front",1],["gpu","gpu",2,"inner of gpu"],["gpu","gpu",3,"inner of gpu"],'
      .. '["gpu","gpu",4,"inner of gpu"]]\n', run("run", front, "both", "--id", "b").out)
    local tags = row_of(run("get", "b:where.2", "--json").out).tags
    assert.are.equal("poll://any@gpu", tags["resonate:target"])
    assert.are.equal("poll://any@gpu/somebody", row_of(run("get", "b:where.4", "--json").out).tags["resonate:target"])
    assert.are.equal("poll://any@gpu/somebody",
      row_of(run("get", "b:where.4.inner.1", "--json").out).tags["resonate:target"])
    assert.are.equal('"<a1><a2><a3>"\n', run("run", front, "film", "a", "--id", "f").out)
    assert.are.equal(0, run("get", "f:join=a").code)
    assert.are.equal("s\n", run("start", front, "starts", "other", "--id", "s").out)
    process:wait_for("other resolved")
    assert.are.equal('["gpu","gpu",7,"inner of gpu"]\n', run("resume", "other").out)
    stop(process)
  end)

  it("may have the same functions as another one, and one file may serve several", function()
    local process = serve(front, "gpu=" .. front, "tpu=" .. front)
    assert.are.equal('[["front","front",1],["front","front",2],["front","front",3],["front","front",4]]\n',
      run("run", front, "both").out)
    assert.are.equal('["front","front",1]\n', run("run", front, "elsewhere").out)
    stop(process)
  end)

  it("that nobody serves is waited for, and named by run, serve and ps", function()
    local waiting = place:spawn("run", front, "film", "a", "--id", "f")
    waiting:wait_for("f:split.1: it waits for group 'gpu', which this process does not serve (dahost serve gpu=FILE)\n")
    while not waiting.err:find("f waits for f:split.1", 1, true) do run("version") end
    waiting:signal_with("sigint"):wait()
    assert.are.equal(1, select(2, waiting.err:gsub("does not serve", "")))
    local missing = "executions wait for group 'gpu', which no process serves here (dahost serve gpu=FILE)\n"
    local got = run("ps")
    assert.are.same({ 0, missing }, { got.code, got.err })
    assert.matches("f +film +suspended .*f:split.1\n", got.out)
    assert.are.equal("f", row_of(run("ps", "--json").out).id)
    got = row_of(run("get", "f:split.1", "--json").out)
    assert.are.same({ "suspended", "gpu", "pending" }, { got.state, got.group, got.task.state })
    assert.matches("split.1  suspended .*→ group gpu\n", run("tree", "f").out)
    assert.matches("\nawaits    group gpu\n", run("get", "f:split.1").out)
    local other = serve(front)
    other:wait_for(missing)
    local follower = place:spawn("run", front, "film", "a", "--id", "f")
    follower:wait_for("f:split.1: it waits for group 'gpu'")
    stop(other)
    follower:wait_for("going on"):signal_with("sigint"):wait()
    local process = serve("gpu=" .. gpu)
    assert.are.equal('"<a1><a2><a3>"\n', run("run", front, "film", "a", "--id", "f").out)
    assert.are.same({ "", 0 }, { run("ps").out, run("ps").code })
    assert.not_matches("wait for group", run("ps").err)
    stop(process)
  end)

  it("that nobody serves keeps nobody who stops waiting", function()
    local got = run("run", front, "patient", "--id", "p")
    assert.are.same({ 0, '[false,"timedout"]\n' }, { got.code, got.out })
    assert.are.equal("canceled", row_of(run("get", "p:where.1", "--json").out).promise)
    local process = place:spawn("run", front, "elsewhere", "--id", "e"):wait_for("e:where.1: it waits for group 'tpu'")
    process:signal_with("sigkill"):wait()
    process = place:spawn("resume", "e"):wait_for("e waits for")
    assert.are.equal(0, run("cancel", "e").code)
    assert.are.equal(4, process:wait().code)
    assert.are.equal("canceled", row_of(run("get", "e:where.1", "--json").out).promise)
    assert.are.same({ "", "" }, { run("ps").out, (run("ps").err:gsub("no such execution here\n", "")) })
    assert.are.equal(0, run("verify").code)
  end)

  it("that lacks the function is given it by a reload, or else the call is rejected", function()
    local process = serve(front, "gpu=" .. gpu)
    run("start", front, "slip", "--id", "s")
    process:wait_for("s:splt.1: no file that serves group 'gpu' defines a workflow 'splt', but inner, join, shade, split, "
      .. "waits, where (it is waited for 30 s, then the call is rejected)")
    place:write("gpu.lua", (GPU:gsub("async.split", "async.splt")))
    process:signal_with("sighup"):wait_for("s resolved\n")
    assert.are.equal('["x1","x2","x3"]\n', run("resume", "s").out)
    stop(process)
    local quick = program.spawn({ "serve", front, "gpu=" .. front }, { data = place.data, cwd = place.dir,
      env = { DAHOST_TIME_FACTOR = "100" } })
    quick:wait_for("serving")
    local got = run("run", front, "slip", "--id", "t")
    assert.are.same({ 1, "" }, { got.code, got.out })
    assert.matches("[unknown_function] no file that serves group 'gpu' defines a workflow 'splt'", got.err, 1, true)
    stop(quick)
  end)

  it("has versions, of which the newest is called, or the one that is asked for", function()
    local versions = GPU:gsub("function async.waits.-end\n", "") .. [=[
function async.two() return "old" end
async.two:defaults { version = 1 }
function async.two() return "new" end
async.two:defaults { version = 2 }
]=]
    place:write("gpu.lua", versions)
    local script = place:write("calls.lua", 'local da = require "da"\nlocal two = da.service "gpu".two\n'
      .. "function da.async.calls(v) return da.await((v and two:with { version = v } or two)()) end\n")
    local process = program.spawn({ "serve", "gpu=" .. gpu }, { data = place.data, cwd = place.dir,
      env = { DAHOST_TIME_FACTOR = "100" } })
    process:wait_for("two, two version 2")
    assert.are.equal('"new"\n', run("run", script, "calls").out)
    assert.are.equal('"old"\n', run("run", script, "calls", "1").out)
    assert.matches("[unknown_function] workflow 'two' has no version 3 in group 'gpu'; it has 1, 2",
      run("run", script, "calls", "3").err, 1, true)
    stop(process)
  end)

  it("keeps the code that a call was taken up with, through reloads and kills", function()
    local process = serve(front, "gpu=" .. gpu)
    local script = place:write("calls.lua", 'local da = require "da"\n'
      .. 'function da.async.calls() return da.await(da.service "gpu".waits()) end\n')
    run("start", script, "calls", "--id", "old")
    while run("get", "old:waits.1.p.1").code ~= 0 do assert.is_nil(process.ended) end
    place:write("gpu.lua", (GPU:gsub('"old"', '"new"')))
    process:signal_with("sighup"):wait_for("was loaded again: gpu:")
    run("start", script, "calls", "--id", "new")
    while run("get", "new:waits.1.p.1").code ~= 0 do assert.is_nil(process.ended) end
    process:signal_with("sigkill"):wait()
    process = serve("gpu=" .. gpu)
    for _, id in ipairs { "old", "new" } do
      assert.are.equal(0, run("promise", "resolve", id .. ":waits.1.p.1", "1").code)
      assert.are.equal('[1,"' .. id .. '"]\n', run("resume", id).out)
    end
    stop(process)
  end)

  it("is pinned when it is taken up, if it was not served when it was called", function()
    local script = place:write("calls.lua", 'local da = require "da"\n'
      .. 'function da.async.calls() return da.await(da.service "gpu".waits()) end\n')
    local process = serve(script)
    run("start", script, "calls", "--id", "c")
    process:wait_for("c:waits.1: it waits for group 'gpu'")
    stop(process)
    process = serve("gpu=" .. gpu)
    while run("get", "c:waits.1.p.1").code ~= 0 do assert.is_nil(process.ended) end
    process:signal_with("sigkill"):wait()
    place:write("gpu.lua", (GPU:gsub('"old"', '"new"')))
    process = serve("gpu=" .. gpu)
    assert.are.equal(0, run("promise", "resolve", "c:waits.1.p.1", "1").code)
    assert.are.equal('[1,"old"]\n', run("resume", "c").out)
    stop(process)
  end)

  it("is taken up and pinned through a death at each write", function()
    local deaths = 0
    for _, point in ipairs { "commit.before", "commit.after", "answer.before" } do
      for n = 1, 40, harness.sanitized and 5 or 1 do
        local data = ("%s/%s-%d"):format(place.dir, point, n)
        local function spawn(env, ...) return program.spawn({ ... }, { data = data, cwd = place.dir, env = env }) end
        local first = spawn({}, "serve", front):wait_for("serving")
        assert.are.equal("f\n", spawn({}, "start", front, "film", "a", "--id", "f"):wait().out)
        first:wait_for("f:split.1: it waits for group 'gpu'"):signal_with("sigterm"):wait()
        local dies = spawn({ DAHOST_KILL = point .. ":" .. n }, "serve", front, "gpu=" .. gpu)
        while not dies.ended and not dies.err:find("f resolved", 1, true) do uv.run("once") end
        local died = dies.ended
        if not died then dies:signal_with("sigterm") end
        dies:wait()
        deaths = deaths + (died and 1 or 0)
        local last = spawn({}, "serve", front, "gpu=" .. gpu):wait_for("serving")
        assert.are.equal('"<a1><a2><a3>"\n', spawn({}, "resume", "f"):wait().out)
        last:signal_with("sigterm"):wait()
        assert.are.equal(0, spawn({}, "verify"):wait().code)
        if not died then break end
      end
    end
    assert.is_true(deaths > (harness.sanitized and 5 or 20), deaths .. " deaths")
  end)

  it("is not run by who follows or resumes something else", function()
    local process = serve(front)
    run("start", front, "elsewhere", "--id", "e")
    process:wait_for("e:where.1: it waits for group 'tpu'")
    stop(process)
    process = place:spawn("resume", "--all")
    process:wait_for("e:where.1: it waits for group 'tpu'"):signal_with("sigint"):wait()
    assert.are.equal("pending", row_of(run("get", "e:where.1", "--json").out).task.state)
    assert.are.equal(0, run("cancel", "e", "--hard").code)
    assert.are.equal(0, run("verify").code)
  end)

  it("is refused where it makes no sense", function()
    local cases = {
      { 'step.spot:at "gpu" ()', "a step runs where its workflow runs; at is for workflows" },
      { 'step.spot:with { group = "gpu" }()', "a step runs where its workflow runs; group and address are for workflows" },
      { 'async.where:at(7)', 'write f:at "group" (...), with a colon and the name of a group; got number' },
      { 'async.where:at "a b"', "a group is named by letters, digits, '_', '-' and '.', got 'a b'" },
      { 'async.where:with { group = {} }', "a group is named by letters, digits, '_', '-' and '.', got a table" },
      { 'async.where:with { group = "a", address = "poll://any@b" }', "give group or address, not both" },
      { 'async.where:with { address = "http://x/y" }', 'address must be that of a group, "poll://any@GROUP", got ' },
      { 'da.service(nil)', "a group is named by letters, digits, '_', '-' and '.', got nothing" },
      { 'function gpu.x() end', "the functions of a group are defined in the files that serve it" },
      { 'await(step.spot(gpu.where))', "a function of another group cannot cross as a value" },
      { 'await(step("label", { group = "gpu" }, print))', "unknown option 'group' of step(...)" },
    }
    local lines = { FRONT:gsub("\n$", ""), "function async.all(n)", "  local tries = {" }
    for _, case in ipairs(cases) do lines[#lines + 1] = "    function() " .. case[1] .. " end," end
    for i, case in ipairs(cases) do
      if case[1]:find("^[ad]") and not case[1]:find("^await") then
        lines[#lines - #cases + i] = "    function() return " .. case[1] .. " end,"
      end
    end
    lines[#lines + 1] = "  }\n  return select(2, pcall(tries[n]))\nend\n"
    local script = place:write("refused.lua", table.concat(lines, "\n"))
    for i, case in ipairs(cases) do
      local got = run("run", script, "all", tostring(i))
      assert.is_truthy((got.out .. got.err):gsub('\\"', '"'):find(case[2], 1, true), case[2] .. "\n" .. got.out .. got.err)
    end
  end)

  it("operand is refused when it is none, or when two files would be one function", function()
    for operand, words in pairs {
      ["a b=" .. gpu] = "GROUP=FILE wants a group of letters, digits, '_', '-' and '.', and a file",
      ["=" .. gpu] = "GROUP=FILE wants a group",
      ["gpu="] = "GROUP=FILE wants a group",
      ["gpu=missing.lua"] = "cannot read missing.lua: No such file",
    } do
      local got = run("serve", operand)
      assert.are.same({ 2, "" }, { got.code, got.out })
      assert.matches(words, got.err, 1, true)
    end
    local got = run("serve", "gpu=" .. gpu, "gpu=" .. front)
    assert.are.equal(2, got.code)
    assert.matches(gpu .. " and " .. front .. " both define workflow 'where' for group 'gpu'", got.err, 1, true)
    assert.matches("%./a=b%.lua", run("serve", "?=b.lua").err:gsub("%?=b", "a=b"))
  end)

  it("lists what rests once", function()
    local process = serve(front)
    for i = 1, 3 do run("start", front, "elsewhere", "--id", "e" .. i) end
    process:wait_for("e1:where.1: it waits for group 'tpu'")
    while #rows_of(run("ps", "--json").out) < 3 do assert.is_nil(process.ended) end
    assert.are.equal(1, select(2, run("ps").err:gsub("group 'tpu'", "")))
    assert.are.equal(1, select(2, process.err:gsub("group 'tpu'", "")))
    stop(process)
  end)
end)
