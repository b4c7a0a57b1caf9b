/* settle.c - what a settlement sets off. It is here once, for every caller: settle, fulfil, a fenced settle, a step, a
 * deadline met by a request or by the sweep.
 *
 *   1. the record becomes terminal, its deadline goes; its own task is fulfilled and waits for nothing any more;
 *   2. each task that waits for it is woken, the callback used up;
 *   3. each listener is sent the record, the listener used up;
 *   4. if it had a task: what that holds of queues is free, and given to whoever waits for it.
 *
 * Several promises of one request pass 1 together, then 2, 3 and 4, so that no task is woken that is about to die.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "handlers.h"

/* Nobody but its holder knew of the task's waits: forget them on both sides. */
static void forget_awaited(da_change *c, da_slice awaiter)
{
  da_wait_row *row = da_change_wait_first(c, DA_WAIT_AWAITED, awaiter);
  for (; row != NULL; row = da_change_wait_after(row)) da_change_callback_del(c, row->wait.second, awaiter);
}

static void record(da_change *c, da_entity *e, da_promise_state state, const da_value *value, int64_t settled_at)
{
  da_promise *p = da_change_promise(c, e);
  p->state = state;
  if (value != NULL) p->value = *value;
  p->settled_at = settled_at;
  p->settle_seq = c->env->next_seq++;
  p->armed = false;
  da_change_settled(c, p);
}

void da_settle_born(da_change *c, da_entity *e, da_promise_state state, const da_value *value, int64_t settled_at)
{
  record(c, e, state, value, settled_at);
  if (e->has_task) da_turn_rest(e, DA_TASK_FULFILLED);
}

/* Step 1. */
static void settle_begin(da_change *c, da_entity *e, da_promise_state state, const da_value *value, int64_t settled_at)
{
  record(c, e, state, value, settled_at);
  if (!e->has_task || e->task.state == DA_TASK_FULFILLED) return;
  forget_awaited(c, e->promise.id);
  da_turn_resumes_clear(c, e);
  da_turn_rest(e, DA_TASK_FULFILLED);
}

void da_settle_wake(da_change *c, da_entity *awaiter, da_slice settled)
{
  /* An awaiter past its own deadline is left to that deadline, stored or not. */
  if (!awaiter->has_task || !da_rule_is_live(&awaiter->promise, c->env->now_ms)) return;
  switch (awaiter->task.state) {
  case DA_TASK_SUSPENDED:
    da_turn_resume_add(c, awaiter, settled);
    da_turn_dispatch(c, awaiter);
    break;
  case DA_TASK_PENDING:
  case DA_TASK_ACQUIRED:
  case DA_TASK_HALTED:
    da_turn_resume_add(c, awaiter, settled);
    break;
  case DA_TASK_FULFILLED:
    break;
  }
}

void da_settle_elsewhere(da_change *c, da_entity *e, da_slice awaiter)
{
  const da_promise *p = &e->promise;
  bool own = da_id_rest(p->id).len == 0 || da_id_below(p->id, awaiter);
  if (own || p->call.kind == DA_CALL_NONE || p->call.awaited_elsewhere) return;
  da_change_promise(c, e)->call.awaited_elsewhere = true;
}

/* Step 2. */
static void fire_callbacks(da_change *c, da_slice id)
{
  da_wait_row *row = da_change_wait_first(c, DA_WAIT_CALLBACK, id);
  for (; row != NULL; row = da_change_wait_after(row)) {
    da_entity *e = da_change_load(c, id);
    if (e != NULL) da_settle_elsewhere(c, e, row->wait.second);
    da_entity *awaiter = da_change_load(c, row->wait.second);
    if (awaiter != NULL) da_settle_wake(c, awaiter, id);
    da_change_callback_del(c, id, row->wait.second);
  }
}

/* Step 3. */
static void tell_listeners(da_change *c, da_slice id)
{
  da_wait_row *row = da_change_wait_first(c, DA_WAIT_LISTENER, id);
  for (; row != NULL; row = da_change_wait_after(row)) {
    da_change_unblock(c, id, row->wait.second);
    row->present = false;
  }
}

/* Not before it was made, should the instant of this request lie before that of the other: somebody tests with both. */
static int64_t settled_now(const da_change *c, const da_promise *promise)
{
  return c->env->now_ms > promise->created_at ? c->env->now_ms : promise->created_at;
}

void da_settle(da_change *c, da_entity *e, da_promise_state state, const da_value *value)
{
  settle_begin(c, e, state, value, settled_now(c, &e->promise));
  fire_callbacks(c, e->promise.id);
  tell_listeners(c, e->promise.id);
  if (e->has_task) da_queue_over(c, e->promise.id, true);
}

void da_settle_expired(da_change *c, da_entity *const *list, size_t count)
{
  size_t first = c->out->settled_count;
  for (size_t i = 0; i < count; i++) {
    da_entity *e = list[i];
    if (e == NULL || e->promise.state != DA_PENDING || c->env->now_ms < e->promise.timeout_at) continue;
    settle_begin(c, e, da_rule_verdict(&e->promise), NULL, e->promise.timeout_at);
  }
  size_t end = c->out->settled_count;
  for (size_t i = first; i < end; i++) fire_callbacks(c, c->out->settled[i]->id);
  for (size_t i = first; i < end; i++) tell_listeners(c, c->out->settled[i]->id);
  for (size_t i = first; i < end; i++)
    if (da_map_get(c->out->settled[i]->tags, DA_TAG_TARGET) != NULL) da_queue_over(c, c->out->settled[i]->id, true);
}

da_entity *da_settle_load(da_change *c, da_slice id)
{
  da_entity *e = da_change_load(c, id);
  da_settle_expired(c, &e, 1);
  return e;
}
