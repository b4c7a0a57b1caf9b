-- replay_tests.lua - t.replay; run by `dahost test` (spec/system/test_replay_spec.lua).
-- SPDX-License-Identifier: Apache-2.0
local t = require "da.test"
local order = t.script "../../../examples/order.lua"
local wf = t.script "wf.lua"

local function words(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return tostring(err)
end

describe("t.replay", function()
  it("takes the file of a history", function()
    assert.same({ executions = 1, calls = 6 }, t.replay("order-7.json", order))
  end)

  it("takes what a run gave", function()
    local r = t.run(wf.parent, { 1 }, { mock = { ["step.charge"] = 2 } })
    assert.same({ executions = 3, calls = 4 }, t.replay(r.history, wf))
  end)

  it("raises the first difference", function()
    local r = t.run(wf.parent, { 1 }, { mock = { ["step.charge"] = 2 } })
    local text = words(t.replay, (r.history:gsub('"function":"charge"', '"function":"other"', 1)), wf)
    assert.matches("wf.lua does not fit the history: ", text, 1, true)
    assert.matches("wants step 'charge'", text, 1, true)
  end)

  it("refuses what it cannot read", function()
    assert.matches("no_such.json: No such file", words(t.replay, "no_such.json", wf), 1, true)
    assert.matches("no whole JSON document", words(t.replay, "{", wf), 1, true)
    assert.matches("defines no workflow 'order'", words(t.replay, "order-7.json", wf), 1, true)
    assert.matches("script is what t.script() gave", words(t.replay, "{}", {}), 1, true)
    assert.matches("needs a history", words(t.replay, 1, wf), 1, true)
  end)
end)
