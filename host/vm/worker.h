/* worker.h - who drives executions: claims their tasks, runs their Lua, records what they did, lets them go.
 *
 * Here:     the registry of served bundles and their functions, the executions under way, the warm cache, the way from
 *           an execute message to a fulfilled task.
 * May:      speak to the store through da_sched_submit() only.
 * May not:  decide what a promise means (the engine does), encode a Lua value (bindings do).
 * Threads:  the loop thread; steps run on threads of step_pool.c and come back through da_sched_post().
 *
 * An execution, as the worker sees it (execution.c performs each arrow):
 *
 *     CLAIMING --acquired--> LOADING --records and bundle there--> RUNNING <--> WAITING (steps or ops under way)
 *        RUNNING --for a moment nothing but promises of others to wait for--> SUSPENDING --200--> SUSPENDED (warm, or
 *                                                             |                                        dropped)
 *                                                             +--300--> RUNNING
 *        SUSPENDED --execute message--> CLAIMING (warm: goes on; cold: LOADING, replay)
 *        RUNNING --function returned or raised, children joined--> FINISHING --fulfilled--> gone
 *        any --divergence, quota--> PARKING --halted--> gone
 *        any --own promise settled from outside, task lost--> gone
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_WORKER_H
#define DA_VM_WORKER_H

#include "../base/limits.h"
#include "../sched/sched.h"
#include "bundle.h"

struct lua_State;
struct da_step_job;
typedef struct da_worker da_worker;

/* The address of the group that is meant where none is named: "poll://any@default". */
extern const da_slice da_default_target;

/* What bindings bring: they open the library in a new Lua state. Called protected, may raise. */
typedef struct da_worker_hooks {
  int (*open_isolate)(struct lua_State *L); /* `da` and its natives for an execution */
  int (*open_step)(struct lua_State *L);    /* the same for a step state */
  /* Appends what others may call of a bundle, which is loaded in L: the answer to the function `~stubs` (builtin.c),
   * for all bundles of a group. NULL: nobody can ask that. */
  da_status (*stubs)(struct lua_State *L, da_buf *out, da_err *err);
  /* The native of that name ("sensor.read"), which lives as long as the worker; NULL: there is none. The hook may be
   * NULL: there are none at all. Any thread. */
  const struct da_native *(*native)(void *natives, da_slice name);
  void *natives;
} da_worker_hooks;

typedef enum da_event_kind {
  DA_EVENT_STARTED,   /* an execution runs for the first time */
  DA_EVENT_RESTARTED, /* it was recovered by replay, or from an image; count = save points replayed */
  DA_EVENT_AGAIN,     /* it began again; count = its generation */
  DA_EVENT_RESUMED,   /* it goes on in memory after an await */
  DA_EVENT_CALLED,    /* it made a durable call (child, kind, func); not told again on replay */
  DA_EVENT_REPLAYED,  /* it met a recorded call on replay */
  DA_EVENT_ATTEMPT,   /* an attempt of a step failed and will be repeated at at_ms; attempt, text */
  DA_EVENT_PROGRESS,  /* a step says how far it is: text; not more than ten times a second */
  DA_EVENT_SETTLED,   /* a child settled: state */
  DA_EVENT_SUSPENDED, /* it waits for others; child = one awaited id */
  DA_EVENT_PARKED,    /* text says why and which command mends it */
  DA_EVENT_COMPLETED, /* its own promise settled: state */
  DA_EVENT_UNSERVED,  /* it waits for code that nobody serves here: text says which; func: the same words, the same key
                       */
  DA_EVENT_OUTPUT     /* print or da.log of the script; text, without a line end */
} da_event_kind;

/* How far a step says it is: "3/10 copying". */
typedef struct da_progress {
  bool told; /* else it never said anything */
  double done;
  double total; /* < 0: unknown */
  size_t note_len;
  char note[DA_PROGRESS_NOTE_MAX];
} da_progress;
void da_progress_text(const da_progress *progress, da_buf *out); /* appends */

