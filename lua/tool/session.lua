-- session.lua - the workflow behind `dahost repl`: each line that was typed is a promise, kept from outside.
--
-- A session is an execution like any other, so a replay runs the same lines again, silently, up to where it stood. The
-- lines of a session share an environment of their own over the frozen globals; a local lasts for its line, as in the
-- stand-alone interpreter. What they call are children of the session. This text and the user's script, which is the
-- module `dahost.script`, are one bundle.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
require "dahost.script"

local WIDTH, DEPTH, SHOWN = 76, 8, 100 -- of a table on one line; of tables in tables; of the fields of one

---------------------------------------------------------------------------------------------------- values

local show -- below

local function show_key(key)
  if type(key) == "string" and key:find("^[%a_][%w_]*$") then return key end
  return "[" .. (type(key) == "string" and ("%q"):format(key):gsub("\\\n", "\\n") or tostring(key)) .. "]"
end

-- The fields of a table as texts: first those of the list.
local function fields_of(value, depth, seen)
  local parts, left = {}, 0
  for i, field in ipairs(value) do
    if i <= SHOWN then parts[i] = show(field, depth + 1, seen) end
  end
  local count = #value
  for key, field in pairs(value) do
    local listed = math.type(key) == "integer" and key >= 1 and key <= count
    if not listed and #parts < SHOWN then
      parts[#parts + 1] = show_key(key) .. " = " .. show(field, depth + 1, seen)
    elseif not listed or key > SHOWN then
      left = left + 1
    end
  end
  if left > 0 then parts[#parts + 1] = ("... (%d more)"):format(left) end
  return parts
end

local function show_table(value, depth, seen)
  if seen[value] then return "<" .. tostring(value) .. " again>" end
  if depth > DEPTH then return "{...}" end
  seen[value] = true
  local ok, parts = pcall(fields_of, value, depth, seen)
  seen[value] = nil
  if not ok then return tostring(value) end
  local line = "{ " .. table.concat(parts, ", ") .. " }"
  if #parts == 0 then return "{}" end
  if #line + 2 * depth <= WIDTH and not line:find("\n", 1, true) then return line end
  local indent = ("  "):rep(depth + 1)
  return "{\n" .. indent .. table.concat(parts, ",\n" .. indent) .. "\n" .. ("  "):rep(depth) .. "}"
end

function show(value, depth, seen)
  if type(value) == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if type(value) ~= "table" or da.is_error(value) then return tostring(value) end
  return show_table(value, depth, seen)
end

local function show_results(results)
  local parts = {}
  for i = 1, results.n do parts[i] = show(results[i], 0, {}) end
  return table.concat(parts, "\t")
end

local TOLD = { code = true, message = true, traceback = true, promise = true, func = true }

-- The error, its fields, and its traceback as far as it is the user's.
local function show_error(err)
  if not da.is_error(err) then return tostring(err) end
  local lines = { tostring(err) }
  for name, value in pairs(err) do
    if not TOLD[name] then lines[#lines + 1] = "  " .. show_key(name) .. " = " .. show(value, 1, {}) end
  end
  local trace = {}
  for line in (type(err.traceback) == "string" and err.traceback or ""):gmatch("\n%s*([^\n]+)") do
    if line:find("dahost-session.lua:", 1, true) or line:find("in upvalue 'chunk'", 1, true) then break end
    if line ~= "(...tail calls...)" then trace[#trace + 1] = line end
  end
  if trace[1] == "[C]: in function 'error'" then table.remove(trace, 1) end
  while #trace > 0 and trace[#trace]:find("^%[C%]") do trace[#trace] = nil end
  for _, line in ipairs(trace) do lines[#lines + 1] = "  at " .. line end
  return table.concat(lines, "\n")
end

---------------------------------------------------------------------------------------------------- lines

local function get(from, name) return from[name] end

local base = { da = da, async = da.async, await = da.await, pawait = da.pawait, step = da.step }

-- What a line sees beside its own globals: the library, Lua's globals, the script's functions by their names.
local function look_up(_, name)
  local value = base[name]
  if value == nil then value = _G[name] end
  for _, definer in ipairs { da.async, da.step } do
    if value == nil then
      local ok, fn = pcall(get, definer, name)
      if ok then value = fn end
    end
  end
  return value
end

local function compile(text, env)
  if text:sub(1, 1) == "=" then text = "return " .. text:sub(2) end
  local chunk = load("return " .. text, "@stdin", "t", env)
  if chunk then return chunk end
  return load(text, "@stdin", "t", env)
end

-- Runs the line in a fiber that an interrupt can cancel; the children it makes are the session's.
local function run(chunk, number)
  local results
  local fiber = da.map({ 1 }, function()
    results = table.pack(chunk())
    return true
  end)
  local interrupt = da.promise("interrupt", { key = number })
  local ok, value, which = da.pawait(da.race({ fiber, interrupt }, { losers = "keep" }))
  if ok and which == 2 then
    fiber:cancel("interrupted")
    ok, value = da.pawait(fiber)
  end
  return ok, ok and results or value
end

-- A name that no function of the script has by chance.
da.async["repl.session"] = function()
  local env = setmetatable({}, { __index = look_up })
  env._G = env
  for number = 1, math.maxinteger do
    local text = da.await(da.promise("line")).text
    local chunk, fault = compile(text, env)
    if text ~= "" and not chunk then
      print(fault)
    elseif text ~= "" then
      local ok, results = run(chunk, number)
      if not ok then
        print(show_error(results))
      elseif results.n > 0 then
        env._ = results[1]
        print(show_results(results))
      end
    end
  end
end
