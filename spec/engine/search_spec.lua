-- search_spec.lua - promise.search and task.search: pages in byte order, filters, turns.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")

local function create(w, id, more, now)
  local d = { id = id, timeoutAt = 1000000, tags = {} }
  for key, value in pairs(more or {}) do d[key] = value end
  assert.equal(200, w:apply({ kind = "promise.create", data = d }, now or 0).status)
end

local function search(w, kind, data, now)
  local reply = w:apply({ kind = kind, data = data }, now or 0)
  assert.equal(200, reply.status, reply.data)
  local ids = {}
  for i, row in ipairs(reply.data.promises or reply.data.tasks) do ids[i] = row.id end
  return ids, reply.data.cursor, reply.data
end

-- Everything, page by page.
local function paged(w, kind, data)
  local all, cursor = {}, nil
  repeat
    data.cursor = cursor
    local ids
    ids, cursor = search(w, kind, data)
    assert.is_true(#ids == data.limit or cursor == nil)
    if cursor then assert.equal(ids[#ids], cursor) end
    table.move(ids, 1, #ids, #all + 1, all)
  until not cursor
  return all
end

local TARGET = { ["resonate:target"] = "http://w1" }

kit.both("promise.search and task.search", function(open)
  -- Roots that go on with bytes below and above the separators, with and without tasks.
  local function fill(w)
    local all, tasks = {}, {}
    for i, root in ipairs { "a", "a b", "a!", "a-1", "a.1", "a/", "a0", "b", "\u{e9}", "b:" } do
      for j, rest in ipairs { "", ":1", ":1.2", ":x-y", ":" .. ("l"):rep(170) .. i, ":" .. ("l"):rep(170) .. "z" } do
        local id = root .. rest
        if not (root:find(":") and rest ~= "") then
          all[#all + 1] = id
          if (i + j) % 2 == 0 then tasks[#tasks + 1] = id end
          create(w, id, { tags = (i + j) % 2 == 0 and TARGET or {} })
        end
      end
    end
    table.sort(all)
    table.sort(tasks)
    return all, tasks
  end

  it("give every id in byte order, whatever the page and however many are looked at in a turn", function()
    local w = open()
    local all, tasks = fill(w)
    for _, limit in ipairs { 1, 3, 100 } do
      for _, look in ipairs { 1, 2, 7, 500 } do
        assert.same(all, paged(w, "promise.search", { limit = limit, look = look }))
        assert.same(tasks, paged(w, "task.search", { limit = limit, look = look }))
      end
    end
  end)

  it("go on behind any text", function()
    local w = open()
    local all, tasks = fill(w)
    for _, cursor in ipairs { "", "a", "a:", "a:1\1", "a:zz", "a/", "\255", "a:" .. ("l"):rep(171), ("x"):rep(3000) } do
      local function behind(list)
        local kept = {}
        for _, id in ipairs(list) do
          if id > cursor then kept[#kept + 1] = id end
        end
        return kept
      end
      assert.same(behind(all), search(w, "promise.search", { cursor = cursor, look = 3 }))
      assert.same(behind(tasks), search(w, "task.search", { cursor = cursor, look = 3 }))
    end
  end)

  it("give those that begin so, for the programs of this process", function()
    local w = open()
    fill(w)
    assert.same({ "a.1", "a.1:1", "a.1:1.2" }, { table.unpack(search(w, "promise.search", { begins = "a.", look = 2 }), 1, 3) })
    assert.same({ "a:1", "a:1.2" }, search(w, "promise.search", { begins = "a:1", look = 1 }))
    assert.same({ "a:1.2" }, search(w, "promise.search", { begins = "a:1", cursor = "a:1" }))
    assert.same({}, search(w, "promise.search", { begins = "none" }))
    local _, cursor = search(w, "task.search", { begins = "a0", limit = 2 })
    assert.equal("a0:1.2", cursor)
  end)

  it("have a cursor only while there is more that fits", function()
    local w = open()
    for i = 1, 5 do create(w, "p" .. i, { tags = { odd = tostring(i % 2) } }) end
    local function page(limit) return select(2, search(w, "promise.search", { limit = limit, tags = { odd = "1" }, look = 1 })) end
    assert.equal("p3", page(2))
    assert.is_nil(page(3))
    assert.is_nil(page(1000))
  end)

  it("give a hundred rows unless told otherwise", function()
    local w = open()
    for i = 1, 101 do create(w, ("p%03d"):format(i), { tags = TARGET }) end
    for _, kind in ipairs { "promise.search", "task.search" } do
      local ids, cursor = search(w, kind, {})
      assert.same({ 100, "p100" }, { #ids, cursor })
    end
  end)

  it("end a page before its limit when it would hold too much", function()
    local w = open()
    for i = 1, 20 do create(w, ("p%02d"):format(i), { param = { data = ("x"):rep(1 << 20) } }) end
    local ids, cursor = search(w, "promise.search", {})
    assert.same({ 16, "p16" }, { #ids, cursor })
    ids, cursor = search(w, "promise.search", { cursor = cursor })
    assert.same({ 4 }, { #ids, cursor })
  end)

  it("read a bounded number of records in a turn", function()
    local w = open()
    for i = 1, 300 do create(w, ("p%03d"):format(i), { tags = { last = i == 300 and "yes" or "no" } }) end
    assert(w:begin())
    local before = w:stat().rows_read
    assert.same({ "p300" }, search(w, "promise.search", { tags = { last = "yes" }, look = 10 }))
    assert.is_true(w:stat().rows_read - before < 300 * 8)
    w:abort()
  end)
end)

describe("what a search tells", function()
  it("is the state at this instant, not the stored one", function()
    local w = kit.open("memory")
    create(w, "a", { timeoutAt = 50 })
    create(w, "b", { timeoutAt = 50, tags = { ["resonate:target"] = "http://w1", ["resonate:timer"] = "true" } })
    create(w, "c", { tags = TARGET })
    local _, _, data = search(w, "promise.search", { state = "resolved" }, 60)
    assert.same({ "b", 50, {} }, { data.promises[1].id, data.promises[1].settledAt, data.promises[1].value })
    assert.same({ "a" }, search(w, "promise.search", { state = "rejected_timedout" }, 60))
    assert.same({ "c" }, search(w, "promise.search", { state = "pending" }, 60))
    _, _, data = search(w, "task.search", { state = "fulfilled" }, 60)
    assert.same({ { id = "b", state = "fulfilled", version = 0, resumes = 0 } }, data.tasks)
    assert.same({ "c" }, search(w, "task.search", { state = "pending" }, 60))
    assert.equal("pending", w:promise("a").state) -- and nothing was written
    kit.clean()
  end)

  it("is found by tags however many there are of them", function()
    local w = kit.open("memory")
    local own = {}
    for i = 1, 300 do own["key " .. i] = "value " .. i end
    create(w, "a", { tags = own })
    create(w, "b", { tags = { ["key 1"] = "value 1" } })
    local wanted = {}
    for i = 1, 290 do wanted["key " .. i] = "value " .. i end
    assert.same({ "a" }, search(w, "promise.search", { tags = wanted }))
    wanted["key 200"] = "value"
    assert.same({}, search(w, "promise.search", { tags = wanted }))
    wanted["key 200"], wanted["other"] = nil, "value"
    assert.same({}, search(w, "promise.search", { tags = wanted }))
    kit.clean()
  end)

  it("finds by what an execution published, under the name of a tag", function()
    local w = kit.open("memory")
    create(w, "a")
    create(w, "b", { tags = { stage = "cold" } })
    assert(w:write_live("a", "stage", '"warm"'))
    assert(w:write_live("a", "count", "7"))
    assert(w:write_live("b", "stage", '"warm"'))
    assert.same({ "a" }, search(w, "promise.search", { tags = { stage = "warm" } }))
    assert.same({ "a" }, search(w, "promise.search", { tags = { stage = "warm", count = "7" } }))
    assert.same({ "b" }, search(w, "promise.search", { tags = { stage = "cold" } }))
    assert.same({}, search(w, "promise.search", { tags = { stage = "war" } }))
    kit.clean()
  end)

  local refusals = {
    { { limit = 0 }, "Limit must be a positive integer" },
    { { limit = -5 }, "Limit must be a positive integer" },
    { { limit = 1001 }, "Invalid 'limit' \u{2014} must be between 1 and 1000" },
    { { state = "done" }, "Invalid request: `state` must be a state" },
  }
  for _, kind in ipairs { "promise.search", "task.search" } do
    it(kind .. " is refused for a limit or a state that is none", function()
      local w = kit.open("memory")
      for _, row in ipairs(refusals) do
        local reply = w:apply({ kind = kind, data = row[1] }, 0)
        assert.same({ 400, row[2] }, { reply.status, reply.data })
      end
      assert.equal(200, w:apply({ kind = kind, data = { limit = 1000 } }, 0).status)
      kit.clean()
    end)

    it(kind .. " is not there where the profile says so", function()
      local w = kit.open("memory", { profile = { search = "501" } })
      local reply = w:apply({ kind = kind, data = {} }, 0)
      assert.same({ 501, "string" }, { reply.status, type(reply.data) })
      kit.clean()
    end)
  end
end)
