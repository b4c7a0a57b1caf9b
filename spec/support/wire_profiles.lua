-- wire_profiles.lua - the servers of the protocol that a worker may meet, as `dahost serve` plays them.
--
-- Here:    [NAME] = {serve = its flags, worker = those of a worker of it, ids, heartbeat_mixed, http_status, dress};
--          origin(profile, id); NAMES in order.
-- Dress:   what a server writes that `dahost serve` never does: dress(kind, envelope) changes an answer in place. Members
--          of a head that only dahost knows are taken out of requests and answers of every profile but "dahost".
--
--   older    ids joined with '.', heartbeats and waits within one lineage only, a whole preload, and one on every fence
--   newer    ids joined with ':', ten promises preloaded, nothing waits for a promise inside of an execution
--   first    no rules of lineage, everything is allowed, deadlines of all promises
--   ported   nothing preloaded, no searches; nulls where others leave members out, lists where others count, and every
--            answer says 200 to HTTP
--   dahost   this program without any switch
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")

local M = {}

M.NAMES = { "older", "newer", "first", "ported", "dahost" }

M.older = {
  ids = "dot",
  heartbeat_mixed = "reject",
  serve = { "--id-dialect", "dot", "--heartbeat-mixed", "reject", "--await-cross-origin", "reject", "--arm", "target" },
  worker = { "--ids", "dot" },
}

M.newer = {
  ids = "colon",
  heartbeat_mixed = "reject",
  serve = { "--id-dialect", "colon", "--heartbeat-mixed", "reject", "--await-cross-origin", "reject", "--preload-limit", "10",
    "--suspend-dups", "reject", "--await-internal", "reject" },
  worker = {},
}

M.first = {
  ids = "colon",
  heartbeat_mixed = "allow",
  serve = { "--id-dialect", "off", "--arm", "all" },
  worker = {},
}

M.ported = {
  ids = "colon",
  heartbeat_mixed = "allow",
  http_status = 200,
  serve = { "--await-internal", "reject", "--timer-target", "reject", "--suspend-dups", "reject", "--preload-limit", "0",
    "--search", "501", "--retry-timeout", "5s" },
  worker = {},
}

M.dahost = { ids = "colon", heartbeat_mixed = "allow", serve = {}, worker = {} }

for _, name in ipairs(M.NAMES) do M[name].name = name end

function M.origin(profile, id)
  return id:match(profile.ids == "dot" and "^[^.]*" or "^[^:]*")
end

---------------------------------------------------------------------------------------------------- nulls and lists

local function dress_value(value)
  value.headers = value.headers or json.null
  value.data = value.data or json.null
end

local function dress_promise(promise)
  dress_value(promise.param)
  dress_value(promise.value)
  promise.settledAt = promise.settledAt or json.null
end

local function dress_task(task)
  local resumes = setmetatable({}, { __jsontype = "array" })
  for i = 1, task.resumes do resumes[i] = ("resumed-%d"):format(i) end
  task.resumes, task.ttl, task.pid = resumes, task.ttl or json.null, task.pid or json.null
end

function M.ported.dress(envelope)
  local data = envelope.data
  if type(data) ~= "table" then return end
  if data.promise then dress_promise(data.promise) end
  if data.task then dress_task(data.task) end
  for _, promise in ipairs(data.preload or {}) do dress_promise(promise) end
  if data.action then M.ported.dress(data.action) end
end

return M
