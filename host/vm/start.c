/* start.c - what is asked of executions by id: start, attach, follow, cancel.
 *
 * Each is an op of its own that outlives nothing: it holds a reference to the worker, and a worker that is closing
 * answers with DA_ECLOSED, or not at all where no answer was promised.
 * Threads: the loop thread; da_worker_root_request() and da_cancel_op() from any.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "far.h"
#include "fault.h"

/* The answer to an op's first request, or NULL when the op failed. */
static const da_reply *first_reply(const da_op *op)
{
  return op->status == DA_OK ? &op->outcomes[0].reply : NULL;
}

/* ---- starting ------------------------------------------------------------------------------------------ */

typedef struct start_request {
  da_worker *worker; /* a reference */
  da_slice id, func, args;
  int64_t version;
  da_digest bundle;
  da_worker_started *done;
  void *user;
} start_request;

static void submit_start(start_request *start, da_op *op, void (*done)(da_op *op))
{
  da_worker_ref(start->worker);
  op->call_argument = start;
  op->done = done;
  da_sched_submit(start->worker->sched, op, false);
}

static void end_start(da_op *op)
{
  da_worker *worker = ((start_request *)op->call_argument)->worker;
  da_op_delete(op);
  da_worker_unref(worker);
}

static void tell_failed(const start_request *start, const da_op *op)
{
  da_err err = op->err;
  if (op->status != DA_OK)
    start->done(start->user, NULL, false, op->status, &err);
  else
    start->done(start->user, NULL, false, da_fail(&err, DA_ECLOSED, "the program is ending"), &err);
}

static void tell_started(const start_request *start, const da_reply *reply, bool created)
{
  da_err err = {{0}};
  if (reply->status == 200)
    start->done(start->user, reply->promise, created, DA_OK, NULL);
  else
    start->done(start->user, NULL, false, da_fail(&err, DA_EINVAL, "%.*s", DA_FMT(reply->message)), &err);
}

static void given_back(da_op *op)
{
  da_worker *worker = op->user;
  const da_request *request = &op->requests[0];
  if (op->status == DA_EFULL && !worker->closing) da_retreat_release(worker, request->id, request->version, 1000);
  da_op_delete(op);
  worker->giving_back--;
  da_far_drained(worker);
  da_worker_unref(worker);
}

void da_start_give_back(da_worker *worker, da_slice id, int64_t version)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_TASK_RELEASE);
  request->id = da_arena_dup(&op->arena, id);
  request->version = version;
  op->done = given_back;
  op->user = worker;
  worker->giving_back++;
  da_worker_ref(worker);
  da_sched_submit(worker->sched, op, false);
}

static void start_made(da_op *op)
{
  const start_request *start = op->call_argument;
  da_worker *worker = start->worker;
  if (op->status != DA_OK || worker->closing) {
    tell_failed(start, op);
    end_start(op);
    return;
  }
  const da_reply *before = &op->outcomes[0].reply, *reply = &op->outcomes[1].reply;
  bool held = reply->status == 200 && reply->task->state == DA_TASK_ACQUIRED;
  if (before->status == 200 && held) /* it was there, waiting for a worker: whoever asked may want something else */
    da_start_give_back(worker, reply->task->id, reply->task->version);
  else if (held)
    da_execution_begin(da_execution_new(worker, start->id), reply->task->version, reply->promise);
  tell_started(start, before->status == 200 ? before : reply, before->status != 200);
  end_start(op);
}

