-- envelope_seeds.lua - what the target of envelopes begins with: one of each kind, and some with faults.
-- SPDX-License-Identifier: Apache-2.0
local function envelope(kind, data)
  return ('{"kind":"%s","head":{"corrId":"c","version":"2026-04-01","auth":null,"resonate:debug_time":1},"data":%s}'):format(
    kind, data)
end

local create = '{"id":"a\\u0000","timeoutAt":9223372036854775807,"param":{"headers":{"a":"b"},"data":"eyJhIjoxfQ=="},' ..
  '"tags":{"resonate:target":"poll://any@g","a":"1","a":"2"}}'
local settle = '{"id":"a","state":"rejected_canceled","value":{"headers":null,"data":"x"}}'

return {
  envelope("promise.get", '{"id":"\\ud83d\\ude00"}'),
  envelope("promise.create", create),
  envelope("promise.settle", settle),
  envelope("promise.register_callback", '{"awaited":"a","awaiter":"b"}'),
  envelope("promise.register_listener", '{"awaited":"a","address":"b"}'),
  envelope("promise.search", '{"state":"pending","tags":{},"limit":5,"cursor":null}'),
  envelope("task.create", '{"pid":"p","ttl":1,"action":{"kind":"k","head":[],"data":' .. create .. "}}"),
  envelope("task.acquire", '{"id":"a","version":0,"pid":"p","ttl":1}'),
  envelope("task.fulfill", '{"id":"a","version":1,"action":{"data":' .. settle .. "}}"),
  envelope("task.suspend", '{"id":"a","version":1,"actions":[{"data":{"awaited":"b","awaiter":"a"}}]}'),
  envelope("task.fence", '{"id":"a","version":1,"action":{"kind":"promise.settle","data":' .. settle .. "}}"),
  envelope("task.fence", '{"id":"a","version":1,"action":{"kind":"promise.create","data":' .. create .. "}}"),
  envelope("task.heartbeat", '{"pid":"p","tasks":[{"id":"a","version":1.0}]}'),
  envelope("task.search", '{"state":"halted"}'),
  envelope("schedule.create", '{"id":"a","cron":"*","promiseId":"b","promiseTimeout":-0,"promiseParam":{},"promiseTags":{}}'),
  envelope("debug.tick", '{"time":1}'),
  '{"kind":5,"head":{"corrId":7}}', "[[[[", '"\\ud800"',
}
