/* execution.h - one execution: its isolate, its fibers, its durable calls, what it waits for.
 *
 * Here:     the struct, and the doors bindings use while Lua of the execution runs (call, wait, finish, park).
 * May not:  encode a Lua value: arguments and results arrive as JSON bytes.
 * Threads:  the loop thread.
 * Files:
 *   execution.c   life: claim, load, run, finish         call.c        durable calls
 *   suspend.c     rest, suspend                          step.c        attempts of a step
 *   park.c        its stops without an end               foreign.c     calls that others settle
 *   replay.c      its records, what a call finds there   crash.c       steps that take the process with them
 *   evicted.c     how far an evicted one had come        deadline.c    its own deadline, and its children's
 *   fiber.c       fibers, waiting, delivery              forgotten.c   promises that nobody awaits
 *   watch.c       code that runs long                    closure.c     variables around an inline step
 *   closure_tables.c  tables around it, in trials
 *   worker.c      who owns executions                    start.c       starting, following, cancelling them
 *   rehearse.c    a replay that carries nothing out   again.c       its generations
 *   patched.c     places where its code was changed   history.c     what old generations left
 *   group.c       groups, their bundles, calls by name
 *   served.c      scripts that are known
 *   publish.c     what it shows of its state          queue.c       what waits in queues, what is sent to them
 *   schedule.c    what scripts declare to run by the clock
 *   builtin.c     functions that the worker itself answers
 *   prune.c       children that nobody can ask for any more
 *   image_state.c what an image says of the host's side     image_take.c  when one is made
 *   restore.c     going on from one
 *
 * Order is the heart of it. Completions (settled children, a request to cancel) are delivered one at a time by
 * settle_seq, the store-wide commit order; between two deliveries every fiber runs until it blocks; an await returns at
 * once only if its completion was delivered before. So a replay, which delivers the recorded completions in the same
 * order, takes the same path through loops, shared upvalues, counters and random numbers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_EXECUTION_H
#define DA_VM_EXECUTION_H

#include <lua.h>

#include "../base/hmac.h"
#include "isolate.h"
#include "step_pool.h"
#include "watch.h"
#include "worker.h"

/* Registry keys of the functions that bindings leave in an isolate. */
#define DA_ISOLATE_MAIN "da.main" /* (function name, args JSON): runs the workflow, ends with da_execution_finish() */
#define DA_ISOLATE_INLINE "da.inline_main" /* (closure) -> ok, data JSON, rest JSON or nil, fatal; never raises */
#define DA_ISOLATE_UNDOS "da.open_undos"   /* () -> the calls of open sagas as JSON: da_event.undos */
#define DA_ISOLATE_LOADED "da.loaded"      /* (): called when the script was run: no more definitions, globals frozen */
#define DA_ISOLATE_SCHEDULES "da.schedules" /* id -> what da.schedule() declared, if anything */
#define DA_ISOLATE_MODULES \
  "da.modules" /* what require gives; not the stock key, which luaL_argerror walks in hash order */
#define DA_ISOLATE_REQUIRE "da.require"
#define DA_ISOLATE_PACKAGE "da.package" /* what stands for the table of that name, which only steps have */
/* name -> {workflow = bool, version = number or nil, file = , line = , body = , older = the same of another version} */
#define DA_ISOLATE_FUNCTIONS "da.functions"

typedef struct da_execution da_execution;
typedef struct da_evicted da_evicted;
typedef struct da_fiber da_fiber;
typedef struct da_scope da_scope;
typedef struct da_child da_child;

typedef enum da_execution_state {
  DA_EXECUTION_CLAIMING,
  DA_EXECUTION_LOADING,
  DA_EXECUTION_RUNNING,
  DA_EXECUTION_SUSPENDING,
  DA_EXECUTION_SUSPENDED,
  DA_EXECUTION_FINISHING,
  DA_EXECUTION_PARKING,
  DA_EXECUTION_GONE
} da_execution_state;

/* What repeats a failed attempt of a step. Seconds, as users write them. */
typedef struct da_retry {
  int64_t max; /* attempts in all; INT64_MAX: for ever */
  double first, factor, cap, jitter;
} da_retry;
extern const da_retry da_retry_default;

/* Where ids are counted: the execution itself, or one of its branches. */
struct da_scope {
  da_slice id;         /* borrowed: of the branch, or of the execution */
  da_table counts;     /* name -> counter; owned */
  da_child **children; /* made here, in order; those that prune.c let go are missing */
  size_t count, cap;
  da_fiber *fiber;     /* of a branch */
  uint32_t place;      /* image_state.c's */
  bool canceled;       /* the program cancelled its branch; sticky, as a request to cancel the execution */
  bool abandoned;      /* it ends early: what was left of it has been cancelled */
  bool cancel_raised;  /* a request to cancel, or the deadline, was raised in it */
  bool cut_short;      /* one came while it joined, and ended children: its function never knew */
  da_slice cancel_why; /* JSON */
};

/* Was it made in da.shield, and where does that stand? A request to cancel the execution, and its deadline, pass over
 * what is sheltered at all; that the program cancels the branch only over what is sheltered inside of it. */
typedef enum da_shelter {
  DA_UNSHELTERED,
  DA_SHELTERED_AROUND, /* the branch as a whole was made in the shield */
  DA_SHELTERED_INSIDE  /* the shield is in the function of the branch, or of the execution */
} da_shelter;

