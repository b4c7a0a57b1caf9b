/* zone.h - time zones out of the bytes of a zone file (TZif, RFC 8536): which offset holds when.
 *
 * Here:     the reader of version 2 and later: its 64-bit transitions, and the rule in its footer for all that follow.
 * Memory:   a da_zone borrows the bytes it was read from. {0} is UTC.
 * May not:  open a file (zone_file.h does), call tzset(3), keep anything.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_ZONE_H
#define DA_BASE_ZONE_H

#include "bytes.h"

/* A day of the year on which the clock changes, as a footer tells it. */
typedef struct da_zone_change {
  char form; /* 'M': month, week, weekday; 'J': day 1 to 365, no leap day; 'D': day 0 to 365 */
  int month;
  int week;
  int day;
  int64_t time; /* seconds from local midnight, may be negative */
} da_zone_change;

typedef struct da_zone {
  const uint8_t *times; /* borrowed, 8 bytes each */
  const uint8_t *indexes;
  const uint8_t *types; /* 6 bytes each: offset i32, daylight u8, name u8 */
  size_t count;
  da_slice footer; /* borrowed, with the newlines around it */
  bool has_rule;   /* of the footer: what holds behind the last transition */
  bool has_daylight;
  int64_t standard; /* seconds to add to UTC */
  int64_t daylight;
  da_zone_change begins; /* of daylight time, in standard time */
  da_zone_change ends;   /* in daylight time */
} da_zone;

/* DA_ECORRUPT: err says what is wrong with the bytes. No bytes at all are UTC. */
da_status DA_MUST_USE da_zone_read(da_slice bytes, da_zone *out, da_err *err);

/* A stretch of time with one offset. */
typedef struct da_zone_span {
  int64_t since;  /* first second, INT64_MIN: ever */
  int64_t until;  /* second behind the last, INT64_MAX: for ever */
  int64_t offset; /* local time is UTC plus this */
  int64_t before; /* offset of the stretch before */
} da_zone_span;

da_zone_span da_zone_span_at(const da_zone *zone, int64_t at_s);
/* The first instant at which the local clock shows `local` or later. */
int64_t da_zone_reaches(const da_zone *zone, int64_t local);

/* Appends a zone file that says the same from from_s on and is as small as it can be: no names, nothing older. */
void da_zone_trim(const da_zone *zone, int64_t from_s, da_buf *out);

#endif
