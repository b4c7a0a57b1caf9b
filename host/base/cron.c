/* cron.c - cron expressions: reading them, and the next instant they allow.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cron.h"

#include <stdio.h>

#include "calendar.h"

enum {
  YEAR_FIRST = 1970,
  YEAR_LAST = 2100,
  HORIZON_YEARS = 48, /* the 29th of February may fall on one weekday 40 years apart */
  SPANS_MAX = 1024,   /* changes of a clock within the horizon: no zone has had more than four a year, some more seen */
  EVERY_DAYS_MAX = 3660 /* ten years */
};
#define NEVER INT64_MAX

/* ---- fields -------------------------------------------------------------------------------------------- */

static const char *const month_names[] = {"january", "february",  "march",   "april",    "may",      "june", "july",
                                          "august",  "september", "october", "november", "december", NULL};
static const char *const day_names[] = {"sunday",   "monday", "tuesday",  "wednesday",
                                        "thursday", "friday", "saturday", NULL};

typedef struct field_kind {
  const char *name;
  unsigned low;
  unsigned high;
  const char *const *names; /* of low, low + 1... */
  bool question;            /* may be '?' */
} field_kind;

static const field_kind kinds[DA_CRON_FIELDS] = {
    [DA_CRON_SECOND] = {"second", 0, 59, NULL, false},
    [DA_CRON_MINUTE] = {"minute", 0, 59, NULL, false},
    [DA_CRON_HOUR] = {"hour", 0, 23, NULL, false},
    [DA_CRON_DAY] = {"day of month", 1, 31, NULL, true},
    [DA_CRON_MONTH] = {"month", 1, 12, month_names, false},
    [DA_CRON_WEEKDAY] = {"day of week", 0, 7, day_names, true},
    [DA_CRON_YEAR] = {"year", YEAR_FIRST, YEAR_LAST, NULL, false},
};
static const field_kind quartz_weekday = {"day of week", 1, 7, day_names, true};

static void allow(uint64_t *bits, unsigned n)
{
  bits[n / 64] |= (uint64_t)1 << n % 64;
}

