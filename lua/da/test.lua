-- test.lua - what `require "da.test"` gives a test: workflows of a script run in memory, in virtual time, through deaths.
--
-- Runs in the state of `dahost test`, which is ordinary Lua. A run is one trial (host/cli/trial.c): this file turns the
-- options of a test into its terms, answers its hook, and turns what it gives back into a result.
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...
local t = core.test

local error, type, pairs, ipairs, tostring, setmetatable, getmetatable = error, type, pairs, ipairs, tostring, setmetatable, getmetatable
local pack, unpack, concat = table.pack, table.unpack, table.concat

local EPOCH = 1735689600 -- 2025-01-01 00:00:00 UTC: where time begins unless a test says otherwise
local PAIRS_MAX, PAIRS_SAMPLED = 12, 200 -- everywhere{twice=}: up to so many writes all pairs are tried, else so many pairs

-- Nothing of a script's own `da` is here but what makes values.
da.async, da.step = nil, nil
function core.output(text) print(text) end
setmetatable(da, { __index = function(_, name)
  error(("da.%s is for scripts; in a test, require \"da.test\" and run a workflow"):format(tostring(name)), 2)
end })

---------------------------------------------------------------------------------------------------- options

-- Unknown names are refused with the nearest. `depth`: the test's own line.
local function check_names(given, known, what, depth)
  if given == nil then return {} end
  if type(given) ~= "table" then error(("the options of %s are a table, not a %s"):format(what, type(given)), depth + 1) end
  for name in pairs(given) do
    if not known[name] then
      error(("%s has no option '%s'%s"):format(what, tostring(name), core.nearest(tostring(name), known)), depth + 1)
    end
  end
  return given
end

local function number_option(options, name, default, depth)
  local value = options[name]
  if value == nil then return default end
  if math.type(value) ~= "integer" or value < 1 then error(name .. " is a whole number from 1 on", depth + 1) end
  return value
end

local RUN = { id = true, mock = true, resolve = true, reject = true, at = true, now = true, horizon = true, writes = true, real = true,
  tables = true, detached = true, groups = true, send = true }
local EVERYWHERE = { twice = true, all = true, seed = true }
for name in pairs(RUN) do EVERYWHERE[name] = true end

---------------------------------------------------------------------------------------------------- scripts

local Function = { __metatable = false }
Function.__tostring = function(f) return ("async.%s of %s"):format(f.name, f.script.path) end
Function.__call = function(f)
  error(("a test runs async.%s with t.run(f, {arguments}, options)"):format(f.name), 2)
end
local scripts = setmetatable({}, { __mode = "k" }) -- what t.script() gave -> {path, bundle, functions, steps}

-- A path beside the file that asks: the nearest caller with a file of its own.
local function beside_caller(path)
  if path:sub(1, 1) == "/" then return path end
  local info
  local level = 2
  repeat
    info = debug.getinfo(level, "S")
    level = level + 1
  until not info or info.source:sub(1, 1) == "@"
  return (info and info.source:match("^@(.*/)") or "") .. path
end

-- The workflows of a script, as fields; the path is relative to the file that asks.
function t.script(path)
  if type(path) ~= "string" then error("t.script needs the path of a script, got " .. type(path), 2) end
  path = beside_caller(path)
  local bundle, functions = core.script(path)
  if not bundle then error(functions, 2) end
  local script = { path = path, bundle = bundle, workflows = {}, steps = {} }
  for name, workflow in pairs(functions) do
    if workflow then
      script.workflows[name] = setmetatable({ name = name, script = script }, Function)
    else
      script.steps[name] = true
    end
  end
  local handle = setmetatable({}, {
    __index = function(_, name)
      local f = script.workflows[name]
      if f then return f end
      if script.steps[name] then error(("step.%s of %s is a step; t.run() takes workflows"):format(name, path), 2) end
      error(("%s defines no workflow '%s'%s"):format(path, tostring(name), core.nearest(tostring(name), script.workflows)), 2)
    end,
    __newindex = function() error("define functions in the script", 2) end,
    __metatable = false,
  })
  scripts[handle] = script
  return handle
end

---------------------------------------------------------------------------------------------------- mocks

local Takes = {}

-- What a mock returns that takes virtual time: t.takes("10s", results...).
function t.takes(duration, ...)
  return setmetatable({ ms = core.duration(duration, "t.takes"), values = pack(...) }, Takes)
