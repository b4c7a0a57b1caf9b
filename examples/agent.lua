local da = require "da"
local async, await, step = da.async, da.await, da.step
local ledger = require "ledger"

-- agent.lua - a model that calls tools until it knows the answer. The loop is plain Lua; what it has learned so far
-- survives the process, and no question is asked twice.
--
--   dahost run examples/agent.lua agent '"What does tea for the office cost?"' --id agent-1
--   dahost promise resolve agent-1:human.1 12        (in another terminal)
--
-- SPDX-License-Identifier: Apache-2.0

-- Stands for a model behind HTTP: what it says follows from what it was told. It is busy when first asked.
local function model(messages)
  local heard = #messages
  if heard == 1 then return 200, { tool = "price", args = { item = "tea" } } end
  if heard == 3 then return 200, { tool = "ask_human", args = { question = "How many people are there?" } } end
  if heard == 5 then
    return 200, { tool = "multiply", args = { x = messages[3].text, y = messages[5].text } }
  end
  return 200, { final = ("It costs %d cents."):format(messages[7].text) }
end

function step.model(messages)
  ledger.note("model", #messages)
  local status, reply = model(messages)
  if da.attempt() == 1 and #messages == 3 then status, reply = 429, "too many questions" end
  if status == 200 then return reply end
  -- Tried again, unless the question itself is at fault.
  da.error("http_" .. status, reply, { fatal = status >= 400 and status < 500 and status ~= 429 })
end

function step.price(item)
  ledger.note("price", item)
  return ({ tea = 250, coffee = 480 })[item] or da.error("no_such_item", item, { fatal = true })
end

-- Tools are ordinary functions. They may await, though the loop that calls them does not know.
local tools = {}
function tools.multiply(args) return args.x * args.y end
function tools.price(args) return await(step.price(args.item)) end
function tools.ask_human(args)
  local answer = da.promise("human", { timeout = "1d" })
  print(("%s  dahost promise resolve %s NUMBER"):format(args.question, answer.id))
  return await(answer)
end

function async.agent(goal, turns)
  local ask = step.model:with { retry = { max = 5, first = "5ms" }, timeout = "2m" }
  local messages = { { role = "user", text = goal } }
  for turn = 1, turns or 20 do
    local reply = await(ask(messages))
    if reply.final then return { answer = reply.final, turns = turn } end
    local tool = tools[reply.tool] or da.error("no_tool", "the model wants " .. tostring(reply.tool))
    messages[#messages + 1] = { role = "assistant", text = reply.tool }
    messages[#messages + 1] = { role = "tool", text = tool(reply.args) }
  end
  da.error("too_long", "no answer after " .. (turns or 20) .. " turns")
end
