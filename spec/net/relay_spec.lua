-- relay_spec.lua - the relay that other specs break connections with does to bytes what it says, and nothing else.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local program = require("spec.support.program")
local relay = require("spec.support.relay")

describe("a relay", function()
  local listener, way, heard, open
  local PATIENCE_MS = 60 -- in which nothing is to happen; what must happen is waited for

  -- An echo of what comes, kept in `heard`.
  before_each(function()
    heard, open = "", {}
    listener = uv.new_tcp()
    listener:bind("127.0.0.1", 0)
    listener:listen(16, function()
      local socket = uv.new_tcp()
      listener:accept(socket)
      open[#open + 1] = socket
      socket:read_start(function(fault, data)
        if data then
          heard = heard .. data
          socket:write(data)
        elseif not socket:is_closing() then
          if fault then socket:close() else socket:shutdown(function() if not socket:is_closing() then socket:close() end end) end
        end
      end)
    end)
    way = relay.start("127.0.0.1:" .. listener:getsockname().port)
  end)
  after_each(function()
    way:stop()
    for _, socket in ipairs(open) do if not socket:is_closing() then socket:close() end end
    listener:close()
    uv.run("nowait")
  end)

  local function connect(address)
    local client = { text = "" }
    local host, port = (address or way.address):match("^(.-):(%d+)$")
    client.socket = uv.new_tcp()
    client.socket:connect(host, tonumber(port), function(fault)
      client.connected, client.fault = not fault, fault
      if fault then return end
      client.socket:read_start(function(err, data)
        if data then client.text = client.text .. data else client.ended, client.fault = true, err end
      end)
    end)
    open[#open + 1] = client.socket
    return client
  end

  local function wait(what, done)
    program.turn_until(function() return what end, done)
  end

  local function expect(client, text)
    wait(("%q, so far %q"):format(text, client.text), function() return client.text == text end)
  end

  local function pass_time(ms)
    local over = false
    local timer = uv.new_timer()
    timer:start(ms or PATIENCE_MS, 0, function() over = true end)
    while not over do uv.run("once") end
    timer:close()
  end

  it("passes bytes both ways, and the end of either side", function()
    local client = connect()
    client.socket:write("one ")
    client.socket:write("two")
    expect(client, "one two")
    local large = ("x"):rep(5000000)
    client.socket:write(large)
    wait("five million bytes", function() return #client.text == 7 + #large end)
    client.socket:shutdown()
    wait("the end", function() return client.ended and way:connections() == 0 end)
    assert.is_nil(client.fault)
  end)

  it("that is cut resets what there is and refuses what comes, at the same address until it is healed", function()
    local client = connect()
    client.socket:write("x")
    expect(client, "x")
    way:cut()
    wait("a reset", function() return client.ended end)
    assert.equal("ECONNRESET", client.fault)
    local refused = connect()
    wait("a refusal", function() return refused.fault end)
    assert.equal("ECONNREFUSED", refused.fault)
    way:heal()
    local later = connect()
    later.socket:write("y")
    expect(later, "y")
  end)

  it("that is snapped resets what there is and takes what comes", function()
    local client = connect()
    client.socket:write("x")
    expect(client, "x")
    way:snap()
    wait("a reset", function() return client.ended end)
    local later = connect()
    later.socket:write("y")
    expect(later, "y")
  end)

  it("that is frozen takes connections and passes nothing until it is healed", function()
    local old = connect()
    old.socket:write("a")
    expect(old, "a")
    way:freeze()
    old.socket:write("b")
    local new = connect()
    wait("a connection", function() return new.connected end)
    new.socket:write("c")
    pass_time()
    assert.are.same({ "a", "", "a" }, { old.text, new.text, heard })
    way:heal()
    expect(old, "ab")
    expect(new, "c")
  end)

  it("passes one direction alone", function()
    for _, direction in ipairs { "up", "down" } do
      heard = ""
      local client = connect()
      client.socket:write("a")
      expect(client, "a")
      way:half(direction)
      client.socket:write("b")
      if direction == "up" then wait("what was sent", function() return heard == "ab" end) end
      pass_time()
      assert.are.same({ "a", direction == "up" and "ab" or "a" }, { client.text, heard })
      way:heal()
      expect(client, "ab")
    end
  end)

  it("passes bytes later, in order", function()
    local client = connect()
    client.socket:write("a")
    expect(client, "a")
    way:delay(40)
    local began = uv.hrtime()
    for i = 1, 9 do client.socket:write(tostring(i)) end
    expect(client, "a123456789")
    assert.is_true((uv.hrtime() - began) / 1e6 >= 79, "there and back it is twice as late")
  end)

  it("breaks a connection behind a byte, and that one alone", function()
    local first = connect()
    first.socket:write("a")
    expect(first, "a")
    way:snip("down", 3)
    first.socket:write("bcdefg")
    wait("a reset", function() return first.ended end)
    assert.are.same({ "abcd", 1 }, { first.text, way.snipped })
    way:snip("up", 2)
    heard = ""
    local second = connect()
    second.socket:write("vwxyz")
    wait("a reset", function() return second.ended end)
    wait("what had passed", function() return heard == "vw" end)
    local third = connect()
    third.socket:write("whole")
    expect(third, "whole")
  end)

  it("refuses by a reset when nobody listens behind it", function()
    local dead = relay.start("127.0.0.1:1")
    local client = connect(dead.address)
    wait("a reset", function() return client.ended end)
    dead:stop()
  end)

  it("is a process of its own, told what to do on its stdin", function()
    local process = program.spawn({ "spec/support/relay.lua", "127.0.0.1:" .. listener:getsockname().port },
      { command = "lua5.4", input = "half up\n" })
    process:wait_for("ok half", "out")
    process:wait()
    assert.are.same({ 0, "" }, { process.code, process.err })
    assert.matches("^ready 127%.0%.0%.1:%d+\nok half\n$", process.out)
  end)
end)
