-- live_spec.lua - published values: one per key, each execution its own, kept and taken away.
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")

local LONG = "wf:" .. ("l"):rep(200)

kit.both("published values", function(open, kind)
  local function fresh()
    local w = open()
    kit.fill(w, { "wf", "wf:kid.1", "wf:kid.1.kid.1", "wf:kid.10", LONG, LONG .. "x", "wf-2" })
    return w
  end

  it("are kept by key, the last one stays, and nil takes a key away", function()
    local w = fresh()
    assert(w:write_live("wf", "phase", '"reserve"'))
    assert(w:write_live("wf", "n", "1"))
    assert(w:write_live("wf", "phase", '"ship"'))
    assert.same({ phase = '"ship"', n = "1" }, w:live("wf"))
    assert(w:write_live("wf", "n", nil))
    assert(w:write_live("wf", "never", nil))
    assert.same({ phase = '"ship"' }, w:live("wf"))
    assert.equal(1, #w:rows("live"))
    assert.same({}, w:verify())
  end)

  it("are each execution's own, whatever its id begins with", function()
    local w = fresh()
    local ids = { "wf", "wf:kid.1", "wf:kid.1.kid.1", "wf:kid.10", LONG, LONG .. "x", "wf-2" }
    for i, id in ipairs(ids) do assert(w:write_live(id, "i", tostring(i))) end
    for i, id in ipairs(ids) do assert.same({ i = tostring(i) }, w:live(id), id) end
    assert.same({}, w:live("nobody"))
    assert.same({}, w:verify())
  end)

  it("are not written again when they are the same", function()
    local w = fresh()
    assert(w:write_live("wf", "phase", "1"))
    assert(w:begin())
    assert(w:write_live("wf", "phase", "1"))
    assert(w:write_live("wf", "gone", nil))
    assert.is_false(w:dirty())
    w:abort()
  end)

  it("are refused for a root that is not there", function()
    local w = fresh()
    local done, name = w:write_live("nobody", "phase", "1")
    assert.same({ nil, "EINVAL" }, { done, name })
  end)

  if kind == "lmdb" then
    it("are there after the store was closed and opened", function()
      local w = fresh()
      assert(w:write_live(LONG, ("k"):rep(64), ("v"):rep(4000)))
      assert(w:reopen())
      assert.same({ [("k"):rep(64)] = ("v"):rep(4000) }, w:live(LONG))
      assert.same({}, w:verify())
    end)
  end
end)
