-- zone_spec.lua - zone files: the offsets they tell against date(1)'s, what is kept of them, bytes that are none.
-- SPDX-License-Identifier: Apache-2.0
local probe = require("da_probe")
local uv = require("luv")

local DAY = 86400

-- A zone file of version 2 with these transitions {at, type}, offsets of types, and a footer.
local function tzif(transitions, offsets, footer)
  local function header(times, types)
    return "TZif2" .. ("\0"):rep(15) .. (">I4I4I4I4I4I4"):pack(0, 0, 0, times, types, 1)
  end
  local parts = { "TZif2" .. ("\0"):rep(15 + 24), header(#transitions, #offsets) }
  for _, t in ipairs(transitions) do parts[#parts + 1] = (">i8"):pack(t[1]) end
  for _, t in ipairs(transitions) do parts[#parts + 1] = string.char(t[2]) end
  for _, offset in ipairs(offsets) do parts[#parts + 1] = (">i4BB"):pack(offset, 0, 0) end
  parts[#parts + 1] = "\0\n" .. footer .. "\n"
  return table.concat(parts)
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("a")
  file:close()
  return bytes
end

-- Offsets as date(1) tells them: zone is whatever TZ may hold.
local function told(zone, instants)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  for _, at in ipairs(instants) do file:write("@", at, "\n") end
  file:close()
  local pipe = assert(io.popen(("TZ='%s' date -f %s '+%%::z'"):format(zone, name)))
  local offsets = {}
  for line in pipe:lines() do
    local sign, h, m, s = line:match("^([+-])(%d+):(%d+):(%d+)$")
    offsets[#offsets + 1] = (sign == "-" and -1 or 1) * (h * 3600 + m * 60 + s)
  end
  pipe:close()
  os.remove(name)
  assert(#offsets == #instants, zone)
  return offsets
end

-- Every step seconds, and the seconds around each change that the zone itself tells of.
local function instants_of(bytes, from, to, step)
  local list = {}
  for at = from, to, step do list[#list + 1] = at end
  local at = from
  while at < to do
    local _, _, until_ = assert(probe.zone_span(bytes, at))
    if until_ >= to then break end
    for d = -1, 1 do list[#list + 1] = until_ + d end
    at = until_
  end
  return list
end

local function same_offsets(bytes, zone, list)
  local wanted = told(zone, list)
  for i, at in ipairs(list) do
    local offset = assert(probe.zone_span(bytes, at))
    if offset ~= wanted[i] then error(("%s at %d: %d, date(1) tells %d"):format(zone, at, offset, wanted[i]), 0) end
  end
end

local ZONES = { "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu",
  "Europe/Dublin", "America/Santiago", "Asia/Gaza", "Pacific/Apia", "Antarctica/Troll", "America/Nuuk", "Etc/GMT+12" }

describe("a zone file", function()
  for _, zone in ipairs(ZONES) do
    it("tells the offsets of " .. zone, function()
      local whole = read_file("/usr/share/zoneinfo/" .. zone)
      same_offsets(whole, zone, instants_of(whole, 0, 4200000000, 30 * DAY))
    end)

    it("of " .. zone .. " is kept without names and years past, and tells the same", function()
      local kept = assert(probe.zone(zone))
      assert.is_true(#kept <= #read_file("/usr/share/zoneinfo/" .. zone))
      same_offsets(kept, zone, instants_of(kept, 1577836800, 4200000000, 45 * DAY))
      assert.is_true(kept == probe.zone_trim(kept, 1577836800))
    end)
  end

  it("may consist of its footer alone", function()
    for _, rule in ipairs({ "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0", "AAA4BBB,J60/0,J300/1:30",
      "AAA4BBB,59/0,300/-2", "<+03>-3", "IST-1GMT0,M10.5.0,M3.5.0/1", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
      "AAA-12:45BBB-13:45,M9.5.0/2:45,M4.1.0/3:45" }) do
      local bytes = tzif({}, { 0 }, rule)
      same_offsets(bytes, rule, instants_of(bytes, 1500000000, 2500000000, 20 * DAY))
    end
  end)

  it("ends a stretch where it says, and tells the offset before", function()
    local bytes = tzif({ { 1000, 1 }, { 2000, 0 } }, { 3600, 7200 }, "AAA-1")
    assert.same({ 3600, math.mininteger, 1000, 3600 }, { probe.zone_span(bytes, 999) })
    assert.same({ 7200, 1000, 2000, 3600 }, { probe.zone_span(bytes, 1000) })
    assert.same({ 3600, 2000, math.maxinteger, 7200 }, { probe.zone_span(bytes, 2000) })
  end)

  it("is UTC when there are no bytes", function()
    assert.equal("", probe.zone("UTC"))
    assert.same({ 0, math.mininteger, math.maxinteger, 0 }, { probe.zone_span("", 5) })
  end)
end)

describe("a zone that cannot be had", function()
  it("is told by name, with the mend", function()
    for name, words in pairs({ ["Europe/Wien"] = "there is no zone 'Europe/Wien' in /usr/share/zoneinfo; zones are named like",
      ["../../etc/passwd"] = "is not the name of a zone", ["/etc/passwd"] = "is not the name of a zone",
      [""] = "is not the name of a zone", ["Europe/"] = "is not the name of a zone", ["Europe"] = "there is no zone",
      ["A\0B"] = "is not the name of a zone", ["zone.tab"] = "is not the name", ["tzdata/x"] = "there is no zone" }) do
      local bytes, told_words = probe.zone(name)
      assert.is_nil(bytes)
      assert.is_truthy(told_words:find(words, 1, true), told_words)
    end
  end)

  it("is looked for in TZDIR", function()
    local dir = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/da-zone-XXXXXX"))
    finally(function()
      uv.os_unsetenv("TZDIR")
      os.execute("rm -rf " .. dir)
    end)
    local file = assert(io.open(dir .. "/Moon", "w"))
    file:write(tzif({}, { 0 }, "MOO-5"))
    file:close()
    file = assert(io.open(dir .. "/Broken", "w"))
    file:write("TZif2")
    file:close()
    uv.os_setenv("TZDIR", dir)
    assert.equal(5 * 3600, (probe.zone_span(assert(probe.zone("Moon")), 0)))
    local bytes, words = probe.zone("Broken")
    assert.is_nil(bytes)
    assert.is_truthy(words:find(dir .. "/Broken: this is not a zone file", 1, true), words)
    uv.os_setenv("TZDIR", dir .. "/nowhere")
    bytes, words = probe.zone("Moon")
    assert.is_nil(bytes)
    assert.is_truthy(words:find("install the package tzdata", 1, true), words)
  end)

  it("is refused when its bytes are cut off or changed, and never read past", function()
    local whole = assert(probe.zone("Europe/Vienna"))
    for len = 1, #whole - 1 do assert.is_nil((probe.zone_span(whole:sub(1, len), 0)), len) end
    local state, refused = 7, 0
    for _ = 1, 4000 do
      state = (state * 6364136223846793005 + 1442695040888963407) & math.maxinteger
      local at = (state >> 20) % #whole + 1
      local bytes = whole:sub(1, at - 1) .. string.char(state >> 50 & 255) .. whole:sub(at + 1)
      if not probe.zone_span(bytes, 1800000000) then refused = refused + 1
      else probe.cron_next("30 2 * * *", 1800000000000, bytes) end
    end
    assert.is_true(refused > 500, refused)
  end)
end)
