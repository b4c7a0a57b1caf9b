-- promise_create_spec.lua - promise.create.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("promise.create", function()
  it("makes a pending promise", function()
    run([[
      at 5
      create P1 timeout=20 param=x  -> 200 pending createdAt=5 timeoutAt=20 param=x value=none settledAt=none,
                                       P1 pending
    ]])
  end)

  it("answers with the stored record when the id is taken", function()
    run([[
      create P1 timeout=20 param=x                 -> 200 pending
      at 3
      create P1 timeout=99 param=y target=w1       -> 200 pending timeoutAt=20 param=x createdAt=0
      task P1                                      -> 404 "Task not found"
      settle P1 rejected value=no                  -> 200 rejected
      create P1 timeout=99                         -> 200 rejected value=no
    ]])
  end)

  it("gives a promise with a target a task, and tells the target", function()
    run([[
      at 7
      create P1 timeout=20 target=w1  -> 200 pending, task P1 pending v0 resumes=0 retry=107 pid=none ttl=none,
                                         execute P1 v0 to=w1
    ]])
  end)

  it("sends nothing before a delay is over", function()
    run([[
      at 7
      create P1 timeout=200 target=w1 delay=90  -> 200 pending, task P1 pending v0 retry=90
      tick 89                                   -> task P1 pending v0 retry=90
      tick 90                                   -> task P1 pending v0 retry=190, execute P1 v0
    ]])
  end)

  it("sends at once when the delay is over already", function()
    run([[
      at 7
      create P1 timeout=200 target=w1 delay=7  -> 200 pending, task P1 pending v0 retry=107, execute P1 v0
      create P2 timeout=200 target=w1 delay=0  -> 200 pending, task P2 pending v0 retry=107, execute P2 v0
    ]])
  end)

  it("stores a promise whose deadline is not ahead as settled", function()
    run([[
      at 7
      create P1 timeout=7                        -> 200 timedout createdAt=7 at=7 value=none
      create P2 timeout=0                        -> 200 timedout createdAt=0 at=0
      create P3 timeout=3 timer=true             -> 200 resolved createdAt=3 at=3
      create P4 timeout=3 target=w1              -> 200 timedout, task P4 fulfilled v0 untimed, deadline P4 none
      create P5 timeout=3 target=w1 timer=true   -> 200 resolved, task P5 fulfilled v0 untimed
      create P6 timeout=8                        -> 200 pending
    ]])
  end)

  it("settles an expired promise of the same id first", function()
    run([[
      create P1 timeout=20 target=w1
      at 30
      create P1 timeout=99 target=w1  -> 200 timedout at=20 timeoutAt=20, task P1 fulfilled v0 untimed
    ]])
  end)

  it("takes deadlines beyond 2^53, without a row", function()
    run([[
      create P1 timeout=9007199254740990 scope=global     -> 200 pending, deadline P1 9007199254740990
      create P2 timeout=9007199254740991 scope=global     -> 200 pending, deadline P2 none
      create P3 timeout=9223372036854775807 scope=global  -> 200 pending, deadline P3 none
    ]])
  end)

  it("refuses what is wrong in itself", function()
    run([[
      create P1 timeout=-1                       -> 400 "TimeoutAt must be a non-negative integer", no P1
      create P1 target=nowhere://                -> 200 pending, execute P1 v0
      create P2 target=                          -> 400 "Invalid resonate:target address", no P2
      create P2 delay=5                          -> 400 "resonate:delay requires a resonate:target tag"
      create P2 delay=-5 target=w1               -> 400 "resonate:delay must be a non-negative integer"
      create P2 delay=x target=w1                -> 400 "resonate:delay must be a non-negative integer"
      create P2 delay= target=w1                 -> 400 "resonate:delay must be a non-negative integer"
      create P2 delay=9223372036854775808 target=w1  -> 400 "resonate:delay must be a non-negative integer"
      create P2 delay=20 timeout=20 target=w1    -> 400 "resonate:delay must be less than timeoutAt", no P2
    ]])
    local world = require("spec.support.engine").world()
    local status, message = world:ask("promise.create", { id = "", timeoutAt = -1, param = {}, tags = {} })
    assert.equal(400, status)
    assert.equal("Promise ID is required; TimeoutAt must be a non-negative integer", message)
    status, message = world:ask("promise.create", { id = "a\0", timeoutAt = 1, param = {}, tags = {} })
    assert.equal(400, status)
    assert.equal("Promise ID must not contain null bytes", message)
  end)
end)
