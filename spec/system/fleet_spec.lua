-- fleet_spec.lua - workflows whose trees cross two groups, under all that may befall the processes that run them.
--
-- The scripts are those of system/fleet/, what they come to is system/fleet/straight.lua, what is demanded of the store at
-- the end is the head of support/fleet_check.lua. DA_SEED repeats what befalls whom and when; what runs meanwhile is
-- up to the machine.
--
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local fleet = require("spec.support.fleet")
local fleet_check = require("spec.support.fleet_check")
local harness = require("spec.support.harness")
local json = require("dkjson")
local probe = require("da_probe")
local straight = require("spec.system.fleet.straight")
local uv = require("luv")

local EMPTY = setmetatable({}, { __jsontype = "object" })
local SLOW = harness.sanitized
local LEASE_MS = SLOW and 3000 or 1000
local SCRIPTS = uv.cwd() .. "/spec/system/fleet/"

local KINDS = {}
for name in pairs(straight) do
  local group, func = name:match("^(%a+)%.(%a+)$")
  KINDS[#KINDS + 1] = { group = group, func = func }
end
table.sort(KINDS, function(a, b) return a.group .. a.func < b.group .. b.func end)

describe("a fleet", function()
  local place, journal

  before_each(function()
    place = cli.begin()
    journal = place.dir .. "/journal"
    place:write("journal", "")
  end)
  after_each(cli.finish)

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
    options.lease, options.serve = LEASE_MS, options.serve or { "--retry-timeout", "1s" }
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
    play({ link = "relay", workers = {}, serve = { "--retry-timeout", "1s", "alpha=" .. SCRIPTS .. "alpha.lua",
      "beta=" .. SCRIPTS .. "beta.lua" } }, run)
  end)
end)
