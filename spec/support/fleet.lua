-- fleet.lua - a server and its workers, each a process behind a link of its own, and what befalls them.
--
-- Here:    new(place, options): start(), stop(); kill(), pause(), resume(), end_in_peace() of a member; its .link to break
--          (support/relay.lua, or support/net_space.lua); call() a request that is asked until it is answered; wait(); a
--          random schedule of troubles, the same for the same seed: troubles(), befall().
-- Members: "server" and the workers by name. Who should be up and died is started anew after a while; who ends without
--          having been told to is a fault, which the next wait raises, with what everybody said.
-- Options: serve (words of `dahost serve`), kill_points (each life of the server begins with one, sometimes), workers (list
--          of {name=, group=, files=, flags=, env=}), link ("relay", "space"), lease (ms), env of all, token (which the spec shows).
-- Rule:    one fleet at a time; nothing here blocks but wait() and what waits in it.
--
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local program = require("spec.support.program")
local relay = require("spec.support.relay")
local uv = require("luv")

local M = {}

local TICK_MS = 10
local STALL_MS = 250 -- a quarter of the shortest lease
local RESTART_MS = 100
local TOLD = 40 -- lines of each member's words in a fault

-- A request may be on its way to a server that has just died.
local broken_pipe = uv.new_signal()
broken_pipe:start("sigpipe")
broken_pipe:unref()

local Fleet = {}
Fleet.__index = Fleet

-- Of the clock that servers and steps tell the time by.
function M.now_ms()
  local seconds, us = uv.gettimeofday()
  return seconds * 1000 + us // 1000
end

---------------------------------------------------------------------------------------------------- members

local function environment(fleet, member)
  local env = {}
  for name, value in pairs(fleet.options.env or {}) do env[name] = value end
  for name, value in pairs(member.env or {}) do env[name] = value end
  return env
end

