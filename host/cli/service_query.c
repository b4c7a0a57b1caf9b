/* service_query.c - ps, search, get: reading the store a page at a time.
 *
 * A page is one op: it visits at most PAGE records, so that a look at a million executions never holds up the store
 * thread for long, and what is said of one record is consistent within itself.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "cli.h"
#include "event.h"
#include "service.h"
#include "value.h"
#include "where.h"

enum { PAGE = 500 };

/* ---- damaged records ----------------------------------------------------------------------------------- */

void cli_note_damaged(void *user, da_slice root, const char *words)
{
  da_buf text = {0};
  da_buf_addf(&text, "%.*s is left out: %s", DA_FMT(root), words);
  da_json_add(user, da_json_string(da_buf_slice(&text)));
  da_buf_free(&text);
}

void cli_answer_damaged(cli_request *r, cJSON *given)
{
  const cJSON *item;
  cJSON_ArrayForEach(item, given)
  {
    cJSON *row = da_json_object();
    da_json_put_text(row, "error", da_slice_of(cJSON_GetStringValue(item)));
    da_json_put_int(row, "code", CLI_EXIT_FAILED);
    cli_answer_row(r, row);
  }
  cJSON_Delete(given);
}

/* ---- pages --------------------------------------------------------------------------------------------- */

/* What a query is about, and how far it has come. Lives in the request. */
struct cli_query {
  da_slice prefix;        /* tree: the id; borrowed from the request, as are the next two */
  da_slice detached;      /* tree, behind that: how the ids of what was detached begin */
  da_slice state;         /* ps, search: wanted, or empty: all that is not completed (search: all) */
  da_slice begins;        /* what every id begins with */
  const cli_where *where; /* conditions, or NULL */
  const cJSON *tags;      /* search: objects {"key", "value"}, or NULL */
  bool any_depth;         /* children too */
  bool search;            /* promises of any kind */
  size_t left;            /* rows that may still be told */
  cli_detail detail;
  da_slice after; /* the last id visited; in the request's arena, as the next one */
  da_slice told;  /* search: the last id answered */
  void (*got)(cli_request *r, cJSON *rows, bool more);
};

typedef struct page {
  cli_query *query; /* read only here; the loop waits meanwhile */
  da_store *store;
  da_arena *arena;
  cJSON *rows;
  cJSON *damaged; /* ps: what was left out */
  da_slice last;  /* the last id visited */
  size_t visited;
  bool past; /* no id behind it begins as wanted */
  da_status status;
  da_err *err;
} page;

static bool is_child(const da_promise *promise)
{
  if (da_id_rest(promise->id).len > 0) return true;
  const da_slice *origin = da_map_get(promise->tags, DA_LIT("resonate:origin"));
  return origin != NULL && !da_slice_eq(*origin, promise->id);
}

/* A tag of the promise, or what it published. */
static bool has_tag(const da_promise *promise, const cJSON *row, const cJSON *tag)
{
  da_slice key = da_json_text(tag, "key");
  da_slice value = da_json_text(tag, "value");
  const da_slice *own = da_map_get(promise->tags, key);
  return own != NULL ? da_slice_eq(*own, value) : cli_published_is(row, key, value);
}

static bool is_found(const cli_query *q, const da_promise *promise, const cJSON *row)
{
  const cJSON *tag;
  if (q->state.len > 0 && !da_slice_eq(da_json_text(row, "promise"), q->state)) return false;
  cJSON_ArrayForEach(tag, q->tags)
  {
    if (!has_tag(promise, row, tag)) return false;
  }
  return true;
}

static bool wanted(const cli_query *q, const da_promise *promise, const cJSON *row)
{
  da_slice state = da_json_text(row, "state");
  if (q->prefix.len > 0) return true;
  if (q->search) return is_found(q, promise, row);
  if (da_json_get(row, "task") == NULL && da_json_get(row, "damaged") == NULL) return false;
  if (q->where != NULL && !cli_where_holds(q->where, promise, row)) return false;
  if (da_slice_eq(q->state, DA_LIT("all"))) return true;
  if (q->state.len > 0) return da_slice_eq(state, q->state);
  return q->where != NULL || !da_slice_eq(state, DA_LIT("completed"));
}

static bool visit_row(void *user, const da_promise *promise)
{
  page *p = user;
  const cli_query *q = p->query;
  if (!da_slice_starts(promise->id, q->detached)) return false;
  p->past = q->begins.len > 0 && !da_slice_starts(promise->id, q->begins);
  if (p->past) return false;
  p->last = promise->id;
  p->visited++;
  cJSON *row = NULL;
  if (!q->any_depth && q->prefix.len == 0 && is_child(promise)) return p->visited < PAGE;
  if (q->where != NULL && !cli_where_may(q->where, promise)) return p->visited < PAGE;
  p->status = cli_row_of(p->store, promise, q->detail, p->arena, &row, p->err);
  bool damaged = p->status == DA_ECORRUPT || p->status == DA_EVERSION;
  if (damaged) row = cli_damaged_row(promise, p->err->text);
  if (damaged) p->status = DA_OK;
  if (p->status != DA_OK) return false;
  if (wanted(q, promise, row))
    da_json_add(p->rows, row);
  else
    cJSON_Delete(row);
  return p->visited < PAGE && (size_t)cJSON_GetArraySize(p->rows) < q->left;
}

