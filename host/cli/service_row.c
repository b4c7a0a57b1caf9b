/* service_row.c - a promise and its task as a row: what ps, tree, get and search tell of one record.
 *
 * On the store thread, inside a transaction: what is said of one record is consistent within itself.
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

enum { AWAITS_MAX = 100 };

static const char *function_state(da_task_state state)
{
  switch (state) {
  case DA_TASK_PENDING:
  case DA_TASK_ACQUIRED:
    return "running";
  case DA_TASK_SUSPENDED:
    return "suspended";
  case DA_TASK_HALTED:
    return "parked";
  case DA_TASK_FULFILLED:
    return "completed";
  }
  return "running";
}

static const char *promise_state(da_promise_state state)
{
  return state == DA_TIMEDOUT ? "timedout" : cli_state_name(state);
}

static da_status failed(const da_store *store, int status, da_err *err)
{
  return da_fail(err, (da_status)status, "%s", da_store_fault_words(store));
}

da_status cli_parked_words(da_store *store, const da_task *task, da_arena *arena, da_slice *json, da_err *err)
{
  da_view *view = da_store_view(store);
  *json = DA_NONE;
  /* The mark carries the version that was halted; nobody raised it since. */
  da_promise mark;
  int found =
      view->ops->promise(view, da_id_child(arena, task->id, DA_LIT("~parked"), (uint64_t)task->version), arena, &mark);
  if (found < 0) return failed(store, found, err);
  if (found > 0 && mark.value.has_data) *json = mark.value.data;
  return DA_OK;
}

static da_status add_parked(da_store *store, const da_task *task, da_arena *arena, cJSON *row, da_err *err)
{
  da_slice json;
  da_status status = cli_parked_words(store, task, arena, &json, err);
  if (status != DA_OK || json.len == 0) return status;
  cJSON *words = da_json_parse(json, NULL);
  if (words != NULL) da_json_put(row, "parked", words);
  return DA_OK;
}

static da_status add_awaits(da_store *store, const da_task *task, da_arena *arena, cJSON *row, da_err *err)
{
  da_view *view = da_store_view(store);
  da_wait at = {.kind = DA_WAIT_AWAITED, .first = task->id};
  cJSON *list = da_json_array();
  da_json_put(row, "awaits", list);
  for (int i = 0; i < AWAITS_MAX; i++) {
    da_wait next;
    int found = view->ops->wait_next(view, &at, arena, &next);
    if (found < 0) return failed(store, found, err);
    if (found == 0) break;
    bool mark = next.second.len > 8 && memcmp(next.second.ptr + next.second.len - 7, "~cancel", 7) == 0;
    if (!mark) da_json_add(list, da_json_string(next.second));
    at = next;
  }
  return DA_OK;
}

static void add_published(void *user, da_slice key, da_slice value)
{
  da_buf *json = user;
  da_buf_addf(json, "%c\"%.*s\":%.*s", json->len > 0 ? ',' : '{', DA_FMT(key), DA_FMT(value));
}

/* What the execution shows of its state. */
static da_status add_live(da_store *store, da_slice id, cJSON *row, da_err *err)
{
  da_buf json = {0};
  da_status status = da_store_live_scan(store, id, add_published, &json, err);
  if (status == DA_OK && json.len > 0) {
    da_buf_addf(&json, "}");
    da_json_put_text(row, "$published", da_buf_slice(&json));
  }
  da_buf_free(&json);
  return status;
}

static const da_worker *serving; /* the one of this process; NULL: it runs nothing */

void cli_row_worker(const da_worker *worker)
{
  serving = worker;
}

/* A task of a group that nobody serves here waits as the suspended do. */
static bool add_group(const da_promise *promise, const da_task *task, cJSON *row)
{
  const da_slice *target = da_map_get(promise->tags, DA_LIT("resonate:target"));
  if (task->state != DA_TASK_PENDING || promise->state != DA_PENDING || target == NULL) return false;
  if (serving != NULL ? da_worker_has_target(serving, *target) : da_slice_eq(da_group_name(*target), DA_LIT("default")))
    return false;
  da_json_put_text(row, "group", da_group_name(*target));
  return true;
}

static da_status add_task(da_store *store, const da_promise *promise, da_arena *arena, cJSON *row, da_err *err)
{
  da_view *view = da_store_view(store);
  da_task task;
  int found = view->ops->task(view, promise->id, arena, &task);
  if (found < 0) return failed(store, found, err);
  if (found == 0) {
    da_json_put_text(row, "state", da_slice_of(promise_state(promise->state)));
    return DA_OK;
  }
  da_task_state state = promise->state != DA_PENDING ? DA_TASK_FULFILLED : task.state;
  bool unserved = add_group(promise, &task, row);
  da_json_put_text(row, "state", da_slice_of(function_state(unserved ? DA_TASK_SUSPENDED : state)));
  cJSON *part = da_json_object();
  da_json_put_text(part, "state", da_slice_of(da_task_state_name(task.state)));
  da_json_put_int(part, "version", task.version);
  if (task.pid.len > 0) da_json_put_text(part, "pid", task.pid);
  da_json_put(row, "task", part);
  da_status status = add_live(store, promise->id, row, err);
  if (status != DA_OK) return status;
  if (state == DA_TASK_HALTED) return add_parked(store, &task, arena, row, err);
  if (state == DA_TASK_SUSPENDED) return add_awaits(store, &task, arena, row, err);
  return DA_OK;
}

