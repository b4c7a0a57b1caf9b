/* execution.c - the life of one execution: claim, load, run, finish.
 *
 * The states and their arrows are drawn in worker.h; each arrow is one function here. What is written goes through
 * da_execution_submit(), in program order, so that what is durable is always a prefix of the program.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "far.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "fault.h"
#include "lib.h"
#include "restore.h"

enum {
  SLICE_NS = 5000000,   /* workflow code runs at most this long before the loop gets a turn */
  IN_FLIGHT_MAX = 1024, /* ops of one execution that the store has not answered: a batch */
};

/* ---- making and unmaking ------------------------------------------------------------------------------- */

da_execution *da_execution_new(da_worker *worker, da_slice id)
{
  da_execution *execution = da_xcalloc(1, sizeof *execution);
  execution->worker = worker;
  da_worker_ref(worker);
  execution->refs = 1;
  execution->id = da_arena_dup(&execution->arena, id);
  execution->root = da_id_root(execution->id);
  execution->main.id = execution->id;
  execution->generation = 1;
  if (da_is_far(worker)) execution->far = da_xcalloc(1, sizeof *execution->far);
  (void)da_table_put(&worker->executions, execution->id, execution);
  worker->stats.executions++;
  return execution;
}

void da_execution_ref(da_execution *execution)
{
  execution->refs++;
}

void da_scope_clear(da_scope *scope)
{
  void *counter;
  for (size_t i = 0; da_table_next(&scope->counts, &i, &counter);) free(counter);
  da_table_free(&scope->counts);
  free(scope->children);
}

void da_scope_free(da_scope *scope)
{
  da_scope_clear(scope);
  free(scope);
}

static void free_fibers(da_execution *execution)
{
  while (execution->fibers != NULL) {
    da_fiber *fiber = execution->fibers;
    execution->fibers = fiber->next;
    if (fiber->scope != &execution->main && fiber->child != NULL && fiber->child->kind == DA_CALL_BRANCH)
      da_scope_free(fiber->scope);
    da_fiber_free(fiber);
  }
}

static void free_isolate(da_execution *execution)
{
  if (execution->isolate == NULL) return;
  da_isolate_delete(execution->isolate);
  execution->isolate = NULL;
  execution->L = NULL;
  da_worker_slot_freed(execution->worker);
}

void da_execution_unref(da_execution *execution)
{
  if (--execution->refs > 0) return;
  DA_ASSERT_OP(execution->state, ==, DA_EXECUTION_GONE);
  da_worker *worker = execution->worker;
  free_isolate(execution); /* if it was dropped from within */
  free_fibers(execution);
  for (size_t i = 0; i < execution->child_count; i++) da_call_free(execution->children[i]);
  free(execution->children);
  free(execution->free_indexes);
  da_scope_clear(&execution->main);
  da_table_free(&execution->by_id);
  da_table_free(&execution->words);
  da_arena_free(&execution->scratch);
  da_table_free(&execution->records);
  da_table_free(&execution->patches);
  free(execution->by_ordinal);
  free(execution->queue);
  free(execution->park_text);
  da_publish_free(execution);
  da_far_free(execution);
  da_bundle_unref(execution->bundle);
  if (execution->load != NULL) da_op_delete(execution->load);
  da_arena_free(&execution->arena);
  free(execution);
  da_worker_unref(worker);
}

static void lose_interest(da_execution *execution)
{
  for (size_t i = 0; i < execution->child_count; i++) {
    if (execution->children[i] == NULL) continue; /* pruned */
    da_step_stop(execution->children[i]);
    da_foreign_close(execution->children[i]);
  }
  for (size_t i = 0; i < execution->record_count; i++) {
    da_record *record = &execution->record_list[i];
    if (record->interested) da_worker_lose_interest(execution->worker, execution, record->promise->id);
    record->interested = false;
  }
}

