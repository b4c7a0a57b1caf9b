-- fleet_check.lua - what must hold of a fleet's store, whatever befell its processes.
--
-- Here:    watch(fleet): look() holds what the server shows now against what it showed before; and at the end check(),
--          which raises all that is wrong, or gives figures. judge() is its part that asks nobody.
-- Demands: every root ends with what its function comes to; no task is left, no promise pending; what was shown settled
--          stays; versions only grow; a record is written under a version not below that of any record written before it;
--          the record of a step is what one attempt returned, and what the workflow saw; an attempt is made again only
--          if whoever made it died, or may have lost its lease (by trouble, or since the machine stood still); nothing
--          that is recorded is done again but by one who may not know it; the invariants of the protocol; `dahost verify`.
--
-- SPDX-License-Identifier: Apache-2.0
local fleet_module = require("spec.support.fleet")
local http = require("spec.support.http")
local json = require("dkjson")
local oracle = require("spec.support.oracle")
local probe = require("da_probe")
local program = require("spec.support.program")

local M = {}

local SLACK_MS = 3000 -- in which whoever was apart learns that it holds nothing any more, beside its lease

local Watch = {}
Watch.__index = Watch

function M.watch(fleet)
  return setmetatable({ fleet = fleet, versions = {}, fulfilled = {}, settled = {}, looks = 0 }, Watch)
end

local function same_value(a, b)
  return a.state == b.state and a.settledAt == b.settledAt and json.encode(a.value, { keyorder = { "data", "headers" } })
    == json.encode(b.value, { keyorder = { "data", "headers" } })
end

function Watch:look()
  self.looks = self.looks + 1
  for _, task in ipairs(self.fleet:search("task.search", "tasks")) do
    local before = self.versions[task.id] or 0
    assert(task.version >= before, ("%s was at version %d and is at %d"):format(task.id, before, task.version))
    assert(not self.fulfilled[task.id] or task.state == "fulfilled", task.id .. " was fulfilled and is " .. task.state)
    self.versions[task.id], self.fulfilled[task.id] = task.version, task.state == "fulfilled"
  end
end

-- What an answer showed as settled.
function Watch:keep(promise)
  local known = self.settled[promise.id]
  if not known then
    if promise.state ~= "pending" then self.settled[promise.id] = promise end
    return promise
  end
  assert(same_value(known, promise), ("%s was %s and is %s"):format(promise.id, json.encode(known), json.encode(promise)))
  return promise
end

---------------------------------------------------------------------------------------------------- reading

-- The value of a promise and the list of its further results.
function M.value_of(promise)
  local text = promise.value.data
  local value = text and json.decode(probe.base64_read(text), 1, nil)
  local rest = promise.value.headers and promise.value.headers["da-rest"]
  return value, rest and json.decode(rest, 1, nil) or {}
end

-- What the worker notes beside a promise: kind, ordinal and the version of the task that it was made under; nil: nothing.
function M.call_of(promise)
  local text = promise.param.headers and promise.param.headers["da-call"]
  if not text then return nil end
  local kind, ordinal, version = text:match("^(%S+) (%d+) %d+ %x+ (%d+) ")
  assert(kind, promise.id .. ": a call is noted in other words: " .. text)
  return { kind = kind, ordinal = math.tointeger(tonumber(ordinal)), version = math.tointeger(tonumber(version)) }
end

