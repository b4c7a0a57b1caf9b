/* due.c - work nobody asked for: what falls due, what a dead process left behind, what waits in the outbox.
 *
 * Each request does a bounded piece and says whether there is more. Deadlines come first, so that no task is
 * dispatched whose promise is over; retries and leases leave such tasks to them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "handlers.h"

#include "../base/limits.h"

static size_t limit_of(const da_request *req)
{
  return req->limit != 0 ? req->limit : DA_SWEEP_MAX;
}

static bool due_next(da_change *c, const da_due *after, da_due *out)
{
  if (c->status != DA_OK) return false;
  int rc = c->view->ops->due_next(c->view, after, c->arena, out);
  if (rc < 0) c->status = (da_status)rc;
  return rc > 0;
}

/* A row no record asks for would fall due for ever. */
void da_due_drop_stray(da_change *c, const da_due *row)
{
  da_write write = {.table = DA_TABLE_DUE, .del = true, .row.due = *row};
  da_change_write(c, &write);
}

static bool is_timer_of(const da_entity *e, const da_due *row)
{
  return e != NULL && e->stored_timer.id.len != 0 && e->stored_timer.class_ == row->class_ &&
         e->stored_timer.at == row->at;
}

/* Is the row one of those to be left alone? If not, it is what is being dealt with. */
static bool left_alone(da_change *c, const da_request *req, const da_due *row)
{
  for (size_t i = 0; i < req->held_count; i++)
    if (da_slice_eq(req->held[i].id, row->id)) return true;
  c->env->at = row->id;
  return false;
}

/* ---- sweep --------------------------------------------------------------------------------------------- */

static void sweep_deadline(da_change *c, const da_due *row, da_entity **expired, size_t *count)
{
  da_entity *e = da_change_load(c, row->id);
  if (c->status != DA_OK) return;
  if (e == NULL || !e->stored_armed || e->promise.timeout_at != row->at)
    da_due_drop_stray(c, row);
  else
    expired[(*count)++] = e;
}

void da_due_settle_before(da_change *c, int64_t at)
{
  da_entity **expired = da_arena_alloc(c->arena, DA_SWEEP_MAX * sizeof(da_entity *));
  size_t count = 0;
  da_due from = {.class_ = DA_DUE_DEADLINE}, row;
  for (; count < DA_SWEEP_MAX && due_next(c, &from, &row) && row.at <= at; from = row) {
    da_entity *e = da_change_load(c, row.id);
    if (e != NULL && e->stored_armed) expired[count++] = e; /* a stray row is left to the sweep */
  }
  da_settle_expired(c, expired, count);
}

/* A pending task is sent again; an acquired one is taken from its holder, who stays fenced off by state and, once
 * somebody else acquires it, by version. */
static void sweep_timer(da_change *c, const da_due *row)
{
  da_entity *e = da_change_load(c, row->id);
  if (!is_timer_of(e, row)) {
    da_due_drop_stray(c, row);
    return;
  }
  da_settle_expired(c, &e, 1);
  switch (e->task.state) {
  case DA_TASK_PENDING:
  case DA_TASK_ACQUIRED:
    if (e->task.timer_at == row->at) da_turn_dispatch(c, e);
    break;
  case DA_TASK_SUSPENDED:
  case DA_TASK_HALTED:
  case DA_TASK_FULFILLED:
    break; /* changed by this very sweep */
  }
}

/* One that has more to catch up keeps a row in the past, for the next sweep. */
static void sweep_schedule(da_change *c, const da_due *row)
{
  if (!da_schedule_fire(c, row)) da_due_drop_stray(c, row);
}

/* Schedules of the last minute come before those that have longer to catch up, however many these are and however often
 * they fire: else what is due now would wait for all of that. */
void da_due_sweep(da_change *c, const da_request *req)
{
  const int64_t now = c->env->now_ms, recent = now > DA_SCHEDULE_LATE_MS ? now - DA_SCHEDULE_LATE_MS : 0;
  const struct {
    da_due_class class_;
    int64_t from;
    int64_t until;
  } parts[] = {{DA_DUE_DEADLINE, 0, now}, {DA_DUE_QUEUE, 0, now},         {DA_DUE_RETRY, 0, now},
               {DA_DUE_LEASE, 0, now},    {DA_DUE_SCHEDULE, recent, now}, {DA_DUE_SCHEDULE, 0, recent - 1}};
  da_reply *reply = &c->out->reply;
  size_t limit = limit_of(req), expired_count = 0;
  da_entity **expired = da_arena_alloc(c->arena, limit * sizeof(da_entity *));
  size_t part_count = sizeof parts / sizeof parts[0] - (req->fires ? 0 : 2);
  bool full = false;
  for (size_t i = 0; i < part_count && !full; i++) {
    da_due at = {.class_ = parts[i].class_, .at = parts[i].from}, row;
    while (due_next(c, &at, &row) && row.at <= parts[i].until) {
      if (reply->count >= limit) {
        reply->more = full = true;
        break;
      }
      at = row;
      if (left_alone(c, req, &row)) continue;
      reply->count++;
      if (row.class_ == DA_DUE_DEADLINE)
        sweep_deadline(c, &row, expired, &expired_count);
      else if (row.class_ == DA_DUE_SCHEDULE)
        sweep_schedule(c, &row);
      else if (row.class_ == DA_DUE_QUEUE)
        da_queue_due(c, &row);
      else
        sweep_timer(c, &row);
      if (c->status != DA_OK) return;
    }
    if (parts[i].class_ != DA_DUE_DEADLINE) continue;
    c->env->at = expired_count == 1 ? expired[0]->promise.id : DA_NONE;
    da_settle_expired(c, expired, expired_count);
    if (c->status != DA_OK) return;
  }
}

