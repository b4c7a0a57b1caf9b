-- docs_spec.lua - what README.md and lua/README.md say is so: their scripts run, their verbs and functions exist.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

local function blocks(text)
  local list = {}
  for block in text:gmatch("\n```lua\n(.-)\n```") do list[#list + 1] = block end
  return list
end

local function run(block, func, args)
  return script.run { script = block, func = func, args = args }
end

describe("README.md", function()
  local text = read("README.md")

  it("begins with the two commands", function()
    assert.is_truthy(text:find("\n    sh examples/run ", 1, true))
    assert.is_truthy(text:find("\n    sh spec/run ", 1, true))
    assert.is_true(text:find("sh examples/run", 1, true) < text:find("\n## ", 1, true))
  end)

  it("shows a first workflow that prints what it says", function()
    local result = run(blocks(text)[1], "foo", { "world" })
    local shown = text:match("%$ dahost run hello.lua foo world\n(.-)\n\n")
    local lines = {}
    for line in shown:gmatch("[^\n]+") do lines[#lines + 1] = line:match("^%s*(.*)$") end
    assert.are.equal(4, #lines)
    assert.are.equal(lines[4] .. "\n", result.out)
    assert.is_truthy(result.err:find(lines[2] .. "\n", 1, true), result.err)
    assert.is_truthy(result.err:find(lines[3] .. "\n", 1, true), result.err)
  end)

  it("holds Lua that compiles", function()
    for i, block in ipairs(blocks(text)) do assert(load("local da, step, async, await\n" .. block, "README block " .. i)) end
  end)

  -- What each command of the table does when it is typed, at a place where `wf.lua` and an execution `order-7` are that
  -- waits for order-7:approval.1. The words behind `dahost`, and what must come of them.
  local TYPED = {
    ["run FILE [FUNCTION] [ARGS...]"] = { "run wf.lua double 4 --id d", "8\n" },
    ["serve [[GROUP=]FILE...]"] = { "serve wf.lua", "" },
    ["start FILE [FUNCTION] [ARGS...]"] = { "start wf.lua double 4 --id s", "s\n" },
    ["resume [ID...\\|--all]"] = { "resume d", "8\n" },
    ["ps"] = { "ps --json", '"id":"order-7"' },
    ["tree ID"] = { "tree order-7", "approval.1  pending" },
    ["get ID"] = { "get d", "value     8\n" },
    ["promise create\\|get\\|resolve\\|reject\\|cancel ID"] = {
      "promise create p", "pending", "promise get p", "pending", "promise resolve p 1", "resolved",
      "promise create q", "pending", "promise reject q no", "rejected", "promise create r", "pending",
      "promise cancel r", "canceled",
    },
    ["promise search [PREFIX]"] = { "promise search order- --tag phase=waiting", "order-7  pending    workflow order" },
    ["schedule create\\|get\\|delete\\|search\\|next"] = {
      "schedule create n @daily double 4", "function  double", "schedule get n", "catch up  all", "schedule search",
      "@daily",
      "schedule delete n", "args      [4]", "schedule next @daily --limit 1", " 00:00:00+00:00 ",
    },
    ["migrate ID FILE"] = { "migrate order-7 new.lua --dry-run", "would wait, waiting for order-7:approval.1",
      "migrate order-7 new.lua", "kind      workflow" },
    ["send CHANNEL JSON"] = { "send order-7/in 1 --json", '"messages":1' },
    ["queue [NAME]"] = { "queue", "order-7/in  channel    1 message", "queue order-7/in", "message  1" },
    ["cancel ID [WHY]"] = { "cancel order-7 enough", "order-7", "cancel order-7 --hard", "completed, canceled" },
    ["continue ID"] = { "continue parks", "running", "resume parks", "" },
    ["repl [FILE]"] = { "repl wf.lua", "" },
    ["check FILE..."] = { "check fine.lua", "" },
    ["stubs [GROUP=]FILE..."] = { "stubs wf.lua", "---@field double da.Function|fun(n: any)" },
    ["test FILE..."] = { "test t.lua -- -o plainTerminal", "1 success " },
    ["get ID --history"] = { "get order-7 --history", '{"dahost_history":1,"id":"order-7",' },
    ["replay HISTORY FILE"] = { "replay h.json new.lua", "order-7  order  fits: 1 recorded call" },
    ["verify"] = { "verify", "" },
    ["version"] = { "version", "dahost " },
    ["help"] = { "help", "usage: dahost VERB" },
  }
  local ORDER = { "run FILE [FUNCTION] [ARGS...]", "serve [[GROUP=]FILE...]", "start FILE [FUNCTION] [ARGS...]",
    "resume [ID...\\|--all]", "ps",
    "tree ID", "get ID", "promise create\\|get\\|resolve\\|reject\\|cancel ID", "promise search [PREFIX]",
    "schedule create\\|get\\|delete\\|search\\|next",
    "migrate ID FILE", "send CHANNEL JSON", "queue [NAME]", "cancel ID [WHY]",
    "continue ID", "repl [FILE]", "check FILE...", "stubs [GROUP=]FILE...", "verify", "version", "help",
    "test FILE...", "get ID --history", "replay HISTORY FILE" }

  it("lists commands that do what they say", function()
    local section = text:match("\n## Command line\n(.-)\n## ")
    local named = {}
    for command in section:gmatch("`dahost ([^`]+)`") do named[command] = true end
    for command in pairs(named) do assert.is_truthy(TYPED[command], "no spec types `dahost " .. command .. "`") end
    local place = harness.place()
    local wf = [=[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function async.double(n) return 2 * n end
function async.order() da.publish("phase", "waiting") return await(da.promise("approval")) end
function step.f(n) return n end
function async.parks()
  local n = 0
  await(step("count", function() n = n + 1 end))
  await(step.f(n))
  await(da.sleep(0.3))
  return n
end]=]
    local function write(name, code)
      local file = assert(io.open(place.dir .. "/" .. name, "w"))
      file:write(code)
      file:close()
    end
    for name, code in pairs { ["wf.lua"] = wf, ["new.lua"] = wf .. "\n-- the same, but for this line\n",
      ["fine.lua"] = wf:gsub("n = n %+ 1", "return n + 1") } do
      write(name, code)
    end
    write("t.lua", 'local t = require "da.test" it("doubles", function() ' ..
      'assert.equal(8, t.run(t.script("wf.lua").double, { 4 }).value) end)')
    local function typed(line)
      local words = {}
      for word in line:gmatch("%S+") do words[#words + 1] = word:find("%.%l+$") and place.dir .. "/" .. word or word end
      local env = { DAHOST_DATA = place.data, DAHOST_WARM = "0" }
      local process
      process = harness.spawn(words, { env = env, on_line = function(said)
        if said:find("^serving ") then require("luv").kill(process.pid, "sigterm") end
      end })
      return harness.wait(process)
    end
    assert.are.equal(3, typed("run wf.lua parks --id parks").code)
    local order = harness.spawn({ "run", place.dir .. "/wf.lua", "order", "--id", "order-7", "--data", place.data })
    while typed("get order-7:approval.1").code ~= 0 do assert.is_nil(order.ended) end
    require("luv").kill(order.pid, "sigkill")
    harness.wait(order)
    write("h.json", typed("get order-7 --history").out)
    for _, command in ipairs(ORDER) do
      assert.is_true(named[command], "`dahost " .. command .. "` is not in the table")
      local steps = TYPED[command]
      for i = 1, #steps, 2 do
        local got = typed(steps[i])
        assert.are.equal(steps[i] == "resume parks" and 3 or 0, got.code, steps[i] .. ": " .. got.err)
        assert.is_truthy(got.out:find(steps[i + 1], 1, true), steps[i] .. ": " .. got.out)
      end
    end
    harness.remove(place)
  end)

  it("names flags and exit codes that exist", function()
    local section = text:match("\n## Command line\n(.-)\n## ")
    local help = harness.dahost({ "help" }).out
    for verb in help:gmatch("\n  (%l+) ") do help = help .. harness.dahost({ verb, "--help" }).out end
    for flag in section:gmatch("%-%-%l[%l-]+") do
      assert.is_truthy(help:find(flag, 1, true), flag .. " is described but does not exist")
    end
    local codes = harness.dahost({ "run", "--help" }).out:match("Exit code: (.-)\n\n")
    for code in section:match("Exit codes of `run`: (.-)%(Ctrl"):gmatch("%d+") do
      assert.is_truthy(codes:find("%f[%d]" .. code .. "%f[%D]"), "exit code " .. code .. " is not in the help")
    end
  end)

  it("names verbs that exist", function()
    local seen = 0
    for verb in text:gmatch("`dahost ([a-z]+)") do
      local result = harness.dahost { verb, "--help" }
      assert.are.equal(0, result.code, verb .. ": " .. result.err)
      seen = seen + 1
    end
    assert.is_true(seen >= 12)
  end)
end)

describe("host/ARCHITECTURE.md", function()
  local text = read("host/ARCHITECTURE.md")

  local function sources()
    local pipe = io.popen("cat host/*/*.[ch] bindings/*.[ch] lua/da/*.lua")
    local all = pipe:read("a")
    pipe:close()
    return all
  end

  it("names functions that exist", function()
    local all, seen = sources(), 0
    for name in text:gmatch("`([%a_]+)%(%)`") do
      assert.is_truthy(all:find("%f[%w_]" .. name .. "%("), name .. "() is described but does not exist")
      seen = seen + 1
    end
    assert.is_true(seen >= 20)
  end)

  it("names files that exist", function()
    for name in text:gmatch("`([%w_/]+%.[chlua]+)`") do
      local pipe = io.popen("find . -path ./build -prune -o -path '*/" .. name .. "' -print")
      local found = pipe:read("a")
      pipe:close()
      assert.is_true(found ~= "", name .. " is described but does not exist")
    end
  end)
end)

describe("lua/README.md", function()
  local text = read("lua/README.md")

  it("begins with a script that runs", function()
    local result = run(blocks(text)[1], "bill", { '["tea","cake"]' })
    assert.are.equal("8\n", result.out, result.err)
  end)

  it("names functions of da that exist, and leaves none out", function()
    local code = [[
      local da = require "da"
      function da.step.names() local list = {} for k in pairs(da) do list[#list + 1] = k end return list end
      function da.async.main()
        local all = {}
        for k in pairs(da) do all[k] = true end
        for _, k in ipairs(da.await(da.step.names())) do all[k] = true end
        local list = {}
        for k in pairs(all) do list[#list + 1] = k end
        return table.concat(list, " ")
      end]]
    local result = script.run { script = code }
    assert.are.equal(0, result.code, result.err)
    local exists, named = {}, {}
    for name in result.out:gmatch("[%a_]+") do exists[name] = true end
    for name in text:gmatch("da%.([%a_]+)") do named[name] = true end
    for _, name in ipairs { "async", "await", "step", "pawait" } do named[name] = true end
    named.Error, named.test = nil, nil -- a metatable, a module
    for name in pairs(named) do assert.is_true(exists[name], "da." .. name .. " is described but does not exist") end
    for name in pairs(exists) do
      if name ~= "_VERSION" then assert.is_true(named[name], "da." .. name .. " is not described") end
    end
  end)
end)
