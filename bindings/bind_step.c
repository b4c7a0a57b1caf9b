/* bind_step.c - what a named step may ask, on its step thread: who it is, and the store by way of the loop.
 *
 * A step may block, so it waits for the store's answer (da_step_submit_wait()). What it settles or starts here happens
 * at least once, as the step itself.
 * Threads: a step thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <float.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bind.h"
#include "bind_error.h"
#include "bind_value.h"

#include "../host/base/clock.h"
#include "../host/base/id.h"
#include "../host/base/limits.h"

static da_step_job *check_job(lua_State *L, const char *what)
{
  da_step_job *job = da_step_job_of(L);
  if (job == NULL) bind_raise(L, "%s while the script loads; only a running step can do that", what);
  return job;
}

static int id(lua_State *L)
{
  const da_step_job *job = check_job(L, "da.id");
  lua_pushlstring(L, job->id.ptr, job->id.len);
  return 1;
}

static int attempt(lua_State *L)
{
  lua_pushinteger(L, check_job(L, "da.attempt")->attempt);
  return 1;
}

static int deadline(lua_State *L)
{
  const da_step_job *job = check_job(L, "da.deadline");
  if (job->deadline_ms >= DA_TIME_MAX) return 0;
  lua_pushnumber(L, (double)job->deadline_ms / 1000);
  return 1;
}

static da_slice check_slice(lua_State *L, int index)
{
  size_t len;
  const char *text = luaL_checklstring(L, index, &len);
  return da_slice_make(text, len);
}

static bool is_amount(lua_State *L, int index)
{
  double amount = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
  return amount >= 0 && amount <= DBL_MAX;
}

/* progress(done [, total [, note]]): never waits */
static int progress(lua_State *L)
{
  check_job(L, "da.progress");
  if (!is_amount(L, 1))
    return bind_raise(L, "da.progress(done, total, note): done must be a number from 0 on, not %s", bind_what(L, 1));
  if (!lua_isnoneornil(L, 2) && !is_amount(L, 2))
    return bind_raise(L, "da.progress(done, total, note): total must be a number from 0 on, or nil if it is not known");
  if (!lua_isnoneornil(L, 3) && lua_type(L, 3) != LUA_TSTRING)
    return bind_raise(L, "da.progress(done, total, note): the note must be a string, not %s", bind_what(L, 3));
  double total = lua_isnoneornil(L, 2) ? -1 : lua_tonumber(L, 2);
  da_slice note = lua_isnoneornil(L, 3) ? DA_NONE : check_slice(L, 3);
  da_step_progress(L, lua_tonumber(L, 1), total, note);
  return 0;
}

static int now(lua_State *L)
{
  lua_pushnumber(L, (double)da_clock_now_ms() / 1000);
  return 1;
}

static int output(lua_State *L)
{
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  da_step_output(L, da_slice_make(text, len));
  return 0;
}

static int unserializable(lua_State *L, const da_err *err)
{
  bind_error_push(L, "unserializable", err->text);
  return lua_error(L);
}

/* Submits, waits, and returns the first answer; raises a da.Error, with the op deleted, if there is none. */
static const da_reply *ask(lua_State *L, da_op *op)
{
  da_step_submit_wait(L, op);
  if (op->status != DA_OK) {
    bind_error_push_status(L, op->status, &op->err);
    da_op_delete(op);
    (void)lua_error(L);
  }
  return &op->outcomes[0].reply;
}

/* Raises an answer that is a refusal. */
static void refuse(lua_State *L, da_op *op, const da_reply *reply, da_slice id_)
{
  lua_pushlstring(L, id_.ptr, id_.len);
  lua_pushlstring(L, reply->message.ptr, reply->message.len);
  bind_error_push(L, reply->status == 404 ? "not_found" : "refused",
                  lua_pushfstring(L, "%s: %s", lua_tostring(L, -2), lua_tostring(L, -1)));
  da_op_delete(op);
  lua_error(L);
}

static void settle(lua_State *L, da_slice promise_id, da_promise_state state, da_slice data, da_slice rest)
{
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_PROMISE_SETTLE);
  request->id = da_arena_dup(&op->arena, promise_id);
  request->state = state;
  request->value = (da_value){.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, data)};
  if (rest.len != 0) {
    da_pair *pair = da_arena_alloc(&op->arena, sizeof *pair);
    *pair = (da_pair){DA_LIT("da-rest"), da_arena_dup(&op->arena, rest)};
    request->value.has_headers = true;
    request->value.headers = (da_map){pair, 1};
  }
  const da_reply *reply = ask(L, op);
  if (reply->status != 200) refuse(L, op, reply, promise_id);
  lua_pushstring(L, da_promise_state_name(reply->promise->state));
  da_op_delete(op);
}

/* resolve(id, ...) -> state the promise is in now: the first settlement stays. */
static int resolve(lua_State *L)
{
  check_job(L, "da.resolve");
  da_slice promise_id = bind_check_id(L, 1, "da.resolve");
  da_buf *data = bind_scratch(0), *rest = bind_scratch(1);
  da_err err = {{0}};
  if (bind_value_encode_results(L, 2, lua_gettop(L), "da.resolve", data, rest, &err) != DA_OK)
    return unserializable(L, &err);
  settle(L, promise_id, DA_RESOLVED, da_buf_slice(data), da_buf_slice(rest));
  return 1;
}

/* reject(id, error) -> state */
static int reject(lua_State *L)
{
  check_job(L, "da.reject");
  da_slice promise_id = bind_check_id(L, 1, "da.reject");
  bind_error_normalize(L, 2, DA_NONE);
  da_buf *data = bind_scratch(0);
  da_err err = {{0}};
  if (bind_value_encode_error(L, 2, "da.reject", data, &err) != DA_OK) return unserializable(L, &err);
  settle(L, promise_id, DA_REJECTED, da_buf_slice(data), DA_NONE);
  return 1;
}

