-- cron_spec.lua - what an expression allows, held against a reckoning of its own: second by second or minute by minute,
-- with the offsets that date(1) tells.
-- SPDX-License-Identifier: Apache-2.0
local probe = require("da_probe")

local function utc(text)
  local y, mo, d, h, mi, s = text:match("^(%d+)-(%d+)-(%d+) (%d+):(%d+):?(%d*)$")
  local pipe = { year = y, month = mo, day = d, hour = h, min = mi, sec = tonumber(s) or 0 }
  local shown = os.time(pipe)
  return (shown + os.difftime(os.time(os.date("*t", shown)), os.time(os.date("!*t", shown))) // 1 | 0) * 1000
end

local function text_of(ms)
  if ms == 0 then return "never" end
  return os.date("!%Y-%m-%d %H:%M:%S", ms // 1000)
end

-- The first count instants behind `from`, as UTC text.
local function series(expression, from, count, zone, style)
  local found, at = {}, utc(from)
  for i = 1, count do
    at = assert(probe.cron_next(expression, at, zone, style))
    found[i] = text_of(at)
    if at == 0 then break end
  end
  return found
end

describe("an expression in UTC", function()
  local rows = {
    { "30 6 * * *", "2026-03-01 06:30", "2026-03-02 06:30:00", "2026-03-03 06:30:00" },
    { "*/15 * * * *", "2026-03-01 00:01", "2026-03-01 00:15:00", "2026-03-01 00:30:00" },
    { "5/20 * * * *", "2026-03-01 00:00", "2026-03-01 00:05:00", "2026-03-01 00:25:00", "2026-03-01 00:45:00" },
    { "*/20 * * * * *", "2026-03-01 00:00:01", "2026-03-01 00:00:20", "2026-03-01 00:00:40" },
    { "0 0 29 2 *", "2026-03-01 00:00", "2028-02-29 00:00:00", "2032-02-29 00:00:00" },
    { "0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00:00" },
    { "0 9-17/4,22 * jan-mar,Dec mon-fri", "2026-04-01 00:00", "2026-12-01 09:00:00", "2026-12-01 13:00:00",
      "2026-12-01 17:00:00", "2026-12-01 22:00:00", "2026-12-02 09:00:00" },
    { "0 0 * * 7", "2026-03-02 00:00", "2026-03-08 00:00:00" },
    { "0 0 * * 0", "2026-03-02 00:00", "2026-03-08 00:00:00" },
    { "0 0 * * fri-sun", "2026-03-02 00:00", "2026-03-06 00:00:00", "2026-03-07 00:00:00", "2026-03-08 00:00:00",
      "2026-03-13 00:00:00" },
    { "0 0 * * thurs,SATURDAY", "2026-03-02 00:00", "2026-03-05 00:00:00", "2026-03-07 00:00:00" },
    -- Both day fields restricted: either will do. One begins with a star: both must match.
    { "0 0 13 * fri", "2026-02-01 00:00", "2026-02-06 00:00:00", "2026-02-13 00:00:00", "2026-02-20 00:00:00" },
    { "0 0 13 * *", "2026-02-01 00:00", "2026-02-13 00:00:00", "2026-03-13 00:00:00" },
    { "0 0 */2 * mon", "2026-03-01 00:00", "2026-03-09 00:00:00", "2026-03-23 00:00:00" },
    { "0 0 31 2 *", "2026-03-01 00:00", "never" },
    { "0 0 30 2 *", "2026-03-01 00:00", "never" },
    { "@hourly", "2026-03-01 00:30", "2026-03-01 01:00:00" },
    { "@daily", "2026-03-01 00:30", "2026-03-02 00:00:00" },
    { " @midnight ", "2026-03-01 00:30", "2026-03-02 00:00:00" },
    { "@weekly", "2026-03-02 00:30", "2026-03-08 00:00:00" },
    { "@monthly", "2026-03-02 00:30", "2026-04-01 00:00:00" },
    { "@Yearly", "2026-03-02 00:30", "2027-01-01 00:00:00" },
    { "@annually", "2026-03-02 00:30", "2027-01-01 00:00:00" },
    { "@every 10m", "2026-03-02 00:30:07", "2026-03-02 00:40:07", "2026-03-02 00:50:07" },
    { "@every 1h30m", "2026-03-02 00:30", "2026-03-02 02:00:00" },
    { "59 59 23 31 12 ?", "2026-03-02 00:30", "2026-12-31 23:59:59" },
  }
  for _, row in ipairs(rows) do
    it(row[1] .. " after " .. row[2], function()
      local wanted = table.move(row, 3, #row, 1, {})
      assert.same(wanted, series(row[1], row[2], #wanted))
    end)
  end

  it("comes behind the whole second it is asked about", function()
    local at = utc("2026-03-01 00:00")
    assert.equal(at + 1000, probe.cron_next("* * * * * *", at))
    assert.equal(at + 1000, probe.cron_next("* * * * * *", at + 999))
    assert.equal(at, probe.cron_next("* * * * * *", at - 1))
  end)
end)

describe("an expression as servers of the protocol read it", function()
  it("counts weekdays from Sunday, 1, and wants both day fields to match", function()
    assert.same({ "2026-03-01 00:00:00" }, series("0 0 * * 1", "2026-02-27 00:00", 1, nil, "quartz"))
    assert.same({ "2026-02-28 00:00:00" }, series("0 0 * * 7", "2026-02-27 00:00", 1, nil, "quartz"))
    assert.same({ "2026-02-13 00:00:00", "2026-03-13 00:00:00", "2026-11-13 00:00:00" },
      series("0 0 13 * fri", "2026-02-01 00:00", 3, nil, "quartz"))
    assert.same({ "2026-03-01 00:00:00" }, series("@weekly", "2026-02-27 00:00", 1, nil, "quartz"))
  end)

  it("may name years in a seventh field", function()
    assert.same({ "2027-05-01 00:00:00", "2029-05-01 00:00:00", "never" },
      series("0 0 0 1 5 ? 2027/2,2020-2030", "2026-06-01 00:00", 1, nil, "quartz")[1] and
      series("0 0 0 1 5 ? 2027,2029", "2026-06-01 00:00", 3, nil, "quartz"))
  end)

  it("knows no day 0, no @every, no @annually, no @midnight", function()
    for _, text in ipairs({ "0 0 * * 0", "@every 10m", "@annually", "@midnight", "0 0 * * fri-sun" }) do
      assert.is_nil(probe.cron_next(text, 0, nil, "quartz"), text)
    end
  end)
end)

describe("an expression that cannot be read", function()
  local rows = {
    { "", "column 1: the expression is empty" },
    { "   ", "the expression is empty" },
    { "* * * *", "column 1: 4 fields; write five" },
    { "* * * * * * *", "7 fields; write five" },
    { "60 * * * *", "column 1: 60 is no minute; it goes from 0 to 59" },
    { "* 24 * * *", "column 3: 24 is no hour" },
    { "* * 0 * *", "column 5: 0 is no day of month; it goes from 1 to 31" },
    { "* * 32 * *", "32 is no day of month" },
    { "* * * 13 *", "13 is no month" },
    { "* * * * 8", "column 9: 8 is no day of week; it goes from 0 to 7" },
    { "61 * * * * *", "61 is no second" },
    { "*/0 * * * *", "column 3: a step of 0 never moves" },
    { "*/99 * * * *", "a step of 99 goes past every minute" },
    { "*/ * * * *", "column 3: a step is a number" },
    { "1, * * * *", "column 3: a minute is missing here" },
    { ",1 * * * *", "column 1: a minute is missing here" },
    { "1,,2 * * * *", "column 3: a minute is missing here" },
    { "5- * * * *", "column 3: a minute is missing here" },
    { "-5 * * * *", "column 1: '-5' is not a minute; write a number from 0 to 59" },
    { "1-2-3 * * * *", "column 4: '-3' does not belong here" },
    { "22-5 * * * *", "column 1: the range 22-5 runs backwards; write it as two" },
    { "*5 * * * *", "column 2: '5' does not belong here" },
    { "? * * * *", "column 1: '?' is not a minute" },
    { "* * L * *", "column 5: 'L' is not a day of month" , "'L' is no number" },
    { "* * 5W * *", "column 6: 'W' is not known here" },
    { "* * * * 5#2", "column 10: '#' is not known here" },
    { "* * * foo *", "column 7: 'foo' is no name of a month; write jan, feb" },
    { "* * * * mo", "'mo' is no name of a day of week; write sun, mon" },
    { "* * mon * *", "'mon' is no number; the day of month has no names" },
    { "* * * * mon/2", "column 12: a name takes no step; write a range: mon-fri/2" },
    { "1.5 * * * *", "column 2: '.5' does not belong here" },
    { "99999999999 * * * *", "is too large a number" },
    { "@foo", "column 1: '@foo' is not known; there are @hourly" },
    { "@reboot", "'@reboot' is not known" },
    { "@daily 5", "column 8: nothing may follow @daily" },
    { "@every", "@every wants a duration" },
    { "@every 0s", "@every goes from 1s" },
    { "@every 10", "a number behind @every needs its unit, s, m, h or d: 10s, 10m" },
    { "@every 10x", "needs its unit" },
    { "@every 1h 30m", "column 11: nothing more may stand here; write @every 1h30m in one word" },
    { "@every -5m", "@every wants a duration" },
    { "\0 * * * *", "is not a minute" },
    { "\u{2217} * * * *", "is not a minute" },
  }
  for _, row in ipairs(rows) do
    it(("%q"):format(row[1]), function()
      local next, words = probe.cron_next(row[1], 0)
      assert.is_nil(next)
      local fits = words:find(row[2], 1, true) or (row[3] and words:find(row[3], 1, true))
      assert.is_truthy(fits, words)
    end)
  end

  it("is refused or read, whatever the bytes", function()
    local state = 12345
    local function random(n)
      state = (state * 6364136223846793005 + 1442695040888963407) & math.maxinteger
      return state >> 33 & 0x3fffffff % n == 0 and 1 or (state >> 33) % n + 1
    end
    local parts = { "*", "/", "-", ",", " ", "1", "59", "7", "mon", "jan", "?", "@", "every", "L", "\0", "\255" }
    local read, refused = 0, 0
    for _ = 1, 20000 do
      local text = {}
      for i = 1, random(14) do text[i] = parts[random(#parts)] end
      if random(2) == 1 then text = { "* 1 ", table.concat(text), " * *" } end
      local at = probe.cron_next(table.concat(text), 0)
      if at then read = read + 1 else refused = refused + 1 end
    end
    assert.is_true(read > 50 and refused > 5000, read .. " " .. refused)
  end)
end)

---------------------------------------------------------------------------------------------------- zones

-- Offsets of every minute in a window, from date(1): list of { utc second, local second }.
local function minutes(zone, from, count)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  for i = 0, count - 1 do file:write("@", from + 60 * i, "\n") end
  file:close()
  local pipe = assert(io.popen(("TZ=%s date -f %s '+%%s %%z'"):format(zone, name)))
  local list = {}
  for line in pipe:lines() do
    local at, sign, hours, mins = line:match("^(%-?%d+) ([+-])(%d%d)(%d%d)$")
    local offset = hours * 3600 + mins * 60
    list[#list + 1] = { math.tointeger(at), math.tointeger(at) + (sign == "-" and -offset or offset) }
  end
  pipe:close()
  os.remove(name)
  assert(#list == count, zone)
  return list
end

-- A matcher of its own for `minute hour day month weekday` out of sets.
local function matches(fields, second)
  local t = os.date("!*t", second)
  return (not fields.minute or fields.minute[t.min]) and (not fields.hour or fields.hour[t.hour])
    and (not fields.day or fields.day[t.day])
end

-- An hour wildcard: whenever the clock shows it. Fixed: when the clock first reaches, or has jumped over, it.
local function reckoned(fields, list)
  local found, newest = {}, list[1][2]
  for i = 2, #list do
    local at, shown = list[i][1], list[i][2]
    if not fields.hour then
      if matches(fields, shown) then found[#found + 1] = at end
    elseif shown > newest then
      local hit = false
      for l = newest + 60, shown, 60 do hit = hit or matches(fields, l) end
      if hit then found[#found + 1] = at end
      newest = shown
    end
  end
  return found
end

local function told(expression, zone, list)
  local found, at, last = {}, list[1][1] * 1000, list[#list][1] * 1000
  while true do
    at = assert(probe.cron_next(expression, at, zone))
    if at == 0 or at > last then return found end
    found[#found + 1] = at // 1000
  end
end

local EXPRESSIONS = {
  { "30 2 * * *", { minute = { [30] = true }, hour = { [2] = true } } },
  { "15 2 * * *", { minute = { [15] = true }, hour = { [2] = true } } },
  { "0 0 * * *", { minute = { [0] = true }, hour = { [0] = true } } },
  { "45 1,3 * * *", { minute = { [45] = true }, hour = { [1] = true, [3] = true } } },
  { "*/20 1-3 * * *", { minute = { [0] = true, [20] = true, [40] = true }, hour = { [1] = true, [2] = true, [3] = true } } },
  { "0 */2 * * *", { minute = { [0] = true }, hour = { [0] = true, [2] = true, [4] = true, [6] = true, [8] = true,
    [10] = true, [12] = true, [14] = true, [16] = true, [18] = true, [20] = true, [22] = true } } },
  { "0 * * * *", { minute = { [0] = true } } },
  { "15,45 * * * *", { minute = { [15] = true, [45] = true } } },
  { "* * * * *", {} },
}

-- Instants at which clocks change, or would; a day around each is looked at.
local PLACES = {
  { "Europe/Vienna", { "2026-03-29 01:00", "2026-10-25 01:00", "2050-03-27 01:00", "2050-10-30 01:00" } },
  { "America/New_York", { "2026-03-08 07:00", "2026-11-01 06:00", "2099-03-08 07:00" } },
  { "Australia/Lord_Howe", { "2026-04-04 15:00", "2026-10-03 15:30", "2041-04-06 15:00" } },
  { "Africa/Casablanca", { "2026-02-15 02:00", "2026-03-22 02:00", "2030-12-22 02:00", "2100-01-01 00:00" } },
  { "Africa/Cairo", { "2026-04-23 22:00", "2026-10-29 21:00" } },
  { "Asia/Beirut", { "2026-03-28 22:00", "2026-10-24 21:00" } },
  { "Europe/Dublin", { "2026-03-29 01:00", "2026-10-25 01:00" } },
  { "America/Santiago", { "2026-04-05 03:00", "2026-09-06 04:00" } },
  { "Asia/Kathmandu", { "2026-03-29 01:00" } },
  { "Etc/GMT+5", { "2026-03-29 01:00" } },
  { "UTC", { "2026-03-29 01:00" } },
}

describe("an expression in a zone", function()
  for _, place in ipairs(PLACES) do
    it("comes when the clocks of " .. place[1] .. " say so", function()
      local zone = assert(probe.zone(place[1]))
      for _, middle in ipairs(place[2]) do
        local list = minutes(place[1], utc(middle) // 1000 - 30 * 3600, 60 * 60)
        for _, row in ipairs(EXPRESSIONS) do
          assert.same(reckoned(row[2], list), told(row[1], zone, list), place[1] .. " " .. row[1] .. " " .. middle)
        end
      end
    end)
  end

  it("comes once at the end of the gap, once in the repeated hour, twice with every hour", function()
    local vienna = assert(probe.zone("Europe/Vienna"))
    assert.same({ "2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00" },
      series("30 2 * * *", "2026-03-28 00:00", 3, vienna))
    assert.same({ "2026-10-24 00:30:00", "2026-10-25 00:30:00", "2026-10-26 01:30:00" },
      series("30 2 * * *", "2026-10-24 00:00", 3, vienna))
    assert.same({ "2026-10-24 23:30:00", "2026-10-25 00:30:00", "2026-10-25 01:30:00", "2026-10-25 02:30:00" },
      series("30 * * * *", "2026-10-24 23:00", 4, vienna))
  end)
end)
