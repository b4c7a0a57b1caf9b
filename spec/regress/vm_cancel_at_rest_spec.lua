-- vm_cancel_at_rest_spec.lua - a request to cancel while its execution is being suspended.
--
-- A request to cancel that was written just before its execution was suspended woke nobody: it had found a task that was
-- held, and a suspension forgets what it was told before. The parent then waited for ever.
--
-- SPDX-License-Identifier: Apache-2.0
local lives = require("spec.support.lives")

describe("a request to cancel", function()
  it("reaches a child at every moment of its first suspension", function()
    local spec = { script = "spec/regress/vm_cancel_at_rest.lua", args = { "60" }, out = "60\n" }
    for _, mode in ipairs { "plain", "cold", "image" } do lives.live(spec, {}, mode) end
  end)

  it("reaches it after a kill", function()
    lives.everywhere { script = "spec/regress/vm_cancel_at_rest.lua", args = { "4" }, out = "4\n" }
  end)
end)
