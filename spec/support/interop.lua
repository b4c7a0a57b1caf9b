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

-- The lines that programs wrote into the ledger of a place, in order.
function M.ledger(place)
  local lines = {}
  for line in (place:read("ledger") or ""):gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  return lines
end

return M
