-- recover_spec.lua - what a dead process left behind.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")

local LOCAL = { local_target = "poll://any@here" }
local FOREVER = "ttl=9007199254740991"

describe("recover", function()
  it("takes back what other local processes hold, and nothing else", function()
    engine.run(([[
      taskcreate P1 target=poll://any@here timeout=5000 pid=local/old FOREVER
      taskcreate P2 target=poll://any@here timeout=5000 pid=local/new FOREVER
      taskcreate P3 target=poll://any@far timeout=5000 pid=remote ttl=600
      at 7
      recover pid=local/new  -> 200, task P1 pending v1 retry=107 pid=none, task P2 acquired v1,
                                task P3 acquired v1 lease=600,
                                execute P1 v1 to=poll://any@here
    ]]):gsub("FOREVER", FOREVER), LOCAL)
  end)

  it("sends again to the worker in this process, whose messages died with the one before", function()
    engine.run([[
      create P1 target=poll://any@here timeout=5000
      create P2 target=poll://any@here/x timeout=5000
      create P3 target=poll://any@hereafter timeout=5000
      create P4 target=poll://any@here timeout=5000 delay=300
      at 50
      recover  -> 200, task P1 pending v0 retry=150, task P2 pending v0 retry=150, task P3 retry=100,
                  task P4 retry=300,
                  execute P1 v0, execute P2 v0
      recover  -> 200, task P1 retry=150, execute P1 v0, execute P2 v0
      at 51
      recover  -> 200, task P1 retry=151, execute P1 v0, execute P2 v0
    ]], LOCAL)
  end)

  it("leaves dead promises to their deadlines", function()
    engine.run(([[
      taskcreate P1 target=poll://any@here timeout=20 pid=local/old FOREVER
      create P2 target=poll://any@here timeout=20
      at 20
      recover  -> 200, P1 pending, task P1 acquired, task P2 pending v0 retry=100
      tick 20  -> 200, P1 timedout, P2 timedout
    ]]):gsub("FOREVER", FOREVER), LOCAL)
  end)

  it("goes on behind its cursor, sends once and ends, though the clock moves", function()
    local world = engine.world(LOCAL)
    for i = 1, 30 do
      world:run(("create P%d target=poll://any@here timeout=5000"):format(i))
      world:run(("taskcreate Q%d target=poll://any@here timeout=5000 pid=local/old %s"):format(i, FOREVER))
    end
    local sent, pages, cursor = {}, 0, nil
    repeat
      world.now = world.now + 1
      local status, data, messages = world:ask("recover", { pid = "local/new", limit = 7, cursor = cursor })
      assert.equal(200, status)
      assert.is_true(data.count <= 7)
      for _, m in ipairs(messages) do
        sent[m] = (sent[m] or 0) + 1
        assert.equal(1, sent[m], m)
      end
      cursor = data.cursor
      pages = pages + 1
      assert.is_true(pages < 20)
    until not data.more
    local count = 0
    for _ in pairs(sent) do count = count + 1 end
    assert.equal(60, count)
  end)
end)
