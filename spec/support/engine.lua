-- engine.lua - the table language of the engine's specs: one request per line, what it must lead to behind an arrow.
--
--   run([[
--     create P1 timeout=20 target=w1  -> 200 pending, execute P1 v0 to=w1
--     create P1 timeout=99            -> 200 pending timeoutAt=20          -- the same record, unchanged
--     tick 20                         -> P1 rejected_timedout, task P1 fulfilled
--   ]])
--
-- Here:    commands (left of the arrow), facts (right of it), the world they speak of: a clock that starts at 0, an
--          engine over a store in memory, reached through the probe. `-- words` ends a line; it goes on in the
--          next after a comma, or if that begins with an arrow. After each the invariants of the state are checked.
-- Facts:   separated by commas. The first may be the status, words about the answer's records and, quoted, the message.
--          Messages are exact: one that a line sends and does not name is a failure.
--          request_of() gives the request that a command stands for, to whoever asks somebody else (wire.lua).
-- Names:   an address without ':' is short for http://<name>; a tag is written by its last part (target=, timer=,
--          branch= ...), a free one as tag.NAME=; value= and param= are the data of a value.
--
-- SPDX-License-Identifier: Apache-2.0
local probe = require("da_probe")

local M = {}

-- What a world's engine is: one over a store in memory, unless a spec puts another in its place (support/engine_http.lua) and
-- sets `over_http`: then tests of what only a process asks itself, or of thousands of rows, are left out.
function M.open(options)
  return probe.new({ kind = "memory", profile = options.profile, local_target = options.local_target })
end

---------------------------------------------------------------------------------------------------- words

local STATES = { canceled = "rejected_canceled", timedout = "rejected_timedout" }
local PROMISE_STATES = { resolved = true, rejected = true, rejected_canceled = true, rejected_timedout = true }
local TASK_STATES = { acquired = true, suspended = true, halted = true, fulfilled = true }
local TAGS = { "target", "timer", "delay", "external", "scope", "origin", "branch", "parent", "prefix" }

local function address(name)
  if name == "" or name:find(":", 1, true) then return name end
  return "http://" .. name
end

local function state(name)
  return STATES[name] or name
end