static bool allows(const da_cron *cron, int field, unsigned n)
{
  return n < 192 && (cron->allowed[field][n / 64] >> n % 64 & 1) != 0;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct parser {
  da_slice text;
  size_t at;
  da_cron_style style;
  da_err *err;
  const field_kind *kind;
  uint64_t *bits;
} parser;

static da_status wrong(const parser *p, size_t at, const char *format, ...) DA_PRINTF(3, 4);
static da_status wrong(const parser *p, size_t at, const char *format, ...)
{
  char words[400];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(words, sizeof words, format, args);
  va_end(args);
  return da_fail(p->err, DA_EINVAL, "column %zu: %s", at + 1, words);
}

static bool is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char lower(char c)
{
  return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool is_letter(char c)
{
  return lower(c) >= 'a' && lower(c) <= 'z';
}

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

/* What stands at the cursor, or NUL at the end. */
static char peek(const parser *p)
{
  return p->at < p->text.len ? p->text.ptr[p->at] : '\0';
}

static bool ends_here(const parser *p)
{
  return p->at >= p->text.len || is_space(p->text.ptr[p->at]);
}

static void skip_spaces(parser *p)
{
  while (p->at < p->text.len && is_space(p->text.ptr[p->at])) p->at++;
}

/* The word that begins at `from`, up to a space or a comma, for messages. */
static da_slice word_at(const parser *p, size_t from)
{
  size_t end = from;
  while (end < p->text.len && end - from < 20 && !is_space(p->text.ptr[end]) && p->text.ptr[end] != ',') end++;
  return da_slice_make(p->text.ptr + from, end - from);
}

static da_status read_number(parser *p, unsigned *n)
{
  size_t from = p->at;
  uint64_t value = 0;
  while (is_digit(peek(p)) && p->at - from < 9) value = value * 10 + (uint64_t)(p->text.ptr[p->at++] - '0');
  if (is_digit(peek(p))) return wrong(p, from, "%.*s is too large a number", DA_FMT(word_at(p, from)));
  *n = (unsigned)value;
  return DA_OK;
}

/* A beginning of at least three letters names it: jan, sept, tues. */
static da_status read_name(parser *p, unsigned *n)
{
  size_t from = p->at;
  while (is_letter(peek(p))) p->at++;
  size_t len = p->at - from;
  for (unsigned i = 0; p->kind->names != NULL && len >= 3 && p->kind->names[i] != NULL; i++) {
    const char *name = p->kind->names[i];
    size_t same = 0;
    while (same < len && name[same] != '\0' && lower(p->text.ptr[from + same]) == name[same]) same++;
    if (same < len) continue;
    *n = p->kind->low + i;
    return DA_OK;
  }
  if (p->kind->names == NULL)
    return wrong(p, from, "'%.*s' is no number; the %s has no names", DA_FMT(word_at(p, from)), p->kind->name);
  return wrong(p, from, "'%.*s' is no name of a %s; write %s", DA_FMT(word_at(p, from)), p->kind->name,
               p->kind->names == month_names ? "jan, feb, mar ... dec" : "sun, mon, tue, wed, thu, fri, sat");
}

static da_status read_value(parser *p, unsigned *n, bool *named)
{
  size_t from = p->at;
  *named = is_letter(peek(p));
  if (*named) return read_name(p, n);
  if (!is_digit(peek(p))) {
    if (ends_here(p) || peek(p) == ',') return wrong(p, from, "a %s is missing here", p->kind->name);
    return wrong(p, from, "'%.*s' is not a %s; write a number from %u to %u, *, a range 1-5, a step */2, or a list",
                 DA_FMT(word_at(p, from)), p->kind->name, p->kind->low, p->kind->high);
  }
  da_status status = read_number(p, n);
  if (status != DA_OK) return status;
  if (*n < p->kind->low || *n > p->kind->high)
    return wrong(p, from, "%u is no %s; it goes from %u to %u", *n, p->kind->name, p->kind->low, p->kind->high);
  return DA_OK;
}

static da_status read_step(parser *p, unsigned *step)
{
  *step = 1;
  if (peek(p) != '/') return DA_OK;
  size_t at = ++p->at;
  if (!is_digit(peek(p))) return wrong(p, at, "a step is a number: */2");
  da_status status = read_number(p, step);
  if (status == DA_OK && *step == 0) return wrong(p, at, "a step of 0 never moves; write at least 1");
  if (status == DA_OK && *step > p->kind->high)
    return wrong(p, at, "a step of %u goes past every %s; at most %u", *step, p->kind->name, p->kind->high);
  return status;
}

/* One item of a list: * | n | n-m, each with /step. */
static da_status read_item(parser *p)
{
  size_t from = p->at;
  unsigned low = p->kind->low, high = p->kind->high, step;
  bool named = false, end_named = false, single = false;
  da_status status = DA_OK;
  if (peek(p) == '*' || (peek(p) == '?' && p->kind->question)) {
    p->at++;
  } else {
    status = read_value(p, &low, &named);
    single = status == DA_OK && peek(p) != '-';
    if (status == DA_OK && !single) {
      p->at++;
      status = read_value(p, &high, &end_named);
      if (status == DA_OK && end_named && high == 0 && low > 0) high = 7; /* fri-sun */
    }
    if (status != DA_OK) return status;
    if (!single && low > high)
      return wrong(p, from, "the range %.*s runs backwards; write it as two, the later part first: 22-23,0-5",
                   DA_FMT(word_at(p, from)));
    if (single && peek(p) == '/' && named) return wrong(p, p->at, "a name takes no step; write a range: mon-fri/2");
    if (single && peek(p) != '/') high = low;
  }
  status = read_step(p, &step);
  if (status != DA_OK) return status;
  for (unsigned n = low; n <= high; n += step) allow(p->bits, n);
  if (ends_here(p) || peek(p) == ',') return DA_OK;
  char c = peek(p);
  if (c == 'L' || c == 'W' || c == '#' || c == 'l' || c == 'w')
    return wrong(p, p->at, "'%c' is not known here; cron has no last day or nearest weekday: decide in the function",
                 c);
  return wrong(p, p->at, "'%.*s' does not belong here; part items by commas, fields by spaces",
               DA_FMT(word_at(p, p->at)));
}

static da_status read_list(parser *p)
{
  for (;;) {
    da_status status = read_item(p);
    if (status != DA_OK || ends_here(p)) return status;
    p->at++;
  }
}

static da_status read_field(parser *p, int field, da_cron *out)
{
  uint64_t bits[(YEAR_LAST + 64) / 64] = {0};
  unsigned base = field == DA_CRON_YEAR ? YEAR_FIRST : 0;
  p->kind = field == DA_CRON_WEEKDAY && p->style == DA_CRON_QUARTZ ? &quartz_weekday : &kinds[field];
  p->bits = bits;
  da_status status = read_list(p);
  p->bits = NULL;
  for (unsigned n = base; status == DA_OK && n <= p->kind->high; n++)
    if ((bits[n / 64] >> n % 64 & 1) != 0) allow(out->allowed[field], n - base);
  return status;
}

static size_t count_fields(da_slice text)
{
  size_t count = 0;
  for (size_t i = 0; i < text.len; i++)
    if (!is_space(text.ptr[i]) && (i == 0 || is_space(text.ptr[i - 1]))) count++;
  return count;
}

/* Weekdays as a week counts them here: 0 is Sunday. */
static void turn_weekdays(da_cron *cron, da_cron_style style)
{
  uint64_t *bits = cron->allowed[DA_CRON_WEEKDAY];
  if (style == DA_CRON_QUARTZ) bits[0] >>= 1;
  bits[0] = (bits[0] | bits[0] >> 7) & 0x7f;
}

static da_status read_fields(parser *p, da_cron *out)
{
  size_t count = count_fields(p->text);
  size_t most = p->style == DA_CRON_QUARTZ ? 7 : 6;
  if (count < 5 || count > most)
    return wrong(p, 0, "%zu fields; write five (minute hour day month weekday), or %s", count,
                 most == 6 ? "six with the seconds first" : "six with the seconds first, or seven with the year last");
  int field = count == 5 ? DA_CRON_MINUTE : DA_CRON_SECOND;
  int end = count == 7 ? DA_CRON_FIELDS : DA_CRON_YEAR;
  bool stars[DA_CRON_FIELDS] = {false};
  if (count == 5) allow(out->allowed[DA_CRON_SECOND], 0);
  if (count < 7) memset(out->allowed[DA_CRON_YEAR], 0xff, sizeof out->allowed[DA_CRON_YEAR]);
  for (; field < end; field++) {
    skip_spaces(p);
    stars[field] = peek(p) == '*' || peek(p) == '?';
    da_status status = read_field(p, field, out);
    if (status != DA_OK) return status;
  }
  turn_weekdays(out, p->style);
  out->either_day = p->style == DA_CRON_UNIX && !stars[DA_CRON_DAY] && !stars[DA_CRON_WEEKDAY];
  out->every_hour = out->allowed[DA_CRON_HOUR][0] == 0xffffff;
  return DA_OK;
}

/* ---- shorthands ---------------------------------------------------------------------------------------- */

static const struct {
  const char *name;
  const char *unix_text;
  const char *quartz_text; /* NULL: not known there */
} shorthands[] = {
    {"@hourly", "0 * * * *", "0 * * * *"},  {"@daily", "0 0 * * *", "0 0 * * *"},
    {"@midnight", "0 0 * * *", NULL},       {"@weekly", "0 0 * * 0", "0 0 * * 1"},
    {"@monthly", "0 0 1 * *", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *", NULL},
};

static bool same_word(da_slice word, const char *name)
{
  size_t i = 0;
  while (i < word.len && name[i] != '\0' && lower(word.ptr[i]) == name[i]) i++;
  return i == word.len && name[i] == '\0';
}

static da_status read_every(parser *p, da_cron *out)
{
  static const struct {
    char unit;
    int64_t seconds;
  } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  int64_t total = 0;
  skip_spaces(p);
  size_t from = p->at;
  while (!ends_here(p)) {
    size_t at = p->at;
    unsigned n, i = 0;
    if (!is_digit(peek(p))) return wrong(p, at, "@every wants a duration: 30s, 10m, 1h30m, 1d");
    da_status status = read_number(p, &n);
    if (status != DA_OK) return status;
    while (i < sizeof units / sizeof *units && units[i].unit != peek(p)) i++;
    if (i == sizeof units / sizeof *units)
      return wrong(p, p->at, "a number behind @every needs its unit, s, m, h or d: %us, %um", n, n);
    p->at++;
    total += (int64_t)n * units[i].seconds;
  }
  if (p->at == from) return wrong(p, from, "@every wants a duration: 30s, 10m, 1h30m, 1d");
  if (total < 1 || total > (int64_t)EVERY_DAYS_MAX * 86400)
    return wrong(p, from, "@every goes from 1s to %dd", (int)EVERY_DAYS_MAX);
  skip_spaces(p);
  if (p->at < p->text.len) return wrong(p, p->at, "nothing more may stand here; write @every 1h30m in one word");
  out->every_ms = total * 1000;
  return DA_OK;
}

static da_status read_shorthand(parser *p, da_cron *out)
{
  size_t from = p->at;
  da_slice word = word_at(p, from);
  p->at += word.len;
  if (same_word(word, "@every") && p->style == DA_CRON_UNIX) return read_every(p, out);
  for (size_t i = 0; i < sizeof shorthands / sizeof *shorthands; i++) {
    const char *text = p->style == DA_CRON_QUARTZ ? shorthands[i].quartz_text : shorthands[i].unix_text;
    if (text == NULL || !same_word(word, shorthands[i].name)) continue;
    skip_spaces(p);
    if (p->at < p->text.len) return wrong(p, p->at, "nothing may follow %s", shorthands[i].name);
    p->text = da_slice_of(text);
    p->at = 0;
    return read_fields(p, out);
  }
  return wrong(p, from, "'%.*s' is not known; there are @hourly, @daily, @weekly, @monthly, @yearly%s", DA_FMT(word),
               p->style == DA_CRON_UNIX ? " and @every 10m" : "");
}

da_status da_cron_parse(da_slice text, da_cron_style style, da_cron *out, da_err *err)
{
  parser p = {.text = text, .style = style, .err = err};
  *out = (da_cron){0};
  skip_spaces(&p);
  if (p.at == text.len)
    return wrong(&p, 0, "the expression is empty; write five fields, minute hour day month weekday: 30 6 * * *");
  return peek(&p) == '@' ? read_shorthand(&p, out) : read_fields(&p, out);
}

/* ---- the next local time ------------------------------------------------------------------------------- */

static bool allows_day(const da_cron *cron, const da_date *date)
{
  bool day = allows(cron, DA_CRON_DAY, (unsigned)date->day);
  bool weekday = allows(cron, DA_CRON_WEEKDAY, (unsigned)da_weekday(da_days_of(date->year, date->month, date->day)));
  return cron->either_day ? day || weekday : day && weekday;
}

/* The first second of a day from `from` on that the time fields allow, or -1. */
static int next_second(const da_cron *cron, int from)
{
  int minute_from = from / 60 % 60, second_from = from % 60;
  for (int hour = from / 3600; hour < 24; hour++, minute_from = second_from = 0) {
    if (!allows(cron, DA_CRON_HOUR, (unsigned)hour)) continue;
    for (int minute = minute_from; minute < 60; minute++, second_from = 0) {
      if (!allows(cron, DA_CRON_MINUTE, (unsigned)minute)) continue;
      for (int second = second_from; second < 60; second++)
        if (allows(cron, DA_CRON_SECOND, (unsigned)second)) return hour * 3600 + minute * 60 + second;
    }
  }
  return -1;
}

static bool allows_year(const da_cron *cron, int64_t year)
{
  if (year < YEAR_FIRST) return false;
  return year > YEAR_LAST ? allows(cron, DA_CRON_YEAR, 191) : allows(cron, DA_CRON_YEAR, (unsigned)(year - YEAR_FIRST));
}

/* The first local second from `from` on that every field allows, as if the clock never changed; NEVER if there is none
 * within the horizon. */
static int64_t next_local(const da_cron *cron, int64_t from)
{
  int64_t day = da_floor_div(from, 86400);
  int second = (int)(from - day * 86400);
  da_date date = da_date_of(day);
  for (int64_t last = date.year + HORIZON_YEARS; date.year <= last; second = 0) {
    if (!allows_year(cron, date.year)) {
      date = (da_date){date.year + 1, 1, 1};
    } else if (!allows(cron, DA_CRON_MONTH, (unsigned)date.month)) {
      date = date.month == 12 ? (da_date){date.year + 1, 1, 1} : (da_date){date.year, date.month + 1, 1};
    } else {
      int found = allows_day(cron, &date) ? next_second(cron, second) : -1;
      day = da_days_of(date.year, date.month, date.day);
      if (found >= 0) return day * 86400 + found;
      date = da_date_of(day + 1);
    }
  }
  return NEVER;
}

/* ---- the next instant ---------------------------------------------------------------------------------- */

/* The first instant from `at` on whose local clock matches. */
static int64_t next_elapsed(const da_cron *cron, const da_zone *zone, int64_t at)
{
  for (int i = 0; i < SPANS_MAX; i++) {
    da_zone_span span = da_zone_span_at(zone, at);
    int64_t local = next_local(cron, at + span.offset);
    if (local == NEVER) return NEVER;
    if (local - span.offset < span.until) return local - span.offset;
    at = span.until;
  }
  return NEVER;
}

/* The first instant from `at` on at which the wall clock reaches, or has just jumped over, a time that matches. A clock
 * set back shows no new time until it is where it was. */
static int64_t next_wall(const da_cron *cron, const da_zone *zone, int64_t at)
{
  da_zone_span span = da_zone_span_at(zone, at);
  int64_t from = at + span.offset;
  bool changed = span.since != INT64_MIN && (at == span.since || at + span.offset < span.since + span.before);
  if (changed) from = span.since + span.before;
  int64_t local = next_local(cron, from);
  return local == NEVER ? NEVER : da_zone_reaches(zone, local);
}

int64_t da_cron_next(const da_cron *cron, const da_zone *zone, int64_t after_ms)
{
  int64_t second = da_floor_div(after_ms, 1000);
  if (cron->every_ms != 0) {
    int64_t at = second * 1000;
    return at >= DA_TIME_MAX - cron->every_ms ? DA_TIME_MAX : at + cron->every_ms;
  }
  int64_t at = cron->every_hour ? next_elapsed(cron, zone, second + 1) : next_wall(cron, zone, second + 1);
  return at >= DA_TIME_MAX / 1000 ? DA_TIME_MAX : at * 1000;
}

int64_t da_cron_last(const da_cron *cron, const da_zone *zone, int64_t first_ms, int64_t now_ms)
{
  if (cron->every_ms != 0) return first_ms + (now_ms - first_ms) / cron->every_ms * cron->every_ms;
  /* The least instant behind which nothing more comes until now is the last one. */
  int64_t low = first_ms, high = now_ms;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (da_cron_next(cron, zone, middle) > now_ms)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}
