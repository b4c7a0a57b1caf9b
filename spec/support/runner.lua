-- runner.lua - what spec/run runs once the build is there: lints and spec files side by side, one closing line.
--
-- Here:    each spec file is a process of its own (`lua5.4 /usr/bin/busted FILE`), so that a crash of the probe costs
--          one file and the machine's processors share the work; likewise one clang-tidy per C file.
-- May:     kill a job that passes its time limit, with its whole process group.
-- May not: hide anything: a job without a counting line is a failure, an unfinished clang-tidy round is told.
-- Needs:   the repository as working directory, DA_PRESET (the build to test), lua-luv.
--
-- SPDX-License-Identifier: Apache-2.0
local uv = require("luv")

local root = uv.cwd()
local preset = os.getenv("DA_PRESET") or "dev"
local build = root .. "/build/" .. preset

local FILE_LIMIT_S = 900 -- a spec file that takes longer is stuck
local LONG_FILE_LIMIT_S = 3600
local TIDY_BUDGET_S = 240 -- for all of clang-tidy together; what is left over is told, --long has no budget

---------------------------------------------------------------------------------------------------- arguments

local options = { jobs = uv.available_parallelism and uv.available_parallelism() or #uv.cpu_info(), paths = {} }
do
  local i = 1
  while arg[i] do
    local a = arg[i]
    if a == "--asan" or a == "--tsan" then
      options.sanitizer = a:sub(3)
    elseif a == "--long" then
      options.long = true
    elseif a == "--lint" then
      options.only_lint = true
    elseif a == "--no-lint" then
      options.no_lint = true
    elseif a == "--jobs" then
      i = i + 1
      options.jobs = math.tointeger(tonumber(arg[i])) or error("--jobs wants a number")
    elseif a:sub(1, 1) == "-" then
      io.stderr:write("spec/run: unknown flag ", a, "; see sh spec/run --help\n")
      print("0 passed, 1 failed")
      os.exit(2)
    else
      options.paths[#options.paths + 1] = (a:gsub("^%./", ""):gsub("/+$", ""))
    end
    i = i + 1
  end
end

---------------------------------------------------------------------------------------------------- files

-- Files below the named folders whose name matches, sorted; build folders and dotted ones left out.
local function files_below(folders, pattern)
  local found = {}
  local function walk(folder)
    local scan = uv.fs_scandir(folder)
    if not scan then return end
    for name, kind in function() return uv.fs_scandir_next(scan) end do
      local path = folder == "." and name or folder .. "/" .. name
      if kind == "directory" and not name:find("^%.") and not name:find("^build") and name ~= "node_modules" then
        walk(path)
      elseif kind == "file" and path:find(pattern) then
        found[#found + 1] = path
      end
    end
  end
  for _, folder in ipairs(folders) do walk(folder) end
  table.sort(found)
  return found
end

local function spec_files()
  if #options.paths == 0 then return files_below({ "spec" }, "_spec%.lua$") end
  local list = {}
  for _, path in ipairs(options.paths) do
    local stat = uv.fs_stat(path)
    if stat and stat.type == "directory" then
      table.move(files_below({ path }, "_spec%.lua$"), 1, 1e5, #list + 1, list)
    else
      list[#list + 1] = path -- a missing file fails in busted, with its name
    end
  end
  return list
end

local function exists_program(name)
  for folder in os.getenv("PATH"):gmatch("[^:]+") do
    if uv.fs_access(folder .. "/" .. name, "X") then return true end
  end
  return false
end

---------------------------------------------------------------------------------------------------- counting

local total = { passed = 0, failed = 0, pending = 0 }

local function tell(ok, name, seconds, note, output)
  io.write(("%-6s %s%s%s\n"):format(ok and "ok" or "FAILED", name, note and "  " .. note or "",
    seconds and ("  (%.1f s)"):format(seconds) or ""))
  if output and output:find("%S") then
    io.write((("\n" .. output:gsub("%s+$", "")):gsub("\n", "\n       | "):sub(2)), "\n")
  end
  io.flush()
end

local function count_check(ok, name, seconds, note, output)
  total[ok and "passed" or "failed"] = total[ok and "passed" or "failed"] + 1
  tell(ok, name, seconds, note, output)
end

---------------------------------------------------------------------------------------------------- jobs

-- A job: {name=, argv=, limit_s=, env=, done = function(job, code, signal, output, seconds)}
local queue, running = {}, {}

local function environment(extra)
  local env = uv.os_environ()
  for k, v in pairs(extra or {}) do env[k] = v end
  local list = {}
  for k, v in pairs(env) do list[#list + 1] = k .. "=" .. v end
  return list
end

local start_next

local function start(job)
  local pipe = uv.new_pipe(false)
  local chunks, began = {}, uv.hrtime()
  local open, code, signal, timed_out = 2, nil, nil, false
  local timer = uv.new_timer()
  local handle, pid

  local function part_closed()
    open = open - 1
    if open > 0 then return end
    running[job] = nil
    local output = table.concat(chunks)
    if timed_out then output = output .. ("\nkilled after %d s\n"):format(job.limit_s) end
    job.done(job, code, signal, output, (uv.hrtime() - began) / 1e9)
    start_next()
  end

  local ends = uv.pipe({ nonblock = true }, { nonblock = false })
  pipe:open(ends.read)
  -- A group of its own (detached), so that a time limit reaches what the spec started.
  handle, pid = uv.spawn(job.argv[1], {
    args = table.move(job.argv, 2, #job.argv, 1, {}),
    stdio = { nil, ends.write, ends.write },
    env = environment(job.env),
    detached = true,
  }, function(c, s)
    code, signal = c, s
    timer:stop()
    timer:close()
    handle:close()
    -- What it left running must not hold the pipe open, or hide: its group ends with it.
    pcall(uv.kill, -pid, "sigkill")
    part_closed()
  end)
  uv.fs_close(ends.write)
  if not handle then
    pipe:close()
    timer:close()
    running[job] = nil
    job.done(job, -1, 0, ("cannot start %s: %s"):format(job.argv[1], pid), 0)
    return start_next()
  end
  running[job] = pid
  timer:start(math.floor(job.limit_s * 1000), 0, function()
    timed_out = true
    uv.kill(-pid, "sigkill")
  end)
  pipe:read_start(function(_, data)
    if data then
      chunks[#chunks + 1] = data
    else
      pipe:close()
      part_closed()
    end
  end)
end

function start_next()
  local busy = 0
  for _ in pairs(running) do busy = busy + 1 end
  while busy < options.jobs and #queue > 0 do
    local job = table.remove(queue, 1)
    if job.skip and job.skip() then
      job.skipped()
    else
      running[job] = true
      start(job)
      busy = busy + 1
    end
  end
end

---------------------------------------------------------------------------------------------------- lints

local function add_lint(name, argv)
  if not exists_program(argv[1]) then
    io.write(("skipped %s: no %s on this machine\n"):format(name, argv[1]))
    return
  end
  queue[#queue + 1] = {
    name = name,
    argv = argv,
    limit_s = 300,
    done = function(job, code, _, output, seconds)
      count_check(code == 0, job.name, seconds, nil, code ~= 0 and output or nil)
    end,
  }
end

-- The same judgement as luac -p, on every Lua file of the tree.
local function check_syntax(lua_files)
  local bad = {}
  for _, path in ipairs(lua_files) do
    local chunk, err = loadfile(path, "t")
    if not chunk then bad[#bad + 1] = err end
  end
  count_check(#bad == 0, "syntax", nil, #lua_files .. " Lua files", table.concat(bad, "\n"))
end

-- One clang-tidy per file; a file that was clean is not looked at again until it, a header or the checks change.
local function add_tidy(c_files, headers)
  local tool = "clang-tidy-14"
  if not exists_program(tool) then
    io.write("skipped clang-tidy: no ", tool, " on this machine\n")
    return
  end
  local newest = uv.fs_stat(".clang-tidy").mtime.sec
  for _, path in ipairs(headers) do newest = math.max(newest, uv.fs_stat(path).mtime.sec) end
  local compiled = assert(io.open(build .. "/compile_commands.json")):read("a")
  local stamps = build .. "/tidy"
  uv.fs_mkdir(stamps, 493)

  local state = { left = 0, clean = 0, dirty = {}, over = {}, began = uv.hrtime(), seconds = 0 }
  local function finish_one()
    state.left = state.left - 1
    if state.left > 0 then return end
    local note = ("%d files clean"):format(state.clean)
    if #state.over > 0 then
      note = note .. (", %d not looked at within %d s: %s"):format(#state.over, TIDY_BUDGET_S,
        table.concat(state.over, " "))
    end
    count_check(#state.dirty == 0, "clang-tidy", state.seconds, note, table.concat(state.dirty))
  end
  local function stale(stamp, path)
    local s = uv.fs_stat(stamp)
    return not s or s.mtime.sec <= math.max(newest, uv.fs_stat(path).mtime.sec)
  end

  for _, path in ipairs(c_files) do
    local stamp = stamps .. "/" .. path:gsub("/", "_")
    if not compiled:find(root .. "/" .. path, 1, true) then -- not part of this build, so nothing is known of its flags
      goto continue
    end
    if not stale(stamp, path) then
      state.clean = state.clean + 1
      goto continue
    end
    state.left = state.left + 1
    queue[#queue + 1] = {
      name = "clang-tidy " .. path,
      argv = { tool, "-p", build, "--quiet", "--warnings-as-errors=*", path },
      limit_s = 300,
      skip = function() return not options.long and state.seconds > TIDY_BUDGET_S * options.jobs end,
      skipped = function()
        state.over[#state.over + 1] = path
        finish_one()
      end,
      done = function(_, code, _, output, seconds)
        state.seconds = state.seconds + seconds
        if code == 0 then
          state.clean = state.clean + 1
          assert(io.open(stamp, "w")):close()
        else
          state.dirty[#state.dirty + 1] = output:gsub("%d+ warnings? generated%.\n", "")
        end
        finish_one()
      end,
    }
    ::continue::
  end
  if state.left == 0 then
    state.left = 1
    finish_one()
  end
end

local function add_lints()
  local lua_files = files_below({ "." }, "%.lua$")
  local rooms = { "host", "bindings", "spec" }
  local c_files, headers = files_below(rooms, "%.c$"), files_below(rooms, "%.h$")
  check_syntax(lua_files)
  local format = { "clang-format-14", "--dry-run", "-Werror" }
  table.move(c_files, 1, #c_files, #format + 1, format)
  table.move(headers, 1, #headers, #format + 1, format)
  add_lint("clang-format", format)
  add_lint("luacheck", { "luacheck", "--quiet", "--no-color", table.unpack(lua_files) })
  return function() add_tidy(c_files, headers) end
end

---------------------------------------------------------------------------------------------------- specs

local function sanitizer_env()
  if not options.sanitizer then return {} end
  local name = options.sanitizer == "asan" and "libasan.so" or "libtsan.so"
  local pipe = assert(io.popen("gcc -print-file-name=" .. name))
  local library = pipe:read("l")
  pipe:close()
  local folder = root .. "/spec/support/"
  return {
    LD_PRELOAD = library,
    ASAN_OPTIONS = "abort_on_error=1:detect_leaks=1:strict_string_checks=1:" .. (os.getenv("ASAN_OPTIONS") or ""),
    LSAN_OPTIONS = "suppressions=" .. folder .. "lsan.supp:print_suppressions=0",
    UBSAN_OPTIONS = "print_stacktrace=1:halt_on_error=1",
    TSAN_OPTIONS = "halt_on_error=1:second_deadlock_stack=1:" .. (os.getenv("TSAN_OPTIONS") or ""),
  }
end

local function spec_done(job, code, signal, output, seconds)
  local passed, failed, pending
  output = output:gsub("busted: (%d+) passed, (%d+) failed, (%d+) pending\n", function(p, f, n)
    passed, failed, pending = tonumber(p), tonumber(f), tonumber(n)
    return ""
  end)
  if not passed then
    passed, failed, pending = 0, 1, 0
    output = output .. ("\nno counting line; exit code %s, signal %s\n"):format(code, signal)
  elseif failed == 0 and (code ~= 0 or signal ~= 0) then
    failed = 1 -- e.g. a leak found at the exit
    output = output .. ("\nexit code %d, signal %d after the last test\n"):format(code, signal)
  elseif passed + failed + pending == 0 then
    failed = 1
    output = output .. "\nthe file holds no test\n"
  end
  total.passed, total.failed, total.pending = total.passed + passed, total.failed + failed, total.pending + pending
  local note = ("%d passed"):format(passed)
  if failed > 0 then note = note .. (", %d failed"):format(failed) end
  if pending > 0 then note = note .. (", %d pending"):format(pending) end
  tell(failed == 0, job.name, seconds, note, output)
end

-- A spec that starts the program is run a second time, and those of Lua a third time: each program it starts then evicts
-- its executions at every await, and replays them or goes on from images (modes.lua), which must make no difference. Of
-- deaths the second time is with images: the first one replays after each as it is. Those that do all of it by themselves
-- (random programs, lives.lua) do not, nor do tests of tests, which have no such setting, nor what starts a program without
-- executions, or with those of other processes, nor what is about those settings.
local ONCE = { "/random_%d_spec", "/evicted_spec", "/test_run_spec", "^spec/net/", "/client_%l*_?spec", "/config_spec",
  "/image_%l*_?spec" }
local function starts_programs(path)
  if path:find("^spec/interop/") and not path:find("/lua_spec") then return false end
  local file = io.open(path)
  if not file or not path:find("^spec/%l+/") then return false end
  for _, pattern in ipairs(ONCE) do
    if path:find(pattern) then file:close() return false end
  end
  local text = file:read("a")
  file:close()
  return text:find("spec%.support%.harness") or text:find("spec%.support%.script")
    or text:find("spec%.support%.program") or text:find("spec%.support%.kill")
end

local function with_evicted(list)
  local jobs = {}
  for _, path in ipairs(list) do
    jobs[#jobs + 1] = { path = path }
    local more = not starts_programs(path) and {} or path:find("/kill_%d_spec") and { "image" }
      or path:find("^spec/lua/") and { "cold", "image" } or { "cold" }
    for _, mode in ipairs(more) do jobs[#jobs + 1] = { path = path, mode = mode } end
  end
  return jobs
end

-- Judges what all others have recorded, so it comes behind them.
local LAST = "spec/interop/guard_spec.lua"

-- An empty folder for what is recorded.
local function answers_folder()
  local folder = build .. "/answers"
  local scan = uv.fs_scandir(folder)
  while scan do
    local name = uv.fs_scandir_next(scan)
    if not name then break end
    uv.fs_unlink(folder .. "/" .. name)
  end
  uv.fs_mkdir(folder, 493)
  return folder
end

-- Returns what is to be run when the queue is empty.
local function add_specs()
  local last = {}
  local env = sanitizer_env()
  env.DA_PRESET = preset
  env.DAHOST_BIN = build .. "/dahost"
  env.LUA_PATH = table.concat({ root .. "/?.lua", root .. "/lua/?.lua", root .. "/lua/?/init.lua", "" }, ";") .. ";"
  env.LUA_CPATH = build .. "/spec/?.so;;"
  env.DA_LONG = options.long and "1" or nil
  env.DA_ANSWERS = answers_folder()
  local list = spec_files()
  -- The long ones first, so that none is left alone at the end.
  table.sort(list, function(a, b)
    local function rank(path)
      if path:find("/kill_%d_spec") then return 1 end
      return path:find("/random_%d_spec") and 2 or path:find("/system/") and 3 or 4
    end
    local ka, kb = rank(a), rank(b)
    if ka ~= kb then return ka < kb end
    return a < b
  end)
  for _, run in ipairs(with_evicted(list)) do
    local own = { DA_MODE = run.mode }
    for name, value in pairs(env) do own[name] = value end
    local jobs = run.path == LAST and last or queue
    jobs[#jobs + 1] = {
      name = run.path .. (run.mode and (run.mode == "cold" and ", evicted at every await" or ", from images") or ""),
      argv = { "lua5.4", "/usr/bin/busted", run.path },
      env = own,
      limit_s = options.long and LONG_FILE_LIMIT_S or FILE_LIMIT_S,
      done = spec_done,
    }
  end
  return last
end

---------------------------------------------------------------------------------------------------- main

local began = uv.hrtime()
local want_lints = not options.no_lint and not options.sanitizer and #options.paths == 0
local add_tidy_last = (want_lints or options.only_lint) and add_lints()
local last = options.only_lint and {} or add_specs()
if add_tidy_last then add_tidy_last() end

local interrupt = uv.new_signal()
interrupt:start("sigint", function()
  for _, pid in pairs(running) do pcall(uv.kill, -pid, "sigkill") end
  print("interrupted")
  print(("%d passed, %d failed"):format(total.passed, total.failed + 1))
  os.exit(130)
end)
interrupt:unref()

start_next()
uv.run()
table.move(last, 1, #last, 1, queue)
start_next()
uv.run()

io.write(("%.0f s with build/%s, %d side by side%s\n"):format((uv.hrtime() - began) / 1e9, preset, options.jobs,
  total.pending > 0 and (", %d pending"):format(total.pending) or ""))
if total.passed + total.failed + total.pending == 0 then total.failed = 1 end -- nothing was looked at
print(("%d passed, %d failed"):format(total.passed, total.failed))
os.exit(total.failed == 0 and 0 or 1)
