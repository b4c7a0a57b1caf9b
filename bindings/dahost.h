/* dahost.h - functions in C for workflows in Lua. The one public header.
 *
 * A *native* is a C function that a workflow calls as da.native.LIBRARY.NAME(...). The call is a step: it is recorded,
 * tried again when it fails, and has deadlines; after a crash a recorded one is not made again. What it is given and
 * what it returns are values as everywhere in dahost: nil, booleans, integers, floats, strings of any bytes, tables.
 * README.md beside this file begins with one in under 30 lines.
 *
 * Kinds     | where it runs                             | when the call ends
 * SYNC      | the loop thread; must return at once      | when it returns
 * POOL      | a step thread; may block                  | when it returns
 * ASYNC     | is begun on the loop thread               | with dahost_complete(), on any thread
 * PURE      | where the workflow runs; must return at   | when it returns: the value is there without await, and
 *           | once                                      | nothing is recorded. The same arguments must give the same
 *           |                                           | results, on any machine and at any time
 *
 * Several POOL natives run at the same time. SYNC, PURE and the begin of ASYNC ones do not, within one process: the
 * loop thread runs them one after the other; but a step may call PURE and POOL natives too, on its own thread.
 *
 * Errors: a call fails by dahost_fail(), or by a wrong argument; the workflow sees an error with `code`, `message` and
 * the fields given. After it the function returns; what it returned before counts for nothing. A failed attempt is made
 * again, as the caller's retry says, unless it is fatal.
 * Ownership: what a function here returns belongs to the call and lives as long as that; what it is given is copied.
 * Values (dahost_value) are numbers that mean something within their call alone; 0 is none.
 * Threads: a call is used by one thread at a time: the one that runs the function, or for ASYNC the one that claimed
 * it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DAHOST_H
#define DAHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DAHOST_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define DAHOST_EXPORT __attribute__((visibility("default")))
#else
#define DAHOST_PRINTF(text, first)
#define DAHOST_EXPORT
#endif

/* Goes up when a plugin that was built before could not work any more. */
#define DAHOST_ABI 1

typedef struct dahost_call dahost_call;       /* one attempt of one call */
typedef struct dahost_library dahost_library; /* natives under one name */
typedef int dahost_value;

typedef enum dahost_kind { DAHOST_SYNC, DAHOST_POOL, DAHOST_ASYNC, DAHOST_PURE } dahost_kind;

/* user: as given to dahost_add(). */
typedef void (*dahost_fn)(dahost_call *call, void *user);

/* ---- libraries and plugins ------------------------------------------------------------------------------ */

/* Adds a native. Names are letters, digits and '_', and do not begin with a digit. False: such a name is there already,
 * or is none; dahost_library_error() says so. `user` must live as long as the library. Only while it is being opened.
 */
bool dahost_add(dahost_library *library, const char *name, dahost_kind kind, dahost_fn fn, void *user);
/* What was wrong with the last dahost_add() that failed; belongs to the library. */
const char *dahost_library_error(const dahost_library *library);

/* A library: what a plugin exports, and what a program that embeds dahost gives to it. Static. */
typedef struct dahost_library_info {
  uint32_t abi;     /* DAHOST_ABI */
  uint32_t size;    /* of this struct */
  const char *name; /* of the library, as scripts say it */
  /* Adds the natives. Not 0: it cannot be used, `why` holds a sentence that says what is missing. *user is for close.
   */
  int (*open)(dahost_library *library, void **user, char *why, size_t why_size);
  /* Once nobody uses a native of it any more, or never if the process ends before. Any thread. NULL: nothing to do. */
  void (*close)(void *user);
} dahost_library_info;

/* The one symbol that a plugin exports (`dahost run --plugin ./libsensor.so`). */
#ifdef __cplusplus
#define DAHOST_PLUGIN(name, open, close)                            \
  extern "C" DAHOST_EXPORT const dahost_library_info dahost_plugin; \
  const dahost_library_info dahost_plugin = {DAHOST_ABI, sizeof(dahost_library_info), name, open, close};
#else
#define DAHOST_PLUGIN(name, open, close)                        \
  extern DAHOST_EXPORT const dahost_library_info dahost_plugin; \
  const dahost_library_info dahost_plugin = {DAHOST_ABI, sizeof(dahost_library_info), name, open, close};
