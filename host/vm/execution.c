/* execution.c - the life of one execution: claim, load, run, suspend, finish, park.
 *
 * The states and their arrows are drawn in worker.h; each arrow is one function here. What is written goes through
 * da_execution_submit(), in program order, so that what is durable is always a prefix of the program.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "execution.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "fault.h"
#include "lib.h"

enum { SLICE_NS = 5000000 }; /* workflow code runs at most this long before the loop gets a turn */

/* ---- making and unmaking ------------------------------------------------------------------------------- */

da_execution *da_execution_new(da_worker *worker, da_slice id)
{
  da_execution *execution = da_xcalloc(1, sizeof *execution);
  execution->worker = worker;
  execution->refs = 1;
  execution->id = da_arena_dup(&execution->arena, id);
  execution->root = da_id_root(execution->id);
  execution->main.id = execution->id;
  (void)da_table_put(&worker->executions, execution->id, execution);
  worker->stats.executions++;
  return execution;
}

void da_execution_ref(da_execution *execution)
{
  execution->refs++;
}

static void free_scope(da_scope *scope)
{
  da_table_free(&scope->counts);
  free(scope->children);
}

static void free_fibers(da_execution *execution)
{
  while (execution->fibers != NULL) {
    da_fiber *fiber = execution->fibers;
    execution->fibers = fiber->next;
    if (fiber->scope != &execution->main && fiber->child != NULL && fiber->child->kind == DA_CALL_BRANCH)
      free_scope(fiber->scope);
    free(fiber);
  }
}

void da_execution_unref(da_execution *execution)
{
  if (--execution->refs > 0) return;
  DA_ASSERT_OP(execution->state, ==, DA_EXECUTION_GONE);
  free_fibers(execution);
  for (size_t i = 0; i < execution->child_count; i++) da_call_free(execution->children[i]);
  free(execution->children);
  free_scope(&execution->main);
  da_table_free(&execution->by_id);
  da_table_free(&execution->records);
  free(execution->by_ordinal);
  free(execution->queue);
  free(execution->park_text);
  da_bundle_unref(execution->bundle);
  if (execution->load != NULL) da_op_delete(execution->load);
  da_arena_free(&execution->arena);
  free(execution);
}

void da_execution_drop(da_execution *execution)
{
  if (execution->state == DA_EXECUTION_GONE) return;
  da_worker *worker = execution->worker;
  if (execution->state == DA_EXECUTION_SUSPENDED) da_worker_unwarm(worker, execution);
  da_execution_ref(execution);
  execution->state = DA_EXECUTION_GONE;
  (void)da_table_remove(&worker->executions, execution->id);
  worker->stats.executions--;
  for (size_t i = 0; i < execution->child_count; i++) {
    da_call_stop(execution->children[i]);
    da_worker_lose_interest(worker, execution->children[i]);
  }
  if (execution->isolate != NULL && execution->current == NULL) {
    da_isolate_delete(execution->isolate);
    execution->isolate = NULL;
    execution->L = NULL;
    da_worker_slot_freed(worker);
  }
  da_execution_unref(execution); /* the worker's */
  da_execution_unref(execution);
}

typedef struct retreat {
  da_sched *sched;
  char *id;
  int64_t version;
} retreat;

static void release_later(void *arg);

static void released(da_op *op)
{
  retreat *state = op->user;
  bool again = op->status == DA_EFULL;
  if (again) {
    (void)da_timer_start(state->sched, da_clock_now_ms() + 1000, release_later, state);
  } else {
    free(state->id);
    free(state);
  }
  da_op_delete(op);
}

static void release_later(void *arg)
{
  retreat *state = arg;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_TASK_RELEASE);
  request->id = da_slice_of(state->id);
  request->version = state->version;
  op->done = released;
  op->user = state;
  da_sched_submit(state->sched, op, false);
}

