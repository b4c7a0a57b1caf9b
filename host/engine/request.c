/* request.c - shape checks: what is wrong with a request whatever the store holds.
 *
 * First the fields and the rules between them, all broken ones told together, joined by "; ". Then, for a promise that
 * is to be made, its lineage and its target, of which the first fault is told. A 400 outranks every other answer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/id.h"
#include "../base/limits.h"
#include "handlers.h"

typedef struct faults {
  const da_engine_env *env;
  const da_request *req;
  da_arena *arena;
  da_slice text;
} faults;

static void fault_if(faults *f, bool broken, const char *message)
{
  if (!broken) return;
  da_slice m = da_slice_of(message);
  da_slice parts[3] = {f->text, DA_LIT("; "), m};
  f->text = f->text.len == 0 ? m : da_arena_join(f->arena, parts, 3);
}

/* ---- fields -------------------------------------------------------------------------------------------- */

/* Why an id that is there cannot be one; NULL for none, and for the empty id, which has its own words. */
static const char *id_limit(da_slice id)
{
  if (id.len == 0) return NULL;
  return da_slice_find(id, '\0') >= 0 ? "Promise ID must not contain null bytes" : da_id_fault(id);
}

static void check_id(faults *f, da_slice id, const char *required)
{
  const char *limit = id_limit(id);
  fault_if(f, id.len == 0, required);
  fault_if(f, limit != NULL, limit);
}

static void check_promise_id(faults *f, da_slice id)
{
  check_id(f, id, "Promise ID is required");
}

static void check_task_id(faults *f)
{
  check_id(f, f->req->id, "Task ID is required");
}

static void check_held_task(faults *f)
{
  check_task_id(f);
  fault_if(f, f->req->version < 0, "Version must be a non-negative integer");
}

static void check_pid(faults *f)
{
  fault_if(f, f->req->pid.len == 0, "Process ID is required");
}

static void check_lease(faults *f)
{
  check_pid(f);
  fault_if(f, f->req->ttl < 1, "TTL must be a positive integer");
}

static void check_birth(faults *f, da_slice id)
{
  check_promise_id(f, id);
  fault_if(f, f->req->timeout_at < 0, "TimeoutAt must be a non-negative integer");
}

/* A promise whose task is acquired the moment it is made. */
static void check_held_birth(faults *f, da_slice id)
{
  check_birth(f, id);
  fault_if(f, da_map_get(f->req->tags, DA_TAG_TARGET) == NULL, "Action must have a resonate:target tag");
  fault_if(f, da_map_get(f->req->tags, DA_TAG_DELAY) != NULL, "Action must not have a resonate:delay tag");
}

static void check_verdict(faults *f)
{
  bool ours = f->req->state == DA_PENDING || f->req->state == DA_TIMEDOUT;
  fault_if(f, ours, "Invalid request: unknown variant, expected one of `resolved`, `rejected`, `rejected_canceled`");
}

static void check_action_id(faults *f)
{
  fault_if(f, da_slice_eq(f->req->promise_id, f->req->id), "Action ID must not equal the task ID");
}

static void check_callback(faults *f)
{
  const da_request *req = f->req;
  check_id(f, req->id, "Awaited promise ID is required");
  check_id(f, req->awaiter, "Awaiter promise ID is required");
  fault_if(f, da_slice_eq(req->id, req->awaiter), "Awaited and awaiter must be different promises");
  fault_if(f,
           f->env->profile->await_cross_origin_reject && !da_rule_same_origin(f->env->profile, req->id, req->awaiter),
           "Awaiter and awaited must belong to the same origin");
}

static void check_listener(faults *f)
{
  check_id(f, f->req->id, "Awaited promise ID is required");
  fault_if(f, f->req->address.len == 0, "Address is required");
}

static int by_awaited(const void *a, const void *b)
{
  return da_slice_cmp(((const da_await *)a)->awaited, ((const da_await *)b)->awaited);
}

static bool has_twins(const da_request *req, da_arena *arena)
{
  if (req->await_count == 0) return false;
  da_await *sorted = da_arena_alloc(arena, req->await_count * sizeof *sorted);
  memcpy(sorted, req->awaits, req->await_count * sizeof *sorted);
  qsort(sorted, req->await_count, sizeof *sorted, by_awaited);
  for (size_t i = 1; i < req->await_count; i++)
    if (da_slice_eq(sorted[i - 1].awaited, sorted[i].awaited)) return true;
  return false;
}

