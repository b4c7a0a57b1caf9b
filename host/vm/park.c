/* park.c - how an execution stops without having ended: parked until somebody mends the cause, or in retreat before a
 * full disk.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/id.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "far.h"
#include "fault.h"
#include "lib.h"
#include "restore.h"

enum { RETREAT_MS = 1000 };

/* ---- parking ------------------------------------------------------------------------------------------- */

/* What it is pinned to is what parks it: only other code is a mend. */
static bool is_of_code(const char *code)
{
  static const char *const codes[] = {"nondeterminism", "closure", "memory", "stack", "steps", "deadlock", "load"};
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
    if (strcmp(code, codes[i]) == 0) return true;
  return false;
}

void da_execution_park(da_execution *execution, const char *code, const char *format, ...)
{
  if (execution->park_code != NULL) return;
  execution->park_code = code;
  da_buf text = {0};
  va_list args;
  va_start(args, format);
  char words[2048];
  (void)vsnprintf(words, sizeof words, format, args);
  va_end(args);
  if (is_of_code(code))
    da_buf_addf(&text, "%s. Mend the script, then: dahost migrate '%.*s' FILE", words, DA_FMT(execution->id));
  else
    da_buf_addf(&text, "%s. Mend the cause, then: dahost continue '%.*s'", words, DA_FMT(execution->id));
  execution->park_text = da_xstrndup(da_buf_slice(&text));
  da_buf_free(&text);
  if (execution->L != NULL) da_isolate_poison(execution->L, DA_POISON_HOST);
}

void da_execution_park_poisoned(da_execution *execution)
{
  switch (da_isolate_poisoned(execution->L)) {
  case DA_POISON_STACK:
    da_execution_park(execution, "stack", "its calls are nested too deep (a recursion without an end?)");
    break;
  default:
    da_execution_park(execution, "memory", "the execution outgrew its memory quota");
    break;
  }
}

bool da_execution_parking(const da_execution *execution)
{
  return execution->park_code != NULL;
}

static void tell_parked(const da_execution *execution)
{
  const da_worker *worker = execution->worker;
  if (worker->options.event == NULL) return;
  da_event event = {.kind = DA_EVENT_PARKED,
                    .execution = execution->id,
                    .func = execution->func,
                    .text = da_slice_of(execution->park_text)};
  worker->options.event(worker->options.user, &event);
}

static void halted(da_op *op)
{
  da_op_context context;
  if (!da_execution_op_done(op, &context)) return;
  da_execution *execution = context.execution;
  if (op->outcomes[1].reply.status == 200) tell_parked(execution);
  da_op_delete(op);
  da_execution_drop(execution);
  da_execution_unref(execution);
}

/* The task is halted; the mark beside it says why. One per version, since continuing raises it. */
void da_execution_halt(da_execution *execution)
{
  if (execution->restored && strcmp(execution->park_code, "nondeterminism") == 0) {
    da_restore_fall_back(execution, "behind"); /* what lies behind the image does not fit: does all of it? */
    return;
  }
  if (da_far_leaves(execution)) {
    tell_parked(execution);
    da_far_leave(execution);
    return;
  }
  execution->state = DA_EXECUTION_PARKING;
  for (size_t i = 0; i < execution->child_count; i++)
    if (execution->children[i] != NULL) da_step_stop(execution->children[i]);
  da_log(DA_LOG_WARN, "execution.parked", "id=%.*s code=%s text=\"%s\"", DA_FMT(execution->id), execution->park_code,
         execution->park_text);
  da_publish_before(execution);
  da_op *op = da_op_new();
  op->stop_at_refusal = true; /* somebody else's task is not ours to halt */
  da_request *mark = da_op_request(op, DA_REQ_TASK_STEP);
  mark->id = execution->id;
  mark->version = execution->version;
  mark->promise_id = da_id_child(&op->arena, execution->id, DA_LIT("~parked"), (uint64_t)execution->version);
  mark->timeout_at = DA_TIME_MAX;
  mark->created_at = da_clock_now_ms();
  mark->state = DA_RESOLVED;
  mark->call = (da_call){.kind = DA_CALL_MARK};
  da_scope beside = {.id = execution->id}; /* it does not lie below a generation */
  da_call_tags(&op->arena, execution, &beside, mark->promise_id, mark, true);
  da_buf json = {0};
  da_buf_addf(&json, "{\"code\":\"%s\",\"text\":", execution->park_code);
  da_fault_string(&json, da_slice_of(execution->park_text));
  da_buf_addf(&json, "}");
  mark->value = da_call_value(&op->arena, da_buf_slice(&json), DA_NONE);
  da_buf_free(&json);
  da_request *request = da_op_request(op, DA_REQ_TASK_HALT);
  request->id = execution->id;
  da_execution_submit(execution, op, NULL, halted);
}

