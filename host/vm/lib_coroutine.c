/* lib_coroutine.c - coroutines of a script, inside the fibers of the host.
 *
 * Every coroutine runs lib_coroutine_body(f, ...). Two things differ from the stock library:
 *   - what yields to the host (DA_YIELD_TAG, or a slice) goes through: the resumer yields outwards in turn and, when it
 * is continued, resumes the inner coroutine again with nothing. Until then the inner one is THREAD_WAITING: for the
 *     script it is not suspended, so that no other fiber can resume it in place of the host;
 *   - close() and an error unwind *inside* the coroutine, by an error through the body's pcall, because
 * lua_resetthread() calls <close> metamethods where they cannot yield. The error of close() is nil, as the stock
 * library passes to <close> variables; no script can raise a nil itself. A fiber is not a coroutine for the script: it
 * may be compared and shown, not resumed, closed or yielded from. SPDX-License-Identifier: Apache-2.0 */
#include "lib_parts.h"

enum { STEP_ERROR = -1, STEP_WAIT = -2 };

typedef enum co_status { CO_RUNNING, CO_DEAD, CO_SUSPENDED, CO_NORMAL } co_status;

static const char *const status_names[] = {"running", "dead", "suspended", "normal"};

static lua_State *check_coroutine(lua_State *L)
{
  lua_State *co = lua_tothread(L, 1);
  if (co != NULL) return co;
  (void)luaL_typeerror(L, 1, "coroutine"); /* does not return */
  return L;
}

static co_status status_of(lua_State *L, lua_State *co)
{
  if (L == co) return CO_RUNNING;
  unsigned flags = thread_flags(co);
  if (!(flags & THREAD_INNER) || (flags & THREAD_WAITING)) return CO_NORMAL;
  lua_Debug ar;
  switch (lua_status(co)) {
  case LUA_YIELD:
    return CO_SUSPENDED;
  case LUA_OK:
    if (lua_getstack(co, 0, &ar)) return CO_NORMAL;
    return lua_gettop(co) == 0 ? CO_DEAD : CO_SUSPENDED;
  default:
    return CO_DEAD;
  }
}

/* ---- the body ---- */

static int body_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)ctx;
  (void)da_lib_out_of_memory(L, status);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 1;
  return lua_error(L);
}

int lib_coroutine_body(lua_State *L)
{
  lua_pushcfunction(L, lib_raised);
  lua_insert(L, 1);
  return body_k(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, body_k), 0);
}

/* ---- one run of a coroutine ---- */

static bool yielded_to_host(const da_isolate *isolate, lua_State *co, int count)
{
  if (isolate->sliced) return true;
  return count == 1 && lua_islightuserdata(co, -1) && lua_touserdata(co, -1) == DA_YIELD_TAG;
}

/* Coroutines nested so deep that its body could not be called. */
static bool too_deep(lua_State *co)
{
  return lua_type(co, -1) == LUA_TSTRING && strcmp(lua_tostring(co, -1), "C stack overflow") == 0;
}

/* Runs co until it ends or yields. Returns how many results it left on L; STEP_ERROR: the error lies on L; STEP_WAIT:
 * the host has to do something first. */
static int step(lua_State *L, lua_State *co, int args)
{
  da_isolate *isolate = da_isolate_of(L);
  unsigned flags = thread_flags(co) & ~(unsigned)(THREAD_WAITING | THREAD_BLOCKED);
  if (!da_lib_can_await(L)) flags |= THREAD_BLOCKED;
  thread_set_flags(co, flags);
  da_isolate_set_running(isolate, co);
  int count = 0;
  int status = lua_resume(co, L, args, &count);
  da_isolate_set_running(isolate, L);
  (void)da_lib_out_of_memory(co, status);
  if (status == LUA_ERRRUN && too_deep(co)) da_isolate_poison(L, DA_POISON_STACK);
  bool wait = isolate->poison != DA_POISON_NONE;
  if (status == LUA_YIELD && (wait || yielded_to_host(isolate, co, count))) {
    lua_pop(co, count);
    wait = true;
  }
  if (wait) {
    thread_set_flags(co, flags | THREAD_WAITING);
    return STEP_WAIT;
  }
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return STEP_ERROR;
  }
  if (!lua_checkstack(L, count + 1)) {
    lua_pop(co, count);
    lua_pushliteral(L, "too many results to resume");
    return STEP_ERROR;
  }
  lua_xmove(co, L, count);
  return count;
}

/* As step(), with the first checks and `args` values from the top of L. */
static int step_into(lua_State *L, lua_State *co, int args)
{
  co_status status = status_of(L, co);
  if (status != CO_SUSPENDED) {
    lua_pushfstring(L, "cannot resume %s coroutine", status == CO_DEAD ? "dead" : "non-suspended");
    return STEP_ERROR;
  }
  if (!lua_checkstack(co, args)) {
    lua_pushliteral(L, "too many arguments to resume");
    return STEP_ERROR;
  }
  int first = lua_status(co) == LUA_OK ? 1 : 0; /* the body's own argument, the function */
  lua_xmove(L, co, args);
  return step(L, co, args + first);
}

