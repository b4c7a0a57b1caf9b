-- interop.lua - programs of the published TypeScript SDK, run by a Node.js that is neither the machine's nor changed.
--
-- Here:    node(), one program of spec/interop as a process, with the lines it says; versions(), of what is run.
-- May:     have spec/interop/install fetch both, once (build/interop keeps them). Where that fails, what needs them fails.
-- Rule:    a spec waits for a line, never for a time (program.lua).
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local program = require("spec.support.program")

local M = {}

local home = uv.cwd() .. "/build/interop"
local versions

-- "node v22.1.0, @resonatehq/sdk 0.11.5"
function M.versions()
  if versions then return versions end
  local pipe = assert(io.popen("LD_PRELOAD= sh spec/interop/install 2>&1"))
  local said = pipe:read("a")
  if not pipe:close() then error(said, 0) end
  local node, sdk = said:match("(node v[%d.]+)\n(@resonatehq/sdk [%d.]+)\n$")
  assert(node, said)
  versions = node .. ", " .. sdk
  return versions
end

local Node = {}
Node.__index = function(self, key) return Node[key] or self.process[key] end

-- Starts spec/interop/<name>.mjs. options: env; place, whose ledger it writes; input, the text of its stdin.
function M.node(name, args, options)
  options = options or {}
  M.versions()
  -- What a sanitizer wants of the program under test is not for Node.js.
  local env = { LD_PRELOAD = "", RESONATE_URL = "", LEDGER = options.place and options.place.dir .. "/ledger" }
  for key, value in pairs(options.env or {}) do env[key] = value end
  local words = { "--preserve-symlinks", "--preserve-symlinks-main", home .. "/programs/" .. name .. ".mjs" }
  table.move(args, 1, #args, #words + 1, words)
  local process = program.spawn(words, { command = home .. "/node", env = env, input = options.input })
  return setmetatable({ process = process, read = 1 }, Node)
end

-- The next line it says, decoded; nil at its end. With key: the next one that has it, the others are passed over.
function Node:said(key)
  while true do
    local from, to
    program.turn_until(function()
      return ("a line%s of\n%s\n%s"):format(key and " with " .. key or "", self.process.out, self.process.err)
    end, function()
      from, to = self.process.out:find("\n", self.read, true)
      return from or self.process.ended
    end)
    if not from then
      if key then error(("ended without %s\n%s\n%s"):format(key, self.process.out, self.process.err), 0) end
      return nil
    end
    local line = self.process.out:sub(self.read, from - 1)
    self.read = to + 1
    local value = assert(json.decode(line, 1, json.null))
    if not key or value[key] ~= nil then return value end
  end
end

function Node:kill()
  self.process:signal_with("sigkill"):wait()
end

-- Starts job.mjs and waits until it serves. options: place, ttl, prefix.
function M.worker(address, group, pid, options)
  local ttl = tostring(options.ttl or 60000)
  local worker = M.node("job", { "http://" .. address, group, pid, ttl, options.prefix }, options)
  worker:said("serving")
  return worker
end

-- What a client started with call.mjs says of each id: id -> value or {error=}; raises if one is missing.
function M.results(client, count)
  local got = {}
  for _ = 1, count do
    local one = client:said("id")
    got[one.id] = one.error and { error = one.error } or one.value
  end
  client.process:wait()
  return got
end

-- What job.mjs wrote into the ledger of a place: a list of { id=, what= "begin" or "end", pid= }, in order.
function M.ledger(place)
  local lines = {}
  for id, what, pid in (place:read("ledger") or ""):gmatch("(%S+) (%S+) (%S+)\n") do
    lines[#lines + 1] = { id = id, what = what, pid = pid }
  end
  return lines
end

-- How often each step began: id -> count; with pid, in that process alone.
function M.begun(place, pid)
  local counts = {}
  for _, line in ipairs(M.ledger(place)) do
    if line.what == "begin" and (not pid or line.pid == pid) then counts[line.id] = (counts[line.id] or 0) + 1 end
  end
  return counts
end

-- Waits until the ledger of a place is as wanted: test(ledger) is true.
function M.wait_ledger(place, test)
  local timer = uv.new_timer()
  timer:start(5, 5, function() end)
  program.turn_until(function() return "the wanted ledger; it is\n" .. (place:read("ledger") or "") end, function()
    return test(M.ledger(place))
  end)
  timer:close()
end

return M
