-- test_run_spec.lua - `dahost test` runs test files with what they need; the tests themselves lie in trial/.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local program = require("spec.support.program")

local TRIAL = uv.cwd() .. "/spec/system/trial/"

describe("dahost test", function()
  local place
  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  local function passes(file, count)
    local got = place:run("test", TRIAL .. file)
    assert.equal(0, got.code, got.out .. got.err)
    assert.matches(count .. " successes / 0 failures / 0 errors / 0 pending", got.out, 1, true)
  end

  it("runs workflows with mocks, in virtual time, and leaves no store behind", function()
    passes("run_tests.lua", 36)
    assert.is_nil(uv.fs_stat(place.data))
    assert.is_nil(uv.fs_stat(place.dir .. "/.dahost"))
  end)

  it("kills them everywhere", function() passes("everywhere_tests.lua", 11) end)
end)
