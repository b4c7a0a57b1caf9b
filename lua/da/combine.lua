-- combine.lua - promises made of promises: all, outcomes, any, race, map, within.
--
-- Each runs as a fiber without a record. It needs none: completions are delivered in the same order on a replay, so the same
-- member wins. The members count as awaited.
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...

local unpack = table.unpack
local await, pawait, wait_any, ready, go = core.await, core.pawait, core.wait_any, core.ready, core.go

local function copy(list)
  local members = {}
  for i = 1, #list do members[i] = list[i] end
  return members
end

-- A promise of the first results, in the order of the list; the first failure is its failure.
function da.all(list)
  local n = core.check_list(list, "da.all")
  local members = copy(list)
  return go(false, function()
    local results = da.array { n = n }
    if n == 0 then return results end
    local left = copy(members)
    while #left > 0 do -- in order of delivery, so that the first failure is raised at once
      local i = wait_any(left)
      local p = table.remove(left, i)
      await(p)
    end
    for i = 1, n do results[i] = await(members[i]) end
    return results
  end)
end

-- A promise of {ok=, value=, error=} for each, in the order of the list. Never fails.
function da.outcomes(list)
  local n = core.check_list(list, "da.outcomes")
  local members = copy(list)
  return go(false, function()
    local results = da.array { n = n }
    for i = 1, n do
      local ok, value = pawait(members[i])
      if not ok and value.code == "canceled" and not ready(members[i]) then error(value, 0) end
      results[i] = ok and { ok = true, value = value } or { ok = false, error = value }
    end
    return results
  end)
end

local function losers(members, winner, options)
  if options and options.losers == "keep" then return end
  for i = 1, #members do
    if i ~= winner and not ready(members[i]) then core.cancel(members[i], "another one was first") end
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
  local members = copy(list)
  return go(false, function()
    local left, at = copy(members), {}
    for i = 1, n do at[i] = i end
    local errors = da.array { n = n }
    while #left > 0 do
      local i = wait_any(left)
      local p, index = table.remove(left, i), table.remove(at, i)
      local ok, value = pawait(p)
      if ok then
        losers(members, index, options)
        return value, index
      end
      errors[index] = value
    end
    da.error("all_failed", "all " .. n .. " failed, the first with: " .. tostring(errors[1]), { errors = errors })
  end)
end

-- A promise of the first one settled: its value and index, or its error.
function da.race(list, options)
  local n = core.check_list(list, "da.race")
  check_options(options, "da.race")
  if n == 0 then error("da.race needs at least one promise", 2) end
  local members = copy(list)
  return go(false, function()
    local index = wait_any(members)
    losers(members, index, options)
    return await(members[index]), index
  end)
end

-- A promise of f's first results over the list. f is a durable function or a closure; limit delays starts.
function da.map(list, f, options)
  if type(list) ~= "table" then error("da.map needs a list, got " .. type(list), 2) end
  local limit = math.huge
  for name, value in pairs(options or {}) do
    if name ~= "limit" then error(("unknown option '%s' of da.map; did you mean 'limit'?"):format(tostring(name)), 2) end
    if math.type(value) ~= "integer" or value < 1 then error("da.map: limit must be a whole number, at least 1", 2) end
    limit = value
  end
  local items = {}
  for i = 1, #list do items[i] = list[i] end
  local function start(item)
    if type(f) ~= "function" then return f(item) end
    return go(true, function()
      local value = f(item)
      if core.is_promise(value) then return await(value) end
      return value
    end)
  end
  return go(true, function()
    local n = #items
    local results, running, at, next_item = da.array { n = n }, {}, {}, 1
    while next_item <= n or #running > 0 do
      while next_item <= n and #running < limit do
        running[#running + 1], at[#at + 1] = start(items[next_item]), next_item
        core.check_list({ running[#running] }, "da.map")
        next_item = next_item + 1
      end
      local i = wait_any(running)
      local p, index = table.remove(running, i), table.remove(at, i)
      results[index] = await(p)
    end
    return results
  end)
end

-- A promise of p's results, or the error timedout after the duration; then p is cancelled.
function da.within(duration, p)
  core.check_list({ p }, "da.within")
  return go(false, function()
    local timer = core.sleep(duration)
    core.check_list({ timer }, "da.within")
    if wait_any { p, timer } == 1 then
      core.cancel(timer, "not needed")
      return await(p)
    end
    core.cancel(p, "timed out")
    da.error("timedout", "not settled within " .. tostring(duration) .. (math.type(duration) and " s" or ""))
  end)
end

core.unpack = unpack
