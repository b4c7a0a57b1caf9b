-- contract_spec.lua - every public form of the library, one entry each: how it is called, what it gives, what misuse
-- says.
--
-- The entries are functions of one script. They run as children of one workflow: warm, evicted at every await, sliced,
-- and killed twice; each time the results are these. The depth of each form is in a spec of its own; here it is about
-- the form itself, so an entry fails when a name, a parameter, a result, a unit or an error goes or changes.
--
-- To add a form: an entry in FORMS { form, body, results... }, and for its misuse in MISUSE { form, statement, words }.
--
-- SPDX-License-Identifier: Apache-2.0
local dkjson = require("dkjson")
local harness = require("spec.support.harness")
local program = require("spec.support.program")
local script = require("spec.support.script")

local HEAD = [==[
local da = require "da"
local async, await, step, pawait = da.async, da.await, da.step, da.pawait
function step.echo(...) return ... end
function step.fail(code, message, fields) fields = fields or {} fields.fatal = true da.error(code, message, fields) end
function step.flaky() if da.attempt() < 3 then error "flaky" end return da.attempt() end
function step.slow() local t = os.clock() while os.clock() - t < 0.01 do end return "slow" end
function step.self() return da.id(), da.attempt(), da.deadline() ~= nil, math.type(da.now()), da.replaying() end
function step.settle(how, ...) return da[how](...) end
function step.start(id, ...) return da.start(id, async.back, ...) end
function step.other(id, ...) return da.start(id, async.back:with { timeout = "1m", tags = { a = "b" } }, ...) end
function step.get(id) return da.get(id) end
function step.send(name, v) return da.send(name, v), da.channel(name):send(v) end
function step.progress() return select("#", da.progress(1, 2, "half")) end
function step.names() return type(da.uuid()), da.random() < 1, da.random(3) <= 3, os.date("!%Y", 1.5) end
function step.leaf(name) da[name]() end
function step.pair() return nil, "why" end
function step.defaulted() return da.deadline() ~= nil end
step.defaulted:defaults { timeout = "1m", attempt_timeout = 30, retry = { max = 2, first = "1ms" }, version = 1,
  doc = "words" }
step["dotted.name"] = function() return "a step" end
async["dotted.flow"] = function() return "a workflow" end
function async.back(...) return ... end
function async.throw(value) error(value) end
function async.raise(code, message, fields) da.error(code, message, fields) end
function async.wait(d) return await(da.sleep(d)) end
function async.told() return da.id(), da.deadline() ~= nil end
function async.forgets_again() da.again(1) end
function async.shop() return 1 end
async.shop:defaults { version = 1 }
function async.shop() return 2 end
async.shop:defaults { version = 2 }
local function quick(f, ...) return f:with { retry = false }(...) end
local function plain(e) return e.code .. ": " .. e.message end
]==]

