-- promise_settle_spec.lua - promise.settle, and all that a settlement sets off.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local oracle = require("spec.support.oracle")
local probe = require("da_probe")
local run = engine.run

describe("promise.settle", function()
  it("settles a pending promise, once", function()
    run([[
      create P1
      create P2
      create P3
      at 5
      settle P1 resolved value=x          -> 200 resolved value=x at=5
      settle P2 rejected                  -> 200 rejected value=none at=5
      settle P3 canceled value=           -> 200 rejected_canceled value= at=5
      at 6
      settle P1 rejected value=y          -> 200 resolved value=x at=5
    ]])
  end)

  it("answers 404 when there is none, and 400 for a state that is not a client's to give", function()
    run([[
      settle P1 resolved  -> 404 "Promise not found"
      create P1
      settle P1 timedout  -> 400
      settle P1 pending   -> 400, P1 pending
    ]])
  end)

  it("finds an expired promise settled already and drops the value", function()
    run([[
      create P1 timeout=20
      create P2 timeout=20 timer=true
      at 21
      settle P1 resolved value=late  -> 200 timedout value=none at=20
      settle P2 rejected value=late  -> 200 resolved value=none at=20
    ]])
  end)

  it("disarms its deadline", function()
    run([[
      create P1 timeout=20 scope=global  -> 200 pending, deadline P1 20
      settle P1 resolved                 -> 200 resolved, deadline P1 none
    ]])
  end)

  it("fulfils its own task, which then waits for nothing", function()
    run([[
      create A
      create P1 target=w1
      acquire P1 0
      callback A P1
      create B
      callback B P1
      settle B resolved
      settle P1 rejected  -> 200 rejected, task P1 fulfilled v1 untimed resumes=0 pid=none ttl=none, awaits P1 none
      settle A resolved   -> 200 resolved, task P1 fulfilled v1 resumes=0
    ]])
  end)

  it("resumes a suspended awaiter", function()
    run([[
      create A
      create B
      taskcreate P1 target=w1
      suspend P1 1 A B
      at 8
      settle A resolved  -> 200 resolved, task P1 pending v1 resumes=1 retry=108, execute P1 v1, awaits P1 B
      settle B resolved  -> 200 resolved, task P1 pending v1 resumes=2 retry=108, awaits P1 none
    ]])
  end)

  it("counts for an awaiter that is pending, acquired or halted, without waking it", function()
    run([[
      create A
      create P1 target=w1
      taskcreate P2 target=w1
      create P3 target=w1
      halt P3
      callback A P1
      callback A P2
      callback A P3
      settle A resolved  -> 200 resolved, task P1 pending v0 resumes=1 retry=100,
                            task P2 acquired v1 resumes=1 lease=10, task P3 halted resumes=1
    ]])
  end)

  it("tells every listener, once each", function()
    run([[
      create A
      listen A to=u1
      listen A to=u2
      listen A to=u1
      settle A resolved  -> 200 resolved, unblock A to=u1, unblock A to=u2, listeners A none
      settle A resolved  -> 200 resolved
    ]])
  end)

  if not engine.over_http then
    it("wakes ten thousand awaiters in linear time", function()
      local function seconds(count)
        local world = engine.world()
        world:run("create A timeout=1000000")
        for i = 1, count do
          world:ask("task.create", {
            pid = "w",
            ttl = 100,
            action = { kind = "promise.create", head = {}, data = { id = "P" .. i, timeoutAt = 1000, param = {},
              tags = { ["resonate:target"] = "http://w" } } },
          })
          world:ask("task.suspend", { id = "P" .. i, version = 1, actions = {
            { kind = "promise.register_callback", head = {}, data = { awaited = "A", awaiter = "P" .. i } },
          } })
        end
        local began = os.clock()
        local status, _, messages = world:ask("promise.settle", { id = "A", state = "resolved", value = {} })
        local took = os.clock() - began
        assert.equal(200, status)
        assert.equal(count, #messages)
        return took
      end
      local small, large = seconds(1000), seconds(10000)
      assert.is_true(large < 40 * math.max(small, 0.001), ("1,000: %.4f s, 10,000: %.4f s"):format(small, large))
    end)
  end
end)

if not engine.over_http then
  describe("a settlement whose instant lies before the creation", function()
    it("is of the instant of the creation", function()
      local world, model = probe.new { kind = "memory" }, oracle.new { profile = {} }
      local function ask(kind, data, now)
        local request = { kind = kind, head = { corrId = "c" }, data = data }
        local reply = assert(world:apply(request, now))
        assert(oracle.agrees(model:apply(request, now), reply))
        return reply.data
      end
      local tags = { ["resonate:target"] = "poll://any@g" }
      for id, its in pairs { a = {}, b = tags, ["b:1"] = {} } do
        ask("promise.create", { id = id, timeoutAt = 20, tags = its }, 10)
      end
      ask("task.acquire", { id = "b", version = 0, pid = "p", ttl = 100 }, 10)
      local function settles(id) return { id = id, state = "resolved", value = { data = "x" } } end
      assert.equal(10, ask("promise.settle", settles("a"), 5).promise.settledAt)
      assert.equal(10, ask("task.fence", { id = "b", version = 1, action = { kind = "promise.settle", data = settles("b:1") } },
        5).action.data.promise.settledAt)
      assert.equal(10, ask("task.fulfill", { id = "b", version = 1, action = { kind = "promise.settle",
        data = settles("b") } }, 5).promise.settledAt)
      assert.equal(10, ask("promise.get", { id = "a" }, 15).promise.settledAt)
      world:close()
    end)
  end)
end
