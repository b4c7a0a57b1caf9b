/* bind_value_decode.c - canonical JSON text (and any other strict JSON) to Lua values: the form is told in
 * bind_value.h, the way in bind_decode.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "../host/base/text.h"
#include "bind_decode.h"

enum {
  MEMBERS_CHUNK = 16,  /* members of an object that wait on the stack, two slots each */
  ELEMENTS_CHUNK = 32, /* elements of an array, likewise */
  STACK_NEED = 48,     /* slots for one container: a chunk and some scratch */
};

static bool decode_value(bind_decoder *d);

/* After an element or a member: 1 a comma, 0 the closing bracket, -1 neither. */
static int more(bind_decoder *d, char close, const char *words)
{
  skip_space(d);
  if (d->at < d->end && *d->at == ',') {
    d->at++;
    return 1;
  }
  return bind_decode_expect(d, close, words) ? 0 : -1;
}

static bool enter(bind_decoder *d)
{
  if (d->depth >= DA_DEPTH_MAX) return bind_decode_fail_as(d, DA_ETOOBIG, d->at, "nested too deeply");
  if (!lua_checkstack(d->L, STACK_NEED)) return bind_decode_fail_as(d, DA_ENOMEM, d->at, "no memory for the Lua stack");
  d->depth++;
  return true;
}

/* ---- arrays ---- */

/* Moves the `count` values on top into the table at `base`, made now if there is none, behind `before` elements. */
static void flush_elements(lua_State *L, int base, int count, lua_Integer before, bool last)
{
  if (lua_isnil(L, base)) {
    lua_createtable(L, last ? count : 2 * count, 0);
    lua_replace(L, base);
  }
  for (lua_Integer i = before + count; i > before; i--) lua_rawseti(L, base, i);
}

/* d->at is behind '['. */
static bool decode_array(bind_decoder *d)
{
  lua_State *L = d->L;
  if (!enter(d)) return false;
  lua_pushnil(L); /* the place of the table */
  int base = lua_gettop(L);
  lua_Integer done = 0;
  int waiting = 0;
  skip_space(d);
  if (d->at < d->end && *d->at == ']') {
    d->at++;
    lua_newtable(L);
    bind_value_set_mark(L, BIND_MARK_ARRAY);
    lua_replace(L, base);
    d->depth--;
    return true;
  }
  for (int next = 1; next != 0;) {
    if (!decode_value(d)) return false;
    waiting++;
    next = more(d, ']', "expected ',' or ']'");
    if (next < 0) return false;
    if (waiting < ELEMENTS_CHUNK && next != 0) continue;
    flush_elements(L, base, waiting, done, next == 0);
    done += waiting;
    waiting = 0;
  }
  d->depth--;
  return true;
}

/* ---- objects ---- */

typedef struct object {
  const char *begin;
  int base;      /* stack index of the table, or of nil before it is made */
  int waiting;   /* members on the stack above */
  bool raw;      /* no tags and no errors here: the inside of a tag "obj" */
  bool unsorted; /* each key is looked up from now on */
  bool nulls;    /* the table holds null as a value; to be taken out at the end */
  bool typed;    /* has "__type" */
  da_slice last; /* key; borrowed from the Lua string, which stack or table keep */
} object;

static void flush_members(lua_State *L, object *o, bool last)
{
  if (lua_isnil(L, o->base)) {
    lua_createtable(L, 0, last ? o->waiting : 2 * o->waiting);
    lua_replace(L, o->base);
  }
  for (; o->waiting > 0; o->waiting--) lua_rawset(L, o->base);
}

static bool push_key(bind_decoder *d)
{
  skip_space(d);
  if (d->at == d->end || *d->at != '"') return bind_decode_fail(d, d->at, "expected a key");
  return bind_decode_push_string(d);
}

