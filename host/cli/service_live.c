/* service_live.c - steps under way: what the process that drives an execution knows and no record says.
 *
 * Two sources: the pool of step threads (who runs, who waits for a thread, who is abandoned) and the model, which has
 * heard of failed attempts that will be repeated. Both are asked on the loop thread and cost the store nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "../base/id.h"
#include "cli.h"
#include "event.h"
#include "service.h"

enum { STEPS_PER_ROW = 4, LOOK_MAX = 64 };

/* ---- from the model ------------------------------------------------------------------------------------ */

static bool is_live_step(const cli_node *node)
{
  bool step = node->call == DA_CALL_STEP || node->call == DA_CALL_INLINE || node->call == DA_CALL_NATIVE;
  return node->end_ns == 0 && node->activity == CLI_CALL && step;
}

/* A branch is recorded when it ends, as a step is. */
static bool is_live_branch(const cli_node *node)
{
  return node->end_ns == 0 && node->call == DA_CALL_BRANCH;
}

static void add_attempts(cJSON *row, const cli_node *node)
{
  if (node->progress.len > 0) da_json_put_text(row, "progress", node->progress);
  if (node->attempt == 0) return;
  da_json_put_int(row, "attempt", node->attempt);
  if (node->note.len > 0) da_json_put_text(row, "note", node->note);
  if (node->retry_at > da_clock_now_ms()) da_json_put_int(row, "retryAt", node->retry_at);
}

static cJSON *row_of(const cli_node *node)
{
  cJSON *row = da_json_object();
  da_json_put_text(row, "id", node->id);
  da_json_put_text(row, "kind", da_slice_of(da_call_kind_name(node->call)));
  if (node->func.len > 0) da_json_put_text(row, "function", node->func);
  da_json_put_text(row, "state", DA_LIT("running"));
  da_json_put_text(row, "promise", DA_LIT("pending"));
  int64_t age_ms = (int64_t)((da_clock_mono_ns() - node->begin_ns) / 1000000);
  da_json_put_int(row, "createdAt", da_clock_now_ms() - age_ms);
  add_attempts(row, node);
  return row;
}

void cli_tell_live(cli_request *r, da_slice id)
{
  for (const cli_node *node = NULL; (node = cli_model_next(&r->service->model, node)) != NULL;)
    if ((is_live_step(node) || is_live_branch(node)) && da_id_below(node->id, id)) cli_answer_row(r, row_of(node));
}

cJSON *cli_live_row(cli_request *r, da_slice id)
{
  const cli_node *node = cli_model_find(&r->service->model, id);
  return node != NULL && is_live_step(node) ? row_of(node) : NULL;
}

void cli_add_live(cli_request *r, cJSON *row)
{
  const cli_node *execution = cli_model_find(&r->service->model, da_json_text(row, "id"));
  cJSON *steps = NULL;
  if (execution == NULL || !da_slice_eq(da_json_text(row, "state"), DA_LIT("running"))) return;
  int looked = 0;
  for (const cli_node *node = execution->first; node != NULL && looked++ < LOOK_MAX; node = node->next) {
    if (!is_live_step(node)) continue;
    if (steps == NULL) da_json_put(row, "steps", steps = da_json_array());
    da_json_add(steps, row_of(node));
    if (cJSON_GetArraySize(steps) == STEPS_PER_ROW) break;
  }
}

/* ---- from the threads ---------------------------------------------------------------------------------- */

typedef struct listing {
  cJSON *rows;
  int64_t left;
} listing;

static void add_progress(cJSON *row, const da_progress *progress)
{
  if (!progress->told) return;
  cJSON *part = da_json_object();
  da_json_put(row, "progress", part);
  da_json_put(part, "done", cJSON_CreateNumber(progress->done));
  if (progress->total >= 0) da_json_put(part, "total", cJSON_CreateNumber(progress->total));
  if (progress->note_len > 0) da_json_put_text(part, "note", da_slice_make(progress->note, progress->note_len));
}

static cJSON *step_row(da_slice id, da_slice execution, da_slice func, const char *state, int attempt)
{
  cJSON *row = da_json_object();
  da_json_put_text(row, "id", id);
  da_json_put_text(row, "execution", execution);
  da_json_put_text(row, "function", func);
  da_json_put_text(row, "state", da_slice_of(state));
  da_json_put_int(row, "attempt", attempt);
  return row;
}

static bool take_step(void *user, const da_step_row *step)
{
  listing *l = user;
  const char *state = step->abandoned ? "abandoned" : step->begun_ms > 0 ? "running" : "queued";
  cJSON *row = step_row(step->id, step->execution, step->func, state, step->attempt);
  if (step->begun_ms > 0) da_json_put_int(row, "begunAt", step->begun_ms);
  if (step->deadline_ms < DA_TIME_MAX) da_json_put_int(row, "deadlineAt", step->deadline_ms);
  add_progress(row, &step->progress);
  da_json_add(l->rows, row);
  return --l->left > 0;
}

static da_slice execution_of(const cli_node *node)
{
  const cli_node *at = node->parent;
  while (at->parent != NULL && at->activity == CLI_CALL) at = at->parent;
  return at->id;
}

static void take_retries(const cli_model *model, listing *l)
{
  int64_t now = da_clock_now_ms();
  for (const cli_node *node = NULL; l->left > 0 && (node = cli_model_next(model, node)) != NULL;) {
    if (!is_live_step(node) || node->retry_at <= now) continue;
    cJSON *row = step_row(node->id, execution_of(node), node->func, "retrying", node->attempt + 1);
    da_json_put_int(row, "retryAt", node->retry_at);
    if (node->note.len > 0) da_json_put_text(row, "note", node->note);
    da_json_add(l->rows, row);
    l->left--;
  }
}

void cli_serve_steps(cli_request *r)
{
  listing l = {.rows = da_json_array(), .left = 1000};
  (void)da_json_int(r->json, "limit", &l.left);
  if (r->service->worker != NULL && l.left > 0) da_worker_steps(r->service->worker, take_step, &l);
  take_retries(&r->service->model, &l);
  for (cJSON *row; (row = cJSON_DetachItemFromArray(l.rows, 0)) != NULL;) cli_answer_row(r, row);
  cJSON_Delete(l.rows);
  if (l.left <= 0) {
    cJSON *row = da_json_object();
    da_json_put_flag(row, "more", true);
    cli_answer_row(r, row);
  }
  cli_request_end(r);
}
