-- key_spec.lua - numbers and ids as bytes: they sort as they should, and only what was written reads as a key.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")
local probe = kit.probe

local EDGES = { 0, 1, 2 }
for bits = 1, 62 do
  for d = -1, 1 do EDGES[#EDGES + 1] = (1 << bits) + d end
end
EDGES[#EDGES + 1] = math.maxinteger
table.sort(EDGES)

describe("a number", function()
  it("reads back, and sorts as bytes as it does as a number", function()
    for i, n in ipairs(EDGES) do
      local bytes = probe.number(n)
      assert.same({ n, #bytes }, { probe.read_number(bytes .. "more") })
      if i > 1 and EDGES[i - 1] ~= n then assert.is_true(probe.number(EDGES[i - 1]) < bytes) end
    end
  end)

  it("is one byte up to 127, three for two million roots, nine at most", function()
    for n, len in pairs({ [0] = 1, [127] = 1, [128] = 2, [16383] = 2, [16384] = 3, [2097151] = 3, [2097152] = 4,
      [1750000000000] = 6, [9007199254740991] = 8, [math.maxinteger] = 9, [-1] = 9 }) do
      assert.equal(len, #probe.number(n))
    end
  end)

  it("is none when it is cut off or longer than it must be", function()
    for _, n in ipairs(EDGES) do
      local bytes = probe.number(n)
      for len = 0, #bytes - 1 do assert.is_nil(probe.read_number(bytes:sub(1, len))) end
    end
    for _, bytes in ipairs({ "\x80\0", "\x80\x7f", "\xc0\x3f\xff", "\xff" .. ("\0"):rep(8),
      "\xff\0" .. ("\xff"):rep(7), "\xfe\0" .. ("\xff"):rep(6) }) do
      assert.is_nil(probe.read_number(bytes))
    end
  end)
end)

describe("the key of an id", function()
  it("is root and rest up to 160 bytes, head, NUL and hash beyond", function()
    local short = ":" .. ("s"):rep(159)
    assert.equal("\5" .. short, probe.key("root" .. short, 5))
    local long = short .. "s"
    local key = probe.key("root" .. long, 5)
    assert.equal(1 + 128 + 1 + 16, #key)
    assert.equal("\5" .. long:sub(1, 128) .. "\0", key:sub(1, 130))
    assert.not_equal(key, probe.key("root" .. short .. "t", 5))
  end)

  it("of a long rest depends on the store's secret", function()
    local id = "r:" .. ("s"):rep(200)
    assert.not_equal(probe.key(id, 1, 1), probe.key(id, 1, 2))
    assert.equal(probe.key("r:s", 1, 1), probe.key("r:s", 1, 2))
  end)

  it("cannot be met by a short id that spells head and hash", function()
    local long = "r:" .. ("s"):rep(300)
    for seed = 1, 400 do
      local hash = probe.key(long, 1, seed):sub(-16)
      local twin = long:sub(1, 129) .. hash
      if not hash:find("\0", 1, true) then assert.not_equal(probe.key(long, 1, seed), probe.key(twin, 1, seed)) end
    end
  end)

  it("keeps the order of ids that are not long", function()
    local rests = { "", ":", ":a", ":a!", ":a-b", ":a.1", ":a.1.b", ":a.10", ":a:", ":b", ":b\255" }
    for i = 2, #rests do assert.is_true(probe.key("r" .. rests[i - 1], 9) < probe.key("r" .. rests[i], 9)) end
    assert.is_true(probe.key("r" .. rests[#rests], 127) < probe.key("r", 128))
  end)
end)

-- Bytes that a table's keys may begin with, so that damage is not refused at the first byte.
local TABLES = { "root", "prom", "task", "due", "timer", "callback", "await", "wait", "out", "live", "blob" }

describe("bytes that are no key", function()
  it("are refused without reading past them", function()
    local random = kit.random(kit.seed())
    local world = kit.open("memory")
    for _, id in ipairs({ "a", "a:b", "a:" .. ("x"):rep(300) }) do
      assert(world:write_promise(kit.promise(id, { param = { data = ("x"):rep(2000) } })))
      assert(world:write_task({ id = id, state = "pending", version = 0 }))
      for _, class in ipairs({ "deadline", "retry", "lease" }) do assert(world:write_due(class, 1234567, id)) end
      for _, kind in ipairs({ "callback", "awaited", "resume", "listener" }) do
        assert(world:write_wait(kind, id, "other:x"))
        assert(world:write_wait(kind, id, "a:" .. ("y"):rep(300)))
      end
      assert(world:write_live(id, "phase", "1"))
      for _, kind in ipairs({ "execute", "unblock" }) do assert(world:write_out(kind, id, "addr")) end
    end
    local refused = 0
    for _, name in ipairs(TABLES) do
      local rows = world:rows(name)
      assert.is_true(#rows > 0, name)
      for _, row in ipairs(rows) do
        local key = row[1]
        assert.is_true(probe.key_fits(name, key), name)
        assert.is_false(probe.key_fits(name, ""))
        for len = 1, #key - 1 do
          if not probe.key_fits(name, key:sub(1, len)) then refused = refused + 1 end
        end
        for _ = 1, 50 do
          local at = random(#key)
          if not probe.key_fits(name, key:sub(1, at - 1) .. kit.bytes(random, random(4)) .. key:sub(at + 1)) then
            refused = refused + 1
          end
        end
      end
    end
    assert.is_true(refused > 1000)
    kit.clean()
  end)
end)
