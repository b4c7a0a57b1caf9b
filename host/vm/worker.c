/* worker.c - who drives executions: bundles served, messages followed, interest in settlements, the warm cache.
 *
 * Interest: a promise somebody else settles is looked up by id among the children that wait for it here; since every
 * settlement of the store is told in commit order, a completion reaches its execution in that order too.
 * Warm: a suspended isolate stays in memory, oldest evicted first, within warm_limit bytes. Recovery never needs it.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "execution.h"
#include "fault.h"

enum { WARM_BYTES = 64 << 20 };

typedef struct da_follow {
  da_slice id;
  void (*fn)(void *user, const da_promise *promise);
  void *user;
  struct da_follow *next;
} da_follow;

/* ---- interest ------------------------------------------------------------------------------------------ */

void da_worker_interest(da_worker *worker, da_child *child)
{
  da_interest *interest = da_table_get(&worker->interest, child->id);
  if (interest == NULL) {
    interest = da_xcalloc(1, sizeof *interest);
    interest->id = da_slice_make(da_xstrndup(child->id), child->id.len);
    (void)da_table_put(&worker->interest, interest->id, interest);
  }
  if (interest->count == interest->cap) {
    interest->cap = interest->cap != 0 ? interest->cap * 2 : 1;
    interest->children = da_xrealloc(interest->children, interest->cap * sizeof *interest->children);
  }
  interest->children[interest->count++] = child;
}

static void free_interest(da_interest *interest)
{
  char *id;
  memcpy(&id, &interest->id.ptr, sizeof id); /* made above */
  free(id);
  free(interest->children);
  free(interest);
}

void da_worker_lose_interest(da_worker *worker, da_child *child)
{
  if (!child->foreign) return;
  da_interest *interest = da_table_get(&worker->interest, child->id);
  if (interest == NULL) return;
  for (size_t i = 0; i < interest->count; i++) {
    if (interest->children[i] != child) continue;
    interest->children[i] = interest->children[--interest->count];
    break;
  }
  if (interest->count > 0) return;
  (void)da_table_remove(&worker->interest, child->id);
  free_interest(interest);
}

/* Tells every child that waits for the promise. Telling one may end the execution of another. */
static void tell_interest(da_worker *worker, const da_promise *promise)
{
  for (;;) {
    da_interest *interest = da_table_get(&worker->interest, promise->id);
    if (interest == NULL) return;
    da_child *child = interest->children[interest->count - 1];
    da_execution *execution = child->execution;
    da_execution_ref(execution);
    da_call_completed(child, promise); /* loses its interest */
    da_execution_pump(execution);
    da_execution_unref(execution);
  }
}

/* ---- cancellation -------------------------------------------------------------------------------------- */

da_slice da_cancel_id(da_arena *arena, da_slice id)
{
  char separator = da_id_separator(id);
  da_slice parts[3] = {id, da_slice_make(&separator, 1), DA_LIT("~cancel")};
  return da_arena_join(arena, parts, 3);
}

/* If the promise asks an execution to cancel: that execution's id, else empty. */
static da_slice cancel_target(da_slice id)
{
  da_slice tail = DA_LIT("~cancel");
  if (id.len < tail.len + 2 || memcmp(id.ptr + id.len - tail.len, tail.ptr, tail.len) != 0) return DA_NONE;
  return da_slice_make(id.ptr, id.len - tail.len - 1);
}

static void tell_cancel(da_worker *worker, const da_promise *promise)
{
  da_slice target = cancel_target(promise->id);
  da_execution *execution = target.len != 0 ? da_table_get(&worker->executions, target) : NULL;
  if (execution == NULL || execution->L == NULL) return; /* one that is loading finds the record */
  da_slice why = da_arena_dup(&execution->arena, promise->value.data);
  da_fiber_enqueue(
      execution,
      (da_delivery){.seq = promise->settle_seq, .cancels = true, .cancel = why, .settled_at = promise->settled_at});
  da_execution_pump(execution);
}

