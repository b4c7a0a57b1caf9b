/* bind_stubs.c - the workflows of a loaded bundle as definitions for editors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind_stubs.h"

#include <string.h>

#include "bind.h"

/* fun(scene: any, ...: any): da.Promise<any> */
static void add_signature(lua_State *L, int function, da_buf *out)
{
  lua_Debug ar;
  lua_pushvalue(L, function);
  lua_getinfo(L, ">u", &ar);
  da_buf_addf(out, "fun(");
  for (int n = 1; n <= ar.nparams; n++) {
    lua_pushvalue(L, function);
    const char *name = lua_getlocal(L, NULL, n);
    da_buf_addf(out, "%s%s: any", n > 1 ? ", " : "", name != NULL ? name : "_");
  }
  if (ar.isvararg) da_buf_addf(out, "%s...: any", ar.nparams > 0 ? ", " : "");
  da_buf_addf(out, "): da.Promise<any>");
}

/* The words of `doc`, on one line. */
static void add_doc(lua_State *L, int definition, da_buf *out)
{
  if (lua_getfield(L, definition, "doc") == LUA_TSTRING) {
    da_buf_addf(out, " ");
    for (const char *at = lua_tostring(L, -1); *at != '\0'; at++)
      da_buf_addf(out, "%c", (unsigned char)*at < ' ' ? ' ' : *at);
  }
  lua_pop(L, 1);
}

/* The highest version of the name behind the definition at the top takes its place. */
static void choose_version(lua_State *L)
{
  lua_pushvalue(L, -1);
  int64_t best = 0;
  for (int at = lua_gettop(L); lua_istable(L, at); lua_remove(L, at)) {
    int64_t version = lua_getfield(L, at, "version") != LUA_TNIL ? (int64_t)lua_tointeger(L, -1) : 1;
    lua_pop(L, 1);
    if (version > best) {
      best = version;
      lua_pushvalue(L, at);
      lua_replace(L, at - 1);
    }
    lua_getfield(L, at, "older");
  }
  lua_pop(L, 1);
}

/* Protected: (buffer). */
static int write_fields(lua_State *L)
{
  da_buf *out = lua_touserdata(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  lua_newtable(L);
  int n = 0;
  for (lua_pushnil(L); lua_next(L, 2) != 0;) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, 3, ++n);
  }
  lua_getglobal(L, "table");
  lua_getfield(L, -1, "sort");
  lua_pushvalue(L, 3);
  lua_call(L, 1, 0);
  for (int i = 1; i <= n; i++) {
    lua_settop(L, 3);
    lua_rawgeti(L, 3, i);
    lua_pushvalue(L, 4);
    lua_rawget(L, 2);
    choose_version(L);
    bool workflow = lua_getfield(L, 5, "workflow") != LUA_TNIL && lua_toboolean(L, -1);
    if (!workflow) continue;
    const char *name = lua_tostring(L, 4);
    bool plain = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == strlen(name) &&
                 (*name < '0' || *name > '9');
    da_buf_addf(out, plain ? "---@field %s da.Function|" : "---@field [\"%s\"] da.Function|", name);
    lua_getfield(L, 5, "body");
    add_signature(L, lua_gettop(L), out);
    add_doc(L, 5, out);
    da_buf_addf(out, "\n");
  }
  return 0;
}

da_status bind_stubs_write(lua_State *L, da_buf *out, da_err *err)
{
  da_status status = DA_OK;
  lua_settop(L, 0);
  lua_pushcfunction(L, write_fields);
  lua_pushlightuserdata(L, out);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) status = da_fail(err, DA_ELUA, "%s", lua_tostring(L, -1));
  lua_settop(L, 0);
  return status;
}
