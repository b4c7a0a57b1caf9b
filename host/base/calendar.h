/* calendar.h - days of the Gregorian calendar as numbers, without a zone or a clock.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_BASE_CALENDAR_H
#define DA_BASE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct da_date {
  int64_t year;
  int month; /* 1 to 12 */
  int day;   /* 1 to 31 */
} da_date;

static inline int64_t da_floor_div(int64_t a, int64_t b) /* b > 0 */
{
  return a / b - (a % b < 0);
}

static inline bool da_leap_year(int64_t year)
{
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days since 1970-01-01. */
int64_t da_days_of(int64_t year, int month, int day);
da_date da_date_of(int64_t days);

/* 0 is Sunday. */
static inline int da_weekday(int64_t days)
{
  return (int)(days + 4 - 7 * da_floor_div(days + 4, 7));
}

#endif
