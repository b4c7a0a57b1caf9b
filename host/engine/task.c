/* task.c - requests about tasks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "handlers.h"

static const char not_found[] = "Task not found";
static const char not_held[] = "Task version mismatch or invalid state";

/* The task, its promise first settled if it is past its deadline; NULL, with reply 404, if there is none. */
static da_entity *load_task(da_change *c, da_slice id)
{
  da_entity *e = da_settle_load(c, id);
  if (e != NULL && e->has_task) return e;
  da_refuse(&c->out->reply, 404, not_found);
  return NULL;
}

static bool is_held(const da_entity *e, int64_t version)
{
  return e->task.state == DA_TASK_ACQUIRED && e->task.version == version;
}

static void reply_both(da_change *c, da_entity *e)
{
  da_reply *reply = &c->out->reply;
  reply->promise = da_change_show(c, e);
  if (e->has_task) reply->task = &e->task;
}

/* ---- task.get ------------------------------------------------------------------------------------------ */

void da_task_get(da_change *c, const da_request *req)
{
  const da_entity *e = load_task(c, req->id);
  if (e != NULL) c->out->reply.task = &e->task;
}

/* ---- task.create --------------------------------------------------------------------------------------- */

/* The promise is made and its task acquired in one: nobody else can have it, so nobody is told. */
static da_entity *birth_held(da_change *c, da_slice id, const da_request *req)
{
  da_entity *e = da_promise_birth(c, id, req);
  if (e->promise.state == DA_PENDING) da_turn_acquire(c, e, req->pid, req->ttl);
  return e;
}

void da_task_create(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  da_entity *e = da_settle_load(c, req->id);
  bool born_dead = false;
  if (e == NULL) {
    e = birth_held(c, req->id, req);
    born_dead = e->promise.state != DA_PENDING;
  } else if (!e->has_task) {
    da_refuse(reply, 422, "The promise does not have a resonate:target tag");
    return;
  } else if (e->task.state == DA_TASK_PENDING) {
    da_turn_acquire(c, e, req->pid, req->ttl);
  } else if (e->task.state != DA_TASK_FULFILLED) {
    da_refuse(reply, 409, "Already exists");
    return;
  }
  reply_both(c, e);
  if (born_dead)
    reply->has_preload = !req->no_preload; /* nothing to work on: the empty list */
  else
    da_preload(c, req, e, reply);
}

/* ---- task.acquire -------------------------------------------------------------------------------------- */

void da_task_acquire(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  da_entity *e = load_task(c, req->id);
  if (e == NULL) return;
  if (e->task.state != DA_TASK_PENDING) {
    da_refuse(reply, 409, "Task is not pending");
  } else if (e->task.version != req->version) {
    da_refuse(reply, 409, "Version mismatch");
  } else {
    da_turn_acquire(c, e, req->pid, req->ttl);
    reply_both(c, e);
    da_preload(c, req, e, reply);
  }
}

/* ---- task.release -------------------------------------------------------------------------------------- */

void da_task_release(da_change *c, const da_request *req)
{
  da_entity *e = load_task(c, req->id);
  if (e == NULL) return;
  if (is_held(e, req->version))
    da_turn_dispatch(c, e);
  else
    da_refuse(&c->out->reply, 409, not_held);
}

/* ---- task.fulfill -------------------------------------------------------------------------------------- */

void da_task_fulfill(da_change *c, const da_request *req)
{
  da_entity *e = load_task(c, req->id);
  if (e == NULL) return;
  if (!is_held(e, req->version)) {
    da_refuse(&c->out->reply, 409, not_held);
    return;
  }
  da_settle(c, e, req->state, &req->value);
  c->out->reply.promise = da_change_show(c, e);
}

/* ---- task.suspend -------------------------------------------------------------------------------------- */

/* The task's entity, then the awaited ones in order; NULL for each that is absent. Expired ones are settled. */
static da_entity **load_awaits(da_change *c, const da_request *req)
{
  size_t count = req->await_count + 1;
  da_entity **list = da_arena_alloc(c->arena, count * sizeof(da_entity *));
  list[0] = da_change_load(c, req->id);
  for (size_t i = 0; i < req->await_count; i++) list[i + 1] = da_change_load(c, req->awaits[i].awaited);
  da_settle_expired(c, list, count);
  return list;
}

static const char *awaits_fault(const da_change *c, da_entity *const *awaited, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (awaited[i] == NULL) return "Awaited promise not found";
  for (size_t i = 0; i < count && c->env->profile->await_internal_reject; i++)
    if (!da_rule_is_external(&awaited[i]->promise)) return "Awaited promise is not awaitable";
  return NULL;
}

static bool any_settled(da_entity *const *awaited, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (awaited[i]->promise.state != DA_PENDING) return true;
  return false;
}

void da_task_suspend(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  da_entity **list = load_awaits(c, req);
  da_entity *e = list[0], **awaited = list + 1;
  const char *fault = NULL;
  if (e == NULL || !e->has_task) {
    da_refuse(reply, 404, not_found);
  } else if (!is_held(e, req->version)) {
    da_refuse(reply, 409, "Task is not acquired or version mismatch");
  } else if ((fault = awaits_fault(c, awaited, req->await_count)) != NULL) {
    da_refuse(reply, 422, fault);
  } else if (any_settled(awaited, req->await_count)) {
    da_turn_resumes_clear(c, e);
    reply->status = 300;
    da_preload(c, req, e, reply);
  } else {
    da_turn_resumes_clear(c, e);
    for (size_t i = 0; i < req->await_count; i++) {
      da_change_callback_add(c, awaited[i]->promise.id, e->promise.id);
      da_promise_oblige(c, awaited[i]);
    }
    da_turn_rest(e, DA_TASK_SUSPENDED);
  }
}

