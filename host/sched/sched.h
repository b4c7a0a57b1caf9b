/* sched.h - the pump: ops in, one batch, one commit, answers out.
 *
 * Here:     the store thread (the only one that touches the store: it applies and commits), the loop (libuv), the way
 *           between them, the timer armed to what falls due first, calls posted from other threads.
 * Promise:  no done() runs, no settlement is told and no message leaves before the flush that makes it true; they are
 *           told in commit order.
 * May not:  know JSON, HTTP or Lua.
 * Threads:  da_sched_submit(), da_sched_post() and da_op_new() from any; everything else, and every callback, on the
 *           loop thread (the one that calls da_sched_run()).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_SCHED_SCHED_H
#define DA_SCHED_SCHED_H

#include <stdatomic.h>

#include "../engine/engine.h"
#include "../store/store.h"

typedef struct da_sched da_sched;
typedef struct da_op da_op;

/* One unit of work for the store thread: requests applied one after the other in one transaction, or a function that
 * reads (and may write through the store's own calls). Made by da_op_new(), filled, submitted, deleted by its owner
 * in or after done(). */
struct da_op {
  da_arena arena;       /* request, outcome and whatever done() needs: one life */
  da_request *requests; /* kept until the op is deleted */
  size_t request_count;
  da_outcome *outcomes; /* one per request, filled by the store thread; if one is answered with a status other than
                         * 200 and 300 and `stop_at_refusal` is set, the rest stay {0}. What the requests before it
                         * wrote stays: an op is not all-or-nothing unless the caller knows that a refusal can only
                         * come first. NULL unless status is DA_OK */
  bool stop_at_refusal;
  /* Instead of requests; on the store thread, inside the batch's transaction. DA_EFULL fails the batch, DA_EIO and
   * DA_ENOMEM end the process; any other failure is the answer of this op alone, so it must be found before the
   * first write. */
  da_status (*call)(da_store *store, da_op *op, da_err *err);
  void *call_argument; /* for call; lives in the arena */
  void *call_result;   /* of call; lives in the arena */
  bool has_now; /* its requests are applied as of now_ms instead of the clock: an instant that somebody tests with.
                 * The clock and what the store keeps of it do not move */
  int64_t now_ms;
  bool background;  /* behind everything else of its batch; one of each batch is sure of its place */
  da_slice subject; /* for a backend: the execution it belongs to, whose ops are answered in order; or empty */
  da_status status; /* DA_OK; DA_EFULL, DA_ECORRUPT, DA_EVERSION (nothing of it happened; the last two: a row that
                     * its requests read is damaged); DA_EQUEUE, DA_ECLOSED; or what `call` returned */
  da_err err;
  void (*done)(da_op *op); /* on the loop thread, after the flush; owns the op from there on. May be NULL: the op is
                            * deleted */
  void *user;
  /* The pump's own from here on. */
  da_op *next;
  bool refused;     /* while its batch is applied: it met a damaged row and has no part in the batch any more */
  da_slice damaged; /* of a sweep or a recovery that did: whose row it was at, in the arena; or empty */
  size_t cost;      /* bytes, against DA_BATCH_BYTES_MAX */
  struct da_waiter *waiter;
  _Atomic int shared; /* owners beside the first: da_op_delete() by the last one frees */
};

da_op *da_op_new(void);
/* Adds a zeroed request to the op. The pointer is good until the next call. */
da_request *da_op_request(da_op *op, da_req_kind kind);
void da_op_delete(da_op *op); /* NULL is allowed */

/* Told on the loop thread, in commit order: for each op of a batch first its settlements, then its local messages, then
 * done(). Slices are borrowed until the callback returns. */
typedef struct da_sched_events {
  void (*settled)(void *user, const da_promise *promise);
  void (*execute)(void *user, const da_message *message); /* a message whose `local` is set */
  void (*recovered)(void *user, da_slice id);             /* a task that a dead process held was taken back */
  void (*reset)(void *user);                              /* nothing is in the store any more */
  void (*offered)(void *user, da_slice prefix); /* somebody has come, or has room, for addresses that begin so */
  void *user;
} da_sched_events;

/* A trial: a run in memory whose time passes only when nothing else can happen, and whose process may die at a write
 * without a process having to die. Every op is a batch of its own, so that a count of writes means the same each time.
 * The clock stands (base/clock.h) and is moved by the sched. */
typedef struct da_sched_trial {
  bool (*busy)(void *user); /* does anything run outside of the loop and the store thread? */
  /* Nothing can run until at_ms (DA_TIME_MAX: for ever). True: the clock is moved there; else it has stopped the sched.
   */
  bool (*pass)(void *user, int64_t at_ms);
  void *user;
  uint64_t die_at; /* the write, from 1, at which it dies; 0: it does not */
  bool die_after;  /* that write is kept, though nobody is told of it; else it is lost as well */
} da_sched_trial;

/* In place of a store and its thread: who carries out the ops of this sched, by asking a server elsewhere. Everything
 * else - posts, timers, waiting threads, the loop - stays what it is; nothing falls due here, no message leaves. */
typedef struct da_backend {
  /* In the order in which they were submitted, on the loop thread. It owes one da_sched_answer() for each, never from
   * inside this call. Ops of one `subject` are to be answered in that order. */
  void (*submit)(void *user, da_op *op);
  void *user;
} da_backend;

