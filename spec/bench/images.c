/* images.c - executions that go on from an image: how soon, what images cost, many of them evicted.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../host/base/clock.h"
#include "bench.h"

#define NEVER UINT64_MAX
enum {
  SAMPLES_FEW = 5, /* of executions that took long to make */
  SAMPLES = 15,
  LONG = 10000,       /* steps */
  DEFAULT_AFTER = 50, /* of the settings (host/cli/settings.h) */
  CONCURRENT = 100,   /* executions */
  TURNS = 4,
  SHARE_OF_ONE = 10,      /* the one execution has so much fewer steps than the many together */
  EVICTED_STEPS = 10,     /* of each that is evicted */
  EVICTED_AT_ONCE = 2000, /* on their way: about as many as there are slots */
  RESUMED_AT_ONCE = 100,
  LOOK_EVERY = 500 /* executions */
};

/* ---- both ---------------------------------------------------------------------------------------------- */

static double thread_cpu(void)
{
  struct timespec t;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0) bench_die("no clock of threads");
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void settle(bench_host *host, const char *id, void (*done)(da_op *op), void *user)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  request->id = da_arena_dup(&op->arena, da_slice_of(id));
  request->state = DA_RESOLVED;
  op->done = done;
  op->user = user;
  da_sched_submit(host->sched, op, false);
}

/* Images are written behind the suspensions that they are of. */
static void await_images(bench_host *host, uint64_t count)
{
  for (int i = 0; i < 60000 && da_worker_get_stats(host->worker).images < count; i++)
    (void)bench_memory_at_rest(host, 1);
  if (da_worker_get_stats(host->worker).images < count) bench_die("the images were not written");
}

/* ---- how soon ------------------------------------------------------------------------------------------ */

typedef struct resumption {
  bench_host *host;
  bool claimed, called;
  uint64_t begin_ns;
  double loop_begin, store_begin;
  double ms, loop_us, store_us; /* the threads' processor time within it */
} resumption;

static da_status read_clock(da_store *store, da_op *op, da_err *err)
{
  (void)store, (void)err;
  double *now = da_arena_alloc(&op->arena, sizeof *now);
  *now = thread_cpu();
  op->call_result = now;
  return DA_OK;
}

static double store_cpu_now(bench_host *host)
{
  da_op *op = da_op_new();
  op->call = read_clock;
  da_sched_submit_wait(host->sched, op);
  if (op->status != DA_OK) bench_die("%s", op->err.text);
  double now = *(const double *)op->call_result;
  da_op_delete(op);
  return now;
}

static void store_cpu_told(da_op *op)
{
  resumption *r = op->user;
  if (op->status != DA_OK) bench_die("%s", op->err.text);
  r->store_us = 1e6 * (*(const double *)op->call_result - r->store_begin);
  da_op_delete(op);
}

/* The settlement's message was told right before: the execution has been claimed this moment. */
static void gate_opened(da_op *op)
{
  resumption *r = op->user;
  if (op->status != DA_OK || op->outcomes[0].reply.status != 200) bench_die("a gate did not open");
  if (r->called) bench_die("it was called before it was claimed");
  r->claimed = true;
  r->begin_ns = da_clock_mono_ns();
  r->loop_begin = thread_cpu();
  da_op_delete(op);
}

static void on_call(void *user, const da_event *event)
{
  resumption *r = user;
  if (event->kind != DA_EVENT_CALLED || r->called) return;
  r->ms = 1e3 * bench_since(r->begin_ns);
  r->loop_us = 1e6 * (thread_cpu() - r->loop_begin);
  if (!r->claimed) bench_die("it was called before it was claimed");
  r->called = true;
  da_op *op = da_op_new(); /* before the call's own */
  op->call = read_clock;
  op->done = store_cpu_told;
  op->user = r;
  da_sched_submit(r->host->sched, op, false);
}

