-- linear_kill_spec.lua - the server dies under requests: what it had acknowledged is there, the rest is there whole or not.
--
-- Kill points: host/sched/kill.h. "instant" is a SIGKILL from outside between two turns of the clients.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local crowd = require("spec.support.crowd")
local http = require("spec.support.http")
local linear = require("spec.support.linear")
local lockstep = require("spec.support.lockstep")
local oracle = require("spec.support.oracle")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local LONG = os.getenv("DA_LONG") == "1"
local SANITIZED = (os.getenv("DA_PRESET") or ""):find("san") ~= nil
local HISTORIES = LONG and 200 or SANITIZED and 2 or 5 -- of each clock
local POINTS = { "commit.before", "commit.after", "answer.before", "instant" }
local CALLS = 60 -- of a life that nothing ends before
local STARTS = 3 -- batches that a server may write before it listens
local LATER = oracle.TIME_MAX
local HOUR_MS = 3600000

describe("a server that is killed under requests", function()
  local place, server, broken_pipe

  setup(function() -- who writes to the dead is told by the end of the connection
    broken_pipe = uv.new_signal()
    broken_pipe:start("sigpipe", function() end)
    broken_pipe:unref()
  end)
  teardown(function()
    broken_pipe:close()
    uv.run("nowait")
  end)
  before_each(function() place = program.place(true) end)
  after_each(function() place:remove() end)

  local function start(kill)
    server = serve.start(place, { "--debug", "--push=false" }, { env = { DAHOST_KILL = kill } })
  end

  -- Every promise that an answer showed is there, as it was shown or further on.
  local function demand_kept(history, snapshot, now)
    local stored, count = {}, 0
    for _, record in ipairs(snapshot.promises) do stored[record.id] = oracle.projected(record, now) end
    local function demand(record)
      local found = assert(stored[record.id], record.id .. " was acknowledged and is gone")
      if record.state == "pending" then
        assert(found.createdAt == record.createdAt, record.id .. " is another")
      else
        local same, where = oracle.same(record, found)
        assert(same, record.id .. " was acknowledged otherwise: " .. tostring(where))
      end
      count = count + 1
    end
    for _, call in ipairs(history) do
      local data = call.reply and call.reply.status == 200 and call.reply.data
      if type(data) == "table" and data.promise then demand(data.promise) end
    end
    return count
  end

  -- One life and its death. Gives how many requests were under way.
  local function live(people, point, chance)
    local from_outside = point == "instant"
    local n = from_outside and chance:int(CALLS // 2) or STARTS + chance:int(14)
    start(not from_outside and ("%s:%d"):format(point, n) or nil)
    people:connect(server.address)
    people:ask("debug.snap") -- what the life before left
    people:run(CALLS, from_outside and n)
    if not server.ended then
      if people:waiting() == 0 then
        people.limit = people.limit + 8
        people:burst(8)
      end
      server:signal_with("sigkill")
    end
    server:wait()
    assert.equal(9, server.signal, server.err)
    return people:bury()
  end

  for _, clock in ipairs { "given", "real" } do
    it(("has an order of what was answered before and after (%s clock)"):format(clock), function()
      local seed = lockstep.seed() % 1000000000
      local totals = { deaths = 0, under_way = 0, done = 0, answered = 0, kept = 0 }
      local by_point = {}
      for i = seed, seed + HISTORIES - 1 do
        local start_at = crowd.real_ms() + HOUR_MS -- nothing is due by the server's own clock
        local people = crowd.new { seed = i, clock = clock, clients = 4, depth = 3, start = start_at }
        local timeless = clock == "real"
        local function check()
          local result = linear.check(people.history, { timeless = timeless })
          if not result.linear then error(("DA_SEED=%d\n%s"):format(i, linear.describe(result)), 0) end
          people.shadow = result.state
          return result
        end
        for turn = 1, #POINTS do
          local point = POINTS[(i + turn) % #POINTS + 1]
          local under_way = live(people, point, people.gen)
          local of = by_point[point] or { deaths = 0, under_way = 0, done = 0 }
          by_point[point] = of
          of.deaths, of.under_way = of.deaths + (under_way > 0 and 1 or 0), of.under_way + under_way
          check()
        end
        start()
        people:connect(server.address)
        local snapshot = people:ask("debug.snap").reply.data
        people:ask("promise.search", { limit = 1000 })
        people:ask("task.search", { limit = 1000 })
        for _, record in ipairs(snapshot.promises) do people:ask("promise.get", { id = record.id }) end
        local result = check()
        for _, call in ipairs(result.order) do
          if not call.reply then totals.done = totals.done + 1 end
        end
        for _, call in ipairs(people.history) do
          if call.reply then totals.answered = totals.answered + 1 else totals.under_way = totals.under_way + 1 end
        end
        totals.kept = totals.kept + demand_kept(people.history, snapshot, clock == "given" and people.now or crowd.real_ms())
        people:disconnect()
        serve.stop(server)
        assert.equal(0, place:run("verify").code)
        place:remove()
        place = program.place(true)
      end
      print(("seed %d, %s clock: %d requests answered, %d promises in answers kept; %d under way at deaths, at least %d of them done")
        :format(seed, clock, totals.answered, totals.kept, totals.under_way, totals.done))
      for _, point in ipairs(POINTS) do
        local of = by_point[point]
        print(("  %-14s %d deaths with requests under way, %d requests"):format(point, of.deaths, of.under_way))
        -- A signal from outside may find nothing under way, each time.
        assert.is_true(of.deaths > 0 or point == "instant", "no request was under way: " .. point)
      end
      assert.is_true(totals.done > 0, "nothing was done and not answered")
      assert.is_true(totals.done < totals.under_way, "nothing was lost")
    end)
  end

  it("has kept every request that it acknowledged, of many connections with many requests under way", function()
    local connections, depth = 8, SANITIZED and 40 or 150
    local record_of, sent, lost, kept_unanswered = {}, 0, 0, 0
    for life, kill in ipairs { "commit.before:9", "commit.after:8", "answer.before:7", "instant", "instant" } do
      start(kill ~= "instant" and kill or nil)
      local people, answered = {}, 0
      for i = 1, connections do people[i] = { connection = http.connect(server.address), ids = {}, next = 1 } end
      for n = 1, depth do
        for i, client in ipairs(people) do
          client.ids[n] = ("r%d-%d:%d"):format(life, i, n)
          client.connection:send_call("promise.create", { id = client.ids[n], timeoutAt = LATER })
          sent = sent + 1
        end
      end
      local wanted = kill == "instant" and life * connections * depth // 12 or math.huge
      program.turn_until(function() return "a death" end, function()
        for _, client in ipairs(people) do
          while client.ids[client.next] and client.connection.buffer ~= "" do
            local came, status, data = pcall(client.connection.receive_call, client.connection)
            if not came then
              assert(status:find("closed within an answer", 1, true), status)
              client.connection.buffer = ""
              break
            end
            assert.equal(200, status)
            record_of[client.ids[client.next]] = data.promise
            client.next, answered = client.next + 1, answered + 1
          end
        end
        if answered >= wanted then
          wanted = math.huge
          server:signal_with("sigkill")
        end
        local ended = server.ended
        for _, client in ipairs(people) do ended = ended and client.connection.ended and client.connection.buffer == "" end
        return ended
      end)
      assert.equal(9, server.signal)
      start()
      local stored, cursor, asking = {}, nil, http.connect(server.address)
      repeat
        local status, data = asking:call("promise.search", { limit = 1000, cursor = cursor })
        assert.equal(200, status)
        for _, record in ipairs(data.promises) do stored[record.id] = record end
        cursor = data.cursor
      until not cursor
      for id, record in pairs(record_of) do assert.same(record, stored[id] or "gone: " .. id) end
      for _, client in ipairs(people) do
        local there = true
        for n = client.next, depth do -- what was done without an answer is what was sent first
          local found = stored[client.ids[n]]
          assert.is_true(there or not found, client.ids[n] .. " has overtaken another")
          there, lost = found ~= nil, lost + 1
          kept_unanswered = kept_unanswered + (there and 1 or 0)
        end
        client.connection:close()
      end
      asking:close()
      serve.stop(server)
    end
    assert.equal(0, place:run("verify").code)
    local acknowledged = 0
    for _ in pairs(record_of) do acknowledged = acknowledged + 1 end
    print(("%d sent, %d acknowledged and there; %d without an answer, %d of them there"):format(sent, acknowledged, lost,
      kept_unanswered))
    assert.is_true(acknowledged > 0)
    assert.is_true(kept_unanswered > 0)
    assert.is_true(kept_unanswered < lost)
  end)
end)