static void check_suspend(faults *f)
{
  const da_request *req = f->req;
  const da_profile *profile = f->env->profile;
  bool nameless = false, anonymous = false, foreign = false, own = false, mixed = false;
  const char *limit = NULL;
  check_held_task(f);
  for (size_t i = 0; i < req->await_count; i++) {
    const da_await *a = &req->awaits[i];
    nameless |= a->awaited.len == 0;
    anonymous |= a->awaiter.len == 0;
    foreign |= !da_slice_eq(a->awaiter, req->id);
    own |= da_slice_eq(a->awaited, req->id);
    mixed |= !da_rule_same_origin(profile, a->awaited, req->id);
    if (limit == NULL) limit = id_limit(a->awaited);
  }
  fault_if(f, req->await_count == 0, "Actions array cannot be empty");
  fault_if(f, nameless, "Awaited promise ID is required");
  fault_if(f, anonymous, "Awaiter promise ID is required");
  fault_if(f, limit != NULL, limit);
  fault_if(f, foreign, "All action awaiter IDs must match the task ID");
  fault_if(f, own, "Action awaited promise must not equal the task ID");
  fault_if(f, profile->suspend_dups_reject && has_twins(req, f->arena), "Awaited promise IDs must be unique");
  fault_if(f, mixed && profile->await_cross_origin_reject,
           "Awaited promise must belong to the same origin as the task");
}

static void check_heartbeat(faults *f)
{
  const da_request *req = f->req;
  const da_profile *profile = f->env->profile;
  bool nameless = false, negative = false, mixed = false;
  const char *limit = NULL;
  check_pid(f);
  for (size_t i = 0; i < req->held_count; i++) {
    const da_held *h = &req->held[i];
    nameless |= h->id.len == 0;
    negative |= h->version < 0;
    mixed |= !da_rule_same_origin(profile, req->held[0].id, h->id);
    if (limit == NULL) limit = id_limit(h->id);
  }
  fault_if(f, req->held_count == 0, "Tasks array must not be empty");
  fault_if(f, nameless, "Task ID is required");
  fault_if(f, limit != NULL, limit);
  fault_if(f, negative, "Version must be a non-negative integer");
  fault_if(f, mixed && profile->heartbeat_mixed_reject, "All tasks must belong to the same origin");
}

static void check_fulfill(faults *f)
{
  const da_request *req = f->req;
  bool named = req->promise_id.ptr != NULL;
  check_held_task(f);
  if (named) check_promise_id(f, req->promise_id);
  fault_if(f, named && !da_slice_eq(req->promise_id, req->id), "Action ID must match the task ID");
  check_verdict(f);
}

static void check_fence(faults *f)
{
  check_held_task(f);
  check_action_id(f);
  if (f->req->fence_settles) {
    check_promise_id(f, f->req->promise_id);
    check_verdict(f);
  } else {
    check_birth(f, f->req->promise_id);
  }
}

static void check_step(faults *f)
{
  const da_request *req = f->req;
  check_held_task(f);
  check_birth(f, req->promise_id);
  check_action_id(f);
  fault_if(f, req->created_at < 0, "CreatedAt must be a non-negative integer");
  fault_if(f, req->state == DA_PENDING, "A step is recorded settled");
  fault_if(f, req->state == DA_TIMEDOUT && f->env->now_ms < req->timeout_at, "The deadline has not passed");
  fault_if(f, da_map_get(req->tags, DA_TAG_TARGET) != NULL, "A step must not have a resonate:target tag");
  fault_if(f, da_map_get(req->tags, DA_TAG_TIMER) != NULL, "A step must not have a resonate:timer tag");
}

static void check_again(faults *f)
{
  const da_request *req = f->req;
  check_step(f);
  fault_if(f, req->state != DA_RESOLVED, "A generation begins resolved");
  fault_if(f, req->timeout_at < DA_TIME_MAX, "A generation has no deadline");
  fault_if(f, req->call.generation < 2, "Generation must be at least 2");
  fault_if(f, !da_id_below(req->promise_id, req->id), "Action ID must lie below the task ID");
}