/* get(id) -> state, data JSON, rest JSON; nothing if there is no such promise */
static int get(lua_State *L)
{
  check_job(L, "da.get");
  da_slice promise_id = bind_check_id(L, 1, "da.get");
  da_op *op = da_op_new();
  da_op_request(op, DA_REQ_PROMISE_GET)->id = da_arena_dup(&op->arena, promise_id);
  const da_reply *reply = ask(L, op);
  if (reply->status != 200) {
    da_op_delete(op);
    return 0;
  }
  const da_slice *rest = da_map_get(reply->promise->value.headers, DA_LIT("da-rest"));
  lua_pushstring(L, da_promise_state_name(reply->promise->state));
  lua_pushlstring(L, reply->promise->value.data.ptr, reply->promise->value.data.len);
  lua_pushlstring(L, rest != NULL ? rest->ptr : "", rest != NULL ? rest->len : 0);
  da_op_delete(op);
  return 3;
}

/* The same id again: the same execution, if it is the same call. */
static void refuse_other_call(lua_State *L, da_op *op, const da_reply *reply, const da_request *wanted)
{
  const da_promise *there = reply->promise;
  if (there->call.kind == DA_CALL_ROOT && da_slice_eq(there->call.func, wanted->call.func) &&
      da_digest_eq(&there->call.args, &wanted->call.args))
    return;
  /* A server elsewhere knows the call by its parameters alone. */
  if (there->call.kind == DA_CALL_NONE && there->param.encoding == DA_JSON &&
      da_slice_eq(there->param.data, wanted->param.data) && da_map_get(there->tags, DA_LIT("resonate:target")) != NULL)
    return;
  enum { SHOWN = 300 };
  da_slice had = there->param.data, wants = wanted->param.data;
  lua_pushlstring(L, had.ptr, had.len < SHOWN ? had.len : SHOWN);
  lua_pushlstring(L, wants.ptr, wants.len < SHOWN ? wants.len : SHOWN);
  lua_pushlstring(L, wanted->id.ptr, wanted->id.len);
  bool execution = there->call.func.len > 0;
  bind_error_push(L, "refused",
                  lua_pushfstring(L, "da.start: '%s' is there already, %s%s, not %s; choose another id",
                                  lua_tostring(L, -1), execution ? "called with " : "a promise",
                                  execution ? lua_tostring(L, -3) : "", lua_tostring(L, -2)));
  lua_pushboolean(L, 1); /* the same in every attempt */
  lua_setfield(L, -2, "fatal");
  da_op_delete(op);
  lua_error(L);
}

/* start(id, workflow, ...) -> id: an execution of its own, of this bundle or of another group; idempotent by id. */
static int start(lua_State *L)
{
  (void)check_job(L, "da.start");
  da_slice promise_id = bind_check_id(L, 1, "da.start");
  if (da_id_rest(promise_id).len > 0)
    return bind_raise(L, "da.start: the id of a new execution holds no '%c', since '%s' would be a part of another",
                      da_id_root_end(), promise_id.ptr);
  bind_function f;
  if (!bind_function_read(L, 2, &f) || !f.workflow)
    return bind_raise(L, "da.start needs a workflow: da.start(id, async.NAME, ...)");
  if (f.named) return bind_raise(L, "da.start takes no key and no id of f:with{...}: the id stands first");
  da_buf *args = bind_scratch(0);
  da_err err = {{0}};
  if (bind_value_encode_args(L, 3, lua_gettop(L), f.name.ptr, args, &err) != DA_OK) return unserializable(L, &err);
  da_op *op = da_op_new();
  int64_t now = da_clock_now_ms();
  const da_root root = {.target = f.target,
                        .id = promise_id,
                        .func = f.name,
                        .args = da_buf_slice(args),
                        .version = f.version,
                        .deadline_at = f.timeout_ms >= 0 ? now + f.timeout_ms : 0,
                        .delay_at = f.delay_ms > 0 ? now + f.delay_ms : 0,
                        .tags = bind_function_tags(L, 2, &op->arena)};
  da_step_start_request(L, op, &root);
  const da_reply *reply = ask(L, op);
  if (reply->status != 200) refuse(L, op, reply, promise_id);
  refuse_other_call(L, op, reply, &op->requests[0]);
  da_op_delete(op);
  lua_pushvalue(L, 1);
  return 1;
}

/* os.execute as in stock Lua, but for system(3): that one has the whole process ignore SIGINT and SIGQUIT meanwhile, so
 * that Ctrl-C would do nothing while any step waits for a command. */
static int execute(lua_State *L)
{
  const char *command = luaL_optstring(L, 1, NULL);
  char shell[] = "sh";
  char option[] = "-c";
  char *words[] = {shell, option, NULL, NULL};
  pid_t pid;
  int status = -1;
  if (command == NULL) {
    lua_pushboolean(L, access("/bin/sh", X_OK) == 0);
    return 1;
  }
  memcpy(&words[2], &command, sizeof command);
  errno = posix_spawn(&pid, "/bin/sh", NULL, NULL, words, environ);
  if (errno == 0)
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return luaL_execresult(L, status);
}

const luaL_Reg bind_step_natives[] = {{"id", id},         {"attempt", attempt},   {"deadline", deadline}, {"now", now},
                                      {"output", output}, {"resolve", resolve},   {"reject", reject},     {"get", get},
                                      {"start", start},   {"progress", progress}, {"execute", execute},   {NULL, NULL}};