typedef struct root_scan {
  da_store_visit *visit;
  void *user;
  da_arena *arena;
  da_slice skip; /* go on behind everything below this root */
  bool stopped;
} root_scan;

static bool visit_root(void *user, const da_promise *promise)
{
  root_scan *scan = user;
  if (da_id_rest(promise->id).len > 0) {
    scan->skip = da_arena_dup(scan->arena, da_id_root(promise->id));
    return false;
  }
  scan->stopped = !scan->visit(scan->user, promise);
  return !scan->stopped;
}

da_status cli_scan_roots(da_store *store, da_slice after, da_arena *arena, da_store_visit *visit, void *user,
                         da_err *err)
{
  root_scan scan = {.visit = visit, .user = user, .arena = arena};
  for (;;) {
    scan.skip = DA_NONE;
    da_status status = da_store_scan_ids(store, DA_NONE, after, arena, visit_root, &scan, err);
    if (status != DA_OK || scan.stopped || scan.skip.len == 0) return status;
    /* No id holds the byte 0xff: ids are UTF-8, or else they only come later than they should. */
    after = da_arena_join(arena, (da_slice[]){scan.skip, DA_LIT(":\xff")}, 2);
  }
}

static da_status read_page(da_store *store, da_op *op, da_err *err)
{
  page *p = op->call_argument;
  const cli_query *q = p->query;
  p->store = store;
  p->arena = &op->arena;
  p->err = err;
  p->rows = da_json_array();
  p->damaged = da_json_array();
  p->last = DA_NONE;
  if (q->prefix.len == 0) da_store_on_damaged(store, cli_note_damaged, p->damaged);
  da_slice after = q->after;
  bool roots = q->prefix.len == 0 && !q->any_depth;
  if (q->detached.len > 0 && after.len == 0) after = q->detached;
  da_status status =
      roots ? cli_scan_roots(store, after, &op->arena, visit_row, p, err)
            : da_store_scan_ids(store, q->detached.len > 0 ? DA_NONE : q->prefix, after, &op->arena, visit_row, p, err);
  da_store_on_damaged(store, NULL, NULL);
  if (status == DA_OK) status = p->status;
  if (status != DA_OK) cJSON_Delete(p->rows);
  if (status != DA_OK) cJSON_Delete(p->damaged);
  return status;
}

static void page_read(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const page *p = op->call_argument;
  cli_query *q = p->query;
  cJSON *rows = p->rows;
  cli_answer_damaged(r, p->damaged);
  q->left -= (size_t)cJSON_GetArraySize(rows);
  bool more = p->visited >= PAGE && !p->past && q->left > 0 && !r->gone;
  if (p->last.len > 0) q->after = da_arena_dup(&r->arena, p->last);
  da_op_delete(op);
  q->got(r, rows, more);
}

void cli_query_page(cli_request *r, cli_query *q, void (*got)(cli_request *r, cJSON *rows, bool more))
{
  page p = {.query = q};
  q->got = got;
  da_op *op = cli_request_call(r, read_page, &p, sizeof p, page_read);
  op->background = true;
  da_sched_submit(r->service->sched, op, false);
}

/* Just before the first id that begins so: no id lies between it and that one (see cli_scan_roots()). */
static da_slice before(da_arena *arena, da_slice begins)
{
  char *text = da_arena_alloc(arena, begins.len + 1);
  memcpy(text, begins.ptr, begins.len);
  text[begins.len - 1]--;
  text[begins.len] = '\xff';
  return da_slice_make(text, begins.len + 1);
}

static void begin_with(cli_request *r, cli_query *q, da_slice begins)
{
  q->begins = begins;
  if (begins.len > 0) q->after = before(&r->arena, begins);
}

static cli_query *new_query(cli_request *r)
{
  cli_query *q = da_arena_zalloc(&r->arena, sizeof *q);
  int64_t limit = 1000;
  (void)da_json_int(r->json, "limit", &limit);
  q->left = limit > 0 ? (size_t)limit : 1;
  q->state = da_json_text(r->json, "state");
  q->any_depth = da_slice_eq(q->state, DA_LIT("parked"));
  return q;
}

