/* sched.c - the loop's side of the pump: ops in, answers told in commit order, life of the whole.
 *
 * The loop has one wake-up (uv_async) for everything that comes from other threads: flushed batches, ops that were
 * never queued, posted calls, the wish to stop. It is sent when the hand goes from empty to full.
 *
 * Threads:  da_sched_submit(), _submit_wait(), _post(), _stop() from any; da_hand_batch() on the store thread; the rest
 *           on the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "sched.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "../base/clock.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "kill.h"
#include "pump.h"

/* ---- in ------------------------------------------------------------------------------------------------ */

/* DA_OK: queued; else why not. A waiting thread is not left to hang on the loop's telling of a full batch: it may be
 * the loop's own. */
static da_status enqueue(da_sched *s, da_op *op, bool bounded)
{
  da_status status = DA_OK;
  da_op_queue *queue = &s->queue;
  (void)pthread_mutex_lock(&queue->lock);
  if (queue->closed)
    status = DA_ECLOSED;
  else if (bounded && queue->count >= DA_QUEUE_OPS_MAX)
    status = DA_EQUEUE;
  if (status == DA_EQUEUE)
    queue->refused++;
  else if (op->waiter != NULL && queue->refusing)
    status = DA_EFULL;
  if (status == DA_OK && s->store != NULL) {
    da_op_list_add(op->background ? &queue->back : &queue->fore, op);
    queue->count++;
    if (queue->idle && !queue->telling) (void)pthread_cond_signal(&queue->ready);
  }
  (void)pthread_mutex_unlock(&queue->lock);
  return status;
}

/* Call with hand.lock held. */
static void wake_loop(da_sched *s)
{
  if (s->hand.woken) return;
  s->hand.woken = true;
  (void)pthread_cond_signal(&s->hand.ready);
  (void)uv_async_send(&s->wake);
}

static void hand_op(da_sched *s, da_op_list *list, da_op *op)
{
  (void)pthread_mutex_lock(&s->hand.lock);
  da_op_list_add(list, op);
  wake_loop(s);
  (void)pthread_mutex_unlock(&s->hand.lock);
}

void da_sched_submit(da_sched *s, da_op *op, bool bounded)
{
  op->status = DA_OK;
  op->cost = da_op_cost(op);
  (void)atomic_fetch_add_explicit(&s->not_told, 1, memory_order_relaxed);
  da_status status = enqueue(s, op, bounded);
  if (status != DA_OK) {
    da_op_refuse(op, status, da_status_text(status));
    hand_op(s, &s->hand.refused, op);
  } else if (s->store == NULL) {
    hand_op(s, &s->hand.given, op);
  }
}

void da_sched_submit_wait(da_sched *s, da_op *op)
{
  DA_ASSERT(op->done == NULL);
  da_waiter waiter = {.done = false};
  (void)pthread_mutex_init(&waiter.lock, NULL);
  (void)pthread_cond_init(&waiter.ready, NULL);
  op->status = DA_OK;
  op->cost = da_op_cost(op);
  op->waiter = &waiter;
  atomic_store(&op->shared, 1); /* the caller's and the loop's */
  (void)atomic_fetch_add_explicit(&s->not_told, 1, memory_order_relaxed);
  da_status status = enqueue(s, op, false);
  if (status == DA_OK && s->store == NULL) hand_op(s, &s->hand.given, op);
  if (status == DA_OK) {
    (void)pthread_mutex_lock(&waiter.lock);
    while (!waiter.done) (void)pthread_cond_wait(&waiter.ready, &waiter.lock);
    (void)pthread_mutex_unlock(&waiter.lock);
  } else {
    op->waiter = NULL;
    (void)atomic_fetch_sub_explicit(&s->not_told, 1, memory_order_relaxed);
    atomic_store(&op->shared, 0);
    da_op_refuse(op, status, da_status_text(status));
  }
  (void)pthread_cond_destroy(&waiter.ready);
  (void)pthread_mutex_destroy(&waiter.lock);
}

void da_sched_post(da_sched *s, void (*fn)(void *arg), void *arg)
{
  da_post *post = da_xmalloc(sizeof *post);
  *post = (da_post){.fn = fn, .arg = arg};
  (void)pthread_mutex_lock(&s->hand.lock);
  *s->hand.posts_end = post;
  s->hand.posts_end = &post->next;
  wake_loop(s);
  (void)pthread_mutex_unlock(&s->hand.lock);
}

/* NULL: it was the last one. */
void da_hand_batch(da_sched *s, da_batch *batch)
{
  (void)pthread_mutex_lock(&s->hand.lock);
  if (batch != NULL) {
    (void)atomic_fetch_add(&s->untold, batch->bytes);
    *s->hand.batches_end = batch;
    s->hand.batches_end = &batch->next;
  } else {
    s->hand.ended = true;
  }
  wake_loop(s);
  (void)pthread_mutex_unlock(&s->hand.lock);
}

