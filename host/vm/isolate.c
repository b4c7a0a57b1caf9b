/* isolate.c - an isolate's life: how it is made of a slot, what ends it, its header.
 *
 * A bundle that was loaded before (isolate_load.c) is put down from its one image if that may be moved; else from the
 * slot's own; else it is loaded into the slot, which keeps an image of it (region.c).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "isolate.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "../base/log.h"
#include "region.h"

/* ---- the hash seed ---- */

static _Thread_local struct {
  bool wanted;
  bool taken;
  uint32_t seed;
} next_seed;

unsigned int __wrap_luaS_hash(const char *text, size_t len, unsigned int seed);

/* In place of luaS_hash where lstate.c makes the seed of a new state. Other states of the process (step threads) keep a
 * seed from the bytes Lua gathered: addresses and the time. */
unsigned int __wrap_luaS_hash(const char *text, size_t len, unsigned int seed)
{
  if (next_seed.wanted) {
    next_seed.taken = true;
    return next_seed.seed;
  }
  unsigned int hash = seed ^ (unsigned int)len;
  for (; len > 0; len--) hash ^= (hash << 5) + (hash >> 2) + (unsigned char)text[len - 1];
  return hash;
}

/* ---- life ---- */

static int panic(lua_State *L)
{
  const char *text = lua_tostring(L, -1);
  da_log(DA_LOG_ERROR, "vm.panic", "error=\"%s\"", text != NULL ? text : "(not a string)");
  return 0; /* Lua aborts */
}

void da_isolate_create(da_isolate *isolate, da_region *region, uint32_t index)
{
  memset(isolate, 0, sizeof *isolate);
  isolate->magic = DA_ISOLATE_MAGIC;
  isolate->size = region->slot_size;
  isolate->region = region;
  isolate->index = index;
  isolate->used = sizeof *isolate;
  isolate->refused_grants = UINT64_MAX;
  da_slot_alloc_init(&isolate->alloc, sizeof *isolate, region->slot_size);
}

typedef struct load_call {
  da_isolate_load *load;
  void *user;
} load_call;

static int call_load(lua_State *L)
{
  load_call *call = lua_touserdata(L, 1);
  lua_settop(L, 0);
  if (call->load(L, call->user) != 0) return lua_error(L);
  return 0;
}

static da_status load_failed(da_isolate *isolate, int status, da_err *err)
{
  lua_State *L = isolate->L;
  if (status == LUA_ERRMEM || isolate->quota_hit) {
    return da_fail(err, DA_ENOMEM, "loading needs more than the %zu bytes an execution may use", isolate->size);
  }
  if (lua_istable(L, -1)) { /* error{code=, message=} */
    lua_getfield(L, -1, "code");
    lua_getfield(L, -2, "message");
    const char *code = lua_tostring(L, -2);
    const char *message = lua_tostring(L, -1);
    if (code != NULL || message != NULL)
      return da_fail(err, DA_ELUA, "loading raised [%s] %s", code != NULL ? code : "error",
                     message != NULL ? message : "");
    lua_pop(L, 2);
  }
  const char *text = lua_tostring(L, -1);
  if (text != NULL) return da_fail(err, DA_ELUA, "%s", text);
  return da_fail(err, DA_ELUA, "loading raised a %s value; raise a text, or a table with a message",
                 luaL_typename(L, -1));
}

/* Lua keeps the last strings it was given as C strings in 53 pairs, chosen by the address of the C string: where a text
 * of the heap is one, that depends on where the heap lies. So every pair is given two strings of fixed addresses; the
 * collection that follows forgets them. */
static void flush_string_cache(lua_State *L)
{
  enum { PAIRS = 53 };
  static char text[3 * PAIRS + 1]; /* "\1\2", "\2", "", ...: at each distance of 53 another one */
  for (size_t i = 0; i < 3 * PAIRS; i++) text[i] = (char)((i + 1) % 3);
  for (size_t i = 0; i < 3 * PAIRS; i++) {
    if (text[i] == 0) continue;
    lua_pushstring(L, text + i);
    lua_pop(L, 1);
  }
}

da_status da_isolate_start(da_isolate *isolate, da_isolate_load *load, void *user, da_err *err)
{
  da_region *region = isolate->region;
  next_seed.wanted = true;
  next_seed.taken = false;
  next_seed.seed = region->seed;
  isolate->L = lua_newstate(region->base != NULL ? da_isolate_alloc_in_slot : da_isolate_alloc_by_malloc, isolate);
  next_seed.wanted = false;
  if (isolate->L == NULL) return da_fail(err, DA_ENOMEM, "no memory for a Lua state");
  region->stats.seeded = next_seed.taken;
  atomic_store_explicit(&isolate->running, isolate->L, memory_order_relaxed);
  (void)lua_atpanic(isolate->L, panic);
  memset(lua_getextraspace(isolate->L), 0, LUA_EXTRASPACE); /* Lua copies it to threads, and leaves it as it came */
  load_call call = {load, user};
  lua_pushcfunction(isolate->L, call_load); /* light: cannot run out of memory */
  lua_pushlightuserdata(isolate->L, &call);
  int status = lua_pcall(isolate->L, 1, 0, 0);
  if (status != LUA_OK) return load_failed(isolate, status, err);
  isolate->host = NULL; /* load may have set one for its own time */
  flush_string_cache(isolate->L);
  /* What loading left behind would be copied back each time. */
  (void)lua_gc(isolate->L, LUA_GCCOLLECT);
  return DA_OK;
}

