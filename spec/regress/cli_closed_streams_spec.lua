-- cli_closed_streams_spec.lua - a store's data file was opened in the place of a closed standard stream, and what was
-- meant for that stream was written into it.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")

local run, with = cli.run, cli.with

describe("standard streams", function()
  local script

  before_each(function() script = select(2, cli.begin()) end)
  after_each(cli.finish)

  it("may be closed, all of them, without harm to the store", function()
    assert.are.equal(0, with("2>&-", "run", script, "talks", "--id", "a").code)
    assert.are.equal(0, with("<&-", "run", script, "talks", "--id", "b").code)
    assert.are.equal(74, with("<&- >&- 2>&-", "run", script, "talks", "--id", "c").code)
    assert.are.equal(74, with("<&- >&- 2>&-", "ps", "--state", "all").code)
    assert.are.equal(0, with("2>/dev/full", "run", script, "talks", "--id", "d").code)
    for _, id in ipairs { "a", "b", "c", "d" } do
      assert.are.equal('"the result"\n', run("run", script, "talks", "--id", id).out)
    end
    local verified = run("verify")
    assert.are.same({ 0, "" }, { verified.code, verified.out })
  end)
end)