typedef struct da_event {
  da_event_kind kind;
  da_slice execution; /* id; borrowed, as all slices here, until the callback returns */
  da_slice child;     /* id of the call, or empty */
  da_call_kind call;
  da_slice func;
  da_promise_state state;
  bool image;  /* RESTARTED: from one, behind which so many save points are replayed */
  bool branch; /* CALLED, REPLAYED: a workflow's or branch's own execution nests below it */
  int attempt;
  size_t count;
  int64_t at_ms;
  da_slice text;
  da_slice undos; /* SUSPENDED and PARKED, of a rehearsal: the calls of open sagas, newest first, as a JSON list of
                   * {"args", "at", "function"} */
  const da_call *recorded; /* PARKED, of a rehearsal whose replay diverged: the call that the record holds... */
  const da_call *wanted;   /* ... and the one that the code makes in its place; NULL: none */
} da_event;

/* A worker of a server elsewhere (far.c): what it asks of that beside its ops, which the sched's backend carries out.
 */
typedef struct da_far {
  /* The promise `id` is told by the event settled once it is, behind what was submitted for execution `subject`. */
  void (*listen)(void *user, da_slice subject, da_slice id);
  void (*unlisten)(void *user, da_slice id);
  void (*forget)(void *user, da_slice id);                     /* a task that is held is left alone from now on */
  void (*watch)(void *user, da_slice id, da_slice promise_id); /* as long as task `id` is held: look for this one */
  void (*pause)(void *user, bool paused);                      /* no more messages for now */
  int64_t ttl_ms;                                              /* of the leases that its requests ask for */
  void *user;
} da_far;

/* So many executions of one function may run here at a time. */
typedef struct da_limit {
  da_slice func;
  size_t running;
} da_limit;

typedef struct da_worker_options {
  da_sched *sched;
  const da_far *far;           /* copied; NULL: the sched has a store */
  const da_slice *own_targets; /* of a far one, for each of `targets`: what a call of the own group is sent to, so that
                                * it comes back here if it can. Borrowed */
  size_t running_max;          /* of a far one: executions that run at a time; more are left to others. 0: no limit */
  const da_limit *limits;      /* of a far one; borrowed */
  size_t limit_count;
  da_worker_hooks hooks;
  const da_slice *targets; /* addresses of its groups, "poll://any@default" first; as given to the sched, and borrowed
                            * as long as the worker lives */
  size_t target_count;
  const char *pid;          /* "local/<boot id>" */
  const uint8_t *secret;    /* 16 bytes of the store: the hash seed of isolates comes from it */
  int step_threads;         /* 0: DA_STEP_THREADS */
  int64_t span_limit_ms;    /* processor time of workflow code without an await, then it parks; 0: DA_WATCH_SPAN_MS */
  bool after_death;         /* the process that had the store before died: what it held is watched (crash.c) */
  int deaths_max;           /* so many deaths in one step park an execution; 0: DA_DEATHS_MAX */
  size_t warm_bytes;        /* memory for suspended isolates; SIZE_MAX: default 64 MiB; 0: evict at every await */
  size_t slots;             /* isolates in memory at a time, at most; 0: the default */
  const uint8_t *image_key; /* 32 bytes that lie outside of the store: suspended isolates are imaged there; NULL: none
                             * is. Copied */
  uint64_t image_after;     /* calls since the last image, or the start, after which an isolate that goes cold is
                             * imaged; 0: at any */
  uint64_t image_every;     /* ... one that does not go cold */
  bool watch_tables;        /* of a trial: an inline step that changes a table outside of itself parks its execution */
  /* Of a trial: is told of every attempt of a named step, before it is queued. True: it has taken the job, and calls
   * job->done() on the loop thread; not from within this call. NULL: none is taken. */
  bool (*take_step)(void *user, struct da_step_job *job);
  bool shared;   /* workers of other processes may serve its groups too (abroad.c) */
  bool rehearse; /* only da_worker_rehearse(): nothing is claimed, nothing new carried out */
  void (*event)(void *user, const da_event *event); /* may be NULL */
  void *user;
} da_worker_options;

/* Can images of this program's executions be of use to another process of it? Not where it lies at no fixed address, or
 * Lua in a library. */