static void check_schedule(faults *f)
{
  const da_request *req = f->req;
  fault_if(f, req->id.len == 0, "Schedule ID is required");
  fault_if(f, req->cron.len == 0, "Cron expression is required");
  fault_if(f, req->promise_id.len == 0, "Promise ID template is required");
  fault_if(f, req->timeout_at < 0, "Promise timeout must be a non-negative integer");
}

static void check_search(faults *f)
{
  const da_request *req = f->req;
  fault_if(f, req->has_search_limit && req->search_limit < 1, "Limit must be a positive integer");
  fault_if(f, req->has_search_limit && req->search_limit > DA_SEARCH_MAX,
           "Invalid 'limit' \xe2\x80\x94 must be between 1 and 1000");
}

static void check_queue(faults *f)
{
  const da_queue *queue = &f->req->queue;
  fault_if(f, da_id_fault(queue->name) != NULL, "The name of a queue is required, and no longer than an id");
  if (f->req->kind != DA_REQ_QUEUE_WAIT) return;
  bool counted = queue->kind == DA_QUEUE_SEMAPHORE || queue->kind == DA_QUEUE_LIMITER;
  fault_if(f, queue->kind == DA_QUEUE_NONE, "A queue has a kind");
  fault_if(f, counted && (queue->limit < 1 || queue->limit > DA_QUEUE_LIMIT_MAX), "The limit must be at least 1");
  fault_if(f, queue->kind == DA_QUEUE_LIMITER && queue->per_ms < 1, "The window must be at least 1 ms");
}

static void check_wait(faults *f)
{
  check_held_task(f);
  check_birth(f, f->req->promise_id);
  check_action_id(f);
  check_queue(f);
  fault_if(f, da_map_get(f->req->tags, DA_TAG_TARGET) != NULL, "What waits must not have a resonate:target tag");
}

/* Three senders: a workflow (its call is recorded: a version, a promise), a step (an id), somebody outside. */
static void check_put(faults *f)
{
  const da_request *req = f->req;
  check_queue(f);
  fault_if(f, req->value.data.len > DA_MESSAGE_MAX, "A message is too long");
  if (req->promise_id.len == 0) return;
  check_task_id(f);
  check_promise_id(f, req->promise_id);
  check_action_id(f);
}

static void check_fields(faults *f)
{
  const da_request *req = f->req;
  switch (req->kind) {
  case DA_REQ_PROMISE_GET:
    check_promise_id(f, req->id);
    break;
  case DA_REQ_PROMISE_CREATE:
    check_birth(f, req->id);
    break;
  case DA_REQ_PROMISE_SETTLE:
    check_promise_id(f, req->id);
    check_verdict(f);
    break;
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
    check_callback(f);
    break;
  case DA_REQ_PROMISE_REGISTER_LISTENER:
    check_listener(f);
    break;
  case DA_REQ_TASK_GET:
  case DA_REQ_TASK_HALT:
  case DA_REQ_TASK_CONTINUE:
    check_task_id(f);
    break;
  case DA_REQ_TASK_CREATE:
    check_lease(f);
    check_held_birth(f, req->id);
    break;
  case DA_REQ_TASK_ACQUIRE:
    check_held_task(f);
    check_lease(f);
    break;
  case DA_REQ_TASK_RELEASE:
    check_held_task(f);
    break;
  case DA_REQ_TASK_FULFILL:
    check_fulfill(f);
    break;
  case DA_REQ_TASK_SUSPEND:
    check_suspend(f);
    break;
  case DA_REQ_TASK_FENCE:
    check_fence(f);
    break;
  case DA_REQ_TASK_HEARTBEAT:
    check_heartbeat(f);
    break;
  case DA_REQ_SCHEDULE_GET:
  case DA_REQ_SCHEDULE_DELETE:
    fault_if(f, req->id.len == 0, "Schedule ID is required");
    break;
  case DA_REQ_SCHEDULE_CREATE:
  case DA_REQ_SCHEDULE_DECLARE:
    check_schedule(f);
    break;
  case DA_REQ_PROMISE_SEARCH:
  case DA_REQ_TASK_SEARCH:
  case DA_REQ_SCHEDULE_SEARCH:
    check_search(f);
    break;
  case DA_REQ_TASK_STEP:
    check_step(f);
    break;
  case DA_REQ_TASK_AGAIN:
    check_again(f);
    break;
  case DA_REQ_TASK_SPAWN:
    check_held_task(f);
    check_lease(f);
    check_held_birth(f, req->promise_id);
    check_action_id(f);
    break;
  case DA_REQ_QUEUE_WAIT:
    check_wait(f);
    break;
  case DA_REQ_QUEUE_PUT:
    check_put(f);
    break;
  case DA_REQ_QUEUE_BACK:
    check_held_task(f);
    check_promise_id(f, f->req->promise_id);
    break;
  case DA_REQ_RECOVER:
    check_pid(f);
    break;
  case DA_REQ_SWEEP:
  case DA_REQ_CLAIM:
  case DA_REQ_SENT:
    break;
  }
}

