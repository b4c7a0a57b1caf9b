-- host_spec.lua - hosts within another program (host.c): what it is told, what of it stays as it was.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local native = require("spec.support.native")
local program = require("spec.support.program")
local uv = require("luv")

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
function async.long(n)
  local sum = 0
  for i = 1, n do sum = await(step.add(sum, i)) end
  sum = sum + await(da.promise "first")
  return sum + await(da.promise "second")
end
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

  it("goes on from images, in the same process and the next", function()
    assert.are.equal("image.taken\nl pending \nimage.restored\nl pending \nimage.restored\nl resolved 1833\n", (run "restored"))
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

describe("the example of a greenhouse", function()
  local RESULT = '["18.5: 30 %","21.5: 0 %","sensor_broken","27.5: 0 %"]\n'
  local DEATHS = harness.sanitized and 8 or 30
  local place, binary

  setup(function()
    place = harness.place(true)
    binary = native.program("examples/greenhouse/greenhouse.c", place, "examples/device/device.c")
  end)
  teardown(function() harness.remove(place) end)

  local function play(name, kill_ms)
    local words = { place.dir .. "/" .. name, "examples/device/keep_warm.lua" }
    local env = { LEDGER = place.dir .. "/" .. name .. ".ledger" }
    if kill_ms then
      local process = program.spawn(words, { command = binary, env = env })
      local timer = uv.new_timer()
      timer:start(kill_ms, 0, function() uv.kill(process.pid, "sigkill") end)
      process:wait()
      timer:close()
    end
    local got = program.run(words, { command = binary, env = env })
    assert.are.equal(0, got.code, got.err)
    local counts, all = {}, 0
    for line in io.lines(env.LEDGER) do
      local id = line:match("^%S+")
      counts[id], all = (counts[id] or 0) + 1, all + 1
    end
    assert.are.equal(0, harness.dahost({ "verify", "--data", words[1] }).code)
    return got.out, counts, all
  end

  it("comes to the same, killed at any instant, and repeats at most what was under way", function()
    local out, counts, all = play "unkilled"
    assert.are.same({ RESULT, 7 }, { out, all })
    local repeated = 0
    for death = 1, DEATHS do
      local again, found, count = play("killed" .. death, 2 * death)
      assert.are.equal(RESULT, again)
      for id in pairs(counts) do assert.is_truthy(found[id], id .. " was not done") end
      assert.is_true(count <= all + 1, "one death, and " .. count - all .. " repeated")
      repeated = repeated + count - all
    end
    print(("%d deaths, %d calls under way repeated"):format(DEATHS, repeated))
  end)

  it("runs as examples/README.md says", function()
    if harness.sanitized then return pending "the program would have to be linked to the sanitizer, too" end
    local text = assert(io.open("examples/README.md")):read("a"):match("\n## greenhouse/\n(.-)\n## ")
    local words = {}
    for line in text:gmatch("\n    %$ ([^\n]+)") do words[#words + 1] = line end
    local build = assert(os.getenv("DAHOST_BIN")):match("^(.*)/[^/]*$")
    local commands = table.concat(words, "; "):gsub("/tmp/", place.dir .. "/"):gsub("build/release", build)
    local said, well = native.compile("true; " .. commands)
    assert(well and said:find(RESULT, 1, true), said)
  end)
end)
