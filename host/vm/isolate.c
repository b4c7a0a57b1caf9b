/* isolate.c - the region, its slots, and what becomes of them.
 *
 * A bundle is loaded when it is first seen, twice, which tells whether what that leaves may be moved (pristine.h). If
 * so, one image serves all slots: an isolate is a copy of it. If not, each slot has to load for itself and keeps its
 * own image: a slot is then, in this order of preference: free with the image of the wanted bundle; free and blank;
 * free with the image of another bundle (which is dropped, the longest unused first). Free slots are taken newest
 * first, while their pages are hot.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "isolate.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/log.h"
#include "isolate_parts.h"
#include "pristine.h"

/* AddressSanitizer keeps its shadow at the usual place, ThreadSanitizer allows no other than it. */
#if defined(__SANITIZE_ADDRESS__)
#define REGION_BASE 0x200000000000
#else
#define REGION_BASE 0x1000000000
#endif

#define ISOLATE_MAGIC UINT64_C(0x316574616c6f7349) /* "Isolate1" */

enum {
  SLOT_SIZE = 32 << 20,
  SLOT_COUNT = 2048,
  IMAGES_MAX = 256,
  IMAGE_BUCKETS = 64,
  KEEP_BYTES = 256 << 10, /* a free slot keeps this much touched memory; refaulting costs more */
  KEEP_TOTAL = 64 << 20,  /* blank free slots keep no more than this together */
  TRIM_SLOTS = 16,        /* ... and after da_region_trim() no more than so many of them do */
  BUNDLES_MAX = 32,       /* bundles whose loading is remembered */
  STALE_AFTER = 1024      /* isolates made since: a busy slot's image may be taken for someone else's */
};

/* What the region knows of a slot, outside of it. A slot is in one `list` of the region, and, if it has an image and is
 * free, in the chain of its bucket. */
typedef struct slot {
  struct slot *prev, *next;         /* in its list */
  struct slot *key_prev, *key_next; /* free slots with an image, by key */
  char *image;                      /* owned; NULL: none */
  size_t image_size;
  size_t kept; /* blank: bytes from its start that were not given back to the system */
  da_digest key;
  uint64_t taken_at; /* region->created + region->recycled when it was taken */
  bool busy;
} slot;

/* What is known of a bundle's loading. */
typedef struct loading {
  da_digest key;
  bool movable;
  da_pristine image;
  uint64_t used_at; /* 0: this place is free */
} loading;

typedef struct slot_list {
  slot *first; /* newest */
  slot *last;
  size_t count;
} slot_list;

struct da_region {
  char *base; /* NULL: malloc mode */
  size_t slot_size;
  size_t slot_count; /* in malloc mode: isolates at the same time */
  size_t images_max;
  slot *slots;                  /* owned */
  size_t untouched;             /* slots from here on were never used; they are in no list */
  slot_list blank;              /* free, without image; those that keep memory first */
  size_t kept;                  /* by them, bytes */
  slot_list ready;              /* free, with an image */
  slot_list held;               /* busy, with an image */
  slot_list plain;              /* busy, without image */
  slot *buckets[IMAGE_BUCKETS]; /* the ready ones by key, newest first */
  loading loadings[BUNDLES_MAX];
  da_region_stats stats;
  uint32_t seed;
};

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

/* ---- lists of slots ---- */

static void list_add(slot_list *list, slot *s)
{
  s->prev = NULL;
  s->next = list->first;
  if (list->first != NULL) {
    list->first->prev = s;
  } else {
    list->last = s;
  }
  list->first = s;
  list->count++;
}

static void list_add_last(slot_list *list, slot *s)
{
  s->next = NULL;
  s->prev = list->last;
  if (list->last != NULL) {
    list->last->next = s;
  } else {
    list->first = s;
  }
  list->last = s;
  list->count++;
}

