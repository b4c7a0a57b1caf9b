-- client_tree_spec.lua - tree with --server: pages of a search, drawn; and what does not hang together.
-- SPDX-License-Identifier: Apache-2.0
local json = require("dkjson")
local fake = require("spec.support.http_fake")
local program = require("spec.support.program")

-- Base64 of {"func":"<name>"}, of names of three letters.
local FUNC = { foo = "eyJmdW5jIjoiZm9vIn0=", bar = "eyJmdW5jIjoiYmFyIn0=" }

describe("tree --server", function()
  local server, place, promises, page_size

  -- Answers searches by origin and gets, from `promises`, which are sorted by id.
  local function answer(request)
    local data = json.decode(request.body, 1, nil).data
    if data.id then
      for _, p in ipairs(promises) do
        if p.id == data.id then return fake.envelope(request, 200, json.encode({ promise = p })) end
      end
      return fake.envelope(request, 404, '"Promise not found"')
    end
    assert.are.equal(100, data.limit)
    local list = setmetatable({}, { __jsontype = "array" })
    local more
    for _, p in ipairs(promises) do
      if p.tags["resonate:origin"] == data.tags["resonate:origin"] and (not data.cursor or p.id > data.cursor) then
        if #list == page_size then
          more = list[#list].id
          break
        end
        list[#list + 1] = p
      end
    end
    return fake.envelope(request, 200, json.encode({ promises = list, cursor = more }))
  end

  local function promise(id, parent, at, fields)
    local p = { id = id, state = "pending", createdAt = at, timeoutAt = at + 1, param = {}, value = {}, tags = {
      ["resonate:origin"] = "w", ["resonate:parent"] = parent } }
    for name, value in pairs(fields or {}) do
      if name:find("^[%l]+$") and name ~= "func" then p[name] = value end
    end
    if fields and fields.func then p.param = { data = FUNC[fields.func] } end
    for name, value in pairs(fields and fields.tags_more or {}) do p.tags["resonate:" .. name] = value end
    promises[#promises + 1] = p
    return p
  end

  before_each(function()
    place = program.place()
    promises, page_size = {}, 100
    server = fake.start(answer)
  end)
  after_each(function()
    server:stop()
    place:remove()
  end)

  local function tree(id, ...)
    return program.run({ "tree", id, "--server", server.url, ... }, { cwd = place.dir })
  end

  local function family()
    promise("w", "w", 1, { func = "foo", tags_more = { scope = "global", target = "poll://any@g" } })
    promise("w:0", "w", 9, { func = "bar", state = "resolved", tags_more = { scope = "local" } })
    promise("w:0.1", "w:0", 10, { state = "rejected_timedout", func = "foo", tags_more = { scope = "global" } })
    promise("w:0.2", "w:0", 11, { state = "rejected", tags_more = { scope = "global" } })
    promise("w:1", "w", 5, { tags_more = { scope = "global", timer = "true" } })
    promise("w:1.0", "w:1", 6, { func = "bar", tags_more = { target = "poll://any@g" } })
    promise("w:2", "elsewhere", 20, { state = "rejected_canceled" })
  end

  local DRAWN = [[
w 🟡 (rpc foo)
├── w:1 🟡 (sleep)
│   └── w:1.0 🟡 (rpc bar)
├── w:0 🟢 (run bar)
│   ├── w:0.1 🔴 (rpc foo)
│   └── w:0.2 🔴
└── w:2 🔴
]]

  it("draws each promise below the one that made it, in the order of creation", function()
    family()
    local got = tree("w")
    assert.are.same({ 0, DRAWN, "" }, { got.code, got.out, got.err })
    assert.are.equal(1, #server.requests)
  end)

  it("goes through all pages, on one connection", function()
    family()
    page_size = 2
    assert.are.equal(DRAWN, tree("w").out)
    assert.are.same({ 4, 1 }, { #server.requests, server.accepted })
  end)

  it("asks for a root that nobody has tagged", function()
    family()
    promises[1].tags = { ["resonate:target"] = "poll://any@g" }
    assert.are.equal(DRAWN, tree("w").out)
    assert.are.equal("promise.get", server:asked().kind)
  end)

  it("prints the records with --json, one a line", function()
    family()
    local ids = {}
    for line in tree("w", "--json").out:gmatch("[^\n]+") do ids[#ids + 1] = json.decode(line).id end
    assert.are.same({ "w", "w:1", "w:1.0", "w:0", "w:0.1", "w:0.2", "w:2" }, ids)
  end)

  it("says that there is no such promise", function()
    local got = tree("x")
    assert.are.same({ 1, "", 'Error: "Promise not found"\n' }, { got.code, got.out, got.err })
  end)

  it("ends though promises are each other's parents", function()
    promise("w", "w", 1)
    promise("w:a", "w:b", 2)
    promise("w:b", "w:a", 3)
    promise("w:c", "w:c", 4)
    local got = tree("w")
    assert.are.same({ 0, "w 🟡\n└── w:c 🟡\n" }, { got.code, got.out })
    assert.matches("2 promises of the lineage are not below 'w'", got.err, 1, true)
  end)

  it("ends though a cursor does not go on", function()
    server.answer = function(request) return fake.envelope(request, 200, '{"promises":[],"cursor":"a"}') end
    local got = tree("w")
    assert.are.equal(74, got.code)
    assert.matches("the pages of the search do not go on: cursor 'a' behind 'a'", got.err, 1, true)
  end)

  it("is not misled by records that are none", function()
    for list, code in pairs({ ['{"promises":{}}'] = 74, ["{}"] = 74, ['{"promises":[1,null,{},{"id":1},[]]}'] = 74 }) do
      server.answer = function(request) return fake.envelope(request, 200, list) end
      assert.are.equal(code, tree("w").code)
    end
    promise("w", "w", 1).param = { data = "!!" }
    promise("w:0", "w", 1).param = { data = "eyJmdW5jIjoxfQ==" }
    promise("w:1", "w", 1).id = "w:1\27[31m\nw:9"
    server.answer = answer
    assert.are.equal("w 🟡\n├── w:0 🟡\n└── w:1?[31m w:9 🟡\n", tree("w").out)
  end)

  it("draws a lineage a thousand levels deep", function()
    promise("w", "w", 1)
    for i = 1, 1000 do promise(("w:%04d"):format(i), i == 1 and "w" or ("w:%04d"):format(i - 1), i) end
    local got = tree("w")
    assert.are.equal(0, got.code, got.err)
    assert.are.equal(1001, select(2, got.out:gsub("\n", "")))
    assert.are.equal((" "):rep(4 * 999) .. "└── w:1000 🟡", got.out:match("^.*\n([^\n]*)\n$"))
  end)
end)
