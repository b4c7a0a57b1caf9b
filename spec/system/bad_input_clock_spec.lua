-- bad_input_clock_spec.lua - a machine whose clock is set back or forth by an hour while executions sleep and deadlines
-- run, in one process and from one to the next: nothing stands still, nothing is early, no stamp goes back.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local uv = require("luv")
local harness = require("spec.support.harness")
local program = require("spec.support.program")

local HOUR = 3600 * 1000
local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.nothing() end
function async.sleeps(d)
  local before = da.now()
  await(da.sleep(d))
  await(step.nothing())
  return da.now() >= before
end
function async.deadline(d)
  local ok, err = da.pawait(da.promise("p", { timeout = d }))
  return ok, err.code
end
function async.both(d)
  local ok, err = da.pawait(da.within(d, da.promise "p"))
  return ok, err.code
end
]]

describe("a clock that jumps", function()
  local place, shim

  setup(function()
    place = program.place()
    shim = place.dir .. "/shim.so"
    assert(os.execute(("cc -shared -fPIC -O1 -o %s spec/system/clock_shim.c"):format(shim)))
    place:write("s.lua", SCRIPT)
  end)
  teardown(function() os.execute("rm -rf '" .. place.dir .. "'") end)

  local function set(ms)
    place:write("offset.new", tostring(ms))
    assert(uv.fs_rename(place.dir .. "/offset.new", place.dir .. "/offset"))
  end

  -- Each id has a store of its own: what one has seen of a clock counts for all that come after it in its store.
  local function spawn(id, ...)
    local env = { LD_PRELOAD = shim, CLOCK_SHIM = place.dir .. "/offset" }
    if harness.sanitized then env.ASAN_OPTIONS = "verify_asan_link_order=0:" .. (os.getenv("ASAN_OPTIONS") or "") end
    return program.spawn({ ... }, { data = place.dir .. "/" .. id, cwd = place.dir, env = env })
  end

  local function ends(process, out)
    process:wait()
    assert.are.same({ 0, out .. "\n" }, { process.code, process.out }, process.err)
  end

  -- The stamps of a record.
  local function stamps(store, id)
    local process = spawn(store, "get", id, "--json"):wait()
    assert.are.equal(0, process.code, process.err)
    return json.decode(process.out)
  end

  local function look_at_stamps(id, jump)
    local row = stamps(id, id)
    assert.is_true(row.settledAt >= row.createdAt, row.settledAt - row.createdAt)
    if jump > 0 then assert.is_true(row.settledAt - row.createdAt >= 30 * 60 * 1000) end
  end

  before_each(function() set(0) end)

  local kinds = {
    { "sleeps", "sleeps until", "true" },
    { "deadline", "waits for", '[false,"timedout"]' },
    { "both", "sleeps until", '[false,"timedout"]' },
  }

  for _, jump in ipairs { -HOUR, HOUR } do
    local way = jump < 0 and "back" or "forth"
    local duration = jump < 0 and '"1s"' or '"30m"'

    it(way .. " holds up no sleep, deadline or time limit, and hurries none", function()
      local processes = {}
      for i, kind in ipairs(kinds) do
        local id = way .. kind[1]
        processes[i] = spawn(id, "run", "s.lua", kind[1], duration, "--id", id)
      end
      for i, kind in ipairs(kinds) do processes[i]:wait_for(kind[2]) end
      set(jump)
      for i, kind in ipairs(kinds) do ends(processes[i], kind[3]) end
      for _, kind in ipairs(kinds) do look_at_stamps(way .. kind[1], jump) end
    end)

    it(way .. " between two processes does as little", function()
      local processes = {}
      for i, kind in ipairs(kinds) do
        local id = way .. kind[1] .. "2"
        processes[i] = spawn(id, "run", "s.lua", kind[1], duration, "--id", id)
      end
      for i, kind in ipairs(kinds) do
        local id = way .. kind[1] .. "2"
        processes[i]:wait_for(kind[2])
        assert.are.equal(0, spawn(id, "get", id):wait().code) -- what it told is flushed
        processes[i]:signal_with("sigkill"):wait()
      end
      set(jump)
      for i, kind in ipairs(kinds) do
        local id = way .. kind[1] .. "2"
        processes[i] = spawn(id, "resume", id)
      end
      for i, kind in ipairs(kinds) do ends(processes[i], kind[3]) end
      for _, kind in ipairs(kinds) do look_at_stamps(way .. kind[1] .. "2", jump) end
    end)
  end

  it("to and fro, leaves a store that is whole", function()
    local process = spawn("fro", "run", "s.lua", "sleeps", "3", "--id", "fro"):wait_for("sleeps until")
    for _, ms in ipairs { -HOUR, 500, -24 * HOUR, 1000 } do
      set(ms)
      assert.are.equal(0, spawn("fro", "promise", "create", "p" .. ms):wait().code)
    end
    ends(process, "true")
    local created = {}
    for _, ms in ipairs { -HOUR, 500, -24 * HOUR, 1000 } do created[#created + 1] = stamps("fro", "p" .. ms).createdAt end
    for i = 2, #created do assert.is_true(created[i] >= created[i - 1], i) end
    assert.are.equal(0, spawn("fro", "verify"):wait().code)
  end)
end)