/* ---- task.fence, and its two fused forms --------------------------------------------------------------- */

da_entity *da_task_pass_fence(da_change *c, const da_request *req)
{
  da_entity *both[2] = {da_change_load(c, req->id), da_change_load(c, req->promise_id)};
  da_settle_expired(c, both, 2);
  da_entity *e = both[0];
  if (e == NULL || !e->has_task) {
    da_refuse(&c->out->reply, 404, not_found);
    return NULL;
  }
  if (is_held(e, req->version)) return e;
  da_refuse(&c->out->reply, 409, "Version mismatch");
  return NULL;
}

void da_task_fence(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  const da_entity *e = da_task_pass_fence(c, req);
  if (e == NULL) return;
  da_reply *inner = da_arena_zalloc(c->arena, sizeof *inner);
  inner->status = 200;
  if (req->fence_settles)
    da_promise_do_settle(c, req->promise_id, req, inner);
  else
    da_promise_do_create(c, req->promise_id, req, inner);
  reply->inner = inner;
  da_preload(c, req, e, reply);
}

/* The record of a call that began at created_at and is over now; it never stood in the store as pending, so it needs
 * no deadline and nobody waits for it. */
da_entity *da_task_birth_settled(da_change *c, const da_request *req)
{
  int64_t now = c->env->now_ms;
  da_entity *e = da_change_add(c, req->promise_id, req->tags);
  da_promise *p = &e->promise;
  bool late = now >= req->timeout_at;
  p->param = req->param;
  p->timeout_at = req->timeout_at;
  p->call = req->call;
  p->created_at = req->created_at < now ? req->created_at : now;
  if (p->created_at > p->timeout_at) p->created_at = p->timeout_at;
  if (late)
    da_settle_born(c, e, da_rule_verdict(p), NULL, p->timeout_at);
  else
    da_settle_born(c, e, req->state, &req->value, now);
  return e;
}

void da_task_step(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  da_entity *e = da_change_load(c, req->promise_id);
  if (req->state == DA_TIMEDOUT && e != NULL && da_rule_is_live(&e->promise, c->env->now_ms)) {
    da_refuse(reply, 400, "The deadline has not passed"); /* the stored one: the caller knew another */
    return;
  }
  if (da_task_pass_fence(c, req) == NULL) return;
  if (e == NULL)
    e = da_task_birth_settled(c, req);
  else if (e->promise.state == DA_PENDING)
    da_settle(c, e, req->state, &req->value);
  reply->promise = da_change_show(c, e);
}

void da_task_spawn(da_change *c, const da_request *req)
{
  if (da_task_pass_fence(c, req) == NULL) return;
  da_entity *e = da_change_load(c, req->promise_id);
  if (e == NULL) e = birth_held(c, req->promise_id, req);
  reply_both(c, e);
}

/* The mark of a generation is made settled, so its place in the order of settlements divides what belongs to the
 * generations before it from what belongs to this one. What has resumed the task was the business of the one before. A
 * callback that is still there may wake it once for nothing. */
void da_task_again(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  da_entity *e = da_task_pass_fence(c, req);
  if (e == NULL) return;
  uint32_t last = e->promise.call.generation > 0 ? e->promise.call.generation : 1;
  if (req->call.generation != last + 1 || da_change_load(c, req->promise_id) != NULL) {
    da_refuse(reply, 422, "The generation does not follow the last one");
    return;
  }
  reply->promise = da_change_show(c, da_task_birth_settled(c, req));
  da_turn_resumes_clear(c, e);
  da_queue_over(c, req->id, false);
  da_change_promise(c, e)->call.generation = req->call.generation;
}

/* ---- task.heartbeat ------------------------------------------------------------------------------------ */

void da_task_heartbeat(da_change *c, const da_request *req)
{
  for (size_t i = 0; i < req->held_count; i++) {
    da_entity *e = da_change_load(c, req->held[i].id);
    if (e == NULL || !e->has_task || !is_held(e, req->held[i].version)) continue;
    if (!da_slice_eq(e->task.pid, req->pid) || !da_rule_is_live(&e->promise, c->env->now_ms)) continue;
    da_change_task(e)->timer_at = da_rule_later(c->env->now_ms, e->task.ttl);
  }
}

/* ---- task.halt, task.continue -------------------------------------------------------------------------- */

void da_task_halt(da_change *c, const da_request *req)
{
  da_entity *e = load_task(c, req->id);
  if (e == NULL) return;
  switch (e->task.state) {
  case DA_TASK_PENDING:
  case DA_TASK_ACQUIRED:
  case DA_TASK_SUSPENDED:
    da_turn_rest(e, DA_TASK_HALTED);
    break;
  case DA_TASK_HALTED:
    break;
  case DA_TASK_FULFILLED:
    da_refuse(&c->out->reply, 409, "Task is fulfilled");
    break;
  }
}

void da_task_continue(da_change *c, const da_request *req)
{
  da_entity *e = load_task(c, req->id);
  if (e == NULL) return;
  if (e->task.state == DA_TASK_HALTED)
    da_turn_dispatch(c, e);
  else
    da_refuse(&c->out->reply, 409, "Task is not halted");
}
