-- .luacheckrc - what the Lua of this tree may name. SPDX-License-Identifier: Apache-2.0
std = "lua54"
max_line_length = 140 -- 100 is the aim; a sentence of an error message may be longer
cache = false
exclude_files = { "build*/**", ".git/**" }
files["spec/**"] = { std = "+busted" }
files["examples/*_spec.lua"] = { std = "+busted" }
-- Runs once in each step state, whose libraries it adapts.
files["lua/da/step.lua"] = { globals = { "print", "io", "os" } }
-- Definitions: functions without bodies.
files["lua/library"] = { ignore = { "212", "241" } }
