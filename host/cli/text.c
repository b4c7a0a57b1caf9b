/* text.c - small texts for people.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../base/limits.h"

/* ---- durations and times ------------------------------------------------------------------------------- */

typedef struct unit {
  const char *name;
  int64_t ms;
} unit;

static const unit units[] = {{"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}};

void cli_duration_text(int64_t ms, char out[32])
{
  if (ms < 0) ms = 0;
  if (ms < 1000) {
    (void)snprintf(out, 32, "%d ms", (int)ms);
    return;
  }
  if (ms < 10000) {
    (void)snprintf(out, 32, "%d.%d s", (int)(ms / 1000), (int)(ms % 1000 / 100));
    return;
  }
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (ms < units[i].ms) continue;
    int whole = (int)(ms / units[i].ms); /* at most 2^53 ms / 1 d: 9 digits */
    const unit *next = i + 1 < sizeof units / sizeof *units ? &units[i + 1] : NULL;
    int rest = next != NULL ? (int)(ms % units[i].ms / next->ms) : 0;
    if (rest > 0 && next != NULL)
      (void)snprintf(out, 32, "%d %s %d %s", whole, units[i].name, rest, next->name);
    else
      (void)snprintf(out, 32, "%d %s", whole, units[i].name);
    return;
  }
}

void cli_time_text(int64_t ms, char out[40])
{
  time_t seconds = (time_t)(ms / 1000);
  struct tm parts;
  char zone[8] = "";
  if (localtime_r(&seconds, &parts) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &parts) == 0) {
    (void)snprintf(out, 40, "%lld ms", (long long)ms);
    return;
  }
  (void)strftime(zone, sizeof zone, "%z", &parts); /* +0100 */
  if (strlen(zone) == 5) (void)snprintf(out + strlen(out), 8, "%.3s:%.2s", zone, zone + 3);
}

static double unit_ms(const char *name, size_t len)
{
  static const struct {
    const char *name;
    double ms;
  } known[] = {{"ms", 1},     {"s", 1e3},     {"sec", 1e3},    {"m", 60e3}, {"min", 60e3},
               {"h", 3600e3}, {"d", 86400e3}, {"w", 604800e3}, {"", 1e3}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0) return known[i].ms;
  return 0;
}

bool cli_duration_read(const char *text, int64_t *ms)
{
  double total = 0;
  const char *at = text;
  do {
    if (*at < '0' || *at > '9') return false; /* no sign, no hexadecimal, no "inf" */
    size_t digits = strspn(at, "0123456789.");
    char number[32];
    if (digits >= sizeof number) return false;
    memcpy(number, at, digits);
    number[digits] = '\0';
    char *end;
    double value = strtod(number, &end);
    if (*end != '\0') return false;
    at += digits;
    size_t letters = strspn(at, "abcdefghijklmnopqrstuvwxyz");
    double factor = unit_ms(at, letters);
    if (factor <= 0) return false;
    total += value * factor;
    at += letters;
  } while (*at != '\0');
  if (!(total <= (double)DA_TIME_MAX)) return false;
  *ms = (int64_t)total;
  return true;
}

bool cli_size_read(const char *text, size_t *bytes)
{
  if (*text < '0' || *text > '9') return false;
  char *end;
  unsigned long long value = strtoull(text, &end, 10);
  unsigned shift = 0;
  switch (*end) {
  case 'k':
  case 'K':
    shift = 10;
    break;
  case 'm':
  case 'M':
    shift = 20;
    break;
  case 'g':
  case 'G':
    shift = 30;
    break;
  default:
    break;
  }
  if (shift > 0) end++;
  if (*end != '\0' || value > (SIZE_MAX >> 1 >> shift)) return false;
  *bytes = (size_t)value << shift;
  return true;
}

/* ---- nearest names ------------------------------------------------------------------------------------- */

enum { NAME_MAX_COMPARED = 64 };

static size_t least(size_t a, size_t b)
{
  return a < b ? a : b;
}

size_t cli_distance(da_slice a, da_slice b)
{
  a.len = least(a.len, NAME_MAX_COMPARED);
  b.len = least(b.len, NAME_MAX_COMPARED);
  size_t rows[3][NAME_MAX_COMPARED + 1]; /* the row before the last, the last, the one at hand */
  for (size_t j = 0; j <= b.len; j++) rows[1][j] = j;
  for (size_t i = 1; i <= a.len; i++) {
    rows[2][0] = i;
    for (size_t j = 1; j <= b.len; j++) {
      bool same = a.ptr[i - 1] == b.ptr[j - 1];
      size_t best = least(rows[1][j - 1] + (same ? 0 : 1), least(rows[1][j], rows[2][j - 1]) + 1);
      if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
        best = least(best, rows[0][j - 2] + 1);
      rows[2][j] = best;
    }
    memcpy(rows[0], rows[1], sizeof rows[0]);
    memcpy(rows[1], rows[2], sizeof rows[1]);
  }
  return rows[1][b.len];
}

