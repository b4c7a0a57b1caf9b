/* service.h - the one implementation of every verb that touches the store.
 *
 * Here:     a request (a JSON object with a "verb") in, rows of JSON and events out. Requests come from the command
 *           line of this very process (reach.c), or over the control socket from another one (host.c); the service
 *           does not know which.
 * Answers:  any number of rows, then the end. {"error":words,"code":exit code} is a refusal. In rows, a member whose
 *           name begins with '$' is a string that holds JSON text (cJSON would not keep its integers).
 * Threads:  the loop thread; what reads the store runs on the store thread through da_op.call.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_SERVICE_H
#define DA_CLI_SERVICE_H

#include "../base/json.h"
#include "../vm/worker.h"
#include "model.h"

typedef struct cli_service cli_service;
typedef struct cli_request cli_request;
typedef struct cli_following cli_following;

/* Who asked. */
typedef struct cli_sink {
  void (*row)(void *user, const cJSON *row); /* borrowed until it returns */
  void (*event)(void *user, const da_event *event);
  void (*end)(void *user); /* the last call */
  void *user;
} cli_sink;

struct cli_service {
  da_sched *sched;
  da_worker *worker; /* NULL: a tool */
  bool drives;       /* executions run here */
  bool serves;       /* ... all there are: `serve` */
  da_slice target;   /* the address of executions of this store; static */
  cli_model model;
  char *place; /* absolute path of the store; owned */
  cli_request *requests;
  cli_following *followings;
  cli_request *loading; /* whose script is being loaded: what it prints is for it alone */
  uint64_t stamp;
  void (*watch)(void *user, const da_event *event); /* told every event; may be NULL */
  void *watch_user;
};

/* One request under way; ended by its handler with cli_request_end(). */
struct cli_request {
  cli_service *service;
  cli_sink sink;
  bool gone;                       /* nobody listens any more */
  void (*on_gone)(cli_request *r); /* the handler's: end early; NULL: it ends soon by itself */
  cJSON *json;                     /* owned */
  da_bundle *bundle;               /* a reference, or NULL */
  da_arena arena;                  /* what the handler keeps; one life with the request */
  void *state;                     /* the handler's, in the arena */
  uint64_t stamp;
  cli_request *prev, *next;
};

void cli_service_create(cli_service *service, da_sched *sched, da_worker *worker, const char *place);
void cli_service_destroy(cli_service *service); /* ends nothing: the loop has stopped */
/* json is given. bundle may be NULL; a reference is taken. The request lives until sink.end was called, or, after
 * cli_service_gone(), a little longer. */
cli_request *cli_service_ask(cli_service *service, cJSON *json, da_bundle *bundle, const cli_sink *sink);
/* Does it last as long as an execution? */
bool cli_request_follows(const cli_request *request);
/* The asker is gone: its sink is not called again. */
void cli_service_gone(cli_request *request);
/* For da_worker_options.event. */
void cli_service_event(void *service, const da_event *event);

/* ---- for handlers -------------------------------------------------------------------------------------- */

void cli_answer_row(cli_request *r, cJSON *given);
/* Refuses with an exit code and ends the request. */
void cli_refuse(cli_request *r, int code, const char *format, ...) DA_PRINTF(3, 4);
void cli_request_end(cli_request *r);
/* service_missing.c: refuses (exit code 1) an id that is not there, naming the nearest one. */
typedef enum cli_wanted { CLI_EXECUTION, CLI_PROMISE, CLI_EITHER } cli_wanted;
void cli_refuse_missing(cli_request *r, cli_wanted wanted, da_slice id);
/* In an open transaction: the id there is that was perhaps meant, or an empty one. */
da_status cli_nearest_id(da_store *store, cli_wanted wanted, da_slice id, da_arena *arena, da_slice *best, da_err *err);
/* An op whose done() gets `r` as op->user. */
da_op *cli_request_op(cli_request *r, void (*done)(da_op *op));
/* The same for a function on the store thread; argument is a copy of size bytes in the op's arena. */
da_op *cli_request_call(cli_request *r, da_status (*call)(da_store *store, da_op *op, da_err *err),
                        const void *argument, size_t size, void (*done)(da_op *op));
/* True if the op failed; then the request is refused and the op deleted. */
bool cli_op_failed(da_op *op);

