/* bind_probe_base.c - cron expressions and zones for their specs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/base/cron.h"
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

const luaL_Reg da_probe_base_functions[] = {{"cron_next", probe_cron_next},
                                            {"zone", probe_zone},
                                            {"zone_trim", probe_zone_trim},
                                            {"zone_span", probe_zone_span},
                                            {NULL, NULL}};