void da_isolate_stop(da_region *region, da_slot *s)
{
  da_isolate *isolate = da_region_isolate(region, s);
  if (isolate->touched && isolate->L != NULL) lua_close(isolate->L);
  isolate->magic = 0;
  da_region_give(region, s, (size_t)isolate->alloc.peak * DA_SLOT_GRANULE);
}

/* ---- new isolates ---- */

static da_status new_by_malloc(da_region *region, da_isolate_load *load, void *user, da_isolate **out, da_err *err)
{
  da_isolate *isolate = da_xmalloc(sizeof *isolate);
  da_isolate_create(isolate, region, 0);
  isolate->wiping = true;
  da_status status = da_isolate_start(isolate, load, user, err);
  isolate->wiping = false;
  region->stats.used++;
  if (status != DA_OK) {
    da_isolate_delete(isolate);
    return status;
  }
  region->stats.created++;
  *out = isolate;
  return DA_OK;
}

static da_status load_own(da_region *region, da_slot *s, const da_digest *key, da_isolate_load *load, void *user,
                          da_err *err)
{
  da_isolate *isolate = da_region_isolate(region, s);
  da_isolate_create(isolate, region, (uint32_t)(s - region->slots));
  da_status status = da_isolate_start(isolate, load, user, err);
  if (status != DA_OK) {
    da_isolate_stop(region, s);
    return status;
  }
  da_region_keep_image(region, s, isolate, key);
  region->stats.created++;
  return DA_OK;
}

da_status da_isolate_new(da_region *region, const da_digest *key, da_isolate_load *load, void *user, da_isolate **out,
                         da_err *err)
{
  bool full = region->stats.used == region->limit;
  if (!full && region->base == NULL) return new_by_malloc(region, load, user, out, err);
  da_status status = DA_OK;
  if (!full && da_loading_find(region, key) == NULL) status = da_loading_learn(region, key, load, user, err);
  if (status != DA_OK) return status;
  const da_loading *known = da_loading_find(region, key);
  da_slot *s = full ? NULL : da_region_take(region, key);
  if (s == NULL) return da_fail(err, DA_EQUEUE, "all %zu slots for executions are in use", region->limit);
  da_isolate *isolate = da_region_isolate(region, s);
  if (known != NULL && known->movable) {
    da_pristine_put(&known->image, (char *)isolate, (char *)isolate);
    isolate->index = (uint32_t)(s - region->slots);
    region->stats.recycled++;
  } else if (s->image != NULL) {
    memcpy(isolate, s->image, s->image_size);
    region->stats.recycled++;
  } else {
    status = load_own(region, s, key, load, user, err);
    if (status != DA_OK) return status;
  }
  da_region_hold(region, s);
  *out = isolate;
  return DA_OK;
}

void da_isolate_delete(da_isolate *isolate)
{
  if (isolate == NULL) return;
  DA_ASSERT(isolate->magic == DA_ISOLATE_MAGIC);
  da_region *region = isolate->region;
  if (region->base == NULL) {
    if (isolate->L != NULL) lua_close(isolate->L);
    region->stats.used--;
    free(isolate);
    return;
  }
  da_slot *s = &region->slots[isolate->index];
  DA_ASSERT(s->busy);
  /* Files are the one thing with a finalizer. */
  if (isolate->touched) lua_close(isolate->L);
  isolate->magic = 0; /* a second delete is found out */
  da_region_release(region, s, (size_t)isolate->alloc.peak * DA_SLOT_GRANULE);
}

/* ---- the header ---- */

da_isolate *da_isolate_of(lua_State *L)
{
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  return alloc == da_isolate_alloc_in_slot || alloc == da_isolate_alloc_by_malloc ? ud : NULL;
}

lua_State *da_isolate_lua(const da_isolate *isolate)
{
  return isolate->L;
}

size_t da_isolate_used(const da_isolate *isolate)
{
  if (isolate->region->base == NULL) return isolate->used;
  return (size_t)isolate->alloc.top * DA_SLOT_GRANULE;
}

void da_isolate_set_host(da_isolate *isolate, void *host)
{
  isolate->host = host;
}

void *da_isolate_host(lua_State *L)
{
  const da_isolate *isolate = da_isolate_of(L);
  return isolate != NULL ? isolate->host : NULL;
}

void da_isolate_poison(lua_State *L, int why)
{
  da_isolate *isolate = da_isolate_of(L);
  if (isolate != NULL && isolate->poison == DA_POISON_NONE) isolate->poison = why;
}

int da_isolate_poisoned(lua_State *L)
{
  const da_isolate *isolate = da_isolate_of(L);
  return isolate != NULL ? isolate->poison : DA_POISON_NONE;
}

void da_isolate_set_inline(da_isolate *isolate, bool on)
{
  isolate->in_step = on;
}

bool da_isolate_inline(lua_State *L)
{
  const da_isolate *isolate = da_isolate_of(L);
  return isolate != NULL && isolate->in_step;
}

bool da_isolate_imageable(const da_isolate *isolate)
{
  return isolate->region->base != NULL && !isolate->touched;
}

void da_isolate_set_sliced(da_isolate *isolate, bool on)
{
  isolate->sliced = on;
}

bool da_isolate_sliced(const da_isolate *isolate)
{
  return isolate->sliced;
}

void da_isolate_set_running(da_isolate *isolate, lua_State *L)
{
  atomic_store_explicit(&isolate->running, L, memory_order_relaxed);
}

lua_State *da_isolate_running(const da_isolate *isolate)
{
  return atomic_load_explicit(&isolate->running, memory_order_relaxed);
}
