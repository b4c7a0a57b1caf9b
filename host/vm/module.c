/* module.c - require in an isolate: the modules of the bundle, and what stands for a module that only steps have.
 *
 * The same file is loaded for workflows and for steps. What it requires and what is not beside the script (a C module,
 * a rock) exists in step states alone; in an isolate a *placeholder* takes its place. While the file loads, a
 * placeholder may be indexed, called and calculated with, which gives further placeholders (`local get = http.get`,
 * `local db = sqlite.open(path)`), and set, which does nothing: all that happens for real in the step states, which run
 * the same lines. Once an execution runs, every use of one raises, with advice.
 *
 * `pcall(require, name)` asks whether a module is there, and is told that it is not: a library that can do without it
 * then does, in workflows.
 *
 * A placeholder is a userdata, so that pairs and next refuse it too. User values: its name, where it was required.
 * SPDX-License-Identifier: Apache-2.0 */
#include "module.h"

#include <lauxlib.h>

#include "execution.h"
#include "lib.h"

#define PLACEHOLDER "da.placeholder"

enum {
  NAME = 1,
  WHERE = 2,
  LABEL_MAX = 100,   /* bytes; a longer one stays as it is */
  USES_MAX = 1 << 14 /* while the file loads: more is a loop over a placeholder, which would never end */
};

static char uses_key; /* registry: how often placeholders were used while the file loaded */

/* ---- placeholders ---- */

static bool is_loading(lua_State *L)
{
  const da_host *host = da_isolate_host(L);
  return host == NULL || host->loading;
}

static bool is_placeholder(lua_State *L, int index)
{
  return luaL_testudata(L, index, PLACEHOLDER) != NULL;
}

/* Pushes the text in a user value of the placeholder at index. */
static const char *push_part(lua_State *L, int index, int part)
{
  lua_getiuservalue(L, index, part);
  return lua_tostring(L, -1);
}

const char *da_module_placeholder(lua_State *L, int index, const char **where)
{
  if (!is_placeholder(L, index)) return NULL;
  *where = push_part(L, index, WHERE);
  const char *name = push_part(L, index, NAME);
  lua_pop(L, 2);
  return name;
}

/* Pushes a placeholder whose name is on top (taken), required where the one at `of` was; of 0: at the text below it. */
static void push_placeholder(lua_State *L, int of)
{
  if (of != 0) {
    (void)push_part(L, of, WHERE);
    lua_insert(L, -2);
  }
  lua_newuserdatauv(L, 0, 2);
  lua_insert(L, -3);
  lua_setiuservalue(L, -3, NAME);
  lua_setiuservalue(L, -2, WHERE);
  luaL_setmetatable(L, PLACEHOLDER);
}

/* Pushes the name of what `.key` of the placeholder is. */
static const char *push_field_name(lua_State *L, int index, int key)
{
  const char *name = push_part(L, index, NAME);
  if (lua_rawlen(L, -1) > LABEL_MAX) return name;
  if (lua_type(L, key) == LUA_TSTRING && lua_rawlen(L, key) <= LABEL_MAX) {
    lua_pushfstring(L, "%s.%s", name, lua_tostring(L, key));
  } else {
    lua_pushfstring(L, "%s[...]", name);
  }
  lua_remove(L, -2);
  return lua_tostring(L, -1);
}

/* Raises: the thing of that name, got from the placeholder at index, was used. */
static int refuse_use(lua_State *L, int index, const char *name)
{
  const char *where = push_part(L, index, WHERE);
  const char *advice = "move the call into function step.NAME(...) ... end and await(step.NAME(...))";
  if (da_isolate_inline(L))
    return luaL_error(L, "%s is for named steps only (%s), an inline step runs among workflow code; %s", name, where,
                      advice);
  return luaL_error(L, "%s is for steps only (%s); %s", name, where, advice);
}

static int refuse_loop(lua_State *L, int index)
{
  return luaL_error(
      L,
      "%s is for steps only (%s): it has no values while the file loads for workflows, and a loop over it "
      "would not end; move the loop into function step.NAME(...) ... end",
      push_part(L, index, NAME), push_part(L, index, WHERE));
}