/* Its task gets no more heartbeats, unless somebody is about to give it back, or it is to stay held. */
static void let_go_far(const da_execution *execution)
{
  const da_worker *worker = execution->worker;
  if (execution->far == NULL || execution->far->kept || execution->state == DA_EXECUTION_SUSPENDED) return;
  if (!worker->closing) worker->options.far->forget(worker->options.far->user, execution->id);
}

void da_execution_drop(da_execution *execution)
{
  if (execution->state == DA_EXECUTION_GONE) return;
  da_worker *worker = execution->worker;
  da_worker_unlist(worker, execution);
  if (execution->state == DA_EXECUTION_SUSPENDED && execution->far == NULL) {
    da_evicted_keep(execution);
    if (!worker->closing) da_image_cold(execution);
  }
  da_image_dropped(execution);
  let_go_far(execution);
  da_execution_ref(execution);
  execution->state = DA_EXECUTION_GONE;
  (void)da_table_remove(&worker->executions, execution->id);
  worker->stats.executions--;
  da_timer_stop(execution->rest_timer);
  execution->rest_timer = NULL;
  da_group_lose(execution);
  lose_interest(execution);
  if (execution->current == NULL && execution->inline_child == NULL) free_isolate(execution);
  da_worker_look_at_rest(worker);
  da_far_freed(worker);
  da_execution_unref(execution); /* the worker's */
  da_execution_unref(execution);
}

/* ---- ops ----------------------------------------------------------------------------------------------- */

void da_execution_submit(da_execution *execution, da_op *op, da_child *child, void (*done)(da_op *op))
{
  op->subject = execution->id;
  if (execution->far != NULL) da_far_dress(execution, op, child);
  da_execution_resubmit(execution, op, child, done);
}

void da_execution_resubmit(da_execution *execution, da_op *op, da_child *child, void (*done)(da_op *op))
{
  da_op_context *context = da_arena_zalloc(&op->arena, sizeof *context);
  context->execution = execution;
  context->child = child;
  if (child != NULL) child->in_flight++;
  op->user = context;
  op->done = done;
  execution->in_flight++;
  da_execution_ref(execution);
  da_sched_submit(execution->worker->sched, op, false);
}

static void post_pump(da_execution *execution);

static void answered(da_execution *execution, da_child *child)
{
  if (child != NULL) child->in_flight--;
  if (--execution->in_flight > IN_FLIGHT_MAX / 2 || !execution->throttled) return;
  execution->throttled = false;
  post_pump(execution);
}

bool da_execution_op_done(da_op *op, da_op_context *context)
{
  *context = *(da_op_context *)op->user;
  da_execution *execution = context->execution;
  answered(execution, context->child);
  if (execution->state != DA_EXECUTION_GONE && op->status == DA_OK) return true;
  if (op->status == DA_EFULL)
    da_execution_retreat(execution);
  else if (op->status == DA_OK || op->status == DA_ECLOSED)
    da_execution_drop(execution);
  else
    da_execution_store_failed(execution, op);
  da_op_delete(op);
  da_execution_unref(execution);
  return false;
}

void da_execution_op_over(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_op_delete(op);
  da_execution_unref(context.execution);
}

void da_execution_event(da_execution *execution, da_event_kind kind, const da_child *child)
{
  da_worker *worker = execution->worker;
  if (worker->options.event == NULL) return;
  da_event event = {.kind = kind, .execution = execution->id, .func = execution->func, .at_ms = da_clock_now_ms()};
  if (kind == DA_EVENT_RESTARTED) {
    event.count = execution->recorded_left;
    event.image = execution->restored;
  }
  if (kind == DA_EVENT_AGAIN) event.count = execution->generation;
  if (child != NULL) {
    event.child = child->id;
    event.call = child->kind;
    event.func = child->call.func;
    event.state = child->settled ? child->state : DA_PENDING;
    event.branch = child->kind == DA_CALL_WORKFLOW || child->kind == DA_CALL_BRANCH;
    if (child->kind == DA_CALL_SLEEP) event.at_ms = child->timeout_at;
  }
  worker->options.event(worker->options.user, &event);
}

/* ---- claiming and loading ------------------------------------------------------------------------------ */

