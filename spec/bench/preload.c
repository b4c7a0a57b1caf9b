/* preload.c - stores that hold millions: a real execution, and its rows written again under other ids.
 *
 * Through the store's own door, so that keys, numbers, dictionary and pages are what a worker would have left; only the
 * running of Lua and the flush per step are saved. `dahost verify` finds such a store whole (bench_spec.lua).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "../../host/base/limits.h"
#include "bench.h"

enum { RECORDS_EACH = 20, ROWS_PER_COMMIT = 100000 };

/* ---- the model ----------------------------------------------------------------------------------------- */

typedef struct model {
  da_arena arena;
  da_slice root;
  da_promise *promises; /* owned, as the next two; the root first */
  size_t promise_count;
  da_task task;
  da_wait *waits;
  size_t wait_count;
  uint64_t seq_first, seq_count; /* settlements */
} model;

static void add_promise(model *m, const da_promise *promise)
{
  m->promises = da_xrealloc(m->promises, (m->promise_count + 1) * sizeof *m->promises);
  m->promises[m->promise_count++] = *promise;
  if (promise->settle_seq == 0) return;
  if (m->seq_first == 0 || promise->settle_seq < m->seq_first) m->seq_first = promise->settle_seq;
}

static void add_waits(model *m, da_view *view, da_slice id)
{
  for (int kind = DA_WAIT_CALLBACK; kind <= DA_WAIT_RESUME; kind++) {
    da_wait wait = {.kind = (da_wait_kind)kind, .first = id, .second = DA_NONE};
    while (view->ops->wait_next(view, &wait, &m->arena, &wait) > 0) {
      m->waits = da_xrealloc(m->waits, (m->wait_count + 1) * sizeof *m->waits);
      m->waits[m->wait_count++] = wait;
    }
  }
}

static void read_model(model *m, da_view *view, const char *root)
{
  da_promise promise;
  da_slice after = DA_NONE;
  *m = (model){.root = da_slice_of(root)};
  if (view->ops->promise(view, m->root, &m->arena, &promise) <= 0) bench_die("%s is not in the store", root);
  add_promise(m, &promise);
  while (view->ops->below_next(view, m->root, after, &m->arena, &promise) > 0) {
    add_promise(m, &promise);
    after = promise.id;
  }
  if (view->ops->task(view, m->root, &m->arena, &m->task) <= 0) bench_die("%s has no task", root);
  for (size_t i = 0; i < m->promise_count; i++) {
    add_waits(m, view, m->promises[i].id);
    uint64_t seq = m->promises[i].settle_seq;
    if (seq != 0 && seq - m->seq_first + 1 > m->seq_count) m->seq_count = seq - m->seq_first + 1;
  }
}

static void free_model(model *m)
{
  free(m->promises);
  free(m->waits);
  da_arena_free(&m->arena);
}

/* ---- a copy -------------------------------------------------------------------------------------------- */

typedef struct copying {
  da_store *store;
  const model *model;
  da_arena arena; /* of one copy */
  da_slice root;
  int64_t later_ms;
  uint64_t seq; /* the next to give */
  int rows;     /* since the last commit */
} copying;

/* The same text with the copy's root where the model's is. */
static da_slice renamed(copying *c, da_slice text)
{
  da_slice old = c->model->root;
  if (!da_slice_starts(text, old) || (text.len > old.len && text.ptr[old.len] != ':')) return text;
  da_slice parts[2] = {c->root, da_slice_make(text.ptr + old.len, text.len - old.len)};
  return da_arena_join(&c->arena, parts, 2);
}

static void write_row(copying *c, const da_write *write)
{
  da_err err = {{0}};
  if (da_store_write(c->store, write, &err) != DA_OK) bench_die("%s", err.text);
  c->rows++;
}

static void copy_promise(copying *c, da_promise promise)
{
  da_pair *tags = da_arena_alloc(&c->arena, (promise.tags.count + 1) * sizeof *tags);
  for (size_t i = 0; i < promise.tags.count; i++)
    tags[i] = (da_pair){promise.tags.items[i].key, renamed(c, promise.tags.items[i].value)};
  promise.tags.items = tags;
  promise.id = renamed(c, promise.id);
  if (promise.timeout_at < DA_TIME_MAX) promise.timeout_at += c->later_ms;
  if (promise.settle_seq != 0) promise.settle_seq += c->seq - c->model->seq_first;
  write_row(c, &(da_write){.table = DA_TABLE_PROMISE, .row.promise = &promise});
  if (promise.armed && promise.state == DA_PENDING)
    write_row(c, &(da_write){.table = DA_TABLE_DUE, .row.due = {DA_DUE_DEADLINE, promise.timeout_at, promise.id}});
}