/* ---- out ----------------------------------------------------------------------------------------------- */

static void tell_settled(da_sched *s, const da_op *op)
{
  if (s->events.settled == NULL) return;
  for (size_t i = 0; i < op->request_count; i++)
    for (size_t j = 0; j < op->outcomes[i].settled_count; j++)
      s->events.settled(s->events.user, op->outcomes[i].settled[j]);
}

/* A local unblock needs no telling: the settled event has told more. Messages for others lie in the outbox. */
static void tell_messages(da_sched *s, const da_op *op)
{
  for (size_t i = 0; i < op->request_count; i++) {
    const da_outcome *out = &op->outcomes[i];
    for (size_t j = 0; j < out->message_count; j++) {
      const da_message *message = &out->messages[j];
      if (!message->local) {
        if (op->requests[i].kind != DA_REQ_CLAIM) da_outbox_emitted(s, message);
      } else if (message->kind == DA_EXECUTE && s->events.execute != NULL) {
        da_kill_at(DA_KILL_OUTBOX_BEFORE);
        s->events.execute(s->events.user, message);
      }
    }
  }
}

static void tell_op(da_sched *s, da_op *op)
{
  if (op->outcomes != NULL) {
    tell_settled(s, op);
    tell_messages(s, op);
  }
  if (op->done != NULL)
    op->done(op);
  else
    da_op_delete(op);
  (void)atomic_fetch_sub_explicit(&s->not_told, 1, memory_order_relaxed);
}

static void tell_ops(da_sched *s, da_op_list *ops)
{
  for (da_op *op; (op = da_op_list_pop(ops)) != NULL;) tell_op(s, op);
}

void da_sched_answer(da_sched *s, da_op *op)
{
  if (op->waiter != NULL) da_waiter_signal(op);
  tell_op(s, op);
}

void da_sched_tell_settled(da_sched *s, const da_promise *promise)
{
  if (s->events.settled != NULL) s->events.settled(s->events.user, promise);
}

void da_sched_tell_execute(da_sched *s, const da_message *message)
{
  if (s->events.execute != NULL) s->events.execute(s->events.user, message);
}

/* The full batch is told. What was queued meanwhile is refused as well; from here on ops are applied again. */
static void end_refusing(da_sched *s)
{
  da_op_list left = {0};
  size_t count = 0;
  (void)pthread_mutex_lock(&s->queue.lock);
  da_op_list_move(&left, &s->queue.fore);
  da_op_list_move(&left, &s->queue.back);
  for (da_op *op = left.first; op != NULL; op = op->next) count++;
  s->queue.count -= count;
  s->queue.refusing = false;
  (void)pthread_cond_signal(&s->queue.ready);
  (void)pthread_mutex_unlock(&s->queue.lock);
  for (da_op *op = left.first; op != NULL; op = op->next) da_op_refuse(op, DA_EFULL, da_status_text(DA_EFULL));
  tell_ops(s, &left);
}

static void tell_batch(da_sched *s, da_batch *batch)
{
  s->told_now_ms = batch->now_ms;
  if (batch->dues) da_sweep_heard(s, batch->due_at);
  if (batch->dirty) da_kill_at(DA_KILL_ANSWER_BEFORE);
  tell_ops(s, &batch->ops);
  (void)atomic_fetch_sub(&s->untold, batch->bytes);
  if (batch->full) end_refusing(s);
  free(batch);
}

/* The store thread may wait with its next batch for those who were just answered. */
static void end_telling(da_sched *s)
{
  (void)pthread_mutex_lock(&s->queue.lock);
  s->queue.telling = false;
  if (s->queue.idle) (void)pthread_cond_signal(&s->queue.ready);
  (void)pthread_mutex_unlock(&s->queue.lock);
}

/* Takes everything at hand and tells it. What a callback adds comes with the next wake-up, so that the loop turns. */
static void tell_all(da_sched *s)
{
  da_hand *hand = &s->hand;
  (void)pthread_mutex_lock(&hand->lock);
  da_batch *batches = hand->batches;
  da_op_list refused = hand->refused;
  da_op_list given = hand->given;
  da_post *posts = hand->posts;
  hand->batches = NULL;
  hand->batches_end = &hand->batches;
  hand->refused = (da_op_list){0};
  hand->given = (da_op_list){0};
  hand->posts = NULL;
  hand->posts_end = &hand->posts;
  hand->woken = false;
  (void)pthread_mutex_unlock(&hand->lock);

  bool told = batches != NULL;
  while (batches != NULL) {
    da_batch *batch = batches;
    batches = batch->next;
    tell_batch(s, batch);
  }
  if (told) end_telling(s);
  tell_ops(s, &refused);
  for (da_op *op; (op = da_op_list_pop(&given)) != NULL;) s->backend.submit(s->backend.user, op);
  while (posts != NULL) {
    da_post *post = posts;
    posts = post->next;
    post->fn(post->arg);
    free(post);
  }
  da_outbox_turn(s);
}

