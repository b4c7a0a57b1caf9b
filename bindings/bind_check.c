/* bind_check.c - natives of lua/tool/check.lua: bytecode as tables, and a look at values that runs nothing.
 *
 * A function becomes a table {file, line, last_line, registers, code = {instruction, ...}, lines, constants = {string
 * or false, ...}, upvalues = {{name, stack, index}, ...}, locals = {{name, from, to}, ...}, inner = {...}};
 * instructions count from 1 there, as all lists of Lua do.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind_check.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "../host/base/embed.h"
#include "../host/vm/bytecode.h"
#include "../host/vm/lib.h"
#include "../host/vm/module.h"
#include "../host/vm/shared_locals.h"
#include "bind.h"

extern const da_embedded da_tool_files[];

typedef struct check {
  const da_bundle *bundle;
  void (*found)(void *user, const bind_finding *finding);
  void *user;
  da_arena arena;
} check;

static check *check_of(lua_State *L)
{
  return lua_touserdata(L, lua_upvalueindex(1));
}

/* ---- bytecode as tables -------------------------------------------------------------------------------- */

static void set_int(lua_State *L, const char *field, lua_Integer value)
{
  lua_pushinteger(L, value);
  lua_setfield(L, -2, field);
}

static void set_text(lua_State *L, const char *field, da_slice text)
{
  lua_pushlstring(L, text.ptr != NULL ? text.ptr : "", text.len);
  lua_setfield(L, -2, field);
}

