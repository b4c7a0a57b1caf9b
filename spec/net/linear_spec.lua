-- linear_spec.lua - what overlapping requests over HTTP are answered could have been answered one after another.
-- SPDX-License-Identifier: Apache-2.0
local crowd = require("spec.support.crowd")
local http = require("spec.support.http")
local liars = require("spec.support.liars")
local linear = require("spec.support.linear")
local lockstep = require("spec.support.lockstep")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local LONG = os.getenv("DA_LONG") == "1"
local SANITIZED = (os.getenv("DA_PRESET") or ""):find("san") ~= nil
local HISTORIES = LONG and 3000 or SANITIZED and 10 or 30 -- of each clock
local CALLS = 120
local LIES = 3 -- of each liar, in at most so many histories:
local LIE_HISTORIES = 60
local LATER = 9007199254740991

---------------------------------------------------------------------------------------------------- by hand

-- A history from rows: lane, invoked, returned, kind, data, status, data of the answer. All at one instant.
local function history_of(rows)
  local history = {}
  for i, row in ipairs(rows) do
    local lane, invoked, returned, kind, data, status, answer = table.unpack(row)
    history[i] = { lane = lane, invoked = invoked, returned = returned, now = row.now or 5,
      request = { kind = kind, data = data }, reply = status and { status = status, data = answer } }
  end
  return history
end

local function promise(state, at)
  return { promise = { id = "p", state = state, param = {}, value = {}, tags = {}, timeoutAt = LATER, createdAt = 5,
    settledAt = state ~= "pending" and (at or 5) or nil } }
end

local P = { id = "p" }
local NEW = { id = "p", timeoutAt = LATER }
local RESOLVE = { id = "p", state = "resolved" }
local REJECT = { id = "p", state = "rejected" }
local NOTHING = "Promise not found"
local TASK = { id = "t", timeoutAt = LATER, tags = { ["resonate:target"] = "poll://any@g" } }

local function acquire(pid)
  return { id = "t", version = 0, pid = pid, ttl = 100 }
end

local function acquired(pid)
  return { preload = {}, promise = { id = "t", state = "pending", param = {}, value = {}, tags = TASK.tags,
    timeoutAt = LATER, createdAt = 5 }, task = { id = "t", state = "acquired", version = 1, resumes = 0, ttl = 100, pid = pid } }
end

local MADE = { 1, 1, 2, "promise.create", NEW, 200, promise("pending") }
local TASK_MADE = { 1, 1, 2, "promise.create", TASK, 200, { promise = acquired("a").promise } }

