-- value_spec.lua - the value codec: what crosses a durable boundary, as which text, and what is refused in which words.
--
-- The codec is loaded into this interpreter (da_valueprobe), with promises and durable functions that are only names.
-- Rows are { title, value, text }: the value must give the text and the text the value. Random rounds print their seed;
-- DA_SEED repeats one.
--
-- SPDX-License-Identifier: Apache-2.0
local codec = require("da_valueprobe")

local INF = math.huge
local NAN = 0.0 / 0.0

---------------------------------------------------------------------------------------------------- equality

-- Exactly the same value: 1 is not 1.0, 0.0 is not -0.0, NaN is NaN, an error is not a plain table.
local same
local function same_table(a, b)
  if codec.is_error(a) ~= codec.is_error(b) then return false end
  for k, v in next, a do
    if not same(v, rawget(b, k)) then return false end
  end
  for k in next, b do
    if rawget(a, k) == nil then return false end
  end
  return true
end

function same(a, b)
  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then return false end
  if math.type(a) == "float" then return a ~= a and b ~= b or a == b and 1 / a == 1 / b end
  if type(a) == "table" then return same_table(a, b) end
  if type(a) == "userdata" and a ~= codec.null and b ~= codec.null then
    return codec.handle_name(a) == codec.handle_name(b) and getmetatable(a) == getmetatable(b)
  end
  return rawequal(a, b)
end

local function assert_same(expected, value, text)
  if not same(expected, value) then error("read back as something else: " .. text, 2) end
end

---------------------------------------------------------------------------------------------------- rows

local function mixed(...)
  local t = {}
  for i = 1, select("#", ...), 2 do t[(select(i, ...))] = (select(i + 1, ...)) end
  return t
end

local BOTH_WAYS = {
  { "true", true, "true" },
  { "false", false, "false" },
  { "zero", 0, "0" },
  { "a negative integer", -17, "-17" },
  { "2^53", 1 << 53, "9007199254740992" },
  { "-2^53", -(1 << 53), "-9007199254740992" },
  { "2^53 + 1", (1 << 53) + 1, '{"__da":"i64","v":"9007199254740993"}' },
  { "the greatest integer", math.maxinteger, '{"__da":"i64","v":"9223372036854775807"}' },
  { "the least integer", math.mininteger, '{"__da":"i64","v":"-9223372036854775808"}' },
  { "an integral float", 1.0, "1.0" },
  { "zero as a float", 0.0, "0.0" },
  { "minus zero", -0.0, "-0.0" },
  { "a short fraction", 0.1, "0.1" },
  { "a negative fraction", -2.5, "-2.5" },
  { "seventeen digits", 0.1 + 0.2, "0.30000000000000004" },
  { "sixteen digits", 5e-324, "4.94065645841247e-324" },
  { "a third", 1 / 3, "0.3333333333333333" },
  { "a small float", 0.0001, "0.0001" },
  { "a smaller float", 0.00001, "1e-05" },
  { "the last plain integral float", 123456789012345.0, "123456789012345.0" },
  { "a power of ten", 1e15, "1e+15" },
  { "2^53 as a float", 2.0 ^ 53, "9007199254740992.0" },
  { "the greatest double", 1.7976931348623157e308, "1.7976931348623157e+308" },
  { "infinity", INF, '"__INF__"' },
  { "minus infinity", -INF, '"__NEG_INF__"' },
  { "NaN", NAN, '{"__da":"nan"}' },
  { "an empty string", "", '""' },
  { "text", "grüße, 世界 🜚 \u{2028}", '"grüße, 世界 🜚 \u{2028}"' },
  { "escapes", "\0\1\b\t\n\v\f\r\31 \"\\/\127", '"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f \\"\\\\/\127"' },
  { "a sentinel as text", "__INF__", '{"__da":"str","v":"__INF__"}' },
  { "the other sentinel as text", "__NEG_INF__", '{"__da":"str","v":"__NEG_INF__"}' },
  { "nearly a sentinel", "__INF__ ", '"__INF__ "' },
  { "bytes", "\xff", '{"__da":"bytes","v":"/w=="}' },
  { "two bytes", "\xff\0", '{"__da":"bytes","v":"/wA="}' },
  { "three bytes", "\xff\0\xfe", '{"__da":"bytes","v":"/wD+"}' },
  { "an overlong form", "\xc0\x80", '{"__da":"bytes","v":"wIA="}' },
  { "a surrogate", "\xed\xa0\x80", '{"__da":"bytes","v":"7aCA"}' },
  { "beyond Unicode", "\xf4\x90\x80\x80", '{"__da":"bytes","v":"9JCAgA=="}' },
  { "cut text", "gr\xc3", '{"__da":"bytes","v":"Z3LD"}' },
  { "an empty table", {}, "{}" },
  { "an empty array", codec.array(), "[]" },
  { "a list", { 1, "a", true }, '[1,"a",true]' },
  { "lists in lists", { { 1 }, { { 2 } }, {} }, "[[1],[[2]],{}]" },
  { "an object", { b = 1, a = 2 }, '{"a":2,"b":1}' },
  { "keys by their bytes", mixed("b", 1, "B", 2, "", 3, "ab", 4, "a", 5, "é", 6, "~", 7, "a\0", 8),
    '{"":3,"B":2,"a":5,"a\\u0000":8,"ab":4,"b":1,"~":7,"é":6}' },
  { "keys that agree in eight bytes", mixed("abcdefgh2", 1, "abcdefgh", 2, "abcdefgh10", 3),
    '{"abcdefgh":2,"abcdefgh10":3,"abcdefgh2":1}' },
  { "a hole", { 1, nil, 3 }, '{"__da":"map","v":[[1,1],[3,3]]}' },
  { "a list from 0", { [0] = "a", "b" }, '{"__da":"map","v":[[0,"a"],[1,"b"]]}' },
  { "a list with a name", { "a", n = 1 }, '{"__da":"map","v":[[1,"a"],["n",1]]}' },
  { "every kind of key", mixed("x", 1, 2, 2, 1.5, 3, -INF, 4, true, 5, false, 6, "\xff", 7, "", 8, INF, 9,
    math.mininteger, 10, math.maxinteger, 11, 2.0 ^ 63, 12, -1.5, 13, -1, 14, -2, 15),
    '{"__da":"map","v":[["__NEG_INF__",4],[{"__da":"i64","v":"-9223372036854775808"},10],[-2,15],[-1.5,13],[-1,14],'
    .. '[1.5,3],[2,2],[{"__da":"i64","v":"9223372036854775807"},11],[9.223372036854776e+18,12],["__INF__",9],["",8],'
    .. '["x",1],[{"__da":"bytes","v":"/w=="},7],[false,6],[true,5]]}' },
  { "a key of bytes", { ["\xff"] = 1 }, '{"__da":"map","v":[[{"__da":"bytes","v":"/w=="},1]]}' },
  { "a sentinel as a key", { __INF__ = 1 }, '{"__INF__":1}' },
  { "what looks like a tag", { __da = "nan" }, '{"__da":"obj","v":{"__da":"nan"}}' },
  { "what looks like a tag, within", { __da = { __da = 1 } },
    '{"__da":"obj","v":{"__da":{"__da":"obj","v":{"__da":1}}}}' },
  { "what looks like an error", { __type = "error", name = "x" }, '{"__da":"obj","v":{"__type":"error","name":"x"}}' },
  { "a type of one's own", { __type = "order" }, '{"__type":"order"}' },
  { "a promise", codec.promise("order-7:charge.1"), '{"__da":"promise","v":"order-7:charge.1"}' },
  { "a promise in a list", { codec.promise("a") }, '[{"__da":"promise","v":"a"}]' },
  { "a durable function", codec.func("charge"), '{"__da":"func","v":"charge"}' },
  { "a handle named like a sentinel", codec.func("__INF__"), '{"__da":"func","v":{"__da":"str","v":"__INF__"}}' },
  { "an error", codec.error_new("timedout", "too late"), '{"__type":"error","message":"too late","name":"timedout"}' },
  { "an error with fields", codec.error_new("x", "m", { attempts = 3, traceback = "at", promise = "p", Z = 1 }),
    '{"Z":1,"__type":"error","attempts":3,"message":"m","name":"x","promise":"p","stack":"at"}' },
  { "an error with a cause", codec.error_new("x", "m", { cause = codec.error_new("y", "n") }),
    '{"__type":"error","cause":{"__type":"error","message":"n","name":"y"},"message":"m","name":"x"}' },
  { "an error with errors", codec.error_new("all_failed", "m", { errors = { codec.error_new("y", "n") } }),
    '{"__type":"aggregate_error","errors":[{"__type":"error","message":"n","name":"y"}],"message":"m",'
    .. '"name":"all_failed"}' },
  { "an error whose errors are something else", codec.error_new("x", "m", { errors = { name = "required" } }),
    '{"__type":"error","errors":{"name":"required"},"message":"m","name":"x"}' },
  { "an error whose fields have names of the wire",
    codec.error_new("x", "m", { name = "bob", stack = 1, __type = "t", __da = 2, __fields = 3, [1] = 4 }),
    '{"__fields":{"__da":"map","v":[[1,4],["__da",2],["__fields",3],["__type","t"],["name","bob"],["stack",1]]},'
    .. '"__type":"error","message":"m","name":"x"}' },
  { "an error whose field is called name", codec.error_new("x", "m", { name = "bob" }),
    '{"__fields":{"name":"bob"},"__type":"error","message":"m","name":"x"}' },
  { "an error whose field is called __da", codec.error_new("x", "m", { __da = "nan" }),
    '{"__fields":{"__da":"obj","v":{"__da":"nan"}},"__type":"error","message":"m","name":"x"}' },
  { "an error whose code is a number", codec.error_of({ code = 404, message = "m" }),
    '{"__fields":{"code":404},"__type":"error","message":"m","name":"404"}' },
  { "an error whose code is a table", codec.error_of({ code = { 1 }, message = "m" }),
    '{"__fields":{"code":[1]},"__type":"error","message":"m","name":"error"}' },
  { "an error whose message is bytes", codec.error_new("x", "a\xffb"),
    '{"__fields":{"message":{"__da":"bytes","v":"Yf9i"}},"__type":"error","message":"a\u{fffd}b","name":"x"}' },
  { "an error whose message is a sentinel", codec.error_new("x", "__INF__"),
    '{"__fields":{"message":{"__da":"str","v":"__INF__"}},"__type":"error","message":"__INF__","name":"x"}' },
}

