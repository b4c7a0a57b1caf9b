/* cron.c - fuzz target: cron expressions, and what comes next.
 *
 * Input: a byte that chooses (bit 0: quartz, bits 1 and 2: the zone), eight bytes of an instant, the expression. What
 * is found must be allowed, lie behind the instant, be the first one, and the last one up to itself.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "../../host/base/cron.h"
#include "../../host/base/zone_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ZONES = 4 };

static const da_zone *zone_of(unsigned choice)
{
  static const char *const names[ZONES] = {"UTC", "Europe/Vienna", "Australia/Lord_Howe", "America/St_Johns"};
  static da_zone zones[ZONES];
  static bool loaded[ZONES];
  static da_buf bytes[ZONES];
  if (!loaded[choice]) {
    loaded[choice] = true;
    DA_ASSERT_OP(da_zone_load(da_slice_of(names[choice]), &bytes[choice], NULL), ==, DA_OK);
    DA_ASSERT_OP(da_zone_read(da_buf_slice(&bytes[choice]), &zones[choice], NULL), ==, DA_OK);
  }
  return &zones[choice];
}

static bool allows(const da_cron *cron, int field, int value)
{
  return value >= 0 && value < 192 && (cron->allowed[field][value / 64] >> (value % 64) & 1) != 0;
}

/* In UTC no clock is changed, so the fields must say so themselves. */
static void check_fields(const da_cron *cron, int64_t ms)
{
  struct tm t;
  time_t s = (time_t)(ms / 1000);
  DA_ASSERT(gmtime_r(&s, &t) != NULL);
  DA_ASSERT(allows(cron, DA_CRON_SECOND, t.tm_sec));
  DA_ASSERT(allows(cron, DA_CRON_MINUTE, t.tm_min));
  DA_ASSERT(allows(cron, DA_CRON_HOUR, t.tm_hour));
  DA_ASSERT(allows(cron, DA_CRON_MONTH, t.tm_mon + 1));
  bool day = allows(cron, DA_CRON_DAY, t.tm_mday);
  bool weekday = allows(cron, DA_CRON_WEEKDAY, t.tm_wday);
  DA_ASSERT(cron->either_day ? day || weekday : day && weekday);
}

static void check(const da_cron *cron, const da_zone *zone, bool utc, int64_t after)
{
  int64_t next = da_cron_next(cron, zone, after);
  if (next == DA_TIME_MAX) return;
  DA_ASSERT_OP(next, >, after);
  if (cron->every_ms != 0) return;
  DA_ASSERT_OP(next % 1000, ==, 0);
  if (utc) check_fields(cron, next);
  if (next > after + 1000) DA_ASSERT_OP(da_cron_next(cron, zone, next - 1000), ==, next);
  DA_ASSERT_OP(da_cron_last(cron, zone, next, next), ==, next);
  int64_t second = da_cron_next(cron, zone, next);
  if (second == DA_TIME_MAX) return;
  DA_ASSERT_OP(second, >, next);
  DA_ASSERT_OP(da_cron_last(cron, zone, next, second), ==, second);
  DA_ASSERT_OP(da_cron_last(cron, zone, next, second - 1), ==, next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  da_cron cron;
  da_err err = {{0}};
  if (size < 9) return 0;
  unsigned zone = data[0] >> 1 & (ZONES - 1);
  int64_t after = (int64_t)(da_get_u64(data + 1) % 8000000000000ULL); /* until 2223 */
  da_slice text = da_slice_make((const char *)data + 9, size - 9);
  if (da_cron_parse(text, (data[0] & 1) != 0 ? DA_CRON_QUARTZ : DA_CRON_UNIX, &cron, &err) == DA_OK)
    check(&cron, zone_of(zone), zone == 0, after);
  else
    DA_ASSERT(err.text[0] != '\0');
  return 0;
}