/* service_query.c */
void cli_serve_ps(cli_request *r);
void cli_serve_get(cli_request *r);
void cli_serve_promise_search(cli_request *r);
/* Executions by page, as ps lists them: what the request's "state", "where" and "limit" ask for. NULL: refused. */
typedef struct cli_query cli_query;
cli_query *cli_query_executions(cli_request *r);
/* Reads the next page, and gives its rows; more: there is another one. If it fails, the request is refused. */
void cli_query_page(cli_request *r, cli_query *q, void (*got)(cli_request *r, cJSON *rows, bool more));
/* For da_store_on_damaged(): adds "root: words" to the array that user is. */
void cli_note_damaged(void *user, da_slice root, const char *words);
/* Tells each as an error of the whole, which goes on, and drops the array. */
void cli_answer_damaged(cli_request *r, cJSON *given);
/* The same of a record and all below it; and, called behind the last page, of what it detached: false, that was all. */
cli_query *cli_query_below(cli_request *r, da_slice id);
bool cli_query_detached(cli_request *r, cli_query *q);
bool cli_query_found(const cli_query *q); /* was there anything? */
/* Answers the rows, which are given, and, at the limit, that there may be more. */
void cli_query_answer(cli_request *r, const cli_query *q, cJSON *rows);
/* Visits the root executions behind `after`, without reading what lies below them. On the store thread. */
da_status cli_scan_roots(da_store *store, da_slice after, da_arena *arena, da_store_visit *visit, void *user,
                         da_err *err);

/* service_groups.c: ends the request with a row {"unserved":[names of groups]}, if there are any. */
void cli_serve_unserved(cli_request *r);
/* service_live.c: what this process knows of steps that have no record yet. */
void cli_serve_steps(cli_request *r);
/* A row for each step and branch under way below `id`. */
void cli_tell_live(cli_request *r, da_slice id);
/* That of one step, or NULL. */
cJSON *cli_live_row(cli_request *r, da_slice id);
/* Adds to an execution's row the steps it has under way, the first of many. */
void cli_add_live(cli_request *r, cJSON *row);

/* service_row.c */
/* Whose groups are served, for what rows tell of tasks that wait for one. */
void cli_row_worker(const da_worker *worker);
/* A promise and, if it has one, its task as a row. On the store thread. NULL and err if a read failed. */
typedef enum cli_detail { CLI_BRIEF, CLI_FULL } cli_detail;
da_status cli_row_of(da_store *store, const da_promise *stored, cli_detail detail, da_arena *arena, cJSON **row,
                     da_err *err);
/* Why a function is parked: its mark, or empty slices. On the store thread. */
da_status cli_parked_words(da_store *store, const da_task *task, da_arena *arena, da_slice *json, da_err *err);
/* The row of one of which something cannot be read. */
cJSON *cli_damaged_row(const da_promise *promise, const char *words);

/* service_request.c */
void cli_serve_request(cli_request *r);
/* service_tree.c */
void cli_serve_tree(cli_request *r);

/* service_change.c */
/* The tags in an object of strings, or none. */
da_map cli_tags_of(const cJSON *object, da_arena *arena);
void cli_serve_promise_create(cli_request *r);
void cli_serve_promise_settle(cli_request *r);
void cli_serve_continue(cli_request *r);
/* Ends the request with the record of its "id" as it is now, and a flag that says what was done. */
void cli_answer_record(cli_request *r, const char *member, bool value);
void cli_answer_changed(cli_request *r, const char *member, cJSON *value); /* value is given */

/* service_queue.c */
void cli_serve_send(cli_request *r);
void cli_serve_queue(cli_request *r);
/* service_schedule.c */
void cli_serve_schedule_create(cli_request *r);
void cli_serve_schedule_get(cli_request *r);
void cli_serve_schedule_delete(cli_request *r);
void cli_serve_schedule_search(cli_request *r);

/* service_cancel.c */
void cli_serve_cancel(cli_request *r);

/* service_migrate.c */
void cli_serve_migrate(cli_request *r);
/* What becomes of an unfinished execution below one that is moved from code `from` to the bundle, which is served: it
 * moves too; it has other code, and the bundle does not define its function, so it keeps that; or it is left behind.
 * from NULL: nothing keeps its code. */
typedef enum cli_moves { CLI_MOVES, CLI_KEEPS_CODE, CLI_LEFT_BEHIND } cli_moves;
cli_moves cli_moves_to(da_worker *worker, const da_bundle *bundle, const da_call *call, const da_digest *from);

/* service_bulk.c: another verb for each of the executions that conditions name. */
void cli_serve_bulk(cli_request *r);

/* service_run.c */
/* The script that came with a request over the socket; NULL: none, or a bad one. */
da_bundle *cli_take_bundle(const cJSON *json, da_err *err);
void cli_serve_run(cli_request *r);
void cli_serve_resume(cli_request *r);
void cli_run_event(cli_service *service, const da_event *event);
void cli_run_destroy(cli_service *service);
/* Does somebody in this process run the lineage of id? */
bool cli_run_drives(const cli_service *service, da_slice id);
/* Does a request follow, or is about to follow, the lineage of id? */
bool cli_run_follows(const cli_service *service, da_slice id);

#endif
