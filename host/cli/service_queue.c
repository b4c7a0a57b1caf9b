/* service_queue.c - send, queue.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "cli.h"
#include "service.h"
#include "text.h"

/* `<execution id>/<name>`: the id, else nothing. */
static da_slice inbox_owner(da_slice channel)
{
  size_t end = channel.len;
  while (end > 0 && channel.ptr[end - 1] != '/') end--;
  return end == 0 ? DA_NONE : da_slice_make(channel.ptr, end - 1);
}

static void sent(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const da_reply *reply = &op->outcomes[1].reply;
  da_slice owner = op->requests[0].id;
  if (reply->status == 410 && op->outcomes[0].reply.status == 404) {
    cli_refuse_missing(r, CLI_EXECUTION, owner);
  } else if (reply->status == 410) {
    cli_refuse(r, CLI_EXIT_REJECTED, "%.*s: its inbox takes no more messages", DA_FMT(reply->message));
  } else if (reply->status != 200) {
    cli_refuse(r, reply->status == 400 ? CLI_EXIT_USAGE : CLI_EXIT_REJECTED, "%.*s", DA_FMT(reply->message));
  } else {
    cJSON *row = da_json_object();
    da_json_put_text(row, "channel", op->requests[1].queue.name);
    da_json_put_int(row, "messages", (int64_t)reply->count);
    if (op->outcomes[0].reply.status == 200) {
      da_json_put_text(row, "execution", owner);
      da_json_put_flag(row, "driven", cli_run_drives(r->service, owner));
    }
    cli_answer_row(r, row);
    cli_request_end(r);
  }
  da_op_delete(op);
}

static void read_hex(da_slice hex, da_digest *out)
{
  for (size_t i = 0; i < hex.len && i < 2 * sizeof out->bytes; i++) {
    unsigned char c = (unsigned char)hex.ptr[i];
    unsigned digit = c <= '9' ? c - '0' + 0u : c - 'a' + 10u;
    out->bytes[i / 2] = (uint8_t)((unsigned)out->bytes[i / 2] << 4 | (digit & 15));
  }
}

/* The look at the owner, in the same op, tells a missing one from one that has ended. */
void cli_serve_send(cli_request *r)
{
  da_op *op = cli_request_op(r, sent);
  da_slice channel = da_arena_dup(&op->arena, da_json_text(r->json, "channel"));
  da_slice owner = inbox_owner(channel);
  da_op_request(op, DA_REQ_TASK_GET)->id = owner.len > 0 ? owner : DA_LIT("-");
  da_request *put = da_op_request(op, DA_REQ_QUEUE_PUT);
  put->queue.name = channel;
  put->version = -1;
  read_hex(da_json_text(r->json, "message"), &put->message);
  put->value = (da_value){
      .has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, da_json_text(r->json, "$value"))};
  da_sched_submit(r->service->sched, op, false);
}

/* ---- queue --------------------------------------------------------------------------------------------- */

typedef struct look {
  da_slice name; /* empty: all */
  int64_t limit; /* of what is listed */
  cJSON *rows;
  cJSON *holders;
  cli_nearest nearest;
} look;

static cJSON *row_of(const da_queue *q)
{
  cJSON *row = da_json_object();
  da_json_put_text(row, "name", q->name);
  da_json_put_text(row, "kind", da_slice_of(da_queue_kind_name(q->kind)));
  if (q->kind == DA_QUEUE_CHANNEL) da_json_put_int(row, "messages", (int64_t)q->tokens);
  if (q->kind == DA_QUEUE_SEMAPHORE) da_json_put_int(row, "n", q->limit);
  if (q->kind == DA_QUEUE_SEMAPHORE) da_json_put_int(row, "held", (int64_t)q->held);
  if (q->kind == DA_QUEUE_LIMITER) da_json_put_int(row, "rate", q->limit);
  if (q->kind == DA_QUEUE_LIMITER) da_json_put_int(row, "per", q->per_ms);
  da_json_put_int(row, "waiting", (int64_t)q->places);
  return row;
}

