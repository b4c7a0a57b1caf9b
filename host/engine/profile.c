/* profile.c - the switches of a profile by name: one table for configuration, help and specs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "record.h"

const da_profile da_profile_default = {
    .id_dialect = DA_DIALECT_ANY,
    .arm = DA_ARM_EXTERNAL,
    .preload_limit = -1,
    .retry_timeout_ms = 30000,
};

typedef enum switch_type { CHOICE, FLAG, LIMIT, DURATION } switch_type;

enum { VALUES_MAX = 4 };

/* The values of a choice stand in the order of its enum, those of a flag are false and true. */
static const struct {
  const char *name;
  switch_type type;
  size_t offset;
  const char *values[VALUES_MAX];
} switches[] = {
    {"id_dialect", CHOICE, offsetof(da_profile, id_dialect), {"any", "colon", "dot", "off"}},
    {"arm", CHOICE, offsetof(da_profile, arm), {"external", "target", "all"}},
    {"await_internal", FLAG, offsetof(da_profile, await_internal_reject), {"allow", "reject"}},
    {"await_cross_origin", FLAG, offsetof(da_profile, await_cross_origin_reject), {"allow", "reject"}},
    {"listener_external_only", CHOICE, offsetof(da_profile, listener_external_only), {"follows", "true", "false"}},
    {"timer_target", FLAG, offsetof(da_profile, timer_target_reject), {"allow", "reject"}},
    {"suspend_dups", FLAG, offsetof(da_profile, suspend_dups_reject), {"dedupe", "reject"}},
    {"heartbeat_mixed", FLAG, offsetof(da_profile, heartbeat_mixed_reject), {"allow", "reject"}},
    {"search", FLAG, offsetof(da_profile, search_reject), {"on", "501"}},
    {"cron_dow", CHOICE, offsetof(da_profile, cron_dow), {"quartz", "unix"}},
    {"cron_never", FLAG, offsetof(da_profile, cron_never_reject), {"minute", "reject"}},
    {"preload_limit", LIMIT, offsetof(da_profile, preload_limit), {"unlimited"}},
    {"retry_timeout_ms", DURATION, offsetof(da_profile, retry_timeout_ms), {NULL}},
};

enum { SWITCHES = sizeof switches / sizeof *switches };

_Static_assert(sizeof(((da_profile *)NULL)->arm) == sizeof(unsigned), "a choice is as wide as an unsigned");
_Static_assert(sizeof(((da_profile *)NULL)->preload_limit) == sizeof(int64_t), "a number has 64 bits");

/* Digits only; -1: it is none, or too large. */
static int64_t number_of(da_slice text)
{
  int64_t n = 0;
  if (text.len == 0 || text.len > 15) return -1;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9') return -1;
    n = n * 10 + (text.ptr[i] - '0');
  }
  return n;
}

static int value_of(size_t at, da_slice text)
{
  for (int i = 0; i < VALUES_MAX && switches[at].values[i] != NULL; i++)
    if (da_slice_eq(text, da_slice_of(switches[at].values[i]))) return i;
  return -1;
}

static void add_choices(size_t at, da_buf *out)
{
  for (int i = 0; i < VALUES_MAX && switches[at].values[i] != NULL; i++)
    da_buf_addf(out, "%s%s", i > 0 ? ", " : "", switches[at].values[i]);
  if (switches[at].type == LIMIT) da_buf_addf(out, " or a number");
  if (switches[at].type == DURATION) da_buf_addf(out, "a number from 1 on");
}

static da_status refuse(size_t at, da_slice text, da_err *err)
{
  da_buf choices = {0};
  add_choices(at, &choices);
  da_status status = da_fail(err, DA_EINVAL, "%s cannot be '%.*s'; it is %.*s", switches[at].name, DA_FMT(text),
                             DA_FMT(da_buf_slice(&choices)));
  da_buf_free(&choices);
  return status;
}

static da_status set(da_profile *profile, size_t at, da_slice text, da_err *err)
{
  char *member = (char *)profile + switches[at].offset;
  int value = value_of(at, text);
  int64_t number = value < 0 ? number_of(text) : -1;
  switch (switches[at].type) {
  case CHOICE:
    if (value < 0) return refuse(at, text, err);
    memcpy(member, &(unsigned){(unsigned)value}, sizeof(unsigned));
    break;
  case FLAG:
    if (value < 0) return refuse(at, text, err);
    memcpy(member, &(bool){value == 1}, sizeof(bool));
    break;
  case LIMIT:
    if (value < 0 && number < 0) return refuse(at, text, err);
    memcpy(member, &number, sizeof number);
    break;
  case DURATION: /* what comes again at once would never let a sweep end */
    if (number < 1) return refuse(at, text, err);
    memcpy(member, &number, sizeof number);
    break;
  }
  return DA_OK;
}

da_status da_profile_set(da_profile *profile, da_slice name, da_slice text, da_err *err)
{
  for (size_t i = 0; i < SWITCHES; i++)
    if (da_slice_eq(name, da_slice_of(switches[i].name))) return set(profile, i, text, err);
  da_buf names = {0};
  for (size_t i = 0; i < SWITCHES; i++) da_buf_addf(&names, "%s%s", i > 0 ? ", " : "", switches[i].name);
  da_status status = da_fail(err, DA_ENOTFOUND, "there is no switch '%.*s'; there are %.*s", DA_FMT(name),
                             DA_FMT(da_buf_slice(&names)));
  da_buf_free(&names);
  return status;
}
