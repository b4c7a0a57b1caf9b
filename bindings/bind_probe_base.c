/* bind_probe_base.c - cron expressions, zones and the grammar of ids for their specs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/base/cron.h"
#include "../host/base/id.h"
#include "../host/base/zone_file.h"
#include "bind_probe.h"

/* nil, words */
static int refuse(lua_State *L, const da_err *err)
{
  lua_pushnil(L);
  lua_pushstring(L, err->text);
  return 2;
}

static da_cron_style style_arg(lua_State *L, int index)
{
  return strcmp(luaL_optstring(L, index, "unix"), "quartz") == 0 ? DA_CRON_QUARTZ : DA_CRON_UNIX;
}

/* cron_next(expression, after in ms, zone's bytes or nil, style or nil) -> ms, or 0: never */
static int probe_cron_next(lua_State *L)
{
  da_err err;
  da_cron cron;
  da_zone zone = {0};
  da_status status = da_cron_parse(da_probe_check_slice(L, 1), style_arg(L, 4), &cron, &err);
  if (status == DA_OK && !lua_isnoneornil(L, 3)) status = da_zone_read(da_probe_check_slice(L, 3), &zone, &err);
  if (status != DA_OK) return refuse(L, &err);
  int64_t next = da_cron_next(&cron, &zone, luaL_checkinteger(L, 2));
  lua_pushinteger(L, next == DA_TIME_MAX ? 0 : next);
  return 1;
}

/* zone(name) -> bytes */
static int probe_zone(lua_State *L)
{
  da_err err;
  da_buf bytes = {0};
  da_status status = da_zone_load(da_probe_check_slice(L, 1), &bytes, &err);
  if (status == DA_OK) da_probe_push_slice(L, da_buf_slice(&bytes));
  da_buf_free(&bytes);
  return status == DA_OK ? 1 : refuse(L, &err);
}

/* zone_trim(bytes, from in s) -> bytes */
static int probe_zone_trim(lua_State *L)
{
  da_err err;
  da_zone zone;
  da_buf bytes = {0};
  da_status status = da_zone_read(da_probe_check_slice(L, 1), &zone, &err);
  if (status != DA_OK) return refuse(L, &err);
  da_zone_trim(&zone, luaL_checkinteger(L, 2), &bytes);
  da_probe_push_slice(L, da_buf_slice(&bytes));
  da_buf_free(&bytes);
  return 1;
}

/* zone_span(bytes, at in s) -> offset, since, until, offset before */
static int probe_zone_span(lua_State *L)
{
  da_err err;
  da_zone zone;
  da_status status = da_zone_read(da_probe_check_slice(L, 1), &zone, &err);
  if (status != DA_OK) return refuse(L, &err);
  da_zone_span span = da_zone_span_at(&zone, luaL_checkinteger(L, 2));
  lua_pushinteger(L, span.offset);
  lua_pushinteger(L, span.since);
  lua_pushinteger(L, span.until);
  lua_pushinteger(L, span.before);
  return 4;
}

/* ---- ids ----------------------------------------------------------------------------------------------- */

/* id_dialect("colon" or "dot"): what this process writes from now on */
static int probe_id_dialect(lua_State *L)
{
  da_id_set_dialect(strcmp(luaL_checkstring(L, 1), "dot") == 0 ? DA_ID_DOT : DA_ID_COLON);
  return 0;
}

/* id_parts(id) -> root, rest, separator of a child, or nil and why it may not be stored */
static int probe_id_parts(lua_State *L)
{
  da_slice id = da_probe_check_slice(L, 1);
  const char *fault = da_id_fault(id);
  if (fault != NULL) {
    lua_pushnil(L);
    lua_pushstring(L, fault);
    return 2;
  }
  char separator = da_id_separator(id);
  da_probe_push_slice(L, da_id_root(id));
  da_probe_push_slice(L, da_id_rest(id));
  lua_pushlstring(L, &separator, 1);
  return 3;
}

/* id_child(parent, name, number or key) -> id */
static int probe_id_child(lua_State *L)
{
  da_arena arena = {0};
  da_slice parent = da_probe_check_slice(L, 1), name = da_probe_check_slice(L, 2);
  bool counted = lua_type(L, 3) == LUA_TNUMBER;
  da_slice id = counted ? da_id_child(&arena, parent, name, (uint64_t)luaL_checkinteger(L, 3))
                        : da_id_child_key(&arena, parent, name, da_probe_check_slice(L, 3));
  da_probe_push_slice(L, id);
  da_arena_free(&arena);
  return 1;
}

/* id_detached(id) -> id */
static int probe_id_detached(lua_State *L)
{
  da_arena arena = {0};
  da_probe_push_slice(L, da_id_detached(&arena, da_probe_check_slice(L, 1)));
  da_arena_free(&arena);
  return 1;
}

/* id_below(id, ancestor) -> boolean */
static int probe_id_below(lua_State *L)
{
  lua_pushboolean(L, da_id_below(da_probe_check_slice(L, 1), da_probe_check_slice(L, 2)));
  return 1;
}

/* id_other(words of a refusal) -> the dialect that the server takes in place of ours, or nil */
static int probe_id_other(lua_State *L)
{
  da_id_dialect taken;
  if (!da_id_is_other_dialect(da_probe_check_slice(L, 1), &taken)) return 0;
  lua_pushstring(L, da_id_dialect_name(taken));
  return 1;
}

const luaL_Reg da_probe_base_functions[] = {{"cron_next", probe_cron_next},
                                            {"id_below", probe_id_below},
                                            {"id_child", probe_id_child},
                                            {"id_detached", probe_id_detached},
                                            {"id_dialect", probe_id_dialect},
                                            {"id_other", probe_id_other},
                                            {"id_parts", probe_id_parts},
                                            {"zone", probe_zone},
                                            {"zone_trim", probe_zone_trim},
                                            {"zone_span", probe_zone_span},
                                            {NULL, NULL}};