typedef struct cancel_request {
  void (*done)(void *user, int status);
  void *user;
} cancel_request;

static void cancel_done(da_op *op)
{
  cancel_request *request = op->user;
  int status = 503;
  if (op->status == DA_OK) {
    const da_reply *target = &op->outcomes[0].reply;
    status = target->status == 200 && target->promise->state != DA_PENDING ? 409 : target->status;
  }
  if (request->done != NULL) request->done(request->user, status);
  da_op_delete(op);
}

void da_worker_cancel(da_sched *sched, da_slice id, da_slice why, void (*done)(void *user, int status), void *user)
{
  da_op *op = da_op_new();
  cancel_request *state = da_arena_zalloc(&op->arena, sizeof *state);
  state->done = done;
  state->user = user;
  op->user = state;
  op->done = cancel_done;
  op->stop_at_refusal = true;
  id = da_arena_dup(&op->arena, id);
  da_slice mark = da_cancel_id(&op->arena, id);
  da_op_request(op, DA_REQ_PROMISE_GET)->id = id;
  da_request *create = da_op_request(op, DA_REQ_PROMISE_CREATE);
  da_pair *tags = da_arena_alloc(&op->arena, 4 * sizeof *tags);
  tags[0] = (da_pair){DA_LIT("resonate:branch"), id};
  tags[1] = (da_pair){DA_LIT("resonate:origin"), da_id_root(id)};
  tags[2] = (da_pair){DA_LIT("resonate:parent"), id};
  tags[3] = (da_pair){DA_LIT("resonate:scope"), DA_LIT("global")};
  create->id = mark;
  create->timeout_at = DA_TIME_MAX;
  create->tags = (da_map){tags, 4};
  create->call.kind = DA_CALL_MARK;
  da_request *callback = da_op_request(op, DA_REQ_PROMISE_REGISTER_CALLBACK);
  callback->id = mark;
  callback->awaiter = id;
  da_request *settle = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  da_buf json = {0};
  da_fault_string(&json, why.len != 0 ? why : DA_LIT("canceled"));
  settle->id = mark;
  settle->state = DA_RESOLVED;
  settle->value =
      (da_value){.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, da_buf_slice(&json))};
  da_buf_free(&json);
  da_sched_submit(sched, op, false);
}

/* ---- what the sched tells ------------------------------------------------------------------------------ */

static void tell_follows(da_worker *worker, const da_promise *promise)
{
  da_follow *follow = da_table_remove(&worker->follows, promise->id);
  while (follow != NULL) {
    da_follow *next = follow->next;
    follow->fn(follow->user, promise);
    char *id;
    memcpy(&id, &follow->id.ptr, sizeof id);
    free(id);
    free(follow);
    follow = next;
  }
}

static void tell_owner(da_worker *worker, const da_promise *promise)
{
  da_execution *execution = da_table_get(&worker->executions, promise->id);
  if (execution != NULL) {
    if (worker->options.event != NULL) {
      da_event event = {.kind = DA_EVENT_COMPLETED,
                        .execution = execution->id,
                        .func = execution->func,
                        .state = promise->state,
                        .at_ms = promise->settled_at};
      worker->options.event(worker->options.user, &event);
    }
    if (execution->state != DA_EXECUTION_FINISHING)
      da_execution_drop(execution); /* settled from outside, or its deadline */
  }
}

static void on_settled(void *user, const da_promise *promise)
{
  da_worker *worker = user;
  if (worker->closing) return;
  tell_owner(worker, promise);
  tell_interest(worker, promise);
  tell_cancel(worker, promise);
  tell_follows(worker, promise);
}

static bool admitted(da_worker *worker, da_slice id)
{
  return worker->driving && (worker->driving_all || da_table_get(&worker->admitted, da_id_root(id)) != NULL);
}

