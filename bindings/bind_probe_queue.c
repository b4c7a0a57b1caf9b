/* bind_probe_queue.c - queues of a store as Lua tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind_probe.h"

static bool add_name(void *user, const da_queue *queue)
{
  lua_State *L = user;
  da_probe_push_slice(L, queue->name);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  return true;
}

/* queues() -> names */
static int world_queues(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  lua_newtable(L);
  da_status status = da_store_scan_queues(w->store, &w->arena, add_name, L, &err);
  return status == DA_OK ? 1 : da_probe_fail(L, status, err.text);
}

static void push_row(lua_State *L, const da_queue_row *row)
{
  static const char *const states[] = {"waiting", "granted", "sent", "inbox"};
  lua_newtable(L);
  da_probe_set_integer(L, "seq", (int64_t)row->seq);
  if (row->kind == DA_QUEUE_TOKEN && row->value.has_data) da_probe_set_slice(L, "data", row->value.data);
  if (row->kind == DA_QUEUE_TOKEN && !row->value.has_data) da_probe_set_integer(L, "at", row->at);
  if (row->kind == DA_QUEUE_TOKEN) return;
  da_probe_set_slice(L, "owner", row->owner);
  da_probe_set_slice(L, "id", row->id);
  if (row->kind != DA_QUEUE_HOLD) return;
  da_probe_set_slice(L, "name", row->name);
  da_probe_set_slice(L, "state", da_slice_of(states[row->state]));
}

/* The rows behind `at` as a list. */
static int push_rows(lua_State *L, da_view *view, da_arena *arena, da_queue_row at)
{
  int there;
  lua_newtable(L);
  while ((there = view->ops->queue_next(view, &at, arena, &at)) > 0) {
    push_row(L, &at);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  return there;
}

/* queue(name) -> {kind=, limit=, per=, held=, due=, messages or grants = {...}, places = {...}}, or nothing */
static int world_queue(lua_State *L)
{
  da_queue q;
  da_world *w = da_probe_world(L);
  da_slice name = da_probe_check_slice(L, 2);
  da_view *view = da_probe_enter(L, w);
  int there = view->ops->queue(view, name, &w->arena, &q);
  if (there > 0) {
    lua_newtable(L);
    da_probe_set_slice(L, "kind", da_slice_of(da_queue_kind_name(q.kind)));
    da_probe_set_integer(L, "limit", q.limit);
    da_probe_set_integer(L, "per", q.per_ms);
    da_probe_set_integer(L, "held", (int64_t)q.held);
    da_probe_set_integer(L, "due", q.due_at);
    there = push_rows(L, view, &w->arena, (da_queue_row){.kind = DA_QUEUE_TOKEN, .name = name});
    lua_setfield(L, -2, "tokens");
    if (there == 0) there = push_rows(L, view, &w->arena, (da_queue_row){.kind = DA_QUEUE_PLACE, .name = name});
    lua_setfield(L, -2, "places");
    if (there == 0) there = 1;
  }
  return da_probe_leave(L, w, there) == 0 ? 0 : 1;
}

/* holds(owner) -> list */
static int world_holds(lua_State *L)
{
  da_world *w = da_probe_world(L);
  da_slice owner = da_probe_check_slice(L, 2);
  da_view *view = da_probe_enter(L, w);
  int there = push_rows(L, view, &w->arena, (da_queue_row){.kind = DA_QUEUE_HOLD, .owner = owner});
  (void)da_probe_leave(L, w, there);
  return 1;
}

/* The integer member of the table at index, if it is there. */
static void change(lua_State *L, int index, const char *key, int64_t *member)
{
  if (lua_getfield(L, index, key) != LUA_TNIL) *member = luaL_checkinteger(L, -1);
  lua_pop(L, 1);
}

/* write_queue(name, {limit=, tokens=, places=, held=, due=}): the record with some members changed */
static int world_write_queue(lua_State *L)
{
  da_queue q;
  da_world *w = da_probe_world(L);
  da_view *view = da_probe_enter(L, w);
  int there = da_probe_leave(L, w, view->ops->queue(view, da_probe_check_slice(L, 2), &w->arena, &q));
  luaL_argcheck(L, there > 0, 2, "no such queue");
  int64_t tokens = (int64_t)q.tokens, places = (int64_t)q.places, held = (int64_t)q.held;
  change(L, 3, "limit", &q.limit);
  change(L, 3, "tokens", &tokens);
  change(L, 3, "places", &places);
  change(L, 3, "held", &held);
  change(L, 3, "due", &q.due_at);
  q.tokens = (uint64_t)tokens;
  q.places = (uint64_t)places;
  q.held = (uint64_t)held;
  da_write write = {.table = DA_TABLE_QUEUE, .row.queue = &q};
  return da_probe_write(L, w, &write);
}

/* write_grant(name, seq, at): the instant of a grant; del_hold(owner, id) */
static int world_write_grant(lua_State *L)
{
  da_queue_row row = {.kind = DA_QUEUE_TOKEN, .name = da_probe_check_slice(L, 2)};
  row.seq = (uint64_t)luaL_checkinteger(L, 3);
  row.at = luaL_checkinteger(L, 4);
  da_write write = {.table = DA_TABLE_QUEUE_ROW, .row.queue_row = &row};
  return da_probe_write(L, da_probe_world(L), &write);
}

static int world_del_hold(lua_State *L)
{
  da_queue_row row = {.kind = DA_QUEUE_HOLD, .owner = da_probe_check_slice(L, 2), .id = da_probe_check_slice(L, 3)};
  da_write write = {.table = DA_TABLE_QUEUE_ROW, .del = true, .row.queue_row = &row};
  return da_probe_write(L, da_probe_world(L), &write);
}

const luaL_Reg da_probe_queue_methods[] = {{"queues", world_queues},
                                           {"queue", world_queue},
                                           {"holds", world_holds},
                                           {"write_queue", world_write_queue},
                                           {"write_grant", world_write_grant},
                                           {"del_hold", world_del_hold},
                                           {NULL, NULL}};
