-- guard_spec.lua - the structural validator of the published SDK accepts every answer and every message that any spec got
-- from the server; spec/run has this one wait for all others.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local interop = require("spec.support.interop")

local folder = os.getenv("DA_ANSWERS")

local function recorded()
  local parts, scan = {}, folder and folder ~= "" and uv.fs_scandir(folder)
  while scan do
    local name = uv.fs_scandir_next(scan)
    if not name then break end
    local file = assert(io.open(folder .. "/" .. name, "rb"))
    parts[#parts + 1] = file:read("a")
    file:close()
  end
  return table.concat(parts)
end

-- What the validator said of these lines: what it refuses, how many of each it accepts, how many it does not know.
local function judged(lines)
  local guard = interop.node("guard", {}, { input = lines })
  local refused = {}
  while true do
    local said = guard:said()
    assert(said, "the validator ended without its last line\n" .. guard.process.err)
    if said.accepted then return refused, said.accepted, said.unknown end
    refused[#refused + 1] = said.refused
  end
end

local function answer(kind, status, data)
  return ('answer %s\t{"kind":"%s","head":{"corrId":"c","status":%d,"version":"2026-04-01"},"data":%s}\n')
    :format(kind, kind, status, data)
end

local PROMISE = '{"id":"p","state":"%s","param":{},"value":{},"tags":{},"timeoutAt":1,"createdAt":0%s}'

describe("the SDK's own structural validator", function()
  it("refuses what it must", function()
    local pending = PROMISE:format("pending", "")
    local refused, accepted, unknown = judged(table.concat {
      answer("promise.get", 200, '{"promise":' .. pending .. "}"),
      answer("promise.get", 200, '{"promise":' .. PROMISE:format("pending", ',"settledAt":null') .. "}"),
      answer("promise.get", 404, "{}"),
      answer("task.suspend", 300, '{"preload":{}}'),
      answer("task.suspend", 300, '{"preload":[]}'),
      answer("nobody.asks", 400, "null"),
      "answer promise.get\tno JSON\n",
      'message -\t{"kind":"unblock","head":{},"data":{}}\n',
      'message -\t{"kind":"unblock","head":{},"data":{"promise":' .. pending .. "}}\n",
    })
    assert.are.equal(5, #refused, table.concat(refused, "\n"))
    assert.are.same({ ["promise.get 200"] = 1, ["task.suspend 300"] = 1, ["message unblock"] = 1 }, accepted)
    assert.are.equal(1, unknown)
  end)

  it("accepts every answer and message of all other specs of this run", function()
    local lines = recorded()
    local refused, accepted, unknown = judged(lines)
    local names, sum = {}, 0
    for name, count in pairs(accepted) do
      names[#names + 1] = ("%s: %d"):format(name, count)
      sum = sum + count
    end
    table.sort(names)
    print(("%d answers and messages, %d of kinds unknown to the SDK\n%s"):format(sum, unknown, table.concat(names, ", ")))
    assert.are.equal(0, #refused, table.concat(refused, "\n"))
  end)
end)
