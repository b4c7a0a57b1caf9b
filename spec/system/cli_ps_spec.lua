-- cli_ps_spec.lua - ps, tree, get and the promise verbs, asked of a process that holds the store and of nobody.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")

local run, rows_of, row_of = cli.run, cli.rows_of, cli.row_of

describe("the command line", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

  -- The same questions to a process that holds the store, and to nobody.
  for _, held in ipairs({ true, false }) do
    describe(held and "asking the holder" or "asking the store itself", function()
      local process

      before_each(function()
        run("run", script, "works", "4", "--id", "done")
        process = place:spawn("run", script, "parent", "--id", "w"):wait_for("waiting for w:waits.1.inner.1")
        process:wait_for("w:waits.1 waits for")
        assert.are.equal(0, run("get", "w:waits.1.inner.1").code)
        if not held then process:signal_with("sigkill"):wait() end
      end)

      after_each(function()
        if held then
          process:signal_with("sigkill"):wait()
        end
      end)

      it("lists executions", function()
        local rows = rows_of(run("ps", "--json").out)
        assert.are.equal(1, #rows)
        local row = rows[1]
        assert.are.same({ "w", "parent", "suspended", "pending", "w:waits.1" },
          { row.id, row["function"], row.state, row.promise, row.awaits[1] })
        assert.are.equal("number", type(row.createdAt))
        rows = rows_of(run("ps", "--json", "--state", "all").out)
        assert.are.same({ "done", "completed", "resolved" }, { rows[1].id, rows[1].state, rows[1].promise })
        assert.are.equal(2, #rows)
        assert.are.equal("done", row_of(run("ps", "--json", "--state", "completed").out).id)
        assert.are.equal("", run("ps", "--json", "--state", "running").out)
        local human = run("ps")
        assert.matches("ID%s+FUNCTION%s+STATE%s+AGE%s+WAITS FOR\nw%s+parent%s+suspended%s+[%d.]+ m?s%s+→ w:waits%.1\n",
          human.out)
      end)

      it("shows a tree: calls by indentation, waiting by an arrow", function()
        local human = run("tree", "w").out
        assert.matches("^w  parent  suspended [%d.]+ m?s  → w:waits%.1\n"
          .. "  waits%.1  suspended [%d.]+ m?s  → w:waits%.1%.inner%.1\n    inner%.1  pending [%d.]+ m?s\n$", human)
        local rows = rows_of(run("tree", "w", "--json").out)
        assert.are.same({ "w", "w:waits.1", "w:waits.1.inner.1" }, { rows[1].id, rows[2].id, rows[3].id })
        assert.are.same({ "workflow", "workflow", "promise" }, { rows[1].kind, rows[2].kind, rows[3].kind })
        assert.matches("^done  works  completed %(resolved%) .*\n  double%.1  resolved .*\n  double%.2  resolved ",
          run("tree", "done").out)
        local got = run("tree", "nobody")
        assert.are.equal(1, got.code)
        assert.matches("no execution or promise 'nobody' in", got.err, 1, true)
      end)

      it("shows one record whole", function()
        local row = row_of(run("get", "done", "--json").out)
        assert.are.same({ { 4 }, { 8, 10 }, "resolved", "fulfilled" }, { row.args, row.value, row.promise, row.task.state })
        assert.is_true(row.settledAt >= row.createdAt)
        assert.are.equal("poll://any@default", row.tags["resonate:target"])
        row = row_of(run("promise", "get", "done:double.1", "--json").out)
        assert.are.same({ "step", 8, "resolved" }, { row.kind, row.value, row.promise })
        assert.matches("\nstate     completed, resolved, .*\nargs      %[4%]\nvalue     %[8,10%]\ncreated   %d%d%d%d%-",
          run("get", "done").out)
        assert.are.equal(1, run("get", "nobody").code)
      end)

      it("makes and settles promises", function()
        local row = row_of(run("promise", "create", "p", "--timeout", "1h", "--param", '{"b":1,"a":2}', "--tags",
          '{"k":"v"}', "--json").out)
        assert.are.same({ "pending", true, { a = 2, b = 1 }, "v" }, { row.promise, row.created, row.param, row.tags.k })
        assert.is_true(math.abs(row.timeoutAt - row.createdAt - 3600000) < 1000)
        assert.is_false(row_of(run("promise", "create", "p", "--json").out).created)

        local got = run("promise", "resolve", "p", '{"ok":true}', "--json")
        assert.are.equal(0, got.code)
        assert.are.same({ "resolved", { ok = true } }, { row_of(got.out).promise, row_of(got.out).value })
        got = run("promise", "resolve", "p", '{"ok":true}')
        assert.are.equal(0, got.code)
        assert.matches("p was resolved before", got.err, 1, true)
        assert.are.equal(1, run("promise", "resolve", "p", '{"ok":false}').code)
        assert.are.equal(1, run("promise", "reject", "p", "no").code)
        assert.are.same({ ok = true }, row_of(run("get", "p", "--json").out).value)

        for id, settled in pairs({
          r1 = { "why not", { __type = "error", name = "error", message = "why not" } },
          r2 = { '{"code":"late","message":"too late"}', { __type = "error", name = "late", message = "too late" } },
          r3 = { "5", { __type = "error", name = "error", message = "5" } },
        }) do
          run("promise", "create", id)
          row = row_of(run("promise", "reject", id, settled[1], "--json").out)
          assert.are.equal("rejected", row.promise)
          for name, value in pairs(settled[2]) do assert.are.equal(value, row.value[name]) end
        end

        run("promise", "create", "c")
        row = row_of(run("promise", "cancel", "c", "changed my mind", "--json").out)
        assert.are.same({ "canceled", "canceled", "changed my mind" }, { row.promise, row.value.name, row.value.message })
        assert.are.equal(1, run("promise", "resolve", "nobody", "1").code)
      end)

      it("refuses what cannot be a promise", function()
        for words, said in pairs({
          ["--timeout soon"] = "--timeout wants a duration",
          ["--param {"] = "--param wants JSON",
          ["--tags []"] = "--tags wants a JSON object",
          ["--tags {\"a\":1}"] = "--tags wants a JSON object",
        }) do
          local flag, value = words:match("^(%S+) (.*)$")
          local got = run("promise", "create", "p", flag, value)
          assert.are.equal(2, got.code)
          assert.matches(said, got.err, 1, true)
        end
        assert.are.equal(2, run("promise", "create", ("x"):rep(300)).code)
      end)

      it("lets a waiting workflow see what it is told", function()
        assert.are.equal(0, run("promise", "reject", "w:waits.1.inner.1", '{"code":"nope","message":"not now"}').code)
        if not held then process = place:spawn("resume", "w") end
        process:wait()
        assert.are.equal(1, process.code)
        assert.matches("[nope] not now", process.err, 1, true)
      end)

      it("asks an execution to end, and only an execution", function()
        local got = run("cancel", "w", "enough", "--json")
        assert.are.same({ 0, true }, { got.code, row_of(got.out).asked })
        assert.are.equal(held, row_of(got.out).driven)
        if not held then process = place:spawn("resume", "w") end
        process:wait()
        assert.are.equal(4, process.code)
        assert.matches("[canceled] enough", process.err, 1, true)
        assert.are.equal(1, run("cancel", "w").code)
        got = run("cancel", "w:waits.1.inner.1")
        assert.are.equal(1, got.code)
        assert.matches("no execution 'w:waits.1.inner.1'", got.err, 1, true)
        assert.are.equal(1, run("continue", "nobody").code)
      end)
    end)
  end

  it("shows a deadline that has passed as passed, swept or not", function()
    run("promise", "create", "p", "--timeout", "1ms")
    local row
    repeat row = row_of(run("get", "p", "--json").out) until row.promise ~= "pending"
    assert.are.same({ "timedout", "timedout", row.timeoutAt }, { row.state, row.promise, row.settledAt })
  end)

  it("finds a store whole, and a damaged one not", function()
    run("run", script, "works", "4", "--id", "w")
    local got = run("verify")
    assert.are.same({ 0, "" }, { got.code, got.out })
    assert.matches("is whole", got.err, 1, true)
    local text = place:read("store/data.mdb")
    local at = assert(text:find("double", 1, true))
    local damaged = text:gsub("double%.1", function() return "double.\0" end)
    assert.is_true(at > 0 and damaged ~= text)
    place:write("store/data.mdb", damaged)
    assert.are_not.equal(0, run("verify").code)
  end)

  it("runs each of several in a store of its own without disturbing the others", function()
    local first = place:spawn("run", script, "works", "1", "--id", "a")
    local others = {}
    for i = 1, 4 do others[i] = place:spawn("run", script, "works", tostring(i), "--id", "x" .. i) end
    assert.are.same({ 0, "[2,4]\n" }, { first:wait().code, first.out })
    for i, process in ipairs(others) do
      process:wait()
      assert.are.same({ 0, ("[%d,%d]\n"):format(2 * i, 2 * i + 2) }, { process.code, process.out })
    end
    assert.are.equal(0, run("verify").code)
  end)
end)