#endif

/* ---- the call ------------------------------------------------------------------------------------------- */

/* The id of the call's promise: the same in each attempt, and in a process that takes over after a crash; what a device
 * or a service can know a repetition by. Of a PURE one, and in a step: of who calls. */
const char *dahost_call_id(const dahost_call *call);
int dahost_call_attempt(const dahost_call *call);      /* from 1 */
int64_t dahost_call_deadline(const dahost_call *call); /* ms since the epoch; INT64_MAX: none */
/* Does nobody wait for it any more (cancelled, past its deadline, the host closes)? For POOL, which looks now and then.
 * Within a step: for the step. */
bool dahost_call_canceled(const dahost_call *call);

/* ---- arguments ------------------------------------------------------------------------------------------ */

typedef enum dahost_type {
  DAHOST_NONE, /* there is no such argument, element or field */
  DAHOST_NIL,
  DAHOST_BOOLEAN,
  DAHOST_INTEGER,
  DAHOST_NUMBER, /* a float */
  DAHOST_STRING,
  DAHOST_TABLE
} dahost_type;

int dahost_arg_count(const dahost_call *call);

/* Argument i, from 1. If it is none of that type the call fails, fatally, with the code "bad_argument" and words that
 * name the native, the argument and what it got, and false is returned: the function has nothing to do but to return.
 */
bool dahost_arg_integer(dahost_call *call, int i, int64_t *out); /* a float with an integral value is one, too */
bool dahost_arg_number(dahost_call *call, int i, double *out);   /* an integer is one, too */
bool dahost_arg_boolean(dahost_call *call, int i, bool *out);
/* The bytes are followed by a 0, and may hold others. len: NULL if it is not wanted; then a 0 within is refused. */
bool dahost_arg_string(dahost_call *call, int i, const char **out, size_t *len);
bool dahost_arg_table(dahost_call *call, int i, dahost_value *out);
/* The same, where nil or no argument leaves *out as it is and is right. */
bool dahost_opt_integer(dahost_call *call, int i, int64_t *out);
bool dahost_opt_number(dahost_call *call, int i, double *out);
bool dahost_opt_boolean(dahost_call *call, int i, bool *out);
bool dahost_opt_string(dahost_call *call, int i, const char **out, size_t *len);
bool dahost_opt_table(dahost_call *call, int i, dahost_value *out); /* 0 if it is not there */

/* ---- values --------------------------------------------------------------------------------------------- */

/* Argument i as it is, from 1; 0 if there is none. */
dahost_value dahost_arg(const dahost_call *call, int i);
dahost_type dahost_type_of(dahost_call *call, dahost_value value); /* of 0: DAHOST_NONE */
/* What a value is; of one of another type 0, 0.0, false or NULL. */
int64_t dahost_to_integer(dahost_call *call, dahost_value value);
double dahost_to_number(dahost_call *call, dahost_value value);
bool dahost_to_boolean(dahost_call *call, dahost_value value);
const char *dahost_to_string(dahost_call *call, dahost_value value, size_t *len); /* len may be NULL */
/* Elements of a table as a list, from 1, and how many there are; a field by its name. 0 if there is none such. */
size_t dahost_count(dahost_call *call, dahost_value table);
dahost_value dahost_at(dahost_call *call, dahost_value table, size_t i);
dahost_value dahost_field(dahost_call *call, dahost_value table, const char *name);
/* Of any key, as dahost_set_pair() takes it. */
dahost_value dahost_get(dahost_call *call, dahost_value table, dahost_value key);
/* Is it a list: elements from 1 on and nothing else, or made as one (da.array{}, dahost_new_list())? */
bool dahost_is_list(dahost_call *call, dahost_value value);
/* All pairs: `for (dahost_value k = 0, v; dahost_next(call, t, &k, &v);)`, in no order that could be relied on. */
bool dahost_next(dahost_call *call, dahost_value table, dahost_value *key, dahost_value *value);

