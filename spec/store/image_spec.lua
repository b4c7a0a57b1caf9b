-- image_spec.lua - images of suspended isolates in the store: whole or none, replaced as a whole, gone with their task.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")

local PIECE = 4000
local LONG = "wf:" .. ("l"):rep(200)

kit.both("an image", function(open, kind)
  local random = kit.random(7)

  local function fresh()
    local w = open()
    kit.fill(w, { "wf", "wf:kid.1", "wf:kid.1.kid.1", "wf:kid.10", LONG, LONG .. "x", "wf-2" })
    return w
  end

  -- The rows of one execution: its head begins with the length.
  local function head_of(w, len)
    for _, row in ipairs(w:rows("image")) do
      if #row[2] == 20 and string.unpack(">I4", row[2]) == len then return row end
    end
  end

  it("is given back with its reach, whatever its length", function()
    local w = fresh()
    for _, len in ipairs { 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 1, 7 * PIECE + 3, 300 * PIECE + 1 } do
      local bytes = kit.bytes(random, len)
      assert(w:image_put("wf", bytes, 128 + len))
      local got, reach = w:image_get("wf")
      assert.is_true(got == bytes, len .. " bytes differ")
      assert.equal(128 + len, reach)
      assert.equal(1 + (len + PIECE - 1) // PIECE, #w:rows("image"))
      assert.same({}, w:verify())
    end
  end)

  it("is not there where none was put", function()
    local w = fresh()
    assert.is_nil(w:image_get("wf"))
    assert(w:image_put("wf:kid.1", "x", 1))
    assert.is_nil(w:image_get("wf"))
    assert.is_nil(w:image_get("nobody"))
    assert.is_nil(w:image_get("wf:kid.10"))
    assert(w:image_put("nobody", "x", 1)) -- there is nobody to keep it for
    assert.equal(2, #w:rows("image"))
    assert.same({}, w:verify())
  end)

  it("leaves no piece behind when a shorter one takes its place", function()
    local w = fresh()
    for _ = 1, 40 do
      local bytes = kit.bytes(random, random(5 * PIECE + 2))
      assert(w:image_put("wf", bytes, 1))
      assert.is_true(w:image_get("wf") == bytes)
      assert.equal(1 + (#bytes + PIECE - 1) // PIECE, #w:rows("image"))
    end
    assert.same({}, w:verify())
  end)

  it("keeps the greater reach", function()
    local w = fresh()
    assert(w:image_put("wf", "one", 100))
    assert(w:image_put("wf", "two", 90))
    assert.same({ "two", 100 }, { w:image_get("wf") })
    assert(w:image_reach("wf", 99))
    assert.same({ "two", 100 }, { w:image_get("wf") })
    assert(w:image_reach("wf", 1 << 40))
    assert.same({ "two", 1 << 40 }, { w:image_get("wf") })
    assert(w:image_put("wf", "three", 5))
    assert.same({ "three", 1 << 40 }, { w:image_get("wf") })
    assert(w:image_reach("wf:kid.1", 7)) -- of one that has none
    assert.is_nil(w:image_get("wf:kid.1"))
  end)

  it("writes nothing when the reach was as far", function()
    local w = fresh()
    assert(w:image_put("wf", "one", 100))
    assert(w:begin())
    assert(w:image_reach("wf", 100))
    assert.is_false(w:dirty())
    w:abort()
  end)

  it("is each execution's own, whatever its id begins with", function()
    local w = fresh()
    local ids = { "wf", "wf:kid.1", "wf:kid.1.kid.1", "wf:kid.10", LONG, LONG .. "x", "wf-2" }
    local images = {}
    for i, id in ipairs(ids) do
      images[id] = kit.bytes(random, i * 1500)
      assert(w:image_put(id, images[id], i))
    end
    for i, id in ipairs(ids) do assert.same({ images[id], i }, { w:image_get(id) }, id) end
    assert.same({}, w:verify())
    for i, id in ipairs(ids) do
      assert(w:image_drop(id))
      assert.is_nil(w:image_get(id))
      for n = i + 1, #ids do assert.is_true(w:image_get(ids[n]) == images[ids[n]], ids[n]) end
    end
    assert.same({}, w:rows("image"))
    assert(w:image_drop("wf")) -- there is none any more
  end)

  it("goes when its task is fulfilled, and not before", function()
    local w = fresh()
    assert(w:image_put("wf", kit.bytes(random, 3 * PIECE), 1))
    assert(w:image_put("wf:kid.1", "x", 1))
    for _, state in ipairs { "pending", "acquired", "suspended", "halted" } do
      assert(w:write_task({ id = "wf", state = state, version = 1 }))
      assert.is_string(w:image_get("wf"), state)
    end
    assert(w:write_task({ id = "wf", state = "fulfilled", version = 1 }))
    assert.is_nil(w:image_get("wf"))
    assert.equal("x", (w:image_get("wf:kid.1")))
    assert.equal(2, #w:rows("image"))
  end)

  it("goes with its promise, and with all", function()
    local w = fresh()
    for _, id in ipairs { "wf", "wf:kid.1", LONG } do assert(w:image_put(id, kit.bytes(random, PIECE + 1), 1)) end
    assert(w:drop("wf:kid.1"))
    assert.is_nil(w:image_get("wf:kid.1"))
    assert.is_string(w:image_get(LONG))
    assert(w:drop(LONG))
    assert.is_nil(w:image_get(LONG))
    assert.same({}, w:verify())
    assert(w:reset())
    assert.is_nil(w:image_get("wf"))
    assert.same({}, w:rows("image"))
  end)

  it("is as it was when the batch is taken back", function()
    local w = fresh()
    local long, short = kit.bytes(random, 4 * PIECE), kit.bytes(random, 10)
    assert(w:image_put("wf", long, 3))
    assert(w:begin())
    assert(w:image_put("wf", short, 9))
    assert.same({ short, 9 }, { w:image_get("wf") })
    w:abort()
    assert.same({ long, 3 }, { w:image_get("wf") })
    assert.same({}, w:verify())
  end)

  it("is told as corrupt when a piece is missing, too short, or another's", function()
    local w = fresh()
    local bytes = kit.bytes(random, 3 * PIECE + 5)
    assert(w:image_put("wf", bytes, 1))
    local rows = w:rows("image")
    assert.equal(5, #rows)
    for i = 2, 5 do
      local key, value = table.unpack(rows[i])
      w:poke("image", key, nil)
      assert.equal("ECORRUPT", select(2, w:image_get("wf")), "without piece " .. i)
      w:poke("image", key, value:sub(2))
      assert.equal("ECORRUPT", select(2, w:image_get("wf")), "a short piece " .. i)
      w:poke("image", key, value)
    end
    assert.is_true(w:image_get("wf") == bytes)
    for i = 2, 5 do w:poke("image", rows[i][1], nil) end
    assert.equal("ECORRUPT", select(2, w:image_get("wf")))
    assert(w:image_drop("wf"))
    assert.same({}, w:rows("image"))
    assert.is_nil(w:image_get("wf"))
  end)

  it("is told as corrupt when its head is: a wrong reach would have records passed over", function()
    local w = fresh()
    assert(w:image_put("wf", kit.bytes(random, PIECE + 5), 1))
    local key, head = table.unpack(head_of(w, PIECE + 5))
    local wrong = { head:sub(2), head:sub(1, 12), head .. "x", ("\0"):rep(#head), ("\255"):rep(#head) }
    for at = 1, #head do
      wrong[#wrong + 1] = head:sub(1, at - 1) .. string.char(head:byte(at) ~ 1 << at % 8) .. head:sub(at + 1)
    end
    for _, bytes in ipairs(wrong) do
      w:poke("image", key, bytes)
      assert.equal("ECORRUPT", select(2, w:image_get("wf")))
      assert.equal("ECORRUPT", select(2, w:image_reach("wf", 1000)))
    end
    assert(w:image_drop("wf")) -- whatever lies there
    assert.same({}, w:rows("image"))
  end)

  it("is told as corrupt when its head is another's", function()
    local w = fresh()
    assert(w:image_put("wf", "x", 1))
    assert(w:image_put("wf:kid.1", "y", 2))
    local one, other = w:rows("image")[1], w:rows("image")[3]
    w:poke("image", one[1], other[2])
    assert.equal("ECORRUPT", select(2, w:image_get("wf")))
  end)

  it("takes the place of a damaged one, with nothing left of that", function()
    local w = fresh()
    assert(w:image_put("wf", kit.bytes(random, 5 * PIECE), 1))
    w:poke("image", w:rows("image")[1][1], "?")
    assert(w:image_put("wf", "anew", 7))
    assert.same({ "anew", 7 }, { w:image_get("wf") })
    assert.equal(2, #w:rows("image"))
    assert.same({}, w:verify())
  end)

  it("is named by verify when it is nobody's, or not whole", function()
    local w = fresh()
    local function faults()
      local list = {}
      for i, fault in ipairs(w:verify()) do list[i] = fault.what .. " " .. fault.id end
      return list
    end
    assert(w:image_put("wf:other.1", "x", 1)) -- its root is there, it is not
    assert.same({ "image.owner wf:other.1", "image.owner wf:other.1" }, faults())
    assert(w:image_drop("wf:other.1"))
    assert(w:image_put("wf", ("x"):rep(PIECE), 1))
    assert.same({}, faults())
    local head, row = table.unpack(w:rows("image"))
    for _, wrong in ipairs { ("x"):rep(PIECE + 1), ("x"):rep(PIECE - 1), "" } do
      w:poke("image", row[1], wrong)
      assert.same({ "image.record wf" }, faults())
    end
    w:poke("image", row[1], nil)
    assert.same({ "image.record wf" }, faults())
    w:poke("image", row[1], row[2])
    w:poke("image", row[1]:sub(1, -2) .. "\2", "x") -- behind the last one
    assert.same({ "image.record wf" }, faults())
    w:poke("image", row[1]:sub(1, -2) .. "\2", nil)
    w:poke("image", head[1], head[2]:sub(1, -2) .. string.char(head[2]:byte(-1) ~ 1))
    assert.same({ "image.record wf" }, faults())
    w:poke("image", head[1], nil)
    assert.same({ "image.record wf" }, faults())
    w:poke("image", head[1], head[2])
    w:poke("image", row[1] .. "z", "x")
    assert.same({ "image.key " }, faults())
    w:poke("image", row[1] .. "z", nil)
    assert.same({}, faults())
  end)

  if kind == "lmdb" then
    it("is there after the store was closed and opened", function()
      local w = fresh()
      local bytes = kit.bytes(random, 5 * PIECE + 1)
      assert(w:image_put(LONG, bytes, 77))
      assert(w:reopen())
      assert.same({ bytes, 77 }, { w:image_get(LONG) })
      assert.same({}, w:verify())
    end)

    it("can be read and not be put where one may only read", function()
      local w, path = open()
      kit.fill(w, { "wf" })
      assert(w:image_put("wf", "x", 1))
      w:close()
      local reader = kit.open("lmdb", { path = path, read_only = true })
      assert.same({ "x", 1 }, { reader:image_get("wf") })
      assert.has_error(function() assert(reader:image_put("wf", "y", 1)) end)
      assert.same({ "x", 1 }, { reader:image_get("wf") })
    end)
  end
end)
