-- random_statement.lua - the statements of random programs (random_program.lua): what Lua and `da` offer, in random use.
--
-- Each is a function (g, ctx) -> node, in a list by what it needs: plain Lua, durable calls, a known order. Every
-- statement stands alone, so that a failing program can be cut down.
--
-- SPDX-License-Identifier: Apache-2.0
-- luacheck: ignore 631 (the text of a statement is one line)
local random_program = require("spec.support.random_program")
local deeper, short = random_program.deeper, random_program.short

local M = {}

local function block(head, body, tail) return { head, body = body, tail = tail } end

local function body(g, ctx, low, high)
  local nodes = {}
  for i = 1, g:int(low or 1, high or 3) do nodes[i] = M.statement(g, ctx) end
  return nodes
end

local function locals(g)
  return ('local n1, n2, f1, s1, s2, t1, t2 = %d, %d, %.2f, "ada", "x", { %d, 3, %d }, { k1 = %d, b = "two" } local once = counter()')
    :format(g:int(-5, 20), g:int(0, 9), g:int(0, 99) / 4, g:int(0, 9), g:int(0, 9), g:int(0, 9))
end

-- A body with locals of its own, whose lines are returned and not printed: others run beside it.
local function aside(g, ctx, low, high)
  local nodes = { { locals(g) .. " local out = {} local log = logger(out, true)", kept = true } }
  for _, node in ipairs(body(g, deeper(ctx, { seq = false }), low, high)) do nodes[#nodes + 1] = node end
  nodes[#nodes + 1] = { "return out", kept = true }
  return nodes
end

---------------------------------------------------------------------------------------------------- plain Lua

local plain = {
  { 2, function(g) return { ("n1, n2 = %s, %s"):format(g:number(), g:number()) } end },
  { 1, function(g) return { ("f1 = %s s1, s2 = (%s), s1"):format(g:float(), g:string()) } end },
  { 2, function(g, ctx)
    return { ("t1[%s] = %s t2[%s] = %s"):format(g:pick { "#t1 + 1", "#t1 + 1", "1", "n2 % 5" }, g:value(ctx, 1, true),
      g:pick { '"k1"', '"k2"', "s2", "n1 % 4", "#s1 > 3" }, g:value(ctx, 1, true)) }
  end },
  { 3, function(g, ctx) return { ("log(%q, %s)"):format(g:pick { "a", "b" }, g:values(ctx, 1, 3)) } end },
  { 2, nests = true, function(g, ctx)
    local node = block(("if %s then"):format(g:condition()), body(g, deeper(ctx)), "end")
    if g:chance(60) then node.mid, node.other = "else", body(g, deeper(ctx)) end
    return node
  end },
  { 2, nests = true, function(g, ctx) -- whoever began with this code takes the new path
    return { ("if da.patched %q then"):format(g:pick { "one", "two", g:fresh("change") }), body = body(g, deeper(ctx)),
      mid = "else", other = { { "log 'the old path'" } }, tail = "end" }
  end },
  { 2, nests = true, function(g, ctx)
    local head = g:pick { "for i = 1, 3 do n2 = n2 + i", "for i = 3, 1, -1 do", "for x = 0.5, 2.0, 0.75 do f1 = f1 + x",
      "for i, v in ipairs { 4, s1, true } do log(i, v)", "for k, v in pairs { z = 1, a = s1, [2] = 3, [1] = f1, [true] = 4 } do log(k, v)",
      "for k, v in pairs(t2) do log(k, v)", 'for w in ("to be or"):gmatch "%a+" do s2 = w',
      "for k in pairs { 1, 2, 3 } do if k == 2 then goto continue end", "local i = 0 repeat i = i + 1",
      "local i = 3 while i > 0 do i = i - 1", "for i = 1, 4 do if i == 3 then break end" }
    local tail = head:find "repeat" and "until i >= 2" or head:find "goto" and "::continue:: end" or "end"
    if head:find "^local" then head, tail = "do " .. head, tail .. " end" end
    if head:find "goto" then head, tail = head .. " do", "end " .. tail end
    return block(head, body(g, deeper(ctx), 1, 2), tail)
  end },
  { 2, nests = true, function(g, ctx) -- closures with an upvalue each, and one that all share
    return block("do local fs, sum = {}, 0 for i = 1, 3 do local c = i * n2 fs[i] = function(d) c = c + d sum = sum + c return c, sum end end log(fs[1](n1), fs[2](1))",
      body(g, deeper(ctx)), "log(fs[2](n2), fs[1](-1)) log(sum) end")
  end },
  { 2, nests = true, function(g, ctx)
    local f = g:fresh("fn")
    return block(("local function %s(x, ...) n1 = x"):format(f), body(g, deeper(ctx)),
      ("return select('#', ...), ... end log(%s(%s)) log(%s(%s))"):format(f, g:number(), f, "n2, " .. g:value(ctx)))
  end },
  { 3, nests = true, function(g, ctx)
    local ends = g:pick { 'error(s1)', "error { code = 'own', n = n1 }", "error(nil)", "error()", 'error("level", 2)', "local x x.y = 1",
      'da.error("mine", s2, { n = n1 })', "return n1, s1", "assert(false, s1)", "assert(nil)", "return 1 + {}", "error(n1)",
      "return t2.nothing.here", "error(setmetatable({ 5 }, { __tostring = function() return 'own text' end }))" }
    local head = g:pick { "log(pcall(function()", "log(pcall(function()", "log(xpcall(function()", "log(select(2, pcall(function()" }
    local tail = head:find "xpcall" and "end, function(e) return 'handled', e end))" or head:find "select" and "end)))" or "end))"
    return block(head, body(g, deeper(ctx)), "do " .. ends .. " end " .. tail)
  end },
  { 2, nests = true, function(g, ctx)
    local co = g:fresh("co")
    return { ("local %s = coroutine.wrap(function(a) log('in', a)"):format(co), body = body(g, deeper(ctx)),
      mid = "local b = coroutine.yield(a, n1) log('again', b)", other = body(g, deeper(ctx), 1, 1),
      tail = ("return 'last', b end) log(%s(%s)) log(%s(%s)) log(pcall(%s))"):format(co, g:number(), co, g:value(ctx), co) }
  end },
  { 1, nests = true, function(g, ctx)
    local co = g:fresh("co")
    return block(("local %s = coroutine.create(function(...) local x <close> = setmetatable({}, { __close = function(_, e) log('closed', e) end }) log(...)")
      :format(co), body(g, deeper(ctx)),
      ("coroutine.yield(s1) error('end') end) log(coroutine.resume(%s, n1)) log(coroutine.status(%s)) log(coroutine.%s(%s)) log(coroutine.status(%s))")
      :format(co, co, g:pick { "resume", "close" }, co, co))
  end },
  { 1, function(g)
    return { ("do local t = { 5, 3, %d, 9, 1 } table.sort(t, function(a, b) return a %% 4 < b %% 4 end) log(t, table.unpack(t, 2, 4)) end")
      :format(g:int(0, 9)) }
  end },
  { 1, function(g)
    return { "do local t = { a = 1, b = 2, c = 3, [1] = 4 } for k in pairs(t) do t[k] = nil end t.z = " .. g:number() ..
      " log(next(t)) log(next({})) log(#t, rawlen(t)) end" }
  end },
  { 1, function(g)
    return { "do local t = table.pack(" .. g:values({}, 0, 4) .. ") t[t.n + 2] = n1 table.move(t, 1, 3, 2) log(t, t.n) table.insert(t2, s1) log(table.remove(t1) or 'none') end" }
  end },
  { 1, function(g)
    return { ("do local m = setmetatable({}, { __index = function(_, k) return k .. '!' end, __add = function(a, b) return 'sum' end, __call = function(_, ...) return ... end, __len = function() return %d end, __concat = function() return 'cat' end, __lt = function() return true end, __eq = function() return true end, __close = function() log 'closed' end }) local c <close> = m log(m.x, m + 1, m(n1, s1), #m, m .. 1, m < m, m == setmetatable({}, getmetatable(m))) end")
      :format(g:int(0, 9)) }
  end },
}

---------------------------------------------------------------------------------------------------- durable calls

local durable = {
  { 6, function(g, ctx) return { ("log(await(%s))"):format(g:quick(ctx)) } end },
  { 2, function(g) return { ("n1 = await(step.add(%s, %s))"):format(g:number(), g:number()) } end },
  { 1, function(g, ctx) -- what is under way is given to another execution
    return { ("do local p = %s log(pawait(async.hands(p))) log(pawait(p)) end"):format(g:chance(80) and g:single(ctx) or g:failing_child()) }
  end },
  { 1, function(g) return { ("s1 = await(step.echo((%s)))"):format(g:string()) } end },
  { 1, function(g, ctx) return { ("log(await(%s, %s))"):format(g:quick(ctx), g:quick(ctx)) } end },
  { 3, function(g) return { ("log(pawait(%s))"):format(g:failing()) } end },
  { 1, function(g) return { ("log(pcall(await, %s))"):format(g:failing()) } end },
  { 1, function(g) return { ("do local p = %s log(p:pawait()) log(pawait(p)) end"):format(g:failing()) } end },
  { 1, function() return { "do local t0 = da.now() await(da.sleep(0.003)) log(da.now() - t0 >= 0.0029, os.time() >= t0 // 1) end" } end },
  { 3, nests = true, function(g, ctx) -- started, other work, awaited
    local p = g:fresh("p")
    return block(("do local %s = %s"):format(p, g:quick(ctx)), body(g, deeper(ctx)), ("log(await(%s)) end"):format(p))
  end },
  { 2, function(g, ctx) return { ("log(await(da.all %s))"):format(g:list_of_quick(ctx, 0, 5)) } end },
  { 2, function(g, ctx)
    return { ("do local list = %s list[#list + 1] = %s log(pawait(da.all(list))) log(await(da.outcomes(list))) end")
      :format(g:list_of_quick(ctx, 0, 2), g:failing()) }
  end },
  { 1, function(g) return { ("log(pawait(da.any { %s, %s }))"):format(g:failing(), g:failing()) } end },
  { 2, function(g, ctx) return { ("log(await(da.any %s))"):format(g:among(g:quick(ctx))) } end },
  { 1, function(g, ctx)
    return { ("do local list = { %s, %s } log(await(da.any(list, { losers = 'keep' }))) log(await(da.outcomes(list))) end")
      :format(g:failing(), g:quick(ctx)) }
  end },
  { 2, function(g, ctx) return { ("log(pawait(da.race %s))"):format(g:among(g:chance(50) and g:quick(ctx) or g:failing())) } end },
  { 1, function(g, ctx) -- who is first is open, and must stay so
    return { ("do local list = { %s, %s } local _, i = pawait(da.race(list, { losers = 'keep' })) await(step.open(i)) await(da.outcomes(list)) end")
      :format(g:quick(ctx), g:quick(ctx)) }
  end },
  { 2, function(g)
    return { ("log(await(da.map({ %d, s1, n2, 4, true }, %s, { limit = %d })))"):format(g:int(0, 9),
      g:pick { "step.echo", "step.who", "async.twice" }, g:int(1, 5)) }
  end },
  { 1, function(g)
    return { ("do local k = once 'map' log(await(da.map({ 3, 1, 2 }, function(x) local y = await(step.add:with { key = k .. x }(x, n1)) return { x, y } end, { limit = %d }))) end")
      :format(g:int(1, 3)) }
  end },
  { 2, function(g, ctx) return { ('log(await(da.within("1h", %s)))'):format(g:quick(ctx)) } end },
  { 1, function(g) return { ('do local p = %s log(pawait(da.within("%dms", p))) log(pawait(p)) end'):format(g:never(), g:int(1, 4)) } end },
  { 2, function(g, ctx)
    return { ("do local p = da.promise(%q) log(p.id, await(step.%s)) log(pawait(p)) log(pawait(da.within('1h', p))) end")
      :format(g:fresh("ask"), g:pick { ("tell(p.id, %s)"):format(g:values(ctx, 1, 2)), ("refuse(p.id, 'no', %s)"):format(g:string(1)) }) }
  end },
  { 1, function(g)
    return { ("do local p = %s await(step.none()) p:cancel(%s) log(pawait(p)) end"):format(g:never(), g:pick { '"enough"', "s1" }) }
  end },
  { 1, function(g, ctx)
    return { ("do local a, k = %s, once 'same' local p, q = step.echo:with { key = k }(a), step.echo:with { key = k }(a) log(p.id == q.id, await(q)) end")
      :format(g:value(ctx)) }
  end },
  { 1, function(g)
    return { ("do local id = da.id():gsub('[:.=]', '-') .. '-%s' local p = async.fib:with { id = id }(2) log(await(p), await(da.get(id))) end"):format(g:fresh("g")) }
  end },
  { 1, function(g)
    return { ("do local id = da.id():gsub('[:.=]', '-') .. '-%s' log(await(step.launch(id, 2)) == id, await(da.get(id))) log(pawait(da.get('no-' .. id))) end")
      :format(g:fresh("s")) }
  end },
  { 1, nests = true, function(g, ctx)
    return block("do local x <close> = setmetatable({}, { __close = function(_, e) log('closing', e, await(step.who())) end })",
      body(g, deeper(ctx)), "end")
  end },
  { 2, nests = true, function(g, ctx) -- undone, or not; undo calls that fail as well, and races in them
    local head = ("log(pcall(function() local s <close> = da.saga() s:on_fail(step.echo, %s) s:on_fail(function() log('undo', await(%s)) end)")
      :format(g:value(ctx), g:quick(ctx))
    if g:chance(30) then head = head .. (" s:on_fail(function() log(await(%s)) end)"):format(g:failing()) end
    return block(head, body(g, deeper(ctx)), g:pick { "error(s1)", "error { code = 'own', n = n1 }", "s:rollback() error()", "s:rollback()",
      "do return s1 end", 'da.error("mine", s2)' } .. " end))")
  end },
  { 1, function(g) return { ("do local p = async.twice:detach(%s) log(p.id, await(p), p:state()) end"):format(g:number()) } end },
  { 1, function(g) return { ("log(await(async.twice:with { delay = '%dms', tags = { a = s1 } }(n1)))"):format(g:int(1, 4)) } end },
  { 1, function() return { "log(('a b c'):gsub('%a', function(c) return await(step.echo(c .. n1)) end))" } end },
  { 1, function() return { "do local t = { 3, 1, 2 } table.sort(t, function(a, b) return await(step.add(a, -b)) < 0 end) log(t) end" } end },
  { 2, nests = true, function(g, ctx) -- branches side by side, each for itself
    local list = {}
    for i = 1, g:int(1, 3) do list[i] = block(("async(%q, function()"):format(g:pick { "side", "b" }), aside(g, ctx, 1, 3), "end),") end
    return block("log(await(da.all {", list, "}))")
  end },
  { 1, function(g)
    return { ("do local ch = da.inbox %q ch:send(%s) ch:send((%s)) log(await(ch:recv(), ch:recv())) end")
      :format(g:fresh("in"), g:number(), g:string()) }
  end },
  { 1, function(g)
    local name = g:fresh("in")
    return { ("do local ch = da.inbox %q await(step.post(da.id() .. %q, %s, (%s))) log(await(da.any { da.inbox 'never':recv(), ch:recv() })) log(await(ch:recv())) end")
      :format(name, "/" .. name, g:number(), g:string()) }
  end },
  { 1, function(g) -- what was given to one that gives up goes back
    return { ("do local ch = da.inbox %q ch:send(n1) ch:send(n2) local _, e = pawait(da.within('%dms', da.all { ch:recv(), da.inbox 'never':recv() })) log(e.code, await(ch:recv(), ch:recv())) end")
      :format(g:fresh("in"), g:int(1, 3)) }
  end },
  { 1, nests = true, function(g, ctx)
    local name = g:fresh("-room")
    return block(("do local sem = da.semaphore(da.id():sub(-90) .. %q, 1) do local permit <close> = await(sem:acquire()) log(select(2, pawait(da.within('1ms', sem:acquire()))).code)")
      :format(name), body(g, deeper(ctx)), "end await(sem:acquire()):release() end")
  end },
  { 1, function(g)
    return { ("do local lim = da.limiter(da.id():sub(-90) .. %q, { rate = %d, per = '1ms' }) for _ = 1, 3 do log(await(lim:take())) end end")
      :format(g:fresh("-rate"), g:int(1, 3)) }
  end },
  { 1, function(g) return { ("da.publish(%q, %s)"):format(g:pick { "k1", "k2" }, g:pick { "n1", "s1", "nil", "{ n1, s2 }" }) } end },
  { 1, function(g, ctx)
    return { ("do local p = %s log(p:state()) await(p) log(p:state()) end"):format(g:quick(ctx)) }
  end },
  { 1, function(g) return { ("do local p = %s pawait(p) local q = %s await(step.none()) q:cancel() pawait(q) log(p:state(), q:state()) end"):format(g:failing(), g:never()) } end },
  { 1, function(g) -- a deadline, or somebody who asks, ends it; it undoes
    local text = g:pick { "log(select(2, pawait(async.undoes:with { timeout = 'Tms' }(n1, B))).code)",
      "do local p = async.undoes(n1, B) await(step.none()) p:cancel(s1) log(pawait(p)) end",
      "do local p = async.undoes:detach(n1, B) await(step.none()) p:cancel(s1) log(pawait(p)) end",
      "do local p = async.undoes(n1, B) log(select(2, pawait(da.within('Tms', p))).code) log(pawait(p)) end" }
    return { (text:gsub("%f[%w][TB]%f[%W]", { B = g:pick { "true", "false" } }):gsub("Tms", g:int(1, 4) .. "ms")) }
  end },
  { 1, function(g) return { ("do local ok, e = pawait(%s) local _, f = pcall(da.error, 'up', s1, { cause = e, n = n1 }) local _, h = pawait(async('chain', function() error(f) end)) log(h.code, h.cause, h.n) end"):format(g:failing()) } end },
  { 1, function(g, ctx) -- what is shielded ends before it is cancelled
    return { ("do local b = async('held', function() da.shield(function() await(%s) end) await(%s) end) await(step.none()) b:cancel(s1) log(pawait(b)) end"):format(g:quick(deeper(ctx, { depth = 0 })), g:never()) }
  end },
  { 1, function(g, ctx) return { ("log(da.shield(function() return await(%s) end))"):format(g:quick(deeper(ctx, { depth = 0 }))) } end },
  { 1, function(g, ctx) -- what still runs ends before it is undone
    return { ("log(pcall(function() local s <close> = da.saga() s:on_fail(step.echo, n1) local p, q = %s, async.undoes(s1) await(%s) error(s2) end))"):format(g:never(), g:quick(deeper(ctx, { depth = 0 }))) }
  end },
  { 1, function(g)
    return { ("log(await(da.map({ 1, 2, 3 }, function(x) return (pcall(function() local s <close> = da.saga() s:on_fail(step.echo:with { key = once 'map' .. x }, x) await(da.sleep(%s)) if x == 2 then error(s1) end end)) end, { limit = %d })))"):format(short(g), g:int(1, 3)) }
  end },
  { 1, function(g)
    return { ("do local name = da.id():sub(-90) .. %q local p = async.holds(name, 1) log(await(p)) local permit <close> = await(da.semaphore(name, 1):acquire()) log(tostring(permit) ~= nil) end"):format(g:fresh("-kept")) }
  end },
  { 1, function(g) -- what a branch was given and did not take goes back
    return { ("do local ch = da.inbox %q local b = async('leaves', function() local p, q = ch:recv(), ch:recv() await(%s) end) await(ch:send(n1), ch:send(s1)) await(step.none()) b:cancel() pawait(b) log(await(ch:recv(), ch:recv())) end"):format(g:fresh("in"), g:never()) }
  end },
  { 1, function(g)
    return { ("do local sem = da.semaphore(da.id():sub(-90) .. %q, 1) local b = async('leaves', function() local p = sem:acquire() await(%s) end) await(step.none()) b:cancel() pawait(b) do local permit <close> = await(sem:acquire()) end await(sem:acquire()):release() end"):format(g:fresh("-left"), g:never()) }
  end },
  { 1, function(g) return { g:pick { "log(await(async.which()))", "log(await(async.which:with { version = 1 }()))", "log(await(async.which:with { version = 2 }:detach()))" } } end },
  { 1, function(g) -- branches side by side that share a sum
    return { ("do local sum, list = 0, {} for i = 1, 3 do list[i] = async('adds', function() for j = 1, %d do local x = await(step.add(i, j)) sum = sum + x await(da.sleep(%s)) end end) end await(da.all(list)) log(sum) end")
      :format(g:int(1, 3), short(g)) }
  end },
}

---------------------------------------------------------------------------------------------------- in a known order

local ordered = {
  { 3, function(g) return { ("log(%s, %s)"):format(g:chancy(), g:chancy()) } end },
  { 2, function(g, ctx) return { ("log(await(step.echo(%s, %s)))"):format(g:chancy(), g:value(ctx)) } end },
  { 3, function(g, ctx) -- compared at the end, as the records are
    return { ("da.publish(%q, %s)"):format(g:pick { "k1", "k2", "k3" }, g:chance(80) and g:value(ctx, 1, true) or "nil") }
  end },
  { 3, nests = true, function(g, ctx) -- one branch, and nothing beside it
    return block(("log(await(async(%q, function()"):format(g:pick { "alone", "inner.one" }), body(g, deeper(ctx)),
      g:pick { "end)))", "return n1, s1 end)))", "return t1 end)))" })
  end },
  { 1, nests = true, function(g, ctx)
    return block("log(pawait(async('falls', function()", body(g, deeper(ctx)), "error { code = 'fell', n = n1 } end)))")
  end },
  { 2, function(g) -- whose turn it is, is open; what a replay must do again is not
    return { ([[do local trail, list, calls = {}, {}, 0
for i = 1, 3 do list[i] = async("weave", function()
for j = 1, %d do await(da.sleep((%d - i) * 0.001)) calls = calls + 1
trail[#trail + 1] = i .. "/" .. j .. "=" .. calls * (n2 + i)
await(step.open(table.concat(trail, " "))) end end) end
await(da.all(list)) local text = table.concat(trail, " ") log(#trail, await(step.open(text)) == text) end]]):format(g:int(1, 3), g:int(3, 5)) }
  end },
}

-- Where nothing may nest any more: the statements without a body.
local function flat(list)
  local kept = {}
  for _, entry in ipairs(list) do
    if not entry.nests then kept[#kept + 1] = entry end
  end
  return kept
end

local flat_plain, flat_durable, flat_ordered = flat(plain), flat(durable), flat(ordered)

function M.statement(g, ctx)
  local roll, deep = g:int(1, 100), ctx.depth > 0
  if ctx.seq and roll <= 15 then return g:weighted(deep and ordered or flat_ordered, ctx) end
  if roll <= 60 then return g:weighted(deep and durable or flat_durable, ctx) end
  return g:weighted(deep and plain or flat_plain, ctx)
end

---------------------------------------------------------------------------------------------------- functions

local ends = {
  { 6, function() return "return out" end },
  { 1, function(g, ctx) return "return out, " .. g:values(ctx, 1, 3) end },
  { 1, function(g, ctx) return ("return %s"):format(g:quick(ctx)) end },
  { 1, function(g) return ("%s:ignore() return out"):format(g:failing_child()) end },
}
local falls = {
  { 2, function() return 'error({ code = "end", n = n1, list = out })' end },
  { 1, function() return "error(s1)" end },
  { 1, function() return "local x x.y = 1" end },
  { 1, function() return 'da.error("end", s1, { out = out })' end },
  { 1, function(g) return ("await(%s)"):format(g:failing()) end },
  { 1, function(g) return ("local _ = %s return out"):format(g:failing_child()) end },
}

-- What is open when a generation ends: it is joined, or withdrawn.
local left_open = {
  { 3, function() return "" end },
  { 1, function() return "da.sleep(3600):ignore()" end },
  { 1, function(g) return ("da.promise(%q)"):format(g:pick { "never", "nobody" }) end },
  { 1, function() return "da.inbox 'never':recv():ignore() da.semaphore(da.id():sub(-90) .. '-held', 1):acquire():ignore()" end },
  { 1, function(g) return ("%s:ignore()"):format(g:failing_child()) end },
  { 1, function(g, ctx) return ("%s:ignore()"):format(g:quick(deeper(ctx, { depth = 0 }))) end },
  { 1, function() return 'async("joined", function() await(step.none()) end)' end },
  { 1, function() return "local s <close> = da.saga() s:on_fail(step.echo, 1) da.publish('k1', n1) da.patched 'at the end'" end },
  { 1, function() return "await(da.semaphore(da.id():sub(-90) .. '-over', 1):acquire()) da.inbox 'over':send(generation)" end },
  { 1, function() return 'local x <close> = setmetatable({}, { __close = function(_, e) await(step.echo(e)) end })' end },
}

local function again(g, ctx)
  return ("if generation < %d then %s return da.again { generation = generation + 1, lines = lines() } end")
    :format(g:int(2, 3), (g:weighted(left_open, ctx)))
end

local function define(g, name, ctx, low, high)
  local node = block(("function async.%s(...)"):format(name), {
    { locals(g) .. " local generation, before = generation(...) local out = {} local log, lines = logger(out, false, before)"
      .. " log(generation, ...)", kept = true },
  })
  for _, statement in ipairs(body(g, ctx, low, high)) do table.insert(node.body, statement) end
  if g:chance(20) then table.insert(node.body, { "do " .. again(g, ctx) .. " end" }) end
  local last = (g:weighted(g:chance(15) and falls or ends, ctx))
  node.tail = "do " .. last .. " end end"
  return node
end

-- A workflow and the workflows it calls.
function M.workflow(g, name)
  local nodes = {}
  local children = g:int(0, 3) // 2
  for i = 1, children do nodes[i] = define(g, name .. "_" .. i, { depth = 1, seq = true }, 1, 3) end
  local main = define(g, name, { depth = 2, seq = true }, 2, 6)
  for i = 1, children do
    local call = ("async.%s_%d(%s)"):format(name, i, g:values({}, 0, 2))
    table.insert(main.body, g:int(2, #main.body + 1),
      { (g:pick { "log(pawait(%s))", "do local p = %s log(pawait(p)) end", 'log(pawait(da.within("1h", %s)))',
        "log(await(da.outcomes { %s, step.none() }))" }):format(call) })
  end
  main.kept = true
  nodes[#nodes + 1] = main
  return nodes
end

return M
