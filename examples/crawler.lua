local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- crawler.lua - a polite crawler: level by level, a few pages at a time, a pause in between, flaky pages tried again.
--
--   dahost run examples/crawler.lua crawl index 3
--
-- SPDX-License-Identifier: Apache-2.0

-- Stands for the web. "news" answers only when asked a second time; "lost" is linked to, and not there.
local web = {
  index = "Welcome! See href=news and href=about.",
  news = "Tea is cheap. href=tea href=pots href=index",
  about = "We like tea: href=tea. Older pages: href=lost",
  tea = "A leaf. href=index",
  pots = "Of clay. href=clay",
  clay = "Earth and water.",
}

function step.fetch(page)
  ledger.note("fetch", page)
  if page == "news" and da.attempt() == 1 then error "connection reset" end -- raised, so it is tried again
  return web[page] or da.error("http_404", page .. " is not there", { fatal = true }) -- ... and this is not
end

function async.crawl(start, depth, pause)
  local seen, level, pages, dead = { [start] = true }, { start }, {}, {}
  local fetch = step.fetch:with { retry = { max = 4, first = "5ms" } }
  for round = 1, depth or 3 do
    -- The closure runs for two pages at a time; what it returns is the page's text, or nothing where there is none.
    local docs = await(da.map(level, function(page)
      local ok, text = da.pawait(fetch(page))
      if not ok then dead[#dead + 1] = page .. ": " .. text.code end
      return ok and text
    end, { limit = 2 }))
    local found = {}
    for i, text in ipairs(docs) do
      if text then pages[#pages + 1] = level[i] end
      for link in (text or ""):gmatch "href=(%l+)" do
        if not seen[link] then
          seen[link] = true
          found[#found + 1] = link
        end
      end
    end
    print(("level %d: %d pages, %d new links"):format(round, #docs, #found))
    level = found
    if #level == 0 then break end
    await(da.sleep(pause or "2s")) -- be polite
  end
  return { pages = pages, dead = dead }
end
