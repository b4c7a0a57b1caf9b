-- rows.lua - what is measured, against what, and what is wanted: runs da_bench, prints one table.
--
--   lua5.4 spec/bench/rows.lua --build DIR [--quick] [--dir DIR] [--list] [ROW...]        (see spec/bench/run)
--
-- Here:     the measures with their sizes, the rows with their targets, the table. A ratio is taken between figures of
--           the same round; of several rounds the one in the middle is shown.
-- May not:  measure anything but file sizes; da_bench does. It is not a test: short of a target is no failure.
--
-- SPDX-License-Identifier: Apache-2.0

local MB = 1000000

---------------------------------------------------------------------------------------------------- measures

-- In this order. `script`: in place of da_bench.
-- `full` and `quick`: the sizes that da_bench is given; `rounds` of the full run; `after`: measures whose
-- store this one needs, so it runs in their directory.
local measures = {
  { name = "size" },
  { name = "program", full = { 21 }, quick = { 1 } },
  { name = "idle", full = { 5000 }, quick = { 100 } },
  { name = "step", full = { 3000 }, quick = { 10 }, rounds = 3 },
  { name = "steps", full = { 10000, 50 }, quick = { 20, 2 }, rounds = 3 },
  { name = "starts", full = { 20000 }, quick = { 20 }, rounds = 3 },
  { name = "replay", full = { 10000 }, quick = { 20 }, rounds = 3 },
  { name = "again", full = { 10000 }, quick = { 20 }, rounds = 3 },
  { name = "warm", full = { 1000, 2500 }, quick = { 10, 50 } },
  { name = "park", full = { 100000, 2500 }, quick = { 20, 50 } },
  { name = "resume", full = { 10 }, quick = { 10 }, after = "park" },
  { name = "wake", full = { 100000 }, quick = { 20 }, after = "park" },
  { name = "crash", full = { 10000, 20 }, quick = { 20, 4 } },
  { name = "cold", full = { 100000, 500 }, quick = { 20, 4 }, rounds = 3 },
  { name = "images", full = { 210000, 1000 }, quick = { 400, 2 }, rounds = 3 },
  { name = "evict", full = { 100000, 2500 }, quick = { 20, 50 } },
  { name = "sleepers", full = { 1000000 }, quick = { 100 } },
  { name = "ready", full = {}, quick = {}, after = "sleepers", rounds = 5 },
  { name = "schedules", full = { 10000, 10 }, quick = { 20, 1 }, rounds = 3 },
  { name = "requests", full = { 200000, 64 }, quick = { 100, 8 }, rounds = 3 },
  { name = "load", script = "load.lua", full = { 5 }, quick = { 1 }, rounds = 3 },
  { name = "streams", script = "streams.lua", full = { 5000, 1000 }, quick = { 50, 10 } },
  { name = "far", script = "far.lua", full = { 500, 256, 40 }, quick = { 5, 4, 3 }, rounds = 3 },
  { name = "native", script = "native.lua", full = { 20000 }, quick = { 400 }, rounds = 3 },
  { name = "retain", full = { 10000000 }, quick = { 200 } },
  { name = "retained", full = { 10000, 25 }, quick = { 20, 2 }, after = "retain", rounds = 3 },
}

---------------------------------------------------------------------------------------------------- rows

