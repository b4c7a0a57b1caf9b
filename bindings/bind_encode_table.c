/* bind_encode_table.c - tables that are not lists, for the encoder: objects, maps, errors. See bind_encode.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "../host/base/text.h"
#include "bind_encode.h"

enum { SORT_SMALL = 16 }; /* insertion sort up to here */

/* ---- members of a table ---- */

static bind_member *add_member(bind_encoder *e)
{
  if (e->member_count == e->member_cap) {
    size_t cap = e->member_cap * 2;
    bool local = e->members == e->local_members;
    e->members = da_xrealloc(local ? NULL : e->members, cap * sizeof *e->members);
    if (local) memcpy(e->members, e->local_members, sizeof e->local_members);
    e->member_cap = cap;
  }
  bind_member *m = &e->members[e->member_count++];
  m->prefix = 0;
  m->rest = false;
  m->text = false;
  return m;
}

static uint64_t prefix_of(da_slice s)
{
  if (s.len >= 8) return da_get_u64(s.ptr);
  uint64_t prefix = 0;
  for (size_t i = 0; i < s.len; i++) prefix |= (uint64_t)(unsigned char)s.ptr[i] << (56 - 8 * i);
  return prefix;
}

static void set_key(bind_member *m, da_slice key)
{
  m->key.kind = KIND_STRING;
  m->key.as.string = key;
  m->prefix = prefix_of(key);
}

static void read_number(lua_State *L, int index, bind_scalar *out)
{
  if (lua_isinteger(L, index)) {
    out->kind = KIND_INT;
    out->as.integer = lua_tointeger(L, index);
  } else {
    out->kind = KIND_FLOAT;
    out->as.number = lua_tonumber(L, index);
  }
}

static bool read_key(bind_encoder *e, int index, bind_member *m)
{
  lua_State *L = e->L;
  switch (lua_type(L, index)) {
  case LUA_TSTRING:
    set_key(m, string_at(L, index));
    if (!da_text_utf8(m->key.as.string)) m->key.kind = KIND_BYTES;
    return true;
  case LUA_TNUMBER:
    read_number(L, index, &m->key);
    return true;
  case LUA_TBOOLEAN:
    m->key.kind = KIND_BOOLEAN;
    m->key.as.boolean = lua_toboolean(L, index);
    return true;
  default:
    break;
  }
  return bind_encode_fail_key(e, index);
}

/* Takes the value at the top, popping it or moving it below the key. */
static void take_value(lua_State *L, bind_scalar *out)
{
  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
    out->kind = KIND_STRING;
    out->as.string = string_at(L, -1);
    break;
  case LUA_TNUMBER:
    read_number(L, -1, out);
    break;
  case LUA_TBOOLEAN:
    out->kind = KIND_BOOLEAN;
    out->as.boolean = lua_toboolean(L, -1);
    break;
  default:
    if (lua_islightuserdata(L, -1) && lua_touserdata(L, -1) == NULL) {
      out->kind = KIND_NULL;
      break;
    }
    lua_insert(L, -2);
    out->kind = KIND_STACK;
    out->slot = lua_gettop(L) - 1;
    return;
  }
  lua_pop(L, 1);
}

static bool gather(bind_encoder *e, int index)
{
  lua_State *L = e->L;
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    if (!lua_checkstack(L, BIND_STACK_NEED)) return bind_encode_fail_stack(e);
    bind_member *m = add_member(e);
    if (!read_key(e, lua_gettop(L) - 1, m)) return false;
    take_value(L, &m->value);
  }
  return true;
}

/* ---- order ---- */

static int compare_numbers(const bind_scalar *a, const bind_scalar *b)
{
  if (a->kind == b->kind) {
    if (a->kind == KIND_INT) return a->as.integer < b->as.integer ? -1 : a->as.integer > b->as.integer;
    return a->as.number < b->as.number ? -1 : a->as.number > b->as.number;
  }
  if (a->kind == KIND_FLOAT) return -compare_numbers(b, a);
  /* An integer against a float, which as a key is never integral. 2^63 is exact. */
  if (b->as.number >= 0x1p63) return -1;
  if (b->as.number < -0x1p63) return 1;
  lua_Number whole = floor(b->as.number);
  return a->as.integer <= (lua_Integer)whole ? -1 : 1;
}

