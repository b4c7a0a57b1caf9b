-- schedule_random_spec.lua - random requests about schedules, and sweeps that fire them: the engine against the oracle.
--
-- DA_SEED repeats a run; DA_OPS asks for more requests.
--
-- SPDX-License-Identifier: Apache-2.0
local gen = require("spec.support.gen")
local lockstep = require("spec.support.lockstep")
local oracle = require("spec.support.oracle")
local probe = require("da_probe")

local OPS = tonumber(os.getenv("DA_OPS")) or (os.getenv("DA_LONG") == "1" and 100000 or 5000)
local WORLD_OPS = 60
local IDS = { "a", "b", "b.c", "c d", "\u{e9}" }
local CRONS = { "* * * * * *", "*/5 * * * * *", "1,7,30 * * * * *", "0 * * * * *", "* * * * *", "*/2 * * * *", "0 0 31 2 *" }
local BAD_CRONS = { "", "* * * *", "61 * * * *", "x * * * *", "*/0 * * * *", "* * 32 * *", "@foo" }
local TEMPLATES = { "{{.id}}.{{.timestamp}}", "{{.timestamp}}/{{.id}}", "once-{{.id}}", "{{.id}}{{.id}}", "{{.x}}{{.id}}{{.timestamp}}{{" }

local function declaration(g)
  local tags = { ["resonate:target"] = g:pick({ "http://w1", "poll://any@g", "http://w2" }), team = g:pick({ "x", "y" }) }
  if g:chance(15) then tags["resonate:origin"] = "elsewhere" end
  if g:chance(15) then tags["resonate:timer"] = "true" end
  return {
    id = g:pick(IDS), cron = g:pick(CRONS), promiseId = g:pick(TEMPLATES),
    promiseTimeout = g:pick({ 0, 1, 900, 5000, 90000, 9007199254740991 }), promiseTags = tags,
    promiseParam = g:chance(50) and { data = g:pick({ "", "x" }), headers = g:chance(30) and { h = "1" } or nil } or nil,
    catchUp = g:chance(30) and g:pick({ "last", "none" }) or nil,
  }
end

local function flawed(g)
  local d = declaration(g)
  local flaw = g:int(8)
  if flaw == 1 then d.id = g:pick({ "", "a:b", ("x"):rep(201), "a\0" })
  elseif flaw == 2 then d.cron = g:pick(BAD_CRONS)
  elseif flaw == 3 then d.promiseId = g:pick({ "", ":x", ("y"):rep(300) .. "{{.timestamp}}", "a\0{{.id}}" })
  elseif flaw == 4 then d.promiseTimeout = g:pick({ -1, 1.5 })
  elseif flaw == 5 then d.promiseTags = g:pick({ {}, { ["resonate:target"] = "" }, { a = 7 } })
  elseif flaw == 6 then d.promiseTags = nil
  elseif flaw == 7 then d[g:pick({ "id", "cron", "promiseId", "promiseTimeout" })] = nil
  else d.promiseParam = g:pick({ 7, "x", { data = 7 } }) end
  return d
end

local KINDS = { "create", "create", "declare", "declare", "flawed", "get", "delete", "search", "sweep", "sweep", "sweep",
  "sweep", "promise", "settle", "acquire" }

local function request(g, o)
  local kind = g:pick(KINDS)
  local some = o.ids[1] and g:pick(o.ids) or "none"
  if kind == "create" then return "schedule.create", declaration(g) end
  if kind == "declare" then return "schedule.declare", declaration(g) end
  if kind == "flawed" then return g:pick({ "schedule.create", "schedule.declare" }), flawed(g) end
  if kind == "get" then return "schedule.get", { id = g:pick({ "", "none", g:pick(IDS), g:pick(IDS), g:pick(IDS) }) } end
  if kind == "delete" then return "schedule.delete", { id = g:pick({ "", "none", g:pick(IDS), g:pick(IDS) }) } end
  if kind == "search" then
    return "schedule.search", { limit = g:pick({ 1, 2, 3, 0, 1001, oracle.null }),
      cursor = g:chance(50) and g:pick({ "", "b", "a", "zz", ("x"):rep(400), oracle.null }) or nil,
      tags = g:chance(30) and g:pick({ { team = "x" }, {}, { other = "y" } }) or nil }
  end
  if kind == "promise" then return "promise.get", { id = some } end
  if kind == "settle" then return "promise.settle", { id = some, state = "resolved" } end
  if kind == "acquire" then return "task.acquire", { id = some, version = 0, pid = "w", ttl = 2000 } end
  return "sweep", {}
end

local PROFILES = { {}, {}, {}, { cron_dow = "unix" }, { cron_never = "reject" }, { id_dialect = "dot" }, { timer_target = "reject" },
  { arm = "all" } }

describe("random requests about schedules", function()
  local seed = lockstep.seed()
  local counts = { fired = 0, ok = 0, refused = 0 }

  it("find the engine and the oracle of one mind", function()
    local g = gen.new(seed)
    local o, world, now, left = nil, nil, 1000000 + g:int(1000), 0
    for op = 1, OPS do
      if left == 0 then
        local profile = g:pick(PROFILES)
        o, left = oracle.new({ profile = profile }), WORLD_OPS
        if world then world:close() end
        world = probe.new({ kind = "memory", profile = profile })
      end
      left = left - 1
      if g:chance(50) then now = now + g:pick({ 1, 300, 1000, 1000, 5000, 20000, g:chance(20) and 90000 + g:int(9000) or 3000 }) end
      local kind, data = request(g, o)
      local before = #o.ids
      local want, want_messages = o:apply({ kind = kind, data = data }, now)
      local got, got_messages = lockstep.apply(world, { kind = kind, data = data }, now)
      local where = ("seed %d, request %d at %d: %s %s: "):format(seed, op, now, kind, lockstep.show(data))
      assert.is_truthy(got, where .. tostring(got_messages))
      local same, words = oracle.agrees(want, got)
      assert.is_true(same, where .. tostring(words))
      same, words = lockstep.same_messages(want_messages, got_messages)
      assert.is_true(same, where .. tostring(words))
      local after = o:snapshot()
      same, words = oracle.same(lockstep.as_kept(after), world:snapshot())
      assert.is_true(same, where .. tostring(words))
      assert.same({}, world:check(now), where)
      for _, s in ipairs(after.schedules) do assert.same({}, oracle.schedule_violations(s, now), where) end
      assert.same({}, o:invariants(now) or {}, where)
      assert.equal(#after.schedules, #world:dues("schedule"), where)
      if kind == "sweep" then counts.fired = counts.fired + #o.ids - before end
      if want.status == 200 then counts.ok = counts.ok + 1 else counts.refused = counts.refused + 1 end
    end
  end)

  it("fire, succeed and fail often enough to mean something", function()
    print(("seed %d: %d requests, %d fired, %d succeeded, %d refused"):format(seed, OPS, counts.fired, counts.ok, counts.refused))
    assert.is_true(counts.fired > OPS / 10)
    assert.is_true(counts.ok > OPS / 4)
    assert.is_true(counts.refused > OPS / 20)
  end)
end)
