/* snapshot.c - all there is at once, and the end of all there is: for tests that look at a whole store.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "rows.h"

/* ---- lists --------------------------------------------------------------------------------------------- */

typedef struct list {
  da_arena *arena;
  void *rows;
  size_t size; /* of one */
  size_t count;
  size_t cap;
} list;

static void *add(list *l)
{
  if (l->count == l->cap) {
    l->cap = l->cap != 0 ? 2 * l->cap : 64;
    void *rows = da_arena_alloc(l->arena, l->cap * l->size);
    if (l->count != 0) memcpy(rows, l->rows, l->count * l->size);
    l->rows = rows;
  }
  return (char *)l->rows + l->size * l->count++;
}

static void sort(const list *l, int (*compare)(const void *, const void *))
{
  if (l->count > 1) qsort(l->rows, l->count, l->size, compare);
}

static int by_due_id(const void *a, const void *b)
{
  return da_slice_cmp(((const da_due *)a)->id, ((const da_due *)b)->id);
}

static int by_wait(const void *a, const void *b)
{
  const da_wait *x = a;
  const da_wait *y = b;
  int first = da_slice_cmp(x->first, y->first);
  return first != 0 ? first : da_slice_cmp(x->second, y->second);
}

static int by_message(const void *a, const void *b)
{
  const da_message *x = a;
  const da_message *y = b;
  if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
  int id = da_slice_cmp(x->id, y->id);
  return id != 0 ? id : da_slice_cmp(x->address, y->address);
}

/* ---- a snapshot ---------------------------------------------------------------------------------------- */

static bool add_promise(void *user, const da_promise *promise)
{
  *(da_promise *)add(user) = *promise;
  return true;
}

static int add_waits(da_view *view, list *l, da_wait_kind kind, da_slice id)
{
  int there;
  da_wait at = {.kind = kind, .first = id};
  while ((there = view->ops->wait_next(view, &at, l->arena, &at)) > 0) *(da_wait *)add(l) = at;
  return there;
}

static int add_dues(da_view *view, list *l, da_due_class class_)
{
  int there;
  da_due at = {.class_ = class_};
  while ((there = view->ops->due_next(view, &at, l->arena, &at)) > 0) *(da_due *)add(l) = at;
  return there;
}

static int add_messages(da_view *view, list *l)
{
  int there;
  da_message at = {.kind = DA_EXECUTE};
  while ((there = view->ops->out_next(view, &at, l->arena, &at)) > 0) *(da_message *)add(l) = at;
  sort(l, by_message);
  return there;
}

static int by_id(const void *id, const void *promise)
{
  return da_slice_cmp(*(const da_slice *)id, ((const da_promise *)promise)->id);
}

static void find_promises(const list *messages, const list *promises, da_snapshot *out)
{
  const da_promise **found = da_arena_zalloc(messages->arena, (messages->count + 1) * sizeof *found);
  const da_message *all = messages->rows;
  for (size_t i = 0; i < messages->count && promises->count > 0; i++)
    if (all[i].kind == DA_UNBLOCK)
      found[i] = bsearch(&all[i].id, promises->rows, promises->count, promises->size, by_id);
  out->message_promises = found;
}

static int add_schedules(da_view *view, list *l)
{
  int there;
  da_schedule at = {0};
  while ((there = view->ops->schedule_next(view, at.id, l->arena, &at)) > 0) *(da_schedule *)add(l) = at;
  return there;
}