/* ---- recover ------------------------------------------------------------------------------------------- */

/* The walk moves rows to a later instant, where it would meet them again and move them again. So it ends before the
 * first instant it moves a row to: now + retry of its first page. What was sent in the very millisecond of the recovery
 * (the clock was set back, or stands still) lies there as well, so the walk begins there, before it has moved any. The
 * cursor carries the bound in front of the id. */
typedef struct walk {
  da_due at;
  int64_t last; /* of retry rows those of this instant come first; those behind it are left alone */
} walk;

enum { BOUND_LEN = 16 }; /* hex digits */

static da_slice cursor_id(da_arena *arena, const walk *w)
{
  char text[BOUND_LEN];
  for (int i = 0; i < BOUND_LEN; i++) text[i] = "0123456789abcdef"[((uint64_t)w->last >> (60 - 4 * i)) & 15];
  da_slice parts[2] = {da_slice_make(text, sizeof text), w->at.id};
  return da_arena_join(arena, parts, 2);
}

static walk walk_begin(const da_change *c, const da_request *req)
{
  int64_t last = da_rule_later(c->env->now_ms, c->env->profile->retry_timeout_ms);
  walk w = {.at = {.class_ = DA_DUE_RETRY, .at = last}, .last = last};
  if (req->after.id.len < BOUND_LEN) return w;
  w.last = 0;
  for (size_t i = 0; i < BOUND_LEN; i++) {
    char digit = req->after.id.ptr[i];
    w.last = w.last * 16 + (digit <= '9' ? digit - '0' : digit - 'a' + 10);
  }
  w.at = req->after;
  w.at.id = da_slice_make(req->after.id.ptr + BOUND_LEN, req->after.id.len - BOUND_LEN);
  if (w.at.id.len == 0) w.at.id = DA_NONE;
  return w;
}

/* The next row of the walk: retries at `last`, retries before it, then leases. */
static bool walk_next(da_change *c, walk *w, da_due *row)
{
  if (w->at.class_ == DA_DUE_RETRY && w->at.at == w->last) {
    if (due_next(c, &w->at, row) && row->at == w->last) return true;
    w->at = (da_due){.class_ = DA_DUE_RETRY};
  }
  if (w->at.class_ == DA_DUE_RETRY) {
    if (due_next(c, &w->at, row) && row->at < w->last) return true;
    w->at = (da_due){.class_ = DA_DUE_LEASE};
  }
  return due_next(c, &w->at, row);
}

/* The messages of a worker inside the process are not in the outbox: they died with it. */
static void recover_retry(da_change *c, da_entity *e)
{
  const da_slice *target = da_map_get(e->promise.tags, DA_TAG_TARGET);
  const da_slice *delay = da_map_get(e->promise.tags, DA_TAG_DELAY);
  bool delayed = delay != NULL && da_rule_delay(*delay) > c->env->now_ms;
  if (da_change_is_local(c, *target, e->promise.call.has_bundle) && !delayed) da_turn_dispatch(c, e);
}

static void recover_lease(da_change *c, da_entity *e, da_slice pid)
{
  if (da_slice_starts(e->task.pid, DA_PID_LOCAL) && !da_slice_eq(e->task.pid, pid)) da_turn_dispatch(c, e);
}

static void recover_row(da_change *c, const da_due *row, da_slice pid)
{
  da_entity *e = da_change_load(c, row->id);
  if (!is_timer_of(e, row)) {
    da_due_drop_stray(c, row);
  } else if (da_rule_is_live(&e->promise, c->env->now_ms)) {
    if (row->class_ == DA_DUE_RETRY)
      recover_retry(c, e);
    else
      recover_lease(c, e, pid);
  }
}

