/* pump.h - the inside of the sched room: one struct, and who may touch which part of it.
 *
 *   submit (any thread) --queue--> store thread (batch.c) --hand--> loop thread (sched.c): told in commit order
 *
 * Two locks, never held together and never across a callback: `queue` guards what waits for the store thread, `hand`
 * what waits for the loop. Both sides take all there is in one go, so a lock is taken twice per batch, not per op.
 *
 * May not:  be included outside this room.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_SCHED_PUMP_H
#define DA_SCHED_PUMP_H

#include <pthread.h>
#include <time.h>
#include <uv.h>

#include "../base/limits.h"
#include "sched.h"
#include "transport.h"

enum {
  DA_TRANSPORTS_MAX = 8,
  DA_OUTBOX_READS_MAX = 16, /* ops of DA_CLAIM_MAX unblocks each; what is made beyond them is found by a walk */
  DA_BACKOFF_MS = 1000
}; /* local, push, poll and room; a full disk is asked once a second */

typedef struct da_op_list {
  da_op *first;
  da_op *last;
} da_op_list;

void da_op_list_add(da_op_list *list, da_op *op);
da_op *da_op_list_pop(da_op_list *list); /* NULL when empty */
void da_op_list_move(da_op_list *to, da_op_list *from);
size_t da_op_cost(const da_op *op);
/* What the op was answered; drops what the store thread left in it. */
void da_op_refuse(da_op *op, da_status status, const char *words);

/* A thread blocked in da_sched_submit_wait(); lives on its stack. */
typedef struct da_waiter {
  pthread_mutex_t lock;
  pthread_cond_t ready;
  bool done;
} da_waiter;
void da_waiter_signal(da_op *op);

/* What the store thread hands to the loop: ops that shared one commit. */
typedef struct da_batch {
  da_op_list ops;
  size_t count;
  size_t bytes; /* of its ops, with their answers */
  int64_t now_ms;
  bool dirty;     /* it had writes */
  bool full;      /* nothing of it happened; the store thread applies no more until the loop has told it */
  bool dues;      /* due_at is news */
  int64_t due_at; /* what falls due first, DA_TIME_MAX: nothing does */
  struct da_batch *next;
} da_batch;

typedef struct da_post {
  void (*fn)(void *arg);
  void *arg;
  struct da_post *next;
} da_post;

typedef struct da_op_queue {
  pthread_mutex_t lock;
  pthread_cond_t ready;
  da_op_list fore;
  da_op_list back;
  size_t count;  /* also what the store thread took and has not applied yet */
  bool idle;     /* the store thread waits for `ready` */
  bool refusing; /* from a full batch until the loop has told it */
  bool telling;  /* the store thread waits a moment for the loop to tell the last batch; it signals when it has */
  bool closed;
  uint64_t refused; /* found it full */
} da_op_queue;

/* How long the store thread waits for the loop to tell a batch before it cuts the next one (batch.c). */
typedef struct da_patience {
  uint64_t flush_ns;     /* what a flush took lately */
  struct timespec until; /* end of the present wait, monotonic */
  unsigned skip;         /* batches left without one */
  unsigned skip_next;
} da_patience;

typedef struct da_hand {
  pthread_mutex_t lock;
  pthread_cond_t ready; /* da_sched_delete() waits for it */
  da_batch *batches;
  da_batch **batches_end;
  da_op_list refused; /* never queued: DA_EQUEUE, DA_ECLOSED */
  da_op_list given;   /* for the backend */
  da_post *posts;
  da_post **posts_end;
  bool woken; /* the loop's wake-up is under way */
  bool ended; /* the store thread handed its last batch */
} da_hand;

/* Loop thread: one-shot timers in a heap over one uv timer (timer.c). */
typedef struct da_timers {
  uv_timer_t uv;
  da_timer **heap; /* owned */
  size_t count;
  size_t cap;
  uint64_t next_order;
  int64_t armed_at; /* instant the uv timer was set for, INT64_MIN: not set */
  bool firing;
} da_timers;

/* Loop thread: what falls due, and the recovery at open (sweep.c). */
typedef struct da_sweep {
  da_timer *timer; /* borrowed from timers; NULL: not armed */
  int64_t armed_at;
  int64_t due_at;
  bool running;
  uint64_t fired;                  /* promises that schedules made */
  bool careful;                    /* one row at a time, to see which one is damaged */
  da_held damaged[DA_DAMAGED_MAX]; /* whose rows are left alone; their ids are owned */
  size_t damaged_count;
  da_op *recovery; /* owned while it waits for its timer */
  void (*recovered)(void *user);
  void *recovered_user;
} da_sweep;

