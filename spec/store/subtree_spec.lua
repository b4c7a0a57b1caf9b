-- subtree_spec.lua - what a replay reads: an execution's own records, not those of the executions below it.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")

local TARGET = { ["resonate:target"] = "poll://any@default" }

-- Writes promises; an id ending in '!' has a task of its own.
local function fill(w, ids)
  assert(w:begin())
  for _, id in ipairs(ids) do
    local bare = id:gsub("!$", "")
    local own = bare ~= id
    assert(w:write_promise(kit.promise(bare, { tags = own and TARGET or nil })))
    if own then assert(w:write_task({ id = bare, state = "pending", version = 0 })) end
  end
  assert(w:commit())
end

local function scanned(w, id, limit)
  local ids = {}
  for i, p in ipairs(assert(w:scan_execution(id, limit))) do ids[i] = p.id end
  return ids
end

kit.both("the scan of an execution", function(open)
  it("gives what lies below, in order, without itself", function()
    local w = open()
    fill(w, { "r!", "r:a.1", "r:a.10", "r:a.2", "r:b", "r-x", "r.y", "r0", "s:a", "q" })
    assert.same({ "r:a.1", "r:a.10", "r:a.2", "r:b" }, scanned(w, "r"))
    assert.same({}, scanned(w, "nothing"))
    assert.same({}, scanned(w, "r:b"))
  end)

  it("has the child workflow, and jumps over what is below it", function()
    local w = open()
    fill(w, { "r!", "r:a.1!", "r:a.1.x.1", "r:a.1.x.2!", "r:a.1.x.2.y", "r:a.10", "r:a.10.z", "r:a.1:odd", "r:b!", "r:b.c" })
    assert.same({ "r:a.1", "r:a.10", "r:a.10.z", "r:b" }, scanned(w, "r"))
    assert.same({ "r:a.1.x.1", "r:a.1.x.2", "r:a.1:odd" }, scanned(w, "r:a.1"))
    assert.same({ "r:a.1.x.2.y" }, scanned(w, "r:a.1.x.2"))
  end)

  it("is not led astray by ids that sort between a child and its children", function()
    local w = open()
    fill(w, { "r!", "r:k=1!", "r:k=1 b!", "r:k=1 b.x", "r:k=1-b!", "r:k=1-b.x", "r:k=1-b.y", "r:k=1.x", "r:k=1.y!",
      "r:k=1.y.z", "r:k=1/b", "r:k=12", "r:k=1:w", "r:k=1;", "r:k=1-" })
    assert.same({ "r:k=1", "r:k=1 b", "r:k=1-", "r:k=1-b", "r:k=1/b", "r:k=12", "r:k=1;" }, scanned(w, "r"))
  end)

  it("works for a root that does not exist and for ids of the dot dialect", function()
    local w = open()
    fill(w, { "r:a!", "r:a.b", "r:c", "d!", "d.1", "d.1.2", "d.2!" })
    assert.same({ "r:a", "r:c" }, scanned(w, "r"))
    assert.same({}, scanned(w, "d")) -- each is a root
    assert.same({ "d.1", "d.1.2", "d.2" }, w:below("d"))
  end)

  it("stops when it is told to", function()
    local w = open()
    fill(w, { "r:a", "r:b", "r:c" })
    assert.same({ "r:a", "r:b" }, scanned(w, "r", 2))
  end)

  it("reads in proportion to what it gives: 300 children with 300 steps each", function()
    local w = open()
    assert(w:begin())
    for c = 1, 300 do
      assert(w:write_promise(kit.promise("r:c." .. c, { tags = TARGET })))
      for s = 1, 300 do
        assert(w:write_promise(kit.promise(("r:c.%d.s.%d"):format(c, s))))
      end
    end
    assert(w:commit())
    local before = w:stat().rows_read
    assert.equal(300, #w:scan_execution("r"))
    local read = w:stat().rows_read - before
    assert.is_true(read <= 3 * 300 + 10, tostring(read))
    before = w:stat().rows_read
    assert.equal(300, #w:scan_execution("r:c.7"))
    assert.is_true(w:stat().rows_read - before <= 310)
  end)

  describe("with long ids", function()
    local deep = ":" .. ("d"):rep(150)
    local function long(tail) return "r" .. deep .. tail end

    it("asks for the tasks between, whatever the order of the keys", function()
      local w = open()
      local ids = { "r!", "r:a", "r" .. deep .. "!" }
      for i = 1, 20 do
        ids[#ids + 1] = long(".w." .. i .. "!")
        ids[#ids + 1] = long(".w." .. i .. ".s.1")
        ids[#ids + 1] = long("x.s." .. i)
      end
      fill(w, ids)
      local wanted = { "r:a", "r" .. deep }
      for i = 1, 20 do wanted[#wanted + 1] = long("x.s." .. i) end
      assert.same(kit.sorted(wanted), kit.sorted(scanned(w, "r")))
      wanted = {}
      for i = 1, 20 do wanted[#wanted + 1] = long(".w." .. i) end
      assert.same(kit.sorted(wanted), kit.sorted(scanned(w, "r" .. deep)))
      assert.same({ long(".w.3.s.1") }, scanned(w, long(".w.3")))
    end)

    it("agrees with the definition on random trees", function()
      local random = kit.random(kit.seed())
      for _ = 1, 8 do
        local w = open()
        local ids, tasks, list = { r = true }, {}, { "r" }
        for _ = 1, 120 do
          local parent = list[random(#list)]
          local id = parent .. (parent:find(":", 1, true) and "." or ":") ..
            ({ "a", "b=1", "b=1-c", "long" .. ("g"):rep(60) })[random(4)] .. "." .. random(3)
          if not ids[id] and #id < 900 then
            ids[id] = true
            tasks[id] = random(4) == 1
            list[#list + 1] = id
          end
        end
        local marked = {}
        for i, id in ipairs(list) do marked[i] = id .. (tasks[id] and "!" or "") end
        fill(w, marked)
        for _, ancestor in ipairs(list) do
          local wanted = {}
          for _, id in ipairs(list) do
            local inside = #id > #ancestor and id:sub(1, #ancestor) == ancestor and id:find("^[.:]", #ancestor + 1)
            for at in id:gmatch("()[.:]") do
              local between = id:sub(1, at - 1)
              if #between > #ancestor and tasks[between] then inside = false end
            end
            if inside then wanted[#wanted + 1] = id end
          end
          assert.same(kit.sorted(wanted), kit.sorted(scanned(w, ancestor)))
        end
        w:close()
      end
    end)
  end)
end)

kit.both("the walk of the view", function(open)
  it("finds what lies below in either dialect, one by one", function()
    local w = open()
    kit.fill(w, { "r", "r:a", "r:a.b", "r:a:c", "r:a-", "r.x", "r.x:y", "r.x.z", "r-q", "rr", "r.only:child" })
    assert.same({ "r:a", "r:a-", "r:a.b", "r:a:c", "r.only:child", "r.x", "r.x.z", "r.x:y" }, (function()
      local found = w:below("r")
      local own, dots = {}, {}
      for _, id in ipairs(found) do table.insert(id:sub(1, 2) == "r:" and own or dots, id) end
      table.sort(dots)
      return table.move(dots, 1, #dots, #own + 1, own)
    end)())
    assert.same({ "r:a.b", "r:a:c" }, w:below("r:a"))
    assert.same({ "r.x:y", "r.x.z" }, w:below("r.x"))
    assert.same({}, w:below("none"))
    assert.same({}, w:below("r:none"))
  end)
end)
