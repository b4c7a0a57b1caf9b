/* replay.c - what an execution recorded, and what a call finds in it.
 *
 * Read in one scan when a task is claimed cold. What is recorded of a call - kind, function, digest of the arguments,
 * line, ordinal - is compared when the program makes it again; a difference parks the execution, with both sides named.
 * Recorded completions wait in the queue of deliveries from the start, in commit order. A record that is still pending
 * may settle before the program comes to its call: from the scan on the worker tells that as well, else it would be
 * delivered too late, or never.
 * Records nobody counts on: marks (~cancel, ~parked, ~patched), roots that merely lie below this id, promises somebody
 * else made under an id that the program may or may not use. Threads: da_replay_read() on the store thread, the rest on
 * the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/limits.h"
#include "far.h"
#include "restore.h"

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct kept_record {
  da_promise promise;
  struct kept_record *next;
} kept_record;

typedef struct load_result {
  da_arena *arena; /* of the op */
  bool found;
  da_promise promise;
  bool has_mark; /* of its generation */
  da_promise mark;
  kept_record *first;
  kept_record **end;
  size_t count;
  const da_restore *restore; /* the records are those behind its image */
  const char *doubt;         /* why there is none; NULL: there was no image */
} load_result;

static bool keep_record(void *user, const da_promise *promise)
{
  load_result *result = user;
  kept_record *kept = da_arena_alloc(result->arena, sizeof *kept);
  *kept = (kept_record){.promise = *promise};
  *result->end = kept;
  result->end = &kept->next;
  result->count++;
  return true;
}

/* Of an execution that began again only what lies below the mark of its newest generation is history; and a request to
 * cancel stands above all of them. */
static da_status read_generation(da_store *store, da_op *op, load_result *result, da_slice *scope, da_err *err)
{
  da_view *view = da_store_view(store);
  da_slice id = result->promise.id;
  uint32_t generation = da_again_number(&result->promise);
  da_promise cancel;
  *scope = da_again_id(&op->arena, id, generation);
  if (generation == 1) return DA_OK;
  int found = view->ops->promise(view, *scope, &op->arena, &result->mark);
  result->has_mark = found > 0;
  if (found == 0) return da_fail(err, DA_ECORRUPT, "the record '%.*s' of its generation is missing", DA_FMT(*scope));
  if (found > 0) found = view->ops->promise(view, da_cancel_id(&op->arena, id), &op->arena, &cancel);
  if (found > 0) (void)keep_record(result, &cancel);
  return found < 0 ? da_fail(err, (da_status)found, "%s", da_store_fault_words(store)) : DA_OK;
}

/* An image that is not used is dropped: it would not know of the calls that are made from here on. */
static da_status read_image(da_store *store, da_op *op, load_result *result, da_err *err)
{
  const da_execution *execution = ((const da_op_context *)op->user)->execution;
  load_result tail = {.arena = &op->arena, .end = &tail.first};
  result->restore = da_restore_read(store, execution, &result->promise, &op->arena, keep_record, &tail, &result->doubt);
  if (result->restore == NULL) return result->doubt != NULL ? da_store_image_drop(store, execution->id, err) : DA_OK;
  if (tail.first == NULL) return DA_OK;
  *result->end = tail.first;
  result->end = tail.end;
  result->count += tail.count;
  return DA_OK;
}

da_status da_replay_read(da_store *store, da_op *op, da_err *err)
{
  const da_op_context *context = op->user;
  load_result *result = da_arena_zalloc(&op->arena, sizeof *result);
  result->arena = &op->arena;
  result->end = &result->first;
  da_view *view = da_store_view(store);
  da_slice id = context->execution->id; /* never changes while the op holds a reference */
  int found = view->ops->promise(view, id, &op->arena, &result->promise);
  if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
  result->found = found != 0;
  op->call_result = result;
  if (found == 0) return DA_OK;
  da_status status = read_generation(store, op, result, &id, err);
  if (status == DA_OK && !context->execution->worker->options.rehearse) status = read_image(store, op, result, err);
  if (status != DA_OK || result->restore != NULL) return status;
  return da_store_scan_execution(store, id, &op->arena, keep_record, result, err);
}

void da_replay_of_claim(da_execution *execution, da_op *op)
{
  load_result *result = da_arena_zalloc(&op->arena, sizeof *result);
  da_far_load load;
  da_far_read(execution, op, &load);
  result->arena = &op->arena;
  result->end = &result->first;
  result->found = true;
  result->promise = *op->outcomes[0].reply.promise;
  result->has_mark = load.mark != NULL;
  if (load.mark != NULL) result->mark = *load.mark;
  for (size_t i = 0; i < load.count; i++) (void)keep_record(result, &load.records[i]);
  op->call_result = result;
}

const da_promise *da_replay_promise(const da_op *op)
{
  const load_result *result = op->call_result;
  return result->found ? &result->promise : NULL;
}

const da_promise *da_replay_mark(const da_op *op)
{
  const load_result *result = op->call_result;
  return result->has_mark ? &result->mark : NULL;
}

