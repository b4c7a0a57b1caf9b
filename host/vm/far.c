/* far.c - executions whose promises lie on a server elsewhere: claiming, asking, leaving, ending.
 *
 * The worker is the same; what is other: the sched's ops go to a server (sched.h, da_backend), so an op may take long,
 * be refused because somebody else holds the task, or be lost; and what the store of this process would tell must be
 * asked for:
 *
 *   records     come with the claim (its preload). If the server does not say that they are all there are, a replay
 * asks before it runs a step that has none among them: it creates the step's promise and looks at what it gets, until
 * it gets one that was not there. None of the program's code runs meanwhile. settlements are listened for, one by one
 * (da_far.listen); a suspension finds what was missed. order       far_order.c, far_record.c code        is not stored
 * there: an execution runs from the newest code that defines its function, and its records say from which it ran. If it
 * cannot go on from other code it is left, not parked: a worker with the code it began with may have it. The same with
 * a function that nobody here defines.
 *
 * Left means released after a while that doubles with each time, since a server gives a released task out at once.
 *
 * Bounds: at most running_max executions run, and as many of a function as its limit says; executes beyond that wait in
 * a queue, and when that is full no more are read, so the server sees it and asks others.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "far.h"

#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "lib.h"

enum {
  LEAVE_MS = 500, /* before a task is given back for the first time */
  LEAVE_MAX_MS = 30000,
  QUEUE_MAX = 256 /* executes that wait for room */
};

/* ---- listening ----------------------------------------------------------------------------------------- */

/* Behind the ops that were submitted before: posts and ops come to the loop in that order. */
typedef struct wish {
  da_worker *worker; /* a reference */
  bool listen;
  da_slice subject, id; /* behind the struct */
} wish;

static void tell_wish(void *arg)
{
  wish *w = arg;
  const da_far *far = w->worker->options.far;
  if (!w->worker->closing && w->listen)
    far->listen(far->user, w->subject, w->id);
  else if (!w->worker->closing)
    far->unlisten(far->user, w->id);
  da_worker_unref(w->worker);
  free(w);
}

static void post_wish(da_worker *worker, bool listen, da_slice subject, da_slice id)
{
  wish *w = da_xmalloc(sizeof *w + subject.len + id.len);
  char *bytes = (char *)(w + 1);
  if (subject.len > 0) memcpy(bytes, subject.ptr, subject.len);
  memcpy(bytes + subject.len, id.ptr, id.len);
  *w = (wish){worker, listen, da_slice_make(bytes, subject.len), da_slice_make(bytes + subject.len, id.len)};
  da_worker_ref(worker);
  da_sched_post(worker->sched, tell_wish, w);
}

void da_far_listen(da_worker *worker, da_slice subject, da_slice id)
{
  if (da_is_far(worker)) post_wish(worker, true, subject, id);
}

void da_far_unlisten(da_worker *worker, da_slice id)
{
  if (da_is_far(worker) && !worker->closing) post_wish(worker, false, DA_NONE, id);
}

/* ---- executes, and room for them ----------------------------------------------------------------------- */

/* An execute that waits for room. */
typedef struct da_far_wait {
  char *id;
  int64_t version;
  char *func; /* NULL: not known yet, or nobody limits functions */
  bool asked; /* ... it is being asked for */
  struct da_far_wait *next;
} da_far_wait;

static void free_wait(da_far_wait *wait)
{
  free(wait->id);
  free(wait->func);
  free(wait);
}

static size_t running(const da_worker *worker)
{
  return worker->stats.executions - worker->stats.warm;
}

static bool has_room(const da_worker *worker)
{
  return worker->options.running_max == 0 || running(worker) < worker->options.running_max;
}

static const da_limit *limit_of(const da_worker *worker, da_slice func)
{
  for (size_t i = 0; i < worker->options.limit_count; i++)
    if (da_slice_eq(worker->options.limits[i].func, func)) return &worker->options.limits[i];
  return NULL;
}

