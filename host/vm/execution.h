/* execution.h - one execution: its isolate, its fibers, its durable calls, what it waits for.
 *
 * Here:     the struct, and the doors bindings use while Lua of the execution runs (call, wait, finish, park).
 * May not:  encode a Lua value: arguments and results arrive as JSON bytes.
 * Threads:  the loop thread.
 * Files:    execution.c (life: claim, load, run, suspend, finish), call.c (durable calls and their records), fiber.c
 *           (fibers, waiting, delivery), worker.c (who owns executions).
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

#include "isolate.h"
#include "step_pool.h"
#include "worker.h"

/* Registry keys of the functions that bindings leave in an isolate. */
#define DA_ISOLATE_MAIN "da.main" /* (function name, args JSON): runs the workflow, ends with da_execution_finish() */
#define DA_ISOLATE_INLINE "da.inline_main" /* (closure) -> ok, data JSON, rest JSON or nil, fatal; never raises */
#define DA_ISOLATE_LOADED "da.loaded"      /* (): called when the script was run: no more definitions, globals frozen */
#define DA_ISOLATE_MODULES \
  "da.modules" /* what require gives; not the stock key, which luaL_argerror walks in hash order */
#define DA_ISOLATE_FUNCTIONS "da.functions" /* name -> {workflow = bool, file = , line = } */

typedef struct da_execution da_execution;
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
  da_slice id;         /* in the execution's arena */
  da_table counts;     /* name -> counter */
  da_child **children; /* made here, in order */
  size_t count, cap;
};

/* A durable call of this execution, or (kind DA_CALL_NONE) a fiber without a record, such as the one behind da.all().
 */
struct da_child {
  uint32_t index; /* the handle Lua holds; from 1 */
  da_call_kind kind;
  da_call call;
  da_slice id; /* empty without a record */
  da_scope *scope;
  bool foreign;   /* settled by somebody else: workflow, timer, promise */
  bool global;    /* has an id of its own, not below this execution's */
  bool observed;  /* was handed to an await or a combinator */
  bool ignored;   /* a failure nobody awaits is not raised at the join */
  bool joined;    /* is waited for at the end of its scope */
  bool settled;   /* known to be settled */
  bool delivered; /* ... and told to the program */
  bool abandoned; /* what still comes of it is not recorded */
  uint64_t seq;
  uint32_t delivered_at; /* order of delivery in this execution, from 1 */
  da_promise_state state;
  int64_t settled_at;
  da_slice data; /* JSON; borrowed from the load op, or owned (see owned) */
  da_slice rest; /* JSON array of further results */
  char *owned;
  int results_ref; /* fiber without a record: registry reference of its packed results */
  struct da_child_waiter {
    da_fiber *fiber;
    uint32_t token;
  } * waiters;
  size_t waiter_count, waiter_cap;
  /* a step under way */
  da_retry retry;
  int attempt;
  int64_t created_at;
  int64_t timeout_at;
  int64_t attempt_timeout_ms; /* 0: none */
  da_slice args;              /* in the execution's arena */
  int closure_ref;            /* inline */
  da_step_job *job;
  da_timer *timer; /* the next attempt */
  da_timer *limit; /* deadline, or end of the attempt */
  da_execution *execution;
};

struct da_fiber {
  da_execution *execution;
  lua_State *co;
  int ref; /* registry anchor of co */
  int arguments;
  da_scope *scope;
  da_child *child; /* what it completes; NULL: the execution itself */
  bool done;
  bool ready;
  bool shielded;
  uint32_t token; /* of the wait under way; 0 when not waiting */
  size_t wait_left;
  bool wait_any;
  da_fiber *next_ready;
  da_fiber *next;
};

/* A record found by the scan at the start of a replay. */
typedef struct da_record {
  const da_promise *promise;
  da_child *child; /* once the program reached it */
} da_record;

typedef struct da_delivery {
  uint64_t seq;
  da_child *child;   /* live */
  da_record *record; /* replay */
  bool cancels;      /* a request to cancel; its reason, JSON, lives in the execution's arena */
  da_slice cancel;
  int64_t settled_at;
} da_delivery;

/* What the host pointer of an isolate leads to: the first member of both. */
typedef struct da_host {
  bool loading; /* a da_load_context, else a da_execution */
} da_host;

struct da_execution {
  da_host host;
  da_worker *worker;
  da_execution_state state;
  int refs; /* one for the worker's table, one per op, job or timer under way */
  da_arena arena;
  da_slice id;
  da_slice root;
  int64_t version;
  int64_t created_at;
  int64_t timeout_at;
  da_bundle *bundle;
  da_slice func;
  da_slice args;
  da_isolate *isolate;
  lua_State *L;

