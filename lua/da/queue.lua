-- queue.lua - channels, inboxes, semaphores and limiters: names, and what can be done with them.
--
-- Runs in isolates and in step states alike; only the natives below differ (bind_queue.c): a step sends, and never waits.
-- SPDX-License-Identifier: Apache-2.0
local core, da = ...

local type, select, pairs, setmetatable, tostring = type, select, pairs, setmetatable, tostring
local raise, wait, send = core.raise, core.queue_wait, core.queue_send

local NAME_MAX = 200
local COUNT_MAX = 100000

-- A queue as a value: nothing but a name and methods.
local function handle(kind, name, methods)
  local self, bound = {}, {}
  for word, method in pairs(methods) do
    bound[word] = function(first, ...)
      if first ~= self then raise(("write %s:%s(...), with a colon"):format(kind, word)) end
      return method(...)
    end
  end
  return setmetatable(self, {
    __index = function(_, key)
      return bound[key] or raise(("%s '%s' has no '%s'%s"):format(kind, name, tostring(key),
        type(key) == "string" and core.nearest(key, bound) or ""))
    end,
    __newindex = function() raise(("%s '%s' cannot be assigned into"):format(kind, name)) end,
    __tostring = function() return ("%s '%s'"):format(kind, name) end,
    __name = kind,
    __metatable = false,
  })
end

local function check_name(name, what)
  if type(name) ~= "string" then raise(("%s needs a name that is a string, got %s"):format(what, type(name))) end
  if name == "" or #name > NAME_MAX or name:find "[%c/]" then
    raise(("%s: a name has 1 to %d bytes, no control characters and no '/'%s"):format(what, NAME_MAX,
      name:find "/" and "; <execution id>/<name> is an inbox, for da.channel" or ""))
  end
  return name
end

-- A channel's name may be that of an inbox: the id of an execution, a slash, a name.
local function check_channel(name)
  local id, short = tostring(name):match "^(.+)/([^/]*)$"
  if type(name) == "string" and id then
    check_name(short, "da.channel")
    return name
  end
  return check_name(name, "da.channel")
end

local function count(value, what)
  if math.type(value) ~= "integer" or value < 1 or value > COUNT_MAX then
    raise(("%s must be a whole number from 1 to %d"):format(what, COUNT_MAX))
  end
  return value
end

-- name(): as the host knows it; of an inbox that depends on the execution.
local function channel(kind, shown, name)
  return handle(kind, shown, {
    recv = function() return wait("recv", name()) end,
    send = function(...)
      if select("#", ...) ~= 1 then raise("send takes one message, which may be a table; got " .. select("#", ...)) end
      return send(name(), (...))
    end,
  })
end

function da.channel(name)
  check_channel(name)
  return channel("channel", name, function() return name end)
end

-- The channel `<execution id>/<name>` of the execution that uses it.
function da.inbox(name)
  check_name(name, "da.inbox")
  return channel("inbox", name, function() return core.queue_inbox(name) end)
end

function da.send(name, ...)
  return da.channel(name):send(...)
end

-- At most n permits at a time, in all executions together.
function da.semaphore(name, n)
  check_name(name, "da.semaphore")
  count(n, "da.semaphore(name, n): n")
  return handle("semaphore", name, { acquire = function() return wait("acquire", name, n) end })
end

local limiter_options = { rate = true, per = true }

-- At most `rate` takes in any `per`, in all executions together.
function da.limiter(name, options)
  check_name(name, "da.limiter")
  if type(options) ~= "table" then raise("da.limiter needs a table {rate=, per=}, got " .. type(options)) end
  for option in pairs(options) do
    if not limiter_options[option] then
      raise(("unknown option '%s' of da.limiter%s"):format(tostring(option),
        type(option) == "string" and core.nearest(option, limiter_options) or "; it takes rate, per"))
    end
  end
  local rate = count(options.rate, "da.limiter: rate")
  local per = core.duration_ms(options.per or 1, "da.limiter: per")
  if per < 1 then raise "da.limiter: per must be at least a millisecond" end
  return handle("limiter", name, { take = function() return wait("take", name, rate, per) end })
end
