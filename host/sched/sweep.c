/* sweep.c - what falls due: one timer armed to the earliest instant, a sweep when it has come; the recovery at open.
 *
 * The store thread says with a batch what falls due first whenever that may have changed. A promise due at t is settled
 * by the first batch whose clock shows t or later. Sweeps are background ops, one at a time, at once again while there
 * is more; a sweep that a full store refused is tried again after DA_BACKOFF_MS.
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

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
  if (sweep->timer != NULL && sweep->armed_at == at_ms && !atomic_load(&s->paused)) return;
  da_timer_stop(sweep->timer);
  sweep->timer = NULL;
  if (at_ms >= DA_TIME_MAX || atomic_load(&s->paused)) return;
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

/* ---- damaged records ----------------------------------------------------------------------------------- */

static bool is_damage(const da_op *op)
{
  return op->status == DA_ECORRUPT || op->status == DA_EVERSION;
}

/* From now on its row is left alone; told by its name. False: it is not known whose it is, or there are too many. */
static bool leave_alone(da_sched *s, const da_op *op)
{
  da_sweep *sweep = &s->sweep;
  if (op->damaged.len == 0 || sweep->damaged_count == DA_DAMAGED_MAX) return false;
  da_log(DA_LOG_ERROR, "store.damaged", "id=%.*s text=\"%s\"", DA_FMT(op->damaged), op->err.text);
  sweep->damaged[sweep->damaged_count++].id = da_slice_make(da_xstrndup(op->damaged), op->damaged.len);
  return true;
}

static void add_damaged(da_sched *s, da_op *op, da_request *request)
{
  size_t count = s->sweep.damaged_count;
  da_held *copy = da_arena_alloc(&op->arena, (count + 1) * sizeof *copy);
  for (size_t i = 0; i < count; i++) copy[i] = s->sweep.damaged[i];
  request->held = copy;
  request->held_count = count;
}

/* ---- sweep --------------------------------------------------------------------------------------------- */

static void swept_badly(da_sched *s, const da_op *op)
{
  da_sweep *sweep = &s->sweep;
  bool known = is_damage(op) && leave_alone(s, op);
  if (known || (is_damage(op) && !sweep->careful)) {
    sweep->careful = true;
    submit_sweep(s);
    return;
  }
  if (is_damage(op)) da_log(DA_LOG_ERROR, "sweep.damaged", "text=\"%s\"", op->err.text);
  arm_at(s, later());
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
  if (op->status == DA_OK) sweep->fired += op->outcomes[0].reply.fired;
  bool idle = op->status == DA_OK && op->outcomes[0].reply.count == 0 && sweep->due_at <= s->told_now_ms;
  if (op->status != DA_OK) {
    swept_badly(s, op);
  } else if (op->outcomes[0].reply.more && !atomic_load(&s->paused)) {
    submit_sweep(s);
  } else if (idle) {
    /* A row that a sweep does not take would have this loop spin. */
    if (sweep->damaged_count == 0)
      da_log(DA_LOG_ERROR, "sweep.stuck", "due_at=%lld now=%lld", (long long)sweep->due_at, (long long)s->told_now_ms);
    arm_at(s, later());
  } else {
    sweep->careful = false;
    arm_at(s, sweep->due_at);
  }
  da_op_delete(op);
}

static void submit_sweep(da_sched *s)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_SWEEP);
  request->fires = s->fires;
  add_damaged(s, op, request);
  if (s->sweep.careful) request->limit = 1;
  op->background = true;
  op->user = s;
  op->done = on_swept;
  s->sweep.running = true;
  da_sched_submit(s, op, false);
}

/* The first batch of a process tells what falls due; an op that asks for nothing makes sure that there is one. */
void da_sweep_start(da_sched *s)
{
  if (s->store == NULL) return; /* it falls due elsewhere */
  da_sched_submit(s, da_op_new(), false);
}

void da_sweep_pause(da_sched *s)
{
  if (!s->sweep.running) arm_at(s, s->sweep.due_at);
}

/* ---- one sweep at an instant --------------------------------------------------------------------------- */

typedef struct tick {
  da_sched *sched;
  int64_t at_ms;
  void (*done)(void *user, da_status status, const da_err *err);
  void *user;
} tick;

static void submit_tick(const tick *t);

static void on_ticked(da_op *op)
{
  const tick *t = op->user;
  if (op->status == DA_OK) t->sched->sweep.fired += op->outcomes[0].reply.fired;
  bool damaged = is_damage(op) && !t->sched->closing && leave_alone(t->sched, op);
  if (damaged || (op->status == DA_OK && op->outcomes[0].reply.more))
    submit_tick(t);
  else
    t->done(t->user, op->status, op->status != DA_OK ? &op->err : NULL);
  da_op_delete(op);
}

static void submit_tick(const tick *t)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_SWEEP);
  tick *copy = da_arena_alloc(&op->arena, sizeof *copy);
  *copy = *t;
  request->fires = true;
  add_damaged(t->sched, op, request);
  if (t->sched->sweep.damaged_count > 0) request->limit = 1; /* which one is damaged is known of one row alone */
  op->has_now = true;
  op->now_ms = t->at_ms;
  op->user = copy;
  op->done = on_ticked;
  da_sched_submit(t->sched, op, false);
}

void da_sched_tick(da_sched *s, int64_t at_ms, void (*done)(void *user, da_status status, const da_err *err),
                   void *user)
{
  submit_tick(&(tick){s, at_ms, done, user});
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
  if (is_damage(op) && leave_alone(s, op)) { /* the same page again */
    da_due after = op->requests[0].after;
    recover_page(s, &after);
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
  add_damaged(s, op, request);
  op->background = true;
  op->user = s;
  op->done = on_recovered;
  da_sched_submit(s, op, false);
}

void da_sched_recover(da_sched *s, void (*done)(void *user), void *user)
{
  s->sweep.recovered = done;
  s->sweep.recovered_user = user;
  if (s->store == NULL) {
    da_sched_post(s, done, user); /* who holds what is the server's to know */
    return;
  }
  recover_page(s, &(da_due){.class_ = DA_DUE_DEADLINE});
}

/* No more timers of our own; an op that waits for one is dropped. */
void da_sweep_close(da_sched *s)
{
  da_timer_stop(s->sweep.timer);
  s->sweep.timer = NULL;
  da_op_delete(s->sweep.recovery);
  s->sweep.recovery = NULL;
  for (size_t i = 0; i < s->sweep.damaged_count; i++) free((void *)(uintptr_t)s->sweep.damaged[i].id.ptr);
  s->sweep.damaged_count = 0;
}
