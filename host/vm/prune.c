/* prune.c - children of an execution that nobody can ask for any more.
 *
 * A workflow that loops makes children without end, and holds on to few of them. Which ones it can still reach the heap
 * tells: a promise is a userdata with the number of its child, so a child whose number is in no live object is reached
 * by none (isolate.h, da_isolate_each_handle()). It goes if it was delivered, if nothing is owed at the end of its
 * scope (a failure nobody awaited, a promise forgotten, what a queue gave it), and if no later call can find it by its
 * id: what has a key or an id of the script's choice stays. With it go fibers that ended and their scopes. What the
 * host knows of an execution is so bounded by what the program holds, as an image has to be. Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <stdlib.h>

#include "execution.h"

/* ---- what stays ---------------------------------------------------------------------------------------- */

static void keep_child(da_child *child);

/* A done one stays for the sake of who made what (bind_saga.c). */
static void keep_fiber(da_fiber *fiber)
{
  if (fiber == NULL || fiber->kept) return;
  fiber->kept = true;
  if (fiber->child != NULL) keep_child(fiber->child);
}

static void keep_child(da_child *child)
{
  if (child->kept) return;
  child->kept = true;
  keep_fiber(child->maker);
  keep_fiber(child->fiber);
  keep_fiber(child->scope->fiber);
}

static void keep_handle(void *user, uint32_t number)
{
  da_child *child = da_execution_child(user, number);
  if (child != NULL) keep_child(child);
}

static bool is_wanted(const da_child *child)
{
  if (!child->delivered || !child->counted || child->in_flight > 0 || child == child->execution->deadline) return true;
  if (child->joined && !child->observed && !child->ignored && child->state != DA_RESOLVED) return true;
  if (da_queue_waits(child->kind) && !child->seen && !child->given_back) return true;
  return !child->told_forgotten && da_child_forgotten(child);
}

/* Waits that ended otherwise lie in the list until the child is delivered. */
static void drop_waiters(da_child *child)
{
  size_t kept = 0;
  for (size_t i = 0; i < child->waiter_count; i++) {
    const da_waiter_of_child *waiter = &child->waiters[i];
    if (!waiter->fiber->done && (waiter->token == 0 || waiter->token == waiter->fiber->token))
      child->waiters[kept++] = *waiter;
  }
  child->waiter_count = kept;
}

static void mark(da_execution *execution)
{
  for (size_t i = 0; i < execution->child_count; i++)
    if (execution->children[i] != NULL) execution->children[i]->kept = false;
  for (da_fiber *fiber = execution->fibers; fiber != NULL; fiber = fiber->next) fiber->kept = false;
  da_isolate_each_handle(execution->isolate, keep_handle, execution);
  for (size_t i = 0; i < execution->child_count; i++) {
    da_child *child = execution->children[i];
    if (child == NULL) continue;
    drop_waiters(child);
    if (is_wanted(child)) keep_child(child);
  }
  for (da_fiber *fiber = execution->fibers; fiber != NULL; fiber = fiber->next)
    if (!fiber->done) keep_fiber(fiber);
}

/* ---- what goes ----------------------------------------------------------------------------------------- */

static void clean_scope(da_scope *scope)
{
  size_t kept = 0;
  for (size_t i = 0; i < scope->count; i++)
    if (scope->children[i]->kept) scope->children[kept++] = scope->children[i];
  scope->count = kept;
}

static void drop_child(da_execution *execution, da_child *child)
{
  if (child->id.len != 0) (void)da_table_remove(&execution->by_id, child->id);
  if (child->results_ref != LUA_NOREF) luaL_unref(execution->L, LUA_REGISTRYINDEX, child->results_ref);
  if (child->record != NULL) child->record->child = NULL;
  da_call_free_index(execution, child->index);
  da_call_free(child);
}

static void drop_fibers(da_execution *execution)
{
  for (da_fiber **at = &execution->fibers; *at != NULL;) {
    da_fiber *fiber = *at;
    if (fiber->kept) {
      at = &fiber->next;
      continue;
    }
    *at = fiber->next;
    if (fiber->scope->fiber == fiber) da_scope_free(fiber->scope);
    da_fiber_free(fiber);
  }
}

/* The places behind the last child go, too, so that there are no more than the program once held at a time. */
static void trim(da_execution *execution)
{
  size_t count = execution->child_count, kept = 0;
  while (count > 0 && execution->children[count - 1] == NULL) count--;
  for (size_t i = 0; i < execution->free_count; i++)
    if (execution->free_indexes[i] <= count) execution->free_indexes[kept++] = execution->free_indexes[i];
  execution->free_count = kept;
  if (execution->unsorted > count) execution->unsorted = count;
  execution->child_count = count;
  if (execution->child_cap <= 4 * (count + 16)) return;
  execution->child_cap = 2 * (count + 16);
  execution->children = da_xrealloc(execution->children, execution->child_cap * sizeof(da_child *));
  if (execution->free_cap <= execution->child_cap) return;
  execution->free_cap = execution->child_cap;
  execution->free_indexes = da_xrealloc(execution->free_indexes, execution->free_cap * sizeof *execution->free_indexes);
}

void da_execution_prune(da_execution *execution)
{
  mark(execution);
  clean_scope(&execution->main);
  for (const da_fiber *fiber = execution->fibers; fiber != NULL; fiber = fiber->next)
    if (fiber->kept && fiber->scope->fiber == fiber) clean_scope(fiber->scope);
  for (size_t i = 0; i < execution->child_count; i++)
    if (execution->children[i] != NULL && !execution->children[i]->kept) drop_child(execution, execution->children[i]);
  drop_fibers(execution);
  trim(execution);
}
