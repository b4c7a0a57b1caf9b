/* calendar.c - days of the Gregorian calendar as numbers.
 *
 * Years are counted from March, so that the leap day is the last of its year and the lengths of the months before it
 * follow one line: (153 m + 2) / 5 days lie before month m of such a year. 146,097 days are 400 years.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "calendar.h"

int64_t da_days_of(int64_t year, int month, int day)
{
  int64_t y = month <= 2 ? year - 1 : year;
  int64_t era = da_floor_div(y, 400);
  int64_t year_of_era = y - era * 400;
  int64_t month_from_march = (month + 9) % 12;
  int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
  int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468; /* days from 0000-03-01 to 1970-01-01 */
}

da_date da_date_of(int64_t days)
{
  int64_t shifted = days + 719468;
  int64_t era = da_floor_div(shifted, 146097);
  int64_t day_of_era = shifted - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t month_from_march = (5 * day_of_year + 2) / 153;
  int day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
  int month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
  return (da_date){year_of_era + era * 400 + (month <= 2), month, day};
}
