/* request_write.c - requests as the protocol's JSON: what a client sends (envelope_client.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "envelope_client.h"
#include "envelope_parts.h"

/* ---- the head ------------------------------------------------------------------------------------------ */

static void put_head(da_buf *out, const da_client_head *head)
{
  da_put(out, "{");
  if (head->auth.len > 0) {
    da_put_text(out, "\"auth\":", head->auth);
    da_put(out, ",");
  }
  da_put_text(out, "\"corrId\":", head->corr_id);
  if (head->preload.len > 0) da_put_text(out, ",\"dahost:preload\":", head->preload);
  if (head->origin.len > 0) da_put_text(out, ",\"resonate:origin\":", head->origin);
  da_put(out, ",\"version\":\"" DA_PROTOCOL_VERSION "\"}");
}

static void open_action(da_buf *out, const char *kind, const da_client_head *head)
{
  da_put_text(out, "{\"kind\":", da_slice_of(kind));
  da_put_text(out, ",\"head\":{\"corrId\":", head->corr_id);
  da_put(out, ",\"version\":\"" DA_PROTOCOL_VERSION "\"},\"data\":");
}

/* ---- data of each kind --------------------------------------------------------------------------------- */

static void put_create(da_buf *out, const da_request *request, da_slice id)
{
  da_put_text(out, "{\"id\":", id);
  da_put_value(out, ",\"param\":", &request->param);
  da_put_map(out, ",\"tags\":", request->tags);
  da_put_int(out, ",\"timeoutAt\":", request->timeout_at);
  da_put(out, "}");
}

static void put_settle(da_buf *out, const da_request *request, da_slice id)
{
  da_put_text(out, "{\"id\":", id);
  da_put_text(out, ",\"state\":", da_slice_of(da_promise_state_name(request->state)));
  da_put_value(out, ",\"value\":", &request->value);
  da_put(out, "}");
}

static void put_task(da_buf *out, const da_request *request)
{
  da_put_text(out, "{\"id\":", request->id);
  da_put_int(out, ",\"version\":", request->version);
}

static void put_await(da_buf *out, da_slice awaited, da_slice awaiter)
{
  da_put_text(out, "{\"awaited\":", awaited);
  da_put_text(out, ",\"awaiter\":", awaiter);
  da_put(out, "}");
}

static void put_fence(da_buf *out, const da_request *request, const da_client_head *head)
{
  put_task(out, request);
  da_put(out, ",\"action\":");
  open_action(out, request->fence_settles ? "promise.settle" : "promise.create", head);
  if (request->fence_settles)
    put_settle(out, request, request->promise_id);
  else
    put_create(out, request, request->promise_id);
  da_put(out, "}}");
}

static void put_fulfill(da_buf *out, const da_request *request, const da_client_head *head)
{
  put_task(out, request);
  da_put(out, ",\"action\":");
  open_action(out, "promise.settle", head);
  put_settle(out, request, request->promise_id.ptr != NULL ? request->promise_id : request->id);
  da_put(out, "}}");
}

static void put_task_create(da_buf *out, const da_request *request, const da_client_head *head)
{
  da_put_text(out, "{\"pid\":", request->pid);
  da_put_int(out, ",\"ttl\":", request->ttl);
  da_put(out, ",\"action\":");
  open_action(out, "promise.create", head);
  put_create(out, request, request->id);
  da_put(out, "}}");
}

static void put_suspend(da_buf *out, const da_request *request, const da_client_head *head)
{
  put_task(out, request);
  da_put(out, ",\"actions\":[");
  for (size_t i = 0; i < request->await_count; i++) {
    if (i > 0) da_put(out, ",");
    open_action(out, "promise.register_callback", head);
    put_await(out, request->awaits[i].awaited, request->awaits[i].awaiter);
    da_put(out, "}");
  }
  da_put(out, "]}");
}

static void put_heartbeat(da_buf *out, const da_request *request)
{
  da_put_text(out, "{\"pid\":", request->pid);
  da_put(out, ",\"tasks\":[");
  for (size_t i = 0; i < request->held_count; i++) {
    da_put_text(out, i > 0 ? ",{\"id\":" : "{\"id\":", request->held[i].id);
    da_put_int(out, ",\"version\":", request->held[i].version);
    da_put(out, "}");
  }
  da_put(out, "]}");
}