end

local mocked -- the attempt under way: {id, attempt}
function da.id() return (mocked or error("da.id: no mock runs here", 2)).id end
function da.attempt() return (mocked or error("da.attempt: no mock runs here", 2)).attempt end

-- name of a step -> function; `held` are the scripts that may define it
local function read_mocks(held, given, depth)
  local mocks = {}
  if given ~= nil and type(given) ~= "table" then error("mock is a table of [\"step.NAME\"] = function", depth + 1) end
  for key, mock in pairs(given or {}) do
    local name = type(key) == "string" and key:match("^step%.(.+)$")
    local native = type(key) == "string" and key:match("^native%.([%w_]+%.[%w_]+)$") -- defined by no script
    name = name or native
    if not name then error(("mock: '%s' names no step; write [\"step.NAME\"] = function"):format(tostring(key)), depth + 1) end
    local found, all = native ~= nil, {}
    for _, script in ipairs(held) do
      found = found or script.steps[name]
      for step in pairs(script.steps) do all[step] = true end
    end
    if not found then
      error(("mock: %s defines no step '%s'%s"):format(held[1].path, name, core.nearest(name, all)), depth + 1)
    end
    if type(mock) == "function" then
      mocks[name] = mock
    else
      mocks[name] = function() return mock end
    end
  end
  return mocks
end

local function call_mock(mock, id, attempt, args)
  mocked = { id = id, attempt = attempt }
  local got = pack(xpcall(mock, core.trace, core.decode_array(args)))
  mocked = nil
  local takes = 0
  if got[1] and getmetatable(got[2]) == Takes then
    takes = got[2].ms
    got = pack(true, unpack(got[2].values, 1, got[2].values.n))
  end
  local ok, data, rest, fatal = core.outcome(unpack(got, 1, got.n))
  return ok, data, rest, fatal, takes
end

---------------------------------------------------------------------------------------------------- promises

local function as_error(code, message)
  local fields
  if type(code) == "table" then
    fields = {}
    for name, value in pairs(code) do
      if name ~= "code" and name ~= "message" then fields[name] = value end
    end
    code, message = code.code, code.message
  elseif message == nil then
    code, message = "rejected", code
  end
  return core.error_new(code or "rejected", message or code or "rejected", fields)
end

