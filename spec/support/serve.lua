-- serve.lua - `dahost serve` for specs that speak to it over HTTP.
--
-- Here:    start(place, words, options): a server that listens, with its .address; stop() it, in order.
--
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")

local M = {}

-- options: env; the rest as program.spawn() takes it.
function M.start(place, words, options)
  local whole = { data = place.data, cwd = place.dir }
  for name, value in pairs(options or {}) do whole[name] = value end
  local process = program.spawn({ "serve", table.unpack(words or {}) }, whole)
  process:wait_for("serving " .. whole.data)
  process.address = process.err:match("listening on https?://([^,\n]+)")
  process.metrics = process.err:match("http://([^,\n]+)/metrics")
  return process
end

-- Ends it as a service manager would, and demands that it ended well.
function M.stop(process)
  process:signal_with("sigterm"):wait()
  assert(process.code == 0, process.err)
  assert(process.err:find("stopped; what is not finished goes on with the next dahost serve\n$"), process.err)
end

-- The samples of the metrics: `name{labels}` -> number; and the text.
function M.read_metrics(process)
  local http = require("spec.support.http")
  local answer = http.ask(process.metrics, { path = "/metrics" })
  assert(answer.status == 200, answer.body)
  local samples = {}
  for name, value in answer.body:gmatch("(%S+) (%S+)\n") do samples[name] = tonumber(value) end
  return samples, answer
end

return M
