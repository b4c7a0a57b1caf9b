/* service_migrate.c - moves an execution to other code: it, and the unfinished executions it called, are pinned to
 * another bundle from now on; what of them was parked may go on. One that had other code than it keeps that, if the new
 * code does not define its function.
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
  const da_promise **below; /* what is unfinished of it */
  size_t count, cap;
  da_table *keep; /* ids of those that are not moved */
  da_arena *arena;
  cJSON *told; /* what was moved, for the answer; from the rewriting on it is the request's */
} migration;

static void tell_moved(cJSON *list, const da_promise *promise)
{
  char hex[33];
  cJSON *row = da_json_object();
  da_digest_hex(&promise->call.bundle, hex);
  da_json_put_text(row, "id", promise->id);
  da_json_put_text(row, "function", promise->call.func);
  da_json_put_text(row, "from", da_slice_of(hex));
  da_json_add(list, row);
}

static bool keep_unfinished(void *user, const da_promise *promise)
{
  migration *m = user;
  if (promise->state != DA_PENDING || !promise->call.has_bundle) return true;
  if (m->keep != NULL && da_table_get(m->keep, promise->id) != NULL) return true;
  if (m->count == m->cap) {
    size_t cap = m->cap != 0 ? m->cap * 2 : 8;
    const da_promise **grown = da_arena_alloc(m->arena, cap * sizeof(const da_promise *));
    if (m->count > 0) memcpy(grown, m->below, m->count * sizeof(const da_promise *));
    m->below = grown;
    m->cap = cap;
  }
  da_promise *copy = da_arena_alloc(m->arena, sizeof *copy);
  *copy = *promise;
  m->below[m->count++] = copy;
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
    da_promise moved = *m->below[i];
    moved.call.bundle = m->hash;
    da_write write = {.table = DA_TABLE_PROMISE, .row.promise = &moved};
    status = da_store_write(store, &write, err);
    if (status == DA_OK) tell_moved(m->told, m->below[i]);
  }
  return status;
}

static void sent_on(da_op *op)
{
  cli_request *r = op->user;
  cJSON *told = r->state;
  if (cli_op_failed(op)) {
    cJSON_Delete(told);
    return;
  }
  for (size_t i = 0; i < op->request_count; i++)
    if (op->outcomes[i].reply.status == 200) da_json_put_flag(cJSON_GetArrayItem(told, (int)i), "continued", true);
  da_op_delete(op);
  cli_answer_changed(r, "migrated", told);
}

/* What is parked may go on. 409: it was not parked, and goes on when what it awaits is settled. */
static void moved(da_op *op)
{
  cli_request *r = op->user;
  const migration *m = op->call_argument;
  r->state = m->told;
  da_table_free(m->keep);
  if (op->status != DA_OK) cJSON_Delete(m->told);
  if (cli_op_failed(op)) return;
  da_op *next = cli_request_op(r, sent_on);
  for (size_t i = 0; i < m->count; i++)
    da_op_request(next, DA_REQ_TASK_CONTINUE)->id = da_arena_dup(&next->arena, m->below[i]->id);
  da_op_delete(op);
  da_sched_submit(r->service->sched, next, false);
}

static bool defines(da_worker *worker, const da_bundle *bundle, da_slice func)
{
  size_t count;
  const da_function *functions = da_worker_functions(worker, bundle, &count);
  for (size_t i = 0; i < count; i++)
    if (functions[i].workflow && da_slice_eq(functions[i].name, func)) return true;
  return false;
}

cli_moves cli_moves_to(da_worker *worker, const da_bundle *bundle, const da_call *call, const da_digest *from)
{
  if (defines(worker, bundle, call->func)) return CLI_MOVES;
  return from == NULL || da_digest_eq(&call->bundle, from) ? CLI_LEFT_BEHIND : CLI_KEEPS_CODE;
}

static cli_moves moves_of(const cli_request *r, const migration *m, const da_promise *promise)
{
  return cli_moves_to(r->service->worker, r->bundle, &promise->call, &m->promise.call.bundle);
}

/* An unfinished execution whose function the new code has not, or NULL. */
static const da_promise *left_behind(const cli_request *r, const migration *m)
{
  for (size_t i = 0; i < m->count; i++)
    if (moves_of(r, m, m->below[i]) == CLI_LEFT_BEHIND) return m->below[i];
  return NULL;
}

static da_table *kept(cli_request *r, const migration *m)
{
  da_table *keep = da_arena_zalloc(&r->arena, sizeof *keep);
  for (size_t i = 0; i < m->count; i++) {
    if (moves_of(r, m, m->below[i]) != CLI_KEEPS_CODE) continue;
    da_slice *id = da_arena_alloc(&r->arena, sizeof *id);
    *id = da_arena_dup(&r->arena, m->below[i]->id);
    (void)da_table_put(keep, *id, id);
  }
  return keep;
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
    migration next = {.id = m->id, .hash = r->bundle->hash, .keep = kept(r, m), .told = da_json_array()};
    da_sched_submit(r->service->sched, cli_request_call(r, move, &next, sizeof next, moved), false);
  }
  da_op_delete(op);
}

void cli_serve_migrate(cli_request *r)
{
  da_err err = {{0}};
  if (r->bundle == NULL) r->bundle = cli_take_bundle(r->json, &err);
  if (r->bundle == NULL) {
    cli_refuse(r, CLI_EXIT_USAGE, "%s", err.text);
    return;
  }
  if (da_worker_serve(r->service->worker, r->bundle, &err) != DA_OK) {
    cli_refuse(r, CLI_EXIT_USAGE, "%s", err.text);
    return;
  }
  migration m = {.id = da_json_text(r->json, "id"), .hash = r->bundle->hash};
  da_sched_submit(r->service->sched, cli_request_call(r, look, &m, sizeof m, looked), false);
}
