-- native.lua - what a call of a native costs: `name=value` lines as da_bench prints them.
--
--   DAHOST_BIN=build/release/dahost lua5.4 spec/bench/native.lua DIRECTORY CALLS       (see rows.lua)
--
-- Each figure is the time of a run of the program with so many calls, less that of a run with few, for each call; of
-- those that are recorded, 200 are under way at a time. Beside them a step in Lua, and a plain C function of Lua's.
--
-- SPDX-License-Identifier: Apache-2.0
package.path = "./?.lua;" .. package.path
local uv = require("luv")
local program = require("spec.support.program")

local directory, calls = arg[1], tonumber(arg[2])
os.execute("mkdir -p '" .. directory .. "'")

local SCRIPT = [[
local da = require "da"
local async, await, step, bench = da.async, da.await, da.step, da.native.bench
function step.add(a, b) return a + b end
local kinds = { sync = bench.sync, pool = bench.pool, async = bench.async, step = step.add }
function async.recorded(kind, n)
  local f, open = kinds[kind], {}
  for i = 1, n do
    open[#open + 1] = f(i, 1)
    if #open == 200 or i == n then
      await(da.all(open))
      open = {}
    end
  end
end
function async.straight(kind, n)
  local f, sum = kind == "pure" and bench.pure or math.max, 0
  for i = 1, n do
    sum = sum + f(i, 1)
    if i % 50000 == 0 then await(da.sleep(0)) end -- no span may be too long
  end
  return sum
end
]]

local script = directory .. "/native_bench.lua"
local file = assert(io.open(script, "w"))
file:write(SCRIPT)
file:close()
local plugin = directory .. "/libbench.so"
assert(os.execute(("cc -std=c11 -O2 -shared -fPIC -pthread -Ibindings -o '%s' spec/bench/native.c"):format(plugin)))

local runs = 0
local function seconds(func, kind, n)
  runs = runs + 1
  local begin = uv.hrtime()
  local got = program.run({ "run", script, func, kind, n, "--plugin", plugin, "--data", directory .. "/native" .. runs, "--quiet" })
  assert(got.code == 0, got.out .. got.err)
  return (uv.hrtime() - begin) / 1e9
end

for _, each in ipairs { { "recorded", "sync", 1 }, { "recorded", "pool", 1 }, { "recorded", "async", 1 }, { "recorded", "step", 1 },
  { "straight", "pure", 50 }, { "straight", "plain", 500 } } do
  local func, kind, times = each[1], each[2], each[3]
  local few, many = seconds(func, kind, 200), seconds(func, kind, calls * times)
  print(("%s_us=%.6g"):format(kind, (many - few) * 1e6 / (calls * times - 200)))
end

os.exit(true) -- luv does not outlive an ordinary end with handles that are still closing