local FORMS = {
  -- defining
  { "function async.NAME(...)", "return await(async.back(1, nil, 3))", 1, nil, 3, n = 3 },
  { 'async["a.b"] = fn, step["a.b"] = fn', 'return await(async["dotted.flow"](), step["dotted.name"]())', "a " ..
    "workflow", "a step" },
  { "f:defaults{version=, retry=, timeout=, attempt_timeout=, doc=}", "return await(step.defaulted())", true },
  { "versions side by side", "return await(async.shop(), async.shop:with { version = 1 }())", 2, 1 },
  { "tostring(f)", "return tostring(async.back), tostring(step.echo)", "async.back", "step.echo" },
  -- calling and waiting
  { "f(...) -> Promise", "local p = async.back(1) return tostring(p):match \"^promise '(.-)'\", type(p), " ..
    "(await(p))", "x:FORM.1.back.1",
    "userdata", 1 },
  { "arguments are copied", "local t = { 1 } local p = step.echo(t) t[1] = 2 return (await(p))[1], t[1]", 1, 2 },
  { "f:with{key=}", "return async.back:with { key = 'k' }(1).id, (await(async.back:with { key = 'k' }(1)))",
    "x:FORM.1.back=k", 1 },
  { "f:with{id=}", "return async.back:with { id = 'mine' }(1).id, (await(async.back:with { id = 'mine' }(1)))",
    "mine", 1 },
  { "f:with{timeout=}", "return select(2, await(async.told:with { timeout = '1m' }())), select(2, " ..
    "await(async.told()))", true, false },
  { "f:with{timeout=}, past", "local ok, e = pawait(async.wait:with { timeout = '20ms' }('1h')) return ok, " ..
    "e.code", false, "timedout" },
  { "f:with{attempt_timeout=}", "return await(step.echo:with { attempt_timeout = '5s' }(4))", 4 },
  { "f:with{retry={...}}", "return await(step.flaky:with { retry = { max = 3, first = 0.001, factor = 1, cap = " ..
    "'1ms', jitter = 0 } }())", 3 },
  { "f:with{retry='forever'}", "return await(step.echo:with { retry = 'forever' }(1))", 1 },
  { "f:with{retry=false}", "local ok, e = pawait(quick(step.flaky)) return ok, e.code, e.attempts", false,
    "error", 1 },
  { "f:with{group=}, f:with{address=}, f:at group", "return tostring(async.back:with { group = 'g' }), " ..
    "tostring(async.back:with { address = 'poll://any@g' }), tostring(async.back:at 'g')",
    "async.back at poll://any@g", "async.back at poll://any@g", "async.back at poll://any@g" },
  { "f:with{delay=, tags=}", "return await(async.back:with { delay = '1ms', tags = { customer = 'ada' } }(5))", 5 },
  { "f:with{...} leaves f alone", "local g = async.told:with { timeout = 9 } return select(2, " ..
    "await(async.told())), g ~= async.told",
    false, true },
  { "f:detach(...)", "local p = async.back:detach(6) return p.id, (await(p))", "x~FORM.1.back.1", 6 },
  { "await(p) -> values...", "return await(step.echo(1, nil, 'x'))", 1, nil, "x", n = 3 },
  { "await(p) raises", "local ok, e = pcall(await, quick(step.fail, 'no_stock', 'none', { n = 1 })) " ..
    "return ok, da.is_error(e), e.code, e.message, e.n, e.func, e.attempts, e.promise",
    false, true, "no_stock", "none", 1, "fail", 1, "x:FORM.1.fail.1" },
  { "await(p, q, ...) -> v1, v2, ...", "return await(step.echo(1, 2), async.back(3, 4), da.sleep(0))", 1, 3,
    nil, n = 3 },
  { "await(p, q) fails on the first failure", "local ok, e = pcall(await, da.sleep '1h', step.fail('a', 'b')) " ..
    "return e.code", "a" },
  { "pawait(p) -> true, values...", "return pawait(step.echo(1, 2))", true, 1, 2 },
  { "pawait(p) -> false, err", "local ok, e = pawait(step.fail('a', 'b')) return ok, plain(e)", false, "a: b" },
  { "p:await(), p:pawait()", "local p = step.echo(1, 2) return p:pawait(), p:await()", true, 1, 2 },
  { "step(label, f)", "return await(step('label', function() return 1, 2 end))", 1, 2 },
  { "step(label, options, f)", "return step('label', { key = 'k', retry = false, timeout = 5 }, function() " ..
    "end).id", "x:FORM.1.label=k" },
  { "async(label, f)", "return await(async('label', function() return da.id(), (await(step.echo(1))) end))",
    "x:FORM.1", 1 },
  { "async(label, options, f)", "return async('label', { key = 'k' }, function() await(da.sleep(0)) end).id",
    "x:FORM.1.label=k" },
  { "da.all(list)", "local r = await(da.all { step.echo(1, 9), async.back(2) }) return r[1], r[2], r.n", 1, 2, 2 },
  { "da.all(list) fails", "return plain(select(2, pawait(da.all { da.sleep '1h', step.fail('a', 'b') })))", "a: b" },
  { "da.outcomes(list)", "local r = await(da.outcomes { step.echo(1), step.fail('a', 'b') }) " ..
    "return r.n, r[1].ok, r[1].value, r[2].ok, r[2].error.code", 2, true, 1, false, "a" },
  { "da.any(list) -> value, index", "return await(da.any { step.fail('a', 'b'), step.echo(7) })", 7, 2 },
  { "da.any(list), all failed", "local ok, e = pawait(da.any { step.fail('a', 'b') }) return e.code, " ..
    "e.errors[1].code",
    "all_failed", "a" },
  { "da.race(list, {losers=})", "local s = da.sleep '1h' return await(da.race({ s, step.echo(7) }, { losers = " ..
    "'cancel' }))", 7, 2 },
  { "da.race(list), the first error", "return plain(select(2, pawait(da.race { da.sleep '1h', step.fail('a', " ..
    "'b') })))", "a: b" },
  { "losers='keep'", "local q = da.promise 'q' return await(da.any({ q, step.echo(1) }, { losers = 'keep' })), " ..
    "q:state()", 1, "pending" },
  { "da.map(list, f, {limit=})", "local r = await(da.map({ 1, 2, 3 }, step.echo, { limit = 2 })) return r[1], " ..
    "r[3], r.n", 1, 3, 3 },
  { "da.map(list, closure)", "local r = await(da.map({ 1, 2 }, function(v) return 2 * await(step.echo(v)) end)) " ..
    "return r[2]", 4 },
  { "da.within(d, p)", "return await(da.within('5m', step.echo(1, 2)))", 1, 2 },
  { "da.within(d, p), past", "local p = da.sleep '1h' local ok, e = pawait(da.within(0.01, p)) return e.code, " ..
    "(pawait(p)), p:state()",
    "timedout", false, "canceled" },
  { "da.sleep(d): numbers and texts", "await(da.sleep(0.001)) await(da.sleep '1ms') return select('#', " ..
    "await(da.sleep '0s'))", 0 },
  { "da.sleep_until(t)", "local t = da.now() + 0.05 await(da.sleep_until(t)) return da.now() >= t", true },
  { "da.promise(name, {timeout=, data=})", "local p = da.promise('p', { timeout = '5ms', data = { x = 1 } }) " ..
    "return p.id, select(2, pawait(p)).code", "x:FORM.1.p.1", "timedout" },
  { "da.promise(name, {id=}), {key=}", "return da.promise('p', { id = 'own-id' }).id, da.promise('p', { key = " ..
    "'k' }).id",
    "own-id", "x:FORM.1.p=k" },
  { "da.get(id) -> Promise", "local p = da.promise('p') await(step.settle('resolve', p.id, 8)) return " ..
    "await(da.get(p.id))", 8 },
  { "p:cancel(why)", "local p = da.promise 'p' p:cancel 'enough' return plain(select(2, pawait(p)))",
    "canceled: enough" },
  { "p:cancel(why) of a workflow", "local p = async.wait '1h' p:cancel 'enough' return plain(select(2, " ..
    "pawait(p)))", "canceled: enough" },
  { "p:ignore() -> p", "local p = step.fail('a', 'b') return p:ignore() == p", true },
  { "p:state()", "local p, q = step.echo(1), step.fail('a', 'b') local s = p:state() await(p) pawait(q) return " ..
    "s, p:state(), q:state()",
    "pending", "resolved", "rejected" },
  { "p.id", "return step.echo(1).id", "x:FORM.1.echo.1" },
  -- errors
  { "error 'text'", "local ok, e = pawait(async.throw 'words') return e.code, (e.message:gsub('%d+', 'N')), " ..
    "type(e.traceback)",
    "error", "s.lua:N: words", "string" },
  { "error{code=, ...}", "local ok, e = pawait(async.throw { code = 'mine', message = 'm', n = 7 }) return " ..
    "e.code, e.n, tostring(e)",
    "mine", 7, "[mine] m (promise x:FORM.1.throw.1)" },
  { "error{code=} without words", "return tostring(select(2, pawait(async.throw { code = 'mine' })))", "[mine] " ..
    "(promise x:FORM.1.throw.1)" },
  { "error{...} without a code", "local ok, e = pawait(async.throw { status = 404 }) return e.code, e.status",
    "error", 404 },
  { "error(value)", "local ok, e = pawait(async.throw(false)) return e.code, e.message, e.value", "error",
    "false", false },
  { "error(number)", "local ok, e = pawait(async.throw(5)) return e.message, e.value", "5", 5 },
  { "error(nil)", "return plain(select(2, pawait(async.throw(nil))))", "error: nil" },
  { "da.error(code, message, fields)", "local ok, e = pcall(da.error, 'c', 'm', { n = 1, cause = 'x' }) return " ..
    "tostring(e), e.n", "[c] m; caused by x", 1 },
  { "errors keep their fields", "local ok, e = pawait(async('b', function() await(async.raise('c', 'm', { n = 1 " ..
    "})) end)) return e.n", 1 },
  { "fatal=true", "return select(2, pawait(step.fail('a', 'b'))).attempts", 1 },
  { "err .. text", "local ok, e = pcall(da.error, 'c', 'm') return e .. '!', '!' .. e", "[c] m!", "![c] m" },
  { "code unserializable", "local ok, e = pcall(step.echo, { on = { cb = print } }) return e.code, e.message",
    "unserializable",
    "echo[1].on.cb: a function cannot cross a durable boundary" },
  -- values
  { "values that cross", "local v = await(step.echo { 1, 2.0, 'a\\0\\255', true, { k = { [1.5] = false } } }) " ..
    "return v[1], math.type(v[2]), #v[3], v[4], v[5].k[1.5]", 1, "float", 3, true, false },
  { "promises and functions cross", "local p = step.echo(3) await(p) return await(await(async.back { p })[1]), " ..
    "tostring(await(async.back(step.echo)))",
    3, "step.echo" },
  { "da.array, da.object, da.null", "local v = await(step.echo { da.array {}, da.object {}, da.null }) " ..
    "return v[3] == da.null, da.array { 1 }[1], da.object { a = 1 }.a", true, 1, 1 },
  -- time, chance, identity, log
  { "da.now(), os.time(), os.date()", "return math.type(da.now()), math.type(os.time()), os.date('!%Y', 0), " ..
    "os.date('%Y-%m-%d', 86400.75), " ..
    "os.time { year = 1970, month = 1, day = 2, hour = 0 }, os.difftime(2.5, 1)", "float", "integer", "1970",
    "1970-01-02", 86400, 1.5 },
  { "math.random, da.random, da.uuid", "return math.random(2) <= 2, da.random() < 1, da.random(1, 1), " ..
    "da.uuid():match '^%x+%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$' ~= nil", true, true, 1, true },
  { "da.id(), da.deadline(), da.replaying()", "return da.id(), da.deadline(), type(da.replaying())",
    "x:FORM.1", nil, "boolean", n = 3 },
  { "in a step: da.id, attempt, deadline, now, replaying", "return await(step.self:with { timeout = 60 }())",
    "x:FORM.1.self.1", 1, true,
    "float", false },
  { "in a step: da.uuid, da.random, os.date", "return await(step.names())", "string", true, true, "1970" },
  { "in a step: da.progress(done, total, note)", "return await(step.progress())", 0 },
  { "da.log.LEVEL(message, fields)", "return select('#', da.log.debug 'd', da.log.info('i', { a = 1 }), " ..
    "da.log.warn 'w', da.log.error 'e')", 3 },
  { "da.publish(key, value)", "return select('#', da.publish('phase', { 1 }))", 0 },
  { "da.patched(name)", "return da.patched 'change'", true },
  { "da.again(...) without return", "return (tostring(select(2, " ..
    "pawait(async.forgets_again()))):gsub('^%[error%] s.lua:%d+: (.-) %(promise.*', '%1'))",
    "da.again(...) was called and is not what the workflow returns; write `return da.again(...)`" },
  { "return da.again(...)", "local n = ... or 1 if n < 3 then await(step.echo(n)) return da.again(n + 1) end " ..
    "return n, step.echo(0).id", 3,
    "x:FORM.1.~3.echo.1" },
  { "da.shield(f, ...)", "return da.shield(function(a, b) await(step.echo(a)) return a, b end, 1, 2)", 1, 2 },
  -- sagas, messages, limits
  { "da.saga(), s:on_fail(f, ...)", "local list = {} local ok, e = pcall(function() local s <close> = da.saga() " ..
    "s:on_fail(function(v) list[1] = v end, 1) s:on_fail(step.echo, 2) error 'no' end) return ok, list[1]",
    false, 1 },
  { "s:rollback()", "local n = 0 local s <close> = da.saga() s:on_fail(function() n = n + 1 end) return " ..
    "select('#', s:rollback()), n", 0, 1 },
  { "undo_failed", "local s <close> = da.saga() s:on_fail(quick, step.fail, 'a', 'b') local ok, e = " ..
    "pcall(s.rollback, s) " ..
    "return e.code, e.undo_errors[1].code", "undo_failed", "a" },
  { "da.channel(name): ch:send(v), ch:recv()", "local c = da.channel 'c1' c:send { 1 } await(c:send 'two') " ..
    "return await(c:recv())[1], await(c:recv())", 1, "two" },
  { "da.inbox(name)", "local b = da.inbox 'in' da.channel(da.id() .. '/in'):send(4) return await(b:recv())", 4 },
  { "da.send(name, v)", "await(da.send('c2', 5)) await(step.send('c2', 6)) local c = da.channel 'c2' " ..
    "return await(c:recv()), await(c:recv()), await(c:recv())", 5, 6, 6 },
  { "code no_inbox", "return select(2, pawait(da.send('nobody/in', 1))).code", "no_inbox" },
  { "da.semaphore(name, n): sem:acquire(), permit:release()", "local s = da.semaphore('s', 1) do local p " ..
    "<close> = await(s:acquire()) end " ..
    "local p = await(s:acquire()) return select('#', p:release())", 0 },
  { "da.limiter(name, {rate=, per=}): lim:take()", "local l = da.limiter('l', { rate = 10, per = '1s' }) return " ..
    "await(l:take())", nil, n = 1 },
  { "code queue_kind", "da.channel('kind'):send(1) return select(2, pawait(da.semaphore('kind', " ..
    "1):acquire())).code", "queue_kind" },
  -- groups
  { "da.service(group).NAME", "local g = da.service 'g' return tostring(g.any), tostring(g.any:with { timeout = " ..
    "1, version = 3 }), " ..
    "g.any:with { key = 'k' } ~= nil", "async.any at poll://any@g", "async.any at poll://any@g", true },
  -- from steps
  { "da.resolve(id, ...) -> state", "local p = da.promise 'p' return await(step.settle('resolve', p.id, 1, 2)), " ..
    "await(p)", "resolved", 1, 2 },
  { "da.reject(id, code, message) -> state", "local p = da.promise 'p' return await(step.settle('reject', p.id, " ..
    "'c', 'm')), " ..
    "plain(select(2, pawait(p)))", "rejected", "c: m" },
  { "da.resolve of nothing", "return select(2, pawait(quick(step.settle, 'resolve', 'nothing-here', 1))).code",
    "not_found" },
  { "da.start(id, f, ...) -> id", "return await(step.start('root-1', 1)), await(step.start('root-1', 1)), " ..
    "(await(da.get 'root-1'))",
    "root-1", "root-1", 1 },
  { "da.start(id, f:with{...}, ...)", "return await(step.other('root-2', 1)), (await(da.get 'root-2'))",
    "root-2", 1 },
  { "da.start again with other arguments", "await(step.start('root-3', 1)) return select(2, " ..
    "pawait(quick(step.start, 'root-3', 2))).code",
    "refused" },
  { "da.get(id) in a step", "local p = da.promise 'p' await(step.settle('resolve', p.id, 3)) local r = " ..
    "await(step.get(p.id)) " ..
    "return r.id == p.id, r.state, r.value, (await(step.get 'nothing-here'))", true, "resolved", 3, nil, n = 4 },
  { "a step returning nil, text succeeds", "return await(step.pair())", nil, "why", n = 2 },
  -- where Lua itself differs
  { "pairs is sorted", "local l = {} for k in pairs { b = 1, [2] = 1, a = 1 } do l[#l + 1] = tostring(k) end " ..
    "return table.concat(l, ' ')", "2 a b" },
  { "an await in table.sort and string.gsub", "local t = { 2, 1 } table.sort(t, function(a, b) return " ..
    "await(step.echo(a)) < b end) " ..
    "return t[1], (('ab'):gsub('.', function(c) return await(step.echo(c)) .. '-' end))", 1, "a-b-" },
  { "print", "return select('#', print('x', 1))", 0 },
}

