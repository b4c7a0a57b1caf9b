-- patched_spec.lua - da.patched: which path an execution takes where its code was changed.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local harness = require("spec.support.harness")
local records = require("spec.support.records")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.old(n) return "old" .. n end
function step.new(n) return "new" .. n end
function step.stuck() while true do end end
]]

local function marks(place)
  local list = {}
  for id, record in pairs(records.read(place)) do
    if record.kind == "mark" and id:find("~patched", 1, true) then list[#list + 1] = id end
  end
  table.sort(list)
  return table.concat(list, " ")
end

describe("da.patched", function()
  local place
  before_each(function() place = harness.place(true) end)
  after_each(function() harness.remove(place) end)

  local function write(name, text)
    local file = assert(io.open(place.dir .. "/" .. name, "w"))
    file:write(HEAD .. text)
    file:close()
    return place.dir .. "/" .. name
  end

  local function dahost(...)
    local args = { ... }
    args[#args + 1], args[#args + 2] = "--data", place.data
    return harness.dahost(args)
  end

  -- Runs the text until promise `id` is there (and the step `running` runs), then kills the process.
  local function until_made(text, id, running)
    local process = harness.spawn({ "run", write("one.lua", text), "main", "--id", "x", "--data", place.data, "--step-threads", "1" })
    repeat
      assert.is_nil(process.ended, process.err)
      local got = dahost("get", id)
      local seen = got.code == 0 and (got.out:find("kind      promise", 1, true) or got.out:find("resolved", 1, true))
    until seen and (not running or (dahost("ps", "--json").out):find("running", 1, true))
    uv.kill(process.pid, "sigkill")
    harness.wait(process)
  end

  local function migrate(text)
    local done = dahost("migrate", "x", write("two.lua", text))
    assert.are.equal(0, done.code, done.err)
  end

  local function resume(env)
    return harness.dahost({ "resume", "x", "--quiet", "--data", place.data }, { env = env })
  end

  local function settle(id)
    local done = dahost("promise", "resolve", id, "1")
    assert.are.equal(0, done.code, done.err)
  end

  local OLD = [[
function async.main()
  local seen = {}
  for i = 1, 3 do
    seen[i] = await(step.old(i))
    await(da.promise("gate"))
  end
  return table.concat(seen, " ")
end]]
  local NEW = OLD:gsub("await%(step.old%(i%)%)", 'da.patched "v2" and await(step.new(i)) or await(step.old(i))')

  it("is true in an execution that began with the code, and keeps one mark", function()
    for i = 1, 3 do
      local created = dahost("promise", "create", "x:gate." .. i)
      assert.are.equal(0, created.code, created.err)
      settle("x:gate." .. i)
    end
    local result = script.run { place = place, keep = true, script = HEAD .. NEW }
    assert.are.equal('"new1 new2 new3"\n', result.out, result.err)
    assert.are.equal("x:~patched=v2", marks(place))
  end)

  it("is false in one that is past the place, in each later round too, and writes nothing", function()
    until_made(OLD, "x:gate.1")
    migrate(NEW)
    settle "x:gate.1"
    until_made(NEW, "x:gate.2") -- goes on, and is killed again
    settle "x:gate.2"
    local third = resume { DAHOST_KILL = "commit.after:4" }
    assert.are.equal(9, third.signal, third.err)
    if dahost("get", "x:gate.3").code ~= 0 then until_made(NEW, "x:gate.3") end
    settle "x:gate.3"
    assert.are.equal('"old1 old2 old3"\n', resume({ DAHOST_WARM = "0" }).out)
    assert.are.equal("", marks(place))
  end)

  it("is true in one that waits before the place, and stays so through kills and another migration", function()
    local before = [[function async.main() await(step.old(1)) await(da.promise "gate") return await(step.old(2)) end]]
    local after = [[function async.main()
      await(step.old(1))
      await(da.promise "gate")
      local got = da.patched "tail" and await(step.new(2)) or await(step.old(2))
      await(da.promise "last")
      return got, da.patched "tail"
    end]]
    until_made(before, "x:gate.1")
    migrate(after)
    settle "x:gate.1"
    until_made(after, "x:last.1")
    assert.are.equal("x:~patched=tail", marks(place))
    migrate("-- once more\n" .. after)
    settle "x:last.1"
    assert.are.equal('["new2",true]\n', resume({ DAHOST_WARM = "0" }).out)
  end)

  it("is true where only a step that left no record is behind the place", function()
    until_made([[function async.main() await(step.old(1)) da.promise "sign" await(step.stuck()) end]], "x:sign.1", true)
    migrate [[function async.main()
      await(step.old(1))
      local p = da.promise "sign"
      if da.patched "unstuck" then return await(step.new(1)) end
      await(step.stuck())
    end]]
    assert.are.equal('"new1"\n', resume().out)
  end)

  it("looks at the order of all branches", function()
    local code = [[function async.main()
      local a = async("a", function() await(da.promise "first") return await(step.old(1)) end)
      local b = async("b", function() await(da.promise "second") return await(step.old(2)) end)
      return { await(a, b) }
    end]]
    local guarded = code:gsub("await%(step.old%((%d)%)%)", 'da.patched("p%1") and await(step.new(%1)) or await(step.old(%1))')
    until_made(code, "x:b.1.second.1")
    settle "x:b.1.second.1" -- b goes on, a stays before its place
    until_made(code, "x:b.1.old.1")
    migrate(guarded)
    settle "x:a.1.first.1"
    assert.are.equal('["new1","old2"]\n', resume().out)
    assert.are.equal("x:~patched=p1", marks(place))
  end)

  it("gives one answer to all of a map", function()
    local code = [[function async.main()
      return await(da.map({ 1, 2, 3, 4 }, function(n)
        local got = await(step.old(n))
        if n == 2 then await(da.promise "gate") end
        return got
      end, { limit = 2 }))
    end]]
    local guarded = code:gsub("await%(step.old%(n%)%)", 'da.patched "m" and await(step.new(n)) or await(step.old(n))')
    until_made(code, "x:gate.1")
    migrate(guarded)
    settle "x:gate.1"
    assert.are.equal('["old1","old2","old3","old4"]\n', resume({ DAHOST_WARM = "0" }).out)
  end)

  it("lets a parked execution go on along its old path", function()
    local parked = script.cold { place = place, keep = true, script = HEAD .. [[
      function async.main()
        local t = {}
        await(step.old(1))
        await(step("lost", function() t.n = 1 end))
        await(step.old(t.n or 0))
        await(da.sleep(0.2))
        return "never"
      end]] }
    assert.are.equal(3, parked.code, parked.err)
    migrate [[function async.main()
      local first = da.patched "begin" and await(step.new(1)) or await(step.old(1))
      await(step("lost", function() end))
      local second = await(step.old(1))
      await(da.sleep(0.2))
      return first, second, da.patched "end"
    end]]
    assert.are.equal('["old1","old1",true]\n', resume().out)
  end)

  it("starts afresh with each generation of da.again", function()
    local code = [[function async.main(n)
      local got = await(step.old(n or 1))
      await(da.promise "gate")
      if not n then return da.again(2) end
      return got
    end]]
    until_made(code, "x:gate.1")
    migrate((code:gsub("await%(step.old%(n or 1%)%)", 'da.patched "g" and await(step.new(n or 1)) or await(step.old(n or 1))')))
    settle "x:gate.1"
    until_made(code, "x:~2.gate.1")
    assert.are.equal("x:~2.~patched=g", marks(place))
    settle "x:~2.gate.1"
    assert.are.equal('"new2"\n', resume().out)
  end)

  it("may be taken out again once nobody is on the old path", function()
    until_made([[function async.main() if da.patched "x" then await(step.new(1)) end await(da.promise "gate") return 1 end]], "x:gate.1")
    migrate [[function async.main() await(step.new(1)) await(da.promise "gate") return 1 end]]
    settle "x:gate.1"
    assert.are.equal("1\n", resume().out)
  end)
end)

local rows = {
  { "needs a name", [[
    function async.main()
      local _, a = pcall(da.patched)
      local _, b = pcall(da.patched, "")
      local _, c = pcall(da.patched, ("n"):rep(1200))
      return { tostring(a), tostring(b), tostring(c) }
    end]], '["s.lua:7: da.patched needs the name of a change, got nothing","s.lua:8: da.patched needs the name of a change, '
      .. 'got an empty string","s.lua:9: da.patched: the id is longer than 1000 bytes behind its root"]' },
  { "is refused in a step", [[
    function step.s() local a = da.patched "x" return a end
    function async.main()
      local ok, e = pawait(step.s:with { retry = false }())
      return e.message
    end]], '"s.lua:6: da.patched is for workflows; a step is a leaf, it just does its work and returns"' },
  { "is refused in an inline step", [[
    function async.main()
      local ok, e = pawait(step("s", { retry = false }, function() local a = da.patched "x" return a end))
      return e.message:match("da.patched inside an inline step; a step is a leaf") ~= nil
    end]], "true" },
  { "is the same warm, evicted and sliced, in loops, branches and maps", [[
    function async.main()
      local seen = {}
      for i = 1, 2 do seen[i] = da.patched "loop" and await(step.new(i)) or await(step.old(i)); await(da.sleep(0.002)) end
      seen[3] = await(async("b", function() return da.patched "branch" and await(step.new(3)) end))
      local mapped = await(da.map({ 4, 5 }, function(n) return da.patched "map" and await(step.new(n)) end, { limit = 1 }))
      return seen, mapped
    end]], '[["new1","new2","new3"],["new4","new5"]]' },
}

describe("da.patched", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local result = script.both { script = HEAD .. row[2] }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  it("comes to the same end wherever the process dies", function()
    local text = HEAD .. [[
      function async.main()
        local seen = {}
        for i = 1, 3 do seen[i] = da.patched("p" .. i) and await(step.new(i)) or await(step.old(i)) end
        return table.concat(seen, " ")
      end]]
    local kills = 0
    for n = 1, 9 do
      for _, point in ipairs { "commit.before:", "commit.after:" } do
        local place = harness.place(true)
        local died = script.run { place = place, keep = true, script = text, env = { DAHOST_KILL = point .. n } }
        if died.signal == 9 then kills = kills + 1 end
        local result = script.run { place = place, keep = true, script = text }
        assert.are.equal('"new1 new2 new3"\n', result.out, result.err)
        assert.are.equal("x:~patched=p1 x:~patched=p2 x:~patched=p3", marks(place))
        harness.remove(place)
      end
    end
    assert.is_true(kills > 8, kills)
  end)
end)
