-- where_spec.lua - conditions: which executions they name, and what cancel, continue and migrate do to all of those.
-- SPDX-License-Identifier: Apache-2.0
local probe = require("da_probe")
local cli = require("spec.support.cli")
local program = require("spec.support.program")

local rows_of = cli.rows_of

local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.one(n) return n end
function async.order(n)
  da.publish("phase", n % 2 == 0 and "pack" or "on its way")
  da.publish("n", n)
  await(step.one(n))
  return await(da.promise("go"))
end
function async.stuck() await(step.one(1)) local s = "x" while true do s = s .. s end end
function async.outer() await(step.one(1)) return await(async.stuck()) end
function async.quick(n) if n == 0 then error "nothing" end return n end
]]

local function ids(text)
  local list = {}
  for _, row in ipairs(rows_of(text)) do list[#list + 1] = row.id end
  table.sort(list)
  return table.concat(list, " ")
end

describe("conditions", function()
  local place, script

  -- order-1 to order-4 wait, bad and out (in out:stuck.1) are parked, fine and sad have ended.
  before_each(function()
    place = program.place()
    script = place:write("wf.lua", SCRIPT)
    for i = 1, 4 do
      assert.equal(0, place:run("start", script, "order", tostring(i), "--id", "order-" .. i, "--tags",
        ('{"customer":"%s","kind":"a,b"}'):format(i < 3 and "ada" or "bob")).code)
    end
    for id, func in pairs { bad = "stuck", out = "outer" } do
      assert.equal(0, place:run("start", script, func, "--id", id).code)
    end
    local process = place:spawn("resume", "--all")
    for i = 1, 4 do
      local id = "order-" .. i
      while not process.err:find(id .. " waits for " .. id .. ":go.1", 1, true) do require("luv").run("once") end
    end
    while not (process.err:find("bad parked", 1, true) and process.err:find("out:stuck.1 parked", 1, true)) do
      require("luv").run("once")
    end
    assert.equal(0, place:run("get", "order-1").code)
    process:signal_with("sigkill"):wait()
    assert.equal(0, place:run("run", script, "quick", "1", "--id", "fine").code)
    assert.equal(1, place:run("run", script, "quick", "0", "--id", "sad").code)
  end)
  after_each(function() place:remove() end)

  local function named(where)
    local got = place:run("ps", "--where", where, "--json")
    assert.equal(0, got.code, got.err)
    return ids(got.out)
  end

  it("name what they say", function()
    for where, wanted in pairs {
      ["id=order-*"] = "order-1 order-2 order-3 order-4",
      ["id=*-3"] = "order-3",
      ["id=order-2"] = "order-2",
      ["id=*r*r*2"] = "order-2",
      ["id=ord"] = "",
      ["func=order, id!=order-1"] = "order-2 order-3 order-4",
      ["func=quick"] = "",
      ["func=quick,state=all"] = "fine sad",
      ["state=completed"] = "fine sad",
      ["state=rejected"] = "sad",
      ["state=resolved and func=quick"] = "fine",
      ["state=suspended"] = "order-1 order-2 order-3 order-4 out",
      ["state=parked"] = "bad out:stuck.1",
      ["parked=memory"] = "bad out:stuck.1",
      ["parked=*,func=stuck,id!=bad"] = "out:stuck.1",
      ["parked!=memory"] = "",
      ["state!=suspended"] = "bad",
      ["id=out:*"] = "out:stuck.1",
      ["awaits=order-3:go.1"] = "order-3",
      ["awaits=out:*"] = "out",
      ["tag.customer=ada"] = "order-1 order-2",
      ["tag.customer!=ada, func=order"] = "order-3 order-4",
      ["tag.customer=a*"] = "order-1 order-2",
      ["tag.kind='a,b'"] = "order-1 order-2 order-3 order-4",
      ["tag.kind=a"] = "",
      ["tag.none=x"] = "",
      ["published.phase=pack"] = "order-2 order-4",
      ["published.phase=on its way"] = "order-1 order-3",
      ['published.phase="on its way", published.n=3'] = "order-3",
      ["published.n!=3, func=order"] = "order-1 order-2 order-4",
      ["older=1h"] = "",
      ["younger=1h, func=order"] = "order-1 order-2 order-3 order-4",
    } do
      assert.equal(wanted, named(where), where)
    end
    assert.equal("order-2", ids(place:run("ps", "--where", "tag.customer=ada,id!=order-1", "--state", "suspended",
      "--json").out))
    assert.equal(1, #rows_of(place:run("ps", "--where", "func=order", "--limit", "1", "--json").out))
  end)

  it("that are none are refused with the nearest", function()
    for where, words in pairs {
      ["stat=parked"] = "--where: no condition 'stat' (did you mean 'state'?); there are id, func, state, parked, awaits",
      ["tag.=x"] = "--where: 'tag.' wants a key: tag.KEY=VALUE",
      ["state=parkt"] = "no state 'parkt' (did you mean 'parked'?)",
      ["older=soon"] = "'older' wants a duration (older=90, older=1h30m, older=3d), not 'soon'",
      ["older!=1h"] = "'older' wants a duration (older=90, older=1h30m, older=3d), not '!1h'",
      ["parked"] = "'parked' is no condition: write NAME=VALUE",
      ["func=order,,id=x"] = "'' is no condition: write NAME=VALUE",
      ["=x"] = "'=x' is no condition",
      [" "] = "no condition: write for example func=order",
      [("id=x,"):rep(17) .. "id=x"] = "more than 16 conditions",
    } do
      for _, verb in ipairs { "ps", "cancel", "continue" } do
        local got = place:run(verb, "--where", where)
        assert.equal(2, got.code, where)
        assert.matches(words, got.err, 1, true)
        assert.equal("", got.out)
      end
    end
    local got = place:run("cancel", "--where", "state=completed")
    assert.same({ 2, "" }, { got.code, got.out })
    assert.matches("what has ended cannot be changed", got.err, 1, true)
    assert.matches("--where stands in place of the ID", place:run("continue", "bad", "--where", "id=bad").err, 1, true)
    assert.matches("--dry-run goes with --where", place:run("cancel", "bad", "--dry-run").err, 1, true)
    assert.equal(2, place:run("cancel").code)
  end)

  it("name nothing: nothing is done, and that is no failure", function()
    for _, verb in ipairs { "cancel", "continue" } do
      local got = place:run(verb, "--where", "func=none")
      assert.same({ 0, "", "0 executions\n" }, { got.code, got.out, got.err })
    end
    local got = place:run("migrate", "--where", "func=none", script)
    assert.same({ 0, "", "0 executions\n" }, { got.code, got.out, got.err })
  end)

  it("are told what they would touch", function()
    local got = place:run("cancel", "--where", "id=order-*", "--dry-run")
    assert.equal(0, got.code)
    assert.equal("order-1  order  suspended\norder-2  order  suspended\norder-3  order  suspended\n" ..
      "order-4  order  suspended\n", got.out)
    assert.equal("4 executions; nothing was changed\n", got.err)
    assert.equal("order-1 order-2 order-3 order-4", named("id=order-*,state=suspended"))
    assert.equal(404, place:run("get", "order-1:~cancel").code == 1 and 404)
    assert.equal("bad out:stuck.1", ids(place:run("continue", "--where", "func=stuck", "--dry-run", "--json").out))
  end)

  it("cancel many; one that is refused does not stop the others", function()
    local got = place:run("cancel", "--where", "id!=order-4", "no more")
    assert.equal(1, got.code)
    assert.matches("\norder%-1  was asked to end\norder%-2  was asked to end\norder%-3  was asked to end\n", got.out)
    assert.matches("^bad  refused: 'bad' is parked and can undo nothing", got.out)
    assert.matches("5 executions, of which 1 refused\n", got.err)
    local process = place:spawn("resume", "--all"):wait_for("order-3 canceled")
    process:signal_with("sigkill"):wait()
    for i = 1, 4 do
      local row = cli.row_of(place:run("get", "order-" .. i, "--json").out)
      assert.equal(i == 4 and "pending" or "canceled", row.promise)
      if i < 4 then assert.equal("no more", row.value.message) end
    end
  end)

  it("cut many", function()
    local got = place:run("cancel", "--where", "state=parked", "--hard", "--json")
    assert.equal(0, got.code, got.err)
    assert.equal("bad out:stuck.1", ids(got.out))
    assert.equal("canceled", cli.row_of(place:run("get", "bad", "--json").out).promise)
  end)

  it("continue many, asked of a process that holds the store", function()
    local process = place:spawn("run", script, "order", "5", "--id", "held"):wait_for("held waits for")
    assert.equal(0, place:run("get", "held:go.1").code)
    local got = place:run("continue", "--where", "parked=memory")
    assert.equal(0, got.code, got.err)
    assert.equal("bad  may go on\nout:stuck.1  may go on\n", got.out)
    assert.matches("2 executions\n", got.err)
    got = place:run("cancel", "--where", "tag.customer=bob")
    assert.equal("order-3  was asked to end\norder-4  was asked to end\n", got.out)
    process:signal_with("sigkill"):wait()
  end)

  it("migrate many: what the new code would park stays as it is", function()
    local new = place:write("new.lua", (SCRIPT:gsub("await%(step.one%(n%)%)", "if n ~= 2 then await(step.one(n)) end")
      :gsub('local s = "x" while true do s = s .. s end', 'return "mended"')))
    local got = place:run("migrate", "--where", "func=order", new, "--dry-run")
    assert.equal(3, got.code, got.err)
    assert.matches("order%-2  order  would be parked", got.out)
    assert.matches("4 executions; nothing was changed", got.err)
    got = place:run("migrate", "--where", "state!=completed", new)
    assert.equal(3, got.code, got.err)
    for _, id in ipairs { "bad", "order-1", "order-3", "order-4", "out" } do
      assert.matches("%f[^\n\0]" .. id:gsub("%-", "%%-") .. "  runs the new code from now on\n", "\n" .. got.out)
    end
    assert.matches("order%-2  refused: the new code would park it; %-%-force", got.out)
    assert.matches("6 executions, of which 1 refused", got.err)
    assert.same({ 0, '"mended"\n' }, { place:run("resume", "bad").code, place:run("resume", "bad").out })
  end)

  it("go on with what is whole where a record is damaged", function()
    local function poke(change)
      local world = assert(probe.new { kind = "lmdb", path = place.data })
      local row = world:rows("task")[1]
      world:poke("task", row[1], change(row[2]))
      world:close()
    end
    local whole
    poke(function(record) whole = record return record:sub(1, -2) end) -- that of order-1, the first that was made
    local got = place:run("ps")
    assert.equal(74, got.code, got.err)
    assert.matches("\norder%-1 +order +damaged .-damaged record in table task, key ", got.out)
    assert.matches("\norder%-2 +order +suspended ", got.out)
    assert.matches("order%-1  order  damaged .-damaged record in table task", place:run("tree", "order-1").out)
    got = place:run("cancel", "--where", "func=order")
    assert.equal(74, got.code)
    assert.matches("^order%-1  refused: .-damaged record in table task.-\norder%-2  was asked to end\n", got.out)
    assert.matches("4 executions, of which 1 refused", got.err)
    poke(function() return whole end)
    assert.equal("order-1  was asked to end\n", place:run("cancel", "--where", "id=order-1").out)
  end)
end)

describe("promise search", function()
  local place, script

  before_each(function()
    place = program.place()
    script = place:write("wf.lua", SCRIPT)
    for i = 1, 3 do
      assert.equal(0, place:run("start", script, "order", tostring(i), "--id", "order-" .. i, "--tags",
        '{"customer":"ada","last":"' .. (i == 3 and "yes" or "no") .. '"}').code)
    end
    local process = place:spawn("resume", "--all")
    for i = 1, 3 do
      local id = "order-" .. i
      while not process.err:find(id .. " waits for " .. id .. ":go.1", 1, true) do require("luv").run("once") end
    end
    assert.equal(0, place:run("get", "order-1").code)
    process:signal_with("sigkill"):wait()
    for _, id in ipairs { "order", "order!", "zz", "p", "order:x", "orderly" } do
      assert.equal(0, place:run("promise", "create", id, "--tags", '{"by":"hand"}').code)
    end
    assert.equal(0, place:run("promise", "resolve", "p").code)
    assert.equal(0, place:run("promise", "cancel", "zz").code)
  end)
  after_each(function() place:remove() end)

  local function found(...)
    local got = place:run("promise", "search", "--json", ...)
    assert.equal(0, got.code, got.err)
    local list = {}
    for _, row in ipairs(rows_of(got.out)) do list[#list + 1] = row.id or "+" .. row.cursor end
    return list
  end

  it("lists all promises in the byte order of their ids, from page to page", function()
    local all = found()
    local sorted = table.move(all, 1, #all, 1, {})
    table.sort(sorted)
    assert.same(sorted, all)
    assert.equal(15, #all)
    local paged, cursor = {}, nil
    repeat
      local page = found("--limit", "4", table.unpack(cursor and { "--cursor", cursor } or {}))
      cursor = page[#page]:match("^%+(.*)$")
      assert.is_true(#page <= 5)
      for _, id in ipairs(page) do
        if id:sub(1, 1) ~= "+" then paged[#paged + 1] = id end
      end
    until not cursor
    assert.same(all, paged)
    assert.is_nil(found("--limit", "15")[16]) -- exactly all of them: no cursor
    assert.equal("+" .. all[14], found("--limit", "14")[15])
    assert.same({}, found("--cursor", "zzz"))
  end)

  it("filters by beginning, state, tags and what is published", function()
    assert.same({ "order-1", "order-1:go.1", "order-1:one.1" }, found("order-1"))
    assert.same({ "order", "order!", "order-1" }, { table.unpack(found("order"), 1, 3) })
    assert.same({ "order:x", "orderly" }, { table.unpack(found("order", "--cursor", "order-3:one.1")) })
    assert.same({}, found("nothing"))
    assert.same({ "zz" }, found("--state", "canceled"))
    assert.same({ "order-1", "order-1:go.1" }, found("order-1", "--state", "pending"))
    assert.same({ "order-1", "order-2", "order-3" }, found("--tag", "customer=ada"))
    assert.same({ "order-3" }, found("--tag", "customer=ada", "--tag=last=yes"))
    assert.same({ "order-1", "order-3" }, found("--tag", "phase=on its way"))
    assert.same({ "order-2" }, found("--tag", "n=2", "--tag", "customer=ada"))
    assert.same({}, found("--tag", "customer=a*"))
    assert.same({ "p" }, found("--tag", "by=hand", "--state", "resolved"))
    local human = place:run("promise", "search", "order-1", "--limit", "1")
    assert.equal("order-1  pending    workflow order\n", human.out)
    assert.equal("there is more: --cursor 'order-1'\n", human.err)
  end)

  it("refuses what it cannot search for", function()
    for _, row in ipairs {
      { "--state", "parked", "no state 'parked' of a promise; there are pending, resolved, rejected, canceled, timedout" },
      { "--state", "pendin", "no state 'pendin' (did you mean 'pending'?) of a promise" },
      { "--tag", "customer", "--tag wants KEY=VALUE, not 'customer'" },
      { "--limit", "0", "--limit wants a number from 1 to 1000, not '0'" },
      { "--limit", "1001", "--limit wants a number from 1 to 1000, not '1001'" },
    } do
      local got = place:run("promise", "search", row[1], row[2])
      assert.equal(2, got.code)
      assert.matches(row[3], got.err, 1, true)
    end
    local many = {}
    for i = 1, 257 do many[i] = "--tag=k" .. i .. "=v" end
    assert.matches("more than 256 times --tag", place:run("promise", "search", table.unpack(many)).err, 1, true)
    assert.matches("names that begin with 'resonate:' or 'dahost:' are the runtime's own",
      place:run("start", script, "order", "1", "--tags", '{"resonate:target":"x"}').err, 1, true)
    assert.matches("--tags wants a JSON object whose values are strings",
      place:run("run", script, "order", "1", "--tags", '{"a":1}').err, 1, true)
  end)
end)