static bool is_limited(const da_worker *worker, da_slice func)
{
  const da_limit *limit = limit_of(worker, func);
  size_t count = 0;
  void *value;
  for (size_t i = 0; limit != NULL && da_table_next(&worker->executions, &i, &value);) {
    const da_execution *execution = value;
    if (execution->state != DA_EXECUTION_SUSPENDED && da_slice_eq(execution->func, func)) count++;
  }
  return limit != NULL && count >= limit->running;
}

static void look_at_pause(da_worker *worker)
{
  const da_far *far = worker->options.far;
  bool full = worker->far_wait_count >= (worker->far_paused ? QUEUE_MAX / 2 : QUEUE_MAX);
  if (full == worker->far_paused) return;
  worker->far_paused = full;
  far->pause(far->user, full);
}

static void take_waiting(da_worker *worker)
{
  da_far_wait **at = &worker->far_waits;
  while (*at != NULL && has_room(worker) && !worker->closing && !worker->draining) {
    da_far_wait *wait = *at;
    if (wait->asked || (wait->func != NULL && is_limited(worker, da_slice_of(wait->func)))) {
      at = &wait->next;
      continue;
    }
    *at = wait->next;
    worker->far_wait_count--;
    if (da_table_get(&worker->executions, da_slice_of(wait->id)) == NULL) {
      da_execution *execution = da_execution_new(worker, da_slice_of(wait->id));
      if (wait->func != NULL) execution->func = da_arena_dup(&execution->arena, da_slice_of(wait->func));
      da_execution_claim(execution, wait->version);
    }
    free_wait(wait);
    at = &worker->far_waits; /* what was claimed may have changed what there is room for */
  }
  look_at_pause(worker);
}

static void take_posted(void *arg)
{
  da_worker *worker = arg;
  worker->far_taking = false;
  take_waiting(worker);
  da_worker_unref(worker);
}

void da_far_freed(da_worker *worker)
{
  if (!da_is_far(worker)) return;
  da_far_drained(worker);
  if (worker->far_waits == NULL || worker->far_taking || worker->closing) return;
  worker->far_taking = true;
  da_worker_ref(worker);
  da_sched_post(worker->sched, take_posted, worker);
}

static da_far_wait *find_wait(const da_worker *worker, da_slice id)
{
  da_far_wait *wait = worker->far_waits;
  while (wait != NULL && !da_slice_eq(da_slice_of(wait->id), id)) wait = wait->next;
  return wait;
}

/* What does the promise call? Asked only where functions have limits: a claim would take the task from others. */
static void function_known(da_op *op)
{
  da_worker *worker = op->user;
  const da_reply *reply = op->status == DA_OK ? &op->outcomes[0].reply : NULL;
  da_far_wait *wait = find_wait(worker, op->requests[0].id);
  da_slice func;
  int64_t version;
  if (wait != NULL) {
    wait->asked = false;
    if (reply != NULL && reply->status == 200 && da_group_read_call(reply->promise, &op->arena, &func, &version))
      wait->func = da_xstrndup(func);
    take_waiting(worker);
  }
  da_op_delete(op);
  da_worker_unref(worker);
}

static void ask_function(da_worker *worker, da_far_wait *wait)
{
  da_op *op = da_op_new();
  da_op_request(op, DA_REQ_PROMISE_GET)->id = da_arena_dup(&op->arena, da_slice_of(wait->id));
  op->user = worker;
  op->done = function_known;
  wait->asked = true;
  da_worker_ref(worker);
  da_sched_submit(worker->sched, op, false);
}

void da_far_execute(da_worker *worker, const da_message *message)
{
  if (worker->draining) return; /* it comes again, to others */
  da_far_wait *known = find_wait(worker, message->id);
  if (known != NULL) {
    known->version = message->version;
    return;
  }
  if (worker->options.limit_count == 0 && worker->far_waits == NULL && has_room(worker)) {
    da_execution_claim(da_execution_new(worker, message->id), message->version);
    return;
  }
  da_far_wait *wait = da_xcalloc(1, sizeof *wait);
  wait->id = da_xstrndup(message->id);
  wait->version = message->version;
  da_far_wait **end = &worker->far_waits;
  while (*end != NULL) end = &(*end)->next;
  *end = wait;
  worker->far_wait_count++;
  if (worker->options.limit_count > 0) ask_function(worker, wait);
  take_waiting(worker);
}