static void copy_task(copying *c, da_task task)
{
  if (task.timer_at != 0) bench_die("only executions at rest can be copied");
  task.id = renamed(c, task.id);
  write_row(c, &(da_write){.table = DA_TABLE_TASK, .row.task = &task});
}

static void copy_wait(copying *c, da_wait wait)
{
  wait.first = renamed(c, wait.first);
  wait.second = renamed(c, wait.second);
  write_row(c, &(da_write){.table = DA_TABLE_WAIT, .row.wait = wait});
}

static void begin(copying *c)
{
  da_err err = {{0}};
  if (da_store_begin(c->store, &err) != DA_OK) bench_die("%s", err.text);
  c->rows = 0;
}

static void commit(copying *c)
{
  da_err err = {{0}};
  if (da_store_set_seq(c->store, c->seq, &err) != DA_OK || da_store_commit(c->store, &err) != DA_OK)
    bench_die("%s", err.text);
}

void bench_copy_execution(da_store *store, const char *root, const char *prefix, int copies)
{
  model m;
  copying c = {.store = store, .model = &m};
  begin(&c);
  read_model(&m, da_store_view(store), root);
  c.seq = da_store_seq(store);
  for (int i = 1; i <= copies; i++) {
    da_arena_reset(&c.arena);
    c.root = da_arena_printf(&c.arena, "%s-%d", prefix, i);
    c.later_ms = i;
    for (size_t k = 0; k < m.promise_count; k++) copy_promise(&c, m.promises[k]);
    copy_task(&c, m.task);
    for (size_t k = 0; k < m.wait_count; k++) copy_wait(&c, m.waits[k]);
    c.seq += m.seq_count;
    if (c.rows < ROWS_PER_COMMIT) continue;
    commit(&c);
    begin(&c);
  }
  commit(&c);
  da_arena_free(&c.arena);
  free_model(&m);
}

/* ---- measures ------------------------------------------------------------------------------------------ */

/* One execution through Lua, then its copies; the store lies in a directory of that name. Bytes per copy. */
static double preload(const bench_place *place, const char *name, const char *func, int argument, da_event_kind until,
                      int copies)
{
  bench_host host;
  da_err err = {{0}};
  da_store *store;
  da_store_options options = {0};
  char root[64];
  bench_host_open(&host, place, name, 0);
  (void)bench_host_run(&host, name, func, argument, 1, 1, until);
  double bytes = bench_file_bytes(&host);
  bench_host_close(&host);
  if (da_store_open(bench_path(place, name), &options, &store, &err) != DA_OK) bench_die("%s", err.text);
  (void)snprintf(root, sizeof root, "%s-0", name);
  bench_copy_execution(store, root, name, copies);
  da_store_stats stats;
  if (da_store_begin(store, &err) != DA_OK || da_store_stat(store, &stats, &err) != DA_OK) bench_die("%s", err.text);
  da_store_abort(store);
  da_store_close(store);
  bench_say("records", (double)stats.promises);
  bench_say("file_bytes", (double)stats.file_bytes);
  return ((double)stats.file_bytes - bytes) / copies;
}

/* An execution and its steps are RECORDS_EACH records. */
void bench_retain(const bench_place *place, int records, int unused)
{
  (void)unused;
  int copies = records / RECORDS_EACH;
  double each = preload(place, "retained", "steps", RECORDS_EACH - 1, DA_EVENT_COMPLETED, copies > 0 ? copies : 1);
  bench_say("record_bytes", each / RECORDS_EACH);
}

void bench_sleepers(const bench_place *place, int executions, int unused)
{
  (void)unused;
  bench_say("sleeper_bytes", preload(place, "sleepers", "sleeper", -1, DA_EVENT_SUSPENDED, executions));
}

void bench_ready(const bench_place *place, int unused, int unused2)
{
  (void)unused;
  (void)unused2;
  bench_host host;
  bench_host_open(&host, place, "sleepers", SIZE_MAX);
  bench_say("ready_ms", 1e3 * host.ready_s);
  bench_host_close(&host);
  double resident;
  bench_say("program_ms", 1e3 * bench_launch(place, "sleepers", "one-more", &resident));
}
