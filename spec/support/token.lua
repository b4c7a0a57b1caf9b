-- token.lua - tokens for specs: keys and signatures of openssl(1), so that nothing of ours says what is right.
--
-- Here:    base64url; make(alg, ...): a key of a kind in a folder; sign(): any header, any claims, as text or as tables.
-- Needs:   openssl(1) from 3.0 on, lua-dkjson.
--
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")

local M = {}

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

function M.base64url(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    for k = 0, c and 3 or b and 2 or 1 do
      local at = (bits >> (18 - 6 * k) & 63) + 1
      out[#out + 1] = ALPHABET:sub(at, at)
    end
  end
  return table.concat(out)
end

local function write(path, bytes)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("a")
  file:close()
  return bytes
end

local function openssl(...)
  local words = {}
  for _, word in ipairs({ ... }) do words[#words + 1] = "'" .. word:gsub("'", "'\\''") .. "'" end
  local pipe = assert(io.popen("openssl " .. table.concat(words, " ") .. " 2>&1"))
  local out = pipe:read("a")
  assert(pipe:close(), out)
  return out
end
M.openssl = openssl

-- What `openssl genpkey` needs for a key of each kind.
local KINDS = {
  rsa = { "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048" },
  rsa1024 = { "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024" },
  p256 = { "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256" },
  p384 = { "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384" },
  p521 = { "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521" },
  k256 = { "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1" },
  ed25519 = { "-algorithm", "ED25519" },
  ed448 = { "-algorithm", "ED448" },
  x25519 = { "-algorithm", "X25519" },
}

-- A key: its paths (`private`, `public`), or `secret`, the bytes, with `path`.
function M.key(dir, kind, name)
  local base = dir .. "/" .. (name or kind)
  local key = { kind = kind, dir = dir, private = base .. ".key", public = base .. ".pem" }
  openssl("genpkey", "-out", key.private, table.unpack(KINDS[kind]))
  openssl("pkey", "-in", key.private, "-pubout", "-out", key.public)
  return key
end

function M.secret(dir, bytes, name)
  local path = dir .. "/" .. (name or "secret")
  write(path, bytes)
  return { kind = "secret", dir = dir, secret = bytes, path = path }
end

-- The two numbers of a DER signature side by side, `half` bytes each.
local function pair(der, half)
  local r_len = der:byte(4)
  local r = der:sub(5, 4 + r_len)
  local s = der:sub(7 + r_len)
  assert(#s == der:byte(6 + r_len))
  local function fit(n)
    n = n:gsub("^\0+", "")
    return ("\0"):rep(half - #n) .. n
  end
  return fit(r) .. fit(s)
end

local HALVES = { p256 = 32, p384 = 48 }

-- The bytes of a signature as the algorithm of that name has it; the key may be of another kind than it wants.
function M.signature(key, alg, text)
  local input, output = key.dir .. "/signed", key.dir .. "/signature"
  write(input, text)
  local digest = "-sha" .. (alg:match("%d+$") or "256")
  if key.secret then
    openssl("dgst", digest, "-binary", "-out", output, "-mac", "HMAC", "-macopt",
      "hexkey:" .. key.secret:gsub(".", function(c) return ("%02x"):format(c:byte()) end), input)
  elseif key.kind == "ed25519" or key.kind == "ed448" then
    openssl("pkeyutl", "-sign", "-rawin", "-inkey", key.private, "-in", input, "-out", output)
  elseif alg:find("^PS") then
    openssl("dgst", digest, "-sign", key.private, "-sigopt", "rsa_padding_mode:pss", "-sigopt",
      "rsa_pss_saltlen:" .. (key.salt or "digest"), "-out", output, input)
  else
    openssl("dgst", digest, "-sign", key.private, "-out", output, input)
  end
  local bytes = read(output)
  return HALVES[key.kind] and pair(bytes, HALVES[key.kind]) or bytes
end

local function text_of(part)
  return type(part) == "table" and json.encode(part) or part
end

-- A token. header and claims: tables, or text as it is; header nil: {"alg":alg,"typ":"JWT"}.
function M.sign(key, alg, claims, header)
  local text = M.base64url(text_of(header or { alg = alg, typ = "JWT" })) .. "." .. M.base64url(text_of(claims))
  return text .. "." .. M.base64url(M.signature(key, alg, text))
end

return M