static void drop_waits(da_worker *worker)
{
  while (worker->far_waits != NULL) {
    da_far_wait *wait = worker->far_waits;
    worker->far_waits = wait->next;
    free_wait(wait);
  }
  worker->far_wait_count = 0;
}

/* ---- asking -------------------------------------------------------------------------------------------- */

void da_far_claimed(da_execution *execution, const da_reply *reply)
{
  const da_far *far = execution->worker->options.far;
  execution->far->arms = reply->preload_whole;
  execution->far->asking = execution->version > 1 && !reply->preload_whole;
  far->watch(far->user, execution->id, da_cancel_id(&execution->arena, execution->id));
}

static void woken(da_op *op)
{
  da_worker *worker = op->user;
  const da_reply *reply = op->status == DA_OK ? &op->outcomes[0].reply : NULL;
  if (reply != NULL && reply->status == 200 && reply->task != NULL && reply->task->state == DA_TASK_SUSPENDED) {
    da_op *again = da_op_new();
    da_slice id = da_arena_dup(&again->arena, op->requests[0].id);
    da_op_request(again, DA_REQ_TASK_HALT)->id = id;
    da_op_request(again, DA_REQ_TASK_CONTINUE)->id = id;
    again->subject = id;
    da_sched_submit(worker->sched, again, false);
  }
  da_op_delete(op);
  da_worker_unref(worker);
}

/* A server that dispatches a task when it is registered for what has been settled has done so by now. Of others a task
 * that is continued is dispatched. */
void da_far_wake(da_worker *worker, da_slice id)
{
  da_op *op = da_op_new();
  op->subject = da_arena_dup(&op->arena, id);
  da_op_request(op, DA_REQ_TASK_GET)->id = op->subject;
  op->user = worker;
  op->done = woken;
  da_worker_ref(worker);
  da_sched_submit(worker->sched, op, false);
}

/* What a claim waits for. Generations are never dropped on a server, so the newest is found between one that is there
 * and one that is not. */
typedef struct da_far_sought {
  da_op *claim;
  da_op *cancel, *mark;    /* whose answers hold these; NULL: not there */
  uint32_t there, missing; /* generations; 0: none is known to be missing */
} da_far_sought;

void da_far_free_look(da_far_sought *look)
{
  if (look == NULL) return;
  if (look->claim != NULL) da_op_delete(look->claim);
  if (look->cancel != NULL) da_op_delete(look->cancel);
  if (look->mark != NULL && look->mark != look->cancel) da_op_delete(look->mark);
  free(look);
}

static void ask_generation(da_execution *execution, bool cancel);

static size_t add_found(da_promise *records, size_t count, const da_promise *found)
{
  for (size_t i = 0; i < count; i++)
    if (da_slice_eq(records[i].id, found->id)) return count;
  records[count] = *found;
  return count + 1;
}

/* The records of the claim with what was found; the answers that hold it are kept beside. */
static void looked(da_execution *execution)
{
  da_far_sought *look = execution->far->look;
  da_op *claim = look->claim;
  da_reply *reply = &claim->outcomes[0].reply;
  da_promise *records = da_arena_alloc(&claim->arena, (reply->preload_count + 2) * sizeof *records);
  size_t count = reply->preload_count;
  if (count > 0) memcpy(records, reply->preload, count * sizeof *records);
  if (look->cancel != NULL) count = add_found(records, count, look->cancel->outcomes[1].reply.promise);
  if (look->mark != NULL) count = add_found(records, count, look->mark->outcomes[0].reply.promise);
  reply->preload = records;
  reply->preload_count = count;
  look->claim = NULL;
  da_execution_load_claim(execution, claim);
}

