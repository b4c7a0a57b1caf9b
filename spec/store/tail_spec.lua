-- tail_spec.lua - what lies behind an image: as much as a full scan finds, less what the image knows.
--
-- A model makes executions as the worker does: calls are numbered by name in each scope, or have a key; a branch has a
-- scope of its own, and no record before it ends; what a child workflow makes is not its caller's. At some moment an
-- image is taken - the scopes that are alive, how many calls of each name they made, the ids of those with a key - and
-- the model goes on. The scan of the tail has to find what scan_execution() finds, less what is old by the model.
-- Ids that no call makes (`a.1-x`), as somebody else may put them there, may be found or not, and hide nothing.
--
-- SPDX-License-Identifier: Apache-2.0
local kit = require("spec.store.kit")

local TARGET = { ["resonate:target"] = "poll://any@default" }
local HEAD = 128 -- bytes of a long id that its key begins with

-- Names in ids, as they stand there: some begin others, some sort around the separators.
local NAMES = { "a", "a-b", "a b", "ab", "a+", "a%2E1", "b", "charge", "~w", "z\xc3\xa9" }
local KEYS = { "1", "10", "1-b", "1 b", "x", "%3A" }

local function rest_of(id) return id:match(":.*$") or "" end

local function below(scope, part) return scope .. (scope:find(":", 1, true) and "." or ":") .. part end

local function is_below(id, above)
  return #id > #above and id:sub(1, #above) == above and id:find("^[.:]", #above + 1) ~= nil
end

---------------------------------------------------------------------------------------------------- the model

local Model = {}
Model.__index = Model

local function new_model(w, random, id)
  local self = setmetatable({ w = w, random = random, id = id, taken = {}, scopes = {}, foreign = {} }, Model)
  self:open_scope(id, nil)
  return self
end

