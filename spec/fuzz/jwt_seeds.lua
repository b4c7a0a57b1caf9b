-- jwt_seeds.lua - what the target of tokens begins with: headers, claims, tokens.
-- SPDX-License-Identifier: Apache-2.0
local token = require("spec.support.token")

local parts = {
  '{"alg":"none"}', '{"alg":"HS256","typ":"JWT","kid":"1"}', '{"alg":"HS256","crit":["b64"],"b64":false}',
  '{"alg":"a","\\u0061lg":"b"}', '{"exp":9999999999}', '{"exp":9999999999.5,"nbf":-1e300,"prefix":""}',
  '{"exp":1e999}', '{"exp":-9223372036854775808}', '{"exp":9999999999,"role":"ADMIN","prefix":"\\ud83d\\ude00"}',
  '{"exp":9999999999,"aud":"a","iss":"b"}', '{"exp":9999999999,"aud":["a","b",""]}', '{"exp":9999999999,"aud":{}}',
  "[]", "", "null", '{"exp":',
}

local seeds = {}
for _, part in ipairs(parts) do
  seeds[#seeds + 1] = part
  seeds[#seeds + 1] = token.base64url(parts[1]) .. "." .. token.base64url(part) .. "."
  seeds[#seeds + 1] = token.base64url(part) .. "." .. token.base64url(parts[5]) .. "." .. token.base64url(part)
end
return seeds