static void list_remove(slot_list *list, slot *s)
{
  if (s->prev != NULL) {
    s->prev->next = s->next;
  } else {
    list->first = s->next;
  }
  if (s->next != NULL) {
    s->next->prev = s->prev;
  } else {
    list->last = s->prev;
  }
  list->count--;
}

static slot **bucket_of(da_region *region, const da_digest *key)
{
  return &region->buckets[key->bytes[0] % IMAGE_BUCKETS];
}

static void ready_add(da_region *region, slot *s)
{
  slot **bucket = bucket_of(region, &s->key);
  list_add(&region->ready, s);
  s->key_prev = NULL;
  s->key_next = *bucket;
  if (*bucket != NULL) (*bucket)->key_prev = s;
  *bucket = s;
}

static void ready_remove(da_region *region, slot *s)
{
  list_remove(&region->ready, s);
  if (s->key_prev != NULL) {
    s->key_prev->key_next = s->key_next;
  } else {
    *bucket_of(region, &s->key) = s->key_next;
  }
  if (s->key_next != NULL) s->key_next->key_prev = s->key_prev;
}

static da_isolate *slot_isolate(const da_region *region, const slot *s)
{
  return (da_isolate *)(void *)(region->base + (size_t)(s - region->slots) * region->slot_size);
}

static void image_drop(da_region *region, slot *s)
{
  region->stats.images--;
  region->stats.image_bytes -= s->image_size;
  free(s->image);
  s->image = NULL;
  s->image_size = 0;
}

/* A free slot, out of its list, in order of preference; NULL if every slot is busy. */
static slot *slot_take(da_region *region, const da_digest *key)
{
  for (slot *s = *bucket_of(region, key); s != NULL; s = s->key_next) {
    if (da_digest_eq(&s->key, key)) {
      ready_remove(region, s);
      return s;
    }
  }
  if (region->blank.first != NULL) {
    slot *s = region->blank.first;
    list_remove(&region->blank, s);
    region->kept -= s->kept;
    s->kept = 0;
    return s;
  }
  if (region->untouched < region->slot_count) return &region->slots[region->untouched++];
  slot *s = region->ready.last;
  if (s == NULL) return NULL;
  ready_remove(region, s);
  image_drop(region, s);
  return s;
}

static void slot_hold(da_region *region, slot *s)
{
  s->busy = true;
  s->taken_at = region->stats.created + region->stats.recycled;
  region->stats.used++;
  list_add(s->image != NULL ? &region->held : &region->plain, s);
}

/* Gives the pages of a slot from byte `from` on back to the system. */
static void slot_forget(const da_region *region, const slot *s, size_t from)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  from = (from + page - 1) & ~(page - 1);
  (void)madvise((char *)slot_isolate(region, s) + from, region->slot_size - from, MADV_DONTNEED);
}

static void blank_add(da_region *region, slot *s, size_t peak)
{
  s->kept = peak < KEEP_BYTES ? peak : KEEP_BYTES;
  if (region->kept + s->kept > KEEP_TOTAL) s->kept = 0;
  if (peak > s->kept) slot_forget(region, s, s->kept);
  region->kept += s->kept;
  if (s->kept > 0)
    list_add(&region->blank, s);
  else
    list_add_last(&region->blank, s);
}

/* The slot is in no list any more; `peak` is how far its memory was touched. */
static void slot_give(da_region *region, slot *s, size_t peak)
{
  s->busy = false;
  if (s->image != NULL) {
    if (peak > s->image_size + KEEP_BYTES) slot_forget(region, s, s->image_size);
    ready_add(region, s);
    return;
  }
  blank_add(region, s, peak);
}

void da_region_trim(da_region *region)
{
  slot *s = region->blank.first;
  for (size_t i = 0; i < TRIM_SLOTS && s != NULL; i++) s = s->next;
  for (; s != NULL && s->kept > 0; s = s->next) {
    slot_forget(region, s, 0);
    region->kept -= s->kept;
    s->kept = 0;
  }
}

