/* service_request.c - request: an envelope of the protocol, answered by the engine of this store.
 *
 * The way of a request over HTTP, without HTTP: whoever may reach the control socket may ask everything, so there is no
 * token; debug.* needs a server that was started for it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../net/envelope.h"
#include "cli.h"
#include "service.h"

static void answer(cli_request *r, da_buf *text)
{
  cJSON *row = da_json_object();
  da_json_put_text(row, "$answer", da_buf_slice(text));
  da_buf_free(text);
  cli_answer_row(r, row);
  cli_request_end(r);
}

static void replied(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  da_buf text = {0};
  da_envelope_write(&text, r->state, &op->outcomes[0].reply);
  answer(r, &text);
  da_op_delete(op);
}

static void refuse(cli_request *r, const da_envelope *envelope, int status, da_slice message)
{
  da_buf text = {0};
  da_envelope_write_error(&text, envelope, status, message);
  answer(r, &text);
}

void cli_serve_request(cli_request *r)
{
  da_envelope *envelope = da_arena_zalloc(&r->arena, sizeof *envelope);
  r->state = envelope;
  if (!da_envelope_read(da_json_text(r->json, "$envelope"), &r->arena, envelope) ||
      !da_envelope_read_request(envelope, &r->arena)) {
    refuse(r, envelope, envelope->status, envelope->message);
    return;
  }
  if (envelope->debug != DA_DEBUG_NONE) {
    refuse(r, envelope, 403, DA_LIT("Debug operations are disabled"));
    return;
  }
  /* What the request points to lies in the arena of r, which outlives the op. */
  da_op *op = cli_request_op(r, replied);
  *da_op_request(op, envelope->request.kind) = envelope->request;
  da_sched_submit(r->service->sched, op, false);
}
