/* step_pool_parts.h - the inside of the pool of step threads: what its files share. Nobody else includes this.
 *
 * step_pool.c    threads, their Lua states, the queue       step_report.c  what a step says while it runs
 * step_chore.c   work that is no step
 * One mutex guards everything but what a thread does with its Lua states.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_STEP_POOL_PARTS_H
#define DA_VM_STEP_POOL_PARTS_H

#include <lua.h>
#include <pthread.h>
#include <signal.h>

#include "../base/limits.h"
#include "step_pool.h"

typedef struct step_state {
  da_step_pool *pool;
  da_step_job *job; /* under way */
  da_bundle *bundle;
  lua_State *L;
  uint64_t used; /* for least recently used */
  size_t memory; /* bytes that L holds */
  bool outgrown; /* it wanted more than DA_STEP_MEMORY: not kept */
} step_state;

typedef struct step_thread {
  da_step_pool *pool;
  pthread_t thread;
  bool used;        /* this place holds a thread that is not joined yet */
  bool ended;       /* it may be joined */
  da_step_job *job; /* under way */
  step_state *states[DA_STEP_STATES];
} step_thread;

struct da_step_pool {
  da_sched *sched;
  da_worker_hooks hooks;
  void (*output)(void *user, da_slice execution, da_slice step, da_slice text);
  void *user;
  sigset_t signals; /* the mask of its owner: what steps start inherits it */
  pthread_mutex_t mutex;
  pthread_cond_t wake;  /* a job, or the end */
  pthread_cond_t quiet; /* asking went down, or a chore is done */
  da_step_job *first, *last;
  da_chore *chore_first, *chore_last;
  bool closing;
  bool waking; /* a thread was woken and is not there yet: it wakes the next one if there is more to do */
  int idle;    /* threads asleep */
  int refs;    /* the owner's, one per thread, one per line of output under way */
  int wanted;  /* threads that take jobs */
  int alive;
  int lost; /* busy with a job that was given up */
  int busy;
  int asking; /* threads inside the sched */
  int places;
  step_thread *threads;
};

static inline step_state *da_step_state_of(lua_State *L)
{
  step_state *state;
  memcpy(&state, lua_getextraspace(L), sizeof(void *));
  return state;
}

/* With the mutex held; releases it, and the pool with its last reference. */
void da_step_pool_unref(da_step_pool *pool);
/* With the mutex held. */
void da_step_wake_one(da_step_pool *pool);
void da_step_take_chore(da_step_pool *pool); /* gives it up while it works */
/* On the loop thread: nothing is told of the job any more. */
void da_step_report_stop(da_step_job *job);

#endif
