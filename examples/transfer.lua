local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- transfer.lua - a saga: an amount leaves one account and reaches another, or it is as if nothing had happened.
--
--   dahost run examples/transfer.lua pay ann bob 40
--   dahost run examples/transfer.lua pay ann nobody 40
--
-- What a scope registers with on_fail is undone when an error leaves it, newest first. The undo is registered before the
-- doing: a posting that timed out may have been made all the same. So reverse() must not mind a posting there is not, and
-- neither may mind being asked twice; a bank would know both by the reference.
--
-- SPDX-License-Identifier: Apache-2.0

local MOST = 1000

function step.post(account, amount, reference)
  ledger.note("post", account, amount, reference)
  if account == "nobody" then da.error("no_account", "there is no account 'nobody'", { fatal = true }) end
end

function step.reverse(reference)
  ledger.note("reverse", reference)
  return reference
end

function async.transfer(from, to, amount)
  local saga <close> = da.saga()
  local function post(account, change, reference)
    saga:on_fail(step.reverse, reference)
    await(step.post(account, change, reference))
  end
  post(from, -amount, da.id() .. "/out")
  post(to, amount, da.id() .. "/in")
  if amount > MOST then da.error("too_much", ("more than %d goes by letter"):format(MOST), { most = MOST }) end
  return { moved = amount }
end

function async.pay(from, to, amount)
  local paid, result = da.pawait(async.transfer(from, to, amount))
  if paid then return result end
  return { refused = result.code, why = result.message, most = result.most }
end
