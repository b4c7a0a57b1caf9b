/* bind_error.c - da.Error tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind_error.h"

#include <ctype.h>

#include "../host/base/limits.h"
#include "../host/base/text.h"
#include "bind_value.h"

enum { SUMMARY_MAX = 200 }; /* bytes of a raised table shown as its message */

/* ---- metamethods ---- */

/* Pushes t[name] as text, or `otherwise` if it is absent. No addresses: they differ from run to run. */
static void push_text_field(lua_State *L, int index, const char *name, const char *otherwise)
{
  lua_pushstring(L, name);
  int type = lua_rawget(L, index);
  if (lua_isstring(L, -1)) return;
  bool truth = lua_toboolean(L, -1);
  lua_pop(L, 1);
  if (type == LUA_TNIL) {
    lua_pushstring(L, otherwise);
  } else if (type == LUA_TBOOLEAN) {
    lua_pushstring(L, truth ? "true" : "false");
  } else {
    lua_pushfstring(L, "(a %s)", lua_typename(L, type));
  }
}

static void push_promise_id(lua_State *L, int index)
{
  lua_pushliteral(L, "promise");
  (void)lua_rawget(L, index);
  const bind_value_hooks *hooks = bind_value_get_hooks(L);
  da_slice id = DA_NONE;
  if (lua_isuserdata(L, -1) && hooks != NULL && hooks->id_of != NULL && hooks->id_of(L, -1, &id)) {
    lua_pushlstring(L, id.ptr, id.len);
    lua_remove(L, -2);
  }
}

void bind_error_push_line(lua_State *L, int index)
{
  luaL_checkstack(L, 10, "error");
  index = lua_absindex(L, index);
  int top = lua_gettop(L);
  if (!bind_error_is(L, index)) {
    if (lua_isstring(L, index))
      lua_pushvalue(L, index);
    else
      lua_pushfstring(L, "(a %s)", luaL_typename(L, index));
    return;
  }
  lua_pushliteral(L, "[");
  push_text_field(L, index, "code", "error");
  lua_pushliteral(L, "]");
  push_text_field(L, index, "message", "");
  if (lua_rawlen(L, -1) > 0) {
    lua_pushliteral(L, " ");
    lua_insert(L, -2);
  }
  push_promise_id(L, index);
  if (lua_type(L, -1) == LUA_TSTRING) {
    lua_pushliteral(L, " (promise ");
    lua_insert(L, -2);
    lua_pushliteral(L, ")");
  } else {
    lua_pop(L, 1);
  }
  lua_concat(L, lua_gettop(L) - top);
}

bool bind_error_next_cause(lua_State *L)
{
  if (!bind_error_is(L, -1)) return false;
  lua_pushliteral(L, "cause");
  bool more = lua_rawget(L, -2) != LUA_TNIL;
  if (more)
    lua_replace(L, -2);
  else
    lua_pop(L, 1);
  return more;
}

/* `[code] message (promise id); caused by [code] message (promise id)` */
static int error_tostring(lua_State *L)
{
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  bind_error_push_line(L, 1);
  lua_pushvalue(L, 1);
  for (int n = 0; n < BIND_ERROR_CAUSES && bind_error_next_cause(L); n++) {
    lua_pushvalue(L, 2);
    lua_pushliteral(L, "; caused by ");
    bind_error_push_line(L, 3);
    lua_concat(L, 3);
    lua_replace(L, 2);
  }
  lua_settop(L, 2);
  return 1;
}

static int error_concat(lua_State *L)
{
  for (int i = 1; i <= 2; i++) {
    if (!lua_isstring(L, i) && !bind_error_is(L, i))
      return luaL_error(L, "attempt to concatenate a %s value", luaL_typename(L, i));
    (void)luaL_tolstring(L, i, NULL);
  }
  lua_concat(L, 2);
  return 1;
}

const luaL_Reg bind_error_metamethods[] = {
    {"__tostring", error_tostring},
    {"__concat", error_concat},
    {NULL, NULL},
};

/* ---- making one ---- */

void bind_error_push(lua_State *L, const char *code, const char *message)
{
  luaL_checkstack(L, 4, "error");
  lua_createtable(L, 0, 4);
  lua_pushstring(L, code);
  lua_setfield(L, -2, "code");
  lua_pushstring(L, message);
  lua_setfield(L, -2, "message");
  bind_value_set_mark(L, BIND_MARK_ERROR);
}

void bind_error_push_status(lua_State *L, da_status status, const da_err *err)
{
  char code[32];
  const char *name = da_status_name(status);
  if (*name == 'E') name++;
  size_t len = 0;
  for (; name[len] != '\0' && len < sizeof code - 1; len++) code[len] = (char)tolower((unsigned char)name[len]);
  code[len] = '\0';
  bind_error_push(L, code, err != NULL && err->text[0] != '\0' ? err->text : da_status_text(status));
}

bool bind_error_is(lua_State *L, int index)
{
  return lua_istable(L, index) && bind_value_mark(L, index) == BIND_MARK_ERROR;
}

/* ---- from whatever was raised ---- */

static int protected_tostring(lua_State *L)
{
  (void)luaL_tolstring(L, 1, NULL);
  return 1;
}