da_request *da_worker_root_request(da_op *op, da_req_kind kind, const da_root *root)
{
  da_request *request = da_op_request(op, kind);
  da_pair *tags = da_arena_alloc(&op->arena, (5 + root->tags.count) * sizeof *tags);
  da_slice id = da_arena_dup(&op->arena, root->id);
  tags[0] = (da_pair){DA_LIT("resonate:branch"), id};
  tags[1] = (da_pair){DA_LIT("resonate:origin"), da_id_root(id)};
  tags[2] = (da_pair){DA_LIT("resonate:parent"), id};
  tags[3] = (da_pair){DA_LIT("resonate:scope"), DA_LIT("global")};
  tags[4] = (da_pair){DA_LIT("resonate:target"), da_arena_dup(&op->arena, root->target)};
  request->id = id;
  request->timeout_at = DA_TIME_MAX;
  for (size_t i = 0; i < root->tags.count; i++)
    tags[5 + i] = (da_pair){da_arena_dup(&op->arena, root->tags.items[i].key),
                            da_arena_dup(&op->arena, root->tags.items[i].value)};
  request->tags = (da_map){tags, 5 + root->tags.count};
  request->param = da_call_param(&op->arena, root->func, root->args, root->version);
  request->no_preload = true;
  request->call = (da_call){.kind = DA_CALL_ROOT,
                            .func = da_arena_dup(&op->arena, root->func),
                            .args = da_hash128(root->args),
                            .has_bundle = root->bundle != NULL};
  if (root->bundle != NULL) request->call.bundle = *root->bundle;
  da_deadline_root(op, request, root->deadline_at);
  da_deadline_delay(op, request, root->delay_at);
  return request;
}

static start_request *copy_start(da_op *op, const start_request *start)
{
  start_request *copy = da_arena_alloc(&op->arena, sizeof *copy);
  *copy = *start;
  copy->id = da_arena_dup(&op->arena, start->id);
  copy->func = da_arena_dup(&op->arena, start->func);
  copy->args = da_arena_dup(&op->arena, start->args);
  return copy;
}

void da_worker_start(da_worker *worker, da_slice id, da_slice func, int64_t version, da_slice args,
                     const da_bundle *bundle, da_worker_started *done, void *user)
{
  da_worker_start_until(worker, id, func, version, args, (da_map){0}, bundle, 0, done, user);
}

void da_worker_start_until(da_worker *worker, da_slice id, da_slice func, int64_t version, da_slice args, da_map tags,
                           const da_bundle *bundle, int64_t deadline_at, da_worker_started *done, void *user)
{
  const start_request start = {.worker = worker,
                               .id = id,
                               .func = func,
                               .args = args,
                               .version = version,
                               .bundle = bundle->hash,
                               .done = done,
                               .user = user};
  da_worker_admit(worker, da_id_root(id));
  da_op *op = da_op_new();
  start_request *copy = copy_start(op, &start);
  da_op_request(op, DA_REQ_PROMISE_GET)->id = copy->id;
  const da_root root = {.target = worker->options.targets[0],
                        .id = copy->id,
                        .func = copy->func,
                        .args = copy->args,
                        .version = copy->version,
                        .deadline_at = deadline_at,
                        .bundle = &copy->bundle,
                        .tags = tags};
  da_request *request = da_worker_root_request(op, DA_REQ_TASK_CREATE, &root);
  request->pid = worker->pid;
  request->ttl = DA_TIME_MAX;
  submit_start(copy, op, start_made);
}

/* ---- delayed ---------------------------------------------------------------------------------------- */

bool da_worker_delayed(const da_promise *promise)
{
  int64_t at = da_deadline_instant(promise, "resonate:delay");
  return promise->state == DA_PENDING && at < DA_TIME_MAX && at > da_clock_now_ms();
}

/* ---- attaching ----------------------------------------------------------------------------------------- */

/* A task reached from the one asked for by way of what each waits for. */
typedef struct reached {
  da_slice id;
  int64_t version;
  bool pending;
  da_slice target; /* of a pending one */
  struct reached *next;
} reached;

typedef struct attach_request {
  da_worker *worker; /* a reference */
  da_slice id;
  reached *first; /* also the list still to be walked, oldest first */
  reached **end;
  da_table seen;
} attach_request;

static void reach(attach_request *attach, da_arena *arena, da_slice id)
{
  if (da_table_get(&attach->seen, id) != NULL) return;
  reached *item = da_arena_zalloc(arena, sizeof *item);
  item->id = id;
  *attach->end = item;
  attach->end = &item->next;
  (void)da_table_put(&attach->seen, item->id, item);
}

