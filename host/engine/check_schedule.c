/* check_schedule.c - what must hold of a schedule, and of each step it takes.
 *
 * S1, S2 and I7 of the property catalogue of the Resonate protocol's formal specification, and the due row.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "../base/limits.h"

typedef struct judge {
  da_check_fn *report;
  void *user;
  da_slice id;
  int broken;
} judge;

static void judge_if(judge *j, bool broken, const char *name, const char *words)
{
  if (!broken) return;
  j->report(j->user, name, j->id, words);
  j->broken++;
}

static void judge_instants(judge *j, const da_schedule *s, int64_t now_ms)
{
  judge_if(j, s->created_at > now_ms, "schedule.stamps_not_ahead", "createdAt <= now");
  judge_if(j, s->created_at > s->next_run_at, "schedule.created_before_next", "createdAt <= nextRunAt");
  if (s->last_run_at == 0) return;
  judge_if(j, s->last_run_at >= s->next_run_at, "schedule.last_before_next", "lastRunAt < nextRunAt");
  judge_if(j, s->created_at > s->last_run_at, "schedule.created_before_last", "createdAt <= lastRunAt");
  judge_if(j, s->last_run_at > now_ms, "schedule.stamps_not_ahead", "lastRunAt <= now");
}

int da_check_schedule(da_view *view, da_slice id, int64_t now_ms, da_arena *arena, da_check_fn *report, void *user)
{
  da_schedule s;
  judge j = {report, user, id, 0};
  int there = view->ops->schedule(view, id, arena, &s);
  if (there <= 0) return there;
  judge_instants(&j, &s, now_ms);
  if (s.next_run_at == DA_TIME_MAX) return j.broken;
  da_due due = {DA_DUE_SCHEDULE, s.next_run_at, id};
  there = view->ops->due_has(view, &due);
  if (there < 0) return there;
  judge_if(&j, there == 0, "schedule.has_row", "a due row at nextRunAt");
  return j.broken;
}

/* What is made stays as it was made; only a declaration may put another in its place. */
static void judge_step(judge *j, const da_schedule *was, const da_schedule *is)
{
  judge_if(j,
           !da_slice_eq(was->cron, is->cron) || !da_slice_eq(was->promise_id, is->promise_id) ||
               was->promise_timeout != is->promise_timeout || was->created_at != is->created_at ||
               !da_slice_eq(was->promise_param.data, is->promise_param.data) ||
               was->promise_tags.count != is->promise_tags.count,
           "schedule.birth_is_kept", "cron, promiseId, promiseTimeout, param, tags, createdAt never change");
  judge_if(j, is->next_run_at <= was->next_run_at, "schedule.runs_forward", "nextRunAt moves forward");
  judge_if(j, is->last_run_at < was->last_run_at, "schedule.runs_forward", "lastRunAt moves forward");
}

int da_check_schedules_apply(da_view *view, const da_request *request, const da_outcome *out, da_arena *arena,
                             da_check_fn *report, void *user)
{
  judge j = {report, user, DA_NONE, 0};
  for (size_t i = 0; i < out->write_count; i++) {
    const da_write *write = &out->writes[i];
    if (write->table != DA_TABLE_SCHEDULE || request->kind == DA_REQ_SCHEDULE_DECLARE) continue;
    da_schedule was;
    j.id = write->row.schedule->id;
    int there = view->ops->schedule(view, j.id, arena, &was);
    if (there < 0) return there;
    judge_if(&j, write->del != (request->kind == DA_REQ_SCHEDULE_DELETE), "schedule.is_kept",
             "a schedule goes when it is deleted, and only then");
    if (there > 0 && !write->del) judge_step(&j, &was, write->row.schedule);
  }
  return j.broken;
}
