-- auth_spec.lua - tokens: every algorithm, everything that is refused and why, what a token's prefix covers.
--
-- Keys and signatures are made by openssl(1) while this runs.
-- SPDX-License-Identifier: Apache-2.0
local probe = require("da_probe")
local program = require("spec.support.program")
local token = require("spec.support.token")

local NOW = 1764140000000 -- ms
local SOON = NOW // 1000 + 3600
local SECRET = ("s"):rep(64)

local place = program.place()
local keys = {}
for _, kind in ipairs({ "rsa", "p256", "p384", "ed25519" }) do keys[kind] = token.key(place.dir, kind) end
keys.secret = token.secret(place.dir, SECRET)

local function made(options)
  local auth, name, words = probe.auth(options)
  return assert(auth, tostring(name) .. ": " .. tostring(words))
end

local function auth_of(key)
  return made(key.secret and { secret_file = key.path } or { public_key = key.public })
end

local function refused(auth, text, now)
  local claims, why = auth:check(text, now or NOW)
  assert.is_nil(claims)
  return why
end

local ALGORITHMS = {
  { "RS256", "rsa" }, { "RS384", "rsa" }, { "RS512", "rsa" }, { "PS256", "rsa" }, { "PS384", "rsa" }, { "PS512", "rsa" },
  { "ES256", "p256" }, { "ES384", "p384" }, { "EdDSA", "ed25519" },
  { "HS256", "secret" }, { "HS384", "secret" }, { "HS512", "secret" },
}

teardown(function() place:remove() end)

describe("a token", function()
  for _, row in ipairs(ALGORITHMS) do
    local alg, key = row[1], keys[row[2]]

    it("of " .. alg .. " is taken if the key's holder signed it, and no byte of it can be another", function()
      local auth = auth_of(key)
      local text = token.sign(key, alg, { exp = SOON, prefix = "team-", role = "user" })
      assert.same({ admin = false, prefix = "team-" }, auth:check(text, NOW))
      for i = 1, #text do
        -- The least change, and one that stays in the alphabet.
        local byte = text:byte(i)
        for _, other in ipairs({ byte ~ 1, byte == 65 and 66 or 65 }) do
          local bad = text:sub(1, i - 1) .. string.char(other) .. text:sub(i + 1)
          assert.is_nil(auth:check(bad, NOW), bad)
        end
        assert.is_nil(auth:check(text:sub(1, i - 1) .. text:sub(i + 1), NOW), "without byte " .. i)
      end
      assert.truthy(auth:check(text, NOW))
    end)

    it("of " .. alg .. " is refused by a key of its kind that did not sign it", function()
      local other = key.secret and token.secret(place.dir, ("t"):rep(64), "other") or
        token.key(place.dir, key.kind, "other")
      local text = token.sign(other, alg, { exp = SOON })
      assert.equal("its signature is not one of this key", refused(auth_of(key), text))
      assert.truthy(auth_of(other):check(text, NOW))
    end)
  end

  it("has no byte that can be any other one", function()
    local auth = auth_of(keys.secret)
    local text = token.sign(keys.secret, "HS256", { exp = SOON })
    for i = 1, #text do
      for byte = 0, 255 do
        local other = text:sub(1, i - 1) .. string.char(byte) .. text:sub(i + 1)
        if other ~= text then assert.is_nil(auth:check(other, NOW), other) end
      end
    end
  end)

  it("takes every algorithm of its key and no other", function()
    for kind, key in pairs(keys) do
      local auth = auth_of(key)
      for _, row in ipairs(ALGORITHMS) do
        local text = token.sign(keys[row[2]], row[1], { exp = SOON })
        local claims, why = auth:check(text, NOW)
        if row[2] == kind then
          assert.truthy(claims, row[1] .. ": " .. tostring(why))
        else
          assert.equal("its algorithm is none of the key's", why)
        end
      end
    end
  end)

  it("cannot turn a public key into a secret", function()
    for _, kind in ipairs({ "rsa", "p256", "p384", "ed25519" }) do
      local key = keys[kind]
      local pem = place:read(kind .. ".pem")
      for _, bytes in ipairs({ pem, (pem:gsub("\n$", "")), (pem:gsub("%-%-[^\n]*\n?", "")) }) do
        local forged = token.secret(place.dir, bytes, "forged")
        for _, alg in ipairs({ "HS256", "HS384", "HS512" }) do
          assert.equal("its algorithm is none of the key's",
            refused(auth_of(key), token.sign(forged, alg, { exp = SOON, role = "admin" })))
        end
      end
    end
  end)

  it("cannot go without a signature", function()
    for _, alg in ipairs({ "none", "None", "NONE", "nOnE", "", "hs256", "Hs256", "eddsa", "EDDSA", "es256", "rs256" }) do
      for _, key in pairs(keys) do
        local text = token.sign(keys.secret, "HS256", { exp = SOON, role = "admin" }, { alg = alg })
        local auth = auth_of(key)
        assert.equal("its algorithm is none of the key's", refused(auth, text))
        assert.equal("its algorithm is none of the key's", refused(auth, text:match("^.*%.")))
      end
    end
    for _, row in ipairs(ALGORITHMS) do
      local text = token.sign(keys[row[2]], row[1], { exp = SOON })
      assert.equal("its signature is not one of this key", refused(auth_of(keys[row[2]]), text:match("^.*%.")))
    end
  end)

  it("of an EC key has two numbers of the key's size, not DER, no zeros, no more and no less", function()
    local auth = auth_of(keys.p256)
    local text = token.sign(keys.p256, "ES256", { exp = SOON })
    local head = text:match("^.*%.")
    for _, bytes in ipairs({ ("\0"):rep(64), ("\255"):rep(64), ("\0"):rep(63) .. "\1", "", "\0", ("\0"):rep(63),
      ("\0"):rep(65), ("\0"):rep(96), "0\6\2\1\1\2\1\1" }) do
      assert.equal("its signature is not one of this key", refused(auth, head .. token.base64url(bytes)))
    end
  end)

  it("of PS256 has a salt as long as its digest", function()
    keys.rsa.salt = "20"
    local text = token.sign(keys.rsa, "PS256", { exp = SOON })
    keys.rsa.salt = nil
    assert.equal("its signature is not one of this key", refused(auth_of(keys.rsa), text))
  end)
end)

