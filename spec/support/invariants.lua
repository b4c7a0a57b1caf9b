-- invariants.lua - what must hold of a snapshot of the promise and task machine, and of each step between two.
--
-- The seven task invariants and the property catalogue of the Resonate protocol's formal specification, as far as
-- snapshots show them. Part of the oracle (oracle.lua), so written from the text too; works on anybody's snapshot.
-- SPDX-License-Identifier: Apache-2.0

return function(oracle)
  local M = {}
  local is_alive, is_timer, is_external = oracle.is_alive, oracle.is_timer, oracle.is_external
  local external_only, arms_at_birth = oracle.external_only, oracle.arms_at_birth
  local is_address, later = oracle.is_address, oracle.later

  -- Looking things up in a snapshot. Each one is indexed once, whoever asks.
  local indexes = setmetatable({}, { __mode = "k" })

  local function by_id(list)
    local map = {}
    for _, item in ipairs(list) do
      map[item.id] = item
    end
    return map
  end

  --- promises, tasks, deadlines, timers by id; awaiters[awaited] and awaits[awaiter] as lists;
  --- listeners[id] as lists of addresses; edges as a set of 'awaited\0awaiter'.
  function M.index(s)
    local index = indexes[s]
    if index then
      return index
    end
    index = {
      promises = by_id(s.promises),
      tasks = by_id(s.tasks),
      deadlines = by_id(s.promiseTimeouts),
      timers = by_id(s.taskTimeouts),
      awaiters = {},
      awaits = {},
      edges = {},
      listeners = {},
      ears = {},
    }
    for _, c in ipairs(s.callbacks) do
      index.awaiters[c.awaited] = index.awaiters[c.awaited] or {}
      table.insert(index.awaiters[c.awaited], c.awaiter)
      index.awaits[c.awaiter] = index.awaits[c.awaiter] or {}
      table.insert(index.awaits[c.awaiter], c.awaited)
      index.edges[c.awaited .. "\0" .. c.awaiter] = c
    end
    for _, l in ipairs(s.listeners) do
      index.listeners[l.id] = index.listeners[l.id] or {}
      table.insert(index.listeners[l.id], l.address)
      index.ears[l.id .. "\0" .. l.address] = l
    end
    indexes[s] = index
    return index
  end

  local function check_promise(bad, ix, p, now, profile)
    local id, settled, target = p.id, p.state ~= "pending", p.tags["resonate:target"]
    local at, deadline = p.settledAt, ix.deadlines[id]
    local waited = ix.awaiters[id] ~= nil or ix.listeners[id] ~= nil
    if p.createdAt > p.timeoutAt or not settled and p.createdAt == p.timeoutAt then
      bad("P1", "created after its deadline", id)
    end
    if (at ~= nil) ~= settled then
      bad("P2", "settledAt does not follow the state", id)
    end
    if at and (at < p.createdAt or at > p.timeoutAt) then
      bad("P3", "settled outside its life", id)
    end
    if not settled and next(p.value) ~= nil then
      bad("P4", "pending with a value", id)
    end
    if at == p.timeoutAt then
      if p.state ~= (is_timer(p.tags) and "resolved" or "rejected_timedout") then
        bad("P5", "settled at the deadline as " .. p.state, id)
      end
      if next(p.value) ~= nil then
        bad("P6", "the deadline gave a value", id)
      end
    elseif p.state == "rejected_timedout" then
      bad("P7", "timed out before the deadline", id)
    end
    if not is_external(p.tags) then
      local no_callbacks, no_listeners = external_only(profile)
      if no_callbacks and ix.awaiters[id] or no_listeners and ix.listeners[id] then
        bad("P9", "an internal promise is awaited", id)
      end
    end
    if ix.edges[id .. "\0" .. id] then
      bad("P10", "awaits itself", id)
    end
    if p.createdAt > now or at and at > now then
      bad("P11", "stamped in the future", id)
    end
    if profile.timer_target == "reject" and target and is_timer(p.tags) then
      bad("P12", "a timer with a target", id)
    end
    if (ix.tasks[id] ~= nil) ~= (target ~= nil) then
      bad("C1", "task and target do not go together", id)
    end
    if settled and ix.tasks[id] and ix.tasks[id].state ~= "fulfilled" then
      bad("C2", "settled, its task is " .. ix.tasks[id].state, id)
    end
    if settled and waited then
      bad("C11", "settled and still awaited", id)
    end
    if deadline and (settled or deadline.timeout ~= p.timeoutAt) then
      bad("arm", "a deadline that is not its own", id)
    end
    if not settled and not deadline and p.timeoutAt < oracle.TIME_MAX then
      if arms_at_birth(profile, p.tags) or profile.arm == "external" and waited then
        bad("arm", "nobody watches its deadline", id)
      end
    end
    if deadline and profile.arm == "target" and not target then
      bad("arm", "armed without need", id)
    end
  end

  local function check_task(bad, ix, t, now)
    local id, state, timer, p = t.id, t.state, ix.timers[t.id], ix.promises[t.id]
    if not p or not p.tags["resonate:target"] then
      bad("inv1", "a task without a targeted promise", id)
      return
    end
    local kind = timer and timer.type
    if (state == "pending") ~= (kind == oracle.RETRY) then
      bad("inv2", "T4: retry timer and pending do not go together", id)
    end
    if (state == "acquired") ~= (kind == oracle.LEASE) then
      bad("inv3", "T3: lease and acquired do not go together", id)
    end
    if state == "suspended" and is_alive(p, now) and not ix.awaits[id] then
      bad("inv4", "C10: suspended and awaiting nothing", id)
    end
    if state == "suspended" then
      for _, awaited in ipairs(ix.awaits[id] or {}) do
        if ix.promises[awaited] and ix.promises[awaited].state ~= "pending" then
          bad("inv5", "suspended on the settled " .. awaited, id)
        end
      end
    end
    if timer and state == "suspended" then
      bad("inv6", "suspended with a timer", id)
    elseif timer and state == "fulfilled" then
      bad("inv7", "fulfilled with a timer", id)
    elseif timer and state == "halted" then
      bad("T7", "halted with a timer", id)
    end
    if (state == "acquired") ~= (t.pid ~= nil) then
      bad("T1", "pid and acquired do not go together", id)
    end
    if (state == "acquired") ~= (t.ttl ~= nil) then
      bad("T2", "ttl and acquired do not go together", id)
    end
    if state == "fulfilled" and t.resumes ~= 0 then
      bad("T5", "fulfilled with resumes", id)
    end
    if state == "suspended" and t.resumes ~= 0 then
      bad("T8", "suspended with resumes", id)
    end
    if state == "acquired" and t.version < 1 then
      bad("T10", "acquired at version " .. t.version, id)
    end
    if t.ttl and t.ttl <= 0 then
      bad("T11", "ttl is not positive", id)
    end
    if state == "fulfilled" and p.state == "pending" then
      bad("C3", "fulfilled before its promise settled", id)
    end
  end

  local function check_keys(bad, s, ix)
    for name, list in pairs({ promises = s.promises, tasks = s.tasks, timers = s.taskTimeouts }) do
      for i = 2, #list do
        if list[i - 1].id >= list[i].id then
          bad("S3", name .. " out of order or doubled", list[i].id)
        end
      end
    end
    local edges, ears = 0, 0
    for _, c in pairs(ix.edges) do
      edges = edges + 1
      if not ix.promises[c.awaited] then
        bad("C4", "a callback on nothing", c.awaited)
      elseif not ix.tasks[c.awaiter] then
        bad("C4", "an awaiter without a task", c.awaiter)
      end
    end
    for _, l in pairs(ix.ears) do
      ears = ears + 1
      if not is_address(l.address) then
        bad("C5", "listener address " .. l.address, l.id)
      end
    end
    if edges ~= #s.callbacks or ears ~= #s.listeners then
      bad("P8", "a callback or listener is there twice", "")
    end
    for id in pairs(ix.timers) do
      if not ix.tasks[id] then
        bad("S3", "a timer without a task", id)
      end
    end
    for id in pairs(ix.deadlines) do
      if not ix.promises[id] then
        bad("S3", "a deadline without a promise", id)
      end
    end
  end

  local function check_promise_step(bad, was, is_now, old, new, now, profile)
    local id = new.id
    local armed = is_now.deadlines[id] and not (was.deadlines[id])
    local waited = is_now.awaiters[id] or is_now.listeners[id]
    if not old then
      local tags = new.tags
      if waited then
        bad("B1", "born awaited", id)
      end
      if is_now.deadlines[id] and not arms_at_birth(profile, tags) then
        bad("arm", "born armed without need", id)
      end
      -- A promise without target may be born and settled by a client in one step (task.step).
      local born_dead = new.settledAt == new.timeoutAt and new.createdAt == new.timeoutAt
      if new.state ~= "pending" and not born_dead and tags["resonate:target"] then
        bad("B1", "born settled", id)
      end
      if new.state == "pending" and new.createdAt ~= now then
        bad("B1", "born at another instant", id)
      end
      return
    end
    if armed and not waited then
      bad("arm", "armed without a waiter", id)
    end
    if was.deadlines[id] and not is_now.deadlines[id] and new.state == "pending" then
      bad("arm", "disarmed while pending", id)
    end
    if rawequal(old, new) then
      return
    end
    if
      old.timeoutAt ~= new.timeoutAt
      or old.createdAt ~= new.createdAt
      or not oracle.same(old.param, new.param)
      or not oracle.same(old.tags, new.tags)
    then
      bad("I1", "param, tags or instants changed", id)
    end
    if old.state ~= "pending" and not oracle.same(old, new) then
      bad("I2", "a settled record changed", id)
    end
    if old.state ~= "pending" and new.state ~= old.state then
      bad("I4", old.state .. " became " .. new.state, id)
    end
    if old.state == "pending" and new.state ~= "pending" then
      local by_client = new.settledAt == math.max(now, new.createdAt) and now < new.timeoutAt
      local by_deadline = new.settledAt == new.timeoutAt and new.timeoutAt <= now
      if not by_client and not by_deadline then
        bad("B3", "settled at an instant that is neither now nor the deadline", id)
      end
    end
  end

  local EDGES = {
    pending = { acquired = true, halted = true, fulfilled = true },
    acquired = { pending = true, suspended = true, halted = true, fulfilled = true },
    suspended = { pending = true, halted = true, fulfilled = true },
    halted = { pending = true, fulfilled = true },
    fulfilled = {},
  }

  local function check_task_birth(bad, is_now, new, old_promise)
    local id = new.id
    if old_promise then
      bad("B2", "a task younger than its promise", id)
    end
    local version = new.state == "acquired" and 1 or 0
    if new.state == "suspended" or new.state == "halted" or new.version ~= version then
      bad("B2", ("born %s at version %d"):format(new.state, new.version), id)
    end
    if new.resumes ~= 0 or is_now.awaits[id] then
      bad("B2", "born with a past", id)
    end
  end

  local function check_task_step(bad, was, is_now, old, new, now)
    local id, p = new.id, is_now.promises[new.id]
    local from, to = old.state, new.state
    local acquired = to == "acquired" and from ~= "acquired"
    local old_timer, timer = was.timers[id], is_now.timers[id]
    if from ~= to and not EDGES[from][to] then
      bad("E2", from .. " became " .. to, id)
    end
    if from == "fulfilled" and not oracle.same(old, new) then
      bad("I6", "a fulfilled task changed", id)
    end
    if new.version ~= old.version + (acquired and 1 or 0) then
      bad("F1", ("version %d became %d"):format(old.version, new.version), id)
    end
    if from == "acquired" and to == "acquired" and (old.pid ~= new.pid or old.ttl ~= new.ttl) then
      bad("F4", "another holder with the same version", id)
    end
    if to == "acquired" then
      local moved = acquired or old_timer.timeout ~= timer.timeout
      if moved and timer.timeout ~= later(now, new.ttl) then
        bad("F6", "a lease that is not now + ttl", id)
      end
    end
    if acquired and new.resumes ~= 0 then
      bad("F8", "acquired with resumes", id)
    end
    if to == "pending" and from ~= "pending" then
      if not is_alive(p, now) then
        bad("D1", "made pending after its deadline", id)
      end
      if from == "suspended" and new.resumes < 1 then
        bad("O6", "left suspended without a resume", id)
      end
    end
    if to == "suspended" and from ~= "suspended" and not is_now.awaits[id] then
      bad("O7", "suspended on nothing", id)
    end
    if to == "pending" and from == "pending" and old_timer.timeout ~= timer.timeout then
      if old_timer.timeout > now or timer.timeout <= old_timer.timeout then
        bad("D3", "retry moved before it was due, or backwards", id)
      end
    end
    local keeps = to == "pending" or to == "halted"
    if keeps and new.resumes < old.resumes then
      bad("D6", "resumes lost", id)
    end
  end

  local function check_waiters_step(bad, was, is_now, now)
    for key, c in pairs(was.edges) do
      if not is_now.edges[key] then
        local awaited, t = is_now.promises[c.awaited], is_now.tasks[c.awaiter]
        if awaited.state == "pending" and t.state ~= "fulfilled" then
          bad("O1", "a callback vanished: " .. c.awaiter, c.awaited)
        end
        -- A suspend answered 300 forgets what was recorded a moment before, in the same step.
        local forgets = t.state == "acquired"
        if is_alive(is_now.promises[c.awaiter], now) and t.resumes == 0 and not forgets then
          bad("O4", "a consumed callback left no trace: " .. c.awaited, c.awaiter)
        end
      end
    end
    for key, l in pairs(was.ears) do
      if not is_now.ears[key] and is_now.promises[l.id].state == "pending" then
        bad("O1", "a listener vanished", l.id)
      end
    end
    for key, c in pairs(is_now.edges) do
      local old = was.promises[c.awaited]
      if not was.edges[key] and old and old.state ~= "pending" then
        bad("O8", "a new callback on a settled promise", c.awaited)
      end
    end
    for key, l in pairs(is_now.ears) do
      local old = was.promises[l.id]
      if not was.ears[key] and old and old.state ~= "pending" then
        bad("O8", "a new listener on a settled promise", l.id)
      end
    end
  end

  local function check_step(bad, s, prev, now, profile)
    local was, is_now = M.index(prev), M.index(s)
    for id in pairs(was.promises) do
      if not is_now.promises[id] then
        bad("I3", "a promise disappeared", id)
      end
    end
    for id in pairs(was.tasks) do
      if not is_now.tasks[id] then
        bad("I3", "a task disappeared", id)
      end
    end
    for _, p in ipairs(s.promises) do
      check_promise_step(bad, was, is_now, was.promises[p.id], p, now, profile)
    end
    for _, t in ipairs(s.tasks) do
      if not is_now.promises[t.id] then
        bad("inv1", "a task without a promise", t.id)
      elseif was.tasks[t.id] then
        check_task_step(bad, was, is_now, was.tasks[t.id], t, now)
      else
        check_task_birth(bad, is_now, t, was.promises[t.id])
      end
    end
    check_waiters_step(bad, was, is_now, now)
  end

  local function check_execute(bad, ix, m, now)
    local t, p = ix.tasks[m.id], ix.promises[m.id]
    if not t then
      bad("C6", "an execute without a task", m.id)
      return
    end
    if m.version > t.version then
      bad("C7", "an execute ahead of its task", m.id)
    end
    if m.address ~= p.tags["resonate:target"] then
      bad("C8", "an execute to " .. tostring(m.address), m.id)
    end
    if not is_alive(p, now) then
      bad("D1", "an execute after the deadline", m.id)
    end
    if t.state ~= "pending" or m.version ~= t.version then
      bad("D4", ("execute %d for a task %s at %d"):format(m.version, t.state, t.version), m.id)
    end
  end

  local function check_messages(bad, s, prev, now, step)
    local ix, was, seen = M.index(s), M.index(prev), {}
    for _, m in ipairs(step.messages) do
      local key = m.kind == "execute" and m.id or m.id .. "\0" .. m.address
      if seen[key] then
        bad("S3", "sent twice: " .. m.kind, m.id)
      end
      seen[key] = true
      if m.kind == "execute" then
        check_execute(bad, ix, m, now)
      else
        if not ix.promises[m.id] or ix.promises[m.id].state == "pending" then
          bad("C9", "an unblock before the settlement", m.id)
        end
        if not was.ears[key] then
          bad("O5", "an unblock nobody asked for: " .. m.address, m.id)
        end
      end
    end
    for key, l in pairs(was.ears) do
      if not ix.ears[key] and not seen[key] then
        bad("O5", "a listener was never told: " .. l.address, l.id)
      end
    end
    for _, t in ipairs(s.tasks) do
      local old = was.tasks[t.id]
      if old and t.state == "pending" and old.state ~= "pending" and not seen[t.id] then
        bad("D4", "became pending without an execute", t.id)
      end
    end
    if step.request and step.request.kind == "sweep" then
      for _, t in ipairs(s.tasks) do
        local from = was.tasks[t.id] and was.tasks[t.id].state
        if t.state ~= from and t.state ~= "pending" and t.state ~= "fulfilled" then
          bad("E5", "the sweep made it " .. t.state, t.id)
        end
      end
      for _, p in ipairs(s.promises) do
        local old = was.promises[p.id]
        if old and old.state ~= p.state and p.settledAt ~= p.timeoutAt then
          bad("E5", "the sweep settled it otherwise than by its deadline", p.id)
        end
      end
    end
  end

  --- Holds a snapshot against the invariants, and the step from `prev` to it against those that speak
  --- of steps. `step` = {request, messages} adds what can be said about messages.
  ---@return nil|string[] violated  'NAME: words (id)'
  function M.violations(s, now, prev, profile, step)
    local list, ix = nil, M.index(s)
    local function bad(name, words, id)
      list = list or {}
      list[#list + 1] = ("%s: %s (%s)"):format(name, words, id)
    end
    check_keys(bad, s, ix)
    for _, p in ipairs(s.promises) do
      check_promise(bad, ix, p, now, profile)
    end
    for _, t in ipairs(s.tasks) do
      check_task(bad, ix, t, now)
    end
    -- What a step did can only be told from rows that make sense by themselves.
    if prev and not list then
      check_step(bad, s, prev, now, profile)
      if step then
        check_messages(bad, s, prev, now, step)
      end
    end
    return list
  end

  return M
end
