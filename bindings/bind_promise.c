/* bind_promise.c - promises as values, and waiting for them.
 *
 * A promise is a userdata that holds the number of a child of the execution; all else is looked up by it, so nothing of
 * the host lies in the Lua state. It refuses every operator, since a forgotten await is the commonest slip. Waiting:
 * da_fiber_wait() and a yield to the host; the continuation looks again, since "nothing is passed".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind.h"
#include "bind_error.h"
#include "bind_value.h"

#include "../host/vm/lib.h"

#define PROMISE "da.promise"

typedef struct promise {
  uint64_t tag; /* DA_HANDLE_TAG */
  uint32_t index;
} promise;

void bind_promise_push(lua_State *L, const da_child *child)
{
  promise *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = (promise){.tag = DA_HANDLE_TAG, .index = child->index};
  luaL_setmetatable(L, PROMISE);
}

static da_child *child_at(lua_State *L, int index)
{
  const promise *p = luaL_testudata(L, index, PROMISE);
  da_execution *execution = p != NULL ? da_execution_of(L) : NULL;
  return execution != NULL ? da_execution_child(execution, p->index) : NULL;
}

const char *bind_what(lua_State *L, int index)
{
  switch (lua_type(L, index)) {
  case LUA_TNONE:
  case LUA_TNIL:
    return "nothing";
  case LUA_TTABLE:
    return "a table";
  case LUA_TUSERDATA:
    if (luaL_testudata(L, index, PROMISE) != NULL) return "a promise";
    return luaL_testudata(L, index, "da.function") != NULL ? "a durable function that was not called" : "a userdata";
  default:
    return luaL_typename(L, index);
  }
}

da_child *bind_promise_check(lua_State *L, int index, const char *what)
{
  da_child *child = child_at(L, index);
  if (child == NULL)
    bind_raise(L, "%s needs a promise, got %s%s", what, bind_what(L, index),
               lua_istable(L, index) ? "; for a list of promises use da.all" : "");
  return child;
}

bool bind_promise_id(lua_State *L, int index, da_slice *id)
{
  da_child *child = child_at(L, index);
  if (child == NULL || child->id.len == 0) return false;
  da_execution_hand_on(child);
  *id = child->id;
  return true;
}

void bind_promise_push_id(lua_State *L, da_slice id)
{
  bind_promise_push(L, da_execution_get(bind_execution(L, "a promise among the values"), id));
}

/* ---- results ------------------------------------------------------------------------------------------- */

/* A list of children, for the length of one call; the waiting itself keeps its own. */
static da_child **child_list(size_t count)
{
  static _Thread_local da_child **list; /* grows; used before anything else can run */
  static _Thread_local size_t cap;
  if (count > cap) {
    list = da_xrealloc(list, count * sizeof *list);
    cap = count;
  }
  return list;
}

/* Pushes what a resolved child came to; the number of values. */
static int push_values(lua_State *L, da_child *child)
{
  child->seen = true;
  if (child->results_ref != LUA_NOREF) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, child->results_ref);
    int at = lua_gettop(L);
    lua_getfield(L, at, "n");
    int n = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    luaL_checkstack(L, n + 4, "too many results");
    for (int i = 1; i <= n; i++) lua_rawgeti(L, at, i);
    lua_remove(L, at);
    return n;
  }
  if (child->kind == DA_CALL_ACQUIRE) {
    bind_permit_push(L, child);
    return 1;
  }
  int count = 0;
  da_err err = {{0}};
  if (bind_value_decode_results(L, child->data, child->rest, &count, &err) != DA_OK)
    return bind_raise(L, "the value of '%s' cannot be read: %s", lua_pushlstring(L, child->id.ptr, child->id.len),
                      err.text);
  return count;
}

static void set_text_field(lua_State *L, const char *key, da_slice text)
{
  if (text.len == 0) return;
  lua_getfield(L, -1, key);
  bool absent = lua_isnil(L, -1);
  lua_pop(L, 1);
  if (!absent) return;
  lua_pushlstring(L, text.ptr, text.len);
  lua_setfield(L, -2, key);
}

