/* builtin.c - functions that the worker itself answers: no script defines them, no isolate is theirs.
 *
 *     ~stubs()    what the group serves at this moment, as the hook `stubs` describes it: a text
 *
 * Names that begin with '~' cannot be defined by a script. An execution of one is claimed and fulfilled as any other,
 * so whoever can call a function of the group can ask, from wherever.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "execution.h"
#include "fault.h"

static const char stubs_name[] = "~stubs";

bool da_builtin_find(const da_worker *worker, const da_group *group, da_slice func)
{
  return worker->options.hooks.stubs != NULL && group != NULL && da_group_bundle(group, 0) != NULL &&
         da_slice_eq(func, da_slice_of(stubs_name));
}

typedef struct look {
  da_status (*write)(lua_State *L, da_buf *out, da_err *err);
  da_buf *out;
} look;

static da_status write_bundle(void *user, lua_State *L, da_err *err)
{
  const look *l = user;
  return l->write(L, l->out, err);
}

/* Each is loaded once more: nobody keeps an isolate for it. */
static da_status write_group(da_worker *worker, const da_group *group, da_buf *out, da_err *err)
{
  look l = {worker->options.hooks.stubs, out};
  da_bundle *bundle;
  for (size_t at = 0; (bundle = da_group_bundle(group, at)) != NULL; at++) {
    da_status status;
    do {
      status = da_worker_inspect(worker, bundle, write_bundle, &l, err);
    } while (status == DA_EQUEUE && da_worker_make_room(worker));
    if (status != DA_OK) return status;
  }
  return DA_OK;
}

bool da_builtin_answer(da_execution *execution)
{
  da_worker *worker = execution->worker;
  const da_group *group = da_worker_group(worker, execution->target);
  if (worker->options.rehearse || !da_builtin_find(worker, group, execution->func)) return false;
  da_err err = {{0}};
  da_buf text = {0}, json = {0};
  bool good = write_group(worker, group, &text, &err) == DA_OK;
  if (good)
    da_fault_string(&json, da_buf_slice(&text));
  else
    da_fault_json(&json, "stubs", da_slice_of(err.text));
  da_execution_end_at_once(execution, good ? DA_RESOLVED : DA_REJECTED, da_buf_slice(&json));
  da_buf_free(&text);
  da_buf_free(&json);
  return true;
}
