/* text.c - numbers, UTF-8 and base64 as JSON text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- numbers ---- */

static const char digit_pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243"
    "4445464748495051525354555657585960616263646566676869707172737475767778798081828384858687"
    "888990919293949596979899";

/* Powers of ten that a double holds exactly. */
static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                             1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

size_t da_text_int(char *out, int64_t value)
{
  char digits[DA_TEXT_INT_MAX];
  char *at = digits + sizeof digits;
  uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  while (rest >= 100) {
    at -= 2;
    memcpy(at, digit_pairs + 2 * (rest % 100), 2);
    rest /= 100;
  }
  if (rest >= 10) {
    at -= 2;
    memcpy(at, digit_pairs + 2 * rest, 2);
  } else {
    *--at = (char)('0' + rest);
  }
  if (value < 0) *--at = '-';
  size_t len = (size_t)(digits + sizeof digits - at);
  memcpy(out, at, len);
  return len;
}

/* A decimal m / 10^k of at most 15 digits that reads back is the text that %.15g gives, since 15 digits survive the way
 * through a double (DBL_DIG); m and 10^k are exact, so one division rounds correctly. Saves snprintf and strtod for
 * nearly every number that people write. Returns 0 if the value is not of this kind. */
static size_t short_float(char *out, double value)
{
  double size = fabs(value);
  if (size == 0) {
    memcpy(out, signbit(value) ? "-0.0" : "0.0", 4);
    return signbit(value) ? 4 : 3;
  }
  if (!(size >= 1e-4 && size < 1e15)) return 0;
  for (unsigned k = 1; k <= 15; k++) {
    double scaled = size * ten[k];
    if (scaled >= 1e15) return 0;
    int64_t m = (int64_t)(scaled + 0.5);
    if ((double)m / ten[k] != size) continue;
    char digits[DA_TEXT_INT_MAX];
    size_t len = da_text_int(digits, m);
    size_t at = 0;
    if (signbit(value)) out[at++] = '-';
    if (len <= k) {
      memcpy(out + at, "0.000000000000000", 2 + k - len);
      memcpy(out + at + 2 + k - len, digits, len);
      return at + 2 + k;
    }
    memcpy(out + at, digits, len - k);
    at += len - k;
    out[at++] = '.';
    memcpy(out + at, digits + len - k, k);
    return at + k;
  }
  return 0;
}

size_t da_text_float(char *out, double value)
{
  size_t len = short_float(out, value);
  if (len != 0) return len;
  for (int precision = 15; precision <= 17; precision++) {
    len = (size_t)snprintf(out, DA_TEXT_FLOAT_MAX, "%.*g", precision, value);
    if (precision == 17 || strtod(out, NULL) == value) break;
  }
  if (memchr(out, '.', len) == NULL && memchr(out, 'e', len) == NULL) {
    memcpy(out + len, ".0", 2);
    len += 2;
  }
  return len;
}

/* Digits of a token that fit 64 bits, and the power of ten behind them; false if there are too many. */
static bool read_decimal(da_slice token, uint64_t *mantissa, int *exponent)
{
  const char *p = token.ptr + (token.ptr[0] == '-');
  const char *end = token.ptr + token.len;
  uint64_t m = 0;
  int point = 0;
  int digits = 0;
  int power = 0;
  bool fraction = false;
  for (; p < end && (*p | 0x20) != 'e'; p++) {
    if (*p == '.') {
      fraction = true;
      continue;
    }
    if (m != 0 || *p != '0') digits++;
    if (digits > 18) return false;
    m = m * 10 + (uint64_t)(*p - '0');
    point += fraction;
  }
  if (p < end) {
    p++;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') p++;
    for (; p < end; p++) {
      power = power * 10 + (*p - '0');
      if (power > 9999) return false;
    }
    if (negative) power = -power;
  }
  *mantissa = m;
  *exponent = power - point;
  return true;
}

static double slow_float(da_slice token)
{
  char local[128];
  char *text = token.len < sizeof local ? local : da_xmalloc(token.len + 1);
  memcpy(text, token.ptr, token.len);
  text[token.len] = '\0';
  double value = strtod(text, NULL);
  if (text != local) free(text);
  return value;
}

bool da_text_read_float(da_slice token, double *out)
{
  uint64_t mantissa = 0;
  int exponent = 0;
  /* Both operands exact means that the one operation rounds correctly (Clinger 1990). */
  if (read_decimal(token, &mantissa, &exponent) && mantissa <= (uint64_t)1 << 53 && exponent >= -22 && exponent <= 22) {
    double value = exponent < 0 ? (double)mantissa / ten[-exponent] : (double)mantissa * ten[exponent];
    *out = token.ptr[0] == '-' ? -value : value;
    return true;
  }
  *out = slow_float(token);
  return isfinite(*out);
}

