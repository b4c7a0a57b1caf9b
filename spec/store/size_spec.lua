-- size_spec.lua - what a parked execution costs on disk: the rows of a root that sleeps, as a runtime writes them.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")

local COUNT, WINDOW = 20000, 256
local NEVER = 9007199254740991

local function tags(id, root, more)
  local all = { ["resonate:branch"] = id, ["resonate:origin"] = root, ["resonate:parent"] = root,
    ["resonate:scope"] = "global" }
  for key, value in pairs(more) do all[key] = value end
  return all
end

local function start(w, root, now)
  assert(w:write_promise({
    id = root, state = "pending", timeoutAt = NEVER, createdAt = now, value = {},
    param = { data = '{"func":"order","args":[{"id":12345}]}', encoding = "json" },
    tags = tags(root, root, { ["resonate:target"] = "poll://any@default" }),
    call = { kind = 1, ordinal = 1, line = 12, file = "orders.lua", func = "order", args = ("a"):rep(16),
      bundle = ("b"):rep(16) },
  }))
  assert(w:write_task({ id = root, state = "acquired", version = 1, ttl = NEVER, timerAt = NEVER,
    pid = "local/0123456789abcdef" }))
  assert(w:write_due("lease", NEVER, root))
end

local function sleep(w, root, now, length)
  local id = root .. ":~sleep.1"
  assert(w:write_promise({
    id = id, state = "pending", armed = true, timeoutAt = now + length, createdAt = now, param = {}, value = {},
    tags = tags(id, root, { ["resonate:timer"] = "true" }),
    call = { kind = 6, ordinal = 1, line = 14, file = "orders.lua", func = "~sleep", args = ("a"):rep(16) },
  }))
  assert(w:write_due("deadline", now + length, id))
  assert(w:write_wait("callback", id, root))
  assert(w:write_wait("awaited", root, id))
  assert(w:write_task({ id = root, state = "suspended", version = 1 }))
  assert(w:write_due("lease", NEVER, root, "del"))
end

local function park(w, lengths)
  local now = 1750000000000
  for first = 1, COUNT, WINDOW do
    assert(w:begin())
    for i = first, math.min(first + WINDOW - 1, COUNT) do start(w, "order-" .. i, now) end
    assert(w:commit())
    assert(w:begin())
    for i = first, math.min(first + WINDOW - 1, COUNT) do
      sleep(w, "order-" .. i, now, 3600000 * (1 + i % lengths))
    end
    assert(w:commit())
    now = now + 7
  end
end

describe("a parked execution", function()
  after_each(kit.clean)

  for lengths, bytes in pairs({ [1] = 310, [8] = 340 }) do
    it(("takes at most %d bytes, all rows and half-full pages included, with %d lengths of sleep"):format(bytes, lengths), function()
      local w = kit.open("lmdb")
      local empty = w:stat().file_bytes
      park(w, lengths)
      local each = (w:stat().file_bytes - empty) / COUNT
      assert.is_true(each <= bytes, ("%.0f bytes"):format(each))
      assert.same({}, w:verify())
      assert.equal(COUNT, #w:dues("deadline"))
    end)
  end
end)
