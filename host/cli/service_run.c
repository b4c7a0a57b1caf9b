/* service_run.c - run, start, resume: beginning an execution or attaching to it, and following it to its end.
 *
 * A request follows one execution or many. A following ends when its promise is settled, or when its lineage has come
 * to a stop: something in it is parked, nothing in it runs and no timer of it is set.
 *
 *     asked --script loaded, function chosen--> starting --new--> following --settled or stopped--> told
 *                                                  +--there already, same call--> attaching --lineage read--> following
 *                                                  +--there already, other call--> refused
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../../bindings/bind_text.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "cli.h"
#include "event.h"
#include "service.h"
#include "text.h"
#include "value.h"

enum { RESTING_TOLD = 4, RESTING_SEEN = 200, ROOTS_MAX = 10000 };

struct cli_following {
  cli_request *r; /* NULL: nothing more is told of it; the worker still knows it until its promise settles */
  cli_service *service;
  da_slice id; /* owned */
  da_slice root;
  bool parked;   /* something of the lineage is */
  bool checking; /* an op asks whether it has stopped */
  bool settled;  /* the worker's callback came */
  cli_following *prev, *next;
};

/* The handler's state of a run or a resume. */
typedef struct run {
  const char *id; /* in the request's arena, as are the next two */
  const char *func;
  const char *args;
  bool start_only;
  bool no_rest;    /* do not name the resting ones */
  int asking;      /* ops and starts under way: the request cannot end yet */
  size_t followed; /* followings not ended */
} run;

static run *run_of(const cli_request *r)
{
  return r->state;
}

/* A terminated copy that lives as long as the request. */
static const char *text_dup(cli_request *r, da_slice s)
{
  return da_arena_printf(&r->arena, "%.*s", DA_FMT(s)).ptr;
}

/* Ends the request when nothing of it is left. */
static void settle_request(cli_request *r)
{
  run *state = run_of(r);
  if (state->asking > 0 || state->followed > 0) return;
  cli_request_end(r);
}

/* Refuses a request that follows nothing. */
static void refuse_run(cli_request *r, int code, const char *words)
{
  run *state = run_of(r);
  cJSON *row = da_json_object();
  da_json_put_text(row, "error", da_slice_of(words));
  da_json_put_int(row, "code", code);
  cli_answer_row(r, row);
  state->asking--;
  settle_request(r);
}

static bool run_op_failed(da_op *op)
{
  if (op->status == DA_OK) return false;
  const char *words = op->err.text[0] != '\0' ? op->err.text : da_status_text(op->status);
  refuse_run(op->user, CLI_EXIT_FAILED, words);
  da_op_delete(op);
  return true;
}

/* ---- followings ---------------------------------------------------------------------------------------- */

static void drop_following(cli_following *f)
{
  *(f->prev != NULL ? &f->prev->next : &f->service->followings) = f->next;
  if (f->next != NULL) f->next->prev = f->prev;
  free((void *)(uintptr_t)f->id.ptr);
  free(f);
}

void cli_run_destroy(cli_service *service)
{
  while (service->followings != NULL) drop_following(service->followings);
}

/* Nothing more is told of it. The request may end with it. */
static void end_following(cli_following *f)
{
  cli_request *r = f->r;
  f->r = NULL;
  run_of(r)->followed--;
  settle_request(r);
}

static void tell_end(cli_following *f, const char *state, const da_promise *promise, cJSON *row)
{
  da_json_put_text(row, "end", da_slice_of(state));
  da_json_put_text(row, "id", f->id);
  if (promise != NULL) {
    da_buf value = {0};
    cli_value_results(&promise->value, &value);
    da_json_put_text(row, "$value", da_buf_slice(&value));
    da_buf_free(&value);
    da_json_put_int(row, "settledAt", promise->settled_at);
  }
  cli_answer_row(f->r, row);
  end_following(f);
}

static const char *const ends[] = {[DA_PENDING] = "pending",
                                   [DA_RESOLVED] = "resolved",
                                   [DA_REJECTED] = "rejected",
                                   [DA_CANCELED] = "canceled",
                                   [DA_TIMEDOUT] = "timedout"};

static void on_settled(void *user, const da_promise *promise)
{
  cli_following *f = user;
  f->settled = true;
  if (f->r != NULL && promise != NULL) {
    tell_end(f, ends[promise->state], promise, da_json_object());
  } else if (f->r != NULL) {
    cJSON *row = da_json_object();
    da_json_put_text(row, "error", DA_LIT("its record could not be read"));
    da_json_put_int(row, "code", CLI_EXIT_FAILED);
    cli_answer_row(f->r, row);
    end_following(f);
  }
  if (!f->checking) drop_following(f);
}

