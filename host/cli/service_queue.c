/* service_queue.c - send.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "cli.h"
#include "service.h"

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
    unsigned digit = hex.ptr[i] <= '9' ? (unsigned)hex.ptr[i] - '0' : (unsigned)hex.ptr[i] - 'a' + 10;
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