-- { title, value, text, what it reads back as }
local ONE_WAY = {
  { "nil", nil, "null", nil },
  { "da.null", codec.null, "null", nil },
  { "da.null in a list", { 1, codec.null }, "[1,null]", { 1, codec.null } },
  { "da.null in an object", { a = codec.null, b = 1 }, '{"a":null,"b":1}', { b = 1 } },
  { "da.null in a map", { [0] = codec.null, a = 1 }, '{"__da":"map","v":[[0,null],["a",1]]}', { a = 1 } },
  { "an array with holes", codec.array({ 1, nil, 3 }), "[1,null,3]", { 1, codec.null, 3 } },
  { "an array with a length", codec.array({ 1, n = 3 }), "[1,null,null]", { 1, codec.null, codec.null } },
  { "an empty array with a length", codec.array({ n = 0 }), "[]", {} },
  { "an array with names is no array", codec.array({ 1, x = 2 }), '{"__da":"map","v":[[1,1],["x",2]]}', { 1, x = 2 } },
  { "an array shorter than it says", codec.array({ 1, 2, n = 1 }), '{"__da":"map","v":[[1,1],[2,2],["n",1]]}',
    { 1, 2, n = 1 } },
  { "an object with a list in it", codec.object({ "a" }), '{"__da":"map","v":[[1,"a"]]}', { "a" } },
  { "an empty object", codec.object(), "{}", {} },
}