/* Hands the yield of an inner coroutine outwards. */
static int wait_outside(lua_State *L, lua_KFunction k)
{
  lua_pushlightuserdata(L, DA_YIELD_TAG);
  /* Natives and hooks ask first, so only poison gets here without a way out. */
  if (!da_lib_can_await(L)) return lua_error(L);
  return lua_yieldk(L, 1, 0, k);
}

/* ---- resume ---- */

static int resume_k(lua_State *L, int status, lua_KContext ctx);

static int resume_end(lua_State *L, int count)
{
  if (count == STEP_WAIT) return wait_outside(L, resume_k);
  lua_pushboolean(L, count != STEP_ERROR);
  if (count == STEP_ERROR) count = 1;
  lua_insert(L, -(count + 1));
  return count + 1;
}

static int resume_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)status;
  (void)ctx;
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  lua_settop(L, 1);
  return resume_end(L, step(L, lua_tothread(L, 1), 0));
}

int lib_resume(lua_State *L)
{
  lua_State *co = check_coroutine(L);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  return resume_end(L, step_into(L, co, lua_gettop(L) - 1));
}

/* ---- wrap ---- */

static int wrap_k(lua_State *L, int status, lua_KContext ctx);

static int wrap_end(lua_State *L, int count)
{
  if (count == STEP_WAIT) return wait_outside(L, wrap_k);
  if (count != STEP_ERROR) return count;
  if (lua_type(L, -1) == LUA_TSTRING) { /* as the stock library: where it came through */
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int wrap_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)status;
  (void)ctx;
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  lua_settop(L, 0);
  return wrap_end(L, step(L, lua_tothread(L, lua_upvalueindex(1)), 0));
}

int lib_wrap_call(lua_State *L)
{
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  return wrap_end(L, step_into(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L)));
}

static int lib_create(lua_State *L)
{
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  thread_set_flags(co, THREAD_INNER);
  lua_pushcfunction(co, lib_coroutine_body);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  return 1;
}

static int lib_wrap_create(lua_State *L)
{
  (void)lib_create(L);
  lua_pushcclosure(L, lib_wrap_call, 1);
  return 1;
}

/* ---- yield ---- */

static int yield_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)status;
  (void)ctx;
  if (!(thread_flags(L) & THREAD_CLOSING)) return lua_gettop(L);
  lua_pushnil(L);
  return lua_error(L);
}

static int lib_yield(lua_State *L)
{
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  unsigned flags = thread_flags(L);
  if (!(flags & THREAD_INNER)) return luaL_error(L, "attempt to yield from outside a coroutine");
  if (flags & THREAD_CLOSING) return luaL_error(L, "attempt to yield from a coroutine that is being closed");
  return lua_yieldk(L, lua_gettop(L), 0, yield_k);
}

/* ---- close ---- */

static int close_k(lua_State *L, int status, lua_KContext ctx);

/* Stack: the coroutine, then the error unless it waits. */
static int close_end(lua_State *L, int count)
{
  if (count == STEP_WAIT) return wait_outside(L, close_k);
  bool good = count != STEP_ERROR || lua_isnil(L, -1);
  lua_pushboolean(L, good);
  if (good) return 1;
  lua_insert(L, -2);
  return 2;
}

static int close_k(lua_State *L, int status, lua_KContext ctx)
{
  (void)status;
  (void)ctx;
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  lua_settop(L, 1);
  return close_end(L, step(L, lua_tothread(L, 1), 0));
}

/* A coroutine that has nothing to unwind: never started, or at its end. */
static int close_idle(lua_State *L, lua_State *co)
{
  int status = lua_resetthread(co);
  lua_pushboolean(L, status == LUA_OK);
  if (status == LUA_OK) return 1;
  lua_xmove(co, L, 1);
  return 2;
}

int lib_close(lua_State *L)
{
  lua_State *co = check_coroutine(L);
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  co_status status = status_of(L, co);
  if (status != CO_SUSPENDED && status != CO_DEAD) {
    return luaL_error(L, "cannot close a %s coroutine", status_names[status]);
  }
  if (lua_status(co) != LUA_YIELD) return close_idle(L, co);
  thread_set_flags(co, thread_flags(co) | THREAD_CLOSING);
  lua_settop(L, 1);
  return close_end(L, step(L, co, 0));
}

/* ---- questions ---- */

static int lib_status(lua_State *L)
{
  lua_pushstring(L, status_names[status_of(L, check_coroutine(L))]);
  return 1;
}

static int lib_isyieldable(lua_State *L)
{
  lua_State *co = lua_isnone(L, 1) ? L : check_coroutine(L);
  lua_pushboolean(L, (thread_flags(co) & THREAD_INNER) && lua_isyieldable(co));
  return 1;
}

static int lib_running(lua_State *L)
{
  lua_pushthread(L);
  lua_pushboolean(L, !(thread_flags(L) & THREAD_INNER));
  return 2;
}

void lib_coroutine_open(lua_State *L)
{
  static const luaL_Reg functions[] = {{"close", lib_close},
                                       {"create", lib_create},
                                       {"resume", lib_resume},
                                       {"isyieldable", lib_isyieldable},
                                       {"status", lib_status},
                                       {"running", lib_running},
                                       {"yield", lib_yield},
                                       {"wrap", lib_wrap_create},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  lua_setglobal(L, LUA_COLIBNAME);
}