static void follow(cli_request *r, da_slice id)
{
  cli_following *f = da_xcalloc(1, sizeof *f);
  f->r = r;
  f->service = r->service;
  f->id = da_slice_make(da_xstrndup(id), id.len);
  f->root = da_id_root(f->id);
  f->next = r->service->followings;
  if (f->next != NULL) f->next->prev = f;
  r->service->followings = f;
  run_of(r)->followed++;
  da_worker_follow(r->service->worker, f->id, on_settled, f);
}

static void gone(cli_request *r)
{
  run_of(r)->asking++; /* keeps the request while the list is walked */
  for (cli_following *f = r->service->followings; f != NULL; f = f->next)
    if (f->r == r) end_following(f);
  run_of(r)->asking--;
  settle_request(r);
}

/* ---- has it stopped? ----------------------------------------------------------------------------------- */

typedef struct lineage {
  da_slice root;
  da_store *store;
  da_arena *arena;
  bool moves;        /* something runs, may run, or a timer is set */
  da_slice parked;   /* the first parked function */
  da_slice words;    /* of its mark */
  da_slice *pending; /* functions to be dispatched; heap */
  size_t count, cap;
  int fault;
} lineage;

static void keep_pending(lineage *l, da_slice id)
{
  if (l->count == l->cap) {
    l->cap = l->cap > 0 ? l->cap * 2 : 8;
    l->pending = da_xrealloc(l->pending, l->cap * sizeof *l->pending);
  }
  l->pending[l->count++] = id;
}

static bool visit_lineage(void *user, const da_promise *promise)
{
  lineage *l = user;
  if (promise->state != DA_PENDING) return true;
  if (promise->armed && da_map_get(promise->tags, DA_LIT("resonate:timer")) != NULL) l->moves = true;
  if (da_map_get(promise->tags, DA_LIT("resonate:target")) == NULL) return true;
  da_view *view = da_store_view(l->store);
  da_task task;
  l->fault = view->ops->task(view, promise->id, l->arena, &task);
  if (l->fault < 0) return false;
  if (l->fault == 0) return true;
  if (task.state == DA_TASK_PENDING || task.state == DA_TASK_ACQUIRED) l->moves = true;
  if (task.state == DA_TASK_PENDING) keep_pending(l, promise->id);
  if (task.state != DA_TASK_HALTED || l->parked.len > 0) return true;
  l->parked = promise->id;
  return cli_parked_words(l->store, &task, l->arena, &l->words, NULL) == DA_OK;
}

static da_status read_lineage(da_store *store, da_op *op, da_err *err)
{
  lineage *l = op->call_argument;
  l->store = store;
  l->arena = &op->arena;
  da_status status = da_store_scan_ids(store, l->root, DA_NONE, &op->arena, visit_lineage, l, err);
  if (status == DA_OK && l->fault < 0) status = da_fail(err, (da_status)l->fault, "cannot read a task");
  return status;
}

static void tell_parked(cli_following *f, const lineage *l)
{
  cJSON *row = da_json_object();
  da_json_put_text(row, "parked", l->parked);
  cJSON *words = da_json_parse(l->words, NULL);
  da_slice text = da_json_text(words, "text");
  da_json_put_text(row, "text", text.len > 0 ? text : DA_LIT("it was halted by hand"));
  cJSON_Delete(words);
  tell_end(f, "parked", NULL, row);
}

static void checked(da_op *op)
{
  cli_following *f = op->user;
  lineage *l = op->call_argument;
  f->checking = false;
  f->parked = l->parked.len > 0;
  if (f->r != NULL && op->status == DA_OK && !l->moves && f->parked) tell_parked(f, l);
  if (f->settled) drop_following(f);
  free(l->pending);
  da_op_delete(op);
}

static void check(cli_following *f)
{
  if (f->checking) return;
  f->checking = true;
  lineage l = {.root = f->root};
  da_op *op = cli_request_call(f->r, read_lineage, &l, sizeof l, checked);
  op->user = f;
  da_sched_submit(f->service->sched, op, false);
}

/* ---- events -------------------------------------------------------------------------------------------- */

/* Does an event of this kind mean that a lineage with something parked may have come to a stop? */
static bool may_stop(da_event_kind kind)
{
  return kind == DA_EVENT_PARKED || kind == DA_EVENT_SUSPENDED || kind == DA_EVENT_COMPLETED;
}

static void tell_event(cli_request *r, const da_event *event, uint64_t stamp)
{
  if (r == NULL || r->gone || r->stamp == stamp || r->sink.event == NULL) return;
  r->stamp = stamp;
  r->sink.event(r->sink.user, event);
}