static void count_use(lua_State *L, int index)
{
  lua_rawgetp(L, LUA_REGISTRYINDEX, &uses_key);
  lua_Integer uses = lua_tointeger(L, -1) + 1;
  lua_pop(L, 1);
  if (uses > USES_MAX) (void)refuse_loop(L, index);
  lua_pushinteger(L, uses);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &uses_key);
}

static int placeholder_index(lua_State *L)
{
  const char *name = push_field_name(L, 1, 2);
  if (!is_loading(L)) return refuse_use(L, 1, name);
  count_use(L, 1);
  push_placeholder(L, 1);
  return 1;
}

static int placeholder_newindex(lua_State *L)
{
  if (!is_loading(L)) return refuse_use(L, 1, push_field_name(L, 1, 2));
  count_use(L, 1);
  return 0;
}

static int placeholder_call(lua_State *L)
{
  bool again = lua_isnil(L, 2) && is_placeholder(L, 3);
  const char *name = push_part(L, 1, NAME);
  if (!is_loading(L)) return refuse_use(L, 1, name);
  if (again) return refuse_loop(L, 1); /* the second turn of a generic for */
  count_use(L, 1);
  if (lua_rawlen(L, -1) <= LABEL_MAX) {
    lua_pushfstring(L, "%s(...)", name);
    lua_remove(L, -2);
  }
  push_placeholder(L, 1);
  return 1;
}

/* An operator whose result may be anything. */
static int placeholder_operator(lua_State *L)
{
  int index = is_placeholder(L, 1) ? 1 : 2;
  const char *name = push_part(L, index, NAME);
  if (!is_loading(L)) return refuse_use(L, index, name);
  count_use(L, index);
  push_placeholder(L, index);
  return 1;
}

/* What needs a value even while the file loads: a comparison, a traversal. */
static int placeholder_refused(lua_State *L)
{
  int index = is_placeholder(L, 1) ? 1 : 2;
  return refuse_use(L, index, push_part(L, index, NAME));
}

static int placeholder_tostring(lua_State *L)
{
  (void)luaL_checkudata(L, 1, PLACEHOLDER);
  lua_pushfstring(L, "%s (for steps only)", push_part(L, 1, NAME));
  return 1;
}

static void open_placeholders(lua_State *L)
{
  static const luaL_Reg methods[] = {{"__index", placeholder_index},
                                     {"__newindex", placeholder_newindex},
                                     {"__call", placeholder_call},
                                     {"__tostring", placeholder_tostring},
                                     {NULL, NULL}};
  static const char *const operators[] = {"__add",  "__sub", "__mul",  "__div",  "__mod", "__pow", "__unm", "__idiv",
                                          "__band", "__bor", "__bxor", "__bnot", "__shl", "__shr", "__len", "__concat"};
  static const char *const refused[] = {"__eq", "__lt", "__le", "__pairs", "__close"};
  luaL_newmetatable(L, PLACEHOLDER);
  luaL_setfuncs(L, methods, 0);
  for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
    lua_pushcfunction(L, placeholder_operator);
    lua_setfield(L, -2, operators[i]);
  }
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    lua_pushcfunction(L, placeholder_refused);
    lua_setfield(L, -2, refused[i]);
  }
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

/* ---- require ---- */

/* Pushes "wf.lua:12", the line of the script that runs, or "?". */
static void push_line(lua_State *L)
{
  lua_Debug ar;
  for (int level = 1; lua_getstack(L, level, &ar) != 0; level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0 || ar.source[0] != '@') continue;
    lua_pushfstring(L, "%s:%d", ar.source + 1, ar.currentline);
    return;
  }
  lua_pushliteral(L, "?");
}

static const da_bundle *bundle_of(lua_State *L)
{
  da_host *host = da_isolate_host(L);
  return host->loading ? ((da_load_context *)host)->bundle : ((da_execution *)host)->bundle;
}

/* Raises the error on top. The module may be tried again. */
static void module_failed(lua_State *L)
{
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  lua_rawset(L, lua_upvalueindex(1));
  lua_error(L);
}

