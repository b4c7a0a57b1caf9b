-- exec_spec.lua - da.exec: other programs as steps of workflows, and within steps.
-- SPDX-License-Identifier: Apache-2.0
local harness = require("spec.support.harness")
local script = require("spec.support.script")
local uv = require("luv")

local HEAD = [[
local da = require "da"
local async, await, pawait, step, exec = da.async, da.await, da.pawait, da.step, da.exec
local once = exec:with { retry = { max = 1 } }
local function sh(text, options) return exec({ "sh", "-c", text }, options) end

-- Does a process live whose environment has this mark? Zombies have none.
local function lives(mark)
  for name in io.popen "ls /proc":lines() do
    local file = name:find "^%d+$" and io.open("/proc/" .. name .. "/environ", "rb")
    local text = file and file:read "a"
    if file then file:close() end
    if text and text:find("BATTERY_MARK=" .. mark .. "\0", 1, true) then return true end
  end
  return false
end
function step.wait_until(mark, wanted)
  for _ = 1, 400 do
    if lives(mark) == wanted then return true end
    os.execute "sleep 0.05"
  end
  return false
end
-- A program that has children, one of which holds its outputs and all of which carry the mark.
local FAMILY = "sleep 1000 & sleep 1000 >/dev/null 2>&1 & sleep 1000"
]]