/* Loop thread: messages on their way out (outbox.c). */
typedef struct da_outbox {
  da_transport transports[DA_TRANSPORTS_MAX];
  size_t count;
  da_table deliveries; /* under way, or gone and not deleted yet; owned */
  da_buf key;          /* the one being looked for */
  da_delivery *gone;   /* their rows are to be deleted */
  da_delivery **gone_end;
  size_t gone_count;
  da_delivery *leaving; /* are being deleted */
  bool deleting;        /* an op is under way, or waits for its next try */
  da_op *fresh;         /* collects unblocks that were just made; owned until it is submitted */
  size_t reading;       /* ops like it under way */
  bool wanted;          /* a walk is */
  bool walking;         /* one is under way, or waits for its next try */
  da_buf wanted_prefix;
  da_buf prefix; /* of the walk under way */
  da_timer *walk_timer;
  da_timer *delete_timer;
  da_timer *keeping; /* unblocks are kept, and will be too old some day */
  uint64_t taken[2]; /* by da_message_kind */
  uint64_t dropped;
} da_outbox;

struct da_sched {
  /* Set by da_sched_new() and left alone. */
  da_store *store; /* NULL: the backend has what a store would */
  da_backend backend;
  da_profile profile;
  const da_slice *local_targets; /* borrowed */
  size_t local_target_count;
  bool first_pinned_only;
  char *pid; /* owned, may be NULL */
  da_sched_trial trial;
  bool in_trial;
  bool fires; /* schedules */
  pthread_t thread;

  da_op_queue queue;
  da_hand hand;

  /* The store thread's own. */
  da_op_list fore; /* taken from the queue, not yet in a batch */
  da_op_list back;
  bool dues_known;
  bool unfinished; /* the batch holds a search that has not come to its end */
  da_err skipped;  /* words of the row that was told last as passed over */
  bool full_said;  /* in the log; it is said again only after a batch got through */
  da_patience patience;
  da_arena scratch;
  da_batch *lost; /* of a trial that died: told when the sched is deleted */
  _Atomic uint64_t ops;
  _Atomic uint64_t commits;
  _Atomic uint64_t empty_commits;
  _Atomic uint64_t commit_ns;
  _Atomic uint64_t commit_ns_max;

  /* The loop thread's own. */
  uv_loop_t *loop;
  uv_loop_t own_loop; /* unless it was given one */
  int open_handles;
  uv_async_t wake;
  da_sched_events events;
  int64_t told_now_ms; /* the clock of the batch being told */
  bool closing;
  da_timers timers;
  da_sweep sweep;
  da_outbox outbox;

  atomic_bool stop_wanted;
  atomic_bool paused;         /* set by the loop */
  atomic_bool instants_given; /* set by the store thread: an op had its own; records may lie ahead of the clock */
  atomic_bool died;           /* set by the store thread */
  _Atomic uint64_t not_told;  /* ops between their submission and done() */
  _Atomic size_t untold;      /* bytes of the batches that the store thread has handed over and nobody was told */
};

/* batch.c */
void *da_batch_thread(void *sched);

/* sched.c: the store thread's way to the loop. */
void da_hand_batch(da_sched *sched, da_batch *batch);

/* timer.c */
void da_timers_create(da_sched *sched);
void da_timers_destroy(da_sched *sched);        /* the uv handle is closed by then */
int64_t da_timers_first(const da_sched *sched); /* DA_TIME_MAX: there is none */
void da_timers_fire(da_sched *sched);

/* trial.c */
void da_trial_run(da_sched *sched);
/* Does the process die at the write after `done` ones, or (after) behind the last of them? On the store thread. */
bool da_trial_dies(const da_sched *sched, uint64_t done, bool after);
void da_trial_die(da_sched *sched);
void da_trial_lose(da_sched *sched, da_batch *batch); /* keeps a batch that nobody may be told of */
void da_trial_hand_lost(da_sched *sched);

/* sweep.c */
void da_sweep_start(da_sched *sched); /* asks what falls due */
void da_sweep_heard(da_sched *sched, int64_t due_at);
void da_sweep_pause(da_sched *sched); /* or goes on: as sched->paused says */
void da_sweep_close(da_sched *sched);

/* outbox.c */
void da_outbox_create(da_sched *s);
void da_outbox_emitted(da_sched *s, const da_message *message); /* a batch that is told made it; it is not local */
void da_outbox_turn(da_sched *s);                               /* after a batch was told */
void da_outbox_close(da_sched *s);
void da_outbox_destroy(da_sched *s); /* all ops are told */

#endif
