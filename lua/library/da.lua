-- da.lua - definitions of `require "da"` for editors: the Lua language server and others that read LuaCATS. Never run.
-- SPDX-License-Identifier: Apache-2.0
---@meta da

---Seconds as a number, or text: "250ms", "1h30m", "3d".
---@alias da.Duration number|string

---What may cross a durable boundary: nil, booleans, numbers, strings, acyclic tables of these, promises, durable functions.
---@alias da.Value any

---@class da.Promise<T>: userdata What a durable call gives; `await` turns it into the call's results.
---@field id string The id of its record.
local Promise = {}

---Waits for it; raises a da.Error if it was rejected.
---@async
---@return any ...
function Promise:await() end

---As pcall(await, p).
---@async
---@return boolean ok
---@return any ... results, or the error
function Promise:pawait() end

---Asks it to end early: `canceled` is raised at what it awaits.
---@param why? string
---@return da.Promise<any> self
function Promise:cancel(why) end

---Its failure does not fail the parent, and nobody is told that it was not awaited.
---@return da.Promise<any> self
function Promise:ignore() end

---"pending", "resolved", "rejected", "canceled" or "timedout", as far as this execution has come.
---@return "pending"|"resolved"|"rejected"|"canceled"|"timedout"
function Promise:state() end

---@class da.Error An error of durable work. tostring() gives `[code] message (promise id)`.
---@field code string "error", "timedout", "canceled", "unserializable", "unknown_function", "all_failed", ..., or your own
---@field message string
---@field traceback? string
---@field promise? string The promise that was rejected with it.
---@field func? string The durable function that raised it.
---@field fatal? boolean Stops the retries of a step.
---@field errors? da.Error[] Of "all_failed".
---@field undo_errors? da.Error[] Undo calls of a saga that failed.
---@field [string] any Fields of your own.

---@class da.Retry Which attempts of a step are made; the defaults are those named.
---@field max? integer Attempts in all: 5.
---@field first? da.Duration Before the second attempt: 1.
---@field factor? number Of each delay to the one before: 2.
---@field cap? da.Duration The longest delay: 30.
---@field jitter? number From 0 to 1: 0.2.

---@class da.CallOptions
---@field timeout? da.Duration Total time, retries included.
---@field attempt_timeout? da.Duration Steps: time of one attempt.
---@field retry? da.Retry|false|"forever" Steps.
---@field key? string The id becomes `name=key` in place of a count.
---@field id? string Workflows: an id of its own.
---@field group? string Workflows: the group that runs it.
---@field address? string Workflows: the same as "poll://any@GROUP".
---@field version? integer Of several versions this one.
---@field delay? da.Duration Workflows: it begins so much later.
---@field tags? table<string, string> Workflows: kept in the record.

---@class da.DefaultOptions
---@field timeout? da.Duration
---@field attempt_timeout? da.Duration Steps.
---@field retry? da.Retry|false|"forever" Steps.
---@field version? integer
---@field delay? da.Duration Workflows.
---@field tags? table<string, string> Workflows.
---@field doc? string What the function is for.

---@class da.InlineOptions
---@field timeout? da.Duration
---@field retry? da.Retry|false|"forever"
---@field key? string

---@class da.BranchOptions
---@field key? string

---@class da.PromiseOptions
---@field timeout? da.Duration
---@field data? da.Value What it is about.
---@field key? string
---@field id? string
---@field tags? table<string, string>

---@class da.LosersOptions
---@field losers? "cancel"|"keep" What becomes of the others; "cancel".

---@class da.MapOptions
---@field limit? integer So many at a time.

---@class da.Function: userdata A durable function: calling it gives a promise.
---@operator call(any): da.Promise<any>
local Function = {}

---A new handle with options for its calls.
---@param options da.CallOptions
---@return da.Function
function Function:with(options) end

---Options of every call; while the file loads.
---@param options da.DefaultOptions
---@return da.Function self
function Function:defaults(options) end

---A workflow with a life of its own: neither joined nor cancelled with its parent.
---@param ... da.Value
---@return da.Promise<any>
function Function:detach(...) end

---A workflow run by another group.
---@param group string
---@return da.Function
function Function:at(group) end

---@class da.Definer A table that makes a durable function of what is assigned to it.
---@field [string] da.Function|fun(...: any): any
---@operator call(any): da.Promise<any>

---@class da.Outcome
---@field ok boolean
---@field value? any
---@field error? da.Error

---@class da.Saga Undoes what was done when an error leaves its scope: local s <close> = da.saga().
local Saga = {}

---Registers an undo call; arguments are copied now.
---@param f da.Function|fun(...: any): any
---@param ... da.Value
function Saga:on_fail(f, ...) end

---Undoes what is registered, newest first, now.
function Saga:rollback() end

---@class da.Channel A queue of messages; of da.inbox too.
local Channel = {}

---Of the next message.
---@return da.Promise<any>
function Channel:recv() end

---Puts a message; await it only to know that it is on disk. In a step: no promise, back when it is.
---@param v da.Value
---@return da.Promise<nil>?
function Channel:send(v) end

---@class da.Permit Free when it is released, closed, or its execution has ended.
local Permit = {}

