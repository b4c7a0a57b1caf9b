-- counter.lua - a module beside the script: runs once per execution.
-- SPDX-License-Identifier: Apache-2.0
local M = { loads = 0 }
M.loads = M.loads + 1
return M
