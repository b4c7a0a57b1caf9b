-- outside_spec.lua - what people and other programs do to workflows of the published SDK: promises settled by the command
-- line and by curl, deadlines that nobody touches, what the commands show of them.
--
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local interop = require("spec.support.interop")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

describe("workflows of the SDK", function()
  local place, server, url
  setup(function()
    place = program.place()
    server = serve.start(place, { "--listen", "127.0.0.1:0" })
    url = "http://" .. server.address
  end)
  teardown(function() place:remove() end)

  it("are let through by the command line, by curl and by deadlines", function()
    local gates = interop.node("gate", { url, "cli", "cli-no", "cli-cancel", "curl", "late" })
    gates:said("waiting")
    assert.are.equal(0, place:run("promise", "resolve", "cli:0", '{"ok":true,"who":["日本"]}').code)
    assert.are.equal(0, place:run("promise", "reject", "cli-no:0", '{"code":"busy","message":"not now"}').code)
    assert.are.equal(0, place:run("promise", "cancel", "cli-cancel:0").code)
    local body = [[{"kind":"promise.settle","head":{"corrId":"by hand","version":"2026-04-01"},]] ..
      [["data":{"id":"curl:0","state":"resolved","value":{"headers":{},"data":"eyJieSI6ImN1cmwifQ=="}}}]]
    local curl = program.run({ "-sS", "--fail", "-H", "content-type: application/json", "-d", body, url },
      { command = "curl", env = { LD_PRELOAD = "" } })
    assert.are.equal(0, curl.code, curl.err)
    local got = interop.results(gates, 5)
    assert.are.same({ opened = { ok = true, who = { "日本" } } }, got.cli)
    assert.are.same({ by = "curl" }, got.curl.opened)
    assert.are.same({ ["$"] = "Error", name = "busy", message = "not now" }, got["cli-no"].shut)
    assert.are.same({ ["$"] = "Error", name = "canceled", message = "canceled" }, got["cli-cancel"].shut)
    assert.are.equal("with nothing", got.late.shut)
  end)

  it("are shown by the commands", function()
    local status, data = http.call(server.address, "promise.search", { tags = { kind = "approval" } })
    assert.are.equal(200, status)
    assert.are.equal(5, #data.promises)
    local tree = place:run("tree", "cli")
    assert.are.equal(0, tree.code, tree.err)
    assert.matches("^cli  completed %(resolved%) .*\n  0  resolved ", tree.out)
    local shown = place:run("promise", "get", "cli", "--json")
    assert.is_truthy(shown.out:find("日本", 1, true), shown.out)
    assert.are.equal(0, place:run("ps").code)
    serve.stop(server)
    assert.are.equal(0, place:run("verify").code)
  end)
end)
