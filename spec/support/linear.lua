-- linear.lua - is there an order of overlapping requests in which the oracle gives the very answers they got?
--
-- Here:    check(history, options): the search of Wing and Gong (JPDC 17, 1993) with the memory of Lowe (CCPE 29, 2017):
--          a configuration, who has had his turn and what the state is, is looked into once.
-- history: a list of calls: { lane=, invoked=, returned=, request=, reply=, and its instant }. `invoked` and `returned`
--          are numbers of one counter; what returned before another was invoked precedes it. Calls of one lane take
--          effect in their order (a connection's, RFC 9112, 9.3.2). A call without `reply` was answered by nobody: it
--          has taken effect or not, but not after `returned`, which is when its server was seen dead, nor before all
--          that went ahead of it on its lane.
-- instant: `now`, given with the request; or `from` and `to`, between which the server's clock stood. Then only what an
--          answer shows tells it (createdAt, settledAt), it never goes backwards from call to call, and nothing may fall
--          due meanwhile, since nobody could say before which call it did.
-- Kinds:   those of the oracle, debug.tick (its sweep) and debug.snap (its whole state).
--
-- SPDX-License-Identifier: Apache-2.0
local oracle = require("spec.support.oracle")
local lockstep = require("spec.support.lockstep")

local M = {}

local VISITS_MAX = 200000 -- configurations; an honest history needs hardly more than it has calls

---------------------------------------------------------------------------------------------------- the state as text

local texts = setmetatable({}, { __mode = "k" }) -- of records, which are replaced and never changed

local function text_of(record)
  local text = texts[record]
  if not text then
    text = lockstep.show(record)
    texts[record] = text
  end
  return text
end

local function set_text(set)
  if next(set) == nil then return "" end
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, "\1")
end