/* Opens that gate of a cold execution and has it run until the next one, or its end. */
static resumption resume(bench_host *host, const char *id, int gate, da_event_kind until)
{
  char promise[96];
  resumption r = {.host = host, .store_begin = store_cpu_now(host)};
  (void)snprintf(promise, sizeof promise, "%s:gate.%d", id, gate);
  host->event = on_call;
  host->user = &r;
  host->reached = 0;
  settle(host, promise, gate_opened, &r);
  (void)bench_host_wait(host, 1, until);
  host->event = NULL;
  return r;
}

typedef struct samples {
  double ms[SAMPLES], loop_us[SAMPLES], store_us[SAMPLES];
} samples;

static void say_middle(const char *size, const char *way, const char *unit, double *values, int count)
{
  char name[64];
  (void)snprintf(name, sizeof name, "%s_%s_%s", size, way, unit);
  qsort(values, (size_t)count, sizeof *values, bench_by_size);
  bench_say(name, values[count / 2]);
}

static void resume_all(bench_host *host, const char *prefix, int gate, da_event_kind until, int count, const char *way)
{
  samples s;
  for (int i = 0; i < count; i++) {
    char id[64];
    (void)snprintf(id, sizeof id, "%s-%d", prefix, i);
    resumption r = resume(host, id, gate, until);
    s.ms[i] = r.ms;
    s.loop_us[i] = r.loop_us;
    s.store_us[i] = r.store_us;
  }
  if (way == NULL) return;
  say_middle(prefix, way, "ms", s.ms, count);
  say_middle(prefix, way, "loop_us", s.loop_us, count);
  say_middle(prefix, way, "store_us", s.store_us, count);
}

static void expect(const bench_host *host, uint64_t restored)
{
  da_worker_stats stats = da_worker_get_stats(host->worker);
  if (stats.restored != restored || stats.images_refused != 0)
    bench_die("%llu of %llu went on from their images, %llu were refused", (unsigned long long)stats.restored,
              (unsigned long long)restored, (unsigned long long)stats.images_refused);
}

/* Imaged at gate 1; gate 2 lies two calls behind that, gate 3 the tail; gate 4 is opened without images, and gate 5
 * of those that this left in memory. */
static void say_resumption(const bench_place *place, const char *size, int steps, int tail)
{
  bench_host host;
  int count = steps >= LONG ? SAMPLES_FEW : SAMPLES;
  const bench_images at_once = {0, NEVER}, none_more = {NEVER, NEVER};
  char name[64];
  bench_host_open_with(&host, place, size, 0, &at_once);
  host.second = tail;
  (void)bench_host_run(&host, size, "gates", steps, count, count, DA_EVENT_SUSPENDED);
  await_images(&host, (uint64_t)count);
  (void)snprintf(name, sizeof name, "%s_image_bytes", size);
  bench_say(name, (double)da_worker_get_stats(host.worker).image_bytes / count);
  bench_host_close(&host);

  bench_host_open_with(&host, place, size, 0, &none_more);
  resume_all(&host, size, 1, DA_EVENT_SUSPENDED, count, "image");
  resume_all(&host, size, 2, DA_EVENT_SUSPENDED, count, NULL);
  resume_all(&host, size, 3, DA_EVENT_SUSPENDED, count, "tail");
  expect(&host, 3 * (uint64_t)count);
  bench_host_close(&host);

  bench_host_open(&host, place, size, SIZE_MAX);
  resume_all(&host, size, 4, DA_EVENT_SUSPENDED, count, "replay");
  bool kept = da_worker_get_stats(host.worker).warm == (size_t)count; /* not those with very many records */
  resume_all(&host, size, 5, DA_EVENT_COMPLETED, count, kept ? "warm" : NULL);
  bench_host_close(&host);
}

static int part_of(int steps, int parts)
{
  return steps / parts > 0 ? steps / parts : 1;
}

void bench_cold(const bench_place *place, int steps, int tail)
{
  bench_say("flush_ms", 1e3 / bench_floor(place, 500));
  say_resumption(place, "few", part_of(steps, 10000), tail);
  say_resumption(place, "some", part_of(steps, 100), tail);
  say_resumption(place, "many", steps, tail);
}

