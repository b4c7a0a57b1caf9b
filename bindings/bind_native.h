/* bind_native.h - libraries of natives, and one call of one: what lies behind dahost.h.
 *
 * Here:     the registry of a process or of a host in it, and what its files share of a call.
 * May not:  know executions: a call is an attempt (da_step_job), or a value wanted at once.
 * Threads:  a registry is filled on one thread, before it is used; then any may look into it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BINDINGS_BIND_NATIVE_H
#define DA_BINDINGS_BIND_NATIVE_H

#include <lua.h>
#include <pthread.h>

#include "../host/vm/native.h"
#include "../host/vm/step_pool.h"
#include "dahost.h"

typedef struct bind_natives bind_natives;

/* With the libraries that every host has (battery.h). */
bind_natives *bind_natives_new(void);
/* Libraries whose natives still run (a step thread that was left) stay until those have ended. */
void bind_natives_delete(bind_natives *natives);
/* path: of a shared object. DA_EINVAL, with err: the file, what is wrong with it, and the mend. */
da_status DA_MUST_USE bind_natives_load(bind_natives *natives, const char *path, da_err *err);
da_status DA_MUST_USE bind_natives_add(bind_natives *natives, const dahost_library_info *info, da_err *err);
/* What natives of this process run outside of it is killed. For a process that ends by _exit(), also from a signal
 * handler; exit() does it by itself. */
void bind_natives_end(void);
/* For da_worker_hooks. */
const da_native *bind_natives_find(void *natives, da_slice name);
/* Which natives the library of `name` has ("there are a.b, a.c"), or those of plugins, or words that say how to get
 * any. Static until the next call of this thread. */
const char *bind_natives_words(const bind_natives *natives, da_slice name);

/* One native; `native` is what the vm sees. */
typedef struct bind_native {
  da_native native;
  dahost_fn fn;
  void *user;
  dahost_library *library;
} bind_native;

void bind_library_ref(dahost_library *library);
void bind_library_unref(dahost_library *library);

/* ---- a call: bind_call.c --------------------------------------------------------------------------------- */

struct dahost_call {
  lua_State *L; /* arguments and values */
  lua_State *R; /* results, or the error alone */
  const bind_native *native;
  da_step_job *job; /* not of the thread that claimed it */
  char *id;
  int attempt;
  int64_t deadline_ms;
  int arg_count;
  bool failed, fatal;
  /* The rest is guarded by the one mutex of bind_call.c. */
  bool deferred;
  bool begun;      /* the function that deferred it has returned */
  bool claimed;    /* somebody has it */
  bool completing; /* who has it puts what it came to into the job */
  bool canceled;
  bool dead; /* nobody listens: who has it drops it */
  pthread_t runner;
  uint64_t serial; /* of its token, as the place */
  size_t place;
  void (*on_cancel)(void *data);
  void *on_cancel_data;
  const da_step_job *within; /* the step that calls it, or NULL */
  dahost_call *next;         /* one that is free */
};

/* For da_native. */
bool bind_call_run(da_step_job *job);
void bind_call_cancel(da_step_job *job);
bool bind_call_let_go(da_step_job *job);

#endif
