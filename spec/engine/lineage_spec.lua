-- lineage_spec.lua - ids, lineage tags, addresses: what a promise may be called and where it may be sent.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")

-- Each row: dialect, id, tags, what the answer says ("" for 200).
local ORIGIN = "Promise ID must be prefixed by resonate:origin"
local BRANCH = "Promise ID must be prefixed by resonate:branch"
local PARENT = "Promise ID must be prefixed by resonate:parent"
local NO_COLON = "resonate:origin must not contain ':'"
local NO_DOT = "resonate:origin must not contain '.'"
local PREFIX = "resonate:prefix must not contain '.'"

local ROWS = {
  { "any", "r", { origin = "r" }, "" },
  { "any", "r:1", { origin = "r", branch = "r", parent = "r" }, "" },
  { "any", "r.1", { origin = "r", branch = "r", parent = "r" }, "" },
  { "any", "r:1.2", { origin = "r", branch = "r:1", parent = "r:1" }, "" },
  { "any", "r:1:2", { origin = "r", branch = "r:1" }, "" },
  { "any", "r1", { origin = "r" }, ORIGIN },
  { "any", "s:1", { origin = "r" }, ORIGIN },
  { "any", "r:12", { branch = "r:1" }, BRANCH },
  { "any", "r:12", { parent = "r:1" }, PARENT },
  { "any", "r:1", { origin = "r", branch = "r:1", parent = "r:1" }, "" },
  { "any", "a:b", { origin = "a:b" }, "" },
  { "any", "a:b.1", { origin = "a:b" }, "" },
  { "any", "a:b:1", { origin = "a:b" }, NO_COLON },
  { "any", "r:1", { prefix = "a.b" }, PREFIX },
  { "any", "r:1", { prefix = "a:b" }, "" },
  { "colon", "r.s:1", { origin = "r.s" }, "" },
  { "colon", "r.1", { origin = "r" }, ORIGIN },
  { "colon", "a:b", { origin = "a:b" }, NO_COLON },
  { "colon", "r:1.2", { branch = "r:1" }, "" },
  { "colon", "r:1:2", { branch = "r:1" }, BRANCH },
  { "colon", "r.2", { parent = "r" }, PARENT },
  { "dot", "r.1.2", { origin = "r", branch = "r.1", parent = "r.1" }, "" },
  { "dot", "a:b.1", { origin = "a:b" }, "" },
  { "dot", "r.s", { origin = "r.s" }, NO_DOT },
  { "dot", "r:1", { origin = "r" }, ORIGIN },
  { "dot", "r:1", { branch = "r" }, BRANCH },
  { "off", "x", { origin = "a:b.c", branch = "y", parent = "z", prefix = "a.b" }, "" },
}

local GOOD = {
  "http://h", "https://h:8/p?q", "HTTP://h", "http://u@h/", "poll://any@g", "poll://uni@g/id",
  "poll://any@g/a/b",
  "gcps://project/topic", "bash://", "bash:x", "bash://docker/image", "local://x", "x-y+z.1:anything", "mailto:a@b",
  "ws://h", "poll://any@größe", "poll://g", "gcps://project",
}
local BAD = {
  "", "w1", "/x", "//h/x", ":x", "1a:b", "a b:c", "http:", "http://", "http:///x", "http://:80", "https://u@",
  "x:a b", "x:a\n", "ftp:", "http://h/a\127",
}

describe("lineage", function()
  for _, row in ipairs(ROWS) do
    local dialect, id, short, wanted = table.unpack(row)
    local tags, shown = {}, {}
    for name, text in pairs(short) do
      tags["resonate:" .. name] = text
      shown[#shown + 1] = name .. "=" .. text
    end
    table.sort(shown)
    local verb = wanted == "" and "takes" or "refuses"
    it(("%s %s %s under %s"):format(verb, id, table.concat(shown, " "), dialect), function()
      local world = engine.world({ profile = { id_dialect = dialect } })
      local status, data = world:ask("promise.create", { id = id, timeoutAt = 9, param = {}, tags = tags })
      if wanted == "" then
        assert.equal(200, status)
      else
        assert.same({ 400, wanted }, { status, data })
      end
    end)
  end

  it("keeps its own order of checks", function()
    local world = engine.world()
    local function message(tags, timeout)
      local _, data = world:ask("promise.create", { id = "x", timeoutAt = timeout or 9, param = {}, tags = tags })
      return data
    end
    local tags = {
      ["resonate:origin"] = "r", ["resonate:branch"] = "r", ["resonate:parent"] = "r", ["resonate:prefix"] = "a.b",
      ["resonate:delay"] = "z",
    }
    local order = { origin = ORIGIN, branch = BRANCH, parent = PARENT, prefix = PREFIX }
    for _, name in ipairs({ "origin", "branch", "parent", "prefix" }) do
      assert.equal(order[name], message(tags))
      tags["resonate:" .. name] = nil
    end
    assert.equal("resonate:delay must be a non-negative integer", message(tags))
    tags["resonate:delay"] = "9"
    assert.equal("resonate:delay must be less than timeoutAt", message(tags))
    tags["resonate:delay"] = "8"
    assert.equal("resonate:delay requires a resonate:target tag", message(tags))
    assert.equal("TimeoutAt must be a non-negative integer", message(tags, -1))
    tags["resonate:target"] = "nowhere"
    assert.equal("Invalid resonate:target address", message(tags))
  end)
end)

describe("addresses", function()
  for _, address in ipairs(GOOD) do
    it(("takes %q"):format(address), function()
      local status = engine.world():ask("promise.register_listener", { awaited = "A", address = address })
      assert.equal(404, status)
    end)
  end
  for _, address in ipairs(BAD) do
    it(("refuses %q"):format(address), function()
      local status = engine.world():ask("promise.register_listener", { awaited = "A", address = address })
      assert.equal(400, status)
    end)
  end
end)
