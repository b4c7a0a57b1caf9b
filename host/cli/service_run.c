/* service_run.c - run, start, resume: which function with which arguments, beginning it or attaching to it.
 *
 *     asked --script loaded, function chosen--> starting --new--> followed (service_follow.c)
 *                                                  +--there already, same call--> attached, followed
 *                                                  +--there already, other call--> refused
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "../base/text.h"
#include "cli.h"
#include "service_run.h"
#include "text.h"
#include "value.h"

enum { RESTING_TOLD = 4, RESTING_SEEN = 200, ROOTS_MAX = 10000 };

/* A terminated copy that lives as long as the request. */
static const char *text_dup(cli_request *r, da_slice s)
{
  return da_arena_printf(&r->arena, "%.*s", DA_FMT(s)).ptr;
}

/* Refuses a request that follows nothing. */
static void refuse_run(cli_request *r, int code, const char *words)
{
  cli_run_state *state = cli_run_of(r);
  cJSON *row = da_json_object();
  da_json_put_text(row, "error", da_slice_of(words));
  da_json_put_int(row, "code", code);
  cli_answer_row(r, row);
  state->asking--;
  cli_run_settle(r);
}

static bool run_op_failed(da_op *op)
{
  if (op->status == DA_OK) return false;
  const char *words = op->err.text[0] != '\0' ? op->err.text : da_status_text(op->status);
  refuse_run(op->user, CLI_EXIT_FAILED, words);
  da_op_delete(op);
  return true;
}

/* ---- which function, which arguments ------------------------------------------------------------------- */

static bool looks_like_name(da_slice word)
{
  static const char *const values[] = {"true", "false", "null"};
  for (size_t i = 0; i < 3; i++)
    if (da_slice_eq(word, da_slice_of(values[i]))) return false;
  for (size_t i = 0; i < word.len; i++) {
    char c = word.ptr[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '.'))) return false;
  }
  return word.len > 0;
}

typedef struct choice {
  const da_function *functions;
  size_t count;
  size_t workflows;
  const da_function *only; /* the one workflow, or main */
} choice;

/* A workflow is started in its highest version, the last of its name. */
static const da_function *workflow_at(const choice *c, size_t i)
{
  const da_function *f = &c->functions[i];
  bool last = i + 1 == c->count || !da_slice_eq(f[1].name, f->name);
  return last && f->workflow ? f : NULL;
}

static choice read_functions(cli_request *r)
{
  choice c = {0};
  c.functions = da_worker_functions(r->service->worker, r->bundle, &c.count);
  for (size_t i = 0; i < c.count; i++)
    if (workflow_at(&c, i) != NULL) c.workflows++;
  for (size_t i = 0; i < c.count; i++) {
    const da_function *f = workflow_at(&c, i);
    if (f != NULL && (c.workflows == 1 || da_slice_eq(f->name, DA_LIT("main")))) c.only = f;
  }
  return c;
}

static const da_function *find_function(const choice *c, da_slice name)
{
  const da_function *found = NULL;
  for (size_t i = 0; i < c->count; i++)
    if (da_slice_eq(c->functions[i].name, name)) found = &c->functions[i];
  return found;
}

static void list_workflows(const choice *c, da_buf *out)
{
  const char *comma = "";
  for (size_t i = 0; i < c->count; i++) {
    if (workflow_at(c, i) == NULL) continue;
    da_buf_addf(out, "%s%.*s", comma, DA_FMT(c->functions[i].name));
    comma = ", ";
  }
}