/* ---- the region ---- */

static char *reserve(void *at, size_t size)
{
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at != NULL ? MAP_FIXED_NOREPLACE : 0);
  char *base = mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (base == MAP_FAILED) return NULL;
  if (at != NULL && base != at) { /* a kernel that does not know the flag takes the address as a hint */
    (void)munmap(base, size);
    return NULL;
  }
  /* A huge page per isolate would cost 2 MiB where 40 KiB are needed. */
  (void)madvise(base, size, MADV_NOHUGEPAGE);
  return base;
}

/* At the build's address, else anywhere; in full, else halved as often as it leaves 16 slots. */
static void region_reserve(da_region *region)
{
  void *wanted[] = {(void *)REGION_BASE, NULL};
  for (size_t i = 0; i < 2; i++) {
    for (size_t count = region->slot_count; count > 0; count = count > 16 ? count / 2 : 0) {
      region->base = reserve(wanted[i], count * region->slot_size);
      if (region->base == NULL) continue;
      region->slot_count = count;
      region->stats.slots = count;
      region->stats.fixed = wanted[i] != NULL;
      return;
    }
  }
}

static bool malloc_wanted(const da_isolates_options *options)
{
  const char *arena = getenv("DAHOST_ARENA");
  return options->malloc_only || (arena != NULL && strcmp(arena, "malloc") == 0);
}

da_status da_region_new(const da_isolates_options *options, da_region **out, da_err *err)
{
  static const da_isolates_options defaults;
  if (options == NULL) options = &defaults;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t size = options->slot_size != 0 ? options->slot_size : SLOT_SIZE;
  if (size < 2 * page || size > (size_t)DA_SLOT_GRANULE * UINT32_MAX / 2) {
    return da_fail(err, DA_EINVAL, "a memory quota of %zu bytes for an execution is out of range", size);
  }
  da_region *region = da_xcalloc(1, sizeof *region);
  region->slot_size = (size + page - 1) & ~(page - 1);
  region->slot_count = options->slot_count != 0 ? options->slot_count : SLOT_COUNT;
  region->images_max = options->images_max != 0 ? options->images_max : IMAGES_MAX;
  region->seed = options->seed;
  if (!malloc_wanted(options)) region_reserve(region);
  if (region->base != NULL) region->slots = da_xcalloc(region->slot_count, sizeof *region->slots);
  *out = region;
  return DA_OK;
}

void da_region_delete(da_region *region)
{
  if (region == NULL) return;
  DA_ASSERT_OP(region->stats.used, ==, 0);
  for (size_t i = 0; i < region->untouched; i++) free(region->slots[i].image);
  for (size_t i = 0; i < BUNDLES_MAX; i++) da_pristine_free(&region->loadings[i].image);
  if (region->base != NULL) (void)munmap(region->base, region->slot_count * region->slot_size);
  free(region->slots);
  free(region);
}

da_region_stats da_region_stat(const da_region *region)
{
  return region->stats;
}

/* ---- memory of an isolate ---- */

/* Lua answers the first refusal with a full collection, then asks for the same once more; nothing is granted in
 * between. Only the second refusal is an error in the script, and scripts could catch that error: hence the poison. */
static void refused(da_isolate *isolate, size_t size)
{
  if (isolate->refused_size == size && isolate->refused_grants == isolate->grants) {
    lua_Debug ar;
    bool deep = lua_getstack(da_isolate_running(isolate), DA_STACK_DEEP, &ar) != 0;
    isolate->quota_hit = true;
    if (isolate->poison == DA_POISON_NONE) isolate->poison = deep ? DA_POISON_STACK : DA_POISON_MEMORY;
  }
  isolate->refused_size = size;
  isolate->refused_grants = isolate->grants;
}