bool da_worker_can_image(void);
da_status DA_MUST_USE da_worker_new(const da_worker_options *options, da_worker **out, da_err *err);
/* Stops the step threads (steps under way are not waited for), drops every execution and takes its events off the
 * sched; nothing is settled. What the sched still has to tell it is waited for in memory: da_sched_delete() comes next.
 */
void da_worker_delete(da_worker *worker);
/* Of a far one: takes up nothing new; what runs is suspended or released as soon as its steps under way are recorded,
 * at the latest when told so once more (now: true), which gives back at once what is left. done is told once, on the
 * loop, when nothing is held and every write is answered. */
void da_worker_drain(da_worker *worker, bool now, void (*done)(void *user), void *user);
/* For da_sched_set_events(). */
da_sched_events da_worker_events(da_worker *worker);

/* Loads the script once (top-level output sounds), learns its functions, serves them from now on in the group (its
 * place among options.targets; da_worker_serve(): the first) and stores its bytes. What is called by name runs from the
 * newest bundle of each script (bundles of one file name and directory). A fault in the script is DA_ELUA with file and
 * line. The worker keeps a reference to the bundle. */
da_status DA_MUST_USE da_worker_serve_in(da_worker *worker, size_t group, da_bundle *bundle, da_err *err);
da_status DA_MUST_USE da_worker_serve(da_worker *worker, da_bundle *bundle, da_err *err);
/* "gpu" of "poll://any@gpu/worker-1". */
da_slice da_group_name(da_slice address);
/* Does a group of this worker have the address? Of any thread. */
bool da_worker_has_target(const da_worker *worker, da_slice address);

/* Loads the script in an isolate of its own, has `look` look at it, and forgets it: nothing is served or stored. A
 * fault in the script is DA_ELUA with file and line; else what `look` returned. */
da_status DA_MUST_USE da_worker_inspect(da_worker *worker, da_bundle *bundle,
                                        da_status (*look)(void *user, struct lua_State *L, da_err *err), void *user,
                                        da_err *err);

typedef struct da_function {
  da_slice name;
  int64_t version; /* from 1; what defines no version has 1 */
  bool workflow;   /* else a step */
  da_slice file;
  int line;
} da_function;
/* The functions of a served bundle, sorted by name and version. Borrowed. */
const da_function *da_worker_functions(da_worker *worker, const da_bundle *bundle, size_t *count);

/* Until now no execute message is followed. `all`: follow every one; else only those of da_worker_admit()ted lineages,
 * of what they await here and of what they start. */
void da_worker_drive(da_worker *worker, bool all);
void da_worker_admit(da_worker *worker, da_slice root_id);

/* Starts execution `id` of a workflow of `bundle` with arguments `args` (a JSON array as the value codec writes it). An
 * existing promise is left as it is and told. done is called once, on the loop: `promise` is the stored record (NULL
 * with a failure), `created` whether this call made it. */
typedef void da_worker_started(void *user, const da_promise *promise, bool created, da_status status,
                               const da_err *err);
void da_worker_start(da_worker *worker, da_slice id, da_slice func, int64_t version, da_slice args,
                     const da_bundle *bundle, da_worker_started *done, void *user);
/* The same with tags, and a deadline; 0: none. */
void da_worker_start_until(da_worker *worker, da_slice id, da_slice func, int64_t version, da_slice args, da_map tags,
                           const da_bundle *bundle, int64_t deadline_at, da_worker_started *done, void *user);
/* Drives an existing execution here from now on, and what it awaits, and what that awaits: pending tasks are claimed,
 * later messages for them followed. */
void da_worker_dispatch(da_worker *worker, da_slice id);

/* Adds the request (DA_REQ_TASK_CREATE or DA_REQ_PROMISE_CREATE) that makes the root of an execution. All is copied. */
typedef struct da_root {
  da_slice target, id, func, args;
  int64_t version;         /* of the function; 0: the newest that whoever takes it up has */
  int64_t deadline_at;     /* then `timedout` is raised in it; 0: never */
  int64_t delay_at;        /* it begins then; 0: at once */
  const da_digest *bundle; /* NULL: left to whoever takes it up */
  da_map tags;             /* beside those that every root has */
} da_root;
da_request *da_worker_root_request(da_op *op, da_req_kind kind, const da_root *root);

