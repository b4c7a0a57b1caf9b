/* check.c - what must hold, one named predicate per property.
 *
 * A predicate sees gathered facts and reads nothing itself; the lists below are all there is to extend. Sources: the
 * seven task invariants and the property catalogue (well-formedness, cross-object, immutability, fencing, edges, birth,
 * dispatch) of the Resonate protocol's formal specification. What holds only under a profile switch asks the switch.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdlib.h>

#include "../base/limits.h"
#include "rule.h"

typedef struct judge {
  da_check_fn *report;
  void *user;
  da_slice id;
  int broken;
} judge;

static void judge_tell(judge *j, const char *name, const char *words)
{
  j->report(j->user, name, j->id, words);
  j->broken++;
}

/* ---- one state ----------------------------------------------------------------------------------------- */

typedef struct facts {
  const da_profile *profile;
  int64_t now;
  bool has_promise;
  bool has_task;
  da_promise p;
  da_task t;
  bool deadline_row; /* each of the three: at the instant the record names */
  bool retry_row;
  bool lease_row;
  size_t callbacks;
  size_t listeners;
  size_t awaits;
  size_t resumes;
  bool callback_self;
  bool callback_without_awaiter; /* or with one that has no target */
  bool callback_one_sided;
  bool listener_invalid;
  bool await_of_settled; /* or of none */
  bool await_one_sided;
  bool resume_of_pending; /* or of none */
} facts;

static bool is_empty(const da_value *value)
{
  return !value->has_data && !value->has_headers;
}

static bool has_target(const facts *f)
{
  return f->has_promise && da_map_get(f->p.tags, DA_TAG_TARGET) != NULL;
}

static bool is_pending(const facts *f)
{
  return f->p.state == DA_PENDING;
}

static bool at_deadline(const facts *f)
{
  return !is_pending(f) && f->p.settled_at == f->p.timeout_at;
}

static bool is_waited(const facts *f)
{
  return f->callbacks + f->listeners != 0;
}

static bool only_external_listened(const facts *f)
{
  const da_profile *p = f->profile;
  if (p->listener_external_only == DA_LISTENER_FOLLOWS) return p->await_internal_reject;
  return p->listener_external_only == DA_LISTENER_EXTERNAL;
}

static bool must_be_armed(const facts *f)
{
  return f->profile->arm == DA_ARM_EXTERNAL && is_pending(f) && f->p.timeout_at < DA_TIME_MAX &&
         (da_rule_is_external(&f->p) || is_waited(f));
}

static bool task_is(const facts *f, da_task_state state)
{
  return f->t.state == state;
}

static bool task_rests(const facts *f)
{
  return f->t.state != DA_TASK_PENDING && f->t.state != DA_TASK_ACQUIRED;
}

