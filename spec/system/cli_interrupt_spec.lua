-- cli_interrupt_spec.lua - SIGINT and SIGTERM: what they stop, what they leave, what is said of it.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local program = require("spec.support.program")

local run, holder, release = cli.run, cli.holder, cli.release

describe("an interruption", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

  it("exits with 130, and the line it prints goes on", function()
    for _, signal in ipairs({ "sigint", "sigterm" }) do
      local process = holder(signal):signal_with(signal):wait()
      assert.are.same({ 130, "" }, { process.code, process.out })
      local line = process.err:match("interrupted; to go on: dahost (resume %S+ %-%-data %S+)\n$")
      assert.are.equal("resume " .. signal .. " --data " .. place.data, line)
      local words = {}
      for word in line:gmatch("%S+") do words[#words + 1] = word end
      local resumed = program.spawn(words, { cwd = place.dir }):wait_for("waits for " .. signal .. ":p.1")
      release(resumed, signal)
      assert.are.same({ 0, '"released"\n' }, { resumed.code, resumed.out })
    end
  end)

  it("quotes what a shell would take apart", function()
    local process = place:spawn("run", script, "waits", "--id", "it's 5"):wait_for("it's 5 waits for")
    process:signal_with("sigterm"):wait()
    local line = process.err:match("to go on: dahost (resume [^\n]+)\n$")
    assert.are.equal([[resume 'it'\''s 5' --data ]] .. place.data, line)
    local resumed = program.spawn({}, { cwd = place.dir, sh = 'exec "$0" ' .. line }):wait_for("it's 5 waits for")
    assert.are.equal(0, run("promise", "resolve", "it's 5:p.1", "1").code)
    assert.are.equal("1\n", resumed:wait().out)
  end)

  it("stops workflow code that never comes back", function()
    local spins = place:write("spins.lua", 'local da = require "da"\nfunction da.async.main() while true do end end\n')
    for _, signals in ipairs({ { "sigint" }, { "sigterm", "sigint" } }) do
      local id = "s" .. #signals
      local process = place:spawn("run", spins, "--id", id):wait_for(id .. " started")
      for _, signal in ipairs(signals) do process:signal_with(signal) end
      process:wait()
      assert.are.same({ 130, "" }, { process.code, process.out })
      assert.matches("\ninterrupted; to go on: dahost resume " .. id, process.err, 1, true)
    end
  end)

  it("twice is the same", function()
    local process = holder("w"):signal_with("sigint"):signal_with("sigint"):wait()
    assert.are.equal(130, process.code)
    assert.matches("interrupted; to go on: dahost resume w", process.err, 1, true)
    assert.are.equal(1, select(2, process.err:gsub("interrupted", "")))
    assert.are.equal(0, run("verify").code)
  end)

  it("only detaches one that follows: the holder goes on", function()
    local process = holder("w")
    for _, signal in ipairs({ "sigint", "sigterm" }) do
      local second = place:spawn("run", script, "waits", "--id", "w"):wait_for("w waits for w:p.1")
      second:signal_with(signal):wait()
      assert.are.same({ 130, "" }, { second.code, second.out })
      assert.matches("\ndetached; process " .. process.pid
        .. " goes on with it; to follow it again: dahost resume w --data " .. place.data .. "\n", second.err, 1, true)
    end
    release(process, "w")
    assert.are.same({ 0, '"released"\n' }, { process.code, process.out })
  end)

  it("names --all where several are resumed", function()
    run("start", script, "waits", "--id", "a")
    run("start", script, "waits", "--id", "b")
    local process = place:spawn("resume", "--all"):wait_for("a waits for a:p.1")
    process:signal_with("sigint"):wait()
    assert.are.equal(130, process.code)
    assert.matches("\ninterrupted; to go on: dahost resume --all --data " .. place.data .. "\n", process.err, 1, true)
  end)
end)
