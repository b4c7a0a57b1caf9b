/* bind.h - the library `da` as scripts see it.
 *
 * Here:     what every binding shares: the natives' table `core`, checks of arguments, where a call stands.
 * Rule:     a native checks its arguments, does one call into vm, translates one result. It decides nothing.
 * Three kinds of state: an isolate (an execution's own, deterministic), a step state (ordinary Lua on a step thread),
 * and the state of `dahost test` (ordinary Lua, in which no execution runs). Each gets its own natives, and the Lua
 * files of lua/da/ that belong to it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BIND_H
#define DA_BINDINGS_BIND_H

#include <lauxlib.h>
#include <lua.h>

#include "../host/vm/execution.h"

/* For da_worker_options.hooks. */
int bind_open_isolate(lua_State *L);
int bind_open_step(lua_State *L);
/* `da` and `da.test` for a state that runs tests; `natives` are what lua/da/test.lua is given beside those of values.
 */
void bind_open_test(lua_State *L, const luaL_Reg *natives);
/* Sets the process-wide hooks of the determinism library. Once, before the first isolate. */
void bind_setup(void);

/* Natives, set into `core` by bind_open.c. */
extern const luaL_Reg bind_function_natives[];      /* isolates: define, inline, branch, sleep, promise, ... */
extern const luaL_Reg bind_promise_natives[];       /* isolates: await, pawait, wait_any, ... */
extern const luaL_Reg bind_execution_natives[];     /* isolates: finish, join, now, id, ... */
extern const luaL_Reg bind_saga_natives[];          /* isolates: what lua/da/saga.lua needs */
extern const luaL_Reg bind_again_natives[];         /* isolates: again, patched */
extern const luaL_Reg bind_schedule_natives[];      /* isolates: schedule */
extern const luaL_Reg bind_schedule_step_natives[]; /* step states: the same, for nothing */
extern const luaL_Reg bind_step_natives[];          /* step states */
extern const luaL_Reg bind_queue_natives[];         /* isolates: queue_wait, queue_send, ... */
extern const luaL_Reg bind_queue_step_natives[];    /* the same of step states */
extern const luaL_Reg bind_outcome_natives[];       /* both: outcome, trace, decode */

/* Calls of functions in C: bind_native_lua.c. The handle of one lies at 1, its arguments behind it. */
int bind_native_call_in_step(lua_State *L, da_slice name);
/* The results of a PURE one; raises its error. */
int bind_native_call_pure(lua_State *L, da_execution *execution, const da_native *native);
/* Parks the execution, since it is not in this process. */
int bind_native_missing(lua_State *L, da_execution *execution, da_slice name);

/* Metatables, made once per state. */
void bind_function_open(lua_State *L, bool in_isolate);
void bind_promise_open(lua_State *L);
void bind_again_open(lua_State *L);
/* For the value codec. */
bool bind_function_name(lua_State *L, int index, da_slice *name);
/* A durable function as da.start() takes it; false if the value at index is none. Slices are borrowed while it lives.
 */
typedef struct bind_function {
  bool workflow;
  bool named;         /* it has a key or an id */
  bool limited;       /* it has options that say how it is to be called, beyond group and version */
  int64_t timeout_ms; /* -1: none */
  int64_t delay_ms;   /* 0: none */
  da_slice name, target;
  int64_t asked_version; /* by f:with{version=}; 0: none */
  int64_t version;       /* of another group: 0 if none is named; else that of the definition, 0 if there is none */
} bind_function;
bool bind_function_read(lua_State *L, int index, bind_function *out);
/* The tags of the function at index. The list lies in the arena; its texts are borrowed while the function lives. */
da_map bind_function_tags(lua_State *L, int index, da_arena *arena);
void bind_function_push(lua_State *L, da_slice name);
bool bind_promise_id(lua_State *L, int index, da_slice *id);
void bind_promise_push_id(lua_State *L, da_slice id);

/* The execution a durable call is made in; raises with advice while the script loads and inside an inline step. */
da_execution *bind_execution(lua_State *L, const char *what);
void bind_promise_push(lua_State *L, const da_child *child);
/* Pushes the table of what promises have: p:NAME(). */
void bind_promise_methods(lua_State *L);
/* Makes the call of spec and leaves its promise on the stack; yields for ever if the execution is being parked. */
int bind_finish_call(lua_State *L, da_execution *execution, da_call_spec *spec);
/* What awaiting the promise of an acquire gives. */
void bind_permit_push(lua_State *L, const da_child *child);
void bind_permit_open(lua_State *L);
/* The da.Error of a child that did not resolve. */
void bind_promise_push_error(lua_State *L, const da_child *child);
/* What the workflow's function ended with, (true, ...), is da.again's: then it begins again, and true is returned. One
 * that was made and not returned becomes the error it ends with. */
bool bind_again_finish(lua_State *L, da_execution *execution);
/* Pushes the da.Error that a delivered request to cancel raises, or a deadline, and notes that it was raised. */
void bind_promise_push_canceled(lua_State *L, da_slice why, const char *code);
/* The child behind the promise at index; raises if it is none. */
da_child *bind_promise_check(lua_State *L, int index, const char *what);
/* What is at index as text for an error: "a promise", "a table"... */
const char *bind_what(lua_State *L, int index);

/* A duration: seconds as a number, or "250ms", "1h30m", "3d". In ms; raises when it is none. `what` names it. */
int64_t bind_duration_ms(lua_State *L, int index, const char *what);
/* The sum of <number><unit> in ms; negative when the text is none. */
double bind_duration_of_text(const char *text);
/* Options of a call: timeout, attempt_timeout, retry, version; key, id, group and address are strings for
 * bind_string_field(). Names that are not among `names` raise with the nearest; `what` has them. */
typedef struct bind_options {
  int64_t version;            /* 0: none */
  int64_t timeout_ms;         /* -1: none */
  int64_t attempt_timeout_ms; /* 0: none */
  int64_t delay_ms;           /* 0: none */
  bool has_retry;
  da_retry retry;
} bind_options;
extern const char *const bind_call_options[];
extern const char *const bind_default_options[];
extern const char *const bind_inline_options[];
void bind_options_read(lua_State *L, int index, const char *const *names, const char *what, bind_options *out);
/* Checks the tags at key `tags` of the table at index and pushes a copy of them, or nil. */
void bind_tags_copy(lua_State *L, int index);
/* The pairs of such a copy at index, by key, in the arena; none if it is nil. Borrowed while the table lives. */
da_map bind_tags(lua_State *L, int index, da_arena *arena);
/* The string at key of the table at index; empty if absent; raises on another type. Borrowed while the table lives. */
da_slice bind_string_field(lua_State *L, int index, const char *key);
/* The line of the script that made the running call. */
void bind_location(lua_State *L, da_call_spec *spec);
/* As luaL_error(), but at the script's own line: between it and a native there may be lines of lua/da/. */
int bind_raise(lua_State *L, const char *format, ...);
/* The string (or number) at index, and one that can be an id; raise when it is none. `what` is for the words. */
da_slice bind_check_text(lua_State *L, int index, const char *what);
da_slice bind_check_id(lua_State *L, int index, const char *what);
/* raise(message): bind_raise() for lua/da/. */
int bind_raise_native(lua_State *L);
/* nearest(name, table) -> " (did you mean 'x'?)" of the table's keys, or "". */
int bind_nearest(lua_State *L);

/* A buffer of this thread, emptied; used before anything else can run. */
da_buf *bind_scratch(int which);

#endif
