/* service_missing.c - refuses an id that is not there, and names the one that was perhaps meant.
 *
 * Looks at some thousand records at most: of the lineage that the id names if there is one, else of the roots.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "cli.h"
#include "service.h"
#include "text.h"

enum { LOOK_MAX = 5000 };

typedef struct missing {
  da_slice id; /* in the request's arena */
  cli_wanted wanted;
  cli_nearest nearest;
  size_t seen;
} missing;

static bool offer(void *user, const da_promise *promise)
{
  missing *m = user;
  bool execution = da_map_get(promise->tags, DA_LIT("resonate:target")) != NULL;
  bool fits = m->wanted == CLI_EXECUTION ? execution : promise->call.kind != DA_CALL_MARK;
  if (fits) cli_nearest_offer(&m->nearest, promise->id);
  return ++m->seen < LOOK_MAX;
}

da_status cli_nearest_id(da_store *store, cli_wanted wanted, da_slice id, da_arena *arena, da_slice *best, da_err *err)
{
  missing m = {.id = id, .wanted = wanted, .nearest = {.wanted = id}};
  da_status status = DA_OK;
  if (da_id_rest(id).len > 0) status = da_store_scan_ids(store, da_id_root(id), DA_NONE, arena, offer, &m, err);
  if (status == DA_OK && m.seen == 0) status = cli_scan_roots(store, DA_NONE, arena, offer, &m, err);
  *best = m.nearest.best;
  return status;
}

static da_status look_around(da_store *store, da_op *op, da_err *err)
{
  missing *m = op->call_argument;
  return cli_nearest_id(store, m->wanted, m->id, &op->arena, &m->nearest.best, err);
}

static void looked_around(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const missing *m = op->call_argument;
  const char *what = m->wanted == CLI_EXECUTION ? "execution"
                     : m->wanted == CLI_PROMISE ? "promise"
                                                : "execution or promise";
  da_slice best = m->nearest.best;
  if (best.len > 0)
    cli_refuse(r, CLI_EXIT_REJECTED, "no %s '%.*s' in %s; did you mean '%.*s'?", what, DA_FMT(m->id), r->service->place,
               DA_FMT(best));
  else
    cli_refuse(r, CLI_EXIT_REJECTED, "no %s '%.*s' in %s (dahost ps --state all lists what there is)", what,
               DA_FMT(m->id), r->service->place);
  da_op_delete(op);
}

void cli_refuse_missing(cli_request *r, cli_wanted wanted, da_slice id)
{
  missing m = {.id = da_arena_dup(&r->arena, id), .wanted = wanted};
  da_op *op = cli_request_call(r, look_around, &m, sizeof m, looked_around);
  op->background = true;
  da_sched_submit(r->service->sched, op, false);
}