void bind_promise_push_error(lua_State *L, const da_child *child)
{
  const char *code = child->state == DA_TIMEDOUT ? "timedout" : child->state == DA_CANCELED ? "canceled" : "rejected";
  if (child->results_ref != LUA_NOREF) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, child->results_ref);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
    bind_error_normalize(L, lua_gettop(L), DA_NONE);
    return;
  }
  da_err err = {{0}};
  if (child->data.len == 0) {
    bind_error_push(L, code, child->state == DA_TIMEDOUT ? "the deadline passed" : code);
  } else if (bind_value_decode(L, child->data, &err) != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
  } else if (!bind_error_is(L, -1)) { /* rejected from outside with a plain value */
    bind_error_push(L, code, lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : code);
    lua_insert(L, -2);
    lua_setfield(L, -2, "value");
  }
  set_text_field(L, "promise", child->id);
  set_text_field(L, "func", child->call.func);
}

void bind_promise_push_canceled(lua_State *L, da_slice why, const char *code)
{
  da_execution_of(L)->current->scope->cancel_raised = true;
  da_err err = {{0}};
  if (why.len == 0 || bind_value_decode(L, why, &err) != DA_OK) lua_pushliteral(L, "canceled");
  bind_error_push(L, code, lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : code);
  lua_remove(L, -2);
}

/* ---- await --------------------------------------------------------------------------------------------- */

static int yield(lua_State *L, lua_KContext context, lua_KFunction continuation)
{
  lua_pushlightuserdata(L, DA_YIELD_TAG);
  return lua_yieldk(L, 1, context, continuation);
}

static const da_child *first_failure(da_child *const *children, size_t count)
{
  const da_child *first = NULL;
  for (size_t i = 0; i < count; i++)
    if (children[i]->delivered && children[i]->state != DA_RESOLVED &&
        (first == NULL || children[i]->delivered_at < first->delivered_at))
      first = children[i];
  return first;
}

static int fail(lua_State *L, bool protected)
{
  if (!protected) return lua_error(L);
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

/* The stack holds the promises and nothing else; context: 1 for pawait. */
static int await_look(lua_State *L, int status, lua_KContext context)
{
  (void)status;
  bool protected = context == 1;
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  da_execution *execution = da_execution_of(L);
  const char *code;
  const da_slice *canceled = da_execution_canceled(execution, &code);
  if (canceled != NULL) {
    bind_promise_push_canceled(L, *canceled, code);
    return fail(L, protected);
  }
  size_t count = (size_t)lua_gettop(L);
  da_child **children = child_list(count);
  for (size_t i = 0; i < count; i++) children[i] = child_at(L, (int)i + 1);
  if (da_fiber_wait(execution, children, count)) return yield(L, context, await_look);
  const da_child *failure = first_failure(children, count);
  if (failure != NULL) {
    bind_promise_push_error(L, failure);
    return fail(L, protected);
  }
  luaL_checkstack(L, (int)count + 8, "too many promises");
  if (protected) lua_pushboolean(L, 1);
  int base = lua_gettop(L);
  if (count == 1) {
    int n = push_values(L, children[0]);
    return n + (protected ? 1 : 0);
  }
  for (size_t i = 0; i < count; i++) { /* the list may be reused below: look again by promise */
    (void)push_values(L, child_at(L, (int)i + 1));
    lua_settop(L, base + (int)i + 1);
  }
  return (int)count + (protected ? 1 : 0);
}

static int await_any_number(lua_State *L, const char *what, lua_KContext context)
{
  (void)bind_execution(L, what);
  int count = lua_gettop(L);
  if (count == 0) return bind_raise(L, "%s needs a promise, got nothing", what);
  for (int i = 1; i <= count; i++) bind_promise_check(L, i, what)->observed = true;
  da_lib_check_await(L, what);
  return await_look(L, LUA_OK, context);
}

static int await(lua_State *L)
{
  return await_any_number(L, "await", 0);
}

static int pawait(lua_State *L)
{
  return await_any_number(L, "pawait", 1);
}

/* ---- the primitives of the combinators (lua/da/combine.lua) -------------------------------------------- */

/* Reads the list at index 1 into the thread's list; its length. */
static size_t read_list(lua_State *L)
{
  size_t count = (size_t)luaL_len(L, 1);
  da_child **children = child_list(count);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    children[i] = child_at(L, -1);
    lua_pop(L, 1);
  }
  return count;
}