void da_due_recover(da_change *c, const da_request *req)
{
  da_reply *reply = &c->out->reply;
  walk w = walk_begin(c, req);
  da_due row;
  while (walk_next(c, &w, &row)) {
    if (reply->count == limit_of(req)) {
      reply->more = true;
      break;
    }
    reply->count++;
    w.at = row;
    if (left_alone(c, req, &row)) continue;
    recover_row(c, &row, req->pid);
    if (c->status != DA_OK) return;
  }
  if (!reply->more) return;
  reply->cursor = (da_due){w.at.class_, w.at.at, cursor_id(c->arena, &w)};
}

/* ---- the outbox ---------------------------------------------------------------------------------------- */

static bool passed_over(da_change *c, int rc)
{
  if (rc < 0 && rc != DA_ECORRUPT && rc != DA_EVERSION) c->status = (da_status)rc;
  return rc < 0;
}

static void drop_message(da_change *c, const da_message *message)
{
  da_write write = {.table = DA_TABLE_OUT, .del = true, .row.out = *message};
  da_change_write(c, &write);
}

static void keep_message(da_change *c, const da_message *message, da_promise *records, const da_promise *record)
{
  da_outcome *out = c->out;
  if (record != NULL) records[out->message_count] = *record;
  out->messages[out->message_count++] = *message;
  out->reply.promise_count = out->message_count;
}

/* One that a process wrote which served other groups. */
static void take_home(da_change *c, da_message *message)
{
  da_promise promise;
  const da_view_ops *ops = c->view->ops;
  if (!da_change_is_local(c, message->address, true)) return;
  int rc = (ops->promise_head != NULL ? ops->promise_head : ops->promise)(c->view, message->id, c->arena, &promise);
  if (passed_over(c, rc)) return;
  message->pinned = rc > 0 && promise.call.has_bundle;
  message->local = da_change_is_local(c, message->address, message->pinned);
}

/* Who has its task already, or will never have it, needs no message. */
static void claim_execute(da_change *c, da_message *message, da_promise *records)
{
  da_task task;
  int rc = c->view->ops->task(c->view, message->id, c->arena, &task);
  if (passed_over(c, rc)) return;
  if (rc <= 0 || task.state != DA_TASK_PENDING || task.version != message->version) {
    drop_message(c, message);
    return;
  }
  take_home(c, message);
  keep_message(c, message, records, NULL);
}

/* Gives the size of what was read. */
static size_t claim_unblock(da_change *c, const da_message *message, da_promise *records, bool keeps_all)
{
  da_promise promise;
  int rc = c->view->ops->promise(c->view, message->id, c->arena, &promise);
  if (passed_over(c, rc)) return 0;
  int64_t at = message->at_ms != 0 ? message->at_ms : promise.settled_at;
  bool old = rc > 0 && !keeps_all && c->env->now_ms - at > DA_UNBLOCK_KEEP_MS;
  if (rc > 0 && !old) {
    keep_message(c, message, records, &promise);
    return promise.param.data.len + promise.value.data.len;
  }
  drop_message(c, message);
  if (old) c->out->reply.count++;
  return 0;
}

/* What is told stays in the outbox until it was sent. */
void da_due_claim(da_change *c, const da_request *req)
{
  da_outcome *out = c->out;
  size_t limit = req->limit != 0 ? req->limit : DA_CLAIM_MAX, looked = 0, bytes = 0;
  da_promise *records = da_arena_zalloc(c->arena, limit * sizeof *records);
  da_message at = req->after_message, next;
  if (at.id.ptr == NULL) at = (da_message){.kind = DA_EXECUTE};
  out->messages = da_arena_alloc(c->arena, limit * sizeof *out->messages);
  out->message_cap = limit;
  out->reply.promises = records;
  int rc = 0;
  while (c->status == DA_OK && (rc = c->view->ops->out_next(c->view, &at, c->arena, &next)) > 0) {
    if (out->message_count == limit || looked == DA_SWEEP_MAX || bytes >= DA_SEARCH_BYTES_MAX) {
      out->reply.more = true;
      break;
    }
    looked++;
    at = next;
    if (!da_slice_starts(next.address, req->address)) continue;
    if (next.kind == DA_EXECUTE)
      claim_execute(c, &next, records);
    else
      bytes += claim_unblock(c, &next, records, req->keeps_all);
  }
  if (rc < 0) c->status = (da_status)rc;
  out->reply.last_message = at;
}

/* An execute that was sent anew meanwhile, with another version, stays. */
void da_due_sent(da_change *c, const da_request *req)
{
  for (size_t i = 0; i < req->message_count && c->status == DA_OK; i++) {
    const da_message *sent = &req->messages[i];
    da_message kept;
    int rc = c->view->ops->out(c->view, sent, c->arena, &kept);
    if (rc < 0) c->status = (da_status)rc;
    if (rc <= 0 || kept.version != sent->version) continue;
    drop_message(c, &kept);
    c->out->reply.count++;
  }
}
