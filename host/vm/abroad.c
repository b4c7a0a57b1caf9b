/* abroad.c - tasks of this worker's groups that workers of other processes take: those whose function no script here
 * defines, and those that prefer a worker which is connected.
 *
 * Only where such workers may be (da_worker_options.shared). An execution that is pinned to a bundle runs here, always;
 * of any other the record is looked at before its task is claimed, since a claim is a version, and two flushes:
 *
 *   defined here                        claimed; if it was begun elsewhere and a worker is connected: handed on
 *   not defined, a worker is connected  handed on to the transports
 *   not defined, none is, from the wire kept in memory until one comes; the retry timer of its task keeps it for good
 *   not defined, none is, called here   claimed; its code is waited for, or a worker (group.c)
 *   no call that this process can read  as if it were not defined; without a worker it is claimed, waited for as well
 *
 * Threads: the loop thread, but for read_call().
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/limits.h"
#include "../sched/transport.h"
#include "execution.h"

enum { WALK_MAX = 256 }; /* in one turn of the loop */

/* Nobody took it so far. */
typedef struct da_abroad da_abroad;
struct da_abroad {
  da_message message; /* its slices lie behind the struct */
  da_abroad *next, *prev;
};

/* ---- what is kept -------------------------------------------------------------------------------------- */

static void unlink_kept(da_worker *worker, da_abroad *kept)
{
  *(kept->prev != NULL ? &kept->prev->next : &worker->abroad_first) = kept->next;
  *(kept->next != NULL ? &kept->next->prev : &worker->abroad_last) = kept->prev;
}

static void link_last(da_worker *worker, da_abroad *kept)
{
  kept->next = NULL;
  kept->prev = worker->abroad_last;
  *(kept->prev != NULL ? &kept->prev->next : &worker->abroad_first) = kept;
  worker->abroad_last = kept;
}

static da_abroad *take_out(da_worker *worker, da_abroad *kept)
{
  (void)da_table_remove(&worker->abroad, kept->message.id);
  unlink_kept(worker, kept);
  return kept;
}

void da_abroad_settled(da_worker *worker, da_slice id)
{
  da_abroad *kept = worker->abroad.count > 0 ? da_table_get(&worker->abroad, id) : NULL;
  if (kept != NULL) free(take_out(worker, kept));
}

static void keep(da_worker *worker, const da_message *message)
{
  da_abroad_settled(worker, message->id);            /* an older version of it */
  if (worker->abroad.count >= DA_ABROAD_MAX) return; /* its retry timer brings it again */
  da_abroad *kept = da_xcalloc(1, sizeof *kept + message->id.len + message->address.len);
  char *bytes = (char *)(kept + 1);
  memcpy(bytes, message->id.ptr, message->id.len);
  memcpy(bytes + message->id.len, message->address.ptr, message->address.len);
  kept->message = *message;
  kept->message.id = da_slice_make(bytes, message->id.len);
  kept->message.address = da_slice_make(bytes + message->id.len, message->address.len);
  link_last(worker, kept);
  (void)da_table_put(&worker->abroad, kept->message.id, kept);
}

void da_abroad_free(da_worker *worker)
{
  while (worker->abroad_first != NULL) free(take_out(worker, worker->abroad_first));
  da_table_free(&worker->abroad);
  da_buf_free(&worker->abroad_prefix);
}

/* ---- a message ----------------------------------------------------------------------------------------- */

typedef struct look {
  da_worker *worker;
  da_message message;
  bool there; /* the promise is pending */
  bool pinned;
  bool called; /* in a program, not over the wire */
  bool timer;  /* nothing is to be run: it is claimed, and left to its deadline */
  bool readable;
  da_slice func;
  int64_t version;
} look;

/* On the store thread. */
static da_status read_call(da_store *store, da_op *op, da_err *err)
{
  look *l = op->call_argument;
  da_view *view = da_store_view(store);
  da_promise promise;
  int found = view->ops->promise(view, l->message.id, &op->arena, &promise);
  if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
  l->there = found > 0 && promise.state == DA_PENDING;
  if (!l->there) return DA_OK;
  l->pinned = promise.call.has_bundle;
  l->called = promise.call.kind != DA_CALL_NONE;
  l->timer = da_execution_is_timer(&promise);
  l->readable = da_group_read_call(&promise, &op->arena, &l->func, &l->version);
  return DA_OK;
}

static void hand_on(da_worker *worker, const look *l)
{
  if (da_sched_hand_on(worker->sched, &l->message) != DA_LATER) return;
  keep(worker, &l->message);
  if (!da_sched_reaches(worker->sched, l->message.address, false))
    da_group_tell_abroad(worker, l->message.id, l->message.address, l->func, l->version);
}

