-- bad_input_store_spec.lua - stores that are damaged, of a newer format, or in places where none can be: the words name the
-- file and the mend, nothing is overwritten, and what is not touched by the damage goes on.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local probe = require("da_probe")
local program = require("spec.support.program")

local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.double(n) return 2 * n end
function step.text(n) return ("abcdefghij"):rep(n) end
function async.works(n) return await(step.double(n)) end
function async.child() local _ = da.promise "unused" return await(da.promise "p") end
function async.parent() return await(async.child:with{ id = "c" }()) end
function async.sleeps() await(da.sleep "300ms") return "slept" end
function async.waits(n) return await(step.double(n)) + #await(step.text(300)) + await(da.promise "p") end
]]

local function has(text, words)
  assert.is_truthy(text:find(words, 1, true), ("%q is not in %q"):format(words, text))
end

local place

local function run(...) return place:run(...) end

-- The words and code of a verb that is refused.
local function refused(code, words, ...)
  local got = run(...)
  assert.are.same({ code, "" }, { got.code, got.out }, got.err)
  has(got.err, words)
end

-- Executions w1, w2, w3 that wait for their promises, at rest.
local function make_store()
  place:write("s.lua", SCRIPT)
  for i = 1, 3 do assert.are.equal(0, run("start", "s.lua", "waits", tostring(i), "--id", "w" .. i).code) end
  local process = place:spawn("resume", "--all")
  for i = 1, 3 do
    while not process.err:find(("w%d waits for w%d:p.1"):format(i, i), 1, true) do uv.run("once") end
    assert.are.equal(0, run("get", ("w%d:p.1"):format(i)).code)
  end
  process:signal_with("sigkill"):wait()
  uv.fs_unlink(place.data .. "/sock")
end

-- Changes row n of a table.
local function poke(table_name, n, change)
  local world = assert(probe.new { kind = "lmdb", path = place.data })
  local row = world:rows(table_name)[n]
  world:poke(table_name, row[1], change(row[2]))
  world:close()
end

