/* fiber.c - fibers of an execution: running them, what they wait for, delivery of completions in commit order.
 *
 * A fiber is a coroutine the host resumes. It yields only to wait (or because the execution is being parked); a nested
 * coroutine of the script passes such a yield outward (lib_coroutine.c). Ready fibers run first in, first out, so the
 * order in which they run follows from the order of deliveries alone. Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <stdlib.h>

#include "execution.h"
#include "fault.h"
#include "lib.h"

da_fiber *da_fiber_start(da_execution *execution, lua_State *co, int ref, int arguments, da_scope *scope,
                         da_child *child)
{
  da_fiber *fiber = da_xcalloc(1, sizeof *fiber);
  fiber->execution = execution;
  fiber->co = co;
  fiber->ref = ref;
  fiber->arguments = arguments;
  fiber->scope = scope;
  fiber->child = child;
  fiber->next = execution->fibers;
  execution->fibers = fiber;
  da_fiber_wake(fiber);
  return fiber;
}

void da_fiber_wake(da_fiber *fiber)
{
  if (fiber->ready || fiber->done) return;
  da_execution *execution = fiber->execution;
  fiber->ready = true;
  fiber->token = 0;
  fiber->next_ready = NULL;
  if (execution->ready_last != NULL)
    execution->ready_last->next_ready = fiber;
  else
    execution->ready_first = fiber;
  execution->ready_last = fiber;
}

void da_fiber_wake_all(da_execution *execution)
{
  for (da_fiber *fiber = execution->fibers; fiber != NULL; fiber = fiber->next)
    if (fiber->token != 0 && !fiber->shielded) da_fiber_wake(fiber);
}

/* A fiber whose Lua function raised: bindings catch everything, so this is a fault of ours. */
static void fiber_broke(da_execution *execution, da_fiber *fiber)
{
  size_t len = 0;
  const char *text =
      lua_type(fiber->co, -1) == LUA_TSTRING ? lua_tolstring(fiber->co, -1, &len) : "error without words";
  if (len == 0) len = strlen(text);
  da_buf json = {0};
  da_fault_json(&json, "error", da_slice_make(text, len));
  if (fiber->child != NULL && fiber->child->kind == DA_CALL_BRANCH)
    da_execution_branch_done(execution, fiber->child, false, da_buf_slice(&json), DA_NONE);
  else
    da_execution_finish(execution, DA_REJECTED, da_buf_slice(&json), DA_NONE);
  da_buf_free(&json);
}

static void resume(da_execution *execution, da_fiber *fiber)
{
  int results = 0;
  int arguments = fiber->arguments;
  fiber->arguments = 0;
  execution->current = fiber;
  da_isolate_set_running(execution->isolate, fiber->co);
  int status = lua_resume(fiber->co, NULL, arguments, &results);
  execution->current = NULL;
  if (execution->park_code != NULL) return;
  if (da_isolate_poisoned(fiber->co) != DA_POISON_NONE ||
      (status > LUA_YIELD && da_lib_out_of_memory(fiber->co, status))) {
    da_execution_park(execution, "memory", "the execution outgrew its memory quota");
    return;
  }
  if (status == LUA_YIELD) {
    lua_pop(fiber->co, results);
    return;
  }
  fiber->done = true;
  if (status != LUA_OK) fiber_broke(execution, fiber);
  luaL_unref(execution->L, LUA_REGISTRYINDEX, fiber->ref);
  fiber->ref = LUA_NOREF;
}

