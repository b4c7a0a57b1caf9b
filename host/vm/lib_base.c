/* lib_base.c - the basic functions: tostring and print without addresses, setmetatable, load, collectgarbage.
 *
 * Ordinals: an object gets the next number when it is first made a text, kept in a weak table. Collection takes entries
 * of that table, never numbers, so nothing of it can be observed. While an inline step runs, a count of its own is used
 * (`table: #~1`): a replay jumps over the step and must not find other numbers behind it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib_parts.h"

static char ordinals_key, step_ordinals_key; /* registry: weak tables, object to number */

/* ---- tostring ---- */

static void push_ordinals(lua_State *L, const void *key)
{
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* The number of the object at index in one of the tables; 0 if it has none. */
static lua_Integer known_ordinal(lua_State *L, int index, const void *key)
{
  push_ordinals(L, key);
  lua_pushvalue(L, index);
  lua_rawget(L, -2);
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 2);
  return n;
}

static lua_Integer give_ordinal(lua_State *L, int index, const void *key, uint64_t *last)
{
  push_ordinals(L, key);
  lua_pushvalue(L, index);
  lua_pushinteger(L, (lua_Integer)*last + 1);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  return (lua_Integer)++ * last;
}

static void push_object(lua_State *L, int index, const char *kind)
{
  da_isolate *isolate = da_isolate_of(L);
  luaL_checkstack(L, 6, "tostring");
  bool step = false;
  lua_Integer n = known_ordinal(L, index, &ordinals_key);
  if (n == 0 && isolate->in_step) {
    step = true;
    n = known_ordinal(L, index, &step_ordinals_key);
    if (n == 0) n = give_ordinal(L, index, &step_ordinals_key, &isolate->step_ordinals);
  } else if (n == 0) {
    n = give_ordinal(L, index, &ordinals_key, &isolate->ordinals);
  }
  lua_pushfstring(L, step ? "%s: #~%I" : "%s: #%I", kind, (LUAI_UACINT)n);
}

static void push_number(lua_State *L, int index)
{
  lua_Number n = lua_tonumber(L, index);
  if (n != n) {
    lua_pushliteral(L, "nan"); /* the sign of a nan depends on the processor */
  } else {
    lua_pushvalue(L, index);
    (void)lua_tolstring(L, -1, NULL);
  }
}

const char *da_lib_tolstring(lua_State *L, int index, size_t *len)
{
  index = lua_absindex(L, index);
  if (luaL_callmeta(L, index, "__tostring")) {
    if (!lua_isstring(L, -1)) luaL_error(L, "'__tostring' must return a string");
    return lua_tolstring(L, -1, len);
  }
  switch (lua_type(L, index)) {
  case LUA_TNUMBER:
    push_number(L, index);
    break;
  case LUA_TSTRING:
    lua_pushvalue(L, index);
    break;
  case LUA_TBOOLEAN:
    lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
    break;
  case LUA_TNIL:
    lua_pushliteral(L, "nil");
    break;
  default: {
    int name = luaL_getmetafield(L, index, "__name");
    push_object(L, index, name == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, index));
    if (name != LUA_TNIL) lua_remove(L, -2);
    break;
  }
  }
  return lua_tolstring(L, -1, len);
}

static int lib_tostring(lua_State *L)
{
  luaL_checkany(L, 1);
  (void)da_lib_tolstring(L, 1, NULL);
  return 1;
}

static int lib_print_call(lua_State *L)
{
  int count = lua_gettop(L);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  for (int i = 1; i <= count; i++) {
    (void)da_lib_tolstring(L, i, NULL);
    lua_replace(L, i);
  }
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (int i = 1; i <= count; i++) {
    size_t len;
    const char *part = lua_tolstring(L, i, &len);
    if (i > 1) luaL_addchar(&text, '\t');
    luaL_addlstring(&text, part, len);
  }
  luaL_pushresult(&text);
  size_t len;
  const char *line = lua_tolstring(L, -1, &len);
  lib_print(L, line, len);
  return 0;
}