static void take_promise(da_execution *execution, const da_promise *promise)
{
  execution->created_at = promise->created_at;
  execution->clock_ms = promise->created_at;
  execution->timeout_at = promise->timeout_at;
  da_deadline_take(execution, promise);
  const da_slice *target = da_map_get(promise->tags, DA_LIT("resonate:target"));
  execution->target = target != NULL ? da_arena_dup(&execution->arena, *target) : execution->worker->options.targets[0];
  execution->args = da_arena_dup(&execution->arena, da_call_json(&execution->arena, &promise->param));
  execution->func =
      promise->call.func.len > 0 ? da_arena_dup(&execution->arena, promise->call.func) : da_group_function(execution);
}

static void take_mark(da_execution *execution, const da_promise *mark)
{
  execution->generation = mark->call.generation;
  execution->main.id = da_arena_dup(&execution->arena, mark->id);
  execution->clock_ms = mark->settled_at;
  execution->args = da_arena_dup(&execution->arena, mark->param.data);
}

/* A read of the store that failed for its own reasons; the ops' common failures are da_execution_op_done()'s. */
static bool read_failed(const da_op *op, da_execution *execution)
{
  bool own = op->status != DA_OK && op->status != DA_EFULL && op->status != DA_ECLOSED && op->status != DA_EQUEUE;
  if (own && execution->state != DA_EXECUTION_GONE)
    da_execution_park(execution, "store", "what was recorded cannot be read: %s", op->err.text);
  return own;
}

void da_execution_ready(da_execution *execution)
{
  execution->state = DA_EXECUTION_LOADING;
  da_worker_enter(execution->worker, execution);
}

/* Instead of da_execution_op_done(), after read_failed(): the parked execution goes on to its halt. */
static void enter_parked(da_op *op)
{
  da_execution *execution = ((const da_op_context *)op->user)->execution;
  answered(execution, NULL);
  da_op_delete(op);
  if (execution->state != DA_EXECUTION_GONE) da_execution_ready(execution);
  da_execution_unref(execution);
}

static void bundle_read(da_op *op)
{
  if (read_failed(op, ((const da_op_context *)op->user)->execution)) {
    enter_parked(op);
    return;
  }
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_slice *bytes = op->call_result;
  da_bundle *bundle = NULL;
  da_err err = {{0}};
  if (bytes == NULL)
    da_execution_park(execution, "no_bundle", "the code this execution is pinned to is not in the store");
  else if (da_bundle_decode(*bytes, &bundle, &err) != DA_OK)
    da_execution_park(execution, "no_bundle", "%s", err.text);
  else
    execution->bundle = da_bundle_ref(da_worker_keep(execution->worker, bundle)->bundle);
  da_bundle_unref(bundle);
  da_op_delete(op);
  da_execution_ready(execution);
  da_execution_unref(execution);
}

static da_status read_bundle(da_store *store, da_op *op, da_err *err)
{
  da_digest hash;
  memcpy(&hash, op->call_argument, sizeof hash);
  da_slice *bytes = da_arena_zalloc(&op->arena, sizeof *bytes);
  int found = da_store_bundle_get(store, &hash, &op->arena, bytes);
  if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
  op->call_result = found != 0 ? bytes : NULL;
  return DA_OK;
}

/* Finds the code: of the worker, else of the store. */
static void find_bundle(da_execution *execution, const da_promise *promise)
{
  if (da_builtin_answer(execution)) return;
  const da_digest *code = promise->call.has_bundle ? &promise->call.bundle : NULL;
  if (execution->far != NULL) code = da_far_code(execution);
  const da_served *known = code != NULL ? da_worker_bundle(execution->worker, code) : NULL;
  if (known == NULL && (code == NULL || execution->far != NULL)) {
    da_group_find_code(execution);
    return;
  }
  if (known != NULL) {
    execution->bundle = da_bundle_ref(known->bundle);
    da_execution_ready(execution);
    return;
  }
  da_op *op = da_op_new();
  da_digest *hash = da_arena_alloc(&op->arena, sizeof *hash);
  *hash = promise->call.bundle;
  op->call = read_bundle;
  op->call_argument = hash;
  da_execution_submit(execution, op, NULL, bundle_read);
}