-- name, is it linear, rows
local CASES = {
  { "one after another", true, { MADE, { 1, 3, 4, "promise.settle", RESOLVE, 200, promise("resolved") },
    { 1, 5, 6, "promise.get", P, 200, promise("resolved") } } },
  { "a read that overlaps the change sees it", true, { MADE, { 1, 3, 6, "promise.settle", RESOLVE, 200, promise("resolved") },
    { 2, 4, 5, "promise.get", P, 200, promise("resolved") } } },
  { "a read that overlaps the change does not see it", true, { MADE,
    { 1, 3, 6, "promise.settle", RESOLVE, 200, promise("resolved") }, { 2, 4, 5, "promise.get", P, 200, promise("pending") } } },
  { "a read behind the change does not see it", false, { MADE,
    { 1, 3, 4, "promise.settle", RESOLVE, 200, promise("resolved") }, { 2, 5, 6, "promise.get", P, 200, promise("pending") } } },
  { "a read before the change sees it", false, { MADE, { 2, 3, 4, "promise.get", P, 200, promise("resolved") },
    { 1, 5, 6, "promise.settle", RESOLVE, 200, promise("resolved") } } },
  { "two reads beside a change go backwards", false, { MADE,
    { 1, 3, 9, "promise.settle", RESOLVE, 200, promise("resolved") }, { 2, 4, 5, "promise.get", P, 200, promise("resolved") },
    { 3, 6, 7, "promise.get", P, 200, promise("pending") } } },
  { "two reads beside a change go forwards", true, { MADE,
    { 1, 3, 9, "promise.settle", RESOLVE, 200, promise("resolved") }, { 2, 4, 5, "promise.get", P, 200, promise("pending") },
    { 3, 6, 7, "promise.get", P, 200, promise("resolved") } } },
  { "two verdicts at once, the same wins in both answers", true, { MADE,
    { 1, 3, 6, "promise.settle", RESOLVE, 200, promise("rejected") }, { 2, 4, 5, "promise.settle", REJECT, 200,
      promise("rejected") } } },
  { "two verdicts at once, each wins", false, { MADE, { 1, 3, 6, "promise.settle", RESOLVE, 200, promise("resolved") },
    { 2, 4, 5, "promise.settle", REJECT, 200, promise("rejected") } } },
  { "one of two acquires at once", true, { TASK_MADE, { 2, 3, 6, "task.acquire", acquire("a"), 200, acquired("a") },
    { 3, 4, 5, "task.acquire", acquire("b"), 409, "Task is not pending" } } },
  { "two of two acquires at once", false, { TASK_MADE, { 2, 3, 6, "task.acquire", acquire("a"), 200, acquired("a") },
    { 3, 4, 5, "task.acquire", acquire("b"), 200, acquired("b") } } },
  { "none of two acquires at once", false, { TASK_MADE, { 2, 3, 6, "task.acquire", acquire("a"), 409, "Task is not pending" },
    { 3, 4, 5, "task.acquire", acquire("b"), 409, "Task is not pending" } } },
  { "requests of one connection overtake each other", false, { { 1, 1, 9, "promise.get", P, 200, promise("pending") },
    { 1, 2, 10, "promise.create", NEW, 200, promise("pending") } } },
  { "the same of two connections", true, { { 1, 1, 9, "promise.get", P, 200, promise("pending") },
    { 2, 2, 10, "promise.create", NEW, 200, promise("pending") } } },
  { "a deadline that passes", true, { { 1, 1, 2, "promise.create", { id = "p", timeoutAt = 9 }, 200, { promise = { id = "p",
    state = "pending", param = {}, value = {}, tags = {}, timeoutAt = 9, createdAt = 5 } } },
    { 1, 3, 4, "promise.get", P, 200, { promise = { id = "p", state = "rejected_timedout", param = {}, value = {}, tags = {},
      timeoutAt = 9, createdAt = 5, settledAt = 9 } }, now = 9 } } },
  { "a sweep whose true place is later than it could be", true, {
    { 1, 1, 2, "promise.create", TASK, 200, { promise = acquired("a").promise } },
    { 2, 3, 20, "debug.tick", { time = 200 }, 200, {}, now = 200 },
    { 3, 4, 21, "task.acquire", acquire("a"), 200, acquired("a") },
    { 1, 22, 23, "task.get", { id = "t" }, 200, { task = { id = "t", state = "pending", version = 1, resumes = 0 } },
      now = 200 } } },
  -- nobody answered
  { "a change that nobody answered has happened", true, { MADE, { 2, 3, 6, "promise.settle", RESOLVE },
    { 1, 7, 8, "promise.get", P, 200, promise("resolved") } } },
  { "a change that nobody answered has not happened", true, { MADE, { 2, 3, 6, "promise.settle", RESOLVE },
    { 1, 7, 8, "promise.get", P, 200, promise("pending") } } },
  { "a change that nobody answered happens after its server's death", false, { MADE,
    { 2, 3, 6, "promise.settle", RESOLVE }, { 1, 7, 8, "promise.get", P, 200, promise("pending") },
    { 1, 9, 10, "promise.get", P, 200, promise("resolved") } } },
  { "the second of a connection has happened, the first has not", false, { { 2, 1, 6, "promise.create", NEW },
    { 2, 2, 6, "promise.create", { id = "q", timeoutAt = LATER } }, { 1, 7, 8, "promise.get", P, 404, NOTHING },
    { 1, 9, 10, "promise.get", { id = "q" }, 200, { promise = { id = "q", state = "pending", param = {}, value = {},
      tags = {}, timeoutAt = LATER, createdAt = 5 } } } } },
  { "an acknowledged change is gone after its server's death", false, { MADE,
    { 2, 3, 4, "promise.settle", RESOLVE, 200, promise("resolved") }, { 3, 5, 6, "promise.settle", REJECT },
    { 1, 7, 8, "promise.get", P, 200, promise("pending") } } },
}

