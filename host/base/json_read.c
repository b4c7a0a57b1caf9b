/* json_read.c - JSON member by member, over text that was checked.
 * SPDX-License-Identifier: Apache-2.0 */
#include "json_read.h"

#include "text.h"

static bool is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *at, const char *end)
{
  while (at < end && is_space(*at)) at++;
  return at;
}

/* Behind the string that begins at `at`. */
static const char *skip_string(const char *at, const char *end)
{
  at++;
  for (;;) {
    at += da_text_plain(at, (size_t)(end - at));
    DA_ASSERT(at < end);
    if (*at == '"') return at + 1;
    at += *at == '\\' ? 2 : 1;
  }
}

/* Behind the array or object. Which bracket closes which was checked, so counting them is enough. */
static const char *skip_container(const char *at, const char *end)
{
  size_t depth = 0;
  for (;;) {
    DA_ASSERT(at < end);
    switch (*at) {
    case '"':
      at = skip_string(at, end);
      continue;
    case '{':
    case '[':
      depth++;
      break;
    case '}':
    case ']':
      depth--;
      break;
    default:
      break;
    }
    at++;
    if (depth == 0) return at;
  }
}

static const char *skip_word(const char *at, const char *end)
{
  while (at < end && *at != ',' && *at != ']' && *at != '}' && !is_space(*at)) at++;
  return at;
}

static da_json_item item_at(const char *at, const char *end)
{
  da_json_item item = {.text = {at, 0}};
  const char *behind;
  DA_ASSERT(at < end);
  switch (*at) {
  case '{':
  case '[':
    item.kind = *at == '{' ? DA_JSON_OBJECT : DA_JSON_ARRAY;
    behind = skip_container(at, end);
    break;
  case '"':
    item.kind = DA_JSON_STRING;
    behind = skip_string(at, end);
    break;
  default:
    item.kind = *at == 'n' ? DA_JSON_NULL : *at == 't' || *at == 'f' ? DA_JSON_BOOLEAN : DA_JSON_NUMBER;
    behind = skip_word(at, end);
  }
  item.text.len = (size_t)(behind - at);
  return item;
}

da_json_item da_json_item_of(da_slice text)
{
  const char *end = text.ptr + text.len;
  return item_at(skip_space(text.ptr, end), end);
}

/* ---- walks --------------------------------------------------------------------------------------------- */

da_json_walk da_json_walk_of(da_json_item item)
{
  DA_ASSERT(item.kind == DA_JSON_OBJECT || item.kind == DA_JSON_ARRAY);
  const char *end = item.text.ptr + item.text.len - 1; /* the closing bracket */
  return (da_json_walk){skip_space(item.text.ptr + 1, end), end, item.kind == DA_JSON_OBJECT};
}

bool da_json_walk_next(da_json_walk *walk, da_arena *arena, da_slice *name, da_json_item *item)
{
  const char *at = walk->at;
  if (at == walk->end) return false;
  if (walk->members) {
    da_json_item text = item_at(at, walk->end);
    *name = da_json_item_string(text, arena);
    at = skip_space(at + text.text.len, walk->end);
    at = skip_space(at + 1, walk->end); /* the colon */
  }
  *item = item_at(at, walk->end);
  at = skip_space(at + item->text.len, walk->end);
  if (at < walk->end) at = skip_space(at + 1, walk->end); /* the comma */
  walk->at = at;
  return true;
}

/* ---- scalars ------------------------------------------------------------------------------------------- */

/* The code unit that four hex digits spell. */
static uint32_t unit(const char *at)
{
  uint32_t value = 0;
  for (int i = 0; i < 4; i++) {
    char c = at[i];
    value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

/* *at stands behind "\u" and moves behind the escape, both halves of a pair. */
static size_t put_point(const char **at, char *out)
{
  uint32_t point = unit(*at);
  *at += 4;
  if (point >= 0xd800 && point <= 0xdbff) {
    point = 0x10000 + ((point - 0xd800) << 10) + (unit(*at + 2) - 0xdc00);
    *at += 6;
  }
  return da_text_put_utf8(out, point);
}

da_slice da_json_item_string(da_json_item item, da_arena *arena)
{
  static const char letters[] = "\"\\/bfnrt";
  static const char bytes[] = "\"\\/\b\f\n\r\t";
  DA_ASSERT_OP(item.kind, ==, DA_JSON_STRING);
  const char *at = item.text.ptr + 1;
  const char *end = item.text.ptr + item.text.len - 1;
  const char *slash = memchr(at, '\\', (size_t)(end - at));
  if (slash == NULL) return da_slice_make(at, (size_t)(end - at));
  char *out = da_arena_alloc(arena, (size_t)(end - at)); /* resolved it is shorter */
  char *to = out;
  for (; slash != NULL; slash = memchr(at, '\\', (size_t)(end - at))) {
    memcpy(to, at, (size_t)(slash - at));
    to += slash - at;
    at = slash + 2;
    if (slash[1] == 'u')
      to += put_point(&at, to);
    else
      *to++ = bytes[strchr(letters, slash[1]) - letters];
  }
  memcpy(to, at, (size_t)(end - at));
  to += end - at;
  return da_slice_make(out, (size_t)(to - out));
}

bool da_json_item_int(da_json_item item, int64_t *out)
{
  return item.kind == DA_JSON_NUMBER && da_text_read_int(item.text, out);
}