/* Somebody to be told of a completion. token 0: a watcher, told through its inbox; else a wait that ends with it. */
typedef struct da_waiter_of_child {
  da_fiber *fiber;
  uint32_t token;
  uint32_t tag;
} da_waiter_of_child;

/* A durable call of this execution, or (kind DA_CALL_NONE) a fiber without a record, such as the one behind da.all().
 */
struct da_child {
  uint32_t index; /* the handle Lua holds; from 1; given anew once it is pruned */
  uint64_t made;  /* the how-manieth child of the execution, from 1 */
  da_call_kind kind;
  da_call call;
  da_slice id; /* empty without a record; behind the struct, or borrowed from the load op */
  da_scope *scope;
  da_fiber *maker;     /* made it; NULL: the host */
  bool foreign;        /* settled by somebody else: workflow, timer, promise */
  bool global;         /* has an id of its own, not below this execution's */
  bool observed;       /* was handed to an await or a combinator */
  bool ignored;        /* a failure nobody awaits is not raised at the join */
  bool seen;           /* what it was given was handed to the code */
  bool given_back;     /* what a queue gave it, or its place there: asked once in this process */
  bool handed_on;      /* given away as a value: somebody else may await it */
  bool announced;      /* a step or a branch: it has a record while it runs */
  bool told_forgotten; /* that nobody awaited it */
  bool joined;         /* is waited for at the end of its scope */
  bool detached;       /* a workflow with a life of its own: neither joined nor cancelled with its parent */
  bool counted;        /* no call finds it by its id again: that has a number */
  bool kept;           /* prune.c's */
  da_shelter shelter;  /* made in da.shield or by an undo call: neither a request to cancel nor the deadline ends it */
  bool settled;        /* known to be settled */
  bool delivered;      /* ... and told to the program */
  bool canceled;       /* by the program: asked once */
  bool held;           /* the next delivery waits for the answer to its creation */
  bool interested;     /* the worker tells its settlement */
  uint64_t seq;
  uint32_t delivered_at; /* order of delivery in this execution, from 1 */
  da_promise_state state;
  int64_t settled_at;
  da_slice data; /* JSON; borrowed from the load op, or owned (see owned) */
  da_slice rest; /* JSON array of further results */
  char *owned;
  int results_ref; /* fiber without a record: registry reference of its packed results */
  da_waiter_of_child *waiters;
  size_t waiter_count, waiter_cap;
  da_child *open_prev, *open_next; /* foreign and not settled */
  bool open;
  struct da_record *record; /* of a replay: its own */
  da_fiber *fiber;          /* branch, or without a record */
  da_slice record_id;       /* da.get(): where it is recorded that nothing was found */
  /* a step */
  bool native;      /* a step whose function is in C */
  bool under_way;   /* counts as busy */
  char *cancel_why; /* cancelled while it ran; owned */
  da_retry retry;
  int64_t version; /* of its function */
  bool elsewhere;  /* a workflow of a group that this worker has not: its task is left to whoever has it */
  int attempt;
  int64_t created_at;
  int64_t timeout_at;
  int64_t delay_at;           /* workflow: when it begins; 0: at once */
  int64_t deadline_at;        /* workflow: when `timedout` is raised in it; DA_TIME_MAX: never */
  int64_t attempt_timeout_ms; /* 0: none */
  int64_t timeout_ms;         /* of all attempts; -1: none */
  da_slice args;              /* named; owned while it is under way */
  int closure_ref;            /* inline; LUA_NOREF when it is over */
  da_step_job *job;
  da_timer *timer;  /* the next attempt */
  da_timer *limit;  /* deadline, or end of the attempt */
  size_t in_flight; /* ops about it that the store has not answered */
  da_execution *execution;
};

typedef struct da_arrival {
  uint32_t at; /* delivered_at */
  uint32_t tag;
} da_arrival;

struct da_fiber {
  da_execution *execution;
  uint32_t number; /* the how-manieth of the execution, from 1 */
  uint32_t place;  /* image_state.c's */
  bool kept;       /* prune.c's */
  lua_State *co;
  int ref; /* registry anchor of co */
  int arguments;
  da_scope *scope;
  da_child *child; /* what it completes; NULL: the execution itself */
  bool done;
  bool ready;
  bool shielded;      /* it is in da.shield itself */
  da_shelter shelter; /* it was made in one */
  uint32_t token;     /* of the wait under way; 0 when not waiting */
  size_t wait_left;
  bool wait_inbox;
  bool canceled; /* the program cancelled what it completes (no branch) */
  da_slice cancel_why;
  da_arrival *inbox; /* watched children that were delivered, by delivered_at */
  size_t inbox_head, inbox_count, inbox_cap;
  da_fiber *next_ready;
  da_fiber *next;
};

/* A record found by the scan at the start of a replay. */
typedef struct da_record {
  const da_promise *promise;
  bool reached;    /* by the program */
  da_child *child; /* then, until that is pruned */
  bool interested; /* it was pending: the worker tells its settlement, though the program has not come to it yet */
} da_record;

typedef struct da_delivery {
  uint64_t seq;
  da_child *child;   /* live */
  da_record *record; /* replay */
  bool cancels;      /* a request to cancel; its reason, JSON, lives in the execution's arena */
  da_slice cancel;
  int64_t settled_at;
} da_delivery;

/* What da.patched answered, by the id of its mark. */
typedef struct da_patch {
  da_slice id;
  bool answer;
} da_patch;

/* Of a name in a scope: how often it was called. */
typedef struct da_counter {
  da_slice name;
  uint64_t count;
} da_counter;

