-- test_run_spec.lua - `dahost test` runs test files with what they need; the tests themselves lie in trial/.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local program = require("spec.support.program")

local TRIAL = uv.cwd() .. "/spec/system/trial/"

describe("dahost test", function()
  local place
  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  -- Of the files' tests `many` make thousands of runtimes, and ThreadSanitizer keeps
  -- every frame that Lua leaves by a jump.
  local function passes(file, count, many)
    local some = os.getenv("DA_PRESET") == "tsan"
    local got = place:run("test", TRIAL .. file, table.unpack(some and { "--", "--exclude-tags", "many" } or {}))
    assert.equal(0, got.code, got.out .. got.err)
    assert.matches((some and count - many or count) .. " successes / 0 failures / 0 errors / 0 pending", got.out, 1, true)
  end

  it("runs workflows with mocks, in virtual time, and leaves no store behind", function()
    passes("run_tests.lua", 41, 2)
    assert.is_nil(uv.fs_stat(place.data))
    assert.is_nil(uv.fs_stat(place.dir .. "/.dahost"))
  end)

  it("kills them everywhere", function() passes("everywhere_tests.lua", 11, 5) end)
end)
