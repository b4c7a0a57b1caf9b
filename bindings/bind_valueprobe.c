/* bind_valueprobe.c - for specs only: the value codec and da.Error as a module for a stock lua5.4.
 *
 * Here:     encode, encode_args, encode_results, encode_error, decode, decode_array, decode_results, each answering
 *           values, or nil, words, status name; da.array, da.object, da.null; error_new, is_error, error_of; promises
 *           and durable functions that are nothing but a userdata with an id.
 * May not:  be part of the program.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "bind_error.h"
#include "bind_value.h"

int luaopen_da_valueprobe(lua_State *L);

/* ---- handles ---- */

static void push_handle(lua_State *L, const char *kind, da_slice name)
{
  char *copy = lua_newuserdatauv(L, sizeof name.len + name.len, 0);
  memcpy(copy, &name.len, sizeof name.len);
  memcpy(copy + sizeof name.len, name.ptr, name.len);
  luaL_setmetatable(L, kind);
}

static bool read_handle(lua_State *L, int index, const char *kind, da_slice *name)
{
  const char *copy = luaL_testudata(L, index, kind);
  if (copy == NULL) return false;
  memcpy(&name->len, copy, sizeof name->len);
  name->ptr = copy + sizeof name->len;
  return true;
}

static bool probe_id_of(lua_State *L, int index, da_slice *id)
{
  return read_handle(L, index, "da.promise", id);
}

static void probe_push_promise(lua_State *L, da_slice id)
{
  push_handle(L, "da.promise", id);
}

static bool probe_name_of(lua_State *L, int index, da_slice *name)
{
  return read_handle(L, index, "da.function", name);
}

static void probe_push_function(lua_State *L, da_slice name)
{
  push_handle(L, "da.function", name);
}

static const bind_value_hooks hooks = {probe_id_of, probe_push_promise, probe_name_of, probe_push_function, false};

static da_slice check_slice(lua_State *L, int index)
{
  da_slice s;
  s.ptr = luaL_optlstring(L, index, "", &s.len);
  return s;
}

static int probe_promise(lua_State *L)
{
  probe_push_promise(L, check_slice(L, 1));
  return 1;
}

static int probe_function(lua_State *L)
{
  probe_push_function(L, check_slice(L, 1));
  return 1;
}

static int probe_handle_name(lua_State *L)
{
  da_slice name = DA_NONE;
  if (!probe_id_of(L, 1, &name) && !probe_name_of(L, 1, &name)) return 0;
  lua_pushlstring(L, name.ptr, name.len);
  return 1;
}

/* ---- codec ---- */

static int answer_failure(lua_State *L, da_status status, const da_err *err)
{
  lua_pushnil(L);
  lua_pushstring(L, err->text);
  lua_pushstring(L, da_status_name(status));
  return 3;
}

static void push_buf(lua_State *L, da_buf *buf)
{
  lua_pushlstring(L, buf->ptr != NULL ? buf->ptr : "", buf->len);
  da_buf_free(buf);
}

typedef da_status encode_fn(lua_State *L, int index, const char *what, da_buf *out, da_err *err);

static int encode_with(lua_State *L, encode_fn *encode)
{
  da_buf out = {0};
  da_err err = {""};
  const char *what = luaL_optstring(L, 2, "value");
  lua_settop(L, 2);
  da_status status = encode(L, 1, what, &out, &err);
  DA_ASSERT_OP(lua_gettop(L), ==, 2);
  if (status != DA_OK) DA_ASSERT_OP(out.len, ==, 0);
  if (status == DA_OK) {
    push_buf(L, &out);
    return 1;
  }
  da_buf_free(&out);
  return answer_failure(L, status, &err);
}

static int probe_encode(lua_State *L)
{
  luaL_checkany(L, 1);
  return encode_with(L, bind_value_encode);
}

static int probe_encode_error(lua_State *L)
{
  luaL_checkany(L, 1);
  return encode_with(L, bind_value_encode_error);
}