/* NULL: err says why. *used: the operand was the name. */
static const da_function *choose_function(const choice *c, da_slice file, da_slice operand, bool *used, da_err *err)
{
  *used = false;
  if (c->workflows == 0) {
    (void)da_fail(err, DA_EINVAL, "%.*s defines no workflow (function async.NAME(...) ... end)", DA_FMT(file));
    return NULL;
  }
  const da_function *named = operand.len > 0 ? find_function(c, operand) : NULL;
  if (named != NULL && named->workflow) {
    *used = true;
    return named;
  }
  if (c->only != NULL && !looks_like_name(operand)) return c->only;
  da_buf words = {0};
  if (named != NULL) {
    da_buf_addf(&words, "'%.*s' is a step; workflows are started: ", DA_FMT(operand));
  } else if (looks_like_name(operand)) {
    cli_nearest nearest = {.wanted = operand};
    for (size_t i = 0; i < c->count; i++)
      if (c->functions[i].workflow) cli_nearest_offer(&nearest, c->functions[i].name);
    da_buf_addf(&words, "%.*s defines no workflow '%.*s'", DA_FMT(file), DA_FMT(operand));
    if (nearest.best.len > 0)
      da_buf_addf(&words, "; did you mean '%.*s'? It defines ", DA_FMT(nearest.best));
    else
      da_buf_addf(&words, "; it defines ");
  } else {
    da_buf_addf(&words, "%.*s defines several workflows, name one: ", DA_FMT(file));
  }
  list_workflows(c, &words);
  if (c->only != NULL) da_buf_addf(&words, " (as its argument: %.*s %.*s)", DA_FMT(c->only->name), DA_FMT(operand));
  (void)da_fail(err, DA_EINVAL, "%.*s", DA_FMT(da_buf_slice(&words)));
  da_buf_free(&words);
  return NULL;
}

static da_status read_args(const cJSON *json, bool used, da_buf *out, da_err *err)
{
  const cJSON *operands = da_json_get(json, "operands");
  size_t count = (size_t)cJSON_GetArraySize(operands);
  size_t first = used ? 1 : 0;
  if (da_json_get(json, "args") != NULL) {
    if (count > first)
      return da_fail(err, DA_EINVAL, "arguments stand either behind FUNCTION or in --args, not in both ('%s')",
                     cJSON_GetStringValue(cJSON_GetArrayItem(operands, (int)first)));
    da_err why = {{0}};
    da_status status = cli_value_canonical(da_json_text(json, "args"), true, out, &why);
    if (status != DA_OK) (void)da_fail(err, status, "--args wants a JSON array: %s", why.text);
    return status;
  }
  const char *words[CLI_OPERANDS_MAX];
  for (size_t i = first; i < count && i < CLI_OPERANDS_MAX; i++)
    words[i - first] = cJSON_GetStringValue(cJSON_GetArrayItem(operands, (int)i));
  return cli_value_args(words, count - first, da_json_flag(json, "str"), out, err);
}

/* Fills func, args and id. False: refused. */
static bool choose(cli_request *r)
{
  cli_run_state *state = cli_run_of(r);
  da_err err = {{0}};
  choice c = read_functions(r);
  const char *word = cJSON_GetStringValue(cJSON_GetArrayItem(da_json_get(r->json, "operands"), 0));
  bool used;
  const da_function *function = choose_function(&c, da_json_text(r->json, "file"), da_slice_of(word), &used, &err);
  da_buf args = {0};
  if (function == NULL || read_args(r->json, used, &args, &err) != DA_OK) {
    da_buf_free(&args);
    refuse_run(r, CLI_EXIT_USAGE, err.text);
    return false;
  }
  state->func = text_dup(r, function->name);
  state->version = function->version;
  state->args = text_dup(r, da_buf_slice(&args));
  da_buf_free(&args);
  da_slice id = da_json_text(r->json, "id");
  da_buf made = {0};
  if (id.len == 0) {
    da_id_escape(&made, function->name);
    da_buf_addf(&made, "-%.*s", DA_FMT(da_json_text(r->json, "suffix")));
    id = da_buf_slice(&made);
  }
  state->id = text_dup(r, id);
  const char *fault = da_id_rest(id).len > 0 ? "the id of a new execution holds no ':'" : da_id_fault(id);
  da_buf_free(&made);
  if (fault != NULL) {
    (void)da_fail(&err, DA_EINVAL, "--id '%.60s%s': %s", state->id, strlen(state->id) > 60 ? "..." : "", fault);
    refuse_run(r, CLI_EXIT_USAGE, err.text);
  }
  return fault == NULL;
}

/* ---- attaching ----------------------------------------------------------------------------------------- */

/* False: the record is of another call; refused. */
static bool same_call(cli_request *r, const da_promise *promise)
{
  cli_run_state *state = cli_run_of(r);
  da_buf func = {0};
  da_buf args = {0};
  da_buf words = {0};
  bool known = cli_value_call(&promise->param, &func, &args);
  bool same = known && da_slice_eq(da_buf_slice(&func), da_slice_of(state->func)) &&
              da_slice_eq(da_buf_slice(&args), da_slice_of(state->args));
  if (!known)
    da_buf_addf(&words, "'%s' is a promise, not an execution", state->id);
  else if (!same)
    da_buf_addf(&words, "'%s' is %.*s%.*s, not %s%s; choose another --id", state->id, DA_FMT(da_buf_slice(&func)),
                DA_FMT(da_buf_slice(&args)), state->func, state->args);
  da_buf_add_byte(&words, 0);
  if (!same) refuse_run(r, CLI_EXIT_USAGE, words.ptr);
  da_buf_free(&words);
  da_buf_free(&func);
  da_buf_free(&args);
  return same;
}