-- Header, claims (nil: good ones), and why; signed for good, so that nothing but what is said is wrong with it.
local HEADERS = {
  { '{"alg":"HS256","alg":"HS256"}', "its header names a member twice" },
  { '{"alg":"HS256","\\u0061lg":"HS256"}', "its header names a member twice" },
  { '{"alg":"HS256","x":1,"x":2}', "its header names a member twice" },
  { '{"alg":"HS256","crit":["exp"]}', "its header demands extensions (crit)" },
  { '{"alg":"HS256","crit":[]}', "its header demands extensions (crit)" },
  { '{"alg":"HS256","crit":null}', "its header demands extensions (crit)" },
  { '{"alg":"HS256","b64":false}', "its header demands extensions (crit)" },
  { '{"typ":"JWT"}', "its header names no algorithm" },
  { '{"alg":null}', "its header names no algorithm" },
  { '{"alg":["HS256"]}', "its header names no algorithm" },
  { '{"alg":256}', "its header names no algorithm" },
  { '{"ALG":"HS256"}', "its header names no algorithm" },
  { '{"alg":"HS256 "}', "its algorithm is none of the key's" },
  { '{"alg":"HS1"}', "its algorithm is none of the key's" },
  { '{"alg":"HS256\\u0000"}', "its header is not a JSON object" },
  { '["HS256"]', "its header is not a JSON object" },
  { '"HS256"', "its header is not a JSON object" },
  { "null", "its header is not a JSON object" },
  { "", "its header is not a JSON object" },
  { "{", "its header is not a JSON object" },
  { '{"alg":"HS256"} {}', "its header is not a JSON object" },
  { '{"alg":"HS256",}', "its header is not a JSON object" },
  { "{'alg':'HS256'}", "its header is not a JSON object" },
  { '{"alg":"HS256","x":"\255"}', "its header is not a JSON object" },
  { '{"alg":"HS256","x":"\1"}', "its header is not a JSON object" },
  { '\239\187\191{"alg":"HS256"}', "its header is not a JSON object" },
  { '{"alg":"HS256","x":' .. ("["):rep(300) .. ("]"):rep(300) .. "}", "its header is not a JSON object" },
  { '{"alg":"HS256"' .. (function()
    local more = {}
    for i = 1, 64 do more[i] = (',"m%d":0'):format(i) end
    return table.concat(more)
  end)() .. "}", "its header is not a JSON object" },
}