bool da_text_read_int(da_slice token, int64_t *out)
{
  const char *p = token.ptr;
  size_t len = token.len;
  bool negative = len != 0 && *p == '-';
  p += negative;
  len -= negative;
  if (len == 0 || len > 19 || (*p == '0' && (len > 1 || negative))) return false;
  uint64_t value = 0;
  for (size_t i = 0; i < len; i++) {
    unsigned digit = (unsigned)(unsigned char)p[i] - '0';
    if (digit > 9) return false;
    value = value * 10 + digit; /* 19 digits stay below 2^64 */
  }
  if (value > (uint64_t)INT64_MAX + negative) return false;
  *out = negative ? (int64_t)(0 - value) : (int64_t)value;
  return true;
}

/* ---- UTF-8 and quotes ---- */

/* 0: plain. 1: a byte above ASCII. Else the letter behind the backslash; 'u' stands for \u00XX. */
static const unsigned char kinds[256] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f',  'r', 'u', 'u', /* 00 */
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',  'u', 'u', 'u', /* 10 */
    0,   0,   '"', 0,   0,   0,   0,   0,   0,   0,   0,   0,   0,    0,   0,   0,   /* 20 */
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,    0,   0,   0,   /* 30 */
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,    0,   0,   0,   /* 40 */
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   '\\', 0,   0,   0,   /* 50 */
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,    0,   0,   0,   /* 60 */
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,    0,   0,   0,   /* 70 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,    1,   1,   1,   /* 80 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,    1,   1,   1,   /* 90 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,    1,   1,   1,   /* a0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,    1,   1,   1,   /* b0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,    1,   1,   1,   /* c0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,    1,   1,   1,   /* d0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,    1,   1,   1,   /* e0 */
    1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,   1,    1,   1,   1,   /* f0 */
};

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* The high bit of each byte of w that is below 0x20, '"', '\\' or above ASCII. May also mark bytes above the lowest
 * such one (a borrow runs upwards only), so only that one says where it is. */
static inline uint64_t marks(uint64_t w)
{
  uint64_t quote = w ^ (ONES * '"');
  uint64_t slash = w ^ (ONES * '\\');
  return (w | (w - ONES * 0x20) | (quote - ONES) | (slash - ONES)) & HIGHS;
}

size_t da_text_plain(const char *s, size_t len)
{
  size_t at = 0;
  while (len - at >= 8) {
    uint64_t w = 0;
    memcpy(&w, s + at, 8);
    uint64_t marked = marks(w);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (marked != 0) return at + (size_t)__builtin_ctzll(marked) / 8;
#else
    if (marked != 0) break;
#endif
    at += 8;
  }
  while (at < len && kinds[(unsigned char)s[at]] == 0) at++;
  return at;
}

size_t da_text_sequence(const char *s, size_t len)
{
  const unsigned char *b = (const unsigned char *)s;
  if (len == 0) return 0;
  if (b[0] < 0x80) return 1;
  if (b[0] < 0xc2 || b[0] > 0xf4) return 0;
  size_t need = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
  if (len < need) return 0;
  /* The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF. */
  unsigned low = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : 0x80;
  unsigned high = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : 0xbf;
  if (b[1] < low || b[1] > high) return 0;
  for (size_t i = 2; i < need; i++)
    if ((b[i] & 0xc0) != 0x80) return 0;
  return need;
}

bool da_text_utf8(da_slice s)
{
  for (size_t at = 0; at < s.len;) {
    at += da_text_plain(s.ptr + at, s.len - at);
    if (at == s.len) break;
    size_t step = da_text_sequence(s.ptr + at, s.len - at);
    if (step == 0) return false;
    at += step;
  }
  return true;
}

