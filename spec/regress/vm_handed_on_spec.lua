-- vm_handed_on_spec.lua - a promise that is given to somebody else is found there, though it has not ended yet.
--
-- A step and a branch are recorded when they end. A child workflow that was given the promise of one under way found
-- nothing under its id, and its await raised not_found.
--
-- SPDX-License-Identifier: Apache-2.0
local lives = require("spec.support.lives")

describe("the promise of a step or of a branch that has not ended", function()
  it("can be awaited by whoever is given it, through kills", function()
    lives.everywhere { script = "spec/regress/vm_handed_on.lua", out = '[1,2,3,"broken"]\n', every = 2 }
  end)
end)
