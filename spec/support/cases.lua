-- cases.lua - the examples as the kill harness plays them, one entry per file and outcome.
--
-- Times are real durations divided by DAHOST_TIME_FACTOR, so a time-out of two days is still one that passes here.
-- A new example belongs here: spec/system/examples_spec.lua fails for a file of examples/ that no case plays.
--
-- SPDX-License-Identifier: Apache-2.0

local ORDER = '{"customer":"ada","lines":[{"sku":"tea","count":2},{"sku":"pot","count":1},{"sku":"cup","count":6}]}'
local ORDER_IMPATIENT = ORDER:gsub("}$", ',"patience":"1s"}')

return {
  {
    name = "hello",
    script = "examples/hello.lua",
    id = "hello-1",
    args = { "foo", "world" },
    result = '"hello, world"\n',
  },
  {
    name = "countdown",
    script = "examples/countdown.lua",
    id = "countdown-1",
    args = { "3" },
    time_factor = "1000",
    result = '"lift-off"\n',
  },
  {
    name = "fan_out",
    script = "examples/fan_out.lua",
    id = "weather-1",
    args = { "weather", "oslo", "lima", "atlantis", "kyoto" },
    result = '{"names":["Oslo","Lima","Atlantis","Kyoto"],"unheard":"atlantis",'
      .. '"warmest":{"city":"oslo","degrees":18}}\n',
  },
  {
    name = "approval, given",
    script = "examples/approval.lua",
    id = "page-1",
    args = { "publish", '"On tides"' },
    answers = { ["page-1:editor.1"] = '{"ok":true}' },
    result = '{"at":"/pages/on-tides","printed":true}\n',
  },
  {
    name = "approval, timed out",
    script = "examples/approval.lua",
    id = "page-2",
    args = { "publish", '"On tides"', '"1s"' },
    time_factor = "20",
    result = '{"printed":false,"why":"timedout"}\n',
  },
  {
    name = "order, shipped",
    script = "examples/order.lua",
    id = "order-7",
    args = { ORDER },
    answers = { ["order-7:approval.1"] = '{"ok":true}' },
    result = '{"cents":2520,"parcel":"parcel/order-7:ship.1","state":"shipped"}\n',
  },
  {
    name = "order, timed out",
    script = "examples/order.lua",
    id = "order-8",
    args = { ORDER_IMPATIENT },
    time_factor = "20",
    result = '{"state":"withdrawn","why":"timedout"}\n',
  },
  {
    name = "fibonacci",
    script = "examples/fibonacci.lua",
    id = "fibonacci-1",
    args = { "5" },
    result = "5\n",
  },
}
