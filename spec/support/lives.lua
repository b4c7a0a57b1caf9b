-- lives.lua - one script, lived through in every way: straight, cold, from images, killed at each durable write.
--
-- Here:    live(spec, kills): the lives of one execution in one store, each but the last ended by its entry of `kills`
--          ("commit.before:3"); everywhere(spec): all ways, each of which must end with the same output.
-- spec:    script (a path), func, args (list of strings), env, out (what stdout must be), points (kill points),
--          every (kill at each nth passing only)
--
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local modes = require("spec.support.modes")

local M = {}

local PASSES_MAX = 1000

local function one_life(spec, place, kill, mode)
  local args = { "run", spec.script, spec.func or "main" }
  table.move(spec.args or {}, 1, #(spec.args or {}), #args + 1, args)
  for _, arg in ipairs { "--id", "x", "--data", place.data, "--quiet" } do args[#args + 1] = arg end
  local env = modes.set({ DAHOST_KILL = kill }, mode)
  for name, value in pairs(spec.env or {}) do env[name] = value end
  return harness.dahost(args, { env = env })
end

-- Returns the last life's process and how many were killed.
function M.live(spec, kills, mode)
  local place = harness.place()
  local killed, process = 0, nil
  for _, kill in ipairs(kills) do
    process = one_life(spec, place, kill, mode)
    if process.signal ~= 9 then break end
    killed = killed + 1
  end
  if not process or process.signal == 9 then process = one_life(spec, place, nil, mode) end
  local way = (mode or "warm") .. ", killed at " .. (#kills > 0 and table.concat(kills, ", ") or "no point")
  if process.signal ~= 0 or (spec.out and process.out ~= spec.out) then
    error(("%s, %s: stdout %q, code %s, signal %s\n%s\nkept: %s"):format(spec.script, way, process.out,
      process.code, process.signal, process.err, place.dir), 0)
  end
  harness.remove(place)
  return process, killed
end

function M.everywhere(spec)
  local killed = 0
  for _, mode in ipairs { "plain", "cold", "image" } do
    M.live(spec, {}, mode)
    for _, point in ipairs(spec.points or { "commit.before", "answer.before" }) do
      for n = 1, PASSES_MAX, spec.every or 1 do
        local _, died = M.live(spec, { point .. ":" .. n }, mode)
        if died == 0 then break end
        killed = killed + 1
      end
    end
  end
  assert(killed > 0, "no life was killed")
  return killed
end

return M