/* The execution, or an error if it is to cancel; NULL: park. */
static da_execution *look(lua_State *L)
{
  if (da_isolate_poisoned(L)) return NULL;
  da_execution *execution = da_execution_of(L);
  const char *code;
  const da_slice *canceled = da_execution_canceled(execution, &code);
  if (canceled == NULL) return execution;
  bind_promise_push_canceled(L, *canceled, code);
  (void)lua_error(L);
  return NULL;
}

static int wait_all_look(lua_State *L, int status, lua_KContext context)
{
  (void)status;
  da_execution *execution = look(L);
  if (execution == NULL) return da_lib_park(L);
  size_t count = read_list(L);
  da_child **children = child_list(count);
  if (da_fiber_wait(execution, children, count)) return yield(L, context, wait_all_look);
  const da_child *failure = first_failure(children, count);
  for (size_t i = 0; failure != NULL && i < count; i++) {
    if (children[i] != failure) continue;
    lua_pushinteger(L, (lua_Integer)i + 1);
    return 1;
  }
  return 0;
}

static int next_look(lua_State *L, int status, lua_KContext context)
{
  (void)status;
  uint32_t tag;
  da_execution *execution = look(L);
  if (execution == NULL) return da_lib_park(L);
  if (!da_fiber_next(execution, &tag)) return yield(L, context, next_look);
  lua_pushinteger(L, tag);
  return 1;
}

/* The length of the list at 1: its field n, as table.pack() and the lists of results have it, else its border. What
 * lies outside of that would be left out in silence, so it raises. */
static lua_Integer list_length(lua_State *L, const char *what, const char *of)
{
  if (!lua_istable(L, 1)) bind_raise(L, "%s needs a list%s, got %s", what, of, bind_what(L, 1));
  lua_pushliteral(L, "n");
  bool counted = lua_rawget(L, 1) == LUA_TNUMBER && lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 0;
  lua_Integer count = counted ? lua_tointeger(L, -1) : (lua_Integer)lua_rawlen(L, 1);
  lua_Integer least = LUA_MAXINTEGER;
  lua_pop(L, 1);
  for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1) {
      if (lua_tointeger(L, -2) > count && lua_tointeger(L, -2) < least) least = lua_tointeger(L, -2);
    } else if (!counted || lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "n") != 0) {
      bind_raise(L, "%s needs a list%s (keys 1, 2, 3...); this table has other keys", what, of);
    }
  }
  if (least != LUA_MAXINTEGER)
    bind_raise(L, "%s needs a list%s without gaps; element %d is missing, element %d is there", what, of,
               (int)count + 1, (int)least);
  return count;
}

/* list_length(list, what) */
static int length_of_list(lua_State *L)
{
  lua_pushinteger(L, list_length(L, luaL_checkstring(L, 2), ""));
  return 1;
}

/* check_promise(promise, what): marks it as awaited. */
static int check_promise(lua_State *L)
{
  bind_promise_check(L, 1, luaL_checkstring(L, 2))->observed = true;
  return 0;
}

/* check_duration(duration, what) */
static int check_duration(lua_State *L)
{
  (void)bind_duration_ms(L, 1, luaL_checkstring(L, 2));
  return 0;
}