/* A call of da.again: what the next generation begins with. */
typedef struct da_again {
  da_slice args; /* JSON array */
  da_slice file;
  uint32_t line; /* 0: unknown, as it is of a tail call */
} da_again;

/* What the host pointer of an isolate leads to: the first member of both. */
typedef struct da_host {
  bool loading; /* a da_load_context, else a da_execution */
} da_host;

struct da_execution {
  da_host host;
  struct da_far_state *far; /* of a far worker (far.h); else NULL */
  da_worker *worker;
  da_execution_state state;
  int refs; /* one for the worker's table, one per op, job or timer under way */
  da_arena arena;
  da_slice id;
  da_slice root;
  int64_t version;
  int64_t created_at;
  int64_t timeout_at;   /* then its promise is cut off */
  int64_t deadline_at;  /* then `timedout` is raised; DA_TIME_MAX: never */
  da_child *deadline;   /* the timer of that */
  bool deadline_passed; /* ... which was delivered */
  da_bundle *bundle;
  da_slice target; /* address of its group */
  da_slice func;
  da_slice args;        /* its parameters, JSON: args, func, version */
  int64_t func_version; /* wanted, as long as no bundle is known; 0: the newest */
  uint32_t generation;  /* 1, 2...; from the second on its calls lie below a mark of it, which is main.id */
  bool reloaded;        /* it follows another generation in this process */
  da_timer *code_timer; /* set as long as it waits for one */
  da_execution *next_codeless;
  da_isolate *isolate;
  lua_State *L;

  da_fiber *fibers, *current;
  da_fiber *ready_first, *ready_last;
  da_scope main;
  da_child **children; /* by index; NULL: pruned, and in `free_indexes` */
  size_t child_count, child_cap;
  uint32_t *free_indexes;
  size_t free_count, free_cap;
  size_t unsorted; /* free places up to this one are in no list yet */
  uint64_t made;   /* children, ever */
  uint32_t fiber_count;
  da_table by_id;   /* id -> da_child */
  da_table words;   /* names of functions and files -> the slice that is kept of them */
  da_arena scratch; /* the id of the call that is being made */
  da_child *open_first;
  size_t open_count;
  uint32_t next_ordinal;
  uint32_t next_token;

  da_op *load; /* keeps the records */
  da_table records;
  da_record *record_list;
  size_t record_count;
  size_t unreached;
  bool informed;        /* what settles from here on is told, be it before the program runs */
  da_slice *by_ordinal; /* id of the record that holds an ordinal */
  size_t ordinal_cap;
  uint32_t last_ordinal; /* the greatest that a record holds */
  da_table patches;      /* id of its mark -> da_patch: what da.patched answered */

  da_delivery *queue; /* by seq */
  size_t queue_head, queue_count, queue_cap;
  uint64_t position;
  bool ran_known; /* a replay after an eviction: up to position `ran_to` the program has run before (evicted.c) */
  bool ran_passed;
  uint64_t ran_to;
  int64_t clock_ms;
  uint32_t delivered_count;
  size_t recorded_left; /* recorded completions not yet delivered */
  size_t holds;         /* answers that the next delivery must wait for */
  size_t in_flight;     /* ops that the store has not answered */
  bool throttled;       /* too many of them: none of its code runs until half are answered */
  size_t busy;          /* steps, retries and records under way: no suspension before they end */

  struct da_live *live; /* what it published (publish.c); NULL: nothing yet */
  bool catching_up;     /* a replay that is not known to be past what was recorded: nothing of that is written */

  const struct da_restore *restore; /* of the load op: the image it goes on from, until its isolate is there */
  bool restored;                    /* it went on from one in this process */
  bool no_image;                    /* ... and could not: from its records this time */
  bool unimageable;                 /* its ids are too long */
  uint64_t imaged_made;             /* `made` of the newest image */
  struct da_seal *seal;             /* the image under way */
  uint64_t reach;                   /* what the store knows as the bound of `made`; 0: there is no image */

  bool after_death;             /* a process died that ran it, and no step of it has begun again since */
  const da_child *inline_child; /* the inline step that runs */
  bool cancel_requested;
  bool cancel_told;    /* ... by an event */
  da_slice cancel_why; /* JSON */
  uint32_t again_made; /* calls of da.again; `again` is the last one */
  da_again again;
  bool finished;
  bool begins_again; /* ... with another generation */
  da_promise_state outcome;
  da_slice outcome_data, outcome_rest; /* JSON */
  bool pumping, pump_posted;
  bool sliced;                                /* the first ready fiber was stopped in the midst of its code */
  bool slow_told;                             /* of the span under way */
  uint32_t span_ticks;                        /* processor time of the span under way, as far as it is over */
  const char *park_code;                      /* static; set while parking */
  const da_call *park_recorded, *park_wanted; /* of a replay that diverged: see da_event */
  char *park_text;
  bool recalled; /* dispatched again before its suspension was told */
  int64_t recalled_version;
  bool resting; /* nothing to do, not suspended yet; in the worker's list */
  int64_t rest_until;
  da_timer *rest_timer;
  da_execution *list_prev, *list_next; /* among the warm or the resting */
  size_t warm_bytes;
};

/* ---- doors for bindings, called while Lua of the execution runs --------------------------------------- */

/* The execution L belongs to; NULL while its bundle loads. */
da_execution *da_execution_of(lua_State *L);
/* A line of top-level output while a bundle loads: told in its first load only. */
void da_load_output(lua_State *L, da_slice text);

