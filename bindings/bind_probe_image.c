/* bind_probe_image.c - images of a store, and what lies behind them, as Lua values.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "bind_probe.h"

/* ---- writes: true, or nil, NAME, words ----------------------------------------------------------------- */

static da_status enter(da_world *w, da_err *err)
{
  return w->batch ? DA_OK : da_store_begin(w->store, err);
}

/* Ends what enter() began. */
static int finish(lua_State *L, da_world *w, da_status status, da_err *err)
{
  if (!w->batch && status == DA_OK)
    status = da_store_commit(w->store, err);
  else if (!w->batch)
    da_store_abort(w->store);
  if (status != DA_OK) return da_probe_fail(L, status, err->text);
  lua_pushboolean(L, 1);
  return 1;
}

/* image_put(id, bytes, reach) */
static int image_put(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_slice id = da_probe_check_slice(L, 2), bytes = da_probe_check_slice(L, 3);
  uint64_t reach = (uint64_t)luaL_checkinteger(L, 4);
  luaL_argcheck(L, bytes.len > 0 && bytes.len <= DA_STORE_IMAGE_MAX, 3, "no image has that length");
  da_status status = enter(w, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  return finish(L, w, da_store_image_put(w->store, id, bytes, reach, &err), &err);
}

/* image_reach(id, reach) */
static int image_reach(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_slice id = da_probe_check_slice(L, 2);
  uint64_t reach = (uint64_t)luaL_checkinteger(L, 3);
  da_status status = enter(w, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  return finish(L, w, da_store_image_reach(w->store, id, reach, &err), &err);
}

/* image_drop(id); drop(id): the promise with all that is its own */
static int drop(lua_State *L, da_status (*call)(da_store *store, da_slice id, da_err *err))
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_slice id = da_probe_check_slice(L, 2);
  da_status status = enter(w, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  return finish(L, w, call(w->store, id, &err), &err);
}

static int image_drop(lua_State *L)
{
  return drop(L, da_store_image_drop);
}

static int promise_drop(lua_State *L)
{
  return drop(L, da_store_drop);
}

/* ---- reads --------------------------------------------------------------------------------------------- */

/* image_get(id) -> bytes, reach; nil if there is none; or nil, NAME, words */
static int image_get(lua_State *L)
{
  da_slice bytes;
  uint64_t reach;
  da_world *w = da_probe_world(L);
  da_slice id = da_probe_check_slice(L, 2);
  (void)da_probe_enter(L, w);
  int there = da_store_image_get(w->store, id, &w->arena, &bytes, &reach);
  if (!w->batch) da_store_abort(w->store);
  if (there < 0) return da_probe_fail(L, (da_status)there, da_status_text((da_status)there));
  if (there == 0) return 0;
  da_probe_push_slice(L, bytes);
  lua_pushinteger(L, (lua_Integer)reach);
  return 2;
}

/* names[name] = count of the scope on top of the stack */
static void read_names(lua_State *L, da_arena *arena, da_tail_scope *scope)
{
  size_t count = 0;
  luaL_checktype(L, -1, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) count++;
  da_tail_name *names = da_arena_zalloc(arena, (count + 1) * sizeof *names);
  scope->names = names;
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING, 2, "a name is a string");
    names[scope->name_count++] =
        (da_tail_name){.name = da_arena_dup(arena, da_probe_check_slice(L, lua_absindex(L, -2))),
                       .count = (uint64_t)luaL_checkinteger(L, -1)};
  }
}

static size_t open_list(lua_State *L, const char *key)
{
  (void)lua_getfield(L, 2, key);
  luaL_checktype(L, -1, LUA_TTABLE);
  return (size_t)lua_rawlen(L, -1);
}

/* All but `known`, whose ids it returns: a table of them would be lost if something raised. */
static da_slice *read_tail(lua_State *L, da_arena *arena, da_tail *out, size_t *known)
{
  luaL_checktype(L, 2, LUA_TTABLE);
  out->scope_count = open_list(L, "scopes");
  luaL_argcheck(L, out->scope_count > 0, 2, "there is no scope");
  da_tail_scope *scopes = da_arena_zalloc(arena, out->scope_count * sizeof *scopes);
  out->scopes = scopes;
  for (size_t i = 0; i < out->scope_count; i++) {
    (void)lua_rawgeti(L, -1, (lua_Integer)i + 1);
    (void)lua_getfield(L, -1, "id");
    scopes[i].id = da_arena_dup(arena, da_probe_check_slice(L, lua_absindex(L, -1)));
    (void)lua_getfield(L, -2, "names");
    read_names(L, arena, &scopes[i]);
    lua_pop(L, 3);
  }
  *known = open_list(L, "known");
  da_slice *ids = da_arena_zalloc(arena, (*known + 1) * sizeof *ids);
  for (size_t i = 0; i < *known; i++) {
    (void)lua_rawgeti(L, -1, (lua_Integer)i + 1);
    ids[i] = da_arena_dup(arena, da_probe_check_slice(L, lua_absindex(L, -1)));
    lua_pop(L, 1);
  }
  (void)lua_getfield(L, 2, "calls");
  out->calls = (uint64_t)luaL_checkinteger(L, -1);
  lua_pop(L, 3);
  return ids;
}

typedef struct found {
  da_slice *ids; /* grows; the texts live in the arena */
  size_t count, cap;
} found;

static bool keep_id(void *user, const da_promise *promise)
{
  found *f = user;
  if (f->count == f->cap) {
    f->cap = 2 * f->cap + 16;
    f->ids = da_xrealloc(f->ids, f->cap * sizeof *f->ids);
  }
  f->ids[f->count++] = promise->id;
  return true;
}

/* scan_tail{scopes = {{id=, names = {name = count}}, ...}, known = {id, ...}, calls=} -> ids */
static int scan_tail(lua_State *L)
{
  static char there;
  da_err err;
  da_table known = {0};
  da_tail tail = {.known = &known};
  found f = {0};
  size_t count;
  da_world *w = da_probe_world(L);
  lua_settop(L, 2);
  const da_slice *ids = read_tail(L, &w->arena, &tail, &count);
  (void)da_probe_enter(L, w);
  for (size_t i = 0; i < count; i++) (void)da_table_put(&known, ids[i], &there);
  da_status status = da_store_scan_tail(w->store, &tail, &w->arena, keep_id, &f, &err);
  if (!w->batch) da_store_abort(w->store);
  da_table_free(&known);
  lua_createtable(L, (int)f.count, 0);
  for (size_t i = 0; i < f.count; i++) {
    da_probe_push_slice(L, f.ids[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  free(f.ids);
  return status == DA_OK ? 1 : da_probe_fail(L, status, err.text);
}

const luaL_Reg da_probe_image_methods[] = {{"image_put", image_put},
                                           {"image_reach", image_reach},
                                           {"image_drop", image_drop},
                                           {"image_get", image_get},
                                           {"drop", promise_drop},
                                           {"scan_tail", scan_tail},
                                           {NULL, NULL}};
