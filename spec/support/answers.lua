-- answers.lua - keeps every answer that a spec gets from the server, for the published SDK to judge at the end of the run.
--
-- Here:    keep(), a line in a file of this process, if DA_ANSWERS names a folder; all(), what lies there. The judge is
--          interop/guard_spec.lua.
-- Lines:   the kind of what it is ("answer" or "message"), the kind that was asked, a tab, the JSON as it came.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")

local M = {}

M.folder = os.getenv("DA_ANSWERS") -- nil: nothing is kept
local file

-- text: the body of an answer to the request `kind`, or, without kind, a message to a worker.
function M.keep(text, kind)
  if not M.folder then return end
  file = file or assert(io.open(("%s/%d.txt"):format(M.folder, uv.os_getpid()), "a"))
  -- A line end in JSON is space between its words.
  file:write(kind and "answer " or "message ", (tostring(kind or "-"):gsub("[\t\n]", " ")), "\t",
    (text:gsub("[\r\n]", " ")), "\n")
  file:flush()
end

function M.all()
  local parts, scan = {}, uv.fs_scandir(M.folder)
  while scan do
    local name = uv.fs_scandir_next(scan)
    if not name then break end
    if name:find("%.txt$") then
      local one = assert(io.open(M.folder .. "/" .. name, "rb"))
      parts[#parts + 1] = one:read("a")
      one:close()
    end
  end
  return table.concat(parts)
end

return M