static void decide(da_worker *worker, const look *l)
{
  const da_group *group = da_worker_group(worker, l->message.address);
  int64_t version = l->version;
  bool defined = l->readable && group != NULL &&
                 (da_builtin_find(worker, group, l->func) || da_group_find(group, l->func, &version, NULL) != NULL);
  bool reached = da_sched_reaches(worker->sched, l->message.address, false);
  bool begun = l->message.version > 0;
  bool ends = l->called || !l->readable; /* as a slip in a name, or in words, if nobody else is there */
  bool here = l->pinned || l->timer || (defined ? !(begun && reached) : ends && !reached);
  if (here)
    da_execution_claim(da_execution_new(worker, l->message.id), l->message.version);
  else
    hand_on(worker, l);
}

static void looked(da_op *op)
{
  const look *l = op->call_argument;
  da_worker *worker = l->worker;
  if (worker->closing) {
    /* nobody is there any more */
  } else if (op->status != DA_OK) {
    da_execution_claim(da_execution_new(worker, l->message.id), l->message.version); /* which has words for that */
  } else if (l->there && da_table_get(&worker->executions, l->message.id) == NULL) {
    decide(worker, l);
  }
  da_op_delete(op);
  da_worker_unref(worker);
}

void da_abroad_consider(da_worker *worker, const da_message *message)
{
  da_message out = *message;
  out.local = false;
  da_abroad_settled(worker, message->id); /* this one is newer */
  if (da_sched_reaches(worker->sched, message->address, true)) {
    if (da_sched_hand_on(worker->sched, &out) == DA_LATER) keep(worker, &out);
    return;
  }
  da_op *op = da_op_new();
  look *l = da_arena_zalloc(&op->arena, sizeof *l);
  l->worker = worker;
  l->message = out;
  l->message.id = da_arena_dup(&op->arena, message->id);
  l->message.address = da_arena_dup(&op->arena, message->address);
  op->call = read_call;
  op->call_argument = l;
  op->done = looked;
  da_worker_ref(worker);
  da_sched_submit(worker->sched, op, false);
}

/* ---- somebody has come --------------------------------------------------------------------------------- */

static void walk_on(da_worker *worker);

/* False: those who ask for it have no more room. */
static bool offer_kept(da_worker *worker, da_abroad *kept, da_slice prefix)
{
  if (!da_slice_starts(kept->message.address, prefix)) return true;
  if (da_sched_hand_on(worker->sched, &kept->message) != DA_LATER) {
    free(take_out(worker, kept));
    return true;
  }
  return !da_slice_eq(kept->message.address, prefix);
}

/* What is kept is offered from its front, a piece in each turn; what nobody takes goes to its end. */
static void walk(void *arg)
{
  da_worker *worker = arg;
  bool room = true;
  worker->abroad_walks = false;
  for (size_t i = 0; i < WALK_MAX && worker->abroad_left > 0 && room && !worker->closing; i++) {
    da_abroad *kept = worker->abroad_first;
    if (kept == NULL) break;
    worker->abroad_left--;
    room = offer_kept(worker, kept, da_buf_slice(&worker->abroad_prefix));
    if (worker->abroad_first != kept) continue;
    unlink_kept(worker, kept);
    link_last(worker, kept);
  }
  if (!room) worker->abroad_left = 0;
  if (worker->abroad_left > 0 && worker->abroad_first != NULL && !worker->closing) walk_on(worker);
  da_worker_unref(worker);
}

static void walk_on(da_worker *worker)
{
  if (worker->abroad_walks) return;
  worker->abroad_walks = true;
  da_worker_ref(worker);
  da_sched_post(worker->sched, walk, worker);
}

bool da_abroad_give_back(da_execution *execution)
{
  da_worker *worker = execution->worker;
  if (!worker->options.shared || !da_sched_reaches(worker->sched, execution->target, false)) return false;
  da_start_give_back(worker, execution->id, execution->version); /* the message of that is considered anew */
  da_execution_drop(execution);
  return true;
}

/* Held for their code: a worker may have it. */
static void give_back_codeless(da_worker *worker, da_slice prefix)
{
  for (da_execution *execution = worker->codeless, *next; execution != NULL; execution = next) {
    next = execution->next_codeless;
    if (da_slice_starts(execution->target, prefix)) (void)da_abroad_give_back(execution);
  }
}

void da_abroad_offered(da_worker *worker, da_slice prefix)
{
  if (!worker->options.shared || worker->closing) return;
  give_back_codeless(worker, prefix);
  if (worker->abroad.count == 0) return;
  bool same = worker->abroad_left > 0 && da_slice_eq(da_buf_slice(&worker->abroad_prefix), prefix);
  if (worker->abroad_left > 0 && !same) prefix = DA_NONE; /* one walk serves all who ask for one */
  da_buf_clear(&worker->abroad_prefix);
  da_buf_add_slice(&worker->abroad_prefix, prefix);
  worker->abroad_left = worker->abroad.count;
  walk_on(worker);
}

void da_abroad_reconsider(da_worker *worker)
{
  while (worker->abroad_first != NULL) { /* each comes back by an op, if it does */
    da_abroad *kept = take_out(worker, worker->abroad_first);
    da_abroad_consider(worker, &kept->message);
    free(kept);
  }
}
