-- fleet_spec.lua - a server and workers of two groups, all of them processes, each behind a link of its own, under all that
-- may befall processes and links: SIGKILL, SIGSTOP past a lease, SIGTERM, cuts, silence, one way alone, delay, a break
-- in the middle of a message.
--
-- The scripts are those of system/fleet/, what they come to is system/fleet/straight.lua, what is demanded of the store at
-- the end is the head of support/fleet_check.lua. DA_SEED repeats what befalls whom and when; what runs meanwhile is
-- up to the machine. DA_LONG=1: five minutes, 200 executions.
--
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local fleet = require("spec.support.fleet")
local fleet_check = require("spec.support.fleet_check")
local harness = require("spec.support.harness")
local json = require("dkjson")
local net_space = require("spec.support.net_space")
local probe = require("da_probe")
local straight = require("spec.system.fleet.straight")
local uv = require("luv")

local EMPTY = setmetatable({}, { __jsontype = "object" })
local SLOW = harness.sanitized
local LEASE_MS = SLOW and 3000 or 1000
local SCRIPTS = uv.cwd() .. "/spec/system/fleet/"

-- How many executions, in how many seconds of troubles, one of them about each so many ms.
local RUN = harness.long and { executions = 200, seconds = 300, every = 700 }
  or SLOW and { executions = 12, seconds = 8, every = 1500 } or { executions = 40, seconds = 9, every = 350 }

