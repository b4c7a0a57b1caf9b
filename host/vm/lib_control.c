/* lib_control.c - errors, their catching, and the parking that cannot be caught.
 *
 * A poisoned isolate must not go on, and an error would not do: scripts catch errors, and unwinding runs their <close>
 * variables (a saga would undo live work). So whoever finds the poison yields to the host and is never resumed. Where
 * no yield is possible an error travels to the next pcall below, which can. SPDX-License-Identifier: Apache-2.0 */
#include "lib_parts.h"

static char nil_error_key; /* registry: the function that makes the error for error(nil) */

/* ---- parking ---- */

bool da_lib_can_await(lua_State *L)
{
  return lua_isyieldable(L) && !(thread_flags(L) & THREAD_BLOCKED);
}

static int park_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)status;
  (void)ctx;
  return da_lib_park(L);
}

int da_lib_park(lua_State *L)
{
  lua_settop(L, 0);
  lua_pushlightuserdata(L, DA_YIELD_TAG); /* takes no memory: there may be none */
  if (!da_lib_can_await(L)) return lua_error(L);
  return lua_yieldk(L, 1, 0, park_k);
}

bool lib_passes_yields(lua_CFunction fn)
{
  static const lua_CFunction those[] = {lib_pcall, lib_xpcall, lib_resume, lib_wrap_call,     lib_close,
                                        lib_sort,  lib_gsub,   lib_pairs,  lib_coroutine_body};
  for (size_t i = 0; i < sizeof those / sizeof those[0]; i++) {
    if (fn == those[i]) return true;
  }
  return false;
}

static int lib_handler(lua_State *L);

/* Does a handler of xpcall run that raised an error itself? Lua calls it again for that, until its stack is full. */
static bool in_handler(lua_State *L)
{
  enum { NEAR = 8 };
  lua_Debug ar;
  for (int level = 1; level < NEAR && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "f", &ar);
    lua_CFunction fn = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    if (fn == lib_handler) return true;
  }
  return false;
}

/* Did Lua meet its own limit of nested calls? Only where an error is raised, with all its calls still there, can that
 * be told from a text which merely says so. Calls through C are counted across coroutines: there each has few of them.
 */
static void check_overflow(lua_State *L)
{
  enum { DEEP = 120 }; /* levels; Lua's limit is 200 calls through C, 3,900 of the largest frames */
  static const char words[] = "stack overflow";
  lua_Debug ar;
  size_t len;
  if (lua_type(L, 1) != LUA_TSTRING) return;
  const char *text = lua_tolstring(L, 1, &len);
  const char *at = memmem(text, len, words, sizeof words - 1);
  if (at == NULL || (at[sizeof words - 1] != '\0' && strncmp(at + sizeof words - 1, " (", 2) != 0)) return;
  bool through_c = at - text >= 2 && at[-2] == 'C' && (thread_flags(L) & THREAD_INNER) != 0;
  if ((through_c || lua_getstack(L, DEEP, &ar)) && !in_handler(L)) da_isolate_poison(L, DA_POISON_STACK);
}

/* The message handler of pcall and of coroutines. */
int lib_raised(lua_State *L)
{
  check_overflow(L);
  return 1;
}

/* What the innermost function that Lua cannot yield across is to its caller, or NULL. Those that pass yields through do
 * so for their callbacks alone: sort does not for an __index of its list, and is named when nobody else is there. */
static const char *what_is_in_the_way(lua_State *L)
{
  lua_Debug ar;
  const char *last = NULL;
  for (int level = 1; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Snf", &ar);
    lua_CFunction fn = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    if (fn == lib_handler) return "a message handler of xpcall";
    if (fn == NULL || ar.name == NULL) continue;
    if (!lib_passes_yields(fn)) return lua_pushfstring(L, "a callback of '%s'", ar.name);
    if (last == NULL && (fn == lib_sort || fn == lib_gsub)) last = ar.name;
  }
  if (thread_flags(L) & THREAD_BLOCKED) return "a coroutine resumed in a callback";
  return last != NULL ? lua_pushfstring(L, "a callback of '%s'", last) : NULL;
}

void da_lib_check_await(lua_State *L, const char *what)
{
  if (da_lib_can_await(L)) return;
  if (da_isolate_inline(L)) luaL_error(L, "%s: an inline step cannot suspend; %s before or after it", what, what);
  if (lua_pushthread(L) == 1)
    luaL_error(L, "%s: no execution is running here; loading a file is for definitions", what);
  const char *where = what_is_in_the_way(L);
  luaL_error(L, "%s: cannot suspend inside %s (Lua cannot yield across it); %s before or after that call", what,
             where != NULL ? where : "this call", what);
}

