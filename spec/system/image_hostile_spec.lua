-- image_hostile_spec.lua - whatever is done to an image, to its key or to the program: the records hold all.
--
-- One script, many executions of it that wait for one promise, each with an image in the store. While no process holds
-- the store the images are damaged, or their key, or another build comes; then all go on. Each has to end with the
-- right result, each step to have run once, and of those that were damaged none may have been restored.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local probe = require("da_probe")
local harness = require("spec.support.harness")

local SCRIPT = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step

function step.note(n)
  local file <close> = io.open(os.getenv "LEDGER", "a")
  file:write(da.id(), "\n")
  return n
end

function async.one(i)
  local sum = await(step.note(i)) + await(step.note(1))
  await(da.get "gate")
  return sum + await(step.note(1))
end

function async.all(n)
  for i = 1, n do async.one:detach(i) end
end

-- Waits in its first generation for one promise, in its second for another.
function async.twice(n)
  await(step.note(n))
  await(da.get(n == 1 and "gate" or "gate2"))
  if n == 1 then return da.again(2) end
  return n + await(step.note(1))
end
]]

local env_of = function(place, extra)
  local env = { DAHOST_DATA = place.data, LEDGER = place.ledger, DAHOST_QUIET = "1", DAHOST_LOG = "debug", DAHOST_WARM = "0",
    DAHOST_IMAGES = "true", DAHOST_IMAGE_AFTER = "0", DAHOST_LISTEN = "none" }
  for k, v in pairs(extra or {}) do env[k] = v end
  return env
end

local function must(place, ...)
  local done = harness.dahost({ ... }, { env = env_of(place) })
  assert(done.code == 0 and done.signal == 0, done.err)
  return done
end

-- What the program says of images: id -> true, id -> why.
local function told(text)
  local says = { taken = {}, restored = {}, refused = {}, taken_count = 0, restored_count = 0, refused_count = 0 }
  for what, id, more in text:gmatch("debug image%.(%l+) id=(%S+)([^\n]*)") do
    if not says[what][id] then says[what .. "_count"] = says[what .. "_count"] + 1 end
    says[what][id] = more:match("why=(%l+)") or true
  end
  return says
end

local places = {}

-- Serves until `count` images are kept; `ask` are the arguments of what is started, if anything.
local function serve_until_imaged(place, count, ask)
  local seen, listening = 0, false
  local server
  server = harness.spawn({ "serve" }, { env = env_of(place, { DAHOST_QUIET = "false" }), on_line = function(line)
    listening = listening or line:find("^serving ") ~= nil
    if line:find("image.taken", 1, true) then seen = seen + 1 end
  end })
  while not listening and not server.ended do uv.run("once") end
  if ask then must(place, "start", place.dir .. "/s.lua", table.unpack(ask)) end
  while seen < count and not server.ended do uv.run("once") end
  must(place, "promise", "get", "gate") -- answered behind what is on its way to the store
  if not server.ended then uv.kill(server.pid, "sigterm") end
  harness.wait(server)
  assert.equal(0, server.code, server.err)
  assert.equal(0, server.signal, server.err)
end

-- A place where n executions wait, each with an image, and what they wait for has come.
local function suspended(n)
  local place = harness.place(true)
  places[#places + 1] = place
  local file <close> = assert(io.open(place.dir .. "/s.lua", "w"))
  file:write(SCRIPT)
  file:close()
  must(place, "promise", "create", "gate")
  serve_until_imaged(place, n, { "all", tostring(n), "--id", "x" })
  must(place, "promise", "resolve", "gate", "1")
  return place
end

-- Opens the store and gives it to body, as one batch.
local function edit(place, body)
  local w = assert(probe.new({ kind = "lmdb", path = place.data }))
  assert(w:begin())
  body(w)
  assert(w:commit())
  w:close()
end

local function id_of(i) return "x~one." .. i end

-- Goes on with all; returns what was told of images.
local function go_on(place, n, program)
  local done = harness.dahost({ "resume", "--all" }, { env = env_of(place), program = program })
  assert(done.code == 0 and done.signal == 0, ("code %s, signal %s\n%s"):format(done.code, done.signal, done.err:sub(-4000)))
  local results, count = {}, 0
  for id, state, value in done.out:gmatch('{"id":"([^"]+)","state":"(%l+)","value":([^}]+)}') do
    results[id] = state .. " " .. value
    count = count + 1
  end
  assert.equal(n, count)
  for i = 1, n do assert.equal("resolved " .. i + 2, results[id_of(i)], id_of(i)) end
  local runs = harness.ledger_of_ids(place)
  for i = 1, n do
    for k = 1, 3 do assert.equal(1, runs[("%s:note.%d"):format(id_of(i), k)], id_of(i) .. ", step " .. k) end
  end
  assert.equal("", (must(place, "verify").out:gsub("^[^\n]* is whole\n$", "")))
  return told(done.err)
end

-- All of them were refused for this reason and none restored.
local function all_refused(says, n, why)
  assert.equal(0, says.restored_count)
  assert.equal(n, says.refused_count)
  for i = 1, n do assert.equal(why, says.refused[id_of(i)], id_of(i)) end
end

local function write(path, bytes)
  local file <close> = assert(io.open(path, "wb"))
  file:write(bytes)
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

local function mode(path) return assert(uv.fs_lstat(path)).mode & 0xfff end

local function flip(bytes, at, mask) return bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ mask) .. bytes:sub(at + 1) end