static int reach_awaited(attach_request *attach, da_view *view, da_arena *arena, const reached *item)
{
  da_wait at = {.kind = DA_WAIT_AWAITED, .first = item->id, .second = DA_NONE}, row;
  int found;
  while ((found = view->ops->wait_next(view, &at, arena, &row)) > 0) {
    reach(attach, arena, row.second);
    at = row;
  }
  return found;
}

static int read_target(da_view *view, da_arena *arena, reached *item)
{
  da_promise promise;
  int found = view->ops->promise(view, item->id, arena, &promise);
  const da_slice *target = found > 0 ? da_map_get(promise.tags, DA_LIT("resonate:target")) : NULL;
  if (target != NULL) item->target = *target;
  if (found > 0 && item->version == 0 && da_worker_delayed(&promise))
    item->pending = false; /* a message will begin it */
  return found;
}

/* On the store thread. */
static da_status walk_awaited(da_store *store, da_op *op, da_err *err)
{
  attach_request *attach = op->call_argument;
  da_view *view = da_store_view(store);
  int found = 0;
  attach->end = &attach->first;
  reach(attach, &op->arena, attach->id);
  for (reached *item = attach->first; item != NULL && found >= 0; item = item->next) {
    da_task task;
    found = view->ops->task(view, item->id, &op->arena, &task);
    if (found <= 0) continue;
    item->version = task.version;
    item->pending = task.state == DA_TASK_PENDING;
    if (item->pending) found = read_target(view, &op->arena, item);
    if (task.state == DA_TASK_SUSPENDED) found = reach_awaited(attach, view, &op->arena, item);
  }
  da_table_free(&attach->seen);
  return found >= 0 ? DA_OK : da_fail(err, (da_status)found, "%s", da_store_fault_words(store));
}

static void note_attached(da_worker *worker, da_slice id)
{
  if (worker->driving_all || da_table_get(&worker->attached, id) != NULL) return;
  da_slice *key = da_arena_alloc(&worker->arena, sizeof *key);
  *key = da_arena_dup(&worker->arena, id);
  (void)da_table_put(&worker->attached, *key, key);
}

static void attach_walked(da_op *op)
{
  const attach_request *attach = op->call_argument;
  da_worker *worker = attach->worker;
  if (op->status == DA_EFULL && !worker->closing) { /* it read only, and shared the fate of its batch */
    da_worker_dispatch(worker, attach->id);
  } else if (op->status == DA_OK && !worker->closing) {
    for (const reached *item = attach->first; item != NULL; item = item->next) {
      da_worker_admit(worker, da_id_root(item->id));
      note_attached(worker, item->id);
      if (!item->pending || da_table_get(&worker->executions, item->id) != NULL) continue;
      if (da_worker_group(worker, item->target) == NULL)
        da_group_tell_unserved(worker, item->id, item->target);
      else
        da_execution_claim(da_execution_new(worker, item->id), item->version);
    }
  }
  da_op_delete(op);
  da_worker_unref(worker);
}

void da_worker_dispatch(da_worker *worker, da_slice id)
{
  if (da_is_far(worker)) return; /* its server sees to that */
  da_op *op = da_op_new();
  attach_request *attach = da_arena_zalloc(&op->arena, sizeof *attach);
  attach->worker = worker;
  attach->id = da_arena_dup(&op->arena, id);
  op->call = walk_awaited;
  op->call_argument = attach;
  op->done = attach_walked;
  da_worker_ref(worker);
  da_worker_admit(worker, da_id_root(id));
  da_sched_submit(worker->sched, op, false);
}

void da_start_attach(da_worker *worker, da_slice id)
{
  if (!worker->driving_all && da_table_get(&worker->attached, id) == NULL) da_worker_dispatch(worker, id);
}

/* ---- following ----------------------------------------------------------------------------------------- */

