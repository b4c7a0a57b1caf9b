/* rehearse.c - an execution run over its records and no further: would other code take the same path?
 *
 * In a worker that rehearses (da_worker_options.rehearse) nothing is claimed and nothing new is carried out: a call
 * without a record is told (DA_EVENT_CALLED) and stays pending; of promises with ids of their own the store is asked,
 * so it should hold those too. When nothing of the execution can run any more its outcome is told, once - parked,
 * completed (text: its value, child: its further results), or else suspended (child: a recorded promise that it waits
 * for, if any; text: the id of a recorded call that it did not make, if any) - and it is dropped. Threads: the loop
 * thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "execution.h"

void da_worker_rehearse(da_worker *worker, da_slice id)
{
  DA_ASSERT(worker->options.rehearse);
  da_execution_claim(da_execution_new(worker, id), 1);
}

/* What has an id of its own may be there without a record of this execution. */
bool da_rehearse_call(da_child *child)
{
  da_execution *execution = child->execution;
  if (!execution->worker->options.rehearse || child->kind == DA_CALL_BRANCH) return false;
  if (child->global)
    da_foreign_look_up(child);
  else
    da_execution_event(execution, DA_EVENT_CALLED, child);
  return true;
}

static da_slice awaited_id(const da_execution *execution)
{
  const da_child *child = execution->open_first;
  while (child != NULL && !da_fiber_awaited(child)) child = child->open_next;
  return child != NULL ? child->id : DA_NONE;
}

/* What its sagas would undo. */
static da_slice open_undos(da_execution *execution)
{
  lua_State *L = execution->L;
  da_slice undos = DA_NONE;
  size_t len;
  if (L == NULL || !lua_checkstack(L, 4)) return undos;
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_UNDOS);
  const char *text = lua_pcall(L, 0, 1, 0) == LUA_OK ? lua_tolstring(L, -1, &len) : NULL;
  if (text != NULL) undos = da_arena_dup(&execution->arena, da_slice_make(text, len));
  lua_pop(L, 1);
  return undos;
}

void da_rehearse_over(da_execution *execution)
{
  da_event event = {.execution = execution->id, .func = execution->func};
  if (execution->holds > 0 && execution->park_code == NULL && !execution->finished) return; /* answers are to come */
  if (execution->park_code == NULL && execution->finished) (void)da_replay_all_reached(execution);
  if (execution->park_code != NULL) {
    event.kind = DA_EVENT_PARKED;
    event.undos = open_undos(execution);
    event.recorded = execution->park_recorded;
    event.wanted = execution->park_wanted;
    event.text = da_slice_of(execution->park_text);
  } else if (execution->begins_again) {
    event.kind = DA_EVENT_AGAIN;
    event.count = execution->generation + 1;
  } else if (execution->finished) {
    event.kind = DA_EVENT_COMPLETED;
    event.state = execution->outcome;
    event.text = execution->outcome_data;
    event.child = execution->outcome_rest;
  } else {
    event.kind = DA_EVENT_SUSPENDED;
    const da_promise *missed = da_replay_unreached(execution);
    event.child = awaited_id(execution);
    event.undos = open_undos(execution);
    if (missed != NULL) event.text = missed->id;
  }
  const da_worker_options *options = &execution->worker->options;
  if (options->event != NULL) options->event(options->user, &event);
  da_execution_drop(execution);
}
