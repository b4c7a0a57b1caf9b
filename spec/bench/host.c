/* host.c - executions in the process of the bench: the doors that the command line uses, without its views.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include "../../host/base/clock.h"
#include "bench.h"

static void start_one(bench_host *host);

static void started(void *user, const da_promise *promise, bool created, da_status status, const da_err *err)
{
  (void)user;
  if (promise == NULL) bench_die("a start failed (%s): %s", da_status_name(status), err->text);
  if (!created) bench_die("%.*s was there before", DA_FMT(promise->id));
}

static void start_one(bench_host *host)
{
  char id[64];
  (void)snprintf(id, sizeof id, "%s-%d", host->prefix, host->next++);
  da_worker_start(host->worker, da_slice_of(id), da_slice_of(host->func), 1, da_slice_of(host->args), host->bundle,
                  started, host);
}

static void on_event(void *user, const da_event *event)
{
  bench_host *host = user;
  if (host->event != NULL) host->event(host->user, event);
  if (event->kind == DA_EVENT_PARKED || (event->kind == DA_EVENT_COMPLETED && event->state != DA_RESOLVED))
    bench_die("%.*s failed: %.*s", DA_FMT(event->execution), DA_FMT(event->text));
  if (event->kind != host->until) {
    if (event->kind == DA_EVENT_COMPLETED) bench_die("%.*s did not wait", DA_FMT(event->execution));
    return;
  }
  if (++host->reached == host->total) da_sched_stop(host->sched);
  if (host->next < host->total) start_one(host);
}

static void ready(void *user)
{
  da_sched_stop(((bench_host *)user)->sched);
}

static void open_worker(bench_host *host, const bench_place *place, const char *pid, size_t warm_bytes,
                        const bench_images *images)
{
  da_err err = {{0}};
  uint8_t secret[16], image_key[DA_STORE_IMAGE_KEY];
  da_store_secret(host->store, secret);
  da_worker_options options = {.sched = host->sched,
                               .hooks = {bind_open_isolate, bind_open_step},
                               .targets = &da_default_target,
                               .target_count = 1,
                               .pid = pid,
                               .secret = secret,
                               .warm_bytes = warm_bytes,
                               .event = on_event,
                               .user = host};
  if (images != NULL) {
    if (!da_store_image_key(host->store, image_key)) bench_die("the store has no key for images");
    options.image_key = image_key;
    options.image_after = images->after;
    options.image_every = images->every;
  }
  if (da_worker_new(&options, &host->worker, &err) != DA_OK) bench_die("%s", err.text);
  da_sched_events events = da_worker_events(host->worker);
  da_sched_set_events(host->sched, &events);
  da_worker_drive(host->worker, true);
  if (da_bundle_read(place->script, &host->bundle, &err) != DA_OK ||
      da_worker_serve(host->worker, host->bundle, &err) != DA_OK)
    bench_die("%s", err.text);
}

void bench_host_open(bench_host *host, const bench_place *place, const char *store, size_t warm_bytes)
{
  bench_host_open_with(host, place, store, warm_bytes, NULL);
}

void bench_host_open_with(bench_host *host, const bench_place *place, const char *store, size_t warm_bytes,
                          const bench_images *images)
{
  da_err err = {{0}};
  char pid[64];
  *host = (bench_host){.until = DA_EVENT_COMPLETED};
  uint64_t begin = da_clock_mono_ns();
  da_store_options store_options = {.create = true};
  if (da_store_open(bench_path(place, store), &store_options, &host->store, &err) != DA_OK) bench_die("%s", err.text);
  /* As long as the program's own: it is part of every task that is held. */
  (void)snprintf(pid, sizeof pid, "local/%016llx", (unsigned long long)begin << 20 | (unsigned long long)getpid());
  da_sched_options options = {.store = host->store,
                              .profile = da_profile_default,
                              .local_targets = &da_default_target,
                              .local_target_count = 1,
                              .pid = pid};
  if (da_sched_new(&options, &host->sched, &err) != DA_OK) bench_die("%s", err.text);
  open_worker(host, place, pid, warm_bytes, images);
  da_sched_recover(host->sched, ready, host);
  da_sched_run(host->sched);
  host->ready_s = bench_since(begin);
}

void bench_host_close(bench_host *host)
{
  da_worker_delete(host->worker);
  da_sched_delete(host->sched);
  da_store_close(host->store);
  da_bundle_unref(host->bundle);
}

double bench_host_run(bench_host *host, const char *prefix, const char *func, int argument, int total, int at_once,
                      da_event_kind until)
{
  host->prefix = prefix;
  host->func = func;
  if (host->second > 0)
    (void)snprintf(host->args, sizeof host->args, "[%d,%d]", argument, host->second);
  else
    (void)snprintf(host->args, sizeof host->args, argument >= 0 ? "[%d]" : "[]", argument);
  host->total = total;
  host->next = host->reached = 0;
  host->until = until;
  uint64_t begin = da_clock_mono_ns();
  for (int i = 0; i < at_once && i < total; i++) start_one(host);
  da_sched_run(host->sched);
  return bench_since(begin);
}

double bench_host_wait(bench_host *host, int total, da_event_kind until)
{
  host->total = host->next = total;
  host->until = until;
  uint64_t begin = da_clock_mono_ns();
  if (host->reached < total) da_sched_run(host->sched);
  return bench_since(begin);
}

static da_status read_stat(da_store *store, da_op *op, da_err *err)
{
  da_store_stats *stats = da_arena_zalloc(&op->arena, sizeof *stats);
  op->call_result = stats;
  return da_store_stat(store, stats, err);
}

double bench_file_bytes(bench_host *host)
{
  da_op *op = da_op_new();
  op->call = read_stat;
  da_sched_submit_wait(host->sched, op);
  if (op->status != DA_OK) bench_die("%s", op->err.text);
  double bytes = (double)((const da_store_stats *)op->call_result)->file_bytes;
  da_op_delete(op);
  return bytes;
}

static void stop(void *sched)
{
  da_sched_stop(sched);
}

double bench_memory_at_rest(bench_host *host, int rest_ms)
{
  (void)da_timer_start(host->sched, da_clock_now_ms() + rest_ms, stop, host->sched);
  da_sched_run(host->sched);
  return bench_memory();
}
