/* step_pool.h - threads on which named steps run.
 *
 * A step state is an ordinary Lua state (whole standard library, package.path, C modules, blocking calls), made once
 * per thread and bundle; a thread keeps at most DA_STEP_STATES of them. Jobs run in the order they were submitted. A
 * thread whose job was given up (a deadline, a cancellation) is replaced while it lasts, so that steps that hang do not
 * stop the others; at most DA_STEP_THREADS_FACTOR times the wanted number are alive.
 * May not:  know an execution; encode a Lua value (the entry function that bindings leave in the registry does).
 * Threads:  submit, withdraw and done() on the loop thread; the rest on the pool's own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_STEP_POOL_H
#define DA_VM_STEP_POOL_H

#include "native.h"
#include "worker.h"

/* Registry key of the function (name, args JSON, version) -> ok, data JSON, rest JSON or nil, fatal. Never raises. */
#define DA_STEP_MAIN "da.step_main"

typedef struct da_step_pool da_step_pool;
typedef struct da_step_job da_step_job;

struct da_step_job {
  da_bundle *bundle;         /* kept until the job is deleted; NULL of a native */
  const da_native *native;   /* what is run in place of a function of the bundle; NULL: nothing */
  void *native_call;         /* the native's own */
  const da_step_job *within; /* of a native that a step calls: the step's; NULL: of none */
  da_sched *sched;           /* of a native: where done() is posted */
  da_slice func;             /* owned by `arena`, as the other slices */
  da_slice args;             /* JSON array */
  da_slice id;               /* of the step's promise */
  da_slice execution;
  da_slice target; /* address of its group */
  int64_t version; /* of the function */
  int attempt;     /* from 1 */
  int sends;       /* messages that this attempt has sent */
  int64_t deadline_ms;
  int64_t begun_ms; /* when it left the queue */
  bool ok;
  bool fatal;  /* not ok: do not try again */
  da_buf data; /* JSON: result, or error */
  da_buf rest; /* JSON array of further results, or empty */
  da_arena arena;
  void (*done)(da_step_job *job); /* on the loop thread; owns the job */
  /* On the loop thread: da_step_job_progress() has something new. Not called when user is NULL. */
  void (*progressed)(da_step_job *job);
  void *user;
  /* The pool's own from here on. */
  bool queued;
  bool running;
  bool given_up;
  da_step_job *prev, *next;
  struct {
    da_step_pool *pool; /* from the submit on */
    da_progress progress;
    bool fresh;      /* not told yet */
    bool posted;     /* it will be */
    da_timer *timer; /* the loop thread's */
  } report;          /* step_report.c */
};

/* Work of the host that a thread does when no job waits for one; lies in a struct of its owner. */
typedef struct da_chore {
  void (*work)(struct da_chore *chore);                          /* on a step thread */
  void (*done)(struct da_chore *chore);                          /* then on the loop thread */
  enum { DA_CHORE_QUEUED, DA_CHORE_WORKS, DA_CHORE_TOLD } stage; /* the pool's own, as the next two */
  struct da_chore *prev, *next;
} da_chore;

enum { DA_STEP_THREADS_FACTOR = 4 };

da_step_job *da_step_job_new(void);
void da_step_job_delete(da_step_job *job);

da_step_pool *da_step_pool_new(da_sched *sched, const da_worker_hooks *hooks, int threads,
                               void (*output)(void *user, da_slice execution, da_slice step, da_slice text),
                               void *user);
/* Idle threads end and are joined; a busy one is left to its step, whose result nobody hears. No thread uses the sched
 * any more when it returns. */
void da_step_pool_delete(da_step_pool *pool);
void da_step_pool_submit(da_step_pool *pool, da_step_job *job);
void da_step_pool_chore(da_step_pool *pool, da_chore *chore);
/* Returns when its work is done, if need be on this thread. True: done() is still to come. Every chore has to be
 * hurried before the pool is deleted. */
bool da_step_pool_hurry(da_step_pool *pool, da_chore *chore);
/* Takes a job out of the queue; false when a thread has it already: then it is given up, and done() is called in its
 * time. */
bool da_step_pool_withdraw(da_step_pool *pool, da_step_job *job);
/* Has a thread taken the job, which was not withdrawn, out of the queue? */
bool da_step_pool_begun(da_step_pool *pool, const da_step_job *job);
/* On the thread that runs it: does nobody wait for what comes of it? */
bool da_step_job_given_up(const da_step_job *job);
int da_step_pool_busy(da_step_pool *pool);
bool da_step_pool_at_work(da_step_pool *pool); /* a job that was not given up is queued or runs */
/* Every job on a thread, then every one in the queue, until visit returns false. It must be quick, and not call the
 * pool: the mutex is held. */
void da_step_pool_each(da_step_pool *pool, bool (*visit)(void *user, const da_step_row *row), void *user);
da_progress da_step_job_progress(const da_step_job *job);

/* For bindings, on a step thread: the job that L runs (NULL while its bundle loads). */
da_step_job *da_step_job_of(struct lua_State *L);
/* As da_sched_submit_wait(), but on a full disk it waits for room; DA_ECLOSED when the pool is being deleted. */
void da_step_submit_wait(struct lua_State *L, da_op *op);
/* The native of that name, or NULL. */
const da_native *da_step_native(struct lua_State *L, da_slice name);
/* Adds the request that starts an execution: without a target, of the running job's group and bundle. */
void da_step_start_request(struct lua_State *L, da_op *op, const da_root *root);
/* How far it is. total < 0: unknown. The job under way must not be NULL. */
void da_step_progress(struct lua_State *L, double done, double total, da_slice note);
/* A line of output of the step, told on the loop thread. */
void da_step_output(struct lua_State *L, da_slice text);

#endif
