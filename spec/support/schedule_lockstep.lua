-- schedule_lockstep.lua - the engine and the oracle, side by side through the same random requests about schedules.
--
-- As lockstep.lua, with a world of its own: time passes in seconds and minutes, sweeps fire what is due, the promises
-- that are made are looked at, settled and acquired. Whatever differs ends the run and is told.
--
-- SPDX-License-Identifier: Apache-2.0
local gen = require("spec.support.gen")
local lockstep = require("spec.support.lockstep")
local oracle = require("spec.support.oracle")

local M = {}

local WORLD_OPS = 60
local IDS = { "a", "b", "b.c", "c d", "\u{e9}" }
local CRONS = { "* * * * * *", "*/5 * * * * *", "1,7,30 * * * * *", "0 * * * * *", "* * * * *", "*/2 * * * *", "0 0 31 2 *" }
local BAD_CRONS = { "", "* * * *", "61 * * * *", "x * * * *", "*/0 * * * *", "* * 32 * *", "@foo" }
local TEMPLATES = { "{{.id}}.{{.timestamp}}", "{{.timestamp}}/{{.id}}", "once-{{.id}}", "{{.id}}{{.id}}", "{{.x}}{{.id}}{{.timestamp}}{{" }

local function declaration(g)
  local tags = { ["resonate:target"] = g:pick({ "http://w1", "poll://any@g", "http://w2" }), team = g:pick({ "x", "y" }) }
  if g:chance(15) then tags["resonate:origin"] = "elsewhere" end
  if g:chance(15) then tags["resonate:timer"] = "true" end
  return {
    id = g:pick(IDS), cron = g:pick(CRONS), promiseId = g:pick(TEMPLATES),
    promiseTimeout = g:pick({ 0, 1, 900, 5000, 90000, 9007199254740991 }), promiseTags = tags,
    promiseParam = g:chance(50) and { data = g:pick({ "", "x" }), headers = g:chance(30) and { h = "1" } or nil } or nil,
    catchUp = g:chance(30) and g:pick({ "last", "none" }) or nil,
  }
end

