/* record.h - the nouns of the protocol as C structs: promise, task, request, reply.
 *
 * Here:     records (what a store keeps), requests and replies (what passes the engine's door), profile switches.
 * Memory:   every slice and pointer is borrowed from the arena of the op at hand, or from the caller's request.
 * Sources:  the Resonate protocol, version 2026-04-01 (https://github.com/resonatehq), records, requests, states.
 *
 * States of a promise: PENDING -> RESOLVED | REJECTED | CANCELED | TIMEDOUT, once, in engine/settle.c.
 *
 * States of a task (engine/task.c unless named otherwise):
 *
 *     (born) --create--> PENDING --acquire--> ACQUIRED --suspend--> SUSPENDED
 *                           ^                  |   |                    |
 *                           |<--release, lease-+   +--halt--> HALTED <--+ halt
 *                           |<------------- settle.c: an awaited promise settled
 *                           |<------------- continue ----------- HALTED
 *     any of them --settle.c: own promise settled--> FULFILLED
 *
 *   PENDING    a retry timer is armed; nobody works on it
 *   ACQUIRED   pid, ttl and a lease timer are there; (id, version) passes the fence
 *   SUSPENDED  no timer; at least one callback on a pending promise
 *   HALTED     no timer; an operator or the runtime (a parked execution) holds it back
 *   FULFILLED  the promise is settled; nothing else is left
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_ENGINE_RECORD_H
#define DA_ENGINE_RECORD_H

#include "../base/arena.h"
#include "../base/cron.h"
#include "../base/hash.h"

/* ---- records ------------------------------------------------------------------------------------------- */

typedef enum da_promise_state { DA_PENDING, DA_RESOLVED, DA_REJECTED, DA_CANCELED, DA_TIMEDOUT } da_promise_state;

typedef enum da_task_state {
  DA_TASK_PENDING,
  DA_TASK_ACQUIRED,
  DA_TASK_SUSPENDED,
  DA_TASK_HALTED,
  DA_TASK_FULFILLED
} da_task_state;

/* The wire names: "pending", "resolved", "rejected", "rejected_canceled", "rejected_timedout"; for tasks
 * "pending", "acquired", "suspended", "halted", "fulfilled". Static strings. */
const char *da_promise_state_name(da_promise_state state);
const char *da_task_state_name(da_task_state state);

typedef struct da_pair {
  da_slice key;
  da_slice value;
} da_pair;

/* A string map: tags, headers. Order is kept as given. */
typedef struct da_map {
  const da_pair *items;
  size_t count;
} da_map;

/* The value under key, or NULL. */
const da_slice *da_map_get(da_map map, da_slice key);

/* How the bytes of a value relate to the wire's `data` string. */
typedef enum da_encoding {
  DA_RAW, /* they are that string, byte for byte */
  DA_JSON /* they are JSON text; the wire shows its base64 */
} da_encoding;

/* Absent members stay absent; present ones are kept unchanged, empty ones too. Opaque to engine and store. */
typedef struct da_value {
  bool has_data;
  bool has_headers;
  da_encoding encoding;
  da_slice data;
  da_map headers;
} da_value;

/* What a runtime notes beside the promise of a durable call, so that a replay can tell a divergence. Never on the
 * wire. But for its last two members, which the engine sets, opaque to that. */
typedef enum da_call_kind {
  DA_CALL_NONE, /* no call recorded: a promise made over the wire or from the command line */
  DA_CALL_ROOT,
  DA_CALL_WORKFLOW,
  DA_CALL_STEP,
  DA_CALL_INLINE,
  DA_CALL_BRANCH,
  DA_CALL_SLEEP,
  DA_CALL_PROMISE,
  DA_CALL_NATIVE,
  DA_CALL_MARK, /* a mark of the runtime itself: ~cancel, ~parked, ~2 (a generation), ~patched=name */
  DA_CALL_RECV, /* this and the next two wait in a queue; func is its name */
  DA_CALL_ACQUIRE,
  DA_CALL_TAKE,
  DA_CALL_SEND
} da_call_kind;
enum { DA_CALL_LAST = DA_CALL_SEND };

/* For people: "workflow", "step", "inline step"... Static strings. */
const char *da_call_kind_name(da_call_kind kind);