/* clang-format off */
#define PROMISE_PROPERTIES(X)                                                                                    \
  X(created_by_deadline, "createdAt <= timeoutAt, and < while pending",                                          \
    is_pending(f) ? f->p.created_at < f->p.timeout_at : f->p.created_at <= f->p.timeout_at)                      \
  X(pending_is_unsettled, "no settledAt while pending", !is_pending(f) || f->p.settled_at == 0)                  \
  X(settled_between, "createdAt <= settledAt <= timeoutAt",                                                      \
    is_pending(f) || (f->p.created_at <= f->p.settled_at && f->p.settled_at <= f->p.timeout_at))                 \
  X(settled_has_seq, "settle_seq exactly when settled", is_pending(f) == (f->p.settle_seq == 0))                 \
  X(pending_has_no_value, "no value while pending", !is_pending(f) || is_empty(&f->p.value))                     \
  X(deadline_gives_verdict, "settled at the deadline: resolved if a timer, else timed out",                      \
    !at_deadline(f) || f->p.state == da_rule_verdict(&f->p))                                                     \
  X(deadline_gives_no_value, "settled at the deadline: no value", !at_deadline(f) || is_empty(&f->p.value))      \
  X(timedout_at_deadline, "timed out only at the deadline", f->p.state != DA_TIMEDOUT || at_deadline(f))         \
  X(stamps_not_ahead, "createdAt, settledAt <= now", f->p.created_at <= f->now && f->p.settled_at <= f->now)     \
  X(armed_is_pending, "armed only while pending and with a deadline",                                            \
    !f->p.armed || (is_pending(f) && f->p.timeout_at < DA_TIME_MAX))                                             \
  X(armed_has_row, "armed exactly when a deadline row is there", f->p.armed == f->deadline_row)                  \
  X(waiters_have_deadline, "external or waited for: armed", !must_be_armed(f) || f->p.armed)                     \
  X(waited_is_external, "only external promises are waited for (await_internal=reject)",                         \
    !f->profile->await_internal_reject || f->callbacks == 0 || da_rule_is_external(&f->p))                           \
  X(listened_is_external, "only external promises have listeners (listener_external_only)",                      \
    !only_external_listened(f) || f->listeners == 0 || da_rule_is_external(&f->p))                               \
  X(timer_without_target, "no timer has a target (timer_target=reject)",                                         \
    !f->profile->timer_target_reject || !da_rule_is_timer(&f->p) || !has_target(f))                              \
  X(settled_has_no_waiters, "no callbacks, no listeners once settled", is_pending(f) || !is_waited(f))           \
  X(no_self_callback, "nobody waits for itself", !f->callback_self)                                              \
  X(awaiters_have_tasks, "awaiters exist and have a target", !f->callback_without_awaiter)                       \
  X(callbacks_mirrored, "each callback is seen from its awaiter too", !f->callback_one_sided)                    \
  X(listeners_valid, "listener addresses are valid", !f->listener_invalid)                                       \
  X(target_has_task, "a task exactly when there is a target", f->has_task == has_target(f))

#define TASK_PROPERTIES(X)                                                                                       \
  X(has_promise, "a task has a promise with a target", has_target(f))                                            \
  X(acquired_has_pid, "a pid exactly while acquired", task_is(f, DA_TASK_ACQUIRED) == (f->t.pid.len != 0))       \
  X(acquired_has_ttl, "a ttl exactly while acquired", task_is(f, DA_TASK_ACQUIRED) == (f->t.ttl > 0))            \
  X(acquired_has_lease, "a lease exactly while acquired", task_is(f, DA_TASK_ACQUIRED) == f->lease_row)          \
  X(pending_has_retry, "a retry timer exactly while pending", task_is(f, DA_TASK_PENDING) == f->retry_row)       \
  X(rests_without_timer, "suspended, halted, fulfilled: no timer", !task_rests(f) || f->t.timer_at == 0)         \
  X(version_issued, "version >= 0; >= 1 if it ever was acquired",                                                \
    f->t.version >= (task_is(f, DA_TASK_ACQUIRED) || task_is(f, DA_TASK_SUSPENDED) ? 1 : 0))                     \
  X(resumes_counted, "resumes counts its rows", f->t.resumes >= 0 && (size_t)f->t.resumes == f->resumes)         \
  X(resumes_settled, "what resumes it has settled", !f->resume_of_pending)                                       \
  X(suspended_unresumed, "suspended: nothing has resumed it",                                                    \
    !task_is(f, DA_TASK_SUSPENDED) || f->resumes == 0)                                                           \
  X(suspended_waits, "suspended and alive: it waits for something",                                              \
    !task_is(f, DA_TASK_SUSPENDED) || !da_rule_is_live(&f->p, f->now) || f->awaits != 0)                         \
  X(waits_for_pending, "what it waits for is pending", !f->await_of_settled)                                     \
  X(waits_mirrored, "each wait is seen from the awaited promise too", !f->await_one_sided)                       \
  X(fulfilled_with_promise, "fulfilled exactly when its promise is settled",                                     \
    task_is(f, DA_TASK_FULFILLED) != is_pending(f))                                                              \
  X(fulfilled_is_over, "fulfilled: no resumes, no waits",                                                        \
    !task_is(f, DA_TASK_FULFILLED) || (f->resumes == 0 && f->awaits == 0))
