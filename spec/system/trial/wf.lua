-- wf.lua - the workflows that tests of tests run.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step
local helper = require "helper"


function step.price(item) return helper.prices[item] or error("no " .. item) end
function step.charge(cents) return "charged " .. cents end
function step.two() return 1, { 2 } end
function step.says() print "from the step" end
function step.slow() os.execute "sleep 0.5" end
function step.tells(id) da.resolve(id, "told by a step") return da.attempt() end

function async.bill(items)
  local prices = await(da.map(items, step.price))
  local total = 0
  for _, price in ipairs(prices) do total = total + price end
  print("total", total)
  return total, await(step.charge(total))
end

function async.double(n) return 2 * await(step.charge(n)) end
function async.parent(n) return await(async.double(n)) + await(async.double(n + 1)) end
function async.pair() return await(step.two()) end
function async.hangs() return await(step.slow:with { retry = false }()) end
function async.impatient() return await(step.charge:with { attempt_timeout = "5s", retry = { max = 2 } }(1)) end
function async.speaks() print "from the workflow" await(step.says()) end
function async.fails(n) da.error("no_stock", "none left", { n = n }) end
function async.hears() local p = da.promise "p" return await(step.tells(p.id)), await(p) end
function async.within() return da.pawait(da.within("10s", step.charge(1))) end
function async.chance() return da.uuid(), da.now(), da.id() end

function async.year()
  for _ = 1, 365 do await(da.sleep "1d") end
  return da.now()
end

function async.approval()
  local ok, answer = da.pawait(da.promise("approval", { timeout = "3d" }))
  return ok and answer or answer.code, answer.message
end

function async.waits() return await(da.promise "never") end
function async.spins() while true do await(step("s", function() return 1 end)) end end
function async.lives() while true do await(da.sleep "1d") end end
function async.counts() local n = 0 await(step("up", function() n = n + 1 end)) return n end

function async.tidy()
  local ok, err = pcall(function() await(da.promise "never") end)
  await(step.charge(0))
  return ok, err.code, err.message
end

function async.long(n)
  local sum = 0
  for i = 1, n do sum = sum + #await(step.charge(i)) end
  return sum
end

function async.rounds(n)
  await(step.charge(n))
  await(da.sleep "1h")
  if n > 1 then return da.again(n - 1) end
  return da.id()
end

function async.saga()
  local s <close> = da.saga()
  s:on_fail(step.charge, "undo")
  await(step.charge "do")
  da.error("enough", "that is enough")
end

local seen = { list = { {} } }
local function note(what) seen.list[1][#seen.list[1] + 1] = what end

function async.fills(how)
  local order = { id = 7, lines = { { sku = "tea" }, { sku = "pot" } } }
  await(step("plain", function() local own = {} own[1] = order.id return own end))
  await(step("fill", function()
    if how == "field" then order.id = 8 end
    if how == "deep" then order.lines[2].sku = "cup" end
    if how == "new" then order.lines[3] = {} end
    if how == "gone" then order.lines[1] = nil end
    if how == "sorted" then table.sort(order.lines, function(a, b) return a.sku < b.sku end) end
    if how == "helper" then note "x" end
    if how == "loop" then order.lines.order = order order.lines.order = nil end
    if how == "raise" then order.id = 9 error "x" end
  end))
  return order.id
end

function async.later(n)
  await(da.sleep "1d")
  return await(async.double(n))
end

function async.detaches()
  async.double:detach(9)
  async.later:detach(10)
  return "begun"
end

function async.cart()
  local inbox, got = da.inbox "orders", {}
  while true do
    local ok, message = da.pawait(da.within("30m", inbox:recv()))
    if not ok then return "abandoned", got end
    if message == "pay" then return "sold", got end
    got[#got + 1] = message
  end
end

function async.job() return await(da.channel "jobs":recv()) end

function async.permit()
  local permit <close> = await(da.semaphore("card", 1):acquire())
  for _ = 1, 2 do await(da.limiter("bank", { rate = 1, per = "10s" }):take()) end
  return permit ~= nil
end

function async.report(region)
  if region == "bad" then error("no such region") end
  return region .. await(step.charge(1))
end
da.schedule("north", { cron = "30 6 * * mon-fri", tz = "Europe/Vienna" }, async.report, "north")
da.schedule("bad", "@every 10h", async.report, "bad")
