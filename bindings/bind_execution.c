/* bind_execution.c - what a workflow asks of its own execution: id, clock, chance, output, joining, the end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind.h"
#include "bind_error.h"
#include "bind_value.h"

#include "../host/base/clock.h"
#include "../host/base/limits.h"
#include "../host/vm/lib.h"

/* id() -> of the execution; inside an inline step the step's, as in a named one */
static int id(lua_State *L)
{
  const da_execution *execution = da_execution_of(L);
  if (execution == NULL || execution->inline_child == NULL) execution = bind_execution(L, "da.id");
  da_slice text = execution->inline_child != NULL ? execution->inline_child->id : execution->id;
  lua_pushlstring(L, text.ptr, text.len);
  return 1;
}

/* Seconds by the execution's clock; inside an inline step, whose result is recorded, by the machine's. */
static double clock_now(lua_State *L, const char *what)
{
  const da_execution *execution = da_execution_of(L);
  if (execution != NULL && execution->inline_child != NULL) return (double)da_clock_now_ms() / 1000;
  return (double)bind_execution(L, what)->clock_ms / 1000;
}

static int now(lua_State *L)
{
  lua_pushnumber(L, clock_now(L, "da.now"));
  return 1;
}

/* deadline() -> Unix seconds, or nothing: when `timedout` is raised in this execution, or else its promise is cut;
 * inside an inline step the step's. */
static int deadline(lua_State *L)
{
  const da_execution *execution = da_execution_of(L);
  int64_t at;
  if (execution != NULL && execution->inline_child != NULL) {
    at = execution->inline_child->timeout_at;
  } else {
    execution = bind_execution(L, "da.deadline");
    at = execution->deadline_at < execution->timeout_at ? execution->deadline_at : execution->timeout_at;
  }
  if (at >= DA_TIME_MAX) return 0;
  lua_pushnumber(L, (double)at / 1000);
  return 1;
}

static int replaying(lua_State *L)
{
  lua_pushboolean(L, da_execution_replaying(bind_execution(L, "da.replaying")));
  return 1;
}

static int random_bits(lua_State *L)
{
  lua_pushinteger(L, (lua_Integer)da_lib_random(L));
  return 1;
}

static int output(lua_State *L)
{
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  da_execution *execution = da_execution_of(L);
  if (execution != NULL)
    da_execution_output(execution, da_slice_make(text, len));
  else
    da_load_output(L, da_slice_make(text, len));
  return 0;
}

/* ---- published state ----------------------------------------------------------------------------------- */

/* Letters, digits, '_', '-', '.': what stands in a condition of the command line without quotes. */
static bool is_key(da_slice key)
{
  for (size_t i = 0; i < key.len; i++) {
    unsigned char c = (unsigned char)key.ptr[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '_' && c != '-' && c != '.') return false;
  }
  return key.len > 0 && key.len <= DA_LIVE_KEY_MAX;
}

/* publish(key, value): nil takes the key away */
static int publish(lua_State *L)
{
  da_execution *execution = bind_execution(L, "da.publish");
  da_buf *json = bind_scratch(0);
  da_err err = {{0}};
  if (lua_type(L, 1) != LUA_TSTRING)
    return bind_raise(L, "da.publish(key, value): the key must be a string, not %s", bind_what(L, 1));
  da_slice key = bind_check_text(L, 1, "the key of da.publish");
  if (!is_key(key))
    return bind_raise(L, "da.publish(key, value): a key is 1 to %d letters, digits, '_', '-' and '.', not '%s'",
                      DA_LIVE_KEY_MAX, key.ptr);
  if (lua_gettop(L) < 2) return bind_raise(L, "da.publish(key, value) needs a value; nil takes '%s' away", key.ptr);
  if (!lua_isnil(L, 2) && bind_value_encode(L, 2, "da.publish", json, &err) != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
    return lua_error(L);
  }
  da_slice value = lua_isnil(L, 2) ? DA_NONE : da_buf_slice(json);
  if (da_execution_publish(execution, key, value, &err) != DA_OK) return bind_raise(L, "da.publish: %s", err.text);
  return 0;
}

/* ---- outcomes ------------------------------------------------------------------------------------------ */

/* Encodes (ok, values...) or (false, error) from index first on into data and rest. Returns whether it is a success; a
 * value that cannot cross makes it a failure. */
