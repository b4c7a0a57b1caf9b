-- cli_terminal_spec.lua - the view on a terminal, through a pseudo-terminal: any size, any words, any end.
-- SPDX-License-Identifier: Apache-2.0
local cli = require("spec.support.cli")
local program = require("spec.support.program")
local screen = require("spec.support.screen")

local run = cli.run

-- A hundred steps, then many promises with long names.
local MANY = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.one(n) return n end
function async.many()
  for i = 1, 100 do await(step.one(i)) end
  local list = {}
  for i = 1, 30 do list[i] = da.promise("a-promise-with-a-long-name-" .. i) end
  return await(da.all(list))
end
]]

-- Names and words that would tear a careless view apart.
local NASTY = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
local NAME = "\u{65E5}\u{672C}\u{8A9E}\u{65E5}\u{672C}\u{8A9E}\27[31m\u{9b}2J\r\n"
step[NAME] = function() error("no\27[2J\r\nno\255", 0) end
function async.nasty()
  print("cleared\27[2J\27[H \27[32mgreen \27]0;title\7 tab\there\0 \u{65E5}\u{672C}")
  print("10%\r20%\r\nnext\27[5A")
  local branch = async("\u{1F600}\27[7mwide", function()
    return await(da.promise("\u{65E5}\u{672C}\u{8A9E}\u{65E5}\u{672C}\u{8A9E}\u{65E5}\u{672C}\u{8A9E}\27c"))
  end)
  pcall(function() await(step[NAME]:with { retry = { max = 2, first = 0.01 } }()) end)
  return await(branch)
end
]]

