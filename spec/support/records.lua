-- records.lua - what a store holds, as text that can be compared: each promise without its times and versions.
--
-- Here:    read(place) -> id -> {state, kind, func, value, ...} of all promises of a store at rest; differences().
-- How:     through the probe, read-only, in this process: no program is started for it.
--
-- SPDX-License-Identifier: Apache-2.0
local probe = require("da_probe")

local M = {}

-- In the order of DA_CALL_* of host/engine/record.h.
local KINDS = { [0] = "none", "root", "workflow", "step", "inline", "branch", "sleep", "promise", "native", "mark",
  "recv", "acquire", "take", "send" }

local function sorted_pairs(map)
  local list = {}
  for key, value in pairs(map or {}) do
    local time = key == "dahost:deadline" or key == "resonate:delay"
    list[#list + 1] = key .. "=" .. (time and "a time" or value)
  end
  table.sort(list)
  return table.concat(list, " ")
end

-- How many records of old generations are still there depends on how far the process came with dropping them.
local function forget_old_generations(records)
  for id, record in pairs(records) do
    local above = id .. (id:find(":", 1, true) and "." or ":")
    local mark = record.generation and record.kind ~= "mark" and records[above .. "~" .. record.generation]
    if mark then
      for other, old in pairs(records) do
        local below = old ~= mark and other:sub(1, #above) == above and other ~= above .. "~cancel"
        if below and old.seq and old.seq < mark.seq then records[other] = nil end
      end
    end
  end
end

-- All promises of the store at place.data: id -> record. A record's `seq` and `ordinal` follow the order of events, the
-- rest is what was asked for and what came of it.
function M.read(place)
  local world = assert(probe.new { kind = "lmdb", path = place.data, read_only = true })
  local records = {}
  for _, id in ipairs(world:scan_ids()) do
    local promise = world:promise(id)
    local call = promise.call or {}
    local task = world:task(id)
    records[id] = {
      id = id,
      state = promise.state,
      kind = KINDS[call.kind or 0] or tostring(call.kind),
      func = call.func,
      line = call.line,
      args = call.args and call.args:gsub(".", function(c) return ("%02x"):format(c:byte()) end),
      param = promise.param.data,
      value = promise.value.data,
      headers = sorted_pairs(promise.value.headers),
      tags = sorted_pairs(promise.tags),
      task = task and task.state,
      seq = promise.settleSeq,
      ordinal = call.ordinal,
      generation = call.generation,
      published = task and sorted_pairs(world:live(id)),
    }
  end
  forget_old_generations(records)
  world:close()
  return records
end

local FIELDS = { "generation", "state", "kind", "func", "line", "args", "param", "value", "headers", "tags", "task", "published" }

-- The promise that has `id` as its child, by its text; nil for a root.
local function parent_of(id)
  local root, rest = id:match("^([^:]*):(.*)$")
  if not root then return nil end
  -- The last name and count, or a mark: a point inside of a name is escaped.
  local above = rest:match("^(.*)%.~%w+$") or rest:match("^(.*)%.[^.]+%.%d+$") or rest:match("^(.*)%.[^.=]+=[^.]*$")
  return above and root .. ":" .. above or root
end
M.parent_of = parent_of

-- Was something above `id` cancelled, or did its time run out? How far its children came by then, nobody promised.
local function cut_short(records, id)
  local above = parent_of(id)
  while above do
    local record = records[above]
    local name = record and (record.value or ""):match('"name":"(%l+)"')
    if name == "canceled" or name == "timedout" then return true end
    if record and (record.state == "rejected_canceled" or record.state == "rejected_timedout") then return true end
    above = parent_of(above)
  end
  return false
end

-- Was it under way when the function that made it failed, or when another one won? A little later it would have ended by
-- itself.
local function given_up(record)
  if record.state ~= "rejected_canceled" then return false end
  local value = record.value or ""
  return value:find("its parent failed", 1, true) ~= nil or value:find("another one was first", 1, true) ~= nil
end

-- Lines that tell how b differs from a. except(record, field): true where a difference is allowed.
function M.differences(a, b, except)
  local lines = {}
  local function differ(text, ...) lines[#lines + 1] = text:format(...) end
  for id, left in pairs(a) do
    local right = b[id]
    if cut_short(a, id) then goto continue end
    if not right then
      differ("%s (%s %s, %s) is missing", id, left.kind, left.func, left.state)
      goto continue
    end
    if given_up(left) or given_up(right) then goto continue end
    for _, field in ipairs(FIELDS) do
      if left[field] ~= right[field] and not (except and except(left, field)) then
        differ("%s (%s %s): %s was %s and is %s", id, left.kind, left.func, field, left[field], right[field])
      end
    end
    ::continue::
  end
  for id, right in pairs(b) do
    if not a[id] and not cut_short(b, id) then
      differ("%s (%s %s, %s) is new", id, right.kind, right.func, right.state)
    end
  end
  table.sort(lines)
  return lines
end

return M