typedef struct da_call_spec {
  da_call_kind kind;
  da_slice func;   /* function, label, or "~sleep" */
  da_slice key;    /* of with{key=}, or empty */
  da_slice id;     /* of with{id=}, or empty */
  da_slice args;   /* JSON array */
  da_slice target; /* workflow: address of another group, or empty */
  int64_t version; /* workflow, named step: of the function; 0, of another group: the newest */
  da_slice file;
  uint32_t line;
  int64_t timeout_ms; /* -1: none */
  int64_t attempt_timeout_ms;
  const da_retry *retry; /* NULL: the default */
  bool native;           /* step: func is the name of a native */
  bool detached;         /* a workflow with a life of its own */
  int64_t delay_ms;      /* workflow: it begins so much later */
  da_map tags;           /* workflow, promise: of the script's; borrowed */
  int64_t at_ms;         /* sleep: the instant; -1: timeout_ms from now */
  bool has_data;
  da_slice data;   /* promise: JSON for its param */
  int closure_ref; /* inline: registry reference, taken over */
  da_queue queue;  /* recv, acquire, take, send: name, kind, limit, per_ms; func is the name too */
} da_call_spec;

/* The native of that name, or NULL. Any thread. */
const struct da_native *da_worker_native(const da_worker *worker, da_slice name);

/* Makes a durable call, or finds it in the records. NULL: err holds the words of a misuse; or the execution is being
 * parked (da_execution_parking()), then the caller must yield to the host. */
da_child *da_execution_call(da_execution *execution, const da_call_spec *spec, da_err *err);
/* It is given away as a value. What would be recorded only when it ends gets a record now, before whatever it is given
 * to, so that it is found there. */
void da_execution_hand_on(da_child *child);
/* Ends a branch: its outcome becomes its record. data and rest are copied. */
void da_execution_branch_done(da_child *child, da_promise_state outcome, da_slice data, da_slice rest);
/* Gives back what the promise of a recv, acquire or take got, or its place; once, however often it is called. */
void da_execution_give_back(da_execution *execution, da_child *child);
/* A promise of another lineage, to be awaited; never created. That there is none is recorded. May park. */
da_child *da_execution_get(da_execution *execution, da_slice id);
/* Cancels a child: a step is abandoned and recorded as canceled, a timer or promise withdrawn, a workflow asked to
 * cancel; in a branch, or a combinator, `canceled` is raised at its await. */
void da_execution_cancel_child(da_execution *execution, da_child *child, const char *why);

/* A fiber whose function and arguments lie on co, anchored by ref. `child`: what its end completes. */
da_fiber *da_fiber_start(da_execution *execution, lua_State *co, int ref, int arguments, da_scope *scope,
                         da_child *child);
/* A child without a record, completed by da_fiber_done() with a registry reference to its packed results. Of spec:
 * func, file, line. */
da_child *da_execution_fiber_child(da_execution *execution, bool joined, const da_call_spec *spec);
void da_fiber_done(da_execution *execution, da_child *child, da_promise_state state, int results_ref);
da_scope *da_scope_new(da_slice id); /* which it borrows; freed with the fiber of its branch */

/* Registers the current fiber as waiting for all of the children, or the first failure of one; the caller yields if it
 * returns true, goes on if nothing is left to wait for. */
bool da_fiber_wait(da_execution *execution, da_child *const *children, size_t count);
/* From now on the current fiber finds the tag in its inbox once the child was delivered. */
void da_fiber_watch(da_execution *execution, da_child *child, uint32_t tag);
/* The tag of the watched child delivered first among those not yet taken. False: the caller yields and asks again. */
bool da_fiber_next(da_execution *execution, uint32_t *tag);
da_child *da_execution_child(da_execution *execution, uint32_t index);
/* The place of the first child of the scope that was made as number `made` or later. */
size_t da_scope_find(const da_scope *scope, uint64_t made);
/* What the current fiber makes in this scope is sheltered by. */
da_shelter da_execution_shelter(const da_execution *execution, const da_scope *scope);
/* The reason (JSON), if the execution, or what the current fiber completes, is to cancel, or past its deadline, and the
 * fiber is not shielded; else NULL. *code: what to raise, `canceled` or `timedout`; static; may be NULL. */
const da_slice *da_execution_canceled(const da_execution *execution, const char **code);

/* The end of the workflow's function: DA_RESOLVED, DA_REJECTED or DA_CANCELED. data, rest: JSON, copied. */
void da_execution_finish(da_execution *execution, da_promise_state outcome, da_slice data, da_slice rest);
/* Notes a call of da.again, and numbers it; `again` is copied. The end of the workflow's function with the last one:
 * the next generation begins. */
uint32_t da_execution_make_again(da_execution *execution, const da_again *again);
void da_execution_finish_again(da_execution *execution);
/* Is the new path to be taken at the place called `name`? False: err says why this is no name. */
bool da_execution_patched(da_execution *execution, da_slice name, bool *answer, da_err *err);
/* Stops the execution where it is until somebody mends it; the caller yields to the host at once. */
void da_execution_park(da_execution *execution, const char *code, const char *format, ...) DA_PRINTF(3, 4);
bool da_execution_parking(const da_execution *execution);
bool da_execution_replaying(const da_execution *execution);
/* Has the scope, which is about to end, promises that nobody awaited and that were not told yet? */
bool da_execution_forgets(const da_scope *scope);
/* Is it such a promise, told or not? */
bool da_child_forgotten(const da_child *child);
/* Tells them, each place once. */
void da_execution_tell_forgotten(da_execution *execution, const da_scope *scope);
/* A line of print or da.log: told unless replaying. */
void da_execution_output(da_execution *execution, da_slice text);

