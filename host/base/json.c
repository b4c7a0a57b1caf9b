/* json.c - the strict door of cJSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <stdlib.h>

#include "limits.h"
#include "text.h"

/* ---- the check ----------------------------------------------------------------------------------------- */

typedef struct scan {
  const unsigned char *at;
  const unsigned char *begin;
  const unsigned char *end;
  const char *wrong; /* NULL: nothing yet */
  bool nul;          /* a string holds \u0000 */
} scan;

static bool fault(scan *s, const char *words)
{
  s->wrong = words;
  return false;
}

static void skip_space(scan *s)
{
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++;
}

static bool is_digit(const scan *s)
{
  return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static bool digits(scan *s)
{
  if (!is_digit(s)) return fault(s, "a number without a digit");
  while (is_digit(s)) s->at++;
  return true;
}

static bool number(scan *s)
{
  if (*s->at == '-') s->at++;
  bool zero = s->at < s->end && *s->at == '0';
  const unsigned char *first = s->at;
  if (!digits(s)) return false;
  if (zero && s->at - first > 1) return fault(s, "a number with a leading zero");
  if (s->at < s->end && *s->at == '.') {
    s->at++;
    if (!digits(s)) return false;
  }
  if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
    s->at++;
    if (s->at < s->end && (*s->at == '+' || *s->at == '-')) s->at++;
    if (!digits(s)) return false;
  }
  return true;
}

