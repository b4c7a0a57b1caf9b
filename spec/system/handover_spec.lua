-- handover_spec.lua - an execution of a server elsewhere goes from one worker to another: who does what again, who lets go.
--
-- Two workers of one group, each behind a relay. Steps write a journal (system/fleet/journal.lua), and wait at gates, which
-- are files that the spec makes, so that a spec knows where an execution stands when it kills, pauses or cuts.
--
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local fleet = require("spec.support.fleet")
local fleet_check = require("spec.support.fleet_check")
local harness = require("spec.support.harness")
local json = require("dkjson")
local probe = require("da_probe")
local token = require("spec.support.token")

local EMPTY = setmetatable({}, { __jsontype = "object" })
local LEASE_MS = harness.sanitized and 3000 or 1000
local FOR_EVER_MS = 600000 -- a lease that ends in no spec

local SCRIPT = [[
local da = require "da"
local journal = require "journal"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step

local function is_open(gate)
  local file = io.open(os.getenv("GATES") .. "/" .. gate)
  if file then file:close() end
  return file ~= nil
end
function step.gate(name)
  return journal.work(name, function() while not is_open(name) do require("luv").sleep(3) end end)
end
function step.work(n) return journal.work(n) end
function step.keep(list) return journal.work(table.concat(list, " ")) end

function async.main(gate)
  local a = await(step.work(1))
  local name, token = await(step.gate(gate))
  local b = await(step.work(2))
  return { a, name, b, token }
end

function async.waits()
  local a = await(step.work(1))
  local b = await(da.promise "go")
  return { a, b, (await(step.work(2))) }
end

function async.leaf(n)
  return (await(step.work(n)))
end

-- A branch that waits for a timer alone, and nothing else that could come meanwhile.
function async.alone()
  local order = {}
  local branch = async("b", function()
    await(da.sleep "20ms")
    order[#order + 1] = "branch"
  end)
  await(branch)
  order[#order + 1] = "main"
  local first = await(step.keep(order))
  await(da.promise "go")
  return first
end

-- Branches that share a list. The same words come in another order each time, but in one order for each execution.
function async.braid(count)
  local order, branches = {}, {}
  for i = 1, count do
    branches[i] = async("b" .. i, function()
      for round = 1, 3 do
        if (i + round) % 3 == 0 then await(da.sleep(0.005 * i))
        elseif (i + round) % 3 == 1 then await(step.work(i))
        else await(async.leaf(i)) end
        order[#order + 1] = i .. "." .. round
      end
    end)
  end
  local nap = da.sleep "30ms"
  await(nap)
  local half = await(step.keep(order))
  await(table.unpack(branches))
  local first = await(step.keep(order))
  await(da.promise "go")
  local second = await(step.keep(order))
  return { half, first, second }
end
]]

local LATER = [[
local da = require "da"
local async = da.async
function async.later(n) return n + 1 end
]]

describe("an execution of workers elsewhere", function()
  local place, all

  before_each(function()
    place = cli.begin()
    place:write("journal", "")
    local file = assert(io.open("spec/system/fleet/journal.lua", "rb"))
    place:write("journal.lua", file:read("a"))
    file:close()
    place:write("main.lua", SCRIPT)
  end)
  after_each(cli.finish)

  local function open_gate(name)
    place:write("gate-" .. name, "")
  end

  -- options: lease, serve (words), token, and w1 and w2: what is other with them.
  local function begin(options)
    options = options or {}
    local workers = {}
    for i, name in ipairs { "w1", "w2" } do
      workers[i] = { name = name, group = "g", files = { place.dir .. "/main.lua" }, flags = { "--pid", name } }
      for key, value in pairs(options[name] or {}) do workers[i][key] = value end
    end
    all = fleet.new(place, { link = "relay", workers = workers, lease = options.lease or LEASE_MS,
      serve = options.serve or { "--retry-timeout", "500ms" }, token = options.token,
      env = { FLEET_JOURNAL = place.dir .. "/journal", GATES = place.dir } })
    all:serve()
    return all
  end

  local function invoke(id, func, ...)
    all:demand("promise.create", { id = id, timeoutAt = fleet.now_ms() + 600000,
      param = { headers = EMPTY, data = probe.base64(json.encode { func = func, args = { ... }, version = 1 }) },
      tags = { ["resonate:target"] = "poll://any@g", ["resonate:origin"] = id, ["resonate:branch"] = id,
        ["resonate:parent"] = id, ["resonate:scope"] = "global" } })
  end

  local function promise(id)
    local status, answer = all:call("promise.get", { id = id })
    return status == 200 and answer.promise or nil
  end

  local function task(id) return all:demand("task.get", { id = id }).task end

  -- What it comes to, once it has ended; and its promise.
  local function result(id)
    local ended
    all:wait("the end of " .. id, function()
      ended = promise(id)
      return ended.state ~= "pending"
    end)
    assert.equal("resolved", ended.state, ended.value.data and probe.base64_read(ended.value.data))
    return fleet_check.value_of(ended), ended
  end

  local function attempts(id)
    return fleet_check.read_journal(place:read("journal")).by_key[id .. " 1"] or {}
  end

  -- Waits for the nth attempt of a step; gives it, and the worker that makes it.
  local function attempt(id, n)
    local made = all:wait("attempt " .. n .. " of " .. id, function() return attempts(id)[n] end)
    for name, member in pairs(all.members) do
      if member.process and member.process.pid == made.pid then return made, name end
    end
    error("nobody made " .. id)
  end

  local function other_than(name) return name == "w1" and "w2" or "w1" end

  -- The record of a step and the one attempt that it is of.
  local function recorded(id)
    local _, rest = fleet_check.value_of(promise(id))
    return rest[1]
  end

  local function finish()
    all:stop(true)
    for _, each in ipairs(all:search("task.search", "tasks")) do assert.equal("fulfilled", each.state, each.id) end
    all:stop_member("server")
    assert.equal(0, place:run("verify").code)
  end

  it("tries a step again on the other worker when its own is killed in it", function()
    begin():start()
    invoke("x", "main", "gate-x")
    local _, name = attempt("x:gate.1", 1)
    all:kill(name)
    local second, other = attempt("x:gate.1", 2)
    assert.equal(other_than(name), other)
    open_gate("x")
    local value = result("x")
    assert.are.same({ 1, "gate-x", 2, second.token }, value)
    assert.equal(second.token, recorded("x:gate.1"))
    assert.are.same({ 1, 2, 1 }, { #attempts("x:work.1"), #attempts("x:gate.1"), #attempts("x:work.2") })
    assert.equal(2, task("x").version)
    finish()
  end)

  it("is not driven any more by who was paused past its lease, whose late write is refused", function()
    begin { serve = { "--retry-timeout", "500ms", "--access-log" } }:start()
    invoke("x", "main", "gate-x")
    local first, name = attempt("x:gate.1", 1)
    all:pause(name)
    local second, other = attempt("x:gate.1", 2)
    open_gate("x")
    local value = result("x")
    assert.are.same({ 1, "gate-x", 2, second.token }, value)
    all:resume(name)
    all:wait("the end of the late attempt", function() return attempts("x:gate.1")[1].ended end)
    -- It is whole: it takes up what comes now, alone.
    all:end_in_peace(other)
    all:wait("the end of the other", function() return not all:is_up(other) end)
    invoke("y", "main", "gate-x")
    assert.equal("gate-x", result("y")[2])
    assert.are.same({ first.token, second.token }, { attempts("x:gate.1")[1].token, attempts("x:gate.1")[2].token })
    assert.are.same({ 1, 2, 1 }, { #attempts("x:work.1"), #attempts("x:gate.1"), #attempts("x:work.2") })
    assert.equal(second.token, recorded("x:gate.1"))
    assert.equal(2, task("x").version)
    finish()
  end)

  it("goes on where it is when its server is killed and comes again, and does nothing twice", function()
    begin { lease = FOR_EVER_MS }:start()
    invoke("x", "main", "gate-x")
    attempt("x:gate.1", 1)
    all:kill("server")
    open_gate("x")
    all:wait("the end of the step", function() return attempts("x:gate.1")[1].ended end)
    all:pass_time(300)
    all:launch("server")
    assert.are.same({ 1, "gate-x", 2, attempts("x:gate.1")[1].token }, (result("x")))
    assert.are.same({ 1, 1, 1 }, { #attempts("x:work.1"), #attempts("x:gate.1"), #attempts("x:work.2") })
    assert.equal(1, task("x").version)
    finish()
  end)

  it("goes on when its server and its worker are killed", function()
    begin():start()
    invoke("x", "main", "gate-x")
    local _, name = attempt("x:gate.1", 1)
    all:kill("server")
    all:kill(name, 200)
    open_gate("x")
    all:pass_time(300)
    all:launch("server")
    local value = result("x")
    assert.equal(recorded("x:gate.1"), value[4])
    assert.are.same({ 1, 1 }, { #attempts("x:work.1"), #attempts("x:work.2") })
    finish()
  end)

  it("goes on elsewhere by replay, its branches in the order they had", function()
    begin():start()
    local count = harness.sanitized and 3 or 12
    for i = 1, count do invoke("x" .. i, "braid", 4) end
    all:wait("that all wait", function()
      for i = 1, count do
        if not promise("x" .. i .. ":keep.2") or not promise("x" .. i .. ":go.1") then return false end
      end
      return true
    end)
    all:kill("w1", 300)
    all:kill("w2", 900)
    for i = 1, count do all:demand("promise.settle", { id = "x" .. i .. ":go.1", state = "resolved", value = EMPTY }) end
    local orders = {}
    for i = 1, count do
      local value = result("x" .. i)
      assert.equal(value[2], value[3])
      assert.equal(value[1], value[2]:sub(1, #value[1]))
      orders[value[2]] = true
      assert.equal(1, #attempts("x" .. i .. ":keep.3"))
    end
    local different = 0
    for _ in pairs(orders) do different = different + 1 end
    print(("%d executions, %d orders"):format(count, different))
    finish()
  end)

  it("goes on elsewhere by replay, where one branch alone waited for a timer", function()
    begin():start()
    invoke("x", "alone")
    all:wait("that it waits", function() return promise("x:go.1") end)
    all:kill("w1", 300)
    all:kill("w2", 300)
    all:demand("promise.settle", { id = "x:go.1", state = "resolved", value = EMPTY })
    assert.equal("branch main", result("x"))
    assert.equal(1, #attempts("x:keep.1"))
    finish()
  end)

  it("whose function nobody has is told of, and left for a worker that comes later", function()
    place:write("later.lua", LATER)
    begin { w2 = { files = { place.dir .. "/later.lua" } } }
    all:launch("w1")
    invoke("x", "later", 4)
    all:hear("w1", "later")
    all:pass_time(1500)
    assert.equal("pending", promise("x").state)
    all:launch("w2")
    assert.equal(5, (result("x")))
    finish()
  end)

  it("is given back by a worker that is told to end, and goes on at once with another", function()
    local flags = { "--shutdown-timeout", "500ms" }
    begin { lease = FOR_EVER_MS, w1 = { flags = flags }, w2 = { flags = flags } }
    all:launch("w1")
    invoke("s", "waits")
    all:wait("that s waits", function() return promise("s:go.1") and task("s").state == "suspended" end)
    invoke("x", "main", "gate-x")
    attempt("x:gate.1", 1)
    local began = fleet.now_ms()
    local process = all:end_in_peace("w1")
    all:wait("its end", function() return process.ended end)
    assert.equal(0, process.code, process.err)
    assert.is_true(fleet.now_ms() - began < 10000, "it took its time")
    assert.equal("pending", task("x").state)
    all:launch("w2")
    local second = attempt("x:gate.1", 2)
    open_gate("x")
    assert.are.same({ 1, "gate-x", 2, second.token }, (result("x")))
    all:demand("promise.settle", { id = "s:go.1", state = "resolved", value = { headers = EMPTY, data = probe.base64("7") } })
    assert.are.same({ 1, 7, 2 }, (result("s")))
    assert.equal(1, #attempts("s:work.1"))
    finish()
  end)

  it("has the step recorded that ends while its worker ends", function()
    begin { lease = FOR_EVER_MS }
    all:launch("w1")
    invoke("x", "main", "gate-x")
    local first = attempt("x:gate.1", 1)
    local process = all:end_in_peace("w1")
    all:pass_time(100)
    open_gate("x")
    all:wait("its end", function() return process.ended end)
    assert.equal(0, process.code, process.err)
    all:launch("w2")
    assert.are.same({ 1, "gate-x", 2, first.token }, (result("x")))
    assert.are.same({ 1, 1 }, { #attempts("x:gate.1"), #attempts("x:work.2") })
    finish()
  end)

  it("goes on by another address of its server when one is dead", function()
    begin { lease = FOR_EVER_MS, w1 = { addresses = 2 } }
    local member = all:member("w1")
    member.links[1]:cut()
    all:launch("w1")
    invoke("x", "main", "gate-x")
    attempt("x:gate.1", 1)
    member.links[1]:heal()
    member.links[2]:cut()
    open_gate("x")
    assert.equal("gate-x", result("x")[2])
    assert.equal(1, #attempts("x:gate.1"))
    assert.is_true(member.links[1].accepted > 0 and member.links[2].accepted > 0)
    invoke("y", "main", "gate-x")
    assert.equal("gate-x", result("y")[2])
    member.links[2]:heal()
    finish()
  end)

  it("is nothing to who has no token, who says so, and is run by who has one", function()
    local key = token.secret(place.dir, ("s"):rep(64))
    local function signed(claims)
      claims.exp = os.time() + 3600
      return token.sign(key, "HS256", claims)
    end
    local mine = signed { role = "admin" }
    begin { token = mine, serve = { "--retry-timeout", "500ms", "--auth-secret-file", key.path },
      w1 = { env = { RESONATE_TOKEN = token.sign(key, "HS256", { exp = 1 }) } }, w2 = { env = { RESONATE_TOKEN = mine } } }
    all:launch("w1")
    all:hear("w1", "RESONATE_TOKEN")
    invoke("x", "leaf", 3)
    all:pass_time(1500)
    assert.equal("pending", promise("x").state)
    assert.is_true(all:is_up("w1"), "it has given up")
    all:launch("w2")
    assert.equal(3, (result("x")))
    finish()
  end)

  it("does nothing twice when answers are lost on their way", function()
    begin { lease = FOR_EVER_MS }
    all:launch("w1")
    invoke("x", "main", "gate-x")
    attempt("x:gate.1", 1)
    local link = all:member("w1").link
    link:half("up")
    open_gate("x")
    all:wait("what was written", function() return promise("x:gate.1") and promise("x:gate.1").state ~= "pending" end)
    link:snap()
    link:heal()
    assert.equal("gate-x", result("x")[2])
    assert.are.same({ 1, 1, 1 }, { #attempts("x:work.1"), #attempts("x:gate.1"), #attempts("x:work.2") })
    assert.equal(1, task("x").version)
    finish()
  end)
end)
