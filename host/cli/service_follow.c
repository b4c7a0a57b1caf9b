/* service_follow.c - following executions: what they do is told to whoever asked, until they end.
 *
 * A following ends when its promise is settled, or when its lineage has come to a stop: something in it is parked,
 * nothing in it runs and no timer of it is set. Whoever attaches to an execution that was there before is first told
 * what is known of it, as events: from the model if it is driven here, else from the records.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/id.h"
#include "cli.h"
#include "event.h"
#include "service_run.h"
#include "value.h"

enum {
  KNOWN_MAX = 5000, /* records told to who attaches; beyond it the tree is cut */
  DETACHED_TOLD = 4 /* ids of what goes on behind an end */
};

struct cli_following {
  cli_request *r; /* NULL: nothing more is told of it; the worker still knows it until its promise settles */
  cli_service *service;
  da_slice id; /* owned */
  da_slice root;
  bool parked;   /* something of the lineage is */
  bool checking; /* an op reads its lineage */
  bool again;    /* it is to be read once more */
  bool settled;  /* the worker's callback came */
  cli_following *prev, *next;
};

/* ---- followings ---------------------------------------------------------------------------------------- */

/* Who serves all keeps of the model what is followed. */
static void forget_unfollowed(cli_service *service, da_slice root)
{
  if (service->serves && !cli_run_follows(service, root)) cli_model_forget(&service->model, root);
}

void cli_run_settle(cli_request *r)
{
  const cli_run_state *state = cli_run_of(r);
  cli_service *service = r->service;
  if (state->asking > 0 || state->followed > 0) return;
  char *started = state->id != NULL ? da_xstrndup(da_id_root(da_slice_of(state->id))) : NULL;
  cli_request_end(r);
  if (started != NULL) forget_unfollowed(service, da_slice_of(started)); /* events came while it began */
  free(started);
}

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
  cli_service *service = f->service;
  f->r = NULL;
  cli_run_of(r)->followed--;
  cli_run_settle(r);
  /* Who serves all need not know who once followed what: an execution may last for years. */
  if (service->serves && da_worker_unfollow(service->worker, f->id, f)) f->settled = true;
  forget_unfollowed(service, f->root);
}

/* What the execution detached, at any depth, and that has not ended: by what this process knows of it. */
static void add_detached(const cli_following *f, cJSON *row)
{
  if (da_id_rest(f->id).len > 0) return;
  da_arena arena = {0};
  da_slice begin = da_arena_join(&arena, (da_slice[]){f->id, DA_LIT("~")}, 2);
  cJSON *ids = da_json_array();
  for (const cli_node *node = NULL; (node = cli_model_next(&f->service->model, node)) != NULL;)
    if (node->call == DA_CALL_WORKFLOW && node->end_ns == 0 && da_id_rest(node->id).len == 0 &&
        da_slice_starts(node->id, begin) && !cli_run_follows(f->service, node->id) &&
        cJSON_GetArraySize(ids) < DETACHED_TOLD)
      da_json_add(ids, da_json_string(node->id));
  if (cJSON_GetArraySize(ids) > 0)
    da_json_put(row, "detached", ids);
  else
    cJSON_Delete(ids);
  da_arena_free(&arena);
}

