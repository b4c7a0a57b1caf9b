/* bind_probe_show.c - records, answers and messages as Lua tables.
 *
 * What the protocol has a shape for has that shape: absent members stay absent, an error is a string.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind_probe.h"

void da_probe_push_slice(lua_State *L, da_slice s)
{
  lua_pushlstring(L, s.ptr != NULL ? s.ptr : "", s.len);
}

void da_probe_set_slice(lua_State *L, const char *key, da_slice s)
{
  da_probe_push_slice(L, s);
  lua_setfield(L, -2, key);
}

void da_probe_set_integer(lua_State *L, const char *key, int64_t n)
{
  lua_pushinteger(L, n);
  lua_setfield(L, -2, key);
}

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

static void set_value(lua_State *L, const char *key, const da_value *value)
{
  lua_newtable(L);
  if (value->has_data) da_probe_set_slice(L, "data", value->data);
  if (value->has_headers) set_map(L, "headers", value->headers);
  lua_setfield(L, -2, key);
}

void da_probe_push_promise(lua_State *L, const da_promise *promise)
{
  lua_newtable(L);
  da_probe_set_slice(L, "id", promise->id);
  da_probe_set_slice(L, "state", da_slice_of(da_promise_state_name(promise->state)));
  set_value(L, "param", &promise->param);
  set_value(L, "value", &promise->value);
  set_map(L, "tags", promise->tags);
  da_probe_set_integer(L, "timeoutAt", promise->timeout_at);
  da_probe_set_integer(L, "createdAt", promise->created_at);
  if (promise->state != DA_PENDING) da_probe_set_integer(L, "settledAt", promise->settled_at);
}

static void set_encoding(lua_State *L, const char *key, const da_value *value)
{
  if (value->encoding != DA_JSON) return;
  lua_getfield(L, -1, key);
  da_probe_set_slice(L, "encoding", DA_LIT("json"));
  lua_pop(L, 1);
}

static da_slice digest_slice(const da_digest *digest)
{
  return da_slice_make((const char *)digest->bytes, sizeof digest->bytes);
}

static void set_call(lua_State *L, const da_call *call)
{
  static const da_digest none;
  if (call->kind == DA_CALL_NONE && call->generation == 0) return;
  lua_newtable(L);
  da_probe_set_integer(L, "kind", call->kind);
  da_probe_set_integer(L, "ordinal", call->ordinal);
  da_probe_set_integer(L, "line", call->line);
  if (call->file.len != 0) da_probe_set_slice(L, "file", call->file);
  if (call->func.len != 0) da_probe_set_slice(L, "func", call->func);
  if (!da_digest_eq(&call->args, &none)) da_probe_set_slice(L, "args", digest_slice(&call->args));
  if (call->has_bundle) da_probe_set_slice(L, "bundle", digest_slice(&call->bundle));
  if (call->awaited_elsewhere) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "awaitedElsewhere");
  }
  if (call->generation != 0) da_probe_set_integer(L, "generation", call->generation);
  lua_setfield(L, -2, "call");
}

void da_probe_push_record(lua_State *L, const da_promise *promise)
{
  da_probe_push_promise(L, promise);
  set_encoding(L, "param", &promise->param);
  set_encoding(L, "value", &promise->value);
  if (promise->armed) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "armed");
  }
  if (promise->state != DA_PENDING) da_probe_set_integer(L, "settleSeq", (int64_t)promise->settle_seq);
  set_call(L, &promise->call);
}

void da_probe_push_task(lua_State *L, const da_task *task)
{
  lua_newtable(L);
  da_probe_set_slice(L, "id", task->id);
  da_probe_set_slice(L, "state", da_slice_of(da_task_state_name(task->state)));
  da_probe_set_integer(L, "version", task->version);
  da_probe_set_integer(L, "resumes", task->resumes);
  if (task->state != DA_TASK_ACQUIRED) return;
  da_probe_set_integer(L, "ttl", task->ttl);
  da_probe_set_slice(L, "pid", task->pid);
}

void da_probe_push_schedule(lua_State *L, const da_schedule *schedule)
{
  lua_newtable(L);
  da_probe_set_slice(L, "id", schedule->id);
  da_probe_set_slice(L, "cron", schedule->cron);
  da_probe_set_slice(L, "promiseId", schedule->promise_id);
  da_probe_set_integer(L, "promiseTimeout", schedule->promise_timeout);
  set_value(L, "promiseParam", &schedule->promise_param);
  set_map(L, "promiseTags", schedule->promise_tags);
  da_probe_set_integer(L, "createdAt", schedule->created_at);
  da_probe_set_integer(L, "nextRunAt", schedule->next_run_at);
  if (schedule->last_run_at != 0) da_probe_set_integer(L, "lastRunAt", schedule->last_run_at);
}

void da_probe_push_schedule_record(lua_State *L, const da_schedule *schedule)
{
  da_probe_push_schedule(L, schedule);
  set_encoding(L, "promiseParam", &schedule->promise_param);
  set_call(L, &schedule->call);
  if (schedule->catch_up != DA_CATCH_UP_ALL)
    da_probe_set_slice(L, "catchUp", da_slice_of(da_catch_up_name(schedule->catch_up)));
  if (schedule->zone.len != 0) {
    da_probe_set_slice(L, "zone", schedule->zone);
    da_probe_set_slice(L, "zoneBytes", schedule->zone_bytes);
  }
  if (schedule->style == DA_CRON_QUARTZ) return;
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "unix");
}

/* ---- answers ------------------------------------------------------------------------------------------- */

