-- cron_seeds.lua - what the target of cron expressions begins with.
-- SPDX-License-Identifier: Apache-2.0
local seeds = {}
local instants = { 0, 1764140000000, 1774747800000, 1793494800000, 951782399999 } -- two changes of the clock, a leap day
for i, text in ipairs { "* * * * *", "*/5 * * * * *", "0 0 29 2 *", "0 0 31 2 *", "13 13 * jan-mar fri", "30 2 * * *",
  "0,15-45/5 0-23/2 1,15 * mon-fri", "@hourly", "@every 10m", "@every 1h30m", "0 0 12 ? * 1 2030", "0 0 1 1 * 2 2024/4",
  "59 59 23 31 12 7 2100", "5/20 * * * *", "60 * * * *", "1, * * * *", "* * * * * * * *", "@annually" } do
  for choice = 0, 7 do
    seeds[#seeds + 1] = string.pack(">Bi8", choice, instants[(i + choice) % #instants + 1]) .. text
  end
end
return seeds
