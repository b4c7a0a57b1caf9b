-- schedule_spec.lua - schedule.create, get, delete, search and declare; what a sweep fires.
-- SPDX-License-Identifier: Apache-2.0
local probe = require("da_probe")

local TARGET = "poll://any@default"

local function data_of(id, more)
  local d = { id = id, cron = "* * * * *", promiseId = "{{.id}}.{{.timestamp}}", promiseTimeout = 100000,
    promiseTags = { ["resonate:target"] = TARGET } }
  for key, value in pairs(more or {}) do d[key] = value ~= "absent" and value or nil end
  return d
end

local function open(profile)
  return probe.new({ kind = "memory", profile = profile or {}, local_target = TARGET })
end

local function ask(w, kind, data, now)
  local reply, messages = w:apply({ kind = kind, data = data }, now or 1000)
  assert.is_truthy(reply, messages)
  return reply, messages
end

local function executes(messages)
  local ids = {}
  for i, m in ipairs(messages) do ids[i] = m.id end
  return ids
end

describe("schedule.create", function()
  it("answers the record: created now, to run at the next instant, not run yet", function()
    local w = open()
    local reply = ask(w, "schedule.create", data_of("s", { promiseParam = { data = "x" } }), 90000)
    assert.equal(200, reply.status)
    assert.same({
      id = "s", cron = "* * * * *", promiseId = "{{.id}}.{{.timestamp}}", promiseTimeout = 100000,
      promiseParam = { data = "x" }, promiseTags = { ["resonate:target"] = TARGET }, createdAt = 90000, nextRunAt = 120000,
    }, reply.data.schedule)
  end)

  it("answers the stored record when there is one, whatever it asks for", function()
    local w = open()
    local first = ask(w, "schedule.create", data_of("s"), 1000)
    local again = ask(w, "schedule.create", data_of("s", { cron = "@hourly", promiseTimeout = 5 }), 99999)
    assert.same(first, again)
  end)

  local refusals = {
    { "id is missing", { id = "absent" }, "Invalid request: `id` must be a string" },
    { "empty fields, all told", { id = "", cron = "", promiseId = "" },
      "Schedule ID is required; Cron expression is required; Promise ID template is required" },
    { "negative time-out", { promiseTimeout = -1 }, "Promise timeout must be a non-negative integer" },
    { "reserved character before target", { id = "a:b", promiseTags = {} }, "Schedule ID must not contain ':'" },
    { "no target before expression", { promiseTags = {}, cron = "x" }, "promiseTags must include a resonate:target tag" },
    { "expression", { cron = "61 * * * *" },
      "Invalid cron expression: column 1: 61 is no minute; it goes from 0 to 59" },
    { "zone", { zone = "X", zoneBytes = "TZif" }, "Invalid time zone: this is not a zone file" },
    { "template", { promiseId = ("x"):rep(300) },
      "Promise ID template makes no promise ID: the root of the id is longer than 255 bytes" },
    { "long id", { id = ("x"):rep(201) }, "Schedule ID must not be longer than 200 bytes" },
    { "too large", { promiseParam = { data = ("x"):rep(1048577) } }, "A schedule's param and tags must fit 1 MiB" },
  }
  for _, row in ipairs(refusals) do
    it("is refused: " .. row[1], function()
      local reply = ask(open(), "schedule.create", data_of("s", row[2]))
      assert.same({ 400, row[3] }, { reply.status, reply.data })
    end)
  end

  it("checks the expression also when the schedule exists", function()
    local w = open()
    ask(w, "schedule.create", data_of("s"))
    assert.equal(400, ask(w, "schedule.create", data_of("s", { cron = "x" })).status)
  end)

  it("reads weekdays as the profile says, or as the request does", function()
    local sunday, saturday = 259200000, 172800000 -- 1970-01-04, 1970-01-03
    local d = data_of("s", { cron = "0 0 * * 7" })
    assert.equal(saturday, ask(open(), "schedule.create", d).data.schedule.nextRunAt)
    assert.equal(sunday, ask(open({ cron_dow = "unix" }), "schedule.create", d).data.schedule.nextRunAt)
    d.unix = true
    assert.equal(sunday, ask(open(), "schedule.create", d).data.schedule.nextRunAt)
  end)

  it("takes the next minute for what never comes, or refuses it", function()
    local d = data_of("s", { cron = "0 0 31 2 *" })
    assert.equal(61000, ask(open(), "schedule.create", d, 1000).data.schedule.nextRunAt)
    for _, profile in ipairs({ { cron_never = "reject" }, { cron_dow = "unix" } }) do
      local reply = ask(open(profile), "schedule.create", d)
      assert.same({ 400, "Invalid cron expression: it never comes" }, { reply.status, reply.data })
    end
  end)

  it("keeps its zone", function()
    local w = open()
    local vienna = data_of("s", { cron = "0 6 * * *", zone = "Europe/Vienna", zoneBytes = probe.zone("Europe/Vienna") })
    local reply = ask(w, "schedule.create", vienna, 1782000000000) -- a day in June
    assert.equal(4 * 3600000, reply.data.schedule.nextRunAt % 86400000)
  end)
end)