/* Refuses the key at the top, which began at `at`, if it was there before. Nulls count: they are in the table. */
static bool check_key(bind_decoder *d, object *o, const char *at)
{
  lua_State *L = d->L;
  da_slice key = top_string(L);
  if (!o->unsorted && o->last.ptr != NULL && da_slice_cmp(o->last, key) >= 0) {
    o->unsorted = true;
    lua_insert(L, o->base + 1); /* out of the way of the members that wait */
    flush_members(L, o, false);
  }
  o->last = key;
  if (!o->unsorted || lua_isnil(L, o->base)) return true;
  lua_pushvalue(L, -1);
  bool known = lua_rawget(L, o->base) != LUA_TNIL;
  lua_pop(L, 1);
  return !known || bind_decode_fail_quoting(d, at, "duplicate key", key.ptr);
}

/* What a key beginning with "__" may mean. */
static bool note_key(bind_decoder *d, object *o, const char *at)
{
  if (o->raw) return true;
  if (da_slice_eq(o->last, DA_LIT("__type"))) o->typed = true;
  return !da_slice_eq(o->last, DA_LIT("__da")) ||
         bind_decode_fail(d, at, "\"__da\" must be the first key of its object");
}

/* One member, whose key lies at the top. */
static bool decode_member(bind_decoder *d, object *o, const char *at)
{
  if (!check_key(d, o, at)) return false;
  if (o->last.len >= 4 && o->last.ptr[0] == '_' && !note_key(d, o, at)) return false;
  if (!bind_decode_expect(d, ':', "expected ':'")) return false;
  if (!decode_value(d)) return false;
  if (lua_islightuserdata(d->L, -1)) o->nulls = true;
  o->waiting++;
  return true;
}

static bool keeps_nulls(const bind_decoder *d)
{
  const bind_value_hooks *hooks = bind_value_get_hooks(d->L);
  return d->keep_nulls || (hooks != NULL && hooks->keep_nulls);
}

static void remove_nulls(lua_State *L, int base)
{
  lua_pushnil(L);
  while (lua_next(L, base) != 0) {
    bool null = lua_islightuserdata(L, -1);
    lua_pop(L, 1);
    if (!null) continue;
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, base);
  }
}

/* Takes t[from] away and leaves it at the top. */
static int take_field(lua_State *L, int base, const char *from)
{
  int type = lua_getfield(L, base, from);
  lua_pushnil(L);
  lua_setfield(L, base, from);
  return type;
}

/* An object with "__type" "error" becomes a da.Error, in place. */
static void make_error(lua_State *L, int base)
{
  (void)lua_getfield(L, base, "__type");
  size_t len = 0;
  const char *type = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : "";
  da_slice name = da_slice_make(type, len);
  bool is_error = da_slice_eq(name, DA_LIT("error")) || da_slice_eq(name, DA_LIT("aggregate_error"));
  lua_pop(L, 1);
  if (!is_error) return;
  (void)take_field(L, base, "__type");
  lua_pop(L, 1);
  if (take_field(L, base, "name") != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushliteral(L, "error");
  }
  lua_setfield(L, base, "code");
  (void)take_field(L, base, "stack");
  lua_setfield(L, base, "traceback");
  if (take_field(L, base, "__fields") == LUA_TTABLE) {
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, base);
    }
  }
  lua_pop(L, 1);
  lua_pushvalue(L, base);
  bind_value_set_mark(L, BIND_MARK_ERROR);
  lua_pop(L, 1);
}

/* The members of an object, from its first key on, which lies at the top and began at `at`. It is replaced by the
 * table. */
static bool decode_members(bind_decoder *d, bool raw, const char *at)
{
  lua_State *L = d->L;
  object o = {.raw = raw, .base = lua_gettop(L)};
  lua_pushnil(L);
  lua_insert(L, o.base); /* the place of the table, below the key */
  for (int next = 1;;) {
    if (!decode_member(d, &o, at)) return false;
    next = more(d, '}', "expected ',' or '}'");
    if (next < 0) return false;
    if (next == 0) break;
    if (o.unsorted || o.waiting == MEMBERS_CHUNK) flush_members(L, &o, false);
    skip_space(d);
    at = d->at;
    if (!push_key(d)) return false;
  }
  flush_members(L, &o, true);
  if (o.nulls && !keeps_nulls(d)) remove_nulls(L, o.base);
  if (o.typed) make_error(L, o.base);
  return true;
}

