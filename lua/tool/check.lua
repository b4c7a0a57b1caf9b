-- check.lua - `dahost check`: what the functions of a loaded bundle do that they should not, read from their bytecode.
--
-- Called with `core` (bindings/bind_check.c) in an isolate that has loaded the bundle; runs nothing of it. Two passes:
-- over the text of each module, for globals that nobody sets; and from the durable functions on, over every function
-- that they call, with what is known of each register (*known*: a real value, a closure, a promise, a handle). Code has
-- a *mode*: "workflow", "step", "inline" (the closure of step("label", ...)), or "any" where nobody is seen to call it.
--
-- Precision over recall: what the registers do not tell is not found, and not guessed. Behind a jump only that is known
-- which no way there can have changed.
-- SPDX-License-Identifier: Apache-2.0
local core = ...

local OP, da, G = core.op, core.da, core.globals
local field, code_of = core.field, core.code
local INLINE_LINES = 40 -- of an inline step; longer ones had better be named

---------------------------------------------------------------------------------------------------- findings

local findings, told = {}, {}

local function find(proto, line, code, what, mend)
  if proto.file == "" then return end -- the library's own
  local key = ("%s:%08d:%s"):format(proto.file, line, what)
  if told[key] then return end
  told[key] = true
  findings[#findings + 1] = { key = key, code = code, file = proto.file, line = line, what = what, mend = mend }
end

local function tell()
  table.sort(findings, function(a, b) return a.key < b.key end)
  for _, f in ipairs(findings) do core.found(f.code, f.file, f.line, f.what, f.mend) end
end

---------------------------------------------------------------------------------------------------- tables of words

local function fields(path)
  local value = G
  for name in path:gmatch("[^.]+") do value = field(value, name) end
  return value
end

local function values_of(...)
  local set = {}
  for _, path in ipairs { ... } do
    local value = fields(path)
    if value ~= nil then set[value] = path end
  end
  return set
end

-- Refused in a workflow; "named": in an inline step too; "never": anywhere in the program.
local GUARDED = {}
for _, name in ipairs { "io.close", "io.input", "io.lines", "io.open", "io.output", "io.read", "io.tmpfile", "io.type", "io.write",
  "os.getenv", "os.tmpname", "os.remove", "os.rename" } do
  GUARDED[name] = "step"
end
for _, name in ipairs { "io.popen", "os.execute", "dofile", "loadfile", "string.dump" } do GUARDED[name] = "named" end
for _, name in ipairs { "os.exit", "os.setlocale" } do GUARDED[name] = "never" end
local refused = {}
for name, kind in pairs(GUARDED) do
  local value = fields(name)
  if value ~= nil then refused[value] = { name = name, kind = kind } end
end
for name in pairs(core.names(G.debug)) do
  if name ~= "traceback" then refused[field(G.debug, name)] = { name = "debug." .. name, kind = "named" } end
end

local mutators = values_of("rawset", "table.insert", "table.remove", "table.sort")
local protected = values_of("pcall", "xpcall")
-- Given a promise, these raise or do nothing of use.
local wants_value = values_of("pairs", "ipairs", "next", "tonumber", "table.concat", "table.unpack", "table.sort", "string.len",
  "string.sub", "string.upper", "string.lower", "string.gsub", "string.match", "string.find", "string.rep")

local da_names = {} -- function -> its name in da
for name in pairs(core.names(da)) do
  local value = field(da, name)
  if type(value) == "function" then da_names[value] = name end
end

-- Which functions of da a named step has, and which of them only say that they are for workflows.
local in_steps, not_in_steps = {}, {}
do
  local lines = {}
  for name, line in core.step_functions():gmatch("([^\n=]+)=(%-?%d+)") do lines[name] = line end
  for name, line in pairs(lines) do
    in_steps[name] = true
    if line == lines.await then not_in_steps[name] = true end
  end
end
not_in_steps.publish = in_steps.publish -- says so in words of its own
local step_only = { progress = true, attempt = true } -- those that only say so in a workflow
do
  local place = core.place(field(da, "start"))
  for name in pairs(core.names(da)) do
    if place and core.place(field(da, name)) == place then step_only[name] = true end
  end
end

local makes_promise = {}
for _, name in ipairs { "sleep", "sleep_until", "all", "outcomes", "any", "race", "map", "within" } do makes_promise[name] = "drop" end
for _, name in ipairs { "promise", "get" } do makes_promise[name] = "keep" end -- for somebody outside: may be dropped
local needs_execution = { shield = true, send = true, again = true, patched = true }
for name in pairs(makes_promise) do needs_execution[name] = true end
for name in pairs(not_in_steps) do needs_execution[name] = true end

-- How the tables of another group's functions, and channels and their like, are known.
local SERVICE, QUEUE = core.place(da.service "default"), core.place(da.channel "any")
local queues = { channel = true, inbox = true, semaphore = true, limiter = true }
local waits = { recv = true, acquire = true, take = true } -- the methods of those that give a promise that is meant

local modules = {} -- of the bundle
local LIBRARIES = { _G = true, coroutine = true, debug = true, io = true, math = true, os = true, string = true, table = true,
  utf8 = true, da = true }

---------------------------------------------------------------------------------------------------- instructions

local function op_of(i) return i & 0x7F end
local function a_of(i) return i >> 7 & 0xFF end
local function b_of(i) return i >> 16 & 0xFF end
local function c_of(i) return i >> 24 end
local function bx_of(i) return i >> 15 end

local function set_of(...)
  local set = {}
  for _, op in ipairs { ... } do set[op] = true end
  return set
end

local NO_TARGET = set_of(OP.SETUPVAL, OP.SETTABUP, OP.SETTABLE, OP.SETI, OP.SETFIELD, OP.MMBIN, OP.MMBIN + 1, OP.MMBINK,
  OP.CLOSE, OP.TBC, OP.JMP, OP.TEST, OP.RETURN, OP.RETURN + 1, OP.RETURN1, OP.SETLIST, OP.EXTRAARG)
for op = OP.EQ, OP.GEI do NO_TARGET[op] = true end
local MANY = set_of(OP.CALL, OP.TAILCALL, OP.LOADNIL, OP.SELF, OP.FORLOOP, OP.FORPREP, OP.TFORPREP, OP.TFORCALL, OP.TFORLOOP,
  OP.VARARG)

-- First and last register that an instruction may set; nothing if none.
local function written(proto, i)
  local op, a = op_of(i), a_of(i)
  if NO_TARGET[op] then return end
  return a, MANY[op] and proto.registers or a
end

-- Where an instruction at pc may jump to.
local function target(pc, i)
  local op = op_of(i)
  if op == OP.JMP then return pc + 1 + (i >> 7) - 0xFFFFFF end
  if op == OP.FORLOOP or op == OP.TFORLOOP then return pc + 1 - bx_of(i) end
  if op == OP.FORPREP then return pc + 2 + bx_of(i) end
  if op == OP.TFORPREP then return pc + 1 + bx_of(i) end
end

-- pc -> { first = the earliest place before it that jumps there, last = the latest one behind it }
local function joins_of(proto)
  local joins = {}
  for pc, i in ipairs(proto.code) do
    local to = target(pc, i)
    if to then
      local join = joins[to] or {}
      joins[to] = join
      if to > pc then join.first = math.min(join.first or pc, pc) else join.last = math.max(join.last or pc, pc) end
    end
  end
  return joins
end

-- Is register r that of a named variable at pc? They come first.
local function is_named(proto, r, pc)
  local count = 0
  for _, l in ipairs(proto.locals) do
    if l.from <= pc and pc < l.to then count = count + 1 end
  end
  return r < count
end

-- Does the function, or one in it, assign upvalue u?
local function assigns(proto, u)
  for _, i in ipairs(proto.code) do
    if op_of(i) == OP.SETUPVAL and b_of(i) == u then return true end
  end
  for _, inner in ipairs(proto.inner) do
    for k, up in ipairs(inner.upvalues) do
      if not up.stack and up.index == u and assigns(inner, k - 1) then return true end
    end
  end
  return false
end

---------------------------------------------------------------------------------------------------- globals

-- Names of other versions of Lua, which libraries fall back on: `table.unpack or unpack`.
local OF_OTHERS = { unpack = true, setfenv = true, getfenv = true, loadstring = true, module = true, jit = true, bit = true,
  bit32 = true, newproxy = true }

-- First pass: reads of globals that nobody sets, and assignments inside of functions of names that the file does not set.
local function scan_globals(proto, is_env, file)
  for pc, i in ipairs(proto.code) do
    local op = op_of(i)
    if op == OP.GETTABUP and is_env[b_of(i)] then
      local name, a, after = proto.constants[c_of(i) + 1], a_of(i), proto.code[pc + 1] or 0
      local before = proto.code[pc - 1]
      local next_op = op_of(after)
      local asked = (next_op == OP.TEST or next_op == OP.EQK) and a_of(after) == a or
        (next_op == OP.TESTSET or next_op == OP.NOT) and b_of(after) == a or
        before and op_of(before) == OP.GETTABUP and a_of(before) == a - 1 and proto.constants[c_of(before) + 1] == "type"
      if asked or OF_OTHERS[name] and before and op_of(before) == OP.JMP then file.asked[name] = true end
      if field(G, name) == nil then file.reads[#file.reads + 1] = { name = name, proto = proto, line = proto.lines[pc] } end
    elseif op == OP.SETTABUP and is_env[a_of(i)] and not file.main[proto] then
      local name = proto.constants[b_of(i) + 1]
      if field(G, name) == nil then file.writes[#file.writes + 1] = { name = name, proto = proto, line = proto.lines[pc] } end
    end
  end
  for _, inner in ipairs(proto.inner) do
    local env = {}
    for k, up in ipairs(inner.upvalues) do env[k - 1] = not up.stack and is_env[up.index] end
    scan_globals(inner, env, file)
  end
end

local function durable_name(name)
  local f = core.functions[name]
  return f and (f.workflow and "async." or "step.") .. name
end

local FROZEN = "and globals are frozen once the file is loaded"

local function assigns_global(proto, line, name, why)
  find(proto, line, "global", ("assigns the global '%s', %s"):format(name, why),
    ("write `local %s`, or return the value"):format(name))
end

local global_writes = {} -- told for what calls them

local function check_globals(main)
  local file = { asked = {}, reads = {}, writes = {}, main = { [main] = true } }
  scan_globals(main, { [0] = true }, file)
  local assigned = {}
  for _, write in ipairs(file.writes) do
    assigned[write.name] = true
    if not global_writes[("%s:%d:%s"):format(write.proto.file, write.line, write.name)] then
      assigns_global(write.proto, write.line, write.name, FROZEN)
    end
  end
  for _, read in ipairs(file.reads) do
    local name = read.name
    if not file.asked[name] and not assigned[name] and type(name) == "string" then
      local known = durable_name(name)
      local near = known and (" (did you mean '%s'?)"):format(known) or core.nearest(name, core.names(G))
      find(read.proto, read.line, "global", ("reads the global '%s', which nobody sets%s"):format(name, near),
        known and "write " .. known or "correct the name, or define it as a local above")
    end
  end
end

---------------------------------------------------------------------------------------------------- what is known

local scan, reach -- below

-- A value of the running script: { kind = "value", value =, name = }
local function known_value(value, name, out)
  if value == nil then return out and { kind = "unknown", out = out, name = name } or nil end
  return { kind = "value", value = value, name = name, out = out }
end

local function in_step(s) return s.mode == "step" or s.mode == "inline" end

local function report(s, pc, ...)
  find(s.proto, s.proto.lines[pc], ...)
end

local function forgotten(s, pc, promise, what)
  if promise.checked then return end -- told once
  promise.checked = true
  report(s, pc, "await", ("%s the promise of %s, not its result"):format(what, promise.by), "write await(...) around the call")
end

local WHERE = { workflow = "a workflow", step = "a step", inline = "an inline step" }
local MAKE_STEP = "move it into function step.NAME(...) ... end and await(step.NAME(...))"

local function use_of_absent(s, pc, known, key)
  if s.mode ~= "workflow" and s.mode ~= "inline" then return end
  local name, where = core.absent(known.value)
  if key then name = name .. "." .. key end
  report(s, pc, "module", ("uses %s in %s, and only named steps have that module (required at %s)"):format(name,
    WHERE[s.mode], where), MAKE_STEP)
end

local function missing_field(s, pc, of, key, word)
  local near = core.nearest(key, core.names(of))
  report(s, pc, "name", ("uses %s.%s, which is not defined%s"):format(word, key, near),
    word == "da" and "see the reference of the library" or ("define it with function %s.%s(...) ... end"):format(word, key))
end

local function index_value(s, pc, known, key)
  local value = known.value
  if type(value) == "userdata" then
    if core.absent(value) then use_of_absent(s, pc, known, key) end
    if not core.durable(value) then return nil end
    return { kind = "method", on = known, name = key }
  end
  if type(value) ~= "table" then return nil end
  if value == G.io and s.mode == "workflow" and (key == "stdin" or key == "stdout" or key == "stderr") then
    report(s, pc, "step-only", ("uses io.%s in a workflow, which a replay would do again"):format(key),
      "use print, or move it into function step.NAME(...) ... end")
  end
  if core.place(value) == SERVICE then return { kind = "handle", name = (known.name or "?") .. "." .. key } end
  if core.place(value) == QUEUE then return { kind = "method", on = { kind = "queue", name = known.name or "?" }, name = key } end
  local sub = field(value, key)
  if sub == nil then
    if value == da then missing_field(s, pc, value, key, "da") end
    if value == da.step then missing_field(s, pc, value, key, "step") end
    if value == da.async then missing_field(s, pc, value, key, "async") end
  end
  return known_value(sub, (known.name and known.name ~= "_G" and known.name .. "." or "") .. key, known.out)
end

-- What lies in field `key` of something known; key nil: a field that is not known by name.
local function index(s, pc, known, key)
  if not known then return nil end
  if known.kind == "promise" then
    if not key or (key ~= "id" and core.promise_methods[key] == nil) then
      forgotten(s, pc, known, "indexes")
      return nil
    end
    return { kind = "method", on = known, name = key }
  end
  if known.kind == "handle" then return key and { kind = "method", on = known, name = key } end
  if known.kind == "queue" then return { kind = "method", on = known, name = key } end
  if known.kind == "service" then return key and { kind = "handle", name = known.name .. "." .. key } end
  if known.kind == "value" and key then return index_value(s, pc, known, key) end
  return known.out and { kind = "unknown", out = known.out } or nil
end

---------------------------------------------------------------------------------------------------- calls

local function promise_of(by, silent) return { kind = "promise", by = by, silent = silent } end

-- A durable function is called by handle.
local function call_durable(s, pc, name, silent)
  if in_step(s) then
    report(s, pc, "step-leaf", ("calls %s in %s, and a step is a leaf"):format(name, WHERE[s.mode]),
      "share a plain function, or make this a workflow")
  end
  return promise_of(name .. "(...)", silent)
end

local function closure_lines(proto)
  local lines = proto.last_line - proto.line + 1
  if lines > INLINE_LINES then
    find(proto, proto.line, "long", ("an inline step of %d lines, which a deploy cannot mend"):format(lines),
      "make it a named step: function step.NAME(...) ... end")
  end
end

-- The variables around the closure of an inline step, and around what it calls: the workflow's.
local function outside(ups)
  local outer = {}
  for u, up in pairs(ups) do outer[u] = { known = up.known, name = up.name, env = up.env, outside = not up.env } end
  return outer
end

-- step("label", [options], closure)
local function call_inline(s, pc, args)
  if in_step(s) then
    report(s, pc, "step-leaf", ("calls step(...) in %s, and a step is a leaf"):format(WHERE[s.mode]),
      "write the code itself, or a plain function")
  end
  local fn = args[3] or args[2]
  if fn and fn.kind == "closure" then
    closure_lines(fn.proto)
    fn.taken = true
    scan(fn.proto, outside(fn.ups), "inline", true)
  elseif fn and fn.kind == "value" and type(fn.value) == "function" then
    reach(fn.value, "inline")
  end
  args[2], args[3] = nil, nil -- not to be called by the workflow
  return promise_of('step("...", ...)')
end

-- await(step.f) in place of await(step.f()).
local function awaits_function(s, pc, name, of)
  local durable = of and (of.kind == "handle" and of.name or of.kind == "value" and core.durable(of.value) and of.name)
  if durable then
    report(s, pc, "await", ("gives %s the function %s, which was not called"):format(name, durable),
      ("write %s(%s(...))"):format(name, durable))
  end
end

-- A saga undoes when its variable is closed; one that is handed on is somebody else's to close.
local function makes_saga(s, pc, dropped)
  local code = s.proto.code
  local closes = code[pc + 1] and op_of(code[pc + 1]) == OP.TBC and a_of(code[pc + 1]) == a_of(code[pc])
  local kept = dropped
  for _, l in ipairs(s.proto.locals) do kept = kept or l.from == pc + 1 end
  if kept and not closes then
    report(s, pc, "saga", "makes a saga that is not closed where its scope ends", "write `local s <close> = da.saga()`")
  end
end

local function call_library(s, pc, name, args, dropped)
  if name == "await" or name == "pawait" then awaits_function(s, pc, name, args[1]) end
  if s.mode == "step" and not in_steps[name] and field(da, name) ~= nil then
    report(s, pc, "step-leaf", ("calls da.%s, which steps do not have"):format(name),
      "call it in the workflow, and pass on what it gives")
  elseif in_step(s) and not_in_steps[name] or s.mode == "inline" and needs_execution[name] then
    local word = (name == "await" or name == "pawait") and name or "da." .. name
    report(s, pc, "step-leaf", ("calls %s in %s, and a step is a leaf"):format(word, WHERE[s.mode]),
      "await in the workflow, and pass on the result as an argument")
  end
  if step_only[name] and s.mode ~= "step" and s.mode ~= "any" then
    report(s, pc, "step-only", ("calls da.%s in %s, and a replay would do it again"):format(name, WHERE[s.mode]),
      "move it into function step.NAME(...) ... end")
  end
  if name == "again" and dropped then
    report(s, pc, "again", "calls da.again and goes on", "write `return da.again(...)`")
  end
  if name == "saga" and not in_step(s) then makes_saga(s, pc, dropped) end
  if queues[name] then return { kind = "queue", name = "da." .. name .. "(...)" } end
  if name == "service" then return { kind = "service", name = type(args[1]) == "table" and args[1].text or "?" } end
  if s.mode == "step" or (s.mode == "any" and name == "get") then return nil end -- there it is a table
  if makes_promise[name] then return promise_of("da." .. name .. "(...)", makes_promise[name] == "keep") end
end

-- In a step os.setlocale may ask, and may set what is set.
local function is_harmless(s, name, args)
  if name ~= "os.setlocale" or s.mode ~= "step" then return false end
  local text = args[1] and args[1].kind == "text" and args[1].text
  return not text or text == "C" or text == "POSIX"
end

local function call_refused(s, pc, what, args)
  local kind, name = what.kind, what.name
  if is_harmless(s, name, args) then return end
  if kind == "never" and s.mode ~= "any" then
    report(s, pc, "step-only", ("calls %s, which would reach the whole program"):format(name),
      name == "os.exit" and "return, or raise an error" or "format such texts yourself")
  elseif s.mode == "workflow" then
    report(s, pc, "step-only", ("calls %s in a workflow, which is not the same on a replay"):format(name),
      name == "io.write" and "use print, or move it into function step.NAME(...) ... end" or MAKE_STEP)
  elseif s.mode == "inline" and kind == "named" then
    report(s, pc, "step-only", ("calls %s in an inline step"):format(name), "make that a named step: " ..
      "function step.NAME(...) ... end and await(step.NAME(...))")
  end
end

local function call_require(s, pc, args)
  local name = args[1] and args[1].kind == "text" and args[1].text
  if not name or s.mode == "step" or s.mode == "any" then return end
  if not modules[name] and not LIBRARIES[name] then
    report(s, pc, "module", ("requires '%s' in %s, and there is no such module beside the script"):format(name,
      WHERE[s.mode]), "require it inside function step.NAME(...) ... end")
  end
end

local function change(s, pc, known, what)
  if s.block and known and known.out then
    report(s, pc, "closure", ("%s '%s' of the workflow in an inline step, which a replay does not run"):format(what, known.out),
      "return the value from the step, and change the table outside")
  end
end

-- A C function of the standard library.
local function call_stock(s, pc, fn, args)
  if refused[fn] then call_refused(s, pc, refused[fn], args) end
  if mutators[fn] then change(s, pc, args[1], "changes the table") end
  if fn == G.require then call_require(s, pc, args) end
  local name = wants_value[fn]
  local promise = name and args[1]
  if promise and promise.kind == "promise" then forgotten(s, pc, promise, "gives " .. name) end
end

local function call_value(s, pc, known, args, dropped)
  local fn = known.value
  if fn == da.step then return call_inline(s, pc, args) end
  if fn == da.async then
    if in_step(s) then call_durable(s, pc, "async") end
    return promise_of('async("...", ...)', true)
  end
  if type(fn) == "userdata" then
    if core.absent(fn) then use_of_absent(s, pc, known) end
    local name = core.durable(fn)
    return name and call_durable(s, pc, durable_name(name) or name)
  end
  if type(fn) ~= "function" then return nil end
  if da_names[fn] then return call_library(s, pc, da_names[fn], args, dropped) end
  if core.place(fn) then reach(fn, s.mode) else call_stock(s, pc, fn, args) end
end

local function call_method(known, s, pc)
  local on, name = known.on, known.name
  if on.kind == "promise" then return nil end
  if on.kind == "queue" then return waits[name] and call_durable(s, pc, ("%s:%s"):format(on.name, name)) or nil end
  local durable = on.kind == "handle" and on.name or durable_name(core.durable(on.value)) or "a durable function"
  if name == "detach" then return call_durable(s, pc, durable, true) end
  return { kind = "handle", name = durable }
end

-- A closure of the script is called here, or given to somebody who may call it.
local function call_closure(s, closure)
  closure.taken = true
  local ups = closure.ups
  if s.mode == "inline" and closure.born ~= "inline" then ups = outside(ups) end
  scan(closure.proto, ups, s.mode, s.block and closure.born == "inline")
end

-- What the call gives; args: what is known of the arguments. dropped: nobody takes its results.
local function call(s, pc, known, args, dropped)
  local kind = known and known.kind
  if kind == "value" then return call_value(s, pc, known, args, dropped) end
  if kind == "handle" then return call_durable(s, pc, known.name) end
  if kind == "method" then return call_method(known, s, pc) end
  if kind == "promise" then forgotten(s, pc, known, "calls") end
  if kind == "closure" then call_closure(s, known) end
end

---------------------------------------------------------------------------------------------------- reading a function

local handlers = {}

local function set(s, pc, r, known)
  if s.volatile[r] and known and known.kind == "promise" then known = nil end
  s.known[r] = known
  s.set_at[r] = pc
end

local function upvalue(s, u)
  local up = s.ups[u]
  if not up then return nil end
  if not (s.block and up.outside) then return up.known end
  local known = {}
  for name, value in pairs(up.known or { kind = "unknown" }) do known[name] = value end
  known.out = up.name
  return known
end

handlers[OP.MOVE] = function(s, pc, i) set(s, pc, a_of(i), s.known[b_of(i)]) end

handlers[OP.LOADK] = function(s, pc, i)
  local text = s.proto.constants[bx_of(i) + 1]
  set(s, pc, a_of(i), text and { kind = "text", text = text })
end

handlers[OP.GETUPVAL] = function(s, pc, i) set(s, pc, a_of(i), upvalue(s, b_of(i))) end

handlers[OP.SETUPVAL] = function(s, pc, i)
  local up = s.ups[b_of(i)]
  if s.mode == "inline" and up and up.outside then
    report(s, pc, "closure", ("assigns the outer local '%s' in an inline step, which a replay does not run"):format(up.name),
      "return the value from the step, and assign it outside")
  end
end

handlers[OP.GETTABUP] = function(s, pc, i)
  local up, name = s.ups[b_of(i)], s.proto.constants[c_of(i) + 1]
  if up and up.env then
    set(s, pc, a_of(i), known_value(field(G, name), name))
  else
    set(s, pc, a_of(i), index(s, pc, upvalue(s, b_of(i)), name))
  end
end

handlers[OP.SETTABUP] = function(s, pc, i)
  local up, name = s.ups[a_of(i)], s.proto.constants[b_of(i) + 1]
  if not (up and up.env) then
    change(s, pc, upvalue(s, a_of(i)), "changes the table")
    return
  end
  global_writes[("%s:%d:%s"):format(s.proto.file, s.proto.lines[pc], name)] = s.mode ~= "any"
  if s.mode == "any" then return end
  assigns_global(s.proto, s.proto.lines[pc], name, s.mode == "step" and "of which every step thread has its own" or FROZEN)
end

handlers[OP.GETFIELD] = function(s, pc, i)
  set(s, pc, a_of(i), index(s, pc, s.known[b_of(i)], s.proto.constants[c_of(i) + 1]))
end

local function get_some_field(s, pc, i)
  local known = s.known[b_of(i)]
  local absent = known and known.kind == "value" and type(known.value) == "userdata" and core.absent(known.value)
  if absent then use_of_absent(s, pc, known) end
  set(s, pc, a_of(i), index(s, pc, known, nil))
end
handlers[OP.GETTABLE], handlers[OP.GETI] = get_some_field, get_some_field

local function set_some_field(s, pc, i) change(s, pc, s.known[a_of(i)], "changes the table") end
handlers[OP.SETTABLE], handlers[OP.SETI], handlers[OP.SETFIELD] = set_some_field, set_some_field, set_some_field

handlers[OP.SELF] = function(s, pc, i)
  local a, of = a_of(i), s.known[b_of(i)]
  local key = i >> 15 & 1 == 1 and s.proto.constants[c_of(i) + 1] or nil
  local got = index(s, pc, of, key or nil)
  set(s, pc, a, got)
  set(s, pc, a + 1, of)
end

handlers[OP.CLOSURE] = function(s, pc, i)
  local inner, ups = s.proto.inner[bx_of(i) + 1], {}
  for k, up in ipairs(inner.upvalues) do
    if up.stack then
      local known = s.known[up.index]
      if known and known.kind == "promise" then known = nil end -- it may be another one by then
      ups[k - 1] = { known = known, name = up.name }
      if assigns(inner, k - 1) then
        s.volatile[up.index] = true
        set(s, pc, up.index, nil)
      end
    else
      local from = s.ups[up.index] or {}
      ups[k - 1] = { known = from.known, name = up.name, env = from.env, outside = from.outside }
    end
  end
  local closure = { kind = "closure", proto = inner, ups = ups, born = s.mode }
  s.closures[#s.closures + 1] = closure
  set(s, pc, a_of(i), closure)
end

-- An argument that is a function may be called by whom it is given to, as the caller itself would.
local function hand_over(s, known)
  if not known then return end
  if known.kind == "closure" then
    call_closure(s, known)
  elseif known.kind == "value" and type(known.value) == "function" and not da_names[known.value] and core.place(known.value) then
    reach(known.value, s.mode)
  end
end

local function call_at(s, pc, i, tail)
  local a, b = a_of(i), b_of(i)
  local count = b > 0 and b - 1 or s.proto.registers - a
  local args = {}
  for k = 1, count do args[k] = s.known[a + k] end
  local known = s.known[a]
  local dropped = not tail and c_of(i) == 1
  local result = call(s, pc, known, args, dropped)
  local inner = known and known.kind == "value" and protected[known.value] and args[1]
  if inner and inner.kind == "value" and inner.value ~= G.require then -- pcall(f, ...) calls f
    call(s, pc, inner, table.move(args, 2, count, 1, {}), false)
  end
  for k = 1, count do hand_over(s, args[k]) end
  for r = a, s.proto.registers do set(s, pc, r, nil) end
  if result and result.kind == "promise" and dropped and not result.silent and not in_step(s) then
    report(s, pc, "dropped", ("drops the promise of %s, so nobody sees its result"):format(result.by),
      "write await(...) around the call, or :ignore() behind it if its outcome does not matter")
  end
  if not dropped then set(s, pc, a, result) end
end

handlers[OP.CALL] = function(s, pc, i) call_at(s, pc, i, false) end
handlers[OP.TAILCALL] = function(s, pc, i) call_at(s, pc, i, true) end

local function is_promise(s, r)
  local known = s.known[r]
  return known and known.kind == "promise" and known
end

-- In `a and step.x() or step.y()` the promise is tested honestly: the test of `a` goes where this one goes.
local function is_choice(s, pc)
  return s.joins[pc + 2] and s.joins[pc + 2].first
end

handlers[OP.TEST] = function(s, pc, i)
  local promise = is_promise(s, a_of(i))
  if promise and not is_choice(s, pc) then forgotten(s, pc, promise, "tests (always true)") end
end

local function test_b(s, pc, i)
  local promise = is_promise(s, b_of(i))
  if promise and not is_choice(s, pc) then forgotten(s, pc, promise, "tests (always true)") end
  set(s, op_of(i) == OP.TESTSET and pc + 1 or pc, a_of(i), nil) -- TESTSET sets it only where it jumps, one further on
end
handlers[OP.NOT], handlers[OP.TESTSET] = test_b, test_b

local function operand(s, pc, r, what)
  local promise = is_promise(s, r)
  if promise then forgotten(s, pc, promise, what) end
end

local function equal(s, pc, i)
  local fresh = function(r) return is_promise(s, r) and not is_named(s.proto, r, pc) end
  if fresh(a_of(i)) then operand(s, pc, a_of(i), "compares") end
  if op_of(i) == OP.EQ and fresh(b_of(i)) then operand(s, pc, b_of(i), "compares") end
end

-- A promise in a variable may be compared with another one, or with nil; a text or a number is never equal to it.
local function equal_constant(s, pc, i)
  local constant = op_of(i) == OP.EQK and type(s.proto.constants[b_of(i) + 1]) or "number"
  if constant == "string" or constant == "number" or not is_named(s.proto, a_of(i), pc) then operand(s, pc, a_of(i), "compares") end
end
for op = OP.EQ, OP.GEI do
  if op == OP.EQ then
    handlers[op] = equal
  elseif op == OP.EQK or op == OP.EQK + 1 then
    handlers[op] = equal_constant
  else
    handlers[op] = function(s, pc, i)
      operand(s, pc, a_of(i), "compares")
      if op < OP.EQK then operand(s, pc, b_of(i), "compares") end
    end
  end
end

for op = OP.ADDI, OP.SHR do
  handlers[op] = function(s, pc, i)
    operand(s, pc, b_of(i), "calculates with")
    if op >= OP.ADD then operand(s, pc, c_of(i), "calculates with") end
    set(s, pc, a_of(i), nil)
  end
end
for _, op in ipairs { OP.UNM, OP.BNOT, OP.LEN } do
  handlers[op] = function(s, pc, i)
    operand(s, pc, b_of(i), op == OP.LEN and "takes the length of" or "calculates with")
    set(s, pc, a_of(i), nil)
  end
end
handlers[OP.CONCAT] = function(s, pc, i)
  for r = a_of(i), a_of(i) + b_of(i) - 1 do operand(s, pc, r, "concatenates") end
  set(s, pc, a_of(i), nil)
end

-- What no way to pc can have changed stays known.
local function join_at(s, pc, join)
  if join.first then
    for r, at in pairs(s.set_at) do
      if at >= join.first then s.known[r] = nil end
    end
  end
  for back = pc, join.last or 0 do
    local first, last = written(s.proto, s.proto.code[back])
    for r = first or 1, last or 0 do
      s.known[r] = nil
      s.set_at[r] = pc
    end
  end
end

local scanned = {} -- proto -> mode -> true

-- Reads a function in a mode. block: it is the closure of an inline step, or lies in one, and changes of tables count too;
-- ups[u].outside: the variable is the workflow's.
function scan(proto, ups, mode, block)
  local seen = scanned[proto] or {}
  scanned[proto] = seen
  if seen[mode] then return end
  seen[mode] = true
  local s = { proto = proto, ups = ups, mode = mode, block = block, known = {}, set_at = {}, volatile = {}, closures = {} }
  s.joins = joins_of(proto)
  for pc, i in ipairs(proto.code) do
    if s.joins[pc] then join_at(s, pc, s.joins[pc]) end
    local handler = handlers[op_of(i)]
    if handler then
      handler(s, pc, i)
    else
      local first, last = written(proto, i)
      for r = first or 1, last or 0 do set(s, pc, r, nil) end
    end
  end
  for _, closure in ipairs(s.closures) do
    if not closure.taken then scan(closure.proto, closure.ups, "any") end
  end
end

local protos, waiting = {}, {} -- of functions of the script; what is to be read

function reach(fn, mode)
  local proto = protos[fn]
  if proto == nil then
    proto = code_of(fn) or false
    protos[fn] = proto
  end
  if not proto or proto.file == "" or (scanned[proto] or {})[mode] then return end
  waiting[#waiting + 1] = { fn = fn, proto = proto, mode = mode }
end

local function read_waiting()
  while #waiting > 0 do
    local next_one = table.remove(waiting)
    local ups = {}
    for k, up in ipairs(next_one.proto.upvalues) do
      local value = core.upvalue(next_one.fn, k)
      -- A helper that an inline step calls: its variables are all outside.
      ups[k - 1] = { known = known_value(value, up.name), name = up.name, env = up.name == "_ENV" and value == G, outside = true }
    end
    scan(next_one.proto, ups, next_one.mode)
  end
end

---------------------------------------------------------------------------------------------------- the whole

local mains = {}
for i = 1, math.huge do
  local name, main = core.module(i)
  if not name then break end
  modules[name] = true
  mains[i] = main
end
for _, f in pairs(core.functions) do
  while f do -- and the older versions of the name
    reach(f.body, f.workflow and "workflow" or "step")
    f = f.older
  end
end
read_waiting()
for _, main in ipairs(mains) do check_globals(main) end
tell()