/* clang-format on */

typedef struct property {
  const char *name;
  const char *words;
  bool (*holds)(const facts *f);
} property;

#define X(name, words, expression)           \
  static bool promise_##name(const facts *f) \
  {                                          \
    return (expression);                     \
  }
PROMISE_PROPERTIES(X)
#undef X
#define X(name, words, expression)        \
  static bool task_##name(const facts *f) \
  {                                       \
    return (expression);                  \
  }
TASK_PROPERTIES(X)
#undef X

static const property promise_properties[] = {
#define X(name, words, expression) {"promise." #name, words, promise_##name},
    PROMISE_PROPERTIES(X)
#undef X
};
static const property task_properties[] = {
#define X(name, words, expression) {"task." #name, words, task_##name},
    TASK_PROPERTIES(X)
#undef X
};

static void judge_all(judge *j, const facts *f, const property *list, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (!list[i].holds(f)) judge_tell(j, list[i].name, list[i].words);
}

/* ---- gathering ----------------------------------------------------------------------------------------- */

typedef struct reader {
  da_view *view;
  da_arena *arena;
  int status;
} reader;

static bool found(reader *r, int rc)
{
  if (rc < 0 && r->status == 0) r->status = rc;
  return rc > 0;
}

static bool read_promise(reader *r, da_slice id, da_promise *out)
{
  return r->status == 0 && found(r, r->view->ops->promise(r->view, id, r->arena, out));
}

static bool read_task(reader *r, da_slice id, da_task *out)
{
  return r->status == 0 && found(r, r->view->ops->task(r->view, id, r->arena, out));
}

static bool has_wait(reader *r, da_wait_kind kind, da_slice first, da_slice second)
{
  da_wait wait = {kind, first, second};
  return r->status == 0 && found(r, r->view->ops->wait_has(r->view, &wait));
}

static bool next_wait(reader *r, da_wait *at)
{
  da_wait next;
  if (r->status != 0 || !found(r, r->view->ops->wait_next(r->view, at, r->arena, &next))) return false;
  at->second = next.second;
  return true;
}

static bool has_due(reader *r, da_due_class class_, int64_t at, da_slice id)
{
  da_due due = {class_, at, id};
  return r->status == 0 && found(r, r->view->ops->due_has(r->view, &due));
}

static void gather_waiters(reader *r, facts *f, da_slice id)
{
  da_wait row = {DA_WAIT_CALLBACK, id, DA_NONE};
  while (next_wait(r, &row)) {
    da_promise awaiter;
    f->callbacks++;
    if (da_slice_eq(row.second, id)) f->callback_self = true;
    if (!read_promise(r, row.second, &awaiter) || da_map_get(awaiter.tags, DA_TAG_TARGET) == NULL)
      f->callback_without_awaiter = true;
    if (!has_wait(r, DA_WAIT_AWAITED, row.second, id)) f->callback_one_sided = true;
  }
  row = (da_wait){DA_WAIT_LISTENER, id, DA_NONE};
  while (next_wait(r, &row)) {
    f->listeners++;
    if (!da_rule_address_ok(row.second)) f->listener_invalid = true;
  }
}

static void gather_waits(reader *r, facts *f, da_slice id)
{
  da_promise other;
  da_wait row = {DA_WAIT_AWAITED, id, DA_NONE};
  while (next_wait(r, &row)) {
    f->awaits++;
    if (!read_promise(r, row.second, &other) || other.state != DA_PENDING) f->await_of_settled = true;
    if (!has_wait(r, DA_WAIT_CALLBACK, row.second, id)) f->await_one_sided = true;
  }
  row = (da_wait){DA_WAIT_RESUME, id, DA_NONE};
  while (next_wait(r, &row)) {
    f->resumes++;
    if (!read_promise(r, row.second, &other) || other.state == DA_PENDING) f->resume_of_pending = true;
  }
}

