-- image_pointers_spec.lua - an image holds no address that another process could not follow.
--
-- A script that does a bit of everything rests many times, and an image is taken at each. Every word of each image is
-- held against what lay where in its process: an address of its own slot is right, and one of the program itself
-- (functions of Lua and of ours, constants; it lies at the same place in every process of the build). One of the heap, a
-- stack, a library, another slot is not.
--
-- A number may look like such an address: the heap of a program at a fixed place begins at small numbers. Two processes
-- tell them apart: the kernel puts heap, stacks and libraries elsewhere each time, so an address is in the images of one
-- process alone, and a number in those of both. Not so the region of the slots, whose place is fixed: there a word of a
-- table's node (two tags, two bytes of nothing, and the distance to the next node) looks like the beginning of some slot,
-- and no two objects share a word otherwise, but for an odd first byte. And what lies in a dead place of a Lua stack - the
-- byte behind the word is the tag of nil - is read by nobody.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local harness = require("spec.support.harness")

local MODULE = [[
local M = { made = 0 }
local Stack = {}
Stack.__index = Stack
function Stack:push(v) self[#self + 1] = v return self end
Stack.__len = nil
Stack.__close = function() end
Stack.__call = function(self, ...) return self:push(...) end
function M.new() M.made = M.made + 1 return setmetatable({}, Stack) end
function M.counter()
  local n = 0
  return function(by) n = n + (by or 1) return n end, function() return n end
end
return M
]]

local SCRIPT = [[
local da = require "da"
local stack = require "stack"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step

function step.echo(...) return ... end
function step.fail(text) error(text) end
step.fail:defaults { retry = { max = 1 } }
function async.kid(n)
  await(da.sleep(0.001))
  return ("kid"):rep(n)
end

-- A coroutine in a coroutine, both in the middle of something.
local function nested(n)
  local outer = coroutine.wrap(function()
    local inner = coroutine.wrap(function()
      for i = 1, n do coroutine.yield(await(step.echo(i))) end
    end)
    for _ = 1, n do coroutine.yield(inner() * 2) end
  end)
  return outer
end

local function protected()
  return pcall(function()
    local kept <close> = stack.new()
    kept(1)(2)(3)
    await(step.echo "within")
    await(step.fail "as it should")
  end)
end

local function undone()
  return pawait(async("undone", function()
    local saga <close> = da.saga()
    saga:on_fail(step.echo, "undo one")
    await(step.echo "do one")
    saga:on_fail(function() await(step.echo "undo two") end)
    await(step.echo "do two")
    error "enough"
  end))
end

function async.main()
  local add, total = stack.counter()
  local text, list, mixed = {}, {}, {}
  for i = 1, 50 do
    text[i] = ("line %d of many, long enough to be no short string: %s"):format(i, ("x"):rep(i))
    list[i] = (i * 37) % 50
    mixed[i % 2 == 0 and i or "k" .. i] = { i, i / 3, tostring(i), i % 3 == 0, function() return add(i) end }
  end
  local going = nested(4)
  going()
  local unused = coroutine.create(function() local x <close> = stack.new() coroutine.yield(x) end)
  coroutine.resume(unused)
  local branches = {}
  for b = 1, 3 do
    branches[b] = async("branch", function()
      for i = 1, 3 do
        await(da.sleep(b / 1000))
        add(await(step.echo(i)))
      end
      return { b, total() }
    end)
  end
  local kid = async.kid(3)
  local ok, why = protected()
  going()
  local permit <close> = await(da.semaphore("machine", 2):acquire())
  await(da.limiter("bank", { rate = 100, per = "1s" }):take())
  local heard = da.channel("news"):recv()
  da.channel("news"):send({ text = text[7] })
  local squares = await(da.map(list, function(v) await(da.sleep(0.001)) return await(step.echo(v * v)) end, { limit = 4 }))
  table.sort(list, function(a, b)
    if a == 25 or b == 25 then await(step.echo(a, b)) end
    return a < b
  end)
  local replaced = text[50]:sub(1, 40):gsub("%a+", function(word) return await(step.echo(word:upper())) end)
  local unwound = select(2, undone())
  going()
  local hash = da.hash.sha256(text[9])
  local json = da.json.encode({ list = { 1, 2, 3 }, text = text[3] })
  local found = {}
  for word in replaced:gmatch("%u+") do found[#found + 1] = word await(step.echo(#found)) end
  for key, value in da.pairs and da.pairs(mixed) or pairs(mixed) do
    if key == 10 then await(step.echo(value[3])) end
  end
  local first = await(da.any { step.echo "north", step.echo "south" })
  local late = select(2, pawait(da.within(0.001, da.promise("never", { timeout = "1h" }))))
  mixed[2][5]()
  da.publish("state", { total = total() })
  local ends = await(da.all(branches))
  return { ok = ok, why = tostring(why):match("as it should"), squares = #squares, sorted = list[1], replaced = replaced,
    unwound = tostring(unwound):match("enough"), news = await(heard).text == text[7], kid = await(kid), ends = #ends,
    hash = #hash, json = #json, found = #found, first = #first, late = late.code, last = going(), total = total(),
    made = stack.made }
end
]]

---------------------------------------------------------------------------------------------------- images

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

-- What lies where: sorted list of {from, to, what=}; `own` for the program.
local function read_maps(text)
  local program = assert(uv.fs_realpath(os.getenv("DAHOST_BIN")))
  local maps, own_end = {}, nil
  for from, to, path in text:gmatch("(%x+)%-(%x+) %S+ %x+ %S+ %d+ *([^\n]*)\n") do
    local map = { from = tonumber(from, 16), to = tonumber(to, 16), what = path == "" and "anonymous" or path }
    map.own = path == program or (path == "" and map.from == own_end) -- .bss has no name
    own_end = map.own and map.to or nil
    maps[#maps + 1] = map
  end
  return maps
end

local function map_of(maps, address)
  local low, high = 1, #maps
  while low <= high do
    local middle = (low + high) // 2
    local map = maps[middle]
    if address < map.from then high = middle - 1 elseif address >= map.to then low = middle + 1 else return map end
  end
end

local NIL = { [0x00] = true, [0x10] = true, [0x20] = true }

-- The region is one mapping or several side by side.
local function mark_region(maps, slot)
  for i, map in ipairs(maps) do
    if slot >= map.from and slot < map.to then
      local first, last = i, i
      while first > 1 and maps[first - 1].to == maps[first].from do first = first - 1 end
      while last < #maps and maps[last + 1].from == maps[last].to do last = last + 1 end
      for at = first, last do maps[at].region = true end
    end
  end
end

local function is_address(map, value)
  return not map.region or (value % 8 == 0 and value & 0xffff0000 ~= 0)
end

-- The words of an image that look like addresses which do not belong: {at=, value=, what=}.
local function strangers(image)
  local list, counts = {}, { slot = 0, program = 0 }
  local slot, size = image.slot, #image.bytes
  for at = 1, size - 15, 8 do
    local value = string.unpack("<I8", image.bytes, at)
    if value >= slot and value <= slot + size then
      counts.slot = counts.slot + 1
    elseif value >= 4096 and value >> 47 == 0 then
      local map = map_of(image.maps, value)
      if map and map.own then
        counts.program = counts.program + 1
      elseif map and is_address(map, value) and not NIL[image.bytes:byte(at + 8)] then
        list[#list + 1] = { at = at - 1, value = value, what = map.what }
      end
    end
  end
  return list, counts
end

local function load_images(folder)
  local images = {}
  for n = 1, math.huge do
    if not uv.fs_stat(("%s/%d.img"):format(folder, n)) then break end
    local text = read(("%s/%d.img"):format(folder, n))
    images[n] = { n = n, slot = string.unpack("<I8", text), bytes = text:sub(9),
      maps = read_maps(read(("%s/%d.maps"):format(folder, n))) }
    mark_region(images[n].maps, images[n].slot)
  end
  return images
end

local function words_of(images)
  local words = {}
  for _, image in ipairs(images) do
    for at = 1, #image.bytes - 7, 8 do words[string.unpack("<I8", image.bytes, at)] = true end
  end
  return words
end

-- Runs the script; its result and its images.
local function run()
  local place = harness.place(true)
  for name, text in pairs { s = SCRIPT, stack = MODULE } do
    local file <close> = assert(io.open(("%s/%s.lua"):format(place.dir, name), "w"))
    file:write(text)
  end
  local done = harness.dahost({ "run", place.dir .. "/s.lua", "main", "--id", "x", "--quiet" }, { env = {
    DAHOST_DATA = place.data, DAHOST_IMAGE_DUMP = place.dir, DAHOST_WARM = "0", DAHOST_IMAGES = "true",
    DAHOST_IMAGE_AFTER = "0", DAHOST_IMAGE_EVERY = "0",
  } })
  assert(done.code == 0, done.out .. done.err)
  local images = load_images(place.dir)
  harness.remove(place)
  return done.out, images
end

local MOST = 40 -- images that are looked at, spread over the life of the script

describe("an image", function()
  if harness.sanitized then -- its shadow memory lies where numbers point to
    pending("of a build with a sanitizer is not looked at")
    return
  end

  local images, numbers

  setup(function()
    local result, all = run()
    local other, others = run()
    assert.equal(result, other)
    assert.is_true(#all > MOST, "images: " .. #all)
    numbers = words_of(others)
    images = {}
    for i = 1, MOST do
      images[i] = all[i * #all // MOST]
      images[i].strangers, images[i].counts = strangers(images[i])
    end
  end)

  it("holds addresses of its own slot and of the program", function()
    for _, image in ipairs(images) do
      local counts = image.counts
      assert.is_true(counts.slot > 1000 and counts.program > 100, ("%d, %d"):format(counts.slot, counts.program))
    end
  end)

  it("holds no other ones", function()
    for _, image in ipairs(images) do
      for _, word in ipairs(image.strangers) do
        if not numbers[word.value] then
          error(("image %d at 0x%x, byte 0x%x of %d: 0x%x, in %s"):format(image.n, image.slot, word.at, #image.bytes,
            word.value, word.what))
        end
      end
    end
  end)

  it("would be found to hold one", function()
    local image = images[#images]
    local planted = 0
    for _, map in ipairs(image.maps) do
      local address = map.from + (map.to - map.from > 0x20000 and 0x10040 or 64)
      local inside = address >= image.slot and address <= image.slot + #image.bytes
      if not map.own and not inside and map.to > 0 then -- below 0 it is the kernel's
        local with = { slot = image.slot, maps = { map }, bytes = string.pack("<I8I8", address, 0x43) }
        assert.equal(1, #strangers(with), map.what)
        if not numbers[address] then planted = planted + 1 end
      end
    end
    assert.is_true(planted > 10, "planted: " .. planted)
  end)
end)
