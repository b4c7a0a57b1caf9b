/* service_schedule.c - schedule create, get, delete and search, answered by the process that has the store.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/limits.h"
#include "../base/zone_file.h"
#include "cli.h"
#include "service.h"
#include "value.h"

/* ---- rows ---------------------------------------------------------------------------------------------- */

static void put_call(cJSON *row, const da_value *param)
{
  da_buf func = {0};
  da_buf args = {0};
  if (cli_value_call(param, &func, &args)) {
    da_json_put_text(row, "function", da_buf_slice(&func));
    da_json_put_text(row, "$args", da_buf_slice(&args));
  } else if (cli_value_data(param, &args)) {
    da_json_put_text(row, "$param", da_buf_slice(&args));
  }
  da_buf_free(&func);
  da_buf_free(&args);
}

static cJSON *row_of(const da_schedule *s)
{
  cJSON *row = da_json_object();
  cJSON *tags = da_json_object();
  da_json_put_text(row, "id", s->id);
  da_json_put_text(row, "cron", s->cron);
  if (s->zone.len > 0) da_json_put_text(row, "tz", s->zone);
  if (s->style == DA_CRON_QUARTZ) da_json_put_text(row, "weekdays", DA_LIT("quartz"));
  da_json_put_text(row, "catchUp", da_slice_of(da_catch_up_name(s->catch_up)));
  put_call(row, &s->promise_param);
  da_json_put_text(row, "promiseId", s->promise_id);
  if (s->promise_timeout < DA_TIME_MAX) da_json_put_int(row, "promiseTimeout", s->promise_timeout);
  for (size_t i = 0; i < s->promise_tags.count; i++) {
    char *name = da_xstrndup(s->promise_tags.items[i].key);
    da_json_put_text(tags, name, s->promise_tags.items[i].value);
    free(name);
  }
  da_json_put(row, "tags", tags);
  da_json_put_int(row, "createdAt", s->created_at);
  if (s->next_run_at < DA_TIME_MAX) da_json_put_int(row, "nextRunAt", s->next_run_at);
  if (s->last_run_at != 0) da_json_put_int(row, "lastRunAt", s->last_run_at);
  return row;
}

static bool refused(cli_request *r, const da_reply *reply, da_slice id)
{
  if (reply->status == 200) return false;
  if (reply->status == 404)
    cli_refuse(r, CLI_EXIT_REJECTED, "no schedule '%.*s' in %s (dahost schedule search lists what there is)",
               DA_FMT(id), r->service->place);
  else
    cli_refuse(r, CLI_EXIT_USAGE, "%.*s", DA_FMT(reply->message));
  return true;
}

/* ---- create -------------------------------------------------------------------------------------------- */

static void created(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const da_reply *reply = &op->outcomes[1].reply;
  if (!refused(r, reply, op->requests[1].id)) {
    cJSON *row = row_of(reply->schedule);
    da_json_put_flag(row, "created", op->outcomes[0].reply.status == 404);
    da_json_put_flag(row, "fires", r->service->serves);
    cli_answer_row(r, row);
    cli_request_end(r);
  }
  da_op_delete(op);
}

static da_catch_up catch_up_of(da_slice name)
{
  if (da_slice_eq(name, DA_LIT("last"))) return DA_CATCH_UP_LAST;
  return da_slice_eq(name, DA_LIT("none")) ? DA_CATCH_UP_NONE : DA_CATCH_UP_ALL;
}

void cli_serve_schedule_create(cli_request *r)
{
  da_err err;
  da_buf zone = {0};
  da_slice name = da_json_text(r->json, "tz");
  if (name.len > 0 && da_zone_load(name, &zone, &err) != DA_OK) {
    cli_refuse(r, CLI_EXIT_USAGE, "%s", err.text);
    da_buf_free(&zone);
    return;
  }
  da_op *op = cli_request_op(r, created);
  da_slice id = da_arena_dup(&op->arena, da_json_text(r->json, "id"));
  da_op_request(op, DA_REQ_SCHEDULE_GET)->id = id;
  const da_root root = {.target = r->service->target,
                        .id = id,
                        .func = da_json_text(r->json, "function"),
                        .args = da_json_text(r->json, "$args")};
  da_request *create = da_worker_root_request(op, DA_REQ_SCHEDULE_CREATE, &root);
  create->tags = (da_map){create->tags.items + 3, create->tags.count - 3}; /* each firing is a root of its own */
  create->promise_id = DA_LIT("{{.id}}.{{.timestamp}}");
  create->cron = da_arena_dup(&op->arena, da_json_text(r->json, "cron"));
  create->cron_unix = true;
  create->zone = da_arena_dup(&op->arena, name);
  create->zone_bytes = da_arena_dup(&op->arena, da_buf_slice(&zone));
  create->catch_up = catch_up_of(da_json_text(r->json, "catchUp"));
  da_buf_free(&zone);
  da_sched_submit(r->service->sched, op, false);
}

/* ---- get, delete --------------------------------------------------------------------------------------- */

static void shown(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const da_reply *reply = &op->outcomes[0].reply;
  if (!refused(r, reply, op->requests[0].id)) {
    cli_answer_row(r, row_of(reply->schedule));
    cli_request_end(r);
  }
  da_op_delete(op);
}

/* The record, and for delete: its end. */
static void ask_record(cli_request *r, bool del)
{
  da_op *op = cli_request_op(r, shown);
  da_slice id = da_arena_dup(&op->arena, da_json_text(r->json, "id"));
  da_op_request(op, DA_REQ_SCHEDULE_GET)->id = id;
  if (del) da_op_request(op, DA_REQ_SCHEDULE_DELETE)->id = id;
  op->stop_at_refusal = true;
  da_sched_submit(r->service->sched, op, false);
}

void cli_serve_schedule_get(cli_request *r)
{
  ask_record(r, false);
}

void cli_serve_schedule_delete(cli_request *r)
{
  ask_record(r, true);
}

/* ---- search -------------------------------------------------------------------------------------------- */

static void ask_page(cli_request *r, da_slice after);

static void page_found(da_op *op)
{
  cli_request *r = op->user;
  if (cli_op_failed(op)) return;
  const da_reply *reply = &op->outcomes[0].reply;
  int64_t *left = r->state;
  for (size_t i = 0; i < reply->schedule_count; i++) cli_answer_row(r, row_of(&reply->schedules[i]));
  *left -= (int64_t)reply->schedule_count;
  if (reply->more && *left > 0 && !r->gone) {
    ask_page(r, reply->schedules[reply->schedule_count - 1].id);
  } else {
    if (reply->more) {
      cJSON *row = da_json_object();
      da_json_put_flag(row, "more", true);
      cli_answer_row(r, row);
    }
    cli_request_end(r);
  }
  da_op_delete(op);
}

static void ask_page(cli_request *r, da_slice after)
{
  const int64_t *left = r->state;
  da_op *op = cli_request_op(r, page_found);
  da_request *search = da_op_request(op, DA_REQ_SCHEDULE_SEARCH);
  search->has_search_limit = true;
  search->search_limit = *left < DA_SEARCH_MAX ? *left : DA_SEARCH_MAX;
  search->search_after = da_arena_dup(&op->arena, after);
  da_sched_submit(r->service->sched, op, false);
}

void cli_serve_schedule_search(cli_request *r)
{
  int64_t *left = da_arena_alloc(&r->arena, sizeof *left);
  *left = DA_SEARCH_MAX;
  (void)da_json_int(r->json, "limit", left);
  if (*left < 1) *left = 1;
  r->state = left;
  ask_page(r, DA_NONE);
}
