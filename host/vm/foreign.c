/* foreign.c - calls that somebody else settles: child workflows, timers, promises, promises of other lineages.
 *
 * Created pending; the worker tells their settlement (da_worker_interest(), registered before the op is submitted, so
 * none is missed). What may have been settled before it was called here - an id of the caller's choice, a promise
 * somebody else may have made first - holds up deliveries until the store has answered: a replay knows at once what a
 * first run has to ask for, and both must deliver it at the same place.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "far.h"
#include "fault.h"

/* ---- the list of those not settled --------------------------------------------------------------------- */

void da_foreign_open(da_child *child)
{
  da_execution *execution = child->execution;
  DA_ASSERT(!child->open);
  child->open = true;
  child->open_next = execution->open_first;
  if (child->open_next != NULL) child->open_next->open_prev = child;
  execution->open_first = child;
  execution->open_count++;
}

void da_foreign_close(da_child *child)
{
  da_execution *execution = child->execution;
  if (child->interested) da_worker_lose_interest(execution->worker, execution, child->id);
  child->interested = false;
  if (!child->open) return;
  child->open = false;
  *(child->open_prev != NULL ? &child->open_prev->open_next : &execution->open_first) = child->open_next;
  if (child->open_next != NULL) child->open_next->open_prev = child->open_prev;
  child->open_prev = child->open_next = NULL;
  execution->open_count--;
}

void da_foreign_wait(da_child *child)
{
  da_foreign_open(child);
  if (child->interested) return;
  child->interested = true;
  da_worker_interest(child->execution->worker, child->execution, child->id);
}

static void hold(da_child *child)
{
  child->held = true;
  child->execution->holds++;
}

static void release(da_child *child)
{
  if (child->held) child->execution->holds--;
  child->held = false;
}

/* ---- workflows, timers, promises ----------------------------------------------------------------------- */

/* Did this op make the promise, or did it find it? */
static bool made_here(const da_outcome *outcome)
{
  for (size_t i = 0; i < outcome->write_count; i++)
    if (outcome->writes[i].table == DA_TABLE_PROMISE && !outcome->writes[i].del &&
        da_slice_eq(outcome->writes[i].row.promise->id, outcome->reply.promise->id))
      return true;
  return false;
}

/* The child's task was acquired with its creation: it runs here, whatever became of its parent meanwhile. One that was
 * there already is driven by whoever has it, or claimed. */
static void begin_child_execution(da_worker *worker, const da_op *op)
{
  const da_outcome *outcome = &op->outcomes[0];
  const da_task *task = outcome->reply.task;
  if (worker->closing || outcome->reply.status != 200 || outcome->reply.promise->state != DA_PENDING) return;
  if (task == NULL || da_table_get(&worker->executions, task->id) != NULL) return;
  if (!made_here(outcome)) {
    da_start_attach(worker, task->id);
    return;
  }
  da_worker_admit(worker, da_id_root(task->id));
  da_execution_begin(da_execution_new(worker, task->id), task->version, outcome->reply.promise);
}

/* What is detached lies outside of the scan that a replay begins with, so its record is compared here. */
static bool is_other_call(const da_child *child, const da_promise *found)
{
  const da_call *call = &found->call;
  return child->detached && call->kind != DA_CALL_NONE &&
         !(da_slice_eq(call->func, child->call.func) && da_digest_eq(&call->args, &child->call.args));
}

static void answer_created(da_execution *execution, da_child *child, const da_op *op)
{
  const da_reply *reply = &op->outcomes[0].reply;
  if (reply->status == 200 && reply->inner != NULL) reply = reply->inner;
  release(child);
  if (execution->far != NULL) {
    if (da_far_made(execution, child, &op->outcomes[0].reply) && reply->promise->state != DA_PENDING)
      da_call_completed(child, reply->promise);
    return;
  }
  if (reply->status == 200 && is_other_call(child, reply->promise)) {
    da_execution_park(
        execution, "nondeterminism",
        "'%.*s' wants %s '%.*s' (%.*s:%u) as '%.*s', but that was detached as '%.*s' or with other arguments",
        DA_FMT(execution->id), da_call_kind_name(child->kind), DA_FMT(child->call.func), DA_FMT(child->call.file),
        child->call.line, DA_FMT(child->id), DA_FMT(reply->promise->call.func));
  } else if (reply->status == 200) {
    if (reply->promise->state != DA_PENDING) da_call_completed(child, reply->promise);
  } else if (op->outcomes[0].reply.status == 409) {
    da_execution_drop(execution);
  } else {
    da_execution_park(execution, "refused", "'%.*s' was refused: %.*s", DA_FMT(child->id), DA_FMT(reply->message));
  }
}

static void created(da_op *op)
{
  da_worker *worker = ((const da_op_context *)op->user)->execution->worker;
  if (op->status == DA_OK && op->requests[0].kind == DA_REQ_TASK_SPAWN) begin_child_execution(worker, op);
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  if (da_far_disarm(context.execution, op, context.child, created)) {
    da_execution_unref(context.execution);
    return;
  }
  if (op->requests[0].kind == DA_REQ_TASK_FENCE && context.execution->far == NULL &&
      context.child->kind == DA_CALL_WORKFLOW)
    da_worker_dispatch(worker, context.child->id); /* it may have been there; and that nobody here has it is told */
  answer_created(context.execution, context.child, op);
  da_op_delete(op);
  da_execution_pump(context.execution);
  da_execution_unref(context.execution);
}