int da_check_promise(da_view *view, const da_profile *profile, da_slice id, int64_t now_ms, da_arena *arena,
                     da_check_fn *report, void *user)
{
  reader r = {view, arena, 0};
  judge j = {report, user, id, 0};
  facts f = {.profile = profile, .now = now_ms};
  f.has_promise = read_promise(&r, id, &f.p);
  f.has_task = read_task(&r, id, &f.t);
  gather_waiters(&r, &f, id);
  gather_waits(&r, &f, id);
  if (f.has_promise) f.deadline_row = has_due(&r, DA_DUE_DEADLINE, f.p.timeout_at, id);
  if (f.has_task) f.retry_row = has_due(&r, DA_DUE_RETRY, f.t.timer_at, id);
  if (f.has_task) f.lease_row = has_due(&r, DA_DUE_LEASE, f.t.timer_at, id);
  if (r.status < 0) return r.status;
  if (f.has_promise) judge_all(&j, &f, promise_properties, sizeof promise_properties / sizeof promise_properties[0]);
  if (f.has_task) judge_all(&j, &f, task_properties, sizeof task_properties / sizeof task_properties[0]);
  return j.broken;
}

/* ---- one queue ----------------------------------------------------------------------------------------- */

enum { QUEUE_COUNTED_MAX = 256 }; /* rows; of a longer queue they are not counted after every request */

typedef struct queue_facts {
  da_queue q;
  uint64_t tokens, places;
  bool due_row;
  bool first_can_wait; /* the first place is that of somebody alive */
  bool place_without_hold;
  bool unordered; /* grants */
} queue_facts;

static bool queue_has_token(const queue_facts *f)
{
  if (f->q.kind == DA_QUEUE_CHANNEL) return f->q.tokens > 0;
  return f->q.kind == DA_QUEUE_SEMAPHORE && f->q.held < (uint64_t)f->q.limit;
}

/* clang-format off */
#define QUEUE_PROPERTIES(X)                                                                                      \
  X(tokens_counted, "tokens counts its rows", f->q.tokens > QUEUE_COUNTED_MAX || f->tokens == f->q.tokens)       \
  X(places_counted, "places counts its rows", f->q.places > QUEUE_COUNTED_MAX || f->places == f->q.places)       \
  X(places_held, "who has a place holds it", !f->place_without_hold)                                             \
  X(nobody_waits_beside_a_token, "nobody alive waits while a token is there, unless the queue falls due",        \
    !f->first_can_wait || !queue_has_token(f) || f->q.due_at != 0)                                               \
  X(window_bounded, "a limiter keeps the grants of one window", f->q.kind != DA_QUEUE_LIMITER ||                 \
    f->q.tokens <= (uint64_t)f->q.limit)                                                                         \
  X(grants_ordered, "grants are kept in the order of their instants", !f->unordered)                             \
  X(limiter_falls_due, "a limiter for which somebody waits falls due",                                           \
    f->q.kind != DA_QUEUE_LIMITER || (f->q.places != 0) == (f->q.due_at != 0))                                   \
  X(due_has_row, "falls due exactly when a row says so", (f->q.due_at != 0) == f->due_row)
/* clang-format on */

#define X(name, words, expression)               \
  static bool queue_##name(const queue_facts *f) \
  {                                              \
    return (expression);                         \
  }
QUEUE_PROPERTIES(X)
#undef X

static const struct {
  const char *name;
  const char *words;
  bool (*holds)(const queue_facts *f);
} queue_properties[] = {
#define X(name, words, expression) {"queue." #name, words, queue_##name},
    QUEUE_PROPERTIES(X)
#undef X
};

static bool next_queue_row(reader *r, da_queue_row *at)
{
  return r->status == 0 && found(r, r->view->ops->queue_next(r->view, at, r->arena, at));
}

