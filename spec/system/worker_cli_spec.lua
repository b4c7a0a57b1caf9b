-- worker_cli_spec.lua - `dahost worker FILE... --server URL`: scripts run for a server elsewhere, from the command line.
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")
local serve = require("spec.support.serve")
local by_hand = require("spec.support.by_hand")
local uv = require("luv")

local RENDER = [[
local da = require "da"
print("loaded")
function da.async.shade(n) return da.await(da.step.paint(n)) .. "!" end
function da.async.waits() return da.await(da.promise("go")) end
function da.step.paint(n) return "painted " .. n end
]]

describe("a worker of a server elsewhere", function()
  local place, server, url

  before_each(function()
    place = program.place()
    place:write("render.lua", RENDER)
    server = serve.start(place, { "--listen", "127.0.0.1:0" })
    url = "http://" .. server.address
  end)
  after_each(function()
    if not server.ended then serve.stop(server) end
    place:remove()
  end)

  local function worker(...)
    return program.spawn({ "worker", ... }, { cwd = place.dir, env = { DAHOST_SERVER = url } })
  end
  local function ask(...)
    return program.run({ ... }, { cwd = place.dir, env = { DAHOST_SERVER = url } })
  end
  local function promise(id)
    return by_hand.data_of(ask("promise", "get", id)).promise
  end
  local function ended(id)
    program.turn_until(function() return "the end of " .. id end, function() return promise(id).state ~= "pending" end)
    return by_hand.decode(promise(id).value.data)
  end
  local function invoke(id, func, ...)
    assert.are.equal(0, ask("invoke", id, "--func", func, "--target", "poll://any@gpu", ...).code)
  end

  -- A step has written the file; it tells nobody here.
  local function appears(name)
    local timer = uv.new_timer()
    timer:start(20, 20, function() end)
    program.turn_until(function() return name end, function() return place:read(name) ~= nil end)
    timer:close()
  end

  it("runs calls of its group, says so, and ends in order", function()
    local process = worker("gpu=render.lua", "--pid", "w1"):wait_for("worker w1 serves ")
    process:wait_for("for " .. url .. ": gpu: step.paint, shade, waits (render.lua)\nloaded\n")
    invoke("r-1", "shade", "--arg", "7")
    assert.are.equal('"painted 7!"', ended("r-1"))
    process:signal_with("sigterm"):wait()
    assert.are.same({ 0, 0 }, { process.code, process.signal }, process.err)
  end)

  it("goes on with what waits, and leaves it to others when it ends", function()
    local process = worker("render.lua", "--group", "gpu"):wait_for(" serves ")
    for i, id in ipairs { "w-1", "w-2" } do
      invoke(id, "waits")
      program.turn_until(function() return "its suspension" end, function()
        return by_hand.data_of(ask("task", "get", id)).task.state == "suspended"
      end)
      if i == 1 then assert.are.equal(0, ask("promise", "resolve", id .. ":go.1", '"on"').code) end
      if i == 1 then assert.are.equal('"on"', ended(id)) end
    end
    process:signal_with("sigint"):wait()
    assert.are.equal(0, process.code, process.err)
    assert.are.equal("suspended", by_hand.data_of(ask("task", "get", "w-2")).task.state)
  end)

  it("tells stubs, also of files that it has read again", function()
    local process = worker("gpu=render.lua"):wait_for(" serves ")
    local got = ask("stubs", "gpu", "--timeout", "1m")
    assert.are.equal(0, got.code, got.err)
    assert.is_truthy(got.out:find("\n---@field shade da.Function|fun(n: any)", 1, true), got.out)
    place:write("render.lua", (RENDER:gsub("shade", "dim")))
    process:signal_with("sighup"):wait_for("render.lua was loaded again")
    assert.is_truthy(ask("stubs", "gpu", "--timeout", "1m").out:find("\n---@field dim ", 1, true))
    process:signal_with("sigterm"):wait()
    assert.are.equal(0, process.code, process.err)
  end)

  it("says that a server is away, and serves once it is there", function()
    serve.stop(server)
    local process = worker("gpu=render.lua"):wait_for("cannot be reached")
    server = serve.start(place, { "--listen", server.address })
    process:wait_for(" serves ")
    assert.are.equal(1, select(2, process.err:gsub("cannot be reached", "")), process.err)
    process:signal_with("sigterm"):wait()
    assert.are.equal(0, process.code, process.err)
  end)

  it("says that it is not let in, and asks no more for a while", function()
    serve.stop(server)
    place:write("secret", ("k"):rep(40))
    server = serve.start(place, { "--listen", "127.0.0.1:0", "--auth-secret-file", "secret", "--metrics", "127.0.0.1:0",
      "--access-log" })
    url = "http://" .. server.address
    for _, words in ipairs { {}, { "--token", "a.b.c" } } do
      local process = worker("gpu=render.lua", table.unpack(words)):wait_for("does not let us in")
      process:wait_for("it is asked again each minute")
      local before = select(2, server.err:gsub("\n", ""))
      local timer, over = uv.new_timer(), false
      timer:start(1500, 0, function() over = true end)
      program.turn_until(function() return "a second and a half" end, function() return over end)
      timer:close()
      assert.is_true(select(2, server.err:gsub("\n", "")) - before <= 2, server.err)
      assert.is_nil(process.err:find(" serves ", 1, true))
      process:signal_with("sigterm"):wait()
      assert.are.equal(0, process.code, process.err)
    end
  end)

  it("does not wait for a step that does not end, and another worker goes on", function()
    place:write("hang.lua", [[
      local da = require "da"
      function da.step.hang(first)
        if not io.open(first) then io.open(first, "w"):close() os.execute "exec sleep 30 >&- 2>&-" end
        return "done"
      end
      function da.async.hangs(first) return da.await(da.step.hang(first)) end]])
    local process = worker("gpu=hang.lua", "--shutdown-timeout", "200ms"):wait_for(" serves ")
    invoke("h-1", "hangs", "--arg", place.dir .. "/first")
    appears("first")
    local begun = uv.now()
    process:signal_with("sigterm"):wait()
    assert.are.equal(0, process.code, process.err)
    assert.is_true(uv.now() - begun < 15000)
    local other = worker("gpu=hang.lua"):wait_for(" serves ")
    assert.are.equal('"done"', ended("h-1"))
    other:signal_with("sigterm"):wait()
  end)

  it("ends at once when it is told so a second time", function()
    place:write("slow.lua", "local da = require 'da' function da.step.s(f) io.open(f, 'w'):close() "
      .. "os.execute 'exec sleep 30 >&- 2>&-' end function da.async.slow(f) da.await(da.step.s(f)) end")
    local slow = worker("gpu=slow.lua", "--shutdown-timeout", "60s"):wait_for(" serves ")
    invoke("s-1", "slow", "--arg", place.dir .. "/begun")
    appears("begun")
    slow:signal_with("sigterm"):wait_for("once more")
    slow:signal_with("sigterm"):wait()
    assert.are.same({ 0, 0 }, { slow.code, slow.signal }, slow.err)
  end)

  it("tells the service manager when it is ready, and that it ends", function()
    local path = place.dir .. "/notify"
    local listener = serve.notified(path)
    local process = program.spawn({ "worker", "gpu=render.lua" }, { cwd = place.dir,
      env = { DAHOST_SERVER = url, NOTIFY_SOCKET = path } })
    listener:wait_for("READY=1\n", "out")
    process:signal_with("sigterm")
    listener:wait_for("STOPPING=1\n", "out"):wait()
    process:wait()
    assert.are.equal(0, process.code, process.err)
  end)

  it("refuses what it cannot take", function()
    place:write("bad.lua", "x =")
    for _, case in ipairs {
      { { "gpu=render.lua", "--pid", "a b" }, "--pid wants 1 to 63" },
      { { "nope.lua" }, "cannot read nope.lua" },
      { { "bad.lua" }, "bad.lua:1:" },
      { { "gpu=render.lua", "--leese", "3s" }, "--lease" },
      { { "gpu=render.lua", "--server", "ftp://x" }, "ftp" },
      { { "gpu=render.lua", "--lease", "1ms" }, "--lease wants a duration of at least 300 ms" },
      { { "gpu=render.lua", "--at-once", "0" }, "--at-once wants a number" },
      { { "gpu=render.lua", "--at-once-of", "shade" }, "--at-once-of wants FUNCTION=N" },
    } do
      local got = ask("worker", table.unpack(case[1]))
      assert.are.same({ 2, "" }, { got.code, got.out }, got.err)
      assert.is_truthy(got.err:find(case[2], 1, true), got.err)
    end
    local got = program.run({ "worker", "gpu=render.lua" }, { cwd = place.dir })
    assert.are.equal(2, got.code)
    assert.is_truthy(got.err:find("--server URL", 1, true), got.err)
  end)
end)
