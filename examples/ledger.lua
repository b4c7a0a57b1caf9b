-- ledger.lua - a plain file in which steps note that they ran, so that anyone can count how often.
-- A module beside the script travels with it. Only steps may call note(): in a workflow the outside
-- world (io, os.getenv) is out of reach.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"

local ledger = {}

-- Adds one line, "<id of the step> <what it did>", to the file that LEDGER names.
function ledger.note(...)
  local path = os.getenv "LEDGER"
  if not path then return end
  local file = assert(io.open(path, "a"))
  file:write(da.id(), " ", table.concat({ ... }, " "), "\n")
  file:close()
end

return ledger
