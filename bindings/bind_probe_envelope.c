/* bind_probe_envelope.c - the envelope for its specs: JSON to requests, records and messages to JSON, and both around
 * an engine over a store, which is a whole server but for the network.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "../host/base/clock.h"
#include "../host/base/text.h"
#include "../host/net/envelope.h"
#include "bind_probe.h"

/* ---- requests as tables, in the protocol's shape ------------------------------------------------------- */

static void set_map(lua_State *L, const char *key, da_map map)
{
  lua_createtable(L, 0, (int)map.count);
  for (size_t i = 0; i < map.count; i++) {
    da_probe_push_slice(L, map.items[i].key);
    da_probe_push_slice(L, map.items[i].value);
    lua_settable(L, -3);
  }
  lua_setfield(L, -2, key);
}

/* `json`: what the data is kept as, if it is kept decoded. */
static void set_value(lua_State *L, const char *key, const da_value *value)
{
  lua_newtable(L);
  if (value->has_headers) set_map(L, "headers", value->headers);
  if (value->has_data) da_probe_set_slice(L, value->encoding == DA_JSON ? "json" : "data", value->data);
  lua_setfield(L, -2, key);
}

static void set_create(lua_State *L, da_slice id, const da_request *request)
{
  da_probe_set_slice(L, "id", id);
  da_probe_set_integer(L, "timeoutAt", request->timeout_at);
  set_value(L, "param", &request->param);
  set_map(L, "tags", request->tags);
}

static void set_settle(lua_State *L, da_slice id, const da_request *request)
{
  da_probe_set_slice(L, "id", id);
  da_probe_set_slice(L, "state", da_slice_of(da_promise_state_name(request->state)));
  set_value(L, "value", &request->value);
}

static void set_held(lua_State *L, const da_request *request)
{
  da_probe_set_slice(L, "id", request->id);
  da_probe_set_integer(L, "version", request->version);
}

static void set_lease(lua_State *L, const da_request *request)
{
  da_probe_set_slice(L, "pid", request->pid);
  da_probe_set_integer(L, "ttl", request->ttl);
}

/* What set(L, id, request) makes, as data.action.data. */
static void set_action(lua_State *L, void (*set)(lua_State *L, da_slice id, const da_request *request), da_slice id,
                       const da_request *request)
{
  lua_newtable(L);
  lua_newtable(L);
  set(L, id, request);
  lua_setfield(L, -2, "data");
  lua_setfield(L, -2, "action");
}

static void set_awaits(lua_State *L, const da_request *request)
{
  lua_newtable(L);
  for (size_t i = 0; i < request->await_count; i++) {
    lua_newtable(L);
    lua_newtable(L);
    da_probe_set_slice(L, "awaited", request->awaits[i].awaited);
    da_probe_set_slice(L, "awaiter", request->awaits[i].awaiter);
    lua_setfield(L, -2, "data");
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "actions");
}

static void set_tasks(lua_State *L, const da_request *request)
{
  lua_newtable(L);
  for (size_t i = 0; i < request->held_count; i++) {
    lua_newtable(L);
    da_probe_set_slice(L, "id", request->held[i].id);
    da_probe_set_integer(L, "version", request->held[i].version);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "tasks");
}

static void set_schedule(lua_State *L, const da_request *request)
{
  da_probe_set_slice(L, "id", request->id);
  da_probe_set_slice(L, "cron", request->cron);
  da_probe_set_slice(L, "promiseId", request->promise_id);
  da_probe_set_integer(L, "promiseTimeout", request->timeout_at);
  set_value(L, "promiseParam", &request->param);
  set_map(L, "promiseTags", request->tags);
}

static void set_search(lua_State *L, const da_request *request)
{
  if (request->has_search_state)
    da_probe_set_slice(L, "state",
                       da_slice_of(request->kind == DA_REQ_TASK_SEARCH ? da_task_state_name(request->task_state)
                                                                       : da_promise_state_name(request->state)));
  if (request->has_search_limit) da_probe_set_integer(L, "limit", request->search_limit);
  da_probe_set_slice(L, "cursor", request->search_after);
  if (request->kind != DA_REQ_TASK_SEARCH) set_map(L, "tags", request->tags);
}