-- `needs`: measures; `{measure.figure}` in the texts is a figure of the round. `value`: what is judged, by `at_least` or
-- `at_most`; without either the row is for information.
local rows = {
  { name = "step", needs = { "step" }, what = "durable step, one client, of the disk's flush rate",
    measured = "{step.steps_s} steps/s, p50 {step.p50_us} us, p99 {step.p99_us} us",
    against = "{step.floor_s} flushes/s (4 KiB overwrite, fdatasync)",
    value = function(m) return m.step.steps_s / m.step.floor_s end, at_least = 0.35 },
  { name = "step-lmdb", needs = { "step" }, what = "the same, of a bare LMDB loop with the same rows, one in a commit",
    measured = "{step.steps_s} steps/s", against = "{step.lmdb_s} rows/s",
    value = function(m) return m.step.steps_s / m.step.lmdb_s end },
  { name = "step-sqlite", needs = { "step" }, what = "the same, of SQLite (WAL, FULL), one in a commit",
    measured = "{step.steps_s} steps/s", against = "{step.sqlite_s} rows/s",
    value = function(m) return m.step.sqlite_s > 0 and m.step.steps_s / m.step.sqlite_s end },
  { name = "steps", needs = { "steps" }, what = "steps, 10,000 executions at once, of a bare LMDB loop with the same rows",
    measured = "{steps.steps_s} steps/s ({steps.cpu_us} us of CPU each, {steps.ops_per_commit} ops in a commit)",
    against = "{steps.lmdb_s} rows/s, 1,024 in a commit",
    value = function(m) return m.steps.steps_s / m.steps.lmdb_s end, at_least = 0.4 },
  { name = "steps-sqlite", needs = { "steps" }, what = "the same, of SQLite (WAL, FULL)",
    measured = "{steps.steps_s} steps/s", against = "{steps.sqlite_s} rows/s, 1,024 in a commit",
    value = function(m) return m.steps.sqlite_s > 0 and m.steps.steps_s / m.steps.sqlite_s end, at_least = 1.3 },
  { name = "steps-memory", needs = { "steps" }, what = "memory of the same, half-way, over those not finished",
    measured = "{steps.midway_bytes} B, {steps.midway_executions} executions",
    value = function(m) return m.steps.midway_bytes / m.steps.midway_executions end, unit = "B each" },
  { name = "retained", needs = { "retained" }, what = "steps with 10 M retained records, of an empty store",
    measured = "{retained.steps_s} steps/s", against = "{retained.empty_s} steps/s",
    value = function(m) return m.retained.steps_s / m.retained.empty_s end, at_least = 0.7 },
  { name = "retained-disk", needs = { "retain" }, what = "a retained record (a step of 20 with its execution) on disk",
    measured = "{retain.file_bytes} B for {retain.records} records",
    value = function(m) return m.retain.record_bytes end, unit = "B" },
  { name = "starts", needs = { "starts" }, what = "start and completion of a one-step workflow (named step), per core",
    measured = "{starts.named_s}/s on the machine", against = "processor seconds of all threads",
    value = function(m) return m.starts.named_core_s end, unit = "/s", at_least = 15000 },
  { name = "starts-inline", needs = { "starts" }, what = "the same, inline step",
    measured = "{starts.inline_s}/s on the machine", against = "processor seconds of all threads",
    value = function(m) return m.starts.inline_core_s end, unit = "/s", at_least = 15000 },
  { name = "replay", needs = { "replay" }, what = "replay of 10,000 steps",
    measured = "{replay.ms} ms", value = function(m) return m.replay.replay_s end, unit = "steps/s", at_least = 300000 },
  { name = "again", needs = { "again" }, what = "an execution of 10,000 generations resumed, of one of 3",
    measured = "{again.many_ms} ms ({again.many_s} generations/s before)", against = "{again.few_ms} ms",
    value = function(m) return m.again.many_ms / m.again.few_ms end, at_most = 2 },
  { name = "again-disk", needs = { "again" }, what = "the file of the former, of that of the latter",
    measured = "{again.many_bytes} B", against = "{again.few_bytes} B",
    value = function(m) return m.again.many_bytes / m.again.few_bytes end, at_most = 2 },
  { name = "parked-disk", needs = { "park" }, what = "a parked execution on disk (100,000 asleep)",
    measured = "parked at {park.parked_s}/s", value = function(m) return m.park.disk_bytes end, unit = "B", at_most = 300 },
  -- None is wanted. A hundred pages more or less, as the allocator happens to hold them, are 8 B each.
  { name = "parked-memory", needs = { "park" }, what = "a parked execution in memory",
    measured = "growth over the second 50,000", value = function(m) return m.park.memory_bytes end, unit = "B", at_most = 8 },
  { name = "warm-memory", needs = { "warm" }, what = "a sleeping execution that is kept warm",
    measured = "isolate {warm.isolate_bytes} B", value = function(m) return m.warm.memory_bytes end, unit = "B" },
  { name = "resume", needs = { "resume" }, what = "one execution with 10 steps woken in a store with 100,000 parked ones",
    measured = "settled, read, replayed, done", value = function(m) return m.resume.ms end, unit = "ms" },
  { name = "wake-ready", needs = { "wake" }, what = "start-up to ready with 100,000 parked executions, all of them due",
    measured = "", value = function(m) return m.wake.ready_ms end, unit = "ms" },
  { name = "wake", needs = { "wake" }, what = "all 100,000 of them recovered and finished",
    measured = "{wake.seconds} s", value = function(m) return m.wake.woken_s end, unit = "/s" },
  { name = "crash", needs = { "crash" }, what = "10,000 executions of 20 steps, killed half-way: taken over and finished",
    measured = "ready in {crash.ready_ms} ms, {crash.recovered} executions in {crash.seconds} s, {crash.replayed} calls replayed",
    value = function(m) return m.crash.recovered_s end, unit = "/s" },
  { name = "image-few", needs = { "cold" }, what = "a cold execution with 10 recorded steps, from its claim to its next call: by image",
    measured = "loop thread {cold.few_image_loop_us} us, store thread {cold.few_image_store_us} us; a flush {cold.flush_ms} ms",
    against = "{cold.few_replay_ms} ms by replay of 516 calls; {cold.few_warm_ms} ms of a warm one (threads {cold.few_warm_loop_us}, " ..
      "{cold.few_warm_store_us} us)", value = function(m) return m.cold.few_image_ms end, unit = "ms",
    at_most = 1 },
  { name = "image-some", needs = { "cold" }, what = "the same with 1,000",
    measured = "loop thread {cold.some_image_loop_us} us, store thread {cold.some_image_store_us} us",
    against = "{cold.some_replay_ms} ms by replay of 1,506 calls", value = function(m) return m.cold.some_image_ms end, unit = "ms",
    at_most = 1 },
  { name = "image-many", needs = { "cold" }, what = "the same with 100,000",
    measured = "loop thread {cold.many_image_loop_us} us, store thread {cold.many_image_store_us} us",
    against = "{cold.many_replay_ms} ms by replay of 100,506 calls", value = function(m) return m.cold.many_image_ms end, unit = "ms",
    at_most = 1 },
  { name = "image-flat", needs = { "cold" }, what = "100,000 recorded steps by image, of 10",
    measured = "{cold.many_image_ms} ms", against = "{cold.few_image_ms} ms",
    value = function(m) return m.cold.many_image_ms / m.cold.few_image_ms end, at_most = 1.5 },
  { name = "image-tail", needs = { "cold" }, what = "an image after 1,000 steps and 503 calls recorded behind it",
    measured = "loop thread {cold.some_tail_loop_us} us, store thread {cold.some_tail_store_us} us; " ..
      "behind 100,000: {cold.many_tail_ms} ms",
    against = "{cold.some_image_ms} ms with none behind it", value = function(m) return m.cold.some_tail_ms end, unit = "ms" },
  { name = "image-bytes", needs = { "cold" }, what = "an image, sealed, of an execution with 100,000 steps behind it",
    measured = "{cold.few_image_bytes} B with 10", value = function(m) return m.cold.many_image_bytes end, unit = "B" },
  { name = "images-one", needs = { "images" }, what = "steps of one execution with images (after 50, every 1,000), of without",
    measured = "{images.one_on_s} steps/s, {images.one_on_cpu_us} us of CPU each, {images.one_images} images",
    against = "{images.one_off_s} steps/s, {images.one_off_cpu_us} us",
    value = function(m) return m.images.one_on_s / m.images.one_off_s end, at_least = 0.95 },
  { name = "images-many", needs = { "images" }, what = "the same, 100 executions at once",
    measured = "{images.many_on_s} steps/s, {images.many_on_cpu_us} us of CPU each, {images.many_images} images",
    against = "{images.many_off_s} steps/s, {images.many_off_cpu_us} us",
    value = function(m) return m.images.many_on_s / m.images.many_off_s end, at_least = 0.95 },
  { name = "images-disk", needs = { "images" }, what = "bytes of images written for each step of those",
    measured = "{images.many_image_bytes} B each; the file grew by {images.many_on_disk} B a step",
    against = "by {images.many_off_disk} B without", value = function(m) return m.images.many_image_step_bytes end, unit = "B" },
  { name = "evict", needs = { "evict" }, what = "100,000 executions of 10 steps suspended, imaged, evicted; of without images",
    measured = "{evict.on_evicted_s}/s, {evict.on_evict_cpu_us} us of CPU each",
    against = "{evict.off_evicted_s}/s, {evict.off_evict_cpu_us} us",
    value = function(m) return m.evict.on_evicted_s / m.evict.off_evicted_s end },
  { name = "evict-memory", needs = { "evict" }, what = "most memory while they are",
    measured = "{evict.on_memory} B left for each at rest", against = "{evict.off_peak_bytes} B without, {evict.off_memory} B at rest",
    value = function(m) return m.evict.on_peak_bytes / MB end, unit = "MB" },
  { name = "evict-disk", needs = { "evict" }, what = "each of them on disk", measured = "its image {evict.on_image_bytes} B",
    against = "{evict.off_disk} B without", value = function(m) return m.evict.on_disk end, unit = "B" },
  { name = "evict-resume", needs = { "evict" }, what = "all of them resumed in random order, 100 at a time; of without images",
    measured = "{evict.on_resumed_s}/s, {evict.on_resume_cpu_us} us of CPU each, {evict.on_restored} from images, " ..
      "{evict.on_refused} refused",
    against = "{evict.off_resumed_s}/s, {evict.off_resume_cpu_us} us",
    value = function(m) return m.evict.on_resumed_s / m.evict.off_resumed_s end },
  { name = "sleepers", needs = { "ready" }, what = "start-up to ready with 1 M parked sleepers",
    measured = "`dahost run` of one step there, to its exit: {ready.program_ms} ms",
    value = function(m) return m.ready.ready_ms end, unit = "ms", at_most = 100 },
  { name = "schedules", needs = { "schedules" }, what = "10,000 schedules, 1,000 a second: from the instant to the promise on disk",
    measured = "p50 {schedules.p50_ms} ms, max {schedules.max_ms} ms", value = function(m) return m.schedules.p99_ms end, unit = "ms p99" },
  { name = "schedules-burst", needs = { "schedules" }, what = "the same, all 10,000 at one instant",
    measured = "p50 {schedules.burst_p50_ms} ms, p99 {schedules.burst_p99_ms} ms, max {schedules.burst_max_ms} ms",
    value = function(m) return m.schedules.fired_s end, unit = "/s" },
  { name = "http", needs = { "load", "requests" }, what = "create + settle over HTTP, 64 connections, of the engine in process",
    measured = "{load.requests_s} requests/s, p99 {load.full_p99_ms} ms", against = "{requests.requests_s} requests/s, 64 at a time",
    value = function(m) return m.load.requests_s / m.requests.requests_s end, at_least = 0.3 },
  { name = "http-pipelined", needs = { "load", "requests" }, what = "the same, 16 pipelined on each",
    measured = "{load.pipelined_s} requests/s", against = "{requests.many_s} requests/s, 1,024 at a time",
    value = function(m) return m.load.pipelined_s / m.requests.many_s end },
  { name = "http-half", needs = { "load" }, what = "create at half of that rate, from when it was due to the answer",
    measured = "p50 {load.half_p50_ms} ms", value = function(m) return m.load.half_p99_ms end, unit = "ms p99" },
  { name = "http-crawl", needs = { "load" }, what = "create + settle beside 2,000 connections that send a byte a second, of without",
    measured = "{load.crawled_s} requests/s, p99 {load.crawled_p99_ms} ms", against = "{load.requests_s} requests/s",
    value = function(m) return m.load.crawled_s / m.load.requests_s end },
  { name = "streams", needs = { "streams" }, what = "one of 5,000 idle event streams in memory",
    measured = "one event to all p50 {streams.all_p50_ms} ms, p99 {streams.all_p99_ms} ms; one execute p50 {streams.one_p50_ms} ms, p99 " ..
      "{streams.one_p99_ms} ms", value = function(m) return m.streams.stream_bytes end, unit = "B" },
  { name = "far-trip", needs = { "step", "far" }, what = "await of a workflow in another process by way of the server, in flush times",
    measured = "{far.trip_ms} ms", against = "{step.floor_s} flushes/s",
    value = function(m) return m.far.trip_ms * m.step.floor_s / 1000 end, unit = "flushes" },
  { name = "far-steps", needs = { "far" }, what = "steps of 256 executions in a worker elsewhere, of the same in the server's own process",
    measured = "{far.far_s} steps/s", against = "{far.near_s} steps/s",
    value = function(m) return m.far.far_s / m.far.near_s end },
  { name = "far-requests", needs = { "far" }, what = "requests on the wire for 10 steps, 2 calls elsewhere and a sleep",
    measured = "", against = "{far.requests_sdk} of the published SDK (0: it is not installed)",
    value = function(m) return m.far.requests_mixed end, unit = "requests" },
  { name = "native-sync", needs = { "native" }, what = "call of a SYNC native, of a named step in Lua; 200 under way in one execution",
    measured = "{native.sync_us} us", against = "{native.step_us} us",
    value = function(m) return m.native.sync_us / m.native.step_us end },
  { name = "native-pool", needs = { "native" }, what = "the same of a POOL native",
    measured = "{native.pool_us} us", against = "{native.step_us} us",
    value = function(m) return m.native.pool_us / m.native.step_us end },
  { name = "native-async", needs = { "native" }, what = "the same of an ASYNC native that another thread completes",
    measured = "{native.async_us} us", against = "{native.step_us} us",
    value = function(m) return m.native.async_us / m.native.step_us end },
  { name = "native-pure", needs = { "native" }, what = "call of a PURE native, of a plain C function of Lua's (math.max)",
    measured = "{native.pure_us} us", against = "{native.plain_us} us",
    value = function(m) return m.native.pure_us / m.native.plain_us end },
  { name = "cold-start", needs = { "program" }, what = "`dahost run` in a new store, from fork to exit, one durable step",
    measured = "middle of 21, worst {program.worst_ms} ms", value = function(m) return m.program.ms end, unit = "ms", at_most = 20 },
  { name = "idle-memory", needs = { "idle" }, what = "resident memory of `dahost run` while its execution sleeps",
    measured = "{idle.own_bytes} B of it not backed by files",
    value = function(m) return m.idle.resident_bytes / MB end, unit = "MB", at_most = 8 },
  { name = "idle-cpu", needs = { "idle" }, what = "processor time of the same", measured = "{idle.wakeups_s} wake-ups/s",
    value = function(m) return 100 * m.idle.cpu_share end, unit = "%" },
  { name = "size", needs = { "size" }, what = "the stripped program (OpenSSL is loaded when it is needed)",
    measured = "{size.bytes} B", value = function(m) return m.size.bytes / MB end, unit = "MB", at_most = 1 },
}