static bool encode_outcome(lua_State *L, int first, da_buf *data, da_buf *rest)
{
  da_err err = {{0}};
  if (lua_toboolean(L, first)) {
    if (bind_value_encode_results(L, first + 1, lua_gettop(L), "result", data, rest, &err) == DA_OK) return true;
    lua_settop(L, first);
    bind_error_push(L, "unserializable", err.text);
  }
  lua_settop(L, first + 1);
  bind_error_normalize(L, first + 1, DA_NONE);
  if (bind_value_encode_error(L, first + 1, "error", data, &err) != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
    lua_replace(L, first + 1);
    if (bind_value_encode_error(L, first + 1, "error", data, &err) != DA_OK) return luaL_error(L, "%s", err.text) != 0;
  }
  return false;
}

/* The error at 2 says after how many attempts of an inline step it is the outcome; step.lua does so for a named one. */
static void count_attempts(lua_State *L)
{
  const da_execution *execution = da_isolate_of(L) != NULL ? da_execution_of(L) : NULL;
  if (execution == NULL || execution->inline_child == NULL) return;
  bind_error_normalize(L, 2, DA_NONE);
  if (lua_getfield(L, 2, "attempts") == LUA_TNIL) {
    lua_pushinteger(L, execution->inline_child->attempt);
    lua_setfield(L, 2, "attempts");
  }
  lua_settop(L, 2);
}

/* outcome(ok, ...) -> ok, data JSON, rest JSON or nil, fatal */
static int outcome(lua_State *L)
{
  da_buf *data = bind_scratch(0), *rest = bind_scratch(1);
  if (!lua_toboolean(L, 1)) count_attempts(L);
  bool ok = encode_outcome(L, 1, data, rest);
  bool fatal = false;
  if (!ok) {
    lua_getfield(L, 2, "fatal");
    fatal = lua_toboolean(L, -1) != 0;
    lua_getfield(L, 2, "code");
    if (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "unserializable") == 0) fatal = true;
  }
  lua_pushboolean(L, ok);
  lua_pushlstring(L, data->ptr, data->len);
  if (rest->len > 0)
    lua_pushlstring(L, rest->ptr, rest->len);
  else
    lua_pushnil(L);
  lua_pushboolean(L, fatal);
  return 4;
}

/* Length of the line at text, its end included. */
static size_t line_length(const char *text)
{
  const char *end = strchr(text, '\n');
  return end != NULL ? (size_t)(end - text) + 1 : strlen(text);
}

static bool is_library_line(const char *line)
{
  return strncmp(line, "\tda/", 4) == 0;
}

/* A traceback without the library's own frames and the xpcall that they make. */
static void add_user_part(da_buf *out, const char *text)
{
  for (size_t len; *text != '\0'; text += len) {
    len = line_length(text);
    bool ours = is_library_line(text);
    bool our_xpcall = is_library_line(text + len) && memmem(text, len, "'xpcall'", 8) != NULL;
    if (!ours && !our_xpcall) da_buf_add(out, text, len);
  }
  if (out->len > 0 && out->ptr[out->len - 1] == '\n') out->len--;
}

/* trace(error) -> da.Error with a traceback; a message handler of xpcall. */
static int trace(lua_State *L)
{
  lua_settop(L, 1);
  if (da_isolate_of(L) != NULL) {
    da_lib_traceback(L, L, NULL, 1);
  } else {
    luaL_traceback(L, L, NULL, 1);
  }
  da_buf *traceback = bind_scratch(0);
  add_user_part(traceback, lua_tostring(L, -1));
  bind_error_normalize(L, 1, da_buf_slice(traceback));
  lua_settop(L, 1);
  return 1;
}

/* decode(JSON) -> value */
static int decode(lua_State *L)
{
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  da_err err = {{0}};
  if (bind_value_decode(L, da_slice_make(text, len), &err) != DA_OK) return luaL_error(L, "%s", err.text);
  return 1;
}

/* decode_array(JSON) -> each element */
static int decode_array(lua_State *L)
{
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  int count = 0;
  da_err err = {{0}};
  if (bind_value_decode_array(L, da_slice_make(text, len), &count, &err) != DA_OK) return luaL_error(L, "%s", err.text);
  return count;
}

