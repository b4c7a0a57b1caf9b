-- envelope_preload_spec.lua - how much is sent along with a task, as the head of a request may ask for: "dahost:preload".
-- SPDX-License-Identifier: Apache-2.0
local guard = require("spec.support.guard")
local json = require("dkjson")
local probe = require("da_probe")

local FAR = 9000000000000

describe("the preload", function()
  local world

  after_each(function()
    world:close()
  end)

  local function open(profile)
    world = probe.new { kind = "memory", profile = profile }
  end

  local function ask(kind, data, preload)
    local request = { kind = kind, head = { corrId = "1", version = "2026-04-01", ["dahost:preload"] = preload }, data = data }
    local answer = json.decode(assert(world:serve(json.encode(request), 1)), 1, json.null)
    guard.check(request, answer)
    assert.equal(200, answer.head.status, answer.data)
    return answer
  end

  local function create(id, branch, data)
    assert.equal(200, assert(world:apply({ kind = "promise.create", data = { id = id, timeoutAt = FAR,
      tags = { ["resonate:branch"] = branch, ["resonate:target"] = id == "r" and "poll://any@g" or nil },
      param = { data = data } } }, 1)).status)
  end

  -- Records r:1 to r:count of the branch r.
  local function branch(count)
    create("r", "r")
    for i = 1, count do create(("r:%d"):format(i), "r") end
  end

  local function acquire(preload, id)
    local answer = ask("task.acquire", { id = id or "r", version = 0, pid = "p", ttl = 5 }, preload)
    return #answer.data.preload, answer.head["dahost:preload"], answer.data.preload
  end

  it("is a part of a long branch if nothing is asked for", function()
    open()
    branch(1200)
    local count, claim = acquire(nil)
    assert.same({ 1000 }, { count, claim })
  end)

  it("is all of it, and says so, if a whole one is asked for", function()
    open()
    branch(1200)
    local count, claim, list = acquire("whole")
    assert.same({ 1200, "whole" }, { count, claim })
    local ids = {}
    for _, promise in ipairs(list) do ids[promise.id] = true end
    for i = 1, 1200 do assert(ids["r:" .. i]) end
  end)

  it("is empty where none is asked for, whatever the request", function()
    open()
    branch(3)
    local count, claim = acquire("none")
    assert.same({ 0 }, { count, claim })
    local fence = { id = "r", version = 1, action = { kind = "promise.settle", data = { id = "r:1", state = "resolved" } } }
    assert.equal(0, #ask("task.fence", fence, "none").data.preload)
    assert.equal(3, #ask("task.fence", fence).data.preload)
    local answer = ask("task.fence", fence, "whole") -- of a claim only
    assert.same({ 3 }, { #answer.data.preload, answer.head["dahost:preload"] })
    answer = ask("task.create", { pid = "p", ttl = 5, action = { kind = "promise.create", data = { id = "s",
      timeoutAt = FAR, tags = { ["resonate:target"] = "poll://any@g" } } } }, "none")
    assert.same({ 0 }, { #answer.data.preload, answer.head["dahost:preload"] })
  end)

  it("is whole in the answer to a task.create", function()
    open()
    branch(2)
    local answer = ask("task.create", { pid = "p", ttl = 5, action = { kind = "promise.create", data = { id = "r",
      timeoutAt = FAR, tags = { ["resonate:target"] = "poll://any@g" } } } }, "whole")
    assert.same({ 2, "whole" }, { #answer.data.preload, answer.head["dahost:preload"] })
    answer = ask("task.create", { pid = "p", ttl = 5, action = { kind = "promise.create", data = { id = "s",
      timeoutAt = FAR, tags = { ["resonate:target"] = "poll://any@g", ["resonate:branch"] = "s" } } } }, "whole")
    assert.same({ 0, "whole" }, { #answer.data.preload, answer.head["dahost:preload"] })
  end)

  it("of a promise without a branch has what is tagged with its id, if a whole one is asked for", function()
    open()
    world:apply({ kind = "promise.create", data = { id = "q", timeoutAt = FAR,
      tags = { ["resonate:target"] = "poll://any@g" } } }, 1)
    create("q:1", "q")
    create("q:2", "q:2")
    local count, claim, list = acquire("whole", "q")
    assert.same({ 1, "whole", "q:1" }, { count, claim, list[1].id })
  end)

  it("is not whole if the branch is that of another execution, whose worker tags otherwise", function()
    open()
    create("r", "r")
    world:apply({ kind = "promise.create", data = { id = "r:1", timeoutAt = FAR,
      tags = { ["resonate:target"] = "poll://any@g", ["resonate:branch"] = "r" } } }, 1)
    create("r:1.1", "r:1")
    local count, claim, list = acquire("whole", "r:1")
    assert.same({ 1, "r" }, { count, list[1].id })
    assert.is_nil(claim)
  end)

  it("keeps to the limit of the profile, and is whole only if that left out nothing", function()
    for _, case in ipairs { { 10, 10, 10, "whole" }, { 10, 12, 10 }, { 0, 3, 0 } } do
      open { preload_limit = case[1] }
      branch(case[2])
      local count, claim = acquire("whole")
      assert.same({ case[3], case[4] }, { count, claim })
      world:close()
    end
    open()
  end)

  it("leaves out what an answer has no room for, and does not claim to be whole then", function()
    open()
    create("r", "r")
    for i = 1, 3 do create("r:" .. i, "r", ("x"):rep(12 << 20)) end
    local text = assert(world:serve('{"kind":"task.acquire","head":{"corrId":"1","version":"2026-04-01","dahost:preload":' ..
      '"whole"},"data":{"id":"r","version":0,"pid":"p","ttl":5}}', 1))
    local reply, _, whole = probe.client_answer(text, "task.acquire")
    assert.same({ 2, false }, { #reply.data.preload, whole })
  end)

  it("ends after a hundred thousand records", function()
    open()
    world:begin()
    branch(100001)
    world:commit()
    local text = assert(world:serve('{"kind":"task.acquire","head":{"corrId":"1","version":"2026-04-01","dahost:preload":' ..
      '"whole"},"data":{"id":"r","version":0,"pid":"p","ttl":5}}', 1))
    local reply, _, whole = probe.client_answer(text, "task.acquire")
    assert.same({ 100000, false }, { #reply.data.preload, whole })
  end)

  it("is as usual if something else is asked for", function()
    for _, value in ipairs { "some", "", 7, json.null, {} } do
      open()
      branch(2)
      local count, claim = acquire(value)
      assert.same({ 2 }, { count, claim })
      world:close()
    end
    open()
  end)
end)
