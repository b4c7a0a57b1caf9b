-- far_trial.lua - random programs (random_program.lua) run by workers of a server elsewhere, which die while they do.
--
-- Same:    what random_trial.lua's straight run in one process comes to: outcome, printed lines, records by id, state
--          and value. What only one of the two has - channels, semaphores, limiters, published values - is left out of
--          the programs.
-- Ways:    straight; evicted at every await; workers killed, stopped past their lease, or told to end, at random, two
--          of them side by side.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local probe = require("da_probe")
local http = require("spec.support.http")
local program = require("spec.support.program")
local random_program = require("spec.support.random_program")
local random_trial = require("spec.support.random_trial")
local records = require("spec.support.records")
local serve = require("spec.support.serve")

local M = {}

local NEVER = 9007199254740991
local PATIENCE_S = 60

-- What a server of the protocol has no place for.
local ELSEWHERE = { "semaphore", "inbox", "limiter", "channel", "publish", "holds" }

function M.programs(seed, count)
  local list = {}
  for i = 1, math.huge do
    local one = random_program.make(seed * 1000 + i)
    local text = random_program.text(one)
    local fits = true
    for _, word in ipairs(ELSEWHERE) do fits = fits and not text:find(word, 1, true) end
    if fits then list[#list + 1] = one end
    if #list == count then return list end
  end
end

---------------------------------------------------------------------------------------------------- workers

local Far = {}
Far.__index = Far

local function create(connection, id, func)
  local param = json.encode({ func = func, args = { id }, version = 1 })
  local status, answer = connection:call("promise.create", { id = id, timeoutAt = NEVER, param = { data = probe.base64(param) }, tags = {
    ["resonate:target"] = "poll://any@far", ["resonate:origin"] = id, ["resonate:branch"] = id, ["resonate:parent"] = id,
    ["resonate:scope"] = "global" } })
  assert(status == 200, answer)
end

function Far:start(slot)
  local words = { "worker", self.script, "--group", "far", "--server", "http://" .. self.server.address, "--lease", "1s",
    "--pid", ("w%d-%d"):format(slot, #self.lives) }
  local process = program.spawn(words, { cwd = self.place.dir,
    env = { LEDGER = self.place.dir .. "/ledger", DAHOST_WARM = self.cold and "0" or nil } })
  self.workers[slot] = process
  self.lives[#self.lives + 1] = process
end

local function turn(ms)
  local over = false
  local timer = uv.new_timer()
  timer:start(ms, 0, function() over = true end)
  program.turn_until(function() return "some time" end, function() return over end)
  timer:close()
end

-- One of them dies, or is as good as dead for a while; another takes its place.
function Far:disturb(chance)
  local slot = chance:int(1, 2)
  local process = self.workers[slot]
  local way = chance:int(1, 10)
  self.deaths = self.deaths + 1
  if way <= 6 then
    process:signal_with("sigkill"):wait()
    self:start(slot)
  elseif way <= 8 then
    process:signal_with("sigstop")
    turn(1500)
    process:signal_with("sigcont")
  else
    process:signal_with("sigterm")
    self:start(slot)
  end
end

function Far:unsettled()
  local left = {}
  for _, name in ipairs(self.left) do
    local status, answer = self.connection:call("promise.get", { id = name })
    assert(status == 200, answer)
    if answer.promise.state == "pending" then left[#left + 1] = name end
  end
  self.left = left
  return #left
end

-- Runs them all to their end. options: cold; disturb: how often, at most; chance
function M.run(programs, options)
  local place = program.place(true)
  local parts = { random_program.head() }
  for i, one in ipairs(programs) do parts[i + 1] = random_program.text(one) end
  local self = setmetatable({ place = place, script = place:write("s.lua", table.concat(parts, "\n")), workers = {}, lives = {},
    deaths = 0, cold = options.cold, left = {} }, Far)
  place:write("ledger", "")
  self.server = serve.start(place, { "--listen", "127.0.0.1:0", "--retry-timeout", "1s" })
  self.connection = http.connect(self.server.address)
  self:start(1)
  self:start(2)
  for i, one in ipairs(programs) do
    self.left[i] = one.name
    create(self.connection, one.name, one.name)
  end
  local began = uv.hrtime()
  while self:unsettled() > 0 do
    if (uv.hrtime() - began) / 1e9 > PATIENCE_S then
      local said = {}
      for _, life in ipairs(self.lives) do said[#said + 1] = life.err:sub(-2000) end
      error(("not ended after %d s: %s\nkept: %s\n%s"):format(PATIENCE_S, table.concat(self.left, " "), place.dir,
        table.concat(said, "\n---\n")), 0)
    end
    turn(options.chance and options.chance:int(20, 150) or 50)
    if options.disturb and self.deaths < options.disturb and #self.left > 0 then self:disturb(options.chance) end
  end
  turn(200) -- what was cancelled has a moment to end
  for slot = 1, 2 do self.workers[slot]:signal_with("sigterm"):wait() end
  serve.stop(self.server)
  assert(place:run("verify").code == 0, "the store is not whole")
  self.records = records.read(place)
  return self
end

---------------------------------------------------------------------------------------------------- comparing

local function is_mark(id) return id:find("[:.]~order%.") or id:find("[:.]~cancel$") or id:find("[:.]~parked%.") end

-- A server elsewhere keeps the records of old generations; the store of one process drops them.
local function forget_old_generations(all)
  local newest = {}
  for id in pairs(all) do
    local execution, number = id:match("^(.*)[:.]~(%d+)$")
    number = math.tointeger(tonumber(number))
    if execution and number > (newest[execution] or 1) then newest[execution] = number end
  end
  for id in pairs(all) do
    for execution, number in pairs(newest) do
      local above = execution .. (execution:find(":", 1, true) and "." or ":")
      local mark = above .. "~" .. number
      local below = id:sub(1, #above) == above and id ~= mark and id:sub(1, #mark + 1) ~= mark .. "."
      if below and id ~= above .. "~cancel" then all[id] = nil end
    end
  end
  return all
end

-- What the store of one process keeps beside a promise lies in the headers of the other.
local function plain(all, names)
  local kept = {}
  for id, record in pairs(all) do
    local root = id:match("^[^:~]+")
    if names[root] and not is_mark(id) then
      kept[id] = { id = id, state = record.state, value = record.value, func = record.func, kind = record.kind }
    end
  end
  return kept
end

function M.compare(found, straight, far, programs, way)
  local names = {}
  for _, one in ipairs(programs) do names[one.name] = true end
  local function open_order(record, field)
    if field == "func" or field == "kind" then return true end
    return record.func == "open" and field == "value"
  end
  local left, right = plain(straight.records, names), forget_old_generations(plain(far.records, names))
  for _, line in ipairs(records.differences(left, right, open_order)) do
    found[#found + 1] = way .. ": " .. line
  end
  for _, life in ipairs(far.lives) do life.lines = random_trial.lines_of(life.err) end
  local told, count = {}, { twice = 0 }
  local straight_lines = {}
  for id, lines in pairs(straight.lines) do
    if names[id:match("^[^:~]+")] then straight_lines[id] = lines end
  end
  random_trial.compare_lives(told, count, straight_lines, far.lives, way)
  for _, finding in ipairs(told) do found[#found + 1] = finding.text end
end

return M
