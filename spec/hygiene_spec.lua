-- hygiene_spec.lua - what must hold of every file of the tree, whatever it is about.
--
-- Here:     head comments, sizes, include guards, plain text, what may lie at the top, what no file may mention.
-- Not here: who may include whom (rooms_spec.lua); format and lints (the runner).
-- Each rule is a function of a path and a text, tried first on texts that break it, then on the files as they are.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")

local TOP = {
  ["CMakeLists.txt"] = true, ["CMakePresets.json"] = true, LICENSE = true, ["README.md"] = true,
  host = true, lua = true, bindings = true, examples = true, spec = true,
}
local FILE_LINES_MAX = 900 -- beyond it a file has two names
local FUNCTION_LINES_MAX = 100 -- most fit a screen; a flat switch may be longer, this is longer still
local HEAD_LINES = 40 -- a head comment ends within them

---------------------------------------------------------------------------------------------------- files

local function skipped(name)
  return name == ".git" or name == ".dahost" or name:find("^build") or name == "node_modules"
end

-- Paths below the working directory, sorted, without what a build or a run leaves behind.
local function files_below(folder, found)
  local scan = uv.fs_scandir(folder)
  if not scan then return found end
  for name, kind in function() return uv.fs_scandir_next(scan) end do
    local path = folder == "." and name or folder .. "/" .. name
    if not skipped(name) then
      if kind == "directory" then files_below(path, found) else found[#found + 1] = path end
    end
  end
  return found
end

local function read(path)
  local file = io.open(path, "rb") -- may be gone since it was listed
  local text = file and file:read("a") or ""
  if file then file:close() end
  return text
end

local function lines_of(text)
  local list = {}
  for line in (text:sub(-1) == "\n" and text or text .. "\n"):gmatch("(.-)\n") do list[#list + 1] = line end
  return list
end

local function has_extension(path, ...)
  for _, each in ipairs({ ... }) do
    if path:sub(-#each - 1) == "." .. each then return true end
  end
  return false
end

local function below(path, ...)
  for _, folder in ipairs({ ... }) do
    if path:sub(1, #folder + 1) == folder .. "/" then return true end
  end
  return false
end

---------------------------------------------------------------------------------------------------- rules

-- Each returns what is wrong as a list of "line: words".
local rules = {}

-- `/* name.c - what it is for`, in the file's own kind of comment. An example may begin with the lines that every script begins with.
rules["a head comment says what the file is for, and its licence"] = function(path, text)
  if not has_extension(path, "c", "h", "lua", "mjs") then return {} end
  local lines, found = lines_of(text), {}
  local name = path:match("[^/]+$"):gsub("%p", "%%%0")
  local purpose
  for i = 1, math.min(#lines, below(path, "examples") and 6 or 1) do
    for _, mark in ipairs({ "/%*", "%-%-", "//" }) do
      purpose = purpose or lines[i]:match("^" .. mark .. " " .. name .. " %- (.+)")
    end
  end
  if not purpose or not purpose:find("%a%a") then
    found[1] = "1: no `" .. path:match("[^/]+$") .. " - purpose` at the head"
  end
  if not table.concat(lines, "\n", 1, math.min(#lines, HEAD_LINES)):find("SPDX%-License%-Identifier: Apache%-2%.0") then
    found[#found + 1] = "1: no SPDX line in the head comment"
  end
  return found
end

-- clang-format runs paragraphs together when a line of them is too long: a label ends up within a line.
rules["a label of a head comment begins its line"] = function(path, text)
  if not has_extension(path, "c", "h") then return {} end
  local found = {}
  for i, line in ipairs(lines_of(text:match("^/%*.-%*/") or "")) do
    local words = line:gsub("^ %*%s+%u[%l ]*:", "")
    if words:find("%S %u%l[%l ]*:  +%S") then found[#found + 1] = i .. ": a label within a line" end
  end
  return found
end

rules["a file has at most " .. FILE_LINES_MAX .. " lines"] = function(path, text)
  if not has_extension(path, "c", "h", "lua") or not below(path, "host", "lua", "bindings") then return {} end
  local count = #lines_of(text)
  return count > FILE_LINES_MAX and { ("%d: too long"):format(count) } or {}
end

-- Functions in our format begin and end with a brace in the first column.
rules["a C function has at most " .. FUNCTION_LINES_MAX .. " lines"] = function(path, text)
  if not has_extension(path, "c", "h") then return {} end
  local found, begin = {}, nil
  for i, line in ipairs(lines_of(text)) do
    if line == "{" then
      begin = i
    elseif line == "}" and begin then
      if i - begin - 1 > FUNCTION_LINES_MAX then found[#found + 1] = ("%d: %d lines"):format(begin, i - begin - 1) end
      begin = nil
    end
  end
  return found
end

rules["a header has a guard with its own name"] = function(path, text)
  if not has_extension(path, "h") then return {} end
  if path == "bindings/dahost.h" then return text:find("#ifndef DAHOST_H\n#define DAHOST_H\n", 1, true) and {} or
    { "1: no guard DAHOST_H" } end
  local guard = "DA_" .. path:gsub("^host/", ""):gsub("[^%w]", "_"):upper()
  if text:find(("#ifndef %s\n#define %s\n"):format(guard, guard), 1, true) then return {} end
  return { "1: no guard " .. guard }
end

rules["a file is plain text: UTF-8, no tabs, no trailing blanks, a newline at the end"] = function(path, text)
  local found = {}
  if path == "LICENSE" or text == "" then return found end
  if not utf8.len(text) then return { "1: not UTF-8" } end
  for i, line in ipairs(lines_of(text)) do
    if line:find("[%c]") then found[#found + 1] = i .. ": a tab or another control character" end
    if line:find(" $") then found[#found + 1] = i .. ": trailing blanks" end
  end
  if text:sub(-1) ~= "\n" then found[#found + 1] = #lines_of(text) .. ": no newline at the end" end
  if text:sub(-2) == "\n\n" then found[#found + 1] = #lines_of(text) .. ": empty lines at the end" end
  return found
end

-- Written in two parts where the whole would break the rule here.
local MENTIONS = {
  { "a path of somebody's machine", { "/wo" .. "rk/", "/ho" .. "me/%w", "/ro" .. "ot/", "/Use" .. "rs/%w" } },
  { "a promise to do it later", { "%f[%w]TO" .. "DO%f[%W]", "%f[%w]FIX" .. "ME%f[%W]", "%f[%w]X" .. "XX%f[%W]" } },
  { "the number of an issue", { "[Ii]ssue #?%d", "%f[%w]GH" .. "%-%d", "issues/%d" } },
  { "a private key", { "BEGIN [%u ]*PRIVATE " .. "KEY" } },
  { "how it was made", { "[Cc]lau" .. "de", "Chat" .. "GPT", "[Cc]opi" .. "lot", "[Ss]ub%-?agen" .. "t" } },
}
local ADDRESS = "([%w._+-]+@[%w-]+%.[%w.-]+%w)"
local NUMERIC_HOST = "%f[%w.](%d+%.%d+%.%d+%.%d+)%f[^%w.]"
-- Loopback, "any", and what RFC 5737 keeps for documents.
local HOSTS = { "^127%.", "^0%.0%.0%.0$", "^192%.0%.2%.", "^198%.51%.100%.", "^203%.0%.113%." }

local function matches(name, patterns)
  for _, pattern in ipairs(patterns) do
    if name:find(pattern) then return true end
  end
  return false
end

rules["a file mentions no machine, account, key or plan"] = function(path, text)
  local found = {}
  if path == "LICENSE" then return found end
  for i, line in ipairs(lines_of(text)) do
    for _, mention in ipairs(MENTIONS) do
      for _, pattern in ipairs(mention[2]) do
        local at = line:find(pattern)
        -- "../work/" is a folder of ours, not a path of a machine; "you" is nobody.
        if at and not line:sub(1, at - 1):find("[%w.}]$") and not line:find("^/home/you/", at) then
          found[#found + 1] = i .. ": " .. mention[1]
        end
      end
    end
    local address = line:match(ADDRESS)
    if address and not address:find("@example%.") then found[#found + 1] = i .. ": an account: " .. address end
    local host = line:match(NUMERIC_HOST)
    if host and not matches(host, HOSTS) then found[#found + 1] = i .. ": a host: " .. host end
  end
  return found
end

-- A document that is gone, or never was here, must not be pointed at.
local function mentions_documents(path, text, exists)
  local found = {}
  if path == "LICENSE" then return found end
  for i, line in ipairs(lines_of(text)) do
    if not line:find("https?://") then
      for name in line:gmatch("([%w_-]+%.md)%f[^%w]") do
        if not exists[name] then found[#found + 1] = i .. ": no such document: " .. name end
      end
    end
  end
  return found
end

---------------------------------------------------------------------------------------------------- specs

local FILES = files_below(".", {})
table.sort(FILES)

local function check_all(rule)
  local found = {}
  for _, path in ipairs(FILES) do
    for _, each in ipairs(rule(path, read(path))) do found[#found + 1] = path .. ":" .. each end
  end
  assert.equal("", table.concat(found, "\n"))
end

describe("every file of the tree", function()
  it("is seen here", function()
    local seen = {}
    for _, path in ipairs(FILES) do seen[path] = true end
    assert.is_true(seen["spec/hygiene_spec.lua"])
    assert.is_true(seen["host/base/bytes.c"])
    assert(#FILES > 50)
  end)

  for name, rule in pairs(rules) do
    it("obeys: " .. name, function() check_all(rule) end)
  end

  it("names no document that does not exist", function()
    local exists = {}
    for _, path in ipairs(FILES) do exists[path:match("[^/]+$")] = true end
    check_all(function(path, text) return mentions_documents(path, text, exists) end)
  end)

  it("lies where it may: at the top there is little", function()
    local found = {}
    local scan = assert(uv.fs_scandir("."))
    for name in function() return uv.fs_scandir_next(scan) end do
      if not TOP[name] and name:sub(1, 1) ~= "." and not name:find("^build") then found[#found + 1] = name end
    end
    assert.equal("", table.concat(found, " "))
  end)
end)

describe("the rules", function()
  local function breaks(name, path, text)
    local rule = rules[name] or error("no rule " .. name)
    return #rule(path, text)
  end
  local HEAD = "a head comment says what the file is for, and its licence"
  local LABEL = "a label of a head comment begins its line"
  local LONG = "a file has at most " .. FILE_LINES_MAX .. " lines"
  local FUNCTION = "a C function has at most " .. FUNCTION_LINES_MAX .. " lines"
  local GUARD = "a header has a guard with its own name"
  local PLAIN = "a file is plain text: UTF-8, no tabs, no trailing blanks, a newline at the end"
  local MENTION = "a file mentions no machine, account, key or plan"
  local SPDX = "SPDX-License-Identifier: " .. "Apache-2.0"

  it("know a head when they see one", function()
    assert.equal(0, breaks(HEAD, "host/base/x.c", "/* x.c - small things.\n * " .. SPDX .. " */\n"))
    assert.equal(1, breaks(HEAD, "host/base/x.c", "/* x.c - small things. */\n"))
    assert.equal(1, breaks(HEAD, "host/base/x.c", "/* y.c - small things.\n * " .. SPDX .. " */\n"))
    assert.equal(1, breaks(HEAD, "host/base/x.c", "/* x.c - \n * " .. SPDX .. " */\n"))
    assert.equal(1, breaks(HEAD, "host/base/x.c", "\n/* x.c - small things.\n * " .. SPDX .. " */\n"))
    assert.equal(0, breaks(HEAD, "spec/interop/x.mjs", "// x.mjs - small things.\n// " .. SPDX))
    assert.equal(1, breaks(HEAD, "spec/interop/x.mjs", "// " .. SPDX))
    assert.equal(1, breaks(HEAD, "lua/da/x.lua", "-- x.lua - small things.\n" .. ("\n"):rep(50) .. "-- " .. SPDX))
    assert.equal(0, breaks(HEAD, "spec/engine/x_spec.lua", "-- x_spec.lua - task.get.\n-- " .. SPDX))
    assert.equal(0, breaks(HEAD, "examples/x.lua", "local da\n\n-- x.lua - small things.\n-- " .. SPDX))
    assert.equal(2, breaks(HEAD, "examples/x.lua", "local da = require 'da'\n"))
    assert.equal(0, breaks(HEAD, "README.md", ""))
  end)

  it("know a label that begins its line", function()
    assert.equal(0, breaks(LABEL, "x.h", "/* x.h - things.\n *\n * Here:     words.\n * Threads:  any.\n */\n"))
    assert.equal(1, breaks(LABEL, "x.h", "/* x.h - things.\n *\n * Here:     words. Threads:  any.\n */\n"))
    assert.equal(1, breaks(LABEL, "x.h", "/* x.h - things.\n *\n * words and words. May not:  know.\n */\n"))
    assert.equal(0, breaks(LABEL, "x.h", "/* x.h - things. */\n/* so. Threads:  any. */\n"))
  end)

  it("know long files and long functions", function()
    assert.equal(0, breaks(LONG, "host/base/x.c", ("\n"):rep(FILE_LINES_MAX)))
    assert.equal(1, breaks(LONG, "host/base/x.c", ("\n"):rep(FILE_LINES_MAX + 1)))
    assert.equal(0, breaks(LONG, "spec/x.lua", ("\n"):rep(FILE_LINES_MAX + 1)))
    local body = ("  x();\n"):rep(FUNCTION_LINES_MAX)
    assert.equal(0, breaks(FUNCTION, "x.c", "void f(void)\n{\n" .. body .. "}\n"))
    assert.equal(1, breaks(FUNCTION, "x.c", "void f(void)\n{\n" .. body .. "  y();\n}\n"))
  end)

  it("know a guard", function()
    assert.equal(0, breaks(GUARD, "host/base/x.h", "#ifndef DA_BASE_X_H\n#define DA_BASE_X_H\n"))
    assert.equal(1, breaks(GUARD, "host/base/x.h", "#ifndef DA_BASE_Y_H\n#define DA_BASE_Y_H\n"))
    assert.equal(1, breaks(GUARD, "host/base/x.h", "#pragma once\n"))
    assert.equal(0, breaks(GUARD, "bindings/bind_x.h", "#ifndef DA_BINDINGS_BIND_X_H\n#define DA_BINDINGS_BIND_X_H\n"))
  end)

  it("know plain text", function()
    assert.equal(0, breaks(PLAIN, "x", "größe\n\nx\n"))
    for _, bad in ipairs({ "x", "x \n", "\tx\n", "x\r\n", "x\0\n", "x\n\n", "\xff\n" }) do
      assert.equal(1, breaks(PLAIN, "x", bad))
    end
  end)

  it("know what is not to be mentioned", function()
    local bad = {
      "cd /wo" .. "rk/x", "see /ho" .. "me/bob", '"/ro' .. 'ot/x"', "-- TO" .. "DO: more", "/* FIX" .. "ME */",
      "a fix for issue " .. "#12", "GH" .. "-7", "see issues" .. "/7", "mail bob" .. "@host.net", "on 10.1" .. ".2.3",
      "-----BEGIN RSA PRIVATE " .. "KEY-----", "by Clau" .. "de",
    }
    for _, line in ipairs(bad) do assert.equal(1, breaks(MENTION, "x", line .. "\n"), line) end
    local good = {
      '#include "../work/x.h"', "dahost-XXXXXX", "127.0.0.1:8001", "5.4.4", "poll://any@gpu", "bob@example.com",
      "table: #7", "the issue is", "mkdir build/work/x", "${root}/home/x", "TODOS", "version 192.0.2.7",
      "(store /home/you/.dahost)",
    }
    for _, line in ipairs(good) do assert.equal(0, breaks(MENTION, "x", line .. "\n"), line) end
  end)

  it("know a document that does not exist", function()
    local exists = { ["README.md"] = true }
    assert.equal(0, #mentions_documents("x", "see README.md, data.mdb and https://x.org/NEWS.md\n", exists))
    assert.equal(1, #mentions_documents("x", "see NEWS" .. ".md\n", exists))
  end)
end)