local CLAIMS = {
  { "{}", "it has no exp" },
  { '{"EXP":9999999999}', "it has no exp" },
  { '{"exp":null}', "its exp is no number of seconds" },
  { '{"exp":"9999999999"}', "its exp is no number of seconds" },
  { '{"exp":true}', "its exp is no number of seconds" },
  { '{"exp":[9999999999]}', "its exp is no number of seconds" },
  { '{"exp":1e999}', "its exp is no number of seconds" },
  { '{"exp":0}', "it has expired" },
  { '{"exp":-1}', "it has expired" },
  { '{"exp":-1e300}', "it has expired" },
  { '{"exp":1.5}', "it has expired" },
  { '{"exp":-9223372036854775808}', "it has expired" },
  { '{"exp":%LATE%}', "it has expired" },
  { '{"exp":%LATE%.999}', "it has expired" },
  { '{"exp":NaN}', "its payload is not a JSON object" },
  { '{"exp":Infinity}', "its payload is not a JSON object" },
  { '{"exp":0x7fffffff}', "its payload is not a JSON object" },
  { '{"exp":09999999999}', "its payload is not a JSON object" },
  { '{"exp":9999999999,"exp":9999999999}', "its payload names a claim twice" },
  { '{"exp":1,"\\u0065xp":9999999999}', "its payload names a claim twice" },
  { '{"exp":9999999999,"prefix":"a","prefix":""}', "its payload names a claim twice" },
  { '{"exp":9999999999,"role":"user","r\\u006fle":"admin"}', "its payload names a claim twice" },
  { '{"exp":9999999999,"nbf":"0"}', "its nbf is no number of seconds" },
  { '{"exp":9999999999,"nbf":null}', "its nbf is no number of seconds" },
  { '{"exp":9999999999,"nbf":9999999998}', "it is not valid yet (nbf)" },
  { '{"exp":9999999999,"nbf":1e308}', "it is not valid yet (nbf)" },
  { '{"exp":9999999999,"iss":7}', "its iss is not a string" },
  { '{"exp":9999999999,"iss":["issuer"]}', "its iss is not a string" },
  { '{"exp":9999999999,"iss":null}', "its iss is not a string" },
  { '{"exp":9999999999,"aud":7}', "its aud is neither a string nor an array of strings" },
  { '{"exp":9999999999,"aud":{"a":"audience"}}', "its aud is neither a string nor an array of strings" },
  { '{"exp":9999999999,"aud":["audience",7]}', "its aud is neither a string nor an array of strings" },
  { '{"exp":9999999999,"aud":[["audience"]]}', "its aud is neither a string nor an array of strings" },
  { '{"exp":9999999999,"aud":null}', "its aud is neither a string nor an array of strings" },
  { "[]", "its payload is not a JSON object" },
  { '"exp"', "its payload is not a JSON object" },
  { "", "its payload is not a JSON object" },
  { '{"exp":9999999999', "its payload is not a JSON object" },
  { '{"exp":9999999999}\0', "its payload is not a JSON object" },
  { '{"exp":9999999999,"prefix":"\\u0000"}', "its payload is not a JSON object" },
  { '{"exp":9999999999,"prefix":"\\ud800"}', "its payload is not a JSON object" },
  { '{"exp":9999999999,"prefix":"\192\128"}', "its payload is not a JSON object" },
}

local THREE = "not three parts with dots between them"
-- What a good token becomes, and why it is refused then.
local SHAPES = {
  { "", "no token" },
  { ".", THREE }, { "..", "its header is not a JSON object" }, { "...", THREE }, { "a", THREE }, { "a.b", THREE },
  { function(t) return t .. "." end, THREE },
  { function(t) return t .. ".AA.AA" end, THREE },
  { function(t) return "." .. t end, THREE },
  { function(t) return (t:gsub("%.", "..", 1)) end, THREE },
  { function(t) return t .. "=" end, "its signature is not base64url" },
  { function(t) return t .. "==" end, "its signature is not base64url" },
  { function(t) return t .. "\n" end, "its signature is not base64url" },
  { function(t) return t .. " " end, "its signature is not base64url" },
  { function(t) return t .. "\0" end, "its signature is not base64url" },
  { function(t) return t .. "A" end, "its signature is not one of this key" },
  { function(t) return t .. "AA" end, "its signature is not base64url" },
  { function(t) return t .. "AAAA" end, "its signature is not one of this key" },
  { function(t) return t:sub(1, -3) end, "its signature is not base64url" },
  { function(t) return " " .. t end, "its header is not base64url" },
  { function(t) return "Bearer " .. t end, "its header is not base64url" },
  { function(t) return "+" .. t:sub(2) end, "its header is not base64url" },
  { function(t) return "/" .. t:sub(2) end, "its header is not base64url" },
  { function(t) return "\255" .. t:sub(2) end, "its header is not base64url" },
  { function(t) return (t:gsub("%.", "=.", 1)) end, "its header is not base64url" },
  { function(t) return (t:gsub("%.", "=.", 2):gsub("=%.", ".", 1)) end, "its payload is not base64url" },
  { function(t) return (t:gsub("%.[^.]*%.", "..")) end, "its signature is not one of this key" },
  { function(t) return t:match("^.*%.") end, "its signature is not one of this key" },
  { ("x"):rep(8193), "longer than a token may be" },
  { ("x."):rep(5000), "longer than a token may be" },
}