typedef struct da_follow {
  char *id;
  void (*fn)(void *user, const da_promise *promise);
  void *user;
  struct da_follow *next;
} da_follow;

static void free_follow(da_follow *follow)
{
  free(follow->id);
  free(follow);
}

void da_start_tell_follows(da_worker *worker, const da_promise *promise)
{
  da_follow *follow = da_table_remove(&worker->follows, promise->id);
  while (follow != NULL) {
    da_follow *next = follow->next;
    follow->fn(follow->user, promise);
    free_follow(follow);
    follow = next;
  }
}

bool da_worker_unfollow(da_worker *worker, da_slice id, const void *user)
{
  da_follow *first = da_table_get(&worker->follows, id);
  da_follow **at = &first;
  while (*at != NULL && (*at)->user != user) at = &(*at)->next;
  da_follow *found = *at;
  if (found == NULL) return false;
  *at = found->next;
  (void)da_table_remove(&worker->follows, id); /* the key is one of theirs */
  if (first != NULL) (void)da_table_put(&worker->follows, da_slice_of(first->id), first);
  free_follow(found);
  return true;
}

void da_start_free_follows(da_worker *worker)
{
  void *value;
  for (size_t i = 0; da_table_next(&worker->follows, &i, &value);)
    for (da_follow *follow = value, *next; follow != NULL; follow = next) {
      next = follow->next;
      free_follow(follow);
    }
  da_table_free(&worker->follows);
}

static void ask_promise(da_worker *worker, da_follow *follow);

static void keep_follow(da_worker *worker, da_follow *follow)
{
  da_slice id = da_slice_of(follow->id);
  follow->next = da_table_get(&worker->follows, id);
  (void)da_table_put(&worker->follows, id, follow);
}

static void follow_found(da_op *op)
{
  da_follow *follow = op->user;
  da_worker *worker = op->call_argument;
  const da_reply *reply = first_reply(op);
  if (worker->closing) {
    free_follow(follow);
  } else if (op->status == DA_EFULL) {
    ask_promise(worker, follow);
  } else if (reply != NULL && reply->status == 200 && reply->promise->state == DA_PENDING) {
    keep_follow(worker, follow);
  } else {
    follow->fn(follow->user, reply != NULL && reply->status == 200 ? reply->promise : NULL);
    free_follow(follow);
  }
  da_op_delete(op);
  da_worker_unref(worker);
}

static void ask_promise(da_worker *worker, da_follow *follow)
{
  da_op *op = da_op_new();
  da_op_request(op, DA_REQ_PROMISE_GET)->id = da_arena_dup(&op->arena, da_slice_of(follow->id));
  op->user = follow;
  op->call_argument = worker;
  op->done = follow_found;
  da_worker_ref(worker);
  da_sched_submit(worker->sched, op, false);
}

void da_worker_follow(da_worker *worker, da_slice id, void (*fn)(void *user, const da_promise *promise), void *user)
{
  da_follow *follow = da_xcalloc(1, sizeof *follow);
  follow->id = da_xstrndup(id);
  follow->fn = fn;
  follow->user = user;
  ask_promise(worker, follow);
}

/* ---- cancelling ---------------------------------------------------------------------------------------- */

da_slice da_cancel_id(da_arena *arena, da_slice id)
{
  char separator = da_id_separator(id);
  da_slice parts[3] = {id, da_slice_make(&separator, 1), DA_LIT("~cancel")};
  return da_arena_join(arena, parts, 3);
}

static void put_reason(da_op *op, da_request *settle, da_slice json)
{
  settle->value = (da_value){.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, json)};
}

static void add_mark(da_op *op, da_slice id, da_slice mark)
{
  da_request *create = da_op_request(op, DA_REQ_PROMISE_CREATE);
  da_pair *tags = da_arena_alloc(&op->arena, 4 * sizeof *tags);
  tags[0] = (da_pair){DA_LIT("resonate:branch"), id};
  tags[1] = (da_pair){DA_LIT("resonate:origin"), da_id_root(id)};
  tags[2] = (da_pair){DA_LIT("resonate:parent"), id};
  tags[3] = (da_pair){DA_LIT("resonate:scope"), DA_LIT("global")};
  create->id = mark;
  create->timeout_at = DA_TIME_MAX;
  create->tags = (da_map){tags, 4};
  create->call.kind = DA_CALL_MARK;
}

