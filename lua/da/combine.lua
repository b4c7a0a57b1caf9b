-- combine.lua - promises made of promises: all, outcomes, any, race, map, within.
--
-- Each runs as a fiber without a record. It needs none: completions are delivered in the same order on a replay, so the same
-- member wins. The members count as awaited. A combinator that is cancelled cancels its members.
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...

local unpack = table.unpack
local await, pawait, wait_all, watch, next_settled = core.await, core.pawait, core.wait_all, core.watch, core.next
local go = core.go

local function watch_list(members)
  for i = 1, #members do watch(members[i], i) end
end

local function copy(list, n)
  local members = {}
  for i = 1, n do members[i] = list[i] end
  return members
end

-- A promise of the first results, in the order of the list; the first failure is its failure.
function da.all(list)
  local n = core.check_list(list, "da.all")
  local members = copy(list, n)
  return go("da.all", false, members, function()
    local results = da.array { n = n }
    local failed = wait_all(members)
    if failed then await(members[failed]) end
    for i = 1, n do results[i] = await(members[i]) end
    return results
  end)
end

-- A promise of {ok=, value=, error=} for each, in the order of the list. Never fails.
function da.outcomes(list)
  local n = core.check_list(list, "da.outcomes")
  local members = copy(list, n)
  return go("da.outcomes", false, members, function()
    local results = da.array { n = n }
    watch_list(members)
    for _ = 1, n do next_settled() end
    for i = 1, n do
      local ok, value = pawait(members[i])
      results[i] = ok and { ok = true, value = value } or { ok = false, error = value }
    end
    return results
  end)
end

local function losers(members, winner, options)
  if options and options.losers == "keep" then return end
  for i = 1, #members do
    if i ~= winner then core.cancel(members[i], "another one was first") end
  end
end

local function check_options(options, what)
  if options == nil then return end
  if type(options) ~= "table" then error(what .. "'s options must be a table", 3) end
  for name in pairs(options) do
    if name ~= "losers" then error(("unknown option '%s' of %s; did you mean 'losers'?"):format(tostring(name), what), 3) end
  end
  if options.losers ~= nil and options.losers ~= "cancel" and options.losers ~= "keep" then
    error(what .. ": losers must be \"cancel\" or \"keep\"", 3)
  end
end


-- A promise of the first success: its value and index. All failed: error all_failed with .errors.
function da.any(list, options)
  local n = core.check_list(list, "da.any")
  check_options(options, "da.any")
  if n == 0 then error("da.any needs at least one promise", 2) end
  local members = copy(list, n)
  return go("da.any", false, members, function()
    local errors = da.array { n = n }
    watch_list(members)
    for _ = 1, n do
      local i = next_settled()
      local ok, value = pawait(members[i])
      if ok then
        losers(members, i, options)
        return value, i
      end
      errors[i] = value
    end
    da.error("all_failed", "all " .. n .. " failed, the first with: " .. tostring(errors[1]), { errors = errors })
  end)
end

-- A promise of the first one settled: its value and index, or its error.
function da.race(list, options)
  local n = core.check_list(list, "da.race")
  check_options(options, "da.race")
  if n == 0 then error("da.race needs at least one promise", 2) end
  local members = copy(list, n)
  return go("da.race", false, members, function()
    watch_list(members)
    local i = next_settled()
    losers(members, i, options)
    return await(members[i]), i
  end)
end

-- A promise of f's first results over the list. f is a durable function or a closure; limit delays starts.
function da.map(list, f, options)
  local n = core.list_length(list, "da.map")
  if type(f) ~= "function" and not core.is_function(f) then
    error("da.map needs a function, durable or plain, as its second argument, got " .. core.what(f), 2)
  end
  if options ~= nil and type(options) ~= "table" then
    error("da.map's options must be a table, got " .. type(options), 2)
  end
  local limit = math.huge
  for name, value in pairs(options or {}) do
    if name ~= "limit" then error(("unknown option '%s' of da.map; did you mean 'limit'?"):format(tostring(name)), 2) end
    if math.type(value) ~= "integer" or value < 1 then error("da.map: limit must be a whole number, at least 1", 2) end
    limit = value
  end
  local items = copy(list, n)
  local members = {}
  local function start(item)
    if type(f) ~= "function" then return f(item) end
    local made = {}
    return go("da.map", true, made, function()
      local value = f(item)
      if not core.is_promise(value) then return value end
      made[1] = value
      return await(value)
    end)
  end
  return go("da.map", true, members, function()
    local started = 0
    local results = da.array { n = n }
    for finished = 1, n do
      while started < n and started - finished + 1 < limit do
        started = started + 1
        members[started] = start(items[started])
        core.check_list({ members[started] }, "da.map")
        watch(members[started], started)
      end
      local i = next_settled()
      results[i] = await(members[i])
    end
    return results
  end)
end

-- A promise of p's results, or the error timedout after the duration; then p is cancelled.
function da.within(duration, p)
  core.check_duration(duration, "da.within's duration")
  core.check_promise(p, "da.within")
  return go("da.within", false, { p }, function()
    local timer = core.sleep(duration)
    core.check_promise(timer, "da.within")
    watch(p, 1)
    watch(timer, 2)
    if next_settled() == 1 then
      core.cancel(timer, "not needed")
      return await(p)
    end
    core.cancel(p, "timed out")
    da.error("timedout", "not settled within " .. tostring(duration) .. (math.type(duration) and " s" or ""))
  end)
end

core.unpack = unpack
