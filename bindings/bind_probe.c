/* bind_probe.c - for specs only: the engine and the store as a module for a stock lua5.4.
 *
 * Here:     da_probe.new{kind=, path=, profile=, local_target=} -> world, and what changes a world: requests, batches,
 *           sweeps, faults, closing and opening again. Reading is in bind_probe_store.c, bytes in bind_probe_raw.c.
 * May not:  be part of the program.
 * Answers:  world:apply(request, now) -> reply, messages. Without begin() each apply is a transaction, committed.
 *           An operation that fails answers nil, NAME, words ("EFULL", "storage full...").
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "bind_probe.h"

#include <stdlib.h>

#include "../host/engine/check.h"

#define WORLD "da.probe.world"

int luaopen_da_probe(lua_State *L);

int da_probe_fail(lua_State *L, da_status status, const char *words)
{
  lua_pushnil(L);
  lua_pushstring(L, da_status_name(status));
  lua_pushstring(L, words);
  return 3;
}

int da_probe_raise(lua_State *L, da_status status, const char *words)
{
  return luaL_error(L, "%s: %s", da_status_name(status), words);
}

da_world *da_probe_world(lua_State *L)
{
  da_world *w = luaL_checkudata(L, 1, WORLD);
  if (w->store == NULL) luaL_error(L, "the world is closed");
  da_arena_reset(&w->arena);
  return w;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static char *copy_field(lua_State *L, int table, const char *name)
{
  char *copy = NULL;
  if (lua_getfield(L, table, name) != LUA_TNIL) copy = da_xstrndup(da_probe_check_slice(L, -1));
  lua_pop(L, 1);
  return copy;
}

static bool field_is(lua_State *L, int table, const char *name, const char *text)
{
  const char *s = lua_getfield(L, table, name) != LUA_TNIL ? lua_tostring(L, -1) : NULL;
  bool same = s != NULL && strcmp(s, text) == 0;
  lua_pop(L, 1);
  return same;
}

static da_status open_store(da_world *w, da_err *err)
{
  if (w->path != NULL) return da_store_open(w->path, &w->options, &w->store, err);
  w->store = da_store_open_memory();
  return DA_OK;
}

static void read_options(lua_State *L, da_world *w)
{
  w->profile = da_profile_default;
  w->options = (da_store_options){.create = true};
  if (lua_isnoneornil(L, 1)) return;
  luaL_checktype(L, 1, LUA_TTABLE);
  w->local_target = copy_field(L, 1, "local_target");
  w->path = copy_field(L, 1, "path");
  w->options.read_only = lua_getfield(L, 1, "read_only") != LUA_TNIL && lua_toboolean(L, -1);
  w->options.create = lua_getfield(L, 1, "create") == LUA_TNIL || lua_toboolean(L, -1);
  if (lua_getfield(L, 1, "map_size") != LUA_TNIL) w->options.map_size = (size_t)luaL_checkinteger(L, -1);
  if (lua_getfield(L, 1, "profile") != LUA_TNIL) da_probe_read_profile(L, lua_gettop(L), &w->profile);
  lua_pop(L, 4);
  bool lmdb = field_is(L, 1, "kind", "lmdb");
  if (!lmdb && !field_is(L, 1, "kind", "memory") && !field_is(L, 1, "kind", ""))
    luaL_error(L, "kind is 'memory' or 'lmdb'");
  if (lmdb != (w->path != NULL)) luaL_error(L, "a store in LMDB, and only that, has a path");
}

static int probe_new(lua_State *L)
{
  da_err err;
  da_world *w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (da_world){0};
  luaL_setmetatable(L, WORLD);
  read_options(L, w);
  da_status status = open_store(w, &err);
  return status == DA_OK ? 1 : da_probe_fail(L, status, err.text);
}

static void close_store(da_world *w)
{
  da_store_close(w->store);
  w->store = NULL;
  w->batch = false;
}

static int world_close(lua_State *L)
{
  da_world *w = luaL_checkudata(L, 1, WORLD);
  close_store(w);
  return 0;
}

static int world_gc(lua_State *L)
{
  da_world *w = luaL_checkudata(L, 1, WORLD);
  close_store(w);
  da_arena_free(&w->arena);
  free(w->path);
  free(w->local_target);
  *w = (da_world){0};
  return 0;
}

/* Closes and opens again. A store in memory stays: what was not committed goes, as on disk. */
static int world_reopen(lua_State *L)
{
  da_err err;
  da_world *w = luaL_checkudata(L, 1, WORLD);
  if (w->path == NULL) {
    if (w->batch) da_store_abort(w->store);
    w->batch = false;
    lua_pushvalue(L, 1);
    return 1;
  }
  close_store(w);
  da_status status = open_store(w, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_pushvalue(L, 1);
  return 1;
}

/* ---- batches ------------------------------------------------------------------------------------------- */

static int world_begin(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  if (w->batch) return luaL_error(L, "a batch is open");
  da_status status = da_store_begin(w->store, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  w->batch = true;
  lua_pushboolean(L, 1);
  return 1;
}

static int world_commit(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  if (!w->batch) return luaL_error(L, "no batch is open");
  w->batch = false;
  da_status status = da_store_commit(w->store, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_pushboolean(L, 1);
  return 1;
}

static int world_abort(lua_State *L)
{
  da_world *w = da_probe_world(L);
  if (!w->batch) return luaL_error(L, "no batch is open");
  w->batch = false;
  da_store_abort(w->store);
  return 0;
}

static int world_dirty(lua_State *L)
{
  da_world *w = da_probe_world(L);
  lua_pushboolean(L, da_store_dirty(w->store));
  return 1;
}

static int world_backup(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  da_status status = da_store_backup(w->store, luaL_checkstring(L, 2), &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  lua_pushboolean(L, 1);
  return 1;
}

static int world_fail_commit(lua_State *L)
{
  da_world *w = da_probe_world(L);
  int nth = (int)luaL_checkinteger(L, 2);
  const char *name = luaL_optstring(L, 3, "EIO");
  static const da_status statuses[] = {
#define X(value, text, sentence) DA_##text,
      DA_STATUS_MAP(X)
#undef X
  };
  for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
    if (strcmp(name, da_status_name(statuses[i])) != 0) continue;
    da_store_fail_commit(w->store, nth, statuses[i]);
    return 0;
  }
  return luaL_error(L, "no such status: %s", name);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

static da_status write_all(da_world *w, const da_outcome *out, da_err *err)
{
  da_status status = DA_OK;
  for (size_t i = 0; i < out->write_count && status == DA_OK; i++)
    status = da_store_write(w->store, &out->writes[i], err);
  return status;
}

/* One request in the open transaction. */
static da_status apply(da_world *w, const da_request *request, int64_t now, da_outcome *out, da_err *err)
{
  const da_slice local = da_slice_of(w->local_target);
  da_engine_env env = {.now_ms = now,
                       .next_seq = da_store_seq(w->store),
                       .profile = &w->profile,
                       .local_targets = &local,
                       .local_target_count = w->local_target != NULL ? 1 : 0};
  *out = (da_outcome){0};
  da_status status = da_engine_apply(&env, da_store_view(w->store), request, &w->arena, out);
  if (status != DA_OK && out->damage.len != 0) return da_fail(err, status, "%.*s", DA_FMT(out->damage));
  if (status != DA_OK) return da_fail(err, status, "%s", da_store_fault_words(w->store));
  status = da_probe_check_apply(w, request, out, err);
  if (status == DA_OK) status = write_all(w, out, err);
  return status == DA_OK ? da_store_set_seq(w->store, env.next_seq, err) : status;
}

da_status da_probe_apply(da_world *w, const da_request *request, int64_t now, da_outcome *out, da_err *err)
{
  if (!w->batch) {
    da_status begun = da_store_begin(w->store, err);
    if (begun != DA_OK) return begun;
  }
  da_status status = apply(w, request, now, out, err);
  if (status == DA_OK) return w->batch ? DA_OK : da_store_commit(w->store, err);
  da_store_abort(w->store);
  w->batch = false;
  return status;
}

/* A search in as many turns as it takes. */
static int answer(lua_State *L, da_world *w, da_request *request, int64_t now, da_slice corr_id)
{
  da_err err;
  da_outcome out = {0};
  da_status status;
  do {
    status = da_probe_apply(w, request, now, &out, &err);
    request->search = out.reply.search;
  } while (status == DA_OK && request->search != NULL);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  da_probe_push_reply(L, request, &out.reply, corr_id);
  da_probe_push_messages(L, out.messages, out.message_count);
  return 2;
}

static int refuse(lua_State *L, const char *words)
{
  lua_newtable(L);
  da_probe_set_integer(L, "status", 400);
  da_probe_set_slice(L, "data", da_slice_of(words));
  lua_newtable(L);
  return 2;
}

static int world_apply(lua_State *L)
{
  da_request request;
  da_world *w = da_probe_world(L);
  int64_t now = luaL_checkinteger(L, 3);
  const char *fault = da_probe_read_request(L, 2, &w->arena, &request);
  if (fault != NULL) return refuse(L, fault);
  da_slice corr_id = DA_NONE;
  if (lua_getfield(L, 2, "head") == LUA_TTABLE && lua_getfield(L, -1, "corrId") == LUA_TSTRING)
    corr_id = da_probe_check_slice(L, -1);
  return answer(L, w, &request, now, corr_id);
}

static int world_sweep(lua_State *L)
{
  da_world *w = da_probe_world(L);
  da_request request = {.kind = DA_REQ_SWEEP, .fires = true, .limit = (size_t)luaL_optinteger(L, 3, 0)};
  return answer(L, w, &request, luaL_checkinteger(L, 2), DA_NONE);
}

static int world_claim(lua_State *L)
{
  da_world *w = da_probe_world(L);
  da_request request = {.kind = DA_REQ_CLAIM, .limit = (size_t)luaL_optinteger(L, 2, 0)};
  return answer(L, w, &request, luaL_checkinteger(L, 3), DA_NONE);
}

/* The whole walk, page by page. Answers the last page's reply and the messages of all. */
static int world_recover(lua_State *L)
{
  da_err err;
  da_outcome out;
  da_world *w = da_probe_world(L);
  int64_t now = luaL_checkinteger(L, 3);
  da_request request = {.kind = DA_REQ_RECOVER, .pid = da_probe_check_slice(L, 2)};
  request.limit = (size_t)luaL_optinteger(L, 4, 0);
  lua_newtable(L);
  int messages = lua_gettop(L);
  lua_Integer count = 0;
  do {
    da_status status = da_probe_apply(w, &request, now, &out, &err);
    if (status != DA_OK) return da_probe_fail(L, status, err.text);
    da_probe_push_messages(L, out.messages, out.message_count);
    for (lua_Integer i = 1; i <= (lua_Integer)out.message_count; i++) {
      lua_rawgeti(L, -1, i);
      lua_rawseti(L, messages, ++count);
    }
    lua_pop(L, 1);
    request.after = out.reply.cursor;
  } while (out.reply.more);
  da_probe_push_reply(L, &request, &out.reply, DA_NONE);
  lua_pushvalue(L, messages);
  return 2;
}

/* ---- checks -------------------------------------------------------------------------------------------- */

typedef struct checks {
  lua_State *L;
  lua_Integer count;
  da_arena *arena;
  da_slice *ids; /* of promises; then of queues, their names */
  size_t id_count;
  size_t id_cap;
} checks;

static void report_broken(void *user, const char *property, da_slice id, const char *words)
{
  checks *c = user;
  lua_newtable(c->L);
  da_probe_set_slice(c->L, "property", da_slice_of(property));
  da_probe_set_slice(c->L, "id", id);
  da_probe_set_slice(c->L, "words", da_slice_of(words));
  lua_rawseti(c->L, -2, ++c->count);
}

static void collect(checks *c, da_slice id)
{
  if (c->id_count == c->id_cap) {
    size_t cap = c->id_cap != 0 ? c->id_cap * 2 : 64;
    da_slice *ids = da_arena_alloc(c->arena, cap * sizeof *ids);
    if (c->id_count != 0) memcpy(ids, c->ids, c->id_count * sizeof *ids);
    c->ids = ids;
    c->id_cap = cap;
  }
  c->ids[c->id_count++] = id;
}

static bool collect_id(void *user, const da_promise *promise)
{
  collect(user, promise->id);
  return true;
}

static bool collect_queue(void *user, const da_queue *queue)
{
  collect(user, queue->name);
  return true;
}

static int check_all(da_world *w, checks *c, int64_t now, da_err *err)
{
  da_status status = da_store_scan_ids(w->store, DA_NONE, DA_NONE, c->arena, collect_id, c, err);
  if (status != DA_OK) return status;
  size_t promises = c->id_count;
  status = da_store_scan_queues(w->store, c->arena, collect_queue, c, err);
  if (status != DA_OK) return status;
  da_arena each = {0};
  da_view *view = da_store_view(w->store);
  int broken = 0;
  for (size_t i = 0; i < c->id_count && broken >= 0; i++) {
    da_arena_reset(&each);
    broken = i < promises ? da_check_promise(view, &w->profile, c->ids[i], now, &each, report_broken, c)
                          : da_check_queue(view, c->ids[i], now, &each, report_broken, c);
  }
  da_schedule s = {0};
  int there = 0;
  while (broken >= 0 && (there = view->ops->schedule_next(view, s.id, c->arena, &s)) > 0)
    broken = da_check_schedule(view, s.id, now, c->arena, report_broken, c);
  if (there < 0) broken = there;
  da_arena_free(&each);
  if (broken < 0) return da_fail(err, (da_status)broken, "%s", da_store_fault_words(w->store));
  return DA_OK;
}

static int world_check(lua_State *L)
{
  da_err err;
  da_world *w = da_probe_world(L);
  int64_t now = luaL_checkinteger(L, 2);
  lua_settop(L, 2);
  lua_newtable(L);
  checks c = {.L = L, .arena = &w->arena};
  da_status status = w->batch ? DA_OK : da_store_begin(w->store, &err);
  if (status != DA_OK) return da_probe_fail(L, status, err.text);
  int checked = check_all(w, &c, now, &err);
  if (!w->batch) da_store_abort(w->store);
  return checked == DA_OK ? 1 : da_probe_fail(L, (da_status)checked, err.text);
}

/* ---- the module ---------------------------------------------------------------------------------------- */

static int probe_holder(lua_State *L)
{
  lua_pushinteger(L, da_store_holder(luaL_checkstring(L, 1)));
  return 1;
}

static const luaL_Reg world_methods[] = {{"apply", world_apply},
                                         {"sweep", world_sweep},
                                         {"claim", world_claim},
                                         {"recover", world_recover},
                                         {"begin", world_begin},
                                         {"commit", world_commit},
                                         {"abort", world_abort},
                                         {"dirty", world_dirty},
                                         {"fail_commit", world_fail_commit},
                                         {"backup", world_backup},
                                         {"check", world_check},
                                         {"close", world_close},
                                         {"reopen", world_reopen},
                                         {NULL, NULL}};

static const luaL_Reg probe_functions[] = {{"new", probe_new}, {"holder", probe_holder}, {NULL, NULL}};

/* What is compiled again for each planted fault has no need of the net, nor of its libraries. */
static void open_net(lua_State *L)
{
#ifdef DA_PROBE_WITHOUT_NET
  (void)L;
#else
  luaL_getmetatable(L, WORLD);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, da_probe_envelope_methods, 0);
  lua_pop(L, 2);
  luaL_setfuncs(L, da_probe_envelope_functions, 0);
  luaL_setfuncs(L, da_probe_client_functions, 0);
  luaL_setfuncs(L, da_probe_http_functions, 0);
  luaL_setfuncs(L, da_probe_tls_functions, 0);
  da_probe_open_auth(L);
#endif
}

int luaopen_da_probe(lua_State *L)
{
  luaL_newmetatable(L, WORLD);
  lua_pushcfunction(L, world_gc);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  luaL_setfuncs(L, world_methods, 0);
  luaL_setfuncs(L, da_probe_store_methods, 0);
  luaL_setfuncs(L, da_probe_raw_methods, 0);
  luaL_setfuncs(L, da_probe_queue_methods, 0);
  luaL_setfuncs(L, da_probe_image_methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, probe_functions);
  luaL_setfuncs(L, da_probe_raw_functions, 0);
  luaL_setfuncs(L, da_probe_check_functions, 0);
  luaL_setfuncs(L, da_probe_base_functions, 0);
  open_net(L);
  return 1;
}
