-- report.lua - busted's output handler: silent about what passes, whole about what fails, a count at the end.
--
-- A spec file may print (seeds, counts); that stays visible. The last line, `busted: N passed, N failed, N pending`,
-- is what runner.lua adds up. An error outside of a test (a file that does not load, a hook) counts as a failure.
--
-- SPDX-License-Identifier: Apache-2.0
local pretty = require("pl.pretty")
local uv = require("luv")

local function indent(text)
  return "    " .. text:gsub("\n+$", ""):gsub("\n", "\n    ")
end

local function show(kind, entry)
  local message = entry.message
  if message == nil then
    message = "(no message)"
  elseif type(message) ~= "string" then
    message = pretty.write(message)
  end
  local where = entry.element and entry.element.trace
  local at = where and where.short_src and (" (" .. where.short_src .. ":" .. where.currentline .. ")") or ""
  io.write(kind, ": ", entry.name or "?", at, "\n", indent(message), "\n")
  local trace = entry.trace and entry.trace.traceback
  if kind == "error" and trace then io.write(indent(trace), "\n") end
  if entry.randomseed then io.write("    busted's seed: ", entry.randomseed, "\n") end
end

return function()
  local busted = require("busted")
  local handler = require("busted.outputHandlers.base")()

  local function flush(...)
    io.flush()
    return ...
  end

  function handler.testEnd(_, _, status)
    if status == "failure" then
      show("failed", handler.failures[#handler.failures])
    elseif status == "error" then
      show("error", handler.errors[#handler.errors])
    elseif status == "pending" then
      local entry = handler.pendings[#handler.pendings]
      io.write("pending: ", entry.name, type(entry.message) == "string" and ": " .. entry.message or "", "\n")
    end
    return flush(nil, true)
  end

  function handler.outside(element)
    if element.descriptor ~= "it" then show("error", handler.errors[#handler.errors]) end
    return flush(nil, true)
  end

  function handler.suiteEnd()
    local failed = handler.failuresCount + handler.errorsCount
    io.write(("busted: %d passed, %d failed, %d pending\n"):format(
      handler.successesCount, failed, handler.pendingsCount))
    -- Handles that were closed last are let go now: luv crashes on them when the interpreter ends.
    uv.run("nowait")
    return flush(nil, true)
  end

  busted.subscribe({ "test", "end" }, handler.testEnd)
  busted.subscribe({ "error" }, handler.outside)
  busted.subscribe({ "suite", "end" }, handler.suiteEnd)
  return handler
end