const luaL_Reg bind_outcome_natives[] = {
    {"outcome", outcome},         {"trace", trace},          {"decode", decode}, {"decode_array", decode_array},
    {"raise", bind_raise_native}, {"nearest", bind_nearest}, {NULL, NULL}};

/* Is the value at index the error `canceled`? */
static bool is_canceled(lua_State *L, int index)
{
  if (!lua_istable(L, index)) return false;
  lua_getfield(L, index, "code");
  bool canceled = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "canceled") == 0;
  lua_pop(L, 1);
  return canceled;
}

/* What an outcome is recorded as; the error of one that is none lies at 2. */
static da_promise_state outcome_state(lua_State *L, const da_execution *execution, bool ok)
{
  if (ok) return DA_RESOLVED;
  return da_execution_canceled(execution, NULL) != NULL && is_canceled(L, 2) ? DA_CANCELED : DA_REJECTED;
}

/* finish(ok, ...): the workflow's function ended. */
static int finish(lua_State *L)
{
  da_execution *execution = da_execution_of(L);
  if (bind_again_finish(L, execution)) return 0;
  da_buf *data = bind_scratch(0), *rest = bind_scratch(1);
  bool ok = encode_outcome(L, 1, data, rest);
  da_execution_finish(execution, outcome_state(L, execution, ok), da_buf_slice(data), da_buf_slice(rest));
  return 0;
}

/* branch_done(ok, ...): the branch the current fiber runs ended. */
static int branch_done(lua_State *L)
{
  da_execution *execution = da_execution_of(L);
  da_buf *data = bind_scratch(0), *rest = bind_scratch(1);
  bool ok = encode_outcome(L, 1, data, rest);
  da_execution_branch_done(execution->current->child, outcome_state(L, execution, ok), da_buf_slice(data),
                           da_buf_slice(rest));
  return 0;
}

/* fiber_done(promise, ok, ...): a fiber without a record ended. */
static int fiber_done(lua_State *L)
{
  da_child *child = bind_promise_check(L, 1, "fiber_done");
  bool canceled = child->canceled && is_canceled(L, 3);
  da_promise_state state = lua_toboolean(L, 2) ? DA_RESOLVED : canceled ? DA_CANCELED : DA_REJECTED;
  int n = lua_gettop(L) - 2;
  lua_createtable(L, n, 1);
  for (int i = 1; i <= n; i++) {
    lua_pushvalue(L, 2 + i);
    lua_rawseti(L, -2, i);
  }
  lua_pushinteger(L, n);
  lua_setfield(L, -2, "n");
  da_fiber_done(da_execution_of(L), child, state, luaL_ref(L, LUA_REGISTRYINDEX));
  return 0;
}

/* ---- joining ------------------------------------------------------------------------------------------- */

/* Were there any? */
static bool cancel_children(da_execution *execution, const da_scope *scope, const char *why)
{
  bool any = false;
  for (size_t i = 0; i < scope->count; i++) {
    da_child *child = scope->children[i];
    if (!child->joined || child->delivered || child->shelter == DA_SHELTERED_INSIDE) continue;
    any = true;
    da_execution_cancel_child(execution, child, why);
  }
  return any;
}

/* context: the first child that is not done with, by its number. */
static int join_look(lua_State *L, int status, lua_KContext context)
{
  (void)status;
  if (da_isolate_poisoned(L)) return da_lib_park(L);
  da_execution *execution = da_execution_of(L);
  da_scope *scope = execution->current->scope;
  if (!scope->abandoned && da_execution_canceled(execution, NULL) != NULL) {
    scope->abandoned = true;
    scope->cut_short = cancel_children(execution, scope, "canceled") && !scope->cancel_raised;
  }
  for (size_t i = da_scope_find(scope, (uint64_t)context); i < scope->count; i++) {
    da_child *child = scope->children[i];
    if (!child->joined || child->delivered) continue;
    if (scope->abandoned && child->shelter != DA_SHELTERED_INSIDE)
      da_execution_cancel_child(execution, child, "canceled"); /* made since */
    if (!da_fiber_wait(execution, &child, 1)) continue;
    lua_pushlightuserdata(L, DA_YIELD_TAG);
    return lua_yieldk(L, 1, (lua_KContext)child->made, join_look);
  }
  const char *code;
  const da_slice *canceled = scope->cut_short ? da_execution_canceled(execution, &code) : NULL;
  if (canceled == NULL) return 0;
  bind_promise_push_canceled(L, *canceled, code);
  return 1;
}