/* While a bundle loads what is freed is wiped, so that no half of a dead address lies in the padding of a new block. */
static void *realloc_wiping(da_isolate *isolate, void *ptr, size_t osize, size_t nsize)
{
  char *base = (char *)isolate;
  if (ptr == NULL) return da_slot_realloc(&isolate->alloc, base, NULL, osize, nsize);
  if (nsize <= osize) {
    memset((char *)ptr + nsize, 0, osize - nsize);
    return da_slot_realloc(&isolate->alloc, base, ptr, osize, nsize);
  }
  void *block = da_slot_realloc(&isolate->alloc, base, NULL, 0, nsize);
  if (block == NULL) return NULL;
  memcpy(block, ptr, osize);
  memset(ptr, 0, osize);
  (void)da_slot_realloc(&isolate->alloc, base, ptr, osize, 0);
  return block;
}

static void *alloc_in_slot(void *ud, void *ptr, size_t osize, size_t nsize)
{
  da_isolate *isolate = ud;
  void *block = isolate->wiping ? realloc_wiping(isolate, ptr, osize, nsize)
                                : da_slot_realloc(&isolate->alloc, ud, ptr, osize, nsize);
  if (nsize == 0) return NULL;
  if (block == NULL) {
    refused(isolate, nsize);
  } else {
    isolate->grants++;
  }
  return block;
}

static void *alloc_by_malloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
  da_isolate *isolate = ud;
  if (ptr == NULL) osize = 0;
  if (nsize == 0) {
    free(ptr);
    isolate->used -= osize;
    return NULL;
  }
  void *block = NULL;
  if (nsize <= osize || isolate->size - isolate->used >= nsize - osize) block = realloc(ptr, nsize);
  if (block == NULL && nsize <= osize) block = ptr; /* Lua may not be refused when it shrinks */
  if (block == NULL) {
    refused(isolate, nsize);
    return NULL;
  }
  isolate->grants++;
  isolate->used = isolate->used - osize + nsize;
  return block;
}

da_isolate *da_isolate_of(lua_State *L)
{
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  return alloc == alloc_in_slot || alloc == alloc_by_malloc ? ud : NULL;
}

/* ---- life ---- */

static int panic(lua_State *L)
{
  const char *text = lua_tostring(L, -1);
  da_log(DA_LOG_ERROR, "vm.panic", "error=\"%s\"", text != NULL ? text : "(not a string)");
  return 0; /* Lua aborts */
}