local rows = {
  { "gives code and outputs of a program, of which no shell reads the words", [[
    local r = await(exec("printf", "%s|", "a b", "$HOME", "*", 7))
    return { r.code, r.out, r.err, await(exec { "printf", "%s", "it's" }).out }]], [==[[0,"a b|$HOME|*|7|","","it's"]]==] },
  { "takes a code other than 0 as a result, and a signal", [[
    local r, k = await(sh "echo no >&2; exit 3"), await(sh "kill -TERM $$")
    return { r.code, r.signal == nil, r.out, r.err, k.code == nil, k.signal }]], [==[[3,true,"","no\n",true,"SIGTERM"]]==] },
  { "takes these as errors if it is told to check", [[
    local _, e = pawait(once({ "sh", "-c", "echo some; echo bad >&2; exit 3" }, { check = true }))
    local _, k = pawait(once({ "sh", "-c", "kill -KILL $$" }, { check = true }))
    local fine = await(sh("exit 0", { check = true }))
    return { e.code, e.message, e.exit, e.out, e.err, k.code, k.message, k.signal, fine.code }]],
    [==[["exit","sh ended with code 3: bad",3,"some\n","bad\n","exit","sh ended by signal 9","SIGKILL",0]]==] },
  { "tries again what is checked, as its retry says", [[
    local r = await(exec:with { retry = { max = 3, first = 0.01 } }({ "sh", "-c",
      'echo x >> "$0"; test $(wc -l < "$0") -ge 3', d .. "/tries" }, { check = true }))
    await(da.fs.remove(d .. "/tries"))
    return r.code]], "0" },
  { "gives bytes to a program, more than a pipe holds, and takes them back", [[
    local bytes = ("a\0b\255"):rep(100000)
    local back = await(exec({ "cat" }, { stdin = bytes })).out
    return { back == bytes, await(exec({ "wc", "-c" }, { stdin = "" })).out:match "%d+", await(exec("cat")).out,
      await(sh("head -c 3", { stdin = bytes })).out == "a\0b" }]], '[true,"0","",true]' },
  { "runs a program in a folder, with an environment", [[
    local r = await(sh("pwd; echo $MINE; echo ${HOME-none}; env | grep -c ^MINE=", { cwd = "/usr", env = { MINE = "x y", HOME = false } }))
    return r.out]], [==["/usr\nx y\nnone\n1\n"]==] },
  { "leaves a program neither files nor signals of this process", [[
    local r = await(sh "ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status")
    local files, blocked, ignored = r.out:match "(%d+)\nSigBlk:%s*(%x+)\nSigIgn:%s*(%x+)"
    return { files, tonumber(blocked, 16), tonumber(ignored, 16) & 0x7fffffff }]], '["4",0,0]' }, -- above: the C library's own
  { "cannot run what is not there, and says so at once", [[
    local out = {}
    for i, call in ipairs { exec "nothing-of-that-name", exec { d }, exec({ "ls" }, { cwd = d .. "/no" }) } do
      local _, e = pawait(call)
      out[i] = ("%s %d %s"):format(e.code, e.attempts, e.message:gsub(d:gsub("%p", "%%%0"), "D"))
    end
    return out]], '["enoent 1 cannot run nothing-of-that-name: No such file or directory","eacces 1 cannot run D: Permission denied",' ..
      '"enoent 1 cannot run ls in D/no: No such file or directory"]' },
  { "takes no more output than it is told, and ends what writes more", [[
    local fits = await(sh("printf 12345; printf 67890 >&2", { max_output = 10 }))
    local _, e = pawait(sh("printf 12345; printf 678901 >&2", { max_output = 10 }))
    local _, endless = pawait(exec("yes"))
    local large = await(sh("head -c 8388608 /dev/zero | tr '\\0' x", { max_output = 8388608 }))
    return { fits.out, e.code, e.attempts, e.message, endless.code, #large.out }]],
    '["12345","too_large",1,"sh wrote more than 10 bytes","too_large",8388608]' },
  { "fails at once when what a program wrote is too large for a record", [[
    local _, e = pawait(exec({ "head", "-c", "4000000", "/dev/zero" }, { max_output = 4000000 }))
    return { e.code, e.attempts, e.message }]],
    '["unserializable",1,"result[1].out: larger than 16 MiB when encoded; keep such data elsewhere and pass its address"]' },
  { "ends a program that takes too long, with what it has said", [[
    local _, e = pawait(once({ "sh", "-c", "echo begun; sleep 1000" }, { timeout = "200ms" }))
    return { e.code, e.message, e.out }]], [==[["timedout","sh did not end in time","begun\n"]]==] },
  { "is over when its program is, whatever that leaves behind", [[
    local r = await(sh("echo said; (sleep 1000) & sleep 1000 & exit 4", { env = { BATTERY_MARK = d } }))
    return { r.code, r.out, await(step.wait_until(d, false)) }]], [==[[4,"said\n",true]]==] },
  { "refuses words and options that make no sense", [[
    local out = {}
    for i, call in ipairs { exec(), exec {}, exec(true), exec("ls", "a\0b"), exec("ls", {}, "x"), exec({ "ls" }, {}, {}),
        exec("ls", { shell = true }),
        exec("ls", { env = { "A=b" } }), exec("ls", { env = { A = 1 } }), exec("ls", { stdin = 1 }), exec("ls", { timeout = "soon" }),
        exec("ls", 1.5), exec("ls", nil, "x") } do
      local _, e = pawait(call)
      assert(e.code == "bad_argument" and e.attempts == 1)
      out[i] = e.message:gsub("exec.run", "E")
    end
    return out]], '["E needs a program","E needs a program","word 1 of E must be a string without a zero byte, or an integer",' ..
      '"word 2 of E must be a string without a zero byte, or an integer",' ..
      '"word 2 of E must be a string without a zero byte, or an integer",' ..
      '"E takes a list of words and options, got more",' ..
      '"unknown option \'shell\' of E; it takes check, cwd, env, max_output, stdin, timeout",' ..
      '"option \'env\' of E must be a table of NAME = \\"text\\", or NAME = false",' ..
      '"option \'env\' of E must be a table of NAME = \\"text\\", or NAME = false","option \'stdin\' of E must be a string",' ..
      '"option \'timeout\' of E must be seconds as a number, or text like \\"250ms\\", \\"1h30m\\", \\"3d\\"",' ..
      '"word 2 of E must be a string without a zero byte, or an integer","argument 2 of E must be a word, got nil"]' },
  { "returns directly in a step, and raises there", [[
    return await(step.inside())]], [==[[0,"x","enoent"]]==] },
  { "kills the whole family of a program that nobody waits for any more", [[
    local call = sh(FAMILY, { env = { BATTERY_MARK = d } })
    local began = await(step.wait_until(d, true))
    call:cancel "no more"
    local _, e = pawait(call)
    return { began, e.code, await(step.wait_until(d, false)) }]], '[true,"canceled",true]' },
  { "kills it when the deadline of the call has passed", [[
    local _, e = pawait(exec:with { timeout = "300ms" }({ "sh", "-c", FAMILY }, { env = { BATTERY_MARK = d } }))
    return { e.code, await(step.wait_until(d, false)) }]], '["timedout",true]' },
  { "kills it when the deadline of the step has passed that runs it", [[
    local _, e = pawait(step.hangs:with { timeout = "300ms" }(FAMILY, d))
    return { e.code, await(step.wait_until(d, false)) }]], '["timedout",true]' },
  { "kills it when an attempt of the step is given up that runs it", [[
    local _, e = pawait(step.hangs:with { attempt_timeout = "300ms", retry = { max = 1 } }(FAMILY, d))
    return { e.code, await(step.wait_until(d, false)) }]], '["timedout",true]' },
}

describe("da.exec", function()
  local place

  before_each(function() place = harness.place() end)
  after_each(function() harness.remove(place) end)

  for _, row in ipairs(rows) do
    it(row[1], function()
      local result = script.both { script = HEAD .. [[
        function step.inside()
          local r = exec("printf", "x")
          local _, e = pcall(exec, "nothing-of-that-name")
          return { r.code, r.out, e.code }
        end
        function step.hangs(text, mark) return sh(text, { env = { BATTERY_MARK = mark } }).code end
        function async.main(d)
        ]] .. row[2] .. "\nend", func = "main", args = { place.dir } }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  local function lives(mark)
    for name in assert(io.popen("ls /proc")):lines() do
      local file = name:find("^%d+$") and io.open("/proc/" .. name .. "/environ", "rb")
      local text = file and file:read("a")
      if file then file:close() end
      if text and text:find("BATTERY_MARK=" .. mark .. "\0", 1, true) then return true end
    end
    return false
  end

  local function wait_until(mark, wanted)
    for _ = 1, 400 do
      if lives(mark) == wanted then return true end
      uv.sleep(50)
    end
    return false
  end

  it("leaves nothing running when its process is told to end", function()
    local file = assert(io.open(place.dir .. "/s.lua", "w"))
    file:write(HEAD, 'function async.main(d) return await(sh(FAMILY, { env = { BATTERY_MARK = d } })) end')
    file:close()
    local process = harness.spawn { "run", place.dir .. "/s.lua", "main", place.dir, "--data", place.data, "--quiet" }
    local began
    for _ = 1, 400 do
      began = lives(place.dir)
      if began then break end
      uv.run("nowait")
      uv.sleep(50)
    end
    assert.is_true(began, process.err)
    uv.kill(process.pid, "sigterm")
    harness.wait(process)
    assert.is_true(wait_until(place.dir, false))
  end)

  it("that is recorded is not run again after a crash, and what was under way is", function()
    local life = { place = place, keep = true, func = "main", args = { place.dir }, script = HEAD .. [[
      function async.main(d)
        await(sh("echo one >> " .. d .. "/journal"))
        await(sh("echo two >> " .. d .. "/journal; test -e " .. d .. "/killed || { : > " .. d .. "/killed; kill -9 $PPID; sleep 5; }"))
        return await(da.fs.read(d .. "/journal"))
      end]] }
    assert.are.equal(9, script.run(life).signal)
    local result = script.run(life)
    assert.are.equal('"one\\ntwo\\ntwo\\n"\n', result.out, result.err)
  end)

  it("can be stood in for by a test", function()
    local file = assert(io.open(place.dir .. "/s.lua", "w"))
    file:write(HEAD, 'function async.main() return await(exec("rm", "-rf", "/nowhere", { check = true })).out end')
    file:close()
    file = assert(io.open(place.dir .. "/s_spec.lua", "w"))
    file:write([[
      local t = require "da.test"
      local wf = t.script "s.lua"
      it("runs", function()
        local words
        assert.equal("gone", t.run(wf.main, {}, { mock = { ["native.exec.run"] = function(...)
          words = { ... }
          return { code = 0, out = "gone", err = "" }
        end } }).value)
        assert.same({ "rm", "-rf", "/nowhere", { check = true } }, words)
      end)]])
    file:close()
    local result = harness.dahost({ "test", place.dir .. "/s_spec.lua" })
    assert.are.equal(0, result.code, result.out .. result.err)
  end)
end)
