-- harness.lua - kills the shipped program at every durable write and looks at what is left.
--
-- A case is a script with its arguments and, if it waits for a human, what the human answers, or what is sent to it. A life is one process
-- of `dahost run`, or, of a case with `serve`, one of `dahost serve`, while another process asks for the execution. A
-- plan is a list of deaths, one per life: {point=, n=} through DAHOST_KILL, or {after_us=} from
-- outside. play() goes through the plan, then lets the last life end in peace, and demands, whatever the deaths:
--   * the result of an unkilled run, to the byte;
--   * every step that the store had recorded at a death never ran again, and every recorded step ran (the ledger, a
--     plain file that steps append to, is the witness outside of the store);
--   * what was acknowledged to the human stayed so;
--   * `dahost verify` finds the store whole.
-- The harness opens no store itself: it sees what a user sees. Only the count of commits is read from LMDB's meta
-- pages, as the measure against which the number of kills is held.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")
local json = require("dkjson")
local modes = require("spec.support.modes")

local M = {}

local binary = assert(os.getenv("DAHOST_BIN"), "DAHOST_BIN names the program")

M.long = os.getenv("DA_LONG") == "1"
-- A build with a sanitizer is several times slower; it looks at fewer deaths of each kind.
M.sanitized = (os.getenv("DA_PRESET") or ""):find("san") ~= nil
-- The spec is run once more, and every program it starts recovers in another way (modes.lua, runner.lua); or nil.
M.mode = os.getenv("DA_MODE")
M.POINTS = { "commit.before", "commit.after", "answer.before", "outbox.before" }

local LIFE_LIMIT_MS = 60000 -- a life that takes longer hangs, which is a failure of its own

---------------------------------------------------------------------------------------------------- chance

-- The seed of the process, printed by the spec that uses it; DA_SEED repeats a run.
M.seed = math.tointeger(tonumber(os.getenv("DA_SEED"))) or (os.time() * 1000 + uv.os_getpid()) // 1 % 1000000007 | 0

---------------------------------------------------------------------------------------------------- programs