da_op *da_cancel_op(da_slice id, da_slice why)
{
  da_op *op = da_op_new();
  op->stop_at_refusal = true;
  id = da_arena_dup(&op->arena, id);
  da_slice mark = da_cancel_id(&op->arena, id);
  da_op_request(op, DA_REQ_PROMISE_GET)->id = id;
  add_mark(op, id, mark);
  da_request *callback = da_op_request(op, DA_REQ_PROMISE_REGISTER_CALLBACK);
  callback->id = mark;
  callback->awaiter = id;
  da_request *settle = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  da_buf json = {0};
  da_fault_string(&json, why.len != 0 ? why : DA_LIT("canceled"));
  settle->id = mark;
  settle->state = DA_RESOLVED;
  put_reason(op, settle, da_buf_slice(&json));
  da_buf_free(&json);
  return op;
}

/* Its task, which nobody ever held, is claimed by its first version and ended in one. */
da_op *da_cancel_unbegun_op(da_slice id, da_slice why)
{
  da_op *op = da_op_new();
  op->stop_at_refusal = true;
  da_request *acquire = da_op_request(op, DA_REQ_TASK_ACQUIRE);
  acquire->id = da_arena_dup(&op->arena, id);
  acquire->version = 0;
  acquire->pid = DA_LIT("local/cancel");
  acquire->ttl = DA_TIME_MAX;
  acquire->no_preload = true;
  da_slice own = acquire->id;
  da_request *fulfill = da_op_request(op, DA_REQ_TASK_FULFILL);
  da_buf json = {0};
  da_fault_json(&json, "canceled", why.len != 0 ? why : DA_LIT("canceled"));
  fulfill->id = own;
  fulfill->version = 1;
  fulfill->state = DA_CANCELED;
  put_reason(op, fulfill, da_buf_slice(&json));
  da_buf_free(&json);
  return op;
}

typedef struct cancel_request {
  void (*done)(void *user, int status);
  void *user;
  da_sched *sched;
  da_slice id, why; /* of the op */
  int status;
} cancel_request;

static void tell_cancel(da_op *op, const cancel_request *request)
{
  if (request->done != NULL) request->done(request->user, request->status);
  da_op_delete(op);
}

static void unbegun_ended(da_op *op)
{
  tell_cancel(op, op->user);
}

static void cancel_done(da_op *op)
{
  cancel_request *request = op->user;
  request->status = 503;
  if (op->status == DA_OK) {
    const da_reply *target = &op->outcomes[0].reply;
    request->status = target->status == 200 && target->promise->state != DA_PENDING ? 409 : target->status;
    if (target->status == 200 && da_worker_delayed(target->promise)) {
      da_op *end = da_cancel_unbegun_op(request->id, request->why);
      cancel_request *copy = da_arena_alloc(&end->arena, sizeof *copy);
      *copy = *request;
      end->user = copy;
      end->done = unbegun_ended;
      da_op_delete(op);
      da_sched_submit(copy->sched, end, false);
      return;
    }
  }
  tell_cancel(op, request);
}

void da_worker_cancel(da_sched *sched, da_slice id, da_slice why, void (*done)(void *user, int status), void *user)
{
  da_op *op = da_cancel_op(id, why);
  cancel_request *state = da_arena_alloc(&op->arena, sizeof *state);
  *state = (cancel_request){.done = done,
                            .user = user,
                            .sched = sched,
                            .id = da_arena_dup(&op->arena, id),
                            .why = da_arena_dup(&op->arena, why)};
  op->user = state;
  op->done = cancel_done;
  da_sched_submit(sched, op, false);
}
