/* bind_probe_store.c - what a store holds and does, row by row, for the contract's specs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "bind_probe.h"

/* A read outside a batch has a transaction of its own. */
da_view *da_probe_enter(lua_State *L, da_world *w)
{
  da_err err;
  da_status status = w->batch ? DA_OK : da_store_begin(w->store, &err);
  if (status != DA_OK) da_probe_raise(L, status, err.text);
  return da_store_view(w->store);
}

static void leave(da_world *w)
{
  if (!w->batch) da_store_abort(w->store);
}

int da_probe_leave(lua_State *L, da_world *w, int there)
{
  leave(w);
  if (there < 0) da_probe_raise(L, (da_status)there, da_store_fault_words(w->store));
  return there;
}

/* ---- single rows --------------------------------------------------------------------------------------- */

static int store_promise(lua_State *L)
{
  da_promise promise;
  da_world *w = da_probe_world(L);
  da_slice id = da_probe_check_slice(L, 2);
  da_view *view = da_probe_enter(L, w);
  if (da_probe_leave(L, w, view->ops->promise(view, id, &w->arena, &promise)) == 0) return 0;
  da_probe_push_record(L, &promise);
  return 1;
}

static int store_task(lua_State *L)
{
  da_task task;
  da_world *w = da_probe_world(L);
  da_slice id = da_probe_check_slice(L, 2);
  da_view *view = da_probe_enter(L, w);
  if (da_probe_leave(L, w, view->ops->task(view, id, &w->arena, &task)) == 0) return 0;
  da_probe_push_task(L, &task);
  if (task.ttl != 0) da_probe_set_integer(L, "ttl", task.ttl);
  if (task.pid.len != 0) da_probe_set_slice(L, "pid", task.pid);
  da_probe_set_integer(L, "timerAt", task.timer_at);
  return 1;
}

static int store_schedule(lua_State *L)
{
  da_schedule schedule;
  da_world *w = da_probe_world(L);
  da_slice id = da_probe_check_slice(L, 2);
  da_view *view = da_probe_enter(L, w);
  if (da_probe_leave(L, w, view->ops->schedule(view, id, &w->arena, &schedule)) == 0) return 0;
  da_probe_push_schedule_record(L, &schedule);
  return 1;
}

/* schedules([after]) -> records */
static int store_schedules(lua_State *L)
{
  da_schedule schedule = {.id = lua_isnoneornil(L, 2) ? DA_NONE : da_probe_check_slice(L, 2)};
  da_world *w = da_probe_world(L);
  da_view *view = da_probe_enter(L, w);
  int there;
  lua_newtable(L);
  for (lua_Integer i = 1; (there = view->ops->schedule_next(view, schedule.id, &w->arena, &schedule)) > 0; i++) {
    da_probe_push_schedule_record(L, &schedule);
    lua_rawseti(L, -2, i);
  }
  da_probe_leave(L, w, there);
  return 1;
}

static da_wait_kind wait_kind(lua_State *L, int index)
{
  static const char *const names[] = {"callback", "awaited", "resume", "listener", NULL};
  return (da_wait_kind)luaL_checkoption(L, index, NULL, names);
}

static da_due_class due_class(lua_State *L, int index)
{
  static const char *const names[] = {"deadline", "retry", "lease", "schedule", "queue", NULL};
  return (da_due_class)luaL_checkoption(L, index, NULL, names);
}

static int store_wait_has(lua_State *L)
{
  da_world *w = da_probe_world(L);
  da_wait wait = {wait_kind(L, 2), da_probe_check_slice(L, 3), da_probe_check_slice(L, 4)};
  da_view *view = da_probe_enter(L, w);
  lua_pushboolean(L, da_probe_leave(L, w, view->ops->wait_has(view, &wait)));
  return 1;
}

/* ---- walks of the view: each step finds its row anew, as the engine does ------------------------------- */