/* ---- what they cost ------------------------------------------------------------------------------------ */

typedef struct cost {
  double seconds, cpu, file;
  da_worker_stats stats;
} cost;

static cost run_steps(const bench_place *place, const char *store, int steps, int executions,
                      const bench_images *images)
{
  bench_host host;
  cost c;
  bench_host_open_with(&host, place, store, SIZE_MAX, images);
  (void)bench_host_run(&host, "warm-up", "steps", 2, 16, 16, DA_EVENT_COMPLETED);
  c.file = bench_file_bytes(&host);
  c.cpu = bench_cpu();
  c.seconds = bench_host_run(&host, "cost", "steps", steps, executions, executions, DA_EVENT_COMPLETED);
  c.cpu = bench_cpu() - c.cpu;
  c.file = bench_file_bytes(&host) - c.file;
  c.stats = da_worker_get_stats(host.worker);
  bench_host_close(&host);
  return c;
}

static void say(const char *name, const char *figure, double value)
{
  char whole[64];
  (void)snprintf(whole, sizeof whole, "%s_%s", name, figure);
  bench_say(whole, value);
}

static void keep_least(double *least, double value)
{
  if (*least <= 0 || value < *least) *least = value;
}

/* In turns, and the best of each: what else the machine does only slows them. */
static void say_cost(const bench_place *place, const char *name, int steps, int executions, uint64_t every)
{
  const bench_images images = {DEFAULT_AFTER, every};
  double all = (double)steps * executions;
  cost best[2] = {{.seconds = 0}, {.seconds = 0}};
  for (int i = 0; i < 2 * TURNS; i++) {
    char store[64];
    int with = (i + i / 2) % 2; /* which of them goes first changes */
    (void)snprintf(store, sizeof store, "%s-%d", name, i);
    cost c = run_steps(place, store, steps, executions, with ? &images : NULL);
    keep_least(&best[with].seconds, c.seconds);
    keep_least(&best[with].cpu, c.cpu);
    best[with].file = c.file;
    best[with].stats = c.stats;
  }
  const cost *off = &best[0], *on = &best[1];
  double made = (double)on->stats.images;
  say(name, "off_s", all / off->seconds);
  say(name, "on_s", all / on->seconds);
  say(name, "off_cpu_us", 1e6 * off->cpu / all);
  say(name, "on_cpu_us", 1e6 * on->cpu / all);
  say(name, "off_disk", off->file / all);
  say(name, "on_disk", on->file / all);
  say(name, "images", made);
  say(name, "image_bytes", made > 0 ? (double)on->stats.image_bytes / made : 0);
  say(name, "image_step_bytes", (double)on->stats.image_bytes / all);
  say(name, "image_cpu_us", made > 0 ? 1e6 * (on->cpu - off->cpu) / made : 0);
}

void bench_images_cost(const bench_place *place, int steps, int every)
{
  say_cost(place, "one", part_of(steps, SHARE_OF_ONE), 1, (uint64_t)every);
  say_cost(place, "many", part_of(steps, CONCURRENT), CONCURRENT, (uint64_t)every);
}

/* ---- evicted ------------------------------------------------------------------------------------------- */

typedef struct eviction {
  bench_host *host;
  int *order, next; /* of what is resumed */
  int seen;
  double most; /* memory */
} eviction;

static void open_next(eviction *e)
{
  char promise[96];
  (void)snprintf(promise, sizeof promise, "evict-%d:gate.1", e->order[e->next++]);
  settle(e->host, promise, NULL, NULL);
}

static void look_at_memory(eviction *e)
{
  if (e->seen++ % LOOK_EVERY != 0) return;
  double now = bench_memory();
  if (now > e->most) e->most = now;
}

static void on_suspended(void *user, const da_event *event)
{
  if (event->kind == DA_EVENT_SUSPENDED) look_at_memory(user);
}

static void on_completed(void *user, const da_event *event)
{
  eviction *e = user;
  if (event->kind != DA_EVENT_COMPLETED) return;
  look_at_memory(e);
  if (e->next < e->host->total) open_next(e);
}

