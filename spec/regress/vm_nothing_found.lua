-- vm_nothing_found.lua - looks for a promise before it exists, and makes it afterwards.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.note(word) return word end
function step.answer(id) return da.resolve(id, "late") end

function async.main()
  local ok, err = da.pawait(da.get "nobody")
  local first = await(step.note(ok and "found" or err.code)) -- a replay that found it would note something else
  local late = da.promise("late", { id = "nobody-2" })
  await(step.answer(late.id))
  local ok2, err2 = da.pawait(da.get "nobody-1")
  await(step.note(ok2 and "found" or err2.code))
  await(async.maker())
  await(da.sleep(0.03))
  return first .. " " .. await(late)
end

function async.maker()
  local made = da.promise("made", { id = "nobody" })
  await(step.answer(made.id))
  return await(made)
end