static int store_waits(lua_State *L)
{
  da_world *w = da_probe_world(L);
  da_wait at = {.kind = wait_kind(L, 2), .first = da_probe_check_slice(L, 3)};
  da_view *view = da_probe_enter(L, w);
  int there;
  lua_newtable(L);
  for (lua_Integer i = 1; (there = view->ops->wait_next(view, &at, &w->arena, &at)) > 0; i++) {
    da_probe_push_slice(L, at.second);
    lua_rawseti(L, -2, i);
  }
  da_probe_leave(L, w, there);
  return 1;
}

static int store_dues(lua_State *L)
{
  da_world *w = da_probe_world(L);
  da_due at = {.class_ = due_class(L, 2)};
  da_view *view = da_probe_enter(L, w);
  int there;
  lua_newtable(L);
  for (lua_Integer i = 1; (there = view->ops->due_next(view, &at, &w->arena, &at)) > 0; i++) {
    lua_newtable(L);
    da_probe_set_integer(L, "at", at.at);
    da_probe_set_slice(L, "id", at.id);
    lua_rawseti(L, -2, i);
  }
  da_probe_leave(L, w, there);
  return 1;
}

static int store_outbox(lua_State *L)
{
  da_world *w = da_probe_world(L);
  da_message at = {0};
  da_view *view = da_probe_enter(L, w);
  int there;
  lua_newtable(L);
  for (lua_Integer i = 1; (there = view->ops->out_next(view, &at, &w->arena, &at)) > 0; i++) {
    da_probe_push_messages(L, &at, 1);
    lua_rawgeti(L, -1, 1);
    lua_rawseti(L, -3, i);
    lua_pop(L, 1);
  }
  da_probe_leave(L, w, there);
  return 1;
}

static int store_below(lua_State *L)
{
  da_promise promise;
  da_world *w = da_probe_world(L);
  da_slice ancestor = da_probe_check_slice(L, 2);
  da_slice after = DA_NONE;
  da_view *view = da_probe_enter(L, w);
  int there;
  lua_newtable(L);
  for (lua_Integer i = 1; (there = view->ops->below_next(view, ancestor, after, &w->arena, &promise)) > 0; i++) {
    after = promise.id;
    da_probe_push_slice(L, promise.id);
    lua_rawseti(L, -2, i);
  }
  da_probe_leave(L, w, there);
  return 1;
}

/* ---- writes -------------------------------------------------------------------------------------------- */

int da_probe_write(lua_State *L, da_world *w, const da_write *write)
{
  da_err err;
  da_status status = w->batch ? DA_OK : da_store_begin(w->store, &err);
  if (status == DA_OK) {
    status = da_store_write(w->store, write, &err);
    if (status != DA_OK) {
      da_store_abort(w->store);
      w->batch = false;
    } else if (!w->batch) {
      status = da_store_commit(w->store, &err);
    }
  }
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_pushboolean(L, 1);
  return 1;
}

static int store_write_promise(lua_State *L)
{
  da_promise promise;
  da_world *w = da_probe_world(L);
  da_probe_read_promise(L, 2, &w->arena, &promise);
  da_write write = {.table = DA_TABLE_PROMISE, .row.promise = &promise};
  return da_probe_write(L, w, &write);
}

static bool is_del(lua_State *L, int index)
{
  static const char *const names[] = {"put", "del", NULL};
  return luaL_checkoption(L, index, "put", names) == 1;
}

static int store_write_task(lua_State *L)
{
  da_task task;
  da_world *w = da_probe_world(L);
  da_probe_read_task(L, 2, &task);
  da_write write = {.table = DA_TABLE_TASK, .del = is_del(L, 3), .row.task = &task};
  return da_probe_write(L, w, &write);
}

static int store_write_schedule(lua_State *L)
{
  da_schedule schedule;
  da_world *w = da_probe_world(L);
  da_probe_read_schedule(L, 2, &w->arena, &schedule);
  da_write write = {.table = DA_TABLE_SCHEDULE, .del = is_del(L, 3), .row.schedule = &schedule};
  return da_probe_write(L, w, &write);
}

static int store_write_wait(lua_State *L)
{
  da_world *w = da_probe_world(L);
  da_write write = {.table = DA_TABLE_WAIT, .del = is_del(L, 5)};
  write.row.wait = (da_wait){wait_kind(L, 2), da_probe_check_slice(L, 3), da_probe_check_slice(L, 4)};
  return da_probe_write(L, w, &write);
}