static void isolate_init(da_isolate *isolate, da_region *region, uint32_t index)
{
  memset(isolate, 0, sizeof *isolate);
  isolate->magic = ISOLATE_MAGIC;
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

static da_status isolate_start(da_isolate *isolate, da_isolate_load *load, void *user, da_err *err)
{
  da_region *region = isolate->region;
  next_seed.wanted = true;
  next_seed.taken = false;
  next_seed.seed = region->seed;
  isolate->L = lua_newstate(region->base != NULL ? alloc_in_slot : alloc_by_malloc, isolate);
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

/* May this slot, just loaded, keep an image? Makes room for it if it can. */
static bool image_room(da_region *region)
{
  if (region->stats.images < region->images_max) return true;
  slot *s = region->ready.last; /* another bundle's: one of ours would have been taken */
  if (s != NULL) {
    ready_remove(region, s);
    image_drop(region, s);
    blank_add(region, s, region->slot_size);
    return true;
  }
  /* All are held. Take from one that has been held for long: it will not be recycled soon. To take from the oldest in
   * any case would, with more isolates in turn than images, always hit the one wanted next. */
  s = region->held.last;
  if (region->stats.created + region->stats.recycled - s->taken_at < STALE_AFTER) return false;
  list_remove(&region->held, s);
  image_drop(region, s);
  list_add(&region->plain, s);
  return true;
}

static void image_take(da_region *region, slot *s, da_isolate *isolate, const da_digest *key)
{
  if (!da_isolate_imageable(isolate) || !image_room(region)) return;
  da_slot_merge(&isolate->alloc, (char *)isolate);
  da_slot_scrub(&isolate->alloc, (char *)isolate);
  size_t size = da_isolate_used(isolate);
  char *image = malloc(size); /* without it the slot only loads again */
  if (image == NULL) return;
  memcpy(image, isolate, size);
  s->image = image;
  s->image_size = size;
  s->key = *key;
  region->stats.images++;
  region->stats.image_bytes += size;
}

/* ---- loading a bundle for the first time ---- */

/* Loads into a slot whose memory is as new: what loading does not write is the same in every slot. */
static da_status load_clean(da_region *region, slot *s, da_isolate_load *load, void *user, da_err *err)
{
  da_isolate *isolate = slot_isolate(region, s);
  slot_forget(region, s, 0);
  isolate_init(isolate, region, 0);
  isolate->wiping = true;
  da_status status = isolate_start(isolate, load, user, err);
  isolate->wiping = false;
  if (status != DA_OK) return status;
  da_slot_merge(&isolate->alloc, (char *)isolate);
  da_slot_scrub(&isolate->alloc, (char *)isolate);
  return DA_OK;
}

static void unload(da_region *region, slot *s)
{
  da_isolate *isolate = slot_isolate(region, s);
  if (isolate->touched && isolate->L != NULL) lua_close(isolate->L);
  isolate->magic = 0;
  slot_give(region, s, (size_t)isolate->alloc.peak * DA_SLOT_GRANULE);
}

static bool make_movable(da_region *region, loading *out, const da_isolate *a, const da_isolate *b)
{
  size_t size = da_isolate_used(a);
  if (!da_isolate_imageable(a) || !da_isolate_imageable(b) || da_isolate_used(b) != size) return false;
  if (!da_pristine_make(&out->image, (const char *)a, (const char *)b, size, region->slot_size)) return false;
  region->stats.images++;
  region->stats.image_bytes += size;
  return true;
}

static loading *loading_place(da_region *region)
{
  loading *oldest = &region->loadings[0];
  for (size_t i = 1; i < BUNDLES_MAX; i++)
    if (region->loadings[i].used_at < oldest->used_at) oldest = &region->loadings[i];
  if (oldest->movable) {
    region->stats.images--;
    region->stats.image_bytes -= oldest->image.size;
  }
  da_pristine_free(&oldest->image);
  *oldest = (loading){.used_at = 0};
  return oldest;
}

/* Lua hashes an address by the remainder of its low 32 bits by 2^n - 1 (hashpointer in ltable.c). Only if those differ
 * between the two slots for every n does a table keyed by addresses look different in them, and is found. */
static bool tells_hashes(da_region *region, const slot *a, const slot *b)
{
  uint32_t x = (uint32_t)(uintptr_t)slot_isolate(region, a), y = (uint32_t)(uintptr_t)slot_isolate(region, b);
  uint32_t distance = x < y ? y - x : x - y;
  for (unsigned n = 2; n < 32; n++)
    if (distance % ((UINT32_C(1) << n) - 1) == 0) return false;
  return true;
}

/* Takes two slots at such a distance; pair[1] stays NULL if there are none among the next few. */
static void take_pair(da_region *region, const da_digest *key, slot *pair[2])
{
  enum { TRIES = 16 };
  slot *passed[TRIES];
  size_t count = 0;
  pair[0] = slot_take(region, key);
  while (pair[0] != NULL && pair[1] == NULL && count < TRIES) {
    slot *next = slot_take(region, key);
    if (next == NULL) break;
    if (tells_hashes(region, pair[0], next))
      pair[1] = next;
    else
      passed[count++] = next;
  }
  while (count > 0) slot_give(region, passed[--count], 0);
}

/* The two loads run at the same depth of the C stack, addresses of which lie about in dead places of Lua's stack. */
static da_status learn(da_region *region, const da_digest *key, da_isolate_load *load, void *user, da_err *err)
{
  slot *pair[2] = {NULL, NULL};
  take_pair(region, key, pair);
  da_status status = DA_OK;
  for (int i = 0; i < 2 && status == DA_OK && pair[1] != NULL; i++)
    status = load_clean(region, pair[i], load, user, err);
  if (status == DA_OK && pair[1] != NULL) {
    loading *place = loading_place(region);
    place->key = *key;
    place->used_at = region->stats.created + region->stats.recycled + 1;
    place->movable = make_movable(region, place, slot_isolate(region, pair[0]), slot_isolate(region, pair[1]));
  }
  for (int i = 1; i >= 0; i--)
    if (pair[i] != NULL) unload(region, pair[i]);
  return status;
}

static loading *loading_find(da_region *region, const da_digest *key)
{
  for (size_t i = 0; i < BUNDLES_MAX; i++) {
    loading *known = &region->loadings[i];
    if (known->used_at == 0 || !da_digest_eq(&known->key, key)) continue;
    known->used_at = region->stats.created + region->stats.recycled + 1;
    return known;
  }
  return NULL;
}

/* ---- new isolates ---- */

static da_status new_by_malloc(da_region *region, da_isolate_load *load, void *user, da_isolate **out, da_err *err)
{
  da_isolate *isolate = da_xmalloc(sizeof *isolate);
  isolate_init(isolate, region, 0);
  isolate->wiping = true;
  da_status status = isolate_start(isolate, load, user, err);
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

static da_status load_own(da_region *region, slot *s, const da_digest *key, da_isolate_load *load, void *user,
                          da_err *err)
{
  da_isolate *isolate = slot_isolate(region, s);
  isolate_init(isolate, region, (uint32_t)(s - region->slots));
  da_status status = isolate_start(isolate, load, user, err);
  if (status != DA_OK) {
    unload(region, s);
    return status;
  }
  image_take(region, s, isolate, key);
  region->stats.created++;
  return DA_OK;
}

da_status da_isolate_new(da_region *region, const da_digest *key, da_isolate_load *load, void *user, da_isolate **out,
                         da_err *err)
{
  bool full = region->stats.used == region->slot_count;
  if (!full && region->base == NULL) return new_by_malloc(region, load, user, out, err);
  da_status status = DA_OK;
  if (!full && loading_find(region, key) == NULL) status = learn(region, key, load, user, err);
  if (status != DA_OK) return status;
  const loading *known = loading_find(region, key);
  slot *s = full ? NULL : slot_take(region, key);
  if (s == NULL) return da_fail(err, DA_EQUEUE, "all %zu slots for executions are in use", region->slot_count);
  da_isolate *isolate = slot_isolate(region, s);
  if (known != NULL && known->movable) {
    da_pristine_put(&known->image, (char *)isolate);
    isolate->index = (uint32_t)(s - region->slots);
    region->stats.recycled++;
  } else if (s->image != NULL) {
    memcpy(isolate, s->image, s->image_size);
    region->stats.recycled++;
  } else {
    status = load_own(region, s, key, load, user, err);
    if (status != DA_OK) return status;
  }
  slot_hold(region, s);
  *out = isolate;
  return DA_OK;
}

void da_isolate_delete(da_isolate *isolate)
{
  if (isolate == NULL) return;
  DA_ASSERT(isolate->magic == ISOLATE_MAGIC);
  da_region *region = isolate->region;
  if (region->base == NULL) {
    if (isolate->L != NULL) lua_close(isolate->L);
    region->stats.used--;
    free(isolate);
    return;
  }
  slot *s = &region->slots[isolate->index];
  DA_ASSERT(s->busy);
  /* Files are the one thing with a finalizer. */
  if (isolate->touched) lua_close(isolate->L);
  isolate->magic = 0; /* a second delete is found out */
  list_remove(s->image != NULL ? &region->held : &region->plain, s);
  region->stats.used--;
  slot_give(region, s, (size_t)isolate->alloc.peak * DA_SLOT_GRANULE);
}

/* ---- the header ---- */

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
