/* service_cancel.c - cancel: asks an execution to end; with `hard` ends it and all that is pending below it at once.
 *
 * Asked, it unwinds by itself. What is parked cannot, so it is refused and must be cut. A cut settles what is pending
 * from the top down, in rounds of limited size: whatever was settled starts nothing more, so the rounds come to an end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include "service.h"

enum { ROUND = 500 };

/* ---- asked --------------------------------------------------------------------------------------------- */

static void asked_to_cancel(void *user, int status)
{
  cli_request *r = user;
  switch (status) {
  case 200:
    cli_answer_record(r, "asked", true);
    return;
  case 404:
    cli_refuse_missing(r, CLI_EXECUTION, da_json_text(r->json, "id"));
    return;
  case 409:
    cli_answer_record(r, "before", true);
    return;
  default:
    cli_refuse(r, CLI_EXIT_FAILED, "the store could not take it (is the disk full?)");
    return;
  }
}

/* ---- cut ----------------------------------------------------------------------------------------------- */

typedef struct pending {
  da_slice id; /* borrowed from the request */
  da_slice *found;
  size_t count;
} pending;

static bool keep_pending(void *user, const da_promise *promise)
{
  pending *p = user;
  if (promise->state == DA_PENDING) p->found[p->count++] = promise->id;
  return p->count < ROUND;
}

static da_status read_pending(da_store *store, da_op *op, da_err *err)
{
  pending *p = op->call_argument;
  p->found = da_arena_alloc(&op->arena, ROUND * sizeof *p->found);
  return da_store_scan_ids(store, p->id, DA_NONE, &op->arena, keep_pending, p, err);
}

static void cut_round(cli_request *r);

static void was_cut(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  da_op_delete(op);
  cut_round(r);
}

static void settle_all(cli_request *r, const pending *p)
{
  da_op *op = cli_request_op(r, was_cut);
  da_slice value = da_arena_dup(&op->arena, da_json_text(r->json, "$value"));
  for (size_t i = 0; i < p->count; i++) {
    da_request *settle = da_op_request(op, DA_REQ_PROMISE_SETTLE);
    settle->id = da_arena_dup(&op->arena, p->found[i]);
    settle->state = DA_CANCELED;
    settle->value = (da_value){.has_data = true, .encoding = DA_JSON, .data = value};
  }
  da_sched_submit(r->service->sched, op, false);
}

static void pending_read(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const pending *p = op->call_argument;
  if (p->count > 0)
    settle_all(r, p);
  else
    cli_answer_record(r, "cut", true);
  da_op_delete(op);
}

static void cut_round(cli_request *r)
{
  pending p = {.id = da_json_text(r->json, "id")};
  da_sched_submit(r->service->sched, cli_request_call(r, read_pending, &p, sizeof p, pending_read), false);
}

/* ---- which of the two ---------------------------------------------------------------------------------- */

static void found_to_cancel(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  da_slice id = da_json_text(r->json, "id");
  const da_reply *reply = &op->outcomes[0].reply;
  if (reply->status != 200)
    cli_refuse_missing(r, CLI_EXECUTION, id);
  else if (reply->task->state == DA_TASK_FULFILLED)
    cli_answer_record(r, "before", true);
  else if (da_json_flag(r->json, "hard"))
    cut_round(r);
  else if (reply->task->state == DA_TASK_HALTED)
    cli_refuse(r, CLI_EXIT_REJECTED,
               "'%.*s' is parked and can undo nothing: dahost ps --parked tells what mends it; or end it as it is: "
               "dahost cancel --hard '%.*s'",
               DA_FMT(id), DA_FMT(id));
  else
    da_worker_cancel(r->service->sched, id, da_json_text(r->json, "why"), asked_to_cancel, r);
  da_op_delete(op);
}

/* Asks for the task first: cancelling is for executions. */
void cli_serve_cancel(cli_request *r)
{
  da_op *op = cli_request_op(r, found_to_cancel);
  da_op_request(op, DA_REQ_TASK_GET)->id = da_arena_dup(&op->arena, da_json_text(r->json, "id"));
  da_sched_submit(r->service->sched, op, false);
}