static void tell_end(cli_following *f, const char *state, const da_promise *promise, cJSON *row)
{
  da_json_put_text(row, "end", da_slice_of(state));
  da_json_put_text(row, "id", f->id);
  add_detached(f, row);
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

static void tell_failure(cli_following *f, const char *words)
{
  cJSON *row = da_json_object();
  da_json_put_text(row, "error", da_slice_of(words));
  da_json_put_int(row, "code", CLI_EXIT_FAILED);
  cli_answer_row(f->r, row);
  end_following(f);
}

static const char *const ends[] = {[DA_PENDING] = "pending",
                                   [DA_RESOLVED] = "resolved",
                                   [DA_REJECTED] = "rejected",
                                   [DA_CANCELED] = "canceled",
                                   [DA_TIMEDOUT] = "timedout"};

/* Is it the error that its own deadline raised, or one that came of it? */
static bool is_timed_out(const da_promise *promise)
{
  if (promise->state != DA_REJECTED || promise->settled_at < da_deadline_of(promise)) return false;
  da_buf value = {0}, text = {0}, code = {0};
  cli_value_results(&promise->value, &value);
  cli_value_error_text(da_buf_slice(&value), &text, &code);
  bool timed_out = da_slice_eq(da_buf_slice(&code), DA_LIT("timedout"));
  da_buf_free(&value);
  da_buf_free(&text);
  da_buf_free(&code);
  return timed_out;
}

static void on_settled(void *user, const da_promise *promise)
{
  cli_following *f = user;
  f->settled = true;
  if (f->r != NULL && promise != NULL) {
    tell_end(f, ends[is_timed_out(promise) ? DA_TIMEDOUT : promise->state], promise, da_json_object());
  } else if (f->r != NULL) {
    da_buf words = {0};
    da_buf_addf(&words, "%.*s: its record could not be read", DA_FMT(f->id));
    da_buf_add_byte(&words, '\0');
    tell_failure(f, words.ptr);
    da_buf_free(&words);
  }
  if (!f->checking) drop_following(f);
}

void cli_follow(cli_request *r, da_slice id)
{
  cli_following *f = da_xcalloc(1, sizeof *f);
  f->r = r;
  f->service = r->service;
  f->id = da_slice_make(da_xstrndup(id), id.len);
  f->root = da_id_root(f->id);
  f->next = r->service->followings;
  if (f->next != NULL) f->next->prev = f;
  r->service->followings = f;
  cli_run_of(r)->followed++;
  da_worker_follow(r->service->worker, f->id, on_settled, f);
}

void cli_follow_gone(cli_request *r)
{
  cli_run_of(r)->asking++; /* keeps the request while the list is walked */
  for (cli_following *f = r->service->followings, *next; f != NULL; f = next) {
    next = f->next;
    if (f->r != r) continue;
    end_following(f);
    if (f->settled && !f->checking) drop_following(f);
  }
  cli_run_of(r)->asking--;
  cli_run_settle(r);
}

/* ---- reading a lineage --------------------------------------------------------------------------------- */

/* What the records below a root say: whether it moves, what is parked, what waits for a worker, and, if wanted, the
 * same as events. */
typedef struct lineage {
  da_slice root;
  bool tell;
  da_store *store;
  da_arena *arena;
  bool moves;        /* something runs, or may run */
  bool timers;       /* a timer is set */
  da_slice parked;   /* the first parked function */
  da_slice words;    /* of its mark */
  da_slice *pending; /* functions to be dispatched; heap */
  size_t count, cap;
  da_event *events; /* heap; their slices lie in the arena */
  size_t event_count, event_cap;
  int fault;
} lineage;

static void free_lineage(lineage *l)
{
  free(l->pending);
  free(l->events);
}

static void keep_pending(lineage *l, da_slice id)
{
  if (l->count == l->cap) {
    l->cap = l->cap > 0 ? l->cap * 2 : 8;
    l->pending = da_xrealloc(l->pending, l->cap * sizeof *l->pending);
  }
  l->pending[l->count++] = id;
}

static void keep_event(lineage *l, const da_event *event)
{
  if (!l->tell || l->event_count == KNOWN_MAX) return;
  if (l->event_count == l->event_cap) {
    l->event_cap = l->event_cap > 0 ? l->event_cap * 2 : 16;
    l->events = da_xrealloc(l->events, l->event_cap * sizeof *l->events);
  }
  l->events[l->event_count++] = *event;
}

/* As if the call had been met on a replay. */
static void keep_call(lineage *l, const da_promise *promise)
{
  if (da_slice_eq(promise->id, l->root) || promise->call.kind == DA_CALL_MARK) return;
  da_event event = {.kind = DA_EVENT_REPLAYED,
                    .execution = l->root,
                    .child = promise->id,
                    .call = promise->call.kind,
                    .func = promise->call.func,
                    .state = promise->state,
                    .branch = promise->call.kind == DA_CALL_WORKFLOW || promise->call.kind == DA_CALL_BRANCH,
                    .at_ms = promise->call.kind == DA_CALL_SLEEP ? promise->timeout_at : 0};
  keep_event(l, &event);
}

static void keep_suspended(lineage *l, const da_promise *promise)
{
  da_view *view = da_store_view(l->store);
  da_wait first = {.kind = DA_WAIT_AWAITED, .first = promise->id};
  da_wait wait;
  da_promise awaited;
  da_event event = {.kind = DA_EVENT_SUSPENDED, .execution = promise->id, .func = promise->call.func};
  if (!l->tell || view->ops->wait_next(view, &first, l->arena, &wait) <= 0) return;
  event.child = wait.second;
  if (view->ops->promise(view, wait.second, l->arena, &awaited) > 0) {
    event.call = awaited.call.kind;
    event.at_ms = awaited.timeout_at;
  }
  keep_event(l, &event);
}

static da_slice parked_text(da_slice words, da_arena *arena)
{
  cJSON *json = da_json_parse(words, NULL);
  da_slice text = da_json_text(json, "text");
  text = da_arena_dup(arena, text.len > 0 ? text : DA_LIT("it was halted by hand"));
  cJSON_Delete(json);
  return text;
}

static void visit_task(lineage *l, const da_promise *promise, const da_task *task)
{
  switch (task->state) {
  case DA_TASK_PENDING:
    if (task->version == 0 && da_worker_delayed(promise)) {
      l->timers = true;
      break;
    }
    keep_pending(l, promise->id);
    l->moves = true;
    break;
  case DA_TASK_ACQUIRED:
    l->moves = true;
    break;
  case DA_TASK_SUSPENDED:
    keep_suspended(l, promise);
    break;
  case DA_TASK_HALTED: {
    da_slice words = DA_NONE;
    da_status status = cli_parked_words(l->store, task, l->arena, &words, NULL);
    if (status != DA_OK) l->fault = status;
    da_event event = {.kind = DA_EVENT_PARKED, .execution = promise->id, .func = promise->call.func};
    event.text = parked_text(words, l->arena);
    keep_event(l, &event);
    if (l->parked.len == 0) {
      l->parked = promise->id;
      l->words = event.text;
    }
    break;
  }
  case DA_TASK_FULFILLED:
    break;
  }
}

static bool visit_lineage(void *user, const da_promise *promise)
{
  lineage *l = user;
  keep_call(l, promise);
  if (promise->state != DA_PENDING) return true;
  if (promise->armed && da_map_get(promise->tags, DA_LIT("resonate:timer")) != NULL) l->timers = true;
  if (da_map_get(promise->tags, DA_LIT("resonate:target")) == NULL) return true;
  da_view *view = da_store_view(l->store);
  da_task task;
  int found = view->ops->task(view, promise->id, l->arena, &task);
  if (found < 0) l->fault = found;
  if (found > 0) visit_task(l, promise, &task);
  return l->fault == 0;
}

static da_status read_lineage(da_store *store, da_op *op, da_err *err)
{
  lineage *l = op->call_argument;
  l->store = store;
  l->arena = &op->arena;
  da_status status = da_store_scan_ids(store, l->root, DA_NONE, &op->arena, visit_lineage, l, err);
  if (status == DA_OK && l->fault < 0) status = da_fail(err, (da_status)l->fault, "%s", da_store_fault_words(store));
  return status;
}

static void ask_lineage(cli_following *f, bool tell, void (*done)(da_op *op))
{
  f->checking = true;
  lineage l = {.root = f->root, .tell = tell};
  da_op *op = cli_request_call(f->r, read_lineage, &l, sizeof l, done);
  op->user = f;
  da_sched_submit(f->service->sched, op, false);
}

static void check(cli_following *f);

/* Nothing can happen any more that brings the root to its end. A root that is parked waits for no timer. */
static bool stands_still(const lineage *l)
{
  return !l->moves && (!l->timers || da_slice_eq(l->parked, l->root));
}

/* What both readings end with. The op is deleted. */
static void end_reading(da_op *op)
{
  cli_following *f = op->user;
  lineage *l = op->call_argument;
  f->checking = false;
  f->parked = op->status == DA_OK ? l->parked.len > 0 : f->parked;
  if (op->status == DA_EFULL) f->again = true; /* it read only, and shared the fate of its batch */
  if (f->r != NULL && op->status != DA_OK && op->status != DA_EFULL && op->status != DA_ECLOSED)
    tell_failure(f, op->err.text);
  if (f->r != NULL && op->status == DA_OK && f->parked && stands_still(l)) {
    cJSON *row = da_json_object();
    da_json_put_text(row, "parked", l->parked);
    da_json_put_text(row, "text", l->words);
    tell_end(f, "parked", NULL, row);
  }
  free_lineage(l);
  da_op_delete(op);
  if (f->settled)
    drop_following(f);
  else if (f->again && f->r != NULL)
    check(f);
}

/* ---- has it stopped? ----------------------------------------------------------------------------------- */

static void check(cli_following *f)
{
  f->again = f->checking;
  if (!f->checking) ask_lineage(f, false, end_reading);
}

/* ---- attaching ----------------------------------------------------------------------------------------- */

static void tell_known(cli_following *f, const da_event *event, bool to_model)
{
  cli_request *r = f->r;
  if (to_model) (void)cli_model_tell(&f->service->model, event);
  if (!r->gone && r->sink.event != NULL) r->sink.event(r->sink.user, event);
}

static void tell_node(cli_following *f, const cli_node *node)
{
  da_event event = {.kind = DA_EVENT_REPLAYED,
                    .execution = f->root,
                    .child = node->id,
                    .call = node->call,
                    .func = node->func,
                    .state = node->state,
                    .at_ms = node->due_at};
  if (!da_slice_eq(node->id, f->root)) tell_known(f, &event, false);
  event = (da_event){.execution = node->id, .func = node->func};
  switch (node->activity) {
  case CLI_RUNNING:
    event.kind = DA_EVENT_RESUMED;
    break;
  case CLI_SUSPENDED:
    event.kind = DA_EVENT_SUSPENDED;
    event.child = node->waits;
    break;
  case CLI_STOPPED:
    event.kind = DA_EVENT_PARKED;
    event.text = node->note;
    break;
  case CLI_CALL:
  case CLI_COMPLETED:
    return;
  }
  tell_known(f, &event, false);
}

/* What the model knows by now, this follower has been told as it happened. */
static void attached(da_op *op)
{
  cli_following *f = op->user;
  const lineage *l = op->call_argument;
  if (f->r != NULL && !f->settled && op->status == DA_EFULL) { /* as in end_reading(), but it is to attach */
    bool tell = l->tell;
    free_lineage(op->call_argument);
    da_op_delete(op);
    ask_lineage(f, tell, attached);
    return;
  }
  if (f->r != NULL && !f->settled && op->status == DA_OK) {
    bool known = cli_model_find(&f->service->model, f->root) != NULL;
    for (size_t i = 0; !known && i < l->event_count; i++) tell_known(f, &l->events[i], true);
    da_worker_dispatch(f->service->worker, f->root); /* with what it awaits in other lineages */
    for (size_t i = 0; i < l->count; i++) da_worker_dispatch(f->service->worker, l->pending[i]);
  }
  end_reading(op);
}

void cli_attach(cli_request *r, da_slice id)
{
  const cli_model *model = &r->service->model;
  da_worker_admit(r->service->worker, da_id_root(id));
  cli_follow(r, id);
  cli_following *f = r->service->followings; /* the one just made */
  bool known = cli_model_find(model, f->root) != NULL;
  for (const cli_node *node = NULL; known && (node = cli_model_next(model, node)) != NULL;)
    if (da_slice_eq(da_id_root(node->id), f->root)) tell_node(f, node);
  ask_lineage(f, !known, attached);
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

/* A run whose execution may have begun before the answer to its start is here. */
static bool is_starting(const cli_request *r, da_slice root)
{
  if (r->on_gone != cli_follow_gone) return false;
  const char *id = cli_run_of(r)->id;
  return id != NULL && da_slice_eq(da_id_root(da_slice_of(id)), root);
}

bool cli_run_follows(const cli_service *service, da_slice id)
{
  da_slice root = da_id_root(id);
  for (const cli_following *f = service->followings; f != NULL; f = f->next)
    if (f->r != NULL && da_slice_eq(f->root, root)) return true;
  for (const cli_request *r = service->requests; r != NULL; r = r->next)
    if (is_starting(r, root)) return true;
  return false;
}

/* To whoever follows the lineage; what nobody follows is told to all that follow anything, unless this process serves
 * everybody. */
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
  for (cli_request *r = service->requests; !heard && r != NULL; r = r->next)
    heard = is_starting(r, root) && (tell_event(r, event, stamp), true);
  if (event->execution.len == 0 && service->loading != NULL) {
    tell_event(service->loading, event, stamp);
    return;
  }
  for (cli_request *r = service->requests; !heard && !service->serves && r != NULL; r = r->next)
    if (r->on_gone == cli_follow_gone) tell_event(r, event, stamp);
}

bool cli_run_drives(const cli_service *service, da_slice id)
{
  if (service->serves) return true;
  for (const cli_following *f = service->followings; f != NULL; f = f->next)
    if (da_slice_eq(f->root, da_id_root(id))) return true;
  return false;
}