/* Does the execution begin later? */
bool da_worker_delayed(const da_promise *promise);
/* The deadline of an execution, or DA_TIME_MAX. */
int64_t da_deadline_of(const da_promise *promise);

/* A schedule as a script declares it. */
typedef struct da_declared {
  da_slice id, cron, zone, zone_bytes;
  da_catch_up catch_up;
  da_slice func, args;
  int64_t version; /* 0: the newest */
  da_slice target; /* empty: of the group that serves the script */
  da_slice file;
  int line;
} da_declared;
/* Those of a served bundle, in the order of their places. Borrowed. */
const da_declared *da_worker_declared(da_worker *worker, const da_bundle *bundle, size_t *count);
/* Writes them: made, replaced or left as they are. done is told of each, later on the loop: its record (NULL with a
 * failure, which err tells), and whether it is new or another. */
typedef void da_worker_scheduled(void *user, da_slice id, const da_schedule *schedule, bool changed, const da_err *err);
void da_worker_declare(da_worker *worker, size_t group, const da_bundle *bundle, da_worker_scheduled *done, void *user);

/* Runs the execution over its records, which the store need hold alone (no task; of promises with ids of their own,
 * those that it calls), and tells how far it comes: REPLAYED for each recorded call it makes, CALLED for each new one,
 * at the end PARKED, COMPLETED or SUSPENDED, whichever it would be. An id without a promise is not told of. */
void da_worker_rehearse(da_worker *worker, da_slice id);

/* Drops the suspended executions of `id` and below it from memory. False if one of them is running: *busy is its id,
 * borrowed until the next turn of the loop. */
bool da_worker_forget(da_worker *worker, da_slice id, da_slice *busy);

/* Calls fn once when promise id is settled (at once on the loop if it is). A missing promise: NULL. */
void da_worker_follow(da_worker *worker, da_slice id, void (*fn)(void *user, const da_promise *promise), void *user);
/* Nobody wants that any more. False: it is being told, or will be soon. */
bool da_worker_unfollow(da_worker *worker, da_slice id, const void *user);

/* Cooperative cancellation: creates and settles `<id>:~cancel`, which resumes a suspended execution. done may be NULL;
 * status as of an HTTP answer: 200, 404, 409 when already settled. */
void da_worker_cancel(da_sched *sched, da_slice id, da_slice why, void (*done)(void *user, int status), void *user);
/* The id of the mark that a generation of execution `id` has: its calls lie below it. The first has none, but the id.
 */
da_slice da_again_id(da_arena *arena, da_slice id, uint32_t generation);
/* The id of the promise that asks `id` to cancel. */
da_slice da_cancel_id(da_arena *arena, da_slice id);

typedef struct da_worker_stats {
  size_t executions; /* under way or warm */
  size_t running;
  size_t warm;
  size_t warm_bytes;
  uint64_t started;
  uint64_t completed;
  uint64_t replayed_calls;
  uint64_t images, image_bytes; /* written */
  uint64_t restored;            /* executions that went on from one */
  uint64_t images_refused;      /* ... that had one, and were run from the top */
  int step_threads_busy;
} da_worker_stats;
/* Does any step run, or wait for a thread, whose end somebody waits for? */
bool da_worker_steps_run(const da_worker *worker);
da_worker_stats da_worker_get_stats(const da_worker *worker);

/* Named steps on their threads, then those that wait for one, until visit returns false; it must be quick, and call
 * nothing of the worker. Slices are borrowed until it returns. */
typedef struct da_step_row {
  da_slice id;
  da_slice execution;
  da_slice func;
  int attempt;
  int64_t begun_ms;    /* 0: it waits for a thread */
  int64_t deadline_ms; /* DA_TIME_MAX: none */
  bool abandoned;      /* nobody waits for it any more; the thread is lost until it ends */
  da_progress progress;
} da_step_row;
void da_worker_steps(da_worker *worker, bool (*visit)(void *user, const da_step_row *row), void *user);

#endif
