-- programs_spec.lua - programs written with the published TypeScript SDK do with this server what they do with the server
-- that the SDK brings along, word by word.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local interop = require("spec.support.interop")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local file = assert(io.open("spec/interop/expected.json"))
local expected = assert(json.decode(file:read("a"), 1, json.null))
file:close()

local WHAT = {
  awaits = "workflows that are async functions",
  concurrency = "what was begun and not awaited has ended before its caller",
  detached = "a detached call outlives its caller",
  errors = "errors of every kind, there and back",
  ids = "ids that are refused, made and given",
  promises = "promises settled from outside in every way",
  recorded = "time and chance are recorded",
  retries = "every policy of retries, here and by rpc",
  rpc = "calls over processes, from a client and from workflows",
  run = "functions run by their client, and again by the same id",
  schedules = "schedules are made, read, fired and deleted",
  sleep = "timers, one after the other and together",
  values = "values of every kind and size, there and back",
  versions = "two versions of one function",
}

-- What each case came to, by name.
local function results(client)
  local got = {}
  for one in function() return client:said() end do got[one.case] = one.got end
  client.process:wait()
  got.stderr = client.process.err
  return got
end

local function describe_cases(who, start)
  describe(who, function()
    local got
    setup(function() got = start() end)
    for name, what in pairs(WHAT) do
      it(("%s (%s)"):format(what, name), function()
        assert.is_truthy(got[name], ("no result of %s\n%s"):format(name, got.stderr))
        assert.are.same(expected[name], got[name])
      end)
    end
    it("has no other case", function()
      for name in pairs(got) do assert.is_truthy(WHAT[name] or name == "stderr", name .. " has no words here") end
    end)
  end)
end

print(interop.versions())

describe_cases("the SDK's own server", function()
  return results(interop.node("client", {}))
end)

-- Client and worker in processes of their own. files: that this server serves itself, too.
local function served(group, files)
  local place = program.place()
  local server = serve.start(place, { "--listen", "127.0.0.1:0", table.unpack(files) })
  local url = "http://" .. server.address
  local worker = interop.node("worker", { url, group })
  worker:said("serving")
  local got = results(interop.node("client", { url, group }))
  serve.stop(server)
  assert.are.equal(0, place:run("verify").code)
  place:remove()
  return got
end

describe_cases("this server", function() return served("workers", {}) end)

-- The group of whoever names none, and that of timers.
describe_cases("this server, in its own group", function()
  return served("default", { uv.cwd() .. "/spec/interop/peer.lua" })
end)