/* The same order in every run. */
static int *shuffled(int count)
{
  int *order = da_xcalloc((size_t)count, sizeof *order);
  uint64_t chance = 88172645463325252U;
  for (int i = 0; i < count; i++) order[i] = i;
  for (int i = count - 1; i > 0; i--) {
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    int j = (int)(chance % (uint64_t)(i + 1)), kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  return order;
}

static void suspend_all(const bench_place *place, const char *way, const bench_images *images, int executions,
                        int rest_ms)
{
  bench_host host;
  bench_host_open_with(&host, place, way, 0, images);
  (void)bench_host_run(&host, "warm-up", "steps_then_wait", EVICTED_STEPS, EVICTED_AT_ONCE, EVICTED_AT_ONCE,
                       DA_EVENT_SUSPENDED);
  double memory = bench_memory_at_rest(&host, rest_ms), file = bench_file_bytes(&host), cpu = bench_cpu();
  uint64_t images_before = da_worker_get_stats(host.worker).images;
  eviction e = {.host = &host};
  host.event = on_suspended;
  host.user = &e;
  uint64_t begin = da_clock_mono_ns();
  (void)bench_host_run(&host, "evict", "steps_then_wait", EVICTED_STEPS, executions, EVICTED_AT_ONCE,
                       DA_EVENT_SUSPENDED);
  host.event = NULL;
  if (images != NULL) await_images(&host, images_before + (uint64_t)executions);
  say(way, "evicted_s", executions / bench_since(begin));
  say(way, "evict_cpu_us", 1e6 * (bench_cpu() - cpu) / executions);
  say(way, "peak_bytes", e.most - memory);
  say(way, "memory", (bench_memory_at_rest(&host, rest_ms) - memory) / executions);
  say(way, "disk", (bench_file_bytes(&host) - file) / executions);
  da_worker_stats stats = da_worker_get_stats(host.worker);
  say(way, "image_bytes", stats.images > 0 ? (double)stats.image_bytes / (double)stats.images : 0);
  bench_host_close(&host);
}

static void resume_shuffled(const bench_place *place, const char *way, const bench_images *images, int executions)
{
  bench_host host;
  eviction e = {.host = &host, .order = shuffled(executions)};
  bench_host_open_with(&host, place, way, 0, images);
  double memory = bench_memory(), cpu = bench_cpu();
  host.event = on_completed;
  host.user = &e;
  host.total = executions;
  for (int i = 0; i < RESUMED_AT_ONCE && i < executions; i++) open_next(&e);
  double seconds = bench_host_wait(&host, executions, DA_EVENT_COMPLETED);
  say(way, "resumed_s", executions / seconds);
  say(way, "resume_cpu_us", 1e6 * (bench_cpu() - cpu) / executions);
  say(way, "resume_peak_bytes", e.most - memory);
  da_worker_stats stats = da_worker_get_stats(host.worker);
  say(way, "restored", (double)stats.restored);
  say(way, "refused", (double)stats.images_refused);
  bench_host_close(&host);
  free(e.order);
}

/* In processes of their own, before this one has any thread: what one left behind is not the next one's. */
static void in_child(const bench_place *place, const char *way, const bench_images *images, int executions, int rest_ms)
{
  pid_t child = fork();
  if (child < 0) bench_die("fork failed");
  if (child == 0) {
    if (rest_ms > 0)
      suspend_all(place, way, images, executions, rest_ms);
    else
      resume_shuffled(place, way, images, executions);
    (void)fflush(stdout);
    _exit(0);
  }
  int status;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    bench_die("a process of the measure failed");
}

void bench_evict(const bench_place *place, int executions, int rest_ms)
{
  const bench_images images = {0, NEVER};
  in_child(place, "off", NULL, executions, rest_ms);
  in_child(place, "off", NULL, executions, 0);
  in_child(place, "on", &images, executions, rest_ms);
  in_child(place, "on", &images, executions, 0);
}