typedef struct da_call {
  da_call_kind kind;
  uint32_t ordinal; /* creation order in the creating execution, from 1 */
  uint32_t line;    /* of the call, 0 if unknown */
  da_slice file;    /* bundle-relative chunk name of the call, may be empty */
  da_slice func;    /* function name or label */
  da_digest args;   /* of the encoded arguments */
  bool has_bundle;  /* roots and workflows: the code the execution is pinned to */
  da_digest bundle;
  uint32_t generation;    /* roots and workflows: how often it began, from 2 on; 0: once */
  bool awaited_elsewhere; /* an execution that it does not lie below was waiting for it, or asked for it */
} da_call;

typedef struct da_promise {
  da_slice id;
  da_promise_state state;
  bool armed; /* a deadline row exists in `due`; never when timeout_at is DA_TIME_MAX or more: it cannot fall due */
  da_value param;
  da_value value;
  da_map tags;
  int64_t timeout_at; /* ms since the epoch, as are the next two */
  int64_t created_at;
  int64_t settled_at;  /* 0 while pending */
  uint64_t settle_seq; /* store-wide order of settlements, from 1; 0 while pending */
  da_call call;
} da_promise;

typedef struct da_task {
  da_slice id; /* that of its promise */
  da_task_state state;
  int64_t version;
  int64_t resumes;  /* rows of kind DA_WAIT_RESUME */
  int64_t ttl;      /* ms; 0 unless acquired */
  da_slice pid;     /* empty unless acquired */
  int64_t timer_at; /* retry (pending) or lease (acquired) instant, else 0 */
} da_task;

/* What a schedule does about instants that passed while nobody fired it. */
typedef enum da_catch_up {
  DA_CATCH_UP_ALL,  /* fires each of them, one after another */
  DA_CATCH_UP_LAST, /* the last of them */
  DA_CATCH_UP_NONE  /* none, but one that is at most DA_SCHEDULE_LATE_MS old */
} da_catch_up;

const char *da_catch_up_name(da_catch_up catch_up); /* "all", "last", "none" */

/* Makes a promise at each instant its expression allows. */
typedef struct da_schedule {
  da_slice id; /* a space of its own beside that of promises */
  da_slice cron;
  da_cron_style style;
  da_slice zone;       /* name, empty: UTC */
  da_slice zone_bytes; /* for da_zone_read() */
  da_catch_up catch_up;
  da_slice promise_id; /* with {{.id}} and {{.timestamp}} */
  int64_t promise_timeout;
  da_value promise_param;
  da_map promise_tags;
  da_call call; /* of each promise it makes */
  int64_t created_at;
  int64_t next_run_at; /* its due row; DA_TIME_MAX: never, and no row */
  int64_t last_run_at; /* 0: it has not fired yet */
} da_schedule;

/* Who waits for what. `first` and `second` are promise ids, but for the address of a listener. */
typedef enum da_wait_kind {
  DA_WAIT_CALLBACK, /* first: awaited, second: awaiter */
  DA_WAIT_AWAITED,  /* the same row seen from the awaiter; first: awaiter, second: awaited */
  DA_WAIT_RESUME,   /* first: awaiter, second: a promise that settled since the last acquire or suspend */
  DA_WAIT_LISTENER  /* first: awaited, second: address */
} da_wait_kind;

typedef struct da_wait {
  da_wait_kind kind;
  da_slice first;
  da_slice second;
} da_wait;

/* What falls due, ordered by class, then instant, then id: a sweep takes the classes in this order. */
typedef enum da_due_class {
  DA_DUE_DEADLINE, /* of a promise */
  DA_DUE_RETRY,    /* of a pending task */
  DA_DUE_LEASE,    /* of an acquired task */
  DA_DUE_SCHEDULE,
  DA_DUE_QUEUE /* id: its name */
} da_due_class;

typedef struct da_due {
  da_due_class class_;
  int64_t at; /* ms; a lease that never ends lies at DA_TIME_MAX */
  da_slice id;
} da_due;

/* ---- queues: what waits for what, in the order in which it came (engine/queue.c) ----------------------- */

typedef enum da_queue_kind {
  DA_QUEUE_NONE,
  DA_QUEUE_CHANNEL,   /* tokens are messages */
  DA_QUEUE_SEMAPHORE, /* tokens are the permits that are free: limit - held */
  DA_QUEUE_LIMITER    /* tokens are instants: at most `limit` grants in any half-open window of per_ms */
} da_queue_kind;

