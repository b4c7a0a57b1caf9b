/* trial.h - one execution run for a test: in memory, in virtual time, through as many deaths as are wanted.
 *
 * Here:     a store in memory, and over it one sched and one worker per life; nothing else of the program is there.
 * Promise:  time stands still while anything can happen, then jumps to what falls due. A death drops everything but
 *           what is committed; the next life recovers, as after a kill. Everything is torn down before cli_trial_run()
 *           returns.
 * Threads:  the caller's is the loop thread of every life; the hooks are called on it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_TRIAL_H
#define DA_CLI_TRIAL_H

#include "../vm/step_pool.h"

typedef struct cli_trial cli_trial;

typedef enum cli_trial_end {
  CLI_TRIAL_COMPLETED, /* its promise settled */
  CLI_TRIAL_PARKED,    /* it or something below it; text says why */
  CLI_TRIAL_STALLED,   /* it waits for what will not come */
  CLI_TRIAL_LATE,      /* the horizon of virtual time was reached */
  CLI_TRIAL_WRITES,    /* it wrote more than it may */
  CLI_TRIAL_HUNG,      /* a step took too long in real time */
  CLI_TRIAL_STOPPED,   /* by a hook */
  CLI_TRIAL_FAILED     /* text: it could not begin */
} cli_trial_end;

typedef struct cli_death {
  uint64_t at; /* the write of that life, from 1 */
  bool after;
} cli_death;

typedef struct cli_trial_hooks {
  /* A named step is to run: an attempt of it. True: mock() will be called for it. */
  bool (*step)(void *user, const da_step_job *job);
  /* Fills in ok, data, rest, fatal of the job, and how long it takes in virtual time. */
  void (*mock)(void *user, da_step_job *job, int64_t *takes_ms);
  void (*event)(void *user, const da_event *event); /* CALLED, REPLAYED, OUTPUT */
  /* The time of an action has come; `again`: it has begun before, in a life that ended in the midst of it. */
  void (*act)(void *user, size_t index, bool again);
  void *user;
} cli_trial_hooks;

typedef struct cli_trial_options {
  const da_slice *targets;   /* addresses of the groups that are served, the default one first */
  da_bundle *const *bundles; /* ... and the script of each */
  size_t target_count;
  da_slice id, func, args; /* func empty: no execution, but what the scripts schedule, until the horizon */
  int64_t begin_ms;        /* what the clock shows first */
  int64_t horizon_ms;      /* virtual time it may take */
  uint64_t writes_max;     /* in one life */
  int64_t real_ms;         /* real time a life may take */
  bool detached;           /* its end is that of all it started, detached workflows too */
  bool watch_tables;       /* changed by an inline step */
  bool evict;              /* drop it from memory at every await */
  const cli_death *deaths;
  size_t death_count;
  const int64_t *acts; /* when actions are due, ms from the begin */
  size_t act_count;
  cli_trial_hooks hooks;
} cli_trial_options;

typedef struct cli_trial_result {
  cli_trial_end end;
  da_promise_state state; /* COMPLETED */
  da_slice data, rest;    /* JSON; borrowed from the trial, as all slices here */
  da_slice text;
  int64_t elapsed_ms;
  uint64_t writes;  /* of the last life */
  size_t died;      /* deaths that came */
  da_slice waits;   /* STALLED: what is pending, one a line: id, kind, function, with tabs between */
  da_slice steps;   /* JSON array of the records of steps, of detached workflows too */
  da_slice roots;   /* JSON array of the records of executions that no other one called */
  da_slice history; /* JSON, see history.h */
} cli_trial_result;

/* Runs it to its end. The trial owns the result; cli_trial_delete() ends both. */
cli_trial *cli_trial_run(const cli_trial_options *options, const cli_trial_result **result);
void cli_trial_delete(cli_trial *trial);
/* Loads the script and tells its functions. Its fault is DA_ELUA with file and line. */
da_status DA_MUST_USE cli_trial_functions(da_bundle *bundle, void (*visit)(void *user, const da_function *function),
                                          void *user, da_err *err);

/* ---- for hooks, while it runs ------------------------------------------------------------------------ */

void cli_trial_stop(cli_trial *trial);       /* the end is STOPPED */
cli_trial *cli_trial_now(void);              /* the one that runs; NULL: none does */
bool cli_trial_died(const cli_trial *trial); /* this life of it has */
int64_t cli_trial_elapsed_ms(const cli_trial *trial);
/* Soon, behind what is under way. The slices are copied. */
void cli_trial_settle_soon(cli_trial *trial, da_slice id, da_promise_state state, da_slice data, da_slice rest);
/* The request that settles a promise so. */
void cli_trial_fill_settle(da_op *op, da_request *request, da_slice id, da_promise_state state, da_slice data,
                           da_slice rest);
/* Submits and waits; the caller deletes the op. DA_ECLOSED: it has died. */
void cli_trial_ask(cli_trial *trial, da_op *op);

#endif