static bool can_wait(reader *r, const da_queue_row *place, int64_t now)
{
  da_promise p, owner;
  return read_promise(r, place->id, &p) && read_promise(r, place->owner, &owner) && da_rule_is_live(&p, now) &&
         da_rule_is_live(&owner, now);
}

static void gather_queue(reader *r, queue_facts *f, int64_t now)
{
  int64_t last = 0;
  da_queue_row hold;
  da_queue_row at = {.kind = DA_QUEUE_TOKEN, .name = f->q.name};
  while (f->tokens <= QUEUE_COUNTED_MAX && next_queue_row(r, &at)) {
    f->tokens++;
    if (at.at < last) f->unordered = true;
    last = at.at;
  }
  at = (da_queue_row){.kind = DA_QUEUE_PLACE, .name = f->q.name};
  while (f->places <= QUEUE_COUNTED_MAX && next_queue_row(r, &at)) {
    bool held = r->status == 0 && found(r, r->view->ops->queue_hold(r->view, at.owner, at.id, r->arena, &hold));
    if (!held || hold.state != DA_HOLD_WAITING || hold.seq != at.seq) f->place_without_hold = true;
    if (f->places++ == 0) f->first_can_wait = can_wait(r, &at, now);
  }
}

int da_check_queue(da_view *view, da_slice name, int64_t now_ms, da_arena *arena, da_check_fn *report, void *user)
{
  reader r = {view, arena, 0};
  judge j = {report, user, name, 0};
  queue_facts f = {0};
  if (!found(&r, view->ops->queue(view, name, arena, &f.q))) return r.status;
  gather_queue(&r, &f, now_ms);
  f.due_row = f.q.due_at != 0 && has_due(&r, DA_DUE_QUEUE, f.q.due_at, name);
  if (r.status < 0) return r.status;
  for (size_t i = 0; i < sizeof queue_properties / sizeof queue_properties[0]; i++)
    if (!queue_properties[i].holds(&f)) judge_tell(&j, queue_properties[i].name, queue_properties[i].words);
  return j.broken;
}

/* ---- one step ------------------------------------------------------------------------------------------ */

static bool same_map(da_map a, da_map b)
{
  if (a.count != b.count) return false;
  for (size_t i = 0; i < a.count; i++)
    if (!da_slice_eq(a.items[i].key, b.items[i].key) || !da_slice_eq(a.items[i].value, b.items[i].value)) return false;
  return true;
}

static bool same_value(const da_value *a, const da_value *b)
{
  return a->has_data == b->has_data && a->has_headers == b->has_headers && a->encoding == b->encoding &&
         da_slice_eq(a->data, b->data) && same_map(a->headers, b->headers);
}

static void judge_promise_step(judge *j, const da_promise *was, const da_promise *is)
{
  if (!da_slice_eq(was->id, is->id) || !same_value(&was->param, &is->param) || !same_map(was->tags, is->tags) ||
      was->timeout_at != is->timeout_at || was->created_at != is->created_at)
    judge_tell(j, "promise.birth_is_kept", "id, param, tags, timeoutAt, createdAt never change");
  if (was->state == DA_PENDING) return;
  if (was->state != is->state || !same_value(&was->value, &is->value) || was->settled_at != is->settled_at ||
      was->settle_seq != is->settle_seq || was->armed != is->armed)
    judge_tell(j, "promise.settled_is_kept", "a settled record never changes");
}

static void judge_promise_birth(judge *j, const da_promise *is)
{
  if (is->state == DA_PENDING && !is_empty(&is->value))
    judge_tell(j, "promise.born_without_value", "a promise is born without a value");
}

/* The edges of the task machine, self edges left out. Born: from none. */
static bool edge_ok(da_task_state from, da_task_state to)
{
  switch (to) {
  case DA_TASK_PENDING:
    return from != DA_TASK_FULFILLED;
  case DA_TASK_ACQUIRED:
    return from == DA_TASK_PENDING;
  case DA_TASK_SUSPENDED:
    return from == DA_TASK_ACQUIRED;
  case DA_TASK_HALTED:
    return from != DA_TASK_FULFILLED;
  case DA_TASK_FULFILLED:
    break;
  }
  return true;
}

