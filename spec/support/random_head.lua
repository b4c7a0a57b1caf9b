-- random_head.lua - what stands at the top of every file of random programs: its steps, common workflows and helpers.
--
-- Run by dahost, never by a spec. Helpers are constants of the file, as every state has its own.
-- SPDX-License-Identifier: Apache-2.0
-- luacheck: ignore 211
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step

---------------------------------------------------------------------------------------------------- steps

-- The ledger is the witness outside of the store: one line for each attempt that came to its end.
local function ran()
  local file = assert(io.open(os.getenv "LEDGER", "a"))
  file:write(da.id(), "\n")
  file:close()
end

function step.echo(...) ran() return ... end
function step.add(a, b) ran() return a + b end
function step.who() ran() return da.id() end
function step.holes(a, b) ran() return nil, a, nil, b, nil end
function step.bytes(n) ran() return ("\0\255\r\n\\\"x"):rep(n) end
function step.nest(n) ran() local t = { n } for i = 1, n do t = { deep = t, list = { i, i / 2, tostring(i) } } end return t end
function step.none() ran() end
function step.open(...) ran() return ... end -- its arguments depend on an order that is nobody's promise

function step.flaky(times, ...)
  if da.attempt() < times then error("attempt " .. da.attempt()) end
  ran()
  return ...
end

function step.fail(code, message) ran() da.error(code, message, { fatal = true, about = { message, 1.5, { true } } }) end
function step.throw(value) ran() error(value) end
function step.later() error "not yet" end -- with a retry that is far away
function step.tell(id, ...) ran() return da.resolve(id, ...) end
function step.refuse(id, code, message) ran() return da.reject(id, code, message) end
function step.post(name, ...) ran() for i = 1, select('#', ...) do da.send(name, (select(i, ...))) end end
function step.launch(id, n) ran() return da.start(id, async.fib, n) end
function step.launch_all(names) for _, name in ipairs(names) do da.start(name, async[name], name) end end

---------------------------------------------------------------------------------------------------- workflows

function async.begin(names) await(step.launch_all(names)) end

function async.fib(n)
  if n < 2 then return n end
  local a, b = await(async.fib(n - 1), async.fib(n - 2))
  return await(step.add(a, b))
end

function async.sleeper(seconds)
  await(da.sleep(seconds))
  return "slept"
end

function async.twice(x) return await(step.echo(x, x)) end
function async.hands(p) return await(p) end

function async.fails(code, first)
  if first then await(step.echo(first)) end
  da.error(code, "from " .. da.id(), { first = first })
end

-- Ends early only, and undoes then; `inner`: in a branch with a saga of its own as well.
function async.undoes(value, inner)
  local s <close> = da.saga()
  s:on_fail(step.echo, "undone", value)
  if inner then
    async("inner", function()
      local s2 <close> = da.saga()
      s2:on_fail(async.twice, value)
      s2:on_fail(function() await(da.sleep(0.001)) end)
      await(da.promise "never")
    end)
  end
  await(da.promise "never")
end

-- Holds its permit over generations; whoever comes behind it gets it once it has ended.
function async.holds(name, n)
  local permit = await(da.semaphore(name, 1):acquire())
  local s <close> = da.saga()
  s:on_fail(step.echo, "left")
  da.publish("n", n)
  await(step.echo(n))
  if n < 3 then return da.again(name, n + 1) end
  return tostring(permit)
end

function async.which() return 1 end
async.which:defaults { version = 1 }
function async.which() return 2, await(async.which:with { version = 1 }()) end
async.which:defaults { version = 2 }

---------------------------------------------------------------------------------------------------- helpers

-- A value as text on one line; equal text means equal value.
local function show(v, depth)
  local kind = math.type(v) or type(v)
  if kind == "float" then return v ~= v and "nan" or ("%.17gf"):format(v) end
  if kind == "string" then
    return '"' .. v:gsub("[^\32-\126]", function(c) return ("\\%03d"):format(c:byte()) end) .. '"'
  end
  if kind ~= "table" then return (tostring(v)) end
  if da.is_error(v) then return ("E<%s|%s>"):format(tostring(v.code), show(v.message)) end
  if (depth or 0) > 6 then return "..." end
  local parts = {}
  for key, value in pairs(v) do parts[#parts + 1] = show(key) .. "=" .. show(value, (depth or 0) + 1) end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- What a generation was begun with: its number, and how many lines those before it printed.
local function generation(first)
  if type(first) == "table" and first.generation then return first.generation, first.lines end
  return 1, 0
end

-- Collects in `out` what the program saw; quiet: where order is open, so that nothing may be printed. Also gives the
-- function that tells how many lines there were, those of the generations before counted in.
local function logger(out, quiet, before)
  local count, id = before or 0, da.id()
  local function lines() return count end
  return function(...)
    local parts = {}
    for i = 1, select("#", ...) do parts[i] = show((select(i, ...))) end
    local line = table.concat(parts, " ")
    out[#out + 1] = line
    count = count + 1
    if not quiet then print(("@%s #%d %s"):format(id, count, line)) end
  end, lines
end

-- Names that are never given twice: a key twice is the same call.
local function counter()
  local count = 0
  return function(name)
    count = count + 1
    return name .. count
  end
end
