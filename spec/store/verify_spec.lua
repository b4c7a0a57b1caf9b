-- verify_spec.lua - a store that is whole is found whole, planted damage is found and named.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")

local TARGET = "poll://any@default"
local LONG = "wf:" .. ("l"):rep(200)

-- A store that has something of everything, made by requests.
local function furnish(w)
  local now = 1000
  local function ask(kind, data)
    local reply = w:apply({ kind = kind, data = data }, now)
    assert.equal(200, reply.status, tostring(reply.data))
    return reply.data
  end
  local function create(id, more)
    local data = { id = id, timeoutAt = 100000, tags = {} }
    for key, value in pairs(more or {}) do data[key] = value end
    return ask("promise.create", data)
  end
  local function fence(id, kind, data)
    return ask("task.fence", { id = id, version = 1, action = { kind = kind, data = data } })
  end
  create("wf", { tags = { ["resonate:target"] = TARGET, ["resonate:branch"] = "wf" }, param = { data = ("p"):rep(9000) } })
  ask("task.acquire", { id = "wf", version = 0, pid = "w", ttl = 500 })
  fence("wf", "promise.create", { id = "wf:step.1", timeoutAt = 9000, tags = {} })
  fence("wf", "promise.settle", { id = "wf:step.1", state = "resolved", value = { data = ("v"):rep(5000) } })
  fence("wf", "promise.create", { id = "wf:~sleep.1", timeoutAt = 9000, tags = { ["resonate:timer"] = "true" } })
  fence("wf", "promise.create", { id = LONG, timeoutAt = 9000, tags = { ["resonate:timer"] = "true" } })
  create("other", { tags = { ["resonate:scope"] = "global" } })
  create("orphan:child", { tags = { ["resonate:target"] = "http://elsewhere/x" } })
  ask("task.suspend", { id = "wf", version = 1, actions = {
    { data = { awaited = "wf:~sleep.1", awaiter = "wf" } },
    { data = { awaited = LONG, awaiter = "wf" } },
    { data = { awaited = "other", awaiter = "wf" } },
  } })
  ask("promise.register_listener", { awaited = "other", address = "http://listener/1" })
  create("quick", { tags = { ["resonate:target"] = TARGET } })
  ask("task.acquire", { id = "quick", version = 0, pid = "w", ttl = 500 })
  ask("promise.register_callback", { awaited = "wf:~sleep.1", awaiter = "quick" })
  create("done", { tags = {} })
  ask("promise.register_callback", { awaited = "done", awaiter = "quick" })
  ask("promise.register_listener", { awaited = "done", address = "http://listener/2" })
  ask("promise.settle", { id = "done", state = "resolved" })
  assert(w:put_bundle(("b"):rep(9000)))
  assert(w:put_bundle("small"))
  assert(w:write_live("wf", "phase", '"ship"'))
  assert(w:write_live(LONG, "phase", "1"))
  return now
end

local function names(faults)
  local list = {}
  for _, f in ipairs(faults) do
    assert.is_string(f.words)
    list[f.what] = true
  end
  return list
end

-- What verify says, faults or the name of a failure.
local function verdict(w)
  local faults, name = w:verify()
  return faults and names(faults) or { [name] = true }
end

