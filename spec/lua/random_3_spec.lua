-- random_3_spec.lua - a quarter of the random programs; a file of its own, so that processors share them.
-- SPDX-License-Identifier: Apache-2.0
describe("random programs (3 of 4)", function()
  require("spec.support.random_trial").describe(3)
end)
