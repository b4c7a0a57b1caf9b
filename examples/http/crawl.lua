local da = require "da"
local async, await, http = da.async, da.await, da.http

-- crawl.lua - the pages that can be reached from one, level by level: two at a time, with a pause between levels.
--
--   dahost run examples/http/crawl.lua crawl http://127.0.0.1:8099/ 3
--
-- What was fetched is recorded: killed at page 900 it goes on with page 901. Pages that are not there are noted; a server
-- that cannot now is asked again, later each time.
--
-- SPDX-License-Identifier: Apache-2.0

local function fetch(url)
  local polite = http.get:with { retry = { max = 5, first = 0.02, cap = 60 } }
  local ok, page = da.pawait(polite(url, { check = true, timeout = "30s" }))
  if ok then return page.body end
  return nil, page.code
end

-- The links of a page to its own site, in order.
local function links(site, text)
  local list = {}
  for path in text:gmatch 'href="(/[^"#]*)"' do list[#list + 1] = site .. path end
  return list
end

function async.crawl(start, depth, pause)
  local site = start:match "^%w+://[^/]+"
  local level, seen, pages, missing = { start }, { [start] = true }, {}, {}
  for _ = 1, depth do
    local texts = await(da.map(level, function(url)
      local text, why = fetch(url)
      return { text = text, why = why }
    end, { limit = 2 }))
    local following = {}
    for i, url in ipairs(level) do
      local path = url:sub(#site + 1)
      if texts[i].text then
        pages[#pages + 1] = { path = path, title = texts[i].text:match "<title>(.-)</title>" }
      else
        missing[#missing + 1] = { path = path, why = texts[i].why }
      end
      for _, link in ipairs(links(site, texts[i].text or "")) do
        if not seen[link] then following[#following + 1] = link end
        seen[link] = true
      end
    end
    if #following == 0 then break end
    await(da.sleep(pause or 2))
    level = following
  end
  return { pages = pages, missing = missing }
end
