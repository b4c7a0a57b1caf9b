/* fiber.c - fibers of an execution: running them, what they wait for, delivery of completions in commit order.
 *
 * A fiber is a coroutine the host resumes. It yields only to wait (or because the execution is being parked); a nested
 * coroutine of the script passes such a yield outward (lib_coroutine.c). Ready fibers run first in, first out, so the
 * order in which they run follows from the order of deliveries alone.
 * Two ways to wait: for a list of children, once (await); or for the next of those it watches (combinators), each of
 * which is registered once, however often the fiber asks.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <stdlib.h>

#include "far.h"
#include "fault.h"
#include "lib.h"

da_fiber *da_fiber_start(da_execution *execution, lua_State *co, int ref, int arguments, da_scope *scope,
                         da_child *child)
{
  da_fiber *fiber = da_xcalloc(1, sizeof *fiber);
  fiber->execution = execution;
  fiber->number = ++execution->fiber_count;
  fiber->co = co;
  fiber->ref = ref;
  fiber->arguments = arguments;
  fiber->scope = scope;
  fiber->child = child;
  fiber->shelter = da_execution_shelter(execution, scope);
  if (child != NULL) child->fiber = fiber;
  if (child != NULL && child->kind == DA_CALL_BRANCH) scope->fiber = fiber;
  fiber->next = execution->fibers;
  execution->fibers = fiber;
  da_fiber_wake(fiber);
  return fiber;
}

void da_fiber_free(da_fiber *fiber)
{
  free(fiber->inbox);
  free(fiber);
}

void da_fiber_wake(da_fiber *fiber)
{
  if (fiber->ready || fiber->done) return;
  da_execution *execution = fiber->execution;
  fiber->ready = true;
  fiber->token = 0;
  fiber->wait_inbox = false;
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
    if (fiber->token != 0 && da_fiber_canceled(execution, fiber, NULL) != NULL) da_fiber_wake(fiber);
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
    da_execution_branch_done(fiber->child, DA_REJECTED, da_buf_slice(&json), DA_NONE);
  else
    da_execution_finish(execution, DA_REJECTED, da_buf_slice(&json), DA_NONE);
  da_buf_free(&json);
}

/* A slice is over: the fiber goes on before any other, so that slices change no order. */
static void stay_first(da_execution *execution, da_fiber *fiber)
{
  da_isolate_set_sliced(execution->isolate, false);
  execution->sliced = true;
  fiber->ready = true;
  fiber->next_ready = execution->ready_first;
  execution->ready_first = fiber;
  if (execution->ready_last == NULL) execution->ready_last = fiber;
}

static void end_span(da_execution *execution)
{
  execution->span_ticks = 0;
  execution->slow_told = false;
}

static void resume(da_execution *execution, da_fiber *fiber)
{
  int results = 0;
  int arguments = fiber->arguments;
  fiber->arguments = 0;
  execution->current = fiber;
  da_watch *watch = execution->worker->watch;
  da_watched before = da_watch_enter(watch, fiber->co);
  int status = lua_resume(fiber->co, NULL, arguments, &results);
  execution->span_ticks += da_watch_leave(watch, before);
  execution->current = NULL;
  if (execution->park_code != NULL) return;
  if (da_isolate_poisoned(fiber->co) != DA_POISON_NONE ||
      (status > LUA_YIELD && da_lib_out_of_memory(fiber->co, status))) {
    da_execution_park_poisoned(execution);
    return;
  }
  if (status == LUA_YIELD) {
    lua_pop(fiber->co, results);
    if (da_isolate_sliced(execution->isolate))
      stay_first(execution, fiber);
    else
      end_span(execution);
    return;
  }
  end_span(execution);
  fiber->done = true;
  if (status != LUA_OK) fiber_broke(execution, fiber);
  luaL_unref(execution->L, LUA_REGISTRYINDEX, fiber->ref);
  fiber->ref = LUA_NOREF;
}

