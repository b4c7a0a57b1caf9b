-- rows_tables.lua - rows of the determinism table: traversal, order, text of objects.
-- SPDX-License-Identifier: Apache-2.0
return function(da)
  local async, await = da.async, da.await

  local function keys(t, at)
    local list = {}
    for k in pairs(t) do
      if at and #list == 2 then at() end
      list[#list + 1] = tostring(k)
    end
    return table.concat(list, " ")
  end

  local function advice(f, ...)
    local _, message = pcall(f, ...)
    return (tostring(message):gsub("^[%w_]+%.lua:%d+: ", ""))
  end

  local count = 0
  function async.counted()
    count = count + 1 -- of this execution alone
    return count
  end

  return {
    { name = "pairs",
      value = "-1.5 1 2 3 10 9500000000000000 A B a aa b \xc3\xa4 false true",
      run = function(at)
        return keys({ b = 1, a = 2, B = 3, A = 4, aa = 5, ["\xc3\xa4"] = 6, [10] = 7, [2] = 8, [1] = 9, [3] = 10,
          [-1.5] = 11, [9.5e15] = 12, [true] = 13, [false] = 14 }, at)
      end },
    { name = "pairs, keys without an order",
      value = { "a table key has no reproducible order; key the table by string or number",
        "a function key has no reproducible order; key the table by string or number",
        "a thread key has no reproducible order; key the table by string or number" },
      run = function()
        local function none() end
        return { advice(pairs, { [{}] = 1 }), advice(pairs, { [none] = 1 }),
          advice(next, { [coroutine.create(none)] = 1 }) }
      end },
    { name = "pairs, history",
      value = { "1 2 3 4 5 6 7 8 a b c", "1 2 3 4 5 6 7 8 a b c", "1 2 3 4 5 6 7 8 a b c" },
      run = function(at)
        local up, down = {}, { c = 1 }
        for i = 1, 8 do up[i] = i end
        up.a, up.b, up.c = 1, 2, 3
        down.b, down.a = 1, 2
        for i = 8, 1, -1 do down[i] = i end
        for i = 100, 200 do down[i] = i end
        at()
        for i = 100, 200 do down[i] = nil end
        local decoded = await(da.step.note(up))
        return { keys(up), keys(down), keys(decoded) }
      end },
    { name = "pairs, changed under way",
      value = { "a c e", 8 },
      run = function(at)
        local t, seen = { a = 1, b = 2, c = 3, d = 4, e = 5 }, {}
        for k in pairs(t) do
          if #seen == 1 then at() end
          seen[#seen + 1] = k
          t[k .. k] = true
          t.b, t.d = nil, nil
        end
        local n = 0
        for _ in pairs(t) do n = n + 1 end
        return { table.concat(seen, " "), n + 2 }
      end },
    { name = "next",
      value = { "1", "b", "nil", "c" },
      run = function(at)
        local t = { c = 3, b = 2, [1] = 1 }
        local first = tostring(next(t))
        at()
        return { first, next(t, 1), tostring(next({})), (next(t, "b")) }
      end },
    { name = "tostring",
      value = { "table: #1", "function: #2", "thread: #3", "table: #1", "table: #4 table: #1", "point: #5" },
      run = function(at)
        local t = {}
        local out = { tostring(t), tostring(print), tostring(coroutine.create(print)) }
        at()
        out[4] = ("%s"):format(t)
        out[5] = tostring({}) .. " " .. tostring(t)
        out[6] = tostring(setmetatable({}, { __name = "point" }))
        return out
      end },
    { name = "%p",
      value = "format: '%p' shows an address, which is not the same on replay; use '%s'",
      run = function() return advice(string.format, "%p", {}) end },
    { name = "error text",
      value = { "attempt to index a number value (local 'n')", "table: #1", "stack traceback:" },
      run = function()
        local function fails(n) return n.x.y end
        local _, object = pcall(error, {})
        return { advice(fails, 1), tostring(object), debug.traceback():match("^[^\n]*"),
          debug.traceback():find("0x", 1, true) }
      end },
    { name = "#",
      value = { 3, 5, 0 },
      run = function(at)
        local list = { 1, 2, 3 }
        at()
        local longer = { 1, 2, 3, 4, nil, 6 }
        longer[6] = nil
        longer[5] = 5
        return { #list, #longer, #{} }
      end },
    { name = "table.sort",
      value = { "1:a 1:b 1:c 1:d 2:a 2:b 2:c 2:d", true },
      run = function(at)
        local list = {}
        for _, text in ipairs { "2:a", "1:a", "2:b", "1:b", "1:c", "2:c", "2:d", "1:d" } do list[#list + 1] = text end
        local asked = 0
        table.sort(list, function(a, b)
          asked = asked + 1
          if asked == 3 then at() end
          return a:sub(1, 1) < b:sub(1, 1)
        end)
        local pipe, stable = {}, true
        for i = 1, 500 do
          pipe[i] = { i, i }
          pipe[1001 - i] = { i, 1001 - i }
        end
        table.sort(pipe, function(a, b) return a[1] < b[1] end)
        for i = 2, 1000 do
          local a, b = pipe[i - 1], pipe[i]
          stable = stable and (a[1] < b[1] or a[2] < b[2])
        end
        return { table.concat(list, " "), stable }
      end },
    { name = "table.sort, a comparator that contradicts itself",
      value = "c a b",
      run = function()
        local list = { "a", "b", "c" }
        table.sort(list, function() return true end)
        local turns = 0
        table.sort(list, function()
          turns = turns + 1
          return turns % 2 == 1
        end)
        return table.concat(list, " ")
      end },
    { name = "globals",
      value = { "cannot set global 'x': globals are frozen after load; use a local", "rawset: this table is read-only after load" },
      run = function()
        return { advice(function() x = 1 end), advice(rawset, _G, "x", 1) } -- luacheck: ignore
      end },
    { name = "library tables",
      value = { "cannot set 'string.shout': library tables are read-only; use a table of your own", false, false },
      run = function()
        return { advice(function() string.shout = string.upper end), getmetatable(""), getmetatable(_G) } -- luacheck: ignore
      end },
    { name = "state of other executions",
      value = { 1, 1, 0 },
      run = function()
        local a, b = await(async.counted(), async.counted())
        return { a, b, count }
      end },
  }
end
