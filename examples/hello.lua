local da = require "da"
local async, await = da.async, da.await

-- hello.lua - two functions that outlive the process: a call makes a promise, await ties it.
--
--   dahost run examples/hello.lua foo world
--
-- SPDX-License-Identifier: Apache-2.0

function async.bar(name)
  return "hello, " .. name
end

function async.foo(name)
  print "span 1"
  local greeting = await(async.bar(name)) -- foo may end here and go on in another process
  print "span 2"
  return greeting
end
