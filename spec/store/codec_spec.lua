-- codec_spec.lua - records as bytes: there and back, small, and safe on bytes that nobody wrote.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")
local probe = kit.probe

local function round(record, id)
  return (probe.decode_promise(probe.encode_promise(record), id or record.id))
end

local STATES = { "pending", "resolved", "rejected", "rejected_canceled", "rejected_timedout" }
local INSTANTS = { 0, 1, 1000, 1750000000000, 9007199254740990, 9007199254740991, math.maxinteger }

-- A record with every kind of member, by chance.
local function any_value(random)
  local value = {}
  if random(2) == 1 then value.data = kit.bytes(random, random(60) - 1) end
  if random(3) == 1 then value.headers = {} end
  if random(3) == 1 then value.headers = { [kit.bytes(random, random(9) - 1)] = "x", b = kit.bytes(random, 3) } end
  if random(3) == 1 then value.encoding = "json" end
  return value
end

local IDS = { "r", "r:a.1", "r:a.1.b.22", "r:k=1", "r:0.2.1", "r.x.1", "r:~sleep.1", ("l"):rep(250), "a:b:c" }

local function any_tags(random, id)
  local root = id:match("^[^:]*")
  local cut = id:match("^(.*)[.:][^.:]*$") or "none"
  local values = { id, root, cut, cut:match("^(.*)[.:][^.:]*$") or "", "true", "local", "global",
    "poll://any@default", "poll://any@g/1", "", "anything" }
  local keys = { "target", "scope", "branch", "parent", "origin", "timer", "external", "delay", "prefix", "schedule",
    "unknown" }
  local tags = {}
  for _ = 1, random(8) - 1 do
    tags[(random(4) == 1 and "" or "resonate:") .. keys[random(#keys)]] = values[random(#values)]
  end
  return tags
end

local function any_promise(random)
  local id = IDS[random(#IDS)]
  local p = {
    id = id, state = STATES[random(5)], param = any_value(random), value = any_value(random),
    tags = any_tags(random, id), timeoutAt = INSTANTS[random(#INSTANTS)], createdAt = INSTANTS[random(#INSTANTS)],
  }
  if random(2) == 1 then p.armed = true end
  if p.state ~= "pending" then
    p.settledAt = INSTANTS[random(#INSTANTS)]
    p.settleSeq = random(1 << 40)
  end
  if random(2) == 1 then
    p.call = { kind = random(9), ordinal = random(1 << 32) - 1, line = random(1 << 32) - 1 }
    if random(2) == 1 then p.call.file = "main.lua" end
    if random(2) == 1 then p.call.func = ({ "a", "b", "charge", "0" })[random(4)] end
    if random(2) == 1 then p.call.args = kit.bytes(random, 15) .. "\1" end
    if random(2) == 1 then p.call.bundle = kit.bytes(random, 16) end
    if random(2) == 1 then p.call.generation = 1 + random((1 << 32) - 2) end
    if random(2) == 1 then p.call.awaitedElsewhere = true end
  end
  return p
end

describe("a promise's record", function()
  it("comes back as it was", function()
    local random = kit.random(kit.seed())
    for _ = 1, 5000 do
      local p = any_promise(random)
      assert.same(p, round(p))
    end
  end)

  it("keeps every instant, also where the differences overflow", function()
    for _, created in ipairs({ 0, 5, -1, math.mininteger, math.maxinteger }) do
      for _, at in ipairs({ 0, 4, 9007199254740991, math.mininteger, math.maxinteger }) do
        local p = kit.promise("p", { state = "resolved", createdAt = created, timeoutAt = at, settledAt = at, settleSeq = 1 })
        assert.same(p, round(p))
      end
    end
  end)

  it("keeps the text it is given beside the key", function()
    local _, text = probe.decode_promise(probe.encode_promise(kit.promise("r"), "the text"), "r")
    assert.equal("the text", text)
  end)

  it("leaves long values out, with their lengths", function()
    local p = kit.promise("p", { param = { data = ("x"):rep(1501) }, value = { data = ("y"):rep(123456) } })
    local bytes = probe.encode_promise(p)
    assert.is_true(#bytes < 40)
    local _, _, param, value = probe.decode_promise(bytes, "p")
    assert.same({ 1501, 123456 }, { param, value })
  end)

  it("of an ordinary sleep takes 15 bytes and its digest", function()
    local p = kit.promise("order-7:~sleep.1", {
      createdAt = 1750000000000, timeoutAt = 1750003600000,
      tags = { ["resonate:branch"] = "order-7:~sleep.1", ["resonate:origin"] = "order-7", ["resonate:timer"] = "true",
        ["resonate:parent"] = "order-7", ["resonate:scope"] = "global" },
    })
    assert.is_true(#probe.encode_promise(p) <= 20, tostring(#probe.encode_promise(p)))
    p.call = { kind = 6, ordinal = 1, line = 14, func = "~sleep", args = ("d"):rep(16) }
    assert.is_true(#probe.encode_promise(p) <= 40)
  end)
end)

describe("a task's record", function()
  local TASKS = {
    { id = "", state = "pending", version = 0, resumes = 0, timerAt = 1750000000000 },
    { id = "", state = "acquired", version = 9, resumes = 3, ttl = 60000, pid = "w1", timerAt = 5 },
    { id = "", state = "suspended", version = math.maxinteger, resumes = 0 },
    { id = "", state = "halted", version = 1, resumes = 7 },
    { id = "", state = "fulfilled", version = 1, resumes = 0 },
  }
  for _, pid in ipairs({ "local/", "local/0", "local/00", "local/0123456789abcdef", "local/ABCD", "local/xy", "local/abc",
    "localx00", ("p"):rep(300) }) do
    TASKS[#TASKS + 1] = { id = "", state = "acquired", version = 1, resumes = 0, ttl = 9007199254740991,
      timerAt = 9007199254740991, pid = pid }
  end

  it("comes back as it was", function()
    for _, t in ipairs(TASKS) do
      local shown, text = probe.decode_task(probe.encode_task(t, "rest"))
      assert.same(t, shown)
      assert.equal("rest", text)
    end
  end)

  it("held by a worker of this process is not much larger than a suspended one", function()
    local held = { id = "", state = "acquired", version = 1, ttl = 9007199254740991, timerAt = 9007199254740991,
      pid = "local/0123456789abcdef" }
    assert.is_true(#probe.encode_task(held) <= 14)
    assert.is_true(#probe.encode_task({ id = "", state = "suspended", version = 1 }) <= 4)
  end)
end)

describe("bytes nobody wrote", function()
  local function decodes(bytes)
    for _, name in ipairs({ "execute", "unblock", "bundle", "queue", "queue_row", "counters" }) do probe.decode_other(name, bytes) end
    probe.decode_task(bytes)
    return probe.decode_promise(bytes, "r:a.1")
  end

  it("are damaged data or another version, whatever they are", function()
    local random = kit.random(kit.seed())
    local names = {}
    for _ = 1, 20000 do
      local bytes = kit.bytes(random, random(40) - 1)
      if random(2) == 1 then bytes = string.char(0x10 * random(6) + 1) .. bytes end
      local record, name = decodes(bytes)
      if not record then names[name] = true end
    end
    assert.same({ ECORRUPT = true, EVERSION = true }, names)
  end)

  it("that are a record cut off, or with more behind it, are damaged", function()
    local random = kit.random(kit.seed())
    for _ = 1, 200 do
      local bytes = probe.encode_promise(any_promise(random))
      for len = 0, #bytes - 1 do
        local record, name = probe.decode_promise(bytes:sub(1, len), "r:a.1")
        assert.same({ nil, "ECORRUPT" }, { record, name })
      end
      local record, name = probe.decode_promise(bytes .. "\0", "r:a.1")
      assert.same({ nil, "ECORRUPT" }, { record, name })
    end
  end)

  it("that are a record with a byte changed never read past the end", function()
    local random = kit.random(kit.seed())
    for _ = 1, 20000 do
      local bytes = probe.encode_promise(any_promise(random))
      local at = random(#bytes)
      decodes(bytes:sub(1, at - 1) .. kit.bytes(random, 1) .. bytes:sub(at + 1))
    end
  end)

  it("of another version say so, and name neither damage nor success", function()
    local bytes = probe.encode_promise(kit.promise("p"))
    for version = 0, 15 do
      local record, name = probe.decode_promise(string.char(0x10 + version) .. bytes:sub(2), "p")
      if version == 1 then
        assert.is_table(record)
      else
        assert.same({ nil, "EVERSION" }, { record, name })
      end
    end
    local task = probe.encode_task({ id = "", state = "pending", version = 0 })
    assert.equal("EVERSION", (select(2, probe.decode_task("\x32" .. task:sub(2)))))
    assert.equal("ECORRUPT", (select(2, probe.decode_task(bytes))))
    assert.equal("ECORRUPT", (select(2, probe.decode_promise(task, "p"))))
  end)

  it("that ask for a dictionary there is none of are damaged", function()
    local world = kit.open("memory")
    local call = { kind = 3, ordinal = 1, line = 1, file = "main.lua" }
    assert(world:write_promise(kit.promise("r:a", { call = call })))
    local record, name = probe.decode_promise(world:rows("prom")[1][2], "r:a")
    assert.same({ nil, "ECORRUPT" }, { record, name })
    assert.same(call, world:promise("r:a").call)
    kit.clean()
  end)
end)

kit.both("shared texts", function(open)
  it("stand once in the store, and in the records when the dictionary is full", function()
    local w = open()
    assert(w:begin())
    for i = 1, 5000 do
      assert(w:write_promise(kit.promise("r:a." .. i, {
        tags = { ["resonate:target"] = "http://host/" .. i },
        call = { kind = 3, ordinal = i, line = 1, file = "main.lua", func = "f" .. i },
      })))
    end
    assert(w:commit())
    assert.equal(4096, #w:rows("word"))
    assert(w:reopen())
    for i = 1, 5000, 7 do
      local p = w:promise("r:a." .. i)
      assert.equal("http://host/" .. i, p.tags["resonate:target"])
      assert.same({ "main.lua", "f" .. i }, { p.call.file, p.call.func })
    end
    assert.same({}, w:verify())
  end)
end)