/* ---- who rests ----------------------------------------------------------------------------------------- */

typedef struct resting {
  da_slice but; /* this one does not count */
  da_store *store;
  da_arena *arena;
  cJSON *ids;
  size_t seen;
  bool more;
} resting;

static bool visit_resting(void *user, const da_promise *promise)
{
  resting *rest = user;
  if (++rest->seen > RESTING_SEEN) {
    rest->more = cJSON_GetArraySize(rest->ids) > 0;
    return false;
  }
  if (promise->state != DA_PENDING || da_slice_eq(promise->id, rest->but)) return true;
  bool own = da_slice_starts(promise->id, rest->but) && promise->id.ptr[rest->but.len] == '~';
  if (own && da_map_get(promise->tags, DA_LIT("dahost:detached")) != NULL) return true; /* it runs along */
  if (da_map_get(promise->tags, DA_LIT("resonate:target")) == NULL) return true;
  rest->more = cJSON_GetArraySize(rest->ids) == RESTING_TOLD;
  if (!rest->more) da_json_add(rest->ids, da_json_string(promise->id));
  return !rest->more;
}

static da_status read_resting(da_store *store, da_op *op, da_err *err)
{
  resting *rest = op->call_argument;
  rest->ids = da_json_array();
  return cli_scan_roots(store, DA_NONE, &op->arena, visit_resting, rest, err);
}

static void told_resting(da_op *op)
{
  cli_request *r = op->user;
  resting *rest = op->call_argument;
  cli_run_state *state = cli_run_of(r);
  if (op->status == DA_OK && cJSON_GetArraySize(rest->ids) > 0) {
    cJSON *row = da_json_object();
    da_json_put(row, "resting", rest->ids);
    if (rest->more) da_json_put_flag(row, "more", true);
    cli_answer_row(r, row);
  } else {
    cJSON_Delete(rest->ids);
  }
  da_op_delete(op);
  state->asking--;
  cli_run_settle(r);
}

static void ask_resting(cli_request *r)
{
  cli_run_state *state = cli_run_of(r);
  state->asking++;
  resting rest = {.but = da_slice_of(state->id)};
  da_op *op = cli_request_call(r, read_resting, &rest, sizeof rest, told_resting);
  op->background = true;
  da_sched_submit(r->service->sched, op, false);
}

/* ---- run, start ---------------------------------------------------------------------------------------- */

static void note_old_code(cli_request *r, const da_promise *promise)
{
  if (!promise->call.has_bundle || da_digest_eq(&promise->call.bundle, &r->bundle->hash)) return;
  da_slice file = da_json_text(r->json, "file");
  cJSON *row = da_json_object();
  da_buf words = {0};
  da_buf_addf(&words,
              "%s keeps the code it started with; %.*s has changed since (workflows run the old code, steps the new; "
              "dahost migrate moves it)",
              cli_run_of(r)->id, DA_FMT(file));
  da_json_put_text(row, "note", da_buf_slice(&words));
  da_buf_free(&words);
  cli_answer_row(r, row);
}

/* A run is over with its execution. */
static void note_schedules(cli_request *r)
{
  size_t count;
  const da_declared *first = da_worker_declared(r->service->worker, r->bundle, &count);
  if (count == 0 || r->service->serves || cli_run_of(r)->no_rest) return;
  cJSON *row = da_json_object();
  da_buf words = {0};
  da_buf_addf(&words, "%.*s declares schedule %.*s", DA_FMT(first->file), DA_FMT(first->id));
  if (count > 1) da_buf_addf(&words, " and %zu more", count - 1);
  da_buf_addf(&words, ", which %s only under dahost serve", count > 1 ? "fire" : "fires");
  da_json_put_text(row, "note", da_buf_slice(&words));
  da_buf_free(&words);
  cli_answer_row(r, row);
}

