-- far_kill_spec.lua - SIGKILL of the server at every durable write and every message, with workers of other processes.
--
-- A life after a death has the same store and the same address; workers and clients come back by themselves, as
-- support/far_worker.lua has it. Demanded of every run: the root ends with the result of an unkilled one, whoever listened
-- is told, what was acknowledged stays, versions only grow, the last snapshot keeps the invariants of the protocol.
--
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local far = require("spec.support.far_worker")
local harness = require("spec.support.harness")
local http = require("spec.support.http")
local oracle = require("spec.support.oracle")
local program = require("spec.support.program")
local uv = require("luv")

local POINTS = { "commit.before", "commit.after", "answer.before", "outbox.before", "outbox.after" }
local few = harness.sanitized and not harness.long
local PAIRS = harness.long and 200 or few and 4 or 20
local RANDOM = harness.long and 300 or few and 4 or 20
local PASSES_MAX = 200
local LIMIT_MS = 20000
local TTL_MS = 300
local EMPTY = setmetatable({}, { __jsontype = "object" })

describe("a server that is killed beside workers of other processes", function()
  local place, server, address, plan, kills, passings
  local lives = 0

  before_each(function()
    passings = passings or {}
    math.randomseed(harness.seed)
  end)

  local function on_death()
    program.turn_until(function() return "the end of a killed server\n" .. server.err end, function() return server.ended end)
    assert(server.signal == 9, ("it ended with code %s, signal %s\n%s"):format(server.code, server.signal, server.err))
    kills = kills + 1
    table.remove(plan, 1)
    server = nil
  end

  -- A life that listens, however many it takes.
  local function live()
    while not server do
      local death = plan[1]
      lives = lives + 1
      server = program.spawn({ "serve", "--listen", address or "127.0.0.1:0", "--debug" }, { data = place.data, cwd = place.dir,
        env = { DAHOST_KILL = death and death.point and death.point .. ":" .. death.n or nil } })
      program.turn_until(function() return "a server\n" .. server.err end, function()
        return server.ended or server.err:find("serving " .. place.data, 1, true)
      end)
      if server.err:find("serving " .. place.data, 1, true) then
        address = server.err:match("listening on https?://([^,\n]+)")
        if death and death.after_us then
          local pid, timer = server.pid, uv.new_timer()
          timer:start(death.after_us // 1000, 0, function()
            timer:close()
            uv.kill(pid, "sigkill")
          end)
        end
      else
        on_death()
      end
    end
    return address, lives
  end

  local function lost(why)
    program.turn_until(function() return ("%s, and the server lives\n%s"):format(why, server and server.err) end,
      function() return not server or server.ended end)
    if server then on_death() end
  end

  -- Waits, as a client does, for the root; settles what the program asks somebody for.
  local function play_in(world)
    local client = world:worker("client", "c")
    local workers = { world:worker("g", "w1"), world:worker("g", "w2") }
    local tick = uv.new_timer()
    tick:start(2, 2, function() end)
    local began, told = uv.hrtime(), nil
    for _, worker in ipairs(workers) do worker:listen() end
    client:listen()
    local root = far.promise("wf", "wf", { ["resonate:target"] = "poll://any@g" }, { func = "root", args = { 60 } })
    world:demand("promise.create", root)
    world:note(world:demand("promise.register_listener", { awaited = "wf", address = "poll://uni@client/c" }).promise)
    while not told do
      for _, worker in ipairs(workers) do worker:turn() end
      if world.asked["wf:3"] and not world.values["wf:3"] then
        world:note(world:demand("promise.settle", { id = "wf:3", state = "resolved", value = EMPTY }).promise)
      end
      client:listen()
      local message = table.remove(client.inbox, 1)
      if message and message.kind == "unblock" then told = world:note(message.data.promise) end
      uv.run("once")
      assert((uv.hrtime() - began) / 1e6 < LIMIT_MS, "the root does not end, or nobody is told\n" .. (server and server.err or ""))
    end
    tick:close()
    return told
  end

  local function check_end(world)
    local snap = world:demand("debug.snap", {})
    local broken = oracle.violations(snap, far.now_ms(), nil, oracle.profile)
    assert(not broken, broken and table.concat(broken, "; "))
    local states = {}
    for _, task in ipairs(snap.tasks) do
      states[task.id] = task.state
      assert(task.version >= world.versions[task.id], task.id)
    end
    assert.are.same({ wf = "fulfilled", ["wf:1"] = "fulfilled" }, states)
    for _, promise in ipairs(snap.promises) do
      assert(promise.state ~= "pending", promise.id)
      world:note(promise)
    end
    assert.equal(6, #snap.promises)
    local first, last = world.values["wf:0"]:match("%d+$"), world.values["wf:4"]:match("%d+$")
    assert.equal(("resolved [%s,7,null,%s]"):format(first, last), (world.values.wf:gsub("%[(%d+),7,(%d+)%]", "[%1,7,null,%2]")))
  end

  local function describe_plan(deaths)
    local words = {}
    for i, death in ipairs(deaths) do words[i] = death.point and death.point .. ":" .. death.n or death.after_us .. " us" end
    return table.concat(words, ", then ")
  end

  -- Gives how many died, and the milliseconds it took.
  local function play(deaths)
    place = cli.begin()
    plan, kills, address, server = { table.unpack(deaths) }, 0, nil, nil
    local began = uv.hrtime()
    local world = far.world { address = live, lost = lost, ttl = TTL_MS }
    local done, fault = pcall(function()
      play_in(world)
      plan = { {} } -- no further death is planned; a kill that is still to come is one
      check_end(world)
    end)
    if not done then error(describe_plan(deaths) .. ": " .. tostring(fault), 0) end
    local ms = (uv.hrtime() - began) / 1e6
    http.close_all()
    if server then
      server:signal_with("sigterm"):wait()
      assert(server.code == 0 or server.signal == 9, server.err)
      if server.signal == 9 then kills = kills + 1 end
    end
    local verify = place:run("verify")
    assert(verify.code == 0, verify.out .. verify.err)
    cli.finish()
    return kills, ms, world
  end

  for _, point in ipairs(POINTS) do
    it("loses nothing at any " .. point, function()
      local n, conflicts = 0, 0
      repeat
        n = n + 1
        assert(n < PASSES_MAX)
        local died, _, world = play { { point = point, n = n } }
        conflicts = conflicts + world.conflicts
      until died == 0
      passings[point] = n - 1
      print(("%-14s %3d kills, %d refusals of what was stale"):format(point, n - 1, conflicts))
      assert.is_true(n - 1 >= (point:find("^outbox") and 3 or 10), point .. " was hardly ever passed: " .. n - 1)
    end)
  end

  it("loses nothing when it dies again in what comes after", function()
    local seconds = 0
    for _ = 1, PAIRS do
      local first, second = POINTS[math.random(#POINTS)], POINTS[math.random(#POINTS)]
      local died = play { { point = first, n = math.random(passings[first] or 3) }, { point = second, n = math.random(5) } }
      seconds = seconds + (died == 2 and 1 or 0)
    end
    print(("pairs          %3d plans, %d second deaths"):format(PAIRS, seconds))
    assert.is_true(2 * seconds >= PAIRS, "hardly a second death took place")
  end)

  it("loses nothing at any instant", function()
    local _, span_ms = play {}
    local died = 0
    for _ = 1, RANDOM do died = died + (play { { after_us = math.random(0, math.floor(span_ms * 1000)) } }) end
    print(("any instant    %3d runs, %d kills"):format(RANDOM, died))
    assert.is_true(2 * died >= RANDOM, "hardly a run was killed")
  end)
end)
