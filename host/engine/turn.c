/* turn.c - the turns of a task: each changes state, holder, timer and messages together, and decides nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "handlers.h"

static da_task *without_holder(da_entity *e)
{
  da_task *t = da_change_task(e);
  t->pid = DA_NONE;
  t->ttl = 0;
  t->timer_at = 0;
  return t;
}

void da_turn_delay(da_entity *e, int64_t at_ms)
{
  da_task *t = without_holder(e);
  t->state = DA_TASK_PENDING;
  t->timer_at = at_ms;
}

void da_turn_dispatch(da_change *c, da_entity *e)
{
  da_turn_delay(e, da_rule_later(c->env->now_ms, c->env->profile->retry_timeout_ms));
  da_change_execute(c, e);
}

/* The only place where a version moves. */
void da_turn_acquire(da_change *c, da_entity *e, da_slice pid, int64_t ttl)
{
  da_turn_resumes_clear(c, e);
  da_task *t = da_change_task(e);
  t->state = DA_TASK_ACQUIRED;
  t->version++;
  t->pid = pid;
  t->ttl = ttl;
  t->timer_at = da_rule_later(c->env->now_ms, ttl);
}

void da_turn_rest(da_entity *e, da_task_state state)
{
  without_holder(e)->state = state;
}

void da_turn_resume_add(da_change *c, da_entity *e, da_slice settled)
{
  if (e->task.resumes > 0 && da_change_wait_has(c, DA_WAIT_RESUME, e->promise.id, settled)) return;
  da_change_wait_add(c, DA_WAIT_RESUME, e->promise.id, settled);
  da_change_task(e)->resumes++;
}

void da_turn_resumes_clear(da_change *c, da_entity *e)
{
  if (e->task.resumes == 0) return;
  da_wait_row *row = da_change_wait_first(c, DA_WAIT_RESUME, e->promise.id);
  for (; row != NULL; row = da_change_wait_after(row)) row->present = false;
  da_change_task(e)->resumes = 0;
}
