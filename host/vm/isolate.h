/* isolate.h - one execution's Lua state, and the region of slots they all live in.
 *
 * An isolate is a lua_State whose every byte lies in one slot of one reserved region: the slot begins with the header
 * (struct da_isolate), then comes the heap. So an isolate is the byte range [isolate, isolate + da_isolate_used()).
 * That makes three things cheap: a hard memory quota, throwing an isolate away (nothing is walked or finalized), and
 * getting a fresh one: what loading a bundle leaves is kept as a *pristine image* and copied into a slot.
 *
 * Here:     region, slots, pristine images, the header's fields (host pointer, poison, inline mode, random state).
 * Files:    isolate.c life and header, isolate_load.c a bundle met for the first time, isolate_memory.c allocators,
 *           isolate_image.c suspended ones as bytes, region.c slots and their pristine images (region.h for these),
 *           slot_alloc.c, pristine.c.
 * May not:  know promises, bundles or fibers. Nothing in the heap may point outside the slot but to code and constant
 *           data of the program, and to what only lives while an inline step runs.
 * Fixed:    the region's address is a build constant, so that an image of one process fits the next. Without the region
 *           (another program sits there, DAHOST_ARENA=malloc for valgrind) all works, only without images.
 * Link:     -Wl,--wrap=luaS_hash with a static liblua makes the hash seed of isolates the region's `seed` (lstate.c's
 *           one use of luaS_hash is the seed). Without the option the seed is Lua's own, which no script can observe.
 * Threads:  a region and its isolates belong to one thread. Several regions may be used by several threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef DA_VM_ISOLATE_H
#define DA_VM_ISOLATE_H

#include <lua.h>

#include "../base/hash.h"

typedef struct da_region da_region;
typedef struct da_isolate da_isolate; /* lies at the start of its slot */

typedef struct da_isolates_options {
  size_t slot_size;  /* memory quota of an isolate; 0: 32 MiB. Rounded up to pages */
  size_t slot_count; /* isolates at the same time; 0: 2048 */
  size_t images_max; /* slots that keep a pristine image; 0: 256 */
  uint32_t seed;     /* hash seed, a secret of the store */
  bool malloc_only;  /* as DAHOST_ARENA=malloc */
} da_isolates_options;

/* Reserves the region. It always gets one, if need be of fewer slots, at another address, or of none (then every
 * isolate's memory comes from malloc); da_region_stat() tells. options may be NULL. The caller owns *out. */
da_status DA_MUST_USE da_region_new(const da_isolates_options *options, da_region **out, da_err *err);
void da_region_delete(da_region *region); /* no isolate of it may be left */

typedef struct da_region_stats {
  size_t slots; /* 0: isolates are malloc-ed */
  bool fixed;   /* the region lies at its build constant */
  bool seeded;  /* lua_newstate took our seed: the program was linked with the option above; false before the first */
  uint32_t seed;
  size_t slot_size;
  size_t used;   /* isolates alive */
  size_t images; /* pristine images kept, and their bytes */
  size_t image_bytes;
  uint64_t created;  /* isolates that had to load */
  uint64_t recycled; /* isolates that were copied back */
  uint64_t restored; /* ... and those that were put back as they were suspended */
} da_region_stats;
da_region_stats da_region_stat(const da_region *region);
/* Gives back the memory that free slots keep for the next ones. For a time when little happens. */
void da_region_trim(da_region *region);

/* Loads a bundle into a new state: opens the libraries, runs the code. Called twice for a new key, and once per slot if
 * what it leaves cannot be moved; protected: it may raise. Returns 0, or anything else with a message on top of the
 * stack. */
typedef int da_isolate_load(lua_State *L, void *user);

/* An isolate with the bundle `key` loaded. The region is borrowed until da_isolate_delete(). DA_EQUEUE: every slot is
 * in use, try again when one was given back; DA_ENOMEM: the bundle does not fit the quota; DA_ELUA: load raised. */
da_status DA_MUST_USE da_isolate_new(da_region *region, const da_digest *key, da_isolate_load *load, void *user,
                                     da_isolate **out, da_err *err);
/* Gives the slot back. Nothing of the script runs: no finalizer, no pending <close>. */
void da_isolate_delete(da_isolate *isolate);

