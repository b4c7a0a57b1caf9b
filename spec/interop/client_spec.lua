-- client_spec.lua - functions of the TypeScript SDK, called and looked at from the command line, by way of `dahost serve`.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local by_hand = require("spec.support.by_hand")
local interop = require("spec.support.interop")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local data_of = by_hand.data_of

describe("from the command line", function()
  local place, server, worker

  setup(function()
    place = program.place()
    server = serve.start(place, { "--listen", "127.0.0.1:0" })
    worker = interop.node("worker", { "http://" .. server.address, "workers" })
    worker:said("serving")
  end)
  teardown(function()
    worker:kill()
    serve.stop(server)
    place:remove()
  end)

  local function ask(...)
    return program.run({ ... }, { cwd = place.dir, env = { DAHOST_SERVER = "http://" .. server.address } })
  end

  local function ended(id)
    for _ = 1, 2000 do
      local promise = data_of(ask("promise", "get", id)).promise
      if promise.state ~= "pending" then return promise end
    end
    error(id .. " is still pending")
  end

  it("a function is invoked, and what it called is shown as a tree", function()
    local target = "poll://any@workers"
    data_of(ask("invoke", "g", "--func", "rpc.greet", "--arg", "all", "--arg", target, "--target", target))
    local promise = ended("g")
    assert.are.same({ "resolved", '"hello from g:0, all!"' }, { promise.state, by_hand.decode(promise.value.data) })
    assert.matches("^g 🟢 %(rpc rpc%.greet%)\n├── g:0 🟢 %(rpc rpc%.word%)\n└── g:1 🟢[^\n]*\n$", ask("tree", "g").out)
  end)

  it("arguments arrive as they were typed, and a version is chosen", function()
    local function result(id, ...)
      data_of(ask("invoke", id, "--target", "poll://any@workers", ...))
      local promise = ended(id)
      assert.are.equal("resolved", promise.state)
      return by_hand.decode(promise.value.data)
    end
    assert.are.equal('{"count":4,"args":[1.5,"two words",{"a":[null,"é"]},"007"]}', result("e", "-f", "values.echo",
      "--arg", "1.5", "--arg", "two words", "--arg", '{"a": [null, "é"]}', "--arg", "007"))
    assert.are.equal('{"count":0,"args":[]}', result("e0", "-f", "values.echo", "--json-args", "[]"))
    assert.are.equal('"one as 1"', result("v1", "-f", "versions.f"))
    assert.are.equal('"two as 2"', result("v2", "-f", "versions.f", "--version", "2"))
  end)

  it("an error is shown as the SDK throws it", function()
    data_of(ask("invoke", "t", "-f", "errors.throws", "--arg", "type", "--timeout", "1s", "--target", "poll://any@workers"))
    local promise = ended("t")
    assert.are.equal("rejected", promise.state)
    local thrown = json.decode(by_hand.decode(promise.value.data))
    assert.are.same({ "error", "TypeError", "of a type" }, { thrown.__type, thrown.name, thrown.message })
  end)
end)