/* Shows a value (JSON; ptr NULL: takes the key away) to whoever looks at the execution. Durable with the next recorded
 * call. Fails on more keys or bytes than limits.h allows. */
da_status DA_MUST_USE da_execution_publish(da_execution *execution, da_slice key, da_slice value, da_err *err);

/* ---- between the files of the room --------------------------------------------------------------------- */

/* Images (restore.h). */
typedef struct da_imaging {
  bool on;
  da_mac key;
  da_digest abi;
  uint64_t after, every; /* calls; see da_worker_options */
  bool told;             /* that none can be sealed */
} da_imaging;

struct da_worker {
  da_worker_options options;
  int refs; /* its owner's, one per execution, one per op or post under way */
  da_sched *sched;
  da_region *region;
  da_step_pool *steps;
  da_watch *watch;
  da_imaging imaging;
  int64_t span_limit_ms;
  struct da_group *groups;                      /* as many as options.targets */
  da_execution *codeless;                       /* wait for a bundle that defines their function */
  da_table abroad;                              /* id -> da_abroad: nobody took it so far */
  struct da_abroad *abroad_first, *abroad_last; /* in the order in which they are offered */
  size_t abroad_left;                           /* still to be offered by the walk under way */
  da_buf abroad_prefix;                         /* of the addresses it offers to */
  bool abroad_walks;                            /* it is posted */
  da_slice pid;
  da_table executions; /* id -> da_execution */
  da_table interest;   /* id -> da_interest */
  da_table follows;    /* id -> da_follow */
  da_table admitted;   /* root id -> its slice */
  da_table died;       /* id -> its slice: a dead process held its task; until it is loaded */
  da_table attached;   /* id -> its slice: what it awaits was let in once, from there on it sees to that itself */
  da_table bundles;    /* 16-byte hash -> da_served */
  da_table histories;  /* id -> da_history: old generations that are being dropped */
  da_table told;       /* places that make promises which nobody awaits: hash of the bundle, file, line, function */
  da_table noted;      /* name of a step -> its slice: the log has a remark on its results */
  da_table seals;      /* id -> da_seal: images under way */
  size_t seal_bytes;   /* of theirs */
  da_table evicted;    /* id -> da_evicted: how far it had come */
  da_evicted **evicted_ring;
  size_t evicted_next;
  bool driving, driving_all;
  da_execution *warm_first, *warm_last; /* oldest first */
  da_execution *rest_first, *rest_last; /* the same of those that are about to suspend */
  size_t warm_bytes, warm_limit;
  da_execution **waiting; /* loaded, no free slot: a queue */
  size_t waiting_head, waiting_count, waiting_cap;
  struct da_retreat *retreats;
  da_worker_stats stats;
  da_arena arena;
  da_far far;                    /* what options.far points to */
  struct da_far_wait *far_waits; /* executes without room, oldest first */
  size_t far_wait_count;
  bool far_paused, far_taking, far_dialect_told;
  bool far_one_origin;   /* its server lets nothing wait for a promise of another lineage */
  bool far_plain_timers; /* its server refuses timers that have a target */
  da_table far_left;     /* function -> da_far_left: how long its tasks are kept before they are given back */
  bool draining;         /* nothing new is taken up */
  size_t giving_back;    /* releases without an answer */
  void (*drained)(void *user);
  void *drained_user;
  da_timer *trim_timer;
  bool entering; /* enter_waiting() is posted */
  bool closing;
};

typedef struct da_served {
  da_bundle *bundle;
  da_function *functions;
  size_t function_count;
  da_declared *declared; /* schedules, of the last time it was loaded */
  da_arena declared_arena;
  size_t declared_count;
  bool served; /* named on the command line, not only found in the store */
  bool stored; /* the store has it, or is about to: false again if that failed */
  da_arena arena;
} da_served;

/* execution.c */
da_execution *da_execution_new(da_worker *worker, da_slice id);
void da_execution_ref(da_execution *execution);
void da_execution_unref(da_execution *execution);
/* Claims the task (id, version) and goes on from there: load, replay, run. */
void da_execution_claim(da_execution *execution, int64_t version);
/* The task is held (version) and the execution is new: nothing to read. promise is copied. */
void da_execution_begin(da_execution *execution, int64_t version, const da_promise *promise);
/* The task is held (version), the execution is new, its records are read. */
void da_execution_reload(da_execution *execution, int64_t version);
/* The task is held (version): its records are read once more. */
void da_execution_reread(da_execution *execution, int64_t version);
/* It has a bundle now, or is to be parked: it is entered as soon as a slot is free. */
void da_execution_ready(da_execution *execution);
/* Loaded, with a bundle: runs. False: no slot is free. */
bool da_execution_enter(da_execution *execution);
/* Forgets it here; nothing is written. */
void da_execution_drop(da_execution *execution);
/* Runs what can run: fibers, deliveries; then suspends, finishes or waits. */
void da_execution_pump(da_execution *execution);
void da_execution_event(da_execution *execution, da_event_kind kind, const da_child *child);
/* After a call: if the store is behind, the fiber that made it pauses at its next instruction. */
void da_execution_throttle(da_execution *execution);
/* Submits the op for the execution; done must begin with da_execution_op_done(). */
void da_execution_submit(da_execution *execution, da_op *op, da_child *child, void (*done)(da_op *op));
/* Once more, of an op that was submitted and answered. */
void da_execution_resubmit(da_execution *execution, da_op *op, da_child *child, void (*done)(da_op *op));
typedef struct da_op_context {
  da_execution *execution;
  da_child *child;
} da_op_context;
/* Returns false, with the op deleted, if the execution is gone or the op failed (then it retreats or is dropped). */
bool da_execution_op_done(da_op *op, da_op_context *context);
/* Of a far one: goes on from the answer to its claim, which it is given. */
void da_execution_load_claim(da_execution *execution, da_op *claim);
void da_execution_op_over(da_op *op); /* a done for an op whose answer does not matter */

