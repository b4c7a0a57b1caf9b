/* bind_open.c - opens `da` in a new Lua state: natives into `core`, then the Lua files of lua/da/ over them.
 *
 * Each of those files is a chunk called with (core, da): core holds the natives and what the files share, da is what
 * scripts get from require "da".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/base/embed.h"
#include "../host/vm/lib.h"
#include "bind.h"
#include "bind_error.h"
#include "bind_value.h"

extern const da_embedded da_lua_files[];

static void run_file(lua_State *L, const char *name, int core, int da)
{
  for (const da_embedded *file = da_lua_files; file->name != NULL; file++) {
    if (strcmp(file->name, name) != 0) continue;
    lua_pushfstring(L, "=da/%s", name);
    if (luaL_loadbufferx(L, file->begin, (size_t)(file->end - file->begin), lua_tostring(L, -1), "t") != LUA_OK)
      lua_error(L);
    lua_pushvalue(L, core);
    lua_pushvalue(L, da);
    lua_call(L, 2, 0);
    lua_settop(L, da);
    return;
  }
  luaL_error(L, "%s is missing in this program", name);
}

static void set_registry(lua_State *L, int core, const char *field, const char *key)
{
  lua_getfield(L, core, field);
  lua_setfield(L, LUA_REGISTRYINDEX, key);
}

static int freeze(lua_State *L)
{
  da_lib_freeze(L);
  return 0;
}

/* Leaves core and da on the stack. */
static void open_common(lua_State *L, const bind_value_hooks *hooks, bool in_isolate)
{
  bind_value_open(L, hooks);
  bind_function_open(L, in_isolate);
  lua_newtable(L);
  luaL_setfuncs(L, bind_outcome_natives, 0);
  luaL_setfuncs(L, bind_error_functions, 0);
  lua_newtable(L);
  bind_value_install(L, lua_gettop(L));
}

int bind_open_isolate(lua_State *L)
{
  static const bind_value_hooks hooks = {bind_promise_id, bind_promise_push_id, bind_function_name, bind_function_push,
                                         false};
  da_lib_open(L);
  int core = lua_gettop(L) + 1, da = core + 1;
  open_common(L, &hooks, true);
  bind_promise_open(L);
  bind_again_open(L);
  bind_permit_open(L);
  lua_pushvalue(L, core);
  lua_pushcfunction(L, freeze);
  lua_setfield(L, -2, "freeze");
  luaL_setfuncs(L, bind_function_natives, 0);
  luaL_setfuncs(L, bind_promise_natives, 0);
  luaL_setfuncs(L, bind_execution_natives, 0);
  luaL_setfuncs(L, bind_saga_natives, 0);
  luaL_setfuncs(L, bind_again_natives, 0);
  luaL_setfuncs(L, bind_queue_natives, 0);
  luaL_setfuncs(L, bind_schedule_natives, 0);
  lua_settop(L, da);
  run_file(L, "define.lua", core, da);
  run_file(L, "execution.lua", core, da);
  run_file(L, "combine.lua", core, da);
  run_file(L, "saga.lua", core, da);
  run_file(L, "api.lua", core, da);
  run_file(L, "queue.lua", core, da);
  lua_getfield(L, core, "nil_error");
  da_lib_set_nil_error(L);
  set_registry(L, core, "main", DA_ISOLATE_MAIN);
  set_registry(L, core, "inline_main", DA_ISOLATE_INLINE);
  set_registry(L, core, "open_undos", DA_ISOLATE_UNDOS);
  set_registry(L, core, "loaded", DA_ISOLATE_LOADED);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_MODULES);
  lua_pushvalue(L, da);
  lua_setfield(L, -2, "da");
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_REQUIRE);
  lua_setglobal(L, "require");
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_PACKAGE);
  lua_setglobal(L, "package");
  lua_settop(L, core - 1);
  return 0;
}

/* In a step a promise is known by its id alone. */
static void push_id_table(lua_State *L, da_slice id)
{
  lua_createtable(L, 0, 1);
  lua_pushlstring(L, id.ptr, id.len);
  lua_setfield(L, -2, "id");
}

int bind_open_step(lua_State *L)
{
  static const bind_value_hooks hooks = {NULL, push_id_table, bind_function_name, bind_function_push, false};
  int core = lua_gettop(L) + 1, da = core + 1;
  open_common(L, &hooks, false);
  lua_pushvalue(L, core);
  luaL_setfuncs(L, bind_function_natives, 0);
  luaL_setfuncs(L, bind_step_natives, 0);
  luaL_setfuncs(L, bind_queue_step_natives, 0);
  luaL_setfuncs(L, bind_schedule_step_natives, 0);
  lua_settop(L, da);
  run_file(L, "define.lua", core, da);
  run_file(L, "step.lua", core, da);
  run_file(L, "queue.lua", core, da);
  set_registry(L, core, "step_main", DA_STEP_MAIN);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, da);
  lua_setfield(L, -2, "da");
  lua_settop(L, core - 1);
  return 0;
}

void bind_open_test(lua_State *L, const luaL_Reg *natives)
{
  static const bind_value_hooks hooks = {NULL, push_id_table, bind_function_name, bind_function_push, false};
  int core = lua_gettop(L) + 1, da = core + 1;
  open_common(L, &hooks, false);
  lua_pushvalue(L, core);
  luaL_setfuncs(L, natives, 0);
  lua_newtable(L);
  lua_setfield(L, core, "test");
  lua_settop(L, da);
  run_file(L, "define.lua", core, da);
  run_file(L, "test.lua", core, da);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, da);
  lua_setfield(L, -2, "da");
  lua_getfield(L, core, "test");
  lua_setfield(L, -2, "da.test");
  lua_settop(L, core - 1);
}
