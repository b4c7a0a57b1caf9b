-- vm_nothing_found_spec.lua - da.get() of nothing is recorded.
--
-- That da.get() found nothing was recorded nowhere: a replay that found the promise, made meanwhile, took another path
-- and parked.
--
-- SPDX-License-Identifier: Apache-2.0
local lives = require("spec.support.lives")

describe("da.get of nothing", function()
  it("finds as little when it is replayed", function()
    lives.everywhere { script = "spec/regress/vm_nothing_found.lua", out = '"not_found late"\n' }
  end)
end)