-- Splits `create P1 timeout=20` into positional words and named ones.
local function words_of(text)
  local words, named = {}, {}
  for word in text:gmatch("%S+") do
    local key, value = word:match("^([%a.]+)=(.*)$")
    if key and not word:find("^[%w]*:") then
      named[key] = value
    else
      words[#words + 1] = word
    end
  end
  return words, named
end

local function number(text, default)
  if text == nil then return default end
  return math.tointeger(tonumber(text)) or error("not an integer: " .. text)
end

local function value(text)
  if text == nil then return {} end
  return { data = text }
end

local function tags_of(named)
  local tags = {}
  for _, name in ipairs(TAGS) do
    if named[name] then tags["resonate:" .. name] = named[name] end
  end
  for key, text in pairs(named) do
    local free = key:match("^tag%.(.+)$")
    if free then tags[free] = text end
  end
  if tags["resonate:target"] then tags["resonate:target"] = address(tags["resonate:target"]) end
  return tags
end

---------------------------------------------------------------------------------------------------- commands

local function birth(id, named)
  return {
    id = id,
    timeoutAt = number(named.timeout, 1000),
    param = value(named.param),
    tags = tags_of(named),
  }
end

local function settlement(id, word, named)
  return { id = id, state = state(word), value = value(named.value) }
end

local function action(kind, data)
  return { kind = kind, head = { corrId = "1", version = "2026-04-01" }, data = data }
end

-- Each gives the kind and the data of a request, from the positional words behind the command and the named ones.
local COMMANDS = {
  get = function(w) return "promise.get", { id = w[1] } end,
  create = function(w, n) return "promise.create", birth(w[1], n) end,
  settle = function(w, n) return "promise.settle", settlement(w[1], w[2], n) end,
  callback = function(w) return "promise.register_callback", { awaited = w[1], awaiter = w[2] } end,
  listen = function(w, n)
    return "promise.register_listener", { awaited = w[1], address = n.to and address(n.to) or "" }
  end,
  task = function(w) return "task.get", { id = w[1] } end,
  taskcreate = function(w, n)
    local data = { pid = n.pid or "w", ttl = number(n.ttl, 10), action = action("promise.create", birth(w[1], n)) }
    return "task.create", data
  end,
  acquire = function(w, n)
    return "task.acquire", { id = w[1], version = number(w[2]), pid = n.pid or "w", ttl = number(n.ttl, 10) }
  end,
  release = function(w) return "task.release", { id = w[1], version = number(w[2]) } end,
  fulfill = function(w, n)
    local settle = action("promise.settle", settlement(n.action or w[1], w[3], n))
    return "task.fulfill", { id = w[1], version = number(w[2]), action = settle }
  end,
  suspend = function(w, n)
    local actions = {}
    for i = 3, #w do
      actions[i - 2] = action("promise.register_callback", { awaited = w[i], awaiter = n.awaiter or w[1] })
    end
    return "task.suspend", { id = w[1], version = number(w[2]), actions = actions }
  end,
  fence = function(w, n)
    local inner
    if w[3] == "create" then
      inner = action("promise.create", birth(w[4], n))
    else
      inner = action("promise.settle", settlement(w[4], w[5], n))
    end
    return "task.fence", { id = w[1], version = number(w[2]), action = inner }
  end,
  heartbeat = function(w)
    local tasks = {}
    for i = 2, #w do
      local id, version = w[i]:match("^(.*)@(%-?%d+)$")
      tasks[i - 1] = { id = id, version = number(version) }
    end
    return "task.heartbeat", { pid = w[1], tasks = tasks }
  end,
  halt = function(w) return "task.halt", { id = w[1] } end,
  continue = function(w) return "task.continue", { id = w[1] } end,
}

-- In process only.
function COMMANDS.step(w, n)
  local inner = birth(w[3], n)
  local data = { id = w[1], version = number(w[2]), promiseId = w[3], timeoutAt = inner.timeoutAt, tags = inner.tags }
  data.param, data.state, data.value = inner.param, state(w[4]), value(n.value)
  data.createdAt = number(n.created, 0)
  return "task.step", data
end

function COMMANDS.spawn(w, n)
  local inner = birth(w[3], n)
  local data = { id = w[1], version = number(w[2]), promiseId = w[3], timeoutAt = inner.timeoutAt, tags = inner.tags }
  data.param, data.pid, data.ttl = inner.param, n.pid or "w", number(n.ttl, 10)
  return "task.spawn", data
end

function COMMANDS.again(w, n)
  local inner = birth(w[3], n)
  local data = { id = w[1], version = number(w[2]), promiseId = w[3], timeoutAt = inner.timeoutAt, tags = inner.tags }
  if not n.timeout then data.timeoutAt = (1 << 53) - 1 end
  data.param, data.createdAt, data.generation = inner.param, number(n.created, 0), number(n.generation, 2)
  return "task.again", data
end

-- P1@0: the execute of P1 in version 0; A>u1: the unblock of A to u1.
local function message_of(word)
  local id, version = word:match("^(.*)@(%d+)$")
  if id then return { kind = "execute", id = id, version = number(version), address = "" } end
  local awaited, to = word:match("^(.*)>(.*)$")
  return { kind = "unblock", id = awaited, address = address(to) }
end

function COMMANDS.sweep(_, n) return "sweep", { limit = number(n.limit) } end
function COMMANDS.recover(_, n) return "recover", { pid = n.pid or "local/new", limit = number(n.limit) } end
function COMMANDS.claim(_, n)
  return "claim", { limit = number(n.limit), begins = n.begins, after = n.after and message_of(n.after) }
end

function COMMANDS.sent(w)
  local messages = {}
  for i, word in ipairs(w) do messages[i] = message_of(word) end
  return "sent", { messages = messages }
end

---------------------------------------------------------------------------------------------------- facts

-- The stored state by id, from the probe's snapshot.
local function stored(world)
  local s = world.probe:snapshot()
  local index = { promises = {}, tasks = {}, deadlines = {}, timers = {}, awaits = {}, listeners = {} }
  for _, p in ipairs(s.promises) do index.promises[p.id] = p end
  for _, t in ipairs(s.tasks) do index.tasks[t.id] = t end
  for _, d in ipairs(s.promiseTimeouts) do index.deadlines[d.id] = d.timeout end
  for _, d in ipairs(s.taskTimeouts) do index.timers[d.id] = d end
  for _, c in ipairs(s.callbacks) do
    index.awaits[c.awaiter] = index.awaits[c.awaiter] or {}
    table.insert(index.awaits[c.awaiter], c.awaited)
  end
  for _, l in ipairs(s.listeners) do
    index.listeners[l.id] = index.listeners[l.id] or {}
    table.insert(index.listeners[l.id], l.address)
  end
  return index
end

local function list_text(list)
  if list == nil or #list == 0 then return "none" end
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return table.concat(sorted, " ")
end

-- What a named word of a fact is compared with.
local function member(promise, task, timer, key)
  if key == "value" or key == "param" then return promise and promise[key].data end
  if key == "at" then return promise and promise.settledAt end
  if key == "retry" then return timer and timer.type == 0 and timer.timeout or nil end
  if key == "lease" then return timer and timer.type == 1 and timer.timeout or nil end
  if promise and promise[key] ~= nil then return promise[key] end
  return task and task[key]
end

-- Compares the words of a fact with records; returns what is wrong, or nil.
local function mismatch(words, named, promise, task, timer)
  for _, word in ipairs(words) do
    local wanted = state(word)
    local shown
    if word:find("^v%d+$") then
      wanted, shown = tonumber(word:sub(2)), task and task.version
    elseif word == "untimed" then
      wanted, shown = true, timer == nil
    elseif TASK_STATES[wanted] then
      shown = task and task.state
    elseif PROMISE_STATES[wanted] then
      shown = promise and promise.state
    elseif wanted == "pending" then
      shown = (promise or task or {}).state
    else
      return "unknown word " .. word
    end
    if shown ~= wanted then return ("%s is wanted, it is %s"):format(word, shown) end
  end
  for key, text in pairs(named) do
    local shown = member(promise, task, timer, key)
    local wanted = text == "none" and "nil" or text
    if tostring(shown) ~= wanted then return ("%s=%s is wanted, it is %s"):format(key, text, shown) end
  end
end

local function ids_of(records)
  local ids = {}
  for i, p in ipairs(records or {}) do ids[i] = p.id end
  return ids
end

-- Facts about the answer and the stored state; what begins with none of these is a promise's id.
local FACTS = {}

function FACTS.task(world, w, n)
  local s = stored(world)
  local id = table.remove(w, 1)
  if not s.tasks[id] then return "there is no task " .. id end
  return mismatch(w, n, nil, s.tasks[id], s.timers[id])
end

function FACTS.deadline(world, w)
  local at = stored(world).deadlines[w[1]]
  if tostring(at or "none") ~= w[2] then return ("the deadline row of %s is at %s"):format(w[1], at) end
end

function FACTS.awaits(world, w)
  local shown = list_text(stored(world).awaits[w[1]])
  if shown ~= table.concat(w, " ", 2) then return ("%s awaits %s"):format(w[1], shown) end
end

function FACTS.listeners(world, w)
  local names = {}
  for i = 2, #w do names[i - 1] = w[i] == "none" and "none" or address(w[i]) end
  local shown = list_text(stored(world).listeners[w[1]])
  if shown ~= table.concat(names, " ") then return ("listeners of %s: %s"):format(w[1], shown) end
end

FACTS["no"] = function(world, w)
  local s = stored(world)
  if s.promises[w[1]] then return w[1] .. " is there" end
end

function FACTS.preload(world, w)
  local shown = ids_of(world.answer.data.preload)
  if #shown == 0 then shown = { "none" } end
  if table.concat(shown, " ") ~= table.concat(w, " ") then return "preload is " .. table.concat(shown, " ") end
end

function FACTS.preloaded(world, w, n)
  for _, p in ipairs(world.answer.data.preload) do
    if p.id == w[1] then return mismatch({ table.unpack(w, 2) }, n, p) end
  end
  return w[1] .. " is not in the preload"
end

function FACTS.inner(world, w, n)
  local inner = world.answer.data.action
  if inner.head.status ~= tonumber(w[1]) then return "the inner status is " .. inner.head.status end
  local promise = type(inner.data) == "table" and inner.data.promise or nil
  return mismatch({ table.unpack(w, 2) }, n, promise)
end

function FACTS.more(world)
  if not world.answer.data.more then return "there is no more" end
end

local function message_fact(kind)
  return function(world, w, n)
    local text = kind .. " " .. table.concat(w, " ")
    if n.to then text = text .. " to=" .. address(n.to) end
    for i, m in ipairs(world.messages) do
      if m == text or m:sub(1, #text + 4) == text .. " to=" then
        table.remove(world.messages, i)
        return
      end
    end
    -- An outbox shows a message that was sent again as one.
    for _, m in ipairs(world.messages.unsent or {}) do
      if m == text or m:sub(1, #text + 4) == text .. " to=" then return end
    end
    return "not sent; sent were: " .. list_text(world.messages)
  end
end
FACTS.execute = message_fact("execute")
FACTS.unblock = message_fact("unblock")

local function stored_promise(world, w, n)
  local id = table.remove(w, 1)
  local promise = stored(world).promises[id]
  if not promise then return "there is no promise " .. tostring(id) end
  return mismatch(w, n, promise)
end

-- The first fact when it starts with a status.
local function answer_fact(world, w, n, message)
  local answer = world.answer
  if answer.status ~= tonumber(w[1]) then
    return ("the answer is %s %s"):format(answer.status, type(answer.data) == "string" and answer.data or "")
  end
  if message and answer.data ~= message then return ("the message is %q"):format(tostring(answer.data)) end
  if #w == 1 and next(n) == nil then return end
  if n.count then
    local wanted = tonumber(n.count)
    n.count = nil
    if not world.probe.wire and answer.data.count ~= wanted then return "count is " .. tostring(answer.data.count) end
  end
  if type(answer.data) ~= "table" then return "no record in the answer" end
  return mismatch({ table.unpack(w, 2) }, n, answer.data.promise, answer.data.task)
end

---------------------------------------------------------------------------------------------------- run

local World = {}
World.__index = World

-- One message as text: `execute P1 v0 to=http://w1`.
local function message_text(m)
  if m.kind == "execute" then return ("execute %s v%d to=%s"):format(m.id, m.version, m.address) end
  return ("unblock %s to=%s"):format(m.id, m.address)
end

local function request(world, kind, data)
  local answer, messages, words = world.probe:apply({ kind = kind, data = data }, world.now)
  if not answer then error(("%s: %s"):format(messages, words), 0) end
  world.answer = answer
  world.messages = {}
  for i, m in ipairs(messages) do world.messages[i] = message_text(m) end
  if messages.unsent then
    world.messages.unsent = {}
    for i, m in ipairs(messages.unsent) do world.messages.unsent[i] = message_text(m) end
  end
end

--- The kind and the data of the request that a line stands for.
---@param line string
function M.request_of(line)
  local words, named = words_of(line)
  local name = table.remove(words, 1)
  if not COMMANDS[name] then error("no such command: " .. tostring(name)) end
  return COMMANDS[name](words, named)
end

local function command(world, line)
  local name, at = line:match("^(%a+)%s*(%-?%d*)")
  if name == "at" or name == "tick" then
    world.now = number(at)
    world.answer, world.messages = { status = 200, data = {} }, {}
    if name == "tick" then request(world, "sweep", {}) end
  else
    request(world, M.request_of(line))
  end
end

local function check_fact(world, text)
  local message = text:match('"(.*)"')
  local words, named = words_of((text:gsub('".*"', "")))
  if words[1]:find("^%d%d%d$") then return answer_fact(world, words, named, message) end
  local fact = FACTS[words[1]]
  if fact then
    table.remove(words, 1)
    return fact(world, words, named)
  end
  return stored_promise(world, words, named)
end

-- Facts of a line: commas part them, but not inside quotes.
local function facts_of(text)
  local facts, quoted = {}, false
  local start = 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c == '"' then quoted = not quoted end
    if c == "," and not quoted then
      facts[#facts + 1] = text:sub(start, i - 1)
      start = i + 1
    end
  end
  facts[#facts + 1] = text:sub(start)
  return facts
end

local function run_line(world, line)
  local left, right = line:match("^(.-)%s*%->%s*(.-)%s*$")
  command(world, left or line)
  for _, fact in ipairs(right and facts_of(right) or {}) do
    local wrong = check_fact(world, fact)
    if wrong then error(("%s: %s"):format(fact:match("^%s*(.-)%s*$"), wrong), 0) end
  end
  if right and #world.messages ~= 0 then error("also sent: " .. list_text(world.messages), 0) end
  for _, broken in ipairs(world.probe:check(world.now)) do
    error(("broken: %s of %s: %s"):format(broken.property, broken.id, broken.words), 0)
  end
end

-- The requests of a table: comments off, what goes on in the next line put together.
local function entries_of(text)
  local entries, count = {}, 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    count = count + 1
    local bare = (" " .. line):gsub("%s%-%-%s.*$", ""):match("^%s*(.-)%s*$")
    local last = entries[#entries]
    if last and bare ~= "" and (last.text:sub(-1) == "," or bare:sub(1, 2) == "->") then
      last.text = last.text .. " " .. bare
    elseif bare ~= "" then
      entries[#entries + 1] = { text = bare, line = count }
    end
  end
  return entries
end

--- Runs a table against this world; a wrong line raises with its number and text.
---@param text string
function World:run(text)
  for _, entry in ipairs(entries_of(text)) do
    local ok, why = pcall(run_line, self, entry.text)
    if not ok then error(("line %d: %s\n    %s"):format(entry.line, entry.text, why), 0) end
  end
  return self
end

--- One request as it is. Gives status, data (a message, if refused) and the messages sent.
---@param kind string
---@param data table
function World:ask(kind, data)
  request(self, kind, data)
  return self.answer.status, self.answer.data, self.messages
end

--- A world of its own: an empty store in memory, the clock at 0.
---@param options? {profile?: table, local_target?: string}
function M.world(options)
  options = options or {}
  local profile = { retry_timeout_ms = 100 }
  for key, setting in pairs(options.profile or {}) do profile[key] = setting end
  local world = { now = 0, profile = profile }
  world.probe = M.open({ profile = profile, local_target = options.local_target })
  return setmetatable(world, World)
end

--- Runs a table in a world of its own.
---@param text string
---@param options? table as for world()
function M.run(text, options)
  return M.world(options):run(text)
end

return M
