/* call.c - durable calls: their ids, their records, how each kind is carried out and recorded.
 *
 * A call either meets its record (replay) or makes something new. What is recorded of a call - kind, function, digest
 * of the arguments, line, ordinal - is compared on replay; a difference parks the execution, with both sides named.
 * Steps (named, inline) and branches are recorded once, settled, when they end; workflows, timers and promises are
 * recorded pending and settled by somebody else.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "execution.h"
#include "fault.h"

const da_retry da_retry_default = {.max = 5, .first = 1, .factor = 2, .cap = 30, .jitter = 0.2};

const char *da_call_kind_name(da_call_kind kind)
{
  switch (kind) {
  case DA_CALL_NONE:
    return "promise";
  case DA_CALL_ROOT:
  case DA_CALL_WORKFLOW:
    return "workflow";
  case DA_CALL_STEP:
    return "step";
  case DA_CALL_INLINE:
    return "inline step";
  case DA_CALL_BRANCH:
    return "branch";
  case DA_CALL_SLEEP:
    return "sleep";
  case DA_CALL_PROMISE:
    return "promise";
  case DA_CALL_NATIVE:
    return "native";
  case DA_CALL_MARK:
    return "mark";
  }
  return "call";
}

/* ---- children ------------------------------------------------------------------------------------------ */

static void add_child(da_child ***list, size_t *count, size_t *cap, da_child *child)
{
  if (*count == *cap) {
    *cap = *cap != 0 ? *cap * 2 : 8;
    *list = da_xrealloc(*list, *cap * sizeof **list);
  }
  (*list)[(*count)++] = child;
}

static da_child *child_new(da_execution *execution, da_scope *scope, da_call_kind kind, da_slice id)
{
  da_child *child = da_xcalloc(1, sizeof *child);
  child->execution = execution;
  child->kind = kind;
  child->id = id;
  child->scope = scope;
  child->results_ref = LUA_NOREF;
  child->closure_ref = LUA_NOREF;
  add_child(&execution->children, &execution->child_count, &execution->child_cap, child);
  child->index = (uint32_t)execution->child_count;
  if (scope != NULL) add_child(&scope->children, &scope->count, &scope->cap, child);
  if (id.len != 0) (void)da_table_put(&execution->by_id, id, child);
  return child;
}

da_child *da_execution_child(da_execution *execution, uint32_t index)
{
  return index == 0 || index > execution->child_count ? NULL : execution->children[index - 1];
}

da_child *da_execution_fiber_child(da_execution *execution, bool joined)
{
  da_child *child = child_new(execution, execution->current != NULL ? execution->current->scope : &execution->main,
                              DA_CALL_NONE, DA_NONE);
  child->joined = joined;
  return child;
}

da_scope *da_scope_new(da_execution *execution, da_slice id)
{
  da_scope *scope = da_arena_zalloc(&execution->arena, sizeof *scope);
  scope->id = id;
  return scope;
}

/* The thread goes on with the step; nobody listens any more. */
static void let_go(da_child *child)
{
  if (child->job == NULL) return;
  if (da_step_pool_withdraw(child->execution->worker->steps, child->job)) {
    da_step_job_delete(child->job);
    da_execution_unref(child->execution);
  }
  child->job = NULL;
}

void da_call_stop(da_child *child)
{
  let_go(child);
  if (child->timer != NULL) da_timer_stop(child->timer);
  if (child->limit != NULL) da_timer_stop(child->limit);
  child->timer = child->limit = NULL;
}

void da_call_free(da_child *child)
{
  DA_ASSERT(child->job == NULL);
  free(child->waiters);
  free(child->owned);
  free(child);
}

/* The value of a settled promise becomes the child's; copied, since an await may come at any time. */
static void take_value(da_child *child, const da_promise *promise)
{
  da_slice rest = DA_NONE;
  const da_slice *header = da_map_get(promise->value.headers, DA_LIT("da-rest"));
  if (header != NULL) rest = *header;
  child->settled = true;
  child->state = promise->state;
  child->seq = promise->settle_seq;
  child->settled_at = promise->settled_at;
  size_t data_len = promise->value.has_data ? promise->value.data.len : 0;
  child->owned = da_xmalloc(data_len + rest.len);
  if (data_len != 0) memcpy(child->owned, promise->value.data.ptr, data_len);
  if (rest.len != 0) memcpy(child->owned + data_len, rest.ptr, rest.len);
  child->data = da_slice_make(child->owned, data_len);
  child->rest = da_slice_make(child->owned + data_len, rest.len);
}

