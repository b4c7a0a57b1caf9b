/* request.c - shape checks: what is wrong with a request whatever the store holds.
 *
 * Order of the protocol: the fields, all their messages joined by "; "; then the rules between fields, of which the
 * first broken one is told; the lineage of an id, the address of a target. A 400 outranks every other answer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../base/id.h"
#include "handlers.h"

typedef struct faults {
  da_arena *arena;
  da_slice text;
} faults;

static void fault(faults *f, const char *message)
{
  if (message == NULL) return;
  da_slice m = da_slice_of(message);
  da_slice parts[3] = {f->text, DA_LIT("; "), m};
  f->text = f->text.len == 0 ? m : da_arena_join(f->arena, parts, 3);
}

/* ---- fields -------------------------------------------------------------------------------------------- */

static void check_id(faults *f, da_slice id, const char *required)
{
  if (id.len == 0)
    fault(f, required);
  else if (da_slice_find(id, '\0') >= 0)
    fault(f, "Promise ID must not contain null bytes");
  else
    fault(f, da_id_fault(id));
}

static void check_promise_id(faults *f, da_slice id)
{
  check_id(f, id, "Promise ID is required");
}

static void check_create(faults *f, da_slice id, const da_request *req)
{
  check_promise_id(f, id);
  if (req->timeout_at < 0) fault(f, "TimeoutAt must be a non-negative integer");
}

static void check_settle_state(faults *f, const da_request *req)
{
  switch (req->state) {
  case DA_RESOLVED:
  case DA_REJECTED:
  case DA_CANCELED:
    return;
  case DA_PENDING:
  case DA_TIMEDOUT:
    break;
  }
  fault(f, "Invalid request: unknown variant, expected one of `resolved`, `rejected`, `rejected_canceled`");
}

static void check_task(faults *f, const da_request *req)
{
  check_id(f, req->id, "Task ID is required");
}

static void check_claim(faults *f, const da_request *req)
{
  check_task(f, req);
  if (req->version < 0) fault(f, "Version must be a non-negative integer");
}

static void check_pid(faults *f, const da_request *req)
{
  if (req->pid.len == 0) fault(f, "Process ID is required");
}

static void check_lease(faults *f, const da_request *req)
{
  check_pid(f, req);
  if (req->ttl < 1) fault(f, "TTL must be a positive integer");
}

static void check_step(faults *f, const da_engine_env *env, const da_request *req)
{
  check_claim(f, req);
  check_create(f, req->promise_id, req);
  if (req->created_at < 0) fault(f, "CreatedAt must be a non-negative integer");
  if (req->state == DA_PENDING) fault(f, "A step is recorded settled");
  if (req->state == DA_TIMEDOUT && env->now_ms < req->timeout_at) fault(f, "The deadline has not passed");
}

static void check_await(faults *f, da_slice awaited, da_slice awaiter)
{
  check_id(f, awaited, "Awaited promise ID is required");
  check_id(f, awaiter, "Awaiter promise ID is required");
}

static void check_awaits(faults *f, const da_request *req)
{
  if (req->await_count == 0) fault(f, "Actions array cannot be empty");
  for (size_t i = 0; i < req->await_count && f->text.len == 0; i++)
    check_await(f, req->awaits[i].awaited, req->awaits[i].awaiter);
}

static void check_held(faults *f, const da_request *req)
{
  if (req->held_count == 0) fault(f, "Tasks array must not be empty");
  for (size_t i = 0; i < req->held_count && f->text.len == 0; i++) {
    check_id(f, req->held[i].id, "Task ID is required");
    if (req->held[i].version < 0) fault(f, "Version must be a non-negative integer");
  }
}

static void check_fields(faults *f, const da_engine_env *env, const da_request *req)
{
  switch (req->kind) {
  case DA_REQ_PROMISE_GET:
    check_promise_id(f, req->id);
    break;
  case DA_REQ_PROMISE_CREATE:
    check_create(f, req->id, req);
    break;
  case DA_REQ_PROMISE_SETTLE:
    check_promise_id(f, req->id);
    check_settle_state(f, req);
    break;
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
    check_await(f, req->id, req->awaiter);
    break;
  case DA_REQ_PROMISE_REGISTER_LISTENER:
    check_id(f, req->id, "Awaited promise ID is required");
    if (req->address.len == 0) fault(f, "Address is required");
    break;
  case DA_REQ_TASK_GET:
  case DA_REQ_TASK_HALT:
  case DA_REQ_TASK_CONTINUE:
    check_task(f, req);
    break;
  case DA_REQ_TASK_CREATE:
    check_lease(f, req);
    check_create(f, req->id, req);
    break;
  case DA_REQ_TASK_ACQUIRE:
    check_claim(f, req);
    check_lease(f, req);
    break;
  case DA_REQ_TASK_RELEASE:
    check_claim(f, req);
    break;
  case DA_REQ_TASK_FULFILL:
    check_claim(f, req);
    if (req->promise_id.ptr != NULL) check_promise_id(f, req->promise_id);
    check_settle_state(f, req);
    break;
  case DA_REQ_TASK_SUSPEND:
    check_claim(f, req);
    check_awaits(f, req);
    break;
  case DA_REQ_TASK_FENCE:
    check_claim(f, req);
    check_promise_id(f, req->promise_id);
    if (req->fence_settles)
      check_settle_state(f, req);
    else if (req->timeout_at < 0)
      fault(f, "TimeoutAt must be a non-negative integer");
    break;
  case DA_REQ_TASK_HEARTBEAT:
    check_pid(f, req);
    check_held(f, req);
    break;
  case DA_REQ_TASK_STEP:
    check_step(f, env, req);
    break;
  case DA_REQ_TASK_SPAWN:
    check_claim(f, req);
    check_lease(f, req);
    check_create(f, req->promise_id, req);
    break;
  case DA_REQ_RECOVER:
    check_pid(f, req);
    break;
  case DA_REQ_SWEEP:
  case DA_REQ_CLAIM:
    break;
  }
}