typedef struct da_sched_options {
  da_store *store;           /* kept; used by the store thread alone from da_sched_new() to da_sched_delete() */
  const da_backend *backend; /* copied. Instead of `store`, which is NULL then; NULL: none */
  da_profile profile;
  const da_slice *local_targets; /* addresses of the worker in this process; borrowed as long as the sched lives */
  size_t local_target_count;
  bool first_pinned_only;      /* of what goes to the first, only executions that name their bundle stay (engine.h) */
  const char *pid;             /* its process id, "local/<boot id>"; recovery takes back what other local pids hold */
  const da_sched_trial *trial; /* copied; NULL: none */
  bool fires;                  /* schedules fire: a process that stays up; else their rows rest */
  struct uv_loop_s *loop;      /* whose thread is the loop thread; lives longer. NULL: one of its own */
} da_sched_options;

da_status DA_MUST_USE da_sched_new(const da_sched_options *options, da_sched **out, da_err *err);
void da_sched_set_events(da_sched *sched, const da_sched_events *events);
/* Takes back the tasks of dead local workers and re-emits execute for every pending local task; to be called once,
 * after the events are set and before da_sched_run(). done runs on the loop thread. */
void da_sched_recover(da_sched *sched, void (*done)(void *user), void *user);
/* Runs the loop until da_sched_stop(); may be called again afterwards. SIGPIPE is blocked on the calling thread
 * meanwhile, so a thread started from a callback sets its own mask. */
void da_sched_run(da_sched *sched);
/* In place of da_sched_run(): begins, and goes on whenever its loop is turned: by whose it is, or by da_sched_turn(),
 * once, waiting for something to do or not. */
void da_sched_begin(da_sched *sched);
void da_sched_turn(da_sched *sched, bool wait);
/* Ends da_sched_run() soon. From any thread and from a signal handler. */
void da_sched_stop(da_sched *sched);
/* Ends the store thread after what is queued, tells all answers, frees all. Ops submitted from now on (by a done())
 * get DA_ECLOSED. Nobody else's handle may be open on the loop (it asserts), no other thread may call in any more. */
void da_sched_delete(da_sched *sched);

/* Queues an op; `bounded` ops (the network's) are refused at once with DA_EQUEUE when the queue is full, in-process
 * ones never are. A refusal comes through done() like any answer, never from inside this call.
 *
 * After DA_EFULL in one batch, every op queued before the last done() of that batch returned is answered DA_EFULL as
 * well, unapplied, so that what one execution wrote stays a prefix of its program. The first op that may be applied
 * again is one submitted from a done() that tells such a left-over, or later. */
void da_sched_submit(da_sched *sched, da_op *op, bool bounded);
/* As an unbounded submit, then waits on the calling thread until the flush; the caller deletes the op. Its settlements
 * and messages are told on the loop, in their turn, later than the return of this call. From any thread: on the loop's
 * it holds up everything for one flush, so there it is for the start of the program. `done` must be NULL. */
void da_sched_submit_wait(da_sched *sched, da_op *op);

/* ---- for a backend: the loop thread, never from inside its submit() ------------------------------------- */

/* The op is carried out: status is set, and with DA_OK, of one with requests, `outcomes` with their replies. Tells it.
 */
void da_sched_answer(da_sched *sched, da_op *op);
/* What the server elsewhere told. Borrowed until it returns. */
void da_sched_tell_settled(da_sched *sched, const da_promise *promise);
void da_sched_tell_execute(da_sched *sched, const da_message *message);

/* Runs fn(arg) on the loop thread soon. From any thread. */
void da_sched_post(da_sched *sched, void (*fn)(void *arg), void *arg);

/* A one-shot timer on the loop thread, by the clock of base/clock.h. */
typedef struct da_timer da_timer;
da_timer *da_timer_start(da_sched *sched, int64_t at_ms, void (*fn)(void *arg), void *arg);
void da_timer_stop(da_timer *timer); /* frees it; also from its own fn; after fn ran unstopped it is freed by itself */

/* Of a trial: did it die? Then da_sched_run() has returned, what is still queued is answered DA_ECLOSED once it is
 * deleted, and the store holds what it held at the death. */
bool da_sched_died(const da_sched *sched);

/* ---- for tests of a whole server: the protocol's debug requests (debug.c) ------------------------------- */

/* While it is paused nothing falls due and no message leaves, not even for the worker in this process: they wait in the
 * outbox, and go when it goes on. */
void da_sched_pause(da_sched *sched, bool paused);
/* All that is due at an instant: deadlines, retries, leases, schedules, in bounded pieces until nothing is left. done
 * is told once, on the loop. */
void da_sched_tick(da_sched *sched, int64_t at_ms, void (*done)(void *user, da_status status, const da_err *err),
                   void *user);
/* Deletes all there is but bundles; events.reset is told first. */
void da_sched_reset(da_sched *sched, void (*done)(void *user, da_status status, const da_err *err), void *user);
/* What is stored: borrowed until done returns, NULL with a failure. */
void da_sched_snapshot(da_sched *sched, void (*done)(void *user, const da_snapshot *snapshot, const da_err *err),
                       void *user);

/* For metrics, bench and tests. */
typedef struct da_sched_stats {
  uint64_t ops;     /* applied */
  uint64_t commits; /* with at least one write */
  uint64_t empty_commits;
  uint64_t commit_ns;      /* spent in those with writes, all together */
  uint64_t commit_ns_max;  /* the longest */
  size_t queued;           /* ops that wait for the store thread */
  uint64_t refused;        /* ops that found the queue full */
  uint64_t executes;       /* messages a transport has taken */
  uint64_t unblocks;       /* the same */
  uint64_t dropped;        /* messages that nobody could take, or came for in time */
  size_t messages_waiting; /* under way, or not deleted yet */
  uint64_t fired;          /* promises that schedules made */
} da_sched_stats;
da_sched_stats da_sched_get_stats(da_sched *sched); /* the loop thread */

struct uv_loop_s;
struct uv_loop_s *da_sched_loop(da_sched *sched);

#endif