/* A child settled in the store: tells it in its turn. */
void da_call_completed(da_child *child, const da_promise *promise)
{
  da_execution *execution = child->execution;
  da_worker_lose_interest(execution->worker, child);
  if (child->settled) return;
  take_value(child, promise);
  da_execution_event(execution, DA_EVENT_SETTLED, child);
  da_fiber_enqueue(execution, (da_delivery){.seq = child->seq, .child = child, .settled_at = child->settled_at});
}

/* Settles a child here and now, by the program's own doing: no record decides it, so neither does an order. */
static void settle_here(da_child *child, da_promise_state state, const char *code, const char *why)
{
  if (child->delivered) return;
  da_buf json = {0};
  da_fault_json(&json, code, da_slice_of(why));
  free(child->owned);
  child->owned = json.ptr;
  child->data = da_buf_slice(&json);
  child->rest = DA_NONE;
  child->settled = true;
  child->state = state;
  child->seq = 0;
  da_fiber_enqueue(child->execution, (da_delivery){.seq = child->execution->position, .child = child});
}

/* ---- what every record carries ------------------------------------------------------------------------- */

static da_map tag_map(da_arena *arena, const da_pair *pairs, size_t count)
{
  da_pair *copy = da_arena_alloc(arena, count * sizeof *copy);
  memcpy(copy, pairs, count * sizeof *copy);
  return (da_map){copy, count};
}

/* Lineage tags of a child of `scope`. A local child is settled by this execution and shares its branch. */
void da_call_tags(da_arena *arena, da_execution *execution, da_scope *scope, da_slice id, da_request *request,
                  bool local)
{
  da_pair pairs[4] = {{DA_LIT("resonate:branch"), local ? execution->id : id},
                      {DA_LIT("resonate:origin"), execution->root},
                      {DA_LIT("resonate:parent"), scope->id},
                      {DA_LIT("resonate:scope"), local ? DA_LIT("local") : DA_LIT("global")}};
  if (!da_id_below(id, execution->root) && !da_slice_eq(id, execution->root)) { /* with{id=}: a lineage of its own */
    pairs[1].value = da_id_root(id);
    pairs[2].value = da_id_root(id);
    if (local) pairs[0].value = id;
  }
  request->tags = tag_map(arena, pairs, 4);
}

static void add_tag(da_arena *arena, da_request *request, da_slice key, da_slice value)
{
  da_pair *pairs = da_arena_alloc(arena, (request->tags.count + 1) * sizeof *pairs);
  memcpy(pairs, request->tags.items, request->tags.count * sizeof *pairs);
  pairs[request->tags.count] = (da_pair){key, value};
  request->tags = (da_map){pairs, request->tags.count + 1};
}

static da_value json_value(da_arena *arena, da_slice data, da_slice rest)
{
  da_value value = {.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(arena, data)};
  if (rest.len != 0) {
    value.has_headers = true;
    da_pair pair = {DA_LIT("da-rest"), da_arena_dup(arena, rest)};
    value.headers = tag_map(arena, &pair, 1);
  }
  return value;
}

static da_request *held_request(da_op *op, da_execution *execution, da_req_kind kind, const da_child *child)
{
  da_request *request = da_op_request(op, kind);
  request->id = da_arena_dup(&op->arena, execution->id);
  request->version = execution->version;
  request->promise_id = da_arena_dup(&op->arena, child->id);
  request->timeout_at = child->timeout_at;
  request->call = child->call;
  request->no_preload = true;
  return request;
}

/* ---- recording a step or a branch ---------------------------------------------------------------------- */

static void recorded(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_reply *reply = &op->outcomes[0].reply;
  execution->busy--;
  if (reply->status == 200)
    da_call_completed(context.child, reply->promise);
  else
    da_execution_drop(execution); /* the task is not ours any more */
  da_op_delete(op);
  da_execution_pump(execution);
  da_execution_unref(execution);
}

static void record(da_execution *execution, da_child *child, da_promise_state state, da_slice data, da_slice rest)
{
  da_op *op = da_op_new();
  da_request *request = held_request(op, execution, DA_REQ_TASK_STEP, child);
  request->created_at = child->created_at;
  request->state = state;
  request->value = json_value(&op->arena, data, rest);
  da_call_tags(&op->arena, execution, child->scope, request->promise_id, request, true);
  execution->busy++;
  da_execution_submit(execution, op, child, recorded);
}

