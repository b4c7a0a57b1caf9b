-- bad_input_disk_spec.lua - a disk that is full and one that cannot be written, as small file systems of their own: clear
-- words, nothing lost; once there is room, all goes on and ends with the exact result.
--
-- The file systems are mounted in a namespace of a shell script's own, so that nothing is left behind; where neither root
-- nor a user namespace may mount, the specs are pending.
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")

local FILL = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.chunk(n, size)
  local ledger = assert(io.open(os.getenv "LEDGER", "a"))
  ledger:write(da.id(), "\n")
  ledger:close()
  return ("%05d"):format(n):rep(size // 5)
end
function async.part(from, to, size)
  local sum = 0
  for i = from, to do sum = sum + tonumber(await(step.chunk(i, size)):sub(1, 5)) end
  return sum
end
function async.main(n, size)
  local a, b = await(async.part(1, n // 2, size), async.part(n // 2 + 1, n, size))
  return a + b
end
]]
local EXACT = 60 * 61 // 2

local OTHER = [[
local da = require "da"
function da.async.main() return 1 + da.await(da.promise "p") end
]]

-- A step that has one attempt, and asks for more than there is room for.
local ASKS = [[
local da = require "da"
local async, await, step = da.async, da.await, da.step
function step.settle(id, size)
  local ledger = assert(io.open(os.getenv "LEDGER", "a"))
  ledger:write(da.id(), "\n")
  ledger:close()
  local state = da.resolve(id, ("x"):rep(size))
  return state, da.start("other", async.long, ("y"):rep(size))
end
function async.long(text) return #text end
function async.main(size)
  local p = da.promise "p"
  local state, other = await(step.settle:with { retry = false }(p.id, size))
  return state, other, #await(p)
end
]]

-- How a script is run with the right to mount, or nil.
local function namespace()
  for _, words in ipairs { "unshare -m", "unshare -rm" } do
    if os.execute(words .. " sh -c 'mount -t tmpfs -o size=1m da-spec /mnt' 2>/dev/null") then return words end
  end
end

local function has(text, words)
  assert.is_truthy(text:find(words, 1, true), ("%q is not in %q"):format(words, text))
end

describe("a disk", function()
  local words = namespace()
  if not words then
    pending("needs the right to mount: neither root nor a user namespace may")
    return
  end

  local place

  before_each(function()
    place = program.place()
    place:write("fill.lua", FILL)
    place:write("other.lua", OTHER)
    place:write("large.lua", OTHER .. "-- " .. ("x"):rep(400000) .. "\n") -- code that needs room of its own
  end)
  after_each(function() os.execute("rm -rf '" .. place.dir .. "'") end)

  -- Runs the shell commands in the namespace, in the place; dahost, fs (a directory to mount at) are variables.
  local function sh(commands)
    place:write("go.sh", ([[
set -u
dahost='%s'
export LEDGER='%s/ledger'
mkdir -p fs
# Waits until a file holds a text.
until_says() {
  n=0
  until grep -q "$2" "$1" 2>/dev/null; do
    n=$((n + 1))
    [ $n -lt 1500 ] || { echo "no '$2' in $1"; exit 9; }
    sleep 0.02
  done
}
%s
]]):format(os.getenv("DAHOST_BIN"), place.dir, commands))
    local got = program.spawn({ "-c", ("cd '%s' && exec %s sh go.sh"):format(place.dir, words) }, { command = "sh" }):wait()
    assert.are.equal(0, got.signal)
    return got.out .. got.err
  end

  local FULL = [[
mount -t tmpfs -o size=3m da-spec fs
head -c 2200k /dev/zero > fs/ballast
]]

  it("that is full holds an execution up until there is room; it ends with the exact result", function()
    local text = sh(FULL .. [[
$dahost run fill.lua main 60 20000 --data fs/st --id f > out 2> err &
until_says err 'store.full'
rm fs/ballast
wait $!; echo "code $?"; cat out
$dahost verify --data fs/st 2>&1; $dahost tree f --data fs/st --json --limit 1000 | grep -c '"promise":"resolved"'
]])
    has(text, "code 0\n" .. EXACT .. "\n")
    has(text, "fs/st is whole\n63\n")
    has(place:read("err"), 'store.full')
    has(place:read("err"), "storage full: " .. place.dir .. "/fs/st")
    has(place:read("err"), "nothing of this batch was written")
    local ran = {}
    for id in place:read("ledger"):gmatch("[^\n]+") do ran[id] = (ran[id] or 0) + 1 end
    local again = 0
    for _, count in pairs(ran) do
      if count > 1 then again = again + 1 end
    end
    assert.is_true(again <= 2, "steps that ran again: " .. again) -- those that were under way, one of each part
  end)

  it("that is full takes no attempt from a step that settles or starts something", function()
    place:write("asks.lua", ASKS)
    local text = sh([[
mount -t tmpfs -o size=4m da-spec fs
head -c 3500k /dev/zero > fs/ballast
$dahost run asks.lua main 700000 --data fs/st --id f > out 2> err &
until_says err 'store.full'
sleep 1.3
rm fs/ballast
wait $!; echo "code $?"; cat out
$dahost resume other --data fs/st 2>/dev/null; cat ledger; $dahost verify --data fs/st 2>&1
]])
    has(text, 'code 0\n["resolved","other",700000]\n700000\nf:settle.1\n' .. place.dir .. "/fs/st is whole\n")
  end)

  it("that is full when the process is killed loses nothing of what was recorded", function()
    local text = sh(FULL .. [[
$dahost run fill.lua main 60 20000 --data fs/st --id f > out 2> err &
until_says err 'store.full'
kill -9 $!; wait $! 2>/dev/null
before=$($dahost tree f --data fs/st --json --limit 1000 2>/dev/null | grep -c '"kind":"step".*"promise":"resolved"')
$dahost verify --data fs/st 2>&1
$dahost run fill.lua main 60 20000 --data fs/st --id f > out 2> err2 &
until_says err2 'store.full'
kill -9 $!; wait $! 2>/dev/null
$dahost run fill.lua main 60 20000 --data fs/st --id f > out 2> err3 &
until_says err3 'store.full'
rm fs/ballast
wait $!; echo "code $?"; cat out
[ "$before" -gt 5 ] && echo "recorded before"
$dahost verify --data fs/st 2>&1
]])
    has(text, "fs/st is whole\ncode 0\n" .. EXACT .. "\nrecorded before\n")
    has(text:sub(-200), "fs/st is whole")
  end)

  it("that is full refuses what is new, names the store, and takes it once there is room, code and all", function()
    local text = sh(FULL .. [[
$dahost run fill.lua main 60 20000 --data fs/st --id f > out 2> err &
until_says err 'store.full'
$dahost start large.lua --data fs/st --id o 2>&1; echo "start $?"
rm fs/ballast
$dahost start large.lua --data fs/st --id o 2>&1; echo "start $?"
wait $!; echo "code $?"; cat out
rm large.lua
$dahost resume o --data fs/st > out2 2> err4 &
until_says err4 'o waits for'
kill -9 $!; wait $! 2>/dev/null
$dahost promise resolve o:p.1 5 --data fs/st > /dev/null
$dahost resume o --data fs/st 2>/dev/null; echo "code $?"
$dahost verify --data fs/st 2>&1
]])
    has(text, "storage full")
    has(text, "start 74\n")
    has(text, "o\nstart 0\n")
    has(text, "code 0\n" .. EXACT .. "\n")
    has(text, "6\ncode 0\n")
    has(text, "is whole")
  end)

  it("without room for a store makes none, and one once there is room", function()
    for _, left in ipairs { 0, 8, 12, 16, 40 } do -- KiB: in the middle of each file that is made
      local text = sh(([[
mount -t tmpfs -o size=1m da-spec fs
head -c %dk /dev/zero > fs/ballast
$dahost run other.lua --data fs/st --id o 2>&1; echo "code $?"
rm fs/ballast
$dahost promise create x --data fs/st > /dev/null 2>&1; echo "create $?"
$dahost verify --data fs/st 2>&1
]]):format(1024 - left))
      has(text, "fs/st")
      has(text, "code 74\ncreate 0\n")
      has(text, "is whole")
      assert.is_truthy(text:find("No space left", 1, true) or text:find("storage full", 1, true)
        or text:find("no room on the disk", 1, true), text)
    end
  end)

  it("that may only be read says so, with the mend, and changes nothing", function()
    local text = sh([[
$dahost promise create x --data st > /dev/null 2>&1
sum=$(cat st/data.mdb | cksum)
mkdir new
mount --bind st st && mount -o remount,ro,bind st st && mount --bind new new && mount -o remount,ro,bind new new
for verb in "run other.lua --id o" "ps" "promise resolve x 1"; do $dahost $verb --data st 2>&1; echo "code $?"; done
$dahost run other.lua --id o --data new/st 2>&1; echo "code $?"
[ "$sum" = "$(cat st/data.mdb | cksum)" ] && echo unchanged
umount st
$dahost promise resolve x 1 --data st > /dev/null 2>&1; echo "code $?"
]])
    has(text, ("dahost: cannot open the lock file %s/st/lock: Read-only file system; the store is to be writable by this user, "
      .. "or name another with --data\ncode 74\n"):format(place.dir):rep(3))
    has(text, ("dahost: cannot make the directory %s/new/st: Read-only file system; name another with --data\ncode 74\n")
      :format(place.dir))
    has(text, "unchanged\ncode 0\n")
  end)

  it("of another user says so, with the mend", function()
    if words ~= "unshare -m" then return pending("needs root") end
    os.execute("chmod 755 '" .. place.dir .. "'")
    local text = sh([[
$dahost promise create x --data st > /dev/null 2>&1
chmod 755 st
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
nobody $dahost ps --data st 2>&1; echo "code $?"
chmod 700 st
nobody $dahost ps --data st 2>&1; echo "code $?"
nobody $dahost run other.lua --data mine --id o 2>&1; echo "code $?"
]])
    has(text, ("dahost: cannot open the lock file %s/st/lock: Permission denied; the store is to be writable by this user")
      :format(place.dir))
    has(text, ("dahost: this user may not look into %s/st; ask as the one whose store it is\ncode 74\n"):format(place.dir))
    has(text, ("dahost: cannot make the directory %s/mine: Permission denied; name another with --data\ncode 74\n"):format(place.dir))
  end)
end)