/* Runs the module and leaves what it is on the stack. */
static void run_module(lua_State *L, const da_module *module)
{
  lua_pushlstring(L, module->file.ptr, module->file.len);
  lua_pushfstring(L, "@%s", lua_tostring(L, -1));
  if (luaL_loadbufferx(L, module->text.ptr, module->text.len, lua_tostring(L, -1), "t") != LUA_OK) module_failed(L);
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) module_failed(L);
  if (lua_isnil(L, -1)) lua_pushboolean(L, 1);
}

/* require "string" and its like give the libraries of the isolate. */
static bool push_library(lua_State *L, const char *name)
{
  static const char *const libraries[] = {"_G", "coroutine", "debug", "io", "math", "os", "string", "table", "utf8"};
  for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
    if (strcmp(name, libraries[i]) != 0) continue;
    lua_getglobal(L, name);
    return true;
  }
  return false;
}

static int refuse_module(lua_State *L, const char *name)
{
  if (strncmp(name, "da.", 3) == 0)
    return luaL_error(L,
                      strcmp(name, "da.test") == 0
                          ? "module '%s' is there in files that `dahost test FILE` runs, not in workflows"
                          : "there is no module '%s'; require \"da\" has everything",
                      name);
  if (da_isolate_inline(L))
    return luaL_error(L,
                      "module '%s' is for named steps: an inline step has the modules of the bundle alone; make it a "
                      "named step: function step.NAME(...) ... end and await(step.NAME(...))",
                      name);
  return luaL_error(L,
                    "module '%s' is not part of the bundle (no '%s.lua' beside the script); in a workflow only such "
                    "modules exist, in a step every module does: require it inside function step.NAME",
                    name, name);
}

/* Is the running require called by pcall or xpcall, or by a function (no file) that is? */
static bool is_optional(lua_State *L)
{
  lua_Debug ar;
  for (int level = 1; level <= 2 && lua_getstack(L, level, &ar) != 0; level++) {
    lua_getinfo(L, "Sf", &ar);
    lua_CFunction caller = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    if (caller != NULL) return da_lib_is_protected_call(caller);
    if (*ar.what == 'm') return false;
  }
  return false;
}

static void push_absent(lua_State *L, const char *name)
{
  push_line(L);
  lua_pushfstring(L, "%s: no module '%s' beside the script", lua_tostring(L, -1), name);
  lua_remove(L, -2);
  lua_pushvalue(L, 1);
  push_placeholder(L, 0);
}

/* Modules run once per isolate. Upvalue: the table of loaded modules. */
static int require_module(lua_State *L)
{
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  lua_settop(L, 1);
  if (lua_getfield(L, lua_upvalueindex(1), name) != LUA_TNIL) {
    if (lua_islightuserdata(L, 2))
      return luaL_error(L, "module '%s' is required while it loads: a circle of requires", name);
    if (is_placeholder(L, 2) && (!is_loading(L) || is_optional(L))) return refuse_module(L, name);
    return 1;
  }
  lua_settop(L, 1);
  const da_module *module = da_bundle_find(bundle_of(L), da_slice_make(name, len));
  if (module != NULL) {
    lua_pushlightuserdata(L, L); /* until it is loaded */
    lua_setfield(L, lua_upvalueindex(1), name);
    run_module(L, module);
  } else if (!push_library(L, name)) {
    if (!is_loading(L) || is_optional(L) || strncmp(name, "da.", 3) == 0) return refuse_module(L, name);
    push_absent(L, name);
  }
  lua_pushvalue(L, -1);
  lua_setfield(L, lua_upvalueindex(1), name);
  return 1;
}

void da_module_open(lua_State *L)
{
  open_placeholders(L);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_MODULES);
  lua_pushcclosure(L, require_module, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_REQUIRE);
  lua_pushliteral(L, "in a workflow, require finds the modules beside the script by itself");
  lua_pushliteral(L, "package");
  push_placeholder(L, 0);
  lua_setfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_PACKAGE);
}