kit.both("verify", function(open)
  it("finds nothing in a store that is whole", function()
    local w = open()
    assert.same({}, w:verify())
    local now = furnish(w)
    assert.same({}, w:verify())
    assert.same({}, w:check(now))
    local stat = w:stat()
    assert.same({ 8, 3, 2 }, { stat.promises, stat.tasks, stat.bundles })
    for _, name in ipairs({ "word", "ids", "root", "prom", "blob", "task", "due", "timer", "callback", "await", "wait",
      "out", "live", "bundle" }) do
      assert.is_true(#w:rows(name) > 0, name)
    end
    w:sweep(50000)
    assert.same({}, w:verify())
    assert(w:reopen())
    assert.same({}, w:verify())
  end)

  it("finds a record of any table that cannot be read", function()
    local w = open()
    furnish(w)
    for _, name in ipairs({ "ids", "root", "prom", "task", "out", "bundle" }) do
      for _, row in ipairs(w:rows(name)) do
        for _, bytes in ipairs({ "", "\0", row[2] .. "\0", row[2]:sub(1, -2), "\xff" .. row[2]:sub(2) }) do
          w:poke(name, row[1], bytes)
          assert.not_same({}, verdict(w), name .. " " .. #bytes)
        end
        w:poke(name, row[1], row[2])
      end
    end
    assert.same({}, w:verify())
  end)

  it("finds keys that are none", function()
    local w = open()
    furnish(w)
    for _, name in ipairs({ "word", "ids", "root", "prom", "task", "due", "timer", "callback", "await", "wait", "out",
      "live", "bundle", "blob" }) do
      w:poke(name, "\xff\xff\0", "x")
      assert.not_same({}, verdict(w), name)
      w:poke(name, "\xff\xff\0", nil)
      assert.same({}, w:verify())
    end
  end)

  it("finds rows that others lean on when they are gone", function()
    local w = open()
    furnish(w)
    local expected = { ids = true, root = true, blob = true, due = true, timer = true, await = true }
    for name in pairs(expected) do
      for _, row in ipairs(w:rows(name)) do
        w:poke(name, row[1], nil)
        assert.not_same({}, verdict(w), name)
        w:poke(name, row[1], row[2])
        assert.same({}, w:verify())
      end
    end
  end)

  -- Each plants one thing and takes it back; verify must name it.
  local function planted(what, name, change)
    it("names " .. what, function()
      local w = open()
      furnish(w)
      change(w)
      assert.is_true(verdict(w)[what], what .. " in " .. name)
    end)
  end

  local function find(w, name, test)
    for _, row in ipairs(w:rows(name)) do
      if test(row[1], row[2]) then return row end
    end
    error("no such row in " .. name)
  end

  planted("prom.due", "due", function(w) w:poke("due", w:rows("due")[1][1], nil) end)
  planted("due.owner", "due", function(w) assert(w:write_due("deadline", 5, "other")) end)
  planted("due.owner", "timer", function(w) assert(w:write_due("lease", 5, "wf")) end)
  planted("task.due", "timer", function(w) w:poke("timer", w:rows("timer")[1][1], nil) end)
  planted("task.promise", "task", function(w) assert(w:write_task({ id = "nobody", state = "suspended", version = 1 })) end)
  planted("task.resumes", "wait", function(w) assert(w:write_wait("resume", "wf", "other")) end)
  planted("wait.first", "wait", function(w) assert(w:write_wait("listener", "nobody", "http://x")) end)
  planted("wait.second", "callback", function(w) assert(w:write_wait("callback", "other", "nobody")) end)
  planted("wait.task", "wait", function(w) assert(w:write_wait("resume", "other", "wf")) end)
  planted("wait.twin", "callback", function(w) assert(w:write_wait("callback", "other", "quick")) end)
  planted("wait.twin", "await", function(w) assert(w:write_wait("awaited", "quick", "other")) end)
  planted("wait.address", "wait", function(w)
    local row = find(w, "wait", function(_, value) return value:find("http", 1, true) == 1 end)
    w:poke("wait", row[1], "http://another")
  end)
  planted("wait.record", "callback", function(w)
    local row = find(w, "callback", function(_, value) return #value > 0 end)
    w:poke("callback", row[1], "")
  end)
  planted("prom.key", "prom", function(w)
    local row = find(w, "prom", function(key) return #key > 140 end)
    w:poke("prom", row[1]:sub(1, -2) .. string.char(row[1]:byte(-1) ~ 1), row[2])
  end)
  planted("prom.root", "prom", function(w)
    local row = find(w, "prom", function(key) return #key < 20 end)
    w:poke("prom", "\100" .. row[1]:sub(2), row[2])
  end)
  planted("prom.value", "blob", function(w)
    local row = find(w, "blob", function(_, value) return value:sub(1, 1) == "v" end)
    w:poke("blob", row[1], row[2] .. "v")
  end)
  planted("prom.param", "blob", function(w)
    local row = find(w, "blob", function(_, value) return value:sub(1, 1) == "p" end)
    w:poke("blob", row[1], nil)
  end)
  planted("bundle.bytes", "blob", function(w)
    local row = find(w, "blob", function(_, value) return value:sub(1, 1) == "b" end)
    w:poke("blob", row[1], nil)
  end)
  planted("bundle.hash", "blob", function(w)
    local row = find(w, "blob", function(_, value) return value:sub(1, 1) == "b" end)
    w:poke("blob", row[1], "c" .. row[2]:sub(2))
  end)
  planted("blob.owner", "blob", function(w)
    local row = find(w, "blob", function(_, value) return value:sub(1, 1) == "v" end)
    w:poke("blob", row[1]:sub(1, -2) .. "\9", "stray")
  end)
  planted("ids.back", "ids", function(w) w:poke("ids", "stranger", "\1") end)
  planted("ids.number", "ids", function(w) w:poke("ids", "stranger", "\125") end)
  planted("root.ids", "root", function(w)
    local row = w:rows("root")[1]
    w:poke("root", "\125", row[2])
  end)
  planted("meta.anchors", "root", function(w) w:poke("root", "\125", "\x21ghost") end)
  planted("out.owner", "out", function(w) assert(w:write_out("unblock", "nobody", "http://x")) end)
  planted("live.owner", "live", function(w)
    local row = find(w, "live", function(_, value) return value == "1" end)
    w:poke("live", "\100" .. row[1]:sub(2), row[2])
  end)
  planted("live.record", "live", function(w) w:poke("live", w:rows("live")[1][1], ("x"):rep(4001)) end)
  planted("word.record", "word", function(w) w:poke("word", w:rows("word")[1][1], "other words") end)
end)

-- What a walk goes on behind is made of a row's text; were that taken as it is, the walk would meet the same row again.
kit.both("a row whose text is not that of its key", function(open)
  local function walk(w, kind, data)
    local reply, name = w:apply({ kind = kind, data = data }, 1000)
    assert.same({ nil, "ECORRUPT" }, { reply, name })
  end

  for name, case in pairs({
    ["the long id of an awaiter"] = { "callback", function(w) walk(w, "promise.settle", { id = "p", state = "resolved", value = {} }) end },
    ["the address of a listener"] = { "wait", function(w) walk(w, "promise.settle", { id = "p", state = "resolved", value = {} }) end },
    ["the long id of what is due"] = { "due", function(w)
      local reply = assert(w:sweep(9000)) -- it is passed over
      assert.is_falsy(reply.data.more)
      assert.same({ "timedout", "pending" }, { w:promise("p").state:match("timedout"), w:promise(LONG .. ".x").state })
    end },
  }) do
    it("ends the walk that meets it: " .. name, function()
      local w = open()
      for id, target in pairs { p = false, [LONG] = TARGET, [LONG .. ".x"] = false } do
        assert.equal(200, w:apply({ kind = "promise.create", data = { id = id, timeoutAt = 5000, param = {},
          tags = { ["resonate:target"] = target or nil, ["resonate:scope"] = not target and "global" or nil } } }, 1000).status)
      end
      assert.equal(200, w:apply({ kind = "promise.register_callback", data = { awaited = "p", awaiter = LONG } }, 1000).status)
      assert.equal(200, w:apply({ kind = "promise.register_listener", data = { awaited = "p", address = "http://a/b" } },
        1000).status)
      local poked = 0
      for _, row in ipairs(w:rows(case[1])) do
        if #row[2] > 3 then
          w:poke(case[1], row[1], row[2]:sub(1, -2) .. "!")
          poked = poked + 1
        end
      end
      assert.is_true(poked > 0)
      local found, why = w:verify()
      assert.is_true(why ~= nil or #found > 0)
      case[2](w)
    end)
  end
end)
