-- worker_profile_spec.lua - a worker comes to the same results on servers of every make, evicted and killed as well.
-- SPDX-License-Identifier: Apache-2.0
local cases = require("spec.support.wire_cases")
local gen = require("spec.support.gen")
local http = require("spec.support.http")
local json = require("dkjson")
local profiles = require("spec.support.wire_profiles")
local program = require("spec.support.program")
local relay = require("spec.support.wire_relay")
local serve = require("spec.support.serve")
local tape = require("spec.support.wire_tape")
local uv = require("luv")

local PROGRAMS = uv.cwd() .. "/spec/net/wire/programs.lua"
local LEASE = { "--lease", "2s" }
local KILLS = 3

local seed = math.tointeger(tonumber(os.getenv("DA_SEED"))) or os.time()
print("worker_profile_spec: seed " .. seed)

local Site = {}
Site.__index = Site

-- A server of that make, and how it is reached: by its own address, or by a relay that makes it look the part.
local function open(profile)
  local self = setmetatable({ profile = profile, place = program.place(true) }, Site)
  self.server = serve.start(self.place, profile.serve)
  self.url = "http://" .. self.server.address
  if profile.name ~= "dahost" then
    self.way = relay.start(self.server.address, profile)
    self.url = self.way.url
  end
  self.connection = http.connect(self.server.address)
  function self.ask(kind, data) return self.connection:call(kind, data) end
  return self
end

function Site:worker(words)
  local all = { "worker", PROGRAMS, "--server", self.url }
  for _, list in ipairs { self.profile.worker, LEASE, words or {} } do
    for _, word in ipairs(list) do all[#all + 1] = word end
  end
  return program.spawn(all, { data = self.place.data, cwd = self.place.dir })
end

function Site:close()
  if self.way then self.way:stop() end
  self.place:remove()
end

local function every(ms, turn)
  local timer = uv.new_timer()
  timer:start(ms, ms, function() end)
  local ended, fault = pcall(program.turn_until, turn.what, turn.done)
  timer:close()
  if not ended then error(fault, 0) end
end

-- Runs all cases at a time; `meanwhile` is called again and again until they have ended.
local function run_all(site, meanwhile)
  local list = {}
  for _, case in ipairs(cases.list(site.profile)) do
    list[#list + 1] = case
  end
  for _, case in ipairs(list) do cases.start(site.ask, case) end
  local function open_cases()
    local names = {}
    for _, case in ipairs(list) do
      if not case.promise then names[#names + 1] = case.name end
    end
    return names
  end
  every(50, {
    what = function() return table.concat(open_cases(), ", ") .. "\n" .. (site.words and site.words() or "") end,
    done = function()
      for _, case in ipairs(list) do
        if not case.promise then
          cases.act(site.ask, case)
          case.promise = cases.result(site.ask, case)
        end
      end
      if meanwhile then meanwhile() end
      return #open_cases() == 0
    end,
  })
  local wanted, came = {}, {}
  for _, case in ipairs(list) do wanted[case.name], came[case.name] = cases.outcome(case, case.promise) end
  assert.same(wanted, came)
end

for _, name in ipairs(profiles.NAMES) do
  local profile = profiles[name]
  describe(("a worker of a server like %s"):format(name), function()
    local site
    before_each(function() site = open(profile) end)
    after_each(function() site:close() end)

    for _, warm in ipairs { { "kept in memory" }, { "evicted at every await", "--warm", "0" } } do
      local words = { table.unpack(warm, 2) }

      it("comes to the same results, " .. warm[1], function()
        local worker = site:worker(words)
        site.words = function() return worker.err end
        run_all(site)
        worker:signal_with("sigterm"):wait()
        assert.equal(0, worker.code, worker.err)
      end)

      it("comes to the same results though it is killed, " .. warm[1], function()
        local random = gen.new(seed)
        local worker = site:worker(words)
        site.words = function() return worker.err end
        local killed, due = 0, uv.now() + 50 + random:int(850)
        run_all(site, function()
          if killed == KILLS or uv.now() < due then return end
          killed, due = killed + 1, uv.now() + 300 + random:int(2700)
          worker:signal_with("sigkill"):wait()
          worker = site:worker(words)
        end)
        worker:signal_with("sigterm"):wait()
        assert.equal(0, worker.code, worker.err)
      end)
    end

    it("keeps the leases of several lineages while their steps run", function()
      local worker = site:worker { "--step-threads", "8" }
      site.words = function() return worker.err end
      local list = {}
      for i = 1, 4 do
        list[i] = { name = "dawdles", func = "dawdles", id = "dawdle-" .. i, args = { 5 }, acts = {} }
        cases.start(site.ask, list[i])
      end
      every(100, {
        what = function() return worker.err end,
        done = function()
          for _, case in ipairs(list) do
            if not cases.result(site.ask, case) then return false end
          end
          return true
        end,
      })
      for _, case in ipairs(list) do
        local _, data = site.ask("task.get", { id = case.id })
        assert.equal("1", tape.encode(data.task.version))
        assert.equal("1", json.encode(select(2, cases.outcome({ state = "resolved" }, cases.result(site.ask, case))):match("%d+") + 0))
      end
      worker:signal_with("sigterm"):wait()
    end)
  end)
end

describe("a worker whose ids are of another dialect than its server takes", function()
  for _, name in ipairs { "older", "newer" } do
    local profile = profiles[name]
    local other = profile.ids == "dot" and "colon" or "dot"

    it(("says which flag it wants, and leaves the execution to others: %s of a server like %s"):format(other, name), function()
      local site = open(setmetatable({ worker = { "--ids", other } }, { __index = profile }))
      local wrong = site:worker()
      local case = { name = "children", func = "children", id = "misspelt", args = { 1 }, acts = {}, state = "resolved",
        value = { first = 20, second = 210, id = "child.1" } }
      cases.start(site.ask, case)
      wrong:wait_for("--ids " .. profile.ids)
      assert.is_nil(cases.result(site.ask, case))
      wrong:signal_with("sigterm"):wait()
      assert.equal(0, wrong.code, wrong.err)
      assert.equal(1, select(2, wrong.err:gsub("ids%.refused", "")), wrong.err)
      site.profile = profile
      local right = site:worker { "--ids", profile.ids }
      every(50, { what = function() return right.err end, done = function() return cases.result(site.ask, case) end })
      local wanted, came = cases.outcome(case, cases.result(site.ask, case))
      assert.equal(wanted, came)
      right:signal_with("sigterm"):wait()
      site:close()
    end)
  end
end)
