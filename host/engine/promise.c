/* promise.c - requests about promises.
 * SPDX-License-Identifier: Apache-2.0 */
#include "handlers.h"

#include "../base/limits.h"

/* ---- promise.get --------------------------------------------------------------------------------------- */

void da_promise_get(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  da_entity *e = da_settle_load(c, req->id);
  if (e == NULL) {
    da_refuse(reply, 404, "Promise not found");
  } else {
    if (req->awaiter.len != 0) da_settle_elsewhere(c, e, req->awaiter);
    reply->promise = da_change_show(c, e);
  }
}

/* ---- promise.create ------------------------------------------------------------------------------------ */

/* A promise without a deadline needs no row: it can never fall due. */
static void arm(da_change *c, da_entity *e)
{
  if (e->promise.armed || e->promise.timeout_at >= DA_TIME_MAX) return;
  da_change_promise(c, e)->armed = true;
}

static bool armed_at_birth(const da_profile *profile, const da_entity *e)
{
  switch (profile->arm) {
  case DA_ARM_EXTERNAL:
    return da_rule_is_external(&e->promise);
  case DA_ARM_TARGET:
    return e->has_task;
  case DA_ARM_ALL:
    break;
  }
  return true;
}

void da_promise_oblige(da_change *c, da_entity *e)
{
  if (c->env->profile->arm == DA_ARM_EXTERNAL) arm(c, e);
}

/* A timer that is made when its instant has passed settles at once: behind those that passed before, which the next
 * sweep would settle. */
static bool is_late_timer(const da_change *c, const da_request *req)
{
  return c->env->now_ms >= req->timeout_at && da_rule_tag_is(req->tags, DA_TAG_TIMER, DA_LIT("true"));
}

static da_entity *birth(da_change *c, da_slice id, const da_request *req, int64_t created_at)
{
  if (is_late_timer(c, req)) da_due_settle_before(c, req->timeout_at);
  da_entity *e = da_change_add(c, id, req->tags);
  da_promise *p = &e->promise;
  p->param = req->param;
  p->timeout_at = req->timeout_at;
  p->call = req->call;
  p->created_at = created_at < p->timeout_at ? created_at : p->timeout_at;
  if (c->env->now_ms < p->timeout_at) {
    if (armed_at_birth(c->env->profile, e)) arm(c, e);
    return e;
  }
  da_settle_born(c, e, da_rule_verdict(p), NULL, p->timeout_at);
  return e;
}

da_entity *da_promise_birth(da_change *c, da_slice id, const da_request *req)
{
  return birth(c, id, req, c->env->now_ms);
}

static void dispatch_newborn(da_change *c, da_entity *e)
{
  const da_slice *delay = da_map_get(e->promise.tags, DA_TAG_DELAY);
  int64_t at = delay != NULL ? da_rule_delay(*delay) : 0;
  if (at > c->env->now_ms)
    da_turn_delay(e, at);
  else
    da_turn_dispatch(c, e);
}

void da_promise_fire(da_change *c, const da_request *req, int64_t created_at)
{
  if (da_settle_load(c, req->id) != NULL) return;
  da_entity *e = birth(c, req->id, req, created_at);
  if (e->has_task && e->promise.state == DA_PENDING) dispatch_newborn(c, e);
  c->out->reply.fired++;
}

void da_promise_do_create(da_change *c, da_slice id, const da_request *req, da_reply *reply)
{
  da_entity *e = da_settle_load(c, id);
  if (e == NULL) {
    e = da_promise_birth(c, id, req);
    if (e->has_task && e->promise.state == DA_PENDING) dispatch_newborn(c, e);
  }
  reply->promise = da_change_show(c, e);
}

void da_promise_create(da_change *c, const da_request *req)
{
  da_promise_do_create(c, req->id, req, &c->out->reply);
}

/* ---- promise.settle ------------------------------------------------------------------------------------ */

void da_promise_do_settle(da_change *c, da_slice id, const da_request *req, da_reply *reply)
{
  da_entity *e = da_settle_load(c, id);
  if (e == NULL) {
    da_refuse(reply, 404, "Promise not found");
    return;
  }
  if (e->promise.state == DA_PENDING) da_settle(c, e, req->state, &req->value);
  reply->promise = da_change_show(c, e);
}

void da_promise_settle(da_change *c, const da_request *req)
{
  da_promise_do_settle(c, req->id, req, &c->out->reply);
}

/* ---- promise.register_callback ------------------------------------------------------------------------- */

static bool awaitable(const da_change *c, const da_entity *awaited)
{
  return !c->env->profile->await_internal_reject || da_rule_is_external(&awaited->promise);
}

void da_promise_register_callback(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  da_entity *both[2] = {da_change_load(c, req->id), da_change_load(c, req->awaiter)};
  da_settle_expired(c, both, 2);
  da_entity *awaited = both[0], *awaiter = both[1];
  if (awaited == NULL) {
    da_refuse(reply, 404, "Awaited promise not found");
  } else if (awaiter == NULL) {
    da_refuse(reply, 422, "Awaiter promise not found");
  } else if (!awaiter->has_task) {
    da_refuse(reply, 422, "Awaiter promise has no resonate:target tag");
  } else if (!awaitable(c, awaited)) {
    da_refuse(reply, 422, "Awaited promise is not awaitable");
  } else {
    reply->promise = da_change_show(c, awaited);
    if (awaiter->promise.state != DA_PENDING) return;
    if (awaited->promise.state == DA_PENDING) {
      da_change_callback_add(c, req->id, req->awaiter);
      da_promise_oblige(c, awaited);
    } else if (awaiter->task.state != DA_TASK_HALTED) {
      da_settle_wake(c, awaiter, req->id);
    }
  }
}

/* ---- promise.register_listener ------------------------------------------------------------------------- */

static bool listenable(const da_change *c, const da_entity *awaited)
{
  switch (c->env->profile->listener_external_only) {
  case DA_LISTENER_FOLLOWS:
    return awaitable(c, awaited);
  case DA_LISTENER_EXTERNAL:
    return da_rule_is_external(&awaited->promise);
  case DA_LISTENER_ANY:
    break;
  }
  return true;
}

void da_promise_register_listener(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  da_entity *awaited = da_settle_load(c, req->id);
  if (awaited == NULL) {
    da_refuse(reply, 404, "Awaited promise not found");
  } else if (!listenable(c, awaited)) {
    da_refuse(reply, 422, "Awaited promise is not awaitable");
  } else {
    reply->promise = da_change_show(c, awaited);
    if (awaited->promise.state != DA_PENDING) return;
    da_change_wait_add(c, DA_WAIT_LISTENER, req->id, req->address);
    da_promise_oblige(c, awaited);
  }
}
