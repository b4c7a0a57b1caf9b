-- promise_get_spec.lua - promise.get.
-- SPDX-License-Identifier: Apache-2.0
local run = require("spec.support.engine").run

describe("promise.get", function()
  it("answers with the stored record", function()
    run([[
      create P1 timeout=20 param=x tag.k=v  -> 200 pending param=x timeoutAt=20 createdAt=0
      get P1                                -> 200 pending param=x timeoutAt=20 createdAt=0 settledAt=none
    ]])
  end)

  it("answers 404 when there is none", function()
    run('get P1 -> 404 "Promise not found"')
  end)

  it("settles a promise past its deadline before it answers, whether armed or not", function()
    run([[
      create P1 timeout=20
      create P2 timeout=20 timer=true
      at 19
      get P1  -> 200 pending
      at 20
      get P1  -> 200 timedout at=20, P1 timedout at=20
      at 500
      get P2  -> 200 resolved at=20 value=none, P2 resolved at=20, deadline P2 none
    ]])
  end)

  it("refuses ids that cannot be", function()
    local world = require("spec.support.engine").world()
    local function ask(id) return world:ask("promise.get", { id = id }) end
    local status, message = ask("")
    assert.same({ 400, "Promise ID is required" }, { status, message })
    assert.equal(400, (ask("a\0b")))
    assert.equal(404, (ask(("r"):rep(255))))
    assert.equal(400, (ask(("r"):rep(256))))
    assert.equal(404, (ask("r:" .. ("x"):rep(999))))
    assert.equal(400, (ask("r:" .. ("x"):rep(1000))))
    assert.equal(404, (ask("größe/a b")))
  end)
end)
