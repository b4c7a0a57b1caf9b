/* service_change.c - promise create and settle, continue.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "../base/limits.h"
#include "cli.h"
#include "event.h"
#include "service.h"

/* ---- answers ------------------------------------------------------------------------------------------- */

/* A reply other than 200 refuses the request. */
static bool refused(cli_request *r, const da_reply *reply, da_slice id)
{
  switch (reply->status) {
  case 200:
  case 300:
    return false;
  case 404:
    cli_refuse_missing(r, CLI_PROMISE, id);
    return true;
  case 400:
    cli_refuse(r, CLI_EXIT_USAGE, "%.*s", DA_FMT(reply->message));
    return true;
  default:
    cli_refuse(r, CLI_EXIT_REJECTED, "'%.*s': %.*s", DA_FMT(id), DA_FMT(reply->message));
    return true;
  }
}

typedef struct show_call {
  da_slice id; /* borrowed from the request */
  cJSON *row;
} show_call;

static da_status read_row(da_store *store, da_op *op, da_err *err)
{
  show_call *show = op->call_argument;
  da_view *view = da_store_view(store);
  da_promise promise;
  int found = view->ops->promise(view, show->id, &op->arena, &promise);
  if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
  return found == 0 ? DA_OK : cli_row_of(store, &promise, CLI_FULL, &op->arena, &show->row, err);
}

typedef struct change {
  const char *member; /* added to the row */
  cJSON *value;
  bool drive; /* say whether this process drives it */
} change;

static void shown(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  show_call *show = op->call_argument;
  const change *c = r->state;
  if (show->row == NULL) cJSON_Delete(c->value);
  if (show->row != NULL) {
    da_json_put(show->row, c->member, c->value);
    if (c->drive) da_json_put_flag(show->row, "driven", cli_run_drives(r->service, show->id));
    cli_answer_row(r, show->row);
  }
  cli_request_end(r);
  da_op_delete(op);
}

void cli_answer_record(cli_request *r, const char *member, bool value)
{
  cli_answer_changed(r, member, cJSON_CreateBool(value));
}

void cli_answer_changed(cli_request *r, const char *member, cJSON *value)
{
  change *c = da_arena_zalloc(&r->arena, sizeof *c);
  bool drive = !da_slice_starts(da_json_text(r->json, "verb"), DA_LIT("promise"));
  *c = (change){member, value, drive};
  r->state = c;
  show_call show = {.id = da_json_text(r->json, "id")};
  da_sched_submit(r->service->sched, cli_request_call(r, read_row, &show, sizeof show, shown), false);
}

/* ---- promises ------------------------------------------------------------------------------------------ */

da_map cli_tags_of(const cJSON *object, da_arena *arena)
{
  da_map tags = {0};
  int count = cJSON_GetArraySize(object);
  if (count <= 0) return tags;
  da_pair *items = da_arena_zalloc(arena, (size_t)count * sizeof *items);
  const cJSON *item;
  cJSON_ArrayForEach(item, object)
  {
    items[tags.count].key = da_arena_dup(arena, da_slice_of(item->string));
    items[tags.count++].value = da_arena_dup(arena, da_slice_of(cJSON_GetStringValue(item)));
  }
  tags.items = items;
  return tags;
}

/* The JSON text that member holds, as a value. */
static da_value value_of(const cJSON *json, const char *member, da_arena *arena)
{
  da_value value = {0};
  if (da_json_get(json, member) == NULL) return value;
  value.has_data = true;
  value.encoding = DA_JSON;
  value.data = da_arena_dup(arena, da_json_text(json, member));
  return value;
}

static void looked_before(da_op *op);

/* promise.create answers the same whether the promise is new or not; the look before it, in the same op, knows. */
void cli_serve_promise_create(cli_request *r)
{
  da_op *op = cli_request_op(r, looked_before);
  da_slice id = da_arena_dup(&op->arena, da_json_text(r->json, "id"));
  da_request *get = da_op_request(op, DA_REQ_PROMISE_GET);
  get->id = id;
  da_request *create = da_op_request(op, DA_REQ_PROMISE_CREATE);
  create->id = id;
  create->timeout_at = DA_TIME_MAX;
  int64_t timeout = 0;
  int64_t now = da_clock_now_ms();
  if (da_json_int(r->json, "timeout", &timeout) && timeout < DA_TIME_MAX - now) create->timeout_at = now + timeout;
  create->param = value_of(r->json, "$param", &op->arena);
  create->tags = cli_tags_of(da_json_get(r->json, "tags"), &op->arena);
  da_sched_submit(r->service->sched, op, false);
}

static void looked_before(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  bool created = op->outcomes[0].reply.status == 404;
  if (!refused(r, &op->outcomes[1].reply, op->requests[1].id)) cli_answer_record(r, "created", created);
  da_op_delete(op);
}

static da_promise_state state_of(da_slice name)
{
  if (da_slice_eq(name, DA_LIT("resolved"))) return DA_RESOLVED;
  if (da_slice_eq(name, DA_LIT("canceled"))) return DA_CANCELED;
  return DA_REJECTED;
}

static void settled(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const da_request *request = op->requests;
  const da_reply *reply = &op->outcomes[0].reply;
  if (!refused(r, reply, request->id)) {
    bool wanted = reply->promise->state == request->state;
    bool now = wanted && op->outcomes[0].settled_count > 0; /* else it may have timed out, unseen until now */
    bool same = wanted && da_slice_eq(reply->promise->value.data, request->value.data);
    cli_answer_record(r, now ? "settled" : same ? "same" : "before", true);
  }
  da_op_delete(op);
}

void cli_serve_promise_settle(cli_request *r)
{
  da_op *op = cli_request_op(r, settled);
  da_request *settle = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  settle->id = da_arena_dup(&op->arena, da_json_text(r->json, "id"));
  settle->state = state_of(da_json_text(r->json, "state"));
  settle->value = value_of(r->json, "$value", &op->arena);
  da_sched_submit(r->service->sched, op, false);
}

/* ---- executions ---------------------------------------------------------------------------------------- */

static void continued(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const da_reply *before = &op->outcomes[0].reply;
  const da_reply *reply = &op->outcomes[1].reply;
  da_slice id = op->requests[0].id;
  bool ended = before->status == 200 && before->task->state == DA_TASK_FULFILLED;
  bool waits = before->status == 200 && before->task->state == DA_TASK_SUSPENDED;
  if (before->status == 404)
    cli_refuse_missing(r, CLI_EXECUTION, id);
  else if (reply->status == 409)
    cli_refuse(r, CLI_EXIT_REJECTED, "'%.*s' is not parked: %s", DA_FMT(id),
               ended   ? "it has ended (dahost get ID shows how)"
               : waits ? "it waits for others (dahost tree ID shows for whom)"
                       : "it runs, or rests until a process drives it (dahost resume ID)");
  else if (!refused(r, reply, id))
    cli_answer_record(r, "continued", true);
  da_op_delete(op);
}

void cli_serve_continue(cli_request *r)
{
  da_op *op = cli_request_op(r, continued);
  da_slice id = da_arena_dup(&op->arena, da_json_text(r->json, "id"));
  da_op_request(op, DA_REQ_TASK_GET)->id = id;
  da_op_request(op, DA_REQ_TASK_CONTINUE)->id = id;
  da_sched_submit(r->service->sched, op, false);
}