/* suspend.c */
/* Nothing of it can run: it rests, and is suspended if nothing comes. */
void da_execution_rest(da_execution *execution);
/* Suspends a resting execution now: somebody needs its slot. */
void da_execution_rest_over(da_execution *execution);

/* park.c */
/* Parks it for the reason its isolate was poisoned with by the library. */
void da_execution_park_poisoned(da_execution *execution);
/* Carries out what da_execution_park() asked for: its task is halted, a record says why. */
void da_execution_halt(da_execution *execution);
/* Ends one that never began. data: JSON, copied. The execution may be gone afterwards. */
void da_execution_end_at_once(da_execution *execution, da_promise_state outcome, da_slice data);
/* An op of the execution failed for want of what the store should hold: it is parked, or, if even that cannot be
 * written, told as parked and dropped. */
void da_execution_store_failed(da_execution *execution, const da_op *op);
/* Forgets it and has its task dispatched again in a second (storage was full). */
void da_execution_retreat(da_execution *execution);
/* Gives the task back so much later; then it is dispatched anew. */
void da_retreat_release(da_worker *worker, da_slice id, int64_t version, int64_t wait_ms);
void da_retreat_hurry(da_worker *worker); /* now, all of them */
void da_retreat_free_all(da_worker *worker);

/* replay.c */
/* For an op on the store thread: the promise of the execution and what was recorded below it. */
da_status da_replay_read(da_store *store, da_op *op, da_err *err);
const da_promise *da_replay_promise(const da_op *op); /* NULL: there is none */
const da_promise *da_replay_mark(const da_op *op);    /* of its generation; NULL: it is the first */
/* In place of a read: the records that came with a claim on a server elsewhere. */
void da_replay_of_claim(da_execution *execution, da_op *op);
/* Takes what the op read, and the op. */
void da_replay_load(da_execution *execution, da_op *op);
/* evicted.c: how far an execution that is evicted had come; taken by its replay. */
void da_evicted_put(da_worker *worker, da_slice id, uint64_t position);
void da_evicted_keep(da_execution *execution);
void da_evicted_take(da_execution *execution);
void da_evicted_delete(da_worker *worker);
/* Does the call find its record? *found NULL: it has none. False: it diverges, the execution is being parked. */
bool da_replay_find(da_execution *execution, da_slice id, const da_call *call, da_record **found);
void da_replay_meet(da_child *child, da_record *found);
/* A promise it waits for, or will wait for once the program is there, was settled. */
void da_replay_told(da_execution *execution, const da_promise *promise);
/* The first recorded call that the program never made, or NULL. */
const da_promise *da_replay_unreached(const da_execution *execution);
/* Has the program made every recorded call? False: it is being parked. */
bool da_replay_all_reached(da_execution *execution);

/* publish.c */
void da_publish_before(da_execution *execution); /* an op that records something is about to be submitted */
void da_publish_flush(da_execution *execution);  /* nothing of it can run for now */
void da_publish_free(da_execution *execution);
/* What it shows, in at most DA_LIVE_KEYS_MAX places; borrowed. */
size_t da_publish_list(const da_execution *execution, da_slice *keys, da_slice *values);

/* rehearse.c */
bool da_rehearse_call(da_child *child);         /* is the new call to be left undone? Then it is told */
void da_rehearse_over(da_execution *execution); /* nothing of it can run any more */

/* call.c */
da_child *da_call_new(da_execution *execution, da_scope *scope, da_call_kind kind, da_slice id);
void da_call_free(da_child *child);
/* Borrowed until the next one is asked for. */
da_slice da_call_id(da_execution *execution, da_scope *scope, const da_call_spec *spec);
da_counter *da_counter_new(da_slice name); /* which is copied */
da_request *da_call_request(da_op *op, da_execution *execution, da_req_kind kind, const da_child *child);
void da_call_tags(da_arena *arena, da_execution *execution, da_scope *scope, da_slice id, da_request *request,
                  bool local);
void da_call_add_tag(da_arena *arena, da_request *request, da_slice key, da_slice value);
da_value da_call_value(da_arena *arena, da_slice data, da_slice rest);
/* What a script is told of a value: JSON text, empty if there is no data. What came from outside and is not JSON is the
 * text that it is. Borrowed from the value, or in the arena. */
