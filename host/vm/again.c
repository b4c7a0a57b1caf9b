/* again.c - da.again: an execution begins anew, under the same id, with other arguments and without its history.
 *
 * Each time is a generation. The second one's calls lie below `<id>:~2`, so that no id, and no chance drawn from one,
 * comes twice. That id is a record of its own, a mark with the generation's arguments; it is made in one commit with
 * the withdrawal of what the old generation waited for, and the promise of the execution notes its number there
 * (task.again of the engine). So a kill before that commit replays the old generation to its end, and a kill after it
 * runs the new one; and a replay reads what lies below the newest mark, however many there were before. What is behind
 * the mark is dropped, piece by piece (history.c). Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "far.h"

da_slice da_again_id(da_arena *arena, da_slice id, uint32_t generation)
{
  if (generation < 2) return id;
  char separator = da_id_separator(id);
  return da_arena_printf(arena, "%.*s%c~%u", DA_FMT(id), separator, generation);
}

uint32_t da_again_number(const da_promise *promise)
{
  return promise->call.generation > 0 ? promise->call.generation : 1;
}

/* ---- made by the program ------------------------------------------------------------------------------- */

uint32_t da_execution_make_again(da_execution *execution, const da_again *again)
{
  execution->again = (da_again){.args = da_arena_dup(&execution->arena, again->args),
                                .file = da_arena_dup(&execution->arena, again->file),
                                .line = again->line};
  return ++execution->again_made;
}

void da_execution_finish_again(da_execution *execution)
{
  if (execution->finished) return;
  execution->finished = true;
  execution->begins_again = true;
  execution->outcome = DA_RESOLVED;
}

/* ---- carried out --------------------------------------------------------------------------------------- */

void da_again_request(da_execution *execution, da_op *op)
{
  da_scope beside = {.id = execution->id}; /* the mark does not lie below the generation that ends */
  da_request *request = da_op_request(op, DA_REQ_TASK_AGAIN);
  request->id = execution->id;
  request->version = execution->version;
  request->promise_id = da_again_id(&op->arena, execution->id, execution->generation + 1);
  request->timeout_at = DA_TIME_MAX;
  request->created_at = da_clock_now_ms();
  request->state = DA_RESOLVED;
  request->call = (da_call){.kind = DA_CALL_MARK, .generation = execution->generation + 1};
  da_call_tags(&op->arena, execution, &beside, request->promise_id, request, true);
  request->param = da_call_param(&op->arena, execution->func, execution->again.args, da_group_version(execution));
}

/* The task is still held: the next generation is a new execution in memory, which finds its mark in the store. */
static void begin_next(da_execution *old)
{
  da_worker *worker = old->worker;
  int64_t version = old->version;
  if (old->far != NULL) { /* the next claim brings the mark */
    old->far->kept = true;
    da_start_give_back(worker, old->id, version);
    da_execution_drop(old);
    return;
  }
  da_arena arena = {0};
  da_slice id = da_arena_dup(&arena, old->id);
  da_execution_drop(old);
  if (!worker->closing) {
    da_execution_reload(da_execution_new(worker, id), version);
    da_history_drop(worker, id);
  }
  da_arena_free(&arena);
}

void da_again_begun(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_reply *reply = &op->outcomes[op->request_count - 1].reply;
  if (reply->status == 200) {
    begin_next(execution);
  } else if (reply->status == 404 || reply->status == 409) {
    da_execution_drop(execution); /* it was settled from outside, or its task is not ours any more */
  } else {
    da_execution_park(execution, "refused", "its next generation was refused: %.*s", DA_FMT(reply->message));
    da_execution_halt(execution);
  }
  da_op_delete(op);
  da_execution_unref(execution);
}
