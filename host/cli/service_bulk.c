/* service_bulk.c - one verb for many executions: those that conditions name, each as if it had been asked for alone.
 *
 * "where" names them, but for those in "skip"; "each" is the request. Page by page, at most AT_ONCE requests under way,
 * so that their commits are shared and nobody else waits for long. A refusal is one row's; the others go on. A dry run
 * answers the rows and asks for nothing. Whoever asked being gone, what is under way is ended and nothing more begun:
 * asking again does the rest.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "cli.h"
#include "service.h"
#include "where.h"

enum { AT_ONCE = 32 };

typedef struct bulk {
  cli_query *query;
  const cJSON *each; /* what to ask for, but for the id; borrowed from the request */
  bool dry;
  cJSON *rows; /* of this page, still to be done */
  bool more;
  size_t under_way;
  bool beginning; /* requests that end at once must not begin the next ones from within */
} bulk;

/* One of the requests under way. */
typedef struct one {
  cli_request *whole;
  cJSON *row; /* what is answered */
} one;

static void go_on(cli_request *r);

static void take_row(void *user, const cJSON *answer)
{
  one *o = user;
  static const char *const kept[] = {"state", "promise", "before", "driven"};
  if (da_json_text(answer, "error").len > 0) {
    da_json_put_text(o->row, "refused", da_json_text(answer, "error"));
    cJSON_ReplaceItemInObject(o->row, "exit", cJSON_Duplicate(da_json_get(answer, "code"), true));
    return;
  }
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
    const cJSON *member = da_json_get(answer, kept[i]);
    if (member == NULL) continue;
    cJSON_DeleteItemFromObject(o->row, kept[i]);
    da_json_put(o->row, kept[i], cJSON_Duplicate(member, true));
  }
}

static void take_event(void *user, const da_event *event)
{
  (void)user;
  (void)event;
}

static void one_ended(void *user)
{
  one *o = user;
  cli_request *r = o->whole;
  bulk *b = r->state;
  cli_answer_row(r, o->row);
  free(o);
  b->under_way--;
  if (!b->beginning) go_on(r);
}

static cJSON *answer_of(const cJSON *row)
{
  cJSON *answer = da_json_object();
  static const char *const kept[] = {"id", "function", "state", "promise", "createdAt"};
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
    const cJSON *member = da_json_get(row, kept[i]);
    if (member != NULL) da_json_put(answer, kept[i], cJSON_Duplicate(member, true));
  }
  da_json_put_int(answer, "exit", CLI_EXIT_OK);
  return answer;
}

static void begin_one(cli_request *r, const cJSON *row)
{
  bulk *b = r->state;
  one *o = da_xcalloc(1, sizeof *o);
  *o = (one){.whole = r, .row = answer_of(row)};
  cJSON *json = cJSON_Duplicate(b->each, true);
  cJSON_DeleteItemFromObject(json, "id");
  da_json_put_text(json, "id", da_json_text(row, "id"));
  cli_sink sink = {.row = take_row, .event = take_event, .end = one_ended, .user = o};
  b->under_way++;
  (void)cli_service_ask(r->service, json, r->bundle, &sink);
}

static void got_page(cli_request *r, cJSON *rows, bool more)
{
  bulk *b = r->state;
  b->rows = rows;
  b->more = more;
  go_on(r);
}

static bool is_skipped(const cli_request *r, const cJSON *row)
{
  const cJSON *id;
  cJSON_ArrayForEach(id, da_json_get(r->json, "skip"))
  {
    if (da_slice_eq(da_slice_of(cJSON_GetStringValue(id)), da_json_text(row, "id"))) return true;
  }
  return false;
}

/* Begins what may begin; asks for the next page, or ends, when nothing is left of this one. */
static void go_on(cli_request *r)
{
  bulk *b = r->state;
  b->beginning = true;
  while (b->under_way < AT_ONCE && !r->gone) {
    cJSON *row = cJSON_DetachItemFromArray(b->rows, 0);
    if (row == NULL) break;
    if (is_skipped(r, row))
      ;
    else if (b->dry)
      cli_answer_row(r, answer_of(row));
    else
      begin_one(r, row);
    cJSON_Delete(row);
  }
  b->beginning = false;
  if (b->under_way > 0) return;
  cJSON_Delete(b->rows);
  b->rows = NULL;
  if (b->more && !r->gone)
    cli_query_page(r, b->query, got_page);
  else
    cli_request_end(r);
}

void cli_serve_bulk(cli_request *r)
{
  static const char *const verbs[] = {"cancel", "continue", "migrate"};
  bulk *b = da_arena_zalloc(&r->arena, sizeof *b);
  b->each = da_json_get(r->json, "each");
  b->dry = da_json_flag(r->json, "dry");
  da_slice verb = da_json_text(b->each, "verb");
  bool known = false;
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) known = known || da_slice_eq(verb, da_slice_of(verbs[i]));
  if (!known && !b->dry) {
    cli_refuse(r, CLI_EXIT_USAGE, "'%.*s' is not done to many executions at once", DA_FMT(verb));
    return;
  }
  da_err err = {{0}};
  if (r->bundle == NULL && da_json_get(r->json, "bundle") != NULL) r->bundle = cli_take_bundle(r->json, &err);
  b->query = cli_query_executions(r);
  if (b->query == NULL) return;
  r->state = b;
  cli_query_page(r, b->query, got_page);
}
