/* bind_call_value.c - what a native is given and what it returns: dahost.h's arguments, values and results.
 *
 * A value is its index in the call's own Lua stack, an argument's its number. Nothing here raises: the state's memory
 * does not end (bind_call.c), and what Lua would refuse is looked for first.
 * Threads: whoever has the call.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "bind_error.h"
#include "bind_native.h"
#include "bind_value.h"

static const char *const type_names[] = {"nothing",  "nil",      "a boolean", "an integer",
                                         "a number", "a string", "a table"};

/* ---- failing -------------------------------------------------------------------------------------------- */

void dahost_fail(dahost_call *call, const char *code, const char *format, ...)
{
  if (call->failed) return;
  char text[1024];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  call->failed = true;
  lua_settop(call->R, 0);
  bind_error_push(call->R, code != NULL ? code : "error", text);
}

void dahost_fail_field(dahost_call *call, const char *name, dahost_value value)
{
  if (!call->failed || value == 0) return;
  lua_pushvalue(call->L, value);
  lua_xmove(call->L, call->R, 1);
  lua_setfield(call->R, 1, name);
}

void dahost_fail_fatal(dahost_call *call)
{
  call->fatal = call->fatal || call->failed;
}

/* ---- the stack ------------------------------------------------------------------------------------------ */

/* Is there room for some more values? Else the call fails. */
static bool room(dahost_call *call)
{
  if (lua_checkstack(call->L, 8) != 0) return true;
  dahost_fail(call, "memory", "the native holds more values at a time than there is room for; see dahost_release()");
  dahost_fail_fatal(call);
  return false;
}

static dahost_value top(dahost_call *call)
{
  return lua_gettop(call->L);
}

static bool is_there(const dahost_call *call, dahost_value value)
{
  return value > 0 && value <= lua_gettop(call->L);
}

int dahost_mark(const dahost_call *call)
{
  return lua_gettop(call->L);
}

void dahost_release(dahost_call *call, int mark)
{
  if (mark >= call->arg_count && mark <= lua_gettop(call->L)) lua_settop(call->L, mark);
}

lua_State *dahost_lua(dahost_call *call)
{
  return call->L;
}