/* The four digits behind \u, or -1. */
static int unit(scan *s)
{
  if (s->end - s->at < 4) return -1;
  int value = 0;
  for (int i = 0; i < 4; i++) {
    int digit = da_text_hex((char)s->at[i]);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  s->at += 4;
  return value;
}

static bool escape(scan *s)
{
  s->at++;
  if (s->at == s->end) return fault(s, "a string without an end");
  unsigned char c = *s->at++;
  if (c != 'u') return strchr("\"\\/bfnrt", c) != NULL && c != '\0' ? true : fault(s, "an unknown escape");
  int value = unit(s);
  if (value < 0) return fault(s, "an escape \\u without four hex digits");
  if (value == 0) s->nul = true;
  if (value >= 0xdc00 && value <= 0xdfff) return fault(s, "half a surrogate pair");
  if (value < 0xd800 || value > 0xdbff) return true;
  if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u') return fault(s, "half a surrogate pair");
  s->at += 2;
  value = unit(s);
  return value >= 0xdc00 && value <= 0xdfff ? true : fault(s, "half a surrogate pair");
}

static bool string(scan *s)
{
  s->at++;
  for (;;) {
    s->at += da_text_plain((const char *)s->at, (size_t)(s->end - s->at));
    if (s->at == s->end || *s->at == '"') break;
    if (*s->at == '\\') {
      if (!escape(s)) return false;
      continue;
    }
    if (*s->at < 0x20) return fault(s, "a control byte in a string");
    size_t len = da_text_sequence((const char *)s->at, (size_t)(s->end - s->at));
    if (len == 0) return fault(s, "bytes that are not UTF-8");
    s->at += len;
  }
  if (s->at == s->end) return fault(s, "a string without an end");
  s->at++;
  return true;
}

static bool word(scan *s, const char *text)
{
  size_t len = strlen(text);
  if ((size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0) return fault(s, "an unknown word");
  s->at += len;
  return true;
}

static bool scalar(scan *s)
{
  switch (*s->at) {
  case '"':
    return string(s);
  case 't':
    return word(s, "true");
  case 'f':
    return word(s, "false");
  case 'n':
    return word(s, "null");
  default:
    break;
  }
  if (*s->at == '-' || is_digit(s)) return number(s);
  return fault(s, "no value");
}

static bool member_name(scan *s)
{
  skip_space(s);
  if (s->at == s->end || *s->at != '"') return fault(s, "no member name");
  if (!string(s)) return false;
  skip_space(s);
  if (s->at == s->end || *s->at != ':') return fault(s, "no ':' behind a member name");
  s->at++;
  return true;
}

/* Goes on behind a value: closes what ends here, then stands before the next value. *depth is 0 when all is closed. */
static bool after_value(scan *s, const char *stack, size_t *depth)
{
  for (;;) {
    skip_space(s);
    if (*depth == 0) return true;
    char close = stack[*depth - 1];
    if (s->at == s->end) return fault(s, close == ']' ? "an array without an end" : "an object without an end");
    if (*s->at == ',') {
      s->at++;
      return close == '}' ? member_name(s) : true;
    }
    if (*s->at != (unsigned char)close) return fault(s, close == ']' ? "no ',' or ']'" : "no ',' or '}'");
    s->at++;
    (*depth)--;
  }
}

static bool check(scan *s)
{
  char stack[DA_DEPTH_MAX]; /* the closing byte of each open array or object */
  size_t depth = 0;
  for (;;) {
    skip_space(s);
    if (s->at == s->end) return fault(s, "no value");
    if (*s->at == '[' || *s->at == '{') {
      if (depth == DA_DEPTH_MAX) return fault(s, "nested too deep");
      char close = *s->at == '[' ? ']' : '}';
      s->at++;
      skip_space(s);
      stack[depth++] = close;
      if (s->at == s->end || *s->at != (unsigned char)close) {
        if (close == '}' && !member_name(s)) return false;
        continue;
      }
      s->at++;
      depth--;
    } else if (!scalar(s)) {
      return false;
    }
    if (!after_value(s, stack, &depth)) return false;
    if (depth > 0) continue;
    return s->at == s->end ? true : fault(s, "more text behind the value");
  }
}

static da_status checked(da_slice text, bool *nul, da_err *err)
{
  const unsigned char *begin = (const unsigned char *)(text.len > 0 ? text.ptr : "");
  scan s = {.at = begin, .begin = begin, .end = begin + text.len};
  bool good = check(&s);
  *nul = s.nul;
  if (good) return DA_OK;
  return da_fail(err, DA_EINVAL, "not JSON: %s at byte %zu", s.wrong, (size_t)(s.at - s.begin) + 1);
}

da_status da_json_check(da_slice text, da_err *err)
{
  bool nul;
  return checked(text, &nul, err);
}

cJSON *da_json_parse(da_slice text, da_err *err)
{
  bool nul = false;
  if (checked(text, &nul, err) != DA_OK) return NULL;
  if (nul) {
    (void)da_fail(err, DA_EINVAL, "a string with the character U+0000 has no place here");
    return NULL;
  }
  cJSON *value = cJSON_ParseWithLength(text.ptr, text.len);
  if (value == NULL) (void)da_fail(err, DA_EINVAL, "not JSON that can be read here");
  return value;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

const cJSON *da_json_get(const cJSON *object, const char *name)
{
  return cJSON_GetObjectItemCaseSensitive(object, name);
}

da_slice da_json_text(const cJSON *object, const char *name)
{
  const char *text = cJSON_GetStringValue(da_json_get(object, name));
  return da_slice_of(text);
}

bool da_json_flag(const cJSON *object, const char *name)
{
  return cJSON_IsTrue(da_json_get(object, name)) != 0;
}

bool da_json_int(const cJSON *object, const char *name, int64_t *out)
{
  const cJSON *item = da_json_get(object, name);
  if (!cJSON_IsNumber(item)) return false;
  double value = item->valuedouble;
  if (!(value >= -9007199254740992.0 && value <= 9007199254740992.0)) return false;
  int64_t whole = (int64_t)value;
  if ((double)whole != value) return false;
  *out = whole;
  return true;
}

/* ---- building ------------------------------------------------------------------------------------------ */

static cJSON *made(cJSON *value)
{
  if (value == NULL) abort(); /* out of memory: no room could go on in a defined way */
  return value;
}

cJSON *da_json_object(void)
{
  return made(cJSON_CreateObject());
}

cJSON *da_json_array(void)
{
  return made(cJSON_CreateArray());
}

void da_json_put(cJSON *object, const char *name, cJSON *given)
{
  if (cJSON_AddItemToObject(object, name, given) == 0) abort();
}

void da_json_add(cJSON *array, cJSON *given)
{
  if (cJSON_AddItemToArray(array, given) == 0) abort();
}

cJSON *da_json_string(da_slice text)
{
  da_buf clean = {0};
  da_buf_reserve(&clean, text.len + 1);
  for (size_t i = 0; i < text.len;) {
    size_t len = text.ptr[i] == '\0' ? 0 : da_text_sequence(text.ptr + i, text.len - i);
    if (len == 0)
      da_buf_add(&clean, "\xef\xbf\xbd", 3);
    else
      da_buf_add(&clean, text.ptr + i, len);
    i += len == 0 ? 1 : len;
  }
  da_buf_add_byte(&clean, 0);
  cJSON *value = made(cJSON_CreateString(clean.ptr));
  da_buf_free(&clean);
  return value;
}

void da_json_put_text(cJSON *object, const char *name, da_slice text)
{
  da_json_put(object, name, da_json_string(text));
}

void da_json_put_int(cJSON *object, const char *name, int64_t value)
{
  da_json_put(object, name, made(cJSON_CreateNumber((double)value)));
}

void da_json_put_flag(cJSON *object, const char *name, bool value)
{
  da_json_put(object, name, made(cJSON_CreateBool(value)));
}

void da_json_put_raw(cJSON *object, const char *name, da_slice json)
{
  char *text = da_xstrndup(json);
  da_json_put(object, name, made(cJSON_CreateRaw(text)));
  free(text);
}

void da_json_print(const cJSON *value, da_buf *out)
{
  char *text = cJSON_PrintUnformatted(value);
  if (text == NULL) abort();
  da_buf_add(out, text, strlen(text));
  cJSON_free(text);
}
