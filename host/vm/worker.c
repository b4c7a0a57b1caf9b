/* worker.c - who drives executions: bundles served, messages followed, interest in settlements, the warm cache.
 *
 * Interest: a promise somebody else settles is looked up by id among the executions that wait for it here; since every
 * settlement of the store is told in commit order, a completion reaches its execution in that order too.
 * Warm: a suspended isolate stays in memory, oldest evicted first, within warm_limit bytes. Recovery never needs it.
 * Slots: who finds none free queues up; a warm execution is evicted for it, a resting one suspended.
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
#include "module.h"
#include "shared_locals.h"

enum {
  WARM_BYTES = 64 << 20,
  ENTER_NS = 5000000, /* waiting executions are entered at most this long before the loop gets a turn */
  TRIM_MS = 2000      /* after the last execution came to rest the memory of free slots is given back */
};

/* ---- interest ------------------------------------------------------------------------------------------ */

typedef struct da_interest {
  da_slice id; /* owned */
  da_execution **executions;
  size_t count, cap;
} da_interest;

void da_worker_interest(da_worker *worker, da_execution *execution, da_slice id)
{
  da_interest *interest = da_table_get(&worker->interest, id);
  if (interest == NULL) {
    interest = da_xcalloc(1, sizeof *interest);
    interest->id = da_slice_make(da_xstrndup(id), id.len);
    (void)da_table_put(&worker->interest, interest->id, interest);
  }
  if (interest->count == interest->cap) {
    interest->cap = interest->cap != 0 ? interest->cap * 2 : 1;
    interest->executions = da_xrealloc(interest->executions, interest->cap * sizeof(da_execution *));
  }
  interest->executions[interest->count++] = execution;
}

static void free_interest(da_interest *interest)
{
  char *id;
  memcpy(&id, &interest->id.ptr, sizeof id); /* made above */
  free(id);
  free(interest->executions);
  free(interest);
}

static void remove_interest(da_worker *worker, da_interest *interest, size_t i)
{
  interest->executions[i] = interest->executions[--interest->count];
  if (interest->count > 0) return;
  (void)da_table_remove(&worker->interest, interest->id);
  free_interest(interest);
}

void da_worker_lose_interest(da_worker *worker, da_execution *execution, da_slice id)
{
  da_interest *interest = da_table_get(&worker->interest, id);
  for (size_t i = interest != NULL ? interest->count : 0; i > 0; i--) {
    if (interest->executions[i - 1] != execution) continue;
    remove_interest(worker, interest, i - 1);
    return;
  }
}

/* Tells every execution that waits for the promise. Telling one may end another. */
static void tell_interest(da_worker *worker, const da_promise *promise)
{
  for (;;) {
    da_interest *interest = da_table_get(&worker->interest, promise->id);
    if (interest == NULL) return;
    da_execution *execution = interest->executions[interest->count - 1];
    remove_interest(worker, interest, interest->count - 1);
    da_execution_ref(execution);
    da_replay_told(execution, promise);
    da_execution_pump(execution);
    da_execution_unref(execution);
  }
}

/* ---- cancellation -------------------------------------------------------------------------------------- */

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
  if (execution == NULL || !execution->informed) return; /* one whose records are not read yet finds it there */
  da_slice why = da_arena_dup(&execution->arena, promise->value.data);
  da_fiber_enqueue(
      execution,
      (da_delivery){.seq = promise->settle_seq, .cancels = true, .cancel = why, .settled_at = promise->settled_at});
  da_execution_pump(execution);
}

/* ---- what the sched tells ------------------------------------------------------------------------------ */

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
  da_start_tell_follows(worker, promise);
}

static bool admitted(da_worker *worker, da_slice id)
{
  return worker->driving && (worker->driving_all || da_table_get(&worker->admitted, da_id_root(id)) != NULL);
}

static void on_execute(void *user, const da_message *message)
{
  da_worker *worker = user;
  if (worker->closing) return;
  da_execution *execution = da_table_get(&worker->executions, message->id);
  if (execution == NULL && admitted(worker, message->id)) {
    da_execution_claim(da_execution_new(worker, message->id), message->version);
  } else if (execution != NULL && execution->state == DA_EXECUTION_SUSPENDED) {
    da_execution_claim(execution, message->version);
  } else if (execution != NULL && execution->state == DA_EXECUTION_SUSPENDING) {
    execution->recalled = true; /* by the very op that suspended it: its answer comes next */
    execution->recalled_version = message->version;
  }
}

static void on_recovered(void *user, da_slice id)
{
  da_worker *worker = user;
  if (worker->options.after_death && !worker->closing) da_crash_note(worker, id);
}

