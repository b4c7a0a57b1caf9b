-- net_space.lua - machines of their own for processes: network namespaces with a cable between, where one may make them.
--
-- Here:    why_not(): nil, or the words why there can be none here (it wants root, and a kernel that lets it);
--          new(): a hub, in which the server listens at .address; machine(name): a namespace with a cable to the hub, whose
--          .address is the server's; inside(machine, words): words and command for program.spawn() that run the program
--          there. A machine is a link as of relay.lua: cut() and freeze() pull the cable (what is sent is lost, nobody is
--          told), snap() for a moment only, delay(ms) where the kernel can, heal(), stop(). half() and snip() pull it, too.
-- Left:    nothing. Namespaces have no names and end with the process that holds them, which ends with its stdin.
--
-- SPDX-License-Identifier: Apache-2.0
local program = require("spec.support.program")
local uv = require("luv")

local M = {}

local PORT = 8001
local SNAP_MS = 300

local binary = os.getenv("DAHOST_BIN") or uv.cwd() .. "/build/dahost"

local function shell(text)
  return program.run({ "-c", text }, { command = "sh" })
end

local reason, looked

function M.why_not()
  if not looked then
    looked = true
    local made, got = pcall(shell, "unshare -n sh -c 'ip link add one type veth peer name two && ip link set one up'")
    if not made then reason = got elseif got.code ~= 0 then reason = got.err:gsub("%s+$", "") end
  end
  return reason
end

-- A process that holds a namespace, until its stdin is closed.
local function hold(text)
  local holder = program.spawn({ "-n", "sh", "-c", text .. "; echo ready; exec cat >/dev/null" },
    { command = "unshare", keyboard = true })
  holder:wait_for("ready", "out")
  return holder
end

local Machine = {}
Machine.__index = Machine

-- Without waiting, since it may be told so from a callback.
local function in_hub(machine, text)
  return program.spawn({ "-t", tostring(machine.space.hub.pid), "-n", "sh", "-c", text:gsub("CABLE", machine.cable) },
    { command = "nsenter" })
end

function Machine:cut()
  return in_hub(self, "ip link set CABLE down")
end

Machine.freeze, Machine.half, Machine.snip = Machine.cut, Machine.cut, Machine.cut

function Machine:snap()
  return in_hub(self, ("ip link set CABLE down; sleep %g; ip link set CABLE up"):format(SNAP_MS / 1000))
end

function Machine:delay(ms)
  return in_hub(self, ("tc qdisc add dev CABLE root netem delay %dms 2>/dev/null || true"):format(ms))
end

function Machine:heal()
  return in_hub(self, "ip link set CABLE up; tc qdisc del dev CABLE root 2>/dev/null || true")
end

function Machine:stop()
  if not self.holder.ended then uv.kill(self.holder.pid, "sigkill") end
end

local Space = {}
Space.__index = Space

function M.new()
  local self = setmetatable({ count = 0, address = "0.0.0.0:" .. PORT }, Space)
  self.hub = hold("ip link set lo up")
  return self
end

function Space:machine(name)
  self.count = self.count + 1
  local n = self.count
  local machine = setmetatable({ space = self, name = name, cable = "cable" .. n, address = ("10.77.%d.1:%d"):format(n, PORT) },
    Machine)
  machine.holder = hold("ip link set lo up")
  machine.pid = machine.holder.pid
  local made = in_hub(machine, ("ip link add CABLE type veth peer name cable netns %d && ip addr add 10.77.%d.1/24 dev CABLE "
    .. "&& ip link set CABLE up && nsenter -t %d -n sh -c 'ip addr add 10.77.%d.2/24 dev cable && ip link set cable up'")
    :format(machine.pid, n, machine.pid, n)):wait()
  assert(made.code == 0, made.err)
  return machine
end

-- machine: of this space, or its hub.
function M.inside(machine, words)
  return { "-t", tostring(machine.pid), "-n", binary, table.unpack(words) }, "nsenter"
end

return M
