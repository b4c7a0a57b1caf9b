-- http_spec.lua - da.http: requests as steps of workflows, and within steps, against servers that answer as a spec says.
-- SPDX-License-Identifier: Apache-2.0
local certificates = require("spec.support.certificates")
local fake = require("spec.support.http_fake")
local harness = require("spec.support.harness")
local program = require("spec.support.program")
local script = require("spec.support.script")
local uv = require("luv")

local HEAD = [[
local da = require "da"
local async, await, pawait, step, http = da.async, da.await, da.pawait, da.step, da.http
]]

describe("da.http", function()
  local server, tries

  -- What each path is answered with.
  local paths = {
    ["/plain"] = function() return fake.page(200, "text/plain", "hello", "X-Two: a\r\nX-Two: b\r\nX-Empty:\r\n") end,
    ["/bytes"] = function() return fake.page(200, "application/octet-stream", "a\0b\255") end,
    ["/missing"] = function() return fake.page(404, "text/plain", "no such thing") end,
    ["/busy"] = function()
      tries = tries + 1
      return tries % 3 ~= 0 and fake.page(503, "text/plain", "later") or fake.page(200, "text/plain", "now")
    end,
    ["/moved"] = function() return fake.page(302, "text/plain", "", "location: /plain\r\nX-First: yes\r\n") end,
    ["/round"] = function() return fake.page(302, "text/plain", "", "location: /round\r\n") end,
    ["/file"] = function() return fake.page(302, "text/plain", "", "location: file:///etc/passwd\r\n") end,
    ["/large"] = function() return fake.page(200, "text/plain", ("x"):rep(3000000)) end,
    ["/never"] = function() end,
    ["/cut"] = function(_, connection)
      connection:write("HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf")
      connection:close()
    end,
    ["/echo"] = function(request)
      local fields = {}
      for _, name in ipairs { "content-type", "x-mine", "content-length" } do
        fields[#fields + 1] = name .. "=" .. tostring(request.fields[name])
      end
      return fake.page(200, "text/plain", request.method .. " " .. table.concat(fields, " ") .. " " .. request.body)
    end,
    ["/key"] = function(request) return fake.page(200, "text/plain", request.fields["idempotency-key"] or "none") end,
  }

  before_each(function()
    tries = 0
    server = fake.start(function(request, connection)
      return (paths[request.path] or paths["/missing"])(request, connection)
    end)
  end)
  after_each(function() server:stop() end)

  local rows = {
    { "gets a page, with its status, headers and bytes", [[
      local r, b = await(http.get(url .. "/plain")), await(http.get(url .. "/bytes"))
      return { r.status, r.body, r.headers["content-type"], r.headers["x-two"], r.headers["x-empty"], b.body == "a\0b\255" }]],
      '[200,"hello","text/plain","a, b","",true]' },
    { "gives an answer of any status, or makes it an error when it is told to", [[
      local r = await(http.get(url .. "/missing"))
      local _, e = pawait(http.get(url .. "/missing", { check = true }))
      return { r.status, r.body, e.code, e.status, e.body, e.attempts }]],
      '[404,"no such thing","http_404",404,"no such thing",1]' },
    { "is tried again when the server cannot now", [[
      local r = await(http.get:with { retry = { first = 0.001 } }(url .. "/busy", { check = true }))
      return { r.status, r.body }]], '[200,"now"]' },
    { "follows redirects, some, within HTTP, unless it is told not to", [[
      local r = await(http.get(url .. "/moved"))
      local stays = await(http.get(url .. "/moved", { follow = false }))
      local _, round = pawait(http.get(url .. "/round"))
      local _, file = pawait(http.get(url .. "/file"))
      return { r.body, r.headers["x-first"] or "no", stays.status, stays.headers.location, round.code, file.code }]],
      '["hello","no",302,"/plain","redirects","bad_argument"]' },
    { "sends bodies, JSON, headers and any method", [[
      local a = await(http.post(url .. "/echo", { body = "text", headers = { ["X-Mine"] = "yes", ["Content-Type"] = "text/x" } }))
      local b = await(http.post(url .. "/echo", { json = { list = { 1, 2 }, name = "n" } }))
      local c = await(http.request("PUT", url .. "/echo", { body = "" }))
      local d = await(http.request("DELETE", url .. "/echo"))
      local e = await(http.post(url .. "/echo"))
      return { a.body, b.body, c.body, d.body, e.body }]],
      '["POST content-type=text/x x-mine=yes content-length=4 text",' ..
        '"POST content-type=application/json x-mine=nil content-length=25 {\\"list\\":[1,2],\\"name\\":\\"n\\"}",' ..
        '"PUT content-type=application/octet-stream x-mine=nil content-length=0 ",' ..
        '"DELETE content-type=nil x-mine=nil content-length=nil ",' ..
        '"POST content-type=nil x-mine=nil content-length=0 "]' },
    { "carries a key that is the same for the same request of the same call, and no other", [[
      local a, b = await(http.post(url .. "/key", { body = "1" })).body, await(http.post(url .. "/key", { body = "1" })).body
      local got = await(http.get(url .. "/key")).body
      local mine = await(http.post(url .. "/key", { headers = { ["idempotency-key"] = "mine" } })).body
      local within = await(step.two(url))
      return { a:match "^[^/]*", a ~= b, got, mine, within[1] ~= within[2], within[1] == within[3] }]],
      '["x:http-post.1",true,"none","mine",true,true]' },
    { "refuses what is too large, and keeps to its time", [[
      local _, large = pawait(http.get(url .. "/large", { max = 1000 }))
      local _, bound = pawait(http.get(url .. "/large"))
      local whole = await(http.get(url .. "/large", { max = 4000000 }))
      local _, late = pawait(http.get:with { retry = { max = 1 } }(url .. "/never", { timeout = "50ms" }))
      local _, canceled = pawait(da.within("50ms", http.get(url .. "/never")))
      return { large.code, large.attempts, bound.code, #whole.body, late.code, canceled.code }]],
      '["too_large",1,"too_large",3000000,"timedout","timedout"]' },
    { "says what went wrong on the way", [[
      local once = { retry = { max = 1 } }
      local _, cut = pawait(http.get:with(once)(url .. "/cut"))
      local _, away = pawait(http.get:with(once)("http://127.0.0.1:1/"))
      local _, scheme = pawait(http.get("ftp://127.0.0.1/"))
      local _, url_ = pawait(http.get("http://"))
      return { cut.code, away.code, scheme.code, url_.code }]], '["http","unreachable","bad_argument","bad_argument"]' },
    { "names a wrong option", [[
      local words = {}
      for i, options in ipairs { { timeot = 1 }, { json = 1, body = "" }, { headers = { ["a b"] = "c" } },
        { headers = { a = "b\r\nc: d" } }, { max = 1 << 40 }, { body = "of a GET" }, { json = { [1.5] = 2 } } } do
        local _, e = pawait((i < 6 and http.post or i == 6 and http.get or http.post)(url .. "/plain", options))
        words[i] = e.code == "bad_argument" and e.message
      end
      return words]], '["unknown option \'timeot\' of http.post; it takes body, ca, check, follow, headers, json, max, timeout, to",' ..
        '"give http.post body or json, not both",' ..
        '"option \'headers\' of http.post must be a table of name = \\"text\\"; \'a b\' is no header",' ..
        '"option \'headers\' of http.post must be a table of name = \\"text\\"; \'a\' is no header",' ..
        '"option \'max\' of http.post must be an integer from 0 to 8388608, or stream to a file: to = PATH",' ..
        '"a GET has no body",' ..
        '"option \'json\' of http.post: a table must be a list without holes, or have names alone, to have a place in JSON"]' },
  }

  for _, row in ipairs(rows) do
    it(row[1], function()
      local text = HEAD .. [[
        function step.two(url)
          local function post(body) return http.post(url .. "/key", { body = body }).body end
          return { post "1", post "2", post "1" }
        end
        function async.main(url)
        ]] .. row[2] .. "\nend"
      local result = script.both { script = text, func = "main", args = { server.url } }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
    end)
  end

  it("streams to a file, which is whole or as it was", function()
    local place = harness.place()
    local text = HEAD .. [[
      function async.main(url, d)
        local r = await(http.get(url .. "/large", { to = d .. "/f" }))
        local size = await(da.fs.stat(d .. "/f")).size
        local _, cut = pawait(http.get:with { retry = { max = 1 } }(url .. "/cut", { to = d .. "/f" }))
        local _, missing = pawait(http.get(url .. "/missing", { to = d .. "/f", check = true }))
        local _, nowhere = pawait(http.get(url .. "/plain", { to = d .. "/no/f" }))
        return { r.status, r.size, r.body or "none", size, cut.code, missing.code, nowhere.code,
          await(da.fs.stat(d .. "/f")).size, #await(da.fs.list(d)) }
      end]]
    assert(uv.fs_mkdir(place.dir .. "/d", 493))
    local result = script.run { script = text, func = "main", args = { server.url, place.dir .. "/d" } }
    assert.are.equal('[200,3000000,"none",3000000,"http","http_404","enoent",3000000,1]\n', result.out, result.err)
    harness.remove(place)
  end)

  it("is not made again once it is recorded, and carries the same key when it is", function()
    local place = harness.place()
    local keys = {}
    paths["/once"] = function(request)
      keys[#keys + 1] = request.fields["idempotency-key"]
      return fake.page(200, "text/plain", "ok")
    end
    paths["/twice"] = function(request, connection)
      keys[#keys + 1] = request.fields["idempotency-key"]
      if #keys == 3 then return fake.page(200, "text/plain", "ok") end
      connection.held = true -- no answer: the process is killed meanwhile
      uv.kill(connection.victim or keys.pid, "sigkill")
    end
    local file = assert(io.open(place.dir .. "/s.lua", "w"))
    file:write(HEAD, [[
      function async.main(url)
        return await(http.post(url .. "/once")).body .. await(http.post(url .. "/twice")).body end]])
    file:close()
    local words = { "run", place.dir .. "/s.lua", "main", server.url, "--id", "x", "--quiet" }
    local process = program.spawn(words, { data = place.data })
    keys.pid = process.pid
    process:wait()
    assert.are.equal(9, process.signal)
    local got = program.run(words, { data = place.data })
    assert.are.equal('"okok"\n', got.out, got.err)
    assert.are.equal(3, #keys)
    assert.are.equal(keys[2], keys[3])
    assert.are_not.equal(keys[1], keys[2])
    paths["/once"], paths["/twice"] = nil, nil
    harness.remove(place)
  end)

  it("trusts whom the machine trusts, and an authority that it is given", function()
    local place = program.place()
    certificates.authority(place)
    local certificate, key = certificates.signed(place, "here", "IP:127.0.0.1")
    local tls = program.spawn({ "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-www", "-naccept", "4" },
      { command = "openssl" }):wait_for("ACCEPT ", "out")
    local port = tls.out:match("ACCEPT [^\n]-:(%d+)")
    local text = HEAD .. [[
      function async.main(url, ca)
        local _, e = pawait(http.get:with { retry = { max = 1 } }(url))
        return { e.code, await(http.get(url, { ca = ca })).status }
      end]]
    local result = script.run { script = text, func = "main", args = { "https://127.0.0.1:" .. port .. "/", place.dir .. "/ca.pem" } }
    assert.are.equal('["tls",200]\n', result.out, result.err)
    place:remove()
  end)
end)
