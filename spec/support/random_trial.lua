-- random_trial.lua - random programs (random_program.lua), each run in three ways that must come to the same.
--
-- Ways:    straight; evicted (every await that suspends is a replay); restored (the same from images); killed (SIGKILL at
--          random writes and at random instants, resumed each time, until all have ended), each life in a mode of its own
--          (modes.lua). Of the lives that had images, as good as all used them.
-- Same:    the outcome of each program, the lines it printed, its records: ids, states, values, arguments (records.lua).
--          What was recorded of a step is not run again. (Lines of a killed run: see compare_lives().)
-- Batches: the programs of a batch lie in one file and run side by side, as executions of their own, in one process;
--          so one kill meets all of them, each at another place.
-- Failure: names the program's seed and the command that repeats it, with its text, cut down as far as it still fails.
--
-- SPDX-License-Identifier: Apache-2.0
local busted = require("busted")
local uv = require("luv")
local harness = require("spec.support.harness")
local modes = require("spec.support.modes")
local random_program = require("spec.support.random_program")
local records = require("spec.support.records")

local M = {}

local BATCH = 100
local BATCHES = harness.long and 100 or harness.sanitized and 1 or 5 -- of each of four spec files
local KILLS = 15 -- of each batch
local DEATHS_ALONE_MAX = 400
local SHRINK_S = harness.long and 120 or 30
local REPORTED_MAX = 3

---------------------------------------------------------------------------------------------------- lives

local Trial = {}
Trial.__index = Trial

