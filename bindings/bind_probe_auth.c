/* bind_probe_auth.c - tokens for their specs: auth{public_key=, secret_file=, issuer=, audience=} and what may be
 * asked. SPDX-License-Identifier: Apache-2.0 */
#include "../host/net/auth.h"

#include "bind_probe.h"

#define AUTH "da.probe.auth"

static const char *text_field(lua_State *L, const char *name)
{
  const char *text = lua_getfield(L, 1, name) != LUA_TNIL ? luaL_checkstring(L, -1) : NULL;
  lua_pop(L, 1); /* it stays in the table */
  return text;
}

/* auth(options) -> auth; or nil, NAME, words */
static int probe_auth(lua_State *L)
{
  da_err err;
  luaL_checktype(L, 1, LUA_TTABLE);
  const da_auth_options options = {.public_key = text_field(L, "public_key"),
                                   .secret_file = text_field(L, "secret_file"),
                                   .issuer = text_field(L, "issuer"),
                                   .audience = text_field(L, "audience")};
  da_auth **auth = lua_newuserdatauv(L, sizeof *auth, 0);
  *auth = NULL;
  luaL_setmetatable(L, AUTH);
  da_status status = da_auth_new(&options, auth, &err);
  return status == DA_OK ? 1 : da_probe_fail(L, status, err.text);
}

static da_auth *check_auth(lua_State *L)
{
  return *(da_auth **)luaL_checkudata(L, 1, AUTH);
}

/* auth:check(token, now in ms) -> {admin=, prefix=}; or nil, why */
static int auth_check(lua_State *L)
{
  da_claims claims;
  const char *why = NULL;
  if (!da_auth_check(check_auth(L), da_probe_check_slice(L, 2), luaL_checkinteger(L, 3), &claims, &why)) {
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
  }
  lua_newtable(L);
  lua_pushboolean(L, claims.admin);
  lua_setfield(L, -2, "admin");
  if (claims.has_prefix) da_probe_set_slice(L, "prefix", claims.prefix);
  return 1;
}

/* auth:reload() -> true; or nil, NAME, words */
static int auth_reload(lua_State *L)
{
  da_err err;
  da_status status = da_auth_reload(check_auth(L), &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_pushboolean(L, 1);
  return 1;
}

static int auth_describe(lua_State *L)
{
  da_buf out = {0};
  da_auth_describe(check_auth(L), &out);
  da_probe_push_slice(L, da_buf_slice(&out));
  da_buf_free(&out);
  return 1;
}

static int auth_gc(lua_State *L)
{
  da_auth **auth = luaL_checkudata(L, 1, AUTH);
  da_auth_delete(*auth);
  *auth = NULL;
  return 0;
}

/* auth_allows({admin=, prefix=}, ids, searches) -> bool */
static int probe_auth_allows(lua_State *L)
{
  da_slice ids[16];
  da_claims claims = {0};
  size_t count = (size_t)luaL_len(L, 2);
  luaL_argcheck(L, count <= sizeof ids / sizeof *ids, 2, "too many ids");
  lua_getfield(L, 1, "admin");
  claims.admin = lua_toboolean(L, -1);
  claims.has_prefix = lua_getfield(L, 1, "prefix") == LUA_TSTRING;
  if (claims.has_prefix) claims.prefix = da_probe_check_slice(L, -1);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    ids[i] = da_probe_check_slice(L, -1);
  }
  lua_pushboolean(L, da_auth_allows(&claims, ids, count, lua_toboolean(L, 3)));
  return 1;
}

static const luaL_Reg methods[] = {{"check", auth_check}, {"reload", auth_reload}, {"describe", auth_describe},
                                   {"close", auth_gc},    {"__gc", auth_gc},       {NULL, NULL}};

static const luaL_Reg functions[] = {{"auth", probe_auth}, {"auth_allows", probe_auth_allows}, {NULL, NULL}};

void da_probe_open_auth(lua_State *L)
{
  luaL_newmetatable(L, AUTH);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
