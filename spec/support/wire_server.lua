-- wire_server.lua - a server that only knows what a recording says: it answers a worker as another server once did, and
-- finds out whether the worker still asks the same.
--
-- Here:    start(options); play(case) hands it what is to come; wait() until all of it has come. What should not have come
--          is told by an error: what was awaited in its place, and how the two differ.
-- Order:   requests about one task come in the recorded order; those about different tasks, and about promises, in any:
--          nothing on the wire orders them. A message is told when all that was recorded before it was answered and the
--          worker is quiet, so it is never ahead of the server it was recorded with.
-- Repeats: a heartbeat is answered by rule and not awaited. What is recorded as a `look` may come any number of times,
--          also never, and so may what registers a listener once more.
-- Options: profile (wire_profiles.lua), for what it says of heartbeats and of HTTP.
--
-- SPDX-License-Identifier: Apache-2.0
local fake = require("spec.support.http_fake")
local program = require("spec.support.program")
local profiles = require("spec.support.wire_profiles")
local tape = require("spec.support.wire_tape")
local uv = require("luv")

local M = {}

local Server = {}
Server.__index = Server

local QUIET_MS = 150 -- what an execution rests before it is suspended, and as much again as machines are slow
local TURN_MS = 10

local STREAM_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
  .. "transfer-encoding: chunked\r\n\r\n"

local function now_ms()
  local seconds, us = uv.gettimeofday()
  return seconds * 1000 + us // 1000
end

---------------------------------------------------------------------------------------------------- what was recorded

local function subject(request)
  return request.kind:find("^task%.") and request.data.id or nil
end

