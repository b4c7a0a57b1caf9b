/* far_timer.c - timers and deadlines of promises on servers that let only what has a target time out by itself.
 *
 * A dahost ends each promise that something waits for at its deadline, and says with a claim that it is one. Of others
 * some do so only if the promise has a target, as the timers of their own clients have; and some refuse a timer for it,
 * since they need none. So on a server of another make a timer gets a target; one that is refused is made without, and
 * from then on none gets one.
 *
 * A target means a task, too, and a message: `resonate:delay` holds both back until the time is nearly over, and
 * whoever claims it leaves it alone (da_execution_is_timer()).
 *
 * Threads:  the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../base/id.h"
#include "far.h"

static const char left_tag[] = "dahost:left";

void da_far_arm(da_op *op, da_request *request, const da_child *child)
{
  const da_execution *execution = child->execution;
  if (execution->far == NULL || child->timeout_at < 1) return;
  if (execution->far->arms && da_id_get_dialect() != DA_ID_DOT) return;
  if (child->kind == DA_CALL_SLEEP && execution->worker->far_plain_timers) return;
  da_call_add_tag(&op->arena, request, da_slice_of(left_tag), DA_LIT("true"));
  da_call_add_tag(&op->arena, request, DA_LIT("resonate:target"), da_far_target(execution));
  da_call_add_tag(&op->arena, request, DA_LIT("resonate:delay"),
                  da_arena_printf(&op->arena, "%lld", (long long)child->timeout_at - 1));
}

static bool is_of_target(da_slice key)
{
  return da_slice_eq(key, da_slice_of(left_tag)) || da_slice_eq(key, DA_LIT("resonate:target")) ||
         da_slice_eq(key, DA_LIT("resonate:delay"));
}

bool da_far_disarm(da_execution *execution, da_op *op, da_child *child, void (*done)(da_op *op))
{
  da_request *request = &op->requests[0];
  const da_reply *reply = &op->outcomes[0].reply;
  const da_reply *inner = reply->inner != NULL ? reply->inner : reply;
  if (execution->far == NULL || child->kind != DA_CALL_SLEEP || (reply->status != 400 && inner->status != 400))
    return false;
  if (da_map_get(request->tags, da_slice_of(left_tag)) == NULL) return false;
  da_map tags = request->tags;
  request->tags = (da_map){0};
  for (size_t i = 0; i < tags.count; i++)
    if (!is_of_target(tags.items[i].key)) da_call_add_tag(&op->arena, request, tags.items[i].key, tags.items[i].value);
  execution->worker->far_plain_timers = true;
  da_execution_resubmit(execution, op, child, done);
  return true;
}
