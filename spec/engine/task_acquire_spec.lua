-- task_acquire_spec.lua - task.acquire, and the preload that comes with it.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local run = engine.run

describe("task.acquire", function()
  it("takes a pending task: version up, resumes cleared, a lease instead of the retry timer", function()
    run([[
      create P1 target=w1 param=p
      create A
      callback A P1
      settle A resolved
      at 4
      acquire P1 0 pid=x ttl=9  -> 200 pending acquired v1 pid=x ttl=9 resumes=0 param=p,
                                   task P1 acquired v1 lease=13 resumes=0
    ]])
  end)

  it("is refused to the second of two", function()
    run([[
      create P1 target=w1
      acquire P1 1 pid=x  -> 409 "Version mismatch", task P1 pending v0
      acquire P1 0 pid=x  -> 200 acquired v1
      acquire P1 0 pid=y  -> 409 "Task is not pending"
      acquire P1 1 pid=y  -> 409 "Task is not pending", task P1 acquired v1 pid=x
    ]])
  end)

  it("is refused in every other state", function()
    run([[
      acquire P1 0        -> 404 "Task not found"
      create A
      acquire A 0         -> 404 "Task not found"
      taskcreate P1 target=w1
      suspend P1 1 A
      acquire P1 1        -> 409 "Task is not pending"
      halt P1
      acquire P1 1        -> 409 "Task is not pending"
      settle P1 resolved
      acquire P1 1        -> 409 "Task is not pending"
    ]])
  end)

  it("finds the task of an expired promise over", function()
    run([[
      create P1 target=w1 timeout=20
      at 20
      acquire P1 0  -> 409 "Task is not pending", task P1 fulfilled v0, P1 timedout at=20
    ]])
  end)

  it("refuses what is wrong in itself", function()
    run([[
      create P1 target=w1
      acquire P1 -1 pid= ttl=0  -> 400
    ]])
    local world = require("spec.support.engine").world()
    local wrong = "Version must be a non-negative integer; Process ID is required; TTL must be a positive integer"
    local status, message = world:ask("task.acquire", { id = "P1", version = -1, pid = "", ttl = 0 })
    assert.same({ 400, wrong }, { status, message })
  end)

  it("brings the records of the branch, sorted, without itself", function()
    run([[
      create r target=w1 branch=r
      create r:b branch=r
      create r:a branch=r
      create r:c branch=r:c
      create r:c.1 branch=r:c
      create r.z branch=r
      create q:a branch=q
      acquire r 0 -> 200, preload r.z r:a r:b
    ]])
  end)

  it("brings the branch's own promise to a task inside of the branch", function()
    run([[
      create r branch=r
      create r:a target=w1 branch=r
      create r:b branch=r
      acquire r:a 0 -> 200, preload r r:b
    ]])
  end)

  it("brings nothing without a branch, and no more than the limit", function()
    run([[
      create p target=w1
      create p:1 branch=p
      acquire p 0 -> 200, preload none
    ]])
    local many = [[
      create r target=w1 branch=r
      create r:3 branch=r
      create r:1 branch=r
      create r:2 branch=r
    ]]
    run(many .. "acquire r 0 -> 200, preload r:1 r:2", { profile = { preload_limit = 2 } })
    run(many .. "acquire r 0 -> 200, preload none", { profile = { preload_limit = 0 } })
  end)

  if not engine.over_http then
    it("brings a part of a long branch, from its beginning, since every step asks for it", function()
      local w = engine.world()
      w:run("create r target=w1 branch=r")
      for i = 1, 1200 do w:run(("create r:%04d branch=r"):format(i)) end
      local _, data = w:ask("task.acquire", { id = "r", version = 0, pid = "p", ttl = 10 })
      assert.same({ 1000, "r:0001", "r:1000" }, { #data.preload, data.preload[1].id, data.preload[1000].id })
    end)
  end
end)
