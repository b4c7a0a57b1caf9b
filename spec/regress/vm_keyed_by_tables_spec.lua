-- vm_keyed_by_tables_spec.lua - what may not be moved from slot to slot.
--
-- What loading a script leaves is copied from slot to slot. A table keyed by tables or functions is ordered by their
-- addresses, so such a script must be found out and loaded anew in each slot.
--
-- SPDX-License-Identifier: Apache-2.0
local lives = require("spec.support.lives")

describe("a script with tables keyed by tables", function()
  it("finds its keys in every isolate", function()
    lives.live({ script = "spec/regress/vm_keyed_by_tables.lua", args = { "100" }, out = "5050\n" }, {}, false)
  end)
end)
