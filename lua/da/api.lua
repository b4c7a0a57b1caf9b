-- api.lua - the rest of what `require "da"` gives a workflow.
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...

local type, error, xpcall = type, error, xpcall

da.await = core.await
da.pawait = core.pawait

function da.sleep(duration) return core.sleep(duration) end
function da.sleep_until(instant) return core.sleep_until(instant) end

local promise_options = { timeout = true, data = true, key = true, id = true, tags = true }

-- A promise somebody outside settles: `dahost promise resolve ID JSON`, da.resolve(id, ...) in a step.
function da.promise(name, options)
  if type(name) ~= "string" then error("da.promise needs a name", 2) end
  if options ~= nil and type(options) ~= "table" then
    error("da.promise's options must be a table, got " .. type(options), 2)
  end
  for option in pairs(options or {}) do
    if not promise_options[option] then
      error(("unknown option '%s' of da.promise; it takes timeout, data, key, id, tags"):format(tostring(option)), 2)
    end
  end
  return core.promise(name, options)
end

local function unshield(before, ok, ...)
  core.shield(before)
  if not ok then error((...), 0) end
  return ...
end

-- Returns what f(...) returns. Meanwhile a request to cancel, and the deadline, wait; the next await behind it raises them.
function da.shield(f, ...)
  if type(f) ~= "function" then error("da.shield needs a function, got " .. type(f), 2) end
  return unshield(core.shield(true), xpcall(f, core.trace, ...))
end

da.get = core.get
da.again = core.again
da.patched = core.patched
da.id = core.id
da.now = core.now
da.deadline = core.deadline
da.replaying = core.replaying

-- Shows a value under a key while the execution runs: `dahost get ID`. The last one stays; nil takes it away.
da.publish = core.publish
da.schedule = core.schedule -- declares, while the script loads; `dahost serve` runs it by the clock

-- A random float in [0,1), or as math.random(m, n).
da.random = math.random

local function only_in_steps(name)
  da[name] = function()
    error(("da.%s is for steps: it acts on the world, and a replay would do it again; write function step.NAME(...) da.%s(...) end")
      :format(name, name), 2)
  end
end
only_in_steps "resolve"
only_in_steps "reject"
only_in_steps "start"

function da.attempt()
  error("da.attempt is for steps; a workflow is not repeated, so it has no attempts", 2)
end

function da.progress()
  error("da.progress is for named steps; an inline step is quick, and a workflow shows its state with da.publish(key, value)", 2)
end

-- error(nil): a <close> variable could not tell it from success.
function core.nil_error() return core.error_new("error", "nil") end

da._VERSION = "da 0.1"