/* encode_args(what, ...) */
static int probe_encode_args(lua_State *L)
{
  da_buf out = {0};
  da_err err = {""};
  const char *what = luaL_checkstring(L, 1);
  int top = lua_gettop(L);
  da_status status = bind_value_encode_args(L, 2, top, what, &out, &err);
  DA_ASSERT_OP(lua_gettop(L), ==, top);
  if (status == DA_OK) {
    push_buf(L, &out);
    return 1;
  }
  da_buf_free(&out);
  return answer_failure(L, status, &err);
}

/* encode_results(what, ...) -> data, rest */
static int probe_encode_results(lua_State *L)
{
  da_buf data = {0};
  da_buf rest = {0};
  da_err err = {""};
  const char *what = luaL_checkstring(L, 1);
  int top = lua_gettop(L);
  da_status status = bind_value_encode_results(L, 2, top, what, &data, &rest, &err);
  DA_ASSERT_OP(lua_gettop(L), ==, top);
  if (status == DA_OK) {
    push_buf(L, &data);
    push_buf(L, &rest);
    return 2;
  }
  DA_ASSERT_OP(data.len + rest.len, ==, 0);
  da_buf_free(&data);
  da_buf_free(&rest);
  return answer_failure(L, status, &err);
}

/* A copy of its exact size, so that a sanitizer sees a read beyond the text. */
static da_slice copy_of(da_slice s)
{
  char *copy = da_xmalloc(s.len);
  if (s.len != 0) memcpy(copy, s.ptr, s.len);
  return da_slice_make(copy, s.len);
}

static void free_copy(da_slice s)
{
  union {
    const char *in;
    void *out;
  } pointer = {s.ptr};
  free(pointer.out);
}

static int probe_decode(lua_State *L)
{
  da_err err = {""};
  da_slice json = copy_of(check_slice(L, 1));
  int top = lua_gettop(L);
  da_status status = bind_value_decode(L, json, &err);
  free_copy(json);
  DA_ASSERT_OP(lua_gettop(L), ==, top + (status == DA_OK));
  return status == DA_OK ? 1 : answer_failure(L, status, &err);
}

static int answer_many(lua_State *L, da_status status, int top, int count, const da_err *err)
{
  if (status != DA_OK) {
    DA_ASSERT_OP(lua_gettop(L), ==, top);
    return answer_failure(L, status, err);
  }
  DA_ASSERT_OP(lua_gettop(L), ==, top + count);
  return count;
}

static int probe_decode_array(lua_State *L)
{
  da_err err = {""};
  int count = 0;
  int top = lua_gettop(L);
  da_status status = bind_value_decode_array(L, check_slice(L, 1), &count, &err);
  return answer_many(L, status, top, count, &err);
}

/* decode_results(data, rest) */
static int probe_decode_results(lua_State *L)
{
  da_err err = {""};
  int count = 0;
  int top = lua_gettop(L);
  da_status status = bind_value_decode_results(L, check_slice(L, 1), check_slice(L, 2), &count, &err);
  return answer_many(L, status, top, count, &err);
}

/* error_of_status(name, words): the da.Error of the operating failure with that short name ("EBUSY"). */
static int probe_error_of_status(lua_State *L)
{
  const char *name = luaL_checkstring(L, 1);
  da_err err = {""};
  (void)da_fail(&err, DA_OK, "%s", luaL_optstring(L, 2, ""));
#define X(value, short_name, text) \
  if (strcmp(name, #short_name) == 0) bind_error_push_status(L, DA_##short_name, &err);
  DA_STATUS_MAP(X)
#undef X
  return 1;
}

static const luaL_Reg functions[] = {
    {"encode", probe_encode},
    {"encode_error", probe_encode_error},
    {"encode_args", probe_encode_args},
    {"encode_results", probe_encode_results},
    {"decode", probe_decode},
    {"decode_array", probe_decode_array},
    {"decode_results", probe_decode_results},
    {"promise", probe_promise},
    {"func", probe_function},
    {"handle_name", probe_handle_name},
    {"error_of_status", probe_error_of_status},
    {NULL, NULL},
};

int luaopen_da_valueprobe(lua_State *L)
{
  luaL_newmetatable(L, "da.promise");
  luaL_newmetatable(L, "da.function");
  bind_value_open(L, &hooks);
  luaL_newlib(L, functions);
  luaL_setfuncs(L, bind_error_functions, 0);
  bind_value_install(L, -1);
  return 1;
}