void da_fiber_run_ready(da_execution *execution)
{
  while (execution->ready_first != NULL && execution->park_code == NULL) {
    da_fiber *fiber = execution->ready_first;
    execution->ready_first = fiber->next_ready;
    if (execution->ready_first == NULL) execution->ready_last = NULL;
    fiber->ready = false;
    resume(execution, fiber);
  }
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

static bool failed(const da_child *child)
{
  return child->delivered && child->state != DA_RESOLVED;
}

bool da_fiber_satisfied(da_child *const *children, size_t count, bool any)
{
  size_t delivered = 0;
  for (size_t i = 0; i < count; i++) {
    if (children[i]->delivered) delivered++;
    if (failed(children[i])) return true;
  }
  return any ? delivered > 0 : delivered == count;
}

bool da_fiber_wait(da_execution *execution, da_child *const *children, size_t count, bool any)
{
  da_fiber *fiber = execution->current;
  DA_ASSERT(fiber != NULL);
  if (da_fiber_satisfied(children, count, any)) return false;
  fiber->token = ++execution->next_token;
  fiber->wait_any = any;
  fiber->wait_left = 0;
  for (size_t i = 0; i < count; i++) {
    da_child *child = children[i];
    if (child->delivered) continue;
    if (child->waiter_count == child->waiter_cap) {
      child->waiter_cap = child->waiter_cap != 0 ? child->waiter_cap * 2 : 1;
      child->waiters = da_xrealloc(child->waiters, child->waiter_cap * sizeof *child->waiters);
    }
    child->waiters[child->waiter_count++] = (struct da_child_waiter){fiber, fiber->token};
    fiber->wait_left++;
  }
  return true;
}

/* ---- delivery ------------------------------------------------------------------------------------------ */

/* Keeps the queue in order of seq. Almost always an append: commits are told in order. */
void da_fiber_enqueue(da_execution *execution, da_delivery delivery)
{
  if (execution->queue_count == execution->queue_cap) {
    execution->queue_cap = execution->queue_cap != 0 ? execution->queue_cap * 2 : 16;
    execution->queue = da_xrealloc(execution->queue, execution->queue_cap * sizeof *execution->queue);
  }
  size_t at = execution->queue_count++;
  while (at > execution->queue_head && execution->queue[at - 1].seq > delivery.seq) {
    execution->queue[at] = execution->queue[at - 1];
    at--;
  }
  execution->queue[at] = delivery;
}

static void wake_waiters(da_child *child)
{
  for (size_t i = 0; i < child->waiter_count; i++) {
    da_fiber *fiber = child->waiters[i].fiber;
    if (fiber->token == 0 || fiber->token != child->waiters[i].token) continue;
    fiber->wait_left--;
    if (fiber->wait_left == 0 || fiber->wait_any || child->state != DA_RESOLVED) da_fiber_wake(fiber);
  }
  free(child->waiters);
  child->waiters = NULL;
  child->waiter_count = child->waiter_cap = 0;
}

static void deliver_child(da_execution *execution, da_child *child)
{
  if (child->delivered) return;
  child->delivered = true;
  child->delivered_at = ++execution->delivered_count;
  wake_waiters(child);
}

static void deliver_cancel(da_execution *execution, da_slice why)
{
  if (execution->cancel_requested) return;
  execution->cancel_requested = true;
  execution->cancel_why = why;
  da_fiber_wake_all(execution);
}

bool da_fiber_deliver_next(da_execution *execution)
{
  if (execution->holds > 0 || execution->queue_head == execution->queue_count) return false;
  da_delivery delivery = execution->queue[execution->queue_head];
  da_child *child = delivery.child;
  if (delivery.record != NULL) {
    child = delivery.record->child;
    if (child == NULL) {
      const da_promise *promise = delivery.record->promise;
      da_execution_park(execution, "nondeterminism",
                        "replay of '%.*s' waits without having made %s '%.*s', recorded as '%.*s' from %.*s:%u",
                        DA_FMT(execution->id), da_call_kind_name(promise->call.kind), DA_FMT(promise->call.func),
                        DA_FMT(promise->id), DA_FMT(promise->call.file), promise->call.line);
      return false;
    }
    execution->recorded_left--;
  }
  if (++execution->queue_head == execution->queue_count) execution->queue_head = execution->queue_count = 0;
  if (delivery.seq > execution->position) execution->position = delivery.seq;
  if (delivery.settled_at > execution->clock_ms) execution->clock_ms = delivery.settled_at;
  if (delivery.cancels)
    deliver_cancel(execution, delivery.cancel);
  else
    deliver_child(execution, child);
  return true;
}

/* ---- fibers without a record --------------------------------------------------------------------------- */

void da_fiber_done(da_execution *execution, da_child *child, bool ok, int results_ref)
{
  child->state = ok ? DA_RESOLVED : DA_REJECTED;
  child->settled = true;
  child->results_ref = results_ref;
  deliver_child(execution, child);
}
