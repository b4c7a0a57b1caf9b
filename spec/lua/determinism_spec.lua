-- determinism_spec.lua - every row of the determinism tables of lua/README.md: in ten processes, and killed and replayed.
--
-- The rows are executions of one script (determinism/main.lua), so that a process serves all of them; each row is looked
-- at by itself. Processes of ten fresh stores must agree: half of them evict at every await, some have another time zone,
-- locale, environment, allocator, slices. Then processes are killed: while every row is half-way (all of them suspended
-- within what the row is about) and again when all have recorded what they found, with the files as they were and with
-- the files changed and gone; and at durable writes spread over the run. What the next process makes of it must be the
-- same. Rows that park the execution run alone.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local harness = require("spec.support.harness")

local FOLDER = "spec/lua/determinism"
local MODULES = { "rows_tables", "rows_numbers", "rows_refused", "rows_code", "rows_await", "rows_steps" }
local PROCESSES = 10
-- Surroundings of some of the processes, which must not matter.
local SURROUNDINGS = {
  [2] = { TZ = "Asia/Tokyo" },
  [3] = { LC_ALL = "de_DE.UTF-8", LANG = "de_DE.UTF-8" },
  [4] = { PADDING = ("x"):rep(60000) },
  [5] = { TZ = "America/New_York", LC_ALL = "tr_TR.UTF-8" },
  [6] = { DAHOST_SLICE = "50" },
  [7] = { DAHOST_ARENA = "malloc" },
}
local KILLS = harness.sanitized and 3 or 6 -- at writes, spread over a run

-- The files of rows are read here for names and expectations alone: what they require and use does nothing.
local stub = {}
local function itself() return stub end
setmetatable(stub, { __index = itself, __newindex = function() end, __concat = itself,
  __call = function(_, _, control) return control ~= stub and stub or nil end })
local globals = setmetatable({ require = itself, package = stub, print = itself }, { __index = _G })

