/* bind_queue.c - queues for Lua: waiting in one, sending to one, and the permit that an acquire gives.
 *
 * What a queue is for a script is made in lua/da/queue.lua, of the natives here: those of isolates make durable calls,
 * those of step states send by way of the loop and refuse to wait.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind.h"
#include "bind_error.h"
#include "bind_value.h"

#include "../host/base/limits.h"
#include "../host/vm/lib.h"

#define PERMIT "da.permit"

/* The value at index as the JSON of a message, in a buffer of this thread. */
static da_slice encode_message(lua_State *L, int index)
{
  da_buf *buf = bind_scratch(0);
  da_err err = {{0}};
  if (bind_value_encode(L, index, "message", buf, &err) != DA_OK) {
    bind_error_push(L, "unserializable", err.text);
    (void)lua_error(L);
  }
  if (buf->len > DA_MESSAGE_MAX)
    bind_raise(L, "the message is %d bytes long; %d are the most: send where it can be found instead", (int)buf->len,
               (int)DA_MESSAGE_MAX);
  return da_buf_slice(buf);
}

/* duration_ms(duration, what) -> ms, also while the script loads */
static int duration_ms(lua_State *L)
{
  lua_pushinteger(L, (lua_Integer)bind_duration_ms(L, 1, luaL_checkstring(L, 2)));
  return 1;
}

/* ---- isolates ------------------------------------------------------------------------------------------ */

static const struct {
  const char *word;
  da_call_kind call;
  da_queue_kind kind;
} waits[] = {{"recv", DA_CALL_RECV, DA_QUEUE_CHANNEL},
             {"acquire", DA_CALL_ACQUIRE, DA_QUEUE_SEMAPHORE},
             {"take", DA_CALL_TAKE, DA_QUEUE_LIMITER}};

/* inbox(name) -> the channel of that name which belongs to the running execution */
static int inbox(lua_State *L)
{
  da_slice id = bind_execution(L, "the inbox of an execution")->id;
  lua_pushlstring(L, id.ptr, id.len);
  lua_pushliteral(L, "/");
  lua_pushvalue(L, 1);
  lua_concat(L, 3);
  return 1;
}

/* queue_wait(word, name, limit, per_ms) -> promise */
static int queue_wait(lua_State *L)
{
  const char *word = luaL_checkstring(L, 1);
  da_slice name = bind_check_text(L, 2, "the name of a queue");
  da_execution *execution = bind_execution(L, word);
  size_t i = 0;
  while (strcmp(waits[i].word, word) != 0) i++;
  da_call_spec spec = {.kind = waits[i].call, .func = name, .args = DA_LIT("[]"), .timeout_ms = -1};
  spec.queue = (da_queue){
      .name = name, .kind = waits[i].kind, .limit = luaL_optinteger(L, 3, 0), .per_ms = luaL_optinteger(L, 4, 0)};
  return bind_finish_call(L, execution, &spec);
}

/* queue_send(name, message) -> promise */
static int queue_send(lua_State *L)
{
  da_slice name = bind_check_text(L, 1, "the name of a channel");
  da_execution *execution = bind_execution(L, "send");
  da_call_spec spec = {.kind = DA_CALL_SEND, .func = name, .timeout_ms = -1};
  spec.data = spec.args = encode_message(L, 2);
  spec.queue = (da_queue){.name = name, .kind = DA_QUEUE_CHANNEL};
  return bind_finish_call(L, execution, &spec);
}

const luaL_Reg bind_queue_natives[] = {{"queue_wait", queue_wait},
                                       {"queue_send", queue_send},
                                       {"queue_inbox", inbox},
                                       {"duration_ms", duration_ms},
                                       {NULL, NULL}};

/* ---- permits ------------------------------------------------------------------------------------------- */

typedef struct permit {
  uint64_t tag;   /* DA_HANDLE_TAG */
  uint32_t index; /* of the child that is the acquire */
} permit;

void bind_permit_push(lua_State *L, const da_child *child)
{
  permit *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = (permit){.tag = DA_HANDLE_TAG, .index = child->index};
  luaL_setmetatable(L, PERMIT);
}

static da_child *permit_child(lua_State *L, const char *what)
{
  const permit *p = luaL_testudata(L, 1, PERMIT);
  if (p == NULL) bind_raise(L, "write permit:%s(), with a colon; got %s", what, bind_what(L, 1));
  return p != NULL ? da_execution_child(bind_execution(L, "a permit"), p->index) : NULL;
}

/* permit:release(), and the end of the scope of `local permit <close>`. Once; again is harmless. */
static int release(lua_State *L)
{
  da_child *child = permit_child(L, "release");
  da_execution_give_back(child->execution, child);
  return 0;
}

