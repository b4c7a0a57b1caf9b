-- oracle.lua - the promise and task machine of the Resonate protocol as a plain Lua model.
-- SPDX-License-Identifier: Apache-2.0
--
-- Here:    every promise.* and task.* request, the background sweep, snapshots. Schedules are in
--          oracle_schedule.lua, searches in oracle_search.lua. The invariants that a snapshot (ours
--          or anybody's) can be held against are in invariants.lua.
-- Written from the text of the protocol, never from the engine: its worth is that it is a second
-- opinion. So it prefers the shape of the text to speed or cleverness, and does without the engine.
-- Sharing: replies, messages and snapshots share records with the model. Records are replaced,
--          never changed, so holding one is safe and writing to one is not.

local M = {}

local Oracle = {}
Oracle.__index = Oracle

-- What JSON null looks like in a request. A function, so that it fails every type test by itself;
-- the lightuserdata of the usual JSON libraries is taken for null too.
M.null = function() end

M.VERSION = "2026-04-01"
M.TIME_MAX = 9007199254740991 -- no deadline
M.RETRY, M.LEASE = 0, 1 -- the `type` of a task timeout in a snapshot

-- A root and what follows it are kept in separate key parts, each with its own bound.
local ROOT_BYTES_MAX, REST_BYTES_MAX = 255, 1000

-- The switches on which servers differ, each with the value this project recommends.
-- `preload_limit` (nil: unlimited) and `listener_external_only` (nil: as `await_internal` says)
-- have no entry here because their default is nil.
M.profile = {
  id_dialect = "any",
  arm = "external",
  await_internal = "allow",
  await_cross_origin = "allow",
  timer_target = "allow",
  suspend_dups = "dedupe",
  heartbeat_mixed = "allow",
  cron_dow = "quartz",
  cron_never = "minute",
  retry_timeout_ms = 30000,
}

local SWITCHES = {
  id_dialect = { any = true, colon = true, dot = true, off = true },
  arm = { external = true, target = true, all = true },
  await_internal = { allow = true, reject = true },
  await_cross_origin = { allow = true, reject = true },
  timer_target = { allow = true, reject = true },
  suspend_dups = { dedupe = true, reject = true },
  heartbeat_mixed = { allow = true, reject = true },
  listener_external_only = { [true] = true, [false] = true },
  cron_dow = { quartz = true, unix = true },
  cron_never = { minute = true, reject = true },
  search = { on = true, ["501"] = true },
  preload_limit = "integer",
  retry_timeout_ms = "integer",
}

local function full_profile(given)
  local profile = {}
  for name, value in pairs(M.profile) do
    profile[name] = value
  end
  for name, value in pairs(given or {}) do
    local allowed = SWITCHES[name]
    if allowed == nil then
      error("unknown switch " .. tostring(name))
    end
    if allowed == "integer" then
      assert(math.type(value) == "integer", name .. " wants an integer")
    elseif not allowed[value] then
      error("switch " .. name .. " has no value " .. tostring(value))
    end
    profile[name] = value
  end
  return profile
end

-- Answers -----------------------------------------------------------------------------------------

local function ok(data, status)
  return { status = status or 200, data = data }
end

local function fail(status, text)
  return { status = status, data = text }
end

-- The protocol fixes the status but not the words.
local function loose(status, text)
  return { status = status, data = text, loose = true }
end

-- Broken field rules, given as `condition and 'message'`, in one 400; nil when none is broken.
-- The protocol joins them in no particular order, which `unordered` says to whoever compares.
local function broken(...)
  local words, seen = {}, {}
  for i = 1, select("#", ...) do
    local word = select(i, ...)
    if word and not seen[word] then
      seen[word] = true
      words[#words + 1] = word
    end
  end
  if #words == 0 then
    return nil
  end
  local reply = fail(400, table.concat(words, "; "))
  reply.unordered = #words > 1 or nil
  return reply
end

-- Shapes ------------------------------------------------------------------------------------------

local function is_null(v)
  return v == M.null or type(v) == "userdata"
end

-- An empty Lua table stands for {} and for [] alike.
local function is_object(v)
  return type(v) == "table" and v[1] == nil
end

local function is_array(v)
  return type(v) == "table" and (v[1] ~= nil or next(v) == nil)
end

local function is_string_map(v)
  if not is_object(v) then
    return false
  end
  for key, item in pairs(v) do
    if type(key) ~= "string" or type(item) ~= "string" then
      return false
    end
  end
  return true
end

local SETTLED = { resolved = true, rejected = true, rejected_canceled = true }

local is = {}

local function fits(shape, v)
  if not is_object(v) then
    return false
  end
  for name, kind in pairs(shape) do
    if not is[kind](v[name]) then
      return false
    end
  end
  return true
end

local function each(v, shape_name)
  if not is_array(v) then
    return false
  end
  for _, item in ipairs(v) do
    if not is[shape_name](item) then
      return false
    end
  end
  return true
end

-- `kind` and `head` of a nested action may be missing; a kind that is there must be a string.
local function is_action(shape, v)
  return is_object(v) and (v.kind == nil or type(v.kind) == "string") and fits(shape, v.data)
end

local CREATE = { id = "string", timeoutAt = "integer", param = "value", tags = "tags" }
local SETTLE = { id = "string", state = "verdict", value = "value" }
local CALLBACK = { awaited = "string", awaiter = "string" }
local HELD = { id = "string", version = "integer" }

function is.string(v)
  return type(v) == "string"
end
function is.integer(v)
  return math.type(v) == "integer"
end
function is.value(v)
  if v == nil then
    return true
  end
  if not is_object(v) then
    return false
  end
  local headers, data = v.headers, v.data
  return (headers == nil or is_null(headers) or is_string_map(headers))
    and (data == nil or is_null(data) or type(data) == "string")
end
function is.tags(v)
  return v == nil or is_string_map(v)
end
function is.verdict(v)
  return SETTLED[v] == true
end
function is.step_verdict(v)
  return SETTLED[v] == true or v == "rejected_timedout"
end
function is.create(v)
  return fits(CREATE, v)
end
function is.create_action(v)
  return is_action(CREATE, v)
end
function is.settle_action(v)
  return is_action(SETTLE, v)
end
function is.callback_action(v)
  return is_action(CALLBACK, v)
end
function is.callback_actions(v)
  return each(v, "callback_action")
end
function is.held(v)
  return fits(HELD, v)
end
function is.held_list(v)
  return each(v, "held")
end
function is.action(v)
  return is_object(v)
end

local SHAPES = {
  ["promise.get"] = { id = "string" },
  ["promise.create"] = CREATE,
  ["promise.settle"] = SETTLE,
  ["promise.register_callback"] = CALLBACK,
  ["promise.register_listener"] = { awaited = "string", address = "string" },
  ["task.get"] = { id = "string" },
  ["task.create"] = { pid = "string", ttl = "integer", action = "create_action" },
  ["task.acquire"] = { id = "string", version = "integer", pid = "string", ttl = "integer" },
  ["task.release"] = HELD,
  ["task.fulfill"] = { id = "string", version = "integer", action = "settle_action" },
  ["task.suspend"] = { id = "string", version = "integer", actions = "callback_actions" },
  ["task.fence"] = { id = "string", version = "integer", action = "action" },
  ["task.heartbeat"] = { pid = "string", tasks = "held_list" },
  ["task.halt"] = { id = "string" },
  ["task.continue"] = { id = "string" },
  ["task.step"] = {
    id = "string",
    version = "integer",
    promise = "create",
    state = "step_verdict",
    value = "value",
    createdAt = "integer",
  },
  ["task.again"] = {
    id = "string",
    version = "integer",
    promise = "create",
    createdAt = "integer",
    generation = "integer",
  },
  ["task.spawn"] = {
    id = "string",
    version = "integer",
    pid = "string",
    ttl = "integer",
    promise = "create",
  },
}

-- Ids, tags, addresses ----------------------------------------------------------------------------

local function too_long(id)
  local colon = id:find(":", 1, true)
  local root = colon and colon - 1 or #id
  return root > ROOT_BYTES_MAX or #id - root > REST_BYTES_MAX
end

local function any_too_long(...)
  for i = 1, select("#", ...) do
    if too_long((select(i, ...))) then
      return loose(400, "Id too long")
    end
  end
end

-- The part of an id before the first separator of a dialect.
local function origin_of(id, separator)
  local at = id:find(separator, 1, true)
  return at and id:sub(1, at - 1) or id
end

local function same_origin(profile, a, b)
  local dialect = profile.id_dialect
  if dialect == "off" then
    return true
  end
  local colon = origin_of(a, ":") == origin_of(b, ":")
  local dot = origin_of(a, ".") == origin_of(b, ".")
  if dialect == "colon" then
    return colon
  elseif dialect == "dot" then
    return dot
  end
  return colon or dot
end

local function starts_with(id, prefix, separator)
  return id:sub(1, #prefix + 1) == prefix .. separator
end

-- Is `id` the given ancestor or one of its descendants?
local function descends(dialect, id, ancestor)
  if id == ancestor then
    return true
  elseif dialect == "any" then
    return starts_with(id, ancestor, ":") or starts_with(id, ancestor, ".")
  elseif dialect == "dot" then
    return starts_with(id, ancestor, ".")
  end
  return starts_with(id, ancestor, ancestor:find(":", 1, true) and "." or ":")
end

local function check_origin(dialect, id, origin)
  local has_colon, has_dot = origin:find(":", 1, true), origin:find(".", 1, true)
  if dialect == "dot" and has_dot then
    return fail(400, "resonate:origin must not contain '.'")
  end
  local dot_rule = not has_dot and descends("dot", id, origin)
  if has_colon and (dialect == "colon" or dialect == "any" and not dot_rule) then
    return fail(400, "resonate:origin must not contain ':'")
  end
  if not descends(dialect, id, origin) then
    return fail(400, "Promise ID must be prefixed by resonate:origin")
  end
end

local function check_lineage(dialect, id, tags)
  local origin, prefix = tags["resonate:origin"], tags["resonate:prefix"]
  local branch, parent = tags["resonate:branch"], tags["resonate:parent"]
  local reply = origin and check_origin(dialect, id, origin)
  if reply then
    return reply
  end
  if branch and not descends(dialect, id, branch) then
    return fail(400, "Promise ID must be prefixed by resonate:branch")
  end
  if parent and not descends(dialect, id, parent) then
    return fail(400, "Promise ID must be prefixed by resonate:parent")
  end
  if prefix and prefix:find(".", 1, true) then
    return fail(400, "resonate:prefix must not contain '.'")
  end
end

local function delay_of(tags)
  local text = tags["resonate:delay"]
  if text and text:match("^%d+$") then
    local instant = tonumber(text)
    return math.type(instant) == "integer" and instant or nil
  end
end

local NEEDS_HOST = { http = true, https = true, ws = true, wss = true, ftp = true }

-- Any URI with a scheme will do (one that nobody routes is merely undeliverable), except that the
-- schemes of the web need a host.
local function is_address(text)
  local scheme, rest = text:match("^(%a[%w+.-]*):(.*)$")
  if not scheme or text:find("[%c ]") then
    return false
  end
  if NEEDS_HOST[scheme:lower()] then
    local authority = rest:match("^//([^/?#]*)")
    local host = authority and authority:gsub("^.*@", ""):gsub(":%d*$", "")
    return host ~= nil and host ~= ""
  end
  return true
end

local function is_timer(tags)
  return tags["resonate:timer"] == "true"
end

local function is_external(tags)
  return tags["resonate:target"] ~= nil
    or is_timer(tags)
    or tags["resonate:external"] == "true"
    or tags["resonate:scope"] == "global"
end

-- Are callbacks, and are listeners, refused on internal promises?
local function external_only(profile)
  local callbacks, listeners = profile.await_internal == "reject", profile.listener_external_only
  if listeners == nil then
    listeners = callbacks
  end
  return callbacks, listeners
end

-- What a creation must satisfy beyond its shape and its field rules.
local function check_create(o, d)
  local tags, dialect = d.tags or {}, o.profile.id_dialect
  if d.id:find("\0", 1, true) then
    return fail(400, "Promise ID must not contain null bytes")
  end
  local reply = any_too_long(d.id)
  if not reply and dialect ~= "off" then
    reply = check_lineage(dialect, d.id, tags)
  end
  if reply then
    return reply
  end
  local target = tags["resonate:target"]
  if tags["resonate:delay"] then
    local delay = delay_of(tags)
    if not delay then
      return fail(400, "resonate:delay must be a non-negative integer")
    elseif delay >= d.timeoutAt then
      return fail(400, "resonate:delay must be less than timeoutAt")
    elseif not target then
      return fail(400, "resonate:delay requires a resonate:target tag")
    end
  end
  if o.profile.timer_target == "reject" and target and is_timer(tags) then
    return loose(400, "A timer must not have a resonate:target tag")
  end
  if target and not is_address(target) then
    return fail(400, "Invalid resonate:target address")
  end
end

-- The model ---------------------------------------------------------------------------------------

-- promise: id, record (replaced, never changed), deadline (nil: not armed),
--          callbacks {awaiter id = true}, listeners {address = true}
-- task:    id, state, version, pid, ttl, resumes {promise id = true}, resumed (their count),
--          timer (RETRY, LEASE or nil) and due, awaits {promise id = true} (callbacks turned round)

---@param options? { profile?: table }
function M.new(options)
  return setmetatable({
    profile = full_profile(options and options.profile),
    promises = {},
    tasks = {},
    ids = {}, -- of all promises, sorted bytewise
    branches = {}, -- branch tag to the sorted ids that carry it
    schedules = {}, -- id to record; records are replaced here too
    catch_up = {}, -- id to "last" or "none"
    generations = {}, -- id to how often it began; nil: once
  }, Oracle)
end

local function copy(set)
  local new = {}
  for key, value in pairs(set) do
    new[key] = value
  end
  return new
end

local function copy_value(v)
  local new = {}
  if v then
    if not is_null(v.headers) and v.headers then
      new.headers = copy(v.headers)
    end
    if not is_null(v.data) then
      new.data = v.data
    end
  end
  return new
end

local function sorted_keys(set)
  local keys = {}
  for key in pairs(set) do
    keys[#keys + 1] = key
  end
  table.sort(keys) -- bytewise: Lua compares strings so as long as nobody calls os.setlocale
  return keys
end

local function insert_sorted(list, id)
  local low, high = 1, #list + 1
  while low < high do
    local middle = (low + high) // 2
    if list[middle] < id then
      low = middle + 1
    else
      high = middle
    end
  end
  table.insert(list, low, id)
end

-- Instants are signed 64-bit numbers: a sum that leaves them ends at the last instant.
local function later(now, ms)
  local at = now + ms
  return at >= now and at or math.maxinteger
end

local function verdict(record)
  local new = copy(record)
  new.state = is_timer(record.tags) and "resolved" or "rejected_timedout"
  new.value = {}
  new.settledAt = record.timeoutAt
  return new
end

local function is_alive(record, now)
  return record.state == "pending" and now < record.timeoutAt
end

local function projected(record, now)
  if record.state == "pending" and now >= record.timeoutAt then
    return verdict(record)
  end
  return record
end

local function task_record(t)
  return {
    id = t.id,
    state = t.state,
    version = t.version,
    resumes = t.resumed,
    ttl = t.ttl,
    pid = t.pid,
  }
end

local function clear_resumes(t)
  t.resumes, t.resumed = {}, 0
end

local function resume(t, awaited)
  if not t.resumes[awaited] then
    t.resumes[awaited] = true
    t.resumed = t.resumed + 1
  end
end

-- Every change of a task's state passes here: the timer follows from the state, and nobody but an
-- acquired task has a holder.
local function enter(t, state, timer, due)
  t.state, t.timer, t.due = state, timer, due
  if state ~= "acquired" then
    t.pid, t.ttl = nil, nil
  end
end

local function emit_execute(o, t, out)
  local target = o.promises[t.id].record.tags["resonate:target"]
  out.execute[#out.execute + 1] =
    { kind = "execute", id = t.id, version = t.version, address = target }
end

local function dispatch(o, t, now, out)
  enter(t, "pending", M.RETRY, later(now, o.profile.retry_timeout_ms))
  emit_execute(o, t, out)
end

local function hold(t, pid, ttl, now)
  enter(t, "acquired", M.LEASE, later(now, ttl))
  t.version = t.version + 1
  t.pid, t.ttl = pid, ttl
  clear_resumes(t)
end

-- The holder that a request claims to be.
local function holds(t, d)
  return t.state == "acquired" and t.version == d.version
end

-- Settlement: all promises of the batch and their tasks first, then callbacks, then listeners. An
-- entry is {promise, its settled record}.
local function settle(o, batch, now, out)
  for _, entry in ipairs(batch) do
    local p, t = entry[1], o.tasks[entry[1].id]
    p.record, p.deadline = entry[2], nil
    if t and t.state ~= "fulfilled" then
      enter(t, "fulfilled")
      clear_resumes(t)
      for awaited in pairs(t.awaits) do
        o.promises[awaited].callbacks[t.id] = nil
      end
      t.awaits = {}
    end
  end
  for _, entry in ipairs(batch) do
    local p = entry[1]
    for _, awaiter in ipairs(sorted_keys(p.callbacks)) do
      local t = o.tasks[awaiter]
      t.awaits[p.id] = nil
      -- An awaiter past its own deadline is dead although its row may still say pending.
      if is_alive(o.promises[awaiter].record, now) then
        if t.state == "suspended" then
          dispatch(o, t, now, out)
        end
        resume(t, p.id)
      end
    end
    p.callbacks = {}
  end
  for _, entry in ipairs(batch) do
    local p = entry[1]
    for _, address in ipairs(sorted_keys(p.listeners)) do
      out.unblock[#out.unblock + 1] = { kind = "unblock", id = p.id, address = address }
    end
    p.listeners = {}
  end
end

local function settle_by_client(o, p, state, value, now, out)
  local record = copy(p.record)
  record.state, record.value, record.settledAt = state, copy_value(value), math.max(now, record.createdAt)
  settle(o, { { p, record } }, now, out)
end

-- Materialises the expiry of the named promises, all of them before anything else is looked at.
local function expire(o, ids, now, out)
  local batch, seen = {}, {}
  for _, id in ipairs(ids) do
    local p = o.promises[id]
    if p and not seen[id] and p.record.state == "pending" and now >= p.record.timeoutAt then
      seen[id] = true
      batch[#batch + 1] = { p, verdict(p.record) }
    end
  end
  settle(o, batch, now, out)
end

local function arms_at_birth(profile, tags)
  if profile.arm == "all" then
    return true
  elseif profile.arm == "target" then
    return tags["resonate:target"] ~= nil
  end
  return is_external(tags)
end

-- The first waiter of a promise arms it, so that nobody waits for a deadline that no one watches.
local function arm_for_waiter(o, p)
  if o.profile.arm == "external" then
    p.deadline = p.record.timeoutAt
  end
end

-- Stores a new promise and its task, if it has one. With `pid` the task is born acquired. A schedule
-- makes its promise as of the instant it is for.
local function create(o, d, now, out, pid, ttl, instant)
  local tags = copy(d.tags or {})
  if now >= d.timeoutAt and is_timer(tags) then
    -- It settles at once, behind the deadlines that passed before its own.
    local earlier = {}
    for _, id in ipairs(o.ids) do
      local deadline = o.promises[id].deadline
      if deadline and deadline <= d.timeoutAt then earlier[#earlier + 1] = id end
    end
    expire(o, earlier, now, out)
  end
  local record = {
    id = d.id,
    state = "pending",
    param = copy_value(d.param),
    value = {},
    tags = tags,
    timeoutAt = d.timeoutAt,
    createdAt = instant or now,
  }
  local alive = now < d.timeoutAt
  if not alive then
    record.createdAt = math.min(instant or d.timeoutAt, d.timeoutAt)
    record = verdict(record)
  end
  local p = { id = d.id, record = record, callbacks = {}, listeners = {} }
  if alive and arms_at_birth(o.profile, tags) then
    p.deadline = d.timeoutAt
  end
  o.promises[d.id] = p
  insert_sorted(o.ids, d.id)
  local branch = tags["resonate:branch"]
  if branch then
    o.branches[branch] = o.branches[branch] or {}
    insert_sorted(o.branches[branch], d.id)
  end
  if not tags["resonate:target"] then
    return
  end
  local t = { id = d.id, version = 0, resumes = {}, resumed = 0, awaits = {} }
  o.tasks[d.id] = t
  local delay = delay_of(tags)
  if not alive then
    enter(t, "fulfilled")
  elseif pid then
    hold(t, pid, ttl, now)
  elseif delay and delay > now then
    enter(t, "pending", M.RETRY, delay)
  else
    dispatch(o, t, now, out)
  end
end

local function await(o, awaited, awaiter)
  local p = o.promises[awaited]
  p.callbacks[awaiter] = true
  o.tasks[awaiter].awaits[awaited] = true
  arm_for_waiter(o, p)
end

-- The promises of the same branch as `id`, without it, in order of id.
local function preload(o, id, now)
  local list, limit = {}, o.profile.preload_limit or math.maxinteger
  local branch = o.promises[id].record.tags["resonate:branch"]
  if branch and branch ~= "" then
    for _, other in ipairs(o.branches[branch]) do
      if #list >= limit then
        break
      end
      if other ~= id then
        list[#list + 1] = projected(o.promises[other].record, now)
      end
    end
  end
  return list
end

-- Requests ----------------------------------------------------------------------------------------

-- Each kind has a check (data only; an answer means refusal) and a run (try_timeout, then decide).
-- The shape has been checked before either.
local check, run = {}, {}

local function no_id(id)
  return id == "" and "Promise ID is required"
end

local function no_task_id(id)
  return id == "" and "Task ID is required"
end

local function bad_version(version)
  return version < 0 and "Version must be a non-negative integer"
end

local function bad_timeout(timeout)
  return timeout < 0 and "TimeoutAt must be a non-negative integer"
end

local function bad_pid(pid)
  return pid == "" and "Process ID is required"
end

local function bad_ttl(ttl)
  return ttl < 1 and "TTL must be a positive integer"
end

check["promise.get"] = function(_, d)
  return broken(no_id(d.id)) or any_too_long(d.id)
end

run["promise.get"] = function(o, d, now, out)
  expire(o, { d.id }, now, out)
  local p = o.promises[d.id]
  if not p then
    return fail(404, "Promise not found")
  end
  return ok({ promise = p.record })
end

check["promise.create"] = function(o, d)
  return broken(no_id(d.id), bad_timeout(d.timeoutAt)) or check_create(o, d)
end

run["promise.create"] = function(o, d, now, out)
  expire(o, { d.id }, now, out)
  if not o.promises[d.id] then
    create(o, d, now, out)
  end
  return ok({ promise = o.promises[d.id].record })
end

check["promise.settle"] = check["promise.get"]

run["promise.settle"] = function(o, d, now, out)
  expire(o, { d.id }, now, out)
  local p = o.promises[d.id]
  if not p then
    return fail(404, "Promise not found")
  end
  if p.record.state == "pending" then
    settle_by_client(o, p, d.state, d.value, now, out)
  end
  return ok({ promise = p.record })
end

check["promise.register_callback"] = function(o, d)
  local reply = broken(
    d.awaited == "" and "Awaited promise ID is required",
    d.awaiter == "" and "Awaiter promise ID is required",
    d.awaited == d.awaiter and "Awaited and awaiter must be different promises"
  ) or any_too_long(d.awaited, d.awaiter)
  if reply then
    return reply
  end
  local same = same_origin(o.profile, d.awaited, d.awaiter)
  if not same and o.profile.await_cross_origin == "reject" then
    return fail(400, "Awaiter and awaited must belong to the same origin")
  end
end

run["promise.register_callback"] = function(o, d, now, out)
  expire(o, { d.awaited, d.awaiter }, now, out)
  local awaited, awaiter = o.promises[d.awaited], o.promises[d.awaiter]
  local t = o.tasks[d.awaiter]
  if not awaited then
    return fail(404, "Awaited promise not found")
  elseif not awaiter then
    return fail(422, "Awaiter promise not found")
  elseif not t then
    return fail(422, "Awaiter promise has no resonate:target tag")
  elseif external_only(o.profile) and not is_external(awaited.record.tags) then
    return fail(422, "Awaited promise is not awaitable")
  end
  if awaiter.record.state == "pending" then
    if awaited.record.state == "pending" then
      await(o, d.awaited, d.awaiter)
    elseif t.state == "suspended" then
      dispatch(o, t, now, out)
      resume(t, d.awaited)
    elseif t.state ~= "halted" then
      resume(t, d.awaited)
    end
  end
  return ok({ promise = awaited.record })
end

check["promise.register_listener"] = function(_, d)
  local reply = broken(
    d.awaited == "" and "Awaited promise ID is required",
    d.address == "" and "Address is required"
  ) or any_too_long(d.awaited)
  if reply then
    return reply
  end
  if not is_address(d.address) then
    return fail(400, "Invalid listener address")
  end
end

run["promise.register_listener"] = function(o, d, now, out)
  expire(o, { d.awaited }, now, out)
  local p = o.promises[d.awaited]
  if not p then
    return fail(404, "Awaited promise not found")
  end
  local _, no_listeners = external_only(o.profile)
  if no_listeners and not is_external(p.record.tags) then
    return loose(422, "Awaited promise is not awaitable")
  end
  if p.record.state == "pending" then
    p.listeners[d.address] = true
    arm_for_waiter(o, p)
  end
  return ok({ promise = p.record })
end

check["task.get"] = function(_, d)
  return broken(no_task_id(d.id)) or any_too_long(d.id)
end

run["task.get"] = function(o, d, now, out)
  expire(o, { d.id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  end
  return ok({ task = task_record(t) })
end

check["task.create"] = function(o, d)
  local nested = d.action.data
  local tags = nested.tags or {}
  return broken(
    bad_pid(d.pid),
    bad_ttl(d.ttl),
    no_id(nested.id),
    bad_timeout(nested.timeoutAt),
    not tags["resonate:target"] and "Action must have a resonate:target tag",
    tags["resonate:delay"] and "Action must not have a resonate:delay tag"
  ) or check_create(o, nested)
end

run["task.create"] = function(o, d, now, out)
  local id = d.action.data.id
  expire(o, { id }, now, out)
  local t, fresh = o.tasks[id], not o.promises[id]
  if fresh then
    create(o, d.action.data, now, out, d.pid, d.ttl)
    t = o.tasks[id]
  elseif not t then
    return fail(422, "The promise does not have a resonate:target tag")
  elseif t.state == "pending" then
    hold(t, d.pid, d.ttl, now)
  elseif t.state ~= "fulfilled" then
    return fail(409, "Already exists")
  end
  -- Only the born dead is answered without a look at its branch.
  local born_dead = fresh and t.state == "fulfilled"
  return ok({
    task = task_record(t),
    promise = o.promises[id].record,
    preload = born_dead and {} or preload(o, id, now),
  })
end

check["task.acquire"] = function(_, d)
  return broken(no_task_id(d.id), bad_version(d.version), bad_pid(d.pid), bad_ttl(d.ttl))
    or any_too_long(d.id)
end

run["task.acquire"] = function(o, d, now, out)
  expire(o, { d.id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif t.state ~= "pending" then
    return fail(409, "Task is not pending")
  elseif t.version ~= d.version then
    return fail(409, "Version mismatch")
  end
  hold(t, d.pid, d.ttl, now)
  return ok({
    task = task_record(t),
    promise = o.promises[d.id].record,
    preload = preload(o, d.id, now),
  })
end

check["task.release"] = function(_, d)
  return broken(no_task_id(d.id), bad_version(d.version)) or any_too_long(d.id)
end

run["task.release"] = function(o, d, now, out)
  expire(o, { d.id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif not holds(t, d) then
    return fail(409, "Task version mismatch or invalid state")
  end
  dispatch(o, t, now, out)
  return ok({})
end

check["task.fulfill"] = function(_, d)
  return broken(
    no_task_id(d.id),
    bad_version(d.version),
    no_id(d.action.data.id),
    d.action.data.id ~= d.id and "Action ID must match the task ID"
  ) or any_too_long(d.id)
end

run["task.fulfill"] = function(o, d, now, out)
  expire(o, { d.id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif not holds(t, d) then
    return fail(409, "Task version mismatch or invalid state")
  end
  local p = o.promises[d.id]
  settle_by_client(o, p, d.action.data.state, d.action.data.value, now, out)
  return ok({ promise = p.record })
end

check["task.suspend"] = function(o, d)
  local foreign, own, nameless, anonymous, twice, mixed, long
  local seen = {}
  for _, action in ipairs(d.actions) do
    local awaited, awaiter = action.data.awaited, action.data.awaiter
    nameless = nameless or awaited == ""
    anonymous = anonymous or awaiter == ""
    foreign = foreign or awaiter ~= d.id
    own = own or awaited == d.id or awaited == awaiter
    twice = twice or seen[awaited]
    mixed = mixed or not same_origin(o.profile, awaited, d.id)
    long = long or any_too_long(awaited, awaiter)
    seen[awaited] = true
  end
  local reply = broken(
    no_task_id(d.id),
    bad_version(d.version),
    #d.actions == 0 and "Actions array cannot be empty",
    nameless and "Awaited promise ID is required",
    anonymous and "Awaiter promise ID is required",
    foreign and "All action awaiter IDs must match the task ID",
    own and "Action awaited promise must not equal the task ID",
    twice and o.profile.suspend_dups == "reject" and "Awaited promise IDs must be unique",
    mixed
      and o.profile.await_cross_origin == "reject"
      and "Awaited promise must belong to the same origin as the task"
  )
  if reply then
    reply.loose = own or nil -- the rule on one callback may speak first
    return reply
  end
  return long or any_too_long(d.id)
end

run["task.suspend"] = function(o, d, now, out)
  local named = { d.id }
  for _, action in ipairs(d.actions) do
    named[#named + 1] = action.data.awaited
  end
  expire(o, named, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif not holds(t, d) then
    return fail(409, "Task is not acquired or version mismatch")
  end
  local settled, internal = false, false
  for i = 2, #named do
    local p = o.promises[named[i]]
    if not p then
      return fail(422, "Awaited promise not found")
    end
    settled = settled or p.record.state ~= "pending"
    internal = internal or not is_external(p.record.tags)
  end
  if internal and external_only(o.profile) then
    return fail(422, "Awaited promise is not awaitable")
  end
  clear_resumes(t)
  if settled then
    return ok({ preload = preload(o, d.id, now) }, 300)
  end
  for i = 2, #named do
    await(o, named[i], d.id)
  end
  enter(t, "suspended")
  return ok({})
end

check["task.fence"] = function(o, d)
  local action = d.action
  if action.kind ~= "promise.create" and action.kind ~= "promise.settle" then
    local reply = fail(400, "Invalid fence action kind")
    reply.loose = type(action.kind) ~= "string" or nil
    return reply
  end
  if not fits(SHAPES[action.kind], action.data) then
    return loose(400, "Invalid action data: shape")
  end
  local reply = broken(
    no_task_id(d.id),
    bad_version(d.version),
    action.data.id == d.id and "Action ID must not equal the task ID"
  ) or any_too_long(d.id)
  if reply then
    return reply
  end
  reply = check[action.kind](o, action.data)
  if reply and (action.data.id == "" or action.data.timeoutAt and action.data.timeoutAt < 0) then
    reply.loose = true -- a field rule of the nested request, with or without a word in front
  end
  return reply
end

run["task.fence"] = function(o, d, now, out)
  local action = d.action
  expire(o, { d.id, action.data.id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif not holds(t, d) then
    return fail(409, "Version mismatch")
  end
  local inner = run[action.kind](o, action.data, now, out)
  return ok({
    action = {
      kind = action.kind,
      head = { status = inner.status, version = M.VERSION, corrId = out.corr_id },
      data = inner.data,
    },
    preload = preload(o, d.id, now),
  })
end

check["task.heartbeat"] = function(o, d)
  local nameless, negative, mixed, long
  for _, entry in ipairs(d.tasks) do
    nameless = nameless or no_task_id(entry.id)
    negative = negative or bad_version(entry.version)
    mixed = mixed or not same_origin(o.profile, d.tasks[1].id, entry.id)
    long = long or any_too_long(entry.id)
  end
  local reply = broken(
    bad_pid(d.pid),
    #d.tasks == 0 and "Tasks array must not be empty",
    nameless,
    negative,
    mixed and o.profile.heartbeat_mixed == "reject" and "All tasks must belong to the same origin"
  )
  return reply or long
end

-- Nothing is materialised here: an entry whose promise is past its deadline does not match.
run["task.heartbeat"] = function(o, d, now)
  for _, entry in ipairs(d.tasks) do
    local t = o.tasks[entry.id]
    if t and holds(t, entry) and t.pid == d.pid and is_alive(o.promises[t.id].record, now) then
      t.due = later(now, t.ttl)
    end
  end
  return ok({})
end

check["task.halt"] = check["task.get"]

run["task.halt"] = function(o, d, now, out)
  expire(o, { d.id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif t.state == "fulfilled" then
    return fail(409, "Task is fulfilled")
  end
  enter(t, "halted")
  return ok({})
end

check["task.continue"] = check["task.get"]

run["task.continue"] = function(o, d, now, out)
  expire(o, { d.id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif t.state ~= "halted" then
    return fail(409, "Task is not halted")
  end
  dispatch(o, t, now, out)
  return ok({})
end

-- The two requests of the worker in the same process. Each leaves what the protocol's own requests
-- would leave, in one transaction.

-- task.step: the creation and the settlement of a finished local step. A fenced promise.create at
-- createdAt, then a fenced promise.settle now.
check["task.step"] = function(o, d, now)
  local wanted = d.promise
  local tags = wanted.tags or {}
  local reply = broken(
    no_task_id(d.id),
    bad_version(d.version),
    no_id(wanted.id),
    bad_timeout(wanted.timeoutAt),
    wanted.id == d.id and "Action ID must not equal the task ID"
  ) or any_too_long(d.id)
  if reply then
    return reply
  end
  if d.createdAt < 0 or tags["resonate:target"] or tags["resonate:timer"] then
    return loose(400, "A step has neither target nor timer, and a creation instant")
  end
  reply = check_create(o, wanted)
  if reply then
    return reply
  end
  -- The deadline verdict belongs to the server; a step may only repeat it.
  local stored = o.promises[wanted.id]
  local early = now < wanted.timeoutAt or stored and is_alive(stored.record, now)
  if d.state == "rejected_timedout" and early then
    return loose(400, "A promise before its deadline cannot have timed out")
  end
end

run["task.step"] = function(o, d, now, out)
  local id = d.promise.id
  expire(o, { d.id, id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif not holds(t, d) then
    return fail(409, "Version mismatch")
  end
  if not o.promises[id] then
    create(o, d.promise, math.min(d.createdAt, now), out)
    expire(o, { id }, now, out)
  end
  local p = o.promises[id]
  if p.record.state == "pending" then
    settle_by_client(o, p, d.state, d.value, now, out)
  end
  return ok({ promise = p.record })
end

-- task.again: the mark of the next generation, created and settled at once below the task. What has resumed the task is
-- forgotten; what it was waiting for stays, as only a settlement uses up a callback.
check["task.again"] = function(o, d)
  local wanted = d.promise
  local tags = wanted.tags or {}
  local reply = broken(no_task_id(d.id), bad_version(d.version), no_id(wanted.id)) or any_too_long(d.id)
  local below = wanted.id:sub(1, #d.id) == d.id and wanted.id:find("^[.:].", #d.id + 1)
  local never = wanted.timeoutAt >= (1 << 53) - 1
  if reply or not below or not never or d.generation < 2 or d.createdAt < 0 then
    return loose(400, "A generation has a mark below its task, a number from 2 on, and no deadline")
  elseif tags["resonate:target"] or tags["resonate:timer"] then
    return loose(400, "A mark has neither target nor timer")
  end
  return check_create(o, wanted)
end

run["task.again"] = function(o, d, now, out)
  local id = d.promise.id
  expire(o, { d.id, id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif not holds(t, d) then
    return fail(409, "Version mismatch")
  elseif d.generation ~= (o.generations[d.id] or 1) + 1 or o.promises[id] then
    return fail(422, "The generation does not follow the last one")
  end
  create(o, d.promise, math.min(d.createdAt, now), out)
  settle_by_client(o, o.promises[id], "resolved", {}, now, out)
  clear_resumes(t)
  o.generations[d.id] = d.generation
  return ok({ promise = o.promises[id].record })
end

-- task.spawn: a child with a task of its own that starts in this process. A fenced promise.create,
-- then the acquisition of the new task; one that was there before is left alone.
check["task.spawn"] = function(o, d)
  local tags = d.promise.tags or {}
  local reply = broken(
    no_task_id(d.id),
    bad_version(d.version),
    bad_pid(d.pid),
    bad_ttl(d.ttl),
    no_id(d.promise.id),
    bad_timeout(d.promise.timeoutAt),
    d.promise.id == d.id and "Action ID must not equal the task ID",
    not tags["resonate:target"] and "Action must have a resonate:target tag",
    tags["resonate:delay"] and "Action must not have a resonate:delay tag"
  ) or any_too_long(d.id)
  if reply then
    reply.loose = true
    return reply
  end
  return check_create(o, d.promise)
end

run["task.spawn"] = function(o, d, now, out)
  local id = d.promise.id
  expire(o, { d.id, id }, now, out)
  local t = o.tasks[d.id]
  if not t then
    return fail(404, "Task not found")
  elseif not holds(t, d) then
    return fail(409, "Version mismatch")
  end
  if not o.promises[id] then
    create(o, d.promise, now, out, d.pid, d.ttl)
  end
  local spawned = o.tasks[id]
  return ok({ promise = o.promises[id].record, task = spawned and task_record(spawned) })
end

-- Does the request name, anywhere, an id beyond the limits? The words for that are an implementation's own, and
-- whether they stand beside other words or instead of them as well.
local function names_long_id(data)
  for name, item in pairs(data) do
    if type(item) == "table" and names_long_id(item) then
      return true
    elseif type(item) == "string" and (name == "id" or name == "awaited" or name == "awaiter") and too_long(item) then
      return true
    end
  end
  return false
end

local function decide(o, request, now, out)
  local kind, data = request.kind, request.data
  if type(kind) ~= "string" or kind == "" then
    return loose(400, "Missing or invalid 'kind' field \u{2014} must be a non-empty string")
  elseif not is_object(data) then
    return fail(400, "Invalid 'data' field \u{2014} must be an object")
  elseif not SHAPES[kind] then
    return fail(400, "Unknown operation: " .. kind)
  elseif not fits(SHAPES[kind], data) then
    return loose(400, "Invalid request: shape")
  end
  local refusal = check[kind](o, data, now)
  if refusal and names_long_id(data) then
    refusal.loose = true
  end
  return refusal or run[kind](o, data, now, out)
end

local function collect(out)
  local messages = out.execute
  table.move(out.unblock, 1, #out.unblock, #messages + 1, messages)
  return messages
end

--- Applies one request at the instant `now`, which never goes backwards from call to call. The kind
--- `sweep` (data ignored) stands for the background sweep, so that one list can hold both.
---@return table reply  {status, data}; `loose`: the words are not fixed; `unordered`: joined freely
---@return table messages
function Oracle:apply(request, now)
  if request.kind == "sweep" then
    return self:sweep(now)
  end
  local out = { execute = {}, unblock = {}, corr_id = request.head and request.head.corrId }
  local reply = decide(self, request, now, out)
  return reply, collect(out)
end

--- What falls due at `now`: armed deadlines first, so that no dead task is dispatched again, then
--- retry timers, then leases.
function Oracle:sweep(now)
  local out = { execute = {}, unblock = {} }
  local expired, due = {}, { [M.RETRY] = {}, [M.LEASE] = {} }
  for _, id in ipairs(self.ids) do
    local p = self.promises[id]
    if p.deadline and p.deadline <= now then
      expired[#expired + 1] = id
    end
  end
  expire(self, expired, now, out)
  for _, id in ipairs(self.ids) do
    local t = self.tasks[id]
    if t and t.timer and t.due <= now and is_alive(self.promises[id].record, now) then
      table.insert(due[t.timer], t)
    end
  end
  for _, timer in ipairs({ M.RETRY, M.LEASE }) do
    for _, t in ipairs(due[timer]) do
      dispatch(self, t, now, out)
    end
  end
  M.sweep_schedules(self, now, out)
  return ok({}), collect(out)
end

--- The stored state in the shape of debug.snap, without messages. Callbacks are in order of
--- (awaited, awaiter), listeners of (id, address), everything else of id.
function Oracle:snapshot()
  local s = {
    promises = {},
    promiseTimeouts = {},
    callbacks = {},
    listeners = {},
    tasks = {},
    taskTimeouts = {},
    schedules = {},
  }
  for i, id in ipairs(sorted_keys(self.schedules)) do
    s.schedules[i] = self.schedules[id]
  end
  for i, id in ipairs(self.ids) do
    local p, t = self.promises[id], self.tasks[id]
    s.promises[i] = p.record
    if p.deadline then
      table.insert(s.promiseTimeouts, { id = id, timeout = p.deadline })
    end
    if next(p.callbacks) then
      for _, awaiter in ipairs(sorted_keys(p.callbacks)) do
        table.insert(s.callbacks, { awaiter = awaiter, awaited = id })
      end
    end
    if next(p.listeners) then
      for _, address in ipairs(sorted_keys(p.listeners)) do
        table.insert(s.listeners, { id = id, address = address })
      end
    end
    if t then
      table.insert(s.tasks, task_record(t))
      if t.timer then
        table.insert(s.taskTimeouts, { id = id, type = t.timer, timeout = t.due })
      end
    end
  end
  return s
end

--- An independent copy: nothing done to one is seen by the other.
function Oracle:clone()
  local new = M.new()
  new.profile = self.profile
  new.ids = table.move(self.ids, 1, #self.ids, 1, {})
  for branch, list in pairs(self.branches) do
    new.branches[branch] = table.move(list, 1, #list, 1, {})
  end
  for id, p in pairs(self.promises) do
    local twin = copy(p)
    twin.callbacks, twin.listeners = copy(p.callbacks), copy(p.listeners)
    new.promises[id] = twin
  end
  new.generations = copy(self.generations)
  new.schedules, new.catch_up = copy(self.schedules), copy(self.catch_up)
  for id, t in pairs(self.tasks) do
    local twin = copy(t)
    twin.resumes, twin.awaits = copy(t.resumes), copy(t.awaits)
    new.tasks[id] = twin
  end
  return new
end

-- Comparing ---------------------------------------------------------------------------------------

--- Are two plain values the same? If not, the second result says where they part.
function M.same(a, b, path)
  if a == b then
    return true
  end
  if type(a) ~= "table" or type(b) ~= "table" then
    return false, ("%s: %s, %s"):format(path or "value", tostring(a), tostring(b))
  end
  for key, item in pairs(a) do
    local same, where = M.same(item, b[key], (path or "value") .. "." .. tostring(key))
    if not same then
      return false, where
    end
  end
  for key, item in pairs(b) do
    if a[key] == nil then
      return false, ("%s.%s: nil, %s"):format(path or "value", tostring(key), tostring(item))
    end
  end
  return true
end

local function words_of(text)
  local words = {}
  for word in (text .. "; "):gmatch("(.-); ") do
    words[word] = true
  end
  return words
end

--- Does the reply `got` say what the oracle's reply `want` says, as far as the protocol fixes it?
function M.agrees(want, got)
  if want.status ~= got.status then
    return false,
      ("status: %s (%s), %s (%s)"):format(
        want.status,
        tostring(want.data),
        tostring(got.status),
        tostring(got.data)
      )
  end
  if want.status >= 400 then
    if type(got.data) ~= "string" then
      return false, "data: an error wants words"
    elseif want.loose then
      return true
    elseif want.unordered then
      return M.same(words_of(want.data), words_of(got.data), "data")
    end
    return M.same(want.data, got.data, "data")
  end
  local w, g = want.data, got.data
  if type(g) == "table" and w.action and g.action then
    -- The inner head echoes a correlation id that the model may not have been told.
    local inner = { status = w.action.head.status, data = w.action.data, kind = w.action.kind }
    local theirs = { data = g.action.data, kind = g.action.kind }
    theirs.status = g.action.head and g.action.head.status or g.action.status
    w, g = copy(w), copy(g)
    w.action, g.action = inner, theirs
  end
  return M.same(w, g, "data")
end

function Oracle:invariants(now, prev, step)
  return M.violations(self:snapshot(), now, prev, self.profile, step)
end

-- For the generator, the rows and the invariants, which speak the same language of tags.
M.is_alive, M.is_timer, M.is_external, M.projected = is_alive, is_timer, is_external, projected
M.external_only, M.arms_at_birth, M.is_address, M.later = external_only, arms_at_birth, is_address, later

local parts = {
  shapes = SHAPES, is = is, check = check, run = run, ok = ok, fail = fail, loose = loose, broken = broken,
  copy = copy, copy_value = copy_value, is_null = is_null, sorted_keys = sorted_keys, too_long = too_long,
  expire = expire, create = create, task_record = task_record,
}
require("spec.support.oracle_schedule")(M, parts)
require("spec.support.oracle_search")(M, parts)

local invariants = require("spec.support.invariants")(M)
M.index, M.violations = invariants.index, invariants.violations

return M
