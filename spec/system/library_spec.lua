-- library_spec.lua - what `cmake --install` leaves is enough to build a program that embeds dahost, both ways.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")

local build = assert(os.getenv("DAHOST_BIN")):match("^(.*)/[^/]*$")

local function sh(command)
  local pipe = io.popen("(" .. command .. ") 2>&1; echo \"exit $?\"")
  local text = pipe:read("a")
  pipe:close()
  local code = tonumber(text:match("exit (%d+)\n$"))
  assert(code == 0, command .. "\n" .. text)
  return (text:gsub("exit %d+\n$", ""))
end

describe("an installed libdahost", function()
  if harness.sanitized then
    pending("the program outside would have to be built with the sanitizer too")
    return
  end

  local place, root

  setup(function()
    place = harness.place()
    root = place.dir .. "/root"
    sh(("cmake --install %s --prefix %s"):format(build, root))
    local file = io.open(place.dir .. "/s.lua", "w")
    file:write([[
      local da = require "da"
      function da.step.add(a, b) return a + b end
      function da.async.main() da.await(da.sleep(0.01)); return da.await(da.step.add(20, 22)) end
    ]])
    file:close()
  end)

  teardown(function() harness.remove(place) end)

  local function embed(name, link)
    local program = place.dir .. "/" .. name
    sh(("cc -std=c11 -D_GNU_SOURCE -I%s/include $(pkg-config --cflags lua5.4) -o %s spec/system/embed.c %s"):format(root, program, link))
    return sh(("LD_LIBRARY_PATH=%s/lib %s %s/%s-store %s/s.lua"):format(root, program, place.dir, name, place.dir))
  end

  it("runs a workflow when it is shared", function()
    assert.are.equal("resolved 42\n", embed("shared", ("-L%s/lib -ldahost -llua5.4"):format(root)))
  end)

  it("runs a workflow when it is static, with static Lua at a fixed address", function()
    local libraries = "$(pkg-config --variable=libdir lua5.4)/liblua5.4.a -llmdb -luv -lcjson -lxxhash -lm -ldl -lpthread"
    assert.are.equal("resolved 42\n", embed("static",
      ("-no-pie -Wl,--wrap=luaS_hash -Wl,--whole-archive %s/lib/libdahost.a -Wl,--no-whole-archive %s"):format(root, libraries)))
  end)

  it("has a program beside it that says its version", function()
    assert.is_truthy(sh(root .. "/bin/dahost version"):find("dahost", 1, true))
  end)
end)