function Permit:release() end

---@class da.Semaphore At most n permits at a time.
local Semaphore = {}

---@return da.Promise<da.Permit>
function Semaphore:acquire() end

---@class da.Limiter At most `rate` takes in any `per`.
local Limiter = {}

---Settled at the first instant that keeps the rate.
---@return da.Promise<nil>
function Limiter:take() end

---@class da.LimiterOptions
---@field rate integer
---@field per? da.Duration 1 s.

---@class da.Log
---@field debug fun(message: any, fields?: table<string, any>)
---@field info fun(message: any, fields?: table<string, any>)
---@field warn fun(message: any, fields?: table<string, any>)
---@field error fun(message: any, fields?: table<string, any>)

---@class da.ExecOptions
---@field check? boolean Another code than 0, and a signal, are the error `exit`.
---@field cwd? string
---@field env? table<string, string|false> Added to the environment; false takes away.
---@field max_output? integer Bytes of both outputs together, 1 MiB; at most 8 MiB.
---@field stdin? string
---@field timeout? da.Duration

---@class da.HttpOptions
---@field body? string
---@field ca? string A file of authorities, in place of the machine's.
---@field check? boolean A status from 400 on is the error `http_STATUS`.
---@field follow? boolean false: no redirects.
---@field headers? table<string, string>
---@field json? da.Value In place of body.
---@field max? integer Bytes of the answer, 1 MiB; at most 8 MiB, but to a file.
---@field timeout? da.Duration
---@field to? string A path that the answer goes to.

---@class da.HttpAnswer
---@field status integer
---@field headers table<string, string> Names in small letters.
---@field body? string
---@field size? integer Of what went to a file.

---@class da.Http
---@field get da.Function|fun(url: string, options?: da.HttpOptions): da.HttpAnswer
---@field post da.Function|fun(url: string, options?: da.HttpOptions): da.HttpAnswer
---@field request da.Function|fun(method: string, url: string, options?: da.HttpOptions): da.HttpAnswer

---@class da.ExecResult
---@field code? integer
---@field signal? string "SIGTERM", in place of the code.
---@field out string
---@field err string

---@class da.FileOptions
---@field append? boolean Adds to what is there, rather than replace it.
---@field mode? string Octal, "0644".

---@class da.Entry
---@field name string
---@field kind "file"|"directory"|"link"|"fifo"|"socket"|"device"

---@class da.Stat
---@field kind "file"|"directory"|"fifo"|"socket"|"device"
---@field mode string Octal, "0644".
---@field mtime number Seconds since 1970.
---@field size integer

---@class da.Files In a workflow each call is a step and gives a promise; in a step it returns its result.
---@field list da.Function|fun(path: string): da.Entry[] By names.
---@field mkdir da.Function|fun(path: string, options?: {mode?: string}): boolean With its parents; false: it is there already.
---@field read da.Function|fun(path: string, options?: {max?: integer}): string
---@field remove da.Function|fun(path: string): boolean A file or an empty folder; false: there is none.
---@field rename da.Function|fun(from: string, to: string)
---@field stat da.Function|fun(path: string): da.Stat? nil: there is none.
---@field watch da.Function|fun(path: string, timeout?: da.Duration, since?: da.Stat|false): boolean Waits for a change; false: none came.
---@field write da.Function|fun(path: string, bytes: string, options?: da.FileOptions) Whole or not at all.

---@class da.Hash Digests of bytes in hexadecimal, and base64; without `await`.
---@field base64_decode fun(text: string): string
---@field base64_encode fun(bytes: string): string
---@field hmac_sha256 fun(key: string, bytes: string): string
---@field md5 fun(bytes: string): string
---@field sha1 fun(bytes: string): string
---@field sha256 fun(bytes: string): string
---@field xxh128 fun(bytes: string): string Fast, and no secret's friend.

---@class da.Json Any JSON, without `await`.
---@field decode fun(text: string): any null is `da.null`.
---@field encode fun(value: any, options?: {indent?: integer}): string

---@class da
---@field async da.Definer `function async.NAME(...)` defines a workflow; `async("label", [options], function() ... end)` runs a branch.
---@field step da.Definer `function step.NAME(...)` defines a step; `step("label", [options], function() ... end)` runs a closure once.
---@field native table<string, table<string, da.Function>> Functions in C: `da.native.sensor.read(3)`.
---@field exec da.Function|fun(words: string[], options?: da.ExecOptions): da.ExecResult Runs a program: `da.exec("ls", "-l")`.
---@field fs da.Files
---@field hash da.Hash
---@field http da.Http
---@field json da.Json
---@field log da.Log
---@field null lightuserdata JSON null in a list.
---@field _VERSION string
local da = {}

---Waits; of one promise all results, of several the first of each. Raises a da.Error if one was rejected.
---@async
---@generic T
---@param p da.Promise<T>
---@param ... da.Promise<any>
---@return T
---@return any ...
function da.await(p, ...) end

---As pcall(await, ...).
---@async
---@param p da.Promise<any>
---@param ... da.Promise<any>
---@return boolean ok
---@return any ... results, or the error
function da.pawait(p, ...) end