-- What raises at the line of the caller, and the words behind `s.lua:LINE: `.
local MISUSE = {
  { "await()", "await()", "await needs a promise, got nothing" },
  { "await(5)", "await(5)", "await needs a promise, got number" },
  { "await{...}", "await { step.echo(1) }", "await needs a promise, got a table; for a list of promises use da.all" },
  { "promise .. text", "local _ = 'a' .. step.echo(1)", "attempt to concatenate promise 'x:FORM.1.echo.1' (made " ..
    "at s.lua:LINE); did you forget await(...)?" },
  { "promise + 1", "local _ = step.echo(1) + 1", "attempt to do arithmetic on promise" },
  { "promise.field", "local _ = step.echo(1).field", "attempt to index promise" },
  { "promise()", "step.echo(1)()", "attempt to call promise" },
  { "#promise", "local _ = #step.echo(1)", "attempt to take the length of promise" },
  { "promise < 1", "local _ = step.echo(1) < 1", "attempt to compare promise" },
  { "unknown step", "local _ = step.ecko", "step.ecko is not defined (did you mean 'echo'?)" },
  { "unknown workflow", "local _ = async.bakc", "async.bakc is not defined (did you mean 'back'?)" },
  { "unknown method", "step.echo:whit {}", "a durable function has no 'whit' (did you mean 'with'?)" },
  { "unknown option", "step.echo:with { retries = 1 }", "unknown option 'retries' of a durable call; did you " ..
    "mean 'retry'?" },
  { "unknown retry option", "step.echo:with { retry = { maks = 1 } }", "unknown option 'maks' of retry; did you " ..
    "mean 'max'?" },
  { "a version that is not there", "async.shop:with { version = 9 }()", "async.shop has no version 9; it has 1, 2" },
  { "a late definition", "function step.late() end", "step 'late' is defined too late" },
  { "late defaults", "step.echo:defaults { timeout = 1 }", "defaults are set while the script loads" },
  { "f:detach of a step", "step.echo:detach(1)", "step.echo:detach: a step lives in the execution that calls it" },
  { "retry of a workflow", "async.back:with { retry = false }", "retry is for steps" },
  { "the same key, another call", "async.back:with { key = 'k' }(1) async.back:with { key = 'k' }(2)",
    "'x:FORM.1.back=k' was called before" },
  { "a duration", "local p = da.sleep 'soon'", "da.sleep's argument must be seconds as a number, or text like " ..
    '"250ms", "1h30m", "3d"; got "soon"' },
  { "a negative duration", "step.echo:with { timeout = -1 }", "; got -1" },
  { "da.attempt in a workflow", "da.attempt()", "da.attempt is for steps; a workflow is not repeated" },
  { "da.within", "local p = da.within(1, 2)", "da.within needs a promise" },
  { "da.all", "local p = da.all { 1 }", "da.all" },
  { "da.any of nothing", "local p = da.any {}", "da.any needs at least one promise" },
  { "losers", "local p = da.race({ step.echo(1) }, { cancel = true })", "unknown option 'cancel' of da.race; " ..
    "did you mean 'losers'?" },
  { "da.map", "local p = da.map({ 1 }, 5)", "da.map needs a function, durable or plain, as its second argument" },
  { "da.map's limit", "local p = da.map({}, step.echo, { limit = 0 })", "da.map: limit must be a whole number, " ..
    "at least 1" },
  { "da.promise", "local p = da.promise('p', { timeoot = 1 })", "unknown option 'timeoot' of da.promise" },
  { "da.shield", "da.shield(1)", "da.shield needs a function, got number" },
  { "da.error", "da.error(1)", "da.error needs a code that is a string, got number" },
  { "a step's function in a workflow", "da.resolve('id', 1)", "da.resolve is for steps" },
  { "da.start in a workflow", "da.start('id', async.back)", "da.start is for steps" },
  { "da.schedule in a function", "da.schedule('id', '@daily', async.back)", "da.schedule" },
  { "a group's name", "local g = da.service 'a b'", "a group is named by letters, digits" },
  { "sem", "da.semaphore('s', 0)", "da.semaphore(name, n): n must be a whole number from 1" },
  { "limiter", "da.limiter('l', { rat = 1 })", "unknown option 'rat' of da.limiter (did you mean 'rate'?)" },
  { "queue method", "da.channel('c').recv()", "write channel:recv(...), with a colon" },
  { "inline step in call form", "step(function() end)", "step(...) takes a label and a closure, inside an " ..
    "execution" },
  { "io in a workflow", "io.open 'x'", "io.open is for steps" },
  { "a table as a key", "for _ in pairs { [{}] = 1 } do end", "a table key has no reproducible order" },
  { "math.randomseed()", "math.randomseed()", "math.randomseed" },
  { "a global", "new_global = 1", "new_global" },
}

