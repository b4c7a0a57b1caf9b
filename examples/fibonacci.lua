local da = require "da"
local async, await = da.async, da.await

-- fibonacci.lua - recursion: every call is an execution of its own, with its own promise.
--
--   dahost run examples/fibonacci.lua 6
--
-- Wasteful by intent: 25 executions for fib(6), and whichever of them a crash interrupts, the sum comes out right.
--
-- SPDX-License-Identifier: Apache-2.0

function async.fibonacci(n)
  if n < 2 then return n end
  local a, b = await(async.fibonacci(n - 1), async.fibonacci(n - 2)) -- both at once
  return a + b
end
