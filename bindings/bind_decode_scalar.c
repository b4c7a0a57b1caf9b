/* bind_decode_scalar.c - strings, numbers and words of failure for the decoder. See bind_decode.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "../host/base/text.h"
#include "bind_decode.h"

bool bind_decode_fail_as(bind_decoder *d, da_status status, const char *at, const char *words)
{
  d->status = da_fail(d->err, status, "byte %zu: %s", (size_t)(at - d->start), words);
  return false;
}

bool bind_decode_fail(bind_decoder *d, const char *at, const char *words)
{
  return bind_decode_fail_as(d, DA_EINVAL, at, words);
}

bool bind_decode_fail_quoting(bind_decoder *d, const char *at, const char *words, const char *quoted)
{
  char text[160];
  (void)snprintf(text, sizeof text, "%s \"%.100s\"", words, quoted);
  return bind_decode_fail(d, at, text);
}

bool bind_decode_expect(bind_decoder *d, char byte, const char *words)
{
  skip_space(d);
  if (d->at == d->end || *d->at != byte) return bind_decode_fail(d, d->at, words);
  d->at++;
  return true;
}

/* Room for len bytes; a userdata, if one is needed, is pushed. */
static char *get_scratch(bind_decoder *d, size_t len, bool *pushed)
{
  *pushed = len > sizeof d->scratch;
  return *pushed ? lua_newuserdatauv(d->L, len, 0) : d->scratch;
}

static void push_scratch(bind_decoder *d, const char *bytes, size_t len, bool pushed)
{
  lua_pushlstring(d->L, bytes, len);
  if (pushed) lua_remove(d->L, -2);
}

/* ---- strings ---- */

/* d->at is behind the opening quote; moves it behind the closing one and tells whether there is a backslash between. */
static bool scan_string(bind_decoder *d, da_slice *raw, bool *escaped)
{
  const char *begin = d->at;
  const char *p = begin;
  *escaped = false;
  for (;;) {
    p += da_text_plain(p, (size_t)(d->end - p));
    if (p == d->end) return bind_decode_fail(d, p, "the text ends within a string");
    if (*p == '"') break;
    if (*p == '\\') {
      *escaped = true;
      if (d->end - p < 2) return bind_decode_fail(d, p, "the text ends within a string");
      p += (unsigned char)p[1] < 0x80 ? 2 : 1;
      continue;
    }
    if ((unsigned char)*p < 0x20) return bind_decode_fail(d, p, "a control byte in a string must be escaped");
    size_t step = da_text_sequence(p, (size_t)(d->end - p));
    if (step == 0) return bind_decode_fail(d, p, "not UTF-8");
    p += step;
  }
  *raw = da_slice_make(begin, (size_t)(p - begin));
  d->at = p + 1;
  return true;
}

