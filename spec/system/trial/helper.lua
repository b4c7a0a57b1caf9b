-- helper.lua - a module beside the script.
-- SPDX-License-Identifier: Apache-2.0
return { prices = { tea = 3, cake = 5 } }
