local da = require "da"
local async, await, step, http = da.async, da.await, da.step, da.http

-- agent.lua - a model that is asked over HTTP and calls tools; the loop is plain Lua.
--
--   dahost run examples/http/agent.lua agent http://127.0.0.1:8099/chat '"What do six pots of tea cost?"'
--
-- What the model answered is recorded, so it is asked each question once, whatever happens to the process in between; a
-- question that was under way is sent again with the same Idempotency-Key. 429 and 5xx are tried again, other statuses not.
--
-- SPDX-License-Identifier: Apache-2.0

local tools = {}

function step.price(item) -- a tool may touch the world
  return ({ tea = 350, cake = 420 })[item] or da.error("unknown_item", "there is no " .. item, { fatal = true })
end

function tools.price(arguments)
  local ok, price = da.pawait(step.price(arguments.item))
  return ok and price or price.message
end

function tools.multiply(arguments) return arguments.a * arguments.b end -- or just compute

local function ask(url, messages)
  local patient = http.post:with { retry = { max = 8, first = 0.02, cap = 30 } }
  local answer = await(patient(url, { json = { messages = messages }, check = true, timeout = "2m" }))
  return da.json.decode(answer.body)
end

function async.agent(url, question)
  local messages = { { role = "user", content = question } }
  for turn = 1, 10 do
    local reply = ask(url, messages)
    messages[#messages + 1] = reply
    if not reply.tool then return { answer = reply.content, turns = turn } end
    local tool = tools[reply.tool]
    local said = tool and tool(reply.arguments) or "there is no tool " .. reply.tool
    messages[#messages + 1] = { role = "tool", content = said }
  end
  da.error("no_end", "ten turns, and no answer")
end