/* A timer with a target, as the protocol's clients make them to sleep: nothing is to be run, its deadline ends it. Its
 * task stays acquired, so that nobody is asked again. The same with what foreign.c gives a target for its deadline. */
bool da_execution_is_timer(const da_promise *promise)
{
  const da_slice *timer = da_map_get(promise->tags, DA_LIT("resonate:timer"));
  const da_slice *left = da_map_get(promise->tags, DA_LIT("dahost:left"));
  return (timer != NULL && da_slice_eq(*timer, DA_LIT("true"))) || (left != NULL && da_slice_eq(*left, DA_LIT("true")));
}

static void take_loaded(da_execution *execution, da_op *op, const da_promise *promise)
{
  const da_promise *mark = da_replay_mark(op);
  take_promise(execution, promise);
  if (mark != NULL) take_mark(execution, mark);
  da_replay_load(execution, op);
  if (mark != NULL && !execution->reloaded && !execution->ran_known) da_history_drop(execution->worker, execution->id);
  da_crash_load(execution);
  find_bundle(execution, promise);
}

static void loaded(da_op *op)
{
  if (read_failed(op, ((const da_op_context *)op->user)->execution)) {
    enter_parked(op);
    return;
  }
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_promise *promise = da_replay_promise(op);
  bool again = execution->worker->options.rehearse; /* what has ended, too */
  if (promise == NULL || (promise->state != DA_PENDING && !again) || da_execution_is_timer(promise)) {
    da_execution_drop(execution);
    da_op_delete(op);
  } else {
    take_loaded(execution, op, promise);
  }
  da_execution_unref(execution);
}

void da_execution_load_claim(da_execution *execution, da_op *claim)
{
  da_replay_of_claim(execution, claim);
  take_loaded(execution, claim, claim->outcomes[0].reply.promise);
}

/* On a server elsewhere the records come with the claim. */
static void load_claimed(da_execution *execution, da_op *op)
{
  const da_reply *reply = &op->outcomes[0].reply;
  const da_promise *promise = reply->promise;
  execution->state = DA_EXECUTION_LOADING;
  bool timer = promise != NULL && da_execution_is_timer(promise);
  if (promise == NULL || promise->state != DA_PENDING || timer) {
    execution->far->kept = timer;
    da_execution_drop(execution);
    da_op_delete(op);
    return;
  }
  da_far_claimed(execution, reply);
  if (!da_far_look(execution, op)) da_execution_load_claim(execution, op);
}

static void claimed(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_reply *reply = &op->outcomes[0].reply;
  if (reply->status == 200) execution->version = reply->task->version;
  if (reply->status != 200) {
    da_execution_drop(execution); /* somebody else has it, or it ended */
  } else if (execution->far != NULL && execution->worker->draining) {
    execution->far->kept = true;
    da_start_give_back(execution->worker, execution->id, execution->version);
    da_execution_drop(execution);
  } else if (execution->L != NULL) {
    execution->state = DA_EXECUTION_RUNNING;
    da_execution_event(execution, DA_EVENT_RESUMED, NULL);
    da_execution_pump(execution);
  } else if (execution->far != NULL) {
    load_claimed(execution, op);
    da_execution_unref(execution);
    return;
  } else {
    execution->state = DA_EXECUTION_LOADING;
  }
  da_op_delete(op);
  da_execution_unref(execution);
}

static void acquire(da_execution *execution, int64_t version)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_TASK_ACQUIRE);
  request->id = execution->id;
  request->version = version;
  request->pid = execution->worker->pid;
  request->ttl = execution->far != NULL ? execution->worker->options.far->ttl_ms : DA_TIME_MAX;
  request->no_preload = execution->far == NULL || execution->L != NULL;
  da_execution_submit(execution, op, NULL, claimed);
}

static void read_records(da_execution *execution)
{
  da_image_finish(execution->worker, execution->id);
  da_op *op = da_op_new();
  op->call = da_replay_read;
  da_execution_submit(execution, op, NULL, loaded);
}

