/* bind_value_encode.c - Lua values to canonical JSON text; the form is told in bind_value.h, the way in bind_encode.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "../host/base/text.h"
#include "bind_encode.h"

#define PLAIN_INT_MAX ((lua_Integer)1 << 53) /* up to here every JSON reader is exact */

/* ---- scalars ---- */

static bool write_int(bind_encoder *e, lua_Integer value)
{
  da_buf *out = e->out;
  bool plain = value >= -PLAIN_INT_MAX && value <= PLAIN_INT_MAX;
  if (!plain) {
    if (!deepen(e, 1)) return false;
    e->depth--;
    BIND_PUT(e, "{\"__da\":\"i64\",\"v\":\"");
  }
  da_buf_reserve(out, DA_TEXT_INT_MAX);
  out->len += da_text_int(out->ptr + out->len, value);
  if (!plain) BIND_PUT(e, "\"}");
  return true;
}

static bool write_float(bind_encoder *e, lua_Number value)
{
  da_buf *out = e->out;
  if (isnan(value)) {
    if (!deepen(e, 1)) return false;
    e->depth--;
    BIND_PUT(e, "{\"__da\":\"nan\"}");
  } else if (isinf(value)) {
    da_buf_add_slice(out, value > 0 ? DA_LIT("\"" DA_TEXT_INF "\"") : DA_LIT("\"" DA_TEXT_NEG_INF "\""));
  } else {
    da_buf_reserve(out, DA_TEXT_FLOAT_MAX);
    out->len += da_text_float(out->ptr + out->len, value);
  }
  return true;
}

bool bind_encode_is_sentinel(da_slice s)
{
  return s.len >= 7 && s.ptr[0] == '_' &&
         (da_slice_eq(s, DA_LIT(DA_TEXT_INF)) || da_slice_eq(s, DA_LIT(DA_TEXT_NEG_INF)));
}

static bool write_bytes(bind_encoder *e, da_slice s)
{
  if (!deepen(e, 1) || !has_room(e, s.len / 3 * 4)) return false;
  e->depth--;
  BIND_PUT(e, "{\"__da\":\"bytes\",\"v\":\"");
  da_text_base64(e->out, s);
  BIND_PUT(e, "\"}");
  return true;
}

static bool write_string(bind_encoder *e, da_slice s)
{
  if (!has_room(e, s.len)) return false;
  if (bind_encode_is_sentinel(s)) {
    if (!deepen(e, 1)) return false;
    e->depth--;
    BIND_PUT(e, "{\"__da\":\"str\",\"v\":");
    (void)da_text_quote(e->out, s);
    put(e, '}');
    return true;
  }
  return da_text_quote(e->out, s) || write_bytes(e, s);
}

static void write_boolean(bind_encoder *e, bool value)
{
  da_buf_add_slice(e->out, value ? DA_LIT("true") : DA_LIT("false"));
}

/* A value that peers read as a plain string: an error's name, message or stack. */
bool bind_encode_text(bind_encoder *e, const bind_scalar *value)
{
  if (value->kind == KIND_STRING) {
    if (!has_room(e, value->as.string.len)) return false;
    da_text_quote_lossy(e->out, value->as.string);
    return true;
  }
  char text[DA_TEXT_FLOAT_MAX];
  size_t len = value->kind == KIND_INT ? da_text_int(text, value->as.integer) : da_text_float(text, value->as.number);
  da_text_quote_lossy(e->out, da_slice_make(text, len));
  return true;
}

bool bind_encode_scalar(bind_encoder *e, const bind_scalar *value)
{
  switch (value->kind) {
  case KIND_INT:
    return write_int(e, value->as.integer);
  case KIND_FLOAT:
    return write_float(e, value->as.number);
  case KIND_STRING:
    return write_string(e, value->as.string);
  case KIND_BYTES:
    return write_bytes(e, value->as.string);
  case KIND_BOOLEAN:
    write_boolean(e, value->as.boolean);
    return true;
  case KIND_NULL:
    BIND_PUT(e, "null");
    return true;
  case KIND_STACK:
    return bind_encode_value(e, value->slot);
  case KIND_REST:
    e->level--; /* its members are fields of the error itself: "__fields" is no step of a path */
    if (!bind_encode_members(e, value->as.members.from, value->as.members.to, BIND_MARK_OBJECT, 0)) return false;
    e->level++;
    return true;
  }
  return false;
}

/* ---- lists ---- */

/* The elements 1..n of the table at index; a hole is null. */
bool bind_encode_list(bind_encoder *e, int index, lua_Integer n)
{
  if (!deepen(e, 1)) return false;
  int level = e->level++;
  e->path[level].kind = KIND_INT;
  put(e, '[');
  for (lua_Integer i = 1; i <= n; i++) {
    if (i > 1) put(e, ',');
    e->path[level].as.integer = i;
    (void)lua_rawgeti(e->L, index, i);
    if (!bind_encode_value(e, lua_gettop(e->L)) || !has_room(e, 0)) return false;
    lua_pop(e->L, 1);
  }
  put(e, ']');
  e->level--;
  e->depth--;
  return true;
}

/* ---- values ---- */

