/* bind_raise.c - errors at the script's own line, and the checks that every binding makes.
 *
 * Between the script and a binding there may be lines of lua/da/; nobody wants to see those.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "bind.h"

#include "../host/base/id.h"

/* The innermost frame that is the script's: neither C nor the library's own Lua ("=da/..."). */
static bool script_frame(lua_State *L, lua_Debug *ar)
{
  for (int level = 1; lua_getstack(L, level, ar) != 0; level++) {
    lua_getinfo(L, "Sl", ar);
    if (ar->currentline > 0 && ar->source[0] == '@') return true;
  }
  return false;
}

void bind_location(lua_State *L, da_call_spec *spec)
{
  lua_Debug ar;
  if (!script_frame(L, &ar)) return;
  spec->line = (uint32_t)ar.currentline;
  spec->file = da_slice_of(ar.source + 1);
}

int bind_raise(lua_State *L, const char *format, ...)
{
  da_call_spec at = {.line = 0};
  bind_location(L, &at);
  if (at.line > 0) lua_pushfstring(L, "%s:%d: ", at.file.ptr, (int)at.line);
  va_list args;
  va_start(args, format);
  (void)lua_pushvfstring(L, format, args);
  va_end(args);
  if (at.line > 0) lua_concat(L, 2);
  return lua_error(L);
}

int bind_raise_native(lua_State *L)
{
  return bind_raise(L, "%s", luaL_checkstring(L, 1));
}

da_slice bind_check_text(lua_State *L, int index, const char *what)
{
  if (lua_type(L, index) != LUA_TSTRING && lua_type(L, index) != LUA_TNUMBER)
    bind_raise(L, "%s must be a string, got %s", what, bind_what(L, index));
  da_slice text;
  text.ptr = lua_tolstring(L, index, &text.len);
  return text;
}

da_slice bind_check_id(lua_State *L, int index, const char *what)
{
  if (lua_type(L, index) != LUA_TSTRING && lua_type(L, index) != LUA_TNUMBER)
    bind_raise(L, "%s needs the id of a promise, got %s", what, bind_what(L, index));
  da_slice id = bind_check_text(L, index, "id");
  const char *fault = da_id_fault(id);
  if (fault != NULL) bind_raise(L, "%s: this cannot be the id of a promise: %s", what, fault);
  return id;
}