static void on_execute(void *user, const da_message *message)
{
  da_worker *worker = user;
  if (worker->closing || !admitted(worker, message->id)) return;
  da_execution *execution = da_table_get(&worker->executions, message->id);
  if (execution == NULL)
    da_execution_claim(da_execution_new(worker, message->id), message->version);
  else if (execution->state == DA_EXECUTION_SUSPENDED)
    da_execution_claim(execution, message->version);
}

da_sched_events da_worker_events(da_worker *worker)
{
  return (da_sched_events){.settled = on_settled, .execute = on_execute, .user = worker};
}

void da_worker_on_event(da_worker *worker, void (*event)(void *user, const da_event *event), void *user)
{
  worker->options.event = event;
  worker->options.user = user;
}

void da_worker_drive(da_worker *worker, bool all)
{
  worker->driving = true;
  worker->driving_all = all;
}

void da_worker_admit(da_worker *worker, da_slice root_id)
{
  if (da_table_get(&worker->admitted, root_id) != NULL) return;
  da_slice *key = da_arena_alloc(&worker->arena, sizeof *key);
  *key = da_arena_dup(&worker->arena, root_id);
  (void)da_table_put(&worker->admitted, *key, key);
}

/* ---- the warm cache ------------------------------------------------------------------------------------ */

void da_worker_unwarm(da_worker *worker, da_execution *execution)
{
  *(execution->warm_prev != NULL ? &execution->warm_prev->warm_next : &worker->warm_first) = execution->warm_next;
  *(execution->warm_next != NULL ? &execution->warm_next->warm_prev : &worker->warm_last) = execution->warm_prev;
  execution->warm_prev = execution->warm_next = NULL;
  worker->warm_bytes -= execution->warm_bytes;
  worker->stats.warm--;
}

bool da_worker_make_room(da_worker *worker)
{
  if (worker->warm_first == NULL) return false;
  da_execution_drop(worker->warm_first);
  return true;
}

void da_worker_warm(da_worker *worker, da_execution *execution)
{
  execution->warm_bytes = da_isolate_used(execution->isolate) + da_arena_size(&execution->arena);
  worker->warm_bytes += execution->warm_bytes;
  worker->stats.warm++;
  execution->warm_prev = worker->warm_last;
  *(worker->warm_last != NULL ? &worker->warm_last->warm_next : &worker->warm_first) = execution;
  worker->warm_last = execution;
  while (worker->warm_bytes > worker->warm_limit && da_worker_make_room(worker)) continue;
  da_worker_slot_freed(worker);
}

static void enter_waiting(void *arg)
{
  da_worker *worker = arg;
  worker->entering = false;
  size_t count = worker->waiting_count;
  da_execution **list = worker->waiting;
  worker->waiting = NULL;
  worker->waiting_count = worker->waiting_cap = 0;
  for (size_t i = 0; i < count; i++) {
    if (!worker->closing) da_execution_enter(list[i]); /* no slot: it queues up again, in the same order */
    da_execution_unref(list[i]);
  }
  free(list);
}

void da_worker_slot_freed(da_worker *worker)
{
  if (worker->waiting_count == 0 || worker->entering || worker->closing) return;
  worker->entering = true;
  da_sched_post(worker->sched, enter_waiting, worker);
}

bool da_worker_forget(da_worker *worker, da_slice id, da_slice *busy)
{
  void *value;
  for (size_t i = 0; da_table_next(&worker->executions, &i, &value);) {
    da_execution *execution = value;
    if (!da_slice_eq(execution->id, id) && !da_id_below(execution->id, id)) continue;
    if (execution->state != DA_EXECUTION_SUSPENDED) {
      *busy = execution->id;
      return false;
    }
    da_execution_drop(execution);
  }
  return true;
}

/* ---- bundles ------------------------------------------------------------------------------------------- */

