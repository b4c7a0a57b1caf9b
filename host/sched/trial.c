/* trial.c - the pump in a trial: time passes when nothing else can happen; a death without a process that dies.
 *
 * Quiet is: every op was told, nothing is at hand, nothing runs elsewhere. Then the clock is moved to what falls due
 * first. A death is that of a process as its store sees it: from the write named on nothing is applied and nobody is
 * told; who waits for an answer on a thread of its own gets DA_ECLOSED, all others when the sched is deleted, by when
 * its worker has gone.
 * Threads: da_trial_run() on the loop thread, the rest on the store thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "../base/limits.h"
#include "pump.h"

/* What runs elsewhere is asked first, since it ends by putting something at hand. */
static bool quiet(da_sched *s)
{
  if (s->trial.busy(s->trial.user)) return false;
  (void)pthread_mutex_lock(&s->hand.lock);
  bool empty = s->hand.batches == NULL && s->hand.refused.first == NULL && s->hand.posts == NULL;
  (void)pthread_mutex_unlock(&s->hand.lock);
  return empty && atomic_load(&s->not_told) == 0;
}

static void pass_time(da_sched *s)
{
  int64_t at = da_timers_first(s);
  if (!s->trial.pass(s->trial.user, at)) return;
  da_clock_move(at);
  da_timers_fire(s);
}

void da_trial_run(da_sched *s)
{
  while (!atomic_load(&s->stop_wanted)) {
    (void)uv_run(s->loop, quiet(s) ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    if (!atomic_load(&s->stop_wanted) && quiet(s)) pass_time(s);
  }
}

bool da_trial_dies(const da_sched *s, uint64_t done, bool after)
{
  if (!s->in_trial || s->trial.die_at == 0 || s->trial.die_after != after) return false;
  return s->trial.die_at == (after ? done : done + 1);
}

void da_trial_die(da_sched *s)
{
  atomic_store(&s->died, true);
  da_sched_stop(s);
}

void da_trial_lose(da_sched *s, da_batch *batch)
{
  (void)pthread_mutex_lock(&s->queue.lock);
  s->queue.count -= batch->count;
  (void)pthread_mutex_unlock(&s->queue.lock);
  batch->dirty = batch->dues = false;
  batch->next = s->lost;
  s->lost = batch;
  for (da_op *op = batch->ops.first; op != NULL; op = op->next) {
    da_op_refuse(op, DA_ECLOSED, "the process died");
    da_waiter_signal(op);
  }
}

void da_trial_hand_lost(da_sched *s)
{
  while (s->lost != NULL) {
    da_batch *batch = s->lost;
    s->lost = batch->next;
    batch->next = NULL;
    da_hand_batch(s, batch);
  }
}

bool da_sched_died(const da_sched *s)
{
  return atomic_load(&s->died);
}
