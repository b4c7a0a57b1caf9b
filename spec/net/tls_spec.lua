-- tls_spec.lua - TLS between two ends in one process: what is heard, who is trusted, and what is wrong with files.
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local probe = require("da_probe")
local certificates = require("spec.support.certificates")
local program = require("spec.support.program")

describe("TLS", function()
  local place, certificate, key

  setup(function()
    place = program.place()
    certificates.authority(place)
    certificate, key = certificates.signed(place, "good", "DNS:localhost,DNS:*.example.com,IP:127.0.0.1,IP:::1")
    uv.os_setenv("SSL_CERT_FILE", place.dir .. "/ca.pem")
  end)

  teardown(function() place:remove() end)

  local function talk(options)
    local whole = { certificate = certificate, key = key, host = "localhost", question = "what?", answer = "that" }
    for name, value in pairs(options or {}) do whole[name] = value end
    return probe.tls_talk(whole)
  end

  it("carries both ways, and tells the end", function()
    local got = talk()
    assert.equal("what?", got.server.heard)
    assert.equal("OK", got.server.status)
    assert.equal("that", got.client.heard)
    assert.equal("ECLOSED", got.client.status)
  end)

  it("carries what is larger than a record", function()
    local question, answer = ("q"):rep(1000000), ("a"):rep(3000000)
    local got = talk { question = question, answer = answer }
    assert.is_true(got.server.heard == question)
    assert.is_true(got.client.heard == answer)
  end)

  it("carries the same in any pieces", function()
    for _, step in ipairs { 1, 2, 5, 100 } do
      local got = talk { step = step, answer = ("a"):rep(500) }
      assert.equal("what?", got.server.heard)
      assert.equal(("a"):rep(500), got.client.heard)
    end
  end)

  describe("of a client", function()
    local function refused(options, words)
      local got = talk(options)
      assert.equal("EACCES", got.client.status)
      assert.matches(words, got.client.words)
      assert.equal("", got.client.heard)
      assert.equal("", got.server.heard)
    end

    it("takes names with a star, and addresses", function()
      for _, host in ipairs { "a.example.com", "127.0.0.1", "::1" } do
        assert.equal("that", talk({ host = host }).client.heard)
      end
    end)

    it("refuses a certificate for another host", function()
      refused({ host = "example.com" }, "ostname mismatch")
      refused({ host = "a.b.example.com" }, "ostname mismatch")
      refused({ host = "192.0.2.1" }, "IP address mismatch")
    end)

    it("refuses one that has expired", function()
      local old, old_key = certificates.signed(place, "old", "DNS:localhost", -1)
      refused({ certificate = old, key = old_key }, "expired")
    end)

    it("refuses one that nobody known has signed", function()
      local other = program.place()
      certificates.authority(other)
      local strange, strange_key = certificates.signed(other, "strange", "DNS:localhost")
      refused({ certificate = strange, key = strange_key }, "certificate")
      other:remove()
    end)
  end)

  describe("of a server names the file, and what is wrong with it", function()
    local function wrong(options, words)
      local got = talk(options)
      assert.not_equal("OK", got.server.status)
      assert.is_truthy(got.server.words:find(words, 1, true), got.server.words)
    end

    it("that is not there", function()
      wrong({ certificate = "/nowhere/c.pem" }, "cannot read the certificate /nowhere/c.pem: No such file")
      wrong({ key = "/nowhere/k.pem" }, "cannot read the key /nowhere/k.pem: No such file")
    end)

    it("that holds no such thing", function()
      local empty = place:write("empty.pem", "")
      local text = place:write("text.pem", "hello\n")
      local broken = place:write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
      for _, path in ipairs { empty, text, broken, key } do
        wrong({ certificate = path }, "no certificate in PEM in " .. path)
      end
      for _, path in ipairs { empty, text, certificate } do wrong({ key = path }, "no key in PEM in " .. path) end
    end)

    it("that is the key of another certificate", function()
      local _, other_key = certificates.signed(place, "other", "DNS:localhost")
      wrong({ key = other_key }, "the key " .. other_key .. " is not that of the certificate")
    end)

    it("that is encrypted", function()
      local path = place.dir .. "/secret.key"
      os.execute(("openssl pkey -in '%s' -aes128 -passout pass:secret -out '%s'"):format(key, path))
      wrong({ key = path }, "the key " .. path .. " is encrypted")
    end)
  end)
end)