/* Promises among the values a scope ends with, also in a table of them, are somebody else's to await. */
static void hand_on(lua_State *L, int last)
{
  da_slice id;
  for (int i = 1; i <= last; i++) {
    (void)bind_promise_id(L, i, &id);
    if (!lua_istable(L, i)) continue;
    for (lua_pushnil(L); lua_next(L, i) != 0; lua_pop(L, 1)) (void)bind_promise_id(L, -1, &id);
  }
}

/* join(what it ends with...): until every child of this scope that is waited for was delivered. Returns an error if a
 * request to cancel, or the deadline, came meanwhile and ended some of them. */
static int join(lua_State *L)
{
  da_execution *execution = da_execution_of(L);
  const da_scope *scope = execution->current->scope;
  if (da_execution_forgets(scope)) {
    hand_on(L, lua_gettop(L));
    da_execution_tell_forgotten(execution, scope);
  }
  lua_settop(L, 0);
  return join_look(L, LUA_OK, 0);
}

/* abandon(why): the scope failed; what still runs of it is cancelled. */
static int abandon(lua_State *L)
{
  da_execution *execution = da_execution_of(L);
  execution->current->scope->abandoned = true;
  (void)cancel_children(execution, execution->current->scope, luaL_optstring(L, 1, "its parent failed"));
  return 0;
}

/* Did it end as the program wished that cancelled it? What could not be undone meanwhile is a failure all the same. */
static bool ended_as_wished(lua_State *L, const da_child *child)
{
  if (!child->canceled || child->state != DA_CANCELED) return false;
  bind_promise_push_error(L, child);
  bool whole = lua_getfield(L, -1, "undo_errors") == LUA_TNIL;
  lua_pop(L, 2);
  return whole;
}

/* Of a scope that ends early: did it end with the deadline that ends the scope, or with the request to cancel? */
static bool ended_with_scope(lua_State *L, const da_execution *execution, const da_child *child)
{
  if (child->state == DA_CANCELED) return true;
  if (!execution->deadline_passed) return false;
  bind_promise_push_error(L, child);
  (void)lua_getfield(L, -1, "code");
  bool whole = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "timedout") == 0 &&
               lua_getfield(L, -2, "undo_errors") == LUA_TNIL;
  lua_settop(L, 0);
  return whole;
}

/* failure() -> promise of the next child of this scope, which has joined, that failed and that nobody awaited, and its
 * error; or nil */
static int failure(lua_State *L)
{
  da_execution *execution = da_execution_of(L);
  const da_scope *scope = execution->current->scope;
  lua_settop(L, 0);
  da_execution_tell_forgotten(execution, scope);
  for (size_t i = 0; i < scope->count; i++) {
    da_child *child = scope->children[i];
    if (!child->joined || !child->delivered || child->observed || child->ignored || child->state == DA_RESOLVED)
      continue;
    if (scope->abandoned && ended_with_scope(L, execution, child)) continue;
    if (ended_as_wished(L, child)) continue;
    child->observed = true;
    bind_promise_push(L, child);
    bind_promise_push_error(L, child);
    return 2;
  }
  return 0;
}

const luaL_Reg bind_execution_natives[] = {{"id", id},
                                           {"now", now},
                                           {"deadline", deadline},
                                           {"replaying", replaying},
                                           {"random", random_bits},
                                           {"output", output},
                                           {"finish", finish},
                                           {"branch_done", branch_done},
                                           {"fiber_done", fiber_done},
                                           {"join", join},
                                           {"abandon", abandon},
                                           {"failure", failure},
                                           {"publish", publish},
                                           {NULL, NULL}};

/* ---- hooks of the determinism library ------------------------------------------------------------------ */

static double clock_hook(lua_State *L)
{
  return clock_now(L, "the clock is read");
}

static void print_hook(lua_State *L, const char *text, size_t len)
{
  da_execution *execution = da_execution_of(L);
  if (execution != NULL)
    da_execution_output(execution, da_slice_make(text, len));
  else
    da_load_output(L, da_slice_make(text, len));
}

void bind_setup(void)
{
  static const da_lib_hooks hooks = {.clock = clock_hook, .print = print_hook};
  da_lib_set_hooks(&hooks);
}