/* check_list(list, what): every element is a promise; marks them as awaited. Returns their number. */
static int check_list(lua_State *L)
{
  const char *what = luaL_checkstring(L, 2);
  lua_Integer count = list_length(L, what, " of promises");
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, 1, i);
    da_child *child = child_at(L, -1);
    if (child == NULL)
      return bind_raise(L, "%s needs a list of promises; element %d is %s", what, (int)i, bind_what(L, -1));
    child->observed = true;
    lua_pop(L, 1);
  }
  lua_pushinteger(L, count);
  return 1;
}

/* wait_all(list) -> index of the member that failed first, or nothing once all resolved. Promises only. */
static int wait_all(lua_State *L)
{
  da_lib_check_await(L, "await");
  lua_settop(L, 1);
  return wait_all_look(L, LUA_OK, 0);
}

/* watch(promise, tag): next() of this fiber gives the tag once the promise is settled. */
static int watch(lua_State *L)
{
  da_child *child = bind_promise_check(L, 1, "watch");
  da_fiber_watch(da_execution_of(L), child, (uint32_t)luaL_checkinteger(L, 2));
  return 0;
}

/* next() -> tag of the watched promise that settled first among those not told yet. */
static int next(lua_State *L)
{
  da_lib_check_await(L, "await");
  lua_settop(L, 0);
  return next_look(L, LUA_OK, 0);
}

/* canceled() -> is the current fiber, or its branch, to cancel by the program's own wish? */
static int canceled_here(lua_State *L)
{
  const da_fiber *fiber = da_execution_of(L)->current;
  lua_pushboolean(L, fiber->canceled);
  return 1;
}

/* ready(promise) -> delivered? */
static int ready(lua_State *L)
{
  lua_pushboolean(L, bind_promise_check(L, 1, "ready")->delivered);
  return 1;
}

/* shield(on) -> what it was: requests to cancel and the deadline pass over the current fiber. */
static int shield(lua_State *L)
{
  da_fiber *fiber = bind_execution(L, "da.shield")->current;
  lua_pushboolean(L, fiber->shielded);
  fiber->shielded = lua_toboolean(L, 1) != 0;
  return 1;
}

/* cancel(promise, why) */
static int cancel(lua_State *L)
{
  da_child *child = bind_promise_check(L, 1, "cancel");
  da_execution *execution = bind_execution(L, "cancel");
  const char *why = lua_isnoneornil(L, 2) ? "canceled" : bind_check_text(L, 2, "the reason to cancel").ptr;
  da_execution_cancel_child(execution, child, why);
  child->handed_on = true; /* it is done with, also if it had ended before */
  return 0;
}

/* is_function(value): a durable one? */
static int is_function(lua_State *L)
{
  lua_pushboolean(L, luaL_testudata(L, 1, "da.function") != NULL);
  return 1;
}

/* what(value) -> "a promise", "nothing"... */
static int what_it_is(lua_State *L)
{
  lua_settop(L, 1);
  lua_pushstring(L, bind_what(L, 1));
  return 1;
}

static int is_promise(lua_State *L)
{
  lua_pushboolean(L, luaL_testudata(L, 1, PROMISE) != NULL);
  return 1;
}

const luaL_Reg bind_promise_natives[] = {{"await", await},
                                         {"pawait", pawait},
                                         {"wait_all", wait_all},
                                         {"watch", watch},
                                         {"next", next},
                                         {"check_list", check_list},
                                         {"list_length", length_of_list},
                                         {"check_promise", check_promise},
                                         {"check_duration", check_duration},
                                         {"ready", ready},
                                         {"cancel", cancel},
                                         {"shield", shield},
                                         {"is_promise", is_promise},
                                         {"is_function", is_function},
                                         {"what", what_it_is},
                                         {"canceled_here", canceled_here},
                                         {NULL, NULL}};

/* ---- the metatable ------------------------------------------------------------------------------------- */