void da_execution_branch_done(da_execution *execution, da_child *child, bool ok, da_slice data, da_slice rest)
{
  if (!child->settled && !child->abandoned) record(execution, child, ok ? DA_RESOLVED : DA_REJECTED, data, rest);
}

/* ---- steps --------------------------------------------------------------------------------------------- */

static void attempt(da_child *child);

/* Seconds before the attempt after the nth: first * factor^(n-1), at most cap, spread by jitter. */
static int64_t retry_delay_ms(const da_child *child)
{
  const da_retry *retry = &child->retry;
  double seconds = retry->first * pow(retry->factor, child->attempt - 1);
  if (!(seconds < retry->cap)) seconds = retry->cap;
  double spread = (double)(da_hash64(child->id) + (uint64_t)child->attempt * 2654435761u) / 18446744073709551616.0;
  seconds *= 1 + retry->jitter * (2 * spread - 1);
  return (int64_t)(seconds * 1000);
}

static void retry_now(void *arg)
{
  da_child *child = arg;
  child->timer = NULL;
  attempt(child);
  da_execution_pump(child->execution);
}

/* One attempt ended badly: again later, or recorded as rejected. */
static void attempt_failed(da_child *child, da_slice error, bool fatal)
{
  da_execution *execution = child->execution;
  int64_t at = da_clock_now_ms() + retry_delay_ms(child);
  if (fatal || child->attempt >= child->retry.max || at >= child->timeout_at || execution->finished ||
      execution->cancel_requested) {
    da_call_stop(child);
    execution->busy--;
    record(execution, child, DA_REJECTED, error, DA_NONE);
    return;
  }
  if (execution->worker->options.event != NULL) {
    da_event event = {.kind = DA_EVENT_ATTEMPT,
                      .execution = execution->id,
                      .child = child->id,
                      .call = child->kind,
                      .func = child->call.func,
                      .attempt = child->attempt,
                      .at_ms = at,
                      .text = error};
    execution->worker->options.event(execution->worker->options.user, &event);
  }
  child->timer = da_timer_start(execution->worker->sched, at, retry_now, child);
}

static void attempt_ended(da_child *child, bool ok, da_slice data, da_slice rest, bool fatal)
{
  if (!ok) {
    attempt_failed(child, data, fatal);
    return;
  }
  da_call_stop(child);
  child->execution->busy--;
  record(child->execution, child, DA_RESOLVED, data, rest);
}

static void job_done(da_step_job *job)
{
  da_child *child = job->user;
  da_execution *execution = child->execution;
  bool current = execution->state != DA_EXECUTION_GONE && child->job == job;
  if (current) {
    child->job = NULL;
    if (child->limit != NULL && child->attempt_timeout_ms > 0) {
      da_timer_stop(child->limit);
      child->limit = NULL;
    }
    attempt_ended(child, job->ok, da_buf_slice(&job->data), da_buf_slice(&job->rest), job->fatal);
  }
  da_step_job_delete(job);
  if (current) da_execution_pump(execution);
  da_execution_unref(execution);
}

static void limit_reached(void *arg)
{
  da_child *child = arg;
  da_execution *execution = child->execution;
  child->limit = NULL;
  let_go(child);
  da_buf json = {0};
  if (da_clock_now_ms() >= child->timeout_at) {
    da_fault_json(&json, "timedout", DA_LIT("the step did not end before its deadline"));
    da_call_stop(child);
    execution->busy--;
    record(execution, child, DA_TIMEDOUT, da_buf_slice(&json), DA_NONE);
  } else {
    da_fault_json(&json, "timedout", DA_LIT("the attempt did not end in time"));
    attempt_failed(child, da_buf_slice(&json), false);
  }
  da_buf_free(&json);
  da_execution_pump(execution);
}

static void arm_limit(da_child *child)
{
  if (child->limit != NULL) da_timer_stop(child->limit);
  child->limit = NULL;
  int64_t at = child->timeout_at;
  if (child->attempt_timeout_ms > 0 && da_clock_now_ms() + child->attempt_timeout_ms < at)
    at = da_clock_now_ms() + child->attempt_timeout_ms;
  if (at < DA_TIME_MAX) child->limit = da_timer_start(child->execution->worker->sched, at, limit_reached, child);
}