static void describe_workflow(da_op *op, da_request *request, const da_child *child, const da_call_spec *spec)
{
  const da_execution *execution = child->execution;
  da_slice target = spec->target.len > 0 ? da_arena_dup(&op->arena, spec->target) : execution->target;
  if (execution->far != NULL && spec->target.len == 0) target = da_far_target(execution);
  da_call_add_tag(&op->arena, request, DA_LIT("resonate:target"), target);
  if (request->kind == DA_REQ_TASK_SPAWN) {
    request->pid = execution->worker->pid;
    request->ttl = DA_TIME_MAX;
  }
  da_deadline_tag(op, request, child);
  if (child->detached) da_call_add_tag(&op->arena, request, DA_LIT("dahost:detached"), child->scope->id);
  request->param = da_call_param(&op->arena, spec->func, spec->args, child->version);
}

/* It has no execution of its own: its record is to come with those of its maker. */
static void share_branch(const da_execution *execution, da_request *request)
{
  for (size_t i = 0; i < request->tags.count; i++) {
    da_pair *tag = (da_pair *)(uintptr_t)&request->tags.items[i]; /* made by da_call_tags() in the op's arena */
    if (da_slice_eq(tag->key, DA_LIT("resonate:branch"))) tag->value = execution->id;
  }
}

void da_foreign_start(da_child *child, const da_call_spec *spec)
{
  da_execution *execution = child->execution;
  da_op *op = da_op_new();
  bool workflow = child->kind == DA_CALL_WORKFLOW;
  bool begins = workflow && child->delay_at == 0 && !child->elsewhere && execution->far == NULL;
  da_request *request = da_call_request(op, execution, begins ? DA_REQ_TASK_SPAWN : DA_REQ_TASK_FENCE, child);
  da_call_tags(&op->arena, execution, child->scope, request->promise_id, request, false);
  if (execution->far != NULL && !workflow && !child->global) share_branch(execution, request);
  if (workflow)
    describe_workflow(op, request, child, spec);
  else if (child->kind == DA_CALL_SLEEP)
    da_call_add_tag(&op->arena, request, DA_LIT("resonate:timer"), DA_LIT("true"));
  else if (spec->has_data)
    request->param = da_call_value(&op->arena, spec->data, DA_NONE);
  if (child->kind == DA_CALL_SLEEP || (child->kind == DA_CALL_PROMISE && spec->timeout_ms >= 0))
    da_far_arm(op, request, child);
  for (size_t i = 0; i < spec->tags.count; i++)
    da_call_add_tag(&op->arena, request, da_arena_dup(&op->arena, spec->tags.items[i].key),
                    da_arena_dup(&op->arena, spec->tags.items[i].value));
  if (child->delay_at > 0) da_worker_admit(execution->worker, da_id_root(child->id));
  if (child->global || child->kind == DA_CALL_PROMISE || execution->far != NULL) hold(child);
  da_publish_before(execution);
  da_execution_submit(execution, op, child, created);
  da_foreign_wait(child); /* nothing of it is told before this returns */
}

/* ---- withdrawing --------------------------------------------------------------------------------------- */

void da_foreign_withdraw(da_child *child)
{
  da_op *op = da_op_new();
  da_request *request = da_call_request(op, child->execution, DA_REQ_TASK_FENCE, child);
  request->fence_settles = true;
  request->state = DA_CANCELED;
  da_execution_submit(child->execution, op, child, da_execution_op_over);
}

/* ---- a promise of another lineage ---------------------------------------------------------------------- */

/* A replay must find as little as this run did. */
static void record_missing(da_child *child)
{
  da_foreign_close(child);
  child->created_at = da_clock_now_ms();
  child->timeout_at = DA_TIME_MAX;
  da_buf json = {0};
  da_fault_json(&json, "not_found", DA_LIT("no promise has this id"));
  da_call_record(child, DA_REJECTED, da_buf_slice(&json), DA_NONE);
  da_buf_free(&json);
}

static void looked_up(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  da_child *child = context.child;
  const da_reply *reply = &op->outcomes[0].reply;
  release(child);
  if (child->settled)
    ; /* told meanwhile, or cancelled */
  else if (reply->status != 200 && execution->worker->options.rehearse)
    da_execution_event(execution, DA_EVENT_CALLED, child);
  else if (reply->status != 200)
    record_missing(child);
  else if (reply->promise->state != DA_PENDING)
    da_call_completed(child, reply->promise);
  else
    da_start_attach(execution->worker, da_id_root(child->id));
  da_op_delete(op);
  da_execution_pump(execution);
  da_execution_unref(execution);
}

void da_foreign_look_up(da_child *child)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_PROMISE_GET);
  request->id = child->id;
  request->awaiter = child->execution->id;
  hold(child);
  da_execution_submit(child->execution, op, child, looked_up);
  da_foreign_wait(child);
}

da_child *da_execution_get(da_execution *execution, da_slice id)
{
  da_child *child = da_table_get(&execution->by_id, id);
  if (child != NULL) return child;
  da_scope *scope = execution->current->scope;
  da_call_spec spec = {.func = DA_LIT("~get")};
  da_slice record_id = da_arena_dup(&execution->arena, da_call_id(execution, scope, &spec));
  child = da_call_new(execution, scope, DA_CALL_PROMISE, id);
  child->record_id = record_id;
  child->call = (da_call){.kind = DA_CALL_NATIVE, .func = spec.func, .args = da_hash128(id)};
  if (execution->far != NULL) child->call.ordinal = ++execution->next_ordinal; /* for the order of deliveries */
  child->foreign = child->global = true;
  da_record *found;
  if (!da_replay_find(execution, record_id, &child->call, &found)) return child;
  if (found != NULL)
    da_replay_meet(child, found);
  else
    da_foreign_look_up(child);
  return child;
}
