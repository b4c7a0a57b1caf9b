-- kill_spec.lua - SIGKILL at every durable write of every example, at every write of the recovery, and at any instant.
--
-- For each case and each point of DAHOST_KILL the nth passing is the last, n = 1, 2, ... until a run ends unkilled.
-- Then again with a second death in the recovery: all pairs up to PAIRS_ALL passings, a sample of them above (--long:
-- all of them, at all points). Then RANDOM deaths from outside at random instants, spread over the cases. Then the
-- death of the process that brings a human's answer. What is demanded after each: head of spec/support/harness.lua.
--
-- SPDX-License-Identifier: Apache-2.0
local cases = require("spec.support.cases")
local harness = require("spec.support.harness")

local PAIRS_ALL = 12
local PAIRS_SAMPLED = harness.sanitized and 8 or 24
local RANDOM = harness.long and 3000 or harness.sanitized and 60 or 300
local PASSES_MAX = 1000 -- a run that still dies after so many passings does not get anywhere
-- The second death: where the two sides of a flush differ most.
local PAIR_POINTS = harness.long and harness.POINTS or { "commit.before", "commit.after" }

describe("kill", function()
  local commits_before = harness.commits_of_an_empty_store()
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
          print(("%-20s %-14s %3d durable writes, %3d kills"):format(case.name, point, writes, kills))
          if point:find("^commit") then
            assert.is_true(kills >= writes, ("%d kills for %d durable writes"):format(kills, writes))
          end
          -- A case without child executions and waits sends no message.
          if point ~= "outbox.before" then assert.is_true(kills >= 1, "no run was killed") end
        end)
      end

      it("survives a second death during the recovery", function()
        local kills, runs = 0, 0
        local function both(point, first, second)
          local run = harness.play(case, { { point = point, n = first }, { point = point, n = second } }, case.result)
          kills, runs = kills + run.kills, runs + 1
          return run.kills
        end
        for _, point in ipairs(PAIR_POINTS) do
          local count = assert(passings[point], "the case before this one failed")
          if count <= PAIRS_ALL or harness.long then
            for first = 1, count do
              local second = 1
              while both(point, first, second) == 2 do
                second = second + 1
                assert(second < PASSES_MAX)
              end
            end
          else
            for _ = 1, PAIRS_SAMPLED do
              local first = math.random(count)
              both(point, first, math.random(count - first + 1))
            end
          end
        end
        print(("%-20s %-14s %3d plans of two, %d kills"):format(case.name, "in recovery", runs, kills))
        assert.is_true(kills > runs, "hardly a second death took place")
      end)
    end)
  end

  -- The store is at rest; the process that dies is the one that brings the human's answer.
  for _, point in ipairs(harness.POINTS) do
    it("loses no answer that was acknowledged, given while nothing runs, " .. point, function()
      local case = assert(cases.named("order, shipped"))
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
end)
