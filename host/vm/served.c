/* served.c - scripts a worker knows: loaded once to learn their functions, kept in the store, found again by their
 * hash.
 *
 * The first load of a script happens here, in an isolate that goes afterwards; those of its executions come later and
 * begin with what it left (pristine.c).
 * Threads: the loop thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <lauxlib.h>
#include <stdlib.h>

#include "../base/log.h"
#include "execution.h"
#include "module.h"
#include "shared_locals.h"

/* (context): opens the library, runs the script. */
static int load_script(lua_State *L)
{
  da_load_context *context = lua_touserdata(L, 1);
  lua_settop(L, 0);
  da_module_open(L);
  context->worker->options.hooks.open_isolate(L);
  const da_module *script = &context->bundle->modules[0];
  lua_pushlstring(L, script->file.ptr, script->file.len);
  lua_pushfstring(L, "@%s", lua_tostring(L, -1));
  if (luaL_loadbufferx(L, script->text.ptr, script->text.len, lua_tostring(L, -1), "t") != LUA_OK) return lua_error(L);
  lua_call(L, 0, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_LOADED);
  lua_call(L, 0, 0);
  context->loud = false;
  return 0;
}

int da_worker_open_isolate(lua_State *L, void *user)
{
  da_load_context *context = user;
  da_watch *watch = context->worker->watch;
  da_isolate_set_host(da_isolate_of(L), context);
  lua_pushcfunction(L, load_script);
  lua_pushlightuserdata(L, context);
  da_watched before = da_watch_enter(watch, L);
  int status = lua_pcall(L, 1, 0, 0);
  (void)da_watch_leave(watch, before);
  if (status == LUA_OK || !context->runaway) return status;
  lua_pushfstring(L, "%s: the script ran for %d s while it was loaded; what takes long belongs into a function",
                  context->place, (int)(context->worker->span_limit_ms / 1000));
  return status;
}

static int by_function_name(const void *a, const void *b)
{
  const da_function *f = a, *g = b;
  int names = da_slice_cmp(f->name, g->name);
  return names != 0 ? names : f->version < g->version ? -1 : 1;
}

static da_slice kept_text(lua_State *L, int index, da_served *served)
{
  size_t len = 0;
  const char *text = lua_tolstring(L, index, &len);
  return da_arena_dup(&served->arena, da_slice_make(text, text != NULL ? len : 0));
}

/* The definition on top of L, whose name is below it, and the older ones of the name, which take its place. */
static void learn_function(lua_State *L, da_served *served, size_t *cap)
{
  for (da_slice name = kept_text(L, -2, served); lua_istable(L, -1); lua_remove(L, -2)) {
    if (served->function_count == *cap) {
      *cap = *cap != 0 ? *cap * 2 : 8;
      served->functions = da_xrealloc(served->functions, *cap * sizeof *served->functions);
    }
    da_function *function = &served->functions[served->function_count++];
    lua_getfield(L, -1, "workflow");
    lua_getfield(L, -2, "line");
    lua_getfield(L, -3, "file");
    lua_getfield(L, -4, "version");
    *function = (da_function){.name = name,
                              .version = lua_isnil(L, -1) ? 1 : (int64_t)lua_tointeger(L, -1),
                              .workflow = lua_toboolean(L, -4) != 0,
                              .file = kept_text(L, -2, served),
                              .line = (int)lua_tointeger(L, -3)};
    lua_pop(L, 4);
    lua_getfield(L, -1, "older");
  }
}

/* Reads the registry of functions that the script filled. The stack is the caller's to restore. */
static void learn_functions(lua_State *L, da_served *served)
{
  lua_getfield(L, LUA_REGISTRYINDEX, DA_ISOLATE_FUNCTIONS);
  size_t cap = 0;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    learn_function(L, served, &cap);
    lua_pop(L, 1);
  }
  if (served->function_count > 0)
    qsort(served->functions, served->function_count, sizeof *served->functions, by_function_name);
}

da_served *da_worker_bundle(da_worker *worker, const da_digest *hash)
{
  return da_table_get(&worker->bundles, da_slice_make((const char *)hash->bytes, sizeof hash->bytes));
}

static da_slice hash_key(const da_bundle *bundle)
{
  return da_slice_make((const char *)bundle->hash.bytes, sizeof bundle->hash.bytes);
}

da_served *da_worker_keep(da_worker *worker, da_bundle *bundle)
{
  da_served *served = da_worker_bundle(worker, &bundle->hash);
  if (served != NULL) return served;
  served = da_xcalloc(1, sizeof *served);
  served->bundle = da_bundle_ref(bundle);
  (void)da_table_put(&worker->bundles, hash_key(bundle), served);
  return served;
}

