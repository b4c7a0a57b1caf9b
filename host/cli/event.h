/* event.h - what an execution does, as a line of JSON for a process that follows it over the control socket.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_CLI_EVENT_H
#define DA_CLI_EVENT_H

#include "../base/json.h"
#include "../vm/worker.h"

/* {"event":"settled","execution":...}; members that are empty, 0 or false are left out. */
cJSON *cli_event_to_json(const da_event *event);
/* False if it is no event this program knows. Slices point into json. */
bool cli_event_from_json(const cJSON *json, da_event *out);

/* "pending", "resolved", "rejected", "canceled", "timed out": to people. */
const char *cli_state_name(da_promise_state state);
/* The part of a child's id behind its parent's and the separator, or the whole id if it does not lie below. */
da_slice cli_short_id(da_slice id, da_slice parent);

#endif