static void follow_started(cli_request *r, const da_promise *promise, bool created)
{
  cli_run_state *state = cli_run_of(r);
  bool pending = promise->state == DA_PENDING;
  if (!created && pending) note_old_code(r, promise);
  note_schedules(r);
  if (pending && !state->no_rest && !r->service->serves) ask_resting(r);
  if (created)
    cli_follow(r, da_slice_of(state->id));
  else
    cli_attach(r, da_slice_of(state->id));
}

static void started(void *user, const da_promise *promise, bool created, da_status status, const da_err *err)
{
  cli_request *r = user;
  cli_run_state *state = cli_run_of(r);
  if (promise == NULL) {
    refuse_run(r, status == DA_EINVAL ? CLI_EXIT_USAGE : CLI_EXIT_FAILED, err->text);
    return;
  }
  if (!created && !same_call(r, promise)) return;
  if (r->gone) {
    /* what was started goes on */
  } else if (state->start_only) {
    cJSON *row = da_json_object();
    da_json_put_text(row, "started", da_slice_of(state->id));
    da_json_put_flag(row, "created", created);
    cli_answer_row(r, row);
  } else {
    follow_started(r, promise, created);
  }
  state->asking--;
  cli_run_settle(r);
}

static void recorded(da_op *op)
{
  cli_request *r = op->user;
  if (run_op_failed(op)) return;
  const da_reply *before = &op->outcomes[0].reply;
  const da_reply *reply = &op->outcomes[1].reply;
  da_err err = {{0}};
  if (reply->status == 200)
    started(r, reply->promise, before->status == 404, DA_OK, NULL);
  else
    started(r, NULL, false, da_fail(&err, DA_EINVAL, "%.*s", DA_FMT(reply->message)), &err);
  da_op_delete(op);
}

/* A process that drives nothing only writes the record: the task is left to whoever drives the store next. */
static void record_start(cli_request *r)
{
  const cli_run_state *state = cli_run_of(r);
  da_op *op = cli_request_op(r, recorded);
  da_slice id = da_slice_of(state->id);
  da_op_request(op, DA_REQ_PROMISE_GET)->id = id;
  const da_root root = {.target = r->service->target,
                        .id = id,
                        .func = da_slice_of(state->func),
                        .args = da_slice_of(state->args),
                        .version = state->version,
                        .deadline_at = state->deadline_at,
                        .bundle = &r->bundle->hash,
                        .tags = cli_tags_of(da_json_get(r->json, "tags"), &op->arena)};
  (void)da_worker_root_request(op, DA_REQ_PROMISE_CREATE, &root);
  da_sched_submit(r->service->sched, op, false);
}

da_bundle *cli_take_bundle(const cJSON *json, da_err *err)
{
  da_slice text = da_json_text(json, "bundle");
  ptrdiff_t len = da_text_base64_len(text);
  da_bundle *bundle = NULL;
  if (text.len == 0 || len < 0) {
    (void)da_fail(err, DA_EINVAL, "no script came with the request");
    return NULL;
  }
  char *bytes = da_xmalloc((size_t)len + 1);
  if (!da_text_base64_read(text, bytes))
    (void)da_fail(err, DA_EINVAL, "a script that is not base64");
  else if (da_bundle_decode(da_slice_make(bytes, (size_t)len), &bundle, err) != DA_OK)
    bundle = NULL;
  free(bytes);
  /* `require` of step states looks beside the script: the asker is on this machine. */
  da_slice directory = da_json_text(json, "directory");
  if (bundle != NULL && bundle->directory == NULL && directory.len > 0) bundle->directory = da_xstrndup(directory);
  return bundle;
}

void cli_serve_run(cli_request *r)
{
  cli_run_state *state = da_arena_zalloc(&r->arena, sizeof *state);
  r->state = state;
  r->on_gone = cli_follow_gone;
  state->start_only = da_json_flag(r->json, "start");
  state->no_rest = da_json_flag(r->json, "quiet");
  state->asking = 1;
  int64_t timeout;
  state->deadline_at = da_json_int(r->json, "timeout", &timeout) ? da_clock_now_ms() + timeout : 0;
  da_err err = {{0}};
  if (r->bundle == NULL) r->bundle = cli_take_bundle(r->json, &err);
  r->service->loading = r;
  bool loaded = r->bundle != NULL && da_worker_serve(r->service->worker, r->bundle, &err) == DA_OK;
  r->service->loading = NULL;
  if (!loaded) {
    refuse_run(r, CLI_EXIT_USAGE, err.text);
    return;
  }
  if (!choose(r)) return;
  cJSON *row = da_json_object();
  da_json_put_text(row, "id", da_slice_of(state->id));
  da_json_put_text(row, "function", da_slice_of(state->func));
  cli_answer_row(r, row);
  if (!r->service->drives) {
    record_start(r);
    return;
  }
  da_worker_start_until(r->service->worker, da_slice_of(state->id), da_slice_of(state->func), state->version,
                        da_slice_of(state->args), cli_tags_of(da_json_get(r->json, "tags"), &r->arena), r->bundle,
                        state->deadline_at, started, r);
}

