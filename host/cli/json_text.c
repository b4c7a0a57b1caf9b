/* json_text.c - JSON text laid out anew, and written member by member.
 * SPDX-License-Identifier: Apache-2.0 */
#include "json_text.h"

#include "../base/text.h"

/* ---- layout -------------------------------------------------------------------------------------------- */

static bool is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void new_line(da_buf *out, size_t depth, bool pretty)
{
  if (!pretty) return;
  da_buf_add_byte(out, '\n');
  for (size_t i = 0; i < depth; i++) da_buf_add(out, "  ", 2);
}

/* Copies the string at `at`; returns what stands behind it. */
static const char *add_string(da_buf *out, const char *at)
{
  da_buf_add_byte(out, (uint8_t)*at++);
  while (*at != '"') {
    uint8_t byte = (uint8_t)*at;
    uint8_t next = (uint8_t)at[1]; /* at the latest the closing quote */
    if (byte == '\\') {
      da_buf_add(out, at, 2);
      at += 2;
    } else if (byte == 0x7f) {
      da_buf_addf(out, "\\u007f");
      at++;
    } else if (byte == 0xc2 && next < 0xa0) {
      da_buf_addf(out, "\\u00%02x", next);
      at += 2;
    } else {
      da_buf_add_byte(out, byte);
      at++;
    }
  }
  da_buf_add_byte(out, '"');
  return at + 1;
}

void cli_json_text(da_buf *out, da_slice text, bool pretty)
{
  size_t depth = 0;
  const char *at = text.ptr, *end = text.ptr + text.len;
  while (at < end) {
    char c = *at;
    if (c == '"') {
      at = add_string(out, at);
      continue;
    }
    at++;
    if (is_space(c)) continue;
    if (c == ']' || c == '}') new_line(out, --depth, pretty);
    da_buf_add_byte(out, (uint8_t)c);
    if (c == ':' && pretty) da_buf_add_byte(out, ' ');
    if (c == ',') new_line(out, depth, pretty);
    if (c != '[' && c != '{') continue;
    while (is_space(*at)) at++;
    if (*at == ']' || *at == '}')
      da_buf_add_byte(out, (uint8_t)*at++); /* empty ones stay on their line */
    else
      new_line(out, ++depth, pretty);
  }
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static void put_comma(da_buf *out)
{
  if (out->ptr[out->len - 1] != '{') da_buf_add_byte(out, ',');
}

static void put_name(da_buf *out, const char *name)
{
  put_comma(out);
  da_buf_addf(out, "\"%s\":", name);
}

bool cli_put_pair(da_buf *out, da_slice name, da_slice text)
{
  if (!da_text_utf8(name) || !da_text_utf8(text)) return false;
  put_comma(out);
  (void)da_text_quote(out, name);
  da_buf_add_byte(out, ':');
  return da_text_quote(out, text);
}

bool cli_put_text(da_buf *out, const char *name, da_slice text)
{
  return cli_put_pair(out, da_slice_of(name), text);
}

void cli_put_int(da_buf *out, const char *name, int64_t value)
{
  put_name(out, name);
  da_buf_addf(out, "%lld", (long long)value);
}

void cli_put_json(da_buf *out, const char *name, da_slice json)
{
  put_name(out, name);
  cli_json_text(out, json, false);
}