static int permit_tostring(lua_State *L)
{
  const da_child *child = permit_child(L, "release");
  lua_pushlstring(L, child->call.func.ptr, child->call.func.len);
  lua_pushfstring(L, "permit of semaphore '%s'", lua_tostring(L, -1));
  return 1;
}

static int permit_index(lua_State *L)
{
  const char *key = luaL_tolstring(L, 2, NULL);
  if (strcmp(key, "release") != 0) return bind_raise(L, "a permit has no '%s'; it has release()", key);
  lua_pushcfunction(L, release);
  return 1;
}

/* Upvalue 1: what was attempted. */
static int refuse(lua_State *L)
{
  return bind_raise(L, "attempt to %s a permit; it is only there to be released", lua_tostring(L, lua_upvalueindex(1)));
}

void bind_permit_open(lua_State *L)
{
  static const luaL_Reg events[] = {
      {"__index", permit_index}, {"__close", release}, {"__tostring", permit_tostring}, {NULL, NULL}};
  static const char *const refused[][2] = {
      {"__newindex", "assign into"}, {"__pairs", "traverse"}, {"__len", "take the length of"}, {"__call", "call"}};
  luaL_newmetatable(L, PERMIT);
  luaL_setfuncs(L, events, 0);
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    lua_pushstring(L, refused[i][1]);
    lua_pushcclosure(L, refuse, 1);
    lua_setfield(L, -2, refused[i][0]);
  }
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

/* ---- steps --------------------------------------------------------------------------------------------- */

static int raise_fatal(lua_State *L, const char *code, const char *words)
{
  da_call_spec at = {.line = 0};
  bind_location(L, &at);
  if (at.line > 0) words = lua_pushfstring(L, "%s:%d: %s", at.file.ptr, (int)at.line, words);
  bind_error_push(L, code, words);
  lua_pushboolean(L, 1); /* the same in every attempt */
  lua_setfield(L, -2, "fatal");
  return lua_error(L);
}

static da_step_job *job_of(lua_State *L, const char *what)
{
  da_step_job *job = da_step_job_of(L);
  if (job == NULL) bind_raise(L, "%s while the script loads; only a running step can do that", what);
  return job;
}

static int step_wait(lua_State *L)
{
  return raise_fatal(L, "error",
                     lua_pushfstring(L, "%s waits, and a step is a leaf: await it in the workflow, before the step",
                                     luaL_checkstring(L, 1)));
}

static int step_inbox(lua_State *L)
{
  const da_step_job *job = job_of(L, "the inbox of an execution");
  lua_pushlstring(L, job->execution.ptr, job->execution.len);
  lua_pushliteral(L, "/");
  lua_pushvalue(L, 1);
  lua_concat(L, 3);
  return 1;
}

/* queue_send(name, message): the nth message of a step is put once, whichever of its attempts sends it. Waits for the
 * flush. */
static int step_send(lua_State *L)
{
  da_step_job *job = job_of(L, "send");
  da_slice name = bind_check_text(L, 1, "the name of a channel");
  da_slice data = encode_message(L, 2);
  da_op *op = da_op_new();
  da_request *request = da_op_request(op, DA_REQ_QUEUE_PUT);
  request->id = da_arena_dup(&op->arena, job->execution);
  request->version = -1;
  request->promise_id = da_arena_printf(&op->arena, "%.*s/~send.%d", DA_FMT(job->id), ++job->sends);
  request->queue = (da_queue){.name = da_arena_dup(&op->arena, name), .kind = DA_QUEUE_CHANNEL};
  request->value = (da_value){.has_data = true, .encoding = DA_JSON, .data = da_arena_dup(&op->arena, data)};
  da_step_submit_wait(L, op);
  if (op->status != DA_OK) {
    bind_error_push_status(L, op->status, &op->err);
    da_op_delete(op);
    return lua_error(L);
  }
  const da_reply *reply = &op->outcomes[0].reply;
  const char *code = reply->status == 200 ? NULL : da_queue_code(reply->status);
  if (reply->status != 200) {
    const char *words = lua_pushlstring(L, reply->message.ptr, reply->message.len);
    bind_error_push(L, code != NULL ? code : "refused", words);
    da_op_delete(op);
    return lua_error(L);
  }
  da_op_delete(op);
  return 0;
}

const luaL_Reg bind_queue_step_natives[] = {{"queue_wait", step_wait},
                                            {"queue_send", step_send},
                                            {"queue_inbox", step_inbox},
                                            {"duration_ms", duration_ms},
                                            {NULL, NULL}};