local FEW = 12

describe("an image", function()
  after_each(function()
    for _, place in ipairs(places) do harness.remove(place) end
    places = {}
  end)

  it("that nobody touched is restored", function()
    local says = go_on(suspended(FEW), FEW)
    assert.equal(FEW, says.restored_count)
    assert.equal(0, says.refused_count)
  end)

  it("is refused whichever of its bytes is flipped", function()
    local longest = 0
    edit(suspended(FEW), function(w)
      for i = 1, FEW do longest = math.max(longest, #w:image_get(id_of(i))) end
    end)
    local n = harness.sanitized and 150 or longest + 50
    local place = suspended(n)
    local flipped, last = {}, 0
    edit(place, function(w)
      for i = 1, n do
        local bytes, reach = w:image_get(id_of(i))
        local at = harness.sanitized and 1 + (i - 1) * #bytes // n or i
        if at > #bytes then at = #bytes - i % 40 end -- those are more than one has bytes
        flipped[at] = true
        last = math.max(last, #bytes)
        assert(w:image_put(id_of(i), flip(bytes, at, 1 << i % 8), reach))
      end
    end)
    if not harness.sanitized then
      for at = 1, last - 40 do assert.is_true(flipped[at], "byte " .. at) end
    end
    all_refused(go_on(place, n), n, "seal")
  end)

  it("is refused when it is cut short or drawn out", function()
    local place = suspended(30)
    local why = {}
    edit(place, function(w)
      for i = 1, 30 do
        local bytes, reach = w:image_get(id_of(i))
        local len = 1 + (i - 1) * 97
        assert(w:image_put(id_of(i), len <= #bytes - 1 and bytes:sub(1, len) or bytes .. ("\0"):rep(i), reach))
        why[i] = len < 32 + 4 + 3 * 16 + 6 * 4 and "damaged" or "seal"
      end
    end)
    local says = go_on(place, 30)
    assert.equal(0, says.restored_count)
    for i = 1, 30 do assert.equal(why[i], says.refused[id_of(i)], id_of(i)) end
  end)

  it("is refused when a piece is empty or gone, or its head makes no sense", function()
    local place = suspended(FEW)
    edit(place, function(w)
      local rows = w:rows("image")
      assert.equal(2 * FEW, #rows) -- a head and a piece each
      for i = 1, FEW do
        local head, piece = rows[2 * i - 1], rows[2 * i]
        if i % 6 == 0 then
          w:poke("image", piece[1], "")
        elseif i % 6 == 1 then
          w:poke("image", piece[1], nil)
        elseif i % 6 == 2 then
          w:poke("image", head[1], ("\255"):rep(12))
        elseif i % 6 == 3 then
          w:poke("image", head[1], ("\0"):rep(12))
        elseif i % 6 == 4 then
          w:poke("image", head[1], flip(head[2], 6, 1)) -- a reach that no search would get to
        else
          w:poke("image", head[1], flip(head[2], 2, 1)) -- longer by 65536 bytes
        end
      end
    end)
    all_refused(go_on(place, FEW), FEW, "damaged")
  end)

  it("is refused when it is another execution's", function()
    local place = suspended(FEW)
    edit(place, function(w)
      local bytes, reach = {}, {}
      for i = 1, FEW do bytes[i], reach[i] = w:image_get(id_of(i)) end
      for i = 1, FEW do assert(w:image_put(id_of(i), bytes[i % FEW + 1], reach[i])) end
    end)
    all_refused(go_on(place, FEW), FEW, "seal")
  end)

  it("is not restored in another generation of its execution", function()
    local place = harness.place(true)
    places[#places + 1] = place
    write(place.dir .. "/s.lua", SCRIPT)
    must(place, "promise", "create", "gate")
    must(place, "promise", "create", "gate2")
    serve_until_imaged(place, 1, { "twice", "1", "--id", "x" })
    local first, reach
    edit(place, function(w) first, reach = w:image_get("x") end)
    must(place, "promise", "resolve", "gate", "1")
    serve_until_imaged(place, 1)
    edit(place, function(w)
      assert.are_not.equal(first, (w:image_get("x")))
      assert(w:image_put("x", first, reach))
    end)
    must(place, "promise", "resolve", "gate2", "1")
    local done = must(place, "resume", "x")
    assert.equal("3\n", done.out)
    assert.equal(0, told(done.err).restored_count)
    assert.same({ ["x:note.1"] = 1, ["x:~2.note.1"] = 1, ["x:~2.note.2"] = 1 }, harness.ledger_of_ids(place))
  end)

  describe("is refused when its key", function()
    local function with_key(change)
      local place = suspended(FEW)
      local path = place.data .. "/image.key"
      local key = read(path)
      assert.equal(32, #key)
      assert.equal(384, mode(path)) -- 0600
      change(path, key)
      local says = go_on(place, FEW)
      all_refused(says, FEW, "seal")
      return place, path, key
    end

    -- What was imaged under a key that was made anew is restored under it.
    local function is_anew(path, key)
      assert.equal(32, #read(path))
      assert.equal(384, mode(path))
      assert.are_not.equal(key, read(path))
    end

    it("is another", function()
      local other
      local _, path = with_key(function(path, key)
        other = flip(key, 32, 1)
        write(path, other)
      end)
      assert.equal(other, read(path))
    end)

    it("was readable by others", function()
      local _, path, key = with_key(function(path) assert(uv.fs_chmod(path, 420)) end) -- 0644
      is_anew(path, key)
    end)

    it("is gone", function()
      local _, path, key = with_key(function(path) assert(os.remove(path)) end)
      is_anew(path, key)
    end)

    for _, len in ipairs { 0, 31, 33 } do
      it(("has %d bytes"):format(len), function()
        local _, path, key = with_key(function(path, key)
          local file <close> = assert(io.open(path, "r+b"))
          assert(file:write((key .. "x"):sub(1, len)))
          assert(uv.fs_ftruncate(assert(uv.fs_open(path, "r+", 0)), len))
        end)
        is_anew(path, key)
      end)
    end

    it("lies elsewhere, behind a link", function()
      local _, path, key = with_key(function(path)
        assert(os.rename(path, path .. ".kept"))
        assert(uv.fs_symlink(path .. ".kept", path))
      end)
      assert.equal("file", uv.fs_lstat(path).type)
      is_anew(path, key)
      assert.equal(key, read(path .. ".kept"))
    end)
  end)

  it("is not asked for when no key can be had", function()
    local place = suspended(FEW)
    local path = place.data .. "/image.key"
    assert(os.remove(path))
    assert(uv.fs_mkdir(path, 448))
    local says = go_on(place, FEW)
    assert.same({ 0, 0, 0 }, { says.restored_count, says.refused_count, says.taken_count })
    assert(uv.fs_rmdir(path))
  end)

  it("is refused by another build of the program", function()
    local place = suspended(FEW)
    local program = read(os.getenv("DAHOST_BIN"))
    local note = string.pack("<I4I4I4z", 4, 20, 3, "GNU") -- of its build id
    local _, last = program:find(note, 1, true)
    assert(last, "the program has no build id")
    local path = place.dir .. "/dahost"
    write(path, flip(program, last + 7, 1))
    assert(uv.fs_chmod(path, 493)) -- 0755
    all_refused(go_on(place, FEW, path), FEW, "build")
  end)

  it("is refused once its execution has other code", function()
    local place = suspended(2)
    write(place.dir .. "/s.lua", SCRIPT .. "-- changed\n")
    must(place, "migrate", id_of(1), place.dir .. "/s.lua")
    local says = go_on(place, 2)
    assert.is_nil(says.restored[id_of(1)])
    assert.is_true(says.restored[id_of(2)])
  end)
end)