---------------------------------------------------------------------------------------------------- the shell

local function fail(format, ...)
  io.stderr:write("bench: ", format:format(...), "\n")
  os.exit(1)
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function output(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read("a")
  local ok = pipe:close()
  return text:gsub("%s+$", ""), ok
end

local function usage(code)
  io.stderr:write("usage: sh spec/bench/run [--quick] [--dir DIR] [--list] [ROW...]\nrows:")
  for _, row in ipairs(rows) do io.stderr:write(" ", row.name) end
  io.stderr:write("\n")
  os.exit(code)
end

local function parse(arguments)
  local options, i = { rows = {} }, 1
  while i <= #arguments do
    local a = arguments[i]
    if a == "--build" or a == "--dir" then
      options[a:sub(3)], i = arguments[i + 1] or usage(2), i + 1
    elseif a == "--quick" or a == "--list" then
      options[a:sub(3)] = true
    elseif a == "--help" or a == "-h" then
      usage(0)
    elseif a:sub(1, 1) == "-" then
      usage(2)
    else
      options.rows[a] = true
    end
    i = i + 1
  end
  for name in pairs(options.rows) do
    local known = false
    for _, row in ipairs(rows) do known = known or row.name == name end
    if not known then fail("no row %s; --list names them", name) end
  end
  return options
end

---------------------------------------------------------------------------------------------------- measuring

local options = parse(arg)
if options.list then
  for _, row in ipairs(rows) do print(("%-14s %s"):format(row.name, row.what)) end
  os.exit(0)
end
local build = options.build or fail("--build DIR names the folder that holds da_bench and dahost")

local place = output("mktemp -d " .. quote((options.dir or "/var/tmp") .. "/dahost-bench.XXXXXX"))
if place == "" then fail("cannot make a directory in %s; --dir names another", options.dir or "/var/tmp") end
if output("stat -f -c %T " .. quote(place)) == "tmpfs" and not options.quick then
  fail("%s is a tmpfs, where a flush costs nothing; --dir names a directory on a disk", options.dir or "/var/tmp")
end

local function clean(name) os.execute("rm -rf " .. quote(place .. (name and "/" .. name or ""))) end

local measurers = {}

function measurers.size()
  local stripped = place .. "/dahost.stripped"
  if not os.execute(("strip -o %s %s/dahost"):format(quote(stripped), quote(build))) then fail("strip failed") end
  return { bytes = tonumber((output("stat -c %s " .. quote(stripped)))) }
end

-- One run of da_bench: its figures. Nothing is left of a run that ends without any.
local function run(measure, directory)
  if measurers[measure.name] then return measurers[measure.name]() end
  local sizes = options.quick and measure.quick or measure.full
  local command = ("DAHOST_BIN=%s/dahost "):format(quote(build))
  if measure.script then
    command = command .. ("lua5.4 spec/bench/%s %s "):format(measure.script, quote(place .. "/" .. directory))
  else
    command = command .. ("%s/da_bench %s %s spec/bench/bench.lua "):format(quote(build), measure.name, quote(place .. "/" .. directory))
  end
  command = command .. table.concat(sizes, " ")
  local text, ok = output(command)
  local figures, any = {}, false
  for name, value in text:gmatch("([%w_]+)=(%S+)") do figures[name], any = tonumber(value), true end
  if not (ok and any) then
    clean()
    fail("%s failed", command)
  end
  return figures
end

local function wanted_measures()
  local by_name, wanted = {}, {}
  for _, measure in ipairs(measures) do by_name[measure.name] = measure end
  for _, row in ipairs(rows) do
    if next(options.rows) == nil or options.rows[row.name] then
      for _, name in ipairs(row.needs) do
        wanted[name] = true
        if by_name[name].after then wanted[by_name[name].after] = true end
      end
    end
  end
  return wanted
end

local function tell(measure, round, figures)
  local list = {}
  for name, value in pairs(figures) do list[#list + 1] = ("%s=%g"):format(name, value) end
  table.sort(list)
  io.stderr:write(("%s %s.%d %s\n"):format(os.date("%H:%M:%S"), measure.name, round, table.concat(list, " ")))
end

-- results[measure] = figures per round.
local function measure_all()
  local wanted, results, users = wanted_measures(), {}, {}
  for _, measure in ipairs(measures) do
    if wanted[measure.name] and measure.after then users[measure.after] = measure.name end -- the last one
  end
  for _, measure in ipairs(measures) do
    if not wanted[measure.name] then goto continue end
    results[measure.name] = {}
    for round = 1, options.quick and 1 or measure.rounds or 1 do
      local directory = measure.after or measure.name .. "." .. round
      if users[measure.name] then directory = measure.name end
      results[measure.name][round] = run(measure, directory)
      tell(measure, round, results[measure.name][round])
      if not users[measure.name] and not measure.after then clean(directory) end
    end
    if measure.after and users[measure.after] == measure.name then clean(measure.after) end
    ::continue::
  end
  return results
end

---------------------------------------------------------------------------------------------------- the table

-- Four digits or the whole number, with thousands set apart.
local function number(value)
  if math.abs(value) < 1000 then return (("%.3g"):format(value)) end
  local text = ("%.0f"):format(value)
  return (text:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^(-?),", "%1"))
end

local function rounds_of(row, results)
  local count = 1
  for _, name in ipairs(row.needs) do count = math.max(count, #results[name]) end
  local list = {}
  for round = 1, count do
    local m = {}
    for _, name in ipairs(row.needs) do m[name] = results[name][math.min(round, #results[name])] end
    list[round] = { m = m, value = row.value(m) }
  end
  return list
end

local function fill(text, m)
  return ((text or ""):gsub("{(%w+)%.([%w_]+)}", function(measure, figure)
    return number(m[measure][figure] or error("no figure " .. measure .. "." .. figure))
  end))
end

local function wanted_text(row)
  local unit = row.unit and (row.unit:sub(1, 1) == "/" and row.unit or " " .. row.unit) or ""
  if row.at_least then return ">= " .. number(row.at_least) .. unit end
  if row.at_most then return "<= " .. number(row.at_most) .. unit end
  return ""
end

local function verdict(row, value)
  if options.quick then return "" end
  if row.at_least then return value >= row.at_least and "ok" or "SHORT" end
  if row.at_most then return value <= row.at_most and "ok" or "SHORT" end
  return ""
end

local function line_of(row, results)
  local rounds = rounds_of(row, results)
  if not rounds[1].value then
    return ("| %s | %s | not measured: built without SQLite (`sh host/bootstrap bench`) | | | %s | |"):format(row.name,
      row.what, wanted_text(row))
  end
  table.sort(rounds, function(a, b) return a.value < b.value end)
  local middle = rounds[(#rounds + 1) // 2]
  local unit = row.unit and (row.unit:sub(1, 1) == "/" and row.unit or " " .. row.unit) or ""
  local shown = number(middle.value) .. unit
  if #rounds > 1 then
    shown = ("%s (%s to %s)"):format(shown, number(rounds[1].value), number(rounds[#rounds].value))
  end
  return ("| %s | %s | %s | %s | %s | %s | %s |"):format(row.name, row.what, fill(row.measured, middle.m),
    fill(row.against, middle.m), shown, wanted_text(row), verdict(row, middle.value))
end

local function first_match(path, pattern)
  local file = io.open(path)
  local text = file and file:read("a") or ""
  if file then file:close() end
  return text:match(pattern) or "?"
end

local function machine()
  local memory = tonumber(first_match("/proc/meminfo", "MemTotal:%s+(%d+)")) or 0
  local changed = output("git status --porcelain -- host bindings lua 2>/dev/null") ~= ""
  return ("%s, %s of %s, %.0f GiB, %s on %s, Linux %s, %s, commit %s%s, load before: %s"):format(os.date("%Y-%m-%d"),
    output("nproc") .. " cores", first_match("/proc/cpuinfo", "model name%s*:%s*([^\n]+)"), memory / 1048576,
    output("df --output=fstype " .. quote(place) .. " | tail -1"), output("df --output=source " .. quote(place) .. " | tail -1"),
    output("uname -r"), output("cc --version | head -1"), output("git rev-parse --short HEAD 2>/dev/null"),
    changed and " with changes" or "", first_match("/proc/loadavg", "^%S+"))
end

local head = machine()
local results = measure_all()
clean()
print("## " .. head .. (options.quick and " (--quick: sizes that measure nothing)" or "") .. "\n")
print("| row | what | measured | against, in the same round | value | wanted | |\n|---|---|---|---|---|---|---|")
for _, row in ipairs(rows) do
  if next(options.rows) == nil or options.rows[row.name] then print(line_of(row, results)) end
end
