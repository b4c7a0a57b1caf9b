/* bind_probe_raw.c - keys and records as bytes: what codec and key are given, what lies in the tables, damage on
 * demand. SPDX-License-Identifier: Apache-2.0 */
#include "../host/base/id.h"
#include "../host/store/rows.h"
#include "bind_probe.h"

/* ---- rows as they lie ---------------------------------------------------------------------------------- */

static da_kv_table table_arg(lua_State *L, int index)
{
  const char *name = luaL_checkstring(L, index);
  for (int i = 0; i < DA_KV_TABLES; i++)
    if (strcmp(da_kv_name((da_kv_table)i), name) == 0) return (da_kv_table)i;
  luaL_error(L, "no table %s", name);
  return DA_KV_META;
}

/* rows(table) -> list of {key, value} */
static int raw_rows(lua_State *L)
{
  da_err err;
  da_visit inside;
  da_slice key;
  da_slice value;
  da_world *w = da_probe_world(L);
  da_kv_table table = table_arg(L, 2);
  da_status status = da_store_enter(w->store, &inside, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_newtable(L);
  int there = da_rows_seek(w->store, table, DA_LIT("\0"), &key, &value);
  for (lua_Integer i = 1; there > 0; i++) {
    lua_createtable(L, 2, 0);
    da_probe_push_slice(L, key);
    lua_rawseti(L, -2, 1);
    da_probe_push_slice(L, value);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, i);
    there = da_rows_next(w->store, table, &key, &value);
  }
  da_store_leave(w->store, &inside);
  return there < 0 ? da_probe_fail(L, (da_status)there, da_store_fault_words(w->store)) : 1;
}

