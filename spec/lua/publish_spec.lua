-- publish_spec.lua - da.publish: what an execution shows of its state while it runs, whatever becomes of the process.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local harness = require("spec.support.harness")
local program = require("spec.support.program")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step = da.async, da.await, da.pawait, da.step
function step.one(n) return n end
]]

local few = harness.sanitized or harness.mode ~= nil -- the spec runs so as well, with fewer deaths

local function env_of(place, more)
  local env = { DAHOST_DATA = place.data }
  for k, v in pairs(more or {}) do env[k] = v end
  return env
end

-- What the execution has published, as `dahost get` shows it; nil if there is no such execution.
local function shown(place, id)
  local got = harness.dahost({ "get", id, "--json" }, { env = env_of(place) })
  if got.code ~= 0 then return nil end
  return assert(json.decode(got.out)).published or {}
end

-- Runs text's async.main and returns what it has published at its end, in each of the ways a script is run.
local function published(text, id)
  local all = {}
  for _, env in ipairs { {}, { DAHOST_WARM = "0" }, { DAHOST_SLICE = "3" } } do
    local run = script.run { script = HEAD .. text, func = "main", env = env, keep = true }
    assert.equal(0, run.code, run.err)
    all[#all + 1] = shown(run.place, id or "x")
    assert.equal(0, harness.dahost({ "verify" }, { env = env_of(run.place) }).code)
    harness.remove(run.place)
  end
  assert.same(all[1], all[2])
  assert.same(all[1], all[3])
  return all[1]
end

describe("da.publish", function()
  it("keeps the last value of each key, and nil takes one away", function()
    assert.same({ phase = "ship", n = 3, detail = { a = 1, b = { "x", true } } }, published [[
      function async.main()
        da.publish("phase", "reserve")
        da.publish("gone", 1)
        for i = 1, 3 do
          await(step.one(i))
          da.publish("n", i)
        end
        await(da.sleep "10ms")
        da.publish("detail", { a = 1, b = { "x", true } })
        da.publish("gone", nil)
        da.publish("phase", "ship")
      end]])
  end)

  it("is kept when nothing was recorded behind it, and something that settled was never waited for", function()
    assert.same({ late = 1 }, published [[
      function async.kid() error "gone" end
      function async.main()
        pcall(function() await(da.within("1h", async.kid())) end)
        da.publish("late", 1)
      end]])
  end)

  it("is the execution's own in a branch, and a child workflow's own in a child", function()
    local text = [[
      function async.kid(n) da.publish("n", n) await(step.one(n)) da.publish("kid", true) end
      function async.main()
        local b = async("b", function() await(step.one(1)) da.publish("branch", 1) end)
        await(async.kid(7), b)
        da.publish("main", 1)
      end]]
    assert.same({ branch = 1, main = 1 }, published(text))
    assert.same({ n = 7, kid = true }, published(text, "x:kid.1"))
  end)

  it("is no part of the history: a replay that publishes otherwise goes on", function()
    local place = program.place()
    local text = HEAD .. [[
      function async.main() da.publish("phase", 1) await(step.one(1)) await(da.promise("go")) return "done" end]]
    local process = place:spawn("run", place:write("s.lua", text), "main", "--id", "x"):wait_for("x waits for x:go.1")
    assert.equal(0, place:run("get", "x:go.1").code)
    process:signal_with("sigkill"):wait()
    place:write("s.lua", (text:gsub('"phase", 1', '"other", 2')))
    for _, args in ipairs { { "migrate", "x", place.dir .. "/s.lua" }, { "promise", "resolve", "x:go.1" } } do
      local done = place:run(table.unpack(args))
      assert.equal(0, done.code, done.err)
    end
    local went_on = place:run("resume", "x")
    assert.same({ 0, '"done"' }, { went_on.code, (went_on.out:gsub("\n", "")) }, went_on.err)
    assert.same({ other = 2 }, shown(place, "x")) -- what the code does not publish any more has gone
    place:remove()
  end)

  it("shows what the newest generation publishes, and nothing of the ones before once that publishes", function()
    assert.same({ round = 3, last = true }, published [[
      function async.main(n)
        n = n or 1
        if n == 1 then da.publish("first", true) end
        da.publish("round", n)
        await(step.one(n))
        await(async.kid(n))
        if n < 3 then return da.again(n + 1) end
        da.publish("last", true)
      end
      function async.kid(n) da.publish("kid", n) await(step.one(n)) end]])
  end)

  -- Seen from outside, whatever write dies: never an older value than before, and never an older one than the records.
  local COUNTS = HEAD .. [[
    function async.main()
      local b = async("b", function()
        for i = 1, 2 do await(step.one(10 + i)) da.publish("b", i) end
      end)
      for i = 1, 4 do
        da.publish("n", i)
        da.publish("half", i + 0.5)
        await(step.one(i))
        if i == 2 then await(da.sleep "1ms") end
        da.publish("half", nil)
      end
      await(b)
      da.publish("n", 5)
    end]]

  local function deaths(env, stride)
    local seen = 0
    for n = 1, 60, stride do
      local place = harness.place(true)
      local newest, alive, unkilled = 0, false, false
      for life = 1, 3 do
        local more = { DAHOST_KILL = life < 3 and (life == 1 and "commit.after:" or "commit.before:") .. (life == 1 and n or 3)
          or nil }
        for k, v in pairs(env) do more[k] = v end
        local run = script.run { script = COUNTS, func = "main", place = place, keep = true, env = more }
        alive = run.signal ~= 9
        unkilled = unkilled or alive and life == 1
        if life == 1 and not alive then seen = seen + 1 end
        local now = shown(place, "x")
        if now then
          local n_now = now.n or 0
          assert.is_true(n_now >= newest, ("death %d, life %d: %s after %d"):format(n, life, n_now, newest))
          newest = n_now
        end
        if alive then
          assert.equal(0, run.code, run.err)
          break
        end
      end
      assert.is_true(alive)
      assert.same({ n = 5, b = 2 }, shown(place, "x"))
      local whole = harness.dahost({ "verify" }, { env = env_of(place) })
      assert.equal(0, whole.code, whole.out)
      harness.remove(place)
      if unkilled then break end
    end
    return seen
  end

  it("survives a death at every write and another one in the recovery", function()
    assert.is_true(deaths({}, few and 3 or 1) > 2)
  end)

  it("never shows an older value again on a replay in slices", function()
    assert.is_true(deaths({ DAHOST_SLICE = "3" }, few and 5 or 2) > 1)
  end)

  it("is durable with the next recorded call", function()
    local text = HEAD .. [[
      function async.main()
        for i = 1, 6 do
          da.publish("n", i)
          await(step.one(i))
        end
      end]]
    for n = 2, 9 do
      local at = harness.place(true)
      script.run { script = text, func = "main", place = at, keep = true, env = { DAHOST_KILL = "commit.after:" .. n } }
      local now = shown(at, "x")
      local recorded = 0
      for i = 1, 6 do
        if harness.dahost({ "get", "x:one." .. i }, { env = env_of(at) }).code == 0 then recorded = i end
      end
      if now then assert.is_true((now.n or 0) >= recorded, ("%s published, %d recorded"):format(now.n, recorded)) end
      harness.remove(at)
    end
  end)

  -- A span that lasts gives the loop a turn now and then, which is when a write may go; so the bound is not 1.
  it("costs next to no write however often a value changes between two awaits", function()
    local commits = {}
    for _, times in ipairs { 1, 5000 } do
      local run = script.run { script = HEAD .. [[
        function async.main(times)
          for i = 1, times do da.publish("n", i) da.publish("k" .. i % 60, i) end
          await(step.one(1))
          return "done"
        end]], func = "main", args = { tostring(times) }, keep = true }
      assert.equal(0, run.code, run.err)
      commits[#commits + 1] = harness.commits(run.place)
      assert.equal(times, shown(run.place, "x").n)
      harness.remove(run.place)
    end
    assert.is_true(commits[2] <= commits[1] + 100, table.concat(commits, " and ") .. " commits")
  end)

  it("holds nothing up: no write of its own when a call is recorded anyway", function()
    local commits = {}
    for _, line in ipairs { "", 'da.publish("n", i)' } do
      local run = script.run { script = HEAD .. "function async.main() for i = 1, 30 do " .. line ..
        " await(step.one(i)) end end", func = "main", keep = true }
      assert.equal(0, run.code, run.err)
      commits[#commits + 1] = harness.commits(run.place)
      harness.remove(run.place)
    end
    if harness.mode == "image" then return end -- what an execution shows is written anew by each that goes on from an image
    assert.is_true(commits[2] <= commits[1] + 31, table.concat(commits, " and ") .. " commits")
  end)

  it("takes 64 keys and 4,000 bytes a value, and says so beyond", function()
    local run = script.run { script = HEAD .. [[
      function async.main()
        local errors = {}
        for i = 1, 64 do da.publish("k" .. i, i) end
        da.publish("k1", ("x"):rep(3998))
        for _, f in ipairs {
          function() da.publish("k65", 1) end,
          function() da.publish("k1", ("x"):rep(3999)) end,
        } do
          local _, e = pcall(f)
          errors[#errors + 1] = tostring(e)
        end
        return errors
      end]], func = "main", keep = true }
    local errors = json.decode(run.out)
    assert.matches("s.lua:%d+: da.publish: 'k65' would be key 65 of this execution, which may use 64", errors[1])
    assert.matches("s.lua:%d+: da.publish: the value of 'k1' has 4001 bytes as JSON, and may have 4000", errors[2])
    local now, count = shown(run.place, "x"), 0
    for _ in pairs(now) do count = count + 1 end
    assert.same({ 64, ("x"):rep(3998) }, { count, now.k1 })
    harness.remove(run.place)
  end)

  for name, row in pairs {
    ["a key that is none"] = { 'da.publish(1, 2)',
      "s.lua:%d+: da.publish%(key, value%): the key must be a string, not number" },
    ["a key with other letters"] = { 'da.publish("a=b", 2)',
      "a key is 1 to 64 letters, digits, '_', '%-' and '.', not 'a=b'" },
    ["an empty key"] = { 'da.publish("", 2)', "a key is 1 to 64 letters" },
    ["no value"] = { 'da.publish("a")', "da.publish%(key, value%) needs a value; nil takes 'a' away" },
    ["a value that cannot cross"] = { 'da.publish("a", print)', "da.publish: a function cannot cross" },
    ["an inline step"] = { 'await(step("s", { retry = false }, function() da.publish("a", 1) end))',
      "da.publish inside an inline step; a step is a leaf" },
    ["a named step"] = { 'await(step.shows())',
      "da.publish is for workflows: what it shows is the workflow's state; a step reports with da.progress" },
    ["a workflow that reports"] = { 'da.progress(1, 2)',
      "s.lua:%d+: da.progress is for named steps; an inline step is quick, and a workflow shows its state with da.publish" },
  } do
    it("tells of " .. name, function()
      local run = script.run { script = HEAD .. [[
        function step.shows() da.publish("a", 1) end
        function async.main() ]] .. row[1] .. " end", func = "main" }
      assert.equal(1, run.code, run.out)
      assert.matches(row[2], run.err)
    end)
  end

  it("is refused while the script loads", function()
    local run = script.run { script = HEAD .. 'da.publish("a", 1) function async.main() end', func = "main" }
    assert.equal(2, run.code)
    assert.matches("da.publish while the script loads; only an execution can do that", run.err)
  end)
end)