/* A line like those of print, so silent while replaying. Control messages ("@on") have nothing to switch. */
static int lib_warn(lua_State *L)
{
  int count = lua_gettop(L);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  (void)luaL_checkstring(L, 1);
  for (int i = 2; i <= count; i++) (void)luaL_checkstring(L, i);
  if (count == 1 && *lua_tostring(L, 1) == '@') return 0;
  lua_pushliteral(L, "Lua warning: ");
  lua_insert(L, 1);
  lua_concat(L, count + 1);
  size_t len;
  const char *line = lua_tolstring(L, -1, &len);
  lib_print(L, line, len);
  return 0;
}

/* ---- tables ---- */

static void refuse_field(lua_State *L, const char *field, const char *advice)
{
  lua_pushstring(L, field);
  if (lua_rawget(L, 2) != LUA_TNIL) luaL_error(L, "setmetatable: %s %s", field, advice);
  lua_pop(L, 1);
}

static int lib_setmetatable(lua_State *L)
{
  if (lua_istable(L, 2)) {
    refuse_field(L, "__gc",
                 "would run when the collector pleases, which no replay repeats; release things with a "
                 "<close> variable");
    refuse_field(L, "__mode",
                 "would lose entries when the collector pleases, which no replay repeats; remove entries "
                 "yourself");
  }
  return lib_stock(L, 1)(L);
}

static int lib_rawset(lua_State *L)
{
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkany(L, 2);
  luaL_checkany(L, 3);
  lua_settop(L, 3);
  if (lib_is_frozen(L, 1)) return luaL_error(L, "rawset: this table is read-only after load");
  lua_rawset(L, 1);
  return 1;
}

static int lib_rawget(lua_State *L)
{
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  lib_thaw(L, 1);
  lua_rawget(L, 1);
  return 1;
}

/* ---- load, collectgarbage ---- */

/* load(chunk, name, mode, env): always mode "t"; bytecode can break any promise. The default environment is this
 * isolate's, the only one there is. */
static int lib_load(lua_State *L)
{
  const char *mode = luaL_optstring(L, 3, "t");
  if (strchr(mode, 't') == NULL) return luaL_argerror(L, 3, "only text can be loaded here (mode 't')");
  if (lua_gettop(L) < 3) lua_settop(L, 3);
  lua_pushliteral(L, "t");
  lua_replace(L, 3);
  return lib_stock(L, 1)(L);
}

static int lib_collectgarbage(lua_State *L)
{
  static const char *const options[] = {"collect",     "step",         "count",    "isrunning",  "stop", "restart",
                                        "incremental", "generational", "setpause", "setstepmul", NULL};
  switch (luaL_checkoption(L, 1, "collect", options)) {
  case 1:
  case 3:
    lua_pushboolean(L, 1);
    return 1;
  case 2:
    return luaL_error(L, "collectgarbage 'count' would not be the same on replay; count what you keep yourself");
  case 6:
  case 7:
    lua_pushliteral(L, "incremental");
    return 1;
  default:
    lua_pushinteger(L, 0);
    return 1;
  }
}

static int refuse_file(lua_State *L)
{
  return luaL_error(L,
                    "%s reads a file that may change before a replay; use require (modules beside the script are kept "
                    "with it)",
                    lua_tostring(L, lua_upvalueindex(1)));
}

void lib_base_open(lua_State *L)
{
  static const luaL_Reg functions[] = {{"collectgarbage", lib_collectgarbage},
                                       {"next", lib_next},
                                       {"pairs", lib_pairs},
                                       {"print", lib_print_call},
                                       {"rawget", lib_rawget},
                                       {"rawset", lib_rawset},
                                       {"tostring", lib_tostring},
                                       {"warn", lib_warn},
                                       {NULL, NULL}};
  lib_open_stock(L, luaopen_base);
  luaL_setfuncs(L, functions, 0);
  lib_wrap(L, "setmetatable", lib_setmetatable);
  lib_wrap(L, "load", lib_load);
  static const char *const files[] = {"dofile", "loadfile"};
  for (size_t i = 0; i < 2; i++) {
    lua_pushstring(L, files[i]);
    lua_pushcclosure(L, refuse_file, 1);
    lua_setfield(L, -2, files[i]);
  }
  lua_pop(L, 1);
}
