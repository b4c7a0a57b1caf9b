/* suspend.c - from having nothing to do to being suspended.
 *
 * An execution that has nothing to do but wait for others rests a moment before it is suspended: what comes in that
 * time is delivered without giving the task back and claiming it again. The more it waits for the longer it rests, so
 * that waiting for each of ten thousand children does not mean to register with ten thousand of them each time.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "far.h"

enum { REST_MS = 20 }; /* before a suspension; and one more for each promise awaited */

/* The first promise that a fiber waits for, from `from` on. */
static da_child *next_awaited(da_child *from)
{
  while (from != NULL && !da_fiber_awaited(from)) from = from->open_next;
  return from;
}

static void add_awaits(da_execution *execution, da_op *op)
{
  da_request *request = da_op_request(op, DA_REQ_TASK_SUSPEND);
  da_await *awaits = da_arena_alloc(&op->arena, execution->open_count * sizeof *awaits);
  request->id = execution->id;
  request->version = execution->version;
  request->awaits = awaits;
  request->no_preload = true;
  for (da_child *child = execution->open_first; (child = next_awaited(child)) != NULL; child = child->open_next)
    awaits[request->await_count++] = (da_await){child->id, execution->id};
}

/* A request to cancel may lie before this op in the queue; it has found a task that was held, and counts for nothing
 * once that is suspended. So it is awaited as well: registered again, a settled one dispatches the task. */
static void add_cancel(da_execution *execution, da_op *op)
{
  if (execution->cancel_requested) return;
  da_request *request = da_op_request(op, DA_REQ_PROMISE_REGISTER_CALLBACK);
  request->id = da_cancel_id(&op->arena, execution->id);
  request->awaiter = execution->id;
}

/* Elsewhere nobody tells of a request to cancel that woke the task: the answer to add_cancel() shows it. */
static void hear_cancel(const da_execution *execution, const da_op *op)
{
  if (execution->far == NULL || op->request_count < 2) return;
  const da_reply *reply = &op->outcomes[1].reply;
  if (reply->status != 200 || reply->promise == NULL || reply->promise->state == DA_PENDING) return;
  da_worker_tell_cancel(execution->worker, reply->promise);
  if (op->outcomes[0].reply.status == 200) da_far_wake(execution->worker, execution->id);
}

static void suspended(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  const da_reply *reply = &op->outcomes[0].reply;
  hear_cancel(execution, op);
  if (reply->status == 200 && execution->recalled) {
    da_execution_claim(execution, execution->recalled_version);
  } else if (reply->status == 200) {
    execution->state = DA_EXECUTION_SUSPENDED;
    da_execution_event(execution, DA_EVENT_SUSPENDED, next_awaited(execution->open_first));
    da_worker_warm(execution->worker, execution);
  } else if (reply->status == 300 || execution->park_code != NULL) {
    execution->state = DA_EXECUTION_RUNNING;
    if (execution->queue_head == execution->queue_count && execution->park_code == NULL)
      da_execution_retreat(execution); /* settled, but nobody told us: start over from the records */
    else
      da_execution_pump(execution);
  } else if (reply->status == 400 && da_far_stays(execution, op)) {
    execution->state = DA_EXECUTION_RUNNING;
    da_execution_pump(execution);
  } else if (reply->status == 422 || reply->status == 400) {
    da_execution_park(execution, "refused", "it cannot be suspended: %.*s", DA_FMT(reply->message));
    execution->state = DA_EXECUTION_RUNNING;
    da_execution_pump(execution);
  } else {
    da_execution_drop(execution);
  }
  da_op_delete(op);
  da_execution_unref(execution);
}

static void suspend(da_execution *execution)
{
  da_op *op = da_op_new();
  op->stop_at_refusal = execution->far == NULL; /* elsewhere both are on their way at once */
  add_awaits(execution, op);
  add_cancel(execution, op);
  da_worker_unlist(execution->worker, execution);
  da_publish_before(execution);
  execution->state = DA_EXECUTION_SUSPENDING;
  execution->recalled = false;
  da_execution_submit(execution, op, NULL, suspended);
}

static void rested(void *arg)
{
  da_execution *execution = arg;
  execution->rest_timer = NULL;
  if (!execution->resting) return;
  if (da_clock_now_ms() < execution->rest_until)
    execution->rest_timer = da_timer_start(execution->worker->sched, execution->rest_until, rested, execution);
  else
    suspend(execution);
}

void da_execution_rest_over(da_execution *execution)
{
  DA_ASSERT(execution->resting && execution->state == DA_EXECUTION_RUNNING);
  suspend(execution);
}

void da_execution_rest(da_execution *execution)
{
  if (next_awaited(execution->open_first) == NULL) {
    da_execution_park(execution, "deadlock", "nothing that this execution waits for can ever be settled");
    da_execution_halt(execution);
    return;
  }
  da_worker *worker = execution->worker;
  if (da_far_rests(execution)) return;
  if (worker->warm_limit == 0 || worker->draining || worker->waiting_head < worker->waiting_count) {
    suspend(execution);
    return;
  }
  da_worker_rest(worker, execution);
  execution->rest_until = da_clock_now_ms() + REST_MS + (int64_t)execution->open_count;
  if (execution->rest_timer == NULL)
    execution->rest_timer = da_timer_start(worker->sched, execution->rest_until, rested, execution);
}
