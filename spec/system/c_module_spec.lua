-- c_module_spec.lua - C modules in step states: the program shows them Lua's functions, and nothing of its own.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  pipe:close()
  return text
end

describe("the program", function()
  it("lets a step use a module written in C", function()
    local result = script.run { script = [[
      local da = require "da"
      function da.step.kind(path) return require("lfs").attributes(path, "mode") end
      function da.async.main() return da.await(da.step.kind "/tmp") end
    ]] }
    assert.equal(0, result.code, result.err)
    assert.equal('"directory"\n', result.out)
  end)

  it("lets steps keep a database, which knows a repetition by the id of the step", function()
    local place = harness.place()
    local life = { place = place, keep = true, func = "main", args = { place.dir .. "/ledger.db" }, script = [[
      local da = require "da"
      local await, step = da.await, da.step
      local function database(path)
        return assert(require("luasql.sqlite3").sqlite3():connect(path))
      end
      function step.book(path, cents)
        local db <close> = setmetatable({ db = database(path) }, { __close = function(self) self.db:close() end })
        assert(db.db:execute "CREATE TABLE IF NOT EXISTS booking (id TEXT PRIMARY KEY, cents INTEGER)")
        assert(db.db:execute(("INSERT OR IGNORE INTO booking VALUES ('%s', %d)"):format(db.db:escape(da.id()), cents)))
        if cents == 200 and not io.open(path .. ".died") then -- booked, and not recorded
          io.open(path .. ".died", "w"):close()
          os.execute "kill -9 $PPID"
          os.execute "sleep 5"
        end
      end
      function step.total(path)
        local db = database(path)
        local cursor = assert(db:execute "SELECT count(*), sum(cents) FROM booking")
        local count, sum = cursor:fetch()
        cursor:close()
        db:close()
        return math.tointeger(count), math.tointeger(sum)
      end
      function da.async.main(path)
        for i = 1, 3 do await(step.book(path, i * 100)) end
        return await(step.total(path))
      end]] }
    assert.equal(9, script.run(life).signal)
    local result = script.run(life)
    assert.equal("[3,600]\n", result.out, result.err)
    harness.remove(place)
  end)

  it("shows every function of Lua's API and auxiliary library, and no other", function()
    local shown, count = {}, 0
    for name in output("nm -D --defined-only " .. os.getenv "DAHOST_BIN"):gmatch("%x+ T ([%w_]+)") do shown[name] = true end
    local headers = output("dir=$(pkg-config --variable=includedir lua5.4)/lua5.4; cat $dir/lua.h $dir/lauxlib.h")
    for name in headers:gmatch("%(%s*(luaL?_%w+)%s*%)%s*%(") do
      if headers:find("LUA%a*_API[^;#]-%(%s*" .. name .. "%s*%)%s*%(") then
        assert.is_true(shown[name], name .. " is hidden from C modules")
        count = count + 1
      end
    end
    assert.is_true(count >= 120, count .. " functions found in the headers")
    for name in pairs(shown) do
      for _, prefix in ipairs { "da_", "cli_", "bind_", "uv_", "mdb_", "cJSON" } do
        assert.is_nil(name:find("^" .. prefix), name .. " is shown")
      end
    end
  end)
end)