static void put_schedule(da_buf *out, const da_request *request)
{
  da_put_text(out, "{\"cron\":", request->cron);
  da_put_text(out, ",\"id\":", request->id);
  da_put_text(out, ",\"promiseId\":", request->promise_id);
  da_put_value(out, ",\"promiseParam\":", &request->param);
  da_put_map(out, ",\"promiseTags\":", request->tags);
  da_put_int(out, ",\"promiseTimeout\":", request->timeout_at);
  da_put(out, "}");
}

static void put_search(da_buf *out, const da_request *request)
{
  const char *state = request->kind == DA_REQ_TASK_SEARCH ? da_task_state_name(request->task_state)
                                                          : da_promise_state_name(request->state);
  da_put(out, "{");
  const char *comma = "";
  if (request->has_search_state) {
    da_put_text(out, "\"state\":", da_slice_of(state));
    comma = ",";
  }
  if (request->tags.count > 0) {
    da_put(out, comma);
    da_put_map(out, "\"tags\":", request->tags);
    comma = ",";
  }
  if (request->has_search_limit) {
    da_put(out, comma);
    da_put_int(out, "\"limit\":", request->search_limit);
    comma = ",";
  }
  if (request->search_after.len > 0) {
    da_put(out, comma);
    da_put_text(out, "\"cursor\":", request->search_after);
  }
  da_put(out, "}");
}

static void put_acquire(da_buf *out, const da_request *request)
{
  put_task(out, request);
  da_put_text(out, ",\"pid\":", request->pid);
  da_put_int(out, ",\"ttl\":", request->ttl);
  da_put(out, "}");
}

static void put_listener(da_buf *out, const da_request *request)
{
  da_put_text(out, "{\"awaited\":", request->id);
  da_put_text(out, ",\"address\":", request->address);
  da_put(out, "}");
}

static void put_id(da_buf *out, const da_request *request)
{
  da_put_text(out, "{\"id\":", request->id);
  da_put(out, "}");
}

static void put_data(da_buf *out, const da_request *request, const da_client_head *head)
{
  switch (request->kind) {
  case DA_REQ_PROMISE_GET:
  case DA_REQ_TASK_GET:
  case DA_REQ_TASK_HALT:
  case DA_REQ_TASK_CONTINUE:
  case DA_REQ_SCHEDULE_GET:
  case DA_REQ_SCHEDULE_DELETE:
    put_id(out, request);
    break;
  case DA_REQ_PROMISE_CREATE:
    put_create(out, request, request->id);
    break;
  case DA_REQ_PROMISE_SETTLE:
    put_settle(out, request, request->id);
    break;
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
    put_await(out, request->id, request->awaiter);
    break;
  case DA_REQ_PROMISE_REGISTER_LISTENER:
    put_listener(out, request);
    break;
  case DA_REQ_TASK_CREATE:
    put_task_create(out, request, head);
    break;
  case DA_REQ_TASK_ACQUIRE:
    put_acquire(out, request);
    break;
  case DA_REQ_TASK_RELEASE:
    put_task(out, request);
    da_put(out, "}");
    break;
  case DA_REQ_TASK_FULFILL:
    put_fulfill(out, request, head);
    break;
  case DA_REQ_TASK_SUSPEND:
    put_suspend(out, request, head);
    break;
  case DA_REQ_TASK_FENCE:
    put_fence(out, request, head);
    break;
  case DA_REQ_TASK_HEARTBEAT:
    put_heartbeat(out, request);
    break;
  case DA_REQ_SCHEDULE_CREATE:
    put_schedule(out, request);
    break;
  case DA_REQ_PROMISE_SEARCH:
  case DA_REQ_TASK_SEARCH:
  case DA_REQ_SCHEDULE_SEARCH:
    put_search(out, request);
    break;
  default: /* in process only */
    DA_ASSERT(false);
  }
}

void da_envelope_write_request(da_buf *out, const da_request *request, const da_client_head *head)
{
  da_put_text(out, "{\"kind\":", da_slice_of(da_req_kind_name(request->kind)));
  da_put(out, ",\"head\":");
  put_head(out, head);
  da_put(out, ",\"data\":");
  put_data(out, request, head);
  da_put(out, "}");
}
