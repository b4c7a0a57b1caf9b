-- faults_spec.lua - planted faults: the random run finds each of them, and soon.
--
-- The probe is compiled again for each fault, from the sources as they are with one line changed.
--
-- SPDX-License-Identifier: Apache-2.0
local faults = require("spec.support.faults")
local lockstep = require("spec.support.lockstep")
local uv = require("luv")

local OPS_MAX = 20000
local SCHEDULE_OPS_MAX = 5000

local root = uv.cwd()
local seed = lockstep.seed()

local function sh(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1"))
  local out = pipe:read("a")
  local ok = pipe:close()
  return ok, out
end

local function must(command)
  local ok, out = sh(command)
  assert(ok, command .. "\n" .. out)
  return out
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- Where `text` is in `whole`; it must be there once.
local function only_place(whole, text)
  local from, to = whole:find(text, 1, true)
  assert(from, "not there: " .. text)
  assert(not whole:find(text, to + 1, true), "there twice: " .. text)
  return from, to
end

describe("planted faults", function()
  local folder
  local cc = os.getenv("CC") or "cc"
  local flags = ("-std=c11 -D_GNU_SOURCE -DDA_PROBE_WITHOUT_NET -O1 -fPIC -w -I%s/host/engine"):format(root)
  local libraries

  local function link(out, first)
    must(("%s -shared -o %s/%s %s %s/*.o %s"):format(cc, folder, out, first, folder, libraries))
  end

  setup(function()
    folder = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/da-faults-XXXXXX"))
    flags = flags .. " " .. must("pkg-config --cflags lua5.4 lmdb libxxhash libcjson"):gsub("\n", "")
    libraries = must("pkg-config --libs lmdb libxxhash libcjson"):gsub("\n", "") .. " -lpthread"
    local sources = "host/base/*.c host/engine/*.c host/store/*.c bindings/bind_probe.c"
    for part in ("base check image queue raw read show store"):gmatch("%l+") do -- without the net
      sources = ("%s bindings/bind_probe_%s.c"):format(sources, part)
    end
    must(([[cd %s && ls %s | xargs -P 2 -I @@ sh -c '%s %s -c @@ -o %s/$(echo @@ | tr / _).o']]):format(
      root, sources, cc, flags, folder))
  end)

  teardown(function()
    if folder then sh("rm -rf " .. folder) end
  end)

  -- The run's last words against the probe of that name.
  local function run(name, kind)
    local _, out = sh(("cd %s && lua5.4 spec/support/faults_run.lua %s/%s %d %d %s"):format(root, folder, name, seed,
      kind == "schedule" and SCHEDULE_OPS_MAX or OPS_MAX, kind or ""))
    return out
  end

  it("are not found where there are none", function()
    link("sound.so", "")
    local out = run("sound.so")
    assert.truthy(out:find("^same"), ("seed %d: %s"):format(seed, out))
  end)

  for i, fault in ipairs(faults) do
    it("are found: " .. fault.words, function()
      local text = read(root .. "/host/engine/" .. fault.file)
      local from, to = only_place(text, fault.from)
      local source = ("%s/fault%d.c"):format(folder, i)
      write(source, text:sub(1, from - 1) .. fault.to .. text:sub(to + 1))
      local object = ("%s/host_engine_%s.o"):format(folder, fault.file)
      local sound = object .. ".sound"
      assert(os.rename(object, sound))
      local ok, why = pcall(function()
        must(("%s %s -c %s -o %s"):format(cc, flags, source, object))
        link(("fault%d.so"):format(i), "")
      end)
      os.remove(object)
      assert(os.rename(sound, object))
      assert(ok, why)
      local out = run(("fault%d.so"):format(i), fault.run)
      assert.truthy(out:find("^different"), ("seed %d: %s"):format(seed, out))
      print(("  found at request %s: %s"):format(out:match("^different (%d+)") or "?", fault.words))
    end)
  end
end)
