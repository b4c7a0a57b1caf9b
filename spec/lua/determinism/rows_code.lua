-- rows_code.lua - rows of the determinism table: code loaded at run time, modules, coroutines, order of completions.
-- SPDX-License-Identifier: Apache-2.0
print "the file loads"
local counter = require "counter"
local same_counter = require "counter"
local luv = require "luv"
local hrtime = luv.hrtime
luv.nothing = { in_steps_only = true }
local parts = luv.version_string() .. " of " .. luv.os_uname().sysname
local optional = { pcall(require, "luv") }
local wrapped = { pcall(function() return require "cjson" end) }
package.path = package.path .. ";./none/?.lua"
local traversed_at_load = { pcall(function() for _ in luv.walk() do end end) }

return function(da)
  local async, await, step = da.async, da.await, da.step

  local function advice(f, ...)
    local _, message = pcall(f, ...)
    return (tostring(message):gsub("^[%w_]+%.lua:%d+: ", ""))
  end

  local function for_steps(name)
    return name .. " is for steps only (rows_code.lua:6: no module 'luv' beside the script); move the call into function "
      .. "step.NAME(...) ... end and await(step.NAME(...))"
  end

  function step.uses_module()
    return math.type(hrtime()), luv.nothing.in_steps_only, parts == luv.version_string() .. " of " .. luv.os_uname().sysname
  end

  function step.has_optional() return optional[1] and optional[2] == luv end

  local step_at_load = { pcall(function() return step.uses_module() end) }
  local sleep_at_load = { pcall(function() return da.sleep(1) end) }

  function async.late(seconds, what)
    await(da.sleep(seconds))
    return what
  end

  return {
    { name = "load",
      value = { 7, "frozen", "attempt to load a binary chunk (mode is 't')",
        "bad argument #3 to 'load' (only text can be loaded here (mode 't'))", 3 },
      run = function(at)
        local f = load "local at = ...; at(); return 3 + 4"
        local escape = load "x = 1"
        local _, frozen = pcall(escape)
        local none, binary = load "\27Lua"
        return { f(at), tostring(frozen):match "frozen", binary or none, advice(function() return (load("x", "x", "b")) end),
          load("return y", "y", "t", { y = 3 })() }
      end },
    { name = "require",
      value = { 1, true, "string", true,
        "module 'absent' is not part of the bundle (no 'absent.lua' beside the script); in a workflow only such modules exist, "
          .. "in a step every module does: require it inside function step.NAME" },
      run = function(at)
        at()
        local name = "absent"
        return { counter.loads, counter == same_counter and counter == require "counter",
          require "string" == string and "string", require "da" == da, advice(require, name) }
      end },
    { name = "require, a module that only steps have",
      value = { for_steps "luv.hrtime", for_steps "luv.hrtime", for_steps "luv.nothing", for_steps "luv.version_string(...)",
        for_steps "luv", "luv (for steps only)", "userdata",
        "note[1]: a userdata (da.placeholder) cannot cross a durable boundary", { "float", true, true } },
      run = function(at)
        at()
        local out = { advice(function() return luv.hrtime() end), advice(hrtime), advice(function() luv.nothing = 1 end),
          advice(function() return parts .. "x" end), advice(pairs, luv), tostring(luv), type(luv) }
        local _, crossing = pcall(step.note, luv)
        out[8] = crossing.message
        out[9] = { await(step.uses_module()) }
        return out
      end },
    { name = "require, a loop over such a module while the file loads",
      value = "luv.walk(...) is for steps only (rows_code.lua:6: no module 'luv' beside the script): it has no values while the "
        .. "file loads for workflows, and a loop over it would not end; move the loop into function step.NAME(...) ... end",
      run = function() return (tostring(traversed_at_load[2]):gsub("^[%w_]+%.lua:%d+: ", "")) end },
    { name = "require, an optional module",
      value = { false, "module 'luv' is not part of the bundle (no 'luv.lua' beside the script)", false,
        "module 'cjson' is not part of the bundle (no 'cjson.lua' beside the script)", true },
      run = function(at)
        at()
        return { optional[1], tostring(optional[2]):match "module 'luv'[^;]*", wrapped[1],
          tostring(wrapped[2]):match "module 'cjson'[^;]*", (await(step.has_optional())) }
      end },
    { name = "package",
      value = "package.path is for steps only (in a workflow, require finds the modules beside the script by itself); move the "
        .. "call into function step.NAME(...) ... end and await(step.NAME(...))",
      run = function() return advice(function() return package.path end) end },
    { name = "durable calls while the file loads",
      value = { "a durable call while the script loads; only an execution can do that: call it inside function async.NAME(...)",
        "da.sleep while the script loads; only an execution can do that: call it inside function async.NAME(...)" },
      run = function()
        local function words(outcome) return (tostring(outcome[2]):gsub("^[%w_]+%.lua:%d+: ", "")) end
        return { words(step_at_load), words(sleep_at_load) }
      end },
    { name = "warn",
      value = "told",
      run = function()
        warn "@on"
        warn("a warning of ", "two parts")
        return "told"
      end },
    { name = "print",
      value = "printed",
      run = function(at)
        print "printed before"
        at()
        print "printed after"
        return "printed"
      end },
    { name = "print while the file loads",
      value = "printed", -- by each process, once; the spec counts the lines
      run = function() return "printed" end },
    { name = "coroutines",
      value = { "a b c", "dead", true, "suspended", true, "cannot resume dead coroutine" },
      run = function(at)
        local co = coroutine.wrap(function()
          for word in ("a b c"):gmatch "%a" do coroutine.yield(word) end
        end)
        local list = { co() }
        at()
        list[2], list[3] = co(), co()
        local other = coroutine.create(function() return coroutine.running() end)
        local fresh = coroutine.status(other)
        local _, itself = coroutine.resume(other)
        local _, main = coroutine.running()
        local _, told = coroutine.resume(other)
        return { table.concat(list, " "), coroutine.status(other), itself == other, fresh, main, told }
      end },
    { name = "__close",
      value = "body close after",
      run = function(at)
        local out = {}
        do
          local scope <close> = setmetatable({}, { __close = function() -- luacheck: ignore
            at()
            out[#out + 1] = "close"
          end })
          out[1] = "body"
        end
        out[#out + 1] = "after"
        return table.concat(out, " ")
      end },
    { name = "__close, suspended",
      value = "open, closed: tick",
      run = function(at)
        local out = {}
        do
          local scope <close> = setmetatable({}, { __close = function() -- luacheck: ignore
            out[#out + 1] = "closed: " .. await(step.tick()) -- recorded, so that one too early would diverge
          end })
          at()
          out[#out + 1] = "open"
        end
        return table.concat(out, ", ")
      end },
    { name = "order of completions",
      value = true,
      races = true, -- which branch is first differs from process to process, never from a run to its replay
      run = function(at)
        local order = {}
        local function branch(name, promise)
          return async("branch", { key = name }, function()
            await(promise)
            order[#order + 1] = name
            await(step.tick())
            order[#order + 1] = name
          end)
        end
        local branches = {}
        for i, name in ipairs { "a", "b", "c", "d" } do
          branches[i] = branch(name, i % 2 == 0 and step.tick() or async.late(0.002 * (5 - i), name))
        end
        local _, first = await(da.any { step.tick(), step.tick(), async.late(0.001, "late") })
        await(da.all(branches))
        at()
        return #order == 8, { table.concat(order), first }
      end },
    { name = "da.replaying",
      value = "boolean",
      run = function(at)
        at()
        return type(da.replaying())
      end },
  }
end
