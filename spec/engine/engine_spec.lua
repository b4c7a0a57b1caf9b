-- engine_spec.lua - the door: the order of settlements, reads that fail.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")

local function seq(world, id)
  return world.probe:promise(id).settleSeq
end

describe("settle_seq", function()
  it("counts settlements in the order in which they happen, those born dead too", function()
    local world = engine.world():run([[
      create A
      create B
      create C timeout=30
      create D timeout=20
      taskcreate P target=w1 ttl=500
      settle B resolved
      at 10
      create E timeout=10
      settle A rejected
      step P 1 P:s resolved
      spawn P 1 P:c target=w1 timeout=5
      settle B rejected
      at 40
      suspend P 1 C D
      fulfill P 1 resolved
    ]])
    local order = { "B", "E", "A", "P:s", "P:c", "C", "D", "P" }
    for i, id in ipairs(order) do assert.equal(i, seq(world, id), id) end
    assert.equal(#order + 1, world.probe:seq())
  end)

  it("follows the deadlines in a sweep", function()
    local world = engine.world():run([[
      create A timeout=30 scope=global
      create B timeout=20 scope=global
      create C timeout=25 scope=global
      tick 40
    ]])
    assert.same({ 3, 1, 2 }, { seq(world, "A"), seq(world, "B"), seq(world, "C") })
  end)

  it("is given to nothing that is refused", function()
    local world = engine.world():run([[
      settle A resolved   -> 404
      create A timeout=-1 -> 400
    ]])
    assert.equal(1, world.probe:seq())
  end)
end)

-- Spoils the record of one promise.
local function damage(probe, id)
  local name = id:find(":", 1, true) and "prom" or "root"
  for _, row in ipairs(probe:rows(name)) do
    probe:poke(name, row[1], "\255")
    if not pcall(probe.promise, probe, id) then return end
    probe:poke(name, row[1], row[2])
  end
  error("no row of " .. id)
end

describe("a read that fails", function()
  -- Every request whose record cannot be read says so, and leaves the store as it was.
  local REQUESTS = {
    { "promise.get", { id = "A" } },
    { "promise.create", { id = "A", timeoutAt = 9 } },
    { "promise.settle", { id = "A", state = "resolved" } },
    { "promise.register_callback", { awaited = "A", awaiter = "P" } },
    { "promise.register_callback", { awaited = "B", awaiter = "A" } },
    { "promise.register_listener", { awaited = "A", address = "http://u" } },
    { "task.get", { id = "A" } },
    { "task.acquire", { id = "A", version = 0, pid = "w", ttl = 1 } },
    { "task.heartbeat", { pid = "w", tasks = { { id = "P", version = 1 }, { id = "A", version = 0 } } } },
    { "task.suspend", { id = "P", version = 1, actions = {
      { kind = "promise.register_callback", head = {}, data = { awaited = "B", awaiter = "P" } },
      { kind = "promise.register_callback", head = {}, data = { awaited = "A", awaiter = "P" } },
    } } },
    { "task.step", { id = "P", version = 1, promise = { id = "A", timeoutAt = 9 }, state = "resolved",
      createdAt = 0 } },
    { "sweep", {} },
  }

  it("is told, and nothing is changed", function()
    for _, request in ipairs(REQUESTS) do
      local world = engine.world():run([[
        create A timeout=40 scope=global
        create B
        taskcreate P target=w1 ttl=500
        at 50
      ]])
      damage(world.probe, "A")
      local before = {}
      for _, name in ipairs({ "prom", "task", "wait", "due", "out" }) do before[name] = world.probe:rows(name) end
      local answer, status = world.probe:apply({ kind = request[1], data = request[2] }, world.now)
      assert.is_nil(answer, request[1])
      assert.equal("ECORRUPT", status, request[1])
      for name, rows in pairs(before) do assert.same(rows, world.probe:rows(name), request[1]) end
    end
  end)
end)