/* ---- taking -------------------------------------------------------------------------------------------- */

static bool counts(const da_promise *promise)
{
  return promise->call.kind != DA_CALL_NONE && promise->call.kind != DA_CALL_MARK && promise->call.kind != DA_CALL_ROOT;
}

static bool settled_by_others(da_call_kind kind)
{
  return kind == DA_CALL_WORKFLOW || kind == DA_CALL_SLEEP || kind == DA_CALL_PROMISE || kind == DA_CALL_NONE ||
         da_queue_waits(kind);
}

static void note_ordinal(da_execution *execution, const da_promise *promise)
{
  size_t ordinal = promise->call.ordinal;
  if (ordinal == 0) return;
  if (ordinal >= execution->ordinal_cap) {
    size_t cap = execution->ordinal_cap != 0 ? execution->ordinal_cap : 16;
    while (cap <= ordinal) cap *= 2;
    execution->by_ordinal = da_xrealloc(execution->by_ordinal, cap * sizeof *execution->by_ordinal);
    memset(execution->by_ordinal + execution->ordinal_cap, 0,
           (cap - execution->ordinal_cap) * sizeof *execution->by_ordinal);
    execution->ordinal_cap = cap;
  }
  execution->by_ordinal[ordinal] = promise->id;
  if (ordinal > execution->last_ordinal) execution->last_ordinal = (uint32_t)ordinal;
}

static void take_cancel(da_execution *execution, const da_promise *mark)
{
  if (mark->state == DA_PENDING) return;
  execution->cancel_told = true;
  da_fiber_append(execution, (da_delivery){.seq = mark->settle_seq,
                                           .cancels = true,
                                           .cancel = da_call_json(&execution->arena, &mark->value),
                                           .settled_at = mark->settled_at});
}

static void take_record(da_execution *execution, da_record *record)
{
  const da_promise *promise = record->promise;
  (void)da_table_put(&execution->records, promise->id, record);
  bool pending = promise->state == DA_PENDING;
  if (pending && settled_by_others(promise->call.kind)) {
    record->interested = true;
    da_worker_interest(execution->worker, execution, promise->id);
  }
  if (!counts(promise)) return;
  execution->unreached++;
  note_ordinal(execution, promise);
  if (pending || (execution->far != NULL && da_far_withdrawn(promise))) return;
  execution->recorded_left++;
  da_fiber_append(execution,
                  (da_delivery){.seq = promise->settle_seq, .record = record, .settled_at = promise->settled_at});
}

void da_replay_load(da_execution *execution, da_op *op)
{
  const load_result *result = op->call_result;
  execution->load = op;
  execution->catching_up = true;
  execution->informed = true;
  if (result->doubt != NULL) da_restore_doubted(execution, result->doubt);
  if (result->restore != NULL) da_restore_load(execution, result->restore);
  execution->record_list = da_arena_alloc(&execution->arena, result->count * sizeof *execution->record_list);
  da_slice cancel = da_cancel_id(&execution->arena, execution->id);
  for (const kept_record *kept = result->first; kept != NULL; kept = kept->next) {
    da_record *record = &execution->record_list[execution->record_count++];
    *record = (da_record){.promise = &kept->promise};
    if (da_slice_eq(kept->promise.id, cancel) && !execution->cancel_requested) take_cancel(execution, &kept->promise);
    take_record(execution, record);
  }
  da_fiber_sort(execution);
  da_evicted_take(execution);
}

/* ---- a call and its record ----------------------------------------------------------------------------- */

/* The words of one side of a divergence. */
static void describe(da_buf *out, const da_call *call)
{
  char hex[33];
  da_digest_hex(&call->args, hex);
  da_buf_addf(out, "%s '%.*s' args#%.8s (%.*s:%u)", da_call_kind_name(call->kind), DA_FMT(call->func), hex,
              DA_FMT(call->file), call->line);
}

static void keep_sides(da_execution *execution, const da_call *recorded, const da_call *wanted)
{
  if (execution->park_code != NULL) return;
  execution->park_recorded = recorded;
  if (wanted == NULL) return;
  da_call *copy = da_arena_alloc(&execution->arena, sizeof *copy);
  *copy = *wanted;
  execution->park_wanted = copy;
}

