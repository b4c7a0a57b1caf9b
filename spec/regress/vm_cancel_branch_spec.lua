-- vm_cancel_branch_spec.lua - branches and combinators end when they are cancelled.
--
-- Cancelling a branch or a combinator did nothing, so that the loser of a race, what ran into a time-out, and the
-- branches of a scope that failed were waited for to their own end: here ten minutes.
--
-- SPDX-License-Identifier: Apache-2.0
local lives = require("spec.support.lives")

describe("a cancelled branch", function()
  it("ends at its await, and so does what it waits for", function()
    lives.everywhere {
      script = "spec/regress/vm_cancel_branch.lua",
      out = '"loser:canceled late:canceled timedout timedout inner:canceled false:broken"\n',
    }
  end)
end)
