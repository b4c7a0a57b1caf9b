-- host_spec.lua - hosts within another program (host.c): what it is told, what of it stays as it was.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local native = require("spec.support.native")
local program = require("spec.support.program")

local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.add(a, b) return a + b end
function step.slow() da.exec("sleep", "0.3") return "slow" end
function async.adds(a, b) return da.json.decode(da.json.encode { await(step.add(a, b)) })[1] end
function async.sleeps() await(da.sleep "50ms") return "awake" end
function async.waits() return await(da.promise "answer").n end
function async.steps() return await(step.slow()) end
function async.fails() da.error("no_luck", "not today", { n = 1 }) end
function async.calls(n) print "calls" return await(da.native.program.double(n)) end
function async.calls_missing() return await(da.native.other.thing()) end
]]

describe("a host in a program", function()
  local place, binary

  setup(function()
    place = harness.place()
    local file = assert(io.open(place.dir .. "/s.lua", "w"))
    file:write(SCRIPT)
    file:close()
    binary = native.program("spec/native/host.c", place)
  end)
  teardown(function() harness.remove(place) end)

  local function run(mode, script)
    local process = program.run({ mode, place.dir .. "/" .. mode .. "-store", script or place.dir .. "/s.lua" }, { command = binary })
    assert.are.equal(0, process.code, process.out .. process.err)
    return process.out, process.err
  end

  it("is one of several, each with its own store", function()
    assert.are.equal("x resolved 3\nx resolved 42\ny resolved 7\n", (run "several"))
  end)

  it("runs on the loop of the program, which stays its own", function()
    assert.are.equal("x resolved 2\ny resolved 11\ny resolved 11\nthe loop is whole: 1, 0\n", (run "loop"))
  end)

  it("is driven by a file descriptor, without being asked all the time", function()
    assert.are.equal('x resolved "awake"\nnot busy: 1\n', (run "poll"))
  end)

  it("is closed with executions under way, which go on when it is opened again", function()
    assert.are.equal('w pending \ns resolved "slow"\nw resolved 42\nc pending \n' ..
      'c canceled {"__type":"error","message":"no more","name":"canceled"}\n',
      (run("again"):gsub(',"stack":"[^}]*"', "")))
  end)

  it("says what is wrong", function()
    local lines = {}
    for line in run("errors"):gmatch("[^\n]+") do lines[#lines + 1] = line end
    for i, words in ipairs { "errors%-store", "dahost_options.size must be sizeof%(dahost_options%)", "/nowhere.lua",
      "no script that is loaded defines the workflow 'nothing'", "dahost_start: this is no JSON: %[1,",
      "dahost_start: arguments are a JSON array, got {}", "'a:b': the id of an execution holds no ':'", "'' cannot be an id",
      "dahost_settle: this is no JSON: no JSON", "nobody unknown there is no promise 'nobody'",
      'f rejected {"__type":"error",.*"message":"not today","n":1,"name":"no_luck"' } do
      assert.is_truthy((lines[i] or ""):find(words), ("%d: %s\n%s"):format(i, words, table.concat(lines, "\n")))
    end
  end)

  it("takes no signal, and makes no thread but its own, which end with it", function()
    assert.are.equal("x resolved 3\nthreads: 3\nchanged: 0, 0; threads left: 0\n", (run "guest"))
  end)

  it("calls functions of the program, and tells it what is printed and logged", function()
    assert.are.equal("told x: calls\nx resolved 42\nlogged error execution.parked id=m\nm pending \ncalled 1, closed 1\n",
      (run "natives"))
  end)
end)
