/* rule.h - the protocol's rules about one record, one id, one tag, one address. Pure functions without a store.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_ENGINE_RULE_H
#define DA_ENGINE_RULE_H

#include "record.h"

#define DA_TAG_TARGET DA_LIT("resonate:target")
#define DA_TAG_TIMER DA_LIT("resonate:timer")
#define DA_TAG_DELAY DA_LIT("resonate:delay")
#define DA_TAG_EXTERNAL DA_LIT("resonate:external")
#define DA_TAG_SCOPE DA_LIT("resonate:scope")
#define DA_TAG_ORIGIN DA_LIT("resonate:origin")
#define DA_TAG_BRANCH DA_LIT("resonate:branch")
#define DA_TAG_PARENT DA_LIT("resonate:parent")
#define DA_TAG_PREFIX DA_LIT("resonate:prefix")
#define DA_TAG_SCHEDULE DA_LIT("resonate:schedule")

/* The pid of a worker inside a host process begins so. */
#define DA_PID_LOCAL DA_LIT("local/")

/* Is the tag there with exactly this value? */
bool da_rule_tag_is(da_map tags, da_slice key, da_slice value);
bool da_rule_tags_hold(da_map tags, da_map wanted); /* all of them */
/* Resolves at its deadline, instead of timing out. */
bool da_rule_is_timer(const da_promise *promise);
/* Settled by somebody other than the execution that made it: others may wait for it, so it gets a deadline row. */
bool da_rule_is_external(const da_promise *promise);
/* Pending and not past its deadline. Everything the engine decides is decided on this, never on the stored state. */
bool da_rule_is_live(const da_promise *promise, int64_t now_ms);
/* What the deadline makes of a promise. */
da_promise_state da_rule_verdict(const da_promise *promise);
/* The record as an answer shows it at now: past its deadline it is settled, stored or not. */
da_promise da_rule_projected(const da_promise *promise, int64_t now_ms);

/* The decimal number in a resonate:delay tag, or -1. */
int64_t da_rule_delay(da_slice text);
/* min(now + ms, DA_TIME_MAX). */
int64_t da_rule_later(int64_t now_ms, int64_t ms);

/* Do the ids belong to one lineage, under the profile's dialect? */
bool da_rule_same_origin(const da_profile *profile, da_slice a, da_slice b);
/* NULL, or why a promise with this id, these tags and this deadline must not be made. First failure wins. */
const char *da_rule_lineage_fault(const da_profile *profile, da_slice id, da_map tags, int64_t timeout_at);
/* A URI with a scheme, and a host where the scheme needs one. One that nobody routes is merely undeliverable. */
bool da_rule_address_ok(da_slice address);

#endif
