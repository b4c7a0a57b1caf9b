-- tls_reload_spec.lua - a certificate that is renewed under a server: who sees the new one, who goes on with the old one.
-- SPDX-License-Identifier: Apache-2.0
local certificates = require("spec.support.certificates")
local program = require("spec.support.program")
local serve = require("spec.support.serve")

describe("a server whose certificate is renewed", function()
  local place, process, port

  local function copy(name, what)
    place:write("server." .. what, place:read(name .. "." .. what))
  end

  before_each(function()
    place = program.place()
    certificates.authority(place)
    certificates.signed(place, "old", "DNS:localhost,IP:127.0.0.1")
    certificates.signed(place, "new", "DNS:localhost,IP:127.0.0.1")
    copy("old", "pem")
    copy("old", "key")
    process = serve.start(place, { "--tls-cert", "server.pem", "--tls-key", "server.key" })
    port = process.address:match("%d+$")
  end)

  after_each(function() place:remove() end)

  -- The name in the certificate that a new connection is shown.
  local function shown()
    local got = program.run({}, { cwd = place.dir, sh = ("openssl s_client -connect 127.0.0.1:%s -CAfile ca.pem " ..
      "-verify_return_error </dev/null 2>/dev/null | openssl x509 -noout -subject"):format(port) })
    return got.out:match("CN = (%w+)") or got.err
  end

  it("shows the new one to new connections once told, while old ones go on", function()
    place:write("request", "GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
    local old = program.spawn({}, { cwd = place.dir, sh = ("mkfifo later; (cat request; cat later) | timeout 50 " ..
      "openssl s_client -connect 127.0.0.1:%s -CAfile ca.pem -verify_return_error -quiet"):format(port) })
    old:wait_for("HTTP/1.1 200", "out"):wait_for("CN = old")
    copy("new", "pem")
    copy("new", "key")
    assert.equal("old", shown())
    process:signal_with("sighup"):wait_for("the certificate and its key were loaded again\n")
    assert.is_nil(process.err:find("nothing to load again", 1, true))
    assert.equal("new", shown())
    place:write("later", "GET /ready HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    old:wait()
    assert.equal(2, select(2, old.out:gsub("HTTP/1.1 200", "")), old.out)
    serve.stop(process)
  end)

  it("keeps the one it has while the files are none, and says which and why", function()
    for _, case in ipairs {
      { "pem", "new", "the key server.key is not that of the certificate" },
      { "key", nil, "no key in PEM in server.key" },
      { "pem", nil, "no certificate in PEM in server.pem" },
    } do
      local what, name, words = table.unpack(case)
      if name then copy(name, what) else place:write("server." .. what, "half of it") end
      process:signal_with("sighup"):wait_for("the certificate and its key stay as they were: " .. words)
      assert.equal("old", shown())
    end
    os.remove(place.dir .. "/server.pem")
    process:signal_with("sighup"):wait_for("stay as they were: cannot read the certificate server.pem: No such file")
    assert.equal("old", shown())
    copy("new", "pem")
    copy("new", "key")
    process:signal_with("sighup"):wait_for("the certificate and its key were loaded again\n")
    assert.equal("new", shown())
    serve.stop(process)
  end)
end)