void da_execution_retreat(da_execution *execution)
{
  if (execution->state == DA_EXECUTION_GONE) return;
  da_log(DA_LOG_WARN, "execution.retreat", "id=%.*s", DA_FMT(execution->id));
  retreat *state = da_xcalloc(1, sizeof *state);
  state->sched = execution->worker->sched;
  state->id = da_xstrndup(execution->id);
  state->version = execution->version;
  (void)da_timer_start(state->sched, da_clock_now_ms() + 1000, release_later, state);
  da_execution_drop(execution);
}

/* ---- ops ----------------------------------------------------------------------------------------------- */

void da_execution_submit(da_execution *execution, da_op *op, da_child *child, void (*done)(da_op *op))
{
  da_op_context *context = da_arena_zalloc(&op->arena, sizeof *context);
  context->execution = execution;
  context->child = child;
  op->user = context;
  op->done = done;
  da_execution_ref(execution);
  da_sched_submit(execution->worker->sched, op, false);
}

bool da_execution_op_done(da_op *op, da_op_context *context)
{
  *context = *(da_op_context *)op->user;
  da_execution *execution = context->execution;
  if (execution->state != DA_EXECUTION_GONE && op->status == DA_OK) return true;
  if (op->status == DA_EFULL)
    da_execution_retreat(execution);
  else
    da_execution_drop(execution);
  da_op_delete(op);
  da_execution_unref(execution);
  return false;
}