/* "channel", "semaphore", "limiter". Static strings. */
const char *da_queue_kind_name(da_queue_kind kind);

enum { DA_QUEUE_RECENT = 8 };

typedef struct da_queue {
  da_slice name;
  da_queue_kind kind;
  int64_t limit;                     /* permits; grants in a window; 0 of a channel */
  int64_t per_ms;                    /* of a limiter */
  uint64_t next_seq;                 /* of the next message, grant or place: one order for all of them */
  uint64_t tokens;                   /* rows: messages; the last grants of a limiter, at most `limit` */
  uint64_t places;                   /* rows: who waits */
  uint64_t held;                     /* permits */
  int64_t due_at;                    /* when the queue is looked at again without being asked; 0: never */
  da_digest recent[DA_QUEUE_RECENT]; /* the last messages sent from outside of any execution, newest first */
} da_queue;

typedef enum da_queue_row_kind {
  DA_QUEUE_TOKEN = 1, /* name, seq: a message, or the instant of a grant */
  DA_QUEUE_PLACE,     /* name, seq: a promise that waits */
  DA_QUEUE_HOLD       /* owner, id: what the execution `owner` has to do with a queue */
} da_queue_row_kind;

typedef enum da_hold_state {
  DA_HOLD_WAITING, /* id: a promise in the place `seq` */
  DA_HOLD_GRANTED, /* id: a promise that was given the token `seq` */
  DA_HOLD_SENT,    /* id: a message that was put, so that nobody puts it again */
  DA_HOLD_INBOX    /* id: the name of a queue that ends with its owner */
} da_hold_state;

typedef struct da_queue_row {
  da_queue_row_kind kind;
  da_slice name;
  uint64_t seq;
  da_slice owner; /* place, hold */
  da_slice id;    /* place, hold */
  int64_t at;     /* token of a limiter */
  da_value value; /* token of a channel */
  bool bare;      /* asked of a view: a token without its value, which may be long */
  da_hold_state state;
} da_queue_row;

typedef enum da_message_kind { DA_EXECUTE, DA_UNBLOCK } da_message_kind;

/* A message for a worker or a client. An execute is keyed by id alone (a newer one replaces it), an unblock by id
 * and address; its record is read when it is delivered. */
typedef struct da_message {
  da_message_kind kind;
  da_slice id;
  int64_t version; /* execute only */
  int64_t at_ms;   /* unblock only: when it was made; 0: not known */
  da_slice address;
  bool local;  /* for the worker in this process: handed over after the commit, not kept in `out` */
  bool pinned; /* of a local execute: its promise is known to name the bundle that it runs from. Not kept either */
} da_message;

/* All there is, as it is stored: what the protocol calls a snapshot. Everything is sorted by id, then by the other
 * member; messages that wait in the outbox: executes, then unblocks. */
typedef struct da_snapshot {
  const da_promise *promises;
  size_t promise_count;
  const da_task *tasks;
  size_t task_count;
  const da_due *deadlines; /* of promises */
  size_t deadline_count;
  const da_due *timers; /* of tasks: DA_DUE_RETRY, DA_DUE_LEASE */
  size_t timer_count;
  const da_wait *callbacks; /* first: awaited, second: awaiter */
  size_t callback_count;
  const da_wait *listeners;
  size_t listener_count;
  const da_message *messages;
  const da_promise *const *message_promises; /* of an unblock its record, else NULL */
  size_t message_count;
  const da_schedule *schedules;
  size_t schedule_count;
} da_snapshot;

/* ---- profile: the places where published servers differ, as data --------------------------------------- */

typedef struct da_profile {
  enum { DA_DIALECT_ANY, DA_DIALECT_COLON, DA_DIALECT_DOT, DA_DIALECT_OFF } id_dialect;
  enum { DA_ARM_EXTERNAL, DA_ARM_TARGET, DA_ARM_ALL } arm;
  bool await_internal_reject;
  bool await_cross_origin_reject;
  enum { DA_LISTENER_FOLLOWS, DA_LISTENER_EXTERNAL, DA_LISTENER_ANY } listener_external_only; /* await_internal */
  bool timer_target_reject;
  bool suspend_dups_reject;
  bool heartbeat_mixed_reject;
  enum { DA_CRON_DOW_QUARTZ, DA_CRON_DOW_UNIX } cron_dow; /* how schedule.create reads an expression */
  bool cron_never_reject;                                 /* of one that never comes; else it comes each minute */
  bool search_reject;                                     /* 501 */
  int64_t preload_limit;                                  /* -1: no limit */
  int64_t retry_timeout_ms;
} da_profile;