typedef struct bundle_write {
  da_worker *worker; /* a reference */
  da_digest hash;
  da_slice bytes;
} bundle_write;

static da_status write_bundle(da_store *store, da_op *op, da_err *err)
{
  const bundle_write *write = op->call_argument;
  return da_store_bundle_put(store, &write->hash, write->bytes, err);
}

static void bundle_written(da_op *op)
{
  const bundle_write *write = op->call_argument;
  da_worker *worker = write->worker;
  if (op->status != DA_OK) da_worker_bundle(worker, &write->hash)->stored = false;
  if (op->status != DA_OK && op->status != DA_EFULL && op->status != DA_ECLOSED)
    da_log(DA_LOG_ERROR, "bundle.not_stored", "text=\"%s\"", op->err.text);
  da_op_delete(op);
  da_worker_unref(worker);
}

/* On a full disk nothing of it happens, nor of what is queued behind it until that is told: no execution can be pinned
 * to a bundle that is not there, and whoever comes next writes it. */
static void store_bundle(da_worker *worker, da_served *served)
{
  da_op *op = da_op_new();
  bundle_write *write = da_arena_alloc(&op->arena, sizeof *write);
  *write = (bundle_write){worker, served->bundle->hash, da_arena_dup(&op->arena, served->bundle->bytes)};
  op->call = write_bundle;
  op->call_argument = write;
  op->done = bundle_written;
  served->stored = true;
  da_worker_ref(worker);
  da_sched_submit(worker->sched, op, false); /* before every op of an execution that is pinned to it */
}

/* An isolate that has loaded the context's bundle. */
static da_status load(da_load_context *context, da_isolate **out, da_err *err)
{
  const da_bundle *bundle = context->bundle;
  da_status status = da_isolate_new(context->worker->region, &bundle->hash, da_worker_open_isolate, context, out, err);
  if (status == DA_ELUA && err != NULL &&
      strncmp(err->text, "loading ", 8) == 0) { /* no words of Lua, which name a line */
    da_err words = *err;
    (void)da_fail(err, status, "%.*s: %s", DA_FMT(bundle->modules[0].file), words.text);
  }
  return status;
}

da_status da_worker_inspect(da_worker *worker, da_bundle *bundle,
                            da_status (*look)(void *user, lua_State *L, da_err *err), void *user, da_err *err)
{
  da_load_context context = {.host = {.loading = true}, .worker = worker, .bundle = bundle};
  da_isolate *isolate = NULL;
  da_status status = load(&context, &isolate, err);
  if (status != DA_OK) return status;
  da_isolate_set_host(isolate, &context);
  status = look(user, da_isolate_lua(isolate), err);
  da_isolate_delete(isolate);
  return status;
}

da_status da_worker_serve(da_worker *worker, da_bundle *bundle, da_err *err)
{
  return da_worker_serve_in(worker, 0, bundle, err);
}

da_status da_worker_serve_in(da_worker *worker, size_t group, da_bundle *bundle, da_err *err)
{
  da_load_context context = {.host = {.loading = true}, .worker = worker, .bundle = bundle, .loud = true};
  da_isolate *isolate = NULL;
  da_status status = load(&context, &isolate, err);
  if (status != DA_OK) return status;
  status = da_shared_locals_check(da_isolate_lua(isolate), err);
  if (status != DA_OK) {
    da_isolate_delete(isolate);
    return status;
  }
  da_served *served = da_worker_keep(worker, bundle);
  if (served->bundle->directory == NULL && bundle->directory != NULL) { /* known from the store alone until now */
    da_bundle *before = served->bundle;
    served->bundle = da_bundle_ref(bundle);
    (void)da_table_put(&worker->bundles, hash_key(bundle), served);
    da_bundle_unref(before);
  }
  status = da_schedules_learn(da_isolate_lua(isolate), served, err);
  if (status != DA_OK) {
    da_isolate_delete(isolate);
    return status;
  }
  if (!served->served) {
    learn_functions(da_isolate_lua(isolate), served);
    served->served = true;
  }
  if (!served->stored) store_bundle(worker, served);
  da_group_add(worker, group, served);
  lua_settop(da_isolate_lua(isolate), 0);
  da_isolate_delete(isolate);
  return DA_OK;
}

const da_function *da_worker_functions(da_worker *worker, const da_bundle *bundle, size_t *count)
{
  const da_served *served = da_worker_bundle(worker, &bundle->hash);
  *count = served != NULL ? served->function_count : 0;
  return served != NULL ? served->functions : NULL;
}
