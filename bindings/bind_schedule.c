/* bind_schedule.c - da.schedule(): what a script declares to run by the clock.
 *
 * A declaration is checked where it stands and left in the registry, for the worker to read when the file is served
 * (host/vm/schedule.c). Every isolate that loads the file passes here, so nothing is read from the machine: the zone is
 * looked up by the worker.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/base/cron.h"
#include "../host/base/id.h"
#include "../host/vm/lib.h"
#include "bind.h"
#include "bind_value.h"

static const char *const option_names[] = {"cron", "tz", "catch_up", NULL};

static void set_slice(lua_State *L, const char *key, da_slice text)
{
  lua_pushlstring(L, text.ptr != NULL ? text.ptr : "", text.len);
  lua_setfield(L, -2, key);
}

static da_slice check_schedule_id(lua_State *L)
{
  if (lua_type(L, 1) != LUA_TSTRING)
    bind_raise(L, "da.schedule(id, cron, async.NAME, ...) needs an id that is a string, got %s", bind_what(L, 1));
  da_slice id = bind_check_text(L, 1, "id");
  const char *fault = id.len == 0               ? "must not be empty"
                      : da_id_rest(id).len == 0 ? NULL
                      : da_id_root_end() == '.' ? "must not hold '.'"
                                                : "must not hold ':'";
  if (fault == NULL)
    fault = da_slice_find(id, '\0') >= 0          ? "must not hold a NUL byte"
            : id.len > (size_t)DA_SCHEDULE_ID_MAX ? "must not be longer than 200 bytes"
                                                  : NULL;
  if (fault != NULL) bind_raise(L, "the id of a schedule %s", fault);
  return id;
}

/* The options at 2 as a table: "30 6 * * *" is {cron="30 6 * * *"}. */
static void normalize_options(lua_State *L)
{
  bind_options none = {.timeout_ms = -1};
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "cron");
    lua_replace(L, 2);
  }
  if (!lua_istable(L, 2))
    bind_raise(L, "da.schedule '%s' needs a cron expression or {cron=, tz=, catch_up=}, got %s", lua_tostring(L, 1),
               bind_what(L, 2));
  bind_options_read(L, 2, option_names, "da.schedule", &none);
}

static da_slice check_cron(lua_State *L)
{
  da_err err;
  da_cron cron;
  const da_zone utc = {0};
  da_slice text = bind_string_field(L, 2, "cron");
  if (text.len == 0)
    bind_raise(L, "da.schedule '%s' has no cron expression: {cron=\"30 6 * * *\"}", lua_tostring(L, 1));
  if (da_cron_parse(text, DA_CRON_UNIX, &cron, &err) != DA_OK)
    bind_raise(L, "da.schedule '%s': cron expression '%s', %s", lua_tostring(L, 1), text.ptr, err.text);
  if (da_cron_next(&cron, &utc, 0) == DA_TIME_MAX)
    bind_raise(L, "da.schedule '%s': cron expression '%s' never comes: no month has such a day", lua_tostring(L, 1),
               text.ptr);
  return text;
}

static da_slice check_catch_up(lua_State *L)
{
  da_slice how = bind_string_field(L, 2, "catch_up");
  if (how.len == 0 || da_slice_eq(how, DA_LIT("all"))) return DA_LIT("all");
  if (!da_slice_eq(how, DA_LIT("last")) && !da_slice_eq(how, DA_LIT("none")))
    bind_raise(L, "da.schedule '%s': catch_up is \"all\", \"last\" or \"none\", not '%s'", lua_tostring(L, 1), how.ptr);
  return how;
}

static bind_function check_function(lua_State *L)
{
  bind_function f = {0};
  if (!bind_function_read(L, 3, &f))
    bind_raise(L, "da.schedule '%s' needs a workflow: da.schedule(id, cron, async.NAME, ...), got %s",
               lua_tostring(L, 1), bind_what(L, 3));
  if (!f.workflow)
    bind_raise(L, "da.schedule '%s' starts a workflow; step.%s is a step: await it in one", lua_tostring(L, 1),
               f.name.ptr);
  if (f.limited)
    bind_raise(L, "da.schedule '%s' takes group, address and version of f:with{...}, nothing else", lua_tostring(L, 1));
  return f;
}

static void refuse_twice(lua_State *L)
{
  lua_pushvalue(L, 1);
  if (lua_rawget(L, -2) == LUA_TTABLE) {
    lua_getfield(L, -1, "file");
    lua_getfield(L, -2, "line");
    bind_raise(L, "schedule '%s' is declared twice; the first time at %s:%d", lua_tostring(L, 1), lua_tostring(L, -2),
               (int)lua_tointeger(L, -1));
  }
  lua_pop(L, 1);
}

/* The registry table of declarations, made with the first. */
static void push_declared(lua_State *L)
{
  if (lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_SCHEDULES) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_SCHEDULES);
}

static void keep(lua_State *L, const bind_function *f, da_slice cron, da_slice catch_up, da_slice args)
{
  da_call_spec at = {.line = 0};
  bind_location(L, &at);
  lua_pushvalue(L, 1);
  lua_newtable(L);
  set_slice(L, "cron", cron);
  set_slice(L, "catch_up", catch_up);
  set_slice(L, "func", f->name);
  set_slice(L, "target", f->target);
  set_slice(L, "args", args);
  set_slice(L, "file", at.file);
  lua_getfield(L, 2, "tz");
  lua_setfield(L, -2, "tz");
  lua_pushinteger(L, at.line);
  lua_setfield(L, -2, "line");
  lua_pushinteger(L, f->asked_version);
  lua_setfield(L, -2, "version");
  lua_rawset(L, -3);
}

/* schedule(id, cron or options, workflow, ...) */
static int schedule(lua_State *L)
{
  const da_host *host = da_isolate_of(L) != NULL ? da_isolate_host(L) : NULL;
  if (host == NULL || !host->loading)
    return bind_raise(L, "da.schedule is declared while the script loads: write it in the file, outside of functions");
  int last = lua_gettop(L);
  (void)check_schedule_id(L);
  normalize_options(L);
  da_slice cron = check_cron(L);
  (void)bind_string_field(L, 2, "tz");
  da_slice catch_up = check_catch_up(L);
  bind_function f = check_function(L);
  da_err err = {{0}};
  da_buf *args = bind_scratch(0);
  if (bind_value_encode_args(L, 4, last, f.name.ptr, args, &err) != DA_OK)
    return bind_raise(L, "da.schedule '%s': %s", lua_tostring(L, 1), err.text);
  push_declared(L);
  refuse_twice(L);
  keep(L, &f, cron, catch_up, da_buf_slice(args));
  return 0;
}

/* Step states load the file too: they declare nothing. */
static int schedule_in_step(lua_State *L)
{
  if (da_step_job_of(L) == NULL) return 0;
  return bind_raise(L,
                    "da.schedule in a step: it is declared while the script loads, in the file, outside of functions");
}

const luaL_Reg bind_schedule_natives[] = {{"schedule", schedule}, {NULL, NULL}};
const luaL_Reg bind_schedule_step_natives[] = {{"schedule", schedule_in_step}, {NULL, NULL}};
