/* battery_json.c - da.json: any JSON as values, and values as JSON.
 *
 * Text is checked first (base/json.h), which says where it is wrong; what is built of it then needs no doubt. Members
 * are written in the order of their names, so that equal values are equal text.
 *
 * Threads:  any (PURE).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "../host/base/json.h"
#include "../host/base/limits.h"
#include "../host/base/text.h"
#include "battery.h"

enum { INDENT_MAX = 16 };

/* ---- encoding ------------------------------------------------------------------------------------------- */

typedef struct writer {
  dahost_call *call;
  da_buf out;
  int indent; /* 0: on one line */
  int depth;
  const char *why; /* NULL: all is well so far */
} writer;

typedef struct member {
  da_slice name;
  dahost_value key;
} member;

static bool put_value(writer *w, dahost_value value);

static void new_line(writer *w)
{
  if (w->indent == 0) return;
  da_buf_add_byte(&w->out, '\n');
  for (int i = 0; i < w->indent * w->depth; i++) da_buf_add_byte(&w->out, ' ');
}

static bool refuse(writer *w, const char *why)
{
  if (w->why == NULL) w->why = why;
  return false;
}

static bool put_float(writer *w, double number)
{
  char text[DA_TEXT_FLOAT_MAX];
  if (!isfinite(number)) return refuse(w, "a number that is not finite has no place in JSON");
  da_buf_add(&w->out, text, da_text_float(text, number));
  return true;
}

static bool put_text(writer *w, dahost_value value)
{
  da_slice text;
  text.ptr = dahost_to_string(w->call, value, &text.len);
  return da_text_quote(&w->out, text) || refuse(w, "a string that is not UTF-8 has no place in JSON; base64 has");
}

static bool put_list(writer *w, dahost_value table)
{
  size_t count = dahost_count(w->call, table);
  int mark = dahost_mark(w->call);
  da_buf_add_byte(&w->out, '[');
  w->depth++;
  for (size_t i = 1; i <= count; i++) {
    if (i > 1) da_buf_add_byte(&w->out, ',');
    new_line(w);
    if (!put_value(w, dahost_at(w->call, table, i))) return false;
    dahost_release(w->call, mark);
  }
  w->depth--;
  if (count > 0) new_line(w);
  da_buf_add_byte(&w->out, ']');
  return true;
}

static int by_name(const void *a, const void *b)
{
  return da_slice_cmp(((const member *)a)->name, ((const member *)b)->name);
}

/* The members, sorted: *out is the caller's. The names live as long as the table. */
static bool members_of(writer *w, dahost_value table, member **out, size_t *count)
{
  size_t room = 0;
  for (dahost_value key = 0, value = 0; dahost_next(w->call, table, &key, &value);) {
    if (dahost_type_of(w->call, key) != DAHOST_STRING)
      return refuse(w, "a table must be a list without holes, or have names alone, to have a place in JSON");
    if (*count == room) {
      room = room == 0 ? 16 : 2 * room;
      *out = da_xrealloc(*out, room * sizeof **out);
    }
    member *m = &(*out)[(*count)++];
    m->name.ptr = dahost_to_string(w->call, key, &m->name.len);
  }
  if (*count > 0) qsort(*out, *count, sizeof **out, by_name);
  return true;
}

static bool put_members(writer *w, dahost_value table, const member *members, size_t count)
{
  int mark = dahost_mark(w->call);
  da_buf_add_byte(&w->out, '{');
  w->depth++;
  for (size_t i = 0; i < count; i++) {
    if (i > 0) da_buf_add_byte(&w->out, ',');
    new_line(w);
    dahost_value name = dahost_new_string(w->call, members[i].name.ptr, members[i].name.len);
    if (!put_text(w, name)) return false;
    da_buf_add_slice(&w->out, w->indent > 0 ? DA_LIT(": ") : DA_LIT(":"));
    if (!put_value(w, dahost_get(w->call, table, name))) return false;
    dahost_release(w->call, mark);
  }
  w->depth--;
  if (count > 0) new_line(w);
  da_buf_add_byte(&w->out, '}');
  return true;
}

static bool put_object(writer *w, dahost_value table)
{
  member *members = NULL;
  size_t count = 0;
  bool ok = members_of(w, table, &members, &count) && put_members(w, table, members, count);
  free(members);
  return ok;
}

/* As deep as arguments may be: DA_DEPTH_MAX. */
static bool put_value(writer *w, dahost_value value)
{
  char text[DA_TEXT_INT_MAX];
  switch (dahost_type_of(w->call, value)) {
  case DAHOST_BOOLEAN:
    da_buf_add_slice(&w->out, dahost_to_boolean(w->call, value) ? DA_LIT("true") : DA_LIT("false"));
    return true;
  case DAHOST_INTEGER:
    da_buf_add(&w->out, text, da_text_int(text, dahost_to_integer(w->call, value)));
    return true;
  case DAHOST_NUMBER:
    return put_float(w, dahost_to_number(w->call, value));
  case DAHOST_STRING:
    return put_text(w, value);
  case DAHOST_TABLE:
    return dahost_is_list(w->call, value) ? put_list(w, value) : put_object(w, value);
  case DAHOST_NONE:
  case DAHOST_NIL:
    break;
  }
  da_buf_add_slice(&w->out, DA_LIT("null"));
  return true;
}

const char *battery_json_put(dahost_call *call, dahost_value value, da_buf *out)
{
  writer w = {.call = call, .out = *out};
  bool put = put_value(&w, value);
  *out = w.out;
  return put ? NULL : w.why;
}

