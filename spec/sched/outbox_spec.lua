-- outbox_spec.lua - messages on their way out: offered when they are made, kept until one has taken them.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")
local sched = require("spec.support.sched")

local SIGKILL = 9

describe("the outbox", function()
  local lives = {}
  local function start(folder, kill)
    lives[#lives + 1] = sched.start(folder, kill)
    return lives[#lives]
  end

  after_each(function()
    for _, life in ipairs(lives) do
      local signal, code = life:stop()
      assert.is_true(signal == SIGKILL or code == 0)
    end
    lives = {}
    kit.clean()
  end)

  -- A settled promise with a listener, whose unblock nobody took.
  local function keep_one(s, id, address)
    s:ask("say " .. address .. " later")
    s:ask("create " .. id)
    s:ask(("listen %s %s"):format(id, address))
    assert.same({ ("unblock %s resolved param %s"):format(id, address) }, s:offered("settle " .. id))
    assert.equal(1, s:kept())
  end

  it("offers what is made at once, and forgets what was taken", function()
    local s = start()
    assert.same({ "execute P v0 t:w" }, s:offered("create P t:w"))
    s:ask("create A")
    s:ask("listen A t:u")
    s:ask("listen A t:v")
    assert.same({ "unblock A resolved param t:u", "unblock A resolved param t:v" }, s:offered("settle A"))
    assert.equal(0, s:kept())
  end)

  it("keeps what nobody takes until somebody comes for it", function()
    local s = start()
    keep_one(s, "A", "t:u/1")
    s:ask("say t:g later")
    assert.same({ "execute P v0 t:g" }, s:offered("create P t:g"))
    assert.equal(2, s:kept())
    assert.same({}, s:offered("offer t:x"))
    s:ask("say t:u/1 taken")
    assert.same({ "unblock A resolved param t:u/1" }, s:offered("offer t:u"))
    assert.equal(1, s:kept())
    s:ask("say t:g taken")
    assert.same({ "execute P v0 t:g" }, s:offered("offer t:"))
    assert.equal(0, s:kept())
  end)

  it("drops what nobody can ever take", function()
    local s = start()
    s:ask("say t:bad never")
    assert.same({ "execute P v0 t:bad" }, s:offered("create P t:bad"))
    assert.same({}, s:offered("create Q elsewhere:x"))
    assert.equal(0, s:kept())
  end)

  it("offers nothing again that is under way, and keeps it until that has ended", function()
    local s = start()
    s:ask("say t:slow way")
    assert.same({ "execute P v0 t:slow" }, s:offered("create P t:slow"))
    assert.same({}, s:offered("offer t:slow"))
    assert.equal(1, s:kept())
    s:ask("end P later")
    assert.same({ "execute P v0 t:slow" }, s:offered("offer t:slow"))
    s:ask("end P taken")
    s:ask("sync")
    assert.same({}, s:offered("offer t:slow"))
    assert.equal(0, s:kept())
  end)

  it("lets a version that was sent anew stay when the old one is taken", function()
    local s = start()
    s:ask("say t:slow way")
    s:offered("create P t:slow")
    s:ask("acquire P 0")
    assert.same({ "execute P v1 t:slow" }, s:offered("release P 1"))
    s:ask("end P taken") -- the first
    s:ask("sync")
    assert.equal(1, s:kept())
    s:ask("end P taken")
    s:ask("sync")
    assert.equal(0, s:kept())
  end)

  it("offers nothing while a transport is busy", function()
    local s = start()
    s:ask("busy 1")
    assert.same({}, s:offered("create P t:w"))
    assert.same({}, s:offered("offer t:w"))
    s:ask("busy 0")
    assert.same({ "execute P v0 t:w" }, s:offered("offer t:"))
    assert.equal(0, s:kept())
  end)

  it("does not offer an execute to somebody who comes later than another took the task", function()
    local s = start()
    s:ask("say t:g later")
    s:offered("create P t:g")
    s:ask("acquire P 0")
    assert.same({}, s:offered("offer t:g"))
    assert.equal(0, s:kept())
  end)

  it("stops offering at the first that has no room, of those who asked", function()
    local s = start()
    s:ask("say t:g later")
    for i = 1, 5 do s:ask(("create P%d t:g"):format(i)) end
    s:ask("sync")
    assert.equal(1, #s:offered("offer t:g"))
    assert.equal(5, #s:offered("offer t:"))
  end)

  it("finds by the hundred what was made when nobody was there", function()
    local s = start()
    s:ask("say t:g later")
    for i = 1, 350 do s:ask(("create P%d t:g"):format(i)) end
    s:ask("sync")
    assert.equal(350, s:kept())
    s:ask("say t:g taken")
    s:ask("offer t:g")
    for _ = 1, 4 do s:ask("sync") end
    assert.equal(0, s:kept())
  end)

  it("is offered again by the next process", function()
    local s = start()
    keep_one(s, "A", "t:u")
    s:stop()
    s = start(s.folder)
    assert.same({ "unblock A resolved param t:u" }, s:offered("sync"))
    assert.equal(0, s:kept())
  end)

  it("keeps what was under way when the process ended", function()
    local s = start()
    s:ask("say t:slow way")
    s:offered("create P t:slow")
    s:stop()
    s = start(s.folder)
    assert.same({ "execute P v0 t:slow" }, s:offered("sync"))
  end)

  for _, point in ipairs { "commit.after", "answer.before", "outbox.before", "outbox.after", "commit.before" } do
    it("loses no unblock to a death at " .. point, function()
      local offers, deaths = 0, 0
      local first = start()
      local folder = first.folder
      first:ask("create A")
      first:ask("listen A t:u")
      first:stop()
      for n = 1, 20 do
        local s = start(folder, point .. ":" .. n)
        for _, command in ipairs { "settle A", "sync" } do
          for _, told in ipairs(s:ask(command)) do
            if told:find("^unblock A") then offers = offers + 1 end
          end
        end
        if s:stop() ~= SIGKILL then break end
        deaths = deaths + 1
      end
      assert.is_true(deaths > 0)
      local last = start(folder)
      last:ask("settle A")
      for _, told in ipairs(last:offered("sync")) do
        if told:find("^unblock A") then offers = offers + 1 end
      end
      assert.equal(0, last:kept())
      assert.is_true(offers >= 1, "it was lost")
      assert.is_true(offers <= deaths + 1, "it was sent more often than the process died")
    end)
  end
end)
