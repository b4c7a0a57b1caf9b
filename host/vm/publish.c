/* publish.c - what an execution publishes: the last value of each key, shown to others while it runs.
 *
 * Published values are not part of the history: nothing reads them on a replay, they have no ordinal and no digest. So
 * nothing but order can make them wrong, and this file is about order.
 *
 * Publishing changes a table in memory. What changed is written by an op of its own before the next op that records
 * something, else when the program has nothing more to do for now; one such write at a time, the rest goes with the
 * next. A value that a replay publishes may be older than the one in the store. What was stored came no further than
 * the records did, so values are held back until every recorded completion was delivered and the program has run until
 * it waits, or made a call that no record knew: then the table is what the store holds, or newer. The first write after
 * an execution was loaded holds every key there is, so it takes away what other code before a migration, or the
 * generation before da.again, has left. Threads: the loop thread; write_values() on the store thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/limits.h"
#include "../base/log.h"
#include "far.h"

typedef struct published {
  char *key;    /* owned, as is value */
  char *value;  /* JSON; NULL: taken away */
  bool changed; /* since it was last sent */
} published;

struct da_live {
  published items[DA_LIVE_KEYS_MAX];
  size_t count;
  size_t changed;
  size_t sending; /* writes under way */
  bool sent;      /* since this execution was loaded */
};

