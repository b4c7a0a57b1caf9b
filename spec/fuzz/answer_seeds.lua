-- answer_seeds.lua - what the target of answers begins with: one of each shape behind the number of its kind, and messages.
-- SPDX-License-Identifier: Apache-2.0
local KINDS = { "promise.get", "promise.create", "promise.settle", "promise.register_callback", "promise.register_listener",
  "promise.search", "task.get", "task.create", "task.acquire", "task.release", "task.fulfill", "task.suspend", "task.fence",
  "task.heartbeat", "task.halt", "task.continue", "task.search", "schedule.get", "schedule.create", "schedule.delete",
  "schedule.search" }

local function envelope(status, data)
  return ('{"kind":"k","head":{"corrId":"c","status":%d,"version":"2026-04-01","dahost:preload":"whole"},"data":%s}'):format(
    status, data)
end

local function answer(kind, status, data)
  for i, name in ipairs(KINDS) do
    if name == kind then return string.char(i - 1) .. envelope(status, data) end
  end
  error(kind)
end

local promise = '{"id":"a","state":"resolved","timeoutAt":5,"createdAt":1,"settledAt":2,"param":{"data":"eyJhIjoxfQ=="},' ..
  '"value":{"data":"x","headers":{"a":"b"}},"tags":{"resonate:target":"poll://any@g"}}'
local old = '{"id":"b","state":"pending","timeoutAt":5,"createdAt":1,"settledAt":null,"param":null,"value":{"data":null}}'
local task = '{"id":"a","state":"acquired","version":1,"resumes":["x"],"ttl":5,"pid":"p"}'
local schedule = '{"id":"s","cron":"* * * * *","promiseId":"p","promiseTimeout":5,"promiseParam":{},"promiseTags":{},' ..
  '"createdAt":1,"nextRunAt":2,"lastRunAt":1}'
local lease = '{"promise":' .. promise .. ',"task":' .. task .. ',"preload":[' .. promise .. "," .. old .. "]}"

return {
  answer("promise.get", 200, '{"promise":' .. promise .. "}"),
  answer("promise.get", 404, '"no\\u0000"'),
  answer("promise.search", 200, '{"promises":[' .. promise .. "," .. old .. '],"cursor":"b"}'),
  answer("task.get", 200, '{"task":' .. task .. "}"),
  answer("task.create", 200, lease),
  answer("task.acquire", 200, lease),
  answer("task.suspend", 300, '{"preload":[' .. old .. "]}"),
  answer("task.fence", 200, '{"action":' .. envelope(200, '{"promise":' .. promise .. "}") .. ',"preload":[]}'),
  answer("task.fence", 200, '{"action":' .. envelope(404, '"no"') .. "}"),
  answer("task.heartbeat", 200, "{}"),
  answer("task.search", 200, '{"tasks":[' .. task .. "]}"),
  answer("schedule.get", 200, '{"schedule":' .. schedule .. "}"),
  answer("schedule.search", 200, '{"schedules":[' .. schedule .. '],"cursor":"s"}'),
  '\0{"kind":"execute","head":{"serverUrl":"http://x"},"data":{"task":{"id":"a","version":1}}}',
  '\0{"kind":"unblock","head":{},"data":{"promise":' .. promise .. "}}",
}
