/* service_migrate.c - moves an execution to other code: it, and the unfinished executions it called, are pinned to
 * another bundle from now on; what of them was parked may go on.
 *
 * The records are not touched: where the new code wants something else than they hold, the replay parks it again and
 * names both sides. An execution that runs in this process now is refused; suspended ones in memory are dropped.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "cli.h"
#include "service.h"

typedef struct migration {
  da_slice id; /* borrowed from the request */
  da_digest hash;
  bool found;
  da_promise promise;
  const da_promise **moved; /* a copy of each record to be rewritten */
  size_t count, cap;
  da_arena *arena;
} migration;

static bool keep_unfinished(void *user, const da_promise *promise)
{
  migration *m = user;
  if (promise->state != DA_PENDING || !promise->call.has_bundle) return true;
  if (m->count == m->cap) {
    size_t cap = m->cap != 0 ? m->cap * 2 : 8;
    const da_promise **grown = da_arena_alloc(m->arena, cap * sizeof(const da_promise *));
    if (m->count > 0) memcpy(grown, m->moved, m->count * sizeof(const da_promise *));
    m->moved = grown;
    m->cap = cap;
  }
  da_promise *copy = da_arena_alloc(m->arena, sizeof *copy);
  *copy = *promise;
  copy->call.bundle = m->hash;
  m->moved[m->count++] = copy;
  return true;
}

static da_status look(da_store *store, da_op *op, da_err *err)
{
  migration *m = op->call_argument;
  da_view *view = da_store_view(store);
  int found = view->ops->promise(view, m->id, &op->arena, &m->promise);
  if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
  m->found = found != 0;
  m->arena = &op->arena;
  return da_store_scan_ids(store, m->id, DA_NONE, &op->arena, keep_unfinished, m, err);
}

static da_status move(da_store *store, da_op *op, da_err *err)
{
  migration *m = op->call_argument;
  m->arena = &op->arena;
  da_status status = da_store_scan_ids(store, m->id, DA_NONE, &op->arena, keep_unfinished, m, err);
  for (size_t i = 0; status == DA_OK && i < m->count; i++) {
    da_write write = {.table = DA_TABLE_PROMISE, .row.promise = m->moved[i]};
    status = da_store_write(store, &write, err);
  }
  return status;
}

static void sent_on(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  da_op_delete(op);
  cli_answer_record(r, "migrated", true);
}

/* What is parked may go on. 409: it was not parked, and goes on when what it awaits is settled. */
static void moved(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const migration *m = op->call_argument;
  da_op *next = cli_request_op(r, sent_on);
  for (size_t i = 0; i < m->count; i++)
    da_op_request(next, DA_REQ_TASK_CONTINUE)->id = da_arena_dup(&next->arena, m->moved[i]->id);
  da_op_delete(op);
  da_sched_submit(r->service->sched, next, false);
}

bool cli_defines(da_worker *worker, const da_bundle *bundle, da_slice func)
{
  size_t count;
  const da_function *functions = da_worker_functions(worker, bundle, &count);
  for (size_t i = 0; i < count; i++)
    if (functions[i].workflow && da_slice_eq(functions[i].name, func)) return true;
  return false;
}

/* An unfinished execution whose function the new code has not, or NULL. */
static const da_promise *left_behind(cli_request *r, const migration *m)
{
  for (size_t i = 0; i < m->count; i++)
    if (!cli_defines(r->service->worker, r->bundle, m->moved[i]->call.func)) return m->moved[i];
  return NULL;
}

/* What speaks against it, said as a refusal. */
static bool objected(cli_request *r, const migration *m)
{
  const da_promise *promise = &m->promise;
  const da_promise *left;
  da_slice busy;
  if (!m->found || !promise->call.has_bundle)
    cli_refuse_missing(r, CLI_EXECUTION, m->id);
  else if (promise->state != DA_PENDING)
    cli_refuse(r, CLI_EXIT_REJECTED, "'%.*s' has ended; nothing of it will run again", DA_FMT(m->id));
  else if ((left = left_behind(r, m)) != NULL)
    cli_refuse(r, CLI_EXIT_USAGE, "%.*s defines no workflow '%.*s', which '%.*s' runs",
               DA_FMT(r->bundle->modules[0].file), DA_FMT(left->call.func), DA_FMT(left->id));
  else if (!da_worker_forget(r->service->worker, m->id, &busy))
    cli_refuse(r, CLI_EXIT_REJECTED, "'%.*s' is running; stop the process that runs it, then migrate it", DA_FMT(busy));
  else
    return false;
  return true;
}

static void looked(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const migration *m = op->call_argument;
  if (!objected(r, m)) {
    migration next = {.id = m->id, .hash = r->bundle->hash};
    da_sched_submit(r->service->sched, cli_request_call(r, move, &next, sizeof next, moved), false);
  }
  da_op_delete(op);
}

void cli_serve_migrate(cli_request *r)
{
  da_err err = {{0}};
  if (r->bundle == NULL) {
    cli_refuse(r, CLI_EXIT_USAGE, "migrate needs a script");
    return;
  }
  if (da_worker_serve(r->service->worker, r->bundle, &err) != DA_OK) {
    cli_refuse(r, CLI_EXIT_USAGE, "%s", err.text);
    return;
  }
  migration m = {.id = da_json_text(r->json, "id"), .hash = r->bundle->hash};
  da_sched_submit(r->service->sched, cli_request_call(r, look, &m, sizeof m, looked), false);
}