-- One that is there, declared again: as it is, or with one thing changed.
local function redeclaration(g, o)
  local ids, d = {}, declaration(g)
  for _, id in ipairs(IDS) do
    if o.schedules[id] then ids[#ids + 1] = id end
  end
  if #ids == 0 then return d end
  local id = g:pick(ids)
  local s = o.schedules[id]
  local changed = g:pick({ "nothing", "cron", "promiseId", "promiseTimeout", "promiseParam", "promiseTags", "catchUp" })
  local again = { id = id, cron = s.cron, promiseId = s.promiseId, promiseTimeout = s.promiseTimeout,
    promiseParam = s.promiseParam, promiseTags = s.promiseTags, catchUp = o.catch_up[id] }
  again[changed] = d[changed]
  return again
end

local function flawed(g)
  local d = declaration(g)
  local flaw = g:int(8)
  if flaw == 1 then d.id = g:pick({ "", "a:b", ("x"):rep(201), "a\0" })
  elseif flaw == 2 then d.cron = g:pick(BAD_CRONS)
  elseif flaw == 3 then d.promiseId = g:pick({ "", ":x", ("y"):rep(300) .. "{{.timestamp}}", "a\0{{.id}}" })
  elseif flaw == 4 then d.promiseTimeout = g:pick({ -1, 1.5 })
  elseif flaw == 5 then d.promiseTags = g:pick({ {}, { ["resonate:target"] = "" }, { a = 7 } })
  elseif flaw == 6 then d.promiseTags = nil
  elseif flaw == 7 then d[g:pick({ "id", "cron", "promiseId", "promiseTimeout" })] = nil
  else d.promiseParam = g:pick({ 7, "x", { data = 7 } }) end
  return d
end

local KINDS = { "create", "create", "declare", "declare", "flawed", "get", "delete", "search", "sweep", "sweep", "sweep",
  "sweep", "promise", "settle", "acquire" }

local function request(g, o)
  local kind = g:pick(KINDS)
  local some = o.ids[1] and g:pick(o.ids) or "none"
  if kind == "create" then return "schedule.create", declaration(g) end
  if kind == "declare" then return "schedule.declare", (g:chance(50) and declaration or redeclaration)(g, o) end
  if kind == "flawed" then return g:pick({ "schedule.create", "schedule.declare" }), flawed(g) end
  if kind == "get" then return "schedule.get", { id = g:pick({ "", "none", g:pick(IDS), g:pick(IDS), g:pick(IDS) }) } end
  if kind == "delete" then return "schedule.delete", { id = g:pick({ "", "none", g:pick(IDS), g:pick(IDS) }) } end
  if kind == "search" then
    return "schedule.search", { limit = g:pick({ 1, 2, 3, 0, 1001, oracle.null }),
      cursor = g:chance(50) and g:pick({ "", "b", "a", "zz", ("x"):rep(400), oracle.null }) or nil,
      tags = g:chance(30) and g:pick({ { team = "x" }, {}, { other = "y" } }) or nil }
  end
  if kind == "promise" then return "promise.get", { id = some } end
  if kind == "settle" then return "promise.settle", { id = some, state = "resolved" } end
  if kind == "acquire" then return "task.acquire", { id = some, version = 0, pid = "w", ttl = 2000 } end
  return "sweep", {}
end

local PROFILES = { {}, {}, {}, { cron_dow = "unix" }, { cron_never = "reject" }, { id_dialect = "dot" }, { timer_target = "reject" },
  { arm = "all" } }


-- What differs after one request, or nil.
local function step(run, asked, now)
  local o, world = run.oracle, run.world
  local want, want_messages = o:apply(asked, now)
  local got, got_messages = lockstep.apply(world, asked, now)
  if not got then return "apply: " .. tostring(got_messages) end
  local same, words = oracle.agrees(want, got)
  if not same then return "answer: " .. words end
  same, words = lockstep.same_messages(want_messages, got_messages)
  if not same then return words end
  local after = o:snapshot()
  local stored = world:snapshot()
  stored.messages = nil
  same, words = oracle.same(lockstep.as_kept(after), stored, "state")
  if not same then return words end
  local check = world:check(now)[1]
  if check then return ("check: %s of %s: %s"):format(check.property, check.id, check.words) end
  for _, s in ipairs(after.schedules) do
    local broken = oracle.schedule_violations(s, now)[1]
    if broken then return broken end
  end
  local broken = o:invariants(now)
  if broken then return "invariants: " .. table.concat(broken, "; ") end
  local waiting = 0
  for _, s in ipairs(after.schedules) do
    if s.nextRunAt < oracle.TIME_MAX then waiting = waiting + 1 end
  end
  if waiting ~= #world:dues("schedule") then return "due rows: " .. #world:dues("schedule") end
  run.succeeded = run.succeeded + (want.status == 200 and 1 or 0)
end

--- Runs `ops` requests. Gives what was found: {ops, fired, succeeded, difference?, request?, now}.
---@param options { probe: table, seed: integer, ops: integer }
function M.run(options)
  local g = gen.new(options.seed)
  local run = { ops = 0, fired = 0, succeeded = 0, now = 1000000 + g:int(1000) }
  local left = 0
  while run.ops < options.ops and not run.difference do
    if left == 0 then
      local profile = g:pick(PROFILES)
      if run.world then run.world:close() end
      run.oracle, left = oracle.new({ profile = profile }), WORLD_OPS
      run.world = options.probe.new({ kind = "memory", profile = profile })
    end
    left = left - 1
    if g:chance(50) then
      run.now = run.now + g:pick({ 1, 300, 1000, 1000, 5000, 20000, g:chance(20) and 90000 + g:int(9000) or 3000 })
    end
    local kind, data = request(g, run.oracle)
    local before = #run.oracle.ids
    run.ops, run.request = run.ops + 1, { kind = kind, data = data }
    run.difference = step(run, run.request, run.now)
    if kind == "sweep" then run.fired = run.fired + #run.oracle.ids - before end
  end
  run.world:close()
  return run
end

return M
