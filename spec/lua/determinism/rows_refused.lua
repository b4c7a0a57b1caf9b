-- rows_refused.lua - rows of the determinism table: what of the world a workflow does not get, and what it is told.
-- SPDX-License-Identifier: Apache-2.0
return function(da)
  local await = da.await

  local function advice(f, ...)
    local _, message = pcall(f, ...)
    return (tostring(message):gsub("^[%w_]+%.lua:%d+: ", ""))
  end

  local function for_steps(name)
    return name .. " is for steps: it would not be the same on replay; write function step.NAME(...) ... end and "
      .. "await(step.NAME(...))"
  end

  local function for_named_steps(name)
    return name .. " blocks the whole host; make it a named step: function step.NAME(...) ... end and await(step.NAME(...))"
  end

  local function library(name)
    local of, field = name:match("^(%a+)%.(%a+)$")
    return _G[of][field]
  end

  local rows = {
    { name = "os.exit",
      value = "os.exit would end the host; return from the function or raise an error",
      run = function() return advice(os.exit, 3) end },
    { name = "os.setlocale",
      value = "os.setlocale is not available: the locale belongs to the whole process",
      run = function() return advice(os.setlocale) end },
    { name = "io.write",
      value = "io.write is for steps: a replay would write again; use print, or write function step.NAME(...) ... end",
      run = function() return advice(io.write, "x") end },
    { name = "io.stdin, io.stdout, io.stderr",
      value = { for_steps "io.stdin", for_steps "io.stdout", for_steps "io.stderr" },
      run = function()
        return { advice(function() return io.stdin end), advice(function() return io.stdout end),
          advice(function() return io.stderr end) }
      end },
    { name = "files kept from an inline step",
      value = { "12", for_steps "file:read", for_steps "io.lines" },
      run = function()
        local kept = {}
        local text = await(da.step("open", function() -- keeps what it must not
          kept.file = io.tmpfile()
          kept.file:write "12"
          kept.file:seek "set"
          kept.lines = kept.file:lines()
          return kept.file:read "a"
        end))
        if not kept.file then return { text, for_steps "file:read", for_steps "io.lines" } end -- a replay jumps over the step
        return { text, advice(kept.file.read, kept.file), advice(kept.lines) }
      end },
    { name = "dofile, loadfile",
      value = {
        "dofile reads a file that may change before a replay; use require (modules beside the script are kept with it)",
        "loadfile reads a file that may change before a replay; use require (modules beside the script are kept with it)" },
      run = function() return { advice(dofile, "x.lua"), advice(loadfile, "x.lua") } end },
    { name = "string.dump",
      value = "string.dump gives bytecode, which load refuses here; keep the text of the code",
      run = function() return advice(string.dump, advice) end },
    { name = "debug",
      value = { "debug.getinfo is for named steps: it reaches what a replay relies on; only debug.traceback works in a workflow",
        "debug.sethook is for named steps: it reaches what a replay relies on; only debug.traceback works in a workflow",
        "x\nstack traceback:" },
      run = function()
        return { advice(debug.getinfo, 1), advice(debug.sethook), debug.traceback("x"):match("^[^\n]*\n[^\n]*") }
      end },
    { name = "__gc",
      value = "setmetatable: __gc would run when the collector pleases, which no replay repeats; release things with a <close> variable",
      run = function() return advice(setmetatable, {}, { __gc = print }) end },
    { name = "__mode",
      value = "setmetatable: __mode would lose entries when the collector pleases, which no replay repeats; remove entries yourself",
      run = function() return advice(setmetatable, {}, { __mode = "k" }) end },
    { name = "error(nil)",
      value = { "error", "nil", false },
      run = function()
        local ok, e = pcall(error, nil)
        return { e.code, e.message, ok }
      end },
  }
  for _, name in ipairs { "os.getenv", "os.remove", "os.rename", "os.tmpname", "io.close", "io.flush", "io.input", "io.lines",
    "io.open", "io.output", "io.read", "io.tmpfile", "io.type" } do
    rows[#rows + 1] = { name = name, value = for_steps(name),
      run = function(at)
        local before = advice(library(name), "x")
        at()
        return before == advice(library(name), "x") and before
      end }
  end
  for _, name in ipairs { "os.execute", "io.popen" } do
    rows[#rows + 1] = { name = name, value = for_named_steps(name), run = function() return advice(library(name), "true") end }
  end
  return rows
end
