-- check_spec.lua - every property of check.c: a sound state has none broken, and each notices its own damage.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local probe = require("da_probe")

-- A little of everything, at instant 10: A is awaited by S (suspended) and listened to; I is internal; D has settled;
-- P is pending, H acquired, X fulfilled.
local SOUND = [[
  create A timeout=100 scope=global
  listen A to=u1
  create I timeout=100
  create D timeout=100
  taskcreate S target=w1 timeout=100 ttl=50
  suspend S 1 A
  create P target=w1 timeout=100
  callback D P
  taskcreate H target=w1 timeout=100 ttl=50
  create X target=w1 timeout=100
  at 10
  settle D resolved value=v
  settle X resolved value=v
]]

local FAR = 9007199254740991

-- Writes a record again with some members changed; `false` takes one away.
local function change(record, members)
  for name, value in pairs(members) do
    if value == false then value = nil end
    record[name] = value
  end
  return record
end

local function promise(id, members)
  return function(w) assert(w:write_promise(change(w:promise(id), members))) end
end

local function task(id, members)
  return function(w) assert(w:write_task(change(w:task(id), members))) end
end

local function wait(kind, first, second, how)
  return function(w) assert(w:write_wait(kind, first, second, how or "put")) end
end

local function due(class, at, id, how)
  return function(w) assert(w:write_due(class, at, id, how or "put")) end
end

-- property, id, the damage, profile
local ROWS = {
  { "promise.created_by_deadline", "I", promise("I", { createdAt = 100 }) },
  { "promise.settled_between", "D", promise("D", { settledAt = 101 }) },
  { "promise.settled_between", "D", promise("D", { createdAt = 11 }) },
  { "promise.settled_has_seq", "D", promise("D", { settleSeq = 0 }) },
  { "promise.pending_has_no_value", "I", promise("I", { value = { data = "x" } }) },
  { "promise.deadline_gives_verdict", "D", promise("D", { settledAt = 100 }) },
  { "promise.deadline_gives_no_value", "D", promise("D", { settledAt = 100, state = "rejected_timedout" }) },
  { "promise.timedout_at_deadline", "D", promise("D", { state = "rejected_timedout" }) },
  { "promise.stamps_not_ahead", "I", promise("I", { createdAt = 11 }) },
  { "promise.stamps_not_ahead", "D", promise("D", { settledAt = 11 }) },
  { "promise.armed_is_pending", "D", promise("D", { armed = true }) },
  { "promise.armed_is_pending", "A", promise("A", { timeoutAt = FAR }) },
  { "promise.armed_has_row", "A", due("deadline", 100, "A", "del") },
  { "promise.armed_has_row", "I", due("deadline", 100, "I") },
  { "promise.waiters_have_deadline", "A", promise("A", { armed = false }) },
  { "promise.waiters_have_deadline", "I", wait("listener", "I", "http://u") },
  { "promise.waited_is_external", "I", wait("callback", "I", "T"), { await_internal = "reject" } },
  { "promise.listened_is_external", "I", wait("listener", "I", "http://u"), { await_internal = "reject" } },
  { "promise.listened_is_external", "I", wait("listener", "I", "http://u"), { listener_external_only = "true" } },
  { "promise.timer_without_target", "P", promise("P", { tags = { ["resonate:target"] = "http://w1",
    ["resonate:timer"] = "true" } }), { timer_target = "reject" } },
  { "promise.settled_has_no_waiters", "D", wait("listener", "D", "http://u") },
  { "promise.settled_has_no_waiters", "D", wait("callback", "D", "S") },
  { "promise.no_self_callback", "A", wait("callback", "A", "A") },
  { "promise.awaiters_have_tasks", "A", wait("callback", "A", "I") },
  { "promise.callbacks_mirrored", "A", wait("callback", "A", "P") },
  { "promise.listeners_valid", "A", wait("listener", "A", "nowhere") },
  { "promise.target_has_task", "P", promise("P", { tags = {} }) },
  { "promise.target_has_task", "I", promise("I", { tags = { ["resonate:target"] = "http://w1" } }) },
  { "task.has_promise", "P", promise("P", { tags = {} }) },
  { "task.acquired_has_pid", "H", task("H", { pid = "" }) },
  { "task.acquired_has_pid", "P", task("P", { pid = "x" }) },
  { "task.acquired_has_ttl", "H", task("H", { ttl = 0 }) },
  { "task.acquired_has_ttl", "S", task("S", { ttl = 1 }) },
  { "task.acquired_has_lease", "H", due("lease", 50, "H", "del") },
  { "task.acquired_has_lease", "H", task("H", { timerAt = 51 }) },
  { "task.pending_has_retry", "P", due("retry", 100, "P", "del") },
  { "task.pending_has_retry", "S", due("retry", 0, "S") },
  { "task.rests_without_timer", "S", task("S", { timerAt = 5 }) },
  { "task.version_issued", "H", task("H", { version = 0 }) },
  { "task.version_issued", "S", task("S", { version = 0 }) },
  { "task.resumes_counted", "P", wait("resume", "P", "X") },
  { "task.resumes_counted", "P", task("P", { resumes = 2 }) },
  { "task.resumes_settled", "P", wait("resume", "P", "I") },
  { "task.suspended_unresumed", "S", wait("resume", "S", "D") },
  { "task.suspended_waits", "S", wait("awaited", "S", "A", "del") },
  { "task.waits_for_pending", "S", wait("awaited", "S", "D") },
  { "task.waits_mirrored", "S", wait("callback", "A", "S", "del") },
  { "task.fulfilled_with_promise", "X", task("X", { state = "halted" }) },
  { "task.fulfilled_with_promise", "P", task("P", { state = "fulfilled", timerAt = 0 }) },
  { "task.fulfilled_is_over", "X", wait("resume", "X", "D") },
  { "task.fulfilled_is_over", "X", wait("awaited", "X", "A") },
}

