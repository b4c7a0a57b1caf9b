-- open_spec.lua - opening: who may, what is refused and in which words; what happens when there is no room.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")
local uv = require("luv")
local probe, promise, says = kit.probe, kit.promise, kit.says

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("a")
  file:close()
  return bytes
end

local function write(path, bytes)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
end

-- The failure of an open as "NAME words".
local function refusal(options)
  options.kind = "lmdb"
  local world, name, words = probe.new(options)
  assert.is_nil(world)
  return name .. " " .. words
end

-- Opens, changes one row of meta, closes.
local function poke_meta(path, key, value)
  local w = kit.open("lmdb", { path = path })
  w:poke("meta", key, value)
  w:close()
end

describe("opening a store", function()
  after_each(kit.clean)

  it("makes the folder and the files, for their owner alone", function()
    local path = kit.folder() .. "/new"
    kit.open("lmdb", { path = path }):close()
    assert.equal("drwx------", (uv.fs_stat(path).mode & 0x1ff) == tonumber("700", 8) and "drwx------")
    assert.equal(tonumber("600", 8), uv.fs_stat(path .. "/data.mdb").mode & 0x1ff)
    for _, name in ipairs({ "data.mdb", "lock.mdb", "lock" }) do assert(uv.fs_unlink(path .. "/" .. name)) end
    assert(uv.fs_rmdir(path))
  end)

  it("makes nothing unless asked to", function()
    local path = kit.folder()
    says(refusal({ path = path, create = false }), "ENOTFOUND there is no store in the directory " .. path)
    says(refusal({ path = path .. "/none", create = false }), "ENOTFOUND there is no store at " .. path .. "/none")
    says(refusal({ path = path, read_only = true }), "ENOTFOUND ")
    assert.is_nil(uv.fs_stat(path .. "/data.mdb"))
  end)

  it("tells a file from a folder", function()
    local path = kit.folder() .. "/file"
    write(path, "x")
    says(refusal({ path = path }), "EINVAL ", "/file is not a directory")
  end)

  it("gives every store a secret of its own, and keeps it", function()
    local a, b = kit.open("lmdb"), kit.open("lmdb")
    local secret = a:secret()
    assert.equal(16, #secret)
    assert.not_equal(secret, b:secret())
    a:reopen()
    assert.equal(secret, a:secret())
  end)

  it("reads the size of the map from the environment, or says what it is not", function()
    local path = kit.folder()
    uv.os_setenv("DAHOST_MAP_SIZE", "64 tons")
    local words = refusal({ path = path })
    uv.os_setenv("DAHOST_MAP_SIZE", "1M")
    local w = kit.open("lmdb", { path = path })
    uv.os_unsetenv("DAHOST_MAP_SIZE")
    says(words, "EINVAL DAHOST_MAP_SIZE=64 tons is not a size")
    local done, name = w:write_promise(promise("p", { param = { data = ("x"):rep(2000000) } }))
    assert.same({ nil, "EFULL" }, { done, name })
  end)
end)

describe("the lock", function()
  after_each(kit.clean)

  it("keeps this process from opening a store twice, also for reading", function()
    local w, path = kit.open("lmdb")
    local busy = ("EBUSY the store %s is in use by process %d"):format(path, uv.os_getpid())
    says(refusal({ path = path }), busy)
    says(refusal({ path = path, read_only = true }), busy)
    assert.equal(uv.os_getpid(), probe.holder(path))
    w:close()
    assert.equal(0, probe.holder(path))
    kit.open("lmdb", { path = path })
  end)

  it("names the process that holds the store, and ends with it", function()
    local path = kit.folder()
    local child = kit.child([[
      local w = assert(probe.new({ kind = "lmdb", path = path }))
      print("open")
      io.read()
    ]], path)
    assert.equal("open", child.line())
    says(refusal({ path = path }), ("EBUSY the store %s is in use by process %d"):format(path, child.pid))
    assert.equal(child.pid, probe.holder(path))
    child.kill()
    assert.equal(0, probe.holder(path))
    kit.open("lmdb", { path = path })
  end)

  it("leaves readers alone, who see what is committed and write nothing", function()
    local w, path = kit.open("lmdb")
    kit.fill(w, { "a", "b:x" })
    local child = kit.child([[
      local r = assert(probe.new({ kind = "lmdb", path = path, read_only = true }))
      print(table.concat(r:scan_ids(), " "), #r:verify())
      print((select(2, r:write_promise({ id = "c", state = "pending" }))))
      io.read()
      print(table.concat(r:scan_ids(), " "), r:promise("c:d").tags["resonate:target"], #r:verify())
    ]], path)
    assert.equal("a b:x\t0", child.line())
    assert.equal("EACCES", child.line())
    assert(w:write_promise(promise("c:d", { tags = { ["resonate:target"] = "poll://any@new" } })))
    child.send("go on")
    assert.equal("a b:x c:d\tpoll://any@new\t0", child.line())
    child.kill()
  end)
end)

describe("a store that cannot be read", function()
  after_each(kit.clean)

  it("of a newer format is refused, untouched", function()
    local w, path = kit.open("lmdb")
    local format = {}
    for _, row in ipairs(w:rows("meta")) do format[row[1]] = row[2] end
    assert.matches("^dahost store\n", format.format)
    w:close()
    poke_meta(path, "format", format.format:sub(1, -5) .. "\0\0\0\3")
    local before = read(path .. "/data.mdb")
    says(refusal({ path = path }), "EVERSION " .. path .. " is a store of format 3;", "use a newer dahost")
    says(refusal({ path = path, read_only = true }), "EVERSION ")
    assert.equal(before, read(path .. "/data.mdb"))
    assert.equal(0, probe.holder(path))
  end)

  it("of an older format is read as it is, and renewed by whoever opens it to write", function()
    local w, path = kit.open("lmdb")
    assert(w:write_promise({ id = "a", state = "pending", timeoutAt = 5, createdAt = 1, tags = {} }))
    local format
    for _, row in ipairs(w:rows("meta")) do format = row[1] == "format" and row[2] or format end
    w:close()
    poke_meta(path, "format", format:sub(1, -5) .. "\0\0\0\1")
    local before = read(path .. "/data.mdb")
    local reader = assert(probe.new({ kind = "lmdb", path = path, read_only = true }))
    assert.same({ "a" }, reader:scan_ids())
    reader:close()
    assert.equal(before, read(path .. "/data.mdb"))
    local again = assert(probe.new({ kind = "lmdb", path = path }))
    for _, row in ipairs(again:rows("meta")) do
      if row[1] == "format" then assert.equal(format, row[2]) end
    end
    assert.same({}, again:verify())
    again:close()
  end)

  it("is told from somebody else's file", function()
    local w, path = kit.open("lmdb")
    w:close()
    poke_meta(path, "format", "theirs")
    says(refusal({ path = path }), "ECORRUPT " .. path .. "/data.mdb is not a store of dahost")
    local other = kit.folder()
    write(other .. "/data.mdb", ("this is no database\n"):rep(1000))
    says(refusal({ path = other }), "ECORRUPT " .. other .. "/data.mdb is not a store of dahost")
    assert.equal(("this is no database\n"):rep(1000), read(other .. "/data.mdb"))
  end)

  it("names the row that is damaged", function()
    local w, path = kit.open("lmdb")
    w:close()
    poke_meta(path, "counters", "\x61\0")
    says(refusal({ path = path }), "ECORRUPT " .. path, "damaged record in table meta")
  end)

  it("says so for one record, and serves the others", function()
    local w = kit.open("lmdb")
    kit.fill(w, { "r:a", "r:b", "r:c" })
    local rows = w:rows("prom")
    w:poke("prom", rows[1][1], "\x1f" .. rows[1][2]:sub(2))
    w:poke("prom", rows[2][1], rows[2][2]:sub(1, 4))
    assert.error_matches(function() w:promise("r:a") end, "EVERSION: .*written by another version of dahost in table prom")
    assert.error_matches(function() w:promise("r:b") end, "ECORRUPT: .*damaged record in table prom")
    assert.equal("r:c", w:promise("r:c").id)
    local reply, name = w:apply({ kind = "promise.get", data = { id = "r:a" } }, 1)
    assert.same({ nil, "EVERSION" }, { reply, name })
  end)

  it("that was cut off is damage, not a signal", function()
    local w, path = kit.open("lmdb")
    assert(w:begin())
    for i = 1, 3000 do assert(w:write_promise(promise("r:a." .. i, { param = { data = ("x"):rep(300) } }))) end
    assert(w:commit())
    w:close()
    local bytes = read(path .. "/data.mdb")
    for _, part in ipairs({ 0.9, 0.5, 0.2, 0.05 }) do
      write(path .. "/data.mdb", bytes:sub(1, math.floor(#bytes * part / 4096) * 4096))
      local child = kit.child([[
        local w, name = probe.new({ kind = "lmdb", path = path })
        if not w then print(name) return end
        local ok, why = pcall(function()
          local faults, status = w:verify()
          if not faults then print(status) elseif #faults > 0 then print("ECORRUPT") else print("whole") end
        end)
        if not ok then print(why) end
      ]], path)
      assert.equal("ECORRUPT", child.line())
      child.kill()
    end
  end)
end)

describe("a backup", function()
  after_each(kit.clean)

  it("is a store of its own, with what was committed", function()
    local w = kit.open("lmdb")
    local p = promise("r:a", { param = { data = ("x"):rep(9000) }, tags = { ["resonate:target"] = "poll://any@g" } })
    assert(w:write_promise(p))
    assert(w:begin())
    assert(w:write_promise(promise("open")))
    local path = kit.folder()
    assert(w:backup(path))
    w:abort()
    assert(w:write_promise(promise("later")))
    local copy = kit.open("lmdb", { path = path })
    assert.same(p, copy:promise("r:a"))
    assert.same({ "r:a" }, copy:scan_ids())
    assert.equal(w:secret(), copy:secret())
    assert.same({}, copy:verify())
    assert(copy:write_promise(promise("own")))
    assert.is_nil(w:promise("own"))
  end)

  it("is not written over another store, nor made of one in memory", function()
    local w, path = kit.open("lmdb")
    local done, name, words = kit.open("lmdb"):backup(path)
    assert.same({ nil, "EINVAL" }, { done, name })
    says(words, path .. " holds a store already")
    assert.same({}, w:verify())
    assert.equal("EINVAL", (select(2, kit.open("memory"):backup(kit.folder()))))
  end)
end)

describe("a full map", function()
  after_each(kit.clean)

  it("refuses the batch that does not fit and goes on with the next", function()
    local w, path = kit.open("lmdb", { map_size = 1 << 20 })
    local stored = 0
    local name
    repeat
      local done, status = w:write_promise(promise("p" .. stored + 1, { param = { data = ("x"):rep(50000) } }))
      name = status
      if done then stored = stored + 1 end
    until not done
    assert.equal("EFULL", name)
    assert.is_true(stored > 5)
    assert.equal(stored, #w:scan_ids())
    assert.same({}, w:verify())
    local before = w:stat().promises
    assert(w:write_promise(promise("p1"))) -- gives room
    assert(w:write_promise(promise("p2")))
    assert(w:write_promise(promise("small")))
    assert.equal(before + 1, w:stat().promises)
    w:close()
    w = kit.open("lmdb", { path = path, map_size = 1 << 30 })
    assert(w:write_promise(promise("p" .. stored + 1, { param = { data = ("x"):rep(50000) } })))
    assert.same({}, w:verify())
  end)

  it("refuses a request and keeps what it answered before", function()
    local w = kit.open("lmdb", { map_size = 1 << 20 })
    local n = 0
    local reply, name
    repeat
      n = n + 1
      reply, name = w:apply({ kind = "promise.create",
        data = { id = "p" .. n, timeoutAt = 100, param = { data = ("x"):rep(20000) } } }, 1)
    until not reply
    assert.equal("EFULL", name)
    for i = 1, n - 1 do
      assert.equal(200, w:apply({ kind = "promise.get", data = { id = "p" .. i } }, 2).status)
    end
    assert.equal(404, w:apply({ kind = "promise.get", data = { id = "p" .. n } }, 2).status)
    assert.same({}, w:check(2))
  end)
end)

describe("a full disk", function()
  local mount

  setup(function()
    mount = kit.folder()
    if not os.execute("mount -t tmpfs -o size=4m da-store " .. mount .. " 2>/dev/null") then mount = nil end
  end)

  teardown(function()
    kit.clean()
    if mount then os.execute("umount " .. mount) end
  end)

  it("is a refusal too: nothing of the batch is there, everything before is", function()
    if not mount then return pending("needs the right to mount a file system") end
    local w = kit.open("lmdb", { path = mount .. "/store" })
    local stored = 0
    local done, name, words
    repeat
      done, name, words = w:write_promise(promise("p" .. stored + 1, { param = { data = ("x"):rep(200000) } }))
      if done then stored = stored + 1 end
    until not done
    assert.equal("EFULL", name)
    assert.matches("storage full", words)
    assert.is_true(stored > 5)
    assert.equal(stored, #w:scan_ids())
    assert.same({}, w:verify())
    assert(w:write_promise(promise("p1")))
    assert(w:write_promise(promise("p2")))
    assert(w:write_promise(promise("after")))
    assert(w:reopen())
    assert.equal("after", w:promise("after").id)
    assert.same({}, w:verify())
    w:close()
  end)
end)
