-- unwinding.lua - sagas beside cancels, deadlines, shields, detached workflows and losers; unwinding_spec.lua kills them.
--
-- What a workflow does it notes as `do NAME`, what it undoes as `undo NAME`, in the ledger. Whatever dies when: of each
-- NAME that was done, and is not among those that the result says are kept, the undoing is there.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step

local function note(...)
  local file = assert(io.open(os.getenv "LEDGER", "a"))
  file:write(da.id(), " ", table.concat({ ... }, " "), "\n")
  file:close()
end

step["do"] = function(name) note("do", name); return name end
function step.undo(name) note("undo", name); return name end
function step.slow_undo(name) os.execute "sleep 0.02"; note("undo", name) end

local act = step["do"]

-- Does each of the names in a saga of the caller's.
local function all(s, names)
  for _, name in ipairs(names) do
    s:on_fail(name == "slow" and step.slow_undo or step.undo, name)
    await(act(name))
  end
end

local function code(p)
  local ok, e = pawait(p)
  return ok and "ended" or e.code
end

function async.fails(names)
  local s <close> = da.saga()
  all(s, names)
  da.error("mine", "no")
end

function async.waits(names)
  local s <close> = da.saga()
  all(s, names)
  await(da.promise "never")
end

-- A request to cancel that comes while the saga undoes, or before.
function async.cancel_in_undo()
  local kid = async.fails { "a", "slow", "b" }
  await(da.sleep(0.01))
  kid:cancel "now"
  local got = code(kid)
  return { good = got == "mine" or got == "canceled", kept = {} }
end

function async.joins()
  async.waits { "a" }
  async("side", function() local s <close> = da.saga(); all(s, { "b" }); await(da.promise "never") end)
  await(act "c")
end

-- ... and while its function has returned and it waits for its children.
function async.cancel_in_join()
  local kid = async.joins()
  await(da.sleep(0.02))
  kid:cancel "now"
  local got = code(kid)
  return { good = got == "canceled", kept = { "c" } }
end

function async.shields()
  local s <close> = da.saga()
  all(s, { "a" })
  s:on_fail(function() local t <close> = da.saga(); all(t, { "in undo" }); await(step.slow_undo "x") end)
  da.shield(function() all(s, { "b" }); await(da.sleep(0.02)) end)
  await(da.promise "never")
end

-- A deadline that passes in da.shield, or before; an undo call that holds a saga, which ends well.
function async.deadline()
  local got = code(async.shields:with { timeout = "15ms" }())
  return { good = got == "timedout", kept = { "in undo" } }
end

function async.mail(to) await(da.sleep(0.005)); return await(act("mail to " .. to)) end

function async.orders()
  local s <close> = da.saga()
  all(s, { "a" })
  async.mail:detach "ann"
  s:on_fail(async.mail, "bob")
  all(s, { "b" })
  da.error("mine", "no")
end

-- What was detached in a saga's scope is not undone with it, and outlives it.
function async.detaches()
  local got = code(async.orders())
  local mailed = await(da.get(da.id() .. "~orders.1.mail.1"))
  return { good = got == "mine" and mailed == "mail to ann", kept = { "mail to ann", "mail to bob" } }
end

function step.slowly(name) os.execute "sleep 0.02"; note("do", name); return name end

-- A step that is cancelled while it runs, and a workflow before it begins, in a scope that is then left by an error.
function async.gives_up()
  local s <close> = da.saga()
  s:on_fail(step.undo, "slow")
  local p = step.slowly "slow"
  local later = async.fails:with { delay = "1h" } { "never" }
  await(da.sleep(0.005))
  p:cancel "enough"
  later:cancel "enough"
  local how, what = code(p), code(later)
  da.error(what == "canceled" and (how == "ended" or how == "canceled") and "mine" or "odd", how)
end

function async.cancels_steps()
  return { good = code(async.gives_up()) == "mine", kept = {} }
end

-- Losers of any that hold sagas: a workflow, a branch, an undo call of which fails.
function step.stuck() note("undo", "stuck"); da.error("stuck", "cannot", { fatal = true }) end

function async.loses()
  local branch = async("side", function()
    local s <close> = da.saga()
    s:on_fail(step.stuck)
    all(s, { "b" })
    await(da.promise "never")
  end)
  local kid = async.waits { "a", "slow" }
  local first = await(da.any { kid, branch, async("quick", function() await(da.sleep(0.01)); return await(act "quick") end) })
  local ok, e = pawait(branch)
  local undone = ok or e.undo_errors == nil or e.undo_errors[1].code == "stuck"
  return { good = first == "quick" and code(kid) == "canceled" and undone, kept = { "quick" } }
end
