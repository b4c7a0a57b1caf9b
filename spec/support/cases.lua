-- cases.lua - the examples as the kill harness plays them, one entry per file and outcome.
--
-- Sleeps and time-outs are given as milliseconds where the script lets us, so that a life is short.
-- plugin: the source of functions in C that it calls.
-- serve: it is run by a process of `dahost serve` with these operands, for calls of other groups.
-- A new example belongs here: spec/system/examples_spec.lua fails for a file of examples/ that no case plays.
--
-- SPDX-License-Identifier: Apache-2.0

local ORDER = '{"customer":"ada","lines":[{"sku":"tea","count":2},{"sku":"pot","count":1},{"sku":"cup","count":6}]}'
local ORDER_IMPATIENT = ORDER:gsub("}$", ',"patience":"50ms"}')

local cases = {
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
    args = { "3", "5ms" },
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
    args = { "publish", '"On tides"', '"50ms"' },
    result = '{"printed":false,"why":"timedout"}\n',
  },
  {
    name = "booking, paid",
    script = "examples/booking.lua",
    id = "booking-1",
    args = { "book", "12A" },
    answers = { ["booking-1:sell.1.payment.1"] = '{"cents":4200}' },
    result = '{"ticket":"12A for 4200 cents"}\n',
  },
  {
    name = "booking, timed out",
    script = "examples/booking.lua",
    id = "booking-2",
    args = { "book", "12A", '"50ms"' },
    result = '{"released":"12A","why":"timedout"}\n',
  },
  {
    name = "transfer, undone",
    script = "examples/transfer.lua",
    id = "transfer-2",
    args = { "pay", "ann", "bob", "4000" },
    result = '{"most":1000,"refused":"too_much","why":"more than 1000 goes by letter"}\n',
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
    result = '{"state":"withdrawn","why":"timedout"}\n',
  },
  {
    name = "cart, sold",
    script = "examples/cart.lua",
    id = "cart-7",
    args = { "cart" },
    sends = { ["cart-7/orders"] = { '{"op":"add","sku":"tea","n":2}', '{"op":"add","sku":"pot"}',
      '{"op":"remove","sku":"pot"}', '{"op":"add","sku":"cake"}', '{"op":"checkout"}' } },
    result = '{"items":{"cake":1,"tea":2},"receipt":"receipt for 1220 cents","state":"sold"}\n',
  },
  {
    name = "crawler",
    script = "examples/crawler.lua",
    id = "crawl-1",
    args = { "crawl", "index", "3", '"3ms"' },
    result = '{"dead":["lost: http_404"],"pages":["index","news","about","tea","pots"]}\n',
  },
  {
    name = "report",
    script = "examples/report.lua",
    id = "report-1",
    args = { "report", "north", '"2026-11-25"' },
    result = '{"bytes":71,"region":"north","total":200.4}\n',
  },
  {
    name = "agent",
    script = "examples/agent.lua",
    id = "agent-1",
    args = { "agent", "What does tea for the office cost?" },
    answers = { ["agent-1:human.1"] = "12" },
    result = '{"answer":"It costs 3000 cents.","turns":4}\n',
  },
  {
    name = "thermostat",
    script = "examples/thermostat.lua",
    id = "thermostat-1",
    args = { "keep_warm", "20", "4", '"3ms"' },
    result = '["18.5: 40 %","21.5: 0 %","sensor_broken","27.5: 0 %"]\n',
  },
  {
    name = "device",
    script = "examples/device/keep_warm.lua",
    plugin = "examples/device/device.c",
    id = "device-1",
    args = { "keep_warm", "20", "4", '"3ms"' },
    result = '["18.5: 30 %","21.5: 0 %","sensor_broken","27.5: 0 %"]\n',
  },
  {
    name = "meter",
    script = "examples/meter.lua",
    id = "meter-1",
    args = { "count", "3", '"2ms"' },
    result = "27\n",
  },
  {
    name = "fibonacci",
    script = "examples/fibonacci.lua",
    id = "fibonacci-1",
    args = { "5" },
    result = "5\n",
  },
  {
    name = "render",
    script = "examples/render.lua",
    serve = { "gpu=examples/render_gpu.lua" },
    id = "film-1",
    args = { "film", "tides", "2" },
    result = '{"frames":"tides-01 tides-02","reel":"tides.mkv"}\n',
  },
  {
    name = "factorial",
    script = "examples/factorial.lua",
    serve = { "math=examples/factorial.lua" },
    id = "factorial-1",
    args = { "3" },
    result = "6\n",
  },
}

function cases.named(name)
  for _, case in ipairs(cases) do
    if case.name == name then return case end
  end
end

return cases
