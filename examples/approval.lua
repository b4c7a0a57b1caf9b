local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- approval.lua - a human in the loop: a promise that is kept from outside, or runs out.
--
--   dahost run examples/approval.lua publish '"On tides"' --id page-1
--   dahost promise resolve page-1:editor.1 '{"ok":true}'        (in another terminal)
--
-- SPDX-License-Identifier: Apache-2.0

function step.ask(title, promise_id)
  ledger.note("ask", title)
  return "asked for " .. promise_id
end

function step.print_page(title)
  ledger.note("print", title)
  return "/pages/" .. title:lower():gsub("%W+", "-")
end

function async.publish(title, patience)
  local editor = da.promise("editor", { timeout = patience or "2d" })
  await(step.ask(title, editor.id))
  print(("may %q be printed?  dahost promise resolve %s '{\"ok\":true}'"):format(title, editor.id))

  local heard, answer = da.pawait(editor) -- as pcall: an answer, or the error that came instead
  if not heard then return { printed = false, why = answer.code } end
  if not answer.ok then return { printed = false, why = answer.why or "the editor said no" } end
  return { printed = true, at = await(step.print_page(title)) }
end