void da_execution_claim(da_execution *execution, int64_t version)
{
  da_worker_unlist(execution->worker, execution);
  execution->state = DA_EXECUTION_CLAIMING;
  execution->recalled = false;
  if (!execution->worker->options.rehearse) acquire(execution, version);
  if (execution->L != NULL || execution->far != NULL) return;
  read_records(execution); /* behind the claim: it sees what that saw, and every later settlement is told after it */
}

void da_execution_reread(da_execution *execution, int64_t version)
{
  execution->version = version;
  execution->state = DA_EXECUTION_LOADING;
  read_records(execution);
}

void da_execution_reload(da_execution *execution, int64_t version)
{
  execution->reloaded = true;
  da_execution_reread(execution, version);
}

void da_execution_begin(da_execution *execution, int64_t version, const da_promise *promise)
{
  execution->version = version;
  execution->state = DA_EXECUTION_LOADING;
  execution->informed = true;
  take_promise(execution, promise);
  find_bundle(execution, promise);
}

/* ---- entering the isolate ------------------------------------------------------------------------------ */

/* Seeds chance, puts the entry function and its arguments on a new coroutine. Protected. */
static int prepare(lua_State *L)
{
  da_execution *execution = lua_touserdata(L, 1);
  da_digest seed = da_hash128(execution->main.id); /* another one in each generation */
  da_lib_seed(L, da_get_u64(seed.bytes), da_get_u64(seed.bytes + 8));
  lua_State *co = lua_newthread(L);
  int ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getfield(co, LUA_REGISTRYINDEX, DA_ISOLATE_MAIN);
  lua_pushlstring(co, execution->func.ptr, execution->func.len);
  lua_pushlstring(co, execution->args.ptr, execution->args.len);
  (void)da_fiber_start(execution, co, ref, 2, &execution->main, NULL);
  return 0;
}

static da_status open_isolate(da_execution *execution, da_err *err)
{
  da_worker *worker = execution->worker;
  da_load_context context = {.host = {.loading = true}, .worker = worker, .bundle = execution->bundle};
  da_status status;
  do {
    status = da_isolate_new(worker->region, &execution->bundle->hash, da_worker_open_isolate, &context,
                            &execution->isolate, err);
  } while (status == DA_EQUEUE && da_worker_make_room(worker));
  if (status != DA_OK) return status;
  execution->L = da_isolate_lua(execution->isolate);
  da_isolate_set_host(execution->isolate, execution);
  lua_pushcfunction(execution->L, prepare);
  lua_pushlightuserdata(execution->L, execution);
  if (lua_pcall(execution->L, 1, 0, 0) == LUA_OK) return DA_OK;
  return da_fail(err, DA_ELUA, "%s", lua_tostring(execution->L, -1));
}

static da_event_kind beginning(const da_execution *execution)
{
  if (execution->reloaded) return DA_EVENT_AGAIN;
  return execution->record_count > 0 || execution->version > 1 ? DA_EVENT_RESTARTED : DA_EVENT_STARTED;
}

bool da_execution_enter(da_execution *execution)
{
  da_worker *worker = execution->worker;
  if (execution->state == DA_EXECUTION_GONE) return true;
  if (execution->park_code == NULL && execution->restore != NULL) {
    da_restored how = da_restore_enter(execution);
    if (how != DA_RESTORED) return how == DA_RESTORE_REPLAYED;
  } else if (execution->park_code == NULL) {
    da_err err = {{0}};
    da_status status = open_isolate(execution, &err);
    if (status == DA_EQUEUE) return false;
    if (status != DA_OK) da_execution_park(execution, "load", "%s", err.text);
  }
  execution->state = DA_EXECUTION_RUNNING;
  worker->stats.started++;
  if (execution->park_code == NULL && !execution->restored) da_deadline_begin(execution);
  if (execution->park_code == NULL && !execution->restored) da_execution_event(execution, beginning(execution), NULL);
  da_execution_pump(execution);
  return true;
}