void cli_nearest_offer(cli_nearest *nearest, da_slice candidate)
{
  size_t longer = nearest->wanted.len > candidate.len ? nearest->wanted.len : candidate.len;
  size_t limit = longer <= 3 ? 1 : longer <= 8 ? 2 : least(longer, NAME_MAX_COMPARED) / 3;
  size_t distance = cli_distance(nearest->wanted, candidate);
  /* What was typed may be the beginning of a longer name. */
  bool begun = nearest->wanted.len >= 3 && da_slice_starts(candidate, nearest->wanted);
  if (begun) distance = least(distance, limit);
  if (distance > limit || (nearest->best.len > 0 && distance >= nearest->distance)) return;
  nearest->best = candidate;
  nearest->distance = distance;
}

/* ---- widths -------------------------------------------------------------------------------------------- */

/* Reads one character; malformed bytes count as one character each. */
static size_t take(da_slice text, size_t at, uint32_t *point)
{
  const unsigned char *p = (const unsigned char *)text.ptr + at;
  size_t left = text.len - at;
  size_t len = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
  if (len == 0 || len > left) {
    *point = '?';
    return 1;
  }
  static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
  *point = p[0] & first[len];
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xc0) != 0x80) {
      *point = '?';
      return 1;
    }
    *point = *point << 6 | (p[i] & 0x3f);
  }
  return len;
}