static void encode(dahost_call *call, void *user)
{
  static const char *const names[] = {"indent", NULL};
  dahost_value options;
  int64_t indent = 0;
  (void)user;
  if (!battery_options(call, 2, "json.encode", names, &options) ||
      !battery_option_integer(call, options, "json.encode", "indent", INDENT_MAX, &indent))
    return;
  writer w = {.call = call, .indent = (int)indent};
  if (put_value(&w, dahost_arg(call, 1)))
    dahost_return_string(call, w.out.ptr, w.out.len);
  else
    (void)battery_refuse(call, "json.encode: %s", w.why);
  da_buf_free(&w.out);
}

/* ---- decoding: the text has passed da_json_check() ------------------------------------------------------- */

typedef struct reader {
  dahost_call *call;
  const char *at;
  const char *begin, *end;
  const char *too_large; /* a number beyond a double */
} reader;

static dahost_value take_value(reader *r);

static void skip_space(reader *r)
{
  while (r->at < r->end && strchr(" \t\n\r", *r->at) != NULL && *r->at != '\0') r->at++;
}

static uint32_t take_unit(reader *r)
{
  uint32_t unit = 0;
  for (int i = 0; i < 4; i++) unit = unit * 16 + (uint32_t)da_text_hex(*r->at++);
  return unit;
}

/* Behind the backslash. */
static void take_escape(reader *r, da_buf *out)
{
  static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
  char c = *r->at++, text[4];
  if (c != 'u') {
    for (size_t i = 0; plain[i] != '\0'; i += 2)
      if (plain[i] == c) da_buf_add_byte(out, (uint8_t)plain[i + 1]);
    return;
  }
  uint32_t point = take_unit(r);
  if (point >= 0xd800 && point < 0xdc00) {
    r->at += 2;
    point = 0x10000 + ((point - 0xd800) << 10) + (take_unit(r) - 0xdc00);
  }
  da_buf_add(out, text, da_text_put_utf8(text, point));
}

static dahost_value take_string(reader *r)
{
  const char *begin = ++r->at;
  while (*r->at != '"' && *r->at != '\\') r->at++;
  if (*r->at == '"') return dahost_new_string(r->call, begin, (size_t)(r->at++ - begin));
  da_buf text = {0};
  da_buf_add(&text, begin, (size_t)(r->at - begin));
  while (*r->at != '"') {
    if (*r->at == '\\') {
      r->at++;
      take_escape(r, &text);
    } else {
      da_buf_add_byte(&text, (uint8_t)*r->at++);
    }
  }
  r->at++;
  dahost_value value = dahost_new_string(r->call, text.ptr, text.len);
  da_buf_free(&text);
  return value;
}

/* An integer of 64 bits stays one; a larger one, and -0, is a float. */
static dahost_value take_number(reader *r)
{
  da_slice token = {r->at, 0};
  double number = 0;
  int64_t integer;
  while (r->at < r->end && strchr("+-.eE0123456789", *r->at) != NULL && *r->at != '\0') r->at++;
  token.len = (size_t)(r->at - token.ptr);
  if (da_text_read_int(token, &integer)) return dahost_new_integer(r->call, integer);
  if (!da_text_read_float(token, &number)) r->too_large = token.ptr;
  return dahost_new_number(r->call, number);
}

static dahost_value take_list(reader *r)
{
  dahost_value list = dahost_new_list(r->call);
  int mark = dahost_mark(r->call);
  r->at++;
  for (skip_space(r); *r->at != ']'; skip_space(r)) {
    if (*r->at == ',') r->at++;
    dahost_append(r->call, list, take_value(r));
    dahost_release(r->call, mark);
  }
  r->at++;
  return list;
}

static dahost_value take_object(reader *r)
{
  dahost_value table = dahost_new_table(r->call);
  int mark = dahost_mark(r->call);
  r->at++;
  for (skip_space(r); *r->at != '}'; skip_space(r)) {
    if (*r->at == ',') r->at++;
    skip_space(r);
    dahost_value name = take_string(r);
    skip_space(r);
    r->at++; /* ':' */
    dahost_set_pair(r->call, table, name, take_value(r));
    dahost_release(r->call, mark);
  }
  r->at++;
  return table;
}

static dahost_value take_value(reader *r)
{
  skip_space(r);
  switch (*r->at) {
  case '[':
    return take_list(r);
  case '{':
    return take_object(r);
  case '"':
    return take_string(r);
  case 't':
    r->at += 4;
    return dahost_new_boolean(r->call, true);
  case 'f':
    r->at += 5;
    return dahost_new_boolean(r->call, false);
  case 'n':
    r->at += 4;
    return dahost_new_nil(r->call);
  default:
    return take_number(r);
  }
}

static void decode(dahost_call *call, void *user)
{
  da_slice text;
  da_err err = {{0}};
  (void)user;
  if (!dahost_arg_string(call, 1, &text.ptr, &text.len)) return;
  if (da_json_check(text, &err) != DA_OK) {
    dahost_fail(call, "bad_json", "%s", err.text);
    dahost_fail_fatal(call);
    return;
  }
  reader r = {.call = call, .at = text.ptr, .begin = text.ptr, .end = text.ptr + text.len};
  dahost_value value = take_value(&r);
  if (r.too_large != NULL) {
    dahost_fail(call, "bad_json", "a number too large for a float at byte %zu", (size_t)(r.too_large - r.begin) + 1);
    dahost_fail_fatal(call);
    return;
  }
  dahost_return(call, value);
}

static int open_json(dahost_library *library, void **user, char *why, size_t why_size)
{
  static const battery_native natives[] = {
      {"decode", DAHOST_PURE, decode}, {"encode", DAHOST_PURE, encode}, {NULL, DAHOST_PURE, NULL}};
  (void)user;
  return battery_add(library, natives, why, why_size);
}

const dahost_library_info battery_json = {DAHOST_ABI, sizeof(dahost_library_info), "json", open_json, NULL};