static void attempt_named(da_child *child)
{
  da_execution *execution = child->execution;
  da_step_job *job = da_step_job_new();
  job->bundle = da_bundle_ref(da_worker_step_bundle(execution->worker, child->call.func, execution->bundle));
  job->func = da_arena_dup(&job->arena, child->call.func);
  job->args = da_arena_dup(&job->arena, child->args);
  job->id = da_arena_dup(&job->arena, child->id);
  job->execution = da_arena_dup(&job->arena, execution->id);
  job->attempt = child->attempt;
  job->deadline_ms = child->timeout_at;
  job->done = job_done;
  job->user = child;
  child->job = job;
  da_execution_ref(execution);
  da_step_pool_submit(execution->worker->steps, job);
  arm_limit(child);
}

/* Runs the closure on the isolate's main thread, where it cannot yield. */
static void attempt_inline(da_child *child)
{
  da_execution *execution = child->execution;
  lua_State *L = execution->L;
  int top = lua_gettop(L);
  uint64_t begin = da_clock_mono_ns();
  lua_checkstack(L, 8);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_INLINE);
  lua_rawgeti(L, LUA_REGISTRYINDEX, child->closure_ref);
  execution->inline_running = true;
  da_isolate_set_inline(execution->isolate, true);
  int status = lua_pcall(L, 1, 4, 0);
  da_isolate_set_inline(execution->isolate, false);
  execution->inline_running = false;
  if (da_isolate_poisoned(L) != DA_POISON_NONE) {
    da_execution_park(execution, "memory", "inline step '%.*s' outgrew the memory quota of its execution",
                      DA_FMT(child->id));
    lua_settop(L, top);
    return;
  }
  uint64_t ms = (da_clock_mono_ns() - begin) / 1000000;
  if (ms > 20)
    da_log(DA_LOG_WARN, "inline.slow", "id=%.*s ms=%llu at=%.*s:%u mend=\"make it a named step\"", DA_FMT(child->id),
           (unsigned long long)ms, DA_FMT(child->call.file), child->call.line);
  size_t data_len = 0, rest_len = 0;
  bool ok = status == LUA_OK && lua_toboolean(L, top + 1) != 0;
  const char *data = lua_tolstring(L, status == LUA_OK ? top + 2 : -1, &data_len);
  const char *rest = status == LUA_OK ? lua_tolstring(L, top + 3, &rest_len) : NULL;
  bool fatal = status == LUA_OK && lua_toboolean(L, top + 4) != 0;
  attempt_ended(child, ok, da_slice_make(data, data_len), da_slice_make(rest, rest_len), fatal);
  lua_settop(L, top);
}

static void attempt(da_child *child)
{
  child->attempt++;
  if (child->kind == DA_CALL_INLINE)
    attempt_inline(child);
  else
    attempt_named(child);
}

static void start_step(da_child *child, const da_call_spec *spec)
{
  da_execution *execution = child->execution;
  child->retry = spec->retry != NULL ? *spec->retry : da_retry_default;
  child->attempt_timeout_ms = spec->attempt_timeout_ms;
  child->args = da_arena_dup(&execution->arena, spec->args);
  execution->busy++;
  attempt(child);
}

/* ---- workflows, timers, promises ----------------------------------------------------------------------- */

static void begin_child_execution(da_execution *parent, const da_reply *reply)
{
  da_worker *worker = parent->worker;
  const da_task *task = reply->task;
  if (task == NULL || task->state != DA_TASK_ACQUIRED || !da_slice_eq(task->pid, worker->pid)) return;
  if (da_table_get(&worker->executions, task->id) != NULL) return;
  da_execution_begin(da_execution_new(worker, task->id), task->version, reply->promise);
}

static void created(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  da_child *child = context.child;
  const da_reply *reply = &op->outcomes[0].reply;
  bool spawned = op->requests[0].kind == DA_REQ_TASK_SPAWN;
  if (child->global) execution->holds--;
  if (reply->status == 200 && !spawned) reply = reply->inner;
  if (reply->status != 200) {
    if (op->outcomes[0].reply.status == 409) {
      da_execution_drop(execution);
    } else {
      da_worker_lose_interest(execution->worker, child);
      da_execution_park(execution, "refused", "'%.*s' was refused: %.*s", DA_FMT(child->id), DA_FMT(reply->message));
    }
  } else if (reply->promise->state != DA_PENDING) {
    da_call_completed(child, reply->promise);
  } else if (spawned) {
    begin_child_execution(execution, reply);
  }
  da_op_delete(op);
  da_execution_pump(execution);
  da_execution_unref(execution);
}

