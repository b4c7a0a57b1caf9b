-- library_spec.lua - what `cmake --install` leaves is enough to build a program that embeds dahost, both ways.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local uv = require("luv")

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

  local function run(name)
    return sh(("LD_LIBRARY_PATH=%s/lib %s/%s %s/%s-store %s/s.lua embedded main"):format(root, place.dir, name, place.dir, name,
      place.dir))
  end

  for _, package in ipairs { "dahost", "dahost-static" } do
    it("runs a workflow in a program that pkg-config names " .. package .. " to", function()
      sh(("export PKG_CONFIG_PATH=%s/lib/pkgconfig; cc -std=c11 $(pkg-config --cflags %s) -o %s/%s spec/native/embed.c " ..
        "$(pkg-config --libs %s)"):format(root, package, place.dir, package, package))
      assert.are.equal("resolved 42\n", run(package))
    end)
  end

  it("runs a workflow in programs that CMake finds it for, shared and static", function()
    local source = place.dir .. "/outside"
    sh("mkdir -p " .. source)
    local file = assert(io.open(source .. "/CMakeLists.txt", "w"))
    file:write(([[
      cmake_minimum_required(VERSION 3.20)
      project(outside C)
      find_package(dahost REQUIRED)
      add_executable(cmake-shared %s/spec/native/embed.c)
      target_link_libraries(cmake-shared dahost::dahost)
      add_executable(cmake-static %s/spec/native/embed.c)
      target_link_libraries(cmake-static dahost::static)
    ]]):format(uv.cwd(), uv.cwd()))
    file:close()
    sh(("cmake -G Ninja -S %s -B %s -DCMAKE_PREFIX_PATH=%s -DCMAKE_RUNTIME_OUTPUT_DIRECTORY=%s && ninja -C %s"):format(source,
      source .. "/build", root, place.dir, source .. "/build"))
    assert.are.equal("resolved 42\n", run "cmake-shared")
    assert.are.equal("resolved 42\n", run "cmake-static")
  end)

  it("shows what dahost.h declares, and nothing else", function()
    local header, shown = assert(io.open("bindings/dahost.h")):read("a"), {}
    for name in sh(("nm -D --defined-only %s/lib/libdahost.so"):format(root)):gmatch("%x+ [TDBR] ([%w_]+)") do
      shown[name] = true
      assert.is_truthy(header:find("%f[%w_]" .. name .. "%("), name .. " is shown and not in dahost.h")
    end
    for name in header:gsub("/%*.-%*/", ""):gmatch("(dahost_[%w_]+)%([^)]") do
      assert.is_true(shown[name] or name == "dahost_fn", name .. " is in dahost.h and not shown")
    end
  end)

  it("has a program beside it that says its version", function()
    assert.is_truthy(sh(root .. "/bin/dahost version"):find("dahost", 1, true))
  end)
end)
