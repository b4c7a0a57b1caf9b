-- client_store_spec.lua - the verbs of the protocol with a store: its engine answers, with a holder and without one.
-- SPDX-License-Identifier: Apache-2.0
local by_hand = require("spec.support.by_hand")
local cli = require("spec.support.cli")
local json = require("dkjson")
local program = require("spec.support.program")

local run, data_of = cli.run, by_hand.data_of

describe("the verbs of the protocol with a store", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

  it("do what a worker does, in a store that nobody holds", function()
    by_hand.play(run, "a")
    assert.matches("value     42\n", run("get", "a").out, 1, true)
    assert.are.equal(0, run("verify").code)
  end)

  it("do so in a store that another process holds", function()
    local process = cli.holder("h")
    by_hand.play(run, "a")
    cli.release(process, "h")
    assert.are.equal(0, run("verify").code)
  end)

  it("register who is resumed and who is told", function() by_hand.register(run) end)

  it("put a call down that a process which serves the store runs", function()
    data_of(run("invoke", "twice", "--func", "echo", "--arg", "21", "--arg", "b"))
    local process = place:spawn("serve", script):wait_for("serving ")
    process:wait_for("twice")
    process:signal_with("sigterm"):wait()
    assert.matches('"value":[21,"b"]', run("get", "twice", "--json").out, 1, true)
  end)

  -- The holder dies at its nth durable write, before it answers; which one the claim is depends on what a run writes,
  -- and whether it comes before or behind the suspension on chance.
  it("do not claim twice when the holder dies with the answer", function()
    for try = 0, 149 do
      local n = try % 10 + 1
      local other = program.place()
      other:write("wf.lua", cli.SCRIPT)
      assert.are.equal(0, other:run("invoke", "t", "-f", "f", "--target", "poll://any@gpu").code)
      local process = program.spawn({ "run", "wf.lua", "waits", "--id", "h" },
        { data = other.data, cwd = other.dir, env = { DAHOST_KILL = "answer.before:" .. n } })
      local up = pcall(process.wait_for, process, "h waits for h:p.1")
      local got = up and other:run("task", "claim", "t", "--pid", "w", "--version", "0", "--ttl", "1m")
      local version = json.decode(other:run("task", "get", "t").out).task.version
      if up and not process.ended then process:signal_with("sigkill") end
      if up then process:wait() end
      other:remove()
      if got and got.code ~= 0 then
        assert.are.same({ 74, "", 1 }, { got.code, got.out, version })
        assert.matches("is gone; what was asked may have been done", got.err, 1, true)
        return
      end
    end
    error("no claim met a death")
  end)

  it("make a store only for what creates something in it", function()
    local empty = program.place()
    local got = empty:run("task", "get", "t")
    assert.are.same({ 2, "" }, { got.code, got.out })
    assert.matches("dahost run makes one", got.err, 1, true)
    assert.are.equal(0, empty:run("invoke", "i", "-f", "f").code)
    assert.are.equal(0, empty:run("task", "get", "i").code)
    empty:remove()
  end)
end)
