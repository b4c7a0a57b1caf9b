/* bind_probe_tls.c - both ends of a TLS connection, in one process, for their specs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/net/tls.h"
#include "bind_probe.h"

typedef struct end {
  const char *name;
  da_tls *tls;
  da_tls_session *session;
  da_buf wire;  /* on its way to the other end */
  da_buf plain; /* what it was told */
  size_t taken; /* of the other end's wire */
  da_status status;
  da_err err;
} end;

static const char *option(lua_State *L, const char *name)
{
  (void)lua_getfield(L, 1, name);
  const char *text = lua_tostring(L, -1); /* the table keeps it */
  lua_pop(L, 1);
  return text;
}

static da_slice text_option(lua_State *L, const char *name)
{
  (void)lua_getfield(L, 1, name);
  size_t len = 0;
  const char *text = lua_tolstring(L, -1, &len);
  lua_pop(L, 1);
  return da_slice_make(text, len);
}

/* Gives `to` the next bytes of what `from` has sent, at most step of them. False: there were none. */
static bool carry(const end *from, end *to, size_t step)
{
  size_t len = from->wire.len - to->taken;
  if (len == 0 || to->status != DA_OK) return false;
  if (len > step) len = step;
  to->status =
      da_tls_session_read(to->session, da_slice_make(from->wire.ptr + to->taken, len), &to->plain, &to->wire, &to->err);
  to->taken += len;
  return true;
}

static void end_free(end *e)
{
  da_tls_session_delete(e->session);
  da_tls_delete(e->tls);
  da_buf_free(&e->wire);
  da_buf_free(&e->plain);
}

static void push_end(lua_State *L, const end *e)
{
  lua_createtable(L, 0, 3);
  da_probe_set_slice(L, "heard", da_buf_slice(&e->plain));
  da_probe_set_slice(L, "status", da_slice_of(da_status_name(e->status)));
  if (e->status != DA_OK) da_probe_set_slice(L, "words", da_slice_of(e->err.text));
  lua_setfield(L, -2, e->name);
}

/* tls_talk{certificate=, key=, host=, question=, answer=, step=} -> {server = {heard=, status=, words=}, client = ...}
 * The client asks before the handshake, the server answers when it has heard all, then ends the session. */
static int probe_tls_talk(lua_State *L)
{
  luaL_checktype(L, 1, LUA_TTABLE);
  da_slice question = text_option(L, "question");
  da_slice answer = text_option(L, "answer");
  lua_Integer step = lua_getfield(L, 1, "step") != LUA_TNIL ? luaL_checkinteger(L, -1) : 1 << 20;
  end server = {.name = "server"};
  end client = {.name = "client"};
  server.status = da_tls_server_new(option(L, "certificate"), option(L, "key"), &server.tls, &server.err);
  client.status = da_tls_client_new(&client.tls, &client.err);
  if (server.status == DA_OK) server.status = da_tls_session_new(server.tls, NULL, &server.session, &server.err);
  if (client.status == DA_OK)
    client.status = da_tls_session_new(client.tls, option(L, "host"), &client.session, &client.err);
  if (server.status == DA_OK && client.status == DA_OK)
    client.status = da_tls_session_read(client.session, DA_NONE, &client.plain, &client.wire, &client.err);
  if (server.status == DA_OK && client.status == DA_OK)
    client.status = da_tls_session_write(client.session, question, &client.wire, &client.err);
  bool answered = false;
  while (server.session != NULL && client.session != NULL &&
         (carry(&client, &server, (size_t)step) || carry(&server, &client, (size_t)step))) {
    if (server.plain.len < question.len || answered || server.status != DA_OK) continue;
    answered = true;
    server.status = da_tls_session_write(server.session, answer, &server.wire, &server.err);
    da_tls_session_end(server.session, &server.wire);
  }
  lua_newtable(L);
  push_end(L, &server);
  push_end(L, &client);
  end_free(&server);
  end_free(&client);
  return 1;
}

const luaL_Reg da_probe_tls_functions[] = {{"tls_talk", probe_tls_talk}, {NULL, NULL}};
