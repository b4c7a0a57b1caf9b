/* cron.h - cron expressions: what they allow, and what comes next.
 *
 * Fields:   minute hour day month weekday, or the seconds in front of them. Lists, ranges, steps, names; @hourly and
 *           the like, @every 10m.
 * Styles:   UNIX is crontab(5): Sunday is 0 and 7, and where both day fields are restricted either of them will do.
 *           QUARTZ is what servers of the protocol take: Sunday is 1, both day fields must match, a seventh field may
 *           name years, and there is no @every, @annually, @midnight.
 * Zones:    an expression that allows every hour follows elapsed time: it comes at each instant whose local clock it
 *           matches, so in both of two repeated hours. Any other names times of the wall clock: one that a change of
 *           the clock leaves out comes at the first moment after the gap, one that is repeated comes the first time.
 * May not:  know a clock, a file or the process' own zone. Pure functions.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_CRON_H
#define DA_BASE_CRON_H

#include "limits.h"
#include "zone.h"

typedef enum da_cron_style { DA_CRON_UNIX, DA_CRON_QUARTZ } da_cron_style;

enum {
  DA_CRON_SECOND,
  DA_CRON_MINUTE,
  DA_CRON_HOUR,
  DA_CRON_DAY,
  DA_CRON_MONTH,
  DA_CRON_WEEKDAY,
  DA_CRON_YEAR,
  DA_CRON_FIELDS
};

typedef struct da_cron {
  int64_t every_ms;                    /* of "@every", and nothing else counts; else 0 */
  uint64_t allowed[DA_CRON_FIELDS][3]; /* bit n: the value n; weekdays from 0, Sunday; years from 1970 */
  bool either_day;                     /* one of the two day fields is enough */
  bool every_hour;
} da_cron;

/* DA_EINVAL: err says at which column what is wrong, and the mend. */
da_status DA_MUST_USE da_cron_parse(da_slice text, da_cron_style style, da_cron *out, da_err *err);
/* The first instant the expression allows that lies behind the whole second of after_ms; DA_TIME_MAX if none ever
 * does. */
int64_t da_cron_next(const da_cron *cron, const da_zone *zone, int64_t after_ms);
/* The last of the instants that begin with first_ms, itself one, and do not lie behind now_ms. Its cost does not grow
 * with their number. */
int64_t da_cron_last(const da_cron *cron, const da_zone *zone, int64_t first_ms, int64_t now_ms);

#endif
