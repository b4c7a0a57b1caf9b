-- liars.lua - servers that are wrong as servers are wrong, each by one answer: layers between a crowd and its connections.
--
-- Here:    one maker per lie. A liar lies once in a history, as soon as it can; .lied tells that it has.
-- Hooks:   takes(crowd, call, reply): the request is not sent now, if it returns true (`reply` is what the oracle that is
--          led along would say); changes(crowd, call): the answer that came may become another.
--
-- SPDX-License-Identifier: Apache-2.0
local oracle = require("spec.support.oracle")

local M = {}

local function good(reply)
  return reply ~= nil and reply.status == 200
end

-- An answer of the past to a question of now: a cache, a replica that lags, a read beside the transaction.
function M.stale_read()
  local first = {} -- by kind and id
  return {
    changes = function(self, _, call)
      local kind, id = call.request.kind, call.request.data.id
      if self.lied or (kind ~= "promise.get" and kind ~= "task.get") or not good(call.reply) then return end
      local key = kind .. " " .. id
      local old = first[key]
      if not old then
        first[key] = call
      elseif not oracle.same(old.reply, call.reply) then
        call.reply, self.lied = old.reply, true
      end
    end,
  }
end

local function settles(call, reply)
  return call.request.kind == "promise.settle" and good(reply) and reply.data.promise.state == call.request.data.state
    and reply.data.promise.settledAt == call.now
end

-- An acknowledged change that nobody kept.
function M.lost_update()
  return {
    takes = function(self, crowd, call, reply)
      local lies = not self.lied and settles(call, reply)
      if not lies then return false end
      self.lied = true
      crowd:settle(call, reply.status, reply.data)
      return true
    end,
  }
end

-- A task that two hold at once.
function M.double_acquire()
  local holders = {} -- by id and version
  return {
    changes = function(self, _, call)
      if self.lied or call.request.kind ~= "task.acquire" then return end
      local key = tostring(call.request.data.id) .. " " .. tostring(call.request.data.version) -- some are malformed
      if good(call.reply) then
        holders[key] = call
      elseif holders[key] and call.reply.status == 409 then
        call.reply, self.lied = holders[key].reply, true
      end
    end,
  }
end

-- An answer first, the change a while later: what a crash or a reader in between finds undone.
function M.before_the_commit()
  local kept, client_of_it
  local age = 0
  return {
    takes = function(self, crowd, call, reply)
      if kept then
        age = age + 1
        if age == 8 then
          client_of_it.connection:send_call(kept.request.kind, kept.request.data, crowd:head(kept.now))
          client_of_it.connection:receive_call()
        end
        return false
      end
      if self.lied or not settles(call, reply) then return false end
      self.lied, kept = true, call
      crowd:settle(call, reply.status, reply.data)
      client_of_it = crowd.spare
      return true
    end,
  }
end

-- A request that is carried out twice: what the second made of it is what is told.
function M.twice_done()
  return {
    takes = function(self, crowd, call, reply)
      if self.lied or call.request.kind ~= "task.release" or not good(reply) then return false end
      self.lied = true
      crowd.spare.connection:send_call(call.request.kind, call.request.data, crowd:head(call.now))
      crowd.spare.connection:receive_call()
      return false
    end,
  }
end

return M