static void generation_known(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  da_far_sought *look = execution->far->look;
  uint32_t asked = look->missing == 0 ? look->there * 2 : look->there + (look->missing - look->there) / 2;
  bool found = op->outcomes[0].reply.status == 200;
  bool cancel = op->request_count > 1 && op->outcomes[1].reply.status == 200;
  if (found && look->mark != NULL && look->mark != look->cancel) da_op_delete(look->mark);
  *(found ? &look->there : &look->missing) = asked;
  if (found) look->mark = op;
  if (cancel) look->cancel = op;
  if (!found && !cancel) da_op_delete(op);
  if (look->missing != look->there + 1 && look->there < 1u << 30)
    ask_generation(execution, false);
  else
    looked(execution);
  da_execution_unref(execution);
}

static void ask_generation(da_execution *execution, bool cancel)
{
  const da_far_sought *look = execution->far->look;
  uint32_t asked = look->missing == 0 ? look->there * 2 : look->there + (look->missing - look->there) / 2;
  da_op *op = da_op_new();
  da_op_request(op, DA_REQ_PROMISE_GET)->id = da_again_id(&op->arena, execution->id, asked);
  if (cancel) da_op_request(op, DA_REQ_PROMISE_GET)->id = da_cancel_id(&op->arena, execution->id);
  da_execution_submit(execution, op, NULL, generation_known);
}

bool da_far_look(da_execution *execution, da_op *claim)
{
  if (!execution->far->asking) return false;
  da_far_sought *look = da_xcalloc(1, sizeof *look);
  look->claim = claim;
  (void)da_far_mark(execution, &claim->outcomes[0].reply);
  look->there = execution->generation;
  da_far_free_look(execution->far->look);
  execution->far->look = look;
  ask_generation(execution, true);
  return true;
}

/* None of its code runs from its next instruction on. */
static void question(da_execution *execution)
{
  execution->far->questions++;
  if (execution->current != NULL) da_watch_give_way(da_isolate_running(execution->isolate));
}

static bool is_same_call(const da_call *held, const da_call *wanted)
{
  return held->kind == DA_CALL_NONE || (held->kind == wanted->kind && da_slice_eq(held->func, wanted->func) &&
                                        da_digest_eq(&held->args, &wanted->args));
}

static bool diverges(da_execution *execution, const da_child *child, const da_promise *promise)
{
  da_arena arena = {0};
  da_call held = da_far_call_of(promise, &arena);
  bool same = is_same_call(&held, &child->call);
  if (!same)
    da_execution_park(execution, "nondeterminism",
                      "replay of '%.*s' wants %s '%.*s' (%.*s:%u) as '%.*s', but its record holds %s '%.*s' (%.*s:%u)",
                      DA_FMT(execution->id), da_call_kind_name(child->call.kind), DA_FMT(child->call.func),
                      DA_FMT(child->call.file), child->call.line, DA_FMT(promise->id), da_call_kind_name(held.kind),
                      DA_FMT(held.func), DA_FMT(held.file), held.line);
  da_arena_free(&arena);
  return !same;
}

const char *da_far_dialect_hint(da_worker *worker, da_slice refusal)
{
  da_id_dialect taken;
  if (!da_is_far(worker) || !da_id_is_other_dialect(refusal, &taken)) return "";
  if (!worker->far_dialect_told)
    da_log(DA_LOG_ERROR, "ids.refused", "server_takes=%s have=%s flag=\"--ids %s\" text=\"%.*s\"",
           da_id_dialect_name(taken), da_id_dialect_name(da_id_get_dialect()), da_id_dialect_name(taken),
           DA_FMT(refusal));
  worker->far_dialect_told = true;
  return taken == DA_ID_DOT ? " (this server takes ids of the dot dialect: start the worker with --ids dot)"
                            : " (this server takes ids of the colon dialect: start the worker with --ids colon)";
}