void da_publish_free(da_execution *execution)
{
  struct da_live *live = execution->live;
  if (live == NULL) return;
  for (size_t i = 0; i < live->count; i++) {
    free(live->items[i].key);
    free(live->items[i].value);
  }
  free(live);
  execution->live = NULL;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

typedef struct value_write {
  da_slice key;
  da_slice value;
} value_write;

typedef struct values_write {
  da_slice id;
  int64_t version;
  bool whole; /* other keys go */
  size_t count;
  value_write items[];
} values_write;

/* Keys in the store that are not among those to be written. */
typedef struct stale_keys {
  const values_write *write;
  da_arena *arena;
  da_slice keys[DA_LIVE_KEYS_MAX];
  size_t count;
} stale_keys;

static void note_stale(void *user, da_slice key, da_slice value)
{
  stale_keys *stale = user;
  (void)value;
  for (size_t i = 0; i < stale->write->count; i++)
    if (da_slice_eq(stale->write->items[i].key, key)) return;
  if (stale->count < DA_LIVE_KEYS_MAX) stale->keys[stale->count++] = da_arena_dup(stale->arena, key);
}

static da_status remove_stale(da_store *store, const values_write *write, da_arena *arena, da_err *err)
{
  stale_keys stale = {.write = write, .arena = arena};
  da_status status = da_store_live_scan(store, write->id, note_stale, &stale, err);
  for (size_t i = 0; i < stale.count && status == DA_OK; i++)
    status = da_store_live_put(store, write->id, stale.keys[i], DA_NONE, err);
  return status;
}

/* Whoever lost the task meanwhile has nothing to say any more. */
static da_status write_values(da_store *store, da_op *op, da_err *err)
{
  const values_write *write = op->call_argument;
  da_view *view = da_store_view(store);
  da_task task;
  int found = view->ops->task(view, write->id, &op->arena, &task);
  if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
  if (found == 0 || task.state != DA_TASK_ACQUIRED || task.version != write->version) return DA_OK;
  if (write->whole) {
    da_status status = remove_stale(store, write, &op->arena, err);
    if (status != DA_OK) return status;
  }
  for (size_t i = 0; i < write->count; i++) {
    da_status status = da_store_live_put(store, write->id, write->items[i].key, write->items[i].value, err);
    if (status != DA_OK) return status;
  }
  return DA_OK;
}

static bool is_common_failure(da_status status)
{
  return status == DA_OK || status == DA_EFULL || status == DA_ECLOSED || status == DA_EQUEUE;
}

static void written(da_op *op)
{
  da_op_context context;
  if (!is_common_failure(op->status)) { /* what is shown is damaged: the execution need not stop for that */
    da_log(DA_LOG_WARN, "publish.failed", "text=\"%s\"", op->err.text);
    op->status = DA_OK;
  }
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  execution->live->sending--;
  da_op_delete(op);
  if (execution->state == DA_EXECUTION_RUNNING) da_publish_flush(execution);
  da_execution_unref(execution);
}

static void send(da_execution *execution)
{
  struct da_live *live = execution->live;
  da_op *op = da_op_new();
  values_write *write = da_arena_alloc(&op->arena, sizeof *write + live->changed * sizeof write->items[0]);
  *write = (values_write){
      .id = da_arena_dup(&op->arena, execution->id), .version = execution->version, .whole = !live->sent};
  for (size_t i = 0; i < live->count; i++) {
    published *item = &live->items[i];
    if (!item->changed) continue;
    item->changed = false;
    write->items[write->count++] =
        (value_write){.key = da_arena_dup(&op->arena, da_slice_of(item->key)),
                      .value = item->value != NULL ? da_arena_dup(&op->arena, da_slice_of(item->value)) : DA_NONE};
  }
  live->changed = 0;
  live->sending++;
  live->sent = true;
  op->call = write_values;
  op->call_argument = write;
  da_execution_submit(execution, op, NULL, written);
}

static bool all_met(const da_execution *execution)
{
  return execution->unreached == 0 && execution->recorded_left == 0;
}

void da_publish_before(da_execution *execution)
{
  const struct da_live *live = execution->live;
  if (live == NULL || live->changed == 0 || execution->worker->options.rehearse) return;
  if (execution->far != NULL) return; /* the protocol has no place for it */
  if (execution->catching_up && (execution->current == NULL || !all_met(execution))) return;
  send(execution);
}

/* Is the program past everything that was ever stored? At its end it is, whatever it left undelivered. */
static bool has_caught_up(const da_execution *execution)
{
  if (execution->finished) return true;
  return !execution->sliced && execution->holds == 0 && all_met(execution) &&
         execution->queue_head == execution->queue_count;
}

void da_publish_flush(da_execution *execution)
{
  const struct da_live *live = execution->live;
  if (execution->catching_up && has_caught_up(execution)) execution->catching_up = false;
  if (live == NULL || live->sending > 0 || execution->catching_up) return;
  da_publish_before(execution);
}

size_t da_publish_list(const da_execution *execution, da_slice *keys, da_slice *values)
{
  const struct da_live *live = execution->live;
  size_t count = live != NULL ? live->count : 0;
  for (size_t i = 0; i < count; i++) {
    keys[i] = da_slice_of(live->items[i].key);
    values[i] = live->items[i].value != NULL ? da_slice_of(live->items[i].value) : DA_NONE;
  }
  return count;
}

/* ---- publishing ---------------------------------------------------------------------------------------- */

static published *find(da_execution *execution, da_slice key)
{
  if (execution->live == NULL) execution->live = da_xcalloc(1, sizeof *execution->live);
  struct da_live *live = execution->live;
  for (size_t i = 0; i < live->count; i++)
    if (da_slice_eq(da_slice_of(live->items[i].key), key)) return &live->items[i];
  if (live->count == DA_LIVE_KEYS_MAX) return NULL;
  published *item = &live->items[live->count++];
  item->key = da_xstrndup(key);
  item->changed = true; /* the store may hold something */
  live->changed++;
  return item;
}

da_status da_execution_publish(da_execution *execution, da_slice key, da_slice value, da_err *err)
{
  if (value.len > DA_LIVE_VALUE_MAX)
    return da_fail(err, DA_ETOOBIG,
                   "the value of '%.*s' has %zu bytes as JSON, and may have %d: publish what people look at, and "
                   "return data from steps",
                   DA_FMT(key), value.len, DA_LIVE_VALUE_MAX);
  published *item = find(execution, key);
  if (item == NULL)
    return da_fail(err, DA_ETOOBIG,
                   "'%.*s' would be key %d of this execution, which may use %d: publish the same keys again, or one "
                   "table of small values",
                   DA_FMT(key), DA_LIVE_KEYS_MAX + 1, DA_LIVE_KEYS_MAX);
  bool same = item->value == NULL ? value.ptr == NULL : da_slice_eq(da_slice_of(item->value), value);
  if (same) return DA_OK;
  free(item->value);
  item->value = value.ptr != NULL ? da_xstrndup(value) : NULL;
  if (!item->changed) execution->live->changed++;
  item->changed = true;
  return DA_OK;
}
