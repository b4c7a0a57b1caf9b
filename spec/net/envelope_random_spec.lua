-- envelope_random_spec.lua - random requests as JSON of any looks: what is read is what was meant, and what is answered
-- is what the oracle says, in the protocol's shape.
--
-- Envelope, engine and a store in memory are a whole server but for the network. DA_SEED repeats a run.
--
-- SPDX-License-Identifier: Apache-2.0
local gen = require("spec.support.gen")
local guard = require("spec.support.guard")
local json = require("dkjson")
local lockstep = require("spec.support.lockstep")
local oracle = require("spec.support.oracle")
local meaning = require("spec.support.wire_meaning")
local probe = require("da_probe")

local OPS = tonumber(os.getenv("DA_OPS")) or (os.getenv("DA_LONG") == "1" and 300000 or 8000)
local IN_PROCESS = { ["task.step"] = true, ["task.spawn"] = true, ["task.again"] = true, sweep = true }
local LISTS = { actions = true, tasks = true }
local MAPS = { tags = true, headers = true } -- any member of theirs is known

---------------------------------------------------------------------------------------------------- JSON of any looks

local SPACES = { "", "", "", " ", "\n", "\t", "\r\n  " }

local function space(g)
  return g:pick(SPACES)
end

local function string_text(g, text)
  if g:chance(80) then return json.encode(text) end
  local parts = {}
  for _, point in utf8.codes(text) do
    if point > 0xffff then
      local rest = point - 0x10000
      parts[#parts + 1] = ("\\u%04x\\u%04X"):format(0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff))
    elseif point < 32 or g:chance(40) then
      parts[#parts + 1] = ("\\u%04x"):format(point)
    elseif point == 34 or point == 92 or point == 47 then
      parts[#parts + 1] = "\\" .. string.char(point)
    else
      parts[#parts + 1] = utf8.char(point)
    end
  end
  return '"' .. table.concat(parts) .. '"'
end

local write

local function container(g, parts, open, close)
  return open .. space(g) .. table.concat(parts, space(g) .. "," .. space(g)) .. space(g) .. close
end

local function object_text(g, value, map)
  local names = {}
  for name in pairs(value) do names[#names + 1] = name end
  table.sort(names)
  for i = #names, 2, -1 do
    local j = g:int(i)
    names[i], names[j] = names[j], names[i]
  end
  local parts = {}
  for i, name in ipairs(names) do
    parts[i] = string_text(g, name) .. space(g) .. ":" .. space(g) .. write(g, value[name], name)
  end
  if not map and g:chance(5) then parts[#parts + 1] = '"unknown":[{"a":"]}"},null,-1.5e+3]' end
  return container(g, parts, "{", "}")
end

function write(g, value, name)
  if value == oracle.null then return "null" end
  if type(value) == "string" then return string_text(g, value) end
  if type(value) ~= "table" then return json.encode(value) end
  if value[1] == nil and not (LISTS[name] and next(value) == nil) then return object_text(g, value, MAPS[name]) end
  local parts = {}
  for i, each in ipairs(value) do parts[i] = write(g, each) end
  return container(g, parts, "[", "]")
end

---------------------------------------------------------------------------------------------------- the run

local function step(world, model, g, request, now, run)
  if request.kind == "task.search" and type(request.data) == "table" then
    request.data.tags = nil -- a task has none, so it is a member that nobody knows
  end
  local want = model:apply(request, now)
  if IN_PROCESS[request.kind] then
    repeat
      local reply = assert(world:apply(request, now))
    until request.kind ~= "sweep" or not reply.data.more
    return
  end
  run.count = run.count + 1
  request.head = { corrId = "c-" .. run.count, version = "2026-04-01" }
  run.text = write(g, request)
  local text = assert(world:serve(run.text, now))
  run.answer = text
  local answer = json.decode(text, 1, json.null)
  guard.check(request, answer)
  local got = { status = answer.head.status, data = meaning.plain(answer.data) }
  if type(request.kind) ~= "string" or type(request.data) ~= "table" or request.data[1] then
    assert(want.status == 400 and got.status == 400, "a wrong envelope")
    return
  end
  local same, where = oracle.agrees(want, got)
  assert(same, where)
  if want.status == 400 then return end
  same, where = oracle.same(meaning.of(request), meaning.plain(probe.envelope(run.text).data), "request")
  assert(same, where)
  run.read[request.kind] = (run.read[request.kind] or 0) + 1
end

describe("random requests as JSON", function()
  local seed = lockstep.seed()
  local run = { count = 0, read = {} }

  it("are read as they were meant and answered as the oracle says", function()
    local g, now = gen.new(seed), 0
    local world, model
    for op = 1, OPS do
      if not world or g:spent(model) then
        if world then world:close() end
        world, model = probe.new({ kind = "memory" }), oracle.new({ profile = {} })
      end
      local request
      request, now = g:next(model, now)
      local ok, why = pcall(step, world, model, g, request, now, run)
      assert(ok, ("seed %d, request %d: %s\n%s\n%s"):format(seed, op, why, run.text, run.answer))
    end
    world:close()
  end)

  it("were of every kind", function()
    local rare = {}
    for _, kind in ipairs { "promise.get", "promise.create", "promise.settle", "promise.register_callback",
      "promise.register_listener", "task.get", "task.create", "task.acquire", "task.release", "task.fulfill",
      "task.suspend", "task.fence", "task.heartbeat", "task.halt", "task.continue", "promise.search", "task.search" } do
      if (run.read[kind] or 0) < 15 then rare[#rare + 1] = ("%s: %d"):format(kind, run.read[kind] or 0) end
    end
    assert.same({}, rare)
    print(("seed %d: %d requests"):format(seed, run.count))
  end)
end)
