-- rows_await.lua - rows of the table of places: where a workflow may await, and where Lua cannot suspend.
-- SPDX-License-Identifier: Apache-2.0
return function(da)
  local async, await, step = da.async, da.await, da.step

  local function advice(f, ...)
    local _, message = pcall(f, ...)
    if da.is_error(message) then message = message.message end
    return (tostring(message):gsub("^[%w_]+%.lua:%d+: ", ""))
  end

  local function inside(what)
    return ("await: cannot suspend inside a callback of '%s' (Lua cannot yield across it); await before or after that call"):format(what)
  end

  local function tick() return await(step.tick()) end

  -- A table whose every access awaits.
  local function slow(t)
    return setmetatable({}, {
      __index = function(_, k) tick() return t[k] end,
      __newindex = function(_, k, v) tick() t[k] = v end,
      __len = function() tick() return #t end,
      __tostring = function() tick() return "slow" end,
    })
  end

  function async.kid() return tick() end

  return {
    { name = "await in a plain call",
      value = { "tick", "tick" },
      run = function(at)
        local function deep(n) if n == 0 then at() return tick() end return deep(n - 1) end
        local function deeper(n) if n == 0 then return tick() end return (deeper(n - 1)) end
        return { deep(50), deeper(50) }
      end },
    { name = "await in pcall, xpcall, error",
      value = { true, "tick", false, "no!", true, "tick" },
      run = function(at)
        local a, b = pcall(function() at() return tick() end)
        local c, d = xpcall(function() tick() error("no", 0) end, function(m) return m .. "!" end)
        local e, f = xpcall(tick, print)
        return { a, b, c, d, e, f }
      end },
    { name = "await in metamethods",
      value = { "tick", "set", "called", "add", "concat", true, true, "len", "unm", "closed", false },
      run = function(at)
        local out, mt = {}, {}
        mt.__index = function() return tick() end
        mt.__newindex = function(_, _, v) at() out[2] = v end
        mt.__call = function() tick() return "called" end
        mt.__add = function() tick() return "add" end
        mt.__concat = function() tick() return "concat" end
        mt.__eq = function() tick() return true end
        mt.__lt = function() tick() return true end
        mt.__le = function() tick() return false end
        mt.__len = function() tick() return "len" end
        mt.__unm = function() tick() return "unm" end
        mt.__close = function() tick() out[10] = "closed" end
        local a, b = setmetatable({}, mt), setmetatable({}, mt)
        do
          local c <close> = a -- luacheck: ignore
        end
        out[1] = a.anything
        a.x = "set"
        out[3], out[4], out[5], out[6], out[7], out[8], out[9], out[11] = a(), a + b, a .. b, a == b, a < b, #a, -a, a <= b
        return out
      end },
    { name = "await in iterators",
      value = { "1tick 2tick", "ab", "closed", "k=tick" },
      run = function(at)
        local out = {}
        local function turns(n, i) tick() if i < n then return i + 1, "tick" end end
        local list = {}
        for i, v in turns, 2, 0 do list[#list + 1] = i .. v end
        local letters = {}
        for letter in ("ab"):gmatch "%a" do at() letters[#letters + 1] = letter end
        local scope = setmetatable({}, { __close = function() tick() out[3] = "closed" end })
        for _ in next, { 1 }, nil, scope do tick() end
        local paired = setmetatable({}, { __pairs = function() tick() return function(_, k) if not k then return "k", tick() end end end })
        for k, v in pairs(paired) do out[4] = k .. "=" .. v end
        out[1], out[2] = table.concat(list, " "), table.concat(letters)
        return out
      end },
    { name = "await in a loaded chunk",
      value = "tick",
      run = function(at)
        at()
        return load "local tick = ...; return tick()"(tick)
      end },
    { name = "await in table.sort",
      value = { "a b c d", "1 2 3" },
      run = function(at)
        local list = { "c", "a", "d", "b" }
        table.sort(list, function(a, b) at() return a < b end)
        local less = { __lt = function(a, b) tick() return a.n < b.n end }
        local objects = {}
        for i, n in ipairs { 3, 1, 2 } do objects[i] = setmetatable({ n = n }, less) end
        table.sort(objects)
        return { table.concat(list, " "), objects[1].n .. " " .. objects[2].n .. " " .. objects[3].n }
      end },
    { name = "await in string.gsub",
      value = { "<tick> <tick>", "A-B", "[x] [y]", 2 },
      run = function(at)
        local a, n = ("one two"):gsub("%a+", function() at() return "<" .. tick() .. ">" end)
        local b = string.gsub("a-b", "%a", setmetatable({}, { __index = function(_, k) tick() return k:upper() end }))
        local c = ("x y"):gsub("%a", function(l) tick() return "[" .. l .. "]" end)
        return { a, b, c, n }
      end },
    { name = "await in a coroutine",
      value = { "tick 1", "tick 2", true, "tick" },
      run = function(at)
        local co = coroutine.wrap(function()
          for i = 1, 2 do
            at()
            coroutine.yield(tick() .. " " .. i)
          end
        end)
        local outer = coroutine.create(function()
          local inner = coroutine.create(tick)
          return select(2, coroutine.resume(inner))
        end)
        return { co(), co(), coroutine.resume(outer) }
      end },
    { name = "await in coroutine.close",
      value = { true, "closed tick" },
      run = function(at)
        local told
        local co = coroutine.create(function()
          local scope <close> = setmetatable({}, { __close = function() -- luacheck: ignore
            at()
            told = "closed " .. tick()
          end })
          coroutine.yield()
        end)
        coroutine.resume(co)
        return { coroutine.close(co), told }
      end },
    { name = "await in table.concat, table.unpack, table.insert, table.remove, table.move",
      value = { inside "concat", inside "unpack", inside "insert", inside "remove", inside "move" },
      run = function()
        return { advice(function() return (table.concat(slow { "a", "b" })) end),
          advice(function() return (table.unpack(slow { 1 }, 1, 1)) end),
          advice(function() table.insert(slow { 1 }, 2) end), advice(function() return (table.remove(slow { 1 })) end),
          advice(function() table.move(slow { 1 }, 1, 1, 2) end) }
      end },
    { name = "await in ipairs",
      value = inside "for iterator",
      run = function()
        return advice(function() for _ in ipairs(slow { 1 }) do tick() end end)
      end },
    { name = "await in __tostring",
      value = { inside "tostring", inside "print", inside "format" },
      run = function()
        local t = slow {}
        return { advice(function() return (tostring(t)) end), advice(function() print(t) end),
          advice(function() return (string.format("%s", t)) end) }
      end },
    { name = "await in table.sort of a table that awaits",
      value = inside "sort",
      run = function() return advice(function() table.sort(slow { 2, 1 }) end) end },
    { name = "await in the reader of load",
      value = inside "load",
      run = function()
        local chunk, message = load(function() return tick() end)
        return chunk == nil and (tostring(message):gsub("^[%w_]+%.lua:%d+: ", ""))
      end },
    { name = "await in the message handler of xpcall",
      value = "await: cannot suspend inside a message handler of xpcall (Lua cannot yield across it); await before or after that call",
      run = function()
        local _, message = xpcall(error, function()
          local _, told = pcall(tick)
          return told
        end, "x")
        return (tostring(message):gsub("^[%w_]+%.lua:%d+: ", ""))
      end },
    { name = "await in a coroutine resumed in such a place",
      value = "await: cannot suspend inside a coroutine resumed in a callback (Lua cannot yield across it); "
        .. "await before or after that call",
      run = function()
        local told
        local list = setmetatable({}, { __len = function() return 1 end, __index = function()
          told = select(2, coroutine.resume(coroutine.create(tick)))
          return "x"
        end })
        return table.concat(list) == "x" and (told:gsub("^[%w_]+%.lua:%d+: ", ""))
      end },
    { name = "await of a workflow in a callback",
      value = "tick",
      run = function(at)
        at()
        local text
        ;("x"):gsub("x", function() text = await(async.kid()) end)
        return text
      end },
  }
end
