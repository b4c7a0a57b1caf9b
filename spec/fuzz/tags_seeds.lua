-- tags_seeds.lua - what the target of tags begins with.
-- SPDX-License-Identifier: Apache-2.0
local seeds = {}
for _, text in ipairs {
  "wf:0.1\n1000\nresonate:origin=wf\nresonate:branch=wf:0\nresonate:parent=wf:0\nresonate:scope=local",
  "wf.0.1\n1000\nresonate:origin=wf\nresonate:branch=wf.0\nresonate:parent=wf.0\nresonate:prefix=wf",
  "wf\n2000\nresonate:target=poll://any@default\nresonate:delay=1000", "wf\n2000\nresonate:delay=3000",
  "t\n5\nresonate:timer=true\nresonate:external=true", "a.b:c\n9223372036854775807\nresonate:origin=a.b",
  "a\n0\nresonate:origin=a:b", "a\0b\n1\nx=y", "\n\n=\n", "a\n1\nresonate:scope=global\nresonate:origin=",
} do
  for dialect = 0, 3 do seeds[#seeds + 1] = string.char(dialect) .. text end
end
return seeds