-- Values for promises by id, by id below the execution, or by name.
local function entry_for(entries, root, id)
  local short = id:sub(1, #root + 1) == root .. ":" and id:sub(#root + 2) or id
  local name = short:match("([^.:=]+)%.%d+$") or short:match("([^.:=]+)=[^.:=]*$")
  for _, key in ipairs { id, short, name } do
    if entries[key] ~= nil then return entries[key], true end
  end
end

-- ok, data, rest: how a promise is settled; nil: not at all.
local function settlement(options, root, id)
  local value, found = entry_for(options.resolve or {}, root, id)
  if found then
    if type(value) == "function" then return core.outcome(true, value(id)) end
    return core.outcome(true, value)
  end
  value, found = entry_for(options.reject or {}, root, id)
  if found then return core.outcome(false, as_error(value)) end
end

local Handle = {}
Handle.__index = Handle

-- An id as it is, or below the execution.
function Handle:_id(id)
  if type(id) ~= "string" then error("an id is a string, got " .. type(id), 3) end
  if core.get(id) or not core.get(self.id .. ":" .. id) then return id end
  return self.id .. ":" .. id
end

local function settle(self, id, ok, data, rest)
  local state, words = core.settle(self:_id(id), ok, data, rest)
  if not state and self.again then return nil end -- its generation is over
  if not state then error(("'%s' cannot be settled: %s"):format(id, words), 3) end
  return state
end

function Handle:resolve(id, ...)
  return settle(self, id, core.outcome(true, ...))
end

function Handle:reject(id, code, message)
  return settle(self, id, core.outcome(false, as_error(code, message)))
end

-- Asks the execution, or the one named, to end.
function Handle:cancel(why, id)
  local done, words = core.cancel(id and self:_id(id) or self.id, why or "canceled")
  if not done then error("cannot be cancelled: " .. words, 2) end
end

-- "orders" is a channel, "cart-1/orders" an inbox, "/orders" the execution's own. A death makes no message twice.
local function send(h, name, value, depth)
  if type(name) ~= "string" then error("the name of a channel is a string, got " .. type(name), depth) end
  if name:sub(1, 1) == "/" then name = h.id .. name end
  h.sent = h.sent + 1
  local _, data = core.outcome(true, value)
  local count, words = core.send(name, data ~= "" and data or "null", h.act .. "." .. h.sent)
  if not count and h.again then return 0 end -- it was sent, and who received it has ended
  if not count then error(("cannot be sent to '%s': %s"):format(name, words), depth) end
  return count
end

function Handle:send(name, value) return send(self, name, value, 3) end

function Handle:get(id)
  id = self:_id(id)
  local state, data = core.get(id)
  if not state then return nil end
  return { id = id, state = state, value = data and data ~= "" and core.decode(data) or nil }
end

function Handle.elapsed() return core.elapsed() / 1000 end

-- {{duration, function}...} -> milliseconds, functions; in order of time
local function read_at(given, messages_of, depth)
  local list = {}
  if given ~= nil and type(given) ~= "table" then error("at is a list of {duration, function}", depth + 1) end
  for i, entry in ipairs(given or {}) do
    if type(entry) ~= "table" or type(entry[2]) ~= "function" then
      error(("at[%d] is no {duration, function}"):format(i), depth + 1)
    end
    list[i] = { ms = core.duration(entry[1], "at[" .. i .. "][1]"), fn = entry[2], i = i }
  end
  local names = {}
  for name in pairs(messages_of or {}) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    local messages = messages_of[name]
    if type(messages) ~= "table" then error(("send: a list of messages for '%s'"):format(tostring(name)), depth + 1) end
    for k = 1, messages.n or #messages do
      list[#list + 1] = { ms = 0, fn = function(h) send(h, name, messages[k], 0) end, i = #list - 1e9 }
    end
  end
  table.sort(list, function(a, b) return a.ms < b.ms or a.ms == b.ms and a.i < b.i end)
  local times, functions = {}, {}
  for i, entry in ipairs(list) do times[i], functions[i] = entry.ms, entry.fn end
  return times, functions
end

---------------------------------------------------------------------------------------------------- a run

-- Addresses of the groups that a run serves, the default one first, and the scripts.
local function read_groups(script, given, depth)
  local targets, held = { "poll://any@default" }, { script }
  if given ~= nil and type(given) ~= "table" then error("groups is a table of GROUP = script", depth + 1) end
  local names = {}
  for name in pairs(given or {}) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for i, name in ipairs(names) do
    if type(name) ~= "string" or not name:find("^[%w_.-]+$") or name == "default" then
      error(("groups: '%s' is no name of another group"):format(tostring(name)), depth + 1)
    end
    held[i + 1] = scripts[given[name]] or error(("groups: %s is no script of t.script()"):format(name), depth + 1)
    targets[i + 1] = "poll://any@" .. name
  end
  return targets, held
end

-- All that is the same for every run of one test.
local function prepare(f, args, options, depth)
  if type(f) ~= "table" or not rawget(f, "script") then
    error("t.run(f, {arguments}, options): f is a workflow of t.script()", depth + 1)
  end
  if args ~= nil and type(args) ~= "table" then error("the arguments are a list: {1, 2}", depth + 1) end
  args = args or {}
  local plan = { f = f, options = options }
  local tables = { resolve = '["promise"] = value', reject = '["promise"] = error', send = '["channel"] = {messages}' }
  for name, what in pairs(tables) do
    if options[name] ~= nil and type(options[name]) ~= "table" then
      error(name .. " is a table of " .. what, depth + 1)
    end
  end
  local targets, held = read_groups(f.script, options.groups, depth + 1)
  local bundles = {}
  for i, script in ipairs(held) do bundles[i] = script.bundle end
  plan.mocks = read_mocks(held, options.mock, depth + 1)
  plan.times, plan.acts = read_at(options.at, options.send, depth + 1)
  local now = options.now or EPOCH
  if type(now) ~= "number" or now < 0 or now > 1e11 then error("now is Unix seconds", depth + 1) end
  plan.spec = {
    targets = targets,
    bundles = bundles,
    func = f.name,
    id = options.id or f.name:gsub("[^%w_-]", "_") .. "-1",
    args = core.encode_args(f.name, unpack(args, 1, args.n or #args)),
    begin = math.floor(now * 1000),
    horizon = math.min(core.duration(options.horizon or "3650d", "horizon"), 1 << 48),
    real = core.duration(options.real or "60s", "real"),
    writes = number_option(options, "writes", 100000, depth + 1),
    tables = options.tables ~= false,
    detached = options.detached,
    acts = plan.times,
    deaths = {},
  }
  return plan
end

local Notes = {}
Notes.__index = Notes

function Notes:step(name, id, _, args)
  local step = self.by_id[id]
  if not step then
    step = { name = name, id = id, args_json = args, mocked = self.plan.mocks[name] ~= nil, attempts = 0 }
    self.by_id[id] = step
    self.steps[#self.steps + 1] = step
  end
  step.attempts = step.attempts + 1
  if not step.mocked then self.real = id end
  return step.mocked
end

function Notes:mock(name, id, attempt, args)
  return call_mock(self.plan.mocks[name], id, attempt, args)
end

function Notes:call(id, kind, pending)
  self.last = id
  if pending and (kind == "promise" or kind == "workflow") then return settlement(self.plan.options, self.plan.spec.id, id) end
end

function Notes:output(text)
  self.lines[#self.lines + 1] = text
end

function Notes:act(i, again)
  self.plan.acts[i](setmetatable({ id = self.plan.spec.id, act = i, sent = 0, again = again }, Handle))
end

local function seconds(ms) return ("%g s"):format(ms / 1000) end

-- Why a run did not come to its end, and the mend.
local function unfinished(raw, notes)
  local id = notes.plan.spec.id
  if raw.ending == "parked" then
    return ("%s would be parked: %s"):format(id, (raw.text:gsub("%. Mend the .*$", "")))
  elseif raw.ending == "stalled" then
    local list, mend = {}, nil
    for wait, kind, func in (raw.waits or ""):gmatch("([^\t\n]+)\t([^\t\n]*)\t([^\n]*)\n") do
      list[#list + 1] = kind == "promise" and wait or ("%s (%s %s)"):format(wait, kind, func)
      local short = wait:sub(1, #id + 1) == id .. ":" and wait:sub(#id + 2) or wait
      if kind == "recv" then
        local channel = func:sub(1, #id + 1) == id .. "/" and func:sub(#id + 1) or func
        mend = mend or ("send = {[\"%s\"] = {message}}, or in at = {{\"1h\", function(h) h:send(...) end}}"):format(channel)
      elseif kind ~= "acquire" then
        mend = mend or ('resolve = {["%s"] = value}, or reject, or settle it in ' ..
          'at = {{"1h", function(h) h:resolve(...) end}}'):format(short)
      end
    end
    if #list == 0 then return id .. " has not ended, and nothing is left that could happen" end
    return ("%s waits for %s, and nobody settles it%s"):format(id, concat(list, ", "), mend and "; give " .. mend or "")
  elseif raw.ending == "late" then
    return ("%s has not ended after %s of virtual time, the horizon; horizon = \"9000d\" moves it"):format(id,
      seconds(notes.plan.spec.horizon))
  elseif raw.ending == "writes" then
    return ("%s made more than %d writes: a loop without an end? (last call: %s; writes = N allows more)"):format(id,
      notes.plan.spec.writes, notes.last or "none")
  elseif raw.ending == "hung" then
    return ("%s has not ended after %s of real time (last step begun: %s); mock what takes long, or give real = \"5m\"")
      :format(id, seconds(notes.plan.spec.real), notes.real or "none")
  end
  return raw.text or raw.ending
end

local states = { resolved = "resolved", rejected = "rejected", rejected_canceled = "canceled", rejected_timedout = "timedout" }

local function results_of(data, rest)
  if not data or data == "" then return { n = 0 } end
  if not rest or rest == "" then return { n = 1, (core.decode(data)) } end
  return pack(core.decode(data), core.decode_array(rest))
end

-- id -> record
local function recorded_steps(raw)
  local found = {}
  for _, record in ipairs(core.decode(raw.steps)) do found[record.id] = record end
  return found
end

local Result = { __index = function(result, name)
  local notes = rawget(result, "_notes")
  if name ~= "steps" or not notes then return nil end
  local records = recorded_steps(rawget(result, "_raw"))
  local steps = {}
  for i, step in ipairs(notes.steps) do
    local record = records[step.id]
    local one = { name = step.name, id = step.id, attempts = step.attempts, mocked = step.mocked }
    one.args = pack(core.decode_array(step.args_json))
    one.state = record and states[record.state] or "pending"
    one.ok = one.state == "resolved"
    if one.ok then
      one.value = results_of(record["$value"])[1]
    elseif record and record["$value"] then
      one.error = core.decode(record["$value"])
    end
    steps[i] = one
  end
  rawset(result, "steps", steps)
  return steps
end }

local function run_once(plan, deaths, evict)
  local notes = setmetatable({ plan = plan, steps = {}, by_id = {}, lines = {} }, Notes)
  plan.spec.deaths, plan.spec.evict = deaths, evict
  local raw = core.trial(plan.spec, function(what, ...) return notes[what](notes, ...) end)
  return raw, notes
end

local function result_of(raw, notes)
  local result = {
    id = notes.plan.spec.id,
    ok = raw.state == "resolved",
    state = states[raw.state],
    results = { n = 0 },
    lines = notes.lines,
    elapsed = raw.elapsed_ms / 1000,
    writes = raw.writes,
    history = raw.history,
    _notes = notes, _raw = raw,
  }
  if result.ok then
    result.results = results_of(raw.data, raw.rest)
    result.value = result.results[1]
  else
    result.error = raw.data and raw.data ~= "" and core.decode(raw.data) or core.error_new(result.state, result.state)
  end
  return setmetatable(result, Result)
end

-- Runs a workflow to its end, in virtual time. Raises if it has none.
function t.run(f, args, options)
  local plan = prepare(f, args, check_names(options, RUN, "t.run", 2), 2)
  local raw, notes = run_once(plan, {}, false)
  if raw.ending ~= "completed" then error(unfinished(raw, notes), 2) end
  return result_of(raw, notes)
end

---------------------------------------------------------------------------------------------------- everywhere

local function shown(text)
  text = text or "nothing"
  return #text > 300 and text:sub(1, 300) .. "..." or text
end

local ENDED = { resolved = true, rejected = true }

-- The first thing in which a run differs from the straight one, or nil.
local function difference(raw, notes, straight, records)
  if raw.ending ~= "completed" then return unfinished(raw, notes) end
  for id, record in pairs(recorded_steps(raw)) do
    local other = records[id]
    if other and ENDED[record.state] and ENDED[other.state] and
      (record.state ~= other.state or record["$value"] ~= other["$value"]) then
      return ("%s '%s' (%s:%s) was recorded %s with %s, straight on %s with %s"):format(record.kind, id, record.file or "?",
        record.line or "?", states[record.state], shown(record["$value"]), states[other.state], shown(other["$value"]))
    end
  end
  if raw.state ~= straight.state or raw.data ~= straight.data or raw.rest ~= straight.rest then
    return ("it ended %s with %s%s, straight on %s with %s%s"):format(states[raw.state], shown(raw.data), raw.rest or "",
      states[straight.state], shown(straight.data), straight.rest or "")
  end
end

local function death_words(n)
  return ("%s write %d"):format(n < 0 and "before" or "behind", math.abs(n))
end

-- The pairs (n, m) of a second death: all, or so many of them by chance.
local function choose(pairs_, all, seed)
  if all or #pairs_ <= PAIRS_SAMPLED then return pairs_, "" end
  seed = seed or os.time()
  local state = seed
  local function below(n) -- an LCG of its own: a test's own chance is left alone
    state = (state * 6364136223846793005 + 1442695040888963407) & 0x7fffffffffffffff
    return (state >> 20) % n
  end
  for i = 1, PAIRS_SAMPLED do
    local j = i + below(#pairs_ - i + 1)
    pairs_[i], pairs_[j] = pairs_[j], pairs_[i]
  end
  return { unpack(pairs_, 1, PAIRS_SAMPLED) }, (" (sampled; seed = %d does it again, all = true tries all)"):format(seed)
end

local function fail(what, notes, straight, words, hint, depth)
  error(("%s with %s is not as without (%d writes; last call before the end: %s)%s: %s"):format(tostring(notes.plan.f), what,
    straight.writes, notes.last or "none", hint, words), depth + 1)
end

-- Kills the runtime before and behind every write, and demands that what comes out is what comes out without.
function t.everywhere(f, args, options)
  local plan = prepare(f, args, check_names(options, EVERYWHERE, "t.everywhere", 2), 2)
  options = plan.options
  number_option(options, "seed", 1, 2)
  local straight, notes = run_once(plan, {}, false)
  if straight.ending ~= "completed" then error(unfinished(straight, notes), 2) end
  local result = result_of(straight, notes)
  local records = recorded_steps(straight)
  local kills, again = 0, {}

  local function try(deaths, evict, what, hint)
    local raw, own = run_once(plan, deaths, evict)
    local words = difference(raw, own, straight, records)
    if words then fail(what, own, straight, words, hint or "", 3) end
    kills = kills + raw.died
    return raw
  end

  try({}, true, "evictions at every await")
  for n = 1, straight.writes do
    for _, first in ipairs { -n, n } do
      local raw = try({ first }, false, "a death " .. death_words(first))
      for m = 1, options.twice and raw.died == 1 and raw.writes or 0 do
        again[#again + 1] = { first, -m }
        again[#again + 1] = { first, m }
      end
    end
  end
  local chosen, hint = choose(again, options.all or straight.writes <= PAIRS_MAX, options.seed)
  for _, deaths in ipairs(chosen) do
    try(deaths, false, ("deaths %s and, of the recovery, %s"):format(death_words(deaths[1]), death_words(deaths[2])), hint)
  end
  result.kills = kills
  return result
end

-- The same run with the execution dropped from memory at every await, so that each resume is a replay.
function t.evicted(f, args, options)
  local plan = prepare(f, args, check_names(options, RUN, "t.evicted", 2), 2)
  local straight, notes = run_once(plan, {}, false)
  if straight.ending ~= "completed" then error(unfinished(straight, notes), 2) end
  local raw, own = run_once(plan, {}, true)
  local words = difference(raw, own, straight, recorded_steps(straight))
  if words then fail("evictions at every await", own, straight, words, "", 2) end
  return result_of(raw, own)
end

---------------------------------------------------------------------------------------------------- schedules

local SCHEDULES = { mock = true, resolve = true, reject = true, at = true, now = true, writes = true, real = true, tables = true,
  groups = true }

-- What the schedules of a script start in so much virtual time: a list in the order of the instants.
function t.schedules(handle, duration, options)
  local script = scripts[handle]
  if not script then error("t.schedules(script, duration, options): script is what t.script() gave", 2) end
  options = check_names(options, SCHEDULES, "t.schedules", 2)
  local plan = prepare({ name = "", script = script }, {}, options, 2)
  plan.spec.id, plan.spec.horizon = "schedules", core.duration(duration, "t.schedules")
  local raw, notes = run_once(plan, {}, false)
  if raw.ending ~= "completed" then error(unfinished(raw, notes), 2) end
  local runs = {}
  for _, record in ipairs(core.decode(raw.roots)) do
    local run = { id = record.id, name = record["function"], at = record.created / 1000, state = states[record.state] or "pending" }
    run.ok = run.state == "resolved"
    if run.ok then
      run.value = results_of(record["$value"])[1]
    elseif record["$value"] and record["$value"] ~= "" then
      run.error = core.decode(record["$value"])
    end
    runs[#runs + 1] = run
  end
  table.sort(runs, function(a, b) return a.at < b.at or a.at == b.at and a.id < b.id end)
  return runs, notes.lines
end

---------------------------------------------------------------------------------------------------- histories

local function read_file(path, depth)
  local file, words = io.open(path, "rb")
  if not file then error(words, depth + 1) end
  local text = file:read "a"
  file:close()
  return text
end

-- Does the script still do what a history recorded? `history` is its text, or the path of a file beside the test.
function t.replay(history, script)
  if type(history) ~= "string" then error("t.replay needs a history, or the path of one; got " .. type(history), 2) end
  local held = scripts[script]
  if not held then error("t.replay(history, script): script is what t.script() gave", 2) end
  local path = not history:find("^%s*{") and beside_caller(history)
  local text = path and read_file(path, 2) or history
  local fits, executions, calls = core.replay(text, held.bundle)
  if not fits then error(("%s%s"):format(path and path .. ": " or "", executions), 2) end
  if fits ~= true then error(("%s does not fit %s: %s"):format(held.path, path or "the history", fits), 2) end
  return { executions = executions, calls = calls }
end
