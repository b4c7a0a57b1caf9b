/* zone.c - time zones out of the bytes of a zone file.
 * SPDX-License-Identifier: Apache-2.0 */
#include "zone.h"

#include "calendar.h"

enum { HEADER = 44, COUNTS_AT = 20, TYPE_SIZE = 6, RULE_CHANGES = 6 };

/* ---- header and data ----------------------------------------------------------------------------------- */

typedef struct block {
  size_t utc_count, std_count, leap_count, time_count, type_count, char_count;
} block;

static bool read_header(da_slice bytes, size_t at, block *out)
{
  if (bytes.len < HEADER || at > bytes.len - HEADER || memcmp(bytes.ptr + at, "TZif", 4) != 0) return false;
  size_t *counts[6] = {&out->utc_count,  &out->std_count,  &out->leap_count,
                       &out->time_count, &out->type_count, &out->char_count};
  for (size_t i = 0; i < 6; i++) {
    uint32_t n = da_get_u32(bytes.ptr + at + COUNTS_AT + 4 * i);
    if (n > 1 << 20) return false;
    *counts[i] = n;
  }
  return true;
}

static size_t block_size(const block *b, size_t time_size)
{
  return b->time_count * (time_size + 1) + b->type_count * TYPE_SIZE + b->char_count + b->leap_count * (time_size + 4) +
         b->std_count + b->utc_count;
}

