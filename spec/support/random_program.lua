-- random_program.lua - a random workflow from a seed: what it does is decided by its text alone.
--
-- Here:    make(seed) -> program, a tree of statements each of which can be left out; text(program) -> Lua.
-- Rule:    whatever order steps, children and timers of a program end in, its result, its lines and its records are the
--          same. So members of a race are one that ends and others that never do; branches that run side by side share
--          only sums; where the order is open, it goes into `step.open`, whose arguments a replay compares.
--          A statement uses the locals n1 n2 f1 s1 s2 t1 t2 (declared at the top of every body) and its own.
-- Context: ctx.seq: only one fiber runs here, so chance, printing and `table: #7` are in a known order;
--          ctx.depth: how much may still be nested.
--
-- SPDX-License-Identifier: Apache-2.0
local M = {}

local G = {}
G.__index = G

---------------------------------------------------------------------------------------------------- chance

-- splitmix64, so that a seed means the same program in every interpreter.
function G:draw()
  self.state = self.state + 0x9E3779B97F4A7C15
  local z = self.state
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return z ~ (z >> 31)
end

function G:int(low, high) return low + (self:draw() >> 1) % (high - low + 1) end
function G:chance(percent) return self:int(1, 100) <= percent end
function G:pick(list) return list[self:int(1, #list)] end

-- A name no other statement of the program has.
function G:fresh(prefix)
  self.names = self.names + 1
  return prefix .. self.names
end

-- One of a list of {weight, function}.
function G:weighted(list, ...)
  local sum = 0
  for _, entry in ipairs(list) do sum = sum + entry[1] end
  local at = self:int(1, sum)
  for _, entry in ipairs(list) do
    at = at - entry[1]
    if at <= 0 then return entry[2](self, ...) end
  end
end

local function deeper(ctx, changes)
  local copy = { depth = ctx.depth - 1, seq = ctx.seq }
  for key, value in pairs(changes or {}) do copy[key] = value end
  return copy
end

---------------------------------------------------------------------------------------------------- expressions

function G:number(depth)
  depth = depth or 2
  if depth <= 0 or self:chance(40) then return self:pick { "n1", "n2", tostring(self:int(-9, 9)), "#s1", "#t1" } end
  local a, b = self:number(depth - 1), self:number(depth - 1)
  return (self:pick { "(A + B)", "(A - B)", "(A * B)", "(A // (B | 1))", "(A % (B | 1))", "(A ~ B)", "(A & B)", "(A << 3)",
    "math.max(A, B)", "math.min(A, B)", "(A >> 1)", "math.abs(A)", "(- A)", "select('#', A, B)", "math.tointeger(A)",
    "(A < B and A or B)" }:gsub("[AB]", { A = a, B = b }))
end

function G:float()
  return (self:pick { "f1", "(A / 4)", "(f1 * A)", "math.floor(f1) + 0.5", "(A + 0.25)", "math.fmod(A, 7.5)", "(2 ^ (A % 70))" }
    :gsub("A", function() return self:number(1) end))
end

local literals = { '""', '"ada"', '"\\0\\255\\n"', '"päd"', '"a.b:c=%"', '"{\\"__da\\":1}"', '"null"', '"1"' }

function G:string(depth)
  depth = depth or 2
  if depth <= 0 or self:chance(35) then return self:pick { "s1", "s2", self:pick(literals) } end
  return (self:pick { "(S .. S):sub(1, 24)", "S:upper()", "S:rep(2):sub(-16)", "S:reverse()", '("%d|%s"):format(N, S):sub(1, 24)',
    "tostring(N)", 'S:gsub("a", "b")', 'S:gsub("%w", function(c) return c:byte() % 7 end)', "tostring(F)", 'S:match("^..?") or S',
    "table.concat({ S, N, S }, '-'):sub(1, 24)", "utf8.char(945 + N % 20)", 'string.pack("<i4", N % 1000)',
    'table.concat({ ("%q"):format(S):byte(1, 3) }, ",")' }
    :gsub("%f[%w][SNF]%f[%W]", function(kind)
      if kind == "S" then return "(" .. self:string(depth - 1) .. ")" end
      return kind == "N" and "(" .. self:number(1) .. ")" or "(" .. self:float() .. ")"
    end))
end

-- Any value that may cross. plain: without the tables of the body, so that it can be put into one of them.
function G:value(ctx, depth, plain)
  depth = depth or 2
  if depth <= 0 or self:chance(45) then
    local table = plain and "{}" or self:pick { "t1", "t2" }
    return self:pick { self:number(1), self:float(), "(" .. self:string(1) .. ")", "true", "false", "nil", "math.huge",
      "math.mininteger", "1 << 53", "(1 << 53) + 1", "-0.0", "0/0", "1e300", "1.0", table, table, "da.null" }
  end
  local parts = {}
  for i = 1, self:int(0, 4) do
    local value = self:value(ctx, depth - 1, plain)
    parts[i] = self:pick { value, value, "k" .. self:int(1, 3) .. " = " .. value, "[" .. self:int(-2, 9) .. "] = " .. value,
      "[" .. self:pick { "true", "1.5", '"x y"', '""', "2^53" } .. "] = " .. value }
  end
  local text = "{ " .. table.concat(parts, ", ") .. " }"
  if self:chance(10) then return "da.object {}" end
  return text
end

function G:values(ctx, low, high)
  local list = {}
  for i = 1, self:int(low, high) do list[i] = self:value(ctx) end
  return table.concat(list, ", ")
end

function G:condition()
  return (self:pick { "N < N", "N % 2 == 0", "S < S", "#t1 > 1", "t2.k1 ~= nil", "math.type(N) == 'integer'", "not (N == N)",
    "next(t2) == nil", "S:find('a', 1, true)" }
    :gsub("%f[%w][NS]%f[%W]", function(kind)
      return "(" .. (kind == "N" and self:number(1) or self:string(1)) .. ")"
    end))
end

-- What depends on how much went before in the same execution; only where that is known.
function G:chancy()
  return self:pick { "math.random(1000)", "da.random(6)", "math.random()", "da.uuid()", "math.random(0)", "tostring({})",
    "tostring(function() end)", "tostring(coroutine.create(print))", "math.random(-5, 5)" }
end

---------------------------------------------------------------------------------------------------- promises

local function short(g) return ("%.3f"):format(g:int(0, 6) / 1000) end

local with_options = { "", "", "", "", ':with { timeout = "1h" }', ':with { retry = false }', ':with { attempt_timeout = "1h" }' }

-- Ends soon, and well.
local quick = {
  { 6, function(g, ctx) return ("step.echo%s(%s)"):format(g:pick(with_options), g:values(ctx, 0, 3)) end },
  { 2, function(g) return ("step.add(%s, %s)"):format(g:number(), g:number()) end },
  { 1, function() return "step.who()" end },
  { 1, function(g, ctx) return ("step.holes(%s)"):format(g:values(ctx, 0, 2)) end },
  { 1, function(g) return ("step.bytes(%d)"):format(g:int(0, 3)) end },
  { 1, function(g) return ("step.nest(%d)"):format(g:int(1, 4)) end },
  { 1, function() return "step.none()" end },
  { 2, function(g, ctx)
    return ('step.flaky:with { retry = { first = "1ms", factor = 1, jitter = 0 } }(%d, %s)'):format(g:int(1, 3), g:value(ctx))
  end },
  { 3, function(g, ctx)
    return ("step(%q, function() return %s end)"):format(g:pick { "calc", "in line", "a:b" }, g:values(ctx, 1, 2))
  end },
  { 2, function(g) return ("da.sleep(%s)"):format(short(g)) end },
  { 1, function() return "da.sleep_until(da.now() - 5)" end },
  { 1, function(g) return ("async.fib(%d)"):format(g:int(0, 3)) end },
  { 1, function(g, ctx) return ("step.echo:with { key = once 'key.' }(%s)"):format(g:value(ctx)) end },
}

-- Ends soon, and badly; and is a child, for which its parent waits.
local failing_children = {
  { 3, function(g) return ("step.fail(%q, %s)"):format(g:pick { "limit", "no_way" }, g:string(1)) end },
  { 1, function(g, ctx) return ("step.throw:with { retry = false }(%s)"):format(g:value(ctx)) end },
  { 1, function(g) return ("async.fails(%q, %s)"):format(g:pick { "gone", "bad" }, g:pick { "nil", "1", "false" }) end },
  { 1, function(g)
    return ('step("broken", { retry = false }, function() error(%s) end)'):format(g:pick { '"text"', "{ code = 'own', n = 3 }" })
  end },
}

local failing = {
  { 5, function(g) return g:weighted(failing_children, {}) end },
  { 1, function(g) return ('da.promise(%q, { timeout = "%dms" })'):format(g:fresh("late"), g:int(1, 4)) end },
  { 1, function(g) return ('da.within("%dms", %s)'):format(g:int(1, 4), g:never()) end },
}

-- Ends when it is cancelled.
local never = {
  { 3, function() return "da.sleep(3600)" end },
  { 2, function(g) return ("da.promise(%q)"):format(g:pick { "never", "nobody" }) end },
  { 2, function() return "async.sleeper(3600)" end },
  { 1, function() return 'async("waits", function() await(da.sleep(3600)) end)' end },
  { 1, function() return "step.later:with { retry = { first = 3600, cap = 7200, jitter = 0 } }()" end },
}

function G:never() return self:weighted(never) end
function G:failing() return self:weighted(failing, {}) end
function G:failing_child() return self:weighted(failing_children, {}) end

-- The place of `right` among members that never end, as the text of a list.
function G:among(right)
  local list = { right }
  for _ = 1, self:int(1, 2) do table.insert(list, self:int(1, #list + 1), self:never()) end
  return "{ " .. table.concat(list, ", ") .. " }"
end

function G:list_of_quick(ctx, low, high)
  local list = {}
  for i = 1, self:int(low, high) do list[i] = self:quick(ctx) end
  return "{ " .. table.concat(list, ", ") .. " }"
end

local combined = {
  { 3, function(g, ctx) return ("da.all %s"):format(g:list_of_quick(ctx, 0, 4)) end },
  { 2, function(g, ctx) return ("da.any %s"):format(g:among(g:quick(ctx))) end },
  { 2, function(g, ctx) return ("da.race %s"):format(g:among(g:quick(ctx))) end },
  { 2, function(g, ctx) return ('da.within("1h", %s)'):format(g:quick(ctx)) end },
  { 1, function(g, ctx) return ("da.outcomes %s"):format(g:list_of_quick(ctx, 1, 3)) end },
}

-- The combinators make timers of their own when they begin to run, so inside another one only those without nesting.
function G:single(ctx) return self:weighted(quick, ctx) end
function G:quick(ctx)
  if ctx.depth > 0 and self:chance(15) then return self:weighted(combined, deeper(ctx, { depth = 0 })) end
  return self:weighted(quick, ctx)
end

M.G, M.deeper, M.short = G, deeper, short

---------------------------------------------------------------------------------------------------- the whole

-- Nodes of the tree: { text }, or { head, body = nodes, mid, other = nodes, tail }.
local function emit(lines, nodes)
  for _, node in ipairs(nodes) do
    lines[#lines + 1] = node[1]
    if node.body then emit(lines, node.body) end
    if node.mid then lines[#lines + 1] = node.mid end
    if node.other then emit(lines, node.other) end
    lines[#lines + 1] = node.tail
  end
  return lines
end

function M.text(program)
  return table.concat(emit({}, program.nodes), "\n") .. "\n"
end

function M.head()
  local file = assert(io.open("spec/support/random_head.lua"))
  local text = file:read("a")
  file:close()
  return text .. "\n"
end

-- A program: seed, name (of its workflow and of its execution), nodes.
function M.make(seed)
  local statements = require("spec.support.random_statement")
  local g = setmetatable({ state = seed * 0x5851F42D4C957F2D, names = 0 }, G)
  return { seed = seed, name = "r" .. seed, nodes = statements.workflow(g, "r" .. seed) }
end

return M
