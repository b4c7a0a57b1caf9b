/* deadline.c - a workflow's own deadline: `timedout` is raised in it, so that it can undo what it did.
 *
 * The promise of a workflow called with `timeout` is kept GRACE_MS longer than that, and its tag `dahost:deadline`
 * holds the deadline itself. The execution begins with a timer of that instant, `<id>:~deadline`: a record as any,
 * whose settlement has its place in the order of commits and so is delivered, on a replay as well, between the same two
 * completions. From there on it is as with a request to cancel: each await outside of da.shield raises. What the timer
 * meets is a workflow that awaits; one that does not is cut off with its promise.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "execution.h"

enum { GRACE_MS = 60 * 1000 };

static const char tag[] = "dahost:deadline";

/* ---- of a child ---------------------------------------------------------------------------------------- */

/* The deadline that holds for what the execution starts now. Once it was raised there is only the end of the grace, as
 * there is for what is shielded: an undo call that is under way when the deadline comes has as long as one begun after.
 */
static int64_t present(const da_child *child)
{
  const da_execution *execution = child->execution;
  return child->shelter != DA_UNSHELTERED || execution->deadline_passed ? DA_TIME_MAX : execution->deadline_at;
}

static int64_t least(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

void da_deadline_set(da_child *child, const da_call_spec *spec)
{
  const da_execution *execution = child->execution;
  child->created_at = da_clock_now_ms();
  child->timeout_at = execution->timeout_at;
  child->deadline_at = DA_TIME_MAX;
  int64_t at = spec->timeout_ms < 0 ? DA_TIME_MAX : child->created_at + spec->timeout_ms;
  if (child->kind == DA_CALL_SLEEP && spec->at_ms >= 0) at = spec->at_ms;
  if (child->detached) child->timeout_at = DA_TIME_MAX;
  if (child->kind == DA_CALL_WORKFLOW) {
    child->deadline_at = child->detached ? at : least(at, present(child));
    at = child->deadline_at < DA_TIME_MAX ? child->deadline_at + GRACE_MS : DA_TIME_MAX;
  } else if (child->kind == DA_CALL_STEP && present(child) < DA_TIME_MAX) {
    at = least(at, present(child) + DA_CANCEL_GRACE_MS); /* cancelled at the deadline, it may end by itself */
  } else if (!child->foreign) {
    at = least(at, present(child));
  }
  child->timeout_at = least(at, child->timeout_at);
  if (spec->delay_ms > 0) child->delay_at = least(child->created_at + spec->delay_ms, child->timeout_at - 1);
}

int64_t da_deadline_told(const da_child *child)
{
  return least(child->timeout_at, present(child));
}

static void add_tag(da_op *op, da_request *request, const char *name, int64_t at)
{
  da_slice text = da_arena_printf(&op->arena, "%lld", (long long)at);
  da_call_add_tag(&op->arena, request, da_slice_of(name), text);
}

void da_deadline_delay(da_op *op, da_request *request, int64_t at)
{
  if (at > 0) add_tag(op, request, "resonate:delay", at);
}

void da_deadline_tag(da_op *op, da_request *request, const da_child *child)
{
  if (child->deadline_at < DA_TIME_MAX) add_tag(op, request, tag, child->deadline_at);
  da_deadline_delay(op, request, child->delay_at);
}

/* ---- of the execution ---------------------------------------------------------------------------------- */

int64_t da_deadline_instant(const da_promise *promise, const char *name)
{
  const da_slice *text = da_map_get(promise->tags, da_slice_of(name));
  if (text == NULL) return DA_TIME_MAX;
  int64_t at = 0;
  for (size_t i = 0; i < text->len && i < 16; i++) {
    if (text->ptr[i] < '0' || text->ptr[i] > '9') return DA_TIME_MAX; /* somebody else's */
    at = at * 10 + (text->ptr[i] - '0');
  }
  return at;
}

int64_t da_deadline_of(const da_promise *promise)
{
  int64_t at = da_deadline_instant(promise, tag);
  return at < DA_TIME_MAX ? least(at, promise->timeout_at) : at;
}

/* Its clock begins when it does. */
void da_deadline_take(da_execution *execution, const da_promise *promise)
{
  execution->deadline_at = da_deadline_of(promise);
  int64_t delayed = da_deadline_instant(promise, "resonate:delay");
  if (delayed < DA_TIME_MAX && delayed > execution->clock_ms) execution->clock_ms = delayed;
}

void da_deadline_root(da_op *op, da_request *request, int64_t at)
{
  if (at == 0) return;
  request->timeout_at = at + GRACE_MS;
  add_tag(op, request, tag, at);
}

void da_deadline_begin(da_execution *execution)
{
  if (execution->deadline_at >= DA_TIME_MAX) return;
  char separator = da_id_separator(execution->main.id);
  da_call_spec spec = {.kind = DA_CALL_SLEEP, .func = DA_LIT("~deadline"), .timeout_ms = -1};
  da_slice parts[3] = {execution->main.id, da_slice_make(&separator, 1), spec.func};
  da_slice id = da_arena_join(&execution->arena, parts, 3);
  da_call call = {.kind = spec.kind, .func = spec.func, .ordinal = ++execution->next_ordinal};
  da_record *found;
  if (!da_replay_find(execution, id, &call, &found)) return;
  da_child *child = da_call_new(execution, &execution->main, DA_CALL_SLEEP, id);
  child->call = call;
  child->foreign = true;
  child->observed = true;
  execution->deadline = child;
  if (found != NULL) {
    da_replay_meet(child, found);
    return;
  }
  child->created_at = da_clock_now_ms();
  child->timeout_at = execution->deadline_at;
  if (!da_rehearse_call(child)) da_foreign_start(child, &spec);
}

void da_deadline_delivered(da_execution *execution)
{
  execution->deadline_passed = true;
  da_fiber_wake_all(execution);
}