da_status da_store_snapshot(da_store *store, da_arena *arena, da_snapshot *out, da_err *err)
{
  da_view *view = &store->view;
  list promises = {.arena = arena, .size = sizeof(da_promise)}, tasks = {.arena = arena, .size = sizeof(da_task)};
  list deadlines = {.arena = arena, .size = sizeof(da_due)}, timers = {.arena = arena, .size = sizeof(da_due)};
  list callbacks = {.arena = arena, .size = sizeof(da_wait)}, listeners = {.arena = arena, .size = sizeof(da_wait)};
  list messages = {.arena = arena, .size = sizeof(da_message)};
  list schedules = {.arena = arena, .size = sizeof(da_schedule)};
  da_status status = da_store_scan_ids(store, DA_NONE, DA_NONE, arena, add_promise, &promises, err);
  if (status != DA_OK) return status;
  int there = 0;
  for (size_t i = 0; i < promises.count && there >= 0; i++) {
    da_task task;
    da_slice id = ((const da_promise *)promises.rows)[i].id;
    there = view->ops->task(view, id, arena, &task);
    if (there > 0) *(da_task *)add(&tasks) = task;
    if (there >= 0) there = add_waits(view, &callbacks, DA_WAIT_CALLBACK, id);
    if (there >= 0) there = add_waits(view, &listeners, DA_WAIT_LISTENER, id);
  }
  if (there >= 0) there = add_dues(view, &deadlines, DA_DUE_DEADLINE);
  if (there >= 0) there = add_dues(view, &timers, DA_DUE_RETRY);
  if (there >= 0) there = add_dues(view, &timers, DA_DUE_LEASE);
  if (there >= 0) there = add_messages(view, &messages);
  if (there >= 0) there = add_schedules(view, &schedules);
  if (there < 0) return da_store_words_to(store, there, err);
  sort(&deadlines, by_due_id);
  sort(&timers, by_due_id);
  sort(&callbacks, by_wait);
  sort(&listeners, by_wait);
  *out = (da_snapshot){.promises = promises.rows,
                       .promise_count = promises.count,
                       .tasks = tasks.rows,
                       .task_count = tasks.count,
                       .deadlines = deadlines.rows,
                       .deadline_count = deadlines.count,
                       .timers = timers.rows,
                       .timer_count = timers.count,
                       .callbacks = callbacks.rows,
                       .callback_count = callbacks.count,
                       .listeners = listeners.rows,
                       .listener_count = listeners.count,
                       .messages = messages.rows,
                       .message_count = messages.count,
                       .schedules = schedules.rows,
                       .schedule_count = schedules.count};
  find_promises(&messages, &promises, out);
  return DA_OK;
}

/* ---- the end of it ------------------------------------------------------------------------------------- */

/* Every row from `from` on. */
static int clear(da_store *store, da_kv_table table, da_slice from)
{
  for (;;) {
    da_slice key;
    da_slice value;
    int there = da_rows_seek(store, table, from, &key, &value);
    if (there <= 0) return there;
    da_key own = {0};
    da_key_add(&own, key.ptr, key.len);
    there = da_rows_del(store, table, da_key_slice(&own));
    if (there < 0) return there;
  }
}

da_status da_store_reset(da_store *store, da_err *err)
{
  static const da_kv_table tables[] = {DA_KV_IDS,   DA_KV_ROOT,     DA_KV_PROM,  DA_KV_TASK,  DA_KV_DUE,
                                       DA_KV_TIMER, DA_KV_CALLBACK, DA_KV_AWAIT, DA_KV_WAIT,  DA_KV_OUT,
                                       DA_KV_SCHED, DA_KV_LIVE,     DA_KV_QUEUE, DA_KV_IMAGE, DA_KV_GC};
  DA_ASSERT(store->open);
  if (store->read_only) return da_fail(err, DA_EACCES, "%s is open for reading only", store->path);
  int status = 0;
  for (size_t i = 0; i < sizeof tables / sizeof *tables && status >= 0; i++)
    status = clear(store, tables[i], DA_LIT("\0"));
  if (status >= 0) status = clear(store, DA_KV_BLOB, DA_LIT("\x01")); /* those before it are pieces of bundles */
  if (status < 0) return da_store_words_to(store, status, err);
  da_roots_forget(store->roots);
  store->counters.anchors = 0;
  store->dirty = true;
  return DA_OK;
}
