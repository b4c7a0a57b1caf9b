/* config_file.c - the reader of that subset, line by line.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config_file.h"

#include "../base/table.h"
#include "../base/text.h"

enum { LIST_MAX = 256 };

typedef struct reader {
  const char *at;
  const char *end;
  int line;
  const char *path;
  da_arena *arena;
  da_err *err;
  da_slice section; /* with its dot behind it, or empty */
  da_table names;   /* of what was told: to one of the marks below */
} reader;

static char a_value, a_section, a_parent; /* marks; a parent is a section by having one below it */

static da_status fault(const reader *r, const char *words)
{
  return da_fail(r->err, DA_EINVAL, "%s:%d: %s", r->path, r->line, words);
}

/* ---- bytes --------------------------------------------------------------------------------------------- */

static bool is_bare(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static void skip_blanks(reader *r)
{
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\t')) r->at++;
}

static bool at_byte(const reader *r, char c)
{
  return r->at < r->end && *r->at == c;
}

static bool at_text(const reader *r, const char *text)
{
  size_t len = strlen(text);
  return (size_t)(r->end - r->at) >= len && memcmp(r->at, text, len) == 0;
}

static bool at_line_end(const reader *r)
{
  return r->at == r->end || *r->at == '\n' || at_text(r, "\r\n");
}

/* The byte at hand may stand in a comment or a string: no control byte but a tab. */
static bool is_plain(const reader *r)
{
  unsigned char c = (unsigned char)*r->at;
  return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* Blanks, maybe a comment, the end of the line, which is passed. */
static da_status end_line(reader *r)
{
  skip_blanks(r);
  if (at_byte(r, '#'))
    while (!at_line_end(r)) {
      if (!is_plain(r)) return fault(r, "a control character in a comment");
      r->at++;
    }
  if (!at_line_end(r)) return fault(r, "something stands behind what ends here; one KEY = VALUE a line");
  if (at_byte(r, '\r')) r->at++;
  if (at_byte(r, '\n')) r->at++;
  r->line++;
  return DA_OK;
}

/* ---- strings ------------------------------------------------------------------------------------------- */

/* The `count` hex digits at hand as a character. */
static bool read_point(reader *r, int count, uint32_t *point)
{
  *point = 0;
  for (int i = 0; i < count; i++, r->at++) {
    if (r->at == r->end) return false;
    char c = *r->at;
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return false;
    *point = *point << 4 | (uint32_t)digit;
  }
  return *point > 0 && *point < 0x110000 && (*point < 0xd800 || *point > 0xdfff);
}

/* Behind a backslash. Appends at *to. */
static da_status read_escape(reader *r, char **to)
{
  static const char names[] = "btnfr\"\\";
  static const char bytes[] = "\b\t\n\f\r\"\\";
  uint32_t point;
  if (r->at == r->end) return fault(r, "a string does not end on its line");
  char c = *r->at++;
  const char *found = c != '\0' ? strchr(names, c) : NULL;
  if (found != NULL) {
    *(*to)++ = bytes[found - names];
    return DA_OK;
  }
  if (c != 'u' && c != 'U')
    return fault(r, "an unknown escape in a string; a backslash itself is \\\\, or stands in '...'");
  if (!read_point(r, c == 'u' ? 4 : 8, &point))
    return fault(r, "\\u wants four hex digits of a character, \\U eight of them");
  *to += da_text_put_utf8(*to, point);
  return DA_OK;
}

static da_status read_string(reader *r, da_slice *out)
{
  char quote = *r->at;
  if (at_text(r, "\"\"\"") || at_text(r, "'''")) return fault(r, "strings over several lines have no place here");
  r->at++;
  const char *stop = r->at;
  while (stop < r->end && *stop != '\n') stop++;
  char *text = da_arena_alloc(r->arena, (size_t)(stop - r->at) + 4); /* an escape is never longer than what it means */
  char *to = text;
  while (!at_byte(r, quote)) {
    if (at_line_end(r)) return fault(r, "a string does not end on its line");
    if (!is_plain(r)) return fault(r, "a control character in a string; write it as \\u0007");
    if (quote == '"' && *r->at == '\\') {
      r->at++;
      da_status status = read_escape(r, &to);
      if (status != DA_OK) return status;
    } else {
      *to++ = *r->at++;
    }
  }
  r->at++;
  *out = da_slice_make(text, (size_t)(to - text));
  return DA_OK;
}

bool cli_file_quote(da_buf *out, da_slice s)
{
  size_t from = out->len;
  if (!da_text_quote(out, s)) return false;
  /* JSON lets it stand, TOML does not. */
  for (size_t i = from; i < out->len; i++) {
    if (out->ptr[i] != 0x7f) continue;
    da_buf_add(out, "     ", 5);
    memmove(out->ptr + i + 6, out->ptr + i + 1, out->len - i - 6);
    memcpy(out->ptr + i, "\\u007f", 6);
  }
  return true;
}

/* ---- values -------------------------------------------------------------------------------------------- */

static da_status read_number(reader *r, int64_t *out)
{
  char token[24];
  size_t len = 0;
  if (at_byte(r, '-')) token[len++] = '-';
  if (at_byte(r, '-') || at_byte(r, '+')) r->at++;
  const char *first = r->at;
  for (; r->at < r->end && (is_bare(*r->at) || strchr(".:+", *r->at) != NULL); r->at++) {
    char c = *r->at;
    bool between = c == '_' && r->at > first && r->at[-1] != '_' && r->at + 1 < r->end && is_bare(r->at[1]);
    if (between) continue;
    if (c < '0' || c > '9')
      return fault(r, "a number is a whole, decimal one here; with a unit it is a string: \"10s\"");
    if (r->at > first && *first == '0') return fault(r, "a number with a leading zero");
    if (len == sizeof token) return fault(r, "a number beyond 64 bits");
    token[len++] = c;
  }
  *out = 0;
  if (r->at == first) return fault(r, "a sign without a number");
  if (r->at == first + 1 && *first == '0') return DA_OK; /* -0, too */
  return da_text_read_int(da_slice_make(token, len), out) ? DA_OK : fault(r, "a number beyond 64 bits");
}

/* Line ends and comments between the elements. */
static da_status skip_lines(reader *r)
{
  for (;;) {
    skip_blanks(r);
    if (r->at == r->end) return fault(r, "an array does not end");
    if (!at_line_end(r) && !at_byte(r, '#')) return DA_OK;
    da_status status = end_line(r);
    if (status != DA_OK) return status;
  }
}

static da_status read_list(reader *r, cli_file_item *item)
{
  da_slice *list = da_arena_alloc(r->arena, LIST_MAX * sizeof *list);
  item->list = list;
  r->at++;
  for (;;) {
    da_status status = skip_lines(r);
    if (status != DA_OK) return status;
    if (at_byte(r, ']')) break;
    if (!at_byte(r, '"') && !at_byte(r, '\'')) return fault(r, "an array holds strings, with commas between them");
    if (item->count == LIST_MAX) return fault(r, "an array of more than 256 strings");
    status = read_string(r, &list[item->count++]);
    if (status == DA_OK) status = skip_lines(r);
    if (status != DA_OK) return status;
    if (at_byte(r, ']')) break;
    if (!at_byte(r, ',')) return fault(r, "an array holds strings, with commas between them");
    r->at++;
  }
  r->at++;
  return DA_OK;
}

static da_status read_value(reader *r, cli_file_item *item)
{
  if (at_byte(r, '"') || at_byte(r, '\'')) {
    item->type = CLI_FILE_TEXT;
    return read_string(r, &item->text);
  }
  if (at_byte(r, '[')) {
    item->type = CLI_FILE_LIST;
    return read_list(r, item);
  }
  if (r->at < r->end && ((*r->at >= '0' && *r->at <= '9') || *r->at == '-' || *r->at == '+')) {
    item->type = CLI_FILE_NUMBER;
    return read_number(r, &item->number);
  }
  const char *first = r->at;
  while (r->at < r->end && is_bare(*r->at)) r->at++;
  da_slice word = da_slice_make(first, (size_t)(r->at - first));
  item->type = CLI_FILE_SWITCH;
  item->number = da_slice_eq(word, DA_LIT("true"));
  if (item->number == 1 || da_slice_eq(word, DA_LIT("false"))) return DA_OK;
  return fault(r, "a value is a string in quotes, a whole number, true or false, or an array of strings");
}

/* ---- lines --------------------------------------------------------------------------------------------- */

static da_status read_name(reader *r, bool dots, da_slice *out)
{
  const char *first = r->at;
  while (r->at < r->end && (is_bare(*r->at) || (dots && *r->at == '.'))) r->at++;
  *out = da_slice_make(first, (size_t)(r->at - first));
  if (out->len > 0) return DA_OK;
  if (at_byte(r, '"') || at_byte(r, '\'')) return fault(r, "names stand without quotes here");
  return fault(r, dots ? "a section reads [name] or [name.name]" : "a line reads KEY = VALUE or [section]");
}

static da_status tell_twice(const reader *r, da_slice name)
{
  return da_fail(r->err, DA_EINVAL, "%s:%d: %.*s is told twice", r->path, r->line, DA_FMT(name));
}

/* "[a.b]": "a" becomes a parent, unless it is more already. */
static da_status enter_section(reader *r, da_slice name)
{
  for (size_t i = 0; i < name.len; i++) {
    if (name.ptr[i] != '.') continue;
    if (i == 0 || name.ptr[i - 1] == '.' || i + 1 == name.len) return fault(r, "a section reads [name] or [name.name]");
    da_slice parent = da_slice_make(name.ptr, i);
    const char *mark = da_table_get(&r->names, parent);
    if (mark == &a_value) return tell_twice(r, parent);
    if (mark == NULL) (void)da_table_put(&r->names, parent, &a_parent);
  }
  const char *mark = da_table_get(&r->names, name);
  if (mark == &a_value || mark == &a_section) return tell_twice(r, name);
  (void)da_table_put(&r->names, name, &a_section);
  const da_slice parts[] = {name, DA_LIT(".")};
  r->section = da_arena_join(r->arena, parts, 2);
  return DA_OK;
}

static da_status read_section(reader *r)
{
  da_slice name;
  r->at++;
  if (at_byte(r, '[')) return fault(r, "[[arrays of sections]] have no place here");
  skip_blanks(r);
  da_status status = read_name(r, true, &name);
  if (status != DA_OK) return status;
  skip_blanks(r);
  if (!at_byte(r, ']')) return fault(r, "a section reads [name] or [name.name]");
  r->at++;
  return enter_section(r, name);
}

/* With the end of its line: a fault there comes before what the value means. */
static da_status read_pair(reader *r, cli_file_taker *take, void *user)
{
  da_slice key;
  da_status status = read_name(r, false, &key);
  if (status != DA_OK) return status;
  if (at_byte(r, '.')) return fault(r, "a key with a dot; the part before it goes into a [section]");
  const da_slice parts[] = {r->section, key};
  cli_file_item item = {.name = da_arena_join(r->arena, parts, 2), .line = r->line};
  skip_blanks(r);
  if (!at_byte(r, '=')) return fault(r, "a line reads KEY = VALUE or [section]");
  r->at++;
  skip_blanks(r);
  status = read_value(r, &item);
  if (status != DA_OK) return status;
  if (da_table_get(&r->names, item.name) != NULL) return tell_twice(r, item.name);
  (void)da_table_put(&r->names, item.name, &a_value);
  status = end_line(r);
  return status == DA_OK ? take(user, &item, r->err) : status;
}

da_status cli_file_read(da_slice text, const char *path, da_arena *arena, cli_file_taker *take, void *user, da_err *err)
{
  reader r = {.at = text.ptr, .end = text.ptr + text.len, .line = 1, .path = path, .arena = arena, .err = err};
  da_status status = DA_OK;
  if (!da_text_utf8(text)) return da_fail(err, DA_EINVAL, "%s: bytes that are not UTF-8", path);
  while (status == DA_OK && r.at < r.end) {
    skip_blanks(&r);
    bool pair = !at_byte(&r, '[') && !at_byte(&r, '#') && !at_line_end(&r);
    if (pair)
      status = read_pair(&r, take, user);
    else if (at_byte(&r, '['))
      status = read_section(&r);
    if (status == DA_OK && !pair) status = end_line(&r);
  }
  da_table_free(&r.names);
  return status;
}