static int store_write_due(lua_State *L)
{
  da_world *w = da_probe_world(L);
  da_write write = {.table = DA_TABLE_DUE, .del = is_del(L, 5)};
  write.row.due = (da_due){due_class(L, 2), luaL_checkinteger(L, 3), da_probe_check_slice(L, 4)};
  return da_probe_write(L, w, &write);
}

/* write_out("execute", id, address, version [, "del"]) */
static int store_write_out(lua_State *L)
{
  static const char *const kinds[] = {"execute", "unblock", NULL};
  da_world *w = da_probe_world(L);
  da_write write = {.table = DA_TABLE_OUT, .del = is_del(L, 6)};
  write.row.out = (da_message){.kind = (da_message_kind)luaL_checkoption(L, 2, NULL, kinds),
                               .id = da_probe_check_slice(L, 3),
                               .address = da_probe_check_slice(L, 4),
                               .version = luaL_optinteger(L, 5, 0)};
  return da_probe_write(L, w, &write);
}

/* put_bundle(bytes [, hash]): the hash used. */
static int store_put_bundle(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_slice bytes = da_probe_check_slice(L, 2);
  da_digest hash = da_hash128(bytes);
  if (!lua_isnoneornil(L, 3)) {
    da_slice given = da_probe_check_slice(L, 3);
    luaL_argcheck(L, given.len == sizeof hash.bytes, 3, "a hash has 16 bytes");
    memcpy(hash.bytes, given.ptr, sizeof hash.bytes);
  }
  da_status status = w->batch ? DA_OK : da_store_begin(w->store, &err);
  if (status == DA_OK) status = da_store_bundle_put(w->store, &hash, bytes, &err);
  if (!w->batch && status == DA_OK)
    status = da_store_commit(w->store, &err);
  else if (!w->batch)
    da_store_abort(w->store);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_pushlstring(L, (const char *)hash.bytes, sizeof hash.bytes);
  return 1;
}

/* write_live(id, key, value or nil) */
static int store_write_live(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_slice value = lua_isnoneornil(L, 4) ? DA_NONE : da_probe_check_slice(L, 4);
  da_status status = w->batch ? DA_OK : da_store_begin(w->store, &err);
  if (status == DA_OK)
    status = da_store_live_put(w->store, da_probe_check_slice(L, 2), da_probe_check_slice(L, 3), value, &err);
  if (!w->batch && status == DA_OK)
    status = da_store_commit(w->store, &err);
  else if (!w->batch)
    da_store_abort(w->store);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_pushboolean(L, 1);
  return 1;
}

static void push_live(void *user, da_slice key, da_slice value)
{
  lua_State *L = user;
  da_probe_push_slice(L, key);
  da_probe_push_slice(L, value);
  lua_rawset(L, -3);
}

/* live(id): key -> value */
static int store_live(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  lua_newtable(L);
  da_status status = da_store_live_scan(w->store, da_probe_check_slice(L, 2), push_live, L, &err);
  return status == DA_OK ? 1 : da_probe_fail(L, status, err.text);
}

static int store_get_bundle(lua_State *L)
{
  da_digest hash;
  da_slice bytes;
  da_world *w = da_probe_world(L);
  da_slice given = da_probe_check_slice(L, 2);
  luaL_argcheck(L, given.len == sizeof hash.bytes, 2, "a hash has 16 bytes");
  memcpy(hash.bytes, given.ptr, sizeof hash.bytes);
  int there = da_store_bundle_get(w->store, &hash, &w->arena, &bytes);
  if (there < 0) return da_probe_fail(L, (da_status)there, da_store_fault_words(w->store));
  if (there == 0) return 0;
  da_probe_push_slice(L, bytes);
  return 1;
}

static int store_seq(lua_State *L)
{
  da_world *w = da_probe_world(L);
  lua_pushinteger(L, (lua_Integer)da_store_seq(w->store));
  return 1;
}