/* package.loaded[name] while a bundle loads; modules run once per isolate. Upvalue: the table of loaded modules. */
static int require_module(lua_State *L)
{
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  lua_settop(L, 1);
  lua_getfield(L, lua_upvalueindex(1), name);
  if (!lua_isnil(L, -1)) return 1;
  da_host *host = da_isolate_host(L);
  const da_bundle *bundle = host->loading ? ((da_load_context *)host)->bundle : ((da_execution *)host)->bundle;
  const da_module *module = da_bundle_find(bundle, da_slice_make(name, len));
  if (module == NULL)
    return luaL_error(L,
                      "module '%s' is not part of the bundle (no '%s.lua' beside the script); in a workflow only such "
                      "modules exist, in "
                      "a step every module does: require it inside function step.NAME",
                      name, name);
  lua_pushlstring(L, module->file.ptr, module->file.len);
  lua_pushfstring(L, "@%s", lua_tostring(L, -1));
  if (luaL_loadbufferx(L, module->text.ptr, module->text.len, lua_tostring(L, -1), "t") != LUA_OK) return lua_error(L);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  if (lua_isnil(L, -1)) lua_pushboolean(L, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, lua_upvalueindex(1), name);
  return 1;
}

int da_worker_open_isolate(lua_State *L, void *user)
{
  da_load_context *context = user;
  da_isolate_set_host(da_isolate_of(L), context);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_MODULES);
  lua_pushcclosure(L, require_module, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "da.require");
  context->worker->options.hooks.open_isolate(L);
  const da_module *script = &context->bundle->modules[0];
  lua_pushlstring(L, script->file.ptr, script->file.len);
  lua_pushfstring(L, "@%s", lua_tostring(L, -1));
  if (luaL_loadbufferx(L, script->text.ptr, script->text.len, lua_tostring(L, -1), "t") != LUA_OK) return 1;
  lua_call(L, 0, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_LOADED);
  lua_call(L, 0, 0);
  lua_settop(L, 0);
  return 0;
}

static int by_function_name(const void *a, const void *b)
{
  return da_slice_cmp(((const da_function *)a)->name, ((const da_function *)b)->name);
}

/* Reads the registry of functions that the script filled. The stack is the caller's to restore. */
static void learn_functions(lua_State *L, da_served *served)
{
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  size_t cap = 0;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    if (served->function_count == cap) {
      cap = cap != 0 ? cap * 2 : 8;
      served->functions = da_xrealloc(served->functions, cap * sizeof *served->functions);
    }
    da_function *function = &served->functions[served->function_count++];
    size_t len;
    const char *name = lua_tolstring(L, -2, &len);
    *function = (da_function){.name = da_arena_dup(&served->arena, da_slice_make(name, len))};
    lua_getfield(L, -1, "workflow");
    function->workflow = lua_toboolean(L, -1) != 0;
    lua_getfield(L, -2, "line");
    function->line = (int)lua_tointeger(L, -1);
    lua_getfield(L, -3, "file");
    const char *file = lua_tolstring(L, -1, &len);
    function->file = da_arena_dup(&served->arena, da_slice_make(file, file != NULL ? len : 0));
    lua_pop(L, 4);
  }
  if (served->function_count > 0)
    qsort(served->functions, served->function_count, sizeof *served->functions, by_function_name);
}

da_served *da_worker_bundle(da_worker *worker, const da_digest *hash)
{
  return da_table_get(&worker->bundles, da_slice_make((const char *)hash->bytes, sizeof hash->bytes));
}

da_served *da_worker_keep(da_worker *worker, da_bundle *bundle)
{
  da_served *served = da_worker_bundle(worker, &bundle->hash);
  if (served != NULL) return served;
  served = da_xcalloc(1, sizeof *served);
  served->bundle = da_bundle_ref(bundle);
  (void)da_table_put(&worker->bundles, da_slice_make((const char *)bundle->hash.bytes, sizeof bundle->hash.bytes),
                     served);
  return served;
}

static const da_function *find_function(const da_served *served, da_slice name)
{
  for (size_t i = 0; i < served->function_count; i++)
    if (da_slice_eq(served->functions[i].name, name)) return &served->functions[i];
  return NULL;
}

