-- battery_spec.lua - da.json and da.hash: what is a value, and what is refused.
-- SPDX-License-Identifier: Apache-2.0
local script = require("spec.support.script")

local HEAD = [[
local da = require "da"
local async, await, pawait, step, json, hash = da.async, da.await, da.pawait, da.step, da.json, da.hash
]]

-- What `main` returns, as the program prints it.
local rows = {
  { "da.json writes what JSON can say, with names in order", [[
    return json.encode { b = { 1, -2.5, 1e300, "é\n\"\1", true, false, da.null }, a = { x = { y = da.array {} } }, c = {}, n = da.null }]],
    [["{\"a\":{\"x\":{\"y\":[]}},\"b\":[1,-2.5,1e+300,\"é\\n\\\"\\u0001\",true,false,null],\"c\":{},\"n\":null}"]] },
  { "da.json keeps integers of 64 bits, and floats apart from them", [[
    local all = { math.maxinteger, math.mininteger, 2^53, 1.0, 0.1, -0.0 }
    local back = json.decode(json.encode(all))
    for i, n in ipairs(all) do
      if back[i] ~= n or math.type(back[i]) ~= math.type(n) then return i end
    end
    return { json.encode(all), json.encode(json.decode "[1e2,-0,12345678901234567890]") }]],
    [==[["[9223372036854775807,-9223372036854775808,9007199254740992.0,1.0,0.1,-0.0]","[100.0,-0.0,1.2345678901234567e+19]"]]==] },
  { "da.json indents as it is told", [[
    return json.encode({ list = { 1, { a = 1 } }, none = da.array {}, empty = {} }, { indent = 2 })]],
    [["{\n  \"empty\": {},\n  \"list\": [\n    1,\n    {\n      \"a\": 1\n    }\n  ],\n  \"none\": []\n}"]] },
  { "da.json writes what is no table", [[
    return { json.encode(nil), json.encode(true), json.encode "x", json.encode(3) }]], [==[["null","true","\"x\"","3"]]==] },
  { "da.json reads escapes, pairs of surrogates, and names of any characters", [[
    local t = json.decode [=[ {"\u00e9\ud83d\ude00\/\b" : "\\\"\t\u0041", "" : 1, "a\u0000b" : 2} ]=]
    return { t["é😀/\b"] == "\\\"\tA", t[""], t["a\0b"], json.encode(t) }]],
    [==[[true,1,2,"{\"\":1,\"a\\u0000b\":2,\"é😀/\\b\":\"\\\\\\\"\\tA\"}"]]==] },
  { "da.json reads null as da.null, in lists and as a member", [[
    local t = json.decode '{"a":null,"l":[null,1]}'
    return { t.a == da.null, t.l[1] == da.null, #t.l, t.b == nil, json.decode "null" == nil }]], "[true,true,2,true,true]" },
  { "da.json reads back what is large or deep", [[
    local list = {}
    for i = 1, 20000 do list[i] = { id = i, name = "n" .. i } end
    local back = json.decode(json.encode(list))
    local deep = ("["):rep(150) .. ("]"):rep(150)
    return { #back, back[20000].name, json.encode(json.decode(deep)) == deep }]], '[20000,"n20000",true]' },
  { "da.json says where a text is wrong", [[
    local out = {}
    for i, text in ipairs { "", "{", "[1,2", '{"a":1,}', "[01]", '"a', "nul", "[1] x", "'a'", '"\\ud800"', '["a\255"]', "1e999",
        ("["):rep(300) } do
      local ok, e = pcall(json.decode, text)
      out[i] = ok or e.code .. ": " .. e.message
    end
    return out]], '["bad_json: not JSON: no value at byte 1","bad_json: not JSON: no member name at byte 2",' ..
      '"bad_json: not JSON: an array without an end at byte 5","bad_json: not JSON: no member name at byte 8",' ..
      '"bad_json: not JSON: a number with a leading zero at byte 4","bad_json: not JSON: a string without an end at byte 3",' ..
      '"bad_json: not JSON: an unknown word at byte 1","bad_json: not JSON: more text behind the value at byte 5",' ..
      '"bad_json: not JSON: no value at byte 1","bad_json: not JSON: half a surrogate pair at byte 8",' ..
      '"bad_json: not JSON: bytes that are not UTF-8 at byte 4","bad_json: a number too large for a float at byte 1",' ..
      '"bad_json: not JSON: nested too deep at byte 201"]' },
  { "da.json refuses what JSON has no place for", [[
    local out = {}
    for i, value in ipairs { 0/0, math.huge, "\255", { [2] = 1 }, { 1, x = 2 }, { ["\255"] = 1 }, { f = print } } do
      local ok, e = pcall(json.encode, value)
      out[i] = ok or e.code .. ": " .. e.message
    end
    local _, e = pcall(json.encode, 1, { ident = 2 })
    out[#out + 1] = e.message
    _, e = pcall(json.encode, 1, { indent = 2.5 })
    out[#out + 1] = e.message
    _, e = pcall(json.decode, {})
    out[#out + 1] = e.message
    return out]], '["bad_argument: json.encode: a number that is not finite has no place in JSON",' ..
      '"bad_argument: json.encode: a number that is not finite has no place in JSON",' ..
      '"bad_argument: json.encode: a string that is not UTF-8 has no place in JSON; base64 has",' ..
      '"bad_argument: json.encode: a table must be a list without holes, or have names alone, to have a place in JSON",' ..
      '"bad_argument: json.encode: a table must be a list without holes, or have names alone, to have a place in JSON",' ..
      '"bad_argument: json.encode: a string that is not UTF-8 has no place in JSON; base64 has",' ..
      '"unserializable: json.encode[1].f: a function cannot cross a durable boundary",' ..
      '"unknown option \'ident\' of json.encode; it takes indent",' ..
      '"option \'indent\' of json.encode must be an integer from 0 to 16",' ..
      '"argument 1 of json.decode must be a string, got a table"]' },
  { "da.hash knows the digests of the books", [[
    return { hash.sha256 "abc", hash.sha1 "abc", hash.md5 "abc", hash.xxh128 "abc", hash.sha256 "",
      hash.hmac_sha256("key", "The quick brown fox jumps over the lazy dog"), hash.hmac_sha256("", "") }]],
    '["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","a9993e364706816aba3e25717850c26c9cd0d89d",' ..
      '"900150983cd24fb0d6963f7d28e17f72","06b05ab6733a618578af5f94892f3950",' ..
      '"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",' ..
      '"f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",' ..
      '"b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"]' },
  { "da.hash takes any bytes, and base64 gives them back", [[
    local bytes = {}
    for i = 0, 255 do bytes[i + 1] = string.char(i) end
    local all = table.concat(bytes)
    local ok, e = pcall(hash.base64_decode, "a===")
    return { hash.base64_decode(hash.base64_encode(all)) == all, hash.base64_encode "", hash.base64_decode "", hash.base64_encode "ab",
      hash.sha1(all), ok, e.code, e.message }]],
    '[true,"","","YWI=","4916d6bdb7f78e6803698cab32d1586ea457dfc8",false,"bad_argument",' ..
      '"argument 1 of hash.base64_decode must be padded base64"]' },
}

describe("what is computed alone:", function()
  for _, row in ipairs(rows) do
    it(row[1], function()
      local body = "local function work()\n" .. row[2] .. "\nend\n"
      -- In a workflow, in a named step, and in an inline one.
      local code = HEAD .. body .. [[
        function step.work() return work() end
        function async.main(where)
          if where == "step" then return await(step.work()) end
          if where == "inline" then return await(step("work", work)) end
          return work()
        end]]
      local result = script.both { script = code, func = "main", args = { '"workflow"' } }
      assert.are.equal(row[3] .. "\n", result.out, result.err)
      for _, where in ipairs { '"step"', '"inline"' } do
        result = script.run { script = code, func = "main", args = { where } }
        assert.are.equal(row[3] .. "\n", result.out, result.err)
      end
    end)
  end

  it("a name that a library has not parks the execution, and the others are told", function()
    local result = script.run { script = HEAD .. "function async.main() return json.dekode '1' end", func = "main" }
    assert.are_not.equal(0, result.code)
    assert.is_truthy(result.err:find("the native 'json.dekode' is not in this process: there are json.decode, json.encode", 1, true),
      result.err)
  end)
end)
