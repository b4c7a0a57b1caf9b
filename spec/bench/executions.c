/* executions.c - executions at work: durable steps, starts, replay, generations.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../host/base/clock.h"
#include "../../host/base/limits.h"
#include "bench.h"

enum { FLOOR_WRITES = 1000, WARM_UP = 16 };

/* A prefix that no earlier process used in the same store. Static, good until the next call. */
static const char *fresh(const char *name)
{
  static char prefix[64];
  (void)snprintf(prefix, sizeof prefix, "%s-%d", name, (int)getpid());
  return prefix;
}

/* What every measure begins with, so that none of them pays for the first page faults. */
static void warm_up(bench_host *host)
{
  (void)bench_host_run(host, fresh("warm-up"), "steps", 2, WARM_UP, WARM_UP, DA_EVENT_COMPLETED);
}

/* ---- one client ---------------------------------------------------------------------------------------- */

typedef struct latencies {
  uint64_t last_ns; /* when the step before this one was durable */
  double *us;
  int count, cap;
} latencies;

static void on_step(void *user, const da_event *event)
{
  latencies *all = user;
  if (event->kind != DA_EVENT_SETTLED) return;
  uint64_t now = da_clock_mono_ns();
  if (all->last_ns != 0 && all->count < all->cap) all->us[all->count++] = (double)(now - all->last_ns) / 1e3;
  all->last_ns = now;
}

static void say_latencies(latencies *all)
{
  if (all->count == 0) return;
  qsort(all->us, (size_t)all->count, sizeof *all->us, bench_by_size);
  bench_say("p50_us", all->us[all->count / 2]);
  bench_say("p99_us", all->us[all->count * 99 / 100]);
}

void bench_step(const bench_place *place, int steps, int unused)
{
  (void)unused;
  bench_host host;
  bench_rows rows;
  latencies all = {.us = da_xcalloc((size_t)steps, sizeof *all.us), .cap = steps};
  int writes = steps < FLOOR_WRITES ? steps : FLOOR_WRITES;
  double floor = bench_floor(place, writes);
  bench_host_open(&host, place, "step", SIZE_MAX);
  warm_up(&host);
  host.event = on_step;
  host.user = &all;
  bench_say("steps_s", steps / bench_host_run(&host, "one", "steps", steps, 1, 1, DA_EVENT_COMPLETED));
  bench_host_close(&host);
  bench_say("floor_s", (floor + bench_floor(place, writes)) / 2);
  say_latencies(&all);
  bench_rows_read(&rows, place, "step");
  bench_say("lmdb_s", bench_lmdb(place, &rows, 1));
  bench_say("sqlite_s", bench_sqlite(place, &rows, 1));
  bench_rows_free(&rows);
  free(all.us);
}

/* ---- many ---------------------------------------------------------------------------------------------- */

typedef struct midway {
  const bench_host *host;
  int steps; /* until it is reached */
  double memory;
  size_t executions; /* that came to life and did not end yet */
} midway;

static void look_midway(void *user, const da_event *event)
{
  midway *m = user;
  if (event->kind != DA_EVENT_SETTLED || --m->steps != 0) return;
  m->memory = bench_memory();
  m->executions = da_worker_get_stats(m->host->worker).running;
}

/* Start and completion of the executions are part of it. */
static void run_steps(bench_host *host, int executions, int steps)
{
  double memory = bench_memory(), cpu = bench_cpu(), all = (double)executions * steps;
  midway m = {.host = host, .steps = executions * steps / 2};
  da_sched_stats before = da_sched_get_stats(host->sched);
  host->event = look_midway;
  host->user = &m;
  double seconds = bench_host_run(host, fresh("many"), "steps", steps, executions, executions, DA_EVENT_COMPLETED);
  da_sched_stats after = da_sched_get_stats(host->sched);
  bench_say("steps_s", all / seconds);
  bench_say("cpu_us", 1e6 * (bench_cpu() - cpu) / all);
  bench_say("ops_per_commit", (double)(after.ops - before.ops) / (double)(after.commits - before.commits));
  bench_say("midway_bytes", m.memory - memory);
  bench_say("midway_executions", (double)m.executions);
}

void bench_steps(const bench_place *place, int executions, int steps)
{
  bench_host host;
  bench_rows rows;
  bench_host_open(&host, place, "steps", SIZE_MAX);
  warm_up(&host);
  run_steps(&host, executions, steps);
  bench_host_close(&host);
  bench_rows_read(&rows, place, "steps");
  bench_say("lmdb_s", bench_lmdb(place, &rows, DA_BATCH_OPS_MAX));
  bench_say("sqlite_s", bench_sqlite(place, &rows, DA_BATCH_OPS_MAX));
  bench_rows_free(&rows);
}