dahost_value dahost_lua_value(dahost_call *call, int index)
{
  return lua_absindex(call->L, index);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

dahost_type dahost_type_of(dahost_call *call, dahost_value value)
{
  if (!is_there(call, value)) return DAHOST_NONE;
  switch (lua_type(call->L, value)) {
  case LUA_TBOOLEAN:
    return DAHOST_BOOLEAN;
  case LUA_TNUMBER:
    return lua_isinteger(call->L, value) ? DAHOST_INTEGER : DAHOST_NUMBER;
  case LUA_TSTRING:
    return DAHOST_STRING;
  case LUA_TTABLE:
    return DAHOST_TABLE;
  default:
    return DAHOST_NIL; /* and da.null */
  }
}

int64_t dahost_to_integer(dahost_call *call, dahost_value value)
{
  return is_there(call, value) && lua_type(call->L, value) == LUA_TNUMBER ? lua_tointeger(call->L, value) : 0;
}

double dahost_to_number(dahost_call *call, dahost_value value)
{
  return is_there(call, value) && lua_type(call->L, value) == LUA_TNUMBER ? lua_tonumber(call->L, value) : 0;
}

bool dahost_to_boolean(dahost_call *call, dahost_value value)
{
  return is_there(call, value) && lua_isboolean(call->L, value) && lua_toboolean(call->L, value) != 0;
}

const char *dahost_to_string(dahost_call *call, dahost_value value, size_t *len)
{
  if (len != NULL) *len = 0;
  if (!is_there(call, value) || lua_type(call->L, value) != LUA_TSTRING) return NULL;
  return lua_tolstring(call->L, value, len);
}

static bool is_table(const dahost_call *call, dahost_value value)
{
  return is_there(call, value) && lua_istable(call->L, value);
}

size_t dahost_count(dahost_call *call, dahost_value table)
{
  return is_table(call, table) ? (size_t)lua_rawlen(call->L, table) : 0;
}

/* What was just pushed; nil is no value of a table. */
static dahost_value found(dahost_call *call)
{
  if (!lua_isnil(call->L, -1)) return top(call);
  lua_pop(call->L, 1);
  return 0;
}

dahost_value dahost_at(dahost_call *call, dahost_value table, size_t i)
{
  if (!is_table(call, table) || !room(call)) return 0;
  lua_rawgeti(call->L, table, (lua_Integer)i);
  return found(call);
}

dahost_value dahost_field(dahost_call *call, dahost_value table, const char *name)
{
  if (!is_table(call, table) || !room(call)) return 0;
  lua_pushstring(call->L, name);
  lua_rawget(call->L, table);
  return found(call);
}

dahost_value dahost_get(dahost_call *call, dahost_value table, dahost_value key)
{
  if (!is_table(call, table) || !is_there(call, key) || !room(call)) return 0;
  lua_pushvalue(call->L, key);
  lua_rawget(call->L, table);
  return found(call);
}

bool dahost_is_list(dahost_call *call, dahost_value value)
{
  if (!is_table(call, value) || !room(call)) return false;
  if (bind_value_mark(call->L, value) == BIND_MARK_ARRAY) return true;
  lua_Unsigned count = lua_rawlen(call->L, value), all = 0;
  if (count == 0) return false;
  lua_pushnil(call->L);
  while (lua_next(call->L, value) != 0) {
    lua_pop(call->L, 1);
    all++;
  }
  return all == count;
}

bool dahost_next(dahost_call *call, dahost_value table, dahost_value *key, dahost_value *value)
{
  if (!is_table(call, table) || !room(call)) return false;
  if (*key == 0)
    lua_pushnil(call->L);
  else
    lua_pushvalue(call->L, *key);
  if (lua_next(call->L, table) == 0) return false;
  if (*key == 0) {
    *value = top(call);
    *key = *value - 1;
    return true;
  }
  lua_replace(call->L, *value); /* the places of the pair before */
  lua_replace(call->L, *key);
  return true;
}

/* ---- arguments ------------------------------------------------------------------------------------------ */

int dahost_arg_count(const dahost_call *call)
{
  return call->arg_count;
}

dahost_value dahost_arg(const dahost_call *call, int i)
{
  return i > 0 && i <= call->arg_count ? i : 0;
}

static bool absent(dahost_call *call, int i)
{
  return dahost_type_of(call, dahost_arg(call, i)) <= DAHOST_NIL;
}

static bool bad_argument(dahost_call *call, int i, const char *wanted)
{
  dahost_type type = dahost_type_of(call, dahost_arg(call, i));
  dahost_fail(call, "bad_argument", "argument %d of %.*s must be %s, got %s", i, DA_FMT(call->native->native.name),
              wanted, type_names[type]);
  dahost_fail_fatal(call);
  return false;
}

bool dahost_arg_integer(dahost_call *call, int i, int64_t *out)
{
  int exact = 0;
  if (absent(call, i) || lua_type(call->L, i) != LUA_TNUMBER) return bad_argument(call, i, "an integer");
  lua_Integer n = lua_tointegerx(call->L, i, &exact);
  if (exact == 0) return bad_argument(call, i, "an integer");
  *out = n;
  return true;
}

bool dahost_arg_number(dahost_call *call, int i, double *out)
{
  if (absent(call, i) || lua_type(call->L, i) != LUA_TNUMBER) return bad_argument(call, i, "a number");
  *out = lua_tonumber(call->L, i);
  return true;
}

bool dahost_arg_boolean(dahost_call *call, int i, bool *out)
{
  if (absent(call, i) || !lua_isboolean(call->L, i)) return bad_argument(call, i, "a boolean");
  *out = lua_toboolean(call->L, i) != 0;
  return true;
}

bool dahost_arg_string(dahost_call *call, int i, const char **out, size_t *len)
{
  size_t count = 0;
  if (absent(call, i) || lua_type(call->L, i) != LUA_TSTRING) return bad_argument(call, i, "a string");
  *out = lua_tolstring(call->L, i, &count);
  if (len == NULL && strlen(*out) != count) return bad_argument(call, i, "a string without a zero byte");
  if (len != NULL) *len = count;
  return true;
}

bool dahost_arg_table(dahost_call *call, int i, dahost_value *out)
{
  if (!is_table(call, dahost_arg(call, i))) return bad_argument(call, i, "a table");
  *out = i;
  return true;
}

bool dahost_opt_integer(dahost_call *call, int i, int64_t *out)
{
  return absent(call, i) || dahost_arg_integer(call, i, out);
}

bool dahost_opt_number(dahost_call *call, int i, double *out)
{
  return absent(call, i) || dahost_arg_number(call, i, out);
}

bool dahost_opt_boolean(dahost_call *call, int i, bool *out)
{
  return absent(call, i) || dahost_arg_boolean(call, i, out);
}

bool dahost_opt_string(dahost_call *call, int i, const char **out, size_t *len)
{
  return absent(call, i) || dahost_arg_string(call, i, out, len);
}

bool dahost_opt_table(dahost_call *call, int i, dahost_value *out)
{
  return absent(call, i) || dahost_arg_table(call, i, out);
}

/* ---- making --------------------------------------------------------------------------------------------- */

dahost_value dahost_new_nil(dahost_call *call)
{
  if (!room(call)) return 0;
  lua_pushlightuserdata(call->L, NULL);
  return top(call);
}

dahost_value dahost_new_boolean(dahost_call *call, bool value)
{
  if (!room(call)) return 0;
  lua_pushboolean(call->L, value);
  return top(call);
}

dahost_value dahost_new_integer(dahost_call *call, int64_t value)
{
  if (!room(call)) return 0;
  lua_pushinteger(call->L, value);
  return top(call);
}

dahost_value dahost_new_number(dahost_call *call, double value)
{
  if (!room(call)) return 0;
  lua_pushnumber(call->L, value);
  return top(call);
}

dahost_value dahost_new_string(dahost_call *call, const char *bytes, size_t len)
{
  if (!room(call)) return 0;
  lua_pushlstring(call->L, len > 0 ? bytes : "", len);
  return top(call);
}

dahost_value dahost_new_table(dahost_call *call)
{
  if (!room(call)) return 0;
  lua_newtable(call->L);
  return top(call);
}

dahost_value dahost_new_list(dahost_call *call)
{
  dahost_value table = dahost_new_table(call);
  if (table != 0) bind_value_set_mark(call->L, BIND_MARK_ARRAY);
  return table;
}

void dahost_append(dahost_call *call, dahost_value table, dahost_value value)
{
  if (!is_table(call, table) || !is_there(call, value) || !room(call)) return;
  lua_pushvalue(call->L, value);
  lua_rawseti(call->L, table, (lua_Integer)lua_rawlen(call->L, table) + 1);
}

void dahost_set(dahost_call *call, dahost_value table, const char *name, dahost_value value)
{
  if (!is_table(call, table) || !is_there(call, value) || !room(call)) return;
  lua_pushstring(call->L, name);
  lua_pushvalue(call->L, value);
  lua_rawset(call->L, table);
}

/* Can it be a key? Not nil, and not what is not a number. */
static bool is_key(dahost_call *call, dahost_value value)
{
  dahost_type type = dahost_type_of(call, value);
  return type > DAHOST_NIL && !(type == DAHOST_NUMBER && isnan(lua_tonumber(call->L, value)));
}

void dahost_set_pair(dahost_call *call, dahost_value table, dahost_value key, dahost_value value)
{
  if (!is_table(call, table) || !is_there(call, value) || !room(call)) return;
  if (!is_key(call, key)) {
    dahost_fail(call, "misuse", "dahost_set_pair(): the key is nil or no number");
    return;
  }
  lua_pushvalue(call->L, key);
  lua_pushvalue(call->L, value);
  lua_rawset(call->L, table);
}

/* ---- results -------------------------------------------------------------------------------------------- */

static bool takes_result(dahost_call *call)
{
  return !call->failed && room(call) && lua_checkstack(call->R, 8) != 0;
}

void dahost_return(dahost_call *call, dahost_value value)
{
  if (!takes_result(call)) return;
  if (dahost_type_of(call, value) <= DAHOST_NIL)
    lua_pushnil(call->L);
  else
    lua_pushvalue(call->L, value);
  lua_xmove(call->L, call->R, 1);
}

void dahost_return_nil(dahost_call *call)
{
  if (takes_result(call)) lua_pushnil(call->R);
}

void dahost_return_boolean(dahost_call *call, bool value)
{
  if (takes_result(call)) lua_pushboolean(call->R, value);
}

void dahost_return_integer(dahost_call *call, int64_t value)
{
  if (takes_result(call)) lua_pushinteger(call->R, value);
}

void dahost_return_number(dahost_call *call, double value)
{
  if (takes_result(call)) lua_pushnumber(call->R, value);
}

void dahost_return_string(dahost_call *call, const char *bytes, size_t len)
{
  if (takes_result(call)) lua_pushlstring(call->R, len > 0 ? bytes : "", len);
}