describe("a token is refused", function()
  local auth = auth_of(keys.secret)
  local good = token.sign(keys.secret, "HS256", { exp = SOON })

  it("if its header is not as it should be", function()
    for _, row in ipairs(HEADERS) do
      local text = token.sign(keys.secret, "HS256", { exp = SOON }, row[1])
      assert.equal(row[2], refused(auth, text), row[1])
    end
  end)

  it("if its claims are not as they should be", function()
    for _, row in ipairs(CLAIMS) do
      local claims = row[1]:gsub("%%LATE%%", tostring(NOW // 1000 - 61))
      assert.equal(row[2], refused(auth, token.sign(keys.secret, "HS256", claims)), row[1])
    end
  end)

  it("if it is not three parts of strict base64url", function()
    assert.truthy(auth:check(good, NOW))
    for _, row in ipairs(SHAPES) do
      local text = type(row[1]) == "function" and row[1](good) or row[1]
      assert.equal(row[2], refused(auth, text), text:sub(1, 300))
    end
  end)

  it("if bits are left over that are not 0, which would make a second text of the same token", function()
    -- A digest of 32 bytes ends in a digit of which two bits count for nothing.
    local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    local last = digits:find(good:sub(-1), 1, true) - 1
    for spare = 1, 3 do
      local text = good:sub(1, -2) .. digits:sub(last + spare + 1, last + spare + 1)
      assert.equal("its signature is not base64url", refused(auth, text))
    end
  end)

  it("before its payload is looked at, if nobody signed it", function()
    local text = token.sign(keys.secret, "HS256", "not even JSON")
    assert.equal("its payload is not a JSON object", refused(auth, text))
    assert.equal("its signature is not one of this key", refused(auth, text:sub(1, -3) .. "AA"))
  end)

  it("once a minute has passed since its exp, remembered or not; and until a minute before its nbf", function()
    local text = token.sign(keys.secret, "HS256", { exp = NOW // 1000, nbf = NOW // 1000 - 600 })
    for _ = 1, 2 do
      local one = auth_of(keys.secret)
      for _, at in ipairs({ NOW, NOW + 59999, NOW + 60000, NOW - 660000 }) do assert.truthy(one:check(text, at)) end
      assert.equal("it has expired", refused(one, text, NOW + 60001))
      assert.equal("it is not valid yet (nbf)", refused(one, text, NOW - 660001))
      assert.equal("it has expired", refused(auth_of(keys.secret), text, NOW + 60001))
      assert.equal("it is not valid yet (nbf)", refused(auth_of(keys.secret), text, NOW - 660001))
    end
  end)

  it("only for its instants, however they are written", function()
    for _, exp in ipairs({ "9999999999", "9999999999.5", "1e10", "1E+300", "9223372036854775807", "99999999999999999999",
      ("%d"):format(NOW // 1000 - 60), ("%d.001"):format(NOW // 1000 - 60), ("%de-3"):format(NOW) }) do
      for _, nbf in ipairs({ "0", "-1", "-1e300", "-0.5", ("%d"):format(NOW // 1000 + 60) }) do
        local text = token.sign(keys.secret, "HS256", ('{"exp":%s,"nbf":%s}'):format(exp, nbf))
        local claims, why = auth:check(text, NOW)
        assert.truthy(claims, exp .. " " .. nbf .. ": " .. tostring(why))
      end
    end
  end)

  it("if it is of another issuer or for another audience, or names none, where one is demanded", function()
    local one = made({ secret_file = keys.secret.path, issuer = "https://id.example", audience = "dahost" })
    local function ask(claims)
      claims.exp = SOON
      local found, why = one:check(token.sign(keys.secret, "HS256", claims), NOW)
      return found and "taken" or why
    end
    local iss = "https://id.example"
    assert.equal("taken", ask({ iss = iss, aud = "dahost" }))
    assert.equal("taken", ask({ iss = iss, aud = { "other", "dahost" } }))
    for _, other in ipairs({ "", "https://id.example/", "https://ID.example", "x" }) do
      assert.equal("it is of another issuer (iss), or of none", ask({ iss = other, aud = "dahost" }))
    end
    assert.equal("it is of another issuer (iss), or of none", ask({ aud = "dahost" }))
    for _, other in ipairs({ "", "dahos", "dahost2", "DAHOST", "other dahost", { "other" } }) do
      assert.equal("it is for another audience (aud), or for none", ask({ iss = iss, aud = other }))
    end
    assert.equal("it is for another audience (aud), or for none", ask({ iss = iss }))
    local empty = token.sign(keys.secret, "HS256", ('{"exp":%d,"iss":"%s","aud":[]}'):format(SOON, iss))
    assert.equal("it is for another audience (aud), or for none", refused(one, empty))
  end)

  it("if its secret is shorter than its digest", function()
    local short = token.secret(place.dir, ("k"):rep(32), "short")
    local one = auth_of(short)
    assert.truthy(one:check(token.sign(short, "HS256", { exp = SOON }), NOW))
    for _, alg in ipairs({ "HS384", "HS512" }) do
      assert.equal("its algorithm wants a secret as long as its digest",
        refused(one, token.sign(short, alg, { exp = SOON })))
    end
  end)
end)

describe("tokens without signatures", function()
  local auth = made({ public_key = "none", audience = "dahost" })

  it("are taken if that is asked for, whatever their algorithm, and the description shouts it", function()
    for _, alg in ipairs({ "none", "HS256", "RS256", "madeup" }) do
      local head = token.base64url(('{"alg":"%s"}'):format(alg)) .. "."
      local payload = token.base64url(('{"exp":%d,"aud":"dahost","role":"ADMIN"}'):format(SOON))
      for _, signature in ipairs({ "", "AAAA" }) do
        assert.same({ admin = true }, auth:check(head .. payload .. "." .. signature, NOW))
      end
    end
    assert.equal("SIGNATURES OF TOKENS ARE NOT CHECKED (public key `none`), anybody can make one that is taken, "
      .. "any issuer, audience dahost", auth:describe())
  end)

  it("are held to everything else", function()
    local function ask(header, payload, signature)
      return refused(auth, token.base64url(header) .. "." .. token.base64url(payload) .. "." .. (signature or ""))
    end
    assert.equal("it has no exp", ask('{"alg":"none"}', '{"aud":"dahost"}'))
    assert.equal("it has expired", ask('{"alg":"none"}', '{"aud":"dahost","exp":1}'))
    assert.equal("it is for another audience (aud), or for none", ask('{"alg":"none"}', '{"exp":9999999999}'))
    assert.equal("its header names no algorithm", ask("{}", '{"exp":9999999999}'))
    assert.equal("its header demands extensions (crit)", ask('{"alg":"none","crit":["x"]}', '{"exp":9999999999}'))
    assert.equal("its signature is not base64url", ask('{"alg":"none"}', '{"exp":9999999999}', "A"))
  end)
end)

describe("a key", function()
  local function complaint(options)
    local auth, name, words = probe.auth(options)
    assert.is_nil(auth)
    return name, words
  end
  local function public(path) return complaint({ public_key = path }) end

  it("is described by what it is good for", function()
    for kind, words in pairs({
      rsa = "RSA (RS256, RS384, RS512, PS256, PS384, PS512)", p256 = "EC P-256 (ES256)", p384 = "EC P-384 (ES384)",
      ed25519 = "Ed25519 (EdDSA)",
    }) do
      local path = keys[kind].public
      assert.equal(("tokens signed for %s of %s, any issuer, any audience"):format(words, path),
        made({ public_key = path }):describe())
    end
    assert.equal(("tokens signed for secret (HS256, HS384, HS512) of %s, issuer i, any audience"):format(keys.secret.path),
      made({ secret_file = keys.secret.path, issuer = "i" }):describe())
    local short = token.secret(place.dir, ("k"):rep(48), "short")
    assert.truthy(auth_of(short):describe():find("secret (HS256, HS384) of", 1, true))
  end)

  it("must be given, and one only", function()
    local name, words = complaint({})
    assert.equal("EINVAL", name)
    assert.truthy(words:find("name a public key (auth.publickey) or a file with a secret (auth.secret_file)", 1, true))
    name, words = complaint({ public_key = "a", secret_file = "b" })
    assert.equal("EINVAL", name)
    assert.truthy(words:find("not both: a and b", 1, true))
  end)

  it("is refused by name, with the mend", function()
    local missing = place.dir .. "/missing.pem"
    assert.equal(missing .. " cannot be opened: No such file or directory", select(2, public(missing)))
    assert.equal(place.dir .. " cannot be read: Is a directory", select(2, public(place.dir)))
    local function says(text, pattern)
      local path = place:write("bad.pem", text)
      local name, words = public(path)
      assert.truthy(words and words:find(path, 1, true) and words:find(pattern, 1, true), tostring(words))
      return name
    end
    assert.equal("EINVAL", says("", "is empty"))
    assert.equal("EINVAL", says("secret", "holds no public key in PEM"))
    assert.equal("EINVAL", says(place:read("rsa.key"), "openssl pkey -in " .. place.dir .. "/bad.pem -pubout"))
    assert.equal("EINVAL", says(place:read("rsa.pem") .. place:read("p256.pem"), "holds 2 keys"))
    assert.equal("EINVAL", says((place:read("rsa.pem"):gsub("\nMII", "\nAAA")), "holds no public key that can be read"))
    assert.equal("ETOOBIG", says(("x"):rep(65537), "longer than a key file can be"))
    token.openssl("req", "-x509", "-new", "-key", keys.p256.private, "-subj", "/CN=x", "-out", place.dir .. "/cert.pem")
    assert.equal("EINVAL", says(place:read("cert.pem"), "openssl x509 -in " .. place.dir .. "/bad.pem -noout -pubkey"))
    for _, kind in ipairs({ "p521", "k256", "ed448", "x25519" }) do
      assert.truthy(select(2, public(token.key(place.dir, kind).public)):find("RSA, EC on P-256 or P-384, or Ed25519", 1, true))
    end
    assert.truthy(select(2, public(token.key(place.dir, "rsa1024").public)):find("an RSA key of 1024 bits; 2048 are", 1, true))
  end)

  it("that is a secret is long enough, no PEM, and ends before its last line end", function()
    local function says(bytes)
      local name, words = complaint({ secret_file = place:write("bad", bytes) })
      assert.equal("EINVAL", name)
      return words
    end
    assert.truthy(says("secret"):find("holds a secret of 6 bytes, which can be guessed; 32 are the least", 1, true))
    assert.truthy(says(("x"):rep(31) .. "\n"):find("holds a secret of 31 bytes", 1, true))
    assert.truthy(says(("x"):rep(31) .. "\r\n"):find("holds a secret of 31 bytes", 1, true))
    assert.truthy(says("\n"):find("holds a secret of 0 bytes", 1, true))
    assert.truthy(says(place:read("rsa.pem")):find("a public key is auth.publickey", 1, true))
    local bytes = ("\0\n\255"):rep(11)
    for _, ending in ipairs({ "", "\n", "\r\n" }) do
      local path = place:write("ending", bytes .. ending)
      local text = token.sign(token.secret(place.dir, bytes, "bytes"), "HS256", { exp = SOON })
      assert.truthy(made({ secret_file = path }):check(text, NOW))
    end
  end)

  it("of RSA may be in the older form, too", function()
    token.openssl("rsa", "-in", keys.rsa.private, "-RSAPublicKey_out", "-out", place.dir .. "/rsa1.pem")
    local auth, _, words = probe.auth({ public_key = place.dir .. "/rsa1.pem" })
    assert.truthy(auth, words)
    assert.truthy(auth:check(token.sign(keys.rsa, "RS256", { exp = SOON }), NOW))
  end)

  it("is read again when that is asked for: what was remembered of the old one is not taken any more", function()
    local path = place:write("live.pem", place:read("ed25519.pem"))
    local auth = made({ public_key = path })
    local old = token.sign(keys.ed25519, "EdDSA", { exp = SOON })
    local new = token.sign(keys.p256, "ES256", { exp = SOON })
    assert.truthy(auth:check(old, NOW))
    assert.is_nil(auth:check(new, NOW))
    place:write("live.pem", place:read("p256.pem"))
    assert.truthy(auth:check(old, NOW))
    assert.is_true(auth:reload())
    assert.is_nil(auth:check(old, NOW))
    assert.truthy(auth:check(new, NOW))
    place:write("live.pem", "")
    assert.equal("EINVAL", select(2, auth:reload()))
    assert.truthy(auth:check(new, NOW))
  end)
end)

describe("checked tokens", function()
  it("are remembered, each with its own claims, more of them than there is room for", function()
    local auth = made({ public_key = "none" })
    local function text(i)
      return token.base64url('{"alg":"none"}') .. "." ..
        token.base64url(('{"exp":9999999999,"prefix":"p%d","role":"%s"}'):format(i, i % 2 == 0 and "admin" or "")) .. "."
    end
    for _ = 1, 2 do
      for i = 1, 2500 do
        assert.same({ admin = i % 2 == 0, prefix = "p" .. i }, auth:check(text(i), NOW))
        assert.same({ admin = false, prefix = "p1" }, auth:check(text(1), NOW))
      end
    end
  end)

  it("cost a fraction of what their signature costs", function()
    local auth = auth_of(keys.ed25519)
    local texts = {}
    for i = 1, 20 do texts[i] = token.sign(keys.ed25519, "EdDSA", { exp = SOON, prefix = "p" .. i }) end
    local function measure()
      local begin = os.clock()
      for _, text in ipairs(texts) do assert(auth:check(text, NOW)) end
      return os.clock() - begin
    end
    local first = measure()
    local again = math.min(measure(), measure(), measure())
    assert.is_true(again * 3 < first, ("%.0f us, then %.0f us"):format(first * 1e6, again * 1e6))
  end)
end)

describe("what a token may ask for", function()
  local function allows(claims, ids, searches) return probe.auth_allows(claims, ids or {}, searches) end

  it("is everything for an admin and for an empty prefix", function()
    for _, claims in ipairs({ { admin = true }, { admin = true, prefix = "x" }, { prefix = "" } }) do
      assert.is_true(allows(claims, { "a", "b", "" }))
      assert.is_true(allows(claims, {}, true))
      assert.is_true(allows(claims))
    end
  end)

  it("is nothing without a prefix", function()
    assert.is_false(allows({}, { "a" }))
    assert.is_false(allows({}, {}))
    assert.is_false(allows({}, {}, true))
  end)

  it("is what begins with its prefix, byte for byte, and all of it", function()
    local claims = { prefix = "team-a" }
    assert.is_true(allows(claims, { "team-a" }))
    assert.is_true(allows(claims, { "team-a:1", "team-ab", "team-a\0" }))
    assert.is_true(allows(claims, {}))
    for _, id in ipairs({ "", "team-", "team-b", "Team-a", " team-a", "x-team-a" }) do
      assert.is_false(allows(claims, { id }), id)
      assert.is_false(allows(claims, { "team-a", id }), id)
      assert.is_false(allows(claims, { id, "team-a" }), id)
    end
    assert.is_false(allows(claims, {}, true))
    assert.is_false(allows(claims, { "team-a" }, true))
  end)

  it("follows from the claims: role in any case, prefix if it is a string", function()
    local auth = auth_of(keys.secret)
    local function claims(text)
      return assert(auth:check(token.sign(keys.secret, "HS256", '{"exp":9999999999,' .. text .. "}"), NOW))
    end
    for _, role in ipairs({ "admin", "ADMIN", "Admin", "aDmIn" }) do
      assert.same({ admin = true }, claims('"role":"' .. role .. '"'))
    end
    for _, role in ipairs({ '"administrator"', '"admin "', '""', "1", "true", '["admin"]', "null", '{"admin":true}' }) do
      assert.same({ admin = false }, claims('"role":' .. role))
    end
    for _, prefix in ipairs({ "null", "1", "true", '["a"]', "{}" }) do
      assert.same({ admin = false }, claims('"prefix":' .. prefix))
    end
    assert.same({ admin = false, prefix = "" }, claims('"prefix":""'))
    assert.same({ admin = false, prefix = "é\"\\" }, claims('"prefix":"\\u00e9\\"\\\\"'))
  end)
end)