static int rank(bind_kind k)
{
  return k <= KIND_FLOAT ? 0 : k <= KIND_BYTES ? 1 : 2;
}

static int compare_members(const void *left, const void *right)
{
  const bind_member *a = left;
  const bind_member *b = right;
  if (a->rest != b->rest) return a->rest ? 1 : -1;
  int rank_a = rank(a->key.kind);
  int rank_b = rank(b->key.kind);
  if (rank_a != rank_b) return rank_a - rank_b;
  if (rank_a == 0) return compare_numbers(&a->key, &b->key);
  if (rank_a == 2) return (int)a->key.as.boolean - (int)b->key.as.boolean;
  if (a->prefix != b->prefix) return a->prefix < b->prefix ? -1 : 1;
  return da_slice_cmp(a->key.as.string, b->key.as.string);
}

static void sort_members(bind_member *members, size_t count)
{
  if (count > SORT_SMALL) {
    qsort(members, count, sizeof *members, compare_members);
    return;
  }
  for (size_t i = 1; i < count; i++) {
    if (compare_members(&members[i - 1], &members[i]) <= 0) continue;
    bind_member moved = members[i];
    size_t at = i;
    do {
      members[at] = members[at - 1];
      at--;
    } while (at > 0 && compare_members(&members[at - 1], &moved) > 0);
    members[at] = moved;
  }
}

/* ---- objects and maps ---- */

/* Writes one member's value under its key. A field of an error that cannot cross gives way to the words of why. */
static bool write_member(bind_encoder *e, size_t at, bool guarded)
{
  size_t len = e->out->len;
  size_t member_count = e->member_count;
  int depth = e->depth;
  int level = e->level++;
  int top = lua_gettop(e->L);
  const bind_member *m = &e->members[at];
  bind_scalar value = m->value; /* the vector may move while a table is written */
  e->path[level] = m->key;
  bool ok = (m->text ? bind_encode_text(e, &value) : bind_encode_scalar(e, &value)) && has_room(e, 0);
  if (!ok && guarded && e->status != DA_ENOMEM) {
    lua_settop(e->L, top);
    e->out->len = len;
    e->member_count = member_count;
    e->depth = depth;
    da_text_quote_lossy(e->out, da_slice_of(e->err->text));
    ok = e->out->len <= e->limit;
  }
  if (ok) e->level = level;
  return ok;
}

static bool write_object(bind_encoder *e, size_t from, size_t to, bool guarded)
{
  if (!deepen(e, 1)) return false;
  put(e, '{');
  for (size_t i = from; i < to; i++) {
    if (i > from) put(e, ',');
    (void)da_text_quote(e->out, e->members[i].key.as.string);
    put(e, ':');
    if (!write_member(e, i, guarded)) return false;
  }
  put(e, '}');
  e->depth--;
  return true;
}

static bool write_map(bind_encoder *e, size_t from, size_t to, bool guarded)
{
  if (!deepen(e, 3)) return false;
  BIND_PUT(e, "{\"__da\":\"map\",\"v\":[");
  for (size_t i = from; i < to; i++) {
    if (i > from) put(e, ',');
    put(e, '[');
    bind_scalar key = e->members[i].key;
    if (!bind_encode_scalar(e, &key)) return false;
    put(e, ',');
    if (!write_member(e, i, guarded)) return false;
    put(e, ']');
  }
  BIND_PUT(e, "]}");
  e->depth -= 3;
  return true;
}

static bool is_error_type(da_slice s)
{
  return da_slice_eq(s, DA_LIT("error")) || da_slice_eq(s, DA_LIT("aggregate_error"));
}

/* What the keys of some members amount to. */
typedef struct key_facts {
  size_t strings; /* UTF-8 only */
  size_t integers;
  lua_Integer least;
  lua_Integer most;
  lua_Integer n; /* the integer field "n", or -1 */
  bool tag;      /* as a plain object it would be read as something else */
} key_facts;

