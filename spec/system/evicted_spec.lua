-- evicted_spec.lua - an execution that is evicted at every await is the same as one that stays in memory, whether it is
-- replayed each time or goes on from images.
--
-- Each script that the suite has in a file is run all three ways: the examples and the workflows of regress/. The result, the
-- lines that the script prints and the records it leaves are the same, but for times. (The specs themselves run again
-- in those modes, see support/runner.lua; scripts within specs are compared by support/script.lua.)
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local cases = require("spec.support.cases")
local harness = require("spec.support.harness")
local modes = require("spec.support.modes")
local records = require("spec.support.records")

-- What is told of a time: hours and minutes, seconds since 1970 with or without a fraction.
local function timeless(text)
  return text and (text:gsub("%d%d:%d%d:%d%d", "<time>"):gsub("1%d%d%d%d%d%d%d%d%d%.?%d*", "<time>"))
end

-- Runs a case to its end; the human answers as soon as the script's print names a promise.
local function play(case, mode)
  local place = harness.place()
  local env = harness.case_env(case, place, modes.set({ DAHOST_QUIET = "1" }, mode))
  local args = { "run", case.script }
  table.move(case.args, 1, #case.args, 3, args)
  table.move({ "--id", case.id }, 1, 2, #args + 1, args)
  local answers = {}
  local sender = harness.sender(case, env, {})
  local server = case.serve and harness.spawn({ "serve", table.unpack(case.serve) }, { env = env })
  while server and not uv.fs_stat(place.data .. "/sock") do uv.sleep(1) end
  local process = harness.spawn(args, { env = env, on_line = function(line)
    sender.on_line(line)
    local id = line:match("dahost promise resolve (%S+)")
    local value = id and case.answers and case.answers[id]
    if value then answers[#answers + 1] = harness.spawn({ "promise", "resolve", id, value }, { env = env }) end
  end })
  harness.wait(process)
  harness.wait(table.unpack(answers))
  sender.wait()
  if server then
    uv.kill(server.pid, "sigterm")
    harness.wait(server)
  end
  local all = records.read(place)
  for _, record in pairs(all) do
    record.value, record.param = timeless(record.value), timeless(record.param)
  end
  harness.remove(place)
  return { out = process.out, code = process.code, lines = timeless(process.err), records = all }
end

-- Workflows of regress/ without arguments, as their own specs run them.
local function regressions()
  local list = {}
  local scan = assert(uv.fs_scandir("spec/regress"))
  for name in function() return uv.fs_scandir_next(scan) end do
    local base = name:match("^(vm_[%w_]+)%.lua$")
    if base and not base:find("_spec$") then
      list[#list + 1] = { name = base, script = "spec/regress/" .. name, id = "x", args = { "main" } }
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

describe("evicted at every await", function()
  local function compare(case)
    it("is the same: " .. case.name, function()
      local warm = play(case)
      for _, mode in ipairs { "cold", "image" } do
        local other = play(case, mode)
        assert.equal(warm.out, other.out, mode)
        assert.equal(warm.code, other.code, other.lines)
        assert.equal(warm.lines, other.lines, mode)
        assert.same({}, records.differences(warm.records, other.records), mode)
      end
      assert.is_not_nil(next(warm.records))
    end)
  end

  for _, case in ipairs(cases) do compare(case) end
  for _, case in ipairs(regressions()) do compare(case) end
end)
