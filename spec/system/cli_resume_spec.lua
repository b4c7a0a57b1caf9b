-- cli_resume_spec.lua - start and resume.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")

local run, holder, release, rows_of, row_of = cli.run, cli.holder, cli.release, cli.rows_of, cli.row_of

describe("the command line", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

  describe("start and resume", function()
    it("submits, prints the id, and runs nothing", function()
      local got = run("start", script, "works", "2", "--id", "w")
      assert.are.same({ 0, "w\n" }, { got.code, got.out })
      assert.are.same({ id = "w", created = false }, row_of(run("start", script, "works", "2", "--id", "w", "--json").out))
      assert.are.equal(2, run("start", script, "works", "3", "--id", "w").code)
      assert.are.equal(1, #rows_of(run("tree", "w", "--json").out))
      got = run("resume", "w")
      assert.are.same({ 0, "[4,6]\n" }, { got.code, got.out })
    end)

    it("starts at once where a process holds the store", function()
      local process = holder("w")
      assert.are.equal("s\n", run("start", script, "works", "2", "--id", "s").out)
      local got = run("resume", "s")
      assert.are.same({ 0, "[4,6]\n" }, { got.code, got.out })
      release(process, "w")
    end)

    it("resumes without the script's file", function()
      holder("w"):signal_with("sigkill"):wait()
      require("luv").fs_unlink(script)
      local process = place:spawn("resume", "w"):wait_for("w waits for w:p.1")
      release(process, "w")
      assert.are.same({ 0, '"released"\n' }, { process.code, process.out })
    end)

    it("resumes several, one line each, and exits with the worst", function()
      run("start", script, "works", "1", "--id", "a")
      run("start", script, "fails", "1", "--id", "b")
      local got = run("resume", "--all")
      assert.are.equal(1, got.code)
      local rows = rows_of(got.out)
      table.sort(rows, function(x, y) return x.id < y.id end)
      assert.are.same({ id = "a", state = "resolved", value = { 2, 4 } }, rows[1])
      assert.are.same({ "b", "rejected", "no_stock" }, { rows[2].id, rows[2].state, rows[2].value.name })
      assert.are.same({ 0, "" }, { run("resume", "--all").code, run("resume", "--all").out })
      assert.are.equal('{"id":"a","state":"resolved","value":[2,4]}\n', run("resume", "a", "a").out:match("^[^\n]*\n"))
    end)

    it("says what could be resumed", function()
      run("start", script, "waits", "--id", "w")
      local got = run("resume")
      assert.are.equal(2, got.code)
      assert.matches("resume wants an ID or --all; not finished here: w", got.err, 1, true)
      got = run("resume", "nobody")
      assert.are.equal(1, got.code)
      assert.matches("no execution 'nobody' in", got.err, 1, true)
    end)
  end)
end)