/* Puts or deletes (no value) a row behind the store's back. */
static int raw_poke(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_kv_table table = table_arg(L, 2);
  da_slice key = da_probe_check_slice(L, 3);
  da_status status = w->batch ? DA_OK : da_store_begin(w->store, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  int done = lua_isnoneornil(L, 4) ? da_rows_del(w->store, table, key)
                                   : da_rows_put(w->store, table, key, da_probe_check_slice(L, 4));
  if (!w->batch) status = da_store_commit(w->store, &err);
  if (done < 0 || status != DA_OK) return luaL_error(L, "the row could not be changed");
  lua_pushinteger(L, done);
  return 1;
}

/* ---- codec --------------------------------------------------------------------------------------------- */

static int failed(lua_State *L, da_status status)
{
  return da_probe_fail(L, status, da_status_text(status));
}

/* encode_promise(record [, text]) -> bytes */
static int raw_encode_promise(lua_State *L)
{
  da_promise promise;
  da_arena arena = {0};
  da_buf out = {0};
  da_probe_read_promise(L, 1, &arena, &promise);
  da_codec_promise_put(&out, &promise, lua_isnoneornil(L, 2) ? DA_NONE : da_probe_check_slice(L, 2), NULL);
  da_probe_push_slice(L, da_buf_slice(&out));
  da_buf_free(&out);
  da_arena_free(&arena);
  return 1;
}

/* decode_promise(bytes, id) -> record, text, param bytes in blob, value bytes in blob; or nil, NAME, words */
static int raw_decode_promise(lua_State *L)
{
  da_promise promise;
  da_promise_head head;
  da_arena arena = {0};
  da_slice bytes = da_probe_check_slice(L, 1);
  da_status status = da_codec_promise_head(bytes, &head);
  if (status == DA_OK && head.anchor) {
    lua_pushliteral(L, "anchor");
    da_probe_push_slice(L, head.text);
    return 2;
  }
  if (status == DA_OK) status = da_codec_promise_get(bytes, da_probe_check_slice(L, 2), NULL, &arena, &promise);
  if (status != DA_OK) {
    da_arena_free(&arena);
    return failed(L, status);
  }
  if (promise.param.data.ptr == NULL) promise.param.data = DA_NONE; /* its bytes are elsewhere */
  if (promise.value.data.ptr == NULL) promise.value.data = DA_NONE;
  da_probe_push_record(L, &promise);
  da_probe_push_slice(L, head.text);
  lua_pushinteger(L, (lua_Integer)head.param_bytes);
  lua_pushinteger(L, (lua_Integer)head.value_bytes);
  da_arena_free(&arena);
  return 4;
}

/* encode_task(record [, text]) -> bytes */
static int raw_encode_task(lua_State *L)
{
  da_task task;
  da_buf out = {0};
  da_probe_read_task(L, 1, &task);
  da_codec_task_put(&out, &task, lua_isnoneornil(L, 2) ? DA_NONE : da_probe_check_slice(L, 2));
  da_probe_push_slice(L, da_buf_slice(&out));
  da_buf_free(&out);
  return 1;
}

/* decode_task(bytes) -> record, text */
static int raw_decode_task(lua_State *L)
{
  da_task task;
  da_slice text;
  da_arena arena = {0};
  da_status status = da_codec_task_get(da_probe_check_slice(L, 1), &arena, &task, &text);
  if (status != DA_OK) {
    da_arena_free(&arena);
    return failed(L, status);
  }
  da_probe_push_task(L, &task);
  if (task.ttl != 0) da_probe_set_integer(L, "ttl", task.ttl);
  if (task.pid.len != 0) da_probe_set_slice(L, "pid", task.pid);
  if (task.timer_at != 0) da_probe_set_integer(L, "timerAt", task.timer_at);
  da_arena_free(&arena);
  da_probe_push_slice(L, text);
  return 2;
}

/* decode_other(kind, bytes): does it decode at all? For fuzzing: out.execute, out.unblock, bundle, counters. */
static int raw_decode_other(lua_State *L)
{
  static const char *const kinds[] = {"execute", "unblock", "bundle", "queue", "queue_row", "counters", NULL};
  da_slice bytes = da_probe_check_slice(L, 2);
  da_message message;
  da_slice text;
  size_t len;
  da_counters counters;
  da_queue queue;
  da_queue_row row;
  da_arena arena = {0};
  da_status status = DA_OK;
  switch (luaL_checkoption(L, 1, NULL, kinds)) {
  case 0:
    status = da_codec_out_get(bytes, DA_EXECUTE, &message, &text);
    break;
  case 1:
    status = da_codec_out_get(bytes, DA_UNBLOCK, &message, &text);
    break;
  case 2:
    status = da_codec_bundle_get(bytes, &len, &text);
    break;
  case 3:
    status = da_codec_queue_get(bytes, &queue);
    break;
  case 4:
    status = da_codec_queue_row_get(bytes, &arena, &row);
    da_arena_free(&arena);
    break;
  default:
    status = da_codec_counters_get(bytes, &counters);
  }
  if (status != DA_OK) return failed(L, status);
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- keys ---------------------------------------------------------------------------------------------- */

static int raw_number(lua_State *L)
{
  uint8_t bytes[DA_VARINT_MAX];
  size_t len = da_varint_put(bytes, (uint64_t)luaL_checkinteger(L, 1));
  lua_pushlstring(L, (const char *)bytes, len);
  return 1;
}

/* read_number(bytes) -> number, bytes used; or nothing */
static int raw_read_number(lua_State *L)
{
  uint64_t number;
  da_slice s = da_probe_check_slice(L, 1);
  const uint8_t *begin = (const uint8_t *)s.ptr;
  const uint8_t *at = begin;
  if (!da_varint_get(&at, begin + s.len, &number)) return 0;
  lua_pushinteger(L, (lua_Integer)number);
  lua_pushinteger(L, (lua_Integer)(at - begin));
  return 2;
}

/* key(id, root number [, seed]) -> bytes */
static int raw_key(lua_State *L)
{
  da_key key;
  da_slice rest = da_id_rest(da_probe_check_slice(L, 1));
  da_key_id(&key, (uint64_t)luaL_checkinteger(L, 2), rest, (uint64_t)luaL_optinteger(L, 3, 0));
  da_probe_push_slice(L, da_key_slice(&key));
  return 1;
}

/* key_fits(table, bytes): does it read as a key of that table? */
static int raw_key_fits(lua_State *L)
{
  da_slice key = da_probe_check_slice(L, 2);
  da_id_key id;
  da_wait_key wait;
  da_out_key out;
  da_live_key live;
  da_queue_key queue;
  da_due_class class_;
  int64_t at;
  uint8_t which;
  uint16_t piece;
  da_slice owner;
  bool fits = false;
  switch (table_arg(L, 1)) {
  case DA_KV_ROOT:
  case DA_KV_PROM:
  case DA_KV_TASK:
    fits = da_key_id_get(key, &id);
    break;
  case DA_KV_DUE:
    fits = da_key_due_get(key, false, &class_, &at, &id);
    break;
  case DA_KV_TIMER:
    fits = da_key_due_get(key, true, &class_, &at, &id);
    break;
  case DA_KV_CALLBACK:
    fits = da_key_wait_get(key, false, DA_WAIT_CALLBACK, &wait);
    break;
  case DA_KV_AWAIT:
    fits = da_key_wait_get(key, false, DA_WAIT_AWAITED, &wait);
    break;
  case DA_KV_WAIT:
    fits = da_key_wait_get(key, true, DA_WAIT_RESUME, &wait);
    break;
  case DA_KV_OUT:
    fits = da_key_out_get(key, &out);
    break;
  case DA_KV_LIVE:
    fits = da_key_live_get(key, &live);
    break;
  case DA_KV_QUEUE:
    fits = da_key_queue_get(key, &queue);
    break;
  case DA_KV_BLOB:
    fits = da_key_blob_get(key, &owner, &which, &piece);
    break;
  case DA_KV_META:
  case DA_KV_WORD:
  case DA_KV_IDS:
  case DA_KV_SCHED:
  case DA_KV_BUNDLE:
  case DA_KV_IMAGE:
  case DA_KV_GC:
  case DA_KV_TABLES:
    return luaL_error(L, "the keys of this table have no form");
  }
  lua_pushboolean(L, fits);
  return 1;
}

const luaL_Reg da_probe_raw_methods[] = {{"rows", raw_rows}, {"poke", raw_poke}, {NULL, NULL}};

const luaL_Reg da_probe_raw_functions[] = {{"encode_promise", raw_encode_promise},
                                           {"decode_promise", raw_decode_promise},
                                           {"encode_task", raw_encode_task},
                                           {"decode_task", raw_decode_task},
                                           {"decode_other", raw_decode_other},
                                           {"number", raw_number},
                                           {"read_number", raw_read_number},
                                           {"key", raw_key},
                                           {"key_fits", raw_key_fits},
                                           {NULL, NULL}};
