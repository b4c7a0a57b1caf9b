-- peer.lua - workflows that clients in TypeScript call, and that call functions in TypeScript (peer.mjs).
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step
local ts = da.service "typescript"

function step.double(n)
  return 2 * n
end

-- A step, a timer, a step; more results than TypeScript can see.
function async.twice(n)
  local once = await(step.double(n))
  await(da.sleep(0.05))
  return await(step.double(once)), "unseen"
end

function async.echo(...)
  return ...
end

-- What a value from TypeScript is to Lua.
function async.describe(...)
  local list = {}
  for i = 1, select("#", ...) do
    local v = select(i, ...)
    list[i] = math.type(v) or type(v)
    if v == math.huge or v == -math.huge then list[i] = "infinity" end
    if type(v) == "table" then
      list[i] = getmetatable(v) and v.code and "error " .. v.code or "table " .. #v
    end
  end
  return list
end

-- Values that only Lua has a word for.
function async.values()
  return { integer = 7, float = 7.0, half = 0.5, largest = 9007199254740991, huge = math.huge, list = { 1, 2, 3 },
    empty = {}, text = "日本 \0", yes = true, nested = { { a = { b = "c" } } } }
end

function async.fails(kind)
  if kind == "coded" then error { code = "no_stock", message = "none left" } end
  if kind == "plain" then error("plain words", 0) end
  if kind == "step" then await(step("broken", function() error { code = "broken", message = "in a step", fatal = true } end)) end
  local nothing = kind.nothing
  return nothing.field
end

-- TypeScript functions from Lua: one after the other, together, by f:at.
function async.asks(n)
  local first = await(ts.square(n))
  local both = await(da.all { ts.square(first), ts.add(first, 1) })
  local mapped = await(da.map({ 1, 2, 3 }, ts.square, { limit = 2 }))
  local back = await(ts.greet("Lua"))
  return { first = first, both = { both[1], both[2] }, mapped = { mapped[1], mapped[2], mapped[3] }, back = back }
end

function async.catches(kind)
  local ok, e = da.pawait(ts.throws(kind))
  if ok then return "not thrown" end
  return { code = e.code, message = e.message, value = e.value }
end

function async.passes(kind)
  return await(ts.throws(kind))
end

-- Back and forth: each side calls the other until n is 0.
function async.ping(n)
  if n == 0 then return "lua" end
  return "lua " .. await(ts.pong(n - 1))
end
