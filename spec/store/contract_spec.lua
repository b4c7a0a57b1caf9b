-- contract_spec.lua - what every store does, in memory and in LMDB alike.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")
local promise = kit.promise

kit.both("a store", function(open)
  describe("promises", function()
    it("gives back what it was given", function()
      local w = open()
      local all = promise("r:a.1", {
        state = "rejected", armed = true,
        param = { data = "p\0q", headers = { a = "1", b = "" }, encoding = "json" },
        value = { data = "", headers = {} },
        tags = { ["resonate:branch"] = "r", ["resonate:parent"] = "r:a", mine = "x", [""] = "y" },
        timeoutAt = 9007199254740991, createdAt = 5, settledAt = 77, settleSeq = 3,
        call = { kind = 3, ordinal = 7, line = 12, file = "f.lua", func = "charge",
          args = ("A"):rep(16), bundle = ("B"):rep(16) },
      })
      assert(w:write_promise(all))
      assert.same(all, w:promise("r:a.1"))
    end)

    it("has none of an id that was never written", function()
      local w = open()
      kit.fill(w, { "a", "a:b" })
      for _, id in ipairs({ "b", "a:c", "a:b.c", "a:", "" , ":", "a\0", ("x"):rep(300) }) do
        assert.is_nil(w:promise(id), id)
      end
    end)

    it("replaces a promise as a whole", function()
      local w = open()
      assert(w:write_promise(promise("a", { param = { data = "1" }, tags = { x = "y" } })))
      assert(w:write_promise(promise("a", { state = "resolved", settledAt = 9, settleSeq = 0 })))
      assert.same(promise("a", { state = "resolved", settledAt = 9, settleSeq = 0 }), w:promise("a"))
      assert.equal(1, w:stat().promises)
    end)

    it("takes a child whose root does not exist, before and after the root comes", function()
      local w = open()
      assert(w:write_promise(promise("r:a.1")))
      assert.is_nil(w:promise("r"))
      assert.same({ "r:a.1" }, w:scan_ids())
      assert.equal(1, w:stat().promises)
      assert.same({}, w:verify())
      assert(w:write_promise(promise("r", { param = { data = "late" } })))
      assert.same({ "r", "r:a.1" }, w:scan_ids())
      assert.equal("late", w:promise("r").param.data)
      assert.equal(2, w:stat().promises)
      assert.same({}, w:verify())
    end)

    it("refuses ids that no promise can have", function()
      local w = open()
      for _, id in ipairs({ "", ":a", "a\0b", ("r"):rep(256), "r:" .. ("x"):rep(1000) }) do
        local done, name = w:write_promise(promise(id))
        assert.same({ nil, "EINVAL" }, { done, name })
        assert.equal(0, w:stat().promises)
      end
    end)
  end)

  describe("ids at the bounds", function()
    local root = ("r"):rep(255)
    local ids = { root }
    for _, len in ipairs({ 1, 127, 128, 129, 144, 145, 159, 160, 161, 162, 999, 1000 }) do
      ids[#ids + 1] = root .. ":" .. ("s"):rep(len - 1)
      if len > 1 then ids[#ids + 1] = root .. ":" .. ("s"):rep(len - 2) .. "t" end
    end

    it("are each their own promise, task and waits", function()
      local w = open()
      assert(w:begin())
      for i, id in ipairs(ids) do
        assert(w:write_promise(promise(id, { param = { data = tostring(i) } })))
        assert(w:write_task({ id = id, state = "suspended", version = i }))
        assert(w:write_due("deadline", 5, id))
        assert(w:write_wait("callback", "o", id))
        assert(w:write_wait("listener", id, "http://" .. i))
        assert(w:write_out("execute", id, "addr" .. i, i))
        assert(w:write_out("unblock", id, "addr" .. i))
      end
      assert(w:commit())
      for i, id in ipairs(ids) do
        assert.equal(tostring(i), w:promise(id).param.data)
        assert.equal(id, w:promise(id).id)
        assert.equal(i, w:task(id).version)
        assert.is_true(w:wait_has("callback", "o", id))
        assert.same({ "http://" .. i }, w:waits("listener", id))
      end
      local function seen(list, key)
        local found = {}
        for n, row in ipairs(list) do found[n] = key and row[key] or row end
        return kit.sorted(found)
      end
      assert.same(kit.sorted(ids), seen(w:dues("deadline"), "id"))
      assert.same(kit.sorted(ids), seen(w:waits("callback", "o")))
      local out = w:outbox()
      assert.equal(2 * #ids, #out)
      for n, m in ipairs(out) do assert.equal(n <= #ids and "execute" or "unblock", m.kind) end
      assert.same(kit.sorted(ids), w:scan_ids())
    end)

    it("can be awaited and await, also the long ones", function()
      local w = open()
      local others = { "o", "o:x", "o:" .. ("s"):rep(400), root, ids[#ids] }
      assert(w:begin())
      for _, a in ipairs(others) do
        for _, b in ipairs(ids) do
          if a ~= b then
            assert(w:write_wait("awaited", a, b))
            assert(w:write_wait("callback", b, a))
            assert(w:write_wait("resume", a, b))
          end
        end
      end
      assert(w:commit())
      for _, a in ipairs(others) do
        local wanted = {}
        for _, b in ipairs(ids) do
          if a ~= b then wanted[#wanted + 1] = b end
        end
        table.sort(wanted)
        assert.same(wanted, kit.sorted(w:waits("awaited", a)))
        assert.same(wanted, kit.sorted(w:waits("resume", a)))
      end
    end)
  end)

  describe("waits", function()
    it("keep pairs apart that read the same when joined", function()
      local w = open()
      local pairs_ = { { "a", "b:c" }, { "a:b", "c" }, { "a:b", "a:c" }, { "a", "a:b" }, { "a:bc", "d" },
        { "a:b", "cd" }, { "a:b:c", "a" }, { "a:b", "a" } }
      for i, p in ipairs(pairs_) do
        assert(w:write_wait("callback", p[1], p[2]))
        for j, q in ipairs(pairs_) do assert.equal(j <= i, w:wait_has("callback", q[1], q[2])) end
      end
      assert.same({ "a", "a:c", "c", "cd" }, kit.sorted(w:waits("callback", "a:b")))
      assert(w:write_wait("callback", "a:b", "a:c", "del"))
      assert.same({ "a", "c", "cd" }, kit.sorted(w:waits("callback", "a:b")))
    end)

    it("are of one kind only", function()
      local w = open()
      assert(w:write_wait("resume", "a", "b"))
      for _, kind in ipairs({ "callback", "awaited", "listener" }) do
        assert.is_false(w:wait_has(kind, "a", "b"))
        assert.same({}, w:waits(kind, "a"))
      end
      assert.is_false(w:wait_has("resume", "b", "a"))
    end)

    it("of listeners keep any address, once", function()
      local w = open()
      local addresses = { "", "x", ("long"):rep(500), "a\0b" }
      for _, a in ipairs(addresses) do
        if a ~= "" then
          assert(w:write_wait("listener", "p", a))
          assert(w:write_wait("listener", "p", a))
        end
      end
      table.remove(addresses, 1)
      assert.same(kit.sorted(addresses), kit.sorted(w:waits("listener", "p")))
      assert(w:write_wait("listener", "p", "x", "del"))
      assert.is_false(w:wait_has("listener", "p", "x"))
      assert.is_true(w:wait_has("listener", "p", "a\0b"))
    end)

    it("show an await of a descendant through its callback", function()
      local w = open()
      local rows = { { "r:a.1", "r" }, { "r:a.1.b.1", "r" }, { "r:a.1.b.1", "r:a.1" }, { "r:a.1.b.2", "r:a.1" },
        { "r:a.10.b.1", "r:a.1" }, { "s", "r:a.1" }, { "r", "r:a.1" }, { "r:a.1-x", "r:a.1" } }
      for _, row in ipairs(rows) do
        assert(w:write_wait("callback", row[1], row[2]))
        assert(w:write_wait("awaited", row[2], row[1]))
      end
      assert.same({ "r:a.1", "r:a.1.b.1" }, w:waits("awaited", "r"))
      assert.same({ "r", "r:a.1-x", "r:a.1.b.1", "r:a.1.b.2", "r:a.10.b.1", "s" }, kit.sorted(w:waits("awaited", "r:a.1")))
      assert.same({}, w:waits("awaited", "s"))
      for _, row in ipairs(rows) do
        assert.is_true(w:wait_has("awaited", row[2], row[1]))
        assert(w:write_wait("callback", row[1], row[2], "del"))
        assert(w:write_wait("awaited", row[2], row[1], "del"))
        assert.is_false(w:wait_has("awaited", row[2], row[1]))
      end
      assert.equal(0, w:stat().waits)
    end)

    it("of long descendants are told apart by their text", function()
      local w = open()
      local near = "r:" .. ("n"):rep(140)
      local deep = near .. "." .. ("d"):rep(100)
      local beside = near .. "x." .. ("d"):rep(100)
      for _, awaited in ipairs({ deep, beside }) do
        assert(w:write_wait("callback", awaited, near))
        assert(w:write_wait("awaited", near, awaited))
      end
      assert.same(kit.sorted({ deep, beside }), kit.sorted(w:waits("awaited", near)))
      assert.equal(3, w:stat().waits) -- two callbacks; only the one beside has a row of its own
    end)
  end)

  describe("what is due", function()
    it("is walked class by class, by instant", function()
      local w = open()
      local instants = { 0, 1, 127, 128, 16383, 16384, 1750000000000, 9007199254740991, math.maxinteger }
      for i = #instants, 1, -1 do
        for _, class in ipairs({ "deadline", "retry", "lease" }) do
          assert(w:write_due(class, instants[i], "p" .. i))
        end
      end
      for _, class in ipairs({ "deadline", "retry", "lease" }) do
        local seen = {}
        for n, row in ipairs(w:dues(class)) do
          seen[n] = row.at
          assert.equal("p" .. n, row.id)
        end
        assert.same(instants, seen)
      end
      assert.same({}, w:dues("schedule"))
      assert(w:write_due("retry", 0, "p1", "del"))
      assert(w:write_due("retry", 1, "p1", "del")) -- was not there
      assert.equal(#instants - 1, #w:dues("retry"))
    end)
  end)

  describe("the outbox", function()
    it("keeps one execute per task, one unblock per promise and address, executes first", function()
      local w = open()
      assert(w:write_out("unblock", "p", "u1"))
      assert(w:write_out("execute", "p", "old", 1))
      assert(w:write_out("unblock", "p", "u2"))
      assert(w:write_out("unblock", "p", "u1"))
      assert(w:write_out("execute", "p", "new", 2))
      local out = w:outbox()
      assert.same({ kind = "execute", id = "p", address = "new", version = 2 }, out[1])
      assert.same({ "u1", "u2" }, kit.sorted({ out[2].address, out[3].address }))
      assert.equal(3, #out)
      assert(w:write_out("unblock", "p", "u1", 0, "del"))
      assert(w:write_out("execute", "p", "whatever", 9, "del"))
      assert.same({ { kind = "unblock", id = "p", address = "u2" } }, w:outbox())
    end)
  end)

  describe("long values", function()
    local function of(len, byte)
      return ((byte or "v"):rep(len - 1) .. "."):sub(1, len)
    end

    it("come back whole at every size", function()
      local w = open()
      for _, len in ipairs({ 0, 1, 1499, 1500, 1501, 3999, 4000, 4001, 8000, 8001, 100000, 1 << 20 }) do
        local p = promise("p" .. len, { param = { data = of(len) }, value = { data = of(len, "w") } })
        assert(w:write_promise(p))
        assert.same(p, w:promise(p.id))
      end
      assert.same({}, w:verify())
    end)

    it("leave nothing behind when they shrink or go", function()
      local w = open()
      for _, len in ipairs({ 20000, 9000, 1600, 10, 12000 }) do
        assert(w:write_promise(promise("p", { param = { data = of(len) } })))
        assert.equal(of(len), w:promise("p").param.data)
        assert.equal(len > 1500 and (len + 3999) // 4000 or 0, #w:rows("blob"))
      end
      assert(w:write_promise(promise("p")))
      assert.same({}, w:rows("blob"))
      assert.same({}, w:verify())
    end)

    it("of a long id, of a root and of two neighbours do not meet", function()
      local w = open()
      local ids = { "r", "r:a", "r:a\1", "r:" .. ("x"):rep(127), "r:" .. ("x"):rep(500), "r:" .. ("x"):rep(499) .. "y" }
      for i, id in ipairs(ids) do
        assert(w:write_promise(promise(id, { param = { data = of(9000, tostring(i)) } })))
      end
      for i, id in ipairs(ids) do assert.equal(of(9000, tostring(i)), w:promise(id).param.data) end
      assert.same({}, w:verify())
    end)
  end)

  describe("bundles", function()
    it("are kept under their hash, small and large", function()
      local w = open()
      for _, bytes in ipairs({ "", "return 1", ("x"):rep(1500), ("x"):rep(50001) }) do
        local hash = assert(w:put_bundle(bytes))
        assert.equal(bytes, w:get_bundle(hash))
        assert.equal(hash, assert(w:put_bundle(bytes)))
      end
      assert.equal(4, w:stat().bundles)
      assert.is_nil(w:get_bundle(("n"):rep(16)))
      assert.same({}, w:verify())
    end)

    it("of one hash and other bytes are refused", function()
      local w = open()
      local hash = assert(w:put_bundle("one"))
      local put, name = w:put_bundle("two", hash)
      assert.is_nil(put)
      assert.equal("ECORRUPT", name)
      assert.equal("one", w:get_bundle(hash))
    end)
  end)

  describe("a transaction", function()
    it("shows its own writes and is gone after an abort", function()
      local w = open()
      kit.fill(w, { "a" })
      assert(w:begin())
      assert.is_false(w:dirty())
      assert(w:write_promise(promise("a", { param = { data = "new" } })))
      assert(w:write_promise(promise("b:x", { tags = { ["resonate:target"] = "poll://any@elsewhere" } })))
      assert(w:write_task({ id = "a", state = "pending", version = 0 }))
      assert(w:write_due("retry", 7, "a"))
      assert.is_true(w:dirty())
      assert.equal("new", w:promise("a").param.data)
      assert.equal("poll://any@elsewhere", w:promise("b:x").tags["resonate:target"])
      w:abort()
      assert.same(promise("a"), w:promise("a"))
      assert.is_nil(w:promise("b:x"))
      assert.is_nil(w:task("a"))
      assert.same({}, w:dues("retry"))
      assert.same({ "a" }, w:scan_ids())
      assert.same({}, w:verify())
    end)

    it("gives numbers of roots and words again after an abort, never after a commit", function()
      local w = open()
      local target = { tags = { ["resonate:target"] = "poll://any@t" } }
      for _ = 1, 2 do
        assert(w:begin())
        assert(w:write_promise(promise("gone", target)))
        w:abort()
      end
      assert(w:write_promise(promise("stays", target)))
      assert.equal("\1", w:rows("ids")[1][2])
      assert.equal("\1", w:rows("word")[1][1])
      assert(w:write_promise(promise("gone", { tags = { ["resonate:target"] = "poll://any@u" } })))
      assert.equal("poll://any@t", w:promise("stays").tags["resonate:target"])
      assert.equal("poll://any@u", w:promise("gone").tags["resonate:target"])
      assert.same({}, w:verify())
    end)

    it("that wrote nothing is no commit", function()
      local w = open()
      w:fail_commit(1, "EIO")
      assert(w:begin())
      assert(w:write_due("retry", 5, "nobody", "del"))
      assert(w:commit())
      assert(w:begin())
      assert(w:write_promise(promise("a")))
      local done, name = w:commit()
      assert.is_nil(done)
      assert.equal("EIO", name)
    end)

    it("keeps settle_seq, which never goes back", function()
      local w = open()
      assert.equal(1, w:seq())
      assert(w:begin())
      assert(w:set_seq(5))
      assert(w:write_promise(promise("a")))
      local done, name = w:set_seq(4)
      assert.is_nil(done)
      assert.equal("EINVAL", name)
      w:abort()
      assert.equal(1, w:seq())
      assert(w:begin())
      assert(w:set_seq(5))
      assert(w:write_promise(promise("a")))
      assert(w:commit())
      assert.equal(5, w:seq())
      assert(w:reopen())
      assert.equal(5, w:seq())
    end)
  end)

  describe("a commit that fails", function()
    it("leaves the store as it was, and it goes on", function()
      local w = open()
      kit.fill(w, { "a" })
      for _, name in ipairs({ "EFULL", "EIO" }) do
        w:fail_commit(2, name)
        assert(w:write_promise(promise("ok" .. name)))
        local done, status, words = w:write_promise(promise("b:x", { param = { data = ("x"):rep(9000) } }))
        assert.same({ nil, name }, { done, status })
        assert.is_string(words)
        assert.is_nil(w:promise("b:x"))
        assert.same({}, w:rows("blob"))
      end
      assert(w:write_promise(promise("b:x")))
      assert.same({ "a", "b:x", "okEFULL", "okEIO" }, w:scan_ids())
      assert.same({}, w:verify())
    end)
  end)

  describe("opened again", function()
    it("holds what was committed and nothing else", function()
      local w = open()
      local p = promise("r:a.1", {
        tags = { ["resonate:target"] = "poll://any@group" }, param = { data = ("x"):rep(5000) },
        call = { kind = 3, ordinal = 1, line = 2, file = "main.lua", func = "pay", bundle = ("B"):rep(16) },
      })
      assert(w:write_promise(p))
      assert(w:begin())
      assert(w:write_promise(promise("lost")))
      assert(w:reopen())
      assert.same(p, w:promise("r:a.1"))
      assert.is_nil(w:promise("lost"))
      assert(w:write_promise(promise("next")))
      assert.same({ "next", "r:a.1" }, w:scan_ids())
      assert.same({}, w:verify())
    end)
  end)
end)