local KINDS = {}
for name in pairs(straight) do
  local group, func = name:match("^(%a+)%.(%a+)$")
  KINDS[#KINDS + 1] = { group = group, func = func }
end
table.sort(KINDS, function(a, b) return a.group .. a.func < b.group .. b.func end)

describe("a fleet of workers", function()
  local place, journal

  before_each(function()
    place = cli.begin(true)
    journal = place.dir .. "/journal"
    place:write("journal", "")
  end)
  after_each(cli.finish)

  -- Two of each group, or of that one alone.
  local function workers(only)
    local list = {}
    for i, name in ipairs { "a1", "a2", "b1", "b2" } do
      local group = i <= 2 and "alpha" or "beta"
      -- One of each group has its id again when it comes again, one has another each time.
      local flags = i % 2 == 1 and { "--pid", name } or { "--step-threads", "2" }
      table.move({ "--shutdown-timeout", "1s" }, 1, 2, #flags + 1, flags)
      if not only or only == group then
        list[#list + 1] = { name = name, group = group, files = { SCRIPTS .. group .. ".lua" }, flags = flags }
      end
    end
    return list
  end

  -- The words of a server that runs these groups itself.
  local function served(...)
    local words = { "--retry-timeout", "1s" }
    for _, group in ipairs { ... } do words[#words + 1] = group .. "=" .. SCRIPTS .. group .. ".lua" end
    return words
  end

  local function invoke(all, root)
    all:demand("promise.create", { id = root.id, timeoutAt = fleet.now_ms() + 900000,
      param = { headers = EMPTY, data = probe.base64(json.encode { func = root.func, args = { root.n }, version = 1 }) },
      tags = { ["resonate:target"] = "poll://any@" .. root.group, ["resonate:origin"] = root.id, ["resonate:branch"] = root.id,
        ["resonate:parent"] = root.id, ["resonate:scope"] = "global" } })
  end

  -- Invokes them one by one over the time of the troubles, and waits until all have ended.
  local function drive(all, watch, random, run)
    local roots, ended, count, began, looked = {}, {}, 0, fleet.now_ms(), 0
    local every = run.seconds * 1000 // run.executions
    local function words()
      local open = {}
      for _, root in ipairs(roots) do
        if not ended[root.id] then open[#open + 1] = root.id .. " " .. root.func end
      end
      return "the end of " .. table.concat(open, ", ")
    end
    all:wait(words, function()
      while #roots < run.executions and #roots * every <= fleet.now_ms() - began do
        local kind = KINDS[(#roots + harness.seed) % #KINDS + 1]
        local root = { id = ("f%03d"):format(#roots + 1), group = kind.group, func = kind.func, n = random(1, 9) }
        roots[#roots + 1] = root
        invoke(all, root)
      end
      if fleet.now_ms() - looked < 200 then return false end
      local asked, requests = {}, {}
      for _, root in ipairs(roots) do
        if not ended[root.id] then
          asked[#asked + 1], requests[#requests + 1] = root, { "promise.get", { id = root.id } }
        end
      end
      for i, answer in ipairs(all:ask(requests)) do
        assert(answer[1] == 200, asked[i].id .. ": " .. tostring(answer[2]))
        if watch:keep(answer[2].promise).state ~= "pending" then ended[asked[i].id], count = true, count + 1 end
      end
      if watch.looks <= (fleet.now_ms() - began) // 1000 then watch:look() end
      looked = fleet.now_ms()
      return count == run.executions
    end, run.seconds + 120)
    return roots, fleet.now_ms() - began
  end

  local function play(options, run)
    local random = fleet.random(harness.seed)
    options.env = { FLEET_JOURNAL = journal, FLEET_STEP_MS = "8" }
    options.lease, options.serve = LEASE_MS, options.serve or served()
    local all = fleet.new(place, options):start()
    local watch = fleet_check.watch(all)
    local troubles = run.troubled and all:troubles(random, run.seconds, run.every) or {}
    all:befall(troubles)
    local done, roots, took = pcall(drive, all, watch, random, run)
    if not done then
      error(("DA_SEED=%d\n%s\nplanned:\n%s"):format(harness.seed, tostring(roots), fleet.describe(troubles)), 0)
    end
    for _, name in ipairs(all.names) do all:resume(name) end
    all:stop(true)
    local good, figures = pcall(fleet_check.check, all, watch, roots, place:read("journal"), straight)
    if not good then error(("DA_SEED=%d\n%s"):format(harness.seed, tostring(figures)), 0) end
    local befell = {}
    for name, count in pairs(all.befallen or {}) do befell[#befell + 1] = count .. " " .. name end
    table.sort(befell)
    print(("%s: %d executions in %.1f s, %d times a task was taken up, %d attempts of steps (%d repeated, %d of what was recorded), "
      .. "%d records held against versions, %d looks; %s"):format(options.link, #roots, took / 1000, figures.acquired,
      figures.attempts, figures.repeated, figures.after, figures.fenced, watch.looks, table.concat(befell, ", ")))
    return figures, all
  end

  print("seed " .. harness.seed .. " (DA_SEED repeats it)")

  it("is not needed by a server that runs all by itself, and dies", function()
    local run = { executions = #KINDS, seconds = 5, every = 500, troubled = true }
    play({ link = "relay", workers = {}, serve = served("alpha", "beta") }, run)
  end)

  it("does each step once when nothing befalls it", function()
    local figures = play({ link = "relay", workers = workers() }, { executions = #KINDS, seconds = 2 })
    assert.are.same({ 0, 0 }, { figures.repeated, figures.after })
    assert.is_true(figures.steps > #KINDS)
  end)

  it("comes to what it should, and records each step once, whatever befalls it", function()
    local run = { executions = RUN.executions, seconds = RUN.seconds, every = RUN.every, troubled = true }
    local figures = play({ link = "relay", workers = workers() }, run)
    assert.is_true(figures.steps > 2 * run.executions)
  end)

  it("comes to what it should beside a server that runs one of the groups itself", function()
    local run = { executions = RUN.executions // 2, seconds = RUN.seconds // 2, every = RUN.every, troubled = true }
    play({ link = "relay", workers = workers("alpha"), serve = served("beta") }, run)
  end)

  it("comes to what it should behind cables that are pulled", function()
    local why = net_space.why_not()
    if why then
      print("no network namespaces here, the relays alone were in the way: " .. why)
      return
    end
    local run = { executions = RUN.executions // 2, seconds = RUN.seconds // 2, every = RUN.every, troubled = true }
    play({ link = "space", workers = workers() }, run)
  end)
end)