static key_facts facts_of(const bind_encoder *e, size_t from, size_t to)
{
  key_facts facts = {.least = LUA_MAXINTEGER, .most = LUA_MININTEGER, .n = -1};
  for (size_t i = from; i < to; i++) {
    const bind_member *m = &e->members[i];
    if (m->key.kind == KIND_INT) {
      facts.integers++;
      if (m->key.as.integer < facts.least) facts.least = m->key.as.integer;
      if (m->key.as.integer > facts.most) facts.most = m->key.as.integer;
      continue;
    }
    if (m->key.kind != KIND_STRING) continue;
    facts.strings++;
    da_slice key = m->key.as.string;
    if (key.len == 1 && key.ptr[0] == 'n' && m->value.kind == KIND_INT) facts.n = m->value.as.integer;
    if (key.len < 4 || key.ptr[0] != '_') continue;
    bool typed =
        da_slice_eq(key, DA_LIT("__type")) && m->value.kind == KIND_STRING && is_error_type(m->value.as.string);
    if (typed || da_slice_eq(key, DA_LIT("__da"))) facts.tag = true;
  }
  return facts;
}

/* The length of the list that the members make, or -1 if they do not make one. */
static lua_Integer list_length(const key_facts *facts, size_t count, bind_mark mark)
{
  if (mark == BIND_MARK_OBJECT) return -1;
  if (facts->integers != 0 && facts->least < 1) return -1;
  if (facts->integers == count && facts->most == (lua_Integer)count) return facts->most;
  if (mark != BIND_MARK_ARRAY) return -1;
  lua_Integer most = facts->integers != 0 ? facts->most : 0;
  if (facts->integers == count) return most;
  return facts->integers + 1 == count && facts->n >= most ? facts->n : -1;
}

static bool write_tagged_object(bind_encoder *e, size_t from, size_t to, bool guarded)
{
  if (!deepen(e, 1)) return false;
  BIND_PUT(e, "{\"__da\":\"obj\",\"v\":");
  if (!write_object(e, from, to, guarded)) return false;
  put(e, '}');
  e->depth--;
  return true;
}

/* Chooses the form for the gathered members of the table at index; index 0: the rest of an error. */
bool bind_encode_members(bind_encoder *e, size_t from, size_t to, bind_mark mark, int index)
{
  size_t count = to - from;
  if (count == 0) {
    if (!deepen(e, 1)) return false;
    e->depth--;
    da_buf_add_slice(e->out, mark == BIND_MARK_ARRAY ? DA_LIT("[]") : DA_LIT("{}"));
    return true;
  }
  key_facts facts = facts_of(e, from, to);
  lua_Integer length = list_length(&facts, count, mark);
  if (length > DA_VALUE_MAX / 2) return bind_encode_fail_size(e);
  if (length >= 0) return bind_encode_list(e, index, length);
  bool guarded = e->lenient && index == 0;
  sort_members(e->members + from, count);
  if (facts.strings != count) return write_map(e, from, to, guarded);
  return facts.tag ? write_tagged_object(e, from, to, guarded) : write_object(e, from, to, guarded);
}

/* ---- errors ---- */

/* A table that is written as a list of errors and nothing else. */
static bool is_error_list(lua_State *L, int index)
{
  if (!lua_istable(L, index)) return false;
  bind_mark mark = bind_value_mark(L, index);
  if (mark > BIND_MARK_ARRAY) return false;
  lua_Integer count = 0;
  lua_Integer length = -1; /* the field "n" of a da.array */
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    if (mark == BIND_MARK_ARRAY && lua_type(L, -2) == LUA_TSTRING && da_slice_eq(string_at(L, -2), DA_LIT("n"))) {
      length = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
    } else {
      count++;
    }
  }
  for (lua_Integer i = 1; i <= count; i++) {
    bool is_error = lua_rawgeti(L, index, i) == LUA_TTABLE && bind_value_mark(L, -1) == BIND_MARK_ERROR;
    lua_pop(L, 1);
    if (!is_error) return false;
  }
  return count > 0 && (length == -1 || length == count);
}

static void add_text_member(bind_encoder *e, da_slice key, da_slice text)
{
  bind_member *m = add_member(e);
  set_key(m, key);
  m->text = true;
  m->value.kind = KIND_STRING;
  m->value.as.string = text;
}

/* A string that is read back as it is written. */
static bool is_plain_text(const bind_scalar *value)
{
  return value->kind == KIND_STRING && !bind_encode_is_sentinel(value->as.string) && da_text_utf8(value->as.string);
}