/* ---- tags ---- */

static bool open_brace(bind_decoder *d)
{
  return bind_decode_expect(d, '{', "expected '{'");
}

/* The inside of {"__da":"obj","v":{...}}: a plain table, whatever its keys. */
static bool decode_raw_object(bind_decoder *d)
{
  if (!open_brace(d) || !enter(d)) return false;
  skip_space(d);
  const char *at = d->at;
  if (at < d->end && *at == '}') {
    d->at++;
    lua_newtable(d->L);
  } else if (!push_key(d) || !decode_members(d, true, at)) {
    return false;
  }
  d->depth--;
  return true;
}

static bool check_map_key(bind_decoder *d, const char *at)
{
  lua_State *L = d->L;
  int type = lua_type(L, -1);
  if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
    return bind_decode_fail(d, at, "a key of a map must be a string, a number or a boolean");
  if (type == LUA_TNUMBER && isnan(lua_tonumber(L, -1))) return bind_decode_fail(d, at, "NaN cannot be a key");
  lua_pushvalue(L, -1);
  bool known = lua_rawget(L, -3) != LUA_TNIL;
  lua_pop(L, 1);
  return !known || bind_decode_fail(d, at, "duplicate key in a map");
}

/* [key,value] into the table at the top. */
static bool decode_pair(bind_decoder *d)
{
  lua_State *L = d->L;
  if (!bind_decode_expect(d, '[', "expected '['") || !enter(d)) return false;
  skip_space(d);
  const char *at = d->at;
  if (!decode_value(d) || !check_map_key(d, at)) return false;
  if (!bind_decode_expect(d, ',', "expected ','") || !decode_value(d)) return false;
  if (!bind_decode_expect(d, ']', "expected ']'")) return false;
  if (lua_islightuserdata(L, -1)) {
    lua_pop(L, 2);
  } else {
    lua_rawset(L, -3);
  }
  d->depth--;
  return true;
}

static bool decode_map(bind_decoder *d)
{
  if (!bind_decode_expect(d, '[', "expected '['") || !enter(d)) return false;
  lua_newtable(d->L);
  skip_space(d);
  if (d->at < d->end && *d->at == ']') {
    d->at++;
  } else {
    for (int next = 1; next != 0;) {
      if (!decode_pair(d)) return false;
      next = more(d, ']', "expected ',' or ']'");
      if (next < 0) return false;
    }
  }
  d->depth--;
  return true;
}

static bool decode_handle(bind_decoder *d, bool promise)
{
  const bind_value_hooks *hooks = bind_value_get_hooks(d->L);
  void (*push)(lua_State *, da_slice) = hooks == NULL ? NULL : promise ? hooks->push_promise : hooks->push_function;
  skip_space(d);
  const char *at = d->at;
  if (!decode_value(d)) return false;
  if (lua_type(d->L, -1) != LUA_TSTRING) return bind_decode_fail(d, at, "expected a string");
  if (push == NULL)
    return bind_decode_fail(d, at,
                            promise ? "a promise cannot be read here" : "a durable function cannot be read here");
  int top = lua_gettop(d->L);
  push(d->L, top_string(d->L));
  DA_ASSERT_OP(lua_gettop(d->L), ==, top + 1);
  lua_remove(d->L, -2);
  return true;
}

typedef enum tag { TAG_BYTES, TAG_FUNC, TAG_I64, TAG_MAP, TAG_NAN, TAG_OBJ, TAG_PROMISE, TAG_STR, TAG_COUNT } tag;