static int store_set_seq(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  if (!w->batch) return luaL_error(L, "no batch is open");
  da_status status = da_store_set_seq(w->store, (uint64_t)luaL_checkinteger(L, 2), &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- scans --------------------------------------------------------------------------------------------- */

typedef struct scan {
  lua_State *L;
  lua_Integer count;
  lua_Integer limit; /* 0: none */
  bool records;      /* whole records, else ids */
} scan;

static bool scan_row(void *user, const da_promise *promise)
{
  scan *s = user;
  if (s->records)
    da_probe_push_record(s->L, promise);
  else
    da_probe_push_slice(s->L, promise->id);
  lua_rawseti(s->L, -2, ++s->count);
  return s->count != s->limit;
}

/* scan_execution(id [, limit]) -> records */
static int store_scan_execution(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_slice id = da_probe_check_slice(L, 2);
  scan s = {.L = L, .limit = luaL_optinteger(L, 3, 0), .records = true};
  lua_newtable(L);
  da_status status = da_store_scan_execution(w->store, id, &w->arena, scan_row, &s, &err);
  return status == DA_OK ? 1 : da_probe_fail(L, status, err.text);
}

/* scan_ids([prefix [, after [, limit]]]) -> ids */
static int store_scan_ids(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_slice prefix = lua_isnoneornil(L, 2) ? DA_NONE : da_probe_check_slice(L, 2);
  da_slice after = lua_isnoneornil(L, 3) ? DA_NONE : da_probe_check_slice(L, 3);
  scan s = {.L = L, .limit = luaL_optinteger(L, 4, 0)};
  lua_newtable(L);
  da_status status = da_store_scan_ids(w->store, prefix, after, &w->arena, scan_row, &s, &err);
  return status == DA_OK ? 1 : da_probe_fail(L, status, err.text);
}

/* ---- the snapshot -------------------------------------------------------------------------------------- */

/* Pushes an empty list and puts it under name in the table below. */
static void set_list(lua_State *L, const char *name)
{
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, name);
}

static void append(lua_State *L)
{
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void set_waits(lua_State *L, const char *name, const da_wait *waits, size_t count, const char *first,
                      const char *second)
{
  set_list(L, name);
  for (size_t i = 0; i < count; i++) {
    lua_newtable(L);
    da_probe_set_slice(L, first, waits[i].first);
    da_probe_set_slice(L, second, waits[i].second);
    append(L);
  }
  lua_pop(L, 1);
}

static void set_dues(lua_State *L, const char *name, const da_due *dues, size_t count)
{
  set_list(L, name);
  for (size_t i = 0; i < count; i++) {
    lua_newtable(L);
    da_probe_set_slice(L, "id", dues[i].id);
    da_probe_set_integer(L, "timeout", dues[i].at);
    if (dues[i].class_ != DA_DUE_DEADLINE) da_probe_set_integer(L, "type", dues[i].class_ == DA_DUE_RETRY ? 0 : 1);
    append(L);
  }
  lua_pop(L, 1);
}

static void set_records(lua_State *L, const da_snapshot *s)
{
  set_list(L, "promises");
  for (size_t i = 0; i < s->promise_count; i++) {
    da_probe_push_promise(L, &s->promises[i]);
    append(L);
  }
  lua_pop(L, 1);
  set_list(L, "tasks");
  for (size_t i = 0; i < s->task_count; i++) {
    da_probe_push_task(L, &s->tasks[i]);
    append(L);
  }
  lua_pop(L, 1);
  set_list(L, "schedules");
  for (size_t i = 0; i < s->schedule_count; i++) {
    da_probe_push_schedule(L, &s->schedules[i]);
    append(L);
  }
  lua_pop(L, 1);
}

static int store_snapshot(lua_State *L)
{
  da_err err;
  da_snapshot s;
  da_world *w = da_probe_world(L);
  (void)da_probe_enter(L, w);
  da_status status = da_store_snapshot(w->store, &w->arena, &s, &err);
  leave(w);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_newtable(L);
  set_records(L, &s);
  set_dues(L, "promiseTimeouts", s.deadlines, s.deadline_count);
  set_dues(L, "taskTimeouts", s.timers, s.timer_count);
  set_waits(L, "callbacks", s.callbacks, s.callback_count, "awaited", "awaiter");
  set_waits(L, "listeners", s.listeners, s.listener_count, "id", "address");
  da_probe_push_messages(L, s.messages, s.message_count);
  for (size_t i = 0; i < s.message_count; i++) {
    if (s.message_promises[i] == NULL) continue;
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    da_probe_push_promise(L, s.message_promises[i]);
    lua_setfield(L, -2, "promise");
    lua_pop(L, 1);
  }
  lua_setfield(L, -2, "messages");
  return 1;
}

static int store_reset(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_status status = w->batch ? DA_OK : da_store_begin(w->store, &err);
  if (status == DA_OK) status = da_store_reset(w->store, &err);
  if (!w->batch && status == DA_OK)
    status = da_store_commit(w->store, &err);
  else if (!w->batch)
    da_store_abort(w->store);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- counts and faults --------------------------------------------------------------------------------- */

static int store_stat(lua_State *L)
{
  da_err err;
  da_store_stats stats;
  da_world *w = da_probe_world(L);
  da_status status = da_store_stat(w->store, &stats, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_newtable(L);
  da_probe_set_integer(L, "promises", (int64_t)stats.promises);
  da_probe_set_integer(L, "tasks", (int64_t)stats.tasks);
  da_probe_set_integer(L, "waits", (int64_t)stats.waits);
  da_probe_set_integer(L, "dues", (int64_t)stats.dues);
  da_probe_set_integer(L, "outs", (int64_t)stats.outs);
  da_probe_set_integer(L, "bundles", (int64_t)stats.bundles);
  da_probe_set_integer(L, "schedules", (int64_t)stats.schedules);
  da_probe_set_integer(L, "file_bytes", (int64_t)stats.file_bytes);
  da_probe_set_integer(L, "rows_read", (int64_t)stats.rows_read);
  return 1;
}

static void report_fault(void *user, const char *what, da_slice id, const char *words)
{
  scan *s = user;
  lua_newtable(s->L);
  da_probe_set_slice(s->L, "what", da_slice_of(what));
  da_probe_set_slice(s->L, "id", id);
  da_probe_set_slice(s->L, "words", da_slice_of(words));
  lua_rawseti(s->L, -2, ++s->count);
}

static int store_verify(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  scan s = {.L = L};
  lua_newtable(L);
  int faults = da_store_verify(w->store, report_fault, &s, &err);
  if (faults < 0) return da_probe_fail(L, (da_status)faults, err.text);
  if (faults != (int)s.count) return luaL_error(L, "%d faults, %d reports", faults, (int)s.count);
  return 1;
}

static int store_secret(lua_State *L)
{
  uint8_t secret[16];
  da_world *w = da_probe_world(L);
  da_store_secret(w->store, secret);
  lua_pushlstring(L, (const char *)secret, sizeof secret);
  return 1;
}

const luaL_Reg da_probe_store_methods[] = {{"promise", store_promise},
                                           {"task", store_task},
                                           {"wait_has", store_wait_has},
                                           {"waits", store_waits},
                                           {"dues", store_dues},
                                           {"outbox", store_outbox},
                                           {"below", store_below},
                                           {"write_promise", store_write_promise},
                                           {"write_task", store_write_task},
                                           {"write_wait", store_write_wait},
                                           {"schedule", store_schedule},
                                           {"schedules", store_schedules},
                                           {"write_schedule", store_write_schedule},
                                           {"write_due", store_write_due},
                                           {"write_out", store_write_out},
                                           {"write_live", store_write_live},
                                           {"live", store_live},
                                           {"put_bundle", store_put_bundle},
                                           {"get_bundle", store_get_bundle},
                                           {"seq", store_seq},
                                           {"set_seq", store_set_seq},
                                           {"scan_execution", store_scan_execution},
                                           {"scan_ids", store_scan_ids},
                                           {"snapshot", store_snapshot},
                                           {"reset", store_reset},
                                           {"stat", store_stat},
                                           {"verify", store_verify},
                                           {"secret", store_secret},
                                           {NULL, NULL}};