int da_text_hex(char c)
{
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

size_t da_text_put_utf8(char *out, uint32_t point)
{
  if (point < 0x80) {
    out[0] = (char)point;
    return 1;
  }
  if (point < 0x800) {
    out[0] = (char)(0xc0 | point >> 6);
    out[1] = (char)(0x80 | (point & 0x3f));
    return 2;
  }
  if (point < 0x10000) {
    out[0] = (char)(0xe0 | point >> 12);
    out[1] = (char)(0x80 | (point >> 6 & 0x3f));
    out[2] = (char)(0x80 | (point & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | point >> 18);
  out[1] = (char)(0x80 | (point >> 12 & 0x3f));
  out[2] = (char)(0x80 | (point >> 6 & 0x3f));
  out[3] = (char)(0x80 | (point & 0x3f));
  return 4;
}

static void add_escape(da_buf *out, unsigned char byte)
{
  static const char hex[] = "0123456789abcdef";
  char text[6] = {'\\', (char)kinds[byte], '0', '0', hex[byte >> 4], hex[byte & 15]};
  da_buf_add(out, text, kinds[byte] == 'u' ? 6 : 2);
}

static bool quote(da_buf *out, da_slice s, bool lossy)
{
  size_t start = out->len;
  da_buf_reserve(out, s.len + 2);
  out->ptr[out->len++] = '"';
  for (size_t at = 0; at < s.len;) {
    size_t run = da_text_plain(s.ptr + at, s.len - at);
    da_buf_add(out, s.ptr + at, run);
    at += run;
    if (at == s.len) break;
    unsigned char byte = (unsigned char)s.ptr[at];
    if (byte < 0x80) {
      add_escape(out, byte);
      at++;
      continue;
    }
    size_t step = da_text_sequence(s.ptr + at, s.len - at);
    if (step != 0) {
      da_buf_add(out, s.ptr + at, step);
    } else if (lossy) {
      da_buf_add(out, "\xef\xbf\xbd", 3);
      step = 1;
    } else {
      out->len = start;
      return false;
    }
    at += step;
  }
  da_buf_add_byte(out, '"');
  return true;
}

bool da_text_quote(da_buf *out, da_slice s)
{
  return quote(out, s, false);
}

void da_text_quote_lossy(da_buf *out, da_slice s)
{
  (void)quote(out, s, true);
}

/* ---- base64 (RFC 4648, standard alphabet, padded) ---- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void da_text_base64(da_buf *out, da_slice bytes)
{
  const unsigned char *b = (const unsigned char *)bytes.ptr;
  size_t len = bytes.len;
  if (len == 0) return; /* the buffer may have no memory yet */
  da_buf_reserve(out, (len + 2) / 3 * 4);
  char *to = out->ptr + out->len;
  for (; len >= 3; b += 3, len -= 3) {
    uint32_t bits = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
    *to++ = base64_digits[bits >> 18];
    *to++ = base64_digits[bits >> 12 & 63];
    *to++ = base64_digits[bits >> 6 & 63];
    *to++ = base64_digits[bits & 63];
  }
  if (len != 0) {
    uint32_t bits = (uint32_t)b[0] << 16 | (len == 2 ? (uint32_t)b[1] << 8 : 0);
    *to++ = base64_digits[bits >> 18];
    *to++ = base64_digits[bits >> 12 & 63];
    *to++ = len == 2 ? base64_digits[bits >> 6 & 63] : '=';
    *to++ = '=';
  }
  out->len = (size_t)(to - out->ptr);
}

/* What a digit stands for, and one; 0: it is none. */
static const unsigned char base64_values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64};

static int base64_value(char c)
{
  return base64_values[(unsigned char)c] - 1;
}

static size_t padding(da_slice text)
{
  if (text.len < 4 || text.ptr[text.len - 1] != '=') return 0;
  return text.ptr[text.len - 2] == '=' ? 2 : 1;
}

ptrdiff_t da_text_base64_len(da_slice text)
{
  if (text.len % 4 != 0) return -1;
  return (ptrdiff_t)(text.len / 4 * 3 - padding(text));
}

bool da_text_base64_read(da_slice text, char *out)
{
  const char *at = text.ptr;
  size_t digits = text.len - padding(text);
  for (; digits >= 4; at += 4, digits -= 4) {
    int quad[4] = {base64_value(at[0]), base64_value(at[1]), base64_value(at[2]), base64_value(at[3])};
    if ((quad[0] | quad[1] | quad[2] | quad[3]) < 0) return false;
    *out++ = (char)(quad[0] << 2 | quad[1] >> 4);
    *out++ = (char)(quad[1] << 4 | quad[2] >> 2);
    *out++ = (char)(quad[2] << 6 | quad[3]);
  }
  uint32_t bits = 0; /* of the last two or three digits */
  unsigned have = 0;
  for (; digits > 0; at++, digits--) {
    int value = base64_value(*at);
    if (value < 0) return false;
    bits = bits << 6 | (uint32_t)value;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    *out++ = (char)(bits >> have);
    bits &= (1U << have) - 1;
  }
  return bits == 0;
}