static void on_wake(uv_async_t *wake)
{
  da_sched *s = wake->data;
  if (atomic_load(&s->stop_wanted))
    uv_stop(s->loop); /* what has come meanwhile is not told: whoever interrupts also interrupts what steps execute */
  else
    tell_all(s);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static char *copy(const char *text)
{
  return text != NULL ? da_xstrndup(da_slice_of(text)) : NULL;
}

static void free_all(da_sched *s)
{
  (void)pthread_mutex_destroy(&s->queue.lock);
  (void)pthread_cond_destroy(&s->queue.ready);
  (void)pthread_mutex_destroy(&s->hand.lock);
  (void)pthread_cond_destroy(&s->hand.ready);
  free(s->pid);
  free(s);
}

/* Signals are for the thread that runs the loop. */
static int start_thread(da_sched *s)
{
  sigset_t all;
  sigset_t before;
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  int fault = pthread_create(&s->thread, NULL, da_batch_thread, s);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (fault == 0) (void)pthread_setname_np(s->thread, "dahost-store");
  return fault;
}

static void report_open(uv_handle_t *handle, void *arg)
{
  size_t *open = arg;
  if (uv_is_closing(handle)) return;
  da_log(DA_LOG_ERROR, "sched.handle_open", "type=%s", uv_handle_type_name(handle->type));
  (*open)++;
}

static void handle_closed(uv_handle_t *handle)
{
  da_sched *s = handle->data;
  s->open_handles--;
}

/* A handle of another room would be left with a loop that is gone: its owner closes first. The log names its type. A
 * loop that is somebody else's is turned until it has let go of ours. */
static void close_loop(da_sched *s)
{
  bool own = s->loop == &s->own_loop;
  size_t open = 0;
  s->open_handles = s->wake.data != NULL ? 2 : 1;
  if (s->wake.data != NULL) uv_close((uv_handle_t *)&s->wake, handle_closed);
  uv_close((uv_handle_t *)&s->timers.uv, handle_closed);
  if (own) uv_walk(s->loop, report_open, &open);
  DA_ASSERT_OP(open, ==, 0);
  while (s->open_handles > 0) (void)uv_run(s->loop, own ? UV_RUN_DEFAULT : UV_RUN_NOWAIT);
  if (own) DA_ASSERT_OP(uv_loop_close(s->loop), ==, 0);
  da_timers_destroy(s);
}

da_status da_sched_new(const da_sched_options *options, da_sched **out, da_err *err)
{
  *out = NULL;
  da_sched *s = da_xcalloc(1, sizeof *s);
  s->store = options->store;
  if (options->backend != NULL) s->backend = *options->backend;
  DA_ASSERT((s->store == NULL) == (options->backend != NULL));
  if (s->store != NULL) da_clock_floor(da_store_newest(s->store)); /* no stamp of a record lies in the future */
  s->profile = options->profile;
  s->local_targets = options->local_targets;
  s->local_target_count = options->local_target_count;
  s->first_pinned_only = options->first_pinned_only;
  s->pid = copy(options->pid);
  s->in_trial = options->trial != NULL;
  if (s->in_trial) s->trial = *options->trial;
  s->fires = options->fires;
  s->hand.batches_end = &s->hand.batches;
  s->hand.posts_end = &s->hand.posts;
  s->sweep.due_at = DA_TIME_MAX;
  s->patience.skip_next = 1;
  (void)pthread_mutex_init(&s->queue.lock, NULL);
  (void)pthread_mutex_init(&s->hand.lock, NULL);
  (void)pthread_cond_init(&s->hand.ready, NULL);
  pthread_condattr_t monotonic;
  (void)pthread_condattr_init(&monotonic);
  (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  (void)pthread_cond_init(&s->queue.ready, &monotonic);
  (void)pthread_condattr_destroy(&monotonic);

  s->loop = options->loop != NULL ? options->loop : &s->own_loop;
  int fault = options->loop != NULL ? 0 : uv_loop_init(s->loop);
  if (fault != 0) {
    free_all(s);
    return da_fail(err, DA_EIO, "cannot make an event loop: %s", uv_strerror(fault));
  }
  da_timers_create(s);
  da_outbox_create(s);
  fault = uv_async_init(s->loop, &s->wake, on_wake);
  if (fault == 0) {
    s->wake.data = s;
    if (s->store != NULL) fault = -start_thread(s); /* libuv's codes are negative errnos */
    s->hand.ended = s->store == NULL;
  }
  if (fault != 0) {
    close_loop(s);
    free_all(s);
    return da_fail(err, DA_EIO, "cannot start the store thread: %s", uv_strerror(fault));
  }
  *out = s;
  return DA_OK;
}

void da_sched_set_events(da_sched *s, const da_sched_events *events)
{
  s->events = *events;
}

/* libuv writes to sockets without MSG_NOSIGNAL: on this thread a peer that went away must be an error, not a signal.
 * Ignoring SIGPIPE in the whole process would be passed on to the programs that scripts start. */
static void hold_sigpipe(sigset_t *before)
{
  sigset_t pipe;
  (void)sigemptyset(&pipe);
  (void)sigaddset(&pipe, SIGPIPE);
  (void)pthread_sigmask(SIG_BLOCK, &pipe, before);
}

static void release_sigpipe(const sigset_t *before)
{
  sigset_t pipe;
  (void)sigemptyset(&pipe);
  (void)sigaddset(&pipe, SIGPIPE);
  while (sigismember(before, SIGPIPE) == 0 && sigtimedwait(&pipe, NULL, &(struct timespec){0}) == SIGPIPE) continue;
  (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

void da_sched_begin(da_sched *s)
{
  da_sweep_start(s);
  (void)uv_async_send(&s->wake); /* for what was left when it was stopped */
}

void da_sched_turn(da_sched *s, bool wait)
{
  sigset_t before;
  hold_sigpipe(&before);
  (void)uv_run(s->loop, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
  release_sigpipe(&before);
}

void da_sched_run(da_sched *s)
{
  sigset_t before;
  hold_sigpipe(&before);
  da_sched_begin(s);
  while (!s->in_trial && !atomic_load(&s->stop_wanted)) (void)uv_run(s->loop, UV_RUN_DEFAULT);
  if (s->in_trial) da_trial_run(s);
  atomic_store(&s->stop_wanted, false);
  release_sigpipe(&before);
}

void da_sched_stop(da_sched *s)
{
  atomic_store(&s->stop_wanted, true);
  (void)uv_async_send(&s->wake); /* not through hand.lock: a signal handler takes no lock */
}

/* Tells until the store thread has ended and nothing is at hand. */
static void drain(da_sched *s)
{
  da_hand *hand = &s->hand;
  for (bool more = true; more;) {
    (void)pthread_mutex_lock(&hand->lock);
    while (!hand->woken && !hand->ended) (void)pthread_cond_wait(&hand->ready, &hand->lock);
    more = hand->woken || !hand->ended;
    (void)pthread_mutex_unlock(&hand->lock);
    if (more) tell_all(s);
  }
}

void da_sched_delete(da_sched *s)
{
  if (s == NULL) return;
  sigset_t before;
  hold_sigpipe(&before);
  s->closing = true;
  da_sweep_close(s);
  da_outbox_close(s);
  (void)pthread_mutex_lock(&s->queue.lock);
  s->queue.closed = true;
  (void)pthread_cond_signal(&s->queue.ready);
  (void)pthread_mutex_unlock(&s->queue.lock);
  drain(s);
  if (s->store != NULL) (void)pthread_join(s->thread, NULL);
  da_outbox_destroy(s);
  close_loop(s);
  free_all(s);
  release_sigpipe(&before);
}

static uint64_t read_count(const _Atomic uint64_t *count)
{
  return atomic_load_explicit(count, memory_order_relaxed);
}

da_sched_stats da_sched_get_stats(da_sched *s)
{
  da_sched_stats stats = {.ops = read_count(&s->ops),
                          .commits = read_count(&s->commits),
                          .empty_commits = read_count(&s->empty_commits),
                          .commit_ns = read_count(&s->commit_ns),
                          .commit_ns_max = read_count(&s->commit_ns_max),
                          .executes = s->outbox.taken[DA_EXECUTE],
                          .unblocks = s->outbox.taken[DA_UNBLOCK],
                          .dropped = s->outbox.dropped,
                          .messages_waiting = s->outbox.deliveries.count,
                          .fired = s->sweep.fired};
  (void)pthread_mutex_lock(&s->queue.lock);
  stats.queued = s->queue.count;
  stats.refused = s->queue.refused;
  (void)pthread_mutex_unlock(&s->queue.lock);
  return stats;
}

struct uv_loop_s *da_sched_loop(da_sched *s)
{
  return s->loop;
}
