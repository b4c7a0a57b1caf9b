/* record.c - the names of kinds and states, lookups in maps.
 * SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

const char *da_promise_state_name(da_promise_state state)
{
  switch (state) {
  case DA_PENDING:
    return "pending";
  case DA_RESOLVED:
    return "resolved";
  case DA_REJECTED:
    return "rejected";
  case DA_CANCELED:
    return "rejected_canceled";
  case DA_TIMEDOUT:
    return "rejected_timedout";
  }
  return "unknown";
}

const char *da_task_state_name(da_task_state state)
{
  switch (state) {
  case DA_TASK_PENDING:
    return "pending";
  case DA_TASK_ACQUIRED:
    return "acquired";
  case DA_TASK_SUSPENDED:
    return "suspended";
  case DA_TASK_HALTED:
    return "halted";
  case DA_TASK_FULFILLED:
    return "fulfilled";
  }
  return "unknown";
}

const char *da_call_kind_name(da_call_kind kind)
{
  switch (kind) {
  case DA_CALL_NONE:
    return "promise";
  case DA_CALL_ROOT:
  case DA_CALL_WORKFLOW:
    return "workflow";
  case DA_CALL_STEP:
    return "step";
  case DA_CALL_INLINE:
    return "inline step";
  case DA_CALL_BRANCH:
    return "branch";
  case DA_CALL_SLEEP:
    return "sleep";
  case DA_CALL_PROMISE:
    return "promise";
  case DA_CALL_NATIVE:
    return "native";
  case DA_CALL_MARK:
    return "mark";
  case DA_CALL_RECV:
    return "recv";
  case DA_CALL_ACQUIRE:
    return "acquire";
  case DA_CALL_TAKE:
    return "take";
  case DA_CALL_SEND:
    return "send";
  }
  return "call";
}

const char *da_catch_up_name(da_catch_up catch_up)
{
  switch (catch_up) {
  case DA_CATCH_UP_ALL:
    return "all";
  case DA_CATCH_UP_LAST:
    return "last";
  case DA_CATCH_UP_NONE:
    return "none";
  }
  return "unknown";
}

const char *da_queue_kind_name(da_queue_kind kind)
{
  static const char *const names[] = {"queue", "channel", "semaphore", "limiter"};
  return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "queue";
}

const char *da_req_kind_name(da_req_kind kind)
{
  static const char *const names[] = {
#define X(name, text) text,
      DA_REQ_MAP(X)
#undef X
  };
  return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

const da_slice *da_map_get(da_map map, da_slice key)
{
  for (size_t i = 0; i < map.count; i++)
    if (da_slice_eq(map.items[i].key, key)) return &map.items[i].value;
  return NULL;
}
