-- fuzz_spec.lua - every fuzz target runs for a moment, from its seeds and from what earlier runs have kept.
-- SPDX-License-Identifier: Apache-2.0
local SECONDS = os.getenv("DA_LONG") == "1" and 120 or 3

local function output_of(command)
  local pipe = io.popen(command .. " 2>&1")
  local text = pipe:read("a")
  local _, _, code = pipe:close()
  return text, code
end

describe("a fuzz target", function()
  it("finds nothing that breaks it", function()
    if (os.getenv("DA_PRESET") or "dev") ~= "dev" then return pending("has a sanitizer of its own") end
    local text, code = output_of("sh spec/fuzz/run " .. SECONDS)
    if code == 3 then return pending("no clang-14 with libclang-rt-14-dev") end
    assert.equal(0, code, text)
    local count = 0
    for target, runs in text:gmatch("ok ([%w_]+): (%d+) runs") do
      count = count + 1
      assert(tonumber(runs) > 100, target .. " ran " .. runs .. " times")
    end
    for file in io.popen("ls spec/fuzz/*.c"):lines() do
      assert(text:find("ok " .. file:match("([%w_]+)%.c") .. ":", 1, true), file .. " did not run")
    end
    assert(count > 0)
  end)
end)