/* Four hex digits, or -1. */
static int32_t read_hex(const char *p, const char *end)
{
  if (end - p < 4) return -1;
  int32_t value = 0;
  for (int i = 0; i < 4; i++) {
    char c = p[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

/* *p is behind "\u" and moves behind the escape, both halves of a pair. */
static bool read_point(bind_decoder *d, const char **p, const char *end, uint32_t *point)
{
  const char *at = *p - 2;
  int32_t high = read_hex(*p, end);
  if (high < 0) return bind_decode_fail(d, at, "\\u needs four hex digits");
  *p += 4;
  *point = (uint32_t)high;
  if (high < 0xd800 || high > 0xdfff) return true;
  int32_t low = end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' ? read_hex(*p + 2, end) : -1;
  if (high > 0xdbff || low < 0xdc00 || low > 0xdfff) return bind_decode_fail(d, at, "half a surrogate pair");
  *p += 6;
  *point = 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
  return true;
}

/* The text of a string with escapes never gets longer by resolving them. */
static bool unescape(bind_decoder *d, da_slice raw, char *out, size_t *len)
{
  static const char letters[] = "\"\\/bfnrt";
  static const char bytes[] = "\"\\/\b\f\n\r\t";
  const char *end = raw.ptr + raw.len;
  char *to = out;
  for (const char *p = raw.ptr; p < end;) {
    const char *slash = memchr(p, '\\', (size_t)(end - p));
    size_t run = (size_t)((slash != NULL ? slash : end) - p);
    memcpy(to, p, run);
    to += run;
    if (slash == NULL) break;
    p = slash + 2; /* scan_string() has seen that a byte follows */
    if (slash[1] == 'u') {
      uint32_t point = 0;
      if (!read_point(d, &p, end, &point)) return false;
      to += da_text_put_utf8(to, point);
      continue;
    }
    const char *letter = slash[1] != '\0' ? strchr(letters, slash[1]) : NULL;
    if (letter == NULL) return bind_decode_fail(d, slash, "unknown escape");
    *to++ = bytes[letter - letters];
  }
  *len = (size_t)(to - out);
  return true;
}

bool bind_decode_push_string(bind_decoder *d)
{
  da_slice raw = DA_NONE;
  bool escaped = false;
  d->at++;
  if (!scan_string(d, &raw, &escaped)) return false;
  if (!escaped) {
    lua_pushlstring(d->L, raw.ptr, raw.len);
    return true;
  }
  bool pushed = false;
  size_t len = 0;
  char *text = get_scratch(d, raw.len, &pushed);
  if (!unescape(d, raw, text, &len)) return false;
  push_scratch(d, text, len, pushed);
  return true;
}

bool bind_decode_string(bind_decoder *d)
{
  if (!bind_decode_push_string(d)) return false;
  da_slice s = top_string(d->L);
  if (s.len < 7 || s.ptr[0] != '_') return true;
  bool negative = da_slice_eq(s, DA_LIT(DA_TEXT_NEG_INF));
  if (!negative && !da_slice_eq(s, DA_LIT(DA_TEXT_INF))) return true;
  lua_pop(d->L, 1);
  lua_pushnumber(d->L, negative ? -HUGE_VAL : HUGE_VAL);
  return true;
}

/* ---- numbers  ---- */

static bool skip_digits(bind_decoder *d, const char *words)
{
  if (!is_digit(d, d->at)) return bind_decode_fail(d, d->at, words);
  while (is_digit(d, d->at)) d->at++;
  return true;
}

bool bind_decode_number(bind_decoder *d)
{
  const char *begin = d->at;
  bool whole = true;
  if (*d->at == '-') d->at++;
  const char *first = d->at;
  if (!skip_digits(d, "a number needs digits")) return false;
  if (*first == '0' && d->at - first > 1) return bind_decode_fail(d, first, "a number does not begin with 0");
  if (d->at < d->end && *d->at == '.') {
    whole = false;
    d->at++;
    if (!skip_digits(d, "a fraction needs digits")) return false;
  }
  if (d->at < d->end && (*d->at | 0x20) == 'e') {
    whole = false;
    d->at++;
    if (d->at < d->end && (*d->at == '+' || *d->at == '-')) d->at++;
    if (!skip_digits(d, "an exponent needs digits")) return false;
  }
  da_slice token = da_slice_make(begin, (size_t)(d->at - begin));
  int64_t integer = 0;
  double number = 0;
  if (whole && da_text_read_int(token, &integer)) {
    lua_pushinteger(d->L, integer);
    return true;
  }
  /* Also "-0", and integers beyond 64 bits, as peers write them whose numbers are all doubles. */
  if (!da_text_read_float(token, &number)) return bind_decode_fail(d, begin, "a number too large for a double");
  lua_pushnumber(d->L, number);
  return true;
}

/* ---- scalars in tags ---- */

bool bind_decode_plain_string(bind_decoder *d)
{
  skip_space(d);
  if (d->at == d->end || *d->at != '"') return bind_decode_fail(d, d->at, "expected a string");
  return bind_decode_push_string(d);
}

bool bind_decode_i64(bind_decoder *d)
{
  const char *at = d->at;
  if (!bind_decode_plain_string(d)) return false;
  int64_t value = 0;
  if (!da_text_read_int(top_string(d->L), &value)) return bind_decode_fail(d, at, "not a 64-bit integer");
  lua_pop(d->L, 1);
  lua_pushinteger(d->L, value);
  return true;
}

bool bind_decode_bytes(bind_decoder *d)
{
  const char *at = d->at;
  if (!bind_decode_plain_string(d)) return false;
  da_slice text = top_string(d->L);
  ptrdiff_t len = da_text_base64_len(text);
  if (len < 0) return bind_decode_fail(d, at, "not base64");
  bool pushed = false;
  char *bytes = get_scratch(d, (size_t)len, &pushed);
  if (!da_text_base64_read(text, bytes)) return bind_decode_fail(d, at, "not base64");
  push_scratch(d, bytes, (size_t)len, pushed);
  lua_remove(d->L, -2);
  return true;
}
