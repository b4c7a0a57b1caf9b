-- kill.lua - SIGKILL at every durable write of every example, at every write of the recovery, and at any instant.
--
-- Here:    describe(part): the tests of one of PARTS spec files (system/kill_1_spec.lua ...), so that processors share them.
--
-- For each case and each point of DAHOST_KILL the nth passing is the last, n = 1, 2, ... until a run ends unkilled.
-- Then again with a second death in the recovery: all pairs up to PAIRS_ALL passings, a sample of them above (--long:
-- all of them, at all points). Then RANDOM deaths from outside at random instants, spread over the cases. Then the
-- death of the process that brings a human's answer. What is demanded after each: head of spec/support/harness.lua.
--
-- SPDX-License-Identifier: Apache-2.0
local busted = require("busted")
local assert = require("luassert")
local all_cases = require("spec.support.cases")
local harness = require("spec.support.harness")

-- The same file runs evicted and with a sanitizer as well: there a sample of pairs and instants must do.
local few = harness.sanitized or harness.mode ~= nil
local PAIRS_ALL = few and 0 or 12
local PAIRS_SAMPLED = few and 8 or 24
local PARTS = 4
local RANDOM = (harness.long and 3000 or few and 60 or 300) // PARTS
local PASSES_MAX = 1000 -- a run that still dies after so many passings does not get anywhere
-- Where the first and the second death take place. A message that a death left behind is sent in the next life.
local PAIRS = {
  { "commit.before", "commit.before" },
  { "commit.after", "commit.after" },
  { "commit.after", "outbox.before" },
}
if harness.long then
  PAIRS = {}
  for _, first in ipairs(harness.POINTS) do
    for _, second in ipairs(harness.POINTS) do PAIRS[#PAIRS + 1] = { first, second } end
  end
end

local M = {}

function M.describe(part)
  local it, describe = busted.it, busted.describe
  local cases = {}
  for i = part, #all_cases, PARTS do cases[#cases + 1] = all_cases[i] end
  local commits_before = harness.commits_of_an_empty_store()
  local messages_lost = 0 -- deaths at outbox.before
  print("seed " .. harness.seed .. " (DA_SEED repeats it)")
  math.randomseed(harness.seed)

  -- Dies at passing 1, 2, ... of `point` until a run ends unkilled. Returns kills and the writes of that last run.
  local function every_passing(case, point)
    for n = 1, PASSES_MAX do
      local run = harness.play(case, { { point = point, n = n } }, case.result)
      if run.kills == 0 then return n - 1, run.commits - commits_before end
    end
    error(("%s still dies at %s:%d"):format(case.name, point, PASSES_MAX))
  end

  for _, case in ipairs(cases) do
    describe(case.name, function()
      local passings = {} -- point -> how often an unkilled run passes it

      for _, point in ipairs(harness.POINTS) do
        it("survives a death at each " .. point, function()
          local kills, writes = every_passing(case, point)
          passings[point] = kills
          if point == "outbox.before" then messages_lost = messages_lost + kills end
          print(("%-20s %-14s %3d durable writes, %3d kills"):format(case.name, point, writes, kills))
          if point:find("^commit") then
            assert.is_true(kills >= writes, ("%d kills for %d durable writes"):format(kills, writes))
          end
          -- Most messages are spared: an execution that this process runs on needs none.
          if point ~= "outbox.before" then assert.is_true(kills >= 1, "no run was killed") end
        end)
      end

      it("survives a second death during the recovery", function()
        local kills, second_deaths, plans = 0, 0, 0
        local function both(points, first, second)
          local plan = { { point = points[1], n = first }, { point = points[2], n = second } }
          local run = harness.play(case, plan, case.result)
          kills, plans = kills + run.kills, plans + 1
          if run.kills == 2 then
            second_deaths = second_deaths + 1
            if points[2] == "outbox.before" then messages_lost = messages_lost + 1 end
          end
          return run.kills == 2
        end
        for _, points in ipairs(PAIRS) do
          local count = assert(passings[points[1]], "the case before this one failed")
          if count <= PAIRS_ALL or harness.long then
            for first = 1, count do
              local second = 1
              while both(points, first, second) do
                second = second + 1
                assert(second < PASSES_MAX)
              end
            end
          else
            for _ = 1, PAIRS_SAMPLED do
              local first = math.random(count)
              both(points, first, points[2] == "outbox.before" and 1 or math.random(count - first + 1))
            end
          end
        end
        print(("%-20s %-14s %3d plans of two, %d kills"):format(case.name, "in recovery", plans, kills))
        assert.is_true(4 * second_deaths >= plans, "hardly a second death took place")
      end)
    end)
  end

  it("has been in the way of messages too", function()
    assert.is_true(messages_lost > 0, "no process died before it sent a message")
  end)

  -- The store is at rest; the process that dies is the one that brings the human's answer.
  for _, point in ipairs(part == 1 and harness.POINTS or {}) do
    it("loses no answer that was acknowledged, given while nothing runs, " .. point, function()
      local case = assert(all_cases.named("order, shipped"))
      local id, value = next(case.answers)
      local asked = harness.until_asked(case)
      local deaths, done = 0, nil
      for n = 1, PASSES_MAX do
        local env = harness.case_env(case, asked, { DAHOST_KILL = point .. ":" .. n })
        done = harness.dahost({ "promise", "resolve", id, value }, { env = env })
        if done.signal ~= 9 then break end
        deaths = deaths + 1
        assert.equal(0, harness.dahost({ "verify" }, { env = harness.case_env(case, asked) }).code)
        local state = harness.promise(case, asked, id).promise
        assert.is_true(state == "pending" or state == "resolved", state)
      end
      assert.equal(0, done.code, done.err)
      assert.equal("resolved", harness.promise(case, asked, id).promise)
      assert.equal(case.result, harness.finish(case, asked).out)
      harness.remove(asked)
      print(("%-20s %-14s %3d kills"):format("an answer at rest", point, deaths))
      if point:find("^commit") then assert.is_true(deaths >= 1) end
    end)
  end

  it("survives a death at any instant", function()
    local kills, runs = 0, 0
    local span_us = {} -- how long a life of the case takes; it follows what the runs show
    while kills < RANDOM do
      local case = cases[runs % #cases + 1]
      runs = runs + 1
      assert(runs <= 4 * RANDOM, "the runs end before they can be killed")
      span_us[case] = span_us[case] or harness.play(case, {}, case.result).seconds * 1e6
      local run = harness.play(case, { { after_us = math.random(0, math.floor(span_us[case])) } }, case.result)
      kills = kills + run.kills
      span_us[case] = span_us[case] * (run.kills == 1 and 1.02 or 0.9) + 100
    end
    print(("%-20s %-14s %3d runs, %d kills"):format("all", "any instant", runs, kills))
  end)
end

return M