/* ---- rules between fields ------------------------------------------------------------------------------ */

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

/* A promise that is acquired the moment it is made. */
static const char *held_birth_fault(const da_profile *profile, da_slice id, const da_request *req)
{
  if (da_map_get(req->tags, DA_TAG_TARGET) == NULL) return "Action must have a resonate:target tag";
  if (da_map_get(req->tags, DA_TAG_DELAY) != NULL) return "Action must not have a resonate:delay tag";
  return birth_fault(profile, id, req);
}

static const char *step_fault(const da_profile *profile, const da_request *req)
{
  if (da_map_get(req->tags, DA_TAG_TARGET) != NULL) return "A step must not have a resonate:target tag";
  if (da_map_get(req->tags, DA_TAG_TIMER) != NULL) return "A step must not have a resonate:timer tag";
  return birth_fault(profile, req->promise_id, req);
}

static const char *callback_fault(const da_profile *profile, const da_request *req)
{
  if (da_slice_eq(req->id, req->awaiter)) return "Awaited and awaiter must be different promises";
  if (profile->await_cross_origin_reject && !da_rule_same_origin(profile, req->id, req->awaiter))
    return "Awaiter and awaited must belong to the same origin";
  return NULL;
}

static int by_awaited(const void *a, const void *b)
{
  return da_slice_cmp(((const da_await *)a)->awaited, ((const da_await *)b)->awaited);
}

static bool has_twins(const da_request *req, da_arena *arena)
{
  da_await *sorted = da_arena_alloc(arena, req->await_count * sizeof *sorted);
  memcpy(sorted, req->awaits, req->await_count * sizeof *sorted);
  qsort(sorted, req->await_count, sizeof *sorted, by_awaited);
  for (size_t i = 1; i < req->await_count; i++)
    if (da_slice_eq(sorted[i - 1].awaited, sorted[i].awaited)) return true;
  return false;
}

static const char *suspend_fault(const da_profile *profile, const da_request *req, da_arena *arena)
{
  for (size_t i = 0; i < req->await_count; i++)
    if (!da_slice_eq(req->awaits[i].awaiter, req->id)) return "All action awaiter IDs must match the task ID";
  for (size_t i = 0; i < req->await_count; i++)
    if (da_slice_eq(req->awaits[i].awaited, req->id)) return "Action awaited promise must not equal the task ID";
  for (size_t i = 0; i < req->await_count && profile->await_cross_origin_reject; i++)
    if (!da_rule_same_origin(profile, req->awaits[i].awaited, req->id))
      return "Awaited promise must belong to the same origin as the task";
  if (profile->suspend_dups_reject && has_twins(req, arena)) return "Awaited promise IDs must be unique";
  return NULL;
}

static const char *heartbeat_fault(const da_profile *profile, const da_request *req)
{
  for (size_t i = 1; i < req->held_count && profile->heartbeat_mixed_reject; i++)
    if (!da_rule_same_origin(profile, req->held[0].id, req->held[i].id))
      return "All tasks must belong to the same origin";
  return NULL;
}

static const char *action_fault(const da_request *req)
{
  return da_slice_eq(req->promise_id, req->id) ? "Action ID must not equal the task ID" : NULL;
}

static const char *rule_fault(const da_profile *profile, const da_request *req, da_arena *arena)
{
  const char *words = NULL;
  switch (req->kind) {
  case DA_REQ_PROMISE_CREATE:
    return birth_fault(profile, req->id, req);
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
    return callback_fault(profile, req);
  case DA_REQ_PROMISE_REGISTER_LISTENER:
    return da_rule_address_ok(req->address) ? NULL : "Invalid listener address";
  case DA_REQ_TASK_CREATE:
    return held_birth_fault(profile, req->id, req);
  case DA_REQ_TASK_FULFILL:
    if (req->promise_id.ptr == NULL || da_slice_eq(req->promise_id, req->id)) return NULL;
    return "Action ID must match the task ID";
  case DA_REQ_TASK_SUSPEND:
    return suspend_fault(profile, req, arena);
  case DA_REQ_TASK_HEARTBEAT:
    return heartbeat_fault(profile, req);
  case DA_REQ_TASK_FENCE:
    words = action_fault(req);
    return words != NULL || req->fence_settles ? words : birth_fault(profile, req->promise_id, req);
  case DA_REQ_TASK_STEP:
    words = action_fault(req);
    return words != NULL ? words : step_fault(profile, req);
  case DA_REQ_TASK_SPAWN:
    words = action_fault(req);
    return words != NULL ? words : held_birth_fault(profile, req->promise_id, req);
  case DA_REQ_PROMISE_GET:
  case DA_REQ_PROMISE_SETTLE:
  case DA_REQ_TASK_GET:
  case DA_REQ_TASK_ACQUIRE:
  case DA_REQ_TASK_RELEASE:
  case DA_REQ_TASK_HALT:
  case DA_REQ_TASK_CONTINUE:
  case DA_REQ_SWEEP:
  case DA_REQ_RECOVER:
  case DA_REQ_CLAIM:
    break;
  }
  return NULL;
}

bool da_request_check(const da_engine_env *env, const da_request *req, da_arena *arena, da_reply *reply)
{
  faults f = {.arena = arena};
  check_fields(&f, env, req);
  if (f.text.len == 0) fault(&f, rule_fault(env->profile, req, arena));
  if (f.text.len == 0) return true;
  reply->status = 400;
  reply->message = f.text;
  return false;
}