static bool read_tag(bind_decoder *d, tag *out)
{
  static const char *const names[TAG_COUNT] = {"bytes", "func", "i64", "map", "nan", "obj", "promise", "str"};
  const char *at = d->at;
  if (!bind_decode_plain_string(d)) return false;
  da_slice name = top_string(d->L);
  for (int i = 0; i < TAG_COUNT; i++) {
    if (!da_slice_eq(name, da_slice_of(names[i]))) continue;
    *out = (tag)i;
    lua_pop(d->L, 1);
    return true;
  }
  return bind_decode_fail_quoting(d, at, "unknown tag", name.ptr);
}

static bool decode_tagged(bind_decoder *d, tag kind)
{
  switch (kind) {
  case TAG_BYTES:
    return bind_decode_bytes(d);
  case TAG_FUNC:
    return decode_handle(d, false);
  case TAG_I64:
    return bind_decode_i64(d);
  case TAG_MAP:
    return decode_map(d);
  case TAG_OBJ:
    return decode_raw_object(d);
  case TAG_PROMISE:
    return decode_handle(d, true);
  case TAG_STR:
    return bind_decode_plain_string(d);
  case TAG_NAN:
  case TAG_COUNT:
    break;
  }
  return false;
}

/* The rest of an object behind its first key, "__da". */
static bool decode_tag(bind_decoder *d)
{
  tag kind = TAG_COUNT;
  if (!bind_decode_expect(d, ':', "expected ':'")) return false;
  skip_space(d);
  if (!read_tag(d, &kind)) return false;
  if (kind == TAG_NAN) {
    lua_pushnumber(d->L, (lua_Number)NAN);
    return bind_decode_expect(d, '}', "expected '}'");
  }
  if (!bind_decode_expect(d, ',', "expected ','")) return false;
  skip_space(d);
  const char *at = d->at;
  if (!push_key(d)) return false;
  if (!da_slice_eq(top_string(d->L), DA_LIT("v"))) return bind_decode_fail(d, at, "expected the key \"v\"");
  lua_pop(d->L, 1);
  if (!bind_decode_expect(d, ':', "expected ':'")) return false;
  skip_space(d);
  return decode_tagged(d, kind) && bind_decode_expect(d, '}', "expected '}'");
}

/* d->at is behind '{'. */
static bool decode_object(bind_decoder *d)
{
  if (!enter(d)) return false;
  skip_space(d);
  const char *at = d->at;
  if (at < d->end && *at == '}') {
    d->at++;
    lua_newtable(d->L);
    d->depth--;
    return true;
  }
  if (!push_key(d)) return false;
  bool ok = false;
  if (da_slice_eq(top_string(d->L), DA_LIT("__da"))) {
    lua_pop(d->L, 1);
    ok = decode_tag(d);
  } else {
    ok = decode_members(d, false, at);
  }
  d->depth--;
  return ok;
}

/* ---- values and doors ---- */

static bool take_word(bind_decoder *d, da_slice word)
{
  if ((size_t)(d->end - d->at) < word.len || memcmp(d->at, word.ptr, word.len) != 0)
    return bind_decode_fail(d, d->at, "not a JSON value");
  d->at += word.len;
  return true;
}

/* Pushes one value; null is a light userdata, NULL. */
static bool decode_value(bind_decoder *d)
{
  skip_space(d);
  if (d->at == d->end) return bind_decode_fail(d, d->at, "the text ends where a value is expected");
  switch (*d->at) {
  case '{':
    d->at++;
    return decode_object(d);
  case '[':
    d->at++;
    return decode_array(d);
  case '"':
    return bind_decode_string(d);
  case 't':
    lua_pushboolean(d->L, true);
    return take_word(d, DA_LIT("true"));
  case 'f':
    lua_pushboolean(d->L, false);
    return take_word(d, DA_LIT("false"));
  case 'n':
    lua_pushlightuserdata(d->L, NULL);
    return take_word(d, DA_LIT("null"));
  default:
    if (*d->at != '-' && !is_digit(d, d->at)) return bind_decode_fail(d, d->at, "not a JSON value");
    return bind_decode_number(d);
  }
}