/* A promise or a durable function, if the hooks know it. */
static bool encode_handle(bind_encoder *e, int index)
{
  const bind_value_hooks *hooks = bind_value_get_hooks(e->L);
  da_slice text = DA_NONE;
  bool promise = hooks != NULL && hooks->id_of != NULL && hooks->id_of(e->L, index, &text);
  if (!promise && (hooks == NULL || hooks->name_of == NULL || !hooks->name_of(e->L, index, &text)))
    return bind_encode_fail_type(e, index);
  if (!deepen(e, 1)) return false;
  da_buf_add_slice(e->out, promise ? DA_LIT("{\"__da\":\"promise\",\"v\":") : DA_LIT("{\"__da\":\"func\",\"v\":"));
  if (!write_string(e, text)) return false;
  put(e, '}');
  e->depth--;
  return true;
}

/* index is absolute: slots above it are used meanwhile. */
bool bind_encode_value(bind_encoder *e, int index)
{
  lua_State *L = e->L;
  bind_mark mark = BIND_MARK_NONE;
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    BIND_PUT(e, "null");
    return true;
  case LUA_TBOOLEAN:
    write_boolean(e, lua_toboolean(L, index));
    return true;
  case LUA_TNUMBER:
    return lua_isinteger(L, index) ? write_int(e, lua_tointeger(L, index)) : write_float(e, lua_tonumber(L, index));
  case LUA_TSTRING:
    return write_string(e, string_at(L, index));
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, index) != NULL) return bind_encode_fail_type(e, index);
    BIND_PUT(e, "null");
    return true;
  case LUA_TTABLE:
    mark = bind_value_mark(L, index);
    return mark == BIND_MARK_FOREIGN ? encode_handle(e, index) : bind_encode_table(e, index, mark);
  case LUA_TUSERDATA:
    return encode_handle(e, index);
  default:
    return bind_encode_fail_type(e, index);
  }
}

/* ---- the doors ---- */

static void begin(bind_encoder *e, lua_State *L, const char *what, da_buf *out, da_err *err)
{
  e->L = L;
  e->out = out;
  e->limit = out->len + DA_VALUE_MAX;
  e->what = what;
  e->err = err;
  e->status = DA_OK;
  e->lenient = false;
  e->depth = 0;
  e->level = 0;
  e->members = e->local_members;
  e->member_count = 0;
  e->member_cap = BIND_LOCAL_MEMBERS;
}

static da_status finish(bind_encoder *e, bool ok, int top, size_t len)
{
  if (e->members != e->local_members) free(e->members);
  lua_settop(e->L, top);
  if (!ok) e->out->len = len;
  return ok ? DA_OK : e->status;
}

static da_status encode_one(lua_State *L, int index, const char *what, bool lenient, da_buf *out, da_err *err)
{
  bind_encoder e;
  da_err own;
  int top = lua_gettop(L);
  size_t len = out->len;
  begin(&e, L, what, out, err != NULL ? err : &own);
  e.lenient = lenient;
  bool ok = lua_checkstack(L, BIND_STACK_NEED) ? bind_encode_value(&e, lua_absindex(L, index)) && has_room(&e, 0)
                                               : bind_encode_fail_stack(&e);
  return finish(&e, ok, top, len);
}

da_status bind_value_encode(lua_State *L, int index, const char *what, da_buf *out, da_err *err)
{
  return encode_one(L, index, what, false, out, err);
}

da_status bind_value_encode_error(lua_State *L, int index, const char *what, da_buf *out, da_err *err)
{
  return encode_one(L, index, what, true, out, err);
}

/* Values first..last as an array, the first of them called what[number]. */
static da_status encode_many(lua_State *L, int first, int last, lua_Integer number, const char *what, da_buf *out,
                             da_err *err)
{
  bind_encoder e;
  int top = lua_gettop(L);
  size_t len = out->len;
  begin(&e, L, what, out, err);
  e.depth = 1;
  e.level = 1;
  e.tables[0] = NULL;
  e.path[0].kind = KIND_INT;
  put(&e, '[');
  bool ok = lua_checkstack(L, BIND_STACK_NEED) || bind_encode_fail_stack(&e);
  for (int i = first; ok && i <= last; i++) {
    if (i > first) put(&e, ',');
    e.path[0].as.integer = number + (i - first);
    ok = bind_encode_value(&e, i) && has_room(&e, 0);
  }
  put(&e, ']');
  return finish(&e, ok, top, len);
}

da_status bind_value_encode_args(lua_State *L, int first, int last, const char *what, da_buf *out, da_err *err)
{
  return encode_many(L, first, last, 1, what, out, err);
}

da_status bind_value_encode_results(lua_State *L, int first, int last, const char *what, da_buf *data, da_buf *rest,
                                    da_err *err)
{
  size_t len = data->len;
  bind_encoder e;
  int top = lua_gettop(L);
  if (last < first) return DA_OK;
  begin(&e, L, what, data, err);
  e.level = 1;
  e.tables[0] = NULL;
  e.path[0].kind = KIND_INT;
  e.path[0].as.integer = 1;
  bool ok =
      lua_checkstack(L, BIND_STACK_NEED) ? bind_encode_value(&e, first) && has_room(&e, 0) : bind_encode_fail_stack(&e);
  da_status status = finish(&e, ok, top, len);
  if (status == DA_OK && last > first) status = encode_many(L, first + 1, last, 2, what, rest, err);
  if (status != DA_OK) data->len = len;
  return status;
}
