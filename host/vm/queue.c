/* queue.c - calls about queues: what waits in one (recv, acquire, take), and a message that is sent.
 *
 * Who waits is a promise that others settle, as a timer is: it is not joined, but withdrawn with its execution. What it
 * was given and no await has handed to the code goes back with the withdrawal, in the same commit. That is asked again
 * by a replay that comes to the same place; the engine answers it once.
 * A send is recorded with its message in one write, so that a replay never sends again. What the engine refuses (a
 * name of two kinds, a full channel, an inbox of nobody) becomes the failure of the call, on record.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "../base/limits.h"
#include "execution.h"
#include "fault.h"

da_slice da_queue_counted(da_arena *arena, const da_call_spec *spec)
{
  size_t end = spec->func.len; /* of an inbox: the name alone, its execution is in the id already, or is not its own */
  while (end > 0 && spec->func.ptr[end - 1] != '/') end--;
  da_slice name = da_slice_make(spec->func.ptr + end, spec->func.len - end);
  da_slice parts[4] = {DA_LIT("~"), da_slice_of(da_call_kind_name(spec->kind)), DA_LIT("-"), name};
  return da_arena_join(arena, parts, 4);
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

const char *da_queue_code(int status)
{
  return status == 410 ? "no_inbox" : status == 507 ? "queue_full" : status == 422 ? "queue_kind" : NULL;
}

/* True if the engine had something against the queue; then that is recorded as the failure of the call. */
static bool refused(da_child *child, const da_reply *reply)
{
  const char *code = da_queue_code(reply->status);
  if (code == NULL) return false;
  da_foreign_close(child);
  da_buf json = {0};
  da_fault_json(&json, code, reply->message);
  da_call_record(child, DA_REJECTED, da_buf_slice(&json), DA_NONE);
  da_buf_free(&json);
  return true;
}

static void answer(da_execution *execution, da_child *child, const da_reply *reply)
{
  if (reply->status == 200) {
    if (reply->promise->state != DA_PENDING) da_call_completed(child, reply->promise);
  } else if (reply->status == 404 || reply->status == 409) {
    da_execution_drop(execution); /* the task is not ours any more */
  } else if (!refused(child, reply)) {
    da_execution_park(execution, "refused", "'%.*s' was refused: %.*s", DA_FMT(child->id), DA_FMT(reply->message));
  }
}

/* ---- waiting and sending ------------------------------------------------------------------------------- */

static void answered(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  context.execution->busy--;
  answer(context.execution, context.child, &op->outcomes[0].reply);
  da_op_delete(op);
  da_execution_pump(context.execution);
  da_execution_unref(context.execution);
}

void da_queue_start(da_child *child, const da_call_spec *spec)
{
  da_execution *execution = child->execution;
  bool send = child->kind == DA_CALL_SEND;
  da_op *op = da_op_new();
  da_request *request = da_call_request(op, execution, send ? DA_REQ_QUEUE_PUT : DA_REQ_QUEUE_WAIT, child);
  request->queue = spec->queue;
  request->queue.name = child->call.func;
  request->created_at = da_clock_now_ms();
  da_call_tags(&op->arena, execution, child->scope, child->id, request, send);
  if (send)
    request->value = da_call_value(&op->arena, spec->data, DA_NONE);
  else
    da_foreign_wait(child);
  execution->busy++; /* no suspension before it is known that there is something to wait for */
  da_execution_submit(execution, op, child, answered);
}

/* ---- giving back --------------------------------------------------------------------------------------- */

void da_execution_give_back(da_execution *execution, da_child *child)
{
  if (child->given_back) return;
  child->given_back = true;
  da_op *op = da_op_new();
  (void)da_call_request(op, execution, DA_REQ_QUEUE_BACK, child);
  da_execution_submit(execution, op, child, da_execution_op_over);
}

void da_queue_take_back(da_child *child, const char *why)
{
  bool unseen = child->delivered && child->state == DA_RESOLVED && !child->seen && !child->handed_on;
  if (!da_queue_waits(child->kind) || !unseen) return;
  da_execution_give_back(child->execution, child);
  da_call_overrule(child, DA_CANCELED, "canceled", why);
}

void da_queue_leave_scope(da_scope *scope, da_execution *execution)
{
  static const char why[] = "the branch that waited has ended";
  for (size_t i = 0; i < scope->count; i++) {
    da_child *child = scope->children[i];
    if (!da_queue_waits(child->kind) || child->handed_on || da_fiber_awaited(child)) continue;
    da_execution_cancel_child(execution, child, why);
  }
}

void da_queue_add_returns(da_execution *execution, da_op *op)
{
  for (size_t i = 0; i < execution->child_count; i++) {
    da_child *child = execution->children[i];
    if (child == NULL || !da_queue_waits(child->kind) || child->seen || child->given_back) continue;
    if (child->delivered && child->handed_on) continue;
    da_foreign_close(child);
    (void)da_call_request(op, execution, DA_REQ_QUEUE_BACK, child);
  }
}
