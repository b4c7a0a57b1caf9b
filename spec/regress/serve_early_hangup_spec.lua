-- serve_early_hangup_spec.lua - a SIGHUP that came before the server had taken its store (it may wait for another holder
-- for a while) ended it, where it asks for files to be read that are about to be read anyway.
-- SPDX-License-Identifier: Apache-2.0
local http = require("spec.support.http")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

describe("a SIGHUP before the server is there", function()
  local place

  before_each(function() place = program.place() end)
  after_each(function() place:remove() end)

  it("does not end it", function()
    local holder = serve.start(place)
    local process = program.spawn({ "serve" }, { data = place.data, cwd = place.dir })
    process:wait_for("waiting: the store")
    process:signal_with("sighup")
    serve.stop(holder)
    process:wait_for("serving " .. place.data)
    process.address = process.err:match("listening on http://([^,\n]+)")
    assert.equal(200, http.ask(process.address, { path = "/health" }).status)
    serve.stop(process)
  end)
end)
