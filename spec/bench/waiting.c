/* waiting.c - executions at rest: what they cost on disk and in memory, and how they come back.
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../host/base/clock.h"
#include "bench.h"

enum {
  AT_ONCE = 2000, /* executions on their way into sleep: about as many as there are slots */
  SLEEP_DAYS = 2  /* of async.sleeper in bench.lua */
};
#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)

/* The first half takes what every process takes; the second half is counted. */
void bench_park(const bench_place *place, int executions, int rest_ms)
{
  bench_host host;
  int half = executions / 2;
  bench_host_open(&host, place, "parked", 0);
  double file = bench_file_bytes(&host);
  double seconds = bench_host_run(&host, "first", "sleeper", -1, executions - half, AT_ONCE, DA_EVENT_SUSPENDED);
  double memory = bench_memory_at_rest(&host, rest_ms);
  seconds += bench_host_run(&host, "second", "sleeper", -1, half, AT_ONCE, DA_EVENT_SUSPENDED);
  bench_say("memory_bytes", (bench_memory_at_rest(&host, rest_ms) - memory) / half);
  bench_say("disk_bytes", (bench_file_bytes(&host) - file) / executions);
  bench_say("parked_s", executions / seconds);
  bench_host_close(&host);
}

void bench_warm(const bench_place *place, int executions, int rest_ms)
{
  bench_host host;
  bench_host_open(&host, place, "warm", (size_t)4 << 30);
  (void)bench_host_run(&host, "first", "sleeper", -1, 1, 1, DA_EVENT_SUSPENDED);
  double memory = bench_memory_at_rest(&host, rest_ms);
  (void)bench_host_run(&host, "warm", "sleeper", -1, executions, executions, DA_EVENT_SUSPENDED);
  da_worker_stats stats = da_worker_get_stats(host.worker);
  if (stats.warm != (size_t)executions + 1) bench_die("%zu of %d stayed warm", stats.warm, executions + 1);
  bench_say("memory_bytes", (bench_memory_at_rest(&host, rest_ms) - memory) / executions);
  bench_say("isolate_bytes", (double)stats.warm_bytes / (double)stats.warm);
  bench_host_close(&host);
}

/* All timers are over when this process starts: executions come back from their records and finish. */
void bench_wake(const bench_place *place, int executions, int unused)
{
  (void)unused;
  bench_host host;
  da_clock_floor(da_clock_now_ms() + (SLEEP_DAYS + 1) * DAY_MS);
  uint64_t begin = da_clock_mono_ns();
  bench_host_open(&host, place, "parked", SIZE_MAX);
  bench_say("ready_ms", 1e3 * host.ready_s);
  (void)bench_host_wait(&host, executions, DA_EVENT_COMPLETED);
  double seconds = bench_since(begin);
  bench_say("seconds", seconds);
  bench_say("woken_s", executions / seconds);
  bench_host_close(&host);
}

/* ---- a crash ------------------------------------------------------------------------------------------- */

typedef struct fuse {
  int steps;
} fuse;

static void die_half_way(void *user, const da_event *event)
{
  fuse *f = user;
  if (event->kind == DA_EVENT_SETTLED && --f->steps == 0) (void)raise(SIGKILL);
}

/* In a process of its own, before this one has any thread. */
static void run_and_die(const bench_place *place, int executions, int steps)
{
  pid_t child = fork();
  if (child < 0) bench_die("fork failed");
  if (child == 0) {
    bench_host host;
    fuse f = {executions * steps / 2};
    bench_host_open(&host, place, "crash", SIZE_MAX);
    host.event = die_half_way;
    host.user = &f;
    (void)bench_host_run(&host, "crash", "steps", steps, executions, executions, DA_EVENT_COMPLETED);
    _exit(1); /* it should not have come to this */
  }
  int status;
  if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
    bench_die("the process that was to be killed ended otherwise");
}

/* How many finished before the crash is not known, so the last one is found by asking for all of them. */
typedef struct followed {
  bench_host *host;
  int left;
} followed;

static void on_finished(void *user, const da_promise *promise)
{
  followed *f = user;
  if (promise == NULL || promise->state != DA_RESOLVED) bench_die("an execution did not come back");
  if (--f->left == 0) da_sched_stop(f->host->sched);
}

void bench_crash(const bench_place *place, int executions, int steps)
{
  bench_host host;
  run_and_die(place, executions, steps);
  uint64_t begin = da_clock_mono_ns();
  bench_host_open(&host, place, "crash", SIZE_MAX);
  bench_say("ready_ms", 1e3 * host.ready_s);
  followed f = {&host, executions};
  for (int i = 0; i < executions; i++) {
    char id[64];
    (void)snprintf(id, sizeof id, "crash-%d", i);
    da_worker_follow(host.worker, da_slice_of(id), on_finished, &f);
  }
  da_sched_run(host.sched);
  double seconds = bench_since(begin);
  bench_say("recovered", host.reached);
  bench_say("seconds", seconds);
  bench_say("recovered_s", host.reached / seconds);
  bench_say("replayed", (double)da_worker_get_stats(host.worker).replayed_calls);
  bench_host_close(&host);
}