-- What a step may not: the words behind [error].
local IN_STEPS = { "await", "pawait", "sleep", "sleep_until", "promise", "all", "any", "race", "outcomes", "map",
  "within", "shield", "saga", "again", "patched" }

local function build()
  local lines, count = { HEAD }, select(2, HEAD:gsub("\n", "\n")) + 1
  local function add(text)
    lines[#lines + 1] = text
    count = count + 1
    return count
  end
  for i, form in ipairs(FORMS) do add(("function async.f%d(...) %s end"):format(i, form[2])) end
  for i, misuse in ipairs(MISUSE) do
    local text = "function async.m%d() local ok, e = pcall(function() %s end) return ok, tostring(e) end"
    misuse.line = add(text:format(i, misuse[2]))
  end
  add "function async.in_step(name) return tostring(select(2, pawait(step.leaf(name)))) end"
  add "local function pack(ok, ...)"
  add "  local values = da.array {}"
  add "  for k = 1, select('#', ...) do local v = (select(k, ...)) if v == nil then v = da.null end values[k] = v end"
  add "  return { ok = ok, text = ok and '' or tostring((...)), values = ok and values or da.array {} }"
  add "end"
  add "function async.main(count, prefix)"
  add "  local list = {}"
  add "  for i = 1, count do list[i] = pack(pawait(async[prefix .. i]())) end"
  add "  return list"
  add "end"
  return table.concat(lines, "\n")
end

local SOURCE = build()

local function decode(text, err)
  assert.are_not.equal("", text, err)
  return assert(dkjson.decode(text, 1, dkjson.null))
end

local function check(form, i, got)
  assert.is_true(got.ok, form[1] .. ": " .. got.text)
  local n = form.n or #form - 2
  assert.are.equal(n, #got.values, form[1] .. ": number of results")
  for k = 1, n do
    local value = form[k + 2]
    if value == nil then value = dkjson.null end
    if type(value) == "string" then value = value:gsub("FORM", "f" .. i) end
    assert.are.same(value, got.values[k], form[1] .. ": result " .. k)
  end
end

describe("the forms of the library", function()
  local spec = { script = SOURCE, func = "main", args = { tostring(#FORMS), "f" }, in_memory = true }
  local results

  setup(function() -- warm, evicted and sliced, to the same results
    local got = script.both(spec)
    assert.are.equal(0, got.code, got.err)
    results = decode(got.out, got.err)
    assert.are.equal(#FORMS, #results)
  end)

  for i, form in ipairs(FORMS) do
    it("have " .. form[1], function()
      check(form, i, results[i])
    end)
  end
end)

describe("the forms of the library, killed", function()
  it("give the same after two deaths", function()
    local place = harness.place(true)
    local got
    for _, kill in ipairs { "commit.after:40", "commit.before:40", "" } do
      got = script.run { script = SOURCE, func = "main", args = { tostring(#FORMS), "f" }, place = place, keep = true,
        env = { DAHOST_KILL = kill ~= "" and kill or nil } }
      assert.are.equal(kill == "", got.out ~= "", got.err)
    end
    harness.remove(place)
    local results = decode(got.out, got.err)
    for i, form in ipairs(FORMS) do check(form, i, results[i]) end
  end)
end)

describe("misuse of the library", function()
  local results

  setup(function()
    local got = script.run { script = SOURCE, func = "main", args = { tostring(#MISUSE), "m" }, in_memory = true }
    results = decode(got.out, got.err)
  end)

  for i, misuse in ipairs(MISUSE) do
    it("is told at the caller's line: " .. misuse[1], function()
      local got = results[i]
      assert.is_true(got.ok, got.text)
      assert.is_false(got.values[1])
      local text = got.values[2]
      local words = misuse[3]:gsub("FORM", "m" .. i):gsub("LINE", tostring(misuse.line))
      assert.is_truthy(text:find(("s.lua:%d: "):format(misuse.line), 1, true), text)
      assert.is_truthy(text:find(words, 1, true), words .. "\n" .. text)
    end)
  end
end)

describe("in a step", function()
  it("what waits or is for workflows says so", function()
    local got = script.run { script = HEAD .. [[
function async.main(names)
  local list = {}
  for i, name in ipairs(names) do
    local ok, e = pawait(step.leaf(name))
    list[i] = tostring(ok) .. " " .. e.message
  end
  return list
end]], func = "main", args = { '["' .. table.concat(IN_STEPS, '","') .. '"]' } }
    local list = decode(got.out, got.err)
    for i, name in ipairs(IN_STEPS) do
      local message = list[i]:match("^false s%.lua:%d+: (.*)")
      local words = "da.%s is for workflows; a step is a leaf, it just does its work and returns"
      assert.are.equal(words:format(name), message, list[i])
    end
  end)
end)

describe("what is outside of executions", function()
  local place

  setup(function()
    place = program.place()
    place:write("gpu.lua", "local da = require 'da'\nfunction da.async.shade(s) return '<' .. s .. '>' end\n")
    place:write("front.lua", [[
local da = require "da"
local async, await = da.async, da.await
local gpu = da.service "gpu"
function async.render(s)
  return await(gpu.shade(s)), await(gpu.shade:with { key = "k" }(s)), await(async.shade:at "gpu" (s))
end
function async.shade(s) return "not here" end
function async.daily(region) return "report of " .. region, da.id() end
function async.long() await(da.sleep "1y") end
async.long:defaults { doc = "Sleeps." }
function async.ask() return await(da.promise "approval") end
function async.hear() return await(da.inbox "in":recv()) end
da.schedule("report", { cron = "30 6 * * *", tz = "UTC", catch_up = "last" }, async.daily, "eu")
]])
  end)
  teardown(function() place:remove() end)

  it("da.test runs groups, settles, sends, moves time, schedules, kills", function()
    place:write("t.lua", [[
local t = require "da.test"
local front = t.script "front.lua"
it("groups", function()
  local r = t.run(front.render, { "a" }, { groups = { gpu = t.script "gpu.lua" } })
  assert.same({ "<a>", "<a>", "<a>", n = 3 }, r.results)
end)
it("resolve, send, at", function()
  assert.equal(5, t.run(front.ask, {}, { resolve = { approval = 5 } }).value)
  assert.equal("no", t.run(front.ask, {}, { reject = { approval = "no" } }).error.message)
  assert.equal(6, t.run(front.hear, {}, { send = { ["/in"] = { 6 } } }).value)
  assert.equal("canceled", t.run(front.ask, {}, { at = { { "1h", function(h) h:cancel "late" end } } }).state)
end)
it("time and deaths", function()
  assert.is_true(t.everywhere(front.ask, {}, { twice = true, resolve = { approval = 5 } }).kills > 0)
  assert.equal(5, t.evicted(front.ask, {}, { resolve = { approval = 5 } }).value)
end)
it("schedules", function()
  local list = t.schedules(front, "2d", {})
  assert.equal(2, #list)
  assert.equal("report of eu", list[1].value[1] or list[1].value)
end)
]])
    local got = place:run("test", "t.lua")
    assert.are.equal(0, got.code, got.out .. got.err)
    assert.is_truthy(got.out:find("4 success", 1, true), got.out)
  end)

  it("run tells that schedules do not fire, and takes --id and --args", function()
    local got = place:run("run", "front.lua", "daily", "--id", "r-1", "--args", '["eu"]')
    assert.are.same({ 0, '["report of eu","r-1"]\n' }, { got.code, got.out }, got.err)
    assert.is_truthy(got.err:find("declares schedule report, which fires only under dahost serve", 1, true), got.err)
  end)

  it("stubs show a group's workflows to editors", function()
    local got = place:run("stubs", "gpu=gpu.lua", "front.lua")
    assert.are.equal(0, got.code, got.err)
    assert.is_truthy(load(got.out))
    for _, line in ipairs { "---@class da.group.gpu\n---@field shade da.Function|fun(s: any): da.Promise<any>\n",
      '---@field service fun(group: "gpu"): da.group.gpu\n', "---@class da.group.default\n",
      "---@field long da.Function|fun(): da.Promise<any> Sleeps.\n", "---@field render da.Function|fun(s: any): " } do
      assert.is_truthy(got.out:find(line, 1, true), line .. got.out)
    end
    local bad = place:run("stubs", "nope.lua")
    assert.are.same({ 2, "" }, { bad.code, bad.out })
    assert.is_truthy(bad.err:find("cannot read nope.lua", 1, true), bad.err)
  end)
end)