/* ---- running ------------------------------------------------------------------------------------------- */

static void pump_again(void *arg)
{
  da_execution *execution = arg;
  execution->pump_posted = false;
  da_execution_pump(execution);
  da_execution_unref(execution);
}

/* The rest comes after a turn of the loop. */
static void post_pump(da_execution *execution)
{
  if (execution->pump_posted || execution->throttled) return;
  execution->pump_posted = true;
  da_execution_ref(execution);
  da_sched_post(execution->worker->sched, pump_again, execution);
}

static void fulfil(da_execution *execution);

/* What an execution does when nothing of it can run any more. */
static void settle_down(da_execution *execution)
{
  bool asks = execution->far != NULL && execution->far->questions > 0;
  if (execution->worker->options.rehearse)
    da_rehearse_over(execution);
  else if (execution->park_code != NULL)
    da_execution_halt(execution);
  else if (execution->finished)
    fulfil(execution);
  else if (execution->busy == 0 && execution->holds == 0 && !asks)
    da_execution_rest(execution);
}

/* What it has queued is bounded, without its code seeing a full queue: the fiber stops as at the end of a slice. */
void da_execution_throttle(da_execution *execution)
{
  if (execution->in_flight < IN_FLIGHT_MAX) return;
  execution->throttled = true;
  da_watch_give_way(da_isolate_running(execution->isolate));
}

void da_execution_pump(da_execution *execution)
{
  if (execution->pumping || execution->throttled || execution->state != DA_EXECUTION_RUNNING) return;
  if (execution->far != NULL && (execution->far->questions > 0 || da_far_stops(execution))) return;
  execution->pumping = true;
  da_execution_ref(execution);
  da_worker_unlist(execution->worker, execution);
  uint64_t begin = da_clock_mono_ns();
  execution->sliced = false;
  size_t turns = 0;
  for (;;) {
    da_fiber_run_ready(execution);
    if (execution->park_code != NULL || execution->finished || execution->state != DA_EXECUTION_RUNNING) break;
    if (++turns % 16 == 0 && da_clock_mono_ns() - begin >= SLICE_NS) execution->sliced = true;
    if (execution->sliced || !da_fiber_deliver_next(execution)) break;
  }
  execution->pumping = false;
  if (execution->state == DA_EXECUTION_RUNNING) da_publish_flush(execution);
  if (execution->state == DA_EXECUTION_RUNNING && execution->sliced && execution->park_code == NULL)
    post_pump(execution);
  else if (execution->state == DA_EXECUTION_RUNNING) {
    da_image_consider(execution);
    settle_down(execution);
  }
  da_execution_unref(execution);
}

/* ---- finishing ----------------------------------------------------------------------------------------- */

void da_execution_finish(da_execution *execution, da_promise_state outcome, da_slice data, da_slice rest)
{
  if (execution->finished) return;
  execution->finished = true;
  execution->outcome = outcome;
  execution->outcome_data = da_arena_dup(&execution->arena, data);
  execution->outcome_rest = da_arena_dup(&execution->arena, rest);
}

void da_execution_end_at_once(da_execution *execution, da_promise_state outcome, da_slice data)
{
  da_execution_ref(execution);
  da_execution_finish(execution, outcome, data, DA_NONE);
  execution->state = DA_EXECUTION_RUNNING;
  da_execution_pump(execution);
  da_execution_unref(execution);
}

static void fulfilled(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_reply *reply = &op->outcomes[op->request_count - 1].reply;
  if (reply->status == 200) execution->worker->stats.completed++;
  if (reply->status == 200 || reply->status == 404 || reply->status == 409) {
    da_execution_drop(execution); /* it ended, or its task is not ours any more */
  } else {
    da_execution_park(execution, "refused", "its outcome was refused: %.*s", DA_FMT(reply->message));
    da_execution_halt(execution);
  }
  da_op_delete(op);
  da_execution_unref(execution);
}

