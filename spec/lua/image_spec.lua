-- image_spec.lua - executions that go on from an image: what they are then, what is run again, when there is none.
--
-- Each life is a process; `images()` counts what it said of images (DAHOST_LOG=debug). That nothing differs is the matter
-- of the random programs and of every spec that is run from images (support/modes.lua); here is what images add.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local modes = require("spec.support.modes")
local uv = require("luv")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
local function note(...)
  local file = assert(io.open(os.getenv "LEDGER", "a"))
  file:write(table.concat({ ... }, " "), "\n")
  file:close()
end
function step.add(a, b) note("add", a, b) return a + b end
function step.note(...) note(...) return ... end
]]

describe("an image", function()
  local place
  before_each(function() place = harness.place(true) end)
  after_each(function() harness.remove(place) end)

  local function write(text, name)
    local path = place.dir .. "/" .. (name or "s.lua")
    local file = assert(io.open(path, "w"))
    file:write(HEAD, text)
    file:close()
    return path
  end

  local function life(args, env)
    local all = { DAHOST_DATA = place.data, LEDGER = place.ledger, DAHOST_LOG = "debug", DAHOST_QUIET = "1",
      DAHOST_WARM = "64M", DAHOST_IMAGE_AFTER = "50", DAHOST_IMAGE_EVERY = "1000" }
    for name, value in pairs(env or {}) do all[name] = value end
    return harness.dahost(args, { env = all })
  end

  local function run(path, args, env)
    local list = { "run", path, "main" }
    table.move(args or {}, 1, #(args or {}), 4, list)
    table.move({ "--id", "x" }, 1, 2, #list + 1, list)
    return life(list, env)
  end

  -- What a life said of images: how many were taken, restored, refused; of the last one the numbers; why it was refused.
  local function images(process)
    local said = { taken = 0, restored = 0, refused = 0 }
    for line in process.err:gmatch "[^\n]+" do
      local what = line:match "^debug image%.(%a+) "
      if said[what] then said[what] = said[what] + 1 end
      for name, value in line:gmatch "(%a+)=(%w+)" do
        if what then said[name] = tonumber(value) or value end
      end
    end
    return said
  end

  local function ledger()
    local count = {}
    local file = io.open(place.ledger)
    for line in file and file:lines() or function() end do count[line] = (count[line] or 0) + 1 end
    if file then file:close() end
    return count
  end

  local function killed(path, args, env, point, n)
    local all = { DAHOST_KILL = point .. ":" .. n }
    for name, value in pairs(env) do all[name] = value end
    local process = run(path, args, all)
    assert.equal(9, process.signal, process.err)
    return process
  end

  -- A life that is killed as soon as it says what the pattern finds.
  local function die_at(pattern, path, args, env)
    local all = { DAHOST_DATA = place.data, LEDGER = place.ledger, DAHOST_LOG = "debug" }
    for name, value in pairs(env) do all[name] = value end
    local process
    process = harness.spawn({ "run", path, "main", "--id", "x", table.unpack(args) }, { env = all, on_line = function(line)
      if line:find(pattern) then uv.kill(process.pid, "sigkill") end
    end })
    harness.wait(process)
    assert.equal(9, process.signal, process.err)
  end

  local LOOP = [[
function async.main(n)
  local sum = 0
  for i = 1, n do
    local part = await(step.add(i, 1))
    sum = sum + part
  end
  return sum
end]]

  it("is taken every so many calls of one that stays in memory, and is no larger for a longer history", function()
    local path = write(LOOP)
    local sizes = {}
    for line in run(path, { "3000" }, { DAHOST_IMAGE_EVERY = "500" }).err:gmatch "image%.taken[^\n]*" do
      sizes[#sizes + 1] = { heap = tonumber(line:match "heap=(%d+)"), state = tonumber(line:match "state=(%d+)") }
    end
    assert.is_true(#sizes == 5 or #sizes == 6, #sizes) -- the end may come before the last one is sealed
    for _, size in ipairs(sizes) do
      assert.is_true(size.state < 400, size.state)
      assert.is_true(size.heap < 1.2 * sizes[1].heap, size.heap)
    end
  end)

  it("is gone on from after a death, with what came behind it, and nothing of it runs twice", function()
    local path = write(LOOP)
    local env = { DAHOST_IMAGE_EVERY = "100" }
    killed(path, { "400" }, env, "commit.after", 350)
    local last = run(path, { "400" }, env)
    assert.equal("80600\n", last.out)
    local said = images(last)
    assert.equal(1, said.restored, last.err)
    assert.is_true(said.behind > 0 and said.behind <= 100, said.behind)
    local twice = 0
    for _, count in pairs(ledger()) do if count > 1 then twice = twice + count - 1 end end
    assert.is_true(twice <= 1, twice .. " steps ran twice")
  end)

  it("is not taken of a short history, nor with images off", function()
    local path = write(LOOP .. "\nfunction async.short() for i = 1, 10 do await(step.add(i, 1)) await(da.sleep(0.03)) end end")
    assert.equal(0, images(run(path, { "300" }, { DAHOST_IMAGES = "false", DAHOST_IMAGE_EVERY = "10" })).taken)
    assert.equal(0, images(life({ "run", path, "short", "--id", "y" }, { DAHOST_WARM = "0" })).taken)
  end)

  it("keeps what is shown, which way was taken, and what a key stands for", function()
    local path = write([[
function async.main()
  da.publish("stage", "first")
  local new = da.patched "way"
  local p = step.note:with { key = "k" }("keyed")
  await(p)
  for i = 1, 8 do await(step.add(i, i)) end
  await(da.promise "go")
  return new, da.patched "way", await(step.note:with { key = "k" }("keyed"))
end]])
    die_at("image%.taken id=x calls=10", path, {}, modes.set({}, "image"))
    life({ "promise", "resolve", "x:go.1", "1" })
    local shown = life { "ps", "--json" }
    assert.is_truthy(shown.out:find('"stage":"first"', 1, true), shown.out)
    local last = life({ "resume", "x" }, modes.set({}, "image"))
    assert.equal('[true,true,"keyed"]\n', last.out, last.err)
    assert.is_true(images(last).restored >= 1, last.err)
    assert.equal(1, ledger().keyed)
  end)

  it("knows a deadline and a request to cancel that came before it", function()
    local text = [[
function async.child()
  for i = 1, 6 do await(step.add(i, i)) end
  local ok, e = pawait(da.promise "never")
  for i = 1, 6 do da.shield(function() await(step.note("undo", i)) end) end
  da.shield(function() await(da.sleep(0.05)) end)
  local _, again = pawait(da.promise "never again")
  return e.code, again.code
end
function async.main()
  local a, b = async.child:with { timeout = "60ms" }(), async.child()
  await(da.sleep(0.06))
  b:cancel "enough"
  return { await(a) }, { pawait(b) }
end]]
    local warm = run(write(text), {}, { DAHOST_IMAGES = "false" })
    assert.equal('[["timedout","timedout"],[true,"canceled","canceled"]]\n', warm.out, warm.err)
    harness.remove(place)
    place = harness.place(true)
    local restored = run(write(text), {}, modes.set({}, "image"))
    assert.equal(warm.out, restored.out, restored.err)
  end)

  it("begins a step anew that was under way, and a retry that was waited for", function()
    local path = write([[
function step.slow() note "slow" os.execute "sleep 0.2" return "slow" end
function step.flaky() note "flaky" if da.attempt() < 3 then error "not yet" end return "flaky" end
function async.main()
  local a = step.slow()
  local b = step.flaky:with { retry = { first = "150ms", factor = 1, jitter = 0 } }()
  local c = step("inline", { retry = { max = 3, first = "150ms", factor = 1, jitter = 0 } }, function() error "never" end)
  for i = 1, 9 do await(step.add(i, i)) end
  return await(a, b), select(2, pawait(c)).attempts
end]])
    die_at("image%.taken id=x calls=12", path, {}, { DAHOST_IMAGE_EVERY = "0" })
    local last = run(path, {}, { DAHOST_IMAGE_EVERY = "0" })
    assert.equal('["slow",3]\n', last.out, last.err)
    assert.equal(1, images(last).restored, last.err)
    local ran = ledger()
    assert.is_true(ran.slow == 2 and ran.flaky >= 4, ("%d %d"):format(ran.slow, ran.flaky))
  end)

  it("gives a step that was under way its whole time again, as a replay does", function()
    local path = write([[
function step.slow() note "slow" os.execute "sleep 0.3" return "slow" end
function async.main()
  local a = step.slow:with { timeout = "500ms" }()
  for i = 1, 9 do await(step.add(i, i)) end
  return await(a)
end]])
    die_at("image%.taken id=x calls=10", path, {}, { DAHOST_IMAGE_EVERY = "0" })
    uv.sleep(600)
    local last = run(path, {}, { DAHOST_IMAGE_EVERY = "0" })
    assert.equal('"slow"\n', last.out, last.err)
    assert.equal(1, images(last).restored, last.err)
  end)

  it("is of no use to other code, and what is migrated is run again", function()
    local text = [[
function async.main()
  for i = 1, 9 do await(step.add(i, i)) end
  await(da.promise "go")
  return "VERSION"
end]]
    local path = write(text)
    die_at("image%.taken id=x calls=10", path, {}, modes.set({}, "image"))
    local migrated = life { "migrate", "x", write(text:gsub("VERSION", "another"), "s.lua") }
    assert.equal(0, migrated.code, migrated.err)
    life { "promise", "resolve", "x:go.1", "1" }
    local last = life({ "resume", "x" }, modes.set({}, "image"))
    assert.equal('"another"\n', last.out, last.err)
    local said = images(last)
    assert.same({ 0, 1, "code" }, { said.restored, said.refused, said.why }, last.err)
  end)

  it("is not taken of what has a file open, nor where ids are too long to be counted", function()
    local path = write([[
local kept
function async.main(name)
  kept = step(name, function() return 1 end)
  for i = 1, 9 do await(step.add(i, i)) end
  await(kept)
  await(da.sleep(0.05))
  return "done"
end]])
    local long = run(path, { "--str", ("n"):rep(120) }, modes.set({}, "image"))
    assert.equal('"done"\n', long.out, long.err)
    assert.equal(0, images(long).taken, long.err)
    harness.remove(place)
    place = harness.place(true)
    local open = run(write([[
function async.main()
  await(step("file", function() assert(io.open(os.getenv "LEDGER", "a")):close() end))
  for i = 1, 9 do await(step.add(i, i)) end
end]]), {}, modes.set({}, "image"))
    assert.equal(0, open.code, open.err)
    assert.equal(0, images(open).taken, open.err)
  end)

  it("leaves a whole store behind", function()
    local path = write(LOOP)
    run(path, { "300" }, { DAHOST_IMAGE_EVERY = "50" })
    local verify = life { "verify" }
    assert.equal(0, verify.code, verify.out .. verify.err)
  end)

  it("is bounded by what the program holds, not by what it made", function()
    local path = write([[
function async.main(n)
  local kept = step.add(1, 1)
  for i = 1, n do
    local a, b = step.add(i, 0), step.add(0, i)
    await(da.all { a, b })
    await(da.any { step.add(i, i), da.promise("never" .. i % 3) })
    await(async("branch", function() await(step.add(i, 2)) return i end))
  end
  return await(kept)
end]])
    local states = {}
    for size in run(path, { "200" }, { DAHOST_IMAGE_EVERY = "300" }).err:gmatch "image%.taken[^\n]* state=(%d+)" do
      states[#states + 1] = tonumber(size)
    end
    assert.is_true(#states >= 4, #states)
    for _, size in ipairs(states) do assert.is_true(size < 2000, table.concat(states, " ")) end
  end)
end)
