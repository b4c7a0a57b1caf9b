-- far_back.lua - the other group of far.lua.
-- SPDX-License-Identifier: Apache-2.0
local da = require "da"

function da.async.echo(x) return x end
