/* crash.c - executions that take the process down with them.
 *
 * A step that kills the process (a fault in a C module, all the memory of the machine) would do so for ever: each start
 * recovers the execution, which runs the step again. So when a process died that held an execution, the first named
 * step that the recovered one runs again is preceded by a durable mark with the step's id; and the execution that finds
 * as many marks of that step as make its deaths DA_DEATHS_MAX parks instead. Who ends in peace leaves no mark, and what
 * does not crash pays nothing.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "execution.h"
#include "fault.h"

static const char mark_name[] = "~death";

/* ---- who was held by the dead -------------------------------------------------------------------------- */

void da_crash_note(da_worker *worker, da_slice id)
{
  if (da_table_get(&worker->died, id) != NULL) return;
  da_slice *key = da_arena_alloc(&worker->arena, sizeof *key);
  *key = da_arena_dup(&worker->arena, id);
  (void)da_table_put(&worker->died, *key, key);
}

void da_crash_load(da_execution *execution)
{
  execution->after_death = da_table_remove(&execution->worker->died, execution->id) != NULL;
}

/* ---- its marks ----------------------------------------------------------------------------------------- */

static bool is_mark(const da_execution *execution, const da_promise *promise)
{
  da_slice name = da_slice_make(mark_name, sizeof mark_name - 1);
  size_t at = execution->main.id.len + 1;
  return promise->call.kind == DA_CALL_MARK && promise->id.len > at + name.len &&
         memcmp(promise->id.ptr + at, name.ptr, name.len) == 0;
}

/* The step's id as the mark's value, JSON. */
static da_buf mark_text(const da_child *child)
{
  da_buf json = {0};
  da_fault_string(&json, child->id);
  return json;
}

static int count_marks(const da_child *child)
{
  const da_execution *execution = child->execution;
  da_buf text = mark_text(child);
  int count = 0;
  for (size_t i = 0; i < execution->record_count; i++) {
    const da_promise *promise = execution->record_list[i].promise;
    if (is_mark(execution, promise) && da_slice_eq(promise->value.data, da_buf_slice(&text))) count++;
  }
  da_buf_free(&text);
  return count;
}

static void marked(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  if (op->outcomes[0].reply.status == 200)
    da_step_go(context.child);
  else
    da_execution_drop(context.execution); /* the task is not ours any more */
  da_op_delete(op);
  da_execution_pump(context.execution);
  da_execution_unref(context.execution);
}

static void mark(da_child *child)
{
  da_execution *execution = child->execution;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_TASK_STEP);
  request->id = execution->id;
  request->version = execution->version;
  request->promise_id =
      da_id_child(&op->arena, execution->main.id, da_slice_of(mark_name), (uint64_t)execution->version);
  request->timeout_at = DA_TIME_MAX;
  request->created_at = da_clock_now_ms();
  request->state = DA_RESOLVED;
  request->call = (da_call){.kind = DA_CALL_MARK};
  da_call_tags(&op->arena, execution, &execution->main, request->promise_id, request, true);
  da_buf text = mark_text(child);
  request->value = da_call_value(&op->arena, da_buf_slice(&text), DA_NONE);
  da_buf_free(&text);
  da_execution_submit(execution, op, child, marked);
}

bool da_crash_guard(da_child *child)
{
  da_execution *execution = child->execution;
  if (!execution->after_death) return false;
  /* An inline step runs where it is called, since it sees what is assigned behind it. It has no C modules to die of. */
  if (child->kind == DA_CALL_INLINE) return false;
  execution->after_death = false;
  int max = execution->worker->options.deaths_max;
  int deaths = count_marks(child) + 1;
  if (deaths >= (max > 0 ? max : DA_DEATHS_MAX))
    da_execution_park(execution, "crashing", "the process died %d times after '%.*s' (%.*s:%u) had begun", deaths,
                      DA_FMT(child->id), DA_FMT(child->call.file), child->call.line);
  else
    mark(child);
  return true;
}
