local da = require "da"
local async, await = da.async, da.await

-- factorial.lua - recursion through a group: every level is run by whoever serves "math".
--
--   dahost serve math=examples/factorial.lua
--   dahost run examples/factorial.lua 10
--
-- The first level runs in the default group, the others in "math", from the same file.
--
-- SPDX-License-Identifier: Apache-2.0

function async.factorial(n)
  if n <= 1 then return 1 end
  return n * await(async.factorial:at "math" (n - 1))
end
