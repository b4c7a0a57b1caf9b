-- by_hand.lua - what a worker does, typed on the command line: from an invocation to a result, each request and refusal.
--
-- Here:    play(run, id): run(words...) has the program ask whoever it is that answers; data_of(), refuses(), action(),
--          decode().
--
-- SPDX-License-Identifier: Apache-2.0
local assert = require("luassert")
local json = require("dkjson")

local M = {}

-- The data of an answer that says yes.
function M.data_of(got)
  assert.are.same({ 0, "" }, { got.code, got.err })
  return json.decode(got.out, 1, nil)
end

-- An answer that says no, with these words on stderr.
function M.refuses(got, said, code)
  assert.are.same({ code or 1, "" }, { got.code, got.out }, got.err)
  assert.matches(said, got.err, 1, true)
end

-- A request in a request, as JSON text.
function M.action(kind, data)
  return json.encode({ kind = kind, head = setmetatable({}, { __jsontype = "object" }), data = data })
end

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- The bytes that base64 text spells.
function M.decode(base64)
  local bytes = base64:gsub("=", ""):gsub("..?.?.?", function(group)
    local bits = 0
    for i = 1, 4 do bits = bits << 6 | (i <= #group and ALPHABET:find(group:sub(i, i), 1, true) - 1 or 0) end
    return (">I3"):pack(bits):sub(1, #group - 1)
  end)
  return bytes
end

local data_of, refuses, action = M.data_of, M.refuses, M.action

function M.play(run, id)
  local promise = data_of(run("invoke", id, "--func", "f", "--arg", "1", "--target", "poll://any@gpu", "--timeout", "1m"))
    .promise
  local left = promise.timeoutAt - promise.createdAt -- the deadline counts from the command, not from its arrival
  assert.are.same({ id, "pending", "poll://any@gpu", true },
    { promise.id, promise.state, promise.tags["resonate:target"], left > 40000 and left <= 60000 })
  assert.are.equal(0, data_of(run("task", "get", id)).task.version)
  local claimed = data_of(run("task", "claim", id, "--pid", "w", "--version", "0", "--ttl", "5m"))
  assert.are.same({ "acquired", 1, "w", 300000 },
    { claimed.task.state, claimed.task.version, claimed.task.pid, claimed.task.ttl })
  refuses(run("task", "claim", id, "--pid", "w", "--version", "0", "--ttl", "5m"), 'Error: "Task is not pending"')

  local fenced = data_of(run("task", "fence", id, "--version", "1", "--action",
    action("promise.create", { id = id .. ":0", timeoutAt = promise.timeoutAt })))
  assert.are.equal(200, fenced.action.head.status)
  refuses(run("task", "fence", id, "--version", "2", "--action",
    action("promise.create", { id = id .. ":1", timeoutAt = 1 })), 'Error: "Version mismatch"')
  refuses(run("task", "fence", id, "--version", "1", "--action", '{"kind":"promise.get"}'), "Error: ")
  data_of(run("task", "heartbeat", "--pid", "w", "--tasks", json.encode({ { id = id, version = 1 } })))
  refuses(run("task", "heartbeat", "--pid", "w", "--tasks", "[]"), "Tasks array must not be empty")

  local wait = "[" .. action("promise.register_callback", { awaiter = id, awaited = id .. ":0" }) .. "]"
  refuses(run("task", "suspend", id, "--version", "1", "--actions", "[]"), "Actions array cannot be empty")
  data_of(run("task", "suspend", id, "--version", "1", "--actions", wait))
  assert.are.equal("suspended", data_of(run("task", "get", id)).task.state)
  assert.are.equal(0, run("promise", "resolve", id .. ":0", "7").code)
  assert.are.equal("pending", data_of(run("task", "get", id)).task.state)
  data_of(run("task", "claim", id, "--pid", "w", "--version", "1", "--ttl", "5m"))
  refuses(run("task", "suspend", id, "--version", "2", "--actions", wait), 'Error: {"preload":[')

  data_of(run("task", "release", id, "--version", "2"))
  refuses(run("task", "release", id, "--version", "2"), "Error: ")
  data_of(run("task", "halt", id))
  refuses(run("task", "claim", id, "--pid", "w", "--version", "2", "--ttl", "5m"), "Error: ")
  data_of(run("task", "continue", id))
  refuses(run("task", "continue", id), 'Error: "Task is not halted"')
  data_of(run("task", "claim", id, "--pid", "w", "--version", "2", "--ttl", "5m"))

  local function complete(version, data)
    return run("task", "complete", id, "--version", version, "--action", action("promise.settle", data))
  end
  refuses(complete("3", { id = "other", state = "resolved" }), 'Error: "Action ID must match the task ID"')
  refuses(complete("2", { id = id, state = "resolved" }), "Error: ")
  local done = data_of(complete("3", { id = id, state = "resolved", value = { data = "NDI=" } }))
  assert.are.same({ "resolved", "NDI=" }, { done.promise.state, done.promise.value.data })
  refuses(run("task", "halt", id), 'Error: "Task is fulfilled"')

  local made = id .. "-made"
  local created = data_of(run("task", "create", made, "--pid", "w", "--ttl", "1m", "--tags",
    '{"resonate:target":"poll://any@gpu"}'))
  assert.are.same({ "acquired", 1 }, { created.task.state, created.task.version })
  refuses(run("task", "create", made, "--pid", "w", "--ttl", "1m", "--tags", '{"resonate:target":"poll://any@gpu"}'),
    'Error: "Already exists"')
  refuses(run("task", "create", made .. "2", "--pid", "w", "--ttl", "1m"), "resonate:target")
  refuses(run("task", "get", "nobody"), 'Error: "Task not found"')
  refuses(run("task", "claim", made, "--pid", "", "--version", "0", "--ttl", "1s"), "Process ID is required")
end

-- Who is resumed, and who is told.
function M.register(run)
  data_of(run("invoke", "awaiter", "-f", "f", "--target", "poll://any@gpu"))
  assert.are.equal(0, run("promise", "create", "awaited").code)
  assert.are.equal("awaited", data_of(run("promise", "register-callback", "awaited", "awaiter")).promise.id)
  assert.are.equal("awaited", data_of(run("promise", "register-listener", "awaited", "poll://uni@g/1")).promise.id)
  refuses(run("promise", "register-callback", "nobody", "awaiter"), 'Error: "Awaited promise not found"')
  refuses(run("promise", "register-callback", "awaited", "nobody"), 'Error: "Awaiter promise not found"')
  refuses(run("promise", "register-callback", "awaited", "awaited"), "Awaited and awaiter must be different promises")
  refuses(run("promise", "register-listener", "awaited", "nowhere"), 'Error: "Invalid listener address"')
end

return M