da_bundle *da_worker_step_bundle(da_worker *worker, da_slice func, da_bundle *pinned)
{
  for (da_served *served = worker->newest; served != NULL; served = served->older) {
    const da_function *function = find_function(served, func);
    if (function != NULL && !function->workflow) return served->bundle;
  }
  return pinned;
}

typedef struct bundle_write {
  da_digest hash;
  da_slice bytes;
} bundle_write;

static da_status write_bundle(da_store *store, da_op *op, da_err *err)
{
  const bundle_write *write = op->call_argument;
  return da_store_bundle_put(store, &write->hash, write->bytes, err);
}

static void store_bundle(da_worker *worker, const da_bundle *bundle)
{
  da_op *op = da_op_new();
  bundle_write *write = da_arena_alloc(&op->arena, sizeof *write);
  *write = (bundle_write){bundle->hash, da_arena_dup(&op->arena, bundle->bytes)};
  op->call = write_bundle;
  op->call_argument = write;
  da_sched_submit(worker->sched, op, false); /* before every op of an execution that is pinned to it */
}

da_status da_worker_serve(da_worker *worker, da_bundle *bundle, da_err *err)
{
  da_load_context context = {.host = {.loading = true}, .worker = worker, .bundle = bundle, .loud = true};
  da_isolate *isolate = NULL;
  da_status status = da_isolate_new(worker->region, &bundle->hash, da_worker_open_isolate, &context, &isolate, err);
  if (status != DA_OK) return status;
  da_served *served = da_worker_keep(worker, bundle);
  if (!served->served) {
    learn_functions(da_isolate_lua(isolate), served);
    served->served = true;
    served->older = worker->newest;
    worker->newest = served;
    store_bundle(worker, bundle);
  }
  lua_settop(da_isolate_lua(isolate), 0);
  da_isolate_delete(isolate);
  return DA_OK;
}

const da_function *da_worker_functions(da_worker *worker, const da_bundle *bundle, size_t *count)
{
  const da_served *served = da_worker_bundle(worker, &bundle->hash);
  *count = served != NULL ? served->function_count : 0;
  return served != NULL ? served->functions : NULL;
}

/* ---- starting and following ---------------------------------------------------------------------------- */

typedef struct start_request {
  da_worker *worker;
  da_slice id, func, args;
  da_digest bundle;
  da_worker_started *done;
  void *user;
} start_request;

static void tell_started(const start_request *start, const da_reply *reply, bool created)
{
  da_err err = {{0}};
  if (reply->status == 200)
    start->done(start->user, reply->promise, created, DA_OK, NULL);
  else
    start->done(start->user, NULL, false, da_fail(&err, DA_EINVAL, "%.*s", DA_FMT(reply->message)), &err);
}

/* The answer to an op's first request, or NULL when the op failed. */
static const da_reply *first_reply(const da_op *op)
{
  return op->status == DA_OK ? &op->outcomes[0].reply : NULL;
}

static void start_made(da_op *op)
{
  const start_request *start = op->call_argument;
  const da_reply *reply = first_reply(op);
  if (reply == NULL) {
    start->done(start->user, NULL, false, op->status, &op->err);
  } else {
    da_worker *worker = start->worker;
    if (reply->status == 200 && reply->task->state == DA_TASK_ACQUIRED &&
        da_table_get(&worker->executions, start->id) == NULL)
      da_execution_begin(da_execution_new(worker, start->id), reply->task->version, reply->promise);
    tell_started(start, reply, true);
  }
  da_op_delete(op);
}