bool da_lib_out_of_memory(lua_State *L, int status)
{
  da_isolate *isolate = da_isolate_of(L);
  bool memory = status == LUA_ERRMEM;
  if (status == LUA_ERRRUN && isolate->refused_grants != UINT64_MAX && lua_type(L, -1) == LUA_TSTRING) {
    memory = strcmp(lua_tostring(L, -1), "not enough memory") == 0;
  }
  if (memory) {
    isolate->quota_hit = true;
    da_isolate_poison(L, DA_POISON_MEMORY);
  }
  return memory;
}

/* ---- error, assert ---- */

void da_lib_set_nil_error(lua_State *L)
{
  lua_rawsetp(L, LUA_REGISTRYINDEX, &nil_error_key);
}

/* Raises the value on top. */
static int raise(lua_State *L)
{
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &nil_error_key) == LUA_TFUNCTION) {
      lua_call(L, 0, 1);
    } else {
      lua_pop(L, 1);
      lua_pushliteral(L, "nil");
    }
  }
  return lua_error(L);
}

static int lib_error(lua_State *L)
{
  int level = (int)luaL_optinteger(L, 2, 1);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  lua_settop(L, 1);
  if (lua_type(L, 1) == LUA_TSTRING && level > 0) {
    luaL_where(L, level);
    lua_pushvalue(L, 1);
    lua_concat(L, 2);
  }
  return raise(L);
}

static int lib_assert(lua_State *L)
{
  if (lua_toboolean(L, 1)) return lua_gettop(L);
  luaL_checkany(L, 1);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  lua_remove(L, 1);
  lua_pushliteral(L, "assertion failed!");
  lua_settop(L, 1);
  return raise(L);
}

/* ---- pcall, xpcall ---- */

enum { SKIP_MASK = 3, CLOSING_BEFORE = 4 };

/* ctx: how many stack slots are not results; was the coroutine already being closed when the call began? */
static int pcall_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)da_lib_out_of_memory(L, status);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)(ctx & SKIP_MASK);
  /* coroutine.close unwinds by an error that only calls begun by the closing itself may catch. */
  if ((thread_flags(L) & THREAD_CLOSING) && !(ctx & CLOSING_BEFORE)) return lua_error(L);
  lua_pushboolean(L, 0);
  lua_pushvalue(L, -2);
  return 2;
}

static lua_KContext pcall_context(lua_State *L, int skip)
{
  return skip | (thread_flags(L) & THREAD_CLOSING ? CLOSING_BEFORE : 0);
}

int lib_pcall(lua_State *L)
{
  luaL_checkany(L, 1);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  lua_pushcfunction(L, lib_raised);
  lua_pushboolean(L, 1);
  lua_rotate(L, 1, 2); /* handler, true, f, arguments... */
  lua_KContext ctx = pcall_context(L, 1);
  return pcall_k(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 1, ctx, pcall_k), ctx);
}

/* The message handler of xpcall around the script's own (upvalue): what is not the script's error does not reach it. */
static int lib_handler(lua_State *L)
{
  lua_settop(L, 1);
  (void)da_lib_out_of_memory(L, LUA_ERRRUN);
  check_overflow(L);
  if (lua_isnil(L, 1) || da_isolate_poisoned(L)) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

int lib_xpcall(lua_State *L)
{
  int count = lua_gettop(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, lib_handler, 1);
  lua_replace(L, 2);
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2); /* f, handler, true, f, arguments... */
  lua_KContext ctx = pcall_context(L, 2);
  return pcall_k(L, lua_pcallk(L, count - 2, LUA_MULTRET, 2, ctx, pcall_k), ctx);
}

bool da_lib_is_protected_call(lua_CFunction fn)
{
  return fn == lib_pcall || fn == lib_xpcall;
}

bool lib_is_internal(lua_CFunction fn)
{
  return fn == lib_handler || fn == lib_raised || fn == lib_coroutine_body;
}

void lib_control_open(lua_State *L)
{
  static const luaL_Reg functions[] = {
      {"assert", lib_assert}, {"error", lib_error}, {"pcall", lib_pcall}, {"xpcall", lib_xpcall}, {NULL, NULL}};
  lua_pushglobaltable(L);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
