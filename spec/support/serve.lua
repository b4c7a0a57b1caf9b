-- serve.lua - `dahost serve` for specs that speak to it over HTTP.
--
-- Here:    start(place, words, options): a server that listens, with its .address; stop() it, in order; notified(path), who hears
--          what it tells a service manager.
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

-- A service manager's end of NOTIFY_SOCKET: a process that says each message, and ends behind STOPPING.
function M.notified(path)
  return program.spawn({ "-MSocket", "-e", [[
    $| = 1;
    socket(S, AF_UNIX, SOCK_DGRAM, 0) && bind(S, sockaddr_un($ARGV[0])) or die $!;
    print "bound\n";
    while (defined recv(S, $m, 4096, 0)) { print "$m\n"; exit if $m =~ /STOPPING/ }]], path }, { command = "perl" })
    :wait_for("bound", "out")
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
