-- search_spec.lua - all ids in byte order, against a sorted list: the order of the tables is another one.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")

-- Everything a page at a time, as a search with a cursor does it.
local function paged(w, prefix, limit, after)
  local all = {}
  repeat
    local page = assert(w:scan_ids(prefix, after, limit))
    table.move(page, 1, #page, #all + 1, all)
    after = page[#page]
  until #page < limit
  return all
end

local function below(id, prefix)
  return id == prefix or (id:sub(1, #prefix) == prefix and id:find("^[.:]", #prefix + 1) ~= nil)
end

local function filtered(ids, prefix, after)
  local list = {}
  for _, id in ipairs(ids) do
    if (not prefix or below(id, prefix)) and (not after or id > after) then list[#list + 1] = id end
  end
  return list
end

-- Roots that go on with every byte below and around ':', with and without children.
local function tricky_ids()
  local ids = { "wf", "wf:a.1", "wf:a.1.b.1", "wf:a.10", "wf:a.1:x", "wf:", "v", "wg" }
  for byte = 1, 0x3f do
    local c = string.char(byte)
    if c ~= ":" then
      ids[#ids + 1] = "wf" .. c
      if byte % 3 == 0 then ids[#ids + 1] = "wf" .. c .. "x:child.1" end
      if byte % 5 == 0 then ids[#ids + 1] = "wf" .. c .. c .. ":a" end
      ids[#ids + 1] = "wf:a" .. c
    end
  end
  for _, more in ipairs({ "wf-", "wf-:a", "wf-x", "wf-x:a", "wf-x-", "wf-x-:b", "wf.a", "wf.a:b", "wf.a.b", "wf.a.b:c" }) do
    ids[#ids + 1] = more
  end
  local seen, list = {}, {}
  for _, id in ipairs(ids) do
    if not seen[id] then list[#list + 1] = id end
    seen[id] = true
  end
  return list
end

kit.both("a search", function(open)
  it("gives true byte order for ids with every byte below ':'", function()
    local w = open()
    local ids = tricky_ids()
    kit.fill(w, ids)
    local sorted = kit.sorted(ids)
    assert.same(sorted, w:scan_ids())
    for _, limit in ipairs({ 1, 2, 7, 100 }) do assert.same(sorted, paged(w, nil, limit)) end
  end)

  it("goes on behind any text, stored or not", function()
    local w = open()
    local ids = kit.sorted(tricky_ids())
    kit.fill(w, ids)
    local cursors = { "", "\1", "zz", "wf:a.1.", "wf:zzz", "wf-", "w", "wf:a.1\0", ("wf"):rep(400), "wf:" .. ("x"):rep(2000),
      ":", "::", "wf." }
    for _, id in ipairs(ids) do cursors[#cursors + 1] = id end
    for _, after in ipairs(cursors) do
      assert.same(filtered(ids, nil, after ~= "" and after or nil), w:scan_ids(nil, after))
    end
  end)

  it("below a prefix gives it and what is below, and no neighbour", function()
    local w = open()
    local ids = kit.sorted(tricky_ids())
    kit.fill(w, ids)
    for _, prefix in ipairs({ "wf", "wf-", "wf.a", "wf:a.1", "wf:a", "v", "none", "wf:none", "wf.a:b" }) do
      local wanted = filtered(ids, prefix)
      assert.same(wanted, w:scan_ids(prefix))
      assert.same(wanted, paged(w, prefix, 1))
      for _, after in ipairs({ "a", "wf", "wf:a.1", "wf:zz", "wf.a", "wf.zz", "x" }) do
        assert.same(filtered(ids, prefix, after), w:scan_ids(prefix, after))
      end
    end
  end)

  it("sorts long ids that share their beginning among short ones", function()
    local w = open()
    local random = kit.random(kit.seed())
    local heads = { ":" .. ("h"):rep(127), ":" .. ("h"):rep(126) .. "g", ":" .. ("h"):rep(100) }
    local ids, seen = { "r", "r-x", "r:a", "r:h" }, {}
    for _, head in ipairs(heads) do
      ids[#ids + 1] = "r" .. head
      for _ = 1, 60 do
        local id = "r" .. head .. ({ ".", ":", "-", "x" })[random(4)] .. ("y"):rep(random(80)) .. random(1000)
        if not seen[id] then ids[#ids + 1] = id end
        seen[id] = true
      end
    end
    kit.fill(w, ids)
    local sorted = kit.sorted(ids)
    assert.same(sorted, w:scan_ids())
    assert.same(sorted, paged(w, nil, 1))
    assert.same(sorted, paged(w, nil, 7))
    for _, head in ipairs(heads) do
      assert.same(filtered(sorted, "r" .. head), w:scan_ids("r" .. head))
      assert.same(filtered(sorted, "r" .. head), paged(w, "r" .. head, 3))
    end
    for _ = 1, 40 do
      local after = ids[random(#ids)]
      assert.same(filtered(sorted, nil, after), w:scan_ids(nil, after))
    end
  end)

  it("sorts more long ids of one beginning than it holds at a time", function()
    local w = open()
    local ids = {}
    for i = 1, 5000 do ids[i] = "r:" .. ("h"):rep(170) .. "." .. (i * 7919 % 5000) end
    kit.fill(w, ids)
    assert.same(kit.sorted(ids), w:scan_ids())
  end)

  it("agrees with a sorted list on random ids", function()
    local seed = kit.seed()
    local random = kit.random(seed)
    local letters = { "a", "b", "-", ".", " ", "0", ":", ":", "~", "=", "/", "\255" }
    for round = 1, 12 do
      local w = open()
      local ids, seen = {}, {}
      for _ = 1, 150 do
        local id = {}
        for i = 1, random(6) do id[i] = letters[random(#letters)] end
        id = table.concat(id)
        if id:sub(1, 1) ~= ":" and not seen[id] then ids[#ids + 1] = id end
        seen[id] = true
      end
      kit.fill(w, ids)
      table.sort(ids)
      assert.same(ids, w:scan_ids(), "round " .. round)
      assert.same(ids, paged(w, nil, random(9)))
      for _ = 1, 30 do
        local prefix, after = ids[random(#ids)], ids[random(#ids)]
        assert.same(filtered(ids, prefix), w:scan_ids(prefix))
        assert.same(filtered(ids, prefix, after), w:scan_ids(prefix, after))
        local found = filtered(ids, prefix)
        if found[1] == prefix then table.remove(found, 1) end
        assert.same(found, kit.sorted(w:below(prefix)))
      end
      w:close()
    end
  end)

  it("costs the page, not what lies before it or beside it", function()
    local w = open()
    local ids = {}
    for i = 1, 3000 do ids[i] = ("r%04d"):format(i) end
    for i = 1, 3000 do ids[3000 + i] = ("r1500:s.%04d"):format(i) end
    for i = 1, 3000 do ids[6000 + i] = ("r1500-%04d"):format(i) end
    kit.fill(w, ids)
    local function cost(prefix, after, limit)
      local before = w:stat().rows_read
      assert.equal(limit, #w:scan_ids(prefix, after, limit))
      return w:stat().rows_read - before
    end
    assert.is_true(cost(nil, "r2900", 10) < 60)
    assert.is_true(cost(nil, "r1500:s.2000", 10) < 60)
    assert.is_true(cost("r1500", "r1500:s.2000", 10) < 60)
    assert.is_true(cost("r1500", nil, 10) < 60)
  end)
end)
