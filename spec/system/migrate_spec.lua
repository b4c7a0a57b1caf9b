-- migrate_spec.lua - `dahost migrate ID FILE`: an unfinished execution goes on with other code, over its own records.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.f(x) return x end
]]

-- Parks: what the inline step changes is not there on replay.
local BROKEN = HEAD .. [[
function async.main()
  local t = { n = 0 }
  await(step("count", function() t.n = t.n + 1 end))
  await(step.f(t.n))
  await(da.sleep(0.3))
  return "never"
end]]

local MENDED = HEAD .. [[
function async.main()
  await(step("count", function() end))
  await(step.f(1))
  await(da.sleep(0.3))
  return "mended"
end]]

local function write(place, name, text)
  local file = assert(io.open(place.dir .. "/" .. name, "w"))
  file:write(text)
  file:close()
  return place.dir .. "/" .. name
end

local function dahost(place, ...)
  local args = { ... }
  args[#args + 1], args[#args + 2] = "--data", place.data
  return harness.dahost(args)
end

describe("dahost migrate", function()
  local place
  before_each(function() place = harness.place() end)
  after_each(function() harness.remove(place) end)

  it("lets a parked execution go on with mended code, and runs no recorded step again", function()
    local parked = script.cold { place = place, keep = true, script = BROKEN }
    assert.are.equal(3, parked.code, parked.err)
    local migrated = dahost(place, "migrate", "x", write(place, "mended.lua", MENDED))
    assert.are.equal(0, migrated.code, migrated.err)
    local resumed = dahost(place, "resume", "x", "--quiet")
    assert.are.equal('"mended"\n', resumed.out, resumed.err)
    assert.are.equal(0, dahost(place, "verify").code)
  end)

  it("parks it again when the new code does not fit its records either", function()
    script.cold { place = place, keep = true, script = BROKEN }
    local worse = write(place, "worse.lua", HEAD .. "function async.main() return await(step.f(7)) end")
    local forced = dahost(place, "migrate", "x", worse, "--force")
    assert.are.equal(0, forced.code, forced.err)
    local resumed = dahost(place, "resume", "x", "--quiet")
    assert.are.equal(3, resumed.code, resumed.err)
    assert.is_truthy(resumed.err:find("wants step 'f' args#", 1, true), resumed.err)
  end)

  it("refuses code that would park it, with both places, and changes nothing", function()
    script.cold { place = place, keep = true, script = BROKEN }
    local before = dahost(place, "get", "x", "--json").out
    local worse = write(place, "worse.lua", HEAD .. "function async.main()\n  return await(step.f(7)) end")
    local refused = dahost(place, "migrate", "x", worse)
    assert.are.equal(3, refused.code, refused.err)
    assert.is_truthy(refused.out:find("recorded at s.lua:7  step f\n  new code at worse.lua:5  step f\n", 1, true),
      refused.out)
    assert.is_truthy(refused.err:find("'x' was not migrated, since the new code would park it; --force does it all the same",
      1, true), refused.err)
    assert.are.equal(before, dahost(place, "get", "x", "--json").out)
  end)

  it("says what it moved, and what of that was parked", function()
    script.cold { place = place, keep = true, script = BROKEN }
    local migrated = dahost(place, "migrate", "x", write(place, "mended.lua", MENDED), "--json")
    local row = json.decode(migrated.out, 1, nil)
    assert.are.same({ "x", "main", true }, { row.migrated[1].id, row.migrated[1]["function"], row.migrated[1].continued })
    assert.are_not.equal(row.migrated[1].from, row.bundle)
    assert.is_truthy(migrated.err:find("x (main) runs the new code from now on; it was parked", 1, true), migrated.err)
  end)

  it("leaves a child with its own code, if the new one does not define its function", function()
    local both = HEAD .. [[
function async.child() return await(da.promise("ok")) end
function async.main() local c = async.child() await(da.promise("go")) return await(c), "%s" end]]
    local old = harness.spawn({ "run", write(place, "old.lua", both:format("old")), "main", "--id", "x", "--data", place.data })
    while dahost(place, "get", "x:child.1.ok.1").code ~= 0 do assert.is_nil(old.ended) end
    require("luv").kill(old.pid, "sigkill")
    harness.wait(old)
    local alone = dahost(place, "migrate", "x:child.1", write(place, "child.lua", both:format("unused")))
    assert.are.equal(0, alone.code, alone.err)
    local parent = write(place, "parent.lua", HEAD .. [[
function async.main() local c = da.get("x:child.1") await(da.promise("go")) return await(c), "new" end]])
    local dry = dahost(place, "migrate", "x", parent, "--dry-run", "--json")
    assert.is_nil(dry.out:find('"id":"x:child.1","function"', 1, true), dry.out)
    local moved = dahost(place, "migrate", "x", parent, "--force")
    assert.are.equal(0, moved.code, moved.err)
    assert.is_nil(moved.err:find("x:child.1", 1, true), moved.err)
  end)

  it("refuses code that does not define the function", function()
    script.cold { place = place, keep = true, script = BROKEN }
    local refused = dahost(place, "migrate", "x", write(place, "other.lua", HEAD .. "function async.other() end"))
    assert.are.equal(2, refused.code)
    assert.is_truthy(refused.err:find("other.lua defines no workflow 'main', which 'x' runs", 1, true), refused.err)
  end)

  it("refuses code that does not load, with file and line", function()
    script.cold { place = place, keep = true, script = BROKEN }
    local refused = dahost(place, "migrate", "x", write(place, "bad.lua", "local x = = 1"))
    assert.are.equal(2, refused.code)
    assert.is_truthy(refused.err:find("bad.lua:1:", 1, true), refused.err)
  end)

  it("refuses an execution that has ended, and one that does not exist", function()
    script.run { place = place, keep = true, script = HEAD .. "function async.main() return 1 end" }
    local file = write(place, "mended.lua", MENDED)
    local ended = dahost(place, "migrate", "x", file)
    assert.are.equal(1, ended.code)
    assert.is_truthy(ended.err:find("'x' has ended", 1, true), ended.err)
    assert.is_truthy(dahost(place, "migrate", "y", file).err:find("no execution 'y'", 1, true))
  end)

  it("lets a parked child go on, and refuses code that lacks a function of one", function()
    local HALF = HEAD .. [[
function async.child()
  local n = 0
  await(step("count", function() n = n + 1 end))
  await(step.f(n))
  await(da.sleep(0.3))
end
function async.main() await(async.child()) return "parent" end]]
    local parked = script.cold { place = place, keep = true, script = HALF }
    assert.are.equal(3, parked.code, parked.err)
    local mended = HALF:gsub("n = n %+ 1", ""):gsub("f%(n%)", "f(1)")
    local lacks = write(place, "lacks.lua", (mended:gsub("async.child", "async.kid")))
    for _, flag in ipairs { "--dry-run", "--quiet" } do
      local refused = dahost(place, "migrate", "x", lacks, flag)
      assert.are.equal(2, refused.code)
      assert.is_truthy(refused.err:find("lacks.lua defines no workflow 'child', which 'x:child.1' runs", 1, true), refused.err)
    end
    assert.are.equal(0, dahost(place, "migrate", "x", write(place, "mended.lua", mended)).code)
    local resumed = dahost(place, "resume", "x", "--quiet")
    assert.are.equal('"parent"\n', resumed.out, resumed.err)
  end)

  describe("--dry-run", function()
    local CODE = HEAD .. [[
function async.child(n)
  await(step.f(n))
  await(da.promise("ok"))
  return await(step.f(n + 1))
end
function async.main()
  await(step.f(1))
  await(da.sleep(0.01))
  await(async("branch", function() await(step.f(2)) return 7 end))
  local child = async.child(3)
  await(da.promise("go"))
  await(step.f(9))
  return await(child)
end]]
    local started

    -- Runs CODE until it waits for x:go.1 and x:child.1.ok.1, and kills it.
    local function until_it_waits()
      local path = write(place, "code.lua", CODE)
      started = harness.spawn({ "run", path, "main", "--id", "x", "--data", place.data })
      local function waits()
        return dahost(place, "get", "x:go.1").code == 0 and dahost(place, "get", "x:child.1.ok.1").code == 0
      end
      while not waits() do assert.is_nil(started.ended) end
    end

    local function kill()
      require("luv").kill(started.pid, "sigkill")
      harness.wait(started)
    end

    local function rehearse(from, to, ...)
      local code, count = CODE:gsub(from, to)
      assert.is_true(count > 0, from)
      return dahost(place, "migrate", "x", write(place, "new.lua", code), "--dry-run", ...)
    end

    local function rows(from, to)
      local got = rehearse(from, to, "--json", "--quiet")
      assert.are.equal("", got.err)
      local list = {}
      for line in got.out:gmatch("[^\n]+") do
        local row = json.decode(line, 1, nil)
        list[row.id] = row
      end
      return list, got.code
    end

    local function dump()
      local file = assert(io.open(place.data .. "/data.mdb", "rb"))
      local bytes = file:read("a")
      file:close()
      return bytes
    end

    it("tells of code that fits what would be met again, and what is waited for", function()
      until_it_waits()
      kill()
      local before = dump()
      local got, code = rows("f%(9%)", "f(10)")
      assert.are.equal(0, code)
      assert.are.same({ "waits", "x:go.1", 6, 0 }, { got.x.outcome, got.x.awaits, #got.x.replayed, #got.x.calls })
      assert.are.same({ id = "x:branch.1.f.1", kind = "step", ["function"] = "f", state = "resolved" }, got.x.replayed[4])
      local child = got["x:child.1"]
      assert.are.same({ "waits", "x:child.1.ok.1", 2 }, { child.outcome, child.awaits, #child.replayed })
      local human = rehearse("f%(9%)", "f(10)")
      assert.is_truthy(human.out:find("x  main  would wait, waiting for x:go.1\n  recorded calls it would meet again: 6\n"
        .. "    f.1  step  resolved\n", 1, true), human.out)
      assert.is_truthy(human.err:find("nothing was changed", 1, true))
      assert.are.equal(before, dump())
    end)

    it("tells where other code diverges, naming both sides, in the execution or in a child", function()
      until_it_waits()
      kill()
      local before = dump()
      local got, code = rows("f%(2%)", "f(22)")
      assert.are.same({ 3, "parked", 3 }, { code, got.x.outcome, #got.x.replayed })
      assert.matches("^replay of 'x' wants step 'f' args#%x+ %(new.lua:12%) as 'x:branch.1.f.1', "
        .. "but record 'x:branch.1.f.1' holds step 'f' args#%x+ %(code.lua:12%)$", got.x.text)
      assert.are.equal("waits", got["x:child.1"].outcome)

      got, code = rows("step.f%(n%)", "step.f(n + 5)")
      assert.are.same({ 3, "waits", "parked" }, { code, got.x.outcome, got["x:child.1"].outcome })
      got, code = rows("  local child", "  await(step.f(99)) local child") -- one more call: its place is taken
      assert.are.same({ 3, "parked" }, { code, got.x.outcome })
      assert.matches("wants step 'f' .* as 'x:f.2', but record 'x:child.1' holds workflow 'child'.*; " ..
        "guard new work with da.patched%(name%)$", got.x.text)
      got, code = rows('  await%(da.promise%("go"%)%)', "  do return await(child) end") -- a recorded call is gone
      assert.are.same({ 3, "waits", "x:go.1" }, { code, got.x.outcome, got.x.missed })
      assert.matches("recorded 'x:go.1' was not asked for again",
        rehearse('  await%(da.promise%("go"%)%)', "  do return await(child) end").out, 1, true)
      local human = rehearse("f%(2%)", "f(22)")
      assert.are.equal(3, human.code)
      assert.is_truthy(human.out:find("x  main  would be parked: replay of 'x' wants step 'f'", 1, true))
      assert.is_nil(human.out:find("Mend", 1, true))
      assert.are.equal(before, dump())
    end)

    it("runs no step and makes no call, but names what it would make and how it would end", function()
      until_it_waits()
      kill()
      local before = dump()
      local ledger = place.dir .. "/ran"
      local path = write(place, "new.lua", HEAD .. ([[
function step.touch() io.open(%q, "w"):close() end
function async.child(n) await(step.f(n)) await(da.promise("ok")) return await(step.f(n + 1)) end
function async.main()
  await(step.f(1))
  await(da.sleep(0.01))
  await(async("branch", function() await(step.f(2)) return 7 end))
  local child = async.child(3)
  local go = da.promise("go")
  local new = step("inline", function() error "never" end)
  step.touch()
  async.child(8)
  da.sleep(1)
  await(new)
end]]):format(ledger))
      local told = dahost(place, "migrate", "x", path, "--dry-run", "--json")
      assert.are.equal(0, told.code, told.err)
      local row = json.decode(told.out:match("^[^\n]+"), 1, nil)
      assert.are.equal("goes on", row.outcome)
      local calls = {}
      for i, call in ipairs(row.calls) do calls[i] = call.kind .. " " .. call.id end
      assert.are.same({ "inline step x:inline.1", "step x:touch.1", "workflow x:child.2", "sleep x:~sleep.2" }, calls)
      assert.is_nil(io.open(ledger))
      local got, code = rows("await%(async%(\"branch\"", "do error { code = 'bad', message = 'new' } end await(async(\"branch\"")
      assert.are.same({ 3, "parked" }, { code, got.x.outcome }) -- ended with recorded calls unreached
      got, code = rows("  await%(da.promise%(\"ok\"%)%)", "  da.promise('ok') error { code = 'bad', message = 'new' }")
      assert.are.same({ 1, "rejected", "bad" }, { code, got["x:child.1"].outcome, got["x:child.1"].value.name })
      assert.are.equal(before, dump())
    end)

    it("finds what has an id of its own, and promises of others, where they are", function()
      local code = HEAD .. [=[
function async.other(n) await(step.f(n)) return n + 1 end
function async.main()
  local got = await(da.get("ext"))
  await(step.f(got))
  local other = await(async.other:with { id = "other-1" }(5))
  await(step.f(other))
  return await(da.get("pending"))
end]=]
      for _, words in ipairs { { "create", "ext" }, { "resolve", "ext", "42" }, { "create", "pending" } } do
        assert.are.equal(0, dahost(place, "promise", table.unpack(words)).code)
      end
      started = harness.spawn({ "run", write(place, "code.lua", code), "main", "--id", "x", "--data", place.data })
      while not dahost(place, "get", "x:f.2").out:find("resolved", 1, true) do assert.is_nil(started.ended) end
      kill()
      local fits = dahost(place, "migrate", "x", write(place, "new.lua", code .. "\n--"), "--dry-run")
      assert.are.equal(0, fits.code, fits.out)
      assert.are.equal("x  main  would wait, waiting for pending\n  recorded calls it would meet again: 2\n"
        .. "    f.1  step  resolved\n    f.2  step  resolved\n", fits.out)
      local differs = dahost(place, "migrate", "x", write(place, "new.lua", (code:gsub("n %+ 1", "n + 2")
        :gsub("f%(other%)", "f(other * 2)"))), "--dry-run")
      assert.are.equal(3, differs.code)
      assert.is_truthy(differs.out:find("would be parked: replay of 'x' wants step 'f'", 1, true), differs.out)
      local asks = dahost(place, "migrate", "x", write(place, "new.lua", (code:gsub('"pending"', '"nobody"'))), "--dry-run")
      assert.are.equal(0, asks.code)
      assert.is_truthy(asks.out:find("new calls it would make: 1\n    nobody  promise\n", 1, true), asks.out)
    end)

    it("tells the state of an execution that runs, without disturbing it", function()
      until_it_waits()
      local got, code = rows("f%(9%)", "f(10)")
      assert.are.same({ 0, "waits", "waits" }, { code, got.x.outcome, got["x:child.1"].outcome })
      for _, id in ipairs { "x:child.1.ok.1", "x:go.1" } do
        assert.are.equal(0, dahost(place, "promise", "resolve", id, "1").code)
      end
      harness.wait(started)
      assert.are.same({ 0, "4\n" }, { started.code, started.out })
    end)

    it("refuses what migrate would refuse", function()
      script.run { place = place, keep = true, script = HEAD .. "function async.main() return 1 end" }
      local file = write(place, "new.lua", CODE)
      local ended = dahost(place, "migrate", "x", file, "--dry-run")
      assert.are.same({ 1, "" }, { ended.code, ended.out })
      assert.is_truthy(ended.err:find("'x' has ended", 1, true), ended.err)
      assert.is_truthy(dahost(place, "migrate", "y", file, "--dry-run").err:find("no execution 'y'", 1, true))
      assert.are.equal(2, dahost(place, "migrate", "x", place.dir .. "/none.lua", "--dry-run").code)
      assert.are.equal(2, harness.dahost({ "migrate", "x", file, "--dry-run", "--data", place.dir .. "/none" }).code)
    end)
  end)
end)