---A promise of the first results, in the order of the list; the first failure is its failure.
---@generic T
---@param list da.Promise<T>[]
---@return da.Promise<T[]>
function da.all(list) end

---A promise of what became of each; it never fails.
---@param list da.Promise<any>[]
---@return da.Promise<da.Outcome[]>
function da.outcomes(list) end

---A promise of the first success: value, index. All failed: error "all_failed".
---@generic T
---@param list da.Promise<T>[]
---@param options? da.LosersOptions
---@return da.Promise<T>
function da.any(list, options) end

---A promise of the first one settled: value, index; or its error.
---@generic T
---@param list da.Promise<T>[]
---@param options? da.LosersOptions
---@return da.Promise<T>
function da.race(list, options) end

---A promise of f's first results over the list.
---@param list da.Value[]
---@param f da.Function|fun(item: any): any
---@param options? da.MapOptions
---@return da.Promise<any[]>
function da.map(list, f, options) end

---A promise of p's results, or error "timedout"; then p is cancelled.
---@generic T
---@param duration da.Duration
---@param p da.Promise<T>
---@return da.Promise<T>
function da.within(duration, p) end

---A durable timer.
---@param duration da.Duration
---@return da.Promise<nil>
function da.sleep(duration) end

---A durable timer.
---@param instant number Unix seconds.
---@return da.Promise<nil>
function da.sleep_until(instant) end

---A promise that somebody outside settles: `dahost promise resolve ID JSON`, or da.resolve in a step.
---@param name string
---@param options? da.PromiseOptions
---@return da.Promise<any>
function da.promise(name, options) end

---In a workflow: a promise of any lineage. In a step: nil, or what is known of it.
---@param id string
---@return da.Promise<any>|{ id: string, state: string, value: any }|nil
function da.get(id) end

---Returns what f(...) returns; a request to cancel, and the deadline, wait until then.
---@param f fun(...: any): any
---@param ... any
---@return any ...
function da.shield(f, ...) end

---local s <close> = da.saga()
---@return da.Saga
function da.saga() end

---The same execution begins anew, without its history: `return da.again(...)`.
---@param ... da.Value
---@return userdata
function da.again(...) end

---Is the new code to be taken here? False in executions that were past this place before it came.
---@param name string
---@return boolean
function da.patched(name) end

---The workflows of a group, by name.
---@param group string
---@return table<string, da.Function>
function da.service(group) end

---While the script loads: calls a workflow by the clock, where the file is served.
---@param id string
---@param cron string|{ cron: string, tz?: string, catch_up?: "all"|"last"|"none" }
---@param f da.Function
---@param ... da.Value
function da.schedule(id, cron, f, ...) end

---A queue of messages, one for the whole store; made by its first use.
---@param name string
---@return da.Channel
function da.channel(name) end

---The channel `<execution id>/<name>`: only its execution receives from it, everybody may send.
---@param name string
---@return da.Channel
function da.inbox(name) end

---da.channel(name):send(v)
---@param name string
---@param v da.Value
---@return da.Promise<nil>?
function da.send(name, v) end

---At most n permits at a time, in all executions of the store together.
---@param name string
---@param n integer
---@return da.Semaphore
function da.semaphore(name, n) end

---At most `rate` takes in any time of length `per`, in all executions of the store together.
---@param name string
---@param options da.LimiterOptions
---@return da.Limiter
function da.limiter(name, options) end

---Shows a value under a key to others while the execution runs; nil takes it away.
---@param key string
---@param value da.Value
function da.publish(key, value) end

---In a step: says how far it is.
---@param done number
---@param total? number
---@param note? string
function da.progress(done, total, note) end

---Of the execution; in a step the step's promise id, the same in every retry: an idempotency key.
---@return string
function da.id() end

---In a step: 1, 2, ...
---@return integer
function da.attempt() end

---Unix seconds, or nothing.
---@return number?
function da.deadline() end

---The execution's clock, in Unix seconds.
---@return number
function da.now() end

---Is this a replay? For logging only.
---@return boolean
function da.replaying() end

---As math.random.
---@param m? integer
---@param n? integer
---@return number
function da.random(m, n) end

---@return string
function da.uuid() end

---In a step: resolves a promise; the first settlement stays.
---@param id string
---@param ... da.Value
---@return string state the one it is in now
function da.resolve(id, ...) end

---In a step: rejects a promise.
---@param id string
---@param code? string
---@param message? string
---@return string state
function da.reject(id, code, message) end

---In a step: starts a workflow as an execution of its own, once per id.
---@param id string
---@param f da.Function
---@param ... da.Value
---@return string id
function da.start(id, f, ...) end

---Raises a da.Error with a code of your own.
---@param code string
---@param message? string|number
---@param fields? table<string, any>
function da.error(code, message, fields) end

---@param value any
---@return boolean
function da.is_error(value) end

---Marks a table as a list: an empty one is [].
---@generic T: table
---@param t? T
---@return T
function da.array(t) end

---Marks a table as an object, whatever its keys are.
---@generic T: table
---@param t? T
---@return T
function da.object(t) end

return da