da_sched_events da_worker_events(da_worker *worker)
{
  return (da_sched_events){.settled = on_settled, .execute = on_execute, .recovered = on_recovered, .user = worker};
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
  if (worker->driving_all || da_table_get(&worker->admitted, root_id) != NULL) return;
  da_slice *key = da_arena_alloc(&worker->arena, sizeof *key);
  *key = da_arena_dup(&worker->arena, root_id);
  (void)da_table_put(&worker->admitted, *key, key);
}

/* ---- the warm cache ------------------------------------------------------------------------------------ */

static void list_add(da_execution **first, da_execution **last, da_execution *execution)
{
  execution->list_prev = *last;
  execution->list_next = NULL;
  *(*last != NULL ? &(*last)->list_next : first) = execution;
  *last = execution;
}

static void list_remove(da_execution **first, da_execution **last, da_execution *execution)
{
  *(execution->list_prev != NULL ? &execution->list_prev->list_next : first) = execution->list_next;
  *(execution->list_next != NULL ? &execution->list_next->list_prev : last) = execution->list_prev;
  execution->list_prev = execution->list_next = NULL;
}

void da_worker_unlist(da_worker *worker, da_execution *execution)
{
  if (execution->resting) {
    execution->resting = false;
    list_remove(&worker->rest_first, &worker->rest_last, execution);
  } else if (execution->state == DA_EXECUTION_SUSPENDED) {
    list_remove(&worker->warm_first, &worker->warm_last, execution);
    worker->warm_bytes -= execution->warm_bytes;
    worker->stats.warm--;
  }
}

static bool at_rest(const da_worker *worker)
{
  return worker->stats.executions == worker->stats.warm;
}

static void trim(void *arg)
{
  da_worker *worker = arg;
  worker->trim_timer = NULL;
  if (at_rest(worker)) da_region_trim(worker->region);
}

void da_worker_look_at_rest(da_worker *worker)
{
  if (worker->closing || worker->trim_timer != NULL || !at_rest(worker)) return;
  worker->trim_timer = da_timer_start(worker->sched, da_clock_now_ms() + TRIM_MS, trim, worker);
}

bool da_worker_make_room(da_worker *worker)
{
  if (worker->warm_first != NULL) {
    da_execution_drop(worker->warm_first);
    return true;
  }
  /* Room as soon as that is written. */
  for (size_t wanted = worker->waiting_count - worker->waiting_head + 1; wanted > 0 && worker->rest_first != NULL;
       wanted--)
    da_execution_rest_over(worker->rest_first);
  return false;
}

void da_worker_rest(da_worker *worker, da_execution *execution)
{
  execution->resting = true;
  list_add(&worker->rest_first, &worker->rest_last, execution);
}

void da_worker_warm(da_worker *worker, da_execution *execution)
{
  execution->warm_bytes = da_isolate_used(execution->isolate) + da_arena_size(&execution->arena) +
                          execution->child_count * sizeof(da_child);
  worker->warm_bytes += execution->warm_bytes;
  worker->stats.warm++;
  list_add(&worker->warm_first, &worker->warm_last, execution);
  while (worker->warm_bytes > worker->warm_limit && worker->warm_first != NULL) (void)da_worker_make_room(worker);
  da_worker_slot_freed(worker);
  da_worker_look_at_rest(worker);
}

/* ---- waiting for a slot -------------------------------------------------------------------------------- */

static void post_entering(da_worker *worker);

static void enter_waiting(void *arg)
{
  da_worker *worker = arg;
  worker->entering = false;
  uint64_t begin = da_clock_mono_ns();
  while (!worker->closing && worker->waiting_head < worker->waiting_count) {
    da_execution *execution = worker->waiting[worker->waiting_head];
    if (!da_execution_enter(execution)) break;
    worker->waiting_head++;
    da_execution_unref(execution);
    if (da_clock_mono_ns() - begin < ENTER_NS) continue;
    post_entering(worker);
    break;
  }
  if (worker->waiting_head == worker->waiting_count) worker->waiting_head = worker->waiting_count = 0;
  da_worker_unref(worker);
}

static void post_entering(da_worker *worker)
{
  if (worker->entering) return;
  worker->entering = true;
  da_worker_ref(worker);
  da_sched_post(worker->sched, enter_waiting, worker);
}

void da_worker_slot_freed(da_worker *worker)
{
  if (worker->waiting_head < worker->waiting_count && !worker->closing) post_entering(worker);
}

