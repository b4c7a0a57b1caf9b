/* bind_probe_client.c - the protocol's JSON seen from a client, for its specs: tables to requests as JSON, answers and
 * messages as JSON to tables.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/net/envelope_client.h"
#include "bind_probe.h"

static da_slice member(lua_State *L, int table, const char *name)
{
  da_slice text = DA_NONE;
  if (lua_getfield(L, table, name) == LUA_TSTRING) text = da_probe_check_slice(L, -1);
  lua_pop(L, 1);
  return text;
}

/* client_request(request, { corrId, auth, origin, preload }) -> JSON; nil, words if it is no request */
static int probe_client_request(lua_State *L)
{
  da_arena arena = {0};
  da_request request;
  da_buf out = {0};
  luaL_checktype(L, 2, LUA_TTABLE);
  da_client_head head = {.corr_id = member(L, 2, "corrId"),
                         .auth = member(L, 2, "auth"),
                         .origin = member(L, 2, "origin"),
                         .preload = member(L, 2, "preload")};
  const char *fault = da_probe_read_request(L, 1, &arena, &request);
  if (fault == NULL) {
    da_envelope_write_request(&out, &request, &head);
    da_probe_push_slice(L, da_buf_slice(&out));
  } else {
    lua_pushnil(L);
    lua_pushstring(L, fault);
  }
  da_buf_free(&out);
  da_arena_free(&arena);
  return fault == NULL ? 1 : 2;
}

static int push_refusal(lua_State *L, const da_err *err, da_arena *arena)
{
  lua_pushnil(L);
  lua_pushstring(L, err->text);
  da_arena_free(arena);
  return 2;
}

static da_req_kind kind_named(lua_State *L, int index)
{
  static const da_req_kind kinds[] = {
#define X(name, text) DA_REQ_##name,
      DA_REQ_MAP(X)
#undef X
  };
  da_slice name = da_probe_check_slice(L, index);
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (da_slice_eq(name, da_slice_of(da_req_kind_name(kinds[i])))) return kinds[i];
  (void)luaL_error(L, "no kind of a request: %s", name.ptr);
  return DA_REQ_SENT;
}

/* client_answer(text, kind, settles) -> the reply as apply() gives it, corrId, whole; or nil, words. settles: the fence
 * that is answered settled. */
static int probe_client_answer(lua_State *L)
{
  da_arena arena = {0};
  da_err err;
  da_client_answer answer;
  da_slice text = da_probe_check_slice(L, 1);
  da_request request = {.kind = kind_named(L, 2), .fence_settles = lua_toboolean(L, 3) != 0};
  if (!da_envelope_read_answer(text, request.kind, &arena, &answer, &err)) return push_refusal(L, &err, &arena);
  da_probe_push_reply(L, &request, &answer.reply, answer.corr_id);
  da_probe_push_slice(L, answer.corr_id);
  lua_pushboolean(L, answer.whole);
  da_arena_free(&arena);
  return 3;
}

/* client_value(text of an answer) -> how the data of its promise's param is kept ("json", "data"), and what */
static int probe_client_value(lua_State *L)
{
  da_arena arena = {0};
  da_err err;
  da_client_answer answer;
  da_slice text = da_probe_check_slice(L, 1);
  if (!da_envelope_read_answer(text, DA_REQ_PROMISE_GET, &arena, &answer, &err)) return push_refusal(L, &err, &arena);
  const da_value *param = &answer.reply.promise->param;
  lua_pushstring(L, !param->has_data ? "none" : param->encoding == DA_JSON ? "json" : "data");
  da_probe_push_slice(L, param->data);
  da_arena_free(&arena);
  return 2;
}

/* client_message(text) -> { kind, id, version or promise }; or nil, words */
static int probe_client_message(lua_State *L)
{
  da_arena arena = {0};
  da_err err;
  da_message message;
  da_promise promise;
  if (!da_envelope_read_message(da_probe_check_slice(L, 1), &arena, &message, &promise, &err))
    return push_refusal(L, &err, &arena);
  lua_newtable(L);
  da_probe_set_slice(L, "kind", message.kind == DA_EXECUTE ? DA_LIT("execute") : DA_LIT("unblock"));
  da_probe_set_slice(L, "id", message.id);
  if (message.kind == DA_EXECUTE) {
    da_probe_set_integer(L, "version", message.version);
  } else {
    da_probe_push_promise(L, &promise);
    lua_setfield(L, -2, "promise");
  }
  da_arena_free(&arena);
  return 1;
}

const luaL_Reg da_probe_client_functions[] = {{"client_request", probe_client_request},
                                              {"client_answer", probe_client_answer},
                                              {"client_value", probe_client_value},
                                              {"client_message", probe_client_message},
                                              {NULL, NULL}};