local function cut(value) return value:sub(1, #value // 2) end

-- The execution finishes in a process of its own.
local function finishes(i)
  assert.are.equal(0, run("promise", "resolve", ("w%d:p.1"):format(i), "5").code)
  local got = run("resume", "w" .. i)
  assert.are.same({ 0, ("%d\n"):format(2 * i + 3005) }, { got.code, got.out }, got.err)
end

describe("a data file", function()
  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  it("of a newer format is refused, and works with the program of that format", function()
    make_store()
    local format
    local world = assert(probe.new { kind = "lmdb", path = place.data })
    for _, row in ipairs(world:rows("meta")) do
      if row[1] == "format" then format = row[2] end
    end
    world:poke("meta", "format", format:sub(1, -5) .. "\0\0\0\9")
    world:close()
    local before = place:read("store/data.mdb")
    for _, words in ipairs { { "ps" }, { "resume", "w1" }, { "verify" }, { "run", "s.lua", "works", "1" } } do
      refused(74, place.data .. " is a store of format 9; this dahost reads format 2: use a newer dahost", table.unpack(words))
    end
    assert.are.equal(before, place:read("store/data.mdb"))
  end)

  it("that is none is refused and left as it is", function()
    place:write("s.lua", SCRIPT)
    uv.fs_mkdir(place.data, 448)
    for what, bytes in pairs {
      text = ("this is no database\n"):rep(1000),
      short = "x",
      zeros = ("\0"):rep(9000),
      ["one page of something"] = ("y"):rep(4096),
    } do
      place:write("store/data.mdb", bytes)
      for _, words in ipairs { { "ps" }, { "run", "s.lua", "works", "1" } } do
        refused(74, place.data .. "/data.mdb is not a store of dahost, or its beginning is damaged; name another directory "
          .. "with --data, or put an older copy back", table.unpack(words))
      end
      assert.are.equal(bytes, place:read("store/data.mdb"), what)
    end
  end)

  it("that is empty is no store; run makes one of it", function()
    place:write("s.lua", SCRIPT)
    uv.fs_mkdir(place.data, 448)
    place:write("store/data.mdb", "")
    for _, verb in ipairs { "ps", "verify" } do
      refused(2, "there is no store at " .. place.data .. ": its data.mdb is empty (", verb)
    end
    assert.are.equal("2\n", run("run", "s.lua", "works", "1").out)
    assert.are.equal(0, run("verify").code)
  end)

  it("whose first head page is damaged is refused or read from the other one", function()
    make_store()
    local whole = place:read("store/data.mdb")
    for _, at in ipairs { 16, 20, 24, 56, 144 } do -- magic, version, address, tables, transaction
      for _, page in ipairs { { 0 }, { 0, 4096 } } do
        local bytes = whole
        for _, from in ipairs(page) do
          local i = from + at + 1
          bytes = bytes:sub(1, i - 1) .. string.char(bytes:byte(i) ~ 0x55) .. bytes:sub(i + 1)
        end
        place:write("store/data.mdb", bytes)
        local got = run("ps")
        assert.is_truthy(got.code == 0 or got.code == 74, got.code)
        if got.code == 74 then has(got.err, place.data) end
      end
    end
    place:write("store/data.mdb", whole)
    for i = 1, 3 do finishes(i) end
    assert.are.equal(0, run("verify").code)
  end)

  it("that was cut off, or has pages of noise, ends in words, never in a signal", function()
    make_store()
    local whole = place:read("store/data.mdb")
    local random = math.random
    math.randomseed(7)
    local function noise(n)
      local bytes = {}
      for i = 1, n do bytes[i] = string.char(random(0, 255)) end
      return table.concat(bytes)
    end
    local damaged = {}
    for part = 3, #whole // 4096 - 1, 4 do damaged[#damaged + 1] = whole:sub(1, part * 4096) end
    for page = 2, #whole // 4096 - 1, 2 do
      damaged[#damaged + 1] = whole:sub(1, page * 4096) .. noise(4096) .. whole:sub(page * 4096 + 4097)
    end
    local told = 0
    for _, bytes in ipairs(damaged) do
      place:write("store/data.mdb", bytes)
      local got = run("verify")
      assert.are.equal(0, got.signal, got.err)
      if got.code ~= 0 then
        told = told + 1
        has(got.out .. got.err, place.data)
      end
    end
    assert.is_true(told > 3, told .. " of " .. #damaged)
    place:write("store/data.mdb", whole)
    for i = 1, 3 do finishes(i) end
  end)

  it("beside a lock file of noise, or none, opens as ever", function()
    make_store()
    for i, bytes in ipairs { "noise\0\255", ("9"):rep(5000), false } do
      if bytes then place:write("store/lock", bytes) else uv.fs_unlink(place.data .. "/lock") end
      finishes(i)
    end
    place:write("store/lock.mdb", "")
    assert.are.equal(0, run("verify").code)
    place:write("store/lock.mdb", ("z"):rep(8192))
    local got = run("verify")
    assert.are.equal(0, got.signal)
    uv.fs_unlink(place.data .. "/lock.mdb")
    assert.are.equal(0, run("verify").code)
  end)
end)

describe("a damaged record", function()
  before_each(function()
    place = program.place()
    make_store()
  end)
  after_each(function() place:remove() end)

  -- Each is of w1: its promise, its step, its task.
  for table_name, words in pairs {
    root = "damaged record in table root",
    prom = "damaged record in table prom",
    task = "its record could not be read",
  } do
    it("in table " .. table_name .. " is told of whom it concerns, and the others finish", function()
      poke(table_name, 1, cut)
      local verify = run("verify")
      assert.are.equal(1, verify.code)
      has(verify.out .. verify.err, "w1")
      refused(74, words, "resume", "w1")
      finishes(2)
      assert.are.equal("8\n", run("run", "s.lua", "works", "4", "--id", "new").out)
      finishes(3)
    end)
  end

  it("of the task does not end the process that meets it", function()
    poke("task", 1, cut)
    local process = place:spawn("resume", "w2"):wait_for("w2 waits for")
    refused(74, "damaged record in table task", "promise", "get", "w1")
    refused(74, "could not be read", "resume", "w1")
    local settled = run("promise", "resolve", "w1:p.1", "5") -- would wake w1
    assert.are_not.equal(0, settled.code)
    has(settled.err, "damaged record in table task")
    assert.are.equal("8\n", run("run", "s.lua", "works", "4", "--id", "new").out)
    assert.are.equal(0, run("promise", "resolve", "w2:p.1", "5").code)
    assert.are.same({ 0, "3009\n" }, { process:wait().code, process.out }, process.err)
  end)

  it("is passed over by ps and resume --all, which name it, tell the others and say so by their exit code", function()
    for _, table_name in ipairs { "root", "task" } do
      local record
      poke(table_name, 1, function(value)
        record = value
        return cut(value)
      end)
      local got = run("ps", "--json")
      assert.are.equal(74, got.code)
      assert.are.same({ "w2", "w3" }, { got.out:match('"id":"(w[23])".*"id":"(w[23])"') })
      has(got.out .. got.err, place.data .. ": damaged record in table " .. table_name)
      has(got.out .. got.err, "w1")
      local process = place:spawn("resume", "--all"):wait_for("w3 waits for")
      has(process.err, "w1")
      process:signal_with("sigint"):wait()
      poke(table_name, 1, function() return record end)
    end
    for i = 2, 3 do assert.are.equal(0, run("promise", "resolve", ("w%d:p.1"):format(i), "5").code) end
    poke("root", 1, cut)
    assert.are.equal(0, run("resume", "w2").code)
    assert.are.equal("3011\n", run("resume", "w3").out)
  end)

  -- What falls due is read from the first row on: one that cannot be read must not hide the others.
  it("among the timers, or of whom a timer is, stops no start and no other timer", function()
    local process = place:spawn("start", "s.lua", "sleeps", "--id", "s1"):wait()
    assert.are.equal(0, process.code)
    assert.are.equal(0, run("start", "s.lua", "sleeps", "--id", "s2").code)
    process = place:spawn("resume", "s1", "s2")
    program.turn_until(function() return "two sleepers\n" .. process.err end, function()
      return process.err:find("s1 sleeps until", 1, true) and process.err:find("s2 sleeps until", 1, true)
    end)
    assert.are.equal(0, run("get", "s2:~sleep.1").code)
    process:signal_with("sigkill"):wait()
    local world = assert(probe.new { kind = "lmdb", path = place.data })
    world:poke("timer", "\1\2\3", "")
    world:poke("due", "\1\2\3", "")
    for _, row in ipairs(world:rows("task")) do
      if row[1] == "\4" then world:poke("task", row[1], cut(row[2])) end -- the fourth root: w1, w2, w3, s1
    end
    world:close()
    local got = run("resume", "s2")
    assert.are.same({ 0, '"slept"\n' }, { got.code, got.out }, got.err)
    has(got.err, 'store.damaged text="' .. place.data .. ": damaged record in table ")
    has(got.err, "store.damaged id=s1:~sleep.1 text=")
    assert.are.equal(1, select(2, got.err:gsub("id=s1:~sleep.1", "")))
    finishes(1)
    assert.are.equal("8\n", run("run", "s.lua", "works", "4").out)
  end)

  it("of a step parks the execution that comes upon it, and it goes on once that is mended", function()
    local record
    poke("prom", 1, function(value)
      record = value
      return cut(value)
    end)
    local process = place:spawn("resume", "w2"):wait_for("w2 waits for")
    assert.are.equal(0, run("promise", "resolve", "w1:p.1", "5").code)
    assert.are.equal(0, run("promise", "resolve", "w2:p.1", "5").code)
    assert.are.same({ 0, "3009\n" }, { process:wait().code, process.out }, process.err)
    refused(74, "damaged record in table prom", "resume", "w1")
    poke("prom", 1, function() return record end)
    run("continue", "w1")
    local got = run("resume", "w1")
    assert.are.same({ 0, "3007\n" }, { got.code, got.out }, got.err)
  end)

  -- The child's end is one op of two requests: the second, which wakes the parent, meets the damage.
  it("of who waits for it parks a child at its end, with nothing of that end written", function()
    local process = place:spawn("run", "s.lua", "parent", "--id", "x"):wait_for("x waits for c")
    assert.are.equal(0, run("get", "c:p.1").code)
    process:signal_with("sigkill"):wait()
    local at, record
    local world = assert(probe.new { kind = "lmdb", path = place.data })
    for i, row in ipairs(world:rows("task")) do
      if not at and #row[1] == 1 and row[1]:byte() == 4 then at = i end -- the fourth root: w1, w2, w3, x, c
    end
    world:close()
    poke("task", at, function(value)
      record = value
      return cut(value)
    end)
    assert.are.equal(0, run("promise", "resolve", "c:p.1", "5").code)
    local got = run("resume", "c")
    assert.are.equal(3, got.code, got.err)
    has(got.err, "c parked: what was recorded cannot be read: a read failed in task.fulfill of c")
    has(got.err, "damaged record in table task")
    assert.are.equal(0, run("get", "c:unused.1").code)
    has(run("get", "c:unused.1", "--json").out, '"promise":"pending"')
    finishes(2)
    poke("task", at, function() return record end)
    assert.are.equal(0, run("continue", "c").code)
    got = run("resume", "x")
    assert.are.same({ 0, "5\n" }, { got.code, got.out }, got.err)
    assert.are.equal(0, run("verify").code)
  end)

  it("of the code parks who is pinned to it, and a new version moves it on", function()
    poke("bundle", 1, cut)
    assert.are.equal(0, run("promise", "resolve", "w1:p.1", "5").code)
    local got = run("resume", "w1")
    assert.are.equal(3, got.code, got.err)
    has(got.err, "w1 parked: what was recorded cannot be read")
    has(got.err, "damaged record in table bundle")
    has(got.err, "dahost continue 'w1'")
    place:write("s.lua", SCRIPT .. "-- again\n")
    assert.are.equal(0, run("migrate", "w1", "s.lua").code)
    got = run("resume", "w1")
    assert.are.same({ 0, "3007\n" }, { got.code, got.out }, got.err)
  end)
end)

describe("a place for a store", function()
  before_each(function()
    place = program.place()
    place:write("s.lua", SCRIPT)
  end)
  after_each(function() os.execute("rm -rf '" .. place.dir .. "'") end)

  local function at(data, ...) return place:run("--data", data, ...) end

  it("may have a path of 300 bytes, spaces, quotes and line ends; a second process finds the first", function()
    local deep = ("%s/%s/%s"):format(place.dir, ("d"):rep(140), ("e"):rep(140))
    os.execute("mkdir -p " .. deep)
    for i, data in ipairs { deep .. "/store", place.dir .. "/with space", place.dir .. "/quo'te\nline", place.dir .. "/\u{e4}" } do
      local id = "w" .. i
      local process = program.spawn({ "run", "s.lua", "waits", "1", "--id", id, "--data", data }, { cwd = place.dir })
      process:wait_for(id .. " waits for")
      assert.are.equal(0, at(data, "promise", "resolve", id .. ":p.1", "5").code)
      assert.are.same({ 0, "3007\n" }, { process:wait().code, process.out }, process.err)
      assert.are.equal(0, at(data, "verify").code)
    end
  end)

  it("may be relative, end in a slash, or be a link", function()
    uv.fs_mkdir(place.dir .. "/real", 448)
    uv.fs_symlink("real", place.dir .. "/link")
    for i, data in ipairs { "real", "./real/", "link", place.dir .. "/real" } do
      assert.are.equal("2\n", at(data, "run", "s.lua", "works", "1", "--id", "r" .. i, "-q").out)
    end
    assert.are.equal(4, select(2, at("link", "ps", "--state", "all").out:gsub("\nr%d ", "")))
  end)

  it("that cannot be one is named with the reason and the mend", function()
    place:write("file", "x")
    uv.fs_symlink("loop2", place.dir .. "/loop1")
    uv.fs_symlink("loop1", place.dir .. "/loop2")
    uv.fs_symlink("nowhere", place.dir .. "/dangling")
    for data, case in pairs {
      [""] = { 2, "--data wants a directory, not nothing" },
      ["none/none/st"] = { 74, "/none/none/st: No such file or directory; name another with --data, or make the one above it first" },
      ["file"] = { 74, "/file is not a directory; name the directory of a store with --data" },
      ["file/st"] = { 74, "cannot make the directory " .. place.dir .. "/file/st: Not a directory" },
      ["loop1"] = { 74, "/loop1 cannot be the directory of a store: it is a link to nowhere (Too many levels of symbolic links)" },
      ["dangling"] = { 74, "/dangling cannot be the directory of a store: it is a link to nowhere (No such file or directory)" },
      [("e"):rep(256)] = { 74, "File name too long; name another with --data" },
      [place.dir .. ("/" .. ("d"):rep(48)):rep(100)] = { 74, "File name too long; name another with --data" },
    } do
      local got = at(data, "run", "s.lua", "works", "1", "--id", "x")
      assert.are.same({ case[1], "" }, { got.code, got.out }, got.err)
      has(got.err, case[2])
    end
    assert.are.equal("x", place:read("file"))
    assert.are.equal("2\n", at("good", "run", "s.lua", "works", "1", "--id", "x").out)
  end)
end)
