-- net_searches_unread_spec.lua - some dozens of connections asked for searches of many megabytes and read nothing: every
-- answer was made and kept, gigabytes of them, and whoever asked anything else waited until all of it was done.
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local json = require("dkjson")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local LATER = 9007199254740991
local CONNECTIONS, EACH = 20, 8

describe("searches whose answers nobody reads", function()
  local place, process

  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  local function peak_megabytes()
    local file = assert(io.open(("/proc/%d/status"):format(process.pid)))
    local peak = file:read("a"):match("VmHWM:%s+(%d+)")
    file:close()
    return tonumber(peak) // 1024
  end

  it("fill no memory and hold up nobody", function()
    process = serve.start(place)
    local tags = setmetatable({}, { __jsontype = "object" })
    for i = 1, 6 do
      local data = { id = "big-" .. i, timeoutAt = LATER, param = { data = ("Q"):rep(1400000) }, tags = tags }
      assert.equal(200, (http.call(process.address, "promise.create", data)))
    end
    local search = http.request_text { method = "POST", body = json.encode(http.envelope("promise.search", tags)) }
    local unread = {}
    for i = 1, CONNECTIONS do
      unread[i] = http.connect(process.address)
      unread[i].socket:read_stop()
      unread[i]:write(search:rep(EACH))
    end
    for _ = 1, 10 do assert.equal(404, (http.call(process.address, "promise.get", { id = "none" }))) end
    for _, connection in ipairs(unread) do connection:reset() end
    local status, found = http.call(process.address, "promise.search", tags) -- what nobody waits for is passed over
    assert.equal(200, status)
    assert.equal(6, #found.promises)
    assert.is_true(peak_megabytes() < 1200, peak_megabytes() .. " MB") -- they made 2,300
    serve.stop(process)
  end)
end)