static void add_value(cJSON *row, const char *name, const da_value *value)
{
  da_buf text = {0};
  if (cli_value_data(value, &text)) da_json_put_text(row, name, da_buf_slice(&text));
  da_buf_free(&text);
}

static void add_details(cJSON *row, const da_promise *promise)
{
  da_buf func = {0};
  da_buf args = {0};
  bool called = promise->call.kind == DA_CALL_ROOT || promise->call.kind == DA_CALL_WORKFLOW;
  if (called && cli_value_call(&promise->param, &func, &args))
    da_json_put_text(row, "$args", da_buf_slice(&args));
  else
    add_value(row, "$param", &promise->param);
  da_buf_free(&func);
  da_buf_free(&args);
  if (promise->state != DA_PENDING && promise->value.has_data) {
    da_buf text = {0};
    cli_value_results(&promise->value, &text);
    da_json_put_text(row, "$value", da_buf_slice(&text));
    da_buf_free(&text);
  }
  cJSON *tags = da_json_object();
  for (size_t i = 0; i < promise->tags.count; i++) {
    char *name = da_xstrndup(promise->tags.items[i].key);
    da_json_put_text(tags, name, promise->tags.items[i].value);
    free(name);
  }
  da_json_put(row, "tags", tags);
  if (promise->call.has_bundle) {
    char hex[33];
    da_digest_hex(&promise->call.bundle, hex);
    da_json_put_text(row, "bundle", da_slice_of(hex));
  }
  if (promise->call.file.len > 0) {
    da_json_put_text(row, "file", promise->call.file);
    da_json_put_int(row, "line", promise->call.line);
  }
}

/* Past its deadline a promise is settled, whether or not a sweep has been by. */
static da_promise_state projected(const da_promise *promise)
{
  if (promise->state != DA_PENDING || promise->timeout_at > da_clock_now_ms()) return promise->state;
  const da_slice *timer = da_map_get(promise->tags, DA_LIT("resonate:timer"));
  return timer != NULL && da_slice_eq(*timer, DA_LIT("true")) ? DA_RESOLVED : DA_TIMEDOUT;
}

/* Its number, and the arguments it was begun with in place of the first ones. */
static da_status add_generation(da_store *store, da_promise *promise, cli_detail detail, da_arena *arena, cJSON *row,
                                da_err *err)
{
  uint32_t number = promise->call.generation;
  if (number == 0 || promise->call.kind == DA_CALL_MARK) return DA_OK;
  da_json_put_int(row, "generation", number);
  if (detail != CLI_FULL) return DA_OK;
  da_view *view = da_store_view(store);
  da_promise mark;
  int found = view->ops->promise(view, da_again_id(arena, promise->id, number), arena, &mark);
  if (found < 0) return failed(store, found, err);
  if (found > 0) promise->param = mark.param;
  return DA_OK;
}

da_status cli_row_of(da_store *store, const da_promise *stored, cli_detail detail, da_arena *arena, cJSON **out,
                     da_err *err)
{
  da_promise seen = *stored;
  da_promise *promise = &seen;
  seen.state = projected(stored);
  if (seen.state != stored->state) seen.settled_at = stored->timeout_at;
  cJSON *row = da_json_object();
  *out = row;
  da_json_put_text(row, "id", promise->id);
  da_json_put_text(row, "kind", da_slice_of(da_call_kind_name(promise->call.kind)));
  if (promise->call.func.len > 0) da_json_put_text(row, "function", promise->call.func);
  da_status status = add_task(store, promise, arena, row, err);
  da_json_put_text(row, "promise", da_slice_of(promise_state(promise->state)));
  da_json_put_int(row, "createdAt", promise->created_at);
  if (promise->settled_at > 0) da_json_put_int(row, "settledAt", promise->settled_at);
  if (promise->timeout_at < DA_TIME_MAX) da_json_put_int(row, "timeoutAt", promise->timeout_at);
  if (promise->call.ordinal > 0) da_json_put_int(row, "ordinal", promise->call.ordinal);
  const da_slice *caller = da_map_get(promise->tags, DA_LIT("dahost:detached"));
  if (caller != NULL) da_json_put_text(row, "detachedFrom", *caller);
  if (status == DA_OK) status = add_generation(store, promise, detail, arena, row, err);
  if (status == DA_OK && detail == CLI_FULL) add_details(row, promise);
  if (status == DA_OK) return DA_OK;
  cJSON_Delete(row);
  *out = NULL;
  return status;
}

/* An execution of which something cannot be read is one row among the others, not the end of them. */
cJSON *cli_damaged_row(const da_promise *promise, const char *words)
{
  cJSON *row = da_json_object();
  da_json_put_text(row, "id", promise->id);
  da_json_put_text(row, "kind", da_slice_of(da_call_kind_name(promise->call.kind)));
  if (promise->call.func.len > 0) da_json_put_text(row, "function", promise->call.func);
  da_json_put_text(row, "state", DA_LIT("damaged"));
  da_json_put_text(row, "promise", da_slice_of(promise_state(promise->state)));
  da_json_put_int(row, "createdAt", promise->created_at);
  da_json_put_text(row, "damaged", da_slice_of(words));
  return row;
}
