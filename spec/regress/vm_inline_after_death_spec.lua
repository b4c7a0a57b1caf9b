-- vm_inline_after_death_spec.lua - after the death of a process the first inline step ran only when the mark of that death
-- was durable, so that it saw what had been assigned behind its call.
-- SPDX-License-Identifier: Apache-2.0
local lives = require("spec.support.lives")

describe("an inline step after a death", function()
  it("runs where it is called", function()
    lives.everywhere { script = "spec/regress/vm_inline_after_death.lua", out = "[1,2]\n" }
  end)
end)