/* New ones. A table is a list, a map, or both, as in Lua. */
dahost_value dahost_new_nil(dahost_call *call); /* in a table: da.null */
dahost_value dahost_new_boolean(dahost_call *call, bool value);
dahost_value dahost_new_integer(dahost_call *call, int64_t value);
dahost_value dahost_new_number(dahost_call *call, double value);
dahost_value dahost_new_string(dahost_call *call, const char *bytes, size_t len);
dahost_value dahost_new_table(dahost_call *call);
dahost_value dahost_new_list(dahost_call *call); /* a table that is a list even without an element */
void dahost_append(dahost_call *call, dahost_value table, dahost_value value);
void dahost_set(dahost_call *call, dahost_value table, const char *name, dahost_value value);
void dahost_set_pair(dahost_call *call, dahost_value table, dahost_value key, dahost_value value);

/* Values of a call take room until it ends: some hundred thousand of them. One that makes more in a loop gives back
 * what it made since a mark; what was put into a table older than the mark stays there. */
int dahost_mark(const dahost_call *call);
void dahost_release(dahost_call *call, int mark);

/* ---- results -------------------------------------------------------------------------------------------- */

/* Each adds a result; none: nil. */
void dahost_return(dahost_call *call, dahost_value value);
void dahost_return_nil(dahost_call *call);
void dahost_return_boolean(dahost_call *call, bool value);
void dahost_return_integer(dahost_call *call, int64_t value);
void dahost_return_number(dahost_call *call, double value);
void dahost_return_string(dahost_call *call, const char *bytes, size_t len);

/* The call fails. code: a word, "no_answer"; NULL: "error". The first failure stays. */
void dahost_fail(dahost_call *call, const char *code, const char *format, ...) DAHOST_PRINTF(3, 4);
/* A field of the error, behind dahost_fail(): error.NAME. */
void dahost_fail_field(dahost_call *call, const char *name, dahost_value value);
void dahost_fail_fatal(dahost_call *call); /* no attempt will do better: it is not made again */

/* ---- calls that end later ------------------------------------------------------------------------------- */

/* An ASYNC native is begun with its call, takes down what it needs and the token, and returns; the call is nobody's
 * then. Later any thread claims it, gives results or fails it, and completes it. A token may be kept for ever, and
 * copied. */
typedef struct dahost_token {
  uint64_t bits[2];
} dahost_token;

/* On the thread that runs the function. Without it an ASYNC native ends as it returns, as a SYNC one. */
dahost_token dahost_defer(dahost_call *call);
/* NULL: nobody waits for it any more, it is claimed or was completed, or the host is gone; dahost_token_error() says
 * which. */
dahost_call *dahost_claim(dahost_token token);
const char *dahost_token_error(dahost_token token); /* static words; NULL: it can be claimed */
/* The call is over, and not the caller's any more. */
void dahost_complete(dahost_call *call);
/* Has fn(data) called when nobody waits for it any more: on the loop thread, at most once, not after it is completed,
 * and for POOL not after the function returned; at once, if that is so already. It must be quick, and take no lock
 * that somebody holds while he calls a function of this header. To a call that was cancelled a moment is left to be
 * completed; of one whose time is over the token is dead by then. Within a step it is not called:
 * dahost_call_canceled() tells. */
void dahost_on_cancel(dahost_call *call, void (*fn)(void *data), void *data);

/* ---- with Lua ------------------------------------------------------------------------------------------- */

/* The state that the call's values lie in, for who knows <lua.h>: the arguments are at 1 to dahost_arg_count(), results
 * are what dahost_return() is given: dahost_lua_value(call, -1). It has no libraries. An error raised in it is a
 * failure of the call, unless the call was deferred: then it must be raised within lua_pcall(). */
struct lua_State *dahost_lua(dahost_call *call);
dahost_value dahost_lua_value(dahost_call *call, int index);

/* ---- hosts: dahost within a program --------------------------------------------------------------------- */

/* A host is what `dahost serve` is without a network: a store, the executions in it, the threads that run steps. It
 * makes one thread for the store and those for steps, no other; it changes no disposition of a signal (so workflow code
 * that never awaits is not interrupted, and a damaged store ends the process without words).
 *
 * A host belongs to the thread that opens it: all functions here are for that thread, which is its loop thread, and
 * from none of the host's own callbacks but where it is said. It works while that thread turns the loop:
 *   - in dahost_wait() and dahost_turn();
 *   - or in uv_run(), if the host was given the loop of the program;
 *   - or whenever dahost_fd() is readable or dahost_timeout() is over: then dahost_turn(host, false) does what is to be
 * done. What is on disk is safe whenever the process ends. A process may have several hosts. */
