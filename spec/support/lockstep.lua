-- lockstep.lua - the engine and the oracle, side by side through the same random requests.
--
-- After each request they must agree on the status, the data of the answer, the messages and the whole stored state;
-- the invariants must hold in both tellings; the row of the state tables that the request took must have had the
-- effect the tables promise. The first difference ends the run and is told with the seed that repeats it.
-- The engine is whatever probe module the caller loads: the shipped one, or one with a fault planted in it.
--
-- SPDX-License-Identifier: Apache-2.0
local gen = require("spec.support.gen")
local oracle = require("spec.support.oracle")
local rows = require("spec.support.rows")

local M = {}

-- From here on an instant means "no deadline": the engine keeps no row for it, the oracle has no such notion.
local TIME_MAX = oracle.TIME_MAX

-- Most worlds follow the recommended profile; the rest turn one or several switches.
local SWITCHES = {
  { "id_dialect", { "colon", "dot", "off" } },
  { "arm", { "target", "all" } },
  { "await_internal", { "reject" } },
  { "await_cross_origin", { "reject" } },
  { "timer_target", { "reject" } },
  { "suspend_dups", { "reject" } },
  { "heartbeat_mixed", { "reject" } },
  { "listener_external_only", { true, false } },
  { "preload_limit", { 0, 1, 3 } },
  { "retry_timeout_ms", { 5000, 1 } },
}

local function profile_of(g)
  local profile = {}
  if g:chance(75) then return profile end
  for _ = 1, g:int(3) do
    local switch = g:pick(SWITCHES)
    profile[switch[1]] = g:pick(switch[2])
  end
  return profile
end

---------------------------------------------------------------------------------------------------- comparing

local function message_text(m)
  return ("%s\0%s\0%s\0%s"):format(m.kind, m.id, m.address, m.version or "")
end

local function same_messages(want, got)
  local function texts(messages)
    local list = {}
    for i, m in ipairs(messages) do list[i] = message_text(m) end
    table.sort(list)
    return list
  end
  return oracle.same(texts(want), texts(got), "messages")
end

-- The oracle's snapshot as the engine keeps it.
local function as_kept(snapshot)
  local kept = {}
  for _, deadline in ipairs(snapshot.promiseTimeouts) do
    if deadline.timeout < TIME_MAX then kept[#kept + 1] = deadline end
  end
  if #kept == #snapshot.promiseTimeouts then return snapshot end
  local new = {}
  for name, list in pairs(snapshot) do new[name] = list end
  new.promiseTimeouts = kept
  return new
end

-- A sweep does a bounded piece at a time; all of them together are the oracle's sweep.
local function apply(world, request, now)
  local swept = {}
  while true do
    local reply, messages, words = world:apply(request, now)
    if not reply then return nil, ("%s: %s"):format(messages, words) end
    if request.kind ~= "sweep" then return reply, messages end
    table.move(messages, 1, #messages, #swept + 1, swept)
    if not reply.data.more then return { status = reply.status, data = {} }, swept end
  end
end

---------------------------------------------------------------------------------------------------- the run

local Run = {}
Run.__index = Run

function Run:begin_world()
  if self.world then self.world:close() end
  self.profile = profile_of(self.gen)
  self.oracle = oracle.new({ profile = self.profile })
  self.world = self.probe.new({ kind = "memory", profile = self.profile })
  self.now = self.now or 0
  self.before = self.oracle:snapshot()
end

-- What differs after one request, or nil.
function Run:step(request, now)
  local want, want_messages = self.oracle:apply(request, now)
  local got, got_messages = apply(self.world, request, now)
  if not got then return "apply: " .. got_messages end
  local after, stored = self.oracle:snapshot(), self.world:snapshot()
  stored.messages = nil
  local same, where = oracle.agrees(want, got)
  if not same then return "answer: " .. where end
  same, where = same_messages(want_messages, got_messages)
  if not same then return where end
  same, where = oracle.same(as_kept(after), stored, "state")
  if not same then return where end
  local check = self.world:check(now)[1]
  if check then return ("check: %s of %s: %s"):format(check.property, check.id, check.words) end
  local step = { request = request, messages = want_messages, reply = want }
  local broken = self.oracle:invariants(now, self.before, step)
  if broken then return "invariants: " .. table.concat(broken, "; ") end
  return self:rows(request, want, now, after, step)
end

function Run:rows(request, reply, now, after, step)
  local names, ids = rows.classify(self.before, request, reply, now)
  self.gen:took(names)
  for _, name in ipairs(names) do self.hits[name] = (self.hits[name] or 0) + 1 end
  local retry = self.oracle.profile.retry_timeout_ms
  local fault = rows.fault(self.before, after, names, ids, step, now, retry)
  self.before = after
  if reply.status == 200 or reply.status == 300 then self.succeeded = self.succeeded + 1 end
  return fault and "row: " .. fault
end

--- Runs `ops` requests. Gives what was found: {ops, succeeded, hits = {row name = count}, difference?, request?}.
---@param options { probe: table, seed: integer, ops: integer }
function M.run(options)
  local self = setmetatable({
    probe = options.probe,
    gen = gen.new(options.seed),
    hits = {},
    succeeded = 0,
    ops = 0,
  }, Run)
  while self.ops < options.ops do
    if not self.world or self.gen:spent(self.oracle) then self:begin_world() end
    local request, now = self.gen:next(self.oracle, self.now)
    self.now = now
    self.ops = self.ops + 1
    self.difference = self:step(request, now)
    if self.difference then
      self.request = request
      break
    end
  end
  self.world:close()
  return self
end

M.apply, M.same_messages, M.as_kept = apply, same_messages, as_kept

-- A request as text, for whoever has to look at it.
function M.show(value)
  if type(value) ~= "table" then return type(value) == "string" and ("%q"):format(value) or tostring(value) end
  local keys, parts = {}, {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do parts[i] = ("%s=%s"):format(tostring(key), M.show(value[key])) end
  return "{" .. table.concat(parts, " ") .. "}"
end

--- The seed of this process: DA_SEED, or a fresh one.
function M.seed()
  return tonumber(os.getenv("DA_SEED")) or os.time() * 1000 + math.random(999)
end

return M