-- The recorded requests that may come now: of each task the first that did not come yet.
local function awaited(self)
  local list, seen = {}, {}
  for _, entry in ipairs(self.entries) do
    if entry.ask and not entry.done then
      local id = subject(entry.ask)
      if not id or not seen[id] then list[#list + 1] = entry end
      if id then seen[id] = true end
    end
  end
  return list
end

local function differences(self, entry, request)
  return tape.differences(entry.ask or entry.look, request, { recorded = self.case.began, came = self.began })
end

local function matching(self, list, request)
  for _, entry in ipairs(list) do
    if #differences(self, entry, request) == 0 then return entry end
  end
end

-- What the server would say of a thing that is looked at again and again: the newest look whose time has come.
local function looked_at(self, request)
  local found
  for _, entry in ipairs(self.entries) do
    if entry.ask and not entry.done then break end
    if entry.look and #differences(self, entry, request) == 0 then found = entry end
  end
  return found
end

local REPEATED = { ["promise.register_listener"] = true }

local function asked_before(self, request)
  for _, entry in ipairs(REPEATED[request.kind] and self.entries or {}) do
    if entry.ask and entry.done and #differences(self, entry, request) == 0 then return entry end
  end
end

-- The entry that answers the request, or nil.
local function answering(self, request)
  local entry = matching(self, awaited(self), request)
  if entry then entry.done = true end
  return entry or looked_at(self, request) or asked_before(self, request)
end

---------------------------------------------------------------------------------------------------- words

-- The awaited request that looks most like the one that came.
local function nearest(self, request)
  local best, fewest
  for _, entry in ipairs(awaited(self)) do
    local lines = differences(self, entry, request)
    local weight = #lines + (entry.ask.kind == request.kind and 0 or 100)
      + (subject(entry.ask) == subject(request) and 0 or 50)
    if not fewest or weight < fewest then best, fewest = entry, weight end
  end
  return best
end

local function complain(self, request)
  local best = nearest(self, request)
  local words = { ("%s: nothing recorded is like what came:"):format(self.case and self.case.name or "no case"),
    "  " .. tape.encode(request) }
  if best then
    words[#words + 1] = "awaited was:"
    words[#words + 1] = "  " .. tape.encode(best.ask)
    words[#words + 1] = "which differs in:"
    for _, line in ipairs(differences(self, best, request)) do words[#words + 1] = "  " .. line end
  else
    words[#words + 1] = "nothing more was awaited"
  end
  self.fault = self.fault or table.concat(words, "\n")
end

---------------------------------------------------------------------------------------------------- answering

-- As the worker is to read it: its own process id, instants as if the case were recorded now.
local function present(self, value, corr_id)
  local text = tape.encode(tape.shift(value, self.began - self.case.began))
  text = tape.put(text, tape.PID, self.pid)
  return corr_id and tape.put(text, tape.CORR_ID, corr_id) or text
end

local function heartbeat(self, request)
  self.heartbeats[#self.heartbeats + 1] = request.data
  local origins, count = {}, 0
  for _, task in ipairs(request.data.tasks) do
    local origin = profiles.origin(self.options.profile, task.id)
    if not origins[origin] then count = count + 1 end
    origins[origin] = true
  end
  if count > 1 and self.options.profile.heartbeat_mixed == "reject" then
    return 400, '"All tasks must belong to the same origin"'
  end
  return 200, "{}"
end

local function answer(self, envelope)
  local request = tape.request_of(tape.decode(tape.put(tape.encode(envelope), self.pid or tape.PID, tape.PID)))
  if request.kind == "task.heartbeat" then return heartbeat(self, request) end
  local entry = self.case and answering(self, request)
  if not entry then
    complain(self, request)
    return 500, '"the recording ends here"'
  end
  return entry.answer.status, present(self, entry.answer.data, envelope.head.corrId)
end

-- The next message, if its time has come: one at a time, and not before the worker has been quiet for a moment, as it
-- was recorded, so that it has done all that the one before made it do.
local function tell(self)
  if self.heard and uv.now() < self.heard + QUIET_MS then return end
  for _, entry in ipairs(self.entries) do
    if entry.ask and not entry.done then return end
    if entry.message and not entry.done then
      local stream = self.streams[entry.group]
      if not stream then return end
      entry.done, self.heard = true, uv.now()
      local text = ("data: %s\n\n"):format(present(self, entry.message))
      stream:write(("%x\r\n%s\r\n"):format(#text, text))
      return
    end
  end
end

local function serve(self, request, connection)
  local group, pid = request.path:match("^/poll/([^/]+)/([^/]+)$")
  if group then
    self.pid = self.pid or pid
    if self.pid ~= pid then self.fault = "streams of two processes: " .. self.pid .. ", " .. pid end
    self.streams[group] = connection
    connection:write(STREAM_HEAD)
  elseif request.method ~= "POST" then
    return fake.page(404, "text/plain", "")
  else
    local envelope = tape.decode(request.body)
    local good, status, data = pcall(answer, self, envelope)
    if not good then
      self.fault = self.fault or status
      status, data = 500, '"what came is no request"'
    end
    connection:write(fake.envelope(request, status, data, self.options.profile.http_status))
  end
  self.heard = uv.now()
end

---------------------------------------------------------------------------------------------------- for specs

---@param options table
function M.start(options)
  local self = setmetatable({ options = options, streams = {}, entries = {}, heartbeats = {} }, Server)
  self.http = fake.start(function(request, connection) return serve(self, request, connection) end)
  self.url = self.http.url
  self.clock = uv.new_timer()
  self.clock:start(TURN_MS, TURN_MS, function() tell(self) end)
  return self
end

-- Waits until the worker is there.
function Server:wait_worker(groups)
  program.turn_until(function() return "an event stream of the worker" end, function()
    for _, group in ipairs(groups or { "default" }) do
      if not self.streams[group] then return false end
    end
    return true
  end)
end

--- What is to come now.
---@param case table
function Server:play(case)
  self.case, self.entries, self.began = case, case.entries, now_ms()
  for _, entry in ipairs(self.entries) do entry.done = false end
end

--- Until all has come; raises what came instead. process: the worker, whose words belong to the error.
---@param process table
function Server:wait(process)
  local words = process and process.err or ""
  program.turn_until(function()
    local missing = {}
    for _, entry in ipairs(awaited(self)) do missing[#missing + 1] = tape.encode(entry.ask) end
    return ("%s: not everything came; awaited:\n%s\n%s"):format(self.case.name, table.concat(missing, "\n"),
      process and process.err:sub(#words + 1) or "")
  end, function()
    if self.fault then error(self.fault .. "\n" .. (process and process.err:sub(#words + 1) or ""), 0) end
    if process and process.ended then error("the worker ended:\n" .. process.err, 0) end
    for _, entry in ipairs(self.entries) do
      if not entry.done and not entry.look and not entry.outside then return false end
    end
    return true
  end)
end

function Server:stop()
  self.clock:close()
  self.http:stop()
end

return M