void da_execution_event(da_execution *execution, da_event_kind kind, const da_child *child)
{
  da_worker *worker = execution->worker;
  if (worker->options.event == NULL) return;
  da_event event = {.kind = kind, .execution = execution->id, .func = execution->func, .at_ms = da_clock_now_ms()};
  if (kind == DA_EVENT_RESTARTED) event.count = execution->recorded_left;
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

typedef struct load_result {
  bool found;
  da_promise promise;
  da_record *records;
  size_t count, cap;
} load_result;

static bool keep_record(void *user, const da_promise *promise)
{
  load_result *result = user;
  if (result->count == result->cap) {
    result->cap = result->cap != 0 ? result->cap * 2 : 16;
    result->records = da_xrealloc(result->records, result->cap * sizeof *result->records);
  }
  da_promise *copy = da_xmalloc(sizeof *copy);
  *copy = *promise;
  result->records[result->count++] = (da_record){.promise = copy};
  return true;
}

static void free_records(load_result *result)
{
  for (size_t i = 0; i < result->count; i++) {
    void *copy;
    memcpy(&copy, &result->records[i].promise, sizeof copy); /* made by keep_record() */
    free(copy);
  }
  free(result->records);
  result->records = NULL;
  result->count = result->cap = 0;
}

/* On the store thread: the promise and what its execution recorded. */
static da_status load_records(da_store *store, da_op *op, da_err *err)
{
  const da_op_context *context = op->user;
  load_result *result = da_arena_zalloc(&op->arena, sizeof *result);
  da_view *view = da_store_view(store);
  da_slice id =
      da_arena_dup(&op->arena, context->execution->id); /* the id never changes while the op holds a reference */
  int found = view->ops->promise(view, id, &op->arena, &result->promise);
  if (found < 0) return da_fail(err, (da_status)found, "cannot read promise %.*s", DA_FMT(id));
  result->found = found != 0;
  da_status status = da_store_scan_execution(store, id, &op->arena, keep_record, result, err);
  op->call_result = result;
  return status;
}

static void take_promise(da_execution *execution, const da_promise *promise)
{
  execution->created_at = promise->created_at;
  execution->clock_ms = promise->created_at;
  execution->timeout_at = promise->timeout_at;
  execution->func = da_arena_dup(&execution->arena, promise->call.func);
  execution->args = promise->param.has_data ? da_arena_dup(&execution->arena, promise->param.data) : DA_NONE;
}

/* The records move into the execution; the op stays, since they lie in its arena. */
static void take_records(da_execution *execution, da_op *op, load_result *result)
{
  execution->record_list = da_arena_alloc(&execution->arena, result->count * sizeof *result->records);
  execution->record_count = result->count;
  da_slice cancel = da_cancel_id(&execution->arena, execution->id);
  for (size_t i = 0; i < result->count; i++) {
    const da_promise *from = result->records[i].promise;
    da_promise *to = da_arena_alloc(&execution->arena, sizeof *to);
    *to = *from;
    execution->record_list[i] = (da_record){.promise = to};
    if (da_slice_eq(to->id, cancel) && to->state != DA_PENDING) {
      da_slice why = da_arena_dup(&execution->arena, to->value.data);
      da_fiber_enqueue(
          execution,
          (da_delivery){.seq = to->settle_seq, .cancel = why, .cancels = true, .settled_at = to->settled_at});
    }
  }
  free_records(result);
  da_call_load(execution, op);
}

static void bundle_read(da_op *op)
{
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
  execution->state = DA_EXECUTION_LOADING;
  da_execution_enter(execution);
  da_execution_unref(execution);
}

static da_status read_bundle(da_store *store, da_op *op, da_err *err)
{
  da_digest hash;
  memcpy(&hash, op->call_argument, sizeof hash);
  da_slice *bytes = da_arena_zalloc(&op->arena, sizeof *bytes);
  int found = da_store_bundle_get(store, &hash, &op->arena, bytes);
  if (found < 0) return da_fail(err, (da_status)found, "cannot read a bundle");
  op->call_result = found != 0 ? bytes : NULL;
  return DA_OK;
}

/* Finds the code: of the worker, else of the store. */
static void find_bundle(da_execution *execution, const da_promise *promise)
{
  da_served *known =
      promise->call.has_bundle ? da_worker_bundle(execution->worker, &promise->call.bundle) : execution->worker->newest;
  if (known != NULL) {
    execution->bundle = da_bundle_ref(known->bundle);
    da_execution_enter(execution);
    return;
  }
  if (!promise->call.has_bundle) {
    da_execution_park(execution, "no_bundle", "no script serves this execution");
    da_execution_enter(execution);
    return;
  }
  da_op *op = da_op_new();
  da_digest *hash = da_arena_alloc(&op->arena, sizeof *hash);
  *hash = promise->call.bundle;
  op->call = read_bundle;
  op->call_argument = hash;
  da_execution_submit(execution, op, NULL, bundle_read);
}

static void loaded(da_op *op)
{
  load_result *result = op->call_result;
  da_execution *execution = ((const da_op_context *)op->user)->execution;
  if (result != NULL && (execution->state != DA_EXECUTION_LOADING || op->status != DA_OK)) free_records(result);
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  DA_ASSERT(result != NULL);
  if (!result->found || result->promise.state != DA_PENDING) {
    free_records(result);
    da_execution_drop(execution);
    da_op_delete(op);
  } else {
    take_promise(execution, &result->promise);
    take_records(execution, op, result);
    find_bundle(execution, &result->promise);
  }
  da_execution_unref(execution);
}

static void claimed(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_reply *reply = &op->outcomes[0].reply;
  if (reply->status != 200) {
    da_execution_drop(execution); /* somebody else has it, or it ended */
  } else if (execution->L != NULL) {
    execution->version = reply->task->version;
    execution->state = DA_EXECUTION_RUNNING;
    da_execution_event(execution, DA_EVENT_RESUMED, NULL);
    da_execution_pump(execution);
  } else {
    execution->version = reply->task->version;
    execution->state = DA_EXECUTION_LOADING;
  }
  da_op_delete(op);
  da_execution_unref(execution);
}

void da_execution_claim(da_execution *execution, int64_t version)
{
  if (execution->state == DA_EXECUTION_SUSPENDED) da_worker_unwarm(execution->worker, execution);
  execution->state = DA_EXECUTION_CLAIMING;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_TASK_ACQUIRE);
  request->id = execution->id;
  request->version = version;
  request->pid = execution->worker->pid;
  request->ttl = DA_TIME_MAX;
  request->no_preload = true;
  da_execution_submit(execution, op, NULL, claimed);
  if (execution->L != NULL) return;
  op = da_op_new(); /* behind the claim: it sees what the claim saw, and every later settlement is told after it */
  op->call = load_records;
  da_execution_submit(execution, op, NULL, loaded);
}