void da_execution_store_failed(da_execution *execution, const da_op *op)
{
  if (execution->state == DA_EXECUTION_GONE) return;
  if (op->done == halted) { /* not even the halt could be written */
    da_log(DA_LOG_ERROR, "execution.lost", "id=%.*s text=\"%s\"", DA_FMT(execution->id), op->err.text);
    tell_parked(execution);
    da_execution_drop(execution);
  } else if (execution->state != DA_EXECUTION_PARKING) {
    da_worker_unlist(execution->worker, execution);
    da_execution_park(execution, "store", "what was recorded cannot be read: %s", op->err.text);
    da_execution_halt(execution);
  }
}

/* ---- retreating ---------------------------------------------------------------------------------------- */

typedef struct da_retreat {
  da_worker *worker; /* until it is deleted */
  da_timer *timer;
  char *id;
  int64_t version;
  struct da_retreat *next;
} da_retreat;

static void free_retreat(da_retreat *retreat)
{
  free(retreat->id);
  free(retreat);
}

void da_retreat_free_all(da_worker *worker)
{
  while (worker->retreats != NULL) {
    da_retreat *retreat = worker->retreats;
    worker->retreats = retreat->next;
    da_timer_stop(retreat->timer);
    free_retreat(retreat);
  }
}

static void released(da_op *op)
{
  da_retreat *retreat = op->user;
  da_worker *worker = retreat->worker;
  bool open = !worker->closing;
  if (open && op->status == DA_EFULL)
    da_retreat_release(worker, da_slice_of(retreat->id), retreat->version, RETREAT_MS);
  else if (open && op->status == DA_OK && op->outcomes[0].reply.status != 200) /* not ours: its claim had failed */
    da_worker_dispatch(worker, da_slice_of(retreat->id));
  free_retreat(retreat);
  da_op_delete(op);
  worker->giving_back--;
  da_far_drained(worker);
  da_worker_unref(worker);
}

static void release_now(void *arg)
{
  da_retreat *retreat = arg;
  da_worker *worker = retreat->worker;
  da_retreat **at = &worker->retreats;
  while (*at != retreat) at = &(*at)->next;
  *at = retreat->next;
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_TASK_RELEASE);
  request->id = da_slice_of(retreat->id);
  request->version = retreat->version;
  op->done = released;
  op->user = retreat;
  worker->giving_back++;
  da_worker_ref(worker);
  da_sched_submit(worker->sched, op, false);
}

void da_retreat_release(da_worker *worker, da_slice id, int64_t version, int64_t wait_ms)
{
  da_retreat *retreat = da_xcalloc(1, sizeof *retreat);
  *retreat = (da_retreat){.worker = worker, .id = da_xstrndup(id), .version = version, .next = worker->retreats};
  worker->retreats = retreat;
  retreat->timer = da_timer_start(worker->sched, da_clock_now_ms() + wait_ms, release_now, retreat);
}

void da_retreat_hurry(da_worker *worker)
{
  while (worker->retreats != NULL) {
    da_timer_stop(worker->retreats->timer);
    release_now(worker->retreats);
  }
}

void da_execution_retreat(da_execution *execution)
{
  if (execution->state == DA_EXECUTION_GONE) return;
  da_log(DA_LOG_WARN, "execution.retreat", "id=%.*s", DA_FMT(execution->id));
  if (execution->far != NULL) execution->far->kept = true;
  da_retreat_release(execution->worker, execution->id, execution->version, RETREAT_MS);
  da_execution_drop(execution);
}
