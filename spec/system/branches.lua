-- branches.lua - the workflow of branches_spec.lua: concurrent branches that share upvalues, sleep for different times
-- and draw random numbers. Whatever order the branches first ran in, a replay must run them in that order again, or the
-- numbers come out differently.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.mark(branch, round, total)
  local path = os.getenv "LEDGER"
  if path then
    local file = assert(io.open(path, "a"))
    file:write(da.id(), " mark ", branch, " ", round, " ", total, "\n")
    file:close()
  end
  return { branch, round, total }
end

-- Records what the first life saw; a later life must see the same.
function step.seal(seen)
  local path = os.getenv "LEDGER"
  if path then
    local file = assert(io.open(path, "a"))
    file:write(da.id(), " seal ", #seen.trail, "\n")
    file:close()
  end
  return seen
end

function async.weave(branches, rounds)
  local total, trail, calls = 0, {}, 0
  local strands = {}
  for b = 1, branches do
    strands[b] = async("strand", function()
      for round = 1, rounds do
        await(da.sleep((branches - b + 1) * 0.003 + math.random(0, 3) / 1000))
        calls = calls + 1 -- shared by all, so every interleaving counts differently
        total = total + calls * math.random(1000)
        trail[#trail + 1] = ("%d.%d@%d=%d"):format(b, round, calls, total)
        local mark = await(step.mark(b, round, total))
        trail[#trail + 1] = ("%d.%d:%d"):format(mark[1], mark[2], mark[3])
      end
      return total
    end)
  end
  local ends = await(da.all(strands))
  local seen = { total = total, trail = trail, ends = ends, dice = math.random(1 << 30), clock = da.now() }
  local sealed = await(step.seal(seen))
  await(da.sleep(0.001))
  return { seen = seen, sealed = sealed }
end