void da_fiber_run_ready(da_execution *execution)
{
  while (execution->ready_first != NULL && execution->state == DA_EXECUTION_RUNNING && execution->park_code == NULL &&
         !execution->finished && !execution->sliced) {
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

static bool satisfied(da_child *const *children, size_t count)
{
  size_t delivered = 0;
  for (size_t i = 0; i < count; i++) {
    if (children[i]->delivered) delivered++;
    if (failed(children[i])) return true;
  }
  return delivered == count;
}

void da_fiber_add_waiter(da_child *child, da_fiber *fiber, uint32_t token, uint32_t tag)
{
  if (child->waiter_count == child->waiter_cap) {
    child->waiter_cap = child->waiter_cap != 0 ? child->waiter_cap * 2 : 1;
    child->waiters = da_xrealloc(child->waiters, child->waiter_cap * sizeof *child->waiters);
  }
  child->waiters[child->waiter_count++] = (da_waiter_of_child){fiber, token, tag};
}

bool da_fiber_wait(da_execution *execution, da_child *const *children, size_t count)
{
  da_fiber *fiber = execution->current;
  DA_ASSERT(fiber != NULL);
  if (satisfied(children, count)) return false;
  fiber->token = ++execution->next_token;
  fiber->wait_inbox = false;
  fiber->wait_left = 0;
  for (size_t i = 0; i < count; i++) {
    if (children[i]->delivered) continue;
    da_fiber_add_waiter(children[i], fiber, fiber->token, 0);
    fiber->wait_left++;
  }
  return true;
}

/* Almost always an append; not when members were delivered before they were watched. */
static void inbox_add(da_fiber *fiber, uint32_t at, uint32_t tag)
{
  if (fiber->inbox_count == fiber->inbox_cap) {
    fiber->inbox_cap = fiber->inbox_cap != 0 ? fiber->inbox_cap * 2 : 4;
    fiber->inbox = da_xrealloc(fiber->inbox, fiber->inbox_cap * sizeof *fiber->inbox);
  }
  size_t i = fiber->inbox_count++;
  for (; i > fiber->inbox_head && fiber->inbox[i - 1].at > at; i--) fiber->inbox[i] = fiber->inbox[i - 1];
  fiber->inbox[i] = (da_arrival){at, tag};
}

void da_fiber_watch(da_execution *execution, da_child *child, uint32_t tag)
{
  if (child->delivered)
    inbox_add(execution->current, child->delivered_at, tag);
  else
    da_fiber_add_waiter(child, execution->current, 0, tag);
}

bool da_fiber_next(da_execution *execution, uint32_t *tag)
{
  da_fiber *fiber = execution->current;
  if (fiber->inbox_head == fiber->inbox_count) {
    fiber->token = ++execution->next_token;
    fiber->wait_inbox = true;
    return false;
  }
  *tag = fiber->inbox[fiber->inbox_head++].tag;
  if (fiber->inbox_head == fiber->inbox_count) fiber->inbox_head = fiber->inbox_count = 0;
  return true;
}

/* Waits that ended otherwise stay in the list until the child is delivered. */
bool da_fiber_awaited(const da_child *child)
{
  if (child == child->execution->deadline) return true;
  for (size_t i = 0; i < child->waiter_count; i++) {
    const da_waiter_of_child *waiter = &child->waiters[i];
    if (!waiter->fiber->done && (waiter->token == 0 || waiter->token == waiter->fiber->token)) return true;
  }
  return false;
}

/* ---- delivery ------------------------------------------------------------------------------------------ */

void da_fiber_append(da_execution *execution, da_delivery delivery)
{
  if (execution->queue_count == execution->queue_cap) {
    execution->queue_cap = execution->queue_cap != 0 ? execution->queue_cap * 2 : 16;
    execution->queue = da_xrealloc(execution->queue, execution->queue_cap * sizeof *execution->queue);
  }
  execution->queue[execution->queue_count++] = delivery;
}

/* Keeps the queue in order of seq. Almost always an append: commits are told in order. */
void da_fiber_enqueue(da_execution *execution, da_delivery delivery)
{
  da_fiber_append(execution, delivery);
  size_t at = execution->queue_count - 1;
  for (; at > execution->queue_head && execution->queue[at - 1].seq > delivery.seq; at--)
    execution->queue[at] = execution->queue[at - 1];
  execution->queue[at] = delivery;
}

static int by_seq(const void *a, const void *b)
{
  const da_delivery *x = a, *y = b;
  return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void da_fiber_sort(da_execution *execution)
{
  if (execution->queue_count > 1) qsort(execution->queue, execution->queue_count, sizeof *execution->queue, by_seq);
}

static void tell_waiter(const da_child *child, const da_waiter_of_child *waiter)
{
  da_fiber *fiber = waiter->fiber;
  if (fiber->done) return;
  if (waiter->token == 0) {
    inbox_add(fiber, child->delivered_at, waiter->tag);
    if (fiber->wait_inbox) da_fiber_wake(fiber);
    return;
  }
  if (fiber->token != waiter->token) return;
  fiber->wait_left--;
  if (fiber->wait_left == 0 || child->state != DA_RESOLVED) da_fiber_wake(fiber);
}

static void deliver_child(da_execution *execution, da_child *child)
{
  child->delivered = true;
  child->delivered_at = ++execution->delivered_count;
  for (size_t i = 0; i < child->waiter_count; i++) tell_waiter(child, &child->waiters[i]);
  free(child->waiters);
  child->waiters = NULL;
  child->waiter_count = child->waiter_cap = 0;
}

static void deliver_cancel(da_execution *execution, da_slice why)
{
  if (execution->cancel_requested) return;
  execution->cancel_requested = true;
  execution->cancel_why = why;
  da_fiber_wake_all(execution);
}

static void park_unmade(da_execution *execution, const da_promise *promise)
{
  da_execution_park(execution, "nondeterminism",
                    "replay of '%.*s' waits without having made %s '%.*s', recorded as '%.*s' from %.*s:%u",
                    DA_FMT(execution->id), da_call_kind_name(promise->call.kind), DA_FMT(promise->call.func),
                    DA_FMT(promise->id), DA_FMT(promise->call.file), promise->call.line);
}

static void take_out(da_execution *execution, size_t at)
{
  da_delivery *queue = execution->queue;
  for (; at > execution->queue_head; at--) queue[at] = queue[at - 1];
  if (++execution->queue_head == execution->queue_count) execution->queue_head = execution->queue_count = 0;
}

bool da_fiber_deliver_next(da_execution *execution)
{
  if (execution->holds > 0 || execution->queue_head == execution->queue_count) return false;
  size_t at = execution->queue_head;
  if (execution->far != NULL && !da_far_pick(execution, &at)) return false;
  da_delivery delivery = execution->queue[at];
  da_child *child = delivery.child;
  if (delivery.record != NULL) {
    child = delivery.record->child;
    if (child == NULL) {
      park_unmade(execution, delivery.record->promise);
      return false;
    }
    execution->recorded_left--;
  }
  take_out(execution, at);
  /* What the program settled itself before has come, in its own time: the late record of it, which a first run does not
   * wait for, must not move the clock. */
  if (child != NULL && child->delivered) return true;
  if (delivery.seq > execution->ran_to) execution->ran_passed = true;
  if (delivery.seq > execution->position) execution->position = delivery.seq;
  if (delivery.settled_at > execution->clock_ms) execution->clock_ms = delivery.settled_at;
  if (execution->far != NULL) da_far_delivered(execution, child, delivery.seq);
  if (child != NULL) {
    deliver_child(execution, child);
    if (child == execution->deadline) da_deadline_delivered(execution);
  } else {
    DA_ASSERT(delivery.cancels);
    deliver_cancel(execution, delivery.cancel);
  }
  return true;
}

/* ---- fibers without a record --------------------------------------------------------------------------- */

void da_fiber_done(da_execution *execution, da_child *child, da_promise_state state, int results_ref)
{
  DA_ASSERT(!child->delivered);
  child->state = state;
  child->settled = true;
  child->results_ref = results_ref;
  deliver_child(execution, child);
}
