-- engine_http.lua - a server over HTTP as the engine of the table language (support/engine.lua).
--
-- Here:    new(place): one server per profile, started when a table first asks for it; open(options) of it gives what a
--          world speaks to, over an emptied store with the background paused. Time is told with each request.
-- After each request the state is held against the invariants of snapshots (support/invariants.lua).
-- Messages: those that the outbox gained by a request; what lay in it and still does is `.unsent`, since an outbox keeps
--          one of several equal messages.
-- May not: what only a worker in the same process may ask for; a table that does raises.
--
-- SPDX-License-Identifier: Apache-2.0
local assert = require("luassert")
local http = require("spec.support.http")
local oracle = require("spec.support.oracle")
local serve = require("spec.support.serve")

local M = {}

local IN_PROCESS = { ["task.step"] = true, ["task.spawn"] = true, ["task.again"] = true, claim = true, recover = true,
  sent = true }
local LISTS = { actions = true, tasks = true }

-- Empty tables are objects, but for the members that are lists.
local function shaped(value, name)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, member in pairs(value) do copy[key] = shaped(member, key) end
  return next(copy) == nil and setmetatable(copy, { __jsontype = LISTS[name] and "array" or "object" }) or copy
end

local Wire = { wire = true }
Wire.__index = Wire

function Wire:ask(kind, data, now)
  return self.connection:call(kind, shaped(data), { ["resonate:debug_time"] = now })
end

function Wire:snapshot()
  local status, snap = self:ask("debug.snap", {})
  assert(status == 200, snap)
  return snap
end

-- The rows of the outbox as messages; the record of an unblock must be the stored one.
local function outbox(snap)
  local promises, rows = {}, {}
  for _, p in ipairs(snap.promises) do promises[p.id] = p end
  for i, row in ipairs(snap.messages) do
    local message = row.message
    assert.are.same({}, message.head)
    if message.kind == "execute" then
      local task = message.data.task
      assert.are.same({ task = { id = task.id, version = task.version } }, message.data)
      rows[i] = { kind = "execute", id = task.id, version = task.version, address = row.address }
    else
      assert.equal("unblock", message.kind)
      local id = message.data.promise.id
      assert.are.same({ promise = promises[id] }, message.data)
      rows[i] = { kind = "unblock", id = id, address = row.address }
    end
  end
  return rows
end

local function key_of(row)
  return ("%s %s %s %s"):format(row.kind, row.id, row.version or "", row.address)
end

function Wire:apply(request, now)
  if IN_PROCESS[request.kind] or request.data.limit and request.kind == "sweep" then
    error(request.kind .. " is for a worker in the same process", 0)
  end
  local kind, data = request.kind, request.data
  if kind == "sweep" then kind, data = "debug.tick", { time = now } end
  local status, answer = self:ask(kind, data, now)
  local messages, known = { unsent = {} }, {}
  self.snap = self:snapshot()
  for _, row in ipairs(outbox(self.snap)) do
    local key = key_of(row)
    known[key] = true
    table.insert(self.known[key] and messages.unsent or messages, row)
  end
  self.known = known
  return { status = status, data = answer }, messages
end

function Wire:check(now)
  local broken = oracle.violations(self.snap, now, nil, self.profile)
  return broken and { { property = "invariant", id = "the store", words = table.concat(broken, "; ") } } or {}
end

local Wires = {}
Wires.__index = Wires

function M.new(place)
  return setmetatable({ place = place, servers = {} }, Wires)
end

local function flags_of(profile)
  local names, flags = {}, { "--debug", "--push=false" }
  for name in pairs(profile) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if name == "retry_timeout_ms" then
      flags[#flags + 1] = ("--retry-timeout=%dms"):format(profile[name])
    else
      flags[#flags + 1] = ("--%s=%s"):format(name:gsub("_", "-"), profile[name])
    end
  end
  return flags
end

function Wires:open(options)
  local flags = flags_of(options.profile)
  local name = table.concat(flags, " ")
  if not self.servers[name] then
    local data = ("%s/wire-%d"):format(self.place.dir, self.count or 0)
    self.count = (self.count or 0) + 1
    local process = serve.start(self.place, flags, { data = data })
    self.servers[name] = { process = process, connection = http.connect(process.address) }
  end
  local profile = {}
  for _, settings in ipairs { oracle.profile, options.profile } do
    for switch, value in pairs(settings) do profile[switch] = value end
  end
  local wire = setmetatable({ connection = self.servers[name].connection, known = {}, profile = profile }, Wire)
  assert(wire:ask("debug.start", {}) == 200)
  assert(wire:ask("debug.reset", {}) == 200)
  wire.snap = wire:snapshot()
  return wire
end

function Wires:stop()
  http.close_all()
  for _, server in pairs(self.servers) do serve.stop(server.process) end
end

return M