describe("schedule.get and schedule.delete", function()
  it("know what is there and what is not", function()
    local w = open()
    ask(w, "schedule.create", data_of("s"))
    assert.equal("s", ask(w, "schedule.get", { id = "s" }).data.schedule.id)
    assert.same({ 200, {} }, (function(r) return { r.status, r.data } end)(ask(w, "schedule.delete", { id = "s" })))
    for _, kind in ipairs({ "schedule.get", "schedule.delete" }) do
      local reply = ask(w, kind, { id = "s" })
      assert.same({ 404, "Schedule not found" }, { reply.status, reply.data })
      assert.equal(400, ask(w, kind, { id = "" }).status)
    end
    assert.same({}, w:dues("schedule"))
  end)

  it("leave what was fired, and what was deleted fires no more", function()
    local w = open()
    ask(w, "schedule.create", data_of("s"))
    w:sweep(60000)
    ask(w, "schedule.delete", { id = "s" }, 60001)
    local _, messages = w:sweep(95000)
    assert.equal("pending", w:promise("s.60000").state)
    assert.same({ "s.60000" }, executes(messages)) -- its retry
  end)

  it("begin anew after a deletion, and adopt what was fired before", function()
    local w = open()
    ask(w, "schedule.create", data_of("s", { promiseParam = { data = "old" } }), 1000)
    w:sweep(60000)
    ask(w, "schedule.delete", { id = "s" }, 60001)
    ask(w, "schedule.create", data_of("s", { promiseParam = { data = "new" }, promiseId = "{{.id}}.60000" }), 60002)
    assert.equal(120000, w:schedule("s").nextRunAt)
    w:sweep(120000)
    assert.equal("old", w:promise("s.60000").param.data)
    assert.equal(120000, w:schedule("s").lastRunAt)
  end)
end)

describe("schedule.search", function()
  local function ids(reply)
    local list = {}
    for i, s in ipairs(reply.data.schedules) do list[i] = s.id end
    return table.concat(list, " "), reply.data.cursor
  end

  it("gives ten at a time in byte order, with a cursor while there are more", function()
    local w = open()
    for i = 1, 12 do
      ask(w, "schedule.create", data_of(("s%02d"):format(i), { promiseTags = { ["resonate:target"] = TARGET, odd = tostring(i % 2) } }))
    end
    assert.same({ "s01 s02 s03 s04 s05 s06 s07 s08 s09 s10", "s10" }, { ids(ask(w, "schedule.search", {})) })
    assert.same({ "s11 s12" }, { ids(ask(w, "schedule.search", { cursor = "s10" })) })
    assert.same({ "s11 s12" }, { ids(ask(w, "schedule.search", { cursor = "s10", limit = 2 })) })
    assert.same({ "s02 s04", "s04" }, { ids(ask(w, "schedule.search", { tags = { odd = "0" }, limit = 2 })) })
    assert.same({ "" }, { ids(ask(w, "schedule.search", { cursor = "zzz" })) })
  end)

  it("refuses limits out of bounds", function()
    for limit, words in pairs({ [0] = "Limit must be a positive integer",
      [1001] = "Invalid 'limit' \u{2014} must be between 1 and 1000" }) do
      local reply = ask(open(), "schedule.search", { limit = limit })
      assert.same({ 400, words }, { reply.status, reply.data })
    end
  end)
end)