static bool diverged(da_execution *execution, da_slice id, const da_call *wanted, const da_promise *holder)
{
  keep_sides(execution, &holder->call, wanted);
  da_buf words = {0};
  da_buf_addf(&words, "replay of '%.*s' wants ", DA_FMT(execution->id));
  describe(&words, wanted);
  da_buf_addf(&words, " as '%.*s', but record '%.*s' holds ", DA_FMT(id), DA_FMT(holder->id));
  describe(&words, &holder->call);
  if (!da_slice_eq(id, holder->id)) da_buf_addf(&words, "; guard new work with da.patched(name)");
  da_execution_park(execution, "nondeterminism", "%.*s", DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
  return false;
}

static const da_promise *record_at(const da_execution *execution, uint32_t ordinal)
{
  if (ordinal >= execution->ordinal_cap || execution->by_ordinal[ordinal].len == 0) return NULL;
  const da_record *found = da_table_get(&execution->records, execution->by_ordinal[ordinal]);
  return found != NULL ? found->promise : NULL;
}

bool da_replay_find(da_execution *execution, da_slice id, const da_call *call, da_record **found)
{
  *found = da_table_get(&execution->records, id);
  if (*found == NULL) { /* a free ordinal is a call that was in flight */
    const da_promise *holder = record_at(execution, call->ordinal);
    return holder == NULL || diverged(execution, id, call, holder);
  }
  const da_call *held = &(*found)->promise->call;
  if (held->kind == DA_CALL_NONE) return true; /* made from outside under this id */
  if (held->kind == call->kind && da_slice_eq(held->func, call->func) && da_digest_eq(&held->args, &call->args))
    return true;
  return diverged(execution, id, call, (*found)->promise);
}

/* A settled record waits in the queue already, a pending one is waited for. */
void da_replay_meet(da_child *child, da_record *found)
{
  da_execution *execution = child->execution;
  const da_promise *promise = found->promise;
  if (!found->reached && counts(promise)) {
    execution->unreached--;
    execution->worker->stats.replayed_calls++;
  }
  found->reached = true;
  found->child = child;
  child->record = found;
  child->created_at = promise->created_at;
  child->timeout_at = promise->timeout_at;
  int64_t delayed = da_deadline_instant(promise, "resonate:delay");
  child->delay_at = delayed < DA_TIME_MAX ? delayed : 0;
  if (promise->state == DA_PENDING) {
    child->interested = found->interested;
    child->announced = !child->foreign;
    found->interested = false;
    if (child->foreign) da_foreign_open(child);
    if (child->kind == DA_CALL_WORKFLOW) da_start_attach(execution->worker, child->id);
  } else {
    const da_slice *rest = da_map_get(promise->value.headers, DA_LIT("da-rest"));
    child->settled = true;
    child->state = promise->state;
    child->seq = promise->settle_seq;
    child->settled_at = promise->settled_at;
    child->data = da_call_json(&execution->arena, &promise->value); /* lives as long as the load op */
    child->rest = rest != NULL ? *rest : DA_NONE;
    if (!counts(promise))
      da_fiber_enqueue(execution, (da_delivery){.seq = child->seq, .child = child, .settled_at = child->settled_at});
  }
  da_execution_event(execution, DA_EVENT_REPLAYED, child);
}

/* ---- told meanwhile ------------------------------------------------------------------------------------ */

static const da_promise *copy_settled(da_arena *arena, const da_promise *record, const da_promise *settled)
{
  da_promise *copy = da_arena_alloc(arena, sizeof *copy);
  *copy = *record;
  copy->state = settled->state;
  copy->settled_at = settled->settled_at;
  copy->settle_seq = settled->settle_seq;
  copy->value = settled->value;
  copy->value.data = da_arena_dup(arena, settled->value.data);
  const da_slice *rest = da_map_get(settled->value.headers, DA_LIT("da-rest"));
  copy->value.headers = (da_map){NULL, 0};
  if (rest != NULL) {
    da_pair *pair = da_arena_alloc(arena, sizeof *pair);
    *pair = (da_pair){DA_LIT("da-rest"), da_arena_dup(arena, *rest)};
    copy->value.headers = (da_map){pair, 1};
  }
  return copy;
}

void da_replay_told(da_execution *execution, const da_promise *promise)
{
  da_child *child = da_table_get(&execution->by_id, promise->id);
  if (child != NULL) {
    child->interested = false;
    da_call_completed(child, promise);
    return;
  }
  da_record *record = da_table_get(&execution->records, promise->id);
  if (record == NULL || !record->interested) return;
  record->interested = false;
  da_promise settled = *promise;
  if (execution->far != NULL) settled.settle_seq = da_far_seq(execution, record->promise->call.ordinal, false, promise);
  record->promise = copy_settled(&execution->arena, record->promise, &settled);
  if (!counts(record->promise)) return;
  execution->recorded_left++;
  da_fiber_enqueue(execution,
                   (da_delivery){.seq = settled.settle_seq, .record = record, .settled_at = settled.settled_at});
}

/* ---- the end ------------------------------------------------------------------------------------------- */

const da_promise *da_replay_unreached(const da_execution *execution)
{
  for (size_t i = 0; i < execution->record_count && execution->unreached > 0; i++) {
    const da_record *record = &execution->record_list[i];
    if (!record->reached && counts(record->promise)) return record->promise;
  }
  return NULL;
}

bool da_replay_all_reached(da_execution *execution)
{
  const da_promise *missed = da_replay_unreached(execution);
  if (missed == NULL) return true;
  keep_sides(execution, &missed->call, NULL);
  da_execution_park(execution, "nondeterminism",
                    "replay of '%.*s' finished without reaching recorded %s '%.*s' (%.*s:%u)", DA_FMT(execution->id),
                    da_call_kind_name(missed->call.kind), DA_FMT(missed->id), DA_FMT(missed->call.file),
                    missed->call.line);
  return false;
}