/* To whoever follows the lineage; what nobody follows is told to all that follow anything. */
void cli_run_event(cli_service *service, const da_event *event)
{
  uint64_t stamp = ++service->stamp;
  da_slice root = da_id_root(event->execution);
  bool heard = false;
  for (cli_following *f = service->followings, *next; f != NULL; f = next) {
    next = f->next;
    if (f->r == NULL || !da_slice_eq(f->root, root)) continue;
    heard = true;
    tell_event(f->r, event, stamp);
    if (event->kind == DA_EVENT_PARKED) f->parked = true;
    if (f->parked && may_stop(event->kind)) check(f); /* the request is there: telling an event ends none */
  }
  if (heard) return;
  for (cli_request *r = service->requests; r != NULL; r = r->next)
    if (r->on_gone == gone) tell_event(r, event, stamp);
}

bool cli_run_drives(const cli_service *service, da_slice id)
{
  for (const cli_following *f = service->followings; f != NULL; f = f->next)
    if (da_slice_eq(f->root, da_id_root(id))) return true;
  return false;
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

static choice read_functions(cli_request *r)
{
  choice c = {0};
  c.functions = da_worker_functions(r->service->worker, r->bundle, &c.count);
  for (size_t i = 0; i < c.count; i++)
    if (c.functions[i].workflow) c.workflows++;
  for (size_t i = 0; i < c.count; i++) {
    const da_function *f = &c.functions[i];
    if (f->workflow && (c.workflows == 1 || da_slice_eq(f->name, DA_LIT("main")))) c.only = f;
  }
  return c;
}

static const da_function *find_function(const choice *c, da_slice name)
{
  for (size_t i = 0; i < c->count; i++)
    if (da_slice_eq(c->functions[i].name, name)) return &c->functions[i];
  return NULL;
}

static void list_workflows(const choice *c, da_buf *out)
{
  const char *comma = "";
  for (size_t i = 0; i < c->count; i++) {
    if (!c->functions[i].workflow) continue;
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
  bool several = c->workflows > 1;
  if (c->only != NULL && !(several && looks_like_name(operand))) return c->only;
  da_buf words = {0};
  if (named != NULL) {
    da_buf_addf(&words, "'%.*s' is a step; workflows are started: ", DA_FMT(operand));
  } else if (looks_like_name(operand)) {
    cli_nearest nearest = {.wanted = operand};
    for (size_t i = 0; i < c->count; i++)
      if (c->functions[i].workflow) cli_nearest_offer(&nearest, c->functions[i].name);
    da_buf_addf(&words, "%.*s defines no workflow '%.*s'", DA_FMT(file), DA_FMT(operand));
    if (nearest.best.len > 0) da_buf_addf(&words, "; did you mean '%.*s'?", DA_FMT(nearest.best));
    da_buf_addf(&words, " It defines ");
  } else {
    da_buf_addf(&words, "%.*s defines several workflows, name one: ", DA_FMT(file));
  }
  list_workflows(c, &words);
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
  run *state = run_of(r);
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
  if (fault != NULL) refuse_run(r, CLI_EXIT_USAGE, fault);
  return fault == NULL;
}

/* ---- attaching ----------------------------------------------------------------------------------------- */

/* False: the record is of another call; refused. */
static bool same_call(cli_request *r, const da_promise *promise)
{
  run *state = run_of(r);
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

static void attached(da_op *op)
{
  cli_following *f = op->user;
  lineage *l = op->call_argument;
  f->checking = false;
  f->parked = l->parked.len > 0;
  if (f->r != NULL && op->status == DA_OK) {
    for (size_t i = 0; i < l->count; i++) da_worker_dispatch(f->service->worker, l->pending[i]);
    if (f->parked && !l->moves) tell_parked(f, l);
  }
  if (f->settled) drop_following(f);
  free(l->pending);
  da_op_delete(op);
}

/* Follows an execution that is there, and has everything of its lineage that waits for a worker dispatched. */
static void attach(cli_request *r, da_slice id)
{
  da_worker_admit(r->service->worker, da_id_root(id));
  follow(r, id);
  cli_following *f = r->service->followings; /* just made */
  f->checking = true;
  lineage l = {.root = f->root};
  da_op *op = cli_request_call(r, read_lineage, &l, sizeof l, attached);
  op->user = f;
  da_sched_submit(r->service->sched, op, false);
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
  run *state = run_of(r);
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
  settle_request(r);
}

static void ask_resting(cli_request *r)
{
  run *state = run_of(r);
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
              "%s keeps the code it started with; %.*s has changed since (workflows run the old code, steps the new)",
              run_of(r)->id, DA_FMT(file));
  da_json_put_text(row, "note", da_buf_slice(&words));
  da_buf_free(&words);
  cli_answer_row(r, row);
}

static void follow_started(cli_request *r, const da_promise *promise, bool created)
{
  run *state = run_of(r);
  bool pending = promise->state == DA_PENDING;
  if (!created && pending) note_old_code(r, promise);
  if (pending && !state->no_rest) ask_resting(r);
  if (created)
    follow(r, da_slice_of(state->id));
  else
    attach(r, da_slice_of(state->id));
}

static void started(void *user, const da_promise *promise, bool created, da_status status, const da_err *err)
{
  cli_request *r = user;
  run *state = run_of(r);
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
  settle_request(r);
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
  const run *state = run_of(r);
  da_op *op = cli_request_op(r, recorded);
  da_slice id = da_slice_of(state->id);
  da_op_request(op, DA_REQ_PROMISE_GET)->id = id;
  (void)da_worker_root_request(op, DA_REQ_PROMISE_CREATE, r->service->target, id, da_slice_of(state->func),
                               da_slice_of(state->args), &r->bundle->hash);
  da_sched_submit(r->service->sched, op, false);
}

static da_bundle *take_bundle(const cJSON *json, da_err *err)
{
  da_slice text = da_json_text(json, "bundle");
  ptrdiff_t len = bind_text_base64_len(text);
  da_bundle *bundle = NULL;
  if (text.len == 0 || len < 0) {
    (void)da_fail(err, DA_EINVAL, "no script came with the request");
    return NULL;
  }
  char *bytes = da_xmalloc((size_t)len + 1);
  if (!bind_text_base64_read(text, bytes))
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
  run *state = da_arena_zalloc(&r->arena, sizeof *state);
  r->state = state;
  r->on_gone = gone;
  state->start_only = da_json_flag(r->json, "start");
  state->no_rest = da_json_flag(r->json, "quiet");
  state->asking = 1;
  da_err err = {{0}};
  if (r->bundle == NULL) r->bundle = take_bundle(r->json, &err);
  if (r->bundle == NULL || da_worker_serve(r->service->worker, r->bundle, &err) != DA_OK) {
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
  da_worker_start(r->service->worker, da_slice_of(state->id), da_slice_of(state->func), da_slice_of(state->args),
                  r->bundle, started, r);
}

/* ---- resume -------------------------------------------------------------------------------------------- */

typedef struct roots {
  const cJSON *ids; /* wanted, borrowed from the request; NULL: all */
  cJSON *found;
  cJSON *missing;
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
  if (all->ids == NULL) return cli_scan_roots(store, DA_NONE, &op->arena, visit_unfinished, all, err);
  da_view *view = da_store_view(store);
  const cJSON *item;
  cJSON_ArrayForEach(item, all->ids)
  {
    da_slice id = da_slice_of(cJSON_GetStringValue(item));
    da_promise promise;
    int found = view->ops->promise(view, id, &op->arena, &promise);
    if (found < 0) return da_fail(err, (da_status)found, "cannot read '%.*s'", DA_FMT(id));
    bool function = found > 0 && da_map_get(promise.tags, DA_LIT("resonate:target")) != NULL;
    da_json_add(function ? all->found : all->missing, da_json_string(id));
  }
  return DA_OK;
}

static void resume_found(cli_request *r, const roots *all)
{
  run *state = run_of(r);
  const cJSON *item;
  if (cJSON_GetArraySize(all->missing) > 0) {
    const char *id = cJSON_GetStringValue(cJSON_GetArrayItem(all->missing, 0));
    da_err err = {{0}};
    (void)da_fail(&err, DA_ENOTFOUND, "no execution '%s' in %s", id, r->service->place);
    refuse_run(r, CLI_EXIT_REJECTED, err.text);
    return;
  }
  if (!da_json_flag(r->json, "all") && all->ids == NULL) { /* the asker wants to know what there is */
    cJSON *row = da_json_object();
    da_json_put(row, "resting", cJSON_Duplicate(all->found, true));
    cli_answer_row(r, row);
  } else if (!r->gone) {
    cJSON_ArrayForEach(item, all->found)
    {
      attach(r, da_slice_of(cJSON_GetStringValue(item)));
    }
  }
  state->asking--;
  settle_request(r);
}

static void resumed(da_op *op)
{
  roots *all = op->call_argument;
  cJSON *found = all->found;
  cJSON *missing = all->missing;
  if (!run_op_failed(op)) {
    resume_found(op->user, all);
    da_op_delete(op);
  }
  cJSON_Delete(found);
  cJSON_Delete(missing);
}

void cli_serve_resume(cli_request *r)
{
  run *state = da_arena_zalloc(&r->arena, sizeof *state);
  r->state = state;
  r->on_gone = gone;
  state->asking = 1;
  if (da_json_flag(r->json, "all")) da_worker_drive(r->service->worker, true);
  roots all = {.ids = da_json_get(r->json, "ids")};
  da_sched_submit(r->service->sched, cli_request_call(r, read_roots, &all, sizeof all, resumed), false);
}
