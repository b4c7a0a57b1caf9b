/* lib.c - opens the determinism library and freezes it; see lib.h.
 *
 * The registry of an isolate has no package.loaded: the stock library would walk it, in hash order, for the names of
 * functions in messages.
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib.h"

#include "lib_parts.h"

char da_yield_tag; /* only its address counts */

static da_lib_hooks hooks;

/* The key, in a frozen table's metatable, of the table behind it. */
static char frozen_key;

void da_lib_set_hooks(const da_lib_hooks *given)
{
  hooks = *given;
}

double lib_clock(lua_State *L)
{
  return hooks.clock != NULL ? hooks.clock(L) : 0;
}

void lib_print(lua_State *L, const char *text, size_t len)
{
  if (hooks.print != NULL) hooks.print(L, text, len);
}

void lib_open_stock(lua_State *L, lua_CFunction open)
{
  lua_pushcfunction(L, open);
  lua_call(L, 0, 1);
}

void lib_compile(lua_State *L, const char *source, const char *name)
{
  if (luaL_loadbufferx(L, source, strlen(source), name, "t") != LUA_OK) lua_error(L);
  lua_call(L, 0, 1);
}

void lib_wrap(lua_State *L, const char *name, lua_CFunction fn)
{
  lua_getfield(L, -1, name);
  lua_pushcclosure(L, fn, 1);
  lua_setfield(L, -2, name);
}

void da_lib_open(lua_State *L)
{
  DA_ASSERT(da_isolate_of(L) != NULL);
  lib_base_open(L);
  lib_control_open(L);
  lib_coroutine_open(L);
  lib_table_open(L);
  lib_string_open(L);
  lib_math_open(L);
  lib_os_open(L);
  lib_debug_open(L);
  lib_open_stock(L, luaopen_utf8);
  lua_setglobal(L, LUA_UTF8LIBNAME);
}

/* ---- frozen tables ---- */

static bool push_real(lua_State *L, int index)
{
  if (!lua_getmetatable(L, index)) return false;
  bool frozen = lua_rawgetp(L, -1, &frozen_key) == LUA_TTABLE;
  lua_remove(L, -2);
  if (!frozen) lua_pop(L, 1);
  return frozen;
}

bool lib_is_frozen(lua_State *L, int index)
{
  bool frozen = push_real(L, index);
  if (frozen) lua_pop(L, 1);
  return frozen;
}

void lib_thaw(lua_State *L, int index)
{
  index = lua_absindex(L, index);
  if (push_real(L, index)) lua_replace(L, index);
}

/* __newindex(t, key, value); upvalue: name of the table, nil for the globals. */
static int refuse_newindex(lua_State *L)
{
  const char *key = da_lib_tolstring(L, 2, NULL);
  if (lua_isnil(L, lua_upvalueindex(1))) {
    return luaL_error(L, "cannot set global '%s': globals are frozen after load; use a local", key);
  }
  return luaL_error(L, "cannot set '%s.%s': library tables are read-only; use a table of your own",
                    lua_tostring(L, lua_upvalueindex(1)), key);
}

/* Moves every field of the table at `from` to the table at `to`. */
static void move_fields(lua_State *L, int from, int to)
{
  lua_pushnil(L);
  while (lua_next(L, from)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, to);
  }
  lua_pushnil(L);
  while (lua_next(L, from)) { /* setting a present field to nil is allowed in a traversal */
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, from);
  }
}

void da_lib_freeze_table(lua_State *L, int index, const char *what)
{
  luaL_checkstack(L, 8, "freeze");
  int table = lua_absindex(L, index);
  if (lib_is_frozen(L, table)) return;
  lua_newtable(L);
  int real = lua_gettop(L);
  move_fields(L, table, real);
  if (lua_getmetatable(L, table)) lua_setmetatable(L, real); /* what it did for reads, it still does */
  lua_createtable(L, 0, 4);
  lua_pushvalue(L, real);
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, real);
  lua_rawsetp(L, -2, &frozen_key);
  if (what != NULL) {
    lua_pushstring(L, what);
  } else {
    lua_pushnil(L);
  }
  lua_pushcclosure(L, refuse_newindex, 1);
  lua_setfield(L, -2, "__newindex");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, table);
  lua_settop(L, real - 1);
}

void da_lib_freeze(lua_State *L)
{
  static const char *const libraries[] = {"coroutine", "debug", "io", "math", "os", "string", "table", "utf8"};
  da_isolate *isolate = da_isolate_of(L);
  DA_ASSERT(isolate != NULL);
  if (isolate->frozen) return;
  isolate->frozen = true;
  for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
    if (lua_getglobal(L, libraries[i]) == LUA_TTABLE) da_lib_freeze_table(L, -1, libraries[i]);
    lua_pop(L, 1);
  }
  /* Methods of strings skip the proxy: nobody can reach the real table through them. */
  lua_pushliteral(L, "");
  if (lua_getmetatable(L, -1)) {
    if (lua_getfield(L, -1, "__index") == LUA_TTABLE) {
      lib_thaw(L, -1);
      lua_setfield(L, -2, "__index");
    } else {
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  lua_pushglobaltable(L);
  da_lib_freeze_table(L, -1, NULL);
  lua_pop(L, 1);
}
