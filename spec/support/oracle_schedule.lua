-- oracle_schedule.lua - schedules in the oracle: requests, firing, the invariants they keep.
-- SPDX-License-Identifier: Apache-2.0
--
-- Here:   what oracle.lua hands its parts to. Written from the text of the protocol, as that file is.
-- Cron:   a reckoning of its own for expressions whose first two fields (seconds, minutes) alone say something, found
--         by trying second after second; and one that never comes. Others are not for the oracle.

local SEARCH_DEFAULT, SEARCH_MAX = 10, 1000
local NEVER = { ["0 0 31 2 *"] = true }
local LATE_MS = 60000

-- A set of numbers out of `*`, `*/n`, `n` or a list of them; nil if it is none of these.
local function field(text, high)
  local set = {}
  for item in (text .. ","):gmatch("([^,]*),") do
    local step = item:match("^%*/(%d+)$")
    local from, to = 0, high
    if item:match("^%d+$") then
      from, to = tonumber(item), tonumber(item)
    elseif item ~= "*" and not step then
      return nil
    end
    step = tonumber(step or 1)
    if step == 0 or from > high then
      return nil
    end
    for n = from, to, step do
      set[n] = true
    end
  end
  return set
end

local function parse(text)
  local fields = {}
  for word in text:gmatch("%S+") do
    fields[#fields + 1] = word
  end
  if #fields == 5 then
    table.insert(fields, 1, "0")
  end
  if #fields ~= 6 then
    return nil
  end
  for i = 3, 6 do
    if fields[i] ~= "*" then
      return nil
    end
  end
  local seconds, minutes = field(fields[1], 59), field(fields[2], 59)
  return seconds and minutes and { seconds = seconds, minutes = minutes }
end

return function(M, parts)
  local S, check, run, is = parts.shapes, parts.check, parts.run, parts.is
  local ok, fail, loose, broken, copy, copy_value = parts.ok, parts.fail, parts.loose, parts.broken, parts.copy, parts.copy_value

  local function never_comes(o, d)
    return (d.unix or o.profile.cron_dow == "unix" or o.profile.cron_never == "reject")
  end

  local function next_run(s, after)
    if NEVER[s.cron] then
      return after + 60000
    end
    local cron = parse(s.cron)
    local second = after // 1000 + 1
    while not (cron.seconds[second % 60] and cron.minutes[second // 60 % 60]) do
      second = second + 1
    end
    return second * 1000
  end

  function is.optional_limit(v)
    return v == nil or parts.is_null(v) or math.type(v) == "integer"
  end
  function is.optional_string(v)
    return v == nil or parts.is_null(v) or type(v) == "string"
  end
  function is.optional_tags(v)
    return v == nil or parts.is_null(v) or is.tags(v)
  end

  local CREATE = {
    id = "string", cron = "string", promiseId = "string", promiseTimeout = "integer",
    promiseParam = "value", promiseTags = "tags",
  }
  S["schedule.get"] = { id = "string" }
  S["schedule.delete"] = { id = "string" }
  S["schedule.create"] = CREATE
  S["schedule.declare"] = CREATE
  S["schedule.search"] = { limit = "optional_limit", cursor = "optional_string", tags = "optional_tags" }

  local function no_id(d)
    return broken(d.id == "" and "Schedule ID is required")
  end

  local RESERVED = { any = ":", colon = ":", dot = "." }

  local function expand(s, at)
    local values = { id = s.id, timestamp = ("%d"):format(at) }
    return (s.promiseId:gsub("{{%.(%a+)}}", values))
  end

  check["schedule.get"] = function(_, d) return no_id(d) end
  check["schedule.delete"] = check["schedule.get"]
  check["schedule.create"] = function(o, d)
    local reply = broken(
      d.id == "" and "Schedule ID is required",
      d.cron == "" and "Cron expression is required",
      d.promiseId == "" and "Promise ID template is required",
      d.promiseTimeout < 0 and "Promise timeout must be a non-negative integer"
    )
    if reply then
      return reply
    end
    local reserved = RESERVED[o.profile.id_dialect]
    local tags = d.promiseTags or {}
    if reserved and d.id:find(reserved, 1, true) then
      return fail(400, ("Schedule ID must not contain '%s'"):format(reserved))
    elseif d.id:find("\0", 1, true) or #d.id > 200 then
      return loose(400, "an id this store cannot keep")
    elseif (tags["resonate:target"] or "") == "" then
      return fail(400, "promiseTags must include a resonate:target tag")
    elseif o.profile.timer_target == "reject" and M.is_timer(tags) then
      return loose(400, "a timer with a target")
    elseif not (NEVER[d.cron] and not never_comes(o, d)) and not parse(d.cron) then
      return loose(400, "Invalid cron expression")
    end
    local longest = expand(d, 9007199254740991)
    if parts.too_long(longest) or longest:find("\0", 1, true) or longest:find("^:") then
      return loose(400, "no id that this store can keep")
    end
  end
  check["schedule.declare"] = check["schedule.create"]
  check["schedule.search"] = function(_, d)
    local limit = not parts.is_null(d.limit) and d.limit
    return broken(
      limit and limit < 1 and "Limit must be a positive integer",
      limit and limit > SEARCH_MAX and "Invalid 'limit' \u{2014} must be between 1 and 1000"
    )
  end

  local function record(d, now)
    local new = {
      id = d.id, cron = d.cron, promiseId = d.promiseId, promiseTimeout = d.promiseTimeout,
      promiseParam = copy_value(d.promiseParam), promiseTags = copy(d.promiseTags or {}), createdAt = now,
    }
    new.nextRunAt = next_run(new, now)
    return new
  end

  run["schedule.get"] = function(o, d)
    local s = o.schedules[d.id]
    return s and ok({ schedule = s }) or fail(404, "Schedule not found")
  end

  run["schedule.create"] = function(o, d, now)
    if not o.schedules[d.id] then
      o.schedules[d.id] = record(d, now)
      o.catch_up[d.id] = d.catchUp
    end
    return ok({ schedule = o.schedules[d.id] })
  end

  -- What differs in its definition begins anew.
  run["schedule.declare"] = function(o, d, now)
    local s, wanted = o.schedules[d.id], record(d, now)
    local same = s and o.catch_up[d.id] == d.catchUp
    for _, name in ipairs({ "cron", "promiseId", "promiseTimeout", "promiseParam", "promiseTags" }) do
      same = same and M.same(s[name], wanted[name])
    end
    if not same then
      o.schedules[d.id], o.catch_up[d.id] = wanted, d.catchUp
    end
    return ok({ schedule = o.schedules[d.id], count = same and 0 or 1 })
  end

  run["schedule.delete"] = function(o, d)
    if not o.schedules[d.id] then
      return fail(404, "Schedule not found")
    end
    o.schedules[d.id] = nil
    return ok({})
  end

  run["schedule.search"] = function(o, d)
    local limit = not parts.is_null(d.limit) and d.limit or SEARCH_DEFAULT
    local after = not parts.is_null(d.cursor) and d.cursor or ""
    local tags = not parts.is_null(d.tags) and d.tags or {}
    local found, cursor = {}, nil
    for _, id in ipairs(parts.sorted_keys(o.schedules)) do
      local s, fits = o.schedules[id], id > after
      for key, value in pairs(tags) do
        fits = fits and s.promiseTags[key] == value
      end
      if fits and #found == limit then
        cursor = found[#found].id
        break
      elseif fits then
        found[#found + 1] = s
      end
    end
    return ok({ schedules = found, cursor = cursor })
  end

  local function fire(o, s, at, now, out)
    local id = expand(s, at)
    parts.expire(o, { id }, now, out)
    if o.promises[id] then
      return
    end
    local tags = copy(s.promiseTags)
    tags["resonate:schedule"] = s.id
    for _, name in ipairs({ "origin", "branch", "parent", "prefix" }) do
      tags["resonate:" .. name] = id
    end
    local data = { id = id, timeoutAt = math.min(at + s.promiseTimeout, 9007199254740991), param = s.promiseParam, tags = tags }
    parts.create(o, data, now, out, nil, nil, at)
  end

  -- Every instant up to now, one after another; or the last of them; or that if it is fresh.
  local function run_due(o, s, now, out)
    local new = copy(s)
    while new.nextRunAt <= now do
      local at, after = new.nextRunAt, next_run(new, new.nextRunAt)
      while o.catch_up[s.id] and after <= now do
        at, after = after, next_run(new, after)
      end
      if o.catch_up[s.id] ~= "none" or now - at <= LATE_MS then
        fire(o, new, at, now, out)
        new.lastRunAt = at
      end
      new.nextRunAt = after
    end
    o.schedules[s.id] = new
  end

  function M.sweep_schedules(o, now, out)
    for _, id in ipairs(parts.sorted_keys(o.schedules)) do
      if o.schedules[id].nextRunAt <= now then
        run_due(o, o.schedules[id], now, out)
      end
    end
  end

  --- S1 and S2 of the property catalogue.
  function M.schedule_violations(s, now)
    local found = {}
    local function must(holds, words)
      if not holds then found[#found + 1] = ("%s: %s"):format(s.id, words) end
    end
    must(s.createdAt <= s.nextRunAt, "createdAt <= nextRunAt")
    must(s.createdAt <= now, "createdAt <= now")
    must(not s.lastRunAt or s.createdAt <= s.lastRunAt and s.lastRunAt < s.nextRunAt and s.lastRunAt <= now,
      "createdAt <= lastRunAt < nextRunAt")
    return found
  end
end