/* ---- resume -------------------------------------------------------------------------------------------- */

typedef struct roots {
  const cJSON *ids; /* wanted, borrowed from the request; NULL: all */
  cJSON *found;
  cJSON *missing;
  cJSON *damaged;
  da_store *store;
  da_arena *arena;
  bool more;
} roots;

static bool visit_unfinished(void *user, const da_promise *promise)
{
  roots *all = user;
  if (promise->state != DA_PENDING || da_map_get(promise->tags, DA_LIT("resonate:target")) == NULL) return true;
  da_json_add(all->found, da_json_string(promise->id));
  all->more = cJSON_GetArraySize(all->found) == ROOTS_MAX;
  return !all->more;
}

static da_status read_roots(da_store *store, da_op *op, da_err *err)
{
  roots *all = op->call_argument;
  all->found = da_json_array();
  all->missing = da_json_array();
  all->damaged = da_json_array();
  if (all->ids == NULL) {
    da_store_on_damaged(store, cli_note_damaged, all->damaged);
    da_status status = cli_scan_roots(store, DA_NONE, &op->arena, visit_unfinished, all, err);
    da_store_on_damaged(store, NULL, NULL);
    return status;
  }
  da_view *view = da_store_view(store);
  const cJSON *item;
  cJSON_ArrayForEach(item, all->ids)
  {
    da_slice id = da_slice_of(cJSON_GetStringValue(item));
    da_promise promise;
    int found = view->ops->promise(view, id, &op->arena, &promise);
    if (found < 0) return da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
    bool function = found > 0 && da_map_get(promise.tags, DA_LIT("resonate:target")) != NULL;
    da_json_add(function ? all->found : all->missing, da_json_string(id));
  }
  return DA_OK;
}

static void resume_found(cli_request *r, const roots *all)
{
  cli_run_state *state = cli_run_of(r);
  const cJSON *item;
  if (cJSON_GetArraySize(all->missing) > 0) {
    cli_refuse_missing(r, CLI_EXECUTION, da_slice_of(cJSON_GetStringValue(cJSON_GetArrayItem(all->missing, 0))));
    return; /* it follows nothing: the refusal ends it */
  }
  if (!da_json_flag(r->json, "all") && all->ids == NULL) { /* the asker wants to know what there is */
    cJSON *row = da_json_object();
    da_json_put(row, "resting", cJSON_Duplicate(all->found, true));
    cli_answer_row(r, row);
  } else if (!r->gone) {
    cJSON_ArrayForEach(item, all->found)
    {
      cli_attach(r, da_slice_of(cJSON_GetStringValue(item)));
    }
  }
  state->asking--;
  cli_run_settle(r);
}

static void resumed(da_op *op)
{
  roots *all = op->call_argument;
  cJSON *found = all->found;
  cJSON *missing = all->missing;
  cJSON *damaged = all->damaged;
  if (!run_op_failed(op)) {
    cli_answer_damaged(op->user, damaged);
    damaged = NULL;
    resume_found(op->user, all);
    da_op_delete(op);
  }
  cJSON_Delete(found);
  cJSON_Delete(missing);
  cJSON_Delete(damaged);
}

void cli_serve_resume(cli_request *r)
{
  cli_run_state *state = da_arena_zalloc(&r->arena, sizeof *state);
  r->state = state;
  r->on_gone = cli_follow_gone;
  state->asking = 1;
  if (da_json_flag(r->json, "all")) da_worker_drive(r->service->worker, true);
  roots all = {.ids = da_json_get(r->json, "ids")};
  da_sched_submit(r->service->sched, cli_request_call(r, read_roots, &all, sizeof all, resumed), false);
}