local rows, by_name = {}, {}
for _, name in ipairs(MODULES) do
  for _, row in ipairs(assert(loadfile(FOLDER .. "/" .. name .. ".lua", "t", globals))()(stub)) do
    assert(not by_name[row.name], "two rows '" .. row.name .. "'")
    row.func = "row_" .. row.name:gsub("%W+", "_")
    rows[#rows + 1], by_name[row.name] = row, row
  end
end

-- Executions that park: what the last line on stderr must say.
local PARKS = {
  { name = "memory", says = "memory quota", script = [[
    local da = require "da"
    function da.async.main()
      da.await(da.sleep(0.001))
      local ok = pcall(function() local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(100000) .. i end end)
      return "caught", ok
    end]] },
  { name = "recursion without an end", says = "nested too deep", script = [[
    local da = require "da"
    function da.async.main()
      da.await(da.sleep(0.001))
      local function deeper() return 1 + deeper() end
      return pcall(deeper)
    end]] },
  { name = "a span without an end", says = "without an await", limit = "100ms", script = [[
    local da = require "da"
    function da.async.main()
      da.await(da.sleep(0.001))
      return pcall(function() while true do end end)
    end]] },
  { name = "another path on replay", says = "record 'x:f.1' holds step 'f' args#", script = [[
    local da = require "da"
    function da.step.f(x) return x end
    function da.async.main()
      local t = { n = 0 }
      da.await(da.step("count", function() t.n = t.n + 1 end)) -- a replay jumps over it
      da.await(da.step.f(t.n))
      da.await(da.sleep(0.15))
      return t.n
    end]], env = { DAHOST_WARM = "0", DAHOST_IMAGES = "false" } },
}
for _, row in ipairs(PARKS) do by_name[row.name] = row end

local CHANGED = "code changed under way" -- is what all rows are put through
by_name[CHANGED] = {}

---------------------------------------------------------------------------------------------------- processes

local function life(place, options)
  local env = { DAHOST_KILL = options.kill, DAHOST_WARM = options.cold and "0" or nil, HOLD = options.hold and "1" or nil }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local args = { "run", place.script or FOLDER .. "/main.lua", "main", "--id", "x" }
  if options.resume then args = { "resume", "x" } end
  for _, arg in ipairs { "--data", place.data, "--quiet" } do args[#args + 1] = arg end
  local process
  process = harness.spawn(args, { env = env, on_line = options.on_line and function(line) options.on_line(line, process) end })
  return harness.wait(process)
end

-- What a process found, row by row; of one that did not end well only how it ended.
local function results_of(process)
  if process.signal == 0 and process.code == 0 then return assert(json.decode(process.out, 1, nil)) end
  return { failed = ("code %s, signal %s\n%s%s"):format(process.code, process.signal, process.out, process.err) }
end

-- What is wrong with the row in what a process found, or nil.
local function wrong(row, results)
  if not results.failed then return nil end
  for line in results.failed:gmatch("[^\n]+") do
    if line:find("x:" .. row.func .. ".1", 1, true) then return line end
  end
end

-- Every record below x: "id kind function state ordinal", sorted; those of rows that are a race are of one process alone.
local function races(id)
  for _, row in ipairs(rows) do
    if row.races and id:find("x:" .. row.func .. ".1.", 1, true) then return true end
  end
  return false
end

local function records_of(place)
  local tree = harness.dahost { "tree", "x", "--json", "--limit", "100000", "--data", place.data }
  local list, pending = {}, {}
  for line in tree.out:gmatch("[^\n]+") do
    local row = assert(json.decode(line, 1, nil))
    if not races(row.id) then
      list[#list + 1] = ("%s %s %s %s %s"):format(row.id, row.kind, row["function"], row.promise, row.ordinal)
    end
    pending[row.id] = row.promise == "pending"
  end
  table.sort(list)
  return table.concat(list, "\n"), pending
end

local function copy_of_the_script(place)
  place.script = place.dir .. "/main.lua"
  for _, name in ipairs { "main", "counter", table.unpack(MODULES) } do
    assert(uv.fs_copyfile(FOLDER .. "/" .. name .. ".lua", place.dir .. "/" .. name .. ".lua"))
  end
end

local function change_the_script(place)
  for _, name in ipairs(MODULES) do assert(uv.fs_unlink(place.dir .. "/" .. name .. ".lua")) end
  local file = assert(io.open(place.script, "w"))
  file:write("function require 'da'.async.main() return {} end\n")
  file:close()
end

---------------------------------------------------------------------------------------------------- the runs

local straight = {} -- of each process: results, records, err
local killed = {} -- of each plan: what, results, err of its lives
local half_way -- for both gates, id -> true: the rows that were under way when their process was killed

local function run_straight()
  for i = 1, PROCESSES do
    local place = harness.place()
    local process = life(place, { cold = i % 2 == 0, env = SURROUNDINGS[i] })
    straight[i] = { results = results_of(process), err = process.err, commits = harness.commits(place) }
    straight[i].records = records_of(place)
    harness.remove(place)
  end
end

-- A process that is killed when all rows are at a gate; then the gate is opened.
local function until_gate(place, n, resume)
  local process = life(place, { hold = true, resume = resume, on_line = function(line, process)
    if line ~= "all rows are at gate " .. n then return end
    harness.dahost { "get", "x:gate." .. n, "--data", place.data } -- answered by it, so durable
    uv.kill(process.pid, "sigkill")
  end })
  assert(process.signal == 9, process.err)
  local _, pending = records_of(place)
  assert(harness.dahost({ "promise", "resolve", "x:gate." .. n, '"open"', "--data", place.data }).code == 0)
  return process, pending
end

-- Killed at both gates. With `changed` the processes after the first find other files.
local function run_to_gates(what, changed)
  local place = harness.place()
  if changed then copy_of_the_script(place) end
  local first, pending = until_gate(place, 1)
  if changed then change_the_script(place) end
  local second, still = until_gate(place, 2, changed)
  half_way = half_way or { pending, still }
  local third = life(place, { resume = changed })
  killed[#killed + 1] = { what = what, changed = changed, results = results_of(third), err = { first.err, second.err, third.err } }
  harness.remove(place)
end

local function run_killed_at(point, n)
  local place = harness.place()
  local first = life(place, { kill = point .. ":" .. n })
  if first.signal ~= 9 then return harness.remove(place) end -- more was grouped into a write than before
  local second = life(place, {})
  killed[#killed + 1] = { what = point .. ":" .. n, results = results_of(second), write = true }
  harness.remove(place)
end

---------------------------------------------------------------------------------------------------- specs

describe("determinism", function()
  setup(function()
    run_straight()
    run_to_gates("killed at the gates")
    run_to_gates("killed at the gates, its files changed", true)
    for i = 1, KILLS do
      run_killed_at(i % 2 == 0 and "commit.before" or "commit.after", 2 + straight[1].commits * i // (KILLS + 2))
    end
  end)

  for _, row in ipairs(rows) do
    it(("row '%s' is the same in %d processes and after a kill"):format(row.name, PROCESSES), function()
      for i, run in ipairs(straight) do
        assert.is_nil(wrong(row, run.results))
        if not run.results.failed then
          assert.are.same({ ok = true, value = row.value }, run.results[row.name], "in process " .. i)
        end
      end
      for n = 1, 2 do
        assert.is_true(half_way[n]["x:" .. row.func .. ".1"], "it was not under way when its process was killed at gate " .. n)
      end
      for _, run in ipairs(killed) do
        assert.is_nil(wrong(row, run.results))
        if not run.results.failed then assert.are.same({ ok = true, value = row.value }, run.results[row.name], run.what) end
      end
    end)
  end

  it("row '" .. CHANGED .. "' holds for all of them", function()
    local count = 0
    for _, run in ipairs(killed) do
      if run.changed then
        count = count + 1
        assert.is_nil(run.results.failed)
        for _, row in ipairs(rows) do assert.are.same({ ok = true, value = row.value }, run.results[row.name], row.name) end
      end
    end
    assert.are.equal(1, count)
  end)

  it("lets every process end by itself", function()
    for _, run in ipairs(straight) do assert.is_nil(run.results.failed) end
    for _, run in ipairs(killed) do assert.is_nil(run.results.failed, run.what) end
  end)

  it("holds for every record", function()
    local first = {}
    for line in straight[1].records:gmatch("[^\n]+") do first[line] = true end
    for i = 2, PROCESSES do
      local others, n = {}, 0
      for line in straight[i].records:gmatch("[^\n]+") do
        if not first[line] then others[#others + 1] = line end
        n = n + 1
      end
      assert.are.same({}, others, "records of process " .. i .. " that process 1 does not have")
      assert.are.equal(select(2, straight[1].records:gsub("\n", "")) + 1, n)
    end
  end)

  it("was tried by kills at writes", function()
    local count = 0
    for _, run in ipairs(killed) do
      if run.write then count = count + 1 end
    end
    assert.is_true(count >= KILLS // 2, count .. " kills")
  end)

  it("keeps print and warn silent while replaying", function()
    local function count(text, line)
      local n = 0
      for each in text:gmatch("[^\n]+") do
        if each == line then n = n + 1 end
      end
      return n
    end
    for _, run in ipairs(straight) do
      for _, line in ipairs { "the file loads", "printed before", "printed after", "Lua warning: a warning of two parts" } do
        assert.are.equal(1, count(run.err, line), run.err)
      end
      local _, notes = run.err:gsub("note: step 'nil_and_text' %(rows_steps.lua:%d+%) returned nil and a text", "")
      assert.are.equal(1, notes, run.err)
    end
    local lives = killed[1].err
    for line, life_of in pairs { ["printed before"] = 1, ["printed after"] = 2 } do
      for i, text in ipairs(lives) do assert.are.equal(i == life_of and 1 or 0, count(text, line), text) end
    end
  end)

  for _, row in ipairs(PARKS) do
    it(("row '%s' parks in every process, and again after a replay"):format(row.name), function()
      local first
      for _ = 1, PROCESSES do
        local place = harness.place()
        local file = assert(io.open(place.dir .. "/s.lua", "w"))
        file:write(row.script)
        file:close()
        local args = { "run", place.dir .. "/s.lua", "--id", "x", "--data", place.data, "--quiet" }
        if row.limit then table.move({ "--span-limit", row.limit }, 1, 2, #args + 1, args) end
        local run = harness.dahost(args, { env = row.env or {} })
        assert.are.equal(3, run.code, run.err)
        assert.is_truthy(run.err:find(row.says, 1, true), run.err)
        assert.is_truthy(run.err:find("dahost migrate 'x' FILE", 1, true), run.err)
        if not first then
          harness.dahost { "continue", "x", "--data", place.data }
          local again = harness.dahost(args, { env = row.env or {} })
          assert.are.equal(3, again.code, again.err)
          assert.is_truthy(again.err:find(row.says, 1, true), again.err)
        end
        local told = run.err:gsub("%d+ ms", "N ms")
        first = first or told
        assert.are.equal(first, told)
        harness.remove(place)
      end
    end)
  end
end)

describe("the determinism tables of lua/README.md", function()
  local file = assert(io.open("lua/README.md"))
  local text = file:read("a")
  file:close()
  local section = assert(
    (text .. "\n## "):match("\n## Determinism, row by row\n(.-)\n## "),
    "lua/README.md has no section 'Determinism, row by row'")

  -- The first column of each row; a name may be in backticks. Heads and the lines under them are no rows.
  local function names_of(markdown)
    local names, list = {}, {}
    local head = true
    for line in (markdown .. "\n"):gmatch("(.-)\n") do
      local cell = line:match("^|%s*(.-)%s*|")
      if not cell then
        head = true
      elseif cell:find("^%-+$") then
        head = false
      elseif not head then
        local name = cell:gsub("`", "")
        names[name] = true
        list[#list + 1] = name
      end
    end
    return names, list
  end

  local function missing(have, need)
    local list = {}
    for name in pairs(need) do
      if not have[name] then list[#list + 1] = "'" .. name .. "'" end
    end
    table.sort(list)
    return table.concat(list, ", ")
  end

  local names, list = names_of(section)

  it("have a spec for every row", function()
    assert.is_true(#list > 60, #list .. " rows were read")
    assert.are.equal("", missing(by_name, names))
  end)

  it("have a row for every spec", function()
    assert.are.equal("", missing(names, by_name))
  end)

  it("name a row once", function()
    local seen, twice = {}, {}
    for _, name in ipairs(list) do
      if seen[name] then twice[#twice + 1] = name end
      seen[name] = true
    end
    assert.are.same({}, twice)
  end)

  it("are read as they are written", function()
    local read = names_of("| what | x |\n|---|---|\n| `pairs` | sorted |\n| a, `b` | y |\n\ntext\n| other | z |\n|---|---|\n| c | d |")
    assert.are.same({ pairs = true, ["a, b"] = true, c = true }, read)
    assert.are.equal("'c'", missing({ pairs = true, ["a, b"] = true }, read))
  end)
end)
