-- cli_streams_spec.lua - stdout and stderr: what stands on which, and what becomes of an answer that nobody takes.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local program = require("spec.support.program")

local run, with = cli.run, cli.with

describe("the command line's streams", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

  it("hold the result alone on stdout, and everything else on stderr", function()
    assert.are.equal("[4,6]\n", with("2>/dev/null", "run", script, "works", "2").out)
    local piped = with("| cat", "run", script, "works", "2", "--id", "a")
    assert.are.equal("[4,6]\n", piped.out)
    assert.matches("^id a %(store ", piped.err)
    assert.are.equal("", with("2>/dev/null", "run", script, "fails", "1").out)
    assert.are.equal("", with("2>/dev/null", "get", "nobody").out)
    assert.are.equal("", run("help").err)
  end)

  it("tell an answer that cannot be written, and exit with 74; the work is done all the same", function()
    for streams, why in pairs { [">/dev/full"] = "No space left on device", [">&-"] = "it is closed" } do
      for _, words in ipairs {
        { "run", script, "works", "2", "--id", "w" }, { "run", script, "works", "2", "--id", "w" },
        { "start", script, "works", "2", "--id", "s" }, { "ps", "--state", "all" }, { "ps", "--state", "all", "--json" },
        { "tree", "w" }, { "get", "w" }, { "resume", "w", "s" }, { "promise", "create", "p" }, { "version" }, { "help" },
        { "ps", "--help" },
      } do
        local got = with(streams, table.unpack(words))
        assert.are.same({ 74, "" }, { got.code, got.out }, table.concat(words, " ") .. got.err)
        assert.matches("dahost: cannot write the answer to stdout: " .. why, got.err, 1, true)
      end
      assert.are.equal("[4,6]\n", run("run", script, "works", "2", "--id", "w", "-q").out)
    end
    assert.are.equal(1, with(">/dev/full", "run", script, "fails", "1").code) -- it has no result to write
    assert.are.equal(0, run("verify").code)
  end)

  it("end the program quietly, as a filter ends, when the reader of stdout is gone", function()
    -- The reader is gone for certain before anything is written: the fifo is opened and closed first.
    local script_of = "mkfifo f; exec 3<>f; exec 4>f; exec 3<&-; "
    for _, words in ipairs { "run wf.lua works 2 --id w -q", "ps --state all", "help" } do
      local got = program.run({}, { data = place.data, cwd = place.dir,
        sh = script_of .. '"$0" ' .. words .. " >&4; code=$?; rm f; exit $code" })
      assert.are.same({ 141, "" }, { got.code, got.err })
    end
    assert.are.equal("[4,6]\n", run("run", script, "works", "2", "--id", "w").out)
  end)

  it("do not end an execution when the reader of stderr is gone", function()
    local got = program.run({}, { data = place.data, cwd = place.dir, sh =
      'mkfifo f; exec 3<>f; exec 4>f; exec 3<&-; "$0" run wf.lua talks --id w 2>&4; code=$?; rm f; exit $code' })
    assert.are.same({ 0, '"the result"\n' }, { got.code, got.out })
  end)

  it("leave a broken pipe to what a step executes", function()
    local pipes = place:write("pipes.lua", [[
      local da = require "da"
      function da.step.count()
        local pipe = io.popen("yes | head -n 3 | wc -l")
        local text = pipe:read("a")
        return text:match("%d+"), os.execute("yes | head -n 1 >/dev/null"), os.execute("exit 7")
      end
      function da.async.main() return da.await(da.step.count()) end]])
    assert.are.equal('["3",true,null,"exit",7]\n', run("run", pipes).out)
  end)

  it("bring no escape of a script's words to the terminal but colours of what it prints", function()
    local nasty = place:write("nasty.lua", [[
      local da = require "da"
      function da.async.fails() error("a\27[2Jb\27]0;c\7\194\155d\255") end
      function da.async.parks() local n = 0 da.await(da.step("x", function() n = n + 1 end)) return n end]])
    local got = run("run", nasty, "fails", "--id", "f")
    assert.matches("a?[2Jb?]0;c??d?", got.err, 1, true)
    for _, words in ipairs { { "get", "f" }, { "tree", "f" }, { "ps", "--state", "all" } } do
      local shown = run(table.unpack(words))
      assert.is_nil((shown.out .. shown.err):find("[\27\7\255]"))
    end
    assert.matches("no state 'x?[2J'", run("ps", "--state", "x\27[2J").err, 1, true)
  end)
end)