-- timeless: instants that no answer shows are left out.
local function state_key(o, timeless)
  local parts = {}
  for _, id in ipairs(o.ids) do
    local p, t = o.promises[id], o.tasks[id]
    parts[#parts + 1] = text_of(p.record)
    parts[#parts + 1] = p.deadline and "armed" or "-"
    parts[#parts + 1] = set_text(p.callbacks)
    parts[#parts + 1] = set_text(p.listeners)
    if t then
      parts[#parts + 1] = ("%s %d %s %s %s"):format(t.state, t.version, t.pid or "", t.ttl or "",
        not timeless and t.due or "")
      parts[#parts + 1] = set_text(t.resumes)
    end
  end
  return table.concat(parts, "\0")
end

---------------------------------------------------------------------------------------------------- one call

local function snapshot_of(o, timeless)
  local snapshot = {}
  for name, list in pairs(lockstep.as_kept(o:snapshot())) do snapshot[name] = list end
  if timeless then snapshot.taskTimeouts = nil end
  return snapshot
end

local function apply(o, call, now, timeless)
  local request = call.request
  if request.kind == "debug.tick" then
    o:sweep(now)
    return { status = 200, data = {} }
  elseif request.kind == "debug.snap" then
    return { status = 200, data = snapshot_of(o, timeless) }
  end
  return (o:apply(request, now))
end

local function agrees(want, call, timeless)
  local got = call.reply
  if call.request.kind == "debug.snap" then
    local data = {}
    for name, list in pairs(got.data) do data[name] = list end
    data.messages = nil
    if timeless then data.taskTimeouts = nil end
    return oracle.same(want.data, data, "snapshot")
  elseif call.request.kind == "debug.tick" then
    return got.status == 200, "status"
  end
  return oracle.agrees(want, got)
end

-- Instants that an answer shows, as keys of `found`.
local function instants_in(value, found)
  for name, item in pairs(value) do
    if type(item) == "table" then
      instants_in(item, found)
    elseif name == "createdAt" or name == "settledAt" then
      found[item] = true
    end
  end
end

local function ids_in(value, found)
  for name, item in pairs(value) do
    if type(item) == "table" then
      ids_in(item, found)
    elseif name == "id" or name == "awaited" or name == "awaiter" then
      found[item] = true
    end
  end
end

-- The instants at which a call may have had its turn: of one that was answered, those that its answer shows; of another,
-- those that any answer shows of what it names. One that shows nowhere is as good as another.
local function give_instants(history)
  local shown = {} -- id to a set of instants
  local function note(value)
    if value.createdAt then
      shown[value.id] = shown[value.id] or {}
      instants_in({ { createdAt = value.createdAt, settledAt = value.settledAt } }, shown[value.id])
    end
    for _, item in pairs(value) do
      if type(item) == "table" then note(item) end
    end
  end
  for _, call in ipairs(history) do
    if call.reply and type(call.reply.data) == "table" then note(call.reply.data) end
  end
  for _, call in ipairs(history) do
    local found, list = {}, {}
    if call.now then
      found[call.now] = true
    elseif call.reply then
      if type(call.reply.data) == "table" then instants_in(call.reply.data, found) end
    else
      local ids = {}
      ids_in(call.request.data, ids)
      for id in pairs(ids) do
        for at in pairs(shown[id] or {}) do found[at] = true end
      end
    end
    for at in pairs(found) do
      if call.now or at >= call.from and at <= call.to then list[#list + 1] = at end
    end
    table.sort(list)
    call.instants = list
    call.told = #list
    if not call.now then list[#list + 1] = call.from end
  end
end

---------------------------------------------------------------------------------------------------- the search

local Search = {}
Search.__index = Search

local function by_lane(history)
  local lanes, index = {}, {}
  local sorted = table.move(history, 1, #history, 1, {})
  table.sort(sorted, function(a, b) return a.invoked < b.invoked end)
  for _, call in ipairs(sorted) do
    local lane = index[call.lane]
    if not lane then
      lane = {}
      index[call.lane], lanes[#lanes + 1] = lane, lane
    end
    lane[#lane + 1] = call
  end
  return lanes
end

-- Whose turn may be next: in order of their answers, which is nearly always the order of their turns.
function Search:next_of(positions, newest)
  local bound, heads = math.huge, {}
  for i, lane in ipairs(self.lanes) do
    local call = lane[positions[i]]
    if call then
      if call.reply then bound = math.min(bound, call.returned) end
      heads[#heads + 1] = { lane = i, call = call }
    end
  end
  local list = {}
  for _, head in ipairs(heads) do
    if head.call.invoked < bound and head.call.returned > newest then list[#list + 1] = head end
  end
  table.sort(list, function(a, b)
    a, b = a.call, b.call
    if (a.reply ~= nil) ~= (b.reply ~= nil) then return a.reply ~= nil end
    if a.returned ~= b.returned then return a.returned < b.returned end
    return a.invoked < b.invoked
  end)
  return list, bound == math.huge
end

-- Remembers how far it came, for whoever has to look at it.
function Search:note(depth, order, refusals)
  if depth >= self.deepest then
    self.deepest, self.best = depth, table.move(order, 1, depth, 1, {})
    self.refusals = refusals
  end
end

-- What only reads. A turn of it that changes nothing (it may settle what is past its deadline) can as well be now as
-- later. Of other kinds that does not follow: a sweep that finds nothing now may find something in its true place.
local READS = { ["promise.get"] = true, ["task.get"] = true, ["promise.search"] = true, ["task.search"] = true,
  ["debug.snap"] = true }

-- A configuration: who had a turn, the state, the newest invocation and the clock. Gives the list of those that follow
-- from it, or the only one that has to be looked at.
function Search:successors(at)
  local list, refusals = {}, {}
  local candidates = self:next_of(at.positions, at.newest)
  for _, head in ipairs(candidates) do
    local call = head.call
    for i, now in ipairs(call.instants) do
      local told = not call.now and i <= call.told -- a guess that the clock stood so
      if not told or now >= at.clock then
        local state = at.state:clone()
        local want = apply(state, call, now, self.timeless)
        local same, where = true, nil
        if call.reply then same, where = agrees(want, call, self.timeless) end
        if same then
          local positions = table.move(at.positions, 1, #at.positions, 1, {})
          positions[head.lane] = positions[head.lane] + 1
          local key = state_key(state, self.timeless)
          local next_one = { state = state, key = key, positions = positions, call = call, depth = at.depth + 1,
            newest = math.max(at.newest, call.invoked), clock = at.clock }
          if key == at.key and call.reply and READS[call.request.kind] then
            return { next_one }
          end
          if told then next_one.clock = now end
          list[#list + 1] = next_one
        else
          refusals[#refusals + 1] = { call = call, where = where, want = want }
        end
      end
    end
  end
  return list, refusals
end

--- Gives { linear=, visits=, order= (as far as it came), state= (an oracle, at its end), refusals= (why it went no
--- further), undecided= }.
---@param options? { profile?: table, timeless?: boolean, visits_max?: integer }
function M.check(history, options)
  options = options or {}
  give_instants(history)
  local self = setmetatable({ lanes = by_lane(history), timeless = options.timeless, deepest = -1 }, Search)
  local positions = {}
  for i in ipairs(self.lanes) do positions[i] = 1 end
  local first = oracle.new { profile = options.profile }
  local stack = { { state = first, key = state_key(first, self.timeless), positions = positions, depth = 0, newest = 0,
    clock = 0 } }
  local order, seen, visits = {}, {}, 0
  while #stack > 0 do
    local at = table.remove(stack)
    order[at.depth] = at.call
    local key = table.concat(at.positions, ",") .. "\0" .. at.clock .. "\0" .. at.key
    if not seen[key] then
      seen[key] = true
      visits = visits + 1
      local _, done = self:next_of(at.positions, at.newest)
      if done then
        return { linear = true, visits = visits, order = table.move(order, 1, at.depth, 1, {}), state = at.state }
      end
      if visits > (options.visits_max or VISITS_MAX) then
        return { linear = false, undecided = true, visits = visits, order = self.best, refusals = self.refusals }
      end
      local list, refusals = self:successors(at)
      if #list == 0 then self:note(at.depth, order, refusals) end
      for i = #list, 1, -1 do stack[#stack + 1] = list[i] end
    end
  end
  return { linear = false, visits = visits, order = self.best, refusals = self.refusals }
end

---------------------------------------------------------------------------------------------------- telling

local function line_of(call)
  return ("[%d,%s] lane %s at %s %s %s -> %s %s"):format(call.invoked, tostring(call.returned), tostring(call.lane),
    call.now or (call.from .. ".." .. call.to), call.request.kind, lockstep.show(call.request.data),
    call.reply and call.reply.status or "no answer", call.reply and lockstep.show(call.reply.data) or "")
end

--- Where the order could not be carried on, as text.
function M.describe(result)
  local lines = { result.undecided and "undecided; as far as the search came:" or "no order gives these answers; the longest:" }
  for _, call in ipairs(result.order or {}) do lines[#lines + 1] = "  " .. line_of(call) end
  lines[#lines + 1] = "none of these can be next:"
  for _, refusal in ipairs(result.refusals or {}) do
    lines[#lines + 1] = "  " .. line_of(refusal.call)
    lines[#lines + 1] = ("    oracle: %s %s (%s)"):format(refusal.want.status, lockstep.show(refusal.want.data),
      tostring(refusal.where))
  end
  return table.concat(lines, "\n")
end

--- How many pairs of calls overlapped in time.
function M.overlaps(history)
  local count = 0
  for i, a in ipairs(history) do
    for j = i + 1, #history do
      local b = history[j]
      if a.lane ~= b.lane and a.invoked < b.returned and b.invoked < a.returned then count = count + 1 end
    end
  end
  return count
end

return M