static bool list_queue(void *user, const da_queue *q)
{
  look *l = user;
  if (l->name.len > 0)
    cli_nearest_offer(&l->nearest, q->name);
  else
    da_json_add(l->rows, row_of(q));
  return l->name.len > 0 || cJSON_GetArraySize(l->rows) < l->limit;
}

static bool list_holder(void *user, const da_queue_row *hold)
{
  look *l = user;
  if (hold->state == DA_HOLD_GRANTED && da_slice_eq(hold->name, l->name))
    da_json_add(l->holders, da_json_string(hold->id));
  return cJSON_GetArraySize(l->holders) < l->limit;
}

/* Who waits, or the messages as JSON, the first `limit` of them. */
static int list_rows(da_view *view, const look *l, da_queue_row_kind kind, da_arena *arena, cJSON *list)
{
  da_queue_row at = {.kind = kind, .name = l->name};
  int there = 1;
  while (cJSON_GetArraySize(list) < l->limit && (there = view->ops->queue_next(view, &at, arena, &at)) > 0)
    da_json_add(list, da_json_string(kind == DA_QUEUE_PLACE ? at.id : at.value.data));
  return there < 0 ? there : 0;
}

static da_status look_closely(da_store *store, da_op *op, look *l, const da_queue *q, da_err *err)
{
  cJSON *row = row_of(q);
  cJSON *places = da_json_array();
  da_view *view = da_store_view(store);
  da_json_add(l->rows, row);
  da_json_put(row, "waits", places);
  int read = list_rows(view, l, DA_QUEUE_PLACE, &op->arena, places);
  if (read >= 0 && q->kind == DA_QUEUE_CHANNEL) {
    cJSON *messages = da_json_array();
    da_json_put(row, "texts", messages);
    read = list_rows(view, l, DA_QUEUE_TOKEN, &op->arena, messages);
  }
  if (read < 0) return da_fail(err, (da_status)read, "%s", da_store_fault_words(store));
  if (q->kind != DA_QUEUE_SEMAPHORE) return DA_OK;
  l->holders = da_json_array();
  da_json_put(row, "holders", l->holders);
  return da_store_scan_holds(store, &op->arena, list_holder, l, err);
}

static da_status look_at_queues(da_store *store, da_op *op, da_err *err)
{
  look *l = op->call_argument;
  da_view *view = da_store_view(store);
  da_queue q;
  int there = l->name.len > 0 ? view->ops->queue(view, l->name, &op->arena, &q) : 0;
  if (there < 0) return da_fail(err, (da_status)there, "%s", da_store_fault_words(store));
  return there > 0 ? look_closely(store, op, l, &q, err) : da_store_scan_queues(store, &op->arena, list_queue, l, err);
}

static void looked(da_op *op)
{
  cli_request *r = op->user;
  look *l = op->call_argument;
  if (op->status != DA_OK) cJSON_Delete(l->rows);
  if (cli_op_failed(op)) return;
  da_slice best = l->nearest.best;
  if (l->name.len > 0 && cJSON_GetArraySize(l->rows) == 0) {
    cli_refuse(r, CLI_EXIT_REJECTED, "no channel, semaphore or limiter '%.*s' in %s%s%.*s%s", DA_FMT(l->name),
               r->service->place, best.len > 0 ? "; did you mean '" : " (dahost queue lists them)", DA_FMT(best),
               best.len > 0 ? "'?" : "");
  } else {
    for (cJSON *row; (row = cJSON_DetachItemFromArray(l->rows, 0)) != NULL;) cli_answer_row(r, row);
    cli_request_end(r);
  }
  cJSON_Delete(l->rows);
  op->call_argument = NULL;
  da_op_delete(op);
}

void cli_serve_queue(cli_request *r)
{
  look l = {.name = da_json_text(r->json, "name"), .limit = 1000, .rows = da_json_array()};
  (void)da_json_int(r->json, "limit", &l.limit);
  l.nearest.wanted = l.name;
  da_sched_submit(r->service->sched, cli_request_call(r, look_at_queues, &l, sizeof l, looked), false);
}