static int64_t time_at(const da_zone *zone, size_t i)
{
  uint64_t bits = da_get_u64(zone->times + 8 * i);
  int64_t value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static int64_t type_offset(const da_zone *zone, size_t type)
{
  uint32_t bits = da_get_u32(zone->types + TYPE_SIZE * type);
  int32_t value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* ---- the footer: std offset [dst [offset] [,begins,ends]] ----------------------------------------------- */

typedef struct cursor {
  const char *at;
  const char *end;
} cursor;

static char peek(const cursor *c)
{
  return c->at < c->end ? *c->at : '\0';
}

static bool accept(cursor *c, char wanted)
{
  if (peek(c) != wanted) return false;
  c->at++;
  return true;
}

static bool skip_name(cursor *c)
{
  const char *from = c->at;
  if (accept(c, '<')) {
    while (c->at < c->end && *c->at != '>') c->at++;
    return accept(c, '>');
  }
  while ((peek(c) >= 'a' && peek(c) <= 'z') || (peek(c) >= 'A' && peek(c) <= 'Z')) c->at++;
  return c->at - from >= 3;
}

static bool read_number(cursor *c, int *out)
{
  const char *from = c->at;
  *out = 0;
  while (peek(c) >= '0' && peek(c) <= '9' && c->at - from < 4) *out = *out * 10 + (*c->at++ - '0');
  return c->at > from;
}

/* [+-]hh[:mm[:ss]] in seconds */
static bool read_time(cursor *c, int64_t *out)
{
  int parts[3] = {0, 0, 0};
  bool negative = peek(c) == '-';
  if (negative || peek(c) == '+') c->at++;
  if (!read_number(c, &parts[0])) return false;
  for (int i = 1; i < 3 && accept(c, ':'); i++)
    if (!read_number(c, &parts[i]) || parts[i] > 59) return false;
  *out = parts[0] * (int64_t)3600 + parts[1] * (int64_t)60 + parts[2];
  if (negative) *out = -*out;
  return parts[0] <= 167;
}

static bool read_change(cursor *c, da_zone_change *out)
{
  *out = (da_zone_change){.form = 'D', .time = 7200};
  bool ok;
  if (accept(c, 'M')) {
    out->form = 'M';
    ok = read_number(c, &out->month) && accept(c, '.') && read_number(c, &out->week) && accept(c, '.') &&
         read_number(c, &out->day) && out->month >= 1 && out->month <= 12 && out->week >= 1 && out->week <= 5 &&
         out->day <= 6;
  } else {
    if (accept(c, 'J')) out->form = 'J';
    ok = read_number(c, &out->day) && out->day <= 365 && (out->form == 'D' || out->day >= 1);
  }
  return ok && (!accept(c, '/') || read_time(c, &out->time));
}

static bool read_rule(da_slice text, da_zone *zone)
{
  cursor c = {text.ptr, text.ptr + text.len};
  if (text.len == 0) return true;
  if (!skip_name(&c) || !read_time(&c, &zone->standard)) return false;
  zone->standard = -zone->standard;
  zone->has_rule = true;
  if (c.at == c.end) return true;
  zone->has_daylight = true;
  zone->daylight = zone->standard + 3600;
  if (!skip_name(&c)) return false;
  if (peek(&c) != ',') {
    if (!read_time(&c, &zone->daylight)) return false;
    zone->daylight = -zone->daylight;
  }
  return accept(&c, ',') && read_change(&c, &zone->begins) && accept(&c, ',') && read_change(&c, &zone->ends) &&
         c.at == c.end;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static bool data_is_sound(const da_zone *zone, size_t type_count)
{
  for (size_t i = 0; i < zone->count; i++) {
    if (zone->indexes[i] >= type_count) return false;
    if (i > 0 && time_at(zone, i) <= time_at(zone, i - 1)) return false;
  }
  for (size_t i = 0; i < type_count; i++)
    if (type_offset(zone, i) < -93600 || type_offset(zone, i) > 93600) return false;
  return true;
}

da_status da_zone_read(da_slice bytes, da_zone *out, da_err *err)
{
  block first, b;
  *out = (da_zone){0};
  if (bytes.len == 0) return DA_OK;
  if (!read_header(bytes, 0, &first)) return da_fail(err, DA_ECORRUPT, "this is not a zone file");
  if (bytes.ptr[4] < '2') return da_fail(err, DA_ECORRUPT, "a zone file of version 1; version 2 or later is needed");
  size_t at = HEADER + block_size(&first, 4);
  if (!read_header(bytes, at, &b) || block_size(&b, 8) > bytes.len - at - HEADER)
    return da_fail(err, DA_ECORRUPT, "the zone file ends too early");
  if (b.leap_count != 0) return da_fail(err, DA_ECORRUPT, "a zone with leap seconds; take the one without");
  if (b.type_count == 0) return da_fail(err, DA_ECORRUPT, "the zone file tells no offset");
  out->times = (const uint8_t *)bytes.ptr + at + HEADER;
  out->indexes = out->times + 8 * b.time_count;
  out->types = out->indexes + b.time_count;
  out->count = b.time_count;
  if (!data_is_sound(out, b.type_count)) return da_fail(err, DA_ECORRUPT, "the zone file contradicts itself");
  at += HEADER + block_size(&b, 8);
  da_slice footer = da_slice_make(bytes.ptr + at, bytes.len - at);
  if (footer.len < 2 || footer.ptr[0] != '\n') return da_fail(err, DA_ECORRUPT, "the zone file has no footer");
  ptrdiff_t end = da_slice_find(da_slice_make(footer.ptr + 1, footer.len - 1), '\n');
  if (end < 0 || !read_rule(da_slice_make(footer.ptr + 1, (size_t)end), out))
    return da_fail(err, DA_ECORRUPT, "the footer of the zone file cannot be read");
  out->footer = da_slice_make(footer.ptr, (size_t)end + 2);
  return DA_OK;
}

/* ---- the rule ------------------------------------------------------------------------------------------ */

static int64_t day_of(const da_zone_change *change, int64_t year)
{
  int64_t first = da_days_of(year, 1, 1);
  switch (change->form) {
  case 'M': {
    int64_t month = da_days_of(year, change->month, 1);
    int64_t next = change->month == 12 ? da_days_of(year + 1, 1, 1) : da_days_of(year, change->month + 1, 1);
    int64_t day = month + (change->day - da_weekday(month) + 7) % 7 + 7 * (int64_t)(change->week - 1);
    return day >= next ? day - 7 : day; /* week 5: the last one */
  }
  case 'J':
    return first + change->day - 1 + (change->day >= 60 && da_leap_year(year));
  default:
    return first + change->day;
  }
}

typedef struct change_at {
  int64_t at;
  int64_t offset; /* from then on */
} change_at;

/* The changes of three years around at_s, in their order. */
static void rule_changes(const da_zone *zone, int64_t at_s, change_at out[RULE_CHANGES])
{
  int64_t year = da_date_of(da_floor_div(at_s, 86400)).year;
  for (int i = 0; i < RULE_CHANGES / 2; i++) {
    int64_t y = year - 1 + i;
    change_at begins = {day_of(&zone->begins, y) * 86400 + zone->begins.time - zone->standard, zone->daylight};
    change_at ends = {day_of(&zone->ends, y) * 86400 + zone->ends.time - zone->daylight, zone->standard};
    bool north = begins.at <= ends.at;
    out[2 * i] = north ? begins : ends;
    out[2 * i + 1] = north ? ends : begins;
  }
}

/* Behind the last transition, `last` with the offset before it. */
static da_zone_span span_of_rule(const da_zone *zone, int64_t at_s, int64_t last, int64_t before_last)
{
  da_zone_span span = {last, INT64_MAX, zone->standard, before_last};
  change_at changes[RULE_CHANGES];
  if (!zone->has_daylight) return span;
  rule_changes(zone, at_s, changes);
  int64_t offset = changes[1].offset; /* two changes back is the same half of the year */
  for (int i = 0; i < RULE_CHANGES; i++) {
    if (changes[i].at > at_s) {
      span.until = changes[i].at;
      break;
    }
    if (changes[i].at > last) {
      span.since = changes[i].at;
      span.before = offset;
    }
    offset = changes[i].offset;
  }
  span.offset = offset;
  return span;
}

/* ---- offsets ------------------------------------------------------------------------------------------- */

/* How many transitions lie at or before at_s. */
static size_t passed(const da_zone *zone, int64_t at_s)
{
  size_t low = 0, high = zone->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (time_at(zone, middle) <= at_s)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Of the stretch behind n transitions. */
static int64_t offset_behind(const da_zone *zone, size_t n)
{
  return type_offset(zone, n == 0 ? 0 : zone->indexes[n - 1]);
}

/* Where the rule takes over, the last transition ends a stretch of the table like any other. */
da_zone_span da_zone_span_at(const da_zone *zone, int64_t at_s)
{
  if (zone->types == NULL) return (da_zone_span){INT64_MIN, INT64_MAX, 0, 0};
  size_t n = passed(zone, at_s);
  int64_t since = n > 0 ? time_at(zone, n - 1) : INT64_MIN;
  int64_t before = offset_behind(zone, n > 0 ? n - 1 : 0);
  if (n == zone->count && zone->has_rule) return span_of_rule(zone, at_s, since, before);
  int64_t until = n < zone->count ? time_at(zone, n) : INT64_MAX;
  return (da_zone_span){since, until, offset_behind(zone, n), before};
}

int64_t da_zone_reaches(const da_zone *zone, int64_t local)
{
  int64_t at = local - 93600; /* no offset is 26 hours */
  for (;;) {                  /* ends: each stretch is later than the one before, and two days hold a few of them */
    da_zone_span span = da_zone_span_at(zone, at);
    int64_t reached = local - span.offset;
    if (reached < at) reached = at;
    if (reached < span.until) return reached;
    at = span.until;
  }
}

/* ---- trimming ------------------------------------------------------------------------------------------ */

static void add_header(da_buf *out, uint32_t times, uint32_t types, uint32_t chars)
{
  static const char magic[COUNTS_AT] = "TZif2";
  uint32_t counts[6] = {0, 0, 0, times, types, chars};
  da_buf_add(out, magic, sizeof magic);
  for (int i = 0; i < 6; i++) da_buf_add_u32(out, counts[i]);
}

void da_zone_trim(const da_zone *zone, int64_t from_s, da_buf *out)
{
  if (zone->types == NULL) return;
  size_t first = passed(zone, from_s), types = 1;
  if (first > 0) first--; /* the one in force */
  for (size_t i = first; i < zone->count; i++)
    if (zone->indexes[i] >= types) types = (size_t)zone->indexes[i] + 1;
  add_header(out, 0, 0, 0);
  add_header(out, (uint32_t)(zone->count - first), (uint32_t)types, 1);
  da_buf_add(out, zone->times + 8 * first, 8 * (zone->count - first));
  da_buf_add(out, zone->indexes + first, zone->count - first);
  for (size_t i = 0; i < types; i++) {
    da_buf_add(out, zone->types + TYPE_SIZE * i, TYPE_SIZE - 1);
    da_buf_add_byte(out, 0);
  }
  da_buf_add_byte(out, 0);
  da_buf_add_slice(out, zone->footer);
}
