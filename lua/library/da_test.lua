-- da_test.lua - definitions of `require "da.test"` for editors, as da.lua is of `require "da"`. Never run.
-- SPDX-License-Identifier: Apache-2.0
---@meta da.test

---@class da.test.Script: { [string]: da.test.Function } Its workflows are fields.

---@class da.test.Function A workflow of a script; t.run() runs it.

---@class da.test.Handle What a function in `at` is given.
---@field id string Of the execution.
local Handle = {}

---@param id string
---@param ... da.Value
function Handle:resolve(id, ...) end

---@param id string
---@param code? string
---@param message? string
function Handle:reject(id, code, message) end

---@param why? string
---@param id? string Of another one than the execution.
function Handle:cancel(why, id) end

---@param channel string "jobs", "cart-1/orders", or "/orders": the execution's own inbox.
---@param message da.Value
---@return integer messages that nobody received yet
function Handle:send(channel, message) end

---@param id string
---@return { id: string, state: string, value: any }?
function Handle:get(id) end

---@return number seconds of virtual time
function Handle:elapsed() end

---@class da.test.Options
---@field mock? table<string, any> ["step.NAME"], ["native.LIBRARY.NAME"] = a function of the arguments, or a value.
---@field resolve? table<string, any> Values for promises, by id or name; a function is called with the id.
---@field reject? table<string, any> Messages, or {code=, message=}.
---@field send? table<string, any[]> Messages by channel, as of Handle:send(), at the begin.
---@field at? { [1]: da.Duration, [2]: fun(h: da.test.Handle) }[]
---@field id? string
---@field now? number Unix seconds at the begin.
---@field groups? table<string, da.test.Script>
---@field detached? boolean Until detached workflows have come to rest, too.
---@field tables? boolean False: inline steps may change tables outside of themselves.
---@field horizon? da.Duration Of virtual time: "3650d".
---@field writes? integer Durable writes: 100000.
---@field real? da.Duration Of real time: "60s".

---@class da.test.EverywhereOptions: da.test.Options
---@field twice? boolean Kills every recovery again.
---@field all? boolean All pairs instead of a sample.
---@field seed? integer Of the sample.

---@class da.test.Step
---@field name string
---@field id string
---@field args any[]
---@field attempts integer
---@field mocked boolean
---@field ok boolean
---@field state string
---@field value any
---@field error? da.Error

---@class da.test.Result
---@field ok boolean
---@field state "resolved"|"rejected"|"canceled"|"timedout"
---@field value any
---@field results { n: integer, [integer]: any }
---@field error? da.Error
---@field lines string[] What was printed.
---@field elapsed number Virtual seconds.
---@field writes integer
---@field history string
---@field id string
---@field steps da.test.Step[]
---@field kills? integer Of t.everywhere().

---@class da.test.Run An execution that a schedule started.
---@field id string
---@field name string
---@field at number Unix seconds.
---@field ok boolean
---@field state string
---@field value any
---@field error? da.Error

---@class da.test
local t = {}

---Loads a script; raises its faults with file and line.
---@param path string Beside the test file.
---@return da.test.Script
function t.script(path) end

---Runs a workflow until its promise is settled, in memory and in virtual time.
---@param f da.test.Function
---@param args? any[]
---@param options? da.test.Options
---@return da.test.Result
function t.run(f, args, options) end

---Kills the runtime before and behind every durable write, and demands the same outcome.
---@param f da.test.Function
---@param args? any[]
---@param options? da.test.EverywhereOptions
---@return da.test.Result
function t.everywhere(f, args, options) end

---Drops the execution from memory at every await, and demands the same outcome.
---@param f da.test.Function
---@param args? any[]
---@param options? da.test.Options
---@return da.test.Result
function t.evicted(f, args, options) end

---What the schedules of a script start in so much virtual time, in the order of the instants.
---@param script da.test.Script
---@param duration da.Duration
---@param options? da.test.Options
---@return da.test.Run[] runs
---@return string[] lines What was printed.
function t.schedules(script, duration, options) end

---Raises if the script does not do what a history recorded.
---@param history string
---@param script da.test.Script
---@return { executions: integer, calls: integer }
function t.replay(history, script) end

---What a mock returns that takes virtual time: the results behind it come then.
---@param duration da.Duration
---@param ... da.Value
---@return table
function t.takes(duration, ...) end

return t
