/* event.c - events of executions to JSON and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "event.h"

#include "../base/id.h"

static const char *const kinds[] = {
    [DA_EVENT_STARTED] = "started", [DA_EVENT_RESTARTED] = "restarted", [DA_EVENT_AGAIN] = "again",
    [DA_EVENT_RESUMED] = "resumed", [DA_EVENT_CALLED] = "called",       [DA_EVENT_REPLAYED] = "replayed",
    [DA_EVENT_ATTEMPT] = "attempt", [DA_EVENT_SETTLED] = "settled",     [DA_EVENT_SUSPENDED] = "suspended",
    [DA_EVENT_PARKED] = "parked",   [DA_EVENT_COMPLETED] = "completed", [DA_EVENT_UNSERVED] = "unserved",
    [DA_EVENT_OUTPUT] = "output",   [DA_EVENT_PROGRESS] = "progress"};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

const char *cli_state_name(da_promise_state state)
{
  switch (state) {
  case DA_PENDING:
    return "pending";
  case DA_RESOLVED:
    return "resolved";
  case DA_REJECTED:
    return "rejected";
  case DA_CANCELED:
    return "canceled";
  case DA_TIMEDOUT:
    return "timed out";
  }
  return "pending";
}

da_slice cli_short_id(da_slice id, da_slice parent)
{
  if (parent.len == 0 || !da_id_below(id, parent)) return id;
  return da_slice_make(id.ptr + parent.len + 1, id.len - parent.len - 1);
}

static void put_text(cJSON *json, const char *name, da_slice text)
{
  if (text.len > 0) da_json_put_text(json, name, text);
}

static void put_int(cJSON *json, const char *name, int64_t value)
{
  if (value != 0) da_json_put_int(json, name, value);
}

cJSON *cli_event_to_json(const da_event *event)
{
  cJSON *json = da_json_object();
  da_json_put_text(json, "event", da_slice_of(kinds[event->kind]));
  put_text(json, "execution", event->execution);
  put_text(json, "child", event->child);
  put_int(json, "call", (int64_t)event->call);
  put_text(json, "func", event->func);
  put_int(json, "state", (int64_t)event->state);
  if (event->image) da_json_put_flag(json, "image", true);
  if (event->branch) da_json_put_flag(json, "branch", true);
  put_int(json, "attempt", event->attempt);
  put_int(json, "count", (int64_t)event->count);
  put_int(json, "at", event->at_ms);
  put_text(json, "text", event->text);
  return json;
}

static int64_t small(const cJSON *json, const char *name, int64_t max)
{
  int64_t value = 0;
  if (!da_json_int(json, name, &value) || value < 0 || value > max) return 0;
  return value;
}

bool cli_event_from_json(const cJSON *json, da_event *out)
{
  da_slice name = da_json_text(json, "event");
  *out = (da_event){0};
  int kind = 0;
  while (kind < KIND_COUNT && !da_slice_eq(name, da_slice_of(kinds[kind]))) kind++;
  if (kind == KIND_COUNT) return false;
  out->kind = (da_event_kind)kind;
  out->execution = da_json_text(json, "execution");
  out->child = da_json_text(json, "child");
  out->call = (da_call_kind)small(json, "call", DA_CALL_LAST);
  out->func = da_json_text(json, "func");
  out->state = (da_promise_state)small(json, "state", DA_TIMEDOUT);
  out->image = da_json_flag(json, "image");
  out->branch = da_json_flag(json, "branch");
  out->attempt = (int)small(json, "attempt", INT32_MAX);
  out->count = (size_t)small(json, "count", INT64_C(1) << 53);
  out->at_ms = small(json, "at", INT64_C(1) << 53);
  out->text = da_json_text(json, "text");
  return true;
}
