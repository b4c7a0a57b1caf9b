-- fleet_check_spec.lua - what a fleet's store is held against finds what it is there to find.
--
-- A small history that is well, and changes of it, each of which must be found out, by its sentence.
--
-- SPDX-License-Identifier: Apache-2.0
local fleet_check = require("spec.support.fleet_check")
local json = require("dkjson")
local probe = require("da_probe")

-- Execution x made steps x:a.1 (version 1, by process 10) and x:b.1 (version 2, by process 20, which took over).
local function history()
  local function value(data, headers) return { data = probe.base64(json.encode(data)), headers = headers } end
  local function step(id, at, version, own, token)
    return { id = id, state = "resolved", createdAt = at, settledAt = at, timeoutAt = 1 << 40,
      param = { headers = { ["da-call"] = ("step %d 7 0a %d 0b x.lua f"):format(own, version) } },
      value = value(5, { ["da-own"] = tostring(own), ["da-rest"] = '["' .. token .. '"]' }),
      tags = { ["resonate:scope"] = "local", ["resonate:branch"] = "x", ["resonate:parent"] = "x", ["resonate:origin"] = "x" } }
  end
  return {
    promises = {
      { id = "x", state = "resolved", createdAt = 100, settledAt = 9000, timeoutAt = 1 << 40, param = value { func = "f" },
        value = value { value = 10, seen = { ["x:a.1"] = "ta", ["x:b.1"] = "tb" } }, tags = { ["resonate:target"] = "poll://any@g" } },
      step("x:a.1", 1000, 1, 1, "ta"),
      step("x:b.1", 8000, 2, 2, "tb"),
    },
    tasks = { { id = "x", state = "fulfilled", version = 2 } },
    lines = { "begin 900 x:a.1 1 ta 10", "end 950 x:a.1 1 ta 10", "begin 1100 x:b.1 1 t0 10", "begin 7000 x:b.1 1 tb 20",
      "end 7900 x:b.1 1 tb 20" },
    roots = { { id = "x", group = "g", func = "f", n = 5 } },
    straight = { ["g.f"] = function(n) return 2 * n end },
    fleet = { lease_ms = 1000, names = { "server", "w1", "w2" }, members = {
      server = { lives = { { pid = 1, began = 0 } }, windows = {} },
      w1 = { lives = { { pid = 10, began = 50, ended_at = 2000 } }, windows = {} },
      w2 = { lives = { { pid = 20, began = 50 } }, windows = {} } } },
    watch = { settled = {}, versions = { x = 1 } },
  }
end

local function judge(change)
  local given = history()
  if change then change(given, given.promises[1], given.promises[2], given.promises[3], given.lines) end
  given.journal = table.concat(given.lines, "\n") .. "\n"
  return fleet_check.judge(given)
end

describe("what is demanded of a fleet", function()
  it("is met by a history that is well", function()
    local faults, figures = judge()
    assert.are.same({}, faults)
    assert.are.same({ seen = 2, fenced = 2, steps = 2, repeated = 1, after = 0, attempts = 3, acquired = 2 }, figures)
  end)

  local CASES = {
    ["x should come to 10"] = function(_, x) x.value.data = probe.base64 '{"value":11,"seen":{}}' end,
    ["x should come to 10 and is rejected"] = function(_, x) x.state = "rejected" end,
    ["y is not there"] = function(given) given.roots[2] = { id = "y", group = "g", func = "f", n = 1 } end,
    ["x saw x:c.1, which is not recorded"] = function(_, x)
      x.value.data = probe.base64 '{"value":10,"seen":{"x:c.1":"tc"}}'
    end,
    ["x saw another attempt of x:b.1"] = function(_, x) x.value.data = probe.base64 '{"value":10,"seen":{"x:b.1":"t0"}}' end,
    ["x:b.1 is pending"] = function(_, _, _, b) b.state, b.settledAt = "pending", nil end,
    ["the task x is suspended"] = function(given) given.tasks[1].state = "suspended" end,
    ["the task x was at version 3"] = function(given) given.watch.versions.x = 3 end,
    ["x:a.1 was settled and is another"] = function(given, _, a)
      given.watch.settled["x:a.1"] = { id = a.id, state = "rejected", value = a.value, settledAt = a.settledAt }
    end,
    ["x:gone was shown and is gone"] = function(given) given.watch.settled["x:gone"] = { id = "x:gone", state = "resolved" } end,
    ["x:b.1 was written under version 1 of x after something under 2"] = function(_, _, a, b)
      a.param.headers["da-call"], b.param.headers["da-call"] = b.param.headers["da-call"], a.param.headers["da-call"]
    end,
    ["tells a version that there never was"] = function(given) given.tasks[1].version = 1 given.watch.versions.x = 1 end,
    ["have one number in x: 1"] = function(_, _, _, b) b.value.headers["da-own"] = "1" end,
    ["x:b.1 is number 1 of x and was settled after x:a.1, number 2"] = function(_, _, a, b)
      a.value.headers["da-own"], b.value.headers["da-own"] = "2", "1"
    end,
    ["x:b.1 is recorded as what no attempt of it returned"] = function(_, _, _, b) b.value.headers["da-rest"] = '["no"]' end,
    ["x:c.1 was done and is not recorded"] = function(_, _, _, _, lines) lines[#lines + 1] = "begin 8100 x:c.1 1 tc 20" end,
    ["attempt x:b.1 1 was made again for no reason, 5900 ms later"] = function(given)
      given.fleet.members.w1.lives[1].ended_at = nil
    end,
    ["x:b.1 1 was begun 500 ms after it was recorded"] = function(_, _, _, _, lines)
      lines[#lines + 1] = "begin 8500 x:b.1 1 late 20"
    end,
  }
  for sentence, change in pairs(CASES) do
    it("finds: " .. sentence, function()
      local faults = judge(change)
      local found = false
      for _, words in ipairs(faults) do found = found or words:find(sentence, 1, true) ~= nil end
      assert.is_true(found, "found is: " .. table.concat(faults, "; "))
    end)
  end

  it("excuses who was apart for longer than its lease, and only then", function()
    local function late_by_w2(given, lines) -- w2 goes on with what w1 has recorded meanwhile
      lines[#lines + 1] = "begin 8500 x:b.1 1 late 20"
      given.fleet.members.w2.windows[1] = { from = 6000, to = 8400 }
    end
    assert.are.same({}, (judge(function(given, _, _, _, lines) late_by_w2(given, lines) end)))
    local faults = judge(function(given, _, _, _, lines)
      late_by_w2(given, lines)
      given.fleet.members.w2.windows[1] = { from = 10, to = 400 }
    end)
    assert.is_true(#faults > 0)
  end)
end)