static void wait_for_slot(da_worker *worker, da_execution *execution)
{
  if (worker->waiting_count == worker->waiting_cap && worker->waiting_head > worker->waiting_cap / 2) {
    worker->waiting_count -= worker->waiting_head;
    memmove(worker->waiting, worker->waiting + worker->waiting_head, worker->waiting_count * sizeof *worker->waiting);
    worker->waiting_head = 0;
  }
  if (worker->waiting_count == worker->waiting_cap) {
    worker->waiting_cap = worker->waiting_cap != 0 ? worker->waiting_cap * 2 : 16;
    worker->waiting = da_xrealloc(worker->waiting, worker->waiting_cap * sizeof *worker->waiting);
  }
  da_execution_ref(execution);
  worker->waiting[worker->waiting_count++] = execution;
}

void da_worker_enter(da_worker *worker, da_execution *execution)
{
  if (worker->waiting_head < worker->waiting_count || !da_execution_enter(execution)) {
    wait_for_slot(worker, execution);
    if (worker->rest_first != NULL || worker->warm_first != NULL) post_entering(worker);
  }
}

bool da_worker_forget(da_worker *worker, da_slice id, da_slice *busy)
{
  void *value;
  for (size_t i = 0; da_table_next(&worker->executions, &i, &value);) {
    da_execution *execution = value;
    if (!da_slice_eq(execution->id, id) && !da_id_below(execution->id, id)) continue;
    if (execution->state != DA_EXECUTION_SUSPENDED) {
      if (execution->resting) da_execution_rest_over(execution); /* it can be forgotten soon */
      *busy = execution->id;
      return false;
    }
    da_execution_drop(execution);
  }
  return true;
}

/* ---- bundles ------------------------------------------------------------------------------------------- */

/* (context): opens the library, runs the script. */
static int load_script(lua_State *L)
{
  da_load_context *context = lua_touserdata(L, 1);
  lua_settop(L, 0);
  da_module_open(L);
  context->worker->options.hooks.open_isolate(L);
  const da_module *script = &context->bundle->modules[0];
  lua_pushlstring(L, script->file.ptr, script->file.len);
  lua_pushfstring(L, "@%s", lua_tostring(L, -1));
  if (luaL_loadbufferx(L, script->text.ptr, script->text.len, lua_tostring(L, -1), "t") != LUA_OK) return lua_error(L);
  lua_call(L, 0, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_LOADED);
  lua_call(L, 0, 0);
  context->loud = false;
  return 0;
}

int da_worker_open_isolate(lua_State *L, void *user)
{
  da_load_context *context = user;
  da_watch *watch = context->worker->watch;
  da_isolate_set_host(da_isolate_of(L), context);
  lua_pushcfunction(L, load_script);
  lua_pushlightuserdata(L, context);
  da_watched before = da_watch_enter(watch, L);
  int status = lua_pcall(L, 1, 0, 0);
  (void)da_watch_leave(watch, before);
  if (status == LUA_OK || !context->runaway) return status;
  lua_pushfstring(L, "%s: the script ran for %d s while it was loaded; what takes long belongs into a function",
                  context->place, (int)(context->worker->span_limit_ms / 1000));
  return status;
}

static int by_function_name(const void *a, const void *b)
{
  const da_function *f = a, *g = b;
  int names = da_slice_cmp(f->name, g->name);
  return names != 0 ? names : f->version < g->version ? -1 : 1;
}

static da_slice kept_text(lua_State *L, int index, da_served *served)
{
  size_t len = 0;
  const char *text = lua_tolstring(L, index, &len);
  return da_arena_dup(&served->arena, da_slice_make(text, text != NULL ? len : 0));
}

/* The definition on top of L, whose name is below it, and the older ones of the name, which take its place. */
static void learn_function(lua_State *L, da_served *served, size_t *cap)
{
  for (da_slice name = kept_text(L, -2, served); lua_istable(L, -1); lua_remove(L, -2)) {
    if (served->function_count == *cap) {
      *cap = *cap != 0 ? *cap * 2 : 8;
      served->functions = da_xrealloc(served->functions, *cap * sizeof *served->functions);
    }
    da_function *function = &served->functions[served->function_count++];
    lua_getfield(L, -1, "workflow");
    lua_getfield(L, -2, "line");
    lua_getfield(L, -3, "file");
    lua_getfield(L, -4, "version");
    *function = (da_function){.name = name,
                              .version = lua_isnil(L, -1) ? 1 : (int64_t)lua_tointeger(L, -1),
                              .workflow = lua_toboolean(L, -4) != 0,
                              .file = kept_text(L, -2, served),
                              .line = (int)lua_tointeger(L, -3)};
    lua_pop(L, 4);
    lua_getfield(L, -1, "older");
  }
}

