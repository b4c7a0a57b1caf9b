/* service_groups.c - groups that executions wait for and that no process serves here.
 *
 * What waits for a group of others has a message in the outbox. It is read a bounded piece of: what is told are the
 * names of groups, of which there are few.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

enum { MESSAGES_SEEN = 2000, GROUPS_TOLD = 16 };

typedef struct unserved {
  const da_worker *worker; /* NULL: this process serves none */
  cJSON *names;
} unserved;

static bool is_named(const cJSON *names, da_slice name)
{
  const cJSON *item;
  cJSON_ArrayForEach(item, names)
  {
    if (da_slice_eq(da_slice_of(cJSON_GetStringValue(item)), name)) return true;
  }
  return false;
}

/* A message may be older than what became of its task. */
static int waits(da_view *view, da_arena *arena, const da_message *message)
{
  da_task task;
  int found = view->ops->task(view, message->id, arena, &task);
  return found > 0 ? task.state == DA_TASK_PENDING : found;
}

static da_status read_unserved(da_store *store, da_op *op, da_err *err)
{
  unserved *u = op->call_argument;
  da_view *view = da_store_view(store);
  da_message at = {.kind = DA_EXECUTE}, message;
  int found = 0;
  u->names = da_json_array();
  for (int seen = 0; seen < MESSAGES_SEEN && cJSON_GetArraySize(u->names) < GROUPS_TOLD; seen++) {
    found = view->ops->out_next(view, &at, &op->arena, &message);
    if (found <= 0 || message.kind != DA_EXECUTE) break;
    at = message;
    da_slice name = da_group_name(message.address);
    if (is_named(u->names, name) || (u->worker != NULL && da_worker_has_target(u->worker, message.address))) continue;
    found = waits(view, &op->arena, &message);
    if (found < 0) break;
    if (found > 0) da_json_add(u->names, da_json_string(name));
  }
  return found >= 0 ? DA_OK : da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
}

static void unserved_read(da_op *op)
{
  cli_request *r = op->user;
  cJSON *names = ((const unserved *)op->call_argument)->names;
  if (op->status == DA_OK && cJSON_GetArraySize(names) > 0) {
    cJSON *row = da_json_object();
    da_json_put(row, "unserved", names);
    cli_answer_row(r, row);
  } else {
    cJSON_Delete(names); /* it is said beside something else, which stands without it */
  }
  da_op_delete(op);
  cli_request_end(r);
}

void cli_serve_unserved(cli_request *r)
{
  unserved u = {.worker = r->service->worker};
  da_op *op = cli_request_call(r, read_unserved, &u, sizeof u, unserved_read);
  op->background = true;
  da_sched_submit(r->service->sched, op, false);
}