static void set_request_data(lua_State *L, const da_request *request)
{
  switch (request->kind) {
  case DA_REQ_PROMISE_CREATE:
    set_create(L, request->id, request);
    break;
  case DA_REQ_PROMISE_SETTLE:
    set_settle(L, request->id, request);
    break;
  case DA_REQ_PROMISE_REGISTER_CALLBACK:
    da_probe_set_slice(L, "awaited", request->id);
    da_probe_set_slice(L, "awaiter", request->awaiter);
    break;
  case DA_REQ_PROMISE_REGISTER_LISTENER:
    da_probe_set_slice(L, "awaited", request->id);
    da_probe_set_slice(L, "address", request->address);
    break;
  case DA_REQ_TASK_CREATE:
    set_lease(L, request);
    set_action(L, set_create, request->id, request);
    break;
  case DA_REQ_TASK_ACQUIRE:
    set_held(L, request);
    set_lease(L, request);
    break;
  case DA_REQ_TASK_RELEASE:
    set_held(L, request);
    break;
  case DA_REQ_TASK_FULFILL:
    set_held(L, request);
    set_action(L, set_settle, request->promise_id, request);
    break;
  case DA_REQ_TASK_SUSPEND:
    set_held(L, request);
    set_awaits(L, request);
    break;
  case DA_REQ_TASK_FENCE:
    set_held(L, request);
    set_action(L, request->fence_settles ? set_settle : set_create, request->promise_id, request);
    break;
  case DA_REQ_TASK_HEARTBEAT:
    da_probe_set_slice(L, "pid", request->pid);
    set_tasks(L, request);
    break;
  case DA_REQ_SCHEDULE_CREATE:
    set_schedule(L, request);
    break;
  case DA_REQ_PROMISE_SEARCH:
  case DA_REQ_TASK_SEARCH:
  case DA_REQ_SCHEDULE_SEARCH:
    set_search(L, request);
    break;
  default: /* what has nothing but an id */
    da_probe_set_slice(L, "id", request->id);
  }
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static void set_scope(lua_State *L, const da_envelope *envelope)
{
  if (envelope->searches) {
    da_probe_set_slice(L, "scope", DA_LIT("none"));
    return;
  }
  lua_newtable(L);
  for (size_t i = 0; i < envelope->scope_count; i++) {
    da_probe_push_slice(L, envelope->scope[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "scope");
}

static void push_envelope(lua_State *L, const da_envelope *envelope, bool read)
{
  lua_newtable(L);
  da_probe_set_slice(L, "kind", envelope->kind);
  da_probe_set_slice(L, "corrId", envelope->corr_id);
  if (envelope->has_auth) da_probe_set_slice(L, "auth", envelope->auth);
  if (envelope->has_debug_time) da_probe_set_integer(L, "debugTime", envelope->debug_time);
  if (!read) {
    da_probe_set_integer(L, "status", envelope->status);
    da_probe_set_slice(L, "message", envelope->message);
    return;
  }
  if (envelope->debug != DA_DEBUG_NONE) {
    da_probe_set_integer(L, "debug", envelope->debug);
    da_probe_set_integer(L, "time", envelope->tick_time);
    return;
  }
  lua_newtable(L);
  set_request_data(L, &envelope->request);
  lua_setfield(L, -2, "data");
}

/* envelope(text) -> what was read: kind, corrId, scope, and data, or status and message */
static int probe_envelope(lua_State *L)
{
  da_arena arena = {0};
  da_envelope envelope;
  da_slice text = da_probe_check_slice(L, 1);
  bool read = da_envelope_read(text, &arena, &envelope);
  bool scoped = read;
  if (read) {
    da_envelope_read_scope(&envelope, &arena);
    read = da_envelope_read_request(&envelope, &arena);
  }
  push_envelope(L, &envelope, read);
  if (scoped) set_scope(L, &envelope);
  da_arena_free(&arena);
  return 1;
}

/* envelope_cost(text, count) -> nanoseconds that reading it once takes */
static int probe_envelope_cost(lua_State *L)
{
  da_arena arena = {0};
  da_envelope envelope;
  da_slice text = da_probe_check_slice(L, 1);
  lua_Integer count = luaL_checkinteger(L, 2);
  bool read = true;
  uint64_t began = da_clock_mono_ns();
  for (lua_Integer i = 0; i < count && read; i++) {
    da_arena_reset(&arena);
    read = da_envelope_read(text, &arena, &envelope);
    if (read) da_envelope_read_scope(&envelope, &arena);
    read = read && da_envelope_read_request(&envelope, &arena);
  }
  uint64_t took = da_clock_mono_ns() - began;
  da_arena_free(&arena);
  if (!read) return luaL_error(L, "not an envelope");
  lua_pushnumber(L, (lua_Number)took / (lua_Number)count);
  return 1;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static int push_buf(lua_State *L, da_buf *buf)
{
  da_probe_push_slice(L, da_buf_slice(buf));
  da_buf_free(buf);
  return 1;
}

/* envelope_promise(record) -> JSON */
static int probe_envelope_promise(lua_State *L)
{
  da_arena arena = {0};
  da_promise promise;
  da_buf out = {0};
  da_probe_read_promise(L, 1, &arena, &promise);
  da_envelope_write_promise(&out, &promise);
  da_arena_free(&arena);
  return push_buf(L, &out);
}

/* envelope_message(record or nil, id, version, server's URL) -> JSON: an unblock of the record, or an execute */
static int probe_envelope_message(lua_State *L)
{
  da_arena arena = {0};
  da_promise promise = {0};
  da_buf out = {0};
  bool unblock = !lua_isnil(L, 1);
  da_message message = {.kind = unblock ? DA_UNBLOCK : DA_EXECUTE};
  if (unblock) {
    da_probe_read_promise(L, 1, &arena, &promise);
  } else {
    message.id = da_probe_check_slice(L, 2);
    message.version = luaL_checkinteger(L, 3);
  }
  da_slice url = unblock ? DA_NONE : da_probe_check_slice(L, 4);
  da_envelope_write_message(&out, &message, unblock ? &promise : NULL, url);
  da_arena_free(&arena);
  return push_buf(L, &out);
}

/* world:serve(text, now) -> the answer's JSON, its messages; nil, NAME, words if the store failed */
static int world_serve(lua_State *L)
{
  da_err err;
  da_outcome out = {0};
  da_envelope envelope;
  da_buf answer = {0};
  da_world *w = da_probe_world(L);
  da_slice text = da_probe_check_slice(L, 2);
  int64_t now = luaL_checkinteger(L, 3);
  if (da_envelope_read(text, &w->arena, &envelope) && da_envelope_read_request(&envelope, &w->arena)) {
    if (envelope.debug != DA_DEBUG_NONE) return luaL_error(L, "no debug here");
    da_status status = da_probe_apply(w, &envelope.request, now, &out, &err);
    if (status != DA_OK) return da_probe_fail(L, status, err.text);
    da_envelope_write(&answer, &envelope, &out.reply);
  } else {
    da_envelope_write_error(&answer, &envelope, envelope.status, envelope.message);
  }
  (void)push_buf(L, &answer);
  da_probe_push_messages(L, out.messages, out.message_count);
  return 2;
}

/* base64(bytes) -> text; base64_read(text) -> bytes, or nil */
static int probe_base64(lua_State *L)
{
  da_buf out = {0};
  da_text_base64(&out, da_probe_check_slice(L, 1));
  return push_buf(L, &out);
}

static int probe_base64_read(lua_State *L)
{
  da_slice text = da_probe_check_slice(L, 1);
  ptrdiff_t len = da_text_base64_len(text);
  if (len < 0) return 0;
  da_buf out = {0};
  da_buf_reserve(&out, (size_t)len + 1);
  out.len = (size_t)len;
  if (da_text_base64_read(text, out.ptr)) return push_buf(L, &out);
  da_buf_free(&out);
  return 0;
}

const luaL_Reg da_probe_envelope_methods[] = {{"serve", world_serve}, {NULL, NULL}};

const luaL_Reg da_probe_envelope_functions[] = {{"envelope", probe_envelope},
                                                {"envelope_cost", probe_envelope_cost},
                                                {"envelope_promise", probe_envelope_promise},
                                                {"envelope_message", probe_envelope_message},
                                                {"base64", probe_base64},
                                                {"base64_read", probe_base64_read},
                                                {NULL, NULL}};
