-- fs_spec.lua - da.fs: files as steps of workflows, and within steps.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step, fs = da.async, da.await, da.pawait, da.step, da.fs
local function plain(text) return (text:gsub("%p", "%%%0")) end
]]

-- Each is done several times in one folder, d, so each leaves it as it was. Where records hold times of files (fs.stat), the
-- results alone must be alike.
local rows = {
  { "writes a file, and reads it", [[
    local bytes = "a\0b\255" .. ("x"):rep(100000)
    await(fs.write(d .. "/f", bytes))
    local same = await(fs.read(d .. "/f")) == bytes
    await(fs.write(d .. "/f", ""))
    return { same, await(fs.read(d .. "/f")), await(fs.remove(d .. "/f")), await(fs.remove(d .. "/f")) }]],
    '[true,"",true,false]' },
  { "adds to a file", [[
    await(fs.write(d .. "/f", "one", { append = true }))
    await(fs.write(d .. "/f", " two", { append = true }))
    return { await(fs.read(d .. "/f")), await(fs.remove(d .. "/f")) }]], '["one two",true]' },
  { "gives a file the mode it is told, and keeps that of one that is there", [[
    local function mode() return await(fs.stat(d .. "/f")).mode end
    await(fs.write(d .. "/f", "1", { mode = "0640" }))
    local told = mode()
    await(fs.write(d .. "/f", "2"))
    local kept = mode()
    await(fs.write(d .. "/f", "3", { append = true, mode = "600" }))
    return { told, kept, mode(), await(fs.remove(d .. "/f")) }]], '["0640","0640","0600",true]' },
  { "leaves no other file behind, also when it fails", [[
    await(fs.mkdir(d .. "/x/full"))
    await(fs.write(d .. "/x/full/f", "1"))
    local _, e = pawait(fs.write(d .. "/x/full", "no file"))
    local list = await(fs.list(d .. "/x"))
    await(fs.remove(d .. "/x/full/f"))
    await(fs.remove(d .. "/x/full"))
    await(fs.remove(d .. "/x"))
    return { e.code, e.attempts, #list, list[1].name }]], '["eisdir",1,1,"full"]' },
  { "lists a folder by names, with kinds", [[
    await(fs.mkdir(d .. "/x/sub"))
    for _, name in ipairs { "b", "a", ".c", "B" } do await(fs.write(d .. "/x/" .. name, "")) end
    local before = await(da.exec { "ln", "-sfn", "nowhere", d .. "/x/link" }).code
    local text = {}
    for _, entry in ipairs(await(fs.list(d .. "/x"))) do
      text[#text + 1] = entry.name .. ":" .. entry.kind
      await(fs.remove(d .. "/x/" .. entry.name))
    end
    local none = await(fs.list(d .. "/x"))
    await(fs.remove(d .. "/x"))
    return { before, table.concat(text, " "), none }]],
    '[0,".c:file B:file a:file b:file link:link sub:directory",[]]' },
  { "tells size, kind, mode and time of what is there, and nil of what is not", [[
    await(fs.write(d .. "/f", "12345", { mode = "0600" }))
    local s = await(fs.stat(d .. "/f"))
    local out = { s.size, s.kind, s.mode, math.type(s.mtime), s.mtime > 1e9, await(fs.stat(d)).kind,
      (await(fs.stat(d .. "/nothing"))) == nil, (await(fs.stat(d .. "/f/g"))) == nil, await(fs.remove(d .. "/f")) }
    return out]], '[5,"file","0600","float",true,"directory",true,true,true]' },
  { "makes folders with their parents, and says which was new", [[
    local out = { await(fs.mkdir(d .. "/x/y//z/")), await(fs.mkdir(d .. "/x/y/z")), await(fs.stat(d .. "/x/y/z")).kind }
    local _, e = pawait(fs.mkdir("/proc/nothing/here"))
    out[4] = e.code
    await(fs.write(d .. "/x/f", ""))
    _, e = pawait(fs.mkdir(d .. "/x/f/g"))
    out[5] = e.code
    for _, name in ipairs { "/x/f", "/x/y/z", "/x/y", "/x" } do await(fs.remove(d .. name)) end
    return out]], '[true,false,"directory","enoent","enotdir"]' },
  { "gives a file another name, and another's name", [[
    await(fs.write(d .. "/a", "1"))
    await(fs.write(d .. "/b", "2"))
    await(fs.rename(d .. "/a", d .. "/b"))
    return { await(fs.read(d .. "/b")), (await(fs.stat(d .. "/a"))) == nil, await(fs.remove(d .. "/b")) }]], '["1",true,true]' },
  { "fails at once with the system's own word and the path, where another attempt would fail as well", [[
    local out = {}
    for i, call in ipairs { fs.read(d .. "/no"), fs.list(d .. "/no"), fs.rename(d .. "/no", d .. "/x"), fs.write(d .. "/no/f", ""),
        fs.remove("/proc/self"), fs.watch(d .. "/no/f"), fs.read(d), fs.read(("x"):rep(300)) } do
      local _, e = pawait(call)
      out[i] = { e.code, e.attempts, e.message:gsub(plain(d), "D"):sub(1, 62) }
    end
    return da.json.encode(out)]],
    [==["[[\"enoent\",1,\"cannot read D/no: No such file or directory\"],]==] ..
    [==[[\"enoent\",1,\"cannot list D/no: No such file or directory\"],]==] ..
    [==[[\"enoent\",1,\"cannot rename D/no to D/x: No such file or directory\"],]==] ..
    [==[[\"enoent\",1,\"cannot write D/no/f: No such file or directory\"],]==] ..
    [==[[\"eperm\",1,\"cannot remove /proc/self: Operation not permitted\"],]==] ..
    [==[[\"enoent\",1,\"cannot watch D/no/f: No such file or directory\"],]==] ..
    [==[[\"eisdir\",1,\"cannot read D: Is a directory\"],[\"enametoolong\",1,\"cannot read ]==] .. ("x"):rep(50) .. [==[\"]]"]==] },
  { "reads no more than it is told", [[
    await(fs.write(d .. "/f", ("x"):rep(100)))
    local whole = #await(fs.read(d .. "/f", { max = 100 }))
    local _, e = pawait(fs.read(d .. "/f", { max = 99 }))
    local _, endless = pawait(fs.read("/dev/zero"))
    await(fs.remove(d .. "/f"))
    return { whole, e.code, e.attempts, (e.message:gsub(plain(d), "D")), endless.code }]],
    '[100,"too_large",1,"D/f has more than 99 bytes","too_large"]' },
  { "refuses arguments that make no sense", [[
    local out = {}
    for i, call in ipairs { fs.read(), fs.read("a\0b"), fs.read(d, { most = 1 }), fs.read(d, { max = -1 }), fs.write(d .. "/f"),
        fs.write(d .. "/f", "", { mode = "rw" }), fs.write(d .. "/f", "", { append = 1 }), fs.watch(d, "soon"), fs.watch(d, 1, 7) } do
      local _, e = pawait(call)
      assert(e.code == "bad_argument" and e.attempts == 1)
      out[i] = e.message
    end
    return out]], '["argument 1 of fs.read must be a string, got nothing",' ..
      '"argument 1 of fs.read must be a string without a zero byte, got a string",' ..
      '"unknown option \'most\' of fs.read; it takes max","option \'max\' of fs.read must be an integer from 0 to 8388608",' ..
      '"argument 2 of fs.write must be a string, got nothing","option \'mode\' of fs.write must be octal digits, as \\"0644\\"",' ..
      '"option \'append\' of fs.write must be true or false",' ..
      '"argument 2 of fs.watch must be seconds as a number, or text like \\"250ms\\", \\"1h30m\\", \\"3d\\"",' ..
      '"argument 3 of fs.watch must be what fs.stat gave, or false"]' },
  { "returns directly in a step, and raises there", [[
    return await(step.files(d))]], '["text",4,"enoent",true]' },
  { "does nothing but wait until a file changes, or the time is over", [[
    await(fs.write(d .. "/f", "1"))
    local none, at_once = await(fs.watch(d .. "/f", "20ms")), await(fs.watch(d .. "/f", 0))
    local before = await(fs.stat(d .. "/f"))
    local out = { none, at_once, await(fs.watch(d .. "/f", 0, before)), await(fs.watch(d .. "/f", 60, false)),
      await(fs.watch(d .. "/none", 60, before)), await(fs.watch(d .. "/none", 0, false)) }
    await(fs.write(d .. "/f", "12"))
    out[#out + 1] = await(fs.watch(d .. "/f", 60, before))
    await(fs.remove(d .. "/f"))
    return out]], "[false,false,false,true,true,false,true]" },
  { "gives up the wait when nobody waits for it any more", [[
    local _, e = pawait(da.within("30ms", fs.watch(d .. "/f")))
    local _, f = pawait(fs.watch:with { timeout = "30ms" }(d .. "/f"))
    local race = da.any { fs.watch(d .. "/f"), da.sleep(0.03) }
    await(race)
    return { e.code, f.code }]], '["timedout","timedout"]' },
}

-- What a watch is told of; how: in words of a shell, with $1 the folder.
local changes = {
  { "is written to", "f", 'echo >> "$1/f"' },
  { "gets another file's name", "f", 'echo > "$1/g"; mv "$1/g" "$1/f"' },
  { "is removed", "f", 'rm "$1/f"' },
  { "comes to be", "new", 'echo > "$1/new"' },
  { "gets another mode", "f", 'chmod 600 "$1/f"' },
  { "is a folder in which something comes to be", ".", 'echo > "$1/new"' },
  { "is behind a link", "link", 'echo >> "$1/f"' },
}

describe("da.fs", function()
  local place

  before_each(function() place = harness.place() end)
  after_each(function() harness.remove(place) end)

  for _, row in ipairs(rows) do
    it(row[1], function()
      local spec = { script = HEAD .. [[
        function step.files(d)
          fs.write(d .. "/f", "text")
          local ok, e = pcall(fs.read, d .. "/none")
          return { fs.read(d .. "/f"), fs.stat(d .. "/f").size, not ok and e.code, fs.remove(d .. "/f") }
        end
        function async.main(d)
        ]] .. row[2] .. "\nend", func = "main", args = { place.dir } }
      local ways = { script.both }
      if row[2]:find("fs.stat", 1, true) then ways = { script.run, script.cold, script.sliced } end
      for _, way in ipairs(ways) do
        local result = way(spec)
        assert.are.equal(row[3] .. "\n", result.out, result.err)
      end
    end)
  end

  for _, change in ipairs(changes) do
    it("watches what " .. change[1], function()
      -- The change is made again and again until the watch has ended: nobody knows when it has begun.
      local result = script.run { script = HEAD .. [[
        function async.main(d, name, how)
          await(fs.write(d .. "/f", ""))
          await(da.exec("ln", "-s", "f", d .. "/link"))
          await(fs.write(d .. "/other", ""))
          local watched, changed = fs.watch(d .. "/" .. name, 30), nil
          local branch = async("wait", function() changed = await(watched) end)
          repeat
            await(da.sleep(0.05))
            await(fs.write(d .. "/other", "nobody is told of this"))
            if name ~= "." then assert(changed == nil) end
            await(da.exec { "sh", "-c", how, "sh", d })
            await(da.sleep(0.05))
            if changed == nil then await(da.exec("sh", "-c", 'rm -f "$1/new"; echo > "$1/f"', "sh", d)) end
          until changed ~= nil
          await(branch)
          return changed
        end]], func = "main", args = { place.dir, change[2] == "." and '"."' or change[2], change[3] } }
      assert.are.equal("true\n", result.out, result.err)
    end)
  end

  it("leaves a file whole when its process is killed while it is written, and writes it then", function()
    local life = { place = place, keep = true, func = "main", args = { place.dir }, script = HEAD .. [[
      local OLD, NEW = ("o"):rep(8000000), ("n"):rep(8000000)
      -- Once, as soon as something is under way.
      function step.dies(d)
        if fs.stat(d .. "/killed") then return end
        local under_way
        repeat
          for _, entry in ipairs(fs.list(d)) do under_way = under_way or entry.name:find "^%.dahost" end
        until under_way or fs.read(d .. "/f") == NEW
        io.open(d .. "/killed", "w"):close()
        os.execute "kill -9 $PPID"
        os.execute "sleep 5"
      end
      function async.main(d)
        await(fs.write(d .. "/f", OLD))
        local death, new = step.dies(d), fs.write(d .. "/f", NEW)
        await(new)
        await(death)
        return await(fs.read(d .. "/f")) == NEW
      end]] }
    assert.are.equal(9, script.run(life).signal)
    local file = assert(io.open(place.dir .. "/f", "rb"))
    local text = file:read("a")
    file:close()
    assert.is_true(text == ("o"):rep(8000000) or text == ("n"):rep(8000000))
    local result = script.run(life)
    assert.are.equal("true\n", result.out, result.err)
  end)

  it("can be stood in for by a test", function()
    local file = assert(io.open(place.dir .. "/s.lua", "w"))
    file:write(HEAD, "function async.main() return await(fs.read '/etc/secret'), da.json.encode { 1 } end")
    file:close()
    file = assert(io.open(place.dir .. "/s_spec.lua", "w"))
    file:write([[
      local t = require "da.test"
      local wf = t.script "s.lua"
      it("reads", function()
        assert.same({ "mine", "[1]", n = 2 }, t.run(wf.main, {}, { mock = { ["native.fs.read"] = function(path)
          assert.equal("/etc/secret", path)
          return "mine"
        end } }).results)
      end)]])
    file:close()
    local result = harness.dahost({ "test", place.dir .. "/s_spec.lua" })
    assert.are.equal(0, result.code, result.out .. result.err)
  end)
end)