describe("the value codec", function()
  for _, row in ipairs(BOTH_WAYS) do
    it("writes and reads " .. row[1], function()
      local text = assert(codec.encode(row[2]))
      assert.equal(row[3], text)
      local value, words = codec.decode(text)
      if value == nil then error(words) end
      assert_same(row[2], value, text)
    end)
  end

  for _, row in ipairs(ONE_WAY) do
    it("writes " .. row[1], function()
      assert.equal(row[3], (codec.encode(row[2])))
      local value, words = codec.decode(row[3])
      assert.is_nil(words)
      assert_same(row[4], value, row[3])
    end)
  end

  it("gives [] back as an empty array, and {} as a plain table", function()
    assert.equal("[]", codec.encode(codec.decode("[]")))
    assert.equal("{}", codec.encode(codec.decode("{}")))
    assert.equal("da.array", getmetatable(codec.decode("[]")))
    assert.is_nil(getmetatable(codec.decode("{}")))
    assert.is_nil(getmetatable(codec.decode("[1]")))
  end)

  it("copies shared subtables", function()
    local shared = { 1 }
    local copy = codec.decode(codec.encode({ shared, shared, { x = shared } }))
    assert.same({ { 1 }, { 1 }, { x = { 1 } } }, copy)
    assert.is_false(rawequal(copy[1], copy[2]))
  end)

  it("gives equal values equal text, however they were built", function()
    local forward, backward, mended = {}, {}, { 1, 2, 3, x = 1 }
    for i = 1, 100 do forward[i] = i end
    for i = 100, 1, -1 do backward[i] = i end
    mended.x = nil
    assert.equal(codec.encode(forward), codec.encode(backward))
    assert.equal("[1,2,3]", codec.encode(mended))
    local keys = {}
    for i = 1, 300 do keys[i] = ("key %d"):format(i * 7919 % 1000) end
    local one, other = {}, {}
    for i = 1, #keys do one[keys[i]] = i end
    for i = #keys, 1, -1 do other[keys[i]] = i end
    for i = 1, 3000 do other["tmp" .. i] = i end
    for i = 1, 3000 do other["tmp" .. i] = nil end
    local text = codec.encode(one)
    assert.equal(text, codec.encode(other))
    table.sort(keys)
    local at = 1
    for _, key in ipairs(keys) do at = assert(text:find('"' .. key .. '":', at, true), key) end
  end)

  it("finds a list whose keys lie in the hash part", function()
    local t = { [3] = "c", [2] = "b" }
    t[1] = "a"
    assert.equal('["a","b","c"]', codec.encode(t))
    t.x = 1
    assert.equal('{"__da":"map","v":[[1,"a"],[2,"b"],[3,"c"],["x",1]]}', codec.encode(t))
  end)

  it("marks tables in place, and none with a metatable of its own", function()
    local t = { 1 }
    assert.is_true(rawequal(t, codec.array(t)))
    assert.is_true(rawequal(t, codec.object(t)))
    assert.has_error(function() codec.array(setmetatable({}, {})) end)
    assert.has_error(function() codec.array(codec.error_new("a", "b")) end)
    assert.has_error(function() codec.array(1) end)
    assert.has_error(function() setmetatable(codec.array(), {}) end)
  end)
end)

---------------------------------------------------------------------------------------------------- refusals

local function nested(depth)
  local t = {}
  for _ = 2, depth do t = { t } end
  return t
end

local function cycle()
  local t = {}
  t.a = { b = { 1, t } }
  return t
end

local function inner_cycle()
  local t = { 1 }
  t.x = t
  return { list = { t } }
end

local CANNOT = " cannot cross a durable boundary"
local REFUSED = {
  { "a function", print, "one[1]: a function" .. CANNOT },
  { "a function in a field", { on = { cb = print } }, "one[1].on.cb: a function" .. CANNOT },
  { "a function in a list", { 1, { 2, print } }, "one[1][2][2]: a function" .. CANNOT },
  { "a function in a map", { [1.5] = { [true] = print } }, "one[1][1.5][true]: a function" .. CANNOT },
  { "a key that is no name", { ["a b"] = { ["1x"] = { [""] = print } } },
    'one[1]["a b"]["1x"][""]: a function' .. CANNOT },
  { "a key of bytes", { ["\xff\n"] = print }, 'one[1]["\u{fffd}\\n"]: a function' .. CANNOT },
  { "a long key", { [("k"):rep(60)] = print }, 'one[1]["' .. ("k"):rep(40) .. '"...]: a function' .. CANNOT },
  { "a coroutine", { coroutine.create(print) }, "one[1][1]: a thread" .. CANNOT },
  { "a userdata", { f = io.stdout }, "one[1].f: a userdata (FILE*)" .. CANNOT },
  { "a metatable", setmetatable({}, {}),
    "one[1]: a table with a metatable" .. CANNOT .. "; copy its fields into a plain table" },
  { "a class", { p = setmetatable({}, { __name = "Point" }) },
    "one[1].p: a table with a metatable (Point)" .. CANNOT .. "; copy its fields into a plain table" },
  { "a table as a key", { [{}] = 1 },
    "one[1]: a table as a key" .. CANNOT .. "; keys are strings, numbers, booleans" },
  { "a function as a key", { a = { [print] = 1 } },
    "one[1].a: a function as a key" .. CANNOT .. "; keys are strings, numbers, booleans" },
  { "a cycle", cycle(), "one[1].a.b[2]: a cycle" .. CANNOT .. " (this is one[1] again)" },
  { "an inner cycle", inner_cycle(), "one[1].list[1].x: a cycle" .. CANNOT .. " (this is one[1].list[1] again)" },
  { "a function in an error", codec.error_new("x", "m", { cb = print }), "one[1].cb: a function" .. CANNOT },
  { "a function under a name of the wire", codec.error_new("x", "m", { name = { print } }),
    "one[1].name[1]: a function" .. CANNOT },
  { "the first culprit in the order of the keys", { z = print, b = { c = 1, a = print }, y = io.stdout },
    "one[1].b.a: a function" .. CANNOT },
}