lua_State *da_isolate_lua(const da_isolate *isolate); /* the main thread; run code in threads made from it */
/* The isolate of any of its threads, found through the allocator; NULL for a state that is none. */
da_isolate *da_isolate_of(lua_State *L);
size_t da_isolate_used(const da_isolate *isolate); /* bytes, header included */

void da_isolate_set_host(da_isolate *isolate, void *host);
void *da_isolate_host(lua_State *L); /* NULL until set; never part of a pristine image */

/* Poison: this execution must not go on, and its script must not notice. The replaced pcall, xpcall, error and
 * coroutine functions then yield to the host for ever instead of returning; every native has to ask and do the same
 * with da_lib_park(). The first reason stays. */
typedef enum da_poison {
  DA_POISON_NONE,
  DA_POISON_MEMORY, /* set by the allocator: the quota is used up even after a collection */
  DA_POISON_STACK,  /* the same in calls nested deeper than DA_STACK_DEEP; or Lua's own limit was met */
  DA_POISON_HOST    /* from here on: reasons of the host */
} da_poison;
enum { DA_STACK_DEEP = 2000 }; /* levels: no script means to nest so deep, and memory that ends there went into it */
void da_isolate_poison(lua_State *L, int why);
int da_isolate_poisoned(lua_State *L);

/* While an inline step runs: io and os work, chance and ordinals come from separate sources, since a replay will jump
 * over the step. */
void da_isolate_set_inline(da_isolate *isolate, bool on);
bool da_isolate_inline(lua_State *L);
/* False once the isolate has held something that no copy can bring back (a file). */
bool da_isolate_imageable(const da_isolate *isolate);

/* ---- a suspended isolate as bytes (isolate_image.c) ---- */

/* Lies in front of the number in every userdata that stands for something of the host: { uint64_t tag; uint32_t n; }.
 * No text or number of a script is likely to be it, and one that is does no more than keep something alive. */
#define DA_HANDLE_TAG UINT64_C(0xd4a705c1e96b3f82)
/* Collects what is dead, merges and zeroes what is free: no script notices. key: as it was made with. */
void da_isolate_tidy(da_isolate *isolate, const da_digest *key);
/* Every number of a handle that lies in the heap; of a tidy one, those that the script can still reach, and a few. */
void da_isolate_each_handle(const da_isolate *isolate, void (*visit)(void *user, uint32_t number), void *user);

typedef struct da_isolate_image {
  uint32_t slot; /* it fits this one alone */
  bool has_base; /* bytes are the difference to what loading the bundle leaves, of this hash */
  da_digest base;
  char *bytes; /* owned, of da_isolate_save() */
  size_t size;
} da_isolate_image;

/* Of an isolate that nothing of runs. */
void da_isolate_save(const da_isolate *isolate, const da_digest *key, da_isolate_image *out);
void da_isolate_image_free(da_isolate_image *image);
/* Puts it back into its slot. The bytes are trusted: whoever has not made them himself has to know that they come from
 * this build. DA_EBUSY: its slot is in use (da_isolate_in_slot()); DA_EVERSION: it does not fit; or as
 * da_isolate_new().
 */
da_status DA_MUST_USE da_isolate_restore(da_region *region, const da_digest *key, da_isolate_load *load, void *user,
                                         const da_isolate_image *image, da_isolate **out, da_err *err);
da_isolate *da_isolate_in_slot(const da_region *region, size_t slot); /* NULL: none */
/* There is an image of it: others get its slot last, so that it is free when the image is to be put back. */
void da_isolate_set_imaged(da_isolate *isolate);

/* Slicing. The host's count hook sets it just before its lua_yield(L, 0), so that the replaced coroutine functions pass
 * that yield on to the host (as a yield of DA_YIELD_TAG) and do not take it for a coroutine.yield(). The host clears
 * it. Ask da_lib_can_await() before yielding from a hook. */
void da_isolate_set_sliced(da_isolate *isolate, bool on);
bool da_isolate_sliced(const da_isolate *isolate);
/* The thread that executes now, or last did: the one to set a hook on. Kept by the coroutine functions; the host sets
 * it before it resumes a fiber. May be read in a signal handler of the thread. */
void da_isolate_set_running(da_isolate *isolate, lua_State *L);
lua_State *da_isolate_running(const da_isolate *isolate);

#endif
