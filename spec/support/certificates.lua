-- certificates.lua - certificates and keys for specs, made by openssl(1): an authority of their own, and what it signs.
-- SPDX-License-Identifier: Apache-2.0
local M = {}

local function openssl(place, command)
  local pipe = io.popen(("cd '%s' && openssl %s 2>&1; echo \"exit $?\""):format(place.dir, command))
  local text = pipe:read("a")
  pipe:close()
  assert(text:find("exit 0\n$"), "openssl " .. command .. "\n" .. text)
end

-- Keys on an elliptic curve, since they are made at once.
local KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

-- An authority in the place: ca.pem, ca.key.
function M.authority(place)
  openssl(place, ("req -x509 %s -keyout ca.key -out ca.pem -days 2 -subj '/CN=spec authority' " ..
    "-addext basicConstraints=critical,CA:TRUE"):format(KEY))
end

-- A certificate for names ("DNS:localhost,IP:127.0.0.1"), signed by the authority: the paths of it and of its key.
-- days may be below 0: it has expired.
function M.signed(place, name, names, days)
  place:write(name .. ".ext", ("subjectAltName=%s\nbasicConstraints=CA:FALSE\n"):format(names))
  openssl(place, ("req %s -keyout %s.key -out %s.csr -subj '/CN=%s'"):format(KEY, name, name, name))
  openssl(place, ("x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -set_serial %d -days %d -extfile %s.ext -out %s.pem"):format(
    name, math.random(1, 1 << 30), days or 2, name, name))
  return place.dir .. "/" .. name .. ".pem", place.dir .. "/" .. name .. ".key"
end

return M