static void start_foreign(da_child *child, const da_call_spec *spec)
{
  da_execution *execution = child->execution;
  da_worker *worker = execution->worker;
  da_op *op = da_op_new();
  bool workflow = child->kind == DA_CALL_WORKFLOW;
  da_request *request = held_request(op, execution, workflow ? DA_REQ_TASK_SPAWN : DA_REQ_TASK_FENCE, child);
  da_call_tags(&op->arena, execution, child->scope, request->promise_id, request, false);
  if (workflow) {
    request->pid = worker->pid;
    request->ttl = DA_TIME_MAX;
    add_tag(&op->arena, request, DA_LIT("resonate:target"), worker->target);
    da_buf param = {0};
    da_buf_addf(&param, "{\"args\":%.*s,\"func\":", DA_FMT(spec->args));
    da_fault_string(&param, spec->func);
    da_buf_addf(&param, ",\"version\":1}");
    request->param = json_value(&op->arena, da_buf_slice(&param), DA_NONE);
    da_buf_free(&param);
  } else if (child->kind == DA_CALL_SLEEP) {
    add_tag(&op->arena, request, DA_LIT("resonate:timer"), DA_LIT("true"));
  } else if (spec->has_data) {
    request->param = json_value(&op->arena, spec->data, DA_NONE);
  }
  da_worker_interest(worker, child);
  if (child->global) execution->holds++;
  da_execution_submit(execution, op, child, created);
}

/* ---- a promise of another lineage ---------------------------------------------------------------------- */

static void looked_up(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_reply *reply = &op->outcomes[0].reply;
  execution->holds--;
  if (reply->status != 200) {
    da_worker_lose_interest(execution->worker, context.child);
    settle_here(context.child, DA_REJECTED, "not_found", "no promise has this id");
  } else if (reply->promise->state != DA_PENDING) {
    da_call_completed(context.child, reply->promise);
  } else {
    da_worker_admit(execution->worker, da_id_root(context.child->id));
  }
  da_op_delete(op);
  da_execution_pump(execution);
  da_execution_unref(execution);
}

da_child *da_execution_get(da_execution *execution, da_slice id)
{
  da_child *child = da_table_get(&execution->by_id, id);
  if (child != NULL) return child;
  child = child_new(execution, execution->current->scope, DA_CALL_PROMISE, da_arena_dup(&execution->arena, id));
  child->foreign = child->global = true;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_PROMISE_GET);
  request->id = child->id;
  da_worker_interest(execution->worker, child);
  execution->holds++;
  da_execution_submit(execution, op, child, looked_up);
  return child;
}

/* ---- the call ------------------------------------------------------------------------------------------ */

typedef struct da_counter {
  da_slice name;
  uint64_t count;
} da_counter;

static da_slice call_id(da_execution *execution, da_scope *scope, const da_call_spec *spec)
{
  if (spec->id.len != 0) return da_arena_dup(&execution->arena, spec->id);
  if (spec->key.len != 0) return da_id_child_key(&execution->arena, scope->id, spec->func, spec->key);
  da_counter *counter = da_table_get(&scope->counts, spec->func);
  if (counter == NULL) {
    counter = da_arena_zalloc(&execution->arena, sizeof *counter);
    counter->name = da_arena_dup(&execution->arena, spec->func);
    (void)da_table_put(&scope->counts, counter->name, counter);
  }
  return da_id_child(&execution->arena, scope->id, spec->func, ++counter->count);
}

/* The words of one side of a divergence. */
static void describe(da_buf *out, const da_call *call)
{
  char hex[33];
  da_digest_hex(&call->args, hex);
  da_buf_addf(out, "%s '%.*s' args#%.8s (%.*s:%u)", da_call_kind_name(call->kind), DA_FMT(call->func), hex,
              DA_FMT(call->file), call->line);
}