static void set_code(lua_State *L, const da_proto *proto)
{
  lua_createtable(L, (int)proto->code_count, 0);
  lua_createtable(L, (int)proto->code_count, 0);
  for (size_t i = 0; i < proto->code_count; i++) {
    lua_pushinteger(L, proto->code[i]);
    lua_rawseti(L, -3, (lua_Integer)i + 1);
    lua_pushinteger(L, proto->lines[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -3, "lines");
  lua_setfield(L, -2, "code");
}

static void set_names(lua_State *L, const da_proto *proto)
{
  lua_createtable(L, (int)proto->constant_count, 0);
  for (size_t i = 0; i < proto->constant_count; i++) {
    if (proto->constants[i].ptr != NULL)
      lua_pushlstring(L, proto->constants[i].ptr, proto->constants[i].len);
    else
      lua_pushboolean(L, 0);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "constants");
  lua_createtable(L, (int)proto->upvalue_count, 0);
  for (size_t i = 0; i < proto->upvalue_count; i++) {
    lua_createtable(L, 0, 3);
    set_text(L, "name", proto->upvalues[i].name);
    set_int(L, "index", proto->upvalues[i].index);
    lua_pushboolean(L, proto->upvalues[i].from_stack);
    lua_setfield(L, -2, "stack");
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "upvalues");
  lua_createtable(L, (int)proto->local_count, 0);
  for (size_t i = 0; i < proto->local_count; i++) {
    lua_createtable(L, 0, 3);
    set_text(L, "name", proto->locals[i].name);
    set_int(L, "from", (lua_Integer)proto->locals[i].from + 1);
    set_int(L, "to", (lua_Integer)proto->locals[i].to + 1);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "locals");
}

/* Functions nest at most as deep as bytecode.c reads. */
static void push_proto(lua_State *L, const da_proto *proto)
{
  luaL_checkstack(L, 8, "functions within functions");
  lua_createtable(L, 0, 10);
  bool in_file = proto->source.len > 0 && proto->source.ptr[0] == '@';
  set_text(L, "file", in_file ? da_slice_make(proto->source.ptr + 1, proto->source.len - 1) : DA_NONE);
  set_int(L, "line", proto->line);
  set_int(L, "last_line", proto->last_line);
  set_int(L, "registers", proto->registers);
  set_code(L, proto);
  set_names(L, proto);
  lua_createtable(L, (int)proto->inner_count, 0);
  for (size_t i = 0; i < proto->inner_count; i++) {
    push_proto(L, proto->inner[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "inner");
}

static int push_code(lua_State *L)
{
  const da_proto *proto = da_bytecode_of(L, &check_of(L)->arena);
  if (proto == NULL) return luaL_error(L, "this Lua writes another bytecode than 5.4, which dahost check cannot read");
  push_proto(L, proto);
  return 1;
}

/* code(function) -> table, or nothing of a C function */
static int code(lua_State *L)
{
  lua_settop(L, 1);
  if (lua_type(L, 1) != LUA_TFUNCTION || lua_iscfunction(L, 1)) return 0;
  return push_code(L);
}

/* module(i) -> name, table of the i-th module's main function; nothing behind the last */
static int module(lua_State *L)
{
  const check *c = check_of(L);
  size_t i = (size_t)luaL_checkinteger(L, 1) - 1;
  if (i >= c->bundle->module_count) return 0;
  const da_module *m = &c->bundle->modules[i];
  lua_pushlstring(L, m->module.ptr, m->module.len);
  lua_pushlstring(L, m->file.ptr, m->file.len);
  lua_pushfstring(L, "@%s", lua_tostring(L, -1));
  lua_remove(L, -2);
  int status = luaL_loadbufferx(L, m->text.ptr, m->text.len, lua_tostring(L, -1), "t");
  lua_remove(L, -2);
  if (status != LUA_OK) return lua_error(L);
  (void)push_code(L);
  lua_remove(L, -2);
  return 2;
}

/* ---- a look at values ---------------------------------------------------------------------------------- */

/* upvalue(function, i) -> value */
static int upvalue(lua_State *L)
{
  return lua_getupvalue(L, 1, (int)luaL_checkinteger(L, 2)) != NULL ? 1 : 0;
}

/* Replaces the table on top by the one its metatable reads from, if there is one. */
static bool follow_index(lua_State *L)
{
  if (!lua_getmetatable(L, -1)) return false;
  lua_pushliteral(L, "__index");
  bool table = lua_rawget(L, -2) == LUA_TTABLE;
  if (table) lua_copy(L, -1, -3);
  lua_pop(L, 2);
  return table;
}

enum { HOPS_MAX = 8 };

/* field(table, key) -> value, without running a metamethod */
static int field(lua_State *L)
{
  if (!lua_istable(L, 1)) return 0;
  lua_pushvalue(L, 1);
  for (int i = 0; i < HOPS_MAX; i++) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL) return 1;
    lua_pop(L, 1);
    if (!follow_index(L)) return 0;
  }
  return 0;
}

/* names(table) -> {name = true, ...} of the fields it has and those it reads from others */
static int names(lua_State *L)
{
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_newtable(L);
  lua_pushvalue(L, 1);
  for (int i = 0; i < HOPS_MAX; i++) {
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
      if (lua_type(L, -2) != LUA_TSTRING) continue;
      lua_pushvalue(L, -2);
      lua_pushboolean(L, 1);
      lua_rawset(L, 2);
    }
    if (!follow_index(L)) break;
  }
  lua_settop(L, 2);
  return 1;
}

/* absent(value) -> name, place of a module that only steps have; nothing of any other value */
static int absent(lua_State *L)
{
  const char *where, *name = da_module_placeholder(L, 1, &where);
  if (name == NULL) return 0;
  lua_pushstring(L, name);
  lua_pushstring(L, where);
  return 2;
}

/* durable(value) -> name of a durable function; nothing of any other value */
static int durable(lua_State *L)
{
  da_slice name;
  if (!bind_function_name(L, 1, &name)) return 0;
  lua_pushlstring(L, name.ptr, name.len);
  return 1;
}

/* place(function) -> "da/api.lua:12", where it is written; of a table: of the function that reads its missing fields.
 * Nothing of any other value. */
static int place(lua_State *L)
{
  lua_Debug ar;
  lua_settop(L, 1);
  if (lua_istable(L, 1) && lua_getmetatable(L, 1)) {
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
  }
  if (lua_type(L, -1) != LUA_TFUNCTION || lua_iscfunction(L, -1)) return 0;
  lua_getinfo(L, ">S", &ar);
  lua_pushfstring(L, "%s:%d", ar.source + 1, ar.linedefined);
  return 1;
}

static int found(lua_State *L)
{
  const check *c = check_of(L);
  bind_finding finding = {.code = luaL_checkstring(L, 1),
                          .file = luaL_checkstring(L, 2),
                          .line = (int)luaL_checkinteger(L, 3),
                          .what = luaL_checkstring(L, 4),
                          .mend = luaL_checkstring(L, 5)};
  c->found(c->user, &finding);
  return 0;
}

/* ---- what steps have ------------------------------------------------------------------------------------ */

/* (): in a step state. Returns one text "name=place\n..." of the functions of da. */
static int list_step_functions(lua_State *L)
{
  luaL_openlibs(L);
  bind_open_step(L);
  lua_settop(L, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "da");
  luaL_Buffer text;
  lua_newtable(L);
  int n = 0;
  for (lua_pushnil(L); lua_next(L, 2) != 0;) {
    lua_Debug ar = {.linedefined = 0};
    lua_pushvalue(L, -1);
    if (lua_type(L, -1) == LUA_TFUNCTION)
      lua_getinfo(L, ">S", &ar);
    else
      lua_pop(L, 1);
    lua_pop(L, 1);
    lua_pushfstring(L, "%s=%d\n", lua_tostring(L, -1), ar.linedefined);
    lua_rawseti(L, 3, ++n);
  }
  luaL_buffinit(L, &text);
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, 3, i);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  return 1;
}

/* step_functions() -> "name=line\n..." of what require "da" gives in a named step, and where it is written. A state of
 * its own: none of its values can be seen from here. */
