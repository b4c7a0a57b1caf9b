-- protocol_state_spec.lua - the state tables of the protocol over HTTP: one spec for each row of a table.
--
-- A row is a from-state, what happens, and all that it comes to, parted by bars. `=` is what it was before, `-` nothing.
-- Each state is made by MADE; what happens then does so at 10, with no message left, and `tick 20` is the sweep at 20.
-- Messages are exact. Who is refused must find all that is stored as it was.
--
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")
local serve = require("spec.support.serve")
local wire = require("spec.support.wire")

local R = 100 -- retry timeout

-- The cells of each line of a table.
local function rows_of(text)
  local rows = {}
  for line in text:gmatch("[^\n]+") do
    if line:find("|", 1, true) then
      local row = { line = line:match("^%s*(.-)%s*$") }
      for cell in (line .. "|"):gmatch("([^|]*)|") do row[#row + 1] = cell:match("^%s*(.-)%s*$") end
      rows[#rows + 1] = row
    end
  end
  return rows
end

local function text_of_messages(snap)
  local texts = wire.messages(snap)
  return #texts == 0 and "-" or table.concat(texts, ", ")
end

-- `execute P v0, unblock A` as a sorted text; an address that is not written is http://w, for an unblock http://u.
local function wanted_messages(cell)
  if cell == "-" then return "-" end
  local texts = {}
  for each in cell:gmatch("[^,]+") do
    each = each:match("^%s*(.-)%s*$")
    if not each:find(" to ") then each = each .. (each:find("^execute") and " to http://w" or " to http://u") end
    texts[#texts + 1] = each
  end
  table.sort(texts)
  return table.concat(texts, ", ")
end

local function timer_text(timer)
  if not timer then return "-" end
  return (timer.type == 0 and "retry " or "lease ") .. timer.timeout
end

local world, place, process

setup(function()
  place = program.place(true)
  process = serve.start(place, { "--debug", "--push=false", "--retry-timeout", R .. "ms" })
  world = wire.world(process)
end)
teardown(function()
  world:close()
  serve.stop(process)
  assert.equal(0, place:run("verify").code)
  place:remove()
end)
before_each(function() world:reset() end)

-- Makes what a row begins with, lets the row happen; gives what was stored before and after.
local function happens(made, event, cell)
  world:commands(made):drain():command("at 10")
  local before = world:snap()
  local lines = {}
  for line in event:gmatch("[^;]+") do lines[#lines + 1] = line:match("^%s*(.-)%s*$") end
  local last = table.remove(lines)
  world:commands(table.concat(lines, ";"))
  if #lines > 0 then
    world:drain()
    before = world:snap()
  end
  local status, data = world:command(last)
  local number, message = cell:match('^(%d+) ?"?([^"]*)"?$')
  assert.equal(tonumber(number), status, tostring(data))
  if message ~= "" then assert.equal(message, data) end
  local after = world:snap()
  if status >= 400 and world.now < 40 then assert.are.same(before, after) end -- from 40 on an end is found, and stored
  return before, after, data
end

---------------------------------------------------------------------------------------------------- promises

local P_MADE = {
  ["-"] = "",
  pending = "create P timeout=20 param=p",
  ["pending timer"] = "create P timeout=20 param=p timer=true",
  ["pending armed"] = "create P timeout=20 param=p external=true",
  ["pending awaited"] = "create P timeout=20 param=p; listen P to=u",
  ["pending task"] = "taskcreate P target=w timeout=20 param=p ttl=15",
  resolved = "create P timeout=20 param=p; settle P resolved value=x",
  rejected = "create P timeout=20 param=p; settle P rejected value=x",
  rejected_canceled = "create P timeout=20 param=p; settle P canceled value=x",
  rejected_timedout = "create P timeout=5 param=p external=true; tick 5",
  ["resolved timer"] = "create P timeout=5 param=p timer=true; tick 5",
}

-- state | event | next | param | value | createdAt | settledAt | timeoutAt | deadline | message | status
local P_ROWS = rows_of [[
  -                 | create P timeout=20 param=q            | pending           | q | - | 10 | -  | 20 | -  | - | 200
  -                 | create P timeout=20 external=true      | pending           | - | - | 10 | -  | 20 | 20 | - | 200
  -                 | create P timeout=20 scope=global       | pending           | - | - | 10 | -  | 20 | 20 | - | 200
  -                 | create P timeout=20 timer=true         | pending           | - | - | 10 | -  | 20 | 20 | - | 200
  -                 | create P timeout=20 target=w           | pending           | - | - | 10 | -  | 20 | 20 | execute P v0 | 200
  -                 | create P timeout=10 param=q timer=true | resolved          | q | - | 10 | 10 | 10 | -  | - | 200
  -                 | create P timeout=9 timer=true          | resolved          | - | - | 9  | 9  | 9  | -  | - | 200
  -                 | create P timeout=10 param=q            | rejected_timedout | q | - | 10 | 10 | 10 | -  | - | 200
  -                 | create P timeout=0                     | rejected_timedout | - | - | 0  | 0  | 0  | -  | - | 200
  -                 | create P timeout=9 target=w            | rejected_timedout | - | - | 9  | 9  | 9  | -  | - | 200
  -                 | get P                                  | - | - | - | - | - | - | - | - | 404 "Promise not found"
  -                 | settle P resolved                      | - | - | - | - | - | - | - | - | 404 "Promise not found"
  -                 | listen P to=u                          | - | - | - | - | - | - | - | - | 404 "Awaited promise not found"
  pending           | create P timeout=99 param=q timer=true | pending           | p | - | 0  | -  | 20 | -  | - | 200
  pending           | get P                                  | pending           | p | - | 0  | -  | 20 | -  | - | 200
  pending           | listen P to=u                          | pending           | p | - | 0  | -  | 20 | 20 | - | 200
  pending           | settle P resolved value=y              | resolved          | p | y | 0  | 10 | 20 | -  | - | 200
  pending           | settle P rejected value=y              | rejected          | p | y | 0  | 10 | 20 | -  | - | 200
  pending           | settle P canceled                      | rejected_canceled | p | - | 0  | 10 | 20 | -  | - | 200
  pending armed     | settle P resolved value=y              | resolved          | p | y | 0  | 10 | 20 | -  | - | 200
  pending awaited   | settle P resolved value=y              | resolved          | p | y | 0  | 10 | 20 | -  | unblock P | 200
  pending task      | settle P rejected value=y              | rejected          | p | y | 0  | 10 | 20 | -  | - | 200
  pending task      | fulfill P 1 resolved value=y           | resolved          | p | y | 0  | 10 | 20 | -  | - | 200
  pending task      | fulfill P 1 rejected value=y           | rejected          | p | y | 0  | 10 | 20 | -  | - | 200
  pending task      | fulfill P 1 canceled                   | rejected_canceled | p | - | 0  | 10 | 20 | -  | - | 200
  pending           | at 20; get P                           | rejected_timedout | p | - | 0  | 20 | 20 | -  | - | 200
  pending           | at 25; get P                           | rejected_timedout | p | - | 0  | 20 | 20 | -  | - | 200
  pending           | at 25; create P timeout=99             | rejected_timedout | p | - | 0  | 20 | 20 | -  | - | 200
  pending           | at 25; settle P resolved value=y       | rejected_timedout | p | - | 0  | 20 | 20 | -  | - | 200
  pending           | at 25; listen P to=u                   | rejected_timedout | p | - | 0  | 20 | 20 | -  | - | 200
  pending           | tick 25                                | pending           | p | - | 0  | -  | 20 | -  | - | 200
  pending timer     | at 20; get P                           | resolved          | p | - | 0  | 20 | 20 | -  | - | 200
  pending timer     | at 25; settle P rejected value=y       | resolved          | p | - | 0  | 20 | 20 | -  | - | 200
  pending timer     | tick 19                                | pending           | p | - | 0  | -  | 20 | 20 | - | 200
  pending timer     | tick 20                                | resolved          | p | - | 0  | 20 | 20 | -  | - | 200
  pending timer     | tick 25                                | resolved          | p | - | 0  | 20 | 20 | -  | - | 200
  pending armed     | tick 20                                | rejected_timedout | p | - | 0  | 20 | 20 | -  | - | 200
  pending awaited   | tick 25                                | rejected_timedout | p | - | 0  | 20 | 20 | -  | unblock P | 200
  pending awaited   | at 25; get P                           | rejected_timedout | p | - | 0  | 20 | 20 | -  | unblock P | 200
  pending task      | tick 25                                | rejected_timedout | p | - | 0  | 20 | 20 | -  | - | 200
]]

-- What leaves a settled promise as it is, each answered with the record.
local NO_MORE = { "get P", "create P timeout=99 param=q", "settle P resolved value=y", "settle P rejected value=y",
  "settle P canceled", "listen P to=u", "callback P W", "at 30; get P", "tick 30" }

local function data_of(value) return value.data or "-" end

describe("the table of promises:", function()
  for _, row in ipairs(P_ROWS) do
    it(row.line:gsub("%s+", " "), function()
      local made = assert(P_MADE[row[1]], row[1])
      local _, after, data = happens(made, row[2], row[11])
      local p = wire.of(after.promises, "P")
      if row[3] == "-" then
        assert.is_nil(p)
        return
      end
      local shown = { p.state, data_of(p.param), data_of(p.value), p.createdAt, p.settledAt or "-", p.timeoutAt,
        (wire.of(after.promiseTimeouts, "P") or { timeout = "-" }).timeout, text_of_messages(after) }
      for i = 1, #shown do shown[i] = tostring(shown[i]) end
      assert.are.same({ row[3], row[4], row[5], row[6], row[7], row[8], row[9], wanted_messages(row[10]) }, shown)
      if data.promise then assert.are.same(p, data.promise) end
    end)
  end

  for _, state in ipairs { "resolved", "rejected", "rejected_canceled", "rejected_timedout", "resolved timer" } do
    for _, event in ipairs(NO_MORE) do
      it(("%s | %s | unchanged | 200"):format(state, event), function()
        local before, after, data = happens(P_MADE[state] .. "; create W target=w", event, "200")
        if event:find("^callback") then -- its awaiter is told of it, the promise is as it was
          assert.equal(1, wire.of(after.tasks, "W").resumes)
          wire.of(before.tasks, "W").resumes = 1
        end
        assert.are.same(before, after)
        if data.promise then assert.are.same(wire.of(before.promises, "P"), data.promise) end
      end)
    end
  end
end)

---------------------------------------------------------------------------------------------------- tasks

-- A, B: pending; S: settled. A state with `+1` has a resume on record.
local FRAME = "create A timeout=5000; create B timeout=5000; create S timeout=5000; settle S resolved;"
local AWAITED = "; callback B P; settle B resolved"
local T_MADE = {
  ["-"] = "",
  pending = "create P target=w",
  ["pending+1"] = "create P target=w" .. AWAITED,
  ["pending short"] = "create P target=w timeout=50",
  acquired = "taskcreate P target=w pid=w ttl=50",
  ["acquired+1"] = "taskcreate P target=w pid=w ttl=50" .. AWAITED,
  ["acquired short"] = "taskcreate P target=w pid=w ttl=50 timeout=40",
  suspended = "taskcreate P target=w pid=w ttl=50; suspend P 1 A",
  ["suspended short"] = "taskcreate P target=w pid=w ttl=50 timeout=40; suspend P 1 A",
  halted = "taskcreate P target=w pid=w ttl=50; suspend P 1 A; halt P",
  ["halted+1"] = "taskcreate P target=w pid=w ttl=50; suspend P 1 B; halt P; settle B resolved",
  ["halted short"] = "taskcreate P target=w pid=w ttl=50 timeout=40; suspend P 1 A; halt P",
  fulfilled = "taskcreate P target=w pid=w ttl=50; fulfill P 1 resolved",
}

-- state | event | next | version | resumes | timer | message | status
local T_ROWS = rows_of [[
  -               | create P target=w                     | pending   | 0  | 0  | retry 110 | execute P v0 | 200
  -               | create P target=w delay=10            | pending   | 0  | 0  | retry 110 | execute P v0 | 200
  -               | create P target=w delay=60            | pending   | 0  | 0  | retry 60  | -            | 200
  -               | create P target=w timeout=10          | fulfilled | 0  | 0  | -         | -            | 200
  -               | taskcreate P target=w ttl=7           | acquired  | 1  | 0  | lease 17  | -            | 200
  -               | taskcreate P target=w timeout=10      | fulfilled | 0  | 0  | -         | -            | 200
  -               | task P                                | - | - | - | - | - | 404 "Task not found"
  -               | acquire P 0                           | - | - | - | - | - | 404 "Task not found"
  -               | release P 0                           | - | - | - | - | - | 404 "Task not found"
  -               | fulfill P 0 resolved                  | - | - | - | - | - | 404 "Task not found"
  -               | suspend P 0 A                         | - | - | - | - | - | 404 "Task not found"
  -               | fence P 0 create X                    | - | - | - | - | - | 404 "Task not found"
  -               | halt P                                | - | - | - | - | - | 404 "Task not found"
  -               | continue P                            | - | - | - | - | - | 404 "Task not found"
  -               | heartbeat w P@0                       | - | - | - | - | - | 200
  pending         | task P                                | pending   | =  | =  | =         | -            | 200
  pending         | acquire P 0 ttl=7                     | acquired  | +1 | 0  | lease 17  | -            | 200
  pending+1       | acquire P 0 ttl=7                     | acquired  | +1 | 0  | lease 17  | -            | 200
  pending         | acquire P 1                           | pending   | =  | =  | =         | -            | 409 "Version mismatch"
  pending         | taskcreate P target=v ttl=7           | acquired  | +1 | 0  | lease 17  | -            | 200
  pending+1       | taskcreate P target=v ttl=7           | acquired  | +1 | 0  | lease 17  | -            | 200
  pending         | tick 99                               | pending   | =  | =  | =         | -            | 200
  pending         | tick 100                              | pending   | =  | =  | retry 200 | execute P v0 | 200
  pending         | tick 950                              | pending   | =  | =  | retry 1050 | execute P v0 | 200
  pending+1       | tick 100                              | pending   | =  | =  | retry 200 | execute P v0 | 200
  -               | create P target=w delay=60; tick 60   | pending   | 0  | 0  | retry 160 | execute P v0 | 200
  pending         | callback A P; settle A resolved       | pending   | =  | +1 | =         | -            | 200
  pending         | callback S P                          | pending   | =  | +1 | =         | -            | 200
  pending+1       | callback S P                          | pending   | =  | +1 | =         | -            | 200
  pending+1       | callback B P                          | pending   | =  | =  | =         | -            | 200
  pending         | halt P                                | halted    | =  | =  | -         | -            | 200
  pending+1       | halt P                                | halted    | =  | =  | -         | -            | 200
  pending+1       | settle P resolved                     | fulfilled | =  | 0  | -         | -            | 200
  pending short   | tick 50                               | fulfilled | =  | 0  | -         | -            | 200
  pending short   | at 50; task P                         | fulfilled | =  | 0  | -         | -            | 200
  pending short   | tick 150                              | fulfilled | =  | 0  | -         | -            | 200
  pending         | release P 0                           | pending   | =  | =  | =  | - | 409 "Task version mismatch or invalid state"
  pending         | fulfill P 0 resolved                  | pending   | =  | =  | =  | - | 409 "Task version mismatch or invalid state"
  pending         | suspend P 0 A                         | pending   | =  | =  | =  | - | 409 "Task is not acquired or version mismatch"
  pending         | fence P 0 create X                    | pending   | =  | =  | =  | - | 409 "Version mismatch"
  pending         | continue P                            | pending   | =  | =  | =  | - | 409 "Task is not halted"
  acquired        | heartbeat w P@1                       | acquired  | =  | =  | lease 60  | -            | 200
  acquired+1      | heartbeat w P@1                       | acquired  | =  | =  | lease 60  | -            | 200
  acquired        | fence P 1 create X                    | acquired  | =  | =  | =         | -            | 200
  acquired        | fence P 1 create X target=v           | acquired  | =  | =  | =         | execute X v0 to http://v | 200
  acquired        | fence P 1 settle A resolved           | acquired  | =  | =  | =         | -            | 200
  acquired+1      | fence P 1 settle A resolved           | acquired  | =  | =  | =         | -            | 200
  acquired        | fence P 2 create X                    | acquired  | =  | =  | =  | - | 409 "Version mismatch"
  acquired        | fence P 0 settle A resolved           | acquired  | =  | =  | =  | - | 409 "Version mismatch"
  acquired        | suspend P 1 A                         | suspended | =  | 0  | -         | -            | 200
  acquired+1      | suspend P 1 A                         | suspended | =  | 0  | -         | -            | 200
  acquired        | suspend P 1 A A A                     | suspended | =  | 0  | -         | -            | 200
  acquired        | suspend P 2 A                         | acquired  | =  | =  | =  | - | 409 "Task is not acquired or version mismatch"
  acquired        | suspend P 1 X                         | acquired  | =  | =  | =  | - | 422 "Awaited promise not found"
  acquired        | suspend P 1 S X                       | acquired  | =  | =  | =  | - | 422 "Awaited promise not found"
  acquired        | suspend P 1 S                         | acquired  | =  | 0  | =         | -            | 300
  acquired+1      | suspend P 1 A S                       | acquired  | =  | 0  | =         | -            | 300
  acquired        | release P 1                           | pending   | =  | =  | retry 110 | execute P v1 | 200
  acquired+1      | release P 1                           | pending   | =  | =  | retry 110 | execute P v1 | 200
  acquired        | release P 0                           | acquired  | =  | =  | =  | - | 409 "Task version mismatch or invalid state"
  acquired        | tick 49                               | acquired  | =  | =  | =         | -            | 200
  acquired        | tick 50                               | pending   | =  | =  | retry 150 | execute P v1 | 200
  acquired+1      | tick 55                               | pending   | =  | =  | retry 155 | execute P v1 | 200
  acquired        | heartbeat w P@1; tick 59              | acquired  | =  | =  | =         | -            | 200
  acquired        | heartbeat w P@1; tick 60              | pending   | =  | =  | retry 160 | execute P v1 | 200
  acquired+1      | fulfill P 1 rejected                  | fulfilled | =  | 0  | -         | -            | 200
  acquired        | fulfill P 2 resolved                  | acquired  | =  | =  | =  | - | 409 "Task version mismatch or invalid state"
  acquired        | callback A P; settle A resolved       | acquired  | =  | +1 | =         | -            | 200
  acquired        | callback S P                          | acquired  | =  | +1 | =         | -            | 200
  acquired        | acquire P 1                           | acquired  | =  | =  | =  | - | 409 "Task is not pending"
  acquired        | taskcreate P target=w pid=w           | acquired  | =  | =  | =  | - | 409 "Already exists"
  acquired        | continue P                            | acquired  | =  | =  | =  | - | 409 "Task is not halted"
  acquired+1      | halt P                                | halted    | =  | =  | -         | -            | 200
  acquired+1      | settle P canceled                     | fulfilled | =  | 0  | -         | -            | 200
  acquired short  | tick 40                               | fulfilled | =  | 0  | -         | -            | 200
  acquired short  | tick 60                               | fulfilled | =  | 0  | -         | -            | 200
  acquired short  | at 40; fulfill P 1 resolved           | fulfilled | =  | 0  | -  | - | 409 "Task version mismatch or invalid state"
  acquired short  | at 40; release P 1                    | fulfilled | =  | 0  | -  | - | 409 "Task version mismatch or invalid state"
  acquired short  | at 40; suspend P 1 A                  | fulfilled | =  | 0  | -  | - | 409 "Task is not acquired or version mismatch"
  acquired short  | at 40; fence P 1 create X             | fulfilled | =  | 0  | -  | - | 409 "Version mismatch"
  suspended       | settle A resolved                     | pending   | =  | 1  | retry 110 | execute P v1 | 200
  suspended       | settle A rejected                     | pending   | =  | 1  | retry 110 | execute P v1 | 200
  suspended       | callback S P                          | pending   | =  | 1  | retry 110 | execute P v1 | 200
  suspended       | callback B P                          | suspended | =  | 0  | -         | -            | 200
  suspended       | halt P                                | halted    | =  | =  | -         | -            | 200
  suspended       | settle P resolved                     | fulfilled | =  | 0  | -         | -            | 200
  suspended short | tick 40                               | fulfilled | =  | 0  | -         | -            | 200
  suspended       | tick 4000                             | fulfilled | =  | 0  | -         | -            | 200
  suspended       | acquire P 1                           | suspended | =  | =  | =  | - | 409 "Task is not pending"
  suspended       | release P 1                           | suspended | =  | =  | =  | - | 409 "Task version mismatch or invalid state"
  suspended       | fulfill P 1 resolved                  | suspended | =  | =  | =  | - | 409 "Task version mismatch or invalid state"
  suspended       | suspend P 1 B                         | suspended | =  | =  | =  | - | 409 "Task is not acquired or version mismatch"
  suspended       | fence P 1 create X                    | suspended | =  | =  | =  | - | 409 "Version mismatch"
  suspended       | continue P                            | suspended | =  | =  | =  | - | 409 "Task is not halted"
  suspended       | taskcreate P target=w                 | suspended | =  | =  | =  | - | 409 "Already exists"
  halted          | continue P                            | pending   | =  | =  | retry 110 | execute P v1 | 200
  halted+1        | continue P                            | pending   | =  | =  | retry 110 | execute P v1 | 200
  halted          | settle A resolved                     | halted    | =  | +1 | -         | -            | 200
  halted          | callback S P                          | halted    | =  | =  | -         | -            | 200
  halted          | tick 500                              | halted    | =  | =  | -         | -            | 200
  halted+1        | halt P                                | halted    | =  | =  | -         | -            | 200
  halted+1        | settle P resolved                     | fulfilled | =  | 0  | -         | -            | 200
  halted short    | tick 40                               | fulfilled | =  | 0  | -         | -            | 200
  halted short    | at 40; continue P                     | fulfilled | =  | 0  | -  | - | 409 "Task is not halted"
  halted short    | at 40; halt P                         | fulfilled | =  | 0  | -  | - | 409 "Task is fulfilled"
  halted          | acquire P 1                           | halted    | =  | =  | =  | - | 409 "Task is not pending"
  halted          | release P 1                           | halted    | =  | =  | =  | - | 409 "Task version mismatch or invalid state"
  halted          | fulfill P 1 resolved                  | halted    | =  | =  | =  | - | 409 "Task version mismatch or invalid state"
  halted          | suspend P 1 B                         | halted    | =  | =  | =  | - | 409 "Task is not acquired or version mismatch"
  halted          | fence P 1 create X                    | halted    | =  | =  | =  | - | 409 "Version mismatch"
  halted          | taskcreate P target=w                 | halted    | =  | =  | =  | - | 409 "Already exists"
  fulfilled       | taskcreate P target=w                 | fulfilled | =  | =  | -         | -            | 200
  fulfilled       | halt P                                | fulfilled | =  | =  | -  | - | 409 "Task is fulfilled"
  fulfilled       | continue P                            | fulfilled | =  | =  | -  | - | 409 "Task is not halted"
  fulfilled       | acquire P 1                           | fulfilled | =  | =  | -  | - | 409 "Task is not pending"
  fulfilled       | release P 1                           | fulfilled | =  | =  | -  | - | 409 "Task version mismatch or invalid state"
  fulfilled       | fulfill P 1 resolved                  | fulfilled | =  | =  | -  | - | 409 "Task version mismatch or invalid state"
  fulfilled       | suspend P 1 A                         | fulfilled | =  | =  | -  | - | 409 "Task is not acquired or version mismatch"
  fulfilled       | fence P 1 create X                    | fulfilled | =  | =  | -  | - | 409 "Version mismatch"
  fulfilled       | callback S P                          | fulfilled | =  | =  | -         | -            | 200
  pending         | heartbeat w P@0                       | pending   | =  | =  | =         | -            | 200
  acquired        | heartbeat w P@0                       | acquired  | =  | =  | =         | -            | 200
  acquired        | heartbeat w P@2                       | acquired  | =  | =  | =         | -            | 200
  acquired        | heartbeat v P@1                       | acquired  | =  | =  | =         | -            | 200
  acquired short  | at 40; heartbeat w P@1                | acquired  | =  | =  | =         | -            | 200
  suspended       | heartbeat w P@1                       | suspended | =  | =  | =         | -            | 200
  halted          | heartbeat w P@1                       | halted    | =  | =  | =         | -            | 200
  fulfilled       | heartbeat w P@1                       | fulfilled | =  | =  | =         | -            | 200
]]

-- `=` is what was before, `+1` one more.
local function number_of(cell, before)
  if cell == "=" then return before end
  if cell:sub(1, 1) == "+" then return before + tonumber(cell:sub(2)) end
  return tonumber(cell)
end

describe("the table of tasks:", function()
  for _, row in ipairs(T_ROWS) do
    it(row.line:gsub("%s+", " "), function()
      local before, after = happens(FRAME .. assert(T_MADE[row[1]], row[1]), row[2], row[8])
      local was, is = wire.of(before.tasks, "P"), wire.of(after.tasks, "P")
      assert.equal(wanted_messages(row[7]), text_of_messages(after))
      if row[3] == "-" then
        assert.is_nil(is)
        return
      end
      local timer = row[6] == "=" and timer_text(wire.of(before.taskTimeouts, "P")) or row[6]
      local wanted = { id = "P", state = row[3], version = number_of(row[4], was and was.version),
        resumes = number_of(row[5], was and was.resumes), timer = timer }
      if row[3] == "acquired" then
        wanted.pid = "w"
        wanted.ttl = was and was.ttl or tonumber(row[2]:match("ttl=(%d+)"))
      end
      is.timer = timer_text(wire.of(after.taskTimeouts, "P"))
      assert.are.same(wanted, is)
    end)
  end
end)

---------------------------------------------------------------------------------------------------- messages, timers

-- What a request sends, arms and disarms; `deadline A 20` is the deadline of a promise.
-- made | event | message | timers set | timers removed
local M_ROWS = rows_of(([[
  -                                       | create P target=w timeout=20         | execute P v0 | deadline P 20, retry P 110 | -
  -                                       | create P target=w delay=15 timeout=20 | -           | deadline P 20, retry P 15 | -
  -                                       | create P timeout=20                  | - | -              | -
  -                                       | create P timeout=20 external=true    | - | deadline P 20  | -
  create P timeout=20                     | listen P to=u                        | - | deadline P 20  | -
  create P timeout=20; create Q target=w  | callback P Q                         | - | deadline P 20  | -
  create P timeout=20; taskcreate Q target=w ttl=50 | suspend Q 1 P              | - | deadline P 20  | lease Q 50
  create P target=w                       | settle P resolved                    | - | -              | deadline P 1000, retry P 100
  taskcreate P target=w ttl=50            | fulfill P 1 resolved                 | - | -              | deadline P 1000, lease P 50
  @three                                  | settle A resolved  | @sent | retry P 110 | deadline A 900, lease A 500
  @three                                  | fulfill A 1 resolved | @sent | retry P 110 | deadline A 900, lease A 500
  @three                                  | fence Q 1 settle A rejected | @sent | retry P 110 | deadline A 900, lease A 500
  @three                                  | at 900; get A | @sent | retry P 1000 | deadline A 900, lease A 500
  @settled suspended                      | callback S P       | execute P v1 | retry P 110 | -
  @settled pending                        | callback S P       | - | - | -
  -                                       | taskcreate P target=w ttl=50 timeout=99 | - | deadline P 99, lease P 60 | -
  create P target=w                       | taskcreate P target=w ttl=50 | - | lease P 60 | retry P 100
  create P target=w                       | acquire P 0 ttl=50           | - | lease P 60 | retry P 100
  taskcreate P target=w ttl=50            | release P 1  | execute P v1 | retry P 110 | lease P 50
  taskcreate P target=w ttl=50            | tick 50      | execute P v1 | retry P 150 | lease P 50
  taskcreate P target=w ttl=50; halt P    | continue P   | execute P v1 | retry P 110 | -
  @settled acquired                       | suspend P 1 S | - | - | -
  create P target=w                       | halt P       | - | - | retry P 100
  taskcreate P target=w ttl=50            | halt P       | - | - | lease P 50
  taskcreate P target=w ttl=50            | heartbeat w P@1 | - | lease P 60 | lease P 50
  create P target=w                       | tick 100     | execute P v0 | retry P 200 | retry P 100
]]):gsub("@sent", "execute P v1, unblock A, unblock A to http://v"))

local M_MADE = {
  ["-"] = "",
  -- A is awaited by P and Q, of which Q is at work, and listened to by two.
  ["@three"] = [[taskcreate A target=w timeout=900 ttl=500; taskcreate P target=w ttl=500 timeout=2000
    taskcreate Q target=w ttl=950 timeout=2000; callback A Q; suspend P 1 A; listen A to=u; listen A to=v; listen A to=u]],
  ["@settled suspended"] = [[create S; settle S resolved; create A; taskcreate P target=w ttl=500; suspend P 1 A]],
  ["@settled pending"] = [[create S; settle S resolved; create P target=w]],
  ["@settled acquired"] = [[create S; settle S resolved; taskcreate P target=w ttl=500]],
}

-- Everything of a snapshot that falls due, as a set of texts.
local function dues(snap)
  local set = {}
  for _, each in ipairs(snap.promiseTimeouts) do set[("deadline %s %d"):format(each.id, each.timeout)] = true end
  for _, each in ipairs(snap.taskTimeouts) do
    set[("%s %s %d"):format(each.type == 0 and "retry" or "lease", each.id, each.timeout)] = true
  end
  return set
end

local function less(set, other)
  local left = {}
  for text in pairs(set) do
    if not other[text] then left[#left + 1] = text end
  end
  table.sort(left)
  return #left == 0 and "-" or table.concat(left, ", ")
end

describe("the table of messages and timers:", function()
  for _, row in ipairs(M_ROWS) do
    it(row.line:gsub("%s+", " "), function()
      local before, after = happens(M_MADE[row[1]] or row[1], row[2], row[1] == "@settled acquired" and "300" or "200")
      local was, is = dues(before), dues(after)
      assert.are.same({ wanted_messages(row[3]), row[4], row[5] },
        { text_of_messages(after), less(is, was), less(was, is) })
    end)
  end
end)

---------------------------------------------------------------------------------------------------- schedules

local MINUTE = 60000

local function schedule(cron, more)
  local data = { id = "s", cron = cron, promiseId = "{{.id}}/{{.timestamp}}", promiseTimeout = MINUTE,
    promiseParam = { data = "p" }, promiseTags = { ["resonate:target"] = "http://w", mine = "1" } }
  for name, value in pairs(more or {}) do data[name] = value end
  return data
end

-- What happens to a schedule, and all that is stored of it and sent then.
local S_EVENTS = {
  ["create * * * * *"] = { "schedule.create", schedule("* * * * *") },
  ["create */5 * * * *"] = { "schedule.create", schedule("*/5 * * * *", { promiseTags = { ["resonate:target"] = "http://v" } }) },
  get = { "schedule.get", { id = "s" } },
  delete = { "schedule.delete", { id = "s" } },
}

-- state | event | createdAt | lastRunAt | nextRunAt | promises made (minutes) | message | status
local S_ROWS = rows_of [[
  -      | create * * * * *   | 10 | - | 1 | -     | - | 200
  -      | get                | -  | - | - | -     | - | 404
  -      | delete             | -  | - | - | -     | - | 404
  exists | create */5 * * * * | 0  | - | 1 | -     | - | 200
  exists | get                | 0  | - | 1 | -     | - | 200
  exists | delete             | -  | - | - | -     | - | 200
  exists | tick 59999         | 0  | - | 1 | -     | - | 200
  exists | tick 60000         | 0  | 1 | 2 | 1     | 1 | 200
  exists | tick 61000         | 0  | 1 | 2 | 1     | 1 | 200
  exists | tick 200000        | 0  | 3 | 4 | 1 2 3 | 3 | 200
  fired  | tick 119999        | 0  | 1 | 2 | 1     | 1 | 200
  fired  | create */5 * * * * | 0  | 1 | 2 | 1     | - | 200
  fired  | delete             | -  | - | - | 1     | - | 200
  gone   | create * * * * *   | 60010 | - | 2 | 1  | - | 200
]]

local S_MADE = { ["-"] = {}, exists = { "create * * * * *" }, fired = { "create * * * * *", "tick 60000" },
  gone = { "create * * * * *", "tick 60000", "delete" } }

local function ask(event)
  local instant = event:match("^tick (%d+)")
  if instant then return world:command(event) end
  return world:ask(table.unpack(S_EVENTS[event]))
end

local function in_minutes(instant)
  return instant and tostring(instant // MINUTE) or "-"
end

describe("the table of schedules:", function()
  for _, row in ipairs(S_ROWS) do
    it(row.line:gsub("%s+", " "), function()
      for _, event in ipairs(S_MADE[row[1]]) do assert.equal(200, (ask(event))) end
      world:drain()
      world.now = world.now + 10
      local status, data = ask(row[2])
      assert.equal(tonumber(row[8]), status)
      if status == 404 then assert.equal("Schedule not found", data) end
      local snap = world:snap()
      local s = snap.schedules[1]
      assert.are.same({ row[3], row[4], row[5] },
        { tostring(s and s.createdAt or "-"), in_minutes(s and s.lastRunAt), in_minutes(s and s.nextRunAt) })
      if s then
        assert.are.same({ "* * * * *", "http://w" }, { s.cron, s.promiseTags["resonate:target"] })
        if data.schedule then assert.are.same(s, data.schedule) end
      end
      local minutes, messages = {}, {}
      for i, p in ipairs(snap.promises) do
        local at = p.createdAt
        minutes[i] = in_minutes(at)
        local id = ("s/%d"):format(wire.START + at)
        local lives = world.now < at + MINUTE
        assert.are.same({ id = id, state = lives and "pending" or "rejected_timedout", param = { data = "p" }, value = {},
          createdAt = at, timeoutAt = at + MINUTE, settledAt = not lives and at + MINUTE or nil,
          tags = { mine = "1", ["resonate:target"] = "http://w", ["resonate:schedule"] = "s",
            ["resonate:origin"] = id, ["resonate:branch"] = id, ["resonate:parent"] = id,
            ["resonate:prefix"] = id } }, p)
        assert.are.same({ lives and "pending" or "fulfilled", 0 }, { snap.tasks[i].state, snap.tasks[i].version })
      end
      for _, text in ipairs(wire.messages(snap)) do
        messages[#messages + 1] = in_minutes(tonumber(text:match("^execute s/(%d+) v0 to http://w$")) - wire.START)
      end
      local function shown(list) return #list == 0 and "-" or table.concat(list, " ") end
      assert.are.same({ row[6], row[7] }, { shown(minutes), shown(messages) })
    end)
  end
end)