/* One after the other, so that both meet the same machine. */
void bench_retained(const bench_place *place, int executions, int steps)
{
  bench_host host;
  bench_host_open(&host, place, "retained", SIZE_MAX);
  warm_up(&host);
  double seconds = bench_host_run(&host, fresh("many"), "steps", steps, executions, executions, DA_EVENT_COMPLETED);
  bench_say("steps_s", (double)executions * steps / seconds);
  bench_host_close(&host);
  bench_host_open(&host, place, fresh("empty"), SIZE_MAX);
  warm_up(&host);
  seconds = bench_host_run(&host, fresh("many"), "steps", steps, executions, executions, DA_EVENT_COMPLETED);
  bench_say("empty_s", (double)executions * steps / seconds);
  bench_host_close(&host);
}

/* ---- starts -------------------------------------------------------------------------------------------- */

static void say_starts(bench_host *host, const char *prefix, const char *func, int argument, int executions)
{
  char name[64];
  double cpu = bench_cpu();
  double seconds = bench_host_run(host, prefix, func, argument, executions, 512, DA_EVENT_COMPLETED);
  (void)snprintf(name, sizeof name, "%s_s", prefix);
  bench_say(name, executions / seconds);
  (void)snprintf(name, sizeof name, "%s_core_s", prefix);
  bench_say(name, executions / (bench_cpu() - cpu));
}

void bench_starts(const bench_place *place, int executions, int unused)
{
  (void)unused;
  bench_host host;
  bench_host_open(&host, place, "starts", SIZE_MAX);
  warm_up(&host);
  say_starts(&host, "named", "one_named", -1, executions);
  say_starts(&host, "inline", "steps", 1, executions);
  bench_host_close(&host);
}

/* ---- replay -------------------------------------------------------------------------------------------- */

static void open_gate(bench_host *host, const char *gate)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  request->id = da_arena_dup(&op->arena, da_slice_of(gate));
  request->state = DA_RESOLVED;
  da_sched_submit(host->sched, op, false);
}

/* An execution that recorded its steps and waits for a promise; a new host; the promise is settled: how long until the
 * execution is done, from its records. */
static double wake_from_records(const bench_place *place, const char *store, int steps)
{
  bench_host host;
  bench_host_open(&host, place, store, SIZE_MAX);
  (void)bench_host_run(&host, "replay", "steps_then_wait", steps, 1, 1, DA_EVENT_SUSPENDED);
  bench_host_close(&host);
  bench_host_open(&host, place, store, SIZE_MAX);
  open_gate(&host, "replay-0:gate.1");
  double seconds = bench_host_wait(&host, 1, DA_EVENT_COMPLETED);
  bench_host_close(&host);
  return seconds;
}

void bench_replay(const bench_place *place, int steps, int unused)
{
  (void)unused;
  double seconds = wake_from_records(place, "replay", steps);
  bench_say("replay_s", steps / seconds);
  bench_say("ms", 1e3 * seconds);
}

void bench_resume(const bench_place *place, int steps, int unused)
{
  (void)unused;
  bench_say("ms", 1e3 * wake_from_records(place, "parked", steps));
}

/* ---- generations --------------------------------------------------------------------------------------- */

/* One execution that began so often, in a store of its own. */
static void say_generations(const bench_place *place, const char *prefix, int generations)
{
  bench_host host;
  char gate[64], name[64];
  (void)snprintf(gate, sizeof gate, "%s-0:~%d.gate.1", prefix, generations);
  bench_host_open(&host, place, prefix, SIZE_MAX);
  double seconds = bench_host_run(&host, prefix, "generations", generations, 1, 1, DA_EVENT_SUSPENDED);
  (void)snprintf(name, sizeof name, "%s_s", prefix);
  bench_say(name, generations / seconds);
  (void)snprintf(name, sizeof name, "%s_bytes", prefix);
  bench_say(name, bench_file_bytes(&host));
  bench_host_close(&host);
  bench_host_open(&host, place, prefix, SIZE_MAX);
  open_gate(&host, gate);
  (void)snprintf(name, sizeof name, "%s_ms", prefix);
  bench_say(name, 1e3 * bench_host_wait(&host, 1, DA_EVENT_COMPLETED));
  bench_host_close(&host);
}

void bench_again(const bench_place *place, int generations, int unused)
{
  (void)unused;
  say_generations(place, "few", 3);
  say_generations(place, "many", generations);
}
