-- text_seeds.lua - what the target of texts begins with: base64, strings, JSON.
-- SPDX-License-Identifier: Apache-2.0
return {
  "", "Zg==", "Zm9vYmE=", "AB==", "====", "\u{e9}\u{1f600}\0\"\\", "\xff\xed\xa0\x80", '{"a":[1,"]}",{"\\u0000":-0}],"b":1e9}',
  '[[],{},"\\ud83d\\ude00",9223372036854775807,true,null]', ' { "a" : "\\"" } ', "-9223372036854775808", '"\\/\\b"',
}