describe("the value codec refuses", function()
  for _, row in ipairs(REFUSED) do
    it(row[1] .. ", by its path", function()
      local text, words, status = codec.encode(row[2], "one[1]")
      assert.is_nil(text)
      assert.equal(row[3], words)
      assert.equal("EINVAL", status)
    end)
  end

  it("nesting beyond 200 levels of the text, in every form", function()
    local text = assert(codec.encode(nested(200)))
    assert.equal(("["):rep(199) .. "{}" .. ("]"):rep(199), text)
    assert.equal(text, codec.encode(codec.decode(text)))
    local _, words, status = codec.encode(nested(201), "v")
    assert.equal("v" .. ("[1]"):rep(200) .. ": nested deeper than 200 levels", words)
    assert.equal("ETOOBIG", status)

    local function depth_of(value) -- the most levels around value that can be written
      local levels = 0
      while codec.encode(value) do
        assert(codec.decode(codec.encode(value)))
        value, levels = { value }, levels + 1
      end
      return levels - 1
    end
    assert.equal(200, depth_of(1))
    assert.equal(199, depth_of({ a = 1 }))
    assert.equal(197, depth_of({ [0] = 1 }))
    assert.equal(199, depth_of(math.maxinteger))
    assert.equal(199, depth_of(NAN))
    assert.equal(199, depth_of("\xff"))
    assert.equal(199, depth_of("__INF__"))
    assert.equal(199, depth_of(codec.promise("x")))
    assert.equal(198, depth_of({ __da = 1 }))
    assert.equal(199, depth_of(codec.array()))
    assert.equal(198, depth_of(codec.error_new("x", "m", { name = "n" })))
  end)

  it("a path too long to tell, cut", function()
    local t = print
    for i = 1, 150 do t = { ["key" .. i] = t } end
    local _, words = codec.encode(t, "one[1]")
    assert.matches("^one%[1%]%.key150%.key149", words)
    assert.matches("%.%.%.: a function cannot cross a durable boundary$", words)
  end)

  it("text beyond 16 MiB", function()
    local limit = 16 << 20
    local fits = ("x"):rep(limit - 2)
    assert.equal(limit, #assert(codec.encode(fits)))
    local words = "larger than 16 MiB when encoded; keep such data elsewhere and pass its address"
    for _, each in ipairs({
      { fits .. "x", "v: " }, { { fits }, "v" }, { { a = fits }, "v" },
      { { 1, { big = fits .. "xxxxx" } }, "v[2].big: " },
      { ("\n"):rep(limit // 2), "v: " }, { ("\xff"):rep(limit // 4 * 3), "v: " },
      { codec.array({ n = 1 << 40 }), "v: " },
    }) do
      local text, told, status = codec.encode(each[1], "v")
      assert.is_nil(text)
      assert.equal("ETOOBIG", status)
      assert.equal(each[2], told:sub(1, #each[2]))
      assert.equal(words, told:sub(-#words))
    end
    local _, told, status = codec.decode('"' .. fits .. 'x"')
    assert.equal("ETOOBIG", status)
    assert.matches("^byte 0: ", told)
    assert.equal(#fits, #codec.decode('"' .. fits .. '"'))
  end)
end)

---------------------------------------------------------------------------------------------------- arguments, results

describe("arguments", function()
  it("are one array, nil as null", function()
    assert.equal("[]", codec.encode_args("f"))
    assert.equal("[null]", codec.encode_args("f", nil))
    assert.equal('[1,null,"x",{},null]', codec.encode_args("f", 1, nil, "x", {}, nil))
    local function check(count, ...)
      assert.equal(count, select("#", ...))
      return ...
    end
    local a, b, c = check(5, codec.decode_array('[1,null,"x",{},null]'))
    assert.same({ 1, nil, "x" }, { a, b, c })
    check(0, codec.decode_array(" [ ] "))
    check(1000, codec.decode_array("[" .. ("null,"):rep(999) .. "null]"))
  end)

  it("are named by their number when they cannot cross", function()
    local text, words, status = codec.encode_args("one", 1, { on = { cb = print } })
    assert.is_nil(text)
    assert.equal("one[2].on.cb: a function" .. CANNOT, words)
    assert.equal("EINVAL", status)
    local t = {}
    t[1] = t
    assert.equal("one[1][1]: a cycle" .. CANNOT .. " (this is one[1] again)", select(2, codec.encode_args("one", t)))
  end)

  it("may nest as deeply as their text may", function()
    assert.is_string(codec.encode_args("f", nested(199)))
    assert.is_nil((codec.encode_args("f", nested(200))))
    assert.equal(1, select("#", codec.decode_array(codec.encode_args("f", nested(199)))))
  end)

  it("are refused when they are no array", function()
    for _, text in ipairs({ "{}", "1", "", "[1", "[1]]", "[1,]", "[,1]" }) do
      local value, words = codec.decode_array(text)
      assert.is_nil(value)
      assert.matches("^byte %d+: ", words)
    end
  end)
end)

describe("results", function()
  local function count(...)
    return select("#", ...), ...
  end

  local function round(...)
    local data, rest = codec.encode_results("result", ...)
    return data, rest, count(codec.decode_results(data, rest))
  end

  it("are the first as data and the others as an array", function()
    assert.same({ "", "", 0 }, { round() })
    assert.same({ "null", "", 1 }, { round(nil) })
    assert.same({ "7", "", 1, 7 }, { round(7) })
    assert.same({ "7", "[8]", 2, 7, 8 }, { round(7, 8) })
    assert.same({ "null", '[null,"x",null]', 4, nil, nil, "x", nil }, { round(nil, nil, "x", nil) })
  end)

  it("are all or none", function()
    local data, words, status = codec.encode_results("result", 1, 2, print)
    assert.is_nil(data)
    assert.equal("result[3]: a function" .. CANNOT, words)
    assert.equal("EINVAL", status)
    assert.equal("result[1].x: a function" .. CANNOT, select(2, codec.encode_results("result", { x = print }, 2)))
    assert.is_nil((codec.decode_results("1", "[2")))
    assert.is_nil((codec.decode_results("x", "[2]")))
  end)
end)

---------------------------------------------------------------------------------------------------- errors

describe("da.Error", function()
  it("reads as [code] message (promise id)", function()
    assert.equal("[x] m", tostring(codec.error_new("x", "m")))
    assert.equal("[x]", tostring(codec.error_new("x")))
    assert.equal("[x] m (promise w:step.1)", tostring(codec.error_new("x", "m", { promise = "w:step.1" })))
    assert.equal("[x] m (promise p)", tostring(codec.error_new("x", "m", { promise = codec.promise("p") })))
    assert.equal("[404] (a table)", tostring(codec.error_of({ code = 404, message = {} })))
    assert.equal("a[x] m", "a" .. codec.error_new("x", "m"))
    assert.equal("[x] m[y] n1", codec.error_new("x", "m") .. codec.error_new("y", "n") .. 1)
    assert.has_error(function() return codec.error_new("x", "m") .. {} end, "attempt to concatenate a table value")
  end)

  it("is told from other tables, and has no lookups of its own", function()
    assert.is_true(codec.is_error(codec.error_new("x", "m")))
    for _, other in ipairs({ {}, 1, "x", codec.array(), io.stdout, setmetatable({}, {}) }) do
      assert.is_false(codec.is_error(other))
    end
    assert.is_nil(codec.error_new("x", "m").tostring)
    assert.equal("da.Error", getmetatable(codec.error_new("x", "m")))
  end)

  it("copies the fields it is made with", function()
    local fields = { code = "other", attempts = 2 }
    local e = codec.error_new("x", "m", fields)
    assert.equal("x", e.code)
    assert.equal(2, e.attempts)
    assert.same({ code = "other", attempts = 2 }, fields)
  end)

  local function fields_of(e)
    assert.is_true(codec.is_error(e))
    local t = {}
    for k, v in next, e do t[k] = v end
    return t
  end

  it("is made of whatever was raised", function()
    local rows = {
      { nil, { code = "error", message = "nil" } },
      { "wf.lua:3: boom", { code = "error", message = "wf.lua:3: boom" } },
      { 7, { code = "error", message = "7", value = 7 } },
      { true, { code = "error", message = "true", value = true } },
      { print, { code = "error", message = "(a function)", value = print } },
      { { code = "x", message = "m", a = 1 }, { code = "x", message = "m", a = 1 } },
      { { code = "x" }, { code = "x", message = "" } },
      { { status = 404 }, { code = "error", message = '{"status":404}', status = 404 } },
      { { "told", a = 1 }, { code = "error", message = "told", "told", a = 1 } },
      { { f = print }, { code = "error", message = "(a table)", f = print } },
      { { t = ("é"):rep(200) },
        { code = "error", message = '{"t":"' .. ("é"):rep(97) .. "...", t = ("é"):rep(200) } },
      { setmetatable({ a = 1 }, { __tostring = function() return "own" end }),
        { code = "error", message = "own", a = 1 } },
      { setmetatable({ a = 1 }, { __tostring = function() error("no") end }),
        { code = "error", message = "(a table)", a = 1 } },
      { codec.promise("x"), { code = "error", message = "(a userdata)", value = true } },
    }
    for _, row in ipairs(rows) do
      local raised = row[1]
      if type(raised) == "userdata" then row[2].value = raised end
      assert.same(row[2], fields_of(codec.error_of(raised)))
    end
    assert.same({ code = "error", message = "nil" }, fields_of(codec.error_of(nil)))
  end)

  it("stays the same object, and does not touch a table that was raised", function()
    local e = codec.error_new("x", "m")
    assert.is_true(rawequal(e, codec.error_of(e)))
    local constant = { code = "not_found" }
    assert.is_false(rawequal(constant, codec.error_of(constant, "at")))
    assert.same({ code = "not_found" }, constant)
    assert.is_nil(getmetatable(constant))
  end)

  it("gets a traceback once, cut to 4 KB between characters", function()
    assert.equal("at", codec.error_of("x", "at").traceback)
    assert.is_nil(codec.error_of("x").traceback)
    local e = codec.error_of("x", "first")
    assert.equal("first", codec.error_of(e, "second").traceback)
    assert.equal("x" .. ("é"):rep(2047), codec.error_of("x", "x" .. ("é"):rep(3000)).traceback)
  end)

  it("is made of operating failures", function()
    assert.equal("[busy] held elsewhere", tostring(codec.error_of_status("EBUSY", "held elsewhere")))
    assert.equal("[full] storage full", tostring(codec.error_of_status("EFULL")))
  end)

  it("can always leave: a field that cannot cross gives way to the words that say so", function()
    local e = codec.error_new("x", "m", {
      a = 1, cb = print, nested = { deep = { print } }, name = io.stdout, [1] = print,
      cause = codec.error_new("y", "n", { co = coroutine.create(print), ok = true }),
    })
    assert.is_nil((codec.encode(e)))
    local back = codec.decode(assert(codec.encode_error(e, "result")))
    assert.equal("result.cb: a function" .. CANNOT, back.cb)
    assert.equal("result.nested.deep[1]: a function" .. CANNOT, back.nested)
    assert.equal("result.name: a userdata (FILE*)" .. CANNOT, back.name)
    assert.equal("result[1]: a function" .. CANNOT, back[1])
    assert.equal("result.cause.co: a thread" .. CANNOT, back.cause.co)
    assert.equal(true, back.cause.ok)
    assert.equal("[x] m; caused by [y] n", tostring(back))
    assert.equal(1, back.a)

    local selfish = codec.error_new("x", "m")
    selfish.cause = selfish
    assert.matches("a cycle", codec.decode(codec.encode_error(selfish)).cause)
    local deep = codec.error_new("x", "m")
    for _ = 1, 300 do deep = codec.error_new("x", "m", { cause = deep }) end
    local text = assert(codec.encode_error(deep))
    assert.matches("nested deeper than 200 levels", text)
    assert.is_true(codec.is_error(codec.decode(text)))
    local big = codec.error_new("x", "m", { body = ("x"):rep(17 << 20) })
    assert.matches("larger than 16 MiB", codec.decode(codec.encode_error(big)).body)
    local wide = codec.error_new("x", "m", { z = { { 1 } } })
    for i = 1, 250 do wide["f" .. i] = { { print } } end
    assert.same({ { 1 } }, codec.decode(codec.encode_error(wide)).z) -- a field given up leaves no depth behind
    big = codec.decode(codec.encode_error(codec.error_new("x", ("x"):rep(17 << 20)), "v"))
    assert.matches("^v%.message: larger than 16 MiB", big.message)
  end)

  it("is an aggregate for peers when its errors are a list of errors, with a length or not", function()
    local function type_of(errors)
      return codec.encode(codec.error_new("all_failed", "m", { errors = errors })):match('"__type":"([%a_]+)","errors"')
    end
    local one, two = codec.error_new("a", "b"), codec.error_new("c", "d")
    assert.equal("aggregate_error", type_of({ one, two }))
    assert.equal("aggregate_error", type_of(codec.array({ one, two, n = 2 })))
    assert.equal("error", type_of(codec.array({ one, two, n = 3 })))
    assert.equal("error", type_of({ one, two, n = 2 }))
    assert.equal("error", type_of({ one, 2 }))
    assert.equal("error", type_of({ one, x = two }))
    assert.equal("error", type_of({ one, nil, two }))
    assert.equal("error", type_of(codec.array()))
    assert.equal("error", type_of(codec.object({ one })))
    assert.equal("error", type_of(one))
  end)

  it("refuses as ever what is no error", function()
    assert.equal("v.x: a function" .. CANNOT, select(2, codec.encode_error({ x = print }, "v")))
    assert.equal("v: a function" .. CANNOT, select(2, codec.encode_error(print, "v")))
  end)

  it("reads the errors of other languages", function()
    local e = codec.decode('{"__type":"error","message":"no","stack":"E\\n at f","name":"TypeError","extra":[1]}')
    assert.same({ code = "TypeError", message = "no", traceback = "E\n at f", extra = { 1 } }, fields_of(e))
    e = codec.decode([=[
      [{"__type":"aggregate_error","message":"","name":"AggregateError","errors":[{"__type":"error"}]}]
    ]=])[1]
    assert.equal("AggregateError", e.code)
    assert.equal("error", e.errors[1].code)
    assert.is_true(codec.is_error(e.errors[1]))
    e = codec.decode('{"__fields":7,"__type":"error","name":null,"message":null}')
    assert.same({ code = "error" }, fields_of(e))
    assert.is_false(codec.is_error(codec.decode('{"__type":"Error","name":"x"}')))
    assert.is_false(codec.is_error(codec.decode('{"__type":null,"name":"x"}')))
    assert.is_false(codec.is_error(codec.decode('{"__type":1,"name":"x"}')))
  end)
end)

---------------------------------------------------------------------------------------------------- reading

local ACCEPTED = {
  { "9007199254740993", 9007199254740993 },
  { "9223372036854775807", math.maxinteger },
  { "-9223372036854775808", math.mininteger },
  { "-0", -0.0 },
  { "-0.0", -0.0 },
  { "0e5", 0.0 },
  { "1E2", 100.0 },
  { "1e-400", 0.0 },
  { "123456789012345678901234567890.5", 123456789012345678901234567890.5 },
  { "1." .. ("0"):rep(1000) .. "1", 1.0 },
  { ("1"):rep(300) .. ".5", tonumber(("1"):rep(300) .. ".5") },
  { "0." .. ("0"):rep(400) .. "1e400", 0.1 },
  { "4.9e-324", 5e-324 },
  { "179769313486231570000000000000000000000000000000000000.0e255", 1.7976931348623157e308 },
  { " \t\r\n[ 1 , { \"a\" : 2 } ] \n", { 1, { a = 2 } } },
  { '"\\u0041\\u00e9\\u4e16\\ud83d\\ude80\\u0000\\/\\b\\f\\n\\r\\t\\"\\\\"', "Aé世🚀\0/\b\f\n\r\t\"\\" },
  { '"\\u005f_INF__"', INF },
  { '{"\\u0061":1}', { a = 1 } },
  { '{"b":1,"a":2,"c":3}', { a = 2, b = 1, c = 3 } },
  { '{"b":null,"a":null}', {} },
  { '{"a":null,"b":{"c":null,"d":[null]}}', { b = { d = { codec.null } } } },
  { '{ "__da" : "i64" , "v" : "-5" }', -5 },
  { '{"\\u005f_da":"nan"}', NAN },
  { '{"__da":"bytes","v":""}', "" },
  { '{"__da":"bytes","v":"YWI="}', "ab" },
  { '{"__da":"str","v":"x"}', "x" },
  { '{"__da":"map","v":[]}', {} },
  { '{"__da":"map","v":[["a",1],[2.0,2]]}', { a = 1, [2] = 2 } },
  { '{"__da":"obj","v":{}}', {} },
  { '{"__da":"obj","v":{"z":1,"__type":"error","__da":[]}}', { z = 1, __type = "error", __da = {} } },
  { '"' .. ("\\u00e9x"):rep(400) .. '"', ("éx"):rep(400) },
}

local NOT_UTF8 = {
  "\xff", "\xc0\x80", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xf8\x88\x80\x80\x80",
}

-- { text, offset, words }
local MALFORMED = {
  { "", 0, "the text ends where a value is expected" },
  { "  ", 2, "the text ends where a value is expected" },
  { "\u{feff}1", 0, "not a JSON value" }, -- a byte order mark
  { "nul", 0, "not a JSON value" },
  { "nulll", 4, "more text behind the value" },
  { "True", 0, "not a JSON value" },
  { "NaN", 0, "not a JSON value" },
  { "Infinity", 0, "not a JSON value" },
  { "-Infinity", 1, "a number needs digits" },
  { "'a'", 0, "not a JSON value" },
  { "1 2", 2, "more text behind the value" },
  { "1\0", 1, "more text behind the value" },
  { "{}x", 2, "more text behind the value" },
  { "01", 0, "a number does not begin with 0" },
  { "-01", 1, "a number does not begin with 0" },
  { "00.5", 0, "a number does not begin with 0" },
  { "1.", 2, "a fraction needs digits" },
  { ".5", 0, "not a JSON value" },
  { "1.e5", 2, "a fraction needs digits" },
  { "1e", 2, "an exponent needs digits" },
  { "1e+", 3, "an exponent needs digits" },
  { "+1", 0, "not a JSON value" },
  { "-", 1, "a number needs digits" },
  { "- 1", 1, "a number needs digits" },
  { "0x10", 1, "more text behind the value" },
  { "1_000", 1, "more text behind the value" },
  { ("1"):rep(200000), 0, "a number too large for a double" },
  { "1e400", 0, "a number too large for a double" },
  { "-1e400", 0, "a number too large for a double" },
  { ("1"):rep(400) .. ".0", 0, "a number too large for a double" },
  { "[1", 2, "expected ',' or ']'" },
  { "[1 2]", 3, "expected ',' or ']'" },
  { "[1,]", 3, "not a JSON value" },
  { "[,1]", 1, "not a JSON value" },
  { "[", 1, "the text ends where a value is expected" },
  { "]", 0, "not a JSON value" },
  { "[1}", 2, "expected ',' or ']'" },
  { "{", 1, "expected a key" },
  { "{1:2}", 1, "expected a key" },
  { "{a:2}", 1, "expected a key" },
  { '{"a"}', 4, "expected ':'" },
  { '{"a":}', 5, "not a JSON value" },
  { '{"a":1', 6, "expected ',' or '}'" },
  { '{"a":1,}', 7, "expected a key" },
  { '{"a":1 "b":2}', 7, "expected ',' or '}'" },
  { '[1 /* x */]', 3, "expected ',' or ']'" },
  { '"a', 2, "the text ends within a string" },
  { '"a\\', 2, "the text ends within a string" },
  { '"a\\"', 4, "the text ends within a string" },
  { '"a\nb"', 2, "a control byte in a string must be escaped" },
  { '"\0"', 1, "a control byte in a string must be escaped" },
  { '"\\x"', 1, "unknown escape" },
  { '"\\\0"', 1, "unknown escape" },
  { '"\\é"', 1, "unknown escape" },
  { '"\\u12"', 1, "\\u needs four hex digits" },
  { '"\\u12g4"', 1, "\\u needs four hex digits" },
  { '"ab\\ud800"', 3, "half a surrogate pair" },
  { '"\\ud800x"', 1, "half a surrogate pair" },
  { '"\\ud800\\u0041"', 1, "half a surrogate pair" },
  { '"\\udc00"', 1, "half a surrogate pair" },
  { '"\\udc00\\ud800"', 1, "half a surrogate pair" },
  { '"\\ud800\\ud800"', 1, "half a surrogate pair" },
  { '{"a":1,"a":2}', 7, 'duplicate key "a"' },
  { '{"a":1,"b":2,"a":null}', 13, 'duplicate key "a"' },
  { '{"a":null,"b":2,"a":1}', 16, 'duplicate key "a"' },
  { '{"b":null,"a":2,"b":null}', 16, 'duplicate key "b"' },
  { '{"a":1,"\\u0061":2}', 7, 'duplicate key "a"' },
  { '{"":1,"":2}', 6, 'duplicate key ""' },
  { '[{"v":1,"__da":"i64"}]', 8, '"__da" must be the first key of its object' },
  { '{"__da":"what","v":1}', 8, 'unknown tag "what"' },
  { '{"__da":"nan\\u0000"}', 8, 'unknown tag "nan"' },
  { '{"__da":1}', 8, "expected a string" },
  { '{"__da":"i64"}', 13, "expected ','" },
  { '{"__da":"i64","w":"1"}', 14, 'expected the key "v"' },
  { '{"__da":"i64","v":"1","x":1}', 21, "expected '}'" },
  { '{"__da":"i64","v":1}', 18, "expected a string" },
  { '{"__da":"i64","v":"01"}', 18, "not a 64-bit integer" },
  { '{"__da":"i64","v":"-0"}', 18, "not a 64-bit integer" },
  { '{"__da":"i64","v":"+1"}', 18, "not a 64-bit integer" },
  { '{"__da":"i64","v":""}', 18, "not a 64-bit integer" },
  { '{"__da":"i64","v":"9223372036854775808"}', 18, "not a 64-bit integer" },
  { '{"__da":"nan","v":1}', 13, "expected '}'" },
  { '{"__da":"str","v":1}', 18, "expected a string" },
  { '{"__da":"bytes","v":"A"}', 20, "not base64" },
  { '{"__da":"bytes","v":"AA"}', 20, "not base64" },
  { '{"__da":"bytes","v":"A==="}', 20, "not base64" },
  { '{"__da":"bytes","v":"===="}', 20, "not base64" },
  { '{"__da":"bytes","v":"AB=="}', 20, "not base64" }, -- stray bits
  { '{"__da":"bytes","v":"AA==AA=="}', 20, "not base64" },
  { '{"__da":"bytes","v":"A-_A"}', 20, "not base64" },
  { '{"__da":"promise","v":7}', 22, "expected a string" },
  { '{"__da":"obj","v":[]}', 18, "expected '{'" },
  { '{"__da":"obj","v":{"a":1,"a":2}}', 25, 'duplicate key "a"' },
  { '{"__da":"map","v":{}}', 18, "expected '['" },
  { '{"__da":"map","v":[1]}', 19, "expected '['" },
  { '{"__da":"map","v":[[1]]}', 21, "expected ','" },
  { '{"__da":"map","v":[[1,2,3]]}', 23, "expected ']'" },
  { '{"__da":"map","v":[[null,2]]}', 20, "a key of a map must be a string, a number or a boolean" },
  { '{"__da":"map","v":[[[],2]]}', 20, "a key of a map must be a string, a number or a boolean" },
  { '{"__da":"map","v":[[{"__da":"nan"},2]]}', 20, "NaN cannot be a key" },
  { '{"__da":"map","v":[[1,2],[1.0,3]]}', 26, "duplicate key in a map" },
  { ("["):rep(201), 201, "nested too deeply" },
}

describe("the decoder", function()
  for _, row in ipairs(ACCEPTED) do
    it("reads " .. row[1]:sub(1, 60), function()
      local value, words = codec.decode(row[1])
      if value == nil then error(words) end
      assert_same(row[2], value, row[1])
    end)
  end

  for _, row in ipairs(MALFORMED) do
    it(("refuses %q"):format(row[1]:sub(1, 60)), function()
      local value, words = codec.decode(row[1])
      assert.is_nil(value)
      assert.equal(("byte %d: %s"):format(row[2], row[3]), words)
    end)
  end

  it("refuses strings that are not UTF-8", function()
    for _, bad in ipairs(NOT_UTF8) do
      for _, text in ipairs({ '"%s"', '["longer than a word: %s"]', '{"%s":1}', '"%s"', '"\\n%s"' }) do
        local whole = text:gsub("%%s", bad)
        local value, words = codec.decode(whole)
        assert.is_nil(value)
        assert.equal(("byte %d: not UTF-8"):format(whole:find(bad, 1, true) - 1), words)
      end
    end
  end)

  it("finds a duplicate among many keys, in order or not", function()
    for _, step in ipairs({ 1, 7 }) do
      for count = 2, 60 do
        local keys = {}
        for i = 1, count do keys[i] = ("%03d"):format(i * step % 61) end
        local function text_of()
          local members = {}
          for i, key in ipairs(keys) do members[i] = ('"%s":%s'):format(key, i % 3 == 0 and "null" or tostring(i)) end
          return "{" .. table.concat(members, ",") .. "}"
        end
        local value = assert(codec.decode(text_of()))
        for i, key in ipairs(keys) do
          if i % 3 ~= 0 then assert.equal(i, value[key]) else assert.is_nil(value[key]) end
        end
        keys[count] = keys[(count * 13) % (count - 1) + 1]
        local _, words = codec.decode(text_of())
        assert.matches('duplicate key "' .. keys[count] .. '"', words, 1, true)
      end
    end
  end)

  it("reads lists and objects of every size", function()
    for _, count in ipairs({ 1, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 128, 1000 }) do
      local list, object = {}, {}
      for i = 1, count do
        list[i] = i
        object[("k%04d"):format(i)] = { i }
      end
      assert_same(list, codec.decode(codec.encode(list)), "list of " .. count)
      assert_same(object, codec.decode(codec.encode(object)), "object of " .. count)
    end
  end)
end)

---------------------------------------------------------------------------------------------------- at random

local SEED = math.tointeger(os.getenv("DA_SEED")) or os.time() ~ (os.clock() * 1e6 // 1 | 0)

-- A value of every kind the codec takes; `room` bounds its size.
local random
do
  local r = math.random

  local function random_string()
    local kind, parts = r(6), {}
    if kind == 1 then return ("__INF__"):sub(1, r(0, 7)) .. (r(3) == 1 and "x" or "") end
    for i = 1, r(0, r(1, 40)) do
      if kind == 2 then
        parts[i] = string.char(r(0, 255))
      elseif kind == 3 then
        local point = r(0, 0x10ffff)
        parts[i] = utf8.char((point < 0xd800 or point > 0xdfff) and point or 0xe000)
      elseif kind == 4 then
        parts[i] = ('\0\1\n\r\t"\\/\127é'):sub(r(9), r(9))
      else
        parts[i] = string.char(r(32, 126))
      end
    end
    return table.concat(parts)
  end

  local function random_number()
    local kind = r(9)
    if kind == 1 then return r(-10, 10) end
    if kind == 2 then return r(0) end
    if kind == 3 then return (1 << r(0, 63)) + r(-1, 1) end
    if kind == 4 then return r(-1000000, 1000000) / 10 ^ r(0, 6) end
    if kind == 5 then return (string.unpack("d", string.pack("i8", r(0)))) end
    if kind == 6 then return ({ 0.0, -0.0, INF, -INF, NAN, 1e15, 1e-5, 2.0 ^ 63, -2.0 ^ 63 })[r(9)] end
    if kind == 7 then return r() * 10 ^ r(-20, 20) end
    if kind == 8 then return r(-1000, 1000) + 0.0 end
    return r(1 << 53) + 0.5
  end

  local NAMES = {
    "a", "b", "v", "n", "code", "message", "traceback", "name", "stack", "errors", "__da", "__type", "__fields",
  }

  local function random_key()
    local kind = r(5)
    if kind == 1 then return random_string() end
    if kind == 2 then return NAMES[r(#NAMES)] end
    if kind == 3 then return r(2) == 1 end
    local key = random_number()
    return key == key and key or 0
  end

  local function random_table(room)
    local t, kind, count = {}, r(6), r(0, room)
    for i = 1, count do
      local value = random(room // 2)
      if kind <= 2 then
        t[i] = value
      elseif kind == 3 then
        t[NAMES[r(#NAMES)]] = value
      elseif kind == 4 then
        t[random_string()] = value
      elseif kind == 5 then
        t[r(count + 1)] = value
      else
        t[random_key()] = value
      end
    end
    if kind == 3 and r(2) == 1 then return codec.error_new(random_string(), random_string(), t) end
    if kind == 1 and #t == 0 then return codec.array(t) end
    return t
  end

  function random(room)
    local kind = r(8)
    if kind == 1 then return r(2) == 1 end
    if kind == 2 or kind == 3 then return random_number() end
    if kind == 4 then return random_string() end
    if kind == 5 then return r(2) == 1 and codec.promise(random_string()) or codec.func(random_string()) end
    return room > 0 and random_table(room) or random_number()
  end
end

local LETTERS = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }
local function unescape(letter, digits)
  return letter == "u" and string.char(tonumber(digits, 16)) or (LETTERS[letter] or letter) .. digits
end

-- Is this one JSON value by RFC 8259, without white space and with the keys of each object in order? Written without a
-- look at the decoder. Returns the end, or nil.
local function check_json(text, at)
  local first = text:sub(at, at)
  if first == '"' then
    local from = at + 1
    while true do
      local stop = assert(text:find('["\\%c]', from))
      local byte = text:sub(stop, stop)
      if byte == '"' then
        assert(utf8.len(text, at, stop), "not UTF-8")
        return stop + 1
      end
      if byte ~= "\127" then
        assert(byte == "\\" and text:find('^["\\/bfnrt]', stop + 1) or text:find("^u00[01]%x", stop + 1), "bad escape")
      end
      from = stop + (byte == "\\" and 2 or 1)
    end
  elseif first == "[" or first == "{" then
    local close = first == "[" and "]" or "}"
    if text:sub(at + 1, at + 1) == close then return at + 2 end
    local last
    repeat
      at = at + 1
      if first == "{" then
        local after = check_json(text, at)
        local key = text:sub(at + 1, after - 2):gsub("\\(.)(%x?%x?%x?%x?)", unescape)
        assert(not last or last < key, "keys out of order")
        last = key
        assert(text:sub(after, after) == ":")
        at = after + 1
      end
      at = check_json(text, at)
    until text:sub(at, at) ~= ","
    assert(text:sub(at, at) == close)
    return at + 1
  end
  for _, word in ipairs({ "^true()", "^false()", "^null()" }) do
    local stop = text:match(word, at)
    if stop then return stop end
  end
  local whole, fraction, stop = text:match("^%-?(%d+)(%.?%d*)()", at)
  assert(whole and (whole == "0" or whole:sub(1, 1) ~= "0") and fraction ~= ".", "bad number")
  return text:match("^e[+-]%d+()", stop) or stop
end

local function text_of_seed(seed, i)
  return ("DA_SEED=%d, round %d"):format(seed, i)
end

describe("at random", function()
  it("every value survives, and equal values have equal text", function()
    print("value_spec: DA_SEED=" .. SEED)
    math.randomseed(SEED)
    for i = 1, 5000 do
      local value = random(12)
      local text, words = codec.encode(value)
      if not text then error(text_of_seed(SEED, i) .. ": " .. words) end
      assert(check_json(text, 1) == #text + 1, text)
      local back, why = codec.decode(text)
      if why then error(text_of_seed(SEED, i) .. ": " .. why .. ": " .. text) end
      if not same(value, back) then error(text_of_seed(SEED, i) .. ": read back as something else: " .. text) end
      assert.equal(text, codec.encode(back), text_of_seed(SEED, i))
    end
  end)

  it("no text harms the decoder, and what it takes is a value", function()
    math.randomseed(SEED)
    local alphabet = '{}[]",:\\u0123456789eE+-.tfnrlasd_ \n\0\xc3\xa9\xff'
    local taken = 0
    local function mutate(text)
      for _ = 1, math.random(1, 4) do
        local at, kind = math.random(0, #text), math.random(5)
        local pick = math.random(#alphabet)
        local byte = alphabet:sub(pick, pick)
        if kind == 1 then
          text = text:sub(1, at) .. byte .. text:sub(at + 1)
        elseif kind == 2 then
          text = text:sub(1, at) .. text:sub(at + 2)
        elseif kind == 3 then
          text = text:sub(1, at) .. byte .. text:sub(at + 2)
        elseif kind == 4 then
          text = text:sub(1, at)
        else
          local from = math.random(0, #text)
          text = text:sub(1, at) .. text:sub(from, from + math.random(20)) .. text:sub(at + 1)
        end
      end
      return text
    end
    local texts = {}
    for i = 1, 200 do texts[i] = assert(codec.encode(random(8))) end
    for i = 1, 20000 do
      local text = mutate(texts[math.random(#texts)])
      local value, words = codec.decode(text)
      if words then
        local offset = tonumber(words:match("^byte (%d+): ."))
        assert(offset and offset <= #text, words)
      else
        taken = taken + 1
        local once = assert(codec.encode(value))
        local again = assert(codec.encode(codec.decode(once)))
        if once ~= again then error(text_of_seed(SEED, i) .. ": " .. once .. " became " .. again) end
      end
    end
    assert(taken > 500 and taken < 19500, "mutations should be taken and refused, both; taken: " .. taken)
  end)
end)