/* Gives the member at `at` its name on the wire. If peers' plain text cannot hold it, its original goes to the rest. */
static void rename_field(bind_encoder *e, size_t at, da_slice name)
{
  bind_scalar value = e->members[at].value;
  if (is_plain_text(&value)) {
    set_key(&e->members[at], name);
    e->members[at].text = true;
    return;
  }
  e->members[at].rest = true;
  bool number = value.kind == KIND_INT || (value.kind == KIND_FLOAT && isfinite(value.as.number));
  add_text_member(e, name, da_slice_eq(name, DA_LIT("name")) ? DA_LIT("error") : DA_LIT(""));
  if (number || value.kind == KIND_STRING) e->members[e->member_count - 1].value = value;
}

typedef struct error_facts {
  bool named;
  bool told;
  bool aggregate;
  size_t rest;
} error_facts;

static void sort_field_out(bind_encoder *e, size_t at, error_facts *facts)
{
  static const char *const taken[] = {"name", "stack", "__type", "__da", "__fields"};
  bind_member *m = &e->members[at];
  da_slice key = m->key.kind == KIND_STRING ? m->key.as.string : DA_NONE;
  m->rest = m->key.kind != KIND_STRING;
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    if (da_slice_eq(key, da_slice_of(taken[i]))) m->rest = true;
  if (da_slice_eq(key, DA_LIT("code"))) {
    facts->named = true;
    rename_field(e, at, DA_LIT("name"));
  } else if (da_slice_eq(key, DA_LIT("message"))) {
    facts->told = true;
    rename_field(e, at, DA_LIT("message"));
  } else if (da_slice_eq(key, DA_LIT("traceback"))) {
    rename_field(e, at, DA_LIT("stack"));
  } else if (da_slice_eq(key, DA_LIT("errors")) && m->value.kind == KIND_STACK) {
    facts->aggregate = is_error_list(e->L, m->value.slot);
  }
  facts->rest += e->members[at].rest;
}

/* The gathered members of a da.Error, from `from` on: the plain ones first, then those that only we read. */
static bool encode_error(bind_encoder *e, size_t from)
{
  error_facts facts = {0};
  size_t gathered = e->member_count;
  for (size_t i = from; i < gathered; i++) sort_field_out(e, i, &facts);
  if (!facts.named) add_text_member(e, DA_LIT("name"), DA_LIT("error"));
  if (!facts.told) add_text_member(e, DA_LIT("message"), DA_LIT(""));
  add_text_member(e, DA_LIT("__type"), facts.aggregate ? DA_LIT("aggregate_error") : DA_LIT("error"));
  if (facts.rest != 0) {
    bind_member *m = add_member(e);
    set_key(m, DA_LIT("__fields"));
    m->value.kind = KIND_REST;
    m->value.as.members.from = e->member_count - facts.rest;
    m->value.as.members.to = e->member_count;
  }
  size_t to = e->member_count;
  sort_members(e->members + from, to - from);
  return write_object(e, from, to - facts.rest, e->lenient);
}

/* ---- the table itself ---- */

/* n if the table's keys are found to be exactly 1..n in one walk in that order, as those of nearly all lists are, else
 * 0: a list whose keys lie in the hash part takes the longer way. */
static lua_Integer plain_run(lua_State *L, int index)
{
  if (lua_rawlen(L, index) == 0) return 0;
  lua_Integer n = 0;
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pop(L, 1);
    if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) != n + 1) {
      lua_pop(L, 1);
      return 0;
    }
    n++;
  }
  return n;
}

bool bind_encode_table(bind_encoder *e, int index, bind_mark mark)
{
  lua_State *L = e->L;
  if (!lua_checkstack(L, BIND_STACK_NEED)) return bind_encode_fail_stack(e);
  const void *self = lua_topointer(L, index);
  for (int i = 0; i < e->level; i++)
    if (e->tables[i] == self) return bind_encode_fail_cycle(e, i);
  if (e->depth >= DA_DEPTH_MAX) return bind_encode_fail_depth(e);
  e->tables[e->level] = self;

  if (mark <= BIND_MARK_ARRAY) {
    lua_Integer n = plain_run(L, index);
    if (n != 0) return bind_encode_list(e, index, n);
  }
  size_t from = e->member_count;
  int top = lua_gettop(L);
  if (!gather(e, index)) return false;
  bool ok =
      mark == BIND_MARK_ERROR ? encode_error(e, from) : bind_encode_members(e, from, e->member_count, mark, index);
  e->member_count = from;
  lua_settop(L, top);
  return ok;
}
