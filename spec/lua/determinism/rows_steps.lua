-- rows_steps.lua - rows of the table of steps: what named steps and inline ones may do, and what is refused to them.
-- SPDX-License-Identifier: Apache-2.0
return function(da)
  local async, await, pawait, step = da.async, da.await, da.pawait, da.step

  local function message_of(promise)
    local ok, e = pawait(promise)
    if ok then return "no error" end
    return (tostring(e.message):gsub("^[%w_]+%.lua:%d+: ", ""))
  end

  function step.exits() os.exit(7) end
  function step.exits_within()
    local ok, e = pcall(os.exit)
    return ok, e.message
  end
  function step.set_locale() os.setlocale "de_DE.UTF-8" end
  function step.locale() return os.setlocale(), os.setlocale(nil, "numeric"), os.setlocale "C" end
  function step.writes_to_nobody()
    local pipe = assert(io.popen("exit 3", "w"))
    local ok, message = pipe:write(("x"):rep(1 << 20)) -- more than a pipe holds
    local _, how, code = pipe:close()
    return ok == nil, message, how, code
  end
  function step.calls_step() return step.tick() end
  function step.calls_workflow() return async.kid() end
  function step.awaits() return da.await(1) end
  function step.sleeps() return da.sleep(1) end
  function step.nil_and_text() return nil, "no such file" end
  function step.fails() da.error("quiet", "nobody looked", { fatal = true }) end
  function step.world()
    local file = assert(io.tmpfile())
    file:write "1 2"
    file:seek "set"
    local pipe = assert(io.popen "echo three")
    local three = pipe:read "l"
    pipe:close()
    local old = setmetatable({}, { __gc = print, __mode = "k" })
    return file:read "n", three, os.execute "true", math.type(os.time()), debug.getinfo(1, "n") ~= nil, type(package.path),
      #string.dump(step.world and function() end) > 0, type(collectgarbage "count"), type(old), os.getenv "HOME" ~= ""
  end
  function async.forgets() step.fails() return "fine" end
  function async.forgets_ignored() step.fails():ignore() return "fine" end

  local function leaf(what)
    return what .. " inside an inline step; a step is a leaf: share a plain function, or make this a workflow"
  end

  local function inline(fn) return da.step("inline", { retry = false }, fn) end

  return {
    { name = "a named step",
      value = { 1, "three", true, "integer", true, "string", true, "number", "table", true },
      run = function(at)
        at()
        return { await(step.world()) }
      end },
    { name = "os.exit in a named step",
      value = { "os.exit would end the host and all it runs; return from the step, or raise an error", { false,
        "os.exit would end the host and all it runs; return from the step, or raise an error" } },
      run = function(at)
        at()
        return { message_of(step.exits()), { await(step.exits_within()) } }
      end },
    { name = "os.setlocale in a named step",
      value = { "os.setlocale would change the locale of the whole process, which stays in 'C'; format such texts yourself",
        { "C", "C", "C" } },
      run = function() return { message_of(step.set_locale()), { await(step.locale()) } } end },
    { name = "a broken pipe in a named step",
      value = { true, "Broken pipe", "exit", 3 },
      run = function() return { await(step.writes_to_nobody()) } end },
    { name = "a step in a step",
      value = "step.tick called inside a step; a step is a leaf: share a plain function, or make this a workflow",
      run = function() return message_of(step.calls_step()) end },
    { name = "a workflow in a step",
      value = "async.kid called inside a step; a step is a leaf: share a plain function, or make this a workflow",
      run = function() return message_of(step.calls_workflow()) end },
    { name = "await in a step",
      value = { "da.await is for workflows; a step is a leaf, it just does its work and returns",
        "da.sleep is for workflows; a step is a leaf, it just does its work and returns" },
      run = function() return { message_of(step.awaits()), message_of(step.sleeps()) } end },
    { name = "nil and a text from a step",
      value = { "no such file", true },
      run = function()
        local value, text = await(step.nil_and_text())
        return { text, value == nil }
      end },
    { name = "a durable call in an inline step",
      value = { leaf "a durable call", leaf "da.sleep", leaf "step(...)", leaf "a durable call" },
      run = function()
        return { message_of(inline(function() return step.tick() end)), message_of(inline(function() return da.sleep(1) end)),
          message_of(inline(function() return da.step("x", print) end)), message_of(inline(function() return async.kid() end)) }
      end },
    { name = "await in an inline step",
      value = leaf "await",
      run = function()
        local p = step.tick()
        local told = message_of(inline(function() return await(p) end))
        await(p)
        return told
      end },
    { name = "blocking calls in an inline step",
      value = { "os.execute blocks the whole host; make it a named step: function step.NAME(...) ... end and await(step.NAME(...))",
        "io.popen blocks the whole host; make it a named step: function step.NAME(...) ... end and await(step.NAME(...))" },
      run = function()
        return { message_of(inline(function() return os.execute "sleep 60" end)),
          message_of(inline(function() return io.popen "sleep 60" end)) }
      end },
    { name = "C modules in an inline step",
      value = "module 'luv' is for named steps: an inline step has the modules of the bundle alone; make it a named step: "
        .. "function step.NAME(...) ... end and await(step.NAME(...))",
      run = function()
        local name = "luv"
        return message_of(inline(function() return require(name) end))
      end },
    { name = "os.exit, os.setlocale in an inline step",
      value = { "os.exit would end the host; return from the function or raise an error",
        "os.setlocale is not available: the locale belongs to the whole process" },
      run = function() return { message_of(inline(function() os.exit(7) end)), message_of(inline(function() os.setlocale "C" end)) } end },
    { name = "files and the environment in an inline step",
      value = { "line", "string", true },
      run = function(at)
        at()
        local text, home, gone = await(inline(function()
          local name = os.tmpname()
          local file = assert(io.open(name, "w"))
          file:write "line\n"
          file:close()
          local lines = {}
          for line in io.lines(name) do lines[#lines + 1] = line end
          return table.concat(lines), type(os.getenv "PATH"), os.remove(name)
        end))
        return { text, home, gone }
      end },
    { name = "clock, chance and numbers of objects in an inline step",
      value = { true, true, "table: #~1", "table: #1", true },
      run = function(at)
        local first = math.random(1000000)
        local seen = await(inline(function()
          return { time = os.time(), now = da.now(), random = math.random(1000000), text = tostring({}), id = da.id() }
        end))
        at()
        return { seen.time > 1700000000, seen.now >= seen.time, seen.text, tostring({}),
          seen.id:match "^[^.]*%.%d+%.inline%.1$" ~= nil }, { first, math.random(1000000), seen.random, seen.time }
      end },
    { name = "a forgotten await, used",
      value = { "concatenate", "index", "call", "compare", "do arithmetic on", "take the length of" },
      run = function()
        local p = step.tick()
        local function tried(f)
          local _, message = pcall(f)
          return tostring(message):find("did you forget await(...)?", 1, true) and message:match "attempt to ([%a ]-) promise"
        end
        local out = { tried(function() return "a" .. p end), tried(function() return p.name end), tried(function() return p() end),
          tried(function() return p < p end), tried(function() return p + 1 end), tried(function() return #p end) }
        await(p)
        return out
      end },
    { name = "a forgotten await, joined",
      value = { "quiet", "nobody looked", "fine" },
      run = function(at)
        at()
        local _, e = pawait(async.forgets())
        return { e.code, e.message, await(async.forgets_ignored()) }
      end },
  }
end