/* "promise 'w:one.1' (made at wf.lua:3)" */
static const char *describe(lua_State *L, int index)
{
  const da_child *child = child_at(L, index);
  if (child == NULL || child->id.len == 0) return "a promise";
  lua_pushlstring(L, child->id.ptr, child->id.len);
  lua_pushlstring(L, child->call.file.ptr, child->call.file.len);
  return lua_pushfstring(L, "promise '%s' (made at %s:%d)", lua_tostring(L, -2), lua_tostring(L, -1),
                         (int)child->call.line);
}

/* Upvalue 1: what was attempted. */
static int refuse(lua_State *L)
{
  int index = luaL_testudata(L, 1, PROMISE) != NULL ? 1 : 2;
  return bind_raise(L, "attempt to %s %s; did you forget await(...)?", lua_tostring(L, lua_upvalueindex(1)),
                    describe(L, index));
}

static int method_ignore(lua_State *L)
{
  bind_promise_check(L, 1, "ignore")->ignored = true;
  lua_settop(L, 1);
  return 1;
}

/* p:state(): as far as the execution has come, so a replay sees the same without a record of it. */
static int method_state(lua_State *L)
{
  static const char *const names[] = {[DA_PENDING] = "pending",
                                      [DA_RESOLVED] = "resolved",
                                      [DA_REJECTED] = "rejected",
                                      [DA_CANCELED] = "canceled",
                                      [DA_TIMEDOUT] = "timedout"};
  const da_child *child = bind_promise_check(L, 1, "state");
  (void)bind_execution(L, "state");
  lua_pushstring(L, names[child->delivered ? child->state : DA_PENDING]);
  return 1;
}

static int promise_index(lua_State *L)
{
  da_child *child = child_at(L, 1);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "id") == 0) {
    if (child == NULL || child->id.len == 0)
      return bind_raise(L, "this promise has no id: it is made of others and not recorded");
    lua_pushlstring(L, child->id.ptr, child->id.len);
    return 1;
  }
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  return bind_raise(L, "attempt to index %s; did you forget await(...)?", describe(L, 1));
}

static int promise_tostring(lua_State *L)
{
  lua_pushstring(L, describe(L, 1));
  return 1;
}

static const struct {
  const char *event, *attempt;
} refused[] = {{"__add", "do arithmetic on"},
               {"__sub", "do arithmetic on"},
               {"__mul", "do arithmetic on"},
               {"__div", "do arithmetic on"},
               {"__mod", "do arithmetic on"},
               {"__pow", "do arithmetic on"},
               {"__unm", "do arithmetic on"},
               {"__idiv", "do arithmetic on"},
               {"__band", "do arithmetic on"},
               {"__bor", "do arithmetic on"},
               {"__bxor", "do arithmetic on"},
               {"__shl", "do arithmetic on"},
               {"__shr", "do arithmetic on"},
               {"__bnot", "do arithmetic on"},
               {"__concat", "concatenate"},
               {"__len", "take the length of"},
               {"__lt", "compare"},
               {"__le", "compare"},
               {"__call", "call"},
               {"__newindex", "assign into"},
               {"__pairs", "traverse"}};

void bind_promise_methods(lua_State *L)
{
  luaL_getmetatable(L, PROMISE);
  lua_getfield(L, -1, "__index");
  (void)lua_getupvalue(L, -1, 1);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

void bind_promise_open(lua_State *L)
{
  luaL_newmetatable(L, PROMISE);
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    lua_pushstring(L, refused[i].attempt);
    lua_pushcclosure(L, refuse, 1);
    lua_setfield(L, -2, refused[i].event);
  }
  lua_newtable(L);
  static const luaL_Reg methods[] = {{"await", await},          {"pawait", pawait},      {"cancel", cancel},
                                     {"ignore", method_ignore}, {"state", method_state}, {NULL, NULL}};
  luaL_setfuncs(L, methods, 0);
  lua_pushcclosure(L, promise_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, promise_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}