describe("the command line on a terminal", function()
  local place, script

  before_each(function() place, script = cli.begin() end)
  after_each(cli.finish)

  local function on_terminal(words, pty, env)
    return program.spawn(words, { data = place.data, cwd = place.dir, pty = pty, env = env })
  end

  local function count(text, what)
    return select(2, text:gsub(what, ""))
  end

  -- Nothing is left behind: the cursor at the beginning of a line, no colour, and (screen.lua) no mode was touched.
  local function assert_tidy(shown)
    assert.are.equal(0, shown.column)
    assert.is_falsy(shown.painted)
    assert.are.equal("", shown:line(#shown.lines))
  end

  it("draws a tree that ends as it ended, below what was printed", function()
    local process = on_terminal({ "run", script, "talks", "--id", "t" }, { columns = 60, rows = 20 }):wait()
    assert.are.equal(0, process.code)
    local shown = screen(process.out, 60, 20)
    local text = shown:text()
    assert_tidy(shown)
    assert.matches("^id t %(store ", text)
    assert.are.same({ 1, 1 }, { count(text, "from the workflow"), count(text, "from the step") })
    assert.matches("\nt  talks  resolved [%d.]+ m?s\n  talk%.1  resolved [%d.]+ m?s\n\"the result\"\n$", text)
    assert.is_nil(text:find("started", 1, true))
  end)

  it("shows what is waited for, fits the screen, and leaves it clean when interrupted", function()
    local many = place:write("many.lua", MANY)
    local process = on_terminal({ "run", many, "--id", "m" }, { columns = 40, rows = 12 })
    process:wait_for("suspended", "out"):wait_for("(", "out")
    process:type("\3"):wait()
    assert.are.equal(130, process.code)
    local shown = screen(process.out, 40, 12)
    assert_tidy(shown)
    local tree = 1
    while not shown:line(tree):find("^m  many") do tree = tree + 1 end
    local last = tree
    while not shown:line(last):find("^interrupted") do last = last + 1 end
    assert.is_true(last - tree >= 10 and last - tree <= 11)
    for i = tree, last - 1 do assert.is_true(select(2, shown:line(i)) < 40) end
    assert.matches("^m  many  suspended .* → m:a%-", (shown:line(tree)))
    assert.matches("^interrupted; to go on: dahost resume m", (shown:line(last)))
  end)

  it("leaves it clean after an error, a park and a kill", function()
    local process = on_terminal({ "run", script, "fails", "1", "--id", "f" }, { columns = 60, rows = 20 }):wait()
    assert.are.equal(1, process.code)
    local shown = screen(process.out, 60, 20)
    assert_tidy(shown)
    assert.matches("\nf  fails  rejected [^\n]*\n%[no_stock%] none left\nstack traceback:\n", shown:text())

    local parks = place:write("parks.lua", cli.PARKS)
    process = on_terminal({ "run", parks, "greedy", "--id", "g" }, { columns = 400, rows = 20 }):wait()
    assert.are.equal(3, process.code)
    shown = screen(process.out, 400, 20)
    assert_tidy(shown)
    assert.matches("\ng  greedy  parked [^\n]*Mend the script, then: dahost migrate 'g' FILE\n  one%.1  resolved", shown:text())

    process = on_terminal({ "run", script, "waits", "--id", "k" }, { columns = 60, rows = 20, line = "echo pid $$" })
    process:wait_for("→ k:p.1", "out")
    require("luv").kill(tonumber(process.out:match("pid (%d+)")), "sigkill")
    process:wait()
    shown = screen(process.out, 60, 20)
    assert.are.same({ 0, false }, { shown.column, shown.painted })
  end)

  it("works on every size", function()
    for _, size in ipairs({ { 20, 5 }, { 1, 1 }, { 2, 2 }, { 5, 1 }, { 1, 50 }, { 0, 0 }, { 500, 300 } }) do
      local columns, rows = size[1], size[2]
      local id = ("s%dx%d"):format(columns, rows)
      local process = on_terminal({ "run", script, "works", "2", "--id", id }, { columns = columns, rows = rows }):wait()
      assert.are.equal(0, process.code)
      local shown = screen(process.out, columns > 0 and columns or 80, rows > 0 and rows or 24)
      assert_tidy(shown)
      assert.matches("[4,6]", (shown:text():gsub("\n", "")), 1, true)
      if columns ~= 20 then goto next end
      local text = shown:text()
      assert.matches("\ns20x5  resolved", text)
      assert.matches("\ndouble.1  resolved\n", text, 1, true)
      ::next::
    end
    local many = place:write("many.lua", MANY)
    local process = on_terminal({ "run", many, "--id", "m" }, { columns = 3, rows = 3 })
    process:wait_for("\27[2A", "out"):type("\3"):wait()
    assert.are.equal(130, process.code)
    assert_tidy(screen(process.out, 3, 3))
  end)

  it("is drawn anew when the size changes", function()
    local process = on_terminal({ "run", script, "waits", "a-name-of-some-length", "--id", "w" },
      { columns = 70, rows = 20, line = "tty > tty" })
    process:wait_for("→ w:a-name-of-some-length.1", "out")
    local name = place:read("tty"):match("%S+")
    local before = #process.out
    assert.is_true(os.execute(("stty cols 24 rows 6 <%s"):format(name)))
    process:wait_for("\27[J", "out")
    assert.are.equal(0, run("promise", "resolve", "w:a-name-of-some-length.1", '"now"').code)
    process:wait()
    assert.are.equal(0, process.code)
    local shown = screen(process.out:sub(before + 1), 24, 6)
    assert_tidy(shown)
    assert.matches("\nw  waits  resolved", "\n" .. shown:text())
    for i = 1, #shown.lines do assert.is_true(select(2, shown:line(i)) <= 24) end
  end)

  it("lets no name and no word tear it apart", function()
    local nasty = place:write("nasty.lua", NASTY)
    for _, columns in ipairs({ 30, 61 }) do
      local id = "日本語-" .. columns
      local process = on_terminal({ "run", nasty, "--id", id }, { columns = columns, rows = 20 })
      process:wait_for("rejected", "out"):wait_for("suspended", "out")
      process:type("\3"):wait()
      assert.are.equal(130, process.code, process.out)
      local shown = screen((process.out:gsub("%^C", "")), columns, 20) -- raises for any code but the view's own
      assert_tidy(shown)
      local text = shown:text()
      assert.matches("cleared?[2J?[H green ?]0;title? tab", (text:gsub("\n", "")), 1, true)
      assert.is_nil(text:find("10%", 1, true))
      assert.is_nil(text:find("\255", 1, true))
      for i = 1, #shown.lines do assert.is_true(select(2, shown:line(i)) <= columns) end
    end
  end)

  it("honours NO_COLOR, TERM=dumb, no TERM and --quiet", function()
    local words = { "run", script, "talks", "--id", "t" }
    local size = { columns = 60, rows = 20 }
    assert.matches("\27[32mresolved", on_terminal(words, size):wait().out, 1, true)
    words[5] = "u"
    local plain = on_terminal(words, size, { NO_COLOR = "1" }):wait().out
    assert.is_nil(plain:find("\27%[[%d]*m"))
    assert.matches("\27[J", plain, 1, true)
    for id, pty in pairs({
      dumb = { columns = 60, rows = 20, term = "dumb" },
      unset = { columns = 60, rows = 20, line = "unset TERM" },
      empty = { columns = 60, rows = 20, line = "TERM=" },
    }) do
      words[5] = id
      local dumb = on_terminal(words, pty):wait().out
      assert.is_nil(dumb:find("\27", 1, true))
      assert.matches(id .. " started\r\n", dumb, 1, true)
      assert.matches('\r\n"the result"\r\n', dumb, 1, true)
    end
    words[5], words[6] = "x", "--quiet"
    assert.are.equal('from the workflow\r\nfrom the step\r\n"the result"\r\n', on_terminal(words, size):wait().out)
  end)

  it("shows a follower the same tree, and who runs it", function()
    local process = cli.holder("w")
    local follower = on_terminal({ "run", script, "waits", "--id", "w" }, { columns = 70, rows = 20 })
    follower:wait_for("→ w:p.1", "out")
    cli.release(process, "w")
    follower:wait()
    local shown = screen(follower.out, 70, 20)
    assert_tidy(shown)
    local text = shown:text()
    assert.matches("\nprocess " .. process.pid .. " holds the store; following it there\n", text, 1, true)
    assert.matches("\nw  waits  resolved [%d.]+ m?s\n  p%.1  resolved[^\n]*\n\"released\"\n$", text)
  end)
end)
