-- .luacheckrc - what the Lua of this tree may name. SPDX-License-Identifier: Apache-2.0
std = "lua54"
max_line_length = 120
cache = false
exclude_files = { "build*/**", ".git/**" }
files["spec/**"] = { std = "+busted" }