static void set_preload(lua_State *L, const da_reply *reply)
{
  lua_createtable(L, (int)reply->preload_count, 0);
  for (size_t i = 0; i < reply->preload_count; i++) {
    da_probe_push_promise(L, &reply->preload[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "preload");
}

static void push_reply_data(lua_State *L, const da_reply *reply)
{
  if (reply->status != 200 && reply->status != 300) {
    da_probe_push_slice(L, reply->message);
    return;
  }
  lua_newtable(L);
  if (reply->promise != NULL) {
    da_probe_push_promise(L, reply->promise);
    lua_setfield(L, -2, "promise");
  }
  if (reply->task != NULL) {
    da_probe_push_task(L, reply->task);
    lua_setfield(L, -2, "task");
  }
  if (reply->has_preload) set_preload(L, reply);
  if (reply->schedule != NULL) {
    da_probe_push_schedule(L, reply->schedule);
    lua_setfield(L, -2, "schedule");
  }
}

static void set_schedules(lua_State *L, const da_reply *reply)
{
  lua_createtable(L, (int)reply->schedule_count, 0);
  for (size_t i = 0; i < reply->schedule_count; i++) {
    da_probe_push_schedule(L, &reply->schedules[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "schedules");
  if (reply->more) da_probe_set_slice(L, "cursor", reply->schedules[reply->schedule_count - 1].id);
}

static void set_promises(lua_State *L, const da_reply *reply)
{
  lua_createtable(L, (int)reply->promise_count, 0);
  for (size_t i = 0; i < reply->promise_count; i++) {
    da_probe_push_promise(L, &reply->promises[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "promises");
  if (reply->more) da_probe_set_slice(L, "cursor", reply->promises[reply->promise_count - 1].id);
}

static void set_tasks(lua_State *L, const da_reply *reply)
{
  lua_createtable(L, (int)reply->task_count, 0);
  for (size_t i = 0; i < reply->task_count; i++) {
    da_probe_push_task(L, &reply->tasks[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "tasks");
  if (reply->more) da_probe_set_slice(L, "cursor", reply->tasks[reply->task_count - 1].id);
}

/* The answer of the action inside a fence, in an envelope of its own. */
static void set_action(lua_State *L, const da_request *request, const da_reply *inner, da_slice corr_id)
{
  lua_newtable(L);
  da_probe_set_slice(L, "kind", request->fence_settles ? DA_LIT("promise.settle") : DA_LIT("promise.create"));
  lua_newtable(L);
  da_probe_set_integer(L, "status", inner->status);
  da_probe_set_slice(L, "version", DA_LIT("2026-04-01"));
  if (corr_id.ptr != NULL) da_probe_set_slice(L, "corrId", corr_id);
  lua_setfield(L, -2, "head");
  push_reply_data(L, inner);
  lua_setfield(L, -2, "data");
  lua_setfield(L, -2, "action");
}

static bool is_background(da_req_kind kind)
{
  return kind == DA_REQ_SWEEP || kind == DA_REQ_RECOVER || kind == DA_REQ_CLAIM || kind == DA_REQ_SENT;
}

static void set_progress(lua_State *L, const da_reply *reply)
{
  da_probe_set_integer(L, "count", (int64_t)reply->count);
  if (!reply->more) return;
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "more");
  lua_newtable(L);
  da_probe_set_integer(L, "class", reply->cursor.class_);
  da_probe_set_integer(L, "at", reply->cursor.at);
  da_probe_set_slice(L, "id", reply->cursor.id);
  lua_setfield(L, -2, "cursor");
}

void da_probe_push_reply(lua_State *L, const da_request *request, const da_reply *reply, da_slice corr_id)
{
  lua_newtable(L);
  da_probe_set_integer(L, "status", reply->status);
  push_reply_data(L, reply);
  if (reply->inner != NULL) set_action(L, request, reply->inner, corr_id);
  if (request->kind == DA_REQ_PROMISE_SEARCH && reply->status == 200) set_promises(L, reply);
  if (request->kind == DA_REQ_TASK_SEARCH && reply->status == 200) set_tasks(L, reply);
  if (request->kind == DA_REQ_SCHEDULE_SEARCH && reply->status == 200) set_schedules(L, reply);
  if (request->kind == DA_REQ_SCHEDULE_DECLARE && reply->status == 200)
    da_probe_set_integer(L, "count", (int64_t)reply->count);
  if (is_background(request->kind) && lua_istable(L, -1)) set_progress(L, reply);
  lua_setfield(L, -2, "data");
}

static void push_message(lua_State *L, const da_message *message)
{
  lua_newtable(L);
  da_probe_set_slice(L, "kind", message->kind == DA_EXECUTE ? DA_LIT("execute") : DA_LIT("unblock"));
  da_probe_set_slice(L, "id", message->id);
  da_probe_set_slice(L, "address", message->address);
  if (message->kind == DA_EXECUTE) da_probe_set_integer(L, "version", message->version);
  if (!message->local) return;
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "local");
}

void da_probe_push_messages(lua_State *L, const da_message *messages, size_t count)
{
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    push_message(L, &messages[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}
