/* batch.c - the store thread: takes what is queued, applies it, flushes it once, hands it over.
 *
 * Here:     the batch rule (all that is queued, up to DA_BATCH_OPS_MAX ops or DA_BATCH_BYTES_MAX bytes; no minimum, and
 *           no waiting but begin_patience()'s: the next batch forms while this one is flushed) and the failure rule:
 *             full                    the transaction is dropped; the batch, and all that was queued by then, is
 *                                     answered DA_EFULL; nothing more is applied until the loop has told that
 *             a damaged row           the op that read it is answered DA_ECORRUPT or DA_EVERSION, the rest of the batch
 *                                     goes on without it; if the op had written before, all of it is applied anew
 *             any other failure       a log line and _exit(74), nobody is answered: a failed flush may have lost
 *                                     pages, so what the store holds is known again only after it was opened anew
 * May not:  call anything of an op but `call`, or tell anybody anything before the flush.
 * Threads:  the store thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "../engine/check.h"
#include "kill.h"
#include "pump.h"

enum {
  EXIT_STORE = 74,          /* EX_IOERR of sysexits.h */
  UNTOLD_MS = 1000,         /* the longest wait for a loop that has much to tell; it may be this thread it waits for */
  SKIP_MAX = 64,            /* batches between two tries to wait for a loop that was too busy: 1 % lost at most */
  PATIENCE_MAX_NS = 4000000 /* of a flush, so that one slow flush of a bad disk does not set the pace */
};

static _Noreturn void stop_process(const char *doing, da_status status, const da_err *err)
{
  da_log(DA_LOG_ERROR, "store.failed", "doing=%s status=%s exit=%d text=\"%s\"", doing, da_status_name(status),
         EXIT_STORE, err->text[0] != '\0' ? err->text : da_status_text(status));
  _exit(EXIT_STORE);
}

/* ---- taking -------------------------------------------------------------------------------------------- */

static void take_queue(da_sched *s)
{
  da_op_list_move(&s->fore, &s->queue.fore);
  da_op_list_move(&s->back, &s->queue.back);
}

/* Without it, whoever is answered by one batch misses the next, and the clients fall into two halves that wait for one
 * another's flush: with 16 clients and a flush of 0.25 ms that is half the ops per second. So the loop gets up to half
 * a flush to tell a batch before the next one is cut. A loop that cannot tell in that time is busy with work that had
 * better overlap the flush: it is not waited for, and the more often that is seen the longer it is not tried again. */