-- Queues at instant 10: one message in c; S holds the permit of s, H waits for it; l granted at 10 and at 10, and H waits
-- for a third. All are asked through the probe, since the table language knows no queues.
local MAX = 9007199254740991
local function queues()
  local w, n = assert(probe.new { kind = "memory" }), 0
  local function ask(kind, data) assert(w:apply({ kind = kind, data = data }, 10)) end
  local function join(owner, name, kind, limit, per)
    n = n + 1
    ask("queue.wait", { id = owner, version = 1, promiseId = owner .. ":w" .. n, timeoutAt = MAX, tags = {}, name = name,
      queueKind = kind, limit = limit, per = per })
  end
  for _, id in ipairs { "S", "H" } do
    ask("task.create", { pid = "local/1", ttl = MAX, action = { kind = "promise.create", data = { id = id, timeoutAt = MAX,
      param = {}, tags = { ["resonate:target"] = "poll://any@default" } } } })
  end
  ask("queue.put", { name = "c", value = { data = "1" } })
  join("S", "s", 2, 1, 0)
  join("H", "s", 2, 1, 0)
  for _, owner in ipairs { "S", "S", "H" } do join(owner, "l", 3, 2, 100) end
  return w
end

local function queue(name, members)
  return function(w) assert(w:write_queue(name, members)) end
end

local QUEUE_ROWS = {
  { "queue.tokens_counted", "c", queue("c", { tokens = 2 }) },
  { "queue.places_counted", "s", queue("s", { places = 2 }) },
  { "queue.places_held", "s", function(w) assert(w:del_hold("H", "H:w2")) end },
  { "queue.nobody_waits_beside_a_token", "s", queue("s", { held = 0 }) },
  { "queue.window_bounded", "l", queue("l", { limit = 1 }) },
  { "queue.grants_ordered", "l", function(w) assert(w:write_grant("l", w:queue("l").tokens[1].seq, 11)) end },
  { "queue.limiter_falls_due", "l", queue("l", { due = 0 }) },
  { "queue.due_has_row", "l", queue("l", { due = 111 }) },
}

local function broken(world)
  local found = {}
  for _, b in ipairs(world.probe:check(world.now)) do found[b.property .. " " .. b.id] = b.words end
  return found
end

