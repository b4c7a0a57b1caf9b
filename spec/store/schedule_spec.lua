-- schedule_spec.lua - schedules in a store: there and back, in order, safe on bytes that nobody wrote, found when damaged.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")

local ZONE = assert(kit.probe.zone("Europe/Vienna"))

local function schedule(id, more)
  local s = { id = id, cron = "* * * * *", promiseId = "{{.id}}.{{.timestamp}}", promiseTimeout = 0, promiseParam = {},
    promiseTags = { ["resonate:target"] = "poll://any@g" }, createdAt = 1000, nextRunAt = 60000 }
  for key, value in pairs(more or {}) do s[key] = value end
  return s
end

local FULL = schedule("report-eu", {
  cron = "30 6 * * mon-fri", unix = true, zone = "Europe/Vienna", zoneBytes = ZONE, catchUp = "none",
  promiseTimeout = 9007199254740991, promiseParam = { data = '{"func":"f"}', headers = { a = "1" }, encoding = "json" },
  promiseTags = { ["resonate:target"] = "poll://any@default", mine = "x", [""] = "y" },
  call = { kind = 1, ordinal = 0, line = 12, file = "report.lua", func = "daily", args = ("A"):rep(16), bundle = ("B"):rep(16) },
  createdAt = 1750000000000, nextRunAt = 1750000060000, lastRunAt = 1750000050000,
})

local function ids_of(list)
  local ids = {}
  for i, s in ipairs(list) do ids[i] = s.id end
  return ids
end

kit.both("a store", function(open)
  it("gives schedules back as it was given them", function()
    local w = open()
    for _, s in ipairs({ FULL, schedule("a"), schedule("b", { nextRunAt = 9007199254740991, catchUp = "last" }),
      schedule("\u{e9} !", { promiseParam = { data = ("p"):rep(90000) } }) }) do
      assert(w:write_schedule(s))
      assert.same(s, w:schedule(s.id))
    end
    assert.equal(4, w:stat().schedules)
    assert(w:reopen())
    assert.same(FULL, w:schedule("report-eu"))
  end)

  it("gives them in the order of their ids, replaced and deleted ones too", function()
    local w = open()
    for _, id in ipairs({ "b", "a-", "a", "a.b", "a b", "\u{e9}", "z" }) do assert(w:write_schedule(schedule(id))) end
    assert.same({ "a", "a b", "a-", "a.b", "b", "z", "\u{e9}" }, ids_of(w:schedules()))
    assert.same({ "b", "z", "\u{e9}" }, ids_of(w:schedules("a.b")))
    assert.same({ "a.b", "b", "z", "\u{e9}" }, ids_of(w:schedules("a-" .. ("x"):rep(500))))
    assert.same({}, ids_of(w:schedules("\u{e9}")))
    assert(w:write_schedule(schedule("b", { cron = "@daily" })))
    assert.equal("@daily", w:schedule("b").cron)
    assert(w:write_schedule(schedule("b"), "del"))
    assert(w:write_schedule(schedule("never"), "del"))
    assert.is_nil(w:schedule("b"))
    assert.same({ "z", "\u{e9}" }, ids_of(w:schedules("a.b")))
    for _, id in ipairs({ "", "never", ("x"):rep(600) }) do assert.is_nil(w:schedule(id)) end
  end)

  it("refuses ids that no schedule can have", function()
    local w = open()
    for _, id in ipairs({ "", ("x"):rep(201) }) do
      local done, name = w:write_schedule(schedule(id))
      assert.same({ nil, "EINVAL" }, { done, name })
    end
  end)
end)

kit.both("the record of a schedule", function(open)
  local function read(w)
    local ok, s = pcall(w.schedule, w, "report-eu")
    return ok and s or nil, not ok and tostring(s):match("^%u+") or nil
  end

  it("that is cut off, or of another version, is told as that", function()
    local w = open()
    assert(w:write_schedule(FULL))
    local key, bytes = table.unpack(w:rows("sched")[1])
    for len = 0, #bytes - 1 do
      w:poke("sched", key, bytes:sub(1, len))
      local s, name = read(w)
      assert.same({ nil, "ECORRUPT" }, { s, name }, len)
    end
    w:poke("sched", key, bytes .. "\0")
    assert.equal("ECORRUPT", (select(2, read(w))))
    w:poke("sched", key, string.char(bytes:byte(1) + 1) .. bytes:sub(2))
    assert.equal("EVERSION", (select(2, read(w))))
  end)

  it("with bytes changed is read or refused, never past its end", function()
    local w = open()
    assert(w:write_schedule(FULL))
    local key, bytes = table.unpack(w:rows("sched")[1])
    local random, refused = kit.random(kit.seed()), 0
    for _ = 1, 2000 do
      local at = random(#bytes)
      w:poke("sched", key, bytes:sub(1, at - 1) .. kit.bytes(random, random(3)) .. bytes:sub(at + 1))
      if not read(w) then refused = refused + 1 end
    end
    assert.is_true(refused > 100)
  end)
end)

kit.both("verify", function(open)
  local function furnish(w)
    for _, id in ipairs({ "a", "b" }) do
      local s = schedule(id)
      local reply = w:apply({ kind = "schedule.create", data = s }, 1000)
      assert.equal(200, reply.status, reply.data)
    end
    assert.same({}, w:verify())
  end

  local function named(what, change)
    it("names " .. what, function()
      local w = open()
      furnish(w)
      change(w)
      local names = {}
      for _, fault in ipairs(w:verify()) do names[fault.what] = fault.id end
      assert.is_truthy(names[what], what)
    end)
  end

  named("sched.record", function(w) w:poke("sched", "a", "\xff") end)
  named("sched.record", function(w) w:poke("sched", "c", "") end)
  named("sched.cron", function(w) assert(w:write_schedule(schedule("a", { cron = "* *" }))) end)
  named("sched.zone", function(w) assert(w:write_schedule(schedule("a", { zone = "X", zoneBytes = "none" }))) end)
  named("sched.due", function(w) w:poke("timer", w:rows("timer")[1][1], nil) end)
  named("due.owner", function(w) assert(w:write_due("schedule", 5, "a")) end)
  named("due.owner", function(w) assert(w:write_due("schedule", 60000, "gone")) end)
end)
