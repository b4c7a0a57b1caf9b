/* bind_probe_http.c - the parser of HTTP messages for its specs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "../host/net/http_parse.h"
#include "bind_probe.h"

static size_t limit_of(lua_State *L, const char *name, size_t otherwise)
{
  size_t limit = lua_getfield(L, 2, name) != LUA_TNIL ? (size_t)luaL_checkinteger(L, -1) : otherwise;
  lua_pop(L, 1);
  return limit;
}

static bool flag_of(lua_State *L, const char *name)
{
  (void)lua_getfield(L, 2, name);
  bool set = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return set;
}

static void set_flag(lua_State *L, const char *name, bool set)
{
  lua_pushboolean(L, set);
  lua_setfield(L, -2, name);
}

static void push_message(lua_State *L, const da_http_message *m)
{
  lua_createtable(L, 0, 12);
  da_probe_set_slice(L, "method", m->method);
  da_probe_set_slice(L, "target", m->target);
  da_probe_set_slice(L, "path", m->path);
  da_probe_set_slice(L, "query", m->query);
  da_probe_set_slice(L, "body", da_buf_slice(&m->body));
  da_probe_set_integer(L, "status", m->status);
  da_probe_set_integer(L, "minor", m->minor);
  set_flag(L, "keep_alive", m->keep_alive);
  set_flag(L, "expects_continue", m->expects_continue);
  set_flag(L, "has_body", m->has_body);
  lua_createtable(L, (int)m->field_count, 0);
  for (size_t i = 0; i < m->field_count; i++) {
    lua_createtable(L, 2, 0);
    da_probe_push_slice(L, m->fields[i].name);
    lua_rawseti(L, -2, 1);
    da_probe_push_slice(L, m->fields[i].value);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "fields");
}

/* What one piece gives, into the table on top. The piece is copied to where its end is the end of its memory, so that a
 * sanitizer sees who reads further. */
static da_http_event feed(lua_State *L, da_http_parser *parser, da_slice piece)
{
  char *copy = da_xmalloc(piece.len + 1);
  if (piece.len > 0) memcpy(copy + 1, piece.ptr, piece.len);
  da_slice in = da_slice_make(copy + 1, piece.len);
  da_http_event event;
  do {
    event = da_http_parser_feed(parser, &in);
    if (event == DA_HTTP_HEAD) {
      lua_Integer heads = lua_getfield(L, -1, "heads") != LUA_TNIL ? lua_tointeger(L, -1) : 0;
      lua_pop(L, 1);
      da_probe_set_integer(L, "heads", heads + 1);
    }
    if (event == DA_HTTP_DONE) {
      da_http_message message;
      da_http_parser_take(parser, &message);
      push_message(L, &message);
      da_http_message_free(&message);
      lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
  } while (event == DA_HTTP_HEAD || event == DA_HTTP_DONE);
  free(copy);
  return event;
}

/* http_parse(bytes, {responses=, no_body=, finish=, at=, step=, body_max=, head_max=, target_max=, fields_max=})
 *   -> {message..., heads=, busy=, status=, why=}
 * The bytes come in pieces: all at once, cut at `at`, or `step` bytes at a time. */
static int probe_http_parse(lua_State *L)
{
  da_slice bytes = da_probe_check_slice(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  da_http_limits limits = {.target_max = limit_of(L, "target_max", 1024),
                           .head_max = limit_of(L, "head_max", 4096),
                           .fields_max = limit_of(L, "fields_max", 20),
                           .body_max = limit_of(L, "body_max", 65536)};
  size_t at = limit_of(L, "at", 0);
  size_t step = limit_of(L, "step", bytes.len);
  bool finish = flag_of(L, "finish");
  da_http_parser parser;
  da_http_parser_create(&parser, flag_of(L, "responses") ? DA_HTTP_RESPONSES : DA_HTTP_REQUESTS, &limits);
  if (flag_of(L, "no_body")) da_http_parser_no_body(&parser);
  lua_newtable(L);
  da_http_event event = DA_HTTP_MORE;
  for (size_t i = 0; i < bytes.len && event == DA_HTTP_MORE;) {
    size_t len = at > i ? at - i : step;
    if (len > bytes.len - i) len = bytes.len - i;
    event = feed(L, &parser, da_slice_make(bytes.ptr + i, len));
    i += len;
  }
  if (finish && event == DA_HTTP_MORE) event = da_http_parser_finish(&parser);
  if (event == DA_HTTP_DONE) event = feed(L, &parser, DA_NONE);
  if (event == DA_HTTP_REFUSED) {
    da_probe_set_integer(L, "status", parser.refused_status);
    da_probe_set_slice(L, "why", da_slice_of(parser.refused_why));
  }
  set_flag(L, "busy", da_http_parser_is_busy(&parser));
  da_http_parser_destroy(&parser);
  return 1;
}

const luaL_Reg da_probe_http_functions[] = {{"http_parse", probe_http_parse}, {NULL, NULL}};
