local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- report.lua - a report of yesterday's sales, every morning, in two time zones.
--
--   dahost serve examples/report.lua                       (the schedules fire while it is up)
--   dahost schedule search                                 (in another terminal: when they run next)
--   dahost run examples/report.lua report north            (or by hand, now)
--
-- SPDX-License-Identifier: Apache-2.0

-- Stands for the till's database: a step may ask any.
local sales = {
  north = { tea = 112.5, cake = 48, pots = 39.9 },
  south = { tea = 20, scones = 61.25 },
}

function step.query(region, day)
  ledger.note("query", region, day)
  return sales[region] or error("no shop in the " .. region)
end

function step.publish(name, text)
  ledger.note("publish", name)
  return #text
end

-- The execution's clock stands where it was started, so a report that waits for a dead database until the evening is
-- still one of the day before its morning. `pairs` is sorted in workflows: the lines come in the same order always.
function async.report(region, day)
  day = day or os.date("%Y-%m-%d", da.now() - 86400)
  local rows = await(step.query:with { retry = "forever" }(region, day))
  local lines, total = {}, 0
  for product, sum in pairs(rows) do
    lines[#lines + 1] = ("%-8s %8.2f"):format(product, sum)
    total = total + sum
  end
  lines[#lines + 1] = ("%-8s %8.2f"):format("total", total)
  local text = table.concat(lines, "\n")
  print(("%s, %s\n%s"):format(region, day, text))
  local bytes = await(step.publish(day .. "-" .. region, text))
  return { region = region, total = total, bytes = bytes }
end

-- Each firing is an execution of its own, report-north.<instant in ms>. What was missed while nothing served is made up
-- for, morning by morning; of the stock-taking the last is enough.
da.schedule("report-north", { cron = "30 6 * * *", tz = "Europe/Vienna" }, async.report, "north")
da.schedule("report-south", { cron = "30 6 * * mon-sat", tz = "Africa/Casablanca" }, async.report, "south")

function step.count(shelf)
  ledger.note("count", shelf)
  return #shelf
end

function async.stock_taking(...)
  local counts = await(da.map({ ... }, step.count))
  return { shelves = #counts }
end

da.schedule("stock", { cron = "@weekly", catch_up = "last" }, async.stock_taking, "tea", "pots")
