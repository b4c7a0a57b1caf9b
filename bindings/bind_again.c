/* bind_again.c - long lives and changing code, as a workflow asks for them: da.again, da.patched.
 *
 * da.again gives a userdata that stands for the next generation; it counts only as the one value that the workflow's
 * function returns. It holds its number among those the generation made, since the last one must be it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind.h"
#include "bind_error.h"
#include "bind_value.h"

#define AGAIN "da.again"

/* Only the end of the workflow's own function is the end of the workflow. */
static da_execution *check_place(lua_State *L)
{
  static const char mend[] = "; write `return da.again(...)` in the workflow's own function";
  da_execution *execution = bind_execution(L, AGAIN);
  const da_fiber *fiber = execution->current;
  const da_child *child = fiber->child;
  if (child != NULL && child->kind == DA_CALL_BRANCH)
    bind_raise(L, "da.again in branch '%s': a branch cannot begin the workflow again%s",
               lua_pushlstring(L, child->call.func.ptr, child->call.func.len), mend);
  if (child != NULL)
    bind_raise(L, "da.again in a function of %s, which cannot begin the workflow again%s",
               lua_pushlstring(L, child->call.func.ptr, child->call.func.len), mend);
  if (L != fiber->co) bind_raise(L, "da.again in a coroutine, which cannot begin the workflow again%s", mend);
  return execution;
}

static int again(lua_State *L)
{
  da_execution *execution = check_place(L);
  da_buf *args = bind_scratch(0);
  da_call_spec at = {.line = 0};
  da_err err = {{0}};
  if (bind_value_encode_args(L, 1, lua_gettop(L), AGAIN, args, &err) != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
    return lua_error(L);
  }
  bind_location(L, &at);
  uint32_t number =
      da_execution_make_again(execution, &(da_again){.args = da_buf_slice(args), .file = at.file, .line = at.line});
  *(uint32_t *)lua_newuserdatauv(L, sizeof number, 0) = number;
  luaL_setmetatable(L, AGAIN);
  return 1;
}

bool bind_again_finish(lua_State *L, da_execution *execution)
{
  if (execution->again_made == 0 || !lua_toboolean(L, 1)) return false;
  const uint32_t *number = luaL_testudata(L, 2, AGAIN);
  if (number != NULL && *number == execution->again_made && lua_gettop(L) == 2) {
    da_execution_finish_again(execution);
    return true;
  }
  const da_again *made = &execution->again;
  lua_settop(L, 0);
  lua_pushboolean(L, 0);
  if (made->line > 0)
    lua_pushfstring(L, "%s:%d: ", lua_pushlstring(L, made->file.ptr, made->file.len), (int)made->line);
  else
    lua_pushstring(L, "");
  lua_replace(L, 2);
  lua_settop(L, 2);
  lua_pushstring(L, "da.again(...) was called and is not what the workflow returns; write `return da.again(...)`");
  lua_concat(L, 2);
  bind_error_push(L, "error", lua_tostring(L, 2));
  lua_replace(L, 2);
  return false;
}

static int again_tostring(lua_State *L)
{
  lua_pushstring(L, "da.again(...)");
  return 1;
}

void bind_again_open(lua_State *L)
{
  luaL_newmetatable(L, AGAIN);
  lua_pushcfunction(L, again_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

/* patched(name) -> is the new path to be taken? */
static int patched(lua_State *L)
{
  da_execution *execution = bind_execution(L, "da.patched");
  bool answer = false;
  da_err err = {{0}};
  if (lua_type(L, 1) != LUA_TSTRING || lua_rawlen(L, 1) == 0)
    return bind_raise(L, "da.patched needs the name of a change, got %s",
                      lua_type(L, 1) == LUA_TSTRING ? "an empty string" : bind_what(L, 1));
  da_slice name;
  name.ptr = lua_tolstring(L, 1, &name.len);
  if (!da_execution_patched(execution, name, &answer, &err)) return bind_raise(L, "da.patched: %s", err.text);
  lua_pushboolean(L, answer);
  return 1;
}

const luaL_Reg bind_again_natives[] = {{"again", again}, {"patched", patched}, {NULL, NULL}};