static bool begin(bind_decoder *d, lua_State *L, da_slice json, da_err *err)
{
  d->L = L;
  d->start = json.ptr != NULL ? json.ptr : "";
  d->at = d->start;
  d->end = d->start + json.len;
  d->err = err;
  d->status = DA_OK;
  d->depth = 0;
  d->keep_nulls = false;
  if (json.len > DA_VALUE_MAX) return bind_decode_fail_as(d, DA_ETOOBIG, d->start, "larger than a value may be");
  return lua_checkstack(L, STACK_NEED) || bind_decode_fail_as(d, DA_ENOMEM, d->start, "no memory for the Lua stack");
}

static bool at_end(bind_decoder *d)
{
  skip_space(d);
  return d->at == d->end || bind_decode_fail(d, d->at, "more text behind the value");
}

/* null as a whole value, an argument or a result is nil. */
static void null_to_nil(lua_State *L)
{
  if (!lua_islightuserdata(L, -1)) return;
  lua_pop(L, 1);
  lua_pushnil(L);
}

static da_status finish(bind_decoder *d, bool ok, int top)
{
  if (ok) return DA_OK;
  lua_settop(d->L, top);
  return d->status;
}

static da_status decode_one(lua_State *L, da_slice json, bool keep_nulls, da_err *err)
{
  bind_decoder d;
  int top = lua_gettop(L);
  bool ok = begin(&d, L, json, err);
  d.keep_nulls = keep_nulls;
  ok = ok && decode_value(&d) && at_end(&d);
  if (ok) null_to_nil(L);
  return finish(&d, ok, top);
}

da_status bind_value_decode(lua_State *L, da_slice json, da_err *err)
{
  return decode_one(L, json, false, err);
}

static bool push_elements(bind_decoder *d, int *count)
{
  *count = 0;
  if (!bind_decode_expect(d, '[', "expected '['")) return false;
  d->depth = 1;
  skip_space(d);
  if (d->at < d->end && *d->at == ']') {
    d->at++;
    return at_end(d);
  }
  for (int next = 1; next != 0;) {
    if (!lua_checkstack(d->L, STACK_NEED))
      return bind_decode_fail_as(d, DA_ETOOBIG, d->at, "more values than the Lua stack holds");
    if (!decode_value(d)) return false;
    null_to_nil(d->L);
    (*count)++;
    next = more(d, ']', "expected ',' or ']'");
    if (next < 0) return false;
  }
  return at_end(d);
}

static da_status decode_array_of(lua_State *L, da_slice json, bool keep_nulls, int *count, da_err *err)
{
  bind_decoder d;
  int top = lua_gettop(L);
  bool ok = begin(&d, L, json, err);
  d.keep_nulls = keep_nulls;
  return finish(&d, ok && push_elements(&d, count), top);
}

da_status bind_value_decode_array(lua_State *L, da_slice json, int *count, da_err *err)
{
  return decode_array_of(L, json, false, count, err);
}

static da_status decode_results(lua_State *L, da_slice data, da_slice rest, bool keep_nulls, int *count, da_err *err)
{
  int top = lua_gettop(L);
  *count = 0;
  if (data.len == 0) return DA_OK;
  da_status status = decode_one(L, data, keep_nulls, err);
  int more_count = 0;
  if (status == DA_OK && rest.len != 0) status = decode_array_of(L, rest, keep_nulls, &more_count, err);
  if (status != DA_OK) {
    lua_settop(L, top);
    return status;
  }
  *count = 1 + more_count;
  return DA_OK;
}

da_status bind_value_decode_results(lua_State *L, da_slice data, da_slice rest, int *count, da_err *err)
{
  return decode_results(L, data, rest, false, count, err);
}

da_status bind_value_decode_whole_results(lua_State *L, da_slice data, da_slice rest, int *count, da_err *err)
{
  return decode_results(L, data, rest, true, count, err);
}