local function worker_words(fleet, member)
  local words = { "worker" }
  table.move(member.files, 1, #member.files, 2, words)
  for _, word in ipairs { "--group", member.group, "--lease", fleet.options.lease .. "ms" } do words[#words + 1] = word end
  local servers = {}
  for i, link in ipairs(member.links) do servers[i] = "http://" .. link.address end
  table.move({ "--server", table.concat(servers, ",") }, 1, 2, #words + 1, words)
  table.move(member.flags or {}, 1, #(member.flags or {}), #words + 1, words)
  return words
end

local function server_words(fleet, member)
  local words = { "serve", "--listen", fleet.address }
  if fleet.space then table.move({ "--listen", fleet.door }, 1, 2, #words + 1, words) end
  table.move(fleet.options.serve or {}, 1, #(fleet.options.serve or {}), #words + 1, words)
  table.move(member.once or {}, 1, #(member.once or {}), #words + 1, words)
  return words
end

local function spawn(fleet, member)
  local env = environment(fleet, member)
  local words = member.is_server and server_words(fleet, member) or worker_words(fleet, member)
  local options = { cwd = fleet.place.dir, env = env, data = member.is_server and fleet.place.data or nil }
  env.DAHOST_KILL = member.kill_at
  member.may_die, member.kill_at = env.DAHOST_KILL ~= nil, nil
  if fleet.space then words, options.command = require("spec.support.net_space").inside(member.machine, words) end
  member.process = program.spawn(words, options)
  member.lives[#member.lives + 1] = member.process
  member.process.began = M.now_ms()
  member.due, member.paused = nil, false
  fleet:tell(member.name, "begins as " .. member.process.pid)
end

-- What happened when, for who looks for the cause of something.
function Fleet:tell(name, words)
  self.diary[#self.diary + 1] = ("%8.3f %s %s"):format((M.now_ms() - self.began) / 1000, name, words)
end

-- Since when somebody may have been unable to keep what it holds, and until when: .windows, lists of {from=, to=}.
function Fleet:apart(name)
  local windows = self:member(name).windows
  windows[#windows + 1] = { from = M.now_ms() }
end

function Fleet:together(name)
  for _, window in ipairs(self:member(name).windows) do window.to = window.to or M.now_ms() end
end

-- A machine that gave this process no time for so long may have given none to others: nobody's leases can be relied on.
local function look_at_clock(fleet)
  local now = M.now_ms()
  if now - fleet.ticked > STALL_MS then
    fleet.stalls[#fleet.stalls + 1] = { from = fleet.ticked, to = now }
    fleet:tell("machine", ("stood still for %d ms"):format(now - fleet.ticked))
  end
  fleet.ticked = now
end

local function look_after(fleet, member)
  local process = member.process
  if process and process.ended then
    member.process = nil
    process.ended_at = M.now_ms()
    fleet:tell(member.name, ("ended with code %s, signal %s"):format(process.code, process.signal))
    local told = member.told_to_end or process.signal == 9 and (member.killed or member.may_die)
    local well = process.signal == 9 or process.code == 0
    if not (told and well) then
      fleet.fault = fleet.fault or ("%s ended by itself or badly: code %s, signal %s"):format(member.name, process.code,
        process.signal)
    end
    member.killed, member.told_to_end = false, false
    if member.wanted then member.due = member.due or M.now_ms() + RESTART_MS end
  end
  if member.wanted and not member.process and member.due and member.due <= M.now_ms() then spawn(fleet, member) end
end

function Fleet:member(name)
  return assert(self.members[name], "no member: " .. tostring(name))
end

-- Is it up and able to do something?
function Fleet:is_up(name)
  local member = self:member(name)
  return member.process ~= nil and not member.process.ended and not member.paused
end

function Fleet:launch(name)
  local member = self:member(name)
  member.wanted = true
  if not member.process then spawn(self, member) end
  return member.process
end

-- SIGKILL. It is back after so many ms; nil: when it is launched.
function Fleet:kill(name, back_ms)
  local member = self:member(name)
  if not member.process or member.process.ended then return end
  self:tell(name, "is killed")
  member.killed, member.wanted = true, back_ms ~= nil
  member.due = back_ms and M.now_ms() + back_ms
  uv.kill(member.process.pid, "sigkill")
  return member.process
end

function Fleet:pause(name)
  local member = self:member(name)
  if not member.process or member.process.ended then return end
  self:tell(name, "is paused")
  member.paused = true
  self:apart(name)
  uv.kill(member.process.pid, "sigstop")
end

function Fleet:resume(name)
  local member = self:member(name)
  if not member.paused then return end
  self:tell(name, "goes on")
  member.paused = false
  self:together(name)
  if member.process and not member.process.ended then uv.kill(member.process.pid, "sigcont") end
end

-- SIGTERM. back_ms as of kill().
function Fleet:end_in_peace(name, back_ms)
  local member = self:member(name)
  if not member.process or member.process.ended then return end
  self:tell(name, "is told to end")
  member.told_to_end, member.wanted = true, back_ms ~= nil
  member.due = back_ms and M.now_ms() + back_ms
  uv.kill(member.process.pid, "sigterm")
  return member.process
end

---------------------------------------------------------------------------------------------------- all of them

local function last_lines(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do lines[#lines + 1] = line end
  return table.concat(lines, "\n    ", math.max(1, #lines - TOLD + 1))
end

-- What everybody said in their last lives, and what befell them.
function Fleet:told()
  local parts = { "what befell them:\n    " .. table.concat(self.diary, "\n    ") }
  for _, name in ipairs(self.names) do
    for i = math.max(1, #self.members[name].lives - 1), #self.members[name].lives do
      parts[#parts + 1] = ("%s, life %d:\n    %s"):format(name, i, last_lines(self.members[name].lives[i].err))
    end
  end
  return table.concat(parts, "\n")
end

function Fleet:check()
  if self.fault then error(self.fault .. "\n" .. self:told(), 0) end
end

-- Turns the loop until done(), which may itself ask. limit_s: 60.
function Fleet:wait(what, done, limit_s)
  local limit = M.now_ms() + (limit_s or 60) * 1000
  while true do
    self:check()
    local answer = done()
    if answer then return answer end
    if M.now_ms() > limit then
      error(("%s did not come within %d s\n%s"):format(type(what) == "function" and what() or what, limit_s or 60, self:told()), 0)
    end
    uv.run("once")
  end
end

function Fleet:pass_time(ms)
  local at = M.now_ms() + ms
  self:wait("the time", function() return M.now_ms() >= at end, ms / 1000 + 60)
end

-- Waits until a member, in its last life, has said the plain text on stderr.
function Fleet:hear(name, text, limit_s)
  self:wait(("%q from %s"):format(text, name), function()
    local member = self.members[name]
    local life = member.lives[#member.lives]
    return life and life.err:find(text, 1, true)
  end, limit_s)
end

-- Requests that may be asked again are asked until there are answers: a list of {kind, data} -> a list of {status, data}.
function Fleet:ask(requests)
  local answers
  self:wait("an answer of the server", function()
    if not self:is_up("server") then return false end
    local done, fault = pcall(function()
      self.connection = self.connection or http.connect(self.door)
      for _, request in ipairs(requests) do self.connection:send_call(request[1], request[2], { auth = self.options.token }) end
      local list = {}
      for i = 1, #requests do list[i] = table.pack(self.connection:receive_call()) end
      answers = list
    end)
    if done then return true end
    if self.connection then self.connection:close() end
    self.connection = nil
    -- Only of a server that has died, or of one that begins, may an answer be missing.
    if not (fault:find("cannot connect", 1, true) or fault:find("closed within an answer", 1, true)) then error(fault, 0) end
    return false
  end)
  return answers
end

-- Status and data of one.
function Fleet:call(kind, data)
  local answer = self:ask({ { kind, data or {} } })[1]
  return answer[1], answer[2]
end

function Fleet:demand(kind, data)
  local status, answer = self:call(kind, data)
  if status ~= 200 then error(("%s: %s %s"):format(kind, status, tostring(answer)), 2) end
  return answer
end

-- All records of a search.
function Fleet:search(kind, member)
  local list, cursor = {}, nil
  repeat
    local answer = self:demand(kind, { limit = 200, cursor = cursor })
    table.move(answer[member], 1, #answer[member], #list + 1, list)
    cursor = answer.cursor
  until not cursor
  return list
end

-- The server, until it answers.
function Fleet:serve(...)
  local member = self:member("server")
  member.once = { ... }
  self:launch("server")
  self:demand("task.search", { limit = 1 })
  return member.process
end

function Fleet:start()
  self:serve()
  for _, name in ipairs(self.names) do
    if name ~= "server" then self:launch(name) end
  end
  return self
end

-- Ends a member well, however long it takes.
function Fleet:stop_member(name)
  local member = self:member(name)
  self:resume(name)
  member.wanted = false
  if not member.process then return end
  local process = self:end_in_peace(name)
  self:wait("the end of " .. name, function() return process == nil or process.ended and member.process == nil end)
end

-- Workers first, each in peace; then the server, unless it is to stay.
function Fleet:stop(keep_server)
  for _, name in ipairs(self.names) do
    if name ~= "server" then self:stop_member(name) end
  end
  if keep_server then return end
  self:stop_member("server")
  if self.connection then self.connection:close() end
  self.connection = nil
end

function Fleet:close()
  if self.closed then return end
  self.closed = true
  self.timer:close()
  if self.connection then self.connection:close() end
  for _, timer in ipairs(self.timers) do if not timer:is_closing() then timer:close() end end
  for _, name in ipairs(self.names) do
    local member = self.members[name]
    for _, link in ipairs(member.links or {}) do link:stop() end
    if member.process and not member.process.ended then uv.kill(member.process.pid, "sigkill") end
  end
end

local function add(fleet, member)
  member.lives, member.windows = {}, {}
  fleet.members[member.name] = member
  fleet.names[#fleet.names + 1] = member.name
end

local current

program.at_removal(function()
  if current then current:close() end
  current = nil
end)

local function connect(fleet, member, options)
  member.links = {}
  for i = 1, member.addresses or 1 do
    member.links[i] = options.link == "space" and fleet.space:machine(member.name) or relay.start(fleet.address)
  end
  member.link = member.links[1]
  if fleet.space then member.machine = member.link end
end

function M.new(place, options)
  local self = setmetatable({ place = place, options = options, members = {}, names = {}, diary = {}, timers = {},
    stalls = {}, began = M.now_ms(), ticked = M.now_ms(), lease_ms = options.lease }, Fleet)
  current = self
  if options.link == "space" then
    self.space = require("spec.support.net_space").new()
    self.address, self.door = self.space.address, "unix:" .. place.dir .. "/door"
  else
    self.address = "127.0.0.1:" .. relay.port()
    self.door = self.address
  end
  add(self, { name = "server", is_server = true, machine = self.space and self.space.hub })
  for _, worker in ipairs(options.workers) do
    local member = {}
    for key, value in pairs(worker) do member[key] = value end
    add(self, member)
    connect(self, member, options)
  end
  self.timer = uv.new_timer()
  self.timer:start(TICK_MS, TICK_MS, function()
    look_at_clock(self)
    for _, name in ipairs(self.names) do
      local done, fault = pcall(look_after, self, self.members[name])
      if not done then self.fault = self.fault or fault end
    end
  end)
  return self
end

---------------------------------------------------------------------------------------------------- troubles

local KILL_POINTS = { "commit.before", "commit.after", "answer.before", "outbox.before", "outbox.after" }

-- What may befall somebody, how often (weights), and for how long (ms): short is within a lease, long is beyond it.
local KINDS = {
  { name = "kill", weight = 5, of = "worker" },
  { name = "pause", weight = 3, of = "worker", long = true },
  { name = "end", weight = 1, of = "worker" },
  { name = "cut", weight = 3, of = "link" },
  { name = "cut", weight = 1, of = "link", long = true },
  { name = "freeze", weight = 1, of = "link", long = true },
  { name = "half up", weight = 1, of = "link" },
  { name = "half up", weight = 1, of = "link", long = true },
  { name = "half down", weight = 1, of = "link" },
  { name = "delay", weight = 2, of = "link" },
  { name = "snip up", weight = 3, of = "link" },
  { name = "snip down", weight = 3, of = "link" },
  { name = "kill server", weight = 3, of = "server" },
  { name = "kill point", weight = 3, of = "server" },
  { name = "pause server", weight = 1, of = "server" },
  { name = "kill both", weight = 2, of = "both" },
}

-- A generator of its own, so that nothing else that draws numbers changes what befalls whom (xorshift).
function M.random(seed)
  local state = (seed * 2654435761 + 88172645463325252) & 0x7fffffffffffffff | 1
  return function(low, high)
    state = state ~ (state << 13)
    state = state ~ (state >> 7)
    state = state ~ (state << 17)
    return low + (state & 0x7fffffff) % (high - low + 1)
  end
end

-- A schedule of so many seconds: a list of {at=, name=, who=, ms=, n=, point=}, one about every `every` ms.
function Fleet:troubles(random, seconds, every)
  local workers, kinds, total = {}, {}, 0
  for _, name in ipairs(self.names) do if name ~= "server" then workers[#workers + 1] = name end end
  for _, kind in ipairs(KINDS) do
    if kind.of == "server" or #workers > 0 then kinds[#kinds + 1], total = kind, total + kind.weight end
  end
  local list, at = {}, random(every // 2, every)
  while at < seconds * 1000 do
    local left, chosen = random(1, total), nil
    for _, kind in ipairs(kinds) do
      left = left - kind.weight
      chosen = chosen or left <= 0 and kind or nil
    end
    local lease = self.lease_ms
    list[#list + 1] = { at = at, name = chosen.name, who = workers[1] and workers[random(1, #workers)] or "server",
      ms = chosen.long and random(lease + lease // 4, 2 * lease) or random(20, lease // 2),
      n = random(1, 3000), point = KILL_POINTS[random(1, #KILL_POINTS)] }
    at = at + random(every // 2, every + every // 2)
  end
  return list
end

function M.describe(list)
  local lines = {}
  for i, each in ipairs(list) do
    lines[i] = ("%7.3f %s, %s, %d ms, n %d, %s"):format(each.at / 1000, each.name, each.who, each.ms, each.n, each.point)
  end
  return table.concat(lines, "\n")
end

local function later(fleet, ms, fn)
  local timer = uv.new_timer()
  fleet.timers[#fleet.timers + 1] = timer
  timer:start(ms, 0, function()
    timer:close()
    local done, fault = pcall(fn)
    if not done then fleet.fault = fleet.fault or fault end
  end)
end

-- One trouble of a link at a time, and healed by what began it.
local function break_link(fleet, each, link, verb, ...)
  if link.troubled then return end
  link.troubled = true
  fleet:tell(each.who, "its link: " .. each.name)
  fleet:apart(each.who)
  link[verb](link, ...)
  later(fleet, each.ms, function()
    fleet:tell(each.who, "its link is healed")
    link.troubled = false
    link:heal()
    fleet:together(each.who)
  end)
end

local ACTS = {}

function ACTS.kill(fleet, each) fleet:kill(each.who, each.ms) end

function ACTS.pause(fleet, each)
  fleet:pause(each.who)
  later(fleet, each.ms, function() fleet:resume(each.who) end)
end

ACTS["end"] = function(fleet, each)
  if fleet:is_up(each.who) then fleet:end_in_peace(each.who, each.ms) end
end
function ACTS.cut(fleet, each, link) break_link(fleet, each, link, "cut") end
function ACTS.freeze(fleet, each, link) break_link(fleet, each, link, "freeze") end
ACTS["half up"] = function(fleet, each, link) break_link(fleet, each, link, "half", "up") end
ACTS["half down"] = function(fleet, each, link) break_link(fleet, each, link, "half", "down") end
function ACTS.delay(fleet, each, link) break_link(fleet, each, link, "delay", 1 + each.n % 80) end
ACTS["snip up"] = function(fleet, each, link) break_link(fleet, each, link, "snip", "up", each.n) end
ACTS["snip down"] = function(fleet, each, link) break_link(fleet, each, link, "snip", "down", each.n) end
ACTS["kill server"] = function(fleet, each) fleet:kill("server", each.ms) end

-- Dies now, and once more at a write of the life after.
ACTS["kill point"] = function(fleet, each)
  fleet:member("server").kill_at = each.point .. ":" .. (3 + each.n % 60)
  fleet:kill("server", each.ms)
end
ACTS["pause server"] = function(fleet, each)
  fleet:pause("server")
  later(fleet, each.ms, function() fleet:resume("server") end)
end
ACTS["kill both"] = function(fleet, each)
  fleet:kill("server", each.ms)
  fleet:kill(each.who, each.n % fleet.lease_ms)
end

-- Has the schedule begin. The members that are paused, and links that are broken, are well again when it is over.
function Fleet:befall(list)
  self.befallen = self.befallen or {}
  for _, each in ipairs(list) do
    later(self, each.at, function()
      local link = self.members[each.who].link
      local act = ACTS[each.name]
      self.befallen[each.name] = (self.befallen[each.name] or 0) + 1
      act(self, each, link)
    end)
  end
end

return M
