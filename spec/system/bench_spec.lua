-- bench_spec.lua - the benches can be run: every row yields a figure, and what they preload is a sound store.
--
-- How large a figure is says nothing here: the sizes are tiny and the machine is busy.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")

local build = "build/" .. (os.getenv("DA_PRESET") or "dev")

-- What a shell command prints on both of its channels, and its exit code.
local function sh(command)
  local pipe = assert(io.popen(command .. ' 2>&1; echo "exit=$?"'))
  local text = pipe:read("a")
  pipe:close()
  return text:match("^(.*)exit=(%d+)\n$")
end

describe("the benches", function()
  local place

  before_each(function() place = assert(uv.fs_mkdtemp("/tmp/dahost-bench-XXXXXX")) end)
  after_each(function() os.execute("rm -rf " .. place) end)

  it("yield a figure for every row they list", function()
    local list = sh("lua5.4 spec/bench/rows.lua --list")
    local out, code = sh(("lua5.4 spec/bench/rows.lua --quick --build %s --dir %s"):format(build, place))
    assert.equal("0", code, out)
    local rows = 0
    for name in list:gmatch("([%w-]+)[^\n]*\n") do
      local line = out:match("\n(| " .. name:gsub("%-", "%%-") .. " |[^\n]*)")
      assert.is_truthy(line, "no row " .. name .. " in\n" .. out)
      local value = line:match("^|[^|]*|[^|]*|[^|]*|[^|]*| (-?%d[^|]*) |[^|]*|[^|]*|$")
      assert.is_truthy(value or line:find("built without SQLite", 1, true), line)
      rows = rows + 1
    end
    assert.is_true(rows >= 20, rows .. " rows")
    assert.same({}, uv.fs_scandir_next(uv.fs_scandir(place)) or {}, "something was left behind")
  end)

  it("measure only the rows that are asked for, and name one that does not exist", function()
    local out, code = sh(("lua5.4 spec/bench/rows.lua --quick --build %s --dir %s size"):format(build, place))
    assert.equal("0", code, out)
    assert.is_truthy(out:find("\n| size |", 1, true), out)
    assert.is_nil(out:find("\n| step |", 1, true), out)
    out, code = sh("lua5.4 spec/bench/rows.lua --build " .. build .. " sise")
    assert.equal("1", code)
    assert.is_truthy(out:find("no row sise; --list names them", 1, true), out)
  end)

  for name, count in pairs { retain = 400, sleepers = 50 } do
    it("preload a store that is whole: " .. name, function()
      local out, code = sh(("%s/da_bench %s %s spec/bench/bench.lua %d"):format(build, name, place, count))
      assert.equal("0", code, out)
      assert.is_true(tonumber(out:match("records=(%d+)")) >= count, out)
      local store = name == "retain" and "retained" or name
      out, code = sh(("%s/dahost verify --data %s/%s"):format(build, place, store))
      assert.equal("0", code, out)
    end)
  end

  it("preload sleepers that wake", function()
    local out, code = sh(("%s/da_bench sleepers %s spec/bench/bench.lua 20"):format(build, place))
    assert.equal("0", code, out)
    out, code = sh(("DAHOST_TIME_FACTOR=1000000 %s/dahost run spec/bench/bench.lua sleeper --id sleepers-20 --data %s/sleepers")
      :format(build, place))
    assert.equal("0", code, out)
    assert.is_truthy(out:find("true\n$"), out)
  end)
end)