static void judge_task_step(judge *j, const da_task *was, const da_task *is)
{
  bool acquired = was->state == DA_TASK_PENDING && is->state == DA_TASK_ACQUIRED;
  if (was->state != is->state && !edge_ok(was->state, is->state))
    judge_tell(j, "task.edge", "not an edge of the task machine");
  if (is->version != was->version + (acquired ? 1 : 0))
    judge_tell(j, "task.version_on_acquire", "the version moves by one, and only on acquire");
  if (acquired && is->resumes != 0) judge_tell(j, "task.acquire_clears_resumes", "an acquired task starts unresumed");
  if (was->state == DA_TASK_ACQUIRED && is->state == DA_TASK_ACQUIRED &&
      (!da_slice_eq(was->pid, is->pid) || was->ttl != is->ttl))
    judge_tell(j, "task.holder_is_kept", "pid and ttl stay while it is held");
  if (was->state == DA_TASK_FULFILLED && (is->state != DA_TASK_FULFILLED || is->timer_at != 0))
    judge_tell(j, "task.fulfilled_is_kept", "a fulfilled task never changes");
  if (was->resumes > is->resumes && is->resumes != 0)
    judge_tell(j, "task.resumes_grow", "resumes grow until they are cleared");
}

static void judge_task_birth(judge *j, const da_task *is)
{
  bool ok = (is->state == DA_TASK_PENDING && is->version == 0) || (is->state == DA_TASK_ACQUIRED && is->version == 1) ||
            (is->state == DA_TASK_FULFILLED && is->version == 0);
  if (!ok || is->resumes != 0) judge_tell(j, "task.birth", "born pending 0, acquired 1 or fulfilled 0");
}

int da_check_step(const da_promise *promise_before, const da_promise *promise_after, const da_task *task_before,
                  const da_task *task_after, da_check_fn *report, void *user)
{
  judge j = {report, user, DA_NONE, 0};
  if (promise_after != NULL) j.id = promise_after->id;
  if (promise_before != NULL && promise_after == NULL) {
    j.id = promise_before->id;
    judge_tell(&j, "promise.is_kept", "promises never disappear");
  }
  if (promise_before != NULL && promise_after != NULL) judge_promise_step(&j, promise_before, promise_after);
  if (promise_before == NULL && promise_after != NULL) judge_promise_birth(&j, promise_after);
  if (task_before != NULL && task_after == NULL) judge_tell(&j, "task.is_kept", "tasks never disappear");
  if (task_before == NULL && task_after != NULL) {
    judge_task_birth(&j, task_after);
    if (promise_before != NULL) judge_tell(&j, "task.born_with_promise", "a task is born with its promise");
  }
  if (task_before == NULL || task_after == NULL) return j.broken;
  judge_task_step(&j, task_before, task_after);
  if (promise_before != NULL && promise_after != NULL &&
      (promise_before->state != promise_after->state) !=
          (task_before->state != DA_TASK_FULFILLED && task_after->state == DA_TASK_FULFILLED))
    judge_tell(&j, "task.fulfilled_at_settlement", "fulfilled in the step that settles its promise, and only then");
  return j.broken;
}

/* ---- one apply ----------------------------------------------------------------------------------------- */

/* What an apply writes, to be found by id. */
typedef struct written {
  const da_promise **promises;
  const da_task **tasks;
  size_t promise_count;
  size_t task_count;
} written;

static int promise_order(const void *a, const void *b)
{
  return da_slice_cmp((*(const da_promise *const *)a)->id, (*(const da_promise *const *)b)->id);
}

static int task_order(const void *a, const void *b)
{
  return da_slice_cmp((*(const da_task *const *)a)->id, (*(const da_task *const *)b)->id);
}

