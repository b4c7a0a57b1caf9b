/* step_chore.c - work of the host on step threads, for when no step wants one.
 *
 * What takes longer than the loop thread should be away, and belongs to no step: sealing an image. It touches nothing
 * but what the chore owns.
 * Threads: da_chore.work() on a step thread, or in da_step_pool_hurry() on the loop thread, as all the rest.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "step_pool_parts.h"

static void queue_remove(da_step_pool *pool, da_chore *chore)
{
  *(chore->prev != NULL ? &chore->prev->next : &pool->chore_first) = chore->next;
  *(chore->next != NULL ? &chore->next->prev : &pool->chore_last) = chore->prev;
  chore->prev = chore->next = NULL;
}

static void tell(void *arg)
{
  da_chore *chore = arg;
  chore->done(chore);
}

void da_step_take_chore(da_step_pool *pool)
{
  da_chore *chore = pool->chore_first;
  queue_remove(pool, chore);
  chore->stage = DA_CHORE_WORKS;
  pthread_mutex_unlock(&pool->mutex);
  chore->work(chore);
  pthread_mutex_lock(&pool->mutex);
  chore->stage = DA_CHORE_TOLD;
  pthread_cond_broadcast(&pool->quiet);
  da_sched_post(pool->sched, tell, chore); /* whoever deletes the pool has hurried first */
}

void da_step_pool_chore(da_step_pool *pool, da_chore *chore)
{
  pthread_mutex_lock(&pool->mutex);
  chore->stage = DA_CHORE_QUEUED;
  chore->next = NULL;
  chore->prev = pool->chore_last;
  *(pool->chore_last != NULL ? &pool->chore_last->next : &pool->chore_first) = chore;
  pool->chore_last = chore;
  da_step_wake_one(pool);
  pthread_mutex_unlock(&pool->mutex);
}

bool da_step_pool_hurry(da_step_pool *pool, da_chore *chore)
{
  pthread_mutex_lock(&pool->mutex);
  bool queued = chore->stage == DA_CHORE_QUEUED;
  if (queued) queue_remove(pool, chore);
  while (chore->stage == DA_CHORE_WORKS) pthread_cond_wait(&pool->quiet, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
  if (queued) chore->work(chore);
  return !queued;
}
