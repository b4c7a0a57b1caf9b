-- http_examples_spec.lua - the examples over HTTP, against servers that fail now and then, killed at every durable write.
-- SPDX-License-Identifier: Apache-2.0
local fake = require("spec.support.http_fake")
local harness = require("spec.support.harness")
local json = require("dkjson")

-- Runs it to its end; a life may end at a write. The output, and whether it was killed.
local function play(words, kill)
  local place = harness.place(true)
  local args = { "run", table.unpack(words) }
  for _, word in ipairs { "--id", "x", "--quiet", "--data", place.data } do args[#args + 1] = word end
  local killed = kill and harness.dahost(args, { env = { DAHOST_KILL = kill } }).signal == 9
  local got = harness.dahost(args)
  assert.are.equal(0, got.code, got.err)
  assert.are.equal(0, harness.dahost({ "verify", "--data", place.data }).code)
  harness.remove(place)
  return got.out, killed
end

-- As often as there are writes to die at, before and behind each; look(kill) is what is demanded of each.
local function at_every_write(words, result, begin, look)
  begin()
  assert.are.equal(result, (play(words)))
  look "unkilled"
  local deaths, step = 0, harness.sanitized and 5 or 1
  for _, point in ipairs { "commit.before", "commit.after" } do
    for n = 1, 1000, step do
      begin()
      local out, killed = play(words, point .. ":" .. n)
      assert.are.equal(result, out)
      look(point .. ":" .. n)
      if not killed then break end
      deaths = deaths + 1
    end
  end
  assert.is_true(deaths >= (harness.sanitized and 3 or 12), deaths .. " deaths alone")
  print(("%s: %d deaths"):format(words[1], deaths))
end

describe("the examples over HTTP:", function()
  local server

  after_each(function() server:stop() end)

  it("the agent asks the model each question once, though it fails in between", function()
    local keys, count, tries
    local function begin() keys, count, tries = {}, 0, 0 end
    local replies = {
      { role = "assistant", tool = "price", arguments = { item = "tea" } },
      { role = "assistant", tool = "multiply", arguments = { a = 350, b = 6 } },
      { role = "assistant", content = "They cost 21.00." },
    }
    server = fake.start(function(request, connection)
      local key = request.fields["idempotency-key"]
      tries = tries + 1
      if tries % 3 == 1 then return fake.page(503, "text/plain", "overloaded") end
      if tries % 7 == 5 then
        connection:close()
        return nil
      end
      if not keys[key] then
        local asked = json.decode(request.body)
        keys[key] = replies[(#asked.messages + 1) // 2]
        count = count + 1
      end
      return fake.page(200, "application/json", json.encode(keys[key]))
    end)
    at_every_write({ "examples/http/agent.lua", "agent", server.url .. "/chat", '"What do six pots of tea cost?"' },
      '{"answer":"They cost 21.00.","turns":3}\n', begin, function(kill)
        assert.are.equal(3, count, kill)
      end)
  end)

  it("the crawler fetches what is there once, and notes what is not", function()
    local fetched, recorded_twice
    local function begin() fetched, recorded_twice = {}, 0 end
    local site = { ["/"] = { "A", "/b", "/c" }, ["/b"] = { "B", "/", "/d" }, ["/c"] = { "C", "/gone", "/d" }, ["/d"] = { "D" } }
    server = fake.start(function(request)
      local page = site[request.path]
      fetched[request.path] = (fetched[request.path] or 0) + 1
      if not page then return fake.page(404, "text/html", "") end
      if request.path == "/c" and fetched["/c"] == 1 then return fake.page(429, "text/html", "") end
      local text = "<title>" .. page[1] .. "</title>"
      for i = 2, #page do text = text .. ('<a href="%s">'):format(page[i]) end
      return fake.page(200, "text/html", text)
    end)
    at_every_write({ "examples/http/crawl.lua", "crawl", server.url .. "/", "4", '"2ms"' },
      '{"missing":[{"path":"/gone","why":"http_404"}],"pages":[{"path":"/","title":"A"},{"path":"/b","title":"B"},' ..
        '{"path":"/c","title":"C"},{"path":"/d","title":"D"}]}\n', begin, function(kill)
        for path, times in pairs(fetched) do
          local least = path == "/c" and 2 or 1
          recorded_twice = recorded_twice + times - least
        end
        assert.is_true(recorded_twice <= 2, kill .. ": more than what was under way was fetched again")
      end)
  end)
end)
