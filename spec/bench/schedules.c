/* schedules.c - work by the clock: how late schedules fire.
 *
 * Measured is from the instant a schedule names to the one at which the loop is told of the task it made, which is
 * behind the flush. No worker runs what was made: that is what other measures are about.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../host/base/clock.h"
#include "../../host/base/limits.h"
#include "bench.h"

enum { CREATED_AT_ONCE = 500 };

typedef struct firing {
  da_sched *sched;
  double *late_ms; /* owned */
  double first_due, last_told;
  int count, total;
} firing;

static double wall_ms(void)
{
  struct timespec now;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The instant is the end of the id. */
static void on_execute(void *user, const da_message *message)
{
  firing *f = user;
  int64_t due = 0, unit = 1;
  for (size_t i = message->id.len; i > 0 && message->id.ptr[i - 1] != '.'; i--, unit *= 10)
    due += (message->id.ptr[i - 1] - '0') * unit;
  if (f->count == f->total) return;
  f->last_told = wall_ms();
  if (f->first_due == 0 || (double)due < f->first_due) f->first_due = (double)due;
  f->late_ms[f->count++] = f->last_told - (double)due;
  if (f->count == f->total) da_sched_stop(f->sched);
}

static void add_schedule(da_op *op, int i, int second, int period)
{
  static const da_pair target = {{"resonate:target", 15}, {"poll://any@default", 18}};
  da_request *request = da_op_request(op, DA_REQ_SCHEDULE_CREATE);
  da_buf cron = {0};
  for (int s = second; s < 60; s += period) da_buf_addf(&cron, "%s%d", cron.len > 0 ? "," : "", s);
  da_buf_addf(&cron, " * * * * *");
  request->id = da_arena_printf(&op->arena, "schedule-%d", i);
  request->cron = da_arena_dup(&op->arena, da_buf_slice(&cron));
  request->cron_unix = true;
  request->promise_id = DA_LIT("{{.id}}.{{.timestamp}}");
  request->timeout_at = DA_TIME_MAX;
  request->param = (da_value){.has_data = true, .encoding = DA_JSON, .data = DA_LIT("{\"args\":[],\"func\":\"f\"}")};
  request->tags = (da_map){&target, 1};
  da_buf_free(&cron);
}

static void create(da_sched *sched, int schedules, int period, bool burst)
{
  for (int i = 0; i < schedules;) {
    da_op *op = da_op_new();
    for (int k = 0; k < CREATED_AT_ONCE && i < schedules; k++, i++) add_schedule(op, i, burst ? 0 : i % period, period);
    da_sched_submit_wait(sched, op);
    if (op->status != DA_OK) bench_die("the schedules cannot be made: %s", op->err.text);
    da_op_delete(op);
  }
}

static void measure(const bench_place *place, const char *name, int schedules, int period, bool burst, firing *f)
{
  da_err err;
  da_store *store;
  const da_store_options store_options = {.create = true};
  *f = (firing){.total = schedules, .late_ms = da_xcalloc((size_t)schedules, sizeof(double))};
  if (da_store_open(bench_path(place, name), &store_options, &store, &err) != DA_OK) bench_die("%s", err.text);
  const da_sched_options options = {.store = store,
                                    .profile = da_profile_default,
                                    .local_targets = &da_default_target,
                                    .local_target_count = 1,
                                    .fires = true,
                                    .pid = "local/bench"};
  if (da_sched_new(&options, &f->sched, &err) != DA_OK) bench_die("%s", err.text);
  create(f->sched, schedules, period, burst);
  const da_sched_events events = {.execute = on_execute, .user = f};
  da_sched_set_events(f->sched, &events);
  da_sched_run(f->sched);
  da_sched_delete(f->sched);
  da_store_close(store);
  qsort(f->late_ms, (size_t)f->count, sizeof *f->late_ms, bench_by_size);
}

void bench_schedules(const bench_place *place, int schedules, int period)
{
  firing f;
  measure(place, "spread", schedules, period, false, &f);
  bench_say("p50_ms", f.late_ms[f.count / 2]);
  bench_say("p99_ms", f.late_ms[f.count * 99 / 100]);
  bench_say("max_ms", f.late_ms[f.count - 1]);
  free(f.late_ms);
  measure(place, "burst", schedules, period, true, &f);
  bench_say("burst_p50_ms", f.late_ms[f.count / 2]);
  bench_say("burst_p99_ms", f.late_ms[f.count * 99 / 100]);
  bench_say("burst_max_ms", f.late_ms[f.count - 1]);
  bench_say("fired_s", f.count / ((f.last_told - f.first_due) / 1e3));
  free(f.late_ms);
}
