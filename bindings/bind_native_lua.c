/* bind_native_lua.c - functions in C as scripts call them: da.native.LIBRARY.NAME(...).
 *
 * In a workflow a call is a step (bind_function.c), but for PURE ones, which are run where they stand. In a step those
 * of the kinds PURE and POOL are run there and then; the others belong to the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind.h"
#include "bind_error.h"
#include "bind_native.h"
#include "bind_value.h"

#include "../host/base/limits.h"
#include "../host/vm/lib.h"

/* What the job came to is moved to this thread's buffers: what follows may raise. */
static void keep(da_step_job *job, da_buf *data, da_buf *rest)
{
  da_buf_add(data, da_buf_slice(&job->data).ptr, da_buf_slice(&job->data).len);
  da_buf_add(rest, da_buf_slice(&job->rest).ptr, da_buf_slice(&job->rest).len);
  da_buf_free(&job->data);
  da_buf_free(&job->rest);
}

/* The arguments lie from 2 on. Leaves the results, or raises. */
static int call_here(lua_State *L, da_step_job *job)
{
  da_err err = {{0}};
  da_buf *args = bind_scratch(0);
  if (bind_value_encode_args(L, 2, lua_gettop(L), job->native->name.ptr, args, &err) != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
    return lua_error(L);
  }
  job->args = da_buf_slice(args);
  (void)job->native->run(job);
  da_buf *data = bind_scratch(1), *rest = bind_scratch(2);
  keep(job, data, rest);
  int count = 0;
  bool ok = job->ok;
  da_status status = ok ? bind_value_decode_whole_results(L, da_buf_slice(data), da_buf_slice(rest), &count, &err)
                        : bind_value_decode(L, da_buf_slice(data), &err);
  if (status != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
    return lua_error(L);
  }
  if (ok) return count;
  if (job->fatal) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "fatal");
  }
  return lua_error(L);
}

int bind_native_call_pure(lua_State *L, da_execution *execution, const da_native *native)
{
  da_step_job job = {.native = native, .id = execution->id, .deadline_ms = DA_TIME_MAX};
  return call_here(L, &job);
}

int bind_native_missing(lua_State *L, da_execution *execution, da_slice name)
{
  const da_worker_hooks *hooks = &execution->worker->options.hooks;
  da_execution_park(execution, "native", "the native '%.*s' is not in this process: %s", DA_FMT(name),
                    bind_natives_words(hooks->natives, name));
  return da_lib_park(L);
}

static int fatal(lua_State *L, const char *words)
{
  bind_error_push(L, "error", words);
  lua_pushboolean(L, 1); /* the same in every attempt */
  lua_setfield(L, -2, "fatal");
  return lua_error(L);
}

int bind_native_call_in_step(lua_State *L, da_slice name)
{
  const da_native *native = da_step_native(L, name);
  const da_step_job *running = da_step_job_of(L);
  if (running == NULL)
    return bind_raise(L, "a native was called while the script loads; only a running step can do that");
  if (native == NULL) return fatal(L, lua_pushfstring(L, "the native '%s' is not in this process", name.ptr));
  if (native->kind != DA_NATIVE_POOL && native->kind != DA_NATIVE_PURE)
    return fatal(L, lua_pushfstring(L, "the native '%s' runs on the loop thread: call it in the workflow", name.ptr));
  da_step_job job = {.native = native,
                     .within = running,
                     .id = running->id,
                     .attempt = running->attempt,
                     .deadline_ms = running->deadline_ms};
  return call_here(L, &job);
}