static void begin_patience(da_sched *s, const da_batch *batch)
{
  da_patience *p = &s->patience;
  s->queue.telling = false;
  if (s->queue.refusing || s->in_trial) return;
  if (batch->count == 1 && s->queue.count == 0) return; /* one client alone has nobody to fall in with */
  if (p->skip > 0) {
    p->skip--;
    return;
  }
  s->queue.telling = true;
  uint64_t until = da_clock_mono_ns() + p->flush_ns / 2;
  p->until = (struct timespec){.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
}

/* With queue.lock held: waits for ops, or for the loop to have told. */
static void wait_on_queue(da_sched *s)
{
  da_op_queue *queue = &s->queue;
  da_patience *p = &s->patience;
  bool patient = queue->telling;
  queue->idle = true;
  int fault = patient ? pthread_cond_timedwait(&queue->ready, &queue->lock, &p->until)
                      : pthread_cond_wait(&queue->ready, &queue->lock);
  queue->idle = false;
  if (!patient) return;
  if (!queue->telling) {
    p->skip_next = 1;
  } else if (fault == ETIMEDOUT) {
    queue->telling = false;
    p->skip = p->skip_next;
    if (p->skip_next < SKIP_MAX) p->skip_next *= 2;
  }
}

/* Waits until there is something to do. False: the queue is closed and empty. */
static bool wait_for_ops(da_sched *s)
{
  da_op_queue *queue = &s->queue;
  bool any = false;
  (void)pthread_mutex_lock(&queue->lock);
  for (;;) {
    if (!queue->refusing) take_queue(s);
    any = s->fore.first != NULL || s->back.first != NULL;
    if (any && (!queue->telling || queue->count >= DA_BATCH_OPS_MAX)) break;
    if (!any && queue->closed && !queue->refusing) break;
    wait_on_queue(s);
  }
  (void)pthread_mutex_unlock(&queue->lock);
  return any;
}

/* A few clients can ask for more than the memory holds, and the store reads faster than the loop writes: what the loop
 * has at hand is told before more is read. */
static void wait_for_telling(da_sched *s)
{
  da_op_queue *queue = &s->queue;
  if (atomic_load(&s->untold) < DA_UNTOLD_MAX) return;
  uint64_t until = da_clock_mono_ns() + UNTOLD_MS * UINT64_C(1000000);
  struct timespec at = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
  int fault = 0;
  (void)pthread_mutex_lock(&queue->lock);
  queue->idle = true;
  while (fault == 0 && !queue->closed && atomic_load(&s->untold) >= DA_UNTOLD_MAX)
    fault = pthread_cond_timedwait(&queue->ready, &queue->lock, &at);
  queue->idle = false;
  (void)pthread_mutex_unlock(&queue->lock);
}

static size_t cut_from(const da_sched *s, da_op_list *from, da_batch *batch, size_t bytes)
{
  size_t max = s->in_trial ? 1 : DA_BATCH_OPS_MAX;
  while (from->first != NULL && batch->count < max && bytes < DA_BATCH_BYTES_MAX) {
    da_op *op = da_op_list_pop(from);
    bytes += op->cost;
    batch->count++;
    da_op_list_add(&batch->ops, op);
  }
  return bytes;
}

/* Background ops come last, but one of them always comes: else a busy network would keep a sweep out for ever. */
static void cut_batch(da_sched *s, da_batch *batch)
{
  size_t bytes = cut_from(s, &s->fore, batch, 0);
  if (s->in_trial && batch->count > 0) return;
  da_op *op = da_op_list_pop(&s->back);
  if (op == NULL) return;
  bytes += op->cost;
  batch->count++;
  da_op_list_add(&batch->ops, op);
  (void)cut_from(s, &s->back, batch, bytes);
}

/* ---- applying ------------------------------------------------------------------------------------------ */

#ifdef DA_CHECK
static void broken(void *user, const char *property, da_slice id, const char *words)
{
  const da_request *request = user;
  da_log(DA_LOG_ERROR, "check.broken", "property=%s id=%.*s after=%s request_id=%.*s text=\"%s\"", property, DA_FMT(id),
         da_req_kind_name(request->kind), DA_FMT(request->id), words);
}

static void check_queue(da_sched *s, const da_request *request, da_slice name, int64_t now_ms)
{
  da_arena_reset(&s->scratch);
  int faults = da_check_queue(da_store_view(s->store), name, now_ms, &s->scratch, broken, (void *)(uintptr_t)request);
  DA_ASSERT_OP(faults, ==, 0);
}

static void check_touched(da_sched *s, const da_request *request, const da_outcome *out, int64_t now_ms)
{
  da_slice last = DA_NONE;
  for (size_t i = 0; i < out->write_count; i++) {
    const da_write *write = &out->writes[i];
    if (write->table == DA_TABLE_SCHEDULE) {
      da_arena_reset(&s->scratch);
      int wrong = da_check_schedule(da_store_view(s->store), write->row.schedule->id, now_ms, &s->scratch, broken,
                                    (void *)(uintptr_t)request);
      DA_ASSERT_OP(wrong, ==, 0);
    }
    if (write->table == DA_TABLE_QUEUE) check_queue(s, request, write->row.queue->name, now_ms);
    if (write->table != DA_TABLE_PROMISE && write->table != DA_TABLE_TASK) continue;
    da_slice id = write->table == DA_TABLE_PROMISE ? write->row.promise->id : write->row.task->id;
    if (da_slice_eq(id, last)) continue;
    last = id;
    da_arena_reset(&s->scratch);
    int faults = da_check_promise(da_store_view(s->store), &s->profile, id, now_ms, &s->scratch, broken,
                                  (void *)(uintptr_t)request);
    DA_ASSERT_OP(faults, ==, 0);
  }
}
#endif

static da_status write_out(da_sched *s, const da_outcome *out, bool *wrote, da_err *err)
{
  if (out->write_count > 0) *wrote = true;
  for (size_t i = 0; i < out->write_count; i++) {
    if (out->writes[i].table == DA_TABLE_DUE) s->dues_known = false;
    da_status status = da_store_write(s->store, &out->writes[i], err);
    if (status != DA_OK) return status;
  }
  return DA_OK;
}

/* *wrote: the transaction holds something of this op. */
static da_status apply_requests(da_sched *s, da_engine_env *env, da_op *op, bool *wrote, da_err *err)
{
  if (op->request_count == 0) return DA_OK;
  op->outcomes = da_arena_zalloc(&op->arena, op->request_count * sizeof *op->outcomes);
  for (size_t i = 0; i < op->request_count; i++) {
    const da_request *request = &op->requests[i];
    da_outcome *out = &op->outcomes[i];
    da_status status = da_engine_apply(env, da_store_view(s->store), request, &op->arena, out);
    if (status != DA_OK) {
      da_slice words = out->damage.len != 0 ? out->damage : da_slice_of(da_store_fault_words(s->store));
      return da_fail(err, status, "a read failed in %s of %.*s: %.*s", da_req_kind_name(request->kind),
                     DA_FMT(request->id), DA_FMT(words));
    }
    status = write_out(s, out, wrote, err);
    if (status != DA_OK) return status;
    if (out->reply.search != NULL) s->unfinished = true;
#ifdef DA_CHECK
    check_touched(s, request, out, atomic_load(&s->instants_given) ? DA_TIME_MAX : env->now_ms);
#endif
    if (op->stop_at_refusal && out->reply.status != 200 && out->reply.status != 300) break;
  }
  return DA_OK;
}

/* What is behind `last` comes first in the next batch. */
static void leave_rest(da_sched *s, da_batch *batch, da_op *last)
{
  da_op_list rest = {.first = last->next, .last = batch->ops.last};
  last->next = NULL;
  batch->ops.last = last;
  for (const da_op *op = rest.first; op != NULL; op = op->next) batch->count--;
  da_op_list_move(&rest, &s->fore);
  s->fore = rest;
}

/* What a call could not do is its own answer, but for failures that leave the transaction in doubt. */
static da_status apply_call(da_sched *s, da_op *op, da_err *err)
{
  op->status = op->call(s->store, op, &op->err);
  s->dues_known = s->dues_known && !da_store_dirty(s->store);
  if (op->status != DA_EFULL && op->status != DA_EIO && op->status != DA_ENOMEM) return DA_OK;
  *err = op->err;
  return op->status;
}

/* Does the failure concern this op alone? */
static bool is_own_damage(const da_op *op, da_status status)
{
  return op->call == NULL && (status == DA_ECORRUPT || status == DA_EVERSION);
}

/* Rows without a key are passed over by whoever looks for what is due; it is told when it is another one. */
static void tell_skipped(da_sched *s)
{
  const char *words = da_store_skipped(s->store);
  if (words == NULL || strcmp(words, s->skipped.text) == 0) return;
  (void)da_fail(&s->skipped, DA_ECORRUPT, "%s", words);
  da_log(DA_LOG_ERROR, "store.damaged", "text=\"%s\"", words);
}

/* What the engine calculates with. */
static int64_t instant_of(const da_op *op)
{
  if (op->now_ms < 0) return 0;
  return op->now_ms < DA_TIME_MAX ? op->now_ms : DA_TIME_MAX;
}

/* *again: an op that had written met a damaged row, so that all but it is to be applied anew. */
static da_status apply_batch(da_sched *s, da_batch *batch, bool *again, da_err *err)
{
  da_engine_env env = {.now_ms = batch->now_ms,
                       .next_seq = da_store_seq(s->store),
                       .profile = &s->profile,
                       .local_targets = s->local_targets,
                       .local_target_count = atomic_load(&s->paused) ? 0 : s->local_target_count,
                       .first_pinned_only = s->first_pinned_only};
  for (da_op *op = batch->ops.first; op != NULL; op = op->next) {
    if (op->refused) continue;
    uint64_t seq = env.next_seq;
    bool wrote = false;
    env.at = DA_NONE;
    env.now_ms = op->has_now ? instant_of(op) : batch->now_ms;
    if (op->has_now) atomic_store(&s->instants_given, true);
    da_status status = op->call != NULL ? apply_call(s, op, err) : apply_requests(s, &env, op, &wrote, err);
    if (is_own_damage(op, status)) {
      da_op_refuse(op, status, err->text);
      op->refused = true;
      op->damaged = env.at;
      env.next_seq = seq;
      *again = wrote;
      if (wrote) return DA_OK;
    } else if (status != DA_OK) {
      return status;
    }
    batch->bytes += da_arena_size(&op->arena);
    if (batch->bytes >= DA_BATCH_ANSWERS_MAX && op->next != NULL) leave_rest(s, batch, op);
  }
  return env.next_seq != da_store_seq(s->store) ? da_store_set_seq(s->store, env.next_seq, err) : DA_OK;
}

/* A search that has not come to its end yet goes on in a later batch, behind everything else; nobody is told before it
 * has. When the process ends it is refused. */
static void put_back_searches(da_sched *s, da_batch *batch, bool closed)
{
  da_op_list all = batch->ops;
  batch->ops = (da_op_list){0};
  s->unfinished = false;
  for (da_op *op; (op = da_op_list_pop(&all)) != NULL;) {
    da_search *search = op->outcomes != NULL && op->request_count == 1 ? op->outcomes[0].reply.search : NULL;
    if (search == NULL || closed) {
      if (search != NULL) da_op_refuse(op, DA_ECLOSED, da_status_text(DA_ECLOSED));
      da_op_list_add(&batch->ops, op);
      continue;
    }
    op->requests[0].search = search;
    op->outcomes = NULL;
    da_op_list_add(&s->back, op);
    batch->count--;
  }
}

/* ---- flushing ------------------------------------------------------------------------------------------ */

static const da_due_class swept[] = {DA_DUE_DEADLINE, DA_DUE_QUEUE, DA_DUE_RETRY, DA_DUE_LEASE, DA_DUE_SCHEDULE};

static da_status find_due(da_sched *s, da_batch *batch, da_err *err)
{
  if (s->dues_known) return DA_OK;
  da_view *view = da_store_view(s->store);
  batch->due_at = DA_TIME_MAX;
  da_arena_reset(&s->scratch);
  size_t count = sizeof swept / sizeof *swept - (s->fires ? 0 : 1);
  for (size_t i = 0; i < count; i++) {
    da_due first;
    da_due from = {.class_ = swept[i], .at = INT64_MIN, .id = DA_NONE};
    int found = view->ops->due_next(view, &from, &s->scratch, &first);
    if (found < 0)
      return da_fail(err, (da_status)found, "reading what falls due: %s", da_status_text((da_status)found));
    if (found > 0 && first.at < batch->due_at) batch->due_at = first.at;
  }
  batch->dues = true;
  s->dues_known = true;
  return DA_OK;
}

/* A moving average over some eight flushes. */
static void note_flush(da_patience *p, uint64_t flush_ns)
{
  if (flush_ns > PATIENCE_MAX_NS) flush_ns = PATIENCE_MAX_NS;
  p->flush_ns = p->flush_ns - p->flush_ns / 8 + flush_ns / 8;
}

static void note_commit(da_sched *s, uint64_t ns)
{
  note_flush(&s->patience, ns);
  (void)atomic_fetch_add_explicit(&s->commit_ns, ns, memory_order_relaxed);
  if (ns > atomic_load_explicit(&s->commit_ns_max, memory_order_relaxed))
    atomic_store_explicit(&s->commit_ns_max, ns, memory_order_relaxed);
}

static da_status commit(da_sched *s, da_batch *batch, da_err *err)
{
  batch->dirty = da_store_dirty(s->store);
  if (batch->dirty) da_kill_at(DA_KILL_COMMIT_BEFORE);
  uint64_t begin_ns = da_clock_mono_ns();
  da_status status = da_store_commit(s->store, err);
  if (status != DA_OK) return status;
  if (batch->dirty) note_commit(s, da_clock_mono_ns() - begin_ns);
  if (batch->dirty) da_kill_at(DA_KILL_COMMIT_AFTER);
  if (batch->dirty && s->full_said) da_log(DA_LOG_WARN, "store.writes_again", "ops=%zu", batch->count);
  if (batch->dirty) s->full_said = false;
  atomic_fetch_add_explicit(&s->ops, batch->count, memory_order_relaxed);
  atomic_fetch_add_explicit(batch->dirty ? &s->commits : &s->empty_commits, 1, memory_order_relaxed);
  return DA_OK;
}

/* Nothing of the batch happened. What was queued behind it goes the same way, and so does what comes in until the loop
 * has told all of it (da_sched_submit() and the loop's side, in sched.c). */
static void refuse_batch(da_sched *s, da_batch *batch, const da_err *err)
{
  const char *words = err->text[0] != '\0' ? err->text : da_status_text(DA_EFULL);
  if (!s->full_said) da_log(DA_LOG_ERROR, "store.full", "ops=%zu text=\"%s\"", batch->count, words);
  s->full_said = true;
  (void)pthread_mutex_lock(&s->queue.lock);
  s->queue.refusing = true;
  take_queue(s);
  (void)pthread_mutex_unlock(&s->queue.lock);
  da_op_list_move(&batch->ops, &s->fore);
  da_op_list_move(&batch->ops, &s->back);
  batch->count = 0;
  for (da_op *op = batch->ops.first; op != NULL; op = op->next) {
    op->refused = false;
    da_op_refuse(op, DA_EFULL, words);
    batch->count++;
  }
  batch->full = true;
  batch->dirty = false;
  batch->dues = false;
  s->dues_known = false;
}

static da_status fill_transaction(da_sched *s, da_batch *batch, const char **doing, da_err *err)
{
  for (bool again = true; again;) {
    again = false;
    batch->bytes = 0;
    *doing = "begin";
    da_status status = da_store_begin(s->store, err);
    if (status != DA_OK) return status;
    *doing = "apply";
    batch->now_ms = da_clock_now_ms();
    da_store_set_newest(s->store, batch->now_ms);
    status = apply_batch(s, batch, &again, err);
    if (status == DA_OK && !again) status = find_due(s, batch, err);
    tell_skipped(s);
    if (status == DA_EFULL || again) da_store_abort(s->store);
    if (status != DA_OK) return status;
  }
  return DA_OK;
}

static void run_batch(da_sched *s, da_batch *batch)
{
  da_err err = {{0}};
  const char *doing = "begin";
  da_status status = fill_transaction(s, batch, &doing, &err);
  bool writes = status == DA_OK && da_store_dirty(s->store);
  if (writes && da_trial_dies(s, s->commits, false)) {
    da_store_abort(s->store);
    da_trial_die(s);
    return;
  }
  if (status == DA_OK) {
    doing = "commit";
    status = commit(s, batch, &err);
  }
  if (status == DA_EFULL)
    refuse_batch(s, batch, &err);
  else if (status != DA_OK)
    stop_process(doing, status, &err);
  if (writes && da_trial_dies(s, s->commits, true)) da_trial_die(s);
}

static void signal_waiters(const da_batch *batch)
{
  for (da_op *op = batch->ops.first; op != NULL; op = op->next) da_waiter_signal(op);
}

void *da_batch_thread(void *sched)
{
  da_sched *s = sched;
  while (wait_for_ops(s)) {
    wait_for_telling(s);
    da_batch *batch = da_xcalloc(1, sizeof *batch);
    cut_batch(s, batch);
    if (!s->died) run_batch(s, batch);
    if (s->died) {
      da_trial_lose(s, batch);
      continue;
    }
    (void)pthread_mutex_lock(&s->queue.lock);
    if (s->unfinished) put_back_searches(s, batch, s->queue.closed);
    s->queue.count -= batch->count;
    bool empty = batch->count == 0 && !batch->dues && !batch->full;
    if (!empty) begin_patience(s, batch);
    (void)pthread_mutex_unlock(&s->queue.lock);
    signal_waiters(batch);
    if (empty)
      free(batch);
    else
      da_hand_batch(s, batch);
  }
  da_trial_hand_lost(s);
  da_hand_batch(s, NULL);
  da_arena_free(&s->scratch);
  return NULL;
}