static int step_functions(lua_State *L)
{
  lua_State *step = luaL_newstate();
  if (step == NULL) return luaL_error(L, "not enough memory");
  lua_pushcfunction(step, list_step_functions);
  bool ok = lua_pcall(step, 0, 1, 0) == LUA_OK;
  const char *text = lua_tostring(step, -1);
  lua_pushstring(L, text != NULL ? text : "a step state does not open");
  lua_close(step);
  return ok ? 1 : lua_error(L);
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

#define OP(name)        \
  {                     \
#name, DA_OP_##name \
  }
static const struct {
  const char *name;
  int number;
} opcodes[] = {OP(MOVE),    OP(LOADK),    OP(LOADNIL),  OP(GETUPVAL), OP(SETUPVAL), OP(GETTABUP), OP(GETTABLE),
               OP(GETI),    OP(GETFIELD), OP(SETTABUP), OP(SETTABLE), OP(SETI),     OP(SETFIELD), OP(SELF),
               OP(ADDI),    OP(ADD),      OP(SHR),      OP(MMBIN),    OP(MMBINK),   OP(UNM),      OP(BNOT),
               OP(NOT),     OP(LEN),      OP(CONCAT),   OP(CLOSE),    OP(TBC),      OP(JMP),      OP(EQ),
               OP(EQK),     OP(GEI),      OP(TEST),     OP(TESTSET),  OP(CALL),     OP(TAILCALL), OP(RETURN),
               OP(RETURN1), OP(FORLOOP),  OP(FORPREP),  OP(TFORPREP), OP(TFORCALL), OP(TFORLOOP), OP(SETLIST),
               OP(CLOSURE), OP(VARARG),   OP(EXTRAARG)};

static void set_values(lua_State *L)
{
  lua_createtable(L, 0, sizeof opcodes / sizeof opcodes[0]);
  for (size_t i = 0; i < sizeof opcodes / sizeof opcodes[0]; i++) set_int(L, opcodes[i].name, opcodes[i].number);
  lua_setfield(L, -2, "op");
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  lua_setfield(L, -2, "globals");
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  lua_setfield(L, -2, "functions");
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_MODULES);
  lua_getfield(L, -1, "da");
  lua_setfield(L, -3, "da");
  lua_pop(L, 1);
  bind_promise_methods(L);
  lua_setfield(L, -2, "promise_methods");
}

/* Protected: (check). */
static int run(lua_State *L)
{
  static const luaL_Reg natives[] = {{"code", code},
                                     {"module", module},
                                     {"upvalue", upvalue},
                                     {"field", field},
                                     {"names", names},
                                     {"absent", absent},
                                     {"durable", durable},
                                     {"place", place},
                                     {"found", found},
                                     {"nearest", bind_nearest},
                                     {"step_functions", step_functions},
                                     {NULL, NULL}};
  const da_embedded *file = da_tool_files;
  while (strcmp(file->name, "check.lua") != 0) file++;
  if (luaL_loadbufferx(L, file->begin, (size_t)(file->end - file->begin), "=tool/check.lua", "t") != LUA_OK)
    return lua_error(L);
  lua_newtable(L);
  lua_pushvalue(L, 1);
  luaL_setfuncs(L, natives, 1);
  set_values(L);
  lua_call(L, 1, 0);
  return 0;
}

/* "wf.lua:5: words. The mend" */
static void tell_shared_local(const check *c, const char *text)
{
  char file[sizeof((da_err *)0)->text] = "", what[sizeof((da_err *)0)->text];
  int line = 0;
  const char *colon = strchr(text, ':');
  const char *words = colon != NULL ? strstr(colon + 1, ": ") : NULL;
  if (words == NULL)
    words = text;
  else {
    (void)snprintf(file, sizeof file, "%.*s", (int)(colon - text), text);
    line = (int)strtol(colon + 1, NULL, 10);
    words += 2;
  }
  const char *mend = strstr(words, ". Pass the value");
  (void)snprintf(what, sizeof what, "%.*s", mend != NULL ? (int)(mend - words) : (int)strlen(words), words);
  bind_finding finding = {.code = "shared",
                          .file = file,
                          .line = line,
                          .what = what,
                          .mend = "pass the value as an argument, or return it from the step"};
  c->found(c->user, &finding);
}

da_status bind_check_run(lua_State *L, const da_bundle *bundle, void (*told)(void *user, const bind_finding *finding),
                         void *user, da_err *err)
{
  check c = {.bundle = bundle, .found = told, .user = user};
  da_err shared = {{0}};
  da_status status = da_shared_locals_check(L, &shared);
  if (status == DA_ELUA) tell_shared_local(&c, shared.text);
  lua_settop(L, 0);
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, &c);
  status = DA_OK;
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
    const char *text = lua_tostring(L, -1);
    status = da_fail(err, DA_ELUA, "%s", text != NULL ? text : "the check failed");
  }
  lua_settop(L, 0);
  da_arena_free(&c.arena);
  return status;
}
