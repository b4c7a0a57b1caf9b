/* sweep.c - what falls due: one timer armed to the earliest instant, a sweep when it has come; the recovery at open.
 *
 * The store thread says with a batch what falls due first whenever that may have changed. A promise due at t is settled
 * by the first batch whose clock shows t or later. Sweeps are background ops, one at a time, at once again while there
 * is more; a sweep that a full store refused is tried again after DA_BACKOFF_MS.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/clock.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "pump.h"

static void submit_sweep(da_sched *s);

static void on_due(void *arg)
{
  da_sched *s = arg;
  s->sweep.timer = NULL;
  submit_sweep(s);
}

static void arm_at(da_sched *s, int64_t at_ms)
{
  da_sweep *sweep = &s->sweep;
  if (sweep->timer != NULL && sweep->armed_at == at_ms) return;
  da_timer_stop(sweep->timer);
  sweep->timer = NULL;
  if (at_ms >= DA_TIME_MAX) return;
  sweep->armed_at = at_ms;
  sweep->timer = da_timer_start(s, at_ms, on_due, s);
}

void da_sweep_heard(da_sched *s, int64_t due_at)
{
  s->sweep.due_at = due_at;
  if (!s->sweep.running && !s->closing) arm_at(s, due_at);
}

static int64_t later(void)
{
  return da_clock_now_ms() + DA_BACKOFF_MS;
}

static void on_swept(da_op *op)
{
  da_sched *s = op->user;
  da_sweep *sweep = &s->sweep;
  sweep->running = false;
  if (s->closing) {
    da_op_delete(op);
    return;
  }
  if (op->status != DA_OK) {
    arm_at(s, later());
  } else if (op->outcomes[0].reply.more) {
    submit_sweep(s);
  } else if (op->outcomes[0].reply.count == 0 && sweep->due_at <= s->told_now_ms) {
    /* A row that a sweep does not take would have this loop spin. */
    da_log(DA_LOG_ERROR, "sweep.stuck", "due_at=%lld now=%lld", (long long)sweep->due_at, (long long)s->told_now_ms);
    arm_at(s, later());
  } else {
    arm_at(s, sweep->due_at);
  }
  da_op_delete(op);
}

static void submit_sweep(da_sched *s)
{
  da_op *op = da_op_new();
  da_op_request(op, DA_REQ_SWEEP)->fires = s->fires;
  op->background = true;
  op->user = s;
  op->done = on_swept;
  s->sweep.running = true;
  da_sched_submit(s, op, false);
}

/* The first batch of a process tells what falls due; an op that asks for nothing makes sure that there is one. */
void da_sweep_start(da_sched *s)
{
  da_sched_submit(s, da_op_new(), false);
}

/* ---- recovery ------------------------------------------------------------------------------------------ */

static void recover_page(da_sched *s, const da_due *after);

static void on_recover_again(void *arg)
{
  da_sched *s = arg;
  da_op *op = s->sweep.recovery;
  s->sweep.recovery = NULL;
  da_sched_submit(s, op, false);
}

static void tell_recovered(const da_sched *s, const da_outcome *outcome)
{
  if (s->events.recovered == NULL) return;
  for (size_t i = 0; i < outcome->write_count; i++) {
    const da_write *write = &outcome->writes[i];
    if (write->table == DA_TABLE_TASK && !write->del) s->events.recovered(s->events.user, write->row.task->id);
  }
}

static void on_recovered(da_op *op)
{
  da_sched *s = op->user;
  if (s->closing) {
    da_op_delete(op);
    return;
  }
  if (op->status != DA_OK) {
    da_log(DA_LOG_WARN, "recover.refused", "status=%s again_ms=%d", da_status_name(op->status), DA_BACKOFF_MS);
    s->sweep.recovery = op;
    (void)da_timer_start(s, later(), on_recover_again, s);
    return;
  }
  const da_reply *reply = &op->outcomes[0].reply;
  DA_ASSERT_OP(reply->status, ==, 200);
  tell_recovered(s, &op->outcomes[0]);
  if (reply->more)
    recover_page(s, &reply->cursor);
  else if (s->sweep.recovered != NULL)
    s->sweep.recovered(s->sweep.recovered_user);
  da_op_delete(op);
}

static void recover_page(da_sched *s, const da_due *after)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_RECOVER);
  request->pid = da_slice_of(s->pid);
  request->after = *after;
  request->after.id = da_arena_dup(&op->arena, after->id);
  op->background = true;
  op->user = s;
  op->done = on_recovered;
  da_sched_submit(s, op, false);
}

void da_sched_recover(da_sched *s, void (*done)(void *user), void *user)
{
  s->sweep.recovered = done;
  s->sweep.recovered_user = user;
  recover_page(s, &(da_due){.class_ = DA_DUE_DEADLINE});
}

/* No more timers of our own; an op that waits for one is dropped. */
void da_sweep_close(da_sched *s)
{
  da_timer_stop(s->sweep.timer);
  s->sweep.timer = NULL;
  da_op_delete(s->sweep.recovery);
  s->sweep.recovery = NULL;
}
