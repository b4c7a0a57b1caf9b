-- rows_numbers.lua - rows of the determinism table: chance, clock, numbers and their text.
-- SPDX-License-Identifier: Apache-2.0
local clock_at_load = { pcall(os.time) }
local date_at_load = { pcall(os.date) }

return function(da)
  local await = da.await

  local function advice(f, ...)
    local _, message = pcall(f, ...)
    return (tostring(message):gsub("^[%w_]+%.lua:%d+: ", ""))
  end

  return {
    { name = "math.random",
      value = { 115, 0.65, true, 5 },
      run = function(at)
        local a = math.random(1000)
        at()
        local b = math.random()
        local inside = await(da.step("roll", function() return math.random(5, 5) end))
        return { a, b - b % 0.01, math.random(0) ~= math.random(0), inside }
      end },
    { name = "math.randomseed",
      value = { "math.randomseed() without a seed would not be the same on replay; math.random is seeded for each execution already",
        true },
      run = function(at)
        local told = advice(math.randomseed)
        math.randomseed(42)
        local a = math.random(1000000)
        at()
        math.randomseed(42)
        return { told, a == math.random(1000000) }
      end },
    { name = "da.random, da.uuid",
      value = { 1, "4", 36, true },
      run = function(at)
        local id = da.uuid()
        at()
        return { da.random(1, 1), id:sub(15, 15), #id, id ~= da.uuid() }, id
      end },
    { name = "os.time",
      value = { true, true, true, 1700000000 },
      run = function(at)
        local before, first = os.time(), da.now()
        at()
        await(da.sleep(0.002))
        local after = da.now()
        return { math.type(before) == "integer", after - first >= 0.002, os.time() == math.floor(after),
          os.time { year = 2023, month = 11, day = 14, hour = 22, min = 13, sec = 20 } }, { before, after }
      end },
    { name = "os.date",
      value = { "2023-11-14 22:13:20", "2023-11-14 22:13:20", 22, "Tue Nov 14 22:13:20 2023 GMT", true },
      run = function(at)
        at()
        local t = 1700000000
        return { os.date("%Y-%m-%d %H:%M:%S", t), os.date("!%Y-%m-%d %H:%M:%S", t), os.date("*t", t).hour,
          os.date("%c %Z", t), os.date("%H:%M:%S") == os.date("!%H:%M:%S", os.time()) }, os.date()
      end },
    { name = "os.clock",
      value = { true, 5.0 },
      run = function(at)
        local a = os.clock()
        at()
        return { os.clock() >= a, os.difftime(15, 10) }, os.clock()
      end },
    { name = "the clock while the file loads",
      value = { false, "the clock is read while the script loads; only an execution can do that: call it inside function async.NAME(...)",
        false },
      run = function()
        return { clock_at_load[1], (tostring(clock_at_load[2]):gsub("^[%w_]+%.lua:%d+: ", "")), date_at_load[1] }
      end },
    { name = "nan",
      value = { "nan", "nan", "nan", "nan" },
      run = function()
        local zero = 0
        local nan = zero / zero
        return { tostring(nan), tostring(-nan), ("%s"):format(-nan), ("%f"):format(-nan) }
      end },
    { name = "text of numbers",
      value = { "1.0", "1", "0.1", "1e+100", "0.33333333333333", "1.10", "inf" },
      run = function(at)
        at()
        return { tostring(1.0), tostring(1), tostring(0.1), tostring(1e100), tostring(1 / 3), ("%.2f"):format(1.1), tostring(1 / 0) }
      end },
    { name = "integers, strings, utf8",
      value = { "-9223372036854775808", -4, 3, "\xe2\x82\xac", true, "b" },
      run = function(at)
        local wrapped = math.maxinteger
        at()
        return { tostring(wrapped + 1), -7 // 2, -7 % 10, utf8.char(8364), "B" < "a", ("abc"):sub(2, 2) }
      end },
    { name = "math.sin, math.exp, ^",
      value = { true, true, 2.0 },
      run = function(at)
        local a, b = math.sin(1), math.exp(1)
        at()
        return { a == math.sin(1), b == math.exp(1), 4 ^ 0.5 }, { a, b, 10 ^ 0.3, math.log(7) }
      end },
    { name = "collectgarbage",
      value = { 0, "collectgarbage 'count' would not be the same on replay; count what you keep yourself", true },
      run = function(at)
        local collected = collectgarbage()
        at()
        return { collected, advice(collectgarbage, "count"), collectgarbage "step" }
      end },
  }
end