/* Reads the registry of functions that the script filled. The stack is the caller's to restore. */
static void learn_functions(lua_State *L, da_served *served)
{
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  size_t cap = 0;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    learn_function(L, served, &cap);
    lua_pop(L, 1);
  }
  if (served->function_count > 0)
    qsort(served->functions, served->function_count, sizeof *served->functions, by_function_name);
}

da_served *da_worker_bundle(da_worker *worker, const da_digest *hash)
{
  return da_table_get(&worker->bundles, da_slice_make((const char *)hash->bytes, sizeof hash->bytes));
}

static da_slice hash_key(const da_bundle *bundle)
{
  return da_slice_make((const char *)bundle->hash.bytes, sizeof bundle->hash.bytes);
}

da_served *da_worker_keep(da_worker *worker, da_bundle *bundle)
{
  da_served *served = da_worker_bundle(worker, &bundle->hash);
  if (served != NULL) return served;
  served = da_xcalloc(1, sizeof *served);
  served->bundle = da_bundle_ref(bundle);
  (void)da_table_put(&worker->bundles, hash_key(bundle), served);
  return served;
}

typedef struct bundle_write {
  da_worker *worker; /* a reference */
  da_digest hash;
  da_slice bytes;
} bundle_write;

static da_status write_bundle(da_store *store, da_op *op, da_err *err)
{
  const bundle_write *write = op->call_argument;
  return da_store_bundle_put(store, &write->hash, write->bytes, err);
}

static void bundle_written(da_op *op)
{
  const bundle_write *write = op->call_argument;
  da_worker *worker = write->worker;
  if (op->status != DA_OK) da_worker_bundle(worker, &write->hash)->stored = false;
  if (op->status != DA_OK && op->status != DA_EFULL && op->status != DA_ECLOSED)
    da_log(DA_LOG_ERROR, "bundle.not_stored", "text=\"%s\"", op->err.text);
  da_op_delete(op);
  da_worker_unref(worker);
}

/* On a full disk nothing of it happens, nor of what is queued behind it until that is told: no execution can be pinned
 * to a bundle that is not there, and whoever comes next writes it. */
static void store_bundle(da_worker *worker, da_served *served)
{
  da_op *op = da_op_new();
  bundle_write *write = da_arena_alloc(&op->arena, sizeof *write);
  *write = (bundle_write){worker, served->bundle->hash, da_arena_dup(&op->arena, served->bundle->bytes)};
  op->call = write_bundle;
  op->call_argument = write;
  op->done = bundle_written;
  served->stored = true;
  da_worker_ref(worker);
  da_sched_submit(worker->sched, op, false); /* before every op of an execution that is pinned to it */
}

/* An isolate that has loaded the context's bundle. */
static da_status load(da_load_context *context, da_isolate **out, da_err *err)
{
  const da_bundle *bundle = context->bundle;
  da_status status = da_isolate_new(context->worker->region, &bundle->hash, da_worker_open_isolate, context, out, err);
  if (status == DA_ELUA && err != NULL &&
      strncmp(err->text, "loading ", 8) == 0) { /* no words of Lua, which name a line */
    da_err words = *err;
    (void)da_fail(err, status, "%.*s: %s", DA_FMT(bundle->modules[0].file), words.text);
  }
  return status;
}

da_status da_worker_inspect(da_worker *worker, da_bundle *bundle,
                            da_status (*look)(void *user, lua_State *L, da_err *err), void *user, da_err *err)
{
  da_load_context context = {.host = {.loading = true}, .worker = worker, .bundle = bundle};
  da_isolate *isolate = NULL;
  da_status status = load(&context, &isolate, err);
  if (status != DA_OK) return status;
  da_isolate_set_host(isolate, &context);
  status = look(user, da_isolate_lua(isolate), err);
  da_isolate_delete(isolate);
  return status;
}

da_status da_worker_serve(da_worker *worker, da_bundle *bundle, da_err *err)
{
  return da_worker_serve_in(worker, 0, bundle, err);
}

