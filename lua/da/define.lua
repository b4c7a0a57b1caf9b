-- define.lua - the tables `async` and `step`: defining durable functions, and their inline forms.
--
-- Runs in isolates and in step states alike; only what a handle does when it is called differs (bind_function.c).
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...

local definitions = {} -- the tables behind async and step

-- A table that registers what is assigned to it: function async.NAME(...) end.
local function definer(word, workflow, inline)
  local defined = {}
  definitions[#definitions + 1] = defined
  setmetatable(defined, { __index = function(_, name)
    error(("%s.%s is not defined%s"):format(word, tostring(name), type(name) == "string" and core.nearest(name, defined) or ""), 2)
  end })
  return setmetatable({}, {
    __index = defined,
    __newindex = function(_, name, fn)
      if type(name) ~= "string" or name == "" then error(word .. " functions have a name that is a string", 2) end
      if type(fn) ~= "function" then error(("%s.%s must be a function, got %s"):format(word, name, type(fn)), 2) end
      rawset(defined, name, core.define(workflow, name, fn))
    end,
    __call = function(_, label, options, fn)
      if fn == nil then options, fn = nil, options end
      if type(label) == "function" then
        error(("%s(...) takes a label and a closure, inside an execution; define with function %s.NAME(...) ... end"):format(word, word), 2)
      end
      return inline(label, options, fn)
    end,
    __metatable = false,
  })
end

function core.not_here(word)
  return function()
    core.raise(("%s(...) called while the script loads or in a step; define with function %s.NAME(...) ... end"):format(word, word))
  end
end

da.async = definer("async", true, function(...) return core.start_branch(...) end)
da.step = definer("step", false, function(...) return core.inline(...) end)

-- The script is loaded: of several versions async.NAME is the highest.
function core.loaded()
  core.check_versions()
  for _, defined in ipairs(definitions) do
    for name in pairs(defined) do defined[name] = core.newest(name) end
  end
  core.freeze()
end

-- The workflows of a worker group, by name.
function da.service(group)
  core.check_group(group)
  return setmetatable({}, {
    __index = function(_, name) return core.remote(group, name) end,
    __newindex = function() core.raise "the functions of a group are defined in the files that serve it: dahost serve GROUP=FILE" end,
    __metatable = false,
  })
end

-- Functions in C, by library and name: da.native.sensor.read(3). What there is, the process says when one is called.
local function closed() core.raise "natives are functions in C; a program or a plugin brings them" end

-- Each has a metatable of its own: a table keyed by tables would tie a loaded script to the slot it lies in.
local function open_library(library)
  return setmetatable({}, {
    __index = function(self, name)
      if type(name) ~= "string" then error("a native is named by a string: da.native." .. library .. ".NAME", 2) end
      local handle = core.native(library, name)
      rawset(self, name, handle)
      return handle
    end,
    __newindex = closed,
    __metatable = false,
  })
end

da.native = setmetatable({}, {
  __index = function(self, library)
    if type(library) ~= "string" then error("a library of natives is named by a string: da.native.LIBRARY.NAME", 2) end
    local each = open_library(library)
    rawset(self, library, each)
    return each
  end,
  __newindex = closed,
  __metatable = false,
})

-- What every process has (bindings/battery_*.c). A test calls none.
if core.native then
  da.exec = da.native.exec.run
  da.fs, da.hash, da.http, da.json = da.native.fs, da.native.hash, da.native.http, da.native.json
end

-- Raises a da.Error with a code of the script's own.
function da.error(code, message, fields)
  if type(code) ~= "string" or code == "" then error("da.error needs a code that is a string, got " .. type(code), 2) end
  if message ~= nil and type(message) ~= "string" and type(message) ~= "number" then
    error("da.error takes code, message, fields; got " .. type(message) .. " for the message", 2)
  end
  if fields ~= nil and type(fields) ~= "table" then
    error("da.error takes code, message, fields; got " .. type(fields) .. " for the fields", 2)
  end
  error(core.error_new(code, message, fields), 2)
end

da.is_error = core.is_error

-- In a workflow the numbers come from its own stream, in a step from true chance.
local random, bits = core.random, math.random
function da.uuid()
  local a, b = random and random() or bits(0), random and random() or bits(0)
  a = a & 0xFFFFFFFFFFFF0FFF | 0x4000
  b = b & 0x3FFFFFFFFFFFFFFF | (2 << 62)
  return ("%08x-%04x-%04x-%04x-%012x"):format(a >> 32, a >> 16 & 0xFFFF, a & 0xFFFF, b >> 48, b & 0xFFFFFFFFFFFF)
end

-- "order taken id=7 total=12.5"
function core.log_line(level, message, fields)
  local parts = { level, tostring(message) }
  if fields then
    local names = {}
    for name in pairs(fields) do names[#names + 1] = tostring(name) end
    table.sort(names)
    for _, name in ipairs(names) do parts[#parts + 1] = name .. "=" .. tostring(fields[name]) end
  end
  return table.concat(parts, " ")
end

da.log = {}
for _, level in ipairs { "debug", "info", "warn", "error" } do
  da.log[level] = function(message, fields)
    if fields ~= nil and type(fields) ~= "table" then
      error(("da.log.%s takes a message and a table of fields, got %s"):format(level, type(fields)), 2)
    end
    core.output(core.log_line(level, message, fields))
  end
end