da_request *da_worker_root_request(da_op *op, da_req_kind kind, da_slice target, da_slice id, da_slice func,
                                   da_slice args, const da_digest *bundle)
{
  da_request *request = da_op_request(op, kind);
  da_pair *tags = da_arena_alloc(&op->arena, 5 * sizeof *tags);
  id = da_arena_dup(&op->arena, id);
  tags[0] = (da_pair){DA_LIT("resonate:branch"), id};
  tags[1] = (da_pair){DA_LIT("resonate:origin"), da_id_root(id)};
  tags[2] = (da_pair){DA_LIT("resonate:parent"), id};
  tags[3] = (da_pair){DA_LIT("resonate:scope"), DA_LIT("global")};
  tags[4] = (da_pair){DA_LIT("resonate:target"), da_arena_dup(&op->arena, target)};
  da_buf param = {0};
  da_buf_addf(&param, "{\"args\":%.*s,\"func\":", DA_FMT(args));
  da_fault_string(&param, func);
  da_buf_addf(&param, ",\"version\":1}");
  request->id = id;
  request->timeout_at = DA_TIME_MAX;
  request->tags = (da_map){tags, 5};
  request->param =
      (da_value){.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, da_buf_slice(&param))};
  request->no_preload = true;
  request->call = (da_call){.kind = DA_CALL_ROOT,
                            .func = da_arena_dup(&op->arena, func),
                            .args = da_hash128(args),
                            .has_bundle = true,
                            .bundle = *bundle};
  da_buf_free(&param);
  return request;
}

static void make_start(const start_request *start)
{
  da_op *op = da_op_new();
  start_request *copy = da_arena_alloc(&op->arena, sizeof *copy);
  *copy = *start;
  copy->id = da_arena_dup(&op->arena, start->id);
  copy->func = da_arena_dup(&op->arena, start->func);
  copy->args = da_arena_dup(&op->arena, start->args);
  da_request *request = da_worker_root_request(op, DA_REQ_TASK_CREATE, start->worker->target, copy->id, copy->func,
                                               copy->args, &copy->bundle);
  request->pid = start->worker->pid;
  request->ttl = DA_TIME_MAX;
  op->call_argument = copy;
  op->done = start_made;
  da_sched_submit(start->worker->sched, op, false);
}

static void start_looked(da_op *op)
{
  const start_request *start = op->call_argument;
  const da_reply *reply = first_reply(op);
  if (reply == NULL)
    start->done(start->user, NULL, false, op->status, &op->err);
  else if (reply->status == 404)
    make_start(start);
  else
    tell_started(start, reply, false);
  da_op_delete(op);
}

void da_worker_start(da_worker *worker, da_slice id, da_slice func, da_slice args, const da_bundle *bundle,
                     da_worker_started *done, void *user)
{
  da_op *op = da_op_new();
  start_request *start = da_arena_alloc(&op->arena, sizeof *start);
  *start = (start_request){.worker = worker, .bundle = bundle->hash, .done = done, .user = user};
  start->id = da_arena_dup(&op->arena, id);
  start->func = da_arena_dup(&op->arena, func);
  start->args = da_arena_dup(&op->arena, args);
  da_worker_admit(worker, da_id_root(id));
  da_op_request(op, DA_REQ_PROMISE_GET)->id = start->id;
  op->call_argument = start;
  op->done = start_looked;
  da_sched_submit(worker->sched, op, false);
}

static void dispatch_found(da_op *op)
{
  da_worker *worker = op->call_argument;
  const da_reply *reply = first_reply(op);
  if (reply != NULL && reply->status == 200 && reply->task->state == DA_TASK_PENDING &&
      da_table_get(&worker->executions, reply->task->id) == NULL)
    da_execution_claim(da_execution_new(worker, reply->task->id), reply->task->version);
  da_op_delete(op);
}

void da_worker_dispatch(da_worker *worker, da_slice id)
{
  da_worker_admit(worker, da_id_root(id));
  da_op *op = da_op_new();
  da_op_request(op, DA_REQ_TASK_GET)->id = da_arena_dup(&op->arena, id);
  op->call_argument = worker;
  op->done = dispatch_found;
  da_sched_submit(worker->sched, op, false);
}

static void follow_found(da_op *op)
{
  da_follow *follow = op->user;
  da_worker *worker = op->call_argument;
  const da_reply *reply = first_reply(op);
  bool pending = reply != NULL && reply->status == 200 && reply->promise->state == DA_PENDING;
  if (pending) {
    follow->next = da_table_get(&worker->follows, follow->id);
    (void)da_table_put(&worker->follows, follow->id, follow);
  } else {
    follow->fn(follow->user, reply != NULL && reply->status == 200 ? reply->promise : NULL);
    char *id;
    memcpy(&id, &follow->id.ptr, sizeof id);
    free(id);
    free(follow);
  }
  da_op_delete(op);
}

