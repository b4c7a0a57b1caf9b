-- queue_spec.lua - the rows of queues in both kinds of store: there and back, and whatever is wrong with them is found.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")
local probe = kit.probe

local MAX, NOW = 9007199254740991, 1000
local LONG = ("n"):rep(200)

-- Every kind of row, in every state: messages, grants, places, holds, an instant that is due.
local function furnish(w)
  local function ask(kind, data)
    local reply = assert(w:apply({ kind = kind, data = data }, NOW))
    assert(reply.status == 200, reply.data)
    return reply
  end
  local function start(id)
    ask("task.create", { pid = "local/1", ttl = MAX, action = { kind = "promise.create", data = { id = id, timeoutAt = MAX,
      param = {}, tags = { ["resonate:target"] = "poll://any@default" } } } })
  end
  local function wait(id, what, name, kind, limit, per)
    ask("queue.wait", { id = id, version = 1, promiseId = id .. ":" .. what, timeoutAt = MAX, tags = {}, name = name,
      queueKind = kind, limit = limit or 0, per = per or 0 })
  end
  local function put(name, data, message)
    ask("queue.put", { name = name, value = { data = data }, message = message })
  end
  start "a"
  start("a:" .. ("k"):rep(300)) -- an owner whose key is a hash elsewhere
  for i = 1, 3 do put(LONG, ("m"):rep(i * 3000), "id" .. i) end
  put("a/in", "1")
  ask("queue.put", { id = "a", promiseId = "a:step.1/~send.1", name = "empty", value = { data = "1" } })
  wait("a", "r1", "empty", 1)
  wait("a", "r2", "empty", 1)
  for i = 1, 2 do wait("a", "p" .. i, "s", 2, 1) end
  wait("a:" .. ("k"):rep(300), "p", "s", 2, 1)
  for i = 1, 3 do wait("a", "t" .. i, "l", 3, 2, 100) end
end

local function shown(w)
  local all = {}
  for _, name in ipairs(w:queues()) do all[name] = w:queue(name) end
  all["holds of a"] = w:holds("a")
  return all
end

local function verdict(w)
  local faults, name = w:verify()
  return faults and #faults > 0 or name ~= nil
end

kit.both("queues", function(open)
  it("are whole, and the same after the store was opened again", function()
    local w = open()
    furnish(w)
    assert.same({}, w:verify())
    assert.same({}, w:check(NOW))
    local before = shown(w)
    assert.equal(3, #before[LONG].tokens)
    assert.equal(("m"):rep(9000), before[LONG].tokens[3].data)
    assert.same({ 1100, 1 }, { before.l.due, #before.l.places })
    assert.same({ 1, 2 }, { before.s.held, #before.s.places })
    assert(w:reopen())
    assert.same(before, shown(w))
    for _, row in ipairs(w:rows "queue") do
      assert.is_true(probe.key_fits("queue", row[1]))
      assert.is_false(probe.key_fits("queue", row[1]:sub(1, -2)) and row[1]:byte() ~= 1 and row[1]:byte() ~= 2)
      assert.is_false(probe.key_fits("queue", row[1] .. "\0"))
    end
  end)

  it("leave no row when all of it is over", function()
    local w = open()
    furnish(w)
    for _, id in ipairs { "a:" .. ("k"):rep(300), "a" } do
      assert(w:apply({ kind = "promise.settle", data = { id = id, state = "resolved", value = {} } }, NOW))
    end
    assert.same({}, w:holds("a"))
    assert.is_nil(w:queue("a/in"))
    assert.same({ 0, 0, 0 }, { w:queue("s").held, #w:queue("s").places, w:queue("l").due })
    assert.same({}, w:verify())
  end)

  it("are found damaged, whichever record cannot be read or says something else", function()
    local w = open()
    furnish(w)
    for _, row in ipairs(w:rows "queue") do
      for _, bytes in ipairs { "", "\0", row[2]:sub(1, 1), "\xff" .. row[2]:sub(2), row[2]:sub(1, #row[2] // 2) } do
        w:poke("queue", row[1], bytes)
        assert.is_true(verdict(w), ("kind %d, %d bytes"):format(row[1]:byte(), #bytes))
      end
      w:poke("queue", row[1], row[2])
    end
    w:poke("queue", "\xff\xff\0", "x")
    assert.is_true(verdict(w))
    w:poke("queue", "\xff\xff\0", nil)
    assert.same({}, w:verify())
  end)

  it("are found damaged when a row is gone, or the instant at which one falls due", function()
    local w = open()
    furnish(w)
    for _, name in ipairs { "queue", "timer" } do
      for _, row in ipairs(w:rows(name)) do
        -- What was sent is remembered for its own sake; all else is counted or leant on.
        local remembered = name == "queue" and row[2]:find("~send", 1, true)
          or name == "queue" and row[1]:byte() == 3 and row[2]:find("a:[rt]%d") and not row[2]:find("a:r2", 1, true)
            and not row[2]:find("a:t3", 1, true)
          or name == "queue" and row[1]:byte() == 3 and row[2]:find("a/in", 1, true)
        w:poke(name, row[1], nil)
        if not remembered then assert.is_true(verdict(w), name .. " " .. row[1]:byte()) end
        w:poke(name, row[1], row[2])
        assert.same({}, w:verify())
      end
    end
  end)

  it("are walked to an end though a hold names another promise or execution than its key", function()
    for _, old in ipairs { "a:p1", "a:t1" } do
      local w = open()
      furnish(w)
      for _, row in ipairs(w:rows "queue") do
        if row[1]:byte() == 3 and row[2]:sub(-4) == old then
          w:poke("queue", row[1], row[2]:sub(1, -2) .. "9")
          assert.is_true(verdict(w))
        end
      end
      local reply, name = w:apply({ kind = "promise.settle", data = { id = "a", state = "resolved", value = {} } }, NOW)
      assert.same({ nil, "ECORRUPT" }, { reply, name }) -- it concerns that execution
      assert.equal(200, w:apply({ kind = "queue.put", data = { name = "other", value = { data = "1" } } }, NOW).status)
    end
  end)

  it("answer a damaged row with its table and key, and change nothing", function()
    local w = open()
    furnish(w)
    for _, row in ipairs(w:rows "queue") do
      if row[1]:byte() == 0 then w:poke("queue", row[1], "\0") end
    end
    local reply, name, words = w:apply({ kind = "queue.put", data = { name = "s", value = { data = "1" } } }, NOW)
    assert.is_nil(reply)
    assert.equal("ECORRUPT", name)
    kit.says(words, "table queue", "dahost verify")
  end)
end)
