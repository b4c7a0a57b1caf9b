-- stubs_spec.lua - `dahost stubs GROUP --server URL`: what a group serves at this moment, asked of whoever serves it.
-- SPDX-License-Identifier: Apache-2.0
local by_hand = require("spec.support.by_hand")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

local data_of = by_hand.data_of

local RENDER = [[
local da = require "da"
print("loaded")
function da.async.shade(scene, light) return scene .. light end
function da.step.paint(s) return s end
]]
local CUT = [[
local da = require "da"
function da.async.cut(film) return film end
da.async.cut:defaults { doc = "Cuts \"well\" – én Satz." }
]]

describe("stubs of a group that a server knows", function()
  local place, server

  before_each(function()
    place = program.place()
    place:write("render.lua", RENDER)
    place:write("cut.lua", CUT)
    server = serve.start(place, { "gpu=render.lua", "gpu=cut.lua", "--listen", "127.0.0.1:0" })
  end)
  after_each(function()
    if not server.ended then serve.stop(server) end
    place:remove()
  end)

  local function ask(words, env)
    env = env or {}
    env.DAHOST_TIMEOUT = env.DAHOST_TIMEOUT or "1m"
    env.DAHOST_SERVER = env.DAHOST_SERVER or "http://" .. server.address
    return program.run({ "stubs", table.unpack(words) }, { cwd = place.dir, env = env })
  end

  it("are those of its files, each of them as it is served now", function()
    local got = ask { "gpu" }
    assert.are.same({ 0, "" }, { got.code, got.err })
    assert.is_truthy(load(got.out))
    for _, line in ipairs { "---@meta\n", "\n---@class da.group.gpu\n", '\n---@field service fun(group: "gpu"): da.group.gpu\n',
      "\n---@field shade da.Function|fun(scene: any, light: any): da.Promise<any>\n",
      '\n---@field cut da.Function|fun(film: any): da.Promise<any> Cuts "well" – én Satz.\n' } do
      assert.is_truthy(got.out:find(line, 1, true), line .. got.out)
    end
    place:write("render.lua", (RENDER:gsub("shade%(scene, light%)", "dim(scene, light)")))
    server:signal_with("sighup"):wait_for("render.lua was loaded again")
    got = ask { "gpu" }
    assert.is_truthy(got.out:find("---@field dim ", 1, true), got.out)
    assert.is_nil(got.out:find("---@field shade ", 1, true), got.out)
    assert.are.equal(2, select(2, server.err:gsub("%f[%w]loaded\n", "")), server.err) -- asking prints nothing
  end)

  it("are told by a worker elsewhere, too", function()
    local worker = program.spawn({ "worker", "tpu=render.lua" },
      { cwd = place.dir, env = { DAHOST_SERVER = "http://" .. server.address } })
    local got = ask { "tpu" }
    worker:signal_with("sigterm"):wait()
    assert.are.same({ 0, "" }, { got.code, got.err }, worker.err)
    assert.is_truthy(got.out:find("\n---@field shade da.Function|fun(scene: any, light: any)", 1, true), got.out)
    assert.are.equal(0, worker.code, worker.err)
  end)

  it("are withdrawn when nobody of the group answers, and nothing stays to be offered", function()
    local got = ask { "tpu", "--timeout", "200ms" }
    assert.are.same({ 4, "" }, { got.code, got.out }, got.err)
    assert.is_truthy(got.err:find("nobody of group 'tpu' answered within 200 ms", 1, true), got.err)
    assert.are.equal(4, ask({ "default" }, { DAHOST_TIMEOUT = "200ms" }).code) -- which this server has, with no file
    local function count(state)
      return #data_of(program.run({ "promise", "search", "--state", state },
        { cwd = place.dir, env = { DAHOST_SERVER = "http://" .. server.address } })).promises
    end
    assert.are.same({ 0, 2 }, { count("pending"), count("canceled") })
  end)

  it("tell a refusal of a worker that does not know the call", function()
    local asking = program.spawn({ "stubs", "tpu", "--timeout", "1m" },
      { cwd = place.dir, env = { DAHOST_SERVER = "http://" .. server.address } })
    local function by(...)
      return program.run({ ... }, { cwd = place.dir, env = { DAHOST_SERVER = "http://" .. server.address } })
    end
    local id
    program.turn_until(function() return "the call" end, function()
      local found = data_of(by("promise", "search", "--state", "pending")).promises
      id = found[1] and found[1].id
      return id
    end)
    assert.are.equal(0, by("promise", "reject", id, '"no function ~stubs"').code)
    asking:wait()
    assert.are.same({ 1, "" }, { asking.code, asking.out })
    assert.is_truthy(asking.err:find("a worker of group 'tpu' does not tell: no function ~stubs", 1, true), asking.err)
  end)

  it("are of a file where the operand is one, whatever server is named", function()
    for _, words in ipairs { { "render.lua" }, { "gpu=render.lua" } } do
      local here = program.run({ "stubs", words[1] }, { cwd = place.dir })
      for _, env in ipairs { {}, { RESONATE_URL = "http://127.0.0.1:1", DAHOST_SERVER = "http://127.0.0.1:1" } } do
        local got = ask(words, env)
        assert.are.same({ 0, here.out, here.err }, { got.code, got.out, got.err })
      end
    end
  end)

  it("refuse what is neither, and a server that is not there", function()
    for _, case in ipairs {
      { { "g pu" }, 2, "'g pu' is no file, and no group either" },
      { { "gpu", "--timeout", "soon" }, 2, "--timeout wants a duration (500ms, 30s, 5m), not 'soon'" },
      { { "gpu", "--json" }, 2, "--json" },
    } do
      local got = ask(case[1])
      assert.are.same({ case[2], "" }, { got.code, got.out }, got.err)
      assert.is_truthy(got.err:find(case[3], 1, true), got.err)
    end
    serve.stop(server)
    local got = ask { "gpu" }
    assert.are.same({ 74, "" }, { got.code, got.out })
    assert.is_truthy(got.err:find("no answer from http://" .. server.address, 1, true), got.err)
    got = program.run({ "stubs", "gpu.lua", "--timeout", "1s" }, { cwd = place.dir })
    assert.are.same({ 2, "" }, { got.code, got.out })
    assert.is_truthy(got.err:find("--timeout is for groups that a server knows; --server URL asks one", 1, true), got.err)
  end)
end)
