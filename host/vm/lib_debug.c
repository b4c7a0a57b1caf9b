/* lib_debug.c - debug.traceback; the rest of debug reads and changes what a replay must be able to trust, and raises.
 *
 * The text follows the stock one. What is missing is the search of package.loaded for better names, which goes in hash
 * order. Lines are cut, so that a traceback keeps within DA_TRACEBACK_MAX.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "../base/limits.h"
#include "lib_parts.h"

enum { LINES_HEAD = 10, LINES_TAIL = 11, LINE_BYTES = 168 };
/* 20 bytes: "\n\t(...tail calls...)" after each line, 64 more for the head and the gap. */
_Static_assert((LINES_HEAD + LINES_TAIL) * (LINE_BYTES + 20) <= DA_TRACEBACK_MAX, "a traceback fits");

/* The next level at or after `level` that is no frame of ours, or -1. */
static int visible_level(lua_State *L, lua_State *of, int level, lua_Debug *ar)
{
  for (; lua_getstack(of, level, ar); level++) {
    if (!lua_checkstack(of, 1)) return level;
    lua_getinfo(of, "f", ar);
    lua_CFunction fn = lua_tocfunction(of, -1);
    lua_pop(of, 1);
    if (fn == NULL || !lib_is_internal(fn)) return level;
  }
  (void)L;
  return -1;
}

static void add_line(luaL_Buffer *text, lua_State *of, lua_Debug *ar)
{
  char line[LINE_BYTES];
  char where[16] = "";
  char who[84];
  lua_getinfo(of, "Slnt", ar);
  if (ar->currentline > 0) (void)snprintf(where, sizeof where, "%d:", ar->currentline);
  if (*ar->namewhat != '\0') {
    const char *what = strcmp(ar->namewhat, "global") == 0 ? "function" : ar->namewhat;
    (void)snprintf(who, sizeof who, "%s '%s'", what, ar->name);
  } else if (*ar->what == 'm') {
    (void)snprintf(who, sizeof who, "main chunk");
  } else if (*ar->what != 'C') {
    (void)snprintf(who, sizeof who, "function <%s:%d>", ar->short_src, ar->linedefined);
  } else {
    (void)snprintf(who, sizeof who, "?");
  }
  (void)snprintf(line, sizeof line, "\n\t%.60s:%.15s in %.83s", ar->short_src, where, who);
  luaL_addstring(text, line);
  if (ar->istailcall) luaL_addstring(text, "\n\t(...tail calls...)");
}

static int count_levels(lua_State *L, lua_State *of, int level)
{
  lua_Debug ar;
  int count = 0;
  for (; (level = visible_level(L, of, level, &ar)) >= 0; level++) count++;
  return count;
}

void da_lib_traceback(lua_State *L, lua_State *of, const char *message, int level)
{
  int count = count_levels(L, of, level);
  int skip_at = count > LINES_HEAD + LINES_TAIL ? LINES_HEAD : -1;
  luaL_Buffer text;
  lua_Debug ar;
  luaL_buffinit(L, &text);
  if (message != NULL) {
    luaL_addstring(&text, message);
    luaL_addchar(&text, '\n');
  }
  luaL_addstring(&text, "stack traceback:");
  for (int line = 0; (level = visible_level(L, of, level, &ar)) >= 0; level++, line++) {
    if (line == skip_at) {
      char more[64];
      (void)snprintf(more, sizeof more, "\n\t...\t(skipping %d levels)", count - LINES_HEAD - LINES_TAIL);
      luaL_addstring(&text, more);
    }
    if (skip_at >= 0 && line >= skip_at && line < count - LINES_TAIL) continue;
    add_line(&text, of, &ar);
  }
  luaL_pushresult(&text);
}

static int lib_traceback(lua_State *L)
{
  lua_State *of = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
  int arg = of != L || lua_isthread(L, 1) ? 1 : 0;
  const char *message = lua_tostring(L, arg + 1);
  if (message == NULL && !lua_isnoneornil(L, arg + 1)) {
    lua_pushvalue(L, arg + 1); /* not a text: handed back untouched */
    return 1;
  }
  lua_Integer level = luaL_optinteger(L, arg + 2, of == L ? 1 : 0);
  da_lib_traceback(L, of, message, level < 0 ? 0 : level > 1000000 ? 1000000 : (int)level);
  return 1;
}

/* Upvalue: the name. */
static int refuse_debug(lua_State *L)
{
  return luaL_error(L,
                    "debug.%s is for named steps: it reaches what a replay relies on; only debug.traceback works in a "
                    "workflow",
                    lua_tostring(L, lua_upvalueindex(1)));
}

void lib_debug_open(lua_State *L)
{
  static const luaL_Reg functions[] = {{"traceback", lib_traceback}, {NULL, NULL}};
  static const char *const refused[] = {"debug",          "gethook",      "getinfo",    "getlocal",
                                        "getmetatable",   "getregistry",  "getupvalue", "getuservalue",
                                        "setcstacklimit", "sethook",      "setlocal",   "setmetatable",
                                        "setupvalue",     "setuservalue", "upvalueid",  "upvaluejoin"};
  luaL_newlib(L, functions);
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    lua_pushstring(L, refused[i]);
    lua_pushcclosure(L, refuse_debug, 1);
    lua_setfield(L, -2, refused[i]);
  }
  lua_setglobal(L, LUA_DBLIBNAME);
}
