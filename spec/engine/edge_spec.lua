-- edge_spec.lua - the protocol's list of edge cases, as far as they lie behind the engine's door.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("edge cases", function()
  it("a promise with timeoutAt 0, or now, is born dead", function()
    run([[
      create A timeout=0                    -> 200 timedout createdAt=0 at=0
      at 9
      create B timeout=9                    -> 200 timedout createdAt=9 at=9
      create C timeout=9007199254740993     -> 200 pending timeoutAt=9007199254740993
    ]])
  end)

  it("two acquires in a row: the second is refused", function()
    run([[
      create P1 target=w1
      acquire P1 0  -> 200 acquired v1
      acquire P1 0  -> 409
      acquire P1 1  -> 409
    ]])
  end)

  it("fulfil twice is refused, settle twice is not", function()
    run([[
      taskcreate P1 target=w1
      fulfill P1 1 resolved  -> 200
      fulfill P1 1 resolved  -> 409
      create A
      settle A resolved      -> 200
      settle A resolved      -> 200
    ]])
  end)

  it("after a lease is over the old holder is out at once", function()
    run([[
      create A
      taskcreate P1 target=w1 ttl=10 pid=x
      tick 10                -> execute P1 v1, task P1 pending v1
      fence P1 1 create B    -> 409
      fulfill P1 1 resolved  -> 409
      suspend P1 1 A         -> 409
      release P1 1           -> 409
      heartbeat x P1@1       -> 200, task P1 pending retry=110
    ]])
  end)

  it("suspend on settled and missing: missing wins, and nothing is registered", function()
    run([[
      create A
      create B
      settle A resolved
      taskcreate P1 target=w1
      suspend P1 1 A B X  -> 422, awaits P1 none
      suspend P1 1 A B    -> 300, awaits P1 none
    ]])
  end)

  it("a callback of an acquired awaiter only counts", function()
    run([[
      create A
      taskcreate P1 target=w1
      callback A P1
      settle A resolved  -> 200, task P1 acquired v1 resumes=1
    ]])
  end)

  it("halted, then settled from outside: continue is refused", function()
    run([[
      taskcreate P1 target=w1
      halt P1
      settle P1 resolved  -> 200, task P1 fulfilled v1
      continue P1         -> 409
    ]])
  end)

  it("halted while its awaited settles: after continue it replays", function()
    run([[
      create A
      taskcreate P1 target=w1
      suspend P1 1 A
      halt P1
      settle A resolved  -> 200, task P1 halted resumes=1
      continue P1        -> 200, task P1 pending v1, execute P1 v1
      acquire P1 1       -> 200
      suspend P1 2 A     -> 300
    ]])
  end)

  it("a timer with a target is dispatched, and resolved at its deadline", function()
    run([[
      create T timeout=20 target=w1 timer=true  -> 200, task T pending v0, execute T v0
      tick 20                                   -> T resolved at=20, task T fulfilled v0 untimed
    ]])
    run([[
      create T timeout=20 target=w1 timer=true  -> 400, no T
      create T timeout=20 timer=true            -> 200 pending
    ]], { profile = { timer_target = "reject" } })
  end)

  it("unicode, slashes and spaces in ids are fine", function()
    local world = require("spec.support.engine").world()
    for _, id in ipairs({ "größe", "a/b", "a b", "日本:語.1", "%", "=" }) do
      assert.equal(200, (world:ask("promise.create", { id = id, timeoutAt = 9, param = {}, tags = {} })))
      local status, data = world:ask("promise.get", { id = id })
      assert.equal(200, status)
      assert.equal(id, data.promise.id)
    end
  end)

  it("values come back as they were given, empty members too", function()
    local world = require("spec.support.engine").world()
    local param = { data = "", headers = {} }
    world:ask("promise.create", { id = "A", timeoutAt = 9, param = param, tags = {} })
    local value = { headers = { b = "2", a = "1" }, data = "x\0y" }
    world:ask("promise.settle", { id = "A", state = "resolved", value = value })
    local _, data = world:ask("promise.get", { id = "A" })
    assert.same(param, data.promise.param)
    assert.same(value, data.promise.value)
    world:ask("promise.create", { id = "B", timeoutAt = 9, param = {}, tags = {} })
    _, data = world:ask("promise.get", { id = "B" })
    assert.same({}, data.promise.param)
  end)

  it("a 400 outranks a 404, which outranks 409 and 422", function()
    run([[
      acquire X -1        -> 400
      acquire X 0         -> 404
      fulfill X 0 timedout  -> 400
      suspend X 0 X       -> 400
      suspend X 0 Y       -> 404
      fence X 0 create X  -> 400
      fence X 0 create Y  -> 404
    ]])
  end)

  it("instants and versions beyond 2^53 are kept as they are", function()
    run([[
      create D timeout=9223372036854775807 target=w1 delay=9007199254740999
        -> 200 pending, task D pending retry=9007199254740999
      acquire D 0 ttl=9223372036854775807  -> 200 acquired v1 ttl=9223372036854775807
      heartbeat w D@1  -> 200
      release D 1  -> 200, execute D v1
      acquire D 9223372036854775807  -> 409
      settle D resolved  -> 200
    ]])
  end)
end)