/* The recommended switches: dialect any, arm external, everything allowed, no preload limit, 30 s retry. */
extern const da_profile da_profile_default;

/* The switches by the names they have in a configuration: "id_dialect", "arm", "await_internal", "await_cross_origin",
 * "listener_external_only", "timer_target", "suspend_dups", "heartbeat_mixed", "search", "cron_dow", "cron_never",
 * "preload_limit", "retry_timeout_ms". Sets one to what the text says ("colon", "reject", "501", "30000").
 * DA_ENOTFOUND: there is no such switch; DA_EINVAL: it has no such value; err names what there is. */
da_status DA_MUST_USE da_profile_set(da_profile *profile, da_slice name, da_slice text, da_err *err);

/* ---- requests and replies ------------------------------------------------------------------------------ */

#define DA_REQ_MAP(X)                                                                                                 \
  X(PROMISE_GET, "promise.get")                                                                                       \
  X(PROMISE_CREATE, "promise.create")                                                                                 \
  X(PROMISE_SETTLE, "promise.settle")                                                                                 \
  X(PROMISE_REGISTER_CALLBACK, "promise.register_callback")                                                           \
  X(PROMISE_REGISTER_LISTENER, "promise.register_listener")                                                           \
  X(PROMISE_SEARCH, "promise.search")                                                                                 \
  X(TASK_GET, "task.get")                                                                                             \
  X(TASK_CREATE, "task.create")                                                                                       \
  X(TASK_ACQUIRE, "task.acquire")                                                                                     \
  X(TASK_RELEASE, "task.release")                                                                                     \
  X(TASK_FULFILL, "task.fulfill")                                                                                     \
  X(TASK_SUSPEND, "task.suspend")                                                                                     \
  X(TASK_FENCE, "task.fence")                                                                                         \
  X(TASK_HEARTBEAT, "task.heartbeat")                                                                                 \
  X(TASK_HALT, "task.halt")                                                                                           \
  X(TASK_CONTINUE, "task.continue")                                                                                   \
  X(TASK_SEARCH, "task.search")                                                                                       \
  X(SCHEDULE_GET, "schedule.get")                                                                                     \
  X(SCHEDULE_CREATE, "schedule.create")                                                                               \
  X(SCHEDULE_DELETE, "schedule.delete")                                                                               \
  X(SCHEDULE_SEARCH, "schedule.search")                                                                               \
  X(SCHEDULE_DECLARE, "schedule.declare") /* in process only: create, or replace what differs */                      \
  X(TASK_STEP, "task.step")               /* in process only: fused fence{create} + fence{settle} */                  \
  X(TASK_SPAWN, "task.spawn")             /* in process only: fence{create} + acquire of the child's task */          \
  X(TASK_AGAIN, "task.again")             /* in process only: the next generation of the task's execution begins */   \
  X(QUEUE_WAIT, "queue.wait")             /* in process only: fence{create} of a promise that waits in a queue */     \
  X(QUEUE_PUT, "queue.put")               /* in process only: a message, with the record of the call that sent it */  \
  X(QUEUE_BACK, "queue.back")             /* in process only: the promise waits no more, or gives back what it got */ \
  X(SWEEP, "sweep")                       /* background: what is due at now, at most DA_SWEEP_MAX */                  \
  X(RECOVER, "recover")                   /* background, at open: take back what dead local workers held */           \
  X(CLAIM, "claim")                       /* background: what lies in the outbox; what nobody needs is dropped */     \
  X(SENT, "sent")                         /* background: messages that have left, out of the outbox */

typedef enum da_req_kind {
#define X(name, text) DA_REQ_##name,
  DA_REQ_MAP(X)
#undef X
} da_req_kind;

const char *da_req_kind_name(da_req_kind kind);

typedef struct da_await {
  da_slice awaited;
  da_slice awaiter;
} da_await;

typedef struct da_held {
  da_slice id;
  int64_t version;
} da_held;

/* How far a search has come that is longer than one turn (engine/search.c). */
typedef struct da_search da_search;