/* Timers and promises nobody waits for any more go with their execution. */
static void add_withdrawals(da_execution *execution, da_op *op)
{
  for (da_child *child = execution->open_first, *next; child != NULL; child = next) {
    next = child->open_next;
    if (child->global || child->kind == DA_CALL_WORKFLOW || da_queue_waits(child->kind)) continue;
    da_foreign_close(child);
    da_request *request = da_call_request(op, execution, DA_REQ_TASK_FENCE, child);
    request->fence_settles = true;
    request->state = DA_CANCELED;
  }
}

static void add_outcome(const da_execution *execution, da_op *op)
{
  da_request *request = da_op_request(op, DA_REQ_TASK_FULFILL);
  request->id = execution->id;
  request->version = execution->version;
  request->state = execution->outcome;
  request->value = da_call_value(&op->arena, execution->outcome_data, execution->outcome_rest);
}

static void fulfil(da_execution *execution)
{
  if (!da_replay_all_reached(execution)) {
    da_execution_halt(execution);
    return;
  }
  execution->state = DA_EXECUTION_FINISHING;
  free_isolate(execution); /* all that is left of it is the outcome */
  da_publish_before(execution);
  da_op *op = da_op_new();
  add_withdrawals(execution, op);
  da_queue_add_returns(execution, op);
  if (execution->begins_again)
    da_again_request(execution, op);
  else
    add_outcome(execution, op);
  da_execution_submit(execution, op, NULL, execution->begins_again ? da_again_begun : fulfilled);
}

/* ---- what bindings ask --------------------------------------------------------------------------------- */

da_execution *da_execution_of(lua_State *L)
{
  da_host *host = da_isolate_host(L);
  return host == NULL || host->loading ? NULL : (da_execution *)host;
}

void da_load_output(lua_State *L, da_slice text)
{
  da_host *host = da_isolate_host(L);
  if (host == NULL || !host->loading) return;
  const da_load_context *context = (da_load_context *)host;
  const da_worker_options *options = &context->worker->options;
  if (!context->loud || options->event == NULL) return;
  da_event event = {.kind = DA_EVENT_OUTPUT, .text = text};
  options->event(options->user, &event);
}

da_shelter da_execution_shelter(const da_execution *execution, const da_scope *scope)
{
  const da_fiber *by = execution->current;
  if (by == NULL) return DA_UNSHELTERED;
  if (!by->shielded && by->shelter == DA_UNSHELTERED) return DA_UNSHELTERED;
  if (by->scope != scope) return DA_SHELTERED_AROUND;
  return by->shielded ? DA_SHELTERED_INSIDE : by->shelter;
}

const da_slice *da_fiber_canceled(const da_execution *execution, const da_fiber *fiber, const char **code)
{
  static const da_slice past = {"\"the deadline passed\"", 21};
  bool sheltered = fiber != NULL && fiber->shelter != DA_UNSHELTERED;
  if (code != NULL) *code = "canceled";
  if (fiber != NULL && fiber->shielded) return NULL;
  if (execution->cancel_requested && !sheltered) return &execution->cancel_why;
  if (fiber != NULL && fiber->scope->canceled && fiber->shelter != DA_SHELTERED_INSIDE)
    return &fiber->scope->cancel_why;
  if (fiber != NULL && fiber->canceled) return &fiber->cancel_why;
  if (!execution->deadline_passed || sheltered) return NULL;
  if (code != NULL) *code = "timedout";
  return &past;
}

const da_slice *da_execution_canceled(const da_execution *execution, const char **code)
{
  return da_fiber_canceled(execution, execution->current, code);
}

bool da_execution_replaying(const da_execution *execution)
{
  if (execution->ran_known) return !execution->ran_passed;
  return execution->unreached > 0; /* a completion says nothing: its record may have overtaken what the program did */
}

void da_execution_output(da_execution *execution, da_slice text)
{
  da_worker *worker = execution->worker;
  if (worker->options.event == NULL || da_execution_replaying(execution)) return;
  da_event event = {.kind = DA_EVENT_OUTPUT, .execution = execution->id, .text = text};
  worker->options.event(worker->options.user, &event);
}
