-- kill_2_spec.lua - a quarter of the examples, killed; a file of its own, so that processors share them.
-- SPDX-License-Identifier: Apache-2.0
describe("kill (2 of 4)", function()
  require("spec.support.kill").describe(2)
end)