typedef struct da_request da_request;
struct da_request {
  da_req_kind kind;
  da_slice id;      /* the promise or task addressed; for register_* the awaited promise */
  int64_t version;  /* task.* */
  da_slice pid;     /* acquire, create, spawn, heartbeat, recover (the pid of this process) */
  int64_t ttl;      /* ms; acquire, create, spawn. DA_TIME_MAX: a lease that never ends */
  da_slice awaiter; /* register_callback; promise.get, in process only: the execution that asks, or empty */
  da_slice address; /* register_listener */

  /* promise.create; inside task.create, fence{promise.create}, step, spawn these speak of the inner promise, whose id
   * is promise_id (task.create, promise.create: use id for both) */
  da_slice promise_id; /* fence, step, spawn, again; fulfill: the id its action names (ptr NULL: that of the task) */
  int64_t timeout_at;
  da_value param;
  da_map tags;
  da_call call;
  int64_t created_at; /* step, again */

  /* promise.settle, task.fulfill, fence{promise.settle}, step */
  da_promise_state state;
  da_value value;

  /* schedule.create, schedule.declare; promise_id is the template, timeout_at the promises' time-out */
  da_slice cron;
  bool cron_unix; /* else as the profile says */
  da_slice zone;
  da_slice zone_bytes;
  da_catch_up catch_up;

  /* *.search; also `tags`: all that a promise, or the promiseTags of a schedule, must hold */
  bool has_search_state; /* promise.search: `state`; task.search: `task_state` */
  da_task_state task_state;
  bool has_search_limit; /* else 100, of schedules 10 */
  int64_t search_limit;
  da_slice search_after;  /* ids behind it: the cursor */
  da_slice search_begins; /* in process only: ids that begin so */
  da_search *search;      /* what the reply before gave; NULL at first */

  bool fence_settles;     /* fence: promise.settle, else promise.create */
  const da_await *awaits; /* suspend */
  size_t await_count;
  const da_held *held; /* heartbeat; sweep, recover: whose rows are left alone, since their records are damaged */
  size_t held_count;
  da_queue queue;             /* queue.wait: name, kind, limit, per_ms; put: name; back: nothing */
  da_digest message;          /* put from outside: the same for the same message, should it be sent twice */
  bool no_preload;            /* the caller reads what it needs itself */
  bool whole_preload;         /* acquire, create: all that was recorded, if it is not out of all bounds */
  bool fires;                 /* sweep: schedules too */
  da_message after_message;   /* claim, whose `address` is what addresses begin with: the cursor of the reply before;
                               * id.ptr   NULL: from the start */
  bool keeps_all;             /* claim: unblocks of any age */
  const da_message *messages; /* sent */
  size_t message_count;
  size_t limit; /* claim: messages at most (0: DA_CLAIM_MAX); sweep, recover: rows at most (0: DA_SWEEP_MAX); search:
                 * rows looked at in one turn (0: DA_SEARCH_LOOK) */
  da_due after; /* recover: the cursor of the reply before (id.len 0: from the start) */
};

typedef struct da_reply da_reply;
struct da_reply {
  int status;       /* 200, 300, 400, 404, 409, 422; queue.*: also 410 (an inbox of nobody), 507 (full) */
  da_slice message; /* when status is not 200 or 300 */
  const da_promise *promise;
  const da_task *task;
  const da_promise *preload; /* sorted by id */
  size_t preload_count;
  bool has_preload;
  bool preload_whole;    /* asked for: these are all records of the branch that the task's execution is */
  const da_reply *inner; /* fence */
  const da_schedule *schedule;
  /* search: sorted by id, as they are at the instant of the request (a deadline that passed counts) */
  const da_promise *promises; /* claim: the record of each of the outcome's messages that is an unblock */
  size_t promise_count;
  const da_task *tasks;
  size_t task_count;
  const da_schedule *schedules;
  size_t schedule_count;
  da_search *search; /* not all was looked at yet: the same request is to be made again with this, and this reply tells
                      * nothing. The pump does so; who submits an op never sees one */
  size_t count;      /* sweep, recover, sent: rows done; claim: unblocks dropped as too old; put: messages that wait;
                        declare: 1 if the record is new or another */
  size_t fired;      /* sweep: promises that schedules made */
  bool more;     /* sweep, recover, claim: call again; search: there are more behind the last, whose id is the cursor */
  da_due cursor; /* recover, when there is more: opaque, to be handed back as it is */
  da_message last_message; /* claim, as cursor */
};

#endif