  da_fiber *fibers, *current;
  da_fiber *ready_first, *ready_last;
  da_scope main;
  da_child **children;
  size_t child_count, child_cap;
  da_table by_id; /* id -> da_child */
  uint32_t next_ordinal;
  uint32_t next_token;

  da_op *load; /* keeps the records */
  da_table records;
  da_record *record_list;
  size_t record_count;
  size_t unreached;
  da_slice *by_ordinal; /* id of the record that holds an ordinal */
  size_t ordinal_cap;

  da_delivery *queue; /* by seq */
  size_t queue_head, queue_count, queue_cap;
  uint64_t position;
  int64_t clock_ms;
  uint32_t delivered_count;
  size_t recorded_left; /* recorded completions not yet delivered */
  size_t holds;         /* answers that the next delivery must wait for */
  size_t busy;          /* steps, retries and records under way: no suspension before they end */

  bool inline_running;
  bool cancel_requested;
  da_slice cancel_why; /* JSON */
  bool finished;
  da_promise_state outcome;
  da_slice outcome_data, outcome_rest; /* JSON */
  bool pumping, pump_posted;
  const char *park_code; /* static; set while parking */
  char *park_text;
  da_execution *warm_prev, *warm_next;
  size_t warm_bytes;
};

/* ---- doors for bindings, called while Lua of the execution runs --------------------------------------- */

/* The execution L belongs to; NULL while its bundle loads. */
da_execution *da_execution_of(lua_State *L);
/* A line of top-level output while a bundle loads: told in its first load only. */
void da_load_output(lua_State *L, da_slice text);

typedef struct da_call_spec {
  da_call_kind kind;
  da_slice func; /* function, label, or "~sleep" */
  da_slice key;  /* of with{key=}, or empty */
  da_slice id;   /* of with{id=}, or empty */
  da_slice args; /* JSON array */
  da_slice file;
  uint32_t line;
  int64_t timeout_ms; /* -1: none */
  int64_t attempt_timeout_ms;
  const da_retry *retry; /* NULL: the default */
  int64_t at_ms;         /* sleep: the instant; -1: timeout_ms from now */
  bool has_data;
  da_slice data;   /* promise: JSON for its param */
  int closure_ref; /* inline: registry reference, taken over */
} da_call_spec;

/* Makes a durable call, or finds it in the records. NULL: err holds the words of a misuse; or the execution is being
 * parked (da_execution_parking()), then the caller must yield to the host. */
da_child *da_execution_call(da_execution *execution, const da_call_spec *spec, da_err *err);
/* Ends a branch: its outcome becomes its record. data and rest are copied. */
void da_execution_branch_done(da_execution *execution, da_child *child, bool ok, da_slice data, da_slice rest);
/* A promise of another lineage, to be awaited; never created. */
da_child *da_execution_get(da_execution *execution, da_slice id);
/* Cancels a child: a step is abandoned and recorded as canceled, a timer or promise withdrawn, a workflow asked to
 * cancel. */
void da_execution_cancel_child(da_execution *execution, da_child *child, const char *why);

/* A fiber whose function and arguments lie on co, anchored by ref. `child`: what its end completes. */
da_fiber *da_fiber_start(da_execution *execution, lua_State *co, int ref, int arguments, da_scope *scope,
                         da_child *child);
/* A child without a record, completed by da_fiber_done() with a registry reference to its packed results. */
da_child *da_execution_fiber_child(da_execution *execution, bool joined);
void da_fiber_done(da_execution *execution, da_child *child, bool ok, int results_ref);
da_scope *da_scope_new(da_execution *execution, da_slice id);

/* Registers the current fiber as waiting for all (any: the first) of the children; the caller yields if it returns
 * true, goes on if nothing is left to wait for. */
bool da_fiber_wait(da_execution *execution, da_child *const *children, size_t count, bool any);
/* The result of the wait: has the fiber what it waited for? */
bool da_fiber_satisfied(da_child *const *children, size_t count, bool any);
da_child *da_execution_child(da_execution *execution, uint32_t index);
/* The reason (JSON), once a request to cancel was delivered and the current fiber is not shielded; else NULL. */
const da_slice *da_execution_canceled(const da_execution *execution);

/* The end of the workflow's function: DA_RESOLVED, DA_REJECTED or DA_CANCELED. data, rest: JSON, copied. */
void da_execution_finish(da_execution *execution, da_promise_state outcome, da_slice data, da_slice rest);
/* Stops the execution where it is until somebody mends it; the caller yields to the host at once. */
void da_execution_park(da_execution *execution, const char *code, const char *format, ...) DA_PRINTF(3, 4);
bool da_execution_parking(const da_execution *execution);
bool da_execution_replaying(const da_execution *execution);
/* A line of print or da.log: told unless replaying. */
void da_execution_output(da_execution *execution, da_slice text);