static void diverged(da_execution *execution, da_slice id, const da_call *wanted, da_slice record_id,
                     const da_call *held)
{
  da_buf words = {0};
  da_buf_addf(&words, "replay of '%.*s' wants ", DA_FMT(execution->id));
  describe(&words, wanted);
  da_buf_addf(&words, " as '%.*s', but record '%.*s' holds ", DA_FMT(id), DA_FMT(record_id));
  describe(&words, held);
  da_execution_park(execution, "nondeterminism", "%.*s", DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
}

/* Is the record the call's own? Parks if not. */
static bool same_call(da_execution *execution, da_slice id, const da_call *wanted, const da_promise *found)
{
  const da_call *held = &found->call;
  if (held->kind == DA_CALL_NONE) return true; /* made from outside under this id */
  if (held->kind == wanted->kind && da_slice_eq(held->func, wanted->func) && da_digest_eq(&held->args, &wanted->args))
    return true;
  diverged(execution, id, wanted, found->id, held);
  return false;
}

static const da_promise *record_at(const da_execution *execution, uint32_t ordinal)
{
  if (ordinal >= execution->ordinal_cap || execution->by_ordinal[ordinal].len == 0) return NULL;
  da_record *found = da_table_get(&execution->records, execution->by_ordinal[ordinal]);
  return found != NULL ? found->promise : NULL;
}

/* The call met its record: a settled one waits in the queue already, a pending one is waited for. */
static void meet_record(da_child *child, da_record *found)
{
  da_execution *execution = child->execution;
  const da_promise *promise = found->promise;
  if (found->child == NULL) {
    found->child = child;
    execution->unreached--;
    execution->worker->stats.replayed_calls++;
  }
  child->created_at = promise->created_at;
  child->timeout_at = promise->timeout_at;
  if (promise->state == DA_PENDING) {
    if (child->foreign) da_worker_interest(execution->worker, child);
  } else {
    const da_slice *rest = da_map_get(promise->value.headers, DA_LIT("da-rest"));
    child->settled = true;
    child->state = promise->state;
    child->seq = promise->settle_seq;
    child->settled_at = promise->settled_at;
    child->data = promise->value.has_data ? promise->value.data : DA_NONE; /* lives as long as the load op */
    child->rest = rest != NULL ? *rest : DA_NONE;
  }
  da_execution_event(execution, DA_EVENT_REPLAYED, child);
}

static void set_deadline(da_child *child, const da_call_spec *spec)
{
  child->created_at = da_clock_now_ms();
  child->timeout_at = child->execution->timeout_at;
  int64_t at = spec->at_ms;
  if (child->kind != DA_CALL_SLEEP || at < 0)
    at = spec->timeout_ms < 0 ? DA_TIME_MAX : child->created_at + spec->timeout_ms;
  if (at < child->timeout_at) child->timeout_at = at;
}

static void start(da_child *child, const da_call_spec *spec)
{
  set_deadline(child, spec);
  da_execution_event(child->execution, DA_EVENT_CALLED, child);
  switch (child->kind) {
  case DA_CALL_STEP:
  case DA_CALL_INLINE:
  case DA_CALL_NATIVE:
    start_step(child, spec);
    break;
  case DA_CALL_WORKFLOW:
  case DA_CALL_SLEEP:
  case DA_CALL_PROMISE:
    start_foreign(child, spec);
    break;
  case DA_CALL_BRANCH: /* its fiber is the caller's to start */
  case DA_CALL_NONE:
  case DA_CALL_ROOT:
  case DA_CALL_MARK:
    break;
  }
}

/* The same key or id again: the same promise, if it is the same call. */
static da_child *same_promise(da_child *known, const da_call *call, da_err *err)
{
  if (known->kind == call->kind && da_slice_eq(known->call.func, call->func) &&
      da_digest_eq(&known->call.args, &call->args))
    return known;
  (void)da_fail(err, DA_EINVAL, "'%.*s' was called before with another function or other arguments (%.*s:%u)",
                DA_FMT(known->id), DA_FMT(known->call.file), known->call.line);
  return NULL;
}

da_child *da_execution_call(da_execution *execution, const da_call_spec *spec, da_err *err)
{
  da_scope *scope = execution->current->scope;
  da_call call = {.kind = spec->kind,
                  .line = spec->line,
                  .file = da_arena_dup(&execution->arena, spec->file),
                  .func = da_arena_dup(&execution->arena, spec->func),
                  .args = da_hash128(spec->args)};
  da_slice id = call_id(execution, scope, spec);
  const char *fault = da_id_fault(id);
  if (fault != NULL) {
    (void)da_fail(err, DA_EINVAL, "'%.*s' cannot be an id: %s", DA_FMT(id), fault);
    return NULL;
  }
  da_child *known = da_table_get(&execution->by_id, id);
  if (known != NULL) return same_promise(known, &call, err);
  call.ordinal = ++execution->next_ordinal;
  if (spec->kind == DA_CALL_WORKFLOW) {
    call.has_bundle = true;
    call.bundle = execution->bundle->hash;
  }
  da_record *found = da_table_get(&execution->records, id);
  if (found != NULL && !same_call(execution, id, &call, found->promise)) return NULL;
  const da_promise *holder = found == NULL ? record_at(execution, call.ordinal) : NULL;
  if (holder != NULL) {
    diverged(execution, id, &call, holder->id, &holder->call);
    return NULL;
  }
  da_child *child = child_new(execution, scope, spec->kind, id);
  child->call = call;
  child->global = spec->id.len != 0;
  child->foreign = spec->kind == DA_CALL_WORKFLOW || spec->kind == DA_CALL_SLEEP || spec->kind == DA_CALL_PROMISE;
  child->joined = spec->kind != DA_CALL_SLEEP && spec->kind != DA_CALL_PROMISE;
  child->closure_ref = spec->closure_ref;
  if (found != NULL) meet_record(child, found);
  if (found == NULL || (found->promise->state == DA_PENDING && !child->foreign)) start(child, spec);
  return child;
}

/* ---- cancelling a child -------------------------------------------------------------------------------- */

static void withdrawn(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_op_delete(op);
  da_execution_unref(context.execution);
}

static void withdraw(da_execution *execution, da_child *child)
{
  da_op *op = da_op_new();
  da_request *request = held_request(op, execution, DA_REQ_TASK_FENCE, child);
  request->fence_settles = true;
  request->state = DA_CANCELED;
  da_execution_submit(execution, op, child, withdrawn);
}

void da_execution_cancel_child(da_execution *execution, da_child *child, const char *why)
{
  if (child->delivered || child->abandoned) return;
  switch (child->kind) {
  case DA_CALL_STEP:
  case DA_CALL_INLINE:
  case DA_CALL_NATIVE:
    if (child->settled) return;                             /* recorded: its turn comes */
    if (child->job == NULL && child->timer == NULL) return; /* being recorded */
    child->abandoned = true;
    da_call_stop(child);
    execution->busy--;
    da_buf json = {0};
    da_fault_json(&json, "canceled", da_slice_of(why));
    record(execution, child, DA_CANCELED, da_buf_slice(&json), DA_NONE);
    da_buf_free(&json);
    return;
  case DA_CALL_SLEEP:
  case DA_CALL_PROMISE:
    child->abandoned = true;
    da_worker_lose_interest(execution->worker, child);
    if (!child->global && !child->settled) withdraw(execution, child);
    settle_here(child, DA_CANCELED, "canceled", why);
    return;
  case DA_CALL_WORKFLOW:
    child->abandoned = true; /* asked once; it ends in its own time */
    da_worker_cancel(execution->worker->sched, child->id, da_slice_of(why), NULL, NULL);
    return;
  case DA_CALL_BRANCH:
  case DA_CALL_NONE:
  case DA_CALL_ROOT:
  case DA_CALL_MARK:
    return;
  }
}

/* ---- records at the start of a replay ------------------------------------------------------------------ */

void da_call_load(da_execution *execution, da_op *load)
{
  execution->load = load;
  for (size_t i = 0; i < execution->record_count; i++) {
    da_record *record_ = &execution->record_list[i];
    const da_promise *promise = record_->promise;
    (void)da_table_put(&execution->records, promise->id, record_);
    if (promise->call.kind == DA_CALL_MARK || promise->call.kind == DA_CALL_NONE) continue;
    execution->unreached++;
    if (promise->call.ordinal != 0) {
      while (promise->call.ordinal >= execution->ordinal_cap) {
        size_t cap = execution->ordinal_cap != 0 ? execution->ordinal_cap * 2 : 16;
        execution->by_ordinal = da_xrealloc(execution->by_ordinal, cap * sizeof *execution->by_ordinal);
        memset(execution->by_ordinal + execution->ordinal_cap, 0,
               (cap - execution->ordinal_cap) * sizeof *execution->by_ordinal);
        execution->ordinal_cap = cap;
      }
      execution->by_ordinal[promise->call.ordinal] = promise->id;
    }
    if (promise->state == DA_PENDING) continue;
    execution->recorded_left++;
    da_fiber_enqueue(execution,
                     (da_delivery){.seq = promise->settle_seq, .record = record_, .settled_at = promise->settled_at});
  }
}