void da_execution_begin(da_execution *execution, int64_t version, const da_promise *promise)
{
  execution->version = version;
  execution->state = DA_EXECUTION_LOADING;
  take_promise(execution, promise);
  find_bundle(execution, promise);
}

/* ---- entering the isolate ------------------------------------------------------------------------------ */

/* Seeds chance, puts the entry function and its arguments on a new coroutine. Protected. */
static int prepare(lua_State *L)
{
  da_execution *execution = lua_touserdata(L, 1);
  da_digest seed = da_hash128(execution->id);
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

static void wait_for_slot(da_execution *execution)
{
  da_worker *worker = execution->worker;
  if (worker->waiting_count == worker->waiting_cap) {
    worker->waiting_cap = worker->waiting_cap != 0 ? worker->waiting_cap * 2 : 16;
    worker->waiting = da_xrealloc(worker->waiting, worker->waiting_cap * sizeof *worker->waiting);
  }
  da_execution_ref(execution);
  worker->waiting[worker->waiting_count++] = execution;
}

void da_execution_enter(da_execution *execution)
{
  da_worker *worker = execution->worker;
  if (execution->state == DA_EXECUTION_GONE) return;
  if (execution->park_code == NULL) {
    da_err err = {{0}};
    da_status status = open_isolate(execution, &err);
    if (status == DA_EQUEUE) {
      wait_for_slot(execution);
      return;
    }
    if (status != DA_OK) da_execution_park(execution, "load", "%s", err.text);
  }
  execution->state = DA_EXECUTION_RUNNING;
  worker->stats.started++;
  if (execution->park_code == NULL)
    da_execution_event(
        execution, execution->record_count > 0 || execution->version > 1 ? DA_EVENT_RESTARTED : DA_EVENT_STARTED, NULL);
  da_execution_pump(execution);
}

/* ---- running ------------------------------------------------------------------------------------------- */

static void pump_again(void *arg)
{
  da_execution *execution = arg;
  execution->pump_posted = false;
  da_execution_pump(execution);
  da_execution_unref(execution);
}

static bool slice_over(da_execution *execution, uint64_t begin)
{
  if (da_clock_mono_ns() - begin < SLICE_NS) return false;
  if (!execution->pump_posted) {
    execution->pump_posted = true;
    da_execution_ref(execution);
    da_sched_post(execution->worker->sched, pump_again, execution);
  }
  return true;
}

static void suspend(da_execution *execution);
static void fulfil(da_execution *execution);
static void halt(da_execution *execution);

/* What an execution does when nothing of it can run any more. */
static void settle_down(da_execution *execution)
{
  if (execution->park_code != NULL)
    halt(execution);
  else if (execution->finished)
    fulfil(execution);
  else if (execution->busy == 0 && execution->holds == 0)
    suspend(execution);
}

void da_execution_pump(da_execution *execution)
{
  if (execution->pumping || execution->state != DA_EXECUTION_RUNNING) return;
  execution->pumping = true;
  da_execution_ref(execution);
  uint64_t begin = da_clock_mono_ns();
  bool sliced = false;
  size_t turns = 0;
  for (;;) {
    da_fiber_run_ready(execution);
    if (execution->park_code != NULL || execution->finished || execution->state != DA_EXECUTION_RUNNING) break;
    if (++turns % 16 == 0 && slice_over(execution, begin)) {
      sliced = true;
      break;
    }
    if (!da_fiber_deliver_next(execution)) break;
  }
  execution->pumping = false;
  if (execution->state == DA_EXECUTION_RUNNING && !sliced) settle_down(execution);
  da_execution_unref(execution);
}

/* ---- suspending ---------------------------------------------------------------------------------------- */

static bool awaited(const da_child *child)
{
  return child->foreign && !child->settled && child->waiter_count > 0;
}

static void suspended(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  int status = op->outcomes[0].reply.status;
  da_op_delete(op);
  if (status == 200) {
    execution->state = DA_EXECUTION_SUSPENDED;
    da_worker_warm(execution->worker, execution);
  } else if (status == 300) {
    execution->state = DA_EXECUTION_RUNNING;
    if (execution->queue_head == execution->queue_count)
      da_execution_retreat(execution); /* settled, but nobody told us: start over from the records */
    else
      da_execution_pump(execution);
  } else {
    da_execution_drop(execution);
  }
  da_execution_unref(execution);
}

static void suspend(da_execution *execution)
{
  size_t count = 0;
  const da_child *one = NULL;
  for (size_t i = 0; i < execution->child_count; i++)
    if (awaited(execution->children[i])) {
      one = execution->children[i];
      count++;
    }
  if (count == 0) {
    da_execution_park(execution, "deadlock", "nothing that this execution waits for can ever be settled");
    halt(execution);
    return;
  }
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_TASK_SUSPEND);
  da_await *awaits = da_arena_alloc(&op->arena, count * sizeof *awaits);
  request->id = execution->id;
  request->version = execution->version;
  request->awaits = awaits;
  request->await_count = count;
  request->no_preload = true;
  for (size_t i = 0; i < execution->child_count; i++)
    if (awaited(execution->children[i])) *awaits++ = (da_await){execution->children[i]->id, execution->id};
  execution->state = DA_EXECUTION_SUSPENDING;
  da_execution_event(execution, DA_EVENT_SUSPENDED, one);
  da_execution_submit(execution, op, NULL, suspended);
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

static void fulfilled(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_reply *reply = &op->outcomes[op->request_count - 1].reply;
  if (reply->status == 200) execution->worker->stats.completed++;
  da_op_delete(op);
  da_execution_drop(execution);
  da_execution_unref(execution);
}

/* The first recorded call that the program never made, or NULL. */
static const da_promise *unreached(const da_execution *execution)
{
  for (size_t i = 0; i < execution->record_count && execution->unreached > 0; i++) {
    const da_record *record = &execution->record_list[i];
    if (record->child == NULL && record->promise->call.kind != DA_CALL_MARK &&
        record->promise->call.kind != DA_CALL_NONE)
      return record->promise;
  }
  return NULL;
}

static void add_value(da_op *op, da_request *request, da_slice data, da_slice rest)
{
  request->value = (da_value){.has_data = true, .encoding = DA_JSON, .data = data};
  if (rest.len == 0) return;
  da_pair *pair = da_arena_alloc(&op->arena, sizeof *pair);
  *pair = (da_pair){DA_LIT("da-rest"), rest};
  request->value.has_headers = true;
  request->value.headers = (da_map){pair, 1};
}

/* Timers and promises nobody waits for any more go with their execution. */
static void add_withdrawals(da_execution *execution, da_op *op)
{
  for (size_t i = 0; i < execution->child_count; i++) {
    da_child *child = execution->children[i];
    if (child->settled || child->global || (child->kind != DA_CALL_SLEEP && child->kind != DA_CALL_PROMISE)) continue;
    da_worker_lose_interest(execution->worker, child);
    da_request *request = da_op_request(op, DA_REQ_TASK_FENCE);
    request->id = execution->id;
    request->version = execution->version;
    request->promise_id = child->id;
    request->fence_settles = true;
    request->state = DA_CANCELED;
    request->no_preload = true;
  }
}

static void fulfil(da_execution *execution)
{
  const da_promise *missed = unreached(execution);
  if (missed != NULL) {
    da_execution_park(execution, "nondeterminism",
                      "replay of '%.*s' finished without reaching recorded %s '%.*s' (%.*s:%u)", DA_FMT(execution->id),
                      da_call_kind_name(missed->call.kind), DA_FMT(missed->id), DA_FMT(missed->call.file),
                      missed->call.line);
    halt(execution);
    return;
  }
  execution->state = DA_EXECUTION_FINISHING;
  da_op *op = da_op_new();
  add_withdrawals(execution, op);
  da_request *request = da_op_request(op, DA_REQ_TASK_FULFILL);
  request->id = execution->id;
  request->version = execution->version;
  request->state = execution->outcome;
  add_value(op, request, execution->outcome_data, execution->outcome_rest);
  da_execution_submit(execution, op, NULL, fulfilled);
}

/* ---- parking ------------------------------------------------------------------------------------------- */

void da_execution_park(da_execution *execution, const char *code, const char *format, ...)
{
  if (execution->park_code != NULL) return;
  execution->park_code = code;
  da_buf text = {0};
  va_list args;
  va_start(args, format);
  char words[2048];
  (void)vsnprintf(words, sizeof words, format, args);
  va_end(args);
  da_buf_addf(&text, "%s. Mend the cause, then: dahost continue '%.*s'", words, DA_FMT(execution->id));
  execution->park_text = da_xstrndup(da_buf_slice(&text));
  da_buf_free(&text);
  if (execution->L != NULL) da_isolate_poison(execution->L, DA_POISON_HOST);
}

bool da_execution_parking(const da_execution *execution)
{
  return execution->park_code != NULL;
}

static void halted(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  da_worker *worker = execution->worker;
  if (worker->options.event != NULL) {
    da_event event = {.kind = DA_EVENT_PARKED,
                      .execution = execution->id,
                      .func = execution->func,
                      .text = da_slice_of(execution->park_text)};
    worker->options.event(worker->options.user, &event);
  }
  da_op_delete(op);
  da_execution_drop(execution);
  da_execution_unref(execution);
}

/* The task is halted; the mark beside it says why. One per version, since continuing raises it. */
static void halt(da_execution *execution)
{
  execution->state = DA_EXECUTION_PARKING;
  da_log(DA_LOG_WARN, "execution.parked", "id=%.*s code=%s text=\"%s\"", DA_FMT(execution->id), execution->park_code,
         execution->park_text);
  da_op *op = da_op_new();
  da_request *mark = da_op_request(op, DA_REQ_TASK_STEP);
  mark->id = execution->id;
  mark->version = execution->version;
  mark->promise_id = da_id_child(&op->arena, execution->id, DA_LIT("~parked"), (uint64_t)execution->version);
  mark->timeout_at = DA_TIME_MAX;
  mark->created_at = da_clock_now_ms();
  mark->state = DA_RESOLVED;
  mark->call = (da_call){.kind = DA_CALL_MARK};
  da_call_tags(&op->arena, execution, &execution->main, mark->promise_id, mark, true);
  da_buf json = {0};
  da_buf_addf(&json, "{\"code\":\"%s\",\"text\":", execution->park_code);
  da_fault_string(&json, da_slice_of(execution->park_text));
  da_buf_addf(&json, "}");
  add_value(op, mark, da_arena_dup(&op->arena, da_buf_slice(&json)), DA_NONE);
  da_buf_free(&json);
  da_request *request = da_op_request(op, DA_REQ_TASK_HALT);
  request->id = execution->id;
  da_execution_submit(execution, op, NULL, halted);
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

const da_slice *da_execution_canceled(const da_execution *execution)
{
  if (!execution->cancel_requested || (execution->current != NULL && execution->current->shielded)) return NULL;
  return &execution->cancel_why;
}

bool da_execution_replaying(const da_execution *execution)
{
  return execution->recorded_left > 0 || execution->unreached > 0;
}

void da_execution_output(da_execution *execution, da_slice text)
{
  da_worker *worker = execution->worker;
  if (worker->options.event == NULL || da_execution_replaying(execution)) return;
  da_event event = {.kind = DA_EVENT_OUTPUT, .execution = execution->id, .text = text};
  worker->options.event(worker->options.user, &event);
}
