/* service_tree.c - tree: an execution, all that lies below it, and what it awaits elsewhere.
 *
 * Rows come in any order; whoever draws them sorts. What the execution, or a part of it, waits for in another lineage
 * (a shared id, da.get) is told with the member "under": the id of the one that waits for it, or made it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "cli.h"
#include "service.h"

enum { OTHERS_MAX = 100 };

typedef struct other {
  da_slice id;
  da_slice under;
} other;

typedef struct tree {
  da_slice id; /* borrowed from the request */
  cli_query *query;
  other others[OTHERS_MAX];
  size_t count;
} tree;

/* ---- elsewhere ----------------------------------------------------------------------------------------- */

static bool is_inside(const tree *t, da_arena *arena, da_slice id)
{
  if (da_slice_eq(id, t->id) || da_id_below(id, t->id)) return true;
  char separator = da_id_separator(t->id);
  da_slice parts[2] = {t->id, da_slice_make(&separator, 1)};
  return da_slice_starts(id, da_id_detached(arena, da_arena_join(arena, parts, 2)));
}

static void note_other(cli_request *r, da_slice id, da_slice under)
{
  tree *t = r->state;
  if (t->count == OTHERS_MAX || is_inside(t, &r->arena, id)) return;
  for (size_t i = 0; i < t->count; i++)
    if (da_slice_eq(t->others[i].id, id) && da_slice_eq(t->others[i].under, under)) return;
  t->others[t->count++] = (other){da_arena_dup(&r->arena, id), da_arena_dup(&r->arena, under)};
}

static void note_awaits(cli_request *r, const cJSON *rows)
{
  const cJSON *row;
  const cJSON *awaited;
  cJSON_ArrayForEach(row, rows)
  {
    cJSON_ArrayForEach(awaited, da_json_get(row, "awaits"))
    {
      note_other(r, da_slice_of(cJSON_GetStringValue(awaited)), da_json_text(row, "id"));
    }
  }
}

/* While it runs here no record says what it awaits; the calls it made are known. */
static void note_calls(cli_request *r)
{
  const tree *t = r->state;
  for (const cli_node *node = NULL; (node = cli_model_next(&r->service->model, node)) != NULL;) {
    bool made = node->parent->parent != NULL && is_inside(t, &r->arena, node->parent->id);
    if (made && node->end_ns == 0) note_other(r, node->id, node->parent->id);
  }
}

typedef struct others_call {
  const tree *tree; /* read only; the loop waits meanwhile */
  cJSON *rows;
} others_call;

static da_status read_others(da_store *store, da_op *op, da_err *err)
{
  others_call *call = op->call_argument;
  da_view *view = da_store_view(store);
  call->rows = da_json_array();
  for (size_t i = 0; i < call->tree->count; i++) {
    const other *o = &call->tree->others[i];
    da_promise promise;
    cJSON *row;
    int found = view->ops->promise(view, o->id, &op->arena, &promise);
    if (found <= 0) continue; /* a damaged one is told where it belongs */
    if (cli_row_of(store, &promise, CLI_BRIEF, &op->arena, &row, err) != DA_OK)
      row = cli_damaged_row(&promise, err->text);
    da_json_put_text(row, "under", o->under);
    da_json_add(call->rows, row);
  }
  return DA_OK;
}

static void others_read(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  others_call *call = op->call_argument;
  for (cJSON *row; (row = cJSON_DetachItemFromArray(call->rows, 0)) != NULL;) cli_answer_row(r, row);
  cJSON_Delete(call->rows);
  da_op_delete(op);
  cli_request_end(r);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static void tree_page(cli_request *r, cJSON *rows, bool more)
{
  tree *t = r->state;
  note_awaits(r, rows);
  cli_query_answer(r, t->query, rows);
  if (!more && !cli_query_found(t->query)) {
    cli_refuse_missing(r, CLI_EITHER, t->id);
    return;
  }
  if (more || cli_query_detached(r, t->query)) {
    cli_query_page(r, t->query, tree_page);
    return;
  }
  cli_tell_live(r, t->id);
  note_calls(r);
  others_call call = {.tree = t};
  da_sched_submit(r->service->sched, cli_request_call(r, read_others, &call, sizeof call, others_read), false);
}

void cli_serve_tree(cli_request *r)
{
  tree *t = da_arena_zalloc(&r->arena, sizeof *t);
  t->id = da_json_text(r->json, "id");
  t->query = cli_query_below(r, t->id);
  r->state = t;
  if (t->id.len == 0)
    cli_refuse_missing(r, CLI_EITHER, t->id);
  else
    cli_query_page(r, t->query, tree_page);
}
