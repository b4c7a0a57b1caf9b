-- vm_foreign_lineage_spec.lua - what is awaited in another lineage is driven too.
--
-- An execution with an id of its own (with{id=}) is a lineage of its own: `run` drove it only as long as the process
-- lived that made it. After a restart its suspended parent waited for ever.
--
-- SPDX-License-Identifier: Apache-2.0
local lives = require("spec.support.lives")

describe("a child of another lineage", function()
  it("goes on after a restart, when only its parent is asked for", function()
    lives.everywhere { script = "spec/regress/vm_foreign_lineage.lua", out = "60\n" }
  end)
end)
