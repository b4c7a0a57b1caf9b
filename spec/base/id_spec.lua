-- id_spec.lua - the grammar of ids in both dialects, and that what one makes a server of that dialect takes.
-- SPDX-License-Identifier: Apache-2.0
local engine = require("spec.support.engine")
local probe = require("da_probe")

local function parts(id)
  return { probe.id_parts(id) }
end

-- With the tags of lineage that an execution gives to what lies below it: nil, or the words of a refusal.
local function create(world, one, branch)
  local status, data = world:ask("promise.create", {
    id = one.id,
    timeoutAt = 9,
    param = {},
    tags = { ["resonate:origin"] = one.origin, ["resonate:branch"] = branch, ["resonate:parent"] = one.parent },
  })
  return status ~= 200 and ("%d %s"):format(status, data) or nil
end

-- A chain of descendants as executions make them, the root first.
local function lineage(root)
  local chain = { { id = root, parent = root } }
  local function child(parent, name, last)
    local id = probe.id_child(parent, name, last)
    chain[#chain + 1] = { id = id, parent = parent }
    return id
  end
  child(root, "charge", 1)
  child(root, "~parked", 3)
  local lines = child(root, "lines", 2)
  child(lines, "reserve", 1)
  child(child(lines, "for sku", "a.b:c=d"), "~order", 12)
  return chain
end

describe("ids", function()
  after_each(function()
    probe.id_dialect("colon")
  end)

  it("of the colon dialect end their root with ':', and join the rest with '.'", function()
    assert.are.same({ "order-7", "", ":" }, parts("order-7"))
    assert.are.same({ "order.7", "", ":" }, parts("order.7"))
    assert.are.same({ "order-7", ":charge.1", "." }, parts("order-7:charge.1"))
    assert.are.equal("order-7:charge.1", probe.id_child("order-7", "charge", 1))
    assert.are.equal("order-7:lines.1.reserve.20", probe.id_child("order-7:lines.1", "reserve", 20))
    assert.are.equal("order.7:charge=x%3Ay", probe.id_child("order.7", "charge", "x:y"))
    assert.are.equal("order.7~mail.1", probe.id_detached("order.7:mail.1"))
  end)

  it("of the dot dialect join everything with '.', so a root may hold ':'", function()
    probe.id_dialect("dot")
    assert.are.same({ "order-7", "", "." }, parts("order-7"))
    assert.are.same({ "order:7", "", "." }, parts("order:7"))
    assert.are.same({ "order:7", ".charge.1", "." }, parts("order:7.charge.1"))
    assert.are.equal("order:7.charge.1", probe.id_child("order:7", "charge", 1))
    assert.are.equal("order-7.lines.1.reserve.20", probe.id_child("order-7.lines.1", "reserve", 20))
    assert.are.equal("order-7.charge=x%3Ay%2Ez", probe.id_child("order-7", "charge", "x:y.z"))
    assert.are.equal("order:7~mail~1", probe.id_detached("order:7.mail.1"))
  end)

  it("are told to be none for what would leave no root", function()
    assert.are.same({ nil, "the id begins with ':'" }, parts(":a"))
    assert.are.equal(".a", (probe.id_parts(".a")))
    probe.id_dialect("dot")
    assert.are.same({ nil, "the id begins with '.'" }, parts(".a"))
    assert.are.equal(":a", (probe.id_parts(":a")))
    assert.are.same({ nil, "the root of the id is longer than 255 bytes" }, parts(("a"):rep(256) .. ".b"))
    assert.are.equal(("a"):rep(255), (probe.id_parts(("a"):rep(255) .. ".b")))
  end)

  it("detached have a root of their own that fits, however deep they were made", function()
    for _, dialect in ipairs { "colon", "dot" } do
      probe.id_dialect(dialect)
      local id = "r"
      for _ = 1, 40 do id = probe.id_child(id, "länger", 1) end
      local root, rest = probe.id_parts(probe.id_detached(id))
      assert.are.equal("", rest)
      assert.is_true(#root <= 255)
      assert.is_truthy(utf8.len(root))
    end
  end)

  it("lie below an ancestor whichever dialect joined them", function()
    for _, dialect in ipairs { "colon", "dot" } do
      probe.id_dialect(dialect)
      assert.is_true(probe.id_below("a:b.1", "a"))
      assert.is_true(probe.id_below("a.b.1", "a"))
      assert.is_false(probe.id_below("ab.1", "a"))
      assert.is_false(probe.id_below("a", "a"))
    end
  end)

  -- Every refusal that a server of its own dialect, or of another, answers to what a lineage is made of.
  local function refusals(dialect, root, server)
    probe.id_dialect(dialect)
    local chain, found = lineage(root), {}
    for _, one in ipairs(chain) do one.origin = probe.id_parts(one.id) end
    probe.id_dialect("colon") -- the world has a store
    local world = engine.world { profile = { id_dialect = server } }
    for _, one in ipairs(chain) do
      for _, branch in ipairs { one.id, root } do
        found[#found + 1] = create(world, one, branch)
      end
    end
    probe.id_dialect(dialect)
    return found, 2 * #chain
  end

  it("keep the rules of origin, branch and parent of every server of their dialect", function()
    for dialect, roots in pairs { colon = { "order-7", "order.7" }, dot = { "order-7", "order:7" } } do
      for _, root in ipairs(roots) do
        for _, server in ipairs { dialect, "any", "off" } do
          assert.are.same({}, (refusals(dialect, root, server)))
        end
      end
    end
  end)

  it("that a server of the other dialect refuses tell which one it takes", function()
    for dialect, other in pairs { colon = "dot", dot = "colon" } do
      local found, made = refusals(dialect, dialect == "colon" and "order.7" or "order:7", other)
      assert.are.equal(made, #found)
      for _, words in ipairs(found) do assert.are.equal(other, probe.id_other(words:match "^400 (.*)")) end
      found, made = refusals(dialect, "order-7", other)
      assert.are.equal(made - 2, #found) -- all but the root
      for _, words in ipairs(found) do assert.are.equal(other, probe.id_other(words:match "^400 (.*)")) end
    end
  end)

  it("refused for something else tell nothing", function()
    assert.is_nil(probe.id_other("Promise ID must not contain null bytes"))
    assert.is_nil(probe.id_other("resonate:origin must not contain ':'")) -- that is what we hold to
    probe.id_dialect("dot")
    assert.is_nil(probe.id_other("resonate:origin must not contain '.'"))
  end)
end)
