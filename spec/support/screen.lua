-- screen.lua - what stands on a terminal after the bytes that were sent to it.
--
-- Here:    lines that scroll, the cursor, wrapping at the margin, wide characters, colours (skipped), and the two codes
--          that the view moves with: up, erase below. Any other code is an error: the view has no use for it.
--
-- SPDX-License-Identifier: Apache-2.0

-- Columns of a character, as terminals count.
local function width_of(point)
  if (point >= 0x300 and point <= 0x36f) or (point >= 0x200b and point <= 0x200f) then return 0 end
  if (point >= 0x1100 and point <= 0x115f) or (point >= 0x2e80 and point <= 0xa4cf) or (point >= 0xac00 and point <= 0xd7a3)
    or (point >= 0xff00 and point <= 0xff60) or (point >= 0x1f300 and point <= 0x1faff) then
    return 2
  end
  return 1
end

local Screen = {}
Screen.__index = Screen

local function new(columns, rows)
  return setmetatable({ columns = columns, rows = rows, lines = { {} }, row = 1, column = 0 }, Screen)
end

function Screen:down()
  self.row = self.row + 1
  self.lines[self.row] = self.lines[self.row] or {}
end

function Screen:put(char, width)
  if self.column + width > self.columns and self.column > 0 then
    self:down()
    self.column = 0
  end
  local line = self.lines[self.row]
  for i = 0, self.column - 1 do line[i] = line[i] or " " end
  line[self.column] = char
  for i = 1, width - 1 do line[self.column + i] = "" end
  self.column = self.column + width
end

function Screen:code(numbers, letter)
  if letter == "m" then
    self.painted = numbers ~= "0" and numbers ~= ""
  elseif letter == "A" then
    local top = math.max(1, #self.lines - self.rows + 1)
    self.row = math.max(top, self.row - tonumber(numbers))
  elseif letter == "J" and numbers == "" then
    for i = #self.lines, self.row + 1, -1 do self.lines[i] = nil end
    local line = self.lines[self.row]
    for i = self.column, #line do line[i] = nil end
  else
    error(("a code that the view has no use for: ESC [ %s %s"):format(numbers, letter), 0)
  end
end

-- The text of a line; its width in columns.
function Screen:line(i)
  local line = self.lines[i]
  local width = line[0] == nil and 0 or #line + 1
  local parts = {}
  for k = 0, width - 1 do parts[#parts + 1] = line[k] end
  return (table.concat(parts):gsub(" +$", "")), width
end

function Screen:text()
  local lines = {}
  for i = 1, #self.lines do lines[i] = self:line(i) end
  return table.concat(lines, "\n")
end

return function(bytes, columns, rows)
  local screen = new(columns, rows or 1000)
  local at = 1
  while at <= #bytes do
    local _, last, numbers, letter = bytes:find("^\27%[([%d;]*)(%a)", at)
    if last then
      screen:code(numbers, letter)
      at = last + 1
    else
      local char = assert(bytes:match("^" .. utf8.charpattern, at))
      local point = utf8.codepoint(char)
      if char == "\n" then
        screen:down()
      elseif char == "\r" then
        screen.column = 0
      elseif char == "\t" then
        repeat screen:put(" ", 1) until screen.column % 8 == 0
      elseif point < 32 or (point >= 0x7f and point < 0xa0) then
        error(("a control character on the screen: 0x%02x"):format(point), 0)
      else
        screen:put(char, width_of(point))
      end
      at = at + #char
    end
  end
  return screen
end