local function new_trial(programs)
  local place = harness.place(true)
  local parts, names = { random_program.head() }, {}
  for i, program in ipairs(programs) do
    parts[#parts + 1] = random_program.text(program)
    names[i] = '"' .. program.name .. '"'
  end
  local file = assert(io.open(place.dir .. "/s.lua", "w"))
  file:write(table.concat(parts, "\n"))
  file:close()
  assert(io.open(place.ledger, "w")):close()
  return setmetatable({ place = place, names = "[" .. table.concat(names, ",") .. "]", lives = {} }, Trial)
end

-- The lines a life printed: execution -> list of {number, text}; whatever else was on stderr; how often images were used.
local function lines_of(text)
  local lines, noise, images = {}, {}, { taken = 0, restored = 0, refused = 0 }
  for line in text:gmatch("([^\n]*)\n") do -- a line without its end was cut by a death
    local id, number, rest = line:match("^@(%S+) #(%d+) (.*)$")
    if id then
      lines[id] = lines[id] or {}
      table.insert(lines[id], { number = math.tointeger(number), text = rest })
    elseif line:find("image.", 1, true) then
      local what, why = line:match("image%.(%a+) .-why=(%a+)")
      what = what or line:match("image%.(%a+)")
      if images[what] then images[what] = images[what] + 1 end
      if why then images[why] = (images[why] or 0) + 1 end
    elseif not line:find "^debug " then
      noise[#noise + 1] = line
    end
  end
  return lines, noise, images
end

-- One process. death: nil, {point=, n=} or {after_us=}; mode: of modes.lua.
function Trial:live(args, mode, death)
  local env = { DAHOST_DATA = self.place.data, LEDGER = self.place.ledger, DAHOST_LOG = "debug",
    DAHOST_QUIET = "1", DAHOST_DEATHS = "1000", DAHOST_KILL = death and death.point and death.point .. ":" .. death.n or nil }
  modes.set(env, mode)
  local process = harness.spawn(args, { env = env })
  local timer
  if death and death.after_us then
    timer = uv.new_timer()
    timer:start(death.after_us // 1000, 0, function()
      if not process.ended then uv.kill(process.pid, "sigkill") end
    end)
  end
  local ended, why = pcall(harness.wait, process)
  if timer then timer:close() end
  if not ended then error(("kept: %s\n%s"):format(self.place.dir, why:gsub("\n@[^\n]*", "")), 0) end
  local lines, noise, images = lines_of(process.err)
  process.lines, process.noise, process.images = lines, noise, images
  self.lives[#self.lives + 1] = process
  return process
end

function Trial:launch(mode, death)
  return self:live({ "run", self.place.dir .. "/s.lua", "begin", self.names, "--id", "driver" }, mode, death)
end

function Trial:resume(mode, death)
  return self:live({ "resume", "--all" }, mode, death)
end

function Trial:last_words()
  local life = self.lives[#self.lives]
  local from = math.max(1, #life.noise - 20)
  return ("the last life (code %s, signal %s) said:\n%s"):format(life.code, life.signal,
    table.concat(life.noise, "\n", from))
end

function Trial:remove()
  harness.remove(self.place)
end

-- What is wrong with the store as such, or nil.
function Trial:unwell()
  for _, life in ipairs(self.lives) do
    if life.signal ~= 0 and life.signal ~= 9 then return ("a life ended with signal %s; %s"):format(life.signal, life.err) end
  end
  local life = self.lives[#self.lives]
  -- 1: some were rejected; 4: something detached was cancelled.
  if life.signal ~= 0 or life.code > 1 and life.code ~= 4 then return "a life did not end well; " .. self:last_words() end
  local verify = harness.dahost({ "verify" }, { env = { DAHOST_DATA = self.place.data } })
  if verify.code ~= 0 then return "verify: " .. verify.out .. verify.err end
end

---------------------------------------------------------------------------------------------------- comparing

-- Findings: {id=, text=}. An id leads to its program.
local function program_of(id) return id:match("^(r%d+)") end

local function open_order(record, field)
  return record.func == "open" and (field == "value" or field == "args" or field == "param" or field == "headers")
end

-- Marks of deaths are there because there were deaths.
local function without_deaths(all)
  local kept = {}
  for id, record in pairs(all) do
    if not (record.kind == "mark" and id:find("~death", 1, true)) then kept[id] = record end
  end
  return kept
end

local function compare_records(found, straight, other, way)
  other = without_deaths(other)
  for _, line in ipairs(records.differences(straight, other, open_order)) do
    found[#found + 1] = { id = line:match("^%S+"), text = way .. ": " .. line }
  end
end

-- Every execution printed the same lines, each of them once.
local function compare_lines(found, straight, other, way)
  local ids = {}
  for id in pairs(straight) do ids[id] = true end
  for id in pairs(other) do ids[id] = true end
  for id in pairs(ids) do
    local a, b = straight[id] or {}, other[id] or {}
    for i = 1, math.max(#a, #b) do
      local left, right = a[i] and a[i].text or "nothing", b[i] and b[i].text or "nothing"
      if left ~= right then
        found[#found + 1] = { id = id, text = ("%s: line %d printed by %s was %s and is %s"):format(way, i, id, left, right) }
        break
      end
    end
  end
end

-- No life printed a line that a straight run does not print at that place, and all of them together printed every line. How
-- far an execution had come with printing when it was killed is not recorded, so that lines come again; such are counted.
local function compare_lives(found, count, straight, lives, way)
  local seen = {}
  for _, life in ipairs(lives) do
    for id, lines in pairs(life.lines) do
      seen[id] = seen[id] or {}
      for _, line in ipairs(lines) do
        local expected = straight[id] and straight[id][line.number]
        if not expected or expected.text ~= line.text then
          found[#found + 1] = { id = id, text = ("%s: line %d printed by %s was %s and is %s"):format(way, line.number, id,
            expected and expected.text or "nothing", line.text) }
        end
        if seen[id][line.number] then count.twice = count.twice + 1 end
        seen[id][line.number] = true
      end
    end
  end
  for id, lines in pairs(straight) do
    for number in ipairs(lines) do
      if not (seen[id] and seen[id][number]) then
        found[#found + 1] = { id = id, text = ("%s: line %d printed by %s is lost"):format(way, number, id) }
        break
      end
    end
  end
end

---------------------------------------------------------------------------------------------------- ways

-- Each way returns the trial; findings go to `found`, with id "" if no program is to blame.
local function unkilled(programs, mode, found, way)
  local trial = new_trial(programs)
  local begun = trial:launch(mode)
  if begun.code ~= 0 then error("the programs do not start: " .. begun.err, 0) end
  trial:resume(mode)
  local unwell = trial:unwell()
  if unwell then found[#found + 1] = { id = "", text = way .. ": " .. unwell } end
  trial.records = records.read(trial.place)
  trial.lines = trial.lives[2].lines
  return trial
end

local function check_ended(found, programs, all, way)
  for _, program in ipairs(programs) do
    local root = all[program.name]
    if not root or root.task ~= "fulfilled" then
      local mark = {}
      for id, record in pairs(all) do
        if id:find(program.name .. ":", 1, true) == 1 and id:find("~parked", 1, true) then mark[#mark + 1] = record.value end
      end
      found[#found + 1] = { id = program.name, text = ("%s: %s did not end: promise %s, task %s %s"):format(way, program.name,
        root and root.state or "none", root and root.task or "none", table.concat(mark, " ")) }
    end
  end
end

-- Steps that are recorded now: id -> how often they ran.
local function freeze(trial, frozen)
  local runs
  for id, record in pairs(records.read(trial.place)) do
    if record.kind == "step" and record.state ~= "pending" and not frozen[id] then
      runs = runs or harness.ledger_of_ids(trial.place)
      frozen[id] = runs[id] or 0
    end
  end
end

local function check_frozen(found, trial, frozen, way)
  local runs = harness.ledger_of_ids(trial.place)
  for id, count in pairs(frozen) do
    if (runs[id] or 0) ~= count then
      found[#found + 1] = { id = id, text = ("%s: step %s was recorded after %d run(s) and ran again: %d"):format(way, id, count,
        runs[id] or 0) }
    end
  end
end

-- deaths(i): the i-th life's {point=, n=}, nil: it lives on; and its mode.
local function killed(programs, straight, deaths, found, way)
  local trial, frozen, kills = new_trial(programs), {}, 0
  local launched = false
  for i = 1, math.huge do
    local death, mode = deaths(i)
    mode = mode or "plain"
    local process
    if launched then process = trial:resume(mode, death) else process = trial:launch(mode, death) end
    if process.signal == 9 then
      kills = kills + 1
      way = way .. (" %s, %s"):format(mode, death.point and death.point .. ":" .. death.n or
        ("after %d us"):format(death.after_us)) .. ";"
      if kills % 3 == 1 and uv.fs_stat(trial.place.data .. "/data.mdb") then freeze(trial, frozen) end
    elseif launched then
      break
    elseif process.code ~= 0 then
      error("the programs do not start: " .. process.err, 0)
    else
      launched = true
    end
  end
  trial.records = records.read(trial.place)
  local unwell = trial:unwell()
  if unwell then found[#found + 1] = { id = "", text = way .. " " .. unwell } end
  check_ended(found, programs, trial.records, way)
  compare_records(found, straight.records, trial.records, way)
  trial.printed = { twice = 0 }
  compare_lives(found, trial.printed, straight.lines, trial.lives, way)
  check_frozen(found, trial, frozen, way)
  trial.kills = kills
  return trial
end

-- How often the lives of a trial went on from images, and how often they could have and did not.
local function images_of(trial, sum)
  sum = sum or {}
  for _, life in ipairs(trial.lives) do
    for what, count in pairs(life.images) do sum[what] = (sum[what] or 0) + count end
  end
  return sum
end

local function straight_and_evicted(programs, found)
  local straight = unkilled(programs, "plain", found, "straight")
  check_ended(found, programs, straight.records, "straight")
  for way, mode in pairs { evicted = "cold", restored = "image" } do
    local trial = unkilled(programs, mode, found, way)
    compare_records(found, straight.records, trial.records, way)
    compare_lines(found, straight.lines, trial.lines, way)
    if way == "restored" then straight.images = images_of(trial) end
    trial:remove()
  end
  return straight
end

-- For far_trial.lua.
M.lines_of, M.compare_lives = lines_of, compare_lives
function M.straight(programs)
  local found = {}
  local trial = unkilled(programs, "plain", found, "straight")
  check_ended(found, programs, trial.records, "straight")
  return trial, found
end

---------------------------------------------------------------------------------------------------- one alone

-- Runs one program in all ways, killed once at each write. Returns what is wrong and a way to try again, or nil.
local function alone(program, only)
  local found = {}
  local programs = { program }
  local straight = straight_and_evicted(programs, found)
  local way = #found > 0 and {}
  for _, point in ipairs(only and only.point and { only.point } or only and {} or harness.POINTS) do
    for n = 1, DEATHS_ALONE_MAX do
      if #found > 0 then break end
      local mode = only and only.mode or ({ "plain", "cold", "image", "tail" })[n % 4 + 1]
      local trial = killed(programs, straight, function(i)
        if i <= 2 then return i == 2 and { point = point, n = n } or nil, mode end
        return nil, mode
      end, found, "killed")
      if #found > 0 then way = { point = point, mode = mode } end
      trial:remove()
      if trial.kills == 0 then break end
    end
  end
  straight:remove()
  return found[1] and found[1].text, way
end

-- All places of the tree where a statement can be left out: {list, statement}, outer ones first.
local function places(nodes, list)
  list = list or {}
  for _, node in ipairs(nodes) do
    if not node.kept then list[#list + 1] = { nodes, node } end
    if node.body then places(node.body, list) end
    if node.other then places(node.other, list) end
  end
  return list
end

local function take_out(list, node)
  for i = 1, #list do
    if list[i] == node then return table.remove(list, i) and i end
  end
end

-- Leaves out what is not needed to fail in the way it did.
local function shrink(program, way)
  local ends = uv.hrtime() + SHRINK_S * 1e9
  local again = true
  while again do
    again = false
    local gone = {} -- lists inside of what was left out
    for _, place in ipairs(places(program.nodes)) do
      if uv.hrtime() > ends then return end
      local list, node = place[1], place[2]
      local index = not gone[list] and take_out(list, node)
      if index then
        local ran, wrong = pcall(alone, program, way)
        if ran and wrong then
          again = true
          for _, inner in ipairs(places({ node })) do gone[inner[1]] = true end
        else
          table.insert(list, index, node)
        end
      else
        for _, inner in ipairs(places({ node })) do gone[inner[1]] = true end
      end
    end
  end
end

local function repeat_command(name, value)
  return ("%s=%s lua5.4 /usr/bin/busted spec/lua/random_1_spec.lua"):format(name, value)
end

local function report(program, texts, batch_seed)
  local words = { ("program %s: %s"):format(program.name, table.concat(texts, "\n  ", 1, math.min(#texts, 5))) }
  local ran, wrong, way = pcall(alone, program)
  if not ran then
    words[#words + 1] = "alone: " .. wrong
  elseif wrong then
    shrink(program, way)
    words[#words + 1] = "alone: " .. (alone(program, way) or wrong)
  else
    words[#words + 1] = ("not alone, only in its batch: %s"):format(repeat_command("DA_BATCH", batch_seed))
  end
  words[#words + 1] = "repeat: " .. repeat_command("DA_PROGRAM", program.seed)
  words[#words + 1] = random_program.text(program)
  return table.concat(words, "\n")
end

---------------------------------------------------------------------------------------------------- batches

-- Where the next lives of a batch end. straight: how many commits an unkilled run takes.
local function batch_deaths(chance, commits, kills)
  local reach = math.max(2, 2 * commits // kills)
  return function(i)
    local mode = chance:pick { "plain", "cold", "image", "image", "tail", "tail" }
    if i > kills then return nil, mode end
    if chance:chance(15) then return { after_us = chance:int(2, 60) * 1000 }, mode end
    local point = chance:pick { "commit.before", "commit.before", "commit.after", "commit.after", "answer.before", "outbox.before" }
    local few = i == 1 or point == "outbox.before" -- the start is short, and most messages are spared
    return { point = point, n = chance:int(1, few and 3 or reach) }, mode
  end
end

function M.batch(seed, count)
  local chance = setmetatable({ state = seed }, random_program.G)
  local programs, by_name = {}, {}
  for i = 1, count do
    programs[i] = random_program.make(seed * 1000 + i)
    by_name[programs[i].name] = programs[i]
  end
  local found = {}
  local straight = straight_and_evicted(programs, found)
  local dead = killed(programs, straight, batch_deaths(chance, harness.commits(straight.place), KILLS), found, "killed")
  local result = { kills = dead.kills, rejected = 0, promises = 0, lines = 0,
    twice = dead.printed.twice, images = images_of(dead, straight.images) }
  for _, program in ipairs(programs) do
    local root = straight.records[program.name]
    if root and root.state == "rejected" then result.rejected = result.rejected + 1 end
  end
  for _ in pairs(straight.records) do result.promises = result.promises + 1 end
  for _, lines in pairs(straight.lines) do result.lines = result.lines + #lines end

  local blamed, order = {}, {}
  for _, finding in ipairs(found) do
    local name = program_of(finding.id) or ""
    if not blamed[name] then
      blamed[name] = {}
      order[#order + 1] = name
    end
    table.insert(blamed[name], finding.text)
  end
  if #found == 0 then
    straight:remove()
    dead:remove()
    return result
  end
  local words = { ("batch %d: %d of %d programs differ; kept: %s %s"):format(seed, #order, count, straight.place.dir, dead.place.dir) }
  for i, name in ipairs(order) do
    if i > REPORTED_MAX then break end
    local program = by_name[name]
    words[#words + 1] = program and report(program, blamed[name], seed) or table.concat(blamed[name], "\n")
  end
  result.failure = table.concat(words, "\n\n")
  return result
end

---------------------------------------------------------------------------------------------------- the spec

-- The tests of spec file `part`: its share of the programs, one test per batch. DA_PROGRAM=<seed> is one program alone,
-- DA_BATCH=<seed> one batch, DA_SEED=<seed> the whole run.
function M.describe(part)
  local one, batch = tonumber(os.getenv("DA_PROGRAM")), tonumber(os.getenv("DA_BATCH"))
  if one then
    return busted.it("program " .. one .. " comes to the same in every way", function()
      local program = random_program.make(math.tointeger(one))
      print(random_program.text(program))
      local wrong, way = alone(program)
      if wrong then
        shrink(program, way)
        error(wrong .. "\n\n" .. random_program.text(program), 0)
      end
    end)
  end
  local total = { programs = 0, kills = 0, promises = 0, lines = 0, rejected = 0, twice = 0 }
  local images = {}
  local function run(seed)
    local result = M.batch(seed, BATCH)
    total.programs = total.programs + BATCH
    for _, field in ipairs { "kills", "promises", "lines", "rejected", "twice" } do total[field] = total[field] + result[field] end
    for what, count in pairs(result.images) do images[what] = (images[what] or 0) + count end
    if result.failure then error(result.failure, 0) end
    assert(result.kills >= KILLS // 2, ("only %d lives were killed"):format(result.kills))
    assert(result.rejected * 2 < BATCH, ("%d programs failed: too many to mean something"):format(result.rejected))
  end
  if batch then
    return busted.it("batch " .. batch .. " comes to the same in every way", function() run(math.tointeger(batch)) end)
  end
  print("seed " .. harness.seed .. " (DA_SEED repeats it)")
  for i = 1, BATCHES do
    busted.it(("come to the same straight, evicted and killed, batch %d"):format(i), function()
      run((harness.seed % 1000003) * 1000 + part * 100 + i)
    end)
  end
  busted.it("went on from an image wherever there was one, or nearly", function()
    assert((images.restored or 0) > 20 * BATCHES, ("only %d executions went on from an image"):format(images.restored or 0))
    assert(images.restored >= 9 * images.refused, ("%d went on from an image, and %d had one and did not"):format(
      images.restored, images.refused))
  end)
  busted.teardown(function()
    print(("%d programs, %d kills, %d promises, %d ended in an error; of %d lines the killed runs printed %d again")
      :format(total.programs, total.kills, total.promises, total.rejected, total.lines, total.twice))
    local words = {}
    for what, count in pairs(images) do words[#words + 1] = count .. " " .. what end
    table.sort(words)
    print("images: " .. table.concat(words, ", "))
  end)
end

return M