typedef struct dahost dahost;
struct uv_loop_s;

typedef struct dahost_options {
  uint32_t size;         /* of this struct: sizeof(dahost_options) */
  const char *directory; /* of the store, made if it is not there; NULL: in memory, gone with it */
  const dahost_library_info *const *libraries; /* up to a NULL; NULL: none */
  int step_threads;                            /* 0: 4 */
  int64_t warm_bytes;                          /* memory for suspended executions; 0: 64 MiB; -1: none is kept */
  struct uv_loop_s *loop;                      /* to run on; it outlives the host. NULL: one of its own */
  /* A line that a script printed, without its end, of execution `id`; on the loop thread. NULL: lines go to stderr. */
  void (*output)(void *user, const char *id, const char *line);
  void *user;
} dahost_options;

/* NULL: `why` says why not ("the directory is held by process 4711"). It goes on with what an earlier process left. */
dahost *dahost_open(const dahost_options *options, char *why, size_t why_size);
/* Steps that run are not waited for; nothing is settled; executions go on when the store is opened again. Turns the
 * loop until it is free of the host. NULL is allowed. */
void dahost_close(dahost *host);
/* What was wrong when a function last said false, or DAHOST_UNKNOWN; belongs to the host, until the next such. */
const char *dahost_error(const dahost *host);

/* Reads and serves a script. False: a file that is not there, or an error in it, with its line. */
bool dahost_load(dahost *host, const char *path);
/* Starts execution `id` of workflow `function` of the scripts loaded; args: a JSON array. One that is there already is
 * left as it is. False: no such function, no such id, no JSON. Does not wait for the disk. */
bool dahost_start(dahost *host, const char *id, const char *function, const char *args);

typedef enum dahost_state {
  DAHOST_UNKNOWN, /* there is no such promise; or the wait failed: dahost_error() */
  DAHOST_PENDING,
  DAHOST_RESOLVED,
  DAHOST_REJECTED,
  DAHOST_CANCELED,
  DAHOST_TIMEDOUT
} dahost_state;

/* Waits, turning the loop, until the promise `id` (of an execution, or any) is settled; at most timeout_ms; -1: for
 * ever. DAHOST_PENDING: it is not settled yet. */
dahost_state dahost_wait(dahost *host, const char *id, int timeout_ms);
/* The JSON that the promise last waited for was settled with: the first result, or the error; "" if there is none.
 * Belongs to the host, until the next wait. */
const char *dahost_result(const dahost *host);
/* Calls fn(user, id, state, JSON) once it is settled, from a turn of the loop; both texts are borrowed. There it may
 * use dahost_start(), dahost_settle(), dahost_cancel() and dahost_on_settled(). DAHOST_UNKNOWN: there is no such
 * promise. */
void dahost_on_settled(dahost *host, const char *id,
                       void (*fn)(void *user, const char *id, dahost_state state, const char *json), void *user);
/* Settles a promise that waits for somebody outside; the first settlement stays. json: of the value, or the error.
 * False: no JSON, or no id. Does not wait for the disk. */
bool dahost_settle(dahost *host, const char *id, bool resolved, const char *json);
/* Asks an execution to cancel. */
void dahost_cancel(dahost *host, const char *id, const char *why);

/* One turn of the loop; with `wait` it waits until there is something to do. */
void dahost_turn(dahost *host, bool wait);
int dahost_fd(const dahost *host);      /* readable: there is something to do; for poll(2), epoll(7) */
int dahost_timeout(const dahost *host); /* ms until there is something to do at the latest; -1: nothing falls due */

typedef enum dahost_log_level { DAHOST_DEBUG, DAHOST_INFO, DAHOST_WARN, DAHOST_ERROR } dahost_log_level;
/* Lines of the log of this process at least that bad go to fn, without an end, from any thread; fn NULL: to stderr.
 * Before the first host. */
void dahost_log(dahost_log_level level, void (*fn)(void *user, dahost_log_level level, const char *line), void *user);

#ifdef __cplusplus
}
#endif

#endif
