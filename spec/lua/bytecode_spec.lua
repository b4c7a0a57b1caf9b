-- bytecode_spec.lua - the opcodes host/vm/bytecode.h knows are those of the Lua that is installed.
--
-- `luac` lists the names of a file's instructions in order; the instructions themselves follow the head of the file it
-- writes. Both are held against the enum of the header.
--
-- SPDX-License-Identifier: Apache-2.0

local function read(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  assert(pipe:close(), command)
  return text
end

-- name -> number, as the C compiler counts.
local function enum()
  local file = assert(io.open "host/vm/bytecode.h")
  local body = file:read("a"):match "enum da_opcode {(.-)}"
  file:close()
  local known, value, count = {}, -1, 0
  for name, given in body:gmatch "DA_OP_(%u+%d?)%s*=?%s*(%d*)" do
    value = tonumber(given) or value + 1
    known[name] = value
    count = count + 1
  end
  return known, count
end

-- Numbers of the instructions of a file's main function, from the bytes that luac writes.
local function numbers(path)
  local bytes = read("luac5.4 -o - " .. path)
  local at = 4 + 1 + 1 + 6 + 3 + 8 + 8 + 1 + 1 -- head, and the count of upvalues
  local function size()
    local value = 0
    repeat
      local byte = bytes:byte(at)
      at = at + 1
      value = value << 7 | byte & 0x7F
    until byte & 0x80 ~= 0
    return value
  end
  at = at + size() - 1 -- source
  size()
  size() -- lines
  at = at + 3
  local list = {}
  for i = 1, size() do
    list[i] = ("<I4"):unpack(bytes, at) & 0x7F
    at = at + 4
  end
  return list
end

-- Names of the same, which luac lists first.
local function names(path)
  local list = {}
  local main = read("luac5.4 -l -o /dev/null " .. path):match "main <.-\n(.-)\n\n" or ""
  for name in (main .. "\n"):gmatch "%[%-?%d*%]%s+(%u+%d?)" do list[#list + 1] = name end
  return list
end

local PROGRAM = [[
local a, b, t, f = 1, nil, {}, nil
t.k, t[a], t[1], _ENV.x, t["a string that is longer than any that is kept only once in a Lua state"] = 1, 2, 3, 4, 5
a = t.k + t[a] - t[1] * x / 2
if a == b or a < 2 and not b then goto over end
for i = 1, a do f = function() a = i; return a end end
for k, v in pairs(t) do t[v] = k .. v end
::over::
do local c <close> = nil; print(...) end
t:method(a, f(...))
local u = { 1, 2, 3, ... }
local e = _ENV; _ENV = e
return f(u)
]]

describe("the opcodes of bytecode.h", function()
  local known, count = enum()

  it("are counted as the header writes them", function()
    assert.is_true(count >= 30)
    assert.are.equal(83, known.COUNT)
  end)

  it("have the numbers of the installed Lua", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(PROGRAM)
    file:close()
    -- Only the main function is read, whose one upvalue is _ENV.
    local seen = {}
    local paths = { path, "lua/da/define.lua", "lua/da/execution.lua", "lua/da/combine.lua", "lua/da/api.lua" }
    for _, each in ipairs(paths) do
      local number, name = numbers(each), names(each)
      assert.are.equal(#name, #number, each)
      for i = 1, #name do
        if known[name[i]] then
          assert.are.equal(known[name[i]], number[i], name[i])
          seen[name[i]] = true
        end
      end
    end
    os.remove(path)
    local wanted = "MOVE GETUPVAL SETUPVAL GETTABUP GETTABLE GETI GETFIELD SETTABUP SETTABLE SETI SETFIELD SELF LOADNIL JMP EQ TEST " ..
      "CALL TAILCALL RETURN FORLOOP FORPREP TFORPREP TFORCALL TFORLOOP SETLIST CLOSURE VARARG VARARGPREP CLOSE TBC MMBIN"
    for name in wanted:gmatch "%u+" do
      assert.is_true(seen[name], name .. " was not met")
    end
  end)
end)
