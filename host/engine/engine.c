/* engine.c - the door: kind to handler, and what surrounds each of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include "handlers.h"

void da_refuse(da_reply *reply, int status, const char *message)
{
  reply->status = status;
  reply->message = da_slice_of(message);
}

static void handle(da_change *c, const da_request *req)
{
  switch (req->kind) {
  case DA_REQ_PROMISE_GET:
    da_promise_get(c, req);
    break;
  case DA_REQ_PROMISE_CREATE:
    da_promise_create(c, req);
    break;
  case DA_REQ_PROMISE_SETTLE:
    da_promise_settle(c, req);
    break;
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
    da_promise_register_callback(c, req);
    break;
  case DA_REQ_PROMISE_REGISTER_LISTENER:
    da_promise_register_listener(c, req);
    break;
  case DA_REQ_PROMISE_SEARCH:
    da_promise_search(c, req);
    break;
  case DA_REQ_TASK_GET:
    da_task_get(c, req);
    break;
  case DA_REQ_TASK_CREATE:
    da_task_create(c, req);
    break;
  case DA_REQ_TASK_ACQUIRE:
    da_task_acquire(c, req);
    break;
  case DA_REQ_TASK_RELEASE:
    da_task_release(c, req);
    break;
  case DA_REQ_TASK_FULFILL:
    da_task_fulfill(c, req);
    break;
  case DA_REQ_TASK_SUSPEND:
    da_task_suspend(c, req);
    break;
  case DA_REQ_TASK_FENCE:
    da_task_fence(c, req);
    break;
  case DA_REQ_TASK_HEARTBEAT:
    da_task_heartbeat(c, req);
    break;
  case DA_REQ_TASK_HALT:
    da_task_halt(c, req);
    break;
  case DA_REQ_TASK_CONTINUE:
    da_task_continue(c, req);
    break;
  case DA_REQ_TASK_SEARCH:
    da_task_search(c, req);
    break;
  case DA_REQ_SCHEDULE_GET:
    da_schedule_get(c, req);
    break;
  case DA_REQ_SCHEDULE_CREATE:
    da_schedule_create(c, req);
    break;
  case DA_REQ_SCHEDULE_DELETE:
    da_schedule_delete(c, req);
    break;
  case DA_REQ_SCHEDULE_SEARCH:
    da_schedule_search(c, req);
    break;
  case DA_REQ_SCHEDULE_DECLARE:
    da_schedule_declare(c, req);
    break;
  case DA_REQ_TASK_STEP:
    da_task_step(c, req);
    break;
  case DA_REQ_TASK_SPAWN:
    da_task_spawn(c, req);
    break;
  case DA_REQ_TASK_AGAIN:
    da_task_again(c, req);
    break;
  case DA_REQ_QUEUE_WAIT:
    da_queue_wait(c, req);
    break;
  case DA_REQ_QUEUE_PUT:
    da_queue_put(c, req);
    break;
  case DA_REQ_QUEUE_BACK:
    da_queue_back(c, req);
    break;
  case DA_REQ_SWEEP:
    da_due_sweep(c, req);
    break;
  case DA_REQ_RECOVER:
    da_due_recover(c, req);
    break;
  case DA_REQ_CLAIM:
    da_due_claim(c, req);
    break;
  case DA_REQ_SENT:
    da_due_sent(c, req);
    break;
  }
}

da_status da_engine_apply(da_engine_env *env, da_view *view, const da_request *request, da_arena *arena,
                          da_outcome *out)
{
  out->reply.status = 200;
  if (!da_request_check(env, request, arena, &out->reply)) return DA_OK;
  da_change change;
  da_change_begin(&change, env, view, arena, out);
  handle(&change, request);
  return da_change_flush(&change);
}