/* ---- births -------------------------------------------------------------------------------------------- */

static const char *birth_fault(const da_profile *profile, da_slice id, const da_request *req)
{
  const char *words = da_rule_lineage_fault(profile, id, req->tags, req->timeout_at);
  if (words != NULL) return words;
  const da_slice *target = da_map_get(req->tags, DA_TAG_TARGET);
  if (target == NULL) return NULL;
  if (profile->timer_target_reject && da_rule_tag_is(req->tags, DA_TAG_TIMER, DA_LIT("true")))
    return "A timer promise must not have a resonate:target tag";
  return da_rule_address_ok(*target) ? NULL : "Invalid resonate:target address";
}

static const char *second_fault(const da_profile *profile, const da_request *req, da_arena *arena)
{
  switch (req->kind) {
  case DA_REQ_PROMISE_CREATE:
  case DA_REQ_TASK_CREATE:
    return birth_fault(profile, req->id, req);
  case DA_REQ_TASK_STEP:
  case DA_REQ_TASK_SPAWN:
  case DA_REQ_TASK_AGAIN:
  case DA_REQ_QUEUE_WAIT:
    return birth_fault(profile, req->promise_id, req);
  case DA_REQ_TASK_FENCE:
    return req->fence_settles ? NULL : birth_fault(profile, req->promise_id, req);
  case DA_REQ_QUEUE_PUT:
    return req->promise_id.len != 0 && req->version >= 0 ? birth_fault(profile, req->promise_id, req) : NULL;
  case DA_REQ_PROMISE_REGISTER_LISTENER:
    return da_rule_address_ok(req->address) ? NULL : "Invalid listener address";
  case DA_REQ_SCHEDULE_CREATE:
  case DA_REQ_SCHEDULE_DECLARE:
    return da_schedule_fault(profile, req, arena);
  case DA_REQ_PROMISE_GET:
  case DA_REQ_PROMISE_SETTLE:
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
  case DA_REQ_SCHEDULE_GET:
  case DA_REQ_SCHEDULE_DELETE:
  case DA_REQ_PROMISE_SEARCH:
  case DA_REQ_TASK_SEARCH:
  case DA_REQ_SCHEDULE_SEARCH:
  case DA_REQ_TASK_GET:
  case DA_REQ_TASK_ACQUIRE:
  case DA_REQ_TASK_RELEASE:
  case DA_REQ_TASK_FULFILL:
  case DA_REQ_TASK_SUSPEND:
  case DA_REQ_TASK_HEARTBEAT:
  case DA_REQ_TASK_HALT:
  case DA_REQ_TASK_CONTINUE:
  case DA_REQ_QUEUE_BACK:
  case DA_REQ_SWEEP:
  case DA_REQ_RECOVER:
  case DA_REQ_CLAIM:
  case DA_REQ_SENT:
    break;
  }
  return NULL;
}

static bool is_search(da_req_kind kind)
{
  return kind == DA_REQ_PROMISE_SEARCH || kind == DA_REQ_TASK_SEARCH || kind == DA_REQ_SCHEDULE_SEARCH;
}

bool da_request_check(const da_engine_env *env, const da_request *req, da_arena *arena, da_reply *reply)
{
  faults f = {.env = env, .req = req, .arena = arena};
  if (env->profile->search_reject && is_search(req->kind)) {
    da_refuse(reply, 501, "Search is not implemented");
    return false;
  }
  check_fields(&f);
  if (f.text.len == 0) {
    const char *words = second_fault(env->profile, req, arena);
    fault_if(&f, words != NULL, words);
  }
  if (f.text.len == 0) return true;
  reply->status = 400;
  reply->message = f.text;
  return false;
}