static bool is_control(uint32_t c)
{
  return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* Terminals give East Asian wide characters and pictographs two columns, combining marks none. A control character is
 * shown as '?'. */
static size_t columns_of(uint32_t c)
{
  if ((c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c <= 0xfe0f)) return 0;
  if ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
      (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
      (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd))
    return 2;
  return 1;
}

size_t cli_width(da_slice text)
{
  size_t width = 0;
  for (size_t at = 0; at < text.len;) {
    uint32_t point;
    at += take(text, at, &point);
    width += columns_of(point);
  }
  return width;
}

void cli_fit(da_buf *out, da_slice text, size_t columns)
{
  if (columns == 0) return;
  bool cut = cli_width(text) > columns;
  size_t limit = cut ? columns - 1 : columns;
  size_t width = 0;
  for (size_t at = 0; at < text.len;) {
    uint32_t point;
    size_t len = take(text, at, &point);
    bool control = is_control(point);
    size_t wide = columns_of(point);
    if (width + wide > limit) break;
    if (control || (len == 1 && (unsigned char)text.ptr[at] >= 0x80))
      da_buf_add_byte(out, '?');
    else
      da_buf_add(out, text.ptr + at, len);
    width += wide;
    at += len;
  }
  if (cut) da_buf_add(out, "\xe2\x80\xa6", 3);
}

/* Length of the colour sequence ESC [ digits and semicolons m at `at`, or 0. */
static size_t colour_at(da_slice text, size_t at)
{
  if (text.len - at < 3 || text.ptr[at] != '\x1b' || text.ptr[at + 1] != '[') return 0;
  size_t end = at + 2;
  while (end < text.len && ((text.ptr[end] >= '0' && text.ptr[end] <= '9') || text.ptr[end] == ';')) end++;
  return end < text.len && text.ptr[end] == 'm' ? end + 1 - at : 0;
}

/* A carriage return in the middle of a line: what stands before it would be overwritten. */
static void restart_line(da_buf *out, size_t from)
{
  while (out->len > from && out->ptr[out->len - 1] != '\n') out->len--;
}

/* output: what a script prints. */
static void clean(da_buf *out, da_slice text, bool output)
{
  bool painted = false;
  size_t from = out->len;
  for (size_t at = 0, len; at < text.len; at += len) {
    uint32_t point = 0;
    size_t colour = output ? colour_at(text, at) : 0;
    len = colour > 0 ? colour : take(text, at, &point);
    bool kept = colour > 0 || point == '\n' || point == '\t';
    painted = painted || colour > 0;
    if (output && point == '\r') {
      if (at + 1 < text.len && text.ptr[at + 1] != '\n') restart_line(out, from);
    } else if (!kept && (is_control(point) || (len == 1 && (unsigned char)text.ptr[at] >= 0x80)))
      da_buf_add_byte(out, '?');
    else
      da_buf_add(out, text.ptr + at, len);
  }
  if (painted) da_buf_add(out, "\x1b[0m", 4);
}

void cli_clean(da_buf *out, da_slice text)
{
  clean(out, text, false);
}

void cli_clean_output(da_buf *out, da_slice text)
{
  clean(out, text, true);
}

void cli_shell_word(da_buf *out, da_slice word)
{
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=+,@%";
  bool quoted = word.len == 0;
  for (size_t i = 0; i < word.len; i++) quoted = quoted || memchr(plain, word.ptr[i], sizeof plain - 1) == NULL;
  if (!quoted) {
    da_buf_add_slice(out, word);
    return;
  }
  da_buf_add_byte(out, '\'');
  for (size_t i = 0; i < word.len; i++) {
    if (word.ptr[i] == '\'')
      da_buf_add_slice(out, DA_LIT("'\\''"));
    else
      da_buf_add(out, word.ptr + i, 1);
  }
  da_buf_add_byte(out, '\'');
}

void cli_pad(da_buf *out, size_t from, size_t columns)
{
  size_t width = cli_width(da_slice_make(out->ptr + from, out->len - from));
  for (; width < columns; width++) da_buf_add_byte(out, ' ');
}

enum { TOLD_MAX = 64 * 1024 };

bool cli_first_time(da_buf *told, da_slice key)
{
  da_buf line = {0};
  da_buf_addf(&line, "\n%.*s\n", DA_FMT(key));
  bool known = told->len > 0 && memmem(told->ptr, told->len, line.ptr, line.len) != NULL;
  if (!known && told->len < TOLD_MAX) da_buf_add_slice(told, da_buf_slice(&line));
  da_buf_free(&line);
  return !known;
}

/* ---- help ---------------------------------------------------------------------------------------------- */

enum { MEANT_COLUMNS = 100 }; /* a line that would have taken the next one's first word ends where it was meant to */

/* Appends the words behind column *at, and goes on under `indent`. */
static void add_words(da_buf *out, da_slice words, size_t *at, size_t indent, size_t columns)
{
  for (size_t i = 0; i < words.len;) {
    da_slice word = da_slice_make(words.ptr + i, 0);
    while (i + word.len < words.len && word.ptr[word.len] != ' ') word.len++;
    i += word.len + 1;
    if (word.len == 0) continue;
    size_t width = cli_width(word);
    if (*at > indent && *at + 1 + width > columns) {
      da_buf_addf(out, "\n%*s", (int)indent, "");
      *at = indent;
    }
    if (*at > indent) da_buf_add_byte(out, ' ');
    *at += width + (*at > indent ? 1 : 0);
    da_buf_add_slice(out, word);
  }
}

static void add_row(da_buf *out, da_slice row, size_t columns)
{
  size_t start = 0;
  while (start < row.len && row.ptr[start] == ' ') start++;
  size_t second = start;
  for (size_t i = start; i + 2 < row.len && second == start; i++)
    if (row.ptr[i] == ' ' && row.ptr[i + 1] == ' ') second = i + 2;
  while (second > start && second < row.len && row.ptr[second] == ' ') second++;
  size_t at = second;
  if (cli_width(row) <= columns) second = row.len;
  da_buf_add(out, row.ptr, second);
  add_words(out, da_slice_make(row.ptr + second, row.len - second), &at, at, columns);
}

void cli_wrap(da_buf *out, da_slice text, size_t columns)
{
  size_t at = 0, before = 0; /* columns of the paragraph's last line so far, and of the line that was read before */
  while (text.len > 0) {
    ptrdiff_t end = da_slice_find(text, '\n');
    da_slice line = da_slice_make(text.ptr, end < 0 ? text.len : (size_t)end);
    size_t used = line.len + (end < 0 ? 0 : 1);
    text = da_slice_make(text.ptr + used, text.len - used);
    bool row = line.len == 0 || line.ptr[0] == ' ';
    ptrdiff_t first = da_slice_find(line, ' ');
    size_t word = first < 0 ? line.len : (size_t)first;
    if (at > 0 && (row || before + 1 + word <= MEANT_COLUMNS)) {
      da_buf_add_byte(out, '\n');
      at = 0;
    }
    before = line.len;
    if (row)
      add_row(out, line, columns);
    else
      add_words(out, line, &at, 0, columns);
    if (row) da_buf_add_byte(out, '\n');
  }
  if (at > 0) da_buf_add_byte(out, '\n');
}
