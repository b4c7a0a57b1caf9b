-- oracle_search.lua - promise.search and task.search, for oracle.lua.
--
-- What is filtered and told is what any other answer would tell at this instant, whether it is stored yet or not.
--
-- SPDX-License-Identifier: Apache-2.0

local SEARCH_MAX, SEARCH_DEFAULT = 1000, 100

local PROMISE_STATES =
  { pending = true, resolved = true, rejected = true, rejected_canceled = true, rejected_timedout = true }
local TASK_STATES = { pending = true, acquired = true, suspended = true, halted = true, fulfilled = true }

return function(M, parts)
  local check, run, is = parts.check, parts.run, parts.is

  local function given(v)
    return not parts.is_null(v) and v or nil
  end

  function is.optional_promise_state(v)
    return given(v) == nil or PROMISE_STATES[v] == true
  end
  function is.optional_task_state(v)
    return given(v) == nil or TASK_STATES[v] == true
  end

  parts.shapes["promise.search"] = { state = "optional_promise_state", limit = "optional_limit",
    cursor = "optional_string", tags = "optional_tags" }
  parts.shapes["task.search"] = { state = "optional_task_state", limit = "optional_limit", cursor = "optional_string" }
  check["promise.search"] = check["schedule.search"]
  check["task.search"] = check["schedule.search"]

  -- All that `shown` gives something for, up to the limit.
  local function search(o, d, member, shown)
    local limit, after = given(d.limit) or SEARCH_DEFAULT, given(d.cursor) or ""
    local reply = { [member] = {} }
    local found = reply[member]
    assert(limit <= SEARCH_MAX)
    for _, id in ipairs(o.ids) do
      local row = id > after and shown(id)
      if row and #found == limit then
        reply.cursor = found[limit].id
        break
      end
      found[#found + 1] = row or nil
    end
    return parts.ok(reply)
  end

  run["promise.search"] = function(o, d, now)
    local state, tags = given(d.state), given(d.tags) or {}
    return search(o, d, "promises", function(id)
      local record = M.projected(o.promises[id].record, now)
      local fits = not state or record.state == state
      for key, value in pairs(tags) do
        fits = fits and record.tags[key] == value
      end
      return fits and record
    end)
  end

  run["task.search"] = function(o, d, now)
    local state = given(d.state)
    return search(o, d, "tasks", function(id)
      local t = o.tasks[id]
      if not t then
        return nil
      end
      local record = parts.task_record(t)
      if not M.is_alive(o.promises[id].record, now) then
        record = { id = id, state = "fulfilled", version = t.version, resumes = 0 }
      end
      return (not state or record.state == state) and record
    end)
  end
end
