/* call.c - durable calls: their ids, their records, the one way to make them.
 *
 * A call either meets its record (replay.c) or makes something new. Steps (named, inline; step.c) and branches are
 * recorded once, settled, when they end; workflows, timers and promises (foreign.c) are recorded pending and settled by
 * somebody else.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "../base/text.h"
#include "far.h"
#include "fault.h"
#include "restore.h"

/* ---- children ------------------------------------------------------------------------------------------ */

static void add_child(da_child ***list, size_t *count, size_t *cap, da_child *child)
{
  if (*count == *cap) {
    *cap = *cap != 0 ? *cap * 2 : 8;
    *list = da_xrealloc(*list, *cap * sizeof **list);
  }
  (*list)[(*count)++] = child;
}

void da_scope_add(da_scope *scope, da_child *child)
{
  add_child(&scope->children, &scope->count, &scope->cap, child);
}

void da_call_free_index(da_execution *execution, uint32_t index)
{
  execution->children[index - 1] = NULL;
  if (index <= execution->unsorted) return;
  if (execution->free_count == execution->free_cap) {
    execution->free_cap = execution->free_cap != 0 ? execution->free_cap * 2 : 64;
    execution->free_indexes =
        da_xrealloc(execution->free_indexes, execution->free_cap * sizeof *execution->free_indexes);
  }
  execution->free_indexes[execution->free_count++] = index;
}

/* The index of a free place, or 0. */
static uint32_t take_free_index(da_execution *execution)
{
  if (execution->free_count > 0) return execution->free_indexes[--execution->free_count];
  while (execution->unsorted > 0) {
    size_t index = execution->unsorted--;
    if (execution->children[index - 1] == NULL) return (uint32_t)index;
  }
  return 0;
}

da_child *da_call_new(da_execution *execution, da_scope *scope, da_call_kind kind, da_slice id)
{
  da_child *child = da_xcalloc(1, sizeof *child + id.len);
  child->execution = execution;
  child->kind = kind;
  if (id.len != 0) child->id = da_slice_make(memcpy(child + 1, id.ptr, id.len), id.len);
  child->scope = scope;
  child->maker = execution->current;
  child->results_ref = LUA_NOREF;
  child->closure_ref = LUA_NOREF;
  child->index = take_free_index(execution);
  if (child->index != 0) {
    execution->children[child->index - 1] = child;
  } else {
    add_child(&execution->children, &execution->child_count, &execution->child_cap, child);
    child->index = (uint32_t)execution->child_count;
  }
  child->made = ++execution->made;
  if (execution->reach != 0 && child->made > execution->reach) da_image_reach(execution);
  da_scope_add(scope, child);
  if (id.len != 0) (void)da_table_put(&execution->by_id, child->id, child);
  return child;
}

void da_call_free(da_child *child)
{
  if (child == NULL) return; /* pruned */
  DA_ASSERT(child->job == NULL);
  free(child->waiters);
  free(child->owned);
  da_step_over(child);
  free(child);
}

da_child *da_execution_child(da_execution *execution, uint32_t index)
{
  return index == 0 || index > execution->child_count ? NULL : execution->children[index - 1];
}

/* A name that comes again and again is kept once. */
static da_slice word(da_execution *execution, da_slice text)
{
  da_slice *known = da_table_get(&execution->words, text);
  if (known != NULL) return *known;
  known = da_arena_alloc(&execution->arena, sizeof *known);
  *known = da_arena_dup(&execution->arena, text);
  (void)da_table_put(&execution->words, *known, known);
  return *known;
}

da_child *da_execution_fiber_child(da_execution *execution, bool joined, const da_call_spec *spec)
{
  da_child *child = da_call_new(execution, execution->current->scope, DA_CALL_NONE, DA_NONE);
  child->joined = joined;
  child->counted = true;
  child->shelter = da_execution_shelter(execution, child->scope);
  child->call.func = word(execution, spec->func);
  child->call.file = word(execution, spec->file);
  child->call.line = spec->line;
  return child;
}