bool da_far_made(da_execution *execution, da_child *child, const da_reply *reply)
{
  if (reply->status == 404 || reply->status == 409) {
    da_execution_drop(execution); /* the task is not ours any more */
    return false;
  }
  const da_reply *inner = reply->inner != NULL ? reply->inner : reply;
  if (reply->status != 200 || inner->status != 200) {
    da_slice words = reply->status != 200 ? reply->message : inner->message;
    da_execution_park(execution, "refused", "'%.*s' was refused: %.*s%s", DA_FMT(child->id), DA_FMT(words),
                      da_far_dialect_hint(execution->worker, words));
    return false;
  }
  if (diverges(execution, child, inner->promise)) return false;
  if (da_far_made_now(execution, inner->promise)) execution->far->asking = false; /* past all that was recorded */
  return true;
}

static void asked(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  da_child *child = context.child;
  const da_reply *reply = &op->outcomes[0].reply;
  execution->far->questions--;
  if (da_far_made(execution, child, reply)) {
    const da_promise *promise = reply->inner->promise;
    if (promise->state == DA_PENDING) {
      da_step_go(child);
    } else {
      da_execution_event(execution, DA_EVENT_REPLAYED, child);
      execution->worker->stats.replayed_calls++;
      da_step_over(child);
      da_call_completed(child, promise);
    }
  }
  da_op_delete(op);
  da_execution_pump(execution);
  da_execution_unref(execution);
}

bool da_far_ask(da_child *child)
{
  da_execution *execution = child->execution;
  if (execution->far == NULL || !execution->far->asking || child->announced) return false;
  da_op *op = da_op_new();
  da_request *request = da_call_request(op, execution, DA_REQ_TASK_FENCE, child);
  da_call_tags(&op->arena, execution, child->scope, request->promise_id, request, true);
  child->announced = true;
  question(execution);
  da_execution_submit(execution, op, child, asked);
  return true;
}

static void order_known(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_reply *reply = &op->outcomes[0].reply;
  execution->far->questions--;
  if (reply->status == 200) {
    da_far_read_notes(execution->far, reply->promise, &op->arena);
    da_far_sort_again(execution);
  } else {
    execution->far->order_complete = true;
    execution->far->marks--;
  }
  da_op_delete(op);
  da_execution_pump(execution);
  da_execution_unref(execution);
}

void da_far_ask_order(da_execution *execution)
{
  if (execution->far->questions > 0) return;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_PROMISE_GET);
  request->id = da_far_order_id(&op->arena, execution, ++execution->far->marks);
  question(execution);
  da_execution_submit(execution, op, NULL, order_known);
}

da_slice da_far_target(const da_execution *execution)
{
  const da_worker_options *options = &execution->worker->options;
  for (size_t i = 0; i < options->target_count; i++)
    if (da_slice_starts(execution->target, options->targets[i]) &&
        (execution->target.len == options->targets[i].len || execution->target.ptr[options->targets[i].len] == '/'))
      return options->own_targets[i];
  return execution->target;
}

/* ---- leaving ------------------------------------------------------------------------------------------- */

typedef struct da_far_left {
  da_slice func; /* of the worker's arena */
  int64_t wait_ms;
} da_far_left;

static int64_t next_wait(da_worker *worker, da_slice func)
{
  da_far_left *left = da_table_get(&worker->far_left, func);
  if (left == NULL) {
    left = da_arena_alloc(&worker->arena, sizeof *left);
    *left = (da_far_left){da_arena_dup(&worker->arena, func), LEAVE_MS};
    (void)da_table_put(&worker->far_left, left->func, left);
    return LEAVE_MS;
  }
  left->wait_ms = left->wait_ms * 2 < LEAVE_MAX_MS ? left->wait_ms * 2 : LEAVE_MAX_MS;
  return left->wait_ms;
}

void da_far_leave(da_execution *execution)
{
  if (execution->state == DA_EXECUTION_GONE) return;
  da_worker *worker = execution->worker;
  int64_t wait = worker->draining ? 0 : next_wait(worker, execution->func);
  da_log(DA_LOG_INFO, "execution.left", "id=%.*s again_ms=%lld", DA_FMT(execution->id), (long long)wait);
  execution->far->kept = true;
  if (wait == 0)
    da_start_give_back(worker, execution->id, execution->version);
  else
    da_retreat_release(worker, execution->id, execution->version, wait);
  da_execution_drop(execution);
}