local function environment(extra)
  local env = uv.os_environ()
  for k in pairs(env) do
    if k:find("^DAHOST_") or k:find("^RESONATE_") or k == "LEDGER" then env[k] = nil end
  end
  modes.set(env, M.mode)
  env.DAHOST_LISTEN = "127.0.0.1:0" -- many serve at once
  for k, v in pairs(extra) do env[k] = v end
  local list = {}
  for k, v in pairs(env) do list[#list + 1] = k .. "=" .. v end
  return list
end

-- Starts the program; returns a table that fills itself while uv.run() turns: .out .err, at the end .code .signal.
-- options: env, on_line(line) for each line on stderr, on_end(self), program (another one than ours).
function M.spawn(args, options)
  options = options or {}
  local self = { out = "", err = "", args = args }
  local open = 3
  local limit = uv.new_timer()
  local function part_ended()
    open = open - 1
    if open > 0 then return end
    limit:stop()
    limit:close()
    self.ended = true
    if options.on_end then options.on_end(self) end
  end
  local pipes = { out = uv.new_pipe(false), err = uv.new_pipe(false) }
  local handle, pid
  handle, pid = uv.spawn(options.program or binary, {
    args = args,
    env = environment(options.env or {}),
    stdio = { nil, pipes.out, pipes.err },
  }, function(code, signal)
    self.code, self.signal = code, signal
    handle:close()
    part_ended()
  end)
  assert(handle, pid)
  self.pid = pid
  limit:start(LIFE_LIMIT_MS, 0, function()
    self.hung = true
    uv.kill(pid, "sigkill")
  end)
  local rest = ""
  for name, pipe in pairs(pipes) do
    pipe:read_start(function(_, data)
      if not data then
        pipe:close()
        return part_ended()
      end
      self[name] = self[name] .. data
      if name == "err" and options.on_line then
        rest = rest .. data
        rest = rest:gsub("([^\n]*)\n", function(line)
          options.on_line(line)
          return ""
        end)
      end
    end)
  end
  return self
end

function M.wait(...)
  for _, process in ipairs({ ... }) do
    while not process.ended do uv.run("once") end
    if process.hung then
      error(("dahost %s did not end within %d s\n%s"):format(table.concat(process.args, " "), LIFE_LIMIT_MS / 1000,
        process.err), 0)
    end
  end
  return ...
end

-- Runs the program to its end.
function M.dahost(args, options)
  return M.wait(M.spawn(args, options))
end

---------------------------------------------------------------------------------------------------- places

local function remove_tree(path)
  local scan = uv.fs_scandir(path)
  if scan then
    for name, kind in function() return uv.fs_scandir_next(scan) end do
      if kind == "directory" then remove_tree(path .. "/" .. name) else uv.fs_unlink(path .. "/" .. name) end
    end
  end
  uv.fs_rmdir(path)
end

-- A fresh place with a store and a ledger to be, and its end. in_memory: on a file system that no flush waits for, if
-- there is one; a killed process leaves the same behind there.
function M.place(in_memory)
  local dir = in_memory and uv.fs_mkdtemp("/dev/shm/dahost-kill-XXXXXX")
  dir = dir or assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/dahost-kill-XXXXXX"))
  return { dir = dir, data = dir .. "/store", ledger = dir .. "/ledger" }
end

function M.remove(place)
  remove_tree(place.dir)
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

-- How often LMDB has committed in this store: the greater transaction number of its two meta pages. 0 without a store.
-- Layout of a page in a 64-bit LMDB 0.9: header 16 bytes, magic, version, address, map size, two 48-byte tables (the
-- first begins with the page size), last page, transaction number.
function M.commits(place)
  local file = io.open(place.data .. "/data.mdb", "rb")
  if not file then return 0 end
  local head = file:read(160)
  if not head or #head < 160 then
    file:close()
    return 0
  end
  assert(string.unpack("<I4", head, 17) == 0xBEEFC0DE, "not an LMDB file")
  local page_size = string.unpack("<I4", head, 41)
  local first = string.unpack("<I8", head, 145)
  file:seek("set", page_size)
  local other = file:read(160)
  file:close()
  return math.max(first, other and #other == 160 and string.unpack("<I8", other, 145) or 0)
end

-- How often each step ran: id -> count.
function M.ledger(place)
  local counts = {}
  for id in (read_file(place.ledger) or ""):gmatch("([^\n ]+) [^\n]*\n") do counts[id] = (counts[id] or 0) + 1 end
  return counts
end

-- The same of a ledger whose lines are ids alone.
function M.ledger_of_ids(place)
  local counts = {}
  for id in (read_file(place.ledger) or ""):gmatch("([^\n]+)\n") do counts[id] = (counts[id] or 0) + 1 end
  return counts
end

---------------------------------------------------------------------------------------------------- what the store says

function M.case_env(case, place, extra)
  local env = { DAHOST_DATA = place.data, LEDGER = place.ledger, DAHOST_TIME_FACTOR = case.time_factor }
  if case.plugin then env.DAHOST_PLUGIN = require("spec.support.native").kept_plugin(case.plugin) end
  for k, v in pairs(case.env or {}) do env[k] = v end
  for k, v in pairs(extra or {}) do env[k] = v end
  return env
end

-- The promise as `promise get` shows it, or nil.
function M.promise(case, place, id)
  local got = M.dahost({ "promise", "get", id, "--json" }, { env = M.case_env(case, place) })
  if got.code ~= 0 then return nil end
  return assert(json.decode(got.out, 1, nil), "promise get printed no JSON: " .. got.out)
end

-- The steps of the case that the store holds as settled: id -> "ended", or "given up" (it timed out or was cancelled: it
-- may have run, be running still, or never have begun). And of each execution that began again, what is kept of it: id ->
-- the id below which its newest generation lies.
function M.recorded_steps(case, place)
  local newest = {}
  local got = M.dahost({ "tree", case.id, "--json", "--limit", "100000" }, { env = M.case_env(case, place) })
  local steps = {}
  if got.code ~= 0 then return steps, newest end -- not even the root is there yet
  for line in got.out:gmatch("[^\n]+") do
    local row = assert(json.decode(line, 1, nil), "tree printed no JSON: " .. line)
    assert(not row.more, "the tree did not fit")
    if row.kind == "step" and row.promise ~= "pending" then
      local ended = row.promise == "resolved" or row.promise == "rejected"
      steps[row.id] = ended and "ended" or "given up"
    end
    if row.generation then
      newest[row.id .. (row.id:find(":", 1, true) and "." or ":")] = "~" .. row.generation .. "."
    end
  end
  return steps, newest
end

-- Does the id belong to a generation whose records are dropped?
local function is_of_old_generation(id, newest)
  for above, generation in pairs(newest) do
    if id:sub(1, #above) == above and id:sub(#above + 1, #above + #generation) ~= generation then return true end
  end
  return false
end

---------------------------------------------------------------------------------------------------- lives

local function describe(plan)
  local words = {}
  for i, death in ipairs(plan) do
    words[i] = death.point and death.point .. ":" .. death.n or ("after %d us"):format(death.after_us)
  end
  return #words == 0 and "unkilled" or table.concat(words, ", then ")
end

-- Somebody who sends: the messages of case.sends, each once and in order, as soon as the script's print names their
-- channel. sent: channel -> how many were acknowledged. Give it the lines; wait() for it.
function M.sender(case, env, sent)
  local self, running = {}, {}
  local function go_on(channel)
    local n = (sent[channel] or 0) + 1
    local message = case.sends[channel][n]
    if not message or running[channel] then return end
    running[channel] = M.spawn({ "send", channel, message, "--quiet" }, { env = env, on_end = function(process)
      running[channel] = nil
      if process.code ~= 0 then return end
      sent[channel] = n
      go_on(channel)
    end })
  end
  function self.on_line(line)
    local channel = line:match("dahost send (%S+)")
    if channel and case.sends and case.sends[channel] then go_on(channel) end
  end
  function self.wait()
    while next(running) do uv.run("once") end
  end
  return self
end

-- The human, while no process holds the store: answers what is asked and not yet acknowledged, sends what is not sent.
local function answer_offline(case, place, acknowledged, sent)
  for channel, messages in pairs(case.sends or {}) do
    while messages[(sent[channel] or 0) + 1] do
      local n = (sent[channel] or 0) + 1
      if M.dahost({ "send", channel, messages[n] }, { env = M.case_env(case, place) }).code ~= 0 then break end
      sent[channel] = n
    end
  end
  for id, value in pairs(case.answers or {}) do
    if not acknowledged[id] then
      local done = M.dahost({ "promise", "resolve", id, value }, { env = M.case_env(case, place) })
      if done.code == 0 then acknowledged[id] = value end
    end
  end
end

local function run_arguments(case, verb)
  local args = { verb or "run", case.script }
  table.move(case.args, 1, #case.args, #args + 1, args)
  args[#args + 1] = "--id"
  args[#args + 1] = case.id
  return args
end

local function is_completed(case, place)
  local got = M.dahost({ "get", case.id, "--json" }, { env = M.case_env(case, place) })
  return got.code == 0 and assert(json.decode(got.out, 1, nil)).state == "completed"
end

-- The server is up: another process asks for the execution, and once that has ended the server is told to end.
local function use_server(case, place, process)
  M.dahost(run_arguments(case, "start"), { env = M.case_env(case, place) })
  while not process.ended and not is_completed(case, place) do uv.run("nowait") end
  if not process.ended then uv.kill(process.pid, "sigterm") end
end

-- What the execution came to, asked of the store once the server has ended in peace.
local function take_result(case, place, process)
  if process.signal ~= 0 or process.code ~= 0 then return process end
  local got = M.dahost({ "resume", case.id }, { env = M.case_env(case, place) })
  got.err = process.err .. got.err
  return got
end

-- One process from start to end or death. The human answers as soon as the script's print names a promise.
local function live(case, place, death, acknowledged, sent)
  local sender = M.sender(case, M.case_env(case, place), sent)
  local asked = {}
  local ready = false
  local process
  process = M.spawn(case.serve and { "serve", table.unpack(case.serve) } or run_arguments(case), {
    env = M.case_env(case, place, { DAHOST_KILL = death and death.point and death.point .. ":" .. death.n or nil }),
    on_line = function(line)
      sender.on_line(line)
      ready = ready or line:find("^serving ") ~= nil
      local id = line:match("dahost promise resolve (%S+)")
      local value = id and case.answers and case.answers[id]
      if not value or acknowledged[id] then return end
      local resolve = M.spawn({ "promise", "resolve", id, value }, { env = M.case_env(case, place) })
      resolve.id, resolve.value = id, value
      asked[#asked + 1] = resolve
    end,
  })
  local timer
  if death and death.after_us then
    local until_ns = uv.hrtime() + death.after_us * 1000
    -- The timer has milliseconds; the last one is spent looking at the clock.
    timer = uv.new_timer()
    timer:start(math.max(0, death.after_us // 1000 - 1), 0, function()
      while uv.hrtime() < until_ns do end
      if not process.ended then uv.kill(process.pid, "sigkill") end
      timer:close()
    end)
  end
  while case.serve and not ready and not process.ended do uv.run("once") end
  if case.serve then use_server(case, place, process) end
  while timer and not timer:is_closing() and not process.ended do uv.run("once") end
  if timer and not timer:is_closing() then timer:close() end
  M.wait(process)
  M.wait(table.unpack(asked))
  sender.wait()
  for _, resolve in ipairs(asked) do
    if resolve.code == 0 then acknowledged[resolve.id] = resolve.value end
  end
  return case.serve and take_result(case, place, process) or process
end

-- A place where the case has come to its question and died; nobody has answered.
function M.until_asked(case)
  local place = M.place()
  local asked
  local process = M.spawn(run_arguments(case), {
    env = M.case_env(case, place),
    on_line = function(line) asked = asked or line:match("dahost promise resolve (%S+)") end,
  })
  while not asked and not process.ended do uv.run("once") end
  -- A print is no record. But what the process that holds the store answers is durable.
  if asked then M.dahost({ "promise", "get", asked }, { env = M.case_env(case, place) }) end
  if not process.ended then uv.kill(process.pid, "sigkill") end
  M.wait(process)
  assert(process.signal == 9, "the case did not wait for its answer:\n" .. process.err)
  return place
end

-- Runs the case to its end, from whatever lies at the place.
function M.finish(case, place)
  return M.dahost(run_arguments(case), { env = M.case_env(case, place) })
end

-- Goes through the plan (see the head of this file). Returns {kills=, commits=, result=, seconds=, steps=}; raises what
-- is wrong, naming the plan. `expected` is the result to compare with; nil: any.
function M.play(case, plan, expected)
  local place = M.place()
  local acknowledged, sent = {}, {}
  local frozen = {} -- step id -> times it had run when a death found it recorded
  local kills, began = 0, uv.hrtime()
  local process

  local function wrong(text, ...)
    error(("%s, %s: %s\nstderr of the last life:\n%s\nkept: %s"):format(case.name, describe(plan), text:format(...),
      process and process.err or "", place.dir), 0)
  end

  local newest
  local function look_at_steps()
    local runs = M.ledger(place)
    local recorded
    recorded, newest = M.recorded_steps(case, place)
    for id, how in pairs(recorded) do
      local count = how == "ended" and (runs[id] or 0) or -1
      if count == 0 then wrong("step %s is recorded and never ran", id) end
      if frozen[id] and frozen[id] ~= count then
        wrong("step %s was recorded after %d run(s) and ran again: %d", id, frozen[id], count)
      end
      frozen[id] = count
    end
    return runs
  end

  for _, death in ipairs(plan) do
    process = live(case, place, death, acknowledged, sent)
    if process.signal ~= 9 then break end
    kills = kills + 1
    look_at_steps()
    answer_offline(case, place, acknowledged, sent)
  end
  if not process or process.signal == 9 then process = live(case, place, nil, acknowledged, sent) end
  local seconds = (uv.hrtime() - began) / 1e9
  local commits = M.commits(place) -- before the tools below open the store

  if process.signal ~= 0 or process.code ~= (case.code or 0) then
    wrong("the last life ended with code %d, signal %d", process.code, process.signal)
  end
  local check = case.check and case.check(process.out, place)
  if check then wrong("%s", check) end
  if expected and process.out ~= expected then wrong("the result is %s, not %s", process.out, expected) end

  local runs = look_at_steps()
  for id in pairs(runs) do
    if not frozen[id] and not is_of_old_generation(id, newest) then wrong("step %s ran and is not recorded", id) end
  end
  for id in pairs(acknowledged) do
    local promise = M.promise(case, place, id)
    if not promise or promise.promise ~= "resolved" then
      wrong("the acknowledged answer to %s is lost: %s", id, promise and promise.promise or "no promise")
    end
  end
  local verify = M.dahost({ "verify" }, { env = M.case_env(case, place) })
  if verify.code ~= 0 then wrong("verify ended with code %d:\n%s%s", verify.code, verify.out, verify.err) end

  M.remove(place)
  return { kills = kills, commits = commits, result = process.out, seconds = seconds, steps = frozen }
end

-- The commits that make a store, before anything is asked of it: those of a run that dies at its first flush.
function M.commits_of_an_empty_store()
  local place = M.place()
  M.dahost({ "run", "examples/hello.lua", "foo", "world" },
    { env = { DAHOST_DATA = place.data, DAHOST_KILL = "commit.before:1" } })
  local count = M.commits(place)
  M.remove(place)
  return count
end

return M