da_status da_worker_serve_in(da_worker *worker, size_t group, da_bundle *bundle, da_err *err)
{
  da_load_context context = {.host = {.loading = true}, .worker = worker, .bundle = bundle, .loud = true};
  da_isolate *isolate = NULL;
  da_status status = load(&context, &isolate, err);
  if (status != DA_OK) return status;
  status = da_shared_locals_check(da_isolate_lua(isolate), err);
  if (status != DA_OK) {
    da_isolate_delete(isolate);
    return status;
  }
  da_served *served = da_worker_keep(worker, bundle);
  if (served->bundle->directory == NULL && bundle->directory != NULL) { /* known from the store alone until now */
    da_bundle *before = served->bundle;
    served->bundle = da_bundle_ref(bundle);
    (void)da_table_put(&worker->bundles, hash_key(bundle), served);
    da_bundle_unref(before);
  }
  status = da_schedules_learn(da_isolate_lua(isolate), served, err);
  if (status != DA_OK) {
    da_isolate_delete(isolate);
    return status;
  }
  if (!served->served) {
    learn_functions(da_isolate_lua(isolate), served);
    served->served = true;
  }
  if (!served->stored) store_bundle(worker, served);
  da_group_add(worker, group, served);
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
  worker->refs = 1;
  worker->options = *options;
  worker->sched = options->sched;
  worker->pid = da_arena_dup(&worker->arena, da_slice_of(options->pid));
  worker->warm_limit = options->warm_bytes == SIZE_MAX ? WARM_BYTES : options->warm_bytes;
  worker->span_limit_ms = options->span_limit_ms > 0 ? options->span_limit_ms : DA_WATCH_SPAN_MS;
  worker->watch = da_watch_new();
  da_groups_create(worker);
  da_isolates_options isolates = {.seed = options->secret != NULL ? da_get_u32(options->secret) : 0,
                                  .slot_count = options->slots};
  da_status status = da_region_new(&isolates, &worker->region, err);
  if (status != DA_OK) {
    da_watch_delete(worker->watch);
    da_groups_destroy(worker);
    da_arena_free(&worker->arena);
    free(worker);
    return status;
  }
  worker->steps =
      da_step_pool_new(worker->sched, &options->hooks,
                       options->step_threads > 0 ? options->step_threads : DA_STEP_THREADS, step_output, worker);
  *out = worker;
  return DA_OK;
}

void da_worker_steps(da_worker *worker, bool (*visit)(void *user, const da_step_row *row), void *user)
{
  da_step_pool_each(worker->steps, visit, user);
}

void da_worker_ref(da_worker *worker)
{
  worker->refs++;
}

static void free_served(da_worker *worker)
{
  void *value;
  for (size_t i = 0; da_table_next(&worker->bundles, &i, &value);) {
    da_served *served = value;
    da_bundle_unref(served->bundle);
    free(served->functions);
    free(served->declared);
    da_arena_free(&served->declared_arena);
    da_arena_free(&served->arena);
    free(served);
  }
  da_table_free(&worker->bundles);
}

void da_worker_unref(da_worker *worker)
{
  if (--worker->refs > 0) return;
  DA_ASSERT(worker->closing);
  DA_ASSERT_OP(worker->interest.count, ==, 0);
  da_table_free(&worker->executions);
  da_table_free(&worker->interest);
  da_table_free(&worker->admitted);
  da_table_free(&worker->died);
  da_table_free(&worker->attached);
  da_table_free(&worker->told);
  da_table_free(&worker->noted);
  da_history_free(worker);
  da_evicted_delete(worker);
  da_groups_destroy(worker);
  free_served(worker);
  da_region_delete(worker->region);
  da_watch_delete(worker->watch);
  da_arena_free(&worker->arena);
  free(worker);
}

/* What is under way keeps the worker until the sched has told it; nothing is followed any more. */
void da_worker_delete(da_worker *worker)
{
  worker->closing = true;
  da_sched_set_events(worker->sched, &(da_sched_events){0});
  void *value;
  for (size_t i = 0; da_table_next(&worker->executions, &i, &value);) da_execution_drop(value);
  for (size_t i = worker->waiting_head; i < worker->waiting_count; i++) da_execution_unref(worker->waiting[i]);
  free(worker->waiting);
  worker->waiting = NULL;
  worker->waiting_head = worker->waiting_count = 0;
  da_timer_stop(worker->trim_timer);
  worker->trim_timer = NULL;
  da_retreat_free_all(worker);
  da_step_pool_delete(worker->steps);
  da_start_free_follows(worker);
  da_worker_unref(worker);
}

bool da_worker_steps_run(const da_worker *worker)
{
  return da_step_pool_at_work(worker->steps);
}

da_worker_stats da_worker_get_stats(const da_worker *worker)
{
  da_worker_stats stats = worker->stats;
  stats.warm_bytes = worker->warm_bytes;
  stats.running = stats.executions - stats.warm;
  stats.step_threads_busy = da_step_pool_busy(worker->steps);
  return stats;
}