da_slice da_call_json(da_arena *arena, const da_value *value);
/* Of an execution: what to call, with what, in which version. */
da_value da_call_param(da_arena *arena, da_slice func, da_slice args, int64_t version);
/* Records a step or a branch, settled. */
void da_call_record(da_child *child, da_promise_state state, da_slice data, da_slice rest);
/* As da_call_completed() of one that an image holds, without an event. */
void da_call_restored(da_child *child, const da_promise *promise);
void da_scope_add(da_scope *scope, da_child *child);
void da_call_free_index(da_execution *execution, uint32_t index); /* no handle has it any more */
/* The store settled it: told to the program in its turn. */
void da_call_completed(da_child *child, const da_promise *promise);
/* A settled child becomes one that failed so. */
void da_call_overrule(da_child *child, da_promise_state state, const char *code, const char *why);

/* step.c */
void da_step_start(da_child *child, const da_call_spec *spec);
void da_step_restart(da_child *child); /* of an image: it was under way, and has ended only if a record says so */
void da_step_go(da_child *child);      /* its first attempt, unless it was abandoned before */
/* The program cancels it: one that runs has a moment to end by itself, then it is recorded as canceled. */
void da_step_cancel(da_child *child, const char *why);
void da_step_over(da_child *child); /* what it needed while it was under way goes */
void da_step_stop(da_child *child); /* its timers and its job: the execution is gone */

/* A step that is cancelled while it runs may end by itself: what it did is known then. */
enum { DA_CANCEL_GRACE_MS = 2000 };

/* deadline.c */
/* The instant that the tag `name` holds, or DA_TIME_MAX. */
int64_t da_deadline_instant(const da_promise *promise, const char *name);
/* When a call starts: its created_at, timeout_at, deadline_at. */
void da_deadline_set(da_child *child, const da_call_spec *spec);
int64_t da_deadline_told(const da_child *child); /* what a step is told: it is cancelled then, or given up */
void da_deadline_tag(da_op *op, da_request *request, const da_child *child); /* of a workflow's promise */
void da_deadline_take(da_execution *execution, const da_promise *promise);   /* what that says */
void da_deadline_root(da_op *op, da_request *request, int64_t at);           /* of a root's request; 0: none */
void da_deadline_delay(da_op *op, da_request *request, int64_t at);          /* it begins then; 0: at once */
void da_deadline_begin(da_execution *execution);                             /* before its code runs */
void da_deadline_delivered(da_execution *execution);

/* builtin.c */
/* Does the group, which may be NULL and must serve something, have such a function? */
bool da_builtin_find(const da_worker *worker, const struct da_group *group, da_slice func);
/* Ends the execution, whose promise is known, if that is what it calls. */
bool da_builtin_answer(da_execution *execution);

/* again.c */
uint32_t da_again_number(const da_promise *promise); /* of the execution's newest generation, from 1 */
void da_again_request(da_execution *execution, da_op *op);
void da_again_begun(da_op *op); /* the done of such an op, in which that request is the last */

/* history.c */
/* Drops, in the background, what the generations of `id` before its newest have left. */
void da_history_drop(da_worker *worker, da_slice id);
void da_history_free(da_worker *worker);

/* group.c */
typedef struct da_group da_group;
void da_groups_create(da_worker *worker);
void da_groups_destroy(da_worker *worker);
/* The bundle is the newest of its script in the group from now on. */
void da_group_add(da_worker *worker, size_t group, da_served *served);
/* The group of an address; NULL: none of this worker. */
da_group *da_worker_group(const da_worker *worker, da_slice address);
/* The bundles that calls by name run from, newest first; NULL behind the last. Borrowed. */
da_bundle *da_group_bundle(const da_group *group, size_t at);
/* The bundle a workflow that is called by name runs from: of the caller's script if that defines it, else of the newest
 * one. *version 0: becomes the highest. NULL: none defines it. */
da_served *da_group_find(const da_group *group, da_slice func, int64_t *version, const da_bundle *caller);
/* The bundle a step's function runs from: the newest of the same script in the execution's group that defines it, else
 * the pinned one. */
da_bundle *da_group_step_bundle(const da_execution *execution, da_slice func, int64_t version);
/* The function that its parameters name; empty if they are no call. */
da_slice da_group_function(da_execution *execution);
/* An execution that is pinned to no bundle gets one, now or later, or ends as `unknown_function`, or as `invalid_call`
 * if its parameters are none: at once, or, where a worker of another process may understand them, after a while. */
void da_group_find_code(da_execution *execution);
/* The version of the function that its parameters name; 0: none. */
int64_t da_group_version(const da_execution *execution);
void da_group_lose(da_execution *execution); /* it waits no longer */
/* What a promise calls: the function, and its version, or 0. In the arena. False: it is no call that a script could
 * get.
 */
bool da_group_read_call(const da_promise *promise, da_arena *arena, da_slice *func, int64_t *version);
/* Tells that the task `id` waits for a worker of another process: no script here has its function. */
void da_group_tell_abroad(da_worker *worker, da_slice id, da_slice address, da_slice func, int64_t version);
/* Tells that the task `id` waits for a group that is not of this worker. */
void da_group_tell_unserved(da_worker *worker, da_slice id, da_slice address);

/* execution.c */
bool da_execution_is_timer(const da_promise *promise);
void da_scope_clear(da_scope *scope); /* frees what it owns */
void da_scope_free(da_scope *scope);

/* prune.c: of a tidy isolate in which nothing runs */
void da_execution_prune(da_execution *execution);

/* abroad.c */
/* An execute of an execution that this worker does not know, and that may be for others. */
void da_abroad_consider(da_worker *worker, const da_message *message);
void da_abroad_offered(da_worker *worker, da_slice prefix); /* somebody has come for addresses that begin so */
void da_abroad_reconsider(da_worker *worker);               /* a bundle has come */
/* A claimed execution whose code is not here: true if a connected worker is to have it; then it is dropped. */
bool da_abroad_give_back(da_execution *execution);
void da_abroad_settled(da_worker *worker, da_slice id);
void da_abroad_free(da_worker *worker);