/* ---- between execution.c, call.c, fiber.c and worker.c ------------------------------------------------- */

struct da_worker {
  da_worker_options options;
  da_sched *sched;
  da_region *region;
  da_step_pool *steps;
  da_slice target;
  da_slice pid;
  da_table executions; /* id -> da_execution */
  da_table interest;   /* id -> da_interest */
  da_table follows;    /* id -> da_follow */
  da_table admitted;   /* root id -> da_admitted */
  da_table bundles;    /* 16-byte hash -> da_served */
  struct da_served *newest;
  bool driving, driving_all;
  da_execution *warm_first, *warm_last; /* oldest first */
  size_t warm_bytes, warm_limit;
  da_execution **waiting; /* loaded, no free slot */
  size_t waiting_count, waiting_cap;
  da_worker_stats stats;
  da_arena arena;
  bool entering; /* enter_waiting() is posted */
  bool closing;
};

typedef struct da_served {
  da_bundle *bundle;
  da_function *functions;
  size_t function_count;
  bool served;             /* named on the command line, not only found in the store */
  struct da_served *older; /* served before it */
  da_arena arena;
} da_served;

typedef struct da_interest {
  da_slice id; /* owned */
  da_child **children;
  size_t count, cap;
} da_interest;

da_execution *da_execution_new(da_worker *worker, da_slice id);
void da_execution_ref(da_execution *execution);
void da_execution_unref(da_execution *execution);
/* Claims the task (id, version) and goes on from there: load, replay, run. */
void da_execution_claim(da_execution *execution, int64_t version);
/* The task is held (version) and the execution is new: nothing to read. promise is copied. */
void da_execution_begin(da_execution *execution, int64_t version, const da_promise *promise);
/* Loaded, with a bundle; runs as soon as a slot is free. */
void da_execution_enter(da_execution *execution);
/* Forgets it here; nothing is written. */
void da_execution_drop(da_execution *execution);
/* Forgets it and has its task dispatched again in a second (storage was full). */
void da_execution_retreat(da_execution *execution);
/* Runs what can run: fibers, deliveries; then suspends, finishes or waits. */
void da_execution_pump(da_execution *execution);
void da_execution_event(da_execution *execution, da_event_kind kind, const da_child *child);
/* Submits the op for the execution; done must begin with da_execution_op_done(). */
void da_execution_submit(da_execution *execution, da_op *op, da_child *child, void (*done)(da_op *op));
typedef struct da_op_context {
  da_execution *execution;
  da_child *child;
} da_op_context;
/* Returns false, with the op deleted, if the execution is gone or the op failed (then it retreats or is dropped). */
bool da_execution_op_done(da_op *op, da_op_context *context);

/* call.c */
const char *da_call_kind_name(da_call_kind kind);
void da_call_load(da_execution *execution, da_op *load); /* takes the records the scan left in record_list */
void da_call_free(da_child *child);
void da_call_stop(da_child *child); /* timers and job of a step */
void da_call_tags(da_arena *arena, da_execution *execution, da_scope *scope, da_slice id, da_request *request,
                  bool local);
/* The store settled it: told to the program in its turn. */
void da_call_completed(da_child *child, const da_promise *promise);

/* fiber.c */
void da_fiber_run_ready(da_execution *execution);
void da_fiber_wake(da_fiber *fiber);
void da_fiber_enqueue(da_execution *execution, da_delivery delivery);
bool da_fiber_deliver_next(da_execution *execution);
void da_fiber_wake_all(da_execution *execution);

/* worker.c */
void da_worker_interest(da_worker *worker, da_child *child);
void da_worker_lose_interest(da_worker *worker, da_child *child);
da_served *da_worker_bundle(da_worker *worker, const da_digest *hash);
da_served *da_worker_keep(da_worker *worker, da_bundle *bundle);
/* The bundle a step's function runs from: the newest served one that defines it, else the pinned one. */
da_bundle *da_worker_step_bundle(da_worker *worker, da_slice func, da_bundle *pinned);
void da_worker_warm(da_worker *worker, da_execution *execution);
void da_worker_unwarm(da_worker *worker, da_execution *execution);
bool da_worker_make_room(da_worker *worker); /* evicts one warm execution */
void da_worker_slot_freed(da_worker *worker);
/* For da_isolate_new(): opens the library and runs the bundle's script. */
typedef struct da_load_context {
  da_host host;
  da_worker *worker;
  const da_bundle *bundle;
  bool loud; /* top-level output sounds */
} da_load_context;
int da_worker_open_isolate(lua_State *L, void *user);

#endif