cli_query *cli_query_executions(cli_request *r)
{
  cli_query *q = new_query(r);
  cli_where *where;
  da_err err = {{0}};
  if (da_json_get(r->json, "where") == NULL) return q;
  if (cli_where_read(da_json_text(r->json, "where"), &r->arena, &where, &err) != DA_OK) {
    cli_refuse(r, CLI_EXIT_USAGE, "--where: %s", err.text);
    return NULL;
  }
  q->where = where;
  q->any_depth = q->any_depth || cli_where_any_depth(where);
  begin_with(r, q, cli_where_begins(where));
  return q;
}

cli_query *cli_query_below(cli_request *r, da_slice id)
{
  cli_query *q = new_query(r);
  q->prefix = id;
  return q;
}

bool cli_query_found(const cli_query *q)
{
  return q->after.len > 0 || q->detached.len > 0;
}

bool cli_query_detached(cli_request *r, cli_query *q)
{
  if (q->detached.len > 0 || q->left == 0 || r->gone) return false;
  char separator = da_id_separator(q->prefix);
  da_slice parts[2] = {q->prefix, da_slice_make(&separator, 1)};
  q->detached = da_id_detached(&r->arena, da_arena_join(&r->arena, parts, 2));
  q->after = DA_NONE;
  return true;
}

void cli_query_answer(cli_request *r, const cli_query *q, cJSON *given)
{
  for (cJSON *row; (row = cJSON_DetachItemFromArray(given, 0)) != NULL;) {
    if (q->prefix.len == 0) cli_add_live(r, row);
    cli_answer_row(r, row);
  }
  cJSON_Delete(given);
  if (q->left > 0) return;
  cJSON *row = da_json_object();
  da_json_put_flag(row, "more", true);
  cli_answer_row(r, row);
}

/* ---- ps ------------------------------------------------------------------------------------------------ */

static void ps_page(cli_request *r, cJSON *rows, bool more)
{
  cli_query_answer(r, r->state, rows);
  if (more)
    cli_query_page(r, r->state, ps_page);
  else
    cli_serve_unserved(r);
}

void cli_serve_ps(cli_request *r)
{
  if (da_json_flag(r->json, "steps")) {
    cli_serve_steps(r);
    return;
  }
  cli_query *q = cli_query_executions(r);
  if (q == NULL) return;
  r->state = q;
  cli_query_page(r, q, ps_page);
}

/* ---- search -------------------------------------------------------------------------------------------- */

/* One row more than asked for is read: it tells that the cursor leads somewhere. */
static void found_page(cli_request *r, cJSON *rows, bool more)
{
  cli_query *q = r->state;
  cJSON *last = q->left == 0 ? cJSON_DetachItemFromArray(rows, cJSON_GetArraySize(rows) - 1) : NULL;
  for (cJSON *row; (row = cJSON_DetachItemFromArray(rows, 0)) != NULL;) {
    q->told = da_arena_dup(&r->arena, da_json_text(row, "id"));
    cli_answer_row(r, row);
  }
  cJSON_Delete(rows);
  if (last != NULL) {
    cJSON *row = da_json_object();
    da_json_put_text(row, "cursor", q->told);
    cli_answer_row(r, row);
  }
  cJSON_Delete(last);
  if (more)
    cli_query_page(r, q, found_page);
  else
    cli_request_end(r);
}

void cli_serve_promise_search(cli_request *r)
{
  cli_query *q = new_query(r);
  r->state = q;
  q->search = q->any_depth = true;
  q->detail = CLI_FULL;
  q->tags = da_json_get(r->json, "tags");
  q->left++;
  begin_with(r, q, da_json_text(r->json, "prefix"));
  da_slice cursor = da_json_text(r->json, "cursor");
  if (da_slice_cmp(cursor, q->after) > 0) q->after = cursor;
  cli_query_page(r, q, found_page);
}

/* ---- get ----------------------------------------------------------------------------------------------- */

typedef struct get_call {
  da_slice id; /* borrowed from the request */
  cJSON *row;
} get_call;

static da_status read_one(da_store *store, da_op *op, da_err *err)
{
  get_call *get = op->call_argument;
  da_view *view = da_store_view(store);
  da_promise promise;
  int found = view->ops->promise(view, get->id, &op->arena, &promise);
  if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
  return found == 0 ? DA_OK : cli_row_of(store, &promise, CLI_FULL, &op->arena, &get->row, err);
}

static void got(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  get_call *get = op->call_argument;
  if (get->row == NULL) get->row = cli_live_row(r, get->id);
  if (get->row == NULL) {
    cli_refuse_missing(r, CLI_EITHER, get->id);
  } else {
    cli_add_live(r, get->row);
    cli_answer_row(r, get->row);
    cli_request_end(r);
  }
  da_op_delete(op);
}

void cli_serve_get(cli_request *r)
{
  get_call get = {.id = da_json_text(r->json, "id")};
  da_sched_submit(r->service->sched, cli_request_call(r, read_one, &get, sizeof get, got), false);
}