/* Pushes the value's own text if it has a __tostring that works, else nothing. */
static bool push_own_text(lua_State *L, int index)
{
  if (luaL_getmetafield(L, index, "__tostring") == LUA_TNIL) return false;
  lua_pop(L, 1);
  lua_pushcfunction(L, protected_tostring);
  lua_pushvalue(L, index);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) return true;
  lua_pop(L, 1);
  return false;
}

/* Length of s cut to at most `max` bytes, not within a UTF-8 sequence. */
static size_t cut(da_slice s, size_t max)
{
  if (s.len <= max) return s.len;
  while (max > 0 && ((unsigned char)s.ptr[max] & 0xc0) == 0x80) max--;
  return max;
}

/* Pushes the JSON text of a table, cut; its type if it has none. */
static void push_summary(lua_State *L, int index)
{
  char text[SUMMARY_MAX + 3];
  da_buf json = {0};
  size_t len = 0;
  if (bind_value_encode(L, index, "error", &json, NULL) == DA_OK) {
    len = cut(da_buf_slice(&json), SUMMARY_MAX);
    memcpy(text, json.ptr, len);
    if (json.len > len) {
      memcpy(text + len, "...", 3);
      len += 3;
    }
  }
  da_buf_free(&json); /* before Lua may raise */
  if (len != 0) {
    lua_pushlstring(L, text, len);
  } else {
    lua_pushliteral(L, "(a table)");
  }
}

static void push_copy(lua_State *L, int index)
{
  lua_createtable(L, 0, 4);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

/* Pushes what a raised table without a message may have meant. */
static void push_table_message(lua_State *L, int index, bool coded)
{
  if (lua_rawgeti(L, index, 1) == LUA_TSTRING) return;
  lua_pop(L, 1);
  if (push_own_text(L, index)) return;
  if (coded) {
    lua_pushliteral(L, "");
  } else {
    push_summary(L, index);
  }
}

static void push_of_table(lua_State *L, int index)
{
  push_copy(L, index);
  lua_pushliteral(L, "code");
  bool coded = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 1);
  lua_pushliteral(L, "message");
  bool told = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 1);
  if (!told) {
    push_table_message(L, index, coded);
    lua_setfield(L, -2, "message");
  }
  if (!coded) {
    lua_pushliteral(L, "error");
    lua_setfield(L, -2, "code");
  }
  bind_value_set_mark(L, BIND_MARK_ERROR);
}

static void push_of_other(lua_State *L, int index)
{
  bind_error_push(L, "error", "");
  if (lua_isboolean(L, index))
    lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
  else if (!push_own_text(L, index))
    lua_pushfstring(L, "(a %s)", luaL_typename(L, index));
  lua_setfield(L, -2, "message");
  lua_pushvalue(L, index);
  lua_setfield(L, -2, "value");
}

static void push_of_text(lua_State *L, int index)
{
  bind_error_push(L, "error", "");
  lua_pushvalue(L, index);
  (void)lua_tostring(L, -1); /* a number becomes its text */
  lua_setfield(L, -2, "message");
}

void bind_error_normalize(lua_State *L, int index, da_slice traceback)
{
  luaL_checkstack(L, 12, "error");
  index = lua_absindex(L, index);
  if (!bind_error_is(L, index)) {
    switch (lua_type(L, index)) {
    case LUA_TTABLE:
      push_of_table(L, index);
      break;
    case LUA_TSTRING:
      push_of_text(L, index);
      break;
    case LUA_TNUMBER:
      push_of_text(L, index);
      lua_pushvalue(L, index);
      lua_setfield(L, -2, "value");
      break;
    case LUA_TNIL:
      bind_error_push(L, "error", "nil");
      break;
    default:
      push_of_other(L, index);
      break;
    }
    lua_replace(L, index);
  }
  if (traceback.len == 0) return;
  lua_pushliteral(L, "traceback");
  if (lua_rawget(L, index) == LUA_TNIL) {
    lua_pushliteral(L, "traceback");
    lua_pushlstring(L, traceback.ptr, cut(traceback, DA_TRACEBACK_MAX));
    lua_rawset(L, index);
  }
  lua_pop(L, 1);
}

/* ---- for scripts ---- */

/* error_new(code, message, fields): fields is copied; code and message win over it. */
static int bind_error_new(lua_State *L)
{
  (void)luaL_checkstring(L, 1);
  (void)luaL_optstring(L, 2, "");
  lua_settop(L, 3);
  if (lua_isnil(L, 3)) {
    lua_createtable(L, 0, 4);
  } else {
    luaL_checktype(L, 3, LUA_TTABLE);
    push_copy(L, 3);
  }
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "code");
  if (lua_isnil(L, 2)) {
    lua_pushliteral(L, "");
  } else {
    lua_pushvalue(L, 2);
  }
  lua_setfield(L, -2, "message");
  bind_value_set_mark(L, BIND_MARK_ERROR);
  return 1;
}

static int bind_error_test(lua_State *L)
{
  lua_pushboolean(L, bind_error_is(L, 1));
  return 1;
}

static int bind_error_of(lua_State *L)
{
  size_t len = 0;
  const char *traceback = luaL_optlstring(L, 2, "", &len);
  lua_settop(L, 2);
  bind_error_normalize(L, 1, da_slice_make(traceback, len));
  lua_settop(L, 1);
  return 1;
}

const luaL_Reg bind_error_functions[] = {
    {"error_new", bind_error_new},
    {"is_error", bind_error_test},
    {"error_of", bind_error_of},
    {NULL, NULL},
};
