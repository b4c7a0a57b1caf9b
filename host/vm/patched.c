/* patched.c - da.patched: which path an execution takes where its code was changed.
 *
 * The new one, unless the execution is past the place already. It is, if a record holds a later ordinal than the calls
 * made so far: calls are numbered in the order in which the program makes them, over all its branches, and a replay
 * makes them in the same order, so what is recorded behind this place was made behind it. What was under way and left
 * no record holds nobody to the old path. Records are only added while a generation lasts, so "past" stays so; "not
 * past" is kept in a mark, which is durable before anything made behind it. The first answer holds: a loop whose first
 * round went the old way goes on so.
 * The mark takes no ordinal: calls behind it keep theirs when the guard is taken out of the code again.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "execution.h"

static void keep_mark(da_execution *execution, da_slice id)
{
  if (execution->worker->options.rehearse) return;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_TASK_STEP);
  request->id = execution->id;
  request->version = execution->version;
  request->promise_id = id;
  request->timeout_at = DA_TIME_MAX;
  request->created_at = da_clock_now_ms();
  request->state = DA_RESOLVED;
  request->call = (da_call){.kind = DA_CALL_MARK};
  da_call_tags(&op->arena, execution, &execution->main, id, request, true);
  da_execution_submit(execution, op, NULL, da_execution_op_over);
  da_execution_throttle(execution);
}

static bool is_new_here(const da_execution *execution, da_slice id)
{
  const da_record *mark = da_table_get(&execution->records, id);
  if (mark != NULL) return mark->promise->call.kind == DA_CALL_MARK;
  return execution->last_ordinal <= execution->next_ordinal;
}

bool da_execution_patched(da_execution *execution, da_slice name, bool *answer, da_err *err)
{
  da_arena_reset(&execution->scratch);
  da_slice id = da_id_child_key(&execution->scratch, execution->main.id, DA_LIT("~patched"), name);
  const char *fault = da_id_fault(id);
  if (fault != NULL) return da_fail(err, DA_EINVAL, "%s", fault) == DA_OK;
  da_patch *patch = da_table_get(&execution->patches, id);
  if (patch == NULL) {
    patch = da_arena_alloc(&execution->arena, sizeof *patch);
    id = da_arena_dup(&execution->arena, id);
    *patch = (da_patch){id, is_new_here(execution, id)};
    (void)da_table_put(&execution->patches, patch->id, patch);
    if (patch->answer && da_table_get(&execution->records, id) == NULL) keep_mark(execution, id);
  }
  *answer = patch->answer;
  return true;
}
