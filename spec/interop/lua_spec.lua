-- lua_spec.lua - TypeScript and Lua call each other: a client of the published SDK calls workflows in Lua, these call
-- functions of the SDK's worker; values and errors arrive as what they are over there. The Lua is served by the server's
-- own process, or by a worker of it.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local interop = require("spec.support.interop")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

for _, elsewhere in ipairs { false, true } do
describe("TypeScript and Lua" .. (elsewhere and " in a worker elsewhere" or ""), function()
  local place, got, client

  setup(function()
    place = program.place()
    local file = uv.cwd() .. "/spec/interop/peer.lua"
    local files = { "lua=" .. file, file }
    local server = serve.start(place, { "--listen", "127.0.0.1:0", table.unpack(elsewhere and {} or files) })
    local url = "http://" .. server.address
    local worker
    if elsewhere then
      worker = program.spawn({ "worker", "--server", url, table.unpack(files) }, { cwd = place.dir })
      worker:wait_for(" serves default, lua for ")
    end
    interop.node("peer", { url, "worker" }, { place = place }):said("serving")
    client = interop.node("peer", { url, "client" })
    got = {}
    for one in function() return client:said() end do got[one.case] = one.got end
    client.process:wait()
    if worker then
      worker:signal_with("sigterm"):wait()
      assert(worker.code == 0, worker.err)
    end
    serve.stop(server)
  end)
  teardown(function()
    assert.are.equal(0, place:run("verify").code)
    place:remove()
  end)

  -- Each row: the case of peer.mjs, and the JSON of what it came to.
  local function come_to(rows)
    for name, expected in pairs(rows) do
      assert.is_truthy(got[name] ~= nil, ("no result of %s\n%s"):format(name, client.process.err))
      assert.are.same(json.decode(expected, 1, json.null), got[name])
    end
  end

  it("a client calls a workflow, with its step and its timer", function()
    come_to { twice = "40", missing = [[{"$":"undefined"}]] }
  end)

  it("every value of TypeScript comes back from Lua as it was", function()
    come_to { echo = [=[{"undefined": null, "null": null, "true": true, "integer": 7, "negative": -9007199254740991, "half": 0.5,
      "huge": {"$": "Infinity"}, "least": {"$": "-Infinity"}, "large": 1e+21, "empty": "",
      "unicode": "日本 😀 \u0000", "list": [1, [2, []]], "object": {"a": {"b": []}, "c": {}},
      "megabyte": {"$": "string", "length": 1000000, "begins": "xxxxxxxx"},
      "error": {"$": "Error", "name": "TypeError", "message": "of a type"}, "tagged": {"__type": "neither"}}]=] }
  end)

  it("a value of TypeScript is the like of Lua's", function()
    come_to { describe = [=[["nil", "nil", "boolean", "integer", "integer", "float", "infinity", "infinity", "float",
      "string", "string", "table 2", "table 0", "string", "error TypeError", "table 0"]]=] }
  end)

  it("a value of Lua is the like of TypeScript's", function()
    come_to { values = [[{"integer": 7, "float": 7, "half": 0.5, "largest": 9007199254740991, "huge": {"$": "Infinity"},
      "list": [1, 2, 3], "empty": {}, "text": "日本 \u0000", "yes": true, "nested": [{"a": {"b": "c"}}]}]] }
  end)

  it("an error of Lua is an Error with its code as name", function()
    come_to {
      fails = [[{"coded": {"error": {"$": "Error", "name": "no_stock", "message": "none left"}},
        "plain": {"error": {"$": "Error", "name": "error", "message": "plain words"}},
        "step": {"error": {"$": "Error", "name": "broken", "message": "in a step"}},
        "index": {"error": {"$": "Error", "name": "error",
          "message": "peer.lua:47: attempt to index a nil value (local 'nothing')"}}}]],
      retry = [[{"error": {"$": "Error", "name": "no_stock", "message": "none left"}}]],
    }
  end)

  it("a workflow in Lua awaits functions of TypeScript: one, several, mapped, one that sleeps", function()
    come_to { asks = [[{"first": 9, "both": [81, 10], "mapped": [1, 4, 9],
      "back": {"hello": "Lua", "from": "TypeScript"}}]] }
    local begun = 0
    for _, count in pairs(interop.begun(place)) do begun = begun + count end
    assert.are.equal(5, begun) -- squares
  end)

  it("an error of TypeScript is caught in Lua by code and message", function()
    come_to { catches = [[{"error": {"code": "RangeError", "message": "out of range"},
      "aggregate": {"code": "AggregateError", "message": "several"},
      "string": {"code": "rejected", "message": "a string", "value": "a string"},
      "object": {"code": "rejected", "message": "rejected", "value": {"code": 7}}}]] }
  end)

  it("an error of TypeScript that Lua does not catch is an Error again", function()
    come_to { passes = [[{"error": {"error": {"$": "Error", "name": "RangeError", "message": "out of range"}},
      "aggregate": {"error": {"$": "AggregateError", "name": "AggregateError", "message": "several",
        "errors": [{"$": "Error", "name": "Error", "message": "one"}, {"$": "Error", "name": "Error", "message": "two"}]}},
      "string": {"error": {"$": "Error", "name": "rejected", "message": "a string"}},
      "object": {"error": {"$": "Error", "name": "rejected", "message": "rejected"}}}]] }
  end)

  it("they call each other over and over", function()
    come_to { ping = [["lua ts lua ts lua ts lua"]] }
  end)

  it("a workflow in TypeScript calls several of Lua at once, and catches what one throws", function()
    come_to { inside = [[{"both": [4, 8], "caught": {"$": "Error", "name": "no_stock", "message": "none left"}}]] }
  end)
end)
end