-- The lines of the journal: lists of attempts {id, attempt, token, pid, began, ended} by token, and by id and attempt.
function M.read_journal(text)
  local by_token, by_key, all = {}, {}, {}
  for line in text:gmatch("[^\n]+") do
    local word, at, id, attempt, token, pid = line:match("^(%a+) (%d+) (%S+) (%d+) (%S+) (%d+)$")
    assert(word, "a line that is none: " .. line)
    if word == "begin" then
      assert(not by_token[token], "two attempts have one token")
      local each = { id = id, attempt = tonumber(attempt), token = token, pid = tonumber(pid), began = tonumber(at) }
      local key = id .. " " .. attempt
      by_key[key] = by_key[key] or {}
      by_token[token], by_key[key][#by_key[key] + 1], all[#all + 1] = each, each, each
    else
      by_token[token].ended = tonumber(at)
    end
  end
  return { all = all, by_token = by_token, by_key = by_key }
end

---------------------------------------------------------------------------------------------------- the demands

local Check = {}
Check.__index = Check

function Check:bad(...)
  self.faults[#self.faults + 1] = (...):format(select(2, ...))
end

-- What was shown before is there, as it was or further on.
function Check:watched(watch)
  for id, promise in pairs(watch.settled) do
    if not self.promises[id] then
      self:bad("%s was shown and is gone", id)
    elseif not same_value(promise, self.promises[id]) then
      self:bad("%s was settled and is another", id)
    end
  end
  for id, version in pairs(watch.versions) do
    local version_now = self.tasks[id] and self.tasks[id].version or self:is_dropped(id) and version
    if not version_now or version_now < version then
      self:bad("the task %s was at version %d and is at %s", id, version, version_now)
    end
  end
end

function Check:roots()
  for _, root in ipairs(self.given_roots) do
    local promise = self.promises[root.id]
    local want, fault = self.straight[root.group .. "." .. root.func](root.n)
    local value = promise and M.value_of(promise)
    if not promise then
      self:bad("%s is not there", root.id)
    elseif want ~= nil and not (promise.state == "resolved" and value.value == want) then
      self:bad("%s should come to %s and is %s %s", root.id, want, promise.state, json.encode(value))
    elseif fault and not (promise.state == "rejected" and value.name == fault.code and value.message == fault.message
        and value.n == fault.n and value.cause.name == fault.cause) then
      self:bad("%s should be rejected as %s and is %s %s", root.id, fault.code, promise.state, json.encode(value))
    elseif want ~= nil then
      self:seen(root, value.seen)
    end
  end
end

-- What a workflow was given by its steps is what is recorded.
function Check:seen(root, tokens)
  for id, token in pairs(tokens) do
    local record = self.promises[id]
    local _, rest = M.value_of(record or { value = {} })
    self.figures.seen = self.figures.seen + 1
    if not record then
      self:bad("%s saw %s, which is not recorded", root.id, id)
    elseif rest[1] ~= token then
      self:bad("%s saw another attempt of %s than is recorded", root.id, id)
    end
  end
end

function Check:all_ended()
  for id, promise in pairs(self.promises) do
    if promise.state == "pending" then self:bad("%s is pending", id) end
  end
  for id, task in pairs(self.tasks) do
    if task.state ~= "fulfilled" then self:bad("the task %s is %s", id, task.state) end
  end
end

-- The execution that made a record, by its tags: a call in a branch has the branch for its parent.
function Check:execution_of(promise)
  local tags = promise.tags
  if tags["resonate:scope"] == "local" then return tags["resonate:branch"] end
  local parent = self.promises[tags["resonate:parent"]]
  local in_branch = parent and parent.tags["resonate:scope"] == "local"
  return in_branch and parent.tags["resonate:branch"] or tags["resonate:parent"]
end

-- Whoever wrote first had no greater version: two never both went on.
function Check:fenced()
  local by_execution = {}
  for _, promise in pairs(self.promises) do
    local call = M.call_of(promise)
    -- What was made when its time had passed does not tell when it was made.
    local told = call and call.version > 0 and promise.createdAt < promise.timeoutAt
    local owner = told and self:execution_of(promise)
    if owner and owner ~= promise.id then -- a root does not tell who made it
      by_execution[owner] = by_execution[owner] or {}
      table.insert(by_execution[owner], { id = promise.id, at = promise.createdAt, version = call.version, promise = promise })
    end
  end
  for owner, list in pairs(by_execution) do
    local task = self.tasks[owner]
    table.sort(list, function(a, b) return a.at < b.at or a.at == b.at and a.version < b.version end)
    local highest = 0
    for _, each in ipairs(list) do
      self.figures.fenced = self.figures.fenced + 1
      if each.version < highest then
        self:bad("%s was written under version %d of %s after something under %d", each.id, each.version, owner, highest)
      end
      highest = math.max(highest, each.version)
      if task and each.version > task.version then self:bad("%s tells a version that there never was", each.id) end
    end
    self:own_order(owner, list)
  end
end

-- What an execution settles itself it numbers; the numbers are those of the order of settlement.
function Check:own_order(owner, list)
  local numbered, taken = {}, {}
  for _, each in ipairs(list) do
    local text = each.promise.value.headers and each.promise.value.headers["da-own"]
    local generation = each.id:match(":(~%d+)%.") or "~1"
    local number = text and math.tointeger(tonumber(text))
    if number then
      local key = generation .. " " .. number
      if taken[key] then self:bad("%s and %s have one number in %s: %d", taken[key], each.id, owner, number) end
      taken[key] = each.id
      numbered[#numbered + 1] = { generation = generation, number = number, promise = each.promise }
    end
  end
  table.sort(numbered, function(a, b)
    return a.generation < b.generation or a.generation == b.generation and a.number < b.number
  end)
  for i = 2, #numbered do
    local a, b = numbered[i - 1], numbered[i]
    if a.generation == b.generation and (a.promise.settledAt or math.huge) > (b.promise.settledAt or math.huge) then
      self:bad("%s is number %d of %s and was settled after %s, number %d", a.promise.id, a.number, owner, b.promise.id, b.number)
    end
  end
end

-- The process of an attempt: the member and its life.
function Check:process_of(attempt)
  for _, name in ipairs(self.fleet.names) do
    local member = self.fleet.members[name]
    for _, life in ipairs(member.lives) do
      if life.pid == attempt.pid and life.began <= attempt.began then return member, life end
    end
  end
end

local function overlaps(windows, from, to, slack)
  for _, window in ipairs(windows) do
    if window.from <= to and (window.to or math.huge) + slack >= from then return true end
  end
  return false
end

-- Can whoever made the attempt have died or lost its lease in that time?
function Check:may_have_lost(attempt, from, to)
  local member, life = self:process_of(attempt)
  if not member then return false end
  local slack = self.fleet.lease_ms + SLACK_MS
  if (life.ended_at or math.huge) <= to + slack then return true, "died" end
  return overlaps(member.windows, from, to, slack) or overlaps(self.fleet.members.server.windows, from, to, slack)
    or overlaps(self.fleet.stalls or {}, from, to, slack)
end

function Check:steps()
  for id, promise in pairs(self.promises) do
    local call = M.call_of(promise)
    if call and call.kind == "step" and promise.state == "resolved" then
      local _, rest = M.value_of(promise)
      local attempt = self.journal.by_token[rest[1]]
      self.figures.steps = self.figures.steps + 1
      if not attempt or attempt.id ~= id or not attempt.ended then
        self:bad("%s is recorded as what no attempt of it returned", id)
      end
    end
  end
  for key, attempts in pairs(self.journal.by_key) do
    local id = attempts[1].id
    local record = self.promises[id]
    if not record and not self:is_dropped(id) then self:bad("%s was done and is not recorded", id) end
    for i = 2, #attempts do
      self.figures.repeated = self.figures.repeated + 1
      if not self:may_have_lost(attempts[i - 1], attempts[i - 1].began - 1000, attempts[i].began) then
        self:bad("attempt %s was made again for no reason, %d ms later", key, attempts[i].began - attempts[i - 1].began)
      end
    end
    for _, attempt in ipairs(attempts) do
      if record and record.settledAt and attempt.began > record.settledAt + 1 then
        self.figures.after = self.figures.after + 1
        if not self:may_have_lost(attempt, record.createdAt, attempt.began) then
          self:bad("%s was begun %d ms after it was recorded", key, attempt.began - record.settledAt)
        end
      end
    end
  end
end

-- Of an execution that began again: what a store keeps itself it drops of the generations that are over.
function Check:is_dropped(id)
  local root = self.promises[id:match("^[^:]+")]
  return root ~= nil and root.param.data ~= nil and probe.base64_read(root.param.data):find('"rounds"', 1, true) ~= nil
end

local function by_id(list)
  local map = {}
  for _, each in ipairs(list) do map[each.id] = each end
  return map
end

-- Of what a store holds: all that is wrong, as a list of sentences, and figures. given: promises, tasks (lists), journal
-- (its text), roots (list of {id, group, func, n}), straight, fleet (names, members, lease_ms), watch (or nil).
function M.judge(given)
  local self = setmetatable({ fleet = given.fleet, given_roots = given.roots, straight = given.straight, faults = {},
    journal = M.read_journal(given.journal), promises = by_id(given.promises), tasks = by_id(given.tasks),
    figures = { seen = 0, fenced = 0, steps = 0, repeated = 0, after = 0, attempts = 0, acquired = 0 } }, Check)
  self.figures.attempts = #self.journal.all
  for _, task in pairs(self.tasks) do self.figures.acquired = self.figures.acquired + task.version end
  if given.watch then self:watched(given.watch) end
  self:roots()
  self:all_ended()
  self:fenced()
  self:steps()
  table.sort(self.faults)
  return self.faults, self.figures
end

---------------------------------------------------------------------------------------------------- the store at rest

local function read_snapshot(fleet)
  local connection = http.connect(fleet.door)
  local status, snap = connection:call("debug.snap", {})
  connection:close()
  assert(status == 200, tostring(snap))
  return snap
end

-- What a search shows is what is stored, and that keeps the invariants.
local function judge_snapshot(snap, promises, faults)
  for _, words in ipairs(oracle.violations(snap, fleet_module.now_ms(), nil, oracle.profile) or {}) do
    faults[#faults + 1] = words
  end
  local found = by_id(promises)
  for _, promise in ipairs(snap.promises) do
    if not found[promise.id] then
      faults[#faults + 1] = promise.id .. " is in the snapshot and not in a search"
    elseif not same_value(found[promise.id], promise) then
      faults[#faults + 1] = promise.id .. " is another in the snapshot than in a search"
    end
  end
  if #snap.promises ~= #promises then faults[#faults + 1] = "a search finds more than there is" end
  -- Who listened and ended without a word may come again: what it is to be told is kept for a day.
  for _, each in ipairs(snap.messages) do
    if each.message.kind ~= "unblock" then faults[#faults + 1] = "a message is left to " .. each.address end
  end
end

-- The workers have ended, the server is up.
function M.check(fleet, watch, roots, journal, straight)
  local promises = fleet:search("promise.search", "promises")
  local tasks = fleet:search("task.search", "tasks")
  local faults, figures = M.judge { fleet = fleet, watch = watch, roots = roots, journal = journal, straight = straight,
    promises = promises, tasks = tasks }
  fleet:stop_member("server")
  fleet:serve("--debug", "--push=false")
  judge_snapshot(read_snapshot(fleet), promises, faults)
  fleet:stop_member("server")
  local verify = program.run({ "verify" }, { data = fleet.place.data })
  if verify.code ~= 0 then faults[#faults + 1] = "verify: " .. verify.out .. verify.err end
  if #faults > 0 then
    error(table.concat(faults, "\n", 1, math.min(#faults, 40)) .. "\n" .. fleet:told(), 0)
  end
  return figures
end

return M
