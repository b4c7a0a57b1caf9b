-- settings_seeds.lua - what the target of the file of settings begins with.
-- SPDX-License-Identifier: Apache-2.0
return {
  'level = "info"\n[server]\nport = 8_001 # here\nurl = \'http://a\'\n',
  '[server.cors]\r\nallow_origins = [ "a", # one\n\n  \'b\',\n]\r\n[server]\n',
  'x = "\\u00e9\\U0001F600\\t\\\\\\""', "a = true\nb = false", "a = -0\nb = +9223372036854775807\nc = -9223372036854775808",
  "[a.b]\n[a]\nb = 1", "[a]\nb = 1\n[a.b]", "x = \"\"\"", "x = [\"a\" \"b\"]", "x = 1.5", "x = [[", "# only",
  "x = '\127'", "x = [\n#\n#\n'a'\n#\n,\n]",
}
