/* bind_value.c - the marks that tables carry for the codec, and what a state remembers of it.
 *
 * Metatables lie in the registry under the addresses of `keys` (found without making a string) and under their names
 * (as luaL_newmetatable() has it), so they are the same objects for C that uses luaL_testudata() and its like.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind_value.h"

#include "bind_error.h"

/* One address per mark, and one for the hooks. In static memory: an image of a state holds them. */
static const char keys[BIND_MARK_FOREIGN + 1];
#define HOOKS_KEY (&keys[BIND_MARK_FOREIGN])

static const char *const mark_names[] = {NULL, "da.array", "da.object", "da.Error", NULL};

static void make_mark(lua_State *L, bind_mark mark)
{
  (void)luaL_newmetatable(L, mark_names[mark]);
  lua_pushstring(L, mark_names[mark]); /* what a script's getmetatable() sees; setmetatable() then refuses */
  lua_setfield(L, -2, "__metatable");
  if (mark == BIND_MARK_ERROR) luaL_setfuncs(L, bind_error_metamethods, 0);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &keys[mark]);
}

void bind_value_open(lua_State *L, const bind_value_hooks *hooks)
{
  luaL_checkstack(L, 8, "codec");
  make_mark(L, BIND_MARK_ARRAY);
  make_mark(L, BIND_MARK_OBJECT);
  make_mark(L, BIND_MARK_ERROR);
  union {
    const bind_value_hooks *in;
    void *out;
  } pointer = {hooks};
  lua_pushlightuserdata(L, pointer.out);
  lua_rawsetp(L, LUA_REGISTRYINDEX, HOOKS_KEY);
}

const bind_value_hooks *bind_value_get_hooks(lua_State *L)
{
  (void)lua_rawgetp(L, LUA_REGISTRYINDEX, HOOKS_KEY);
  const bind_value_hooks *hooks = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return hooks;
}

bind_mark bind_value_mark(lua_State *L, int index)
{
  if (!lua_getmetatable(L, index)) return BIND_MARK_NONE;
  int mark = BIND_MARK_ARRAY;
  for (; mark < BIND_MARK_FOREIGN; mark++) {
    (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &keys[mark]);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 1);
    if (same) break;
  }
  lua_pop(L, 1);
  return (bind_mark)mark;
}

void bind_value_set_mark(lua_State *L, bind_mark mark)
{
  int type = lua_rawgetp(L, LUA_REGISTRYINDEX, &keys[mark]);
  DA_ASSERT_OP(type, ==, LUA_TTABLE); /* else bind_value_open() was never called */
  (void)lua_setmetatable(L, -2);
}

static int set_mark(lua_State *L, bind_mark mark)
{
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  } else {
    luaL_checktype(L, 1, LUA_TTABLE);
    bind_mark old = bind_value_mark(L, 1);
    luaL_argcheck(L, old != BIND_MARK_ERROR && old != BIND_MARK_FOREIGN, 1, "the table has a metatable of its own");
    lua_settop(L, 1);
  }
  bind_value_set_mark(L, mark);
  return 1;
}

static int bind_value_array(lua_State *L)
{
  return set_mark(L, BIND_MARK_ARRAY);
}

static int bind_value_object(lua_State *L)
{
  return set_mark(L, BIND_MARK_OBJECT);
}

const luaL_Reg bind_value_functions[] = {
    {"array", bind_value_array},
    {"object", bind_value_object},
    {NULL, NULL},
};

void bind_value_install(lua_State *L, int index)
{
  index = lua_absindex(L, index);
  lua_pushvalue(L, index);
  luaL_setfuncs(L, bind_value_functions, 0);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  lua_pop(L, 1);
}