/* crash.c */
/* A dead process held the task of execution `id`. */
void da_crash_note(da_worker *worker, da_slice id);
void da_crash_load(da_execution *execution); /* was that one? */
/* Before the first attempt of a step. True: it has to wait, da_step_go() comes later, or never. */
bool da_crash_guard(da_child *child);

/* foreign.c */
void da_foreign_start(da_child *child, const da_call_spec *spec);
void da_foreign_look_up(da_child *child); /* asks the store for the promise; makes none */
void da_foreign_open(da_child *child);
void da_foreign_close(da_child *child); /* settled, or nobody's business any more */
void da_foreign_withdraw(da_child *child);

void da_foreign_wait(da_child *child); /* open, and the worker tells its settlement */

/* queue.c */
void da_queue_start(da_child *child, const da_call_spec *spec);
static inline bool da_queue_waits(da_call_kind kind)
{
  return kind == DA_CALL_RECV || kind == DA_CALL_ACQUIRE || kind == DA_CALL_TAKE;
}
/* Of one that was told what it got, unless an await has handed that to the code: it goes back. */
void da_queue_take_back(da_child *child, const char *why);
/* The names under which the ids of these calls are counted: "~recv-orders". */
da_slice da_queue_counted(da_arena *arena, const da_call_spec *spec);
/* The code of the error that an answer of the engine about a queue becomes, or NULL. Static. */
const char *da_queue_code(int status);
/* A branch ended: what waited in it, and nobody awaits, waits no more. */
void da_queue_leave_scope(da_scope *scope, da_execution *execution);
/* To be added to the op that ends the execution. */
void da_queue_add_returns(da_execution *execution, da_op *op);

/* fiber.c */
void da_fiber_run_ready(da_execution *execution);
void da_fiber_wake(da_fiber *fiber);
void da_fiber_enqueue(da_execution *execution, da_delivery delivery);
/* The same without the order, for many; da_fiber_sort() then. */
void da_fiber_append(da_execution *execution, da_delivery delivery);
void da_fiber_sort(da_execution *execution);
bool da_fiber_deliver_next(da_execution *execution);
/* Wakes those in which something is to be raised: see da_execution_canceled(). */
void da_fiber_wake_all(da_execution *execution);
/* da_execution_canceled() of this fiber (or NULL). */
const da_slice *da_fiber_canceled(const da_execution *execution, const da_fiber *fiber, const char **code);
void da_fiber_add_waiter(da_child *child, da_fiber *fiber, uint32_t token, uint32_t tag);
bool da_fiber_awaited(const da_child *child); /* does any fiber wait for it now? */
void da_fiber_free(da_fiber *fiber);

/* served.c */
da_served *da_worker_bundle(da_worker *worker, const da_digest *hash);
da_served *da_worker_keep(da_worker *worker, da_bundle *bundle);

/* worker.c */
void da_worker_ref(da_worker *worker);
void da_worker_unref(da_worker *worker);
void da_worker_interest(da_worker *worker, da_execution *execution, da_slice id);
void da_worker_lose_interest(da_worker *worker, da_execution *execution, da_slice id);
/* If the promise is a request to cancel, settled, the execution that it asks is told. */
void da_worker_tell_cancel(da_worker *worker, const da_promise *promise);
void da_worker_warm(da_worker *worker, da_execution *execution);
void da_worker_rest(da_worker *worker, da_execution *execution);
void da_worker_unlist(da_worker *worker, da_execution *execution); /* out of the warm or the resting */
bool da_worker_make_room(da_worker *worker);                       /* evicts one warm execution */
/* Enters it as soon as a slot is free, in the order of the calls. */
void da_worker_enter(da_worker *worker, da_execution *execution);
void da_worker_slot_freed(da_worker *worker);
void da_worker_look_at_rest(
    da_worker *worker); /* an execution ended or rests: if it was the last, memory is given back */
/* For da_isolate_new(): opens the library and runs the bundle's script. */
typedef struct da_load_context {
  da_host host;
  da_worker *worker;
  const da_bundle *bundle;
  bool loud;      /* top-level output sounds */
  bool runaway;   /* the script never came to its end... */
  char place[96]; /* ... and was here */
} da_load_context;
int da_worker_open_isolate(lua_State *L, void *user);

/* schedule.c: reads what the script in L declared, and the zones. DA_EINVAL names file and line. */
da_status DA_MUST_USE da_schedules_learn(lua_State *L, da_served *served, da_err *err);

/* start.c */
void da_start_tell_follows(da_worker *worker, const da_promise *promise);
/* Releases a task that this worker acquired and will not run. */
void da_start_give_back(da_worker *worker, da_slice id, int64_t version);
void da_start_free_follows(da_worker *worker);
/* Somebody here waits for it: it is driven here too, with what it awaits, unless every execution is. */
void da_start_attach(da_worker *worker, da_slice id);
/* The op that asks execution `id` to cancel; not submitted. */
da_op *da_cancel_op(da_slice id, da_slice why);
/* The op that ends as canceled an execution that has not begun, since it is delayed; refused if it has. Not submitted.
 */
da_op *da_cancel_unbegun_op(da_slice id, da_slice why);

#endif
