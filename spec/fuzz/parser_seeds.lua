-- parser_seeds.lua - what the parser's target begins with: the table of its spec, and some responses.
-- SPDX-License-Identifier: Apache-2.0
local cases = require("spec.net.http_cases")

local seeds = {}

local function add(choice, bytes) seeds[#seeds + 1] = string.char(choice) .. bytes end

for _, case in ipairs(cases.good) do add(0, case.bytes) end
for _, case in ipairs(cases.bad) do add(4, case.bytes) end
for _, bytes in ipairs {
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204\r\n\r\n",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n",
  "HTTP/1.0 200 OK\r\n\r\nuntil the end",
} do
  add(1, bytes)
  add(3, bytes)
end

return seeds
