/* closure.c - keeps the variables around a function, and compares.
 *
 * The values are kept on the stack: so they stay alive, and no other object can come to lie at the address of one that
 * is gone. An assignment of the very same value is not seen, and does no harm.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "closure.h"

static bool is_lua_function(lua_State *L, int index)
{
  return lua_isfunction(L, index) && !lua_iscfunction(L, index);
}

static bool kept(const da_closure_watch *watch, lua_State *L, const void *id)
{
  for (int i = 0; i < watch->count; i++)
    if (lua_upvalueid(L, watch->cells[i].function, watch->cells[i].upvalue) == id) return true;
  return false;
}

static void keep_upvalues(da_closure_watch *watch, lua_State *L, int function)
{
  for (int n = 1; watch->count < DA_CLOSURE_CELLS; n++) {
    const void *id = lua_upvalueid(L, function, n);
    if (id == NULL || !lua_checkstack(L, 4)) return;
    if (kept(watch, L, id)) continue;
    (void)lua_getupvalue(L, function, n);
    watch->cells[watch->count++] = (da_closure_cell){function, n};
  }
}

void da_closure_watch_begin(da_closure_watch *watch, lua_State *L)
{
  int function = lua_gettop(L);
  watch->first = function + 1;
  watch->count = 0;
  if (!is_lua_function(L, function)) return;
  keep_upvalues(watch, L, function);
  int functions = 1;
  for (int i = 0; i < watch->count && functions < DA_CLOSURE_FUNCTIONS; i++) { /* the list grows */
    if (!is_lua_function(L, watch->first + i)) continue;
    keep_upvalues(watch, L, watch->first + i);
    functions++;
  }
}

/* Not lua_rawequal() alone: 1 and 1.0 are equal to it and not to a script, and a nan is not equal to itself. */
static bool same(lua_State *L, int a, int b)
{
  if (lua_type(L, a) != LUA_TNUMBER || lua_type(L, b) != LUA_TNUMBER) return lua_rawequal(L, a, b) != 0;
  if (lua_isinteger(L, a) != lua_isinteger(L, b)) return false;
  lua_Number x = lua_tonumber(L, a), y = lua_tonumber(L, b);
  return lua_rawequal(L, a, b) != 0 || (x != x && y != y);
}

const char *da_closure_watch_changed(const da_closure_watch *watch, lua_State *L)
{
  for (int i = 0; i < watch->count; i++) {
    const char *name = lua_getupvalue(L, watch->cells[i].function, watch->cells[i].upvalue);
    if (!same(L, watch->first + i, -1)) return name;
    lua_pop(L, 1);
  }
  return NULL;
}