local function found_words(found)
  local list = {}
  for name in pairs(found) do list[#list + 1] = name end
  return "found were: " .. table.concat(list, ", ")
end

describe("the check", function()
  it("finds nothing in a sound state", function()
    assert.same({}, broken(engine.world():run(SOUND)))
  end)

  for i, row in ipairs(ROWS) do
    it(("%d: %s"):format(i, row[1]), function()
      local world = engine.world({ profile = row[4] })
      world:run((SOUND:gsub("  callback D P\n", row[4] and "" or "%0")))
      row[3](world.probe)
      local found = broken(world)
      assert.is_string(found[row[1] .. " " .. row[2]], found_words(found))
    end)
  end

  it("finds nothing in sound queues", function()
    local w = queues()
    assert.same({}, broken { probe = w, now = 10 })
    w:close()
  end)

  for _, row in ipairs(QUEUE_ROWS) do
    it("of queues: " .. row[1], function()
      local w = queues()
      row[3](w)
      local found = broken { probe = w, now = 10 }
      assert.is_string(found[row[1] .. " " .. row[2]], found_words(found))
      w:close()
    end)
  end

  it("has a row for every property", function()
    local file = assert(io.open("host/engine/check.c"))
    local text = file:read("a")
    file:close()
    local seen, missing = {}, {}
    for _, row in ipairs(ROWS) do seen[row[1]] = true end
    for _, row in ipairs(QUEUE_ROWS) do seen[row[1]] = true end
    for noun, list in text:gmatch("#define (%u+)_PROPERTIES%(X%)(.-\n)\n") do
      for name in list:gmatch("X%(([%l_]+),") do
        local property = noun:lower() .. "." .. name
        if not seen[property] then missing[#missing + 1] = property end
      end
    end
    -- The records on disk have no room for an instant of settlement while pending.
    assert.same({ "promise.pending_is_unsettled" }, missing)
  end)
end)

-- A step: what was, and what is. Records are given by what differs from these.
local PENDING = { id = "P", timeoutAt = 100, createdAt = 1, tags = { ["resonate:target"] = "http://w" } }
local SETTLED = { state = "resolved", settledAt = 5, settleSeq = 1 }

local function promise_with(members)
  local record = {}
  for name, value in pairs(PENDING) do record[name] = value end
  return change(record, members or {})
end

local function task_with(state, members)
  return change({ id = "P", state = state, version = 1 }, members or {})
end

-- property, promise before, after, task before, after; true stands for a pending promise with nothing changed.
local STEPS = {
  { "promise.is_kept", true, nil, nil, nil },
  { "promise.birth_is_kept", true, promise_with({ param = { data = "x" } }) },
  { "promise.birth_is_kept", true, promise_with({ tags = {} }) },
  { "promise.birth_is_kept", true, promise_with({ timeoutAt = 101 }) },
  { "promise.birth_is_kept", true, promise_with({ createdAt = 2 }) },
  { "promise.settled_is_kept", promise_with(SETTLED), true },
  { "promise.settled_is_kept", promise_with(SETTLED), promise_with({ state = "rejected", settledAt = 5, settleSeq = 1 }) },
  { "promise.settled_is_kept", promise_with(SETTLED), promise_with({ state = "resolved", settledAt = 6, settleSeq = 1 }) },
  { "promise.born_without_value", nil, promise_with({ value = { data = "x" } }) },
  { "task.is_kept", true, true, task_with("pending"), nil },
  { "task.birth", nil, true, nil, task_with("pending") },
  { "task.birth", nil, true, nil, task_with("suspended", { version = 0 }) },
  { "task.birth", nil, true, nil, task_with("acquired", { resumes = 1 }) },
  { "task.born_with_promise", true, true, nil, task_with("acquired") },
  { "task.edge", true, true, task_with("pending"), task_with("suspended") },
  { "task.edge", true, true, task_with("suspended"), task_with("acquired") },
  { "task.edge", true, true, task_with("halted"), task_with("acquired", { version = 2 }) },
  { "task.version_on_acquire", true, true, task_with("pending"), task_with("acquired") },
  { "task.version_on_acquire", true, true, task_with("pending"), task_with("acquired", { version = 3 }) },
  { "task.version_on_acquire", true, true, task_with("acquired"), task_with("pending", { version = 2 }) },
  { "task.acquire_clears_resumes", true, true, task_with("pending"), task_with("acquired", { version = 2, resumes = 1 }) },
  { "task.holder_is_kept", true, true, task_with("acquired", { pid = "x" }), task_with("acquired", { pid = "y" }) },
  { "task.holder_is_kept", true, true, task_with("acquired", { ttl = 1 }), task_with("acquired", { ttl = 2 }) },
  { "task.fulfilled_is_kept", true, true, task_with("fulfilled"), task_with("pending") },
  { "task.resumes_grow", true, true, task_with("pending", { resumes = 2 }), task_with("pending", { resumes = 1 }) },
  { "task.fulfilled_at_settlement", true, true, task_with("acquired"), task_with("fulfilled") },
  { "task.fulfilled_at_settlement", true, promise_with(SETTLED), task_with("acquired"), task_with("acquired") },
}

local LAWFUL = {
  { true, true, task_with("pending"), task_with("acquired", { version = 2, pid = "x", ttl = 1 }) },
  { true, true, task_with("acquired"), task_with("suspended") },
  { true, true, task_with("suspended"), task_with("pending", { resumes = 1 }) },
  { true, true, task_with("acquired", { resumes = 2 }), task_with("suspended") },
  { true, promise_with(SETTLED), task_with("halted"), task_with("fulfilled") },
  { nil, promise_with(SETTLED), nil, task_with("fulfilled", { version = 0 }) },
  { nil, true, nil, task_with("acquired") },
}

local function step(before, after, ...)
  local function given(record)
    if record == true then return promise_with() end
    return record
  end
  return probe.check_step(given(before), given(after), ...)
end

describe("the check of a step", function()
  for i, row in ipairs(STEPS) do
    it(("%d: %s"):format(i, row[1]), function()
      local names = step(row[2], row[3], row[4], row[5])
      local found = {}
      for _, name in ipairs(names) do found[name] = true end
      assert.is_true(found[row[1]] or false, "found were: " .. table.concat(names, ", "))
    end)
  end

  it("finds nothing in lawful steps", function()
    for i, row in ipairs(LAWFUL) do assert.same({}, step(row[1], row[2], row[3], row[4]), "step " .. i) end
  end)

  it("has a row for every property", function()
    local file = assert(io.open("host/engine/check.c"))
    local text = file:read("a")
    file:close()
    local seen, missing = {}, {}
    for _, row in ipairs(STEPS) do seen[row[1]] = true end
    for property in text:gmatch('judge_tell%(&?j, "([%l._]+)"') do
      if not seen[property] and not property:find("^dispatch") then missing[#missing + 1] = property end
    end
    assert.same({}, missing)
  end)
end)
