-- test_replay_spec.lua - histories: get --history, replay, t.replay; what is written today must stay readable.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local program = require("spec.support.program")

local TRIAL = uv.cwd() .. "/spec/system/trial/"

local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.reserve(sku) return { sku = sku, bytes = "\xff" } end
function step.charge(cents) return cents, "receipt" end
function step.fails() error { code = "broken", fatal = true } end

function async.part(sku) return await(step.reserve(sku)), 2 end

function async.order(skus)
  local cents = await(step("sum", function() return 2.0 end))
  local parts = await(da.all { async.part(skus[1]), async.part(skus[2]) })
  await(da.sleep(0.01))
  local ok, err = da.pawait(step.fails())
  local paid = await(step.charge(cents))
  return #parts, paid, ok, err.code
end

function async.waits() await(step.charge(1)) return await(da.promise "never") end
function async.refuses(n) da.error("refused", "not so", { n = n }) end
]]

describe("a history", function()
  local place
  before_each(function()
    place = program.place()
    place:write("s.lua", SCRIPT)
  end)
  after_each(function() place:remove() end)

  local function history(func, id, ...)
    place:run("run", "s.lua", func, ..., "--id", id)
    local got = place:run("get", id, "--history")
    assert.equal(0, got.code, got.err)
    place:write("h.json", got.out)
    return got.out
  end

  local function edited(from, to)
    local text, n = SCRIPT:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%")))
    assert.equal(1, n)
    place:write("new.lua", text)
    return place:run("replay", "h.json", "new.lua")
  end

  it("holds all that was recorded, as it was recorded", function()
    local doc = assert(json.decode(history("order", "o", '["tea","pot"]')))
    assert.equal(1, doc.dahost_history)
    assert.equal("o", doc.id)
    local by_id = {}
    for _, record in ipairs(doc.records) do by_id[record.id] = record end
    assert.equal("root", by_id.o.kind)
    assert.equal("order", by_id.o["function"])
    assert.equal(32, #by_id.o.bundle)
    assert.equal("workflow", by_id["o:part.2"].kind)
    assert.equal("step", by_id["o:part.2.reserve.1"].kind)
    assert.equal("inline step", by_id["o:sum.1"].kind)
    assert.equal("2.0", by_id["o:sum.1"]["$value"])
    assert.equal(32, #by_id["o:charge.1"].args)
    assert.equal('["receipt"]', by_id["o:charge.1"].headers["da-rest"])
    assert.equal("rejected", by_id["o:fails.1"].state)
    assert.is_true(by_id["o:charge.1"].seq > by_id["o:sum.1"].seq)
    assert.equal("s.lua", by_id["o:charge.1"].file)
    assert.equal(15, by_id["o:charge.1"].line)
  end)

  it("fits the code that made it", function()
    history("order", "o", '["tea","pot"]')
    local got = place:run("replay", "h.json", "s.lua")
    assert.equal(0, got.code, got.out .. got.err)
    assert.equal("o  order  fits: 6 recorded calls\no:part.1  part  fits: 1 recorded call\n" ..
      "o:part.2  part  fits: 1 recorded call\n", got.out)
    local rows = place:run("replay", "h.json", "s.lua", "--json").out
    assert.matches('"id":"o:part.2"', rows, 1, true)
    assert.is_nil(uv.fs_stat(place.dir .. "/.dahost"))
  end)

  it("is read from stdin, too", function()
    history("order", "o", '["tea","pot"]')
    local got = program.run({ "replay", "-", "s.lua" }, { cwd = place.dir, streams = "<h.json" })
    assert.equal(0, got.code, got.err)
  end)

  it("tells the first difference with both lines", function()
    history("order", "o", '["tea","pot"]')
    local got = edited("step.charge(cents))\n", "step.charge(cents + 1))\n")
    assert.equal(3, got.code)
    assert.matches("o  order  differs: replay of 'o' wants step 'charge' args#%x+ %(new.lua:15%) as 'o:charge.1', " ..
      "but record 'o:charge.1' holds step 'charge' args#%x+ %(s.lua:15%)\n", got.out)
    assert.matches("o:part.1  part  fits: 1 recorded call\n", got.out, 1, true)
    assert.matches("new.lua does not do what was recorded", got.err, 1, true)
  end)

  it("tells another result, of children too", function()
    history("order", "o", '["tea","pot"]')
    local got = edited("await(step.reserve(sku)), 2", "await(step.reserve(sku)), 3")
    assert.equal(3, got.code)
    assert.matches("o:part.1  part  differs: 'o:part.1' ended with ", got.out, 1, true)
    got = edited("return #parts, paid", "return 7, paid")
    assert.matches("'o' ended with 2; with this code it ends with 7", got.out, 1, true)
  end)

  it("tells a call that is made no more, and one that is new", function()
    history("order", "o", '["tea","pot"]')
    local got = edited("  await(da.sleep(0.01))\n", "")
    assert.equal(3, got.code)
    assert.matches("without having made sleep '~sleep', recorded as 'o:~sleep.1' from s.lua:13", got.out, 1, true)
    got = edited("  return #parts, paid", "  await(step.charge(9))\n  return #parts, paid")
    assert.equal(3, got.code)
    assert.matches("'o' ended resolved; this code makes a call that it did not make: step 'charge' as 'o:charge.2'", got.out, 1, true)
  end)

  it("of a failure compares code and message, not the line", function()
    history("refuses", "r", "1")
    assert.equal(0, edited('da.error("refused"', '\nda.error("refused"').code)
    local got = edited('"not so"', '"not now"')
    assert.equal(3, got.code)
    assert.matches("'r' ended with", got.out, 1, true)
  end)

  it("of an unfinished execution leaves open what comes", function()
    local process = place:spawn("run", "s.lua", "waits", "--id", "w"):wait_for("w waits for w:never.1")
    local got = place:run("get", "w", "--history") -- beside the process that holds the store
    process:signal_with("sigkill"):wait()
    assert.equal(0, got.code, got.err)
    place:write("h.json", got.out)
    assert.equal(0, place:run("replay", "h.json", "s.lua").code)
    assert.equal(0, edited('await(da.promise "never")', 'await(da.promise "never"), await(step.charge(2))').code)
    assert.equal(3, edited("await(step.charge(1)) return", "return").code)
  end)

  it("is refused for what is no execution", function()
    history("order", "o", '["tea","pot"]')
    local got = place:run("get", "p", "--history")
    assert.equal(1, got.code)
    assert.matches("no execution 'p'", got.err, 1, true)
    got = place:run("get", "o:charge.1", "--history")
    assert.equal(1, got.code)
    got = place:run("get", "o", "--history", "--data", place.dir .. "/nix")
    assert.equal(2, got.code)
    assert.matches("--data", got.err, 1, true)
  end)
end)

describe("a malformed history", function()
  local place
  before_each(function()
    place = program.place()
    place:write("s.lua", SCRIPT)
  end)
  after_each(function() place:remove() end)

  local ROOT = '{"id":"o","kind":"root","function":"waits","args":"%s","bundle":"%s","state":"pending","created":1}'
  local DIGEST = ("ab"):rep(16)

  local function refused(text, words)
    place:write("h.json", text)
    local got = place:run("replay", "h.json", "s.lua")
    assert.equal(2, got.code, text .. "\n" .. got.out .. got.err)
    assert.matches(words, got.err, 1, true)
  end

  local function document(...)
    return '{"dahost_history":1,"id":"o","records":[' .. table.concat({ ROOT:format(DIGEST, DIGEST), ... }, ",") .. "]}"
  end

  it("is told where it is at fault", function()
    refused("", "no whole JSON document")
    refused(document():sub(1, -20), "no whole JSON document")
    refused("[]", "no history; `dahost get ID --history` writes one")
    refused('{"dahost_history":2,"id":"o","records":[]}', "a history of version 2; this program reads version 1")
    refused('{"dahost_history":1,"records":[]}', "an id and a list of records are missing")
    refused('{"dahost_history":1,"id":"o","records":[]}', "there is no record of the execution 'o' itself")
    refused('{"dahost_history":1,"id":"o","records":[7]}', "record 1 (): id: the id is empty")
    local step = '{"id":"o:a.1","kind":"step","function":"charge","ordinal":1,"state":"resolved","created":1,"settled":1,"seq":1}'
    local cases = {
      { '"kind":"step"', '"kind":"stop"', "record 2 (o:a.1): kind is none that is known" },
      { '"resolved"', '"solved"', "record 2 (o:a.1): state is none that is known" },
      { '"seq":1', '"seq":-1', "seq is no number that it may be" },
      { ',"seq":1', "", "seq and state do not go together" },
      { '"ordinal":1', '"ordinal":4000000000', "ordinal is no number that it may be" },
      { '"created":1', '"created":"x"', "created is no number that it may be" },
      { '"id":"o:a.1"', '"id":"x:a.1"', "id does not lie below the execution" },
      { '"id":"o:a.1"', '"id":"o"', "id is there twice" },
      { '"state"', '"args":"zz","state"', "args is no digest of 32 hexadecimal digits" },
      { '"state"', '"$value":"{","state"', "$value holds no JSON" },
      { '"state"', '"$value":7,"state"', "$value is no string that holds JSON" },
      { '"state"', '"tags":{"a":1},"state"', "tags is no object of strings" },
      { '"state"', '"headers":[],"state"', "headers is no object of strings" },
    }
    for _, case in ipairs(cases) do
      local text, n = step:gsub(case[1]:gsub("%p", "%%%0"), (case[2]:gsub("%%", "%%%%")), 1)
      assert.equal(1, n, case[1])
      refused(document(text), case[3])
    end
  end)

  it("never takes the program down, wherever it is cut or changed", function()
    place:run("run", "s.lua", "order", '["tea","pot"]', "--id", "o")
    local whole = place:run("get", "o", "--history").out
    local seed = os.time()
    math.randomseed(seed)
    for i = 1, 60 do
      local at = math.random(#whole)
      local text = i % 2 == 0 and whole:sub(1, at) or whole:sub(1, at - 1) .. string.char(math.random(32, 126)) .. whole:sub(at + 1)
      place:write("h.json", text)
      local got = place:run("replay", "h.json", "s.lua")
      assert.is_true(got.code == 0 or got.code == 2 or got.code == 3, ("seed %d, %d: code %s, signal %s\n%s\n%s"):format(seed, i,
        got.code, got.signal, text, got.err))
    end
  end)

  it("and a script that does not go with it are told", function()
    place:write("h.json", document())
    place:write("other.lua", 'local da = require "da" function da.async.x() end')
    local got = place:run("replay", "h.json", "other.lua")
    assert.equal(2, got.code)
    assert.matches("other.lua defines no workflow 'waits', which 'o' runs", got.err, 1, true)
    place:write("bad.lua", "local x = = 1")
    got = place:run("replay", "h.json", "bad.lua")
    assert.equal(2, got.code)
    assert.matches("bad.lua:1:", got.err, 1, true)
    assert.equal(2, place:run("replay", "nix.json", "s.lua").code)
    assert.equal(2, place:run("replay", "h.json").code)
  end)
end)

describe("a history of version 1", function()
  it("is read by t.replay, and by replay", function()
    local got = program.run({ "test", TRIAL .. "replay_tests.lua" }, { cwd = TRIAL })
    assert.equal(0, got.code, got.out .. got.err)
    assert.matches("4 successes / 0 failures / 0 errors / 0 pending", got.out, 1, true)
    got = program.run({ "replay", TRIAL .. "order-7.json", uv.cwd() .. "/examples/order.lua" }, {})
    assert.equal(0, got.code, got.out .. got.err)
    assert.equal("order-7  order  fits: 6 recorded calls\n", got.out)
  end)
end)
