/* history.c - drops what the old generations of an execution left behind (again.c), so that a long life costs no more
 * than its newest generation.
 *
 * What goes: the records below the execution that were settled before its newest generation began, which the mark of
 * that tells by its place in the order of settlements; also those of the workflows it called, and the marks of the
 * generations between. What stays: a request to cancel; what is pending, and everything below an execution that is;
 * what somebody made from outside, or is waiting to be told of; what another execution asked for, since it will again
 * when it is replayed.
 *
 * In pieces of DA_HISTORY_MAX records, behind everything else of a batch, one piece of an execution at a time. Nothing
 * depends on it: a replay reads the newest generation alone, and what a death leaves is dropped by the next pass.
 *
 * Threads: walk() on the store thread, the rest on the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/id.h"
#include "../base/limits.h"
#include "far.h"

typedef struct da_history {
  da_worker *worker; /* a reference, by way of its op */
  char *id;
  char *after; /* the walk goes on behind this id; NULL: from the start */
  bool again;  /* a generation began meanwhile */
} da_history;

/* One piece. */
typedef struct piece {
  da_slice id;    /* of the execution */
  da_slice after; /* in and out */
  bool more;
  uint64_t seq; /* of the mark */
  da_view *view;
  da_arena *arena;
} piece;

/* ---- on the store thread ------------------------------------------------------------------------------- */

static bool is_separator(char c)
{
  return c == '.' || c == ':';
}

/* The execution that is not over and of whose history the promise is part, or the newest generation; else empty. */
static da_slice kept_above(const piece *p, da_slice generation, da_slice id)
{
  for (size_t i = p->id.len + 1; i < id.len; i++) {
    da_task task;
    if (!is_separator(id.ptr[i])) continue;
    da_slice above = da_slice_make(id.ptr, i);
    if (da_slice_eq(above, generation)) return above;
    if (p->view->ops->task(p->view, above, p->arena, &task) > 0 && task.state != DA_TASK_FULFILLED) return above;
  }
  return DA_NONE;
}

static bool is_to_be_told(const piece *p, da_slice id)
{
  da_message at = {.kind = DA_UNBLOCK, .id = id}, next;
  return p->view->ops->out_next(p->view, &at, p->arena, &next) > 0 && next.kind == DA_UNBLOCK &&
         da_slice_eq(next.id, id);
}

static bool may_go(const piece *p, const da_promise *promise)
{
  if (promise->state == DA_PENDING || promise->settle_seq >= p->seq) return false;
  if (promise->call.kind == DA_CALL_NONE || promise->call.awaited_elsewhere) return false;
  return !da_slice_eq(promise->id, da_cancel_id(p->arena, p->id)) && !is_to_be_told(p, promise->id);
}

/* Behind all that lies below `above`, if its key tells that; else behind `id`, which does. Ids of the runtime's making
 * have no second ':'; what has one comes behind all else below its `above`, so there the walk goes on one by one. */
static da_slice behind(const piece *p, da_slice above, da_slice id)
{
  if (da_id_rest(above).len >= DA_ID_REST_KEY_HEAD - 1 || id.ptr[above.len] != '.') return id;
  return da_arena_printf(p->arena, "%.*s%c", DA_FMT(above), '.' + 1);
}

/* A row that cannot be read ends the walk: it is told where it is needed. */
static da_status walk_piece(piece *p, da_store *store, da_slice generation, da_err *err)
{
  da_promise promise;
  size_t bytes = 0; /* of values, which are read with their records */
  for (int i = 0; i < DA_HISTORY_MAX && bytes < DA_BATCH_BYTES_MAX; i++) {
    int there = p->view->ops->below_next(p->view, p->id, p->after, p->arena, &promise);
    if (there <= 0 || !da_slice_eq(da_id_root(promise.id), da_id_root(p->id))) return DA_OK;
    bytes += promise.param.data.len + promise.value.data.len;
    da_slice above = kept_above(p, generation, promise.id);
    p->after = above.len != 0 ? behind(p, above, promise.id) : promise.id;
    if (above.len != 0 || !may_go(p, &promise)) continue;
    da_status status = da_store_drop(store, promise.id, err);
    if (status == DA_EFULL || status == DA_EIO || status == DA_ENOMEM) return status;
    if (status != DA_OK) return DA_OK;
  }
  p->more = true;
  return DA_OK;
}

static da_status walk(da_store *store, da_op *op, da_err *err)
{
  piece *p = op->call_argument;
  da_promise promise, mark;
  p->view = da_store_view(store);
  p->arena = &op->arena;
  if (p->view->ops->promise(p->view, p->id, p->arena, &promise) <= 0) return DA_OK;
  da_slice generation = da_again_id(p->arena, p->id, da_again_number(&promise));
  if (da_slice_eq(generation, p->id)) return DA_OK;
  if (p->view->ops->promise(p->view, generation, p->arena, &mark) <= 0) return DA_OK;
  p->seq = mark.settle_seq;
  return walk_piece(p, store, generation, err);
}

/* ---- on the loop thread -------------------------------------------------------------------------------- */

static void submit_piece(da_history *history);

static void free_history(da_history *history)
{
  free(history->id);
  free(history->after);
  free(history);
}

/* What was walked before a generation began is walked again for it. */
static bool go_on(da_history *history, const piece *p)
{
  free(history->after);
  history->after = p->more ? da_xstrndup(p->after) : NULL;
  if (p->more) return true;
  bool again = history->again;
  history->again = false;
  return again;
}

static void walked(da_op *op)
{
  da_history *history = op->user;
  da_worker *worker = history->worker;
  if (op->status == DA_OK && !worker->closing && go_on(history, op->call_argument)) {
    submit_piece(history);
  } else {
    (void)da_table_remove(&worker->histories, da_slice_of(history->id));
    free_history(history);
  }
  da_op_delete(op);
  da_worker_unref(worker);
}

static void submit_piece(da_history *history)
{
  da_op *op = da_op_new();
  piece *p = da_arena_zalloc(&op->arena, sizeof *p);
  p->id = da_arena_dup(&op->arena, da_slice_of(history->id));
  if (history->after != NULL) p->after = da_arena_dup(&op->arena, da_slice_of(history->after));
  op->call = walk;
  op->call_argument = p;
  op->background = true;
  op->user = history;
  op->done = walked;
  da_worker_ref(history->worker);
  da_sched_submit(history->worker->sched, op, false);
}

void da_history_drop(da_worker *worker, da_slice id)
{
  da_history *history = da_table_get(&worker->histories, id);
  if (worker->options.rehearse || da_is_far(worker)) return;
  if (history != NULL) {
    history->again = true;
    return;
  }
  history = da_xcalloc(1, sizeof *history);
  history->worker = worker;
  history->id = da_xstrndup(id);
  (void)da_table_put(&worker->histories, da_slice_of(history->id), history);
  submit_piece(history);
}

void da_history_free(da_worker *worker)
{
  DA_ASSERT_OP(worker->histories.count, ==, 0);
  da_table_free(&worker->histories);
}