void da_worker_follow(da_worker *worker, da_slice id, void (*fn)(void *user, const da_promise *promise), void *user)
{
  da_follow *follow = da_xcalloc(1, sizeof *follow);
  follow->id = da_slice_make(da_xstrndup(id), id.len);
  follow->fn = fn;
  follow->user = user;
  da_op *op = da_op_new();
  da_op_request(op, DA_REQ_PROMISE_GET)->id = da_arena_dup(&op->arena, id);
  op->user = follow;
  op->call_argument = worker;
  op->done = follow_found;
  da_sched_submit(worker->sched, op, false);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void step_output(void *user, da_slice execution, da_slice step, da_slice text)
{
  da_worker *worker = user;
  if (worker->options.event == NULL) return;
  da_event event = {.kind = DA_EVENT_OUTPUT, .execution = execution, .child = step, .text = text};
  worker->options.event(worker->options.user, &event);
}

da_status da_worker_new(const da_worker_options *options, da_worker **out, da_err *err)
{
  da_worker *worker = da_xcalloc(1, sizeof *worker);
  worker->options = *options;
  worker->sched = options->sched;
  worker->target = da_arena_dup(&worker->arena, da_slice_of(options->target));
  worker->pid = da_arena_dup(&worker->arena, da_slice_of(options->pid));
  worker->warm_limit = options->warm_bytes == SIZE_MAX ? WARM_BYTES : options->warm_bytes;
  da_isolates_options isolates = {.seed = options->secret != NULL ? da_get_u32(options->secret) : 0};
  da_status status = da_region_new(&isolates, &worker->region, err);
  if (status != DA_OK) {
    da_arena_free(&worker->arena);
    free(worker);
    return status;
  }
  worker->steps =
      da_step_pool_new(worker->sched, options->target, &options->hooks,
                       options->step_threads > 0 ? options->step_threads : DA_STEP_THREADS, step_output, worker);
  *out = worker;
  return DA_OK;
}

static void free_served(da_worker *worker)
{
  void *value;
  for (size_t i = 0; da_table_next(&worker->bundles, &i, &value);) {
    da_served *served = value;
    da_bundle_unref(served->bundle);
    free(served->functions);
    da_arena_free(&served->arena);
    free(served);
  }
  da_table_free(&worker->bundles);
}

void da_worker_delete(da_worker *worker)
{
  worker->closing = true;
  void *value;
  for (size_t i = 0; da_table_next(&worker->executions, &i, &value);) da_execution_drop(value);
  for (size_t i = 0; i < worker->waiting_count; i++) da_execution_unref(worker->waiting[i]);
  free(worker->waiting);
  da_step_pool_delete(worker->steps);
  for (size_t i = 0; da_table_next(&worker->interest, &i, &value);) free_interest(value);
  for (size_t i = 0; da_table_next(&worker->follows, &i, &value);) {
    for (da_follow *follow = value, *next; follow != NULL; follow = next) {
      next = follow->next;
      char *id;
      memcpy(&id, &follow->id.ptr, sizeof id);
      free(id);
      free(follow);
    }
  }
  da_table_free(&worker->executions);
  da_table_free(&worker->interest);
  da_table_free(&worker->follows);
  da_table_free(&worker->admitted);
  free_served(worker);
  da_region_delete(worker->region);
  da_arena_free(&worker->arena);
  free(worker);
}

da_worker_stats da_worker_get_stats(const da_worker *worker)
{
  da_worker_stats stats = worker->stats;
  stats.warm_bytes = worker->warm_bytes;
  stats.running = stats.executions - stats.warm;
  stats.step_threads_busy = da_step_pool_busy(worker->steps);
  return stats;
}