describe("the checker of histories", function()
  for _, case in ipairs(CASES) do
    local name, linear_wanted, rows = table.unpack(case)
    it(("%s: %s"):format(linear_wanted and "finds an order" or "finds none", name), function()
      local result = linear.check(history_of(rows))
      assert.is_nil(result.undecided)
      assert.equal(linear_wanted, result.linear, linear.describe(result))
    end)
  end

  it("reads instants of the server's clock from answers, and lets it never go backwards", function()
    local function at(from, to, row)
      local call = history_of({ row })[1]
      call.now, call.from, call.to = nil, from, to
      return call
    end
    local function made(instant)
      local answer = promise("pending")
      answer.promise.createdAt = instant
      return answer
    end
    local function check(...) return linear.check({ ... }, { timeless = true }).linear end
    assert.is_true(check(at(3, 6, { 1, 1, 2, "promise.create", NEW, 200, made(5) })))
    assert.is_false(check(at(6, 9, { 1, 1, 2, "promise.create", NEW, 200, made(5) })))
    assert.is_false(check(at(1, 4, { 1, 1, 2, "promise.create", NEW, 200, made(5) })))
    local function other(instant)
      local answer = made(instant)
      answer.promise.id = "q"
      return answer
    end
    local q = { id = "q", timeoutAt = LATER }
    local function pair(first, second)
      return check(at(1, 9, { 1, 1, 2, "promise.create", NEW, 200, made(first) }),
        at(1, 9, { 2, 3, 4, "promise.create", q, 200, other(second) }))
    end
    assert.is_true(pair(5, 5))
    assert.is_true(pair(5, 6))
    assert.is_false(pair(6, 5))
  end)

  it("gives up, and says so, where it would take too long", function()
    local rows = { MADE }
    for i = 1, 12 do rows[#rows + 1] = { 10 + i, 3, 90, "promise.create", { id = "x" .. i, timeoutAt = LATER } } end
    rows[#rows + 1] = { 1, 91, 92, "promise.get", P, 404, NOTHING }
    local result = linear.check(history_of(rows), { visits_max = 500 })
    assert.is_true(result.undecided)
    assert.is_false(result.linear)
  end)
end)

---------------------------------------------------------------------------------------------------- the server

describe("overlapping requests over HTTP", function()
  local place, server, totals

  setup(function()
    place = program.place(true)
    server = serve.start(place, { "--debug", "--push=false" })
  end)
  teardown(function()
    http.close_all()
    serve.stop(server)
    place:remove()
  end)
  before_each(function() totals = { kinds = {}, histories = 0, calls = 0, overlaps = 0, visits = 0 } end)

  local function ok(kind) assert.equal(200, (http.call(server.address, kind, {}))) end

  -- One history in an empty store.
  local function live(options)
    ok(options.clock == "real" and "debug.stop" or "debug.start")
    ok("debug.reset")
    local people = crowd.new(options)
    people:connect(server.address)
    people:run(CALLS)
    people:ask("debug.snap")
    people:disconnect()
    return people.history, linear.check(people.history, { timeless = options.clock == "real" })
  end

  local function count(history, result)
    totals.histories, totals.calls = totals.histories + 1, totals.calls + #history
    totals.overlaps, totals.visits = totals.overlaps + linear.overlaps(history), totals.visits + result.visits
    for _, call in ipairs(history) do
      local of = totals.kinds[call.request.kind] or { sent = 0, good = 0 }
      totals.kinds[call.request.kind] = of
      of.sent, of.good = of.sent + 1, of.good + (call.reply.status < 400 and 1 or 0)
    end
  end

  local function tell(seed, clock)
    print(("seed %d, %s clock: %d histories, %d requests, %d overlapping pairs, %d configurations looked at"):format(seed,
      clock, totals.histories, totals.calls, totals.overlaps, totals.visits))
    local parts = {}
    for kind, of in pairs(totals.kinds) do
      parts[#parts + 1] = ("%s %d (%d%% good)"):format(kind, of.sent, of.good * 100 // of.sent)
    end
    table.sort(parts)
    print("  " .. table.concat(parts, ", "))
  end

  local KINDS = { "promise.create", "promise.get", "promise.settle", "promise.register_callback",
    "promise.register_listener", "promise.search", "task.create", "task.get", "task.acquire", "task.release",
    "task.fulfill", "task.suspend", "task.fence", "task.heartbeat", "task.halt", "task.continue", "task.search",
    "debug.snap" }

  for _, clock in ipairs { "given", "real" } do
    it(("are answered as if one came after another (%s clock)"):format(clock), function()
      local seed = lockstep.seed() % 1000000000
      for i = seed, seed + HISTORIES - 1 do
        local history, result = live { seed = i, clock = clock, clients = 3 + i % 3, depth = 1 + i % 4 }
        if not result.linear then
          error(("DA_SEED=%d repeats the requests\n%s"):format(i, linear.describe(result)), 0)
        end
        count(history, result)
      end
      tell(seed, clock)
      assert.is_true(totals.overlaps >= totals.calls, "too few overlap")
      for _, kind in ipairs(KINDS) do
        local of = totals.kinds[kind]
        assert.is_true(of and of.good > 0, "never answered well: " .. kind)
      end
      assert.is_true((totals.kinds["debug.tick"] ~= nil) == (clock == "given"))
    end)
  end

  local names = {}
  for name in pairs(liars) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it("of a server with a fault are found out: " .. name, function()
      local lied, found, histories, seed = 0, 0, 0, lockstep.seed() % 1000000000
      while found < LIES and histories < LIE_HISTORIES do
        histories = histories + 1
        local liar = liars[name]()
        local _, result = live { seed = seed + histories, clock = "given", clients = 4, depth = 3, liar = liar }
        if liar.lied then lied = lied + 1 end
        if not result.linear and not result.undecided then
          assert.is_true(liar.lied, linear.describe(result))
          found = found + 1
        end
      end
      print(("%-18s seed %d: %d histories, lied in %d, found in %d"):format(name, seed, histories, lied, found))
      assert.equal(LIES, found)
    end)
  end
end)