static written sort_writes(const da_outcome *out, da_arena *arena)
{
  written w = {.promises = da_arena_alloc(arena, out->write_count * sizeof(const da_promise *)),
               .tasks = da_arena_alloc(arena, out->write_count * sizeof(const da_task *))};
  for (size_t i = 0; i < out->write_count; i++) {
    const da_write *write = &out->writes[i];
    if (write->table == DA_TABLE_PROMISE) w.promises[w.promise_count++] = write->row.promise;
    if (write->table == DA_TABLE_TASK) w.tasks[w.task_count++] = write->row.task;
  }
  qsort(w.promises, w.promise_count, sizeof(const da_promise *), promise_order);
  qsort(w.tasks, w.task_count, sizeof(const da_task *), task_order);
  return w;
}

static const da_promise *written_promise(const written *w, da_slice id)
{
  da_promise wanted = {.id = id};
  const da_promise *key = &wanted;
  const da_promise **found_at = bsearch(&key, w->promises, w->promise_count, sizeof(const da_promise *), promise_order);
  return found_at != NULL ? *found_at : NULL;
}

static const da_task *written_task(const written *w, da_slice id)
{
  da_task wanted = {.id = id};
  const da_task *key = &wanted;
  const da_task **found_at = bsearch(&key, w->tasks, w->task_count, sizeof(const da_task *), task_order);
  return found_at != NULL ? *found_at : NULL;
}

static void judge_step_of(judge *j, reader *r, const written *w, da_slice id)
{
  da_promise promise;
  da_task task;
  const da_promise *promise_before = read_promise(r, id, &promise) ? &promise : NULL;
  const da_task *task_before = read_task(r, id, &task) ? &task : NULL;
  const da_promise *promise_after = written_promise(w, id);
  const da_task *task_after = written_task(w, id);
  if (r->status != 0) return;
  if (promise_after == NULL) promise_after = promise_before;
  if (task_after == NULL) task_after = task_before;
  j->broken += da_check_step(promise_before, promise_after, task_before, task_after, j->report, j->user);
}

static void judge_message(judge *j, const written *w, const da_message *message)
{
  if (message->address.len == 0) judge_tell(j, "dispatch.has_address", "a message names where to");
  if (message->kind == DA_EXECUTE) {
    const da_task *task = written_task(w, message->id);
    if (task == NULL || task->state != DA_TASK_PENDING || task->version != message->version)
      judge_tell(j, "dispatch.execute_is_current", "an execute goes out with a task made pending, in its version");
  } else {
    const da_promise *promise = written_promise(w, message->id);
    if (promise == NULL || promise->state == DA_PENDING)
      judge_tell(j, "dispatch.unblock_is_settled", "an unblock goes out with the settlement it tells of");
  }
}

static void judge_messages(judge *j, const written *w, const da_outcome *out)
{
  for (size_t i = 0; i < out->message_count; i++) {
    const da_message *message = &out->messages[i];
    j->id = message->id;
    if (i > 0 && out->messages[i - 1].kind > message->kind)
      judge_tell(j, "dispatch.executes_first", "executes before unblocks");
    judge_message(j, w, message);
  }
}

int da_check_apply(da_view *view, const da_request *request, const da_outcome *out, da_arena *arena,
                   da_check_fn *report, void *user)
{
  judge j = {report, user, DA_NONE, 0};
  reader r = {view, arena, 0};
  written w = sort_writes(out, arena);
  for (size_t i = 0; i < w.promise_count; i++) judge_step_of(&j, &r, &w, w.promises[i]->id);
  for (size_t i = 0; i < w.task_count; i++)
    if (written_promise(&w, w.tasks[i]->id) == NULL) judge_step_of(&j, &r, &w, w.tasks[i]->id);
  if (request->kind != DA_REQ_CLAIM) judge_messages(&j, &w, out); /* what is claimed was sent before */
  int schedules = da_check_schedules_apply(view, request, out, arena, report, user);
  if (schedules < 0) return schedules;
  return r.status < 0 ? r.status : j.broken + schedules;
}