da_counter *da_counter_new(da_slice name)
{
  da_counter *counter = da_xcalloc(1, sizeof *counter + name.len);
  counter->name = da_slice_make(memcpy(counter + 1, name.ptr, name.len), name.len);
  return counter;
}

size_t da_scope_find(const da_scope *scope, uint64_t made)
{
  size_t low = 0, high = scope->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (scope->children[middle]->made < made)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

da_scope *da_scope_new(da_slice id)
{
  da_scope *scope = da_xcalloc(1, sizeof *scope);
  scope->id = id;
  return scope;
}

/* ---- completion ---------------------------------------------------------------------------------------- */

/* The value of a settled promise becomes the child's; copied, since an await may come at any time. */
static void take_value(da_child *child, const da_promise *promise)
{
  da_slice rest = DA_NONE;
  da_slice data = da_call_json(&child->execution->arena, &promise->value);
  const da_slice *header = da_map_get(promise->value.headers, DA_LIT("da-rest"));
  if (header != NULL) rest = *header;
  child->settled = true;
  child->state = promise->state;
  child->seq = promise->settle_seq;
  if (child->execution->far != NULL)
    child->seq = da_far_seq(child->execution, child->call.ordinal, da_far_is_own(child, promise), promise);
  child->settled_at = promise->settled_at;
  if (data.len + rest.len == 0) return;
  child->owned = da_xmalloc(data.len + rest.len);
  if (data.len != 0) memcpy(child->owned, data.ptr, data.len);
  if (rest.len != 0) memcpy(child->owned + data.len, rest.ptr, rest.len);
  child->data = da_slice_make(child->owned, data.len);
  child->rest = da_slice_make(child->owned + data.len, rest.len);
}

void da_call_restored(da_child *child, const da_promise *promise)
{
  take_value(child, promise);
  da_fiber_enqueue(child->execution, (da_delivery){.seq = child->seq, .child = child, .settled_at = child->settled_at});
}

void da_call_completed(da_child *child, const da_promise *promise)
{
  da_execution *execution = child->execution;
  da_foreign_close(child);
  if (child->settled) return;
  take_value(child, promise);
  da_execution_event(execution, DA_EVENT_SETTLED, child);
  da_fiber_enqueue(execution, (da_delivery){.seq = child->seq, .child = child, .settled_at = child->settled_at});
}

void da_call_overrule(da_child *child, da_promise_state state, const char *code, const char *why)
{
  da_buf json = {0};
  da_fault_json(&json, code, da_slice_of(why));
  free(child->owned);
  child->owned = json.ptr;
  child->data = da_buf_slice(&json);
  child->rest = DA_NONE;
  child->settled = true;
  child->state = state;
}

/* The program itself settles it: no record decides that, so neither does an order. */
static void settle_here(da_child *child, da_promise_state state, const char *code, const char *why)
{
  if (child->delivered) return;
  da_foreign_close(child);
  da_call_overrule(child, state, code, why);
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

void da_call_add_tag(da_arena *arena, da_request *request, da_slice key, da_slice value)
{
  da_pair *pairs = da_arena_alloc(arena, (request->tags.count + 1) * sizeof *pairs);
  if (request->tags.count > 0) memcpy(pairs, request->tags.items, request->tags.count * sizeof *pairs);
  pairs[request->tags.count] = (da_pair){key, value};
  request->tags = (da_map){pairs, request->tags.count + 1};
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

da_value da_call_value(da_arena *arena, da_slice data, da_slice rest)
{
  da_value value = {.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(arena, data)};
  if (rest.len != 0) {
    value.has_headers = true;
    da_pair pair = {DA_LIT("da-rest"), da_arena_dup(arena, rest)};
    value.headers = tag_map(arena, &pair, 1);
  }
  return value;
}

da_slice da_call_json(da_arena *arena, const da_value *value)
{
  if (!value->has_data || value->data.len == 0) return DA_NONE;
  if (value->encoding == DA_JSON) return value->data;
  da_buf quoted = {0};
  da_text_quote_lossy(&quoted, value->data);
  da_slice json = da_arena_dup(arena, da_buf_slice(&quoted));
  da_buf_free(&quoted);
  return json;
}

da_value da_call_param(da_arena *arena, da_slice func, da_slice args, int64_t version)
{
  da_buf param = {0};
  da_buf_addf(&param, "{\"args\":%.*s,\"func\":", DA_FMT(args));
  da_fault_string(&param, func);
  da_buf_addf(&param, ",\"version\":%lld}", (long long)version);
  da_value value = da_call_value(arena, da_buf_slice(&param), DA_NONE);
  da_buf_free(&param);
  return value;
}

da_request *da_call_request(da_op *op, da_execution *execution, da_req_kind kind, const da_child *child)
{
  da_request *request = da_op_request(op, kind);
  request->id = execution->id; /* this and what it holds outlive the op */
  request->version = execution->version;
  request->promise_id = child->record_id.len != 0 ? child->record_id : child->id;
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
  else if (reply->status == 404 || reply->status == 409)
    da_execution_drop(execution); /* the task is not ours any more */
  else
    da_execution_park(execution, "refused", "the result of '%.*s' was refused: %.*s%s", DA_FMT(context.child->id),
                      DA_FMT(reply->message), da_far_dialect_hint(execution->worker, reply->message));
  da_op_delete(op);
  da_execution_pump(execution);
  da_execution_unref(execution);
}

void da_call_record(da_child *child, da_promise_state state, da_slice data, da_slice rest)
{
  da_execution *execution = child->execution;
  da_op *op = da_op_new();
  da_request *request = da_call_request(op, execution, DA_REQ_TASK_STEP, child);
  request->created_at = child->created_at;
  request->state = state;
  request->value = da_call_value(&op->arena, data, rest);
  da_call_tags(&op->arena, execution, child->scope, request->promise_id, request, true);
  da_publish_before(execution);
  execution->busy++;
  da_execution_submit(execution, op, child, recorded);
}

void da_execution_hand_on(da_child *child)
{
  da_execution *execution = child->execution;
  child->handed_on = true;
  if (child->foreign || child->settled || child->announced || execution->worker->options.rehearse) return;
  child->announced = true;
  da_op *op = da_op_new();
  da_request *request = da_call_request(op, execution, DA_REQ_TASK_FENCE, child);
  da_call_tags(&op->arena, execution, child->scope, request->promise_id, request, true);
  da_execution_submit(execution, op, child, da_execution_op_over);
}

void da_execution_branch_done(da_child *child, da_promise_state outcome, da_slice data, da_slice rest)
{
  da_queue_leave_scope(child->fiber->scope, child->execution);
  if (!child->settled && !child->execution->worker->options.rehearse) da_call_record(child, outcome, data, rest);
}

/* ---- the call ------------------------------------------------------------------------------------------ */

/* "sensor-read" of a native "sensor.read": '.' parts calls in ids, and no function of a library has '-' in its name. */
static da_slice native_label(da_arena *arena, da_slice name)
{
  char *label = da_arena_alloc(arena, name.len);
  for (size_t i = 0; i < name.len; i++) label[i] = name.ptr[i] == '.' ? '-' : name.ptr[i];
  return da_slice_make(label, name.len);
}

static da_slice child_id(da_execution *execution, da_scope *scope, const da_call_spec *spec)
{
  da_slice name = spec->func;
  da_arena *arena = &execution->scratch;
  if (spec->native) name = native_label(arena, spec->func);
  if (spec->key.len != 0) return da_id_child_key(arena, scope->id, name, spec->key);
  if (spec->queue.name.len > 0) name = da_queue_counted(arena, spec);
  da_counter *counter = da_table_get(&scope->counts, name);
  if (counter == NULL) {
    counter = da_counter_new(name);
    (void)da_table_put(&scope->counts, counter->name, counter);
  }
  return da_id_child(arena, scope->id, name, ++counter->count);
}

da_slice da_call_id(da_execution *execution, da_scope *scope, const da_call_spec *spec)
{
  da_arena_reset(&execution->scratch);
  if (spec->id.len != 0) return spec->id;
  da_slice id = child_id(execution, scope, spec);
  return spec->detached ? da_id_detached(&execution->scratch, id) : id;
}

static void start(da_child *child, const da_call_spec *spec)
{
  da_deadline_set(child, spec);
  if (da_rehearse_call(child)) return;
  da_execution_event(child->execution, DA_EVENT_CALLED, child);
  switch (child->kind) {
  case DA_CALL_STEP:
  case DA_CALL_INLINE:
  case DA_CALL_NATIVE:
    da_step_start(child, spec);
    break;
  case DA_CALL_WORKFLOW:
  case DA_CALL_SLEEP:
  case DA_CALL_PROMISE:
    da_foreign_start(child, spec);
    break;
  case DA_CALL_RECV:
  case DA_CALL_ACQUIRE:
  case DA_CALL_TAKE:
  case DA_CALL_SEND:
    da_queue_start(child, spec);
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

/* The code the workflow will run. */
static void pin(const da_execution *execution, const da_call_spec *spec, da_call *call, int64_t *version)
{
  const da_group *group = spec->target.len > 0 ? da_worker_group(execution->worker, spec->target) : NULL;
  const da_served *served = group != NULL ? da_group_find(group, spec->func, version, execution->bundle) : NULL;
  call->has_bundle = spec->target.len == 0 || served != NULL;
  if (call->has_bundle) call->bundle = served != NULL ? served->bundle->hash : execution->bundle->hash;
}

static da_child *make_call(da_execution *execution, const da_call_spec *spec, da_call *call, da_slice id)
{
  call->ordinal = ++execution->next_ordinal;
  call->func = word(execution, spec->func);
  call->file = word(execution, spec->file);
  int64_t version = spec->version;
  if (spec->kind == DA_CALL_WORKFLOW) pin(execution, spec, call, &version);
  da_record *found;
  if (!da_replay_find(execution, id, call, &found)) return NULL;
  da_child *child = da_call_new(execution, execution->current->scope, spec->kind, id);
  child->call = *call;
  child->version = version;
  child->counted = spec->key.len == 0 && spec->id.len == 0;
  child->elsewhere = spec->target.len > 0 && da_worker_group(execution->worker, spec->target) == NULL;
  child->detached = spec->detached;
  child->global = spec->id.len != 0 || spec->detached;
  child->shelter = da_execution_shelter(execution, child->scope);
  bool withdrawn = spec->kind == DA_CALL_SLEEP || spec->kind == DA_CALL_PROMISE || da_queue_waits(spec->kind);
  child->foreign = withdrawn || spec->kind == DA_CALL_WORKFLOW;
  child->joined = !withdrawn && !spec->detached;
  if (spec->kind == DA_CALL_INLINE) child->closure_ref = spec->closure_ref;
  if (found != NULL) da_replay_meet(child, found);
  if (child->settled || (found != NULL && child->foreign))
    da_step_over(child);
  else
    start(child, spec);
  da_execution_throttle(execution);
  return execution->park_code == NULL ? child : NULL;
}

/* Does a part of the id begin as those do that the runtime gives (`~cancel`, `~parked.2`)? */
static bool is_reserved(da_slice id)
{
  for (size_t i = 0; i < id.len; i++)
    if (id.ptr[i] == '~' && (i == 0 || id.ptr[i - 1] == ':' || id.ptr[i - 1] == '.')) return true;
  return false;
}

static const char *id_fault(const da_execution *execution, da_slice id, const da_call_spec *spec)
{
  if (da_slice_eq(id, execution->id)) return "the execution itself has it";
  if (spec->id.len > 0 && is_reserved(id)) return "a part that begins with '~' is the runtime's own";
  return da_id_fault(id);
}

enum { ID_SHOWN = 60 }; /* bytes of an id in an error: what is wrong with it may be its length */

da_child *da_execution_call(da_execution *execution, const da_call_spec *spec, da_err *err)
{
  da_call call = {
      .kind = spec->kind, .line = spec->line, .file = spec->file, .func = spec->func, .args = da_hash128(spec->args)};
  da_slice id = da_call_id(execution, execution->current->scope, spec);
  const char *fault = id_fault(execution, id, spec);
  int shown = id.len > ID_SHOWN ? ID_SHOWN : (int)id.len;
  da_child *child = fault == NULL ? da_table_get(&execution->by_id, id) : NULL;
  if (execution->far != NULL && (da_queue_waits(spec->kind) || spec->kind == DA_CALL_SEND))
    (void)da_fail(err, DA_EINVAL,
                  "channels, semaphores and limiters are kept by `dahost serve` for its own scripts; a worker of a "
                  "server elsewhere has none");
  else if (fault != NULL)
    (void)da_fail(err, DA_EINVAL, "'%.*s%s' cannot be an id: %s", shown, id.ptr, id.len > ID_SHOWN ? "..." : "", fault);
  else if (child == NULL)
    return make_call(execution, spec, &call, id);
  else
    child = same_promise(child, &call, err);
  if (spec->kind == DA_CALL_INLINE) luaL_unref(execution->L, LUA_REGISTRYINDEX, spec->closure_ref);
  return child;
}

/* ---- cancelling a child -------------------------------------------------------------------------------- */

static da_slice json_text(da_execution *execution, const char *text)
{
  da_buf json = {0};
  da_fault_string(&json, da_slice_of(text));
  da_slice kept = da_arena_dup(&execution->arena, da_buf_slice(&json));
  da_buf_free(&json);
  return kept;
}

/* `canceled` is raised in the fibers of a branch, or in the one behind a combinator; they end in their own time. */
static void cancel_fibers(da_execution *execution, da_child *child, const char *why)
{
  da_fiber *of = child->fiber;
  child->canceled = true;
  if (of == NULL || of->done) return;
  if (child->kind == DA_CALL_BRANCH) {
    of->scope->canceled = true;
    of->scope->cancel_why = json_text(execution, why);
  } else {
    of->canceled = true;
    of->cancel_why = json_text(execution, why);
  }
  for (da_fiber *fiber = execution->fibers; fiber != NULL; fiber = fiber->next) {
    bool meant = fiber == of || (child->kind == DA_CALL_BRANCH && fiber->scope == of->scope);
    if (meant && fiber->token != 0 && da_fiber_canceled(execution, fiber, NULL) != NULL) da_fiber_wake(fiber);
  }
}

void da_execution_cancel_child(da_execution *execution, da_child *child, const char *why)
{
  if (child->delivered) da_queue_take_back(child, why);
  if (child->delivered || child->canceled) return;
  switch (child->kind) {
  case DA_CALL_STEP:
  case DA_CALL_INLINE:
  case DA_CALL_NATIVE:
    da_step_cancel(child, why);
    return;
  case DA_CALL_SLEEP:
  case DA_CALL_PROMISE:
    child->canceled = true;
    if (!child->global && !child->settled) da_foreign_withdraw(child);
    settle_here(child, DA_CANCELED, "canceled", why);
    return;
  case DA_CALL_RECV:
  case DA_CALL_ACQUIRE:
  case DA_CALL_TAKE:
    child->canceled = true; /* what it was given and the program has not seen goes back */
    da_execution_give_back(execution, child);
    settle_here(child, DA_CANCELED, "canceled", why);
    return;
  case DA_CALL_SEND: /* it is on its way */
    return;
  case DA_CALL_WORKFLOW:
    child->canceled = true; /* it ends in its own time */
    if (!child->settled)
      da_execution_submit(execution, da_cancel_op(child->id, da_slice_of(why)), child, da_execution_op_over);
    if (!child->settled && (child->elsewhere || child->delay_at > da_clock_now_ms()))
      da_execution_submit(execution, da_cancel_unbegun_op(child->id, da_slice_of(why)), child, da_execution_op_over);
    return;
  case DA_CALL_BRANCH:
  case DA_CALL_NONE:
    cancel_fibers(execution, child, why);
    return;
  case DA_CALL_ROOT:
  case DA_CALL_MARK:
    return;
  }
}