bool da_far_leaves(const da_execution *execution)
{
  if (execution->far == NULL) return false;
  return da_far_other_code(execution) || strcmp(execution->park_code, "refused") == 0;
}

/* ---- waiting for other lineages ------------------------------------------------------------------------ */

/* Somebody else would have to wake it, and this process may die: so it is held, and its lease is what has it run again.
 */
static bool waits_abroad(const da_execution *execution)
{
  for (da_child *child = execution->open_first; child != NULL; child = child->open_next)
    if (da_fiber_awaited(child) && !da_slice_eq(da_id_root(child->id), execution->root)) return true;
  return false;
}

bool da_far_stays(da_execution *execution, const da_op *op)
{
  const da_slice refusal = op->outcomes[0].reply.message;
  const da_request *request = &op->requests[0];
  bool abroad = false; /* meanwhile it may have come */
  for (size_t i = 0; i < request->await_count; i++)
    if (!da_slice_eq(da_id_root(request->awaits[i].awaited), execution->root)) abroad = true;
  if (execution->far == NULL || !abroad) return false;
  if (!da_slice_eq(refusal, DA_LIT("Awaited promise must belong to the same origin as the task")) &&
      !da_slice_eq(refusal, DA_LIT("Awaiter and awaited must belong to the same origin")))
    return false;
  execution->worker->far_one_origin = true;
  return true;
}

bool da_far_rests(da_execution *execution)
{
  if (execution->far == NULL || !execution->worker->far_one_origin || !waits_abroad(execution)) return false;
  if (execution->worker->draining) {
    execution->far->kept = true;
    da_start_give_back(execution->worker, execution->id, execution->version);
    da_execution_drop(execution);
  }
  return true;
}

/* ---- ending -------------------------------------------------------------------------------------------- */

bool da_far_stops(da_execution *execution)
{
  da_worker *worker = execution->worker;
  if (!worker->draining || execution->finished || execution->park_code != NULL) return false;
  if (execution->busy > 0 || execution->pumping)
    return true; /* its steps end, and are recorded; then it comes here again */
  bool waits = execution->ready_first == NULL && execution->queue_head == execution->queue_count;
  if (waits && execution->holds == 0 && execution->far->questions == 0) return false; /* it rests, and is suspended */
  execution->far->kept = true;
  da_start_give_back(worker, execution->id, execution->version);
  da_execution_drop(execution);
  return true;
}

void da_far_drained(da_worker *worker)
{
  if (!worker->draining || worker->drained == NULL || worker->closing) return;
  if (worker->stats.executions > 0 || worker->giving_back > 0 || worker->retreats != NULL) return;
  void (*drained)(void *user) = worker->drained;
  worker->drained = NULL;
  da_sched_post(worker->sched, drained, worker->drained_user);
}

static void release_now(da_execution *execution)
{
  bool held = execution->state != DA_EXECUTION_CLAIMING && execution->state != DA_EXECUTION_SUSPENDED &&
              execution->state != DA_EXECUTION_FINISHING;
  if (held) {
    execution->far->kept = true;
    da_start_give_back(execution->worker, execution->id, execution->version);
  }
  if (execution->state != DA_EXECUTION_FINISHING) da_execution_drop(execution);
}

void da_worker_drain(da_worker *worker, bool now, void (*done)(void *user), void *user)
{
  void *value;
  worker->draining = true;
  worker->drained = done;
  worker->drained_user = user;
  drop_waits(worker);
  for (size_t i = 0; da_table_next(&worker->executions, &i, &value);) {
    da_execution *execution = value;
    if (now || execution->state == DA_EXECUTION_SUSPENDED)
      release_now(execution);
    else if (execution->resting)
      da_execution_rest_over(execution);
    else
      da_execution_pump(execution);
  }
  da_retreat_hurry(worker);
  da_far_drained(worker);
}

void da_far_free_worker(da_worker *worker)
{
  drop_waits(worker);
  da_table_free(&worker->far_left);
}