function Model:open_scope(id, parent, record)
  local scope = { id = id, parent = parent, counts = {}, keyed = {}, record = record }
  self.scopes[#self.scopes + 1] = scope
  return scope
end

function Model:write(id, tags)
  if self.taken[id] or #rest_of(id) > 1000 then return false end
  self.taken[id] = true
  assert(self.w:write_promise(kit.promise(id, { tags = tags })))
  if tags then assert(self.w:write_task({ id = id, state = "pending", version = 0 })) end
  return true
end

function Model:pick(list) return list[self.random(#list)] end

-- The id of the next call of a scope.
function Model:call_id(scope)
  local long = self.random(8) == 1 and 180 or 0
  if not self.imaged and scope == self.scopes[1] then long = math.min(long, HEAD - 1 - 22 - 5 - #rest_of(scope.id)) end
  local name = self:pick(NAMES) .. (long > 0 and ("n"):rep(self.random(long)) or "")
  if self.random(4) == 1 then
    local key = self:pick(KEYS) .. (self.random(4) == 1 and ("k"):rep(self.random(180)) or "")
    local id = below(scope.id, name .. "=" .. key)
    if self.taken[id] or scope.keyed[id] then return nil end
    scope.keyed[id] = true
    return id
  end
  scope.counts[name] = (scope.counts[name] or 0) + 1
  return below(scope.id, name .. "." .. scope.counts[name])
end

-- What a child workflow writes: nobody's but its own, at any depth.
function Model:workflow(id)
  if not self:write(id, TARGET) then return end
  local made = { id }
  for _ = 1, self.random(5) - 1 do
    local kid = below(self:pick(made), self:pick(NAMES) .. "." .. self.random(3) .. (self.random(5) == 1 and
      "." .. ("d"):rep(150) .. ".1" or ""))
    if self:write(kid, self.random(4) == 1 and TARGET or nil) then made[#made + 1] = kid end
  end
end

local MARKS = { "~cancel", "~patched=x", "~patched=y", "~death.2", "~death.3" }

function Model:call()
  local scope = self:pick(self.scopes)
  local kind = self.random(10)
  if kind == 1 then
    self:write(below(scope.id, self:pick(MARKS)))
    return
  end
  local id = self:call_id(scope)
  if not id then return end
  if kind <= 4 and #rest_of(id) < 700 then
    self:open_scope(id, scope)
  elseif kind == 5 then
    self:workflow(id)
  elseif kind <= 9 then -- else it is under way
    self:write(id)
  end
  if self.random(20) == 1 then
    local odd = id .. self:pick { "-x", " ", ":odd", "0x.y.1", "-x." .. ("o"):rep(170) }
    if self:write(odd) then self.foreign[odd] = true end
  end
end

-- Ends a branch and those within it.
function Model:close_scope(scope)
  local kept = {}
  for _, other in ipairs(self.scopes) do
    if other ~= scope and not is_below(other.id, scope.id) then kept[#kept + 1] = other end
  end
  if #kept + 1 <= #self.scopes and scope.parent and self.random(5) > 1 then self:write(scope.id) end
  self.scopes = kept
end

function Model:go(calls)
  for _ = 1, calls do
    self:call()
    if self.random(6) == 1 and #self.scopes > 1 then self:close_scope(self.scopes[1 + self.random(#self.scopes - 1)]) end
  end
end

-- An image is taken of what has ids short enough only (image_state.c); whatever has not is over before.
function Model:take_image()
  local image = { scopes = {}, known = {}, all = {}, foreign = self.foreign }
  self.imaged = true
  for i = #self.scopes, 2, -1 do
    local scope = self.scopes[i]
    local short = scope and #rest_of(scope.id) + 23 < HEAD
    for name in pairs(scope and scope.counts or {}) do
      short = short and #rest_of(scope.id) + 1 + #name + 22 < HEAD
    end
    if scope and not short then self:close_scope(scope) end
  end
  for i, scope in ipairs(self.scopes) do
    local names = {}
    for name, count in pairs(scope.counts) do names[name] = count end
    image.scopes[i] = { id = scope.id, names = names }
    for id in pairs(scope.keyed) do
      image.known[#image.known + 1] = id
      image.all[id] = true
    end
  end
  return image
end

---------------------------------------------------------------------------------------------------- the definition

-- Is it the image's, by what it knows?
local function is_old(image, id)
  local scope
  for _, s in ipairs(image.scopes) do
    if is_below(id, s.id) and (not scope or #s.id > #scope.id) then scope = s end
  end
  local part = id:sub(#scope.id + 2)
  local name, number = part:match("^([^.:=]*)%.(%d+)%f[.:\0]")
  if name then return scope.names[name] ~= nil and math.tointeger(number) <= scope.names[name] end
  return image.all[below(scope.id, part:match("^[^.:=]*=[^.:]*") or part:match("^[^.:]*"))] or false
end

local function expected(w, id, image)
  local list = {}
  for _, p in ipairs(assert(w:scan_execution(id))) do
    if not image.foreign[p.id] and not is_old(image, p.id) then list[#list + 1] = p.id end
  end
  return kit.sorted(list)
end

local function found(w, image, calls)
  local list = {}
  for _, id in ipairs(assert(w:scan_tail({ scopes = image.scopes, known = image.known, calls = calls }))) do
    if not image.foreign[id] then list[#list + 1] = id end
  end
  return kit.sorted(list)
end

---------------------------------------------------------------------------------------------------- specs

kit.both("the scan of a tail", function(open, kind)
  local function case(names, known, calls)
    return { scopes = { { id = "w", names = names } }, known = known or {}, calls = calls }
  end

  it("finds the numbers behind those that are known, and what is below them", function()
    local w = open()
    kit.fill(w, { "w", "w:a.1", "w:a.2", "w:a.2.x.1", "w:a.3", "w:a.3.x.1", "w:a.10", "w:a.10.x.1", "w:a.20", "w:ab.1", "w:b.1" })
    assert.same({ "w:a.10", "w:a.10.x.1", "w:a.3", "w:a.3.x.1", "w:ab.1" },
      kit.sorted(w:scan_tail(case({ a = 2, b = 1 }, nil, 8))))
    assert.same({ "w:a.3", "w:a.3.x.1", "w:ab.1" }, kit.sorted(w:scan_tail(case({ a = 2, b = 1 }, nil, 7))))
    assert.same({ "w:ab.1" }, w:scan_tail(case({ a = 2, b = 1 }, nil, 0)))
  end)

  it("finds what a live branch recorded, not what lies below one that is over", function()
    local w = open()
    kit.fill(w, { "w", "w:a.1.x.1", "w:a.1.x.2", "w:a.2", "w:a.2.x.1", "w:a.2.x.9", "w:b=k.x.1", "w:b=k.x.2", "w:c=k", "w:c=k.x.2" })
    assert.same({ "w:a.1.x.2", "w:b=k.x.2" }, kit.sorted(w:scan_tail({
      scopes = { { id = "w", names = { a = 2 } }, { id = "w:a.1", names = { x = 1 } }, { id = "w:b=k", names = { x = 1 } } },
      known = { "w:b=k", "w:c=k" }, calls = 4,
    })))
  end)

  it("reads in proportion to what is new: 20000 old records of ten names", function()
    local w = open()
    assert(w:begin())
    local names = {}
    for n = 1, 10 do
      names["n" .. n] = 2000
      for i = 1, 2003 do assert(w:write_promise(kit.promise(("w:n%d.%d"):format(n, i)))) end
    end
    assert(w:commit())
    local before = w:stat().rows_read
    assert.equal(30, #w:scan_tail(case(names, nil, 64)))
    local read = w:stat().rows_read - before
    assert.is_true(read <= 10 * (64 + 2 * 3 + 3), tostring(read))
  end)

  -- `w:b.1` is a branch under way, without a record; all that was recorded in it has a long id.
  it("finds long ids below a number that has no record of its own", function()
    local w = open()
    local long = ("l"):rep(170)
    kit.fill(w, { "w", "w:b.1." .. long .. ".1", "w:b.2." .. long .. ".1", "w:b.2." .. long .. ".2" })
    assert.same({ "w:b.2." .. long .. ".1", "w:b.2." .. long .. ".2" }, kit.sorted(w:scan_tail(case({ b = 1 }, nil, 5))))
  end)

  it("is nothing for a root that is not there", function()
    assert.same({}, open():scan_tail(case({ a = 1 }, nil, 5)))
  end)

  it("agrees with the definition on random executions", function()
    local random = kit.random(kit.seed())
    local cases = kind == "memory" and 1200 or 240
    for _ = 1, cases // 40 do
      local w = open()
      local models = {}
      assert(w:begin())
      for i = 1, 40 do
        local root = ({ "w", "w-", "w.x", ("r"):rep(250) })[i % 4 + 1] .. i
        local id = root .. ({ "", ":~2", ":kid.1", ":kid=" .. ("k"):rep(40) .. ".kid.7" })[random(4)]
        assert(w:write_promise(kit.promise(id, { tags = TARGET })))
        local model = new_model(w, random, id)
        model:go(random(40))
        local image = model:take_image()
        local calls = random(25) - 1
        model:go(calls)
        models[i] = { id = id, image = image, calls = calls + random(4) - 1 }
      end
      assert(w:commit())
      for i, m in ipairs(models) do
        assert.same(expected(w, m.id, m.image), found(w, m.image, m.calls), ("case %d of %s"):format(i, m.id))
      end
      w:close()
    end
  end)
end)
