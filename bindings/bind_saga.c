/* bind_saga.c - what lua/da/saga.lua needs of the host: who runs, where the script stands, a copy of arguments, the end
 * of what still runs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/base/text.h"
#include "bind.h"
#include "bind_error.h"
#include "bind_value.h"

#include "../host/vm/lib.h"

/* in_execution(what): raises unless an execution runs, outside of its inline steps. */
static int in_execution(lua_State *L)
{
  (void)bind_execution(L, luaL_checkstring(L, 1));
  return 0;
}

/* fiber_key() -> the number of the fiber that runs */
static int fiber_key(lua_State *L)
{
  lua_pushinteger(L, bind_execution(L, "a saga")->current->number);
  return 1;
}

/* place() -> "wf.lua:3" of the script. */
static int place(lua_State *L)
{
  da_call_spec at = {.line = 0};
  bind_location(L, &at);
  lua_pushfstring(L, "%s:%d", at.line > 0 ? at.file.ptr : "?", (int)at.line);
  return 1;
}

/* ---- what still runs ----------------------------------------------------------------------------------- */

/* children_made() -> how many durable calls the execution has made: where a saga begins. */
static int children_made(lua_State *L)
{
  lua_pushinteger(L, (lua_Integer)da_execution_of(L)->made);
  return 1;
}

/* Made by the fiber, or by one that works for it, as that of da.map does. */
static bool made_by(const da_child *child, const da_fiber *fiber)
{
  const da_fiber *maker = child->maker;
  while (maker != NULL && maker != fiber) maker = maker->child != NULL ? maker->child->maker : NULL;
  return maker == fiber;
}

/* Stack: children_made() of its begin, the reason, is the saga in a shield? The next one meant that was made behind
 * `made`; cancelled. */
static da_child *next_since(lua_State *L, const da_execution *execution, uint64_t made)
{
  const da_scope *scope = execution->current->scope;
  bool in_shield = lua_toboolean(L, 3) || execution->current->shelter == DA_SHELTERED_INSIDE;
  if (made < (uint64_t)lua_tointeger(L, 1)) made = (uint64_t)lua_tointeger(L, 1);
  for (size_t i = da_scope_find(scope, made + 1); i < scope->count; i++) {
    da_child *child = scope->children[i];
    if (!child->joined || child->delivered) continue;
    if (child->shelter == DA_SHELTERED_INSIDE && !in_shield) continue; /* in a shield inside of the saga */
    if (!made_by(child, execution->current)) continue;
    da_execution_cancel_child(child->execution, child, lua_tostring(L, 2));
    child->handed_on = true; /* nobody has forgotten it */
    return child;
  }
  return NULL;
}

/* context: children made up to there are done with. */
static int end_since_look(lua_State *L, int status, lua_KContext context)
{
  (void)status;
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  da_execution *execution = da_execution_of(L);
  uint64_t made = (uint64_t)context;
  for (da_child *child; (child = next_since(L, execution, made)) != NULL;) {
    made = child->made;
    if (!da_fiber_wait(execution, &child, 1)) continue;
    lua_pushlightuserdata(L, DA_YIELD_TAG);
    return lua_yieldk(L, 1, (lua_KContext)made, end_since_look);
  }
  return 0;
}

/* end_since(children_made() of its begin, the reason, is the saga in a shield?): cancels what was begun since then by
 * the current fiber in its scope and is joined there, and waits for it. */
static int end_since(lua_State *L)
{
  da_lib_check_await(L, "await");
  lua_settop(L, 3);
  da_child *child = NULL;
  do child = next_since(L, da_execution_of(L), child != NULL ? child->made : 0);
  while (child != NULL);
  return end_since_look(L, LUA_OK, 0);
}

/* copied_args(f, ...) -> JSON array: what the durable function f would be called with. */
static int copied_args(lua_State *L)
{
  da_slice name;
  if (!bind_function_name(L, 1, &name)) return bind_raise(L, "this is no durable function");
  da_buf *args = bind_scratch(0);
  da_err err = {{0}};
  if (bind_value_encode_args(L, 2, lua_gettop(L), name.ptr, args, &err) != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
    return lua_error(L);
  }
  lua_pushlstring(L, args->ptr, args->len);
  return 1;
}

static void add_text(lua_State *L, da_buf *out, const char *name, bool is_json)
{
  lua_getfield(L, -1, name);
  da_slice text = DA_NONE;
  text.ptr = lua_tolstring(L, -1, &text.len);
  da_buf_addf(out, "\"%s\":", name);
  if (is_json)
    da_buf_add_slice(out, text);
  else
    da_text_quote_lossy(out, text);
  lua_pop(L, 1);
}

/* undos_json(list of {args = JSON, at =, ["function"] =}) -> JSON */
static int undos_json(lua_State *L)
{
  da_buf *out = bind_scratch(0);
  da_buf_add_byte(out, '[');
  for (lua_Integer i = 1; lua_rawgeti(L, 1, i) != LUA_TNIL; i++, lua_pop(L, 1)) {
    da_buf_addf(out, "%s{", i > 1 ? "," : "");
    add_text(L, out, "args", true);
    da_buf_add_byte(out, ',');
    add_text(L, out, "at", false);
    da_buf_add_byte(out, ',');
    add_text(L, out, "function", false);
    da_buf_add_byte(out, '}');
  }
  da_buf_add_byte(out, ']');
  lua_pushlstring(L, out->ptr, out->len);
  return 1;
}

const luaL_Reg bind_saga_natives[] = {{"in_execution", in_execution},
                                      {"fiber_key", fiber_key},
                                      {"place", place},
                                      {"copied_args", copied_args},
                                      {"undos_json", undos_json},
                                      {"children_made", children_made},
                                      {"end_since", end_since},
                                      {NULL, NULL}};