describe("a schedule whose instant has come", function()
  it("fires a minute late still when it catches up nothing, and no later", function()
    for late, fired in pairs { [60000] = true, [60001] = false } do
      local w = open()
      ask(w, "schedule.create", data_of("s", { cron = "0 * * * *", catchUp = "none" }))
      w:sweep(3600000 + late)
      assert.equal(fired, w:promise("s.3600000") ~= nil)
      assert.equal(7200000, w:schedule("s").nextRunAt)
    end
  end)

  it("does not wait for others that have much to catch up, however many they are", function()
    local w = open()
    for i = 1, 300 do ask(w, "schedule.create", data_of("late" .. i, { cron = "* * * * * *" })) end
    ask(w, "schedule.create", data_of("due", { cron = "0 * * * *" }))
    local reply = assert(w:sweep(3600000))
    assert.is_true(reply.data.more)
    assert.is_truthy(w:promise("due.3600000"))
    assert.is_truthy(w:promise("late1.2000"))
    for _ = 1, 20 do assert(w:sweep(3600000)) end
    assert.is_truthy(w:promise("late300.2000"))
  end)

  it("keeps its row and says so when its expression or its zone cannot be read", function()
    for field, bytes in pairs { cron = "* * * * 9", zoneBytes = "no zone" } do
      local w = open()
      ask(w, "schedule.create", data_of("s", {}))
      local s = w:schedule("s")
      s[field], s.zone = bytes, "Here/There"
      assert(w:write_schedule(s))
      local reply, name, words = w:sweep(60500)
      assert.same({ nil, "ECORRUPT" }, { reply, name })
      assert.matches("schedule 's' is damaged; declare it anew", words, 1, true)
      assert.equal(1, #w:rows("timer"))
    end
  end)

  it("makes its promise as of that instant, with its tags, and sends its task", function()
    local w = open()
    ask(w, "schedule.create", data_of("s", { promiseParam = { data = "x" },
      promiseTags = { ["resonate:target"] = TARGET, ["resonate:origin"] = "mine", team = "t" },
      call = { kind = 1, ordinal = 0, line = 3, file = "f.lua", func = "daily", args = ("A"):rep(16) } }))
    local _, messages = w:sweep(60500)
    assert.same({ { kind = "execute", id = "s.60000", version = 0, address = TARGET, ["local"] = true } }, messages)
    local p = w:promise("s.60000")
    assert.same({ state = "pending", createdAt = 60000, timeoutAt = 160000, param = { data = "x" } },
      { state = p.state, createdAt = p.createdAt, timeoutAt = p.timeoutAt, param = p.param })
    assert.same({ ["resonate:target"] = TARGET, team = "t", ["resonate:schedule"] = "s", ["resonate:origin"] = "s.60000",
      ["resonate:branch"] = "s.60000", ["resonate:parent"] = "s.60000", ["resonate:prefix"] = "s.60000" }, p.tags)
    assert.equal("daily", p.call.func)
    assert.equal("pending", w:task("s.60000").state)
    local s = w:schedule("s")
    assert.same({ 60000, 120000 }, { s.lastRunAt, s.nextRunAt })
    assert.same({ { at = 120000, id = "s" } }, w:dues("schedule"))
    assert.same({}, w:check(60500))
    assert.same({}, w:verify())
  end)

  it("rests where schedules do not fire", function()
    local w = open()
    ask(w, "schedule.create", data_of("s"))
    local _, messages = ask(w, "sweep", { rests = true }, 60500)
    assert.same({}, messages)
    assert.is_nil(w:promise("s.60000"))
    assert.equal(60000, w:schedule("s").nextRunAt)
  end)

  it("makes a promise that is over when its time-out has passed", function()
    local w = open()
    ask(w, "schedule.create", data_of("s", { promiseTimeout = 1000 }))
    local _, messages = w:sweep(61000)
    assert.same({}, messages)
    local p = w:promise("s.60000")
    assert.same({ "rejected_timedout", 60000, 61000, 61000 }, { p.state, p.createdAt, p.timeoutAt, p.settledAt })
    assert.equal("fulfilled", w:task("s.60000").state)
  end)

  it("catches up what was missed, one instant after another, a bounded number in each sweep", function()
    local w = open()
    ask(w, "schedule.create", data_of("s", { promiseTimeout = 9007199254740991 }))
    ask(w, "schedule.create", data_of("t", { promiseTimeout = 9007199254740991, cron = "*/30 * * * *" }))
    local reply, messages = w:sweep(60000 * 40)
    assert.equal(17, #messages)
    assert.equal("t.1800000", messages[17].id) -- nobody waits until another has caught up
    local fired = executes(messages)
    while reply.data.more do
      reply, messages = w:sweep(60000 * 40)
      table.move(executes(messages), 1, #messages, #fired + 1, fired)
    end
    table.remove(fired, 17)
    local wanted = {}
    for i = 1, 40 do wanted[i] = ("s.%d"):format(60000 * i) end
    assert.same(wanted, fired)
    assert.equal(60000 * 41, w:schedule("s").nextRunAt)
  end)

  it("fires the last of what was missed, or none but a fresh one, if so declared", function()
    local w = open()
    for _, how in ipairs({ "last", "none" }) do
      ask(w, "schedule.create", data_of(how, { catchUp = how, cron = "0 * * * *" }))
    end
    local _, messages = w:sweep(10 * 3600000 + 60001)
    assert.same({ "last.36000000" }, executes(messages))
    assert.same({ 36000000, 39600000 }, { w:schedule("last").lastRunAt, w:schedule("last").nextRunAt })
    assert.same({ nil, 39600000 }, { w:schedule("none").lastRunAt, w:schedule("none").nextRunAt })
    w:sweep(11 * 3600000 + 60000)
    assert.equal("pending", w:promise("none.39600000").state)
    assert.equal(39600000, w:schedule("none").lastRunAt)
  end)

  it("fires once in all when its template knows no instant", function()
    local w = open()
    ask(w, "schedule.create", data_of("s", { promiseId = "only-{{.id}}", promiseTimeout = 9007199254740991 }))
    local _, messages = w:sweep(60000 * 5)
    assert.same({ "only-s" }, executes(messages))
    assert.equal(300000, w:schedule("s").lastRunAt)
  end)

  it("adopts what somebody made before it", function()
    local w = open()
    ask(w, "schedule.create", data_of("s"))
    ask(w, "promise.create", { id = "s.60000", timeoutAt = 999999, param = { data = "mine" } }, 2000)
    local _, messages = w:sweep(60000)
    assert.same({}, messages)
    assert.equal("mine", w:promise("s.60000").param.data)
  end)

  it("drops a row that no schedule asks for", function()
    local w = open()
    assert(w:write_due("schedule", 5, "gone"))
    ask(w, "schedule.create", data_of("s"))
    assert(w:write_due("schedule", 7, "s"))
    w:sweep(1000)
    assert.same({ { at = 60000, id = "s" } }, w:dues("schedule"))
  end)
end)

describe("schedule.declare", function()
  local function declare(w, more, now)
    local reply = ask(w, "schedule.declare", data_of("s", more), now)
    assert.equal(200, reply.status, reply.data)
    return reply.data.count, reply.data.schedule
  end

  it("makes it, leaves it while nothing differs, and begins anew when something does", function()
    local w = open()
    assert.equal(1, (declare(w, {}, 1000)))
    w:sweep(60000)
    local count, s = declare(w, {}, 99000)
    assert.same({ 0, 1000, 60000, 120000 }, { count, s.createdAt, s.lastRunAt, s.nextRunAt })
    for i, more in ipairs({ { cron = "@hourly" }, { promiseTimeout = 7 }, { promiseParam = { data = "x" } },
      { promiseTags = { ["resonate:target"] = TARGET, a = "b" } }, { promiseId = "{{.timestamp}}" }, { catchUp = "last" },
      { unix = true }, { call = { kind = 1, ordinal = 0, line = 1, func = "f" } } }) do
      count, s = declare(w, more, 100000 + i)
      assert.same({ 1, 100000 + i }, { count, s.createdAt }, i)
      assert.is_nil(s.lastRunAt)
      assert.equal(1, #w:dues("schedule"))
      assert.same({}, w:check(200000))
    end
  end)

  it("keeps the past, and what is due, when only the rules of its zone are others", function()
    local w = open()
    local zone = { cron = "0 6 * * *", zone = "Here", zoneBytes = probe.zone("Europe/Vienna") }
    local moved = { cron = "0 6 * * *", zone = "Here", zoneBytes = probe.zone("America/New_York") }
    local day = 20500 * 86400000 -- in February 2026
    declare(w, zone, day + 1000)
    local six = day + 5 * 3600000
    assert.equal(six, w:schedule("s").nextRunAt)
    w:sweep(six)
    local count, s = declare(w, moved, six + 1000)
    assert.same({ 1, day + 1000, six, six + 6 * 3600000 }, { count, s.createdAt, s.lastRunAt, s.nextRunAt })
    count, s = declare(w, zone, six + 7 * 3600000)
    assert.same({ 1, six + 6 * 3600000 }, { count, s.nextRunAt })
  end)
end)
