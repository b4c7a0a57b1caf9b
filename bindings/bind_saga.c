/* bind_saga.c - what lua/da/saga.lua needs of the host: who runs, where the script stands, a copy of arguments.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind.h"
#include "bind_error.h"
#include "bind_text.h"
#include "bind_value.h"

/* in_execution(what): raises unless an execution runs, outside of its inline steps. */
static int in_execution(lua_State *L)
{
  (void)bind_execution(L, luaL_checkstring(L, 1));
  return 0;
}

/* fiber_key() -> a key for the fiber that runs; never shown, and no order follows from it. */
static int fiber_key(lua_State *L)
{
  lua_pushlightuserdata(L, bind_execution(L, "a saga")->current);
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
    bind_text_quote_lossy(out, text);
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

const luaL_Reg bind_saga_natives[] = {{"in_execution", in_execution}, {"fiber_key", fiber_key},   {"place", place},
                                      {"copied_args", copied_args},   {"undos_json", undos_json}, {NULL, NULL}};
